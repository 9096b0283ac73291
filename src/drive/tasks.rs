//! All centers of a batch: in parallel over tasks, in waves between which the caller may stop.
//!
//! Work is split by rows of the result and never by merging partial sums in the order they come, so that the bits do not
//! depend on the number of threads. Centers that are worked on one by one are visited in the order of their bins
//! (neighbors are then in the cache). Centers that share blocks are cut by species, across structures; in a structure
//! they follow each other by species and bin whatever the batch is.

use super::Run;
use crate::density::DensityPlan;
use crate::error::Result;
use crate::memory::{Grow, all_of, collected};
use crate::neighbors::{NeighborList, SkinList};
use crate::parallel::{self, Interrupt, Waves};
use crate::structure::Batch;

/// Atoms of the structures whose cell lists are built together.
const GROUP: usize = 8192;

/// Centers of one structure and what comes with each.
pub(super) struct Part<'a, I> {
    /// First atom of the structure in the batch.
    pub(super) first_atom: usize,
    pub(super) structure: usize,
    pub(super) neighbors: &'a NeighborList<'a>,
    /// Species of the atoms of the structure.
    pub(super) species: &'a [u32],
    pub(super) centers: Vec<(u32, I)>,
}

/// Centers of one structure, or a block of centers of one species from several.
pub(super) type Task<'a, I> = Vec<Part<'a, I>>;

/// What is done with every task.
pub(super) trait Job: Sync {
    /// What comes with a center: its row of the result, for one.
    type Item<'o>: Send;
    /// Scratch memory of a worker.
    type Memory: Send;
    /// What a task collects from its centers.
    type Output: Send;
    /// Centers of one task where each is on its own: few where a center takes long.
    const CENTERS: usize = 32;
    fn memory(&self) -> Result<Self::Memory>;
    fn run(&self, memory: &mut Self::Memory, task: Task<'_, Self::Item<'_>>) -> Result<Self::Output>;
}

/// Does a job for every center, in blocks of at most `grain`; `items` come with the atoms of the batch, `species` are
/// theirs, and `merge` is handed what the tasks of a wave collected, in the order of the tasks.
///
/// # Errors
/// The first error in the order of the tasks, or [`crate::Error::Interrupted`].
#[expect(clippy::too_many_arguments, reason = "what to expand, what to do with it, and where the results go")]
pub(super) fn drive<J: Job>(
    batch: &Batch,
    plan: &DensityPlan,
    species: &[u32],
    grain: usize,
    job: &J,
    items: Vec<J::Item<'_>>,
    merge: &mut dyn FnMut(Vec<J::Output>) -> Result<()>,
    run: Run<'_>,
) -> Result<()> {
    let mut never = || false;
    let interrupt = run.interrupt.unwrap_or(&mut never);
    let radius = plan.weight.cutoff.radius();
    let remembered = run.skin.map(|lists| lists.update(batch, radius, interrupt)).transpose()?;
    let (mut waves, mut workers) = (Waves::new()?, Vec::new());
    let mut items = items.into_iter();
    let mut first = 0;
    while first < batch.n_frames() {
        let mut end = first + 1;
        let start = batch.atoms_of(first).start;
        while end < batch.n_frames() && batch.atoms_of(end).end - start <= GROUP {
            end += 1;
        }
        let lists = neighbor_lists(batch, plan, remembered, first..end)?;
        let mut tasks = Tasks::new(plan.species().len(), grain, J::CENTERS);
        for (structure, neighbors) in (first..end).zip(&lists) {
            let atoms = batch.atoms_of(structure);
            tasks.add(structure, atoms.start, neighbors, &species[atoms], &mut items)?;
        }
        let work = |memory: &mut J::Memory, task: Task<'_, J::Item<'_>>| job.run(memory, task);
        waves.run_with(&mut workers, || job.memory(), tasks.finish()?, work, &mut *merge, interrupt)?;
        first = end;
    }
    Ok(())
}

fn neighbor_lists<'a>(
    batch: &'a Batch,
    plan: &DensityPlan,
    remembered: Option<&'a [SkinList]>,
    structures: std::ops::Range<usize>,
) -> Result<Vec<NeighborList<'a>>> {
    let build = |structure| match remembered {
        Some(lists) => Ok(NeighborList::Skin(&lists[structure], batch.frame(structure))),
        None => NeighborList::new(batch.frame(structure), plan.weight.cutoff.radius()),
    };
    all_of(parallel::map(collected(structures)?, build)?)
}

/// [`drive`] for one structure whose neighbor list is there; `species` and `items` are those of its atoms.
///
/// # Errors
/// As [`drive`].
#[expect(clippy::too_many_arguments, reason = "what to expand, what to do with it, and where the results go")]
pub(super) fn drive_structure<J: Job>(
    structure: usize,
    neighbors: &NeighborList<'_>,
    plan: &DensityPlan,
    species: &[u32],
    grain: usize,
    job: &J,
    items: Vec<J::Item<'_>>,
    merge: &mut dyn FnMut(Vec<J::Output>) -> Result<()>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let mut tasks = Tasks::new(plan.species().len(), grain, J::CENTERS);
    tasks.add(structure, 0, neighbors, species, &mut items.into_iter())?;
    let work = |memory: &mut J::Memory, task: Task<'_, J::Item<'_>>| job.run(memory, task);
    Waves::new()?.run_with(&mut Vec::new(), || job.memory(), tasks.finish()?, work, merge, interrupt)
}

/// Tasks of some structures: of one each in the order of bins, or blocks by species across all of them.
struct Tasks<'a, I> {
    grain: usize,
    /// Centers of a task where the grain is one.
    centers: usize,
    whole: Vec<Task<'a, I>>,
    /// The blocks of each species, and how many centers the last one has. `[species]`
    by_species: Vec<(Vec<Task<'a, I>>, usize)>,
}

impl<'a, I> Tasks<'a, I> {
    fn new(n_species: usize, grain: usize, centers: usize) -> Self {
        let by_species = (0..n_species).map(|_| (Vec::new(), grain)).collect();
        Self { grain, centers, whole: Vec::new(), by_species }
    }

    fn add(
        &mut self,
        structure: usize,
        first_atom: usize,
        neighbors: &'a NeighborList<'a>,
        species: &'a [u32],
        items: &mut impl Iterator<Item = I>,
    ) -> Result<()> {
        let mut of_atom: Vec<Option<I>> = collected(items.take(species.len()).map(Some))?;
        let part = || Part { first_atom, structure, neighbors, species, centers: Vec::new() };
        if self.grain == 1 {
            for chunk in neighbors.spatial_order().chunks(self.centers) {
                let item = |&atom: &u32| Some((atom, of_atom[atom as usize].take()?));
                let centers = collected(chunk.iter().filter_map(item))?;
                self.whole.try_extend([vec![Part { centers, ..part() }]])?;
            }
            return Ok(());
        }
        for &atom in neighbors.spatial_order() {
            let Some(item) = of_atom[atom as usize].take() else { continue };
            let (tasks, filled) = &mut self.by_species[species[atom as usize] as usize];
            if *filled == self.grain {
                tasks.try_extend([Vec::new()])?;
                *filled = 0;
            }
            *filled += 1;
            let Some(task) = tasks.last_mut() else { continue };
            if task.last().is_none_or(|last| last.structure != structure) {
                task.try_extend([part()])?;
            }
            if let Some(last) = task.last_mut() {
                last.centers.try_extend([(atom, item)])?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Task<'a, I>>> {
        let mut all = self.whole;
        all.try_extend(self.by_species.into_iter().flat_map(|(tasks, _)| tasks))?;
        Ok(all)
    }
}
