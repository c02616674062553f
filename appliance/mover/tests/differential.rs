//! GNU tar as a second opinion: it reads what we write and writes what we read, as far as it can carry it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    assert_same, facts,
    grow::{Kinds, grow},
    pack, unpack,
};
use holdfast_mover::Rights;
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// GNU tar skips sockets and makes holes of its own.
const CARRIED: Kinds = Kinds { sockets: false, holes: false, acls: true };

fn gnu_tar(folder: &Path, arguments: &[&str]) -> Option<Command> {
    let version = Command::new("tar").arg("--version").output().ok()?;
    if !version.stdout.starts_with(b"tar (GNU tar)") || !common::is_root() {
        return None;
    }
    let mut command = Command::new("tar");
    command.args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-p", "-C"]).arg(folder).args(arguments);
    Some(command)
}

#[test]
fn gnu_tar_reads_what_we_write() {
    for seed in 1000..1015 {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        grow(from.path(), seed, CARRIED);
        let Some(mut command) = gnu_tar(to.path(), &["-xf", "-"]) else { return };
        let mut tar = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        tar.stdin.take().unwrap().write_all(&pack(from.path(), 2).0).unwrap();
        let output = tar.wait_with_output().unwrap();
        assert!(output.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&output.stderr));
        assert_same(&facts(from.path()), &facts(to.path()), &format!("seed {seed}"));
    }
}

#[test]
fn we_read_what_gnu_tar_writes() {
    for (seed, format) in (2000..2015).zip(["posix", "posix", "gnu"].into_iter().cycle()) {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        grow(from.path(), seed, CARRIED);
        let before = facts(from.path());
        let format_argument = format!("--format={format}");
        let arguments: &[&str] = if format == "gnu" {
            &["--no-xattrs", "--format=gnu", "-cf", "-", "."]
        } else {
            &["-cf", "-", &format_argument, "."]
        };
        let Some(mut command) = gnu_tar(from.path(), arguments) else { return };
        let output = command.output().unwrap();
        let (entries, troubles) = unpack(&output.stdout[..], to.path(), Rights::default());
        assert_eq!(troubles, [], "seed {seed}");
        assert_eq!(entries, Ok(before.len() as u64), "seed {seed}");
        let mut after = facts(to.path());
        if format == "gnu" {
            // That format has whole seconds and no attributes.
            for (path, facts) in &mut after {
                facts.mtime.1 = before[path].mtime.1;
                facts.xattrs.clone_from(&before[path].xattrs);
                facts.mode = before[path].mode;
            }
        }
        assert_same(&before, &after, &format!("seed {seed}, {format}"));
    }
}
