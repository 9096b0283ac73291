//! The kernel: a block of pairs of one center.
//!
//! Distances, weights and harmonics with one pair per lane; then the radial rows with one channel per lane; then,
//! degree by degree, the rank-one updates `c[m, q] += Y[m, j] R[j, q]` with `c` held in registers.

use super::layout::{PAIRS, STRIDE};
use super::plan::{CenterTables, DensityPlan};
use crate::angular::n_harmonics;
use crate::error::Result;
use crate::math::b_spline::{ORDER, value_weights_of};
use crate::neighbors::Search;
use crate::simd::{Aligned, Simd, accumulate_all, spline_row};

/// One block of pairs.
#[derive(Debug)]
pub(crate) struct Block {
    /// Unit vectors. `[xyz][pair]`
    pub(crate) units: [[f64; PAIRS]; 3],
    /// Squared distances, and after `prepare` distances in Å. `[pair]`
    pub(crate) distances: [f64; PAIRS],
    /// Interval of the table. `[pair]`
    pub(crate) intervals: [u32; PAIRS],
    /// Place in the interval. `[pair]`
    pub(crate) fractions: [f64; PAIRS],
    /// Weights of the splines' coefficients, times `f(r)`. `[6][pair]`
    pub(crate) weights: [[f64; PAIRS]; ORDER],
    /// [lm][STRIDE], by pair
    pub(crate) harmonics: Aligned,
    /// [pair][row of the table]
    pub(crate) radial: Aligned,
}

impl Block {
    pub(crate) fn new(plan: &DensityPlan, row: usize) -> Result<Self> {
        Ok(Self {
            units: [[0.0; PAIRS]; 3],
            distances: [1.0; PAIRS],
            intervals: [0; PAIRS],
            fractions: [0.0; PAIRS],
            weights: [[0.0; PAIRS]; ORDER],
            harmonics: Aligned::zeros(n_harmonics(plan.max_angular()) * STRIDE)?,
            radial: Aligned::zeros(row * PAIRS)?,
        })
    }

    /// Harmonics of the first `n` unit vectors, rounded up to whole vectors.
    #[inline(always)]
    pub(crate) fn evaluate_harmonics<S: Simd>(&mut self, s: S, plan: &DensityPlan, n: usize) {
        let [x, y, z] = &self.units;
        let mut first = 0;
        // Two vectors at a time: the recurrences are chains that wait for each other's results.
        while first + S::LANES < n {
            let second = first + S::LANES;
            let units = [
                [s.load(&x[first..]), s.load(&x[second..])],
                [s.load(&y[first..]), s.load(&y[second..])],
                [s.load(&z[first..]), s.load(&z[second..])],
            ];
            plan.harmonics.values::<S, 2>(s, units, &mut self.harmonics[first..], STRIDE);
            first += 2 * S::LANES;
        }
        if first < n {
            let units = [[s.load(&x[first..])], [s.load(&y[first..])], [s.load(&z[first..])]];
            plan.harmonics.values::<S, 1>(s, units, &mut self.harmonics[first..], STRIDE);
        }
    }

    /// Unit vectors, intervals and weights of the pairs in `order`.
    #[inline(always)]
    pub(crate) fn prepare<S: Simd>(
        &mut self,
        s: S,
        plan: &DensityPlan,
        search: &Search<'_, '_>,
        order: &[u32],
    ) {
        let n = order.len();
        let ([x, y, z], distances2) = search.columns();
        for (lane, &pair) in order.iter().enumerate() {
            let pair = pair as usize;
            (self.units[0][lane], self.units[1][lane], self.units[2][lane]) = (x[pair], y[pair], z[pair]);
            self.distances[lane] = distances2[pair];
        }
        // Lanes behind the last pair are computed and never used: only keep them finite.
        for lane in n..n.next_multiple_of(S::LANES) {
            (self.units[0][lane], self.units[1][lane], self.units[2][lane]) = (0.0, 0.0, 1.0);
            self.distances[lane] = 1.0;
        }
        let table = &plan.center(0).tables[0];
        let (per_spacing, last) = (1.0 / table.spacing(), (table.n_nodes() - 2) as f64);
        for first in (0..n).step_by(S::LANES) {
            let r = s.sqrt(s.load(&self.distances[first..]));
            let inverse = s.div(s.splat(1.0), r);
            for x in 0..3 {
                let unit = s.mul(s.load(&self.units[x][first..]), inverse);
                s.store(unit, &mut self.units[x][first..]);
            }
            let position = s.mul(r, s.splat(per_spacing));
            let t = s.split(position, last, &mut self.intervals[first..]);
            s.store(t, &mut self.fractions[first..]);
            s.store(r, &mut self.distances[first..]);
            let f = plan.weight.values(s, r);
            let weights = value_weights_of(s, t, f);
            for k in 0..ORDER {
                s.store(weights[k], &mut self.weights[k][first..]);
            }
        }
    }

    /// Radial rows of all pairs: `f(r) I_ql(r)` for every degree and channel of the neighbor's species.
    #[inline(always)]
    pub(crate) fn interpolate<S: Simd>(&mut self, s: S, kind: &CenterTables, kinds: &[u32]) {
        for (lane, &a) in kinds.iter().enumerate() {
            let table = &kind.tables[a as usize];
            let out = &mut self.radial[lane * kind.row..][..table.row_length()];
            let w = &self.weights;
            let weights = [w[0][lane], w[1][lane], w[2][lane], w[3][lane], w[4][lane], w[5][lane]];
            spline_row(s, table.interval(self.intervals[lane] as usize), weights, out);
        }
    }

    /// `c[m, q] += Y[m, j] R[j, q]`, degree by degree, a run of neighbors of one species at a time.
    #[inline(always)]
    pub(crate) fn accumulate<S: Simd>(&self, s: S, kind: &CenterTables, kinds: &[u32], c: &mut [f64]) {
        let mut start = 0;
        while start < kinds.len() {
            let a = kinds[start] as usize;
            let run = if kind.combined {
                kinds.len()
            } else {
                start + kinds[start..].iter().take_while(|&&b| b as usize == a).count()
            };
            let schedule = &kind.schedules[a];
            accumulate_all(s, schedule, &self.harmonics, STRIDE, &self.radial, kind.row, start..run, c);
            start = run;
        }
    }
}
