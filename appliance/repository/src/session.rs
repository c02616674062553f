//! One backup being written: streams in, at the end one snapshot.
//!
//! Invariants: the snapshot object is the only commit point, written after its packs, index segment
//! and reach list (law L1); a snapshot never names a pack that no tier holds.

use crate::{
    ByteStream, Meter, StreamKind, branch,
    find::Found,
    ingest,
    inner::{Inner, stale},
    layout,
    pins::Ticket,
    press::Tally,
    recipe::{Draft, Recipe},
    segment::encode_reach,
    state::{Fate, Held, PackNo},
    threads::blocking,
    tree::{self, TakenTree},
};
use holdfast_chunk::{ChunkKind, ObjectKind};
use holdfast_model::{
    ChunkId, Error, Kind, PackId, Problem, Result,
    snapshot::{ChunkRef, SegmentRef, Snapshot, StreamRef},
};
use holdfast_storage::PutMode;
use holdfast_tree::Tree;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Drafts wait for their packs up to this many bytes; then packs are closed early.
const DRAFTS_MAX: usize = 32 << 20;
/// An index segment is written before the commit when this many chunks wait for one.
const UNLISTED_MAX: usize = 200_000;

/// Numbers of a session, told to its meters.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) bytes_new: AtomicU64,
    pub(crate) chunks_new: AtomicU64,
    pub(crate) chunks_known: AtomicU64,
    /// Lives as long as anybody works for the session.
    ticket: OnceLock<Ticket>,
}

impl Counts {
    fn lean_on(&self, pack: PackNo) {
        if let Some(ticket) = self.ticket.get() {
            ticket.lean_on(pack);
        }
    }
}

/// Tells a stream's meter and the session's numbers.
pub(crate) struct StreamTally {
    pub(crate) counts: Arc<Counts>,
    pub(crate) meter: Arc<dyn Meter>,
}

impl Tally for StreamTally {
    fn stored(&self, sealed: u64) {
        self.counts.bytes_new.fetch_add(sealed, Ordering::Relaxed);
        self.meter.stored(sealed);
    }
    fn leans_on(&self, pack: PackNo) {
        self.counts.lean_on(pack);
    }
}

/// For recipes, which belong to no stream's progress.
struct SessionTally(Arc<Counts>);

impl Tally for SessionTally {
    fn stored(&self, sealed: u64) {
        self.0.bytes_new.fetch_add(sealed, Ordering::Relaxed);
    }
    fn leans_on(&self, pack: PackNo) {
        self.0.lean_on(pack);
    }
}

/// A recipe segment that was stored, with the packs it needs.
#[derive(Clone)]
struct Done {
    place: ChunkRef,
    packs: Vec<PackNo>,
}

/// Drafts by ticket, and the memory they take, bytes.
#[derive(Default)]
struct Drafts {
    list: Vec<(ChunkId, Draft)>,
    weight: usize,
}

/// What the blocking side of a session works on.
pub(crate) struct Desk {
    pub(crate) inner: Arc<Inner>,
    pub(crate) counts: Arc<Counts>,
    drafts: Mutex<Drafts>,
    done: Mutex<HashMap<ChunkId, Done>>,
    failures: u64,
    /// Where trees wait that are read first and stored later.
    pub(crate) spool: Arc<tree::Spool>,
}

/// One backup being written. Dropped without commit: what it stored stays as dead chunks until prune.
pub struct Session {
    desk: Arc<Desk>,
}

impl Session {
    pub(crate) fn begin(inner: Arc<Inner>) -> Session {
        let counts = Counts { ticket: inner.pins.session().into(), ..Counts::default() };
        let failures = inner.press.failures();
        inner.finder.try_again();
        let desk = Desk {
            inner,
            counts: Arc::new(counts),
            drafts: Mutex::default(),
            done: Mutex::default(),
            failures,
            spool: Arc::new(tree::Spool::waiting()),
        };
        Session { desk: Arc::new(desk) }
    }

    /// Stores a stream. CPU work runs on the repository's own threads; memory is bounded.
    ///
    /// The recipe in the answer is good for this session's commit and, through the committed snapshot,
    /// for reading; it cannot be read before. Errors: those of `bytes`; `Corrupt` (`stream.short`) if a tar
    /// ends without its end mark; `Refused` (`stream.too_large`) if its headers promise more than is stored; those of the cache.
    pub async fn store(&self, kind: StreamKind, bytes: ByteStream, meter: Arc<dyn Meter>) -> Result<StreamRef> {
        ingest::store(&self.desk, None, kind, bytes, meter).await
    }

