//! Where no mover may run: a host whose door refuses to attach to containers, so that everything goes through the engine's
//! archive, both ways. A grown tree comes back with exactly the differences that are written down, and no other.

#[allow(clippy::unwrap_used, reason = "the mover's own tests use it too, and say so each")]
#[path = "../../../appliance/mover/tests/common/mod.rs"]
mod common;
mod door;

use common::{Facts, Tree, assert_same, facts, grow};
use holdfast_tests::{
    engine_api,
    house::{self, Setup, sh},
};
use std::path::PathBuf;

const NAME: &str = "hfarchive";
/// Grown trees; each of some tens of entries.
const TREES: u64 = 5;
/// The same in the deep run.
const TREES_DEEP: u64 = 60;

fn place(volume: &str) -> PathBuf {
    sh(&format!("docker volume inspect --format '{{{{.Mountpoint}}}}' {volume}")).trim().into()
}

struct Gone;

impl Drop for Gone {
    fn drop(&mut self) {
        engine_api::wipe(NAME);
    }
}

/// What README and the snapshot say that this way leaves out, and nothing else.
fn reduced(tree: &Tree) -> Tree {
    let kept = tree.iter().filter(|(_, facts)| facts.kind != 's');
    let mut reduced: Tree = kept.map(|(path, facts)| (path.clone(), reduce(facts))).collect();
    // A link whose first name was a socket's has none.
    for (path, facts) in &mut reduced {
        if !tree.contains_key(&facts.first) {
            facts.first = path.clone();
        }
    }
    reduced
}

fn reduce(facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    // The engine knows no time before 1970, but for links.
    facts.mtime = (if facts.kind == 'l' { facts.mtime.0 } else { facts.mtime.0.max(0) }, 0);
    facts.holes = Vec::new();
    // Of all attributes the engine carries those of capabilities alone; an access list goes with them.
    facts.xattrs.retain(|name, _| name == b"security.capability");
    facts
}

#[test]
fn without_a_mover_what_is_written_down_is_lost_and_nothing_else() {
    let Some(binary) = house::real_parts("real_archive") else { return };
    if !common::is_root() {
        eprintln!("only root can look into volumes: left out");
        return;
    }
    engine_api::wipe(NAME);
    let _gone = Gone;
    let home = tempfile::tempdir().expect("a folder");
    sh(&format!(
        "docker run -d --name {NAME} --entrypoint /bin/sleep -v {NAME}-data:/data holdfast-demo/base:1 100000"
    ));
    let volume = place(&format!("{NAME}-data"));
    let trees = if std::env::var_os("HOLDFAST_TEST_DEEP").is_some() { TREES_DEEP } else { TREES };
    for seed in 0..trees {
        let folder = volume.join(format!("tree-{seed}"));
        std::fs::create_dir(&folder).expect("a folder");
        grow::grow(&folder, seed, grow::Kinds { sockets: true, holes: true, acls: true });
    }
    let before = facts(&volume);
    let socket = home.path().join("door.sock");
    door::open(&socket, engine_api::SOCKET, "/attach?");
    let appliance = Setup::new(&binary, &home.path().join("data")).socket(socket.to_str().expect("text")).start();
    appliance.backup(NAME);
    let shown = appliance.cli(&["snapshots", NAME]).expect(0).json();
    assert_eq!(shown[0]["fidelity"], "api", "{shown}");
    assert!(shown[0]["problems"].to_string().contains("mover.unavailable"), "{shown}");
    for (args, at) in [
        (&["--as", "hfarchive-copy"][..], "hfarchive-copy_hfarchive-data"),
        (&["--in-place", "--yes"], "hfarchive-data"),
    ] {
        let latest = format!("latest:{NAME}");
        let said = appliance.cli(&[&["restore", &latest, "--wait"], args].concat());
        assert!(said.code == 0 || said.code == 3, "{}{}", said.out, said.err);
        let name = sh(&format!("docker volume ls -q | grep -E '^({at}|hfarchive-copy.data)$' | head -1"));
        assert_same(&reduced(&before), &facts(&place(name.trim())), at);
    }
    let count = |what: fn(&Facts) -> bool| before.values().filter(|facts| what(facts)).count();
    println!(
        "{} entries: lost are {} sockets, nanoseconds of {}, holes of {} files, attributes and lists of {}; nothing else",
        before.len(),
        count(|facts| facts.kind == 's'),
        count(|facts| facts.mtime.1 != 0),
        count(|facts| !facts.holes.is_empty()),
        count(|facts| facts.xattrs.keys().any(|name| name != b"security.capability")),
    );
    for lost in [count(|f| f.kind == 's'), count(|f| !f.holes.is_empty()), count(|f| !f.xattrs.is_empty())] {
        assert!(lost > 10, "the tree did not hold what is to be lost");
    }
}
