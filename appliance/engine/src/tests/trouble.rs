//! Things go wrong: a crash during a hold, a host that goes away, a job that is stopped.

use super::{
    walk::{APP, Walk, build, clear},
    world::{World, ended, start_of_time, until},
};
use holdfast_docker::{
    Engine,
    archive::{Entry, What},
    fake::FakeDocker,
};
use holdfast_model::{
    Kind,
    job::{JobState, JobView},
    snapshot::Trigger,
    view::{AppState, BackupRequest, CloudState, RestoreRequest, Target},
};
use holdfast_runtime::{Clock, Stop};
use serde_json::json;
use std::{sync::Arc, time::Duration};

async fn status_of(engine: &dyn Engine) -> String {
    let inspect = engine.container_inspect("engineroom-db-1").await.unwrap();
    let inspect: serde_json::Value = serde_json::from_str(&inspect).unwrap();
    inspect["State"]["Status"].as_str().unwrap().to_owned()
}

/// As a kill during a backup leaves it: paused members and an entry in the journal.
pub async fn holds_of_a_crash_are_undone(engine: Arc<dyn Engine>) {
    let (world, place, stop) = (World::default(), tempfile::tempdir().unwrap(), Stop::new());
    world.put_engine("unix:///docker", engine.clone());
    world.down("unix:///docker", true);
    clear(engine.as_ref()).await;
    build(engine.as_ref()).await;
    let inspect: serde_json::Value =
        serde_json::from_str(&engine.container_inspect("engineroom-db-1").await.unwrap()).unwrap();
    engine.container_pause("engineroom-db-1").await.unwrap();
    let held = json!({"host": "local", "app": APP, "since": start_of_time(), "deadline": start_of_time(),
        "containers": [[inspect["Id"], "engineroom-db-1"]], "paused": true});
    std::fs::create_dir(place.path().join("journal")).unwrap();
    std::fs::write(place.path().join("journal/0011223344556677.json"), held.to_string()).unwrap();

    let clock = Clock::manual(start_of_time());
    let appliance = world.start(place.path(), None, clock, &stop).await.unwrap();
    let problems = appliance.status().await.problems;
    assert!(problems.iter().any(|problem| problem.code == "hold.left_over"), "{problems:?}");
    world.down("unix:///docker", false);
    until("the member runs again", async || status_of(engine.as_ref()).await == "running").await;
    until("the journal is clear", async || {
        appliance.status().await.problems.iter().all(|problem| problem.code != "hold.left_over")
    })
    .await;
    stop.cancel();
    appliance.finished().await;
    clear(engine.as_ref()).await;
}

/// The host and the bucket go away and come back: what was known stays, backups go on.
pub async fn host_and_bucket_go_away(engine: Arc<dyn Engine>) {
    let walk = Walk::begin(engine.clone()).await;
    let appliance = &walk.appliance;
    let first = walk.backup().await;
    walk.in_cloud(first.id.as_str()).await;

    walk.world.down("unix:///docker", true);
    appliance.0.hosts.lost("local", holdfast_model::Error::new(Kind::Unavailable, "host.unreachable", "cut"));
    let view = appliance.app(APP).await.unwrap();
    assert_eq!((view.state, view.containers), (AppState::Unreachable, 1));
    let request = BackupRequest { apps: vec![APP.into()], ..BackupRequest::default() };
    let job = appliance.backup(request).await.unwrap().remove(0);
    let job = ended(appliance, &job).await;
    assert_eq!((job.state, job.error_kind.as_deref()), (JobState::Failed, Some("unavailable")));
    assert_eq!(appliance.snapshots(None).await.unwrap().len(), 1, "a failure commits nothing");
    walk.world.down("unix:///docker", false);
    walk.stop.cancel();
    appliance.finished().await;

    let (data, stop) = (walk.place.path().to_owned(), Stop::new());
    drop(walk.appliance);
    walk.world.down("file:///bucket", true);
    let again = walk.world.start(&data, None, walk.clock.clone(), &stop).await.unwrap();
    until("the app is found", async || again.app(APP).await.is_ok_and(|app| app.running == 1)).await;
    let job =
        again.backup(BackupRequest { apps: vec![APP.into()], ..BackupRequest::default() }).await.unwrap().remove(0);
    assert_eq!(ended(&again, &job).await.state, JobState::Done);
    assert_eq!(again.app(APP).await.unwrap().state, AppState::NotProtected, "a success heals the failure");
    walk.world.down("file:///bucket", false);
    until("both are in the cloud", async || {
        again.snapshots(None).await.unwrap().iter().all(|one| one.state.cloud == CloudState::Present)
    })
    .await;
    stop.cancel();
    again.finished().await;
    clear(engine.as_ref()).await;
}

