//! Rows for fitting on forces: derivatives of the features of one structure with respect to its positions and strain.
//!
//! With F the features summed over the structure, separately for each center species, the row of atom k is
//!
//! `dF/dr_k = sum_j dF_j/dc_j . dc_j/dr_jk - dF_k/dc_k . sum_j dc_k/dr_kj`
//!
//! a gather: k is a neighbor of the centers j, which are its own neighbors, and a center itself. All writes go to the
//! three rows of k. Coefficients of all centers are made first. Images of k move with it and add nothing to its rows.
//!
//! With `r -> (1 + strain) r` and `r_ij = r_j - r_i + t_ij` the strain rows are
//!
//! `sum_ij dF_i/dr_ij r_ij = sum_k dF/dr_k (r_k - o) + sum_ij dF_i/dr_ij t_ij`
//!
//! for any origin o, and only pairs across the borders of the cell have a translation t. Both sums are made over the
//! centers in the order of the tasks.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::Coefficients;
use super::adjoint::Backward;
use super::block::{Block, PAIRS};
use super::center::Scratch;
use super::differential::{Accumulate, Component, Differential, Evaluate, Lanes, PairRun, Reversed};
use super::drive::{FillRows, Interrupt, Job, drive_structure};
use super::linear::{AllCoefficients, Linear};
use super::numbers::Numbers;
use super::plan::DensityPlan;
use crate::error::Result;
use crate::memory::{Grow, all_of, collected, filled};
use crate::neighbors::{NeighborList, Search};
use crate::simd::Simd;
use crate::structure::{Batch, Frame, Matrix, Vector};

/// Components of the strain; of invariant features the last three are the same as those before.
const STRAINS: [[usize; 2]; 9] = [[0, 0], [1, 1], [2, 2], [1, 2], [0, 2], [0, 1], [2, 1], [2, 0], [1, 0]];

/// Writes derivatives of the density coefficients of one structure, summed over the centers of each species: `rows`
/// [atom, 3, column] and `strain` [3, 3, column]; columns are those of [`coefficient_row_width`], packed coefficients of each
/// center species in turn.
///
/// # Errors
/// As [`super::density_coefficients`], for this structure.
///
/// # Panics
/// If an array has not its shape.
pub fn coefficient_rows(
    batch: &Batch,
    structure: usize,
    plan: &DensityPlan,
    rows: &mut [f64],
    strain: &mut [f64],
    interrupt: Interrupt<'_>,
) -> Result<()> {
    jacobian_rows(batch, structure, plan, &Linear(AllCoefficients), rows, strain, interrupt)
}

/// Number of columns of [`coefficient_rows`].
#[must_use]
pub fn coefficient_row_width(plan: &DensityPlan) -> usize {
    (0..plan.species().len()).map(|a| plan.center(a).layout.width()).sum()
}

/// As [`coefficient_rows`] for any features; columns [center species, feature].
///
/// # Errors
/// As there.
///
/// # Panics
/// If an array has not its shape.
pub(crate) fn jacobian_rows<D: Differential>(
    batch: &Batch,
    structure: usize,
    plan: &DensityPlan,
    differential: &D,
    rows: &mut [f64],
    strain: &mut [f64],
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let species = plan.species_among(batch, batch.atoms_of(structure))?;
    let mut columns = vec![0];
    for a in 0..plan.species().len() {
        columns.push(columns[a] + differential.width(plan, a));
    }
    let n_columns = columns[plan.species().len()];
    assert!(
        rows.len() == species.len() * 3 * n_columns && strain.len() == 9 * n_columns,
        "arrays of other shapes"
    );
    strain.fill(0.0);
    if rows.is_empty() {
        return Ok(());
    }
    let cells = NeighborList::new(batch.frame(structure), plan.weight.cutoff.radius())?;
    let stride = (0..plan.species().len()).map(|a| plan.center(a).layout.padded_len()).max().unwrap_or(0);
    let coefficients = padded_coefficients(structure, &cells, plan, &species, stride, interrupt)?;
    let frame = batch.frame(structure);
    let origin = frame.positions[0];
    let job = Rows { differential, frame, origin, columns, coefficients, stride, spare: Mutex::default() };
    let items = collected(rows.chunks_exact_mut(3 * n_columns))?;
    let mut merge = |part: Vec<f64>| {
        for (component, more) in part.chunks_exact(n_columns).enumerate() {
            let [x, y] = STRAINS[component];
            let mut places = vec![[x, y]];
            if D::INVARIANT && x != y {
                places.push([y, x]);
            }
            for [x, y] in places {
                let to = &mut strain[(3 * x + y) * n_columns..][..n_columns];
                to.iter_mut().zip(more).for_each(|(to, more)| *to += more);
            }
        }
    };
    drive_structure(structure, &cells, plan, &species, &job, items, &mut merge, interrupt)
}

