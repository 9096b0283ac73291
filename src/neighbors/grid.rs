//! Atoms sorted into bins; a row of bins along the last axis is a contiguous range of atoms.
//!
//! Distances are measured along the normals of the (reduced) cell's planes, in Å. A column of bins is skipped if its
//! distance from the center exceeds the cutoff; in a cell with right angles its row is cut to the chord of the sphere.
//!
//! Two stores behind one question ("which atoms are in bins z0..=z1 of this column?"): a table of offsets where most
//! bins are filled, and sorted columns behind a hash where they are not (a far-flung atom, a huge cell), so that
//! memory is bounded by the number of atoms.

use std::collections::HashMap;
use std::ops::Range;

use crate::structure::{Frame, PeriodicCell, Vector, dot};

/// Bins per cutoff radius along each axis. Rows are contiguous along the last, so its bins may be finer.
const BINS_PER_CUTOFF: [f64; 3] = [1.0, 1.0, 6.0];

/// Below this number of atoms a molecule is one bin.
const ONE_BIN: usize = 48;

/// Bins along one axis of the (reduced) cell.
#[derive(Debug, Clone, Copy)]
struct Axis {
    periodic: bool,
    /// Number of bins; those of a non-periodic axis span the atoms.
    n_bins: i64,
    /// Their width in Å; infinite for a single bin.
    width: f64,
    /// Its inverse.
    per_width: f64,
    /// Lower end of the first bin in Å.
    origin: f64,
}

impl Axis {
    fn new(cell: &PeriodicCell, d: usize, reach: f64, single: bool, coordinates: &[Vector]) -> Self {
        let bin = reach / BINS_PER_CUTOFF[d];
        let make = |periodic, n_bins, width, origin| Self {
            periodic,
            n_bins,
            width,
            per_width: 1.0 / width,
            origin,
        };
        if cell.pbc[d] {
            let n_bins = (cell.heights[d] / bin).floor().max(1.0);
            return make(true, n_bins as i64, cell.heights[d] / n_bins, 0.0);
        }
        let origin = coordinates.iter().map(|u| u[d]).fold(f64::INFINITY, f64::min);
        let end = coordinates.iter().map(|u| u[d]).fold(f64::NEG_INFINITY, f64::max);
        if single || coordinates.is_empty() {
            return make(false, 1, f64::INFINITY, 0.0);
        }
        make(false, ((end - origin) / bin).floor() as i64 + 1, bin, origin)
    }

    /// Bin of a coordinate; beyond the ends are the images of a periodic axis.
    #[inline(always)]
    fn bin(&self, u: f64) -> i64 {
        ((u - self.origin) * self.per_width).floor() as i64
    }

    /// Bin of an atom.
    fn bin_of_atom(&self, u: f64) -> i64 {
        self.bin(u).clamp(0, self.n_bins - 1)
    }

    /// First and last bin within a distance of a coordinate.
    #[inline(always)]
    fn range(&self, u: f64, distance: f64) -> (i64, i64) {
        let (low, high) = (self.bin(u - distance), self.bin(u + distance));
        if self.periodic { (low, high) } else { (low.max(0), high.min(self.n_bins - 1)) }
    }

    /// The bin of the first cell that a bin is an image of, and the image.
    #[inline(always)]
    fn fold(&self, bin: i64) -> (i64, i64) {
        if (0..self.n_bins).contains(&bin) {
            (bin, 0)
        } else {
            (bin.rem_euclid(self.n_bins), bin.div_euclid(self.n_bins))
        }
    }

    /// Distance of a coordinate from a bin.
    #[inline(always)]
    fn distance(&self, u: f64, low: f64) -> f64 {
        // A single bin is infinitely wide, and `low` then not a number.
        (low - u).max(u - (low + self.width)).max(0.0)
    }

    fn low(&self, bin: i64) -> f64 {
        self.origin + bin as f64 * self.width
    }
}

/// Atoms above one bin of the first two axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Place of its first bin in the table of offsets, or its first sorted atom.
    start: usize,
    /// Behind its last sorted atom, where there is no table.
    end: usize,
    /// Lower ends of the bin along the first two axes in Å.
    low: [f64; 2],
    /// Image of the cell that it stands in.
    image: [i64; 2],
}

