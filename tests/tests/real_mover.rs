//! The throw-away container that reads an app, as the engine and the kernel tell of it while it is there: no network, nothing
//! that it could write to, no right but to read, bounded. And nothing of it stays.

use holdfast_tests::{
    engine_api::{self, HELPER, get, helpers, wipe_helpers},
    house::{self, Setup, sh, wait_for},
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const NAME: &str = "hfmover";
/// The backup waits in this hook: what reads was made before it and is removed after it.
const WAITS: &str = "touch /data/waits; until [ -e /data/go ]; do sleep 0.1; done";
/// Memory and processes that it may have at most.
const MEMORY: u64 = 1 << 30;
const PIDS: u64 = 64;
/// The kernel's bit of the one capability, to read past permissions.
const DAC_READ_SEARCH: u64 = 1 << 2;

/// A container with a volume and a folder of the host; dropped, it is removed.
struct App {
    folder: PathBuf,
}

impl App {
    fn start(folder: &Path) -> App {
        engine_api::wipe(NAME);
        std::fs::create_dir(folder).expect("a folder");
        std::fs::write(folder.join("file"), "bound").expect("a file");
        sh(&format!(
            "docker run -d --name {NAME} --stop-signal KILL --label 'holdfast.hook.pre={WAITS}' -v {NAME}_data:/data -v {}:/folder \
             --entrypoint /bin/sleep holdfast-demo/base:1 100000",
            folder.display()
        ));
        App { folder: folder.to_owned() }
    }

    /// Whether its backup has come to the hook.
    fn waits(&self) -> bool {
        house::run(Command::new("docker").args(["exec", NAME, "test", "-e", "/data/waits"])).code == 0
    }

    /// What reads its volume, and what reads its folder.
    fn helpers(&self) -> Vec<Value> {
        [helpers(NAME), helpers(&self.folder.display().to_string())].concat()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        wipe_helpers(NAME);
        wipe_helpers(&self.folder.display().to_string());
        engine_api::wipe(NAME);
    }
}

/// Names of capabilities; engines write some of them with the kernel's prefix.
fn capabilities(list: &Value) -> Vec<&str> {
    let names = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    names.map(|name| name.trim_start_matches("CAP_")).collect()
}

/// What the engine says of it.
fn is_shut_in(inspect: &Value, owner: &str) {
    let (config, host) = (&inspect["Config"], &inspect["HostConfig"]);
    assert!(config["Image"].as_str().is_some_and(|image| image.starts_with("holdfast/mover:")), "{config}");
    assert_eq!(config["Labels"][HELPER], owner, "{config}");
    assert_eq!(inspect["State"]["Running"], true, "{inspect}");
    assert_eq!(host["NetworkMode"], "none", "{host}");
    let networks: Vec<&String> =
        inspect["NetworkSettings"]["Networks"].as_object().into_iter().flat_map(|all| all.keys()).collect();
    assert!(networks.iter().all(|name| *name == "none"), "{networks:?}");
    assert!(host["ReadonlyRootfs"] == true && host["Privileged"] == false, "{host}");
    assert_eq!(capabilities(&host["CapDrop"]), ["ALL"], "{host}");
    assert_eq!(capabilities(&host["CapAdd"]), ["DAC_READ_SEARCH"], "{host}");
    let mut options = host["SecurityOpt"].as_array().into_iter().flatten().filter_map(Value::as_str);
    assert!(options.any(|option| option.starts_with("no-new-privileges")), "{host}");
    for (limit, most) in [("Memory", MEMORY), ("PidsLimit", PIDS)] {
        assert!(host[limit].as_u64().is_some_and(|set| (1..=most).contains(&set)), "{limit}: {host}");
    }
    let mounts = &inspect["Mounts"];
    assert!(
        mounts.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["RW"] == false)),
        "{mounts}"
    );
}

/// What the kernel says of it.
fn is_held_down(inspect: &Value) {
    let pid = &inspect["State"]["Pid"];
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs on this machine");
    let told = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        let held = u64::from_str_radix(told(set), 16).expect("capabilities are told as bits");
        assert_eq!(held & !DAC_READ_SEARCH, 0, "{set} {held:x}");
    }
    assert_eq!(told("NoNewPrivs:"), "1", "{status}");
}

#[test]
fn who_reads_an_app_is_shut_in_and_gone_afterwards() {
    let Some(binary) = house::real_parts("real_mover") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let app = App::start(&home.path().join("folder"));
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    appliance.cli(&["backup", NAME]).expect(0);
    wait_for("the backup waits in its hook", 60, || app.waits());

    let found = app.helpers();
    assert_eq!(found.len(), 2, "one for the volume, one for the folder of the host: {found:#?}");
    let owner = found[0]["Labels"][HELPER].as_str().unwrap_or_default().to_owned();
    assert_eq!(owner.len(), 32, "the label is no appliance's id: {owner}");
    for helper in &found {
        let id = helper["Id"].as_str().expect("a container has an id");
        let inspect = get(&format!("/containers/{id}/json"));
        is_shut_in(&inspect, &owner);
        is_held_down(&inspect);
    }

    sh(&format!("docker exec {NAME} touch /data/go"));
    wait_for("the snapshot is taken", 60, || !appliance.snapshots_of(NAME).is_empty());
    let taken = appliance.snapshots_of(NAME).remove(0);
    assert_eq!(taken["fidelity"], "full", "{taken}");
    let stays = || helpers("").iter().any(|one| one["Labels"][HELPER] == owner.as_str());
    wait_for("nothing of it stays", 10, || !stays());
}
