//! Energies as functions of the power spectrum: from their gradient by features to that by coefficients.

use std::f64::consts::FRAC_1_SQRT_2;

use crate::error::Result;
use crate::expansion::{DensityPlan, Layout};
use crate::memory::Grow;
use crate::simd::{Simd, accumulate};

/// Where the features of every degree stand, and the coefficients that they are products of.
#[derive(Debug, Clone)]
pub(super) struct QuadraticForm {
    /// Number of channels of each degree. [l]
    channels: Vec<usize>,
    /// Where each channel stands in a padded row. [species][l][channel]
    places: Vec<Vec<Vec<usize>>>,
}

impl QuadraticForm {
    pub(super) fn new(plan: &DensityPlan) -> Self {
        let of_center = |a| {
            let layout = &plan.center(a).layout;
            (0..=plan.max_angular()).map(|l| layout.padded_places(l)).collect()
        };
        Self {
            channels: (0..=plan.max_angular()).map(|l| plan.max_channels(l)).collect(),
            places: (0..plan.species().len()).map(of_center).collect(),
        }
    }

    /// For weights w of the features of one degree, the matrix `2 A` with `w . p = sum_m c^T A c`, padded.
    /// Features are ordered as by [`crate::invariants::power_spectrum`].
    #[inline(always)]
    pub(super) fn fill(&self, species: usize, l: usize, stride: usize, weights: &[f64], matrix: &mut [f64]) {
        matrix.fill(0.0);
        let (n, places) = (self.channels[l], &self.places[species][l]);
        let scale = 1.0 / ((2 * l + 1) as f64).sqrt();
        let mut start = 0;
        // Channels that this center species lacks are zero; so is what multiplies them.
        for (q1, &a) in places.iter().enumerate() {
            matrix[a * stride + a] = 2.0 * scale * weights[start];
            for (&b, weight) in places[q1 + 1..].iter().zip(&weights[start + 1..]) {
                let value = 2.0 * FRAC_1_SQRT_2 * scale * weight;
                matrix[a * stride + b] = value;
                matrix[b * stride + a] = value;
            }
            start += n - q1;
        }
    }

    /// Number of features of a degree.
    pub(super) fn width(&self, l: usize) -> usize {
        self.channels[l] * (self.channels[l] + 1) / 2
    }

    /// Number of degrees.
    pub(super) fn n_degrees(&self) -> usize {
        self.channels.len()
    }

    /// Overwrites `gradient` with `dE/dc`, padded, from `dE/dp`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub(super) fn gradient<S: Simd>(
        &self,
        s: S,
        species: usize,
        layout: &Layout,
        slopes: &[f64],
        c: &[f64],
        gradient: &mut [f64],
        square: &mut Vec<f64>,
    ) -> Result<()> {
        gradient.fill(0.0);
        let mut feature = 0;
        for l in 0..self.n_degrees() {
            let (start, stride) = layout.padded(l);
            square.try_resize(stride * stride, 0.0)?;
            self.fill(species, l, stride, &slopes[feature..], square);
            let rows = start..start + (2 * l + 1) * stride;
            let (c, g) = (&c[rows.clone()], &mut gradient[rows]);
            accumulate(s, c, stride, square, stride, 0..stride, g, stride, 2 * l + 1, stride / S::LANES);
            feature += self.width(l);
        }
        Ok(())
    }
}
