//! Memory whose size comes from structures or settings: where there is not enough, [`Error::OutOfMemory`] instead of the
//! end of the process.
//!
//! Every such size goes through [`Grow`] or a function here. What is left to the standard library is bounded: a few
//! numbers for each degree, thread or task. Room for that stays free whenever a large piece is taken.

use crate::error::{Error, Result};

/// What [`Vec`] does, with an error where memory is short.
pub trait Grow<T> {
    /// Makes room for `more` numbers behind those that are there.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn make_room(&mut self, more: usize) -> Result<()>;

    /// [`Vec::resize`].
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn try_resize(&mut self, len: usize, value: T) -> Result<()>
    where
        T: Clone;

    /// [`Vec::extend`]; room is made for as many as the iterator says there are.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn try_extend(&mut self, items: impl IntoIterator<Item = T>) -> Result<()>;
}

impl<T> Grow<T> for Vec<T> {
    #[inline]
    fn make_room(&mut self, more: usize) -> Result<()> {
        if self.capacity() - self.len() >= more {
            return Ok(());
        }
        self.try_reserve(more).map_err(|_| short::<T>(more))?;
        leave_room::<T>(self.capacity())
    }

    #[inline]
    fn try_resize(&mut self, len: usize, value: T) -> Result<()>
    where
        T: Clone,
    {
        self.make_room(len.saturating_sub(self.len()))?;
        self.resize(len, value);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, items: impl IntoIterator<Item = T>) -> Result<()> {
        let items = items.into_iter();
        let (least, most) = items.size_hint();
        self.make_room(least)?;
        if most == Some(least) {
            self.extend(items);
            return Ok(());
        }
        for item in items {
            if self.len() == self.capacity() {
                self.make_room(1)?;
            }
            self.push(item);
        }
        Ok(())
    }
}

/// Bytes of a large piece, and of what must be left beside it.
const LARGE: usize = 1 << 16;
const REST: usize = 2 << 20;

/// Asks for the room that small things need, and gives it back.
#[inline]
fn leave_room<T>(n: usize) -> Result<()> {
    if n.saturating_mul(size_of::<T>()) < LARGE {
        return Ok(());
    }
    check_room(REST).map_err(|_| short::<T>(n))
}

/// Asks for memory and gives it back: for what others will take without asking.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn check_room(bytes: usize) -> Result<()> {
    let mut room: Vec<u8> = Vec::new();
    room.try_reserve_exact(bytes).map_err(|_| short::<u8>(bytes))?;
    // Else the compiler leaves out what is given back unused.
    std::hint::black_box(&mut room);
    Ok(())
}

/// The error of memory that is short of `n` numbers.
#[cold]
#[must_use]
pub fn short<T>(n: usize) -> Error {
    Error::OutOfMemory { bytes: n.saturating_mul(size_of::<T>()) }
}

/// `n` times the value.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn filled<T: Clone>(n: usize, value: T) -> Result<Vec<T>> {
    let mut numbers = Vec::new();
    numbers.try_reserve_exact(n).map_err(|_| short::<T>(n))?;
    leave_room::<T>(n)?;
    numbers.resize(n, value);
    Ok(numbers)
}

/// All items of an iterator.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn collected<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    all.try_extend(items)?;
    Ok(all)
}

/// All items, or the first error among them.
///
/// # Errors
/// That one, or [`Error::OutOfMemory`].
pub fn all_of<T>(items: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let items = items.into_iter();
    let mut all = Vec::new();
    all.make_room(items.size_hint().0)?;
    for item in items {
        let item = item?;
        all.try_extend([item])?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_memory_is_an_error() {
        let too_much = isize::MAX as usize / 8;
        assert_eq!(filled(too_much, 0.0_f64), Err(Error::OutOfMemory { bytes: too_much * 8 }));
        assert!(matches!(filled(usize::MAX, 0.0_f64), Err(Error::OutOfMemory { .. })));
        let mut numbers = vec![1.0_f64];
        assert!(numbers.try_resize(too_much, 0.0).is_err());
        assert!(numbers.make_room(usize::MAX).is_err());
        assert_eq!(numbers, [1.0]);
    }

    #[test]
    fn enough_memory_is_as_ever() {
        assert_eq!(collected((0..5).filter(|k| k % 2 == 0)), Ok(vec![0, 2, 4]));
        assert_eq!(all_of((0..3).map(Ok)), Ok(vec![0, 1, 2]));
        assert_eq!(all_of([Ok(1), Err(Error::Interrupted)]), Err(Error::Interrupted));
    }
}
