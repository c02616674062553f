//! A project whose containers, mounts and files mean harm.

use super::{MEMORY_KIB, PATIENCE, PROJECT, peak};
use holdfast_tests::{
    engine_api::{self, make, start},
    house::{self, Setup, sh},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, symlink},
    },
    path::{Path, PathBuf},
    time::Instant,
};

const IMAGE: &str = "holdfast-demo/base:1";
/// Folder of the host that the test owns.
const GROUND: &str = "/tmp/hfhostile-ground";
/// Words that a terminal, a page or a reader from left to right would obey.
pub const ODD: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}<script>alert(1)</script>\u{202e}gpj\r\nX-Evil: 1\0end";
/// Mounts of the host itself: never read.
pub const FORBIDDEN: &[&str] = &["/", "/proc", "/sys", "/etc"];

pub fn remove() {
    sh(&format!("rm -rf {GROUND}"));
}

pub fn make_folders() {
    for folder in ["real", "real/inner", "a b:c", "new\nline", "treasury"] {
        fs::create_dir_all(Path::new(GROUND).join(folder)).expect("a folder");
    }
    fs::write(Path::new(GROUND).join("treasury/treasure"), b"mine").expect("a file");
    fs::write(Path::new(GROUND).join("real/file"), b"real").expect("a file");
    symlink(format!("{GROUND}/real"), Path::new(GROUND).join("way")).expect("a link");
    // What is below a bound folder leads out of it.
    symlink("../treasury", Path::new(GROUND).join("real/out")).expect("a link");
    symlink("/etc/shadow", Path::new(GROUND).join("real/shadow")).expect("a link");
}

/// What lies around the zoo and must not change.
pub fn host_facts() -> Vec<(String, Vec<u8>, i64, u32)> {
    let mut found = Vec::new();
    for path in ["/etc/passwd", "/etc/shadow", "/etc/hostname", &format!("{GROUND}/treasury/treasure")] {
        let Ok(facts) = fs::symlink_metadata(path) else { continue };
        found.push((path.to_owned(), fs::read(path).unwrap_or_default(), facts.mtime(), facts.mode()));
    }
    let names = |folder: &str| fs::read_dir(folder).map_or(0, Iterator::count);
    found.push((format!("{} in the treasury", names(&format!("{GROUND}/treasury"))), Vec::new(), 0, 0));
    found
}

pub fn volumes() -> Vec<(&'static str, Value)> {
    let labelled = |name: &str| json!({"Name": format!("{PROJECT}{name}"), "Labels": {"odd": ODD, "com.docker.compose.project": PROJECT}});
    vec![("zoo", labelled("_zoo")), ("dots", labelled("...-_.."))]
}

