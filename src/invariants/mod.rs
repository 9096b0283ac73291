//! Rotation-invariant products of density coefficients.

mod power_spectrum;
mod radial_spectrum;

pub use power_spectrum::{PowerSpectrum, power_spectrum};
pub use radial_spectrum::radial_spectrum;

use crate::error::Result;
use crate::expansion::{Consumer, DensityPlan, Interrupt, drive, zeros};
use crate::structure::Batch;

/// One row of features per atom, in the order of the atoms. [atom, width]
fn rows_of_all<C: Consumer>(
    batch: &Batch,
    plan: &DensityPlan,
    consumer: &C,
    width: usize,
    interrupt: Interrupt<'_>,
) -> Result<Vec<f64>> {
    let species = plan.species_indices(batch)?;
    let mut values = zeros(batch.n_atoms(), width)?;
    let rows = if width == 0 {
        (0..batch.n_atoms()).map(|_| Default::default()).collect()
    } else {
        values.chunks_exact_mut(width).collect()
    };
    drive(batch, plan, &species, consumer, rows, interrupt)?;
    Ok(values)
}
