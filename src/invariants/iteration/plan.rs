//! A checked iteration, arranged for the kernels.

use std::sync::OnceLock;

use super::settings::{
    CouplingSettings, InvariantsSettings, OutputSettings, PlanSettings, ProjectionSettings, StepSettings,
    Symmetry,
};
use crate::error::{Error, Result};
use crate::math::clebsch_gordan::{ClebschGordan, MAX_DEGREE};
use crate::memory::{all_of, collected};
use crate::simd::{Level, Packed, ROWS, Sums, Term};

/// Pairs whose gradients are made at once.
pub(super) const TILE: usize = 4 * ROWS;

/// A contraction, packed for products from either side.
#[derive(Debug)]
pub(super) struct Projection {
    /// `A^T`
    pub(super) forward: Packed,
    /// Lower orders and their `B^T`.
    pub(super) purification: Vec<(usize, Packed)>,
    /// Lower orders' `B`, made by [`Plan::prepare_backward`].
    purification_backward: OnceLock<Vec<Packed>>,
    /// The same in single precision, made by [`Plan::prepare_single`].
    single: OnceLock<SingleProjection>,
}

/// A [`Projection`] in single precision.
#[derive(Debug)]
pub(super) struct SingleProjection {
    pub(super) forward: Packed<f32>,
    pub(super) purification: Vec<(usize, Packed<f32>)>,
}

/// One symmetry that a coupling reaches.
#[derive(Debug)]
pub(super) struct Target {
    /// Which output.
    pub(super) output: usize,
    /// Its first row.
    pub(super) row: usize,
    /// Pairs that reach it: the first ones.
    pub(super) count: usize,
    /// Products to orders mu.
    pub(super) sums: Sums,
    /// Rows of `A` for this coupling by tiles of pairs, made by [`Plan::prepare_backward`].
    backward: OnceLock<Vec<Packed>>,
}

#[derive(Debug)]
pub(super) struct Coupling {
    pub(super) l: usize,
    /// Degree of the second factor.
    pub(super) lambda: usize,
    /// Which output of the order below; the degree, if that is the density.
    pub(super) second: usize,
    pub(super) pairs: Vec<[u32; 2]>,
    pub(super) factors: Vec<f64>,
    pub(super) targets: Vec<Target>,
}

#[derive(Debug)]
pub(super) struct Output {
    pub(super) symmetry: Symmetry,
    pub(super) width: usize,
    pub(super) projection: Option<Projection>,
}

#[derive(Debug)]
pub(super) struct Invariants {
    /// (degree, density channel, channel of the order below)
    pub(super) pairs: Vec<[u32; 3]>,
    pub(super) factors: Vec<f64>,
    /// Where the even equivariants of a degree stand in the order below. `[l]`
    pub(super) seconds: Vec<usize>,
    pub(super) width: usize,
    pub(super) projection: Option<Projection>,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) couplings: Vec<Coupling>,
    pub(super) outputs: Vec<Output>,
    pub(super) invariants: Option<Invariants>,
}

/// A checked iteration.
#[derive(Debug)]
pub struct Plan {
    pub(super) channels: Vec<usize>,
    pub(super) steps: Vec<Step>,
    pub(super) level: Level,
}

fn bad<T>(requirement: &'static str, value: String) -> Result<T> {
    Err(Error::BadParameter { name: "an iteration of equivariants", requirement, value })
}

impl Plan {
    /// Checks and arranges the settings.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if a coupling names a channel that is not there, shapes do not fit, a number is not finite
    /// or a degree is above [`MAX_DEGREE`].
    pub fn new(settings: &PlanSettings) -> Result<Self> {
        let channels = settings.channels.clone();
        if channels.is_empty() {
            return bad("given channels of at least one degree", format!("{channels:?}"));
        }
        let degrees = settings.steps.iter().flat_map(|s| s.outputs.iter().map(|o| o.symmetry.lambda));
        let max_degree = degrees.chain([channels.len() - 1]).max().unwrap_or(0);
        if max_degree > MAX_DEGREE {
            return bad("of degrees up to 40", max_degree.to_string());
        }
        let tables = ClebschGordan::new(max_degree);
        let mut plan = Self { channels, steps: Vec::new(), level: settings.level };
        for step in &settings.steps {
            let step = plan.make_step(step, &tables)?;
            plan.steps.push(step);
        }
        Ok(plan)
    }

