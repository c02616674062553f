//! The cache's rule at work: kept, found again, carried out, and told where it holds up a backup.

use super::{
    walk::{APP, Walk, build},
    world::{World, ended, start_of_time, until},
};
use crate::Appliance;
use holdfast_docker::fake::FakeDocker;
use holdfast_model::{
    Kind,
    cache::{CacheRule, EvictRequest, WhenFull},
    job::{JobKind, JobState, JobView},
    view::{BackupRequest, BucketRequest, LocalState, RecoverRequest},
};
use holdfast_runtime::{Clock, Stop};
use std::sync::Arc;

/// More than any disk has stays free: nothing may stay that can leave, and nothing new has room.
fn nothing() -> CacheRule {
    CacheRule { reserve_bytes: Some(1 << 60), keep_newest: 0, when_full: WhenFull::Refuse, ..CacheRule::default() }
}

/// All that the disk of this machine gives, however full it is.
fn all() -> CacheRule {
    CacheRule { reserve_bytes: Some(0), ..CacheRule::default() }
}

fn evict(dry_run: bool) -> EvictRequest {
    EvictRequest { aim_bytes: Some(0), dry_run }
}

async fn local(appliance: &Appliance, id: &str) -> LocalState {
    appliance.snapshot(id).await.unwrap().snapshot.state.local
}

async fn back_up(appliance: &Appliance) -> JobView {
    let request = BackupRequest { apps: vec![APP.into()], ..BackupRequest::default() };
    let job = appliance.backup(request).await.unwrap().remove(0);
    ended(appliance, &job).await
}

async fn told(appliance: &Appliance) -> Vec<String> {
    appliance.status().await.problems.into_iter().map(|problem| problem.code).collect()
}

#[tokio::test]
async fn a_rule_is_kept_applied_and_found_again_after_a_restart() {
    let (world, place, stop) = (World::default(), tempfile::tempdir().unwrap(), Stop::new());
    world.put_engine("unix:///docker", Arc::new(FakeDocker::new()));
    let clock = Clock::manual(start_of_time());
    let appliance = world.start(place.path(), None, clock.clone(), &stop).await.unwrap();
    let before = appliance.0.settings().generation;
    let error = appliance.cache_set(CacheRule { quota_bytes: Some(1), ..CacheRule::default() }).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Invalid, "cache.rule"));
    assert_eq!(appliance.cache().await.rule, CacheRule::default(), "nothing was changed");
    assert_eq!(appliance.0.settings().generation, before);

    let quota = 5_000_000_000;
    let decided = CacheRule {
        quota_bytes: Some(quota),
        reserve_bytes: Some(1_000_000),
        keep_newest: 2,
        when_full: WhenFull::Refuse,
    };
    let view = appliance.cache_set(decided.clone()).await.unwrap();
    // The view is the repository's: what it says is in force.
    assert_eq!((&view.rule, appliance.0.settings().generation), (&decided, before + 1));
    assert!(view.limit_bytes <= quota, "{view:?}");
    stop.cancel();
    appliance.finished().await;
    drop(appliance);

    let stop = Stop::new();
    let again = world.start(place.path(), None, clock, &stop).await.unwrap();
    assert_eq!(again.cache().await.rule, decided);
    stop.cancel();
    again.finished().await;
}

#[tokio::test]
async fn a_recovered_appliance_goes_by_the_recovered_rule() {
    const BUCKET: &str = "file:///bucket";
    let (world, place, stop) = (World::default(), tempfile::tempdir().unwrap(), Stop::new());
    world.put_engine("unix:///docker", Arc::new(FakeDocker::new()));
    let clock = Clock::manual(start_of_time());
    let first = world.start(place.path(), Some(BUCKET), clock.clone(), &stop).await.unwrap();
    let decided = CacheRule { quota_bytes: Some(7_000_000_000), ..CacheRule::default() };
    first.cache_set(decided.clone()).await.unwrap();
    let (house, kit) = (first.0.clone(), first.kit().await.unwrap().text);
    until("the bucket has all", async || house.repository().has_bucket() && house.repository().to_ship().is_empty())
        .await;
    stop.cancel();
    first.finished().await;
    drop((first, house));

    let (place, stop) = (tempfile::tempdir().unwrap(), Stop::new());
    let second = world.start(place.path(), None, clock, &stop).await.unwrap();
    let bucket = BucketRequest { url: BUCKET.into(), ..BucketRequest::default() };
    let job = second.recover(RecoverRequest::with_kit(bucket, kit)).await.unwrap();
    let job = ended(&second, &job).await;
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    assert_eq!(second.cache().await.rule, decided);
    stop.cancel();
    second.finished().await;
}

