//! Features of the power spectrum as a list of products `f sum_m c_m1 c_m2`, and their derivatives along directions.

use std::f64::consts::SQRT_2;

use super::Along;
use super::arrangement::Arrangement;
use crate::error::Result;
use crate::memory::{Grow, all_of, collected};
use crate::simd::{self, Simd};

/// A feature: places of both channels at the first m, from one m to the next, how many m, and the factor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub(super) first: usize,
    pub(super) second: usize,
    pub(super) stride: usize,
    pub(super) n_m: usize,
    pub(super) factor: f64,
}

/// The products of every center species; none where a species lacks a channel, and the feature is zero.
#[derive(Debug, Clone)]
pub(super) struct Products(pub(super) Vec<Vec<Option<Product>>>);

impl Products {
    /// Those of a power spectrum, or some of them in an order of their own.
    pub(super) fn new(spectrum: &Arrangement, columns: Option<&[usize]>) -> Result<Self> {
        let of_species = |(padded, places): (&Vec<(usize, usize)>, &Vec<Vec<usize>>)| {
            let mut all = Vec::new();
            for (l, (&(start, stride), places)) in padded.iter().zip(places).enumerate() {
                let n = spectrum.channels[l];
                let scale = 1.0 / ((2 * l + 1) as f64).sqrt();
                for q1 in 0..n {
                    for q2 in q1..n {
                        let factor = if q1 == q2 { scale } else { SQRT_2 * scale };
                        let product = |(&first, &second)| Product {
                            first: start + first,
                            second: start + second,
                            stride,
                            n_m: 2 * l + 1,
                            factor,
                        };
                        all.try_extend([places.get(q1).zip(places.get(q2)).map(product)])?;
                    }
                }
            }
            match columns {
                None => Ok(all),
                Some(columns) => collected(columns.iter().map(|&k| all[k])),
            }
        };
        all_of(spectrum.padded.iter().zip(&spectrum.places).map(of_species)).map(Self)
    }

    pub(super) fn of(&self, species: usize) -> &[Option<Product>] {
        &self.0[species]
    }
}

/// Derivatives of products along directions. [product, stride]
pub(super) struct TangentKernel<'a> {
    pub(super) products: &'a [Option<Product>],
    pub(super) c: &'a [f64],
    pub(super) along: Along<'a>,
    pub(super) out: &'a mut [f64],
}

impl simd::Kernel for TangentKernel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { products, c, along: Along { stride, d }, out } = self;
        for (k, product) in products.iter().enumerate() {
            let out = &mut out[k * stride..(k + 1) * stride];
            let Some(p) = product else {
                out.fill(0.0);
                continue;
            };
            for lane in (0..stride).step_by(2 * S::LANES) {
                let mut sum = [s.splat(0.0); 2];
                for m in 0..p.n_m {
                    let (first, second) = (p.first + m * p.stride, p.second + m * p.stride);
                    let (a, b) = (s.splat(p.factor * c[first]), s.splat(p.factor * c[second]));
                    for v in 0..2 {
                        let at = lane + v * S::LANES;
                        sum[v] = s.fma(a, s.load(&d[second * stride + at..]), sum[v]);
                        sum[v] = s.fma(b, s.load(&d[first * stride + at..]), sum[v]);
                    }
                }
                for v in 0..2 {
                    s.store(sum[v], &mut out[lane + v * S::LANES..]);
                }
            }
        }
    }
}
