//! The neighbor density of each center on radial functions times spherical harmonics:
//!
//! `c_qlm = sum_j f(r_ij) I_{a_j q l}(r_ij) Y_lm(r_ij / |r_ij|)`  (Eq. 4, 8, 18)
//!
//! A primitive basis, one contracted per species and one combined over species are the same thing here: a table per
//! neighbor species, and for each the output channels it adds to.
//!
//! | file | what it holds |
//! |---|---|
//! | `layout` | where channel q of degree l stands, padded for vectors and packed for the user |
//! | `plan` | the checked settings of an expansion: weights, tables, species |
//! | `block` | the kernel: a block of pairs of one center |
//! | `center` | all neighbors of one center |
//! | `adjoint` | forces and virials from the gradient of an energy with respect to the coefficients |
//! | `drive` | all centers of a batch, in parallel, interruptible |
//! | `reference` | the sum as it is written above; the oracle |

mod adjoint;
mod block;
mod center;
mod drive;
mod layout;
mod plan;
pub mod reference;

pub use adjoint::{Energies, Readout, energies_and_forces};
pub use center::Workspace;
pub(crate) use drive::zeros;
pub use drive::{Consumer, Interrupt, drive, outputs_by_species};
pub use layout::Layout;
pub use plan::{CenterTables, DegreeData, DensityPlan, PlanSettings};

use crate::error::Result;
use crate::simd::Simd;
use crate::structure::Batch;

/// Packs the coefficients of a center into its row: for each degree [m, q].
struct Coefficients;

impl Consumer for Coefficients {
    #[inline(always)]
    fn consume<S: Simd>(&self, _: S, layout: &Layout, c: &[f64], row: &mut [f64]) {
        layout.pack(c, row);
    }
}

/// Density coefficients of all centers, one array per center species (in the order of the plan's species).
///
/// Each array is [center, width]: centers in rising (structure, atom) order, and for each degree l in turn [m, q].
///
/// # Errors
/// [`crate::Error::UnknownSpecies`] before any work; [`crate::Error::CoincidentAtoms`], [`crate::Error::Interrupted`].
pub fn density_coefficients(
    batch: &Batch,
    plan: &DensityPlan,
    interrupt: Interrupt<'_>,
) -> Result<Vec<Vec<f64>>> {
    let species = plan.species_indices(batch)?;
    let widths: Vec<usize> = (0..plan.species().len()).map(|a| plan.center(a).layout.width()).collect();
    let (mut arrays, rows) = outputs_by_species(&species, &widths)?;
    drive(batch, plan, &species, &Coefficients, rows.rows(&mut arrays), interrupt)?;
    Ok(arrays)
}
