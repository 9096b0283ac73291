//! Equivariants of rising order, by iteration (Eq. 11):
//!
//! `<Q; q l k | nu + 1; sigma; lambda mu> = sum_m1m2 <l m1; k m2 | lambda mu> c_qlm1 <Q | nu; s; k m2>`
//!
//! with `sigma = s (-1)^(l + k + lambda)`. Which pairs are made and how they are contracted, a fit has decided.
//!
//! | file | what it holds |
//! |---|---|
//! | `settings` | what a fit decides |
//! | `plan` | the same, checked and arranged for the kernels |
//! | `demand` | what has to be computed for what is wanted |
//! | `block` | the values of a block of environments |
//! | `forward` | coupling and contraction |
//! | `precision` | the same in double or in single precision |
//! | `adjoint` | the gradient of an energy with respect to the density coefficients |
//! | `drive` | all environments, in parallel, interruptible |
//! | `reference` | the iteration as it is written above; the oracle |

mod adjoint;
mod block;
mod demand;
mod drive;
mod forward;
mod plan;
mod precision;
pub mod reference;
mod settings;

pub use adjoint::PairWeights;
pub use plan::Plan;
pub use settings::{
    CouplingSettings, InvariantsSettings, OutputSettings, PlanSettings, ProjectionSettings, StepSettings,
    Symmetry,
};

use std::marker::PhantomData;

use block::Workspace;
use demand::{Demand, Wanted};
use drive::{Job, drive};
use precision::Precision;

use crate::error::{Error, Result};
use crate::expansion::{Interrupt, Numbers};
use crate::simd::Simd;

/// Number of rows of an array of packed density coefficients.
fn environments(plan: &Plan, density: &[f64]) -> Result<usize> {
    let width = plan.density_width();
    if width == 0 || !density.len().is_multiple_of(width) {
        return Err(Error::BadShape(format!(
            "{} density coefficients are not rows of {width}, what the iteration was made for",
            density.len()
        )));
    }
    Ok(density.len() / width)
}

struct Invariants<'p, T> {
    plan: &'p Plan,
    demand: Demand,
    precision: PhantomData<T>,
}

impl<T: Precision> Job for Invariants<'_, T> {
    type Number = T;
    type Memory = Workspace<T>;

    fn memory(&self) -> Result<Workspace<T>> {
        Workspace::new(self.plan, &self.demand)
    }

    #[inline(always)]
    fn block<S: Simd>(&self, s: S, memory: &mut Workspace<T>, density: &[f64], rows: &mut [&mut [T]]) {
        memory.load(self.plan, density);
        T::iterate(s, self.plan, &self.demand, memory);
        let width = self.plan.n_features();
        let mut start = 0;
        for (nu, order) in (1..).zip(&memory.orders) {
            let n = self.plan.n_invariants(nu);
            block::store_columns(&order.invariants, memory.stride, n, start, width, rows[0]);
            start += n;
        }
    }
}

/// Invariant features of packed density coefficients [environment, width]: [environment, feature], orders 1, 2, ... in turn.
///
/// In the precision of the output: in single precision, coefficients and projections are rounded once and all arithmetic
/// is in it, with vectors of twice as many numbers.
///
/// # Errors
/// [`Error::BadShape`], [`Error::Interrupted`].
///
/// # Panics
/// If `values` has not this shape.
pub fn invariants_into<'o>(
    plan: &Plan,
    density: &[f64],
    values: impl Into<Numbers<'o>>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    match values.into() {
        Numbers::F64(values) => invariants_of(plan, density, values, interrupt),
        Numbers::F32(values) => invariants_of(plan, density, values, interrupt),
    }
}

fn invariants_of<T: Precision>(
    plan: &Plan,
    density: &[f64],
    values: &mut [T],
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let n = environments(plan, density)?;
    assert!(values.len() == n * plan.n_features(), "array of another shape");
    T::prepare(plan)?;
    let job = Invariants { plan, demand: Demand::new(plan, Wanted::Features), precision: PhantomData };
    drive(plan.level, &job, n, density, vec![values], interrupt)
}

struct Equivariants<'p> {
    plan: &'p Plan,
    demand: Demand,
    /// (order, place in the order)
    blocks: &'p [(usize, usize)],
}

impl Job for Equivariants<'_> {
    type Number = f64;
    type Memory = Workspace;

    fn memory(&self) -> Result<Workspace> {
        Workspace::new(self.plan, &self.demand)
    }

    #[inline(always)]
    fn block<S: Simd>(&self, s: S, memory: &mut Workspace, density: &[f64], rows: &mut [&mut [f64]]) {
        memory.load(self.plan, density);
        forward::iterate(s, self.plan, &self.demand, memory);
        for (&(nu, place), rows) in self.blocks.iter().zip(rows) {
            let (symmetry, channels) = self.plan.blocks(nu)[place];
            let values = &memory.orders[nu - 1].blocks[place];
            block::store(values, memory.stride, 2 * symmetry.lambda + 1, channels, rows);
        }
    }
}

/// Some blocks of equivariants, given as (order, place among [`Plan::blocks`]): each [environment, m, channel].
///
/// # Errors
/// [`Error::BadShape`], also for a block that is not there; [`Error::Interrupted`].
///
/// # Panics
/// If an array has not its shape.
pub fn equivariants_into(
    plan: &Plan,
    density: &[f64],
    blocks: &[(usize, usize)],
    arrays: Vec<&mut [f64]>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let n = environments(plan, density)?;
    for (&(nu, place), array) in blocks.iter().zip(&arrays) {
        let known = if (1..=plan.max_order()).contains(&nu) { plan.blocks(nu) } else { Vec::new() };
        let Some((symmetry, channels)) = known.get(place) else {
            return Err(Error::BadShape(format!("there is no block {place} of order {nu}")));
        };
        assert!(array.len() == n * (2 * symmetry.lambda + 1) * channels, "array of another shape");
    }
    let job = Equivariants { plan, demand: Demand::new(plan, Wanted::Blocks(blocks)), blocks };
    drive(plan.level, &job, n, density, arrays, interrupt)
}

/// Energies linear in the invariants, [environment], and their gradients with respect to the density coefficients,
/// [environment, width] as these.
///
/// # Errors
/// [`Error::BadShape`], [`Error::Interrupted`].
///
/// # Panics
/// If a result has not its shape, or the weights are those of another plan.
pub fn energies_and_gradients_into(
    plan: &Plan,
    weights: &PairWeights,
    density: &[f64],
    energies: &mut [f64],
    gradients: &mut [f64],
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let n = environments(plan, density)?;
    assert!(energies.len() == n && gradients.len() == density.len(), "array of another shape");
    plan.prepare_backward()?;
    let job = adjoint::Adjoint::new(plan, weights);
    drive(plan.level, &job, n, density, vec![energies, gradients], interrupt)
}
