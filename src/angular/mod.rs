//! Real spherical harmonics `Y_lm` of unit vectors and their gradients.
//!
//! Orthonormal on the sphere, no Condon-Shortley phase, index `l^2 + l + m` with `m = -l..l`; `l = 1` is (y, z, x).

mod harmonics;
pub mod reference;

pub use harmonics::{Harmonics, spherical_harmonics, spherical_harmonics_into};

/// Number of harmonics of degrees `0..=max_angular`.
#[must_use]
pub const fn n_harmonics(max_angular: usize) -> usize {
    (max_angular + 1) * (max_angular + 1)
}

/// Index of `Y_lm` in a flat array.
#[must_use]
pub const fn lm(l: usize, m: isize) -> usize {
    (l * l + l).wrapping_add_signed(m)
}
