//! The inner loop of sparse kernel models. Bounds are checked once at entry, not per load.

use super::{MAX_LANES, Simd};

/// Points worked on together: their numbers are still in the first-level cache when the gradient wants them.
pub const POINTS: usize = 8;

/// `sum_m w_m (x . x_m)^zeta` and its gradient by `x`, which is written.
///
/// Shapes: `x` and `gradient` `[stride]`, `points` `[block, feature / 8, point, 8]`, `weights` `[block, point]` with blocks of
/// [`POINTS`]; what is missing in the last block is zero. So memory is read in its order. `stride` is a multiple of 8.
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
    assert!(stride.is_multiple_of(MAX_LANES) && x.len() >= stride && gradient.len() >= stride, "too short");
    assert!(weights.len().is_multiple_of(POINTS) && weights.len() * stride <= points.len(), "too few points");
    gradient[..stride].fill(0.0);
    let mut energy = 0.0;
    let mut first = 0;
    while first < weights.len() {
        let mut slopes = [0.0; POINTS];
        // SAFETY: blocks of `POINTS * stride` numbers, as many as there are of weights, asserted above.
        unsafe {
            let block = points.as_ptr().add(first * stride);
            dots(s, x.as_ptr(), block, stride, &mut slopes);
            for k in 0..POINTS {
                let below = slopes[k].powi(zeta - 1);
                energy += weights[first + k] * below * slopes[k];
                slopes[k] = weights[first + k] * f64::from(zeta) * below;
            }
            combine(s, block, stride, &slopes, gradient.as_mut_ptr());
        }
        first += POINTS;
    }
    energy
}

/// `out[k] = x . point_k` for the points of a block.
///
/// # Safety
/// `x` must be valid for `stride` numbers, `block` for [`POINTS`] times as many.
#[inline(always)]
unsafe fn dots<S: Simd>(s: S, x: *const f64, block: *const f64, stride: usize, out: &mut [f64; POINTS]) {
    let mut sums = [s.splat(0.0); POINTS];
    let mut f = 0;
    while f < stride {
        let mut lane = 0;
        while lane < MAX_LANES {
            // SAFETY: f + lane + LANES <= stride, which is a multiple of MAX_LANES.
            unsafe {
                let own = s.load_ptr(x.add(f + lane));
                let at = block.add(f * POINTS + lane);
                for k in 0..POINTS {
                    sums[k] = s.fma(own, s.load_ptr(at.add(k * MAX_LANES)), sums[k]);
                }
            }
            lane += S::LANES;
        }
        f += MAX_LANES;
    }
    let mut lanes = [0.0; MAX_LANES];
    for k in 0..POINTS {
        s.store(sums[k], &mut lanes);
        let mut total = 0.0;
        for lane in 0..S::LANES {
            total += lanes[lane];
        }
        out[k] = total;
    }
}

/// `gradient += sum_k factors[k] point_k` for the points of a block.
///
/// # Safety
/// `gradient` must be valid for `stride` numbers, `block` for [`POINTS`] times as many.
#[inline(always)]
unsafe fn combine<S: Simd>(
    s: S,
    block: *const f64,
    stride: usize,
    factors: &[f64; POINTS],
    gradient: *mut f64,
) {
    let mut splat = [s.splat(0.0); POINTS];
    for k in 0..POINTS {
        splat[k] = s.splat(factors[k]);
    }
    let mut f = 0;
    while f < stride {
        let mut lane = 0;
        while lane < MAX_LANES {
            // SAFETY: f + lane + LANES <= stride, which is a multiple of MAX_LANES.
            unsafe {
                let at = block.add(f * POINTS + lane);
                // Two sums: one alone would wait for itself.
                let mut even = s.load_ptr(gradient.add(f + lane));
                let mut odd = s.mul(splat[1], s.load_ptr(at.add(MAX_LANES)));
                even = s.fma(splat[0], s.load_ptr(at), even);
                let mut k = 2;
                while k < POINTS {
                    even = s.fma(splat[k], s.load_ptr(at.add(k * MAX_LANES)), even);
                    odd = s.fma(splat[k + 1], s.load_ptr(at.add((k + 1) * MAX_LANES)), odd);
                    k += 2;
                }
                s.store_ptr(s.add(even, odd), gradient.add(f + lane));
            }
            lane += S::LANES;
        }
        f += MAX_LANES;
    }
}
