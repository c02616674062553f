//! Where chunks lie: candidates from the table, the exact answer from the rows of their packs.
//!
//! Rows are read when they are asked for: from memory if the pack was just written, else from the cached index segment,
//! the cached pack, the bucket's segment, the bucket's pack. Invariants: a chunk is told as known only if a row of a
//! pack in some tier says so (R2); of several places the smallest (pack id, offset) is told (R5); no lock is held while
//! a store is asked; rows that cannot be read mean "not known" and a problem that names the pack, never "known".

use crate::{
    inner::is_damage,
    layout,
    pack::{self, Row},
    pins::Pins,
    recipe::Placed,
    rows::{RowCache, Rows, Spot},
    segment::mark_of,
    state::{PackInfo, PackNo, State},
    threads::blocking,
};
use bytes::Bytes;
use holdfast_chunk::{Envelope, Keys};
use holdfast_model::{ChunkId, Error, Kind, Problem, RepositoryId, Result, snapshot::ChunkRef};
use holdfast_storage::Store;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};

/// Footers larger than this are opened off the async threads, bytes.
const LARGE: usize = 64 << 10;

/// The bucket that is attached now.
pub(crate) type Attached = Arc<RwLock<Option<Arc<dyn Store>>>>;

/// A place of a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) pack: PackNo,
    pub(crate) placed: Placed,
    /// The chunk that is needed to open this one, if it was stored as a difference.
    pub(crate) base: Option<ChunkId>,
    /// The pack of that chunk.
    pub(crate) base_pack: Option<PackNo>,
}

impl Found {
    /// The place in the form of manifests.
    pub(crate) fn chunk_ref(&self) -> ChunkRef {
        let Placed { id, length, pack, offset, sealed, .. } = self.placed;
        ChunkRef { id, length, pack, offset, sealed }
    }
}

impl Found {
    /// The same with the place of its base; `None` if that leans on another one itself.
    fn on(mut self, base: Found) -> Option<Found> {
        self.placed.base = Some(base.placed.as_base().filter(|_| base.base.is_none())?);
        self.base_pack = Some(base.pack);
        Some(self)
    }
}

/// Asks the index and, where memory does not know, the tiers.
pub(crate) struct Finder {
    pub(crate) keys: Arc<Keys>,
    pub(crate) repository: RepositoryId,
    pub(crate) cache: Arc<dyn Store>,
    pub(crate) bucket: Attached,
    pub(crate) state: Arc<RwLock<State>>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) kept: Mutex<RowCache>,
    pub(crate) pins: Arc<Pins>,
}

/// Places of a pack's sealed footer, in the order in which they are asked.
#[derive(Clone, Copy, Debug)]
enum Source {
    CachedSegment,
    CachedPack,
    BucketSegment,
    BucketPack,
}

const SOURCES: [Source; 4] = [Source::CachedSegment, Source::CachedPack, Source::BucketSegment, Source::BucketPack];

/// A pack and the segment that lists it, with the tiers that hold the segment.
struct Facts {
    info: PackInfo,
    footer: Option<Bytes>,
    segment: Option<(String, bool, bool)>,
}

impl Finder {
    /// Where a chunk lies. Blocks while rows are read: not for async threads.
    pub(crate) fn find(&self, id: &ChunkId) -> Option<Found> {
        self.find_all(id).find_map(|found| match found.base {
            Some(base) => found.on(self.find_whole(&base)?),
            None => Some(found),
        })
    }

    /// Where a chunk lies that is stored whole. Blocks like [`Finder::find`].
    pub(crate) fn find_whole(&self, id: &ChunkId) -> Option<Found> {
        self.find_all(id).find(|found| found.base.is_none())
    }

    fn find_all(&self, id: &ChunkId) -> impl Iterator<Item = Found> {
        self.candidates(id).into_iter().flat_map(|pack| {
            let known = self.kept().get(pack);
            let rows = known.unwrap_or_else(|| self.runtime.block_on(self.load(pack)));
            self.found(pack, rows, id)
        })
    }

