//! Index segments of a repository: read when it opens, written when packs are to be listed, replaced by prune.
//!
//! Invariants: what a segment says of a pack is entered only if the sealed directory and the sealed footer agree; a
//! segment with any damage is set aside as a whole, and its packs are read from their own footers; bytes and rows in
//! memory are bounded by [`PIECE`] and [`PIECES_AT_ONCE`], however long segments are.

use crate::{
    inner::Inner,
    layout, pack,
    segment::{self, Block, Directory, Listed, PackName, SEGMENT_FULL},
    state::{PackNo, Unlisted},
    table::{Batch, Finger},
    threads::blocking,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Problem, Result, SegmentId};
use holdfast_storage::PutMode;
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// Directories read at once: small, and the disk's or the way's delay is what they cost.
const DIRECTORIES_AT_ONCE: usize = 8;
/// The end of a segment that is read first: mostly it holds the whole directory, bytes.
const TAIL: u64 = 16 << 10;
/// Footers of about this many bytes are read, opened and entered together.
const PIECE: u64 = 512 << 10;
/// Pieces in memory.
const PIECES_AT_ONCE: usize = 4;
/// Footers read at once, where each is read by itself.
const FOOTERS_AT_ONCE: usize = 8;
/// What a row takes in a sealed footer at least, bytes: ids do not compress.
const ROW: u64 = 36;

/// A segment on its way into the state.
struct Read {
    key: String,
    id: SegmentId,
    directory: Directory,
    numbers: Vec<PackNo>,
}

/// Neighbouring footers of one segment: which of its packs, and where they lie.
struct Piece {
    segment: usize,
    packs: Range<usize>,
    bytes: Range<u64>,
}

impl Inner {
    /// Reads index segments that are not known yet; an unreadable one is told, its packs are found by their footers.
    pub(crate) async fn enter_segments(self: &Arc<Self>) -> Result<()> {
        let mut read = self.read_directories().await?;
        let rows = {
            let mut state = self.write();
            let superseded = read.iter().flat_map(|segment| &segment.directory.supersedes);
            state.void.extend(superseded.copied());
            read.retain(|segment| !state.void.contains(&segment.id));
            for segment in &mut read {
                segment.numbers = segment.directory.packs.iter().map(|pack| state.index.enter(pack.name)).collect();
            }
            let bytes: u64 =
                read.iter().flat_map(|segment| &segment.directory.packs).map(|pack| u64::from(pack.length)).sum();
            bytes / ROW
        };
        self.write().index.reserve(usize::try_from(rows).unwrap_or(usize::MAX));
        let read: Arc<[Read]> = read.into();
        let damaged = self.enter_pieces(&read).await?;
        for (number, segment) in read.iter().enumerate() {
            match damaged.get(&number) {
                Some(error) => self.set_aside(&segment.key, "index segment", error),
                None => self.write().enter_segment(segment.id, &segment.directory, &segment.numbers),
            }
        }
        let (places, bytes) = self.read().index.weight();
        tracing::debug!(segments = read.len(), places, bytes, "index segments were entered");
        Ok(())
    }

    async fn read_directories(self: &Arc<Self>) -> Result<Vec<Read>> {
        let wanted: Vec<(String, SegmentId)> = {
            let state = self.read();
            let keys = state.small.keys().filter(|key| key.starts_with(layout::SEGMENTS));
            let named = keys.filter_map(|key| Some((key.clone(), layout::parse_segment(key)?)));
            named.filter(|(key, id)| !state.segments.contains_key(key) && !state.void.contains(id)).collect()
        };
        let mut directories = stream::iter(wanted)
            .map(|(key, id)| async move {
                let directory = self.read_directory(&key).await;
                (key, id, directory)
            })
            .buffer_unordered(DIRECTORIES_AT_ONCE);
        let mut read = Vec::new();
        while let Some((key, id, directory)) = directories.next().await {
            match directory {
                Ok(directory) => read.push(Read { key, id, directory, numbers: Vec::new() }),
                Err(error) if error.kind() == Kind::Unavailable => return Err(error),
                Err(error) => self.set_aside(&key, "index segment", &error),
            }
        }
        // The same order at every opening.
        read.sort_by_key(|segment| segment.id);
        Ok(read)
    }

