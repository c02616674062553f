//! What has to be in a bucket beside what is there.

use super::Owned;
use crate::names::{self, Class};
use holdfast_model::{Problem, Result};
use holdfast_storage::Store;
use std::collections::BTreeSet;

/// What is missing, as far as names tell. A listing takes a while, so what it does not show is asked for once more.
pub(super) async fn missing(store: &dyn Store, owned: &[Owned]) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for one in wanted(owned) {
        if is_missing(store, &one).await? {
            problems.push(one.problem);
        }
    }
    Ok(problems)
}

/// Something that the listing does not show.
struct Wanted {
    /// It is there if anything is whose name begins so.
    prefix: String,
    /// It is missing only while this object is there.
    as_long_as: Option<String>,
    problem: Problem,
}

async fn is_missing(store: &dyn Store, one: &Wanted) -> Result<bool> {
    if !store.list(&one.prefix).await?.is_empty() {
        return Ok(false);
    }
    match &one.as_long_as {
        Some(key) => Ok(store.head(key).await?.is_some()),
        None => Ok(true),
    }
}

/// What the listing does not show and should. Pure.
fn wanted(owned: &[Owned]) -> Vec<Wanted> {
    let has = |class: Class| owned.iter().any(|(one, _)| *one == class);
    let mut wanted = Vec::new();
    let mut need = |prefix: &str, problem: Problem| {
        wanted.push(Wanted { prefix: prefix.to_owned(), as_long_as: None, problem });
    };
    if !has(Class::Format) {
        let words = "the format is missing: without it nothing here is a repository";
        need("format", gone("format", words).advice("The tenant's appliance sends it again when it checks."));
    }
    if !owned.iter().any(|(_, info)| info.key.starts_with("k/recovery-")) {
        let words = "no key slot of a recovery kit is here: with a kit alone nothing can be recovered from this bucket";
        need("k/recovery-", gone("k/", words).advice("Have the tenant run holdfast check, which sends it again."));
    }
    if has(Class::Snapshot) && !has(Class::Segment) {
        let words = "there are snapshots and no index";
        need("i/", gone("i/", words).advice("Have the tenant run holdfast check, which writes it anew."));
    }
    if has(Class::Snapshot) && !has(Class::Settings) {
        let words = "there are snapshots and no settings: whoever recovers sets hosts and policies up again";
        let problem = Problem::warning("scrub.missing", "c/", words);
        need("c/", problem.advice("Have the tenant run holdfast check, which sends them again."));
    }
    wanted.extend(without_reach(owned));
    wanted
}

/// Snapshots whose reach list is not there. Reach lists come before snapshots and go after them, so none lacks it for a moment alone.
fn without_reach(owned: &[Owned]) -> Vec<Wanted> {
    let of = |class: Class| owned.iter().filter(move |(one, _)| *one == class).map(|(_, info)| &info.key[2..]);
    let reached: BTreeSet<&str> = of(Class::Reach).filter_map(names::snapshot_of_reach).collect();
    let lacking = of(Class::Snapshot).filter(|id| !reached.contains(id));
    let tell = |id: &str| {
        let key = format!("s/{id}");
        let words =
            "the reach list of this snapshot is missing: whoever recovers has to work out anew which packs it needs";
        let problem = gone(&format!("r/{id}"), words);
        let advice = "Have the tenant run holdfast check, which sends it again.";
        Wanted { prefix: format!("r/{id}"), as_long_as: Some(key), problem: problem.advice(advice) }
    };
    lacking.map(tell).collect()
}

fn gone(key: &str, words: &str) -> Problem {
    Problem::error("scrub.missing", key, words)
}
