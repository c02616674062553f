//! The heart that all parts of the repository share, and its smallest motions.
//!
//! Invariant: small objects are entered into the state only after the cache has them.

use crate::{
    condemn::Ledger,
    find::{Attached, Finder},
    layout,
    locks::Locks,
    pins::Pins,
    press::Press,
    room::Room,
    rotate::Before,
    shelf::Shelf,
    state::{PackNo, Small, State},
    vault::Under,
    weave::Cutters,
};
use bytes::Bytes;
use holdfast_catalog::{Catalog, Table};
use holdfast_chunk::{Envelope, Keys, ObjectKind, Ring};
use holdfast_model::{ChunkId, Error, Kind, Moment, PackId, RepositoryId, Result, SnapshotId};
use holdfast_runtime::Clock;
use holdfast_storage::{PutMode, Store};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicI64, AtomicU32},
    },
};

/// Prefix of the catalog's rows about what the bucket acknowledged; the value is the size.
pub(crate) const ACKS: &str = "a/";

pub(crate) struct Inner {
    pub(crate) id: RepositoryId,
    pub(crate) ring: RwLock<Ring>,
    /// Number of the recovery key that the kit shows.
    pub(crate) recovery: AtomicU32,
    /// Ways in change one after the other (`Inner::alone`).
    pub(crate) changing: tokio::sync::Mutex<Before>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) cache: Arc<dyn Store>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) clock: Clock,
    pub(crate) bucket: Attached,
    pub(crate) state: Arc<RwLock<State>>,
    pub(crate) finder: Arc<Finder>,
    pub(crate) press: Press,
    pub(crate) cutters: Cutters,
    /// Whoever goes through listings shares it; prune takes it alone. Backups and readers have nothing to do with it.
    pub(crate) gate: Arc<tokio::sync::RwLock<()>>,
    pub(crate) commits: tokio::sync::Mutex<()>,
    /// Index segments are written, or replaced and swept, by one at a time.
    pub(crate) listing: tokio::sync::Mutex<()>,
    pub(crate) pins: Arc<Pins>,
    pub(crate) ledger: tokio::sync::Mutex<Ledger>,
    /// Snapshots buried in this life, and when. One of them may still be on its way to the bucket: its tombstone stays
    /// there for a grace, or until the next life.
    pub(crate) buried: Mutex<BTreeMap<SnapshotId, Moment>>,
    pub(crate) shelf: Shelf,
    pub(crate) room: Arc<Room>,
    pub(crate) locks: Locks,
    /// Objects of the bucket whose good version lies under others.
    pub(crate) under: Arc<Under>,
    /// When the bucket was last seen without a newer fence, in milliseconds.
    pub(crate) fence_seen: AtomicI64,
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Inner {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("no holder panics")
    }
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("no holder panics")
    }
    pub(crate) fn bucket(&self) -> Option<Arc<dyn Store>> {
        self.bucket.read().expect("no holder panics").clone()
    }
    pub(crate) fn envelope(&self) -> Envelope<'_> {
        Envelope::new(&self.keys, self.id)
    }

    /// The pack to read a chunk from: that of its recipe while some tier has it, else one that the index knows.
    pub(crate) async fn pack_of(&self, id: &ChunkId, pack: &PackId) -> Option<PackNo> {
        let hint = {
            let state = self.read();
            state.index.number(pack).filter(|pack| state.index.pack(*pack).present())
        };
        match hint {
            Some(pack) => Some(pack),
            None => Some(self.finder.seek(id).await?.pack),
        }
    }

    /// Seals an object under its own key as name and puts it into the cache. The answer is its size in bytes.
    pub(crate) async fn put_sealed(&self, kind: ObjectKind, key: &str, body: &[u8], mode: PutMode) -> Result<u64> {
        let sealed = Bytes::from(self.envelope().seal(kind, key, body)?);
        let size = sealed.len() as u64;
        self.put_small(key, sealed, mode).await?;
        Ok(size)
    }

    /// Puts a small object into the cache.
    pub(crate) async fn put_small(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        let size = bytes.len() as u64;
        self.cache
            .put(key, bytes, mode)
            .await
            .map_err(|error| error.while_doing(format!("{key} could not be written into the cache")))?;
        self.write().small.insert(key.to_owned(), Small { size, cached: true, acked: false });
        Ok(())
    }

    /// Puts the object that commits something. One that failed half-way is taken back: seen again by the next start, it
    /// would pass for a commit whose packs were pruned meanwhile as nobody's. If not even that is possible, it counts
    /// as there, unread, and forbids pruning until it is, or until that start.
    pub(crate) async fn put_commit(&self, kind: ObjectKind, key: &str, body: &[u8]) -> Result<u64> {
        let put = self.put_sealed(kind, key, body, PutMode::Once).await;
        if put.is_err()
            && let Err(error) = self.cache.delete(key).await
        {
            tracing::warn!(key, error = %error.chain(), "what failed to be committed could not be taken back");
            let mut state = self.write();
            state.small.insert(key.to_owned(), Small { size: 0, cached: true, acked: false });
            state.half_done.insert(key.to_owned());
        }
        put
    }

    /// Takes back what failed to be committed and could not be taken back then.
    pub(crate) async fn take_back_commits(&self) {
        let keys: Vec<String> = {
            let mut state = self.write();
            // One that was read meanwhile is there, and nothing that it needs has gone.
            let State { half_done, snapshots, .. } = &mut *state;
            half_done.retain(|key| layout::snapshot_of(key).is_none_or(|id| !snapshots.contains_key(&id)));
            half_done.iter().cloned().collect()
        };
        for key in keys {
            match self.cache.delete(&key).await {
                Ok(()) => {
                    let mut state = self.write();
                    state.half_done.remove(&key);
                    state.small.remove(&key);
                }
                Err(error) => tracing::warn!(key, error = %error.chain(), "a failed commit still cannot be taken back"),
            }
        }
    }

    /// Reads a small object from the cache, else from the bucket.
    pub(crate) async fn get_small(&self, key: &str) -> Result<Bytes> {
        let local = match self.cache.get(key).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        match self.bucket() {
            Some(bucket) if self.read().is_acked(key) => bucket.get(key).await,
            _ => Err(local),
        }
    }

    /// Remembers that the bucket holds an object. The catalog may fail: it is a memory aid.
    pub(crate) fn remember_ack(&self, key: &str, size: u64) {
        self.write().set_acked(key, true);
        if let Err(error) = self.catalog.put(Table::Packs, &format!("{ACKS}{key}"), &size) {
            tracing::warn!(key, error = %error.chain(), "the catalog did not take an acknowledgement");
        }
    }

    /// Remembers that the bucket does not hold an object, so that nothing locks it there.
    pub(crate) fn forget_ack(&self, key: &str) {
        if self.read().kept_of(key).is_some() {
            self.forget_kept(key);
        }
        self.write().set_acked(key, false);
        if let Err(error) = self.catalog.remove(Table::Packs, &format!("{ACKS}{key}")) {
            tracing::warn!(key, error = %error.chain(), "the catalog did not drop an acknowledgement");
        }
    }
}

/// Whether an error says that the stored bytes are bad or gone, so that the other tier may help.
pub(crate) fn is_damage(error: &Error) -> bool {
    error.kind() == Kind::Corrupt || is_absent(error)
}

/// Whether a store says that it has no such object. That a whole bucket is not there says nothing of what it holds.
pub(crate) fn is_absent(error: &Error) -> bool {
    error.kind() == Kind::NotFound && error.code() != "bucket.missing"
}

pub(crate) fn stale() -> Error {
    Error::new(Kind::Conflict, "snapshot.stale", "the backup leans on data that has been pruned in the meantime")
        .advice("run the backup again; nothing of the app is lost")
}

/// A stream that is not what its manifest says.
pub(crate) fn unlike() -> Error {
    Error::new(Kind::Corrupt, "stream.corrupt", "a stored stream did not come out as it went in")
        .advice("run a check with --read-data and restore another snapshot")
}
