//! Forgetting snapshots and freeing what nothing needs then, in both tiers, beside running backups and restores.
//!
//! Order for safety at every point: tombstone, snapshot, reach list; condemn; in the bucket a grace and a verdict
//! (`condemn`); a superseding index segment; then packs. In the cache `pins` says who is at work, and no grace is
//! needed. Invariants: what a remaining snapshot or a running backup needs is never deleted; packs leave the bucket only
//! after every snapshot that needed them has left it; run again, it goes on where it stopped.

use crate::{
    PruneOutcome, PrunePlan,
    condemn::{GRACE_SECONDS, Sentence},
    inner::Inner,
    layout::{self, PackKind},
    settings::KEPT,
    state::{Fate, PackNo, Small, State},
    survey::{Findings, Repack},
};
use bytes::Bytes;
use holdfast_chunk::ObjectKind;
use holdfast_model::{Error, Kind, Moment, PackId, Problem, Result, SegmentId, SnapshotId};
use holdfast_runtime::Stop;
use holdfast_storage::{PutMode, Store};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

/// The work of one prune.
pub(crate) struct Work {
    /// The bucket, while it obeys.
    pub(crate) bucket: Option<Arc<dyn Store>>,
    pub(crate) outcome: PruneOutcome,
}

impl Work {
    /// The bucket refused or failed: named once, and left alone for the rest of this run.
    pub(crate) fn give_up_bucket(&mut self, what: &str, error: &Error) {
        let Some(bucket) = self.bucket.take() else { return };
        let text = format!("{what} could not be removed from the bucket; the cache was pruned: {}", error.chain());
        self.outcome.problems.push(
            Problem::warning(error.code(), bucket.place(), text)
                .advice("prune again when the bucket can be written, or give the appliance a key that may delete"),
        );
    }

    /// Deletes in the bucket; the answer is whether the object is gone there, as far as the bucket says.
    pub(crate) async fn delete(&mut self, inner: &Inner, key: &str) -> bool {
        let Some(bucket) = self.bucket.clone() else { return !acked(&inner.read(), key) };
        match bucket.delete(key).await {
            Ok(()) => {
                inner.forget_ack(key);
                inner.note_deleted(key);
                true
            }
            Err(error) => {
                self.give_up_bucket(key, &error);
                false
            }
        }
    }
}

impl Inner {
    /// Plans; changes nothing but to take back what failed to be committed.
    pub(crate) async fn prune_plan(self: &Arc<Self>, forget: Vec<SnapshotId>, limits: &Repack) -> Result<PrunePlan> {
        self.take_back_commits().await;
        let dead = {
            let state = self.read();
            let unreadable = unreadable_snapshots(&state);
            let is_known = |id: &SnapshotId| state.snapshots.contains_key(id) || unreadable.contains(id);
            if let Some(unknown) = forget.iter().find(|id| !is_known(id)) {
                return Err(Error::not_found("snapshot.missing", format!("there is no snapshot {unknown}")));
            }
            nothing_unreadable(&state, &forget)?;
            let gone: HashSet<&SnapshotId> = forget.iter().collect();
            dead_packs(&state, &gone)
        };
        let Findings { mut moves, held_bytes, survey } = self.find_waste(&forget, &dead, limits).await?;
        // What is locked stays whatever is done; moved as well, it would be there twice.
        let moved: Vec<PackNo> = moves.iter().map(|one| one.pack).collect();
        self.learn_locks(&dead).await;
        self.learn_locks(&moved).await;
        let (unmoved, _) = self.locked_among(&moved);
        moves.retain(|one| !unmoved.contains(&one.pack));
        let (locked, locked_bytes) = self.locked_among(&dead);
        let state = self.read();
        let free = dead.iter().filter(|pack| !locked.contains(pack));
        let infos: Vec<_> = free.map(|pack| state.index.pack(*pack)).collect();
        // What is locked leaves the cache all the same.
        let leaving = locked.iter().map(|pack| state.index.pack(*pack)).filter(|info| info.name.kind == PackKind::Data);
        let in_cache = infos.iter().copied().chain(leaving).filter(|info| info.cached());
        Ok(PrunePlan {
            forget,
            packs: infos.iter().map(|info| info.name.id).collect(),
            cache_bytes: in_cache.map(|info| info.name.size).sum(),
            bucket_bytes: infos.iter().filter(|info| info.acked).map(|info| info.name.size).sum(),
            held_bytes,
            repack: moves.iter().map(|one| one.id).collect(),
            repack_bytes: moves.iter().map(|one| one.living).sum(),
            repack_frees: moves.iter().map(|one| one.dead).sum(),
            moves,
            survey,
            grace_seconds: GRACE_SECONDS,
            locked: locked.len() as u64,
            locked_bytes,
        })
    }

