//! Single services of a project come back without touching the others; and each conflict of a plan names a way out that works.

use holdfast_tests::{
    engine_api::{self, call, get},
    house::{self, Appliance, Setup, sh},
};
use serde_json::Value;

const NAME: &str = "hfservice";

struct App {
    port: u16,
    /// The restore point; later ones are those that restores take for safety.
    point: String,
}

impl App {
    fn start() -> App {
        engine_api::wipe(NAME);
        let app = App { port: house::free_port(), point: String::new() };
        let project = format!("--label com.docker.compose.project={NAME} --stop-signal KILL --entrypoint /bin/sleep");
        sh(&format!("docker network create --subnet 10.214.0.0/24 {NAME}_net"));
        sh(&format!(
            "docker run -d --name {NAME}-db {project} --label com.docker.compose.service=db --network {NAME}_net --ip 10.214.0.10 \
             -v {NAME}_db:/data holdfast-demo/base:1 100000"
        ));
        sh(&format!(
            "docker run -d --name {NAME}-web {project} --label com.docker.compose.service=web --network {NAME}_net -v {NAME}_web:/data \
             --label com.docker.compose.depends_on=db:service_started:false -p 127.0.0.1:{}:80 holdfast-demo/base:1 100000",
            app.port
        ));
        for service in ["db", "web"] {
            app.write(service, "saved");
        }
        app
    }
    fn write(&self, service: &str, word: &str) {
        sh(&format!("docker exec {NAME}-{service} bash -c 'echo {word} >/data/word'"));
    }
    fn word(&self, service: &str) -> String {
        sh(&format!("docker exec {NAME}-{service} cat /data/word")).trim().to_owned()
    }
    fn id(&self, service: &str) -> Value {
        get(&format!("/containers/{NAME}-{service}/json"))["Id"].clone()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        engine_api::wipe(NAME);
    }
}

fn restore(appliance: &Appliance, app: &App, more: &[&str]) -> Value {
    let said = appliance.cli(&[&["restore", &app.point, "--yes", "--wait"], more].concat());
    assert!(said.code == 0 || said.code == 3, "{more:?}: {}{}", said.out, said.err);
    said.json()
}

/// The plan's conflict of a kind, and that what it advises holds `way`.
fn stands_in_the_way(appliance: &Appliance, app: &App, args: &[&str], code: &str, way: &str) {
    let said = appliance.cli(&[&["restore", &app.point, "--dry-run"], args].concat()).expect(5);
    let plan = said.json();
    let conflicts = plan["conflicts"].as_array().cloned().unwrap_or_default();
    let found = conflicts.iter().find(|conflict| conflict["code"] == code);
    let found = found.unwrap_or_else(|| panic!("no {code} in {conflicts:?}"));
    assert!(found["advice"].as_str().is_some_and(|advice| advice.contains(way)), "{found}");
    println!("{code}: {} {}", found["message"], found["advice"]);
}

#[test]
fn one_service_comes_back_and_the_others_are_left_alone() {
    let Some(binary) = house::real_parts("real_service") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let mut app = App::start();
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    app.point = appliance.backup(NAME);
    let (db, web) = (app.id("db"), app.id("web"));
    for service in ["db", "web"] {
        app.write(service, "spoilt");
    }

    let told = restore(&appliance, &app, &["--in-place", "--service", "web"]);
    assert_eq!((app.word("web").as_str(), app.word("db").as_str()), ("saved", "spoilt"));
    assert_eq!(app.id("db"), db, "the other service was touched");
    assert_ne!(app.id("web"), web);
    let problems = told["problems"].to_string();
    assert!(problems.contains("service.dependency") && problems.contains("--service db"), "{problems}");

    let beside = restore(&appliance, &app, &["--service", "web", "--as", "hfservice-copy"]);
    assert!(beside["summary"].to_string().contains("1 container, 1 volume"), "{beside}");
    engine_api::wipe("hfservice-copy");

    restore(&appliance, &app, &["--in-place", "--service", "web", "--service", "hfservice-db"]);
    assert_eq!((app.word("web").as_str(), app.word("db").as_str()), ("saved", "saved"));

    let unknown = appliance.cli(&["restore", &app.point, "--dry-run", "--service", "nobody"]).expect(4);
    assert!(unknown.err.contains("db, web"), "{}", unknown.err);

    ways_out(&appliance, &app);
    drop(appliance);
    lacking(&binary, home.path());
    traps(&binary, home.path());
}