/// Coefficients of all centers of a structure as the kernel has them. [atom][stride]
fn padded_coefficients(
    structure: usize,
    cells: &NeighborList<'_>,
    plan: &DensityPlan,
    species: &[u32],
    stride: usize,
    interrupt: Interrupt<'_>,
) -> Result<Vec<f64>> {
    let layout = |a: u32| &plan.center(a as usize).layout;
    let mut packed: Vec<Vec<f64>> = all_of(species.iter().map(|&a| filled(layout(a).width(), 0.0)))?;
    let rows = collected(packed.iter_mut().map(Numbers::from))?;
    let expand = FillRows(&Coefficients { large: false });
    drive_structure(structure, cells, plan, species, &expand, rows, &mut |_| (), interrupt)?;
    let mut padded = filled(species.len() * stride, 0.0)?;
    for ((row, to), &a) in packed.iter().zip(padded.chunks_exact_mut(stride.max(1))).zip(species) {
        layout(a).unpack(row, &mut to[..layout(a).padded_len()]);
    }
    Ok(padded)
}

/// Fills the rows of every atom.
struct Rows<'d, D: Differential> {
    differential: &'d D,
    frame: Frame<'d>,
    /// What positions are counted from, so that they are no larger than the structure.
    origin: Vector,
    /// First column of each center species, and the end.
    columns: Vec<usize>,
    /// Padded coefficients. [atom][stride]
    coefficients: Vec<f64>,
    stride: usize,
    /// Scratch memory that no thread uses at the moment.
    spare: Mutex<Vec<Box<Memory<D::Memory>>>>,
}

/// Scratch memory of one thread.
#[derive(Debug, Default)]
struct Memory<M> {
    lanes: Lanes,
    reversed: Reversed,
    scaled: [Vec<f64>; 2],
    /// Translation of every neighbor. [pair]
    translations: Vec<Vector>,
    across_border: AcrossBorder,
    /// Lattice shift of each pair of the center.
    shifts: Vec<[i64; 3]>,
    /// Whether a pair of the center has a translation.
    crosses: bool,
    /// Derivatives of the center's coefficients by its own position, with the opposite sign, then the second sum of
    /// those by the strain. [xyz, then strain][padded]
    deltas: [Vec<f64>; 12],
    features: M,
}

/// Weights of the pairs of a block in the second sum of the strain.
#[derive(Debug)]
struct AcrossBorder {
    /// `u_x t_y`. [strain][pair]
    along: [[f64; PAIRS]; 9],
    /// `t_y / r`. [xyz][pair]
    across: [[f64; PAIRS]; 3],
}

impl Default for AcrossBorder {
    fn default() -> Self {
        Self { along: [[0.0; PAIRS]; 9], across: [[0.0; PAIRS]; 3] }
    }
}

impl<M> Memory<M> {
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

impl<D: Differential> Job for Rows<'_, D> {
    type Item<'o> = &'o mut [f64];
    /// Derivatives by the strain. [component][column]
    type Output = Vec<f64>;
    const CENTERS: usize = 8;

