//! Gradients of the features of every center with respect to every atom that is in them.
//!
//! For each center the atoms in rising order, the center among them; periodic images of an atom move together and are
//! one entry. The entry of the center itself is minus the sum of the others: moving everything changes nothing.

use super::Run;
use super::tasks::{Job, Task, drive};
use crate::density::{
    Around, DensityPlan, Directions, Evaluate, Expand, Lanes, PAIRS, PairRun, Scratch, Workspace,
};
use crate::error::Result;
use crate::invariants::{self, Along, Environments, Invariant, PairSums};
use crate::memory::{Grow, collected, filled};
use crate::neighbors::Search;
use crate::structure::Batch;

/// Gradients of some centers, one after the other: for each as many pairs as [`count_gradients`] tells.
#[derive(Debug, Default)]
pub struct GradientArrays<'o> {
    /// [pair, 3, feature], zero at the start.
    pub values: &'o mut [f64],
    /// Atom of the structure that moves. `[pair]`
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
/// As [`super::values()`].
pub fn count_gradients(batch: &Batch, plan: &DensityPlan, run: Run<'_>) -> Result<Vec<usize>> {
    let species = plan.species_indices(batch)?;
    let mut counts = filled(batch.n_atoms(), 0)?;
    let items = collected(counts.iter_mut())?;
    drive(batch, plan, &species, 1, &Count { plan }, items, &mut |_| Ok(()), run)?;
    Ok(counts)
}

/// Gradients of the features of all centers of a batch: one pair of arrays for all, or one per center species.
///
/// # Errors
/// As [`super::values()`].
///
/// # Panics
/// If an array is shorter than `counts`, made by [`count_gradients`], tell.
pub fn gradients(
    batch: &Batch,
    plan: &DensityPlan,
    invariant: &dyn Invariant,
    counts: &[usize],
    mut arrays: Vec<GradientArrays<'_>>,
    run: Run<'_>,
) -> Result<()> {
    let species = plan.species_indices(batch)?;
    let one = arrays.len() == 1;
    let part = |(&a, &n): (&u32, &usize)| {
        arrays[if one { 0 } else { a as usize }].take(n, invariant.width(a as usize))
    };
    let parts = collected(species.iter().zip(counts).map(part))?;
    let job = Fill { plan, invariant };
    drive(batch, plan, &species, 1, &job, parts, &mut |_| Ok(()), run)
}

/// Counts the distinct atoms around every center.
struct Count<'j> {
    plan: &'j DensityPlan,
}

impl Job for Count<'_> {
    type Item<'o> = &'o mut usize;
    /// Scratch memory, and the atoms around a center.
    type Memory = (Workspace, Vec<u32>);
    type Output = ();

    fn memory(&self) -> Result<(Workspace, Vec<u32>)> {
        Ok((Workspace::new(self.plan)?, Vec::new()))
    }

    fn run(&self, (workspace, atoms): &mut (Workspace, Vec<u32>), task: Task<'_, &mut usize>) -> Result<()> {
        let (plan, Workspace { near, scratch }) = (self.plan, workspace);
        for part in task {
            let species = part.species;
            let mut search = part.neighbors.search(plan.weight.cutoff.radius(), near);
            for (atom, count) in part.centers {
                let center = atom as usize;
                plan.level.run(Around { scratch, plan, search: &mut search, species, center })?;
                atoms.clear();
                atoms.try_extend([atom])?;
                atoms.try_extend((0..search.len()).map(|pair| search.atom(pair)))?;
                atoms.sort_unstable();
                atoms.dedup();
                *count = atoms.len();
            }
        }
        Ok(())
    }
}

/// Scratch memory of one worker.
struct Memory {
    workspace: Workspace,
    pairs: PairMemory,
    features: invariants::Memory,
    directions: Directions,
    x: Vec<f64>,
    out: Vec<f64>,
}

#[derive(Debug, Default)]
struct PairMemory {
    /// (atom, pair) of every neighbor that is not the center.
    sorted: Vec<(u32, u32)>,
    lanes: Lanes,
}

/// Fills the gradients of every center.
struct Fill<'j> {
    plan: &'j DensityPlan,
    invariant: &'j dyn Invariant,
}

