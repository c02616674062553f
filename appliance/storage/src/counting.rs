//! A wrapper that counts: operations and bytes, for budgets in tests and for metering.

use crate::{Keep, ObjectInfo, PutMode, Store, Version};
use async_trait::async_trait;
use bytes::Bytes;
use holdfast_model::{Moment, Result};
use std::ops::Range;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What went through a [`Counting`] store; failed operations count, their bytes do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of `put`.
    pub puts: u64,
    /// Calls of `get`.
    pub gets: u64,
    /// Calls of `get_range`.
    pub ranges: u64,
    /// Calls of `head`.
    pub heads: u64,
    /// Calls of `list`.
    pub lists: u64,
    /// Calls of `delete`.
    pub deletes: u64,
    /// Calls of `extend`.
    pub extends: u64,
    /// Bytes of successful puts.
    pub bytes_put: u64,
    /// Bytes of successful reads.
    pub bytes_got: u64,
}

impl Counts {
    /// All operations.
    pub fn operations(&self) -> u64 {
        self.puts + self.gets + self.ranges + self.heads + self.lists + self.deletes + self.extends
    }
}

#[derive(Debug, Default)]
struct Tally {
    puts: AtomicU64,
    gets: AtomicU64,
    ranges: AtomicU64,
    heads: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    extends: AtomicU64,
    bytes_put: AtomicU64,
    bytes_got: AtomicU64,
}

/// Passes everything on and counts it.
#[derive(Debug)]
pub struct Counting {
    inner: Arc<dyn Store>,
    tally: Tally,
}

impl Counting {
    /// Wraps a store, counting from zero.
    pub fn new(inner: Arc<dyn Store>) -> Counting {
        Counting { inner, tally: Tally::default() }
    }

    /// What went through so far.
    pub fn counts(&self) -> Counts {
        let t = &self.tally;
        Counts {
            puts: t.puts.load(Relaxed),
            gets: t.gets.load(Relaxed),
            ranges: t.ranges.load(Relaxed),
            heads: t.heads.load(Relaxed),
            lists: t.lists.load(Relaxed),
            deletes: t.deletes.load(Relaxed),
            extends: t.extends.load(Relaxed),
            bytes_put: t.bytes_put.load(Relaxed),
            bytes_got: t.bytes_got.load(Relaxed),
        }
    }

    /// Begins again at zero.
    pub fn reset(&self) {
        let t = &self.tally;
        let calls = [&t.puts, &t.gets, &t.ranges, &t.heads, &t.lists, &t.deletes, &t.extends];
        for counter in calls.into_iter().chain([&t.bytes_put, &t.bytes_got]) {
            counter.store(0, Relaxed);
        }
    }

    fn got(&self, bytes: Result<Bytes>) -> Result<Bytes> {
        if let Ok(bytes) = &bytes {
            self.tally.bytes_got.fetch_add(bytes.len() as u64, Relaxed);
        }
        bytes
    }
}

#[async_trait]
impl Store for Counting {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.tally.puts.fetch_add(1, Relaxed);
        let size = bytes.len() as u64;
        self.inner.put(key, bytes, mode).await?;
        self.tally.bytes_put.fetch_add(size, Relaxed);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.tally.gets.fetch_add(1, Relaxed);
        self.got(self.inner.get(key).await)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.tally.ranges.fetch_add(1, Relaxed);
        self.got(self.inner.get_range(key, range).await)
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.tally.heads.fetch_add(1, Relaxed);
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.tally.lists.fetch_add(1, Relaxed);
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.tally.deletes.fetch_add(1, Relaxed);
        self.inner.delete(key).await
    }

    async fn put_kept(&self, key: &str, bytes: Bytes, mode: PutMode, keep: Keep) -> Result<()> {
        self.tally.puts.fetch_add(1, Relaxed);
        let size = bytes.len() as u64;
        self.inner.put_kept(key, bytes, mode, keep).await?;
        self.tally.bytes_put.fetch_add(size, Relaxed);
        Ok(())
    }

    async fn extend(&self, key: &str, keep: Keep) -> Result<()> {
        self.tally.extends.fetch_add(1, Relaxed);
        self.inner.extend(key, keep).await
    }

    async fn kept_until(&self, key: &str, version: Option<&Version>) -> Result<Option<Moment>> {
        self.inner.kept_until(key, version).await
    }

    async fn versions(&self, key: &str) -> Result<Vec<Version>> {
        self.inner.versions(key).await
    }

    async fn list_versions(&self, prefix: &str) -> Result<Vec<(String, Vec<Version>)>> {
        self.tally.lists.fetch_add(1, Relaxed);
        self.inner.list_versions(prefix).await
    }

    async fn get_version(&self, key: &str, version: &Version) -> Result<Bytes> {
        self.tally.gets.fetch_add(1, Relaxed);
        self.got(self.inner.get_version(key, version).await)
    }

    async fn delete_version(&self, key: &str, version: &Version) -> Result<()> {
        self.inner.delete_version(key, version).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemStore;

    #[tokio::test]
    async fn counts_what_passes() {
        let store = Arc::new(Counting::new(Arc::new(MemStore::new())));
        store.put("a", Bytes::from_static(b"12345"), PutMode::Once).await.unwrap();
        store.get_range("a", 1..3).await.unwrap();
        store.get("b").await.unwrap_err();
        let counts = store.counts();
        assert_eq!((counts.puts, counts.gets, counts.ranges), (1, 1, 1));
        assert_eq!((counts.bytes_put, counts.bytes_got), (5, 2));
        assert_eq!(counts.operations(), 3);
        store.reset();
        assert_eq!(store.counts(), Counts::default());
        crate::conformance::run(store).await;
    }

    #[tokio::test]
    async fn locks_pass_through() {
        let now = Moment::from_millis(1_795_000_000_000);
        let store = Counting::new(Arc::new(MemStore::locking(holdfast_runtime::Clock::manual(now))));
        crate::conformance::locks(&store, now).await;
        assert_eq!(store.counts().extends, 2);
    }
}