    /// Carries a plan out.
    pub(crate) async fn prune(self: &Arc<Self>, plan: PrunePlan, stop: &Stop) -> Result<PruneOutcome> {
        let _alone = self.gate.write().await;
        nothing_unreadable(&self.read(), &plan.forget)?;
        let mut work = Work { bucket: self.bucket(), outcome: PruneOutcome::default() };
        self.ask_the_fence(&mut work).await?;
        let unreadable = unreadable_snapshots(&self.read());
        (work.outcome.locked, work.outcome.locked_bytes) = (plan.locked, plan.locked_bytes);
        for id in &plan.forget {
            if self.read().snapshots.contains_key(id) || unreadable.contains(id) {
                work.outcome.problems.extend(self.locked_until(id).map(|until| still_locked(id, until)));
                self.bury(id, &mut work).await?;
                work.outcome.snapshots += 1;
            }
        }
        let bucket_is_clean = self.sweep_leftovers(plan.grace_seconds, &mut work).await?;
        if !bucket_is_clean {
            // A snapshot that is still visible in the bucket must stay restorable from it (law L1).
            work.bucket = None;
        }
        let moved = self.carry_moves(&plan, &mut work, stop).await?;
        let (local, shared) = self.condemn(&plan.packs.into_iter().chain(moved).collect());
        let sentences = self.judge_bucket(&shared, plan.grace_seconds, &mut work).await?;
        let (mut doomed, _) = self.doom(&local, &HashSet::new(), &HashSet::new());
        doomed.extend(sentences.iter().flat_map(|sentence| &sentence.packs));
        let put_off = {
            let _alone = self.listing.lock().await;
            // On a full disk packs go first: rows of packs that lie nowhere do not count (R3).
            let put_off = match self.supersede(&doomed, &mut work).await {
                Err(error) if error.kind() == Kind::Full => true,
                result => result.map(|()| false)?,
            };
            self.sweep_segments(&mut work).await?;
            put_off
        };
        self.delete_packs(&doomed, &mut work, stop).await?;
        if put_off {
            let _alone = self.listing.lock().await;
            self.supersede(&doomed, &mut work).await?;
        }
        if !sentences.is_empty()
            && let Err(error) = self.close(sentences, &mut work).await
        {
            work.give_up_bucket("a condemn list", &error);
        }
        self.drop_copies(&shared, &mut work).await?;
        self.drop_locked_copies(&mut work, stop).await;
        self.sweep_settings(&mut work).await?;
        self.sweep_verdicts().await?;
        Ok(work.outcome)
    }

    /// From now on these packs count as absent, but those that somebody needs or is about to need. The answer is all
    /// condemned packs: those that only the cache holds, and those that the bucket holds.
    fn condemn(&self, planned: &HashSet<PackId>) -> (Vec<PackNo>, Vec<PackNo>) {
        let struck = self.pins.strike();
        let now = self.clock.now();
        let mut state = self.write();
        let dead = dead_packs(&state, &HashSet::new());
        let view = self.pins.view();
        let (mut local, mut shared) = (Vec::new(), Vec::new());
        for pack in dead {
            let info = state.index.pack_mut(pack);
            let free = !view.pinned.contains(&pack) && info.born < view.oldest_session && !info.is_locked(now);
            if info.fate == Fate::Sound && free && planned.contains(&info.name.id) {
                info.fate = Fate::Condemned(struck);
            }
            if info.fate != Fate::Sound {
                if info.acked { &mut shared } else { &mut local }.push(pack);
            }
        }
        (local, shared)
    }