    /// The same for a stream that has one of an earlier snapshot as its parent: blocks of large page-structured files
    /// that have changed since are stored as the difference to what they were, if the cache has that.
    pub async fn store_after(
        &self,
        parent: Option<&StreamRef>,
        kind: StreamKind,
        bytes: ByteStream,
        meter: Arc<dyn Meter>,
    ) -> Result<StreamRef> {
        ingest::store(&self.desk, parent, kind, bytes, meter).await
    }

    /// Stores a tree of files, reading from its source only what `parent`, a stored tree, does not prove unchanged:
    /// groups with a known witness are taken over as they are; in others each entry with a known mark comes
    /// from the cache, if it is there. What restores see is the tar of the tree.
    ///
    /// The answer also names what the source could not read (it is left out) and what changed while it was read (it
    /// is kept and read again next time). `meter.moved` is told what came from the source. Errors: those of `tree`;
    /// `Corrupt` (`tree.malformed`) if its headers do not make a tar; `Refused` (`stream.too_large`) if they promise more than is
    /// stored; those of the cache.
    pub async fn store_tree(
        &self,
        parent: Option<&StreamRef>,
        tree: Box<dyn Tree>,
        meter: Arc<dyn Meter>,
    ) -> Result<(StreamRef, Vec<Problem>)> {
        tree::store(&self.desk, parent, tree, meter).await
    }

    /// Reads from a tree all that has to be read of it, and stores it later: for sources that cannot be held still for long.
    /// What was read waits in memory, at most 256 MB for all trees of the session; what is more is stored meanwhile.
    /// `ahead` is a state of the tree that the same source has told to this session, [settled](Session::settle): of what changed since
    /// then it need send only the parts that differ. Errors: those of [`Session::store_tree`].
    pub async fn take_tree(&self, ahead: &StreamRef, tree: Box<dyn Tree>, meter: Arc<dyn Meter>) -> Result<TakenTree> {
        tree::take(&self.desk, ahead, tree, meter).await
    }

    /// A stream of this session with its recipes where they lie by now: only so may it be the parent of a later state of
    /// the same tree within the session. Seals the open packs.
    pub async fn settle(&self, mut stream: StreamRef) -> Result<StreamRef> {
        let desk = Arc::clone(&self.desk);
        blocking(move || desk.finish_drafts()).await?;
        let mut done = self.desk.done.lock().expect("no holder panics");
        for segment in &mut stream.segments {
            if let Some(recipe) = done.get(&segment.chunk.id).cloned() {
                segment.chunk = recipe.place;
                done.insert(recipe.place.id, recipe);
            }
        }
        Ok(stream)
    }

    /// Sealed bytes stored new by this session so far.
    pub fn bytes_new(&self) -> u64 {
        self.desk.counts.bytes_new.load(Ordering::Relaxed)
    }

    /// Seals open packs, writes the index segment, reach list and snapshot in lawful order, each fsynced (L1, L2).
    /// Fills in `repository`, `sequence`, `stats.bytes_new`, `chunks_*`. Returns the snapshot as written.
    /// `Conflict` (`snapshot.exists`) if the id is taken, (`snapshot.stale`) if it leans on data that was pruned. `Corrupt`
    /// (`snapshot.malformed`), with nothing written, for what no later opening would read.
    pub async fn commit(self, mut snapshot: Snapshot) -> Result<Snapshot> {
        snapshot.validate().map_err(|error| {
            error.advice(
                "look for files of the app that claim far more bytes than they hold; make them smaller or remove them",
            )
        })?;
        let inner = Arc::clone(&self.desk.inner);
        let _one_at_a_time = inner.commits.lock().await;
        if inner.read().snapshots.contains_key(&snapshot.id) {
            return Err(Error::new(Kind::Conflict, "snapshot.exists", "a snapshot with this id was committed already"));
        }
        let desk = Arc::clone(&self.desk);
        blocking(move || desk.finish_drafts()).await?;
        let reach = self.resolve(&mut snapshot).await?;
        snapshot.repository = inner.id;
        let listed = inner.list_packs().await?;
        self.fill_in(&mut snapshot);
        tracing::debug!(snapshot = %snapshot.id, stages = ?inner.press.stages(), "where the time went so far");
        snapshot.stats.bytes_new += listed;
        self.write(snapshot, reach).await
    }

    fn fill_in(&self, snapshot: &mut Snapshot) {
        let counts = &self.desk.counts;
        snapshot.sequence = self.desk.inner.read().sequence + 1;
        snapshot.stats.bytes_new = counts.bytes_new.load(Ordering::Relaxed);
        snapshot.stats.chunks_new = counts.chunks_new.load(Ordering::Relaxed);
        snapshot.stats.chunks_known = counts.chunks_known.load(Ordering::Relaxed);
    }

