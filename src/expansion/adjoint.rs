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
use crate::math::b_spline::{ORDER, product_slope_weights_of};
use crate::memory::{Grow, collected, filled};
use crate::neighbors::{Search, SkinLists};
use crate::simd::{Simd, contract_pair, spline_rows, sum_lanes};
use crate::structure::{Batch, Vector, dot};

/// What makes an energy of the coefficients of a center. Implementations must be `#[inline(always)]`.
pub trait Readout: Sync {
    /// Returns the energy of a center of a species (by index) and overwrites `gradient` with `dE/dc`, both padded as
    /// the layout says; `atom` counts over the batch.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    fn read<S: Simd>(
        &self,
        s: S,
        atom: usize,
        species: usize,
        layout: &Layout,
        c: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64>;
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
    energies_remembering(batch, plan, readout, None, interrupt)
}

/// [`energies_and_forces`] with neighbors that are remembered from call to call, if lists for them are given; the order
/// of the neighbors, hence the last bits, then depends on when they were listed.
///
/// # Errors
/// As there, and as [`SkinLists::update`].
pub fn energies_remembering<R: Readout>(
    batch: &Batch,
    plan: &DensityPlan,
    readout: &R,
    lists: Option<&mut SkinLists>,
    interrupt: Interrupt<'_>,
) -> Result<Energies> {
    let species = plan.species_indices(batch)?;
    let radius = plan.weight.cutoff.radius();
    let remembered = lists.map(|lists| lists.update(batch, radius, interrupt)).transpose()?;
    let mut result = Energies {
        atoms: filled(batch.n_atoms(), 0.0)?,
        forces: filled(batch.n_atoms(), [0.0; 3])?,
        virials: filled(batch.n_frames(), [[0.0; 3]; 3])?,
    };
    let atoms = collected(0..batch.n_atoms())?;
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
    drive_job(batch, plan, remembered, &species, &Adjoint { readout }, atoms, &mut merge, interrupt)?;
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
    /// Gradients of the harmonics. [xyz][lm][pair]
    pub(super) slopes_of_harmonics: [Vec<f64>; 3],
    /// `d(f I)/dr`. [pair][row of the table]
    pub(super) slopes: Vec<f64>,
    /// Weights of the splines' coefficients for `d(f I)/dr`. [6][pair]
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
        scratch.begin(s, plan, search, species, center)?;
        let Scratch { order, kinds, block, backward, coefficients, .. } = scratch;
        let own = species[center] as usize;
        let kind = plan.center(own);
        // Few neighbors: what the way forward evaluates serves the way back.
        let single = order.len() <= kind.chunk;
        for (order, kinds) in order.chunks(kind.chunk).zip(kinds.chunks(kind.chunk)) {
            block.prepare(s, plan, search, order);
            if single {
                backward.evaluate::<S, false>(s, plan, kind, block, kinds)?;
            } else {
                block.evaluate_harmonics(s, plan, order.len());
                block.interpolate(s, kind, kinds);
            }
            block.accumulate(s, kind, kinds, coefficients);
        }
        let n = kind.layout.padded_len();
        backward.gradient.try_resize(n, 0.0)?;
        let energy =
            self.readout.read(s, atom, own, &kind.layout, &coefficients[..n], &mut backward.gradient)?;
        part.energies.push((center as u32, energy));
        part.pulls.make_room(order.len() + 1)?;
        let mut pull_of_center = [0.0; 3];
        for (order, kinds) in order.chunks(kind.chunk).zip(kinds.chunks(kind.chunk)) {
            if !single {
                block.prepare(s, plan, search, order);
                backward.evaluate::<S, false>(s, plan, kind, block, kinds)?;
            }
            for (lane, &pair) in order.iter().enumerate() {
                let pull = backward.pull(s, kind, block, kinds[lane] as usize, lane);
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
    /// Radial functions, harmonics and their derivatives for the pairs of a prepared block; `TANGENT` as in
    /// [`crate::angular::Harmonics::gradients`].
    #[inline(always)]
    pub(super) fn evaluate<S: Simd, const TANGENT: bool>(
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
            slope.try_resize(n_lm * PAIRS, 0.0)?;
        }
        for first in (0..n).step_by(S::LANES) {
            let unit = [
                s.load(&block.units[0][first..]),
                s.load(&block.units[1][first..]),
                s.load(&block.units[2][first..]),
            ];
            let slopes = [&mut slope_x[first..], &mut slope_y[first..], &mut slope_z[first..]];
            let tangent = if TANGENT { Some(s.splat(1.0)) } else { None };
            plan.harmonics.gradients(s, unit, tangent, &mut block.harmonics[first..], slopes, PAIRS);
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
    fn pull<S: Simd>(&self, s: S, kind: &CenterTables, block: &Block, species: usize, lane: usize) -> Vector {
        let [x, y, z] = &self.slopes_of_harmonics;
        let row = lane * kind.row..(lane + 1) * kind.row;
        let sums = contract_pair(
            s,
            &kind.schedules[species],
            &self.gradient,
            [&block.harmonics, x, y, z],
            PAIRS,
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
