//! Apps as people see them: what hosts tell, what the repository holds and what policies want, put together.
//!
//! Pure once its [`Facts`] are gathered. Invariants: views come in the order of their ids; an app is
//! never called protected while anything in its way is known.

use crate::{
    hosts::HostState,
    house::House,
    memory::{Attempt, SeenApp},
    schedule::{Known, due, is_overdue, is_past},
    words::{ago, near},
};
use holdfast_model::{
    Error, Moment, Result, Severity,
    job::{JobKind, JobView},
    policy::Policy,
    settings::Settings,
    view::{AppState, AppView, CloudState, PointView},
};
use holdfast_repository::Entry;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Dots of the spark line.
const POINTS: usize = 24;
/// The bucket is behind when a snapshot has waited for one interval, but never less or more than this, seconds.
const CLOUD_LATE_S: (u64, u64) = (900, 86_400);

/// Everything views are made of, gathered at one moment.
pub struct Facts {
    /// Now.
    pub now: Moment,
    /// What people decided.
    pub settings: Arc<Settings>,
    /// Hosts by name.
    pub hosts: Vec<HostState>,
    /// Snapshots by app id, oldest first.
    pub snapshots: BTreeMap<String, Vec<Entry>>,
    /// Jobs that wait or run.
    pub active: Vec<JobView>,
    /// Newest attempts by app id.
    pub attempts: BTreeMap<String, Attempt>,
}

/// Whether and how an app is covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cover {
    /// By this policy.
    Policy(Policy),
    /// By none.
    Nobody,
    /// Excluded by its own label.
    Excluded,
    /// A label or assignment names a policy that does not exist.
    Unknown(String),
}

impl Facts {
    /// Gathers; asks no host and no bucket.
    pub fn gather(house: &House) -> Facts {
        let mut snapshots: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for entry in house.entries() {
            snapshots.entry(app_id(&entry.snapshot.host, &entry.snapshot.app)).or_default().push(entry);
        }
        // An app of which everything was forgotten is shown as long as that can be brought back.
        for (entry, _) in house.forgotten() {
            snapshots.entry(app_id(&entry.snapshot.host, &entry.snapshot.app)).or_default();
        }
        let mut facts = Facts {
            now: house.now(),
            settings: house.settings(),
            hosts: house.hosts.list(),
            snapshots,
            active: house.jobs.active(),
            attempts: BTreeMap::new(),
        };
        facts.attempts = facts.ids().into_iter().map(|id| (id.clone(), house.memory.attempt(&id))).collect();
        facts
    }

    /// Ids of all apps: found, remembered, or with snapshots.
    pub fn ids(&self) -> BTreeSet<String> {
        let found =
            self.hosts.iter().flat_map(|host| host.seen.apps.iter().map(|app| app_id(&host.host.name, &app.name)));
        found.chain(self.snapshots.keys().cloned()).collect()
    }

    /// All apps.
    pub fn views(&self) -> Vec<AppView> {
        self.ids().iter().map(|id| self.view(id)).collect()
    }

    /// Finds the app somebody means: `host/name`, or a name that is unique.
    pub fn resolve(&self, asked: &str) -> Result<String> {
        let ids = self.ids();
        if ids.contains(asked) {
            return Ok(asked.to_owned());
        }
        let by_name: Vec<&String> = ids.iter().filter(|id| split(id).1 == asked).collect();
        match by_name.as_slice() {
            [only] => Ok((*only).clone()),
            [] => Err(no_such_app(asked, &ids)),
            many => {
                let many: Vec<&str> = many.iter().map(|id| id.as_str()).collect();
                Err(Error::invalid("app.ambiguous", format!("“{asked}” names several apps: {}", many.join(", ")))
                    .advice("Say which one, as host/name."))
            }
        }
    }

    /// What covers an app. An assignment by a person goes before a label.
    pub fn cover(&self, id: &str) -> Cover {
        let seen = self.seen(id).map(|(_, app)| app);
        if seen.is_some_and(|app| app.disabled) {
            return Cover::Excluded;
        }
        let label = seen.and_then(|app| app.label.as_ref());
        match self.settings.assignments.get(id).or(label) {
            None => Cover::Nobody,
            Some(name) => match self.settings.policies.get(name) {
                Some(policy) => Cover::Policy(policy.clone()),
                None => Cover::Unknown(name.clone()),
            },
        }
    }

