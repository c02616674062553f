//! What the repository knows of itself while open: packs, where chunks lie, snapshots, small objects.
//!
//! Invariants: a chunk counts as known only if its pack lies in some tier; of two places the smaller
//! one is told, so that recipes of unchanged streams do not change; all of it is rebuilt at opening.

use crate::{
    layout::{self, PackKind},
    pack::HEADER,
    recipe::Placed,
    segment::{PackName, PackRows},
};
use holdfast_model::{ChunkId, Moment, PackId, Problem, SnapshotId, snapshot::Snapshot};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Number of a pack in [`Index::packs`].
pub(crate) type PackNo = u32;

/// A pack and the tiers that hold it.
#[derive(Clone, Debug)]
pub(crate) struct PackInfo {
    pub(crate) name: PackName,
    pub(crate) cached: bool,
    pub(crate) acked: bool,
}

impl PackInfo {
    pub(crate) fn present(&self) -> bool {
        self.cached || self.acked
    }
    pub(crate) fn key(&self) -> String {
        layout::pack_key(self.name.kind, &self.name.id)
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    pack: PackNo,
    offset: u32,
    length: u32,
    sealed: u32,
}

/// Packs and chunks.
#[derive(Debug, Default)]
pub(crate) struct Index {
    packs: Vec<PackInfo>,
    numbers: HashMap<PackId, PackNo>,
    /// By the first half of the id: 128 keyed bits do not collide.
    chunks: HashMap<[u8; 16], Place>,
    /// Sizes in the bucket of packs that the cache lists with another size: one of the two is damaged.
    disputed: HashMap<PackId, u64>,
}

impl Index {
    pub(crate) fn pack(&self, number: PackNo) -> &PackInfo {
        &self.packs[number as usize]
    }
    pub(crate) fn pack_mut(&mut self, number: PackNo) -> &mut PackInfo {
        &mut self.packs[number as usize]
    }
    pub(crate) fn packs(&self) -> impl Iterator<Item = (PackNo, &PackInfo)> {
        (0..).zip(self.packs.iter())
    }
    pub(crate) fn number(&self, id: &PackId) -> Option<PackNo> {
        self.numbers.get(id).copied()
    }
    /// The number of a pack that a sealed record names; a new one lies in no tier yet. A copy that a listing
    /// showed with another size is no copy of it.
    pub(crate) fn enter(&mut self, name: PackName) -> PackNo {
        let number = self.enter_seen(name);
        let in_bucket = self.disputed.remove(&name.id);
        let info = &mut self.packs[number as usize];
        if info.name.size != name.size {
            *info = PackInfo { name, cached: false, acked: in_bucket == Some(name.size) };
        }
        number
    }
    /// The bucket acknowledged a pack with another size than the cache lists; what sealed records say decides.
    pub(crate) fn dispute(&mut self, id: PackId, size: u64) {
        self.disputed.insert(id, size);
    }
    /// The number of a pack that a listing shows; a size that is known already stays.
    fn enter_seen(&mut self, name: PackName) -> PackNo {
        if let Some(number) = self.numbers.get(&name.id) {
            return *number;
        }
        let number = PackNo::try_from(self.packs.len()).expect("fewer than four thousand million packs");
        self.packs.push(PackInfo { name, cached: false, acked: false });
        self.numbers.insert(name.id, number);
        number
    }
    /// Enters a pack's chunks; does nothing while the pack lies nowhere.
    pub(crate) fn enter_rows(&mut self, pack: &PackRows) {
        let number = self.enter(pack.name);
        if !self.pack(number).present() {
            return;
        }
        let mut offset = HEADER;
        for row in &pack.rows {
            self.enter_chunk(&row.id, Place { pack: number, offset, length: row.length, sealed: row.sealed });
            offset = offset.saturating_add(row.sealed);
        }
    }
    fn enter_chunk(&mut self, id: &ChunkId, place: Place) {
        let key = half(id);
        if let Some(known) = self.chunks.get(&key) {
            let (old, new) = (self.pack(known.pack), self.pack(place.pack));
            if old.present() && (old.name.id, known.offset) <= (new.name.id, place.offset) {
                return;
            }
        }
        self.chunks.insert(key, place);
    }
    /// Where a chunk lies, if its pack lies in some tier.
    pub(crate) fn find(&self, id: &ChunkId) -> Option<Placed> {
        let place = self.chunks.get(&half(id))?;
        let pack = self.pack(place.pack);
        pack.present().then_some(Placed {
            id: *id,
            length: place.length,
            pack: pack.name.id,
            offset: place.offset,
            sealed: place.sealed,
        })
    }
    /// Forgets a pack and the chunks that were known in it.
    pub(crate) fn forget(&mut self, numbers: &[PackNo]) {
        for number in numbers {
            let pack = self.pack_mut(*number);
            pack.cached = false;
            pack.acked = false;
        }
        let packs = &self.packs;
        self.chunks.retain(|_, place| packs[place.pack as usize].present());
    }
}

fn half(id: &ChunkId) -> [u8; 16] {
    *id.as_bytes().first_chunk().expect("ids have 32 bytes")
}

/// A small object and the tiers that hold it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Small {
    pub(crate) size: u64,
    pub(crate) cached: bool,
    pub(crate) acked: bool,
}

