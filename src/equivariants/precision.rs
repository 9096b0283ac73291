//! The iteration in double or in single precision.

use super::block::Workspace;
use super::demand::Demand;
use super::forward;
use super::plan::{Plan, Projection};
use crate::error::Result;
use crate::simd::{Element, Packed, Simd};

/// A kind of number that the iteration runs in.
pub(super) trait Precision: Element {
    /// Makes what is not in the plan yet.
    fn prepare(plan: &Plan) -> Result<()>;
    /// `A^T` of a projection.
    fn forward(projection: &Projection) -> &Packed<Self>;
    /// Lower orders and their `B^T`.
    fn purification(projection: &Projection) -> &[(usize, Packed<Self>)];
    /// All orders that are needed, from the density in the workspace. Implementations are `#[inline(always)]`.
    fn iterate<S: Simd>(s: S, plan: &Plan, demand: &Demand, memory: &mut Workspace<Self>);
}

impl Precision for f64 {
    fn prepare(_: &Plan) -> Result<()> {
        Ok(())
    }

    #[inline(always)]
    fn forward(projection: &Projection) -> &Packed {
        &projection.forward
    }

    #[inline(always)]
    fn purification(projection: &Projection) -> &[(usize, Packed)] {
        &projection.purification
    }

    #[inline(always)]
    fn iterate<S: Simd>(s: S, plan: &Plan, demand: &Demand, memory: &mut Workspace) {
        forward::iterate(s, plan, demand, memory);
    }
}

impl Precision for f32 {
    fn prepare(plan: &Plan) -> Result<()> {
        plan.prepare_single()
    }

    #[inline(always)]
    fn forward(projection: &Projection) -> &Packed<Self> {
        &projection.single().forward
    }

    #[inline(always)]
    fn purification(projection: &Projection) -> &[(usize, Packed<Self>)] {
        &projection.single().purification
    }

    #[inline(always)]
    fn iterate<S: Simd>(s: S, plan: &Plan, demand: &Demand, memory: &mut Workspace<Self>) {
        forward::iterate(s.single(), plan, demand, memory);
    }
}
