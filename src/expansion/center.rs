//! The kernel: the density of one center from all its neighbors, a block of pairs at a time.
//!
//! For a block: distances, weights and harmonics with one pair per lane; then the radial rows with one channel per
//! lane; then, degree by degree, the rank-one updates `c[m, q] += Y[m, j] R[j, q]` with `c` held in registers.

use super::plan::{CenterTables, DensityPlan};
use crate::angular::n_harmonics;
use crate::error::Result;
use crate::math::hermite_spline::value_weights;
use crate::neighbors::{CellList, Neighborhood};
use crate::simd::{Aligned, MAX_LANES, Simd, accumulate, hermite_row};

/// Pairs of a block: harmonics and radial rows of this many stay in the L1 cache.
pub(super) const PAIRS: usize = 32;

/// Scratch memory of one thread, reused from center to center.
#[derive(Debug)]
pub struct Workspace {
    near: Neighborhood,
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
    /// Hermite weights times `f(r)`. [pair][6]
    weights: [[f64; 6]; PAIRS],
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
            order: Vec::new(),
            kinds: Vec::new(),
            block: Block {
                units: [[0.0; PAIRS]; 3],
                distances: [1.0; PAIRS],
                intervals: [0; PAIRS],
                fractions: [0.0; PAIRS],
                weights: [[0.0; 6]; PAIRS],
                harmonics: Aligned::zeros(n_harmonics(plan.max_angular()) * PAIRS),
                radial: Aligned::zeros(row * PAIRS),
            },
            coefficients: Aligned::zeros(padded),
        }
    }

    /// Expands the density of one center of a structure into `self.coefficients`.
    ///
    /// `species` holds the species index of every atom of the structure.
    #[inline(always)]
    pub(super) fn expand<S: Simd>(
        &mut self,
        s: S,
        plan: &DensityPlan,
        cells: &CellList<'_>,
        species: &[u32],
        center: usize,
    ) -> Result<()> {
        let own_species = species[center] as usize;
        let kind = plan.center(own_species);
        cells.neighbors_of(center, &mut self.near)?;
        self.sort_by_species(species, plan.species().len(), kind.combined);
        let c = &mut self.coefficients[..kind.layout.padded_len()];
        c.fill(0.0);
        let own = &kind.own[own_species];
        c[..own.len()].copy_from_slice(own);
        for (order, kinds) in self.order.chunks(PAIRS).zip(self.kinds.chunks(PAIRS)) {
            self.block.prepare(s, plan, &self.near, order);
            plan.harmonics_of(s, &self.block.units, order.len(), &mut self.block.harmonics);
            self.block.interpolate(s, kind, kinds);
            self.block.accumulate(s, kind, kinds, c);
        }
        Ok(())
    }

    /// Orders the neighbors by species (stable), unless all species share their channels.
    #[inline(always)]
    fn sort_by_species(&mut self, species: &[u32], n_species: usize, combined: bool) {
        self.order.clear();
        self.kinds.clear();
        if combined {
            self.order.extend(0..self.near.len() as u32);
        } else {
            for a in 0..n_species as u32 {
                let atoms = self.near.atoms.iter().enumerate();
                self.order.extend(
                    atoms.filter(|&(_, &j)| species[j as usize] == a).map(|(pair, _)| pair as u32),
                );
            }
        }
        let atoms = &self.near.atoms;
        self.kinds.extend(self.order.iter().map(|&pair| species[atoms[pair as usize] as usize]));
    }
}

impl DensityPlan {
    /// Harmonics of the first `n` unit vectors of a block, rounded up to whole vectors.
    #[inline(always)]
    fn harmonics_of<S: Simd>(&self, s: S, units: &[[f64; PAIRS]; 3], n: usize, out: &mut [f64]) {
        for first in (0..n).step_by(S::LANES) {
            let unit = [s.load(&units[0][first..]), s.load(&units[1][first..]), s.load(&units[2][first..])];
            self.harmonics.values(s, unit, &mut out[first..], PAIRS);
        }
    }
}

impl Block {
    /// Unit vectors, intervals and weights of the pairs in `order`.
    #[inline(always)]
    fn prepare<S: Simd>(&mut self, s: S, plan: &DensityPlan, near: &Neighborhood, order: &[u32]) {
        let n = order.len();
        for (lane, &pair) in order.iter().enumerate() {
            let pair = pair as usize;
            for x in 0..3 {
                self.units[x][lane] = near.vectors[x][pair];
            }
            self.distances[lane] = near.distances2[pair];
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
            s.store(f, &mut self.distances[first..]);
        }
        for lane in 0..n {
            let f = self.distances[lane];
            self.weights[lane] = value_weights(self.fractions[lane], spacing).map(|w| w * f);
        }
    }

    /// Radial rows of all pairs: `f(r) I_ql(r)` for every degree and channel of the neighbor's species.
    #[inline(always)]
    fn interpolate<S: Simd>(&mut self, s: S, kind: &CenterTables, kinds: &[u32]) {
        for (lane, &a) in kinds.iter().enumerate() {
            let table = &kind.tables[a as usize];
            let out = &mut self.radial[lane * kind.row..][..table.row_length()];
            hermite_row(s, table.interval(self.intervals[lane]), &self.weights[lane], out);
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
