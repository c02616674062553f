//! Where the time of a backup goes: what each stage of the press waited for, and worked.
//!
//! Invariant: counting costs nothing that could be measured; nothing hangs on these numbers.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Time of all threads since the repository was opened. The stage whose neighbours wait is the one that is too slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// Streams waited for their source.
    pub source_wait: Duration,
    /// Streams were split, cut and looked up.
    pub split: Duration,
    /// Splitting waited because the press had no room: compressing is the slowest stage.
    pub queue_full: Duration,
    /// Workers had nothing to do while a stream was open: source or splitting is the slowest stage.
    pub workers_idle: Duration,
    /// Workers compressed and sealed.
    pub press: Duration,
    /// Workers waited for a writer of packs: the cache is the slowest stage.
    pub pack_wait: Duration,
    /// Packs were named, written and synced.
    pub pack_write: Duration,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    SourceWait,
    Split,
    QueueFull,
    WorkersIdle,
    Press,
    PackWait,
    PackWrite,
}

const COUNT: usize = 7;

/// The counters.
#[derive(Default)]
pub(crate) struct Timers {
    nanos: [AtomicU64; COUNT],
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    streams: usize,
    since: Option<Instant>,
}

/// A stream that is open.
pub(crate) struct Opened<'a>(&'a Timers);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        let mut open = self.0.open.lock().expect("no holder panics");
        open.streams -= 1;
        if open.streams == 0 {
            open.since = None;
        }
    }
}

impl Timers {
    pub(crate) fn add(&self, stage: Stage, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if nanos > 0 {
            self.nanos[stage as usize].fetch_add(nanos, Ordering::Relaxed);
        }
    }
    /// Counts what some work takes.
    pub(crate) fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.add(stage, start.elapsed());
        done
    }
    pub(crate) fn open_stream(&self) -> Opened<'_> {
        let mut open = self.open.lock().expect("no holder panics");
        open.streams += 1;
        open.since.get_or_insert_with(Instant::now);
        Opened(self)
    }
    /// A worker got something to do after it had waited: between streams that is no stall.
    pub(crate) fn idled(&self, waited: Duration) {
        if waited.is_zero() {
            return;
        }
        let since = self.open.lock().expect("no holder panics").since;
        self.add(Stage::WorkersIdle, since.map_or(Duration::ZERO, |since| waited.min(since.elapsed())));
    }
    pub(crate) fn read(&self) -> Stages {
        let of = |stage: Stage| Duration::from_nanos(self.nanos[stage as usize].load(Ordering::Relaxed));
        Stages {
            source_wait: of(Stage::SourceWait),
            split: of(Stage::Split),
            queue_full: of(Stage::QueueFull),
            workers_idle: of(Stage::WorkersIdle),
            press: of(Stage::Press),
            pack_wait: of(Stage::PackWait),
            pack_write: of(Stage::PackWrite),
        }
    }
}
