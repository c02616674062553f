//! The table of hosts: what each is, whether it answers, which apps it has. State only; the watcher
//! that fills it lives in `watch`.
//!
//! Invariants: what was last known of a host stays known while it does not answer; no lock is held
//! while a host is asked; an engine is handed out only after what a crash left on it was undone (L6).

use crate::{
    memory::{SeenApp, SeenHost},
    words::lock,
};
use holdfast_docker::Engine;
use holdfast_model::{Error, Kind, Moment, Result, settings::Host, snapshot::EngineInfo};
use holdfast_runtime::Stop;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Notify;

/// How long a job waits for a host that was not tried yet, right after a start.
const FIRST_CONTACT: Duration = Duration::from_secs(20);
/// How long a host that was away is waited for once more.
const SECOND_CHANCE: Duration = Duration::from_secs(2);

/// All registered hosts.
#[derive(Default)]
pub struct Hosts {
    slots: Mutex<BTreeMap<String, Slot>>,
    changed: Notify,
}

struct Slot {
    host: Host,
    engine: Option<Arc<dyn Engine>>,
    seen: SeenHost,
    error: Option<Error>,
    stop: Stop,
    nudge: Arc<Notify>,
}

/// A host as the table has it now.
#[derive(Clone, Debug)]
pub struct HostState {
    /// As registered.
    pub host: Host,
    /// It answered last time.
    pub reachable: bool,
    /// Why not, in words; `None` also before the first answer.
    pub error: Option<String>,
    /// Last known.
    pub seen: SeenHost,
}

impl Hosts {
    /// Enters a host; its watcher listens to the answer. An entry of the same name is ended.
    pub fn enter(&self, host: Host, seen: SeenHost, stop: Stop) -> Arc<Notify> {
        let nudge = Arc::new(Notify::new());
        let slot = Slot { host, engine: None, seen, error: None, stop, nudge: nudge.clone() };
        let name = slot.host.name.clone();
        if let Some(old) = lock(&self.slots).insert(name, slot) {
            old.stop.cancel();
        }
        nudge
    }
    /// Takes a host out and ends its watcher.
    pub fn remove(&self, name: &str) {
        if let Some(slot) = lock(&self.slots).remove(name) {
            slot.stop.cancel();
        }
        self.changed.notify_waiters();
    }
    /// Takes all out, as if the appliance had just started.
    pub fn clear(&self) {
        let slots = std::mem::take(&mut *lock(&self.slots));
        slots.values().for_each(|slot| slot.stop.cancel());
        self.changed.notify_waiters();
    }

