//! What the engine room remembers between starts: attempts, hosts last seen, activity, rates.
//!
//! All of it is a memory aid in the catalog (law L4): losing it costs a spark line or one early
//! backup, never data. Hence writes that fail are logged, not passed on.

use crate::words::lock;
use holdfast_catalog::{Catalog, Table};
use holdfast_model::{
    Moment, Problem,
    snapshot::EngineInfo,
    view::{ActivityPoint, Capabilities, CheckView},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Hours of activity shown and kept.
const ACTIVITY_HOURS: i64 = 72;
/// Milliseconds in an hour.
const HOUR_MS: i64 = 3_600_000;
/// Weight of the newest measurement in a rate: two or three restores make it their own.
const RATE_WEIGHT: f64 = 0.5;

/// The newest attempt to back an app up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Failures in a row.
    pub failures: u32,
    /// When the newest attempt ended.
    pub at: Moment,
    /// Why it failed, in words.
    pub error: Option<String>,
}

/// An app as it was last seen on its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenApp {
    /// Name on its host.
    pub name: String,
    /// Compose project or single container.
    pub project: bool,
    /// Containers.
    pub containers: u32,
    /// Of these, running.
    pub running: u32,
    /// Volumes and bind mounts.
    pub volumes: u32,
    /// Policy named by a label.
    pub label: Option<String>,
    /// Excluded by a label.
    pub disabled: bool,
}

/// A host as it was last seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeenHost {
    /// When it answered last.
    pub last_seen: Option<Moment>,
    /// What it runs.
    pub engine: Option<EngineInfo>,
    /// Its apps.
    pub apps: Vec<SeenApp>,
}

/// How the daily verification went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verified {
    /// When it began last.
    pub began: Option<Moment>,
    /// When it last came to its end.
    pub ended: Option<Moment>,
    /// Why the newest one failed, in words; none if it did not.
    pub error: Option<String>,
}

/// What a check found and nothing has refuted since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong.
    pub problem: Problem,
    /// When it was seen first.
    pub found: Moment,
}

/// What looks like damage or malice, told for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// When it was raised.
    pub at: Moment,
    /// The app, `host/name`.
    pub app: String,
    /// What it is.
    pub problem: Problem,
}

/// What tries to break the bucket's lock came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockTried {
    /// When the newest one was made.
    pub at: Moment,
    /// When one was last refused; the newest went through if that was before it, or never.
    pub held: Option<Moment>,
}

/// Bytes per second that restores were measured at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// From the cache to a host.
    pub cache: f64,
    /// From the bucket.
    pub bucket: f64,
}

impl Default for Rates {
    /// Before anything was measured: a modest disk, a 100 Mbit/s line.
    fn default() -> Self {
        Rates { cache: 80_000_000.0, bucket: 10_000_000.0 }
    }
}

/// The engine room's memory. Clones share it.
#[derive(Clone)]
pub struct Memory {
    catalog: Arc<Catalog>,
    activity: Arc<Mutex<BTreeMap<i64, Hour>>>,
    held_back: Arc<Mutex<Option<Moment>>>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Hour {
    captured: u64,
    uploaded: u64,
}

impl Memory {
    /// Reads what the catalog still knows.
    pub fn load(catalog: Arc<Catalog>) -> Memory {
        let rows = catalog.list::<Hour>(Table::Facts, &engine_key("activity/"));
        let hour = |key: &str| key.strip_prefix("engine/activity/").and_then(|hour| hour.parse().ok());
        let activity = rows.into_iter().filter_map(|(key, row)| Some((hour(&key)?, row))).collect();
        Memory { catalog, activity: Arc::new(Mutex::new(activity)), held_back: Arc::default() }
    }

    /// The newest attempt of an app.
    pub fn attempt(&self, app: &str) -> Attempt {
        self.get(&format!("attempt/{app}")).unwrap_or_default()
    }
    /// An attempt went well.
    pub fn succeeded(&self, app: &str, now: Moment) {
        self.put(&format!("attempt/{app}"), &Attempt { failures: 0, at: now, error: None });
    }
    /// An attempt failed.
    pub fn failed(&self, app: &str, now: Moment, why: String) {
        let failures = self.attempt(app).failures.saturating_add(1);
        self.put(&format!("attempt/{app}"), &Attempt { failures, at: now, error: Some(why) });
    }

