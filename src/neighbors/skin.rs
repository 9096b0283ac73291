//! Neighbors that are remembered: all pairs within the cutoff and a skin, good until an atom has crossed half the skin.
//!
//! For molecular dynamics, where atoms move a little from step to step. What is found is what a fresh search finds; only
//! the order of the neighbors, and hence the last bits of sums over them, depend on when the pairs were last listed.

use std::ops::Range;

use super::neighborhood::{Gathered, Gathering, Source};
use super::{CellList, Neighborhood, cell_shift, check};
use crate::error::{Error, Result};
use crate::memory::{Grow, collected};
use crate::parallel::{Interrupt, Waves};
use crate::simd::{Kernel, Level, Simd};
use crate::structure::{Batch, Frame, Matrix, Vector};

/// The pairs of one structure within a cutoff and a skin.
#[derive(Debug, Clone)]
pub struct SkinList {
    cutoff: f64,
    skin: f64,
    /// What the pairs were listed for.
    positions: Vec<Vector>,
    matrix: Matrix,
    pbc: [bool; 3],
    /// Where the pairs of each center start. [center + 1]
    starts: Vec<usize>,
    /// Neighbor of each pair. `[pair]`
    atoms: Vec<u32>,
    /// Its lattice shift. `[pair]`
    shifts: Vec<[i32; 3]>,
    /// Centers in the order in which a search is fastest.
    visits: Vec<u32>,
}

impl SkinList {
    /// Lists the pairs of a structure.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for a skin that is not a length; else as [`CellList::new`] and
    /// [`super::Search::around`].
    pub fn new(frame: &Frame<'_>, cutoff: f64, skin: f64, interrupt: Interrupt<'_>) -> Result<Self> {
        check_skin(skin)?;
        check(frame, cutoff)?;
        let cells = CellList::new(*frame, cutoff + skin)?;
        let n = frame.positions.len();
        let mut list = Self {
            cutoff,
            skin,
            positions: collected(frame.positions.iter().copied())?,
            matrix: *frame.matrix,
            pbc: frame.cell.pbc,
            starts: Vec::new(),
            atoms: Vec::new(),
            shifts: Vec::new(),
            visits: collected(cells.spatial_order().iter().copied())?,
        };
        list.starts.make_room(n + 1)?;
        list.starts.push(0);
        let tasks = (0..n).step_by(TASK).map(|first| first..n.min(first + TASK));
        let work = |centers| Level::detect().run(Listing { cells: &cells, centers });
        Waves::new()?.run(tasks, work, |part| list.append(&part), interrupt)?;
        Ok(list)
    }

    fn append(&mut self, part: &Listed) -> Result<()> {
        for count in &part.counts {
            self.starts.push(self.starts[self.starts.len() - 1] + count);
        }
        self.atoms.try_extend(part.atoms.iter().copied())?;
        self.shifts.try_extend(part.shifts.iter().copied())
    }

    /// Whether the list holds all pairs within the cutoff of a structure: that of the list, in the same cell, with no atom
    /// moved by more than half the skin.
    #[must_use]
    pub fn serves(&self, frame: &Frame<'_>, cutoff: f64) -> bool {
        let same = self.cutoff == cutoff
            && self.matrix == *frame.matrix
            && self.pbc == frame.cell.pbc
            && self.positions.len() == frame.positions.len();
        // A margin for rounding, far below what the skin is for.
        let most = (0.5 * self.skin * (1.0 - 1e-9)).powi(2);
        let near = |(a, b): (&Vector, &Vector)| (0..3).map(|x| (a[x] - b[x]).powi(2)).sum::<f64>() <= most;
        same && self.positions.iter().zip(frame.positions).all(near)
    }

    pub(super) fn visits(&self) -> &[u32] {
        &self.visits
    }
}

impl Source for SkinList {
    fn shared_by(&self, _: usize) -> Option<Gathering> {
        None
    }

