//! A byte stream on its way in: from the async side through a bounded channel to a splitter thread.
//!
//! Invariants: the stream's length and SHA-256 are those of the bytes as they came; a tar without
//! its end mark is refused; a stream that fails leaves nothing behind but dead chunks.

use crate::{
    ByteStream, Meter, StreamKind,
    inner::Inner,
    likely::Likely,
    parent::{Blocks, Parent},
    press::{Care, Tally},
    recipe::{Draft, Row},
    session::{Desk, StreamTally},
    stages::Stage,
    threads::blocking,
    weave::{Sink, Weaver},
};
use bytes::Bytes;
use futures::StreamExt;
use holdfast_chunk::ChunkKind;
use holdfast_model::{
    ChunkId, Error, FileKey, Kind, Result, Witness,
    snapshot::{SegmentRef, StreamRef},
};
use holdfast_tar::{Piece, Splitter};
use holdfast_tree::Mark;
use sha2::{Digest, Sha256};
use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
};
use tokio::sync::mpsc;

/// Pieces waiting between the source and the splitter; sources give at most a megabyte at once.
const WAITING: usize = 8;
/// Larger pieces are handed over in parts of this size, bytes.
const PIECE: usize = 1 << 20;
/// The end mark of a tar: two blocks of zeros.
const END_MARK: u64 = 1024;

/// Stores a stream.
pub(crate) async fn store(
    desk: &Arc<Desk>,
    parent: Option<&StreamRef>,
    kind: StreamKind,
    mut bytes: ByteStream,
    meter: Arc<dyn Meter>,
) -> Result<StreamRef> {
    let parent = match parent {
        Some(parent) => Some(Parent::of(&desk.inner, parent).await),
        None => None,
    };
    let (sender, receiver) = mpsc::channel::<Bytes>(WAITING);
    let splitter = {
        let intake = Intake::new(desk, parent, meter);
        tokio::spawn(blocking(move || run(kind, receiver, intake)))
    };
    let mut failed = None;
    'source: while let Some(next) = bytes.next().await {
        let mut piece = match next {
            Ok(piece) => piece,
            Err(error) => {
                failed = Some(error);
                break;
            }
        };
        while !piece.is_empty() {
            let part = piece.split_to(piece.len().min(PIECE));
            // A closed channel means that the splitter has failed; it says why.
            if sender.send(part).await.is_err() {
                break 'source;
            }
        }
    }
    drop(sender);
    let result = splitter.await.unwrap_or_else(|error| Err(Error::bug("storing a stream broke off").caused_by(error)));
    let cut_short = failed.is_some();
    match (failed, result) {
        (Some(error), Ok(stream)) => {
            desk.drop_drafts(&stream.segments);
            Err(error)
        }
        (Some(error), Err(_)) if cut_short => Err(error),
        (_, result) => result,
    }
}

/// Gives chunks to the press and drafts to the desk.
pub(crate) struct Intake {
    desk: Arc<Desk>,
    tally: Arc<dyn Tally>,
    meter: Arc<dyn Meter>,
    segments: Vec<SegmentRef>,
    /// Of a group of a tree: its first draft waits here for the marks.
    first: Option<Draft>,
    is_group: bool,
    /// What blocks were in the parent.
    blocks: Option<Blocks>,
    /// What the chunks of the group were.
    likely: Likely,
    care: Care,
}

impl Intake {
    fn new(desk: &Arc<Desk>, parent: Option<Arc<Parent>>, meter: Arc<dyn Meter>) -> Intake {
        let care = if parent.is_some() { Care::Small } else { Care::Fast };
        let blocks = parent.map(Blocks::new);
        let tally = Arc::new(StreamTally { counts: Arc::clone(&desk.counts), meter: Arc::clone(&meter) });
        Intake {
            desk: Arc::clone(desk),
            tally,
            meter,
            segments: Vec::new(),
            first: None,
            is_group: false,
            blocks,
            likely: Likely::default(),
            care,
        }
    }
    /// For one group of a tree.
    pub(crate) fn of_group(
        desk: &Arc<Desk>,
        parent: Option<Arc<Parent>>,
        likely: Likely,
        meter: Arc<dyn Meter>,
    ) -> Intake {
        let mut intake = Intake::new(desk, parent, meter);
        (intake.is_group, intake.likely) = (true, likely);
        intake
    }
    pub(crate) fn inner(&self) -> Arc<Inner> {
        Arc::clone(&self.desk.inner)
    }
    fn count(&self, new: bool, plain: &[u8]) {
        if new {
            self.desk.counts.chunks_new.fetch_add(1, Ordering::Relaxed);
        } else {
            self.desk.counts.chunks_known.fetch_add(1, Ordering::Relaxed);
            self.meter.known(plain.len() as u64);
        }
    }
    /// The group is whole. Blocks.
    pub(crate) fn group(&mut self, marks: Vec<Mark>, witness: Witness) -> Result<Vec<SegmentRef>> {
        if let Some(first) = self.first.take() {
            let first = self.desk.add_draft(Draft { marks, ..first })?;
            self.segments.insert(0, first);
        }
        let mut segments = std::mem::take(&mut self.segments);
        segments.iter_mut().for_each(|segment| segment.witness = Some(witness));
        Ok(segments)
    }
}

