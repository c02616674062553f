//! Letting packs leave the cache, and bringing them back.
//!
//! Invariants (law L3): a pack leaves only after the bucket was asked for it once more and showed it with its size, and only if it
//! acknowledged or listed it in this life; metadata, the index and all that is small stay; what is not in the cache any more was
//! marked so before its file went, so that nobody takes it for damage. What fails to leave stays and counts as there.

use crate::{
    Meter,
    find::Finder,
    inner::{ACKS, Inner},
    layout::{self, PackKind},
    room::{Coming, Room},
    state::{Fate, PackInfo, PackNo, State},
};
use holdfast_catalog::Table;
use holdfast_model::{
    Error, Kind, Problem, Result,
    cache::{CacheView, Evicted, Warmed},
    snapshot::StreamRef,
};
use holdfast_runtime::Stop;
use holdfast_storage::Store;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Whether the bucket vouches for a pack of the cache, so that it may leave.
fn may_leave(info: &PackInfo) -> bool {
    info.name.kind == PackKind::Data && info.cached() && info.acked && info.proven && info.fate == Fate::Sound
}

/// Packs of the newest snapshots of each app: they leave last.
fn newest(state: &State, keep: u32) -> HashSet<PackNo> {
    let mut seen: HashMap<(&str, &str), u32> = HashMap::new();
    let mut packs = HashSet::new();
    let mut held: Vec<_> = state.snapshots.values().collect();
    held.sort_by_key(|held| std::cmp::Reverse((held.snapshot.time, held.snapshot.sequence)));
    for held in held.into_iter().filter(|held| !held.snapshot.is_of_places()) {
        let count = seen.entry((&held.snapshot.host, &held.snapshot.app)).or_default();
        if *count < keep {
            *count += 1;
            packs.extend(held.reach.iter().copied());
        }
    }
    packs
}

/// What may leave, in the order in which it goes: what nobody needs, then by the newest snapshot that needs it, oldest first;
/// what the newest snapshots need at the end.
fn queue(state: &State, keep: u32) -> Vec<(PackNo, u64)> {
    let newest = newest(state, keep);
    let mut needed: HashMap<PackNo, u64> = HashMap::new();
    for held in state.snapshots.values() {
        for pack in &held.reach {
            let last = needed.entry(*pack).or_default();
            *last = held.snapshot.sequence.max(*last);
        }
    }
    let leaving = state.index.packs().filter(|(_, info)| may_leave(info));
    let mut queue: Vec<_> = leaving.map(|(pack, info)| (pack, info.name.size)).collect();
    queue.sort_by_key(|(pack, _)| (newest.contains(pack), needed.get(pack).copied(), *pack));
    queue
}

/// Bytes of everything in the cache.
fn used(state: &State) -> u64 {
    let smalls = state.small.values().filter(|small| small.cached).map(|small| small.size);
    state.index.cached_bytes() + smalls.sum::<u64>()
}

impl Finder {
    fn attached(&self) -> Option<Arc<dyn Store>> {
        self.bucket.read().expect("no holder panics").clone()
    }

    pub(crate) fn used(&self) -> u64 {
        used(&self.state())
    }

    /// Lets packs go until the cache takes `aim` bytes.
    pub(crate) async fn evict(&self, aim: u64, stop: Option<&Stop>) -> Result<Evicted> {
        let _alone = self.room.leaving.lock().await;
        let mut gone = Evicted::default();
        let (mut used, queue) = {
            let state = self.state();
            (used(&state), queue(&state, self.room.rule().keep_newest))
        };
        let bucket = self.attached();
        let packs = queue.into_iter().zip(bucket.iter().cycle());
        for ((pack, size), bucket) in packs {
            if used <= aim {
                break;
            }
            if stop.is_some_and(Stop::is_cancelled) {
                return Err(Error::new(Kind::Stopped, "evict.stopped", "it was stopped before the cache had its aim"));
            }
            if self.let_go(&**bucket, pack).await? {
                (gone.packs, gone.bytes, used) = (gone.packs + 1, gone.bytes + size, used.saturating_sub(size));
            }
        }
        gone.short_bytes = used.saturating_sub(aim);
        self.room.set_tight(gone.short_bytes > 0);
        Ok(gone)
    }

    /// Whether the pack has left.
    async fn let_go(&self, bucket: &dyn Store, pack: PackNo) -> Result<bool> {
        let (key, size) = {
            let state = self.state();
            let info = state.index.pack(pack);
            (info.key(), info.name.size)
        };
        let shown = bucket.head(&key).await?;
        if shown.is_none_or(|info| info.size != size) {
            self.miss(&key);
            return Ok(false);
        }
        {
            let mut state = self.state.write().expect("no holder panics");
            if !may_leave(state.index.pack(pack)) {
                return Ok(false);
            }
            state.index.set_cached(pack, false);
        }
        if let Err(error) = self.cache.delete(&key).await {
            self.state.write().expect("no holder panics").index.set_cached(pack, true);
            return Err(error.while_doing("a pack could not leave the cache"));
        }
        Ok(true)
    }

    /// The bucket lost a pack that it had acknowledged: it is sent again.
    fn miss(&self, key: &str) {
        if let Err(error) = self.catalog.remove(Table::Packs, &format!("{ACKS}{key}")) {
            tracing::warn!(key, error = %error.chain(), "the catalog did not drop an acknowledgement");
        }
        let text = "the bucket does not show this pack any more as it took it; it stays in the cache and is sent again";
        let mut state = self.state.write().expect("no holder panics");
        state.set_acked(key, false);
        state.note(Problem::warning("bucket.lost", key, text));
    }

