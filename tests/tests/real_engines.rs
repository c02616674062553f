//! The whole way of a backup on an engine of another kind or age (`HOLDFAST_TEST_ENGINE`, see `deploy/lib/engine-zoo`): saved, unchanged,
//! beside, wiped and in place, over what is there, and from the machine's own engine to this one.

#[allow(clippy::unwrap_used, reason = "the mover's own tests use it too, and say so each")]
#[path = "../../appliance/mover/tests/common/mod.rs"]
mod common;

use common::{Facts, assert_same, facts};
use holdfast_tests::{
    house::{Appliance, Setup, deploy, sh},
    proxy::Proxy,
    zoo::{Small, Zoo},
};
use serde_json::Value;
use std::collections::BTreeMap;

type Tree = BTreeMap<Vec<u8>, Facts>;

fn volume(zoo: &Zoo, name: &str) -> Tree {
    facts(&zoo.place(name))
}

fn normalised(app: &Small) -> Vec<(String, Value)> {
    app.inspect().into_iter().map(|(name, value)| (name, holdfast_restore::normalise(&value))).collect()
}

fn newest(appliance: &Appliance, id: &str) -> Value {
    let list = appliance.cli(&["snapshots"]).expect(0).json();
    list.as_array().and_then(|all| all.iter().find(|s| s["id"] == id)).expect("it is listed").clone()
}

/// Codes of problems above a note; everything is shown.
fn problems(zoo: &Zoo, what: &str, shown: &Value) -> Vec<String> {
    let all = shown.as_array().cloned().unwrap_or_default();
    for problem in &all {
        println!("{}: {what}: [{}] {}: {}", zoo.name, problem["severity"], problem["code"], problem["message"]);
    }
    let loud = all.iter().filter(|problem| problem["severity"] != "note");
    loud.map(|problem| problem["code"].as_str().unwrap_or_default().to_owned()).collect()
}

fn restore(zoo: &Zoo, appliance: &Appliance, args: &[&str]) -> Vec<String> {
    let said = appliance.cli(&[&["restore"], args, &["--wait"]].concat());
    assert!(said.code == 0 || said.code == 3, "{args:?}: {}{}", said.err, said.out);
    let job = said.json();
    let job = if job.is_array() { job[0].clone() } else { job };
    problems(zoo, "restore", &job["problems"])
}

/// What a backup on this engine has to name as lost, and nothing else.
fn reduced(zoo: &Zoo) -> Vec<String> {
    let mut all = Vec::new();
    if zoo.name.ends_with("rootless") {
        all.push("hold.impossible".to_owned());
    }
    if zoo.is_podman() {
        all.push("layer.owners".to_owned());
    }
    all
}

/// What was told of an app, less what this engine cannot tell: owners in layers (Podman), owners of the host's files (remapped users).
fn as_kept(zoo: &Zoo, told: &str) -> String {
    let of_the_host = |line: &str| line.ends_with("/site/sub/page") || line.ends_with("/etc/one.conf");
    let is_lost = |line: &str| match of_the_host(line) {
        true => zoo.name.ends_with("userns"),
        false => zoo.is_podman() && !line.ends_with("/anon/u"),
    };
    let line = |line: &str| match line.split_once(' ') {
        Some((owner, rest)) if owner.contains(':') && is_lost(line) => format!("? {rest}\n"),
        _ => format!("{line}\n"),
    };
    told.lines().map(line).collect()
}

fn helpers(zoo: &Zoo) {
    let left = zoo.docker("ps -aq --filter label=io.holdfast.helper");
    assert!(left.trim().is_empty(), "helpers were left behind: {left}");
}