    /// How a host was last seen.
    pub fn host(&self, name: &str) -> SeenHost {
        self.get(&format!("host/{name}")).unwrap_or_default()
    }
    /// Keeps how a host was seen.
    pub fn put_host(&self, name: &str, seen: &SeenHost) {
        self.put(&format!("host/{name}"), seen);
    }
    /// Forgets a host.
    pub fn forget_host(&self, name: &str) {
        self.remove(&format!("host/{name}"));
    }

    /// When prune last ran.
    pub fn last_prune(&self) -> Option<Moment> {
        self.get("prune/last")
    }
    /// Prune ran.
    pub fn pruned(&self, now: Moment) {
        self.put("prune/last", &now);
    }

    /// The last finished check.
    pub fn check(&self) -> Option<CheckView> {
        self.get("check/report")
    }
    /// Keeps a check's report.
    pub fn put_check(&self, report: &CheckView) {
        self.put("check/report", report);
    }

    /// What checks found and nothing has refuted since.
    pub fn findings(&self) -> Vec<Finding> {
        self.get("check/findings").unwrap_or_default()
    }
    /// Keeps them.
    pub fn put_findings(&self, findings: &[Finding]) {
        self.put("check/findings", &findings);
    }

    /// Alarms, oldest first.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.get("alarms").unwrap_or_default()
    }
    /// Keeps them.
    pub fn put_alarms(&self, alarms: &[Alarm]) {
        self.put("alarms", &alarms);
    }
    /// When snapshots of an app were forgotten by hand lately.
    pub fn forgotten(&self, app: &str) -> Vec<Moment> {
        self.get(&format!("forgotten/{app}")).unwrap_or_default()
    }
    /// Keeps that.
    pub fn put_forgotten(&self, app: &str, times: &[Moment]) {
        self.put(&format!("forgotten/{app}"), &times);
    }

    /// How the daily verification went.
    pub fn verified(&self) -> Verified {
        self.get("verification").unwrap_or_default()
    }
    /// Keeps that.
    pub fn put_verified(&self, verified: &Verified) {
        self.put("verification", verified);
    }
    /// Since when the daily verification waits for others to end: it waits at this moment, or with `None` it does not. Not kept over
    /// a start.
    pub fn held_back(&self, now: Option<Moment>) -> Option<Moment> {
        let mut since = lock(&self.held_back);
        // A clock that was set back begins the wait anew instead of stretching it.
        *since = now.map(|now| since.map_or(now, |since| since.min(now)));
        *since
    }

    /// What the bucket at `url` was seen to do.
    pub fn capabilities(&self, url: &str) -> Option<Capabilities> {
        self.get::<(String, Capabilities)>("bucket/capabilities").filter(|(at, _)| at == url).map(|(_, seen)| seen)
    }
    /// Keeps what a bucket was seen to do.
    pub fn put_capabilities(&self, url: &str, seen: &Capabilities) {
        self.put("bucket/capabilities", &(url, seen));
    }

    /// What tries to break the lock of the bucket at `url` came to.
    pub fn lock_tried(&self, url: &str) -> Option<LockTried> {
        self.get::<(String, LockTried)>("bucket/lock").filter(|(at, _)| at == url).map(|(_, tried)| tried)
    }
    /// Keeps that.
    pub fn put_lock_tried(&self, url: &str, tried: LockTried) {
        self.put("bucket/lock", &(url, tried));
    }

    /// Rates measured so far.
    pub fn rates(&self) -> Rates {
        self.get("rates").unwrap_or_default()
    }
    /// A restore moved `bytes` in `seconds`, from the bucket or from the cache alone.
    pub fn measured(&self, bytes: u64, seconds: f64, from_bucket: bool) {
        // Short restores measure start-up, not the line.
        if seconds < 2.0 || bytes < 10_000_000 {
            return;
        }
        let mut rates = self.rates();
        let rate = if from_bucket { &mut rates.bucket } else { &mut rates.cache };
        *rate += RATE_WEIGHT * (bytes as f64 / seconds - *rate);
        self.put("rates", &rates);
    }

