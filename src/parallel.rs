//! The crate's own thread pool: lazy, and keyed by process id so that it survives `fork`.
//!
//! A forked child inherits the pool's memory but none of its threads. On a new process id the old pool is
//! therefore leaked (joining its threads would hang) and a new one is built on first use.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};
use crate::fork::ForkLock;
use crate::memory::{Grow, all_of, check_room, collected};

/// Asked between waves of work; `true` stops it.
pub type Interrupt<'a> = &'a mut dyn FnMut() -> bool;

/// More threads than this are a slip.
const MOST_THREADS: usize = 1024;

/// How long a wave should take.
const WAVE: Duration = Duration::from_millis(30);

/// Bytes of the stack of a thread, and of all else that a pool takes.
const STACK: usize = 2 << 20;
const ROOM: usize = 4 << 20;

#[derive(Debug, Default)]
struct Slot {
    pid: u32,
    /// What [`default_threads`] said when this process first asked: it reads files, which takes longer than small work.
    default: Option<usize>,
    pool: Option<Arc<ThreadPool>>,
}

static SLOT: ForkLock<Slot> = ForkLock::new(Slot { pid: 0, default: None, pool: None });
/// What was asked for; 0 if nothing was.
static REQUESTED: AtomicUsize = AtomicUsize::new(0);

/// Threads used when nobody asked: `ORBAS_NUM_THREADS`, else `RAYON_NUM_THREADS` (which rayon reads as it likes), else
/// the cores this process may use (affinity and cgroup limits included).
fn default_threads() -> Result<usize> {
    let of = |name| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    if let Some(text) = of("ORBAS_NUM_THREADS") {
        return match text.trim().parse() {
            Ok(threads) => checked(threads),
            Err(_) => Err(bad_number(format!("ORBAS_NUM_THREADS={text:?}"))),
        };
    }
    let asked = of("RAYON_NUM_THREADS").and_then(|text| text.trim().parse().ok()).filter(|&n| n > 0);
    let threads =
        asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    Ok(threads.min(MOST_THREADS))
}

fn checked(threads: usize) -> Result<usize> {
    if (1..=MOST_THREADS).contains(&threads) { Ok(threads) } else { Err(bad_number(threads.to_string())) }
}

fn bad_number(value: String) -> Error {
    Error::BadParameter { name: "number of threads", requirement: "between 1 and 1024", value }
}

/// Asks for `threads` threads from the next call on.
///
/// # Errors
/// [`Error::BadParameter`] if `threads` is 0 or above 1024.
pub fn set_num_threads(threads: usize) -> Result<()> {
    let threads = checked(threads)?;
    if REQUESTED.swap(threads, Ordering::Relaxed) != threads {
        let mut slot = SLOT.lock(Slot::default);
        forget_if_foreign(&mut slot);
        slot.pool = None;
    }
    Ok(())
}

/// Number of threads that the next call will use.
///
/// # Errors
/// [`Error::BadParameter`] if nobody asked for a number and `ORBAS_NUM_THREADS` is none between 1 and 1024.
pub fn num_threads() -> Result<usize> {
    threads_of(&mut SLOT.lock(Slot::default))
}

fn threads_of(slot: &mut Slot) -> Result<usize> {
    forget_if_foreign(slot);
    let requested = REQUESTED.load(Ordering::Relaxed);
    if requested != 0 {
        return Ok(requested);
    }
    match slot.default {
        Some(threads) => Ok(threads),
        None => Ok(*slot.default.insert(default_threads()?)),
    }
}

