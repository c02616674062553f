//! Creating and opening: keys from a slot, then everything that the cache holds.
//!
//! Invariants: the format object is written last when a repository is made, so a half-made one does
//! not exist; opening needs the cache alone; leftovers of a crash are used, finished or ignored, never in the way.

use crate::{
    Parts, Unlock,
    fetch::DETACHED,
    find::Finder,
    format::Format,
    inner::{ACKS, Inner},
    layout::{self, DEVICE_SLOT, FORMAT},
    locks::Locks,
    looks::Copy,
    press::Press,
    recipe::Recipe,
    room::Room,
    segment::decode_reach,
    shelf::Shelf,
    slots::{self, FIRST},
    state::{Held, PackNo, State},
    unlock,
    walk::Walk,
    weave::Cutters,
};
use bytes::Bytes;
use holdfast_catalog::Table;
use holdfast_chunk::{Keys, ObjectKind, Ring, RootKey, slot};
use holdfast_model::{Error, Kind, PackId, Problem, RepositoryId, Result, SnapshotId, snapshot::Snapshot, view::From};
use holdfast_storage::PutMode;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicI64, AtomicU32},
    },
};

/// Makes a repository in an empty cache.
pub(crate) async fn create(parts: Parts, device_key: [u8; 32]) -> Result<Arc<Inner>> {
    let listed = parts.cache.list("").await?;
    if listed.iter().any(|object| object.key == FORMAT) {
        return Err(Error::new(Kind::Conflict, "repository.exists", "there is a repository here already"));
    }
    if listed.iter().any(|object| !object.key.starts_with(layout::SLOTS)) {
        return Err(format_lost());
    }
    let root = RootKey::generate();
    let id = RepositoryId(holdfast_runtime::random());
    slots::make_first(&parts, &root, id, &device_key).await?;
    let format = Format::new(id, &Keys::derive(&root)).encode()?;
    parts.cache.put(FORMAT, format.into(), PutMode::Replace).await?;
    // Rows of an earlier repository in the same place would lie.
    parts.catalog.clear(Table::Packs)?;
    load(parts, Ring::new(root), id).await
}

/// Opens the repository of a cache.
pub(crate) async fn open(parts: Parts, unlock: Unlock) -> Result<Arc<Inner>> {
    let (format, mended) = match parts.cache.get(FORMAT).await {
        Ok(bytes) => (Format::decode(&bytes)?, false),
        Err(error) if error.kind() == Kind::NotFound => (remake_format(&parts, &unlock).await?, true),
        Err(error) => return Err(error),
    };
    let is_device = matches!(unlock, Unlock::Device(_));
    let ring = unlock::unlock(&*parts.cache, format.repository, &Arc::new(unlock)).await?;
    format.verify(&Keys::of(&ring))?;
    if is_device {
        unlock::sweep(&*parts.cache, ring.epoch()).await?;
        unlock::confirm(&*parts.cache, ring.epoch()).await?;
    }
    let inner = load(parts, ring, format.repository).await?;
    if mended {
        let text = "the format object was gone from the cache and was made anew from the device's key slot";
        inner.write().note(Problem::warning("format.mended", FORMAT, text).advice("look after the disk of the cache"));
    }
    Ok(inner)
}

/// The format object says nothing that the device's slot does not. Where it alone is gone, which a repair of the file system
/// may do, it is made anew: a new repository in its place would write over the ways into the old one.
/// `NotFound` (`repository.none`) only if there is nothing but what a creation that was cut off leaves.
async fn remake_format(parts: &Parts, unlock: &Unlock) -> Result<Format> {
    let listed = parts.cache.list("").await?;
    let none = || Error::not_found("repository.none", "there is no repository here yet");
    if listed.iter().all(|object| object.key == DEVICE_SLOT) {
        return Err(none());
    }
    let only_slots = listed.iter().all(|object| object.key.starts_with(layout::SLOTS));
    match format_of_slot(parts, unlock).await {
        // Ways into nothing.
        Err(error) if only_slots && !error.kind().is_transient() => Err(none()),
        Err(error) if error.kind() == Kind::NotFound => Err(format_lost()),
        made => made,
    }
}

