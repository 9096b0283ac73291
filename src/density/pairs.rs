//! What a run of pairs does to the coefficients.
//!
//! If the neighbor of a pair moves, the coefficients of its center change by
//!
//! `dc_qlm/dr_ij = u R'_ql(r) Y_lm(u) + R_ql(r) grad Y_lm(u) / r`,  `R = f I`
//!
//! with the gradient of the harmonics on the unit sphere. Seen from the other end the direction is reversed, which
//! is a sign: `Y_lm(-u) = (-1)^l Y_lm(u)` makes it `-(-1)^l`.

use std::ops::Range;

use super::backward::Backward;
use super::block::Block;
use super::layout::{PAIRS, STRIDE};
use super::plan::{CenterTables, DensityPlan};
use crate::error::Result;
use crate::memory::Grow;
use crate::neighbors::Search;
use crate::simd::{Kernel, Simd, accumulate, spline_row};

/// What belongs to the pairs of a block, one per lane, besides their harmonics.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// Unit vectors; zero for an image of the center, whose motion changes nothing. `[xyz][pair]`
    pub(crate) units: [[f64; PAIRS]; 3],
    /// 1 / r, or zero likewise. `[pair]`
    pub(crate) inverse: [f64; PAIRS],
    /// Where the coefficients of the center begin. `[pair]`
    pub(crate) places: [usize; PAIRS],
}

impl Default for Lanes {
    fn default() -> Self {
        Self { units: [[0.0; PAIRS]; 3], inverse: [0.0; PAIRS], places: [0; PAIRS] }
    }
}

impl Lanes {
    /// From a prepared block; coefficients of atom k begin at k times `stride`.
    #[inline(always)]
    pub(crate) fn load(&mut self, search: &Search<'_, '_>, order: &[u32], block: &Block, stride: usize) {
        for (lane, &pair) in order.iter().enumerate() {
            let atom = search.atom(pair as usize) as usize;
            let moves = if atom == search.center() { 0.0 } else { 1.0 };
            for x in 0..3 {
                self.units[x][lane] = moves * block.units[x][lane];
            }
            self.inverse[lane] = moves / block.distances[lane];
            self.places[lane] = atom * stride;
        }
    }
}

/// Pairs of a block, all with centers of one species and neighbors of one species.
#[derive(Debug, Clone)]
pub struct PairRun<'a> {
    /// Tables of the centers.
    pub(crate) kind: &'a CenterTables,
    /// Species of the centers.
    pub(crate) center: usize,
    /// Species of the neighbors.
    pub(crate) neighbor: usize,
    /// Which pairs of the block.
    pub(crate) range: Range<usize>,
    /// Values and gradients of the harmonics. `[4][lm][STRIDE]`
    pub(crate) harmonics: [&'a [f64]; 4],
    /// `f I` and its slope. [pair][row of the table]
    pub(crate) radial: &'a [f64],
    pub(crate) slopes: &'a [f64],
    /// Whether the harmonics are those of the direction from the neighbor to the center.
    pub(crate) reversed: bool,
    /// Coefficients of all centers, padded.
    coefficients: &'a [f64],
    lanes: &'a Lanes,
}

impl<'a> PairRun<'a> {
    /// Length of the rows of the harmonics.
    pub(crate) const STRIDE: usize = STRIDE;

    /// A range of an evaluated block, seen from the block's center.
    #[inline(always)]
    pub(crate) fn new(
        kind: &'a CenterTables,
        species: [usize; 2],
        range: Range<usize>,
        block: &'a Block,
        backward: &'a Backward,
        lanes: &'a Lanes,
        coefficients: &'a [f64],
    ) -> Self {
        let [x, y, z] = &backward.slopes_of_harmonics;
        Self {
            kind,
            center: species[0],
            neighbor: species[1],
            range,
            harmonics: [&block.harmonics, x, y, z],
            radial: &block.radial,
            slopes: &backward.slopes,
            reversed: false,
            coefficients,
            lanes,
        }
    }

