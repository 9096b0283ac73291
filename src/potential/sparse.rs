//! Sparse kernel models: energies that compare every environment with a few representative ones.
//!
//! `E_i = sum_m w_am (x_i . x_m / n_i |x_m|)^zeta` with `n_i^2 = |x_i|^2 + s_a^2`, points `m`, weights and a floor `s` for
//! each center species `a` (Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), doi:10.1103/PhysRevB.87.184115, where
//! s is zero). An environment without features, `x_i = 0`, has the energy zero; with a floor others come near it smoothly.

use std::sync::{Mutex, PoisonError};

use super::quadratic::QuadraticForm;
use crate::error::{Error, Result};
use crate::expansion::{Consumer, DensityPlan, Layout, Readout};
use crate::invariants::PowerSpectrum;
use crate::memory::{Grow, collected, filled};
use crate::simd::{Aligned, MAX_LANES, POINTS, Simd, polynomial_kernel};

/// Representative environments of every center species, and their weights.
#[derive(Debug)]
pub struct SparsePoints {
    zeta: i32,
    /// Number of features, and that number filled up to whole vectors.
    width: usize,
    stride: usize,
    species: Vec<Packed>,
}

/// The points of one center species.
#[derive(Debug, Clone, Default)]
pub struct SpeciesPoints {
    /// [point, feature]
    pub features: Vec<f64>,
    /// [point]
    pub weights: Vec<f64>,
    /// What the norm of features does not fall below, squares added; 0 for none.
    pub floor: f64,
}

/// The same: features of unit norm and weights as [`polynomial_kernel`] wants them.
#[derive(Debug)]
struct Packed {
    points: Aligned,
    weights: Vec<f64>,
    /// `s^2`
    floor: f64,
}

impl SparsePoints {
    /// From the points of each center species, with features [point, `width`]; they are normalized here.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if `zeta` is not in 1..=64, shapes disagree, a number is not finite, a floor is negative or
    /// a point is zero.
    pub fn new(zeta: u32, width: usize, points: &[SpeciesPoints]) -> Result<Self> {
        let bad = |requirement, value| Err(Error::BadParameter { name: "sparse points", requirement, value });
        if !(1..=64).contains(&zeta) {
            return bad("of an exponent zeta in 1..=64", zeta.to_string());
        }
        let stride = width.next_multiple_of(MAX_LANES);
        let mut packed = Vec::with_capacity(points.len());
        for (a, SpeciesPoints { features, weights, floor }) in points.iter().enumerate() {
            if !(floor.is_finite() && *floor >= 0.0) {
                return bad("of a floor that is not negative", floor.to_string());
            }
            if features.len() != width * weights.len() {
                let value = format!("{} features for {} points", features.len(), weights.len());
                return bad("as many as weights, with all features", value);
            }
            let n_padded = weights.len().next_multiple_of(POINTS);
            let mut blocks = Aligned::zeros(stride.saturating_mul(n_padded))?;
            for (m, from) in features.chunks_exact(width.max(1)).enumerate() {
                let norm = from.iter().map(|x| x * x).sum::<f64>().sqrt();
                if !(norm.is_finite() && norm > 0.0 && weights[m].is_finite()) {
                    return bad("finite and not zero", format!("point {m} of species index {a}"));
                }
                let block = &mut blocks[m / POINTS * POINTS * stride..];
                for (chunk, numbers) in from.chunks(MAX_LANES).enumerate() {
                    let place = (chunk * POINTS + m % POINTS) * MAX_LANES;
                    for (to, x) in block[place..].iter_mut().zip(numbers) {
                        *to = x / norm;
                    }
                }
            }
            let mut weights = collected(weights.iter().copied())?;
            weights.try_resize(n_padded, 0.0)?;
            packed.push(Packed { points: blocks, weights, floor: floor * floor });
        }
        Ok(Self { zeta: zeta as i32, width, stride, species: packed })
    }

    fn check(&self, n_species: usize, width: usize) -> Result<()> {
        if self.species.len() == n_species && self.width == width {
            return Ok(());
        }
        Err(Error::BadParameter {
            name: "sparse points",
            requirement: "of as many species and features as the plan",
            value: format!(
                "{} species and {} features for {n_species} and {width}",
                self.species.len(),
                self.width
            ),
        })
    }