/// A committed snapshot with the packs it needs.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) reach: Vec<PackNo>,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) snapshots: BTreeMap<SnapshotId, Held>,
    /// Objects that are not packs, by key.
    pub(crate) small: BTreeMap<String, Small>,
    /// Index segments with the packs they name.
    pub(crate) segments: BTreeMap<String, Vec<PackNo>>,
    /// Stored packs that no segment names yet.
    pub(crate) unlisted: Vec<PackRows>,
    /// Sequence of the newest snapshot ever seen.
    pub(crate) sequence: u64,
    /// Problems healed or met on the way, for the next who asks.
    pub(crate) notes: Vec<Problem>,
    pub(crate) last_acknowledged: Option<Moment>,
}

/// At most this many unread notes are kept: a broken disk must not fill the memory.
const NOTES_MAX: usize = 1000;

impl State {
    pub(crate) fn note(&mut self, problem: Problem) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(problem);
        }
    }
    /// Ids of snapshots that need a pack.
    pub(crate) fn needers(&self, pack: PackNo) -> Vec<SnapshotId> {
        self.snapshots.iter().filter(|(_, held)| held.reach.contains(&pack)).map(|(id, _)| id.clone()).collect()
    }
    pub(crate) fn is_acked(&self, key: &str) -> bool {
        self.small.get(key).is_some_and(|small| small.acked)
    }
    /// Marks an object as held by the bucket. The answer is its size as we know it.
    pub(crate) fn size_of(&self, key: &str) -> Option<u64> {
        match layout::parse_pack(key) {
            Some((_, id)) => self.index.number(&id).map(|number| self.index.pack(number).name.size),
            None => self.small.get(key).map(|small| small.size),
        }
    }
    pub(crate) fn set_acked(&mut self, key: &str, acked: bool) {
        match layout::parse_pack(key) {
            Some((_, id)) => {
                if let Some(number) = self.index.number(&id) {
                    self.index.pack_mut(number).acked = acked;
                }
            }
            None => {
                if let Some(small) = self.small.get_mut(key) {
                    small.acked = acked;
                }
            }
        }
    }
    pub(crate) fn set_cached(&mut self, key: &str, cached: bool) {
        match layout::parse_pack(key) {
            Some((_, id)) => {
                if let Some(number) = self.index.number(&id) {
                    self.index.pack_mut(number).cached = cached;
                }
            }
            None => {
                if let Some(small) = self.small.get_mut(key) {
                    small.cached = cached;
                }
            }
        }
    }
    /// Enters an object that was seen in the cache or in the bucket.
    pub(crate) fn enter(&mut self, key: &str, size: u64) -> bool {
        match layout::parse_pack(key) {
            Some((kind, id)) => {
                let number = self.index.enter_seen(PackName { kind, id, size });
                self.index.pack(number).name.size == size
            }
            None => {
                let small = self.small.entry(key.to_owned()).or_insert(Small { size, ..Small::default() });
                small.size == size
            }
        }
    }
    pub(crate) fn names(&self, packs: &[PackNo]) -> Vec<PackName> {
        let mut names: Vec<PackName> = packs.iter().map(|number| self.index.pack(*number).name).collect();
        names.sort_by_key(|name| (name.kind, name.id));
        names.dedup();
        names
    }
}

/// Class of pack that chunks of a kind go to.
pub(crate) fn pack_kind(kind: holdfast_chunk::ChunkKind) -> PackKind {
    match kind {
        holdfast_chunk::ChunkKind::Data => PackKind::Data,
        holdfast_chunk::ChunkKind::Meta | holdfast_chunk::ChunkKind::Recipe => PackKind::Meta,
    }
}
