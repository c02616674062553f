//! House rules as tests: floors, homes of foreign crates, headers, sizes, module circles, unfinished marks.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Crates by floor (design 2). An arrow may only go to a lower floor; the words (`model`) and the
/// motions (`runtime`) are below everybody.
const FLOORS: [(&str, u8); 21] = [
    ("holdfast-mover", 0),
    ("holdfast-model", 0),
    ("holdfast-runtime", 1),
    ("holdfast-storage", 2),
    ("holdfast-catalog", 2),
    ("holdfast-chunk", 2),
    ("holdfast-tar", 2),
    ("holdfast-tree", 2),
    ("holdfast-database", 2),
    ("holdfast-docker", 2),
    ("holdfast-s3", 3),
    ("holdfast-repository", 3),
    ("holdfast-capture", 3),
    ("holdfast-restore", 3),
    ("holdfast-engine", 4),
    ("holdfast-cloud-sync", 4),
    ("holdfast-provider", 4),
    ("holdfast-web", 5),
    ("holdfast", 6),
    ("holdfast-tests", 7),
    ("holdfast-fuzz", 7),
];

/// Foreign crates with one home each.
const HOMES: [(&str, &[&str]); 15] = [
    ("bollard", &["holdfast-docker"]),
    ("sled", &["holdfast-catalog"]),
    ("aws-", &["holdfast-s3"]),
    ("axum", &["holdfast-web"]),
    ("flate2", &["holdfast-engine"]),
    ("clap", &["holdfast"]),
    ("fastcdc", &["holdfast-chunk"]),
    ("zstd", &["holdfast-chunk"]),
    ("aes-gcm", &["holdfast-chunk"]),
    // The mover stands alone, beside the data: it tells files apart by the same hash.
    ("blake3", &["holdfast-chunk", "holdfast-mover"]),
    ("argon2", &["holdfast-chunk"]),
    ("x25519-dalek", &["holdfast-chunk"]),
    ("ed25519-dalek", &["holdfast-provider"]),
    ("s3s", &["holdfast-tests"]),
    ("libfuzzer-sys", &["holdfast-fuzz"]),
];

const FILE_LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the tree is there")
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn packages() -> Vec<(String, Vec<String>)> {
    let all = metadata();
    let list = all["packages"].as_array().expect("packages is a list");
    list.iter()
        .map(|package| {
            let needs = package["dependencies"].as_array().expect("dependencies is a list");
            let normal = needs.iter().filter(|need| need["kind"] != "dev");
            let name = |value: &Value| value["name"].as_str().expect("a package has a name").to_owned();
            (name(package), normal.map(name).collect())
        })
        .collect()
}

/// Production sources: no test files, no generated ones.
fn sources() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(root())
        .output()
        .expect("git lists files");
    let text = String::from_utf8(output.stdout).expect("paths are text");
    text.lines().map(|line| root().join(line)).filter(|path| path.exists()).collect()
}

fn is_test_file(path: &Path) -> bool {
    let relative = path.strip_prefix(root()).unwrap_or(path);
    relative.starts_with("tests/tests")
        || relative.components().any(|part| part.as_os_str() == "tests" && !relative.starts_with("tests"))
        || path.file_name().is_some_and(|name| name == "tests.rs")
}

