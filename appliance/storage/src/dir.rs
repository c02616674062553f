//! A store in a folder: the cache of an appliance.
//!
//! Invariants (law L2): an object appears under its name only when its bytes are fsynced, and `put`
//! returns only when the folder entries that lead to it are fsynced too. A file whose fsync failed is
//! abandoned, never fsynced again: the kernel may have dropped the pages and would say yes.
//! Unfinished files live in `.tmp`, a name no key can have (see `draft`). Several processes may have a folder
//! open; `Once` is decided among the writers of one process only.

mod draft;

use crate::disk::{Disk, Facts, RealDisk, Sort};
use crate::{ObjectInfo, PutMode, Store, key, words};
use async_trait::async_trait;
use bytes::Bytes;
use draft::Drafts;
use holdfast_model::{Error, Kind, Result};
use std::collections::HashSet;
use std::io::{self, ErrorKind as Io};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Objects as files below a folder, readable by the owner only.
#[derive(Clone)]
pub struct DirStore {
    folder: Arc<Folder>,
}

struct Folder {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    drafts: Drafts,
    shelf: Mutex<Shelf>,
}

/// What must be decided by one thread at a time.
#[derive(Default)]
struct Shelf {
    /// Folders whose own entry is known to be on disk. Bounded by the number of folders.
    durable: HashSet<PathBuf>,
    /// Objects whose folder entry, or whose removal, could not be fsynced: `Once` and `delete` do not trust them.
    doubtful: HashSet<String>,
}

impl DirStore {
    /// Opens a folder, making it if need be, and removes what unfinished writes left.
    ///
    /// `Denied` (`disk.denied`, `disk.read_only`), `Full` (`disk.full`), `Unavailable` (`disk.failed`).
    pub fn open(root: impl AsRef<Path>) -> Result<DirStore> {
        DirStore::open_on(Arc::new(RealDisk), root)
    }

    /// Opens a folder of any file system.
    pub fn open_on(disk: Arc<dyn Disk>, root: impl AsRef<Path>) -> Result<DirStore> {
        let root = std::path::absolute(root.as_ref()).map_err(|e| failure("name the folder of the store", e))?;
        let opening = |e| failure(&format!("open the folder {}", root.display()), e);
        disk.make_folders(&root).map_err(opening)?;
        let drafts = Drafts::open(Arc::clone(&disk), &root).map_err(opening)?;
        for ancestor in root.ancestors() {
            // Folders that we may not open were not made by us just now.
            match disk.sync_folder(ancestor) {
                Err(e) if e.kind() != Io::PermissionDenied => return Err(opening(e)),
                _ => {}
            }
        }
        let folder = Folder { disk, root, drafts, shelf: Mutex::default() };
        Ok(DirStore { folder: Arc::new(folder) })
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Folder) -> Result<T> + Send + 'static) -> Result<T> {
        let folder = self.folder.clone();
        match tokio::task::spawn_blocking(move || work(&folder)).await {
            Ok(result) => result,
            Err(e) => Err(Error::bug("the work on a file of the store did not end properly").caused_by(e)),
        }
    }
}

impl std::fmt::Debug for DirStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DirStore({})", self.folder.root.display())
    }
}

