//! Energies of fitted models, with forces and stress, from structures in one pass.

mod quadratic;
mod readouts;
mod sparse;
mod uncertainty;

pub use readouts::{LinearPowerSpectrum, LinearRadialSpectrum, WeightedCoefficients};
pub use sparse::{SparsePoints, SparsePowerSpectrum, SparseRadialSpectrum, SpeciesPoints};
pub use uncertainty::LinearUncertainty;

pub use crate::expansion::{Energies, energies_and_forces, energies_remembering};
