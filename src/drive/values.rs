//! Features of all centers.

use super::numbers::Numbers;
use super::tasks::{Job, Task, drive};
use super::{Interrupt, Run};
use crate::density::{DensityPlan, Expand, Workspace};
use crate::error::Result;
use crate::invariants::{Coefficients, Environments, Invariant, Memory};
use crate::memory::{Grow, all_of, collected, filled};
use crate::structure::Batch;

/// Features of all atoms, [atom, feature] in the order of the atoms.
///
/// # Errors
/// [`crate::Error::UnknownSpecies`] before any work; [`crate::Error::CoincidentAtoms`], [`crate::Error::Interrupted`].
///
/// # Panics
/// If `values` has not this shape.
pub fn values(
    batch: &Batch,
    plan: &DensityPlan,
    invariant: &dyn Invariant,
    mut values: Numbers<'_>,
    run: Run<'_>,
) -> Result<()> {
    let species = plan.species_indices(batch)?;
    let width = invariant.width(0);
    assert!(values.len() == batch.n_atoms() * width, "array of another shape");
    let rows = collected(species.iter().map(|_| values.take(width)))?;
    fill_rows(batch, plan, &species, invariant, rows, run)
}

/// [`values`] of features whose width depends on the species; a row comes with every atom.
fn fill_rows(
    batch: &Batch,
    plan: &DensityPlan,
    species: &[u32],
    invariant: &dyn Invariant,
    rows: Vec<Numbers<'_>>,
    run: Run<'_>,
) -> Result<()> {
    let job = Values { plan, invariant, grain: invariant.grain() };
    drive(batch, plan, species, job.grain, &job, rows, &mut |_| Ok(()), run)
}

struct Values<'j> {
    plan: &'j DensityPlan,
    invariant: &'j dyn Invariant,
    grain: usize,
}

struct ValuesMemory {
    workspace: Workspace,
    invariant: Memory,
    /// Densities of a block, and what is made of them.
    c: Vec<f64>,
    x: Vec<f64>,
}

impl Job for Values<'_> {
    type Item<'o> = Numbers<'o>;
    type Memory = ValuesMemory;
    type Output = ();

    fn memory(&self) -> Result<ValuesMemory> {
        Ok(ValuesMemory {
            workspace: Workspace::new(self.plan)?,
            invariant: self.invariant.memory()?,
            c: Vec::new(),
            x: Vec::new(),
        })
    }

    fn run(&self, memory: &mut Self::Memory, task: Task<'_, Numbers<'_>>) -> Result<()> {
        if self.grain == 1 { self.one_by_one(memory, task) } else { self.block(memory, task) }
    }
}

impl Values<'_> {
    fn one_by_one(&self, memory: &mut ValuesMemory, task: Task<'_, Numbers<'_>>) -> Result<()> {
        let ValuesMemory { workspace: Workspace { near, scratch }, invariant, x, .. } = memory;
        for part in task {
            let (plan, species) = (self.plan, part.species);
            let mut search = part.neighbors.search(plan.weight.cutoff.radius(), near);
            for (center, row) in part.centers {
                let (atom, center) = (part.first_atom as u32 + center, center as usize);
                plan.level.run(Expand { scratch, plan, search: &mut search, species, center })?;
                let layout = &plan.center(species[center] as usize).layout;
                let e = Environments {
                    layout,
                    species: species[center] as usize,
                    atoms: &[atom],
                    c: &scratch.coefficients[..layout.padded_len()],
                };
                match row {
                    Numbers::F64(row) => self.invariant.values(e, row, invariant)?,
                    Numbers::F32(row) => {
                        x.try_resize(row.len(), 0.0)?;
                        self.invariant.values(e, x, invariant)?;
                        row.iter_mut().zip(&*x).for_each(|(to, x)| *to = *x as f32);
                    }
                }
            }
        }
        Ok(())
    }

    fn block(&self, memory: &mut ValuesMemory, task: Task<'_, Numbers<'_>>) -> Result<()> {
        let ValuesMemory { workspace, invariant, c, x } = memory;
        let block = Block::of(self.plan, workspace, &task, c)?;
        let width = self.invariant.width(block.species);
        x.try_resize(block.atoms.len() * width, 0.0)?;
        self.invariant.values(block.environments(self.plan, c), x, invariant)?;
        let rows = task.into_iter().flat_map(|part| part.centers).map(|(_, row)| row);
        for (mut row, x) in rows.zip(x.chunks_exact(width.max(1))) {
            row.copy_from(x);
        }
        Ok(())
    }
}

