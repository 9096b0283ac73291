//! From one order to the next (Eq. 11): couple a density channel with a channel of the order below, and contract.
//!
//! Pairs are expanded for the environments of a block into buffers that stay in the cache. A full buffer is multiplied by
//! the projection at once, so that the expanded equivariants never exist in memory.

use super::block::{DEPTH, Fixed, Order, Workspace};
use super::demand::Demand;
use super::plan::{Coupling, Invariants, Output, Plan, Projection};
use super::precision::Precision;
use crate::simd::{
    Aligned, Columns, Element, Kernel, Lanes, Packed, Place, Simd, add_up, inner_product, inner_tangent,
    multiply, outer_product, outer_tangent,
};

/// All orders that are needed, from the density in the workspace; with `fixed` equivariants of an environment, from
/// directions in the workspace to derivatives along them.
pub(super) struct Iterate<'a, T: Precision> {
    pub(super) plan: &'a Plan,
    pub(super) demand: &'a Demand,
    pub(super) memory: &'a mut Workspace<T>,
    pub(super) fixed: Option<&'a Fixed<T>>,
}

impl<T: Precision> Kernel for Iterate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        iterate(T::lanes(s), self.plan, self.demand, self.memory, self.fixed);
    }
}

#[inline(always)]
fn iterate<S: Lanes<Element: Precision>>(
    s: S,
    plan: &Plan,
    demand: &Demand,
    memory: &mut Workspace<S::Element>,
    fixed: Option<&Fixed<S::Element>>,
) {
    for (index, step) in plan.steps.iter().enumerate().take(demand.last_step()) {
        let Workspace { stride, orders, expanded, products } = &mut *memory;
        let (lower, own) = orders.split_at_mut(index + 1);
        let mut equivariants =
            Equivariants { plan, needed: &demand.outputs[index], outputs: &step.outputs, stride: *stride };
        equivariants.purify(s, lower, &mut own[0].blocks);
        let mut filled = vec![Fill::default(); step.outputs.len()];
        for coupling in step.couplings.iter().filter(|c| demand.is_active(index, c)) {
            let blocks = &mut own[0].blocks;
            let at = fixed.map(|f| [&f.0[0][coupling.l][..], &f.0[index][coupling.second]]);
            equivariants.couple(s, coupling, lower, at, products, expanded, &mut filled, blocks);
        }
        for (k, fill) in filled.iter_mut().enumerate() {
            equivariants.flush(s, k, fill, &expanded[k], &mut own[0].blocks[k]);
        }
        if let Some(invariants) = step.invariants.as_ref().filter(|_| demand.invariants[index]) {
            let at = fixed.map(|f| [&f.0[0][..], &f.0[index]]);
            contract_invariants(s, invariants, lower, at, *stride, &mut expanded[0], &mut own[0].invariants);
        }
    }
}

/// How far the buffer of an output is.
#[derive(Debug, Clone, Copy, Default)]
struct Fill {
    /// Rows contracted already.
    done: usize,
    /// Rows in the buffer.
    waiting: usize,
}

/// The equivariants of one order for one block of environments.
struct Equivariants<'a> {
    plan: &'a Plan,
    needed: &'a [usize],
    outputs: &'a [Output],
    stride: usize,
}

