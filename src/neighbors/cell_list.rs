//! The fast search: sorted bins over the reduced cell, one center at a time, no allocation per center.

use super::grid::{Axis, Grid};
use super::{Neighborhood, check, check_distance, separation};
use crate::error::{Error, Result};
use crate::structure::{Frame, Vector, dot};

/// Bins of one structure, ready to be asked for the neighbors of any center.
#[derive(Debug, Clone)]
pub struct CellList<'a> {
    frame: Frame<'a>,
    cutoff2: f64,
    /// A little more than the squared cutoff: candidates are found from wrapped positions, whose rounding differs.
    candidate2: f64,
    grid: Grid,
    /// Whole cells by which each atom was moved into the reduced cell. [atom]
    wraps: Vec<[i32; 3]>,
    /// Wrapped positions in the order of the bins. [xyz][sorted atom]
    sorted: [Vec<f64>; 3],
    /// Wrapped positions. [atom]
    wrapped: Vec<Vector>,
}

impl<'a> CellList<'a> {
    /// Sorts the atoms of a structure for searches within `cutoff` Å.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for a cutoff that is no length, [`Error::TooDense`] if millions of images of the cell
    /// lie within it, [`Error::FarImage`] for an atom more than 2^30 cells away.
    pub fn new(frame: Frame<'a>, cutoff: f64) -> Result<Self> {
        check(&frame, cutoff)?;
        let n = frame.positions.len();
        let mut wraps = Vec::with_capacity(n);
        let mut wrapped = Vec::with_capacity(n);
        let mut coordinates = Vec::with_capacity(n);
        for (atom, &position) in frame.positions.iter().enumerate() {
            let (inside, coordinate, wrap) =
                wrap(&frame, position).ok_or(Error::FarImage { structure: frame.structure, atom })?;
            wraps.push(wrap);
            wrapped.push(inside);
            coordinates.push(coordinate);
        }
        let grid = Grid::new(&frame, cutoff, &coordinates);
        let sorted =
            std::array::from_fn(|x| grid.order.iter().map(|&atom| wrapped[atom as usize][x]).collect());
        let largest = wrapped.iter().flatten().fold(cutoff, |a, b| a.max(b.abs()));
        // Rounding of a wrapped coordinate is about 1e-15 of the largest; ten times that on a distance of rc.
        let candidate2 = cutoff * cutoff * (1.0 + 1e-12) + 1e-13 * cutoff * largest;
        Ok(Self { frame, cutoff2: cutoff * cutoff, candidate2, grid, wraps, sorted, wrapped })
    }

    /// Atoms in the order of their bins: neighbors in this order are close in space, hence in cache.
    #[must_use]
    pub fn spatial_order(&self) -> &[u32] {
        &self.grid.order
    }

