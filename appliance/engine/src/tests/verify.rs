//! The daily verification at work: by itself, in its time, in nobody's way; and what it finds, until it is healed.

use super::{
    walk::{APP, Walk},
    world::{ended, until},
};
use crate::{Appliance, scheduler};
use holdfast_docker::fake::FakeDocker;
use holdfast_model::{
    Kind, Problem,
    job::{JobKind, JobState, JobView},
    verification::Verification,
    view::BackupRequest,
};
use holdfast_runtime::Stop;
use holdfast_storage::{PutMode, Store};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

const HOUR: u64 = 3600;
const BUCKET: &str = "file:///bucket";

/// Checks so far, newest first.
async fn checks(appliance: &Appliance) -> Vec<JobView> {
    appliance.jobs().await.into_iter().filter(|job| job.kind == JobKind::Check).collect()
}

/// Turns the schedule until so many checks were begun and have ended; gives the newest.
async fn checked(appliance: &Appliance, count: usize) -> JobView {
    until("the check has ended", async || {
        scheduler::turn(&appliance.0);
        checks(appliance).await.len() == count && appliance.0.jobs.active().is_empty()
    })
    .await;
    checks(appliance).await.remove(0)
}

fn percent(daily_percent: u8) -> Verification {
    Verification { daily_percent }
}

/// What the first page says of stored data; what it says of this machine depends on the machine.
async fn told(appliance: &Appliance) -> Vec<Problem> {
    let is_of_data = |problem: &Problem| {
        ["pack.", "snapshot.", "object.", "check."].iter().any(|class| problem.code.starts_with(class))
    };
    appliance.status().await.problems.into_iter().filter(is_of_data).collect()
}

async fn codes(appliance: &Appliance) -> Vec<String> {
    told(appliance).await.into_iter().map(|problem| problem.code).collect()
}

#[tokio::test]
async fn it_runs_by_itself_once_a_day_and_makes_up_for_missed_days() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let appliance = &walk.appliance;
    assert_eq!(appliance.verification().await.next, None, "there is nothing to verify");
    let taken = walk.backup().await;
    walk.in_cloud(taken.id.as_str()).await;
    let view = appliance.verification().await;
    assert_eq!((view.rule, view.last), (percent(4), None));
    assert!(view.next.is_some_and(|next| next > walk.clock.now()), "{view:?}");

    walk.clock.advance(Duration::from_secs(19 * HOUR));
    scheduler::turn(&appliance.0);
    assert!(checks(appliance).await.is_empty(), "not yet");
    walk.clock.advance(Duration::from_secs(26 * HOUR));
    let job = checked(appliance, 1).await;
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    assert!(job.log[0].text.contains("4 %") && job.summary.unwrap().starts_with("daily verification, 4 %"));
    assert!(appliance.check_report().await.unwrap().bytes_read > 0);
    let view = appliance.verification().await;
    assert!(view.last.is_some() && view.next.is_some_and(|next| next > walk.clock.now()), "{view:?}");
    scheduler::turn(&appliance.0);
    assert_eq!(checks(appliance).await.len(), 1, "once");

    walk.clock.advance(Duration::from_secs(5 * 24 * HOUR));
    let job = checked(appliance, 2).await;
    assert!(job.log[0].text.contains("20 %"), "five days were missed: {job:#?}");
    walk.end().await;
}

#[tokio::test]
async fn how_much_is_decided_kept_and_can_be_nothing() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let appliance = &walk.appliance;
    walk.backup().await;
    let error = appliance.verification_set(percent(101)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Invalid, "check.percent"));
    let view = appliance.verification_set(percent(50)).await.unwrap();
    let whole = appliance.verification_set(percent(100)).await.unwrap();
    assert!(view.cache_bytes > 0 && whole.cache_bytes > view.cache_bytes, "{view:?} {whole:?}");
    let off = appliance.verification_set(percent(0)).await.unwrap();
    assert_eq!((off.rule, off.next, off.cache_bytes, off.bucket_bytes), (percent(0), None, 0, 0));
    walk.clock.advance(Duration::from_secs(30 * 24 * HOUR));
    scheduler::turn(&appliance.0);
    assert!(checks(appliance).await.is_empty(), "it is off");

    walk.stop.cancel();
    appliance.finished().await;
    let (data, stop) = (walk.place.path().to_owned(), Stop::new());
    drop(walk.appliance);
    let again = walk.world.start(&data, None, walk.clock.clone(), &stop).await.unwrap();
    assert_eq!(again.verification().await.rule, percent(0));
    stop.cancel();
    again.finished().await;
}

