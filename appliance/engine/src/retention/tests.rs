//! The rules as a table, and their laws as properties.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// After every time of the tables.
const LATER: Moment = Moment::from_millis(4_000_000_000_000);

/// Committed in the order of its time.
fn point(time: &str) -> Point {
    let time = Moment::parse(time).unwrap();
    Point {
        id: SnapshotId::new(time, [7; 10]),
        time,
        sequence: time.seconds().unsigned_abs(),
        good: true,
        safety: false,
        places: false,
    }
}

fn kept(points: &[Point], rules: &Retention) -> Vec<(String, String)> {
    kept_at(points, rules, LATER)
}

fn kept_at(points: &[Point], rules: &Retention, now: Moment) -> Vec<(String, String)> {
    let verdicts = judge(points, rules, now);
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
    assert_eq!(kept[0].1, "the newest good one");
}

#[test]
fn nothing_to_judge_is_fine() {
    assert!(judge(&[], &Retention { last: 1, ..Default::default() }, LATER).is_empty());
}

#[test]
fn a_snapshot_of_a_wrong_clock_pushes_nothing_out() {
    let mut points = vec![
        point("2026-11-22T08:00:00Z"),
        point("2026-11-23T08:00:00Z"),
        point("2031-01-01T00:00:00Z"),
        point("2026-11-24T08:00:00Z"),
    ];
    // Taken third: the clock was five years ahead, and was put right afterwards.
    points.iter_mut().zip(1..).for_each(|(point, sequence)| point.sequence = sequence);
    let now = Moment::parse("2026-11-24T09:00:00Z").unwrap();
    let rules = Retention { last: 1, daily: 2, ..Default::default() };
    let kept = kept_at(&points, &rules, now);
    assert_eq!(times(&kept), ["2026-11-23T08:00:00Z", "2031-01-01T00:00:00Z", "2026-11-24T08:00:00Z"]);
    assert_eq!(kept[1].1, "its time has not come yet: a clock was wrong");
    assert_eq!(kept[2].1, "last 1, daily 2026-11-24");
}

#[test]
fn the_newest_stays_though_the_clock_went_back() {
    let mut points = vec![point("2026-11-23T08:00:00Z"), point("2026-11-24T08:00:00Z"), point("2026-11-01T00:00:00Z")];
    points[2].sequence = u64::MAX;
    let kept = kept(&points, &Retention { daily: 1, ..Default::default() });
    assert_eq!(times(&kept), ["2026-11-24T08:00:00Z", "2026-11-01T00:00:00Z"]);
    assert_eq!(kept[1].1, "the newest");
}

#[test]
fn of_equal_times_the_one_committed_later_stays() {
    let mut points = vec![point("2026-11-23T08:00:00Z"); 3];
    for (number, point) in points.iter_mut().enumerate() {
        *point =
            Point { sequence: number as u64, id: SnapshotId::new(point.time, [number as u8; 10]), ..point.clone() };
    }
    let verdicts = judge(&points, &Retention { hourly: 5, ..Default::default() }, LATER);
    assert_eq!(verdicts.iter().map(|verdict| verdict.keep).collect::<Vec<_>>(), [false, false, true]);
}

/// Three years of hourly snapshots, judged every day, with a clock that is set and with failures in between.
#[test]
fn years_of_hourly_snapshots() {
    let rules = Retention { last: 4, hourly: 24, daily: 14, weekly: 8, monthly: 12 };
    let start = Moment::parse("2026-01-01T00:30:00Z").unwrap();
    let mut points: Vec<Point> = Vec::new();
    let mut skew = 0;
    for hour in 0..3 * 365 * 24i64 {
        // A leap of a week ahead for a day, a day of a clock behind, later a summer-time mistake of an hour.
        skew = match hour {
            5_000..5_024 => 7 * 86_400,
            9_000..9_024 => -2 * 86_400,
            14_000..18_000 => 3600,
            _ => 0,
        };
        let now = start.plus_seconds(hour * 3600 + skew);
        let random: [u8; 10] = std::array::from_fn(|at| (hour >> (8 * (at % 4))) as u8);
        let good = hour % 50 != 7;
        points.push(Point {
            id: SnapshotId::new(now, random),
            time: now,
            sequence: hour as u64 + 1,
            good,
            safety: false,
            places: false,
        });
        if hour % 24 != 23 {
            continue;
        }
        let before = points.clone();
        let newest = before.last().cloned().unwrap();
        let newest_good = before.iter().rev().find(|point| point.good).cloned().unwrap();
        let verdicts = judge(&points, &rules, now);
        points = verdicts.iter().filter(|verdict| verdict.keep).map(|verdict| verdict.point.clone()).collect();
        assert!(points.contains(&newest), "hour {hour}");
        assert!(points.iter().any(|point| point.good && point.sequence >= newest_good.sequence.saturating_sub(24)));
        assert!(points.len() <= 4 + 24 + 14 + 8 + 12 + 24 + 1, "hour {hour}: {}", points.len());
        let days = |points: &[Point]| {
            let past = points.iter().filter(|point| point.time <= now);
            past.map(|point| day(point.time)).collect::<BTreeSet<_>>().into_iter().rev().take(14).collect::<Vec<_>>()
        };
        assert_eq!(days(&points), days(&before), "hour {hour}: a day of the last 14 was lost");
    }
    assert_eq!(skew, 0);
    let months: BTreeSet<String> = points.iter().map(|point| month(point.time)).collect();
    assert_eq!(months.len(), 12);
}

