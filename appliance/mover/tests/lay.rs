//! Something is laid over files only where those files are.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use holdfast_mover::{Entry, Kind, TRAILER, header, padding};
use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    process::{Command, Stdio},
};

/// A tar of one file that is ours, under a bare name.
fn tar(folder: &Path, content: &[u8]) -> Vec<u8> {
    let own = fs::metadata(folder).unwrap();
    let mut entry = Entry::new(b"backup_label", Kind::File);
    (entry.mode, entry.uid, entry.gid, entry.size) = (0o600, own.uid(), own.gid(), content.len() as u64);
    [&header(b"", &entry)[..], content, padding(entry.size), &TRAILER].concat()
}

/// What it ended with, and its complaints.
fn lay(folder: &Path, content: &[u8]) -> (i32, String) {
    let mut mover = Command::new(env!("CARGO_BIN_EXE_holdfast-mover"))
        .arg("lay")
        .args([folder.as_os_str(), "global/pg_control".as_ref()])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that lays nothing does not hear it.
    let _ = mover.stdin.take().unwrap().write_all(&tar(folder.parent().unwrap(), content));
    let done = mover.wait_with_output().unwrap();
    (done.status.code().unwrap(), String::from_utf8(done.stderr).unwrap())
}

#[test]
fn what_belongs_over_certain_files_is_laid_nowhere_else() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("data");
    let nowhere = |why: &str| {
        let (code, told) = lay(&folder, b"START");
        assert_eq!(code, 4, "{why}: {told}");
        assert!(told.contains("there is no file global/pg_control"), "{told}");
        assert!(!folder.join("backup_label").exists(), "{why}");
    };
    nowhere("there is no folder");
    fs::create_dir_all(folder.join("global")).unwrap();
    nowhere("it has no such file");
    fs::write(home.path().join("elsewhere"), "x").unwrap();
    symlink("../../elsewhere", folder.join("global/pg_control")).unwrap();
    nowhere("a link is no file");
    fs::remove_file(folder.join("global/pg_control")).unwrap();
    fs::create_dir(folder.join("global/pg_control")).unwrap();
    nowhere("a folder is no file");
    fs::remove_dir(folder.join("global/pg_control")).unwrap();
    fs::write(folder.join("global/pg_control"), "control").unwrap();
    fs::write(folder.join("backup_label"), "an old one").unwrap();
    assert_eq!(lay(&folder, b"START"), (0, String::new()));
    assert_eq!(fs::read_to_string(folder.join("backup_label")).unwrap(), "START");
    assert_eq!(fs::read_to_string(folder.join("global/pg_control")).unwrap(), "control");
}
