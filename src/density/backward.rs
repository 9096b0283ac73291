//! Forces by the adjoint: from the gradient of an energy with respect to the coefficients of a center to that with
//! respect to the positions, in one pass over the pairs; nothing larger than a block of pairs is ever stored.
//!
//! With `g_qlm = dE/dc_qlm` and `R = f I`, a pair of distance r in the direction u contributes
//!
//! `dE/dr_ij = u sum_ql R'_ql sum_m g_qlm Y_lm(u) + (1/r) sum_ql R_ql sum_m g_qlm grad Y_lm(u)`
//!
//! which pulls at the neighbor and, with the opposite sign, at the center. The virial is `sum_ij (dE/dr_ij) r_ij`.

use super::block::Block;
use super::layout::{PAIRS, STRIDE};
use super::plan::{CenterTables, DensityPlan};
use crate::angular::n_harmonics;
use crate::error::Result;
use crate::math::b_spline::{ORDER, product_slope_weights_of};
use crate::memory::Grow;
use crate::simd::{Simd, contract_pair, spline_rows, sum_lanes};
use crate::structure::{Vector, dot};

/// Scratch memory of the backward pass.
#[derive(Debug, Default)]
pub(crate) struct Backward {
    /// Gradients of the harmonics. `[xyz][lm][STRIDE]`
    pub(crate) slopes_of_harmonics: [Vec<f64>; 3],
    /// `d(f I)/dr`. [pair][row of the table]
    pub(crate) slopes: Vec<f64>,
    /// Weights of the splines' coefficients for `d(f I)/dr`. `[6][pair]`
    pub(crate) weights: Vec<[f64; PAIRS]>,
}

impl Backward {
    /// Radial functions, harmonics and their derivatives for the pairs of a prepared block; `TANGENT` as in
    /// [`crate::angular::Harmonics::gradients`].
    #[inline(always)]
    pub(crate) fn evaluate<S: Simd, const TANGENT: bool>(
        &mut self,
        s: S,
        plan: &DensityPlan,
        kind: &CenterTables,
        block: &mut Block,
        kinds: &[u32],
    ) -> Result<()> {
        let n = kinds.len();
        let n_lm = n_harmonics(plan.max_angular());
        self.weights.try_resize(ORDER, [0.0; PAIRS])?;
        self.slopes.try_resize(kind.row * PAIRS, 0.0)?;
        let spacing = kind.tables[0].spacing();
        let [slope_x, slope_y, slope_z] = &mut self.slopes_of_harmonics;
        for slope in [&mut *slope_x, &mut *slope_y, &mut *slope_z] {
            slope.try_resize(n_lm * STRIDE, 0.0)?;
        }
        for first in (0..n).step_by(S::LANES) {
            let unit = [
                s.load(&block.units[0][first..]),
                s.load(&block.units[1][first..]),
                s.load(&block.units[2][first..]),
            ];
            let slopes = [&mut slope_x[first..], &mut slope_y[first..], &mut slope_z[first..]];
            let tangent = if TANGENT { Some(s.splat(1.0)) } else { None };
            plan.harmonics.gradients(s, unit, tangent, &mut block.harmonics[first..], slopes, STRIDE);
            let (f, df) = plan.weight.values_and_slopes(s, s.load(&block.distances[first..]));
            let t = s.load(&block.fractions[first..]);
            let weights = product_slope_weights_of(s, t, f, df, spacing);
            for k in 0..ORDER {
                s.store(weights[k], &mut self.weights[k][first..]);
            }
        }
        for (lane, &a) in kinds.iter().enumerate() {
            let table = &kind.tables[a as usize];
            let (mut value, mut slope) = ([0.0; ORDER], [0.0; ORDER]);
            for k in 0..ORDER {
                (value[k], slope[k]) = (block.weights[k][lane], self.weights[k][lane]);
            }
            let row = lane * kind.row..lane * kind.row + table.row_length();
            let rows = table.interval(block.intervals[lane] as usize);
            spline_rows(s, rows, [value, slope], &mut block.radial[row.clone()], &mut self.slopes[row]);
        }
        Ok(())
    }

    /// `dE/dr_ij` of one pair of the block.
    #[inline(always)]
    pub(super) fn pull<S: Simd>(
        &self,
        s: S,
        kind: &CenterTables,
        block: &Block,
        gradient: &[f64],
        species: usize,
        lane: usize,
    ) -> Vector {
        let [x, y, z] = &self.slopes_of_harmonics;
        let row = lane * kind.row..(lane + 1) * kind.row;
        let sums = contract_pair(
            s,
            &kind.schedules[species],
            gradient,
            [&block.harmonics, x, y, z],
            STRIDE,
            lane,
            &block.radial[row.clone()],
            &self.slopes[row],
        );
        let along = sum_lanes(s, sums[0]);
        let across = [sum_lanes(s, sums[1]), sum_lanes(s, sums[2]), sum_lanes(s, sums[3])];
        let unit = [block.units[0][lane], block.units[1][lane], block.units[2][lane]];
        // What of it is along the bond comes from how the harmonics are continued off the sphere.
        let spurious = dot(unit, across);
        let mut pull = [0.0; 3];
        for x in 0..3 {
            pull[x] = along * unit[x] + (across[x] - spurious * unit[x]) / block.distances[lane];
        }
        pull
    }
}
