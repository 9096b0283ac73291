//! Derivatives of the power spectrum, summed over pairs.
//!
//! If the neighbor of a pair moves along x, the power spectrum of its center changes by
//!
//! `dp_{q1 q2 l} = (2l + 1)^(-1/2) [R'_q1 u_x A^0_q2 + R_q1 A^x_q2 / r] + (q1 <-> q2)`,  `A^k_q = sum_m Y^k_m c_qlm`
//!
//! with the harmonics (k = 0) and their gradients on the sphere: sums over m are made once per pair and channel, not
//! per pair of channels; what remains is a sum of outer products over the pairs, and q1 <-> q2 waits until their end.

use std::f64::consts::SQRT_2;
use std::ops::Range;

use super::arrangement::Arrangement;
use crate::density::{DensityPlan, PairRun};
use crate::error::Result;
use crate::memory::Grow;
use crate::simd::{Kernel, Simd, accumulate_outer, contract_harmonics};

/// Sums over pairs.
#[derive(Debug, Default)]
pub(super) struct SquareMemory {
    /// `u A^0` and `A / r` of every pair of a run, for one degree. `[pair][2][xyz][padded channel]`
    sums: Vec<f64>,
    /// Sums of outer products, one degree after the other. `[channel of the neighbor][xyz][padded channel]`
    products: Vec<f64>,
}

impl Arrangement {
    /// Adds `g + g^T` of one degree to its features. The rows of `g` are those channels, from the padded channel
    /// `first` on; other rows are zero and not there.
    fn add_symmetrized(l: usize, n: usize, factor: f64, rows: &Rows<'_>, places: &[usize], out: &mut [f64]) {
        let diagonal = factor / ((2 * l + 1) as f64).sqrt();
        let off_diagonal = SQRT_2 * diagonal;
        let own = &rows.channels;
        let mut start = 0;
        for q1 in 0..places.len() {
            let out = &mut out[start..start + n - q1];
            start += n - q1;
            if own.contains(&q1) {
                let row = rows.row(places[q1]);
                out[0] += diagonal * 2.0 * row[places[q1]];
                for q2 in q1 + 1..places.len() {
                    out[q2 - q1] += off_diagonal * row[places[q2]];
                }
            }
            for q2 in own.start.max(q1 + 1)..own.end {
                out[q2 - q1] += off_diagonal * rows.row(places[q2])[places[q1]];
            }
        }
    }
}

/// A matrix of which only some rows are there.
struct Rows<'a> {
    values: &'a [f64],
    /// Length of a row.
    stride: usize,
    /// Channels that have a row, and the padded channel of the first.
    channels: Range<usize>,
    first: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn row(&self, place: usize) -> &'a [f64] {
        &self.values[(place - self.first) * self.stride..]
    }
}

/// `square[p, q] += sum_m left[m, p] right[m, q]`, all rows of the same length.
struct Outer<'o> {
    left: &'o [f64],
    right: &'o [f64],
    stride: usize,
    square: &'o mut [f64],
}

impl Kernel for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { left, right, stride, square } = self;
        if let Some(n_m) = left.len().checked_div(stride) {
            accumulate_outer(s, left, stride, right, stride, 0..n_m, square, stride, stride / S::LANES);
        }
    }
}

/// [`super::PairSums::add`] of the power spectrum.
struct AddPairs<'p, 'a> {
    n_degrees: usize,
    run: &'p PairRun<'a>,
    memory: &'p mut SquareMemory,
}

impl Kernel for AddPairs<'_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<()> {
        let Self { n_degrees, run, memory } = self;
        let row = run.kind.row();
        let first = run.range.start;
        let mut at = 0;
        for l in 0..n_degrees {
            let section = run.kind.tables[run.neighbor].sections()[l];
            let stride = run.kind.layout.padded(l).1;
            contract_run(s, run, l, &mut memory.sums)?;
            let len = section.count * 3 * stride;
            if memory.products.len() < at + len {
                memory.products.try_resize(at + len, 0.0)?;
            }
            let out = &mut memory.products[at..at + len];
            let (n, vectors) = (run.range.len(), 3 * stride / S::LANES);
            for (radial, half) in [(run.slopes, 0), (run.radial, 3 * stride)] {
                let radial = &radial[first * row + section.start..];
                let sums = &memory.sums[half..];
                accumulate_outer(s, radial, row, sums, 6 * stride, 0..n, out, section.count, vectors);
            }
            at += len;
        }
        Ok(())
    }
}

