//! What restores hold of packs from the bucket: a few whole ones, and loads that were asked for ahead of need.
//!
//! Invariants: a load is asked for once, however many batches need it, and leaves memory with the last of them; whole
//! packs that are kept beyond that are bounded by [`SHELF`].

use crate::state::PackNo;
use bytes::Bytes;
use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, Weak, atomic::AtomicBool},
};
use tokio::sync::OnceCell;

/// Whole packs kept in memory while restoring from the bucket, bytes: recipes are read from them again and again.
const SHELF: u64 = 128 << 20;

/// A stretch of a pack, or all of it, that batches of chunks need from the bucket.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) pack: PackNo,
    /// Bytes of the pack; all of them if it is fetched whole.
    pub(crate) range: Range<u32>,
    pub(crate) whole: bool,
    /// Somebody fetches it ahead of need.
    pub(crate) begun: AtomicBool,
    pub(crate) bytes: OnceCell<Bytes>,
}

impl Load {
    pub(crate) fn new(pack: PackNo, range: Range<u32>, whole: bool) -> Load {
        Load { pack, range, whole, begun: AtomicBool::new(false), bytes: OnceCell::new() }
    }
    /// Sealed bytes of a chunk, if it lies within and the load has come.
    pub(crate) fn slice(&self, offset: u32, sealed: u32) -> Option<Bytes> {
        let bytes = self.bytes.get()?;
        let start = offset.checked_sub(self.range.start)? as usize;
        let end = start.checked_add(sealed as usize)?;
        (end <= bytes.len()).then(|| bytes.slice(start..end))
    }
    pub(crate) fn covers(&self, offset: u32, sealed: u32) -> bool {
        self.range.start <= offset && offset.checked_add(sealed).is_some_and(|end| end <= self.range.end)
    }
}

/// Packs from the bucket, least recently used ones leave first; and the loads of all readers.
#[derive(Default)]
pub(crate) struct Shelf {
    places: Mutex<Places>,
    loads: Mutex<HashMap<PackNo, Vec<Weak<Load>>>>,
}

#[derive(Default)]
struct Places {
    packs: HashMap<PackNo, Place>,
    clock: u64,
}

struct Place {
    bytes: Arc<OnceCell<Bytes>>,
    size: u64,
    used: u64,
}

impl Shelf {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().expect("no holder panics")
    }
    pub(crate) fn place(&self, pack: PackNo, size: u64) -> Arc<OnceCell<Bytes>> {
        let mut places = self.places();
        places.clock += 1;
        let used = places.clock;
        let place = places.packs.entry(pack).or_insert_with(|| Place { bytes: Arc::default(), size, used });
        place.used = used;
        let bytes = Arc::clone(&place.bytes);
        while places.packs.values().map(|place| place.size).sum::<u64>() > SHELF && places.packs.len() > 1 {
            let oldest = places.packs.iter().min_by_key(|(_, place)| place.used).map(|(pack, _)| *pack);
            oldest.map(|pack| places.packs.remove(&pack));
        }
        bytes
    }
    /// Whether a whole pack is here.
    pub(crate) fn has(&self, pack: PackNo) -> bool {
        self.places().packs.get(&pack).is_some_and(|place| place.bytes.initialized())
    }
    /// Forgets a pack, whose bytes are bad or going.
    pub(crate) fn drop_pack(&self, pack: PackNo) {
        self.places().packs.remove(&pack);
        self.loads().remove(&pack);
    }

    fn loads(&self) -> MutexGuard<'_, HashMap<PackNo, Vec<Weak<Load>>>> {
        self.loads.lock().expect("no holder panics")
    }
    /// Makes loads known to whoever opens chunks of their packs. They live as long as somebody else keeps them.
    pub(crate) fn announce(&self, loads: impl Iterator<Item = Arc<Load>>) {
        let mut known = self.loads();
        known.retain(|_, list| {
            list.retain(|load| load.strong_count() > 0);
            !list.is_empty()
        });
        for load in loads {
            known.entry(load.pack).or_default().push(Arc::downgrade(&load));
        }
    }
    /// A load that holds this stretch of a pack.
    pub(crate) fn load(&self, pack: PackNo, offset: u32, sealed: u32) -> Option<Arc<Load>> {
        let known = self.loads();
        known.get(&pack)?.iter().filter_map(Weak::upgrade).find(|load| load.covers(offset, sealed))
    }
}
