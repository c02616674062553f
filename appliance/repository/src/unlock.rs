//! Opening a store by one of its key slots, and the roots of all epochs behind it.
//!
//! Invariants: a key that was retired opens nothing; a new epoch that was cut off on its way, in the cache or into a bucket,
//! keeps nobody out whom the one before let in.

use crate::{
    Unlock,
    inner::is_absent,
    layout::{DEVICE_SLOT, EPOCH_SLOTS, ESCROW_SLOTS, PASSPHRASE_SLOTS, RECOVERY_SLOTS, SLOTS},
    slots::{SLOTS_MAX, epoch_slot},
    threads::blocking,
    vault::cannot_tell,
};
use bytes::Bytes;
use holdfast_chunk::{
    Ring, RootKey,
    slot::{self, Opened, Opening},
};
use holdfast_model::{Error, Kind, RepositoryId, Result};
use holdfast_storage::{PutMode, Store, Version};
use std::sync::Arc;

/// Code of the error that says that the keys of earlier epochs cannot be reached.
const EPOCH_LOST: &str = "key.epoch_lost";
/// Slots of one kind that are looked at: a bucket may hold more than we ever write.
const LOOKED_AT: usize = 1024;

/// Tries the slots of a store that fit the way of unlocking, newest epoch first, and gathers the roots of all epochs.
/// `Denied` (`key.wrong`, `key.retired`, `key.foreign`), `Corrupt` (`key.epoch_lost`).
pub(crate) async fn unlock(store: &dyn Store, id: RepositoryId, unlock: &Arc<Unlock>) -> Result<Ring> {
    let is_device = matches!(**unlock, Unlock::Device(_));
    let (mut last, mut lost) = (None, None);
    for bytes in candidates(store, class_of(unlock), &mut last).await? {
        let opened = match try_slot(unlock, id, bytes).await {
            Ok(opened) => opened,
            Err(error) => {
                last = Some(error);
                continue;
            }
        };
        // Slots of this release bear all roots; links are for those that do not, or not any more.
        let ring = match opened.ring() {
            Some(ring) => Ok(ring),
            None => ring_of(store, id, opened.root.clone(), opened.epoch).await,
        };
        let ring = match ring {
            Ok(ring) => ring,
            // A new epoch that was cut off on its way into the bucket: the slot of the one before still opens.
            Err(error) if error.code() == EPOCH_LOST => {
                lost.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        opened.confirm(ring.first())?;
        if !is_device {
            not_retired(store, id, &ring).await?;
        }
        return Ok(ring);
    }
    let none = || Error::new(Kind::Denied, "key.wrong", "the repository has no key slot of this kind");
    Err(lost.or(last).unwrap_or_else(none))
}

/// The same among all versions of all slots, hidden ones too, for a bucket that somebody has tampered with. Roots that do not fit are
/// passed over, and a link that retires a key counts for nothing: whoever had the keys could write one. The oldest copies come first.
pub(crate) async fn unlock_beneath(
    store: &dyn Store,
    id: RepositoryId,
    unlock: &Arc<Unlock>,
    fits: &(dyn Fn(&Ring) -> bool + Send + Sync),
) -> Result<Option<Ring>> {
    let class = class_of(unlock);
    for bytes in newest_epoch_first(every_copy(store, class).await?, class, &mut None) {
        let Ok(opened) = try_slot(unlock, id, bytes).await else { continue };
        let ring = match opened.ring() {
            Some(ring) => ring,
            None => match ring_of(store, id, opened.root.clone(), opened.epoch).await {
                Ok(ring) => ring,
                Err(_) => continue,
            },
        };
        if opened.confirm(ring.first()).is_ok() && fits(&ring) {
            return Ok(Some(ring));
        }
    }
    Ok(None)
}

fn class_of(unlock: &Unlock) -> &'static str {
    match unlock {
        Unlock::Device(_) => DEVICE_SLOT,
        Unlock::Recovery(_) => RECOVERY_SLOTS,
        Unlock::Passphrase(_) => PASSPHRASE_SLOTS,
        Unlock::Escrow(_) => ESCROW_SLOTS,
    }
}

async fn try_slot(unlock: &Arc<Unlock>, id: RepositoryId, bytes: Bytes) -> Result<Opened> {
    let unlock = Arc::clone(unlock);
    blocking(move || {
        let opening = match &*unlock {
            Unlock::Device(key) => Opening::Device(key),
            Unlock::Recovery(key) => Opening::Recovery(&key.0),
            Unlock::Passphrase(passphrase) => Opening::Passphrase(passphrase),
            Unlock::Escrow(key) => Opening::Escrow(key),
        };
        slot::unwrap(&bytes, id, &opening)
    })
    .await
}

/// Slots of a kind, newest epoch first.
async fn candidates(store: &dyn Store, class: &str, last: &mut Option<Error>) -> Result<Vec<Bytes>> {
    let mut copies = Vec::new();
    let listed = store.list(class).await?.into_iter().filter(|object| object.size <= slot::SLOT_MAX as u64);
    for object in listed.take(LOOKED_AT) {
        let bytes = store.get(&object.key).await?;
        copies.push((object.key, bytes));
    }
    Ok(newest_epoch_first(copies, class, last))
}

/// All versions of slots of a kind, what was written first before the others. None if the store keeps no versions.
async fn every_copy(store: &dyn Store, class: &str) -> Result<Vec<(String, Bytes)>> {
    let layers = match store.list_versions(class).await {
        Ok(layers) => layers,
        Err(error) if cannot_tell(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let oldest_first = |(key, versions): (String, Vec<Version>)| {
        versions.into_iter().rev().map(move |version| (key.clone(), version)).collect::<Vec<_>>()
    };
    let mut all: Vec<(String, Version)> = layers.into_iter().flat_map(oldest_first).collect();
    all.retain(|(_, version)| !version.is_marker && version.size <= slot::SLOT_MAX as u64);
    all.sort_by_key(|(_, version)| version.modified);
    let mut copies = Vec::new();
    for (key, version) in all.into_iter().take(LOOKED_AT) {
        match store.get_version(&key, &version).await {
            Ok(bytes) => copies.push((key, bytes)),
            Err(error) if cannot_tell(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(copies)
}

fn newest_epoch_first(copies: Vec<(String, Bytes)>, class: &str, last: &mut Option<Error>) -> Vec<Bytes> {
    let mut found = Vec::new();
    for (key, bytes) in copies {
        match slot::read(&bytes) {
            Ok(clear) if clear.id == key => found.push((clear.epoch, bytes)),
            Ok(_) => {}
            Err(error) => *last = Some(error),
        }
    }
    found.sort_by_key(|(epoch, _)| std::cmp::Reverse(*epoch));
    let tried = if class == PASSPHRASE_SLOTS { SLOTS_MAX } else { LOOKED_AT };
    found.into_iter().take(tried).map(|(_, bytes)| bytes).collect()
}

/// From the newest root down to the first, by the links between epochs.
async fn ring_of(store: &dyn Store, id: RepositoryId, newest: RootKey, epoch: u8) -> Result<Ring> {
    let mut roots = vec![newest];
    for number in (1..=epoch).rev() {
        let key = epoch_slot(number);
        let lost = |error: Error| match error.kind() {
            Kind::NotFound | Kind::Denied | Kind::Corrupt => Error::new(
                Kind::Corrupt,
                EPOCH_LOST,
                format!("{key}, which leads to the keys of earlier epochs, is missing or damaged in {}", store.place()),
            )
            .advice("take the object from the other tier: it is the same in cache and bucket")
            .caused_by(error),
            _ => error,
        };
        let bytes = store.get(&key).await.map_err(lost)?;
        let opened = slot::unwrap(&bytes, id, &Opening::Later(&roots[roots.len() - 1])).map_err(lost)?;
        if opened.epoch != number - 1 {
            return Err(lost(Error::new(Kind::Corrupt, "slot.corrupt", "it holds the key of another epoch")));
        }
        roots.push(opened.root);
    }
    roots.reverse();
    Ring::from_roots(roots).ok_or_else(|| Error::bug("an epoch has a number that cannot be"))
}

/// A key of an epoch that has been left behind would open the past alone, and pass for everything. A link that the
/// root it is said to hold did not sign proves nothing: anybody who may add to a bucket could put it there.
async fn not_retired(store: &dyn Store, id: RepositoryId, ring: &Ring) -> Result<()> {
    let Some(next) = ring.epoch().checked_add(1) else { return Ok(()) };
    let key = epoch_slot(next);
    let link = match store.get(&key).await {
        Ok(bytes) => bytes,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    if slot::genuine(&link, id, &key, ring.newest()).is_err() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Denied,
        "key.retired",
        "this key was retired: a newer key epoch has begun, and what was written since cannot be read with it",
    )
    .advice("use the newest recovery kit, or a passphrase or escrow key that was kept"))
}

/// Slots of an epoch that was begun and never committed. They have never left the cache: nothing is shipped
/// before the device's slot is replaced.
pub(crate) async fn sweep(cache: &dyn Store, epoch: u8) -> Result<()> {
    for object in cache.list(SLOTS).await?.into_iter().filter(|object| object.key != DEVICE_SLOT) {
        let unborn = match object.key.strip_prefix(EPOCH_SLOTS) {
            Some(number) => number.parse::<u8>().is_ok_and(|number| number > epoch),
            None => slot::read(&cache.get(&object.key).await?).is_ok_and(|clear| clear.epoch > epoch),
        };
        if unborn {
            cache.delete(&object.key).await?;
        }
    }
    Ok(())
}

/// Slots of an earlier epoch in the cache say that the newest one began not long ago, perhaps on a disk that did not confirm
/// the device's slot. A power cut could then take it back, and with it the way to all that is sealed from now on. A
/// second fsync of the same entry proves nothing, so the slot is written once more.
pub(crate) async fn confirm(cache: &dyn Store, epoch: u8) -> Result<()> {
    let mut earlier = false;
    for object in cache.list(SLOTS).await? {
        let is_way_in = object.key != DEVICE_SLOT && !object.key.starts_with(EPOCH_SLOTS);
        earlier |= is_way_in && slot::read(&cache.get(&object.key).await?).is_ok_and(|clear| clear.epoch < epoch);
    }
    if !earlier {
        return Ok(());
    }
    let device = cache.get(DEVICE_SLOT).await?;
    match cache.put(DEVICE_SLOT, device, PutMode::Replace).await {
        // It is as it was. An appliance with a full disk must open.
        Err(error) if error.kind() == Kind::Full => {
            tracing::warn!(error = %error.chain(), "the device's key slot was not written once more");
            Ok(())
        }
        written => written,
    }
}
