//! The rules as a table, and their laws as properties.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn point(time: &str) -> Point {
    let time = Moment::parse(time).unwrap();
    Point { id: SnapshotId::new(time, [7; 10]), time, good: true }
}

fn kept(points: &[Point], rules: &Retention) -> Vec<(String, String)> {
    let verdicts = judge(points, rules);
    verdicts.into_iter().filter(|v| v.keep).map(|v| (v.point.time.to_string(), v.reason)).collect()
}

fn times(kept: &[(String, String)]) -> Vec<&str> {
    kept.iter().map(|(time, _)| time.as_str()).collect()
}

#[test]
fn each_rule_keeps_what_its_name_says() {
    let points: Vec<Point> = [
        "2026-10-31T23:50:00Z", // newest of October
        "2026-11-01T10:00:00Z", // Sunday, ISO week 44
        "2026-11-22T08:00:00Z", // Sunday, ISO week 47
        "2026-11-22T08:40:00Z",
        "2026-11-23T07:10:00Z", // Monday, ISO week 48
        "2026-11-23T07:50:00Z",
        "2026-11-23T08:05:00Z",
    ]
    .iter()
    .map(|time| point(time))
    .collect();
    let table: Vec<(Retention, Vec<usize>)> = vec![
        (Retention { last: 2, ..Default::default() }, vec![5, 6]),
        (Retention { hourly: 3, ..Default::default() }, vec![3, 5, 6]),
        (Retention { daily: 2, ..Default::default() }, vec![3, 6]),
        (Retention { weekly: 3, ..Default::default() }, vec![1, 3, 6]),
        (Retention { monthly: 2, ..Default::default() }, vec![0, 6]),
        (Retention { last: 1, daily: 2, monthly: 2, ..Default::default() }, vec![0, 3, 6]),
        (Retention { last: 100, ..Default::default() }, vec![0, 1, 2, 3, 4, 5, 6]),
        (Retention::default(), vec![0, 1, 2, 3, 4, 5, 6]),
    ];
    for (rules, places) in table {
        let expected: Vec<String> = places.iter().map(|place| points[*place].time.to_string()).collect();
        assert_eq!(times(&kept(&points, &rules)), expected, "{rules:?}");
    }
}

#[test]
fn reasons_name_every_rule() {
    let kept =
        kept(&[point("2026-11-23T08:05:00Z")], &Retention { last: 1, hourly: 1, daily: 1, weekly: 1, monthly: 1 });
    assert_eq!(kept[0].1, "last 1, hourly 2026-11-23 08h, daily 2026-11-23, weekly 2026-W48, monthly 2026-11");
}

#[test]
fn iso_weeks_do_not_break_at_new_year() {
    // 2027-01-01 is a Friday of ISO week 53 of 2026.
    let points = [point("2026-12-31T12:00:00Z"), point("2027-01-01T12:00:00Z")];
    let kept = kept(&points, &Retention { weekly: 5, ..Default::default() });
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].1, "weekly 2026-W53");
}

#[test]
fn the_only_good_snapshot_stays() {
    let mut points = vec![point("2026-01-01T00:00:00Z"), point("2026-11-22T00:00:00Z"), point("2026-11-23T00:00:00Z")];
    points[1].good = false;
    points[2].good = false;
    let kept = kept(&points, &Retention { last: 1, ..Default::default() });
    assert_eq!(times(&kept), ["2026-01-01T00:00:00Z", "2026-11-23T00:00:00Z"]);
    assert_eq!(kept[0].1, "the only good one");
}

#[test]
fn nothing_to_judge_is_fine() {
    assert!(judge(&[], &Retention { last: 1, ..Default::default() }).is_empty());
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    prop::collection::vec((0i64..40_000_000, any::<[u8; 10]>(), any::<bool>()), 1..60).prop_map(|rows| {
        let start = 1_760_000_000_000;
        rows.into_iter()
            .map(|(second, random, good)| {
                let time = Moment::from_millis(start + second * 1000);
                Point { id: SnapshotId::new(time, random), time, good }
            })
            .collect()
    })
}

fn rules() -> impl Strategy<Value = Retention> {
    (0u32..6, 0u32..6, 0u32..6, 0u32..6, 0u32..6).prop_map(|(last, hourly, daily, weekly, monthly)| Retention {
        last,
        hourly,
        daily,
        weekly,
        monthly,
    })
}

proptest! {
    #[test]
    fn laws_hold(points in points(), rules in rules()) {
        let verdicts = judge(&points, &rules);
        prop_assert_eq!(verdicts.len(), points.len());
        prop_assert!(verdicts.windows(2).all(|pair| pair[0].point.time <= pair[1].point.time));
        let kept = verdicts.iter().filter(|v| v.keep).count();
        prop_assert!(kept >= 1);
        // The newest is the newest of its own hour, day, week and month: any rule keeps it.
        prop_assert!(verdicts.last().unwrap().keep);
        if points.iter().any(|point| point.good) {
            prop_assert!(verdicts.iter().any(|v| v.keep && v.point.good));
        }
        let most = rules.last + rules.hourly + rules.daily + rules.weekly + rules.monthly;
        if most > 0 {
            prop_assert!(kept as u32 <= most + 1);
        }
    }

    #[test]
    fn forgetting_is_stable(points in points(), rules in rules()) {
        let first: Vec<Point> = judge(&points, &rules).into_iter().filter(|v| v.keep).map(|v| v.point).collect();
        let again: Vec<Point> = judge(&first, &rules).into_iter().filter(|v| v.keep).map(|v| v.point).collect();
        prop_assert_eq!(first, again);
    }

    #[test]
    fn a_larger_rule_never_forgets_more(points in points(), rules in rules()) {
        let larger = Retention { daily: rules.daily + 1, ..rules.clone() };
        prop_assume!(!rules.keeps_everything());
        let ids = |rules: &Retention| -> BTreeSet<SnapshotId> {
            judge(&points, rules).into_iter().filter(|v| v.keep && v.reason != "the only good one").map(|v| v.point.id).collect()
        };
        prop_assert!(ids(&rules).is_subset(&ids(&larger)));
    }
}
