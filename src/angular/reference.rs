//! The slow, obvious harmonics: associated Legendre functions times sines and cosines of the azimuth. The oracle of the
//! tests and the baseline of the benches.

use super::lm;

/// `Y_lm` of one direction, [(max_angular + 1)^2]; the vector need not be normalized.
#[must_use]
pub fn spherical_harmonics(vector: [f64; 3], max_angular: usize) -> Vec<f64> {
    let [x, y, z] = vector;
    let r = (x * x + y * y + z * z).sqrt();
    let (cos_theta, phi) = (z / r, y.atan2(x));
    let sin_theta = (x * x + y * y).sqrt() / r;
    let mut out = vec![0.0; super::n_harmonics(max_angular)];
    for l in 0..=max_angular {
        for m in 0..=l {
            let ratio: f64 = ((l - m + 1)..=(l + m)).map(|k| 1.0 / k as f64).product();
            let norm = ((2 * l + 1) as f64 / (4.0 * std::f64::consts::PI) * ratio).sqrt();
            let p = norm * legendre(l, m, cos_theta, sin_theta);
            let azimuth = m as f64 * phi;
            if m == 0 {
                out[lm(l, 0)] = p;
            } else {
                out[lm(l, m as isize)] = std::f64::consts::SQRT_2 * p * azimuth.cos();
                out[lm(l, -(m as isize))] = std::f64::consts::SQRT_2 * p * azimuth.sin();
            }
        }
    }
    out
}

/// Associated Legendre function `P_l^m` without the Condon-Shortley phase.
fn legendre(l: usize, m: usize, cos_theta: f64, sin_theta: f64) -> f64 {
    let start: f64 = (1..=m).map(|k| (2 * k - 1) as f64 * sin_theta).product();
    let (mut below, mut here) = (0.0, start);
    for k in m + 1..=l {
        let next = ((2 * k - 1) as f64 * cos_theta * here - (k + m - 1) as f64 * below) / (k - m) as f64;
        (below, here) = (here, next);
    }
    here
}