    /// Puts places into the recipes of this session and gathers the packs that the snapshot needs.
    async fn resolve(&self, snapshot: &mut Snapshot) -> Result<BTreeSet<PackNo>> {
        let inner = &self.desk.inner;
        let mut reach = BTreeSet::new();
        let mut foreign = Vec::new();
        {
            let done = self.desk.done.lock().expect("no holder panics");
            for segment in snapshot.streams_mut().flat_map(|stream| &mut stream.segments) {
                let Some(recipe) = done.get(&segment.chunk.id) else {
                    foreign.push(*segment);
                    continue;
                };
                segment.chunk = recipe.place;
                reach.extend(recipe.packs.iter().copied());
            }
        }
        reach.extend(inner.reach_of(foreign).await?);
        reach.extend(self.shorten(snapshot).await?);
        self.rescue(&reach)?;
        Ok(reach)
    }

    /// Pins everything that the snapshot needs until it is committed. What was condemned meanwhile counts again; what
    /// is gone or as good as gone makes the backup `snapshot.stale`.
    fn rescue(&self, reach: &BTreeSet<PackNo>) -> Result<()> {
        reach.iter().for_each(|pack| self.desk.counts.lean_on(*pack));
        let mut state = self.desk.inner.write();
        let gone = |pack: &&PackNo| {
            let info = state.index.pack(**pack);
            !info.present() || info.fate == Fate::Doomed
        };
        if reach.iter().any(|pack| gone(&pack)) {
            return Err(stale());
        }
        for pack in reach {
            state.index.pack_mut(*pack).fate = Fate::Sound;
        }
        Ok(())
    }

    /// Puts branches in the place of long lists of segments; the answer is the packs they lie in.
    async fn shorten(&self, snapshot: &mut Snapshot) -> Result<BTreeSet<PackNo>> {
        let mut packs = BTreeSet::new();
        loop {
            let lists = snapshot.streams_mut().map(|stream| &mut stream.segments);
            let mut long: Vec<_> = lists.filter(|list| list.len() > branch::LISTED_MAX).collect();
            if long.is_empty() {
                return Ok(packs);
            }
            let lists: Vec<_> = long.iter_mut().map(|list| std::mem::take(*list)).collect();
            let desk = Arc::clone(&self.desk);
            let shorter = blocking(move || desk.store_branches(&lists)).await?;
            for (list, shorter) in long.into_iter().zip(shorter) {
                let state = self.desk.inner.read();
                packs.extend(shorter.iter().filter_map(|branch| state.index.number(&branch.chunk.pack)));
                *list = shorter;
            }
        }
    }

    async fn write(&self, snapshot: Snapshot, reach: BTreeSet<PackNo>) -> Result<Snapshot> {
        let inner = &self.desk.inner;
        inner.write().writing = Some(snapshot.id.clone());
        let written = self.write_objects(snapshot, reach).await;
        inner.write().writing = None;
        written
    }

    async fn write_objects(&self, mut snapshot: Snapshot, reach: BTreeSet<PackNo>) -> Result<Snapshot> {
        let inner = &self.desk.inner;
        let reach: Vec<PackNo> = reach.into_iter().collect();
        let body = encode_reach(&inner.read().names(&reach));
        let size = inner.put_sealed(ObjectKind::Reach, &layout::reach_key(&snapshot.id), &body, PutMode::Once).await?;
        let key = layout::snapshot_key(&snapshot.id);
        // The manifest counts too; sealed once to weigh it, it names its own weight to a few bytes.
        let weighed = inner.envelope().seal(ObjectKind::Snapshot, &key, &manifest(&snapshot)?)?;
        snapshot.stats.bytes_new += size + weighed.len() as u64;
        inner.put_commit(ObjectKind::Snapshot, &key, &manifest(&snapshot)?).await?;
        let mut state = inner.write();
        state.sequence = snapshot.sequence;
        let held = Held { snapshot: Arc::new(snapshot.clone()), reach };
        state.snapshots.insert(snapshot.id.clone(), held);
        Ok(snapshot)
    }
}

impl Desk {
    /// Whether a segment's packs are known and kept for this session already.
    pub(crate) fn leans_on(&self, segment: &SegmentRef) -> bool {
        self.done.lock().expect("no holder panics").contains_key(&segment.chunk.id)
    }

    /// A stored segment is used again: the commit need not open it, its packs are these.
    pub(crate) async fn lean_on(&self, segment: &SegmentRef, packs: BTreeSet<PackNo>) {
        let mut place = segment.chunk;
        let there = {
            let state = self.inner.read();
            state.index.number(&place.pack).is_some_and(|pack| state.index.pack(pack).counts())
        };
        if !there && let Some(found) = self.inner.finder.seek(&place.id).await {
            place = found.chunk_ref();
        }
        let done = Done { place, packs: packs.into_iter().collect() };
        self.done.lock().expect("no holder panics").insert(segment.chunk.id, done);
    }

