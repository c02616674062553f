//! The lock of the bucket: deciding about it, keeping to it, and trying in vain to break it.
//!
//! Invariants: a rule counts only where a probe saw that locked objects cannot be deleted; whoever takes a rule away unlocks nothing;
//! a lock is called proved only by a try with the appliance's own key at one of its own objects.

use crate::{bucket, house::House, memory::LockTried};
use holdfast_model::{
    Error, Kind, Problem, Result,
    lock::{LockRequest, LockView},
    view::BucketView,
};
use holdfast_repository::LockProof;
use holdfast_runtime::Stop;
use std::{sync::Arc, time::Duration};

/// How often it is looked for what lacks its lock, and whether the lock is to be tried.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// Seconds between two tries, those of the bucket's probe.
const PROVE_EVERY_S: i64 = 7 * 86_400;

/// The rule, and what was seen of it.
pub fn view(house: &House) -> Option<LockView> {
    let settings = house.settings();
    let bucket = settings.bucket.as_ref()?;
    let tried = house.memory.lock_tried(&bucket.url.to_string());
    Some(LockView {
        rule: bucket.lock?,
        proved: tried.and_then(|tried| tried.held),
        broken: tried.is_some_and(|tried| tried.held != Some(tried.at)),
    })
}

/// What is wrong with the lock.
pub fn problem(house: &House) -> Option<Problem> {
    view(house).filter(|lock| lock.broken).map(|_| {
        let words =
            "the bucket does not keep its locks: what is locked there could be deleted, or its lock shortened, with the appliance's own key";
        Problem::error("lock.broken", "bucket", words)
            .advice("Ask the provider; until it is mended whoever steals the key can delete the backups.")
    })
}

/// Brings the repository to what the settings say.
pub fn keep_to_settings(house: &House) {
    house.repository().set_lock(house.settings().bucket.as_ref().and_then(|bucket| bucket.lock));
}

/// Decides how long the bucket keeps what is written. `Refused` (`bucket.no_lock`) if it was not seen to keep locks.
pub async fn decide(house: &Arc<House>, request: LockRequest) -> Result<BucketView> {
    let _changing = house.tier.change()?;
    let settings = house.settings();
    let url = settings.bucket.as_ref().ok_or_else(no_bucket)?.url.to_string();
    if let Some(rule) = &request.rule {
        rule.validate()?;
        let seen = match house.memory.capabilities(&url) {
            Some(seen) => Some(seen),
            None => bucket::probe(house).await?.capabilities,
        };
        if !seen.is_some_and(|seen| seen.object_lock) {
            return Err(Error::new(Kind::Refused, "bucket.no_lock", "a probe did not see that the bucket keeps locks")
                .advice("Object lock is decided when a bucket is made: make one with it and attach that one, or probe this one again."));
        }
    }
    house
        .change_settings(|settings| {
            settings.bucket.as_mut().ok_or_else(no_bucket)?.lock = request.rule;
            Ok(())
        })
        .await?;
    keep_to_settings(house);
    house.tier.relock();
    house.events.snapshots();
    house.events.status();
    Ok(bucket::view(house))
}

fn no_bucket() -> Error {
    Error::not_found("bucket.none", "no bucket is set").advice("Set one first.")
}

/// Locks what lacks its lock, and tries to break one every week, for as long as the bucket is attached.
pub async fn tend(house: &House, stop: &Stop) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = look(house) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = house.tier.relocked() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn look(house: &House) {
    let Some(lock) = house.settings().bucket.as_ref().and_then(|bucket| bucket.lock) else { return };
    // Whoever stopped uploads wants the line.
    if house.settings().uploads.paused {
        return;
    }
    match house.repository().renew_locks().await {
        Ok(0) => {}
        Ok(objects) => {
            tracing::info!(objects, mode = %lock.mode, days = lock.days, "objects in the bucket were locked");
            house.events.snapshots();
        }
        Err(error) => tracing::warn!(error = ?error, "not everything in the bucket could be locked; it is tried again"),
    }
    prove_if_due(house).await;
}

async fn prove_if_due(house: &House) {
    let settings = house.settings();
    let Some(bucket) = &settings.bucket else { return };
    let tried = house.memory.lock_tried(&bucket.url.to_string());
    // One of the future was dated by a clock that was wrong.
    let is_due = tried.is_none_or(|tried| !(0..PROVE_EVERY_S * 1000).contains(&house.now().since(tried.at)));
    if is_due && let Err(error) = prove(house).await {
        tracing::warn!(error = ?error, "the lock of the bucket could not be tried; it is tried again");
    }
}

/// Tries to break the lock, and writes down what came of it.
pub async fn prove(house: &House) -> Result<()> {
    let settings = house.settings();
    let Some(bucket) = settings.bucket.as_ref().filter(|bucket| bucket.lock.is_some()) else { return Ok(()) };
    let (url, now) = (bucket.url.to_string(), house.now());
    let held = match house.repository().prove_lock().await? {
        LockProof::NotLocked => return Ok(()),
        LockProof::Held => Some(now),
        LockProof::Broken(words) => {
            tracing::error!(words, "the bucket does not keep its locks");
            house.memory.lock_tried(&url).and_then(|tried| tried.held)
        }
    };
    house.memory.put_lock_tried(&url, LockTried { at: now, held });
    house.events.status();
    Ok(())
}
