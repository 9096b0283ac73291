//! Atoms sorted into bins; a row of bins along the last axis is a contiguous range of atoms.
//!
//! Two stores behind one question ("which atoms are in bins z0..=z1 of the column x, y?"): a table of offsets where
//! most bins are filled, and sorted columns behind a hash where they are not (a far-flung atom, a huge cell), so that
//! memory is bounded by the number of atoms.

use std::collections::HashMap;
use std::ops::Range;

use crate::structure::{Frame, PeriodicCell, Vector};

/// Bins per cutoff radius along each axis. Rows are contiguous along the last, so its bins may be finer.
const BINS_PER_CUTOFF: [f64; 3] = [2.0, 2.0, 4.0];

/// Below this number of atoms a molecule is one bin.
const ONE_BIN: usize = 48;

/// Bins along one axis of the (reduced) cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub periodic: bool,
    /// Number of bins; those of a non-periodic axis span the atoms.
    pub n_bins: i64,
    /// Neighbors are at most this many bins away.
    pub reach: i64,
    origin: f64,
    bins_per_unit: f64,
}

impl Axis {
    fn new(cell: &PeriodicCell, d: usize, cutoff: f64, single: bool, coordinates: &[Vector]) -> Self {
        // Margins for rounding: bins a little larger than needed, reaches a little longer.
        let bin = cutoff / BINS_PER_CUTOFF[d] * (1.0 + 4e-9);
        if cell.pbc[d] {
            let n_bins = if single { 1.0 } else { (cell.heights[d] / bin).floor().max(1.0) };
            let reach = (cutoff * n_bins / cell.heights[d] * (1.0 + 1e-9)).ceil() as i64;
            return Self { periodic: true, n_bins: n_bins as i64, reach, origin: 0.0, bins_per_unit: n_bins };
        }
        let origin = coordinates.iter().map(|s| s[d]).fold(f64::INFINITY, f64::min);
        let end = coordinates.iter().map(|s| s[d]).fold(f64::NEG_INFINITY, f64::max);
        if single || coordinates.is_empty() {
            return Self { periodic: false, n_bins: 1, reach: 0, origin: 0.0, bins_per_unit: 0.0 };
        }
        let n_bins = ((end - origin) / bin).floor() as i64 + 1;
        let reach = BINS_PER_CUTOFF[d].ceil() as i64;
        Self { periodic: false, n_bins, reach, origin, bins_per_unit: 1.0 / bin }
    }

    fn bin(&self, coordinate: f64) -> i64 {
        (((coordinate - self.origin) * self.bins_per_unit).floor() as i64).clamp(0, self.n_bins - 1)
    }
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
    pub axes: [Axis; 3],
    /// Atom indices in the order of their bins.
    pub order: Vec<u32>,
    /// Bin of each atom, in the order of the atoms.
    pub bins: Vec<[i64; 3]>,
    store: Store,
}

impl Grid {
    /// Sorts atoms by their coordinates: fractional and wrapped on periodic axes, Å on the others.
    pub fn new(frame: &Frame<'_>, cutoff: f64, coordinates: &[Vector]) -> Self {
        let n = coordinates.len();
        let single = n <= ONE_BIN && !frame.cell.pbc.contains(&true);
        let axes: [Axis; 3] = std::array::from_fn(|d| Axis::new(frame.cell, d, cutoff, single, coordinates));
        let bins: Vec<[i64; 3]> =
            coordinates.iter().map(|s| std::array::from_fn(|d| axes[d].bin(s[d]))).collect();
        let total: f64 = axes.iter().map(|axis| axis.n_bins as f64).product();
        let (order, store) =
            if total <= (8 * n + 64) as f64 { sort_dense(&axes, &bins) } else { sort_sparse(&bins) };
        Self { axes, order, bins, store }
    }

    /// The sorted atoms in bins `from..=to` of the column `(x, y)`.
    #[inline]
    pub fn row(&self, x: i64, y: i64, from: i64, to: i64) -> Range<usize> {
        match &self.store {
            Store::Dense(offsets) => {
                let column = ((x * self.axes[1].n_bins + y) * self.axes[2].n_bins) as usize;
                offsets[column + from as usize] as usize..offsets[column + to as usize + 1] as usize
            }
            Store::Sparse { columns, bins } => columns.get(&(x, y)).map_or(0..0, |column| {
                let z = &bins[column.clone()];
                let start = column.start;
                start + z.partition_point(|&b| b < from)..start + z.partition_point(|&b| b <= to)
            }),
        }
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
