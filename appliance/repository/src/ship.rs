//! What the bucket still lacks, in lawful order, and what the tiers hold of each snapshot.
//!
//! Invariants: law L1 by the order of stages; law L2: a snapshot is in the cloud only when every object
//! it needs was acknowledged with the size that we know.

use crate::{
    Entry, ShipItem, ShipList, Stage, TierUse, fetch,
    inner::{Inner, is_damage, stale},
    late::Stuck,
    layout::{self, FORMAT, PackKind},
    pins::View,
    slots::in_order,
    state::{Fate, Held, PackNo, State},
};
use bytes::Bytes;
use holdfast_model::{
    Error, Kind, PackId, Problem, Result, SnapshotId,
    snapshot::{ImageSection, StreamRef},
    view::{CloudState, LocalState, TierState},
};
use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

/// A beginning of a snapshot id must have this many characters.
const PREFIX_MIN: usize = 4;
/// Objects that change what the bucket means; packs, segments and reach lists alone change nothing.
const DECIDING: [&str; 3] = [layout::SNAPSHOTS, layout::TOMBSTONES, layout::SETTINGS];
/// Of a list of bounded length, room for so much of one in this many is kept for snapshots that are held up.
const LATE_PART: usize = 8;
/// Code of the error that says that the bucket did not tell whether somebody has taken over.
pub const FENCE_UNSEEN: &str = "bucket.fence_unseen";
/// How old the last look at the fence may be for all else, in milliseconds.
const FENCE_AGE: i64 = 60_000;

impl Inner {
    pub(crate) fn to_ship(&self, most: usize, stuck: &HashSet<String>) -> ShipList {
        if self.bucket().is_none() {
            return ShipList::default();
        }
        // Where the cache is full, what running backups have written so far may go, so that it can leave.
        let at_work = self.room.is_pressed().then(|| self.pins.view());
        let state = self.read();
        let mut list = List {
            state: &state,
            most,
            packs_only: false,
            packs: HashSet::new(),
            seen: HashSet::new(),
            found: ShipList::default(),
        };
        list.small(FORMAT, Stage::Setup, None);
        let slots = state.small.keys().filter(|key| key.starts_with(layout::SLOTS) && layout::travels(key));
        for key in in_order(slots.cloned().collect()) {
            list.small(&key, Stage::Setup, None);
        }
        // Small, free of all others, and what a new appliance wants first: never behind a terabyte of packs.
        if let Some(key) = state.small.keys().rfind(|key| key.starts_with(layout::SETTINGS)) {
            list.small(key, Stage::Settings, None);
        }
        for key in state.small.keys().filter(|key| key.starts_with(layout::TOMBSTONES)) {
            list.small(key, Stage::Settings, None);
        }
        let stuck = Stuck::of(&state, stuck);
        let (late, first): (Vec<_>, Vec<_>) =
            state.snapshots.iter().partition(|(id, held)| stuck.hold_up(&state, id, held));
        first.into_iter().for_each(|(id, held)| list.snapshot(id, held));
        // What was cut off is not listed, and what is not listed passes for acknowledged: only packs may go ahead of it (L1).
        list.packs_only = list.found.objects > list.found.items.len() as u64;
        list.most = most.max(list.found.items.len() + most / LATE_PART);
        late.into_iter().for_each(|(id, held)| list.snapshot(id, held));
        if let Some(at_work) = at_work {
            list.most = list.most.max(list.found.items.len() + most / LATE_PART);
            list.unfinished(&at_work);
        }
        list.found
    }

    /// Bytes of an object for shipping; packs are verified first, so that damage never travels.
    /// Before anything that changes what the bucket means (a snapshot's commit point, a tombstone, settings)
    /// the fence is looked at again (law L5); for the rest, which only takes room, once a minute.
    pub(crate) async fn ship_bytes(&self, key: &str) -> Result<Bytes> {
        if let Some(bucket) = self.bucket().filter(|_| self.asks_for_fence(key)) {
            self.not_fenced(&*bucket).await.map_err(unseen)?;
            self.fence_seen.store(self.clock.now().millis(), Ordering::Relaxed);
        }
        let Some((_, id)) = layout::parse_pack(key) else { return self.cache.get(key).await };
        let mut last = None;
        // Damage may be of the way: one reading proves nothing.
        for _ in 0..2 {
            let read = async { fetch::verify(id, self.cache.get(key).await?).await }.await;
            match read {
                Err(error) if is_damage(&error) => last = Some(error),
                read => return read,
            }
        }
        Err(self.lost_before_it_was_shipped(id, last.unwrap_or_else(stale)))
    }

    /// Whether the fence is to be looked at before an object of this name is sent; of no name, whether the last look is too old.
    pub(crate) fn asks_for_fence(&self, key: &str) -> bool {
        let age = self.clock.now().millis().saturating_sub(self.fence_seen.load(Ordering::Relaxed));
        DECIDING.iter().any(|class| key.starts_with(class)) || !(0..FENCE_AGE).contains(&age)
    }

