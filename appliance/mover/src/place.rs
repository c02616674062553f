//! Folders while they are written into: each is finished when nothing below it is being made any more.
//!
//! Invariants:
//! - A folder gets its own times and permissions last: when the last hold on it is dropped, after all below it.
//! - Every step down is one name, never through a link.

use crate::{
    entry::{Entry, Kind, Time},
    restore::{Maker, times},
    root::{self, DEPTH_MAX, PATH_MAX},
    trouble::{Trouble, What},
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{Mode, OFlags, futimens, mkdirat, openat},
    io::Errno,
};
use std::sync::{Arc, Mutex, PoisonError};

/// A folder that is written into.
pub(crate) struct Folder {
    fd: OwnedFd,
    last: Mutex<Last>,
    maker: Arc<Maker>,
    /// Dropped after this folder is finished.
    _above: Option<Arc<Folder>>,
}

/// What a folder gets when it is finished.
pub(crate) enum Last {
    Nothing,
    Times(Time),
    All(Box<Entry>),
}

impl Folder {
    pub(crate) fn new(fd: OwnedFd, last: Last, maker: Arc<Maker>, above: Option<Arc<Folder>>) -> Arc<Folder> {
        Arc::new(Folder { fd, last: Mutex::new(last), maker, _above: above })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn set_last(&self, last: Last) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        match std::mem::replace(self.last.get_mut().unwrap_or_else(PoisonError::into_inner), Last::Nothing) {
            Last::Nothing => {}
            // It was finished before and is only put back; if that fails, its time is that of now.
            Last::Times(mtime) => drop(futimens(&self.fd, &times(mtime))),
            Last::All(entry) => self.maker.finish(&self.fd, &entry, false),
        }
    }
}

/// The folders from the root down to where the stream is.
pub(crate) struct Place {
    maker: Arc<Maker>,
    root: Arc<Folder>,
    path: Vec<u8>,
    open: Vec<(usize, Arc<Folder>)>,
}

impl Place {
    pub(crate) fn new(root: Arc<Folder>, maker: Arc<Maker>) -> Place {
        Place { maker, root, path: Vec::new(), open: Vec::new() }
    }

    /// The folder of that path; folders that nobody told of are made. `settle` is called before a
    /// folder is opened that was left before: it may not be finished yet.
    pub(crate) fn enter(&mut self, path: &[u8], settle: &mut dyn FnMut()) -> Result<Arc<Folder>, Errno> {
        self.leave_for(path);
        let mut at = self.open.last().map_or(0, |&(length, _)| length);
        while at < path.len() {
            let begin = if at == 0 { 0 } else { at + 1 };
            let end = path[begin..].iter().position(|&byte| byte == b'/').map_or(path.len(), |slash| begin + slash);
            let above = Arc::clone(self.current());
            let (fd, is_new) = make_or_open(&above, &path[begin..end], settle)?;
            let last = if is_new { Last::Nothing } else { Last::Times(mtime(&fd)?) };
            if is_new {
                // What nobody told of is as people expect it.
                self.maker.check(&path[..end], What::Mode, rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755)));
            }
            self.go_down(&path[..end], Folder::new(fd, last, Arc::clone(&self.maker), Some(above)));
            at = end;
        }
        Ok(Arc::clone(self.current()))
    }

    /// Makes a folder, or takes the one that is there; it gets all of the entry in the end.
    pub(crate) fn make(&mut self, entry: Entry, settle: &mut dyn FnMut()) -> Result<(), Errno> {
        if entry.path.is_empty() {
            self.root.set_last(Last::All(Box::new(entry)));
            return Ok(());
        }
        self.leave_for(&entry.path);
        if self.open.last().is_some_and(|&(length, _)| length == entry.path.len()) {
            self.current().set_last(Last::All(Box::new(entry)));
            return Ok(());
        }
        let (above, name) = root::split(&entry.path);
        let above = self.enter(above, settle)?;
        let (fd, _) = make_or_open(&above, name, settle)?;
        let path = entry.path.clone();
        self.go_down(&path, Folder::new(fd, Last::All(Box::new(entry)), Arc::clone(&self.maker), Some(above)));
        Ok(())
    }

    /// The folder that all is written into.
    pub(crate) fn root_fd(&self) -> BorrowedFd<'_> {
        self.root.fd()
    }

    fn current(&self) -> &Arc<Folder> {
        self.open.last().map_or(&self.root, |(_, folder)| folder)
    }

    fn go_down(&mut self, path: &[u8], folder: Arc<Folder>) {
        self.path.clear();
        self.path.extend_from_slice(path);
        self.open.push((path.len(), folder));
    }

    /// Leaves the folders that are not on the way to `path`, the deepest first.
    fn leave_for(&mut self, path: &[u8]) {
        let shared = root::shared_folders(&self.path, path);
        while self.open.last().is_some_and(|&(length, _)| length > shared) {
            self.open.pop();
        }
        let length = self.open.last().map_or(0, |&(length, _)| length);
        self.path.truncate(length);
    }

    /// Leaves all folders.
    pub(crate) fn leave(&mut self) {
        self.leave_for(b"");
    }
}

