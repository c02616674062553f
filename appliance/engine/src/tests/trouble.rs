//! Things go wrong: a crash during a hold, a host that goes away, a job that is stopped.

use super::{
    walk::{APP, Walk, build, clear},
    world::{World, ended, start_of_time, until},
};
use holdfast_docker::Engine;
use holdfast_model::{
    Kind,
    job::JobState,
    view::{AppState, BackupRequest, CloudState},
};
use holdfast_runtime::{Clock, Stop};
use serde_json::json;
use std::sync::Arc;

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
    let request = BackupRequest { apps: vec![APP.into()], consistency: None };
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
    let job = again.backup(BackupRequest { apps: vec![APP.into()], consistency: None }).await.unwrap().remove(0);
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
