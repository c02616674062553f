//! Restores on an engine in memory: every single call fails once, and nothing is left behind or lost.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use holdfast_docker::{
    Engine,
    archive::{Entry, What},
    fake::FakeDocker,
};
use holdfast_model::{
    Kind,
    snapshot::{Snapshot, Trigger},
    view::Target,
};
use holdfast_restore::{Ask, Trace, carry_out, differences, normalise, plan, put_back, unfinished};
use holdfast_runtime::Stop;
use std::{collections::BTreeMap, sync::Arc};
use support::{App, Memory, inspect};

struct World {
    fake: FakeDocker,
    memory: Arc<Memory>,
    snapshot: Snapshot,
    trace: Option<Trace>,
}

impl World {
    async fn new() -> World {
        let fake = FakeDocker::new();
        let app = App::imagined(&fake).await;
        let memory = Arc::new(Memory::default());
        let snapshot = app.capture(&memory, &["db", "web"]).await;
        World { fake, memory, snapshot, trace: None }
    }

    fn engine(&self) -> Arc<dyn Engine> {
        Arc::new(self.fake.clone())
    }

    /// Plans, then lets the `n`th `call` of the deed fail.
    async fn run(
        &self,
        target: Target,
        fault: Option<(&str, u32)>,
    ) -> holdfast_model::Result<holdfast_restore::Restored> {
        let ask = Ask { target, owner: "test".into(), trace: self.trace.clone(), ..Ask::default() };
        let plan = plan(&self.engine(), &self.snapshot, &ask).await.unwrap();
        assert_eq!(plan.conflicts, []);
        self.fake.forget_calls();
        if let Some((call, n)) = fault {
            self.fake.fail(call, n, Kind::Unavailable, "host.unreachable");
        }
        let (engine, memory) = (self.engine(), self.memory.clone());
        let snapshot = self.snapshot.clone();
        // On a task of its own, as the appliance does it.
        tokio::spawn(async move { carry_out(engine, &snapshot, &plan, memory, &Stop::new()).await }).await.unwrap()
    }

    /// All that is on the host, with the state of containers.
    async fn everything(&self) -> Vec<String> {
        let engine = self.engine();
        let mut all = Vec::new();
        for item in engine.container_list().await.unwrap() {
            all.push(format!("{} {} {}", item["Names"][0], item["Id"], item["State"]));
        }
        for item in engine.volume_list().await.unwrap().iter().chain(&engine.network_list().await.unwrap()) {
            all.push(item["Name"].to_string());
        }
        for item in engine.image_list().await.unwrap() {
            // The helpers' images may stay.
            if !item["RepoTags"].to_string().contains("holdfast/") {
                all.push(format!("{} {}", item["Id"], item["RepoTags"]));
            }
        }
        all.sort();
        all
    }

    /// A helper whose one removal failed is left to the sweep at the next start.
    async fn without_helpers(&self) -> Vec<String> {
        self.everything().await.into_iter().filter(|line| !line.contains("holdfast-restore-")).collect()
    }

    async fn remove_all(&self) {
        for item in self.engine().container_list().await.unwrap() {
            self.engine().container_remove(item["Id"].as_str().unwrap(), true).await.unwrap();
        }
        for volume in &self.snapshot.volumes {
            self.engine().volume_remove(&volume.name).await.unwrap();
        }
        self.engine().network_remove("shop_default").await.unwrap();
        self.engine().image_remove("shop:1").await.unwrap();
    }
}

