//! Rows of features that have sums over pairs: with F the features summed over the structure, separately for each center
//! species, the row of atom k is
//!
//! `dF/dr_k = sum_j dF_j/dc_j . dc_j/dr_jk - dF_k/dc_k . sum_j dc_k/dr_kj`
//!
//! a gather: k is a neighbor of the centers j, which are its own neighbors, and a center itself. All writes go to the
//! three rows of k. Coefficients of all centers are made first. Images of k move with it and add nothing to its rows.

use std::ops::Range;

use super::columns::{Columns, STRAINS};
use super::tasks::{Job, Task, drive_structure};
use crate::density::{
    Accumulate, Backward, Block, Component, DensityPlan, Evaluate, Expand, Lanes, PAIRS, PairRun, Reversed,
    Scratch, Workspace,
};
use crate::error::Result;
use crate::invariants::{self, Invariant, PairSums};
use crate::memory::{Grow, collected, filled};
use crate::neighbors::{NeighborList, Search};
use crate::parallel::Interrupt;
use crate::simd::{self, Simd};
use crate::structure::{Frame, Matrix, Vector};

/// Fills `rows` [atom, 3, column], and adds the strain rows to `strain` [component, column].
#[expect(clippy::too_many_arguments, reason = "a structure, how it is expanded, and where its rows go")]
pub(super) fn gather(
    frame: Frame<'_>,
    neighbors: &NeighborList<'_>,
    plan: &DensityPlan,
    species: &[u32],
    (invariant, sums): (&dyn Invariant, &dyn PairSums),
    columns: &Columns,
    rows: &mut [f64],
    strain: &mut [f64],
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let stride = (0..plan.species().len()).map(|a| plan.center(a).layout.padded_len()).max().unwrap_or(0);
    let mut coefficients = filled(species.len() * stride, 0.0)?;
    let structure = frame.structure;
    let padded = collected(coefficients.chunks_exact_mut(stride.max(1)))?;
    let nothing: &mut dyn FnMut(Vec<()>) -> Result<()> = &mut |_| Ok(());
    drive_structure(structure, neighbors, plan, species, 1, &Padded { plan }, padded, nothing, interrupt)?;
    let origin = frame.positions[0];
    let job = Rows { plan, invariant, sums, frame, origin, columns, coefficients, stride };
    let items = collected(rows.chunks_exact_mut(3 * columns.n()))?;
    let mut merge = |wave: Vec<Vec<f64>>| {
        for part in wave {
            strain.iter_mut().zip(part).for_each(|(to, more)| *to += more);
        }
        Ok(())
    };
    drive_structure(structure, neighbors, plan, species, 1, &job, items, &mut merge, interrupt)
}

/// Coefficients of all centers of a structure as the kernel has them. `[atom][stride]`
struct Padded<'j> {
    plan: &'j DensityPlan,
}

impl Job for Padded<'_> {
    type Item<'o> = &'o mut [f64];
    type Memory = Workspace;
    type Output = ();

    fn memory(&self) -> Result<Workspace> {
        Workspace::new(self.plan)
    }

    fn run(&self, Workspace { near, scratch }: &mut Workspace, task: Task<'_, &mut [f64]>) -> Result<()> {
        let plan = self.plan;
        for part in task {
            let mut search = part.neighbors.search(plan.weight.cutoff.radius(), near);
            for (center, row) in part.centers {
                let (species, center) = (part.species, center as usize);
                plan.level.run(Expand { scratch, plan, search: &mut search, species, center })?;
                let n = plan.center(species[center] as usize).layout.padded_len();
                row[..n].copy_from_slice(&scratch.coefficients[..n]);
            }
        }
        Ok(())
    }
}

/// Fills the rows of every atom.
struct Rows<'d> {
    plan: &'d DensityPlan,
    invariant: &'d dyn Invariant,
    sums: &'d dyn PairSums,
    frame: Frame<'d>,
    /// What positions are counted from, so that they are no larger than the structure.
    origin: Vector,
    columns: &'d Columns,
    /// Padded coefficients. `[atom][stride]`
    coefficients: Vec<f64>,
    stride: usize,
}

/// Scratch memory of one thread.
struct Memory {
    workspace: Workspace,
    sums: PairMemory,
    features: invariants::Memory,
}

/// Sums over the pairs of one center.
#[derive(Debug, Default)]
struct PairMemory {
    lanes: Lanes,
    reversed: Reversed,
    scaled: [Vec<f64>; 2],
    /// Translation of every neighbor. `[pair]`
    translations: Vec<Vector>,
    across_border: AcrossBorder,
    /// Lattice shift of each pair of the center.
    shifts: Vec<[i64; 3]>,
    /// Whether a pair of the center has a translation.
    crosses: bool,
    /// Derivatives of the center's coefficients by its own position, with the opposite sign, then the second sum of
    /// those by the strain. `[xyz, then strain][padded]`
    deltas: [Vec<f64>; 12],
}

