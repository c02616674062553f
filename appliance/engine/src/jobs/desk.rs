//! The desk of one job: what its worker reports and everybody else reads.
//!
//! Invariants: counting bytes takes no lock (it is called from CPU threads for every chunk); log and
//! problems are bounded; once the job has ended its view never changes again.

use crate::words::lock;
use holdfast_model::{
    Error, Kind, Moment, Problem, Result, Severity, SnapshotId,
    job::{JobKind, JobState, JobView, LogLine},
};
use holdfast_repository::Meter;
use holdfast_runtime::{Clock, Stop};
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Log lines kept, newest; the shape of the API promises it.
const LOG_MAX: usize = 200;
/// Problems kept by name: the history of 500 jobs must stay small.
const PROBLEMS_MAX: usize = 500;
/// Characters kept of a line: lines hold names from hosts, which may be hostile.
const LINE_MAX: usize = 500;
/// Seconds over which the rate is smoothed: long enough to read, short enough to be "now".
const RATE_WINDOW_S: f64 = 5.0;

/// One job's desk.
pub struct Desk {
    clock: Clock,
    stop: Stop,
    done: Stop,
    view: Mutex<JobView>,
    failure: Mutex<Option<(Kind, String, String)>>,
    moved: AtomicU64,
    stored: AtomicU64,
    known: AtomicU64,
    dirty: AtomicBool,
    pace: Mutex<Pace>,
}

#[derive(Default)]
struct Pace {
    at: Option<Moment>,
    bytes: u64,
    rate: f64,
}

impl Desk {
    /// A desk for a job in its first state.
    pub fn new(view: JobView, clock: Clock, stop: Stop) -> Desk {
        Desk {
            clock,
            stop,
            done: Stop::new(),
            view: Mutex::new(view),
            failure: Mutex::default(),
            moved: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            known: AtomicU64::new(0),
            dirty: AtomicBool::new(false),
            pace: Mutex::default(),
        }
    }

    /// Asks the job to end.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }
    /// Told when the job has ended.
    pub fn done(&self) -> &Stop {
        &self.done
    }
    /// `Stopped` if somebody asked the job to end.
    pub fn check_stop(&self) -> Result<()> {
        if self.stop.is_cancelled() {
            return Err(Error::new(Kind::Stopped, "job.stopped", "the job was stopped"));
        }
        Ok(())
    }

