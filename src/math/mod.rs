//! Numerical tools that know nothing of atoms.

pub mod hermite_spline;
