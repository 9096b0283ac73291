//! Forces by the adjoint: from the gradient of an energy with respect to the coefficients of a center to that with
//! respect to the positions, in one pass over the pairs; nothing larger than a block of pairs is ever stored.
//!
//! With `g_qlm = dE/dc_qlm` and `R = f I`, a pair of distance r in the direction u contributes
//!
//! `dE/dr_ij = u sum_ql R'_ql sum_m g_qlm Y_lm(u) + (1/r) sum_ql R_ql sum_m g_qlm grad Y_lm(u)`
//!
//! which pulls at the neighbor and, with the opposite sign, at the center. The virial is `sum_ij (dE/dr_ij) r_ij`.

use super::block::{Block, PAIRS};
use super::center::Scratch;
use super::drive::{Interrupt, Job, drive_job};
use super::layout::Layout;
use super::plan::{CenterTables, DensityPlan};
use crate::angular::n_harmonics;
use crate::error::Result;
use crate::math::hermite_spline::product_slope_weights_of;
use crate::neighbors::Search;
use crate::simd::{Simd, contract_pair, hermite_row, sum_lanes};
use crate::structure::{Batch, Vector};

/// What makes an energy of the coefficients of a center. Implementations must be `#[inline(always)]`.
pub trait Readout: Sync {
    /// Returns the energy of a center of a species (by index) and overwrites `gradient` with `dE/dc`, both padded as
    /// the layout says; `atom` counts over the batch.
    fn read<S: Simd>(
        &self,
        s: S,
        atom: usize,
        species: usize,
        layout: &Layout,
        c: &[f64],
        gradient: &mut [f64],
    ) -> f64;
}

/// Energies, forces and virials of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Energies {
    /// Energy of every center. [atom]
    pub atoms: Vec<f64>,
    /// `-dE/dr`. [atom]
    pub forces: Vec<Vector>,
    /// `dE/d(strain)`, the derivative with respect to `r -> (1 + strain) r`; over the volume it is the stress, tensile
    /// positive. [structure][xyz][xyz]
    pub virials: Vec<[Vector; 3]>,
}

/// Energies, forces and virials of all structures, as a readout makes them of the density.
///
/// Sums are made in the order of the tasks, which does not depend on the number of threads; nor do the bits.
///
/// # Errors
/// As [`super::density_coefficients`].
pub fn energies_and_forces<R: Readout>(
    batch: &Batch,
    plan: &DensityPlan,
    readout: &R,
    interrupt: Interrupt<'_>,
) -> Result<Energies> {
    let species = plan.species_indices(batch)?;
    let mut result = Energies {
        atoms: vec![0.0; batch.n_atoms()],
        forces: vec![[0.0; 3]; batch.n_atoms()],
        virials: vec![[[0.0; 3]; 3]; batch.n_frames()],
    };
    let atoms: Vec<usize> = (0..batch.n_atoms()).collect();
    let mut merge = |structure: usize, part: Part| {
        let start = batch.atoms_of(structure).start;
        for (atom, energy) in part.energies {
            result.atoms[start + atom as usize] = energy;
        }
        for (atom, pull) in part.pulls {
            let force = &mut result.forces[start + atom as usize];
            for x in 0..3 {
                force[x] -= pull[x];
            }
        }
        for (row, more) in result.virials[structure].iter_mut().zip(part.virial) {
            for x in 0..3 {
                row[x] += more[x];
            }
        }
    };
    drive_job(batch, plan, &species, &Adjoint { readout }, atoms, &mut merge, interrupt)?;
    Ok(result)
}

/// What one task collects.
#[derive(Debug, Default)]
struct Part {
    energies: Vec<(u32, f64)>,
    /// `dE/dr` of atoms; an atom stands here once for every center it is a neighbor of.
    pulls: Vec<(u32, Vector)>,
    virial: [Vector; 3],
}

/// Scratch memory of the backward pass.
#[derive(Debug, Default)]
pub(super) struct Backward {
    gradient: Vec<f64>,
    /// Gradients of the harmonics on the unit sphere. [xyz][lm][pair]
    pub(super) slopes_of_harmonics: [Vec<f64>; 3],
    /// `d(f I)/dr`. [pair][row of the table]
    pub(super) slopes: Vec<f64>,
    /// Hermite weights of `d(f I)/dr`. [6][pair]
    pub(super) weights: Vec<[f64; PAIRS]>,
}

struct Adjoint<'r, R> {
    readout: &'r R,
}

