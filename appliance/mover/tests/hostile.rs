//! Tars made to do harm: nothing outside the folder is touched, nothing is written over, each refusal is told.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Dice, pack, unpack};
use holdfast_mover::{Archive, Entry, Kind, Rights, TRAILER, What, header, padding};
use proptest::prelude::*;
use std::{fs, os::unix::fs::symlink, path::Path};

fn tar(members: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (entry, content) in members {
        let entry = Entry { size: content.len() as u64, ..entry.clone() };
        bytes.extend_from_slice(&header(b"", &entry));
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(padding(entry.size));
    }
    bytes.extend_from_slice(&TRAILER);
    bytes
}

fn file(path: &str) -> Entry {
    Entry::new(path.as_bytes(), Kind::File)
}

fn link(path: &str, kind: Kind, target: &str) -> Entry {
    Entry { link: target.as_bytes().into(), ..Entry::new(path.as_bytes(), kind) }
}

/// Writes into a folder whose neighbour must stay as it is.
fn attack(members: &[(Entry, &[u8])]) -> (tempfile::TempDir, Vec<What>) {
    let ground = tempfile::tempdir().unwrap();
    let (inside, outside) = (ground.path().join("inside"), ground.path().join("outside"));
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("treasure"), b"mine").unwrap();
    let before = common::facts(&outside);
    let (result, troubles) = unpack(&tar(members)[..], &inside, Rights::default());
    assert_eq!(result, Ok(members.len() as u64));
    common::assert_same(&before, &common::facts(&outside), "outside");
    assert_eq!(fs::read_dir(ground.path()).unwrap().count(), 2, "something was made beside the folder");
    (ground, troubles.into_iter().map(|trouble| trouble.what).collect())
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../outside/new", "/tmp/holdfast-mover-escape", "a/../../outside/new", "..", "a//b", "a/./b", "./../x"]
    {
        let (_, told) = attack(&[(file(name), b"evil")]);
        assert_eq!(told, [What::Name], "{name}");
    }
    assert!(!Path::new("/tmp/holdfast-mover-escape").exists());
}

#[test]
fn links_that_the_stream_makes_lead_nowhere() {
    let out = "../outside";
    let (_, told) = attack(&[
        (link("way", Kind::Symlink, out), b""),
        (file("way/treasure"), b"stolen"),
        (file("way/new"), b"evil"),
        (Entry::new(b"way", Kind::Directory), b""),
        (Entry::new(b"way/folder", Kind::Directory), b""),
        (link("way/link", Kind::Symlink, "x"), b""),
        (link("taken", Kind::HardLink, "way/treasure"), b""),
        (link("taken2", Kind::HardLink, "../outside/treasure"), b""),
        (link("file", Kind::Symlink, "../outside/treasure"), b""),
        (file("file"), b"over"),
    ]);
    assert_eq!(told.len(), 8, "{told:?}");
}

#[test]
fn links_that_are_there_already_lead_nowhere() {
    let ground = tempfile::tempdir().unwrap();
    let inside = ground.path().join("inside");
    fs::create_dir(&inside).unwrap();
    fs::write(ground.path().join("treasure"), b"mine").unwrap();
    symlink("..", inside.join("up")).unwrap();
    symlink("../treasure", inside.join("file")).unwrap();
    let members = tar(&[(file("up/treasure"), b"stolen"), (file("file"), b"stolen"), (file("up/new"), b"new")]);
    let (_, troubles) = unpack(&members[..], &inside, Rights::default());
    assert_eq!(troubles.len(), 3);
    assert_eq!(fs::read(ground.path().join("treasure")).unwrap(), b"mine");
    assert!(!ground.path().join("new").exists());
}

#[test]
fn what_is_there_stays_and_is_told() {
    let (ground, told) = attack(&[
        (file("a"), b"first"),
        (file("a"), b"second"),
        // The writer waits for what it has handed to its threads before it makes a hard link.
        (link("b", Kind::HardLink, "a"), b""),
        (link("a", Kind::Symlink, "x"), b""),
        (Entry::new(b"a", Kind::Fifo), b""),
        (file("a/below"), b"x"),
        (file("."), b"x"),
    ]);
    assert_eq!(told.len(), 5, "{told:?}");
    for name in ["a", "b"] {
        let content = fs::read(ground.path().join("inside").join(name)).unwrap();
        assert!(content == b"first" || content == b"second");
    }
}

#[test]
fn devices_only_where_they_are_allowed() {
    let to = tempfile::tempdir().unwrap();
    let device = Entry { device: (1, 3), ..Entry::new(b"null", Kind::Char) };
    let rights = Rights { devices: false, ..Rights::default() };
    let (_, troubles) = unpack(&tar(&[(device, b"")])[..], to.path(), rights);
    assert_eq!(troubles[0].what, What::Device);
    assert!(!to.path().join("null").exists());
}

