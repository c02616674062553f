//! Where objects come from: the repository, or a fake of it in tests.

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_model::{Moment, Result};
use holdfast_repository::{Repository, ShipList};
use std::collections::HashSet;

/// What the shipper needs of a repository; the methods mean what they mean there.
#[async_trait]
pub(crate) trait Source: Send + Sync + 'static {
    /// What the bucket has not acknowledged, the first `most` of it. An object that others need is listed before them; what needs an
    /// object of `stuck` comes last.
    fn to_ship(&self, most: usize, stuck: &HashSet<String>) -> ShipList;
    async fn ship_bytes(&self, key: &str) -> Result<Bytes>;
    async fn acknowledged(&self, key: &str, size: u64) -> Result<()>;
    fn last_acknowledged(&self) -> Option<Moment>;
}

#[async_trait]
impl Source for Repository {
    fn to_ship(&self, most: usize, stuck: &HashSet<String>) -> ShipList {
        Repository::ship_list(self, most, stuck)
    }

    async fn ship_bytes(&self, key: &str) -> Result<Bytes> {
        Repository::ship_bytes(self, key).await
    }

    async fn acknowledged(&self, key: &str, size: u64) -> Result<()> {
        Repository::acknowledged(self, key, size).await
    }

    fn last_acknowledged(&self) -> Option<Moment> {
        Repository::last_acknowledged(self)
    }
}