/// `u A^0` and `A / r` of one degree for the pairs of a run.
#[inline(always)]
fn contract_run<S: Simd>(s: S, run: &PairRun<'_>, l: usize, sums: &mut Vec<f64>) -> Result<()> {
    const STRIDE: usize = PairRun::STRIDE;
    let (start, stride) = run.kind.layout.padded(l);
    let rows = l * l * STRIDE..(l + 1) * (l + 1) * STRIDE;
    let [y, dx, dy, dz] = run.harmonics;
    let harmonics = [&y[rows.clone()], &dx[rows.clone()], &dy[rows.clone()], &dz[rows]];
    let sign = run.sign(l);
    if sums.len() < 6 * stride * STRIDE {
        sums.try_resize(6 * stride * STRIDE, 0.0)?;
    }
    for lane in run.range.clone() {
        let (unit, inverse) = run.direction(lane);
        let unit = [sign * unit[0], sign * unit[1], sign * unit[2]];
        let c = &run.coefficients(lane)[start..];
        let out = &mut sums[(lane - run.range.start) * 6 * stride..];
        contract_harmonics(s, c, stride, harmonics, STRIDE, lane, 2 * l + 1, unit, sign * inverse, out);
    }
    Ok(())
}

/// What [`super::PairSums`] asks for.
impl Arrangement {
    pub(super) fn along(
        &self,
        plan: &DensityPlan,
        species: usize,
        [c, delta]: [&[f64]; 2],
        factor: f64,
        row: &mut [f64],
        square: &mut Vec<f64>,
    ) -> Result<()> {
        let layout = &plan.center(species).layout;
        let mut at = 0;
        for (l, places) in self.places[species].iter().enumerate() {
            let n = self.channels[l];
            let (start, stride) = layout.padded(l);
            let end = start + (2 * l + 1) * stride;
            square.clear();
            square.try_resize(stride * stride, 0.0)?;
            self.level.run(Outer { left: &delta[start..end], right: &c[start..end], stride, square });
            let rows = Rows { values: square, stride, channels: 0..places.len(), first: 0 };
            let features = n * (n + 1) / 2;
            Self::add_symmetrized(l, n, factor, &rows, places, &mut row[at..at + features]);
            at += features;
        }
        Ok(())
    }

    pub(super) fn add(&self, plan: &DensityPlan, run: &PairRun<'_>, memory: &mut SquareMemory) -> Result<()> {
        self.level.run(AddPairs { n_degrees: plan.max_angular() + 1, run, memory })
    }

    pub(super) fn close(
        &self,
        plan: &DensityPlan,
        [center, neighbor]: [usize; 2],
        rows: &mut [f64],
        row_stride: usize,
        memory: &mut SquareMemory,
    ) {
        let kind = plan.center(center);
        let (mut at, mut feature) = (0, 0);
        for (l, places) in self.places[center].iter().enumerate() {
            let section = kind.tables[neighbor].sections()[l];
            let (n, stride) = (self.channels[l], kind.layout.padded(l).1);
            let len = section.count * 3 * stride;
            for x in 0..3 {
                let products = Rows {
                    values: &memory.products[at + (x * stride).min(len)..at + len],
                    stride: 3 * stride,
                    channels: section.channel..section.channel + section.count,
                    first: kind.target(neighbor, l),
                };
                let row = &mut rows[x * row_stride + feature..][..n * (n + 1) / 2];
                Self::add_symmetrized(l, n, 1.0, &products, places, row);
            }
            memory.products[at..at + len].fill(0.0);
            at += len;
            feature += n * (n + 1) / 2;
        }
    }
}
