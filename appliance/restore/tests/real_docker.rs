//! Restores on a real Docker engine; runs with `HOLDFAST_REAL_DOCKER=1`, else passes without doing anything.

#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use holdfast_docker::Engine;
use holdfast_model::{Kind, snapshot::Snapshot, view::Target};
use holdfast_restore::{Ask, Plan, carry_out, differences, normalise, plan};
use holdfast_runtime::Stop;
use serde_json::Value;
use std::sync::Arc;
use support::{App, Memory, engine, inspect};

fn ask(app: &App, target: Target) -> Ask {
    Ask { target, owner: app.name.clone(), ..Ask::default() }
}

async fn ready(app: &App, snapshot: &Snapshot, ask: &Ask) -> Plan {
    let plan = plan(&app.engine, snapshot, ask).await.unwrap();
    assert_eq!(plan.conflicts, [], "{:#?}", plan.steps);
    plan
}

async fn described(engine: &dyn Engine, app: &App) -> Vec<Value> {
    described_of(engine, app, &["db", "web"]).await
}

async fn described_of(engine: &dyn Engine, app: &App, services: &[&str]) -> Vec<Value> {
    let mut all = Vec::new();
    for service in services {
        all.push(normalise(&inspect(engine, &app.container(service)).await.unwrap()));
    }
    let network = engine.network_inspect(&format!("{}_default", app.name)).await.unwrap();
    all.push(normalise(&serde_json::from_str(&network).unwrap()));
    all
}

