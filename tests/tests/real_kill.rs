//! The appliance is killed at random moments of backup, shipping, prune and restore: nothing stays paused, every
//! snapshot that was reported restores, interrupted work is reported.

use holdfast_tests::{
    demo::Demo,
    house::{self, Setup},
};
use std::time::Duration;

const ENGINE: &str = "/var/run/docker.sock";

fn rounds() -> u32 {
    std::env::var("HOLDFAST_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// A time to wait before the kill, spread evenly over `longest`, from the system's randomness.
fn moment(longest: Duration) -> Duration {
    let share = u16::from_le_bytes(holdfast_runtime::random::<2>());
    longest.mul_f64(f64::from(share) / f64::from(u16::MAX))
}

fn nothing_is_paused() {
    let paused = house::sh("docker ps -q --filter status=paused --filter label=com.docker.compose.project=hfkill");
    assert!(paused.trim().is_empty(), "members are still paused");
}

#[test]
fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    let Some(binary) = house::real_parts("real_kill") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let demo = Demo::start("hfkill", 2, "172.31.89", ENGINE);
    let bucket = home.path().join("bucket");
    let setup = Setup::new(&binary, &home.path().join("data")).bucket(&format!("file://{}", bucket.display()));
    let mut appliance = setup.start();
    let mut promised = vec![appliance.backup("hfkill")];
    appliance.cli(&["policy", "set", "few", "--every", "7d", "--keep-last", "3"]).expect(0);
    appliance.cli(&["policy", "assign", "hfkill", "few"]).expect(0);
    for round in 0..rounds() {
        for deed in ["backup", "shipping", "prune", "restore"] {
            demo.exec("db", "psql -U postgres -qc 'update pgbench_accounts set abalance = abalance where aid % 50 = 0'");
            let newest = promised.last().expect("there is one").clone();
            let longest = match deed {
                "backup" => {
                    appliance.cli(&["backup", "hfkill"]);
                    Duration::from_millis(4000)
                }
                "shipping" => {
                    promised.push(appliance.backup("hfkill"));
                    Duration::from_millis(400)
                }
                "prune" => {
                    let mut prune = setup.command();
                    prune.args(["prune", "--json"]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
                    let mut child = prune.spawn().expect("the CLI starts");
                    std::thread::sleep(moment(Duration::from_millis(300)));
                    appliance = kill_and_look(appliance, &setup);
                    child.kill().ok();
                    child.wait().ok();
                    Duration::ZERO
                }
                _ => {
                    appliance.cli(&["restore", &newest, "--as", "hfkillcopy"]);
                    Duration::from_millis(6000)
                }
            };
            if longest > Duration::ZERO {
                std::thread::sleep(moment(longest));
                appliance = kill_and_look(appliance, &setup);
            }
            Demo { project: "hfkillcopy".into(), port: 0, folder: home.path().join("x"), socket: ENGINE.into() }.remove();
            let jobs = appliance.cli(&["jobs"]).expect(0).json();
            let open = jobs.as_array().into_iter().flatten().filter(|j| j["kind"] != "backup" && j["state"] == "running").count();
            assert_eq!(open, 0, "round {round}, {deed}: a job of the dead process still runs: {jobs}");
        }
        let listed = appliance.cli(&["snapshots", "hfkill"]).expect(0).json();
        let ids: Vec<String> = listed.as_array().into_iter().flatten().filter_map(|s| s["id"].as_str().map(str::to_owned)).collect();
        promised.retain(|id| ids.contains(id));
        assert!(ids.len() >= 1, "no snapshot is left");
        let report = appliance.cli(&["check", "--read-data"]);
        assert_eq!(report.code, 0, "round {round}: {}{}", report.out, report.err);
    }
    for snapshot in appliance.cli(&["snapshots", "hfkill"]).expect(0).json().as_array().expect("a list") {
        let id = snapshot["id"].as_str().expect("an id");
        let said = appliance.cli(&["restore", id, "--as", "hfkillcopy", "--wait"]);
        assert!(said.code == 0 || said.code == 3, "{}{}", said.out, said.err);
        demo.verify_database("hfkillcopy");
        Demo { project: "hfkillcopy".into(), port: 0, folder: home.path().join("x"), socket: ENGINE.into() }.remove();
    }
}

fn kill_and_look(appliance: house::Appliance, setup: &Setup) -> house::Appliance {
    appliance.kill();
    let appliance = setup.start();
    house::wait_for("members are let go", 30, || {
        house::sh("docker ps -q --filter status=paused --filter label=com.docker.compose.project=hfkill").trim().is_empty()
    });
    nothing_is_paused();
    appliance
}
