//! The neighbors of one center, in arrays that are reused from center to center.

use crate::structure::Vector;

/// Neighbors of one center; component arrays are separate so that they load as vectors.
#[derive(Debug, Clone, Default)]
pub struct Neighborhood {
    /// Index of the neighbor in its structure. [pair]
    pub atoms: Vec<u32>,
    /// Components of `r_ij` in Å. [xyz][pair]
    pub vectors: [Vec<f64>; 3],
    /// `|r_ij|^2` in Å^2. [pair]
    pub distances2: Vec<f64>,
    /// Lattice shift `S` of the neighbor along the user's cell vectors. [pair]
    pub shifts: Vec<[i32; 3]>,
}

impl Neighborhood {
    /// Number of neighbors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.atoms.len()
    }

    /// Whether the center is alone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.atoms.is_empty()
    }

    /// Forgets the neighbors, keeps the memory.
    pub fn clear(&mut self) {
        self.atoms.clear();
        self.vectors.iter_mut().for_each(Vec::clear);
        self.distances2.clear();
        self.shifts.clear();
    }

    #[inline]
    pub(super) fn push(&mut self, atom: u32, vector: Vector, distance2: f64, shift: [i32; 3]) {
        self.atoms.push(atom);
        for (component, x) in self.vectors.iter_mut().zip(vector) {
            component.push(x);
        }
        self.distances2.push(distance2);
        self.shifts.push(shift);
    }
}
