//! What a vector is, for numbers of either precision: enough for kernels that only multiply and add.

use std::fmt::Debug;

use super::Simd;

/// A kind of number that vectors are made of.
pub trait Element: Copy + Default + PartialEq + Debug + Send + Sync + 'static {
    /// Environments that a kernel of equivariants works on at once: two cache lines of them.
    const ENVIRONMENTS: usize = 128 / size_of::<Self>();

    /// The nearest number.
    fn nearest(x: f64) -> Self;
    /// The same number in double precision.
    fn wide(self) -> f64;
}

impl Element for f64 {
    #[inline(always)]
    fn nearest(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
}

impl Element for f32 {
    #[inline(always)]
    fn nearest(x: f64) -> Self {
        x as Self
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

/// Vectors of an instruction set. What [`Simd`] says about inlining holds here too.
pub trait Lanes: Copy + Send + Sync {
    /// What the vectors hold.
    type Element: Element;
    /// Numbers in one vector.
    const LANES: usize;
    /// The vector.
    type V: Copy;

    /// All lanes equal to `x`.
    fn splat(self, x: Self::Element) -> Self::V;
    /// Loads without a bounds check.
    ///
    /// # Safety
    /// `from` must be valid for reading `LANES` numbers.
    unsafe fn load_ptr(self, from: *const Self::Element) -> Self::V;
    /// Stores without a bounds check.
    ///
    /// # Safety
    /// `to` must be valid for writing `LANES` numbers.
    unsafe fn store_ptr(self, v: Self::V, to: *mut Self::Element);
    /// `a + b`
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, fused where the hardware can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
}

/// The same instruction set for numbers of single precision, twice as many to a vector. A token as `S` is.
#[derive(Debug, Clone, Copy)]
pub struct Single<S>(S);

impl<S: Simd> Single<S> {
    #[inline(always)]
    pub(super) fn of(s: S) -> Self {
        Self(s)
    }
}
