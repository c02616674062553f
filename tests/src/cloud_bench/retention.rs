//! Which snapshots of one app a policy lets go, as the appliance's own rules do it for an app that nothing special happened to.

use holdfast_model::{Moment, SnapshotId, policy::Retention};
use std::collections::BTreeSet;

/// The hour, day, week or month that a moment lies in.
type Slot = fn(Moment) -> i64;

const HOUR_MS: i64 = 3_600_000;

/// Those that no number keeps; `taken` is oldest first.
pub(super) fn to_forget(taken: &[(SnapshotId, Moment)], keep: &Retention) -> Vec<SnapshotId> {
    if keep.keeps_everything() {
        return Vec::new();
    }
    let newest_first: Vec<&(SnapshotId, Moment)> = taken.iter().rev().collect();
    let mut kept: BTreeSet<&SnapshotId> = newest_first.iter().take(keep.last as usize).map(|(id, _)| id).collect();
    let rules: [(u32, Slot); 4] = [(keep.hourly, hour), (keep.daily, day), (keep.weekly, week), (keep.monthly, month)];
    for (count, period) in rules {
        let mut periods = BTreeSet::new();
        for (id, time) in &newest_first {
            let is_first = !periods.contains(&period(*time));
            if is_first && periods.len() < count as usize {
                periods.insert(period(*time));
                kept.insert(id);
            }
        }
    }
    taken.iter().map(|(id, _)| id).filter(|id| !kept.contains(id)).cloned().collect()
}

fn hour(time: Moment) -> i64 {
    time.millis().div_euclid(HOUR_MS)
}

fn day(time: Moment) -> i64 {
    hour(time).div_euclid(24)
}

/// Weeks begin on Monday; the first day of all was a Thursday.
fn week(time: Moment) -> i64 {
    (day(time) + 3).div_euclid(7)
}

fn month(time: Moment) -> i64 {
    let date = time.civil().date();
    i64::from(date.year()) * 12 + i64::from(u8::from(date.month()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::policy::Policy;

    #[test]
    fn a_month_of_hours_leaves_what_the_numbers_say() {
        let gold = Policy::starters().remove(0).keep;
        let start = Moment::parse("2027-01-01T00:30:00Z").unwrap();
        let at = |hour: i64| start.plus_seconds(hour * 3600);
        let taken: Vec<_> = (0..720).map(|hour| (SnapshotId::new(at(hour), [0; 10]), at(hour))).collect();
        let gone: BTreeSet<_> = to_forget(&taken, &gold).into_iter().collect();
        let kept: Vec<i64> =
            (0..720).filter(|hour| !gone.contains(&taken[usize::try_from(*hour).unwrap()].0)).collect();
        assert!((696..720).all(|hour| kept.contains(&hour)), "24 hours");
        let days: Vec<i64> = kept.iter().copied().filter(|hour| *hour < 696).collect();
        // Thirteen days before the last, and the Sundays before those: the 3rd and the 10th of January.
        assert_eq!(days.len(), 13 + 2, "{days:?}");
        assert!(days.iter().all(|hour| hour % 24 == 23), "the last hour of each: {days:?}");
        assert!(to_forget(&taken[..20], &gold).is_empty());
        assert!(to_forget(&taken, &Retention::default()).is_empty(), "no number is set");
    }
}
