//! Stored streams on their way out: recipes, then chunks ahead of need, then bytes in order.
//!
//! Recipes and batches of chunks are opened side by side on many CPUs and arrive in order. Invariants: every byte
//! given out was authenticated; memory is bounded by batches and channels.

use crate::{
    ByteStream, Meter, Piece, PieceStream,
    assemble::{Feed, PIECE, Proof, Whole, ZEROS, assemble},
    excerpt::{Excerpt, Step},
    haul::Haul,
    inner::Inner,
    pins::Ticket,
    recipe::{Placed, Row},
    shelf::Load,
    threads::blocking,
    walk::{Walk, Wanted},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use holdfast_model::{
    Error, PackId, Result,
    snapshot::{SegmentRef, StreamRef},
    view::From,
};
use std::{ops::Range, sync::Arc};
use tokio::sync::mpsc;

/// Recipes opened ahead of need.
const RECIPES_AHEAD: usize = 4;
/// Batches opened ahead of need: each keeps one CPU busy for a while.
const AHEAD: usize = 6;
/// Sealed bytes read at once from the cache, and plaintext bytes that may come of it.
const BATCH_SEALED: u32 = 4 << 20;
const BATCH_PLAIN: u32 = 8 << 20;
/// Pieces waiting for the one who reads.
const WAITING: usize = 4;

/// A segment to be read.
struct Part {
    segment: SegmentRef,
    wish: Wish,
}

/// What of a segment is wanted.
enum Wish {
    All,
    Stretches(Vec<Range<u64>>),
    /// Headers; contents become zeros.
    Outline,
}

/// Chunks of one row and one pack that lie close together.
pub(crate) struct Batch {
    row: Row,
    pub(crate) chunks: Vec<Placed>,
    together: Together,
    /// What its chunks and their bases need from the bucket: kept until they are opened.
    pub(crate) loads: Vec<Arc<Load>>,
    /// Loads to begin when its turn comes, its own first.
    pub(crate) ahead: Vec<Arc<Load>>,
}

/// What is worked on, in order.
pub(crate) enum Item {
    Begin(Vec<Step>, Proof),
    Batch(Batch),
}

/// Opens a stored stream; zeros that were stored as such are told as such.
pub(crate) fn read_pieces(
    inner: Arc<Inner>,
    stream: &StreamRef,
    from: From,
    meter: Option<Arc<dyn Meter>>,
) -> PieceStream {
    let walk = Walk::new(&inner, stream.segments.clone(), from);
    let parts = stream::try_unfold(walk, |mut walk| async {
        let next = walk.leaf().await?;
        Ok(next.map(|segment| (Part { segment, wish: Wish::All }, walk)))
    });
    let whole = if stream.tree { Whole::Tree(stream.clone()) } else { Whole::Bytes(stream.clone()) };
    let ticket = begin(&inner, stream, from);
    start(inner, ticket, parts, (whole, from), meter)
}

/// Opens a stored stream.
pub(crate) fn read(inner: Arc<Inner>, stream: &StreamRef, from: From, meter: Option<Arc<dyn Meter>>) -> ByteStream {
    in_bytes(read_pieces(inner, stream, from, meter))
}

/// Opens the outline of a stored tar: headers as they are, contents as zeros that were never read. So it needs metadata only, which
/// never leaves the cache: nothing has to be kept there for it, whatever it reads from.
pub(crate) fn read_outline(inner: Arc<Inner>, stream: &StreamRef, from: From) -> PieceStream {
    let walk = Walk::new(&inner, stream.segments.clone(), from);
    let parts = stream::try_unfold(walk, |mut walk| async {
        let next = walk.leaf().await?;
        Ok(next.map(|segment| (Part { segment, wish: Wish::Outline }, walk)))
    });
    let ticket = inner.pins.reader();
    start(inner, ticket, parts, (Whole::Part(stream.length), from), None)
}

/// Opens the outline of neighbouring segments, none of them a branch.
pub(crate) fn read_outline_of(inner: Arc<Inner>, segments: &[SegmentRef], from: From) -> PieceStream {
    let length = segments.iter().fold(0u64, |sum, segment| sum.saturating_add(segment.length));
    let parts: Vec<_> = segments.iter().map(|segment| Ok(Part { segment: *segment, wish: Wish::Outline })).collect();
    let ticket = inner.pins.reader();
    start(inner, ticket, stream::iter(parts), (Whole::Part(length), from), None)
}

/// Reads stretches of a stored stream, rising and apart, and of its recipes those that they need.
pub(crate) fn read_ranges(inner: Arc<Inner>, stream: &StreamRef, ranges: Vec<Range<u64>>, from: From) -> PieceStream {
    let rising = ranges.windows(2).all(|pair| pair[0].end <= pair[1].start);
    let wrong = |range: &&Range<u64>| range.start > range.end || range.end > stream.length || !rising;
    if let Some(range) = ranges.iter().find(wrong) {
        let text = format!("bytes {} to {} do not lie in a stream of {}", range.start, range.end, stream.length);
        return stream::iter([Err(Error::invalid("stream.range", text))]).boxed();
    }
    let length = ranges.iter().map(|range| range.end - range.start).sum();
    let wanted = Wanted::of(&inner, stream, ranges, from);
    let parts = stream::try_unfold(wanted, |mut wanted| async move {
        let next = wanted.next().await?;
        Ok(next.map(|(segment, own)| (Part { segment, wish: Wish::Stretches(own) }, wanted)))
    });
    let ticket = begin(&inner, stream, from);
    start(inner, ticket, parts, (Whole::Part(length), from), None)
}

/// Reads stretches of a row of recipe segments, rising and apart; offsets count from the first segment's beginning. Nothing stays in the
/// cache for it: from the cache alone, the reader has to do without what leaves meanwhile, as a backup does, which asks its source then.
pub(crate) fn read_stretches(
    inner: Arc<Inner>,
    segments: &[SegmentRef],
    stretches: &[Range<u64>],
    from: From,
) -> PieceStream {
    let mut parts = Vec::new();
    let mut begin = 0u64;
    let mut rest = stretches;
    for segment in segments {
        let end = begin.saturating_add(segment.length);
        let inside = |s: &Range<u64>| s.start.max(begin) - begin..s.end.min(end) - begin;
        let touching = rest.iter().take_while(|s| s.start < end).count();
        let own: Vec<_> = rest[..touching].iter().map(inside).collect();
        rest = &rest[rest.iter().take_while(|s| s.end <= end).count()..];
        if !own.is_empty() {
            parts.push(Ok(Part { segment: *segment, wish: Wish::Stretches(own) }));
        }
        begin = end;
    }
    let length = stretches.iter().map(|stretch| stretch.end - stretch.start).sum();
    let ticket = inner.pins.reader();
    start(inner, ticket, stream::iter(parts), (Whole::Part(length), from), None)
}

/// Zeros become bytes.
pub(crate) fn in_bytes(pieces: PieceStream) -> ByteStream {
    let bytes = pieces.map_ok(|piece| match piece {
        Piece::Bytes(bytes) => stream::iter(vec![Ok(bytes)]).left_stream(),
        Piece::Zeros(count) => {
            let part = move |at: u64| Ok(Bytes::from_static(&ZEROS[..(count - at).min(PIECE as u64) as usize]));
            stream::iter((0..count).step_by(PIECE).map(part)).right_stream()
        }
    });
    bytes.try_flatten().boxed()
}

/// Begins with the wish to read, not with the first byte. Who has nothing but the cache keeps there what the stream's snapshot needs.
fn begin(inner: &Arc<Inner>, stream: &StreamRef, from: From) -> Ticket {
    match from {
        From::Cache => inner.pins.reader_of(inner.packs_beside(stream)),
        From::Auto | From::Bucket => inner.pins.reader(),
    }
}

fn start(
    inner: Arc<Inner>,
    ticket: Ticket,
    parts: impl Stream<Item = Result<Part>> + Send + 'static,
    (whole, from): (Whole, From),
    meter: Option<Arc<dyn Meter>>,
) -> PieceStream {
    stream::once(async move {
        let (feed, fed) = mpsc::channel(2);
        let (out, pieces) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            if let Err(error) = feed_all(&inner, parts, from, &feed).await {
                // Nobody listens any more: then nobody needs to know.
                let _ = feed.send(Feed::Fail(error)).await;
            }
        });
        tokio::task::spawn_blocking(move || assemble(fed, &out, whole));
        stream::unfold((pieces, meter, ticket), |(mut pieces, meter, ticket)| async move {
            let piece: Result<Piece> = pieces.recv().await?;
            if let (Some(meter), Ok(piece)) = (&meter, &piece) {
                meter.moved(piece.len());
            }
            Some((piece, (pieces, meter, ticket)))
        })
    })
    .flatten()
    .boxed()
}