fn forget_if_foreign(slot: &mut Slot) {
    let pid = std::process::id();
    if slot.pid != pid {
        slot.pid = pid;
        slot.default = None;
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
/// [`Error::BadParameter`] if the operating system refuses the threads, [`Error::OutOfMemory`].
pub fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Result<Vec<R>> {
    if items.len() <= 1 {
        return collected(items.into_iter().map(work));
    }
    let pool = pool()?;
    if pool.current_num_threads() == 1 {
        return collected(items.into_iter().map(work));
    }
    let mut results = Vec::new();
    results.make_room(items.len())?;
    pool.install(|| items.into_par_iter().map(work).collect_into_vec(&mut results));
    Ok(results)
}

/// Work in waves of about 30 ms, between which the caller may stop: how many tasks a wave has is learned from the last.
#[derive(Debug, Clone)]
pub struct Waves {
    tasks: usize,
    threads: usize,
}

impl Waves {
    /// The first wave has one task for each thread.
    ///
    /// # Errors
    /// As [`num_threads`].
    pub fn new() -> Result<Self> {
        let threads = num_threads()?;
        Ok(Self { tasks: threads, threads })
    }

    /// Works on all tasks in parallel; what comes of them is handed to `merge` in their order.
    ///
    /// # Errors
    /// The first error in that order, [`Error::Interrupted`], or as [`map`].
    pub fn run<T: Send, R: Send>(
        &mut self,
        tasks: impl IntoIterator<Item = T>,
        work: impl Fn(T) -> Result<R> + Sync + Send,
        mut merge: impl FnMut(R) -> Result<()>,
        interrupt: Interrupt<'_>,
    ) -> Result<()> {
        let each = |wave: Vec<R>| wave.into_iter().try_for_each(&mut merge);
        self.run_with(&mut Vec::new(), || Ok(()), tasks, |(), task| work(task), each, interrupt)
    }

    /// [`Self::run`] with a memory for each worker, which goes from task to task; `merge` gets a wave at once. What is
    /// missing among the workers, `memory` makes.
    ///
    /// # Errors
    /// As there, and those of `memory`.
    pub fn run_with<W: Send, T: Send, R: Send>(
        &mut self,
        workers: &mut Vec<W>,
        memory: impl Fn() -> Result<W>,
        tasks: impl IntoIterator<Item = T>,
        work: impl Fn(&mut W, T) -> Result<R> + Sync,
        mut merge: impl FnMut(Vec<R>) -> Result<()>,
        interrupt: Interrupt<'_>,
    ) -> Result<()> {
        let mut tasks = tasks.into_iter();
        loop {
            let now = collected(tasks.by_ref().take(self.tasks))?;
            if now.is_empty() {
                return Ok(());
            }
            let full = now.len() == self.tasks;
            let begin = Instant::now();
            while workers.len() < self.threads.min(now.len()) {
                workers.try_extend([memory()?])?;
            }
            merge(all_of(map_with(workers, now, &work)?)?)?;
            if full {
                let ratio = WAVE.as_secs_f64() / begin.elapsed().as_secs_f64().max(1e-6);
                self.tasks =
                    ((self.tasks as f64 * ratio.clamp(0.1, 16.0)) as usize).clamp(self.threads, 1 << 16);
            }
            if interrupt() {
                return Err(Error::Interrupted);
            }
        }
    }
}

/// As [`map`], each worker with its memory.
fn map_with<W: Send, T: Send, R: Send>(
    workers: &mut [W],
    items: Vec<T>,
    work: impl Fn(&mut W, T) -> R + Sync,
) -> Result<Vec<R>> {
    let n = items.len();
    if let ([worker], _) | ([worker, ..], 0..=1) = (&mut *workers, n) {
        return collected(items.into_iter().map(|item| work(worker, item)));
    }
    let mut room = Vec::new();
    room.make_room(n)?;
    let (queue, finished) = (Mutex::new(items.into_iter().enumerate()), Mutex::new(room));
    let (queue, finished, work) = (&queue, &finished, &work);
    pool()?.scope(|scope| {
        for worker in workers {
            scope.spawn(move |_| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((place, item)) = next else { break };
                    let result = work(worker, item);
                    finished.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
                }
            });
        }
    });
    let mut finished = std::mem::take(&mut *finished.lock().unwrap_or_else(PoisonError::into_inner));
    finished.sort_unstable_by_key(|(place, _)| *place);
    collected(finished.into_iter().map(|(_, result)| result))
}

/// The pool of this process.
///
/// # Errors
/// [`Error::BadParameter`] if the operating system refuses the threads, [`Error::OutOfMemory`], or as [`num_threads`].
fn pool() -> Result<Arc<ThreadPool>> {
    let mut slot = SLOT.lock(Slot::default);
    forget_if_foreign(&mut slot);
    if let Some(pool) = &slot.pool {
        return Ok(Arc::clone(pool));
    }
    let threads = threads_of(&mut slot)?;
    check_room(threads * STACK + ROOM)?;
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK)
        .thread_name(|i| format!("orbas-{i}"))
        .build()
        .map_err(|error| Error::BadParameter {
            name: "number of threads",
            requirement: "available from the operating system",
            value: format!("{threads} ({error})"),
        })?;
    let pool = Arc::new(pool);
    slot.pool = Some(Arc::clone(&pool));
    Ok(pool)
}
