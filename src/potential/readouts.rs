//! Linear readouts: an energy that is a weighted sum of features, and its gradient with respect to the coefficients.

use super::quadratic::QuadraticForm;
use crate::error::{Error, Result};
use crate::expansion::{DensityPlan, Layout, Readout};
use crate::invariants::PowerSpectrum;
use crate::memory::{all_of, filled};
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
        let form = QuadraticForm::new(plan);
        let of_species = |a: usize| {
            let mut start = a * width;
            let of_degree = |l| {
                let stride = plan.center(a).layout.padded(l).1;
                let mut matrix = filled(stride * stride, 0.0)?;
                form.fill(a, l, stride, &weights[start..], &mut matrix);
                start += form.width(l);
                Ok(matrix)
            };
            all_of((0..form.n_degrees()).map(of_degree))
        };
        Ok(Self { matrices: all_of((0..plan.species().len()).map(of_species))? })
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
    ) -> Result<f64> {
        gradient.fill(0.0);
        for (l, matrix) in self.matrices[species].iter().enumerate() {
            let (start, stride) = layout.padded(l);
            let rows = start..start + (2 * l + 1) * stride;
            let (c, g) = (&c[rows.clone()], &mut gradient[rows]);
            accumulate(s, c, stride, matrix, stride, 0..stride, g, stride, 2 * l + 1, stride / S::LANES);
        }
        // E = c^T A c = c . g / 2
        Ok(0.5 * c.iter().zip(gradient.iter()).map(|(c, g)| c * g).sum::<f64>())
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
                let mut row = filled(layout.padded(0).1, 0.0)?;
                for (&place, &weight) in layout.padded_places(0).iter().zip(&weights[a * width..]) {
                    row[place] = weight;
                }
                Ok(row)
            })
            .collect::<Result<_>>()?;
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
    ) -> Result<f64> {
        let weights = &self.weights[species];
        gradient.fill(0.0);
        gradient[..weights.len()].copy_from_slice(weights);
        Ok(weights.iter().zip(c).map(|(w, c)| w * c).sum())
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
    ) -> Result<f64> {
        layout.unpack(self.rows[atom], gradient);
        Ok(c.iter().zip(gradient.iter()).map(|(c, g)| c * g).sum())
    }
}
