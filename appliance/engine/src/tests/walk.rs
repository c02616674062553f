//! The whole way of an app: backup, restore, check, prune, schedule, recovery. On the fake engine always,
//! on a real one with HOLDFAST_REAL_DOCKER=1 (static busybox needed).

use super::{
    trouble,
    world::{World, ended, start_of_time, until},
};
use crate::{Appliance, scheduler};
use futures::{StreamExt, stream};
use holdfast_docker::{
    Engine,
    archive::{Entry, image, tar},
    fake::FakeDocker,
};
use holdfast_model::{
    Kind,
    job::{JobKind, JobState},
    policy::{Consistency, Policy, Retention},
    snapshot::Trigger,
    view::{
        AppState, BackupRequest, BucketRequest, CloudState, From, RecoverRequest, RestoreRequest, SnapshotView, Target,
    },
};
use holdfast_runtime::{Clock, Stop};
use serde_json::json;
use std::{sync::Arc, time::Duration};

pub const APP: &str = "engineroom";
const OTHER: &str = "engineroom-restore";
const IMAGE: &str = "engineroom/busy:1";
const BUCKET: &str = "file:///bucket";

/// An appliance beside a host with one small project on it.
pub struct Walk {
    pub engine: Arc<dyn Engine>,
    pub world: World,
    pub place: tempfile::TempDir,
    pub clock: Clock,
    pub stop: Stop,
    pub appliance: Appliance,
}

impl Walk {
    pub async fn begin(engine: Arc<dyn Engine>) -> Walk {
        let (world, place, stop) = (World::default(), tempfile::tempdir().unwrap(), Stop::new());
        world.put_engine("unix:///docker", engine.clone());
        let clock = Clock::manual(start_of_time());
        clear(engine.as_ref()).await;
        build(engine.as_ref()).await;
        let appliance = world.start(place.path(), Some(BUCKET), clock.clone(), &stop).await.unwrap();
        Walk { engine, world, place, clock, stop, appliance }
    }

    pub async fn end(self) {
        self.stop.cancel();
        self.appliance.finished().await;
        clear(self.engine.as_ref()).await;
    }

    pub async fn backup(&self) -> SnapshotView {
        let request = BackupRequest { apps: vec![APP.into()], ..BackupRequest::default() };
        let job = self.appliance.backup(request).await.unwrap().remove(0);
        let job = ended(&self.appliance, &job).await;
        assert_eq!(job.state, JobState::Done, "{job:#?}");
        let is_reduced = job.problems.iter().any(|problem| problem.code.starts_with("mover."));
        assert!(!is_reduced, "the archive was read instead: {:?}", job.problems);
        let id = job.snapshot.unwrap().to_string();
        // Snapshots of one test must not share a moment.
        self.clock.advance(Duration::from_secs(61));
        self.appliance.snapshot(&id).await.unwrap().snapshot
    }

    pub async fn in_cloud(&self, id: &str) {
        until("the snapshot is in the cloud", async || {
            self.appliance.snapshot(id).await.unwrap().snapshot.state.cloud == CloudState::Present
        })
        .await;
    }
}

pub async fn build(engine: &dyn Engine) {
    let busybox = std::fs::read("/bin/busybox").unwrap_or_else(|_| vec![7; 100_000]);
    let layer = tar(&[Entry::directory("bin"), Entry::file("bin/busybox", busybox).mode(0o755)]);
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/busybox", "sleep", "1000"]}});
    let bytes = image(IMAGE, &config, &[layer]);
    engine.image_load(stream::iter([Ok(bytes.into())]).boxed()).await.unwrap();
    let labels = json!({"com.docker.compose.project": APP});
    engine.volume_create(&json!({"Name": "engineroom_data", "Labels": labels})).await.unwrap();
    engine.network_create(&json!({"Name": "engineroom_net", "Labels": labels})).await.unwrap();
    let body = json!({"Image": IMAGE, "Cmd": ["/bin/busybox", "sleep", "1000"], "StopSignal": "SIGKILL",
        "Labels": {"com.docker.compose.project": APP, "com.docker.compose.service": "db"},
        "HostConfig": {"Binds": ["engineroom_data:/data"], "NetworkMode": "engineroom_net"}});
    let id = engine.container_create("engineroom-db-1", &body).await.unwrap();
    engine.container_start(&id).await.unwrap();
}

