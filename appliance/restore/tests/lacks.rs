//! What a host lacks is in the plan before anything is done, and each way out of it leads out.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use holdfast_docker::{Engine, fake::FakeDocker};
use holdfast_model::{
    snapshot::Snapshot,
    view::{PortChange, Target, WayOut},
};
use holdfast_restore::{Ask, Plan, carry_out, plan};
use holdfast_runtime::Stop;
use serde_json::{Value, json};
use std::sync::Arc;
use support::{App, Memory, inspect};

const ALL: [(&str, WayOut); 8] = [
    ("device.missing", WayOut::NoDevices),
    ("runtime.missing", WayOut::OwnDrivers),
    ("log_driver.missing", WayOut::OwnDrivers),
    ("network_driver.missing", WayOut::OwnDrivers),
    ("volume_driver.missing", WayOut::OwnDrivers),
    ("path.missing", WayOut::NoPaths),
    ("limit.refused", WayOut::NoLimits),
    ("network.missing", WayOut::MakeNetworks),
];

/// The recorded app, of which another host lacks much.
async fn demanding() -> (Arc<dyn Engine>, FakeDocker, Arc<Memory>, Snapshot) {
    let first = FakeDocker::new();
    let memory = Arc::new(Memory::default());
    let mut snapshot = App::imagined(&first).await.capture(&memory, &["db", "web"]).await;
    let web = snapshot.containers.iter_mut().find(|one| one.name == "shop-web-1").unwrap();
    let mut described: Value = serde_json::from_str(&web.inspect.0).unwrap();
    let host = &mut described["HostConfig"];
    host["Devices"] = json!([
        {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"},
        {"PathOnHost": "/dev/fuse2", "PathInContainer": "/dev/fuse2", "CgroupPermissions": "rwm"}]);
    host["DeviceRequests"] = json!([{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]);
    host["Runtime"] = json!("runsc");
    host["LogConfig"] = json!({"Type": "splunk", "Config": {"splunk-url": "x"}});
    host["NanoCpus"] = json!(8_000_000_000u64);
    host["MemorySwap"] = json!(1_000_000_000u64);
    host["Binds"].as_array_mut().unwrap().push(json!("/run/app.sock:/run/app.sock"));
    host["Mounts"] = json!([{"Type": "bind", "Source": "/mnt/media", "Target": "/media"}]);
    described["NetworkSettings"]["Networks"]["elsewhere"] = json!({"IPAMConfig": null, "Aliases": null});
    web.inspect.0 = described.to_string();
    for (text, driver) in
        [(&mut snapshot.volumes[0].inspect.0, "sshfs"), (&mut snapshot.networks[0].inspect.0, "macvlan")]
    {
        let mut described: Value = serde_json::from_str(text).unwrap();
        described["Driver"] = json!(driver);
        *text = described.to_string();
    }
    let host = FakeDocker::new();
    host.host_directory("/dev/fuse", &[]);
    (Arc::new(host.clone()), host, memory, snapshot)
}

fn ask(ways: &[WayOut]) -> Ask {
    Ask { target: Target::Host { host: "other".into() }, owner: "test".into(), ways: ways.to_vec(), ..Ask::default() }
}

fn codes(problems: &[holdfast_model::Problem]) -> Vec<(String, String)> {
    problems.iter().map(|one| (one.code.clone(), one.subject.clone())).collect()
}

async fn planned(engine: &Arc<dyn Engine>, snapshot: &Snapshot, ways: &[WayOut]) -> Plan {
    plan(engine, snapshot, &ask(ways)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn all_that_is_missing_is_named_with_its_way_out_and_nothing_is_touched() {
    let (engine, fake, memory, snapshot) = demanding().await;
    let found = planned(&engine, &snapshot, &[]).await;
    let conflicts = codes(&found.conflicts);
    for (code, subject) in [
        ("device.missing", "/dev/fuse2"),
        ("device.missing", "shop-web-1"),
        ("runtime.missing", "runsc"),
        ("log_driver.missing", "splunk"),
        ("network_driver.missing", "shop_default"),
        ("volume_driver.missing", "shop_data"),
        ("path.missing", "/run/app.sock"),
        ("path.missing", "/mnt/media"),
        ("limit.refused", "shop-web-1"),
        ("network.missing", "elsewhere"),
    ] {
        assert!(conflicts.contains(&(code.into(), subject.into())), "no {code} of {subject} in {conflicts:?}");
    }
    assert_eq!(conflicts.len(), 10, "{conflicts:?}");
    assert!(found.conflicts.iter().all(|one| one.advice.as_ref().is_some_and(|advice| advice.contains("--"))));
    assert!(codes(&found.notes).contains(&("limit.not_kept".into(), "shop-web-1".into())), "{:?}", found.notes);
    // A restore of that plan does not begin, and what asked is gone.
    carry_out(engine.clone(), &snapshot, &found, memory, &Stop::new()).await.unwrap_err();
    assert_eq!(engine.container_list().await.unwrap(), Vec::<Value>::new());
    assert_eq!(engine.volume_list().await.unwrap(), Vec::<Value>::new());
    assert!(fake.host_content("/mnt/media", "").is_none());
}

/// Devices are looked for when a container starts: one that stood still comes back as it was, and it is told.
#[tokio::test(start_paused = true)]
async fn who_did_not_run_needs_no_devices_yet() {
    let (engine, _, _, mut snapshot) = demanding().await;
    let web = snapshot.containers.iter_mut().find(|one| one.name == "shop-web-1").unwrap();
    web.state = holdfast_model::snapshot::RunState::Stopped;
    let found = planned(&engine, &snapshot, &[]).await;
    let is_device = |one: &&(String, String)| one.0 == "device.missing";
    assert_eq!(codes(&found.conflicts).iter().find(is_device), None);
    assert_eq!(codes(&found.notes).iter().filter(is_device).count(), 2, "{:?}", found.notes);
    let found = planned(&engine, &snapshot, &[WayOut::NoDevices]).await;
    assert_eq!(found.notes.iter().filter(|one| one.message.contains("as you asked")).count(), 2, "{:?}", found.notes);
}

#[tokio::test(start_paused = true)]
async fn each_way_takes_away_its_own_conflicts_alone() {
    let (engine, _, _, snapshot) = demanding().await;
    let all = codes(&planned(&engine, &snapshot, &[]).await.conflicts);
    for way in ALL.map(|(_, way)| way) {
        let of_it = |code: &str| ALL.iter().any(|(known, its)| *known == code && *its == way);
        let left = codes(&planned(&engine, &snapshot, &[way]).await.conflicts);
        let expected: Vec<_> = all.iter().filter(|(code, _)| !of_it(code)).cloned().collect();
        assert_eq!(left, expected, "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn by_all_ways_the_app_stands_and_what_was_left_out_is_told() {
    let (engine, _, memory, snapshot) = demanding().await;
    let found = planned(&engine, &snapshot, &ALL.map(|(_, way)| way)).await;
    assert_eq!(found.conflicts, []);
    for (code, _) in ALL {
        assert!(found.notes.iter().any(|note| note.code == code && note.message.contains("as you asked")), "{code}");
    }
    carry_out(engine.clone(), &snapshot, &found, memory, &Stop::new()).await.unwrap();
    let host = inspect(engine.as_ref(), "shop-web-1").await.unwrap()["HostConfig"].clone();
    assert_eq!(host["Devices"].as_array().unwrap().len(), 1);
    assert_eq!((&host["DeviceRequests"], &host["Mounts"]), (&json!([]), &json!([])));
    assert!(!host["Binds"].to_string().contains("app.sock"), "{host}");
    assert!(["Runtime", "LogConfig", "NanoCpus"].iter().all(|key| host.get(*key).is_none()), "{host}");
    let volume = engine.volume_inspect("shop_data").await.unwrap();
    assert!(volume.contains("\"local\""), "{volume}");
    assert!(engine.network_inspect("elsewhere").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn missing_paths_can_be_made() {
    let (engine, _, _, snapshot) = demanding().await;
    let found = planned(&engine, &snapshot, &[WayOut::MakePaths]).await;
    assert!(!codes(&found.conflicts).iter().any(|(code, _)| code == "path.missing"), "{:?}", found.conflicts);
    assert!(found.notes.iter().any(|note| note.code == "path.missing" && note.message.contains("empty folder")));
}

#[tokio::test(start_paused = true)]
async fn ports_go_where_they_are_sent() {
    let first = FakeDocker::new();
    let memory = Arc::new(Memory::default());
    let snapshot = App::imagined(&first).await.capture(&memory, &["db", "web"]).await;
    let port = |inspect: &Value| inspect["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"].clone();
    for (target, name, no_ports) in [
        (Target::Host { host: "other".into() }, "shop-web-1", false),
        (Target::Host { host: "other".into() }, "shop-web-1", true),
        (Target::Beside, "shop-restore-web-1", false),
    ] {
        let engine: Arc<dyn Engine> = Arc::new(FakeDocker::new());
        let change = PortChange { from: 8080, to: 18080 };
        let ask = Ask { target, no_ports, ports: vec![change], owner: "test".into(), ..Ask::default() };
        let found = plan(&engine, &snapshot, &ask).await.unwrap();
        assert_eq!(found.conflicts, []);
        assert!(found.notes.iter().any(|note| note.code == "port.changed"), "{:?}", found.notes);
        carry_out(engine.clone(), &snapshot, &found, memory.clone(), &Stop::new()).await.unwrap();
        assert_eq!(port(&inspect(engine.as_ref(), name).await.unwrap()), "18080");
        for (from, to) in [(1, 2), (8080, 0)] {
            let wrong = Ask { ports: vec![PortChange { from, to }], ..ask.clone() };
            assert_eq!(plan(&engine, &snapshot, &wrong).await.unwrap_err().code(), "port.invalid");
        }
        let twice = Ask { ports: vec![change, change], ..ask };
        assert_eq!(plan(&engine, &snapshot, &twice).await.unwrap_err().code(), "port.invalid");
    }
}

/// What a real engine answers, in its own words; nothing of what asked is left there.
#[tokio::test]
async fn a_real_engine_is_asked() {
    const OWNER: &str = "hflacks";
    let Some(engine) = support::engine().await else { return };
    let (_, _, _, mut snapshot) = demanding().await;
    let web = snapshot.containers.iter_mut().find(|one| one.name == "shop-web-1").unwrap();
    web.inspect.0 = web.inspect.0.replace("splunk", "hflacks-log").replace("/dev/fuse", "/dev/hflacks");
    let of = |ways: &[WayOut]| Ask { owner: OWNER.into(), ..ask(ways) };
    let found = plan(&engine, &snapshot, &of(&[])).await.unwrap();
    for conflict in &found.conflicts {
        println!("{}: {} {:?}", conflict.code, conflict.message, conflict.advice);
    }
    assert!(found.conflicts.iter().all(|one| !one.message.contains("refused container")), "the helper is no news");
    let told = codes(&found.conflicts);
    for (code, subject) in [
        ("device.missing", "/dev/hflacks"),
        ("device.missing", "/dev/hflacks2"),
        ("device.missing", "shop-web-1"),
        ("runtime.missing", "runsc"),
        ("log_driver.missing", "hflacks-log"),
        ("volume_driver.missing", "shop_data"),
        ("path.missing", "/run/app.sock"),
        ("path.missing", "/mnt/media"),
        ("network.missing", "elsewhere"),
    ] {
        assert!(told.contains(&(code.into(), subject.into())), "no {code} of {subject} in {told:?}");
    }
    let left = plan(&engine, &snapshot, &of(&ALL.map(|(_, way)| way))).await.unwrap();
    let left = codes(&left.conflicts);
    assert!(!left.iter().any(|(code, _)| ALL.iter().any(|(known, _)| known == code)), "{left:?}");
    let listed = engine.container_list().await.unwrap();
    assert!(!listed.iter().any(|item| item["Labels"]["io.holdfast.helper"] == OWNER), "what asked is still there");
}
