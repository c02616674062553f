//! New kits and new key epochs.
//!
//! Invariants: the device's slot is the commit point of a new epoch; nothing of an epoch leaves the cache before that; when
//! nobody can tell which of two device's slots the next start will find, all that either of them leads to stays as it is.

use crate::{
    inner::Inner,
    layout::{DEVICE_SLOT, ESCROW_SLOTS, PASSPHRASE_SLOTS, SLOTS},
    slots::{SlotChange, device_slot, epoch_slot, new_id, recovery_slot},
    state::Small,
    unlock,
};
use bytes::Bytes;
use holdfast_chunk::{
    Ring, RootKey,
    slot::{self, Label, Lock},
};
use holdfast_model::{Error, Kind, Problem, Result};
use holdfast_storage::PutMode;
use std::sync::atomic::Ordering;
use tokio::sync::MutexGuard;

/// The device's slot that has to be put back before any way in changes; empty if there was none.
pub(crate) type Before = Option<Bytes>;

impl Inner {
    /// Ways in change one after the other, and not while it is open which epoch the next start will find.
    pub(crate) async fn alone(&self) -> Result<MutexGuard<'_, Before>> {
        let mut before = self.changing.lock().await;
        self.put_device_back(&mut before).await?;
        Ok(before)
    }

    /// The disk failed while a new epoch was being committed, and the device's slot may be the new one or the old one by now.
    /// This process goes on with the old one, so that has to be there again, before what the new one leads to may go.
    async fn put_device_back(&self, before: &mut Before) -> Result<()> {
        let Some(bytes) = before.clone() else { return Ok(()) };
        match bytes.is_empty() {
            true => self.cache.delete(DEVICE_SLOT).await?,
            false => self.put_small(DEVICE_SLOT, bytes, PutMode::Replace).await?,
        }
        *before = None;
        unlock::sweep(&*self.cache, self.ring().epoch()).await
    }

    async fn commit_epoch(&self, device: Bytes, before: &mut Before) -> Result<()> {
        let old = match self.cache.get(DEVICE_SLOT).await {
            Err(error) if error.kind() == Kind::NotFound => Bytes::new(),
            read => read?,
        };
        let Err(error) = self.put_small(DEVICE_SLOT, device, PutMode::Replace).await else { return Ok(()) };
        *before = Some(old);
        if let Err(error) = self.put_device_back(before).await {
            tracing::warn!(error = %error.chain(), "the device's key slot could not be put back yet");
        }
        Err(error)
    }

    /// A new number for the kit; the slot of the old one goes when the new one is everywhere.
    pub(crate) async fn rotate_recovery(&self) -> Result<SlotChange> {
        let _one = self.alone().await?;
        self.may_change_bucket().await?;
        let (ring, number) = (self.ring(), self.next_recovery()?);
        let key = recovery_slot(number);
        let label = Label { repository: self.id, id: &key, epoch: ring.epoch(), name: "", made: self.clock.now() };
        let bytes = slot::wrap(&ring, label, &Lock::Recovery(&ring.newest().recovery(number)))?;
        // An epoch that failed before its commit may have left one of that name. It is not written over: a put that fails then
        // would leave a kit that the next start counts on and a power cut takes back.
        self.cache.delete(&key).await?;
        self.put_small(&key, bytes.into(), PutMode::Once).await?;
        self.recovery.store(number, Ordering::Release);
        Ok(SlotChange { id: key[SLOTS.len()..].to_owned(), problems: self.settle().await })
    }

    fn next_recovery(&self) -> Result<u32> {
        // If the slot is lost its number is not known: the clock's is one that was never printed.
        let lost = self.read().small.get(&recovery_slot(self.recovery_number())).is_none_or(|small| !small.cached);
        let clock = if lost { u32::try_from(self.clock.now().seconds()).unwrap_or(u32::MAX / 2) } else { 0 };
        let next = self.recovery_number().checked_add(1).map(|next| next.max(clock));
        next.ok_or_else(|| Error::bug("the numbers of recovery keys are used up"))
    }

    /// Begins a new epoch: a new root, given to every way in that was not removed.
    pub(crate) async fn rotate_epoch(&self, device: &[u8; 32]) -> Result<SlotChange> {
        let mut before = self.alone().await?;
        self.may_change_bucket().await?;
        // One that failed before its commit leaves slots under names that this one would not write over.
        unlock::sweep(&*self.cache, self.ring().epoch()).await?;
        let (old, root, now) = (self.ring(), RootKey::generate(), self.clock.now());
        let next = old.with(root.clone())?;
        let number = self.next_recovery()?;
        let mut change = SlotChange { id: recovery_slot(number)[SLOTS.len()..].to_owned(), ..SlotChange::default() };
        let label = |id, epoch| Label { repository: self.id, id, epoch, name: "", made: now };
        let (link, kit) = (epoch_slot(next.epoch()), recovery_slot(number));
        let earlier = slot::wrap(&old, label(&link, old.epoch()), &Lock::Later(&root))?;
        let recovery = slot::wrap(&next, label(&kit, next.epoch()), &Lock::Recovery(&root.recovery(number)))?;
        let mut fresh = vec![(link, earlier), (kit, recovery)];
        fresh.extend(self.carried_over(&old, &next, &mut change.problems).await?);
        // Not yet in the state: nothing of the new epoch leaves the cache before the device's slot commits it.
        for (key, bytes) in &fresh {
            self.cache.put(key, bytes.clone().into(), PutMode::Replace).await?;
        }
        let device = device_slot(&next, self.id, device, now)?;
        self.commit_epoch(device.into(), &mut before).await?;
        self.keys.begin_epoch(&next)?;
        *self.ring.write().expect("no holder panics") = next;
        self.recovery.store(number, Ordering::Release);
        {
            let mut state = self.write();
            for (key, bytes) in fresh {
                state.small.insert(key, Small { size: bytes.len() as u64, cached: true, acked: false });
            }
        }
        change.problems.extend(self.settle().await);
        Ok(change)
    }

    /// Passphrase and escrow slots, sealed anew for the next epoch under new names.
    async fn carried_over(
        &self,
        old: &Ring,
        next: &Ring,
        problems: &mut Vec<Problem>,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let mut fresh = Vec::new();
        for class in [PASSPHRASE_SLOTS, ESCROW_SLOTS] {
            for key in self.keys_of(class) {
                let bytes = match self.get_small(&key).await {
                    Ok(bytes) => bytes,
                    // Only the bucket listed it, or listed it once: what we wrote lies in the cache too.
                    Err(error) if error.kind() == Kind::NotFound => {
                        problems.push(left_behind(&key, &error));
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                if slot::read(&bytes).is_ok_and(|clear| self.is_retired(&clear)) {
                    continue;
                }
                let id = new_id(class);
                match slot::rewrap(&bytes, old.newest(), next, &id) {
                    Ok(bytes) => fresh.push((id, bytes)),
                    Err(error) => problems.push(left_behind(&key, &error)),
                }
            }
        }
        Ok(fresh)
    }

    async fn may_change_bucket(&self) -> Result<()> {
        match self.bucket() {
            Some(bucket) => self.not_fenced(&*bucket).await,
            None => Ok(()),
        }
    }
}

fn left_behind(key: &str, error: &Error) -> Problem {
    Problem::warning("slot.left_behind", key, format!("not given the new epoch: {}", error.chain()))
        .advice("remove it, and add it again if somebody needs it")
}
