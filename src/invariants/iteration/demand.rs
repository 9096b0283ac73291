//! What has to be computed for what is wanted: everything else is skipped.
//!
//! A later order uses only some of the components before it, mostly the first ones: they are sorted by variance. Of the
//! last equivariants before an order of invariants, the odd ones are not used at all.

use super::plan::{Coupling, Plan, Projection, Step};

/// How many components of every block are needed: the first ones.
#[derive(Debug, Clone)]
pub(super) struct Demand {
    /// `[nu - 2][output]`
    pub(super) outputs: Vec<Vec<usize>>,
    /// Whether the contracted invariants of an order are. [nu - 2]
    pub(super) invariants: Vec<bool>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// All invariant features.
    Features,
    /// An energy linear in them and its gradient: the equivariants that the features are made of.
    Energy,
    /// Blocks, as (order, place in the order).
    Blocks(&'a [(usize, usize)]),
}

impl Demand {
    pub(super) fn new(plan: &Plan, wanted: Wanted<'_>) -> Self {
        let mut demand = Self {
            outputs: plan.steps.iter().map(|step| vec![0; step.outputs.len()]).collect(),
            invariants: vec![wanted == Wanted::Features; plan.steps.len()],
        };
        if let Wanted::Blocks(blocks) = wanted {
            for &(nu, place) in blocks.iter().filter(|(nu, _)| *nu > 1) {
                demand.outputs[nu - 2][place] = plan.steps[nu - 2].outputs[place].width;
            }
        }
        for (index, step) in plan.steps.iter().enumerate().rev() {
            demand.ask_for_outputs(plan, index, step);
            if !matches!(wanted, Wanted::Blocks(_)) {
                demand.ask_for_invariants(index, step);
            }
        }
        demand
    }

    /// Highest step with anything to do.
    pub(super) fn last_step(&self) -> usize {
        let busy = |k: &usize| self.invariants[*k] || self.outputs[*k].iter().any(|&n| n > 0);
        (0..self.outputs.len()).rev().find(busy).map_or(0, |k| k + 1)
    }

    fn need(&mut self, index: usize, output: usize, count: usize) {
        let needed = &mut self.outputs[index][output];
        *needed = (*needed).max(count);
    }

    fn ask_for_outputs(&mut self, plan: &Plan, index: usize, step: &Step) {
        for (k, output) in step.outputs.iter().enumerate() {
            if self.outputs[index][k] == 0 {
                continue;
            }
            let purification = output.projection.iter().flat_map(|p: &Projection| &p.purification);
            for (order, matrix) in purification.filter(|(order, _)| *order > 1) {
                if let Some(place) = plan.find(*order, output.symmetry) {
                    self.need(order - 2, place, matrix.depth());
                }
            }
        }
        if index > 0 {
            for coupling in &step.couplings {
                if !self.is_active(index, coupling) {
                    continue;
                }
                let most = coupling.pairs.iter().map(|pair| pair[1] as usize + 1).max().unwrap_or(0);
                self.need(index - 1, coupling.second, most);
            }
        }
    }

    fn ask_for_invariants(&mut self, index: usize, step: &Step) {
        let Some(invariants) = step.invariants.as_ref().filter(|_| index > 0) else { return };
        for &[l, _, second] in &invariants.pairs {
            self.need(index - 1, invariants.seconds[l as usize], second as usize + 1);
        }
    }

    /// Whether a coupling reaches anything that is needed.
    pub(super) fn is_active(&self, index: usize, coupling: &Coupling) -> bool {
        coupling.targets.iter().any(|t| t.count > 0 && self.outputs[index][t.output] > 0)
    }
}
