//! Rows for fitting on forces: derivatives of the features of one structure, summed over the centers of each species,
//! with respect to its positions and strain.
//!
//! With `r -> (1 + strain) r` and `r_ij = r_j - r_i + t_ij` the strain rows are
//!
//! `sum_ij dF_i/dr_ij r_ij = sum_k dF/dr_k (r_k - o) + sum_ij dF_i/dr_ij t_ij`
//!
//! for any origin o, and only pairs across the borders of the cell have a translation t. Both sums are made over the
//! centers in the order of the tasks.
//!
//! Features with sums over pairs are gathered (`pair_rows`). All others are followed from every center along the motions
//! of the atoms around it, and added up in the order of the centers.

use std::ops::Range;

use super::Run;
use super::columns::{Columns, STRAINS};
use super::pair_rows::gather;
use super::tasks::{Job, Task, drive_structure};
use super::values::Block;
use crate::density::{Around, DensityPlan, Directions, VOIGT, Workspace};
use crate::error::Result;
use crate::invariants::{Along, Invariant, Memory};
use crate::memory::{Grow, collected, filled};
use crate::neighbors::NeighborList;
use crate::parallel::{self, Interrupt};
use crate::structure::{Batch, Frame};

/// Number of columns of [`rows`]: the features of each center species in turn.
#[must_use]
pub fn row_width(invariant: &dyn Invariant, plan: &DensityPlan) -> usize {
    Columns::new(invariant, plan).n()
}

/// Writes `rows` [atom, 3, column] and `strain` [3, 3, column] of one structure; columns [center species, feature].
///
/// # Errors
/// As [`super::values()`], for this structure.
///
/// # Panics
/// If an array has not its shape.
pub fn rows(
    batch: &Batch,
    structure: usize,
    plan: &DensityPlan,
    invariant: &dyn Invariant,
    rows: &mut [f64],
    strain: &mut [f64],
    run: Run<'_>,
) -> Result<()> {
    let species = plan.species_among(batch, batch.atoms_of(structure))?;
    let columns = Columns::new(invariant, plan);
    let n = columns.n();
    assert!(rows.len() == species.len() * 3 * n && strain.len() == 9 * n, "arrays of other shapes");
    strain.fill(0.0);
    if rows.is_empty() {
        return Ok(());
    }
    let frame = batch.frame(structure);
    let neighbors = NeighborList::new(frame, plan.weight.cutoff.radius())?;
    let mut never = || false;
    let interrupt = run.interrupt.unwrap_or(&mut never);
    let n_strains = if invariant.is_invariant() { 6 } else { 9 };
    let mut sums = filled(n_strains * n, 0.0)?;
    match invariant.pair_sums() {
        Some(pair_sums) => {
            let features = (invariant, pair_sums);
            gather(frame, &neighbors, plan, &species, features, &columns, rows, &mut sums, interrupt)?;
        }
        None => follow(frame, &neighbors, plan, &species, invariant, &columns, rows, &mut sums, interrupt)?,
    }
    for (part, [x, y]) in sums.chunks_exact(n).zip(STRAINS) {
        let mirrored = (n_strains == 6 && x != y).then_some([y, x]);
        for [x, y] in [Some([x, y]), mirrored].into_iter().flatten() {
            strain[(3 * x + y) * n..][..n].copy_from_slice(part);
        }
    }
    Ok(())
}

/// Derivatives of the features of one center.
struct Followed {
    center: usize,
    species: usize,
    /// Atoms that move, in rising order; three directions each, then six of the strain, if a pair crosses a border.
    atoms: Vec<u32>,
    crosses: bool,
    /// From a feature to the next.
    stride: usize,
    /// `[feature][stride]`
    values: Vec<f64>,
}