/// Containers: name, body, whether it runs.
pub fn containers() -> Vec<(&'static str, Value, bool)> {
    let of = |mut body: Value| {
        body["Image"] = json!(IMAGE);
        body["StopSignal"] = json!("SIGKILL");
        body["Labels"]["com.docker.compose.project"] = json!(PROJECT);
        if body["Entrypoint"].is_null() {
            body["Entrypoint"] = json!(["/bin/sleep", "100000"]);
        }
        body
    };
    let many = |count: usize| -> Vec<String> { (0..count).map(|n| format!("K{n}={}", "v".repeat(60))).collect() };
    let labels = |count: usize| -> Value {
        (0..count).map(|n| (format!("l{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into()
    };
    vec![
        (
            "words",
            of(
                json!({"Env": [format!("ODD={}", ODD.replace('\0', ""))], "Labels": {"odd": ODD, ODD: "key"}, "WorkingDir": "/\u{e4} b"}),
            ),
            true,
        ),
        ("many", of(json!({"Env": many(5000), "Labels": labels(5000)})), false),
        ("huge", of(json!({"Labels": {"huge": "h".repeat(3 << 20)}, "Cmd": many(2000)})), false),
        (
            "circle",
            of(json!({"Labels": {"com.docker.compose.service": "../../circle",
            "com.docker.compose.depends_on": "../../circle:service_started:false,,:::,x:\u{1b}[31m:y"}})),
            true,
        ),
        (
            "writer",
            of(
                json!({"Entrypoint": ["/bin/bash", "-c", "cd /v && while :; do n=$RANDOM; echo $n >c$((n%20)); mv c$((n%20)) d$((n%7)) 2>/dev/null; rm -rf e; mkdir e; ln -sf /etc/shadow e/l; done"],
            "HostConfig": {"Binds": [format!("{PROJECT}_churn:/v")]}}),
            ),
            true,
        ),
        (
            "files",
            of(json!({"HostConfig": {"Binds": [format!("{PROJECT}_zoo:/zoo"), format!("{PROJECT}...-_..:/dots")]}})),
            true,
        ),
        (
            "ways",
            of(json!({"HostConfig": {"Mounts": [
            {"Type": "bind", "Source": format!("{GROUND}/way"), "Target": "/way"},
            {"Type": "bind", "Source": format!("{GROUND}/real/../real/inner"), "Target": "/inner"},
            {"Type": "bind", "Source": format!("{GROUND}/a b:c"), "Target": "/a b"},
            {"Type": "bind", "Source": format!("{GROUND}/new\nline"), "Target": "/new"}]}})),
            true,
        ),
        (
            "host",
            of(
                json!({"HostConfig": {"Binds": ["/:/host:ro", "/proc:/host-proc:ro", "/sys:/host-sys:ro", "/etc:/host-etc:ro",
            "/var/run/docker.sock:/docker.sock"]}}),
            ),
            true,
        ),
        (
            "layer",
            of(
                json!({"Entrypoint": ["/bin/bash", "-c", "mkdir -p /l && cd /l && ln -s /etc/shadow s && mkfifo p && mknod n c 1 3; touch -- -rf $'a\\nb' $'\\e[2J' .wh.x; sleep 100000"]}),
            ),
            true,
        ),
        ("reserved", of(json!({"Labels": {"io.holdfast.other": "me", "holdfast.hook.user": "\u{1b}root"}})), true),
    ]
}

/// Facts of one planted file: kind and mode, size, link, device.
type Facts = (u32, u64, PathBuf, u64);

/// Fills a volume with files that mean harm; what was planted, by name.
pub fn plant(volume: &str) -> BTreeMap<Vec<u8>, Facts> {
    let root = Path::new(volume.trim());
    let at = |name: &[u8]| root.join(OsStr::from_bytes(name));
    for name in [
        &b"\xff\xfe\x80"[..],
        b"two\nlines",
        b"\x1b[2Jclear",
        "a\u{202e}b".as_bytes(),
        b"-rf",
        b"*",
        b" ",
        b".wh.gone",
        b"%2e%2e",
        b"...",
    ] {
        fs::write(at(name), name).expect("a file");
    }
    fs::write(at(&[b'n'; 255]), b"long").expect("a file");
    for (name, target) in
        [("shadow", "/etc/shadow"), ("up", "../../../../.."), ("self", "self"), ("gone", "missing"), ("dot", ".")]
    {
        symlink(target, root.join(name)).expect("a link");
    }
    sh(&format!(
        "cd '{}' && mkfifo pipe && mknod mem c 1 1 && mknod disk b 8 0 && truncate -s 64M sparse && cp /bin/true suid && chmod 6755 suid && (setfattr -n trusted.overlay.redirect -v /../../etc suid || true) \
         && (setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 suid || true) \
         && python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('sock')\" \
         && touch many && (for n in $(seq 1500); do ln many l$n; done) \
         && d=.; for n in $(seq 250); do d=$d/d; done; mkdir -p $d && touch $d/bottom; mkdir shut && touch shut/in && chmod 0 shut",
        root.display()
    ));
    facts(root)
}

fn facts(root: &Path) -> BTreeMap<Vec<u8>, Facts> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).expect("a folder") {
        let entry = entry.expect("it can be read");
        let (path, facts) = (entry.path(), fs::symlink_metadata(entry.path()).expect("it is there"));
        let size = if facts.is_dir() { 0 } else { facts.size() };
        let link = fs::read_link(&path).unwrap_or_default();
        found.insert(entry.file_name().as_bytes().to_vec(), (facts.mode(), size, link, facts.rdev()));
    }
    found
}

/// All that was planted is there again, as it was, and nothing else.
pub fn assert_planted(volume: &str, planted: &BTreeMap<Vec<u8>, Facts>) {
    let now = facts(Path::new(volume.trim()));
    let differ: Vec<String> = planted
        .keys()
        .chain(now.keys())
        .filter(|name| planted.get(*name) != now.get(*name))
        .map(|name| {
            format!(
                "{}: {:?} became {:?}",
                String::from_utf8_lossy(name).escape_debug(),
                planted.get(name),
                now.get(name)
            )
        })
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
}

/// A project of its own: whoever restores all of it waits for the zeros of a quarter of a petabyte.
const VAST: &str = "hfvast";
/// Files that claim 16383 GiB each: sixteen of them are carried, all of them would be more than a snapshot may have.
const CLAIMS: usize = 70;
const CARRIED: usize = 16;
/// Problems of one kind that are named one by one.
const NAMED: usize = 50;

struct Vast;

impl Drop for Vast {
    fn drop(&mut self) {
        engine_api::wipe(VAST);
    }
}

/// Makes the project; the folder of its volume.
fn make_vast() -> PathBuf {
    engine_api::wipe(VAST);
    let labels = json!({"com.docker.compose.project": VAST});
    make("/volumes/create", &json!({"Name": format!("{VAST}_data"), "Labels": labels}));
    let body = json!({"Image": IMAGE, "Entrypoint": ["/bin/sleep", "100000"], "StopSignal": "SIGKILL", "Labels": labels,
        "HostConfig": {"Binds": [format!("{VAST}_data:/v")]}});
    make(&format!("/containers/create?name={VAST}-files"), &body);
    start(&format!("{VAST}-files"));
    let root = sh(&format!("docker volume inspect --format '{{{{.Mountpoint}}}}' {VAST}_data"));
    sh(&format!(
        "cd '{}' && for n in $(seq -w {CLAIMS}); do truncate -s 16383G f$n; done && printf good >good",
        root.trim()
    ));
    root.trim().into()
}

#[test]
fn a_volume_that_claims_a_petabyte_is_backed_up_but_for_what_is_named() {
    let Some(binary) = house::real_parts("real_hostile vast") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let _vast = Vast;
    let root = make_vast();
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    let begun = Instant::now();
    let said = appliance.cli(&["backup", VAST, "--wait"]);
    let (took, memory) = (begun.elapsed(), peak(appliance.pid()));
    println!("a volume that claims a petabyte: {took:?}, most memory {memory} KiB");
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    assert!(took < PATIENCE && memory < MEMORY_KIB, "{took:?}, {memory} KiB");
    let told = said.json();
    let problems: Vec<&Value> =
        told[0]["problems"].as_array().into_iter().flatten().filter(|one| one["code"] == "file.too_large").collect();
    assert!(problems.iter().all(|one| one["severity"] == "error"), "{problems:#?}");
    let named: Vec<&str> = problems.iter().filter_map(|one| one["subject"].as_str()).collect();
    let expected: Vec<String> = (CARRIED + 1..).take(NAMED).map(|number| format!("f{number:02}")).collect();
    assert_eq!(named[..NAMED], expected);
    let more = problems.last().map(|one| one["message"].to_string()).unwrap_or_default();
    assert!(more.contains(&format!("{} more", CLAIMS - CARRIED - NAMED)), "{more}");

    // The snapshot is there after a restart, forbids nothing, and gives back what is true of it.
    let snapshot = told[0]["snapshot"].as_str().expect("a snapshot was made").to_owned();
    let appliance = appliance.stop().start();
    assert_eq!(appliance.snapshots_of(VAST).len(), 1);
    let pruned = appliance.cli(&["prune"]);
    assert!([0, 3].contains(&pruned.code), "{}{}", pruned.out, pruned.err);
    fs::remove_file(root.join("good")).expect("it was there");
    appliance.cli(&["files", "put", &format!("{snapshot}:{VAST}_data/good"), "--wait"]).expect(0);
    assert_eq!(fs::read(root.join("good")).expect("it is back"), b"good");
}
