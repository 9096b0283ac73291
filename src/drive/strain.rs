//! Derivatives of the features of every center by the strain, `r -> (1 + strain) r`:
//!
//! `dF_i/d(strain_xy) = dF_i/dc_i . sum_j (dc_i/dr_ij)_x (r_ij)_y`
//!
//! The sum over pairs is made in the coefficients; images of the center are pairs as others.

use super::Run;
use super::tasks::{Job, Task, drive};
use crate::density::{DensityPlan, Directions, Expand, Workspace};
use crate::error::Result;
use crate::invariants::{self, Along, Environments, Invariant};
use crate::memory::{Grow, collected};
use crate::structure::Batch;

/// Writes the derivatives of invariant features of all centers, in the order of Voigt: `values` [atom, 6, feature].
///
/// # Errors
/// As [`super::values()`].
///
/// # Panics
/// If the array has not its shape, or the features are not invariant.
pub fn strain_gradients(
    batch: &Batch,
    plan: &DensityPlan,
    invariant: &dyn Invariant,
    values: &mut [f64],
    run: Run<'_>,
) -> Result<()> {
    assert!(invariant.is_invariant(), "six components are enough for invariants only");
    let species = plan.species_indices(batch)?;
    let width = 6 * invariant.width(0);
    assert!(values.len() == width * batch.n_atoms(), "array of another shape");
    let rows = collected(values.chunks_exact_mut(width.max(1)))?;
    drive(batch, plan, &species, 1, &Strain { plan, invariant }, rows, &mut |_| Ok(()), run)
}

struct Strain<'j> {
    plan: &'j DensityPlan,
    invariant: &'j dyn Invariant,
}

struct Memory {
    workspace: Workspace,
    features: invariants::Memory,
    directions: Directions,
    x: Vec<f64>,
    out: Vec<f64>,
}

impl Job for Strain<'_> {
    type Item<'o> = &'o mut [f64];
    type Memory = Memory;
    type Output = ();
    const CENTERS: usize = 8;

    fn memory(&self) -> Result<Memory> {
        Ok(Memory {
            workspace: Workspace::new(self.plan)?,
            features: self.invariant.memory()?,
            directions: Directions::default(),
            x: Vec::new(),
            out: Vec::new(),
        })
    }

    fn run(&self, memory: &mut Memory, task: Task<'_, &mut [f64]>) -> Result<()> {
        let Memory { workspace: Workspace { near, scratch }, features, directions, x, out } = memory;
        let plan = self.plan;
        for part in task {
            let species = part.species;
            let mut search = part.neighbors.search(plan.weight.cutoff.radius(), near);
            for (atom, rows) in part.centers {
                let (center, own) = (atom as usize, species[atom as usize] as usize);
                plan.level.run(Expand { scratch, plan, search: &mut search, species, center })?;
                directions.of_strain(plan, self.invariant.n_degrees(), &search, own, scratch)?;
                let layout = &plan.center(own).layout;
                let (atoms, c) =
                    (&[part.first_atom as u32 + atom], &scratch.coefficients[..layout.padded_len()]);
                let width = self.invariant.width(own);
                if let Some(sums) = self.invariant.pair_sums() {
                    for (row, delta) in rows.chunks_exact_mut(width.max(1)).zip(directions.strained()) {
                        row.fill(0.0);
                        sums.along(plan, own, [c, delta], 1.0, row, features)?;
                    }
                    continue;
                }
                let e = Environments { layout, species: own, atoms, c };
                x.try_resize(width, 0.0)?;
                self.invariant.values(e, x, features)?;
                directions.arrange_strain();
                let stride = directions.stride;
                out.clear();
                out.try_resize(width * stride, 0.0)?;
                self.invariant.tangents(e, 0, Along { stride, d: &directions.values }, out, features)?;
                for (component, row) in rows.chunks_exact_mut(width.max(1)).enumerate() {
                    let from = out[component..].iter().step_by(stride);
                    row.iter_mut().zip(from).for_each(|(to, x)| *to = *x);
                }
            }
        }
        Ok(())
    }
}
