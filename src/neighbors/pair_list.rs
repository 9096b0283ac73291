//! The pairs of a structure as arrays, CSR by center.

use super::{CellList, Neighborhood};
use crate::error::Result;
use crate::structure::{Frame, Vector};

/// Full neighbor list of one structure: every pair stands in it twice, once per center; centers are in rising order.
#[derive(Debug, Clone, Default)]
pub struct PairList {
    /// Center of each pair. [pair]
    pub centers: Vec<u32>,
    /// Neighbor of each pair. [pair]
    pub neighbors: Vec<u32>,
    /// Lattice shift `S` of the neighbor. [pair]
    pub shifts: Vec<[i32; 3]>,
    /// `r_ij` in Å. [pair]
    pub vectors: Vec<Vector>,
    /// `|r_ij|` in Å. [pair]
    pub distances: Vec<f64>,
}

impl PairList {
    /// All pairs of a structure within a cutoff.
    ///
    /// # Errors
    /// As [`CellList::new`] and [`CellList::neighbors_of`].
    pub fn new(frame: &Frame<'_>, cutoff: f64) -> Result<Self> {
        let cells = CellList::new(*frame, cutoff)?;
        let mut pairs = Self::default();
        let mut near = Neighborhood::default();
        for center in 0..frame.positions.len() {
            cells.neighbors_of(center, &mut near)?;
            pairs.extend(center, &near);
        }
        Ok(pairs)
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.centers.len()
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.centers.is_empty()
    }

    pub(super) fn extend(&mut self, center: usize, near: &Neighborhood) {
        let [x, y, z] = &near.vectors;
        self.centers.resize(self.centers.len() + near.len(), center as u32);
        self.neighbors.extend_from_slice(&near.atoms);
        self.shifts.extend_from_slice(&near.shifts);
        self.vectors.extend(x.iter().zip(y).zip(z).map(|((&x, &y), &z)| [x, y, z]));
        self.distances.extend(near.distances2.iter().map(|d2| d2.sqrt()));
    }
}
