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
use crate::simd::{Kernel, Level, MAX_LANES, Simd, harmonic_values};

/// Coefficients of the recurrences up to one degree.
#[derive(Debug, Clone)]
pub struct Harmonics {
    max_angular: usize,
    /// `Q_mm`, with the factor sqrt 2 of `m > 0`. [m]
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

    /// Values and tangential gradients for one vector's worth of unit vectors: `out[lm * stride + lane]` and
    /// `slope[xyz][lm * stride + lane]`, the gradient on the unit sphere (divide by `|r|` for that of `Y(r / |r|)`).
    #[inline(always)]
    pub(crate) fn gradients<S: Simd>(
        &self,
        s: S,
        [x, y, z]: [S::V; 3],
        out: &mut [f64],
        slope: [&mut [f64]; 3],
        stride: usize,
    ) {
        let zero = s.splat(0.0);
        let [slope_x, slope_y, slope_z] = slope;
        let (mut re, mut im) = (s.splat(1.0), zero);
        let (mut re_before, mut im_before) = (zero, zero);
        let mut steps = self.steps.iter();
        for (m, &start) in self.start.iter().enumerate() {
            if m > 0 {
                (re_before, im_before) = (re, im);
                (re, im) = (s.fnma(y, im, s.mul(x, re)), s.fma(x, im, s.mul(y, re)));
            }
            let times_m = s.splat(m as f64);
            let (mut below, mut here) = (zero, s.splat(start));
            let (mut slope_below, mut slope_here) = (zero, zero);
            for l in m..=self.max_angular {
                if l > m {
                    let Some(&[a, b]) = steps.next() else { return };
                    let (a, b) = (s.splat(a), s.splat(b));
                    let next = s.fnma(b, below, s.mul(s.mul(a, z), here));
                    let slope_next = s.fnma(b, slope_below, s.mul(a, s.fma(z, slope_here, here)));
                    (below, here) = (here, next);
                    (slope_below, slope_here) = (slope_here, slope_next);
                }
                let flat = s.mul(times_m, here);
                let mut write = |index: usize, value: S::V, dx: S::V, dy: S::V, dz: S::V| {
                    // Remove the radial part: the extension off the sphere is arbitrary.
                    let along = s.fma(x, dx, s.fma(y, dy, s.mul(z, dz)));
                    let at = index * stride;
                    s.store(value, &mut out[at..]);
                    s.store(s.fnma(along, x, dx), &mut slope_x[at..]);
                    s.store(s.fnma(along, y, dy), &mut slope_y[at..]);
                    s.store(s.fnma(along, z, dz), &mut slope_z[at..]);
                };
                let minus_flat = s.sub(zero, flat);
                write(
                    l * l + l + m,
                    s.mul(here, re),
                    s.mul(flat, re_before),
                    s.mul(minus_flat, im_before),
                    s.mul(slope_here, re),
                );
                if m > 0 {
                    write(
                        l * l + l - m,
                        s.mul(here, im),
                        s.mul(flat, im_before),
                        s.mul(flat, re_before),
                        s.mul(slope_here, im),
                    );
                }
            }
        }
    }
}

/// `Y_lm` of many vectors, which need not be normalized; gradients with respect to their components on request.
///
/// Shapes: `vectors` [n], values [n, (max_angular + 1)^2], gradients [n, xyz, (max_angular + 1)^2].
///
/// # Errors
/// [`Error::BadParameter`] if a vector is zero or not finite: it has no direction.
pub fn spherical_harmonics(
    vectors: &[[f64; 3]],
    max_angular: usize,
    with_gradients: bool,
    level: Level,
) -> Result<(Vec<f64>, Option<Vec<f64>>)> {
    if let Some((index, v)) = vectors.iter().enumerate().find(|(_, v)| !has_direction(**v)) {
        return Err(Error::BadParameter {
            name: "every vector",
            requirement: "finite and not zero (its direction is undefined)",
            value: format!("{v:?} at index {index}"),
        });
    }
    let width = n_harmonics(max_angular);
    let mut values = vec![0.0; vectors.len() * width];
    let mut gradients = with_gradients.then(|| vec![0.0; 3 * vectors.len() * width]);
    let harmonics = Harmonics::new(max_angular);
    level.run(Many {
        harmonics: &harmonics,
        vectors,
        values: &mut values,
        gradients: gradients.as_deref_mut(),
    });
    Ok((values, gradients))
}

fn has_direction(v: [f64; 3]) -> bool {
    let length = largest(v);
    length > 0.0 && length.is_finite()
}

fn largest(v: [f64; 3]) -> f64 {
    v.iter().fold(0.0, |a: f64, b| if b.is_nan() { f64::INFINITY } else { a.max(b.abs()) })
}

struct Many<'a> {
    harmonics: &'a Harmonics,
    vectors: &'a [[f64; 3]],
    values: &'a mut [f64],
    gradients: Option<&'a mut [f64]>,
}

impl Kernel for Many<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let width = n_harmonics(self.harmonics.max_angular);
        let lanes = S::LANES;
        let mut block = vec![0.0; width * lanes];
        let mut slopes = [const { Vec::new() }; 3].map(|_: Vec<f64>| vec![0.0; width * lanes]);
        for (chunk, vectors) in self.vectors.chunks(lanes).enumerate() {
            let mut unit = [[0.0; MAX_LANES]; 3];
            let mut length = [1.0; MAX_LANES];
            unit[2] = [1.0; MAX_LANES];
            for (lane, v) in vectors.iter().enumerate() {
                // Scaled first, so that neither tiny nor huge vectors leave the range of squares.
                let scale = largest(*v);
                let w = v.map(|x| x / scale);
                let norm = (w[0] * w[0] + w[1] * w[1] + w[2] * w[2]).sqrt();
                length[lane] = norm * scale;
                for x in 0..3 {
                    unit[x][lane] = w[x] / norm;
                }
            }
            let xyz = [s.load(&unit[0]), s.load(&unit[1]), s.load(&unit[2])];
            let first = chunk * lanes;
            if let Some(gradients) = self.gradients.as_deref_mut() {
                let [a, b, c] = &mut slopes;
                self.harmonics.gradients(s, xyz, &mut block, [a, b, c], lanes);
                for lane in 0..vectors.len() {
                    for (x, slope) in slopes.iter().enumerate() {
                        let row = &mut gradients[((first + lane) * 3 + x) * width..][..width];
                        for (index, to) in row.iter_mut().enumerate() {
                            *to = slope[index * lanes + lane] / length[lane];
                        }
                    }
                }
            } else {
                self.harmonics.values::<S, 1>(s, [[xyz[0]], [xyz[1]], [xyz[2]]], &mut block, lanes);
            }
            for lane in 0..vectors.len() {
                let row = &mut self.values[(first + lane) * width..][..width];
                for (index, to) in row.iter_mut().enumerate() {
                    *to = block[index * lanes + lane];
                }
            }
        }
    }
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
            assert!(spherical_harmonics(&[[1.0, 0.0, 0.0], bad], 2, false, Level::Baseline).is_err());
        }
        let tiny = spherical_harmonics(&[[1e-200, 0.0, 0.0]], 1, false, Level::detect()).unwrap().0;
        assert!((tiny[lm(1, 1)] - (0.75 / std::f64::consts::PI).sqrt()).abs() < 1e-15);
    }

    use super::super::{lm, reference};
}
