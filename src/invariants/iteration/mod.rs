//! Equivariants of rising order, by iteration (Eq. 11):
//!
//! `<Q; q l k | nu + 1; sigma; lambda mu> = sum_m1m2 <l m1; k m2 | lambda mu> c_qlm1 <Q | nu; s; k m2>`
//!
//! with `sigma = s (-1)^(l + k + lambda)`. Which pairs are made and how they are contracted, a fit has decided.
//!
//! | file | what it holds |
//! |---|---|
//! | `settings` | what a fit decides |
//! | `plan` | the same, checked and arranged for the kernels |
//! | `demand` | what has to be computed for what is wanted |
//! | `block` | the values of a block of environments |
//! | `forward` | coupling and contraction |
//! | `precision` | the same in double or in single precision |
//! | `adjoint` | the gradient of an energy with respect to the density coefficients |
//! | `leaf` | the iteration as an invariant |
//! | `reference` | the iteration as it is written above; the oracle |

mod adjoint;
mod block;
mod demand;
mod forward;
mod leaf;
mod plan;
mod precision;
pub mod reference;
mod settings;

pub use leaf::{Blocks, Iteration, IterationKind, LinearIteration};
pub use plan::Plan;
pub use settings::{
    CouplingSettings, InvariantsSettings, OutputSettings, PlanSettings, ProjectionSettings, StepSettings,
    Symmetry,
};