#[tokio::test]
async fn holds_of_a_crash_are_undone_on_the_fake() {
    holds_of_a_crash_are_undone(Arc::new(FakeDocker::new())).await;
}

#[tokio::test]
async fn host_and_bucket_go_away_on_the_fake() {
    host_and_bucket_go_away(Arc::new(FakeDocker::new())).await;
}

async fn ask(walk: &Walk) -> JobView {
    let request = BackupRequest { apps: vec![APP.into()], ..BackupRequest::default() };
    walk.appliance.backup(request).await.unwrap().remove(0)
}

/// Every call of a backup fails once: nothing is committed, nothing stays held, the next one succeeds.
#[tokio::test]
async fn a_fault_at_any_call_harms_nothing() {
    let docker = Arc::new(FakeDocker::new());
    let walk = Walk::begin(docker.clone()).await;
    until("the app is found", async || walk.appliance.app(APP).await.is_ok()).await;
    let mut good = 0;
    for call in [
        "container_inspect",
        "container_pause",
        "container_create",
        "container_changes",
        "image_save",
        "container_list",
    ] {
        docker.fail(call, 1, Kind::Unavailable, "host.unreachable");
        let job = ended(&walk.appliance, &ask(&walk).await).await;
        walk.clock.advance(Duration::from_secs(61));
        let count = walk.appliance.snapshots(None).await.unwrap().len();
        good += usize::from(job.snapshot.is_some());
        assert_eq!(count, good, "{call}: {job:#?}");
        assert_eq!(job.snapshot.is_none(), job.state == JobState::Failed, "{call}: {job:#?}");
        assert_eq!(docker.container_state("engineroom-db-1"), Some("running"), "{call}");
    }
    walk.backup().await;
    walk.end().await;
}

/// A person stops a backup while the app is held and read: cancelled, nothing committed, nothing held.
#[tokio::test]
async fn a_stopped_backup_leaves_nothing() {
    let docker = Arc::new(FakeDocker::new());
    let walk = Walk::begin(docker.clone()).await;
    until("the app is found", async || walk.appliance.app(APP).await.is_ok()).await;
    let appliance = walk.appliance.clone();
    docker.meanwhile("container_changes", 1, move |_| {
        let running = appliance.0.jobs.active();
        appliance.0.jobs.cancel(&running[0].id).unwrap();
    });
    let job = ended(&walk.appliance, &ask(&walk).await).await;
    assert_eq!((job.state, job.snapshot), (JobState::Cancelled, None), "{:?}", job.summary);
    assert_eq!(walk.appliance.snapshots(None).await.unwrap().len(), 0);
    assert_eq!(docker.container_state("engineroom-db-1"), Some("running"));
    assert_eq!(walk.appliance.app(APP).await.unwrap().state, AppState::NotProtected, "a wish is no failure");
    walk.end().await;
}

/// The appliance ends while a backup runs: the job is interrupted, the host is as before.
#[tokio::test]
async fn an_ending_appliance_interrupts_and_lets_go() {
    let docker = Arc::new(FakeDocker::new());
    let walk = Walk::begin(docker.clone()).await;
    until("the app is found", async || walk.appliance.app(APP).await.is_ok()).await;
    let stop = walk.stop.clone();
    docker.meanwhile("container_changes", 1, move |_| stop.cancel());
    let job = ask(&walk).await;
    walk.appliance.finished().await;
    let job = walk.appliance.job(&job.id).await.unwrap();
    assert_eq!((job.state, job.snapshot), (JobState::Interrupted, None), "{:?}", job.summary);
    assert_eq!(docker.container_state("engineroom-db-1"), Some("running"));
}

