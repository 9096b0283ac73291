//! Output in double or in single precision.

/// Memory that features are written to. All arithmetic is in double precision; a number of single precision is the one
/// nearest to the result, at most `2^-24 = 6e-8` of it away.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "there are two precisions, and whoever matches must serve both")]
pub enum Numbers<'o> {
    /// Double precision.
    F64(&'o mut [f64]),
    /// Single precision: half the memory, and half the time where writing it decides.
    F32(&'o mut [f32]),
}

impl<'o> From<&'o mut [f64]> for Numbers<'o> {
    fn from(numbers: &'o mut [f64]) -> Self {
        Self::F64(numbers)
    }
}

impl<'o> From<&'o mut [f32]> for Numbers<'o> {
    fn from(numbers: &'o mut [f32]) -> Self {
        Self::F32(numbers)
    }
}

impl<'o> From<&'o mut Vec<f64>> for Numbers<'o> {
    fn from(numbers: &'o mut Vec<f64>) -> Self {
        Self::F64(numbers)
    }
}

impl Numbers<'_> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F64(numbers) => numbers.len(),
            Self::F32(numbers) => numbers.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of one.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::F64(_) => size_of::<f64>(),
            Self::F32(_) => size_of::<f32>(),
        }
    }

    /// Writes numbers of double precision.
    pub(crate) fn copy_from(&mut self, from: &[f64]) {
        match self {
            Self::F64(numbers) => numbers.copy_from_slice(from),
            Self::F32(numbers) => numbers.iter_mut().zip(from).for_each(|(to, x)| *to = *x as f32),
        }
    }

    /// Takes the first `n` away.
    pub(crate) fn take(&mut self, n: usize) -> Self {
        match self {
            Self::F64(numbers) => {
                let (first, rest) = std::mem::take(numbers).split_at_mut(n);
                *numbers = rest;
                Self::F64(first)
            }
            Self::F32(numbers) => {
                let (first, rest) = std::mem::take(numbers).split_at_mut(n);
                *numbers = rest;
                Self::F32(first)
            }
        }
    }
}
