//! Numerical tools that know nothing of atoms.

pub mod b_spline;
pub mod clebsch_gordan;
