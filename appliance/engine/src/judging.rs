//! What the policies keep now: the pure rules of `retention`, asked about what is known of an app.
//!
//! Invariant: an app whose policy is not known keeps everything.

use crate::{
    apps::{Cover, Facts, is_good},
    retention::{Point, Verdict, judge},
};
use holdfast_model::{policy::Retention, snapshot::Trigger};

/// Judges the snapshots of an app by its own policy, in commit order, oldest first.
pub fn verdicts(facts: &Facts, app: &str) -> Vec<Verdict> {
    let points: Vec<Point> = facts
        .snapshots
        .get(app)
        .into_iter()
        .flatten()
        .map(|entry| Point {
            id: entry.snapshot.id.clone(),
            time: entry.snapshot.time,
            sequence: entry.snapshot.sequence,
            good: is_good(entry),
            safety: entry.snapshot.trigger == Trigger::Safety,
            places: entry.snapshot.is_of_places(),
        })
        .collect();
    judge(&points, &rules(facts, app), facts.now)
}

/// Retention of an app; without a known policy everything is kept.
fn rules(facts: &Facts, app: &str) -> Retention {
    match facts.cover(app) {
        Cover::Policy(policy) => policy.keep,
        // Excluded from backups does not mean that what there is may go.
        Cover::Nobody | Cover::Excluded | Cover::Unknown(_) => Retention::default(),
    }
}
