//! Ways in: key slots of both tiers, and the epochs behind them.
//!
//! Invariants: a new way in is stored before an old one goes, in each tier; the device's slot never leaves the cache and is
//! the commit point of a new epoch; a bucket gets the link that retires a key after all that replaces the key; only slots
//! that one of us wrote are taken from a bucket or given a new epoch; what could not be removed is told.

use crate::{
    Parts,
    inner::Inner,
    layout::{self, DEVICE_SLOT, EPOCH_SLOTS, ESCROW_SLOTS, FORMAT, PASSPHRASE_SLOTS, RECOVERY_SLOTS, SLOTS},
    looks::Copy,
    state::Small,
    threads::blocking,
};
use holdfast_chunk::{
    Ring, RootKey,
    escrow::PublicKey,
    slot::{self, Clear, Cost, Label, Lock, Way},
};
use holdfast_model::{
    Error, Kind, Moment, Problem, RepositoryId, Result, Secret,
    view::{SlotView, SlotWay},
};
use holdfast_storage::{PutMode, Store};
use std::sync::atomic::Ordering;

/// Slots that a repository may have, and passphrase slots that are tried at most: each costs a second or more.
pub(crate) const SLOTS_MAX: usize = 16;
/// Number of the recovery key of a new repository.
pub(crate) const FIRST: u32 = 0;

pub(crate) fn recovery_slot(number: u32) -> String {
    format!("{RECOVERY_SLOTS}{number}")
}

pub(crate) fn epoch_slot(epoch: u8) -> String {
    format!("{EPOCH_SLOTS}{epoch}")
}

/// The order in which slots go to a bucket: ways in, then links, the newest first. A link retires the keys of the epoch
/// that it leads to, so it must not be there before all that replaces them; cut anywhere, either the old keys open the bucket
/// or the new ones do.
pub(crate) fn in_order(mut keys: Vec<String>) -> Vec<String> {
    keys.sort_by_cached_key(|key| {
        let epoch = key.strip_prefix(EPOCH_SLOTS).map(|number| number.parse::<u8>().unwrap_or(0));
        (epoch.map(std::cmp::Reverse), key.clone())
    });
    keys
}

fn recovery_number(key: &str) -> Option<u32> {
    key.strip_prefix(RECOVERY_SLOTS)?.parse().ok()
}

pub(crate) fn new_id(class: &str) -> String {
    format!("{class}{}", hex::encode(holdfast_runtime::random::<4>()))
}

/// Writes the slots of a new repository.
pub(crate) async fn make_first(parts: &Parts, root: &RootKey, id: RepositoryId, device: &[u8; 32]) -> Result<()> {
    put_device(parts, &Ring::new(root.clone()), id, device).await?;
    let key = recovery_slot(FIRST);
    let label = Label { repository: id, id: &key, epoch: 0, name: "", made: parts.clock.now() };
    let bytes = slot::wrap(&Ring::new(root.clone()), label, &Lock::Recovery(&root.recovery(FIRST)))?;
    parts.cache.put(&key, bytes.into(), PutMode::Replace).await
}

/// Writes the device's slot: from here on this machine opens the repository by itself.
pub(crate) async fn put_device(parts: &Parts, ring: &Ring, id: RepositoryId, device: &[u8; 32]) -> Result<()> {
    let bytes = device_slot(ring, id, device, parts.clock.now())?;
    parts.cache.put(DEVICE_SLOT, bytes.into(), PutMode::Replace).await
}

pub(crate) fn device_slot(ring: &Ring, repository: RepositoryId, device: &[u8; 32], made: Moment) -> Result<Vec<u8>> {
    let label = Label { repository, id: DEVICE_SLOT, epoch: ring.epoch(), name: "", made };
    slot::wrap(ring, label, &Lock::Device(device))
}

