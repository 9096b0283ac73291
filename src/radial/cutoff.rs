//! Cutoff functions: 1 up to `radius - width`, 0 from `radius` on.

use std::f64::consts::{FRAC_PI_2, PI};

use crate::error::{Error, Result};
use crate::simd::Simd;

/// Shape of the transition, as a function of `u = (radius - r) / width` in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Smoothing {
    /// `(1 - cos(pi u)) / 2`: continuous first derivative.
    Cosine,
    /// `u^3 (10 - 15 u + 6 u^2)`: continuous second derivative.
    Quintic,
}

/// A cutoff function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cutoff {
    radius: f64,
    width: f64,
    smoothing: Smoothing,
}

impl Cutoff {
    /// Checks the lengths (Å).
    ///
    /// # Errors
    /// [`Error::BadParameter`] unless `0 < width <= radius < 1e6`.
    pub fn new(radius: f64, width: f64, smoothing: Smoothing) -> Result<Self> {
        let bad = |name, requirement, value: f64| {
            Err(Error::BadParameter { name, requirement, value: value.to_string() })
        };
        if !(radius > 0.0 && radius < 1e6) {
            return bad("cutoff radius", "positive and below 1e6 Å", radius);
        }
        if !(width > 0.0 && width <= radius) {
            return bad("cutoff width", "positive and at most the radius", width);
        }
        Ok(Self { radius, width, smoothing })
    }

    /// The radius in Å.
    #[must_use]
    pub fn radius(&self) -> f64 {
        self.radius
    }

    fn u(&self, r: f64) -> f64 {
        ((self.radius - r) / self.width).clamp(0.0, 1.0)
    }

    /// `f_cut(r)`.
    #[must_use]
    pub fn value(&self, r: f64) -> f64 {
        let u = self.u(r);
        match self.smoothing {
            Smoothing::Cosine => (FRAC_PI_2 * u).sin().powi(2),
            Smoothing::Quintic => u * u * u * (10.0 - 15.0 * u + 6.0 * u * u),
        }
    }

    /// `df_cut/dr` in 1/Å.
    #[must_use]
    pub fn derivative(&self, r: f64) -> f64 {
        let u = self.u(r);
        let by_u = match self.smoothing {
            // At u = 0 and u = 1 the sine is zero up to rounding: make it so.
            Smoothing::Cosine if u < 1.0 => FRAC_PI_2 * (PI * u).sin(),
            Smoothing::Cosine => 0.0,
            Smoothing::Quintic => 30.0 * (u * (1.0 - u)).powi(2),
        };
        -by_u / self.width
    }

    /// `f_cut` of one vector of distances.
    #[inline(always)]
    pub(crate) fn values<S: Simd>(&self, s: S, r: S::V) -> S::V {
        let u = s.mul(s.sub(s.splat(self.radius), r), s.splat(1.0 / self.width));
        let u = s.min(s.max(u, s.splat(0.0)), s.splat(1.0));
        match self.smoothing {
            Smoothing::Cosine => {
                let sine = quarter_sine(s, u);
                s.mul(sine, sine)
            }
            Smoothing::Quintic => {
                let bracket = s.fma(s.fma(s.splat(6.0), u, s.splat(-15.0)), u, s.splat(10.0));
                s.mul(s.mul(u, u), s.mul(u, bracket))
            }
        }
    }
}

impl Cutoff {
    /// `(f_cut, df_cut/dr)` of one vector of distances.
    #[inline(always)]
    pub(crate) fn values_and_slopes<S: Simd>(&self, s: S, r: S::V) -> (S::V, S::V) {
        let u = s.mul(s.sub(s.splat(self.radius), r), s.splat(1.0 / self.width));
        let u = s.min(s.max(u, s.splat(0.0)), s.splat(1.0));
        let by_u = match self.smoothing {
            Smoothing::Cosine => {
                // cos(pi u / 2) = sin(pi (1 - u) / 2) vanishes exactly where the cutoff is flat.
                let cosine = quarter_sine(s, s.sub(s.splat(1.0), u));
                s.mul(s.splat(PI), s.mul(quarter_sine(s, u), cosine))
            }
            Smoothing::Quintic => {
                let bump = s.mul(u, s.sub(s.splat(1.0), u));
                s.mul(s.splat(30.0), s.mul(bump, bump))
            }
        };
        (self.values(s, r), s.mul(by_u, s.splat(-1.0 / self.width)))
    }
}

/// `sin(pi u / 2)` for `u` in [0, 1], by its Taylor series: the first omitted term is 1e-18.
#[inline(always)]
fn quarter_sine<S: Simd>(s: S, u: S::V) -> S::V {
    const TERMS: usize = 11;
    let x = s.mul(u, s.splat(FRAC_PI_2));
    let x2 = s.mul(x, x);
    let mut sum = s.splat(1.0);
    // Horner from the last term inwards: 1 - x^2/(2k (2k + 1)) (...)
    for k in (1..TERMS).rev() {
        let k = k as f64;
        sum = s.fnma(s.mul(x2, s.splat(1.0 / (2.0 * k * (2.0 * k + 1.0)))), sum, s.splat(1.0));
    }
    s.mul(x, sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, Level};

    /// Values and slopes of a cutoff at some radii. [value, slope][r]
    struct Values<'a>(&'a Cutoff, &'a [f64], &'a mut [Vec<f64>; 2]);

    impl Kernel for Values<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for first in (0..self.1.len()).step_by(S::LANES) {
                let (value, slope) = self.0.values_and_slopes(s, s.load(&self.1[first..]));
                s.store(value, &mut self.2[0][first..]);
                s.store(slope, &mut self.2[1][first..]);
            }
        }
    }

    #[test]
    fn vectors_equal_scalars_and_slopes_equal_differences() {
        let r: Vec<f64> = (0..80).map(|k| f64::from(k) * 0.08).collect();
        for smoothing in [Smoothing::Cosine, Smoothing::Quintic] {
            let cutoff = Cutoff::new(6.0, 1.5, smoothing).unwrap();
            for level in Level::available() {
                let mut out = [vec![f64::NAN; r.len()], vec![f64::NAN; r.len()]];
                level.run(Values(&cutoff, &r, &mut out));
                for (k, &r) in r.iter().enumerate() {
                    assert!((out[0][k] - cutoff.value(r)).abs() < 1e-15, "{level:?} {r}");
                    assert!((out[1][k] - cutoff.derivative(r)).abs() < 1e-14, "{level:?} {r}");
                }
            }
            for &r in &r {
                let slope = (cutoff.value(r + 1e-6) - cutoff.value(r - 1e-6)) / 2e-6;
                assert!((slope - cutoff.derivative(r)).abs() < 2e-6);
            }
            assert_eq!((cutoff.value(6.0), cutoff.value(4.5), cutoff.derivative(6.0)), (0.0, 1.0, -0.0));
        }
    }
}
