//! The inner loop of sparse kernel models. Bounds are checked once at entry, not per load.

use super::Simd;

/// Points worked on together: their rows are still in the first-level cache when the gradient wants them.
const POINTS: usize = 8;

/// `sum_m w_m (x . x_m)^zeta` and its gradient by `x`, which is written.
///
/// Shapes: `x` and `gradient` [stride], `points` [m, stride], `weights` [m]; `stride` is a whole number of vectors.
///
/// # Panics
/// If a slice is too short for its shape.
#[inline(always)]
pub fn polynomial_kernel<S: Simd>(
    s: S,
    x: &[f64],
    points: &[f64],
    stride: usize,
    weights: &[f64],
    zeta: i32,
    gradient: &mut [f64],
) -> f64 {
    assert!(stride.is_multiple_of(S::LANES) && x.len() >= stride && gradient.len() >= stride, "too short");
    assert!(weights.len() * stride <= points.len(), "too few points");
    gradient[..stride].fill(0.0);
    let mut energy = 0.0;
    let mut first = 0;
    while first < weights.len() {
        let n = POINTS.min(weights.len() - first);
        // SAFETY: rows first..first + n <= weights.len() and whole vectors of `stride` numbers, asserted above.
        unsafe {
            let rows = points.as_ptr().add(first * stride);
            let mut slopes = [0.0; POINTS];
            if n == POINTS {
                dots::<S, POINTS>(s, x.as_ptr(), rows, stride, &mut slopes);
            } else {
                for k in 0..n {
                    dots::<S, 1>(s, x.as_ptr(), rows.add(k * stride), stride, &mut slopes[k..]);
                }
            }
            for k in 0..n {
                let below = slopes[k].powi(zeta - 1);
                energy += weights[first + k] * below * slopes[k];
                slopes[k] = weights[first + k] * f64::from(zeta) * below;
            }
            if n == POINTS {
                combine::<S, POINTS>(s, rows, stride, &slopes, gradient.as_mut_ptr());
            } else {
                for k in 0..n {
                    combine::<S, 1>(s, rows.add(k * stride), stride, &slopes[k..], gradient.as_mut_ptr());
                }
            }
        }
        first += n;
    }
    energy
}

/// `out[k] = x . row_k` for `N` rows.
///
/// # Safety
/// `x` must be valid for `stride` numbers, `rows` for `N` rows of them, `out` for `N`.
#[inline(always)]
unsafe fn dots<S: Simd, const N: usize>(
    s: S,
    x: *const f64,
    rows: *const f64,
    stride: usize,
    out: &mut [f64],
) {
    let mut sums = [s.splat(0.0); N];
    let mut f = 0;
    while f < stride {
        // SAFETY: f + LANES <= stride, which is a whole number of vectors.
        unsafe {
            let own = s.load_ptr(x.add(f));
            for k in 0..N {
                sums[k] = s.fma(own, s.load_ptr(rows.add(k * stride + f)), sums[k]);
            }
        }
        f += S::LANES;
    }
    let mut lanes = [0.0; super::MAX_LANES];
    for k in 0..N {
        s.store(sums[k], &mut lanes);
        let mut total = 0.0;
        for lane in 0..S::LANES {
            total += lanes[lane];
        }
        out[k] = total;
    }
}

/// `gradient += sum_k factors[k] row_k` for `N` rows.
///
/// # Safety
/// `rows` must be valid for `N` rows of `stride` numbers, `gradient` for `stride`.
#[inline(always)]
unsafe fn combine<S: Simd, const N: usize>(
    s: S,
    rows: *const f64,
    stride: usize,
    factors: &[f64],
    gradient: *mut f64,
) {
    let mut splat = [s.splat(0.0); N];
    for k in 0..N {
        splat[k] = s.splat(factors[k]);
    }
    let mut f = 0;
    while f < stride {
        // SAFETY: f + LANES <= stride, which is a whole number of vectors.
        unsafe {
            let mut sum = s.load_ptr(gradient.add(f));
            for k in 0..N {
                sum = s.fma(splat[k], s.load_ptr(rows.add(k * stride + f)), sum);
            }
            s.store_ptr(sum, gradient.add(f));
        }
        f += S::LANES;
    }
}
