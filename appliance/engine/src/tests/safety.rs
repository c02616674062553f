//! What is replaced lies in a snapshot first, also when its app is not there any more.

use super::{
    walk::{APP, Walk},
    world::ended,
};
use holdfast_docker::{
    Engine,
    archive::{Entry, What},
    fake::FakeDocker,
};
use holdfast_model::{
    Kind,
    job::{JobState, JobView},
    policy::Consistency,
    snapshot::Trigger,
    view::{ContentView, PutRequest, RestoreRequest, SnapshotView, Target},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};

const DB: &str = "engineroom-db-1";
const WEB: &str = "engineroom-web-1";

/// The project of all walks, and a container of it that has a folder of the host.
async fn begin() -> (Arc<FakeDocker>, Walk) {
    let docker = Arc::new(FakeDocker::new());
    let walk = Walk::begin(docker.clone()).await;
    docker.host_directory("/srv/site", &[("page", b"first")]);
    let body = json!({"Image": "engineroom/busy:1", "Cmd": ["/bin/busybox", "sleep", "1000"],
        "Labels": {"com.docker.compose.project": APP, "com.docker.compose.service": "web"},
        "HostConfig": {"Binds": ["/srv/site:/site"], "NetworkMode": "engineroom_net"}});
    let id = docker.container_create(WEB, &body).await.unwrap();
    docker.container_start(&id).await.unwrap();
    docker.volume_put("engineroom_data", Entry::file("ledger", "first"));
    (docker, walk)
}

fn back(snapshot: &SnapshotView) -> RestoreRequest {
    RestoreRequest {
        snapshot: snapshot.id.to_string(),
        target: Target::InPlace,
        confirmed: true,
        ..RestoreRequest::default()
    }
}

async fn restored(walk: &Walk, request: RestoreRequest) -> JobView {
    let job = walk.appliance.restore(request).await.unwrap();
    let job = ended(&walk.appliance, &job).await;
    assert!(matches!(job.state, JobState::Done | JobState::DoneWithProblems), "{job:#?}");
    walk.clock.advance(Duration::from_secs(61));
    job
}

/// Those that were taken before something was replaced: of the app itself, or of places alone.
async fn saved(walk: &Walk, of_places: bool) -> Vec<SnapshotView> {
    let all = walk.appliance.snapshots(None).await.unwrap().into_iter();
    let says_so = |one: &SnapshotView| one.problems.iter().any(|problem| problem.code == "snapshot.places");
    all.filter(|one| one.trigger == Trigger::Safety && says_so(one) == of_places).collect()
}

async fn contents(walk: &Walk, snapshot: &SnapshotView) -> Vec<ContentView> {
    walk.appliance.snapshot(snapshot.id.as_str()).await.unwrap().contents
}

fn ledger(docker: &FakeDocker) -> Option<What> {
    docker.volume_entry("engineroom_data", "ledger").map(|entry| entry.what)
}

/// Its containers are removed, what they mounted is not: all of it is kept, and comes back by the same command.
#[tokio::test]
async fn what_an_app_left_behind_is_saved_before_it_is_replaced() {
    let (docker, walk) = begin().await;
    let first = walk.backup().await;
    docker.volume_put("engineroom_data", Entry::file("ledger", "second"));
    docker.host_put("/srv/site", Entry::file("page", "second"));
    [DB, WEB].iter().for_each(|name| docker.container_vanish(name));

    restored(&walk, back(&first)).await;
    assert_eq!(ledger(&docker), Some(What::File(b"first".to_vec())));
    assert_eq!(docker.host_content("/srv/site", "page").unwrap(), b"first");
    assert!(saved(&walk, false).await.is_empty());
    let places = saved(&walk, true).await.remove(0);
    assert_eq!(places.consistency, Consistency::None);
    let kinds: Vec<String> = contents(&walk, &places).await.into_iter().map(|one| one.kind).collect();
    assert_eq!(kinds, ["volume", "bind"], "nothing stands for the app itself");
    // Whoever asks for the newest means the app.
    let latest = RestoreRequest { snapshot: format!("latest:{APP}"), ..back(&first) };
    assert_eq!(walk.appliance.restore_plan(latest).await.unwrap().snapshot.id, first.id);

    restored(&walk, back(&places)).await;
    assert_eq!(ledger(&docker), Some(What::File(b"second".to_vec())));
    assert_eq!(docker.host_content("/srv/site", "page").unwrap(), b"second");
    assert_eq!([DB, WEB].map(|name| docker.container_state(name)), [Some("running"); 2], "the app stays");
    assert_eq!((saved(&walk, false).await.len(), saved(&walk, true).await.len()), (1, 1), "now it was there");
    walk.end().await;
}

/// One volume of it.
#[tokio::test]
async fn a_volume_that_nobody_mounts_is_saved_before_it_is_replaced() {
    let (docker, walk) = begin().await;
    let first = walk.backup().await;
    docker.volume_put("engineroom_data", Entry::file("ledger", "second"));
    // The app is there, but no container of it mounts the volume.
    docker.container_vanish(DB);
    let one = |snapshot: &SnapshotView| RestoreRequest { volume: Some("engineroom_data".into()), ..back(snapshot) };
    restored(&walk, one(&first)).await;
    assert_eq!(ledger(&docker), Some(What::File(b"first".to_vec())));
    let (of_app, places) = (saved(&walk, false).await.remove(0), saved(&walk, true).await.remove(0));
    assert!(contents(&walk, &of_app).await.iter().all(|one| one.name != "engineroom_data"));
    restored(&walk, one(&places)).await;
    assert_eq!(ledger(&docker), Some(What::File(b"second".to_vec())));
    walk.end().await;
}

