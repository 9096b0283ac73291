//! The inner loops of the derivatives of products of coefficients. Bounds are checked once at entry, not per load.

use std::ops::Range;

use super::Simd;

/// Harmonics of one pair meet the coefficients of one center and degree:
/// `out[x] = units[x] sum_m Y_m c_m` and `out[3 + x] = inverse sum_m (dY_m/dx) c_m`, channels in lanes.
///
/// Shapes: `c` [n_m, stride]; `harmonics` (values, then three gradients) [n_m, y_stride], read at column `pair`; `out`
/// [6, stride]. `stride` is a whole number of vectors.
///
/// # Panics
/// If a slice is too short for its shape.
#[inline(always)]
pub fn contract_harmonics<S: Simd>(
    s: S,
    c: &[f64],
    stride: usize,
    harmonics: [&[f64]; 4],
    y_stride: usize,
    pair: usize,
    n_m: usize,
    units: [f64; 3],
    inverse: f64,
    out: &mut [f64],
) {
    assert!(stride.is_multiple_of(S::LANES) && n_m * stride <= c.len(), "coefficients too short");
    assert!(pair < y_stride && harmonics.iter().all(|y| n_m * y_stride <= y.len()), "harmonics too short");
    assert!(6 * stride <= out.len(), "output too short");
    let factors = [s.splat(units[0]), s.splat(units[1]), s.splat(units[2]), s.splat(inverse)];
    let mut q = 0;
    while q < stride {
        let two = q + S::LANES < stride;
        // SAFETY: rows 0..n_m, the column `pair` and one vector, or two where there are two, lie inside the shapes
        // asserted above.
        unsafe {
            let (c, out) = (c.as_ptr().add(q), out.as_mut_ptr().add(q));
            if two {
                contract_vectors::<S, 2>(s, c, stride, harmonics, y_stride, pair, n_m, factors, out);
            } else {
                contract_vectors::<S, 1>(s, c, stride, harmonics, y_stride, pair, n_m, factors, out);
            }
        }
        q += if two { 2 * S::LANES } else { S::LANES };
    }
}

/// `Q` vectors of channels of [`contract_harmonics`].
///
/// # Safety
/// `c` must be valid for `n_m` rows and `out` for six rows of `Q` vectors, the harmonics for `n_m` rows.
#[inline(always)]
unsafe fn contract_vectors<S: Simd, const Q: usize>(
    s: S,
    c: *const f64,
    stride: usize,
    harmonics: [&[f64]; 4],
    y_stride: usize,
    pair: usize,
    n_m: usize,
    factors: [S::V; 4],
    out: *mut f64,
) {
    let mut sums = [[s.splat(0.0); Q]; 4];
    // SAFETY: passed on from the caller.
    unsafe {
        for m in 0..n_m {
            let mut row = [s.splat(0.0); Q];
            for q in 0..Q {
                row[q] = s.load_ptr(c.add(m * stride + q * S::LANES));
            }
            for k in 0..4 {
                let y = s.splat(*harmonics[k].as_ptr().add(m * y_stride + pair));
                for q in 0..Q {
                    sums[k][q] = s.fma(y, row[q], sums[k][q]);
                }
            }
        }
        for q in 0..Q {
            for x in 0..3 {
                let to = out.add(x * stride + q * S::LANES);
                s.store_ptr(s.mul(factors[x], sums[0][q]), to);
                s.store_ptr(s.mul(factors[3], sums[1 + x][q]), to.add(3 * stride));
            }
        }
    }
}

