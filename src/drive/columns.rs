//! What stands where in a row of derivatives.

use std::ops::Range;

use crate::density::DensityPlan;
use crate::invariants::Invariant;

/// Components of the strain; of invariant features the last three are the same as those before.
pub(super) const STRAINS: [[usize; 2]; 9] =
    [[0, 0], [1, 1], [2, 2], [1, 2], [0, 2], [0, 1], [2, 1], [2, 0], [1, 0]];

/// Where the features of each center species stand in a row.
pub(super) struct Columns(Vec<usize>);

impl Columns {
    pub(super) fn new(invariant: &dyn Invariant, plan: &DensityPlan) -> Self {
        let mut starts = vec![0];
        for a in 0..plan.species().len() {
            starts.push(starts[a] + invariant.width(a));
        }
        Self(starts)
    }

    pub(super) fn n(&self) -> usize {
        self.0[self.0.len() - 1]
    }

    pub(super) fn of(&self, species: usize) -> Range<usize> {
        self.0[species]..self.0[species + 1]
    }
}