#[tokio::test]
async fn what_the_bucket_holds_leaves_by_itself_and_comes_back_by_a_job() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let appliance = &walk.appliance;
    let taken = walk.backup().await;
    let id = taken.id.as_str();
    walk.in_cloud(id).await;
    assert_eq!(local(appliance, id).await, LocalState::Present);
    appliance.cache_set(nothing()).await.unwrap();
    until("what the bucket has is gone from the cache", async || local(appliance, id).await != LocalState::Present)
        .await;
    assert!(appliance.cache().await.bucket_only_bytes > 0);

    // Without room nothing comes back, and that is told.
    let job = ended(appliance, &appliance.warm(id).await.unwrap()).await;
    assert_eq!((job.kind, job.state), (JobKind::Warm, JobState::DoneWithProblems), "{job:#?}");
    assert!(job.problems.iter().any(|problem| problem.code == "cache.short"), "{job:#?}");

    appliance.cache_set(all()).await.unwrap();
    let job = ended(appliance, &appliance.warm(&format!("latest:{APP}")).await.unwrap()).await;
    assert_eq!((job.state, job.snapshot.as_ref()), (JobState::Done, Some(&taken.id)), "{job:#?}");
    assert_eq!(job.subject, format!("local/{APP}"));
    assert_eq!(local(appliance, id).await, LocalState::Present);
    assert_eq!(appliance.warm("latest:nobody").await.unwrap_err().code(), "app.unknown");
    walk.end().await;
}

#[tokio::test]
async fn space_is_freed_on_request_as_the_plan_says() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let appliance = &walk.appliance;
    let taken = walk.backup().await;
    walk.in_cloud(taken.id.as_str()).await;
    let plan = appliance.cache_evict(evict(true)).await.unwrap();
    assert!(plan.packs > 0 && plan.bytes > 0, "{plan:?}");
    assert_eq!(local(appliance, taken.id.as_str()).await, LocalState::Present, "a plan moves nothing");
    let gone = appliance.cache_evict(evict(false)).await.unwrap();
    assert_eq!((gone.packs, gone.bytes), (plan.packs, plan.bytes));
    assert_ne!(local(appliance, taken.id.as_str()).await, LocalState::Present);
    walk.end().await;
}

#[tokio::test]
async fn without_a_bucket_a_full_cache_fails_the_backup_and_says_what_helps() {
    let (world, place, stop) = (World::default(), tempfile::tempdir().unwrap(), Stop::new());
    let docker = Arc::new(FakeDocker::new());
    build(docker.as_ref()).await;
    world.put_engine("unix:///docker", docker);
    let clock = Clock::manual(start_of_time());
    let appliance = world.start(place.path(), None, clock, &stop).await.unwrap();
    until("the app is found", async || appliance.app(APP).await.is_ok()).await;
    appliance.cache_set(nothing()).await.unwrap();
    let job = back_up(&appliance).await;
    assert_eq!((job.state, job.error_kind.as_deref()), (JobState::Failed, Some("full")), "{job:#?}");
    let full = job.problems.iter().find(|problem| problem.code == "cache.full");
    assert!(full.is_some_and(|problem| problem.advice.is_some()), "{job:#?}");
    assert!(appliance.snapshots(None).await.unwrap().is_empty(), "nothing was committed");
    let codes = told(&appliance).await;
    assert!(codes.iter().any(|code| code == "cache.full"), "{codes:?}");

    appliance.cache_set(all()).await.unwrap();
    let job = back_up(&appliance).await;
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    let codes = told(&appliance).await;
    assert!(codes.iter().all(|code| !code.starts_with("cache.")), "{codes:?}");
    stop.cancel();
    appliance.finished().await;
}
