//! What the file system holds fast is told by name, and nothing else is.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use holdfast_mover::fixed;
use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

/// Flags that are taken away again, so that the folder can go.
struct Held<'a>(&'a Path, &'a str);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg(format!("-{}", self.1)).arg(self.0).status();
    }
}

/// `None` where nothing can be held: without rights, or on a file system without such flags.
fn hold<'a>(path: &'a Path, flag: &'a str) -> Option<Held<'a>> {
    let done =
        Command::new("chattr").arg(format!("+{flag}")).arg(path).output().is_ok_and(|done| done.status.success());
    done.then_some(Held(path, flag))
}

fn told(path: &Path) -> (u64, Vec<String>) {
    let mut names = Vec::new();
    let count = fixed(path, &mut |trouble| names.push(trouble.to_string())).unwrap();
    names.sort();
    (count, names)
}

#[test]
fn what_is_held_fast_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("a/b")).unwrap();
    for name in ["file", "a/b/log", "a/free"] {
        fs::write(path(name), "x").unwrap();
    }
    symlink(path("a/b"), path("link")).unwrap();
    symlink("/proc", path("out")).unwrap();
    assert_eq!(told(folder.path()), (0, Vec::new()));
    let (file, log, b) = (path("file"), path("a/b/log"), path("a/b"));
    let Some(_one) = hold(&file, "i") else {
        println!("skipped: nothing can be held fast here");
        return;
    };
    let _two = hold(&log, "a").unwrap();
    let _three = hold(&b, "i").unwrap();
    let (count, names) = told(folder.path());
    assert_eq!(count, 3, "{names:?}");
    for (name, place) in names.iter().zip(["a/b/log", "a/b", "file"]) {
        assert!(name.starts_with(place) && name.contains("held fast"), "{names:?}");
    }
    assert_eq!(told(&file).0, 1, "a single file");
    assert_eq!(told(&path("a/free")).0, 0);
    assert!(fixed(&path("nowhere"), &mut |_| ()).is_err());
}

/// A folder full of them is told in a few lines, and counted.
#[test]
fn many_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..30).map(|number| folder.path().join(number.to_string())).collect();
    files.iter().for_each(|file| fs::write(file, "x").unwrap());
    let held: Vec<_> = files.iter().map_while(|file| hold(file, "i")).collect();
    if held.is_empty() {
        println!("skipped: nothing can be held fast here");
        return;
    }
    let (count, names) = told(folder.path());
    assert_eq!((count, names.len()), (30, 20));
}