/// Centers of one species whose densities stand side by side.
pub(super) struct Block {
    pub(super) species: usize,
    /// Who they are, counted over the batch.
    pub(super) atoms: Vec<u32>,
}

impl Block {
    /// Expands the centers of a task into `c`.
    pub(super) fn of<I>(
        plan: &DensityPlan,
        workspace: &mut Workspace,
        task: &Task<'_, I>,
        c: &mut Vec<f64>,
    ) -> Result<Self> {
        let Workspace { near, scratch } = workspace;
        let mut block = Self { species: 0, atoms: Vec::new() };
        c.clear();
        for part in task {
            let mut search = part.neighbors.search(plan.weight.cutoff.radius(), near);
            for &(center, _) in &part.centers {
                block.atoms.try_extend([part.first_atom as u32 + center])?;
                let (species, center) = (part.species, center as usize);
                plan.level.run(Expand { scratch, plan, search: &mut search, species, center })?;
                block.species = species[center] as usize;
                let n = plan.center(block.species).layout.padded_len();
                c.make_room(n)?;
                c.extend_from_slice(&scratch.coefficients[..n]);
            }
        }
        Ok(block)
    }

    pub(super) fn environments<'a>(&'a self, plan: &'a DensityPlan, c: &'a [f64]) -> Environments<'a> {
        Environments {
            layout: &plan.center(self.species).layout,
            species: self.species,
            atoms: &self.atoms,
            c,
        }
    }
}

/// Bytes of an array that no cache holds.
const LARGE: usize = 32 << 20;

/// Shape [center, width] of the coefficients of every center species, in the order of the plan's species.
///
/// # Errors
/// [`crate::Error::UnknownSpecies`].
pub fn coefficient_shapes(batch: &Batch, plan: &DensityPlan) -> Result<Vec<[usize; 2]>> {
    let mut shapes: Vec<[usize; 2]> =
        (0..plan.species().len()).map(|a| [0, plan.center(a).layout.width()]).collect();
    for a in plan.species_indices(batch)? {
        shapes[a as usize][0] += 1;
    }
    Ok(shapes)
}

/// Density coefficients of all centers, one array per center species (in the order of the plan's species).
///
/// Each array is [center, width]: centers in rising (structure, atom) order, and for each degree l in turn [m, q].
/// The shapes are those of [`coefficient_shapes`]; who calls decides about the memory, whose first touch can cost more
/// than the arithmetic.
///
/// # Errors
/// As [`values`].
///
/// # Panics
/// If an array has not its shape.
pub fn density_coefficients_into(
    batch: &Batch,
    plan: &DensityPlan,
    mut arrays: Vec<Numbers<'_>>,
    run: Run<'_>,
) -> Result<()> {
    let species = plan.species_indices(batch)?;
    let shapes = coefficient_shapes(batch, plan)?;
    assert!(
        arrays.iter().map(Numbers::len).eq(shapes.iter().map(|[n, width]| n * width)),
        "arrays of other shapes"
    );
    let large = arrays.iter().map(|array| array.len() * array.size()).sum::<usize>() > LARGE;
    let rows = collected(species.iter().map(|&a| arrays[a as usize].take(shapes[a as usize][1])))?;
    fill_rows(batch, plan, &species, &Coefficients::new(plan).past_caches(large), rows, run)
}

/// [`density_coefficients_into`] new memory.
///
/// # Errors
/// As [`values`].
pub fn density_coefficients(batch: &Batch, plan: &DensityPlan, stop: Interrupt<'_>) -> Result<Vec<Vec<f64>>> {
    let shapes = coefficient_shapes(batch, plan)?;
    let mut arrays: Vec<Vec<f64>> = all_of(shapes.iter().map(|[n, width]| filled(n * width, 0.0)))?;
    density_coefficients_into(batch, plan, arrays.iter_mut().map(Numbers::from).collect(), Run::until(stop))?;
    Ok(arrays)
}
