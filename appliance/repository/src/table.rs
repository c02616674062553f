//! A compact table from chunk ids to the packs that hold them: eight bytes for each place of a chunk.
//!
//! A slot holds leading bits of the id and a pack number. Ids are keyed hashes, so their bits are spread evenly: the
//! first bits pick a shard, the next ones the home of a slot within it, in rising order. A shard thus is a sorted row
//! with gaps: a search ends at the first gap or larger slot, and growing is one pass over one shard of a thousand, by
//! a quarter, so that memory never doubles.
//!
//! Invariants: within a shard slots rise strictly, none lies before its home, and there is no gap between a slot and
//! its home. What the table tells are candidates: equal leading bits prove nothing, the pack's rows do.

use holdfast_model::ChunkId;

/// Shards are picked by this many leading bits.
const SHARD_BITS: u32 = 10;
/// Bits of a pack number.
const PACK_BITS: u32 = 28;
/// Bits of an id that a slot keeps.
const FINGER_BITS: u32 = 64 - PACK_BITS;
/// A slot holds the number plus one, so that no slot is zero.
pub(crate) const PACKS_MAX: u32 = (1 << PACK_BITS) - 2;
/// A shard grows when this many of its homes are taken, in hundredths.
const FULL: usize = 90;
/// Reserved shards begin with this share taken, in hundredths.
const RESERVED: usize = 85;
/// Homes of the smallest shard.
const LEAST: usize = 8;
/// Slots behind the last home, for clusters that run over the end.
const TAIL: usize = 8;

/// The bits of an id that the table looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finger(u64);

impl Finger {
    pub(crate) fn of(id: &ChunkId) -> Finger {
        Finger(u64::from_be_bytes(*id.as_bytes().first_chunk().expect("ids have 32 bytes")))
    }
}

/// Fingers of many chunks with small numbers of their packs, in one word each, so that they sort quickly and enter the
/// table in the order of memory.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    words: Vec<u64>,
}

/// Bits of an id that the table does not look at; a batch keeps pack numbers there.
const SPARE_BITS: u32 = 64 - SHARD_BITS - FINGER_BITS;

impl Batch {
    /// Packs that one batch can tell apart.
    pub(crate) const PACKS_MAX: usize = 1 << SPARE_BITS;

    /// Adds a chunk in the pack with the number `local` of this batch.
    pub(crate) fn push(&mut self, finger: Finger, local: usize) {
        debug_assert!(local < Self::PACKS_MAX, "batches are bounded by their makers");
        self.words.push(finger.0 >> SPARE_BITS << SPARE_BITS | local as u64);
    }
    pub(crate) fn sort(&mut self) {
        self.words.sort_unstable();
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Table {
    shards: Vec<Shard>,
    /// Bits of an id that count; fewer only in tests that want collisions.
    mask: u64,
}

#[derive(Debug, Default)]
struct Shard {
    slots: Vec<u64>,
    homes: usize,
    used: usize,
}

impl Default for Table {
    fn default() -> Self {
        Table::with_width(FINGER_BITS)
    }
}

impl Table {
    /// A table that tells ids apart by their first `width` bits after those of the shard.
    pub(crate) fn with_width(width: u32) -> Self {
        let shards = (0..1 << SHARD_BITS).map(|_| Shard::default()).collect();
        Table { shards, mask: u64::MAX << (64 - width.clamp(1, FINGER_BITS)) }
    }

    /// Makes room for about `more` slots at once.
    pub(crate) fn reserve(&mut self, more: usize) {
        let each = more.div_ceil(self.shards.len());
        for shard in &mut self.shards {
            let homes = (shard.used + each) * 100 / RESERVED;
            if homes > shard.homes && each > LEAST {
                shard.rehome(homes);
            }
        }
    }

    /// Enters a place; one that is there already stays alone.
    pub(crate) fn insert(&mut self, finger: Finger, pack: u32) {
        let (shard, slot) = (finger.0 >> (64 - SHARD_BITS), self.slot(finger, pack));
        self.shards[shard as usize].insert(slot);
    }

    /// Enters a sorted batch; `packs` are the numbers behind its local ones.
    pub(crate) fn insert_all(&mut self, batch: &Batch, packs: &[u32]) {
        for word in &batch.words {
            let local = word & ((1 << SPARE_BITS) - 1);
            self.insert(Finger(*word), packs[local as usize]);
        }
    }

    /// Packs that may hold a chunk.
    pub(crate) fn candidates(&self, finger: Finger) -> impl Iterator<Item = u32> + '_ {
        let shard = &self.shards[(finger.0 >> (64 - SHARD_BITS)) as usize];
        let bits = self.bits(finger);
        let from = shard.slots.get(shard.home(bits << PACK_BITS)..).unwrap_or_default();
        let run = from.iter().skip_while(move |slot| **slot != 0 && **slot >> PACK_BITS < bits);
        run.take_while(move |slot| **slot != 0 && **slot >> PACK_BITS == bits).map(|slot| pack_of(*slot))
    }

    /// Keeps the places whose pack is to stay.
    pub(crate) fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        for shard in &mut self.shards {
            shard.retain(&stays);
        }
    }

