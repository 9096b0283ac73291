//! AVX2 + FMA and AVX-512: the same trait over two register widths.

#[allow(clippy::wildcard_imports)] // the whole instruction set, by its own names
use std::arch::x86_64::*;

use super::{Kernel, Level, Simd};

/// Token: AVX2 and FMA exist on this processor.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

/// Token: AVX-512F (and AVX2, FMA) exists on this processor.
#[derive(Debug, Clone, Copy)]
pub struct Avx512(());

#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

#[target_feature(enable = "avx2,fma,avx512f")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

/// Runs `kernel` at `level` if the processor has it.
pub(super) fn run<K: Kernel>(level: Level, kernel: K) -> K::Output {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    if level == Level::Avx512 && avx2 && is_x86_feature_detected!("avx512f") {
        // SAFETY: all features the function is compiled for were detected one line above.
        unsafe { run_avx512(kernel) }
    } else if level >= Level::Avx2 && avx2 {
        // SAFETY: both features the function is compiled for were detected above.
        unsafe { run_avx2(kernel) }
    } else {
        kernel.run(super::Portable::new())
    }
}

/// Implements [`Simd`] for a token from the intrinsics of one register width.
macro_rules! implement {
    ($token:ident, $vector:ident, $lanes:literal, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident,
     $mul:ident, $div:ident, $fma:ident, $fnma:ident, $sqrt:ident, $min:ident, $max:ident, $less:expr) => {
        // SAFETY (every block below): `self` is a token, made only by `run` after the features were detected;
        // the slices are checked to hold LANES numbers, the pointer forms pass that duty to their caller.
        impl Simd for $token {
            const LANES: usize = $lanes;
            type V = $vector;

            #[inline(always)]
            fn splat(self, x: f64) -> Self::V {
                unsafe { $splat(x) }
            }
            #[inline(always)]
            fn load(self, from: &[f64]) -> Self::V {
                let from = &from[..$lanes];
                unsafe { $load(from.as_ptr()) }
            }
            #[inline(always)]
            fn store(self, v: Self::V, to: &mut [f64]) {
                let to = &mut to[..$lanes];
                unsafe { $store(to.as_mut_ptr(), v) }
            }
            #[inline(always)]
            unsafe fn load_ptr(self, from: *const f64) -> Self::V {
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store_ptr(self, v: Self::V, to: *mut f64) {
                unsafe { $store(to, v) }
            }
            #[inline(always)]
            fn add(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            fn sub(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $sub(a, b) }
            }
            #[inline(always)]
            fn mul(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            fn div(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $div(a, b) }
            }
            #[inline(always)]
            fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                unsafe { $fma(a, b, c) }
            }
            #[inline(always)]
            fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                unsafe { $fnma(a, b, c) }
            }
            #[inline(always)]
            fn sqrt(self, a: Self::V) -> Self::V {
                unsafe { $sqrt(a) }
            }
            #[inline(always)]
            fn min(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $min(a, b) }
            }
            #[inline(always)]
            fn max(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $max(a, b) }
            }
            #[inline(always)]
            fn less(self, a: Self::V, b: Self::V) -> u32 {
                unsafe { $less(a, b) }
            }
        }
    };
}

implement!(
    Avx2,
    __m256d,
    4,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd,
    _mm256_div_pd,
    _mm256_fmadd_pd,
    _mm256_fnmadd_pd,
    _mm256_sqrt_pd,
    _mm256_min_pd,
    _mm256_max_pd,
    |a, b| _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(a, b)) as u32
);
implement!(
    Avx512,
    __m512d,
    8,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_mul_pd,
    _mm512_div_pd,
    _mm512_fmadd_pd,
    _mm512_fnmadd_pd,
    _mm512_sqrt_pd,
    _mm512_min_pd,
    _mm512_max_pd,
    |a, b| u32::from(_mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, b))
);