#[test]
fn an_app_comes_back_on_this_engine() {
    let Some((binary, zoo)) = Zoo::of_this_run("real_engines") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let app = Small::start(&zoo, "hfzoo", "172.31.91");
    let data = volume(&zoo, "hfzoo_data");
    let told = as_kept(&zoo, &app.tell("hfzoo"));
    let appliance = Setup::new(&binary, &home.path().join("data")).socket(&zoo.socket).start();
    let doctor = appliance.cli(&["doctor"]).json();
    for line in
        doctor.as_array().into_iter().flatten().filter(|l| l["test"].as_str().is_some_and(|t| t.starts_with("host")))
    {
        println!("{}: doctor: {} {}: {}", zoo.name, line["ok"], line["test"], line["detail"]);
        assert_eq!(line["ok"], true, "{line}");
    }

    let before = normalised(&app);
    let first = appliance.backup("hfzoo");
    let shown = newest(&appliance, &first);
    assert_eq!(problems(&zoo, "backup", &shown["problems"]), reduced(&zoo));
    assert_eq!(shown["fidelity"], "full");
    // What changed within two seconds before a walk is read once more by the next.
    std::thread::sleep(std::time::Duration::from_secs(3));
    appliance.backup("hfzoo");
    let third = newest(&appliance, &appliance.backup("hfzoo"));
    let read = third["stats"]["bytes_read"].as_u64().unwrap_or(u64::MAX);
    assert!(read < 64 << 10, "{read} bytes of an unchanged app were read: {}", third["stats"]);
    assert_eq!(third["stats"]["images_known"], 1, "the image was read again");

    let loud = restore(&zoo, &appliance, &[&first, "--as", "hfzoo-copy"]);
    assert_eq!(loud, Vec::<String>::new());
    assert_same(&data, &volume(&zoo, "hfzoo-copy_data"), "beside");
    assert_eq!(told, as_kept(&zoo, &app.tell("hfzoo-copy")), "beside");
    assert_eq!(told, as_kept(&zoo, &app.tell("hfzoo")), "the original after a restore beside it");
    app.take_down("hfzoo-copy");

    app.wreck();
    let loud = restore(&zoo, &appliance, &[&first, "--in-place", "--yes"]);
    assert_eq!(loud, Vec::<String>::new());
    assert_same(&data, &volume(&zoo, "hfzoo_data"), "in place");
    assert_eq!(told, as_kept(&zoo, &app.tell("hfzoo")), "in place");
    for ((name, old), (_, new)) in before.iter().zip(&normalised(&app)) {
        let differ = holdfast_restore::differences(old, new);
        assert!(differ.is_empty(), "{name} differs after the restore in {differ:?}\n{old:#}\n{new:#}");
    }

    // What is there gives way to what was there.
    let place = zoo.place("hfzoo_data");
    sh(&format!("rm -rf {0}/many {0}/hard; echo new >{0}/stranger; echo other >{0}/a", place.display()));
    restore(&zoo, &appliance, &[&first, "--in-place", "--yes"]);
    assert_same(&data, &volume(&zoo, "hfzoo_data"), "over what was there");
    restore(&zoo, &appliance, &[&first, "--volume", "hfzoo_data", "--in-place", "--yes"]);
    assert_same(&data, &volume(&zoo, "hfzoo_data"), "one volume in place");
    assert_eq!(told, as_kept(&zoo, &app.tell("hfzoo")), "over what was there");
    helpers(&zoo);
}

/// As container programs see it, wherever it lies.
fn seen_inside(zoo: &Zoo, mut tree: Tree) -> Tree {
    for facts in tree.values_mut() {
        if let Some(shift) = zoo.shift() {
            facts.owner = (shift.inside(facts.owner.0), shift.inside(facts.owner.1));
        }
    }
    tree
}

