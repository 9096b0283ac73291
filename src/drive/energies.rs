//! Energies, forces and virials, as an energy makes them of the density.

use super::Run;
use super::tasks::{Job, Part, Task, drive};
use super::values::Block;
use crate::density::{Around, DensityPlan, Forward, Pulls, Workspace};
use crate::error::Result;
use crate::invariants::{Energy, Environments, Memory};
use crate::memory::{Grow, filled};
use crate::structure::{Batch, Vector};

/// Energies, forces and virials of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Energies {
    /// Energy of every center. `[atom]`
    pub atoms: Vec<f64>,
    /// `-dE/dr`. `[atom]`
    pub forces: Vec<Vector>,
    /// `dE/d(strain)`, the derivative with respect to `r -> (1 + strain) r`; over the volume it is the stress, tensile
    /// positive. `[structure][xyz][xyz]`
    pub virials: Vec<[Vector; 3]>,
}

/// Energies, forces and virials of all structures.
///
/// Sums are made in the order of the tasks, which does not depend on the number of threads; nor do the bits.
///
/// # Errors
/// As [`super::values()`], and as [`crate::neighbors::SkinLists::update`].
pub fn energies(batch: &Batch, plan: &DensityPlan, energy: &dyn Energy, run: Run<'_>) -> Result<Energies> {
    let species = plan.species_indices(batch)?;
    let mut result = Energies {
        atoms: filled(batch.n_atoms(), 0.0)?,
        forces: filled(batch.n_atoms(), [0.0; 3])?,
        virials: filled(batch.n_frames(), [[0.0; 3]; 3])?,
    };
    let job = Forces { plan, energy, grain: energy.grain() };
    let items = filled(batch.n_atoms(), ())?;
    let mut merge = |wave: Vec<Vec<Sums>>| {
        wave.into_iter().flatten().for_each(|sums| result.add(batch, sums));
        Ok(())
    };
    drive(batch, plan, &species, job.grain, &job, items, &mut merge, run)?;
    Ok(result)
}

/// What the centers of one structure add in a task.
struct Sums {
    structure: usize,
    energies: Vec<(u32, f64)>,
    /// `dE/dr` of atoms; an atom stands here once for every center it is a neighbor of.
    pulls: Vec<(u32, Vector)>,
    /// Of all centers together, or of each where blocks depend on the batch, so that the bits do not.
    virials: Vec<[Vector; 3]>,
}

impl Sums {
    fn of<I>(part: &Part<'_, I>) -> Result<Self> {
        let (mut energies, mut virials) = (Vec::new(), Vec::new());
        energies.make_room(part.centers.len())?;
        virials.make_room(part.centers.len())?;
        Ok(Self { structure: part.structure, energies, pulls: Vec::new(), virials })
    }
}

impl Energies {
    fn add(&mut self, batch: &Batch, sums: Sums) {
        let start = batch.atoms_of(sums.structure).start;
        for (atom, energy) in sums.energies {
            self.atoms[start + atom as usize] = energy;
        }
        for (atom, pull) in sums.pulls {
            let force = &mut self.forces[start + atom as usize];
            for x in 0..3 {
                force[x] -= pull[x];
            }
        }
        for virial in sums.virials {
            for (row, more) in self.virials[sums.structure].iter_mut().zip(virial) {
                for x in 0..3 {
                    row[x] += more[x];
                }
            }
        }
    }
}

struct Forces<'j> {
    plan: &'j DensityPlan,
    energy: &'j dyn Energy,
    grain: usize,
}

struct ForcesMemory {
    workspace: Workspace,
    energy: Memory,
    /// Densities of a block, and the gradients of its energies.
    c: Vec<f64>,
    gradients: Vec<f64>,
    energies: Vec<f64>,
}

