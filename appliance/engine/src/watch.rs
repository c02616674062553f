//! Watches hosts: connects, undoes what a crash left, finds apps, notices when a host goes away.
//!
//! One task per host. Invariants: before an engine is handed to anybody, holds of a crash on it were
//! tried to undo (law L6) and stray helpers swept; every call has a deadline; a host that does not
//! answer is asked again with growing pauses, for ever.

use crate::{
    house::House,
    memory::{SeenApp, SeenHost},
};
use futures::{StreamExt, stream::BoxStream};
use holdfast_capture::{FoundApp, discover, sweep_helpers};
use holdfast_docker::{Engine, is_any_left};
use holdfast_model::{Error, Kind, Result, settings::Host, snapshot::RunState};
use holdfast_restore::put_back;
use holdfast_runtime::{Backoff, Stop};
use serde_json::Value;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// A host that takes longer to say who it is counts as away.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// A listing inspects every container: slow hosts with hundreds of them need this.
const LIST_LIMIT: Duration = Duration::from_secs(60);
/// Letting go may stop and start containers.
const UNDO_LIMIT: Duration = Duration::from_secs(120);
/// Time between listings without events.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Events come in bursts (a compose project starts); one listing serves the burst.
const SETTLE: Duration = Duration::from_millis(300);
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LIMIT: Duration = Duration::from_secs(30);

/// Watches all hosts of the settings.
pub fn start_all(house: &Arc<House>) {
    for host in house.settings().hosts.values() {
        start(house, host.clone());
    }
}

/// Watches one host.
pub fn start(house: &Arc<House>, host: Host) {
    let stop = house.stop.child_token();
    let seen = house.memory.host(&host.name);
    let nudge = house.hosts.enter(host.clone(), seen, stop.clone());
    let watcher = Watcher { house: house.clone(), host, stop, nudge };
    house.tracker.spawn(watcher.run());
}

/// Looks at all hosts now and waits a moment for what they say.
pub async fn refresh(house: &House) {
    house.hosts.nudge();
    house.hosts.change(Duration::from_secs(3)).await;
}

struct Watcher {
    house: Arc<House>,
    host: Host,
    stop: Stop,
    nudge: Arc<Notify>,
}

