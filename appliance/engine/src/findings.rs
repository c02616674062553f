//! What checks found, until it is healed or refuted.
//!
//! A check that reads a share of the data says nothing of the rest, so its report alone must not clear what an earlier one found.
//! Invariants: a finding goes only when a check healed it, looked at the same thing and found it good, or the snapshot is gone;
//! what is told is bounded.

use crate::{
    house::House,
    memory::Finding,
    words::{ago, count},
};
use holdfast_model::{Moment, Problem, Severity, view::CheckView};

/// Findings kept and told: more of them are one disaster, not many.
const KEPT_MAX: usize = 200;
const TOLD_MAX: usize = 10;
/// What only reading the data itself can find, and refute.
const OF_DATA: [&str; 2] = ["pack.corrupt", "object.unsteady"];
/// Follows from the others.
const OF_SNAPSHOTS: &str = "snapshot.damaged";
/// How a report begins to say that the bucket took no part.
const UNCHECKED: &str = "the bucket was not checked";
/// What helps where a finding does not say it itself.
const ADVICE: &str = "Run holdfast check; the Storage page shows what it finds.";

/// A check that came to its end.
pub struct Ended<'a> {
    /// What it found.
    pub report: &'a CheckView,
    /// The share of all bytes that it read.
    pub percent: u8,
    /// When.
    pub now: Moment,
    /// There is a bucket, and it was not looked at.
    pub blind: bool,
}

/// Takes in what a check found.
pub fn learn(house: &House, report: &CheckView, percent: u8) {
    let away = house.settings().bucket.is_some() && !house.repository().has_bucket();
    let blind = away || report.problems.iter().any(is_absence);
    let ended = Ended { report, percent, now: house.now(), blind };
    let is_there = |id: &str| house.repository().snapshot(id).is_ok();
    house.memory.put_findings(&settle(&house.memory.findings(), &ended, is_there));
}

/// Whether it says that the bucket took no part: nothing of what is stored there, and told by the bucket's own state.
fn is_absence(problem: &Problem) -> bool {
    problem.message.starts_with(UNCHECKED)
}

/// What is found now: what this check found, and of what was found before what it could not refute. Pure.
pub fn settle(before: &[Finding], ended: &Ended<'_>, is_there: impl Fn(&str) -> bool) -> Vec<Finding> {
    let is_fresh = |problem: &&Problem| problem.severity > Severity::Note && !is_absence(problem);
    let fresh = ended.report.problems.iter().filter(is_fresh);
    let mut now: Vec<Finding> = Vec::new();
    for problem in fresh {
        let old = before.iter().find(|old| is_same(&old.problem, problem));
        let found = old.map_or(ended.now, |old| old.found);
        now.push(Finding { problem: problem.clone(), found });
    }
    let unseen = |old: &&Finding| !now.iter().any(|new| is_same(&new.problem, &old.problem));
    let open: Vec<Finding> = before.iter().filter(unseen).filter(|old| is_open(old, ended)).cloned().collect();
    let data_is_open = open.iter().chain(&now).any(|one| OF_DATA.contains(&one.problem.code.as_str()));
    let lasts = |old: &Finding| {
        let is_of_snapshot = old.problem.code == OF_SNAPSHOTS;
        !is_of_snapshot || (is_there(&old.problem.subject) && (data_is_open || ended.blind))
    };
    now.extend(open.into_iter().filter(lasts));
    now.sort_by_key(|one| (std::cmp::Reverse(one.problem.severity), one.found));
    now.truncate(KEPT_MAX);
    now
}

fn is_same(left: &Problem, right: &Problem) -> bool {
    left.code == right.code && left.subject == right.subject
}

/// Whether a check that does not speak of a finding leaves it as it was.
fn is_open(old: &Finding, ended: &Ended<'_>) -> bool {
    let report = ended.report;
    if report.problems.iter().any(|note| note.severity == Severity::Note && note.subject == old.problem.subject) {
        // Healed.
        return false;
    }
    if ended.blind {
        return true;
    }
    let is_of_data = OF_DATA.contains(&old.problem.code.as_str()) || old.problem.code == OF_SNAPSHOTS;
    // Names, sizes, keys and all that is small are looked at by every check.
    let all_read_since =
        report.unverified_packs == 0 && report.oldest_verified.is_some_and(|oldest| oldest > old.found);
    is_of_data && ended.percent < 100 && !all_read_since
}

/// What is to be told of it, worst first.
pub fn problems(house: &House, now: Moment) -> Vec<Problem> {
    tell(house.memory.findings(), now)
}

fn tell(findings: Vec<Finding>, now: Moment) -> Vec<Problem> {
    let more = findings.len().saturating_sub(TOLD_MAX) as u64;
    let mut told: Vec<Problem> = findings.into_iter().take(TOLD_MAX).map(|one| told_since(one, now)).collect();
    if more > 0 {
        let words = format!("{} more were found by checks and are not healed", count(more, "problem"));
        told.push(Problem::warning("check.more", "repository", words).advice(ADVICE));
    }
    told
}

