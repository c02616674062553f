//! Jobs: the queue, what runs, what ran. Work is handed in as a future; this room never knows what it does.
//!
//! Invariants: every job that was accepted ends in a final state, also after a crash (`Interrupted`)
//! or a panic (`Failed`, `bug`); the newest [`HISTORY_MAX`] are remembered; a job's events are told at
//! most five times a second; no lock is held while work runs.

mod claim;
mod desk;

pub use claim::Claim;
pub use desk::Desk;

use crate::{events::Events, words::lock};
use desk::interrupted;
use futures::future::BoxFuture;
use holdfast_catalog::{Catalog, Table};
use holdfast_model::{
    Error, JobId, Kind, Moment, Result,
    job::{JobKind, JobState, JobView, Progress},
};
use holdfast_runtime::{Clock, Stop, random};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::task::TaskTracker;

/// Jobs remembered; a year of daily jobs of one app, a week of a busy appliance.
pub const HISTORY_MAX: usize = 500;
/// Jobs waiting: more than this is a loop in a script, not a wish.
const QUEUE_MAX: usize = 1000;
/// Time between two events of one job: five a second, as fast as an eye follows.
const TICK: Duration = Duration::from_millis(200);

/// What a job does: gets its desk, says in one line how it ended.
pub type Work = Box<dyn FnOnce(Arc<Desk>) -> BoxFuture<'static, Result<String>> + Send>;

/// All jobs. Clones share them.
#[derive(Clone)]
pub struct Jobs(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    catalog: Arc<Catalog>,
    clock: Clock,
    events: Events,
    stop: Stop,
    tracker: TaskTracker,
}

#[derive(Default)]
struct State {
    all: BTreeMap<JobId, Arc<Desk>>,
    queue: VecDeque<Waiting>,
    running: Vec<(JobId, Claim)>,
    newest: Moment,
}

struct Waiting {
    id: JobId,
    claim: Claim,
    work: Work,
}

/// What is asked for.
pub struct Order {
    /// What it does.
    pub kind: JobKind,
    /// `host/app`, or empty.
    pub subject: String,
    /// What it needs for itself.
    pub claim: Claim,
}

impl Jobs {
    /// Remembers the history; jobs that a crash cut short are marked so.
    pub fn load(catalog: Arc<Catalog>, clock: Clock, events: Events, stop: Stop, tracker: TaskTracker) -> Jobs {
        let mut state = State::default();
        for (_, mut view) in catalog.list::<JobView>(Table::Jobs, "") {
            if !view.state.is_final() {
                view.state = JobState::Interrupted;
                view.ended = Some(clock.now());
                view.summary = Some(interrupted(view.kind).into());
                save(&catalog, &view);
            }
            state.newest = state.newest.max(view.created);
            let id = view.id.clone();
            state.all.insert(id, Arc::new(Desk::new(view, clock.clone(), Stop::new())));
        }
        let jobs = Jobs(Arc::new(Shared { state: Mutex::new(state), catalog, clock, events, stop, tracker }));
        jobs.trim();
        jobs
    }

    /// Accepts a job. `Conflict` if the same thing is under way already, `Unavailable` (`jobs.full`).
    pub fn add(&self, order: Order, work: Work) -> Result<Arc<Desk>> {
        let shared = &self.0;
        let desk = {
            let mut state = lock(&shared.state);
            if state.queue.len() >= QUEUE_MAX {
                return Err(Error::new(Kind::Unavailable, "jobs.full", "too many jobs are waiting"));
            }
            if let Some(refusal) = state.claims().find_map(|active| order.claim.refusal(active)) {
                return Err(refusal);
            }
            // Ids sort by time; a millisecond is added where two jobs come at once, so that order is kept.
            let created = shared.clock.now().max(Moment::from_millis(state.newest.millis() + 1));
            state.newest = created;
            let id = JobId::new(created, random());
            let view = queued(&id, order.kind, order.subject, created);
            let desk = Arc::new(Desk::new(view, shared.clock.clone(), shared.stop.child_token()));
            state.all.insert(id.clone(), desk.clone());
            state.queue.push_back(Waiting { id, claim: order.claim, work });
            desk
        };
        self.publish(&desk);
        self.start_ready();
        Ok(desk)
    }

