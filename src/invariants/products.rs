//! Features as a list of products `f sum_m c_m1 c_m2`: selected ones of the power spectrum, and derivatives of all of
//! them along directions.

use std::f64::consts::SQRT_2;
use std::sync::Arc;

use super::power_spectrum::PowerSpectrum;
use super::{Along, Energy, Environments, Invariant, Memory, Reversible, check_weights};
use crate::density::DensityPlan;
use crate::error::{Error, Result};
use crate::memory::{Grow, all_of, collected, filled};
use crate::simd::{self, Level, Simd};

/// A feature: places of both channels at the first m, from one m to the next, how many m, and the factor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    first: usize,
    second: usize,
    stride: usize,
    n_m: usize,
    factor: f64,
}

/// The products of every center species; none where a species lacks a channel, and the feature is zero.
#[derive(Debug, Clone)]
pub(super) struct Products(Vec<Vec<Option<Product>>>);

impl Products {
    /// Those of a power spectrum, or some of them in an order of their own.
    pub(super) fn new(spectrum: &PowerSpectrum, columns: Option<&[usize]>) -> Result<Self> {
        let of_species = |(padded, places): (&Vec<(usize, usize)>, &Vec<Vec<usize>>)| {
            let mut all = Vec::new();
            for (l, (&(start, stride), places)) in padded.iter().zip(places).enumerate() {
                let n = spectrum.channels(l);
                let scale = 1.0 / ((2 * l + 1) as f64).sqrt();
                for q1 in 0..n {
                    for q2 in q1..n {
                        let factor = if q1 == q2 { scale } else { SQRT_2 * scale };
                        let product = |(&first, &second)| Product {
                            first: start + first,
                            second: start + second,
                            stride,
                            n_m: 2 * l + 1,
                            factor,
                        };
                        all.try_extend([places.get(q1).zip(places.get(q2)).map(product)])?;
                    }
                }
            }
            match columns {
                None => Ok(all),
                Some(columns) => collected(columns.iter().map(|&k| all[k])),
            }
        };
        all_of(spectrum.padded.iter().zip(&spectrum.places).map(of_species)).map(Self)
    }

    pub(super) fn of(&self, species: usize) -> &[Option<Product>] {
        &self.0[species]
    }
}

/// Derivatives of products along directions. [product, stride]
pub(super) struct TangentKernel<'a> {
    pub(super) products: &'a [Option<Product>],
    pub(super) c: &'a [f64],
    pub(super) along: Along<'a>,
    pub(super) out: &'a mut [f64],
}

impl simd::Kernel for TangentKernel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { products, c, along: Along { stride, d }, out } = self;
        for (k, product) in products.iter().enumerate() {
            let out = &mut out[k * stride..(k + 1) * stride];
            let Some(p) = product else {
                out.fill(0.0);
                continue;
            };
            for lane in (0..stride).step_by(2 * S::LANES) {
                let mut sum = [s.splat(0.0); 2];
                for m in 0..p.n_m {
                    let (first, second) = (p.first + m * p.stride, p.second + m * p.stride);
                    let (a, b) = (s.splat(p.factor * c[first]), s.splat(p.factor * c[second]));
                    for v in 0..2 {
                        let at = lane + v * S::LANES;
                        sum[v] = s.fma(a, s.load(&d[second * stride + at..]), sum[v]);
                        sum[v] = s.fma(b, s.load(&d[first * stride + at..]), sum[v]);
                    }
                }
                for v in 0..2 {
                    s.store(sum[v], &mut out[lane + v * S::LANES..]);
                }
            }
        }
    }
}

/// Some features of a power spectrum: nothing else is computed.
#[derive(Debug, Clone)]
pub struct SelectedPowerSpectrum {
    full: PowerSpectrum,
    columns: Vec<usize>,
    products: Products,
    n_degrees: usize,
    level: Level,
}

impl SelectedPowerSpectrum {
    /// From indices of the features of [`PowerSpectrum`], in an order of their own.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if one is out of range.
    pub fn new(plan: &DensityPlan, columns: &[usize]) -> Result<Self> {
        let full = PowerSpectrum::new(plan);
        if let Some(bad) = columns.iter().find(|&&k| k >= full.width()) {
            let (name, requirement) = ("columns", "those of the power spectrum");
            return Err(Error::BadParameter { name, requirement, value: bad.to_string() });
        }
        let products = Products::new(&full, Some(columns))?;
        let degrees = products.0.iter().flatten().flatten().map(|p| p.n_m / 2 + 1);
        let n_degrees = degrees.max().unwrap_or(0);
        Ok(Self {
            full,
            columns: collected(columns.iter().copied())?,
            products,
            n_degrees,
            level: plan.level(),
        })
    }
}

impl Invariant for SelectedPowerSpectrum {
    fn n_degrees(&self) -> usize {
        self.n_degrees
    }

    fn width(&self, _: usize) -> usize {
        self.columns.len()
    }

    fn memory(&self) -> Result<Memory> {
        Ok(Memory::new(()))
    }

    fn values(&self, e: Environments<'_>, x: &mut [f64], _: &mut Memory) -> Result<()> {
        for (which, row) in x.chunks_exact_mut(self.columns.len().max(1)).enumerate() {
            let c = e.density(which);
            for (x, product) in row.iter_mut().zip(self.products.of(e.species)) {
                *x = product.map_or(0.0, |p| {
                    let terms = (0..p.n_m).map(|m| c[p.first + m * p.stride] * c[p.second + m * p.stride]);
                    p.factor * terms.sum::<f64>()
                });
            }
        }
        Ok(())
    }

    fn tangents(
        &self,
        e: Environments<'_>,
        which: usize,
        along: Along<'_>,
        out: &mut [f64],
        _: &mut Memory,
    ) -> Result<()> {
        let products = self.products.of(e.species);
        self.level.run(TangentKernel { products, c: e.density(which), along, out });
        Ok(())
    }

    fn reversible(self: Arc<Self>) -> Option<Arc<dyn Reversible>> {
        Some(self)
    }

    /// A quadratic form has the size of that of all features: it costs less than the density.
    fn linear(&self, weights: &[f64]) -> Option<Result<Arc<dyn Energy>>> {
        let (n_species, width) = (self.products.0.len(), self.columns.len());
        let zeros = check_weights(weights, n_species, width)
            .and_then(|()| filled(n_species * self.full.width(), 0.0));
        let mut spread = match zeros {
            Ok(zeros) => zeros,
            Err(error) => return Some(Err(error)),
        };
        for (row, from) in spread.chunks_exact_mut(self.full.width()).zip(weights.chunks_exact(width)) {
            for (&column, weight) in self.columns.iter().zip(from) {
                row[column] = *weight;
            }
        }
        self.full.linear(&spread)
    }
}

impl Reversible for SelectedPowerSpectrum {
    fn pull_back(&self, e: Environments<'_>, s: &[f64], g: &mut [f64], _: &mut Memory) -> Result<()> {
        g.fill(0.0);
        let c = e.density(0);
        for (product, slope) in self.products.of(e.species).iter().zip(s) {
            let Some(p) = product else { continue };
            let weight = p.factor * slope;
            for m in 0..p.n_m {
                let (first, second) = (p.first + m * p.stride, p.second + m * p.stride);
                g[first] += weight * c[second];
                g[second] += weight * c[first];
            }
        }
        Ok(())
    }
}