#[derive(Debug, Clone)]
enum Store {
    /// Offsets of all bins. [bin + 1]
    Dense(Vec<u32>),
    /// Atoms of the occupied columns, and the bin of each sorted atom along the last axis.
    Sparse { columns: HashMap<(i64, i64), Range<usize>>, bins: Vec<i64> },
}

/// The sorted bins of one structure.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    axes: [Axis; 3],
    /// Cutoff with a margin for the rounding of coordinates, in Å.
    reach: f64,
    /// Cosine of the angle between the normals of the first two axes.
    cosine: f64,
    /// All angles are right.
    orthogonal: bool,
    /// Atom indices in the order of their bins.
    pub order: Vec<u32>,
    /// Coordinates of the (wrapped) atoms along the normals in Å. [atom]
    coordinates: Vec<Vector>,
    store: Store,
}

impl Grid {
    /// Sorts atoms by their coordinates: fractional and wrapped on periodic axes, Å on the others.
    pub fn new(frame: &Frame<'_>, cutoff: f64, mut coordinates: Vec<Vector>) -> Self {
        let n = coordinates.len();
        let cell = frame.cell;
        for u in &mut coordinates {
            for d in 0..3 {
                u[d] *= cell.heights[d];
            }
        }
        let largest = frame.positions.iter().flatten().fold(0.0, |a: f64, b| a.max(b.abs()));
        let reach = cutoff * (1.0 + 1e-9) + 1e-14 * largest;
        let single = n <= ONE_BIN && !cell.pbc.contains(&true);
        let axes: [Axis; 3] = std::array::from_fn(|d| Axis::new(cell, d, reach, single, &coordinates));
        let bins: Vec<[i64; 3]> =
            coordinates.iter().map(|u| std::array::from_fn(|d| axes[d].bin_of_atom(u[d]))).collect();
        let total: f64 = axes.iter().map(|axis| axis.n_bins as f64).product();
        let (order, store) =
            if total <= (8 * n + 64) as f64 { sort_dense(&axes, &bins) } else { sort_sparse(&bins) };
        let normal = |k: usize| std::array::from_fn(|x| cell.inverse[x][k] * cell.heights[k]);
        let cosines = [dot(normal(0), normal(1)), dot(normal(1), normal(2)), dot(normal(0), normal(2))];
        let orthogonal = cosines.iter().all(|c| c.abs() < 1e-12);
        Self { axes, reach, cosine: cosines[0], orthogonal, order, coordinates, store }
    }

    /// Bin of an atom along the first two axes.
    #[inline(always)]
    pub fn column_of(&self, atom: usize) -> [i64; 2] {
        let u = &self.coordinates[atom];
        [self.axes[0].bin_of_atom(u[0]), self.axes[1].bin_of_atom(u[1])]
    }

    /// Columns that could hold neighbors of any atom in the column `(x, y)`.
    pub fn columns_near(&self, [x, y]: [i64; 2], out: &mut Vec<Column>) {
        let [ax, ay, az] = &self.axes;
        let around = |axis: &Axis, bin: i64| {
            let reach = (self.reach / axis.width * (1.0 + 1e-12)).ceil() as i64;
            let (low, high) = (bin - reach, bin + reach);
            if axis.periodic { low..=high } else { low.max(0)..=high.min(axis.n_bins - 1) }
        };
        for bin_x in around(ax, x) {
            for bin_y in around(ay, y) {
                let ((home_x, image_x), (home_y, image_y)) = (ax.fold(bin_x), ay.fold(bin_y));
                let (start, end) = match &self.store {
                    Store::Dense(_) => (((home_x * ay.n_bins + home_y) * az.n_bins) as usize, 0),
                    Store::Sparse { columns, .. } => match columns.get(&(home_x, home_y)) {
                        Some(atoms) => (atoms.start, atoms.end),
                        None => continue,
                    },
                };
                let low = [ax.low(bin_x), ay.low(bin_y)];
                out.push(Column { start, end, low, image: [image_x, image_y] });
            }
        }
    }

