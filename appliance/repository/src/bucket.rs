//! The cloud tier: attaching, fencing (law L5), and getting everything back from it.
//!
//! Invariants: a bucket of another repository is never written to; what the bucket holds is what it
//! lists with the size that we know; an appliance that was taken over does not ship any more.

use crate::{
    Parts, Unlock,
    beneath::{WayIn, way_in},
    format::Format,
    inner::{ACKS, Inner, is_absent},
    layout::{self, DEVICE_SLOT, FORMAT},
    looks::{Copy, Looks, unsteady},
    opening,
    slots::{self, recovery_slot},
    state::Held,
    unusable::some_of,
    vault::Vault,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_catalog::Table;
use holdfast_chunk::{
    Envelope, Keys, ObjectKind, Ring,
    slot::{self, Opening},
};
use holdfast_model::{Error, Kind, Problem, RepositoryId, Result, SnapshotId};
use holdfast_storage::{ObjectInfo, PutMode, Store};
use std::{collections::HashSet, sync::Arc};

/// Small objects fetched at once.
const AT_ONCE: usize = 8;
/// Index segments can be large; fewer at once.
const SEGMENTS_AT_ONCE: usize = 2;
/// Objects of a kind that are tried for whose bucket it is.
const PROOFS: usize = 16;
/// The highest number that a fence's name has room for.
const LAST_GENERATION: u64 = 9_999_999_999_999_999;

/// Rebuilds a cache from a bucket.
pub(crate) async fn recover(
    parts: Parts,
    bucket: Arc<dyn Store>,
    unlock: Unlock,
    device_key: [u8; 32],
) -> Result<Arc<Inner>> {
    if parts.cache.head(FORMAT).await?.is_some() {
        return Err(Error::new(Kind::Conflict, "repository.exists", "there is a repository here already")
            .advice("recover into an empty data directory"));
    }
    let WayIn { id, ring, bytes, format, by_older_slot } = way_in(&*bucket, &Arc::new(unlock)).await?;
    let device = slots::device_slot(&ring, id, &device_key, parts.clock.now())?;
    parts.catalog.clear(Table::Packs)?;
    let fence = take_over(&parts, &*bucket, &ring, id).await?;
    let inner = opening::load(parts, ring, id).await?;
    if let Some(version) = format {
        inner.under.put(FORMAT, version);
    }
    inner.attach_to_recover(bucket).await?;
    inner.tell_settings().await;
    inner.tell_incomplete();
    for problem in fence.into_iter().chain(by_older_slot.then(old_slot)) {
        inner.write().note(problem);
    }
    // Last: from here on the repository exists in this cache. One without the device's slot is not taken for it either.
    inner.put_small(DEVICE_SLOT, device.into(), PutMode::Replace).await?;
    inner.take_in(FORMAT, bytes).await?;
    Ok(inner)
}

/// Writes the next generation, so that the appliance before us stops shipping.
async fn take_over(parts: &Parts, bucket: &dyn Store, ring: &Ring, id: RepositoryId) -> Result<Option<Problem>> {
    let keys = Keys::of(ring);
    let envelope = Envelope::new(&keys, id);
    let newest = newest_fence(bucket, envelope).await?.unwrap_or_default();
    let key = fence_above(&newest);
    let sealed = Bytes::from(envelope.seal(ObjectKind::Fence, &key, parts.clock.now().to_string().as_bytes())?);
    parts.cache.put(&key, sealed.clone(), PutMode::Replace).await?;
    match bucket.put(&key, sealed, PutMode::Once).await {
        Ok(()) => Ok(None),
        // Restoring matters more than shipping: a key that can only read is enough for it.
        Err(error) if matches!(error.kind(), Kind::Denied | Kind::Invalid) => Ok(Some(
            Problem::warning("repository.not_fenced", bucket.place(), error.chain())
                .advice("give the appliance a key that can write before it backs up to this bucket"),
        )),
        Err(error) => Err(error),
    }
}

/// A name that sorts above the newest fence. Whoever had our keys may have written the last number; a longer name goes above it.
fn fence_above(newest: &str) -> String {
    let random = hex::encode(holdfast_runtime::random::<8>());
    match generation_of(newest).unwrap_or(0).checked_add(1).filter(|generation| *generation <= LAST_GENERATION) {
        Some(generation) => format!("{}{generation:016}-{random}", layout::FENCES),
        None => format!("{newest}.{random}"),
    }
}

/// The number in a fence's name; `None` if it is not the name of a fence.
fn generation_of(key: &str) -> Option<u64> {
    let (number, rest) = key.strip_prefix(layout::FENCES)?.split_once('-')?;
    let is_hex = |part: &str| part.len() == 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_number && rest.split('.').all(is_hex))
}

