//! Numbers that start on a cache line, so that no vector of a table straddles two.

use super::Element;
use crate::error::Result;
use crate::memory::filled;

/// A fixed number of numbers aligned to 64 bytes.
#[derive(Debug)]
pub struct Aligned<T = f64> {
    data: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Element> Aligned<T> {
    /// Numbers in one cache line.
    const LINE: usize = 64 / size_of::<T>();

    /// `len` zeros.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn zeros(len: usize) -> Result<Self> {
        let data = filled(len.saturating_add(Self::LINE), T::default())?;
        // In units of T; the vector never grows, so the address stays.
        let start = data.as_ptr().align_offset(64).min(Self::LINE);
        Ok(Self { data, start, len })
    }
}

impl<T> std::ops::Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.data[self.start..self.start + self.len]
    }
}

impl<T> std::ops::DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..self.start + self.len]
    }
}