    /// Places.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.used).sum()
    }

    /// Memory of the slots, bytes.
    pub(crate) fn size(&self) -> usize {
        self.shards.iter().map(|shard| shard.slots.capacity() * size_of::<u64>()).sum()
    }

    fn bits(&self, finger: Finger) -> u64 {
        ((finger.0 << SHARD_BITS) & self.mask) >> PACK_BITS
    }
    fn slot(&self, finger: Finger, pack: u32) -> u64 {
        debug_assert!(pack <= PACKS_MAX, "the index numbers no more packs");
        self.bits(finger) << PACK_BITS | (u64::from(pack) + 1)
    }
}

fn pack_of(slot: u64) -> u32 {
    ((slot & ((1 << PACK_BITS) - 1)) - 1) as u32
}

impl Shard {
    /// The first place that a slot may take. Rises with the slot, and is one for all packs of a chunk.
    fn home(&self, slot: u64) -> usize {
        ((u128::from(slot >> PACK_BITS) * self.homes as u128) >> FINGER_BITS) as usize
    }

    fn insert(&mut self, slot: u64) {
        if self.used * 100 >= self.homes * FULL {
            self.rehome(LEAST.max(self.homes + self.homes / 4 + 1));
        }
        let mut at = self.home(slot);
        while self.slots[at] != 0 && self.slots[at] < slot {
            at = self.next(at);
        }
        if self.slots[at] == slot {
            return;
        }
        let mut gap = at;
        while self.slots[gap] != 0 {
            gap = self.next(gap);
        }
        self.slots.copy_within(at..gap, at + 1);
        self.slots[at] = slot;
        self.used += 1;
    }

    /// The place after this one; the tail grows where a cluster needs it.
    fn next(&mut self, at: usize) -> usize {
        if at + 1 == self.slots.len() {
            self.lengthen();
        }
        at + 1
    }

    fn lengthen(&mut self) {
        // A sixteenth more: long tails are made of equal ids, and must not be copied slot by slot.
        let more = TAIL + self.slots.len() / 16;
        self.slots.reserve_exact(more);
        self.slots.resize(self.slots.len() + more, 0);
    }

    /// Lays all slots out over another number of homes.
    fn rehome(&mut self, homes: usize) {
        let old = std::mem::replace(&mut self.slots, vec![0; homes + TAIL]);
        self.homes = homes;
        let mut free = 0;
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let at = free.max(self.home(slot));
            while at >= self.slots.len() {
                self.lengthen();
            }
            self.slots[at] = slot;
            free = at + 1;
        }
    }

    /// Slots only move towards their homes, so one pass in place is enough.
    fn retain(&mut self, stays: &impl Fn(u32) -> bool) {
        let mut free = 0;
        for at in 0..self.slots.len() {
            let slot = std::mem::take(&mut self.slots[at]);
            if slot == 0 {
                continue;
            }
            if !stays(pack_of(slot)) {
                self.used -= 1;
                continue;
            }
            let to = free.max(self.home(slot));
            self.slots[to] = slot;
            free = to + 1;
        }
    }
}

#[cfg(test)]
mod tests;
