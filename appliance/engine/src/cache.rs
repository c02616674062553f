//! What the cache may take: the rule that people decide, the loop that keeps to it, and what comes back into it.
//!
//! Never here: which packs may leave and which leave first (the repository's, law L3). Invariants: the repository goes by the settings,
//! whoever changed them last; a cache from which nothing can leave keeps nothing else from working, and is told.

use crate::{
    apps::app_id,
    house::House,
    jobs::{Claim, Desk, Order, Work},
    snapshots,
    words::{count, size},
};
use holdfast_model::{
    Error, Kind, Problem, Result,
    cache::{CacheRule, CacheView, EvictRequest, Evicted, Warmed},
    job::{JobKind, JobView},
    snapshot::{Snapshot, StreamRef},
    view::{From, LocalState},
};
use std::{sync::Arc, time::Duration};

/// Longest time without a look: what the disk has left changes without a word.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Acknowledgements come many a second; what they allow to leave leaves together.
const PAUSE: Duration = Duration::from_millis(250);
/// Code of a backup that found no room.
pub const FULL: &str = "cache.full";
/// What helps then.
const ADVICE: &str =
    "Let the cache take more (holdfast cache set), free its disk, see that the bucket takes what waits, or prune.";

/// Puts the rule in force and keeps to it until the appliance ends.
pub fn start(house: &Arc<House>) {
    keep_to_settings(house);
    let inner = house.clone();
    house.tracker.spawn(async move { tend(&inner).await });
}

/// Brings the repository to what the settings say.
pub fn keep_to_settings(house: &House) {
    loop {
        let settings = house.settings();
        house.repository().set_cache_rule(settings.cache.clone(), Some(house.folder.space_teller()));
        // Somebody who changed them meanwhile may have been here before us: the last word counts.
        if Arc::ptr_eq(&settings, &house.settings()) {
            return;
        }
    }
}