    /// The directory at a segment's end.
    pub(crate) async fn read_directory(self: &Arc<Self>, key: &str) -> Result<Directory> {
        let size = self.read().size_of(key).unwrap_or(0);
        let from = size.saturating_sub(TAIL);
        let tail = self.small_range(key, from..size).await?;
        let trailer = tail.get(tail.len().saturating_sub(segment::TRAILER as usize)..).unwrap_or_default();
        let range = segment::directory_range(trailer, size)?;
        let sealed = match range.start.checked_sub(from) {
            Some(start) => tail.slice(start as usize..tail.len() - segment::TRAILER as usize),
            None => self.small_range(key, range.clone()).await?,
        };
        let inner = Arc::clone(self);
        blocking(move || segment::open_directory(inner.envelope(), &sealed, range.start)).await
    }

    /// Enters what the footers say. The answer is the segments that are damaged, with the reason.
    async fn enter_pieces(self: &Arc<Self>, read: &Arc<[Read]>) -> Result<BTreeMap<usize, Error>> {
        let mut all = Vec::new();
        for (number, segment) in read.iter().enumerate() {
            all.extend(pieces(number, &segment.directory.packs));
        }
        let mut entered = stream::iter(all)
            .map(|piece| {
                let (inner, read) = (Arc::clone(self), Arc::clone(read));
                let number = piece.segment;
                // A task of its own: reading goes on while others open footers.
                let work = tokio::spawn(async move { inner.enter_piece(read, piece).await });
                async move { (number, work.await) }
            })
            .buffer_unordered(PIECES_AT_ONCE);
        let mut damaged = BTreeMap::new();
        while let Some((number, result)) = entered.next().await {
            match result.unwrap_or_else(|error| Err(Error::bug("reading the index broke off").caused_by(error))) {
                Ok(()) => {}
                Err(error) if error.kind() == Kind::Unavailable => return Err(error),
                Err(error) => drop(damaged.insert(number, error)),
            }
        }
        Ok(damaged)
    }

    async fn enter_piece(self: &Arc<Self>, read: Arc<[Read]>, piece: Piece) -> Result<()> {
        let bytes = self.small_range(&read[piece.segment].key, piece.bytes.clone()).await?;
        let inner = Arc::clone(self);
        blocking(move || {
            let segment = &read[piece.segment];
            let mut batch = Batch::default();
            let mut offset = 0;
            for (local, pack) in segment.directory.packs[piece.packs.clone()].iter().enumerate() {
                let footer = &bytes[offset..offset + pack.length as usize];
                offset += pack.length as usize;
                if segment::mark_of(footer)? != pack.mark {
                    return Err(Error::new(Kind::Corrupt, "index.corrupt", "a footer is that of another pack"));
                }
                pack::each_id(inner.envelope(), footer, |id| batch.push(Finger::of(id), local))?;
            }
            batch.sort();
            inner.write().index.enter_batch(&batch, &segment.numbers[piece.packs]);
            Ok(())
        })
        .await
    }

    /// Packs of the cache that no segment names: a backup was cut off, or a segment is gone. Their footers tell what
    /// they hold.
    pub(crate) async fn enter_unlisted(self: &Arc<Self>) -> Result<()> {
        let strays: Vec<PackNo> = {
            let state = self.read();
            let strays = state
                .index
                .packs()
                .filter(|(number, info)| info.cached() && info.span.is_none() && !state.unlisted.contains_key(number));
            strays.map(|(number, _)| number).collect()
        };
        let mut footers = stream::iter(strays)
            .map(|pack| async move { (pack, self.finder.footer(pack).await) })
            .buffer_unordered(FOOTERS_AT_ONCE);
        while let Some((pack, footer)) = footers.next().await {
            match footer {
                Ok((_, rows)) => {
                    let mut state = self.write();
                    state.index.enter_rows(pack, &rows);
                    // The footer itself is read again when it is listed: there may be very many.
                    state.unlisted.insert(pack, Unlisted { chunks: rows.len(), footer: None });
                }
                Err(error) if error.kind() == Kind::Unavailable => return Err(error),
                // Not acknowledged data of a cut-off backup; a check names it if a snapshot needs it.
                Err(error) => {
                    let key = self.read().index.pack(pack).key();
                    tracing::warn!(key, error = %error.chain(), "a pack without readable footer is left aside");
                }
            }
        }
        Ok(())
    }