    /// Rows of sorted atoms in a column that may hold neighbors of an atom, with the image they belong to.
    #[inline(always)]
    pub fn rows<'g>(&'g self, atom: usize, column: &'g Column) -> Rows<'g> {
        let [ax, ay, az] = &self.axes;
        let u = &self.coordinates[atom];
        let distance2 = self.distance2([ax.distance(u[0], column.low[0]), ay.distance(u[1], column.low[1])]);
        let left = self.reach * self.reach - distance2;
        if left < 0.0 {
            return Rows { grid: self, column, bin: 0, image: 0, still: -1 };
        }
        let (low, high) = az.range(u[2], if self.orthogonal { left.sqrt() } else { self.reach });
        let (bin, image) = az.fold(low);
        Rows { grid: self, column, bin, image, still: high - low }
    }

    /// Least squared length of a vector whose components along the first two normals are at least these.
    ///
    /// The signs are not known here, so the angle between the normals counts as the one that brings them nearer.
    #[inline(always)]
    fn distance2(&self, [a, b]: [f64; 2]) -> f64 {
        if self.orthogonal {
            return a * a + b * b;
        }
        let c = self.cosine.abs();
        let (small, large) = if a < b { (a, b) } else { (b, a) };
        if small <= c * large {
            return large * large;
        }
        (a * a + b * b - 2.0 * a * b * c) / (1.0 - c * c)
    }

    #[inline(always)]
    fn row(&self, column: &Column, from: i64, to: i64) -> Range<usize> {
        match &self.store {
            Store::Dense(offsets) => {
                offsets[column.start + from as usize] as usize
                    ..offsets[column.start + to as usize + 1] as usize
            }
            Store::Sparse { bins, .. } => {
                let z = &bins[column.start..column.end];
                column.start + z.partition_point(|&b| b < from)
                    ..column.start + z.partition_point(|&b| b <= to)
            }
        }
    }
}

/// Rows of one column, one per image of the last axis.
pub(super) struct Rows<'g> {
    grid: &'g Grid,
    column: &'g Column,
    bin: i64,
    image: i64,
    still: i64,
}

impl Iterator for Rows<'_> {
    type Item = (Range<usize>, [i64; 3]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        while self.still >= 0 {
            let last = (self.bin + self.still).min(self.grid.axes[2].n_bins - 1);
            let row = self.grid.row(self.column, self.bin, last);
            let image = [self.column.image[0], self.column.image[1], self.image];
            self.still -= last - self.bin + 1;
            (self.bin, self.image) = (0, self.image + 1);
            if !row.is_empty() {
                return Some((row, image));
            }
        }
        None
    }
}

/// Counting sort; atoms of one bin stay in their order.
fn sort_dense(axes: &[Axis; 3], bins: &[[i64; 3]]) -> (Vec<u32>, Store) {
    let index = |b: &[i64; 3]| ((b[0] * axes[1].n_bins + b[1]) * axes[2].n_bins + b[2]) as usize;
    let total = (axes[0].n_bins * axes[1].n_bins * axes[2].n_bins) as usize;
    let mut offsets = vec![0u32; total + 1];
    for b in bins {
        offsets[index(b) + 1] += 1;
    }
    for k in 0..total {
        offsets[k + 1] += offsets[k];
    }
    let mut next = offsets.clone();
    let mut order = vec![0u32; bins.len()];
    for (atom, b) in bins.iter().enumerate() {
        let slot = &mut next[index(b)];
        order[*slot as usize] = atom as u32;
        *slot += 1;
    }
    (order, Store::Dense(offsets))
}

fn sort_sparse(bins: &[[i64; 3]]) -> (Vec<u32>, Store) {
    let mut order: Vec<u32> = (0..bins.len() as u32).collect();
    order.sort_unstable_by_key(|&atom| (bins[atom as usize], atom));
    let z_bins: Vec<i64> = order.iter().map(|&atom| bins[atom as usize][2]).collect();
    let mut columns = HashMap::new();
    let mut start = 0;
    for run in order.chunk_by(|&a, &b| bins[a as usize][..2] == bins[b as usize][..2]) {
        let [x, y, _] = bins[run[0] as usize];
        columns.insert((x, y), start..start + run.len());
        start += run.len();
    }
    (order, Store::Sparse { columns, bins: z_bins })
}
