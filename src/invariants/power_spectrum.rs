//! Power spectrum (Eq. 10): `p_{q1 q2 l} = (2l + 1)^(-1/2) sum_m c_{q1 lm} c_{q2 lm}`.
//!
//! Only `q1 <= q2` is kept, with sqrt 2 off the diagonal, so that norms and scalar products are those of the full
//! array.

use std::f64::consts::SQRT_2;
use std::sync::{Arc, OnceLock};

use super::pair_sums::SquareMemory;
use super::products::{Products, TangentKernel};
use super::quadratic::LinearPowerSpectrum;
use super::{Along, Energy, Environments, Invariant, Memory, PairSums, Reversible, padded_places};
use crate::density::{DensityPlan, Layout};
use crate::error::Result;
use crate::memory::Grow;
use crate::simd::{self, Level, Simd, upper_products, upper_products_scratch};

/// Arrangement of the power spectrum: degrees slowest, then pairs `q1 <= q2` row by row.
#[derive(Debug, Clone)]
pub struct PowerSpectrum {
    /// Channels of each degree; where center species differ, the largest number, and missing channels are zero. [l]
    channels: Vec<usize>,
    /// Where each channel stands in a padded row. [species][l][channel]
    pub(super) places: Vec<Vec<Vec<usize>>>,
    /// Where a degree begins in padded coefficients, and the length of its rows. [species][l]
    pub(super) padded: Vec<Vec<(usize, usize)>>,
    pub(super) level: Level,
    /// Made when derivatives along directions are asked for.
    products: OnceLock<Products>,
}

/// Scratch memory of one worker.
#[derive(Debug, Default)]
pub(super) struct PowerMemory {
    /// The coefficients of one degree without their padding.
    unpadded: Vec<f64>,
    /// Room for products.
    products: Vec<f64>,
    /// A quadratic form of one degree.
    pub(super) square: Vec<f64>,
    pub(super) sums: SquareMemory,
}

impl PowerSpectrum {
    /// Of the centers of a plan.
    #[must_use]
    pub fn new(plan: &DensityPlan) -> Self {
        let channels: Vec<usize> = (0..=plan.max_angular()).map(|l| plan.max_channels(l)).collect();
        let padded = |a| (0..=plan.max_angular()).map(|l| plan.center(a).layout.padded(l)).collect();
        Self {
            channels,
            places: padded_places(plan),
            padded: (0..plan.species().len()).map(padded).collect(),
            level: plan.level(),
            products: OnceLock::new(),
        }
    }

    /// Number of features.
    #[must_use]
    pub fn width(&self) -> usize {
        (0..self.channels.len()).map(|l| self.width_of(l)).sum()
    }

    /// Number of channels of a degree.
    pub(super) fn channels(&self, l: usize) -> usize {
        self.channels[l]
    }

    /// Number of features of a degree.
    pub(super) fn width_of(&self, l: usize) -> usize {
        self.channels[l] * (self.channels[l] + 1) / 2
    }

    /// All products, one by one.
    fn products(&self) -> Result<&Products> {
        if let Some(products) = self.products.get() {
            return Ok(products);
        }
        let made = Products::new(self, None)?;
        Ok(self.products.get_or_init(|| made))
    }

    /// One row of features.
    #[inline(always)]
    fn fill<S: Simd>(
        &self,
        s: S,
        layout: &Layout,
        c: &[f64],
        row: &mut [f64],
        memory: &mut PowerMemory,
    ) -> Result<()> {
        let PowerMemory { unpadded, products, .. } = memory;
        let most = self.channels.iter().copied().max().unwrap_or(0);
        products.try_resize(upper_products_scratch(most), 0.0)?;
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

struct Values<'a, 'e> {
    spectrum: &'a PowerSpectrum,
    e: Environments<'e>,
    x: &'a mut [f64],
    memory: &'a mut PowerMemory,
}

impl simd::Kernel for Values<'_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<()> {
        let Self { spectrum, e, x, memory } = self;
        let width = x.len() / e.len().max(1);
        for which in 0..e.len() {
            let row = &mut x[which * width..(which + 1) * width];
            spectrum.fill(s, e.layout, e.density(which), row, memory)?;
        }
        Ok(())
    }
}

impl Invariant for PowerSpectrum {
    fn n_degrees(&self) -> usize {
        self.channels.len()
    }

    fn width(&self, _: usize) -> usize {
        Self::width(self)
    }

    fn memory(&self) -> Result<Memory> {
        Ok(Memory::new(PowerMemory::default()))
    }

    fn values(&self, e: Environments<'_>, x: &mut [f64], memory: &mut Memory) -> Result<()> {
        self.level.run(Values { spectrum: self, e, x, memory: memory.of() })
    }

    fn tangents(
        &self,
        e: Environments<'_>,
        which: usize,
        along: Along<'_>,
        out: &mut [f64],
        _: &mut Memory,
    ) -> Result<()> {
        let products = self.products()?.of(e.species);
        self.level.run(TangentKernel { products, c: e.density(which), along, out });
        Ok(())
    }

    fn pair_sums(&self) -> Option<&dyn PairSums> {
        Some(self)
    }

    fn reversible(self: Arc<Self>) -> Option<Arc<dyn Reversible>> {
        Some(self)
    }

    fn linear(&self, weights: &[f64]) -> Option<Result<Arc<dyn Energy>>> {
        Some(LinearPowerSpectrum::new(self, weights).map(|energy| Arc::new(energy) as Arc<dyn Energy>))
    }
}
