//! The values of a block of environments, environments contiguous: [channel][m][environment].

use super::demand::Demand;
use super::plan::Plan;
use crate::error::Result;
use crate::memory::all_of;
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

    /// Takes packed density coefficients, [environment, width]; environments missing to whole vectors are zero.
    pub(super) fn load(&mut self, plan: &Plan, rows: &[f64]) {
        let width = plan.density_width();
        let n = rows.len() / width.max(1);
        self.stride = n.next_multiple_of(T::ENVIRONMENTS);
        let stride = self.stride;
        let mut start = 0;
        for (l, &channels) in plan.channels.iter().enumerate() {
            let block = &mut self.orders[0].blocks[l];
            for m in 0..=2 * l {
                for q in 0..channels {
                    let to = &mut block[(q * (2 * l + 1) + m) * stride..][..stride];
                    to[n..].fill(T::default());
                    let from = rows[start + m * channels + q..].iter().step_by(width);
                    for (x, y) in to[..n].iter_mut().zip(from) {
                        *x = T::nearest(*y);
                    }
                }
            }
            start += (2 * l + 1) * channels;
        }
        let invariants = plan.channels[0] * stride;
        let Order { blocks, invariants: first } = &mut self.orders[0];
        first[..invariants].copy_from_slice(&blocks[0][..invariants]);
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
    rows: &mut [T],
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
    rows: &mut [T],
) {
    for e in (0..n).step_by(TILE) {
        let to = e * width + first;
        if count == TILE && e + TILE <= n {
            store_tile(&values[e..], stride, &mut rows[to..], width);
        } else {
            for q in 0..count {
                for x in 0..TILE.min(n - e) {
                    rows[to + x * width + q] = values[q * stride + e + x];
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
pub(super) fn store<T: Element>(values: &[T], stride: usize, n_m: usize, channels: usize, rows: &mut [T]) {
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
fn store_tile<T: Element>(values: &[T], stride: usize, rows: &mut [T], width: usize) {
    let mut tile = [[T::default(); TILE]; TILE];
    for q in 0..TILE {
        tile[q].copy_from_slice(&values[q * stride..q * stride + TILE]);
    }
    for e in 0..TILE {
        let row = &mut rows[e * width..e * width + TILE];
        for q in 0..TILE {
            row[q] = tile[q][e];
        }
    }
}
