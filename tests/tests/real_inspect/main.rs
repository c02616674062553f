//! Settings of containers, networks and volumes go through a backup and come back on a real engine: each one equal, and all
//! the rest of every inspect equal or in the list of `appliance/restore/INSPECT.md`.

mod pretender;
mod settings;
mod world;

use holdfast_tests::{
    engine_api::{self, make, start},
    house::{self, Appliance, Setup, sh},
};
use serde_json::Value;
use settings::{BARE, FOLDER, PROJECT, SETTINGS};
use std::{collections::BTreeSet, path::Path};
use world::{World, differences, look, seen, settled};

/// Settings that must be on the engine at least; fewer, and the test says which ones it did not take.
const AT_LEAST: usize = 60;

/// The network whose driver not every kernel has.
const OPTIONAL: &str = "vlan";

/// The second one in the deep run alone.
const IN_PLACE: [&str; 2] = ["in place, from nothing", "in place, over what is there"];

/// Things that only a copy has, or does not have.
const BESIDE: [&str; 3] = ["vol-bind-a", "vol-bind-b", "net-template"];

/// A line of the list of what cannot be equal.
#[derive(Debug)]
struct Unequal {
    path: String,
    beside_only: bool,
}

/// The list as people read it.
fn listed() -> Vec<Unequal> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../appliance/restore/INSPECT.md");
    let text = std::fs::read_to_string(file).expect("the list can be read");
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let path = cells.next()?.trim_matches('`').to_owned();
        let beside_only = match cells.next()? {
            "always" => false,
            "beside" => true,
            other => panic!("{other:?} in {line}"),
        };
        assert!(cells.next().is_some_and(|why| why.len() > 10), "no reason in {line}");
        Some(Unequal { path, beside_only })
    });
    rows.collect()
}

