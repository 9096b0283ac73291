//! What a fit decides: which channels are coupled, and how the products are contracted.

use crate::simd::Level;

/// Behavior under rotation and inversion: as the harmonics `Y_lambda` times sigma under inversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symmetry {
    /// Degree.
    pub lambda: usize,
    /// Whether inversion changes the sign as it does for `Y_lambda` (sigma = +1).
    pub even: bool,
}

impl Symmetry {
    /// Of density coefficients of degree l.
    #[must_use]
    pub fn density(l: usize) -> Self {
        Self { lambda: l, even: true }
    }

    /// Of what the density of degree l and this couple to at degree lambda (Eq. 11); none where they do not add up.
    #[must_use]
    pub fn coupled(self, l: usize, lambda: usize) -> Option<Self> {
        let adds_up = (l.abs_diff(self.lambda)..=l + self.lambda).contains(&lambda);
        let even = self.even == (l + self.lambda + lambda).is_multiple_of(2);
        adds_up.then_some(Self { lambda, even })
    }
}

/// Pairs of a density channel of degree l and a channel of the equivariants of the order below.
#[derive(Debug, Clone, PartialEq)]
pub struct CouplingSettings {
    /// Degree of the density.
    pub l: usize,
    /// Symmetry of the second factor; at the order 2 that is the density again.
    pub second: Symmetry,
    /// (density channel, second channel)
    pub pairs: Vec<[u32; 2]>,
    /// A factor for each pair; sqrt 2 for a pair that stands for two.
    pub factors: Vec<f64>,
    /// Pairs from here on are a channel with itself: their products of odd l + l + lambda vanish and are left out.
    pub distinct: usize,
}

/// `y = A^T x + sum_o B_o^T z_o`: the expanded pairs x contracted, and purified of lower orders z.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectionSettings {
    /// Number of components p.
    pub width: usize,
    /// A. [row, p]
    pub matrix: Vec<f64>,
    /// Lower orders nu and their B [n, p], which applies to the first n components of the same symmetry.
    pub purification: Vec<(usize, Vec<f64>)>,
}

/// Equivariants of one symmetry.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSettings {
    /// Their symmetry.
    pub symmetry: Symmetry,
    /// None for the expanded pairs as they are.
    pub projection: Option<ProjectionSettings>,
}

/// The invariants of an order: their own pairs, their own contraction.
#[derive(Debug, Clone, PartialEq)]
pub struct InvariantsSettings {
    /// (degree l, density channel, channel of the even equivariants of degree l of the order below)
    pub pairs: Vec<[u32; 3]>,
    /// As in [`CouplingSettings`].
    pub factors: Vec<f64>,
    /// None for the expanded pairs as they are.
    pub projection: Option<ProjectionSettings>,
}

/// One iteration, from order nu - 1 to nu.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSettings {
    /// Rows of an output are the pairs of all couplings that reach its symmetry, in this order.
    pub couplings: Vec<CouplingSettings>,
    /// Equivariants.
    pub outputs: Vec<OutputSettings>,
    /// Invariants.
    pub invariants: Option<InvariantsSettings>,
}

/// A whole iteration.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanSettings {
    /// Channels of the density. `[l]`
    pub channels: Vec<usize>,
    /// Orders 2, 3, ...
    pub steps: Vec<StepSettings>,
    /// Instruction set.
    pub level: Level,
}

impl CouplingSettings {
    /// Pairs whose product of degree lambda does not vanish; the first ones.
    #[must_use]
    pub fn count(&self, lambda: usize) -> usize {
        let odd = (self.l + self.second.lambda + lambda) % 2 == 1;
        if odd { self.distinct } else { self.pairs.len() }
    }
}

impl StepSettings {
    /// Number of expanded pairs of a symmetry.
    #[must_use]
    pub fn rows(&self, symmetry: Symmetry) -> usize {
        let reaches = |c: &&CouplingSettings| c.second.coupled(c.l, symmetry.lambda) == Some(symmetry);
        self.couplings.iter().filter(reaches).map(|c| c.count(symmetry.lambda)).sum()
    }
}
