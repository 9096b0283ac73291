//! A row of a table of splines: all channels and degrees at one distance.

use super::Simd;

/// `out[q] = sum_k weights[k] rows[k, q]`: what an interval of a table of splines gives for all its channels.
///
/// `rows` is [6, q] without gaps.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub fn spline_row<S: Simd>(s: S, rows: &[f64], weights: [f64; 6], out: &mut [f64]) {
    let n = out.len();
    assert!(n.is_multiple_of(S::LANES) && rows.len() >= 6 * n, "table row too short");
    let mut w = [s.splat(0.0); 6];
    for k in 0..6 {
        w[k] = s.splat(weights[k]);
    }
    for q in (0..n).step_by(S::LANES) {
        // SAFETY: k n + q + LANES <= 6 n for k < 6, which was asserted above, as was q + LANES <= n.
        unsafe {
            let at = rows.as_ptr().add(q);
            let mut even = s.mul(w[0], s.load_ptr(at));
            let mut odd = s.mul(w[1], s.load_ptr(at.add(n)));
            even = s.fma(w[2], s.load_ptr(at.add(2 * n)), even);
            odd = s.fma(w[3], s.load_ptr(at.add(3 * n)), odd);
            even = s.fma(w[4], s.load_ptr(at.add(4 * n)), even);
            odd = s.fma(w[5], s.load_ptr(at.add(5 * n)), odd);
            s.store_ptr(s.add(even, odd), out.as_mut_ptr().add(q));
        }
    }
}

/// [`spline_row`] with two sets of weights, for values and slopes at once.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub fn spline_rows<S: Simd>(
    s: S,
    rows: &[f64],
    weights: [[f64; 6]; 2],
    values: &mut [f64],
    slopes: &mut [f64],
) {
    let n = values.len();
    assert!(n.is_multiple_of(S::LANES) && rows.len() >= 6 * n && slopes.len() == n, "table row too short");
    let mut w = [[s.splat(0.0); 6]; 2];
    for k in 0..6 {
        (w[0][k], w[1][k]) = (s.splat(weights[0][k]), s.splat(weights[1][k]));
    }
    for q in (0..n).step_by(S::LANES) {
        // SAFETY: k n + q + LANES <= 6 n for k < 6, which was asserted above, as was q + LANES <= n.
        unsafe {
            let at = rows.as_ptr().add(q);
            let first = s.load_ptr(at);
            let (mut value, mut slope) = (s.mul(w[0][0], first), s.mul(w[1][0], first));
            for k in 1..6 {
                let row = s.load_ptr(at.add(k * n));
                value = s.fma(w[0][k], row, value);
                slope = s.fma(w[1][k], row, slope);
            }
            s.store_ptr(value, values.as_mut_ptr().add(q));
            s.store_ptr(slope, slopes.as_mut_ptr().add(q));
        }
    }
}
