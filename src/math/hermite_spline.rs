//! Quintic Hermite interpolation on a uniform grid: value, first and second derivative are given at every node.
//!
//! Against the cubic form (value and first derivative) the error falls with h^6 instead of h^4, and that of the
//! derivative with h^5 instead of h^3, so that a table of the same accuracy is several times smaller and stays in the
//! cache; energies made of it have continuous second derivatives.

use crate::simd::Simd;

/// Weights of `[y0, y0', y0'', y1, y1', y1'']` for the value at the fraction `t` of an interval of length `h`.
#[inline(always)]
#[must_use]
pub fn value_weights(t: f64, h: f64) -> [f64; 6] {
    let (t2, t3) = (t * t, t * t * t);
    let (t4, t5) = (t2 * t2, t2 * t3);
    let rise = 10.0 * t3 - 15.0 * t4 + 6.0 * t5;
    [
        1.0 - rise,
        h * (t - 6.0 * t3 + 8.0 * t4 - 3.0 * t5),
        h * h * 0.5 * (t2 - 3.0 * t3 + 3.0 * t4 - t5),
        rise,
        h * (-4.0 * t3 + 7.0 * t4 - 3.0 * t5),
        h * h * 0.5 * (t3 - 2.0 * t4 + t5),
    ]
}

/// [`value_weights`] times `f` for one vector of fractions.
#[inline(always)]
pub(crate) fn value_weights_of<S: Simd>(s: S, t: S::V, f: S::V, h: f64) -> [S::V; 6] {
    let number = |x: f64| s.splat(x);
    // Horner form, with t^3 f taken out of the right node's weights.
    let (t2, ft) = (s.mul(t, t), s.mul(f, t));
    let cube = s.mul(ft, t2);
    let rise = s.mul(cube, s.fma(s.fma(number(6.0), t, number(-15.0)), t, number(10.0)));
    let slope = s.fma(s.fma(number(-3.0), t, number(8.0)), t, number(-6.0));
    let slope_right = s.fma(s.fma(number(-3.0), t, number(7.0)), t, number(-4.0));
    let u = s.sub(number(1.0), t);
    let (u2, h_, h2) = (s.mul(u, u), number(h), number(0.5 * h * h));
    [
        s.sub(f, rise),
        s.mul(h_, s.fma(cube, slope, ft)),
        // t^2 (1 - t)^3
        s.mul(h2, s.mul(s.mul(ft, t), s.mul(u2, u))),
        rise,
        s.mul(h_, s.mul(cube, slope_right)),
        s.mul(h2, s.mul(cube, u2)),
    ]
}

/// [`derivative_weights`] times `f` plus [`value_weights`] times `df`: the derivative of `f(r)` times the spline.
#[inline(always)]
pub(crate) fn product_slope_weights_of<S: Simd>(s: S, t: S::V, f: S::V, df: S::V, h: f64) -> [S::V; 6] {
    let number = |x: f64| s.splat(x);
    let mut weights = value_weights_of(s, t, df, h);
    let u = s.sub(number(1.0), t);
    let (ft, tu) = (s.mul(f, t), s.mul(t, u));
    let slope = s.mul(number(30.0 / h), s.mul(f, s.mul(tu, tu)));
    // 1 - 18 t^2 + 32 t^3 - 15 t^4 and -12 t^2 + 28 t^3 - 15 t^4, without the 1.
    let left = s.fma(s.fma(number(-15.0), t, number(32.0)), t, number(-18.0));
    let right = s.fma(s.fma(number(-15.0), t, number(28.0)), t, number(-12.0));
    let ft2 = s.mul(ft, t);
    let curved = s.fma(s.fma(number(-5.0), t, number(12.0)), t, number(-9.0));
    let half_h = number(0.5 * h);
    let added = [
        s.sub(number(0.0), slope),
        s.fma(ft2, left, f),
        s.mul(half_h, s.mul(ft, s.fma(curved, t, number(2.0)))),
        slope,
        s.mul(ft2, right),
        s.mul(half_h, s.mul(ft2, s.fma(s.fma(number(5.0), t, number(-8.0)), t, number(3.0)))),
    ];
    for k in 0..6 {
        weights[k] = s.add(weights[k], added[k]);
    }
    weights
}

/// Weights of the same six numbers for the first derivative.
#[inline(always)]
#[must_use]
pub fn derivative_weights(t: f64, h: f64) -> [f64; 6] {
    let (t2, t3) = (t * t, t * t * t);
    let t4 = t2 * t2;
    let slope = (30.0 * t2 - 60.0 * t3 + 30.0 * t4) / h;
    [
        -slope,
        1.0 - 18.0 * t2 + 32.0 * t3 - 15.0 * t4,
        h * 0.5 * (2.0 * t - 9.0 * t2 + 12.0 * t3 - 5.0 * t4),
        slope,
        -12.0 * t2 + 28.0 * t3 - 15.0 * t4,
        h * 0.5 * (3.0 * t2 - 8.0 * t3 + 5.0 * t4),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quintic and its derivatives at the two nodes of [2, 2.5].
    fn nodes(y: impl Fn(f64) -> [f64; 3]) -> [f64; 6] {
        let ([a, b, c], [d, e, f]) = (y(2.0), y(2.5));
        [a, b, c, d, e, f]
    }

    fn dot(a: [f64; 6], b: [f64; 6]) -> f64 {
        a.iter().zip(&b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn quintics_are_reproduced() {
        let y = |x: f64| {
            [
                x.powi(5) - 2.0 * x.powi(3) + x,
                5.0 * x.powi(4) - 6.0 * x * x + 1.0,
                20.0 * x.powi(3) - 12.0 * x,
            ]
        };
        for t in [0.0, 0.1, 0.37, 0.5, 0.99, 1.0] {
            let [value, slope, _] = y(2.0 + 0.5 * t);
            assert!((dot(value_weights(t, 0.5), nodes(y)) - value).abs() < 1e-12);
            assert!((dot(derivative_weights(t, 0.5), nodes(y)) - slope).abs() < 1e-12);
        }
    }
}
