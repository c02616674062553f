//! The bucket's lock as people meet it: decided, shown, tried, taken away again.

use super::{
    control::bundle,
    walk::{APP, Walk, build},
    world::{World, ended, start_of_time, until},
};
use holdfast_docker::fake::FakeDocker;
use holdfast_model::{
    Kind,
    job::JobState,
    lock::{LockMode, LockRequest, LockRule},
    view::BackupRequest,
};
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::Store;
use std::sync::Arc;

const BUCKET: &str = "file:///locking";
const RULE: LockRule = LockRule { mode: LockMode::Compliance, days: 30 };

#[tokio::test]
async fn a_decided_lock_is_kept_shown_and_proved_and_takes_nothing_back_when_it_ends() {
    let (world, place, stop) = (World::default(), tempfile::tempdir().unwrap(), Stop::new());
    let engine = Arc::new(FakeDocker::new());
    world.put_engine("unix:///docker", engine.clone());
    build(engine.as_ref()).await;
    let clock = Clock::manual(start_of_time());
    let bucket = world.locking_at(BUCKET, &clock);
    let appliance = world.start(place.path(), Some(BUCKET), clock.clone(), &stop).await.unwrap();
    until("the bucket is attached", async || appliance.0.repository().has_bucket()).await;

    let never = LockRequest { rule: Some(LockRule { days: 0, ..RULE }) };
    assert_eq!(appliance.lock_set(never).await.unwrap_err().code(), "lock.days");
    let view = appliance.lock_set(LockRequest { rule: Some(RULE) }).await.unwrap();
    assert_eq!(view.lock.map(|lock| (lock.rule, lock.proved, lock.broken)), Some((RULE, None, false)));

    let request = BackupRequest { apps: vec![APP.into()], ..BackupRequest::default() };
    let job = ended(&appliance, &appliance.backup(request).await.unwrap().remove(0)).await;
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    let id = job.snapshot.unwrap().to_string();
    let shown = async || appliance.snapshot(&id).await.unwrap().snapshot;
    until("the snapshot is locked", async || shown().await.locked_until.is_some()).await;
    let locked = shown().await;
    assert!(locked.locked_until.unwrap() >= locked.time.plus_seconds(30 * 86_400));
    assert!(bucket.kept_until("format", None).await.unwrap().is_some());

    let lock = appliance.bucket_probe().await.unwrap().lock.unwrap();
    assert_eq!((lock.proved, lock.broken), (Some(clock.now()), false));
    appliance.enrol(bundle(BUCKET), false).await.unwrap();
    let again = appliance.bucket_probe().await.unwrap().lock;
    assert_eq!(again.map(|lock| lock.rule), Some(RULE), "new keys for the same bucket");
    let off = appliance.lock_set(LockRequest::default()).await.unwrap();
    assert!(off.lock.is_none());
    assert_eq!(shown().await.locked_until, locked.locked_until, "what is locked stays locked");
    stop.cancel();
    appliance.finished().await;
}

#[tokio::test]
async fn a_bucket_that_was_not_seen_to_lock_takes_no_rule() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let error = walk.appliance.lock_set(LockRequest { rule: Some(RULE) }).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Refused, "bucket.no_lock"));
    assert!(error.advice_text().is_some());
    assert!(walk.appliance.lock_set(LockRequest::default()).await.unwrap().lock.is_none());
    walk.end().await;
}