/// The highest fence that was made with the repository's key; others are somebody's noise.
async fn newest_fence(bucket: &dyn Store, envelope: Envelope<'_>) -> Result<Option<String>> {
    let listed = bucket.list(layout::FENCES).await?.into_iter().rev();
    for object in listed.filter(|object| generation_of(&object.key).is_some()) {
        let bytes = bucket.get(&object.key).await?;
        if envelope.open(ObjectKind::Fence, &object.key, &bytes).is_ok() {
            return Ok(Some(object.key));
        }
    }
    Ok(None)
}

fn old_slot() -> Problem {
    let text = "the bucket was opened by a version of a key slot that had been deleted or written over there";
    Problem::warning("bucket.tampered", layout::SLOTS, text)
        .advice("if nobody of yours has retired this key, somebody had the appliance's keys: print a new kit, and give the appliance new keys for the bucket")
}

impl Inner {
    pub(crate) async fn attach(self: &Arc<Self>, bucket: Arc<dyn Store>) -> Result<()> {
        // A prune would delete what the listing has just shown, and take segments that are being read for void ones.
        let _no_prune = self.gate.read().await;
        self.under.clear();
        // It may be another bucket.
        self.write().deleted.clear();
        let bucket = Vault::over(self, bucket);
        self.same_repository(&*bucket).await?;
        // Condemn lists before packs, the fence last: what somebody took away between is missed or forbidden to us.
        self.learn_condemned(&*bucket).await?;
        // What is acknowledged while the bucket is listed need not be in the listing.
        let before = self.acknowledged_before();
        let listed = bucket.list("").await?;
        self.not_fenced(&*bucket).await?;
        self.know_locks_of(&*bucket).await?;
        let listed = self.with_missed(&*bucket, listed).await?;
        self.settle_in(bucket, &listed, before).await
    }

    /// The same for whoever has just taken over, and knows nothing of what there should be. Where somebody has tampered with the
    /// bucket, all that is locked counts; a fence that he put there keeps from writing, not from restoring.
    async fn attach_to_recover(self: &Arc<Self>, bucket: Arc<dyn Store>) -> Result<()> {
        let _no_prune = self.gate.read().await;
        let bucket = Vault::over(self, bucket);
        self.same_repository(&*bucket).await?;
        self.learn_condemned(&*bucket).await?;
        let before = self.acknowledged_before();
        let listed = bucket.list("").await?;
        match self.not_fenced(&*bucket).await {
            Err(error) if error.kind() == Kind::Refused => {
                self.write().note(Problem::from_error(layout::FENCES, &error));
            }
            seen => seen?,
        }
        self.know_locks_of(&*bucket).await?;
        let (listed, hidden) = self.with_hidden(&*bucket, listed).await?;
        self.settle_in(Arc::clone(&bucket), &listed, before).await?;
        self.distrust(&hidden);
        self.lift(&*bucket, &hidden).await;
        Ok(())
    }

    /// Whoever recovers is told at once which snapshots the bucket cannot give: perhaps there is another copy of it.
    fn tell_incomplete(&self) {
        let mut state = self.write();
        let lacks = |held: &Held| held.reach.iter().any(|pack| !state.index.pack(*pack).present());
        let lacking = state.snapshots.iter().filter(|(_, held)| lacks(held));
        let ids: Vec<String> = lacking.map(|(id, _)| id.to_string()).collect();
        let Some(first) = ids.first() else { return };
        let text = format!(
            "packs are lost in the bucket, and snapshots cannot be restored completely for want of them ({} in all): {}",
            ids.len(),
            some_of(&ids)
        );
        let problem = Problem::warning("snapshot.damaged", first.as_str(), text);
        state.note(problem.advice("run a check: it names the packs; back the apps up again"));
    }

    /// Takes in what the bucket was seen to hold; `before` is what it had acknowledged until then.
    async fn settle_in(
        self: &Arc<Self>,
        bucket: Arc<dyn Store>,
        listed: &[ObjectInfo],
        before: Vec<String>,
    ) -> Result<()> {
        self.learn(listed, before);
        self.distrust(&self.under.all().into_iter().map(|(key, _)| key).collect());
        *self.bucket.write().expect("no holder panics") = Some(Arc::clone(&bucket));
        self.finder.try_again();
        self.bring_in(&*bucket, listed).await.inspect_err(|_| self.detach())?;
        for problem in self.retire_slots().await {
            self.write().note(problem);
        }
        self.room.bucket_came();
        Ok(())
    }

