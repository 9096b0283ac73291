//! Power spectrum (Eq. 10): `p_{q1 q2 l} = (2l + 1)^(-1/2) sum_m c_{q1 lm} c_{q2 lm}`.
//!
//! Only `q1 <= q2` is kept, with sqrt 2 off the diagonal, so that norms and scalar products are those of the full
//! array.

use std::f64::consts::SQRT_2;

use super::fill_rows;
use crate::error::Result;
use crate::expansion::{Consumer, DensityPlan, Interrupt, Layout, Numbers};
use crate::simd::Simd;
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
    /// The coefficients of one degree without their padding, and a row of products.
    type Scratch = Vec<f64>;

    #[inline(always)]
    fn consume<S: Simd>(&self, s: S, layout: &Layout, c: &[f64], row: &mut [f64], memory: &mut Vec<f64>) {
        let most = self.most_channels().next_multiple_of(S::LANES);
        memory.resize(most * (2 * layout.max_angular() + 2), 0.0);
        let mut start = 0;
        for (l, &n) in self.channels.iter().enumerate() {
            let len = n * (n + 1) / 2;
            degree(s, layout, l, n, c, memory, &mut row[start..start + len]);
            start += len;
        }
    }
}

/// All pairs of one degree.
#[inline(always)]
fn degree<S: Simd>(
    s: S,
    layout: &Layout,
    l: usize,
    n: usize,
    c: &[f64],
    scratch: &mut [f64],
    out: &mut [f64],
) {
    let stride = n.next_multiple_of(S::LANES);
    let (rows, sums) = scratch.split_at_mut((2 * l + 1) * stride);
    for m in 0..=2 * l {
        let row = &mut rows[m * stride..(m + 1) * stride];
        row[layout.channels(l)..].fill(0.0);
        layout.unpad_row(l, c, m, row);
    }
    let scale = 1.0 / ((2 * l + 1) as f64).sqrt();
    let mut at = 0;
    for q1 in 0..n {
        let first = q1 / S::LANES * S::LANES;
        let diagonal = s.splat(SQRT_2 * scale);
        for q2 in (first..stride).step_by(S::LANES) {
            let (mut even, mut odd) = (s.splat(0.0), s.splat(0.0));
            for m in (0..2 * l).step_by(2) {
                let (a, b) = (m * stride, (m + 1) * stride);
                even = s.fma(s.splat(rows[a + q1]), s.load(&rows[a + q2..]), even);
                odd = s.fma(s.splat(rows[b + q1]), s.load(&rows[b + q2..]), odd);
            }
            let last = 2 * l * stride;
            even = s.fma(s.splat(rows[last + q1]), s.load(&rows[last + q2..]), even);
            s.store(s.mul(diagonal, s.add(even, odd)), &mut sums[q2..]);
        }
        sums[q1] /= SQRT_2;
        out[at..at + n - q1].copy_from_slice(&sums[q1..n]);
        at += n - q1;
    }
}
