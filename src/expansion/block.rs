//! The kernel: a block of pairs of one center.
//!
//! Distances, weights and harmonics with one pair per lane; then the radial rows with one channel per lane; then,
//! degree by degree, the rank-one updates `c[m, q] += Y[m, j] R[j, q]` with `c` held in registers.

use super::plan::{CenterTables, DensityPlan};
use crate::angular::n_harmonics;
use crate::math::hermite_spline::value_weights_of;
use crate::neighbors::Search;
use crate::simd::{Aligned, MAX_LANES, Simd, accumulate, hermite_row};

/// Pairs of a block: harmonics and radial rows of this many stay in the L1 cache.
pub(super) const PAIRS: usize = 32;

/// One block of pairs.
#[derive(Debug)]
pub(super) struct Block {
    /// Unit vectors. [xyz][pair]
    pub(super) units: [[f64; PAIRS]; 3],
    /// Squared distances, and after `prepare` distances in Å. [pair]
    pub(super) distances: [f64; PAIRS],
    /// Interval of the table. [pair]
    pub(super) intervals: [usize; PAIRS],
    /// Place in the interval. [pair]
    pub(super) fractions: [f64; PAIRS],
    /// Hermite weights times `f(r)`. [6][pair]
    pub(super) weights: [[f64; PAIRS]; 6],
    /// [lm][pair]
    pub(super) harmonics: Aligned,
    /// [pair][row of the table]
    pub(super) radial: Aligned,
}

impl Block {
    pub(super) fn new(plan: &DensityPlan, row: usize) -> Self {
        Self {
            units: [[0.0; PAIRS]; 3],
            distances: [1.0; PAIRS],
            intervals: [0; PAIRS],
            fractions: [0.0; PAIRS],
            weights: [[0.0; PAIRS]; 6],
            harmonics: Aligned::zeros(n_harmonics(plan.max_angular()) * PAIRS),
            radial: Aligned::zeros(row * PAIRS),
        }
    }

    /// Harmonics of the first `n` unit vectors, rounded up to whole vectors.
    #[inline(always)]
    pub(super) fn evaluate_harmonics<S: Simd>(&mut self, s: S, plan: &DensityPlan, n: usize) {
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
            plan.harmonics.values::<S, 2>(s, units, &mut self.harmonics[first..], PAIRS);
            first += 2 * S::LANES;
        }
        if first < n {
            let units = [[s.load(&x[first..])], [s.load(&y[first..])], [s.load(&z[first..])]];
            plan.harmonics.values::<S, 1>(s, units, &mut self.harmonics[first..], PAIRS);
        }
    }

    /// Unit vectors, intervals and weights of the pairs in `order`.
    #[inline(always)]
    pub(super) fn prepare<S: Simd>(
        &mut self,
        s: S,
        plan: &DensityPlan,
        search: &Search<'_, '_>,
        order: &[u32],
    ) {
        let n = order.len();
        for (lane, &pair) in order.iter().enumerate() {
            let (vector, distance2) = search.vector(pair as usize);
            for x in 0..3 {
                self.units[x][lane] = vector[x];
            }
            self.distances[lane] = distance2;
        }
        // Lanes behind the last pair are computed and never used: only keep them finite.
        for lane in n..n.next_multiple_of(S::LANES) {
            (self.units[0][lane], self.units[1][lane], self.units[2][lane]) = (0.0, 0.0, 1.0);
            self.distances[lane] = 1.0;
        }
        let table = &plan.center(0).tables[0];
        let (spacing, last) = (table.spacing(), table.n_nodes() - 2);
        let inverse_spacing = 1.0 / spacing;
        for first in (0..n).step_by(S::LANES) {
            let r = s.sqrt(s.load(&self.distances[first..]));
            let inverse = s.div(s.splat(1.0), r);
            for x in 0..3 {
                let unit = s.mul(s.load(&self.units[x][first..]), inverse);
                s.store(unit, &mut self.units[x][first..]);
            }
            let mut positions = [0.0; MAX_LANES];
            s.store(s.mul(r, s.splat(inverse_spacing)), &mut positions);
            for lane in 0..S::LANES {
                let interval = (positions[lane] as usize).min(last);
                self.intervals[first + lane] = interval;
                self.fractions[first + lane] = positions[lane] - interval as f64;
            }
            s.store(r, &mut self.distances[first..]);
            let f = plan.weight.values(s, r);
            let t = s.load(&self.fractions[first..]);
            let weights = value_weights_of(s, t, f, spacing);
            for k in 0..6 {
                s.store(weights[k], &mut self.weights[k][first..]);
            }
        }
    }

    /// Radial rows of all pairs: `f(r) I_ql(r)` for every degree and channel of the neighbor's species.
    #[inline(always)]
    pub(super) fn interpolate<S: Simd>(&mut self, s: S, kind: &CenterTables, kinds: &[u32]) {
        for (lane, &a) in kinds.iter().enumerate() {
            let table = &kind.tables[a as usize];
            let out = &mut self.radial[lane * kind.row..][..table.row_length()];
            let w = &self.weights;
            let weights = [w[0][lane], w[1][lane], w[2][lane], w[3][lane], w[4][lane], w[5][lane]];
            hermite_row(s, table.interval(self.intervals[lane]), weights, out);
        }
    }

    /// `c[m, q] += Y[m, j] R[j, q]`, degree by degree, a run of neighbors of one species at a time.
    #[inline(always)]
    pub(super) fn accumulate<S: Simd>(&self, s: S, kind: &CenterTables, kinds: &[u32], c: &mut [f64]) {
        let mut start = 0;
        while start < kinds.len() {
            let a = kinds[start] as usize;
            let run = if kind.combined {
                kinds.len()
            } else {
                start + kinds[start..].iter().take_while(|&&b| b as usize == a).count()
            };
            for (l, section) in kind.tables[a].sections().iter().enumerate() {
                let (c_start, stride) = kind.layout.padded(l);
                accumulate(
                    s,
                    &self.harmonics[l * l * PAIRS..(l + 1) * (l + 1) * PAIRS],
                    PAIRS,
                    &self.radial[section.start..],
                    kind.row,
                    start..run,
                    &mut c[c_start + kind.target(a, l)..],
                    stride,
                    2 * l + 1,
                    section.padded / S::LANES,
                );
            }
            start = run;
        }
    }
}
