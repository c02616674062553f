//! Every kind of file that a volume can hold goes through a real engine, the repository and back, and nothing is different.

#[allow(clippy::unwrap_used, reason = "the mover's own tests use it too, and say so each")]
#[path = "../../appliance/mover/tests/common/mod.rs"]
mod common;

use common::{assert_same, facts, grow};
use holdfast_tests::house::{self, Appliance, Setup, sh};
use std::path::PathBuf;

/// Trees of some tens of entries each, all different: kinds, owners, modes, times, attributes, lists, links, holes, names.
const TREES: u64 = 150;
const NAME: &str = "hffidelity";

struct Container;

impl Container {
    fn start() -> Container {
        remove();
        sh(&format!(
            "docker run -d --name {NAME} --entrypoint /bin/sleep -v {NAME}-data:/data --user 0 holdfast-demo/redis:1 100000"
        ));
        Container
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        remove();
    }
}

fn remove() {
    sh(&format!(
        "docker rm -fv {NAME} {NAME}-restore >/dev/null 2>&1; docker volume ls -q | grep '^{NAME}' | xargs -r docker volume rm >/dev/null 2>&1; true"
    ));
}

fn place(volume: &str) -> PathBuf {
    sh(&format!("docker volume inspect --format '{{{{.Mountpoint}}}}' {volume}")).trim().into()
}

/// A restore point with everything in it, and nothing to complain of.
fn back_up(appliance: &Appliance) {
    appliance.backup(NAME);
    let shown = appliance.cli(&["snapshots", NAME]).expect(0).json();
    let newest = shown.as_array().and_then(|all| all.last()).expect("it is listed");
    assert_eq!((newest["fidelity"].as_str(), newest["problems"].as_array().map(Vec::len)), (Some("full"), Some(0)));
}

#[test]
fn a_volume_of_every_kind_of_file_comes_back_the_same() {
    let Some(binary) = house::real_parts("real_fidelity") else { return };
    if !common::is_root() {
        eprintln!("only root can look into volumes: left out");
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let _container = Container::start();
    let volume = place(&format!("{NAME}-data"));
    for seed in 0..TREES {
        let folder = volume.join(format!("tree-{seed}"));
        std::fs::create_dir(&folder).expect("a folder");
        grow::grow(&folder, seed, grow::Kinds { sockets: true, holes: true, acls: true });
    }
    let mut before = facts(&volume);
    // Only whoever may administrate the whole host is told of these; no program in an ordinary container can have made them.
    for facts in before.values_mut() {
        facts.xattrs.retain(|name, _| !name.starts_with(b"trusted."));
    }
    assert!(before.len() > 3000, "{}", before.len());
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    back_up(&appliance);
    let restored = appliance.cli(&["restore", &format!("latest:{NAME}"), "--wait"]).expect(0);
    assert!(!restored.out.contains("mover.unavailable"), "{}", restored.out);
    let copies = sh(&format!("docker volume ls -q | grep '^{NAME}-restore'"));
    assert_same(&before, &facts(&place(copies.trim())), "beside");
    // Nothing has changed, so next to nothing is read this time.
    back_up(&appliance);
    // What is there gives way to what was there.
    sh(&format!("rm -rf {0}/tree-1 {0}/tree-2/*; echo new > {0}/stranger", volume.display()));
    appliance.cli(&["restore", &format!("latest:{NAME}"), "--in-place", "--yes", "--wait"]).expect(0);
    assert_same(&before, &facts(&place(&format!("{NAME}-data"))), "in place");
}
