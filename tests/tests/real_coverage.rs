//! What appears on a host is covered and backed up without a command, if it says by which policy; and what a backup leaves out
//! is named before there is one, with its reason.

use holdfast_tests::{
    engine_api,
    house::{self, Appliance, Setup, sh, wait_for},
};
use serde_json::Value;
use std::{os::unix::net::UnixListener, path::Path, time::Instant};

/// The project, and its policy.
const NAME: &str = "hfcover";
/// A container that is in no project.
const ALONE: &str = "hfcover-alone";

struct Gone;

impl Drop for Gone {
    fn drop(&mut self) {
        engine_api::wipe_helpers(NAME);
        engine_api::wipe(NAME);
    }
}

/// Starts a container that sleeps.
fn sleeper(name: &str, more: &str) {
    sh(&format!(
        "docker run -d --name {name} --stop-signal KILL {more} --entrypoint /bin/sleep holdfast-demo/base:1 100000"
    ));
}

/// Those that no policy covers: one says no, one says nothing, one means a policy that is not there.
fn strangers() {
    sleeper("hfcover-off", &format!("--label holdfast.enable=false --label holdfast.policy={NAME}"));
    sleeper("hfcover-silent", "");
    sleeper("hfcover-lost", "--label holdfast.policy=hfcover-none");
}

/// Those that a policy covers. The member that names it comes last, so that the project is whole when it is covered.
fn newcomers(socket: &Path) {
    let of = |service: &str| {
        format!("--label com.docker.compose.project={NAME} --label com.docker.compose.service={service}")
    };
    sleeper("hfcover-db-1", &format!("{} -v {NAME}_data:/data", of("db")));
    let mounts = format!("-v /etc:/host-etc:ro -v {}:/door.sock --tmpfs /scratch", socket.display());
    sleeper("hfcover-web-1", &format!("{} --label holdfast.policy={NAME} {mounts}", of("web")));
    sleeper(ALONE, &format!("--label holdfast.policy={NAME} -v {NAME}_alone:/data"));
}

/// What coverage says of an app, now.
fn cover(appliance: &Appliance, app: &str) -> Value {
    // Strangers are on the host: there is always something to see to.
    let view = appliance.cli(&["coverage"]).expect(3).json();
    let hosts = view["hosts"].as_array().into_iter().flatten();
    let mut apps = hosts.flat_map(|host| host["apps"].as_array().into_iter().flatten());
    apps.find(|one| one["id"] == format!("local/{app}")).cloned().unwrap_or_default()
}

/// What was not captured and would not be is the same, with the same reason.
fn gaps_are_named(gaps: &Value, problems: &Value, socket: &Path) {
    let socket = socket.display().to_string();
    for (code, subject, why) in [
        ("bind.not_captured", "/etc", "it is a part of the host's own system"),
        ("bind.not_captured", socket.as_str(), "it is a socket, which holds no data"),
        ("tmpfs.not_captured", "hfcover-web-1", "/scratch of hfcover-web-1 lies in memory"),
    ] {
        let is_it = |one: &Value| {
            let says = one["message"].as_str().is_some_and(|words| words.contains(why));
            one["code"] == code && one["subject"] == subject && says
        };
        for list in [gaps, problems] {
            assert!(list.as_array().into_iter().flatten().any(is_it), "no {code} of {subject}: {list}");
        }
    }
    assert_eq!(gaps.as_array().map(Vec::len), Some(3), "{gaps}");
}

#[test]
fn a_new_app_is_covered_and_backed_up_without_a_command() {
    let Some(binary) = house::real_parts("real_coverage") else { return };
    let home = tempfile::tempdir().expect("a folder");
    engine_api::wipe(NAME);
    let _gone = Gone;
    let socket = home.path().join("door.sock");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    appliance.cli(&["policy", "set", NAME, "--every", "60s"]).expect(0);
    strangers();
    newcomers(&socket);

    let begun = Instant::now();
    let covered = |app: &str| cover(&appliance, app)["state"] == "covered";
    wait_for("the new apps are covered", 40, || covered(NAME) && covered(ALONE));
    let backed_up = |app: &str, times: usize| appliance.snapshots_of(app).len() >= times;
    wait_for("the new apps are backed up", 60, || backed_up(NAME, 1) && backed_up(ALONE, 1));
    println!("covered and backed up {:?} after they appeared", begun.elapsed());
    for app in [NAME, ALONE] {
        let first = appliance.snapshots_of(app).remove(0);
        assert!(first["trigger"] == "schedule" && first["policy"] == NAME, "{first}");
        assert_eq!(first["fidelity"], "full", "{first}");
    }
    gaps_are_named(&cover(&appliance, NAME)["gaps"], &appliance.snapshots_of(NAME)[0]["problems"], &socket);

    for (app, state, policy) in [
        (NAME, "covered", Some(NAME)),
        (ALONE, "covered", Some(NAME)),
        ("hfcover-off", "excluded", None),
        ("hfcover-silent", "nobody", None),
        ("hfcover-lost", "unknown_policy", Some("hfcover-none")),
    ] {
        let told = cover(&appliance, app);
        assert!(told["state"] == state && told["policy"].as_str() == policy, "{app}: {told}");
    }
    let apps = appliance.cli(&["apps"]).expect(0).json();
    for (app, why) in [("hfcover-off", "holdfast.enable=false"), ("hfcover-lost", "“hfcover-none”")] {
        assert!(appliance.snapshots_of(app).is_empty(), "{app} was backed up");
        let shown = apps.as_array().into_iter().flatten().find(|one| one["name"] == app).cloned().unwrap_or_default();
        let says = shown["reason"].as_str().is_some_and(|reason| reason.contains(why));
        assert!(shown["state"] == "not_protected" && says, "{shown}");
    }
    assert!(appliance.snapshots_of("hfcover-silent").is_empty(), "what no policy covers was backed up");
    if std::env::var_os("HOLDFAST_TEST_DEEP").is_some() {
        wait_for("each is backed up again when its minute is over", 150, || backed_up(NAME, 2) && backed_up(ALONE, 2));
    }
}
