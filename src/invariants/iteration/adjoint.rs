//! The gradient of an energy that is linear in the invariants, back through all orders to the density coefficients.
//!
//! An energy linear in contracted invariants is linear in the expanded ones: `w^T (A^T x + B^T z) = (A w)^T x + (B w)^T z`.
//! So invariants cost one number per pair, and no product. Equivariants pull back as they were made: the gradient of an
//! output goes through its projection, a tile of pairs at a time, and from the pairs to both their factors. Expanded
//! pairs are not needed again; only the equivariants themselves are kept, for one block of environments.

use std::sync::Arc;

use super::block::{Workspace, most_environments};
use super::demand::{Demand, Wanted};
use super::forward::Iterate;
use super::plan::{Coupling, Plan, Step, TILE, Target};
use crate::error::{Error, Result};
use crate::invariants::Environments;
use crate::memory::{all_of, collected};
use crate::simd::{
    Aligned, Columns, ENVIRONMENTS, Kernel, Simd, Sums, Term, add_scaled, inner_product, multiply, pull_back,
};

/// An energy linear in the invariants of a plan: a number for every expanded pair.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PairWeights {
    /// Of the density channels of degree 0.
    density: Vec<f64>,
    /// Of the pairs of each order, in units of `sum_m c a`. `[nu - 2][pair]`
    pairs: Vec<Vec<f64>>,
}

impl PairWeights {
    /// From the weights of the features, ordered as by [`super::IterationKind::new`].
    ///
    /// # Errors
    /// [`Error::BadParameter`] if there are not as many weights as features, or one is not finite;
    /// [`Error::OutOfMemory`].
    pub(super) fn new(plan: &Plan, weights: &[f64]) -> Result<Self> {
        if weights.len() != plan.n_features() || !weights.iter().all(|w| w.is_finite()) {
            return Err(Error::BadParameter {
                name: "weights",
                requirement: "finite, one for each feature",
                value: format!("{} for {} features", weights.len(), plan.n_features()),
            });
        }
        let mut start = 0;
        let of_order = |nu| {
            let part = collected(weights[start..start + plan.n_invariants(nu)].iter().copied())?;
            start += part.len();
            Ok(part)
        };
        let mut by_order: Vec<Vec<f64>> = all_of((1..=plan.max_order()).map(of_order))?;
        let mut pairs = vec![Vec::new(); plan.steps.len()];
        for (index, step) in plan.steps.iter().enumerate().rev() {
            let Some(invariants) = &step.invariants else { continue };
            let own = std::mem::take(&mut by_order[index + 1]);
            let expanded = match &invariants.projection {
                None => own,
                Some(projection) => {
                    for (order, matrix) in &projection.purification {
                        for (lower, more) in
                            by_order[order - 1].iter_mut().zip(matrix.transposed_times(&own)?)
                        {
                            *lower += more;
                        }
                    }
                    projection.forward.transposed_times(&own)?
                }
            };
            pairs[index] = collected(expanded.iter().zip(&invariants.factors).map(|(w, f)| w * f))?;
        }
        Ok(Self { density: by_order.swap_remove(0), pairs })
    }
}

/// A coupling from the side of its products.
#[derive(Debug)]
struct Transposed {
    /// From all orders mu of all targets to products m1 m2.
    sums: Sums,
    /// First row of each target among those; none where nothing needs the target.
    starts: Vec<Option<usize>>,
    /// Number of rows.
    n_rows: usize,
}

impl Transposed {
    fn new(coupling: &Coupling, needed: &[usize]) -> Self {
        let n_products = (2 * coupling.l + 1) * (2 * coupling.lambda + 1);
        let mut terms = vec![Vec::new(); n_products];
        let mut starts = Vec::new();
        let mut n_rows = 0;
        for target in &coupling.targets {
            let wanted = needed[target.output] > 0 && target.count > 0;
            starts.push(wanted.then_some(n_rows));
            if wanted {
                for (mu, term) in target.sums.iter() {
                    terms[term.row as usize].push(Term { row: (n_rows + mu) as u32, value: term.value });
                }
                n_rows += target.sums.len();
            }
        }
        Self { sums: Sums::new(&terms), starts, n_rows }
    }
}

/// The backward pass: energies `[environment]` and their gradients by the density coefficients.
#[derive(Debug)]
pub(super) struct Adjoint {
    pub(super) plan: Arc<Plan>,
    weights: PairWeights,
    demand: Demand,
    /// `[nu - 2][coupling]`
    transposed: Vec<Vec<Transposed>>,
}

/// Scratch memory of one worker.
pub(super) struct Memory {
    forward: Workspace,
    /// Gradients by what the orders hold; of the density as the second factor, for the first. `[nu - 1][block]`
    orders: Vec<Vec<Aligned>>,
    /// The same with respect to the density as the first factor. `[l]`
    density: Vec<Aligned>,
    /// Of expanded pairs. `[pair of the tile][target, mu][environment]`
    expanded: Aligned,
    energies: Aligned,
}

