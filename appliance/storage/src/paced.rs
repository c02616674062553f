//! A store that is written no faster than it may be.

use crate::{ObjectInfo, PutMode, Store};
use async_trait::async_trait;
use bytes::Bytes;
use holdfast_model::Result;
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
}

#[async_trait]
impl Store for Paced {
    fn place(&self) -> String {
        self.inner.place()
    }
    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        // In small steps, so that another limit counts soon.
        let mut left = bytes.len();
        while left > 0 {
            let step = left.min(self.throttle.portion(STEP));
            self.throttle.take(step as u64).await;
            left -= step;
        }
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
