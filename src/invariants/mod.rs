//! Features of a center as functions of its coefficients: values, and derivatives both ways. A center knows neither its
//! neighbors nor threads here; `drive` walks the centers.
//!
//! | file | what it holds |
//! |---|---|
//! | `coefficients` | the coefficients themselves |
//! | `radial_spectrum` | those of degree 0 |
//! | `power_spectrum` | Eq. 10 |
//! | `arrangement` | where its features and their channels stand |
//! | `quadratic` | energies linear in it, as quadratic forms of the coefficients |
//! | `pair_sums` | its derivatives, summed over pairs |
//! | `products` | it as a list of products, and derivatives along directions |
//! | `selected` | selected features of it |
//! | `iteration` | Eq. 11-16: the body-order iteration |
//! | `kernel` | polynomial kernels on any of these |
//! | `check` | what any of them must keep |

mod arrangement;
mod check;
mod coefficients;
pub mod iteration;
mod kernel;
mod pair_sums;
mod power_spectrum;
mod products;
mod quadratic;
mod radial_spectrum;
mod selected;

pub use check::{Deviations, check};
pub use coefficients::{Coefficients, WeightedCoefficients};
pub use iteration::Iteration;
pub use kernel::{Kernel, SparseKernel, SpeciesPoints};
pub use power_spectrum::PowerSpectrum;
pub use quadratic::LinearPowerSpectrum;
pub use radial_spectrum::{LinearRadialSpectrum, RadialSpectrum};
pub use selected::SelectedPowerSpectrum;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::density::{DensityPlan, Layout, PairRun};
use crate::error::{Error, Result};

/// Some centers of one species, their densities side by side: the unit of work of every invariant.
#[derive(Debug, Clone, Copy)]
pub struct Environments<'a> {
    /// Where coefficients stand.
    pub layout: &'a Layout,
    /// Index of the species of all centers.
    pub species: usize,
    /// Who they are, counted over the batch. `[environment]`
    pub atoms: &'a [u32],
    /// Padded coefficients. `[environment, layout.padded_len()]`
    pub c: &'a [f64],
}

impl<'a> Environments<'a> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.atoms.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.atoms.is_empty()
    }

    /// Coefficients of one of them.
    #[must_use]
    pub fn density(&self, which: usize) -> &'a [f64] {
        let n = self.layout.padded_len();
        &self.c[which * n..(which + 1) * n]
    }
}

/// Directions in the space of the coefficients of one center, a direction in every lane.
#[derive(Debug, Clone, Copy)]
pub struct Along<'a> {
    /// From a coefficient to the next: a multiple of 16.
    pub stride: usize,
    /// `[padded coefficient, stride]`
    pub d: &'a [f64],
}

/// Scratch memory of one worker for one invariant or energy, made once: kernels allocate nothing and lock nothing.
pub struct Memory(Box<dyn Any + Send>);

impl Memory {
    /// Of any type.
    #[must_use]
    pub fn new<T: Any + Send>(memory: T) -> Self {
        Self(Box::new(memory))
    }

