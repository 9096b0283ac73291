//! Selected features of the power spectrum.

use std::sync::Arc;

use super::arrangement::Arrangement;
use super::products::{Products, TangentKernel};
use super::quadratic::LinearPowerSpectrum;
use super::{Along, Energy, Environments, Invariant, Memory, Reversible, check_weights};
use crate::density::DensityPlan;
use crate::error::{Error, Result};
use crate::memory::{collected, filled};
use crate::simd::Level;

/// Some features of a power spectrum: nothing else is computed.
#[derive(Debug, Clone)]
pub struct SelectedPowerSpectrum {
    full: Arrangement,
    columns: Vec<usize>,
    products: Products,
    n_degrees: usize,
    level: Level,
}

impl SelectedPowerSpectrum {
    /// From indices of the features of [`super::PowerSpectrum`], in an order of their own.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if one is out of range.
    pub fn new(plan: &DensityPlan, columns: &[usize]) -> Result<Self> {
        let full = Arrangement::new(plan);
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
        let energy = LinearPowerSpectrum::of(&self.full, &spread);
        Some(energy.map(|energy| Arc::new(energy) as Arc<dyn Energy>))
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
