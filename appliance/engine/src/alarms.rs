//! What looks like damage or malice although every backup succeeds: data that shrank, data that changed all at once, snapshots that go in
//! numbers. It is told, with what helps, and never stops anything.
//!
//! The judgement is pure and compares with the median of what went before, so that one odd backup neither raises an alarm later nor hides
//! one. Nothing is claimed that was not measured: that much was rewritten, not by what. Invariants: an app of which little is known yet
//! raises none; what raised an alarm stays on the first page for a week, whatever became of the snapshot.

use crate::{
    apps::{Facts, app_id},
    house::House,
    judging::verdicts,
    memory::Alarm,
    retention::Verdict,
    words::{ago, count, size},
};
use holdfast_capture::{bind_label, volume_label};
use holdfast_model::{
    Moment, Problem,
    snapshot::{Snapshot, StreamRef},
};
use holdfast_repository::Repository;
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

/// Codes of what snapshots bear.
const SHRUNK: &str = "snapshot.shrunk";
const MUCH_CHANGED: &str = "snapshot.much_changed";
/// Code of snapshots that go in numbers.
const FORGOTTEN: &str = "forget.mass";

/// What helps, if it was not meant.
const SHRUNK_ADVICE: &str = "If nobody removed that on purpose, look at what is gone (holdfast diff), and restore it before retention lets \
                             the snapshots go that have it.";
const MUCH_CHANGED_ADVICE: &str = "If nobody put in or rewrote so much on purpose, look at what changed (holdfast diff) before retention lets \
                                   older snapshots go. What did it was not measured: an import and a program that encrypts files look \
                                   alike here.";
const FORGOTTEN_ADVICE: &str = "If that was not meant, bring them back while they are there (holdfast snapshots --forgotten, holdfast \
                                unforget), and look who may log in here.";
const CUT_ADVICE: &str = "If that was not meant, change the policy back before the next prune (holdfast prune --dry-run shows what \
                          would go).";

/// Snapshots that tell how large a part of an app usually is, and how few of them tell nothing.
const SIZES: usize = 5;
const SIZES_LEAST: usize = 3;
/// What was smaller than both of these may come and go.
const BYTES_LEAST: u64 = 64 << 20;
const ENTRIES_LEAST: u64 = 1000;

/// Snapshots that tell how much of an app usually changes, and how few of them tell nothing.
const CHANGES: usize = 10;
const CHANGES_LEAST: usize = 5;
/// Less new data than this is no alarm, whatever it is beside the usual.
const NEW_LEAST: u64 = 1 << 30;
/// Nor is less than this share of all data of the app, in millionths.
const SHARE_LEAST: u128 = 200_000;
/// How many times the usual share it has to be.
const TIMES: u128 = 10;

/// So many snapshots of an app forgotten within a day are many, however many are left; and so few are none.
const FORGOTTEN_MANY: usize = 10;
const FORGOTTEN_LEAST: usize = 3;
const DAY_MS: i64 = 86_400_000;
/// How long an alarm stays on the first page, and how many at most.
const SHOWN_MS: i64 = 7 * DAY_MS;
const SHOWN_MAX: usize = 100;

/// What is told of a snapshot that is about to be committed, with the bytes that it added in its stats.
pub fn of_snapshot(repository: &Repository, taken: &Snapshot) -> Vec<Problem> {
    let of_app = |one: &Snapshot| (&one.host, &one.app) == (&taken.host, &taken.app) && !one.is_of_places();
    let before = repository.snapshots().into_iter().map(|entry| entry.snapshot);
    let before: Vec<Arc<Snapshot>> = before.filter(|one| of_app(one)).collect();
    let before: Vec<&Snapshot> = before.iter().map(Arc::as_ref).collect();
    shrunk(taken, &before).into_iter().chain(much_changed(taken, &before)).collect()
}

/// Keeps for the first page what a committed snapshot bears.
pub fn keep(house: &House, snapshot: &Snapshot) {
    let is_alarm = |problem: &&Problem| [SHRUNK, MUCH_CHANGED].contains(&problem.code.as_str());
    let problems = snapshot.problems.iter().filter(is_alarm).cloned();
    raise(house, &app_id(&snapshot.host, &snapshot.app), problems);
}