    /// Writes index segments for all packs that no segment names yet. The answer is their size in bytes.
    pub(crate) async fn list_packs(&self) -> Result<u64> {
        let _alone = self.listing.lock().await;
        let packs: Vec<PackNo> = self.read().unlisted.keys().copied().collect();
        if packs.is_empty() {
            return Ok(0);
        }
        let (_, size) = self.write_segments(packs.clone(), Vec::new()).await?;
        self.write().unlisted.retain(|pack, _| packs.binary_search(pack).is_err());
        Ok(size)
    }

    pub(crate) fn unlisted_chunks(&self) -> usize {
        self.read().unlisted.values().map(|unlisted| unlisted.chunks).sum()
    }

    /// Writes index segments that list these packs; the last one supersedes others. A pack whose footer nobody has
    /// unharmed is left out and told. The answer is the segments' keys and their size in bytes.
    pub(crate) async fn write_segments(
        &self,
        packs: Vec<PackNo>,
        supersedes: Vec<SegmentId>,
    ) -> Result<(Vec<String>, u64)> {
        let (mut keys, mut size) = (Vec::new(), 0);
        let (mut blocks, mut length) = (Vec::new(), 0);
        let mut footers = stream::iter(packs)
            .map(|pack| async move { (pack, self.finder.footer(pack).await) })
            .buffered(FOOTERS_AT_ONCE);
        while let Some((pack, footer)) = footers.next().await {
            let name = self.read().index.pack(pack).name;
            let footer = match footer {
                Ok((footer, _)) => footer,
                Err(error) if error.kind() == Kind::Unavailable => return Err(error),
                Err(error) => {
                    self.write().note(not_listed(&name, &error));
                    continue;
                }
            };
            if length >= SEGMENT_FULL {
                let (key, bytes) = self.put_segment(Vec::new(), &std::mem::take(&mut blocks)).await?;
                keys.push(key);
                size += bytes;
                length = 0;
            }
            length += footer.len();
            blocks.push(Block { name, footer });
        }
        if !blocks.is_empty() || !supersedes.is_empty() {
            let (key, bytes) = self.put_segment(supersedes, &blocks).await?;
            keys.push(key);
            size += bytes;
        }
        Ok((keys, size))
    }

    /// Puts an index segment into the cache under the name of its bytes. The answer is its key and size in bytes.
    async fn put_segment(&self, supersedes: Vec<SegmentId>, blocks: &[Block]) -> Result<(String, u64)> {
        let directory = Directory::of(supersedes, blocks)?;
        let bytes = segment::assemble(self.envelope(), &directory, blocks)?;
        let id = SegmentId(holdfast_chunk::sha256(&bytes));
        let (key, size) = (layout::segment_key(&id), bytes.len() as u64);
        self.put_small(&key, bytes, PutMode::Once).await?;
        let mut state = self.write();
        let numbers: Vec<PackNo> = directory.packs.iter().map(|pack| state.index.enter(pack.name)).collect();
        // What it supersedes is void at the next opening; until it is deleted it stays in force here.
        state.enter_segment(id, &Directory { supersedes: Vec::new(), packs: directory.packs }, &numbers);
        Ok((key, size))
    }

    /// Reads a part of a small object from the cache, else from the bucket.
    async fn small_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let local = match self.cache.get_range(key, range.clone()).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        match self.bucket() {
            Some(bucket) if self.read().is_acked(key) => bucket.get_range(key, range).await,
            _ => Err(local),
        }
    }
}

/// Cuts a segment into pieces.
fn pieces(segment: usize, packs: &[Listed]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (number, pack) in packs.iter().enumerate() {
        let (start, end) = (u64::from(pack.offset), u64::from(pack.offset) + u64::from(pack.length));
        match pieces.last_mut() {
            Some(last) if end - last.bytes.start <= PIECE && last.packs.len() < Batch::PACKS_MAX => {
                last.packs.end = number + 1;
                last.bytes.end = end;
            }
            _ => pieces.push(Piece { segment, packs: number..number + 1, bytes: start..end }),
        }
    }
    pieces
}

fn not_listed(name: &PackName, error: &Error) -> Problem {
    let key = layout::pack_key(name.kind, &name.id);
    let text = format!("what pack {key} holds cannot be read, so the index leaves it out: {}", error.chain());
    Problem::warning("index.unreadable", &key, text).advice("run a check")
}
