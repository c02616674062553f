//! Rows of packs in memory: searchable, and of bounded size.
//!
//! Invariants: of two equal chunks in a pack the first is told first; what is kept takes at most [`ROWS_MAX`] bytes, least
//! recently used packs leave first; rows of a pack never change, so nothing here grows stale.

use crate::{
    pack::{HEADER, Row},
    state::PackNo,
};
use holdfast_model::ChunkId;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Memory for rows of packs, bytes: those of some ten thousand packs of large files.
pub(crate) const ROWS_MAX: usize = 40 << 20;
/// What an entry costs besides its rows, bytes.
const ENTRY: usize = 160;

/// Where a chunk lies in its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) sealed: u32,
    pub(crate) base: Option<ChunkId>,
}

#[derive(Debug)]
struct Entry {
    id: ChunkId,
    offset: u32,
    length: u32,
    sealed: u32,
    /// Number of the base among `bases` plus one, or nothing.
    base: u32,
}

/// The rows of one pack, in the order of ids.
#[derive(Debug)]
pub(crate) struct Rows {
    entries: Box<[Entry]>,
    bases: Box<[ChunkId]>,
}

impl Rows {
    pub(crate) fn new(rows: &[Row]) -> Rows {
        let mut offset = HEADER;
        let mut bases = Vec::new();
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            bases.extend(row.base);
            let base = row.base.map_or(0, |_| bases.len() as u32);
            entries.push(Entry { id: row.id, offset, length: row.length, sealed: row.sealed, base });
            offset = offset.saturating_add(row.sealed);
        }
        entries.sort_unstable_by_key(|entry| (entry.id, entry.offset));
        Rows { entries: entries.into(), bases: bases.into() }
    }

    /// All places of a chunk in the pack: mostly one.
    pub(crate) fn find<'a>(&'a self, id: &'a ChunkId) -> impl Iterator<Item = Spot> + use<'a> {
        let first = self.entries.partition_point(|entry| entry.id < *id);
        let equal = self.entries[first..].iter().take_while(move |entry| entry.id == *id);
        equal.map(|entry| {
            let base = self.bases.get((entry.base as usize).wrapping_sub(1)).copied();
            Spot { offset: entry.offset, length: entry.length, sealed: entry.sealed, base }
        })
    }

    fn size(&self) -> usize {
        self.entries.len() * size_of::<Entry>() + self.bases.len() * size_of::<ChunkId>()
    }
}

/// Rows of packs that were asked for lately; nothing for a pack whose rows could not be read.
#[derive(Debug)]
pub(crate) struct RowCache {
    max: usize,
    used: usize,
    clock: u64,
    packs: HashMap<PackNo, (Option<Arc<Rows>>, u64)>,
    order: BTreeMap<u64, PackNo>,
}

impl Default for RowCache {
    fn default() -> Self {
        RowCache::with_room(ROWS_MAX)
    }
}

impl RowCache {
    /// For at most `max` bytes, and always for one pack.
    pub(crate) fn with_room(max: usize) -> Self {
        RowCache { max, used: 0, clock: 0, packs: HashMap::new(), order: BTreeMap::new() }
    }

    /// `None` if the pack was not asked for lately, `Some(None)` if its rows could not be read.
    pub(crate) fn get(&mut self, pack: PackNo) -> Option<Option<Arc<Rows>>> {
        let (rows, used) = self.packs.get_mut(&pack)?;
        // Mostly it is the same pack again.
        if *used != self.clock {
            self.order.remove(used);
            self.clock += 1;
            *used = self.clock;
            self.order.insert(self.clock, pack);
        }
        Some(rows.clone())
    }

    pub(crate) fn put(&mut self, pack: PackNo, rows: Option<Arc<Rows>>) {
        self.remove(pack);
        self.used += weight(rows.as_ref());
        self.clock += 1;
        self.packs.insert(pack, (rows, self.clock));
        self.order.insert(self.clock, pack);
        while self.used > self.max && self.packs.len() > 1 {
            let oldest = self.order.first_key_value().map(|(_, pack)| *pack);
            oldest.into_iter().for_each(|pack| self.remove(pack));
        }
    }

    /// What could not be read may be readable now.
    pub(crate) fn try_again(&mut self) {
        let failed = self.packs.iter().filter(|(_, (rows, _))| rows.is_none()).map(|(pack, _)| *pack);
        for pack in failed.collect::<Vec<_>>() {
            self.remove(pack);
        }
    }

    fn remove(&mut self, pack: PackNo) {
        let Some((rows, used)) = self.packs.remove(&pack) else { return };
        self.order.remove(&used);
        self.used -= weight(rows.as_ref());
    }
}

fn weight(rows: Option<&Arc<Rows>>) -> usize {
    ENTRY + rows.map_or(0, |rows| rows.size())
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_chunk::ChunkKind;

    fn row(id: u8, base: Option<u8>) -> Row {
        let id_of = |byte| ChunkId([byte; 32]);
        Row { kind: ChunkKind::Data, id: id_of(id), length: 100, sealed: 10 + u32::from(id), base: base.map(id_of) }
    }

    #[test]
    fn the_first_of_equal_chunks_is_told_with_its_base() {
        let rows = Rows::new(&[row(9, None), row(3, Some(7)), row(9, Some(8)), row(1, None)]);
        let spot = rows.find(&ChunkId([9; 32])).next().unwrap();
        assert_eq!((spot.offset, spot.sealed, spot.base), (HEADER, 19, None));
        let spot = rows.find(&ChunkId([3; 32])).next().unwrap();
        assert_eq!((spot.offset, spot.base), (HEADER + 19, Some(ChunkId([7; 32]))));
        assert_eq!(rows.find(&ChunkId([1; 32])).next().unwrap().offset, HEADER + 19 + 13 + 19);
        for absent in [0, 2, 4, 10] {
            assert_eq!(rows.find(&ChunkId([absent; 32])).next(), None);
        }
    }

    #[test]
    fn memory_is_bounded_and_old_packs_leave_first() {
        let rows = Arc::new(Rows::new(&[row(1, None), row(2, Some(1))]));
        let mut kept = RowCache::with_room(3 * weight(Some(&rows)));
        for pack in 0..3 {
            kept.put(pack, Some(Arc::clone(&rows)));
        }
        assert!(kept.get(0).is_some());
        kept.put(3, Some(Arc::clone(&rows)));
        assert!(kept.get(1).is_none(), "the least recently used one left");
        assert!([0, 2, 3].iter().all(|pack| kept.get(*pack).is_some()));
        for pack in 10..100_000 {
            kept.put(pack, None);
        }
        assert!(kept.packs.len() < 20 && kept.order.len() == kept.packs.len() && kept.used <= kept.max);
        kept.put(5, Some(Arc::clone(&rows)));
        kept.try_again();
        assert_eq!((kept.packs.len(), kept.used), (1, weight(Some(&rows))));
    }
}
