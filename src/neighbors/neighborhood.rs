//! The neighbors of one center, in arrays that are reused from center to center.

use super::grid::Window;
use super::{COINCIDENT, CellList, SkinList, separation};
use crate::error::{Error, Result};
use crate::simd::{Candidates, Near, Simd, count_near, select_near};
use crate::structure::{Frame, Vector, dot};

/// What may be near the centers of one window.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathered {
    pub points: Candidates,
    /// Index in the structure. [candidate]
    pub atoms: Vec<u32>,
    /// Candidates in the same image of the cell stand together.
    pub runs: Vec<Run>,
}

/// Candidates in the same image of the cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Behind the last of them.
    pub end: u32,
    /// Their shift, before the wraps of each are taken off.
    pub cells: [i64; 3],
    /// Whether any of them was wrapped.
    pub moved: bool,
}

impl Gathered {
    fn clear(&mut self) {
        self.points.clear();
        self.atoms.clear();
        self.runs.clear();
    }
}

/// Scratch memory of a search.
#[derive(Debug, Clone, Default)]
pub struct Neighborhood {
    gathered: Gathered,
    near: Near,
}

/// Where the neighbors of a structure are looked up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'s, 'a> {
    Cells(&'s CellList<'a>),
    Skin(&'s SkinList),
}

/// A search through one structure: centers in spatial order are found fastest.
#[derive(Debug)]
pub struct Search<'s, 'a> {
    source: Source<'s, 'a>,
    frame: Frame<'a>,
    cutoff: f64,
    scratch: &'s mut Neighborhood,
    /// Whose candidates of cells are gathered: centers of a window, all moved by the same whole cells.
    gathered_for: Option<(Window, [i32; 3])>,
    center: usize,
}

impl<'s, 'a> Search<'s, 'a> {
    pub(super) fn new(
        source: Source<'s, 'a>,
        frame: Frame<'a>,
        cutoff: f64,
        scratch: &'s mut Neighborhood,
    ) -> Self {
        Self { source, frame, cutoff, scratch, gathered_for: None, center: 0 }
    }

    /// Finds the neighbors of one center.
    ///
    /// # Errors
    /// [`Error::CoincidentAtoms`] if a neighbor sits on the center, [`Error::OutOfMemory`].
    #[inline(always)]
    pub fn around<S: Simd>(&mut self, s: S, center: usize) -> Result<()> {
        let (from, limits) = self.approach(center)?;
        let Neighborhood { gathered, near } = &mut *self.scratch;
        let n_coincident = select_near(s, &gathered.points, from, limits, near)?;
        self.check(n_coincident)
    }

    /// Counts the neighbors of one center.
    ///
    /// # Errors
    /// As [`Search::around`].
    #[inline(always)]
    pub fn count<S: Simd>(&mut self, s: S, center: usize) -> Result<usize> {
        let (from, limits) = self.approach(center)?;
        let (n, n_coincident) = count_near(s, &self.scratch.gathered.points, from, limits);
        self.check(n_coincident)?;
        Ok(n)
    }

    /// Gathers the candidates of a center, unless the last one had the same; returns its position and the limits of
    /// the squared distance.
    #[inline(always)]
    fn approach(&mut self, center: usize) -> Result<(Vector, [f64; 2])> {
        self.center = center;
        let gathered = &mut self.scratch.gathered;
        match self.source {
            Source::Cells(cells) => {
                let wanted = (cells.grid.window_of(center), cells.wrap_of(center));
                if self.gathered_for != Some(wanted) {
                    self.gathered_for = None;
                    gathered.clear();
                    cells.gather(wanted.0, wanted.1, gathered)?;
                    self.gathered_for = Some(wanted);
                }
            }
            Source::Skin(list) => {
                gathered.clear();
                list.gather(&self.frame, center, gathered)?;
            }
        }
        Ok((self.frame.positions[center], [COINCIDENT * COINCIDENT, self.cutoff * self.cutoff]))
    }

    /// The center finds itself; nothing else may be there.
    #[inline(always)]
    fn check(&self, n_coincident: usize) -> Result<()> {
        if n_coincident == 1 { Ok(()) } else { Err(self.coincidence()) }
    }

