//! The appliance, or the engine below it, is killed while an app is held, while its hooks and dumps run and while it is
//! read: everybody is in the state again in which they were found, and what was owed to them is done.
//!
//! `HOLDFAST_TEST_KILLS` says how many rounds of four (1); the engine is killed in the deep run alone.

use holdfast_tests::{
    demo::Demo,
    house::{self, Appliance, Setup, sh, wait_for},
};
use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const APP: &str = "hfholds";
/// How the app is held, and what is asked of its databases.
const WAYS: [(&str, &str); 4] = [("pause", "auto"), ("stop", "auto"), ("pause", "dump"), ("none", "auto")];

fn rounds() -> u32 {
    std::env::var("HOLDFAST_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A share of a time, from the system's randomness.
fn some_of(longest: Duration) -> Duration {
    let share = u16::from_le_bytes(holdfast_runtime::random::<2>());
    longest.mul_f64(f64::from(share) / f64::from(u16::MAX))
}

/// The demo project with three more members: one with hooks, one that its owner has paused, one that does not run.
struct App {
    demo: Demo,
    before: BTreeMap<String, String>,
}

impl App {
    fn start(socket: &str) -> App {
        let demo = Demo::start(APP, 6, "172.31.93", socket);
        let member = |name: &str, more: &str| {
            let labels = format!("--label com.docker.compose.project={APP} --label com.docker.compose.service={name}");
            demo.docker(&format!(
                "run -d --name {APP}-{name}-1 {labels} --restart unless-stopped --stop-signal KILL -v {APP}_{name}:/data {more} \
                 --entrypoint /bin/sleep holdfast-demo/base:1 100000"
            ));
        };
        member(
            "hooked",
            "--label 'holdfast.hook.pre=echo held >/data/state; sleep 0.1' --label 'holdfast.hook.post=echo free >/data/state'",
        );
        member("resting", "");
        member("off", "");
        demo.docker(&format!("pause {APP}-resting-1"));
        demo.docker(&format!("stop {APP}-off-1"));
        let mut app = App { demo, before: BTreeMap::new() };
        app.before = app.states();
        assert_eq!(app.before.values().filter(|state| *state != "running").count(), 2, "{:?}", app.before);
        app
    }

    /// The state of each member, by name.
    fn states(&self) -> BTreeMap<String, String> {
        let filter = format!("--filter label=com.docker.compose.project={APP}");
        let listed = self.demo.docker(&format!("ps -a {filter} --format '{{{{.Names}}}} {{{{.State}}}}'"));
        listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, state)| (name.into(), state.into()))
            .collect()
    }

    fn is_as_before(&self) -> bool {
        self.states() == self.before && self.hooks_said() != "held"
    }

    /// Whether a member is down that the engine itself cannot start any more, whoever asks: killed in the middle of a start or stop it may trip over
    /// its own remains until it begins anew.
    fn engine_is_broken(&self) -> bool {
        let down =
            self.states().into_iter().filter(|(name, state)| state == "exited" && self.before[name] == "running");
        down.into_iter().any(|(name, _)| {
            let said = self.demo.docker(&format!("start {name} 2>&1 || true"));
            said.contains("failed to start shim") || said.contains("already exists")
        })
    }

    fn is_held(&self) -> bool {
        self.states() != self.before
    }

    /// What the hooks wrote last.
    fn hooks_said(&self) -> String {
        let place = self.demo.docker(&format!("volume inspect -f '{{{{.Mountpoint}}}}' {APP}_hooked"));
        std::fs::read_to_string(Path::new(place.trim()).join("state")).unwrap_or_default().trim().to_owned()
    }

    /// Waits until everybody is as they were found.
    fn wait_as_before(&self, when: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let (states, said) = (self.states(), self.hooks_said());
            if self.is_as_before() {
                return;
            }
            assert!(Instant::now() < end, "{when}: {states:?} instead of {:?}; the hooks said {said}", self.before);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // What is paused can be removed, not stopped.
        self.demo.docker(&format!("unpause {APP}-resting-1 || true"));
    }
}

/// What the kills met.
#[derive(Debug, Default)]
struct Met {
    held: u32,
    in_hooks: u32,
    elsewhere: u32,
}

