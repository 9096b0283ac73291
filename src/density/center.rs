//! The density of one center from all its neighbors, a block of pairs at a time.

use super::backward::Backward;
use super::block::Block;
use super::plan::DensityPlan;
use crate::error::Result;
use crate::memory::Grow;
use crate::neighbors::{Neighborhood, Search};
use crate::simd::{Aligned, Kernel, Simd};

/// Scratch memory of one thread, reused from center to center.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) near: Neighborhood,
    pub(crate) scratch: Scratch,
}

/// All of it but the neighbors, which a search borrows.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Neighbors in the order of their species. `[pair]`
    pub(crate) order: Vec<u32>,
    /// Species index of each neighbor, in that order. `[pair]`
    pub(crate) kinds: Vec<u32>,
    /// Where the neighbors of each species start. [species + 1]
    starts: Vec<u32>,
    pub(crate) block: Block,
    /// Empty until a gradient is asked for.
    pub(crate) backward: Backward,
    /// Padded coefficients of the center; see `Layout`.
    pub(crate) coefficients: Aligned,
}

impl Workspace {
    /// Scratch for centers of a plan.
    pub(crate) fn new(plan: &DensityPlan) -> Result<Self> {
        let kinds = || (0..plan.species().len()).map(|a| plan.center(a));
        let row = kinds().map(|kind| kind.row).max().unwrap_or(0);
        let padded = kinds().map(|kind| kind.layout.padded_len()).max().unwrap_or(0);
        Ok(Self {
            near: Neighborhood::default(),
            scratch: Scratch {
                order: Vec::new(),
                kinds: Vec::new(),
                starts: Vec::new(),
                block: Block::new(plan, row)?,
                backward: Backward::default(),
                coefficients: Aligned::zeros(padded)?,
            },
        })
    }
}

impl Scratch {
    /// Expands the density of one center of a structure into `self.coefficients`.
    ///
    /// `species` holds the species index of every atom of the structure.
    #[inline(always)]
    pub(crate) fn expand<S: Simd>(
        &mut self,
        s: S,
        plan: &DensityPlan,
        search: &mut Search<'_, '_>,
        species: &[u32],
        center: usize,
    ) -> Result<()> {
        self.begin(s, plan, search, species, center)?;
        let kind = plan.center(species[center] as usize);
        for (order, kinds) in self.order.chunks(kind.chunk).zip(self.kinds.chunks(kind.chunk)) {
            self.block.prepare(s, plan, search, order);
            self.block.evaluate_harmonics(s, plan, order.len());
            self.block.interpolate(s, kind, kinds);
            self.block.accumulate(s, kind, kinds, &mut self.coefficients);
        }
        Ok(())
    }

    /// Finds the neighbors of a center, and sets the coefficients to those of its own density.
    #[inline(always)]
    pub(crate) fn begin<S: Simd>(
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
        self.sort_by_species(search, species, plan.species().len(), kind.combined)?;
        let c = &mut self.coefficients[..kind.layout.padded_len()];
        c.fill(0.0);
        let own = &kind.own[own_species];
        c[..own.len()].copy_from_slice(own);
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
    ) -> Result<()> {
        let n = search.len();
        self.order.try_resize(n, 0)?;
        self.kinds.try_resize(n, 0)?;
        if n_species == 1 || combined {
            for pair in 0..n {
                self.order[pair] = pair as u32;
                self.kinds[pair] = if n_species == 1 { 0 } else { species[search.atom(pair) as usize] };
            }
            return Ok(());
        }
        // Counting sort.
        self.starts.clear();
        self.starts.resize(n_species + 1, 0);
        for pair in 0..n {
            self.starts[species[search.atom(pair) as usize] as usize + 1] += 1;
        }
        for a in 0..n_species {
            self.starts[a + 1] += self.starts[a];
        }
        for pair in 0..n {
            let kind = species[search.atom(pair) as usize];
            let place = self.starts[kind as usize] as usize;
            self.starts[kind as usize] += 1;
            (self.order[place], self.kinds[place]) = (pair as u32, kind);
        }
        Ok(())
    }
}

/// The coefficients of one center, and its neighbors.
pub(crate) struct Expand<'e, 's, 'a> {
    pub(crate) scratch: &'e mut Scratch,
    pub(crate) plan: &'e DensityPlan,
    pub(crate) search: &'e mut Search<'s, 'a>,
    pub(crate) species: &'e [u32],
    pub(crate) center: usize,
}

impl Kernel for Expand<'_, '_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<()> {
        self.scratch.expand(s, self.plan, self.search, self.species, self.center)
    }
}

/// The neighbors of one center.
pub(crate) struct Around<'e, 's, 'a> {
    pub(crate) scratch: &'e mut Scratch,
    pub(crate) plan: &'e DensityPlan,
    pub(crate) search: &'e mut Search<'s, 'a>,
    pub(crate) species: &'e [u32],
    pub(crate) center: usize,
}

impl Kernel for Around<'_, '_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<()> {
        self.scratch.begin(s, self.plan, self.search, self.species, self.center)
    }
}