/// `out[p, q] += sum_k a[k, p] b[k, q]` for `n_rows` of `p` and `n_vectors` vectors of `q`, with a block of `out` held
/// in registers over all k.
///
/// Shapes (row strides in numbers): `a` [k, a_stride], `b` [k, b_stride], `out` [n_rows, n_vectors * LANES].
///
/// # Panics
/// If a slice is too short for its shape.
#[inline(always)]
pub fn accumulate_outer<S: Simd>(
    s: S,
    a: &[f64],
    a_stride: usize,
    b: &[f64],
    b_stride: usize,
    range: Range<usize>,
    out: &mut [f64],
    n_rows: usize,
    n_vectors: usize,
) {
    let width = n_vectors * S::LANES;
    if range.is_empty() || n_rows == 0 || width == 0 {
        return;
    }
    assert!((range.end - 1) * a_stride + n_rows <= a.len(), "left factors too short");
    assert!((range.end - 1) * b_stride + width <= b.len(), "right factors too short");
    assert!(n_rows * width <= out.len(), "output too short");
    // 3 vectors of 8 or 4 rows: 24 accumulators of 32 registers, or 12 of 16.
    let most_rows = if S::LANES == 8 { 8 } else { 4 };
    let mut p = 0;
    let n_blocks = n_rows.div_ceil(most_rows);
    for block in 0..n_blocks {
        let rows = (n_rows - p).div_ceil(n_blocks - block);
        let mut q = 0;
        while q < n_vectors {
            let vectors = (n_vectors - q).min(3);
            // SAFETY: rows p..p + rows <= n_rows and vectors q..q + vectors <= n_vectors lie inside the shapes that
            // were asserted above.
            unsafe {
                let a = a.as_ptr().add(p);
                let b = b.as_ptr().add(q * S::LANES);
                let out = out.as_mut_ptr().add(p * width + q * S::LANES);
                block_of(s, vectors, rows, a, a_stride, b, b_stride, range.clone(), out, width);
            }
            q += vectors;
        }
        p += rows;
    }
}

/// Picks the compiled block size.
///
/// # Safety
/// As [`outer_block`].
#[inline(always)]
unsafe fn block_of<S: Simd>(
    s: S,
    vectors: usize,
    rows: usize,
    a: *const f64,
    a_stride: usize,
    b: *const f64,
    b_stride: usize,
    range: Range<usize>,
    out: *mut f64,
    stride: usize,
) {
    macro_rules! blocks {
        ($($q:literal x $p:literal),*) => {
            match (vectors, rows) {
                // SAFETY: passed on from the caller.
                $(($q, $p) => unsafe { outer_block::<S, $p, $q>(s, a, a_stride, b, b_stride, range, out, stride) },)*
                _ => unreachable!("no register block of {vectors} x {rows}"),
            }
        };
    }
    if S::LANES == 8 && rows > 4 {
        blocks!(1 x 5, 1 x 6, 1 x 7, 1 x 8, 2 x 5, 2 x 6, 2 x 7, 2 x 8, 3 x 5, 3 x 6, 3 x 7, 3 x 8);
    } else {
        blocks!(1 x 1, 1 x 2, 1 x 3, 1 x 4, 2 x 1, 2 x 2, 2 x 3, 2 x 4, 3 x 1, 3 x 2, 3 x 3, 3 x 4);
    }
}

/// One block of `P` rows and `Q` vectors.
///
/// # Safety
/// For all k of the range, `a` must be valid for `P` numbers and `b` for `Q` vectors; `out` for `P` rows of `Q` vectors.
#[inline(always)]
unsafe fn outer_block<S: Simd, const P: usize, const Q: usize>(
    s: S,
    a: *const f64,
    a_stride: usize,
    b: *const f64,
    b_stride: usize,
    range: Range<usize>,
    out: *mut f64,
    stride: usize,
) {
    // SAFETY: all offsets stay inside what the caller vouches for.
    unsafe {
        let mut sums = [[s.splat(0.0); Q]; P];
        for p in 0..P {
            for q in 0..Q {
                sums[p][q] = s.load_ptr(out.add(p * stride + q * S::LANES));
            }
        }
        for k in range {
            let mut right = [s.splat(0.0); Q];
            for q in 0..Q {
                right[q] = s.load_ptr(b.add(k * b_stride + q * S::LANES));
            }
            for p in 0..P {
                let left = s.splat(*a.add(k * a_stride + p));
                for q in 0..Q {
                    sums[p][q] = s.fma(left, right[q], sums[p][q]);
                }
            }
        }
        for p in 0..P {
            for q in 0..Q {
                s.store_ptr(sums[p][q], out.add(p * stride + q * S::LANES));
            }
        }
    }
}
