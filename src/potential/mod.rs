//! Energies of fitted models, with forces and stress, from structures in one pass.

mod readouts;

pub use readouts::{LinearPowerSpectrum, LinearRadialSpectrum, WeightedCoefficients};

pub use crate::expansion::{Energies, energies_and_forces, energies_remembering};