/// The volume is gone, the folder of the host that it stood for is not.
#[tokio::test]
async fn the_folder_of_a_volume_that_is_gone_is_saved_before_it_is_emptied() {
    let (docker, walk) = begin().await;
    docker.host_directory("/srv/ledger", &[("old", b"old")]);
    let options = json!({"type": "none", "o": "bind", "device": "/srv/ledger"});
    docker.volume_create(&json!({"Name": "engineroom_adopted", "DriverOpts": options})).await.unwrap();
    let body = json!({"Image": "engineroom/busy:1", "Labels": {"com.docker.compose.project": APP},
        "HostConfig": {"Binds": ["engineroom_adopted:/ledger"]}});
    docker.container_create("engineroom-ledger-1", &body).await.unwrap();
    let first = walk.backup().await;
    docker.container_vanish("engineroom-ledger-1");
    docker.volume_remove("engineroom_adopted").await.unwrap();
    restored(&walk, back(&first)).await;
    assert_eq!(saved(&walk, false).await.len(), 1, "the rest of the app was there");
    let places = saved(&walk, true).await.remove(0);
    let named: Vec<String> = contents(&walk, &places).await.into_iter().map(|one| one.name).collect();
    assert_eq!(named, ["/srv/ledger"]);
    walk.end().await;
}

/// Where nothing is left, nothing is snapshotted and nothing is told.
#[tokio::test]
async fn where_nothing_is_left_there_is_nothing_to_save() {
    let (docker, walk) = begin().await;
    let first = walk.backup().await;
    [DB, WEB].iter().for_each(|name| docker.container_vanish(name));
    docker.volume_remove("engineroom_data").await.unwrap();
    docker.host_remove("/srv/site");
    let job = restored(&walk, back(&first)).await;
    assert_eq!(walk.appliance.snapshots(None).await.unwrap().len(), 1);
    let told = |code: &str| job.problems.iter().any(|problem| problem.code == code);
    assert!(!told("snapshot.places") && !told("bind.missing") && !told("restore.unsaved"), "{:?}", job.problems);
    assert_eq!(docker.host_content("/srv/site", "page").unwrap(), b"first");
    walk.end().await;
}

/// Somebody starts it again while its places are being saved.
#[tokio::test]
async fn what_came_to_be_there_while_its_places_were_saved_is_not_replaced() {
    let (docker, walk) = begin().await;
    let first = walk.backup().await;
    docker.volume_put("engineroom_data", Entry::file("ledger", "second"));
    [DB, WEB].iter().for_each(|name| docker.container_vanish(name));
    let mine = json!({"Image": "engineroom/busy:1", "Labels": {"com.docker.compose.project": APP}});
    docker.meanwhile("container_attach", 1, move |docker| docker.container_appear("engineroom-new-1", &mine));
    let job = walk.appliance.restore(back(&first)).await.unwrap();
    let job = ended(&walk.appliance, &job).await;
    assert_eq!((job.state, job.problems.last().unwrap().code.as_str()), (JobState::Failed, "restore.changed"));
    assert_eq!(ledger(&docker), Some(What::File(b"second".to_vec())));
    assert!(docker.container_state("engineroom-new-1").is_some(), "nothing was put aside");
    walk.end().await;
}

/// Files put back over others of an app that is not there.
#[tokio::test]
async fn files_are_put_back_over_others_after_their_place_was_saved() {
    let (docker, walk) = begin().await;
    let first = walk.backup().await;
    docker.host_put("/srv/site", Entry::file("page", "second"));
    [DB, WEB].iter().for_each(|name| docker.container_vanish(name));
    let request =
        PutRequest { section: "bind:/srv/site".into(), path: "page".into(), replace: true, ..PutRequest::default() };
    let job = walk.appliance.files_put(first.id.as_str(), request).await.unwrap();
    let job = ended(&walk.appliance, &job).await;
    assert!(matches!(job.state, JobState::Done | JobState::DoneWithProblems), "{job:#?}");
    assert_eq!(docker.host_content("/srv/site", "page").unwrap(), b"first");
    let places = saved(&walk, true).await.remove(0);
    let named: Vec<String> = contents(&walk, &places).await.into_iter().map(|one| one.name).collect();
    assert_eq!(named, ["/srv/site"]);
    walk.end().await;
}

/// What cannot be saved is not replaced, unless somebody agreed that it is lost.
#[tokio::test]
async fn what_cannot_be_saved_is_replaced_only_if_somebody_agreed() {
    let (docker, walk) = begin().await;
    let first = walk.backup().await;
    docker.host_put("/srv/site", Entry::file("page", "second"));
    [DB, WEB].iter().for_each(|name| docker.container_vanish(name));
    docker.volume_remove("engineroom_data").await.unwrap();
    // Neither a mover nor the archive reads the folder.
    let unreadable = || {
        docker.fail("container_attach", 1, Kind::Invalid, "host.refused");
        docker.fail("archive_get", 1, Kind::Invalid, "host.refused");
    };
    unreadable();
    let job = walk.appliance.restore(back(&first)).await.unwrap();
    let job = ended(&walk.appliance, &job).await;
    assert_eq!(
        (job.state, job.problems.last().unwrap().code.as_str()),
        (JobState::Failed, "restore.safety_incomplete")
    );
    assert_eq!(docker.host_content("/srv/site", "page").unwrap(), b"second");
    unreadable();
    let job = restored(&walk, RestoreRequest { lose_uncaptured: true, ..back(&first) }).await;
    let lost = job.problems.iter().find(|problem| problem.code == "restore.unsaved").unwrap();
    assert!(lost.message.contains("/srv/site"), "{lost:?}");
    assert_eq!(docker.host_content("/srv/site", "page").unwrap(), b"first");
    walk.end().await;
}
