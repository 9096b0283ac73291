//! Numbers that start on a cache line, so that no vector of a table straddles two.

/// A fixed number of `f64` aligned to 64 bytes.
#[derive(Debug)]
pub struct Aligned {
    data: Vec<f64>,
    start: usize,
    len: usize,
}

/// Numbers in one cache line.
const LINE: usize = 8;

impl Aligned {
    /// `len` zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        let data = vec![0.0; len + LINE];
        // In units of f64; the vector never grows, so the address stays.
        let start = data.as_ptr().align_offset(64).min(LINE);
        Self { data, start, len }
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f64];
    fn deref(&self) -> &[f64] {
        &self.data[self.start..self.start + self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f64] {
        &mut self.data[self.start..self.start + self.len]
    }
}
