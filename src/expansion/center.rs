//! The kernel: the density of one center from all its neighbors, a block of pairs at a time.
//!
//! For a block: distances, weights and harmonics with one pair per lane; then the radial rows with one channel per
//! lane; then, degree by degree, the rank-one updates `c[m, q] += Y[m, j] R[j, q]` with `c` held in registers.

use super::plan::{CenterTables, DensityPlan};
use crate::angular::n_harmonics;
use crate::error::Result;
use crate::math::hermite_spline::value_weights_of;
use crate::neighbors::{Neighborhood, Search};
use crate::simd::{Aligned, MAX_LANES, Simd, accumulate, hermite_row};

/// Pairs of a block: harmonics and radial rows of this many stay in the L1 cache.
pub(super) const PAIRS: usize = 32;

/// Scratch memory of one thread, reused from center to center.
#[derive(Debug)]
pub struct Workspace {
    pub(super) near: Neighborhood,
    pub(super) scratch: Scratch,
}

/// All of it but the neighbors, which a search borrows.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Neighbors in the order of their species. [pair]
    order: Vec<u32>,
    /// Species index of each neighbor, in that order. [pair]
    kinds: Vec<u32>,
    block: Block,
    /// Padded coefficients of the center; see `Layout`.
    pub(super) coefficients: Aligned,
}

/// One block of pairs.
#[derive(Debug)]
struct Block {
    /// Unit vectors. [xyz][pair]
    units: [[f64; PAIRS]; 3],
    distances: [f64; PAIRS],
    /// Interval of the table. [pair]
    intervals: [usize; PAIRS],
    /// Place in the interval. [pair]
    fractions: [f64; PAIRS],
    /// Hermite weights times `f(r)`. [6][pair]
    weights: [[f64; PAIRS]; 6],
    /// [lm][pair]
    harmonics: Aligned,
    /// [pair][row of the table]
    radial: Aligned,
}

impl Workspace {
    /// Scratch for centers of a plan.
    #[must_use]
    pub fn new(plan: &DensityPlan) -> Self {
        let kinds = || (0..plan.species().len()).map(|a| plan.center(a));
        let row = kinds().map(|kind| kind.row).max().unwrap_or(0);
        let padded = kinds().map(|kind| kind.layout.padded_len()).max().unwrap_or(0);
        Self {
            near: Neighborhood::default(),
            scratch: Scratch {
                order: Vec::new(),
                kinds: Vec::new(),
                block: Block {
                    units: [[0.0; PAIRS]; 3],
                    distances: [1.0; PAIRS],
                    intervals: [0; PAIRS],
                    fractions: [0.0; PAIRS],
                    weights: [[0.0; PAIRS]; 6],
                    harmonics: Aligned::zeros(n_harmonics(plan.max_angular()) * PAIRS),
                    radial: Aligned::zeros(row * PAIRS),
                },
                coefficients: Aligned::zeros(padded),
            },
        }
    }
}

impl Scratch {
    /// Expands the density of one center of a structure into `self.coefficients`.
    ///
    /// `species` holds the species index of every atom of the structure.
    #[inline(always)]
    pub(super) fn expand<S: Simd>(
        &mut self,
        s: S,
        plan: &DensityPlan,
        search: &mut Search<'_, '_>,
        species: &[u32],
        center: usize,
    ) -> Result<()> {
        let own_species = species[center] as usize;
        let kind = plan.center(own_species);
        search.around(s, center)?;
        self.sort_by_species(search, species, plan.species().len(), kind.combined);
        let c = &mut self.coefficients[..kind.layout.padded_len()];
        c.fill(0.0);
        let own = &kind.own[own_species];
        c[..own.len()].copy_from_slice(own);
        for (order, kinds) in self.order.chunks(PAIRS).zip(self.kinds.chunks(PAIRS)) {
            self.block.prepare(s, plan, search, order);
            plan.harmonics_of(s, &self.block.units, order.len(), &mut self.block.harmonics);
            self.block.interpolate(s, kind, kinds);
            self.block.accumulate(s, kind, kinds, c);
        }
        Ok(())
    }

    /// Orders the neighbors by species (stable), unless all species share their channels.
    #[inline(always)]
    fn sort_by_species(
        &mut self,
        search: &Search<'_, '_>,
        species: &[u32],
        n_species: usize,
        combined: bool,
    ) {
        self.order.clear();
        self.kinds.clear();
        if n_species == 1 {
            self.order.extend(0..search.len() as u32);
            self.kinds.resize(search.len(), 0);
            return;
        }
        let kind = |pair: u32| species[search.atom(pair as usize) as usize];
        if combined {
            self.order.extend(0..search.len() as u32);
        } else {
            for a in 0..n_species as u32 {
                self.order.extend((0..search.len() as u32).filter(|&pair| kind(pair) == a));
            }
        }
        self.kinds.extend(self.order.iter().map(|&pair| kind(pair)));
    }
}

impl DensityPlan {
    /// Harmonics of the first `n` unit vectors of a block, rounded up to whole vectors.
    #[inline(always)]
    fn harmonics_of<S: Simd>(&self, s: S, units: &[[f64; PAIRS]; 3], n: usize, out: &mut [f64]) {
        let at = |x: usize, first: usize| s.load(&units[x][first..]);
        let mut first = 0;
        // Two vectors at a time: the recurrences are chains that wait for each other's results.
        while first + S::LANES < n {
            let (a, b) = (first, first + S::LANES);
            let units = [[at(0, a), at(0, b)], [at(1, a), at(1, b)], [at(2, a), at(2, b)]];
            self.harmonics.values::<S, 2>(s, units, &mut out[first..], PAIRS);
            first += 2 * S::LANES;
        }
        if first < n {
            let units = [[at(0, first)], [at(1, first)], [at(2, first)]];
            self.harmonics.values::<S, 1>(s, units, &mut out[first..], PAIRS);
        }
    }
}

impl Block {
    /// Unit vectors, intervals and weights of the pairs in `order`.
    #[inline(always)]
    fn prepare<S: Simd>(&mut self, s: S, plan: &DensityPlan, search: &Search<'_, '_>, order: &[u32]) {
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
    fn interpolate<S: Simd>(&mut self, s: S, kind: &CenterTables, kinds: &[u32]) {
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
    fn accumulate<S: Simd>(&self, s: S, kind: &CenterTables, kinds: &[u32], c: &mut [f64]) {
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
                    &mut c[c_start + kind.targets[a][l]..],
                    stride,
                    2 * l + 1,
                    section.padded / S::LANES,
                );
            }
            start = run;
        }
    }
}
