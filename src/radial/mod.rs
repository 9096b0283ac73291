//! What depends on the distance alone: the weight `f(r) = f_cut(r) u(r)` and the tables of radial integrals.

mod cutoff;
mod scaling;
mod table;

pub use cutoff::{Cutoff, Smoothing};
pub use scaling::RadialScaling;
pub use table::{RadialTable, TableSection};

use crate::simd::Simd;

/// `f(r) = f_cut(r) u(r)`, which multiplies a neighbor's contribution outside the radial integral.
#[derive(Debug, Clone, Copy)]
pub struct RadialWeight {
    /// The cutoff function.
    pub cutoff: Cutoff,
    /// The radial scaling; `None` for 1.
    pub scaling: Option<RadialScaling>,
}

impl RadialWeight {
    /// `f(r)`.
    #[must_use]
    pub fn value(&self, r: f64) -> f64 {
        self.cutoff.value(r) * self.scaling.map_or(1.0, |u| u.value(r))
    }

    /// `df/dr` in 1/Å.
    #[must_use]
    pub fn derivative(&self, r: f64) -> f64 {
        let slope = self.cutoff.derivative(r);
        match self.scaling {
            None => slope,
            Some(u) => slope * u.value(r) + self.cutoff.value(r) * u.derivative(r),
        }
    }

    /// `(f, df/dr)` of one vector of distances.
    #[inline(always)]
    pub(crate) fn values_and_slopes<S: Simd>(&self, s: S, r: S::V) -> (S::V, S::V) {
        let (cut, cut_slope) = self.cutoff.values_and_slopes(s, r);
        match self.scaling {
            None => (cut, cut_slope),
            Some(scaling) => {
                let (u, slope) = scaling.values_and_slopes(s, r);
                (s.mul(cut, u), s.fma(cut_slope, u, s.mul(cut, slope)))
            }
        }
    }

    /// `f` of one vector of distances.
    #[inline(always)]
    pub(crate) fn values<S: Simd>(&self, s: S, r: S::V) -> S::V {
        let cut = self.cutoff.values(s, r);
        match self.scaling {
            None => cut,
            Some(u) => s.mul(cut, u.values(s, r)),
        }
    }
}
