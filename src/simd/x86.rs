//! AVX2 + FMA and AVX-512: the same trait over two register widths.

#[allow(clippy::wildcard_imports, reason = "the whole instruction set, by its own names")]
use std::arch::x86_64::*;

use super::{Kernel, Lanes, Simd, Single};

/// Token: AVX2 and FMA exist on this processor.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

/// Token: AVX-512F (and AVX2, FMA) exists on this processor.
#[derive(Debug, Clone, Copy)]
pub struct Avx512(());

#[cfg(any(test, compile_avx2))]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

#[cfg(any(test, compile_avx512))]
#[target_feature(enable = "avx2,fma,popcnt,avx512f")]
pub(super) fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

/// Whether this processor has what `run_avx2` is compiled for.
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("popcnt")
}

/// Whether this processor has what `run_avx512` is compiled for.
pub(super) fn has_avx512() -> bool {
    has_avx2() && is_x86_feature_detected!("avx512f")
}

/// Numbers of a line of a table, aligned for one load.
#[repr(align(32))]
struct Line<const N: usize>([u32; N]);

/// For each set of four lanes, the lanes in it, then zeros.
static LANES_OF: [Line<4>; 16] = {
    let mut table = [const { Line([0; 4]) }; 16];
    let mut set = 0;
    while set < 16 {
        let (mut lane, mut n) = (0, 0);
        while lane < 4 {
            if set >> lane & 1 == 1 {
                table[set].0[n] = lane;
                n += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    table
};

/// The same in halves of a lane, as permutations of 32-bit numbers count.
static HALVES: [Line<8>; 16] = {
    let mut table = [const { Line([0; 8]) }; 16];
    let mut set = 0;
    while set < 16 {
        let mut n = 0;
        while n < 8 {
            table[set].0[n] = 2 * LANES_OF[set].0[n / 2] + (n % 2) as u32;
            n += 1;
        }
        set += 1;
    }
    table
};

/// Implements [`Lanes`] for a token from the intrinsics of one register width.
macro_rules! lanes {
    ($token:ty, $element:ty, $vector:ident, $lanes:literal, $splat:ident, $load:ident, $store:ident, $add:ident,
     $mul:ident, $fma:ident) => {
        // A value is a token, made only by [`super::Level::run`] after the features were detected.
        impl Lanes for $token {
            type Element = $element;
            const LANES: usize = $lanes;
            type V = $vector;

            #[inline(always)]
            fn splat(self, x: $element) -> Self::V {
                // SAFETY: the token proves the instructions.
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load_ptr(self, from: *const $element) -> Self::V {
                // SAFETY: the token proves the instructions, the caller vouches for the memory.
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store_ptr(self, v: Self::V, to: *mut $element) {
                // SAFETY: the token proves the instructions, the caller vouches for the memory.
                unsafe { $store(to, v) }
            }
            #[inline(always)]
            fn add(self, a: Self::V, b: Self::V) -> Self::V {
                // SAFETY: the token proves the instructions.
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            fn mul(self, a: Self::V, b: Self::V) -> Self::V {
                // SAFETY: the token proves the instructions.
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                // SAFETY: the token proves the instructions.
                unsafe { $fma(a, b, c) }
            }
        }
    };
}

lanes!(
    Avx2,
    f64,
    __m256d,
    4,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_add_pd,
    _mm256_mul_pd,
    _mm256_fmadd_pd
);
lanes!(
    Single<Avx2>,
    f32,
    __m256,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps
);
lanes!(
    Avx512,
    f64,
    __m512d,
    8,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_add_pd,
    _mm512_mul_pd,
    _mm512_fmadd_pd
);
lanes!(
    Single<Avx512>,
    f32,
    __m512,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps
);

/// Implements [`Simd`] for a token from the intrinsics of one register width.
macro_rules! implement {
    ($token:ident, $lanes:literal, $load:ident, $store:ident, $stream:ident, $sub:ident,
     $div:ident, $fnma:ident, $sqrt:ident, $min:ident, $max:ident, $less:expr, $compress:expr, $indices:expr, $split:expr, { $($more:item)* }) => {
        // A value is a token, made only by [`super::Level::run`] after the features were detected.
        impl Simd for $token {
            type Single = Single<Self>;

            #[inline(always)]
            fn single(self) -> Self::Single {
                Single::of(self)
            }
            #[inline(always)]
            fn load(self, from: &[f64]) -> Self::V {
                let from = &from[..$lanes];
                // SAFETY: the token proves the instructions, the slice is checked above.
                unsafe { $load(from.as_ptr()) }
            }
            #[inline(always)]
            fn store(self, v: Self::V, to: &mut [f64]) {
                let to = &mut to[..$lanes];
                // SAFETY: the token proves the instructions, the slice is checked above.
                unsafe { $store(to.as_mut_ptr(), v) }
            }
            #[inline(always)]
            unsafe fn stream_ptr(self, v: Self::V, to: *mut f64) {
                // SAFETY: the token proves the instructions, the caller vouches for the memory.
                unsafe { $stream(to, v) }
            }
            #[inline(always)]
            fn fence(self) {
                // SAFETY: the token proves the instructions.
                unsafe { _mm_sfence() };
            }
            #[inline(always)]
            fn sub(self, a: Self::V, b: Self::V) -> Self::V {
                // SAFETY: the token proves the instructions.
                unsafe { $sub(a, b) }
            }
            #[inline(always)]
            fn div(self, a: Self::V, b: Self::V) -> Self::V {
                // SAFETY: the token proves the instructions.
                unsafe { $div(a, b) }
            }
            #[inline(always)]
            fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                // SAFETY: the token proves the instructions.
                unsafe { $fnma(a, b, c) }
            }
            #[inline(always)]
            fn sqrt(self, a: Self::V) -> Self::V {
                // SAFETY: the token proves the instructions.
                unsafe { $sqrt(a) }
            }
            #[inline(always)]
            fn min(self, a: Self::V, b: Self::V) -> Self::V {
                // SAFETY: the token proves the instructions.
                unsafe { $min(a, b) }
            }
            #[inline(always)]
            fn max(self, a: Self::V, b: Self::V) -> Self::V {
                // SAFETY: the token proves the instructions.
                unsafe { $max(a, b) }
            }
            #[inline(always)]
            fn less(self, a: Self::V, b: Self::V) -> u32 {
                // SAFETY: the token proves the instructions.
                unsafe { $less(a, b) }
            }
            $($more)*
            #[inline(always)]
            fn split(self, x: Self::V, last: f64, indices: &mut [u32]) -> Self::V {
                let indices = &mut indices[..$lanes];
                // SAFETY: the token proves the instructions, the slice is checked above.
                unsafe { $split(x, last, indices.as_mut_ptr()) }
            }
            #[inline(always)]
            unsafe fn compress(self, v: Self::V, lanes: u32, to: *mut f64) {
                // SAFETY: the token proves the instructions, the caller vouches for the memory.
                unsafe { $compress(v, lanes, to) }
            }
            #[inline(always)]
            unsafe fn compress_indices(self, first: u32, lanes: u32, to: *mut u32) {
                // SAFETY: the token proves the instructions, the caller vouches for the memory.
                unsafe { $indices(first, lanes, to) }
            }
        }
    };
}

implement!(
    Avx2,
    4,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_stream_pd,
    _mm256_sub_pd,
    _mm256_div_pd,
    _mm256_fnmadd_pd,
    _mm256_sqrt_pd,
    _mm256_min_pd,
    _mm256_max_pd,
    |a, b| _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(a, b)) as u32,
    |v, lanes: u32, to| {
        let order = _mm256_load_si256((&raw const HALVES[lanes as usize & 15]).cast());
        let packed = _mm256_permutevar8x32_ps(_mm256_castpd_ps(v), order);
        _mm256_storeu_pd(to, _mm256_castps_pd(packed));
    },
    |first: u32, lanes: u32, to: *mut u32| {
        let order = _mm_load_si128((&raw const LANES_OF[lanes as usize & 15]).cast());
        _mm_storeu_si128(to.cast(), _mm_add_epi32(order, _mm_set1_epi32(first as i32)));
    },
    |x, last, to: *mut u32| {
        let whole = _mm256_min_pd(_mm256_floor_pd(x), _mm256_set1_pd(last));
        _mm_storeu_si128(to.cast(), _mm256_cvttpd_epi32(whole));
        _mm256_sub_pd(x, whole)
    },
    {
        #[inline(always)]
        unsafe fn transpose(
            self,
            columns: *const f64,
            stride: usize,
            n: usize,
            rows: *mut f64,
            row_stride: usize,
        ) {
            // SAFETY: whole groups of four columns, then single ones, all below n.
            unsafe {
                let mut c = 0;
                while c + 4 <= n {
                    let at = columns.add(c * stride);
                    let (a, b) = (_mm256_loadu_pd(at), _mm256_loadu_pd(at.add(stride)));
                    let (c2, d) = (_mm256_loadu_pd(at.add(2 * stride)), _mm256_loadu_pd(at.add(3 * stride)));
                    let (ab_even, ab_odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
                    let (cd_even, cd_odd) = (_mm256_unpacklo_pd(c2, d), _mm256_unpackhi_pd(c2, d));
                    let to = rows.add(c);
                    _mm256_storeu_pd(to, _mm256_permute2f128_pd::<0x20>(ab_even, cd_even));
                    _mm256_storeu_pd(to.add(row_stride), _mm256_permute2f128_pd::<0x20>(ab_odd, cd_odd));
                    _mm256_storeu_pd(
                        to.add(2 * row_stride),
                        _mm256_permute2f128_pd::<0x31>(ab_even, cd_even),
                    );
                    _mm256_storeu_pd(to.add(3 * row_stride), _mm256_permute2f128_pd::<0x31>(ab_odd, cd_odd));
                    c += 4;
                }
                while c < n {
                    for lane in 0..4 {
                        rows.add(lane * row_stride + c).write(*columns.add(c * stride + lane));
                    }
                    c += 1;
                }
            }
        }
    }
);
implement!(
    Avx512,
    8,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_stream_pd,
    _mm512_sub_pd,
    _mm512_div_pd,
    _mm512_fnmadd_pd,
    _mm512_sqrt_pd,
    _mm512_min_pd,
    _mm512_max_pd,
    |a, b| u32::from(_mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, b)),
    |v, lanes: u32, to| _mm512_storeu_pd(to, _mm512_maskz_compress_pd(lanes as u8, v)),
    |first: u32, lanes: u32, to: *mut u32| {
        let counted = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0);
        let indices = _mm512_add_epi32(counted, _mm512_set1_epi32(first as i32));
        let packed = _mm512_maskz_compress_epi32(lanes as u16, indices);
        _mm256_storeu_si256(to.cast(), _mm512_castsi512_si256(packed));
    },
    |x, last, to: *mut u32| {
        let floor = _mm512_roundscale_pd::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x);
        let whole = _mm512_min_pd(floor, _mm512_set1_pd(last));
        _mm256_storeu_si256(to.cast(), _mm512_cvttpd_epi32(whole));
        _mm512_sub_pd(x, whole)
    },
    {}
);
