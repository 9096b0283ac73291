//! Numerical tools that know nothing of atoms.

pub mod clebsch_gordan;
pub mod hermite_spline;
