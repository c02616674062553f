//! What the tests of the mover share: trees made from numbers, and facts about trees that are found out in another
//! way than the mover does.
#![allow(dead_code)]

pub mod grow;

use holdfast_mover::{Archive, Options, Report, Rights, Root, Trouble, Writer, write_archive};
use rustix::{
    fd::{AsFd, AsRawFd, OwnedFd},
    fs::{CWD, Mode, OFlags, SeekFrom, XattrFlags, lgetxattr, llistxattr, lsetxattr, mkdirat, openat, seek},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// Numbers that look like dice and are the same each time.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }
}

/// All that the system says of one name, but for what cannot be the same in two trees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    pub kind: char,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub device: u64,
    pub target: Vec<u8>,
    pub content: Vec<u8>,
    pub holes: Vec<(u64, u64)>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Name of the first file with the same inode.
    pub first: Vec<u8>,
}

pub type Tree = BTreeMap<Vec<u8>, Facts>;

/// The facts of a tree, also where its paths are longer than the system takes.
pub fn facts(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut inodes = BTreeMap::new();
    let fd = openat(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    collect(fd, Vec::new(), &mut tree);
    for (path, facts) in &mut tree {
        if facts.kind != 'd' {
            let inode = u64::from_be_bytes(facts.first[..8].try_into().unwrap());
            facts.first = inodes.entry(inode).or_insert_with(|| path.clone()).clone();
        }
    }
    tree
}

fn collect(folder: OwnedFd, path: Vec<u8>, tree: &mut Tree) {
    // Not recursive: some trees are thousands of folders deep. Folders are closed on the way.
    let mut open = vec![(folder, path)];
    while let Some((folder, path)) = open.pop() {
        let base = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        tree.insert(path.clone(), facts_of(&base.join(".")));
        for entry in fs::read_dir(&base).unwrap() {
            let name = entry.unwrap().file_name().into_vec();
            let below = if path.is_empty() { name.clone() } else { [&path[..], b"/", &name].concat() };
            let place = base.join(std::ffi::OsStr::from_bytes(&name));
            if fs::symlink_metadata(&place).unwrap().is_dir() {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                open.push((openat(&folder, name.as_slice(), flags, Mode::empty()).unwrap(), below));
            } else {
                tree.insert(below, facts_of(&place));
            }
        }
    }
}

fn facts_of(place: &Path) -> Facts {
    let meta = fs::symlink_metadata(place).unwrap();
    let kind = meta.file_type();
    let kind = match () {
        () if kind.is_dir() => 'd',
        () if kind.is_file() => 'f',
        () if kind.is_symlink() => 'l',
        () if kind.is_fifo() => 'p',
        () if kind.is_socket() => 's',
        () if kind.is_char_device() => 'c',
        () => 'b',
    };
    Facts {
        kind,
        mode: meta.mode() & 0o7777,
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        device: if matches!(kind, 'c' | 'b') { meta.rdev() } else { 0 },
        target: if kind == 'l' { fs::read_link(place).unwrap().into_os_string().into_vec() } else { Vec::new() },
        content: if kind == 'f' { fs::read(place).unwrap() } else { Vec::new() },
        holes: if kind == 'f' { holes(place) } else { Vec::new() },
        xattrs: xattrs(place),
        first: if kind == 'd' { Vec::new() } else { meta.ino().to_be_bytes().to_vec() },
    }
}

pub fn holes(place: &Path) -> Vec<(u64, u64)> {
    let file = fs::File::open(place).unwrap();
    let size = file.metadata().unwrap().len();
    let mut holes = Vec::new();
    let mut at = 0;
    while at < size {
        let hole = seek(&file, SeekFrom::Hole(at)).unwrap();
        if hole >= size {
            break;
        }
        at = seek(&file, SeekFrom::Data(hole)).unwrap_or(size);
        holes.push((hole, at - hole));
    }
    holes
}

fn xattrs(place: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 1 << 16];
    let length = llistxattr(place, &mut list[..]).unwrap();
    let names = list[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty() && *name != b"security.selinux");
    names
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let length = lgetxattr(place, name, &mut value[..]).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect()
}

/// Says where two trees differ, in words short enough to read.
pub fn assert_same(one: &Tree, other: &Tree, what: &str) {
    for (path, facts) in one {
        let shown = holdfast_mover::shown(&path[..path.len().min(200)]);
        let Some(twin) = other.get(path) else { panic!("{what}: {shown} is missing") };
        assert!(facts.content == twin.content, "{what}: content of {shown} differs");
        let brief = |facts: &Facts| Facts { content: Vec::new(), ..facts.clone() };
        assert_eq!(brief(facts), brief(twin), "{what}: {shown}");
    }
    let extra: Vec<_> = other.keys().filter(|path| !one.contains_key(*path)).collect();
    assert!(extra.is_empty(), "{what}: {} too many, such as {:?}", extra.len(), extra.first());
}

pub fn options(threads: usize) -> Options {
    Options { threads, ..Options::default() }
}

pub fn pack(folder: &Path, threads: usize) -> (Vec<u8>, Report) {
    let root = Arc::new(Root::open(folder).unwrap());
    let mut tar = Vec::new();
    let report = write_archive(&root, options(threads), b"", &mut tar).unwrap();
    (tar, report)
}

pub fn unpack(tar: impl Read, folder: &Path, rights: Rights) -> (Result<u64, String>, Vec<Trouble>) {
    let troubles = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&troubles);
    let writer = Writer::open(folder, rights, Arc::new(move |trouble| told.lock().unwrap().push(trouble))).unwrap();
    let result = writer.write(&mut Archive::new(tar)).map(|written| written.entries).map_err(|error| error.to_string());
    let troubles = std::mem::take(&mut *troubles.lock().unwrap());
    (result, troubles)
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Sets an attribute; `false` where the file system has no such thing.
pub fn set_xattr(place: &Path, name: &str, value: &[u8]) -> bool {
    match lsetxattr(place, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(Errno::NOTSUP | Errno::PERM | Errno::NOSPC | Errno::RANGE) => false,
        Err(error) => panic!("{name} on {}: {error}", place.display()),
    }
}

/// An access control list for one more user and group.
pub fn acl(user: u32, group: u32) -> Vec<u8> {
    let entries: [(u16, u16, u32); 6] = [
        (0x01, 6, u32::MAX),
        (0x02, 4, user),
        (0x04, 4, u32::MAX),
        (0x08, 5, group),
        (0x10, 7, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&rights.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// `cap_net_raw+ep`.
pub fn capability() -> Vec<u8> {
    let mut bytes = 0x0200_0001u32.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(1u32 << 13).to_le_bytes());
    bytes.resize(20, 0);
    bytes
}

/// A chain of folders below `root`, longer than one path may be.
pub fn dig(root: &Path, names: impl Iterator<Item = Vec<u8>>) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let mut fd = openat(CWD, root, flags, Mode::empty()).unwrap();
    for name in names {
        mkdirat(fd.as_fd(), name.as_slice(), Mode::from_raw_mode(0o755)).unwrap();
        fd = openat(&fd, name.as_slice(), flags, Mode::empty()).unwrap();
    }
    fd
}

/// Sets a time of the last change, of a link itself too.
pub fn set_mtime(place: &Path, seconds: i64, nanos: i64) {
    let times = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos },
    };
    rustix::fs::utimensat(CWD, place, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
