//! All environments of an array, block by block: in parallel over rows of the results, in waves between which the caller
//! may stop. No number depends on the number of threads, nor on which environments share a block.

use std::sync::{Mutex, PoisonError};

use super::block::most_environments;
use crate::error::Result;
use crate::expansion::Interrupt;
use crate::parallel::Waves;
use crate::simd::{Element, Kernel, Level, Simd};

/// What is done with a block. Implementations of `block` must be `#[inline(always)]`.
pub(super) trait Job: Sync {
    /// What the arithmetic is done in, and the results are of.
    type Number: Element;
    /// Scratch memory, reused from block to block.
    type Memory: Send;
    fn memory(&self) -> Result<Self::Memory>;
    /// Works on a block: packed density coefficients [environment, width], and the block's rows of every result.
    fn block<S: Simd>(
        &self,
        s: S,
        memory: &mut Self::Memory,
        density: &[f64],
        rows: &mut [&mut [Self::Number]],
    );
}

/// Does a job for every block; results are arrays of one row for each environment.
///
/// # Errors
/// [`crate::Error::Interrupted`], [`crate::Error::OutOfMemory`].
pub(super) fn drive<J: Job>(
    level: Level,
    job: &J,
    n: usize,
    density: &[f64],
    results: Vec<&mut [J::Number]>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    let width = density.len() / n;
    let block = most_environments::<J::Number>();
    let mut parts: Vec<_> = results
        .into_iter()
        .map(|array| {
            let row = array.len() / n;
            // A width of zero has no chunks; its rows are empty.
            array.chunks_mut((row * block).max(1))
        })
        .collect();
    let tasks = (0..n).step_by(block).map(|first| {
        let end = n.min(first + block);
        let rows: Vec<&mut [J::Number]> = parts.iter_mut().map(|p| p.next().unwrap_or_default()).collect();
        (&density[first * width..end * width], rows)
    });
    let memories = Mutex::new(Vec::new());
    let work = |(density, mut rows): (&[f64], Vec<&mut [J::Number]>)| {
        let spare = memories.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = spare.map_or_else(|| job.memory(), Ok)?;
        level.run(BlockKernel { job, memory: &mut memory, density, rows: &mut rows });
        memories.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        Ok(())
    };
    Waves::new()?.run(tasks, work, Ok, interrupt)
}

struct BlockKernel<'j, 'r, J: Job> {
    job: &'j J,
    memory: &'j mut J::Memory,
    density: &'j [f64],
    rows: &'j mut [&'r mut [J::Number]],
}

impl<J: Job> Kernel for BlockKernel<'_, '_, J> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.job.block(s, self.memory, self.density, self.rows);
    }
}
