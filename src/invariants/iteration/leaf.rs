//! The iteration as an invariant: a plan for every center species, and where the orders stand among the features.

use std::sync::Arc;

use super::adjoint::{self, Adjoint, PairWeights};
use super::block::{self, Fixed, Workspace, most_environments};
use super::demand::{Demand, Wanted};
use super::forward::Iterate;
use super::plan::Plan;
use super::precision::Precision;
use crate::density::DensityPlan;
use crate::error::{Error, Result};
use crate::invariants::{Along, Energy, Environments, Invariant, Memory, check_weights};
use crate::memory::filled;

/// Environments that share a block where each is followed by many directions: those of one vector of lanes or two.
const GRAIN_OF_ROWS: usize = 16;

/// The iteration of one kind of center.
#[derive(Debug, Clone)]
pub struct IterationKind {
    /// What a fit decided.
    pub plan: Arc<Plan>,
    /// First feature of every order, from 1 on; `None` where an order gives no features.
    pub starts: Vec<Option<usize>>,
}

impl IterationKind {
    /// All orders side by side.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let mut first = 0;
        let mut start = |nu| {
            first += plan.n_invariants(nu);
            Some(first - plan.n_invariants(nu))
        };
        Self { starts: (1..=plan.max_order()).map(&mut start).collect(), plan }
    }

    /// Orders with the first of their features, in the plan's own arrangement and in that of the kind.
    fn orders(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let mut first = 0;
        (1..=self.plan.max_order()).zip(&self.starts).filter_map(move |(nu, start)| {
            let own = first;
            first += self.plan.n_invariants(nu);
            start.map(|start| (nu, own, start))
        })
    }
}

/// Invariants of the iteration.
#[derive(Debug)]
pub struct Iteration {
    kinds: Vec<(IterationKind, Demand)>,
    /// Which kind the centers of a species are of. `[species]`
    of_species: Vec<usize>,
    width: usize,
    single: bool,
}

impl Iteration {
    /// One kind for all species, or one for each of `n_species`; features of `single` precision are computed in it.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for another number of kinds, or features that overlap or exceed `width`.
    pub fn new(kinds: Vec<IterationKind>, n_species: usize, width: usize, single: bool) -> Result<Self> {
        let bad = |requirement, value| Err(Error::BadParameter { name: "an iteration", requirement, value });
        if kinds.len() != 1 && kinds.len() != n_species {
            return bad("of one kind, or one for each species", format!("{} for {n_species}", kinds.len()));
        }
        for kind in &kinds {
            let mut taken = filled(width, false)?;
            for (nu, _, start) in kind.orders() {
                for feature in start..start + kind.plan.n_invariants(nu) {
                    if taken.get(feature) != Some(&false) {
                        return bad("given features of its own", format!("{feature} of {width}"));
                    }
                    taken[feature] = true;
                }
            }
        }
        let of_species = (0..n_species).map(|a| if kinds.len() == 1 { 0 } else { a }).collect();
        let with_demand = |kind: IterationKind| {
            let demand = Demand::new(&kind.plan, Wanted::Features);
            (kind, demand)
        };
        Ok(Self { kinds: kinds.into_iter().map(with_demand).collect(), of_species, width, single })
    }

    /// Of a single plan, all orders side by side, for densities of one species.
    ///
    /// # Errors
    /// None; as [`Self::new`].
    pub fn of_plan(plan: &Arc<Plan>, single: bool) -> Result<Self> {
        let width = plan.n_features();
        Self::new(vec![IterationKind::new(Arc::clone(plan))], 1, width, single)
    }

    /// The same iteration on the centers of a density.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if a center has other channels than its iteration was made for.
    pub fn check(&self, density: &DensityPlan) -> Result<()> {
        for (a, &kind) in self.of_species.iter().enumerate() {
            let (layout, plan) = (&density.center(a).layout, &self.kinds[kind].0.plan);
            let channels: Vec<usize> = (0..=layout.max_angular()).map(|l| layout.channels(l)).collect();
            if channels != plan.channels() {
                return Err(Error::BadParameter {
                    name: "an iteration",
                    requirement: "given the channels it was made for",
                    value: format!("{channels:?} for {:?}", plan.channels()),
                });
            }
        }
        Ok(())
    }

