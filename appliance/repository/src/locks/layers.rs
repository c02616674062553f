//! Objects of which the bucket holds more than the one version that it shows: whoever locks the newest may lock what is not ours.
//!
//! Invariants: never are all versions of a bucket in memory at once; what is not ours is told by more than its seal, where somebody
//! else may have made a true one.

use super::{AT_ONCE, Wanted};
use crate::{
    inner::Inner,
    layout::{self, FORMAT},
    looks::Copy,
    state::PackNo,
    vault::cannot_tell,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Result};
use holdfast_storage::{Store, Version};
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

/// Objects whose versions are asked for one by one; for more of them they are listed, a part of the bucket at a time.
const FEW: usize = 2000;

/// Those of which the bucket holds more than the one version that it shows. None where it does not tell.
pub(super) async fn layered(bucket: &dyn Store, wanted: &Wanted) -> Result<HashSet<String>> {
    let mut layered = HashSet::new();
    let told = match wanted.len() {
        0..=FEW => ask_each(bucket, wanted.keys().cloned().collect(), &mut layered).await,
        _ => list_parts(bucket, wanted, &mut layered).await,
    };
    match told {
        Err(error) if !cannot_tell(&error) => Err(error),
        _ => Ok(layered),
    }
}

async fn ask_each(bucket: &dyn Store, keys: Vec<String>, layered: &mut HashSet<String>) -> Result<()> {
    let mut told = stream::iter(keys)
        .map(|key| async move {
            let versions = bucket.versions(&key).await;
            (key, versions)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((key, versions)) = told.next().await {
        if is_layered(&versions?) {
            layered.insert(key);
        }
    }
    Ok(())
}

async fn list_parts(bucket: &dyn Store, wanted: &Wanted, layered: &mut HashSet<String>) -> Result<()> {
    let parts: BTreeSet<String> = wanted.keys().map(|key| part_of(key).to_owned()).collect();
    for part in parts {
        let all = bucket.list_versions(&part).await?;
        let all = all.into_iter().filter(|(key, versions)| wanted.contains_key(key) && is_layered(versions));
        layered.extend(all.map(|(key, _)| key));
    }
    Ok(())
}

/// The beginning of names that an object is listed by: of packs there are many.
fn part_of(key: &str) -> &str {
    let length = match layout::parse_pack(key) {
        Some(_) => "p/00/".len(),
        None if key == FORMAT => key.len(),
        None => "s/".len(),
    };
    key.get(..length).unwrap_or(key)
}

/// Whether there is more of an object than the one version that is shown.
fn is_layered(versions: &[Version]) -> bool {
    versions.len() > 1 || versions.first().is_some_and(|one| one.is_marker)
}

impl Inner {
    /// Good bytes of an object whose newest version in the bucket is hidden, bad or another's; `None` if that is ours.
    pub(super) async fn good_if_bad_on_top(self: &Arc<Self>, bucket: &dyn Store, key: &str) -> Result<Option<Bytes>> {
        if key.starts_with(layout::SNAPSHOTS) || key.starts_with(layout::REACHES) {
            return self.ours_if_another_on_top(bucket, key).await;
        }
        let number = layout::parse_pack(key).and_then(|(_, id)| self.read().index.number(&id));
        let copy = match number {
            Some(pack) => self.pack_on_top(bucket, pack, key).await?,
            None => self.look_at(bucket, key).await?,
        };
        let beneath = match copy {
            Copy::Good(_) if self.under.get(key).is_none() => return Ok(None),
            Copy::Good(bytes) => return Ok(Some(bytes)),
            _ => self.beneath(bucket, key).await?,
        };
        beneath.map(Some).ok_or_else(|| none_is_good(key))
    }

    /// Of what is written once, and has a name that says nothing of its bytes, ours is what the cache holds, or the oldest good
    /// version: a true seal may be of somebody who has our keys.
    async fn ours_if_another_on_top(&self, bucket: &dyn Store, key: &str) -> Result<Option<Bytes>> {
        let cached = self.cache.get(key).await.ok().filter(|bytes| self.is_genuine(key, bytes));
        let top = newest(bucket, key).await?;
        let is_on_top = |ours: &Bytes| top.as_ref() == Some(ours);
        if cached.as_ref().is_some_and(is_on_top) {
            self.under.forget(key);
            return Ok(None);
        }
        // What lies on top is told there.
        let oldest = self.beneath(bucket, key).await?;
        let ours = cached.or(oldest).ok_or_else(|| none_is_good(key))?;
        if is_on_top(&ours) {
            self.under.forget(key);
            return Ok(None);
        }
        Ok(Some(ours))
    }

    async fn pack_on_top(&self, bucket: &dyn Store, pack: PackNo, key: &str) -> Result<Copy> {
        let id = self.read().index.pack(pack).name.id;
        let read = match bucket.get(key).await {
            Ok(bytes) => crate::fetch::verify(id, bytes).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(bytes) => Ok(Copy::Good(bytes)),
            Err(error) if cannot_tell(&error) => Ok(Copy::Bad),
            Err(error) => Err(error),
        }
    }
}

/// What the bucket itself shows of an object, whatever is known to lie beneath it; `None` if nothing, or nothing that can be read.
async fn newest(bucket: &dyn Store, key: &str) -> Result<Option<Bytes>> {
    let versions = bucket.versions(key).await?;
    let Some(newest) = versions.first().filter(|newest| !newest.is_marker) else { return Ok(None) };
    match bucket.get_version(key, newest).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if cannot_tell(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn none_is_good(key: &str) -> Error {
    Error::new(Kind::Corrupt, "object.corrupt", format!("no version of {key} in the bucket is good"))
        .advice("run a check: it sends again what the cache holds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::Moment;
    use holdfast_runtime::Clock;
    use holdfast_storage::{Counting, MemStore, PutMode};

    async fn some_layered(count: usize) -> (Arc<Counting>, Wanted, HashSet<String>) {
        let bucket = Arc::new(Counting::new(Arc::new(MemStore::locking(Clock::system()))));
        let (mut wanted, mut layered) = (Wanted::new(), HashSet::new());
        for number in 0..count {
            let print = hex::encode(holdfast_chunk::sha256(number.to_string().as_bytes()));
            let key = format!("p/{}/{print}", &print[..2]);
            bucket.put(&key, Bytes::from_static(b"ours"), PutMode::Once).await.unwrap();
            if number % 7 == 0 {
                bucket.put(&key, Bytes::from_static(b"theirs"), PutMode::Replace).await.unwrap();
                layered.insert(key.clone());
            }
            wanted.insert(key, Moment::default());
        }
        // Of what is not wanted nothing is told.
        for body in [b"one", b"two"] {
            bucket.put("p/zz/other", Bytes::from_static(body), PutMode::Replace).await.unwrap();
        }
        bucket.reset();
        (bucket, wanted, layered)
    }

    #[tokio::test]
    async fn a_snapshot_of_some_packs_asks_for_them_and_not_for_the_bucket() {
        let (bucket, wanted, expected) = some_layered(300).await;
        assert_eq!(layered(&*bucket, &wanted).await.unwrap(), expected);
        assert_eq!(bucket.counts().lists, 0, "nothing is listed for so few");
    }

    #[tokio::test]
    async fn many_are_found_in_listings_of_parts_of_the_bucket() {
        let (bucket, mut wanted, expected) = some_layered(FEW + 500).await;
        wanted.insert(FORMAT.to_owned(), Moment::default());
        assert_eq!(layered(&*bucket, &wanted).await.unwrap(), expected);
        let lists = bucket.counts().lists;
        assert!((200..=257).contains(&lists), "{lists}: one for each two letters, never one for all");
        for (key, part) in [("format", "format"), ("s/one", "s/"), ("k/epoch-1", "k/"), ("r/one.0002-ab", "r/")] {
            assert_eq!(part_of(key), part);
        }
    }

    #[tokio::test]
    async fn of_a_bucket_that_keeps_no_versions_none_is_told() {
        let wanted = Wanted::from([("format".to_owned(), Moment::default())]);
        assert!(layered(&MemStore::new(), &wanted).await.unwrap().is_empty());
    }
}
