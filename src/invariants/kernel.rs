//! Polynomial kernels: every environment is compared with a few representative ones of its species.
//!
//! `phi_m(x) = (x . x_m / n)^zeta` with `n^2 = |x|^2 + s^2`, points `x_m` of norm 1 and a floor s for each species (Bartók,
//! Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), doi:10.1103/PhysRevB.87.184115, where s is zero). An environment
//! without features, `x = 0`, has all zeros; with a floor others come near it smoothly.

use std::sync::Arc;

use super::{Along, Energy, Environments, Invariant, Memory, Reversible};
use crate::density::DensityPlan;
use crate::error::{Error, Result};
use crate::memory::{Grow, all_of, collected, filled};
use crate::simd::{
    self, Aligned, Columns, Level, MAX_LANES, POINTS, Packed, Simd, multiply, polynomial_kernel,
};

/// Environments that are compared at once, in the lanes.
const GRAIN: usize = 16;

/// The points of one center species.
#[derive(Debug, Clone, Default)]
pub struct SpeciesPoints {
    /// `[point, feature]`
    pub features: Vec<f64>,
    /// Of an energy; not used for features. `[point]`
    pub weights: Vec<f64>,
    /// What the norm of features does not fall below, squares added; 0 for none.
    pub floor: f64,
}

impl SpeciesPoints {
    /// Points of norm 1. [point, width]
    fn normalized(&self, zeta: u32, width: usize, species: usize) -> Result<Vec<f64>> {
        let bad = |requirement, value| Err(Error::BadParameter { name: "sparse points", requirement, value });
        if !(1..=64).contains(&zeta) {
            return bad("of an exponent zeta in 1..=64", zeta.to_string());
        }
        if width == 0 || !self.features.len().is_multiple_of(width) {
            return bad("of all features", format!("{} numbers for {width} features", self.features.len()));
        }
        if !(self.floor.is_finite() && self.floor >= 0.0) {
            return bad("of a floor that is not negative", self.floor.to_string());
        }
        let mut points = collected(self.features.iter().copied())?;
        for (m, point) in points.chunks_exact_mut(width).enumerate() {
            let norm = point.iter().map(|x| x * x).sum::<f64>().sqrt();
            if !(norm.is_finite() && norm > 0.0) {
                return bad("finite and not zero", format!("point {m} of species index {species}"));
            }
            for x in point {
                *x /= norm;
            }
        }
        Ok(points)
    }
}

fn check_species(n: usize, plan: &DensityPlan) -> Result<()> {
    if n == plan.species().len() {
        return Ok(());
    }
    Err(Error::BadParameter {
        name: "sparse points",
        requirement: "of as many species as the plan",
        value: format!("{n} species for {}", plan.species().len()),
    })
}

/// `phi` as features, on any others.
#[derive(Debug)]
pub struct Kernel {
    inner: Arc<dyn Invariant>,
    zeta: i32,
    /// Points [point, width] of each species, and the square of its floor.
    points: Vec<(Packed, f64)>,
    level: Level,
}

struct KernelMemory {
    inner: Memory,
    /// Normalized features of a block, and their norms. [environment, width], `[environment]`
    units: Vec<f64>,
    norms: Vec<f64>,
    /// The same, or their derivatives. [feature, stride]
    lanes: Vec<f64>,
    /// Scalar products. [point, stride]
    products: Vec<f64>,
    /// Of every environment with every point. [environment, point]
    cosines: Vec<f64>,
    along: Vec<f64>,
}

impl Kernel {
    /// From the points of each center species, which are normalized here.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if `zeta` is not in 1..=64, there are not as many species or features, a number is not
    /// finite, a floor is negative or a point is zero.
    pub fn new(
        plan: &DensityPlan,
        inner: Arc<dyn Invariant>,
        zeta: u32,
        points: &[SpeciesPoints],
    ) -> Result<Self> {
        check_species(points.len(), plan)?;
        let pack = |(a, points): (usize, &SpeciesPoints)| {
            let width = inner.width(a);
            let unit = points.normalized(zeta, width, a)?;
            let packed = Packed::new(unit.len() / width, width, |m, k| unit[m * width + k])?;
            Ok((packed, points.floor.powi(2)))
        };
        let points = all_of(points.iter().enumerate().map(pack))?;
        Ok(Self { inner, zeta: zeta as i32, points, level: plan.level() })
    }
}

/// `out = L right`, right [depth, stride] and out [row, stride] with lanes of columns.
struct Product<'a> {
    left: &'a Packed,
    right: &'a [f64],
    stride: usize,
    out: &'a mut [f64],
}

