//! A store in memory: the reference the other stores are measured against, and the bucket of tests.
//!
//! Bounded by nothing: never used for a tier of a real appliance.

use crate::{ObjectInfo, PutMode, Store, key, words};
use async_trait::async_trait;
use bytes::Bytes;
use holdfast_model::{Moment, Result};
use holdfast_runtime::Clock;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Objects in memory.
#[derive(Default)]
pub struct MemStore {
    objects: Mutex<BTreeMap<String, (Bytes, Moment)>>,
    clock: Clock,
}

impl MemStore {
    /// An empty store.
    pub fn new() -> MemStore {
        MemStore::default()
    }

    /// An empty store whose time is that of `clock`.
    pub fn with_clock(clock: Clock) -> MemStore {
        MemStore { objects: Mutex::default(), clock }
    }

    /// All objects as they are now; bodies are shared, not copied.
    pub fn objects_now(&self) -> BTreeMap<String, Bytes> {
        self.objects().iter().map(|(key, (bytes, _))| (key.clone(), bytes.clone())).collect()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, (Bytes, Moment)>> {
        // Every critical section is a single map operation: a poisoned map is still whole.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, key: &str) -> Result<Bytes> {
        key::check(key)?;
        self.objects().get(key).map(|(bytes, _)| bytes.clone()).ok_or_else(|| words::missing(key))
    }
}

impl From<BTreeMap<String, Bytes>> for MemStore {
    fn from(objects: BTreeMap<String, Bytes>) -> MemStore {
        MemStore {
            objects: Mutex::new(objects.into_iter().map(|(key, bytes)| (key, (bytes, Moment::default()))).collect()),
            clock: Clock::default(),
        }
    }
}

impl std::fmt::Debug for MemStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemStore({} objects)", self.objects().len())
    }
}

#[async_trait]
impl Store for MemStore {
    fn place(&self) -> String {
        "memory".into()
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        key::check(key)?;
        let mut objects = self.objects();
        if mode == PutMode::Once
            && let Some((there, _)) = objects.get(key)
        {
            let (there, ours) = (there.len() as u64, bytes.len() as u64);
            return if there == ours { Ok(()) } else { Err(words::differs(key, there, ours)) };
        }
        objects.insert(key.to_owned(), (bytes, self.clock.now()));
        Ok(())
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
        Ok(self.objects().get(key).map(|(bytes, time)| ObjectInfo::new(key, bytes.len() as u64).at(Some(*time))))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        key::check_prefix(prefix)?;
        Ok(self
            .objects()
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, (bytes, time))| ObjectInfo::new(key, bytes.len() as u64).at(Some(*time)))
            .collect())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        key::check(key)?;
        self.objects().remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn conforms() {
        crate::conformance::run(Arc::new(MemStore::new())).await;
    }
}
