//! Every pair of atoms and every image that could be near: the oracle. Cost: atoms^2 x images.

use super::{COINCIDENT, PairList, check, separation};
use crate::error::{Error, Result};
use crate::memory::Grow;
use crate::parallel::Interrupt;
use crate::structure::{Frame, dot};

/// All pairs within a cutoff by trying them all.
///
/// The images tried are those along the user's own cell vectors, so this shares neither the cell reduction nor the
/// grid with [`super::CellList`]. Slow on purpose: for tests, and as the baseline of the benches.
///
/// # Errors
/// As [`super::CellList::new`].
pub fn brute_force(frame: &Frame<'_>, cutoff: f64) -> Result<PairList> {
    brute_force_until(frame, cutoff, &mut || false)
}

/// [`brute_force`], which asks before each center whether to stop.
///
/// # Errors
/// As there, or [`Error::Interrupted`].
pub fn brute_force_until(frame: &Frame<'_>, cutoff: f64, interrupt: Interrupt<'_>) -> Result<PairList> {
    check(frame, cutoff)?;
    let reach = images_per_vector(frame, cutoff);
    let mut pairs = PairList::default();
    for (i, &from) in frame.positions.iter().enumerate() {
        if interrupt() {
            return Err(Error::Interrupted);
        }
        for (j, &to) in frame.positions.iter().enumerate() {
            for a in -reach[0]..=reach[0] {
                for b in -reach[1]..=reach[1] {
                    for c in -reach[2]..=reach[2] {
                        let shift = [a, b, c].map(i64::from);
                        if i == j && shift == [0; 3] {
                            continue;
                        }
                        let vector = separation(from, to, shift, frame.matrix);
                        let distance2 = dot(vector, vector);
                        let distance = distance2.sqrt();
                        if distance < COINCIDENT {
                            let structure = frame.structure;
                            return Err(Error::CoincidentAtoms { structure, first: i, second: j, distance });
                        }
                        if distance2 < cutoff * cutoff {
                            pairs.centers.try_extend([i as i64])?;
                            pairs.neighbors.try_extend([j as i64])?;
                            pairs.shifts.try_extend([shift])?;
                            pairs.vectors.try_extend([vector])?;
                            pairs.distances.try_extend([distance])?;
                        }
                    }
                }
            }
        }
    }
    Ok(pairs)
}

/// How many images along each cell vector can bring any two atoms of the frame together: the plane spacing bounds
/// `|S_d| <= (rc + extent_d) / height_d`, where the extent is the spread of the (perhaps unwrapped) positions.
fn images_per_vector(frame: &Frame<'_>, cutoff: f64) -> [i32; 3] {
    let pbc = frame.cell.pbc;
    // Normals of the user's own periodic vectors: columns of the pseudo-inverse, by Gram-Schmidt on the others.
    std::array::from_fn(|d| {
        if !pbc[d] {
            return 0;
        }
        let mut normal = frame.matrix[d];
        let mut basis: Vec<[f64; 3]> = Vec::new();
        for other in (0..3).filter(|&o| o != d && pbc[o]) {
            let mut v = frame.matrix[other];
            remove(&mut v, &basis);
            remove(&mut v, &basis);
            let length = dot(v, v).sqrt();
            basis.push(v.map(|x| x / length));
        }
        remove(&mut normal, &basis);
        remove(&mut normal, &basis);
        let height = dot(normal, normal).sqrt();
        let unit = normal.map(|x| x / height);
        let along = || frame.positions.iter().map(|p| dot(*p, unit));
        let extent = along().fold(f64::NEG_INFINITY, f64::max) - along().fold(f64::INFINITY, f64::min);
        ((cutoff + extent.max(0.0)) / height).ceil() as i32
    })
}

fn remove(v: &mut [f64; 3], basis: &[[f64; 3]]) {
    for b in basis {
        let along = dot(*v, *b);
        for x in 0..3 {
            v[x] -= along * b[x];
        }
    }
}
