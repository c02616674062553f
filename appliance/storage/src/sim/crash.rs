//! What a power cut leaves of a world: everything that lasts, and a choice of what is in doubt.

use super::world::{self, FileState, FolderState, Lasting, ROOT, World};
use super::{Dice, Inode};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Something that may survive or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loose {
    /// A change of a folder: the folder, the number of the change.
    Entry(u64, usize),
    /// What was appended to a file since its last fsync: the file, bytes.
    Data(u64, u64),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// On the medium.
    Kept,
    /// Not on the medium.
    Lost,
    /// Data: only the first bytes, and the file ends there.
    Torn(u64),
    /// Data: the size is right, but these bytes (from, to) are zeros: later sectors were written before.
    Hole(u64, u64),
}

impl Fate {
    /// A fate by dice; sectors of 512 and pages of 4096 bytes tear.
    pub fn random(loose: Loose, dice: &mut Dice) -> Fate {
        let Loose::Data(_, size) = loose else {
            return if dice.below(2) == 0 { Fate::Kept } else { Fate::Lost };
        };
        let grain = if dice.below(2) == 0 { 512 } else { 4096 };
        let mut place = || dice.below(size / grain + 1) * grain;
        let (one, other) = (place(), place());
        match dice.below(4) {
            0 => Fate::Kept,
            1 => Fate::Lost,
            2 => Fate::Torn(one),
            _ => Fate::Hole(one.min(other), (one.max(other) + grain).min(size)),
        }
    }
}

impl World {
    /// What a power cut would leave to chance, in the order in which it was done.
    pub fn loose(&self) -> Vec<Loose> {
        let mut loose = Vec::new();
        for (inode, folder) in &self.folders {
            let open = folder.pending.iter().enumerate().filter(|(_, change)| change.lasting != Lasting::Yes);
            loose.extend(open.map(|(number, _)| Loose::Entry(*inode, number)));
        }
        for (inode, file) in &self.files {
            let size: u64 = file.pending.iter().map(|part| part.len() as u64).sum();
            if size > 0 {
                loose.push(Loose::Data(*inode, size));
            }
        }
        loose
    }

    /// The world after a power cut; what `fates` does not name is kept. Nothing is in doubt in it.
    pub fn after_cut(&self, fates: &[(Loose, Fate)]) -> World {
        let fate_of = |loose: Loose| fates.iter().find(|(other, _)| *other == loose).map_or(Fate::Kept, |(_, f)| *f);
        let mut after = World { files: BTreeMap::new(), folders: BTreeMap::new(), next: self.next };
        let mut open = vec![ROOT];
        let mut seen = BTreeSet::from([ROOT]);
        while let Some(inode) = open.pop() {
            if let Some(folder) = self.folders.get(&inode) {
                let entries = survivors(inode, folder, &fate_of);
                open.extend(entries.values().copied().filter(|next| seen.insert(*next)));
                let folder = FolderState { current: entries.clone(), durable: entries, pending: Vec::new() };
                after.folders.insert(inode, Arc::new(folder));
            } else if let Some(file) = self.files.get(&inode) {
                after.files.insert(inode, contents(inode, file, &fate_of));
            }
        }
        after
    }

    /// All files by path, as a running system sees them: to compare worlds.
    pub fn files(&self) -> BTreeMap<String, Vec<Bytes>> {
        let mut found = BTreeMap::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, inode)) = open.pop() {
            let Some(folder) = self.folders.get(&inode) else { continue };
            for (name, next) in &folder.current {
                let path = format!("{path}/{name}");
                match self.files.get(next) {
                    Some(file) => drop(found.insert(path, file.parts().cloned().collect())),
                    None => open.push((path, *next)),
                }
            }
        }
        found
    }
}

fn survivors(inode: Inode, folder: &FolderState, fate_of: &impl Fn(Loose) -> Fate) -> BTreeMap<String, Inode> {
    let mut entries = folder.durable.clone();
    for (number, change) in folder.pending.iter().enumerate() {
        if change.lasting == Lasting::Yes || fate_of(Loose::Entry(inode, number)) == Fate::Kept {
            world::put(&mut entries, change);
        }
    }
    entries
}

fn contents(inode: Inode, file: &Arc<FileState>, fate_of: &impl Fn(Loose) -> Fate) -> Arc<FileState> {
    if file.pending.is_empty() {
        return Arc::clone(file);
    }
    let mut tail: Vec<u8> = file.pending.concat();
    match fate_of(Loose::Data(inode, tail.len() as u64)) {
        Fate::Kept => {}
        Fate::Lost => tail.clear(),
        Fate::Torn(at) => tail.truncate(clamp(at, tail.len())),
        Fate::Hole(from, to) => {
            let to = clamp(to, tail.len());
            tail[clamp(from, to)..to].fill(0);
        }
    }
    let mut durable = file.durable.clone();
    durable.push(tail.into());
    Arc::new(FileState { durable, pending: Vec::new(), given_up: false })
}

fn clamp(at: u64, end: usize) -> usize {
    usize::try_from(at).unwrap_or(end).min(end)
}
