//! A cell made ready for searching: its periodic vectors reduced, the other directions replaced by normals.
//!
//! Thin or skewed cells have many images within a cutoff when counted along their own vectors. The shortest vectors
//! of the same lattice (Minkowski reduction) need the fewest. Non-periodic cell vectors do not matter for neighbors;
//! unit vectors normal to the periodic ones take their place, so that a molecule needs no cell at all.

use super::{Matrix, Vector};

/// Lattice of the periodic directions of a structure.
#[derive(Debug, Clone)]
pub struct PeriodicCell {
    /// Reduced vectors in the periodic slots, unit normals in the others; rows are vectors.
    pub vectors: Matrix,
    /// Inverse of `vectors`: `position . inverse` gives coordinates along the rows.
    pub inverse: Matrix,
    /// Which slots are periodic.
    pub pbc: [bool; 3],
    /// Distance of the lattice planes of each slot in Å (1 in non-periodic slots).
    pub heights: Vector,
    /// `vectors[k] = sum_d reduction[k][d] cell[d]` for the periodic slots.
    pub reduction: [[i64; 3]; 3],
}

/// A lattice vector and its integer coordinates along the user's cell vectors.
#[derive(Debug, Clone, Copy)]
struct Row {
    vector: Vector,
    integers: [i64; 3],
}

impl PeriodicCell {
    /// Reduces a cell; `None` if its periodic vectors are linearly dependent.
    #[must_use]
    pub fn new(matrix: &Matrix, pbc: [bool; 3]) -> Option<Self> {
        let slots: Vec<usize> = (0..3).filter(|&d| pbc[d]).collect();
        let mut rows: Vec<Row> = slots
            .iter()
            .map(|&d| {
                let mut integers = [0; 3];
                integers[d] = 1;
                Row { vector: matrix[d], integers }
            })
            .collect();
        let mut vectors = with_normals(matrix, pbc)?;
        let mut reduction = [[0; 3]; 3];
        reduce(&mut rows, matrix);
        for (&slot, row) in slots.iter().zip(&rows) {
            vectors[slot] = row.vector;
            reduction[slot] = row.integers;
        }
        let inverse = invert(&vectors)?;
        let heights = std::array::from_fn(|k| 1.0 / norm([inverse[0][k], inverse[1][k], inverse[2][k]]));
        Some(Self { vectors, inverse, pbc, heights, reduction })
    }

    /// Volume of the periodic part: length, area or volume of the cell in Å, Å^2 or Å^3; `None` without pbc.
    #[must_use]
    pub fn periodic_volume(&self) -> Option<f64> {
        self.pbc.contains(&true).then(|| determinant(&self.vectors).abs())
    }
}

/// Greedy reduction in up to three dimensions (Semaev 2001): the shortest vectors come first.
fn reduce(rows: &mut [Row], matrix: &Matrix) {
    loop {
        rows.sort_by(|a, b| dot(a.vector, a.vector).total_cmp(&dot(b.vector, b.vector)));
        let mut changed = false;
        for k in 1..rows.len() {
            let (shorter, rest) = rows.split_at_mut(k);
            changed |= subtract_nearest(&mut rest[0], shorter, matrix);
        }
        if !changed {
            return;
        }
    }
}

/// Replaces `row` by its shortest translate by combinations of one or two (already reduced) shorter vectors.
fn subtract_nearest(row: &mut Row, shorter: &[Row], matrix: &Matrix) -> bool {
    let guess: [f64; 2] = match shorter {
        [a] => [dot(row.vector, a.vector) / dot(a.vector, a.vector), 0.0],
        [a, b] => {
            let (aa, ab, bb) = (dot(a.vector, a.vector), dot(a.vector, b.vector), dot(b.vector, b.vector));
            let (ra, rb) = (dot(row.vector, a.vector), dot(row.vector, b.vector));
            let det = aa * bb - ab * ab;
            if det <= 1e-14 * aa * bb {
                return false;
            }
            [(ra * bb - rb * ab) / det, (rb * aa - ra * ab) / det]
        }
        _ => return false,
    };
    // A zero vector (of a singular cell) or a ratio without digits cannot be reduced further.
    if !guess.iter().all(|x| x.abs() < 1e15) {
        return false;
    }
    let mut best: Option<Row> = None;
    let mut shortest = dot(row.vector, row.vector) * (1.0 - 1e-12);
    for first in -1..=1 {
        for second in -1..=1 {
            let mut integers = row.integers;
            for ((other, x), step) in shorter.iter().zip(guess).zip([first, second]) {
                let times = x.round() as i64 + step;
                for d in 0..3 {
                    integers[d] -= times * other.integers[d];
                }
            }
            // From the integers, so that rounding never accumulates.
            let vector = combine(&integers, matrix);
            if dot(vector, vector) < shortest {
                shortest = dot(vector, vector);
                best = Some(Row { vector, integers });
            }
        }
    }
    if let Some(better) = best {
        *row = better;
    }
    best.is_some()
}

