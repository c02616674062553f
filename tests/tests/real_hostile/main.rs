//! Hostile content on a real engine: tars restored through it, and containers, volumes and files that mean harm, backed up
//! and brought back. The host around them stays as it is.

mod layers;
mod replay;
mod zoo;

use holdfast_tests::{
    engine_api::{self, get, make, start},
    hostile::{ESCAPE, corpus},
    house::{self, Setup, run, sh},
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Of the tars every so-and-so many is restored, all in the deep run.
const STEP: usize = 12;
const PROJECT: &str = "hfhostile";
/// Memory that the appliance may have had at most, KiB (unoptimised, as it is tested).
const MEMORY_KIB: u64 = 400 << 10;
/// Longest backup or restore of the zoo.
const PATIENCE: Duration = Duration::from_secs(120);

fn deep() -> bool {
    std::env::var_os("HOLDFAST_TEST_DEEP").is_some()
}

/// What this test has on the engine: by name, and helpers by their owner.
fn all_of_ours() -> Vec<String> {
    let listed = sh(&format!(
        "docker volume ls -q | grep '^{PROJECT}'; docker ps -aq --filter name={PROJECT}; docker ps -aq --filter label=io.holdfast.helper={PROJECT}; true"
    ));
    listed.lines().map(str::to_owned).collect()
}

/// Where it is written down what came of each tar, in the order of the corpus.
fn outcomes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_hostile/outcomes.txt")
}

/// The case of a line.
fn name_of(line: &str) -> &str {
    line.split(" | ").next().unwrap_or_default()
}

/// Writes down what came of these; what is written of others stays.
fn write_down(names: &[String], lines: &[String]) {
    let was = std::fs::read_to_string(outcomes()).unwrap_or_default();
    let told = || lines.iter().map(String::as_str).chain(was.lines());
    let all: Vec<&str> = names.iter().filter_map(|name| told().find(|line| name_of(line) == name)).collect();
    std::fs::write(outcomes(), all.join("\n") + "\n").expect("the outcomes can be written");
}