impl Watcher {
    async fn run(self) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LIMIT);
        while !self.stop.is_cancelled() {
            let lost = tokio::select! {
                () = self.stop.cancelled() => return,
                lost = self.session(&mut backoff) => lost,
            };
            let Err(error) = lost else { continue };
            if self.house.hosts.lost(&self.name(), error) {
                tracing::info!(host = self.host.name, "a host does not answer");
                self.house.events.apps();
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.nudge.notified() => {}
                () = tokio::time::sleep(backoff.failed()) => {}
            }
        }
    }

    fn name(&self) -> String {
        self.host.name.clone()
    }

    /// From connecting to losing the host again.
    async fn session(&self, backoff: &mut Backoff) -> Result<()> {
        let engine = in_time(CONNECT_LIMIT, self.house.outside.host(&self.host)).await?;
        let info = in_time(CONNECT_LIMIT, engine.info()).await?;
        self.undo_holds(engine.as_ref()).await;
        self.sweep(engine.as_ref()).await;
        let apps = self.look(engine.as_ref()).await?;
        self.found(apps);
        if !self.house.hosts.reached(&self.host.name, engine.clone(), info, self.house.now()) {
            return Ok(());
        }
        backoff.succeeded();
        self.house.events.apps();
        self.house.wake.notify_one();
        self.follow(engine.as_ref()).await
    }

    async fn follow(&self, engine: &dyn Engine) -> Result<()> {
        let mut events: Option<BoxStream<'static, Result<Value>>> = None;
        loop {
            if events.is_none() {
                // Without events the listing every half minute still finds everything.
                events = in_time(CONNECT_LIMIT, engine.events()).await.ok();
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.nudge.notified() => {}
                more = next(&mut events) => if more {
                    tokio::time::sleep(SETTLE).await;
                    drain(&mut events);
                } else {
                    // The connection ended: most likely the host did. The listing below finds out.
                    events = None;
                },
            }
            self.undo_holds(engine).await;
            if is_any_left() {
                self.sweep(engine).await;
            }
            let apps = self.look(engine).await?;
            self.found(apps);
        }
    }

    async fn look(&self, engine: &dyn Engine) -> Result<Vec<SeenApp>> {
        let found = in_time(LIST_LIMIT, discover(engine)).await?;
        let mut apps: Vec<SeenApp> = found.into_iter().map(seen).collect();
        apps.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(apps)
    }

    fn found(&self, apps: Vec<SeenApp>) {
        let news: Option<SeenHost> = self.house.hosts.found(&self.host.name, apps, self.house.now());
        if let Some(seen) = news {
            self.house.memory.put_host(&self.host.name, &seen);
            self.house.events.apps();
            self.house.wake.notify_one();
        }
        self.house.hosts.looked();
    }

    async fn undo_holds(&self, engine: &dyn Engine) {
        for held in self.house.journal.left_over().into_iter().filter(|held| held.host == self.host.name) {
            let limit = UNDO_LIMIT + held.owed_time();
            match in_time(limit, self.house.journal.undo(engine, &held)).await {
                Ok(()) => {
                    tracing::warn!(
                        host = held.host,
                        app = held.app,
                        "what was held runs again, and what was owed has run"
                    );
                    self.house.events.status();
                }
                Err(error) => {
                    tracing::error!(host = held.host, app = held.app, error = ?error, "members are still held, or commands owed to them")
                }
            }
        }
        let (folder, host) = (self.house.folder.restores(), self.host.name.clone());
        let put_back = async { Ok(put_back(&folder, &host, engine).await) };
        for (app, outcome) in in_time(UNDO_LIMIT, put_back).await.unwrap_or_default() {
            match outcome {
                Ok(()) => tracing::warn!(host, app, "containers that a killed restore had put aside are back"),
                Err(error) => tracing::error!(host, app, error = ?error, "containers are still put aside"),
            }
            self.house.events.status();
        }
    }

    async fn sweep(&self, engine: &dyn Engine) {
        match in_time(LIST_LIMIT, sweep_helpers(engine, &self.house.owner())).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(host = self.host.name, count, "helpers that were left behind were removed"),
            Err(error) => {
                tracing::warn!(host = self.host.name, error = ?error, "helpers that were left behind may remain")
            }
        }
    }
}

/// `true` for an event, `false` for the end; waits for ever without a stream.
async fn next(events: &mut Option<BoxStream<'static, Result<Value>>>) -> bool {
    match events {
        Some(stream) => matches!(stream.next().await, Some(Ok(_))),
        None => std::future::pending().await,
    }
}

/// Takes what is there already; bounded, so that a chatty host cannot keep us here.
fn drain(events: &mut Option<BoxStream<'static, Result<Value>>>) {
    for _ in 0..1000 {
        let ready = events.as_mut().and_then(|stream| futures::FutureExt::now_or_never(stream.next()));
        match ready {
            Some(Some(Ok(_))) => {}
            Some(_) => {
                *events = None;
                return;
            }
            None => return,
        }
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let words = format!("the host did not answer within {} s", limit.as_secs());
        Err(Error::new(Kind::Unavailable, "host.timeout", words)
            .advice("Look at the Docker daemon's log on that host."))
    })
}

fn seen(found: FoundApp) -> SeenApp {
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    SeenApp {
        name: found.name,
        project: found.project,
        containers: small(found.containers.len()),
        running: small(found.containers.iter().filter(|one| one.state == RunState::Running).count()),
        volumes: small(found.volumes.len() + found.binds.len()),
        label: found.policy_label,
        disabled: found.disabled,
    }
}
