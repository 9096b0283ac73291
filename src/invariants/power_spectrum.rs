//! Power spectrum (Eq. 10): `p_{q1 q2 l} = (2l + 1)^(-1/2) sum_m c_{q1 lm} c_{q2 lm}`.
//!
//! Only `q1 <= q2` is kept, with sqrt 2 off the diagonal, so that norms and scalar products are those of the full
//! array.

use std::f64::consts::SQRT_2;

use super::fill_rows;
use crate::error::Result;
use crate::expansion::{Consumer, DensityPlan, Interrupt, Layout, Numbers};
use crate::memory::Grow;
use crate::simd::{Simd, upper_products, upper_products_scratch};
use crate::structure::Batch;

/// Arrangement of the power spectrum: degrees slowest, then pairs `q1 <= q2` row by row.
#[derive(Debug, Clone)]
pub struct PowerSpectrum {
    /// Channels of each degree. [l]
    channels: Vec<usize>,
}

impl PowerSpectrum {
    /// The arrangement for the coefficients of a plan; where center species differ in their channels, the largest
    /// number counts and missing channels are zero.
    #[must_use]
    pub fn new(plan: &DensityPlan) -> Self {
        Self { channels: (0..=plan.max_angular()).map(|l| plan.max_channels(l)).collect() }
    }

    /// Number of features.
    #[must_use]
    pub fn width(&self) -> usize {
        self.channels.iter().map(|q| q * (q + 1) / 2).sum()
    }

    /// Number of channels of a degree.
    pub(super) fn channels(&self, l: usize) -> usize {
        self.channels[l]
    }

    fn most_channels(&self) -> usize {
        self.channels.iter().copied().max().unwrap_or(0)
    }
}

/// Power spectra of all atoms, [atom, feature].
///
/// # Errors
/// As [`crate::expansion::density_coefficients`].
///
/// # Panics
/// If `values` has not this shape.
pub fn power_spectrum_into<'o>(
    batch: &Batch,
    plan: &DensityPlan,
    values: impl Into<Numbers<'o>>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let spectrum = PowerSpectrum::new(plan);
    fill_rows(batch, plan, &spectrum, spectrum.width(), values.into(), interrupt)
}

impl Consumer for PowerSpectrum {
    /// The coefficients of one degree without their padding, and room for products.
    type Scratch = [Vec<f64>; 2];

    #[inline(always)]
    fn consume<S: Simd>(
        &self,
        s: S,
        layout: &Layout,
        c: &[f64],
        row: &mut [f64],
        [unpadded, products]: &mut Self::Scratch,
    ) -> Result<()> {
        products.try_resize(upper_products_scratch(self.most_channels()), 0.0)?;
        let mut start = 0;
        for (l, &n) in self.channels.iter().enumerate() {
            let n_m = 2 * l + 1;
            let (c, stride) = if layout.in_order(l) && layout.channels(l) == n {
                let (first, stride) = layout.padded(l);
                (&c[first..first + n_m * stride], stride)
            } else {
                let stride = n.next_multiple_of(S::LANES);
                unpadded.try_resize(stride * n_m, 0.0)?;
                for m in 0..n_m {
                    let row = &mut unpadded[m * stride..(m + 1) * stride];
                    row.fill(0.0);
                    layout.unpad_row(l, c, m, row);
                }
                (unpadded.as_slice(), stride)
            };
            let scale = 1.0 / (n_m as f64).sqrt();
            let len = n * (n + 1) / 2;
            let out = &mut row[start..start + len];
            upper_products(s, c, stride, n_m, n, [scale, SQRT_2 * scale], products, out);
            start += len;
        }
        Ok(())
    }
}