    /// Takes a draft; the ticket stands for its recipe until the commit. Blocks.
    pub(crate) fn add_draft(&self, draft: Draft) -> Result<SegmentRef> {
        if self.inner.press.failures() > self.failures {
            return Err(self.inner.press.failure());
        }
        let ticket = ChunkId(holdfast_runtime::random());
        let segment = SegmentRef {
            chunk: ChunkRef { id: ticket, length: 0, pack: PackId([0; 32]), offset: 0, sealed: 0 },
            branch: false,
            length: draft.ops.length(),
            entries: draft.entries,
            sum: draft.sum,
            witness: None,
            file: draft.file.map(|(key, _)| key),
            at: draft.file.map_or(0, |(_, at)| at),
        };
        let weight = {
            let mut drafts = self.drafts.lock().expect("no holder panics");
            drafts.weight += draft.weight();
            drafts.list.push((ticket, draft));
            drafts.weight
        };
        if weight > DRAFTS_MAX {
            self.finish_drafts()?;
        }
        if self.inner.unlisted_chunks() > UNLISTED_MAX {
            self.inner.press.settle();
            self.inner.runtime.block_on(self.inner.list_packs())?;
        }
        Ok(segment)
    }

    /// A stream was given up: its drafts are not worth storing.
    pub(crate) fn drop_drafts(&self, segments: &[SegmentRef]) {
        if segments.is_empty() {
            return;
        }
        let gone: BTreeSet<ChunkId> = segments.iter().map(|segment| segment.chunk.id).collect();
        let mut drafts = self.drafts.lock().expect("no holder panics");
        drafts.list.retain(|(ticket, _)| !gone.contains(ticket));
        drafts.weight = drafts.list.iter().map(|(_, draft)| draft.weight()).sum();
    }

    /// Closes packs, writes the recipes of all drafts and closes their packs too. Blocks.
    fn finish_drafts(&self) -> Result<()> {
        let press = &self.inner.press;
        // Taken first: chunks of a draft that another stream adds meanwhile may not lie in a pack yet.
        let drafts = std::mem::take(&mut *self.drafts.lock().expect("no holder panics")).list;
        press.settle();
        let tally: Arc<dyn Tally> = Arc::new(SessionTally(Arc::clone(&self.counts)));
        let mut waiting = Vec::with_capacity(drafts.len());
        for (ticket, draft) in drafts {
            let (body, packs) = self.encode(&draft)?;
            let id = self.inner.keys.chunk_id(ChunkKind::Recipe, &body);
            press.offer(ChunkKind::Recipe, id, &body, &tally)?;
            waiting.push((ticket, id, packs));
        }
        press.settle();
        let mut done = self.done.lock().expect("no holder panics");
        for (ticket, id, mut packs) in waiting {
            let found = self.find(&id)?;
            packs.push(found.pack);
            done.insert(ticket, Done { place: found.chunk_ref(), packs });
        }
        Ok(())
    }

    /// Where a chunk lies that the press took or knew. Blocks.
    fn find(&self, id: &ChunkId) -> Result<Found> {
        self.inner.finder.find(id).ok_or_else(|| self.inner.press.failure())
    }

    /// Writes the branches of some lists; the answer is the lists of those branches. Blocks.
    fn store_branches(&self, lists: &[Vec<SegmentRef>]) -> Result<Vec<Vec<SegmentRef>>> {
        let press = &self.inner.press;
        let tally: Arc<dyn Tally> = Arc::new(SessionTally(Arc::clone(&self.counts)));
        let mut named = Vec::with_capacity(lists.len());
        for list in lists {
            let mut ids = Vec::new();
            for group in branch::groups(list) {
                let body = branch::encode(group);
                let id = self.inner.keys.chunk_id(ChunkKind::Recipe, &body);
                press.offer(ChunkKind::Recipe, id, &body, &tally)?;
                ids.push(id);
            }
            named.push(ids);
        }
        press.settle();
        let placed =
            |(group, id): (&[SegmentRef], ChunkId)| Ok(branch::standing_for(group, self.find(&id)?.chunk_ref()));
        lists.iter().zip(named).map(|(list, ids)| branch::groups(list).zip(ids).map(placed).collect()).collect()
    }

    fn encode(&self, draft: &Draft) -> Result<(Vec<u8>, Vec<PackNo>)> {
        let mut packs = BTreeSet::new();
        let body = Recipe::encode(draft, |id| {
            let found = self.find(id)?;
            packs.insert(found.pack);
            packs.extend(found.base_pack);
            Ok(found.placed)
        })?;
        Ok((body, packs.into_iter().collect()))
    }
}

fn manifest(snapshot: &Snapshot) -> Result<Vec<u8>> {
    serde_json::to_vec(snapshot).map_err(|error| Error::bug("a snapshot could not be written").caused_by(error))
}