/// A backup runs on and on, as it does at night: it is waited for, but not for ever.
#[tokio::test]
async fn it_waits_an_hour_for_a_backup_and_no_longer() {
    let docker = Arc::new(FakeDocker::new());
    let walk = Walk::begin(docker.clone()).await;
    walk.backup().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (house, clock, notes) = (walk.appliance.clone(), walk.clock.clone(), seen.clone());
    docker.meanwhile("container_changes", 1, move |_| {
        let begun = || house.0.jobs.list().iter().filter(|job| job.kind == JobKind::Check).count();
        for seconds in [45 * HOUR, HOUR - 60, 120] {
            clock.advance(Duration::from_secs(seconds));
            scheduler::turn(&house.0);
            notes.lock().unwrap().push(begun());
        }
    });
    let request = BackupRequest { apps: vec![APP.into()], ..BackupRequest::default() };
    let job = walk.appliance.backup(request).await.unwrap().remove(0);
    ended(&walk.appliance, &job).await;
    assert_eq!(*seen.lock().unwrap(), [0, 0, 1]);
    checked(&walk.appliance, 1).await;
    walk.end().await;
}

/// Turns a byte of a pack, or puts it back, in both tiers.
async fn put(walk: &Walk, pack: &str, bytes: &[u8]) {
    let place = walk.place.path().join("cache").join(pack);
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, bytes).unwrap();
    walk.world.bucket_at(BUCKET).put(pack, bytes.to_vec().into(), PutMode::Replace).await.unwrap();
}

#[tokio::test]
async fn what_it_finds_is_told_with_advice_until_it_is_healed() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let taken = walk.backup().await;
    walk.in_cloud(taken.id.as_str()).await;
    walk.appliance.verification_set(percent(100)).await.unwrap();
    let pack = walk.world.bucket_at(BUCKET).list("p/").await.unwrap().remove(0).key;
    let good = walk.world.bucket_at(BUCKET).get(&pack).await.unwrap();
    let mut bad = good.to_vec();
    bad[100] ^= 1;
    put(&walk, &pack, &bad).await;
    walk.clock.advance(Duration::from_secs(45 * HOUR));
    let job = checked(&walk.appliance, 1).await;
    assert_eq!(job.state, JobState::DoneWithProblems, "{job:#?}");
    assert_eq!(codes(&walk.appliance).await, ["pack.corrupt", "snapshot.damaged"]);
    let problems = told(&walk.appliance).await;
    assert!(problems.iter().all(|problem| problem.advice.is_some()), "{problems:?}");

    // Somebody has the bytes; the next start finds the pack where it belongs, and takes nobody's word for it.
    put(&walk, &pack, &good).await;
    walk.stop.cancel();
    walk.appliance.finished().await;
    let (data, stop) = (walk.place.path().to_owned(), Stop::new());
    drop(walk.appliance);
    let again = walk.world.start(&data, None, walk.clock.clone(), &stop).await.unwrap();
    until("the bucket is attached", async || again.0.repository().has_bucket()).await;
    ended(&again, &again.check(false).await.unwrap()).await;
    assert_eq!(codes(&again).await, ["pack.corrupt", "snapshot.damaged"], "names and sizes prove nothing");
    walk.clock.advance(Duration::from_secs(45 * HOUR));
    let job = checked(&again, 3).await;
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    assert!(told(&again).await.is_empty());
    stop.cancel();
    again.finished().await;
}

/// Whoever forgets a snapshot needs the repository alone: he does not wait for what can go on later.
#[tokio::test]
async fn it_makes_way_for_a_prune() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    walk.backup().await;
    walk.clock.advance(Duration::from_secs(45 * HOUR));
    scheduler::turn(&walk.appliance.0);
    // Nothing was waited for, so the check has not begun to read yet.
    let pruned = walk.appliance.prune().await.unwrap();
    let begun = checks(&walk.appliance).await.remove(0);
    assert_eq!(ended(&walk.appliance, &pruned).await.state, JobState::Done);
    let check = ended(&walk.appliance, &begun).await;
    assert_eq!(check.state, JobState::Done, "{check:#?}");
    assert!(check.summary.as_ref().is_some_and(|summary| summary.starts_with("made way")), "{check:#?}");
    assert_eq!(walk.appliance.verification().await.last, None, "it is owed still");
    let check = checked(&walk.appliance, 2).await;
    assert!(check.summary.is_some_and(|summary| summary.starts_with("daily verification")));
    walk.end().await;
}
