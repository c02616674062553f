//! Plain replay of every target: its seeds, its seeds damaged in many ways, and the inputs of mended findings.

use holdfast_fuzz::{TARGETS, Target, target};
use std::{
    collections::BTreeSet,
    fs, panic,
    path::{Path, PathBuf},
};

/// Damaged copies of each seed.
const DAMAGES: usize = 60;

fn regressions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions")
}

/// Runs one input; a panic is told with the input, so that it can be kept.
fn run(target: &Target, input: &[u8], what: &str) {
    let tried = panic::catch_unwind(|| (target.run)(input));
    assert!(tried.is_ok(), "{} broke on {what}: {}", target.name, hex::encode(&input[..input.len().min(4096)]));
}

/// Small deterministic damage: a flipped bit, a lost end, a doubled stretch, a byte set to its limits.
fn damaged(seed: &[u8], number: usize) -> Vec<u8> {
    let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit.max(1) as u64) as usize
    };
    let mut bytes = seed.to_vec();
    for _ in 0..=next(4) {
        let place = next(bytes.len());
        match (next(6), bytes.len()) {
            (_, 0) => bytes.push(0),
            (0, _) => bytes.truncate(place),
            (1, _) => bytes[place] ^= 1 << next(8),
            (2, _) => bytes[place] = 0xff,
            (3, _) => bytes[place] = 0,
            (4, length) => {
                let copied = bytes[place..(place + next(64)).min(length)].to_vec();
                bytes.splice(place..place, copied);
            }
            _ => bytes[place] = bytes[place].wrapping_add(1),
        }
    }
    bytes
}

#[test]
fn every_target_takes_its_seeds_whole_and_damaged() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        run(target, &[], "nothing");
        for (number, seed) in seeds.iter().enumerate() {
            assert!(seed.len() <= holdfast_fuzz::LONGEST, "seed {number} of {} is long", target.name);
            run(target, seed, &format!("seed {number}"));
            for damage in 0..DAMAGES {
                run(target, &damaged(seed, damage), &format!("seed {number}, damage {damage}"));
            }
        }
    }
}

#[test]
fn mended_findings_stay_mended() {
    for folder in fs::read_dir(regressions()).expect("the folder of findings is there") {
        let folder = folder.expect("a folder can be listed").path();
        let Some(name) = folder.file_name().and_then(|name| name.to_str()).filter(|_| folder.is_dir()) else {
            continue;
        };
        let target = target(name).unwrap_or_else(|| panic!("regressions/{name} belongs to no target"));
        for file in fs::read_dir(&folder).expect("a folder can be listed") {
            let file = file.expect("a file can be listed").path();
            run(target, &fs::read(&file).expect("a file can be read"), &file.display().to_string());
        }
    }
}

#[test]
fn targets_have_names_of_their_own_and_there_are_enough() {
    let names: BTreeSet<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len());
    assert!(names.len() >= 12, "a parser has lost its target");
}
