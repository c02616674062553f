//! Which snapshots of one app stay and why. Pure: no clock, no repository.
//!
//! Invariants: a snapshot stays if any rule keeps it; no rule set keeps everything; a rule counts
//! only periods that have a snapshot, in UTC; the app's only good snapshot is never let go.

use holdfast_model::{Moment, SnapshotId, policy::Retention};
use std::collections::BTreeMap;

/// A snapshot as retention sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its id.
    pub id: SnapshotId,
    /// Start of its capture.
    pub time: Moment,
    /// Nothing that was asked for is missing from it.
    pub good: bool,
}

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

/// Judges the snapshots of one app. The answer is oldest first, one verdict per snapshot.
pub fn judge(points: &[Point], rules: &Retention) -> Vec<Verdict> {
    let mut newest_first = points.to_vec();
    newest_first.sort_by(|a, b| (b.time, &b.id).cmp(&(a.time, &a.id)));
    let mut reasons: Vec<Vec<String>> = vec![Vec::new(); newest_first.len()];
    if rules.keeps_everything() {
        reasons.iter_mut().for_each(|why| why.push("no rule is set, everything is kept".into()));
    } else {
        keep_last(&mut reasons, rules.last);
        keep_periods(&newest_first, &mut reasons, rules.hourly, "hourly", hour);
        keep_periods(&newest_first, &mut reasons, rules.daily, "daily", day);
        keep_periods(&newest_first, &mut reasons, rules.weekly, "weekly", week);
        keep_periods(&newest_first, &mut reasons, rules.monthly, "monthly", month);
        keep_only_good(&newest_first, &mut reasons);
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

fn keep_last(reasons: &mut [Vec<String>], count: u32) {
    for (place, why) in reasons.iter_mut().take(count as usize).enumerate() {
        why.push(format!("last {}", place + 1));
    }
}

fn keep_periods(
    newest_first: &[Point],
    reasons: &mut [Vec<String>],
    count: u32,
    rule: &str,
    period: fn(Moment) -> String,
) {
    let mut seen: BTreeMap<String, ()> = BTreeMap::new();
    for (point, why) in newest_first.iter().zip(reasons) {
        if seen.len() >= count as usize {
            break;
        }
        let name = period(point.time);
        if seen.insert(name.clone(), ()).is_none() {
            why.push(format!("{rule} {name}"));
        }
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
        why.push("the only good one".into());
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
