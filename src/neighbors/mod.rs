//! Neighbors of a center: `r_ij = r_j - r_i + S . cell`, `|r_ij| < rc` (the cutoff itself is outside).
//!
//! [`CellList`] is the fast search; [`SkinList`] remembers its pairs from one step of a simulation to the next;
//! [`brute_force()`] is the slow, obvious search that tests and benches compare with. All evaluate the same formula on the
//! positions as given, so that their pairs agree to the bit.
//!
//! What is not guaranteed: the order of the neighbors of one center (it is deterministic, but may change between
//! versions).

mod brute_force;
mod cell_list;
mod grid;
mod list;
mod neighborhood;
mod pair_list;
mod skin;

pub use brute_force::{brute_force, brute_force_until};
pub use cell_list::CellList;
pub use list::NeighborList;
pub use neighborhood::{Neighborhood, Search};
pub use pair_list::{PairArrays, PairList, count_pairs, fill_pairs};
pub use skin::{SkinList, SkinLists};

use crate::error::{Error, Result};
use crate::structure::{Frame, Matrix, Vector};

/// Atoms closer than this (Å) coincide: their direction is rounding noise.
pub const COINCIDENT: f64 = 1e-13;

/// More neighbors than this per atom are taken for a broken cell. Solids have 1e5 within 60 Å.
const MOST_NEIGHBORS: f64 = 1e6;

/// `r_j - r_i + S . cell`: the one formula every search uses.
#[inline(always)]
fn separation(from: Vector, to: Vector, shift: [i64; 3], matrix: &Matrix) -> Vector {
    let mut out = [to[0] - from[0], to[1] - from[1], to[2] - from[2]];
    if shift != [0; 3] {
        let moved = cell_shift(shift, matrix);
        for x in 0..3 {
            out[x] += moved[x];
        }
    }
    out
}

/// `S . cell`.
#[inline(always)]
fn cell_shift(shift: [i64; 3], matrix: &Matrix) -> Vector {
    let [a, b, c] = [shift[0] as f64, shift[1] as f64, shift[2] as f64];
    [0, 1, 2].map(|x| a * matrix[0][x] + b * matrix[1][x] + c * matrix[2][x])
}

/// Refuses cutoffs that are no length and cells so small that the sphere would hold millions of neighbors.
fn check(frame: &Frame<'_>, cutoff: f64) -> Result<()> {
    if !(cutoff > 0.0 && cutoff < 1e6) {
        return Err(Error::BadParameter {
            name: "cutoff",
            requirement: "positive and below 1e6 Å",
            value: cutoff.to_string(),
        });
    }
    let neighbors = neighbors_to_expect(frame, cutoff);
    if neighbors > MOST_NEIGHBORS {
        return Err(Error::TooDense { structure: frame.structure, neighbors, most: MOST_NEIGHBORS });
    }
    Ok(())
}

/// Atoms times images in the cube around the sphere, as if they were spread evenly: an upper bound but for that.
fn neighbors_to_expect(frame: &Frame<'_>, cutoff: f64) -> f64 {
    let along = |d: usize| {
        if frame.cell.pbc[d] {
            return 2.0 * cutoff / frame.cell.heights[d];
        }
        let coordinates =
            || frame.positions.iter().map(|r| (0..3).map(|x| r[x] * frame.cell.inverse[x][d]).sum());
        let low: f64 = coordinates().fold(f64::INFINITY, f64::min);
        let high: f64 = coordinates().fold(f64::NEG_INFINITY, f64::max);
        (2.0 * cutoff / ((high - low) * frame.cell.heights[d])).min(1.0)
    };
    let among = |periodic| (0..3).filter(|&d| frame.cell.pbc[d] == periodic).map(along).product::<f64>();
    let neighbors = frame.positions.len() as f64 * among(true);
    // The extent of the structure matters for millions of atoms only.
    if neighbors > MOST_NEIGHBORS { neighbors * among(false) } else { neighbors }
}
