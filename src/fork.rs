//! Locks that survive `fork`.
//!
//! A forked child has one thread, and a copy of every lock as it was at that moment: what another thread of the parent held
//! stays locked in the child for ever.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

/// How often a process that has not had the lock yet asks for it, before it takes it for its parent's.
const RETRIES: usize = 64;

/// A lock that knows the process it works in: a child whose parent held it goes on with a value of its own.
#[derive(Debug)]
pub struct ForkLock<T> {
    value: Mutex<T>,
    /// The last process that had it.
    process: AtomicU32,
    /// What a child uses instead.
    next: OnceLock<Box<ForkLock<T>>>,
}

impl<T> ForkLock<T> {
    /// An open lock.
    pub const fn new(value: T) -> Self {
        Self { value: Mutex::new(value), process: AtomicU32::new(0), next: OnceLock::new() }
    }

    /// Waits for the lock; `fresh` makes the value of a child whose parent held it. A value that somebody panicked with is
    /// as good as any.
    pub fn lock(&self, fresh: impl Fn() -> T) -> MutexGuard<'_, T> {
        let process = std::process::id();
        for _ in 0..RETRIES {
            if self.process.load(Ordering::Relaxed) == process {
                return self.value.lock().unwrap_or_else(PoisonError::into_inner);
            }
            let guard = match self.value.try_lock() {
                Ok(guard) => guard,
                Err(TryLockError::Poisoned(error)) => error.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    std::thread::yield_now();
                    continue;
                }
            };
            self.process.store(process, Ordering::Relaxed);
            return guard;
        }
        self.next.get_or_init(|| Box::new(Self::new(fresh()))).lock(fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_of_the_parent_is_left_to_it() {
        let lock = ForkLock::new(1);
        let guard = lock.lock(|| 0);
        // As a child sees it.
        lock.process.store(u32::MAX, Ordering::Relaxed);
        *lock.lock(|| 5) += 1;
        assert_eq!(*lock.lock(|| 5), 6);
        drop(guard);
        assert_eq!(*lock.lock(|| 5), 1);
    }

    #[test]
    fn threads_of_one_process_wait() {
        let lock = ForkLock::new(0);
        *lock.lock(|| 0) += 1;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| *lock.lock(|| 0) += 1));
            }
        });
        assert_eq!(*lock.lock(|| 0), 4001);
    }
}
