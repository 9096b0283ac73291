//! Harmonics of many vectors at a time by recurrences in Cartesian components, one vector per lane.
//!
//! With unit vectors `(x, y, z)`: `Y_lm = Q_lm(z) Re (x + iy)^m` and `Y_l,-m = Q_lm(z) Im (x + iy)^m` for `m > 0`,
//! where the normalized `Q_lm` obey `Q_mm = const`, `Q_lm = a_lm z Q_l-1,m - b_lm Q_l-2,m`. No trigonometry, and no
//! division by `sin(theta)`: the poles are ordinary points.
//!
//! Gradients come from the same `Q`: `dY/dz = Q'_lm Re(..)` and `dY/dx = m Q_lm Re (x + iy)^(m-1)`, with `Q'` by the
//! differentiated recurrence. They are those of a polynomial in `(x, y, z)`; its part tangential to the sphere is the
//! gradient of `Y_lm(r / |r|)`, times `|r|`.

use super::n_harmonics;
use crate::error::{Error, Result};
use crate::memory::filled;
use crate::parallel::{Interrupt, Waves};
use crate::simd::{Kernel, Level, MAX_LANES, Simd, columns_to_rows, harmonic_gradients, harmonic_values};

/// Coefficients of the recurrences up to one degree.
#[derive(Debug, Clone)]
pub struct Harmonics {
    max_angular: usize,
    /// `Q_mm`, with the factor sqrt 2 of `m > 0`. `[m]`
    start: Vec<f64>,
    /// `(a_lm, b_lm)` for `m = 0..=L`, `l = m + 1..=L`, in this order.
    steps: Vec<[f64; 2]>,
}

impl Harmonics {
    /// Tables for degrees `0..=max_angular`.
    #[must_use]
    pub fn new(max_angular: usize) -> Self {
        let mut start = Vec::with_capacity(max_angular + 1);
        let mut steps = Vec::new();
        let mut q = (0.25 / std::f64::consts::PI).sqrt();
        for m in 0..=max_angular {
            if m > 0 {
                q *= ((2 * m + 1) as f64 / (2 * m) as f64).sqrt();
                if m == 1 {
                    q *= std::f64::consts::SQRT_2;
                }
            }
            start.push(q);
            let mm = (m * m) as f64;
            for l in m + 1..=max_angular {
                let ll = (l * l) as f64;
                let a = ((4.0 * ll - 1.0) / (ll - mm)).sqrt();
                let below = ((l - 1) * (l - 1)) as f64;
                let b = if l == m + 1 { 0.0 } else { a * ((below - mm) / (4.0 * below - 1.0)).sqrt() };
                steps.push([a, b]);
            }
        }
        Self { max_angular, start, steps }
    }

    /// The largest degree.
    #[must_use]
    pub fn max_angular(&self) -> usize {
        self.max_angular
    }

    /// Values for `W` vectors' worth of unit vectors: `out[lm * stride + lane]`.
    #[inline(always)]
    pub(crate) fn values<S: Simd, const W: usize>(
        &self,
        s: S,
        units: [[S::V; W]; 3],
        out: &mut [f64],
        stride: usize,
    ) {
        harmonic_values::<S, W>(s, &self.start, &self.steps, units, out, stride);
    }

    /// Values and gradients for one vector's worth of unit vectors: `out[lm * stride + lane]` and
    /// `slope[xyz][lm * stride + lane]`. With `tangent` the gradient on the unit sphere times it (with `1 / |r|` that of
    /// `Y(r / |r|)`), else that of the polynomials, whose part along the vector is still to be taken off.
    #[inline(always)]
    pub(crate) fn gradients<S: Simd>(
        &self,
        s: S,
        unit: [S::V; 3],
        tangent: Option<S::V>,
        out: &mut [f64],
        slopes: [&mut [f64]; 3],
        stride: usize,
    ) {
        harmonic_gradients(s, &self.start, &self.steps, unit, tangent, out, slopes, stride);
    }
}

/// `Y_lm` of many vectors, which need not be normalized; gradients with respect to their components on request.
///
/// Shapes: `vectors` `[n]`, `values` `[n, (max_angular + 1)^2]`, `gradients` `[n, xyz, (max_angular + 1)^2]`.
///
/// # Errors
/// [`Error::BadParameter`] if a vector is zero or not finite: it has no direction.
///
/// # Panics
/// If an array has not its shape.
pub fn spherical_harmonics_into(
    vectors: &[[f64; 3]],
    max_angular: usize,
    values: &mut [f64],
    gradients: Option<&mut [f64]>,
    level: Level,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    let harmonics = Harmonics::new(max_angular);
    let n = vectors.len() * n_harmonics(max_angular);
    assert!(
        values.len() == n && gradients.as_ref().is_none_or(|g| g.len() == 3 * n),
        "arrays of other shapes"
    );
    let width = n_harmonics(max_angular);
    let parts = vectors.chunks(PART).zip(values.chunks_mut(PART * width));
    let mut slopes = gradients.map(|gradients| gradients.chunks_mut(PART * 3 * width));
    let tasks = parts
        .enumerate()
        .map(|(k, (vectors, values))| (k, vectors, values, slopes.as_mut().and_then(Iterator::next)));
    let work = |(k, vectors, values, gradients): (usize, &[[f64; 3]], _, _)| {
        level.run(Many { harmonics: &harmonics, vectors, values, gradients })?.map_err(|lane| {
            Error::BadParameter {
                name: "every vector",
                requirement: "finite and not zero (its direction is undefined)",
                value: format!("{:?} at index {}", vectors[lane], k * PART + lane),
            }
        })
    };
    Waves::new()?.run(tasks, work, Ok, interrupt)
}