impl simd::Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { left, right, stride, out } = self;
        out.fill(0.0);
        let width = 2 * S::LANES;
        let right = Columns { data: right, panel: width, row: stride, count: stride / width };
        multiply(s, left, left.rows(), 0..left.depth(), right, out, stride);
    }
}

impl Invariant for Kernel {
    fn n_degrees(&self) -> usize {
        self.inner.n_degrees()
    }

    fn width(&self, species: usize) -> usize {
        self.points[species].0.rows()
    }

    fn grain(&self) -> usize {
        GRAIN.max(self.inner.grain())
    }

    fn grain_of_rows(&self) -> usize {
        self.inner.grain_of_rows()
    }

    fn memory(&self) -> Result<Memory> {
        Ok(Memory::new(KernelMemory {
            inner: self.inner.memory()?,
            units: Vec::new(),
            norms: Vec::new(),
            lanes: Vec::new(),
            products: Vec::new(),
            cosines: Vec::new(),
            along: Vec::new(),
        }))
    }

    fn values(&self, e: Environments<'_>, x: &mut [f64], memory: &mut Memory) -> Result<()> {
        let KernelMemory { inner, units, norms, lanes, products, cosines, .. } = memory.of();
        let ((points, floor), width) = (&self.points[e.species], self.inner.width(e.species));
        let stride = e.len().next_multiple_of(GRAIN);
        units.try_resize(e.len() * width, 0.0)?;
        self.inner.values(e, units, inner)?;
        norms.clear();
        norms.make_room(e.len())?;
        lanes.clear();
        lanes.try_resize(width * stride, 0.0)?;
        for (which, unit) in units.chunks_exact_mut(width).enumerate() {
            let norm = (unit.iter().map(|x| x * x).sum::<f64>() + floor).sqrt();
            norms.push(norm);
            for (x, lanes) in unit.iter_mut().zip(lanes.chunks_exact_mut(stride)) {
                *x = if norm == 0.0 { 0.0 } else { *x / norm };
                lanes[which] = *x;
            }
        }
        products.try_resize(points.rows() * stride, 0.0)?;
        self.level.run(Product { left: points, right: lanes, stride, out: products });
        cosines.try_resize(x.len(), 0.0)?;
        for (which, (row, cosines)) in x
            .chunks_exact_mut(points.rows().max(1))
            .zip(cosines.chunks_exact_mut(points.rows().max(1)))
            .enumerate()
        {
            for (m, (x, cosine)) in row.iter_mut().zip(cosines).enumerate() {
                *cosine = products[m * stride + which];
                *x = cosine.powi(self.zeta);
            }
        }
        Ok(())
    }

    /// `f_m (dx . x_m - (dx . u) (u . x_m))` with u = x / |x| and `f_m = zeta (u . x_m)^(zeta - 1) / |x|`.
    fn tangents(
        &self,
        e: Environments<'_>,
        which: usize,
        directions: Along<'_>,
        out: &mut [f64],
        memory: &mut Memory,
    ) -> Result<()> {
        let KernelMemory { inner, units, norms, lanes, cosines, along, .. } = memory.of();
        let (points, stride) = (&self.points[e.species].0, directions.stride);
        let width = self.inner.width(e.species);
        let norm = norms[which];
        if norm == 0.0 {
            out.fill(0.0);
            return Ok(());
        }
        lanes.try_resize(width * stride, 0.0)?;
        self.inner.tangents(e, which, directions, lanes, inner)?;
        along.clear();
        along.try_resize(stride, 0.0)?;
        for (u, row) in units[which * width..(which + 1) * width].iter().zip(lanes.chunks_exact(stride)) {
            along.iter_mut().zip(row).for_each(|(sum, x)| *sum += u * x);
        }
        self.level.run(Product { left: points, right: lanes, stride, out });
        for (m, row) in out.chunks_exact_mut(stride).enumerate() {
            let cosine = cosines[which * points.rows() + m];
            let factor = f64::from(self.zeta) * cosine.powi(self.zeta - 1) / norm;
            row.iter_mut().zip(along.iter()).for_each(|(x, along)| *x = factor * (*x - cosine * along));
        }
        Ok(())
    }
}