#[test]
fn every_crate_has_a_floor_and_arrows_go_down() {
    let floors: BTreeMap<_, _> = FLOORS.into_iter().collect();
    let mut wrong = Vec::new();
    for (name, needs) in packages() {
        let Some(own) = floors.get(name.as_str()) else {
            wrong.push(format!("{name} stands on no floor; add it to FLOORS"));
            continue;
        };
        for need in needs {
            if floors.get(need.as_str()).is_some_and(|floor| floor >= own) {
                wrong.push(format!("{name} leans on {need}, which is not below it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn foreign_crates_stay_at_home() {
    let mut wrong = Vec::new();
    for (name, needs) in packages() {
        for (foreign, homes) in HOMES {
            let strays =
                needs.iter().any(|need| need == foreign || (foreign.ends_with('-') && need.starts_with(foreign)));
            if strays && !homes.contains(&name.as_str()) {
                wrong.push(format!("{name} uses {foreign}, whose home is {}", homes.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_begins_with_what_it_is() {
    let bare: Vec<_> = sources()
        .into_iter()
        .filter(|path| !fs::read_to_string(path).unwrap_or_default().starts_with("//!"))
        .map(|path| path.display().to_string())
        .collect();
    assert!(bare.is_empty(), "files without a //! header:\n{}", bare.join("\n"));
}

#[test]
fn files_can_be_read_at_a_sitting() {
    let mut long = Vec::new();
    for path in sources().into_iter().filter(|path| !is_test_file(path)) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        if lines > FILE_LINES_MAX {
            long.push(format!("{lines} {}", path.display()));
        }
    }
    assert!(long.is_empty(), "files over {FILE_LINES_MAX} production lines:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("FIX", "ME"),
        concat!("XX", "X "),
        concat!("#[ign", "ore"),
    ];
    let mut found = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn clocks_and_dice_are_used_in_their_own_room() {
    let mut wrong = Vec::new();
    for path in sources().into_iter().filter(|path| !is_test_file(path)) {
        let relative = path.strip_prefix(root()).unwrap_or(&path).to_owned();
        // The mover leans on nothing of the house, and asks the clock of the machine whose file system it reads.
        let is_apart = ["appliance/runtime", "appliance/mover", "tests"].iter().any(|room| relative.starts_with(room));
        if is_apart {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let production = text.split("#[cfg(test)]").next().unwrap_or_default();
        if production.contains("SystemTime::now()") {
            wrong.push(format!("{} reads the clock itself; take a runtime::Clock", relative.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Modules of one crate by what they name with `crate::`; the largest set that leans on itself in a circle.
#[test]
fn modules_of_a_crate_do_not_go_in_circles() {
    const CIRCLE_MAX: usize = 4;
    let mut arrows: BTreeMap<PathBuf, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for path in sources().into_iter().filter(|path| !is_test_file(path)) {
        let Some((room, inside)) = split_at_src(&path) else { continue };
        let module = inside
            .components()
            .next()
            .map(|part| part.as_os_str().to_string_lossy().replace(".rs", ""))
            .unwrap_or_default();
        if module == "lib" || module == "main" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let production = text.split("#[cfg(test)]").next().unwrap_or_default();
        let named = production.match_indices("crate::").filter_map(|(place, _)| {
            let rest = &production[place + 7..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
            Some(rest[..end].to_owned())
        });
        arrows.entry(room).or_default().entry(module).or_default().extend(named);
    }
    let mut wrong = Vec::new();
    for (room, graph) in &arrows {
        for start in graph.keys() {
            let circle: Vec<_> =
                graph.keys().filter(|other| reaches(graph, start, other) && reaches(graph, other, start)).collect();
            if circle.len() > CIRCLE_MAX {
                wrong.push(format!("{}: {circle:?}", room.display()));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "circles of more than {CIRCLE_MAX} modules:\n{}", wrong.join("\n"));
}

fn split_at_src(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let text = path.to_str()?;
    let (room, inside) = text.split_once("/src/")?;
    Some((PathBuf::from(room), PathBuf::from(inside)))
}

fn reaches(graph: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = graph.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(next) = open.pop() {
        if next == to {
            return true;
        }
        if seen.insert(next) {
            open.extend(graph.get(next).into_iter().flatten().map(String::as_str));
        }
    }
    false
}

#[test]
fn workspace_dependencies_say_why() {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace has a manifest");
    let table =
        text.split("[workspace.dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
    let silent: Vec<_> = table
        .lines()
        .filter(|line| line.contains('=') && !line.starts_with("holdfast") && !line.contains('#'))
        .collect();
    assert!(silent.is_empty(), "dependencies without a reason:\n{}", silent.join("\n"));
}
