//! Which snapshots of one app stay and why. Pure: no clock, no repository.
//!
//! The rules, exactly. Each app is judged alone; a snapshot stays if any of these says so, else it goes:
//! 1. No number is set in the policy: everything stays.
//! 2. `last N`: the N newest in the order in which the repository committed them (`sequence`). No clock has a say.
//! 3. `hourly N`, `daily N`, `weekly N`, `monthly N`: periods are hours, days, ISO weeks (Monday to Sunday) and months of
//!    the snapshot's time in UTC, so that a change to summer time neither doubles nor drops one. Of the N latest
//!    periods that have a snapshot, the latest snapshot stays; of equal times the one committed later.
//! 4. A snapshot whose time has not come yet was taken by a clock that was wrong. It stays until then, and rule 3 does
//!    not count it: it must not push out snapshots of today.
//! 5. The newest in commit order stays, whatever its time says.
//! 6. If none of those that stay is good (nothing that was asked for is missing from it), the newest good one stays too.
//! 7. A snapshot that was taken before a restore in place stays for 14 days: it is all that is left of what was replaced
//!    then, and somebody may notice late.
//! 8. One that holds places alone, for no container of the app mounted them, is no restore point of the app: rules 2, 3, 5 and 6 pass it
//!    over, and it pushes out no other. Where there is nothing else of the app, it is judged like any other.
//!
//! What follows: the newest is never let go, nor the last good one; judging what stayed again lets nothing more go
//! while no time passes; a larger number never lets more go, but for what rule 6 held.

use holdfast_model::{Moment, SnapshotId, policy::Retention};
use std::cmp::Reverse;

/// A snapshot as retention sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its id.
    pub id: SnapshotId,
    /// Start of its capture, by the appliance's clock.
    pub time: Moment,
    /// The repository's count when it was committed.
    pub sequence: u64,
    /// Nothing that was asked for is missing from it.
    pub good: bool,
    /// Taken of what a restore in place was about to replace.
    pub safety: bool,
    /// It holds places alone.
    pub places: bool,
}

/// Days that such a snapshot stays whatever the numbers say.
const SAFETY_DAYS: i64 = 14;
/// Why a snapshot stays.
const NO_RULE: &str = "no rule is set, everything is kept";
const NOT_YET: &str = "its time has not come yet: a clock was wrong";

/// What becomes of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The snapshot.
    pub point: Point,
    /// Whether it stays.
    pub keep: bool,
    /// The rules that keep it (`last 2, daily 2026-11-23`), or why it goes.
    pub reason: String,
}

/// Judges the snapshots of one app. The answer has one verdict per snapshot, in commit order, oldest first.
pub fn judge(points: &[Point], rules: &Retention, now: Moment) -> Vec<Verdict> {
    let is_all_there_is = points.iter().all(|point| point.places);
    let (apart, counted): (Vec<Point>, Vec<Point>) =
        points.iter().cloned().partition(|point| point.places && !is_all_there_is);
    let mut verdicts = judge_counted(counted, rules, now);
    verdicts.extend(apart.into_iter().map(|point| judge_apart(point, rules, now)));
    verdicts.sort_by(|a, b| (a.point.sequence, &a.point.id).cmp(&(b.point.sequence, &b.point.id)));
    verdicts
}

/// One that no number counts.
fn judge_apart(point: Point, rules: &Retention, now: Moment) -> Verdict {
    let reason = if rules.keeps_everything() {
        Some(NO_RULE.to_owned())
    } else if point.time > now {
        Some(NOT_YET.to_owned())
    } else {
        is_safety(&point, now).then(before_a_restore)
    };
    let (keep, reason) = (reason.is_some(), reason.unwrap_or_else(|| "no rule keeps it".into()));
    Verdict { point, keep, reason }
}