impl Sink for Intake {
    fn chunk(&mut self, row: Row, plain: &[u8]) -> Result<ChunkId> {
        let kind = row.chunk_kind();
        let id = self.desk.inner.keys.chunk_id(kind, plain);
        let base = || self.likely.base(row, plain.len());
        let new = self.desk.inner.press.offer_on(base, (kind, id), plain, (&self.tally, self.care))?;
        self.likely.passed(row, &id, plain.len());
        self.count(new, plain);
        Ok(id)
    }
    fn page(&mut self, file: FileKey, at: u64, plain: &[u8]) -> Result<ChunkId> {
        let id = self.desk.inner.keys.chunk_id(ChunkKind::Data, plain);
        let blocks = &mut self.blocks;
        let base = || blocks.as_mut()?.base(file, at);
        let new = self.desk.inner.press.offer_on(base, (ChunkKind::Data, id), plain, (&self.tally, self.care))?;
        self.count(new, plain);
        Ok(id)
    }
    fn file(&self, path: &[u8]) -> FileKey {
        self.desk.inner.keys.file_key(path)
    }
    fn draft(&mut self, draft: Draft) -> Result<()> {
        if self.is_group && self.first.is_none() {
            self.first = Some(draft);
            return Ok(());
        }
        self.segments.push(self.desk.add_draft(draft)?);
        Ok(())
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        // Taken out when the stream is complete.
        self.desk.drop_drafts(&self.segments);
    }
}

/// What was seen of the stream as a whole. A thread of its own hashes it: that takes as long as cutting it.
struct Whole {
    hash: SyncSender<Bytes>,
    hasher: JoinHandle<[u8; 32]>,
    length: u64,
    zeros_at_end: u64,
}

impl Whole {
    fn begin() -> Result<Self> {
        let (hash, pieces) = sync_channel::<Bytes>(WAITING);
        let work = move || {
            let mut hash = Sha256::new();
            pieces.into_iter().for_each(|piece| hash.update(&piece));
            hash.finalize().into()
        };
        let hasher = std::thread::Builder::new()
            .name("stream-hash".into())
            .spawn(work)
            .map_err(|error| Error::io("a thread for hashing could not be started", error))?;
        Ok(Whole { hash, hasher, length: 0, zeros_at_end: 0 })
    }
    fn sha256(self) -> Result<String> {
        drop(self.hash);
        self.hasher.join().map(hex::encode).map_err(|_| Error::bug("hashing a stream broke off"))
    }
    fn add(&mut self, bytes: &Bytes) {
        // If it is gone, joining it tells.
        let _ = self.hash.send(bytes.clone());
        self.length += bytes.len() as u64;
        let zeros = bytes.iter().rev().take(END_MARK as usize).take_while(|byte| **byte == 0).count();
        self.zeros_at_end = if zeros == bytes.len() { self.zeros_at_end + zeros as u64 } else { zeros as u64 };
    }
}

fn run(kind: StreamKind, mut receiver: mpsc::Receiver<Bytes>, intake: Intake) -> Result<StreamRef> {
    let (inner, meter) = (intake.inner(), Arc::clone(&intake.meter));
    let mut weaver = Weaver::new(&inner.cutters, intake);
    let mut whole = Whole::begin()?;
    let timers = inner.press.timers();
    let _open = timers.open_stream();
    let mut splitter = (kind == StreamKind::Tar).then(Splitter::new);
    while let Some(piece) = timers.time(Stage::SourceWait, || receiver.blocking_recv()) {
        whole.add(&piece);
        timers.time(Stage::Split, || match &mut splitter {
            Some(splitter) => splitter.push(&piece, &mut |piece: Piece<'_>| weaver.piece(piece)),
            None => weaver.plain(&piece),
        })?;
        meter.moved(piece.len() as u64);
    }
    let end = splitter.map(|splitter| splitter.finish(&mut |piece: Piece<'_>| weaver.piece(piece))).transpose()?;
    let mut intake = weaver.finish()?;
    let mut unsplit = false;
    if let Some(end) = end {
        unsplit = end.fell_back.is_some();
        let marked = end.complete || (unsplit && whole.zeros_at_end >= END_MARK);
        if !marked {
            return Err(short(whole.length));
        }
    }
    let length = whole.length;
    Ok(StreamRef {
        segments: std::mem::take(&mut intake.segments),
        length,
        sha256: whole.sha256()?,
        entries: end.map_or(0, |end| end.entries),
        unsplit,
        tree: false,
    })
}

fn short(length: u64) -> Error {
    Error::new(
        Kind::Corrupt,
        "stream.short",
        format!("the archive broke off after {length} bytes, without its end mark; what came is not kept"),
    )
    .advice("run the backup again; if it happens again look into the logs of the Docker host")
}