    /// Where a chunk lies.
    pub(crate) async fn seek(&self, id: &ChunkId) -> Option<Found> {
        for pack in self.candidates(id) {
            if let Some(found) = self.look_on(pack, id).await {
                return Some(found);
            }
        }
        None
    }

    /// Where a chunk lies that is stored whole.
    pub(crate) async fn seek_whole(&self, id: &ChunkId) -> Option<Found> {
        for pack in self.candidates(id) {
            if let Some(whole) = self.look(pack, id).await.into_iter().find(|place| place.base.is_none()) {
                return Some(whole);
            }
        }
        None
    }

    /// All places of a chunk, the one that [`Finder::seek`] tells first.
    pub(crate) async fn places(&self, id: &ChunkId) -> Vec<Found> {
        let mut places = Vec::new();
        for pack in self.candidates(id) {
            places.extend(self.look_on(pack, id).await);
        }
        places
    }

    /// A place in this pack, if what it leans on has one too.
    async fn look_on(&self, pack: PackNo, id: &ChunkId) -> Option<Found> {
        for found in self.look(pack, id).await {
            let Some(base) = found.base else { return Some(found) };
            for pack in self.candidates(&base) {
                let places = self.look(pack, &base).await;
                if let Some(whole) = places.into_iter().find(|place| place.base.is_none()) {
                    return found.on(whole);
                }
            }
        }
        None
    }

    async fn look(&self, pack: PackNo, id: &ChunkId) -> Vec<Found> {
        let known = self.kept().get(pack);
        let rows = match known {
            Some(rows) => rows,
            None => self.load(pack).await,
        };
        self.found(pack, rows, id)
    }

    /// Whether new data may lean on a pack. Asked after it was pinned, so that prune cannot slip between.
    pub(crate) fn carries(&self, pack: PackNo) -> bool {
        self.state().index.pack(pack).carries()
    }

    /// Rows that could not be read are tried again from now on.
    pub(crate) fn try_again(&self) {
        self.kept().try_again();
    }

    fn candidates(&self, id: &ChunkId) -> Vec<PackNo> {
        self.state().index.candidates(id)
    }

    fn found(&self, pack: PackNo, rows: Option<Arc<Rows>>, id: &ChunkId) -> Vec<Found> {
        let Some(rows) = rows else { return Vec::new() };
        let state = self.state();
        // Asked again: reading rows takes time.
        let Some(info) = Some(state.index.pack(pack)).filter(|info| info.carries()) else { return Vec::new() };
        let pack_id = info.name.id;
        let found = |Spot { offset, length, sealed, base }| {
            let placed = Placed { id: *id, length, pack: pack_id, offset, sealed, base: None };
            Found { pack, placed, base, base_pack: None }
        };
        rows.find(id).map(found).collect()
    }

    async fn load(&self, pack: PackNo) -> Option<Arc<Rows>> {
        let rows = match self.footer(pack).await {
            Ok((_, rows)) => Some(Arc::new(Rows::new(&rows))),
            Err(error) => {
                let key = self.state().index.pack(pack).key();
                tracing::warn!(key, error = %error.chain(), "rows of a pack cannot be read; its chunks count as not known");
                let text = format!("what pack {key} holds cannot be read, so it is stored again: {}", error.chain());
                let problem = Problem::warning("index.unreadable", &key, text).advice("run a check");
                self.state.write().expect("no holder panics").note(problem);
                None
            }
        };
        self.kept().put(pack, rows.clone());
        rows
    }

