//! What nobody can replace: files and folders that the file system holds fast (`chattr +i`, `+a`).

use crate::{
    root::{self, DEPTH_MAX, PATH_MAX, Root},
    scan,
    trouble::{Trouble, What},
};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, CWD, FileType, Statx, StatxAttributes, StatxFlags, statx},
    io::Errno,
};
use std::{path::Path, sync::Arc};

/// Names that are told; whoever has so many knows what was done.
const TOLD: u64 = 20;

/// Tells what below a folder (or a file alone) is held fast. What cannot be looked at is passed over: whoever writes there
/// tells it. The answer is how many there are.
pub fn fixed(path: &Path, tell: &mut dyn FnMut(&Trouble)) -> Result<u64, Errno> {
    let stat = statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS)?;
    let mut seen = Seen { count: 0, tell };
    seen.look(b"", &stat);
    if FileType::from_raw_mode(u32::from(stat.stx_mode)) != FileType::Directory {
        return Ok(seen.count);
    }
    let root = Root::open(path)?;
    let above = Arc::new(root.open_folder(root.fd(), b".")?);
    let mut waiting = vec![Waiting { above, name: b".".to_vec(), path: Vec::new(), depth: 0 }];
    while let Some(Waiting { above, name, path, depth }) = waiting.pop() {
        let Ok(folder) = root.open_folder(&above, &name).map(Arc::new) else { continue };
        for block in scan::names(&folder).unwrap_or_default() {
            for name in block.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
                let Ok(stat) = root::stat_at(&folder, name) else { continue };
                let is_folder = FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::Directory;
                if !is_folder && !is_held(&stat) {
                    continue;
                }
                let path = if path.is_empty() { name.to_vec() } else { [&path, &b"/"[..], name].concat() };
                seen.look(&path, &stat);
                if is_folder && depth < DEPTH_MAX && path.len() <= PATH_MAX && root.is_same_mount(&stat) {
                    waiting.push(Waiting { above: Arc::clone(&folder), name: name.to_vec(), path, depth: depth + 1 });
                }
            }
        }
    }
    Ok(seen.count)
}

/// A folder that was not looked into. The one above it is open, so that no step leads through a link.
struct Waiting {
    above: Arc<OwnedFd>,
    name: Vec<u8>,
    path: Vec<u8>,
    depth: usize,
}

fn is_held(stat: &Statx) -> bool {
    stat.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND)
}

struct Seen<'a> {
    count: u64,
    tell: &'a mut dyn FnMut(&Trouble),
}

impl Seen<'_> {
    fn look(&mut self, path: &[u8], stat: &Statx) {
        if !is_held(stat) {
            return;
        }
        self.count += 1;
        if self.count <= TOLD {
            (self.tell)(&Trouble::new(path, What::Fixed));
        }
    }
}