async fn tend(house: &House) {
    let (mut failing, mut waiting) = (false, false);
    loop {
        // Asked for each time, because a recovery brings another repository; and before the turn, so that nothing is missed meanwhile.
        let room = house.repository().room_changed();
        let changed = room.notified();
        let done = turn(house).await;
        if let Err(error) = &done
            && !failing
        {
            tracing::warn!(error = ?error, "what may leave the cache could not leave; it is tried again");
        }
        failing = done.is_err();
        let waits = house.repository().waits_for_room();
        if waits != std::mem::replace(&mut waiting, waits) {
            house.events.status();
        }
        if waits {
            // What the waiting backup has stored may fly now.
            house.tier.nudge();
        }
        tokio::select! {
            () = house.stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        tokio::select! {
            () = house.stop.cancelled() => return,
            () = changed => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Lets go what the rule wants gone.
async fn turn(house: &House) -> Result<()> {
    // It puts another cache into the place of this one.
    if house.jobs.is_active(&Claim::Recover) {
        return Ok(());
    }
    match house.repository().evict(None, &house.stop).await {
        Ok(gone) => tell(house, &gone),
        // The appliance ends.
        Err(error) if error.kind() == Kind::Stopped => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn tell(house: &House, gone: &Evicted) {
    if gone.packs == 0 {
        return;
    }
    tracing::info!(packs = gone.packs, bytes = gone.bytes, "left the cache; the bucket has it");
    house.events.snapshots();
    house.events.status();
    house.events.apps();
}

/// How the cache does, and what it may take.
pub fn show(house: &House) -> CacheView {
    house.repository().cache_view()
}

/// Decides what it may take.
pub async fn set(house: &Arc<House>, rule: CacheRule) -> Result<CacheView> {
    rule.validate()?;
    house
        .change_settings(|settings| {
            settings.cache = rule;
            Ok(())
        })
        .await?;
    keep_to_settings(house);
    house.repository().room_changed().notify_one();
    Ok(show(house))
}

/// Lets packs go that the bucket holds, or says which would.
pub async fn evict(house: &Arc<House>, request: EvictRequest) -> Result<Evicted> {
    let repository = house.repository();
    if request.dry_run {
        return Ok(repository.evict_plan(request.aim_bytes));
    }
    let gone = repository.evict(request.aim_bytes, &house.stop).await?;
    tell(house, &gone);
    Ok(gone)
}

/// Queues that a snapshot comes back into the cache. `Unavailable` (`bucket.none`), `Conflict` (`warm.running`).
pub fn warm(house: &Arc<House>, asked: &str) -> Result<JobView> {
    let entry = snapshots::find(house, asked)?;
    if entry.state.local != LocalState::Present && !house.repository().has_bucket() {
        return Err(Error::new(Kind::Unavailable, "bucket.none", "no bucket is attached to fetch the snapshot from")
            .advice("Attach it, or wait until it answers."));
    }
    let snapshot = entry.snapshot;
    let order = Order {
        kind: JobKind::Warm,
        subject: app_id(&snapshot.host, &snapshot.app),
        claim: Claim::Warm(snapshot.id.to_string()),
    };
    let inner = house.clone();
    let work: Work = Box::new(move |desk| Box::pin(async move { run_warm(&inner, &desk, &snapshot).await }));
    Ok(house.jobs.add(order, work)?.view())
}

async fn run_warm(house: &House, desk: &Arc<Desk>, snapshot: &Snapshot) -> Result<String> {
    desk.phase("fetch", 1, 1);
    desk.snapshot(&snapshot.id);
    let repository = house.repository();
    // A prune beside us takes nothing away before we are done.
    let _hold = repository.hold();
    let streams: Vec<StreamRef> = snapshot.streams().cloned().collect();
    let cost = repository.cost(&streams, From::Auto).await?;
    desk.total(cost.bucket_bytes);
    if cost.missing_bytes > 0 {
        let words = format!("no tier holds {} of it", size(cost.missing_bytes));
        let problem = Problem::error("snapshot.incomplete", snapshot.id.as_str(), words);
        desk.problems([problem.advice("Run a check; attach the bucket if it is not.")]);
    }
    let warmed = repository.warm(&streams, Some(desk.clone()), desk.stop()).await;
    // What came stays, and healing is told, also when it was stopped half-way.
    desk.problems(repository.take_healed());
    house.events.snapshots();
    house.events.status();
    house.events.apps();
    let warmed = warmed?;
    desk.problems(left_out(&warmed));
    Ok(summary(&warmed))
}

fn left_out(warmed: &Warmed) -> Option<Problem> {
    let words = format!("{} found no room in the cache and stay in the bucket alone", size(warmed.short_bytes));
    let problem = Problem::warning("cache.short", "cache", words);
    (warmed.short_bytes > 0).then(|| problem.advice("Let the cache take more (holdfast cache set), then do it again."))
}

fn summary(warmed: &Warmed) -> String {
    if warmed.packs == 0 && warmed.short_bytes == 0 {
        return format!("all of it is in the cache already, in {}", count(warmed.here, "pack"));
    }
    let came = count(warmed.packs, "pack");
    format!("{came} of {} came into the cache, {} more were there", size(warmed.bytes), warmed.here)
}

/// A backup that found no room says what helps, whoever met the error first.
pub fn advised(error: Error) -> Error {
    match error.code() == FULL && error.advice_text().is_none() {
        true => error.advice(ADVICE),
        false => error,
    }
}

/// What is to be told of the cache; nothing when all is well. `refused` are apps whose newest backup found no room.
pub fn problems(view: &CacheView, refused: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !refused.is_empty() {
        let words = format!("the newest backup of {} failed: the cache had no room for it", refused.join(", "));
        problems.push(Problem::error(FULL, "cache", words).advice(ADVICE));
    }
    if view.waiting {
        let words = format!(
            "a backup waits for room: the cache takes {} of {}, and the bucket does not hold {} of that yet",
            size(view.used_bytes),
            size(view.limit_bytes),
            size(view.unshipped_bytes),
        );
        let advice =
            "It goes on as the bucket takes what waits. For good, let the cache take more (holdfast cache set).";
        problems.push(Problem::warning(FULL, "cache", words).advice(advice));
    }
    problems.extend(tight(view));
    problems
}

/// What waits for the bucket is often of the newest snapshots: they are not added up, so that a cache that works is not called tight.
fn tight(view: &CacheView) -> Option<Problem> {
    let needed = view.pinned_bytes.saturating_add(view.unshipped_bytes.max(view.newest_bytes));
    if needed <= view.limit_bytes {
        return None;
    }
    let words = format!(
        "the cache may take {}; what never leaves it and the newest snapshots need {}: backups wait for the bucket, and \
         restores fetch from it",
        size(view.limit_bytes),
        size(needed),
    );
    let advice = "Let it take more (holdfast cache set), or make room on its disk.";
    Some(Problem::warning("cache.tight", "cache", words).advice(advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    fn codes(view: &CacheView, refused: &[String]) -> Vec<String> {
        let problems = problems(view, refused);
        assert!(problems.iter().all(|problem| problem.advice.is_some()), "{problems:?}");
        problems.into_iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn a_cache_that_does_well_is_not_spoken_of() {
        let well = CacheView {
            used_bytes: 95 * GB,
            limit_bytes: 100 * GB,
            unshipped_bytes: 60 * GB,
            pinned_bytes: 5 * GB,
            newest_bytes: 60 * GB,
            evictable_bytes: 30 * GB,
            ..CacheView::default()
        };
        assert!(codes(&well, &[]).is_empty(), "what waits is the newest snapshot itself");
        assert!(codes(&CacheView { limit_bytes: u64::MAX, ..well }, &[]).is_empty());
    }

    #[test]
    fn a_cache_that_holds_up_backups_is_named_with_what_helps() {
        let view = CacheView { used_bytes: 9 * GB, limit_bytes: 9 * GB, ..CacheView::default() };
        let waits = CacheView { waiting: true, unshipped_bytes: 8 * GB, ..view.clone() };
        assert_eq!(codes(&waits, &[]), [FULL]);
        let refused = problems(&view, &["local/shop".into(), "edge/blog".into()]);
        assert!(refused.len() == 1 && refused[0].message.contains("local/shop, edge/blog"), "{refused:?}");
    }

    #[test]
    fn a_cache_too_small_for_what_stays_in_it_is_called_tight() {
        let view = CacheView { limit_bytes: 10 * GB, pinned_bytes: GB, ..CacheView::default() };
        assert!(codes(&CacheView { newest_bytes: 9 * GB, ..view.clone() }, &[]).is_empty());
        for tight in [
            CacheView { newest_bytes: 9 * GB + 1, ..view.clone() },
            CacheView { unshipped_bytes: 9 * GB + 1, ..view.clone() },
            CacheView { pinned_bytes: 10 * GB + 1, ..view.clone() },
            CacheView { pinned_bytes: u64::MAX, newest_bytes: 1, ..view },
        ] {
            assert_eq!(codes(&tight, &[]), ["cache.tight"], "{tight:?}");
        }
    }

    #[test]
    fn a_backup_without_room_says_what_helps() {
        let bare = advised(Error::new(Kind::Full, FULL, "no room").while_doing("store volume data"));
        assert_eq!((bare.code(), bare.advice_text()), (FULL, Some(ADVICE)));
        let told = advised(Error::new(Kind::Full, FULL, "no room").advice("Wait."));
        assert_eq!(told.advice_text(), Some("Wait."));
        assert_eq!(advised(Error::new(Kind::Full, "disk.full", "no room")).advice_text(), None);
    }

    #[test]
    fn what_came_back_is_told_and_what_found_no_room_is_a_problem() {
        let all = Warmed { here: 3, ..Warmed::default() };
        assert_eq!(summary(&all), "all of it is in the cache already, in 3 packs");
        assert!(left_out(&all).is_none());
        let part = Warmed { packs: 1, bytes: 2 * GB, here: 3, short_bytes: GB };
        assert_eq!(summary(&part), "1 pack of 2.0 GB came into the cache, 3 more were there");
        assert_eq!(left_out(&part).unwrap().code, "cache.short");
    }
}
