//! Matrix products of a fixed left operand, packed once, with columns that stand in the cache.
//!
//! The left operand lies in panels of [`ROWS`] rows, so that the kernel reads it without a gap; the right one in panels of
//! two vectors. `ROWS` x 2 sums stay in registers over the whole depth.

use std::ops::Range;

use super::{Aligned, Element, Lanes};
use crate::error::Result;
use crate::memory::filled;

/// Rows of a panel of the left operand: 6 x 2 sums, two columns and one row fill the 16 registers of AVX2.
pub const ROWS: usize = 6;

/// Panels of the left operand that stay in the first cache while the columns pass by.
const PANELS: usize = 3;

/// A left operand `L` `[row, depth]` in panels. `[panel][depth][ROWS]`
#[derive(Debug)]
pub struct Packed<T: Element = f64> {
    data: Aligned<T>,
    rows: usize,
    depth: usize,
}

impl<T: Element> Packed<T> {
    /// Packs the matrix whose entry at (row, depth) is `entry(row, depth)`; rows missing to a panel are zero.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn new(rows: usize, depth: usize, entry: impl Fn(usize, usize) -> T) -> Result<Self> {
        let mut data: Aligned<T> = Aligned::zeros(rows.div_ceil(ROWS).saturating_mul(depth * ROWS))?;
        for row in 0..rows {
            let panel = row / ROWS * depth * ROWS + row % ROWS;
            for k in 0..depth {
                data[panel + k * ROWS] = entry(row, k);
            }
        }
        Ok(Self { data, rows, depth })
    }

    /// The entry of a row at a depth.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn entry(&self, row: usize, k: usize) -> T {
        assert!(row < self.rows && k < self.depth, "entry out of range");
        self.data[(row / ROWS * self.depth + k) * ROWS + row % ROWS]
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inner dimension.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }
}

impl Packed {
    /// `L^T w`, `[depth]`.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn transposed_times(&self, w: &[f64]) -> Result<Vec<f64>> {
        let mut out = filled(self.depth, 0.0)?;
        let panels = self.data.chunks_exact((self.depth * ROWS).max(1));
        for (panel, w) in panels.zip(w.chunks(ROWS)) {
            for (sum, column) in out.iter_mut().zip(panel.chunks_exact(ROWS)) {
                *sum += column.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
            }
        }
        Ok(out)
    }

    /// Every entry in single precision.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn to_single(&self) -> Result<Packed<f32>> {
        let mut data: Aligned<f32> = Aligned::zeros(self.data.len())?;
        for (single, &double) in data.iter_mut().zip(self.data.iter()) {
            *single = f32::nearest(double);
        }
        Ok(Packed { data, rows: self.rows, depth: self.depth })
    }
}

/// A right operand in panels of two vectors of columns.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a, T = f64> {
    /// The numbers.
    pub data: &'a [T],
    /// From a panel to the next.
    pub panel: usize,
    /// From a row of a panel to the next.
    pub row: usize,
    /// Number of panels.
    pub count: usize,
}

/// `c[r, :] += sum_k L[r, depth.start + k] R[k, :]` for the first `rows` rows; `c` [row, c_stride].
///
/// Every number of `c` is the same whatever the other rows and columns are.
///
/// # Panics
/// If an operand is too short for its shape.
#[inline(always)]
pub fn multiply<S: Lanes>(
    s: S,
    left: &Packed<S::Element>,
    rows: usize,
    depth: Range<usize>,
    right: Columns<'_, S::Element>,
    c: &mut [S::Element],
    c_stride: usize,
) {
    let (k, width) = (depth.len(), 2 * S::LANES);
    if k == 0 || rows == 0 || right.count == 0 {
        return;
    }
    assert!(rows <= left.rows && depth.end <= left.depth, "left operand too small");
    assert!(
        (right.count - 1) * right.panel + (k - 1) * right.row + width <= right.data.len(),
        "columns too short"
    );
    assert!(right.count * width <= c_stride, "rows of the product overlap");
    assert!((rows - 1) * c_stride + right.count * width <= c.len(), "product too short");
    let step = PANELS * ROWS;
    for first in (0..rows).step_by(step) {
        for panel in 0..right.count {
            for row in (first..rows.min(first + step)).step_by(ROWS) {
                // SAFETY: rows row..row + M of the left operand (padded to whole panels) at the given depths, k rows of
                // the panel, and the same rows of c at the columns of the panel lie in the shapes asserted above.
                unsafe {
                    let a = left.data.as_ptr().add((row * left.depth) + depth.start * ROWS);
                    let b = right.data.as_ptr().add(panel * right.panel);
                    let c = c.as_mut_ptr().add(row * c_stride + panel * width);
                    match rows - row {
                        1 => tile::<S, 1>(s, a, k, b, right.row, c, c_stride),
                        2 => tile::<S, 2>(s, a, k, b, right.row, c, c_stride),
                        3 => tile::<S, 3>(s, a, k, b, right.row, c, c_stride),
                        4 => tile::<S, 4>(s, a, k, b, right.row, c, c_stride),
                        5 => tile::<S, 5>(s, a, k, b, right.row, c, c_stride),
                        _ => tile::<S, ROWS>(s, a, k, b, right.row, c, c_stride),
                    }
                }
            }
        }
    }
}

