//! Trees that grow from a number: every type, odd names, owners, modes, times, attributes, holes, links.

use super::{Dice, acl, capability, is_root, set_mtime, set_xattr};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, chownat, makedev, mknodat};
use std::{
    ffi::OsStr,
    fs,
    io::{Seek, SeekFrom, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

/// What a tree may hold.
#[derive(Clone, Copy)]
pub struct Kinds {
    pub sockets: bool,
    pub holes: bool,
    pub acls: bool,
}

/// Grows a tree of some tens of entries in an empty folder.
pub fn grow(root: &Path, seed: u64, kinds: Kinds) {
    let mut dice = Dice(seed);
    let mut folders = vec![root.to_path_buf()];
    let mut files: Vec<PathBuf> = Vec::new();
    for number in 0..20 + dice.below(60) {
        let folder = folders[dice.below(folders.len() as u64) as usize].clone();
        let place = folder.join(OsStr::from_bytes(&name(&mut dice, number)));
        match dice.below(14) {
            0..3 => {
                fs::create_dir(&place).unwrap();
                folders.push(place);
            }
            3 => {
                let length = if dice.one_in(3) { 101 + dice.below(3000) } else { 1 + dice.below(90) };
                symlink(OsStr::from_bytes(&letters(&mut dice, length as usize)), &place).unwrap();
                files.push(place);
            }
            4 => special(&place, &mut dice, kinds),
            5 if !files.is_empty() => {
                fs::hard_link(&files[dice.below(files.len() as u64) as usize], &place).unwrap();
            }
            _ => {
                file(&place, &mut dice, kinds);
                files.push(place);
            }
        }
    }
    // From the deepest: making an entry changes the time of its folder.
    let mut all = Vec::new();
    list(root, &mut all);
    for place in all.into_iter().rev() {
        dress(&place, &mut dice, kinds);
    }
}

fn list(folder: &Path, all: &mut Vec<PathBuf>) {
    all.push(folder.to_path_buf());
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for place in names {
        if fs::symlink_metadata(&place).unwrap().is_dir() {
            list(&place, all);
        } else {
            all.push(place);
        }
    }
}

fn name(dice: &mut Dice, number: u64) -> Vec<u8> {
    let mut name = match dice.below(9) {
        0 => b"\xff\xfe not text \x80".to_vec(),
        1 => b"two\nlines".to_vec(),
        2 => letters(dice, 240),
        3 => b"-rf *".to_vec(),
        4 => b"...".to_vec(),
        5 => "grüße 東京".as_bytes().to_vec(),
        6 => b".wh.hidden".to_vec(),
        7 => letters(dice, 95),
        _ => b"plain".to_vec(),
    };
    name.extend_from_slice(number.to_string().as_bytes());
    name
}

fn letters(dice: &mut Dice, length: usize) -> Vec<u8> {
    (0..length).map(|_| b'a' + dice.below(26) as u8).collect()
}

fn file(place: &Path, dice: &mut Dice, kinds: Kinds) {
    let size = match dice.below(8) {
        0 => 0,
        1 => 512 * dice.below(20),
        2 => dice.below(3 << 20),
        _ => dice.below(5000),
    };
    let mut file = fs::File::create(place).unwrap();
    file.write_all(&dice.bytes(size as usize)).unwrap();
    if kinds.holes && dice.one_in(3) {
        for _ in 0..1 + dice.below(5) {
            file.seek(SeekFrom::Current((dice.below(100) << 12) as i64)).unwrap();
            let length = dice.below(20_000) as usize;
            file.write_all(&dice.bytes(length)).unwrap();
        }
        // A hole at the end too, and one of zeros that is none.
        file.write_all(&[0; 8192]).unwrap();
        let end = file.stream_position().unwrap();
        file.set_len(end + (dice.below(3) << 13)).unwrap();
    }
}

fn special(place: &Path, dice: &mut Dice, kinds: Kinds) {
    let mode = Mode::from_raw_mode(0o600);
    let (kind, device) = match dice.below(4) {
        0 if kinds.sockets => (FileType::Socket, 0),
        1 if is_root() => (FileType::CharacterDevice, makedev(dice.below(200) as u32, dice.below(70_000) as u32)),
        2 if is_root() => (FileType::BlockDevice, makedev(dice.below(4000) as u32, dice.below(256) as u32)),
        _ => (FileType::Fifo, 0),
    };
    mknodat(CWD, place, kind, mode, device).unwrap();
}

/// Owner, mode, attributes and time.
fn dress(place: &Path, dice: &mut Dice, kinds: Kinds) {
    let kind = fs::symlink_metadata(place).unwrap().file_type();
    if is_root() && dice.one_in(2) {
        let id = |dice: &mut Dice| [1, 999, 65_534, 2_097_152, 3_000_000_000][dice.below(5) as usize];
        let (uid, gid) = (Uid::from_raw(id(dice)), Gid::from_raw(id(dice)));
        chownat(CWD, place, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
    if !kind.is_symlink() && dice.one_in(2) {
        let least = if is_root() { 0 } else { 0o700 };
        fs::set_permissions(place, fs::Permissions::from_mode(dice.below(0o10000) as u32 | least)).unwrap();
    }
    if kind.is_file() || kind.is_dir() {
        if dice.one_in(3) {
            set_xattr(place, "user.note", &dice.bytes(1));
            set_xattr(place, "user.empty", b"");
            set_xattr(place, "user.a=b%3D\n", b"equals=\nand a line");
        }
        if dice.one_in(6) {
            let value = dice.bytes(2500);
            set_xattr(place, "user.long", &value);
        }
        if kinds.acls && dice.one_in(5) {
            set_xattr(place, "system.posix_acl_access", &acl(dice.below(9000) as u32, 7));
            if kind.is_dir() {
                set_xattr(place, "system.posix_acl_default", &acl(1, dice.below(9000) as u32));
            }
        }
    }
    if is_root() && kind.is_file() && dice.one_in(5) {
        set_xattr(place, "security.capability", &capability());
    }
    if is_root() && dice.one_in(5) {
        set_xattr(place, "trusted.note", b"kept \0 too");
    }
    let seconds = [0, 1, -1, -1_000_000_000, 1_700_000_000, 4_000_000_000, 8_589_934_592][dice.below(7) as usize];
    let nanos = [0, 1, 999_999_999, 120_000_000][dice.below(4) as usize];
    set_mtime(place, seconds, nanos);
}