async fn format_of_slot(parts: &Parts, unlock: &Unlock) -> Result<Format> {
    let Unlock::Device(device) = unlock else { return Err(format_lost()) };
    let id = slot::read(&parts.cache.get(DEVICE_SLOT).await?)?.repository;
    let ring = unlock::unlock(&*parts.cache, id, &Arc::new(Unlock::Device(*device))).await?;
    let format = Format::new(id, &Keys::of(&ring));
    parts.cache.put(FORMAT, format.encode()?.into(), PutMode::Replace).await?;
    Ok(format)
}

fn format_lost() -> Error {
    let text = "the cache holds a repository whose format object is gone, and this machine's key slot does not tell it";
    Error::new(Kind::Corrupt, "repository.format_lost", text).advice(
        "nothing was changed; put the object “format” back from the bucket, where it is the same, or recover into an empty data folder",
    )
}

/// Reads what the cache holds.
pub(crate) async fn load(parts: Parts, ring: Ring, id: RepositoryId) -> Result<Arc<Inner>> {
    let keys = Arc::new(Keys::of(&ring));
    let state = Arc::new(RwLock::new(State::default()));
    let finder = Arc::new(Finder {
        keys: Arc::clone(&keys),
        repository: id,
        cache: Arc::clone(&parts.cache),
        bucket: Arc::default(),
        state: Arc::clone(&state),
        runtime: tokio::runtime::Handle::current(),
        kept: Mutex::default(),
        pins: Arc::default(),
    });
    let room = Room::new(Arc::clone(&state), Arc::clone(&finder.bucket));
    let press = Press::start(Arc::clone(&finder), Arc::clone(&room))?;
    let inner = Arc::new(Inner {
        id,
        cutters: Cutters::new(&keys),
        ring: RwLock::new(ring),
        recovery: AtomicU32::new(FIRST),
        changing: tokio::sync::Mutex::default(),
        keys,
        cache: parts.cache,
        catalog: parts.catalog,
        clock: parts.clock,
        bucket: Arc::clone(&finder.bucket),
        state,
        pins: Arc::clone(&finder.pins),
        finder,
        press,
        gate: Arc::default(),
        commits: tokio::sync::Mutex::default(),
        listing: tokio::sync::Mutex::default(),
        ledger: tokio::sync::Mutex::default(),
        buried: Mutex::default(),
        shelf: Shelf::default(),
        room,
        locks: Locks::default(),
        under: Arc::default(),
        fence_seen: AtomicI64::new(i64::MIN),
        runtime: tokio::runtime::Handle::current(),
    });
    inner.room.belongs_to(&inner);
    inner.enter_objects().await?;
    inner.enter_locks();
    inner.enter_verdicts().await?;
    inner.learn_recovery_number();
    inner.enter_segments().await?;
    inner.enter_unlisted().await?;
    inner.enter_snapshots().await?;
    Ok(inner)
}

impl Inner {
    /// Names and sizes of the cache; acknowledgements from the catalog.
    async fn enter_objects(&self) -> Result<()> {
        let listed = self.cache.list("").await?;
        let acks: Vec<(String, u64)> = self.catalog.list(Table::Packs, ACKS);
        let mut state = self.write();
        for object in listed {
            state.enter(&object.key, object.size);
            state.set_cached(&object.key, true);
        }
        for (row, size) in acks {
            let Some(key) = row.strip_prefix(ACKS) else { continue };
            // What only the bucket holds is learned when it is attached. A row outlives a power cut that the object
            // did not: as a snapshot that nobody can read it would forbid every prune.
            if layout::parse_pack(key).is_none() && !state.small.contains_key(key) {
                continue;
            }
            if state.enter(key, size) {
                state.set_remembered(key);
            } else if let Some((_, id)) = layout::parse_pack(key) {
                state.index.dispute(id, size);
            }
        }
        Ok(())
    }

