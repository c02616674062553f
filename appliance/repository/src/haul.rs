//! What a restore asks the bucket for: which stretches of which packs, gathered over many batches at once.
//!
//! After many increments a stream hops between many packs. Asked for batch by batch, each pack would be fetched over
//! and over; asked for pack by pack, most of what comes would be somebody else's. So needs are gathered over a window of
//! batches: neighbours in a pack become one request if what lies between costs less than asking again, and a pack of
//! which nearly all is needed comes whole. Invariants: a window weighs at most [`WINDOW`] and one batch; what it asks
//! for covers every chunk and every base of its batches that the bucket has to give; it asks for nothing twice.

use crate::{
    inner::Inner,
    reader::{Batch, Item},
    recipe::{Base, Placed},
    shelf::Load,
    state::PackNo,
};
use futures::{Stream, TryStreamExt, stream};
use holdfast_model::{PackId, Result, view::From};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// Bytes that one window asks the bucket for: what memory may hold of packs while batches wait for their turn.
const WINDOW: u64 = 256 << 20;
/// Batches of a window: they take memory too.
const BATCHES_MAX: usize = 4096;
/// Bytes between two chunks that cost less than another request: what the way brings while one is answered.
const GAP: u32 = 512 << 10;
/// A pack of which this share is asked for comes whole, in quarters: then its name proves it, and the cache may keep it.
const WHOLE_QUARTERS: u64 = 3;
/// Loads begun ahead of need, and their bytes together.
const LOADS_AHEAD: usize = 8;
const BYTES_AHEAD: u64 = 96 << 20;

/// Needs by pack.
#[derive(Default)]
pub(crate) struct Needs {
    packs: HashMap<PackNo, Need>,
    weight: u64,
}

/// What is needed of one pack: stretches apart, by where they begin.
#[derive(Debug, Default)]
struct Need {
    size: u64,
    stretches: BTreeMap<u32, u32>,
    covered: u64,
    /// Bytes of it that were asked for in stretches before.
    before: u64,
}

impl Need {
    /// Takes a stretch in, melting it with those that are near.
    fn add(&mut self, offset: u32, sealed: u32) {
        let (mut start, mut end) = (offset, offset.saturating_add(sealed));
        loop {
            let near = self.stretches.range(..=end.saturating_add(GAP)).next_back().map(|(from, to)| (*from, *to));
            let Some((from, to)) = near.filter(|(_, to)| to.saturating_add(GAP) >= start) else { break };
            self.stretches.remove(&from);
            self.covered -= u64::from(to - from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.stretches.insert(start, end);
        self.covered += u64::from(end - start);
    }
    fn is_whole(&self) -> bool {
        (self.covered + self.before) * 4 >= self.size * WHOLE_QUARTERS || self.size <= u64::from(GAP)
    }
    /// Bytes that come.
    fn weight(&self) -> u64 {
        match self.stretches.is_empty() {
            true => 0,
            false if self.is_whole() => self.size,
            false => self.covered,
        }
    }
    fn requests(&self) -> u64 {
        if self.is_whole() { 1 } else { self.stretches.len() as u64 }
    }
}

impl Needs {
    /// Takes a chunk in; `size` is its pack's.
    pub(crate) fn add(&mut self, pack: PackNo, size: u64, (offset, sealed): (u32, u32)) {
        let need = self.packs.entry(pack).or_insert_with(|| Need { size, ..Need::default() });
        let before = need.weight();
        need.add(offset, sealed);
        self.weight = self.weight + need.weight() - before;
    }
    /// Requests, and the bytes that they bring.
    pub(crate) fn cost(&self) -> (u64, u64) {
        (self.packs.values().map(Need::requests).sum(), self.weight)
    }
}

/// Puts loads into the hands of batches, window by window.
pub(crate) struct Haul {
    inner: Arc<Inner>,
    from: From,
    /// Bytes of packs that came in stretches so far: a pack is not paid for twice where the cache could keep it.
    fetched: HashMap<PackNo, u64>,
}

impl Haul {
    pub(crate) fn new(inner: &Arc<Inner>, from: From) -> Haul {
        Haul { inner: Arc::clone(inner), from, fetched: HashMap::new() }
    }

    /// Items in their order, batches with loads.
    pub(crate) fn load<'a>(
        self,
        items: impl Stream<Item = Result<Item>> + Send + 'a,
    ) -> impl Stream<Item = Result<Item>> + Send + 'a {
        let windows = stream::try_unfold((Box::pin(items), self), |(mut items, mut haul)| async move {
            let mut window = Vec::new();
            let mut needs = Needs::default();
            while let Some(item) = items.try_next().await? {
                if let Item::Batch(batch) = &item {
                    haul.need(batch, &mut needs);
                }
                window.push(item);
                // What the cache has waits for nothing.
                if needs.weight == 0 || needs.weight >= WINDOW || window.len() >= BATCHES_MAX {
                    break;
                }
            }
            if window.is_empty() {
                return Ok(None);
            }
            haul.distribute(&needs, &mut window);
            Ok(Some((stream::iter(window.into_iter().map(Ok)), (items, haul))))
        });
        windows.try_flatten()
    }

