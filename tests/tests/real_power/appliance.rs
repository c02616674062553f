//! The same with the real binary on a real engine: `holdfast serve` works on a disk whose power goes while a backup runs.

use crate::{disks, ledger::Ledger, moment};
use holdfast_tests::{
    disk::{Disk, Shelf},
    house::{self, Setup, sh},
};
use std::{path::Path, process::Stdio, time::Duration};

const APP: &str = "hfpower";
const IMAGE: &str = "holdfast-power:1";

fn cuts() -> u32 {
    std::env::var("HOLDFAST_TEST_APPLIANCE_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// A container that never runs, with a volume: removed when dropped.
struct App;

impl App {
    fn make(folder: &Path) -> App {
        drop(App);
        let tree = folder.join("tree");
        std::fs::create_dir_all(tree.join("bin")).expect("a folder can be made");
        std::fs::write(tree.join("bin/nothing"), "nothing").expect("a file can be written");
        sh(&format!("tar -C {} -c . | docker import - {IMAGE}", tree.display()));
        sh(&format!("docker create --name {APP} -v {APP}_data:/data {IMAGE} /bin/nothing"));
        App
    }
    /// New content: mostly the same as before.
    fn change(&self, folder: &Path, round: u32) {
        let file = folder.join("file");
        let bytes: Vec<u8> = (0..400_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        std::fs::write(&file, [&round.to_le_bytes(), &bytes[..]].concat()).expect("a file can be written");
        sh(&format!("docker cp -q {} {APP}:/data/file-{}", file.display(), round % 5));
    }
}

impl Drop for App {
    fn drop(&mut self) {
        sh(&format!(
            "docker rm -fv {APP} >/dev/null 2>&1; docker volume rm {APP}_data >/dev/null 2>&1; \
             docker rmi {IMAGE} >/dev/null 2>&1; true"
        ));
    }
}

#[test]
fn the_appliance_keeps_what_it_acknowledged() {
    let Some(binary) = house::real_parts("real_power") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let shelf = Shelf::make(home.path());
    let app = App::make(home.path());
    for kind in disks() {
        let mut disk = Disk::make(&shelf, kind);
        let appliance = Setup::new(&binary, &disk.place().join("data")).start();
        let ledger = Ledger::default().begin(&home.path().join(format!("{kind}.ledger")));
        ledger.append(&format!("ack {} 0", appliance.backup(APP)));
        for round in 1..=cuts() {
            app.change(home.path(), round);
            let mut backup = appliance.setup.command();
            backup.args(["backup", APP, "--wait", "--json"]).stdin(Stdio::null()).stdout(Stdio::piped());
            let backup = backup.spawn().expect("the CLI starts");
            std::thread::sleep(moment(Duration::from_millis(1500)));
            let owed = ledger.read();
            let mut cut = disk.cut();
            let said = backup.wait_with_output().expect("the CLI ends");
            let jobs: serde_json::Value = serde_json::from_slice(&said.stdout).expect("the CLI prints JSON");
            let snapshot = jobs[0]["snapshot"].as_str().unwrap_or_else(|| panic!("no snapshot in {jobs}"));
            ledger.append(&format!("ack {snapshot} {round}"));
            look(&binary, &cut.mount().join("data"), &owed, &format!("{kind}, cut {round}"));
        }
        println!("{kind}: {} cuts under the whole appliance, 0 of {} snapshots lost", cuts(), ledger.read().len());
    }
}

/// The appliance starts on what is left, lists what is owed, and every byte of it is sound.
fn look(binary: &Path, data: &Path, owed: &Ledger, when: &str) {
    // Without the engine: two appliances on one would get into each other's way.
    let appliance = Setup::new(binary, data).socket("/nonexistent/docker.sock").start();
    let listed = appliance.cli(&["snapshots"]).expect(0).json();
    let listed: Vec<_> = listed.as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()).collect();
    for (id, _) in owed.snapshots() {
        assert!(listed.contains(&id.as_str()), "{when}: acknowledged snapshot {id} is lost; there are {listed:?}");
    }
    let report = appliance.cli(&["check", "--read-data"]);
    assert_eq!(report.code, 0, "{when}: {}{}", report.out, report.err);
}
