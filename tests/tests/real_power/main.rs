//! The power goes at random moments, on real file systems: every snapshot that was acknowledged restores exactly,
//! nothing half-made is in the way, and work goes on.
//!
//! `the_repository…` does the mass: a process of its own backs up and prunes on the disk (`driver`), a second one looks
//! at what is left after a cut (`inspector`). `the_appliance…` does the same with the real binary and a real engine.
//! `HOLDFAST_TEST_CUTS` says how many cuts each file system gets, `HOLDFAST_TEST_DISKS` which (`ext4 xfs btrfs`).

mod appliance;
mod driver;
mod inspector;
mod ledger;

use holdfast_tests::{
    disk::{Disk, FileSystem, Shelf},
    house,
};
use ledger::Ledger;
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// After so many cuts the power comes back for good, and work goes on from what the last cut left.
const LIFE: u32 = 20;

fn cuts() -> u32 {
    std::env::var("HOLDFAST_TEST_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(30)
}

/// The file systems of this run.
fn disks() -> Vec<FileSystem> {
    let wanted = std::env::var("HOLDFAST_TEST_DISKS").unwrap_or_else(|_| "ext4 xfs btrfs".into());
    FileSystem::ALL.into_iter().filter(|kind| wanted.split_whitespace().any(|word| word == kind.to_string())).collect()
}

/// A time to wait, spread evenly up to `longest`, from the system's randomness.
fn moment(longest: Duration) -> Duration {
    let share = u16::from_le_bytes(holdfast_runtime::random::<2>());
    longest.mul_f64(f64::from(share) / f64::from(u16::MAX))
}

/// This test binary again, as another role.
fn role(name: &str, data: &Path, ledger: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("we know who we are"));
    command.args(["--exact", &format!("{name}::role"), "--nocapture", "--quiet"]);
    command.env(format!("HOLDFAST_POWER_{}", name.to_uppercase()), data).env("HOLDFAST_POWER_LEDGER", ledger);
    command
}

/// A driver at work; dropped, it is ended.
struct Driver(Child);

impl Driver {
    fn start(disk: &Disk, ledger: &Ledger) -> Driver {
        let mut command = role("driver", &disk.place().join("data"), ledger.path());
        Driver(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the driver starts"))
    }
    fn signal(&self, name: &str) {
        house::sh(&format!("kill -{name} {}", self.0.id()));
    }
    fn is_alive(&mut self) -> bool {
        self.0.try_wait().expect("a child can be asked").is_none()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn the_repository_keeps_what_it_acknowledged() {
    if house::real_parts("real_power").is_none() {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let shelf = Shelf::make(home.path());
    for kind in disks() {
        let start = Instant::now();
        let mut disk = Disk::make(&shelf, kind);
        let (mut acknowledged, mut done) = (0, 0);
        let mut kept = Ledger::default();
        while done < cuts() {
            let ledger = kept.begin(&home.path().join(format!("{kind}-{done}.ledger")));
            let life = LIFE.min(cuts() - done);
            kept = live(&mut disk, &ledger, life, &mut acknowledged);
            done += life;
        }
        let seconds = start.elapsed().as_secs();
        println!("{kind}: {done} cuts, {acknowledged} acknowledged snapshots looked for, 0 lost ({seconds} s)");
    }
}

/// Cuts the power `life` times, looks at what is left each time, and goes on from the last one.
fn live(disk: &mut Disk, ledger: &Ledger, life: u32, acknowledged: &mut usize) -> Ledger {
    let mut driver = Driver::start(disk, ledger);
    let (first, begun) = (ledger.read().len(), Instant::now());
    while ledger.read().len() == first {
        assert!(driver.is_alive() && begun.elapsed() < Duration::from_secs(120), "the driver does not come to work");
        std::thread::sleep(Duration::from_millis(20));
    }
    for number in 1.. {
        std::thread::sleep(moment(Duration::from_millis(250)));
        // What was acknowledged before the cut must be there; what is forgotten may be gone as soon as that is told.
        let before = ledger.read();
        let mut cut = disk.cut();
        driver.signal("STOP");
        let owed = before.owed_after(&ledger.read());
        *acknowledged += owed.len();
        let paper = ledger.path().with_extension("owed");
        let owed = owed.begin(&paper);
        let said = house::run(&mut role("inspector", &cut.mount().join("data"), owed.path()));
        let alive = driver.is_alive();
        assert!(said.code == 0 && alive, "cut {number} (driver alive: {alive}):\n{}{}", said.out, said.err);
        if number == life {
            drop(driver);
            disk.go_on_from(cut);
            return owed.read();
        }
        driver.signal("CONT");
    }
    unreachable!("a life has an end")
}