/// What was done, and what could not be.
#[derive(Debug, Default)]
pub struct SlotChange {
    /// Id of the slot that was made, without its class.
    pub id: String,
    /// What is left to do, and why.
    pub problems: Vec<Problem>,
}

impl Inner {
    pub(crate) fn ring(&self) -> Ring {
        self.ring.read().expect("no holder panics").clone()
    }

    /// The number of the kit that counts: the highest of the slots in the cache.
    pub(crate) fn learn_recovery_number(&self) {
        let state = self.read();
        let cached = state.small.iter().filter(|(_, small)| small.cached);
        let number = cached.filter_map(|(key, _)| recovery_number(key)).max().unwrap_or(FIRST);
        self.recovery.store(number, Ordering::Release);
    }

    pub(crate) fn recovery_number(&self) -> u32 {
        self.recovery.load(Ordering::Acquire)
    }

    pub(crate) fn recovery_key(&self) -> crate::RecoveryKey {
        crate::RecoveryKey(*self.ring().newest().recovery(self.recovery_number()))
    }

    /// All slots that people should know of; links between epochs are not ways in.
    pub(crate) async fn slots(&self) -> Result<Vec<SlotView>> {
        let mut views = Vec::new();
        for key in self.keys_of(SLOTS).into_iter().filter(|key| !key.starts_with(EPOCH_SLOTS)) {
            let (cached, in_bucket) = {
                let state = self.read();
                state.small.get(&key).map_or((false, false), |small| (small.cached, small.acked))
            };
            let bytes = self.get_small(&key).await;
            let clear = bytes.as_ref().ok().and_then(|bytes| slot::read(bytes).ok());
            let ours = bytes.as_ref().is_ok_and(|bytes| self.is_our_slot(&key, bytes));
            let retired = clear.as_ref().is_some_and(|clear| self.is_retired(clear));
            views.push(view(
                &key,
                clear,
                SlotView { in_cache: cached, in_bucket, ours, retired, ..SlotView::default() },
            ));
        }
        views.sort_by_key(|view| (view.way, view.made));
        Ok(views)
    }

    /// When the newest epoch began; `None` for the first.
    pub(crate) async fn epoch_since(&self) -> Option<Moment> {
        let bytes = self.get_small(&epoch_slot(self.ring().epoch())).await.ok()?;
        slot::read(&bytes).ok().map(|clear| clear.made)
    }

    /// Whether one who held the root that the slot speaks of wrote it, under this name.
    pub(crate) fn is_our_slot(&self, key: &str, bytes: &[u8]) -> bool {
        let ring = self.ring();
        slot::read(bytes).is_ok_and(|clear| {
            ring.root(clear.epoch).is_some_and(|root| slot::genuine(bytes, self.id, key, root).is_ok())
        })
    }

    pub(crate) fn is_retired(&self, clear: &Clear) -> bool {
        let old_kit = recovery_number(&clear.id).is_some_and(|number| number < self.recovery_number());
        clear.way != Way::Later && (clear.epoch < self.ring().epoch() || old_kit)
    }

    pub(crate) async fn add_passphrase(&self, name: &str, passphrase: Secret) -> Result<SlotChange> {
        let _one = self.alone().await?;
        self.room_for_one().await?;
        let (id, ring, name) = (new_id(PASSPHRASE_SLOTS), self.ring(), good_name(name)?);
        let (repository, made) = (self.id, self.clock.now());
        let key = id.clone();
        let bytes = blocking(move || {
            let label = Label { repository, id: &key, epoch: ring.epoch(), name: &name, made };
            slot::wrap(&ring, label, &Lock::Passphrase(&passphrase, Cost::default(), ring.first()))
        });
        self.store_slot(id, bytes.await?).await
    }

    pub(crate) async fn add_escrow(&self, name: &str, public: &PublicKey) -> Result<SlotChange> {
        let _one = self.alone().await?;
        self.room_for_one().await?;
        let (id, ring, name) = (new_id(ESCROW_SLOTS), self.ring(), good_name(name)?);
        let label = Label { repository: self.id, id: &id, epoch: ring.epoch(), name: &name, made: self.clock.now() };
        let bytes = slot::wrap(&ring, label, &Lock::Escrow(public))?;
        self.store_slot(id, bytes).await
    }

