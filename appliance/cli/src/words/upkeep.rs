//! Upkeep in words: what is verified by itself, and what a provider can verify.

use super::problems;
use crate::output::{bytes, moment, moment_or_dash, table};
use holdfast_model::{
    lock::LockMode,
    verification::VerificationView,
    view::{BucketView, SnapshotView},
};
use holdfast_provider::{ScrubClass, ScrubView};

/// Snapshots that can be brought back, as a table.
pub fn forgotten(views: &[SnapshotView]) -> String {
    let row = |snapshot: &SnapshotView| {
        vec![
            snapshot.id.to_string(),
            format!("{}/{}", snapshot.host, snapshot.app),
            moment(snapshot.time),
            bytes(snapshot.bytes_logical),
            moment_or_dash(snapshot.forgotten_until),
        ]
    };
    table(&["SNAPSHOT", "APP", "TIME", ">SIZE", "REMOVED FROM"], &views.iter().map(row).collect::<Vec<_>>())
}

/// How long the bucket keeps what is written into it, in lines.
pub fn lock(view: &BucketView) -> String {
    if view.url.is_none() {
        return "no bucket is set".into();
    }
    let Some(lock) = &view.lock else {
        return "what is written into the bucket is not locked; what was locked before stays so until its time".into();
    };
    let who = match lock.rule.mode {
        LockMode::Governance => "only those can delete it to whom the bucket's owner gave the right",
        LockMode::Compliance => "nobody can delete it, with whatever keys",
    };
    let days = if lock.rule.days == 1 { "a day".to_owned() } else { format!("{} days", lock.rule.days) };
    let first = format!("each snapshot is locked for {days} at least ({}): {who}", lock.rule.mode);
    let tried = match (lock.broken, lock.proved) {
        (true, _) => "THE BUCKET DOES NOT KEEP ITS LOCKS: a try to break one went through".to_owned(),
        (false, Some(proved)) => format!("tried in vain to break with the appliance's own key {}", moment(proved)),
        (false, None) => "not tried yet".to_owned(),
    };
    format!("{first}\n{tried}")
}

/// What is verified each day, in lines.
pub fn verification(view: &VerificationView) -> String {
    let last = format!("the last one ended {}", moment_or_dash(view.last));
    let percent = view.rule.daily_percent;
    if percent == 0 {
        return format!("nothing is verified by itself; {last}");
    }
    let reads = format!("{} of the cache and {} from the bucket", bytes(view.cache_bytes), bytes(view.bucket_bytes));
    let next = match view.next {
        Some(next) => format!("the next one is due {}", moment(next)),
        None => "there is nothing to verify yet".into(),
    };
    format!("each day {percent} % of all that is stored is read and verified: about {reads}\n  {last}, {next}")
}

/// What a scrub found: totals by class, each problem, and what could not be told.
pub fn scrub(view: &ScrubView) -> String {
    let repository = view.repository.as_deref().unwrap_or("unknown");
    let mut lines = vec![format!("{}: repository {repository}, {} % of its objects read", view.place, view.percent)];
    let row = |line: &ScrubClass| {
        vec![
            line.class.clone(),
            line.objects.to_string(),
            bytes(line.bytes),
            line.verified.to_string(),
            bytes(line.verified_bytes),
            line.wrong.to_string(),
        ]
    };
    let titles = ["CLASS", ">OBJECTS", ">SIZE", ">GOOD", ">READ", ">WRONG"];
    lines.push(table(&titles, &view.classes.iter().map(row).collect::<Vec<_>>()));
    if view.foreign > 0 {
        lines.push(format!("{} objects of {} are nobody's of ours", view.foreign, bytes(view.foreign_bytes)));
    }
    lines.extend(problems(&view.problems));
    if view.more_problems > 0 {
        lines.push(format!("  and {} more problems", view.more_problems));
    }
    lines.push(view.unknowable.clone());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::{Moment, Problem, verification::Verification};

    #[test]
    fn a_scrub_tells_totals_problems_and_what_it_cannot_tell() {
        let class = ScrubClass { class: "data packs".into(), objects: 2, bytes: 2_000_000, ..ScrubClass::default() };
        let view = ScrubView {
            place: "memory".into(),
            repository: None,
            percent: 4,
            classes: vec![class],
            foreign: 1,
            foreign_bytes: 7,
            problems: vec![Problem::error("scrub.damaged", "p/ab/abcd", "its bytes are not those of its name")],
            more_problems: 3,
            unknowable: "more is sealed".into(),
        };
        let words = scrub(&view);
        for part in
            ["repository unknown, 4 %", "data packs        2", "p/ab/abcd", "3 more problems", "1 objects of 7 B"]
        {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert!(words.ends_with("more is sealed"));
    }

    #[test]
    fn what_a_day_of_it_reads_is_told() {
        let view = VerificationView {
            rule: Verification::default(),
            last: None,
            next: Some(Moment::from_millis(1_795_410_000_000)),
            cache_bytes: 2_000_000_000,
            bucket_bytes: 40_000_000_000,
        };
        let words = verification(&view);
        assert!(words.contains("4 %") && words.contains("40.0 GB from the bucket"), "{words}");
        assert!(words.ends_with("the last one ended -, the next one is due 2026-11-23 05:00:00"), "{words}");
        let off = VerificationView { rule: Verification { daily_percent: 0 }, next: None, ..view };
        assert!(verification(&off).starts_with("nothing is verified by itself"));
    }
}