    async fn judge_bucket(
        self: &Arc<Self>,
        shared: &[PackNo],
        grace_seconds: u64,
        work: &mut Work,
    ) -> Result<Vec<Sentence>> {
        let Some(bucket) = work.bucket.clone() else { return Ok(Vec::new()) };
        match self.judge_condemned(&bucket, shared, grace_seconds).await {
            Err(error) if error.kind() == Kind::Refused => Err(error),
            Err(error) => {
                work.give_up_bucket("what is not needed any more", &error);
                Ok(Vec::new())
            }
            done => done,
        }
    }

    /// What is dead and locked in the bucket need not lie here as well. That it could not leave is no reason to fail: a full cache tries again.
    async fn drop_locked_copies(&self, work: &mut Work, stop: &Stop) {
        let dead = dead_packs(&self.read(), &HashSet::new());
        let (locked, _) = self.locked_among(&dead);
        let cached: Vec<PackNo> = {
            let state = self.read();
            locked.into_iter().filter(|pack| state.index.pack(*pack).cached()).collect()
        };
        if cached.is_empty() || work.bucket.is_none() {
            return;
        }
        match self.let_dead_go(&cached, stop).await {
            Ok(gone) => work.outcome.cache_bytes += gone.bytes,
            Err(error) => tracing::warn!(error = %error.chain(), "locked packs that nobody needs stay in the cache"),
        }
    }

    /// Copies in the cache of packs that wait in the bucket go at once, unless somebody reads.
    async fn drop_copies(&self, shared: &[PackNo], work: &mut Work) -> Result<()> {
        let copies: Vec<(PackNo, String, u64)> = {
            let mut state = self.write();
            let live = state.live();
            let view = self.pins.view();
            let mut copies = Vec::new();
            for pack in shared.iter().filter(|pack| !live.contains(pack) && !view.pinned.contains(pack)) {
                let info = state.index.pack(*pack).clone();
                let Fate::Condemned(struck) = info.fate else { continue };
                work.outcome.waiting += u64::from(info.acked);
                work.outcome.waiting_bytes += if info.acked { info.name.size } else { 0 };
                if info.cached() && struck < view.oldest_reader && info.born < view.oldest_session {
                    state.index.set_cached(*pack, false);
                    copies.push((*pack, info.key(), info.name.size));
                }
            }
            copies
        };
        for (pack, key, size) in copies {
            self.cache.delete(&key).await?;
            self.shelf.drop_pack(pack);
            work.outcome.cache_bytes += size;
        }
        Ok(())
    }

