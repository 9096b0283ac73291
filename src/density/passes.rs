//! The way forward from the pairs of a center to its coefficients, and back from a gradient by these to the atoms.

use super::center::Scratch;
use super::plan::DensityPlan;
use crate::error::Result;
use crate::memory::Grow;
use crate::neighbors::Search;
use crate::simd::{Kernel, Simd};
use crate::structure::Vector;

/// The coefficients of a center whose pairs will be pulled at: few of them are evaluated once, with their derivatives.
/// Returns whether they were.
pub(crate) struct Forward<'e, 's, 'a> {
    pub(crate) scratch: &'e mut Scratch,
    pub(crate) plan: &'e DensityPlan,
    pub(crate) search: &'e mut Search<'s, 'a>,
    pub(crate) species: &'e [u32],
    pub(crate) center: usize,
}

impl Kernel for Forward<'_, '_, '_> {
    type Output = Result<bool>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<bool> {
        let Self { scratch, plan, search, species, center } = self;
        scratch.begin(s, plan, search, species, center)?;
        let Scratch { order, kinds, block, backward, coefficients, .. } = scratch;
        let kind = plan.center(species[center] as usize);
        let single = order.len() <= kind.chunk;
        for (order, kinds) in order.chunks(kind.chunk).zip(kinds.chunks(kind.chunk)) {
            block.prepare(s, plan, search, order);
            if single {
                backward.evaluate::<S, false>(s, plan, kind, block, kinds)?;
            } else {
                block.evaluate_harmonics(s, plan, order.len());
                block.interpolate(s, kind, kinds);
            }
            block.accumulate(s, kind, kinds, coefficients);
        }
        Ok(single)
    }
}

/// What the pairs of the center of the last search pull at, from the gradient by its coefficients, padded.
pub(crate) struct Pulls<'e, 's, 'a> {
    pub(crate) scratch: &'e mut Scratch,
    pub(crate) plan: &'e DensityPlan,
    pub(crate) search: &'e Search<'s, 'a>,
    /// Species of the center.
    pub(crate) species: usize,
    /// Whether the pairs are evaluated already, as [`Forward`] tells.
    pub(crate) evaluated: bool,
    pub(crate) gradient: &'e [f64],
    /// `dE/dr` of atoms is appended, the center last; an atom stands there once for every image.
    pub(crate) out: &'e mut Vec<(u32, Vector)>,
    /// `dE/d(strain)` is added.
    pub(crate) virial: &'e mut [Vector; 3],
}

impl Kernel for Pulls<'_, '_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<()> {
        let Self { scratch, plan, search, species, evaluated, gradient, out, virial } = self;
        let Scratch { order, kinds, block, backward, .. } = scratch;
        let kind = plan.center(species);
        out.make_room(order.len() + 1)?;
        let mut pull_of_center = [0.0; 3];
        for (order, kinds) in order.chunks(kind.chunk).zip(kinds.chunks(kind.chunk)) {
            if !evaluated {
                block.prepare(s, plan, search, order);
                backward.evaluate::<S, false>(s, plan, kind, block, kinds)?;
            }
            for (lane, &pair) in order.iter().enumerate() {
                let pull = backward.pull(s, kind, block, gradient, kinds[lane] as usize, lane);
                let (vector, _) = search.vector(pair as usize);
                for x in 0..3 {
                    pull_of_center[x] -= pull[x];
                    for y in 0..3 {
                        virial[x][y] += pull[x] * vector[y];
                    }
                }
                out.push((search.atom(pair as usize), pull));
            }
        }
        out.push((search.center() as u32, pull_of_center));
        Ok(())
    }
}
