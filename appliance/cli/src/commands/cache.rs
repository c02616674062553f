//! The local tier: show it, decide what it may take, free space, bring snapshots back.

use super::Desk;
use crate::{
    args::{CacheSetArgs, Full},
    client::part,
    outcome::{self, DONE, Outcome, PROBLEMS},
    watch::{Reach, until_one_ended},
    words,
};
use holdfast_model::{
    Result,
    cache::{CacheRule, CacheView, EvictRequest, Evicted, WhenFull},
    job::JobView,
    policy::parse_size,
};
use serde_json::json;

/// `cache` and `cache show`.
pub async fn show(desk: &Desk) -> Outcome {
    let view: CacheView = desk.client.get("/cache").await?;
    desk.output.show(&view, words::cache);
    Ok(DONE)
}

/// `cache set`.
pub async fn set(desk: &Desk, asked: &CacheSetArgs) -> Outcome {
    let mut view: CacheView = desk.client.get("/cache").await?;
    let rule = decided(view.rule.clone(), asked)?;
    if rule != view.rule {
        view = desk.client.put("/cache", &rule).await?;
    }
    desk.output.show(&view, words::cache);
    Ok(DONE)
}

/// `cache evict`. An aim that was not reached is done with problems.
pub async fn evict(desk: &Desk, to: Option<&str>, dry_run: bool) -> Outcome {
    let request = EvictRequest { aim_bytes: to.map(parse_size).transpose()?, dry_run };
    let gone: Evicted = desk.client.post("/cache/evict", &request).await?;
    desk.output.show(&gone, |gone| words::evicted(gone, dry_run));
    Ok(if gone.short_bytes > 0 && !dry_run { PROBLEMS } else { DONE })
}

/// `cache warm SNAPSHOT`.
pub async fn warm(desk: &Desk, snapshot: &str, wait: bool) -> Outcome {
    let mut job: JobView = desk.client.post(&format!("/snapshots/{}/warm", part(snapshot)), &json!({})).await?;
    if wait {
        job = until_one_ended(&Reach::Socket(&desk.client), desk.output, job).await?;
    }
    desk.output.show(&job, |job| words::ended_jobs(std::slice::from_ref(job)));
    outcome::of_jobs(std::slice::from_ref(&job))
}

/// The rule as it is with what was asked for.
fn decided(mut rule: CacheRule, asked: &CacheSetArgs) -> Result<CacheRule> {
    match asked.quota.as_deref() {
        None => {}
        Some("none") => rule.quota_bytes = None,
        Some(size) => rule.quota_bytes = Some(parse_size(size)?),
    }
    match asked.reserve.as_deref() {
        None => {}
        Some("auto") => rule.reserve_bytes = None,
        Some(size) => rule.reserve_bytes = Some(parse_size(size)?),
    }
    rule.keep_newest = asked.keep_newest.unwrap_or(rule.keep_newest);
    rule.when_full = match asked.when_full {
        None => rule.when_full,
        Some(Full::Wait) => WhenFull::Wait,
        Some(Full::Refuse) => WhenFull::Refuse,
    };
    rule.validate()?;
    Ok(rule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{CacheCommand, Cli, Command};
    use clap::Parser;

    fn asked(line: &str) -> CacheSetArgs {
        let command = Cli::try_parse_from(line.split(' ')).unwrap().command;
        let Command::Cache { command: Some(CacheCommand::Set(args)) } = command else { panic!("{line}") };
        args
    }

    #[test]
    fn what_is_not_asked_for_stays() {
        let words = "holdfast cache set --quota 500GB --reserve 1GiB --keep-newest 3 --when-full refuse";
        let first = decided(CacheRule::default(), &asked(words)).unwrap();
        let expected = CacheRule {
            quota_bytes: Some(500_000_000_000),
            reserve_bytes: Some(1 << 30),
            keep_newest: 3,
            when_full: WhenFull::Refuse,
        };
        assert_eq!(first, expected);
        assert_eq!(decided(first.clone(), &asked("holdfast cache set")).unwrap(), first);
        let part = decided(first.clone(), &asked("holdfast cache set --keep-newest 0")).unwrap();
        assert_eq!(part, CacheRule { keep_newest: 0, ..first.clone() });
        let back = "holdfast cache set --quota none --reserve auto --keep-newest 1 --when-full wait";
        assert_eq!(decided(first, &asked(back)).unwrap(), CacheRule::default());
    }

    #[test]
    fn the_words_name_what_waits_and_what_could_not_leave() {
        let view = CacheView { used_bytes: 9_000_000_000, limit_bytes: 10_000_000_000, ..CacheView::default() };
        let calm = words::cache(&view);
        assert!(calm.starts_with("cache: 9.00 GB of 10.0 GB taken") && !calm.contains("waits for room"), "{calm}");
        assert!(calm.contains("what the disk gives; a twentieth (20 GiB at most) of the disk stay free"), "{calm}");
        let waiting = CacheView { waiting: true, ..view };
        assert!(words::cache(&waiting).ends_with("a backup waits for room now"));
        let gone = Evicted { packs: 2, bytes: 3_000_000, short_bytes: 0 };
        assert_eq!(words::evicted(&gone, true), "2 packs of 3.00 MB would leave the cache");
        let short = Evicted { short_bytes: 5_000_000, ..gone };
        assert!(words::evicted(&short, false).starts_with("2 packs of 3.00 MB left the cache; 5.00 MB more cannot"));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_before_it_is_sent() {
        for (line, code) in [
            ("holdfast cache set --quota 1MB", "cache.rule"),
            ("holdfast cache set --quota much", "size.malformed"),
            ("holdfast cache set --reserve none", "size.malformed"),
            ("holdfast cache set --keep-newest 1001", "cache.rule"),
        ] {
            assert_eq!(decided(CacheRule::default(), &asked(line)).unwrap_err().code(), code, "{line}");
        }
    }
}
