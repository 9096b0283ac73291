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
//! | `differential` | features as functions of the coefficients, and what a run of pairs does to these |
//! | `linear` | the coefficients themselves as such features |
//! | `jacobian` | derivatives of the summed features of one structure by positions and strain |
//! | `gradients` | derivatives of the features of every center by the positions around it |
//! | `strain` | derivatives of the features of every center by the strain |
//! | `adjoint` | forces and virials from the gradient of an energy with respect to the coefficients |
//! | `numbers` | output in double or single precision |
//! | `drive` | all centers of a batch, in parallel, interruptible |
//! | `reference` | the sum as it is written above; the oracle |

mod adjoint;
mod block;
mod center;
mod differential;
mod drive;
mod gradients;
mod jacobian;
mod layout;
mod linear;
mod numbers;
mod plan;
pub mod reference;
mod strain;

pub use adjoint::{Energies, Readout, energies_and_forces, energies_remembering};
pub use center::Workspace;
pub use differential::{Differential, PairRun};
pub use drive::{Consumer, Interrupt, drive};
pub(crate) use gradients::fill_gradients;
pub use gradients::{GradientArrays, coefficient_gradients_into, count_gradients};
pub(crate) use jacobian::jacobian_rows;
pub use jacobian::{coefficient_row_width, coefficient_rows};
pub use layout::Layout;
pub(crate) use linear::{Linear, LinearFeatures};
pub use numbers::Numbers;
pub use plan::{CenterTables, DegreeData, DensityPlan, PlanSettings};
pub(crate) use strain::add_strain_gradients;

use crate::error::Result;
use crate::memory::{all_of, collected, filled};
use crate::simd::{Simd, copy_past_caches};
use crate::structure::Batch;

/// Packs the coefficients of a center into its row: for each degree [m, q].
struct Coefficients {
    /// The array is larger than the caches.
    large: bool,
}

/// Bytes of an array that no cache holds.
const LARGE: usize = 32 << 20;

impl Consumer for Coefficients {
    type Scratch = ();

    #[inline(always)]
    fn consume<S: Simd>(&self, s: S, layout: &Layout, c: &[f64], row: &mut [f64], (): &mut ()) -> Result<()> {
        match layout.without_padding(c) {
            Some(packed) if self.large => copy_past_caches(s, packed, row),
            _ => layout.pack(c, row),
        }
        Ok(())
    }
}

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
/// [`crate::Error::UnknownSpecies`] before any work; [`crate::Error::CoincidentAtoms`], [`crate::Error::Interrupted`].
///
/// # Panics
/// If an array has not its shape.
pub fn density_coefficients_into<'o>(
    batch: &Batch,
    plan: &DensityPlan,
    arrays: Vec<impl Into<Numbers<'o>>>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let species = plan.species_indices(batch)?;
    let shapes = coefficient_shapes(batch, plan)?;
    let mut arrays: Vec<Numbers<'o>> = arrays.into_iter().map(Into::into).collect();
    assert!(
        arrays.iter().map(Numbers::len).eq(shapes.iter().map(|[n, width]| n * width)),
        "arrays of other shapes"
    );
    let large = arrays.iter().map(|array| array.len() * array.size()).sum::<usize>() > LARGE;
    let rows = collected(species.iter().map(|&a| arrays[a as usize].take(shapes[a as usize][1])))?;
    drive(batch, plan, &species, &Coefficients { large }, rows, interrupt)
}

/// [`density_coefficients_into`] new memory.
///
/// # Errors
/// As there.
pub fn density_coefficients(
    batch: &Batch,
    plan: &DensityPlan,
    interrupt: Interrupt<'_>,
) -> Result<Vec<Vec<f64>>> {
    let shapes = coefficient_shapes(batch, plan)?;
    let mut arrays: Vec<Vec<f64>> = all_of(shapes.iter().map(|[n, width]| filled(n * width, 0.0)))?;
    density_coefficients_into(batch, plan, arrays.iter_mut().map(Vec::as_mut_slice).collect(), interrupt)?;
    Ok(arrays)
}
