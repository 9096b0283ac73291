//! Vectors of `f64` with run-time dispatch. The only module with `unsafe` code.
//!
//! A kernel is written once, generic over [`Simd`], and compiled for every instruction set; [`Level::run`] picks the
//! widest one the processor has. A value of a [`Simd`] type is a token that proves the instructions exist: it can
//! only be made by [`Level::run`] after detection, which is the contract every `unsafe` block here rests on.
//!
//! Results of different levels differ by rounding only (fused or separate multiply-add): at most 1e-13 relative.

#![allow(unsafe_code, reason = "the home of all vector code: the token of a level proves its instructions")]
#![expect(
    clippy::too_many_arguments,
    reason = "kernels take slices, strides and counts one by one, as registers hold them"
)]

mod aligned;
mod copies;
mod coupling;
mod filter;
mod gemm;
mod gram;
mod harmonics;
mod kernels;
mod lanes;
mod microkernel;
mod portable;
mod products;
mod schedule;
mod splines;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;

pub use aligned::Aligned;
pub use copies::{copy_past_caches, sum_lanes};
pub use coupling::{
    ENVIRONMENTS, Place, Sums, Term, add_scaled, add_up, inner_product, inner_tangent, outer_product,
    outer_tangent, pull_back,
};
pub use filter::{Candidates, Near, count_near, select_near};
pub use gemm::{Columns, Packed, ROWS, multiply};
pub use gram::{upper_products, upper_products_scratch};
pub use harmonics::{columns_to_rows, harmonic_gradients, harmonic_values};
pub use kernels::{POINTS, polynomial_kernel};
pub use lanes::{Element, Lanes, Single};
pub use microkernel::accumulate;
pub use portable::Portable;
pub use products::{accumulate_outer, contract_harmonics};
pub use schedule::{Schedule, accumulate_all, contract_pair};
pub use splines::{spline_row, spline_rows};

/// The widest vector of any level; scratch arrays of pairs are padded to a multiple of it.
pub const MAX_LANES: usize = 8;

/// A vector instruction set. Methods must inline into a function compiled for that set, hence `inline(always)`
/// on every generic function between [`Level::run`] and here, and loops where one would write `array::map` or
/// `array::from_fn`: a closure handed to the standard library may be compiled on its own, without the instructions,
/// and then every operation becomes a call (ten times slower).
pub trait Simd: Lanes<Element = f64> {
    /// The same instructions for numbers of single precision.
    type Single: Lanes<Element = f32>;

    /// Their token.
    fn single(self) -> Self::Single;
    /// The first `LANES` numbers of `from`; panics if there are fewer.
    fn load(self, from: &[f64]) -> Self::V;
    /// Writes to the first `LANES` numbers of `to`; panics if there are fewer.
    fn store(self, v: Self::V, to: &mut [f64]);
    /// Stores past the caches: for output that is larger than they are. The numbers are in memory for other threads only
    /// after [`Simd::fence`].
    ///
    /// # Safety
    /// `to` must be valid for writing `LANES` numbers and aligned to their size.
    #[inline(always)]
    unsafe fn stream_ptr(self, v: Self::V, to: *mut f64) {
        // SAFETY: passed on from the caller.
        unsafe { self.store_ptr(v, to) }
    }
    /// Waits for what was streamed.
    #[inline(always)]
    fn fence(self) {}
    /// `a - b`
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `c - a * b`, fused where the hardware can.
    fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// Lane-wise minimum.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane-wise maximum.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// Bit k is set where lane k of `a` is less than that of `b`.
    fn less(self, a: Self::V, b: Self::V) -> u32;
    /// `x >= 0` in whole numbers, at most `last`, which are written to `indices`, and the rest, which is returned.
    fn split(self, x: Self::V, last: f64, indices: &mut [u32]) -> Self::V;
    /// Writes `LANES` columns of `n` numbers, `stride` apart in `columns`, as rows: lane `k` of column `c` goes to
    /// `rows[k * row_stride + c]`.
    ///
    /// # Safety
    /// `columns` must be valid for reading `n` vectors `stride` apart, `rows` for writing `n` numbers in each of `LANES`
    /// rows.
    #[inline(always)]
    unsafe fn transpose(
        self,
        columns: *const f64,
        stride: usize,
        n: usize,
        rows: *mut f64,
        row_stride: usize,
    ) {
        for lane in 0..Self::LANES {
            for c in 0..n {
                // SAFETY: passed on from the caller.
                unsafe { rows.add(lane * row_stride + c).write(*columns.add(c * stride + lane)) };
            }
        }
    }
    /// Writes the lanes whose bit is set, one behind the other; what is written behind them is arbitrary.
    ///
    /// # Safety
    /// `to` must be valid for writing `LANES` numbers.
    unsafe fn compress(self, v: Self::V, lanes: u32, to: *mut f64);
    /// [`Simd::compress`] of `first`, `first + 1`, ...
    ///
    /// # Safety
    /// `to` must be valid for writing `LANES` numbers.
    unsafe fn compress_indices(self, first: u32, lanes: u32, to: *mut u32);
}

