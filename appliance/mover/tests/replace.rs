//! Writing over what is there, and taking everything out.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use common::{assert_same, facts, grow};
use holdfast_mover::{Archive, Options, Rights, Root, Writer, write_archive, write_file};
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, Mutex},
};

fn tar(folder: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    write_archive(&Arc::new(Root::open(folder).unwrap()), Options::default(), b"v", &mut out).unwrap();
    out
}

/// Writes, and gives what was complained of.
fn write(tar: &[u8], folder: &Path, replaces: bool) -> Vec<String> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let rights = Rights { strip: b"v"[..].into(), replaces, ..Rights::default() };
    let writer = Writer::open(folder, rights, Arc::new(move |t| tell.lock().unwrap().push(format!("{t}")))).unwrap();
    writer.write(&mut Archive::new(tar)).unwrap();
    let mut told = told.lock().unwrap().clone();
    told.sort();
    told
}

#[test]
fn what_is_there_gives_way_and_what_lies_outside_does_not() {
    let home = tempfile::tempdir().unwrap();
    let (from, to) = (home.path().join("from"), home.path().join("to"));
    fs::create_dir_all(from.join("d")).unwrap();
    fs::create_dir_all(to.join("d/own")).unwrap();
    let outside = home.path().join("outside");
    fs::write(&outside, "outside").unwrap();
    for name in ["file", "link", "large", "d/inner"] {
        fs::write(from.join(name), if name == "large" { "L".repeat(400 << 10) } else { format!("new {name}") })
            .unwrap();
    }
    symlink("file", from.join("was-a-file")).unwrap();
    fs::hard_link(from.join("file"), from.join("second")).unwrap();
    fs::write(to.join("file"), "old").unwrap();
    fs::hard_link(to.join("file"), home.path().join("kept")).unwrap();
    // A name that leads out must be replaced, never followed.
    for name in ["link", "large", "d/inner"] {
        symlink(&outside, to.join(name)).unwrap();
    }
    fs::write(to.join("was-a-file"), "old").unwrap();
    fs::write(to.join("second"), "old").unwrap();
    fs::write(to.join("d/own/stays"), "theirs").unwrap();

    let tar = tar(&from);
    let told = write(&tar, &to, false);
    assert_eq!(told.len(), 6, "{told:?}");
    assert_eq!(fs::read_to_string(to.join("file")).unwrap(), "old");
    assert_eq!(write(&tar, &to, true), Vec::<String>::new());
    assert_eq!(fs::read_to_string(&outside).unwrap(), "outside");
    assert_eq!(fs::read_to_string(home.path().join("kept")).unwrap(), "old");
    assert_eq!(fs::read_to_string(to.join("d/own/stays")).unwrap(), "theirs");
    fs::remove_dir_all(to.join("d/own")).unwrap();
    // The folder's time was that of the archive until this line.
    let (mut was, mut is) = (facts(&from), facts(&to));
    for tree in [&mut was, &mut is] {
        tree.remove(&b"d"[..].to_vec());
    }
    assert_same(&was, &is, "replaced");
}

#[test]
fn one_file_is_an_archive_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let (from, to) = (home.path().join("from"), home.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    let file = fs::File::create(from.join("one")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", 300 << 10).unwrap();
    rustix::fs::fsetxattr(&file, c"user.colour", b"green", rustix::fs::XattrFlags::empty()).unwrap();
    let mut tar = Vec::new();
    write_file(&from.join("one"), &mut tar).unwrap();
    let rights = Rights::default();
    Writer::open(&to, rights, Arc::new(|_| ())).unwrap().write(&mut Archive::new(&tar[..])).unwrap();
    let (mut was, mut is) = (facts(&from), facts(&to));
    for tree in [&mut was, &mut is] {
        tree.retain(|path, _| path == b"one");
        assert_eq!(tree.len(), 1);
    }
    assert_same(&was, &is, "one file");
    symlink("one", from.join("link")).unwrap();
    for no_file in [from.join("link"), from.clone(), from.join("none")] {
        assert!(write_file(&no_file, &mut Vec::new()).is_err(), "{no_file:?}");
    }
}

#[test]
fn a_folder_is_emptied_and_nothing_beside_it() {
    let home = tempfile::tempdir().unwrap();
    let (folder, beside) = (home.path().join("v"), home.path().join("beside"));
    fs::create_dir_all(folder.join("deep/er/still")).unwrap();
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("file"), "theirs").unwrap();
    symlink(&beside, folder.join("deep/way-out")).unwrap();
    for seed in 0..10 {
        let tree = folder.join(format!("tree-{seed}"));
        fs::create_dir(&tree).unwrap();
        grow::grow(&tree, seed, grow::Kinds { sockets: true, holes: true, acls: true });
    }
    Writer::clear(&folder).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(beside.join("file")).unwrap(), "theirs");
    assert!(Writer::clear(&home.path().join("nothing")).is_err());
}
