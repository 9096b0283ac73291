//! Atoms sorted into bins; a row of bins along the last axis is a contiguous range of atoms.
//!
//! Distances are measured along the normals of the (reduced) cell's planes, in Å. Centers that stand near each other in
//! one column, in a window of a few bins, are given the same candidates: the rows around the window, in all columns
//! around theirs.
//!
//! Two stores behind one question ("which atoms are in bins z0..=z1 of this column?"): a table of offsets where most
//! bins are filled, and sorted columns behind a hash where they are not (a far-flung atom, a huge cell), so that
//! memory is bounded by the number of atoms.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::Result;
use crate::memory::{collected, filled, short};
use crate::structure::{Frame, PeriodicCell, Vector};

/// Bins per cutoff radius along each axis. Rows are contiguous along the last, so its bins may be finer.
const BINS_PER_CUTOFF: [f64; 3] = [1.0, 1.0, 6.0];

/// Bins of a window: half a cutoff radius. Higher windows are entered less often and hold more that is far.
const WINDOW: i64 = 3;

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

    /// First and last bin within a distance of the bins `low..=high`.
    #[inline(always)]
    fn around(&self, [low, high]: [i64; 2], distance: f64) -> (i64, i64) {
        if self.width.is_infinite() {
            return (0, 0);
        }
        let (low, high) = (self.bin(self.low(low) - distance), self.bin(self.low(high + 1) + distance));
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

    /// Lower end of a bin in Å.
    fn low(&self, bin: i64) -> f64 {
        self.origin + bin as f64 * self.width
    }
}

/// Centers that are given the same candidates: a bin of the first two axes, and a few bins of the third.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    column: [i64; 2],
    height: i64,
}

/// Atoms above one bin of the first two axes.
#[derive(Debug, Clone, Copy)]
struct Column {
    /// Place of its first bin in the table of offsets, or its first sorted atom.
    start: usize,
    /// Behind its last sorted atom, where there is no table.
    end: usize,
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
    /// Atom indices in the order of their bins.
    pub(super) order: Vec<u32>,
    /// Coordinates of the (wrapped) atoms along the normals in Å. `[atom]`
    coordinates: Vec<Vector>,
    store: Store,
}

impl Grid {
    /// Sorts atoms by their coordinates: fractional and wrapped on periodic axes, Å on the others.
    pub(super) fn new(frame: &Frame<'_>, cutoff: f64, mut coordinates: Vec<Vector>) -> Result<Self> {
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
        let bin = |u: &Vector| std::array::from_fn(|d| axes[d].bin_of_atom(u[d]));
        let bins: Vec<[i64; 3]> = collected(coordinates.iter().map(bin))?;
        let total: f64 = axes.iter().map(|axis| axis.n_bins as f64).product();
        let (order, store) =
            if total <= (8 * n + 64) as f64 { sort_dense(&axes, &bins)? } else { sort_sparse(&bins)? };
        Ok(Self { axes, reach, order, coordinates, store })
    }

    /// The window that an atom stands in.
    #[inline(always)]
    pub(super) fn window_of(&self, atom: usize) -> Window {
        let u = &self.coordinates[atom];
        let [x, y, z] = std::array::from_fn(|d| self.axes[d].bin_of_atom(u[d]));
        Window { column: [x, y], height: z / WINDOW }
    }

    /// Hands over all rows of sorted atoms that may hold neighbors of atoms in a window, and the image of each.
    ///
    /// # Errors
    /// Those of `row`.
    pub(super) fn rows_around(
        &self,
        window: Window,
        mut row: impl FnMut(Range<usize>, [i64; 3]) -> Result<()>,
    ) -> Result<()> {
        let [ax, ay, az] = &self.axes;
        let (first_x, last_x) = ax.around([window.column[0]; 2], self.reach);
        let (first_y, last_y) = ay.around([window.column[1]; 2], self.reach);
        let lowest = window.height * WINDOW;
        let (first_z, last_z) = az.around([lowest, (lowest + WINDOW).min(az.n_bins) - 1], self.reach);
        for bin_x in first_x..=last_x {
            for bin_y in first_y..=last_y {
                let ((home_x, image_x), (home_y, image_y)) = (ax.fold(bin_x), ay.fold(bin_y));
                let (start, end) = match &self.store {
                    Store::Dense(_) => (((home_x * ay.n_bins + home_y) * az.n_bins) as usize, 0),
                    Store::Sparse { columns, .. } => match columns.get(&(home_x, home_y)) {
                        Some(atoms) => (atoms.start, atoms.end),
                        None => continue,
                    },
                };
                let column = Column { start, end, image: [image_x, image_y] };
                let mut bin_z = first_z;
                while bin_z <= last_z {
                    let (home_z, image_z) = az.fold(bin_z);
                    let last = (home_z + last_z - bin_z).min(az.n_bins - 1);
                    row(self.row(&column, home_z, last), [column.image[0], column.image[1], image_z])?;
                    bin_z += last - home_z + 1;
                }
            }
        }
        Ok(())
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

/// Counting sort; atoms of one bin stay in their order.
fn sort_dense(axes: &[Axis; 3], bins: &[[i64; 3]]) -> Result<(Vec<u32>, Store)> {
    let index = |b: &[i64; 3]| ((b[0] * axes[1].n_bins + b[1]) * axes[2].n_bins + b[2]) as usize;
    let total = (axes[0].n_bins * axes[1].n_bins * axes[2].n_bins) as usize;
    let mut offsets = filled(total + 1, 0_u32)?;
    for b in bins {
        offsets[index(b) + 1] += 1;
    }
    for k in 0..total {
        offsets[k + 1] += offsets[k];
    }
    let mut next = collected(offsets.iter().copied())?;
    let mut order = filled(bins.len(), 0_u32)?;
    for (atom, b) in bins.iter().enumerate() {
        let slot = &mut next[index(b)];
        order[*slot as usize] = atom as u32;
        *slot += 1;
    }
    Ok((order, Store::Dense(offsets)))
}

fn sort_sparse(bins: &[[i64; 3]]) -> Result<(Vec<u32>, Store)> {
    let mut order = collected(0..bins.len() as u32)?;
    order.sort_unstable_by_key(|&atom| (bins[atom as usize], atom));
    let z_bins = collected(order.iter().map(|&atom| bins[atom as usize][2]))?;
    let mut columns = HashMap::new();
    let mut start = 0;
    for run in order.chunk_by(|&a, &b| bins[a as usize][..2] == bins[b as usize][..2]) {
        let [x, y, _] = bins[run[0] as usize];
        columns.try_reserve(1).map_err(|_| short::<Range<usize>>(columns.len()))?;
        columns.insert((x, y), start..start + run.len());
        start += run.len();
    }
    Ok((order, Store::Sparse { columns, bins: z_bins }))
}
