//! Unfinished files: written and fsynced aside, then renamed to their name.
//!
//! All lie in one folder of the same file system, as `<slot>.<number>`. Each opener holds the lock of its own
//! slot, so that a later one can tell what a crash left (removed) from what another process is writing.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind as Io, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where they lie, below the store's folder. No key can have this name.
pub(super) const FOLDER: &str = ".tmp";

/// The unfinished files of one opener.
pub(super) struct Drafts {
    folder: PathBuf,
    slot: u64,
    next: AtomicU64,
    /// Held as long as the store is open.
    _lock: File,
}

/// An unfinished file; removed when dropped, unless it was renamed.
pub(super) struct Draft(PathBuf);

impl Drafts {
    /// Takes a slot and removes what nobody is writing any more.
    pub(super) fn open(root: &Path) -> io::Result<Drafts> {
        let folder = root.join(FOLDER);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(e) if e.kind() != Io::AlreadyExists => return Err(e),
            _ => {}
        }
        let (slot, lock) = free_slot(&folder)?;
        sweep(&folder, slot)?;
        Ok(Drafts { folder, slot, next: AtomicU64::new(0), _lock: lock })
    }

    /// Writes and fsyncs a file. If that fails, the file is abandoned.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<Draft> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let draft = Draft(self.folder.join(format!("{}.{number}", self.slot)));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft.0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Draft {
    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// The first slot whose lock nobody holds.
fn free_slot(folder: &Path) -> io::Result<(u64, File)> {
    for slot in 0.. {
        if let Some(lock) = lock(folder, slot)? {
            return Ok((slot, lock));
        }
    }
    Err(io::Error::other("no slot is free"))
}

/// The lock of a slot, or `None` if somebody holds it. A file system without locks has one opener only.
fn lock(folder: &Path, slot: u64) -> io::Result<Option<File>> {
    let path = folder.join(format!("{slot}.lock"));
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(_)) | Ok(()) => Ok(Some(file)),
    }
}

/// Removes the drafts of all slots that nobody holds, our own included, and what is no draft at all.
fn sweep(folder: &Path, own: u64) -> io::Result<()> {
    let mut held = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let (slot, rest) = name.to_str().and_then(|name| name.split_once('.')).unwrap_or_default();
        if rest == "lock" {
            continue;
        }
        // Kept until the file is removed, so that nobody takes the slot meanwhile.
        let _lock = match slot.parse() {
            Ok(slot) if slot == own => None,
            Ok(slot) if held.contains(&slot) => continue,
            Ok(slot) => match lock(folder, slot)? {
                None => {
                    held.insert(slot);
                    continue;
                }
                lock => lock,
            },
            Err(_) => None,
        };
        remove(&entry.path());
    }
    Ok(())
}

/// A leftover that cannot be removed does no harm but for its space.
fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(e) if e.kind() != Io::NotFound => {
            tracing::warn!(file = %path.display(), error = %e, "an unfinished file stays until the next start");
        }
        _ => {}
    }
}
