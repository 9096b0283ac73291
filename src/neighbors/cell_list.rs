//! The fast search: atoms sorted into bins over the reduced cell.

use super::grid::Grid;
use super::neighborhood::{Gathered, Gathering, Run, Source};
use super::{Neighborhood, Search, cell_shift, check};
use crate::error::{Error, Result};
use crate::memory::{Grow, collected};
use crate::structure::{Frame, Vector};

/// Bins of one structure, ready to be asked for the neighbors of any center.
#[derive(Debug)]
pub struct CellList<'a> {
    frame: Frame<'a>,
    cutoff: f64,
    pub(super) grid: Grid,
    /// Whole cells (of the user's) by which each atom was moved into the reduced cell. `[atom]`
    wraps: Vec<[i32; 3]>,
    /// Positions as given, in the order of the bins. [xyz][sorted atom]
    sorted: [Vec<f64>; 3],
    /// How many of the atoms before each were moved at all. [sorted atom + 1]
    moved: Vec<u32>,
    /// Atoms in the order in which a search is fastest.
    visits: Vec<u32>,
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
        let (mut wraps, mut coordinates) = (Vec::new(), Vec::new());
        wraps.make_room(frame.positions.len())?;
        coordinates.make_room(frame.positions.len())?;
        for (atom, &position) in frame.positions.iter().enumerate() {
            let far = Error::FarImage { structure: frame.structure, atom };
            let (coordinate, wrap) = wrap(&frame, position).ok_or(far)?;
            coordinates.push(coordinate);
            wraps.push(wrap);
        }
        let grid = Grid::new(&frame, cutoff, coordinates)?;
        let order = &grid.order;
        let along = |x: usize| collected(order.iter().map(|&atom| frame.positions[atom as usize][x]));
        let sorted = [along(0)?, along(1)?, along(2)?];
        let mut moved = Vec::new();
        moved.make_room(order.len() + 1)?;
        moved.push(0);
        for (k, &atom) in order.iter().enumerate() {
            moved.push(moved[k] + u32::from(wraps[atom as usize] != [0; 3]));
        }
        // Centers of one window that were moved alike share their candidates.
        let mut visits = collected(order.iter().copied())?;
        if moved[order.len()] > 0 {
            let window = |&atom: &u32| grid.window_of(atom as usize);
            for run in visits.chunk_by_mut(|a, b| window(a) == window(b)) {
                run.sort_by_key(|&atom| wraps[atom as usize]);
            }
        }
        Ok(Self { frame, cutoff, grid, wraps, sorted, moved, visits })
    }

    /// Number of atoms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wraps.len()
    }

    /// Whether there are no atoms.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wraps.is_empty()
    }

    /// Atoms in the order in which a search is fastest: neighbors in this order are close in space, hence in cache.
    #[must_use]
    pub fn spatial_order(&self) -> &[u32] {
        &self.visits
    }

    /// Begins a search that uses (and overwrites) some scratch memory.
    pub fn search<'s>(&'s self, scratch: &'s mut Neighborhood) -> Search<'s, 'a> {
        Search::new(self, self.frame, self.cutoff, scratch)
    }

    /// Shift along the user's cell vectors of an image (in reduced cells) as seen from a center, before the wraps of
    /// the neighbor are taken off.
    #[inline(always)]
    fn shift_of(&self, image: [i64; 3], wrap: [i32; 3]) -> [i64; 3] {
        let reduction = &self.frame.cell.reduction;
        std::array::from_fn(|d| {
            let cells: i64 = (0..3).map(|k| image[k] * reduction[k][d]).sum();
            cells + i64::from(wrap[d])
        })
    }

    /// [`CellList::shift_of`] with the wraps of the neighbor taken off.
    #[inline(always)]
    fn shift_to(&self, cells: [i64; 3], atom: u32) -> [i64; 3] {
        let wrap = self.wraps[atom as usize];
        std::array::from_fn(|d| cells[d] - i64::from(wrap[d]))
    }
}

impl Source for CellList<'_> {
    fn shared_by(&self, center: usize) -> Option<Gathering> {
        Some((self.grid.window_of(center), self.wraps[center]))
    }

    fn gather(&self, _: &Frame<'_>, center: usize, out: &mut Gathered) -> Result<()> {
        let (window, wrap) = (self.grid.window_of(center), self.wraps[center]);
        let [x, y, z] = &self.sorted;
        self.grid.rows_around(window, |row, image| {
            if row.is_empty() {
                return Ok(());
            }
            let cells = self.shift_of(image, wrap);
            let atoms = &self.grid.order[row.clone()];
            let first = out.points.len();
            out.points.extend(
                [&x[row.clone()], &y[row.clone()], &z[row.clone()]],
                cell_shift(cells, self.frame.matrix),
            )?;
            let moved = self.moved[row.end] != self.moved[row.start];
            if moved {
                for (k, &atom) in atoms.iter().enumerate() {
                    if self.wraps[atom as usize] != [0; 3] {
                        let cells = self.shift_to(cells, atom);
                        out.points.set_shift(first + k, cell_shift(cells, self.frame.matrix));
                    }
                }
            }
            out.atoms.try_extend(atoms.iter().copied())?;
            out.runs.try_extend([Run { end: out.atoms.len() as u32, cells, moved }])
        })?;
        out.points.seal()
    }

    fn shifts(&self, _: usize, gathered: &Gathered, slots: &[u32], out: &mut [[i64; 3]]) {
        let Gathered { atoms, runs, .. } = gathered;
        let mut run = 0;
        for (&slot, to) in slots.iter().zip(out) {
            while runs[run].end <= slot {
                run += 1;
            }
            let Run { cells, moved, .. } = runs[run];
            *to = if moved { self.shift_to(cells, atoms[slot as usize]) } else { cells };
        }
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