    /// A pack that only the cache had, damaged or gone there. It counts as absent from now on: snapshots that need it are not
    /// whole and stay, others go on, and the next backup of the same data stores it again.
    fn lost_before_it_was_shipped(&self, id: PackId, cause: Error) -> Error {
        let Some(number) = self.read().index.number(&id) else { return cause };
        let error = self.damaged(number, "the cache", cause);
        let mut state = self.write();
        let info = state.index.pack(number);
        if info.cached() && !info.acked {
            let key = info.key();
            state.index.set_cached(number, false);
            state.note(Problem::from_error(key, &error));
        }
        error
    }

    pub(crate) async fn acknowledged(&self, key: &str, size: u64) -> Result<()> {
        let known = self.read().size_of(key);
        match known {
            Some(known) if known == size => {
                if let Some(bucket) = self.bucket().filter(|_| key.starts_with(layout::SNAPSHOTS)) {
                    // Whoever took over before this landed may not spare what it needs: it is called cloud only if
                    // nobody had (the model's check after).
                    self.not_fenced(&*bucket).await.map_err(unseen)?;
                }
                self.remember_ack(key, size);
                self.write().last_acknowledged = Some(self.clock.now());
                self.room.acknowledged();
                Ok(())
            }
            Some(known) => Err(Error::new(
                Kind::Corrupt,
                "bucket.size",
                format!("the bucket holds {size} bytes of {key}, which has {known}"),
            )),
            // Pruned while it was on its way. A snapshot must not stay visible without its packs (law L1).
            None => match self.bucket() {
                Some(bucket) => bucket.delete(key).await,
                None => Ok(()),
            },
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        let cloud = self.bucket().is_some();
        let state = self.read();
        state.snapshots.values().map(|held| entry(&state, held, cloud)).collect()
    }

    pub(crate) fn entry(&self, wanted: &str) -> Result<Entry> {
        let cloud = self.bucket().is_some();
        let state = self.read();
        let wanted = wanted.trim().to_lowercase();
        let mut fitting = state.snapshots.iter().filter(|(id, _)| id.as_str().starts_with(&wanted));
        match (fitting.next(), fitting.next()) {
            _ if wanted.len() < PREFIX_MIN => Err(Error::invalid(
                "snapshot.id",
                format!("“{wanted}” is too short for a snapshot; give {PREFIX_MIN} characters or more"),
            )),
            (Some((_, held)), None) => Ok(entry(&state, held, cloud)),
            (Some(_), Some(_)) => {
                Err(Error::invalid("snapshot.ambiguous", format!("several snapshots begin with “{wanted}”"))
                    .advice("give more characters of the id"))
            }
            (None, _) => Err(Error::not_found("snapshot.missing", format!("there is no snapshot “{wanted}”"))),
        }
    }

    /// One that came damaged is not known: it is read again with each backup until it is whole.
    pub(crate) fn known_image(&self, id: &str) -> Option<ImageSection> {
        let state = self.read();
        let mut newest = state.snapshots.values().rev();
        newest.find_map(|held| held.snapshot.sound_image(id).filter(|_| is_whole(&state, held)).cloned())
    }

    pub(crate) fn known_blob(&self, sha256: &str) -> Option<StreamRef> {
        let state = self.read();
        state.snapshots.values().rev().find_map(|held| {
            let mut parts = held.snapshot.images.iter().flat_map(|image| &image.parts);
            let part = parts.find(|part| part.stream.sha256 == sha256 && part.link.is_none())?;
            is_whole(&state, held).then(|| part.stream.clone())
        })
    }

    pub(crate) fn cache_use(&self) -> TierUse {
        let state = self.read();
        let packs = state.index.packs().filter(|(_, info)| info.cached());
        let smalls: u64 = state.small.values().filter(|small| small.cached).map(|small| small.size).sum();
        tier_use(&state, packs.map(|(_, info)| info.name.size), smalls, |held| {
            local_state(&state, held) == LocalState::Present
        })
    }

    pub(crate) fn only_in_bucket(&self) -> TierUse {
        let state = self.read();
        // Without one attached nobody knows what lies there: what the cache has not is taken for its.
        let attached = self.bucket().is_some();
        let only = |pack: &PackNo| {
            let info = state.index.pack(*pack);
            !info.cached() && (info.acked || !attached)
        };
        let packs: HashSet<PackNo> = state.live().into_iter().filter(|pack| only(pack)).collect();
        let sizes = packs.iter().map(|pack| state.index.pack(*pack).name.size);
        tier_use(&state, sizes, 0, |held| held.reach.iter().any(|pack| packs.contains(pack)))
    }

    pub(crate) fn bucket_use(&self) -> TierUse {
        let state = self.read();
        let packs = state.index.packs().filter(|(_, info)| info.acked);
        let smalls: u64 = state.small.values().filter(|small| small.acked).map(|small| small.size).sum();
        tier_use(&state, packs.map(|(_, info)| info.name.size), smalls, |held| {
            cloud_state(&state, held, true) == CloudState::Present
        })
    }
}

/// The bucket did not tell whether somebody has taken over: that is its own trouble, not the object's.
fn unseen(error: Error) -> Error {
    if error.code() == "repository.fenced" {
        return error;
    }
    let words = format!("whether another appliance has taken over could not be seen: {}", error.chain());
    Error::new(error.kind(), FENCE_UNSEEN, words).advice(error.advice_text().unwrap_or("it is tried again").to_owned())
}

struct List<'a> {
    state: &'a State,
    most: usize,
    packs_only: bool,
    packs: HashSet<PackNo>,
    seen: HashSet<String>,
    found: ShipList,
}

