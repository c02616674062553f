//! A store in memory: the reference the other stores are measured against, and the bucket of tests.
//!
//! Made by [`MemStore::locking`] it keeps every version and locks, as a bucket with object lock does. Bounded by nothing: never used
//! for a tier of a real appliance.

use crate::{Keep, ObjectInfo, PutMode, Store, Version, key, words};
use async_trait::async_trait;
use bytes::Bytes;
use holdfast_model::{Moment, Result, lock::LockMode};
use holdfast_runtime::Clock;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Objects in memory.
#[derive(Default)]
pub struct MemStore {
    shelf: Mutex<Shelf>,
    clock: Clock,
    /// It keeps versions, and locks.
    locks: bool,
}

/// Versions by key, oldest first; no list is empty.
#[derive(Default)]
struct Shelf {
    objects: BTreeMap<String, Vec<Held>>,
    made: u64,
}

/// A version; a mark of deletion has no bytes.
#[derive(Clone)]
struct Held {
    number: u64,
    bytes: Option<Bytes>,
    time: Moment,
    keep: Option<Keep>,
}

impl Held {
    fn id(&self) -> String {
        format!("v{}", self.number)
    }
    fn version(&self) -> Version {
        let size = self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Version { id: self.id(), size, is_marker: self.bytes.is_none(), modified: Some(self.time) }
    }
    fn info(&self, key: &str) -> Option<ObjectInfo> {
        let bytes = self.bytes.as_ref()?;
        Some(ObjectInfo::new(key, bytes.len() as u64).at(Some(self.time)))
    }
    fn locked(&self, now: Moment) -> Option<Keep> {
        self.keep.filter(|keep| keep.until > now)
    }
}

impl Shelf {
    fn current(&self, key: &str) -> Option<&Held> {
        self.objects.get(key)?.last().filter(|held| held.bytes.is_some())
    }
    fn push(&mut self, key: &str, bytes: Option<Bytes>, time: Moment, keeps_versions: bool) {
        self.made += 1;
        let held = Held { number: self.made, bytes, time, keep: None };
        let versions = self.objects.entry(key.to_owned()).or_default();
        if !keeps_versions {
            versions.clear();
        }
        versions.push(held);
    }
    fn find(&mut self, key: &str, version: Option<&Version>) -> Result<&mut Held> {
        let versions = self.objects.get_mut(key).ok_or_else(|| words::missing(key))?;
        let found = match version {
            Some(version) => versions.iter_mut().find(|held| held.id() == version.id),
            None => versions.last_mut(),
        };
        found.filter(|held| held.bytes.is_some()).ok_or_else(|| words::missing(key))
    }
}

impl MemStore {
    /// An empty store.
    pub fn new() -> MemStore {
        MemStore::default()
    }

    /// An empty store whose time is that of `clock`.
    pub fn with_clock(clock: Clock) -> MemStore {
        MemStore { clock, ..MemStore::default() }
    }

    /// An empty store that keeps versions and locks, by this clock.
    pub fn locking(clock: Clock) -> MemStore {
        MemStore { locks: true, ..MemStore::with_clock(clock) }
    }

    /// All objects as they are now; bodies are shared, not copied.
    pub fn objects_now(&self) -> BTreeMap<String, Bytes> {
        let shelf = self.shelf();
        let now = shelf.objects.iter().filter_map(|(key, versions)| Some((key, versions.last()?.bytes.clone()?)));
        now.map(|(key, bytes)| (key.clone(), bytes)).collect()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Every critical section leaves the map whole at each step.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, key: &str) -> Result<Bytes> {
        key::check(key)?;
        self.shelf().current(key).and_then(|held| held.bytes.clone()).ok_or_else(|| words::missing(key))
    }

    fn must_lock(&self) -> Result<()> {
        if self.locks { Ok(()) } else { Err(words::no_lock(&self.place())) }
    }

    fn put_in(&self, shelf: &mut Shelf, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        key::check(key)?;
        if mode == PutMode::Once
            && let Some(there) = shelf.current(key).and_then(|held| held.bytes.as_ref())
        {
            let (there, ours) = (there.len() as u64, bytes.len() as u64);
            return if there == ours { Ok(()) } else { Err(words::differs(key, there, ours)) };
        }
        shelf.push(key, Some(bytes), self.clock.now(), self.locks);
        Ok(())
    }

    fn keep_in(&self, shelf: &mut Shelf, key: &str, keep: Keep) -> Result<()> {
        let held = shelf.find(key, None)?;
        if let Some(before) = held.locked(self.clock.now()) {
            let softer = before.mode == LockMode::Compliance && keep.mode == LockMode::Governance;
            if softer || keep.until < before.until {
                return Err(words::locked(key, before.until));
            }
        }
        held.keep = Some(keep);
        Ok(())
    }
}

impl From<BTreeMap<String, Bytes>> for MemStore {
    fn from(objects: BTreeMap<String, Bytes>) -> MemStore {
        let mut shelf = Shelf::default();
        for (key, bytes) in objects {
            shelf.push(&key, Some(bytes), Moment::default(), false);
        }
        MemStore { shelf: Mutex::new(shelf), ..MemStore::default() }
    }
}

