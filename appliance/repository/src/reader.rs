//! Stored streams on their way out: recipes, then chunks ahead of need, then bytes in order.
//!
//! Invariants: every byte given out was authenticated; the length and SHA-256 of the whole stream are
//! checked at its end, and a difference is an error; memory is bounded by batches and channels.

use crate::{
    ByteStream, Meter, ReadCost,
    inner::{Inner, stale},
    recipe::{Op, Placed, Recipe, Row},
    state::PackNo,
    threads::blocking,
    walk::Walk,
};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use holdfast_model::{
    Error, Kind, PackId, Result,
    snapshot::{SegmentRef, StreamRef},
    view::From,
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};
use tokio::sync::mpsc;

/// Batches opened ahead of need.
const AHEAD: usize = 4;
/// Sealed bytes read at once from the cache, and plaintext bytes that may come of it.
const BATCH_SEALED: u32 = 4 << 20;
const BATCH_PLAIN: u32 = 8 << 20;
/// Packs fetched from the bucket ahead of need.
const PACKS_AHEAD: usize = 3;
/// Pieces waiting for the one who reads.
const WAITING: usize = 4;
/// Small pieces are gathered to this size, bytes.
const PIECE: usize = 256 << 10;

/// Chunks of one row and one pack that lie close together.
struct Batch {
    row: Row,
    chunks: Vec<Placed>,
    next_packs: Vec<PackId>,
}

/// What the assembling thread is fed with.
enum Feed {
    Ops(Vec<Op>),
    Chunks(Row, Vec<Bytes>),
    Fail(Error),
}

/// Opens a stored stream.
pub(crate) fn read(inner: Arc<Inner>, stream: &StreamRef, from: From, meter: Option<Arc<dyn Meter>>) -> ByteStream {
    let stream = stream.clone();
    stream::once(async move {
        let (feed, fed) = mpsc::channel(2);
        let (out, pieces) = mpsc::channel(WAITING);
        let segments = stream.segments.clone();
        tokio::spawn(async move { feed_all(&inner, segments, from, &feed).await });
        tokio::task::spawn_blocking(move || assemble(fed, &out, &stream));
        stream::unfold((pieces, meter), |(mut pieces, meter)| async move {
            let piece: Result<Bytes> = pieces.recv().await?;
            if let (Some(meter), Ok(piece)) = (&meter, &piece) {
                meter.moved(piece.len() as u64);
            }
            Some((piece, (pieces, meter)))
        })
    })
    .flatten()
    .boxed()
}

async fn feed_all(inner: &Arc<Inner>, segments: Vec<SegmentRef>, from: From, feed: &mpsc::Sender<Feed>) {
    if let Err(error) = try_feed_all(inner, segments, from, feed).await {
        // Nobody listens any more: then nobody needs to know.
        let _ = feed.send(Feed::Fail(error)).await;
    }
}

