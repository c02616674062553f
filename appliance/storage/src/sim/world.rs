//! The state of a simulated medium: what a running system sees, and what of it is certain to last.
//!
//! Invariant: a world is changed by [`DiskStep`]s alone, so a tape of them builds it again.

use super::{DiskStep, Inode, Spot};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The folder above all.
pub(crate) const ROOT: Inode = 0;

/// Files and folders.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) files: BTreeMap<Inode, Arc<FileState>>,
    pub(crate) folders: BTreeMap<Inode, Arc<FolderState>>,
    pub(crate) next: Inode,
}

/// A file: what lasts, and what was appended since.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileState {
    pub(crate) durable: Vec<Bytes>,
    pub(crate) pending: Vec<Bytes>,
    /// An fsync failed: what was pending then is in doubt for ever, whatever a later fsync says.
    pub(crate) given_up: bool,
}

impl FileState {
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Bytes> {
        self.durable.iter().chain(&self.pending)
    }

    pub(crate) fn size(&self) -> u64 {
        self.parts().map(|part| part.len() as u64).sum()
    }
}

/// A folder: the entries that last, and changes since.
#[derive(Clone, Debug, Default)]
pub(crate) struct FolderState {
    pub(crate) durable: BTreeMap<String, Inode>,
    pub(crate) pending: Vec<Change>,
    pub(crate) current: BTreeMap<String, Inode>,
}

/// A name that leads somewhere else now, or nowhere.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) target: Option<Inode>,
    pub(crate) lasting: Lasting,
}

/// Whether a change is on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// Not yet for certain; the next fsync decides.
    Perhaps,
    /// Its fsync failed: never certain.
    Doubtful,
    /// For certain.
    Yes,
}

impl Default for World {
    fn default() -> World {
        World { files: BTreeMap::new(), folders: BTreeMap::from([(ROOT, Arc::default())]), next: ROOT + 1 }
    }
}

impl FolderState {
    fn change(&mut self, name: &str, target: Option<Inode>) {
        match target {
            Some(target) => self.current.insert(name.to_owned(), target),
            None => self.current.remove(name),
        };
        self.pending.push(Change { name: name.to_owned(), target, lasting: Lasting::Perhaps });
    }

    fn sync(&mut self, succeeded: bool) {
        let lasting = if succeeded { Lasting::Yes } else { Lasting::Doubtful };
        for change in self.pending.iter_mut().filter(|change| change.lasting == Lasting::Perhaps) {
            change.lasting = lasting;
        }
        // A doubtful change that a lasting one of the same name follows does not matter any more.
        let overruled = |at: usize, all: &[Change]| {
            all[at + 1..].iter().any(|later| later.lasting == Lasting::Yes && later.name == all[at].name)
        };
        let all = std::mem::take(&mut self.pending);
        for (at, change) in all.iter().enumerate() {
            match change.lasting {
                Lasting::Yes => put(&mut self.durable, change),
                _ if overruled(at, &all) => {}
                _ => self.pending.push(change.clone()),
            }
        }
    }
}

pub(crate) fn put(entries: &mut BTreeMap<String, Inode>, change: &Change) {
    match change.target {
        Some(target) => entries.insert(change.name.clone(), target),
        None => entries.remove(&change.name),
    };
}

impl World {
    /// Does a step.
    pub fn apply(&mut self, step: &DiskStep) {
        match step {
            DiskStep::NewFile(spot, inode) => {
                self.files.insert(*inode, Arc::default());
                self.enter(spot, *inode);
            }
            DiskStep::NewFolder(spot, inode) => {
                self.folders.insert(*inode, Arc::default());
                self.enter(spot, *inode);
            }
            DiskStep::Append(inode, bytes) => self.file(*inode).pending.push(bytes.clone()),
            DiskStep::SyncFile(inode, succeeded) => {
                let file = self.file(*inode);
                if !succeeded {
                    file.given_up = true;
                } else if !file.given_up {
                    let pending = std::mem::take(&mut file.pending);
                    file.durable.extend(pending);
                }
            }
            DiskStep::SyncFolder(inode, succeeded) => self.folder(*inode).sync(*succeeded),
            DiskStep::Rename(from, to) => {
                let target = self.folder(from.folder).current.get(&from.name).copied();
                self.folder(from.folder).change(&from.name, None);
                self.folder(to.folder).change(&to.name, target);
            }
            DiskStep::Remove(spot) => self.folder(spot.folder).change(&spot.name, None),
        }
    }

    fn enter(&mut self, spot: &Spot, inode: Inode) {
        self.next = self.next.max(inode + 1);
        self.folder(spot.folder).change(&spot.name, Some(inode));
    }

    fn file(&mut self, inode: Inode) -> &mut FileState {
        Arc::make_mut(self.files.get_mut(&inode).expect("steps name files that were made"))
    }

    fn folder(&mut self, inode: Inode) -> &mut FolderState {
        Arc::make_mut(self.folders.get_mut(&inode).expect("steps name folders that were made"))
    }

    /// Where a path of names leads, as a running system sees it.
    pub(crate) fn find<'a>(&self, names: impl Iterator<Item = &'a str>) -> Lookup {
        let mut at = ROOT;
        for name in names {
            match self.folders.get(&at) {
                None => return Lookup::Blocked,
                Some(folder) => match folder.current.get(name) {
                    None => return Lookup::Missing,
                    Some(next) => at = *next,
                },
            }
        }
        Lookup::There(at)
    }

    /// Bytes of all files that have a name.
    pub(crate) fn used(&self) -> u64 {
        let named = self.folders.values().flat_map(|folder| folder.current.values());
        named.filter_map(|inode| self.files.get(inode)).map(|file| file.size()).sum()
    }
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    There(Inode),
    Missing,
    /// Something that is no folder is in the way.
    Blocked,
}
