//! Plain arrays that the compiler turns into the vectors of the target's baseline: SSE2 or NEON.

use super::{Lanes, Simd, Single};

/// Four numbers in an array.
#[derive(Debug, Clone, Copy)]
pub struct Portable(());

impl Portable {
    #[cfg(any(test, compile_baseline))]
    pub(super) fn new() -> Self {
        Self(())
    }
}

#[inline(always)]
fn zip(a: [f64; 4], b: [f64; 4], op: impl Fn(f64, f64) -> f64) -> [f64; 4] {
    [op(a[0], b[0]), op(a[1], b[1]), op(a[2], b[2]), op(a[3], b[3])]
}

/// Fused only where the baseline has the instruction: elsewhere `mul_add` would be a call into libm.
macro_rules! multiply_add {
    ($a:expr, $b:expr, $c:expr) => {
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            $a.mul_add($b, $c)
        } else {
            $a * $b + $c
        }
    };
}

/// Implements [`Lanes`] with arrays.
macro_rules! lanes {
    ($token:ty, $element:ty, $lanes:literal) => {
        impl Lanes for $token {
            type Element = $element;
            const LANES: usize = $lanes;
            type V = [$element; $lanes];

            #[inline(always)]
            fn splat(self, x: $element) -> Self::V {
                [x; $lanes]
            }
            #[inline(always)]
            unsafe fn load_ptr(self, from: *const $element) -> Self::V {
                // SAFETY: the caller vouches for LANES readable numbers.
                unsafe { from.cast::<Self::V>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store_ptr(self, v: Self::V, to: *mut $element) {
                // SAFETY: the caller vouches for LANES writable numbers.
                unsafe { to.cast::<Self::V>().write_unaligned(v) }
            }
            #[inline(always)]
            fn add(self, a: Self::V, b: Self::V) -> Self::V {
                let mut out = a;
                for k in 0..$lanes {
                    out[k] += b[k];
                }
                out
            }
            #[inline(always)]
            fn mul(self, a: Self::V, b: Self::V) -> Self::V {
                let mut out = a;
                for k in 0..$lanes {
                    out[k] *= b[k];
                }
                out
            }
            #[inline(always)]
            fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                let mut out = c;
                for k in 0..$lanes {
                    out[k] = multiply_add!(a[k], b[k], c[k]);
                }
                out
            }
        }
    };
}

lanes!(Portable, f64, 4);
lanes!(Single<Portable>, f32, 8);

impl Simd for Portable {
    type Single = Single<Self>;

    #[inline(always)]
    fn single(self) -> Self::Single {
        Single::of(self)
    }
    #[inline(always)]
    fn load(self, from: &[f64]) -> Self::V {
        [from[0], from[1], from[2], from[3]]
    }
    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f64]) {
        to[..4].copy_from_slice(&v);
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x - y)
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x / y)
    }
    #[inline(always)]
    fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let mut out = c;
        for k in 0..4 {
            out[k] = multiply_add!((-a[k]), b[k], c[k]);
        }
        out
    }
    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        a.map(f64::sqrt)
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| if x < y { x } else { y })
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    fn less(self, a: Self::V, b: Self::V) -> u32 {
        (0..4).map(|k| u32::from(a[k] < b[k]) << k).sum()
    }
    #[inline(always)]
    fn split(self, x: Self::V, last: f64, indices: &mut [u32]) -> Self::V {
        let mut rest = x;
        for k in 0..4 {
            let whole = x[k].floor().min(last);
            indices[k] = whole as u32;
            rest[k] = x[k] - whole;
        }
        rest
    }
    #[inline(always)]
    unsafe fn compress(self, v: Self::V, lanes: u32, to: *mut f64) {
        let mut n = 0;
        for k in 0..4 {
            // SAFETY: n <= k < 4 numbers, for which the caller vouches.
            unsafe { to.add(n).write(v[k]) };
            n += (lanes >> k & 1) as usize;
        }
    }
    #[inline(always)]
    unsafe fn compress_indices(self, first: u32, lanes: u32, to: *mut u32) {
        let mut n = 0;
        for k in 0..4 {
            // SAFETY: as above.
            unsafe { to.add(n).write(first + k) };
            n += (lanes >> k & 1) as usize;
        }
    }
}
