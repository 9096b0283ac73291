//! The values of a block of environments, environments contiguous: `[channel][m][environment]`.

use super::demand::Demand;
use super::plan::Plan;
use crate::density::Layout;
use crate::error::Result;
use crate::invariants::{Along, Environments};
use crate::memory::{Grow, all_of};
use crate::simd::{Aligned, Element};

/// Most environments of a block.
pub(super) const fn most_environments<T: Element>() -> usize {
    2 * T::ENVIRONMENTS
}

/// Expanded pairs that are contracted at once.
pub(super) const DEPTH: usize = 96;

/// Numbers of one order.
#[derive(Debug)]
pub(super) struct Order<T = f64> {
    /// [block][channel, m, environment]
    pub(super) blocks: Vec<Aligned<T>>,
    /// [channel, environment]
    pub(super) invariants: Aligned<T>,
}

/// Scratch memory of one thread.
#[derive(Debug)]
pub(super) struct Workspace<T = f64> {
    /// Environments of the block in hand, a multiple of [`Element::ENVIRONMENTS`].
    pub(super) stride: usize,
    /// Values; the density is the first order. [nu - 1]
    pub(super) orders: Vec<Order<T>>,
    /// Expanded pairs in panels of two vectors of environments. [output][m, panel, DEPTH, 2 vectors]
    pub(super) expanded: Vec<Aligned<T>>,
    /// Products of two channels. [m1, m2, ENVIRONMENTS]
    pub(super) products: Aligned<T>,
}

impl<T: Element> Workspace<T> {
    pub(super) fn new(plan: &Plan, demand: &Demand) -> Result<Self> {
        let environments = most_environments::<T>();
        let sizes = |nu: usize| -> Vec<usize> {
            let needed = |k: usize, all: usize| if nu == 1 { all } else { demand.outputs[nu - 2][k] };
            let blocks = plan.blocks(nu).into_iter().enumerate();
            blocks.map(|(k, (s, q))| needed(k, q) * (2 * s.lambda + 1) * environments).collect()
        };
        let order = |nu: usize| {
            Ok(Order {
                blocks: all_of(sizes(nu).into_iter().map(Aligned::zeros))?,
                invariants: Aligned::zeros(plan.n_invariants(nu) * environments)?,
            })
        };
        let n_outputs = plan.steps.iter().map(|step| step.outputs.len()).max().unwrap_or(0);
        let most = |k: usize| {
            let lambdas = plan.steps.iter().filter_map(|step| step.outputs.get(k)).map(|o| o.symmetry.lambda);
            lambdas.max().unwrap_or(0)
        };
        let degrees = plan.steps.iter().flat_map(|step| step.couplings.iter().map(|c| (c.l, c.lambda)));
        let products = degrees.map(|(l, lambda)| (2 * l + 1) * (2 * lambda + 1)).max().unwrap_or(1);
        // Invariants use the first buffer.
        let expanded =
            (0..n_outputs.max(1)).map(|k| Aligned::zeros((2 * most(k) + 1) * environments * DEPTH));
        Ok(Self {
            stride: environments,
            orders: all_of((1..=plan.max_order()).map(order))?,
            expanded: all_of(expanded)?,
            products: Aligned::zeros(products * T::ENVIRONMENTS)?,
        })
    }

    /// Takes the coefficients of environments; those missing to whole vectors are zero.
    pub(super) fn load(&mut self, plan: &Plan, e: &Environments<'_>) {
        let (n, width) = (e.len(), e.layout.padded_len());
        self.fill_density(plan, e.layout, n, |place, to| {
            for (x, y) in to.iter_mut().zip(e.c[place..].iter().step_by(width)) {
                *x = T::nearest(*y);
            }
        });
    }

    /// Takes `count` directions from the one with index `first` on, likewise.
    pub(super) fn load_directions(
        &mut self,
        plan: &Plan,
        layout: &Layout,
        along: Along<'_>,
        first: usize,
        count: usize,
    ) {
        self.fill_density(plan, layout, count, |place, to| {
            for (x, y) in to.iter_mut().zip(&along.d[place * along.stride + first..]) {
                *x = T::nearest(*y);
            }
        });
    }

