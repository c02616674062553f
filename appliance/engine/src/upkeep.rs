//! Keeping the repository in order: check, prune by retention, removing one snapshot.
//!
//! Invariants: prune forgets only what the app's own policy lets go, and what somebody forgot long enough ago; an app whose
//! policy is not known keeps everything; what was forgotten is named, with the rule that kept the others.

use crate::{
    apps::{Facts, app_id},
    findings,
    house::House,
    jobs::{Claim, Desk, Order, Work},
    judging::verdicts,
    memory::Verified,
    words::{count, size},
};
use holdfast_model::{
    Error, Kind, Result, Severity, SnapshotId,
    job::{JobKind, JobState, JobView},
    settings::Settings,
    view::{CheckView, PruneLine, PruneView},
};
use holdfast_repository::{PruneOutcome, PrunePlan, Repack};
use holdfast_runtime::Stop;
use std::sync::Arc;

/// Queues a check that reads `percent` of all bytes; with 0 it compares presence and sizes only.
pub fn check(house: &Arc<House>, percent: u8) -> Result<JobView> {
    let inner = house.clone();
    let order = Order { kind: JobKind::Check, subject: String::new(), claim: Claim::Check };
    let work: Work =
        Box::new(move |desk| Box::pin(async move { run_check(&inner, &desk, percent, desk.stop()).await }));
    Ok(house.jobs.add(order, work)?.view())
}

/// What prune would do now.
pub async fn plan(house: &House) -> Result<PruneView> {
    let (mut view, ids) = judge_all(house);
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

/// Removes one snapshot for good and frees what nothing needs then; returns when it is done.
pub async fn forget(house: &Arc<House>, id: SnapshotId, subject: String) -> Result<()> {
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

/// Checks at this desk until `stop`, and takes in what was found.
pub async fn run_check(house: &House, desk: &Arc<Desk>, percent: u8, stop: &Stop) -> Result<String> {
    desk.phase(if percent > 0 { "read" } else { "compare" }, 1, 1);
    let report = house.repository().check_share(percent, Some(desk.clone()), stop).await?;
    house.memory.put_check(&report);
    findings::learn(house, &report, percent);
    let verified = house.memory.verified();
    if verified.error.is_some() {
        // What kept the daily one from its end did not keep this one.
        house.memory.put_verified(&Verified { error: None, ..verified });
    }
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
    let (view, ids) = judge_all(house);
    for line in &view.forget {
        desk.log(&format!("forgets {} of {}, {}: {}", line.id, line.app, line.time, line.reason));
    }
    let plan = house.repository().prune_plan(ids).await?;
    desk.phase("free", 2, 2);
    let outcome = house.repository().prune(plan, desk.stop()).await?;
    if let Err(error) = drop_marks(house).await {
        tracing::warn!(error = ?error, "marks of snapshots that are gone stay until the next prune");
    }
    Ok(finish(house, desk, outcome))
}

/// A mark of being forgotten goes with its snapshot.
async fn drop_marks(house: &House) -> Result<()> {
    let (settings, now) = (house.settings(), house.now());
    let there: Vec<SnapshotId> = house.forgotten().into_iter().map(|(entry, _)| entry.snapshot.id.clone()).collect();
    let is_over = |id: &SnapshotId| settings.forgotten_until(id).is_some_and(|until| until <= now);
    let is_gone = |id: &SnapshotId| is_over(id) && !there.contains(id);
    if !settings.forgotten.keys().any(is_gone) {
        return Ok(());
    }
    let act = |settings: &mut Settings| {
        settings.forgotten.retain(|id, _| !is_gone(id));
        Ok(())
    };
    house.change_settings(act).await
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
    if outcome.waiting > 0 {
        done += &format!("; {} more leave the bucket after their grace", size(outcome.waiting_bytes));
    }
    if outcome.locked > 0 {
        done += &format!("; {} stay in the bucket until their locks end", size(outcome.locked_bytes));
    }
    done
}

/// Judges the snapshots of every app by its own policy, and those that somebody forgot by their time.
fn judge_all(house: &House) -> (PruneView, Vec<SnapshotId>) {
    let (mut view, facts) = (PruneView::default(), Facts::gather(house));
    for app in facts.snapshots.keys() {
        for verdict in verdicts(&facts, app) {
            let line =
                PruneLine { id: verdict.point.id, app: app.clone(), time: verdict.point.time, reason: verdict.reason };
            if verdict.keep { view.keep.push(line) } else { view.forget.push(line) }
        }
    }
    for (entry, until) in house.forgotten() {
        let (snapshot, is_over) = (&entry.snapshot, until <= facts.now);
        let reason = match is_over {
            true => "somebody forgot it, and its time to be brought back is over".to_owned(),
            false => format!("somebody forgot it; it can be brought back until {until}"),
        };
        let app = app_id(&snapshot.host, &snapshot.app);
        let line = PruneLine { id: snapshot.id.clone(), app, time: snapshot.time, reason };
        if is_over { view.forget.push(line) } else { view.keep.push(line) }
    }
    let ids = view.forget.iter().map(|line| line.id.clone()).collect();
    (view, ids)
}

fn fill(view: &mut PruneView, plan: &PrunePlan) {
    view.packs = plan.packs.len() as u64;
    view.cache_bytes = plan.cache_bytes;
    view.bucket_bytes = plan.bucket_bytes;
    view.held_bytes = plan.held_bytes;
    view.repack = plan.repack.len() as u64;
    view.repack_bytes = plan.repack_bytes;
    view.repack_frees = plan.repack_frees;
    view.locked_bytes = plan.locked_bytes;
}
