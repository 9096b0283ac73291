//! Linear readouts: an energy that is a weighted sum of features, and its gradient with respect to the coefficients.

use std::f64::consts::FRAC_1_SQRT_2;

use crate::error::{Error, Result};
use crate::expansion::{DensityPlan, Layout, Readout};
use crate::invariants::PowerSpectrum;
use crate::simd::{Simd, accumulate};

/// `E_i = sum_k w_ak p_k` with the power spectrum `p` (Eq. 10) and weights for each center species a.
///
/// As a quadratic form of the coefficients it is `sum_lm c^T A_al c`; the gradient is `2 A c`.
#[derive(Debug, Clone)]
pub struct LinearPowerSpectrum {
    /// `2 A` of each center species and degree, padded. [species][l][q, q]
    matrices: Vec<Vec<Vec<f64>>>,
}

fn check(weights: &[f64], n_species: usize, width: usize) -> Result<()> {
    if weights.len() == n_species * width && weights.iter().all(|w| w.is_finite()) {
        return Ok(());
    }
    Err(Error::BadParameter {
        name: "weights",
        requirement: "finite, one for each species and feature",
        value: format!("{} for {n_species} species and {width} features", weights.len()),
    })
}

impl LinearPowerSpectrum {
    /// From weights [species, feature], features ordered as by [`crate::invariants::power_spectrum`].
    ///
    /// # Errors
    /// [`Error::BadParameter`] if there are not as many weights as features, or one is not finite.
    pub fn new(plan: &DensityPlan, weights: &[f64]) -> Result<Self> {
        let spectrum = PowerSpectrum::new(plan);
        let width = spectrum.width();
        check(weights, plan.species().len(), width)?;
        let matrices = (0..plan.species().len())
            .map(|a| Self::matrices_of(plan, a, &weights[a * width..(a + 1) * width]))
            .collect();
        Ok(Self { matrices })
    }

    fn matrices_of(plan: &DensityPlan, species: usize, weights: &[f64]) -> Vec<Vec<f64>> {
        let layout = &plan.center(species).layout;
        let mut start = 0;
        (0..=plan.max_angular())
            .map(|l| {
                let (n, stride) = (plan.max_channels(l), layout.padded(l).1);
                let place = layout.padded_places(l);
                let scale = 1.0 / ((2 * l + 1) as f64).sqrt();
                let mut matrix = vec![0.0; stride * stride];
                let mut k = start;
                for q1 in 0..n {
                    for q2 in q1..n {
                        // Channels that this center species lacks are zero; so is what multiplies them.
                        if let (Some(&a), Some(&b)) = (place.get(q1), place.get(q2)) {
                            let factor = if q1 == q2 { 2.0 } else { 2.0 * FRAC_1_SQRT_2 };
                            matrix[a * stride + b] = factor * scale * weights[k];
                            matrix[b * stride + a] = factor * scale * weights[k];
                        }
                        k += 1;
                    }
                }
                start = k;
                matrix
            })
            .collect()
    }
}

impl Readout for LinearPowerSpectrum {
    #[inline(always)]
    fn read<S: Simd>(
        &self,
        s: S,
        _: usize,
        species: usize,
        layout: &Layout,
        c: &[f64],
        gradient: &mut [f64],
    ) -> f64 {
        gradient.fill(0.0);
        for (l, matrix) in self.matrices[species].iter().enumerate() {
            let (start, stride) = layout.padded(l);
            let rows = start..start + (2 * l + 1) * stride;
            let (c, g) = (&c[rows.clone()], &mut gradient[rows]);
            accumulate(s, c, stride, matrix, stride, 0..stride, g, stride, 2 * l + 1, stride / S::LANES);
        }
        // E = c^T A c = c . g / 2
        0.5 * c.iter().zip(gradient.iter()).map(|(c, g)| c * g).sum::<f64>()
    }
}

/// `E_i = sum_q w_aq c_q00`: a two-body potential.
#[derive(Debug, Clone)]
pub struct LinearRadialSpectrum {
    /// Weights in the padded l = 0 row of each center species.
    weights: Vec<Vec<f64>>,
}

impl LinearRadialSpectrum {
    /// From weights [species, channel].
    ///
    /// # Errors
    /// [`Error::BadParameter`] if there are not as many weights as channels, or one is not finite.
    pub fn new(plan: &DensityPlan, weights: &[f64]) -> Result<Self> {
        let width = plan.max_channels(0);
        check(weights, plan.species().len(), width)?;
        let weights = (0..plan.species().len())
            .map(|a| {
                let layout = &plan.center(a).layout;
                let mut row = vec![0.0; layout.padded(0).1];
                for (&place, &weight) in layout.padded_places(0).iter().zip(&weights[a * width..]) {
                    row[place] = weight;
                }
                row
            })
            .collect();
        Ok(Self { weights })
    }
}

impl Readout for LinearRadialSpectrum {
    #[inline(always)]
    fn read<S: Simd>(
        &self,
        _: S,
        _: usize,
        species: usize,
        _: &Layout,
        c: &[f64],
        gradient: &mut [f64],
    ) -> f64 {
        let weights = &self.weights[species];
        gradient.fill(0.0);
        gradient[..weights.len()].copy_from_slice(weights);
        weights.iter().zip(c).map(|(w, c)| w * c).sum()
    }
}

/// `E = sum_i sum_k w_ik c_ik` with a weight for every coefficient of every atom: the vector-Jacobian product of the
/// expansion, `w = dE/dc` of whatever energy comes after it.
#[derive(Debug, Clone)]
pub struct WeightedCoefficients<'w> {
    /// Packed rows, as the coefficients. [atom][width]
    rows: Vec<&'w [f64]>,
}

impl<'w> WeightedCoefficients<'w> {
    /// From one packed row for every atom of a batch; `species` holds their species indices.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if a row has not the width of its center's coefficients.
    pub fn new(plan: &DensityPlan, species: &[u32], rows: Vec<&'w [f64]>) -> Result<Self> {
        let fits = |(row, &a): (&&[f64], &u32)| row.len() == plan.center(a as usize).layout.width();
        if rows.len() != species.len() || !rows.iter().zip(species).all(fits) {
            return Err(Error::BadParameter {
                name: "weights of coefficients",
                requirement: "as many as coefficients",
                value: format!("{} rows for {} atoms", rows.len(), species.len()),
            });
        }
        Ok(Self { rows })
    }
}

impl Readout for WeightedCoefficients<'_> {
    #[inline(always)]
    fn read<S: Simd>(
        &self,
        _: S,
        atom: usize,
        _: usize,
        layout: &Layout,
        c: &[f64],
        gradient: &mut [f64],
    ) -> f64 {
        layout.unpack(self.rows[atom], gradient);
        c.iter().zip(gradient.iter()).map(|(c, g)| c * g).sum()
    }
}
