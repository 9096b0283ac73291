//! The inner loop of the spherical harmonics; the recurrences are explained in `angular::harmonics`.

use super::Simd;

/// `Y_lm` of `W` vectors' worth of unit vectors: `out[lm * stride + w * LANES + lane]`.
///
/// `start[m]` is `Q_mm`; `steps` holds `(a_lm, b_lm)` for `m = 0..=L`, `l = m + 1..=L`. Several vectors at a time, since
/// each recurrence is a chain in which every step waits for the one before.
///
/// # Panics
/// If `out` is too short, or the tables do not fit together.
#[inline(always)]
pub fn harmonic_values<S: Simd, const W: usize>(
    s: S,
    start: &[f64],
    steps: &[[f64; 2]],
    units: [[S::V; W]; 3],
    out: &mut [f64],
    stride: usize,
) {
    let n = start.len();
    assert!(
        steps.len() == n * (n - 1) / 2
            && W * S::LANES <= stride
            && n * n * stride <= out.len() + stride - W * S::LANES
    );
    let [x, y, z] = units;
    let out = out.as_mut_ptr();
    let (mut re, mut im) = ([s.splat(1.0); W], [s.splat(0.0); W]);
    let mut step = steps.iter();
    for m in 0..n {
        if m > 0 {
            for w in 0..W {
                let old = re[w];
                re[w] = s.fnma(y[w], im[w], s.mul(x[w], old));
                im[w] = s.fma(x[w], im[w], s.mul(y[w], old));
            }
        }
        let mut below = [s.splat(0.0); W];
        let mut here = [s.splat(start[m]); W];
        for l in m..n {
            if l > m {
                let Some(&[a, b]) = step.next() else { return };
                let (a, b) = (s.splat(a), s.splat(b));
                for w in 0..W {
                    let next = s.fnma(b, below[w], s.mul(s.mul(a, z[w]), here[w]));
                    (below[w], here[w]) = (here[w], next);
                }
            }
            // SAFETY: l^2 + l + m < n^2, so the last number written lies within the length asserted above.
            unsafe {
                let row = out.add((l * l + l + m) * stride);
                for w in 0..W {
                    s.store_ptr(s.mul(here[w], re[w]), row.add(w * S::LANES));
                }
                if m > 0 {
                    let row = out.add((l * l + l - m) * stride);
                    for w in 0..W {
                        s.store_ptr(s.mul(here[w], im[w]), row.add(w * S::LANES));
                    }
                }
            }
        }
    }
}