/// The rules once more, as slowly and plainly as the header has them.
fn stays(points: &[Point], rules: &Retention, now: Moment, of: &Point) -> bool {
    if rules.keeps_everything() {
        return true;
    }
    let committed_later = |a: &Point, b: &Point| (a.sequence, &a.id) > (b.sequence, &b.id);
    let last = points.iter().filter(|other| committed_later(other, of)).count() < rules.last as usize;
    let period = |count: u32, name: fn(Moment) -> String| {
        let judged: Vec<&Point> = points.iter().filter(|other| other.time <= now).collect();
        let later = |a: &Point, b: &Point| (a.time, a.sequence, &a.id) > (b.time, b.sequence, &b.id);
        let latest_of_its_own = !judged.iter().any(|other| name(other.time) == name(of.time) && later(other, of));
        let ahead: BTreeSet<String> =
            judged.iter().filter(|other| other.time > of.time).map(|other| name(other.time)).collect();
        let ahead = ahead.iter().filter(|other| **other != name(of.time)).count();
        of.time <= now && latest_of_its_own && ahead < count as usize
    };
    let newest = !points.iter().any(|other| committed_later(other, of));
    last || period(rules.hourly, hour)
        || period(rules.daily, day)
        || period(rules.weekly, week)
        || period(rules.monthly, month)
        || of.time > now
        || newest
}

fn reference(points: &[Point], rules: &Retention, now: Moment) -> BTreeSet<SnapshotId> {
    let mut staying: Vec<&Point> = points.iter().filter(|point| stays(points, rules, now, point)).collect();
    if !staying.iter().any(|point| point.good) {
        staying.extend(points.iter().filter(|point| point.good).max_by_key(|point| (point.sequence, &point.id)));
    }
    staying.extend(points.iter().filter(|point| point.safety && now.since(point.time) < 14 * 86_400_000));
    staying.into_iter().map(|point| point.id.clone()).collect()
}

/// Times within a few days or years, in any order, some equal, some in the future.
fn points() -> impl Strategy<Value = Vec<Point>> {
    let second = prop_oneof![0i64..40_000_000, 0i64..200_000, Just(86_399), Just(86_400)];
    prop::collection::vec((second, any::<[u8; 10]>(), any::<bool>(), 0u64..1_000), 1..60).prop_map(|rows| {
        let start = 1_760_000_000_000;
        rows.into_iter()
            .map(|(second, random, good, sequence)| {
                let time = Moment::from_millis(start + second * 1000);
                Point {
                    id: SnapshotId::new(time, random),
                    time,
                    sequence,
                    good,
                    safety: random[0] % 5 == 0,
                    places: false,
                }
            })
            .collect()
    })
}