impl Equivariants<'_> {
    /// Sets outputs to what purification makes of lower orders, or to zero.
    #[inline(always)]
    fn purify<S: Lanes<Element: Precision>>(
        &mut self,
        s: S,
        lower: &[Order<S::Element>],
        blocks: &mut [Aligned<S::Element>],
    ) {
        for ((output, &needed), block) in self.outputs.iter().zip(self.needed).zip(blocks) {
            let Some(projection) = output.projection.as_ref().filter(|_| needed > 0) else { continue };
            let row = (2 * output.symmetry.lambda + 1) * self.stride;
            let block = &mut block[..needed * row];
            block.fill(S::Element::default());
            for (order, matrix) in S::Element::purification(projection) {
                if let Some(place) = self.plan.find(*order, output.symmetry) {
                    add_lower(s, matrix, needed, &lower[order - 1].blocks[place], row, block);
                }
            }
        }
    }

    /// Expands all pairs of a coupling.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "factors, their strides, and where the products go")]
    fn couple<S: Lanes<Element: Precision>>(
        &self,
        s: S,
        coupling: &Coupling,
        lower: &[Order<S::Element>],
        fixed: Option<[&[S::Element]; 2]>,
        products: &mut [S::Element],
        expanded: &mut [Aligned<S::Element>],
        filled: &mut [Fill],
        blocks: &mut [Aligned<S::Element>],
    ) {
        let (n1, n2) = (2 * coupling.l + 1, 2 * coupling.lambda + 1);
        let density = &lower[0].blocks[coupling.l];
        let second = &lower[lower.len() - 1].blocks[coupling.second];
        for (k, (&[q1, q2], &factor)) in coupling.pairs.iter().zip(&coupling.factors).enumerate() {
            let x = &density[q1 as usize * n1 * self.stride..];
            let y = &second[q2 as usize * n2 * self.stride..];
            for e in (0..self.stride).step_by(S::Element::ENVIRONMENTS) {
                let (x, y) = (&x[e..], &y[e..]);
                match fixed {
                    None => outer_product(s, x, y, n1, n2, self.stride, factor, products),
                    Some([a, b]) => {
                        let at = [&a[q1 as usize * n1..][..n1], &b[q2 as usize * n2..][..n2]];
                        outer_tangent(s, at, [x, y], self.stride, factor, products);
                    }
                }
                for target in &coupling.targets {
                    let (output, needed) = (&self.outputs[target.output], self.needed[target.output]);
                    if k >= target.count || needed == 0 {
                        continue;
                    }
                    if output.projection.is_some() {
                        let place = panels::<S>(self.stride);
                        let from = e / S::Element::ENVIRONMENTS * S::Element::ENVIRONMENTS / (2 * S::LANES)
                            * place.panel
                            + filled[target.output].waiting * 2 * S::LANES;
                        add_up(s, &target.sums, products, place, &mut expanded[target.output][from..]);
                    } else if target.row + k < needed {
                        let place = Place { sum: self.stride, panel: 2 * S::LANES };
                        let row = (target.row + k) * (2 * output.symmetry.lambda + 1) * self.stride;
                        add_up(s, &target.sums, products, place, &mut blocks[target.output][row + e..]);
                    }
                }
            }
            for target in coupling.targets.iter().filter(|t| k < t.count && self.needed[t.output] > 0) {
                let fill = &mut filled[target.output];
                fill.waiting += 1;
                if fill.waiting == DEPTH {
                    self.flush(s, target.output, fill, &expanded[target.output], &mut blocks[target.output]);
                }
            }
        }
    }

    /// Contracts what waits in the buffer of an output.
    #[inline(always)]
    fn flush<S: Lanes<Element: Precision>>(
        &self,
        s: S,
        k: usize,
        fill: &mut Fill,
        expanded: &[S::Element],
        block: &mut [S::Element],
    ) {
        let output = &self.outputs[k];
        if let Some(projection) = &output.projection {
            let n_m = 2 * output.symmetry.lambda + 1;
            let rows = fill.done..fill.done + fill.waiting;
            let right = columns::<S>(expanded, n_m, self.stride);
            multiply(
                s,
                S::Element::forward(projection),
                self.needed[k],
                rows,
                right,
                block,
                n_m * self.stride,
            );
        }
        *fill = Fill { done: fill.done + fill.waiting, waiting: 0 };
    }
}

/// `block += B^T z`, z being the first components of a lower order; rows of both are `row` numbers.
#[inline(always)]
fn add_lower<S: Lanes<Element: Precision>>(
    s: S,
    matrix: &Packed<S::Element>,
    needed: usize,
    z: &[S::Element],
    row: usize,
    block: &mut [S::Element],
) {
    let width = 2 * S::LANES;
    let right = Columns { data: z, panel: width, row, count: row / width };
    multiply(s, matrix, needed, 0..matrix.depth(), right, block, row);
}