    /// Reads snapshots and their reach lists; tombstoned ones are gone, also those that were read before a tombstone came.
    pub(crate) async fn enter_snapshots(self: &Arc<Self>) -> Result<()> {
        let buried: BTreeSet<SnapshotId> =
            self.keys_of(layout::TOMBSTONES).iter().filter_map(|key| layout::snapshot_of(key)).collect();
        self.write().snapshots.retain(|id, _| !buried.contains(id));
        for key in self.keys_of(layout::SNAPSHOTS) {
            let Some(id) = layout::snapshot_of(&key).filter(|id| !buried.contains(id)) else { continue };
            if self.read().snapshots.contains_key(&id) {
                self.learn_editions(&id).await;
                continue;
            }
            match self.read_snapshot(&id).await {
                Ok(held) => {
                    let mut state = self.write();
                    state.sequence = state.sequence.max(held.snapshot.sequence);
                    state.snapshots.insert(id, held);
                }
                // What only the bucket can give is asked for again when it is attached: nobody could attach it to a
                // repository that does not open.
                Err(error) if error.kind() == Kind::Unavailable && error.code() != DETACHED => return Err(error),
                Err(error) => self.set_aside(&key, "snapshot", &error),
            }
        }
        Ok(())
    }

    async fn read_snapshot(self: &Arc<Self>, id: &SnapshotId) -> Result<Held> {
        let key = layout::snapshot_key(id);
        let body = self.envelope().open(ObjectKind::Snapshot, &key, &self.get_small(&key).await?)?;
        let snapshot: Snapshot = serde_json::from_slice(&body).map_err(|error| {
            Error::new(Kind::Corrupt, "snapshot.malformed", "a snapshot is not in the form of this release")
                .caused_by(error)
        })?;
        if snapshot.format > holdfast_model::snapshot::FORMAT {
            return Err(Error::invalid("format.unsupported", format!("snapshot {id} is of a later format")));
        }
        if snapshot.id != *id || snapshot.repository != self.id {
            return Err(Error::new(Kind::Corrupt, "snapshot.malformed", "a snapshot lies under a wrong name"));
        }
        snapshot.validate()?;
        let reach = match self.read_reach(id).await {
            Ok(reach) => reach,
            Err(error) => {
                let key = self.read().reach_key(id);
                self.set_aside(&key, "reach list", &error);
                self.rebuild_reach(&snapshot).await?
            }
        };
        Ok(Held { snapshot: Arc::new(snapshot), reach })
    }

    /// The bucket may have an edition that the cache had not.
    pub(crate) async fn learn_editions(&self, id: &SnapshotId) {
        let editions = self.read().editions(id);
        if editions.len() < 2 {
            return;
        }
        let reach = async {
            for key in editions {
                let cached = self.read().small.get(&key).is_some_and(|small| small.cached);
                let Some(bucket) = self.bucket().filter(|_| !cached) else { continue };
                if let Copy::Good(bytes) = self.look_deep(&*bucket, &key).await? {
                    self.take_in(&key, bytes).await?;
                }
            }
            self.read_reach(id).await
        };
        match reach.await {
            Ok(reach) => {
                if let Some(held) = self.write().snapshots.get_mut(id) {
                    held.reach = reach;
                }
            }
            // What is known of the snapshot stays true; a check finds what is damaged.
            Err(error) => tracing::warn!(%id, error = %error.chain(), "an edition of a reach list cannot be read"),
        }
    }

    /// What an edition of a reach list names.
    pub(crate) async fn read_edition(&self, key: &str) -> Result<Vec<PackNo>> {
        let read = match self.get_small(key).await {
            Ok(sealed) => self.enter_reach(key, &sealed),
            Err(error) => Err(error),
        };
        match read {
            Ok(reach) => Ok(reach),
            Err(error) => self.reach_from_bucket(key, &error).await.ok_or(error),
        }
    }

    fn enter_reach(&self, key: &str, sealed: &Bytes) -> Result<Vec<PackNo>> {
        let names = decode_reach(&self.envelope().open(ObjectKind::Reach, key, sealed)?)?;
        let mut state = self.write();
        Ok(names.into_iter().map(|name| state.index.enter(name)).collect())
    }

    /// The bucket's copy, which takes the place of the cache's. One that is made anew would have to be acknowledged anew.
    async fn reach_from_bucket(&self, key: &str, error: &Error) -> Option<Vec<PackNo>> {
        let bucket = self.bucket().filter(|_| self.read().is_acked(key))?;
        let sealed = bucket.get(key).await.ok()?;
        let reach = self.enter_reach(key, &sealed).ok()?;
        // Only if the cache had one: else it came damaged on its way, and is good where it lies.
        if self.read().small.get(key).is_some_and(|small| small.cached) {
            self.set_aside(key, "reach list", error);
        }
        if let Err(error) = self.take_in(key, sealed).await {
            tracing::warn!(key, error = %error.chain(), "the cache did not take a reach list");
        }
        Some(reach)
    }

