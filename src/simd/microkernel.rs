//! The inner loop of the density expansion: rank-one updates in registers. Bounds are checked once at entry, not per load.

use std::ops::Range;

use super::Simd;

/// `c[m, q] += sum_j y[m, j] r[j, q]` over the pairs `j` of a range: the rank-one updates of Eq. 4, with a block of
/// `c` held in registers over all pairs.
///
/// Shapes (row strides in numbers): `y` [n_m, y_stride], `r` [pair, r_stride], `c` [n_m, c_stride]; `n_vectors`
/// vectors of `q` are updated.
///
/// # Panics
/// If a slice is too short for its shape.
#[inline(always)]
pub fn accumulate<S: Simd>(
    s: S,
    y: &[f64],
    y_stride: usize,
    r: &[f64],
    r_stride: usize,
    pairs: Range<usize>,
    c: &mut [f64],
    c_stride: usize,
    n_m: usize,
    n_vectors: usize,
) {
    let n_q = n_vectors * S::LANES;
    if pairs.is_empty() || n_m == 0 || n_q == 0 {
        return;
    }
    assert!(pairs.end <= y_stride && n_m * y_stride <= y.len(), "harmonics too short");
    assert!((pairs.end - 1) * r_stride + n_q <= r.len(), "radial values too short");
    assert!((n_m - 1) * c_stride + n_q <= c.len(), "coefficients too short");

    let mut q = 0;
    while q < n_vectors {
        let (width, most_rows) = block_size(n_vectors - q);
        let n_blocks = n_m.div_ceil(most_rows);
        let mut m = 0;
        for block in 0..n_blocks {
            let rows = (n_m - m).div_ceil(n_blocks - block);
            // SAFETY: rows m..m+rows <= n_m and columns q..q+width <= n_vectors lie inside the shapes that were
            // asserted above.
            unsafe {
                let y = y.as_ptr().add(m * y_stride);
                let r = r.as_ptr().add(q * S::LANES);
                let c = c.as_mut_ptr().add(m * c_stride + q * S::LANES);
                block_of(s, width, rows, y, y_stride, r, r_stride, pairs.clone(), c, c_stride);
            }
            m += rows;
        }
        q += width;
    }
}

/// Vectors of the next register block and the most rows it can have: 3 x 4, 2 x 6 and 1 x 8 accumulators are the most
/// that leave registers for the operands (16 on AVX2).
#[inline(always)]
pub(super) fn block_size(n_vectors: usize) -> (usize, usize) {
    match n_vectors {
        1 => (1, 8),
        3 => (3, 4),
        _ => (2, 6),
    }
}

/// Picks the compiled block size.
///
/// # Safety
/// As [`register_block`].
#[inline(always)]
pub(super) unsafe fn block_of<S: Simd>(
    s: S,
    width: usize,
    rows: usize,
    y: *const f64,
    y_stride: usize,
    r: *const f64,
    r_stride: usize,
    pairs: Range<usize>,
    c: *mut f64,
    c_stride: usize,
) {
    macro_rules! blocks {
        ($($w:literal x $m:literal),*) => {
            match (width, rows) {
                // SAFETY: passed on from the caller.
                $(($w, $m) => unsafe { register_block::<S, $m, $w>(s, y, y_stride, r, r_stride, pairs, c, c_stride) },)*
                _ => unreachable!("no register block of {width} x {rows}"),
            }
        };
    }
    blocks!(1 x 1, 1 x 2, 1 x 3, 1 x 4, 1 x 5, 1 x 6, 1 x 7, 1 x 8, 2 x 1, 2 x 2, 2 x 3, 2 x 4, 2 x 5, 2 x 6,
            3 x 1, 3 x 2, 3 x 3, 3 x 4);
}

/// One block of `M` rows and `Q` vectors.
///
/// # Safety
/// `y` must be valid for rows 0..M at the pairs, `r` for the pairs' rows of `Q` vectors, `c` for `M` rows of `Q`
/// vectors.
#[inline(always)]
unsafe fn register_block<S: Simd, const M: usize, const Q: usize>(
    s: S,
    y: *const f64,
    y_stride: usize,
    r: *const f64,
    r_stride: usize,
    pairs: Range<usize>,
    c: *mut f64,
    c_stride: usize,
) {
    // SAFETY: all offsets stay inside what the caller vouches for.
    unsafe {
        let mut sum = [[s.splat(0.0); Q]; M];
        for m in 0..M {
            for q in 0..Q {
                sum[m][q] = s.load_ptr(c.add(m * c_stride + q * S::LANES));
            }
        }
        for j in pairs {
            let mut radial = [s.splat(0.0); Q];
            for q in 0..Q {
                radial[q] = s.load_ptr(r.add(j * r_stride + q * S::LANES));
            }
            for m in 0..M {
                let harmonic = s.splat(*y.add(m * y_stride + j));
                for q in 0..Q {
                    sum[m][q] = s.fma(harmonic, radial[q], sum[m][q]);
                }
            }
        }
        for m in 0..M {
            for q in 0..Q {
                s.store_ptr(sum[m][q], c.add(m * c_stride + q * S::LANES));
            }
        }
    }
}
