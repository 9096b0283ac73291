//! Many frames in one set of arrays (CSR: atoms of frame `s` are `offsets[s]..offsets[s + 1]`).

use std::ops::Range;

use super::{Matrix, PeriodicCell, Vector};
use crate::error::{Error, Result};

/// Coordinates beyond this (Å) have no digits left for a neighbor list.
const LARGEST: f64 = 1e15;

/// Checked structures: finite positions, consistent shapes, cells that span their periodic directions.
#[derive(Debug, Clone)]
pub struct Batch {
    positions: Vec<Vector>,
    numbers: Vec<i32>,
    offsets: Vec<usize>,
    matrices: Vec<Matrix>,
    cells: Vec<PeriodicCell>,
}

/// One structure of a [`Batch`].
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Index in the batch.
    pub structure: usize,
    /// Positions in Å. `[atom]`
    pub positions: &'a [Vector],
    /// Atomic numbers. `[atom]`
    pub numbers: &'a [i32],
    /// The cell as the user gave it; rows are vectors.
    pub matrix: &'a Matrix,
    /// Its reduced form, for searching.
    pub cell: &'a PeriodicCell,
}

impl Batch {
    /// Checks the arrays of `n` frames.
    ///
    /// Shapes: `positions` `[atom]`, `numbers` `[atom]`, `offsets` `[n + 1]`, `matrices` `[n]`, `pbc` `[n]`.
    ///
    /// # Errors
    /// [`Error::BadShape`], [`Error::BadPosition`], [`Error::BadCell`], [`Error::SingularCell`] or
    /// [`Error::BadSpecies`], each with the structure and the atom.
    pub fn new(
        positions: Vec<Vector>,
        numbers: Vec<i32>,
        offsets: Vec<usize>,
        matrices: Vec<Matrix>,
        pbc: &[[bool; 3]],
    ) -> Result<Self> {
        check_shapes(positions.len(), numbers.len(), &offsets, matrices.len(), pbc.len())?;
        for (structure, range) in offsets.windows(2).enumerate() {
            check_atoms(structure, &positions[range[0]..range[1]], &numbers[range[0]..range[1]])?;
        }
        let cells = matrices
            .iter()
            .zip(pbc)
            .enumerate()
            .map(|(structure, (matrix, &pbc))| {
                check_cell(structure, matrix)?;
                PeriodicCell::new(matrix, pbc).ok_or(Error::SingularCell { structure })
            })
            .collect::<Result<_>>()?;
        Ok(Self { positions, numbers, offsets, matrices, cells })
    }

    /// Number of structures.
    #[must_use]
    pub fn n_frames(&self) -> usize {
        self.cells.len()
    }

    /// Number of atoms of all structures together.
    #[must_use]
    pub fn n_atoms(&self) -> usize {
        self.positions.len()
    }

    /// Atomic numbers of all atoms. `[atom]`
    #[must_use]
    pub fn numbers(&self) -> &[i32] {
        &self.numbers
    }

    /// Where the atoms of one structure are in the batch.
    #[must_use]
    pub fn atoms_of(&self, structure: usize) -> Range<usize> {
        self.offsets[structure]..self.offsets[structure + 1]
    }

    /// One structure.
    #[must_use]
    pub fn frame(&self, structure: usize) -> Frame<'_> {
        let atoms = self.atoms_of(structure);
        Frame {
            structure,
            positions: &self.positions[atoms.clone()],
            numbers: &self.numbers[atoms],
            matrix: &self.matrices[structure],
            cell: &self.cells[structure],
        }
    }

    /// All structures in order.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        (0..self.n_frames()).map(|structure| self.frame(structure))
    }
}

fn check_shapes(
    n_positions: usize,
    n_numbers: usize,
    offsets: &[usize],
    n_cells: usize,
    n_pbc: usize,
) -> Result<()> {
    let complain = |message: String| Err(Error::BadShape(message));
    if offsets.first() != Some(&0) {
        return complain("offsets must start at 0".into());
    }
    if offsets.windows(2).any(|pair| pair[0] > pair[1]) {
        return complain("offsets must not decrease".into());
    }
    if offsets.last() != Some(&n_positions) || n_positions != n_numbers {
        return complain(format!(
            "{n_positions} positions, {n_numbers} atomic numbers and a last offset of {:?} must be equal",
            offsets.last()
        ));
    }
    if n_cells + 1 != offsets.len() || n_pbc != n_cells {
        return complain(format!(
            "{} offsets need as many cells and pbc less one, got {n_cells} and {n_pbc}",
            offsets.len()
        ));
    }
    Ok(())
}

fn check_atoms(structure: usize, positions: &[Vector], numbers: &[i32]) -> Result<()> {
    for (atom, position) in positions.iter().enumerate() {
        for (axis, &value) in ['x', 'y', 'z'].into_iter().zip(position) {
            // A NaN fails every comparison, so ask for what is wanted.
            let fine = value.abs() < LARGEST;
            if !fine {
                return Err(Error::BadPosition { structure, atom, axis, value });
            }
        }
    }
    match numbers.iter().position(|number| !(0..=255).contains(number)) {
        Some(atom) => Err(Error::BadSpecies { structure, atom, number: i64::from(numbers[atom]) }),
        None => Ok(()),
    }
}

fn check_cell(structure: usize, matrix: &Matrix) -> Result<()> {
    for (vector, row) in matrix.iter().enumerate() {
        for &value in row {
            let fine = value.abs() < LARGEST;
            if !fine {
                return Err(Error::BadCell { structure, vector, value });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(position: Vector, matrix: Matrix, pbc: [bool; 3]) -> Result<Batch> {
        Batch::new(vec![position], vec![14], vec![0, 1], vec![matrix], &[pbc])
    }

    #[test]
    fn bad_numbers_name_structure_and_atom() {
        let zero = [[0.0; 3]; 3];
        for value in [f64::NAN, f64::INFINITY, -1e300] {
            let error = one([0.0, value, 0.0], zero, [false; 3]).unwrap_err();
            assert!(matches!(error, Error::BadPosition { structure: 0, atom: 0, axis: 'y', .. }));
        }
        let error = one([0.0; 3], [[f64::NAN; 3]; 3], [false; 3]).unwrap_err();
        assert!(matches!(error, Error::BadCell { structure: 0, vector: 0, .. }));
    }

    #[test]
    fn singular_cells_are_refused_only_where_they_matter() {
        let flat = [[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        assert_eq!(one([0.0; 3], flat, [true; 3]).unwrap_err(), Error::SingularCell { structure: 0 });
        assert!(one([0.0; 3], flat, [true, false, true]).is_ok());
        assert_eq!(
            one([0.0; 3], [[0.0; 3]; 3], [false, true, false]).unwrap_err(),
            Error::SingularCell { structure: 0 }
        );
    }

    #[test]
    fn shapes_must_fit() {
        let zero = [[0.0; 3]; 3];
        assert!(Batch::new(vec![[0.0; 3]], vec![1, 1], vec![0, 1], vec![zero], &[[false; 3]]).is_err());
        assert!(Batch::new(vec![[0.0; 3]], vec![1], vec![0, 2], vec![zero], &[[false; 3]]).is_err());
        assert!(Batch::new(vec![], vec![], vec![0], vec![], &[]).is_ok());
    }
}