impl<R: Readout> Job for Adjoint<'_, R> {
    type Item<'o> = usize;
    type Output = Part;

    #[inline(always)]
    fn center<S: Simd>(
        &self,
        s: S,
        scratch: &mut Scratch,
        plan: &DensityPlan,
        search: &mut Search<'_, '_>,
        species: &[u32],
        center: usize,
        atom: usize,
        part: &mut Part,
    ) -> Result<()> {
        scratch.expand(s, plan, search, species, center)?;
        let own = species[center] as usize;
        let kind = plan.center(own);
        let n = kind.layout.padded_len();
        scratch.backward.gradient.resize(n, 0.0);
        let c = &scratch.coefficients[..n];
        let energy = self.readout.read(s, atom, own, &kind.layout, c, &mut scratch.backward.gradient);
        part.energies.push((center as u32, energy));
        let mut pull_of_center = [0.0; 3];
        let single = scratch.order.len() <= PAIRS;
        for (order, kinds) in scratch.order.chunks(PAIRS).zip(scratch.kinds.chunks(PAIRS)) {
            if !single {
                scratch.block.prepare(s, plan, search, order);
            }
            scratch.backward.evaluate(s, plan, kind, &mut scratch.block, kinds);
            for (lane, &pair) in order.iter().enumerate() {
                let pull = scratch.backward.pull(s, kind, &scratch.block, kinds[lane] as usize, lane);
                let (vector, _) = search.vector(pair as usize);
                for x in 0..3 {
                    pull_of_center[x] -= pull[x];
                    for y in 0..3 {
                        part.virial[x][y] += pull[x] * vector[y];
                    }
                }
                part.pulls.push((search.atom(pair as usize), pull));
            }
        }
        part.pulls.push((center as u32, pull_of_center));
        Ok(())
    }
}

impl Backward {
    /// Radial functions, harmonics and their derivatives for the pairs of a prepared block.
    #[inline(always)]
    pub(super) fn evaluate<S: Simd>(
        &mut self,
        s: S,
        plan: &DensityPlan,
        kind: &CenterTables,
        block: &mut Block,
        kinds: &[u32],
    ) {
        let n = kinds.len();
        let n_lm = n_harmonics(plan.max_angular());
        self.weights.resize(6, [0.0; PAIRS]);
        self.slopes.resize(kind.row * PAIRS, 0.0);
        let spacing = kind.tables[0].spacing();
        let [slope_x, slope_y, slope_z] = &mut self.slopes_of_harmonics;
        for slope in [&mut *slope_x, &mut *slope_y, &mut *slope_z] {
            slope.resize(n_lm * PAIRS, 0.0);
        }
        for first in (0..n).step_by(S::LANES) {
            let unit = [
                s.load(&block.units[0][first..]),
                s.load(&block.units[1][first..]),
                s.load(&block.units[2][first..]),
            ];
            let slopes = [&mut slope_x[first..], &mut slope_y[first..], &mut slope_z[first..]];
            plan.harmonics.gradients(s, unit, &mut block.harmonics[first..], slopes, PAIRS);
            let (f, df) = plan.weight.values_and_slopes(s, s.load(&block.distances[first..]));
            let t = s.load(&block.fractions[first..]);
            let weights = product_slope_weights_of(s, t, f, df, spacing);
            for k in 0..6 {
                s.store(weights[k], &mut self.weights[k][first..]);
            }
        }
        block.interpolate(s, kind, kinds);
        for (lane, &a) in kinds.iter().enumerate() {
            let table = &kind.tables[a as usize];
            let w = &self.weights;
            let weights = [w[0][lane], w[1][lane], w[2][lane], w[3][lane], w[4][lane], w[5][lane]];
            let out = &mut self.slopes[lane * kind.row..][..table.row_length()];
            hermite_row(s, table.interval(block.intervals[lane]), weights, out);
        }
    }

    /// `dE/dr_ij` of one pair of the block.
    #[inline(always)]
    fn pull<S: Simd>(&self, s: S, kind: &CenterTables, block: &Block, species: usize, lane: usize) -> Vector {
        let mut sums = [s.splat(0.0); 4];
        let [x, y, z] = &self.slopes_of_harmonics;
        for (l, section) in kind.tables[species].sections().iter().enumerate() {
            let (start, stride) = kind.layout.padded(l);
            let rows = l * l * PAIRS..(l + 1) * (l + 1) * PAIRS;
            contract_pair(
                s,
                &self.gradient[start + kind.target(species, l)..],
                stride,
                [&block.harmonics[rows.clone()], &x[rows.clone()], &y[rows.clone()], &z[rows]],
                PAIRS,
                lane,
                2 * l + 1,
                &block.radial[lane * kind.row + section.start..],
                &self.slopes[lane * kind.row + section.start..],
                section.padded / S::LANES,
                &mut sums,
            );
        }
        let along = sum_lanes(s, sums[0]);
        let across = [sum_lanes(s, sums[1]), sum_lanes(s, sums[2]), sum_lanes(s, sums[3])];
        let mut pull = [0.0; 3];
        for x in 0..3 {
            pull[x] = along * block.units[x][lane] + across[x] / block.distances[lane];
        }
        pull
    }
}