    /// Channels of the density. `[l]`
    #[must_use]
    pub fn channels(&self) -> &[usize] {
        &self.channels
    }

    /// The highest order.
    #[must_use]
    pub fn max_order(&self) -> usize {
        self.steps.len() + 1
    }

    /// Numbers in a packed row of density coefficients.
    #[must_use]
    pub fn density_width(&self) -> usize {
        self.channels.iter().enumerate().map(|(l, q)| (2 * l + 1) * q).sum()
    }

    /// Number of invariant features: those of order 1 (density of degree 0), 2, ...
    #[must_use]
    pub fn n_features(&self) -> usize {
        (1..=self.max_order()).map(|nu| self.n_invariants(nu)).sum()
    }

    /// Number of invariant features of one order.
    #[must_use]
    pub fn n_invariants(&self, nu: usize) -> usize {
        match nu {
            1 => self.channels[0],
            _ => self.steps[nu - 2].invariants.as_ref().map_or(0, |i| i.width),
        }
    }

    /// Symmetry and number of channels of every block of an order, the density's for order 1.
    #[must_use]
    pub fn blocks(&self, nu: usize) -> Vec<(Symmetry, usize)> {
        match nu {
            1 => self.channels.iter().enumerate().map(|(l, &q)| (Symmetry::density(l), q)).collect(),
            _ => self.steps[nu - 2].outputs.iter().map(|o| (o.symmetry, o.width)).collect(),
        }
    }

    /// Where a symmetry stands among the blocks of an order.
    #[must_use]
    pub fn find(&self, nu: usize, symmetry: Symmetry) -> Option<usize> {
        self.blocks(nu).iter().position(|(s, _)| *s == symmetry)
    }

