//! The daily verification: a share of what is stored is read without anybody asking, in the quietest hours.
//!
//! Never here: which data is read (the repository's choice), how a check is carried out (`upkeep`), what of its findings holds (`findings`).
//! Invariants: it begins beside a backup or a restore only after it has waited for an hour, and beside no other check at all; whoever
//! needs the repository for himself is not kept waiting by it; what was read stays verified however it ends.

use crate::{
    apps::Facts,
    house::House,
    jobs::{Claim, Desk, Order, Work},
    memory::Verified,
    upkeep,
};
use holdfast_model::{
    Kind, Moment, Problem, Result,
    job::{JobKind, JobState, JobView},
    verification::{Verification, VerificationView},
    view::ActivityPoint,
};
use std::{sync::Arc, time::Duration};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Seconds between the beginnings of two, at least: with the wait for the quietest hour that makes a day.
const EVERY_S: i64 = 20 * 3600;
/// Days that one makes up for at most: what an appliance that was off owes must not come from the bucket all at once.
const DAYS_MAX: i64 = 7;
/// Whole hours that are asked when it is quiet: each hour of the day twice.
const HOURS_ASKED: usize = 48;
/// Hours that it may take, and that have to be quiet together.
const HOURS_TAKEN: usize = 3;
/// Hour of the day (UTC) where all are alike.
const NIGHT: usize = 1;
/// How long it waits for backups and restores to end.
const PATIENCE_MS: i64 = HOUR_MS;
/// How often it looks whether somebody waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Queues it if it is due and nothing is in its way.
pub fn look(house: &Arc<House>, facts: &Facts) {
    let at_work = |kinds: &[JobKind]| facts.active.iter().any(|job| kinds.contains(&job.kind));
    if next(house, facts).is_none_or(|next| next > facts.now) {
        house.memory.held_back(None);
        return;
    }
    if at_work(&[JobKind::Check, JobKind::Prune, JobKind::Recover]) {
        return;
    }
    if at_work(&[JobKind::Backup, JobKind::Restore, JobKind::Warm]) {
        let since = house.memory.held_back(Some(facts.now)).unwrap_or(facts.now);
        if facts.now.since(since) < PATIENCE_MS {
            return;
        }
    }
    house.memory.held_back(None);
    let percent = share(facts.settings.verification.daily_percent, house.memory.verified().ended, facts.now);
    match begin(house, percent) {
        Ok(()) => tracing::info!(percent, "the daily verification is queued"),
        Err(error) => tracing::warn!(error = ?error, "the daily verification could not be queued"),
    }
}

/// What was decided, when it runs, what a day of it reads.
pub fn view(house: &House) -> VerificationView {
    let facts = Facts::gather(house);
    let rule = facts.settings.verification;
    let part = |bytes: u64| u64::try_from(u128::from(bytes) * u128::from(rule.daily_percent) / 100).unwrap_or(u64::MAX);
    let in_bucket = facts.settings.bucket.is_some().then(|| house.repository().bucket_use().bytes);
    VerificationView {
        rule,
        last: house.memory.verified().ended,
        next: next(house, &facts).map(|next| next.max(facts.now)),
        cache_bytes: part(house.repository().cache_use().bytes),
        bucket_bytes: part(in_bucket.unwrap_or(0)),
    }
}

/// Decides how much is read each day.
pub async fn set(house: &House, rule: Verification) -> Result<VerificationView> {
    rule.validate()?;
    house
        .change_settings(|settings| {
            settings.verification = rule;
            Ok(())
        })
        .await?;
    Ok(view(house))
}

/// That it fails, if it does.
pub fn problem(house: &House) -> Option<Problem> {
    let is_on = house.settings().verification.daily_percent > 0;
    let error = house.memory.verified().error.filter(|_| is_on)?;
    let problem = Problem::warning("check.daily", "repository", format!("the daily verification failed: {error}"));
    Some(problem.advice("It is tried again tomorrow; holdfast check tries it now."))
}

