//! The inner loop of the neighbor search: which of many candidates lie within the cutoff of a center.

use super::{MAX_LANES, Simd};
use crate::error::Result;
use crate::memory::Grow;

/// Points that may be near, in arrays that are read from end to end. Padded with points at infinity, which are near
/// nothing, so that there are no remainders.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    /// Positions as given. `[xyz][candidate]`
    positions: [Vec<f64>; 3],
    /// `S . cell` of each. `[xyz][candidate]`
    shifts: [Vec<f64>; 3],
    /// Whether any shift is not zero.
    shifted: bool,
    len: usize,
}

impl Candidates {
    /// Forgets all points, keeps the memory.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.len = 0;
        self.shifted = false;
        self.positions.iter_mut().chain(&mut self.shifts).for_each(Vec::clear);
    }

    /// Appends points that are all shifted by the same vector.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    #[inline(always)]
    pub fn extend(&mut self, points: [&[f64]; 3], shift: [f64; 3]) -> Result<()> {
        let n = points[0].len();
        for x in 0..3 {
            self.positions[x].make_room(n)?;
            self.shifts[x].make_room(n)?;
        }
        self.len += n;
        self.shifted |= shift != [0.0; 3];
        for x in 0..3 {
            self.positions[x].extend_from_slice(points[x]);
            self.shifts[x].resize(self.len, shift[x]);
        }
        Ok(())
    }

    /// Makes room for as many points, which are then to be set.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    #[inline(always)]
    pub fn resize(&mut self, len: usize) -> Result<()> {
        for column in self.positions.iter_mut().chain(&mut self.shifts) {
            column.try_resize(len, 0.0)?;
        }
        self.len = len;
        Ok(())
    }

    /// Sets one point.
    #[inline(always)]
    pub fn set(&mut self, slot: usize, point: [f64; 3], shift: [f64; 3]) {
        for x in 0..3 {
            self.positions[x][slot] = point[x];
        }
        self.set_shift(slot, shift);
    }

    /// Shifts one point by another vector.
    #[inline(always)]
    pub fn set_shift(&mut self, slot: usize, shift: [f64; 3]) {
        self.shifted |= shift != [0.0; 3];
        for x in 0..3 {
            self.shifts[x][slot] = shift[x];
        }
    }

    /// Puts the padding behind the last point.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    #[inline(always)]
    pub fn seal(&mut self) -> Result<()> {
        for x in 0..3 {
            self.positions[x].try_resize(self.len + MAX_LANES, f64::INFINITY)?;
            self.shifts[x].try_resize(self.len + MAX_LANES, 0.0)?;
        }
        Ok(())
    }

    /// Number of points.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no point.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the arrays begin.
    ///
    /// # Panics
    /// If the padding is not there.
    #[inline(always)]
    fn columns(&self) -> [[*const f64; 3]; 2] {
        let [x, y, z] = &self.positions;
        let [a, b, c] = &self.shifts;
        let padded = self.len + MAX_LANES;
        assert!([x, y, z, a, b, c].iter().all(|column| column.len() == padded), "candidates without padding");
        [[x.as_ptr(), y.as_ptr(), z.as_ptr()], [a.as_ptr(), b.as_ptr(), c.as_ptr()]]
    }
}

/// The candidates that are near.
#[derive(Debug, Clone, Default)]
pub struct Near {
    /// `[xyz][pair]`
    vectors: [Vec<f64>; 3],
    /// `[pair]`
    distances2: Vec<f64>,
    /// `[pair]`
    slots: Vec<u32>,
    len: usize,
}

impl Near {
    /// Number of near points.
    #[inline(always)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no point is near.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `r_ij`. `[xyz][pair]`; whole vectors can be read beyond the last pair
    #[inline(always)]
    #[must_use]
    pub fn vectors(&self) -> [&[f64]; 3] {
        let [x, y, z] = &self.vectors;
        [x, y, z]
    }

    /// `|r_ij|^2`. `[pair]`; as long as the vectors
    #[inline(always)]
    #[must_use]
    pub fn distances2(&self) -> &[f64] {
        &self.distances2
    }

    /// Places among the candidates. `[pair]`; as long as the vectors
    #[inline(always)]
    #[must_use]
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }
}

