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
fn block_size(n_vectors: usize) -> (usize, usize) {
    match n_vectors {
        1 => (1, 8),
        3 => (3, 4),
        _ => (2, 6),
    }
}

/// Rank-one updates of many blocks, worked out once and done for many centers: what [`accumulate`] does for one degree,
/// without its divisions, choices and checks.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    blocks: Vec<Planned>,
    /// The same before it was cut into blocks.
    degrees: Vec<Planned>,
    /// Rows of harmonics, length of a row of radial values and length of the coefficients that the blocks reach.
    reach: [usize; 3],
    lanes: usize,
}

/// Where harmonics, radial values and coefficients of a block start, and its size in rows and vectors.
#[derive(Debug, Clone, Copy)]
struct Planned {
    harmonic: usize,
    radial: usize,
    coefficient: usize,
    stride: usize,
    rows: usize,
    width: usize,
}

impl Schedule {
    /// An empty schedule for vectors of `lanes` numbers.
    #[must_use]
    pub fn new(lanes: usize) -> Self {
        Self { blocks: Vec::new(), degrees: Vec::new(), reach: [0; 3], lanes }
    }

    /// Adds `c[coefficient + m stride + q] += sum_j y[harmonic + m, j] r[j, radial + q]` for `n_m` rows and `n_vectors`
    /// vectors of q.
    pub fn push(
        &mut self,
        harmonic: usize,
        radial: usize,
        coefficient: usize,
        stride: usize,
        n_m: usize,
        n_vectors: usize,
    ) {
        if n_m == 0 || n_vectors == 0 {
            return;
        }
        let n_q = n_vectors * self.lanes;
        let ends = [harmonic + n_m, radial + n_q, coefficient + (n_m - 1) * stride + n_q];
        for (reach, end) in self.reach.iter_mut().zip(ends) {
            *reach = end.max(*reach);
        }
        let part = |(q, width, m, rows): (usize, usize, usize, usize)| Planned {
            harmonic: harmonic + m,
            radial: radial + q * self.lanes,
            coefficient: coefficient + m * stride + q * self.lanes,
            stride,
            rows,
            width,
        };
        self.degrees.push(part((0, n_vectors, 0, n_m)));
        self.blocks.extend(register_blocks(n_vectors, n_m).into_iter().map(part));
    }
}

/// First vector, number of vectors, first row and number of rows of the blocks that tile `n_vectors` x `n_m`.
fn register_blocks(n_vectors: usize, n_m: usize) -> Vec<(usize, usize, usize, usize)> {
    let mut blocks = Vec::new();
    let mut q = 0;
    while q < n_vectors {
        let (width, most_rows) = block_size(n_vectors - q);
        let n_blocks = n_m.div_ceil(most_rows);
        let mut m = 0;
        for block in 0..n_blocks {
            let rows = (n_m - m).div_ceil(n_blocks - block);
            blocks.push((q, width, m, rows));
            m += rows;
        }
        q += width;
    }
    blocks
}

