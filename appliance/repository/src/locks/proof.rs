//! Trying to break our own lock, with the keys that a thief would have.

use crate::{inner::Inner, layout::FORMAT, vault::cannot_tell};
use holdfast_model::{Moment, Result};
use holdfast_storage::{Keep, PutMode, Store, Version};
use std::sync::Arc;

/// How much earlier than it does a lock is asked to end, seconds.
const SHORTER: i64 = 3600;

/// What a try to break our own lock came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockProof {
    /// There is no rule, no bucket, or nothing of ours in it that is locked: nothing was tried.
    NotLocked,
    /// Everything was refused.
    Held,
    /// Something went through; what, in words. What was deleted was sent again.
    Broken(String),
}

impl Inner {
    /// Tries to delete a locked version of the format object and to shorten its lock. It is small, and the cache has it.
    pub(crate) async fn prove_lock(self: &Arc<Self>) -> Result<LockProof> {
        let (Some(rule), Some(bucket)) = (self.locks.rule(), self.bucket()) else { return Ok(LockProof::NotLocked) };
        self.not_fenced(&*bucket).await?;
        let until = match bucket.kept_until(FORMAT, None).await {
            Ok(Some(until)) if until > self.clock.now().plus_seconds(SHORTER) => until,
            Err(error) if !cannot_tell(&error) => return Err(error),
            _ => return Ok(LockProof::NotLocked),
        };
        let Some(version) = newest(&*bucket).await? else { return Ok(LockProof::NotLocked) };
        let shorter = Keep { mode: rule.mode, until: until.plus_seconds(-SHORTER) };
        if went_through(bucket.extend(FORMAT, shorter).await)? && is_shorter(&*bucket, until).await? {
            bucket.extend(FORMAT, Keep { mode: rule.mode, until }).await?;
            return Ok(LockProof::Broken(
                "the lock of an object could be shortened with the appliance's own key".into(),
            ));
        }
        if went_through(bucket.force_version(FORMAT, &version).await)? && is_gone(&*bucket, &version).await? {
            let bytes = self.cache.get(FORMAT).await?;
            bucket.put(FORMAT, bytes, PutMode::Replace).await?;
            return Ok(LockProof::Broken("a locked object could be deleted with the appliance's own key".into()));
        }
        Ok(LockProof::Held)
    }
}

/// Whether the bucket obeyed. One that is away has refused nothing.
fn went_through(done: Result<()>) -> Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if cannot_tell(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The version that the bucket shows.
async fn newest(bucket: &dyn Store) -> Result<Option<Version>> {
    match bucket.versions(FORMAT).await {
        Ok(versions) => Ok(versions.into_iter().next().filter(|version| !version.is_marker)),
        Err(error) if cannot_tell(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn is_shorter(bucket: &dyn Store, before: Moment) -> Result<bool> {
    Ok(bucket.kept_until(FORMAT, None).await?.is_none_or(|until| until < before))
}

/// An answer of success proves nothing.
async fn is_gone(bucket: &dyn Store, version: &Version) -> Result<bool> {
    Ok(bucket.versions(FORMAT).await?.iter().all(|there| there.id != version.id))
}
