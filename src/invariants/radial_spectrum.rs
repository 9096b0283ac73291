//! Radial spectrum: the coefficients of degree 0, invariant as they are (two-body features).

use super::fill_rows;
use crate::error::Result;
use crate::expansion::{Consumer, DensityPlan, Interrupt, Layout, Numbers};
use crate::simd::Simd;
use crate::structure::Batch;

struct RadialSpectrum;

impl Consumer for RadialSpectrum {
    type Scratch = ();

    #[inline(always)]
    fn consume<S: Simd>(&self, _: S, layout: &Layout, c: &[f64], row: &mut [f64], (): &mut ()) -> Result<()> {
        row.fill(0.0);
        layout.unpad_row(0, c, 0, row);
        Ok(())
    }
}

/// `c_q00` of all atoms, [atom, q]; where center species differ in their channels, missing ones are zero.
///
/// # Errors
/// As [`crate::expansion::density_coefficients`].
///
/// # Panics
/// If `values` has not this shape.
pub fn radial_spectrum_into<'o>(
    batch: &Batch,
    plan: &DensityPlan,
    values: impl Into<Numbers<'o>>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    fill_rows(batch, plan, &RadialSpectrum, plan.max_channels(0), values.into(), interrupt)
}