    fn values_of<T: Precision>(
        &self,
        e: Environments<'_>,
        x: &mut [f64],
        memory: &mut Option<Box<KindMemory<T>>>,
    ) -> Result<()> {
        let (kind, demand) = &self.kinds[self.of_species[e.species]];
        let plan = &*kind.plan;
        let memory = made(memory, || KindMemory::new(plan, demand))?;
        memory.values.load(plan, &e);
        plan.level.run(Iterate { plan, demand, memory: &mut memory.values, fixed: None });
        x.fill(0.0);
        for (nu, _, start) in kind.orders() {
            let order = &memory.values.orders[nu - 1];
            let n = plan.n_invariants(nu);
            block::store_columns(&order.invariants, memory.values.stride, n, start, self.width, x);
        }
        Ok(())
    }

    fn tangents_of<T: Precision>(
        &self,
        e: Environments<'_>,
        which: usize,
        along: Along<'_>,
        out: &mut [f64],
        memory: &mut KindMemory<T>,
    ) -> Result<()> {
        let (kind, demand) = &self.kinds[self.of_species[e.species]];
        let plan = &*kind.plan;
        let KindMemory { values, fixed, tangents } = memory;
        fixed.take(values, which)?;
        let tangents = made(tangents, || Workspace::new(plan, demand))?;
        if kind.orders().map(|(nu, ..)| plan.n_invariants(nu)).sum::<usize>() < self.width {
            out.fill(0.0);
        }
        let most = most_environments::<T>();
        for first in (0..along.stride).step_by(most) {
            let count = most.min(along.stride - first);
            tangents.load_directions(plan, e.layout, along, first, count);
            plan.level.run(Iterate { plan, demand, memory: tangents, fixed: Some(&*fixed) });
            for (nu, _, start) in kind.orders() {
                let rows = tangents.orders[nu - 1].invariants.chunks_exact(tangents.stride);
                let out = out[start * along.stride..].chunks_exact_mut(along.stride);
                for (row, out) in rows.take(plan.n_invariants(nu)).zip(out) {
                    for (to, x) in out[first..first + count].iter_mut().zip(row) {
                        *to = x.wide();
                    }
                }
            }
        }
        Ok(())
    }
}

/// What is there, or is made now.
fn made<T>(place: &mut Option<Box<T>>, make: impl FnOnce() -> Result<T>) -> Result<&mut T> {
    if place.is_none() {
        *place = Some(Box::new(make()?));
    }
    Ok(place.as_mut().expect("made above"))
}

/// Scratch memory of one kind of center.
struct KindMemory<T> {
    values: Workspace<T>,
    fixed: Fixed<T>,
    tangents: Option<Box<Workspace<T>>>,
}

impl<T: Precision> KindMemory<T> {
    fn new(plan: &Plan, demand: &Demand) -> Result<Self> {
        T::prepare(plan)?;
        Ok(Self { values: Workspace::new(plan, demand)?, fixed: Fixed::default(), tangents: None })
    }
}

/// Scratch memory of one worker: that of a kind is made when its first center comes.
enum IterationMemory {
    Double(Vec<Option<Box<KindMemory<f64>>>>),
    Single(Vec<Option<Box<KindMemory<f32>>>>),
}

impl Invariant for Iteration {
    fn n_degrees(&self) -> usize {
        self.kinds.iter().map(|(kind, _)| kind.plan.channels().len()).max().unwrap_or(0)
    }

    fn width(&self, _: usize) -> usize {
        self.width
    }

    fn grain(&self) -> usize {
        if self.single { most_environments::<f32>() } else { most_environments::<f64>() }
    }

    fn grain_of_rows(&self) -> usize {
        GRAIN_OF_ROWS
    }

    fn memory(&self) -> Result<Memory> {
        Ok(Memory::new(if self.single {
            IterationMemory::Single(self.kinds.iter().map(|_| None).collect())
        } else {
            IterationMemory::Double(self.kinds.iter().map(|_| None).collect())
        }))
    }

    fn values(&self, e: Environments<'_>, x: &mut [f64], memory: &mut Memory) -> Result<()> {
        let kind = self.of_species[e.species];
        match memory.of() {
            IterationMemory::Double(memory) => self.values_of(e, x, &mut memory[kind]),
            IterationMemory::Single(memory) => self.values_of(e, x, &mut memory[kind]),
        }
    }

    fn tangents(
        &self,
        e: Environments<'_>,
        which: usize,
        along: Along<'_>,
        out: &mut [f64],
        memory: &mut Memory,
    ) -> Result<()> {
        let kind = self.of_species[e.species];
        match memory.of() {
            IterationMemory::Double(memory) => {
                let memory = memory[kind].as_mut().expect("values come first");
                self.tangents_of(e, which, along, out, memory)
            }
            IterationMemory::Single(memory) => {
                let memory = memory[kind].as_mut().expect("values come first");
                self.tangents_of(e, which, along, out, memory)
            }
        }
    }