    /// The energy of an environment; its features `x` [stride] are divided by their norm, the gradient by them as they
    /// were is written.
    #[inline(always)]
    fn energy<S: Simd>(&self, s: S, species: usize, x: &mut [f64], gradient: &mut [f64]) -> f64 {
        let Packed { points, weights, floor } = &self.species[species];
        let norm = (x.iter().map(|x| x * x).sum::<f64>() + floor).sqrt();
        if norm == 0.0 {
            gradient.fill(0.0);
            return 0.0;
        }
        let inverse = 1.0 / norm;
        for x in x.iter_mut() {
            *x *= inverse;
        }
        let energy = polynomial_kernel(s, x, points, self.stride, weights, self.zeta, gradient);
        let along = x.iter().zip(gradient.iter()).map(|(x, g)| x * g).sum::<f64>();
        for (g, x) in gradient.iter_mut().zip(x.iter()) {
            *g = (*g - along * x) * inverse;
        }
        energy
    }
}

/// Scratch memory of one center.
#[derive(Debug, Default)]
struct Memory {
    features: Vec<f64>,
    slopes: Vec<f64>,
    products: [Vec<f64>; 2],
    square: Vec<f64>,
}

/// A sparse kernel model on power spectra.
#[derive(Debug)]
pub struct SparsePowerSpectrum<'p> {
    spectrum: PowerSpectrum,
    form: QuadraticForm,
    points: &'p SparsePoints,
    /// Scratch memory that no thread uses at the moment.
    spare: Mutex<Vec<Memory>>,
}

impl<'p> SparsePowerSpectrum<'p> {
    /// On the power spectra of a plan.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if the points are not of as many species and features.
    pub fn new(plan: &DensityPlan, points: &'p SparsePoints) -> Result<Self> {
        let spectrum = PowerSpectrum::new(plan);
        points.check(plan.species().len(), spectrum.width())?;
        Ok(Self { spectrum, form: QuadraticForm::new(plan), points, spare: Mutex::default() })
    }
}

impl Readout for SparsePowerSpectrum<'_> {
    #[inline(always)]
    fn read<S: Simd>(
        &self,
        s: S,
        _: usize,
        species: usize,
        layout: &Layout,
        c: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = spare.unwrap_or_default();
        let Memory { features, slopes, products, square } = &mut memory;
        features.try_resize(self.points.stride, 0.0)?;
        slopes.try_resize(self.points.stride, 0.0)?;
        self.spectrum.consume(s, layout, c, &mut features[..self.points.width], products)?;
        let energy = self.points.energy(s, species, features, slopes);
        self.form.gradient(s, species, layout, slopes, c, gradient, square)?;
        features.fill(0.0);
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        Ok(energy)
    }
}

/// A sparse kernel model on coefficients of degree 0.
#[derive(Debug)]
pub struct SparseRadialSpectrum<'p> {
    points: &'p SparsePoints,
    /// Where each channel stands in a padded row. [species][channel]
    places: Vec<Vec<usize>>,
}

impl<'p> SparseRadialSpectrum<'p> {
    /// On the radial spectra of a plan.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if the points are not of as many species and features.
    pub fn new(plan: &DensityPlan, points: &'p SparsePoints) -> Result<Self> {
        points.check(plan.species().len(), plan.max_channels(0))?;
        let places = (0..plan.species().len()).map(|a| plan.center(a).layout.padded_places(0)).collect();
        Ok(Self { points, places })
    }
}

impl Readout for SparseRadialSpectrum<'_> {
    #[inline(always)]
    fn read<S: Simd>(
        &self,
        s: S,
        _: usize,
        species: usize,
        _: &Layout,
        c: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64> {
        let places = &self.places[species];
        let mut features = filled(self.points.stride, 0.0)?;
        let mut slopes = filled(self.points.stride, 0.0)?;
        for (to, &place) in features.iter_mut().zip(places) {
            *to = c[place];
        }
        let energy = self.points.energy(s, species, &mut features, &mut slopes);
        gradient.fill(0.0);
        for (slope, &place) in slopes.iter().zip(places) {
            gradient[place] = *slope;
        }
        Ok(energy)
    }
}