#[test]
fn a_prefix_is_taken_off_and_strangers_are_refused() {
    let to = tempfile::tempdir().unwrap();
    let members =
        tar(&[(file("v/a"), b"a"), (file("w/b"), b"b"), (file("va"), b"c"), (link("v/l", Kind::HardLink, "v/a"), b"")]);
    let rights = Rights { strip: b"v"[..].into(), ..Rights::default() };
    let (_, troubles) = unpack(&members[..], to.path(), rights);
    assert_eq!(troubles.len(), 2);
    assert_eq!(fs::read(to.path().join("l")).unwrap(), b"a");
}

#[test]
fn data_in_what_is_told_as_a_hole_is_written() {
    let to = tempfile::tempdir().unwrap();
    let entry = Entry { holes: vec![(0, 8192)], ..file("file") };
    let mut content = vec![0; 8192];
    content[5000] = 1;
    let (_, troubles) = unpack(&tar(&[(entry, &content)])[..], to.path(), Rights::default());
    assert_eq!(troubles, []);
    assert_eq!(fs::read(to.path().join("file")).unwrap(), content);
}

#[test]
fn folders_out_of_order_get_their_times_all_the_same() {
    let old = |path: &str, kind| {
        let mut entry = Entry::new(path.as_bytes(), kind);
        entry.mtime.seconds = 1_000_000;
        entry
    };
    let (ground, told) = attack(&[
        (file("a/one"), b"1"),
        (old("b", Kind::Directory), b""),
        (file("b/one"), b"1"),
        (old("a", Kind::Directory), b""),
        (file("b/two"), b"2"),
        (file("a/two"), b"2"),
    ]);
    assert_eq!(told, []);
    for folder in ["a", "b"] {
        let facts = &common::facts(&ground.path().join("inside"))[folder.as_bytes()];
        assert_eq!(facts.mtime, (1_000_000, 0), "{folder}");
    }
}

#[test]
fn a_stream_that_breaks_off_is_an_error_and_leaves_no_half_file() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("a"), vec![1; 1000]).unwrap();
    fs::write(from.path().join("b"), vec![2; 700_000]).unwrap();
    let (whole, _) = pack(from.path(), 1);
    for cut in [0, 1, 511, 512, 3000, 5000, 100_000, whole.len() - 1024, whole.len() - 512, whole.len() - 1] {
        let to = tempfile::tempdir().unwrap();
        let (result, _) = unpack(&whole[..cut], to.path(), Rights::default());
        assert!(result.is_err(), "cut at {cut}");
        for entry in fs::read_dir(to.path()).unwrap() {
            let entry = entry.unwrap();
            let original = fs::metadata(from.path().join(entry.file_name())).unwrap().len();
            assert_eq!(entry.metadata().unwrap().len(), original, "cut at {cut}");
        }
    }
}

#[test]
fn bytes_that_flip_never_panic_and_never_lead_out() {
    let from = tempfile::tempdir().unwrap();
    common::grow::grow(from.path(), 7, common::grow::Kinds { sockets: true, holes: false, acls: true });
    let (whole, _) = pack(from.path(), 1);
    let mut dice = Dice(9);
    for _ in 0..150 {
        let mut bytes = whole.clone();
        for _ in 0..1 + dice.below(4) {
            // Mostly where headers are.
            let place = if dice.one_in(2) { dice.below(20_000) } else { dice.below(bytes.len() as u64) };
            let place = place as usize % bytes.len();
            bytes[place] = dice.next() as u8;
        }
        let to = tempfile::tempdir().unwrap();
        let inside = to.path().join("inside");
        fs::create_dir(&inside).unwrap();
        let _ = unpack(&bytes[..], &inside, Rights { devices: false, ..Rights::default() });
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Any bytes at all: an end or an error, never a panic, never more content than there are bytes.
    #[test]
    fn any_bytes_end(noise in proptest::collection::vec(any::<u8>(), 0..3000), at in 0usize..2000, records in ".{0,200}") {
        let mut body = Entry::new(b"name", Kind::File);
        body.size = records.len() as u64;
        let mut bytes = header(b"", &body);
        bytes[156] = b'x';
        let sum: u64 = bytes[..512].iter().enumerate().map(|(n, &b)| if (148..156).contains(&n) { 32 } else { u64::from(b) }).sum();
        bytes[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        bytes.extend_from_slice(records.as_bytes());
        bytes.extend_from_slice(padding(body.size));
        let at = at.min(bytes.len());
        bytes.splice(at..at, noise.iter().copied());
        let mut archive = Archive::new(&bytes[..]);
        let mut content = 0;
        while let Ok(Some(_)) = archive.next() {
            while let Ok(part) = archive.content() {
                if part.is_empty() { break; }
                content += part.len();
            }
        }
        prop_assert!(content <= bytes.len());
    }
}
