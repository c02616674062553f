//! Borders of every alarm, and what must never raise one.

use super::*;
use crate::{retention::Point, tests::looks::empty};
use holdfast_model::{
    SnapshotId,
    snapshot::{BindSection, Fidelity, ImagePart, ImageSection, RawJson, VolumeSection},
};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn at(day: i64) -> Moment {
    Moment::from_millis(1_795_392_000_000).plus_seconds(day * 86_400)
}

fn stream(length: u64, entries: u64) -> StreamRef {
    StreamRef { length, entries, ..StreamRef::default() }
}

fn volume(name: &str, stream: Option<StreamRef>) -> VolumeSection {
    let inspect = RawJson("{}".into());
    VolumeSection { name: name.into(), anonymous: false, inspect, stream, fidelity: Fidelity::Full }
}

/// A snapshot with one volume.
fn sized(bytes: u64, entries: u64) -> Snapshot {
    let mut snapshot = empty(at(0));
    snapshot.volumes = vec![volume("data", Some(stream(bytes, entries)))];
    snapshot
}

/// A snapshot of so much data, of which so much was new.
fn changed(source: u64, new: u64) -> Snapshot {
    let mut snapshot = sized(source, 10);
    snapshot.stats.bytes_new = new;
    snapshot
}

fn image(hash: &str, bytes: u64) -> ImageSection {
    let part =
        ImagePart { path: "layer".into(), sha256: hash.into(), stream: stream(bytes, 0), diff_id: None, link: None };
    ImageSection {
        id: hash.into(),
        tags: Vec::new(),
        inspect: RawJson("{}".into()),
        diff_ids: Vec::new(),
        parts: vec![part],
        bytes,
    }
}

fn is_shrunk(taken: &Snapshot, before: &[Snapshot]) -> bool {
    let before: Vec<&Snapshot> = before.iter().collect();
    !shrunk(taken, &before).is_empty()
}

fn is_much(taken: &Snapshot, before: &[Snapshot]) -> bool {
    let before: Vec<&Snapshot> = before.iter().collect();
    much_changed(taken, &before).is_some()
}

/// So many snapshots of the same.
fn times(count: usize, snapshot: &Snapshot) -> Vec<Snapshot> {
    vec![snapshot.clone(); count]
}

#[test]
fn less_than_half_of_the_usual_is_told_and_half_of_it_is_not() {
    let usual = times(5, &sized(200 * MIB, 5000));
    assert!(!is_shrunk(&sized(100 * MIB, 5000), &usual), "half of the bytes");
    assert!(is_shrunk(&sized(100 * MIB - 1, 5000), &usual), "less than that");
    assert!(!is_shrunk(&sized(200 * MIB, 2500), &usual), "half of the entries");
    assert!(is_shrunk(&sized(200 * MIB, 2499), &usual), "fewer than that");
    assert!(is_shrunk(&sized(0, 0), &usual));
    let odd = times(5, &sized(64 * MIB + 1, 1));
    assert!(is_shrunk(&sized(32 * MIB, 1), &odd) && !is_shrunk(&sized(32 * MIB + 1, 1), &odd));

    let before: Vec<&Snapshot> = usual.iter().collect();
    let problems = shrunk(&sized(10 * MIB, 50), &before);
    assert_eq!((problems[0].code.as_str(), problems[0].subject.as_str()), (SHRUNK, "volume data"));
    assert!(
        problems[0].message.contains("10.5 MB in 50 entries now, usually 209.7 MB in 5000 entries"),
        "{problems:?}"
    );
    assert!(problems[0].advice.is_some());
}

#[test]
fn what_was_small_before_may_come_and_go() {
    assert!(!is_shrunk(&sized(0, 0), &times(5, &sized(64 * MIB - 1, 999))));
    assert!(is_shrunk(&sized(0, 0), &times(5, &sized(64 * MIB, 999))), "by bytes");
    assert!(is_shrunk(&sized(0, 0), &times(5, &sized(64 * MIB - 1, 1000))), "by entries");
}

#[test]
fn the_middle_of_the_last_five_is_what_is_usual() {
    let large = sized(500 * MIB, 1);
    let small = sized(10 * MIB, 1);
    let one_off = [times(2, &large), times(1, &small), times(2, &large)].concat();
    assert!(is_shrunk(&small, &one_off), "one odd snapshot does not hide it");
    let grown_once = [times(4, &small), times(1, &large)].concat();
    assert!(!is_shrunk(&small, &grown_once), "nor does one raise it");
    let for_long = [times(10, &large), times(3, &small)].concat();
    assert!(!is_shrunk(&small, &for_long), "what stays small is the usual");
    let lately = [times(10, &large), times(2, &small)].concat();
    assert!(is_shrunk(&small, &lately), "until then it is told");
}