impl List<'_> {
    /// Behind the most that are wanted they are only counted: a name each would be much memory for a full cache.
    fn push(&mut self, key: impl FnOnce() -> String, size: u64, stage: Stage, snapshot: Option<&SnapshotId>) {
        self.found.objects += 1;
        self.found.bytes += size;
        if self.found.items.len() < self.most && (!self.packs_only || stage == Stage::Pack) {
            self.found.items.push(ShipItem { key: key(), size, stage, snapshot: snapshot.cloned() });
        }
    }
    fn small(&mut self, key: &str, stage: Stage, snapshot: Option<&SnapshotId>) {
        let small = self.state.small.get(key).filter(|small| small.cached && !small.acked);
        if let Some(small) = small.filter(|_| self.seen.insert(key.to_owned())) {
            self.push(|| key.to_owned(), small.size, stage, snapshot);
        }
    }
    fn snapshot(&mut self, id: &SnapshotId, held: &Held) {
        // One that cannot be restored here does not become restorable there.
        if !is_whole(self.state, held) {
            return;
        }
        for pack in &held.reach {
            let info = self.state.index.pack(*pack);
            if info.cached() && !info.acked && self.packs.insert(*pack) {
                self.push(|| info.key(), info.name.size, Stage::Pack, Some(id));
            }
        }
        let committed = self.state.is_acked(&layout::snapshot_key(id));
        if committed {
            return;
        }
        let reach: HashSet<PackNo> = held.reach.iter().copied().collect();
        for (key, packs) in &self.state.segments {
            if packs.iter().any(|pack| reach.contains(pack)) {
                self.small(key, Stage::Segment, Some(id));
            }
        }
        self.small(&self.state.reach_key(id), Stage::Reach, Some(id));
        self.small(&layout::snapshot_key(id), Stage::Snapshot, Some(id));
    }
    /// Data that backups under way have written or lean on. It is listed last and for no snapshot: nothing waits for it, and what a
    /// backup leaves behind that comes to nothing is garbage in the bucket as it is here.
    fn unfinished(&mut self, at_work: &View) {
        for (number, info) in self.state.index.packs() {
            let goes = info.name.kind == PackKind::Data && info.cached() && !info.acked && info.fate == Fate::Sound;
            let is_needed = info.born >= at_work.oldest_session || at_work.pinned.contains(&number);
            if goes && is_needed && self.packs.insert(number) {
                self.push(|| info.key(), info.name.size, Stage::Pack, None);
            }
        }
    }
}

fn tier_use(state: &State, packs: impl Iterator<Item = u64>, smalls: u64, complete: impl Fn(&Held) -> bool) -> TierUse {
    let (packs, bytes) = packs.fold((0, smalls), |(count, bytes), size| (count + 1, bytes + size));
    let snapshots = state.snapshots.values().filter(|held| complete(held)).count();
    TierUse { bytes, packs, snapshots: u32::try_from(snapshots).unwrap_or(u32::MAX) }
}

fn entry(state: &State, held: &Held, cloud: bool) -> Entry {
    let tiers = TierState { local: local_state(state, held), cloud: cloud_state(state, held, cloud) };
    Entry { snapshot: Arc::clone(&held.snapshot), state: tiers }
}

/// Whether every pack lies in some tier.
fn is_whole(state: &State, held: &Held) -> bool {
    held.reach.iter().all(|pack| state.index.pack(*pack).present())
}

fn local_state(state: &State, held: &Held) -> LocalState {
    let cached = held.reach.iter().filter(|pack| state.index.pack(**pack).cached()).count();
    match cached {
        all if all == held.reach.len() => LocalState::Present,
        0 => LocalState::Absent,
        _ => LocalState::Partial,
    }
}

fn cloud_state(state: &State, held: &Held, cloud: bool) -> CloudState {
    if !cloud {
        return CloudState::None;
    }
    let id = &held.snapshot.id;
    let committed = state.is_acked(&layout::snapshot_key(id)) && state.is_acked(&state.reach_key(id));
    let packs = held.reach.iter().all(|pack| state.index.pack(*pack).acked);
    match (committed, packs) {
        (true, true) => CloudState::Present,
        (true, false) => CloudState::Damaged,
        // It will never arrive.
        (false, _) if !is_whole(state, held) => CloudState::Damaged,
        (false, _) => CloudState::Shipping,
    }
}
