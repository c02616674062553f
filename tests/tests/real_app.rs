//! A real project on a real engine: saved, wiped, restored in place; then on another engine from the bucket alone.

use holdfast_tests::{
    demo::Demo,
    house::{self, Appliance, Setup},
};
use serde_json::Value;
use std::{path::Path, process::Command};

const ENGINE: &str = "/var/run/docker.sock";

fn scale() -> u32 {
    std::env::var("HOLDFAST_TEST_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// Everything that must be the same after a restore, network and containers alike.
fn normalised(demo: &Demo) -> Vec<(String, Value)> {
    demo.inspect().into_iter().map(|(name, value)| (name, holdfast_restore::normalise(&value))).collect()
}

fn assert_same(before: &[(String, Value)], after: &[(String, Value)]) {
    assert_eq!(before.len(), after.len(), "other containers than before");
    for ((name, old), (_, new)) in before.iter().zip(after) {
        let text = |value: &Value| serde_json::to_string_pretty(value).expect("JSON prints");
        let (old, new) = (text(old), text(new));
        let differ: Vec<_> = old.lines().zip(new.lines()).filter(|(a, b)| a != b).collect();
        assert!(old == new, "{name} differs after the restore: {differ:#?}");
    }
}

#[test]
fn an_app_comes_back_in_place_and_an_unchanged_backup_is_free() {
    let Some(binary) = house::real_parts("real_app") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let demo = Demo::start("hfreal", scale(), "172.31.81", ENGINE);
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    let mut writer = demo.write_for(20);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let before = normalised(&demo);
    let first = appliance.backup("hfreal");
    writer.kill().ok();
    writer.wait().ok();

    let shown = appliance.cli(&["snapshots", "hfreal"]).expect(0).json();
    assert_eq!(shown[0]["id"], first.as_str());
    assert_eq!(shown[0]["consistency"], "pause");
    assert_eq!(shown[0]["state"]["local"], "present");

    assert_eq!(shown[0]["fidelity"], "full", "{}", shown[0]["problems"]);

    // Quiet now: a second backup settles, a third must be free.
    demo.exec("db", "psql -U postgres -qc checkpoint");
    demo.docker("stop hfreal-db-1 hfreal-redis-1");
    // What changed within two seconds before a walk is read once more by the next.
    std::thread::sleep(std::time::Duration::from_secs(3));
    appliance.backup("hfreal");
    let third = appliance.backup("hfreal");
    let list = appliance.cli(&["snapshots", "hfreal"]).expect(0).json();
    let last =
        list.as_array().and_then(|all| all.iter().find(|s| s["id"] == third.as_str())).expect("it is listed").clone();
    let (new, logical) = (last["bytes_new"].as_u64().unwrap_or(u64::MAX), last["bytes_logical"].as_u64().unwrap_or(0));
    assert!(logical > 0 && new * 1000 < logical, "an unchanged backup stored {new} of {logical} bytes");
    assert_eq!(last["stats"]["images_known"], 3, "images were read again");
    assert_eq!(last["fidelity"], "full", "{}", last["problems"]);
    let moved = last["stats"]["bytes_read"].as_u64().unwrap_or(u64::MAX);
    assert!(moved < 2 << 20, "{moved} bytes of an unchanged app were read");

    demo.remove();
    house::sh("docker rmi holdfast-demo/db:1 holdfast-demo/web:1 holdfast-demo/redis:1 >/dev/null");
    appliance.cli(&["restore", &first, "--in-place", "--yes", "--wait"]).expect(0);
    demo.verify_database("hfreal");
    assert_eq!(demo.exec("redis", "redis-cli get greeting").trim(), "hello");
    house::wait_for("the web server answers", 20, || {
        house::run(std::process::Command::new("curl").args(["-fsS", &format!("http://127.0.0.1:{}/", demo.port)]))
            .out
            .contains("hfreal")
    });
    assert_same(&before, &normalised(&demo));
    assert!(house::sh("docker ps -aq --filter label=io.holdfast.helper").trim().is_empty(), "helpers were left behind");
}

#[test]
fn an_app_stands_beside_its_original() {
    let Some(binary) = house::real_parts("real_app beside") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let demo = Demo::start("hfside", 1, "172.31.82", ENGINE);
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    let snapshot = appliance.backup("hfside");
    is_told_as_compose(&demo, &appliance, &snapshot, home.path());
    let plan = appliance.cli(&["restore", &snapshot, "--as", "hfcopy", "--dry-run"]).expect(0).json();
    assert!(plan["conflicts"].as_array().is_some_and(Vec::is_empty), "{plan}");
    let copy = Demo { project: "hfcopy".into(), port: 0, folder: demo.folder.join("none"), socket: ENGINE.into() };
    let said = appliance.cli(&["restore", &snapshot, "--as", "hfcopy", "--wait"]);
    assert!(said.code == 0 || said.code == 3, "{}{}", said.out, said.err);
    demo.verify_database("hfcopy");
    demo.verify_database("hfside");
    copy.remove();
}

/// What a reader that is not ours makes of a compose file: compose itself where the engine's CLI has it, else Python's reader of
/// YAML; `None` where there is neither.
fn compose_read(file: &Path) -> Option<Value> {
    let is_there = |line: &str| house::run(Command::new("bash").args(["-c", line])).code == 0;
    if is_there("docker compose version") {
        let mut compose = Command::new("docker");
        compose.args(["compose", "-f"]).arg(file).args(["config", "--format", "json"]);
        return Some(house::run(&mut compose).expect(0).json());
    }
    if !is_there("python3 -c 'import yaml'") {
        return None;
    }
    let program = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1], encoding='utf-8')), sys.stdout)";
    Some(house::run(Command::new("python3").args(["-c", program]).arg(file)).expect(0).json())
}