/// Keeps the candidates with `limits[0] <= |r_j - r_i + S . cell|^2 < limits[1]`; returns how many were below.
///
/// # Errors
/// [`crate::Error::OutOfMemory`].
///
/// # Panics
/// If the candidates were not sealed.
#[inline(always)]
pub fn select_near<S: Simd>(
    s: S,
    candidates: &Candidates,
    center: [f64; 3],
    limits: [f64; 2],
    near: &mut Near,
) -> Result<usize> {
    let needed = candidates.len + MAX_LANES;
    if near.slots.len() < needed {
        for column in &mut near.vectors {
            column.try_resize(needed, 0.0)?;
        }
        near.distances2.try_resize(needed, 0.0)?;
        near.slots.try_resize(needed, 0)?;
    }
    let columns = candidates.columns();
    let from = [s.splat(center[0]), s.splat(center[1]), s.splat(center[2])];
    let limits = [s.splat(limits[0]), s.splat(limits[1])];
    let [x, y, z] = &mut near.vectors;
    let to = [x.as_mut_ptr(), y.as_mut_ptr(), z.as_mut_ptr()];
    let (distances2, slots) = (near.distances2.as_mut_ptr(), near.slots.as_mut_ptr());
    let (mut n_near, mut n_coincident) = (0, 0);
    // SAFETY: reads end below len + MAX_LANES, which `columns` checked; n_near <= k, so that a vector written there
    // ends below len + MAX_LANES too, for which room was made above.
    unsafe {
        for k in (0..candidates.len).step_by(S::LANES) {
            let (d, d2) = separations(s, columns, k, from, candidates.shifted);
            let coincident = s.less(d2, limits[0]);
            let keep = s.less(d2, limits[1]) & !coincident;
            n_coincident += coincident.count_ones() as usize;
            for x in 0..3 {
                s.compress(d[x], keep, to[x].add(n_near));
            }
            s.compress(d2, keep, distances2.add(n_near));
            s.compress_indices(k as u32, keep, slots.add(n_near));
            n_near += keep.count_ones() as usize;
        }
    }
    near.len = n_near;
    Ok(n_coincident)
}

/// `r_j - r_i + S . cell` and its square for a vector of candidates from place `k` on: the arithmetic of
/// `neighbors::separation`, operation by operation and without fused multiply-adds, so that decisions are the same to the
/// last bit.
///
/// # Safety
/// The columns must be valid for reading a vector at `k`.
#[inline(always)]
unsafe fn separations<S: Simd>(
    s: S,
    [positions, shifts]: [[*const f64; 3]; 2],
    k: usize,
    from: [S::V; 3],
    shifted: bool,
) -> ([S::V; 3], S::V) {
    let mut d = from;
    for x in 0..3 {
        // SAFETY: passed on from the caller.
        unsafe {
            d[x] = s.sub(s.load_ptr(positions[x].add(k)), from[x]);
            if shifted {
                d[x] = s.add(d[x], s.load_ptr(shifts[x].add(k)));
            }
        }
    }
    (d, s.add(s.add(s.mul(d[0], d[0]), s.mul(d[1], d[1])), s.mul(d[2], d[2])))
}

/// How many candidates [`select_near`] would keep, and how many were below the first limit.
///
/// # Panics
/// As there.
#[inline(always)]
pub fn count_near<S: Simd>(
    s: S,
    candidates: &Candidates,
    center: [f64; 3],
    limits: [f64; 2],
) -> (usize, usize) {
    let columns = candidates.columns();
    let from = [s.splat(center[0]), s.splat(center[1]), s.splat(center[2])];
    let limits = [s.splat(limits[0]), s.splat(limits[1])];
    let (mut n_near, mut n_coincident) = (0, 0);
    // SAFETY: reads end below len + MAX_LANES, which `columns` checked.
    unsafe {
        for k in (0..candidates.len).step_by(S::LANES) {
            let (_, d2) = separations(s, columns, k, from, candidates.shifted);
            n_coincident += s.less(d2, limits[0]).count_ones() as usize;
            n_near += s.less(d2, limits[1]).count_ones() as usize;
        }
    }
    (n_near - n_coincident, n_coincident)
}