#[expect(clippy::too_many_arguments, reason = "a structure, how it is expanded, and where its rows go")]
fn follow(
    frame: Frame<'_>,
    neighbors: &NeighborList<'_>,
    plan: &DensityPlan,
    species: &[u32],
    invariant: &dyn Invariant,
    columns: &Columns,
    rows: &mut [f64],
    strain: &mut [f64],
    interrupt: Interrupt<'_>,
) -> Result<()> {
    rows.fill(0.0);
    let (n, job) = (columns.n(), Follow { plan, invariant, frame });
    let items = filled(species.len(), ())?;
    let mut merge = |wave: Vec<Vec<Followed>>| {
        let wave: Vec<Followed> = collected(wave.into_iter().flatten())?;
        let of_atoms = collected(rows.chunks_exact_mut(3 * n).enumerate())?;
        let add = |(atom, rows): (usize, &mut [f64])| {
            for one in &wave {
                one.add_to(atom, rows, n, columns.of(one.species));
            }
        };
        parallel::map(of_atoms, add)?;
        for one in wave.iter().filter(|one| one.crosses) {
            let first = 3 * one.atoms.len();
            for (to, component) in strain.chunks_exact_mut(n).zip(0..6) {
                let to = &mut to[columns.of(one.species)];
                let from = one.along(first + component);
                to.iter_mut().zip(from).for_each(|(to, x)| *to += x);
            }
        }
        Ok(())
    };
    // Small blocks where there are few centers: two for each thread. No number depends on it.
    let share = species.len().div_ceil(2 * parallel::num_threads()?);
    let grain = invariant.grain_of_rows().min(share).max(2);
    drive_structure(frame.structure, neighbors, plan, species, grain, &job, items, &mut merge, interrupt)?;
    for (atom, row) in rows.chunks_exact(3 * n).enumerate() {
        for (to, [x, y]) in strain.chunks_exact_mut(n).zip(VOIGT) {
            let place = frame.positions[atom][y] - frame.positions[0][y];
            to.iter_mut().zip(&row[x * n..]).for_each(|(to, x)| *to += place * x);
        }
    }
    Ok(())
}

impl Followed {
    /// The derivatives of all features along a direction; there may be none.
    fn along(&self, direction: usize) -> impl Iterator<Item = &f64> {
        self.values.get(direction..).unwrap_or_default().iter().step_by(self.stride.max(1))
    }

    /// Adds what the center's features do when an atom moves; when the center itself does, the opposite of all others.
    fn add_to(&self, atom: usize, rows: &mut [f64], n: usize, columns: Range<usize>) {
        if atom == self.center {
            for (k, row) in columns.zip(self.values.chunks_exact(self.stride.max(1))) {
                for x in 0..3 {
                    let others = row[..3 * self.atoms.len()].iter().skip(x).step_by(3);
                    rows[x * n + k] -= others.sum::<f64>();
                }
            }
        } else if let Ok(place) = self.atoms.binary_search(&(atom as u32)) {
            for x in 0..3 {
                let from = self.along(3 * place + x);
                let to = &mut rows[x * n..][columns.clone()];
                to.iter_mut().zip(from).for_each(|(to, x)| *to += x);
            }
        }
    }
}

/// Follows the features of every center along the motions around it.
struct Follow<'j> {
    plan: &'j DensityPlan,
    invariant: &'j dyn Invariant,
    frame: Frame<'j>,
}

struct FollowMemory {
    workspace: Workspace,
    invariant: Memory,
    directions: Directions,
    c: Vec<f64>,
    x: Vec<f64>,
}

impl Job for Follow<'_> {
    type Item<'o> = ();
    type Memory = FollowMemory;
    type Output = Vec<Followed>;

    fn memory(&self) -> Result<FollowMemory> {
        Ok(FollowMemory {
            workspace: Workspace::new(self.plan)?,
            invariant: self.invariant.memory()?,
            directions: Directions::default(),
            c: Vec::new(),
            x: Vec::new(),
        })
    }

    fn run(&self, memory: &mut FollowMemory, task: Task<'_, ()>) -> Result<Vec<Followed>> {
        let FollowMemory { workspace, invariant, directions, c, x } = memory;
        let plan = self.plan;
        let block = Block::of(plan, workspace, &task, c)?;
        let (e, width) = (block.environments(plan, c), self.invariant.width(block.species));
        x.try_resize(e.len() * width, 0.0)?;
        self.invariant.values(e, x, invariant)?;
        let Workspace { near, scratch } = workspace;
        let mut all = Vec::new();
        all.make_room(e.len())?;
        for part in &task {
            let species = part.species;
            let mut search = part.neighbors.search(plan.weight.cutoff.radius(), near);
            for (which, &(center, ())) in part.centers.iter().enumerate() {
                let center = center as usize;
                plan.level.run(Around { scratch, plan, search: &mut search, species, center })?;
                let (degrees, cell) = (self.invariant.n_degrees(), Some(self.frame.matrix));
                directions.of_motions(plan, degrees, &search, species, scratch, cell)?;
                let stride = directions.stride;
                let mut values = filled(width * stride, 0.0)?;
                if stride > 0 {
                    let along = Along { stride, d: &directions.values };
                    self.invariant.tangents(e, which, along, &mut values, invariant)?;
                }
                let atoms = collected(directions.atoms.iter().copied())?;
                let crosses = directions.n > 3 * atoms.len();
                all.push(Followed { center, species: block.species, atoms, crosses, stride, values });
            }
        }
        Ok(all)
    }
}