fn assert_same(before: &[Value], after: &[Value]) {
    for (was, is) in before.iter().zip(after) {
        assert_eq!(differences(was, is), Vec::<String>::new(), "{was:#}\n{is:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_deleted_comes_back_in_place() {
    let Some(engine) = engine().await else { return };
    let app = App::up(engine.clone(), "hfrestore-gone", 201).await;
    let memory = Arc::new(Memory::default());
    let snapshot = app.capture(&memory, &["db", "web"]).await;
    let before = described(engine.as_ref(), &app).await;
    app.down().await;
    assert_eq!(app.all().await, Vec::<String>::new());

    let plan = ready(&app, &snapshot, &ask(&app, Target::InPlace)).await;
    println!("{:#?}\n{:#?}", plan.steps, plan.notes);
    let done = carry_out(engine.clone(), &snapshot, &plan, memory.clone(), &Stop::new()).await.unwrap();
    println!("{done:#?}");
    assert_eq!((done.containers, done.volumes), (2, 2));
    assert!(done.problems.is_empty(), "{:#?}", done.problems);
    app.until("db", |state| state["State"]["Health"]["Status"] == "healthy").await;
    assert_same(&before, &described(engine.as_ref(), &app).await);
    assert_eq!(std::fs::read_to_string(app.folder.join("www/sub/deep")).unwrap(), "deep");
    assert_eq!(std::fs::read_to_string(app.folder.join("web.conf")).unwrap(), "conf=1");
    assert!(memory.wrote.load(std::sync::atomic::Ordering::Relaxed) > 10_000);
    let layer = support::bytes(engine.archive_get(&app.container("web"), "/srv/new/sub/n").await.unwrap()).await;
    assert_eq!(support::members(&layer)[0].2, b"n\n");
    app.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_replaced_in_place() {
    let Some(engine) = engine().await else { return };
    let app = App::up(engine.clone(), "hfrestore-there", 202).await;
    let memory = Arc::new(Memory::default());
    let snapshot = app.capture(&memory, &["db", "web"]).await;
    let before = described(engine.as_ref(), &app).await;
    app.shell(&app.volume_name(), "echo bad >/v/one; echo new >/v/later; mkdir /v/newdir; rm /v/dir/two").await;
    std::fs::write(app.folder.join("www/index.html"), "hacked").unwrap();
    std::fs::write(app.folder.join("www/extra"), "stays").unwrap();

    let plan = ready(&app, &snapshot, &ask(&app, Target::InPlace)).await;
    println!("{:#?}\n{:#?}", plan.steps, plan.notes);
    assert!(plan.destructive);
    let done = carry_out(engine.clone(), &snapshot, &plan, memory.clone(), &Stop::new()).await.unwrap();
    println!("{done:#?}");
    assert_eq!(done.problems.iter().map(|p| p.code.as_str()).collect::<Vec<_>>(), ["bind.extra"]);
    assert_eq!(app.names().await, [app.container("db"), app.container("web")]);
    assert_same(&before, &described(engine.as_ref(), &app).await);
    let again = app.read(&memory, &app.volume_name()).await;
    assert_eq!(
        again.entries,
        snapshot.volumes.iter().find(|v| v.name == app.volume_name()).unwrap().stream.as_ref().unwrap().entries
    );
    assert_eq!(std::fs::read_to_string(app.folder.join("www/index.html")).unwrap(), "hello");
    assert_eq!(std::fs::read_to_string(app.folder.join("www/extra")).unwrap(), "stays");
    app.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_stands_beside_and_the_original_is_untouched() {
    let Some(engine) = engine().await else { return };
    let app = App::up(engine.clone(), "hfrestore-copy", 203).await;
    let memory = Arc::new(Memory::default());
    let snapshot = app.capture(&memory, &["db", "web"]).await;
    let before = described(engine.as_ref(), &app).await;
    let ids: Vec<Value> = app.containers().await.into_iter().map(|item| item["Id"].clone()).collect();

    let mut wish = ask(&app, Target::Beside);
    wish.name = Some("hfrestore-copy-two".into());
    let plan = ready(&app, &snapshot, &wish).await;
    println!("{:#?}\n{:#?}", plan.steps, plan.notes);
    assert!(!plan.destructive);
    let done = carry_out(engine.clone(), &snapshot, &plan, memory.clone(), &Stop::new()).await.unwrap();
    println!("{done:#?}");
    assert!(done.problems.is_empty());
    assert_same(&before, &described(engine.as_ref(), &app).await);
    for id in ids {
        assert_eq!(inspect(engine.as_ref(), id.as_str().unwrap()).await.unwrap()["State"]["Running"], true);
    }
    let web = inspect(engine.as_ref(), "hfrestore-copy-two-web-1").await.unwrap();
    assert_eq!(web["State"]["Running"], true);
    assert_eq!(web["Config"]["Labels"]["com.docker.compose.project"], "hfrestore-copy-two");
    assert!(!web["HostConfig"].to_string().contains("/tmp/hfrestore-copy/"));
    let conf = support::bytes(engine.archive_get("hfrestore-copy-two-web-1", "/etc/web.conf").await.unwrap()).await;
    assert_eq!(support::members(&conf)[0].2, b"conf=1");
    let page = support::bytes(engine.archive_get("hfrestore-copy-two-web-1", "/www/index.html").await.unwrap()).await;
    assert_eq!(support::members(&page)[0].2, b"hello");
    // Once more under the same name: everything stands in the way.
    let second = holdfast_restore::plan(&engine, &snapshot, &wish).await.unwrap();
    let codes: Vec<&str> = second.conflicts.iter().map(|conflict| conflict.code.as_str()).collect();
    assert!(codes.contains(&"name.taken") && codes.contains(&"volume.exists"), "{codes:?}");
    let refused = carry_out(engine.clone(), &snapshot, &second, memory.clone(), &Stop::new()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    app.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_taken_back() {
    let Some(engine) = engine().await else { return };
    let app = App::up(engine.clone(), "hfrestore-fail", 204).await;
    let memory = Arc::new(Memory::default());
    let snapshot = app.capture(&memory, &["db", "web"]).await;
    let stream = snapshot.volumes[0].stream.clone().unwrap();

    // A pack is damaged, in place: seen before anything is replaced.
    memory.break_off(&stream);
    let here = ready(&app, &snapshot, &ask(&app, Target::InPlace)).await;
    let error = carry_out(engine.clone(), &snapshot, &here, memory.clone(), &Stop::new()).await.unwrap_err();
    println!("{error:?}");
    assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "pack.corrupt"));
    assert_eq!(app.names().await, [app.container("db"), app.container("web")]);
    app.until("db", |state| state["State"]["Running"] == true).await;

    // A pack is damaged, beside: nothing of the copy is left.
    let mut wish = ask(&app, Target::Beside);
    wish.name = Some("hfrestore-fail-copy".into());
    let before = app.all().await;
    let beside = ready(&app, &snapshot, &wish).await;
    let error = carry_out(engine.clone(), &snapshot, &beside, memory.clone(), &Stop::new()).await.unwrap_err();
    println!("{error:?}");
    assert_eq!(error.code(), "pack.corrupt");
    assert_eq!(app.all().await, before);
    *memory.broken.lock().unwrap() = None;

    // A program outside Docker has the port: the old containers are back.
    let web = app.container("web");
    engine.container_stop(&web, 1).await.unwrap();
    let here = ready(&app, &snapshot, &ask(&app, Target::InPlace)).await;
    let listener = std::net::TcpListener::bind(("127.0.0.1", app.port)).unwrap();
    let error = carry_out(engine.clone(), &snapshot, &here, memory.clone(), &Stop::new()).await.unwrap_err();
    println!("{error:?} {:?}", error.advice_text());
    assert_eq!((error.kind(), error.code()), (Kind::Conflict, "port.taken"));
    assert_eq!(app.names().await, [app.container("db"), app.container("web")]);
    app.until("db", |state| state["State"]["Running"] == true).await;
    drop(listener);

    // Asked to stop.
    let stop = Stop::new();
    stop.cancel();
    let beside = ready(&app, &snapshot, &wish).await;
    let error = carry_out(engine.clone(), &snapshot, &beside, memory.clone(), &stop).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Stopped);
    assert_eq!(app.all().await, before);
    app.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_volume_beside_and_in_place() {
    let Some(engine) = engine().await else { return };
    let app = App::up(engine.clone(), "hfrestore-vol", 205).await;
    let memory = Arc::new(Memory::default());
    let snapshot = app.capture(&memory, &["db", "web"]).await;
    let mut wish = ask(&app, Target::Beside);
    wish.volume = Some(app.volume_name());
    let beside = ready(&app, &snapshot, &wish).await;
    assert_eq!(beside.name, format!("{}-restore", app.volume_name()));
    let done = carry_out(engine.clone(), &snapshot, &beside, memory.clone(), &Stop::new()).await.unwrap();
    assert_eq!((done.containers, done.volumes), (0, 1));
    let copy = app.read(&memory, &beside.name).await;
    assert_eq!(Some(copy), snapshot.volumes.iter().find(|v| v.name == app.volume_name()).unwrap().stream);

    wish.target = Target::InPlace;
    app.shell(&app.volume_name(), "echo bad >/v/one; echo x >/v/later").await;
    let here = ready(&app, &snapshot, &wish).await;
    println!("{:#?}", here.steps);
    assert!(here.destructive);
    let done = carry_out(engine.clone(), &snapshot, &here, memory.clone(), &Stop::new()).await.unwrap();
    println!("{done:#?}");
    app.until("db", |state| state["State"]["Running"] == true).await;
    let now = app.read(&memory, &app.volume_name()).await;
    assert_eq!(now.entries, 5);

    wish.volume = Some("nonsense".into());
    assert_eq!(plan(&engine, &snapshot, &wish).await.unwrap_err().code(), "volume.unknown");
    app.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_are_named_before_anything_happens() {
    let Some(engine) = engine().await else { return };
    let app = App::up(engine.clone(), "hfrestore-conf", 206).await;
    let memory = Arc::new(Memory::default());
    let snapshot = app.capture(&memory, &["db", "web"]).await;
    app.down().await;
    // Another app takes the name, the port and the address block.
    let other = App::up(engine.clone(), "hfrestore-other", 206).await;
    engine.container_rename(&other.container("db"), &app.container("db")).await.unwrap();
    let here = plan(&engine, &snapshot, &ask(&app, Target::InPlace)).await.unwrap();
    println!("{:#?}", here.conflicts);
    let codes: Vec<&str> = here.conflicts.iter().map(|conflict| conflict.code.as_str()).collect();
    assert_eq!(codes, ["address.taken", "name.taken", "port.taken"]);
    assert!(here.conflicts.iter().all(|conflict| conflict.advice.is_some()));
    engine.container_rename(&app.container("db"), &other.container("db")).await.unwrap();
    other.down().await;
    app.down().await;
}

/// Everything odd that a container can be made of, and what refers to it.
async fn oddities(app: &App) {
    let engine = app.engine.as_ref();
    let second = serde_json::json!({"Name": format!("{}_second", app.name), "CheckDuplicate": true, "Driver": "bridge",
        "Internal": true, "Options": {"com.docker.network.driver.mtu": "1400"},
        "IPAM": {"Config": [{"Subnet": "10.208.0.0/24", "IPRange": "10.208.0.128/25", "Gateway": "10.208.0.2"}]}});
    engine.network_create(&second).await.unwrap();
    engine.volume_create(&serde_json::json!({"Name": format!("{}_empty", app.name)})).await.unwrap();
    engine
        .volume_create(&serde_json::json!({"Name": format!("{}_ram", app.name), "Driver": "local",
        "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}}))
        .await
        .unwrap();
    let default = format!("{}_default", app.name);
    let body = serde_json::json!({"Image": format!("{}:1", app.name), "Cmd": ["/bin/sleep", "10000"], "StopSignal": "SIGKILL",
        "Labels": {"com.docker.compose.project": app.name, "com.docker.compose.service": "odd"},
        "User": "1000:1000", "WorkingDir": "/tmp", "Tty": true, "OpenStdin": true, "StopTimeout": 3, "Domainname": "example",
        "Hostname": "chosen", "MacAddress": "02:42:0a:00:00:99", "Volumes": {"/anon2": {}}, "ExposedPorts": {"9/udp": {}},
        "HostConfig": {
            "Binds": [format!("{}_empty:/srv", app.name)],
            "Mounts": [{"Type": "volume", "Target": "/m1"}, {"Type": "tmpfs", "Target": "/m2", "TmpfsOptions": {"SizeBytes": 65536}},
                {"Type": "volume", "Source": format!("{}_ram", app.name), "Target": "/m3", "ReadOnly": true},
                {"Type": "bind", "Source": app.folder.join("www"), "Target": "/m4", "BindOptions": {"Propagation": "rprivate"}}],
            "Ulimits": [{"Name": "nofile", "Soft": 1000, "Hard": 2000}], "CapAdd": ["NET_ADMIN"], "CapDrop": ["MKNOD"],
            "Sysctls": {"net.ipv4.ip_forward": "1"}, "Tmpfs": {"/t": "size=64k"}, "Dns": ["10.0.0.1"], "DnsSearch": ["x.y"],
            "ExtraHosts": ["a:1.2.3.4"], "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}, "Init": true,
            "GroupAdd": ["5"], "OomScoreAdj": 100, "ShmSize": 1_048_576, "SecurityOpt": ["no-new-privileges"], "CpuShares": 512,
            "Devices": [{"PathOnHost": "/dev/zero", "PathInContainer": "/dev/z", "CgroupPermissions": "r"}],
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "PidsLimit": 100, "NetworkMode": default},
        "NetworkingConfig": {"EndpointsConfig": {default: {"Aliases": ["odd", "strange"], "Links": [format!("{}:dblink", app.container("db"))]}}}});
    let id = engine.container_create(&app.container("odd"), &body).await.unwrap();
    let endpoint = serde_json::json!({"IPAMConfig": {"IPv4Address": "10.208.0.7"}, "Aliases": ["inner"]});
    engine.network_connect(&format!("{}_second", app.name), &id, &endpoint).await.unwrap();
    engine.container_start(&id).await.unwrap();
    let side = serde_json::json!({"Image": format!("{}:1", app.name), "Cmd": ["/bin/sleep", "10000"], "StopSignal": "SIGKILL",
        "Labels": {"com.docker.compose.project": app.name, "com.docker.compose.service": "side"},
        "HostConfig": {"NetworkMode": format!("container:{id}"), "VolumesFrom": [app.container("db")], "ReadonlyRootfs": true}});
    let side = engine.container_create(&app.container("side"), &side).await.unwrap();
    engine.container_start(&side).await.unwrap();
    let stopped = serde_json::json!({"Image": format!("{}:1", app.name), "Cmd": ["/bin/ls"],
        "Labels": {"com.docker.compose.project": app.name, "com.docker.compose.service": "once"}});
    engine.container_create(&app.container("once"), &stopped).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oddities_come_back_equal() {
    let Some(engine) = engine().await else { return };
    let app = App::up(engine.clone(), "hfrestore-odd", 207).await;
    oddities(&app).await;
    // The engine has filled it from the image.
    app.shell(&format!("{}_empty", app.name), "rm -rf /v/* /v/.[a-z]*").await;
    let services = ["side", "db", "web", "odd", "once"];
    let memory = Arc::new(Memory::default());
    let mut snapshot = app.capture(&memory, &services).await;
    app.add_network(&mut snapshot, "second").await;
    let before = described_of(engine.as_ref(), &app, &services).await;
    app.down().await;
    std::fs::create_dir_all(app.folder.join("www")).unwrap();
    for round in 0..2 {
        // Once from nothing, once over what the first round made.
        let here = ready(&app, &snapshot, &ask(&app, Target::InPlace)).await;
        if round == 0 {
            println!("{:#?}\n{:#?}", here.steps, here.notes);
        }
        let done = carry_out(engine.clone(), &snapshot, &here, memory.clone(), &Stop::new()).await.unwrap();
        assert!(done.problems.is_empty(), "{:#?}", done.problems);
        assert_same(&before, &described_of(engine.as_ref(), &app, &services).await);
        assert_eq!(app.names().await.len(), services.len());
        let empty = app.read(&memory, &format!("{}_empty", app.name)).await;
        assert_eq!(
            Some(empty.entries),
            snapshot.volumes.iter().find(|v| v.name.ends_with("_empty")).unwrap().stream.as_ref().map(|s| s.entries)
        );
    }
    let mut wish = ask(&app, Target::Beside);
    wish.name = Some("hfrestore-odd-two".into());
    let beside = ready(&app, &snapshot, &wish).await;
    println!("{:#?}\n{:#?}", beside.steps, beside.notes);
    let done = carry_out(engine.clone(), &snapshot, &beside, memory.clone(), &Stop::new()).await.unwrap();
    assert!(done.problems.is_empty(), "{:#?}", done.problems);
    let side = inspect(engine.as_ref(), "hfrestore-odd-two-side-1").await.unwrap();
    let odd = inspect(engine.as_ref(), "hfrestore-odd-two-odd-1").await.unwrap();
    assert_eq!(side["HostConfig"]["NetworkMode"], format!("container:{}", odd["Id"].as_str().unwrap()));
    assert_same(&before, &described_of(engine.as_ref(), &app, &services).await);
    app.down().await;
}