/// `E_i = sum_m w_am phi_m(x_i)` with points and weights for each center species a.
#[derive(Debug)]
pub struct SparseKernel {
    inner: Arc<dyn Reversible>,
    zeta: i32,
    /// Features and weights, arranged as [`polynomial_kernel`] wants them, and the square of the floor. `[species]`
    points: Vec<(Aligned, Vec<f64>, f64)>,
    /// Length of the longest row of features, filled up to whole vectors.
    stride: usize,
    level: Level,
}

struct SparseMemory {
    inner: Memory,
    x: Vec<f64>,
    slopes: Vec<f64>,
}

impl SparseKernel {
    /// From the points of each center species, which are normalized here.
    ///
    /// # Errors
    /// As [`Kernel::new`], and if there are not as many weights as points.
    pub fn new(
        plan: &DensityPlan,
        inner: Arc<dyn Reversible>,
        zeta: u32,
        points: &[SpeciesPoints],
    ) -> Result<Self> {
        check_species(points.len(), plan)?;
        let widths = (0..points.len()).map(|a| inner.width(a));
        let stride = widths.max().unwrap_or(0).next_multiple_of(MAX_LANES);
        let pack = |(a, points): (usize, &SpeciesPoints)| {
            let (width, SpeciesPoints { features, weights, floor }) = (inner.width(a), points);
            let unit = points.normalized(zeta, width, a)?;
            if unit.len() != width * weights.len() || !weights.iter().all(|w| w.is_finite()) {
                return Err(Error::BadParameter {
                    name: "sparse points",
                    requirement: "as many as weights, which are finite, with all features",
                    value: format!("{} features for {} points", features.len(), weights.len()),
                });
            }
            let n_padded = weights.len().next_multiple_of(POINTS);
            let mut blocks = Aligned::zeros(stride.saturating_mul(n_padded))?;
            for (m, from) in unit.chunks_exact(width).enumerate() {
                let block = &mut blocks[m / POINTS * POINTS * stride..];
                for (chunk, numbers) in from.chunks(MAX_LANES).enumerate() {
                    let place = (chunk * POINTS + m % POINTS) * MAX_LANES;
                    block[place..place + numbers.len()].copy_from_slice(numbers);
                }
            }
            let mut weights = collected(weights.iter().copied())?;
            weights.try_resize(n_padded, 0.0)?;
            Ok((blocks, weights, floor * floor))
        };
        let points = all_of(points.iter().enumerate().map(pack))?;
        Ok(Self { inner, zeta: zeta as i32, points, stride, level: plan.level() })
    }
}

/// Energy of one environment and its gradient by the features, which are normalized on the way.
struct Compare<'a> {
    points: &'a (Aligned, Vec<f64>, f64),
    stride: usize,
    zeta: i32,
    x: &'a mut [f64],
    slopes: &'a mut [f64],
}

impl simd::Kernel for Compare<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Self { points: (points, weights, floor), stride, zeta, x, slopes } = self;
        let norm = (x.iter().map(|x| x * x).sum::<f64>() + floor).sqrt();
        if norm == 0.0 {
            slopes.fill(0.0);
            return 0.0;
        }
        let inverse = 1.0 / norm;
        for x in x.iter_mut() {
            *x *= inverse;
        }
        let energy = polynomial_kernel(s, x, points, stride, weights, zeta, slopes);
        let along = x.iter().zip(slopes.iter()).map(|(x, g)| x * g).sum::<f64>();
        for (g, x) in slopes.iter_mut().zip(x.iter()) {
            *g = (*g - along * x) * inverse;
        }
        energy
    }
}

impl Energy for SparseKernel {
    fn memory(&self) -> Result<Memory> {
        let row = || filled(self.stride, 0.0);
        Ok(Memory::new(SparseMemory { inner: self.inner.memory()?, x: row()?, slopes: row()? }))
    }

    fn read(
        &self,
        e: Environments<'_>,
        energies: &mut [f64],
        gradients: &mut [f64],
        memory: &mut Memory,
    ) -> Result<()> {
        let SparseMemory { inner, x, slopes } = memory.of();
        let (n, width) = (e.layout.padded_len(), self.inner.width(e.species));
        for (which, energy) in energies.iter_mut().enumerate() {
            let own = Environments { atoms: &e.atoms[which..=which], c: e.density(which), ..e };
            x.fill(0.0);
            self.inner.values(own, &mut x[..width], inner)?;
            let (points, stride, zeta) = (&self.points[e.species], self.stride, self.zeta);
            *energy = self.level.run(Compare { points, stride, zeta, x, slopes });
            self.inner.pull_back(own, &slopes[..width], &mut gradients[which * n..(which + 1) * n], inner)?;
        }
        Ok(())
    }
}
