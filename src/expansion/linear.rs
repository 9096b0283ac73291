//! Features that are coefficients: their derivatives are those of the coefficients, whatever these are.

use super::differential::{Differential, PairRun};
use super::plan::DensityPlan;
use crate::error::Result;
use crate::memory::Grow;

/// Features that are coefficients themselves.
pub(crate) trait LinearFeatures: Sync {
    const INVARIANT: bool;
    fn n_degrees(&self, plan: &DensityPlan) -> usize;
    fn width(&self, plan: &DensityPlan, species: usize) -> usize;
    /// Picks the features from padded coefficients; what a center lacks is left alone.
    fn pick(&self, plan: &DensityPlan, species: usize, c: &[f64], row: &mut [f64]);
}

/// The derivatives of [`LinearFeatures`]: those of the coefficients.
pub(crate) struct Linear<F>(pub(crate) F);

/// Change of the coefficients by the motion of a neighbor.
#[derive(Debug, Default)]
pub(crate) struct LinearMemory {
    scaled: [Vec<f64>; 2],
    /// [xyz][padded]
    deltas: [Vec<f64>; 3],
    picked: Vec<f64>,
}

impl<F: LinearFeatures> Differential for Linear<F> {
    type Memory = LinearMemory;
    const INVARIANT: bool = F::INVARIANT;

    fn n_degrees(&self, plan: &DensityPlan) -> usize {
        self.0.n_degrees(plan)
    }

    fn width(&self, plan: &DensityPlan, species: usize) -> usize {
        self.0.width(plan, species)
    }

    fn along(
        &self,
        plan: &DensityPlan,
        species: usize,
        _: &[f64],
        delta: &[f64],
        factor: f64,
        row: &mut [f64],
        memory: &mut LinearMemory,
    ) -> Result<()> {
        memory.picked.clear();
        memory.picked.try_resize(row.len(), 0.0)?;
        self.0.pick(plan, species, delta, &mut memory.picked);
        for (to, from) in row.iter_mut().zip(&memory.picked) {
            *to += factor * from;
        }
        Ok(())
    }

    fn add_pairs(&self, plan: &DensityPlan, run: &PairRun<'_>, memory: &mut LinearMemory) -> Result<()> {
        let len = run.kind.layout.padded_len();
        for delta in &mut memory.deltas {
            delta.try_resize(len.max(delta.len()), 0.0)?;
        }
        run.add_gradient(plan, self.0.n_degrees(plan), &mut memory.scaled, &mut memory.deltas)
    }

    fn finish(
        &self,
        plan: &DensityPlan,
        center: usize,
        _: usize,
        rows: &mut [f64],
        stride: usize,
        memory: &mut LinearMemory,
    ) -> Result<()> {
        let width = self.0.width(plan, center);
        for x in 0..3 {
            let mut delta = std::mem::take(&mut memory.deltas[x]);
            self.along(plan, center, &[], &delta, 1.0, &mut rows[x * stride..][..width], memory)?;
            delta.fill(0.0);
            memory.deltas[x] = delta;
        }
        Ok(())
    }
}

/// The packed coefficients.
pub(super) struct AllCoefficients;

impl LinearFeatures for AllCoefficients {
    const INVARIANT: bool = false;

    fn n_degrees(&self, plan: &DensityPlan) -> usize {
        plan.max_angular() + 1
    }

    fn width(&self, plan: &DensityPlan, species: usize) -> usize {
        plan.center(species).layout.width()
    }

    fn pick(&self, plan: &DensityPlan, species: usize, c: &[f64], row: &mut [f64]) {
        plan.center(species).layout.pack(c, row);
    }
}
