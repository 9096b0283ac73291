//! Arrangement of the power spectrum: degrees slowest, then pairs `q1 <= q2` row by row.

use super::padded_places;
use crate::density::DensityPlan;
use crate::simd::Level;

/// Which channels the features are products of, and where these stand.
#[derive(Debug, Clone)]
pub(super) struct Arrangement {
    /// Channels of each degree; where center species differ, the largest number, and missing channels are zero. `[l]`
    pub(super) channels: Vec<usize>,
    /// Where each channel stands in a padded row. `[species][l][channel]`
    pub(super) places: Vec<Vec<Vec<usize>>>,
    /// Where a degree begins in padded coefficients, and the length of its rows. `[species][l]`
    pub(super) padded: Vec<Vec<(usize, usize)>>,
    pub(super) level: Level,
}

impl Arrangement {
    pub(super) fn new(plan: &DensityPlan) -> Self {
        let padded = |a| (0..=plan.max_angular()).map(|l| plan.center(a).layout.padded(l)).collect();
        Self {
            channels: (0..=plan.max_angular()).map(|l| plan.max_channels(l)).collect(),
            places: padded_places(plan),
            padded: (0..plan.species().len()).map(padded).collect(),
            level: plan.level(),
        }
    }

    pub(super) fn n_species(&self) -> usize {
        self.places.len()
    }

    /// Number of features.
    pub(super) fn width(&self) -> usize {
        (0..self.channels.len()).map(|l| self.width_of(l)).sum()
    }

    /// Number of features of a degree.
    pub(super) fn width_of(&self, l: usize) -> usize {
        self.channels[l] * (self.channels[l] + 1) / 2
    }
}