    async fn store_slot(&self, key: String, bytes: Vec<u8>) -> Result<SlotChange> {
        self.put_small(&key, bytes.into(), PutMode::Once).await?;
        let id = key[SLOTS.len()..].to_owned();
        Ok(SlotChange { id, problems: self.send_slots().await.err().into_iter().collect() })
    }

    async fn room_for_one(&self) -> Result<()> {
        let used = self.slots().await?.iter().filter(|slot| !slot.retired && slot.ours).count();
        if used < SLOTS_MAX {
            return Ok(());
        }
        Err(Error::new(Kind::Conflict, "slot.full", format!("there are {SLOTS_MAX} key slots, and no more may be"))
            .advice("remove one that nobody needs"))
    }

    /// Takes a way in away, from the bucket first: a copy that stays there would come back.
    pub(crate) async fn remove_slot(&self, id: &str) -> Result<SlotChange> {
        let _one = self.alone().await?;
        let key = format!("{SLOTS}{id}");
        let small = self.read().small.get(&key).cloned();
        let Some(small) = small else {
            return Err(Error::not_found("slot.unknown", format!("there is no key slot “{id}”")));
        };
        if key == DEVICE_SLOT || self.needs_slot(&key) {
            return Err(Error::new(Kind::Refused, "slot.fixed", format!("the key slot “{id}” cannot be removed"))
                .advice("for a kit that was lost or seen, rotate the recovery key"));
        }
        let mut change = SlotChange { id: id.to_owned(), ..SlotChange::default() };
        match self.drop_slot(&key, &small).await {
            Ok(()) => {}
            // The bucket says no for good: gone here, and told.
            Err(error) if error.kind() == Kind::Denied => {
                self.forget_slot(&key).await?;
                change.problems.push(kept(&key, &error));
            }
            Err(error) => {
                // It is there as before, unless the disk failed only after it had gone.
                let there = small.cached && !matches!(self.cache.head(&key).await, Ok(None));
                self.write().set_cached(&key, there);
                return Err(error);
            }
        }
        Ok(change)
    }

    /// Whether this is a slot that may not go: the kit's, or a link to an epoch of ours.
    fn needs_slot(&self, key: &str) -> bool {
        let link = key.strip_prefix(EPOCH_SLOTS).and_then(|number| number.parse::<u8>().ok());
        key == recovery_slot(self.recovery_number()) || link.is_some_and(|number| number <= self.ring().epoch())
    }

    /// Whether only the bucket lists this slot, and nothing of ours leans on it. A put that broke off may have left it, of
    /// a kit that is void by now, or a machine that was lost while it began an epoch.
    pub(crate) fn is_litter(&self, key: &str) -> bool {
        let cached = self.read().small.get(key).is_some_and(|small| small.cached);
        key.starts_with(SLOTS) && !cached && !self.needs_slot(key)
    }

    /// Forgets litter that somebody has taken away.
    pub(crate) fn forget_litter(&self, key: &str) {
        self.forget_ack(key);
        self.write().small.remove(key);
    }

    /// Removes a slot from the tiers that hold it. If that fails it still counts as gone from the cache: the shipper, which
    /// sends what lies there, must not bring it back into a bucket that it has left.
    async fn drop_slot(&self, key: &str, small: &Small) -> Result<()> {
        // From here on the shipper sends it no more: it would come back into the bucket behind our back.
        self.write().set_cached(key, false);
        if small.acked {
            self.drop_in_bucket(key).await?;
        }
        self.forget_slot(key).await?;
        // It was on its way when we began.
        if self.read().is_acked(key) {
            self.drop_in_bucket(key).await?;
            self.write().small.remove(key);
        }
        Ok(())
    }