/// Does all updates of a schedule for the pairs `j` of a range; shapes as in [`accumulate`].
///
/// # Panics
/// If a slice is too short for the schedule, or it was made for other vectors.
#[inline(always)]
pub fn accumulate_all<S: Simd>(
    s: S,
    schedule: &Schedule,
    y: &[f64],
    y_stride: usize,
    r: &[f64],
    r_stride: usize,
    pairs: Range<usize>,
    c: &mut [f64],
) {
    if pairs.is_empty() {
        return;
    }
    let [n_rows, n_q, n_c] = schedule.reach;
    assert!(S::LANES == schedule.lanes, "a schedule for other vectors");
    assert!(pairs.end <= y_stride && n_rows * y_stride <= y.len(), "harmonics too short");
    assert!((pairs.end - 1) * r_stride + n_q <= r.len(), "radial values too short");
    assert!(n_c <= c.len(), "coefficients too short");
    let mut block = 0;
    while block < schedule.blocks.len() {
        let Planned { harmonic, radial, coefficient, stride, rows, width } = schedule.blocks[block];
        // SAFETY: the reach of the schedule, which covers every block of it, was asserted to lie inside the slices.
        unsafe {
            let y = y.as_ptr().add(harmonic * y_stride);
            let (r, c) = (r.as_ptr().add(radial), c.as_mut_ptr().add(coefficient));
            block_of(s, width, rows, y, y_stride, r, r_stride, pairs.clone(), c, stride);
        }
        block += 1;
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

/// What a pair adds to the gradient of an energy, summed over all degrees and channels of a schedule:
/// `out[0] = sum_ql R'_ql sum_m g_qlm Y_lm` and `out[1 + x] = sum_ql R_ql sum_m g_qlm dY_lm/dx`, channels in lanes.
///
/// Shapes: `g` as the coefficients of the schedule; `harmonics` and their three gradients [lm, y_stride], read at column
/// `pair`; `radial` and `slopes` are one row.
///
/// # Panics
/// If a slice is too short for the schedule, or it was made for other vectors.
#[inline(always)]
pub fn contract_pair<S: Simd>(
    s: S,
    schedule: &Schedule,
    g: &[f64],
    harmonics: [&[f64]; 4],
    y_stride: usize,
    pair: usize,
    radial: &[f64],
    slopes: &[f64],
) -> [S::V; 4] {
    let [n_rows, n_q, n_c] = schedule.reach;
    assert!(S::LANES == schedule.lanes, "a schedule for other vectors");
    assert!(n_c <= g.len(), "gradient too short");
    assert!(pair < y_stride && harmonics.iter().all(|y| n_rows * y_stride <= y.len()), "harmonics too short");
    assert!(n_q <= radial.len() && n_q <= slopes.len(), "radial values too short");
    let [y, dx, dy, dz] = harmonics;
    let mut out = [s.splat(0.0); 4];
    let mut degree = 0;
    while degree < schedule.degrees.len() {
        let at = schedule.degrees[degree];
        // SAFETY: the reach of the schedule, which covers every degree of it, was asserted to lie inside the slices,
        // and the column `pair` inside every row of harmonics.
        unsafe {
            let first = at.harmonic * y_stride + pair;
            let y = [
                y.as_ptr().add(first),
                dx.as_ptr().add(first),
                dy.as_ptr().add(first),
                dz.as_ptr().add(first),
            ];
            let mut q = 0;
            while q < at.width {
                let from = q * S::LANES;
                let g = g.as_ptr().add(at.coefficient + from);
                let (radial, slopes) =
                    (radial.as_ptr().add(at.radial + from), slopes.as_ptr().add(at.radial + from));
                if at.width - q >= 2 {
                    contract_vectors::<S, 2>(s, g, at.stride, y, y_stride, at.rows, radial, slopes, &mut out);
                    q += 2;
                } else {
                    contract_vectors::<S, 1>(s, g, at.stride, y, y_stride, at.rows, radial, slopes, &mut out);
                    q += 1;
                }
            }
        }
        degree += 1;
    }
    out
}

/// `Q` vectors of channels of one degree of [`contract_pair`].
///
/// # Safety
/// `g` must be valid for `n_m` rows of `Q` vectors, each pointer of `y` for `n_m` numbers `y_stride` apart, `radial` and
/// `slopes` for `Q` vectors.
#[inline(always)]
unsafe fn contract_vectors<S: Simd, const Q: usize>(
    s: S,
    g: *const f64,
    g_stride: usize,
    y: [*const f64; 4],
    y_stride: usize,
    n_m: usize,
    radial: *const f64,
    slopes: *const f64,
    out: &mut [S::V; 4],
) {
    let mut sums = [[s.splat(0.0); Q]; 4];
    // SAFETY: all offsets stay inside what the caller vouches for.
    unsafe {
        for m in 0..n_m {
            let mut row = [s.splat(0.0); Q];
            for q in 0..Q {
                row[q] = s.load_ptr(g.add(m * g_stride + q * S::LANES));
            }
            for k in 0..4 {
                let harmonic = s.splat(*y[k].add(m * y_stride));
                for q in 0..Q {
                    sums[k][q] = s.fma(harmonic, row[q], sums[k][q]);
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

/// Copies numbers past the caches, which keep what the next center needs. Only worth it where the output as a whole is
/// larger than the caches.
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub fn copy_past_caches<S: Simd>(s: S, from: &[f64], to: &mut [f64]) {
    assert!(from.len() == to.len(), "lengths differ");
    let head = to.as_ptr().align_offset(S::LANES * size_of::<f64>()).min(to.len());
    to[..head].copy_from_slice(&from[..head]);
    let mut k = head;
    while k + S::LANES <= to.len() {
        // SAFETY: k + LANES <= len; the address of k is a multiple of a vector's size, since that of `head` is.
        unsafe { s.stream_ptr(s.load_ptr(from.as_ptr().add(k)), to.as_mut_ptr().add(k)) };
        k += S::LANES;
    }
    to[k..].copy_from_slice(&from[k..]);
    s.fence();
}

/// Sum of the lanes of a vector.
#[inline(always)]
pub fn sum_lanes<S: Simd>(s: S, v: S::V) -> f64 {
    let mut lanes = [0.0; super::MAX_LANES];
    s.store(v, &mut lanes);
    lanes[..S::LANES].iter().sum()
}
