//! Numbers that start on a cache line, so that no vector of a table straddles two.

use super::Element;

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
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        let data = vec![T::default(); len + Self::LINE];
        // In units of T; the vector never grows, so the address stays.
        let start = data.as_ptr().align_offset(64).min(Self::LINE);
        Self { data, start, len }
    }
}

impl<T: Element> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
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