impl Met {
    fn look(&mut self, app: &App) {
        match (app.is_held(), app.hooks_said() == "held") {
            (true, _) => self.held += 1,
            (false, true) => self.in_hooks += 1,
            (false, false) => self.elsewhere += 1,
        }
    }
}

/// Begins a backup and waits for the moment to kill: just after the app's hold was written down, just after its hooks were, or any.
/// The journal is written before the first member is touched.
fn begin_and_wait(appliance: &Appliance, app: &App, round: u32, (consistency, databases): (&str, &str)) {
    app.demo.exec("db", "psql -U postgres -qc 'update pgbench_accounts set abalance = abalance where aid % 20 = 0'");
    appliance.cli(&["backup", APP, "--consistency", consistency, "--databases", databases]).expect(0);
    let folder = appliance.setup.data.join("journal");
    let entries = || -> Vec<String> {
        let files = std::fs::read_dir(&folder).expect("the journal is there").flatten();
        files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect()
    };
    let wait_until = |met: &dyn Fn(&String) -> bool| {
        let end = Instant::now() + Duration::from_secs(20);
        while !entries().iter().any(met) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    match round % 3 {
        0 if consistency != "none" => {
            wait_until(&|entry| entry.contains("\"containers\":[["));
            std::thread::sleep(some_of(Duration::from_millis(300)));
        }
        1 => {
            wait_until(&|_| true);
            std::thread::sleep(some_of(Duration::from_millis(400)));
        }
        _ => std::thread::sleep(some_of(Duration::from_secs(3))),
    }
}

fn nothing_is_owed(setup: &Setup, when: &str) {
    let folder = setup.data.join("journal");
    wait_for(&format!("{when}: nothing is owed"), 60, || {
        std::fs::read_dir(&folder).expect("the journal is there").flatten().count() == 0
    });
}

/// Commands that are set beside those of labels: they run in their place, and those for nobody are refused.
fn set_here(appliance: &Appliance, app: &App) {
    let set = ["--pre", "echo held >/data/state; sleep 0.1; echo here >/data/who", "--post", "echo free >/data/state"];
    appliance.cli(&[&["hooks", "set", APP, "hooked"][..], &set].concat()).expect(0);
    let wrong = appliance.cli(&["hooks", "set", APP, "hookd", "--pre", "true"]).expect(4);
    assert!(wrong.err.contains("service.unknown") && wrong.err.contains("hooked"), "{}", wrong.err);
    appliance.cli(&["hooks", "set", APP, "web", "--timeout", "2d"]).expect(2);
    let view = appliance.cli(&["hooks", "ls", APP]).expect(0).json();
    let hooked = view["services"].as_array().into_iter().flatten().find(|one| one["service"] == "hooked");
    let hooked = hooked.unwrap_or_else(|| panic!("{view}"));
    assert_eq!(hooked["effective"]["pre"], set[1], "{view}");
    assert!(hooked["labels"]["pre"].as_str().is_some_and(|label| label != set[1]), "{view}");
    appliance.backup(APP);
    let place = app.demo.docker(&format!("volume inspect -f '{{{{.Mountpoint}}}}' {APP}_hooked"));
    let who = std::fs::read_to_string(Path::new(place.trim()).join("who")).expect("the command ran");
    assert_eq!((who.trim(), app.hooks_said().as_str()), ("here", "free"));
}

/// Kills an engine.
fn kill_engine(folder: &Path) {
    let pid = sh(&format!("cat {}/docker.pid", folder.display())).trim().to_owned();
    Command::new("kill").args(["-9", &pid]).status().expect("kill runs");
    wait_for("the engine is gone", 20, || !Path::new(&format!("/proc/{pid}")).exists());
}

/// What an engine leaves that is killed in the middle of a pause: a container that is frozen and written down as running. Whether
/// there was one to make it of.
fn forget_a_pause(folder: &Path, id: &str) -> bool {
    let path = folder.join(format!("data/containers/{id}/config.v2.json"));
    let said = std::fs::read_to_string(&path).expect("the engine wrote it down");
    let forgotten = said.replace("\"Paused\":true", "\"Paused\":false");
    std::fs::write(&path, &forgotten).expect("it can be written");
    said != forgotten
}

#[test]
fn killed_inside_a_hold_everybody_is_let_go() {
    let Some(binary) = house::real_parts("real_holds") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let app = App::start("/var/run/docker.sock");
    let setup = Setup::new(&binary, &home.path().join("data"));
    let mut appliance = setup.start();
    appliance.backup(APP);
    set_here(&appliance, &app);
    let mut met = Met::default();
    for round in 0..rounds() {
        for way in WAYS {
            let when = format!("round {round}, {way:?}");
            begin_and_wait(&appliance, &app, round, way);
            drop(appliance.kill());
            met.look(&app);
            appliance = setup.start();
            app.wait_as_before(&when);
            nothing_is_owed(&setup, &when);
        }
    }
    println!("the kills met: {met:?}");
    assert!(met.held > 0, "no kill met a hold: {met:?}");
    let newest = appliance.backup(APP);
    assert!(appliance.cli(&["snapshots", APP]).expect(0).out.contains(&newest));
    app.demo.verify_database(APP);
}

fn wait_for_jobs(appliance: &Appliance) {
    wait_for("the job has ended", 60, || {
        let jobs = appliance.cli(&["jobs"]).expect(0).json();
        let open = |job: &serde_json::Value| matches!(job["state"].as_str(), Some("running" | "queued"));
        !jobs.as_array().into_iter().flatten().any(open)
    });
}

#[test]
fn an_engine_killed_inside_a_hold_lets_everybody_go_when_it_is_back() {
    let Some(binary) = house::real_parts("real_holds engine") else { return };
    if std::env::var_os("HOLDFAST_TEST_DEEP").is_none() {
        eprintln!("real_holds engine: SKIPPED, it is a part of the deep run (HOLDFAST_TEST_DEEP=1)");
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("engine");
    let engine = |word: &str| {
        let tool = house::deploy("lib/second-engine");
        // Containers outlive their engine, as on hosts that are set up for it; else the engine itself ends them.
        sh(&format!("{} {word} {} --live-restore 2>&1", tool.display(), folder.display()))
    };
    engine("up");
    let socket = folder.join("docker.sock").display().to_string();
    sh(&format!("{} {socket} 2>&1", house::deploy("lib/demo-image").display()));
    let app = App::start(&socket);
    let setup = Setup::new(&binary, &home.path().join("data")).socket(&socket);
    let appliance = setup.start();
    appliance.backup(APP);
    let (mut met, mut broken) = (Met::default(), 0);
    for round in 0..rounds() {
        for way in WAYS {
            let when = format!("round {round}, {way:?}");
            begin_and_wait(&appliance, &app, round, way);
            let held = app.is_held();
            kill_engine(&folder);
            engine("up");
            if held {
                met.held += 1
            } else {
                met.elsewhere += 1
            }
            let end = Instant::now() + Duration::from_secs(30);
            while !app.is_as_before() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(100));
            }
            if !app.is_as_before() && app.engine_is_broken() {
                println!("{when}: the engine cannot start what it was starting when it was killed, and begins anew");
                broken += 1;
                kill_engine(&folder);
                engine("up");
            }
            app.wait_as_before(&when);
            nothing_is_owed(&setup, &when);
            wait_for_jobs(&appliance);
        }
    }
    println!("the kills met: {met:?}; the engine broke itself {broken} times");
    assert!(met.held > 0, "no kill met a hold: {met:?}");
    let hooked = app.demo.docker(&format!("inspect -f '{{{{.Id}}}}' {APP}-hooked-1")).trim().to_owned();
    let forgotten = (0..10).any(|_| {
        appliance.cli(&["backup", APP, "--consistency", "pause"]).expect(0);
        wait_for("it is held", 20, || app.is_held());
        kill_engine(&folder);
        let forgotten = forget_a_pause(&folder, &hooked);
        engine("up");
        app.wait_as_before("after a forgotten pause");
        nothing_is_owed(&setup, "after a forgotten pause");
        wait_for_jobs(&appliance);
        forgotten
    });
    assert!(forgotten, "no kill met the pause");
    app.demo.docker(&format!("exec {APP}-hooked-1 /bin/sleep 0"));
    app.demo.verify_database(APP);
    wait_for("helpers that were left behind are swept", 180, || {
        !app.demo.docker("ps -a --filter label=io.holdfast.helper --format '{{.ID}} {{.Names}}'").contains("holdfast-")
    });
    drop((appliance, app));
    engine("down");
}