    /// Whoever took over may need what we would delete: nothing is forgotten then, in no tier (law L5).
    async fn ask_the_fence(&self, work: &mut Work) -> Result<()> {
        let Some(bucket) = work.bucket.clone() else { return Ok(()) };
        match self.not_fenced(&*bucket).await {
            Err(error) if error.kind() == Kind::Refused => Err(error),
            Err(error) => {
                work.give_up_bucket("what is not needed any more", &error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Tombstone first: from then on the snapshot is gone whatever happens.
    async fn bury(self: &Arc<Self>, id: &SnapshotId, work: &mut Work) -> Result<()> {
        let key = layout::tombstone_key(id);
        let sealed = self.tombstone(&key).await?;
        let kept_here = match self.put_small(&key, sealed.clone(), PutMode::Replace).await {
            Err(error) if error.kind() == Kind::Full => Err(error),
            result => Ok(result?),
        };
        if let Some(bucket) = &work.bucket {
            match bucket.put(&key, sealed.clone(), PutMode::Replace).await {
                Ok(()) => {
                    let size = sealed.len() as u64;
                    self.write().small.entry(key.clone()).or_insert(Small { size, ..Small::default() });
                    self.remember_ack(&key, size);
                }
                Err(error) => work.give_up_bucket(&key, &error),
            }
        }
        if let Err(full) = kept_here {
            self.bury_on_full_disk(id, &key, full).await?;
        }
        self.buried.lock().expect("no holder panics").insert(id.clone(), self.clock.now());
        self.write().snapshots.remove(id);
        Ok(())
    }

    /// The words that a snapshot is forgotten: those that were written before, which the bucket may hold though it did not say so; other
    /// ones would never take their place there.
    async fn tombstone(&self, key: &str) -> Result<Bytes> {
        if self.read().small.get(key).is_some_and(|small| small.cached)
            && let Ok(known) = self.cache.get(key).await
            && self.envelope().open(ObjectKind::Tombstone, key, &known).is_ok()
        {
            return Ok(known);
        }
        Ok(self.envelope().seal(ObjectKind::Tombstone, key, self.clock.now().to_string().as_bytes())?.into())
    }

    /// The disk has no room even for a tombstone. The bucket's copy of it does as well; and what the bucket does not
    /// hold needs none: removing the snapshot here is the end of it.
    async fn bury_on_full_disk(&self, id: &SnapshotId, tombstone: &str, full: Error) -> Result<()> {
        let snapshot = layout::snapshot_key(id);
        let may_come_back = {
            let state = self.read();
            state.is_acked(&snapshot) && !state.is_acked(tombstone)
        };
        if may_come_back {
            return Err(full);
        }
        self.delete_cached(&snapshot).await?;
        let editions = self.read().editions(id);
        for key in editions {
            self.delete_cached(&key).await?;
        }
        Ok(())
    }

    /// Removes snapshots and reach lists that are buried, and reach lists whose snapshot never came.
    /// The answer is whether the bucket shows no buried snapshot any more.
    async fn sweep_leftovers(self: &Arc<Self>, grace_seconds: u64, work: &mut Work) -> Result<bool> {
        let buried: Vec<SnapshotId> =
            self.keys_of(layout::TOMBSTONES).iter().filter_map(|key| layout::snapshot_of(key)).collect();
        let (mut clean, mut settled) = (true, Vec::new());
        for id in buried {
            let mut gone = true;
            let mut keys = vec![layout::snapshot_key(&id), layout::reach_key(&id)];
            let later = self.read().editions(&id);
            keys.extend(later.into_iter().filter(|key| *key != layout::reach_key(&id)));
            for key in keys {
                let removed = work.delete(self, &key).await;
                gone &= removed;
                self.delete_cached(&key).await?;
            }
            clean &= gone;
            if gone && self.is_settled(&id, grace_seconds) {
                settled.push(id);
            }
        }
        clean &= self.drop_tombstones(&settled, work).await?;
        let orphans: Vec<String> = {
            let state = self.read();
            let reaches = state.small.keys().filter(|key| key.starts_with(layout::REACHES));
            let orphans = reaches.filter(|key| {
                let is_orphan = |id: SnapshotId| {
                    state.writing.as_ref() != Some(&id) && !state.small.contains_key(&layout::snapshot_key(&id))
                };
                layout::snapshot_of(key).is_none_or(is_orphan)
            });
            orphans.cloned().collect()
        };
        for key in orphans {
            if let Some(id) = layout::snapshot_of(&key).filter(|_| self.read().is_acked(&key)) {
                // A commit that was under way when we took over may still land: it must find itself buried. The next
                // prune sweeps up.
                self.bury(&id, work).await?;
                continue;
            }
            work.delete(self, &key).await;
            self.delete_cached(&key).await?;
        }
        let kept: Vec<SnapshotId> = self.read().snapshots.keys().cloned().collect();
        for id in kept {
            self.sweep_editions(&id, work).await?;
        }
        self.sweep_litter(work).await;
        Ok(clean)
    }

    async fn sweep_litter(&self, work: &mut Work) {
        let litter: Vec<String> = self.read().litter.iter().cloned().collect();
        for key in litter {
            if work.bucket.is_some() && work.delete(self, &key).await {
                self.write().litter.remove(&key);
            }
        }
    }

    /// Whether nothing of a buried snapshot can be on its way to the bucket any more. A tombstone that left before would
    /// let it stand there as a snapshot whose data is gone.
    fn is_settled(&self, id: &SnapshotId, grace_seconds: u64) -> bool {
        let mut buried = self.buried.lock().expect("no holder panics");
        let grace = i64::try_from(grace_seconds).unwrap_or(i64::MAX).saturating_mul(1000);
        let settled = buried.get(id).is_none_or(|at| self.clock.now().since(*at) >= grace);
        if settled {
            buried.remove(id);
        }
        settled
    }

    /// Deletes a small object from the cache and forgets it if no tier holds it.
    pub(crate) async fn delete_cached(&self, key: &str) -> Result<()> {
        let deleted = self.cache.delete(key).await;
        let mut state = self.write();
        // Also if it failed: it may be gone all the same.
        state.set_cached(key, false);
        deleted?;
        if !state.is_acked(key) {
            state.small.remove(key);
        }
        Ok(())
    }

    /// Replaces index segments that name dead packs.
    async fn supersede(self: &Arc<Self>, dead: &[PackNo], work: &mut Work) -> Result<()> {
        let dead: HashSet<PackNo> = dead.iter().copied().collect();
        let affected: BTreeMap<String, bool> = {
            let state = self.read();
            let affected = state.segments.iter().filter(|(_, packs)| packs.iter().any(|pack| dead.contains(pack)));
            affected.map(|(key, packs)| (key.clone(), packs.iter().any(|pack| !dead.contains(pack)))).collect()
        };
        if affected.is_empty() {
            return Ok(());
        }
        let mut replaced_in_bucket = true;
        if affected.values().any(|survivors| *survivors) {
            let (survivors, old) = self.survivors(&dead, affected.keys());
            let (new, _) = self.write_segments(survivors, old).await?;
            for key in new {
                // The last one makes the old ones void: without those before it, it must not be there.
                replaced_in_bucket = replaced_in_bucket && self.ship_segment(&key, work).await;
            }
        }
        for key in affected.keys() {
            if replaced_in_bucket {
                work.delete(self, key).await;
            }
            self.write().drop_segment(key);
            self.delete_cached(key).await?;
        }
        Ok(())
    }

    /// Segments that are void but still lie somewhere; those that replace them go to the bucket first.
    async fn sweep_segments(self: &Arc<Self>, work: &mut Work) -> Result<()> {
        let (unshipped, void): (Vec<String>, Vec<String>) = {
            let state = self.read();
            let shippable = |packs: &[PackNo]| packs.iter().all(|pack| state.index.pack(*pack).acked);
            let live = state.segments.iter().filter(|(key, packs)| !state.is_acked(key) && shippable(packs));
            let unshipped = live.map(|(key, _)| key.clone()).collect();
            let all = state.small.keys().filter(|key| key.starts_with(layout::SEGMENTS));
            (unshipped, all.filter(|key| !state.segments.contains_key(*key)).cloned().collect())
        };
        for key in void.iter().take(1).flat_map(|_| &unshipped) {
            self.ship_segment(key, work).await;
        }
        for key in void {
            work.delete(self, &key).await;
            self.delete_cached(&key).await?;
        }
        Ok(())
    }

    /// Packs of old segments that stay, each once, and the ids of those segments.
    fn survivors<'a>(
        &self,
        dead: &HashSet<PackNo>,
        keys: impl Iterator<Item = &'a String>,
    ) -> (Vec<PackNo>, Vec<SegmentId>) {
        let state = self.read();
        let (mut packs, mut old) = (Vec::new(), Vec::new());
        for key in keys {
            old.extend(layout::parse_segment(key));
            packs.extend(state.segments.get(key).into_iter().flatten().copied());
        }
        let mut seen = HashSet::new();
        packs.retain(|pack| !dead.contains(pack) && state.index.pack(*pack).present() && seen.insert(*pack));
        (packs, old)
    }

    /// The bucket gets the new segment before the old ones go; only if it had one of them at all.
    pub(crate) async fn ship_segment(&self, key: &str, work: &mut Work) -> bool {
        let Some(bucket) = work.bucket.clone() else { return false };
        let shipped = async {
            let bytes = self.cache.get(key).await?;
            let size = bytes.len() as u64;
            bucket.put(key, bytes, PutMode::Once).await?;
            Ok::<_, Error>(size)
        };
        match shipped.await {
            Ok(size) => {
                self.remember_ack(key, size);
                true
            }
            Err(error) => {
                work.give_up_bucket(key, &error);
                false
            }
        }
    }

    async fn delete_packs(self: &Arc<Self>, dead: &[PackNo], work: &mut Work, stop: &Stop) -> Result<()> {
        let mut forgotten = Vec::new();
        for pack in dead {
            if stop.is_cancelled() {
                let text = "the prune was stopped; the next one goes on where it ended";
                work.outcome.problems.push(Problem::note("prune.stopped", "prune", text));
                break;
            }
            let info = self.read().index.pack(*pack).clone();
            let key = info.key();
            let gone = work.delete(self, &key).await;
            if gone && info.acked {
                work.outcome.bucket_bytes += info.name.size;
            }
            // First, for if the deletion fails it may be gone all the same, and no backup may lean on it.
            self.write().index.set_cached(*pack, false);
            self.cache.delete(&key).await?;
            if info.cached() {
                work.outcome.cache_bytes += info.name.size;
            }
            self.shelf.drop_pack(*pack);
            if gone {
                work.outcome.packs += 1;
                forgotten.push(*pack);
            }
        }
        let mut state = self.write();
        for pack in &forgotten {
            state.unlisted.remove(pack);
        }
        state.index.forget(&forgotten);
        Ok(())
    }

    /// Settings documents leave the bucket when it holds newer ones; what only the cache holds stands in for nothing.
    async fn sweep_settings(&self, work: &mut Work) -> Result<()> {
        let shipped: Vec<String> = {
            let state = self.read();
            let keys = state.small.iter().filter(|(key, small)| key.starts_with(layout::SETTINGS) && small.acked);
            keys.map(|(key, _)| key.clone()).collect()
        };
        for key in shipped.iter().rev().skip(KEPT) {
            if work.delete(self, key).await {
                self.delete_cached(key).await?;
            }
        }
        Ok(())
    }
}

fn still_locked(id: &SnapshotId, until: Moment) -> Problem {
    let text = format!("snapshot {id} is forgotten here; what it needs stays locked in the bucket until {until}");
    Problem::note("snapshot.locked", id.as_str(), text)
        .advice("whoever recovers from the bucket before that finds it there again")
}

/// Packs of some tier that no snapshot needs, but those in `gone`.
fn dead_packs(state: &State, gone: &HashSet<&SnapshotId>) -> Vec<PackNo> {
    let kept = state.snapshots.iter().filter(|(id, _)| !gone.contains(id));
    let live: HashSet<PackNo> = kept.flat_map(|(_, held)| held.reach.iter().copied()).collect();
    let packs = state.index.packs().filter(|(number, info)| info.present() && !live.contains(number));
    packs.map(|(number, _)| number).collect()
}

/// What cannot be read cannot be judged: nothing is deleted while a snapshot's needs are unknown, unless it is to be forgotten.
fn nothing_unreadable(state: &State, forget: &[SnapshotId]) -> Result<()> {
    let unreadable = unreadable_snapshots(state);
    match unreadable.iter().find(|id| !forget.contains(id)) {
        None => Ok(()),
        Some(id) => Err(Error::new(
            Kind::Refused,
            "prune.unsafe",
            format!("snapshot {id} cannot be read, so nobody can tell which data it needs; nothing is deleted"),
        )
        .advice(
            "run a check with the bucket attached: it brings a good copy back; if there is none, forget this snapshot",
        )),
    }
}

/// Snapshot objects that some tier holds, that are not buried and that could not be read.
pub(crate) fn unreadable_snapshots(state: &State) -> Vec<SnapshotId> {
    let keys = state.small.keys().filter(|key| key.starts_with(layout::SNAPSHOTS));
    let ids = keys.filter_map(|key| layout::snapshot_of(key));
    ids.filter(|id| !state.snapshots.contains_key(id) && !state.small.contains_key(&layout::tombstone_key(id)))
        .collect()
}

fn acked(state: &State, key: &str) -> bool {
    match layout::parse_pack(key) {
        Some((_, id)) => state.index.number(&id).is_some_and(|number| state.index.pack(number).acked),
        None => state.is_acked(key),
    }
}
