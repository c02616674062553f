//! Attributes put back on what was made: owner, lists and attributes, permissions, capabilities, times, in the order
//! in which none undoes another.

use crate::{
    entry::{Entry, Kind, Time},
    place::Folder,
    trouble::{Trouble, What},
    write::Rights,
    xattr::{self, CAPABILITY},
};
use rustix::{
    fd::{AsFd, AsRawFd},
    fs::{
        AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat, fchmod,
        fchown, fsetxattr, futimens, lsetxattr, openat, unlinkat, utimensat,
    },
    io::Errno,
};
use std::sync::Arc;

/// Where troubles are told; called from several threads.
pub(crate) type Tell = Arc<dyn Fn(Trouble) + Send + Sync>;

/// What all that is made has in common.
pub(crate) struct Maker {
    pub(crate) restores_owners: bool,
    pub(crate) allows_devices: bool,
    replaces: bool,
    pub(crate) has_proc: bool,
    /// Owner of what this process makes.
    pub(crate) own: (u32, u32),
    tell: Tell,
}

impl Maker {
    pub(crate) fn new(rights: &Rights, has_proc: bool, tell: Tell) -> Maker {
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let Rights { owners: restores_owners, devices: allows_devices, replaces, .. } = *rights;
        Maker { restores_owners, allows_devices, replaces, has_proc, own, tell }
    }

    /// Makes something under a name; what has it, if it may be replaced and is no folder, goes first.
    pub(crate) fn anew<T>(
        &self,
        folder: &Folder,
        name: &[u8],
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match make() {
            Err(Errno::EXIST) if self.replaces => {
                unlinkat(folder.fd(), name, AtFlags::empty())?;
                make()
            }
            made => made,
        }
    }

    pub(crate) fn tell(&self, trouble: Trouble) {
        (self.tell)(trouble);
    }

    /// Puts attributes on an open file or folder. `is_new` says that it was just made with mode 0600 or 0700.
    pub(crate) fn finish(&self, fd: impl AsFd, entry: &Entry, is_new: bool) {
        let check = |what, result: Result<(), Errno>| self.check(&entry.path, what, result);
        // A folder that hands its group on would have given another one.
        if self.restores_owners && !(is_new && (entry.uid, entry.gid) == self.own && entry.kind == Kind::File) {
            check(What::Owner, fchown(&fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid))));
        }
        let set = |name: &[u8], value: &[u8]| fsetxattr(&fd, name, value, XattrFlags::empty());
        self.set_xattrs(entry, |name| name != CAPABILITY, set);
        if !(is_new && entry.kind == Kind::File && entry.mode == 0o600) {
            check(What::Mode, fchmod(&fd, Mode::from_raw_mode(entry.mode)));
        }
        self.set_xattrs(entry, |name| name == CAPABILITY, set);
        check(What::Times, futimens(&fd, &times(entry.mtime)));
    }

    /// Puts attributes on something that cannot be opened, by its name in an open folder.
    pub(crate) fn finish_at(&self, folder: impl AsFd, name: &[u8], entry: &Entry) {
        let check = |what, result: Result<(), Errno>| self.check(&entry.path, what, result);
        if self.restores_owners {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            check(What::Owner, chownat(&folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW));
        }
        let mut path = Vec::new();
        xattr::proc_path(&mut path, &folder, name);
        self.set_xattrs(
            entry,
            |_| true,
            |name, value| {
                if !self.has_proc {
                    return Err(Errno::NOTSUP);
                }
                lsetxattr(path.as_slice(), name, value, XattrFlags::empty())
            },
        );
        if entry.kind != Kind::Symlink {
            check(What::Mode, self.set_mode(&folder, name, entry.mode));
        }
        check(What::Times, utimensat(&folder, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW));
    }

    /// Sets the mode of a special file, whatever may have taken its place.
    fn set_mode(&self, folder: impl AsFd, name: &[u8], mode: u32) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(mode);
        if !self.has_proc {
            return chmodat(folder, name, mode, AtFlags::empty());
        }
        let node = openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        chmodat(CWD, format!("/proc/self/fd/{}", node.as_raw_fd()), mode, AtFlags::empty())
    }

    fn set_xattrs(
        &self,
        entry: &Entry,
        which: impl Fn(&[u8]) -> bool,
        set: impl Fn(&[u8], &[u8]) -> Result<(), Errno>,
    ) {
        for (name, value) in entry.xattrs.iter().filter(|(name, _)| which(name)) {
            if let Err(error) = set(name, value) {
                let trouble = Trouble::of(&entry.path, What::Xattr, error);
                self.tell(Trouble { detail: name.clone(), ..trouble });
            }
        }
    }

    pub(crate) fn check(&self, path: &[u8], what: What, result: Result<(), Errno>) {
        if let Err(error) = result {
            self.tell(Trouble::of(path, what, error));
        }
    }
}

/// The time of the last change; that of the last access is left alone.
pub(crate) fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanos) },
    }
}
