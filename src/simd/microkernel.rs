//! The two inner loops of the density expansion. Bounds are checked once at entry, not per load.

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
#[allow(clippy::too_many_arguments)]
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
        // 3 x 4, 2 x 6 and 1 x 8 accumulators: the most that leave registers for the operands (16 on AVX2).
        let (width, most_rows) = match n_vectors - q {
            1 => (1, 8),
            3 => (3, 4),
            _ => (2, 6),
        };
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

/// Picks the compiled block size.
///
/// # Safety
/// As [`register_block`].
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn block_of<S: Simd>(
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
#[allow(clippy::too_many_arguments, clippy::needless_range_loop)]
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

/// `out[q] = w0 y0[q] + w1 y0'[q] + w2 y0''[q] + w3 y1[q] + w4 y1'[q] + w5 y1''[q]` for all channels of a table row.
///
/// `nodes` holds two neighboring nodes, each as [vector, 3, lane] (value, first, second derivative).
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub fn hermite_row<S: Simd>(s: S, nodes: &[f64], weights: [f64; 6], out: &mut [f64]) {
    let n = out.len();
    assert!(n.is_multiple_of(S::LANES) && nodes.len() >= 6 * n, "table row too short");
    let mut w = [s.splat(0.0); 6];
    for k in 0..6 {
        w[k] = s.splat(weights[k]);
    }
    for q in (0..n).step_by(S::LANES) {
        // SAFETY: 3 q + 3 LANES <= 3 n, so both nodes are read within the 6 n numbers asserted above.
        unsafe {
            let left = nodes.as_ptr().add(3 * q);
            let right = left.add(3 * n);
            let a = s.mul(w[0], s.load_ptr(left));
            let b = s.mul(w[3], s.load_ptr(right));
            let a = s.fma(w[1], s.load_ptr(left.add(S::LANES)), a);
            let b = s.fma(w[4], s.load_ptr(right.add(S::LANES)), b);
            let a = s.fma(w[2], s.load_ptr(left.add(2 * S::LANES)), a);
            let b = s.fma(w[5], s.load_ptr(right.add(2 * S::LANES)), b);
            s.store_ptr(s.add(a, b), out.as_mut_ptr().add(q));
        }
    }
}

/// What a pair adds to the gradient of an energy, summed over the channels of one degree:
/// `out[0] += sum_q R'_q sum_m g_mq Y_m` and `out[1 + x] += sum_q R_q sum_m g_mq dY_m/dx`, channels in lanes.
///
/// Shapes: `g` [n_m, g_stride]; `harmonics` and its three `gradients` [n_m, y_stride], read at column `pair`;
/// `radial` and `slopes` hold `n_vectors` vectors.
///
/// # Panics
/// If a slice is too short for its shape.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn contract_pair<S: Simd>(
    s: S,
    g: &[f64],
    g_stride: usize,
    harmonics: [&[f64]; 4],
    y_stride: usize,
    pair: usize,
    n_m: usize,
    radial: &[f64],
    slopes: &[f64],
    n_vectors: usize,
    out: &mut [S::V; 4],
) {
    let n_q = n_vectors * S::LANES;
    if n_m == 0 || n_q == 0 {
        return;
    }
    assert!((n_m - 1) * g_stride + n_q <= g.len(), "gradient too short");
    assert!(pair < y_stride && harmonics.iter().all(|y| n_m * y_stride <= y.len()), "harmonics too short");
    assert!(n_q <= radial.len() && n_q <= slopes.len(), "radial values too short");
    let mut q = 0;
    while q < n_vectors {
        let two = n_vectors - q >= 2;
        // SAFETY: rows 0..n_m and vectors q, and q + 1 where there is one, lie inside the shapes asserted above.
        unsafe {
            let at = q * S::LANES;
            let (g, radial, slopes) = (g.as_ptr().add(at), radial.as_ptr().add(at), slopes.as_ptr().add(at));
            if two {
                contract_vectors::<S, 2>(s, g, g_stride, harmonics, y_stride, pair, n_m, radial, slopes, out);
            } else {
                contract_vectors::<S, 1>(s, g, g_stride, harmonics, y_stride, pair, n_m, radial, slopes, out);
            }
        }
        q += if two { 2 } else { 1 };
    }
}

/// `Q` vectors of channels of [`contract_pair`].
///
/// # Safety
/// `g` must be valid for `n_m` rows of `Q` vectors, `radial` and `slopes` for `Q` vectors; the harmonics are sliced.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn contract_vectors<S: Simd, const Q: usize>(
    s: S,
    g: *const f64,
    g_stride: usize,
    harmonics: [&[f64]; 4],
    y_stride: usize,
    pair: usize,
    n_m: usize,
    radial: *const f64,
    slopes: *const f64,
    out: &mut [S::V; 4],
) {
    let mut sums = [[s.splat(0.0); Q]; 4];
    // SAFETY: passed on from the caller; the harmonics were checked to have n_m rows and the column `pair`.
    unsafe {
        for m in 0..n_m {
            let mut row = [s.splat(0.0); Q];
            for q in 0..Q {
                row[q] = s.load_ptr(g.add(m * g_stride + q * S::LANES));
            }
            for k in 0..4 {
                let y = s.splat(*harmonics[k].as_ptr().add(m * y_stride + pair));
                for q in 0..Q {
                    sums[k][q] = s.fma(y, row[q], sums[k][q]);
                }
            }
        }
        for q in 0..Q {
            let (value, slope) = (s.load_ptr(radial.add(q * S::LANES)), s.load_ptr(slopes.add(q * S::LANES)));
            out[0] = s.fma(slope, sums[0][q], out[0]);
            for k in 1..4 {
                out[k] = s.fma(value, sums[k][q], out[k]);
            }
        }
    }
}

/// Sum of the lanes of a vector.
#[inline(always)]
pub fn sum_lanes<S: Simd>(s: S, v: S::V) -> f64 {
    let mut lanes = [0.0; super::MAX_LANES];
    s.store(v, &mut lanes);
    lanes[..S::LANES].iter().sum()
}
