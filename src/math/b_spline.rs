//! Interpolation on a uniform grid by quintic B-splines, with first and second derivatives given at both ends.
//!
//! In the interval `k` of length `h` the spline is `sum_i c_{k + i} B_i(t)`, `i = 0..=5`, with the fraction `t` of the
//! interval. Its error falls with h^6 (that of the derivative with h^5), as that of the quintic Hermite form, which
//! needs a value and two derivatives at every node where this one needs one number: a table of the same accuracy is
//! several times smaller and stays in the cache. Energies made of it have four continuous derivatives. The derivatives
//! at the ends keep the error there as small as inside.

use crate::error::Result;
use crate::memory::{Grow, collected, filled};
use crate::simd::Simd;

/// Numbers that an interval reads.
pub const ORDER: usize = 6;

/// Coefficients that a spline on `n_nodes` nodes has.
#[must_use]
pub fn n_coefficients(n_nodes: usize) -> usize {
    n_nodes + 4
}

/// `B_i(t)` of the upper half, `i = 3, 4, 5`; those of the lower half are `B_{5 - i}(1 - t)`.
#[inline(always)]
fn upper(t: f64) -> [f64; 3] {
    let t2 = t * t;
    [
        (26.0 + 50.0 * t + t2 * (20.0 - 20.0 * t - 20.0 * t2 + 10.0 * t * t2)) / 120.0,
        (1.0 + 5.0 * t + t2 * (10.0 + 10.0 * t + 5.0 * t2 - 5.0 * t * t2)) / 120.0,
        t2 * t2 * t / 120.0,
    ]
}

/// `B_i'(t)` of the upper half; those of the lower half are `-B_{5 - i}'(1 - t)`.
#[inline(always)]
fn upper_slopes(t: f64) -> [f64; 3] {
    let t2 = t * t;
    [
        (5.0 + 4.0 * t + t2 * (-6.0 - 8.0 * t + 5.0 * t2)) / 12.0,
        (1.0 + 4.0 * t + t2 * (6.0 + 4.0 * t - 5.0 * t2)) / 24.0,
        t2 * t2 / 24.0,
    ]
}

/// Weights of the six coefficients for the value at the fraction `t` of an interval.
#[must_use]
pub fn value_weights(t: f64) -> [f64; ORDER] {
    let ([c, d, e], [f, g, h]) = (upper(1.0 - t), upper(t));
    [e, d, c, f, g, h]
}

/// Weights of the six coefficients for the first derivative in an interval of length `h`.
#[must_use]
pub fn derivative_weights(t: f64, h: f64) -> [f64; ORDER] {
    let ([c, d, e], [f, g, i]) = (upper_slopes(1.0 - t), upper_slopes(t));
    [-e / h, -d / h, -c / h, f / h, g / h, i / h]
}

/// `f` times the three polynomials of [`upper`] for one vector of fractions.
#[inline(always)]
fn upper_of<S: Simd>(s: S, t: S::V, f: S::V) -> [S::V; 3] {
    let number = |x: f64| s.splat(x / 120.0);
    let t2 = s.mul(t, t);
    let third = s.fma(s.fma(number(10.0), t, number(-20.0)), t2, s.fma(number(-20.0), t, number(20.0)));
    let fourth = s.fma(s.fma(number(-5.0), t, number(5.0)), t2, s.fma(number(10.0), t, number(10.0)));
    [
        s.mul(f, s.fma(third, t2, s.fma(number(50.0), t, number(26.0)))),
        s.mul(f, s.fma(fourth, t2, s.fma(number(5.0), t, number(1.0)))),
        s.mul(s.mul(f, number(1.0)), s.mul(s.mul(t2, t2), t)),
    ]
}