    async fn bring_in(self: &Arc<Self>, bucket: &dyn Store, listed: &[ObjectInfo]) -> Result<()> {
        self.pull(bucket, listed).await?;
        self.learn_recovery_number();
        if let Err(error) = self.mend_slots(bucket, listed).await {
            self.write().note(Problem::from_error(layout::SLOTS, &error));
        }
        self.enter_segments().await?;
        self.enter_snapshots().await
    }

    pub(crate) fn detach(&self) {
        *self.bucket.write().expect("no holder panics") = None;
    }

    async fn same_repository(&self, bucket: &dyn Store) -> Result<()> {
        let mut looks = Looks::default();
        let theirs = loop {
            let (read, decoded) = match bucket.get(FORMAT).await {
                Ok(bytes) => {
                    let decoded = Format::decode(&bytes);
                    let damaged = decoded.as_ref().is_err_and(|error| error.kind() == Kind::Corrupt);
                    (Ok((bytes, !damaged)), decoded)
                }
                Err(error) if is_absent(&error) => return Ok(()),
                Err(error) if error.kind() == Kind::Corrupt => (Err(error), Err(damaged_format())),
                Err(error) => return Err(error),
            };
            match (looks.judge(bucket, FORMAT, read).await?, decoded) {
                (Some(Copy::Good(_)), decoded) => break decoded?.repository,
                (Some(Copy::Bad), Err(error)) => return self.mend_format(bucket, error).await,
                (Some(Copy::Absent), _) => return Ok(()),
                (Some(_), Err(error)) => return Err(error),
                _ => {}
            }
        };
        if theirs == self.id {
            return Ok(());
        }
        Err(Error::new(Kind::Conflict, "bucket.foreign", format!("{} holds another repository", bucket.place()))
            .advice("give another bucket or prefix, or recover that repository with its own kit"))
    }

    /// A damaged format says nothing of whose bucket it is. Names that only we know do, and what was sealed with our key; and a
    /// bucket that holds nothing else is nobody's. Then our own copy takes its place.
    async fn mend_format(&self, bucket: &dyn Store, damage: Error) -> Result<()> {
        let listed = bucket.list("").await?;
        let nothing_else = listed.iter().all(|object| object.key == FORMAT || !layout::travels(&object.key));
        if !nothing_else && !self.named_something_in(&listed) && !self.sealed_something_in(bucket).await? {
            return Err(damage);
        }
        bucket.put(FORMAT, self.cache.get(FORMAT).await?, PutMode::Replace).await?;
        let text = "the bucket's format object was damaged and was replaced by the good one from the cache";
        self.write().note(Problem::note("object.corrupt", FORMAT, text));
        Ok(())
    }

    /// Whether something has a name that we know and nobody else could give: hashes of what we sealed, and random ones.
    fn named_something_in(&self, listed: &[ObjectInfo]) -> bool {
        const UNIQUE: [&str; 5] =
            [layout::SEGMENTS, layout::REACHES, layout::SNAPSHOTS, layout::TOMBSTONES, layout::FENCES];
        let state = self.read();
        listed.iter().any(|ObjectInfo { key, .. }| match layout::parse_pack(key) {
            Some((_, id)) => state.index.number(&id).is_some(),
            None => UNIQUE.iter().any(|class| key.starts_with(class)) && state.small.contains_key(key),
        })
    }

