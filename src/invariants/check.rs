//! What any invariant must keep, whoever wrote it.

use std::sync::Arc;

use super::{Along, Environments, Invariant, Reversible};
use crate::error::Result;

/// By how much an invariant misses what it must keep; the largest of each, relative to the largest number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deviations {
    /// Values of a block against those of its environments one by one: zero to the bit.
    pub blocks: f64,
    /// Derivatives along directions against finite differences: about 1e-9.
    pub differences: f64,
    /// `s . (J d)` against `(J^T s) . d`, where there is the way back: rounding.
    pub adjoint: f64,
}

/// Length of a finite difference, relative to the coefficients.
const STEP: f64 = 1e-3;
const LANES: usize = 16;

/// Numbers in [-0.5, 0.5), the same for the same seed.
fn numbers(n: usize, mut seed: u64) -> Vec<f64> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// Holds an invariant to finite differences, to its way back and to other blocks, at the densities of some environments.
///
/// # Errors
/// Those of the invariant.
pub fn check(invariant: &Arc<dyn Invariant>, e: Environments<'_>) -> Result<Deviations> {
    let (width, n) = (invariant.width(e.species), e.layout.padded_len());
    let values = |e: Environments<'_>| {
        let mut x = vec![0.0; e.len() * width];
        invariant.values(e, &mut x, &mut invariant.memory()?)?;
        Ok::<_, crate::Error>(x)
    };
    let mut memory = invariant.memory()?;
    let mut x = vec![0.0; e.len() * width];
    invariant.values(e, &mut x, &mut memory)?;
    let mut found = Deviations { blocks: 0.0, differences: 0.0, adjoint: 0.0 };
    for which in 0..e.len() {
        let (row, c) = (&x[which * width..(which + 1) * width], e.density(which));
        let one = Environments { atoms: &e.atoms[which..=which], c, ..e };
        let scale = largest(row.iter().copied());
        let alone = values(one)?;
        found.blocks = found.blocks.max(largest(row.iter().zip(&alone).map(|(a, b)| a - b)) / scale);

        let seed = 2 * which as u64;
        let direction = padded(e, &numbers(n, seed + 1));
        let mut d = vec![0.0; n * LANES];
        for (lanes, x) in d.chunks_exact_mut(LANES).zip(&direction) {
            lanes[which % LANES] = *x;
        }
        let mut out = vec![f64::NAN; width * LANES];
        invariant.tangents(e, which, Along { stride: LANES, d: &d }, &mut out, &mut memory)?;
        let slopes: Vec<f64> = out.iter().skip(which % LANES).step_by(LANES).copied().collect();
        let h = STEP * largest(c.iter().copied());
        let moved = |h: f64| {
            let c: Vec<f64> = c.iter().zip(&direction).map(|(c, d)| c + h * d).collect();
            values(Environments { c: &c, ..one })
        };
        let [a, b, p, q] = [moved(h)?, moved(-h)?, moved(2.0 * h)?, moved(-2.0 * h)?];
        let difference = |k: usize| (8.0 * (a[k] - b[k]) - (p[k] - q[k])) / (12.0 * h);
        let most = largest(slopes.iter().copied());
        let missed = largest((0..width).map(|k| difference(k) - slopes[k]));
        found.differences = found.differences.max(missed / most);
        if let Some(reversible) = Arc::clone(invariant).reversible() {
            found.adjoint = found.adjoint.max(adjoint(&*reversible, one, &direction, &slopes, seed + 2)?);
        }
    }
    Ok(found)
}

/// Numbers where a layout has coefficients, zeros in its padding.
fn padded(e: Environments<'_>, numbers: &[f64]) -> Vec<f64> {
    let mut packed = vec![0.0; e.layout.width()];
    e.layout.pack(numbers, &mut packed);
    e.layout.padded_row(&packed)
}

fn adjoint(
    invariant: &dyn Reversible,
    e: Environments<'_>,
    direction: &[f64],
    slopes: &[f64],
    seed: u64,
) -> Result<f64> {
    let mut memory = invariant.memory()?;
    let s = numbers(slopes.len(), seed);
    invariant.values(e, &mut vec![0.0; slopes.len()], &mut memory)?;
    let mut g = vec![f64::NAN; direction.len()];
    invariant.pull_back(e, &s, &mut g, &mut memory)?;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scale = s.iter().zip(slopes).map(|(a, b)| (a * b).abs()).sum::<f64>();
    Ok((dot(&s, slopes) - dot(&g, direction)).abs() / scale)
}
