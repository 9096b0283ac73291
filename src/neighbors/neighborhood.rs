//! The neighbors of one center, in arrays that are reused from center to center.

use std::fmt::Debug;

use super::grid::Window;
use super::{COINCIDENT, separation};
use crate::error::{Error, Result};
use crate::simd::{Candidates, Near, Simd, count_near, select_near};
use crate::structure::{Frame, Vector, dot};

/// What may be near the centers of one window.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathered {
    pub points: Candidates,
    /// Index in the structure. `[candidate]`
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
pub(super) trait Source: Debug + Sync {
    /// Whom the candidates of a center serve too: centers of the same window, moved by the same whole cells. `None` if
    /// nobody.
    fn shared_by(&self, center: usize) -> Option<Gathering>;

    /// What may be near a center, itself among it.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn gather(&self, frame: &Frame<'_>, center: usize, out: &mut Gathered) -> Result<()>;

    /// Lattice shifts of candidates of a center, by rising slots.
    fn shifts(&self, center: usize, gathered: &Gathered, slots: &[u32], out: &mut [[i64; 3]]);
}

/// Centers that have their candidates in common.
pub(super) type Gathering = (Window, [i32; 3]);

/// A search through one structure: centers in spatial order are found fastest.
#[derive(Debug)]
pub struct Search<'s, 'a> {
    source: &'s (dyn Source + 's),
    frame: Frame<'a>,
    cutoff: f64,
    scratch: &'s mut Neighborhood,
    /// Whose candidates are gathered, if others may have the same.
    gathered_for: Option<Gathering>,
    center: usize,
}

impl<'s, 'a> Search<'s, 'a> {
    pub(super) fn new(
        source: &'s (dyn Source + 's),
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
        let wanted = self.source.shared_by(center);
        if wanted.is_none() || self.gathered_for != wanted {
            self.gathered_for = None;
            let gathered = &mut self.scratch.gathered;
            gathered.clear();
            self.source.gather(&self.frame, center, gathered)?;
            self.gathered_for = wanted;
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
        self.scratch.gathered.atoms[self.scratch.near.slots()[pair] as usize]
    }

    /// `r_ij` in Å and `|r_ij|^2` of the neighbors, as columns that may be longer than there are neighbors.
    #[inline(always)]
    #[must_use]
    pub fn columns(&self) -> ([&[f64]; 3], &[f64]) {
        let near = &self.scratch.near;
        (near.vectors(), near.distances2())
    }

    /// `r_ij` in Å and `|r_ij|^2` of a neighbor.
    #[inline(always)]
    #[must_use]
    pub fn vector(&self, pair: usize) -> (Vector, f64) {
        let ([x, y, z], distances2) = self.columns();
        ([x[pair], y[pair], z[pair]], distances2[pair])
    }

    /// Writes the lattice shifts `S` of the neighbors along the user's cell vectors.
    pub fn shifts_into(&self, out: &mut [[i64; 3]]) {
        let slots = &self.scratch.near.slots()[..self.len()];
        self.source.shifts(self.center, &self.scratch.gathered, slots, out);
    }

    /// Lattice shift of a candidate.
    fn shift_of(&self, slot: usize) -> [i64; 3] {
        let mut shift = [[0; 3]];
        self.source.shifts(self.center, &self.scratch.gathered, &[slot as u32], &mut shift);
        shift[0]
    }
}