impl Job for Fill<'_> {
    type Item<'o> = GradientArrays<'o>;
    type Memory = Memory;
    type Output = ();
    const CENTERS: usize = 8;

    fn memory(&self) -> Result<Memory> {
        Ok(Memory {
            workspace: Workspace::new(self.plan)?,
            pairs: PairMemory::default(),
            features: self.invariant.memory()?,
            directions: Directions::default(),
            x: Vec::new(),
            out: Vec::new(),
        })
    }

    fn run(&self, memory: &mut Memory, task: Task<'_, GradientArrays<'_>>) -> Result<()> {
        let Memory { workspace: Workspace { near, scratch }, pairs, features, directions, x, out } = memory;
        let plan = self.plan;
        for part in task {
            let species = part.species;
            let mut search = part.neighbors.search(plan.weight.cutoff.radius(), near);
            for (atom, mut arrays) in part.centers {
                let center = atom as usize;
                plan.level.run(Expand { scratch, plan, search: &mut search, species, center })?;
                if let Some(sums) = self.invariant.pair_sums() {
                    pairs.sort(&search, scratch, species)?;
                    self.fill(sums, &search, species, scratch, pairs, features, &mut arrays)?;
                } else {
                    let own = species[center] as usize;
                    directions.of_motions(
                        plan,
                        self.invariant.n_degrees(),
                        &search,
                        species,
                        scratch,
                        None,
                    )?;
                    let layout = &plan.center(own).layout;
                    let c = &scratch.coefficients[..layout.padded_len()];
                    let e = Environments { layout, species: own, atoms: &[part.first_atom as u32 + atom], c };
                    x.try_resize(self.invariant.width(own), 0.0)?;
                    self.invariant.values(e, x, features)?;
                    self.follow(e, directions, features, out)?;
                    store(directions, out, center, &mut arrays);
                }
            }
        }
        Ok(())
    }
}

impl Fill<'_> {
    /// The derivatives of the features of an environment along its directions, `[feature][stride]`.
    fn follow(
        &self,
        e: Environments<'_>,
        directions: &Directions,
        features: &mut invariants::Memory,
        out: &mut Vec<f64>,
    ) -> Result<()> {
        let stride = directions.stride;
        out.clear();
        out.try_resize(self.invariant.width(e.species) * stride, 0.0)?;
        if stride > 0 {
            self.invariant.tangents(e, 0, Along { stride, d: &directions.values }, out, features)?;
        }
        Ok(())
    }
}

/// Arranges them by atom; the entry of the center is minus the sum of the others.
fn store(directions: &Directions, values: &[f64], center: usize, arrays: &mut GradientArrays<'_>) {
    list_atoms(&directions.atoms, center, arrays.neighbors);
    let width = values.len() / directions.stride.max(1);
    let own = arrays.neighbors.partition_point(|&atom| atom < center as i64);
    for k in 0..directions.atoms.len() {
        let entry = if k < own { k } else { k + 1 };
        for x in 0..3 {
            let from = values.get(3 * k + x..).unwrap_or_default().iter().step_by(directions.stride);
            let to = &mut arrays.values[(3 * entry + x) * width..][..width];
            to.iter_mut().zip(from).for_each(|(to, x)| *to = *x);
        }
    }
    subtract_others(arrays.values, own, 3 * width);
}

/// Writes the distinct atoms, the center among them.
fn list_atoms(others: &[u32], center: usize, neighbors: &mut [i64]) {
    let place = others.partition_point(|&atom| (atom as usize) < center);
    let (before, rest) = neighbors.split_at_mut(place);
    before.iter_mut().zip(others).for_each(|(to, &atom)| *to = i64::from(atom));
    rest[0] = center as i64;
    rest[1..].iter_mut().zip(&others[place..]).for_each(|(to, &atom)| *to = i64::from(atom));
}

/// The entry of the center is minus the sum of the others.
fn subtract_others(values: &mut [f64], own: usize, width: usize) {
    if width == 0 {
        return;
    }
    let (before, rest) = values.split_at_mut(own * width);
    let (entry, after) = rest.split_at_mut(width);
    for row in before.chunks_exact(width).chain(after.chunks_exact(width)) {
        entry.iter_mut().zip(row).for_each(|(to, from)| *to -= from);
    }
}

impl PairMemory {
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
}

impl Fill<'_> {
    #[expect(
        clippy::too_many_arguments,
        reason = "a center, the memory of its worker, and where its gradients go"
    )]
    fn fill(
        &self,
        sums: &dyn PairSums,
        search: &Search<'_, '_>,
        species: &[u32],
        scratch: &mut Scratch,
        memory: &mut PairMemory,
        features: &mut invariants::Memory,
        part: &mut GradientArrays<'_>,
    ) -> Result<()> {
        let plan = self.plan;
        let mut others: Vec<u32> = collected(memory.sorted.iter().map(|&(atom, _)| atom))?;
        others.dedup();
        list_atoms(&others, search.center(), part.neighbors);
        let own = species[search.center()] as usize;
        let kind = plan.center(own);
        let width = self.invariant.width(own);
        let neighbors = &*part.neighbors;
        let place = |atom: u32| neighbors.partition_point(|&other| other < i64::from(atom));
        let PairMemory { sorted, lanes } = memory;
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
                sums.add(plan, &run, features)?;
                // Images of one atom may continue in the next block: what is finished is added.
                let rows = &mut part.values[place(atom) * 3 * width..][..3 * width];
                sums.close(plan, pair, rows, width, features)?;
                start = end;
            }
        }
        let center = place(search.center() as u32);
        subtract_others(part.values, center, 3 * width);
        Ok(())
    }
}
