//! The way into a bucket for whoever recovers: its format object and a key slot that yields.
//!
//! Invariant: where the newest format object is the one that was written first, the newest slots decide, and a key that was retired
//! opens nothing; only where somebody has tampered with them do older versions count.

use super::TRIED;
use crate::{
    Unlock,
    format::Format,
    layout::FORMAT,
    unlock::{unlock, unlock_beneath},
    vault::cannot_tell,
};
use bytes::Bytes;
use holdfast_chunk::{Keys, Ring};
use holdfast_model::{Error, Kind, RepositoryId, Result};
use holdfast_storage::{Store, Version};
use std::sync::Arc;

/// What a recovery begins with.
pub(crate) struct WayIn {
    pub(crate) id: RepositoryId,
    pub(crate) ring: Ring,
    /// The format object.
    pub(crate) bytes: Bytes,
    /// Which version of it, if another one lies on top.
    pub(crate) format: Option<Version>,
    /// An older version of a slot opened it.
    pub(crate) by_older_slot: bool,
}

struct Found {
    version: Version,
    is_newest: bool,
    bytes: Bytes,
    format: Format,
}

/// Opens the repository of a bucket. `NotFound` (`bucket.empty`), and the errors of unlocking.
pub(crate) async fn way_in(bucket: &dyn Store, unlock: &Arc<Unlock>) -> Result<WayIn> {
    let found = formats(bucket).await?;
    let plain = match bucket.get(FORMAT).await {
        Ok(bytes) if found.first().is_none_or(|oldest| oldest.bytes == bytes) => plainly(bucket, bytes, unlock).await,
        Ok(_) => Err(Error::new(Kind::Corrupt, "format.corrupt", "the bucket's format object was written over")),
        Err(error) if error.kind() == Kind::NotFound => {
            Err(Error::not_found("bucket.empty", format!("{} holds no repository", bucket.place()))
                .advice("check the bucket's name and prefix against the kit"))
        }
        Err(error) => Err(error),
    };
    let error = match plain {
        Err(error) if cannot_tell(&error) => error,
        done => return done,
    };
    for one in found {
        // A bucket may have held another repository before.
        if one.is_newest
            && let Ok(way) = plainly(bucket, one.bytes.clone(), unlock).await
        {
            return Ok(way);
        }
        let fits = |ring: &Ring| one.format.verify(&Keys::of(ring)).is_ok();
        if let Some(ring) = unlock_beneath(bucket, one.format.repository, unlock, &fits).await? {
            let format = (!one.is_newest).then_some(one.version);
            return Ok(WayIn { id: one.format.repository, ring, bytes: one.bytes, format, by_older_slot: true });
        }
    }
    Err(error)
}

/// By the newest slots.
async fn plainly(bucket: &dyn Store, bytes: Bytes, with: &Arc<Unlock>) -> Result<WayIn> {
    let format = Format::decode(&bytes)?;
    let is_kit = matches!(**with, Unlock::Recovery(_));
    let ring = unlock(bucket, format.repository, with).await.map_err(|error| match error.code() {
        "key.wrong" if is_kit => {
            Error::new(Kind::Denied, "kit.wrong", "this recovery kit does not open the bucket's repository")
                .advice("use the newest kit that belongs to this bucket")
        }
        _ => error,
    })?;
    format.verify(&Keys::of(&ring))?;
    Ok(WayIn { id: format.repository, ring, bytes, format: None, by_older_slot: false })
}

/// Format objects that this release understands, what was written first before the others; none if the store keeps no versions.
async fn formats(bucket: &dyn Store) -> Result<Vec<Found>> {
    let versions = match bucket.versions(FORMAT).await {
        Ok(versions) => versions,
        Err(error) if cannot_tell(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let newest = versions.first().map(|version| version.id.clone());
    let mut found = Vec::new();
    for version in versions.into_iter().rev().filter(|version| !version.is_marker).take(TRIED) {
        let bytes = match bucket.get_version(FORMAT, &version).await {
            Ok(bytes) => bytes,
            Err(error) if cannot_tell(&error) => continue,
            Err(error) => return Err(error),
        };
        if let Ok(format) = Format::decode(&bytes) {
            found.push(Found { is_newest: newest.as_ref() == Some(&version.id), version, bytes, format });
        }
    }
    Ok(found)
}