    async fn drop_in_bucket(&self, key: &str) -> Result<()> {
        let bucket = self.bucket().ok_or_else(|| {
            Error::new(
                Kind::Unavailable,
                "bucket.detached",
                "the bucket holds a copy of this slot, and is not attached",
            )
            .advice("attach the bucket and try again")
        })?;
        self.not_fenced(&*bucket).await?;
        bucket.delete(key).await?;
        self.forget_ack(key);
        Ok(())
    }

    async fn forget_slot(&self, key: &str) -> Result<()> {
        self.cache.delete(key).await?;
        let mut state = self.write();
        state.set_cached(key, false);
        if !state.is_acked(key) {
            state.small.remove(key);
        }
        Ok(())
    }

    /// Brings new slots to the bucket and removes what they replace. What fails is done by the shipper and at the
    /// next attaching.
    pub(crate) async fn settle(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.send_slots().await.err().into_iter().collect();
        problems.extend(self.retire_slots().await);
        problems
    }

    async fn send_slots(&self) -> Result<(), Problem> {
        if !self.read().is_acked(FORMAT) {
            return Ok(());
        }
        let Some(bucket) = self.bucket() else {
            let text = "the bucket is not attached, so it does not have this yet";
            return Err(Problem::warning("slot.not_sent", SLOTS, text).advice(
                "keep what opened it before: until the bucket is attached again it opens by the old keys alone",
            ));
        };
        let waiting: Vec<String> = {
            let state = self.read();
            let ours = state.small.iter().filter(|(key, small)| key.starts_with(SLOTS) && small.cached && !small.acked);
            in_order(ours.map(|(key, _)| key.clone()).filter(|key| layout::travels(key)).collect())
        };
        for key in waiting {
            let sent = self.put_slot(&*bucket, &key);
            sent.await.map_err(|error| {
                Problem::warning("slot.not_sent", &key, format!("not in the bucket yet: {}", error.chain()))
                    .advice("it is sent as soon as the bucket takes it; until then the bucket opens by the old keys")
            })?;
        }
        Ok(())
    }

    /// Looks at slots in the bucket byte by byte before what they replace goes. A listing tells names and sizes alone,
    /// and what an appliance that is lost had begun, or what somebody put there, may have both; it is written over.
    async fn prove_in_bucket(&self, slots: &[String]) -> Result<()> {
        let Some(bucket) = self.bucket() else { return Ok(()) };
        for key in slots {
            self.put_slot(&*bucket, key).await?;
        }
        Ok(())
    }

    /// Puts a slot into the bucket unless it lies there as we wrote it. A put that breaks off would leave half of a way in.
    pub(crate) async fn put_slot(&self, bucket: &dyn Store, key: &str) -> Result<()> {
        let bytes = self.cache.get(key).await?;
        let size = bytes.len() as u64;
        match self.look_at(bucket, key).await? {
            Copy::Good(there) if there.len() == bytes.len() => {}
            Copy::Unsure => {
                let text = format!("{key} came from the bucket differently each time, and is not written over");
                return Err(Error::new(Kind::Unavailable, "object.unsteady", text));
            }
            // Somebody's object of the same name and size would pass for it.
            _ => {
                self.not_fenced(bucket).await?;
                bucket.put(key, bytes, PutMode::Replace).await?;
            }
        }
        self.remember_ack(key, size);
        Ok(())
    }

    /// Links that no tier gave are made anew: who has a root has those before it.
    pub(crate) async fn mend_links(&self) -> Result<()> {
        let ring = self.ring();
        for epoch in 1..=ring.epoch() {
            let key = epoch_slot(epoch);
            let there = self.read().small.get(&key).is_some_and(|small| small.cached);
            let (Some(before), Some(root)) = (ring.up_to(epoch - 1), ring.root(epoch)) else { continue };
            if there {
                continue;
            }
            let label = Label { repository: self.id, id: &key, epoch: epoch - 1, name: "", made: self.clock.now() };
            let bytes = slot::wrap(&before, label, &Lock::Later(root))?;
            self.put_small(&key, bytes.into(), PutMode::Replace).await?;
            let text = "the link between two key epochs was gone and was made anew";
            self.write().note(Problem::note("slot.mended", &key, text));
        }
        Ok(())
    }

