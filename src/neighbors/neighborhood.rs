//! The neighbors of one center, in arrays that are reused from center to center.

use super::grid::Column;
use super::{COINCIDENT, CellList, separation};
use crate::error::{Error, Result};
use crate::simd::{Candidates, Simd, filter_row};
use crate::structure::{Vector, dot};

/// Scratch memory of a search.
#[derive(Debug, Clone, Default)]
pub struct Neighborhood {
    found: Candidates,
    /// Runs of neighbors found in the same image of the cell: where each ends, and its shift before wraps.
    images: Vec<(usize, [f64; 3])>,
    /// Columns of bins around the last center's.
    columns: Vec<Column>,
}

/// A search through one [`CellList`]: centers in the order of their bins are found fastest.
#[derive(Debug)]
pub struct Search<'s, 'a> {
    cells: &'s CellList<'a>,
    scratch: &'s mut Neighborhood,
    /// Column of bins that `scratch.columns` surrounds.
    column: Option<[i64; 2]>,
    center: usize,
}

impl<'s, 'a> Search<'s, 'a> {
    pub(super) fn new(cells: &'s CellList<'a>, scratch: &'s mut Neighborhood) -> Self {
        Self { cells, scratch, column: None, center: 0 }
    }

    /// Finds the neighbors of one center.
    ///
    /// # Errors
    /// [`Error::CoincidentAtoms`] if a neighbor sits on the center.
    #[inline(always)]
    pub fn around<S: Simd>(&mut self, s: S, center: usize) -> Result<()> {
        self.center = center;
        let cells = self.cells;
        let column = cells.grid.column_of(center);
        if self.column != Some(column) {
            self.column = Some(column);
            self.scratch.columns.clear();
            cells.grid.columns_near(column, &mut self.scratch.columns);
        }
        let Neighborhood { found, images, columns } = &mut *self.scratch;
        found.clear();
        images.clear();
        let from = cells.frame.positions[center];
        let limits = [COINCIDENT * COINCIDENT, cells.cutoff2];
        for column in columns.iter() {
            for (row, image) in cells.grid.rows(center, column) {
                let shift = cells.shift_of(image, center);
                filter_row(s, &cells.points, row, from, shift, cells.frame.matrix, limits, found);
                images.push((found.len(), shift));
            }
        }
        // The center finds itself; nothing else may be there.
        if found.n_coincident() == 1 { Ok(()) } else { Err(self.coincidence()) }
    }

    /// Names the atom that sits on the center.
    #[cold]
    fn coincidence(&self) -> Error {
        let cells = self.cells;
        let from = cells.frame.positions[self.center];
        let (mut second, mut distance) = (self.center, 0.0);
        for column in &self.scratch.columns {
            for (row, image) in cells.grid.rows(self.center, column) {
                let of_center = cells.shift_of(image, self.center);
                for point in row {
                    let atom = cells.grid.order[point] as usize;
                    let shift = std::array::from_fn(|d| of_center[d] as i32 - cells.wraps[atom][d]);
                    let vector = separation(from, cells.frame.positions[atom], shift, cells.frame.matrix);
                    let distance2 = dot(vector, vector);
                    if distance2 < COINCIDENT * COINCIDENT && (atom != self.center || shift != [0; 3]) {
                        (second, distance) = (atom, distance2.sqrt());
                    }
                }
            }
        }
        Error::CoincidentAtoms { structure: cells.frame.structure, first: self.center, second, distance }
    }

    /// The center of the last search.
    #[must_use]
    pub fn center(&self) -> usize {
        self.center
    }

    /// Number of neighbors.
    #[inline(always)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.scratch.found.len()
    }

    /// Whether the center is alone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scratch.found.is_empty()
    }

    /// Index of a neighbor in the structure.
    #[inline(always)]
    #[must_use]
    pub fn atom(&self, pair: usize) -> u32 {
        self.cells.grid.order[self.scratch.found.points[pair] as usize]
    }

    /// `r_ij` in Å and `|r_ij|^2` of a neighbor.
    #[inline(always)]
    #[must_use]
    pub fn vector(&self, pair: usize) -> (Vector, f64) {
        let found = &self.scratch.found;
        let slot = found.slots[pair] as usize;
        let [x, y, z] = &found.vectors;
        ([x[slot], y[slot], z[slot]], found.distances2[slot])
    }

    /// Lattice shifts `S` of the neighbors along the user's cell vectors, in their order.
    #[inline(always)]
    pub fn shifts(&self) -> impl Iterator<Item = [i64; 3]> {
        let mut start = 0;
        self.scratch.images.iter().flat_map(move |&(end, of_center)| {
            let run = start..end;
            start = end;
            run.map(move |pair| {
                let wrap = self.cells.wraps[self.atom(pair) as usize];
                std::array::from_fn(|d| of_center[d] as i64 - i64::from(wrap[d]))
            })
        })
    }
}
