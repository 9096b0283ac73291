//! Power spectrum (Eq. 10): `p_{q1 q2 l} = (2l + 1)^(-1/2) sum_m c_{q1 lm} c_{q2 lm}`.
//!
//! Only `q1 <= q2` is kept, with sqrt 2 off the diagonal, so that norms and scalar products are those of the full
//! array.

use std::f64::consts::SQRT_2;
use std::sync::{Arc, OnceLock};

use super::arrangement::Arrangement;
use super::pair_sums::SquareMemory;
use super::products::{Products, TangentKernel};
use super::quadratic::{LinearPowerSpectrum, PullBack};
use super::{Along, Energy, Environments, Invariant, Memory, PairSums, Reversible};
use crate::density::{DensityPlan, Layout, PairRun};
use crate::error::Result;
use crate::memory::Grow;
use crate::simd::{self, Simd, upper_products, upper_products_scratch};

/// The power spectrum: degrees slowest, then pairs `q1 <= q2` row by row.
#[derive(Debug, Clone)]
pub struct PowerSpectrum {
    arrangement: Arrangement,
    /// Made when derivatives along directions are asked for.
    products: OnceLock<Products>,
}

/// Scratch memory of one worker.
#[derive(Debug, Default)]
struct PowerMemory {
    /// The coefficients of one degree without their padding.
    unpadded: Vec<f64>,
    /// Room for products.
    products: Vec<f64>,
    /// A quadratic form of one degree.
    square: Vec<f64>,
    sums: SquareMemory,
}

impl PowerSpectrum {
    /// Of the centers of a plan; where center species differ in their channels, the largest number counts and missing
    /// channels are zero.
    #[must_use]
    pub fn new(plan: &DensityPlan) -> Self {
        Self { arrangement: Arrangement::new(plan), products: OnceLock::new() }
    }

    /// Number of features.
    #[must_use]
    pub fn width(&self) -> usize {
        self.arrangement.width()
    }

    /// All products, one by one.
    fn products(&self) -> Result<&Products> {
        if let Some(products) = self.products.get() {
            return Ok(products);
        }
        let made = Products::new(&self.arrangement, None)?;
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
        let most = self.arrangement.channels.iter().copied().max().unwrap_or(0);
        products.try_resize(upper_products_scratch(most), 0.0)?;
        let mut start = 0;
        for (l, &n) in self.arrangement.channels.iter().enumerate() {
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
        self.arrangement.channels.len()
    }

    fn width(&self, _: usize) -> usize {
        Self::width(self)
    }

    fn memory(&self) -> Result<Memory> {
        Ok(Memory::new(PowerMemory::default()))
    }

    fn values(&self, e: Environments<'_>, x: &mut [f64], memory: &mut Memory) -> Result<()> {
        self.arrangement.level.run(Values { spectrum: self, e, x, memory: memory.of() })
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
        self.arrangement.level.run(TangentKernel { products, c: e.density(which), along, out });
        Ok(())
    }

    fn pair_sums(&self) -> Option<&dyn PairSums> {
        Some(self)
    }

    fn reversible(self: Arc<Self>) -> Option<Arc<dyn Reversible>> {
        Some(self)
    }

    fn linear(&self, weights: &[f64]) -> Option<Result<Arc<dyn Energy>>> {
        Some(
            LinearPowerSpectrum::of(&self.arrangement, weights)
                .map(|energy| Arc::new(energy) as Arc<dyn Energy>),
        )
    }
}

impl Reversible for PowerSpectrum {
    fn pull_back(&self, e: Environments<'_>, s: &[f64], g: &mut [f64], memory: &mut Memory) -> Result<()> {
        let square = &mut memory.of::<PowerMemory>().square;
        let (arrangement, species, layout, c) = (&self.arrangement, e.species, e.layout, e.density(0));
        let (slopes, gradient) = (s, g);
        arrangement.level.run(PullBack { arrangement, species, layout, c, slopes, gradient, square })
    }
}

impl PairSums for PowerSpectrum {
    fn along(
        &self,
        plan: &DensityPlan,
        species: usize,
        c_and_delta: [&[f64]; 2],
        factor: f64,
        row: &mut [f64],
        memory: &mut Memory,
    ) -> Result<()> {
        let square = &mut memory.of::<PowerMemory>().square;
        self.arrangement.along(plan, species, c_and_delta, factor, row, square)
    }

    fn add(&self, plan: &DensityPlan, run: &PairRun<'_>, memory: &mut Memory) -> Result<()> {
        self.arrangement.add(plan, run, &mut memory.of::<PowerMemory>().sums)
    }

    fn close(
        &self,
        plan: &DensityPlan,
        center_and_neighbor: [usize; 2],
        rows: &mut [f64],
        stride: usize,
        memory: &mut Memory,
    ) -> Result<()> {
        let sums = &mut memory.of::<PowerMemory>().sums;
        self.arrangement.close(plan, center_and_neighbor, rows, stride, sums);
        Ok(())
    }
}

impl LinearPowerSpectrum {
    /// From weights [species, feature].
    ///
    /// # Errors
    /// [`crate::Error::BadParameter`] if there are not as many weights as features, or one is not finite.
    pub fn new(spectrum: &PowerSpectrum, weights: &[f64]) -> Result<Self> {
        Self::of(&spectrum.arrangement, weights)
    }
}
