//! Keeps apps on their policies: asks every few seconds which backups are due and queues them.
//!
//! A turn is idempotent and has no input but the facts: the same code serves the first start, a wake-up
//! after a year and every day in between. Invariants: an app is never queued twice; a host that does
//! not answer costs no failure; prune follows a scheduled backup once a day; what was stored is verified by shares (`verify`), when
//! nothing else is to be done.

use crate::{
    apps::{Cover, Facts},
    backup,
    house::House,
    jobs::Claim,
    schedule::due,
    upkeep, verify,
};
use holdfast_model::{
    job::{JobKind, JobView},
    snapshot::Trigger,
};
use std::{sync::Arc, time::Duration};

/// Time between turns without a wake-up; policies count in minutes.
const TURN_EVERY: Duration = Duration::from_secs(10);
/// Seconds between automatic prunes.
const PRUNE_EVERY_S: i64 = 86_400;

/// Runs until the appliance ends.
pub fn start(house: &Arc<House>) {
    let inner = house.clone();
    house.tracker.spawn(async move {
        loop {
            turn(&inner);
            tokio::select! {
                () = inner.stop.cancelled() => return,
                () = inner.wake.notified() => {}
                () = tokio::time::sleep(TURN_EVERY) => {}
            }
        }
    });
}

/// Queues what is due now.
pub fn turn(house: &Arc<House>) {
    let facts = Facts::gather(house);
    if facts.active.iter().any(|job| job.kind == JobKind::Recover) {
        return;
    }
    let mut queued = false;
    for app in due_apps(&facts) {
        if house.jobs.is_active(&Claim::Backup(app.clone())) {
            continue;
        }
        let wish = backup::wish(&facts, app, (None, None), Trigger::Schedule);
        match backup::enqueue(house, wish) {
            Ok(_) => queued = true,
            Err(error) => tracing::warn!(error = ?error, "a due backup could not be queued"),
        }
    }
    if !queued && !prune_if_due(house, &facts) {
        verify::look(house, &facts);
    }
}

/// Covered apps that are on an answering host and whose time has come, in the order of their ids.
fn due_apps(facts: &Facts) -> Vec<String> {
    let is_due = |id: &String| {
        let Cover::Policy(policy) = facts.cover(id) else { return false };
        let here = facts.seen(id).is_some_and(|(host, _)| host.reachable);
        here && due(id, &facts.known(id, &policy)) <= facts.now
    };
    facts.ids().into_iter().filter(is_due).collect()
}

/// Whether a prune was queued. Behind a check that reads for hours it would hold up every backup, so it waits for the end of it here.
fn prune_if_due(house: &Arc<House>, facts: &Facts) -> bool {
    let at_work = |job: &JobView| matches!(job.kind, JobKind::Backup | JobKind::Prune | JobKind::Check);
    let last = house.memory.last_prune();
    let is_due = last.is_none_or(|last| facts.now.since(last) >= PRUNE_EVERY_S * 1000);
    let newest_scheduled = facts.snapshots.values().flatten().map(|entry| &entry.snapshot);
    let scheduled = newest_scheduled.filter(|one| one.trigger == Trigger::Schedule).map(|one| one.time).max();
    let settings = &facts.settings;
    let owed = settings.forgotten.keys().filter_map(|id| settings.forgotten_until(id)).any(|until| until <= facts.now);
    // Nothing was backed up since the last prune, and nothing has to go now: there is nothing new to let go.
    let worth_it = owed || scheduled.is_some_and(|newest| last.is_none_or(|last| newest > last));
    if !is_due || !worth_it || facts.active.iter().any(at_work) {
        return false;
    }
    match upkeep::prune(house) {
        Ok(_) => tracing::info!("the daily prune is queued"),
        Err(error) => tracing::warn!(error = ?error, "the daily prune could not be queued"),
    }
    true
}