    /// Tells the phase at work.
    pub fn phase(&self, name: &str, number: u32, of: u32) {
        self.change(|view| {
            view.progress.phase = short(name);
            view.progress.phase_number = number;
            view.progress.phases = of;
            view.progress.item.clear();
        });
    }
    /// Tells the item at work.
    pub fn item(&self, name: &str) {
        self.change(|view| view.progress.item = short(name));
    }
    /// Tells how many bytes there are to do.
    pub fn total(&self, bytes: u64) {
        self.change(|view| view.progress.bytes_total = bytes);
    }
    /// Adds a line to the log.
    pub fn log(&self, text: &str) {
        let line = LogLine { time: self.clock.now(), text: short(text) };
        self.change(|view| {
            if view.log.len() >= LOG_MAX {
                view.log.remove(0);
            }
            view.log.push(line);
        });
    }
    /// Keeps what was not as it should be, each once. Of what there is no room for it is told how many of each code there were.
    pub fn problems(&self, problems: impl IntoIterator<Item = Problem>) {
        self.change(|view| {
            for problem in problems {
                if problem.count().is_some() || !view.problems.contains(&problem) {
                    keep(&mut view.problems, problem);
                }
            }
        });
    }
    /// Tells the snapshot made, restored or brought back.
    pub fn snapshot(&self, id: &SnapshotId) {
        self.change(|view| view.snapshot = Some(id.clone()));
    }
    /// Bytes moved so far.
    pub fn moved_bytes(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// The job as it is now.
    pub fn view(&self) -> JobView {
        let mut view = lock(&self.view).clone();
        if !view.state.is_final() {
            self.count_into(&mut view);
        }
        view
    }
    /// Looks at the job without copying its log.
    pub fn peek<T>(&self, look: impl FnOnce(&JobView) -> T) -> T {
        look(&lock(&self.view))
    }
    /// Why it failed, as an error for one who waited.
    pub fn failure(&self) -> Option<Error> {
        lock(&self.failure).as_ref().map(|(kind, code, words)| Error::new(*kind, code.clone(), words.clone()))
    }
    /// Whether there is something new since the last call.
    pub fn take_news(&self) -> bool {
        self.dirty.swap(false, Ordering::Relaxed)
    }
    /// Measures the rate; called a few times a second by the one who publishes.
    pub fn measure(&self) {
        let (now, bytes) = (self.clock.now(), self.moved_bytes());
        let mut pace = lock(&self.pace);
        if let Some(before) = pace.at {
            let seconds = now.since(before) as f64 / 1000.0;
            if seconds <= 0.0 {
                return;
            }
            let fresh = bytes.saturating_sub(pace.bytes) as f64 / seconds;
            let weight = 1.0 - (-seconds / RATE_WINDOW_S).exp();
            pace.rate = if pace.rate == 0.0 { fresh } else { pace.rate + weight * (fresh - pace.rate) };
        }
        pace.at = Some(now);
        pace.bytes = bytes;
    }

    /// The job begins.
    pub fn begin(&self) {
        let now = self.clock.now();
        self.change(|view| {
            view.state = JobState::Running;
            view.started = Some(now);
        });
    }
    /// The job ends as `outcome` says; `shutdown` tells that the appliance itself is ending.
    pub fn end(&self, outcome: Result<String>, shutdown: bool) {
        let now = self.clock.now();
        let mut view = lock(&self.view);
        if view.state.is_final() {
            return;
        }
        self.count_into(&mut view);
        view.ended = Some(now);
        view.progress.eta_seconds = None;
        view.progress.item.clear();
        match outcome {
            Ok(summary) => {
                let clean = view.problems.iter().all(|problem| problem.severity == Severity::Note);
                view.state = if clean { JobState::Done } else { JobState::DoneWithProblems };
                view.summary = Some(summary);
            }
            Err(error) if error.kind() == Kind::Stopped => {
                view.state = if shutdown { JobState::Interrupted } else { JobState::Cancelled };
                let why = if shutdown { interrupted(view.kind) } else { "stopped on request" };
                view.summary = Some(why.into());
            }
            Err(error) => {
                view.state = JobState::Failed;
                view.summary = Some(error.chain());
                view.error_kind = Some(error.kind().as_str().into());
                let subject = view.subject.clone();
                view.problems.push(Problem::from_error(subject, &error));
                *lock(&self.failure) = Some((error.kind(), error.code().to_owned(), error.chain()));
            }
        }
        drop(view);
        self.done.cancel();
    }

    fn change(&self, f: impl FnOnce(&mut JobView)) {
        let mut view = lock(&self.view);
        if view.state.is_final() {
            return;
        }
        f(&mut view);
        self.dirty.store(true, Ordering::Relaxed);
    }

    fn count_into(&self, view: &mut JobView) {
        let progress = &mut view.progress;
        progress.bytes_done = self.moved_bytes();
        progress.bytes_new = self.stored.load(Ordering::Relaxed);
        progress.bytes_known = self.known.load(Ordering::Relaxed);
        if progress.bytes_done > progress.bytes_total {
            // The guess was too low: no total is more honest than a bar that stands at its end.
            progress.bytes_total = 0;
        }
        progress.rate = lock(&self.pace).rate as u64;
        let left = progress.bytes_total.saturating_sub(progress.bytes_done);
        progress.eta_seconds = (progress.bytes_total > 0 && progress.rate > 0).then(|| left / progress.rate);
    }
}

/// Keeps a problem, or counts it where there is no room: none is forgotten, or a job would pass for one that went well.
fn keep(kept: &mut Vec<Problem>, problem: Problem) {
    let count = problem.count();
    if count.is_none() && kept.len() < PROBLEMS_MAX {
        kept.push(problem);
        return;
    }
    let count = count.unwrap_or(1);
    match kept.iter_mut().find(|one| one.code == problem.code && one.count().is_some()) {
        Some(known) => {
            let (all, worst) = (known.count().unwrap_or_default(), known.severity.max(problem.severity));
            *known = Problem::more(&problem.code, worst, all.saturating_add(count));
        }
        None => kept.push(Problem::more(&problem.code, problem.severity, count)),
    }
}

/// What the history says of a job that the end of the appliance cut short.
pub fn interrupted(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Restore => {
            "the appliance ended while it ran; what stands on the host may be incomplete: restore it again"
        }
        JobKind::Recover => "the appliance ended while it ran; start the recovery again",
        JobKind::Warm => "the appliance ended while it ran; what came into the cache stays, the rest is in the bucket",
        JobKind::Backup | JobKind::Check | JobKind::Prune => {
            "the appliance ended while it ran; what it had committed stays, nothing else does"
        }
    }
}

impl Meter for Desk {
    fn moved(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        self.dirty.store(true, Ordering::Relaxed);
    }
    fn stored(&self, sealed: u64) {
        self.stored.fetch_add(sealed, Ordering::Relaxed);
    }
    fn known(&self, bytes: u64) {
        self.known.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LINE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_that_there_is_no_room_for_are_counted_by_their_code() {
        let note = |n: usize| Problem::note("file.changed", n.to_string(), "x");
        let mut kept = Vec::new();
        (0..PROBLEMS_MAX + 7).for_each(|n| keep(&mut kept, note(n)));
        keep(&mut kept, Problem::error("volume.not_captured", "data", "y"));
        keep(&mut kept, Problem::more("file.changed", Severity::Warning, 40));
        assert_eq!(kept.len(), PROBLEMS_MAX + 2);
        let [.., changed, lost] = &kept[..] else { panic!("they are kept") };
        assert_eq!((&*changed.code, changed.severity, changed.count()), ("file.changed", Severity::Warning, Some(47)));
        assert_eq!((&*lost.code, lost.severity, lost.count()), ("volume.not_captured", Severity::Error, Some(1)));
    }
}
