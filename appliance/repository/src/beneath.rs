//! Beneath what somebody put on top: good older versions of objects that were deleted in the bucket or written over.
//!
//! Whoever steals the appliance's keys can hide everything in a bucket that keeps versions, and write garbage over it, or other
//! objects under true seals; what is locked he cannot take away. Invariants: of the good versions of an object the oldest counts,
//! for all that is written once was written by us first; what is hidden counts only where it is missed, or, for whoever recovers,
//! while it is locked: the rest we deleted ourselves; new data leans on nothing that lies hidden.

mod way_in;

use crate::{
    inner::Inner,
    layout::{self, FORMAT, RECOVERY_SLOTS, SETTINGS},
    looks::Copy,
    threads::blocking,
    vault::cannot_tell,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_model::{Kind, Problem, Result};
use holdfast_storage::{ObjectInfo, Store, Version};
use std::collections::{HashMap, HashSet};
pub(crate) use way_in::{WayIn, way_in};

/// Versions of one object that are read before it is given up. Ours come first, whatever was put on top of them.
const TRIED: usize = 16;
/// Objects looked at at once.
const AT_ONCE: usize = 8;
/// Names that one problem tells.
const NAMED: usize = 5;

/// An object and its versions, newest first.
type Layers = (String, Vec<Version>);

/// What was found of an object whose newest version is not the one that counts, or not the only one.
struct Choice {
    key: String,
    version: Version,
    /// It is not the newest, or lies hidden.
    beneath: bool,
    hidden: bool,
}

impl Inner {
    /// A good copy of an object among its versions, the oldest; it counts from now on. `None` if the store keeps none, or none is good.
    pub(crate) async fn beneath(&self, store: &dyn Store, key: &str) -> Result<Option<Bytes>> {
        let versions = match store.versions(key).await {
            Ok(versions) => versions,
            Err(error) if cannot_tell(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some((version, bytes)) = self.oldest_good(store, key, &versions).await? else { return Ok(None) };
        let is_newest = versions.first().is_some_and(|newest| newest.id == version.id);
        if is_newest {
            self.under.forget(key);
        } else if self.under.put(key, version) {
            self.write().note(tampered(key));
        }
        Ok(Some(bytes))
    }

    async fn oldest_good(
        &self,
        store: &dyn Store,
        key: &str,
        versions: &[Version],
    ) -> Result<Option<(Version, Bytes)>> {
        for version in versions.iter().rev().filter(|version| !version.is_marker).take(TRIED) {
            let bytes = match store.get_version(key, version).await {
                Ok(bytes) => bytes,
                Err(error) if cannot_tell(&error) => continue,
                Err(error) => return Err(error),
            };
            let (bytes, good) = self.judged_as_any(key, bytes).await?;
            if good {
                return Ok(Some((version.clone(), bytes)));
            }
        }
        Ok(None)
    }

    async fn judged_as_any(&self, key: &str, bytes: Bytes) -> Result<(Bytes, bool)> {
        let Some((_, id)) = layout::parse_pack(key) else { return self.judged(key, bytes).await };
        blocking(move || {
            let good = holdfast_chunk::sha256(&bytes) == *id.as_bytes();
            Ok((bytes, good))
        })
        .await
    }

    /// As [`Inner::look_at`] in the bucket, and where that finds nothing good, beneath it.
    pub(crate) async fn look_deep(&self, bucket: &dyn Store, key: &str) -> Result<Copy> {
        let copy = self.look_at(bucket, key).await?;
        if !matches!(copy, Copy::Bad | Copy::Absent) {
            return Ok(copy);
        }
        Ok(self.beneath(bucket, key).await?.map_or(copy, Copy::Good))
    }

    /// A listing of the bucket with what is missed in it and lies hidden there. Asks for versions only if something is missed.
    pub(crate) async fn with_missed(&self, bucket: &dyn Store, listed: Vec<ObjectInfo>) -> Result<Vec<ObjectInfo>> {
        let missed = self.missed(&listed);
        if missed.is_empty() {
            return Ok(listed);
        }
        let Some(layers) = layers(bucket).await? else { return Ok(listed) };
        let layers: Vec<Layers> = layers.into_iter().filter(|(key, _)| missed.contains(key)).collect();
        let mut found = stream::iter(layers)
            .map(|(key, versions)| async move { self.find_missed(bucket, &key, &versions).await })
            .buffer_unordered(AT_ONCE);
        while let Some(result) = found.next().await {
            result?;
        }
        drop(found);
        Ok(self.under.lay_over(listed, ""))
    }

    async fn find_missed(&self, bucket: &dyn Store, key: &str, versions: &[Version]) -> Result<()> {
        if layout::parse_pack(key).is_none() {
            return self.beneath(bucket, key).await.map(drop);
        }
        // Reading it will tell; until then its size has to do.
        let size = self.read().size_of(key);
        let ours = versions.iter().rev().find(|version| !version.is_marker && Some(version.size) == size);
        if ours.is_some_and(|version| self.under.put(key, version.clone())) {
            self.write().note(tampered(key));
        }
        Ok(())
    }

    /// What the bucket acknowledged or snapshots need, the cache has not, and the listing does not show as it was.
    fn missed(&self, listed: &[ObjectInfo]) -> HashSet<String> {
        let shown: HashMap<&str, u64> = listed.iter().map(|info| (info.key.as_str(), info.size)).collect();
        let state = self.read();
        let live = state.live();
        let packs = state.index.packs().filter(|(pack, info)| !info.cached() && (info.acked || live.contains(pack)));
        let packs = packs.map(|(_, info)| (info.key(), info.name.size));
        let small = state.small.iter().filter(|(key, small)| small.acked && !small.cached && layout::travels(key));
        let small = small.map(|(key, small)| (key.clone(), small.size));
        let missed = packs.chain(small).filter(|(key, size)| shown.get(key.as_str()) != Some(size));
        missed.map(|(key, _)| key).collect()
    }

    /// For whoever recovers and so misses nothing: a listing with all that is hidden and locked, with the oldest good version where
    /// there are several, and with all hidden packs. The answer is also the keys of what is hidden.
    pub(crate) async fn with_hidden(
        &self,
        bucket: &dyn Store,
        listed: Vec<ObjectInfo>,
    ) -> Result<(Vec<ObjectInfo>, HashSet<String>)> {
        let Some(layers) = layers(bucket).await? else { return Ok((listed, HashSet::new())) };
        let newest = Newest::of(&listed);
        let wanted = layers.into_iter().filter(|(key, versions)| {
            let is_hidden = versions.first().is_some_and(|version| version.is_marker);
            (is_hidden || versions.len() > 1) && layout::travels(key) && newest.wants(key, is_hidden)
        });
        let wanted: Vec<Layers> = wanted.collect();
        let mut chosen = stream::iter(wanted)
            .map(|layers| async move { self.choose(bucket, layers).await })
            .buffer_unordered(AT_ONCE);
        let (mut hidden, mut told) = (HashSet::new(), Vec::new());
        while let Some(choice) = chosen.next().await {
            let Some(choice) = choice?.filter(|choice| choice.beneath) else { continue };
            self.under.put(&choice.key, choice.version);
            if layout::parse_pack(&choice.key).is_none() {
                told.push(choice.key.clone());
            }
            if choice.hidden {
                hidden.insert(choice.key);
            }
        }
        drop(chosen);
        told.sort_unstable();
        if let Some(problem) = uncovered(&told) {
            self.write().note(problem);
        }
        Ok((self.under.lay_over(listed, ""), hidden))
    }

    async fn choose(&self, bucket: &dyn Store, (key, versions): Layers) -> Result<Option<Choice>> {
        let hidden = versions.first().is_some_and(|version| version.is_marker);
        let Some(oldest) = versions.iter().rev().find(|version| !version.is_marker) else { return Ok(None) };
        if layout::parse_pack(&key).is_some() {
            // Its bytes are judged when they are read, and then a younger one may take its place.
            let alike = versions.iter().all(|version| version.size == oldest.size);
            return Ok(Some(Choice { key, version: oldest.clone(), beneath: hidden || !alike, hidden }));
        }
        if hidden && !self.is_any_kept(bucket, &key, &versions).await? {
            return Ok(None);
        }
        let found = self.oldest_good(bucket, &key, &versions).await?;
        Ok(found.map(|(version, _)| {
            let beneath = versions.first().is_some_and(|newest| newest.id != version.id);
            Choice { key, version, beneath, hidden }
        }))
    }

    /// Whether a version is locked now. Where nobody can tell it counts as locked: rather too much comes back than too little.
    async fn is_kept_now(&self, bucket: &dyn Store, key: &str, version: &Version) -> Result<bool> {
        match bucket.kept_until(key, Some(version)).await {
            Ok(until) => Ok(until.is_some_and(|until| until > self.clock.now())),
            Err(error) if error.kind() == Kind::Denied => Ok(true),
            Err(error) if cannot_tell(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether some version of an object is locked now.
    pub(crate) async fn is_locked_anywhere(&self, bucket: &dyn Store, key: &str) -> Result<bool> {
        let versions = match bucket.versions(key).await {
            Ok(versions) => versions,
            Err(error) if cannot_tell(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        self.is_any_kept(bucket, key, &versions).await
    }

    /// What was put there once more may be locked for longer than what was there first.
    async fn is_any_kept(&self, bucket: &dyn Store, key: &str, versions: &[Version]) -> Result<bool> {
        for version in versions.iter().rev().filter(|version| !version.is_marker).take(TRIED) {
            if self.is_kept_now(bucket, key, version).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Hidden packs are read and not leaned on.
    pub(crate) fn distrust(&self, hidden: &HashSet<String>) {
        let mut state = self.write();
        for key in hidden {
            if let Some(number) = layout::parse_pack(key).and_then(|(_, id)| state.index.number(&id)) {
                state.index.pack_mut(number).proven = false;
            }
        }
    }

    /// Takes the marks of deletion away from what snapshots need and lies right below them, as far as our key may.
    pub(crate) async fn lift(&self, bucket: &dyn Store, hidden: &HashSet<String>) {
        let wanted: Vec<(String, Version)> = {
            let state = self.read();
            let live = state.live();
            let is_live = |key: &str| match layout::parse_pack(key) {
                Some((_, id)) => state.index.number(&id).is_some_and(|number| live.contains(&number)),
                None => state.small.contains_key(key),
            };
            let all = self.under.all().into_iter();
            all.filter(|(key, _)| hidden.contains(key) && is_live(key)).collect()
        };
        let mut lifted = stream::iter(wanted)
            .map(
                |(key, version)| async move { self.lift_one(bucket, &key, &version).await.map(|lifted| (key, lifted)) },
            )
            .buffer_unordered(AT_ONCE);
        while let Some(result) = lifted.next().await {
            match result {
                Ok((key, true)) => {
                    self.under.forget(&key);
                    self.write().set_acked(&key, true);
                }
                Ok((_, false)) => {}
                // A key that may not delete can read all the same.
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "what is hidden in the bucket stays hidden");
                    return;
                }
            }
        }
    }

    async fn lift_one(&self, bucket: &dyn Store, key: &str, version: &Version) -> Result<bool> {
        let versions = bucket.versions(key).await?;
        let marks: Vec<&Version> = versions.iter().take_while(|version| version.is_marker).collect();
        if versions.get(marks.len()).is_none_or(|below| below.id != version.id) {
            return Ok(false);
        }
        for mark in marks {
            bucket.delete_version(key, mark).await?;
        }
        Ok(true)
    }
}

/// The newest of what is numbered, as the listing shows it: older ones were deleted by us.
struct Newest {
    settings: Option<String>,
    kit: Option<u32>,
}

impl Newest {
    fn of(listed: &[ObjectInfo]) -> Newest {
        let keys = || listed.iter().map(|info| info.key.as_str());
        let settings = keys().filter(|key| key.starts_with(SETTINGS)).max().map(str::to_owned);
        Newest { settings, kit: keys().filter_map(kit_number).max() }
    }

    /// Whether a recovery has a use for an object of this name.
    fn wants(&self, key: &str, is_hidden: bool) -> bool {
        if !is_hidden {
            return !key.starts_with(layout::FENCES) && !key.starts_with(layout::TOMBSTONES);
        }
        if key.starts_with(SETTINGS) {
            return self.settings.as_deref().is_none_or(|newest| key > newest);
        }
        if let Some(number) = kit_number(key) {
            return self.kit.is_none_or(|newest| number > newest);
        }
        const CLASSES: [&str; 3] = [layout::SEGMENTS, layout::REACHES, layout::SNAPSHOTS];
        key == FORMAT || layout::parse_pack(key).is_some() || CLASSES.iter().any(|class| key.starts_with(class))
    }
}

fn kit_number(key: &str) -> Option<u32> {
    key.strip_prefix(RECOVERY_SLOTS)?.parse().ok()
}

/// All objects of the bucket with their versions; `None` if it keeps none, or does not tell us.
async fn layers(bucket: &dyn Store) -> Result<Option<Vec<Layers>>> {
    let all = match bucket.versions(FORMAT).await {
        Ok(_) => bucket.list_versions("").await,
        Err(error) => Err(error),
    };
    match all {
        Ok(layers) => Ok(Some(layers)),
        Err(error) if cannot_tell(&error) => {
            tracing::debug!(error = %error.chain(), "versions of the bucket's objects are not told");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn tampered(key: &str) -> Problem {
    let text = "in the bucket this object was deleted or written over by somebody; an older version of it is read";
    Problem::warning("bucket.tampered", key, text).advice(
        "give the appliance new keys for the bucket and look who had the old ones; a check sends again what the cache holds",
    )
}

fn uncovered(keys: &[String]) -> Option<Problem> {
    let first = keys.first()?;
    let named = keys[..keys.len().min(NAMED)].join(", ");
    let text = format!(
        "{} objects of the bucket had been deleted or written over and are read from older versions, which are locked: {named}",
        keys.len()
    );
    let advice = "among them is what was forgotten before its lock ended; if that is not all, give the appliance new keys for the bucket";
    Some(Problem::warning("bucket.tampered", first.as_str(), text).advice(advice))
}