pub async fn clear(engine: &dyn Engine) {
    for found in engine.container_list().await.unwrap() {
        let project = found["Labels"]["com.docker.compose.project"].as_str().unwrap_or_default();
        if project == APP || project == OTHER {
            engine.container_remove(found["Id"].as_str().unwrap(), true).await.unwrap();
        }
    }
    for volume in engine.volume_list().await.unwrap() {
        let name = volume["Name"].as_str().unwrap_or_default().to_owned();
        if name.starts_with("engineroom") {
            engine.volume_remove(&name).await.unwrap();
        }
    }
    for network in engine.network_list().await.unwrap() {
        if network["Name"].as_str().unwrap_or_default().starts_with("engineroom") {
            engine.network_remove(network["Id"].as_str().unwrap()).await.unwrap();
        }
    }
    engine.image_remove(IMAGE).await.unwrap();
}

fn restore(snapshot: &str, target: Target, confirmed: bool) -> RestoreRequest {
    RestoreRequest { snapshot: snapshot.into(), target, confirmed, ..RestoreRequest::default() }
}

async fn backups_and_restores(engine: Arc<dyn Engine>) {
    let walk = Walk::begin(engine).await;
    let appliance = &walk.appliance;
    let error = appliance
        .backup(BackupRequest { apps: vec!["engineroon".into()], ..BackupRequest::default() })
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::NotFound, "app.unknown"));
    assert!(error.advice_text().unwrap().contains("local/engineroom"));

    let first = walk.backup().await;
    assert_eq!((first.trigger, first.consistency), (Trigger::Manual, Consistency::Pause));
    let second = walk.backup().await;
    assert!(second.stats.images_known == 1 && second.bytes_new < first.bytes_new, "{:?}", second.stats);
    let view = appliance.app(APP).await.unwrap();
    assert_eq!((view.state, view.snapshots, view.points.len()), (AppState::NotProtected, 2, 2));
    assert!(appliance.status().await.activity[71].captured > 0);

    let latest = format!("latest:{APP}");
    let plan = appliance.restore_plan(restore(&latest, Target::InPlace, false)).await.unwrap();
    assert_eq!(plan.snapshot.id, second.id);
    assert!(plan.destructive && plan.conflicts.is_empty(), "{plan:#?}");
    let error = appliance.restore(restore(&latest, Target::InPlace, false)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Refused, "restore.unconfirmed"));

    let job = appliance.restore(restore(first.id.as_str(), Target::InPlace, true)).await.unwrap();
    let job = ended(appliance, &job).await;
    assert_eq!((job.state, job.snapshot.as_ref()), (JobState::Done, Some(&first.id)), "{job:#?}");
    let all = appliance.snapshots(Some(APP)).await.unwrap();
    assert_eq!((all.len(), all[2].trigger), (3, Trigger::Safety));

    let job = appliance.restore(restore(&latest, Target::Beside, false)).await.unwrap();
    let job = ended(appliance, &job).await;
    assert!(matches!(job.state, JobState::Done | JobState::DoneWithProblems), "{job:#?}");
    until("the copy is found", async || appliance.app(OTHER).await.is_ok()).await;
    let error = appliance.restore(restore(&latest, Target::Beside, false)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Refused, "restore.conflict"), "{error:?}");
    walk.end().await;
}

