//! Densities that are there already, as packed rows without structures: block by block, in waves between which the
//! caller may stop. No number depends on the number of threads, nor on which environments share a block.

use super::Run;
use super::numbers::Numbers;
use crate::density::Layout;
use crate::error::{Error, Result};
use crate::invariants::iteration::Blocks;
use crate::invariants::{Energy, Environments, Invariant, Memory};
use crate::memory::{collected, filled};
use crate::parallel::Waves;

/// Runs `work` on blocks of packed rows [environment, width], with what comes with each.
fn blocks<T: Send>(
    layout: &Layout,
    density: &[f64],
    grain: usize,
    parts: Vec<T>,
    memory: impl Fn() -> Result<Memory>,
    work: impl Fn(Environments<'_>, T, &mut Memory) -> Result<()> + Sync,
    run: Run<'_>,
) -> Result<()> {
    let width = layout.width();
    let ids: Vec<u32> = collected(0..grain as u32)?;
    let tasks = density.chunks((grain * width).max(1)).zip(parts);
    let one = |memory: &mut Memory, (c, part): (&[f64], T)| {
        let e = Environments { layout, species: 0, atoms: &ids[..c.len() / width.max(1)], c };
        work(e, part, memory)
    };
    let mut never = || false;
    let interrupt = run.interrupt.unwrap_or(&mut never);
    Waves::new()?.run_with(&mut Vec::new(), memory, tasks, one, |_| Ok(()), interrupt)
}

/// Number of rows of an array of packed density coefficients.
fn count(layout: &Layout, density: &[f64]) -> Result<usize> {
    let width = layout.width();
    if width == 0 || !density.len().is_multiple_of(width) {
        return Err(Error::BadShape(format!(
            "{} density coefficients are not rows of {width}, what the iteration was made for",
            density.len()
        )));
    }
    Ok(density.len() / width)
}

/// Features of packed density coefficients with so many `channels` `[l]`, all of one species: `[environment, feature]`.
///
/// # Errors
/// [`Error::BadShape`], [`Error::Interrupted`].
///
/// # Panics
/// If `values` has not this shape.
pub fn values_of(
    channels: &[usize],
    density: &[f64],
    invariant: &dyn Invariant,
    mut values: Numbers<'_>,
    run: Run<'_>,
) -> Result<()> {
    let layout = Layout::packed(channels);
    let (n, width, grain) = (count(&layout, density)?, invariant.width(0), invariant.grain());
    assert!(values.len() == n * width, "array of another shape");
    let part = |first: usize| values.take(grain.min(n - first) * width);
    let parts = collected((0..n).step_by(grain).map(part))?;
    let work = |e: Environments<'_>, mut part: Numbers<'_>, memory: &mut Memory| match &mut part {
        Numbers::F64(row) => invariant.values(e, row, memory),
        Numbers::F32(_) => {
            let mut x = filled(part.len(), 0.0)?;
            invariant.values(e, &mut x, memory)?;
            part.copy_from(&x);
            Ok(())
        }
    };
    blocks(&layout, density, grain, parts, || invariant.memory(), work, run)
}

/// Energies of packed density coefficients, `[environment]`, and their gradients, as the coefficients.
///
/// # Errors
/// [`Error::BadShape`], [`Error::Interrupted`].
///
/// # Panics
/// If a result has not its shape.
pub fn energies_of(
    channels: &[usize],
    density: &[f64],
    energy: &dyn Energy,
    energies: &mut [f64],
    gradients: &mut [f64],
    run: Run<'_>,
) -> Result<()> {
    let layout = Layout::packed(channels);
    let (n, grain) = (count(&layout, density)?, energy.grain());
    assert!(energies.len() == n && gradients.len() == density.len(), "array of another shape");
    let gradients = gradients.chunks_mut(grain * layout.width());
    let parts = collected(energies.chunks_mut(grain).zip(gradients))?;
    let work = |e: Environments<'_>, (energies, gradients): (&mut [f64], &mut [f64]), memory: &mut Memory| {
        energy.read(e, energies, gradients, memory)
    };
    blocks(&layout, density, grain, parts, || energy.memory(), work, run)
}

/// Some blocks of equivariants of packed density coefficients: each [environment, m, channel].
///
/// # Errors
/// [`Error::BadShape`], [`Error::Interrupted`].
///
/// # Panics
/// If an array has not its shape.
pub fn equivariants_of(
    wanted: &Blocks,
    density: &[f64],
    arrays: Vec<&mut [f64]>,
    run: Run<'_>,
) -> Result<()> {
    let layout = Layout::packed(wanted.plan().channels());
    let (n, grain, widths) = (count(&layout, density)?, Blocks::GRAIN, wanted.widths());
    let fits = arrays.iter().map(|array| array.len()).eq(widths.iter().map(|width| n * width));
    assert!(fits, "array of another shape");
    // A width of zero has no chunks; its rows are empty.
    let mut chunks: Vec<_> = (arrays.into_iter().zip(&widths))
        .map(|(array, width)| array.chunks_mut((width * grain).max(1)))
        .collect();
    let part = |_| chunks.iter_mut().map(|chunks| chunks.next().unwrap_or_default()).collect();
    let parts: Vec<Vec<&mut [f64]>> = collected((0..n.div_ceil(grain)).map(part))?;
    let work = |e: Environments<'_>, mut part: Vec<&mut [f64]>, memory: &mut Memory| {
        wanted.values(e, &mut part, memory);
        Ok(())
    };
    blocks(&layout, density, grain, parts, || wanted.memory(), work, run)
}