/// [`spherical_harmonics_into`] new memory.
///
/// # Errors
/// As there.
pub fn spherical_harmonics(
    vectors: &[[f64; 3]],
    max_angular: usize,
    with_gradients: bool,
    level: Level,
) -> Result<(Vec<f64>, Option<Vec<f64>>)> {
    let n = vectors.len() * n_harmonics(max_angular);
    let mut values = filled(n, 0.0)?;
    let mut gradients = with_gradients.then(|| filled(3 * n, 0.0)).transpose()?;
    spherical_harmonics_into(
        vectors,
        max_angular,
        &mut values,
        gradients.as_deref_mut(),
        level,
        &mut || false,
    )?;
    Ok((values, gradients))
}

struct Many<'a> {
    harmonics: &'a Harmonics,
    vectors: &'a [[f64; 3]],
    values: &'a mut [f64],
    gradients: Option<&'a mut [f64]>,
}

/// Vectors of a task.
const PART: usize = 64 * BLOCK;

/// Vectors of a block: two vectors' worth at a time for values, and the scratch stays in the L1 cache.
const BLOCK: usize = 2 * MAX_LANES;

impl Kernel for Many<'_> {
    /// The index of a vector without direction.
    type Output = Result<std::result::Result<(), usize>>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let Self { harmonics, vectors, values, mut gradients } = self;
        let width = n_harmonics(harmonics.max_angular);
        let mut block = filled(width * BLOCK, 0.0)?;
        let n_slopes = if gradients.is_some() { width * BLOCK } else { 0 };
        let mut slopes = [filled(n_slopes, 0.0)?, filled(n_slopes, 0.0)?, filled(n_slopes, 0.0)?];
        let mut directions = Directions { units: [[0.0; BLOCK]; 3], inverse_lengths: [1.0; BLOCK] };
        for (b, (vectors, rows)) in vectors.chunks(BLOCK).zip(values.chunks_mut(BLOCK * width)).enumerate() {
            if let Err(lane) = directions.take(s, vectors) {
                return Ok(Err(b * BLOCK + lane));
            }
            let [x, y, z] = &directions.units;
            let mut first = 0;
            while first < vectors.len() {
                let second = first + S::LANES;
                if gradients.is_some() {
                    let unit = [s.load(&x[first..]), s.load(&y[first..]), s.load(&z[first..])];
                    let [a, b, c] = &mut slopes;
                    let to = [&mut a[first..], &mut b[first..], &mut c[first..]];
                    let inverse = s.load(&directions.inverse_lengths[first..]);
                    harmonics.gradients(s, unit, Some(inverse), &mut block[first..], to, BLOCK);
                    first = second;
                } else {
                    let unit = [
                        [s.load(&x[first..]), s.load(&x[second..])],
                        [s.load(&y[first..]), s.load(&y[second..])],
                        [s.load(&z[first..]), s.load(&z[second..])],
                    ];
                    harmonics.values::<S, 2>(s, unit, &mut block[first..], BLOCK);
                    first = second + S::LANES;
                }
            }
            for first in (0..vectors.len()).step_by(S::LANES) {
                columns_to_rows(s, &block[first..], BLOCK, width, &mut rows[first * width..], width);
                if let Some(gradients) = &mut gradients {
                    let end = (b * BLOCK + vectors.len()) * 3 * width;
                    let rows = &mut gradients[(b * BLOCK + first) * 3 * width..end];
                    for (x, slope) in slopes.iter().enumerate() {
                        columns_to_rows(s, &slope[first..], BLOCK, width, &mut rows[x * width..], 3 * width);
                    }
                }
            }
        }
        Ok(Ok(()))
    }
}

/// Directions and lengths of a block of vectors.
struct Directions {
    /// `[xyz][lane]`
    units: [[f64; BLOCK]; 3],
    inverse_lengths: [f64; BLOCK],
}

impl Directions {
    /// Squares of lengths between these neither overflow nor lose digits.
    const SAFE: [f64; 2] = [1e-200, 1e200];

