//! Rows for fitting on forces: derivatives of the features of one structure with respect to its positions and strain.
//!
//! With F the features summed over the structure, separately for each center species, the row of atom k is
//!
//! `dF/dr_k = sum_j dF_j/dc_j . dc_j/dr_jk - dF_k/dc_k . sum_j dc_k/dr_kj`
//!
//! a gather: k is a neighbor of the centers j, which are its own neighbors, and a center itself. All writes go to the
//! three rows of k. Coefficients of all centers are made first. With `r -> (1 + strain) r` the strain rows are
//! `sum_ij dF_i/dr_ij r_ij`, summed over the centers in the order of the tasks. Images of k move with it and add
//! nothing to its rows, but to those of the strain.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::Coefficients;
use super::adjoint::Backward;
use super::block::{Block, PAIRS};
use super::center::Scratch;
use super::differential::{
    Accumulate, AllCoefficients, Component, Differential, Evaluate, Lanes, Linear, PairRun, Reversed,
};
use super::drive::{FillRows, Interrupt, Job, drive_structure};
use super::plan::DensityPlan;
use crate::error::Result;
use crate::neighbors::{CellList, Search};
use crate::simd::Simd;
use crate::structure::Batch;

/// Components of the strain that are computed, and the one that has the same derivatives for invariant features.
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
    let cells = CellList::new(batch.frame(structure), plan.weight.cutoff.radius())?;
    let stride = (0..plan.species().len()).map(|a| plan.center(a).layout.padded_len()).max().unwrap_or(0);
    let coefficients = padded_coefficients(structure, &cells, plan, &species, stride, interrupt)?;
    let job = Rows { differential, columns, coefficients, stride, spare: Mutex::default() };
    let items = rows.chunks_exact_mut(3 * n_columns).collect();
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
    cells: &CellList<'_>,
    plan: &DensityPlan,
    species: &[u32],
    stride: usize,
    interrupt: Interrupt<'_>,
) -> Result<Vec<f64>> {
    let layout = |a: u32| &plan.center(a as usize).layout;
    let mut packed: Vec<Vec<f64>> = species.iter().map(|&a| vec![0.0; layout(a).width()]).collect();
    let rows = packed.iter_mut().map(Vec::as_mut_slice).collect();
    let expand = FillRows(&Coefficients);
    drive_structure(structure, cells, plan, species, &expand, rows, &mut |()| (), interrupt)?;
    let mut padded = vec![0.0; species.len() * stride];
    for ((row, to), &a) in packed.iter().zip(padded.chunks_exact_mut(stride.max(1))).zip(species) {
        layout(a).unpack(row, &mut to[..layout(a).padded_len()]);
    }
    Ok(padded)
}

/// Fills the rows of every atom.
struct Rows<'d, D: Differential> {
    differential: &'d D,
    /// First column of each center species, and the end.
    columns: Vec<usize>,
    /// Padded coefficients. [atom][stride]
    coefficients: Vec<f64>,
    stride: usize,
    /// Scratch memory that no thread uses at the moment.
    spare: Mutex<Vec<Box<Memory<D::Memory>>>>,
}

/// Scratch memory of one thread.
#[derive(Debug)]
struct Memory<M> {
    lanes: Lanes,
    reversed: Reversed,
    scaled: [Vec<f64>; 2],
    /// Products of unit vectors and vectors. [strain][pair]
    products: [[f64; PAIRS]; 9],
    /// Derivatives of the center's coefficients by its own position, with the opposite sign, then by the strain.
    /// [xyz, then strain][padded]
    deltas: [Vec<f64>; 12],
    features: M,
}

impl<M: Default> Default for Memory<M> {
    fn default() -> Self {
        Self {
            lanes: Lanes::default(),
            reversed: Reversed::default(),
            scaled: Default::default(),
            products: [[0.0; PAIRS]; 9],
            deltas: Default::default(),
            features: M::default(),
        }
    }
}

impl<M> Memory<M> {
    fn begin(&mut self, padded: usize) {
        for delta in &mut self.deltas {
            delta.clear();
            delta.resize(padded, 0.0);
        }
    }

