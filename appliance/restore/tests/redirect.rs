//! A link in the place of a folder of the host, made by an app that can write above it, is not followed by a restore.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use holdfast_docker::{Engine, archive::Entry, fake::FakeDocker};
use holdfast_model::{
    Kind,
    snapshot::{DatabaseKind, DatabaseLog, DatabaseSection, Readiness, Snapshot, StreamRef},
};
use holdfast_restore::{Ask, leads_elsewhere, plan};
use serde_json::{Value, json};
use std::sync::Arc;
use support::{App, Memory};

/// The recorded app, whose one container was also given `/srv` itself to write to or to read.
async fn mounting(above: &str, writable: bool) -> (FakeDocker, Arc<dyn Engine>, Snapshot) {
    let fake = FakeDocker::new();
    let memory = Arc::new(Memory::default());
    let mut snapshot = App::imagined(&fake).await.capture(&memory, &["db", "web"]).await;
    let db = snapshot.containers.iter_mut().find(|one| one.name == "shop-db-1").unwrap();
    let mut described: Value = serde_json::from_str(&db.inspect.0).unwrap();
    let mount = json!({"Type": "bind", "Source": above, "Destination": "/all", "RW": writable});
    described["Mounts"].as_array_mut().unwrap().push(mount);
    db.inspect.0 = described.to_string();
    (fake.clone(), Arc::new(fake), snapshot)
}