    /// Fills the first order, channel by channel from its place in padded coefficients.
    fn fill_density(&mut self, plan: &Plan, layout: &Layout, n: usize, take: impl Fn(usize, &mut [T])) {
        self.stride = n.next_multiple_of(T::ENVIRONMENTS);
        let stride = self.stride;
        for (l, &channels) in plan.channels.iter().enumerate() {
            let block = &mut self.orders[0].blocks[l];
            let ((start, row), places) = (layout.padded(l), layout.padded_places(l));
            for m in 0..=2 * l {
                for q in 0..channels {
                    let to = &mut block[(q * (2 * l + 1) + m) * stride..][..stride];
                    to[n..].fill(T::default());
                    take(start + m * row + places[q], &mut to[..n]);
                }
            }
        }
        let invariants = plan.channels[0] * stride;
        let Order { blocks, invariants: first } = &mut self.orders[0];
        first[..invariants].copy_from_slice(&blocks[0][..invariants]);
    }
}

/// The equivariants of one environment, which directions are taken at. `[nu - 1][block][channel, m]`
#[derive(Debug, Default)]
pub(super) struct Fixed<T = f64>(pub(super) Vec<Vec<Vec<T>>>);

impl<T: Element> Fixed<T> {
    /// Takes what was computed for one of the environments of a block.
    pub(super) fn take(&mut self, memory: &Workspace<T>, which: usize) -> Result<()> {
        self.0.resize_with(memory.orders.len(), Vec::new);
        for (orders, order) in self.0.iter_mut().zip(&memory.orders) {
            orders.resize_with(order.blocks.len(), Vec::new);
            for (numbers, block) in orders.iter_mut().zip(&order.blocks) {
                numbers.clear();
                let own = block[which.min(block.len())..].iter().step_by(memory.stride.max(1));
                numbers.try_extend(own.copied())?;
            }
        }
        Ok(())
    }
}

/// Sides of the tiles of a transposition: doubles of a cache line.
const TILE: usize = 8;

/// Values [channel, environment] to the columns from `first` on of rows [environment, width].
#[inline(always)]
pub(super) fn store_columns<T: Element>(
    values: &[T],
    stride: usize,
    channels: usize,
    first: usize,
    width: usize,
    rows: &mut [f64],
) {
    let n = rows.len() / width;
    for q in (0..channels).step_by(TILE) {
        let count = TILE.min(channels - q);
        store_strip(&values[q * stride..], stride, count, first + q, width, n, rows);
    }
}

/// Up to [`TILE`] channels of [`store_columns`].
#[inline(always)]
fn store_strip<T: Element>(
    values: &[T],
    stride: usize,
    count: usize,
    first: usize,
    width: usize,
    n: usize,
    rows: &mut [f64],
) {
    for e in (0..n).step_by(TILE) {
        let to = e * width + first;
        if count == TILE && e + TILE <= n {
            store_tile(&values[e..], stride, &mut rows[to..], width);
        } else {
            for q in 0..count {
                for x in 0..TILE.min(n - e) {
                    rows[to + x * width + q] = values[q * stride + e + x].wide();
                }
            }
        }
    }
}

/// Values of a block [channel, m, environment] to rows [environment, m, channel].
///
/// Tiles, so that neither side is read or written one number to a cache line; channels outermost, because every channel
/// is one stretch of memory, which the hardware fetches ahead.
#[inline(always)]
pub(super) fn store<T: Element>(values: &[T], stride: usize, n_m: usize, channels: usize, rows: &mut [f64]) {
    let width = n_m * channels;
    if width == 0 {
        return;
    }
    let n = rows.len() / width;
    for first in (0..channels).step_by(TILE) {
        for m in 0..n_m {
            let values = &values[(first * n_m + m) * stride..];
            let count = TILE.min(channels - first);
            store_strip(values, n_m * stride, count, m * channels + first, width, n, rows);
        }
    }
}

/// One whole tile.
#[inline(always)]
fn store_tile<T: Element>(values: &[T], stride: usize, rows: &mut [f64], width: usize) {
    let mut tile = [[T::default(); TILE]; TILE];
    for q in 0..TILE {
        tile[q].copy_from_slice(&values[q * stride..q * stride + TILE]);
    }
    for e in 0..TILE {
        let row = &mut rows[e * width..e * width + TILE];
        for q in 0..TILE {
            row[q] = tile[q][e].wide();
        }
    }
}
