//! Derivatives of the features of every center by the strain, `r -> (1 + strain) r`:
//!
//! `dF_i/d(strain_xy) = dF_i/dc_i . sum_j (dc_i/dr_ij)_x (r_ij)_y`
//!
//! The sum over pairs is made in the coefficients; images of the center are pairs as others.

use std::sync::{Mutex, PoisonError};

use super::block::PAIRS;
use super::center::Scratch;
use super::differential::{Accumulate, Component, Differential, Evaluate, Expand, Lanes, PairRun};
use super::drive::{Interrupt, Job, drive_job};
use super::plan::DensityPlan;
use crate::error::Result;
use crate::memory::{Grow, collected};
use crate::neighbors::Search;
use crate::simd::Simd;
use crate::structure::Batch;

/// Components of the strain in the order of Voigt; the derivatives of invariants are symmetric.
const VOIGT: [[usize; 2]; 6] = [[0, 0], [1, 1], [2, 2], [1, 2], [0, 2], [0, 1]];

/// Adds the derivatives of invariant features of all centers to `values` [atom, 6, feature].
///
/// # Errors
/// As [`super::density_coefficients`].
///
/// # Panics
/// If the array has not its shape, or the features are not invariant.
pub(crate) fn add_strain_gradients<D: Differential>(
    batch: &Batch,
    plan: &DensityPlan,
    differential: &D,
    values: &mut [f64],
    interrupt: Interrupt<'_>,
) -> Result<()> {
    assert!(D::INVARIANT, "six components are enough for invariants only");
    let species = plan.species_indices(batch)?;
    let width = 6 * differential.width(plan, 0);
    assert!(values.len() == width * batch.n_atoms(), "array of another shape");
    let job = Strain { differential, spare: Mutex::default() };
    let rows = collected(values.chunks_exact_mut(width.max(1)))?;
    drive_job(batch, plan, None, &species, &job, rows, &mut |_, ()| (), interrupt)
}

struct Strain<'d, D: Differential> {
    differential: &'d D,
    /// Scratch memory that no thread uses at the moment.
    spare: Mutex<Vec<Box<Memory<D::Memory>>>>,
}

/// Scratch memory of one thread.
#[derive(Debug, Default)]
struct Memory<M> {
    lanes: Lanes,
    scaled: [Vec<f64>; 2],
    /// Change of the coefficients with each component. [component][padded]
    deltas: [Vec<f64>; 6],
    features: M,
}

impl<D: Differential> Job for Strain<'_, D> {
    type Item<'o> = &'o mut [f64];
    type Output = ();
    const CENTERS: usize = 8;

    #[inline(always)]
    fn center<S: Simd>(
        &self,
        _: S,
        scratch: &mut Scratch,
        plan: &DensityPlan,
        search: &mut Search<'_, '_>,
        species: &[u32],
        center: usize,
        rows: &mut [f64],
        (): &mut (),
    ) -> Result<()> {
        plan.level.run(Expand { scratch, plan, search, species, center })?;
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = spare.unwrap_or_default();
        let own = species[center] as usize;
        memory.sum_pairs(plan, self.differential.n_degrees(plan), search, own, scratch)?;
        let c = &scratch.coefficients[..plan.center(own).layout.padded_len()];
        let width = self.differential.width(plan, own);
        for (row, delta) in rows.chunks_exact_mut(width.max(1)).zip(&memory.deltas) {
            self.differential.along(plan, own, c, delta, 1.0, row, &mut memory.features)?;
        }
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        Ok(())
    }
}

impl<M> Memory<M> {
    /// Sums what every component of the strain does to the coefficients of a center.
    fn sum_pairs(
        &mut self,
        plan: &DensityPlan,
        n_degrees: usize,
        search: &Search<'_, '_>,
        own: usize,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let kind = plan.center(own);
        let Self { lanes, scaled, deltas, .. } = self;
        for delta in deltas.iter_mut() {
            delta.clear();
            delta.try_resize(kind.layout.padded_len(), 0.0)?;
        }
        for (order, kinds) in scratch.order.chunks(PAIRS).zip(scratch.kinds.chunks(PAIRS)) {
            let (block, backward) = (&mut scratch.block, &mut scratch.backward);
            plan.level.run(Evaluate { plan, kind, search, order, kinds, block, backward })?;
            let mut along = [[0.0; PAIRS]; 6];
            let across = block.units;
            for (weights, [x, y]) in along.iter_mut().zip(VOIGT) {
                for lane in 0..order.len() {
                    weights[lane] = block.units[x][lane] * block.units[y][lane] * block.distances[lane];
                }
            }
            let component = |k: usize| {
                let [axis, y] = VOIGT[k];
                Component { axis, along: &along[k], across: &across[y] }
            };
            let components: [_; 6] = std::array::from_fn(component);
            let mut start = 0;
            for run in kinds.chunk_by(|a, b| a == b) {
                let pair = [own, run[0] as usize];
                let range = start..start + run.len();
                let (block, backward) = (&scratch.block, &scratch.backward);
                let run = PairRun::new(kind, pair, range.clone(), block, backward, lanes, &[]);
                plan.level.run(Accumulate {
                    run: &run,
                    components: &components,
                    n_degrees,
                    scaled,
                    deltas,
                })?;
                start = range.end;
            }
        }
        Ok(())
    }
}