    fn linear(&self, weights: &[f64]) -> Option<Result<Arc<dyn Energy>>> {
        Some(LinearIteration::new(self, weights).map(|energy| Arc::new(energy) as Arc<dyn Energy>))
    }
}

/// An energy linear in the invariants of an iteration. Double precision.
#[derive(Debug)]
pub struct LinearIteration {
    /// `[species]`
    adjoints: Vec<Adjoint>,
    of_species: Vec<usize>,
    n_kinds: usize,
}

impl LinearIteration {
    /// From weights [species, feature].
    ///
    /// # Errors
    /// [`Error::BadParameter`] if there are not as many weights as features, or one is not finite.
    pub fn new(iteration: &Iteration, weights: &[f64]) -> Result<Self> {
        let width = iteration.width;
        check_weights(weights, iteration.of_species.len(), width)?;
        let adjoint = |(a, &kind): (usize, &usize)| {
            let kind = &iteration.kinds[kind].0;
            let mut own = filled(kind.plan.n_features(), 0.0)?;
            for (nu, first, start) in kind.orders() {
                let n = kind.plan.n_invariants(nu);
                own[first..first + n].copy_from_slice(&weights[a * width + start..][..n]);
            }
            Adjoint::new(&kind.plan, PairWeights::new(&kind.plan, &own)?)
        };
        let of_species = &iteration.of_species;
        Ok(Self {
            adjoints: of_species.iter().enumerate().map(adjoint).collect::<Result<_>>()?,
            of_species: of_species.clone(),
            n_kinds: iteration.kinds.len(),
        })
    }
}

impl Energy for LinearIteration {
    fn grain(&self) -> usize {
        most_environments::<f64>()
    }

    fn memory(&self) -> Result<Memory> {
        let none: Vec<Option<Box<adjoint::Memory>>> = (0..self.n_kinds).map(|_| None).collect();
        Ok(Memory::new(none))
    }

    fn read(
        &self,
        e: Environments<'_>,
        energies: &mut [f64],
        gradients: &mut [f64],
        memory: &mut Memory,
    ) -> Result<()> {
        let adjoint = &self.adjoints[e.species];
        let memory = &mut memory.of::<Vec<Option<Box<adjoint::Memory>>>>()[self.of_species[e.species]];
        adjoint.read(e, energies, gradients, made(memory, || adjoint.memory())?);
        Ok(())
    }
}

/// Some equivariants of environments, as arrays by block.
#[derive(Debug)]
pub struct Blocks {
    plan: Arc<Plan>,
    demand: Demand,
    /// (order, place in the order)
    wanted: Vec<(usize, usize)>,
}

impl Blocks {
    /// Given as (order, place among [`Plan::blocks`]).
    ///
    /// # Errors
    /// [`Error::BadShape`] for a block that is not there.
    pub fn new(plan: &Arc<Plan>, blocks: Vec<(usize, usize)>) -> Result<Self> {
        for &(nu, place) in &blocks {
            if !(1..=plan.max_order()).contains(&nu) || plan.blocks(nu).len() <= place {
                return Err(Error::BadShape(format!("there is no block {place} of order {nu}")));
            }
        }
        let demand = Demand::new(plan, Wanted::Blocks(&blocks));
        Ok(Self { plan: Arc::clone(plan), demand, wanted: blocks })
    }

    /// Numbers of one environment in every block: m times channels.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        let of = |&(nu, place): &(usize, usize)| {
            let (symmetry, channels) = self.plan.blocks(nu)[place];
            (2 * symmetry.lambda + 1) * channels
        };
        self.wanted.iter().map(of).collect()
    }

    /// The iteration.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many environments are best worked on together.
    pub(crate) const GRAIN: usize = most_environments::<f64>();

    pub(crate) fn memory(&self) -> Result<Memory> {
        let memory: Workspace = Workspace::new(&self.plan, &self.demand)?;
        Ok(Memory::new(memory))
    }

    /// Each block as [environment, m, channel].
    pub(crate) fn values(&self, e: Environments<'_>, rows: &mut [&mut [f64]], memory: &mut Memory) {
        let memory = memory.of::<Workspace>();
        memory.load(&self.plan, &e);
        let (plan, demand) = (&*self.plan, &self.demand);
        plan.level.run(Iterate { plan, demand, memory, fixed: None });
        for (&(nu, place), rows) in self.wanted.iter().zip(rows) {
            let (symmetry, channels) = plan.blocks(nu)[place];
            let values = &memory.orders[nu - 1].blocks[place];
            block::store(values, memory.stride, 2 * symmetry.lambda + 1, channels, rows);
        }
    }
}