    /// Removes slots of earlier epochs and of retired kits once the bucket holds all that replace them.
    pub(crate) async fn retire_slots(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let (mut retired, mut staying, mut all_there) = (Vec::new(), Vec::new(), true);
        for key in self.keys_of(SLOTS).into_iter().filter(|key| layout::travels(key)) {
            let small = self.read().small.get(&key).cloned();
            let Some(small) = small else { continue };
            let clear = match self.get_small(&key).await {
                Ok(bytes) if self.is_our_slot(&key, &bytes) => slot::read(&bytes),
                // Gone, but the disk would not say for certain: it is asked again.
                Err(error) if error.kind() == Kind::NotFound && !small.cached && !small.acked => {
                    problems.extend(self.forget_slot(&key).await.err().map(|error| kept_here(&key, &error)));
                    continue;
                }
                _ => {
                    // What lies in the cache is ours: damaged, it may be the one that replaces another.
                    all_there &= !small.cached;
                    continue;
                }
            };
            match clear {
                Ok(clear) if self.is_retired(&clear) => retired.push((key, small)),
                _ => {
                    all_there &= small.acked;
                    staying.push(key);
                }
            }
        }
        if all_there && retired.iter().any(|(_, small)| small.acked) {
            match self.prove_in_bucket(&staying).await {
                Ok(()) => {}
                Err(error) => {
                    all_there = false;
                    let text = format!("kept until those that replace it are proved to be there: {}", error.chain());
                    problems.push(Problem::warning("slot.kept", retired[0].0.as_str(), text));
                }
            }
        }
        for (key, small) in retired {
            if small.acked && (self.bucket().is_none() || !all_there) {
                continue;
            }
            match self.drop_slot(&key, &small).await {
                Ok(()) => {}
                Err(error) if self.read().is_acked(&key) => problems.push(kept(&key, &error)),
                Err(error) => problems.push(kept_here(&key, &error)),
            }
        }
        problems
    }
}

fn kept(key: &str, error: &Error) -> Problem {
    let text =
        format!("the bucket still holds this key slot, and whoever has its key can use it there: {}", error.chain());
    Problem::warning("slot.kept", key, text).advice("let who may delete in the bucket remove this object")
}

fn kept_here(key: &str, error: &Error) -> Problem {
    let text = format!("a key slot that was retired is still in the cache: {}", error.chain());
    Problem::warning("slot.kept", key, text).advice("it is removed with the next check; look after the disk")
}

fn good_name(name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > slot::NAME_MAX || name.chars().any(char::is_control) {
        let text = format!("a key slot needs a name of 1 to {} characters on one line", slot::NAME_MAX);
        return Err(Error::invalid("slot.name", text));
    }
    Ok(name.to_owned())
}

fn view(key: &str, clear: Option<Clear>, known: SlotView) -> SlotView {
    let way = |key: &str| match key {
        DEVICE_SLOT => SlotWay::Device,
        _ if key.starts_with(RECOVERY_SLOTS) => SlotWay::Recovery,
        _ if key.starts_with(ESCROW_SLOTS) => SlotWay::Escrow,
        _ => SlotWay::Passphrase,
    };
    let id = key[SLOTS.len()..].to_owned();
    match clear {
        Some(clear) => SlotView {
            id,
            way: way(key),
            name: clear.name,
            made: Some(clear.made),
            epoch: clear.epoch,
            fingerprint: clear.fingerprint,
            ..known
        },
        None => SlotView { id, way: way(key), ..known },
    }
}
