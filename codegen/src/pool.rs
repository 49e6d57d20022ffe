//! A pool of threads for generated code.
//!
//! Workers spin for some microseconds after a job, because the next step of a network follows at
//! once, and sleep after that. One job runs at a time; a second caller does its work by itself
//! instead of waiting.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A piece of a job: called with the job's argument and the piece's index.
pub type Task = unsafe extern "C" fn(*mut c_void, usize);

/// Turns of waiting before a thread sleeps: some tens of microseconds.
const SPINS: usize = 4000;
/// Pieces of one job: indices take 16 bits of [`Shared::state`].
const MAX_PIECES: usize = 0xffff;
/// Most threads of a pool.
const MAX_THREADS: usize = 256;

/// So many threads as are asked for; 0 asks for one a core.
pub fn thread_count(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

/// A pool of threads; the calling thread is one of them.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held while a job runs.
    busy: Mutex<()>,
}

struct Shared {
    /// Number of the job (upper 32 bits), its pieces (16), the next piece (16). A piece is claimed
    /// by raising the lowest part if nothing else has changed; so the claim belongs to that job,
    /// and the job cannot end before the piece is done.
    state: AtomicU64,
    /// The job: a [`Segment`] on the caller's stack.
    argument: AtomicPtr<c_void>,
    /// Pieces done.
    done: AtomicUsize,
    /// Whether the caller sleeps until the job is done.
    caller_sleeps: AtomicBool,
    /// Workers that sleep, or are about to.
    sleepers: AtomicUsize,
    stop: AtomicBool,
    lock: Mutex<()>,
    work: Condvar,
    finished: Condvar,
}

impl Pool {
    /// A pool of `threads` threads, the caller's included; at least 1, at most 256. If the system
    /// refuses to start one, the pool has fewer.
    pub fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            argument: AtomicPtr::new(std::ptr::null_mut()),
            done: AtomicUsize::new(0),
            caller_sleeps: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            lock: Mutex::new(()),
            work: Condvar::new(),
            finished: Condvar::new(),
        });
        let mut workers = Vec::new();
        for i in 1..threads.clamp(1, MAX_THREADS) {
            let shared = Arc::clone(&shared);
            let builder = std::thread::Builder::new().name(format!("netwright-{i}"));
            match builder.spawn(move || shared.work_loop()) {
                Ok(worker) => workers.push(worker),
                Err(_) => break,
            }
        }
        Pool { shared, workers, busy: Mutex::new(()) }
    }

    /// Number of threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(argument, i)` for all `i` below `n`, on any threads in any order, and returns when
    /// all have returned.
    ///
    /// # Safety
    ///
    /// The calls must be safe on any thread and beside each other while this function runs, and
    /// must not unwind.
    pub unsafe fn parallel_for(&self, n: usize, task: Task, argument: *mut c_void) {
        let alone = self.workers.is_empty() || n < 2;
        let guard = if alone { None } else { self.busy.try_lock().ok() };
        if guard.is_none() {
            for i in 0..n {
                // SAFETY: the caller vouches for the calls.
                unsafe { task(argument, i) };
            }
            return;
        }
        let shared = &*self.shared;
        let mut first = 0;
        while first < n {
            let pieces = (n - first).min(MAX_PIECES);
            let mut job = Segment { task, argument, first };
            let job: *mut Segment = &mut job;
            shared.run(pieces, job.cast());
            first += pieces;
        }
    }

    /// [`Pool::parallel_for`] as generated code calls it.
    ///
    /// # Safety
    ///
    /// `pool` must point to a [`Pool`] that outlives the call; else as there.
    pub unsafe extern "C" fn parallel_for_c(
        pool: *mut c_void,
        n: usize,
        task: Task,
        argument: *mut c_void,
    ) {
        // SAFETY: as this function's own conditions.
        unsafe { (*pool.cast::<Pool>()).parallel_for(n, task, argument) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(self.shared.guard());
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // A worker runs nothing that unwinds; if it did, there is nothing left to clean up.
            let _ = worker.join();
        }
    }
}