    /// The sealed footer of a pack with its rows, from the first place that has it unharmed.
    pub(crate) async fn footer(&self, pack: PackNo) -> Result<(Bytes, Vec<Row>)> {
        let facts = self.facts(pack);
        if let Some(footer) = &facts.footer {
            return self.open(footer.clone()).await;
        }
        let mut last = None;
        for source in SOURCES {
            let opened = match self.read(source, &facts).await {
                Ok(None) => continue,
                Ok(Some(footer)) if is_of(&facts.info, &footer) => self.open(footer).await,
                Ok(Some(_)) => Err(Error::new(Kind::Corrupt, "index.corrupt", "the footer is that of another pack")),
                Err(error) => Err(error),
            };
            match opened {
                Ok(opened) => return Ok(opened),
                Err(error) => {
                    tracing::debug!(?source, error = %error.chain(), "a footer could not be read here");
                    // That a tier did not answer weighs more than that another one has damage.
                    last = last.filter(|last| !is_damage(last) && is_damage(&error)).or(Some(error));
                }
            }
        }
        Err(last.unwrap_or_else(|| nowhere(&facts.info)))
    }

    fn facts(&self, pack: PackNo) -> Facts {
        let state = self.state();
        let info = state.index.pack(pack).clone();
        let footer = state.unlisted.get(&pack).and_then(|unlisted| unlisted.footer.clone());
        let segment = info.span.map(|span| {
            let key = layout::segment_key(&state.index.segment(span.segment));
            let small = state.small.get(&key).copied().unwrap_or_default();
            (key, small.cached, small.acked)
        });
        Facts { info, footer, segment }
    }

    /// `None` if the place is not one.
    async fn read(&self, source: Source, facts: &Facts) -> Result<Option<Bytes>> {
        let info = &facts.info;
        let span = info.span.map(|span| u64::from(span.offset)..u64::from(span.offset) + u64::from(span.length));
        let bucket = self.bucket.read().expect("no holder panics").clone();
        match (source, &facts.segment, span, bucket) {
            (Source::CachedSegment, Some((key, true, _)), Some(span), _) => {
                self.cache.get_range(key, span).await.map(Some)
            }
            (Source::BucketSegment, Some((key, _, true)), Some(span), Some(bucket)) => {
                bucket.get_range(key, span).await.map(Some)
            }
            (Source::CachedPack, ..) if info.cached() => pack_footer(&*self.cache, info).await.map(Some),
            // Without a mark from a sealed directory nothing proves that it is this pack's (R7).
            (Source::BucketPack, Some(_), _, Some(bucket)) if info.acked => pack_footer(&*bucket, info).await.map(Some),
            _ => Ok(None),
        }
    }

    async fn open(&self, footer: Bytes) -> Result<(Bytes, Vec<Row>)> {
        if footer.len() < LARGE {
            let rows = pack::open_footer(Envelope::new(&self.keys, self.repository), &footer)?;
            return Ok((footer, rows));
        }
        let (keys, repository) = (Arc::clone(&self.keys), self.repository);
        blocking(move || {
            let rows = pack::open_footer(Envelope::new(&keys, repository), &footer)?;
            Ok((footer, rows))
        })
        .await
    }

    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("no holder panics")
    }
    fn kept(&self) -> MutexGuard<'_, RowCache> {
        self.kept.lock().expect("no holder panics")
    }
}

/// Whether a footer bears the mark that a directory gave for the pack, if one did.
fn is_of(info: &PackInfo, footer: &[u8]) -> bool {
    info.span.is_none_or(|span| mark_of(footer).is_ok_and(|mark| mark == span.mark))
}

async fn pack_footer(store: &dyn Store, info: &PackInfo) -> Result<Bytes> {
    let (key, size) = (info.key(), info.name.size);
    let end = size.saturating_sub(pack::TRAILER);
    let trailer = store.get_range(&key, end..size).await?;
    let length = pack::footer_length(&trailer, size)?;
    store.get_range(&key, end - length..end).await
}

fn nowhere(info: &PackInfo) -> Error {
    let text = format!("no tier that could be asked has the rows of pack {}", info.name.id.short());
    Error::new(Kind::NotFound, "index.missing", text)
}