    /// Geometry of the pairs of a block.
    fn load(&mut self, search: &Search<'_, '_>, order: &[u32], block: &Block, stride: usize) {
        self.lanes.load(search, order, block, stride);
        for (product, [x, y]) in self.products.iter_mut().zip(STRAINS) {
            for lane in 0..PAIRS {
                product[lane] = block.units[x][lane] * self.lanes.vectors[y][lane];
            }
        }
    }
}

impl<D: Differential> Job for Rows<'_, D> {
    type Item<'o> = &'o mut [f64];
    /// Derivatives by the strain. [component][column]
    type Output = Vec<f64>;

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
        scratch.sort_by_species(search, species, plan.species().len(), false);
        let own = species[center] as usize;
        let kind = plan.center(own);
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = spare.unwrap_or_default();
        memory.begin(kind.layout.padded_len());
        rows.fill(0.0);
        let mut before = None;
        for (order, kinds) in scratch.order.chunks(PAIRS).zip(scratch.kinds.chunks(PAIRS)) {
            let (block, backward) = (&mut scratch.block, &mut scratch.backward);
            plan.level.run(Evaluate { plan, kind, search, order, kinds, block, backward });
            memory.load(search, order, &scratch.block, self.stride);
            let mut start = 0;
            while start < kinds.len() {
                let a = kinds[start] as usize;
                let range = start..start + run_length(&kinds[start..]);
                start = range.end;
                if let Some(b) = before.filter(|&b| b != a) {
                    self.finish(plan, b, own, rows, &mut memory.features);
                }
                before = Some(a);
                self.add_run(plan, [own, a], range, &scratch.block, &scratch.backward, &mut memory);
            }
        }
        if let Some(b) = before {
            self.finish(plan, b, own, rows, &mut memory.features);
        }
        self.add_own(plan, own, center, rows, strain, &mut memory);
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        Ok(())
    }
}

/// The components of the strain that differ.
fn components<D: Differential>() -> &'static [[usize; 2]] {
    if D::INVARIANT { &STRAINS[..6] } else { &STRAINS }
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

    /// Adds pairs of the atom with neighbors of one species, from both ends.
    fn add_run(
        &self,
        plan: &DensityPlan,
        species: [usize; 2],
        range: Range<usize>,
        block: &Block,
        backward: &Backward,
        memory: &mut Memory<D::Memory>,
    ) {
        let kind = plan.center(species[0]);
        let Memory { lanes, reversed, scaled, products, deltas, features } = memory;
        let run = PairRun::new(kind, species, range, block, backward, lanes, &self.coefficients);
        let by_position = (0..3).map(|axis| (axis, &lanes.units[axis], &lanes.inverse));
        let by_strain =
            components::<D>().iter().zip(&*products).map(|([x, y], along)| (*x, along, &block.units[*y]));
        let components: Vec<Component<'_>> = by_position
            .chain(by_strain)
            .map(|(axis, along, across)| Component { axis, along, across })
            .collect();
        let n_degrees = self.differential.n_degrees(plan);
        plan.level.run(Accumulate { run: &run, components: &components, n_degrees, scaled, deltas });
        self.differential.add_pairs(plan, &reversed.run(plan, &run, block, backward), features);
    }

    /// What the atom does as a neighbor of centers of species a.
    fn finish(&self, plan: &DensityPlan, a: usize, own: usize, rows: &mut [f64], memory: &mut D::Memory) {
        self.differential.finish(plan, a, own, &mut rows[self.columns[a]..], self.n_columns(), memory);
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
    ) {
        let c = &self.coefficients[center * self.stride..][..plan.center(own).layout.padded_len()];
        let columns = self.columns[own]..self.columns[own + 1];
        let (by_position, by_strain) = memory.deltas.split_at(3);
        let features = &mut memory.features;
        for (row, delta) in rows.chunks_exact_mut(self.n_columns()).zip(by_position) {
            self.differential.along(plan, own, c, delta, -1.0, &mut row[columns.clone()], features);
        }
        strain.resize(components::<D>().len() * self.n_columns(), 0.0);
        for (row, delta) in strain.chunks_exact_mut(self.n_columns()).zip(by_strain) {
            self.differential.along(plan, own, c, delta, 1.0, &mut row[columns.clone()], features);
        }
    }
}
