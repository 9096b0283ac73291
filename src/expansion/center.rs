//! The density of one center from all its neighbors, a block of pairs at a time.

use super::adjoint::Backward;
use super::block::{Block, PAIRS};
use super::plan::DensityPlan;
use crate::error::Result;
use crate::neighbors::{Neighborhood, Search};
use crate::simd::{Aligned, Simd};

/// Scratch memory of one thread, reused from center to center.
#[derive(Debug)]
pub struct Workspace {
    pub(super) near: Neighborhood,
    pub(super) scratch: Scratch,
}

/// All of it but the neighbors, which a search borrows.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Neighbors in the order of their species. [pair]
    pub(super) order: Vec<u32>,
    /// Species index of each neighbor, in that order. [pair]
    pub(super) kinds: Vec<u32>,
    pub(super) block: Block,
    /// Empty until a gradient is asked for.
    pub(super) backward: Backward,
    /// Padded coefficients of the center; see `Layout`.
    pub(super) coefficients: Aligned,
}

impl Workspace {
    /// Scratch for centers of a plan.
    #[must_use]
    pub fn new(plan: &DensityPlan) -> Self {
        let kinds = || (0..plan.species().len()).map(|a| plan.center(a));
        let row = kinds().map(|kind| kind.row).max().unwrap_or(0);
        let padded = kinds().map(|kind| kind.layout.padded_len()).max().unwrap_or(0);
        Self {
            near: Neighborhood::default(),
            scratch: Scratch {
                order: Vec::new(),
                kinds: Vec::new(),
                block: Block::new(plan, row),
                backward: Backward::default(),
                coefficients: Aligned::zeros(padded),
            },
        }
    }
}

impl Scratch {
    /// Expands the density of one center of a structure into `self.coefficients`.
    ///
    /// `species` holds the species index of every atom of the structure.
    #[inline(always)]
    pub(super) fn expand<S: Simd>(
        &mut self,
        s: S,
        plan: &DensityPlan,
        search: &mut Search<'_, '_>,
        species: &[u32],
        center: usize,
    ) -> Result<()> {
        let own_species = species[center] as usize;
        let kind = plan.center(own_species);
        search.around(s, center)?;
        self.sort_by_species(search, species, plan.species().len(), kind.combined);
        let c = &mut self.coefficients[..kind.layout.padded_len()];
        c.fill(0.0);
        let own = &kind.own[own_species];
        c[..own.len()].copy_from_slice(own);
        for (order, kinds) in self.order.chunks(PAIRS).zip(self.kinds.chunks(PAIRS)) {
            self.block.prepare(s, plan, search, order);
            self.block.evaluate_harmonics(s, plan, order.len());
            self.block.interpolate(s, kind, kinds);
            self.block.accumulate(s, kind, kinds, c);
        }
        Ok(())
    }

    /// Orders the neighbors by species (stable), unless all species share their channels.
    #[inline(always)]
    fn sort_by_species(
        &mut self,
        search: &Search<'_, '_>,
        species: &[u32],
        n_species: usize,
        combined: bool,
    ) {
        self.order.clear();
        self.kinds.clear();
        if n_species == 1 {
            self.order.extend(0..search.len() as u32);
            self.kinds.resize(search.len(), 0);
            return;
        }
        let kind = |pair: u32| species[search.atom(pair as usize) as usize];
        if combined {
            self.order.extend(0..search.len() as u32);
        } else {
            for a in 0..n_species as u32 {
                self.order.extend((0..search.len() as u32).filter(|&pair| kind(pair) == a));
            }
        }
        self.kinds.extend(self.order.iter().map(|&pair| kind(pair)));
    }
}