    /// A host answers. `false` if it was removed meanwhile.
    pub fn reached(&self, name: &str, engine: Arc<dyn Engine>, info: EngineInfo, now: Moment) -> bool {
        let known = self.with(name, |slot| {
            slot.engine = Some(engine);
            slot.error = None;
            slot.seen.engine = Some(info);
            slot.seen.last_seen = Some(now);
        });
        self.changed.notify_waiters();
        known.is_some()
    }
    /// A host told its apps. Returns what is worth remembering if it differs from before.
    pub fn found(&self, name: &str, apps: Vec<SeenApp>, now: Moment) -> Option<SeenHost> {
        self.with(name, |slot| {
            let changed = slot.seen.apps != apps;
            slot.seen.apps = apps;
            slot.seen.last_seen = Some(now);
            changed.then(|| slot.seen.clone())
        })
        .flatten()
    }
    /// A host does not answer. Returns whether that is news.
    pub fn lost(&self, name: &str, error: Error) -> bool {
        let news = self.with(name, |slot| {
            let news = slot.engine.is_some() || slot.error.as_ref().is_none_or(|old| old.chain() != error.chain());
            slot.engine = None;
            slot.error = Some(error);
            news
        });
        self.changed.notify_waiters();
        news.unwrap_or(false)
    }
    /// The engine of a host. `NotFound` (`host.unknown`), or the error that keeps it from answering. A host
    /// that was away gets one more chance at once: it may be back while its watcher still pauses.
    pub async fn engine(&self, name: &str) -> Result<Arc<dyn Engine>> {
        let mut deadline = tokio::time::Instant::now() + FIRST_CONTACT;
        let mut is_nudged = false;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that a change between look and wait is not missed.
            changed.as_mut().enable();
            match self.look(name).ok_or_else(|| unknown(name))? {
                Some(Ok(engine)) => return Ok(engine),
                Some(Err(_)) if !is_nudged => {
                    is_nudged = true;
                    deadline = tokio::time::Instant::now() + SECOND_CHANCE;
                    self.with(name, |slot| slot.nudge.notify_one());
                }
                // News of another host, or the same error again: the deadline decides.
                Some(Err(_)) | None => {}
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return self.look(name).ok_or_else(|| unknown(name))?.unwrap_or_else(|| Err(silent(name)));
            }
        }
    }

    /// Asks all watchers to look now.
    pub fn nudge(&self) {
        lock(&self.slots).values().for_each(|slot| slot.nudge.notify_one());
    }
    /// Waits until something changes, at most `time`.
    pub async fn change(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.changed.notified()).await;
    }
    /// Tells those who wait that a host was looked at.
    pub fn looked(&self) {
        self.changed.notify_waiters();
    }

    /// All hosts by name.
    pub fn list(&self) -> Vec<HostState> {
        let slots = lock(&self.slots);
        let state = |slot: &Slot| HostState {
            host: slot.host.clone(),
            reachable: slot.engine.is_some(),
            error: slot.error.as_ref().map(Error::chain),
            seen: slot.seen.clone(),
        };
        slots.values().map(state).collect()
    }

    /// `None`: no such host; `Some(None)`: not tried yet.
    fn look(&self, name: &str) -> Option<Option<Result<Arc<dyn Engine>>>> {
        self.with(name, |slot| match (&slot.engine, &slot.error) {
            (Some(engine), _) => Some(Ok(engine.clone())),
            (None, Some(error)) => Some(Err(copy(name, error))),
            (None, None) => None,
        })
    }

    fn with<T>(&self, name: &str, f: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        lock(&self.slots).get_mut(name).map(f)
    }
}

fn unknown(name: &str) -> Error {
    Error::not_found("host.unknown", format!("there is no host “{name}”"))
        .advice("Register it with holdfast host add, or choose another host.")
}

fn silent(name: &str) -> Error {
    Error::new(Kind::Unavailable, "host.unreachable", format!("host {name} has not answered yet"))
}

/// Errors hold their cause and cannot be copied; the words can.
fn copy(name: &str, error: &Error) -> Error {
    let copy =
        Error::new(error.kind(), error.code().to_owned(), format!("host {name} does not answer: {}", error.chain()));
    match error.advice_text() {
        Some(advice) => copy.advice(advice),
        None => copy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Host {
        Host { name: name.into(), url: "unix:///x".into(), tls: None, ssh: None }
    }

    #[tokio::test]
    async fn what_was_known_stays_known() {
        let hosts = Hosts::default();
        hosts.enter(host("a"), SeenHost::default(), Stop::new());
        let app = SeenApp { name: "shop".into(), ..SeenApp::default() };
        assert!(hosts.found("a", vec![app.clone()], Moment::from_millis(1)).is_some());
        assert!(hosts.found("a", vec![app], Moment::from_millis(2)).is_none());
        let gone = || Error::new(Kind::Unavailable, "host.unreachable", "connection refused");
        assert!(hosts.lost("a", gone()));
        assert!(!hosts.lost("a", gone()), "the same error is no news");
        let state = &hosts.list()[0];
        assert!(!state.reachable);
        assert_eq!(state.seen.apps[0].name, "shop");
        assert_eq!(hosts.engine("a").await.err().unwrap().code(), "host.unreachable");
        assert_eq!(hosts.engine("b").await.err().unwrap().code(), "host.unknown");
    }

    #[tokio::test]
    async fn entering_again_ends_the_old_watcher() {
        let hosts = Hosts::default();
        let stop = Stop::new();
        hosts.enter(host("a"), SeenHost::default(), stop.clone());
        hosts.enter(host("a"), SeenHost::default(), Stop::new());
        assert!(stop.is_cancelled());
    }
}
