//! A store that is written no faster than it may be.

use crate::{Keep, ObjectInfo, PutMode, Store, Version};
use async_trait::async_trait;
use bytes::Bytes;
use holdfast_model::{Moment, Result};
use holdfast_runtime::Throttle;
use std::{ops::Range, sync::Arc};

/// Bytes that are waited for at once.
const STEP: usize = 1 << 20;

/// Wraps a store: each write waits until the bytes of those before it would have moved at the limit. For stores that cannot
/// hold back in the middle of an object.
#[derive(Debug)]
pub struct Paced {
    inner: Arc<dyn Store>,
    throttle: Arc<Throttle>,
}

impl Paced {
    /// `throttle` counts bytes.
    pub fn new(inner: Arc<dyn Store>, throttle: Arc<Throttle>) -> Paced {
        Paced { inner, throttle }
    }

    /// In small steps, so that another limit counts soon.
    async fn wait_for(&self, bytes: &Bytes) {
        let mut left = bytes.len();
        while left > 0 {
            let step = left.min(self.throttle.portion(STEP));
            self.throttle.take(step as u64).await;
            left -= step;
        }
    }
}

#[async_trait]
impl Store for Paced {
    fn place(&self) -> String {
        self.inner.place()
    }
    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.wait_for(&bytes).await;
        self.inner.put(key, bytes, mode).await
    }
    async fn get(&self, key: &str) -> Result<Bytes> {
        self.inner.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.inner.get_range(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.inner.head(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.inner.list(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key).await
    }
    async fn put_kept(&self, key: &str, bytes: Bytes, mode: PutMode, keep: Keep) -> Result<()> {
        self.wait_for(&bytes).await;
        self.inner.put_kept(key, bytes, mode, keep).await
    }
    async fn extend(&self, key: &str, keep: Keep) -> Result<()> {
        self.inner.extend(key, keep).await
    }
    async fn kept_until(&self, key: &str, version: Option<&Version>) -> Result<Option<Moment>> {
        self.inner.kept_until(key, version).await
    }
    async fn versions(&self, key: &str) -> Result<Vec<Version>> {
        self.inner.versions(key).await
    }
    async fn list_versions(&self, prefix: &str) -> Result<Vec<(String, Vec<Version>)>> {
        self.inner.list_versions(prefix).await
    }
    async fn get_version(&self, key: &str, version: &Version) -> Result<Bytes> {
        self.inner.get_version(key, version).await
    }
    async fn delete_version(&self, key: &str, version: &Version) -> Result<()> {
        self.inner.delete_version(key, version).await
    }
    async fn force_version(&self, key: &str, version: &Version) -> Result<()> {
        self.inner.force_version(key, version).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemStore, conformance};
    use tokio::time::Instant;

    #[tokio::test]
    async fn it_is_a_store() {
        conformance::run(Arc::new(Paced::new(Arc::new(MemStore::new()), Arc::default()))).await;
    }

    #[tokio::test]
    async fn locks_pass_through() {
        let now = Moment::from_millis(1_795_000_000_000);
        let locking = MemStore::locking(holdfast_runtime::Clock::manual(now));
        conformance::locks(&Paced::new(Arc::new(locking), Arc::default()), now).await;
    }

    #[tokio::test(start_paused = true)]
    async fn writes_keep_to_the_limit_and_reads_do_not() {
        let throttle = Arc::new(Throttle::default());
        throttle.limit(Some(1000));
        let store = Paced::new(Arc::new(MemStore::new()), throttle);
        let begun = Instant::now();
        for name in ["a", "b", "c"] {
            store.put(name, vec![0; 1000].into(), PutMode::Once).await.unwrap();
            store.get(name).await.unwrap();
        }
        let took = begun.elapsed().as_millis();
        assert!((1900..=3000).contains(&took), "the last step of each costs no waiting: {took}");
    }
}