/// Consecutive pieces of a caller's job.
struct Segment {
    task: Task,
    argument: *mut c_void,
    first: usize,
}

impl Shared {
    fn guard(&self) -> MutexGuard<'_, ()> {
        // The lock protects no data, so a panic elsewhere leaves nothing inconsistent.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the pieces of a segment, on this thread and those that are awake or wake up.
    fn run(&self, pieces: usize, segment: *mut c_void) {
        self.argument.store(segment, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        let job = (self.state.load(Ordering::Relaxed) >> 32).wrapping_add(1);
        self.state.store(job << 32 | (pieces as u64) << 16, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(self.guard());
            self.work.notify_all();
        }
        while self.run_piece() {}
        for _ in 0..SPINS {
            if self.done.load(Ordering::Acquire) == pieces {
                return;
            }
            std::hint::spin_loop();
        }
        self.caller_sleeps.store(true, Ordering::SeqCst);
        let mut guard = self.guard();
        while self.done.load(Ordering::SeqCst) != pieces {
            guard = self.finished.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        drop(guard);
        self.caller_sleeps.store(false, Ordering::SeqCst);
    }

    /// Whether a piece waits to be claimed.
    fn has_work(&self) -> bool {
        let state = self.state.load(Ordering::SeqCst);
        state & 0xffff < state >> 16 & 0xffff
    }

    /// Claims a piece and runs it; false if there is none.
    fn run_piece(&self) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        let (index, pieces) = loop {
            let (index, pieces) = (state & 0xffff, state >> 16 & 0xffff);
            if index >= pieces {
                return false;
            }
            let next = self.state.compare_exchange_weak(
                state,
                state + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match next {
                Ok(_) => break (index as usize, pieces as usize),
                Err(now) => state = now,
            }
        };
        let segment = self.argument.load(Ordering::Relaxed).cast::<Segment>();
        // SAFETY: `run` keeps the segment until all claimed pieces are done, and the claim above
        // shows that this job's state, and so the stores before it, are visible here.
        let Segment { task, argument, first } = unsafe { segment.read() };
        // SAFETY: the caller of `parallel_for` vouches for the calls.
        unsafe { task(argument, first + index) };
        if self.done.fetch_add(1, Ordering::SeqCst) + 1 == pieces
            && self.caller_sleeps.load(Ordering::SeqCst)
        {
            drop(self.guard());
            self.finished.notify_all();
        }
        true
    }

    fn work_loop(&self) {
        loop {
            while self.run_piece() {}
            let awake = (0..SPINS).any(|_| {
                std::hint::spin_loop();
                self.has_work() || self.stop.load(Ordering::Relaxed)
            });
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            if awake {
                continue;
            }
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            let mut guard = self.guard();
            while !self.has_work() && !self.stop.load(Ordering::SeqCst) {
                guard = self.work.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            drop(guard);
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn count(argument: *mut c_void, index: usize) {
        // SAFETY: the tests pass a slice's start and as many pieces as it has elements.
        let counter = unsafe { &*argument.cast::<AtomicUsize>().add(index) };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn run(pool: &Pool, n: usize) {
        let counters: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
        // SAFETY: `count` only touches the counters, which outlive the call.
        unsafe { pool.parallel_for(n, count, counters.as_ptr().cast_mut().cast()) };
        assert!(counters.iter().all(|c| c.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn every_piece_runs_once() {
        for threads in [1, 2, 3, 7] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            for n in (0..200).chain([70_000]) {
                run(&pool, n);
            }
        }
    }

    #[test]
    fn callers_do_not_wait_for_each_other() {
        let pool = Pool::new(2);
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| (0..500).for_each(|n| run(&pool, n % 9)));
            }
        });
    }

    #[test]
    fn sleeping_workers_wake() {
        let pool = Pool::new(3);
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert_eq!(pool.shared.sleepers.load(Ordering::SeqCst), 2);
            run(&pool, 6);
        }
    }
}