    /// The center itself first.
    fn gather(&self, frame: &Frame<'_>, center: usize, out: &mut Gathered) -> Result<()> {
        let pairs = self.starts[center]..self.starts[center + 1];
        let (atoms, shifts) = (&self.atoms[pairs.clone()], &self.shifts[pairs]);
        out.points.resize(atoms.len() + 1)?;
        out.points.set(0, frame.positions[center], [0.0; 3]);
        out.atoms.try_extend([center as u32])?;
        for k in 0..atoms.len() {
            let moved = shifts[k] != [0; 3];
            let shift = if moved { cell_shift(shifts[k].map(i64::from), frame.matrix) } else { [0.0; 3] };
            out.points.set(k + 1, frame.positions[atoms[k] as usize], shift);
        }
        out.atoms.try_extend(atoms.iter().copied())?;
        out.points.seal()
    }

    fn shifts(&self, center: usize, _: &Gathered, slots: &[u32], out: &mut [[i64; 3]]) {
        let first = self.starts[center];
        for (&slot, to) in slots.iter().zip(out) {
            let pair = (slot as usize).checked_sub(1);
            *to = pair.map_or([0; 3], |pair| self.shifts[first + pair].map(i64::from));
        }
    }
}

/// Fills a list center by center.
/// Centers of one task.
const TASK: usize = 128;

/// The pairs of some centers.
#[derive(Debug, Default)]
struct Listed {
    /// How many each center has.
    counts: Vec<usize>,
    atoms: Vec<u32>,
    shifts: Vec<[i32; 3]>,
}

struct Listing<'s, 'a> {
    cells: &'s CellList<'a>,
    centers: Range<usize>,
}

impl Kernel for Listing<'_, '_> {
    type Output = Result<Listed>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<Listed> {
        let Self { cells, centers } = self;
        let mut scratch = Neighborhood::default();
        let mut search = cells.search(&mut scratch);
        let mut list = Listed::default();
        let mut shifts = Vec::new();
        for center in centers {
            search.around(s, center)?;
            let n = search.len();
            shifts.try_resize(n, [0; 3])?;
            search.shifts_into(&mut shifts);
            list.atoms.make_room(n)?;
            list.shifts.make_room(n)?;
            for pair in 0..n {
                list.atoms.push(search.atom(pair));
                // Atoms are at most 2^29 cells away; see `CellList::new`.
                list.shifts.push([shifts[pair][0] as i32, shifts[pair][1] as i32, shifts[pair][2] as i32]);
            }
            list.counts.push(n);
        }
        Ok(list)
    }
}

/// Remembered pairs of the structures of a batch, listed anew when they no longer serve.
#[derive(Debug, Clone)]
pub struct SkinLists {
    skin: f64,
    lists: Vec<SkinList>,
    n_listed: usize,
}

impl SkinLists {
    /// No pairs yet.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for a skin that is not a length.
    pub fn new(skin: f64) -> Result<Self> {
        check_skin(skin)?;
        Ok(Self { skin, lists: Vec::new(), n_listed: 0 })
    }

    /// Lists, for each structure of a batch, that hold its pairs within a cutoff.
    ///
    /// # Errors
    /// As [`SkinList::new`].
    pub fn update(&mut self, batch: &Batch, cutoff: f64, interrupt: Interrupt<'_>) -> Result<&[SkinList]> {
        let mut old = std::mem::take(&mut self.lists).into_iter();
        self.lists.make_room(batch.n_frames())?;
        for frame in batch.frames() {
            let list = if let Some(list) = old.next().filter(|list| list.serves(&frame, cutoff)) {
                list
            } else {
                self.n_listed += 1;
                SkinList::new(&frame, cutoff, self.skin, interrupt)?
            };
            self.lists.push(list);
        }
        Ok(&self.lists)
    }

    /// The skin in Å.
    #[must_use]
    pub fn skin(&self) -> f64 {
        self.skin
    }

    /// How many times the pairs of a structure were listed.
    #[must_use]
    pub fn n_listed(&self) -> usize {
        self.n_listed
    }
}

fn check_skin(skin: f64) -> Result<()> {
    if skin > 0.0 && skin.is_finite() {
        return Ok(());
    }
    Err(Error::BadParameter { name: "skin", requirement: "a positive length in Å", value: skin.to_string() })
}