/// Each came out as it is written down. While only a slice is, the others must not hang, lead out or leave anything behind; once
/// most are, one that is not is a fault.
fn assert_as_written(names: &[String], lines: &[String]) {
    let was = std::fs::read_to_string(outcomes()).expect("the outcomes can be read");
    let known: Vec<&str> = was.lines().collect();
    let gone: Vec<&&str> = known.iter().filter(|line| !names.iter().any(|name| name == name_of(line))).collect();
    assert!(gone.is_empty(), "cases of {} are gone: {gone:#?}", outcomes().display());
    let is_written = |line: &str| known.iter().any(|known| name_of(known) == name_of(line));
    let must_be = known.len() * 2 > names.len();
    lines.iter().filter(|line| !is_written(line)).for_each(|line| println!("not written down: {line}"));
    let is_other = |line: &&String| !known.contains(&line.as_str()) && (must_be || is_written(line));
    let other: Vec<&String> = lines.iter().filter(is_other).collect();
    assert!(other.is_empty(), "not as written down in {}: {other:#?}", outcomes().display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tars_that_mean_harm_are_restored_or_refused() {
    let Some(_) = house::real_parts("real_hostile tars") else { return };
    engine_api::wipe(PROJECT);
    let engine = replay::engine().await;
    // The image of the helper comes with the first of them.
    let step = if deep() { 1 } else { STEP };
    let (mut lines, mut slowest) = (Vec::new(), Duration::ZERO);
    let cases = corpus();
    let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
    for (place, case) in cases.into_iter().enumerate().step_by(step) {
        let mut said = Vec::new();
        for (tree, way) in [(true, "mover"), (false, "archive")] {
            let begun = Instant::now();
            let volume = format!("{PROJECT}-{place}-{way}");
            said.push(format!("{way}: {}", replay::restore(&engine, &case, tree, &volume).await));
            slowest = slowest.max(begun.elapsed());
            assert!(std::fs::symlink_metadata(ESCAPE).is_err(), "{}: {ESCAPE} was made", case.name);
            engine_api::wipe(PROJECT);
        }
        assert_eq!(all_of_ours(), Vec::<String>::new(), "{}: left behind", case.name);
        lines.push(format!("{} | {}", case.name, said.join(" | ")));
    }
    println!("{} tars restored in two ways, 0 ways out, slowest {slowest:?}", lines.len());
    if std::env::var_os("HOLDFAST_WRITE_OUTCOMES").is_some() {
        write_down(&names, &lines);
    }
    assert_as_written(&names, &lines);
}

/// The most memory that a process ever had, KiB.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

struct Zoo;

impl Drop for Zoo {
    fn drop(&mut self) {
        engine_api::wipe(PROJECT);
        zoo::remove();
    }
}

/// What people are shown holds nothing that a terminal would obey.
fn assert_plain(what: &str, text: &str) {
    let obeyed =
        text.chars().find(|c| (c.is_control() && *c != '\n' && *c != '\t') || ('\u{202a}'..='\u{202e}').contains(c));
    assert!(obeyed.is_none(), "{what} shows {obeyed:?} as it is: {text}");
}

/// Replaces a container of another project all the time.
fn churn() -> std::process::Child {
    let line = format!(
        "while :; do docker rm -f {PROJECT}-fleeting; docker run -d --name {PROJECT}-fleeting --label com.docker.compose.project={PROJECT}-other \
         --entrypoint /bin/sleep holdfast-demo/base:1 1000; sleep 0.2; done"
    );
    Command::new("bash")
        .args(["-c", &line])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("bash runs")
}

/// Makes the containers that the engine takes, and starts those that run; their names.
fn make_containers() -> Vec<&'static str> {
    let mut cases = Vec::new();
    for (name, body, runs) in zoo::containers() {
        let (status, answer) =
            engine_api::call("POST", &format!("/containers/create?name={PROJECT}-{name}"), Some(&body));
        if status != 201 {
            println!("the engine itself refuses {name}: {answer}");
            continue;
        }
        if runs {
            start(&format!("{PROJECT}-{name}"));
        }
        cases.push(name);
    }
    cases
}

#[test]
fn containers_that_mean_harm_are_backed_up_and_come_back() {
    let Some(binary) = house::real_parts("real_hostile zoo") else { return };
    engine_api::wipe(PROJECT);
    zoo::remove();
    let home = tempfile::tempdir().expect("a folder");
    let _zoo = Zoo;
    zoo::make_folders();
    for (name, body) in zoo::volumes() {
        assert!(!name.is_empty());
        make("/volumes/create", &body);
    }
    let cases = make_containers();
    let planted = zoo::plant(&sh(&format!("docker volume inspect --format '{{{{.Mountpoint}}}}' {PROJECT}_zoo")));
    let before = zoo::host_facts();
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    let timed = |args: &[&str]| {
        let begun = Instant::now();
        let said = appliance.cli(args);
        assert!(begun.elapsed() < PATIENCE, "{args:?} took {:?}", begun.elapsed());
        assert!(said.code == 0 || said.code == 3, "{args:?}: {}", said.json());
        said.json()
    };
    // One member comes and goes all the time, and files of another change all the time.
    let mut churn = churn();
    let backed_up = timed(&["backup", PROJECT, "--wait"]);
    let fleeting = appliance.cli(&["backup", &format!("{PROJECT}-other"), "--wait"]);
    println!("a container that is replaced all the time: exit {}", fleeting.code);
    assert!([0, 1, 3, 4].contains(&fleeting.code), "{}{}", fleeting.out, fleeting.err);
    churn.kill().ok();
    churn.wait().ok();
    let problems: Vec<&Value> = backed_up[0]["problems"].as_array().into_iter().flatten().collect();
    for problem in &problems {
        println!("  {} {}", problem["code"], problem["message"].to_string().chars().take(200).collect::<String>());
    }
    for forbidden in zoo::FORBIDDEN {
        assert!(problems.iter().any(|p| p["subject"] == *forbidden), "{forbidden} was read without a word");
    }
    let latest = format!("latest:{PROJECT}");
    for args in [&["snapshots", PROJECT][..], &["restore", &latest, "--dry-run"], &["files", "ls", &latest], &["apps"]]
    {
        let said = run(appliance.setup.command().args(args));
        assert_plain(&args.join(" "), &said.out);
        assert_plain(&args.join(" "), &said.err);
    }
    let beside = timed(&["restore", &latest, "--wait"]);
    println!("beside: {}", beside["summary"]);
    let copy = sh(&format!("docker volume inspect --format '{{{{.Mountpoint}}}}' {PROJECT}-restore_zoo"));
    zoo::assert_planted(&copy, &planted);
    engine_api::wipe(&format!("{PROJECT}-restore"));
    let in_place = timed(&["restore", &latest, "--in-place", "--yes", "--wait"]);
    println!("in place: {}", in_place["summary"]);
    zoo::assert_planted(&sh(&format!("docker volume inspect --format '{{{{.Mountpoint}}}}' {PROJECT}_zoo")), &planted);
    assert_eq!(before, zoo::host_facts(), "the host around it changed");
    let labels = get(&format!("/containers/{PROJECT}-words/json"))["Config"]["Labels"].clone();
    assert_eq!(labels["odd"], zoo::ODD, "odd words came back as they were");
    let memory = peak(appliance.pid());
    println!("{} containers, {} kinds of files, most memory {memory} KiB", cases.len(), planted.len());
    assert!(memory < MEMORY_KIB, "{memory} KiB");
}
