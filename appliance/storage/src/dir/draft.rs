//! Unfinished files: written and fsynced aside, then renamed to their name.
//!
//! All lie in one folder of the same file system, as `<slot>.<number>`. Each opener holds the lock of its own
//! slot, so that a later one can tell what a crash left (removed) from what another process is writing.

use crate::disk::{Disk, Lock};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind as Io};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where they lie, below the store's folder. No key can have this name.
pub(super) const FOLDER: &str = ".tmp";

/// The unfinished files of one opener.
pub(super) struct Drafts {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    slot: u64,
    next: AtomicU64,
    /// Held as long as the store is open.
    _lock: Lock,
}

/// An unfinished file; removed when dropped, unless it was renamed.
pub(super) struct Draft {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Drafts {
    /// Takes a slot and removes what nobody is writing any more.
    pub(super) fn open(disk: Arc<dyn Disk>, root: &Path) -> io::Result<Drafts> {
        let folder = root.join(FOLDER);
        match disk.make_folder(&folder) {
            Err(e) if e.kind() != Io::AlreadyExists => return Err(e),
            _ => {}
        }
        let (slot, lock) = free_slot(&*disk, &folder)?;
        sweep(&*disk, &folder, slot)?;
        Ok(Drafts { disk, folder, slot, next: AtomicU64::new(0), _lock: lock })
    }

    /// Writes and fsyncs a file. If that fails, the file is abandoned.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<Draft> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{}.{number}", self.slot));
        let mut file = self.disk.create(&path)?;
        let draft = Draft { disk: Arc::clone(&self.disk), path };
        file.write_all(bytes)?;
        file.sync()?;
        Ok(draft)
    }
}

impl Draft {
    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        remove(&*self.disk, &self.path);
    }
}

/// The first slot whose lock nobody holds.
fn free_slot(disk: &dyn Disk, folder: &Path) -> io::Result<(u64, Lock)> {
    for slot in 0.. {
        if let Some(lock) = disk.lock(&lock_of(folder, slot))? {
            return Ok((slot, lock));
        }
    }
    Err(io::Error::other("no slot is free"))
}

fn lock_of(folder: &Path, slot: u64) -> PathBuf {
    folder.join(format!("{slot}.lock"))
}

/// Removes the drafts of all slots that nobody holds, our own included, and what is no draft at all.
fn sweep(disk: &dyn Disk, folder: &Path, own: u64) -> io::Result<()> {
    let mut held = BTreeSet::new();
    for entry in disk.entries(folder)? {
        let name = entry?.name;
        let (slot, rest) = name.to_str().and_then(|name| name.split_once('.')).unwrap_or_default();
        if rest == "lock" {
            continue;
        }
        // Kept until the file is removed, so that nobody takes the slot meanwhile.
        let _lock = match slot.parse() {
            Ok(slot) if slot == own => None,
            Ok(slot) if held.contains(&slot) => continue,
            Ok(slot) => match disk.lock(&lock_of(folder, slot))? {
                None => {
                    held.insert(slot);
                    continue;
                }
                lock => lock,
            },
            Err(_) => None,
        };
        remove(disk, &folder.join(&name));
    }
    Ok(())
}

/// A leftover that cannot be removed does no harm but for its space.
fn remove(disk: &dyn Disk, path: &Path) {
    match disk.remove_file(path) {
        Err(e) if e.kind() != Io::NotFound => {
            tracing::warn!(file = %path.display(), error = %e, "an unfinished file stays until the next start");
        }
        _ => {}
    }
}