    /// Waits until a pack of `size` bytes has room in the cache. Blocks. What belongs to metadata always has: it is small, and
    /// without it nothing that was stored could be committed.
    pub(crate) fn make_room(&self, kind: PackKind, size: u64) -> Result<Option<Coming<'_>>> {
        if kind == PackKind::Meta {
            return Ok(None);
        }
        let claim = || self.room.claim(|| self.used(), size);
        let room = || {
            let aim = match claim() {
                Ok(given) => return Some(given),
                Err(aim) => aim,
            };
            // As far as the low-water mark: what goes next is found by going over all snapshots, which is not for each pack.
            let aim = aim.min(self.room.low_mark(self.used()));
            if let Err(error) = self.runtime.block_on(self.evict(aim, None)) {
                tracing::warn!(error = %error.chain(), "nothing could leave the full cache");
            }
            claim().ok()
        };
        let given = self.room.wait(room, || self.attached().is_some())?;
        if self.room.aim(self.used().saturating_add(size)).is_some() {
            self.room.changed().notify_one();
        }
        Ok(Some(given))
    }

    /// Whether something that nobody waits for may come into the cache.
    pub(crate) fn has_room(&self, size: u64) -> bool {
        let used = self.used();
        used.saturating_add(size) <= self.room.limit(used)
    }
}

impl Inner {
    pub(crate) fn room(&self) -> &Room {
        &self.finder.room
    }

    pub(crate) async fn evict(&self, aim: Option<u64>, stop: &Stop) -> Result<Evicted> {
        let aim = aim.or_else(|| self.room().aim(self.finder.used()));
        match aim {
            Some(aim) => self.finder.evict(aim, Some(stop)).await,
            None => Ok(Evicted::default()),
        }
    }

    /// What [`Inner::evict`] would do.
    pub(crate) fn evict_plan(&self, aim: Option<u64>) -> Evicted {
        let state = self.read();
        let mut used = used(&state);
        let Some(aim) = aim.or_else(|| self.room().aim(used)) else { return Evicted::default() };
        let mut gone = Evicted::default();
        if self.bucket().is_some() {
            for (_, size) in queue(&state, self.room().rule().keep_newest) {
                if used <= aim {
                    break;
                }
                (gone.packs, gone.bytes, used) = (gone.packs + 1, gone.bytes + size, used.saturating_sub(size));
            }
        }
        gone.short_bytes = used.saturating_sub(aim);
        gone
    }

    pub(crate) fn cache_view(&self) -> CacheView {
        let bucket_only_bytes = self.only_in_bucket().bytes;
        let attached = self.bucket().is_some();
        let rule = self.room().rule();
        let state = self.read();
        let newest = newest(&state, rule.keep_newest);
        let mut view = CacheView {
            used_bytes: used(&state),
            bucket_only_bytes,
            waiting: self.room().is_waited_for(),
            ..CacheView::default()
        };
        view.limit_bytes = self.room().limit(view.used_bytes);
        for (pack, info) in state.index.packs().filter(|(_, info)| info.cached()) {
            let size = info.name.size;
            let add = |sum: &mut u64, is: bool| *sum += if is { size } else { 0 };
            let is_data = info.name.kind == PackKind::Data;
            add(&mut view.unshipped_bytes, !info.acked);
            add(&mut view.pinned_bytes, !is_data);
            add(&mut view.newest_bytes, is_data && newest.contains(&pack));
            add(&mut view.evictable_bytes, attached && may_leave(info));
        }
        for (key, small) in state.small.iter().filter(|(_, small)| small.cached) {
            view.pinned_bytes += small.size;
            view.unshipped_bytes += if layout::travels(key) && !small.acked { small.size } else { 0 };
        }
        drop(state);
        CacheView { rule, ..view }
    }

    /// Brings the packs of some streams back into the cache, as far as they have room.
    pub(crate) async fn warm(
        self: &Arc<Self>,
        streams: &[StreamRef],
        meter: Option<Arc<dyn Meter>>,
        stop: &Stop,
    ) -> Result<Warmed> {
        let _kept = self.pins.reader();
        let segments = streams.iter().flat_map(|stream| stream.segments.iter().copied()).collect();
        let mut warmed = Warmed::default();
        for pack in self.reach_of(segments).await? {
            if stop.is_cancelled() {
                return Err(Error::new(Kind::Stopped, "warm.stopped", "it was stopped before all was in the cache"));
            }
            let info = self.read().index.pack(pack).clone();
            if info.cached() {
                warmed.here += 1;
                continue;
            }
            let size = info.name.size;
            if !self.finder.has_room(size) {
                warmed.short_bytes += size;
                continue;
            }
            let bytes = self.pack_from_bucket(pack).await?;
            self.keep(pack, &info.key(), bytes).await?;
            (warmed.packs, warmed.bytes) = (warmed.packs + 1, warmed.bytes + size);
            if let Some(meter) = &meter {
                meter.moved(size);
            }
        }
        Ok(warmed)
    }

    /// Packs of running backups that no snapshot needs yet: where room is wanted they go to the bucket ahead of their
    /// snapshot, so that they can leave (law L1 holds: packs come first anyway, and nobody needs these before the commit).
    pub(crate) fn young(&self, state: &State, listed: impl Fn(PackNo) -> bool) -> Vec<PackNo> {
        if !self.room().is_tight() {
            return Vec::new();
        }
        let since = self.pins.view().oldest_session;
        let is_young = |info: &PackInfo| {
            info.name.kind == PackKind::Data
                && info.cached()
                && !info.acked
                && info.fate == Fate::Sound
                && info.born >= since
        };
        let young = state.index.packs().filter(|(pack, info)| is_young(info) && !listed(*pack));
        young.map(|(pack, _)| pack).collect()
    }
}
