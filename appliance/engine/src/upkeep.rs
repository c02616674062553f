//! Keeping the repository in order: check, prune by retention, forgetting one snapshot.
//!
//! Invariants: prune forgets only what the app's own policy lets go; an app whose policy is not known
//! keeps everything; what was forgotten is named, with the rule that kept the others.

use crate::{
    apps::{Cover, Facts, app_id, is_good},
    house::House,
    jobs::{Claim, Desk, Order, Work},
    retention::{Point, judge},
    snapshots,
    words::{count, size},
};
use holdfast_model::{
    Error, Kind, Result, Severity, SnapshotId,
    job::{JobKind, JobState, JobView},
    policy::Retention,
    snapshot::Trigger,
    view::{CheckView, PruneLine, PruneView},
};
use holdfast_repository::{PruneOutcome, PrunePlan, Repack};
use std::sync::Arc;

/// Queues a check that reads `percent` of all bytes; with 0 it compares presence and sizes only.
pub fn check(house: &Arc<House>, percent: u8) -> Result<JobView> {
    let inner = house.clone();
    let order = Order { kind: JobKind::Check, subject: String::new(), claim: Claim::Check };
    let work: Work = Box::new(move |desk| Box::pin(async move { run_check(&inner, &desk, percent).await }));
    Ok(house.jobs.add(order, work)?.view())
}

/// What prune would do now.
pub async fn plan(house: &House) -> Result<PruneView> {
    let (mut view, ids) = judge_all(&Facts::gather(house));
    let plan = house.repository().prune_plan(ids).await?;
    fill(&mut view, &plan);
    Ok(view)
}

/// Queues a prune.
pub fn prune(house: &Arc<House>) -> Result<JobView> {
    if house.jobs.active().iter().any(|job| job.kind == JobKind::Prune && job.subject.is_empty()) {
        return Err(Error::new(Kind::Conflict, "prune.running", "a prune is under way already")
            .advice("Look at the running job, or wait until it ends."));
    }
    let inner = house.clone();
    let order = Order { kind: JobKind::Prune, subject: String::new(), claim: Claim::Prune };
    let work: Work = Box::new(move |desk| Box::pin(async move { run_prune(&inner, &desk).await }));
    Ok(house.jobs.add(order, work)?.view())
}

/// Forgets one snapshot and frees what nothing needs then; returns when it is done. One that nobody can read, as a check
/// tells, goes by its whole id.
pub async fn forget(house: &Arc<House>, asked: &str) -> Result<()> {
    let (id, subject) = match snapshots::find(house, asked) {
        Ok(entry) => (entry.snapshot.id.clone(), app_id(&entry.snapshot.host, &entry.snapshot.app)),
        Err(error) => {
            let unreadable = house.repository().unreadable();
            let id = unreadable.into_iter().find(|id| id.as_str() == asked.trim().to_lowercase()).ok_or(error)?;
            (id.clone(), id.to_string())
        }
    };
    let inner = house.clone();
    let order = Order { kind: JobKind::Prune, subject, claim: Claim::Prune };
    let work: Work = Box::new(move |desk| {
        Box::pin(async move {
            desk.phase("forget", 1, 1);
            desk.snapshot(&id);
            // Somebody waits for it: moving what is alive is the daily prune's.
            let plan = inner.repository().prune_plan_within(vec![id], &Repack::NONE).await?;
            let outcome = inner.repository().prune(plan, desk.stop()).await?;
            Ok(finish(&inner, &desk, outcome))
        })
    });
    let desk = house.jobs.add(order, work)?;
    desk.done().cancelled().await;
    match desk.failure() {
        Some(error) => Err(error),
        None if desk.view().state == JobState::Cancelled => {
            Err(Error::new(Kind::Stopped, "job.stopped", "the snapshot stays: its removal was stopped"))
        }
        None => Ok(()),
    }
}

async fn run_check(house: &House, desk: &Arc<Desk>, percent: u8) -> Result<String> {
    desk.phase(if percent > 0 { "read" } else { "compare" }, 1, 1);
    let report = house.repository().check_share(percent, Some(desk.clone()), desk.stop()).await?;
    house.memory.put_check(&report);
    desk.problems(report.problems.iter().cloned());
    house.events.snapshots();
    house.events.status();
    Ok(check_summary(&report))
}

