//! Radial spectrum: the coefficients of degree 0, invariant as they are (two-body features).

use std::sync::Arc;

use super::coefficients::LinearMemory;
use super::{
    Along, Energy, Environments, Invariant, Memory, PairSums, Reversible, check_weights, padded_places,
};
use crate::density::{DensityPlan, Layout, PairRun};
use crate::error::Result;
use crate::memory::{all_of, filled};

/// `c_q00`; where center species differ in their channels, missing ones are zero.
#[derive(Debug)]
pub struct RadialSpectrum {
    width: usize,
    /// Where each channel stands in a padded row, and the length of that. `[species]`
    places: Vec<(Vec<usize>, usize)>,
}

impl RadialSpectrum {
    /// Of the centers of a plan.
    #[must_use]
    pub fn new(plan: &DensityPlan) -> Self {
        let of_species = |(a, mut places): (usize, Vec<Vec<usize>>)| {
            (std::mem::take(&mut places[0]), plan.center(a).layout.padded(0).1)
        };
        let places = padded_places(plan).into_iter().enumerate().map(of_species).collect();
        Self { width: plan.max_channels(0), places }
    }

    fn pick(layout: &Layout, c: &[f64], row: &mut [f64]) {
        layout.unpad_row(0, c, 0, row);
    }
}

impl Invariant for RadialSpectrum {
    fn n_degrees(&self) -> usize {
        1
    }

    fn width(&self, _: usize) -> usize {
        self.width
    }

    fn memory(&self) -> Result<Memory> {
        Ok(Memory::new(LinearMemory::default()))
    }

    fn values(&self, e: Environments<'_>, x: &mut [f64], _: &mut Memory) -> Result<()> {
        x.fill(0.0);
        for (which, row) in x.chunks_exact_mut(self.width.max(1)).enumerate() {
            Self::pick(e.layout, e.density(which), row);
        }
        Ok(())
    }

    fn tangents(
        &self,
        e: Environments<'_>,
        _: usize,
        along: Along<'_>,
        out: &mut [f64],
        _: &mut Memory,
    ) -> Result<()> {
        out.fill(0.0);
        for (to, place) in out.chunks_exact_mut(along.stride.max(1)).zip(&self.places[e.species].0) {
            to.copy_from_slice(&along.d[place * along.stride..][..along.stride]);
        }
        Ok(())
    }

    fn pair_sums(&self) -> Option<&dyn PairSums> {
        Some(self)
    }

    fn reversible(self: Arc<Self>) -> Option<Arc<dyn Reversible>> {
        Some(self)
    }

    fn linear(&self, weights: &[f64]) -> Option<Result<Arc<dyn Energy>>> {
        Some(LinearRadialSpectrum::new(self, weights).map(|energy| Arc::new(energy) as Arc<dyn Energy>))
    }
}

impl Reversible for RadialSpectrum {
    fn pull_back(&self, e: Environments<'_>, s: &[f64], g: &mut [f64], _: &mut Memory) -> Result<()> {
        g.fill(0.0);
        for (slope, &place) in s.iter().zip(&self.places[e.species].0) {
            g[place] = *slope;
        }
        Ok(())
    }
}

impl PairSums for RadialSpectrum {
    fn along(
        &self,
        plan: &DensityPlan,
        species: usize,
        [_, delta]: [&[f64]; 2],
        factor: f64,
        row: &mut [f64],
        memory: &mut Memory,
    ) -> Result<()> {
        let layout = &plan.center(species).layout;
        memory.of::<LinearMemory>().along(layout, Self::pick, delta, factor, row)
    }

    fn add(&self, plan: &DensityPlan, run: &PairRun<'_>, memory: &mut Memory) -> Result<()> {
        memory.of::<LinearMemory>().add(plan, 1, run)
    }

    fn close(
        &self,
        plan: &DensityPlan,
        [center, _]: [usize; 2],
        rows: &mut [f64],
        stride: usize,
        memory: &mut Memory,
    ) -> Result<()> {
        let layout = &plan.center(center).layout;
        memory.of::<LinearMemory>().close(layout, Self::pick, self.width, rows, stride)
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
    /// [`crate::Error::BadParameter`] if there are not as many weights as channels, or one is not finite.
    pub fn new(spectrum: &RadialSpectrum, weights: &[f64]) -> Result<Self> {
        let width = spectrum.width;
        check_weights(weights, spectrum.places.len(), width)?;
        let of_species = |(a, (places, stride)): (usize, &(Vec<usize>, usize))| {
            let mut row = filled(*stride, 0.0)?;
            for (&place, &weight) in places.iter().zip(&weights[a * width..]) {
                row[place] = weight;
            }
            Ok(row)
        };
        Ok(Self { weights: all_of(spectrum.places.iter().enumerate().map(of_species))? })
    }
}

impl Energy for LinearRadialSpectrum {
    fn memory(&self) -> Result<Memory> {
        Ok(Memory::new(()))
    }

    fn read(
        &self,
        e: Environments<'_>,
        energies: &mut [f64],
        gradients: &mut [f64],
        _: &mut Memory,
    ) -> Result<()> {
        let weights = &self.weights[e.species];
        gradients.fill(0.0);
        let rows = gradients.chunks_exact_mut(e.layout.padded_len().max(1));
        for (which, (energy, gradient)) in energies.iter_mut().zip(rows).enumerate() {
            gradient[..weights.len()].copy_from_slice(weights);
            *energy = weights.iter().zip(e.density(which)).map(|(w, c)| w * c).sum();
        }
        Ok(())
    }
}