impl Adjoint {
    pub(super) fn new(plan: &Arc<Plan>, weights: PairWeights) -> Result<Self> {
        plan.prepare_backward()?;
        let demand = Demand::new(plan, Wanted::Energy);
        let of_step = |(step, needed): (&Step, &Vec<usize>)| {
            step.couplings.iter().map(|c| Transposed::new(c, needed)).collect()
        };
        let transposed = plan.steps.iter().zip(&demand.outputs).map(of_step).collect();
        Ok(Self { plan: Arc::clone(plan), weights, demand, transposed })
    }

    pub(super) fn memory(&self) -> Result<Memory> {
        let forward: Workspace = Workspace::new(&self.plan, &self.demand)?;
        let environments = most_environments::<f64>();
        let like = |blocks: &Vec<Aligned>| all_of(blocks.iter().map(|b| Aligned::zeros(b.len())));
        let rows = self.transposed.iter().flatten().map(|t| t.n_rows).max().unwrap_or(0);
        Ok(Memory {
            orders: all_of(forward.orders.iter().map(|order| like(&order.blocks)))?,
            density: like(&forward.orders[0].blocks)?,
            forward,
            expanded: Aligned::zeros(TILE * rows * environments)?,
            energies: Aligned::zeros(environments)?,
        })
    }

    /// Energies, and gradients padded as the coefficients are.
    pub(super) fn read(
        &self,
        e: Environments<'_>,
        energies: &mut [f64],
        gradients: &mut [f64],
        memory: &mut Memory,
    ) {
        memory.forward.load(&self.plan, &e);
        let (plan, demand) = (&*self.plan, &self.demand);
        plan.level.run(Iterate { plan, demand, memory: &mut memory.forward, fixed: None });
        plan.level.run(PullBack { adjoint: self, memory });
        energies.copy_from_slice(&memory.energies[..energies.len()]);
        self.store(&e, memory, gradients);
    }
}

struct PullBack<'a> {
    adjoint: &'a Adjoint,
    memory: &'a mut Memory,
}

impl Kernel for PullBack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { adjoint, memory } = self;
        for block in memory.orders.iter_mut().flatten().chain(&mut memory.density) {
            block.fill(0.0);
        }
        let stride = memory.forward.stride;
        memory.energies.fill(0.0);
        for (q, &w) in adjoint.weights.density.iter().enumerate() {
            let c = &memory.forward.orders[0].blocks[0][q * stride..(q + 1) * stride];
            add_row(s, w, c, &mut memory.energies);
            memory.density[0][q * stride..(q + 1) * stride].fill(w);
        }
        for (index, step) in adjoint.plan.steps.iter().enumerate().rev() {
            adjoint.pull_invariants(s, index, step, memory);
            adjoint.pull_equivariants(s, index, step, memory);
        }
    }
}

#[inline(always)]
fn add_row<S: Simd>(s: S, weight: f64, from: &[f64], to: &mut [f64]) {
    for e in (0..from.len()).step_by(ENVIRONMENTS) {
        add_scaled(s, weight, &from[e..], 1, ENVIRONMENTS, &mut to[e..]);
    }
}

impl Adjoint {
    /// Energies of the invariants of an order, and what they pull at.
    #[inline(always)]
    fn pull_invariants<S: Simd>(&self, s: S, index: usize, step: &Step, memory: &mut Memory) {
        let Some(invariants) = &step.invariants else { return };
        let Memory { forward, orders, density, energies, .. } = memory;
        let stride = forward.stride;
        let mut sum = [0.0; ENVIRONMENTS];
        for (&[l, q1, q2], &weight) in invariants.pairs.iter().zip(&self.weights.pairs[index]) {
            let n = 2 * l as usize + 1;
            let place = invariants.seconds[l as usize];
            let (first, second) = (q1 as usize * n * stride, q2 as usize * n * stride);
            let x = &forward.orders[0].blocks[l as usize][first..];
            let y = &forward.orders[index].blocks[place][second..];
            let gx = &mut density[l as usize][first..];
            let gy = &mut orders[index][place][second..];
            for e in (0..stride).step_by(ENVIRONMENTS) {
                inner_product(s, &x[e..], &y[e..], n, stride, weight, 2 * S::LANES, &mut sum);
                add_scaled(s, 1.0, &sum, 1, ENVIRONMENTS, &mut energies[e..]);
                add_scaled(s, weight, &y[e..], n, stride, &mut gx[e..]);
                add_scaled(s, weight, &x[e..], n, stride, &mut gy[e..]);
            }
        }
    }