#[test]
fn of_a_new_app_or_volume_nothing_is_usual_yet() {
    let large = sized(500 * MIB, 5000);
    for count in 0..SIZES_LEAST {
        assert!(!is_shrunk(&sized(0, 0), &times(count, &large)), "{count}");
    }
    assert!(is_shrunk(&sized(0, 0), &times(SIZES_LEAST, &large)));
    let mut other = large.clone();
    other.volumes[0].name = "other".into();
    assert!(!is_shrunk(&sized(0, 0), &times(5, &other)), "another volume says nothing of this one");
}

#[test]
fn a_volume_that_was_taken_away_or_not_captured_has_not_shrunk() {
    let usual = times(5, &sized(500 * MIB, 5000));
    assert!(!is_shrunk(&empty(at(0)), &usual), "it is not in the app any more");
    let mut missing = sized(0, 0);
    missing.volumes[0].stream = None;
    assert!(!is_shrunk(&missing, &usual), "that is told by its own problem");
    let gaps: Vec<Snapshot> = (0..10).map(|n| if n % 2 == 0 { missing.clone() } else { usual[0].clone() }).collect();
    assert!(is_shrunk(&sized(0, 0), &gaps), "those that have it count");
}

#[test]
fn host_paths_shrink_too_and_each_part_is_told() {
    let both = |bytes: u64| {
        let mut snapshot = sized(bytes, 1);
        snapshot.binds = vec![BindSection {
            source: "/srv".into(),
            directory: true,
            stream: Some(stream(bytes, 1)),
            fidelity: Fidelity::Full,
        }];
        snapshot
    };
    let usual = times(5, &both(500 * MIB));
    let before: Vec<&Snapshot> = usual.iter().collect();
    let subjects: Vec<String> = shrunk(&both(MIB), &before).into_iter().map(|problem| problem.subject).collect();
    assert_eq!(subjects, ["volume data", "host path /srv"]);
}

#[test]
fn ten_times_the_usual_change_is_told_where_it_is_much_at_all() {
    // 1 % as a rule; the first snapshot was new as a whole.
    let usual = [times(1, &changed(20 * GIB, 20 * GIB)), times(6, &changed(20 * GIB, 20 * GIB / 100))].concat();
    assert!(is_much(&changed(20 * GIB, 5 * GIB), &usual));
    assert!(!is_much(&changed(20 * GIB, 4 * GIB), &usual), "a fifth is not more than a fifth");
    assert!(is_much(&changed(20 * GIB, 4 * GIB + GIB / 100), &usual), "more than a fifth");
    let busy = [times(1, &changed(20 * GIB, 0)), times(6, &changed(20 * GIB, GIB))].concat();
    assert!(!is_much(&changed(20 * GIB, 10 * GIB), &busy), "ten times of 5 %");
    assert!(is_much(&changed(20 * GIB, 10 * GIB + GIB / 100), &busy), "more than that");
    let small = [times(1, &changed(GIB, 0)), times(6, &changed(GIB, 0))].concat();
    assert!(!is_much(&changed(GIB, GIB), &small), "a GiB is not much");
    assert!(is_much(&changed(2 * GIB, GIB + 1), &small), "where nothing changes, anything above it is");

    let before: Vec<&Snapshot> = usual.iter().collect();
    let problem = much_changed(&changed(20 * GIB, 5 * GIB), &before).unwrap();
    assert_eq!((problem.code.as_str(), problem.subject.as_str()), (MUCH_CHANGED, "local/shop"));
    assert!(problem.message.ends_with("5.4 GB were stored anew of 21.5 GB of data, 0.9 % as a rule"), "{problem:?}");
    assert!(problem.advice.unwrap().contains("not measured"), "nothing is claimed that is not known");
}

#[test]
fn of_few_snapshots_no_change_is_unusual() {
    let calm = changed(20 * GIB, 0);
    for count in 0..=CHANGES_LEAST {
        assert!(!is_much(&changed(20 * GIB, 20 * GIB), &times(count, &calm)), "{count}");
    }
    assert!(is_much(&changed(20 * GIB, 20 * GIB), &times(CHANGES_LEAST + 1, &calm)));
}

#[test]
fn only_the_last_ten_tell_what_usually_changes() {
    let (calm, busy) = (changed(20 * GIB, 0), changed(20 * GIB, 10 * GIB));
    assert!(is_much(&busy, &[times(50, &busy), times(10, &calm)].concat()));
    assert!(!is_much(&busy, &[times(50, &calm), times(10, &busy)].concat()));
    assert!(is_much(&busy, &[times(20, &calm), times(3, &busy)].concat()), "some odd ones do not hide it");
}