/// Opens recipes some ahead, and the chunks that they name some ahead of the place where bytes are given out.
async fn feed_all(
    inner: &Arc<Inner>,
    parts: impl Stream<Item = Result<Part>> + Send,
    from: From,
    feed: &mpsc::Sender<Feed>,
) -> Result<()> {
    let opened = parts.map(|part| async move { items(inner, part?, from).await }).buffered(RECIPES_AHEAD);
    let items = opened.map_ok(|items| stream::iter(items.into_iter().map(Ok::<_, Error>))).try_flatten();
    let items = Haul::new(inner, from).load(items);
    let mut fed = std::pin::pin!(items.map(|item| async move { work(inner, item?, from).await }).buffered(AHEAD));
    while let Some(ready) = fed.next().await {
        if feed.send(ready?).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn items(inner: &Arc<Inner>, part: Part, from: From) -> Result<Vec<Item>> {
    if matches!(part.wish, Wish::Outline) && part.segment.file.is_some() && part.segment.entries == 0 {
        // Content of one file and nothing else: its recipe would tell nothing more.
        return Ok(vec![Item::Begin(vec![Step::Zeros(part.segment.length)], Proof::None)]);
    }
    let mut recipe = inner.open_recipe(&part.segment, from).await?;
    inner.settle_places(&mut recipe, from).await;
    blocking(move || {
        let proof = match (&part.wish, part.segment.sum) {
            (Wish::All, Some(sum)) => Proof::Sum(sum, recipe.ops_as_written()),
            _ => Proof::None,
        };
        let excerpt = match part.wish {
            Wish::All => Excerpt::whole(recipe),
            Wish::Stretches(stretches) => Excerpt::of(&recipe, &stretches),
            Wish::Outline => Excerpt::outline(recipe),
        };
        let batches = plan(&excerpt).into_iter().map(Item::Batch);
        Ok(std::iter::once(Item::Begin(excerpt.steps, proof)).chain(batches).collect())
    })
    .await
}

async fn work(inner: &Arc<Inner>, item: Item, from: From) -> Result<Feed> {
    match item {
        Item::Begin(steps, proof) => Ok(Feed::Begin(steps, proof)),
        Item::Batch(batch) => {
            inner.prefetch(&batch.ahead, from);
            let chunks = inner.open_chunks(batch.row.chunk_kind(), &batch.chunks, from).await?;
            drop(batch.loads);
            Ok(Feed::Chunks(batch.row, chunks))
        }
    }
}

/// Groups chunks into batches, in the order in which the steps need them first.
pub(crate) fn plan(excerpt: &Excerpt) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut open: [Option<usize>; 3] = [None; 3];
    let mut next = [0usize; 3];
    let mut left = [0u64; 3];
    for step in &excerpt.steps {
        let (Step::Take(row, count) | Step::Skip(row, count)) = step else { continue };
        let at = *row as usize;
        while left[at] < *count {
            let chunk = excerpt.chunks[at][next[at]];
            next[at] += 1;
            left[at] += u64::from(chunk.length);
            match open[at].filter(|number| batches[*number].together.takes(&chunk)) {
                Some(number) => batches[number].chunks.push(chunk),
                None => {
                    open[at] = Some(batches.len());
                    let together = Together::new(&chunk);
                    let (loads, ahead) = (Vec::new(), Vec::new());
                    batches.push(Batch { row: *row, chunks: vec![chunk], together, loads, ahead });
                }
            }
        }
        left[at] -= count;
    }
    batches
}

/// Chunks of one pack, by what they are together: added up as they come, for hostile ones may be many and overlap.
#[derive(Clone, Copy)]
pub(crate) struct Together {
    pack: PackId,
    start: u32,
    end: u32,
    sealed: u64,
    plain: u64,
}

impl Together {
    /// A chunk alone.
    pub(crate) fn new(chunk: &Placed) -> Together {
        let Placed { pack, offset: start, sealed, length, .. } = *chunk;
        Together { pack, start, end: start + sealed, sealed: u64::from(sealed), plain: u64::from(length) }
    }

    /// Takes a chunk in if it lies in the same pack, near the others, and what is opened at once stays small.
    pub(crate) fn takes(&mut self, chunk: &Placed) -> bool {
        let with = Together {
            start: self.start.min(chunk.offset),
            end: self.end.max(chunk.offset + chunk.sealed),
            sealed: self.sealed + u64::from(chunk.sealed),
            plain: self.plain + u64::from(chunk.length),
            ..*self
        };
        let length = with.end - with.start;
        let fits = self.pack == chunk.pack
            && length <= BATCH_SEALED
            && self.plain <= u64::from(BATCH_PLAIN)
            && chunk.length <= BATCH_PLAIN
            && u64::from(length) <= 2 * with.sealed;
        if fits {
            *self = with;
        }
        fits
    }
}