    /// Newest first.
    pub fn list(&self) -> Vec<JobView> {
        let desks: Vec<_> = lock(&self.0.state).all.values().rev().cloned().collect();
        desks.iter().map(|desk| desk.view()).collect()
    }
    /// Restores that the end of the appliance cut short and that nothing has healed since: neither another
    /// restore to the same place nor a backup of what stands there.
    pub fn cut_restores(&self) -> Vec<JobView> {
        let desks: Vec<_> = lock(&self.0.state).all.values().cloned().collect();
        let mut cut: BTreeMap<String, Arc<Desk>> = BTreeMap::new();
        for desk in desks {
            let (kind, state, subject) = desk.peek(|view| (view.kind, view.state, view.subject.clone()));
            match (kind, state) {
                (JobKind::Restore, JobState::Interrupted) => drop(cut.insert(subject, desk)),
                (JobKind::Restore | JobKind::Backup, JobState::Done | JobState::DoneWithProblems) => {
                    drop(cut.remove(&subject));
                }
                _ => {}
            }
        }
        cut.values().map(|desk| desk.view()).collect()
    }
    /// Apps whose newest backup failed for this reason, by their ids. A backup that was stopped says nothing.
    pub fn failed_backups(&self, code: &str) -> Vec<String> {
        let desks: Vec<_> = lock(&self.0.state).all.values().cloned().collect();
        let mut failed = BTreeSet::new();
        for desk in desks {
            desk.peek(|view| match (view.kind, view.state) {
                (JobKind::Backup, JobState::Failed) if view.problems.iter().any(|problem| problem.code == code) => {
                    failed.insert(view.subject.clone());
                }
                (JobKind::Backup, JobState::Failed | JobState::Done | JobState::DoneWithProblems) => {
                    failed.remove(&view.subject);
                }
                _ => {}
            });
        }
        failed.into_iter().collect()
    }
    /// Those that wait or run, newest first.
    pub fn active(&self) -> Vec<JobView> {
        let desks: Vec<_> = lock(&self.0.state).active_desks();
        desks.iter().map(|desk| desk.view()).collect()
    }
    /// Whether the same claim waits or runs.
    pub fn is_active(&self, claim: &Claim) -> bool {
        lock(&self.0.state).claims().any(|active| active == claim)
    }
    /// One job. `NotFound` (`job.unknown`).
    pub fn get(&self, id: &JobId) -> Result<Arc<Desk>> {
        lock(&self.0.state).all.get(id).cloned().ok_or_else(|| {
            Error::not_found("job.unknown", format!("there is no job {id}; the newest 500 are remembered"))
        })
    }

    /// Stops a job. One that waits ends at once; one that runs ends when its work has put everything back.
    pub fn cancel(&self, id: &JobId) -> Result<JobView> {
        let desk = self.get(id)?;
        let waited = {
            let mut state = lock(&self.0.state);
            let before = state.queue.len();
            state.queue.retain(|waiting| waiting.id != *id);
            state.queue.len() != before
        };
        if waited {
            desk.end(Err(Error::new(Kind::Stopped, "job.stopped", "stopped before it began")), false);
            self.publish(&desk);
            self.start_ready();
        } else if desk.view().state.is_final() {
            return Err(Error::new(Kind::Conflict, "job.ended", "the job has ended already"));
        } else {
            desk.log("asked to stop");
            desk.stop().cancel();
        }
        Ok(desk.view())
    }

    fn start_ready(&self) {
        loop {
            let Some((waiting, desk)) = lock(&self.0.state).take_ready(&self.0.stop) else { return };
            let jobs = self.clone();
            self.0.tracker.spawn(async move { jobs.run(waiting, desk).await });
        }
    }

