//! All centers of a batch: in parallel over rows of the output, in waves between which the caller may stop.
//!
//! Work is split by rows of the result and never by merging partial sums, so that the bits do not depend on the number
//! of threads. Centers are visited in the order of their bins (neighbors are then in the cache); where a center's row
//! stands in the result does not depend on it.

use std::sync::{Mutex, PoisonError};

use super::center::{Scratch, Workspace};
use super::layout::Layout;
use super::numbers::Numbers;
use super::plan::DensityPlan;
use crate::error::Result;
use crate::memory::{Grow, all_of, collected};
use crate::neighbors::{NeighborList, Search, SkinList};
use crate::parallel::{self, Waves};
use crate::simd::{Kernel, Simd};
use crate::structure::Batch;

pub use crate::parallel::Interrupt;

/// What is done with every center. Implementations of `center` must be `#[inline(always)]`.
pub(crate) trait Job: Sync {
    /// What comes with a center: its row of the result, for one.
    type Item<'o>: Send;
    /// What a task collects from its centers.
    type Output: Send + Default;
    /// Centers of one task: few where a center takes long.
    const CENTERS: usize = 32;
    /// Works on one center.
    #[allow(clippy::too_many_arguments)]
    fn center<S: Simd>(
        &self,
        s: S,
        scratch: &mut Scratch,
        plan: &DensityPlan,
        search: &mut Search<'_, '_>,
        species: &[u32],
        center: usize,
        item: Self::Item<'_>,
        output: &mut Self::Output,
    ) -> Result<()>;
}

/// What becomes of the coefficients of a center. Implementations must be `#[inline(always)]`.
pub trait Consumer: Sync {
    /// Memory that is reused from center to center.
    type Scratch: Send + Default;
    /// Writes the row of one center from its padded coefficients.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    fn consume<S: Simd>(
        &self,
        s: S,
        layout: &Layout,
        c: &[f64],
        row: &mut [f64],
        memory: &mut Self::Scratch,
    ) -> Result<()>;
}

/// Fills the row of every center.
pub(super) struct FillRows<'c, C>(pub(super) &'c C);

impl<C: Consumer> Job for FillRows<'_, C> {
    type Item<'o> = Numbers<'o>;
    /// Memory of the consumer, and a row of double precision where one of single precision is wanted.
    type Output = (C::Scratch, Vec<f64>);

    #[inline(always)]
    fn center<S: Simd>(
        &self,
        s: S,
        scratch: &mut Scratch,
        plan: &DensityPlan,
        search: &mut Search<'_, '_>,
        species: &[u32],
        center: usize,
        row: Numbers<'_>,
        (memory, wide): &mut (C::Scratch, Vec<f64>),
    ) -> Result<()> {
        scratch.expand(s, plan, search, species, center)?;
        let layout = &plan.center(species[center] as usize).layout;
        let (double, single) = match row {
            Numbers::F64(row) => (row, None),
            Numbers::F32(row) => {
                wide.try_resize(row.len(), 0.0)?;
                (wide.as_mut_slice(), Some(row))
            }
        };
        self.0.consume(s, layout, &scratch.coefficients, double, memory)?;
        if let Some(single) = single {
            for k in 0..single.len() {
                single[k] = double[k] as f32;
            }
        }
        Ok(())
    }
}

/// Atoms of the frames whose cell lists are built together.
const GROUP: usize = 8192;

/// A few centers of one structure and what comes with them.
struct Task<'a, I> {
    structure: usize,
    neighbors: &'a NeighborList<'a>,
    species: &'a [u32],
    centers: Vec<(u32, I)>,
}

/// Expands every center and hands its coefficients to `consumer`, which fills the center's row.
///
/// `species` holds the species index and `rows` the row of every atom of the batch.
///
/// # Errors
/// The first error in the order of the structures, or [`Error::Interrupted`].
pub fn drive<C: Consumer>(
    batch: &Batch,
    plan: &DensityPlan,
    species: &[u32],
    consumer: &C,
    rows: Vec<Numbers<'_>>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    drive_job(batch, plan, None, species, &FillRows(consumer), rows, &mut |_, _| {}, interrupt)
}

