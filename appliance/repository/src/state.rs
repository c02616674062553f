//! What the repository knows of itself while open: packs, where chunks lie, snapshots, small objects.
//!
//! Invariants: of chunks only eight bytes each are kept here, `find` gives the exact answers; a pack counts only if it
//! lies in some tier; all of it is rebuilt at opening, so nothing here can be stale.

use crate::{
    layout::{self, PackKind},
    pack::Row,
    segment::{Directory, Mark, PackName},
    table::{Batch, Finger, PACKS_MAX, Table},
    unusable::Unusable,
};
use bytes::Bytes;
use holdfast_model::{ChunkId, Moment, PackId, Problem, SegmentId, SnapshotId, snapshot::Snapshot};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// Number of a pack in [`Index::packs`].
pub(crate) type PackNo = u32;

/// What prune means to do with a pack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It counts.
    #[default]
    Sound,
    /// It counts as absent, since a time of [`crate::pins`]; a commit that leans on it may still rescue it.
    Condemned(u64),
    /// It will be deleted whatever comes.
    Doomed,
}

/// A pack and the tiers that hold it.
#[derive(Clone, Debug)]
pub(crate) struct PackInfo {
    pub(crate) name: PackName,
    /// Set by [`Index::set_cached`] alone, which counts.
    cached: bool,
    pub(crate) acked: bool,
    /// The bucket said so in this life; what is remembered of an earlier one may have been deleted since.
    pub(crate) proven: bool,
    /// Where an index segment has its footer.
    pub(crate) span: Option<Span>,
    pub(crate) fate: Fate,
    /// When it was stored, in the time of [`crate::pins`]; zero if before this process began.
    pub(crate) born: u64,
    /// Until when the bucket was last shown to lock it, as far as that is known.
    pub(crate) kept: Option<Moment>,
}

/// Where the footer of a pack lies in an index segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Number in [`Index::segment`].
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) mark: Mark,
}

impl PackInfo {
    pub(crate) fn cached(&self) -> bool {
        self.cached
    }
    pub(crate) fn present(&self) -> bool {
        self.cached || self.acked
    }
    /// Whether it is there and will stay.
    pub(crate) fn counts(&self) -> bool {
        self.present() && self.fate == Fate::Sound
    }
    /// Whether new data may lean on it. Not on what only a remembered acknowledgement vouches for: a verdict that the
    /// bucket would show may have named it, and its deletion may be under way.
    pub(crate) fn carries(&self) -> bool {
        self.counts() && (self.cached || self.proven)
    }
    /// Whether nobody can take it out of the bucket now.
    pub(crate) fn is_locked(&self, now: Moment) -> bool {
        self.acked && self.kept.is_some_and(|until| until > now)
    }
    pub(crate) fn key(&self) -> String {
        layout::pack_key(self.name.kind, &self.name.id)
    }
}

/// Packs and chunks.
#[derive(Debug, Default)]
pub(crate) struct Index {
    packs: Vec<PackInfo>,
    /// Of all packs in the cache: asked for with each pack that is stored.
    cached_bytes: u64,
    numbers: HashMap<PackId, PackNo>,
    chunks: Table,
    /// Index segments by number.
    segments: Vec<SegmentId>,
    /// Sizes in the bucket of packs that the cache lists with another size: one of the two is damaged.
    disputed: HashMap<PackId, u64>,
}