fn judge_counted(mut newest_first: Vec<Point>, rules: &Retention, now: Moment) -> Vec<Verdict> {
    newest_first.sort_by(|a, b| (b.sequence, &b.id).cmp(&(a.sequence, &a.id)));
    let mut reasons: Vec<Vec<String>> = vec![Vec::new(); newest_first.len()];
    if rules.keeps_everything() {
        reasons.iter_mut().for_each(|why| why.push(NO_RULE.into()));
    } else {
        keep_last(&mut reasons, rules.last);
        let by_time = latest_first(&newest_first, now);
        keep_periods(&newest_first, &by_time, &mut reasons, rules.hourly, "hourly", hour);
        keep_periods(&newest_first, &by_time, &mut reasons, rules.daily, "daily", day);
        keep_periods(&newest_first, &by_time, &mut reasons, rules.weekly, "weekly", week);
        keep_periods(&newest_first, &by_time, &mut reasons, rules.monthly, "monthly", month);
        for (_, why) in newest_first.iter().zip(&mut reasons).filter(|(point, _)| point.time > now) {
            why.push(NOT_YET.into());
        }
        if let Some(why) = reasons.first_mut().filter(|why| why.is_empty()) {
            why.push("the newest".into());
        }
        keep_only_good(&newest_first, &mut reasons);
        // Last: what was replaced is no substitute for the last good one.
        for (_, why) in newest_first.iter().zip(&mut reasons).filter(|(point, _)| is_safety(point, now)) {
            why.push(before_a_restore());
        }
    }
    let verdict = |(point, why): (Point, Vec<String>)| Verdict {
        point,
        keep: !why.is_empty(),
        reason: if why.is_empty() { "no rule keeps it".into() } else { why.join(", ") },
    };
    let mut verdicts: Vec<Verdict> = newest_first.into_iter().zip(reasons).map(verdict).collect();
    verdicts.reverse();
    verdicts
}

fn before_a_restore() -> String {
    format!("taken before a restore in place, kept for {SAFETY_DAYS} days")
}

fn is_safety(point: &Point, now: Moment) -> bool {
    point.safety && now.since(point.time) < SAFETY_DAYS * 86_400_000
}

fn keep_last(reasons: &mut [Vec<String>], count: u32) {
    for (place, why) in reasons.iter_mut().take(count as usize).enumerate() {
        why.push(format!("last {}", place + 1));
    }
}

/// Places of the snapshots whose time has come, latest first; of equal times the one committed later.
fn latest_first(newest_first: &[Point], now: Moment) -> Vec<usize> {
    let mut places: Vec<usize> = (0..newest_first.len()).filter(|place| newest_first[*place].time <= now).collect();
    places.sort_by_key(|place| (Reverse(newest_first[*place].time), *place));
    places
}

fn keep_periods(
    points: &[Point],
    latest_first: &[usize],
    reasons: &mut [Vec<String>],
    count: u32,
    rule: &str,
    period: fn(Moment) -> String,
) {
    let (mut seen, mut last) = (0, None);
    for place in latest_first {
        let name = period(points[*place].time);
        if last.as_ref() == Some(&name) {
            continue;
        }
        if seen == count {
            break;
        }
        seen += 1;
        reasons[*place].push(format!("{rule} {name}"));
        last = Some(name);
    }
}

/// An incomplete snapshot that a rule keeps is no substitute for the last complete one.
fn keep_only_good(newest_first: &[Point], reasons: &mut [Vec<String>]) {
    let good_stays = newest_first.iter().zip(reasons.iter()).any(|(point, why)| point.good && !why.is_empty());
    if good_stays {
        return;
    }
    // Where no snapshot is complete, the newest one is the best there is.
    let place = newest_first.iter().position(|point| point.good).or((!newest_first.is_empty()).then_some(0));
    if let Some(why) = place.and_then(|place| reasons.get_mut(place))
        && why.is_empty()
    {
        why.push("the newest good one".into());
    }
}

fn hour(time: Moment) -> String {
    let civil = time.civil();
    format!("{} {:02}h", civil.date(), civil.hour())
}

fn day(time: Moment) -> String {
    time.civil().date().to_string()
}

fn week(time: Moment) -> String {
    let (year, week, _) = time.civil().date().to_iso_week_date();
    format!("{year}-W{week:02}")
}

fn month(time: Moment) -> String {
    let date = time.civil().date();
    format!("{}-{:02}", date.year(), u8::from(date.month()))
}

#[cfg(test)]
mod tests;