    /// From the gradients of the outputs of a step to those of the orders below.
    #[inline(always)]
    fn pull_equivariants<S: Simd>(&self, s: S, index: usize, step: &Step, memory: &mut Memory) {
        let Memory { forward, orders, density, expanded, .. } = memory;
        let stride = forward.stride;
        let (lower, own) = orders.split_at_mut(index + 1);
        let needed = &self.demand.outputs[index];
        for ((output, &needed), gradient) in step.outputs.iter().zip(needed).zip(&own[0]) {
            let Some(projection) = output.projection.as_ref().filter(|_| needed > 0) else { continue };
            for (which, (order, _)) in projection.purification.iter().enumerate() {
                if let Some(place) = self.plan.find(*order, output.symmetry) {
                    let row = (2 * output.symmetry.lambda + 1) * stride;
                    let matrix = &projection.purification_backward()[which];
                    let right = columns::<S>(gradient, row);
                    multiply(s, matrix, matrix.rows(), 0..needed, right, &mut lower[order - 1][place], row);
                }
            }
        }
        for (coupling, transposed) in step.couplings.iter().zip(&self.transposed[index]) {
            for first in (0..coupling.pairs.len()).step_by(TILE) {
                if transposed.n_rows == 0 {
                    continue;
                }
                let pairs = first..coupling.pairs.len().min(first + TILE);
                for (target, start) in coupling.targets.iter().zip(&transposed.starts) {
                    let Some(start) = *start else { continue };
                    let gradient = &own[0][target.output];
                    let tile = Tile { pairs: pairs.clone(), start, n_rows: transposed.n_rows, stride };
                    tile.pull(s, step, target, needed[target.output], gradient, expanded);
                }
                let (values, n) = (&forward.orders, (2 * coupling.l + 1, 2 * coupling.lambda + 1));
                for (k, pair) in pairs.enumerate() {
                    let (q1, q2) = (coupling.pairs[pair][0] as usize, coupling.pairs[pair][1] as usize);
                    let at = [q1 * n.0 * stride, q2 * n.1 * stride];
                    let x = &values[0].blocks[coupling.l][at[0]..];
                    let y = &values[index].blocks[coupling.second][at[1]..];
                    let gx = &mut density[coupling.l][at[0]..];
                    let gy = &mut lower[index][coupling.second][at[1]..];
                    let g = &expanded[k * transposed.n_rows * stride..];
                    let factor = coupling.factors[pair];
                    for e in (0..stride).step_by(ENVIRONMENTS) {
                        let (gx, gy) = (&mut gx[e..], &mut gy[e..]);
                        let (x, y) = (&x[e..], &y[e..]);
                        pull_back(s, &transposed.sums, &g[e..], factor, x, y, n.0, n.1, stride, gx, gy);
                    }
                }
            }
        }
    }

    /// Gradients of the environments of a block.
    fn store(&self, e: &Environments<'_>, memory: &Memory, gradients: &mut [f64]) {
        let (stride, width) = (memory.forward.stride, e.layout.padded_len());
        gradients.fill(0.0);
        for (l, &channels) in self.plan.channels.iter().enumerate() {
            let n_m = 2 * l + 1;
            let ((start, row_stride), places) = (e.layout.padded(l), e.layout.padded_places(l));
            let (first, second) = (&memory.density[l], &memory.orders[0][l]);
            for (which, row) in gradients.chunks_exact_mut(width.max(1)).enumerate() {
                for m in 0..n_m {
                    for q in 0..channels {
                        let at = (q * n_m + m) * stride + which;
                        row[start + m * row_stride + places[q]] = first[at] + second[at];
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn columns<S: Simd>(gradient: &[f64], row: usize) -> Columns<'_> {
    Columns { data: gradient, panel: 2 * S::LANES, row, count: row / (2 * S::LANES) }
}

/// Some pairs of a coupling, and where the gradients of one target stand among those of all.
struct Tile {
    pairs: std::ops::Range<usize>,
    start: usize,
    n_rows: usize,
    stride: usize,
}

impl Tile {
    /// The gradient of expanded pairs from that of the output they were contracted to.
    #[inline(always)]
    fn pull<S: Simd>(
        &self,
        s: S,
        step: &Step,
        target: &Target,
        needed: usize,
        gradient: &[f64],
        expanded: &mut [f64],
    ) {
        let output = &step.outputs[target.output];
        let row = (2 * output.symmetry.lambda + 1) * self.stride;
        let pair = self.n_rows * self.stride;
        let start = self.start * self.stride;
        for k in 0..self.pairs.len() {
            expanded[k * pair + start..k * pair + start + row].fill(0.0);
        }
        let count = target.count.min(self.pairs.end).saturating_sub(self.pairs.start);
        if count == 0 {
            return;
        }
        match &output.projection {
            Some(_) => {
                let matrix = &target.backward()[self.pairs.start / TILE];
                let right = columns::<S>(gradient, row);
                multiply(s, matrix, count, 0..needed, right, &mut expanded[start..], pair);
            }
            None => {
                for k in 0..count {
                    let from = target.row + self.pairs.start + k;
                    if from < needed {
                        let to = &mut expanded[k * pair + start..][..row];
                        to.copy_from_slice(&gradient[from * row..(from + 1) * row]);
                    }
                }
            }
        }
    }
}