fn told_since(Finding { mut problem, found }: Finding, now: Moment) -> Problem {
    problem.message = format!("{} (found by a check {} ago)", problem.message, ago(found, now));
    if problem.advice.is_some() { problem } else { problem.advice(ADVICE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Moment {
        Moment::from_millis(1_795_000_000_000).plus_seconds(day * 86_400)
    }

    fn pack() -> Problem {
        Problem::error("pack.corrupt", "p/ab/abcd", "a pack is damaged and no tier has a good copy")
    }

    fn damaged() -> Problem {
        Problem::error(OF_SNAPSHOTS, "01ab", "snapshot 01ab cannot be restored completely")
    }

    fn report(problems: Vec<Problem>) -> CheckView {
        CheckView { problems, unverified_packs: 3, oldest_verified: Some(at(0)), ..CheckView::default() }
    }

    fn codes(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|one| one.problem.code.as_str()).collect()
    }

    fn after(before: &[Finding], report: &CheckView, percent: u8, day: i64) -> Vec<Finding> {
        let ended = Ended { report, percent, now: at(day), blind: false };
        settle(before, &ended, |_| true)
    }

    #[test]
    fn a_finding_keeps_its_day_and_notes_are_none() {
        let note = Problem::note("pack.corrupt", "p/cd/cdef", "healed");
        let first = after(&[], &report(vec![pack(), note]), 4, 1);
        assert_eq!((codes(&first), first[0].found), (vec!["pack.corrupt"], at(1)));
        let second = after(&first, &report(vec![pack()]), 4, 2);
        assert_eq!((second.len(), second[0].found), (1, at(1)), "the same, not another one");
    }

    #[test]
    fn a_check_that_read_other_data_refutes_nothing_that_was_read() {
        let found = after(&[], &report(vec![pack(), damaged()]), 4, 1);
        for percent in [0, 4, 99] {
            assert_eq!(after(&found, &report(Vec::new()), percent, 2), found, "{percent}");
        }
        assert!(after(&found, &report(Vec::new()), 100, 2).is_empty(), "all was read");
    }

    #[test]
    fn once_everything_was_read_again_and_found_good_nothing_stays() {
        let found = after(&[], &report(vec![pack(), damaged()]), 4, 5);
        let all = |day| CheckView { unverified_packs: 0, oldest_verified: Some(at(day)), ..CheckView::default() };
        assert_eq!(after(&found, &all(5), 4, 30), found, "read before it was found");
        assert!(after(&found, &all(6), 4, 30).is_empty());
    }

    #[test]
    fn what_was_healed_is_cleared_with_what_followed_from_it() {
        let found = after(&[], &report(vec![pack(), damaged()]), 4, 1);
        let healed = Problem::note("pack.corrupt", "p/ab/abcd", "a pack of the cache was replaced");
        assert!(after(&found, &report(vec![healed]), 4, 2).is_empty());
    }

    #[test]
    fn every_check_looks_at_what_is_small() {
        let slot = Problem::error("object.missing", "k/recovery-0", "the bucket lost this object");
        let found = after(&[], &report(vec![slot]), 0, 1);
        assert!(after(&found, &report(Vec::new()), 0, 2).is_empty());
    }

    #[test]
    fn a_check_without_the_bucket_refutes_nothing() {
        let slot = Problem::error("object.missing", "k/recovery-0", "the bucket lost this object");
        let found = after(&[], &report(vec![slot, pack(), damaged()]), 100, 1);
        let calm = report(Vec::new());
        let blind = Ended { report: &calm, percent: 100, now: at(2), blind: true };
        assert_eq!(settle(&found, &blind, |_| true), found);
        let absent = Problem::error("bucket.unreachable", "the bucket", "the bucket was not checked: no answer");
        assert!(is_absence(&absent) && !is_absence(&pack()));
        assert!(after(&[], &report(vec![absent]), 4, 1).is_empty(), "it says nothing of what is stored");
    }

    #[test]
    fn a_forgotten_snapshot_is_no_finding_any_more() {
        let found = after(&[], &report(vec![pack(), damaged()]), 4, 1);
        let calm = report(Vec::new());
        let ended = Ended { report: &calm, percent: 4, now: at(2), blind: false };
        assert_eq!(codes(&settle(&found, &ended, |_| false)), ["pack.corrupt"]);
    }

    #[test]
    fn what_is_told_is_bounded_worst_first_and_says_what_helps() {
        let many = (0..300).map(|n| Problem::warning("pack.corrupt", format!("p/{n}"), "damaged")).chain([damaged()]);
        let found = after(&[], &report(many.collect()), 4, 1);
        assert_eq!(found.len(), KEPT_MAX);
        let told = tell(found, at(3));
        assert_eq!(told.len(), TOLD_MAX + 1);
        assert_eq!((told[0].code.as_str(), told[TOLD_MAX].code.as_str()), (OF_SNAPSHOTS, "check.more"));
        assert!(told[0].message.ends_with("(found by a check 2 d ago)"), "{}", told[0].message);
        assert!(told.iter().all(|problem| problem.advice.is_some()));
    }
}