/// `*` stands for one name or a part of one, `**` for all that follows.
fn matches(pattern: &str, path: &str) -> bool {
    let mut names = path.split('.');
    for wanted in pattern.split('.') {
        match (wanted, names.next()) {
            ("**", Some(_)) => return true,
            (wanted, Some(name))
                if wanted
                    .split_once('*')
                    .is_some_and(|(begin, end)| name.starts_with(begin) && name.ends_with(end)) => {}
            (wanted, Some(name)) if wanted == name || Some(wanted) == name.split_once('~').map(|(name, _)| name) => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

struct App;

impl App {
    fn start() -> App {
        remove();
        for folder in ["a", "b", "behind"] {
            std::fs::create_dir_all(format!("{FOLDER}/{folder}")).expect("a folder");
            std::fs::write(format!("{FOLDER}/{folder}/file"), folder).expect("a file");
        }
        let mut absent = Vec::new();
        for (name, body) in settings::networks() {
            if name != OPTIONAL {
                make("/networks/create", &body);
            } else if let (400.., refusal) = engine_api::call("POST", "/networks/create", Some(&body)) {
                eprintln!("this kernel has no network {name}: {refusal}");
                absent.push(name);
            }
        }
        settings::volumes().iter().for_each(|(_, body)| drop(make("/volumes/create", body)));
        let port = house::free_port();
        let containers = settings::containers(port);
        for (name, body, runs) in &containers {
            let answer = make(&format!("/containers/create?name={PROJECT}-{name}"), body);
            for warning in answer["Warnings"].as_array().into_iter().flatten() {
                eprintln!("the engine says of {name}: {warning}");
            }
            let joins = |(of, network, _): &(&str, &str, Value)| of == name && !absent.contains(network);
            for (_, network, endpoint) in settings::connects().into_iter().filter(joins) {
                let body = serde_json::json!({"Container": format!("{PROJECT}-{name}"), "EndpointConfig": endpoint});
                make(&format!("/networks/{PROJECT}_{network}/connect"), &body);
            }
            if *runs {
                start(&format!("{PROJECT}-{name}"));
            }
        }
        App
    }
}

impl Drop for App {
    fn drop(&mut self) {
        remove();
    }
}

fn remove() {
    world::wipe(PROJECT);
    sh(&format!("rm -rf {FOLDER}"));
}

/// Settings that the engine took: they are seen, and are not what it does without being asked.
fn taken(world: &World) -> Vec<settings::Setting> {
    let bare_of = |thing: &str| match thing.split_once('-') {
        Some(("net", _)) => BARE[1],
        Some(("vol", _)) => BARE[2],
        _ => BARE[0],
    };
    let is_taken = |(_, thing, place): &settings::Setting| {
        let Some(inspect) = world.get(*thing) else { return false };
        let value = seen(inspect, place);
        !value.is_null() && value != seen(&world[bare_of(thing)], place)
    };
    let (taken, refused): (Vec<_>, Vec<_>) = SETTINGS.iter().partition(|setting| is_taken(setting));
    for (name, thing, _) in refused {
        eprintln!("not taken by this engine or kernel: {name} ({thing})");
    }
    taken
}

/// Compares both setting by setting and as wholes; returns what is wrong.
fn compare(
    way: &str,
    before: &World,
    after: &World,
    settings: &[settings::Setting],
    listed: &[Unequal],
) -> Vec<String> {
    let beside = way == "beside";
    let mut found = differences(before, after);
    // What a copy has in the place of host folders, and does without.
    found.retain(|(at, ..)| !(beside && BESIDE.contains(&at.trim_end_matches(":-"))));
    let allows = |line: &Unequal, path: &str| (beside || !line.beside_only) && matches(&line.path, path);
    let (known, unknown): (Vec<_>, Vec<_>) = found.iter().partition(|(at, ..)| {
        let (_, path) = at.split_once(':').unwrap_or((at, ""));
        listed.iter().any(|line| allows(line, path))
    });
    let mut equal = Vec::new();
    let mut by_list = Vec::new();
    for (name, thing, place) in settings {
        let of = |world: &World| world.get(*thing).map(|inspect| settled(inspect, place));
        if of(before) == of(after) { equal.push(*name) } else { by_list.push(*name) }
    }
    eprintln!("{way}: {} settings equal: {}", equal.len(), equal.join(", "));
    eprintln!("{way}: {} settings not equal: {}", by_list.len(), by_list.join(", "));
    let paths: BTreeSet<&str> = known.iter().filter_map(|(at, ..)| Some(at.split_once(':')?.1)).collect();
    eprintln!("{way}: {} paths differ as the list says", paths.len());
    let mut wrong: Vec<String> = unknown
        .iter()
        .map(|(at, old, new)| format!("{way}: {at}: {old} became {new}, and is not in the list"))
        .collect();
    // In place there is no setting that people make and do not get back.
    wrong.extend(by_list.iter().filter(|_| !beside).map(|name| format!("{way}: {name} did not come back")));
    wrong
}

/// Carries a restore out and returns its problems.
fn restore(appliance: &Appliance, more: &[&str]) -> Vec<Value> {
    let snapshot = format!("latest:{PROJECT}");
    let args = [&["restore", &snapshot, "--wait"], more].concat();
    let said = appliance.cli(&args);
    let job = said.json();
    assert!(said.code == 0 || said.code == 3, "{}", job["summary"]);
    let problems = job["problems"].as_array().cloned().unwrap_or_default();
    for problem in &problems {
        eprintln!("    {} {}: {}", problem["severity"], problem["code"], problem["message"]);
    }
    problems
}

#[test]
fn every_setting_comes_back_equal_or_is_in_the_list() {
    let Some(binary) = house::real_parts("real_inspect") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let listed = listed();
    let _app = App::start();
    let before = look(PROJECT, PROJECT);
    let settings = taken(&before);
    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    appliance.backup(PROJECT);

    let copy = format!("{PROJECT}-restore");
    restore(&appliance, &[]);
    let mut wrong = compare("beside", &before, &look(&copy, PROJECT), &settings, &listed);
    engine_api::wipe(&copy);

    world::wipe(PROJECT);
    assert!(world::is_gone(PROJECT));
    let ways: &[&str] = if std::env::var_os("HOLDFAST_TEST_DEEP").is_some() { &IN_PLACE } else { &IN_PLACE[..1] };
    for way in ways {
        let problems = restore(&appliance, &["--in-place", "--yes"]);
        wrong.extend(compare(way, &before, &look(PROJECT, PROJECT), &settings, &listed));
        let told = problems.iter().filter(|problem| problem["code"] == "container.differs");
        wrong.extend(told.map(|problem| format!("{way}: {}", problem["message"])));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!("{} settings went through: equal in place, equal or listed beside", settings.len());
    assert!(settings.len() >= AT_LEAST, "{} of {}", settings.len(), SETTINGS.len());
}