/// When it is due; never while it is off or nothing is stored.
fn next(house: &House, facts: &Facts) -> Option<Moment> {
    if facts.settings.verification.daily_percent == 0 {
        return None;
    }
    let first = facts.snapshots.values().flatten().map(|entry| entry.snapshot.time).min()?;
    // A time that has not come yet was told by a clock that was wrong.
    let began = house.memory.verified().began.filter(|began| *began <= facts.now);
    Some(due(began.unwrap_or(first.min(facts.now)), quietest(&house.memory.activity(facts.now))))
}

/// The first moment long enough after the last one in this hour of the day (UTC). Two days after the last one it has come, whatever the hour.
fn due(last: Moment, quiet: usize) -> Moment {
    let earliest = last.plus_seconds(EVERY_S);
    let hour = earliest.millis().div_euclid(HOUR_MS);
    match (i64::try_from(quiet).unwrap_or(0) - hour).rem_euclid(24) {
        0 => earliest,
        hours => Moment::from_millis((hour + hours) * HOUR_MS),
    }
}

/// The hour of the day (UTC) from which on least was stored and sent; the present hour, which is not over, does not count.
fn quietest(activity: &[ActivityPoint]) -> usize {
    let mut busy = [0u64; 24];
    for point in activity.iter().rev().skip(1).take(HOURS_ASKED) {
        let hour = point.time.millis().div_euclid(HOUR_MS).rem_euclid(24);
        let hour = usize::try_from(hour).unwrap_or(0);
        busy[hour] = busy[hour].saturating_add(point.captured).saturating_add(point.uploaded);
    }
    let from = |hour: usize| (hour..hour + HOURS_TAKEN).map(|hour| busy[hour % 24]).fold(0, u64::saturating_add);
    let order = |hour: &usize| (from(*hour), (hour + 24 - NIGHT) % 24);
    (0..24).min_by_key(order).unwrap_or(NIGHT)
}

/// What is read now: a day's share, and more where days were missed.
fn share(daily: u8, ended: Option<Moment>, now: Moment) -> u8 {
    let days = ended.map_or(1, |ended| now.since(ended).saturating_add(DAY_MS / 2) / DAY_MS).clamp(1, DAYS_MAX);
    u8::try_from(i64::from(daily) * days).unwrap_or(u8::MAX).min(100)
}

fn begin(house: &Arc<House>, percent: u8) -> Result<()> {
    let inner = house.clone();
    let order = Order { kind: JobKind::Check, subject: String::new(), claim: Claim::Check };
    let work: Work = Box::new(move |desk| Box::pin(async move { run(&inner, &desk, percent).await }));
    house.jobs.add(order, work).map(drop)
}

async fn run(house: &House, desk: &Arc<Desk>, percent: u8) -> Result<String> {
    desk.log(&format!("the daily verification reads {percent} % of all that is stored"));
    let before = house.memory.verified();
    // Noted at the beginning: one that fails is told and tried again tomorrow, not every few seconds.
    let noted = Verified { began: Some(house.now()), ..before.clone() };
    house.memory.put_verified(&noted);
    match until_somebody_waits(house, desk, percent).await {
        Ok(found) => {
            house.memory.put_verified(&Verified { ended: Some(house.now()), error: None, ..noted });
            house.events.status();
            Ok(format!("daily verification, {percent} %: {found}"))
        }
        Err(error) if error.kind() == Kind::Stopped && !desk.stop().is_cancelled() => {
            // It is due again as soon as nobody is in its way.
            house.memory.put_verified(&before);
            Ok("made way for who needs the repository alone; what was read stays verified, the rest follows".into())
        }
        Err(error) => {
            if error.kind() != Kind::Stopped {
                house.memory.put_verified(&Verified { error: Some(error.chain()), ..noted });
                house.events.status();
            }
            Err(error)
        }
    }
}