/// What the host lacks is found before anything is done, each with a way out of it, and by all of them the app comes back.
fn lacking(binary: &std::path::Path, home: &std::path::Path) {
    const LACKER: &str = "hflacks";
    engine_api::wipe(LACKER);
    let path = home.join("goes.sock");
    let device = home.join("device");
    let socket = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    sh(&format!("mknod {} c 1 3", device.display()));
    sh(&format!("docker network create {LACKER}-net"));
    sh(&format!(
        "docker run -d --stop-signal KILL --name {LACKER} --network {LACKER}-net --device {}:/dev/thing --mount type=bind,src={},dst=/goes \
         --mount type=volume,src={LACKER}-vol,dst=/data --entrypoint /bin/sleep holdfast-demo/base:1 100000",
        device.display(),
        path.display()
    ));
    let data = home.join("lacks");
    let appliance = Setup::new(binary, &data).start();
    let app = App { port: 0, point: appliance.backup(LACKER) };
    drop(socket);
    sh(&format!("docker rm -f {LACKER}; rm {} {}", device.display(), path.display()));
    let helpers = || get("/containers/json?all=1").to_string().matches("/holdfast-restore-").count();
    let before = helpers();
    stands_in_the_way(&appliance, &app, &["--in-place"], "device.missing", "--no-devices");
    assert_eq!(helpers(), before, "what asked is still there");
    stands_in_the_way(&appliance, &app, &["--in-place", "--no-devices"], "path.missing", "--no-paths");
    let refused = appliance.cli(&["restore", &app.point, "--in-place", "--yes", "--wait"]).expect(5);
    assert!(
        refused.err.contains("device.missing") || refused.out.contains("device.missing"),
        "{}{}",
        refused.out,
        refused.err
    );
    assert_eq!(call("GET", &format!("/containers/{LACKER}/json"), None).0, 404, "a refused restore made something");
    let told = restore(&appliance, &app, &["--in-place", "--no-devices", "--no-paths"]);
    for code in ["device.missing", "path.missing"] {
        assert!(told["problems"].to_string().contains(code), "{told}");
    }
    let made = get(&format!("/containers/{LACKER}/json"))["HostConfig"].clone();
    assert_eq!(made["Devices"].as_array().map_or(0, Vec::len), 0, "{made}");
    assert_eq!(made["Mounts"].as_array().map_or(0, Vec::len), 1, "{made}");
    assert!(!path.exists());
    engine_api::wipe(LACKER);
    still(&appliance);
}

/// What did not run needs no devices to come back as it was, and is told what it lacks; it comes back without them if asked to.
fn still(appliance: &Appliance) {
    const STILL: &str = "hfstill";
    engine_api::wipe(STILL);
    sh(&format!("docker create --name {STILL} --gpus all --entrypoint /bin/sleep holdfast-demo/base:1 100000"));
    let app = App { port: 0, point: appliance.backup(STILL) };
    for (way, kept) in [(&[][..], 1), (&["--no-devices"], 0)] {
        sh(&format!("docker rm {STILL}"));
        let told = restore(appliance, &app, &[&["--in-place"], way].concat());
        assert!(told["problems"].to_string().contains("device.missing"), "{told}");
        let made = get(&format!("/containers/{STILL}/json"));
        assert_eq!(made["HostConfig"]["DeviceRequests"].as_array().map_or(0, Vec::len), kept, "{made}");
        assert_eq!(made["State"]["Status"], "created", "{made}");
    }
    engine_api::wipe(STILL);
}