/// Integer combination of the rows of a matrix.
fn combine(integers: &[i64; 3], matrix: &Matrix) -> Vector {
    std::array::from_fn(|x| (0..3).map(|d| integers[d] as f64 * matrix[d][x]).sum())
}

/// The periodic vectors, and orthonormal vectors normal to them in the other slots; `None` if they are dependent.
fn with_normals(matrix: &Matrix, pbc: [bool; 3]) -> Option<Matrix> {
    let mut vectors = *matrix;
    let mut basis: Vec<Vector> = Vec::with_capacity(3);
    for d in (0..3).filter(|&d| pbc[d]) {
        let v = project_out(matrix[d], &basis);
        let length = norm(v);
        // What rounding leaves of a dependent vector is about 1e-16 of it.
        if length <= 1e-12 * norm(matrix[d]) || length < 1e-6 {
            return None;
        }
        basis.push(v.map(|x| x / length));
    }
    for d in (0..3).filter(|&d| !pbc[d]) {
        let unit = |axis: usize| std::array::from_fn(|x| f64::from(u8::from(x == axis)));
        let normal = (0..3)
            .map(|step| project_out(unit((d + step) % 3), &basis))
            .max_by(|a, b| dot(*a, *a).total_cmp(&dot(*b, *b)))?;
        let length = norm(normal);
        vectors[d] = normal.map(|x| x / length);
        basis.push(vectors[d]);
    }
    Some(vectors)
}

/// The part of `v` normal to an orthonormal set; projected twice, for orthogonality to rounding.
fn project_out(mut v: Vector, basis: &[Vector]) -> Vector {
    for b in basis.iter().chain(basis) {
        let along = dot(v, *b);
        v = std::array::from_fn(|x| v[x] - along * b[x]);
    }
    v
}

pub(crate) fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn norm(a: Vector) -> f64 {
    dot(a, a).sqrt()
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn determinant(m: &Matrix) -> f64 {
    dot(m[0], cross(m[1], m[2]))
}

fn invert(m: &Matrix) -> Option<Matrix> {
    let det = determinant(m);
    if !(det.is_normal()) {
        return None;
    }
    let columns = [cross(m[1], m[2]), cross(m[2], m[0]), cross(m[0], m[1])];
    Some(std::array::from_fn(|x| std::array::from_fn(|k| columns[k][x] / det)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skewed_cells_reduce_to_the_cubic_one() {
        let skewed = [[4.0, 0.0, 0.0], [4.0 * 7.0, 4.0, 0.0], [4.0 * -13.0, 4.0 * 5.0, -4.0]];
        let cell = PeriodicCell::new(&skewed, [true; 3]).unwrap();
        for (row, integers) in cell.vectors.iter().zip(&cell.reduction) {
            assert!((norm(*row) - 4.0).abs() < 1e-12);
            assert_eq!(combine(integers, &skewed), *row);
        }
        assert!((cell.periodic_volume().unwrap() - 64.0).abs() < 1e-9);
    }

    #[test]
    fn normals_complete_a_slab() {
        let slab = [[3.0, 0.0, 1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 5.0]];
        let cell = PeriodicCell::new(&slab, [true, false, true]).unwrap();
        assert!((cell.vectors[1][1].abs() - 1.0).abs() < 1e-15);
        assert!((cell.heights[1] - 1.0).abs() < 1e-15);
    }

    #[test]
    fn dependent_vectors_are_singular() {
        let flat = [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 0.0, 1.0]];
        assert!(PeriodicCell::new(&flat, [true; 3]).is_none());
        let plane = [[1.0, 0.3, 0.0], [0.2, 1.1, 0.0], [0.7, -0.9, 0.0]];
        assert!(PeriodicCell::new(&plane, [true; 3]).is_none());
        assert!(PeriodicCell::new(&[[0.0; 3]; 3], [false; 3]).is_some());
    }
}
