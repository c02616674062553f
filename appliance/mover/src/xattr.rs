//! Extended attributes of anything, read without opening it.
//!
//! Names in an open folder are reached through `/proc/self/fd/N/name`: the folder cannot be swapped, the name
//! is not followed, and nothing is opened, so pipes, sockets, devices and links have attributes too. Where there
//! is no `/proc`, only files and folders can be asked, by opening them.
//!
//! What is carried: `user.*`, `trusted.*` but the layers' own (`trusted.overlay.*`), `security.capability`,
//! `system.posix_acl_*`. Labels of security modules belong to the host, not to the tree.

use crate::{
    entry::{Kind, Xattr},
    root::Root,
};
use rustix::{
    fd::{AsFd, AsRawFd},
    fs::{
        CWD, OFlags, fgetxattr, flistxattr, flistxattr_query, fstat, lgetxattr, llistxattr, llistxattr_query, openat,
    },
    io::Errno,
};

/// Longest list of names and longest value, as the kernel bounds both.
const LIMIT: usize = 64 << 10;

/// Bytes that all attributes of one entry may take in its header, with room for names and holes: readers of tars, our own
/// too, give a stream up whose headers are longer than a megabyte. XFS would let anybody who may write a file make them so.
const TOGETHER: usize = 768 << 10;
/// What a record adds to name and value at most; signs that are escaped in names take three bytes.
const AROUND: usize = 32;

/// Length that most values do not exceed.
const SHORT: usize = 256;

/// The access control list of a file.
pub(crate) const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";
/// Capabilities of a program; lost by any change of owner or content.
pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// Whether an attribute is carried.
pub(crate) fn is_carried(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || (name.starts_with(b"trusted.") && !name.starts_with(b"trusted.overlay."))
        || name == CAPABILITY
        || name.starts_with(b"system.posix_acl_")
}

/// Whether `/proc` shows this very folder under its number.
pub(crate) fn has_proc(folder: impl AsFd) -> bool {
    let path = format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd());
    let Ok(own) = fstat(&folder) else { return false };
    let seen = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, rustix::fs::Mode::empty()).and_then(fstat);
    seen.is_ok_and(|seen| (seen.st_dev, seen.st_ino) == (own.st_dev, own.st_ino))
}

/// The path of a name in an open folder.
pub(crate) fn proc_path(path: &mut Vec<u8>, folder: impl AsFd, name: &[u8]) {
    path.clear();
    path.extend_from_slice(b"/proc/self/fd/");
    path.extend_from_slice(folder.as_fd().as_raw_fd().to_string().as_bytes());
    path.push(b'/');
    path.extend_from_slice(name);
}

/// Reads attributes; keeps its buffers from one file to the next.
#[derive(Debug)]
pub(crate) struct Reader {
    path: Vec<u8>,
    list: Box<[u8]>,
    value: Box<[u8]>,
}

impl Reader {
    pub(crate) fn new() -> Reader {
        Reader { path: Vec::new(), list: vec![0; LIMIT].into(), value: vec![0; LIMIT].into() }
    }

    /// Attributes of a name in an open folder, in the order of their names.
    pub(crate) fn at(&mut self, root: &Root, folder: impl AsFd, name: &[u8], kind: Kind) -> Result<Vec<Xattr>, Errno> {
        if !root.has_proc() {
            return match kind {
                Kind::File => self.of(root.open_file(folder, name)?),
                Kind::Directory => self.of(root.open_folder(folder, name)?),
                _ => Ok(Vec::new()),
            };
        }
        proc_path(&mut self.path, folder, name);
        let path = self.path.as_slice();
        let list = match llistxattr_query(path) {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
            // The list may have grown.
            _ => llistxattr(path, &mut self.list[..])?,
        };
        collect(&self.list[..list], &mut self.value, |name, value| lgetxattr(path, name, value))
    }

    /// Attributes of something open.
    pub(crate) fn of(&mut self, fd: impl AsFd) -> Result<Vec<Xattr>, Errno> {
        let list = match flistxattr_query(&fd) {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
            _ => flistxattr(&fd, &mut self.list[..])?,
        };
        collect(&self.list[..list], &mut self.value, |name, value| fgetxattr(&fd, name, value))
    }
}

fn collect(
    list: &[u8],
    buffer: &mut [u8],
    read: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<Xattr>, Errno> {
    let mut all: Vec<Xattr> = Vec::new();
    let mut together = 0;
    for name in list.split(|&byte| byte == 0).filter(|name| is_carried(name)) {
        // The kernel clears as much memory as the buffer has; most values are short.
        let value = match read(name, &mut buffer[..SHORT]) {
            Err(Errno::RANGE) => read(name, buffer),
            other => other,
        };
        match value {
            Ok(length) => {
                together += 3 * name.len() + length + AROUND;
                if together > TOGETHER {
                    return Err(Errno::TOOBIG);
                }
                all.push((name.into(), buffer[..length].into()));
            }
            // Taken away meanwhile.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    all.sort_unstable();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_fit_a_header_or_are_told() {
        let read = |_: &[u8], buffer: &mut [u8]| {
            buffer.get_mut(..60_000).map(|value| value.fill(7)).map(|()| 60_000).ok_or(Errno::RANGE)
        };
        let list = |count: usize| (0..count).flat_map(|n| format!("user.{n:02}\0").into_bytes()).collect::<Vec<u8>>();
        let mut buffer = vec![0; LIMIT];
        for (count, fits) in [(13, true), (14, false)] {
            let collected = collect(&list(count), &mut buffer, read);
            assert_eq!(collected.as_ref().map(Vec::len).ok(), fits.then_some(count));
            if let Ok(xattrs) = collected {
                let mut entry = crate::Entry::new(&[b'p'; 4000], Kind::File);
                entry.xattrs = xattrs;
                assert!(crate::header(b"v", &entry).len() < 1 << 20);
            } else {
                assert_eq!(collected, Err(Errno::TOOBIG));
            }
        }
    }
}