/// Weights of the pairs of a block in the second sum of the strain.
#[derive(Debug)]
struct AcrossBorder {
    /// `u_x t_y`. `[strain][pair]`
    along: [[f64; PAIRS]; 9],
    /// `t_y / r`. `[xyz][pair]`
    across: [[f64; PAIRS]; 3],
}

impl Default for AcrossBorder {
    fn default() -> Self {
        Self { along: [[0.0; PAIRS]; 9], across: [[0.0; PAIRS]; 3] }
    }
}

impl PairMemory {
    /// Zeros the sums and orders the neighbors of a center by species, those across a border last in each.
    fn begin(
        &mut self,
        search: &Search<'_, '_>,
        matrix: &Matrix,
        species: &[u32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        for delta in &mut self.deltas {
            delta.fill(0.0);
        }
        self.translations.clear();
        self.shifts.try_resize(search.len(), [0; 3])?;
        search.shifts_into(&mut self.shifts);
        self.translations.try_extend(self.shifts.iter().map(|shift| {
            let [a, b, c] = shift.map(|n| n as f64);
            [0, 1, 2].map(|x| a * matrix[0][x] + b * matrix[1][x] + c * matrix[2][x])
        }))?;
        self.crosses = self.translations.iter().any(|&t| t != [0.0; 3]);
        let keys = |pair: u32| {
            let crosses = self.translations[pair as usize] != [0.0; 3];
            (species[search.atom(pair as usize) as usize], crosses)
        };
        scratch.order.clear();
        scratch.order.try_extend(0..search.len() as u32)?;
        scratch.order.sort_by_key(|&pair| keys(pair));
        scratch.kinds.clear();
        scratch.kinds.try_extend(scratch.order.iter().map(|&pair| keys(pair).0))
    }

    /// Geometry of the pairs of a block.
    fn load(&mut self, search: &Search<'_, '_>, order: &[u32], block: &Block, stride: usize) {
        self.lanes.load(search, order, block, stride);
        for (lane, &pair) in order.iter().enumerate() {
            let translation = self.translations[pair as usize];
            for (along, [x, y]) in self.across_border.along.iter_mut().zip(STRAINS) {
                along[lane] = block.units[x][lane] * translation[y];
            }
            for y in 0..3 {
                self.across_border.across[y][lane] = translation[y] / block.distances[lane];
            }
        }
    }

    /// The pairs of a run that cross a border.
    fn crossing(&self, order: &[u32], range: Range<usize>) -> Range<usize> {
        let before =
            order[range.clone()].partition_point(|&pair| self.translations[pair as usize] == [0.0; 3]);
        range.start + before..range.end
    }
}

/// The neighbors of one center, in no order.
struct Neighbors<'e, 's, 'a> {
    search: &'e mut Search<'s, 'a>,
    center: usize,
}

impl simd::Kernel for Neighbors<'_, '_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<()> {
        self.search.around(s, self.center)
    }
}

impl Job for Rows<'_> {
    type Item<'o> = &'o mut [f64];
    type Memory = Memory;
    /// Derivatives by the strain. [component][column]
    type Output = Vec<f64>;
    const CENTERS: usize = 8;

    fn memory(&self) -> Result<Memory> {
        Ok(Memory {
            workspace: Workspace::new(self.plan)?,
            sums: PairMemory::default(),
            features: self.invariant.memory()?,
        })
    }

    fn run(&self, memory: &mut Memory, task: Task<'_, &mut [f64]>) -> Result<Vec<f64>> {
        let Memory { workspace: Workspace { near, scratch }, sums, features } = memory;
        let mut strain = filled(self.n_strains() * self.columns.n(), 0.0)?;
        for part in task {
            let mut search = part.neighbors.search(self.plan.weight.cutoff.radius(), near);
            for (center, rows) in part.centers {
                let (search, center) = (&mut search, center as usize);
                self.plan.level.run(Neighbors { search, center })?;
                self.center(scratch, search, part.species, rows, &mut strain, sums, features)?;
            }
        }
        Ok(strain)
    }
}

/// How many neighbors of the same species come first.
fn run_length(kinds: &[u32]) -> usize {
    let mut n = 1;
    while n < kinds.len() && kinds[n] == kinds[0] {
        n += 1;
    }
    n
}