    /// The app as last seen on its host.
    pub fn seen(&self, id: &str) -> Option<(&HostState, &SeenApp)> {
        let (host, name) = split(id);
        let host = self.hosts.iter().find(|state| state.host.name == host)?;
        Some((host, host.seen.apps.iter().find(|app| app.name == name)?))
    }

    /// What the schedule goes by.
    pub fn known(&self, id: &str, policy: &Policy) -> Known {
        let attempt = self.attempts.get(id).cloned().unwrap_or_default();
        let good = self.of(id).iter().rev().find(|entry| is_good(entry) && is_past(entry.snapshot.time, self.now));
        Known {
            every: policy.every_seconds,
            last_good: good.map(|entry| entry.snapshot.time),
            last_failure: (attempt.failures > 0).then_some(attempt.at),
            failures: attempt.failures,
        }
    }

    /// One app.
    pub fn view(&self, id: &str) -> AppView {
        let (host, name) = split(id);
        let entries = self.of(id);
        let newest = newest(entries);
        let seen = self.seen(id).map(|(_, app)| app);
        let cover = self.cover(id);
        let policy = if let Cover::Policy(policy) = &cover { Some(policy) } else { None };
        let (state, reason) = self.state(id, &cover);
        let good = entries.iter().rev().find(|entry| is_good(entry));
        AppView {
            id: id.to_owned(),
            name: name.to_owned(),
            host: host.to_owned(),
            project: seen.map_or(newest.is_some_and(|entry| entry.snapshot.project), |app| app.project),
            state,
            reason,
            containers: seen.map_or(0, |app| app.containers),
            running: seen.map_or(0, |app| app.running),
            volumes: seen.map_or(0, |app| app.volumes),
            bytes_logical: newest.map(|entry| entry.snapshot.stats.bytes_logical),
            policy: policy.map(|policy| policy.name.clone()),
            every_seconds: policy.map(|policy| policy.every_seconds),
            last_backup: good.map(|entry| entry.snapshot.time),
            next_backup: seen.and(policy).map(|policy| due(id, &self.known(id, policy)).max(self.now)),
            newest: newest.map(|entry| entry.state),
            points: entries.iter().skip(entries.len().saturating_sub(POINTS)).map(point).collect(),
            snapshots: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            problems: newest.map(|entry| entry.snapshot.problems.clone()).unwrap_or_default(),
        }
    }

    fn of(&self, id: &str) -> &[Entry] {
        self.snapshots.get(id).map_or(&[], Vec::as_slice)
    }

    /// What to know first, and why.
    fn state(&self, id: &str, cover: &Cover) -> (AppState, Option<String>) {
        let backing_up = |job: &&JobView| job.kind == JobKind::Backup && job.subject == id;
        if self.active.iter().any(|job| backing_up(&job)) {
            return (AppState::BackingUp, None);
        }
        if let Some(away) = self.away(id) {
            return away;
        }
        if let Some(why) = self.attempts.get(id).filter(|attempt| attempt.failures > 0).and_then(|a| a.error.clone()) {
            return (AppState::Failed, Some(why));
        }
        let policy = match cover {
            Cover::Policy(policy) => policy,
            Cover::Nobody => return (AppState::NotProtected, None),
            Cover::Excluded => {
                return (AppState::NotProtected, Some("excluded by its label holdfast.enable=false".into()));
            }
            Cover::Unknown(name) => {
                return (
                    AppState::NotProtected,
                    Some(format!("it asks for the policy “{name}”, which does not exist")),
                );
            }
        };
        self.state_of_covered(id, policy)
    }