    /// What the highest edition names. One of which something is gone may have come late, when its packs had been taken
    /// for nobody's: what lower ones name counts then too.
    async fn read_reach(&self, id: &SnapshotId) -> Result<Vec<PackNo>> {
        let mut reach = BTreeSet::new();
        let editions = self.read().editions(id);
        for key in editions.into_iter().rev() {
            let packs = self.read_edition(&key).await?;
            reach.extend(&packs);
            let state = self.read();
            if packs.iter().all(|pack| state.index.pack(*pack).counts()) {
                return Ok(reach.into_iter().collect());
            }
        }
        match reach.is_empty() {
            true => Err(Error::not_found("object.missing", format!("snapshot {id} has no reach list"))),
            false => Ok(reach.into_iter().collect()),
        }
    }

    /// The reach list is gone: recipes tell the same. A pack that nobody knows is an error.
    async fn rebuild_reach(self: &Arc<Self>, snapshot: &Snapshot) -> Result<Vec<PackNo>> {
        let mut reach = BTreeSet::new();
        let segments = snapshot.streams().flat_map(|stream| stream.segments.iter().copied()).collect();
        let mut walk = Walk::new(self, segments, From::Auto);
        while let Some(segment) = walk.next().await? {
            let mut packs = BTreeSet::from([segment.chunk.pack]);
            match self.packs_of_segment(&segment).await {
                Ok(found) => {
                    reach.extend(found);
                    continue;
                }
                Err(error) if error.kind() != Kind::Conflict => return Err(error),
                // Nothing that could be asked has all of them: then what recipes tell is the best that is known.
                Err(_) if segment.branch => {}
                Err(_) => packs.extend(Recipe::packs_of(&self.open_record(&segment.chunk, From::Auto).await?)?),
            }
            let state = self.read();
            for id in packs {
                // Left out, the snapshot would pass for whole.
                reach.insert(state.index.number(&id).ok_or_else(|| unknown_pack(&snapshot.id, &id))?);
            }
        }
        let reach: Vec<PackNo> = reach.into_iter().collect();
        let body = crate::segment::encode_reach(&self.read().names(&reach));
        let key = self.read().reach_key(&snapshot.id);
        self.put_sealed(ObjectKind::Reach, &key, &body, PutMode::Replace).await?;
        Ok(reach)
    }

    pub(crate) fn keys_of(&self, prefix: &str) -> Vec<String> {
        let state = self.read();
        state.small.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// An object of the cache that cannot be used counts as absent, so that the bucket's copy may replace it. Of what only
    /// the bucket could give there may be very much, in a recovery everything: it is told by class.
    pub(crate) fn set_aside(&self, key: &str, word: &'static str, error: &Error) {
        tracing::warn!(key, error = %error.chain(), "an object cannot be used");
        let is_attached = self.bucket().is_some();
        let mut state = self.write();
        if is_attached && state.small.get(key).is_none_or(|small| !small.cached) {
            state.unusable.add(word, key, error);
            return;
        }
        state.set_cached(key, false);
        state.note(
            Problem::warning(
                "object.corrupt",
                key,
                format!("the {word} {key} in the cache cannot be used: {}", error.chain()),
            )
            .advice("attach the bucket: its copy is taken instead"),
        );
    }

    /// Puts the bytes of an object that came from the bucket into the cache.
    pub(crate) async fn take_in(&self, key: &str, bytes: Bytes) -> Result<()> {
        let size = bytes.len() as u64;
        self.cache.put(key, bytes, PutMode::Replace).await?;
        let mut state = self.write();
        state.enter(key, size);
        state.small.entry(key.to_owned()).and_modify(|small| {
            small.size = size;
            small.cached = true;
        });
        Ok(())
    }
}

fn unknown_pack(snapshot: &SnapshotId, pack: &PackId) -> Error {
    let text = format!("snapshot {snapshot} needs pack {}, which no tier that could be asked holds", pack.short());
    Error::new(Kind::Corrupt, "pack.missing", text)
}