async fn try_feed_all(
    inner: &Arc<Inner>,
    segments: Vec<SegmentRef>,
    from: From,
    feed: &mpsc::Sender<Feed>,
) -> Result<()> {
    let mut walk = Walk::new(inner, segments, from);
    while let Some(segment) = walk.leaf().await? {
        let recipe = inner.open_recipe(&segment, from).await?;
        let batches = plan(&recipe);
        if feed.send(Feed::Ops(recipe.ops)).await.is_err() {
            return Ok(());
        }
        let mut opened = stream::iter(batches)
            .map(|batch| async move {
                inner.prefetch(&batch.next_packs, from);
                let chunks = inner.open_chunks(batch.row.chunk_kind(), &batch.chunks, from).await?;
                Ok::<_, Error>((batch.row, chunks))
            })
            .buffered(AHEAD);
        while let Some(batch) = opened.next().await {
            let (row, chunks) = batch?;
            if feed.send(Feed::Chunks(row, chunks)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Groups chunks into batches, in the order in which the operations need them first.
fn plan(recipe: &Recipe) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut open: [Option<usize>; 3] = [None; 3];
    let mut next = [0usize; 3];
    let mut left = [0u64; 3];
    for op in &recipe.ops {
        let Op::Take(row, count) = op else { continue };
        let at = *row as usize;
        while left[at] < *count {
            let chunk = recipe.chunks[at][next[at]];
            next[at] += 1;
            left[at] += u64::from(chunk.length);
            match open[at].filter(|number| joins(&batches[*number].chunks, &chunk)) {
                Some(number) => batches[number].chunks.push(chunk),
                None => {
                    open[at] = Some(batches.len());
                    batches.push(Batch { row: *row, chunks: vec![chunk], next_packs: Vec::new() });
                }
            }
        }
        left[at] -= count;
    }
    name_next_packs(&mut batches);
    batches
}

/// Whether a chunk lies in the same pack, near the others, and the batch stays small.
fn joins(chunks: &[Placed], chunk: &Placed) -> bool {
    let Some(first) = chunks.first() else { return true };
    let start = chunks.iter().map(|c| c.offset).min().unwrap_or(0).min(chunk.offset);
    let end = chunks.iter().map(|c| c.offset + c.sealed).max().unwrap_or(0).max(chunk.offset + chunk.sealed);
    let plain: u32 = chunks.iter().map(|c| c.length).sum();
    let sealed: u32 = chunks.iter().map(|c| c.sealed).sum::<u32>() + chunk.sealed;
    first.pack == chunk.pack
        && end - start <= BATCH_SEALED
        && plain <= BATCH_PLAIN
        && chunk.length <= BATCH_PLAIN
        && u64::from(end - start) <= 2 * u64::from(sealed)
}

fn name_next_packs(batches: &mut [Batch]) {
    let mut ahead: VecDeque<PackId> = VecDeque::new();
    for batch in batches.iter_mut().rev() {
        batch.next_packs = ahead.iter().copied().collect();
        let pack = batch.chunks[0].pack;
        ahead.retain(|known| *known != pack);
        ahead.push_front(pack);
        ahead.truncate(PACKS_AHEAD);
    }
}

/// Puts the stream together. Blocks; ends when the reader goes away.
fn assemble(fed: mpsc::Receiver<Feed>, out: &mpsc::Sender<Result<Bytes>>, stream: &StreamRef) {
    let mut assembly = Assembly {
        fed,
        out,
        rows: Default::default(),
        piece: BytesMut::with_capacity(PIECE),
        hash: Sha256::new(),
        length: 0,
    };
    match assembly.run(stream) {
        Ok(()) | Err(Halt::Gone) => {}
        Err(Halt::Failed(error)) => drop(out.blocking_send(Err(error))),
    }
}

enum Halt {
    /// The reader went away.
    Gone,
    Failed(Error),
}

struct Assembly<'a> {
    fed: mpsc::Receiver<Feed>,
    out: &'a mpsc::Sender<Result<Bytes>>,
    rows: [VecDeque<Bytes>; 3],
    piece: BytesMut,
    hash: Sha256,
    length: u64,
}

impl Assembly<'_> {
    fn run(&mut self, stream: &StreamRef) -> Result<(), Halt> {
        while let Some(feed) = self.fed.blocking_recv() {
            match feed {
                Feed::Ops(ops) => {
                    for op in ops {
                        self.carry_out(op)?;
                    }
                }
                Feed::Fail(error) => return Err(Halt::Failed(error)),
                Feed::Chunks(..) => return Err(Halt::Failed(Error::bug("chunks came without a recipe"))),
            }
        }
        let whole = hex::encode(std::mem::take(&mut self.hash).finalize());
        if self.length != stream.length || whole != stream.sha256 {
            return Err(Halt::Failed(unlike()));
        }
        self.flush()
    }

    fn carry_out(&mut self, op: Op) -> Result<(), Halt> {
        match op {
            Op::Zeros(mut count) => {
                while count > 0 {
                    let part = count.min(ZEROS.len() as u64);
                    self.give(Bytes::from_static(&ZEROS[..part as usize]))?;
                    count -= part;
                }
            }
            Op::Take(row, mut count) => {
                while count > 0 {
                    let mut chunk = self.chunk(row)?;
                    let part = chunk.split_to(usize::try_from(count).unwrap_or(usize::MAX).min(chunk.len()));
                    if !chunk.is_empty() {
                        self.rows[row as usize].push_front(chunk);
                    }
                    count -= part.len() as u64;
                    self.give(part)?;
                }
            }
        }
        Ok(())
    }

    fn chunk(&mut self, row: Row) -> Result<Bytes, Halt> {
        loop {
            if let Some(chunk) = self.rows[row as usize].pop_front() {
                return Ok(chunk);
            }
            match self.fed.blocking_recv() {
                Some(Feed::Chunks(row, chunks)) => self.rows[row as usize].extend(chunks),
                Some(Feed::Fail(error)) => return Err(Halt::Failed(error)),
                Some(Feed::Ops(_)) | None => return Err(Halt::Failed(Error::bug("a recipe needs more than was fed"))),
            }
        }
    }

    fn give(&mut self, bytes: Bytes) -> Result<(), Halt> {
        self.hash.update(&bytes);
        self.length += bytes.len() as u64;
        if bytes.len() >= PIECE / 4 {
            self.flush()?;
            return self.out.blocking_send(Ok(bytes)).map_err(|_| Halt::Gone);
        }
        self.piece.extend_from_slice(&bytes);
        if self.piece.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Halt> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE));
        self.out.blocking_send(Ok(piece.freeze())).map_err(|_| Halt::Gone)
    }
}

static ZEROS: [u8; PIECE] = [0; PIECE];

impl Inner {
    /// Opens a recipe segment.
    pub(crate) async fn open_recipe(self: &Arc<Self>, segment: &SegmentRef, from: From) -> Result<Recipe> {
        let body = self.open_record(&segment.chunk, from).await?;
        let length = segment.length;
        blocking(move || {
            let recipe = Recipe::decode(&body)?;
            if recipe.length() == length { Ok(recipe) } else { Err(unlike()) }
        })
        .await
    }