/// Does a job for every center; `items` come with the atoms of the batch, and `merge` is handed what each task
/// collected, with its structure, in the order of the tasks. Neighbors are those of `remembered` lists, which must serve
/// the structures, or searched for.
///
/// # Errors
/// As [`drive`].
#[allow(clippy::too_many_arguments)]
pub(crate) fn drive_job<J: Job>(
    batch: &Batch,
    plan: &DensityPlan,
    remembered: Option<&[SkinList]>,
    species: &[u32],
    job: &J,
    items: Vec<J::Item<'_>>,
    merge: &mut dyn FnMut(usize, J::Output),
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let workspaces = Mutex::new(Vec::new());
    let mut items = items.into_iter();
    let mut waves = Waves::new()?;
    let mut first = 0;
    while first < batch.n_frames() {
        let mut end = first + 1;
        let start = batch.atoms_of(first).start;
        while end < batch.n_frames() && batch.atoms_of(end).end - start <= GROUP {
            end += 1;
        }
        let build = |structure| match remembered {
            Some(lists) => Ok(NeighborList::Skin(&lists[structure], batch.frame(structure))),
            None => NeighborList::new(batch.frame(structure), plan.weight.cutoff.radius()),
        };
        let lists = all_of(parallel::map(collected(first..end)?, build)?)?;
        let mut tasks = Vec::new();
        for (structure, neighbors) in (first..end).zip(&lists) {
            split::<J>(structure, neighbors, &species[batch.atoms_of(structure)], &mut items, &mut tasks)?;
        }
        let run = |task| run_task(plan, job, &workspaces, task);
        let each = |(structure, output)| {
            merge(structure, output);
            Ok(())
        };
        waves.run(tasks, run, each, interrupt)?;
        first = end;
    }
    Ok(())
}

/// [`drive_job`] for one structure whose neighbor list is there; `species` and `items` are those of its atoms.
///
/// # Errors
/// As [`drive`].
#[allow(clippy::too_many_arguments)]
pub(crate) fn drive_structure<J: Job>(
    structure: usize,
    neighbors: &NeighborList<'_>,
    plan: &DensityPlan,
    species: &[u32],
    job: &J,
    items: Vec<J::Item<'_>>,
    merge: &mut dyn FnMut(J::Output),
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let mut tasks = Vec::new();
    split::<J>(structure, neighbors, species, &mut items.into_iter(), &mut tasks)?;
    let workspaces = Mutex::new(Vec::new());
    let run = |task| run_task(plan, job, &workspaces, task);
    let each = |(_, output)| {
        merge(output);
        Ok(())
    };
    Waves::new()?.run(tasks, run, each, interrupt)
}

/// Cuts the centers of a structure into tasks, in the order of their bins.
fn split<'a, 'o, J: Job>(
    structure: usize,
    neighbors: &'a NeighborList<'a>,
    species: &'a [u32],
    items: &mut impl Iterator<Item = J::Item<'o>>,
    tasks: &mut Vec<Task<'a, J::Item<'o>>>,
) -> Result<()> {
    let mut of_atom = collected(items.take(species.len()).map(Some))?;
    tasks.make_room(species.len().div_ceil(J::CENTERS))?;
    for chunk in neighbors.spatial_order().chunks(J::CENTERS) {
        let of_center = |&atom: &u32| Some((atom, of_atom[atom as usize].take()?));
        tasks.push(Task {
            structure,
            neighbors,
            species,
            centers: collected(chunk.iter().filter_map(of_center))?,
        });
    }
    Ok(())
}

fn run_task<J: Job>(
    plan: &DensityPlan,
    job: &J,
    workspaces: &Mutex<Vec<Workspace>>,
    task: Task<'_, J::Item<'_>>,
) -> Result<(usize, J::Output)> {
    let spare = workspaces.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut workspace = spare.map_or_else(|| Workspace::new(plan), Ok)?;
    let structure = task.structure;
    let result = plan.level.run(TaskKernel { plan, job, workspace: &mut workspace, task });
    workspaces.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
    result.map(|output| (structure, output))
}

struct TaskKernel<'w, 'a, 'o, J: Job> {
    plan: &'w DensityPlan,
    job: &'w J,
    workspace: &'w mut Workspace,
    task: Task<'a, J::Item<'o>>,
}

impl<J: Job> Kernel for TaskKernel<'_, '_, '_, J> {
    type Output = Result<J::Output>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<J::Output> {
        let Self { plan, job, workspace, task } = self;
        let mut output = J::Output::default();
        let Workspace { near, scratch } = workspace;
        let mut search = task.neighbors.search(plan.weight.cutoff.radius(), near);
        for (center, item) in task.centers {
            job.center(s, scratch, plan, &mut search, task.species, center as usize, item, &mut output)?;
        }
        Ok(output)
    }
}