async fn looked(engine: &Arc<dyn Engine>, snapshot: &Snapshot, path: &str) -> Option<String> {
    let error = leads_elsewhere(engine, "owner", snapshot, path).await.err()?;
    assert_eq!((error.kind(), error.code()), (Kind::Conflict, "path.redirected"), "{error:?}");
    assert!(error.advice_text().is_some());
    Some(error.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_link_below_what_containers_write_to_is_told_wherever_it_lies() {
    let (fake, engine, snapshot) = mounting("/data", true).await;
    fake.host_directory("/data", &[("one/two/file", b"mine"), ("file", b"mine")]);
    for path in ["/data/one/two", "/data/one", "/data/one/two/file", "/data/not/there", "/data", "/database/x"] {
        assert_eq!(looked(&engine, &snapshot, path).await, None, "{path}");
    }
    fake.host_put("/data", Entry::symlink("away", "/etc"));
    fake.host_put("/data", Entry::symlink("one/link", "../../.."));
    for (path, link) in [
        ("/data/away", "/data/away,"),
        ("/data/away/", "/data/away,"),
        ("/data/away/passwd", "/data/away,"),
        ("/data/one/link/etc", "/data/one/link,"),
    ] {
        assert!(looked(&engine, &snapshot, path).await.is_some_and(|told| told.contains(link)), "{path}");
    }
    assert_eq!(looked(&engine, &snapshot, "/data/one/two").await, None);
    assert!(!format!("{:?}", engine.container_list().await.unwrap()).contains("holdfast-restore-"));
}

#[tokio::test(start_paused = true)]
async fn what_no_container_writes_to_is_followed_as_ever() {
    let (fake, engine, snapshot) = mounting("/data", false).await;
    fake.host_put("/data", Entry::symlink("away", "/mnt/large"));
    assert_eq!(looked(&engine, &snapshot, "/data/away").await, None);
}

/// Who may write to the root of a host may do anything there; that says nothing about what lies where, and hides no other folder.
#[tokio::test(start_paused = true)]
async fn one_that_writes_to_the_whole_host_hides_nothing() {
    let (fake, engine, mut snapshot) = mounting("/data", true).await;
    let web = snapshot.containers.iter_mut().find(|one| one.name == "shop-web-1").unwrap();
    let mut described: Value = serde_json::from_str(&web.inspect.0).unwrap();
    let mount = json!({"Type": "bind", "Source": "/", "Destination": "/host", "RW": true});
    described["Mounts"].as_array_mut().unwrap().push(mount);
    web.inspect.0 = described.to_string();
    fake.host_put("/data", Entry::symlink("away", "/etc"));
    assert!(looked(&engine, &snapshot, "/data/away").await.is_some());
    assert_eq!(looked(&engine, &snapshot, "/other/place").await, None);
}

/// A volume can stand for a folder of the host: written to through it, and replaced through it.
#[tokio::test(start_paused = true)]
async fn volumes_that_stand_for_folders_count() {
    let (fake, engine, mut snapshot) = mounting("/none", true).await;
    let options = json!({"type": "none", "o": "bind", "device": "/data"});
    let mut described: Value = serde_json::from_str(&snapshot.volumes[0].inspect.0).unwrap();
    described["Options"] = options.clone();
    snapshot.volumes[0].inspect.0 = described.to_string();
    fake.host_put("/data", Entry::symlink("away", "/etc"));
    assert!(looked(&engine, &snapshot, "/data/away").await.is_some(), "{}", snapshot.volumes[0].name);
    let body = json!({"Name": "elsewhere", "Driver": "local", "DriverOpts": {"type": "none", "o": "bind", "device": "/data/away"}});
    engine.volume_create(&body).await.unwrap();
    let folder = holdfast_restore::folder_of_volume(engine.as_ref(), "elsewhere").await.unwrap();
    assert_eq!(folder.as_deref(), Some("/data/away"));
}

#[tokio::test(start_paused = true)]
async fn a_plan_has_it_as_a_conflict() {
    let (fake, engine, snapshot) = mounting("/srv", true).await;
    let codes = |found: holdfast_restore::Plan| found.conflicts.into_iter().map(|one| one.code).collect::<Vec<_>>();
    fake.host_directory("/srv", &[("www/sub/deep", b"deep")]);
    assert!(!codes(plan(&engine, &snapshot, &Ask::default()).await.unwrap()).contains(&"path.redirected".into()));
    fake.host_remove("/srv");
    fake.host_put("/srv", Entry::symlink("www", "/etc"));
    let ask = Ask { target: holdfast_model::view::Target::InPlace, ..Ask::default() };
    assert!(codes(plan(&engine, &snapshot, &ask).await.unwrap()).contains(&"path.redirected".into()));
}

/// The log that a server has written since is taken out of its folder: never out of the one that a link in its place leads to.
#[tokio::test(start_paused = true)]
async fn a_link_in_the_place_of_an_old_log_is_a_conflict_too() {
    let (fake, engine, mut snapshot) = mounting("/srv", true).await;
    fake.host_directory("/srv", &[("www/sub/deep", b"deep")]);
    fake.host_put("/srv", Entry::symlink("www/pg/pg_wal", "/etc"));
    let ask = Ask { target: holdfast_model::view::Target::InPlace, ..Ask::default() };
    let codes = |found: holdfast_restore::Plan| found.conflicts.into_iter().map(|one| one.code).collect::<Vec<_>>();
    let redirected = |codes: Vec<String>| codes.contains(&"path.redirected".to_owned());
    assert!(
        !redirected(codes(plan(&engine, &snapshot, &ask).await.unwrap())),
        "without a log nothing is taken out there"
    );
    let log =
        |folder: &str| DatabaseLog { place: "/srv/www".into(), folder: folder.into(), stream: StreamRef::default() };
    snapshot.databases = vec![DatabaseSection {
        container: "shop-db-1".into(),
        kind: DatabaseKind::Postgres,
        version: None,
        readiness: Readiness::Logged,
        dump: None,
        log: Some(log("pg")),
        file: None,
    }];
    assert!(redirected(codes(plan(&engine, &snapshot, &ask).await.unwrap())));
    // A folder that leads out of its place is nobody's.
    snapshot.databases[0].log = Some(log("../../etc"));
    let planned = plan(&engine, &snapshot, &ask).await.unwrap();
    assert!(codes(planned).contains(&"database.log_misplaced".to_owned()));
}