/// What an app can leave behind to spoil its own restore is found before anything is touched: a file that is held fast, and a link in
/// the place of a folder of the host.
fn traps(binary: &std::path::Path, home: &std::path::Path) {
    const TRAP: &str = "hftraps";
    engine_api::wipe(TRAP);
    let (top, victim) = (home.join("top"), home.join("victim"));
    for folder in [top.join("sub"), victim.clone()] {
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("file"), "mine").expect("a file");
    }
    sh(&format!(
        "docker run -d --name {TRAP} --stop-signal KILL -v {TRAP}_data:/data -v {0}:/top -v {0}/sub:/sub --entrypoint /bin/bash \
         holdfast-demo/base:1 -c 'echo saved >/data/word; exec sleep 100000'",
        top.display()
    ));
    std::thread::sleep(std::time::Duration::from_secs(1));
    let appliance = Setup::new(binary, &home.join("traps")).start();
    let app = App { port: 0, point: appliance.backup(TRAP) };
    let id = || get(&format!("/containers/{TRAP}/json"))["Id"].clone();
    let before = id();
    let place = get(&format!("/volumes/{TRAP}_data"))["Mountpoint"].as_str().expect("a path").to_owned();
    sh(&format!("echo other >{place}/other; chattr +i {place}/other"));
    let held = appliance.cli(&["restore", &app.point, "--in-place", "--yes", "--wait"]);
    sh(&format!("chattr -i {place}/other"));
    println!("{}{}", held.out, held.err);
    assert!(held.code != 0 && format!("{}{}", held.out, held.err).contains("files.fixed"), "{}{}", held.out, held.err);
    assert_eq!(id(), before, "the app was touched");
    assert_eq!(std::fs::read_to_string(format!("{place}/other")).expect("it is there"), "other\n");

    std::fs::remove_dir_all(top.join("sub")).expect("it goes");
    std::os::unix::fs::symlink(&victim, top.join("sub")).expect("a link");
    std::fs::write(victim.join("file"), "not yours").expect("a file");
    stands_in_the_way(&appliance, &app, &["--in-place"], "path.redirected", "--as");
    let put =
        appliance.cli(&["files", "put", &format!("{}:{}/sub/file", app.point, top.display()), "--wait", "--to", "new"]);
    assert!(put.code != 0, "{}{}", put.out, put.err);
    assert!(!victim.join("new").exists(), "something was put where a link leads");
    assert_eq!(std::fs::read_to_string(victim.join("file")).expect("it is there"), "not yours");
    std::fs::remove_file(top.join("sub")).expect("it goes");
    std::fs::create_dir(top.join("sub")).expect("a folder");
    restore(&appliance, &app, &["--in-place"]);
    assert_eq!(std::fs::read_to_string(top.join("sub/file")).expect("it is back"), "mine");
    drop(appliance);
    engine_api::wipe(TRAP);
}

/// What others hold by now: each is named with a way out, and the way leads out.
fn ways_out(appliance: &Appliance, app: &App) {
    let squat = |name: &str, args: &str| {
        sh(&format!(
            "docker run -d --name {name} --stop-signal KILL --entrypoint /bin/sleep {args} holdfast-demo/base:1 100000"
        ));
    };
    sh(&format!("docker rm -f {NAME}-web {NAME}-db"));
    squat("hfservice_squat", &format!("-p 127.0.0.1:{}:80 --network {NAME}_net --ip 10.214.0.10", app.port));
    stands_in_the_way(appliance, app, &["--in-place"], "port.taken", "--no-ports");
    stands_in_the_way(appliance, app, &["--in-place"], "port.taken", "--port");
    stands_in_the_way(appliance, app, &["--in-place", "--no-ports"], "address.taken", "--no-addresses");
    restore(appliance, app, &["--in-place", "--no-ports", "--no-addresses"]);
    let ports = get(&format!("/containers/{NAME}-web/json"))["HostConfig"]["PortBindings"].clone();
    assert!(ports.as_object().is_none_or(serde_json::Map::is_empty), "{ports}");
    sh(&format!("docker rm -f {NAME}-web {NAME}-db"));
    let other = house::free_port();
    restore(appliance, app, &["--in-place", "--no-addresses", "--port", &format!("{}={other}", app.port)]);
    let ports = get(&format!("/containers/{NAME}-web/json"))["NetworkSettings"]["Ports"]["80/tcp"].clone();
    assert_eq!(ports[0]["HostPort"], other.to_string(), "{ports}");
    sh(&format!("docker rm -f hfservice_squat {NAME}-web {NAME}-db"));

    squat(&format!("{NAME}-web"), "");
    stands_in_the_way(appliance, app, &["--in-place"], "name.taken", "--as");
    restore(appliance, app, &["--as", "hfservice-copy"]);
    engine_api::wipe("hfservice-copy");
    sh(&format!("docker rm -f {NAME}-web"));

    squat("hfservice_squat", &format!("-v {NAME}_db:/data"));
    stands_in_the_way(appliance, app, &["--in-place"], "volume.in_use", "--as");
    sh("docker rm -f hfservice_squat");

    sh(&format!("docker network rm {NAME}_net; docker network create --subnet 10.214.0.0/16 {NAME}_other"));
    stands_in_the_way(appliance, app, &["--in-place"], "address.taken", "--no-addresses");
    restore(appliance, app, &["--in-place", "--no-addresses"]);
    sh(&format!(
        "docker rm -f {NAME}-web {NAME}-db; docker network rm {NAME}_net; docker network create --internal {NAME}_net"
    ));
    stands_in_the_way(appliance, app, &["--in-place", "--no-addresses"], "network.differs", "--as");
}