    #[inline(always)]
    fn center<S: Simd>(
        &self,
        s: S,
        scratch: &mut Scratch,
        plan: &DensityPlan,
        search: &mut Search<'_, '_>,
        species: &[u32],
        center: usize,
        rows: &mut [f64],
        strain: &mut Vec<f64>,
    ) -> Result<()> {
        search.around(s, center)?;
        let own = species[center] as usize;
        let kind = plan.center(own);
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = spare.unwrap_or_default();
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
                    self.finish(plan, b, own, rows, &mut memory.features)?;
                }
                before = Some(a);
                let crossing = memory.crossing(order, range.clone());
                self.add_run(
                    plan,
                    [own, a],
                    [range, crossing],
                    &scratch.block,
                    &scratch.backward,
                    &mut memory,
                )?;
            }
        }
        if let Some(b) = before {
            self.finish(plan, b, own, rows, &mut memory.features)?;
        }
        self.add_own(plan, own, center, rows, strain, &mut memory)?;
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        Ok(())
    }
}

/// Number of components of the strain that are computed; what is missing is the same as its transpose.
fn n_strains<D: Differential>() -> usize {
    if D::INVARIANT { 6 } else { 9 }
}

/// How many neighbors of the same species come first.
fn run_length(kinds: &[u32]) -> usize {
    let mut n = 1;
    while n < kinds.len() && kinds[n] == kinds[0] {
        n += 1;
    }
    n
}

impl<D: Differential> Rows<'_, D> {
    fn n_columns(&self) -> usize {
        self.columns[self.columns.len() - 1]
    }

    /// Adds pairs of the atom with neighbors of one species, from both ends; those of the second range have a
    /// translation.
    fn add_run(
        &self,
        plan: &DensityPlan,
        species: [usize; 2],
        [range, crossing]: [Range<usize>; 2],
        block: &Block,
        backward: &Backward,
        memory: &mut Memory<D::Memory>,
    ) -> Result<()> {
        let kind = plan.center(species[0]);
        let n_degrees = self.differential.n_degrees(plan);
        let Memory { lanes, reversed, scaled, across_border, deltas, features, .. } = memory;
        let (own, strain) = deltas.split_at_mut(3);
        let run = PairRun::new(kind, species, range, block, backward, lanes, &self.coefficients);
        run.add_gradient(plan, n_degrees, scaled, own)?;
        self.differential.add_pairs(plan, &reversed.run(plan, &run, block, backward)?, features)?;
        if !crossing.is_empty() {
            let run = run.within(crossing);
            let AcrossBorder { along, across } = &*across_border;
            let component = |k: usize| {
                let [axis, y] = STRAINS[k];
                Component { axis, along: &along[k], across: &across[y] }
            };
            let components: [_; 9] = std::array::from_fn(component);
            let components = &components[..n_strains::<D>()];
            plan.level.run(Accumulate { run: &run, components, n_degrees, scaled, deltas: strain })?;
        }
        Ok(())
    }

    /// What the atom does as a neighbor of centers of species a.
    fn finish(
        &self,
        plan: &DensityPlan,
        a: usize,
        own: usize,
        rows: &mut [f64],
        memory: &mut D::Memory,
    ) -> Result<()> {
        self.differential.finish(plan, a, own, &mut rows[self.columns[a]..], self.n_columns(), memory)
    }

    /// What the atom does as a center.
    fn add_own(
        &self,
        plan: &DensityPlan,
        own: usize,
        center: usize,
        rows: &mut [f64],
        strain: &mut Vec<f64>,
        memory: &mut Memory<D::Memory>,
    ) -> Result<()> {
        let c = &self.coefficients[center * self.stride..][..plan.center(own).layout.padded_len()];
        let columns = self.columns[own]..self.columns[own + 1];
        let (by_position, by_strain) = memory.deltas.split_at(3);
        let (features, n) = (&mut memory.features, self.n_columns());
        for (row, delta) in rows.chunks_exact_mut(n).zip(by_position) {
            self.differential.along(plan, own, c, delta, -1.0, &mut row[columns.clone()], features)?;
        }
        strain.try_resize(n_strains::<D>() * n, 0.0)?;
        for ((to, delta), [x, y]) in strain.chunks_exact_mut(n).zip(by_strain).zip(STRAINS) {
            if memory.crosses {
                self.differential.along(plan, own, c, delta, 1.0, &mut to[columns.clone()], features)?;
            }
            let place = self.frame.positions[center][y] - self.origin[y];
            to.iter_mut().zip(&rows[x * n..]).for_each(|(to, row)| *to += place * row);
        }
        Ok(())
    }
}
