//! The appliance is killed at random moments of backup, shipping, prune and restore: nothing stays paused, every
//! snapshot that was reported restores, interrupted work is reported.

use holdfast_tests::{
    demo::Demo,
    house::{self, Appliance, Setup},
};
use std::{process::Stdio, time::Duration};

const ENGINE: &str = "/var/run/docker.sock";

fn rounds() -> u32 {
    std::env::var("HOLDFAST_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// A time to wait before the kill, spread evenly over `longest`, from the system's randomness.
fn moment(longest: Duration) -> Duration {
    let share = u16::from_le_bytes(holdfast_runtime::random::<2>());
    longest.mul_f64(f64::from(share) / f64::from(u16::MAX))
}

/// The one who is killed, and what surrounds it.
struct Stage {
    home: tempfile::TempDir,
    setup: Setup,
    demo: Demo,
}

impl Stage {
    fn remove_copy(&self) {
        let folder = self.home.path().join("x");
        Demo { project: "hfkillcopy".into(), port: 0, folder, socket: ENGINE.into() }.remove();
    }

    /// Begins the deed, kills the appliance at a random moment of it, starts it again and looks around.
    fn kill_during(&self, deed: &str, newest: &str, appliance: Appliance) -> Appliance {
        let longest = match deed {
            "backup" => {
                appliance.cli(&["backup", "hfkill"]);
                4000
            }
            "shipping" => {
                appliance.backup("hfkill");
                400
            }
            "prune" => {
                let mut prune = self.setup.command();
                prune.args(["prune", "--json"]).stdout(Stdio::null()).stderr(Stdio::null());
                let mut child = prune.spawn().expect("the CLI starts");
                std::thread::sleep(moment(Duration::from_millis(300)));
                let appliance = kill_and_look(appliance, &self.setup);
                child.kill().ok();
                child.wait().ok();
                return appliance;
            }
            _ => {
                appliance.cli(&["restore", newest, "--as", "hfkillcopy"]);
                6000
            }
        };
        std::thread::sleep(moment(Duration::from_millis(longest)));
        kill_and_look(appliance, &self.setup)
    }

    /// Every snapshot that is listed restores, and its database is sound.
    fn restore_all(&self, appliance: &Appliance) {
        let list = snapshots(appliance);
        assert!(!list.is_empty(), "no snapshot is left");
        for snapshot in list {
            let said = appliance.cli(&["restore", &snapshot, "--as", "hfkillcopy", "--wait"]);
            assert!(said.code == 0 || said.code == 3, "{}{}", said.out, said.err);
            self.demo.verify_database("hfkillcopy");
            self.remove_copy();
        }
    }
}

fn snapshots(appliance: &Appliance) -> Vec<String> {
    let listed = appliance.cli(&["snapshots", "hfkill"]).expect(0).json();
    listed.as_array().into_iter().flatten().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect()
}

fn no_job_of_the_dead_runs(appliance: &Appliance, when: &str) {
    let jobs = appliance.cli(&["jobs"]).expect(0).json();
    let open = jobs.as_array().into_iter().flatten().filter(|job| job["kind"] != "backup" && job["state"] == "running");
    assert_eq!(open.count(), 0, "{when}: a job of the dead process still runs: {jobs}");
}

#[test]
fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    let Some(binary) = house::real_parts("real_kill") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let bucket = format!("file://{}", home.path().join("bucket").display());
    let setup = Setup::new(&binary, &home.path().join("data")).bucket(&bucket);
    let stage = Stage { setup, demo: Demo::start("hfkill", 2, "172.31.89", ENGINE), home };
    let mut appliance = stage.setup.start();
    let first = appliance.backup("hfkill");
    appliance.cli(&["policy", "set", "few", "--every", "7d", "--keep-last", "3"]).expect(0);
    appliance.cli(&["policy", "assign", "hfkill", "few"]).expect(0);
    for round in 0..rounds() {
        for deed in ["backup", "shipping", "prune", "restore"] {
            let touch = "update pgbench_accounts set abalance = abalance where aid % 50 = 0";
            stage.demo.exec("db", &format!("psql -U postgres -qc '{touch}'"));
            let before = snapshots(&appliance);
            let newest = before.last().unwrap_or(&first).clone();
            appliance = stage.kill_during(deed, &newest, appliance);
            let after = snapshots(&appliance);
            let lost: Vec<_> = before.iter().filter(|id| !after.contains(id)).collect();
            assert!(deed == "prune" || lost.is_empty(), "round {round}, {deed}: {lost:?} are gone");
            assert!(after.contains(&newest), "round {round}, {deed}: the newest snapshot is gone");
            stage.remove_copy();
            no_job_of_the_dead_runs(&appliance, &format!("round {round}, {deed}"));
        }
        let report = appliance.cli(&["check", "--read-data"]);
        assert_eq!(report.code, 0, "round {round}: {}{}", report.out, report.err);
    }
    stage.restore_all(&appliance);
}

fn kill_and_look(appliance: Appliance, setup: &Setup) -> Appliance {
    appliance.kill();
    let appliance = setup.start();
    house::wait_for("members are let go", 30, || {
        let paused = "docker ps -q --filter status=paused --filter label=com.docker.compose.project=hfkill";
        house::sh(paused).trim().is_empty()
    });
    appliance
}