/// A computation that is generic over the instruction set.
pub trait Kernel {
    /// What it returns.
    type Output;
    /// Runs it; implementations must be `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// An instruction set that this build has code for and this processor has: a value proves both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(Instructions);

/// What can be compiled; which of them are, `build.rs` decides. Unit tests have all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Instructions {
    /// What every processor of the target has (SSE2 on x86-64, NEON on aarch64).
    #[cfg(any(test, compile_baseline))]
    Baseline,
    /// 4 lanes with fused multiply-add.
    #[cfg(all(target_arch = "x86_64", any(test, compile_avx2)))]
    Avx2,
    /// 8 lanes with fused multiply-add.
    #[cfg(all(target_arch = "x86_64", any(test, compile_avx512)))]
    Avx512,
}

impl Level {
    /// The levels that this build has and this processor can run, narrowest first. None if the build was made for
    /// another machine (`ORBAS_LEVELS=native`).
    #[must_use]
    pub fn available() -> Vec<Self> {
        let compiled = [
            #[cfg(any(test, compile_baseline))]
            Some(Instructions::Baseline),
            #[cfg(all(target_arch = "x86_64", any(test, compile_avx2)))]
            x86::has_avx2().then_some(Instructions::Avx2),
            #[cfg(all(target_arch = "x86_64", any(test, compile_avx512)))]
            x86::has_avx512().then_some(Instructions::Avx512),
        ];
        compiled.into_iter().flatten().map(Self).collect()
    }

    /// The widest level of this processor.
    ///
    /// # Panics
    /// If there is none, see [`Level::available`].
    #[must_use]
    pub fn detect() -> Self {
        Self::available()
            .pop()
            .expect("the instructions that orbas was built for: build it again, on this machine")
    }

    /// Its name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(any(test, compile_baseline))]
            Instructions::Baseline => "baseline",
            #[cfg(all(target_arch = "x86_64", any(test, compile_avx2)))]
            Instructions::Avx2 => "avx2",
            #[cfg(all(target_arch = "x86_64", any(test, compile_avx512)))]
            Instructions::Avx512 => "avx512",
        }
    }

    /// Numbers in one vector of this level.
    #[must_use]
    pub fn lanes(self) -> usize {
        match self.0 {
            #[cfg(any(test, compile_baseline))]
            Instructions::Baseline => Portable::LANES,
            #[cfg(all(target_arch = "x86_64", any(test, compile_avx2)))]
            Instructions::Avx2 => x86::Avx2::LANES,
            #[cfg(all(target_arch = "x86_64", any(test, compile_avx512)))]
            Instructions::Avx512 => x86::Avx512::LANES,
        }
    }

    /// Runs a kernel with the instructions of this level.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(any(test, compile_baseline))]
            Instructions::Baseline => kernel.run(Portable::new()),
            // SAFETY: `available`, which alone makes levels, found the features.
            #[cfg(all(target_arch = "x86_64", any(test, compile_avx2)))]
            Instructions::Avx2 => unsafe { x86::run_avx2(kernel) },
            // SAFETY: as above.
            #[cfg(all(target_arch = "x86_64", any(test, compile_avx512)))]
            Instructions::Avx512 => unsafe { x86::run_avx512(kernel) },
        }
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
