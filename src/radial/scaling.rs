//! Radial scaling `u(r) = c / (c + (r/r0)^m)` (Willatt et al., Phys. Chem. Chem. Phys. 20, 29661 (2018)).

use crate::error::{Error, Result};
use crate::simd::{MAX_LANES, Simd};

/// Powers up to this are multiplied out.
const LARGEST_INTEGER: f64 = 64.0;

/// A radial scaling with rate `c`, scale `r0` in Å and exponent `m`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RadialScaling {
    rate: f64,
    scale: f64,
    exponent: f64,
}

impl RadialScaling {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::BadParameter`] unless `rate >= 0`, `scale > 0` and `exponent >= 0`, all finite.
    pub fn new(rate: f64, scale: f64, exponent: f64) -> Result<Self> {
        let bad = |name, requirement, value: f64| {
            Err(Error::BadParameter { name, requirement, value: value.to_string() })
        };
        if !(rate >= 0.0 && rate.is_finite()) {
            return bad("scaling rate", "finite and not negative", rate);
        }
        if !(scale > 0.0 && scale.is_finite()) {
            return bad("scaling scale", "a positive length", scale);
        }
        if !(exponent >= 0.0 && exponent.is_finite()) {
            return bad("scaling exponent", "finite and not negative", exponent);
        }
        Ok(Self { rate, scale, exponent })
    }

    /// `u(r)`; 1 at `m = 0`, `(r0/r)^m` at `c = 0`.
    #[must_use]
    pub fn value(&self, r: f64) -> f64 {
        if self.exponent == 0.0 {
            return 1.0;
        }
        let power = (r / self.scale).powf(self.exponent);
        if self.rate == 0.0 { 1.0 / power } else { self.rate / (self.rate + power) }
    }

    /// `du/dr` in 1/Å.
    #[must_use]
    pub fn derivative(&self, r: f64) -> f64 {
        if self.exponent == 0.0 {
            return 0.0;
        }
        let m = self.exponent;
        if self.rate == 0.0 {
            return -m / r * (r / self.scale).powf(-m);
        }
        let slope = m / self.scale * (r / self.scale).powf(m - 1.0);
        -self.rate * slope / (self.rate + (r / self.scale).powf(m)).powi(2)
    }

    /// `(u, du/dr)` of one vector of distances: `du/dr = -(m/r) u p / (c + p)` with `p = (r/r0)^m`.
    #[inline(always)]
    pub(crate) fn values_and_slopes<S: Simd>(&self, s: S, r: S::V) -> (S::V, S::V) {
        if self.exponent == 0.0 {
            return (s.splat(1.0), s.splat(0.0));
        }
        let power = self.powers(s, r);
        let u = self.of_power(s, power);
        let share = s.div(power, s.add(s.splat(self.rate), power));
        (u, s.mul(s.div(s.splat(-self.exponent), r), s.mul(u, share)))
    }

    /// `u` of one vector of distances.
    #[inline(always)]
    pub(crate) fn values<S: Simd>(&self, s: S, r: S::V) -> S::V {
        if self.exponent == 0.0 {
            return s.splat(1.0);
        }
        let power = self.powers(s, r);
        self.of_power(s, power)
    }

    /// `(r/r0)^m`.
    #[inline(always)]
    fn powers<S: Simd>(&self, s: S, r: S::V) -> S::V {
        let x = s.mul(r, s.splat(1.0 / self.scale));
        if self.exponent.fract() == 0.0 && self.exponent <= LARGEST_INTEGER {
            integer_power(s, x, self.exponent as u32)
        } else {
            let mut lanes = [1.0; MAX_LANES];
            s.store(x, &mut lanes);
            for lane in &mut lanes {
                *lane = lane.powf(self.exponent);
            }
            s.load(&lanes)
        }
    }

    #[inline(always)]
    fn of_power<S: Simd>(&self, s: S, power: S::V) -> S::V {
        if self.rate == 0.0 {
            s.div(s.splat(1.0), power)
        } else {
            let rate = s.splat(self.rate);
            s.div(rate, s.add(rate, power))
        }
    }
}

/// `x^n` for `n >= 1` by squaring.
#[inline(always)]
fn integer_power<S: Simd>(s: S, x: S::V, mut n: u32) -> S::V {
    let mut square = x;
    let mut out = s.splat(1.0);
    loop {
        if n & 1 == 1 {
            out = s.mul(out, square);
        }
        n >>= 1;
        if n == 0 {
            return out;
        }
        square = s.mul(square, square);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_slopes() {
        for (c, m) in [(1.0, 7.0), (2.0, 2.5), (0.0, 3.0), (1.0, 0.0)] {
            let u = RadialScaling::new(c, 2.0, m).unwrap();
            for r in [0.3, 1.0, 2.0, 4.7] {
                let slope = (u.value(r + 1e-6) - u.value(r - 1e-6)) / 2e-6;
                assert!((slope - u.derivative(r)).abs() < 1e-6 * (1.0 + slope.abs()));
            }
            let expected = if m == 0.0 { 1.0 } else { c / (c + 1.0) };
            assert!(c == 0.0 || (u.value(2.0) - expected).abs() < 1e-15);
        }
        assert!((RadialScaling::new(0.0, 2.0, 3.0).unwrap().value(4.0) - 0.125).abs() < 1e-15);
        assert!(RadialScaling::new(-1.0, 2.0, 3.0).is_err());
    }
}