/// Where sums go in a buffer of expanded pairs.
#[inline(always)]
fn panels<S: Lanes<Element: Precision>>(stride: usize) -> Place {
    let panel = DEPTH * 2 * S::LANES;
    Place { sum: stride / (2 * S::LANES) * panel, panel }
}

/// A buffer of expanded pairs as the right operand of a product.
#[inline(always)]
fn columns<S: Lanes<Element: Precision>>(
    expanded: &[S::Element],
    n_m: usize,
    stride: usize,
) -> Columns<'_, S::Element> {
    let row = 2 * S::LANES;
    Columns { data: expanded, panel: DEPTH * row, row, count: n_m * stride / row }
}

/// Blocks of the density and of the order below of one environment, if directions are taken at it.
type FixedBlocks<'a, T> = Option<[&'a [Vec<T>]; 2]>;

/// Invariants of an order: `x = <l m; l m | 0 0> sum_m c a`, contracted.
#[inline(always)]
fn contract_invariants<S: Lanes<Element: Precision>>(
    s: S,
    invariants: &Invariants,
    lower: &[Order<S::Element>],
    fixed: FixedBlocks<'_, S::Element>,
    stride: usize,
    expanded: &mut [S::Element],
    out: &mut [S::Element],
) {
    let out = &mut out[..invariants.width * stride];
    let Some(projection) = &invariants.projection else {
        let place = Place { sum: stride, panel: 2 * S::LANES };
        expand_invariants(s, invariants, 0..invariants.pairs.len(), lower, fixed, stride, place, stride, out);
        return;
    };
    out.fill(S::Element::default());
    for (order, matrix) in S::Element::purification(projection) {
        add_lower(s, matrix, invariants.width, &lower[order - 1].invariants, stride, out);
    }
    contract(s, invariants, projection, lower, fixed, stride, expanded, out);
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "factors, their strides, and where the products go")]
fn contract<S: Lanes<Element: Precision>>(
    s: S,
    invariants: &Invariants,
    projection: &Projection,
    lower: &[Order<S::Element>],
    fixed: FixedBlocks<'_, S::Element>,
    stride: usize,
    expanded: &mut [S::Element],
    out: &mut [S::Element],
) {
    let n = invariants.pairs.len();
    for first in (0..n).step_by(DEPTH) {
        let rows = first..n.min(first + DEPTH);
        let place = panels::<S>(stride);
        expand_invariants(s, invariants, rows.clone(), lower, fixed, stride, place, 2 * S::LANES, expanded);
        let right = columns::<S>(expanded, 1, stride);
        multiply(s, S::Element::forward(projection), invariants.width, rows, right, out, stride);
    }
}

/// Expanded invariants of some pairs; the k-th one stands at k times `row`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "factors, their strides, and where the products go")]
fn expand_invariants<S: Lanes<Element: Precision>>(
    s: S,
    invariants: &Invariants,
    rows: std::ops::Range<usize>,
    lower: &[Order<S::Element>],
    fixed: FixedBlocks<'_, S::Element>,
    stride: usize,
    place: Place,
    row: usize,
    out: &mut [S::Element],
) {
    let below = &lower[lower.len() - 1].blocks;
    for (k, at) in rows.enumerate() {
        let [l, q1, q2] = invariants.pairs[at];
        let n = 2 * l as usize + 1;
        let x = &lower[0].blocks[l as usize][q1 as usize * n * stride..];
        let y = &below[invariants.seconds[l as usize]][q2 as usize * n * stride..];
        for e in (0..stride).step_by(S::Element::ENVIRONMENTS) {
            let to = k * row + e / (2 * S::LANES) * place.panel;
            let factor = invariants.factors[at];
            let (x, y, out) = (&x[e..], &y[e..], &mut out[to..]);
            match fixed {
                None => inner_product(s, x, y, n, stride, factor, place.panel, out),
                Some([a, b]) => {
                    let a = &a[l as usize][q1 as usize * n..][..n];
                    let b = &b[invariants.seconds[l as usize]][q2 as usize * n..][..n];
                    inner_tangent(s, [a, b], [x, y], stride, factor, place.panel, out);
                }
            }
        }
    }
}
