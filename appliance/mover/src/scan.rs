//! One folder at a time: its names in order, and what the system says of them.

use crate::{
    entry::{Entry, Kind, Time},
    root::{self, DEPTH_MAX, PATH_MAX, Root},
    trouble::{Trouble, What},
    xattr,
};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{RawDir, readlinkat},
    io::Errno,
};
use std::mem::MaybeUninit;

/// Names that are looked at in one go.
const BLOCK: usize = 512;

/// Bytes for the names that the system hands out at once.
const NAMES: usize = 64 << 10;

/// Names of a folder in byte order, in blocks; each name ends with a zero byte.
pub(crate) type Names = Vec<Vec<u8>>;

/// Settings of a walk that matter for one folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) cross_mounts: bool,
    pub(crate) unsettled_since: Option<Time>,
    pub(crate) stamp: Option<Time>,
}

/// One name, looked at.
#[derive(Debug)]
pub(crate) struct Found {
    /// The entry, unless it could not be looked at.
    pub(crate) entry: Option<Entry>,
    /// File system of the inode, to know hard links by.
    pub(crate) device: (u32, u32),
    /// Whether the walk goes on below it.
    pub(crate) is_open: bool,
    /// What is wrong with it.
    pub(crate) trouble: Option<Trouble>,
}

/// Reads the names of an open folder.
pub(crate) fn names(folder: impl AsFd) -> Result<Names, Errno> {
    let mut buffer = vec![MaybeUninit::uninit(); NAMES];
    let mut text = Vec::new();
    let mut places = Vec::new();
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes_with_nul();
        if name != b".\0" && name != b"..\0" {
            places.push(text.len()..text.len() + name.len());
            text.extend_from_slice(name);
        }
    }
    places.sort_unstable_by(|one, other| text[one.clone()].cmp(&text[other.clone()]));
    let block = |places: &[std::ops::Range<usize>]| {
        let parts: Vec<&[u8]> = places.iter().map(|place| &text[place.clone()]).collect();
        parts.concat()
    };
    Ok(places.chunks(BLOCK).map(block).collect())
}

/// Looks at a block of names of an open folder, whose own path is given.
pub(crate) fn look(
    root: &Root,
    rules: Rules,
    folder: &OwnedFd,
    path: &[u8],
    block: &[u8],
    xattrs: &mut xattr::Reader,
) -> Vec<Found> {
    let names = block.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names.filter_map(|name| look_at(root, rules, folder, &below(path, name), name, xattrs)).collect()
}

/// What the system says of the root itself.
pub(crate) fn look_at_root(root: &Root, rules: Rules) -> Found {
    let entry = root::entry_of(b"", Kind::Directory, root.stat());
    let attributes = xattr::Reader::new().of(root.fd());
    finish(entry, rules, attributes, (0, 0), true)
}

fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

/// `None` if it is gone: then it never was.
fn look_at(
    root: &Root,
    rules: Rules,
    folder: &OwnedFd,
    path: &[u8],
    name: &[u8],
    xattrs: &mut xattr::Reader,
) -> Option<Found> {
    let stat = match root::stat_at(folder, name) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return None,
        Err(error) => return Some(lost(Trouble::of(path, What::Unreadable, error))),
    };
    let Some(kind) = root::kind_of(&stat) else { return Some(lost(Trouble::new(path, What::Unreadable))) };
    if path.len() > PATH_MAX || (kind == Kind::Directory && depth(path) > DEPTH_MAX) {
        return Some(lost(Trouble::new(path, What::TooLong)));
    }
    let is_near = root.is_same_mount(&stat);
    let is_ours = is_near || (rules.cross_mounts && !(kind == Kind::Directory && root.is_of_the_system(folder, name)));
    // Only the root's own file system was written back before the walk.
    let unsettled_since = rules.unsettled_since.map(|since| if is_near { since } else { Time::MIN });
    let rules = Rules { unsettled_since, ..rules };
    if !is_ours && kind != Kind::Directory {
        return Some(lost(Trouble::new(path, What::Mount)));
    }
    let mut entry = root::entry_of(path, kind, &stat);
    if kind == Kind::Symlink {
        match readlinkat(folder, name, Vec::new()) {
            Ok(target) => entry.link = target.to_bytes().into(),
            Err(Errno::NOENT) => return None,
            Err(error) => return Some(lost(Trouble::of(path, What::Unreadable, error))),
        }
    }
    let attributes = xattrs.at(root, folder, name, kind);
    Some(finish(entry, rules, attributes, (stat.stx_dev_major, stat.stx_dev_minor), is_ours))
}

fn finish(
    mut entry: Entry,
    rules: Rules,
    attributes: Result<Vec<crate::entry::Xattr>, Errno>,
    device: (u32, u32),
    is_ours: bool,
) -> Found {
    let since = rules.unsettled_since.filter(|&since| entry.ctime >= since);
    entry.unsettled = since.map(|since| rules.stamp.unwrap_or(since));
    let mut trouble = None;
    match attributes {
        Ok(attributes) => {
            // A block of attributes is counted like one of content.
            entry.may_have_holes |= !attributes.is_empty() && entry.size > 0;
            entry.xattrs = attributes;
        }
        // It went between two questions; reading it will tell.
        Err(Errno::NOENT) => {}
        Err(error) => trouble = Some(Trouble::of(&entry.path, What::Attributes, error)),
    }
    if !is_ours {
        trouble = Some(Trouble::new(&entry.path, What::Mount));
    }
    let is_open = entry.kind == Kind::Directory && is_ours;
    Found { entry: Some(entry), device, is_open, trouble }
}

fn lost(trouble: Trouble) -> Found {
    Found { entry: None, device: (0, 0), is_open: false, trouble: Some(trouble) }
}

fn depth(path: &[u8]) -> usize {
    path.iter().filter(|&&byte| byte == b'/').count() + 1
}
