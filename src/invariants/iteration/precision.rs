//! The iteration in double or in single precision.

use super::plan::{Plan, Projection};
use crate::error::Result;
use crate::simd::{Element, Lanes, Packed, Simd};

/// A kind of number that the iteration runs in.
pub(super) trait Precision: Element {
    /// Makes what is not in the plan yet.
    fn prepare(plan: &Plan) -> Result<()>;
    /// Vectors of it.
    type Lanes<S: Simd>: Lanes<Element = Self>;
    /// Their token.
    fn lanes<S: Simd>(s: S) -> Self::Lanes<S>;
    /// `A^T` of a projection.
    fn forward(projection: &Projection) -> &Packed<Self>;
    /// Lower orders and their `B^T`.
    fn purification(projection: &Projection) -> &[(usize, Packed<Self>)];
}

impl Precision for f64 {
    type Lanes<S: Simd> = S;

    fn prepare(_: &Plan) -> Result<()> {
        Ok(())
    }

    #[inline(always)]
    fn lanes<S: Simd>(s: S) -> S {
        s
    }

    #[inline(always)]
    fn forward(projection: &Projection) -> &Packed {
        &projection.forward
    }

    #[inline(always)]
    fn purification(projection: &Projection) -> &[(usize, Packed)] {
        &projection.purification
    }
}

impl Precision for f32 {
    type Lanes<S: Simd> = S::Single;

    fn prepare(plan: &Plan) -> Result<()> {
        plan.prepare_single()
    }

    #[inline(always)]
    fn lanes<S: Simd>(s: S) -> S::Single {
        s.single()
    }

    #[inline(always)]
    fn forward(projection: &Projection) -> &Packed<Self> {
        &projection.single().forward
    }

    #[inline(always)]
    fn purification(projection: &Projection) -> &[(usize, Packed<Self>)] {
        &projection.single().purification
    }
}