    /// Packs projections for gradients, before the first one is asked for.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(super) fn prepare_backward(&self) -> Result<()> {
        for step in &self.steps {
            for projection in step.outputs.iter().filter_map(|output| output.projection.as_ref()) {
                projection.prepare_backward()?;
            }
            for target in step.couplings.iter().flat_map(|coupling| &coupling.targets) {
                if let Some(projection) = &step.outputs[target.output].projection {
                    target.prepare_backward(projection)?;
                }
            }
        }
        Ok(())
    }

    /// Rounds projections, before single precision is asked for the first time.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(super) fn prepare_single(&self) -> Result<()> {
        for step in &self.steps {
            let invariants = step.invariants.iter().filter_map(|i| i.projection.as_ref());
            let outputs = step.outputs.iter().filter_map(|output| output.projection.as_ref());
            outputs.chain(invariants).try_for_each(Projection::prepare_single)?;
        }
        Ok(())
    }

    fn make_step(&self, settings: &StepSettings, tables: &ClebschGordan) -> Result<Step> {
        let nu = self.max_order() + 1;
        let mut outputs = Vec::new();
        for (k, output) in settings.outputs.iter().enumerate() {
            if settings.outputs[..k].iter().any(|other| other.symmetry == output.symmetry) {
                return bad("given every symmetry once", format!("{:?} twice", output.symmetry));
            }
            outputs.push(self.make_output(nu, output, settings.rows(output.symmetry))?);
        }
        let mut rows = vec![0; outputs.len()];
        let couplings = settings
            .couplings
            .iter()
            .map(|coupling| self.make_coupling(coupling, &outputs, &mut rows, tables))
            .collect::<Result<_>>()?;
        let invariants = settings.invariants.as_ref().map(|i| self.make_invariants(nu, i)).transpose()?;
        Ok(Step { couplings, outputs, invariants })
    }

    fn make_output(&self, nu: usize, settings: &OutputSettings, rows: usize) -> Result<Output> {
        let symmetry = settings.symmetry;
        let available = |order: usize| {
            let place = self.find(order, symmetry)?;
            Some(self.blocks(order)[place].1)
        };
        let projection =
            settings.projection.as_ref().map(|p| Projection::new(p, nu, rows, available)).transpose()?;
        let width = settings.projection.as_ref().map_or(rows, |p| p.width);
        Ok(Output { symmetry, width, projection })
    }

    fn make_coupling(
        &self,
        settings: &CouplingSettings,
        outputs: &[Output],
        rows: &mut [usize],
        tables: &ClebschGordan,
    ) -> Result<Coupling> {
        let CouplingSettings { l, second, .. } = *settings;
        let nu = self.max_order();
        let Some(place) = self.find(nu, second) else {
            return bad("given pairs of channels that exist", format!("{second:?} of order {nu}"));
        };
        let limits = [self.channels.get(l).copied().unwrap_or(0), self.blocks(nu)[place].1];
        check_pairs(&settings.pairs, &settings.factors, |pair| {
            (pair[0] as usize) < limits[0] && (pair[1] as usize) < limits[1]
        })?;
        if settings.distinct > settings.pairs.len() {
            return bad("given self pairs among its pairs", settings.distinct.to_string());
        }
        let mut targets = Vec::new();
        for (k, output) in outputs.iter().enumerate() {
            let lambda = output.symmetry.lambda;
            if second.coupled(l, lambda) != Some(output.symmetry) {
                continue;
            }
            let count = settings.count(lambda);
            let n2 = 2 * second.lambda + 1;
            let mut sums = vec![Vec::new(); 2 * lambda + 1];
            for c in tables.real(l, second.lambda, lambda) {
                sums[c.mu].push(Term { row: (c.m1 * n2 + c.m2) as u32, value: c.value });
            }
            let sums = Sums::new(&sums);
            targets.push(Target { output: k, row: rows[k], count, sums, backward: OnceLock::new() });
            rows[k] += count;
        }
        let pairs = collected(settings.pairs.iter().copied())?;
        let factors = collected(settings.factors.iter().copied())?;
        Ok(Coupling { l, lambda: second.lambda, second: place, pairs, factors, targets })
    }

    fn make_invariants(&self, nu: usize, settings: &InvariantsSettings) -> Result<Invariants> {
        let below = self.blocks(nu - 1);
        let places: Vec<Option<usize>> =
            (0..self.channels.len()).map(|l| self.find(nu - 1, Symmetry::density(l))).collect();
        check_pairs(&settings.pairs, &settings.factors, |&[l, first, second]| {
            let place = places.get(l as usize).copied().flatten();
            place.is_some_and(|place| {
                (first as usize) < self.channels[l as usize] && (second as usize) < below[place].1
            })
        })?;
        let available = |order: usize| Some(self.n_invariants(order));
        let rows = settings.pairs.len();
        let projection =
            settings.projection.as_ref().map(|p| Projection::new(p, nu, rows, available)).transpose()?;
        let scale = |(pair, factor): (&[u32; 3], &f64)| {
            // <l m; l m | 0 0>
            let sign = if pair[0] % 2 == 0 { 1.0 } else { -1.0 };
            sign * factor / f64::from(2 * pair[0] + 1).sqrt()
        };
        Ok(Invariants {
            factors: collected(settings.pairs.iter().zip(&settings.factors).map(scale))?,
            pairs: collected(settings.pairs.iter().copied())?,
            seconds: places.into_iter().map(Option::unwrap_or_default).collect(),
            width: settings.projection.as_ref().map_or(rows, |p| p.width),
            projection,
        })
    }
}