    /// Normalizes vectors; the error is the index of one without direction.
    #[inline(always)]
    fn take<S: Simd>(&mut self, s: S, vectors: &[[f64; 3]]) -> std::result::Result<(), usize> {
        let [x, y, z] = &mut self.units;
        for (lane, v) in vectors.iter().enumerate() {
            (x[lane], y[lane], z[lane]) = (v[0], v[1], v[2]);
        }
        // Lanes behind the last vector are computed and never used: only keep them finite.
        for lane in vectors.len()..BLOCK {
            (x[lane], y[lane], z[lane]) = (0.0, 0.0, 1.0);
        }
        for first in (0..vectors.len()).step_by(S::LANES) {
            let v = [s.load(&x[first..]), s.load(&y[first..]), s.load(&z[first..])];
            let square = s.fma(v[0], v[0], s.fma(v[1], v[1], s.mul(v[2], v[2])));
            let all = (1 << S::LANES) - 1;
            // A NaN fails both comparisons.
            let fine = s.less(s.splat(Self::SAFE[0]), square) & s.less(square, s.splat(Self::SAFE[1]));
            let inverse = s.div(s.splat(1.0), s.sqrt(square));
            s.store(inverse, &mut self.inverse_lengths[first..]);
            s.store(s.mul(v[0], inverse), &mut x[first..]);
            s.store(s.mul(v[1], inverse), &mut y[first..]);
            s.store(s.mul(v[2], inverse), &mut z[first..]);
            if fine != all {
                for lane in first..vectors.len().min(first + S::LANES) {
                    let ([a, b, c], length) = normalized(vectors[lane]).ok_or(lane)?;
                    (x[lane], y[lane], z[lane]) = (a, b, c);
                    self.inverse_lengths[lane] = 1.0 / length;
                }
            }
        }
        Ok(())
    }
}

/// The direction and the length of a vector, scaled first so that neither tiny nor huge ones leave the range of squares;
/// `None` if it has none.
#[cold]
fn normalized(v: [f64; 3]) -> Option<([f64; 3], f64)> {
    let scale = v.iter().fold(0.0, |a: f64, b| if b.is_nan() { f64::INFINITY } else { a.max(b.abs()) });
    let w = v.map(|x| x / scale);
    let norm = (w[0] * w[0] + w[1] * w[1] + w[2] * w[2]).sqrt();
    (scale > 0.0 && scale.is_finite()).then(|| (w.map(|x| x / norm), norm * scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> Vec<[f64; 3]> {
        let mut list =
            vec![[0.0, 0.0, 1.0], [0.0, 0.0, -2.0], [1.0, 0.0, 0.0], [0.0, -3.0, 0.0], [1e-9, 0.0, 1.0]];
        list.extend((0..50).map(|k| {
            let t = f64::from(k);
            [(1.7 * t).sin() + 0.01, (2.3 * t + 1.0).cos(), (0.9 * t + 2.0).sin() * 1.5]
        }));
        list
    }

    #[test]
    fn every_level_equals_the_reference() {
        for level in Level::available() {
            let (values, none) = spherical_harmonics(&vectors(), 12, false, level).unwrap();
            assert!(none.is_none());
            for (row, v) in values.chunks(169).zip(vectors()) {
                for (fast, slow) in row.iter().zip(reference::spherical_harmonics(v, 12)) {
                    assert!((fast - slow).abs() < 2e-13, "{level:?} {v:?}: {fast} {slow}");
                }
            }
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        let list = vectors();
        for level in Level::available() {
            let (values, gradients) = spherical_harmonics(&list, 6, true, level).unwrap();
            assert_eq!(values, spherical_harmonics(&list, 6, false, level).unwrap().0);
            let gradients = gradients.unwrap();
            let h = 1e-5;
            for (i, v) in list.iter().enumerate() {
                for x in 0..3 {
                    let moved = |step: f64| {
                        let mut w = *v;
                        w[x] += step;
                        reference::spherical_harmonics(w, 6)
                    };
                    let (up, down) = (moved(h), moved(-h));
                    for k in 0..49 {
                        let slope = (up[k] - down[k]) / (2.0 * h);
                        assert!((gradients[(i * 3 + x) * 49 + k] - slope).abs() < 2e-8);
                    }
                }
            }
        }
    }

    #[test]
    fn directionless_vectors_are_refused() {
        for bad in [[0.0; 3], [f64::NAN, 1.0, 0.0], [f64::INFINITY, 0.0, 0.0]] {
            assert!(spherical_harmonics(&[[1.0, 0.0, 0.0], bad], 2, false, Level::detect()).is_err());
        }
        let tiny = spherical_harmonics(&[[1e-200, 0.0, 0.0]], 1, false, Level::detect()).unwrap().0;
        assert!((tiny[lm(1, 1)] - (0.75 / std::f64::consts::PI).sqrt()).abs() < 1e-15);
    }

    use super::super::{lm, reference};
}
