//! The fast search: atoms sorted into bins over the reduced cell.

use super::grid::Grid;
use super::{Neighborhood, Search, check};
use crate::error::{Error, Result};
use crate::simd::Points;
use crate::structure::{Frame, Vector};

/// Bins of one structure, ready to be asked for the neighbors of any center.
#[derive(Debug, Clone)]
pub struct CellList<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) cutoff2: f64,
    pub(super) grid: Grid,
    /// Whole cells (of the user's) by which each atom was moved into the reduced cell. [atom]
    pub(super) wraps: Vec<[i32; 3]>,
    /// Positions as given, and wraps, in the order of the bins.
    pub(super) points: Points,
    /// Where each atom stands in that order. [atom]
    pub(super) place: Vec<u32>,
}

/// Shifts below this are exact and never overflow when a few of them are added.
const MOST_CELLS: i64 = 1 << 29;

impl<'a> CellList<'a> {
    /// Sorts the atoms of a structure for searches within `cutoff` Å.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for a cutoff that is no length, [`Error::TooDense`] if millions of images of the cell
    /// lie within it, [`Error::FarImage`] for an atom more than 2^29 cells away.
    pub fn new(frame: Frame<'a>, cutoff: f64) -> Result<Self> {
        check(&frame, cutoff)?;
        let mut wraps = Vec::with_capacity(frame.positions.len());
        let mut coordinates = Vec::with_capacity(frame.positions.len());
        for (atom, &position) in frame.positions.iter().enumerate() {
            let far = Error::FarImage { structure: frame.structure, atom };
            let (coordinate, wrap) = wrap(&frame, position).ok_or(far)?;
            coordinates.push(coordinate);
            wraps.push(wrap);
        }
        let grid = Grid::new(&frame, cutoff, coordinates);
        let sort =
            |value: &dyn Fn(usize) -> f64| grid.order.iter().map(|&atom| value(atom as usize)).collect();
        let positions = std::array::from_fn(|x| sort(&|atom| frame.positions[atom][x]));
        let moved = wraps.iter().any(|wrap| *wrap != [0; 3]);
        let sorted_wraps = moved.then(|| std::array::from_fn(|v| sort(&|atom| f64::from(wraps[atom][v]))));
        let mut place = vec![0; wraps.len()];
        for (k, &atom) in grid.order.iter().enumerate() {
            place[atom as usize] = k as u32;
        }
        let points = Points::new(positions, sorted_wraps);
        Ok(Self { frame, cutoff2: cutoff * cutoff, grid, wraps, points, place })
    }

    /// Atoms in the order of their bins: neighbors in this order are close in space, hence in cache.
    #[must_use]
    pub fn spatial_order(&self) -> &[u32] {
        &self.grid.order
    }

    /// Begins a search that uses (and overwrites) some scratch memory.
    pub fn search<'s>(&'s self, scratch: &'s mut Neighborhood) -> Search<'s, 'a> {
        Search::new(self, scratch)
    }

    /// Shift along the user's cell vectors of an image (in reduced cells) as seen from a center, before the wraps of
    /// the neighbor are taken off. Whole numbers.
    #[inline(always)]
    pub(super) fn shift_of(&self, image: [i64; 3], center: usize) -> [f64; 3] {
        let wrap = self.wraps[center];
        if image == [0; 3] {
            return wrap.map(f64::from);
        }
        let reduction = &self.frame.cell.reduction;
        std::array::from_fn(|d| {
            let cells: i64 = (0..3).map(|k| image[k] * reduction[k][d]).sum();
            cells as f64 + f64::from(wrap[d])
        })
    }
}

/// Coordinates of a position within the reduced cell, and the user's cells it was moved by; `None` if too many.
fn wrap(frame: &Frame<'_>, position: Vector) -> Option<(Vector, [i32; 3])> {
    let cell = frame.cell;
    let mut total = [0i64; 3];
    let mut coordinate: Vector =
        std::array::from_fn(|k| (0..3).map(|x| position[x] * cell.inverse[x][k]).sum());
    for k in (0..3).filter(|&k| cell.pbc[k]) {
        let cells = coordinate[k].floor();
        if cells.abs() > MOST_CELLS as f64 {
            return None;
        }
        coordinate[k] -= cells;
        for d in 0..3 {
            total[d] += (cells as i64).checked_mul(cell.reduction[k][d])?;
        }
    }
    let fits = total.iter().all(|n| n.abs() <= MOST_CELLS);
    fits.then(|| (coordinate, total.map(|n| n as i32)))
}