#[test]
fn a_new_image_is_no_change_of_data() {
    let with = |hash: &str, new: u64| {
        let mut snapshot = changed(10 * GIB, new);
        snapshot.images = vec![image(hash, 6 * GIB)];
        snapshot
    };
    let usual = times(7, &with("old", 0));
    assert!(!is_much(&with("new", 6 * GIB), &usual), "the image was updated");
    assert!(is_much(&with("old", 6 * GIB), &usual), "the image is the same, so that was data");
    assert!(is_much(&with("new", 9 * GIB), &usual), "more than the image");
}

fn alarm(day: i64, app: &str, subject: &str, words: &str) -> Alarm {
    Alarm { at: at(day), app: app.into(), problem: Problem::warning(SHRUNK, subject, words) }
}

#[test]
fn an_alarm_is_shown_for_a_week_and_once() {
    let first = merged(Vec::new(), vec![alarm(0, "local/a", "volume data", "first")], at(0));
    let again = merged(first.clone(), vec![alarm(3, "local/a", "volume data", "again")], at(3));
    assert_eq!(again.iter().map(|one| one.problem.message.as_str()).collect::<Vec<_>>(), ["again"]);
    let more = merged(again, vec![alarm(3, "local/b", "volume data", "other app")], at(3));
    assert_eq!(more.len(), 2);
    assert!(is_shown(&more[0], at(10).plus_seconds(-1)) && !is_shown(&more[0], at(10)));
    assert_eq!(merged(more, vec![alarm(10, "local/c", "x", "late")], at(10)).len(), 1, "old ones go");
    let flood: Vec<Alarm> = (0..300).map(|n| alarm(0, "local/a", &format!("volume {n}"), "w")).collect();
    let kept = merged(Vec::new(), flood, at(0));
    assert_eq!((kept.len(), kept[SHOWN_MAX - 1].problem.subject.as_str()), (SHOWN_MAX, "volume 299"));
}

#[test]
fn an_alarm_says_of_which_app_and_when() {
    let of_part = told(alarm(0, "local/a", "volume data", "it has shrunk"), at(2));
    assert_eq!(
        (of_part.subject.as_str(), of_part.message.as_str()),
        ("local/a: volume data", "it has shrunk (2 d ago)")
    );
    assert_eq!(told(alarm(0, "local/a", "local/a", "w"), at(1)).subject, "local/a");
}

#[test]
fn forgetting_in_numbers_is_told_and_tidying_up_is_not() {
    for (gone, left) in [(1, 0), (2, 0), (3, 3), (5, 100), (10, 10)] {
        assert_eq!(mass_forgotten("local/a", gone, left), None, "{gone} of {}", gone + left);
    }
    for (gone, left) in [(3, 2), (3, 0), (6, 5), (11, 1000)] {
        let problem = mass_forgotten("local/a", gone, left).unwrap();
        assert_eq!((problem.code.as_str(), problem.subject.as_str()), (FORGOTTEN, "local/a"));
        assert!(problem.message.contains(&format!("{gone} snapshots")) && problem.advice.is_some(), "{problem:?}");
    }
}

fn verdict(number: i64, keep: bool) -> Verdict {
    let id = SnapshotId::new(at(number), [u8::try_from(number).unwrap(); 10]);
    let point = Point { id, time: at(number), sequence: 1, good: true, safety: false, places: false };
    Verdict { point, keep, reason: String::new() }
}

#[test]
fn a_policy_that_lets_most_go_is_told() {
    let verdicts = |kept: std::ops::Range<i64>| (0..10).map(|n| verdict(n, kept.contains(&n))).collect::<Vec<_>>();
    assert_eq!(cut("local/a", &verdicts(0..10), &verdicts(5..10)), None, "half of them");
    let problem = cut("local/a", &verdicts(0..10), &verdicts(6..10)).unwrap();
    assert!(problem.code == FORGOTTEN && problem.message.contains("6 of 10 snapshots"), "{problem:?}");
    assert_eq!(cut("local/a", &verdicts(6..10), &verdicts(6..10)), None, "what was due before is no news");
    assert_eq!(cut("local/a", &verdicts(0..2), &verdicts(2..2)), None, "few are none");
    assert_eq!(cut("local/a", &[], &verdicts(0..0)), None, "nothing was kept before");
    assert_eq!(cut("local/a", &verdicts(0..4), &verdicts(0..10)), None, "more is kept");
}

#[test]
fn the_middle_is_found() {
    assert_eq!([median(vec![]), median(vec![7]), median(vec![9, 1]), median(vec![9, 1, 5])], [0, 7, 1, 5]);
    assert_eq!(
        [percent(0), percent(999), percent(1000), percent(200_000)],
        ["less than 0.1 %", "less than 0.1 %", "0.1 %", "20.0 %"]
    );
}