    /// Finds the neighbors of one center (of the structure's atoms); `out` is overwritten.
    ///
    /// # Errors
    /// [`Error::CoincidentAtoms`] if a neighbor sits on the center.
    pub fn neighbors_of(&self, center: usize, out: &mut Neighborhood) -> Result<()> {
        out.clear();
        let [x, y, z] = self.grid.bins[center];
        let [ax, ay, az] = &self.grid.axes;
        for (bin_x, image_x) in near_bins(ax, x) {
            for (bin_y, image_y) in near_bins(ay, y) {
                for (bins_z, image_z) in near_segments(az, z) {
                    let row = self.grid.row(bin_x, bin_y, bins_z.0, bins_z.1);
                    if !row.is_empty() {
                        self.search_row(center, row, [image_x, image_y, image_z], out)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Tests the atoms of one row of bins, moved by whole reduced cells.
    #[inline]
    fn search_row(
        &self,
        center: usize,
        row: std::ops::Range<usize>,
        image: [i64; 3],
        out: &mut Neighborhood,
    ) -> Result<()> {
        let mut from = self.wrapped[center];
        if image != [0; 3] {
            for (k, vector) in self.frame.cell.vectors.iter().enumerate() {
                for x in 0..3 {
                    from[x] -= image[k] as f64 * vector[x];
                }
            }
        }
        let [xs, ys, zs] = &self.sorted;
        let order = &self.grid.order[row.clone()];
        let coordinates = xs[row.clone()].iter().zip(&ys[row.clone()]).zip(&zs[row]);
        for (&atom, ((x, y), z)) in order.iter().zip(coordinates) {
            let (dx, dy, dz) = (x - from[0], y - from[1], z - from[2]);
            if dx * dx + dy * dy + dz * dz < self.candidate2 {
                self.accept(center, atom, image, out)?;
            }
        }
        Ok(())
    }

    /// Decides by the exact formula on the positions as given.
    #[inline]
    fn accept(&self, center: usize, atom: u32, image: [i64; 3], out: &mut Neighborhood) -> Result<()> {
        let j = atom as usize;
        let (wi, wj) = (self.wraps[center], self.wraps[j]);
        let mut shift = [0; 3];
        if image != [0; 3] || wi != wj {
            let mut total = [0i64; 3];
            for (k, integers) in self.frame.cell.reduction.iter().enumerate() {
                let cells = image[k] + i64::from(wi[k]) - i64::from(wj[k]);
                for d in 0..3 {
                    total[d] += cells * integers[d];
                }
            }
            for d in 0..3 {
                shift[d] = i32::try_from(total[d])
                    .map_err(|_| Error::FarImage { structure: self.frame.structure, atom: j })?;
            }
        }
        if center == j && shift == [0; 3] {
            return Ok(());
        }
        let vector = separation(self.frame.positions[center], self.frame.positions[j], shift, self.frame.matrix);
        let distance2 = dot(vector, vector);
        if distance2 < self.cutoff2 {
            check_distance(&self.frame, center, j, distance2)?;
            out.push(atom, vector, distance2, shift);
        }
        Ok(())
    }
}

/// Moves a position into the reduced cell: wrapped position, coordinates along the axes, whole cells removed.
fn wrap(frame: &Frame<'_>, position: Vector) -> Option<(Vector, Vector, [i32; 3])> {
    let cell = frame.cell;
    let mut inside = position;
    let mut wrap = [0i32; 3];
    let mut coordinate: Vector =
        std::array::from_fn(|k| (0..3).map(|x| position[x] * cell.inverse[x][k]).sum());
    for k in (0..3).filter(|&k| cell.pbc[k]) {
        let cells = coordinate[k].floor();
        if cells.abs() > f64::from(1 << 30) {
            return None;
        }
        wrap[k] = cells as i32;
        coordinate[k] -= cells;
        for x in 0..3 {
            inside[x] -= cells * cell.vectors[k][x];
        }
    }
    Some((inside, coordinate, wrap))
}

/// Bins within reach of `bin`, with the image they belong to.
#[inline]
fn near_bins(axis: &Axis, bin: i64) -> impl Iterator<Item = (i64, i64)> + use<> {
    let (periodic, n) = (axis.periodic, axis.n_bins);
    let (low, high) = (bin - axis.reach, bin + axis.reach);
    let (low, high) = if periodic { (low, high) } else { (low.max(0), high.min(n - 1)) };
    (low..=high).map(move |b| {
        if (0..n).contains(&b) { (b, 0) } else { (b.rem_euclid(n), b.div_euclid(n)) }
    })
}

/// Runs of bins within reach of `bin`, one run per image.
#[inline]
fn near_segments(axis: &Axis, bin: i64) -> impl Iterator<Item = ((i64, i64), i64)> + use<> {
    let n = axis.n_bins;
    let (low, high) = (bin - axis.reach, bin + axis.reach);
    let (low, high) = if axis.periodic { (low, high) } else { (low.max(0), high.min(n - 1)) };
    let image = move |b: i64| if (0..n).contains(&b) { 0 } else { b.div_euclid(n) };
    (image(low)..=image(high)).map(move |i| (((low - i * n).max(0), (high - i * n).min(n - 1)), i))
}