impl Index {
    /// An index whose table looks at few bits only, so that chunks collide.
    #[cfg(test)]
    pub(crate) fn with_width(width: u32) -> Self {
        Index { chunks: Table::with_width(width), ..Index::default() }
    }
    pub(crate) fn pack(&self, number: PackNo) -> &PackInfo {
        &self.packs[number as usize]
    }
    pub(crate) fn pack_mut(&mut self, number: PackNo) -> &mut PackInfo {
        &mut self.packs[number as usize]
    }
    /// Says whether the cache holds a pack. The answer is whether that is news.
    pub(crate) fn set_cached(&mut self, number: PackNo, cached: bool) -> bool {
        let info = &mut self.packs[number as usize];
        let is_news = std::mem::replace(&mut info.cached, cached) != cached;
        match (is_news, cached) {
            (false, _) => {}
            (true, true) => self.cached_bytes += info.name.size,
            (true, false) => self.cached_bytes -= info.name.size,
        }
        is_news
    }
    /// Bytes of all packs in the cache.
    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cached_bytes
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
        if self.pack(number).name.size != name.size {
            self.set_cached(number, false);
            let info = self.pack_mut(number);
            *info = PackInfo { name, cached: false, acked: in_bucket == Some(name.size), ..*info };
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
        let number = PackNo::try_from(self.packs.len()).ok().filter(|number| *number <= PACKS_MAX);
        let number = number.expect("fewer than 268 million packs, which are 8 EiB");
        self.packs.push(PackInfo {
            name,
            cached: false,
            acked: false,
            proven: false,
            span: None,
            fate: Fate::Sound,
            born: 0,
            kept: None,
        });
        self.numbers.insert(name.id, number);
        number
    }
    /// Enters a pack's chunks. They are told only while the pack lies somewhere.
    pub(crate) fn enter_rows(&mut self, pack: PackNo, rows: &[Row]) {
        for row in rows {
            self.chunks.insert(Finger::of(&row.id), pack);
        }
    }
    /// Enters the chunks of many packs; `packs` are the numbers behind the batch's own ones.
    pub(crate) fn enter_batch(&mut self, batch: &Batch, packs: &[PackNo]) {
        self.chunks.insert_all(batch, packs);
    }
    /// Makes room for about `chunks` more.
    pub(crate) fn reserve(&mut self, chunks: usize) {
        self.chunks.reserve(chunks);
    }
    /// Packs that count and may hold a chunk, in the order of their ids. Their rows decide.
    pub(crate) fn candidates(&self, id: &ChunkId) -> Vec<PackNo> {
        let all = self.chunks.candidates(Finger::of(id));
        let mut packs: Vec<PackNo> = all.filter(|pack| self.pack(*pack).counts()).collect();
        packs.sort_unstable_by_key(|pack| self.pack(*pack).name.id);
        packs
    }
    /// Places of chunks, and the memory that they take in bytes.
    pub(crate) fn weight(&self) -> (usize, usize) {
        (self.chunks.len(), self.chunks.size())
    }
    /// The segment with a number.
    pub(crate) fn segment(&self, number: u32) -> SegmentId {
        self.segments[number as usize]
    }
    /// Forgets packs and the chunks in them.
    pub(crate) fn forget(&mut self, numbers: &[PackNo]) {
        let mut gone = vec![false; self.packs.len()];
        for number in numbers {
            gone[*number as usize] = true;
            self.set_cached(*number, false);
            let pack = self.pack_mut(*number);
            (pack.acked, pack.fate, pack.kept) = (false, Fate::Sound, None);
        }
        if !numbers.is_empty() {
            self.chunks.retain(|pack| !gone[pack as usize]);
        }
    }
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

/// A stored pack on its way into an index segment.
#[derive(Clone, Debug)]
pub(crate) struct Unlisted {
    pub(crate) chunks: usize,
    /// The sealed footer of a pack just written; else it is read from the pack.
    pub(crate) footer: Option<Bytes>,
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
    /// Segments that others supersede: whatever tier still shows one, it says nothing any more.
    pub(crate) void: HashSet<SegmentId>,
    /// Stored packs that no segment names yet.
    pub(crate) unlisted: BTreeMap<PackNo, Unlisted>,
    /// Sequence of the newest snapshot ever seen.
    pub(crate) sequence: u64,
    /// The snapshot whose commit is under way: its reach list is no orphan.
    pub(crate) writing: Option<SnapshotId>,
    /// Commits that failed and could not be taken back yet.
    pub(crate) half_done: HashSet<String>,
    /// Parts of reach lists' later editions in the bucket, which count for nothing: the next prune removes them.
    pub(crate) litter: BTreeSet<String>,
    /// What the bucket said in this life that it deleted, until a listing shows whether it did.
    pub(crate) deleted: HashSet<String>,
    /// Until when the bucket was last shown to lock what is no pack.
    pub(crate) kept: BTreeMap<String, Moment>,
    /// Problems healed or met on the way, for the next who asks.
    pub(crate) notes: Vec<Problem>,
    /// What the bucket should give and what cannot be used, for the same.
    pub(crate) unusable: Unusable,
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
    /// What there is to tell since somebody asked last.
    pub(crate) fn take_notes(&mut self) -> Vec<Problem> {
        let mut notes = std::mem::take(&mut self.notes);
        notes.append(&mut self.unusable.take());
        notes
    }
    /// Enters a pack that the cache has just acknowledged (R2).
    pub(crate) fn enter_stored(&mut self, name: PackName, rows: &[Row], footer: Bytes, born: u64) {
        let number = self.index.enter(name);
        self.index.set_cached(number, true);
        self.index.pack_mut(number).born = born;
        self.index.enter_rows(number, rows);
        self.unlisted.insert(number, Unlisted { chunks: rows.len(), footer: Some(footer) });
    }
    /// A segment is in force: from now on its packs' rows are read from it. `numbers` are those of its packs.
    pub(crate) fn enter_segment(&mut self, id: SegmentId, directory: &Directory, numbers: &[PackNo]) {
        let segment =
            u32::try_from(self.index.segments.len()).expect("a segment is written in more than a microsecond");
        self.index.segments.push(id);
        for (listed, number) in directory.packs.iter().zip(numbers) {
            let span = Span { segment, offset: listed.offset, length: listed.length, mark: listed.mark };
            self.index.pack_mut(*number).span = Some(span);
        }
        self.segments.insert(layout::segment_key(&id), numbers.to_vec());
        for old in &directory.supersedes {
            self.drop_segment(&layout::segment_key(old));
        }
    }
    /// A segment is void: rows are read from elsewhere.
    pub(crate) fn drop_segment(&mut self, key: &str) {
        let Some(id) = layout::parse_segment(key) else { return };
        self.void.insert(id);
        for number in self.segments.remove(key).unwrap_or_default() {
            let span = self.index.pack(number).span.filter(|span| self.index.segment(span.segment) != id);
            self.index.pack_mut(number).span = span;
        }
    }
    /// Packs that snapshots need.
    pub(crate) fn live(&self) -> HashSet<PackNo> {
        self.snapshots.values().flat_map(|held| held.reach.iter().copied()).collect()
    }
    /// Ids of snapshots that need a pack.
    pub(crate) fn needers(&self, pack: PackNo) -> Vec<SnapshotId> {
        self.snapshots.iter().filter(|(_, held)| held.reach.contains(&pack)).map(|(id, _)| id.clone()).collect()
    }
    /// Editions of a snapshot's reach list that some tier holds, lowest first.
    pub(crate) fn editions(&self, id: &SnapshotId) -> Vec<String> {
        let first = layout::reach_key(id);
        let later = format!("{first}.");
        let from_first = self.small.range(first.clone()..).map(|(key, _)| key);
        from_first.take_while(|key| **key == first || key.starts_with(&later)).cloned().collect()
    }
    /// The edition that counts, or the name of the first one.
    pub(crate) fn reach_key(&self, id: &SnapshotId) -> String {
        self.editions(id).pop().unwrap_or_else(|| layout::reach_key(id))
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
                    let info = self.index.pack_mut(number);
                    (info.acked, info.proven) = (acked, acked);
                }
            }
            None => {
                if let Some(small) = self.small.get_mut(key) {
                    small.acked = acked;
                }
            }
        }
    }
    /// Until when the bucket was last shown to lock an object that it holds.
    pub(crate) fn kept_of(&self, key: &str) -> Option<Moment> {
        match layout::parse_pack(key) {
            Some((_, id)) => {
                let info = self.index.pack(self.index.number(&id)?);
                info.kept.filter(|_| info.acked)
            }
            None => self.kept.get(key).copied().filter(|_| self.is_acked(key)),
        }
    }
    pub(crate) fn set_kept(&mut self, key: &str, until: Option<Moment>) {
        match (layout::parse_pack(key), until) {
            (Some((_, id)), _) => {
                if let Some(number) = self.index.number(&id) {
                    self.index.pack_mut(number).kept = until;
                }
            }
            (None, Some(until)) => drop(self.kept.insert(key.to_owned(), until)),
            (None, None) => drop(self.kept.remove(key)),
        }
    }
    /// Nothing is known of locks any more: it is another bucket.
    pub(crate) fn forget_locks(&mut self) {
        self.kept.clear();
        self.index.packs.iter_mut().for_each(|info| info.kept = None);
    }
    /// What an earlier life remembers of the bucket.
    pub(crate) fn set_remembered(&mut self, key: &str) {
        self.set_acked(key, true);
        if let Some(number) = layout::parse_pack(key).and_then(|(_, id)| self.index.number(&id)) {
            self.index.pack_mut(number).proven = false;
        }
    }
    pub(crate) fn set_cached(&mut self, key: &str, cached: bool) {
        match layout::parse_pack(key) {
            Some((_, id)) => {
                if let Some(number) = self.index.number(&id) {
                    self.index.set_cached(number, cached);
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