fn check_summary(report: &CheckView) -> String {
    let wrong = report.problems.iter().filter(|problem| problem.severity > Severity::Note).count() as u64;
    let looked = format!(
        "{}, {} in the cache and {} in the bucket",
        count(report.snapshots, "snapshot"),
        count(report.packs_cache, "pack"),
        report.packs_bucket,
    );
    let found = if wrong == 0 { "all is well".to_owned() } else { format!("{} found", count(wrong, "problem")) };
    match report.healed {
        0 => format!("{looked}: {found}"),
        healed => format!("{looked}: {found}, {healed} healed"),
    }
}

async fn run_prune(house: &House, desk: &Arc<Desk>) -> Result<String> {
    desk.phase("decide", 1, 2);
    // Noted at the beginning: a prune that fails is told and tried again tomorrow, not every few seconds.
    house.memory.pruned(house.now());
    let (view, ids) = judge_all(&Facts::gather(house));
    for line in &view.forget {
        desk.log(&format!("forgets {} of {}, {}: {}", line.id, line.app, line.time, line.reason));
    }
    let plan = house.repository().prune_plan(ids).await?;
    desk.phase("free", 2, 2);
    let outcome = house.repository().prune(plan, desk.stop()).await?;
    Ok(finish(house, desk, outcome))
}

fn finish(house: &House, desk: &Desk, outcome: PruneOutcome) -> String {
    desk.problems(outcome.problems);
    house.tier.nudge();
    house.events.snapshots();
    house.events.status();
    house.events.apps();
    let mut done = format!(
        "{} forgotten, {} removed, {} freed in the cache, {} in the bucket",
        count(outcome.snapshots, "snapshot"),
        count(outcome.packs, "pack"),
        size(outcome.cache_bytes),
        size(outcome.bucket_bytes),
    );
    if outcome.repacked > 0 {
        done += &format!(", {} repacked, which moved {}", count(outcome.repacked, "pack"), size(outcome.moved_bytes));
    }
    match outcome.waiting {
        0 => done,
        _ => format!("{done}; {} more leave the bucket after their grace", size(outcome.waiting_bytes)),
    }
}

/// Judges the snapshots of every app by its own policy.
fn judge_all(facts: &Facts) -> (PruneView, Vec<SnapshotId>) {
    let mut view = PruneView::default();
    for (app, entries) in &facts.snapshots {
        let points: Vec<Point> = entries
            .iter()
            .map(|entry| Point {
                id: entry.snapshot.id.clone(),
                time: entry.snapshot.time,
                sequence: entry.snapshot.sequence,
                good: is_good(entry),
                safety: entry.snapshot.trigger == Trigger::Safety,
            })
            .collect();
        for verdict in judge(&points, &rules(facts, app), facts.now) {
            let line =
                PruneLine { id: verdict.point.id, app: app.clone(), time: verdict.point.time, reason: verdict.reason };
            if verdict.keep { view.keep.push(line) } else { view.forget.push(line) }
        }
    }
    let ids = view.forget.iter().map(|line| line.id.clone()).collect();
    (view, ids)
}

/// Retention of an app; without a known policy everything is kept.
fn rules(facts: &Facts, app: &str) -> Retention {
    match facts.cover(app) {
        Cover::Policy(policy) => policy.keep,
        // Excluded from backups does not mean that what there is may go.
        Cover::Nobody | Cover::Excluded | Cover::Unknown(_) => Retention::default(),
    }
}

fn fill(view: &mut PruneView, plan: &PrunePlan) {
    view.packs = plan.packs.len() as u64;
    view.cache_bytes = plan.cache_bytes;
    view.bucket_bytes = plan.bucket_bytes;
    view.held_bytes = plan.held_bytes;
    view.repack = plan.repack.len() as u64;
    view.repack_bytes = plan.repack_bytes;
    view.repack_frees = plan.repack_frees;
}