async fn upkeep(engine: Arc<dyn Engine>) {
    let walk = Walk::begin(engine).await;
    let appliance = &walk.appliance;
    until("the app is found", async || appliance.app(APP).await.is_ok()).await;
    let keep = Retention { last: 2, ..Retention::default() };
    let policy = Policy {
        name: "often".into(),
        every_seconds: 3600,
        consistency: Consistency::Stop,
        databases: Default::default(),
        keep,
    };
    appliance.policy_put(policy).await.unwrap();
    let view = appliance.app_assign(APP, Some("often")).await.unwrap();
    assert_eq!(view.policy.as_deref(), Some("often"));
    let scheduled = async |count: usize| {
        until("the scheduled backup is there", async || {
            scheduler::turn(&appliance.0);
            appliance.snapshots(None).await.unwrap().len() >= count && appliance.0.jobs.active().is_empty()
        })
        .await;
    };
    scheduled(1).await;
    let first = appliance.snapshots(None).await.unwrap().remove(0);
    assert_eq!((first.trigger, first.policy.as_deref()), (Trigger::Schedule, Some("often")));
    assert_eq!(first.consistency, Consistency::Stop);
    until("the daily prune ran", async || appliance.jobs().await.iter().any(|job| job.kind == JobKind::Prune)).await;

    for count in 2..=4 {
        walk.clock.advance(Duration::from_secs(3700));
        scheduled(count).await;
    }
    let ids: Vec<_> = appliance.snapshots(None).await.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(ids.len(), 4, "one run per interval");
    let plan = appliance.prune_plan().await.unwrap();
    assert_eq!(plan.forget.iter().map(|line| line.id.clone()).collect::<Vec<_>>(), ids[..2]);
    let job = ended(appliance, &appliance.prune().await.unwrap()).await;
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    assert_eq!(appliance.snapshots(None).await.unwrap().len(), 2);
    appliance.snapshot_forget(ids[2].as_str(), true).await.unwrap();
    assert_eq!(appliance.snapshot(ids[2].as_str()).await.unwrap_err().kind(), Kind::NotFound);

    let job = ended(appliance, &appliance.check(true).await.unwrap()).await;
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    assert_eq!(appliance.check_report().await.unwrap().snapshots, 1);
    walk.end().await;
}

async fn everything_is_lost(engine: Arc<dyn Engine>) {
    let walk = Walk::begin(engine.clone()).await;
    let taken = walk.backup().await;
    walk.in_cloud(taken.id.as_str()).await;
    let kit = walk.appliance.kit().await.unwrap().text;
    walk.stop.cancel();
    walk.appliance.finished().await;
    clear(engine.as_ref()).await;

    let (place, stop) = (tempfile::tempdir().unwrap(), Stop::new());
    let appliance = walk.world.start(place.path(), None, walk.clock.clone(), &stop).await.unwrap();
    let bucket = BucketRequest { url: BUCKET.into(), ..BucketRequest::default() };
    let job = ended(&appliance, &appliance.recover(RecoverRequest::with_kit(bucket, kit)).await.unwrap()).await;
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    until("the bucket is attached", async || appliance.0.repository().has_bucket()).await;
    let view = appliance.snapshot(taken.id.as_str()).await.unwrap().snapshot;
    assert_eq!(view.state.cloud, CloudState::Present);

    let cache_only = RestoreRequest { from: From::Cache, ..restore(taken.id.as_str(), Target::InPlace, true) };
    assert_eq!(appliance.restore(cache_only).await.unwrap_err().code(), "restore.conflict");
    let plan = appliance.restore_plan(restore(taken.id.as_str(), Target::InPlace, false)).await.unwrap();
    assert!(plan.bytes_from_bucket > 0 && plan.requests > 0 && plan.seconds_from_bucket.is_some(), "{plan:#?}");
    let job = appliance.restore(restore(taken.id.as_str(), Target::InPlace, true)).await.unwrap();
    let job = ended(&appliance, &job).await;
    assert!(matches!(job.state, JobState::Done | JobState::DoneWithProblems), "{job:#?}");
    until("the app is back", async || appliance.app(APP).await.is_ok_and(|app| app.running == 1)).await;
    stop.cancel();
    appliance.finished().await;
    drop(walk.place);
    clear(engine.as_ref()).await;
}

#[tokio::test]
async fn backups_and_restores_on_the_fake() {
    backups_and_restores(Arc::new(FakeDocker::new())).await;
}

#[tokio::test]
async fn upkeep_on_the_fake() {
    upkeep(Arc::new(FakeDocker::new())).await;
}

#[tokio::test]
async fn everything_is_lost_on_the_fake() {
    everything_is_lost(Arc::new(FakeDocker::new())).await;
}

async fn real() -> Option<Arc<dyn Engine>> {
    std::env::var_os("HOLDFAST_REAL_DOCKER")?;
    let url = std::env::var("HOLDFAST_DOCKER_URL").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let host = holdfast_model::settings::Host { name: "local".into(), url, tls: None, ssh: None };
    Some(holdfast_docker::connect(&host).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_real_engine() {
    let Some(engine) = real().await else { return };
    backups_and_restores(engine.clone()).await;
    upkeep(engine.clone()).await;
    everything_is_lost(engine.clone()).await;
    trouble::holds_of_a_crash_are_undone(engine.clone()).await;
    trouble::host_and_bucket_go_away(engine).await;
}
