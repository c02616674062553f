//! The folder that is walked: how everything below it is opened without ever leaving it.
//!
//! Invariants:
//! - Every step is one `openat` of one name, never following a link; no path is handed to the system whole.
//! - Reading opens nothing for writing and, where the system allows it, leaves access times alone.

use crate::{
    entry::{Entry, Kind, Time},
    room::Room,
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxFlags, fstatfs, openat, statx, syncfs},
    io::Errno,
};
use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// Longest path below the root that is carried, in bytes.
pub const PATH_MAX: usize = 16 << 10;

/// Most folders below each other.
pub const DEPTH_MAX: usize = 2048;

/// Size up to which the number of blocks tells of holes, bytes. A larger file may be in more pieces than its inode
/// can name, and the block that names them is counted too.
const BLOCKS_EXACT: u64 = 16 << 10;

/// Most open folders that [`Folders`] keeps.
const KEPT_OPEN: usize = 64;

/// A folder that is read, and what is known of its file system.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    stat: Statx,
    has_proc: bool,
    spare_atime: AtomicBool,
    room: Room,
}

impl Root {
    /// Opens a folder. The path itself may lead through links, it is the caller's.
    pub fn open(path: &Path) -> Result<Root, Errno> {
        let fd = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let stat = stat_of(&fd)?;
        let has_proc = crate::xattr::has_proc(&fd);
        Ok(Root { fd, stat, has_proc, spare_atime: AtomicBool::new(true), room: Room::new() })
    }

    /// The folder itself.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// What the system says of the folder itself.
    pub(crate) fn stat(&self) -> &Statx {
        &self.stat
    }

    /// What is left for the content of the tree that is walked and read.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// Whether names below an open folder can be reached through `/proc`.
    pub(crate) fn has_proc(&self) -> bool {
        self.has_proc
    }

