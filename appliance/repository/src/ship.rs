//! What the bucket still lacks, in lawful order, and what the tiers hold of each snapshot.
//!
//! Invariants: law L1 by the order of stages; law L2: a snapshot is in the cloud only when every object
//! it needs was acknowledged with the size that we know.

use crate::{
    Entry, ShipItem, Stage, TierUse, fetch,
    inner::Inner,
    layout::{self, FORMAT},
    slots::in_order,
    state::{Held, PackNo, State},
};
use bytes::Bytes;
use holdfast_model::{
    Error, Kind, Result, SnapshotId,
    snapshot::{ImageSection, StreamRef},
    view::{CloudState, LocalState, TierState},
};
use std::{collections::HashSet, sync::Arc};

/// A beginning of a snapshot id must have this many characters.
const PREFIX_MIN: usize = 4;
/// Objects that change what the bucket means; packs, segments and reach lists alone change nothing.
const DECIDING: [&str; 3] = [layout::SNAPSHOTS, layout::TOMBSTONES, layout::SETTINGS];

impl Inner {
    pub(crate) fn to_ship(&self) -> Vec<ShipItem> {
        if self.bucket().is_none() {
            return Vec::new();
        }
        let state = self.read();
        let mut list = List { state: &state, seen: HashSet::new(), items: Vec::new() };
        list.small(FORMAT, Stage::Setup, None);
        let slots = state.small.keys().filter(|key| key.starts_with(layout::SLOTS) && layout::travels(key));
        for key in in_order(slots.cloned().collect()) {
            list.small(&key, Stage::Setup, None);
        }
        for (id, held) in &state.snapshots {
            list.snapshot(id, held);
        }
        if let Some(key) = state.small.keys().rfind(|key| key.starts_with(layout::SETTINGS)) {
            list.small(key, Stage::Settings, None);
        }
        for key in state.small.keys().filter(|key| key.starts_with(layout::TOMBSTONES)) {
            list.small(key, Stage::Settings, None);
        }
        list.items
    }

    /// Bytes of an object for shipping; packs are verified first, so that damage never travels.
    /// Before anything that changes what the bucket means (a snapshot's commit point, a tombstone, settings)
    /// the fence is looked at again (law L5).
    pub(crate) async fn ship_bytes(&self, key: &str) -> Result<Bytes> {
        if let Some(bucket) = self.bucket().filter(|_| DECIDING.iter().any(|class| key.starts_with(class))) {
            self.not_fenced(&*bucket).await?;
        }
        let bytes = self.cache.get(key).await?;
        let Some((_, id)) = layout::parse_pack(key) else { return Ok(bytes) };
        let number = self.read().index.number(&id);
        fetch::verify(id, bytes).await.map_err(|error| match number {
            Some(number) => self.damaged(number, "the cache", error),
            None => error,
        })
    }

    pub(crate) async fn acknowledged(&self, key: &str, size: u64) -> Result<()> {
        let known = self.read().size_of(key);
        match known {
            Some(known) if known == size => {
                if let Some(bucket) = self.bucket().filter(|_| key.starts_with(layout::SNAPSHOTS)) {
                    // Whoever took over before this landed may not spare what it needs: it is called cloud only if
                    // nobody had (the model's check after).
                    self.not_fenced(&*bucket).await?;
                }
                self.remember_ack(key, size);
                self.write().last_acknowledged = Some(self.clock.now());
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

    pub(crate) fn known_image(&self, id: &str) -> Option<ImageSection> {
        let state = self.read();
        let holders = state.snapshots.values().rev().filter(|held| held.snapshot.images.iter().any(|i| i.id == id));
        let held = holders.into_iter().find(|held| is_whole(&state, held))?;
        held.snapshot.images.iter().find(|image| image.id == id).cloned()
    }

    pub(crate) fn known_blob(&self, sha256: &str) -> Option<StreamRef> {
        let state = self.read();
        state.snapshots.values().rev().find_map(|held| {
            let mut parts = held.snapshot.images.iter().flat_map(|image| &image.parts);
            let part = parts.find(|part| part.sha256 == sha256 && part.link.is_none())?;
            is_whole(&state, held).then(|| part.stream.clone())
        })
    }

    pub(crate) fn cache_use(&self) -> TierUse {
        let state = self.read();
        let packs = state.index.packs().filter(|(_, info)| info.cached);
        let smalls: u64 = state.small.values().filter(|small| small.cached).map(|small| small.size).sum();
        tier_use(&state, packs.map(|(_, info)| info.name.size), smalls, |held| {
            local_state(&state, held) == LocalState::Present
        })
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

struct List<'a> {
    state: &'a State,
    seen: HashSet<String>,
    items: Vec<ShipItem>,
}

impl List<'_> {
    fn push(&mut self, key: &str, size: u64, stage: Stage, snapshot: Option<&SnapshotId>) {
        if self.seen.insert(key.to_owned()) {
            self.items.push(ShipItem { key: key.to_owned(), size, stage, snapshot: snapshot.cloned() });
        }
    }
    fn small(&mut self, key: &str, stage: Stage, snapshot: Option<&SnapshotId>) {
        if let Some(small) = self.state.small.get(key).filter(|small| small.cached && !small.acked) {
            self.push(key, small.size, stage, snapshot);
        }
    }
    fn snapshot(&mut self, id: &SnapshotId, held: &Held) {
        // One that cannot be restored here does not become restorable there.
        if !is_whole(self.state, held) {
            return;
        }
        for pack in &held.reach {
            let info = self.state.index.pack(*pack);
            if info.cached && !info.acked {
                self.push(&info.key(), info.name.size, Stage::Pack, Some(id));
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
    let cached = held.reach.iter().filter(|pack| state.index.pack(**pack).cached).count();
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
        (false, _) => CloudState::Shipping,
    }
}