fn check_pairs<const N: usize>(
    pairs: &[[u32; N]],
    factors: &[f64],
    exists: impl Fn(&[u32; N]) -> bool,
) -> Result<()> {
    if pairs.len() != factors.len() || !factors.iter().all(|f| f.is_finite()) {
        return bad("given a finite factor for each pair", format!("{} for {}", factors.len(), pairs.len()));
    }
    match pairs.iter().find(|pair| !exists(pair)) {
        None => Ok(()),
        Some(pair) => bad("given pairs of channels that exist", format!("{pair:?}")),
    }
}

impl Projection {
    fn new(
        settings: &ProjectionSettings,
        nu: usize,
        rows: usize,
        available: impl Fn(usize) -> Option<usize>,
    ) -> Result<Self> {
        let width = settings.width;
        let finite = |matrix: &[f64]| matrix.iter().all(|x| x.is_finite());
        if settings.matrix.len() != rows * width || !finite(&settings.matrix) {
            return bad(
                "given a finite projection of every row",
                format!("{} numbers for {rows} rows and {width} components", settings.matrix.len()),
            );
        }
        let mut purification = Vec::new();
        for (order, matrix) in &settings.purification {
            let n = matrix.len().checked_div(width).unwrap_or(0);
            let known = if (1..nu).contains(order) { available(*order).unwrap_or(0) } else { 0 };
            if n * width != matrix.len() || n > known || !finite(matrix) {
                return bad(
                    "purified of components of lower orders",
                    format!("{} numbers for {known} components of order {order}", matrix.len()),
                );
            }
            purification.push((*order, Packed::new(width, n, |p, k| matrix[k * width + p])?));
        }
        let forward = Packed::new(width, rows, |p, k| settings.matrix[k * width + p])?;
        Ok(Self { forward, purification, purification_backward: OnceLock::new(), single: OnceLock::new() })
    }

    fn prepare_single(&self) -> Result<()> {
        if self.single.get().is_none() {
            let round = |(order, matrix): &(usize, Packed)| Ok((*order, matrix.to_single()?));
            let purification = all_of(self.purification.iter().map(round))?;
            // Somebody else may have been faster, with the same numbers.
            let _ = self.single.set(SingleProjection { forward: self.forward.to_single()?, purification });
        }
        Ok(())
    }

    /// The same in single precision.
    ///
    /// # Panics
    /// If it was not prepared.
    pub(super) fn single(&self) -> &SingleProjection {
        self.single.get().expect("prepared")
    }

    fn prepare_backward(&self) -> Result<()> {
        if self.purification_backward.get().is_none() {
            let turn = |(_, matrix): &(usize, Packed)| {
                Packed::new(matrix.depth(), matrix.rows(), |n, p| matrix.entry(p, n))
            };
            let _ = self.purification_backward.set(all_of(self.purification.iter().map(turn))?);
        }
        Ok(())
    }

    /// `B^T`s for products from the other side.
    ///
    /// # Panics
    /// If they were not prepared.
    pub(super) fn purification_backward(&self) -> &[Packed] {
        self.purification_backward.get().expect("prepared")
    }
}

impl Target {
    fn prepare_backward(&self, projection: &Projection) -> Result<()> {
        if self.backward.get().is_none() {
            let forward = &projection.forward;
            let entry = |row, p| forward.entry(p, self.row + row);
            let _ = self.backward.set(tiles(self.count, forward.rows(), entry)?);
        }
        Ok(())
    }

    /// Rows of `A` for the pairs of this coupling, by tiles.
    ///
    /// # Panics
    /// If they were not prepared.
    pub(super) fn backward(&self) -> &[Packed] {
        self.backward.get().expect("prepared")
    }
}

/// Rows of a projection for `count` pairs, a tile at a time.
///
/// # Errors
/// [`Error::OutOfMemory`].
fn tiles(count: usize, width: usize, entry: impl Fn(usize, usize) -> f64) -> Result<Vec<Packed>> {
    let tile = |first: usize| Packed::new(TILE.min(count - first), width, |row, p| entry(first + row, p));
    all_of((0..count).step_by(TILE).map(tile))
}