    /// Packs that these segments need, their own included. `Conflict` (`snapshot.stale`) if one is unknown.
    pub(crate) async fn reach_of(self: &Arc<Self>, segments: Vec<SegmentRef>) -> Result<BTreeSet<PackNo>> {
        let mut reach = BTreeSet::new();
        let mut walk = Walk::new(self, segments, From::Auto);
        while let Some(segment) = walk.next().await.map_err(gone)? {
            reach.insert(self.pack_of(&segment).ok_or_else(stale)?);
            if !segment.branch {
                reach.extend(self.packs_of_recipe(&segment).await?);
            }
        }
        Ok(reach)
    }

    /// The pack that holds the recipe itself.
    fn pack_of(&self, segment: &SegmentRef) -> Option<PackNo> {
        let state = self.read();
        let hint = state.index.number(&segment.chunk.pack).filter(|pack| state.index.pack(*pack).present());
        hint.or_else(|| state.index.number(&state.index.find(&segment.chunk.id)?.pack))
    }

    /// Packs that a recipe leans on, all of them present. `Conflict` (`snapshot.stale`) if one is not.
    async fn packs_of_recipe(self: &Arc<Self>, segment: &SegmentRef) -> Result<BTreeSet<PackNo>> {
        let body = self.open_record(&segment.chunk, From::Auto).await.map_err(gone)?;
        let named = Recipe::packs_of(&body)?;
        {
            let state = self.read();
            let present = |id: &PackId| state.index.number(id).filter(|pack| state.index.pack(*pack).present());
            if let Some(packs) = named.iter().map(present).collect() {
                return Ok(packs);
            }
        }
        // A pack is gone: perhaps its chunks lie elsewhere by now.
        let recipe = blocking(move || Recipe::decode(&body)).await?;
        let state = self.read();
        let place = |placed: &Placed| {
            let hint = state.index.number(&placed.pack).filter(|pack| state.index.pack(*pack).present());
            hint.or_else(|| state.index.number(&state.index.find(&placed.id)?.pack)).ok_or_else(stale)
        };
        recipe.packs().map(place).collect()
    }

    /// What reading streams costs.
    pub(crate) async fn cost(self: &Arc<Self>, streams: &[StreamRef], from: From) -> Result<ReadCost> {
        let mut cost = ReadCost { bytes: streams.iter().map(|stream| stream.length).sum(), ..ReadCost::default() };
        let mut packs: BTreeSet<PackNo> = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let segments = streams.iter().flat_map(|stream| stream.segments.iter().copied()).collect();
        let mut walk = Walk::new(self, segments, from);
        loop {
            let (sealed, opened) = match walk.next().await {
                Ok(None) => break,
                Ok(Some(segment)) if !seen.insert(segment.chunk.id) => {
                    walk.pass_over();
                    continue;
                }
                Ok(Some(segment)) if segment.branch => continue,
                Ok(Some(segment)) => {
                    (u64::from(segment.chunk.sealed), self.open_recipe(&segment, from).await.map(Some))
                }
                // The branch could not be opened; how much hangs on it nobody knows.
                Err(error) => (1, Err(error)),
            };
            match opened {
                Ok(recipe) => recipe.iter().for_each(|recipe| self.add_cost(recipe, from, &mut packs, &mut cost)),
                Err(error) if error.kind() == Kind::Corrupt => cost.missing_bytes += sealed,
                Err(error) => return Err(error),
            }
        }
        let state = self.read();
        let fetched =
            packs.iter().map(|pack| state.index.pack(*pack)).filter(|info| from == From::Bucket || !info.cached);
        for info in fetched {
            cost.bucket_bytes += info.name.size;
            cost.requests += 1;
        }
        Ok(cost)
    }

    fn add_cost(&self, recipe: &Recipe, from: From, packs: &mut BTreeSet<PackNo>, cost: &mut ReadCost) {
        let state = self.read();
        let bucket = self.bucket().is_some();
        for placed in recipe.packs() {
            let hint = state.index.number(&placed.pack).filter(|pack| state.index.pack(*pack).present());
            let pack = hint.or_else(|| state.index.number(&state.index.find(&placed.id)?.pack));
            let reachable = pack.is_some_and(|pack| {
                let info = state.index.pack(pack);
                (info.cached && from != From::Bucket) || (info.acked && bucket && from != From::Cache)
            });
            match pack.filter(|_| reachable) {
                Some(pack) => drop(packs.insert(pack)),
                None => cost.missing_bytes += u64::from(placed.sealed),
            }
        }
    }
}

/// What is gone by the time of a commit makes the backup stale.
fn gone(error: Error) -> Error {
    match error.kind() {
        Kind::Corrupt if error.code() == "pack.missing" => stale().caused_by(error),
        _ => error,
    }
}

fn unlike() -> Error {
    Error::new(Kind::Corrupt, "stream.corrupt", "a stored stream did not come out as it went in")
        .advice("run a check with --read-data and restore another snapshot")
}