/// How often each call was made in a run without faults.
fn counted(fake: &FakeDocker) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for call in fake.calls() {
        *counts.entry(call.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn from_nothing_all_is_equal() {
    let world = World::new().await;
    let before: Vec<_> = ["shop-db-1", "shop-web-1"].map(|name| name.to_owned()).into();
    let mut was = Vec::new();
    for name in &before {
        was.push(normalise(&inspect(world.engine().as_ref(), name).await.unwrap()));
    }
    world.remove_all().await;
    world.fake.host_remove("/srv/www");
    world.fake.host_remove("/srv/web.conf");
    // The fake has no folder above a file; the engine makes it.
    let done = world.run(Target::InPlace, None).await.unwrap();
    assert_eq!((done.containers, done.volumes), (2, 2));
    for (name, was) in before.iter().zip(&was) {
        let is = normalise(&inspect(world.engine().as_ref(), name).await.unwrap());
        assert_eq!(differences(was, &is), Vec::<String>::new());
    }
    assert_eq!(world.fake.volume_entry("shop_data", "").unwrap().uid, 999);
    assert_eq!(world.fake.volume_paths("shop_data"), ["dir", "dir/two"]);
    assert_eq!(world.fake.host_content("/srv/www", "sub/deep").unwrap(), b"deep");
    assert!(world.fake.container_entry("shop-web-1", "/srv/new/sub/n").is_some());
}

#[tokio::test(start_paused = true)]
async fn any_failure_beside_leaves_nothing_behind() {
    let world = World::new().await;
    world.run(Target::Beside, None).await.unwrap();
    let counts = counted(&world.fake);
    for (call, count) in counts {
        for n in 1..=count {
            let world = World::new().await;
            let before = world.everything().await;
            let outcome = world.run(Target::Beside, Some((&call, n))).await;
            let Err(error) = outcome else { continue };
            assert_eq!(world.without_helpers().await, before, "{call} {n}: {error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_failure_on_another_host_leaves_nothing_behind() {
    let mut world = World::new().await;
    world.fake = FakeDocker::new();
    let target = || Target::Host { host: "other".into() };
    let done = world.run(target(), None).await.unwrap();
    assert_eq!(done.problems, []);
    for (call, count) in counted(&world.fake) {
        for n in 1..=count {
            world.fake = FakeDocker::new();
            let before = world.everything().await;
            let Err(error) = world.run(target(), Some((&call, n))).await else { continue };
            assert_eq!(world.without_helpers().await, before, "{call} {n}: {error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_failure_in_place_leaves_the_old_or_says_so() {
    let world = World::new().await;
    world.run(Target::InPlace, None).await.unwrap();
    let counts = counted(&world.fake);
    let mut told = 0;
    for (call, count) in counts {
        for n in 1..=count {
            let world = World::new().await;
            let before = world.everything().await;
            let outcome = world.run(Target::InPlace, Some((&call, n))).await;
            let Err(error) = outcome else { continue };
            let after = world.without_helpers().await;
            if error.advice_text().is_some_and(|advice| advice.contains("safety snapshot")) {
                // Names are back, whatever became of the data.
                let names = |all: &[String]| all.iter().filter(|line| line.contains("/shop-")).count();
                assert_eq!(names(&after), 2, "{call} {n}: {error:?}");
                told += 1;
            } else {
                assert_eq!(after, before, "{call} {n}: {error:?}");
                assert_eq!(world.fake.volume_paths("shop_data"), ["dir", "dir/two"], "{call} {n}");
            }
        }
    }
    assert!(told > 0);
}

#[tokio::test(start_paused = true)]
async fn a_cut_answer_is_no_proof() {
    let world = World::new().await;
    let before = world.everything().await;
    // Read twice: the second reading finds out what is wrong with the first.
    world.fake.cut("archive_get", 1, 600);
    world.fake.cut("archive_get", 2, 600);
    let error = world.run(Target::Beside, None).await.unwrap_err();
    assert_eq!(error.code(), "tar.short", "{error:?}");
    assert_eq!(world.everything().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_running_stranger_on_the_volume_is_in_the_way() {
    let world = World::new().await;
    let body = serde_json::json!({"Image": "shop:1", "HostConfig": {"Binds": ["shop_data:/d"]}});
    world.engine().container_create("stranger", &body).await.unwrap();
    world.engine().container_start("stranger").await.unwrap();
    let ask = Ask { target: Target::InPlace, ..Ask::default() };
    let plan = plan(&world.engine(), &world.snapshot, &ask).await.unwrap();
    assert_eq!(plan.conflicts.iter().map(|c| c.code.as_str()).collect::<Vec<_>>(), ["volume.in_use"]);
    assert!(plan.conflicts[0].message.contains("stranger"));
}

#[tokio::test(start_paused = true)]
async fn a_service_alone_leaves_the_others_as_they_are() {
    let mut world = World::new().await;
    let ask = Ask { target: Target::InPlace, services: vec!["web".into()], ..Ask::default() };
    let engine = world.engine();
    let planned = plan(&engine, &world.snapshot, &ask).await.unwrap();
    let notes: Vec<_> = planned.notes.iter().map(|note| (note.code.as_str(), note.subject.as_str())).collect();
    assert!(notes.contains(&("service.dependency", "db")), "{notes:?}");
    assert!(!planned.steps.iter().any(|step| step.contains("db")), "{:?}", planned.steps);
    let unknown = Ask { services: vec!["nobody".into()], ..ask.clone() };
    let error = plan(&engine, &world.snapshot, &unknown).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::NotFound, "service.unknown"));
    // On an empty host a service cannot be made without the one in whose network it lives.
    world.fake = FakeDocker::new();
    let mut guest: serde_json::Value = serde_json::from_str(&world.snapshot.containers[1].inspect.0).unwrap();
    let host = world.snapshot.containers[0].name.clone();
    guest["HostConfig"]["NetworkMode"] = format!("container:{host}").into();
    world.snapshot.containers[1].inspect.0 = guest.to_string();
    let away = Ask { target: Target::Host { host: "other".into() }, ..ask };
    let planned = plan(&world.engine(), &world.snapshot, &away).await.unwrap();
    let codes: Vec<_> = planned.conflicts.iter().map(|conflict| conflict.code.as_str()).collect();
    assert!(codes.contains(&"service.needed"), "{codes:?}");
    assert!(planned.conflicts.iter().all(|conflict| conflict.advice.is_some()), "{:?}", planned.conflicts);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_wants_every_layer_gets_every_layer() {
    let mut world = World::new().await;
    world.fake = FakeDocker::new();
    // Another image with the same base: its layer need not be sent.
    support::imagined_image(world.engine().as_ref(), "cousin:1", "y").await;
    let ask = Ask { target: Target::Host { host: "other".into() }, ..Ask::default() };
    let plan = plan(&world.engine(), &world.snapshot, &ask).await.unwrap();
    let said = |words: &str| plan.steps.iter().any(|step| step.contains(words));
    assert!(said("1 of 2 layers are there already"), "{:?}", plan.steps);
    assert!(said("Take a safety snapshot"), "host paths are written over there too: {:?}", plan.steps);
    // The first load is the mover's.
    let done = world.run(ask.target, Some(("image_load", 2))).await.unwrap();
    assert_eq!(done.problems, []);
    assert!(world.memory.log.lock().unwrap()[0].contains("sending all of it"));
}

/// Kills the restore just before the `n`th `call`: no step comes after, not even taking back.
async fn killed_before(call: &str, n: u32, trace: &Trace) -> World {
    let world = World::new().await;
    let ask = Ask { target: Target::InPlace, trace: Some(trace.clone()), ..Ask::default() };
    let plan = plan(&world.engine(), &world.snapshot, &ask).await.unwrap();
    world.fake.meanwhile(call, n, move |fake| {
        // Nothing of this process reaches the host any more.
        fake.go_away(true);
        std::panic::resume_unwind(Box::new("killed"));
    });
    let (engine, memory, snapshot) = (world.engine(), world.memory.clone(), world.snapshot.clone());
    // It may be over all the same: helpers are removed on tasks of their own.
    let _ = tokio::spawn(async move { carry_out(engine, &snapshot, &plan, memory, &Stop::new()).await }).await;
    world.fake.go_away(false);
    world
}

#[tokio::test(start_paused = true)]
async fn a_restore_killed_anywhere_is_put_back_or_told() {
    let world = World::new().await;
    let before: Vec<String> = world.everything().await.into_iter().filter(|line| line.contains("/shop-")).collect();
    world.run(Target::InPlace, None).await.unwrap();
    let counts = counted(&world.fake);
    let (mut back, mut told) = (0, 0);
    for (call, count) in counts {
        for n in 1..=count {
            let folder = tempfile::tempdir().unwrap();
            let trace = Trace { folder: folder.path().join("notes"), host: "fake".into() };
            let world = killed_before(&call, n, &trace).await;
            for (app, outcome) in put_back(&trace.folder, "fake", world.engine().as_ref()).await {
                assert_eq!(app, "shop");
                outcome.unwrap();
            }
            let after: Vec<String> =
                world.everything().await.into_iter().filter(|line| line.contains("/shop-")).collect();
            let words = unfinished(&trace.folder);
            if words.is_empty() {
                // Nothing was touched, all is back, or all was done.
                let names = |lines: &[String]| lines.iter().filter(|line| line.contains("running")).count();
                assert_eq!((after.len(), names(&after)), (before.len(), names(&before)), "{call} {n}: {after:?}");
                back += 1;
                continue;
            }
            assert_eq!(words.len(), 1, "{call} {n}: {after:?}");
            assert_eq!(words[0].code, "restore.half");
            assert!(words[0].message.contains("shop-db-1") && words[0].message.contains("shop-web-1"));
            told += 1;
            // Another restore in place heals it.
            let ask = Ask { target: Target::InPlace, trace: Some(trace.clone()), ..Ask::default() };
            let plan = plan(&world.engine(), &world.snapshot, &ask).await.unwrap();
            let (engine, memory) = (world.engine(), world.memory.clone());
            carry_out(engine, &world.snapshot, &plan, memory, &Stop::new()).await.unwrap();
            assert_eq!(unfinished(&trace.folder), []);
        }
    }
    assert!(back > 5 && told > 5, "{back} {told}");
}

#[tokio::test(start_paused = true)]
async fn host_paths_are_not_overwritten_from_a_snapshot_that_cannot_be_read() {
    let mut world = World::new().await;
    // All data of the app lies in host paths.
    let unread = world.snapshot.volumes.iter_mut();
    unread.for_each(|volume| volume.stream = None);
    let before = world.everything().await;
    let file = world.fake.host_content("/srv/www", "sub/deep");
    let last = world.snapshot.binds.last().unwrap().stream.clone().unwrap();
    world.memory.break_off(&last);
    world.run(Target::InPlace, None).await.unwrap_err();
    assert!(!world.fake.calls().iter().any(|call| call.starts_with("container_stop")), "nothing was touched");
    assert_eq!((world.everything().await, world.fake.host_content("/srv/www", "sub/deep")), (before, file));
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_may_fill_the_hosts_disk_is_told_in_its_plan() {
    let world = World::new().await;
    let told = async |target: Target| {
        let ask = Ask { target, owner: "test".into(), ..Ask::default() };
        let plan = plan(&world.engine(), &world.snapshot, &ask).await.unwrap();
        assert_eq!(plan.conflicts, [], "holes and other disks make it more than enough, perhaps");
        (plan.bytes, plan.notes.into_iter().find(|note| note.code == "space.short"))
    };
    let (bytes, unknown) = told(Target::Beside).await;
    assert!(bytes > 0 && unknown.is_none(), "not every engine tells");
    world.fake.tells_free(bytes);
    assert_eq!(told(Target::Beside).await.1, None);
    world.fake.tells_free(bytes - 1);
    let note = told(Target::Beside).await.1.unwrap();
    assert!(note.severity == holdfast_model::Severity::Warning && note.advice.is_some(), "{note:?}");
    assert_eq!(told(Target::InPlace).await.1, None, "what is replaced makes room first");
}

/// Saved when the app was not there, put back when it is: what is in the places is replaced, the app itself is not.
#[tokio::test(start_paused = true)]
async fn places_go_back_in_place_and_the_app_stays() {
    let mut world = World::new().await;
    world.snapshot.trigger = Trigger::Safety;
    world.snapshot.containers.clear();
    world.snapshot.images.clear();
    world.snapshot.networks.clear();
    assert!(world.snapshot.is_of_places());
    for name in ["shop-db-1", "shop-web-1"] {
        world.engine().container_start(name).await.unwrap();
    }
    let before = world.everything().await;
    world.fake.volume_put("shop_data", Entry::file("dir/two", "later"));
    world.fake.host_put("/srv/www", Entry::file("sub/deep", "later"));
    let ask = Ask { target: Target::InPlace, owner: "test".into(), ..Ask::default() };
    let planned = plan(&world.engine(), &world.snapshot, &ask).await.unwrap();
    let said = |words: &str| planned.steps.iter().filter(|step| step.contains(words)).count();
    assert_eq!((said("Stop shop-db-1, which uses it"), said("Stop shop-web-1, which uses it")), (1, 1), "once each");
    assert_eq!((said("Start shop-db-1 again"), said("put aside"), said("Take a safety snapshot")), (1, 0, 1));
    assert!(planned.destructive && planned.replaced().containers.is_empty());
    let done = world.run(Target::InPlace, None).await.unwrap();
    assert_eq!(done.containers, 0);
    assert_eq!(world.everything().await, before, "they run again");
    assert_eq!(world.fake.volume_entry("shop_data", "dir/two").unwrap().what, What::File(b"two".to_vec()));
    assert_eq!(world.fake.host_content("/srv/www", "sub/deep").unwrap(), b"deep");
}

/// A volume that stands for a folder of the host is gone, the folder is not: it is emptied, so it is among what is to be saved first.
#[tokio::test(start_paused = true)]
async fn the_folder_of_a_volume_that_is_gone_is_among_what_is_replaced() {
    let mut world = World::new().await;
    let volume = world.snapshot.volumes.iter_mut().find(|volume| volume.name == "shop_data").unwrap();
    let mut described: serde_json::Value = serde_json::from_str(&volume.inspect.0).unwrap();
    described["Options"] = serde_json::json!({"type": "none", "o": "bind", "device": "/srv/ledger"});
    volume.inspect.0 = described.to_string();
    world.fake.host_directory("/srv/ledger", &[("old", b"old")]);
    for name in ["shop-db-1", "shop-web-1"] {
        world.fake.container_vanish(name);
    }
    world.engine().volume_remove("shop_data").await.unwrap();
    let planned = async |target: Target, volume: Option<&str>| {
        let ask = Ask { target, volume: volume.map(str::to_owned), owner: "test".into(), ..Ask::default() };
        plan(&world.engine(), &world.snapshot, &ask).await.unwrap()
    };
    for target in [Target::InPlace, Target::Host { host: "other".into() }] {
        let whole = planned(target.clone(), None).await;
        assert!(whole.replaced().paths.contains(&"/srv/ledger".to_owned()), "{target:?}");
        assert!(!whole.replaced().volumes.contains(&"shop_data".to_owned()), "{target:?}: it is not there");
        let one = planned(target.clone(), Some("shop_data")).await;
        assert_eq!(one.replaced().paths, ["/srv/ledger"], "{target:?}");
        assert!(one.destructive && one.steps[0].starts_with("Take a safety snapshot"), "{:?}", one.steps);
    }
    let beside = planned(Target::Beside, None).await;
    assert_eq!(beside.replaced(), holdfast_restore::Replaced::default(), "a copy replaces nothing");
}