    /// Opens a folder below an open one.
    pub(crate) fn open_folder(&self, parent: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        self.open_quietly(parent, name, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens a file for reading; does not wait for the other end of a pipe that took its place.
    pub(crate) fn open_file(&self, parent: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        self.open_quietly(parent, name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    fn open_quietly(&self, parent: impl AsFd, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if self.spare_atime.load(Ordering::Relaxed) {
            match openat(&parent, name, flags | OFlags::NOATIME, Mode::empty()) {
                // Only owners may spare it.
                Err(Errno::PERM) => self.spare_atime.store(false, Ordering::Relaxed),
                other => return other,
            }
        }
        openat(parent, name, flags, Mode::empty())
    }

    /// Whether a folder in an open one belongs to a file system without data. One that cannot be opened is told when it
    /// is listed.
    pub(crate) fn is_of_the_system(&self, parent: impl AsFd, name: &[u8]) -> bool {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(folder) = openat(parent, name, flags, Mode::empty()) else { return false };
        // The kernel's numbers have 32 bits; where the field is wider and signed, they come stretched.
        fstatfs(folder).is_ok_and(|told| OF_THE_SYSTEM.contains(&(told.f_type as u32)))
    }

    /// Writes back what programs have changed in files of this file system, and waits for it.
    pub(crate) fn write_back(&self) -> Result<(), Errno> {
        syncfs(&self.fd)
    }

    /// Whether files of this file system lie in memory alone.
    pub(crate) fn is_in_memory(&self) -> bool {
        fstatfs(&self.fd).is_ok_and(|told| IN_MEMORY.contains(&(told.f_type as u32)))
    }

    /// Whether something lies on the file system of the root, mounted there as the root is.
    pub(crate) fn is_same_mount(&self, stat: &Statx) -> bool {
        let told = |stat: &Statx| stat.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        if told(stat) && told(&self.stat) {
            return stat.stx_mnt_id == self.stat.stx_mnt_id;
        }
        // Layered file systems give files other device numbers than folders.
        kind_of(stat) != Some(Kind::Directory)
            || (stat.stx_dev_major, stat.stx_dev_minor) == (self.stat.stx_dev_major, self.stat.stx_dev_minor)
    }
}

/// File systems that hold no data: windows into the kernel, and what would mount something when looked at.
/// Numbers from `linux/magic.h`: proc, sysfs, devpts, cgroup, cgroup2, debugfs, tracefs, securityfs, bpf, pstore, mqueue,
/// hugetlbfs, configfs, efivarfs, nsfs, fusectl, selinuxfs, binfmt_misc, rpc_pipefs, autofs.
const OF_THE_SYSTEM: [u32; 20] = [
    0x9fa0,
    0x6265_6572,
    0x1cd1,
    0x0027_e0eb,
    0x6367_7270,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
    0x6165_676c,
    0x1980_0202,
    0x9584_58f6,
    0x6265_6570,
    0xde5e_81e4,
    0x6e73_6673,
    0x6573_5543,
    0xf97c_ff8c,
    0x4249_4e4d,
    0x6759_6969,
    0x0187,
];

/// tmpfs and ramfs.
const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];

fn flags() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::MNT_ID
}

/// What the system says of an open file or folder.
pub(crate) fn stat_of(fd: impl AsFd) -> Result<Statx, Errno> {
    statx(fd, "", AtFlags::EMPTY_PATH, flags())
}

/// What the system says of a name in an open folder; links are not followed, nothing is mounted.
pub(crate) fn stat_at(parent: impl AsFd, name: &[u8]) -> Result<Statx, Errno> {
    statx(parent, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, flags())
}

/// What something is; `None` for types that nobody knows.
pub(crate) fn kind_of(stat: &Statx) -> Option<Kind> {
    match FileType::from_raw_mode(u32::from(stat.stx_mode)) {
        FileType::RegularFile => Some(Kind::File),
        FileType::Directory => Some(Kind::Directory),
        FileType::Symlink => Some(Kind::Symlink),
        FileType::Fifo => Some(Kind::Fifo),
        FileType::Socket => Some(Kind::Socket),
        FileType::CharacterDevice => Some(Kind::Char),
        FileType::BlockDevice => Some(Kind::Block),
        FileType::Unknown => None,
    }
}

/// An entry with all that the system says by itself: no link target, no attributes.
pub(crate) fn entry_of(path: &[u8], kind: Kind, stat: &Statx) -> Entry {
    let is_device = matches!(kind, Kind::Char | Kind::Block);
    let size = if kind == Kind::File { stat.stx_size } else { 0 };
    Entry {
        path: path.into(),
        kind,
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size,
        may_have_holes: size > BLOCKS_EXACT || stat.stx_blocks.saturating_mul(512) < size,
        unsettled: None,
        mtime: Time { seconds: stat.stx_mtime.tv_sec, nanos: stat.stx_mtime.tv_nsec },
        ctime: Time { seconds: stat.stx_ctime.tv_sec, nanos: stat.stx_ctime.tv_nsec },
        inode: stat.stx_ino,
        links: stat.stx_nlink,
        device: if is_device { (stat.stx_rdev_major, stat.stx_rdev_minor) } else { (0, 0) },
        link: Box::default(),
        holes: Vec::new(),
        xattrs: Vec::new(),
    }
}

/// Folder and name of a path below the root.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// The folders on the way to what was opened last, so that its neighbours are opened with one step.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    path: Vec<u8>,
    /// Length of the path of each folder, and the folder; the deepest last.
    open: Vec<(usize, OwnedFd)>,
}

impl Folders {
    /// The folder of that path below the root.
    pub(crate) fn enter<'a>(&'a mut self, root: &'a Root, path: &[u8]) -> Result<BorrowedFd<'a>, Errno> {
        let shared = shared_folders(&self.path, path);
        while self.open.last().is_some_and(|&(length, _)| length > shared) {
            self.open.pop();
        }
        let mut at = self.open.last().map_or(0, |&(length, _)| length);
        self.path.clear();
        self.path.extend_from_slice(path);
        while at < path.len() {
            let begin = if at == 0 { 0 } else { at + 1 };
            let end = path[begin..].iter().position(|&byte| byte == b'/').map_or(path.len(), |slash| begin + slash);
            let parent = self.open.last().map_or(root.fd(), |(_, fd)| fd.as_fd());
            let next = root.open_folder(parent, &path[begin..end])?;
            if self.open.len() == KEPT_OPEN {
                self.open.remove(0);
            }
            self.open.push((end, next));
            at = end;
        }
        Ok(self.open.last().map_or(root.fd(), |(_, fd)| fd.as_fd()))
    }
}

/// Length of the longest path of folders that both begin with.
pub(crate) fn shared_folders(one: &[u8], other: &[u8]) -> usize {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let ends = |path: &[u8]| path.len() == same || path[same] == b'/';
    if ends(one) && ends(other) {
        return same;
    }
    one[..same].iter().rposition(|&byte| byte == b'/').unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_folders_end_at_slashes() {
        for (one, other, shared) in
            [("a/b", "a/c", 1), ("a/b", "a/b", 3), ("a/b", "a/bc", 1), ("", "a", 0), ("ab", "ac", 0), ("a", "a/b/c", 1)]
        {
            assert_eq!(shared_folders(one.as_bytes(), other.as_bytes()), shared, "{one} {other}");
        }
    }
}
