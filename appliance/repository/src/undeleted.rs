//! What the bucket said that it deleted, and shows all the same.
//!
//! Invariants: its answer is believed until a listing that is taken anyway tells otherwise, so no object is asked for by itself; what is
//! there still is told, counts again, and goes again with the next prune: packs by another list and another grace, for somebody
//! may have found them since, and nothing new leans on them; a tombstone goes only when its snapshot is not to be seen any more.

use crate::{
    inner::Inner,
    layout,
    prune::Work,
    state::Fate,
    unusable::{NAMED, some_of},
};
use holdfast_model::{Problem, Result, SnapshotId};
use holdfast_storage::Store;
use std::collections::{HashMap, HashSet};

/// Deletions that are remembered until the next listing: those of a very large prune are not all worth their memory.
const REMEMBERED: usize = 100_000;

impl Inner {
    /// The bucket said that an object is gone.
    pub(crate) fn note_deleted(&self, key: &str) {
        let mut state = self.write();
        if state.deleted.len() < REMEMBERED {
            state.deleted.insert(key.to_owned());
        }
    }

    /// Tells what a whole listing, of names and sizes, shows of it. No prune may be at work.
    pub(crate) async fn name_undeleted(&self, bucket: &dyn Store, there: &HashMap<String, u64>) {
        let shown = self.shown_though_deleted(there);
        if shown.is_empty() {
            return;
        }
        if !is_any_there(bucket, &shown).await {
            // An old listing, or no answer: the next one tells.
            self.write().deleted.extend(shown.into_iter().map(|(key, _)| key));
            return;
        }
        for (key, size) in &shown {
            self.take_up_again(key, *size);
        }
        let keys: Vec<String> = shown.into_iter().map(|(key, _)| key).collect();
        self.write().note(not_deleted(&keys));
    }

    /// What a listing does not show is gone. What has come to count again since was put there by us.
    fn shown_though_deleted(&self, there: &HashMap<String, u64>) -> Vec<(String, u64)> {
        let mut state = self.write();
        let deleted = std::mem::take(&mut state.deleted);
        let counts = |key: &str| match layout::parse_pack(key) {
            Some((_, id)) => state.index.number(&id).is_some_and(|pack| state.index.pack(pack).present()),
            None => state.small.get(key).is_some_and(|small| small.cached || small.acked),
        };
        let mut shown = Vec::new();
        for key in deleted {
            if let Some(size) = there.get(&key)
                && !counts(&key)
            {
                shown.push((key, *size));
            }
        }
        shown.sort_unstable();
        shown
    }

    /// The next prune finds it: a pack as one that it has doomed, a tombstone as one whose snapshot may be there, all else as litter.
    fn take_up_again(&self, key: &str, size: u64) {
        {
            let mut state = self.write();
            let pack = layout::parse_pack(key);
            if pack.is_none() && !key.starts_with(layout::TOMBSTONES) {
                state.litter.insert(key.to_owned());
                return;
            }
            // Of another size it is not what we put there.
            if !state.enter(key, size) {
                return;
            }
            if let Some(number) = pack.and_then(|(_, id)| state.index.number(&id)) {
                state.index.pack_mut(number).fate = Fate::Doomed;
            }
        }
        self.remember_ack(key, size);
    }

    /// Removes the tombstones of snapshots of which nothing can be on its way any more, but those whose snapshot the bucket still
    /// shows, whatever it answered to the deletion: without its tombstone it would be back. The answer is whether it shows none.
    pub(crate) async fn drop_tombstones(&self, settled: &[SnapshotId], work: &mut Work) -> Result<bool> {
        let shown = match work.bucket.clone().filter(|_| !settled.is_empty()) {
            Some(bucket) => snapshots_shown(&*bucket, settled).await,
            None => Ok(HashSet::new()),
        };
        let shown = match shown {
            Ok(shown) => shown,
            Err(error) => {
                work.give_up_bucket("what was forgotten", &error);
                return Ok(false);
            }
        };
        for id in settled.iter().filter(|id| !shown.contains(*id)) {
            let tombstone = layout::tombstone_key(id);
            if work.delete(self, &tombstone).await {
                self.delete_cached(&tombstone).await?;
            }
        }
        if shown.is_empty() {
            return Ok(true);
        }
        let mut keys: Vec<String> = shown.iter().map(layout::snapshot_key).collect();
        keys.sort_unstable();
        work.outcome.problems.push(not_deleted(&keys));
        Ok(false)
    }
}

/// Whether one of the first is really there: a listing may be an old one.
async fn is_any_there(bucket: &dyn Store, shown: &[(String, u64)]) -> bool {
    for (key, _) in shown.iter().take(NAMED) {
        match bucket.head(key).await {
            Ok(Some(_)) => return true,
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(key, error = %error.chain(), "whether an object was deleted could not be asked");
                return false;
            }
        }
    }
    false
}

/// Which of these snapshots the bucket shows: one listing for all, and a question for each that it has.
async fn snapshots_shown(bucket: &dyn Store, ids: &[SnapshotId]) -> Result<HashSet<SnapshotId>> {
    let listed = bucket.list(layout::SNAPSHOTS).await?;
    let listed: HashSet<String> = listed.into_iter().map(|object| object.key).collect();
    let mut shown = HashSet::new();
    for id in ids {
        let key = layout::snapshot_key(id);
        if listed.contains(&key) && bucket.head(&key).await?.is_some() {
            shown.insert(id.clone());
        }
    }
    Ok(shown)
}

fn not_deleted(keys: &[String]) -> Problem {
    let text = format!(
        "the bucket said that it had deleted what it still shows, or shows again; the next prune deletes it once more ({} in all): {}",
        keys.len(),
        some_of(keys)
    );
    Problem::warning("bucket.not_deleted", keys.first().map_or("", String::as_str), text)
        .advice("if it comes again, ask the provider: what nobody needs any more takes room there, and is paid for")
}
