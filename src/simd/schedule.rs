//! What the neighbors of one species do to the coefficients of all degrees, worked out once for many centers: forwards
//! rank-one updates, backwards contractions with a gradient.

use std::ops::Range;

use super::Simd;
use super::microkernel::{block_of, block_size};

/// Rank-one updates of many blocks, worked out once and done for many centers: what [`super::accumulate`] does for one degree,
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

/// Does all updates of a schedule for the pairs `j` of a range; shapes as in [`super::accumulate`].
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
