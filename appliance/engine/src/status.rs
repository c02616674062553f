//! The first page: tiers, hosts, counts, activity, and what concerns the appliance as a whole.
//!
//! Invariant: gathered from what is known; no host and no bucket is asked, so it answers at once.

use crate::{
    alarms,
    apps::Facts,
    bucket, cache, findings,
    folder::Space,
    hostbook::{self, twins},
    house::House,
    locks, verify,
    words::{ago, size},
};
use holdfast_model::{
    Problem,
    view::{AppState, BucketHealth, BucketView, CacheView, EnrolmentView, SetupView, StatusView},
};

/// Below this share of the disk, percent, or this many bytes, space is called low: a backup needs room
/// for its packs before the bucket has them.
const LOW_PERCENT: u64 = 5;
const LOW_BYTES: u64 = 2 << 30;

/// The first page.
pub fn view(house: &House) -> StatusView {
    let facts = Facts::gather(house);
    let apps = facts.views();
    let count = |wanted: fn(AppState) -> bool| {
        u32::try_from(apps.iter().filter(|app| wanted(app.state)).count()).unwrap_or(u32::MAX)
    };
    let bucket = bucket::view(house);
    let space = house.folder.space().unwrap_or_default();
    let enrolment = facts.settings.enrolment.as_ref();
    StatusView {
        version: house.version.clone(),
        appliance: facts.settings.appliance.clone(),
        repository: house.repository().id().to_hex(),
        apps: u32::try_from(apps.len()).unwrap_or(u32::MAX),
        protected: count(|state| matches!(state, AppState::Protected | AppState::BackingUp)),
        attention: count(needs_attention),
        snapshots: u32::try_from(facts.snapshots.values().map(Vec::len).sum::<usize>()).unwrap_or(u32::MAX),
        hosts: facts.hosts.iter().cloned().map(hostbook::view).collect(),
        cache: local_tier(house, &bucket, space),
        problems: problems(house, &facts, &bucket, space),
        bucket,
        jobs: facts.active.clone(),
        bytes_logical: facts.snapshots.values().flatten().map(|entry| entry.snapshot.stats.bytes_logical).sum(),
        activity: house.memory.activity(facts.now),
        kit_confirmed: facts.settings.kit_confirmed.is_some(),
        enrolment: enrolment.map(|who| EnrolmentView { provider: who.provider.clone(), tenant: who.tenant.clone() }),
    }
}

/// First-run state.
pub fn setup(house: &House) -> SetupView {
    let settings = house.settings();
    SetupView {
        done: !settings.users.is_empty(),
        has_repository: !house.repository().snapshots().is_empty(),
        kit_confirmed: settings.kit_confirmed.is_some(),
        has_bucket: settings.bucket.is_some(),
        version: house.version.clone(),
    }
}

/// Whether space is low.
pub fn is_low(space: Space) -> bool {
    space.total > 0
        && (space.free < LOW_BYTES || space.free.saturating_mul(100) < space.total.saturating_mul(LOW_PERCENT))
}

fn needs_attention(state: AppState) -> bool {
    matches!(
        state,
        AppState::Failed | AppState::Problems | AppState::Overdue | AppState::CloudBehind | AppState::Unreachable
    )
}

fn local_tier(house: &House, bucket: &BucketView, space: Space) -> CacheView {
    let uses = house.repository().cache_use();
    CacheView {
        used_bytes: uses.bytes,
        free_bytes: space.free,
        disk_bytes: space.total,
        packs: uses.packs,
        unshipped_bytes: bucket.queued_bytes,
        snapshots: uses.snapshots,
    }
}

fn problems(house: &House, facts: &Facts, bucket: &BucketView, space: Space) -> Vec<Problem> {
    let mut problems = Vec::new();
    if is_low(space) {
        let words =
            format!("only {} are free on the disk of the cache; backups will fail when it is full", size(space.free));
        problems.push(Problem::error("disk.low", "cache", words).advice("Make room, or prune."));
    }
    problems.extend(cache::problems(&cache::show(house), &house.jobs.failed_backups(cache::FULL)));
    if bucket.health == BucketHealth::Failing && bucket.error_code.as_deref() != Some("bucket.connecting") {
        let since = house.tier.health().failing_since.map(|since| ago(since, facts.now));
        let since = since.map(|since| format!(" for {since}")).unwrap_or_default();
        let why = bucket.error.clone().unwrap_or_default();
        let code = bucket.error_code.clone().unwrap_or_else(|| "bucket.failing".into());
        let words = format!("nothing reaches the bucket{since}: {why}");
        problems.push(
            Problem::warning(&code, "bucket", words).advice("New backups stay safe in the cache until it works again."),
        );
    }
    if bucket.url.is_some() && bucket.uploads.paused {
        let words = format!("uploads are paused; {} wait for the bucket", size(bucket.queued_bytes));
        problems.push(
            Problem::warning("uploads.paused", "bucket", words)
                .advice("Let them go on: new backups are on this appliance alone until then."),
        );
    }
    for lost in bucket.capabilities.iter().flat_map(|seen| &seen.lost) {
        let words = format!("the bucket does not do any more what an earlier probe saw: {lost}");
        problems.push(
            Problem::error("bucket.worse", "bucket", words).advice("Ask the provider; then probe the bucket again."),
        );
    }
    problems.extend(locks::problem(house));
    problems.extend(alarms::problems(house, facts.now));
    problems.extend(findings::problems(house, facts.now));
    problems.extend(verify::problem(house));
    for held in house.journal.left_over() {
        let names: Vec<&str> = held.containers.iter().map(|(_, name)| name.as_str()).collect();
        let how = if held.paused { "paused" } else { "stopped" };
        let words = format!("{} of {} on {} still {how} since {}", names.join(", "), held.app, held.host, held.since);
        problems
            .push(Problem::error("hold.left_over", format!("{}/{}", held.host, held.app), words).advice(
                "They are let go as soon as the host answers; docker unpause or docker start does it by hand.",
            ));
    }
    problems.extend(holdfast_restore::unfinished(&house.folder.restores()));
    for job in house.jobs.cut_restores() {
        let from = job.snapshot.map(|id| format!(" from {id}")).unwrap_or_default();
        let words = format!(
            "the restore of {}{from} was cut short when the appliance ended; it may be incomplete",
            job.subject
        );
        let advice = "Restore it again. Containers that it had set aside keep their data under another name.";
        problems.push(Problem::error("restore.interrupted", job.subject, words).advice(advice));
    }
    if facts.settings.kit_confirmed.is_none() {
        let words = "nobody has confirmed that the recovery kit is stored; without it the bucket cannot be read again";
        problems
            .push(Problem::warning("kit.unconfirmed", "recovery kit", words).advice("Print the kit and confirm it."));
    }
    for (left, right) in twins(&facts.hosts) {
        let words = format!("{left} and {right} are the same Docker engine; its apps are listed twice");
        problems.push(Problem::note("host.twice", right, words).advice("Remove one of the two."));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_space_is_a_share_or_an_amount() {
        let gib = 1u64 << 30;
        assert!(is_low(Space { free: gib, total: 10 * gib }));
        assert!(is_low(Space { free: 4 * gib, total: 100 * gib }));
        assert!(!is_low(Space { free: 6 * gib, total: 100 * gib }));
        assert!(!is_low(Space::default()), "what could not be measured is not called low");
    }
}