#[test]
fn an_app_moves_from_the_machines_engine_to_this_one_and_back() {
    let Some((binary, zoo)) = Zoo::of_this_run("real_engines moved") else { return };
    if zoo.name.ends_with("rootless") {
        eprintln!(
            "real_engines moved: SKIPPED, whoever runs an engine without root may not replace files of this machine's root"
        );
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let machine = Zoo::machine();
    let app = Small::start(&machine, "hfzoomove", "172.31.92");
    let data = volume(&machine, "hfzoomove_data");
    let told = app.tell("hfzoomove");
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    appliance.cli(&["host", "add", "zoo", &format!("unix://{}", zoo.socket)]).expect(0);
    let there = Small {
        zoo: zoo.clone(),
        project: app.project.clone(),
        folder: app.folder.clone(),
        subnet: app.subnet.clone(),
    };
    there.take_down("hfzoomove");
    let snapshot = appliance.backup("local/hfzoomove");
    app.take_down("hfzoomove");
    restore(&zoo, &appliance, &[&snapshot, "--to", "zoo", "--yes"]);
    assert_same(&data, &seen_inside(&zoo, volume(&zoo, "hfzoomove_data")), "moved");
    assert_eq!(as_kept(&zoo, &told), as_kept(&zoo, &there.tell("hfzoomove")), "moved");

    // And back: what this engine tells must be good elsewhere.
    let snapshot = appliance.backup("zoo/hfzoomove");
    there.take_down("hfzoomove");
    restore(&zoo, &appliance, &[&snapshot, "--to", "local", "--yes"]);
    assert_same(&data, &volume(&machine, "hfzoomove_data"), "moved back");
    assert_eq!(as_kept(&zoo, &told), as_kept(&zoo, &app.tell("hfzoomove")), "moved back");
    helpers(&zoo);
}

/// A small app behind another way to the engine: added, backed up, restored beside.
fn works_through(zoo: &Zoo, appliance: &Appliance, host: &str, app: &Small) {
    let id = format!("{host}/{}", app.project);
    let snapshot = appliance.backup(&id);
    assert_eq!(newest(appliance, &snapshot)["fidelity"], "full");
    let copy = format!("{}-copy", app.project);
    restore(zoo, appliance, &[&snapshot, "--as", &copy]);
    let data = volume(zoo, &format!("{}_data", app.project));
    assert_same(&data, &volume(zoo, &format!("{copy}_data")), "beside");
    app.take_down(&copy);
}

/// An appliance in the engine's network, with no host but one that does not answer.
fn appliance_near(zoo: &Zoo, binary: &std::path::Path, data: &std::path::Path) -> Appliance {
    let setup = Setup::new(binary, data).socket("/nowhere/docker.sock");
    setup.within(&["nsenter", &format!("--net=/proc/{}/ns/net", zoo.pid())]).start()
}

#[test]
fn this_engine_is_reached_by_tcp_with_certificates_of_both() {
    let Some((binary, zoo)) = Zoo::of_this_run("real_engines tcp") else { return };
    if zoo.is_podman() || zoo.name.ends_with("rootless") {
        eprintln!("{}: no TLS of its own: left out", zoo.name);
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let app = Small::start(&zoo, "hfzootls", "172.31.93");
    let appliance = appliance_near(&zoo, &binary, &home.path().join("data"));
    let file = |name: &str| zoo.folder.join("tls").join(name).display().to_string();
    let add = |name: &str, url: &str, ca: &str, cert: &str, key: &str| {
        appliance.cli(&["host", "add", name, url, "--tls-ca", ca, "--tls-cert", cert, "--tls-key", key])
    };
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    for (url, [ca, cert, key], why) in [
        // The name is not in the certificate.
        ("tcp://localhost:2376", [&ca, &cert, &key], "do not accept"),
        // A CA of somebody else.
        ("tcp://127.0.0.1:2376", [&cert, &cert, &key], "do not accept"),
        ("tcp://127.0.0.1:2376", [&ca, &cert, &file("ca-key.pem")], "does not belong"),
        ("tcp://127.0.0.1:2376", [&ca, &key, &key], "certificate"),
        ("tcp://127.0.0.1:1", [&ca, &cert, &key], "no connection"),
        ("tcp://127.0.0.1", [&ca, &cert, &key], "a port"),
        ("unix:///x.sock", [&ca, &cert, &key], "tcp:// alone"),
    ] {
        let said = add("wrong", url, ca, cert, key);
        assert!(said.code != 0 && said.err.contains(why), "{url} {ca} {cert} {key}: {} {}", said.code, said.err);
    }
    let said = appliance.cli(&["host", "add", "wrong", "tcp://127.0.0.1:2376"]);
    assert_ne!(said.code, 0, "an engine that asks for certificates was reached without any");
    add("edge", "tcp://127.0.0.1:2376", &ca, &cert, &key).expect(0);
    works_through(&zoo, &appliance, "edge", &app);
}

#[test]
fn this_engine_is_reached_by_ssh() {
    let Some((binary, zoo)) = Zoo::of_this_run("real_engines ssh") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let app = Small::start(&zoo, "hfzoossh", "172.31.94");
    let keys = zoo.zoo("ssh", &[]).expect(0).out.trim().to_owned();
    let appliance = appliance_near(&zoo, &binary, &home.path().join("data"));
    let add = |name: &str, url: &str, key: &str, known: &str| {
        appliance.cli(&["host", "add", name, url, "--ssh-key", key, "--ssh-known-hosts", known])
    };
    let (key, known) = (format!("{keys}/id"), format!("{keys}/known_hosts"));
    let stranger = home.path().join("known");
    std::fs::write(&stranger, "[127.0.0.9]:2222 ssh-ed25519 AAAA\n").expect("it can be written");
    let url = "ssh://zoo@127.0.0.1:2222";
    for (url, key, known, why) in [
        (url, &key, &stranger.display().to_string(), "known"),
        (url, &format!("{keys}/host"), &known, "lets us not in"),
        (url, &format!("{keys}/id.pub"), &known, "no private key"),
        ("ssh://zoo@127.0.0.1:2223", &key, &known, "cannot be reached"),
        ("ssh://zoo@127.0.0.1:2222/run/no/such.sock", &key, &known, "no engine answers"),
        ("ssh://-x@127.0.0.1", &key, &known, "after ssh://"),
    ] {
        let said = add("wrong", url, key, known);
        assert!(said.code != 0 && said.err.contains(why), "{url} {key}: {} {}", said.code, said.err);
    }
    // Here every root has Docker's client too, which would ask for a socket that Podman has elsewhere.
    let socket = if zoo.is_podman() { zoo.socket.as_str() } else { "" };
    add("edge", &format!("{url}{socket}"), &key, &known).expect(0);
    works_through(&zoo, &appliance, "edge", &app);
    let name = &appliance.cli(&["host", "ls"]).expect(0).json();
    assert!(!name.to_string().contains("PRIVATE KEY"), "a key is shown");
}

#[test]
fn the_lists_of_calls_are_enough_and_what_is_forbidden_is_named() {
    let Some((binary, zoo)) = Zoo::of_this_run("real_engines proxy") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let app = Small::start(&zoo, "hfzooproxy", "172.31.95");
    let lists = ["backup", "restore"].map(|name| deploy(&format!("docs/socket-proxy/{name}.allow")));
    let proxy = Proxy::start(&home.path().join("proxy.sock"), &zoo.socket, &lists);
    let appliance = Setup::new(&binary, &home.path().join("data")).socket(&proxy.socket.display().to_string()).start();
    works_through(&zoo, &appliance, "local", &app);
    let snapshot = appliance.backup("local/hfzooproxy");
    app.take_down("hfzooproxy");
    restore(&zoo, &appliance, &[&snapshot, "--in-place", "--yes"]);
    let line = |test: &str| {
        let lines = appliance.cli(&["doctor"]).json();
        let found = lines.as_array().and_then(|all| all.iter().find(|line| line["test"] == test)).cloned();
        found.unwrap_or_else(|| panic!("doctor has no line {test}: {lines}"))
    };
    for test in ["host local rights", "host local restores", "host local mover"] {
        assert_eq!(line(test)["ok"], true, "{}", line(test));
    }
    assert_eq!(proxy.refused(), Vec::<String>::new(), "calls that are not on the lists");

    // Backups alone: enough for them, and what is missing is named.
    proxy.allow(&lists[..1]);
    appliance.backup("local/hfzooproxy");
    assert_eq!(proxy.refused(), Vec::<String>::new(), "calls that are not on the list");
    assert_eq!(line("host local rights")["ok"], true);
    let restores = line("host local restores");
    assert!(restores["ok"] == false && restores["detail"].to_string().contains("make volumes"), "{restores}");
    proxy.refused();
    let said = appliance.cli(&["restore", &snapshot, "--as", "hfzooproxy-copy", "--wait"]);
    assert!(said.code != 0 && said.err.contains("not allowed here"), "{}{}", said.out, said.err);

    // Without the right to pause nothing is backed up in silence.
    proxy.forbid("POST", "/containers/*/pause");
    let rights = line("host local rights");
    assert!(rights["ok"] == false && rights["detail"].to_string().contains("pause containers"), "{rights}");
    let coverage = appliance.cli(&["coverage"]).json().to_string();
    assert!(coverage.contains("host.right_missing") && coverage.contains("pause containers"), "{coverage}");
    if !zoo.name.ends_with("rootless") {
        let said = appliance.cli(&["backup", "local/hfzooproxy", "--wait"]);
        assert!(said.code != 0 && (said.out + &said.err).contains("not allowed here"), "a backup without its hold");
    }
    // Nor without a helper: what is less is said.
    proxy.allow(&lists[..1]);
    proxy.forbid("POST", "/containers/*/start");
    let said = appliance.cli(&["backup", "local/hfzooproxy", "--wait"]);
    match zoo.is_podman() {
        true => assert!(said.code != 0 && (said.out + &said.err).contains("helper container"), "less than all"),
        false => {
            let list = appliance.cli(&["snapshots"]).expect(0).json();
            let newest =
                list.as_array().and_then(|all| all.iter().max_by_key(|s| s["time"].to_string())).expect("one").clone();
            assert!(
                newest["fidelity"] == "api" && newest["problems"].to_string().contains("mover.unavailable"),
                "{newest}"
            );
        }
    }
}
