//! The crate's own thread pool: lazy, and keyed by process id so that it survives `fork`.
//!
//! A forked child inherits the pool's memory but none of its threads. On a new process id the old pool is
//! therefore leaked (joining its threads would hang) and a new one is built on first use.

use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

struct Slot {
    pid: u32,
    requested: Option<usize>,
    pool: Option<Arc<ThreadPool>>,
}

static SLOT: Mutex<Slot> = Mutex::new(Slot { pid: 0, requested: None, pool: None });

/// Threads used when nobody asked: `ORBAS_NUM_THREADS`, else `RAYON_NUM_THREADS`, else the cores this process may
/// use (affinity and cgroup limits included).
fn default_threads() -> usize {
    ["ORBAS_NUM_THREADS", "RAYON_NUM_THREADS"]
        .iter()
        .find_map(|name| std::env::var(name).ok()?.trim().parse::<usize>().ok().filter(|&n| n > 0))
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// Asks for `threads` threads from the next call on.
///
/// # Errors
/// [`Error::BadParameter`] if `threads` is 0 or above 1024.
pub fn set_num_threads(threads: usize) -> Result<()> {
    if threads == 0 || threads > 1024 {
        return Err(Error::BadParameter {
            name: "number of threads",
            requirement: "between 1 and 1024",
            value: threads.to_string(),
        });
    }
    let mut slot = SLOT.lock().unwrap_or_else(PoisonError::into_inner);
    if slot.requested != Some(threads) {
        slot.requested = Some(threads);
        forget_if_foreign(&mut slot);
        slot.pool = None;
    }
    Ok(())
}

/// Number of threads that the next call will use.
#[must_use]
pub fn num_threads() -> usize {
    let slot = SLOT.lock().unwrap_or_else(PoisonError::into_inner);
    slot.requested.unwrap_or_else(default_threads)
}

fn forget_if_foreign(slot: &mut Slot) {
    let pid = std::process::id();
    if slot.pid != pid {
        slot.pid = pid;
        if let Some(pool) = slot.pool.take() {
            std::mem::forget(pool);
        }
    }
}

/// Applies `work` to every item, in parallel; results are in the order of the items.
///
/// With one thread, or one item, the calling thread does it: its caches hold what it has just prepared.
///
/// # Errors
/// As [`pool`].
pub fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Result<Vec<R>> {
    if items.len() <= 1 {
        return Ok(items.into_iter().map(work).collect());
    }
    let pool = pool()?;
    if pool.current_num_threads() == 1 {
        return Ok(items.into_iter().map(work).collect());
    }
    Ok(pool.install(|| items.into_par_iter().map(work).collect()))
}

/// The pool of this process.
///
/// # Errors
/// [`Error::BadParameter`] if the operating system refuses the threads.
fn pool() -> Result<Arc<ThreadPool>> {
    let mut slot = SLOT.lock().unwrap_or_else(PoisonError::into_inner);
    forget_if_foreign(&mut slot);
    if let Some(pool) = &slot.pool {
        return Ok(Arc::clone(pool));
    }
    let threads = slot.requested.unwrap_or_else(default_threads);
    let pool =
        ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("orbas-{i}")).build().map_err(
            |error| Error::BadParameter {
                name: "number of threads",
                requirement: "available from the operating system",
                value: format!("{threads} ({error})"),
            },
        )?;
    let pool = Arc::new(pool);
    slot.pool = Some(Arc::clone(&pool));
    Ok(pool)
}
