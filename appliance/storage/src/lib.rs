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
use holdfast_model::{Moment, Result, lock::LockMode};
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

/// How long a store is to keep an object, whoever asks for it to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Who may end it before its time.
    pub mode: LockMode,
    /// Its end, by the store's clock.
    pub until: Moment,
}

/// One version of an object, or the mark of its deletion, as a store that keeps versions tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// What the store calls it.
    pub id: String,
    /// Bytes; none of a mark.
    pub size: u64,
    /// It says that the object was deleted, and hides the versions before it.
    pub is_marker: bool,
    /// When the store took it, as in [`ObjectInfo::modified`].
    pub modified: Option<Moment>,
}

/// A place that keeps objects.
///
/// A store that keeps versions of them hides what is deleted or written over, and gives it back by its version; one that locks
/// refuses to delete a locked version. What a store has not of this it says: `Refused` (`store.no_lock`), and nothing was done.
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
    /// Removes an object; one that is not there is fine. Where versions are kept it is hidden.
    async fn delete(&self, key: &str) -> Result<()>;

    /// As [`Store::put`], locked from the first moment. With `Once`, what is there already is locked too. When it returns, the store
    /// has shown that the lock lasts as long at least; one that took the object and does not show it: `lock.not_kept`.
    async fn put_kept(&self, key: &str, bytes: Bytes, mode: PutMode, keep: Keep) -> Result<()> {
        let _ = (key, bytes, mode, keep);
        Err(words::no_lock(&self.place()))
    }
    /// Locks the newest version of an object for longer. The store refuses to make a lock shorter.
    async fn extend(&self, key: &str, keep: Keep) -> Result<()> {
        let _ = (key, keep);
        Err(words::no_lock(&self.place()))
    }
    /// Until when a version is locked, the newest if none is named; `None` if it is not.
    async fn kept_until(&self, key: &str, version: Option<&Version>) -> Result<Option<Moment>> {
        let _ = (key, version);
        Err(words::no_lock(&self.place()))
    }
    /// All versions of one object, newest first; none if there never was one.
    async fn versions(&self, key: &str) -> Result<Vec<Version>> {
        let _ = key;
        Err(words::no_lock(&self.place()))
    }
    /// All versions of all objects whose key begins with `prefix`, in key order, hidden ones too.
    async fn list_versions(&self, prefix: &str) -> Result<Vec<(String, Vec<Version>)>> {
        let _ = prefix;
        Err(words::no_lock(&self.place()))
    }
    /// Reads one version whole.
    async fn get_version(&self, key: &str, version: &Version) -> Result<Bytes> {
        let _ = (key, version);
        Err(words::no_lock(&self.place()))
    }
    /// Removes one version for good, or takes a mark of deletion away. Refused while it is locked.
    async fn delete_version(&self, key: &str, version: &Version) -> Result<()> {
        let _ = (key, version);
        Err(words::no_lock(&self.place()))
    }
    /// The same with whatever right the key may have to pass over a lock of governance: as a thief would.
    async fn force_version(&self, key: &str, version: &Version) -> Result<()> {
        self.delete_version(key, version).await
    }
}