#[async_trait]
impl Store for DirStore {
    fn place(&self) -> String {
        self.folder.root.display().to_string()
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        key::check(key)?;
        let key = key.to_owned();
        self.blocking(move |folder| folder.put(&key, &bytes, mode)).await
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        key::check(key)?;
        let key = key.to_owned();
        self.blocking(move |folder| folder.read(&key, None)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        key::check(key)?;
        let key = key.to_owned();
        self.blocking(move |folder| folder.read(&key, Some(range))).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        key::check(key)?;
        let key = key.to_owned();
        self.blocking(move |folder| {
            Ok(folder.facts(&key)?.map(|facts| ObjectInfo::new(key, facts.size).at(facts.modified)))
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        key::check_prefix(prefix)?;
        let prefix = prefix.to_owned();
        self.blocking(move |folder| folder.list(&prefix)).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        key::check(key)?;
        let key = key.to_owned();
        self.blocking(move |folder| folder.delete(&key)).await
    }
}

impl Folder {
    fn put(&self, key: &str, bytes: &[u8], mode: PutMode) -> Result<()> {
        let writing = |e| failure(&format!("store {key}"), e);
        let path = self.root.join(key);
        let parent = path.parent().unwrap_or(&self.root);
        if mode == PutMode::Once && self.is_settled(key, bytes.len() as u64)? {
            // Its bytes were fsynced before it got its name; its entry perhaps not yet.
            self.make_durable(parent).map_err(writing)?;
            return self.settle_found(key, parent);
        }
        let draft = self.drafts.write(bytes).map_err(writing)?;
        self.make_durable(parent).map_err(writing)?;
        let found = {
            let shelf = self.shelf();
            // Asked again under the lock: another writer of the same name may have been faster.
            let there = if mode == PutMode::Once && !shelf.doubtful.contains(key) { self.size(key)? } else { None };
            match there {
                Some(there) if there != bytes.len() as u64 => {
                    return Err(words::differs(key, there, bytes.len() as u64));
                }
                Some(_) => true,
                None => {
                    self.disk.rename(draft.path(), &path).map_err(writing)?;
                    false
                }
            }
        };
        match (found, mode) {
            (true, _) => self.settle_found(key, parent),
            (false, PutMode::Once) => self.settle_new(key, parent, &path).map_err(writing),
            (false, PutMode::Replace) => self.settle(key, parent).map_err(writing),
        }
    }

    /// Whether `Once` may keep what is there.
    fn is_settled(&self, key: &str, ours: u64) -> Result<bool> {
        if self.shelf().doubtful.contains(key) {
            return Ok(false);
        }
        match self.size(key)? {
            Some(there) if there == ours => Ok(true),
            Some(there) => Err(words::differs(key, there, ours)),
            None => Ok(false),
        }
    }

    /// Fsyncs the folder entry of an object, or marks the object as doubtful.
    fn settle(&self, key: &str, parent: &Path) -> io::Result<()> {
        let synced = self.disk.sync_folder(parent);
        let mut shelf = self.shelf();
        match synced {
            Ok(()) => shelf.doubtful.remove(key),
            Err(_) => shelf.doubtful.insert(key.to_owned()),
        };
        synced
    }

    /// Settles an object that there was not before. If its entry cannot be fsynced it is taken away again: the mark ends with
    /// this process, and the next one would take for durable what a power cut undoes, a second fsync proving nothing.
    fn settle_new(&self, key: &str, parent: &Path, path: &Path) -> io::Result<()> {
        let settled = self.settle(key, parent);
        if settled.is_err() {
            let shelf = self.shelf();
            if shelf.doubtful.contains(key) {
                // The caller is told that it is not stored; the mark stays, should it not go either.
                let _ = self.disk.remove_file(path);
            }
        }
        settled
    }

    /// Settles an object that somebody else made, who may have had to take it away again.
    fn settle_found(&self, key: &str, parent: &Path) -> Result<()> {
        let writing = |e| failure(&format!("store {key}"), e);
        self.settle(key, parent).map_err(writing)?;
        match self.size(key)? {
            Some(_) => Ok(()),
            None => Err(writing(io::Error::other("another writer could not bring it onto the medium"))),
        }
    }

    /// Makes a folder and all folders above it, each with a durable entry.
    fn make_durable(&self, folder: &Path) -> io::Result<()> {
        if folder == self.root || self.shelf().durable.contains(folder) {
            return Ok(());
        }
        let above = folder.parent().unwrap_or(&self.root);
        self.make_durable(above)?;
        let made = match self.disk.make_folder(folder) {
            Ok(()) => true,
            Err(e) if e.kind() == Io::AlreadyExists => false,
            Err(e) => return Err(e),
        };
        // Also when it was there: who made it may not have come as far as the fsync.
        if let Err(e) = self.disk.sync_folder(above) {
            if made {
                // Taken away while it is empty, so that the next try makes a new entry: a second fsync of this
                // one would prove nothing. If it cannot be, it is no worse than before.
                let _ = self.disk.remove_folder(folder);
            }
            return Err(e);
        }
        self.shelf().durable.insert(folder.to_owned());
        Ok(())
    }

    fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        let reading = |e: io::Error| match e.kind() {
            Io::NotFound | Io::NotADirectory | Io::IsADirectory => words::missing(key),
            _ => failure(&format!("read {key}"), e),
        };
        let file = self.disk.open(&self.root.join(key)).map_err(reading)?;
        let facts = file.facts().map_err(reading)?;
        if facts.sort != Sort::File {
            return Err(words::missing(key));
        }
        let range = range.unwrap_or(0..facts.size);
        if range.start > range.end {
            return Err(words::bad_range(key, &range));
        }
        if range.end > facts.size {
            return Err(words::short(key, &range, facts.size));
        }
        let length = usize::try_from(range.end - range.start).map_err(|_| words::bad_range(key, &range))?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, range.start).map_err(|e| match e.kind() {
            Io::UnexpectedEof => words::short(key, &range, facts.size),
            _ => reading(e),
        })?;
        Ok(bytes.into())
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        Ok(self.facts(key)?.map(|facts| facts.size))
    }

    fn facts(&self, key: &str) -> Result<Option<Facts>> {
        match self.disk.look(&self.root.join(key)) {
            Ok(facts) => Ok((facts.sort == Sort::File).then_some(facts)),
            Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory) => Ok(None),
            Err(e) => Err(failure(&format!("look for {key}"), e)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let mut found = Vec::new();
        let mut folders = vec![key::split_prefix(prefix).0.to_owned()];
        while let Some(folder) = folders.pop() {
            let listing = |e| failure(&format!("list {}", self.root.join(&folder).display()), e);
            let entries = match self.disk.entries(&self.root.join(&folder)) {
                Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory) => continue,
                entries => entries.map_err(listing)?,
            };
            for entry in entries {
                let entry = entry.map_err(listing)?;
                // Names that are no keys were not put here by us.
                let Some(name) = entry.name.to_str().filter(|name| key::is_part(name)) else { continue };
                let key = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                match entry.facts {
                    Ok(facts) if facts.sort == Sort::Folder && leads_to(&key, prefix) => folders.push(key),
                    Ok(facts) if facts.sort == Sort::File && key.starts_with(prefix) => {
                        found.push(ObjectInfo::new(key, facts.size).at(facts.modified));
                    }
                    // Removed since the folder was read.
                    Err(e) if e.kind() != Io::NotFound => return Err(listing(e)),
                    _ => {}
                }
            }
        }
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn delete(&self, key: &str) -> Result<()> {
        let deleting = |e| failure(&format!("delete {key}"), e);
        let path = self.root.join(key);
        let parent = path.parent().unwrap_or(&self.root);
        if self.size(key)?.is_none() {
            if !self.shelf().doubtful.contains(key) {
                return Ok(());
            }
            // It was removed, and the fsync of that failed. A second one would prove nothing: there must be a new removal.
            let draft = self.drafts.write(&[]).map_err(deleting)?;
            self.disk.rename(draft.path(), &path).map_err(deleting)?;
        }
        match self.disk.remove_file(&path) {
            Err(e) if e.kind() != Io::NotFound => return Err(deleting(e)),
            _ => {}
        }
        self.settle(key, parent).map_err(deleting)
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Both sets are only ever changed by single operations: a poisoned shelf is still whole.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether keys below the folder `key` can begin with `prefix`.
fn leads_to(key: &str, prefix: &str) -> bool {
    if prefix.len() <= key.len() {
        return key.starts_with(prefix);
    }
    prefix.starts_with(key) && prefix.as_bytes()[key.len()] == b'/'
}

/// An I/O error of the disk, in words that speak of the user's data.
fn failure(doing: &str, e: io::Error) -> Error {
    let error = match e.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Error::new(
            Kind::Full,
            "disk.full",
            format!("no space left on the disk to {doing}; nothing that was stored before is hurt"),
        )
        .advice("free or add space on the appliance's disk, or shorten how long backups stay local"),
        Io::PermissionDenied => Error::new(Kind::Denied, "disk.denied", format!("not allowed to {doing}"))
            .advice("the appliance's data folder must belong to the user it runs as"),
        Io::ReadOnlyFilesystem => {
            Error::new(Kind::Denied, "disk.read_only", format!("the disk is read-only, cannot {doing}"))
                .advice("file systems become read-only after disk errors: look into the system's log")
        }
        Io::NotADirectory | Io::IsADirectory => {
            Error::new(Kind::Conflict, "object.clash", format!("a file is where a folder should be: cannot {doing}"))
        }
        _ => Error::new(Kind::Unavailable, "disk.failed", format!("the disk failed to {doing}"))
            .advice("look into the system's log for disk errors"),
    };
    error.caused_by(e)
}

#[cfg(test)]
mod tests;
