//! The inner loop of the neighbor search: which of a row of sorted points lie within the cutoff.

use std::ops::Range;

use super::{MAX_LANES, Simd};

/// Points in the order of their bins, padded so that whole vectors can be read at the end.
#[derive(Debug, Clone)]
pub struct Points {
    /// Components of the positions. [xyz][sorted point]
    positions: [Vec<f64>; 3],
    /// Whole cells each point was moved by to get into its bin, along the user's cell vectors. [vector][sorted point]
    wraps: Option<[Vec<f64>; 3]>,
    /// How many points before each were moved at all: in a row without any, all shifts are the same. [point + 1]
    moved: Vec<u32>,
    len: usize,
}

impl Points {
    /// Points and their wraps (`None` if no point was moved).
    #[must_use]
    pub fn new(mut positions: [Vec<f64>; 3], mut wraps: Option<[Vec<f64>; 3]>) -> Self {
        let len = positions[0].len();
        let mut moved = vec![0; len + 1];
        if let Some([a, b, c]) = &wraps {
            for k in 0..len {
                moved[k + 1] = moved[k] + u32::from(a[k].abs() + b[k].abs() + c[k].abs() > 0.5);
            }
        }
        for column in positions.iter_mut().chain(wraps.iter_mut().flatten()) {
            column.resize(len + MAX_LANES, 0.0);
        }
        Self { positions, wraps, moved, len }
    }
}

/// Points that were looked at, and which of them are near.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    /// `r_ij` of every point looked at. [xyz][slot]
    pub vectors: [Vec<f64>; 3],
    /// `|r_ij|^2` of every point looked at. [slot]
    pub distances2: Vec<f64>,
    /// Slots of the near points. [pair]
    pub slots: Vec<u32>,
    /// Their places in the sorted points. [pair]
    pub points: Vec<u32>,
    /// Slots in use.
    n_slots: usize,
    n_near: usize,
    n_coincident: usize,
}

impl Candidates {
    /// Forgets all points, keeps the memory.
    #[inline(always)]
    pub fn clear(&mut self) {
        (self.n_slots, self.n_near, self.n_coincident) = (0, 0, 0);
    }

    /// Number of near points.
    #[inline(always)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.n_near
    }

    /// Whether no point is near.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n_near == 0
    }

    /// Number of points on the center, which are not near ones.
    #[inline(always)]
    #[must_use]
    pub fn n_coincident(&self) -> usize {
        self.n_coincident
    }

    fn grow(&mut self, more: usize) {
        let needed = (self.n_slots + more + 2 * MAX_LANES).next_power_of_two();
        self.vectors.iter_mut().for_each(|column| column.resize(needed, 0.0));
        self.distances2.resize(needed, 0.0);
        self.slots.resize(needed, 0);
        self.points.resize(needed, 0);
    }
}

/// Appends the points of a sorted range with `limits[0] <= |r_j - r_i + S . cell|^2 < limits[1]`, and counts those
/// below.
///
/// `S = cells - wrap_j`, where `cells` is the image plus the wraps of the center. The arithmetic is that of
/// `neighbors::separation`, operation by operation and without fused multiply-adds, so that the decision is the same
/// to the last bit.
///
/// # Panics
/// If the range reaches beyond the points.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn filter_row<S: Simd>(
    s: S,
    points: &Points,
    range: Range<usize>,
    center: [f64; 3],
    cells: [f64; 3],
    matrix: &[[f64; 3]; 3],
    limits: [f64; 2],
    out: &mut Candidates,
) {
    assert!(range.end <= points.len, "row beyond the points");
    if out.n_slots + range.len() + 2 * MAX_LANES > out.slots.len() {
        out.grow(range.len());
    }
    let wraps = points.wraps.as_ref().filter(|_| points.moved[range.end] != points.moved[range.start]);
    let shifted = wraps.is_some() || cells.iter().any(|n| n.abs() > 0.5);
    let from = [s.splat(center[0]), s.splat(center[1]), s.splat(center[2])];
    let limits = [s.splat(limits[0]), s.splat(limits[1])];
    // Without wraps the shift is the same for the whole row.
    let common = combine(s, [s.splat(cells[0]), s.splat(cells[1]), s.splat(cells[2])], matrix);
    // Pointers and counters in locals: through `out` every store would force them to be read again.
    let sorted = [points.positions[0].as_ptr(), points.positions[1].as_ptr(), points.positions[2].as_ptr()];
    let wraps = wraps.map(|w| [w[0].as_ptr(), w[1].as_ptr(), w[2].as_ptr()]);
    let [vx, vy, vz] = &mut out.vectors;
    let vectors = [vx.as_mut_ptr(), vy.as_mut_ptr(), vz.as_mut_ptr()];
    let (distances2, slots, pairs) =
        (out.distances2.as_mut_ptr(), out.slots.as_mut_ptr(), out.points.as_mut_ptr());
    let (mut slot, mut n_near, mut n_coincident) = (out.n_slots, out.n_near, out.n_coincident);
    // SAFETY: reads stay below points.len + MAX_LANES, to which `Points::new` padded every column; writes stay below
    // n_slots + range.len() + MAX_LANES (slots) and n_near <= n_slots plus one vector, for which room was made above.
    unsafe {
        let mut k = range.start;
        while k < range.end {
            let mut shift = common;
            if let Some(wraps) = wraps {
                for v in 0..3 {
                    shift[v] = s.sub(s.splat(cells[v]), s.load_ptr(wraps[v].add(k)));
                }
                shift = combine(s, shift, matrix);
            }
            let mut d = common;
            for x in 0..3 {
                d[x] = s.sub(s.load_ptr(sorted[x].add(k)), from[x]);
                if shifted {
                    d[x] = s.add(d[x], shift[x]);
                }
                s.store_ptr(d[x], vectors[x].add(slot));
            }
            let d2 = s.add(s.add(s.mul(d[0], d[0]), s.mul(d[1], d[1])), s.mul(d[2], d[2]));
            s.store_ptr(d2, distances2.add(slot));
            let here = (range.end - k).min(S::LANES);
            let inside = (1 << here) - 1;
            let coincident = s.less(d2, limits[0]) & inside;
            let near = s.less(d2, limits[1]) & inside & !coincident;
            n_coincident += coincident.count_ones() as usize;
            for lane in 0..S::LANES {
                *slots.add(n_near) = (slot + lane) as u32;
                *pairs.add(n_near) = (k + lane) as u32;
                n_near += (near >> lane & 1) as usize;
            }
            slot += here;
            k += S::LANES;
        }
    }
    (out.n_slots, out.n_near, out.n_coincident) = (slot, n_near, n_coincident);
}

/// `n_0 cell_0 + n_1 cell_1 + n_2 cell_2`, summed in this order.
#[inline(always)]
fn combine<S: Simd>(s: S, n: [S::V; 3], matrix: &[[f64; 3]; 3]) -> [S::V; 3] {
    let mut out = n;
    for x in 0..3 {
        let first = s.add(s.mul(n[0], s.splat(matrix[0][x])), s.mul(n[1], s.splat(matrix[1][x])));
        out[x] = s.add(first, s.mul(n[2], s.splat(matrix[2][x])));
    }
    out
}