    /// The same pairs seen from the other end; `radial` holds the radial functions of that end and their slopes.
    #[inline(always)]
    pub(crate) fn reverse(&self, kind: &'a CenterTables, radial: [&'a [f64]; 2]) -> Self {
        Self {
            kind,
            center: self.neighbor,
            neighbor: self.center,
            radial: radial[0],
            slopes: radial[1],
            reversed: true,
            ..self.clone()
        }
    }

    /// Some of the pairs.
    pub(crate) fn within(&self, range: Range<usize>) -> Self {
        Self { range, ..self.clone() }
    }

    /// `-(-1)^l` if the direction is reversed, else 1.
    #[inline(always)]
    pub(crate) fn sign(&self, l: usize) -> f64 {
        if self.reversed && l.is_multiple_of(2) { -1.0 } else { 1.0 }
    }

    /// Coefficients of the center of a pair.
    #[inline(always)]
    pub(crate) fn coefficients(&self, lane: usize) -> &'a [f64] {
        &self.coefficients[self.lanes.places[lane]..]
    }

    /// Unit vector and 1 / r of a pair; zeros for an image of the center.
    #[inline(always)]
    pub(crate) fn direction(&self, lane: usize) -> ([f64; 3], f64) {
        let [x, y, z] = &self.lanes.units;
        ([x[lane], y[lane], z[lane]], self.lanes.inverse[lane])
    }

    /// Adds the change of the coefficients by the motion of the neighbors to `deltas`. `[xyz][padded]`
    pub(crate) fn add_gradient(
        &self,
        plan: &DensityPlan,
        n_degrees: usize,
        scaled: &mut [Vec<f64>; 2],
        deltas: &mut [Vec<f64>],
    ) -> Result<()> {
        let across = &self.lanes.inverse;
        let component = |axis| Component { axis, along: &self.lanes.units[axis], across };
        let components = [component(0), component(1), component(2)];
        plan.level.run(Accumulate { run: self, components: &components, n_degrees, scaled, deltas })
    }
}

/// Weights that a component of a derivative gives to pairs: `along R' Y + across R dY/d(axis)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Component<'a> {
    pub(crate) axis: usize,
    /// `[pair]`
    pub(crate) along: &'a [f64; PAIRS],
    /// `[pair]`
    pub(crate) across: &'a [f64; PAIRS],
}

/// `delta[m, q] += sum_j along_j R'_qj Y_mj + across_j R_qj dY_mj/dx` for every component, degree by degree.
///
/// A kernel of its own, as all here, so that it is compiled once and not for every kind of features.
pub(crate) struct Accumulate<'r, 'a> {
    pub(crate) run: &'r PairRun<'a>,
    pub(crate) components: &'r [Component<'r>],
    pub(crate) n_degrees: usize,
    /// Scratch: the two kinds of harmonics, scaled. [lm][STRIDE]
    pub(crate) scaled: &'r mut [Vec<f64>; 2],
    /// `[component][padded]`
    pub(crate) deltas: &'r mut [Vec<f64>],
}

impl Kernel for Accumulate<'_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<()> {
        let Self { run, components, n_degrees, scaled, deltas } = self;
        for half in &mut *scaled {
            half.try_resize(n_degrees * n_degrees * STRIDE, 0.0)?;
        }
        let kind = run.kind;
        for (component, delta) in components.iter().zip(deltas) {
            run.scale(s, component, n_degrees, scaled);
            for (l, section) in kind.tables[run.neighbor].sections()[..n_degrees].iter().enumerate() {
                let (start, stride) = kind.layout.padded(l);
                let rows = l * l * STRIDE..(l + 1) * (l + 1) * STRIDE;
                for (harmonics, radial) in scaled.iter().zip([run.slopes, run.radial]) {
                    accumulate(
                        s,
                        &harmonics[rows.clone()],
                        STRIDE,
                        &radial[section.start..],
                        kind.row,
                        run.range.clone(),
                        &mut delta[start + kind.target(run.neighbor, l)..],
                        stride,
                        2 * l + 1,
                        section.padded / S::LANES,
                    );
                }
            }
        }
        Ok(())
    }
}