/// `f` times the three polynomials of [`upper_slopes`] for one vector of fractions.
#[inline(always)]
fn upper_slopes_of<S: Simd>(s: S, t: S::V, f: S::V) -> [S::V; 3] {
    let number = |x: f64| s.splat(x / 24.0);
    let t2 = s.mul(t, t);
    let third = s.fma(s.fma(number(10.0), t2, s.fma(number(-16.0), t, number(-12.0))), t2, number(10.0));
    let fourth = s.fma(s.fma(number(-5.0), t2, s.fma(number(4.0), t, number(6.0))), t2, number(1.0));
    [
        s.mul(f, s.fma(number(8.0), t, third)),
        s.mul(f, s.fma(number(4.0), t, fourth)),
        s.mul(s.mul(f, number(1.0)), s.mul(t2, t2)),
    ]
}

/// [`value_weights`] times `f` for one vector of fractions.
#[inline(always)]
pub(crate) fn value_weights_of<S: Simd>(s: S, t: S::V, f: S::V) -> [S::V; ORDER] {
    let [c, d, e] = upper_of(s, s.sub(s.splat(1.0), t), f);
    let [f, g, h] = upper_of(s, t, f);
    [e, d, c, f, g, h]
}

/// [`derivative_weights`] times `f` plus [`value_weights`] times `df`: the derivative of `f(r)` times the spline.
#[inline(always)]
pub(crate) fn product_slope_weights_of<S: Simd>(s: S, t: S::V, f: S::V, df: S::V, h: f64) -> [S::V; ORDER] {
    let mut weights = value_weights_of(s, t, df);
    let f = s.mul(f, s.splat(1.0 / h));
    let lower = upper_slopes_of(s, s.sub(s.splat(1.0), t), f);
    let upper = upper_slopes_of(s, t, f);
    for i in 0..3 {
        weights[2 - i] = s.sub(weights[2 - i], lower[i]);
        weights[3 + i] = s.add(weights[3 + i], upper[i]);
    }
    weights
}

/// Coefficients of the spline through values at the nodes of a grid of spacing `h`, with the given first and second
/// derivatives at its two ends. At least two nodes.
///
/// At node k the spline is `(c_k + 26 c_{k+1} + 66 c_{k+2} + 26 c_{k+3} + c_{k+4}) / 120`. The derivatives at an end give
/// its two outermost coefficients in terms of the next three; what remains has five diagonals.
///
/// # Errors
/// [`crate::Error::OutOfMemory`].
pub fn coefficients(values: &[f64], ends: [[f64; 2]; 2], h: f64) -> Result<Vec<f64>> {
    let n = values.len();
    // Multiples of the derivatives, seen from each end inwards.
    let scaled = [
        [120.0 * h * ends[0][0], 120.0 * h * h * ends[0][1]],
        [-120.0 * h * ends[1][0], 120.0 * h * h * ends[1][1]],
    ];
    let mut right: Vec<f64> = collected(values.iter().map(|y| 120.0 * y))?;
    let mut rows = filled(n, [1.0, 26.0, 66.0, 26.0, 1.0])?;
    for (end, [a, b]) in scaled.into_iter().enumerate() {
        // Offsets from the diagonal are mirrored at the far end.
        let mut add = |depth: usize, offset: isize, amount: f64| {
            let (row, side) = if end == 0 { (depth, offset) } else { (n - 1 - depth, -offset) };
            rows[row][(2 + side) as usize] += amount;
        };
        for (offset, amount) in [(0, -12.0), (1, 34.0), (2, 5.0)] {
            add(0, offset, amount);
        }
        for (offset, amount) in [(-1, -0.75), (0, 1.5), (1, 0.25)] {
            add(1, offset, amount);
        }
        let inwards = |depth: usize| if end == 0 { depth } else { n - 1 - depth };
        right[inwards(0)] += 0.6 * a + 0.1 * b;
        right[inwards(1)] += 0.025 * a + 0.00625 * b;
    }
    let inner = solve_five_diagonals(rows, right);
    let at = |k: usize| inner.get(k).copied().unwrap_or(0.0);
    let outer = |[a, b]: [f64; 2], [c, d, e]: [f64; 3]| {
        [
            a / 20.0 + b / 16.0 + 7.5 * c - 5.0 * d - 1.5 * e,
            -(4.0 * a + b) / 160.0 - 0.75 * c + 1.5 * d + 0.25 * e,
        ]
    };
    let mut out = Vec::new();
    out.make_room(n_coefficients(n))?;
    out.extend(outer(scaled[0], [at(0), at(1), at(2)]));
    out.extend_from_slice(&inner);
    let [last, before] = outer(scaled[1], [at(n - 1), at(n.wrapping_sub(2)), at(n.wrapping_sub(3))]);
    out.extend([before, last]);
    Ok(out)
}

