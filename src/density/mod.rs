//! The neighbor density of each center on radial functions times spherical harmonics:
//!
//! `c_qlm = sum_j f(r_ij) I_{a_j q l}(r_ij) Y_lm(r_ij / |r_ij|)`  (Eq. 4, 8, 18)
//!
//! A primitive basis, one contracted per species and one combined over species are the same thing here: a table per
//! neighbor species, and for each the output channels it adds to. One center at a time; what becomes of its coefficients
//! is not known here.
//!
//! | file | what it holds |
//! |---|---|
//! | `layout` | where channel q of degree l stands, padded for vectors and packed for the user |
//! | `plan` | the checked settings of an expansion: weights, tables, species |
//! | `block` | the kernel: a block of pairs of one center |
//! | `center` | all neighbors of one center |
//! | `backward` | derivatives of a block's radial functions and harmonics, and the pull of a pair |
//! | `passes` | forward from the pairs of a center, and back to the atoms |
//! | `pairs` | what a run of pairs does to the coefficients |
//! | `directions` | how the coefficients of a center change with every atom around it |
//! | `reference` | the sum as it is written above; the oracle |

mod backward;
mod block;
mod center;
mod directions;
mod layout;
mod pairs;
mod passes;
mod plan;
pub mod reference;

pub(crate) use backward::Backward;
pub(crate) use block::Block;
pub(crate) use center::{Around, Expand, Scratch, Workspace};
pub(crate) use directions::{Directions, VOIGT};
pub use layout::Layout;
pub(crate) use layout::PAIRS;
pub use pairs::PairRun;
pub(crate) use pairs::{Accumulate, Component, Evaluate, Lanes, Reversed};
pub(crate) use passes::{Forward, Pulls};
pub use plan::{CenterTables, DegreeData, DensityPlan, PlanSettings};