    /// Whether the kit's slot yields to our key, or one of some other objects does: whatever else is half there.
    async fn sealed_something_in(&self, bucket: &dyn Store) -> Result<bool> {
        let kit = recovery_slot(self.recovery_number());
        let mut proofs = vec![(kit, None)];
        let kinds = [
            (layout::REACHES, ObjectKind::Reach),
            (layout::FENCES, ObjectKind::Fence),
            (layout::TOMBSTONES, ObjectKind::Tombstone),
            (layout::SETTINGS, ObjectKind::Settings),
        ];
        for (prefix, kind) in kinds {
            let listed = bucket.list(prefix).await?.into_iter().take(PROOFS);
            proofs.extend(listed.map(|object| (object.key, Some(kind))));
        }
        for (key, kind) in proofs {
            let bytes = match bucket.get(&key).await {
                Ok(bytes) => bytes,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(error),
            };
            let opens = match kind {
                Some(kind) => self.envelope().open(kind, &key, &bytes).is_ok(),
                None => slot::unwrap(&bytes, self.id, &Opening::Recovery(&self.recovery_key().0)).is_ok(),
            };
            if opens {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) async fn not_fenced(&self, bucket: &dyn Store) -> Result<()> {
        let theirs = newest_fence(bucket, self.envelope()).await?.unwrap_or_default();
        let ours = self.keys_of(layout::FENCES).into_iter().filter(|key| self.is_ours(key)).max().unwrap_or_default();
        if theirs <= ours {
            return Ok(());
        }
        Err(Error::new(
            Kind::Refused,
            "repository.fenced",
            "another appliance has been recovered from this bucket and writes it now",
        )
        .advice("retire this appliance, or recover it from the bucket to take over again"))
    }

    fn is_ours(&self, key: &str) -> bool {
        self.read().small.get(key).is_some_and(|small| small.cached)
    }

    /// Marks what the bucket holds; of what was acknowledged `before` it was listed, and is not there, forgets that.
    fn learn(&self, listed: &[ObjectInfo], before: Vec<String>) {
        let mut acks = Vec::new();
        let there: HashSet<&str> = listed.iter().map(|object| object.key.as_str()).collect();
        {
            let mut state = self.write();
            for object in listed.iter().filter(|object| layout::travels(&object.key)) {
                // Believed only when it was read: whoever may write the bucket could make us forget snapshots.
                if object.key.starts_with(layout::TOMBSTONES) && !state.small.contains_key(&object.key) {
                    continue;
                }
                let was_acked = acked(&state, &object.key);
                if !state.enter(&object.key, object.size) {
                    state.set_acked(&object.key, false);
                    let text = format!("{} has a wrong size in the bucket and is sent again", object.key);
                    state.note(Problem::warning("bucket.size", &object.key, text));
                    continue;
                }
                state.set_acked(&object.key, true);
                if !was_acked {
                    acks.push((object.key.clone(), object.size));
                }
            }
        }
        for key in before.into_iter().filter(|key| !there.contains(key.as_str())) {
            self.forget_ack(&key);
        }
        for (key, size) in acks {
            if let Err(error) = self.catalog.put(Table::Packs, &format!("{ACKS}{key}"), &size) {
                tracing::warn!(key, error = %error.chain(), "the catalog did not take an acknowledgement");
            }
        }
    }

    /// What this life or an earlier one was told that the bucket holds.
    fn acknowledged_before(&self) -> Vec<String> {
        let rows: Vec<(String, u64)> = self.catalog.list(Table::Packs, ACKS);
        let remembered = rows.iter().filter_map(|(row, _)| row.strip_prefix(ACKS)).map(str::to_owned);
        let state = self.read();
        let packs = state.index.packs().filter(|(_, info)| info.acked).map(|(_, info)| info.key());
        let small = state.small.iter().filter(|(_, small)| small.acked).map(|(key, _)| key.clone());
        packs.chain(small).chain(remembered).collect()
    }

    /// Brings small objects that only the bucket has into the cache. What was buried is not fetched, so tombstones come first.
    async fn pull(&self, bucket: &dyn Store, listed: &[ObjectInfo]) -> Result<()> {
        for class in [layout::SLOTS, layout::TOMBSTONES, layout::SEGMENTS, layout::REACHES, layout::SNAPSHOTS] {
            let wanted = {
                let state = self.read();
                let is_cached = |key: &str| state.small.get(key).is_some_and(|small| small.cached);
                let is_dead = |id: SnapshotId| class != layout::TOMBSTONES && is_cached(&layout::tombstone_key(&id));
                let theirs = listed.iter().map(|object| &object.key).filter(|key| {
                    key.starts_with(class)
                        && layout::travels(key)
                        && !is_cached(key)
                        && !layout::snapshot_of(key).is_some_and(is_dead)
                });
                theirs.cloned().collect::<Vec<_>>()
            };
            let wanted = match class {
                layout::TOMBSTONES => self.without_locked(bucket, wanted).await?,
                _ => wanted,
            };
            let at_once = if class == layout::SEGMENTS { SEGMENTS_AT_ONCE } else { AT_ONCE };
            let mut fetched = stream::iter(wanted)
                .map(|key| async move { self.pull_one(bucket, &key).await.map(drop) })
                .buffer_unordered(at_once);
            while let Some(result) = fetched.next().await {
                result?;
            }
        }
        self.pull_settings(bucket, listed).await
    }

    /// Words of others to forget a snapshot count only when its lock has ended: until then whoever wrote them may have stolen our keys.
    async fn without_locked(&self, bucket: &dyn Store, tombstones: Vec<String>) -> Result<Vec<String>> {
        if !self.locks.answers() {
            return Ok(tombstones);
        }
        let mut good = Vec::new();
        for key in tombstones {
            let is_locked = match layout::snapshot_of(&key) {
                Some(id) => self.is_locked_anywhere(bucket, &layout::snapshot_key(&id)).await?,
                None => false,
            };
            if !is_locked {
                good.push(key);
                continue;
            }
            let text = format!("{key} in the bucket says that a snapshot was forgotten, and its lock has not ended");
            let advice = "the snapshot is shown until its lock ends; forget it here if that is what you want";
            self.write().note(Problem::note("snapshot.locked", &key, text).advice(advice));
        }
        Ok(good)
    }

    /// The newest settings that can be read, if they are newer than ours.
    async fn pull_settings(&self, bucket: &dyn Store, listed: &[ObjectInfo]) -> Result<()> {
        let ours = self.keys_of(layout::SETTINGS).into_iter().filter(|key| self.is_ours(key)).max();
        let theirs = listed.iter().rev().map(|object| &object.key).filter(|key| key.starts_with(layout::SETTINGS));
        for key in theirs.filter(|key| ours.as_ref().is_none_or(|ours| *key > ours)) {
            if self.pull_one(bucket, key).await? {
                break;
            }
        }
        Ok(())
    }

    /// Links are made anew where they are gone. Slots that lie in the bucket by half are sent again: shipping writes over
    /// nothing, and would stop at them.
    async fn mend_slots(&self, bucket: &dyn Store, listed: &[ObjectInfo]) -> Result<()> {
        self.mend_links().await?;
        for key in listed.iter().map(|object| &object.key).filter(|key| key.starts_with(layout::SLOTS)) {
            let small = self.read().small.get(key).copied().unwrap_or_default();
            if layout::travels(key) && small.cached && !small.acked {
                self.put_slot(bucket, key).await?;
            }
        }
        Ok(())
    }

    /// The answer is whether the object was good. One that is not stays in the bucket alone: in the cache it would count as
    /// ours.
    async fn pull_one(&self, bucket: &dyn Store, key: &str) -> Result<bool> {
        let problem = match self.look_deep(bucket, key).await? {
            Copy::Good(bytes) => {
                let size = bytes.len() as u64;
                self.take_in(key, bytes).await?;
                if key.starts_with(layout::TOMBSTONES) {
                    self.remember_ack(key, size);
                }
                return Ok(true);
            }
            Copy::Bad if key.starts_with(layout::SLOTS) => {
                let text = format!("the key slot {key} in the bucket was not written by this repository's appliance");
                let advice = "remove it: whoever put it there may write the bucket; it opens nothing that is yours";
                Problem::warning("slot.forged", key, text).advice(advice)
            }
            Copy::Bad if key.starts_with(layout::TOMBSTONES) => {
                let text = format!("{key} in the bucket says that a snapshot was forgotten, and none of us wrote it");
                let advice = "the snapshot stays; look who may write the bucket, and remove the object";
                Problem::warning("tombstone.forged", key, text).advice(advice)
            }
            // The edition before it counts, or the list is rebuilt.
            Copy::Bad if layout::is_later_edition(key) => {
                self.forget_ack(key);
                let mut state = self.write();
                state.small.remove(key);
                state.litter.insert(key.to_owned());
                let text = format!("{key} in the bucket is a part of a reach list, and counts for nothing");
                Problem::warning("object.corrupt", key, text).advice("the next prune removes it")
            }
            // Whoever needs it reads it where it lies, and tells what is wrong.
            Copy::Bad | Copy::Absent => return Ok(false),
            Copy::Unsure => unsteady(key),
        };
        self.write().note(problem);
        Ok(false)
    }
}

fn damaged_format() -> Error {
    Error::new(Kind::Corrupt, "format.corrupt", "the bucket's format object is damaged")
}

fn acked(state: &crate::state::State, key: &str) -> bool {
    match layout::parse_pack(key) {
        Some((_, id)) => state.index.number(&id).is_some_and(|number| state.index.pack(number).acked),
        None => state.is_acked(key),
    }
}