/// A snapshot of an app was forgotten by hand.
pub fn forgotten(house: &House, app: &str) {
    let (now, left) = (house.now(), Facts::gather(house).snapshots.get(app).map_or(0, Vec::len));
    let mut times = house.memory.forgotten(app);
    times.retain(|time| (0..DAY_MS).contains(&now.since(*time)));
    times.push(now);
    house.memory.put_forgotten(app, &times);
    raise(house, app, mass_forgotten(app, times.len(), left));
}

/// What policies keep may have changed since `before`.
pub fn decided(house: &House, before: &Facts) {
    let after = Facts::gather(house);
    for app in after.snapshots.keys() {
        raise(house, app, cut(app, &verdicts(before, app), &verdicts(&after, app)));
    }
}

fn raise(house: &House, app: &str, problems: impl IntoIterator<Item = Problem>) {
    let now = house.now();
    let fresh: Vec<Alarm> =
        problems.into_iter().map(|problem| Alarm { at: now, app: app.to_owned(), problem }).collect();
    if !fresh.is_empty() {
        house.memory.put_alarms(&merged(house.memory.alarms(), fresh, now));
        house.events.status();
    }
}

/// Old alarms with new ones: the same thing again is told once, with its newest words; what is over goes.
fn merged(old: Vec<Alarm>, fresh: Vec<Alarm>, now: Moment) -> Vec<Alarm> {
    let about = |one: &Alarm| (one.app.clone(), one.problem.code.clone(), one.problem.subject.clone());
    let again: BTreeSet<_> = fresh.iter().map(about).collect();
    let mut all: Vec<Alarm> =
        old.into_iter().filter(|one| is_shown(one, now) && !again.contains(&about(one))).collect();
    all.extend(fresh);
    drop(all.drain(..all.len().saturating_sub(SHOWN_MAX)));
    all
}

fn is_shown(alarm: &Alarm, now: Moment) -> bool {
    now.since(alarm.at) < SHOWN_MS
}

/// What is to be told on the first page, newest first.
pub fn problems(house: &House, now: Moment) -> Vec<Problem> {
    house.memory.alarms().into_iter().rev().filter(|alarm| is_shown(alarm, now)).map(|alarm| told(alarm, now)).collect()
}

fn told(Alarm { at, app, mut problem }: Alarm, now: Moment) -> Problem {
    problem.message = format!("{} ({} ago)", problem.message, ago(at, now));
    problem.subject = match problem.subject == app {
        true => app,
        false => format!("{app}: {}", problem.subject),
    };
    problem
}

/// Volumes and host paths that are less than half of what they usually are. Pure.
fn shrunk(taken: &Snapshot, before: &[&Snapshot]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (label, stream) in sections(taken) {
        let usual: Vec<&StreamRef> = before
            .iter()
            .rev()
            .filter_map(|one| sections(one).find(|(other, _)| *other == label).map(|(_, stream)| stream))
            .take(SIZES)
            .collect();
        if usual.len() < SIZES_LEAST {
            continue;
        }
        let bytes = median(usual.iter().map(|one| one.length).collect());
        let entries = median(usual.iter().map(|one| one.entries).collect());
        let fewer_bytes = bytes >= BYTES_LEAST && stream.length < bytes.div_ceil(2);
        let fewer_entries = entries >= ENTRIES_LEAST && stream.entries < entries.div_ceil(2);
        if fewer_bytes || fewer_entries {
            let words = format!(
                "it has shrunk: {} in {} now, usually {} in {}",
                size(stream.length),
                entries_of(stream.entries),
                size(bytes),
                entries_of(entries),
            );
            problems.push(Problem::warning(SHRUNK, label, words).advice(SHRUNK_ADVICE));
        }
    }
    problems
}

/// Volumes and host paths with content.
fn sections(snapshot: &Snapshot) -> impl Iterator<Item = (String, &StreamRef)> {
    let volumes = snapshot.volumes.iter().filter_map(|one| Some((volume_label(&one.name), one.stream.as_ref()?)));
    let binds = snapshot.binds.iter().filter_map(|one| Some((bind_label(&one.source), one.stream.as_ref()?)));
    volumes.chain(binds)
}