fn make_or_open(above: &Folder, name: &[u8], settle: &mut dyn FnMut()) -> Result<(OwnedFd, bool), Errno> {
    let is_new = match mkdirat(above.fd(), name, Mode::from_raw_mode(0o700)) {
        Ok(()) => true,
        Err(Errno::EXIST) => {
            settle();
            false
        }
        Err(error) => return Err(error),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok((openat(above.fd(), name, flags, Mode::empty())?, is_new))
}

fn mtime(fd: &OwnedFd) -> Result<Time, Errno> {
    root::stat_of(fd).map(|stat| root::entry_of(b"", Kind::Directory, &stat).mtime)
}

/// The path of a member below the folder that is written: `strip` is taken off its front, and what would lead
/// elsewhere is refused.
pub(crate) fn below(path: &[u8], strip: &[u8]) -> Result<Vec<u8>, Trouble> {
    let wrong = |what| Trouble::new(path, what);
    let inner = path.strip_prefix(b"./").unwrap_or(path);
    let inner = if inner == b"." { b"" } else { inner };
    let inner = match inner.strip_prefix(strip).ok_or_else(|| wrong(What::Name))? {
        rest if strip.is_empty() || rest.is_empty() => rest,
        rest => rest.strip_prefix(b"/").ok_or_else(|| wrong(What::Name))?,
    };
    let mut parts = inner.split(|&byte| byte == b'/');
    if !inner.is_empty() && parts.any(|part| matches!(part, b"" | b"." | b"..") || part.contains(&0)) {
        return Err(wrong(What::Name));
    }
    let depth = inner.iter().filter(|&&byte| byte == b'/').count();
    if inner.len() > PATH_MAX || depth > DEPTH_MAX {
        return Err(wrong(What::TooLong));
    }
    Ok(inner.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for (path, strip, inner) in [
            (".", "", ""),
            ("./a", "", "a"),
            ("a/b", "", "a/b"),
            ("v", "v", ""),
            ("v/a", "v", "a"),
            ("./v/a", "v", "a"),
            ("...", "", "..."),
            ("a/..b", "", "a/..b"),
        ] {
            assert_eq!(below(path.as_bytes(), strip.as_bytes()).unwrap(), inner.as_bytes(), "{path} {strip}");
        }
        for (path, strip) in [
            ("/a", ""),
            ("..", ""),
            ("a/../b", ""),
            ("a//b", ""),
            ("a/.", ""),
            ("./../a", ""),
            ("a\0b", ""),
            ("va", "v"),
            ("w/a", "v"),
            ("v/../a", "v"),
            ("././a", ""),
        ] {
            assert!(below(path.as_bytes(), strip.as_bytes()).is_err(), "{path} {strip}");
        }
    }
}
