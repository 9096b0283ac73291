//! Optimal radial bases for atom-centered density expansions.
//!
//! The modules follow the way of the data; nothing imports against it:
//!
//! ```text
//! structure -> neighbors -> angular, radial -> density -> invariants -> drive -> potential
//! ```
//!
//! | module | formula |
//! |---|---|
//! | [`structure`] | atoms, cells, batches of frames |
//! | [`neighbors`] | `r_ij = r_j - r_i + S . cell`, `|r_ij| < rc` |
//! | [`angular`] | real spherical harmonics `Y_lm` |
//! | [`radial`] | `f(r) = f_cut(r) u(r)` and the tabulated radial integrals `I_nl(r)` (Eq. 5, 9, 18) |
//! | [`density`] | `c_qlm = sum_j f(r_ij) I_ql(r_ij) Y_lm(r_ij)` (Eq. 4, 8, 18) |
//! | [`invariants`] | radial spectrum, power spectrum (Eq. 10), the body-order iteration (Eq. 11-16), kernels on these |
//! | [`drive`] | values, energies, rows and gradients of all centers of a batch |
//! | [`potential`] | error bars of fitted models |
//!
//! Equation numbers are those of Goscinski et al., J. Chem. Phys. 155, 104106 (2021). The crate knows no Python,
//! reads no files and prints nothing; lengths are Å.

pub mod angular;
pub mod density;
pub mod drive;
pub mod error;
pub mod fork;
pub mod invariants;
pub mod math;
pub mod memory;
pub mod neighbors;
pub mod parallel;
pub mod potential;
pub mod radial;
pub mod simd;
pub mod structure;

pub use error::{Error, Result};
