//! A tree that was read and written again is the same tree: 150 of them, and the named hard cases.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    assert_same, dig, facts,
    grow::{Kinds, grow},
    pack, set_xattr, unpack,
};
use holdfast_mover::Rights;
use rustix::fs::{Mode, OFlags, openat};
use std::{fs, io::Write, path::Path};

const ALL: Kinds = Kinds { sockets: true, holes: true, acls: true };

/// There and back; the same with one thread and with many.
fn round(from: &Path, what: &str) {
    let to = tempfile::tempdir().unwrap();
    let before = facts(from);
    let (tar, report) = pack(from, 4);
    assert_eq!(report.troubles, [], "{what}");
    assert_eq!(report.entries, before.len() as u64, "{what}");
    assert!(pack(from, 1).0 == tar, "{what}: one thread gives another tar");
    let (entries, troubles) = unpack(&tar[..], to.path(), Rights::default());
    assert_eq!(troubles, [], "{what}");
    assert_eq!(entries, Ok(before.len() as u64), "{what}");
    assert_same(&before, &facts(to.path()), what);
    assert!(pack(to.path(), 3).0 == tar, "{what}: the second tar differs");
}

fn many(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let from = tempfile::tempdir().unwrap();
        grow(from.path(), seed, ALL);
        round(from.path(), &format!("seed {seed}"));
    }
}

#[test]
fn trees_from_0_to_49_come_back() {
    many(0..50);
}

#[test]
fn trees_from_50_to_99_come_back() {
    many(50..100);
}

#[test]
fn trees_from_100_to_149_come_back() {
    many(100..150);
}

#[test]
fn the_generator_makes_everything() {
    let mut kinds = std::collections::BTreeSet::new();
    let (mut acls, mut capabilities, mut holes, mut links) = (0, 0, 0, 0);
    for seed in 0..40 {
        let from = tempfile::tempdir().unwrap();
        grow(from.path(), seed, ALL);
        for (path, facts) in facts(from.path()) {
            kinds.insert(facts.kind);
            let has = |name: &str| usize::from(facts.xattrs.contains_key(name.as_bytes()));
            acls += has("system.posix_acl_access");
            capabilities += has("security.capability");
            holes += facts.holes.len();
            links += usize::from(facts.kind != 'd' && facts.first != path);
        }
    }
    assert!(kinds.contains(&'f') && kinds.contains(&'d') && kinds.contains(&'l') && kinds.contains(&'s'));
    assert!(links > 15 && acls > 15 && holes > 30, "{links} {acls} {holes}");
    if common::is_root() {
        assert!(kinds.len() == 7 && capabilities > 5, "{kinds:?} {capabilities}");
    }
}

#[test]
fn paths_longer_than_the_system_takes_come_back() {
    let from = tempfile::tempdir().unwrap();
    let wide = dig(from.path(), (0..24).map(|n| vec![b'a' + n; 255]));
    let file = openat(&wide, "file", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).unwrap();
    fs::File::from(file).write_all(b"far away").unwrap();
    drop(dig(from.path(), (0..600).map(|_| b"d".to_vec())));
    round(from.path(), "deep");
    let to = tempfile::tempdir().unwrap();
    let (entries, _) = unpack(&pack(from.path(), 2).0[..], to.path(), Rights::default());
    assert_eq!(entries, Ok(626));
    assert!(facts(to.path()).keys().any(|path| path.len() > 6000));
}

#[test]
fn many_names_of_one_file_come_back_as_one() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("0"), b"one of many").unwrap();
    for number in 1..2000 {
        fs::hard_link(from.path().join("0"), from.path().join(number.to_string())).unwrap();
    }
    round(from.path(), "many names");
    let (tar, report) = pack(from.path(), 2);
    assert_eq!((report.entries, report.bytes), (2001, 11), "content once");
    assert!(tar.len() < 2005 * 3 * 512 + 2048);
}

#[test]
fn folders_of_many_files_come_back_in_order() {
    let from = tempfile::tempdir().unwrap();
    for number in 0..3000 {
        fs::write(from.path().join(format!("{number}")), number.to_string()).unwrap();
        if number % 100 == 0 {
            fs::create_dir_all(from.path().join(format!("{number}-/x/y"))).unwrap();
        }
    }
    round(from.path(), "many files");
}

#[test]
fn holes_stay_holes_and_zeros_stay_zeros() {
    let from = tempfile::tempdir().unwrap();
    let file = fs::File::create(from.path().join("sparse")).unwrap();
    file.set_len(3 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"in the middle", 1 << 30).unwrap();
    let to = tempfile::tempdir().unwrap();
    let root = std::sync::Arc::new(holdfast_mover::Root::open(from.path()).unwrap());
    let (mut read, mut write) = std::io::pipe().unwrap();
    let reading = std::thread::spawn(move || {
        holdfast_mover::write_archive(&root, common::options(2), b"", &mut write).unwrap();
    });
    let (entries, troubles) = unpack(&mut read, to.path(), Rights::default());
    reading.join().unwrap();
    assert_eq!((entries, troubles), (Ok(2), vec![]));
    let place = to.path().join("sparse");
    let allocated = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&place).unwrap()) * 512;
    assert!(allocated < 1 << 20, "{allocated}");
    assert_eq!(common::holes(&from.path().join("sparse")), common::holes(&place));
    let mut middle = [0; 13];
    std::os::unix::fs::FileExt::read_exact_at(&fs::File::open(&place).unwrap(), &mut middle, 1 << 30).unwrap();
    assert_eq!(&middle, b"in the middle");
}

#[test]
fn what_a_folder_hands_on_does_not_get_into_files() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("file"), b"x").unwrap();
    let (tar, _) = pack(from.path(), 1);
    let to = tempfile::tempdir().unwrap();
    if !set_xattr(to.path(), "system.posix_acl_default", &common::acl(5, 6)) {
        return;
    }
    assert_eq!(unpack(&tar[..], to.path(), Rights::default()).1, []);
    assert_same(&facts(from.path()), &facts(to.path()), "handed on");
}