impl std::fmt::Debug for MemStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemStore({} objects)", self.shelf().objects.len())
    }
}

#[async_trait]
impl Store for MemStore {
    fn place(&self) -> String {
        "memory".into()
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.put_in(&mut self.shelf(), key, bytes, mode)
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.find(key)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let bytes = self.find(key)?;
        if range.start > range.end {
            return Err(words::bad_range(key, &range));
        }
        let size = bytes.len() as u64;
        if range.end > size {
            return Err(words::short(key, &range, size));
        }
        // Both ends are at most `size`, which is a usize.
        Ok(bytes.slice(range.start as usize..range.end as usize))
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        key::check(key)?;
        Ok(self.shelf().current(key).and_then(|held| held.info(key)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        key::check_prefix(prefix)?;
        let shelf = self.shelf();
        let named = shelf.objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(named.filter_map(|(key, versions)| versions.last()?.info(key)).collect())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        key::check(key)?;
        let mut shelf = self.shelf();
        match self.locks && shelf.objects.contains_key(key) {
            true => shelf.push(key, None, self.clock.now(), true),
            false => drop(shelf.objects.remove(key)),
        }
        Ok(())
    }

    async fn put_kept(&self, key: &str, bytes: Bytes, mode: PutMode, keep: Keep) -> Result<()> {
        self.must_lock()?;
        let mut shelf = self.shelf();
        self.put_in(&mut shelf, key, bytes, mode)?;
        let there = shelf.current(key).and_then(|held| held.locked(self.clock.now()));
        if there.is_some_and(|there| there.until >= keep.until) {
            return Ok(());
        }
        self.keep_in(&mut shelf, key, keep)
    }

    async fn extend(&self, key: &str, keep: Keep) -> Result<()> {
        key::check(key)?;
        self.must_lock()?;
        self.keep_in(&mut self.shelf(), key, keep)
    }

    async fn kept_until(&self, key: &str, version: Option<&Version>) -> Result<Option<Moment>> {
        key::check(key)?;
        self.must_lock()?;
        Ok(self.shelf().find(key, version)?.keep.map(|keep| keep.until))
    }

    async fn versions(&self, key: &str) -> Result<Vec<Version>> {
        key::check(key)?;
        self.must_lock()?;
        let shelf = self.shelf();
        Ok(shelf.objects.get(key).into_iter().flatten().rev().map(Held::version).collect())
    }

    async fn list_versions(&self, prefix: &str) -> Result<Vec<(String, Vec<Version>)>> {
        key::check_prefix(prefix)?;
        self.must_lock()?;
        let shelf = self.shelf();
        let named = shelf.objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(named.map(|(key, held)| (key.clone(), held.iter().rev().map(Held::version).collect())).collect())
    }

    async fn get_version(&self, key: &str, version: &Version) -> Result<Bytes> {
        key::check(key)?;
        self.must_lock()?;
        self.shelf().find(key, Some(version))?.bytes.clone().ok_or_else(|| words::missing(key))
    }

    async fn delete_version(&self, key: &str, version: &Version) -> Result<()> {
        key::check(key)?;
        self.must_lock()?;
        let now = self.clock.now();
        let mut shelf = self.shelf();
        let Some(versions) = shelf.objects.get_mut(key) else { return Ok(()) };
        let locked = versions.iter().find(|held| held.id() == version.id).and_then(|held| held.locked(now));
        if let Some(keep) = locked {
            return Err(words::locked(key, keep.until));
        }
        versions.retain(|held| held.id() != version.id);
        if versions.is_empty() {
            shelf.objects.remove(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[tokio::test]
    async fn conforms() {
        crate::conformance::run(Arc::new(MemStore::new())).await;
        crate::conformance::run(Arc::new(MemStore::locking(Clock::system()))).await;
    }

    #[tokio::test]
    async fn one_that_locks_keeps_what_is_locked_and_one_that_does_not_says_so() {
        let now = Moment::from_millis(1_795_000_000_000);
        crate::conformance::locks(&MemStore::locking(Clock::manual(now)), now).await;
        crate::conformance::no_locks(&MemStore::new()).await;
    }

    #[tokio::test]
    async fn a_lock_ends_at_its_time() {
        let clock = Clock::manual(Moment::from_millis(1_795_000_000_000));
        let store = MemStore::locking(clock.clone());
        let keep = Keep { mode: LockMode::Compliance, until: clock.now().plus_seconds(60) };
        store.put_kept("a", Bytes::from_static(b"x"), PutMode::Once, keep).await.unwrap();
        let version = store.versions("a").await.unwrap().remove(0);
        assert_eq!(store.delete_version("a", &version).await.unwrap_err().code(), "object.locked");
        clock.advance(Duration::from_secs(61));
        store.delete_version("a", &version).await.unwrap();
        assert!(store.versions("a").await.unwrap().is_empty());
    }
}
