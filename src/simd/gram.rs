//! The inner loop of the power spectrum: products of all channels of one degree with each other.

use super::Simd;

/// Rows of a register block.
const ROWS: usize = 4;

/// Numbers of scratch memory that [`upper_products`] wants for `n` channels.
#[must_use]
pub fn upper_products_scratch(n: usize) -> usize {
    let padded = n.next_multiple_of(super::MAX_LANES);
    padded * padded + super::MAX_LANES
}

/// `out[q1 <= q2] = factor sum_m c[m, q1] c[m, q2]`, row by row, with `diagonal` in place of `factor` where `q1 = q2`.
///
/// Shapes: `c` [n_m, stride], of which `n` channels count, and what is behind them up to whole vectors is finite; `out`
/// [n (n + 1) / 2]. `stride` is a whole number of vectors.
///
/// # Panics
/// If a slice is too short for its shape.
#[inline(always)]
pub fn upper_products<S: Simd>(
    s: S,
    c: &[f64],
    stride: usize,
    n_m: usize,
    n: usize,
    [diagonal, factor]: [f64; 2],
    scratch: &mut [f64],
    out: &mut [f64],
) {
    let padded = n.next_multiple_of(S::LANES);
    assert!(padded <= stride && stride.is_multiple_of(S::LANES), "rows too short");
    assert!(n_m * stride <= c.len() && upper_products_scratch(n) <= scratch.len(), "slices too short");
    assert!(out.len() == n * (n + 1) / 2, "output of another shape");
    let (c, square) = (c.as_ptr(), scratch.as_mut_ptr());
    for q1 in (0..padded).step_by(ROWS) {
        let mut q2 = q1 / S::LANES * S::LANES;
        while q2 < padded {
            // SAFETY: rows q1..q1 + ROWS and columns q2..q2 + (1 or 2) LANES lie inside `padded`, which the shapes
            // asserted above cover.
            unsafe {
                if padded - q2 >= 2 * S::LANES {
                    products::<S, 2>(s, c, stride, n_m, q1, q2, square, padded);
                    q2 += 2 * S::LANES;
                } else {
                    products::<S, 1>(s, c, stride, n_m, q1, q2, square, padded);
                    q2 += S::LANES;
                }
            }
        }
    }
    let mut at = 0;
    for q1 in 0..n {
        let row = q1 * padded + q1;
        let mut k = 0;
        // Whole vectors, also where they run into the next row, which is written after this one.
        while k < n - q1 && at + k + S::LANES <= out.len() {
            let scaled = s.mul(s.splat(factor), s.load(&scratch[row + k..]));
            s.store(scaled, &mut out[at + k..]);
            k += S::LANES;
        }
        while k < n - q1 {
            out[at + k] = factor * scratch[row + k];
            k += 1;
        }
        out[at] = diagonal * scratch[row];
        at += n - q1;
    }
}

/// `ROWS` rows of `Q` vectors of products.
///
/// # Safety
/// `c` must be valid for `n_m` rows of `stride` numbers, `square` for rows of `padded` numbers from `q1` on, and the
/// columns must lie inside both.
#[inline(always)]
unsafe fn products<S: Simd, const Q: usize>(
    s: S,
    c: *const f64,
    stride: usize,
    n_m: usize,
    q1: usize,
    q2: usize,
    square: *mut f64,
    padded: usize,
) {
    // SAFETY: all offsets stay inside what the caller vouches for.
    unsafe {
        let mut sums = [[s.splat(0.0); Q]; ROWS];
        for m in 0..n_m {
            let at = c.add(m * stride);
            let mut row = [s.splat(0.0); Q];
            for q in 0..Q {
                row[q] = s.load_ptr(at.add(q2 + q * S::LANES));
            }
            for k in 0..ROWS {
                let left = s.splat(*at.add(q1 + k));
                for q in 0..Q {
                    sums[k][q] = s.fma(left, row[q], sums[k][q]);
                }
            }
        }
        for k in 0..ROWS {
            for q in 0..Q {
                s.store_ptr(sums[k][q], square.add((q1 + k) * padded + q2 + q * S::LANES));
            }
        }
    }
}
