//! Rotation-invariant products of density coefficients.

mod derivatives;
mod power_spectrum;
mod radial_spectrum;

pub use derivatives::{
    power_spectrum_gradients_into, power_spectrum_rows, power_spectrum_strain_into,
    radial_spectrum_gradients_into, radial_spectrum_rows, radial_spectrum_strain_into,
};
pub use power_spectrum::{PowerSpectrum, power_spectrum_into};
pub use radial_spectrum::radial_spectrum_into;

use crate::error::Result;
use crate::expansion::{Consumer, DensityPlan, Interrupt, Numbers, drive};
use crate::memory::collected;
use crate::structure::Batch;

/// Fills one row of features per atom, in the order of the atoms. [atom, width]
fn fill_rows<C: Consumer>(
    batch: &Batch,
    plan: &DensityPlan,
    consumer: &C,
    width: usize,
    mut values: Numbers<'_>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    assert!(values.len() == batch.n_atoms() * width, "array of another shape");
    let species = plan.species_indices(batch)?;
    let rows = collected(species.iter().map(|_| values.take(width)))?;
    drive(batch, plan, &species, consumer, rows, interrupt)
}