/// Data comes back byte for byte; a safety snapshot keeps what was there.
#[tokio::test]
async fn data_comes_back_and_the_old_stays_safe() {
    let docker = Arc::new(FakeDocker::new());
    let walk = Walk::begin(docker.clone()).await;
    docker.volume_put("engineroom_data", Entry::file("ledger", "first"));
    let first = walk.backup().await;
    docker.volume_put("engineroom_data", Entry::file("ledger", "second"));
    let back = |id: &str| RestoreRequest {
        snapshot: id.into(),
        target: Target::InPlace,
        confirmed: true,
        ..RestoreRequest::default()
    };
    let job = walk.appliance.restore(back(first.id.as_str())).await.unwrap();
    assert_eq!(ended(&walk.appliance, &job).await.state, JobState::Done);
    let content = |what: Option<Entry>| match what.map(|entry| entry.what) {
        Some(What::File(bytes)) => String::from_utf8(bytes).unwrap(),
        other => panic!("no file but {other:?}"),
    };
    assert_eq!(content(docker.volume_entry("engineroom_data", "ledger")), "first");
    walk.clock.advance(Duration::from_secs(61));
    let safety = walk.appliance.snapshots(None).await.unwrap().pop().unwrap();
    assert_eq!(safety.trigger, Trigger::Safety);
    let job = walk.appliance.restore(back(safety.id.as_str())).await.unwrap();
    assert_eq!(ended(&walk.appliance, &job).await.state, JobState::Done);
    assert_eq!(content(docker.volume_entry("engineroom_data", "ledger")), "second");
    walk.end().await;
}

/// A failed scheduled backup is tried again later, not at once, and its reason is shown.
#[tokio::test]
async fn failures_wait_before_they_are_tried_again() {
    let docker = Arc::new(FakeDocker::new());
    let walk = Walk::begin(docker.clone()).await;
    until("the app is found", async || walk.appliance.app(APP).await.is_ok()).await;
    let failed = async || {
        let jobs = walk.appliance.jobs().await;
        jobs.iter().filter(|job| job.state == JobState::Failed).count()
    };
    docker.fail("container_pause", 1, Kind::Invalid, "test.refused");
    walk.appliance.app_assign(APP, Some("gold")).await.unwrap();
    until("the first run failed", async || failed().await == 1).await;
    let view = walk.appliance.app(APP).await.unwrap();
    assert_eq!(view.state, AppState::Failed);
    assert_eq!(view.next_backup, Some(start_of_time().plus_seconds(300)));
    assert_eq!(walk.appliance.status().await.attention, 1);
    crate::scheduler::turn(&walk.appliance.0);
    assert!(walk.appliance.0.jobs.active().is_empty(), "not before the pause is over");
    walk.clock.advance(Duration::from_secs(301));
    crate::scheduler::turn(&walk.appliance.0);
    until("the second run succeeded", async || walk.appliance.app(APP).await.unwrap().snapshots == 1).await;
    walk.end().await;
}

/// Law L4: the catalog is a memory aid. Without it every snapshot is there, and so are settings.
#[tokio::test]
async fn a_lost_catalog_loses_nothing() {
    let docker = Arc::new(FakeDocker::new());
    let walk = Walk::begin(docker.clone()).await;
    let taken = walk.backup().await;
    walk.in_cloud(taken.id.as_str()).await;
    walk.appliance.app_assign(APP, Some("gold")).await.unwrap();
    walk.stop.cancel();
    walk.appliance.finished().await;
    let (data, stop) = (walk.place.path().to_owned(), Stop::new());
    drop(walk.appliance);
    std::fs::remove_dir_all(data.join("catalog")).unwrap();

    let again = walk.world.start(&data, None, walk.clock.clone(), &stop).await.unwrap();
    until("the app is found", async || again.app(APP).await.is_ok_and(|app| app.running == 1)).await;
    let view = again.app(APP).await.unwrap();
    assert_eq!((view.snapshots, view.policy.as_deref()), (1, Some("gold")));
    until("the bucket is known again", async || {
        again.snapshots(None).await.unwrap()[0].state.cloud == CloudState::Present
    })
    .await;
    let job = ended(&again, &again.check(true).await.unwrap()).await;
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    stop.cancel();
    again.finished().await;
}
