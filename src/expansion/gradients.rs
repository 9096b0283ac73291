//! Gradients of the features of every center with respect to every atom that is in them.
//!
//! For each center the atoms in rising order, the center among them; periodic images of an atom move together and are
//! one entry. The entry of the center itself is minus the sum of the others: moving everything changes nothing.

use std::sync::{Mutex, PoisonError};

use super::block::PAIRS;
use super::center::Scratch;
use super::differential::{Differential, Evaluate, Expand, Lanes, PairRun};
use super::drive::{Interrupt, Job, drive_job};
use super::linear::{AllCoefficients, Linear};
use super::plan::DensityPlan;
use crate::error::Result;
use crate::memory::{Grow, collected, filled};
use crate::neighbors::Search;
use crate::simd::Simd;
use crate::structure::Batch;

/// Gradients of some centers, one after the other: for each as many pairs as [`count_gradients`] tells.
#[derive(Debug, Default)]
pub struct GradientArrays<'o> {
    /// [pair, 3, feature], zero at the start.
    pub values: &'o mut [f64],
    /// Atom of the structure that moves. [pair]
    pub neighbors: &'o mut [i64],
}

impl GradientArrays<'_> {
    /// Takes the next `n` pairs off.
    pub(crate) fn take(&mut self, n: usize, width: usize) -> Self {
        Self {
            values: self.values.split_off_mut(..3 * n * width).unwrap_or_default(),
            neighbors: self.neighbors.split_off_mut(..n).unwrap_or_default(),
        }
    }
}

/// Number of distinct atoms in the features of every center of a batch, itself included.
///
/// # Errors
/// As [`super::density_coefficients`].
pub fn count_gradients(batch: &Batch, plan: &DensityPlan, interrupt: Interrupt<'_>) -> Result<Vec<usize>> {
    let species = plan.species_indices(batch)?;
    let mut counts = filled(batch.n_atoms(), 0)?;
    let items = collected(counts.iter_mut())?;
    drive_job(batch, plan, None, &species, &Count, items, &mut |_, _| (), interrupt)?;
    Ok(counts)
}

/// Gradients of the density coefficients of all centers, one pair of arrays per center species; their features are
/// packed as the coefficients.
///
/// # Errors
/// As [`super::density_coefficients`].
///
/// # Panics
/// If an array is shorter than `counts`, made by [`count_gradients`], tell.
pub fn coefficient_gradients_into(
    batch: &Batch,
    plan: &DensityPlan,
    counts: &[usize],
    mut arrays: Vec<GradientArrays<'_>>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let species = plan.species_indices(batch)?;
    let part = |(&a, &n): (&u32, &usize)| arrays[a as usize].take(n, plan.center(a as usize).layout.width());
    let parts = collected(species.iter().zip(counts).map(part))?;
    fill_gradients(batch, plan, &species, &Linear(AllCoefficients), parts, interrupt)
}

/// Gradients of any features; `species` and `parts` belong to the atoms of the batch.
///
/// # Errors
/// As [`super::density_coefficients`].
pub(crate) fn fill_gradients<D: Differential>(
    batch: &Batch,
    plan: &DensityPlan,
    species: &[u32],
    differential: &D,
    parts: Vec<GradientArrays<'_>>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let job = Fill { differential, spare: Mutex::default() };
    drive_job(batch, plan, None, species, &job, parts, &mut |_, ()| (), interrupt)
}

/// Counts the distinct atoms around every center.
struct Count;

impl Job for Count {
    type Item<'o> = &'o mut usize;
    /// Atoms around a center.
    type Output = Vec<u32>;

    #[inline(always)]
    fn center<S: Simd>(
        &self,
        s: S,
        _: &mut Scratch,
        _: &DensityPlan,
        search: &mut Search<'_, '_>,
        _: &[u32],
        center: usize,
        count: &mut usize,
        atoms: &mut Vec<u32>,
    ) -> Result<()> {
        search.around(s, center)?;
        atoms.clear();
        atoms.try_extend([center as u32])?;
        atoms.try_extend((0..search.len()).map(|pair| search.atom(pair)))?;
        atoms.sort_unstable();
        atoms.dedup();
        *count = atoms.len();
        Ok(())
    }
}

/// Scratch memory of one thread.
#[derive(Debug, Default)]
struct Memory<M> {
    /// (atom, pair) of every neighbor that is not the center.
    sorted: Vec<(u32, u32)>,
    lanes: Lanes,
    features: M,
}