    /// Names the atom that sits on the center.
    #[cold]
    fn coincidence(&self) -> Error {
        let frame = self.frame;
        let (mut second, mut distance) = (self.center, 0.0);
        for slot in 0..self.scratch.gathered.atoms.len() {
            let (atom, shift) = (self.scratch.gathered.atoms[slot] as usize, self.shift_of(slot));
            let vector = separation(frame.positions[self.center], frame.positions[atom], shift, frame.matrix);
            let distance2 = dot(vector, vector);
            if distance2 < COINCIDENT * COINCIDENT && (atom != self.center || shift != [0; 3]) {
                (second, distance) = (atom, distance2.sqrt());
            }
        }
        Error::CoincidentAtoms { structure: frame.structure, first: self.center, second, distance }
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
        self.scratch.near.len()
    }

    /// Whether the center is alone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scratch.near.is_empty()
    }

    /// Index of a neighbor in the structure.
    #[inline(always)]
    #[must_use]
    pub fn atom(&self, pair: usize) -> u32 {
        self.scratch.gathered.atoms[self.scratch.near.slots[pair] as usize]
    }

    /// `r_ij` in Å and `|r_ij|^2` of the neighbors, as columns that may be longer than there are neighbors.
    #[inline(always)]
    #[must_use]
    pub fn columns(&self) -> ([&[f64]; 3], &[f64]) {
        let near = &self.scratch.near;
        let [x, y, z] = &near.vectors;
        ([x, y, z], &near.distances2)
    }

    /// `r_ij` in Å and `|r_ij|^2` of a neighbor.
    #[inline(always)]
    #[must_use]
    pub fn vector(&self, pair: usize) -> (Vector, f64) {
        let ([x, y, z], distances2) = self.columns();
        ([x[pair], y[pair], z[pair]], distances2[pair])
    }

    /// Writes the lattice shifts `S` of the neighbors along the user's cell vectors.
    #[inline(always)]
    pub fn shifts_into(&self, out: &mut [[i64; 3]]) {
        let slots = &self.scratch.near.slots[..self.len()];
        match self.source {
            Source::Cells(cells) => {
                let Gathered { atoms, runs, .. } = &self.scratch.gathered;
                let mut run = 0;
                for (&slot, to) in slots.iter().zip(out) {
                    while runs[run].end <= slot {
                        run += 1;
                    }
                    let Run { cells: shift, moved, .. } = runs[run];
                    *to = if moved { cells.shift_to(shift, atoms[slot as usize]) } else { shift };
                }
            }
            Source::Skin(list) => {
                for (&slot, to) in slots.iter().zip(out) {
                    *to = list.shift(self.center, slot as usize);
                }
            }
        }
    }

    /// Lattice shift of a candidate.
    fn shift_of(&self, slot: usize) -> [i64; 3] {
        match self.source {
            Source::Cells(cells) => {
                let Gathered { atoms, runs, .. } = &self.scratch.gathered;
                let run = runs.partition_point(|run| run.end as usize <= slot);
                cells.shift_to(runs[run].cells, atoms[slot])
            }
            Source::Skin(list) => list.shift(self.center, slot),
        }
    }
}

/// The neighbors of one structure, freshly sorted or remembered.
#[derive(Debug)]
pub enum NeighborList<'a> {
    /// Sorted for this search.
    Cells(Box<CellList<'a>>),
    /// Remembered; it must serve the structure.
    Skin(&'a SkinList, Frame<'a>),
}

impl<'a> NeighborList<'a> {
    /// Sorts the atoms of a structure.
    ///
    /// # Errors
    /// As [`CellList::new`].
    pub fn new(frame: Frame<'a>, cutoff: f64) -> Result<Self> {
        CellList::new(frame, cutoff).map(|cells| Self::Cells(Box::new(cells)))
    }

    /// Centers in the order in which a search is fastest.
    #[must_use]
    pub fn spatial_order(&self) -> &[u32] {
        match self {
            Self::Cells(cells) => cells.spatial_order(),
            Self::Skin(list, _) => list.visits(),
        }
    }

    /// Begins a search within `cutoff`, which is that of the list, that uses (and overwrites) some scratch memory.
    pub fn search<'s>(&'s self, cutoff: f64, scratch: &'s mut Neighborhood) -> Search<'s, 'a> {
        match self {
            Self::Cells(cells) => cells.search(scratch),
            Self::Skin(list, frame) => Search::new(Source::Skin(list), *frame, cutoff, scratch),
        }
    }
}