    /// What was put in.
    ///
    /// # Panics
    /// If it is of another type: the memory of something else.
    pub fn of<T: Any>(&mut self) -> &mut T {
        self.0.downcast_mut().expect("the memory of this invariant")
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

/// Features of a center as a differentiable function of its coefficients.
pub trait Invariant: fmt::Debug + Send + Sync {
    /// Number of degrees that the features depend on.
    fn n_degrees(&self) -> usize;

    /// Number of features of a center of a species.
    fn width(&self, species: usize) -> usize;

    /// Whether rotations leave the features as they are, so that derivatives by the strain are symmetric.
    fn is_invariant(&self) -> bool {
        true
    }

    /// How many environments are best worked on together. No number depends on which ones are.
    fn grain(&self) -> usize {
        1
    }

    /// The same where each is followed along many directions.
    fn grain_of_rows(&self) -> usize {
        1
    }

    /// Scratch memory.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], as of all methods here.
    fn memory(&self) -> Result<Memory>;

    /// Writes the features, `x [environment, width]`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn values(&self, e: Environments<'_>, x: &mut [f64], memory: &mut Memory) -> Result<()>;

    /// Writes `df/dc . d` of one of the environments that [`Self::values`] saw last, for every direction d:
    /// `out [width, stride]`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn tangents(
        &self,
        e: Environments<'_>,
        which: usize,
        along: Along<'_>,
        out: &mut [f64],
        memory: &mut Memory,
    ) -> Result<()>;

    /// A shorter way to derivatives summed over pairs, if there is one.
    fn pair_sums(&self) -> Option<&dyn PairSums> {
        None
    }

    /// The same with the way back, if there is one.
    fn reversible(self: Arc<Self>) -> Option<Arc<dyn Reversible>> {
        None
    }

    /// The energy of weights `[species, feature]`, without making the features, if there is such a way. It is an
    /// [`Error::BadParameter`] if there are not as many weights as features, or one is not finite.
    fn linear(&self, weights: &[f64]) -> Option<Result<Arc<dyn Energy>>> {
        let _ = weights;
        None
    }
}

/// Features with the way back from their slopes to those of the coefficients.
pub trait Reversible: Invariant {
    /// Overwrites `g`, padded, with `(df/dc)^T s` of a single environment, `s [width]`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn pull_back(&self, e: Environments<'_>, s: &[f64], g: &mut [f64], memory: &mut Memory) -> Result<()>;
}

/// Derivatives of the features of centers, summed over pairs: sums over m are made once per pair and channel there, not
/// once per direction and feature. Memory is that of the invariant.
pub trait PairSums: Sync {
    /// Adds `factor` times the derivative of the features along a change of the coefficients: `c` and `delta` padded.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], as of all methods here.
    fn along(
        &self,
        plan: &DensityPlan,
        species: usize,
        c_and_delta: [&[f64]; 2],
        factor: f64,
        row: &mut [f64],
        memory: &mut Memory,
    ) -> Result<()>;

    /// Sums what the neighbors of the pairs of a run do when they move, the same for all of them.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn add(&self, plan: &DensityPlan, run: &PairRun<'_>, memory: &mut Memory) -> Result<()>;

    /// Adds the sums over all runs of centers and neighbors of some species to the rows x, y, z, which begin at `0`,
    /// `stride` and `2 stride`, and zeros them.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn close(
        &self,
        plan: &DensityPlan,
        center_and_neighbor: [usize; 2],
        rows: &mut [f64],
        stride: usize,
        memory: &mut Memory,
    ) -> Result<()>;
}

/// An energy of every environment, and its gradient by the coefficients.
pub trait Energy: fmt::Debug + Send + Sync {
    /// How many environments are best worked on together.
    fn grain(&self) -> usize {
        1
    }

    /// Scratch memory.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn memory(&self) -> Result<Memory>;

    /// Writes `energies [environment]`, and overwrites `gradients`, padded `[environment, layout.padded_len()]`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn read(
        &self,
        e: Environments<'_>,
        energies: &mut [f64],
        gradients: &mut [f64],
        memory: &mut Memory,
    ) -> Result<()>;
}

impl<E: Energy + ?Sized> Energy for &E {
    fn grain(&self) -> usize {
        (**self).grain()
    }

    fn memory(&self) -> Result<Memory> {
        (**self).memory()
    }

    fn read(
        &self,
        e: Environments<'_>,
        energies: &mut [f64],
        gradients: &mut [f64],
        memory: &mut Memory,
    ) -> Result<()> {
        (**self).read(e, energies, gradients, memory)
    }
}

/// Weights are finite, and one for each species and feature.
fn check_weights(weights: &[f64], n_species: usize, width: usize) -> Result<()> {
    if weights.len() == n_species * width && weights.iter().all(|w| w.is_finite()) {
        return Ok(());
    }
    Err(Error::BadParameter {
        name: "weights",
        requirement: "finite, one for each species and feature",
        value: format!("{} for {n_species} species and {width} features", weights.len()),
    })
}

/// Where each channel stands in a padded row of its degree. `[species][l][channel]`
fn padded_places(plan: &DensityPlan) -> Vec<Vec<Vec<usize>>> {
    let of_center = |a| {
        let layout = &plan.center(a).layout;
        (0..=plan.max_angular()).map(|l| layout.padded_places(l)).collect()
    };
    (0..plan.species().len()).map(of_center).collect()
}
