//! All centers of a batch, in parallel, interruptible: the verbs `values`, `energies`, `rows` and `gradients` for any
//! invariant. Which one it is, is not known here.
//!
//! | file | what it holds |
//! |---|---|
//! | `tasks` | centers cut into tasks, in waves between which the caller may stop |
//! | `values` | features of all centers; densities |
//! | `energies` | energies, forces and virials |
//! | `rows` | derivatives of the summed features of one structure by positions and strain |
//! | `pair_rows` | the same from sums over pairs |
//! | `columns` | what stands where in a row |
//! | `gradients` | derivatives of the features of every center by the positions around it |
//! | `strain` | derivatives of the features of every center by the strain |
//! | `environments` | the same for densities that are there already, without structures |
//! | `numbers` | output in double or single precision |

mod columns;
mod energies;
mod environments;
mod gradients;
mod numbers;
mod pair_rows;
mod rows;
mod strain;
mod tasks;
mod values;

pub use energies::{Energies, energies};
pub use environments::{energies_of, equivariants_of, values_of};
pub use gradients::{GradientArrays, count_gradients, gradients};
pub use numbers::Numbers;
pub use rows::{row_width, rows};
pub use strain::strain_gradients;
pub use values::{coefficient_shapes, density_coefficients, density_coefficients_into, values};

pub use crate::parallel::Interrupt;

use crate::neighbors::SkinLists;

/// How a verb runs; by default it searches its neighbors and is never stopped.
#[derive(Default)]
pub struct Run<'a> {
    /// Asked between waves of work; `true` stops it.
    pub interrupt: Option<Interrupt<'a>>,
    /// Neighbors that are remembered from call to call; the order of the neighbors, hence the last bits, then depends on
    /// when they were listed.
    pub skin: Option<&'a mut SkinLists>,
}

impl<'a> Run<'a> {
    /// One that asks now and then whether to stop.
    #[must_use]
    pub fn until(interrupt: Interrupt<'a>) -> Self {
        Self { interrupt: Some(interrupt), skin: None }
    }
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("skin", &self.skin).finish_non_exhaustive()
    }
}