/// The compose file of a snapshot is taken by a reader that is not ours, and says what the project is.
fn is_told_as_compose(demo: &Demo, appliance: &Appliance, snapshot: &str, home: &Path) {
    let file = home.join("compose.yaml");
    appliance.cli(&["compose", snapshot, "--output", file.to_str().expect("a text path")]).expect(0);
    let Some(read) = compose_read(&file) else {
        eprintln!("real_app compose: SKIPPED, there is neither docker compose nor a reader of YAML for Python");
        return;
    };
    let services = &read["services"];
    let mut names: Vec<&String> = services.as_object().into_iter().flat_map(|all| all.keys()).collect();
    names.sort();
    assert_eq!(names, ["db", "redis", "web"], "{read}");
    for name in names {
        let image = services[name]["image"].as_str().unwrap_or_default();
        assert!(image.starts_with(&format!("holdfast-demo/{name}")), "{name}: {image}");
    }
    // Compose writes numbers as texts.
    let text = |value: &Value| value.to_string().trim_matches('"').to_owned();
    let (db, web) = (&services["db"], &services["web"]);
    assert_eq!(read["name"], demo.project.as_str());
    assert_eq!(text(&db["mem_limit"]), "536870912", "{db}");
    assert!(db["environment"].to_string().contains("not-to-be-logged"), "{db}");
    assert_eq!(db["networks"]["default"]["ipv4_address"], "172.31.82.10", "{db}");
    assert_eq!(web["depends_on"]["db"]["condition"], "service_healthy", "{web}");
    assert!(web["ports"].to_string().contains(&demo.port.to_string()), "{web}");
    let folder = demo.folder.display().to_string();
    let mut mounts = web["volumes"].as_array().into_iter().flatten();
    assert!(mounts.any(|one| one["type"] == "bind" && one["source"] == folder && one["read_only"] == true), "{web}");
    assert_eq!(read["volumes"]["data"]["name"], "hfside_data", "{read}");
    assert_eq!(read["networks"]["default"]["name"], "hfside_default", "{read}");
}

#[test]
fn bucket_and_kit_alone_bring_everything_back_on_another_engine() {
    let Some(binary) = house::real_parts("real_app recover") else { return };
    let engine2 =
        std::env::var("HOLDFAST_TEST_ENGINE2").expect("deploy/test starts a second engine and names its socket");
    let (endpoint, access, secret) = house::seaweed();
    let home = tempfile::tempdir().expect("a folder");
    let bucket = make_bucket(&endpoint, &access, &secret, home.path());
    let demo = Demo::start("hfmove", scale(), "172.31.83", ENGINE);
    let setup = Setup::new(&binary, &home.path().join("data")).bucket(&bucket).keys(&access, &secret);
    let appliance = setup.start();
    let snapshot = appliance.backup("hfmove");
    appliance.cli(&["policy", "assign", "hfmove", "silver"]).expect(0);
    let settings = appliance.cli(&["bucket", "show"]).expect(0).json();
    assert_eq!(settings["health"], "ok", "{settings}");
    appliance.wait_cloud(&snapshot, 300);
    let kit = home.path().join("kit.txt");
    appliance.cli(&["key", "kit", "--output", kit.to_str().expect("a text path")]).expect(0);
    drop(appliance.kill());
    std::fs::remove_dir_all(home.path().join("data")).expect("the data folder can be removed");
    let before = normalised(&demo);
    let old = demo.verify_database("hfmove");

    let second = Setup::new(&binary, &home.path().join("second")).keys(&access, &secret).socket(&engine2);
    let said = second.cli(&["recover", "--bucket", &bucket, "--kit", kit.to_str().expect("a text path")]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let appliance = second.start();
    let policies = appliance.cli(&["policy", "ls"]).expect(0).json();
    assert!(policies.to_string().contains("local/hfmove"), "the assignment is not back: {policies}");
    appliance.cli(&["host", "add", "second", &format!("unix://{engine2}")]).expect(0);
    demo.remove();
    let said = appliance.cli(&["restore", &snapshot, "--to", "second", "--yes", "--wait"]);
    assert!(said.code == 0 || said.code == 3, "{}{}", said.out, said.err);
    let moved =
        Demo { project: "hfmove".into(), port: demo.port, folder: demo.folder.clone(), socket: engine2.clone() };
    let new = moved.verify_database("hfmove");
    assert!(!new.is_empty() && !old.is_empty());
    assert_same(&before, &normalised(&moved));
    moved.remove();
}

/// A bucket of this test's own, made with the provider's command as a provider would.
fn make_bucket(endpoint: &str, access: &str, secret: &str, home: &Path) -> String {
    let name = format!(
        "hf-{}-{}",
        std::process::id(),
        home.file_name().map(|n| n.to_string_lossy().to_lowercase().replace('.', "")).unwrap_or_default()
    );
    house::s3_make_bucket(endpoint, access, secret, &name);
    format!("s3://{name}?endpoint={endpoint}&region=us-east-1")
}