impl Job for Forces<'_> {
    type Item<'o> = ();
    type Memory = ForcesMemory;
    type Output = Vec<Sums>;

    fn memory(&self) -> Result<ForcesMemory> {
        Ok(ForcesMemory {
            workspace: Workspace::new(self.plan)?,
            energy: self.energy.memory()?,
            c: Vec::new(),
            gradients: Vec::new(),
            energies: Vec::new(),
        })
    }

    fn run(&self, memory: &mut ForcesMemory, task: Task<'_, ()>) -> Result<Vec<Sums>> {
        if self.grain == 1 { self.one_by_one(memory, &task) } else { self.block(memory, &task) }
    }
}

impl Forces<'_> {
    /// The pairs of a center with few neighbors are evaluated once, for the way forward and back.
    fn one_by_one(&self, memory: &mut ForcesMemory, task: &Task<'_, ()>) -> Result<Vec<Sums>> {
        let ForcesMemory { workspace: Workspace { near, scratch }, energy, gradients, .. } = memory;
        let plan = self.plan;
        let mut all = Vec::new();
        all.make_room(task.len())?;
        for part in task {
            let mut sums = Sums::of(part)?;
            let mut virial = [[0.0; 3]; 3];
            let mut search = part.neighbors.search(plan.weight.cutoff.radius(), near);
            for &(atom, ()) in &part.centers {
                let (species, center) = (part.species, atom as usize);
                let own = species[center] as usize;
                let evaluated =
                    plan.level.run(Forward { scratch, plan, search: &mut search, species, center })?;
                let layout = &plan.center(own).layout;
                let n = layout.padded_len();
                gradients.try_resize(n, 0.0)?;
                let (atoms, c) = (&[part.first_atom as u32 + atom], &scratch.coefficients[..n]);
                let e = Environments { layout, species: own, atoms, c };
                let mut value = [0.0];
                self.energy.read(e, &mut value, gradients, energy)?;
                sums.energies.push((atom, value[0]));
                let (search, out, virial) = (&search, &mut sums.pulls, &mut virial);
                let gradient = &gradients[..];
                plan.level.run(Pulls {
                    scratch,
                    plan,
                    search,
                    species: own,
                    evaluated,
                    gradient,
                    out,
                    virial,
                })?;
            }
            sums.virials.push(virial);
            all.push(sums);
        }
        Ok(all)
    }

    fn block(&self, memory: &mut ForcesMemory, task: &Task<'_, ()>) -> Result<Vec<Sums>> {
        let ForcesMemory { workspace, energy, c, gradients, energies } = memory;
        let plan = self.plan;
        let block = Block::of(plan, workspace, task, c)?;
        gradients.try_resize(c.len(), 0.0)?;
        energies.try_resize(block.atoms.len(), 0.0)?;
        self.energy.read(block.environments(plan, c), energies, gradients, energy)?;
        let n = plan.center(block.species).layout.padded_len();
        let mut results = energies.iter().zip(gradients.chunks_exact(n.max(1)));
        let Workspace { near, scratch } = workspace;
        let mut all = Vec::new();
        all.make_room(task.len())?;
        for part in task {
            let mut sums = Sums::of(part)?;
            let mut search = part.neighbors.search(plan.weight.cutoff.radius(), near);
            for (&(atom, ()), (energy, gradient)) in part.centers.iter().zip(&mut results) {
                let (species, center, own) = (part.species, atom as usize, block.species);
                plan.level.run(Around { scratch, plan, search: &mut search, species, center })?;
                let mut virial = [[0.0; 3]; 3];
                let (search, out) = (&search, &mut sums.pulls);
                let (evaluated, virial_of) = (false, &mut virial);
                plan.level.run(Pulls {
                    scratch,
                    plan,
                    search,
                    species: own,
                    evaluated,
                    gradient,
                    out,
                    virial: virial_of,
                })?;
                sums.energies.push((atom, *energy));
                sums.virials.push(virial);
            }
            all.push(sums);
        }
        Ok(all)
    }
}