fn moments() -> impl Strategy<Value = Moment> {
    prop_oneof![
        Just(LATER),
        (0i64..40_000_000).prop_map(|second| Moment::from_millis(1_760_000_000_000 + second * 1000))
    ]
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

fn ids(points: &[Point], rules: &Retention, now: Moment) -> BTreeSet<SnapshotId> {
    judge(points, rules, now).into_iter().filter(|v| v.keep).map(|v| v.point.id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_rules_are_what_the_header_says(points in points(), rules in rules(), now in moments()) {
        prop_assert_eq!(ids(&points, &rules, now), reference(&points, &rules, now));
    }

    #[test]
    fn laws_hold(points in points(), rules in rules(), now in moments()) {
        let verdicts = judge(&points, &rules, now);
        prop_assert_eq!(verdicts.len(), points.len());
        prop_assert!(verdicts.windows(2).all(|pair| pair[0].point.sequence <= pair[1].point.sequence));
        prop_assert!(verdicts.iter().all(|verdict| !verdict.reason.is_empty()));
        prop_assert!(verdicts.last().unwrap().keep, "the newest stays");
        if points.iter().any(|point| point.good) {
            prop_assert!(verdicts.iter().any(|v| v.keep && v.point.good));
        }
        let by_number = |v: &&Verdict| v.keep && v.point.time <= now && !v.reason.starts_with("taken before a restore");
        let kept = verdicts.iter().filter(by_number).count() as u32;
        let most = rules.last + rules.hourly + rules.daily + rules.weekly + rules.monthly;
        prop_assert!(most == 0 || kept <= most + 2);
    }

    #[test]
    fn forgetting_is_stable(points in points(), rules in rules(), now in moments()) {
        let first: Vec<Point> = judge(&points, &rules, now).into_iter().filter(|v| v.keep).map(|v| v.point).collect();
        let again: Vec<Point> = judge(&first, &rules, now).into_iter().filter(|v| v.keep).map(|v| v.point).collect();
        prop_assert_eq!(first, again);
    }

    #[test]
    fn a_larger_rule_never_forgets_more(points in points(), rules in rules(), now in moments()) {
        let larger = Retention { daily: rules.daily + 1, ..rules.clone() };
        prop_assume!(!rules.keeps_everything());
        let kept = |rules: &Retention| -> BTreeSet<SnapshotId> {
            let verdicts = judge(&points, rules, now).into_iter();
            verdicts.filter(|v| v.keep && v.reason != "the newest good one").map(|v| v.point.id).collect()
        };
        prop_assert!(kept(&rules).is_subset(&kept(&larger)));
    }
}

#[test]
fn what_a_restore_replaced_can_be_had_back_for_two_weeks() {
    let safety = Point { safety: true, ..point("2026-11-01T08:00:00Z") };
    let points = [safety, point("2026-11-02T08:00:00Z"), point("2026-11-03T08:00:00Z")];
    let rules = Retention { last: 1, ..Retention::default() };
    let at = |time: &str| kept_at(&points, &rules, Moment::parse(time).unwrap());
    let early = at("2026-11-15T07:59:59Z");
    assert_eq!(times(&early), ["2026-11-01T08:00:00Z", "2026-11-03T08:00:00Z"]);
    assert!(early[0].1.contains("before a restore in place"), "{early:?}");
    assert_eq!(times(&at("2026-11-15T08:00:00Z")), ["2026-11-03T08:00:00Z"]);
}

#[test]
fn places_that_were_saved_without_their_app_push_no_restore_point_out() {
    let places = |time: &str| Point { safety: true, places: true, good: false, ..point(time) };
    let app = [point("2026-11-01T08:00:00Z"), point("2026-11-02T08:00:00Z")];
    let points = [&app[..], &[places("2026-11-03T08:00:00Z"), places("2026-11-03T09:00:00Z")]].concat();
    for rules in [Retention { last: 1, ..Default::default() }, Retention { daily: 1, ..Default::default() }] {
        let at = |time: &str| kept_at(&points, &rules, Moment::parse(time).unwrap());
        let early = at("2026-11-03T10:00:00Z");
        assert_eq!(
            times(&early),
            ["2026-11-02T08:00:00Z", "2026-11-03T08:00:00Z", "2026-11-03T09:00:00Z"],
            "the app's newest stays beside them: {rules:?}"
        );
        assert!(early[1].1.contains("before a restore in place"), "{early:?}");
        assert_eq!(
            times(&at("2026-11-17T09:00:00Z")),
            ["2026-11-02T08:00:00Z"],
            "and they go after two weeks: {rules:?}"
        );
    }
    assert_eq!(kept(&points, &Retention::default()).len(), 4, "without a rule everything stays");
    let alone = [places("2026-11-03T08:00:00Z"), places("2026-11-03T09:00:00Z")];
    assert_eq!(times(&kept(&alone, &Retention { last: 1, ..Default::default() })), ["2026-11-03T09:00:00Z"]);
}
