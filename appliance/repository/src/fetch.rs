//! Bytes from the tiers: ranges from the cache, whole packs and stretches of packs from the bucket, healing on the way.
//!
//! Invariants: nothing leaves here unverified: a whole pack is proved by its name, what came in a stretch chunk by chunk,
//! and only whole packs go into the cache; `From::Bucket` never touches the cache; damage in one tier is mended from
//! the other and told. What is asked for, and how much of it memory holds, is decided by `haul` and `shelf`.

use crate::{
    bases::Bases,
    find::Found,
    inner::{Inner, is_absent, is_damage},
    recipe::Placed,
    shelf::Load,
    state::PackNo,
    threads::blocking,
};
use bytes::Bytes;
use holdfast_chunk::{Base, ChunkKind, Keys, Opener};
use holdfast_model::{Error, Kind, PackId, Problem, Result, view::From};
use holdfast_runtime::Backoff;
use std::{
    cell::RefCell,
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// Tries for a pack that the bucket does not give or gives damaged.
const TRIES: u32 = 4;

thread_local! {
    /// One decompressor per thread: making one costs more than a small chunk.
    static OPENER: RefCell<Option<Opener>> = const { RefCell::new(None) };
}

/// Chunks to be opened, with the plaintexts of their bases.
#[derive(Clone)]
struct Task {
    kind: ChunkKind,
    chunks: Vec<Placed>,
    bases: Bases,
}

impl Task {
    /// `sealed` has the bytes of each chunk.
    fn open(&self, opener: &mut Opener, keys: &Keys, sealed: &[Bytes]) -> Result<Vec<Bytes>> {
        let plains = self.bases.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        let open = |((chunk, sealed), plain): ((&Placed, &Bytes), Option<&Bytes>)| {
            let base = chunk.base.as_ref().zip(plain).map(|(base, plain)| Base { id: &base.id, plain });
            opener.open(keys, (self.kind, &chunk.id), chunk.length, base, sealed).map(Bytes::from)
        };
        self.chunks.iter().zip(sealed).zip(plains).map(open).collect()
    }

    /// The bytes of each chunk; `start` is the place of `bytes` in the pack.
    fn cut(&self, bytes: &Bytes, start: u32) -> Result<Vec<Bytes>> {
        let cut = |chunk: &Placed| {
            let from = chunk.offset.checked_sub(start).unwrap_or(u32::MAX) as usize;
            let range = from..from.saturating_add(chunk.sealed as usize);
            if range.end <= bytes.len() { Ok(bytes.slice(range)) } else { Err(cut_off()) }
        };
        self.chunks.iter().map(cut).collect()
    }
}

impl Inner {
    /// Opens chunks of one pack, in order, on these bases. Without bases these are bases themselves, and none of their
    /// places may be a difference.
    pub(crate) async fn open_on(
        self: &Arc<Self>,
        kind: ChunkKind,
        chunks: &[Placed],
        bases: Option<&Bases>,
        from: From,
    ) -> Result<Vec<Bytes>> {
        let Some(first) = chunks.first() else { return Ok(Vec::new()) };
        let whole = bases.is_none();
        match self.usable(&first.pack, from) {
            Some(pack) => match self.open_in(kind, chunks, bases, (pack, from)).await {
                Err(error) if is_damage(&error) => self.open_elsewhere(kind, chunks, (from, whole), error).await,
                result => result,
            },
            None => {
                let error = self.missing(&first.pack, from);
                self.open_elsewhere(kind, chunks, (from, whole), error).await
            }
        }
    }

    /// The pack's number, if a tier that may be asked holds it.
    pub(crate) fn usable(&self, pack: &PackId, from: From) -> Option<PackNo> {
        let state = self.read();
        let number = state.index.number(pack)?;
        let info = state.index.pack(number);
        let usable = match from {
            From::Auto => info.present(),
            From::Cache => info.cached(),
            From::Bucket => info.acked,
        };
        usable.then_some(number)
    }

    /// The place in the recipe is stale or damaged: perhaps the index knows another one.
    pub(crate) async fn open_elsewhere(
        self: &Arc<Self>,
        kind: ChunkKind,
        chunks: &[Placed],
        (from, whole): (From, bool),
        error: Error,
    ) -> Result<Vec<Bytes>> {
        let mut opened = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let mut places = self.finder.places(&chunk.id).await;
            places.retain(|place| place.placed.pack != chunk.pack && self.usable(&place.placed.pack, from).is_some());
            places.retain(|place| !whole || place.placed.base.is_none());
            let mut other = None;
            for place in places {
                match self.open_place(kind, place, (from, whole)).await {
                    Err(error) if is_damage(&error) => {}
                    result => {
                        other = Some(result?);
                        break;
                    }
                }
            }
            let Some(other) = other else { return Err(error) };
            opened.extend(other);
        }
        Ok(opened)
    }

    async fn open_place(
        self: &Arc<Self>,
        kind: ChunkKind,
        place: Found,
        (from, whole): (From, bool),
    ) -> Result<Vec<Bytes>> {
        let chunks = [place.placed];
        let bases = match whole {
            true => None,
            false => Some(self.open_bases(kind, &chunks, from).await?),
        };
        self.open_in(kind, &chunks, bases.as_ref(), (place.pack, from)).await
    }

    async fn open_in(
        self: &Arc<Self>,
        kind: ChunkKind,
        chunks: &[Placed],
        bases: Option<&Bases>,
        (pack, from): (PackNo, From),
    ) -> Result<Vec<Bytes>> {
        let task = Task { kind, chunks: chunks.to_vec(), bases: bases.cloned().unwrap_or_default() };
        let (cached, acked) = {
            let state = self.read();
            let info = state.index.pack(pack);
            (info.cached() && from != From::Bucket, info.acked && from != From::Cache && self.bucket().is_some())
        };
        let loads = if acked { self.loads(pack, &task.chunks) } else { None };
        // What has come already is nearer than the disk.
        if let Some(loads) = loads.filter(|loads| !cached || loads.iter().all(|load| load.bytes.initialized())) {
            match self.open_loaded(task.clone(), &loads, from).await {
                // The whole pack tells whether it is the bucket's damage.
                Err(error) if is_damage(&error) => {
                    tracing::warn!(error = %error.chain(), "a stretch of a pack was not good; the whole pack is asked for");
                }
                result => return result,
            }
        }
        if cached {
            match self.open_cached(task.clone(), pack).await {
                Ok(opened) => return Ok(opened),
                // That is no damage, and the bucket has it.
                Err(error) if is_damage(&error) && self.has_left(pack) => {
                    if from == From::Cache {
                        let id = self.read().index.pack(pack).name.id;
                        return Err(self.missing(&id, from));
                    }
                }
                Err(error) if !acked => {
                    return Err(if is_damage(&error) { self.damaged(pack, "the cache", error) } else { error });
                }
                Err(error) if is_damage(&error) => self.begin_healing(pack, &error),
                // A cache that cannot be read just now is no reason to fail while the bucket can.
                Err(error) => tracing::warn!(error = %error.chain(), "the cache could not be read"),
            }
        }
        let bytes = self.whole_pack(pack, from).await?;
        let opened = async { self.open_slices(task.cut(&bytes, 0)?, task).await }.await;
        opened.map_err(|error| self.damaged(pack, "every tier", error))
    }

    async fn open_cached(self: &Arc<Self>, task: Task, pack: PackNo) -> Result<Vec<Bytes>> {
        let start = task.chunks.iter().map(|chunk| chunk.offset).min().unwrap_or(0);
        let end = task.chunks.iter().map(|chunk| chunk.offset + chunk.sealed).max().unwrap_or(0);
        let key = self.read().index.pack(pack).key();
        let bytes = self.cache.get_range(&key, u64::from(start)..u64::from(end)).await?;
        self.open_slices(task.cut(&bytes, start)?, task).await
    }

    /// Loads that hold these chunks, one for each, if all of them were asked for.
    fn loads(&self, pack: PackNo, chunks: &[Placed]) -> Option<Vec<Arc<Load>>> {
        let mut loads: Vec<Arc<Load>> = Vec::with_capacity(chunks.len());
        for Placed { offset, sealed, .. } in chunks {
            let same = loads.last().filter(|load| load.covers(*offset, *sealed)).cloned();
            loads.push(same.or_else(|| self.shelf.load(pack, *offset, *sealed))?);
        }
        Some(loads)
    }

    async fn open_loaded(self: &Arc<Self>, task: Task, loads: &[Arc<Load>], from: From) -> Result<Vec<Bytes>> {
        let mut sealed = Vec::with_capacity(loads.len());
        for (chunk, load) in task.chunks.iter().zip(loads) {
            self.fetch(load, from).await?;
            sealed.push(load.slice(chunk.offset, chunk.sealed).ok_or_else(cut_off)?);
        }
        self.open_slices(sealed, task).await
    }

    /// Decrypts on the blocking threads.
    async fn open_slices(self: &Arc<Self>, sealed: Vec<Bytes>, task: Task) -> Result<Vec<Bytes>> {
        let keys = Arc::clone(&self.keys);
        blocking(move || {
            OPENER.with_borrow_mut(|opener| {
                let opener = match opener {
                    Some(opener) => opener,
                    empty => empty.insert(Opener::new()?),
                };
                task.open(opener, &keys, &sealed)
            })
        })
        .await
    }

    /// A whole pack from the bucket, verified, through the shelf; with `From::Auto` it goes into the cache.
    pub(crate) async fn whole_pack(self: &Arc<Self>, pack: PackNo, from: From) -> Result<Bytes> {
        let info = self.read().index.pack(pack).clone();
        let place = self.shelf.place(pack, info.name.size);
        let bytes = place
            .get_or_try_init(|| async {
                let bytes = self.pack_from_bucket(pack).await?;
                if from == From::Auto && !info.cached() {
                    self.keep(pack, bytes.clone()).await;
                }
                Ok::<_, Error>(bytes)
            })
            .await?;
        Ok(bytes.clone())
    }

    /// Nothing leaves the cache for it: what has no room is read from the bucket again.
    async fn keep(&self, pack: PackNo, bytes: Bytes) {
        if let Err(error) = self.admit(pack, bytes).await {
            tracing::warn!(error = %error.chain(), "a pack from the bucket was not kept in the cache");
        }
    }

    /// Whether a pack lies in the bucket alone by now.
    fn has_left(&self, pack: PackNo) -> bool {
        let state = self.read();
        let info = state.index.pack(pack);
        info.acked && !info.cached()
    }

    /// A pack from the bucket, verified by its name; an older version of it, if somebody has tampered with the newest.
    pub(crate) async fn pack_from_bucket(&self, pack: PackNo) -> Result<Bytes> {
        let error = match self.ask_bucket(pack, None).await {
            Err(error) if is_damage(&error) => error,
            done => return done,
        };
        let key = self.read().index.pack(pack).key();
        let Some(bucket) = self.bucket() else { return Err(error) };
        self.beneath(&*bucket, &key).await?.ok_or(error)
    }

    /// A whole pack, verified, or a stretch of one, whose chunks have to prove themselves.
    async fn ask_bucket(&self, pack: PackNo, stretch: Option<Range<u32>>) -> Result<Bytes> {
        let info = self.read().index.pack(pack).clone();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            let bucket = self.bucket().ok_or_else(|| detached(&info.name.id))?;
            let asked = match &stretch {
                None => bucket.get(&info.key()).await,
                Some(range) => bucket.get_range(&info.key(), u64::from(range.start)..u64::from(range.end)).await,
            };
            let error = match asked {
                Ok(bytes) if stretch.is_some() => return Ok(bytes),
                Ok(bytes) => match verify(info.name.id, bytes).await {
                    Ok(bytes) => return Ok(bytes),
                    Err(error) => self.damaged(pack, "the bucket", error),
                },
                Err(error) if is_absent(&error) => return Err(self.missing(&info.name.id, From::Bucket)),
                Err(error) => error,
            };
            // Damage may be of the way, not of the store: ask again before saying so.
            let again = error.kind().is_transient()
                || error.kind() == Kind::Corrupt
                // Its keys were changed meanwhile.
                || self.bucket().is_some_and(|now| !Arc::ptr_eq(&now, &bucket));
            if !again || backoff.failures() + 1 >= TRIES {
                return Err(error);
            }
            tokio::time::sleep(backoff.failed()).await;
        }
    }

    /// The pack with its size, if it has to be fetched from the bucket and can be.
    pub(crate) fn to_fetch(&self, pack: &PackId, from: From) -> Option<(PackNo, u64)> {
        let state = self.read();
        let number = state.index.number(pack)?;
        let info = state.index.pack(number);
        let cached = info.cached() && from != From::Bucket;
        (info.acked && !cached && from != From::Cache).then_some((number, info.name.size))
    }

    /// Brings a load from the bucket, once.
    async fn fetch(self: &Arc<Self>, load: &Load, from: From) -> Result<()> {
        let fetched = load.bytes.get_or_try_init(|| async {
            match load.whole {
                true => self.whole_pack(load.pack, from).await,
                false => self.ask_bucket(load.pack, Some(load.range.clone())).await,
            }
        });
        fetched.await.map(drop)
    }

    /// Begins to fetch what will be needed soon.
    pub(crate) fn prefetch(self: &Arc<Self>, loads: &[Arc<Load>], from: From) {
        for load in loads.iter().filter(|load| !load.begun.swap(true, Ordering::Relaxed)) {
            let (inner, load) = (Arc::clone(self), Arc::clone(load));
            // An error shows again when its chunks are really needed.
            tokio::spawn(async move { inner.fetch(&load, from).await.map(drop) });
        }
    }

    /// The cache's pack is bad: it counts as absent, and its replacement will be fetched.
    fn begin_healing(&self, pack: PackNo, error: &Error) {
        let mut state = self.write();
        // Somebody else met it before us, or it has left the cache.
        if !state.index.set_cached(pack, false) {
            return;
        }
        let id = state.index.pack(pack).name.id;
        self.shelf.drop_pack(pack);
        state.note(Problem::note(
            "pack.healed",
            format!("pack {}", id.short()),
            format!("a pack in the cache was damaged ({error}) and is replaced by the good one from the bucket"),
        ));
    }

    pub(crate) fn damaged(&self, pack: PackNo, place: &str, cause: Error) -> Error {
        let state = self.read();
        let id = state.index.pack(pack).name.id;
        let text = format!("pack {} is damaged in {place}{}", id.short(), needed_by(&state.needers(pack)));
        Error::new(Kind::Corrupt, "pack.corrupt", text)
            .advice("run a check; back the app up again while its host is there")
            .caused_by(cause)
    }

    fn missing(&self, id: &PackId, from: From) -> Error {
        let state = self.read();
        let needers = state.index.number(id).map(|pack| state.needers(pack)).unwrap_or_default();
        let place = match from {
            From::Cache => "the cache does not hold",
            From::Bucket => "the bucket does not hold",
            From::Auto => "neither cache nor bucket holds",
        };
        let text = format!("{place} pack {}{}", id.short(), needed_by(&needers));
        Error::new(Kind::Corrupt, "pack.missing", text)
            .advice("run a check; it names what is lost and mends what it can")
    }
}

fn needed_by(snapshots: &[holdfast_model::SnapshotId]) -> String {
    match snapshots {
        [] => String::new(),
        [one] => format!(", which snapshot {one} needs"),
        [first, rest @ ..] => format!(", which snapshot {first} and {} more need", rest.len()),
    }
}

/// Checks that bytes are the pack of this name; hashing runs off the async threads.
pub(crate) async fn verify(id: PackId, bytes: Bytes) -> Result<Bytes> {
    blocking(move || {
        if holdfast_chunk::sha256(&bytes) == *id.as_bytes() {
            Ok(bytes)
        } else {
            Err(Error::new(Kind::Corrupt, "pack.corrupt", "its bytes are not what its name says"))
        }
    })
    .await
}

/// Code of the error that says that only the bucket has it, and none is attached.
pub(crate) const DETACHED: &str = "bucket.detached";

fn detached(id: &PackId) -> Error {
    let text = format!("pack {} lies in the bucket, and no bucket is attached", id.short());
    Error::new(Kind::Unavailable, DETACHED, text).advice("attach the bucket and try again")
}

fn cut_off() -> Error {
    Error::new(Kind::Corrupt, "pack.corrupt", "a chunk lies beyond the end of its pack")
}