    async fn run(&self, waiting: Waiting, desk: Arc<Desk>) {
        desk.begin();
        self.publish(&desk);
        self.remember().await;
        // A task of its own: a panic in the work ends the work, not the queue.
        let mut work = tokio::spawn((waiting.work)(desk.clone()));
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                _ = tick.tick() => {
                    desk.measure();
                    if desk.take_news() {
                        self.0.events.job(desk.view());
                    }
                }
            }
        };
        let outcome = outcome.unwrap_or_else(|_| {
            Err(Error::bug("a mistake in the program ended this job; nothing that was stored is harmed")
                .advice("Please report it with the log of the appliance."))
        });
        if let Err(error) = &outcome {
            tracing::warn!(job = %waiting.id, error = ?error, "job failed");
        }
        {
            // In one step: who sees the end may ask for the same thing again at once.
            let mut state = lock(&self.0.state);
            state.running.retain(|(id, _)| *id != waiting.id);
            desk.end(outcome, self.0.stop.is_cancelled());
        }
        self.publish(&desk);
        self.remember().await;
        self.0.events.apps();
        self.trim();
        self.start_ready();
    }

    fn publish(&self, desk: &Desk) {
        let view = desk.view();
        save(&self.0.catalog, &view);
        self.0.events.job(view);
    }

    /// Brings the history to disk, so that a job that began is not forgotten by a crash right after.
    async fn remember(&self) {
        let catalog = self.0.catalog.clone();
        let written = tokio::task::spawn_blocking(move || catalog.flush()).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::warn!("the history of jobs could not be written to disk");
        }
    }

    fn trim(&self) {
        let gone: Vec<JobId> = {
            let mut state = lock(&self.0.state);
            let too_many = state.all.len().saturating_sub(HISTORY_MAX);
            let is_final = |desk: &Arc<Desk>| desk.peek(|view| view.state.is_final());
            let gone: Vec<JobId> =
                state.all.iter().filter(|(_, desk)| is_final(desk)).take(too_many).map(|(id, _)| id.clone()).collect();
            gone.iter().for_each(|id| drop(state.all.remove(id)));
            gone
        };
        for id in gone {
            if let Err(error) = self.0.catalog.remove(Table::Jobs, id.as_str()) {
                tracing::warn!(error = ?error, "an old job stays in the history");
            }
        }
    }
}

impl State {
    fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.running.iter().map(|(_, claim)| claim).chain(self.queue.iter().map(|waiting| &waiting.claim))
    }

    fn active_desks(&self) -> Vec<Arc<Desk>> {
        let ids = self.running.iter().map(|(id, _)| id).chain(self.queue.iter().map(|waiting| &waiting.id));
        let mut ids: Vec<&JobId> = ids.collect();
        ids.sort_by(|a, b| b.cmp(a));
        ids.into_iter().filter_map(|id| self.all.get(id).cloned()).collect()
    }

    fn take_ready(&mut self, stop: &Stop) -> Option<(Waiting, Arc<Desk>)> {
        if stop.is_cancelled() {
            return None;
        }
        let place = (0..self.queue.len()).find(|place| {
            let running = self.running.iter().map(|(_, claim)| claim);
            let earlier = self.queue.iter().take(*place).map(|waiting| &waiting.claim);
            self.queue[*place].claim.may_start(running, earlier)
        })?;
        let waiting = self.queue.remove(place)?;
        let desk = self.all.get(&waiting.id)?.clone();
        self.running.push((waiting.id.clone(), waiting.claim.clone()));
        Some((waiting, desk))
    }
}

fn queued(id: &JobId, kind: JobKind, subject: String, created: Moment) -> JobView {
    JobView {
        id: id.clone(),
        kind,
        subject,
        state: JobState::Queued,
        created,
        started: None,
        ended: None,
        progress: Progress::default(),
        snapshot: None,
        summary: None,
        error_kind: None,
        problems: Vec::new(),
        log: Vec::new(),
    }
}

/// The history is a memory aid: failing to write it must not fail the job.
fn save(catalog: &Catalog, view: &JobView) {
    if let Err(error) = catalog.put(Table::Jobs, view.id.as_str(), view) {
        tracing::warn!(job = %view.id, error = ?error, "the job's history could not be written");
    }
}

#[cfg(test)]
mod tests;