/// `M` rows of one panel of columns.
///
/// # Safety
/// `a` must be valid for `k` groups of [`ROWS`] numbers, `b` for two vectors at each of `k` rows, `c` for two vectors at
/// each of `M` rows.
#[inline(always)]
unsafe fn tile<S: Lanes, const M: usize>(
    s: S,
    a: *const S::Element,
    k: usize,
    b: *const S::Element,
    b_row: usize,
    c: *mut S::Element,
    c_stride: usize,
) {
    let mut sum = [[s.splat(S::Element::default()); 2]; M];
    // SAFETY: all offsets stay inside what the caller vouches for.
    unsafe {
        for i in 0..k {
            let b = b.add(i * b_row);
            let (left, right) = (s.load_ptr(b), s.load_ptr(b.add(S::LANES)));
            for m in 0..M {
                let x = s.splat(*a.add(i * ROWS + m));
                sum[m][0] = s.fma(x, left, sum[m][0]);
                sum[m][1] = s.fma(x, right, sum[m][1]);
            }
        }
        for m in 0..M {
            for v in 0..2 {
                let at = c.add(m * c_stride + v * S::LANES);
                s.store_ptr(s.add(s.load_ptr(at), sum[m][v]), at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, Level, Simd};

    struct Product {
        rows: usize,
        depth: usize,
        count: usize,
    }

    impl Kernel for Product {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            self.check(s, |x| x);
            self.check(s.single(), |x| x as f32);
        }
    }

    impl Product {
        #[inline(always)]
        fn check<S: Lanes>(&self, s: S, number: impl Fn(f64) -> S::Element) {
            let &Self { rows, depth, count } = self;
            let width = 2 * S::LANES;
            let entry = |r: usize, k: usize| ((r * 7 + k * 3) % 11) as f64 - 5.0;
            let left = Packed::new(rows, depth + 2, |r, k| number(entry(r, k))).unwrap();
            let numbers: Vec<f64> = (0..count * depth * width).map(|x| (x % 13) as f64 - 6.0).collect();
            let data: Vec<_> = numbers.iter().map(|&x| number(x)).collect();
            let right = Columns { data: &data, panel: depth * width, row: width, count };
            let stride = count * width;
            let mut c = vec![number(1.0); rows * stride];
            multiply(s, &left, rows, 1..1 + depth, right, &mut c, stride);
            for r in 0..rows {
                for q in 0..stride {
                    let at = q / width * depth * width + q % width;
                    let sum: f64 = (0..depth).map(|k| entry(r, k + 1) * numbers[at + k * width]).sum();
                    assert_eq!(c[r * stride + q], number(1.0 + sum), "row {r}, column {q}");
                }
            }
        }
    }

    #[test]
    fn products_of_every_shape_are_exact_on_integers() {
        for level in Level::available() {
            for (rows, depth, count) in [(1, 1, 1), (6, 5, 2), (7, 40, 3), (29, 17, 1), (40, 3, 4)] {
                level.run(Product { rows, depth, count });
            }
        }
    }
}