impl Rows<'_> {
    /// Components of the strain that are computed; what is missing is the same as its transpose.
    fn n_strains(&self) -> usize {
        if self.invariant.is_invariant() { 6 } else { 9 }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a center, where its rows go, and the memory of its worker"
    )]
    fn center(
        &self,
        scratch: &mut Scratch,
        search: &Search<'_, '_>,
        species: &[u32],
        rows: &mut [f64],
        strain: &mut [f64],
        memory: &mut PairMemory,
        features: &mut invariants::Memory,
    ) -> Result<()> {
        let (plan, center) = (self.plan, search.center());
        let own = species[center] as usize;
        let kind = plan.center(own);
        for delta in &mut memory.deltas {
            delta.try_resize(self.stride, 0.0)?;
        }
        memory.begin(search, self.frame.matrix, species, scratch)?;
        rows.fill(0.0);
        let mut before = None;
        for (order, kinds) in scratch.order.chunks(PAIRS).zip(scratch.kinds.chunks(PAIRS)) {
            let (block, backward) = (&mut scratch.block, &mut scratch.backward);
            plan.level.run(Evaluate { plan, kind, search, order, kinds, block, backward })?;
            memory.load(search, order, &scratch.block, self.stride);
            let mut start = 0;
            while start < kinds.len() {
                let a = kinds[start] as usize;
                let range = start..start + run_length(&kinds[start..]);
                start = range.end;
                if let Some(b) = before.filter(|&b| b != a) {
                    self.close(b, own, rows, features)?;
                }
                before = Some(a);
                let crossing = memory.crossing(order, range.clone());
                let (block, backward) = (&scratch.block, &scratch.backward);
                self.add_run([own, a], [range, crossing], block, backward, memory, features)?;
            }
        }
        if let Some(b) = before {
            self.close(b, own, rows, features)?;
        }
        self.add_own(own, center, rows, strain, memory, features)
    }

    /// Adds pairs of the atom with neighbors of one species, from both ends; those of the second range have a
    /// translation.
    fn add_run(
        &self,
        species: [usize; 2],
        [range, crossing]: [Range<usize>; 2],
        block: &Block,
        backward: &Backward,
        memory: &mut PairMemory,
        features: &mut invariants::Memory,
    ) -> Result<()> {
        let plan = self.plan;
        let kind = plan.center(species[0]);
        let n_degrees = self.invariant.n_degrees();
        let PairMemory { lanes, reversed, scaled, across_border, deltas, .. } = memory;
        let (own, strain) = deltas.split_at_mut(3);
        let run = PairRun::new(kind, species, range, block, backward, lanes, &self.coefficients);
        run.add_gradient(plan, n_degrees, scaled, own)?;
        self.sums.add(plan, &reversed.run(plan, &run, block, backward)?, features)?;
        if !crossing.is_empty() {
            let run = run.within(crossing);
            let AcrossBorder { along, across } = &*across_border;
            let component = |k: usize| {
                let [axis, y] = STRAINS[k];
                Component { axis, along: &along[k], across: &across[y] }
            };
            let components: [_; 9] = std::array::from_fn(component);
            let components = &components[..self.n_strains()];
            plan.level.run(Accumulate { run: &run, components, n_degrees, scaled, deltas: strain })?;
        }
        Ok(())
    }

    /// What the atom does as a neighbor of centers of species a.
    fn close(&self, a: usize, own: usize, rows: &mut [f64], features: &mut invariants::Memory) -> Result<()> {
        let (rows, stride) = (&mut rows[self.columns.of(a).start..], self.columns.n());
        self.sums.close(self.plan, [a, own], rows, stride, features)
    }

    /// What the atom does as a center.
    fn add_own(
        &self,
        own: usize,
        center: usize,
        rows: &mut [f64],
        strain: &mut [f64],
        memory: &PairMemory,
        features: &mut invariants::Memory,
    ) -> Result<()> {
        let c = &self.coefficients[center * self.stride..][..self.plan.center(own).layout.padded_len()];
        let (columns, n) = (self.columns.of(own), self.columns.n());
        let (by_position, by_strain) = memory.deltas.split_at(3);
        for (row, delta) in rows.chunks_exact_mut(n).zip(by_position) {
            self.sums.along(self.plan, own, [c, delta], -1.0, &mut row[columns.clone()], features)?;
        }
        for ((to, delta), [x, y]) in strain.chunks_exact_mut(n).zip(by_strain).zip(STRAINS) {
            if memory.crosses {
                self.sums.along(self.plan, own, [c, delta], 1.0, &mut to[columns.clone()], features)?;
            }
            let place = self.frame.positions[center][y] - self.origin[y];
            to.iter_mut().zip(&rows[x * n..]).for_each(|(to, row)| *to += place * row);
        }
        Ok(())
    }
}
