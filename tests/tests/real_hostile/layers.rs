//! A container's own file system with what an engine cannot tell as it is: a file as long as a disk that is one hole, and a
//! name that is no text.

use holdfast_tests::{
    engine_api::{make, start, wipe},
    house::{self, Said, Setup, run},
};
use serde_json::{Value, json};
use std::{
    process::Command,
    time::{Duration, Instant},
};

/// Not that of the others, who remove all that begins with theirs.
const PROJECT: &str = "hflayers";
const MEMBER: &str = "hflayers-files";
/// Longest backup: reading the hole takes hours.
const PATIENCE: Duration = Duration::from_secs(60);
/// Some file systems end short of 16 TiB.
const FILL: &str = r"mkdir -p /tmp /root && (truncate -s 16T /tmp/x || truncate -s 8T /tmp/x) &&
    printf good > /tmp/good && printf odd > /root/$'\xff' && printf good > /root/good";
const DAMAGE: &str = r"rm /tmp/good /root/$'\xff' && printf bad > /root/good";
const LOOK: &str = r"cat /root/$'\xff' /root/good /tmp/good && test ! -e /tmp/x";

struct Layers;

impl Drop for Layers {
    fn drop(&mut self) {
        wipe(PROJECT);
    }
}

fn within(line: &str) -> Said {
    run(Command::new("docker").args(["exec", MEMBER, "/bin/bash", "-c", line]))
}

#[test]
fn a_hole_as_long_as_a_disk_is_named_and_names_that_are_no_text_come_back() {
    let Some(binary) = house::real_parts("real_hostile layers") else { return };
    wipe(PROJECT);
    let home = tempfile::tempdir().expect("a folder");
    let _layers = Layers;
    let body = json!({"Image": "holdfast-demo/base:1", "Entrypoint": ["/bin/sleep", "100000"], "StopSignal": "SIGKILL",
        "Labels": {"com.docker.compose.project": PROJECT}});
    make(&format!("/containers/create?name={MEMBER}"), &body);
    start(MEMBER);
    within(FILL).expect(0);
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    let begun = Instant::now();
    let said = appliance.cli(&["backup", PROJECT, "--wait"]);
    println!("backed up in {:?}: exit {}", begun.elapsed(), said.code);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let backed_up = said.json();
    let problems: Vec<&Value> = backed_up[0]["problems"].as_array().into_iter().flatten().collect();
    let large: Vec<&&Value> = problems.iter().filter(|problem| problem["code"] == "layer.too_large").collect();
    assert!(large.len() == 1 && large[0]["severity"] == "error", "{problems:?}");
    assert!(large[0]["message"].as_str().is_some_and(|text| text.starts_with("/tmp/x of")), "{problems:?}");
    let lost = |problem: &&Value| problem["code"].as_str().is_some_and(|code| code.starts_with("layer."));
    assert_eq!(problems.iter().filter(|problem| lost(problem)).count(), 1, "{problems:?}");
    let snapshot = backed_up[0]["snapshot"].as_str().expect("a snapshot").to_owned();

    within(DAMAGE).expect(0);
    // Its safety backup meets the hole once more.
    let begun = Instant::now();
    let refused = appliance.cli(&["restore", &snapshot, "--in-place", "--yes", "--wait"]);
    assert!(
        refused.code != 0 && format!("{}{}", refused.out, refused.err).contains("/tmp/x"),
        "{}{}",
        refused.out,
        refused.err
    );
    within("test -e /tmp/x").expect(0);
    let restored = appliance.cli(&["restore", &snapshot, "--in-place", "--yes", "--lose-uncaptured", "--wait"]);
    println!("restored in {:?}: exit {}", begun.elapsed(), restored.code);
    assert!(restored.code == 0 || restored.code == 3, "{}{}", restored.out, restored.err);
    assert!(begun.elapsed() < 2 * PATIENCE, "{:?}", begun.elapsed());
    assert_eq!(within(LOOK).expect(0).out, "oddgoodgood");
}