/// `Stopped` also where somebody waits for the repository: behind a check that reads for hours he would hold up every backup.
async fn until_somebody_waits(house: &House, desk: &Arc<Desk>, percent: u8) -> Result<String> {
    let stop = desk.stop().child_token();
    let check = upkeep::run_check(house, desk, percent, &stop);
    tokio::pin!(check);
    tokio::select! {
        done = &mut check => done,
        () = somebody_waits(house) => {
            stop.cancel();
            check.await
        }
    }
}

async fn somebody_waits(house: &House) {
    let waits = |job: &JobView| job.state == JobState::Queued && matches!(job.kind, JobKind::Prune | JobKind::Recover);
    while !house.jobs.active().iter().any(waits) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A midnight.
    const MIDNIGHT: i64 = 1_795_392_000_000;

    fn hour(hours: i64) -> Moment {
        Moment::from_millis(MIDNIGHT + hours * HOUR_MS)
    }

    /// Three days and the beginning of an hour, in which so much moved by the hour of the day.
    fn days(moved: impl Fn(i64) -> u64) -> Vec<ActivityPoint> {
        let point = |at: i64| ActivityPoint { time: hour(at), captured: moved(at.rem_euclid(24)), uploaded: 0 };
        (-71..=0).map(point).collect()
    }

    #[test]
    fn it_runs_in_the_quietest_hour_and_at_night_where_all_are_alike() {
        assert_eq!(MIDNIGHT % DAY_MS, 0);
        assert_eq!(quietest(&[]), NIGHT);
        assert_eq!(quietest(&days(|_| 5)), NIGHT);
        assert_eq!(quietest(&days(|hour| if (13..16).contains(&hour) { 1 } else { 9 })), 13);
        assert_eq!(quietest(&days(|hour| if hour >= 22 || hour == 0 { 0 } else { 9 })), 22, "over midnight");
        assert_eq!(quietest(&days(|hour| if hour == 5 { 0 } else { 9 })), 3, "the first of those that are alike");
        assert_eq!(quietest(&days(|_| u64::MAX)), NIGHT);
        let mut begun = days(|_| 9);
        begun.last_mut().unwrap().captured = 0;
        assert_eq!(quietest(&begun), NIGHT, "an hour that has just begun is not called quiet");
    }

    #[test]
    fn it_is_due_once_a_day_in_that_hour() {
        assert_eq!(due(hour(3), 3), hour(27));
        assert_eq!(due(hour(3).plus_seconds(1800), 3), hour(27), "what began late does not move on");
        assert_eq!(due(hour(3), 23), hour(23));
        assert_eq!(due(hour(3), 22), hour(46), "not before 20 hours are over");
        assert_eq!(due(hour(3).plus_seconds(600), 23), hour(23).plus_seconds(600), "in the hour itself");
    }

    #[test]
    fn days_that_were_missed_are_made_up_for_within_limits() {
        assert_eq!(share(4, None, hour(0)), 4);
        assert_eq!(share(4, Some(hour(-20)), hour(0)), 4);
        assert_eq!(share(4, Some(hour(-35)), hour(0)), 4);
        assert_eq!(share(4, Some(hour(-36)), hour(0)), 8);
        assert_eq!(share(4, Some(hour(-24 * 7)), hour(0)), 28);
        assert_eq!(share(4, Some(hour(-24 * 300)), hour(0)), 28, "not all at once");
        assert_eq!(share(100, Some(hour(-24 * 300)), hour(0)), 100);
        assert_eq!(share(4, Some(hour(24)), hour(0)), 4, "a clock that was wrong");
    }

    proptest! {
        #[test]
        fn it_comes_within_two_days_whatever_the_hour(last in 0i64..2_000_000_000_000, quiet in 0usize..24) {
            let last = Moment::from_millis(last);
            let wait = due(last, quiet).since(last);
            prop_assert!((20 * HOUR_MS..=44 * HOUR_MS).contains(&wait), "{}", wait);
        }
    }
}
