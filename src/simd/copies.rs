//! Vectors out of registers: to memory past the caches, to one number.

use super::Simd;

/// Copies numbers past the caches, which keep what the next center needs. Only worth it where the output as a whole is
/// larger than the caches.
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub fn copy_past_caches<S: Simd>(s: S, from: &[f64], to: &mut [f64]) {
    assert!(from.len() == to.len(), "lengths differ");
    let head = to.as_ptr().align_offset(S::LANES * size_of::<f64>()).min(to.len());
    to[..head].copy_from_slice(&from[..head]);
    let mut k = head;
    while k + S::LANES <= to.len() {
        // SAFETY: k + LANES <= len; the address of k is a multiple of a vector's size, since that of `head` is.
        unsafe { s.stream_ptr(s.load_ptr(from.as_ptr().add(k)), to.as_mut_ptr().add(k)) };
        k += S::LANES;
    }
    to[k..].copy_from_slice(&from[k..]);
    s.fence();
}

/// Sum of the lanes of a vector.
#[inline(always)]
pub fn sum_lanes<S: Simd>(s: S, v: S::V) -> f64 {
    let mut lanes = [0.0; super::MAX_LANES];
    s.store(v, &mut lanes);
    lanes[..S::LANES].iter().sum()
}