    fn away(&self, id: &str) -> Option<(AppState, Option<String>)> {
        let (host_name, _) = split(id);
        let Some(host) = self.hosts.iter().find(|state| state.host.name == host_name) else {
            return Some((AppState::Gone, Some(format!("its host {host_name} is not registered any more"))));
        };
        if !host.reachable {
            let why = host.error.clone().unwrap_or_else(|| "the host has not answered yet since the start".into());
            return Some((AppState::Unreachable, Some(why)));
        }
        if self.seen(id).is_none() {
            return Some((AppState::Gone, Some(format!("it is not on {host_name} any more; its snapshots remain"))));
        }
        None
    }

    fn state_of_covered(&self, id: &str, policy: &Policy) -> (AppState, Option<String>) {
        let entries = self.of(id);
        let Some(newest) = entries.iter().rev().find(|entry| !entry.snapshot.is_of_places()) else {
            return (AppState::Waiting, Some("the first backup has not been taken yet".into()));
        };
        let known = self.known(id, policy);
        if is_overdue(&known, self.now) {
            let since = known.last_good.map(|last| ago(last, self.now)).unwrap_or_default();
            return (AppState::Overdue, Some(format!("the last good backup is {since} old")));
        }
        let worst = newest.snapshot.problems.iter().max_by_key(|problem| problem.severity);
        if let Some(worst) = worst.filter(|problem| problem.severity > Severity::Note) {
            return (AppState::Problems, Some(worst.message.clone()));
        }
        match self.cloud_late(entries, policy) {
            Some(why) => (AppState::CloudBehind, Some(why)),
            None => (AppState::Protected, None),
        }
    }

    /// Why the bucket is behind, if it is: not the newest counts but the oldest that still waits.
    fn cloud_late(&self, entries: &[Entry], policy: &Policy) -> Option<String> {
        self.settings.bucket.as_ref()?;
        if entries.last()?.state.cloud == CloudState::Damaged {
            return Some("the newest snapshot is damaged in the bucket".into());
        }
        let waiting = entries.iter().rev().take_while(|entry| entry.state.cloud != CloudState::Present);
        let oldest = waiting.last()?.snapshot.time;
        let limit = policy.every_seconds.clamp(CLOUD_LATE_S.0, CLOUD_LATE_S.1);
        let late = self.now > oldest.plus_seconds(i64::try_from(limit).unwrap_or(i64::MAX));
        late.then(|| format!("nothing has reached the bucket for {}", ago(oldest, self.now)))
    }
}

/// `host/name`.
pub fn app_id(host: &str, app: &str) -> String {
    format!("{host}/{app}")
}

/// Host and name of an app's id.
pub fn split(id: &str) -> (&str, &str) {
    id.split_once('/').unwrap_or(("", id))
}

/// Whether a snapshot holds everything that was asked for. Places that were saved without their app are not what was asked for.
pub fn is_good(entry: &Entry) -> bool {
    let is_whole = entry.snapshot.problems.iter().all(|problem| problem.severity < Severity::Error);
    is_whole && !entry.snapshot.is_of_places()
}

/// The newest restore point of an app, of its snapshots in order; one of places alone only where there is nothing else.
pub fn newest(entries: &[Entry]) -> Option<&Entry> {
    entries.iter().rev().find(|entry| !entry.snapshot.is_of_places()).or(entries.last())
}

fn point(entry: &Entry) -> PointView {
    let snapshot = &entry.snapshot;
    PointView {
        id: snapshot.id.clone(),
        time: snapshot.time,
        bytes_new: snapshot.stats.bytes_new,
        state: entry.state,
        problems: snapshot.problems.iter().any(|problem| problem.severity > Severity::Note),
    }
}

fn no_such_app(asked: &str, ids: &BTreeSet<String>) -> Error {
    let near = near(asked, ids.iter().map(String::as_str));
    let advice = match (near.is_empty(), ids.is_empty()) {
        (false, _) => format!("Did you mean {}?", near.join(" or ")),
        (true, true) => "No app was found yet; look at the hosts with holdfast doctor.".into(),
        (true, false) => "holdfast apps lists those that were found.".into(),
    };
    Error::not_found("app.unknown", format!("there is no app “{asked}”")).advice(advice)
}

#[cfg(test)]
mod tests;
