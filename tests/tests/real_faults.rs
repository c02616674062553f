//! Each misfortune has its own clear sentence, the right exit code, and loses nothing.

use holdfast_tests::{
    demo::Demo,
    house::{self, Appliance, Setup},
};
use serde_json::Value;
use std::path::{Path, PathBuf};

const ENGINE: &str = "/var/run/docker.sock";

/// The failed job's words, checked to be about `code`.
fn failed(appliance: &Appliance, args: &[&str], exit: i32, code: &str) -> String {
    let said = appliance.cli(args);
    let all = format!("{}{}", said.out, said.err);
    assert_eq!(said.code, exit, "{args:?}: {all}");
    assert!(all.contains(code), "{args:?}: “{code}” is not in {all}");
    println!("{args:?} -> exit {exit}: {}", all.lines().last().unwrap_or_default());
    all
}

fn packs(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for hash in std::fs::read_dir(folder.join("p")).into_iter().flatten().flatten() {
        found.extend(std::fs::read_dir(hash.path()).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    found.sort_by_key(|path| std::cmp::Reverse(path.metadata().map(|m| m.len()).unwrap_or(0)));
    found
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("the pack can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("the pack can be damaged");
}

#[test]
fn a_host_that_is_missing_or_forbidden_is_named() {
    let Some(binary) = house::real_parts("real_faults host") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let missing = home.path().join("no.sock");
    let appliance = Setup::new(&binary, &home.path().join("data")).socket(missing.to_str().expect("text")).start();
    failed(&appliance, &["backup", "anything", "--wait"], 4, "app.unknown");
    let status = appliance.cli(&["status"]).expect(0).json();
    assert_eq!(status["hosts"][0]["reachable"], false);
    assert!(status["hosts"][0]["error"].as_str().is_some_and(|text| text.contains("no.sock")), "{}", status["hosts"]);
    failed(&appliance, &["host", "add", "other", "unix:///nowhere.sock"], 6, "host.socket_missing");
    failed(&appliance, &["host", "add", "bad name", "unix:///x"], 2, "host.name");
    failed(&appliance, &["restore", "01aaaaaa", "--dry-run"], 4, "snapshot.missing");
    let nobody = Setup::new(&binary, &home.path().join("nowhere"));
    assert_eq!(nobody.cli(&["status"]).code, 6);
}

#[test]
fn damage_in_either_tier_is_named_and_healed() {
    let Some(binary) = house::real_parts("real_faults damage") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let bucket = home.path().join("bucket");
    let data = home.path().join("data");
    let demo = Demo::start("hfharm", 1, "172.31.84", ENGINE);
    let appliance = Setup::new(&binary, &data).bucket(&format!("file://{}", bucket.display())).start();
    let snapshot = appliance.backup("hfharm");
    appliance.wait_cloud(&snapshot, 120);

    // One byte flipped in the cache: the restore heals it from the bucket on its way.
    let cached = packs(&data.join("cache"));
    flip(&cached[0]);
    let said = appliance.cli(&["restore", &snapshot, "--as", "hfharm2", "--wait"]);
    assert!(said.code == 0 || said.code == 3, "{}{}", said.out, said.err);
    demo.verify_database("hfharm2");
    Demo { project: "hfharm2".into(), port: 0, folder: home.path().join("x"), socket: ENGINE.into() }.remove();
    let report = appliance.cli(&["check", "--read-data"]);
    assert_eq!(report.code, 0, "not healed: {}{}", report.out, report.err);

    // One byte flipped in the bucket: named by check, sent again from the cache.
    let shipped = packs(&bucket);
    flip(&shipped[0]);
    let said = appliance.cli(&["check", "--read-data"]);
    let name = shipped[0].file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    assert!(said.out.contains(&name[..8]) || said.err.contains(&name[..8]), "{}{}", said.out, said.err);
    assert_eq!(appliance.cli(&["check", "--read-data"]).code, 0);

    // A pack missing in the bucket, then one missing in the cache.
    std::fs::remove_file(&shipped[0]).expect("the pack can be removed");
    appliance.cli(&["check"]);
    assert_eq!(appliance.cli(&["check", "--read-data"]).code, 0);
    assert!(shipped[0].exists(), "the pack was not sent again");
    std::fs::remove_file(&cached[0]).expect("the pack can be removed");
    appliance.cli(&["restore", &snapshot, "--as", "hfharm3", "--wait"]);
    demo.verify_database("hfharm3");
    Demo { project: "hfharm3".into(), port: 0, folder: home.path().join("x"), socket: ENGINE.into() }.remove();
}

#[test]
fn a_bucket_out_of_reach_loses_nothing() {
    let Some(binary) = house::real_parts("real_faults bucket") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let demo = Demo::start("hfaway", 1, "172.31.85", ENGINE);
    let port = house::free_port();
    let url = format!("s3://nobody?endpoint=http://127.0.0.1:{port}&region=us-east-1");
    let appliance = Setup::new(&binary, &home.path().join("data")).bucket(&url).keys("k", "s").start();
    let snapshot = appliance.backup("hfaway");
    house::wait_for("the status names the bucket", 60, || {
        appliance.cli(&["status"]).expect(0).json()["bucket"]["error_code"] == "bucket.unreachable"
    });
    let plan = appliance.cli(&["restore", &snapshot, "--from", "cache", "--dry-run"]).expect(0).json();
    let listed = appliance.cli(&["snapshots", "hfaway"]).expect(0).json();
    assert_eq!(listed[0]["state"]["cloud"], "shipping", "{listed}");
    assert_eq!(plan["bytes_from_bucket"], 0);
    let kit = home.path().join("kit");
    appliance.cli(&["key", "kit", "--output", kit.to_str().expect("text")]).expect(0);
    let empty = Setup::new(&binary, &home.path().join("other")).keys("k", "s");
    let said = empty.cli(&["recover", "--bucket", &url, "--kit", kit.to_str().expect("text")]);
    assert_eq!(said.code, 6, "{}{}", said.out, said.err);
    drop(demo);

    let (endpoint, access, secret) = house::seaweed();
    let name = format!("hf-deny-{}", std::process::id());
    house::s3_make_bucket(&endpoint, &access, &secret, &name);
    let url = format!("s3://{name}?endpoint={endpoint}&region=us-east-1");
    let wrong = Setup::new(&binary, &home.path().join("third")).bucket(&url).keys(&access, "wrong-secret").start();
    house::wait_for("the status names the denial", 60, || {
        wrong.cli(&["status"]).expect(0).json()["bucket"]["error_code"] == "bucket.denied"
    });
}

#[test]
fn a_wrong_kit_is_refused() {
    let Some(binary) = house::real_parts("real_faults kit") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let make = |name: &str| {
        let bucket = home.path().join(format!("bucket-{name}"));
        let url = format!("file://{}", bucket.display());
        let appliance = Setup::new(&binary, &home.path().join(name)).bucket(&url).start();
        let kit = home.path().join(format!("kit-{name}"));
        appliance.cli(&["key", "kit", "--output", kit.to_str().expect("text")]).expect(0);
        house::wait_for("format and slots reach the bucket", 30, || bucket.join("format").exists());
        std::thread::sleep(std::time::Duration::from_secs(1));
        appliance.stop();
        (url, kit)
    };
    let (url, kit) = make("one");
    let (_, other) = make("two");
    let empty = Setup::new(&binary, &home.path().join("new"));
    let said = empty.cli(&["recover", "--bucket", &url, "--kit", other.to_str().expect("text")]);
    assert_eq!(said.code, 5, "{}{}", said.out, said.err);
    assert!(said.err.contains("kit.wrong"), "{}", said.err);
    let text = std::fs::read_to_string(&kit).expect("the kit can be read");
    std::fs::write(home.path().join("torn"), &text[..text.len() / 3]).expect("a file can be written");
    let said = empty.cli(&["recover", "--bucket", &url, "--kit", home.path().join("torn").to_str().expect("text")]);
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(said.err.contains("kit.malformed"), "{}", said.err);
    empty.cli(&["recover", "--bucket", &url, "--kit", kit.to_str().expect("text")]).expect(0);
}

#[test]
fn a_full_disk_hurts_nothing_that_is_stored() {
    let Some(binary) = house::real_parts("real_faults disk") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let data = home.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    house::sh(&format!("mount -t tmpfs -o size=256m,mode=700 none {}", data.display()));
    let demo = Demo::start("hffull", 1, "172.31.86", ENGINE);
    let appliance = Setup::new(&binary, &data).start();
    let first = appliance.backup("hffull");
    let big = "head -c 400000000 /dev/urandom >/var/lib/postgresql/data/big";
    demo.exec("db", big);
    let words = failed(&appliance, &["backup", "hffull", "--wait"], 1, "cache.full");
    assert!(words.contains("its disk"), "{words}");
    let cache = appliance.cli(&["cache"]).expect(0).json();
    let free = house::sh(&format!("df --output=avail -B1 {} | tail -1", data.display()));
    let free: u64 = free.trim().parse().expect("a number");
    assert!(free > 12_000_000, "a twentieth of the disk stays free: {free}, {cache}");
    assert_eq!(cache["waiting"], false, "{cache}");
    let frozen = house::sh("docker ps -q --filter status=paused --filter label=com.docker.compose.project=hffull");
    assert!(frozen.trim().is_empty(), "members were left paused");
    let said = appliance.cli(&["restore", &first, "--as", "hffull2", "--wait"]);
    assert!(said.code == 0 || said.code == 3, "{}{}", said.out, said.err);
    demo.verify_database("hffull2");
    Demo { project: "hffull2".into(), port: 0, folder: home.path().join("x"), socket: ENGINE.into() }.remove();
    appliance.stop();
    house::sh(&format!("umount {}", data.display()));
}

#[test]
fn what_stands_in_the_way_of_a_restore_is_named() {
    let Some(binary) = house::real_parts("real_faults restore") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let demo = Demo::start("hfblock", 1, "172.31.87", ENGINE);
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    let snapshot = appliance.backup("hfblock");
    failed(&appliance, &["restore", &snapshot, "--in-place", "--wait"], 5, "restore.unconfirmed");
    demo.docker("create --name hfname-db-1 --label holdfast.enable=false holdfast-demo/db:1");
    let words = failed(&appliance, &["restore", &snapshot, "--as", "hfname", "--wait"], 5, "name.taken");
    assert!(words.contains("hfname-db-1"), "{words}");
    demo.docker("rm -f -v hfname-db-1");
    demo.remove();
    // The port is taken by somebody who is not Docker.
    let holder = std::net::TcpListener::bind(("127.0.0.1", demo.port)).expect("the port is free");
    let words = failed(&appliance, &["restore", &snapshot, "--in-place", "--yes", "--wait"], 5, "port.taken");
    assert!(words.contains(&demo.port.to_string()), "{words}");
    drop(holder);
    let said = appliance.cli(&["restore", &snapshot, "--in-place", "--yes", "--wait"]);
    assert!(said.code == 0 || said.code == 3, "{}{}", said.out, said.err);
    demo.verify_database("hfblock");
}

#[test]
fn a_container_removed_during_capture_fails_the_backup_and_frees_the_rest() {
    let Some(binary) = house::real_parts("real_faults removed") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let demo = Demo::start("hfgone", 8, "172.31.88", ENGINE);
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    let started = appliance.cli(&["backup", "hfgone"]).expect(0).json();
    let id = started[0]["id"].as_str().expect("a job").to_owned();
    house::wait_for("the capture is at work", 60, || {
        let job = appliance.cli(&["jobs", &id]).expect(0).json();
        job["progress"]["bytes_done"].as_u64().unwrap_or(0) > 1_000_000
    });
    demo.docker("rm -f hfgone-redis-1");
    house::wait_for("the job ends", 120, || {
        let job = appliance.cli(&["jobs", &id]).expect(0).json();
        !matches!(job["state"].as_str(), Some("running" | "queued"))
    });
    let job: Value = appliance.cli(&["jobs", &id]).expect(0).json();
    assert!(job["state"] != "done", "a member vanished and the job calls itself done: {job}");
    let frozen = house::sh("docker ps -q --filter status=paused --filter label=com.docker.compose.project=hfgone");
    assert!(frozen.trim().is_empty(), "members were left paused");
}

#[test]
fn a_forbidden_socket_is_named() {
    let Some(binary) = house::real_parts("real_faults forbidden") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("nobody");
    std::fs::create_dir(&folder).expect("a folder");
    house::sh(&format!("chmod 755 {} && chown 65534 {}", home.path().display(), folder.display()));
    let tool = home.path().join("holdfast");
    std::fs::copy(&binary, &tool).expect("the binary can be copied");
    let line = format!(
        "setpriv --reuid 65534 --regid 65534 --clear-groups {} --data {}/data serve --listen 127.0.0.1:{} >{}/log 2>&1 & echo $!",
        tool.display(),
        folder.display(),
        house::free_port(),
        folder.display()
    );
    let pid = house::sh(&line).trim().to_owned();
    let setup = Setup::new(&binary, &folder.join("data"));
    house::wait_for("it answers", 60, || setup.cli(&["healthcheck"]).code == 0);
    house::wait_for("the host is tried", 20, || {
        let status = setup.cli(&["status"]).expect(0).json();
        status["hosts"][0]["error"].as_str().is_some_and(|text| text.contains("ermission") || text.contains("may not"))
    });
    println!("{}", setup.cli(&["status"]).json()["hosts"][0]["error"]);
    house::sh(&format!("kill {pid}"));
}

#[test]
fn a_host_that_goes_away_fails_the_backup_and_is_let_go_when_it_is_back() {
    let Some(binary) = house::real_parts("real_faults away") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("engine");
    let engine = |word: &str| {
        house::sh(&format!("{} {word} {} 2>&1", house::deploy("lib/second-engine").display(), folder.display()))
    };
    engine("up");
    let socket = folder.join("docker.sock").display().to_string();
    house::sh(&format!("{} {socket} 2>&1", house::deploy("lib/demo-image").display()));
    let demo = Demo::start("hffar", 6, "172.31.92", &socket);
    let appliance = Setup::new(&binary, &home.path().join("data")).socket(&socket).start();
    let started = appliance.cli(&["backup", "hffar"]).expect(0).json();
    let id = started[0]["id"].as_str().expect("a job").to_owned();
    house::wait_for("the capture is at work", 120, || {
        let job = appliance.cli(&["jobs", &id]).expect(0).json();
        job["progress"]["bytes_done"].as_u64().unwrap_or(0) > 300_000_000
    });
    let pid = house::sh(&format!("cat {}/docker.pid", folder.display())).trim().to_owned();
    house::sh(&format!("kill {pid}"));
    house::wait_for("the job ends", 180, || {
        let job = appliance.cli(&["jobs", &id]).expect(0).json();
        !matches!(job["state"].as_str(), Some("running" | "queued"))
    });
    let job: Value = appliance.cli(&["jobs", &id]).expect(0).json();
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(job["error_kind"], "unavailable", "{job}");
    println!("{}", job["summary"]);
    house::wait_for("the engine has ended", 60, || !Path::new(&format!("/proc/{pid}")).exists());
    engine("up");
    house::wait_for("the appliance sees the host again and lets everybody go", 120, || {
        let status = appliance.cli(&["status"]).expect(0).json();
        let paused = demo.docker("ps -q --filter status=paused");
        status["hosts"][0]["reachable"] == true && paused.trim().is_empty()
    });
    demo.remove();
    drop(demo);
    drop(appliance);
    engine("down");
}
