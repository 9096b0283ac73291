//! The pairs of a structure as arrays, center by center.
//!
//! Made in two passes, one that counts and one that fills: every array is then allocated once, at its size, by whoever
//! wants it, and its parts can be filled in parallel. Large arrays cost more in fresh memory than in searching.

use super::{CellList, Neighborhood, Search};
use crate::error::Result;
use crate::memory::{Grow, filled};
use crate::parallel::{Interrupt, Waves};
use crate::simd::{Kernel, Level, Simd};
use crate::structure::{Frame, Vector};

/// Full neighbor list of one structure: every pair stands in it twice, once per center; centers are in rising order.
///
/// Integers are 64 bits wide, as numpy's indices are.
#[derive(Debug, Clone, Default)]
pub struct PairList {
    /// Center of each pair. `[pair]`
    pub centers: Vec<i64>,
    /// Neighbor of each pair. `[pair]`
    pub neighbors: Vec<i64>,
    /// Lattice shift `S` of the neighbor. `[pair]`
    pub shifts: Vec<[i64; 3]>,
    /// `r_ij` in Å. `[pair]`
    pub vectors: Vec<Vector>,
    /// `|r_ij|` in Å. `[pair]`
    pub distances: Vec<f64>,
}

/// Arrays to fill, those that are wanted; each of the length that [`count_pairs`] tells.
#[derive(Debug, Default)]
pub struct PairArrays<'o> {
    /// Center of each pair. `[pair]`
    pub centers: Option<&'o mut [i64]>,
    /// Neighbor of each pair. `[pair]`
    pub neighbors: Option<&'o mut [i64]>,
    /// Lattice shift of the neighbor. `[pair]`
    pub shifts: Option<&'o mut [[i64; 3]]>,
    /// `r_ij`. `[pair]`
    pub vectors: Option<&'o mut [Vector]>,
    /// `|r_ij|`. `[pair]`
    pub distances: Option<&'o mut [f64]>,
}

/// Centers of one task.
const TASK: usize = 128;

impl PairList {
    /// All pairs of a structure within a cutoff.
    ///
    /// # Errors
    /// As [`CellList::new`] and [`Search::around`].
    pub fn new(frame: &Frame<'_>, cutoff: f64) -> Result<Self> {
        let cells = CellList::new(*frame, cutoff)?;
        let counts = count_pairs(&cells, &mut || false)?;
        let n = counts.iter().sum();
        let mut list = Self {
            centers: filled(n, 0)?,
            neighbors: filled(n, 0)?,
            shifts: filled(n, [0; 3])?,
            vectors: filled(n, [0.0; 3])?,
            distances: filled(n, 0.0)?,
        };
        let arrays = PairArrays {
            centers: Some(&mut list.centers),
            neighbors: Some(&mut list.neighbors),
            shifts: Some(&mut list.shifts),
            vectors: Some(&mut list.vectors),
            distances: Some(&mut list.distances),
        };
        fill_pairs(&cells, &counts, arrays, &mut || false)?;
        Ok(list)
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
}

/// Number of neighbors of every center.
///
/// # Errors
/// As [`Search::around`].
pub fn count_pairs(cells: &CellList<'_>, interrupt: Interrupt<'_>) -> Result<Vec<usize>> {
    let count = |centers| Ok((centers, Level::detect().run(Count { cells, centers })?));
    let mut counts = filled(cells.len(), 0)?;
    let merge = |(centers, found): (&[u32], Vec<usize>)| {
        for (&center, n) in centers.iter().zip(found) {
            counts[center as usize] = n;
        }
        Ok(())
    };
    Waves::new()?.run(cells.spatial_order().chunks(TASK), count, merge, interrupt)?;
    Ok(counts)
}

/// Fills arrays with the pairs; `counts` is what [`count_pairs`] returned.
///
/// # Errors
/// As [`Search::around`].
///
/// # Panics
/// If an array has not the length that the counts tell.
pub fn fill_pairs(
    cells: &CellList<'_>,
    counts: &[usize],
    mut arrays: PairArrays<'_>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let mut of_center = Vec::new();
    of_center.make_room(counts.len())?;
    for &count in counts {
        let (first, rest) = arrays.split_at(count);
        of_center.push(Some(first));
        arrays = rest;
    }
    let tasks = cells.spatial_order().chunks(TASK).map(|centers| {
        let parts = centers.iter().filter_map(|&center| of_center[center as usize].take()).collect();
        Fill { cells, centers, parts }
    });
    Waves::new()?.run(tasks, |fill| Level::detect().run(fill), Ok, interrupt)
}

impl PairArrays<'_> {
    fn split_at(self, n: usize) -> (Self, Self) {
        fn cut<T>(slice: Option<&mut [T]>, n: usize) -> (Option<&mut [T]>, Option<&mut [T]>) {
            slice.map(|slice| slice.split_at_mut(n)).unzip()
        }
        let (centers, neighbors) = (cut(self.centers, n), cut(self.neighbors, n));
        let (shifts, vectors, distances) =
            (cut(self.shifts, n), cut(self.vectors, n), cut(self.distances, n));
        (
            Self {
                centers: centers.0,
                neighbors: neighbors.0,
                shifts: shifts.0,
                vectors: vectors.0,
                distances: distances.0,
            },
            Self {
                centers: centers.1,
                neighbors: neighbors.1,
                shifts: shifts.1,
                vectors: vectors.1,
                distances: distances.1,
            },
        )
    }

    /// Writes the neighbors of one center, one array after the other.
    #[inline(always)]
    fn write(&mut self, search: &Search<'_, '_>) {
        let n = search.len();
        let ([x, y, z], distances2) = search.columns();
        if let Some(out) = &mut self.centers {
            out.fill(search.center() as i64);
        }
        if let Some(out) = &mut self.neighbors {
            for pair in 0..n {
                out[pair] = i64::from(search.atom(pair));
            }
        }
        if let Some(out) = &mut self.shifts {
            search.shifts_into(out);
        }
        if let Some(out) = &mut self.vectors {
            for pair in 0..n {
                out[pair] = [x[pair], y[pair], z[pair]];
            }
        }
        if let Some(out) = &mut self.distances {
            for pair in 0..n {
                out[pair] = distances2[pair].sqrt();
            }
        }
    }
}

/// Counts the neighbors of some centers.
struct Count<'s, 'a> {
    cells: &'s CellList<'a>,
    centers: &'s [u32],
}

impl Kernel for Count<'_, '_> {
    type Output = Result<Vec<usize>>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<Vec<usize>> {
        let mut scratch = Neighborhood::default();
        let mut search = self.cells.search(&mut scratch);
        let mut counts = Vec::with_capacity(self.centers.len());
        for &center in self.centers {
            counts.push(search.count(s, center as usize)?);
        }
        Ok(counts)
    }
}

/// Writes the neighbors of some centers, each to its part of the arrays.
struct Fill<'s, 'a, 'o> {
    cells: &'s CellList<'a>,
    centers: &'s [u32],
    parts: Vec<PairArrays<'o>>,
}

impl Kernel for Fill<'_, '_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<()> {
        let mut scratch = Neighborhood::default();
        let mut search = self.cells.search(&mut scratch);
        for (&center, mut part) in self.centers.iter().zip(self.parts) {
            search.around(s, center as usize)?;
            part.write(&search);
        }
        Ok(())
    }
}