    /// Adds new data to the current hour.
    pub fn add_activity(&self, now: Moment, captured: u64, uploaded: u64) {
        let at = now.millis().div_euclid(HOUR_MS);
        let (row, old) = {
            let mut activity = lock(&self.activity);
            let row = activity.entry(at).or_default();
            row.captured = row.captured.saturating_add(captured);
            row.uploaded = row.uploaded.saturating_add(uploaded);
            let row = *row;
            let young = activity.split_off(&(at - ACTIVITY_HOURS));
            (row, std::mem::replace(&mut *activity, young))
        };
        self.put(&activity_key(at), &row);
        old.keys().for_each(|hour| self.remove(&activity_key(*hour)));
    }
    /// The last 72 hours, oldest first, without gaps.
    pub fn activity(&self, now: Moment) -> Vec<ActivityPoint> {
        let last = now.millis().div_euclid(HOUR_MS);
        let activity = lock(&self.activity);
        let point = |hour: i64| {
            let row = activity.get(&hour).copied().unwrap_or_default();
            ActivityPoint { time: Moment::from_millis(hour * HOUR_MS), captured: row.captured, uploaded: row.uploaded }
        };
        (last - ACTIVITY_HOURS + 1..=last).map(point).collect()
    }

    fn get<V: DeserializeOwned>(&self, key: &str) -> Option<V> {
        self.catalog.get(Table::Facts, &engine_key(key))
    }
    fn put<V: Serialize>(&self, key: &str, value: &V) {
        if let Err(error) = self.catalog.put(Table::Facts, &engine_key(key), value) {
            tracing::warn!(key, error = ?error, "a fact could not be remembered");
        }
    }
    fn remove(&self, key: &str) {
        if let Err(error) = self.catalog.remove(Table::Facts, &engine_key(key)) {
            tracing::warn!(key, error = ?error, "a fact could not be forgotten");
        }
    }
}

fn activity_key(hour: i64) -> String {
    format!("activity/{hour:012}")
}

/// Facts of this room lie apart from those of others in the same table.
fn engine_key(key: &str) -> String {
    format!("engine/{key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_795_435_200_000;

    #[test]
    fn activity_has_no_gaps_and_an_end() {
        let catalog = Arc::new(Catalog::in_memory());
        let memory = Memory::load(catalog.clone());
        let now = Moment::from_millis(NOON);
        memory.add_activity(now.plus_seconds(-100 * 3600), 5, 5);
        memory.add_activity(now.plus_seconds(-3600), 10, 0);
        memory.add_activity(now, 1, 2);
        memory.add_activity(now, 1, 2);
        let points = Memory::load(catalog).activity(now);
        assert_eq!(points.len(), 72);
        assert_eq!((points[71].captured, points[71].uploaded), (2, 4));
        assert_eq!(points[70].captured, 10);
        assert_eq!(points.iter().map(|point| point.captured).sum::<u64>(), 12);
    }

    #[test]
    fn failures_count_up_until_one_succeeds() {
        let memory = Memory::load(Arc::new(Catalog::in_memory()));
        let now = Moment::from_millis(NOON);
        memory.failed("local/a", now, "no host".into());
        memory.failed("local/a", now, "no host".into());
        assert_eq!(memory.attempt("local/a").failures, 2);
        assert_eq!(memory.attempt("local/b"), Attempt::default());
        memory.succeeded("local/a", now);
        assert_eq!(memory.attempt("local/a").error, None);
    }

    #[test]
    fn a_wait_begins_once_and_ends_when_nothing_is_waited_for() {
        let memory = Memory::load(Arc::new(Catalog::in_memory()));
        let now = Moment::from_millis(NOON);
        assert_eq!(memory.held_back(Some(now)), Some(now));
        assert_eq!(memory.held_back(Some(now.plus_seconds(60))), Some(now));
        assert_eq!(memory.held_back(Some(now.plus_seconds(-60))), Some(now.plus_seconds(-60)), "a clock set back");
        assert_eq!(memory.held_back(None), None);
        assert_eq!(memory.held_back(Some(now.plus_seconds(90))), Some(now.plus_seconds(90)));
    }

    #[test]
    fn rates_ignore_what_is_too_short_to_tell() {
        let memory = Memory::load(Arc::new(Catalog::in_memory()));
        memory.measured(1000, 0.1, false);
        assert_eq!(memory.rates(), Rates::default());
        memory.measured(1_600_000_000, 10.0, false);
        assert_eq!(memory.rates().cache, 120_000_000.0);
    }
}
