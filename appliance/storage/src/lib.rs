//! Objects by name: the one trait behind the cache, the bucket and the fakes.
//!
//! Keys are `/`-separated relative names of `[A-Za-z0-9._-]` parts. Objects are written once
//! and read whole or by range. Implementations: [`DirStore`], [`MemStore`], S3 in its own room;
//! wrappers: [`Faulty`], [`Counting`], [`Paced`]; simulated tiers for tests: [`sim`]. All pass [`conformance`].
//!
//! Never here: what an object means, keys of any cipher, retries (callers own patience).

pub mod conformance;
mod counting;
mod dir;
pub mod disk;
mod faulty;
pub mod key;
mod mem;
mod paced;
pub mod sim;
pub mod words;

pub use counting::{Counting, Counts};
pub use dir::DirStore;
pub use faulty::{Faulty, Op};
pub use mem::MemStore;
pub use paced::Paced;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_model::{Moment, Result};
use std::ops::Range;

/// What a store says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Full key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When the store took it, by the store's own clock; `None` where the store does not say. Never the client's time:
    /// differences between two of them are what grace periods are measured in.
    pub modified: Option<Moment>,
}

impl ObjectInfo {
    /// An object of which nothing but its size is known.
    pub fn new(key: impl Into<String>, size: u64) -> ObjectInfo {
        ObjectInfo { key: key.into(), size, modified: None }
    }
    /// With the store's time.
    #[must_use]
    pub fn at(mut self, modified: Option<Moment>) -> ObjectInfo {
        self.modified = modified;
        self
    }
}

/// How to treat an existing object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// Keep what is there: succeed without writing if the key exists with the same size,
    /// `Conflict` if it exists with another size. For content-named objects.
    Once,
    /// Replace.
    Replace,
}

/// A place that keeps objects.
///
/// Errors: `NotFound` (`object.missing`), `Denied`, `Unavailable`, `Full`, `Corrupt`.
/// When `put` returns, the object is as durable as the store can make it (law L2).
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Where it is, for people; never with credentials.
    fn place(&self) -> String;
    /// Writes an object whole; afterwards a reader sees all of it or, on error, none or the old one.
    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()>;
    /// Reads an object whole.
    async fn get(&self, key: &str) -> Result<Bytes>;
    /// Reads exactly the bytes `range`; an object that is too short is `Corrupt` (`object.short`).
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes>;
    /// Size of an object, or `None` if it is not there.
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>>;
    /// All objects whose key begins with `prefix`, in key order.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>>;
    /// Removes an object; one that is not there is fine.
    async fn delete(&self, key: &str) -> Result<()>;
}