impl PairRun<'_> {
    /// Harmonics and their gradients times the weights of a component, sign included.
    #[inline(always)]
    fn scale<S: Simd>(&self, s: S, component: &Component<'_>, n_degrees: usize, scaled: &mut [Vec<f64>; 2]) {
        let [values, slopes] = scaled;
        let [y, gradient] = [self.harmonics[0], self.harmonics[1 + component.axis]];
        let first = self.range.start / S::LANES * S::LANES;
        for lane in (first..self.range.end).step_by(S::LANES) {
            for l in 0..n_degrees {
                let sign = s.splat(self.sign(l));
                let along = s.mul(sign, s.load(&component.along[lane..]));
                let across = s.mul(sign, s.load(&component.across[lane..]));
                for lm in l * l..(l + 1) * (l + 1) {
                    let at = lm * STRIDE + lane;
                    s.store(s.mul(along, s.load(&y[at..])), &mut values[at..]);
                    s.store(s.mul(across, s.load(&gradient[at..])), &mut slopes[at..]);
                }
            }
        }
    }
}

/// Geometry, harmonics and radial functions of the pairs of a block, with their derivatives.
pub(crate) struct Evaluate<'e, 's, 'a> {
    pub(crate) plan: &'e DensityPlan,
    pub(crate) kind: &'e CenterTables,
    pub(crate) search: &'e Search<'s, 'a>,
    pub(crate) order: &'e [u32],
    pub(crate) kinds: &'e [u32],
    pub(crate) block: &'e mut Block,
    pub(crate) backward: &'e mut Backward,
}

impl Kernel for Evaluate<'_, '_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<()> {
        self.block.prepare(s, self.plan, self.search, self.order);
        self.backward.evaluate::<S, true>(s, self.plan, self.kind, self.block, self.kinds)
    }
}

/// Radial functions of the other end of the pairs of a block.
#[derive(Debug, Default)]
pub(crate) struct Reversed {
    radial: Vec<f64>,
    slopes: Vec<f64>,
}

impl Reversed {
    /// The run seen from the neighbors' end.
    pub(crate) fn run<'a>(
        &'a mut self,
        plan: &'a DensityPlan,
        run: &PairRun<'a>,
        block: &Block,
        backward: &Backward,
    ) -> Result<PairRun<'a>> {
        let kind = plan.center(run.neighbor);
        if run.center == run.neighbor {
            return Ok(run.reverse(kind, [run.radial, run.slopes]));
        }
        self.radial.try_resize(kind.row * PAIRS, 0.0)?;
        self.slopes.try_resize(kind.row * PAIRS, 0.0)?;
        for (weights, out) in [(&block.weights[..], &mut self.radial), (&backward.weights, &mut self.slopes)]
        {
            plan.level.run(Interpolate { run, kind, weights, intervals: &block.intervals, out });
        }
        Ok(run.reverse(kind, [&self.radial, &self.slopes]))
    }
}

/// Radial functions of centers of some kind for a run of pairs seen from their other end.
struct Interpolate<'r, 'a> {
    run: &'r PairRun<'a>,
    kind: &'r CenterTables,
    /// Weights of the splines' coefficients. `[6][pair]`
    weights: &'r [[f64; PAIRS]],
    intervals: &'r [u32; PAIRS],
    /// [pair][row of the table]
    out: &'r mut [f64],
}

impl Kernel for Interpolate<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (table, w) = (&self.kind.tables[self.run.center], self.weights);
        for lane in self.run.range.clone() {
            let weights = [w[0][lane], w[1][lane], w[2][lane], w[3][lane], w[4][lane], w[5][lane]];
            let out = &mut self.out[lane * self.kind.row..][..table.row_length()];
            spline_row(s, table.interval(self.intervals[lane] as usize), weights, out);
        }
    }
}