/// Gaussian elimination without pivots: the matrix is dominated by its diagonal but for the rows at the ends.
fn solve_five_diagonals(mut rows: Vec<[f64; 5]>, mut right: Vec<f64>) -> Vec<f64> {
    let n = rows.len();
    for k in 0..n {
        for below in 1..=2.min(n - 1 - k) {
            let factor = rows[k + below][2 - below] / rows[k][2];
            for d in 1..=2 {
                rows[k + below][2 - below + d] -= factor * rows[k][2 + d];
            }
            right[k + below] -= factor * right[k];
        }
    }
    for k in (0..n).rev() {
        let known: f64 = (1..=2.min(n - 1 - k)).map(|d| rows[k][2 + d] * right[k + d]).sum();
        right[k] = (right[k] - known) / rows[k][2];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: f64 = 0.5;

    /// A quintic, its first and its second derivative.
    fn quintic(x: f64) -> [f64; 3] {
        [x.powi(5) - 2.0 * x.powi(3) + x, 5.0 * x.powi(4) - 6.0 * x * x + 1.0, 20.0 * x.powi(3) - 12.0 * x]
    }

    fn spline(f: impl Fn(f64) -> [f64; 3], n_nodes: usize, h: f64) -> Vec<f64> {
        let nodes: Vec<[f64; 3]> = (0..n_nodes).map(|k| f(h * k as f64)).collect();
        let values: Vec<f64> = nodes.iter().map(|y| y[0]).collect();
        let end = |y: &[f64; 3]| [y[1], y[2]];
        coefficients(&values, [end(&nodes[0]), end(&nodes[n_nodes - 1])], h).unwrap()
    }

    fn dot(a: [f64; 6], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn quintics_are_reproduced() {
        for n_nodes in [3, 4, 9] {
            let c = spline(quintic, n_nodes, H);
            assert_eq!(c.len(), n_coefficients(n_nodes));
            for k in 0..n_nodes - 1 {
                for t in [0.0, 0.1, 0.37, 0.5, 0.99, 1.0] {
                    let [value, slope, _] = quintic(H * (k as f64 + t));
                    let scale = 1.0 + value.abs().max(slope.abs());
                    assert!((dot(value_weights(t), &c[k..]) - value).abs() < 1e-12 * scale);
                    assert!((dot(derivative_weights(t, H), &c[k..]) - slope).abs() < 1e-11 * scale);
                }
            }
        }
    }

    #[test]
    fn the_error_falls_with_the_sixth_power_also_at_the_ends() {
        let f = |x: f64| [(2.0 * x).sin(), 2.0 * (2.0 * x).cos(), -4.0 * (2.0 * x).sin()];
        let error = |n_nodes: usize| {
            let h = 3.0 / (n_nodes - 1) as f64;
            let c = spline(f, n_nodes, h);
            let worst = |k: usize| (dot(value_weights(0.5), &c[k..]) - f(h * (k as f64 + 0.5))[0]).abs();
            (0..n_nodes - 1).map(worst).fold(0.0, f64::max)
        };
        let (coarse, fine) = (error(31), error(61));
        assert!(fine < coarse / 50.0 && fine < 1e-10, "{coarse} {fine}");
    }
}