/// Fills the gradients of every center.
struct Fill<'d, D: Differential> {
    differential: &'d D,
    /// Scratch memory that no thread uses at the moment.
    spare: Mutex<Vec<Box<Memory<D::Memory>>>>,
}

impl<D: Differential> Job for Fill<'_, D> {
    type Item<'o> = GradientArrays<'o>;
    type Output = ();
    const CENTERS: usize = 8;

    #[inline(always)]
    fn center<S: Simd>(
        &self,
        _: S,
        scratch: &mut Scratch,
        plan: &DensityPlan,
        search: &mut Search<'_, '_>,
        species: &[u32],
        center: usize,
        mut part: GradientArrays<'_>,
        (): &mut (),
    ) -> Result<()> {
        plan.level.run(Expand { scratch, plan, search, species, center })?;
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = spare.unwrap_or_default();
        memory.sort(search, scratch, species)?;
        memory.list_atoms(center, part.neighbors)?;
        self.fill(plan, search, species, scratch, &mut memory, &mut part)?;
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        Ok(())
    }
}

impl<M> Memory<M> {
    /// Orders the neighbors by atom, images of the center left out.
    fn sort(&mut self, search: &Search<'_, '_>, scratch: &mut Scratch, species: &[u32]) -> Result<()> {
        self.sorted.clear();
        self.sorted.try_extend((0..search.len() as u32).map(|pair| (search.atom(pair as usize), pair)))?;
        self.sorted.retain(|&(atom, _)| atom as usize != search.center());
        self.sorted.sort_unstable();
        scratch.order.clear();
        scratch.order.try_extend(self.sorted.iter().map(|&(_, pair)| pair))?;
        scratch.kinds.clear();
        scratch.kinds.try_extend(self.sorted.iter().map(|&(atom, _)| species[atom as usize]))
    }

    /// Writes the distinct atoms, the center among them.
    fn list_atoms(&self, center: usize, neighbors: &mut [i64]) -> Result<()> {
        let mut atoms: Vec<i64> = collected(self.sorted.iter().map(|&(atom, _)| i64::from(atom)))?;
        atoms.dedup();
        atoms.make_room(1)?;
        atoms.insert(atoms.partition_point(|&atom| atom < center as i64), center as i64);
        neighbors.copy_from_slice(&atoms);
        Ok(())
    }
}

impl<D: Differential> Fill<'_, D> {
    fn fill(
        &self,
        plan: &DensityPlan,
        search: &Search<'_, '_>,
        species: &[u32],
        scratch: &mut Scratch,
        memory: &mut Memory<D::Memory>,
        part: &mut GradientArrays<'_>,
    ) -> Result<()> {
        let own = species[search.center()] as usize;
        let kind = plan.center(own);
        let width = self.differential.width(plan, own);
        let neighbors = &*part.neighbors;
        let place = |atom: u32| neighbors.partition_point(|&other| other < i64::from(atom));
        let Memory { sorted, lanes, features } = memory;
        let blocks = scratch.order.chunks(PAIRS).zip(scratch.kinds.chunks(PAIRS));
        for ((order, kinds), sorted_block) in blocks.zip((0..sorted.len()).step_by(PAIRS)) {
            let (block, backward) = (&mut scratch.block, &mut scratch.backward);
            plan.level.run(Evaluate { plan, kind, search, order, kinds, block, backward })?;
            lanes.load(search, order, &scratch.block, 0);
            let atoms = &sorted[sorted_block..sorted_block + order.len()];
            let mut start = 0;
            while start < atoms.len() {
                let atom = atoms[start].0;
                let end = start + atoms[start..].iter().take_while(|&&(other, _)| other == atom).count();
                let pair = [own, kinds[start] as usize];
                let (block, backward) = (&scratch.block, &scratch.backward);
                let c = &scratch.coefficients;
                let run = PairRun::new(kind, pair, start..end, block, backward, lanes, c);
                self.differential.add_pairs(plan, &run, features)?;
                // Images of one atom may continue in the next block: what is finished is added.
                let rows = &mut part.values[place(atom) * 3 * width..][..3 * width];
                self.differential.finish(plan, own, pair[1], rows, width, features)?;
                start = end;
            }
        }
        let (before, rest) = part.values.split_at_mut(place(search.center() as u32) * 3 * width);
        let (entry, after) = rest.split_at_mut(3 * width);
        for row in before.chunks_exact(3 * width).chain(after.chunks_exact(3 * width)) {
            entry.iter_mut().zip(row).for_each(|(to, from)| *to -= from);
        }
        Ok(())
    }
}
