//! Energies as functions of the power spectrum: quadratic forms of the coefficients.

use std::f64::consts::FRAC_1_SQRT_2;

use super::arrangement::Arrangement;
use super::{Energy, Environments, Memory, check_weights};
use crate::density::Layout;
use crate::error::Result;
use crate::memory::{Grow, all_of, filled};
use crate::simd::{self, Level, Simd, accumulate};

impl Arrangement {
    /// For weights w of the features of one degree, the matrix `2 A` with `w . p = sum_m c^T A c`, padded.
    #[inline(always)]
    fn quadratic_form(&self, species: usize, l: usize, weights: &[f64], matrix: &mut [f64]) {
        matrix.fill(0.0);
        let (n, places) = (self.channels[l], &self.places[species][l]);
        let stride = self.padded[species][l].1;
        let scale = 1.0 / ((2 * l + 1) as f64).sqrt();
        let mut start = 0;
        // Channels that this center species lacks are zero; so is what multiplies them.
        for (q1, &a) in places.iter().enumerate() {
            matrix[a * stride + a] = 2.0 * scale * weights[start];
            for (&b, weight) in places[q1 + 1..].iter().zip(&weights[start + 1..]) {
                let value = 2.0 * FRAC_1_SQRT_2 * scale * weight;
                matrix[a * stride + b] = value;
                matrix[b * stride + a] = value;
            }
            start += n - q1;
        }
    }
}

/// `dE/dc` of one environment from `dE/dp`.
pub(super) struct PullBack<'a> {
    pub(super) arrangement: &'a Arrangement,
    pub(super) species: usize,
    pub(super) layout: &'a Layout,
    pub(super) c: &'a [f64],
    pub(super) slopes: &'a [f64],
    pub(super) gradient: &'a mut [f64],
    /// Scratch: a quadratic form of one degree.
    pub(super) square: &'a mut Vec<f64>,
}

impl simd::Kernel for PullBack<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<()> {
        let Self { arrangement, species, layout, c, slopes, gradient, square } = self;
        gradient.fill(0.0);
        let mut feature = 0;
        for (l, &(_, stride)) in arrangement.padded[species].iter().enumerate() {
            square.try_resize(stride * stride, 0.0)?;
            arrangement.quadratic_form(species, l, &slopes[feature..], square);
            times_form(s, l, layout, c, square, gradient);
            feature += arrangement.width_of(l);
        }
        Ok(())
    }
}

/// `gradient += 2 A c` of one degree.
#[inline(always)]
fn times_form<S: Simd>(s: S, l: usize, layout: &Layout, c: &[f64], matrix: &[f64], gradient: &mut [f64]) {
    let (start, stride) = layout.padded(l);
    let rows = start..start + (2 * l + 1) * stride;
    let (c, g) = (&c[rows.clone()], &mut gradient[rows]);
    accumulate(s, c, stride, matrix, stride, 0..stride, g, stride, 2 * l + 1, stride / S::LANES);
}

/// `E_i = sum_k w_ak p_k` with the power spectrum `p` (Eq. 10) and weights for each center species a.
///
/// As a quadratic form of the coefficients it is `sum_lm c^T A_al c`; the gradient is `2 A c`.
#[derive(Debug, Clone)]
pub struct LinearPowerSpectrum {
    /// `2 A` of each center species and degree, padded. `[species][l][q, q]`
    matrices: Vec<Vec<Vec<f64>>>,
    level: Level,
}

impl LinearPowerSpectrum {
    /// From weights [species, feature].
    pub(super) fn of(arrangement: &Arrangement, weights: &[f64]) -> Result<Self> {
        let width = arrangement.width();
        check_weights(weights, arrangement.n_species(), width)?;
        let of_species = |a: usize| {
            let mut start = a * width;
            let of_degree = |(l, &(_, stride)): (usize, &(usize, usize))| {
                let mut matrix = filled(stride * stride, 0.0)?;
                arrangement.quadratic_form(a, l, &weights[start..], &mut matrix);
                start += arrangement.width_of(l);
                Ok(matrix)
            };
            all_of(arrangement.padded[a].iter().enumerate().map(of_degree))
        };
        let matrices = all_of((0..arrangement.n_species()).map(of_species))?;
        Ok(Self { matrices, level: arrangement.level })
    }
}

struct Read<'a, 'e> {
    matrices: &'a [Vec<f64>],
    e: Environments<'e>,
    energies: &'a mut [f64],
    gradients: &'a mut [f64],
}

impl simd::Kernel for Read<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { matrices, e, energies, gradients } = self;
        let n = e.layout.padded_len();
        gradients.fill(0.0);
        for which in 0..e.len() {
            let (c, gradient) = (e.density(which), &mut gradients[which * n..(which + 1) * n]);
            for (l, matrix) in matrices.iter().enumerate() {
                times_form(s, l, e.layout, c, matrix, gradient);
            }
            // E = c^T A c = c . g / 2
            energies[which] = 0.5 * c.iter().zip(gradient.iter()).map(|(c, g)| c * g).sum::<f64>();
        }
    }
}

impl Energy for LinearPowerSpectrum {
    fn memory(&self) -> Result<Memory> {
        Ok(Memory::new(()))
    }

    fn read(
        &self,
        e: Environments<'_>,
        energies: &mut [f64],
        gradients: &mut [f64],
        _: &mut Memory,
    ) -> Result<()> {
        self.level.run(Read { matrices: &self.matrices[e.species], e, energies, gradients });
        Ok(())
    }
}