    fn need(&self, batch: &Batch, needs: &mut Needs) {
        for (id, offset, sealed) in places(batch) {
            let Some((pack, size)) = self.inner.to_fetch(&id, self.from) else { continue };
            if self.from == From::Auto
                && !needs.packs.contains_key(&pack)
                && let Some(before) = self.fetched.get(&pack)
            {
                needs.packs.insert(pack, Need { size, before: *before, ..Need::default() });
            }
            needs.add(pack, size, (offset, sealed));
        }
    }

    /// Makes the loads of a window and gives each batch those it needs, and those to begin when its turn comes.
    fn distribute(&mut self, needs: &Needs, window: &mut [Item]) {
        let mut loads: HashMap<PackNo, Vec<Arc<Load>>> = HashMap::new();
        for (pack, need) in &needs.packs {
            let size = u32::try_from(need.size).unwrap_or(u32::MAX);
            let whole = need.is_whole() || self.inner.shelf.has(*pack);
            let load = |(start, end)| Arc::new(Load::new(*pack, start..end, whole));
            let list: Vec<_> = match whole {
                true => vec![load((0, size))],
                false => need.stretches.iter().map(|(start, end)| load((*start, *end))).collect(),
            };
            if !whole {
                *self.fetched.entry(*pack).or_default() += need.covered;
            }
            loads.insert(*pack, list);
        }
        self.inner.shelf.announce(loads.values().flatten().cloned());
        let mut begun: HashSet<*const Load> = HashSet::new();
        let mut order: Vec<Arc<Load>> = Vec::new();
        let mut firsts: Vec<(usize, usize)> = Vec::new();
        for (number, item) in window.iter_mut().enumerate() {
            let Item::Batch(batch) = item else { continue };
            firsts.push((number, order.len()));
            let mut own: Vec<Arc<Load>> = Vec::new();
            for (id, offset, sealed) in places(batch) {
                let pack = self.inner.read().index.number(&id);
                let Some(list) = pack.and_then(|pack| loads.get(&pack)) else { continue };
                let Some(load) = list.iter().find(|load| load.covers(offset, sealed)) else { continue };
                if !own.iter().rev().take(2).any(|last| Arc::ptr_eq(last, load)) {
                    own.push(Arc::clone(load));
                }
                if begun.insert(Arc::as_ptr(load)) {
                    order.push(Arc::clone(load));
                }
            }
            batch.loads = own;
        }
        for (number, first) in firsts {
            let Item::Batch(batch) = &mut window[number] else { continue };
            let mut bytes = 0;
            let near = order[first..].iter().take(LOADS_AHEAD).take_while(|load| {
                let fits = bytes < BYTES_AHEAD;
                bytes += u64::from(load.range.end - load.range.start);
                fits
            });
            batch.ahead = near.cloned().collect();
        }
    }
}

/// Places of a batch's chunks and of what they lean on.
fn places(batch: &Batch) -> impl Iterator<Item = (PackId, u32, u32)> {
    let both = |placed: &Placed| {
        let own = (placed.pack, placed.offset, placed.sealed);
        [Some(own), placed.base.map(|Base { pack, offset, sealed, .. }| (pack, offset, sealed))]
    };
    batch.chunks.iter().flat_map(both).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn neighbours_melt_and_a_pack_that_is_needed_comes_whole() {
        let mut needs = Needs::default();
        needs.add(1, 32 << 20, (100, 50));
        needs.add(1, 32 << 20, (10 << 20, 50));
        assert_eq!(needs.cost(), (2, 100));
        needs.add(1, 32 << 20, (150 + GAP, 50));
        assert_eq!(needs.cost(), (2, 150 + u64::from(GAP)));
        needs.add(1, 32 << 20, (0, 24 << 20));
        assert_eq!(needs.cost(), (1, 32 << 20));
        needs.add(2, 1000, (0, 1));
        assert_eq!(needs.cost(), (2, (32 << 20) + 1000), "a small pack costs less than asking twice");
    }

    proptest! {
        #[test]
        fn every_chunk_is_covered_once(chunks in prop::collection::vec((0u32..64 << 20, 1u32..1 << 20), 1..40)) {
            let mut need = Need { size: u64::MAX / 8, ..Need::default() };
            for (offset, sealed) in &chunks {
                need.add(*offset, *sealed);
            }
            let list: Vec<_> = need.stretches.iter().map(|(start, end)| (*start, *end)).collect();
            prop_assert!(list.windows(2).all(|pair| pair[0].1 + GAP < pair[1].0), "{list:?}");
            prop_assert_eq!(list.iter().map(|(start, end)| u64::from(end - start)).sum::<u64>(), need.covered);
            for (offset, sealed) in chunks {
                prop_assert!(list.iter().any(|(start, end)| *start <= offset && offset + sealed <= *end));
            }
        }
    }
}