/// That far more is new than usual. Pure.
fn much_changed(taken: &Snapshot, before: &[&Snapshot]) -> Option<Problem> {
    let now = Change::of(taken, before.last().copied());
    let pairs = before.iter().enumerate().rev().take(CHANGES);
    // The first snapshot of an app is new as a whole: that says nothing of what changes.
    let usual: Vec<u64> = pairs
        .filter(|(place, _)| *place > 0)
        .map(|(place, one)| Change::of(one, Some(before[place - 1])).share())
        .collect();
    if usual.len() < CHANGES_LEAST {
        return None;
    }
    let usual = median(usual);
    let share = u128::from(now.share());
    if now.new <= NEW_LEAST || share <= SHARE_LEAST || share <= TIMES * u128::from(usual) {
        return None;
    }
    let words = format!(
        "much more changed than usual: {} were stored anew of {} of data, {} as a rule",
        size(now.new),
        size(now.source),
        percent(usual),
    );
    let subject = app_id(&taken.host, &taken.app);
    Some(Problem::warning(MUCH_CHANGED, subject, words).advice(MUCH_CHANGED_ADVICE))
}

/// How much of an app was new in a snapshot.
struct Change {
    /// Sealed bytes, without images that the one before did not have.
    new: u64,
    /// Bytes of its data, images left out.
    source: u64,
}

impl Change {
    fn of(snapshot: &Snapshot, before: Option<&Snapshot>) -> Change {
        let had: HashSet<&str> = before.iter().flat_map(|one| image_parts(one)).map(|(hash, _)| hash).collect();
        let images = image_parts(snapshot).map(|(_, length)| length).fold(0, u64::saturating_add);
        let fresh = image_parts(snapshot).filter(|(hash, _)| !had.contains(hash));
        // They were stored smaller than they are; to count them in full rather hides an alarm than raises one.
        let fresh = fresh.map(|(_, length)| length).fold(0, u64::saturating_add);
        let all = snapshot.streams().map(|stream| stream.length).fold(0, u64::saturating_add);
        Change { new: snapshot.stats.bytes_new.saturating_sub(fresh), source: all.saturating_sub(images) }
    }

    /// Millionths of the data.
    fn share(&self) -> u64 {
        let share = u128::from(self.new) * 1_000_000 / u128::from(self.source.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

fn image_parts(snapshot: &Snapshot) -> impl Iterator<Item = (&str, u64)> {
    snapshot.images.iter().flat_map(|image| &image.parts).map(|part| (part.sha256.as_str(), part.stream.length))
}

/// That many of an app's snapshots were forgotten by hand within a day. Pure.
fn mass_forgotten(app: &str, forgotten: usize, left: usize) -> Option<Problem> {
    let is_most = forgotten >= FORGOTTEN_LEAST && forgotten > left;
    if forgotten <= FORGOTTEN_MANY && !is_most {
        return None;
    }
    let many = count(forgotten as u64, "snapshot");
    let words = format!("{many} of {app} were forgotten by hand within a day; {left} are left");
    Some(Problem::warning(FORGOTTEN, app, words).advice(FORGOTTEN_ADVICE))
}

/// That a decision lets most of what was kept go. Pure.
fn cut(app: &str, before: &[Verdict], after: &[Verdict]) -> Option<Problem> {
    let kept: HashSet<_> = before.iter().filter(|one| one.keep).map(|one| &one.point.id).collect();
    let lost = after.iter().filter(|one| !one.keep && kept.contains(&one.point.id)).count();
    if lost < FORGOTTEN_LEAST || lost * 2 <= kept.len() {
        return None;
    }
    let words = format!("a changed policy lets {lost} of {} of {app} go", count(kept.len() as u64, "snapshot"));
    Some(Problem::warning(FORGOTTEN, app, words).advice(CUT_ADVICE))
}

/// The one in the middle; of an even number the smaller of the two.
fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

fn entries_of(entries: u64) -> String {
    if entries == 1 { "1 entry".into() } else { format!("{entries} entries") }
}

/// Millionths as people read them.
fn percent(millionths: u64) -> String {
    match millionths {
        0..1000 => "less than 0.1 %".into(),
        _ => format!("{}.{} %", millionths / 10_000, millionths / 1000 % 10),
    }
}

#[cfg(test)]
mod tests;
