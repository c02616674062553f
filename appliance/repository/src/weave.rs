//! Takes a stream apart into chunks and drafts of recipe segments.
//!
//! Pure but for its [`Sink`]. Invariants: cuts depend on the stream's bytes alone, never on how they
//! arrive; memory is bounded by a few chunks; a segment is complete in itself; holes make a segment for every 32 GiB at most, and
//! headers that promise more than is stored are refused before a byte of it has come.

use crate::recipe::{Draft, Op, Row};
use holdfast_chunk::{
    Cutter, Keys, Layout, Summer,
    cut::{BLOCK, FINE, LARGE, SMALL_FILE, Sizes, is_zero, page_block},
};
use holdfast_model::{
    ChunkId, Error, FileKey, Kind, Result, SegmentSum,
    snapshot::{FILE_MAX, TREE_MAX},
};
use holdfast_tar::Piece;

/// A segment ends after this many stored bytes: restoring begins after reading one of them.
const SEGMENT_BYTES: u64 = 1 << 30;
/// A segment ends after this many bytes with zeros, far below what readers accept.
const SEGMENT_LENGTH: u64 = 32 << 30;
/// … or this many chunks: a recipe stays below a megabyte.
const SEGMENT_CHUNKS: usize = 16 * 1024;
/// … or between these many files, at a name that content chooses, so that a file added in front
/// does not move all later ends.
const SEGMENT_FILES: std::ops::Range<u64> = 4096..16 * 1024;
/// Files from this size have segments of their own, so that their recipes do not depend on neighbours.
const OWN_SEGMENT: u64 = 64 << 20;
/// … and page-structured ones from this size: the next backup looks for their pages there.
const OWN_SEGMENT_PAGED: u64 = 1 << 20;
/// Such a file goes on in a new segment after this many bytes, so that a small change adds a small recipe; a hole is no reason,
/// for it costs whoever makes it nothing …
const STRETCH: u64 = 16 << 20;
/// … unless that made more segments than this.
const STRETCHES_MAX: u64 = 16 * 1024;
/// A block of zeros.
static ZEROS: [u8; BLOCK] = [0; BLOCK];
/// Consumed bytes in front of the buffer are dropped at this size, bytes.
const SLACK: usize = 4 << 20;

/// Where chunks and drafts go.
pub(crate) trait Sink {
    /// Takes a chunk, new or known, and names it.
    fn chunk(&mut self, row: Row, plain: &[u8]) -> Result<ChunkId>;
    /// Takes a block of a page-structured file with segments of its own; it begins at byte `at` of the file.
    fn page(&mut self, file: FileKey, at: u64, plain: &[u8]) -> Result<ChunkId>;
    /// Stands for a path.
    fn file(&self, path: &[u8]) -> FileKey;
    /// Takes a finished draft.
    fn draft(&mut self, draft: Draft) -> Result<()>;
}

/// The cutters of a repository.
pub(crate) struct Cutters {
    fine: Cutter,
    /// By class of file size.
    large: [Cutter; LARGE.len()],
}

impl Cutters {
    pub(crate) fn new(keys: &Keys) -> Self {
        Cutters { fine: Cutter::new(keys, FINE), large: LARGE.map(|sizes| Cutter::new(keys, sizes)) }
    }
}

/// Contents of a large file on their way: `buffer[start..seen]` waits for a cut, `buffer[seen..]` was
/// not looked at and is less than a block.
struct Large {
    size: u64,
    /// Stands for its path, if it is a file at all.
    key: Option<FileKey>,
    layout: Option<Layout>,
    buffer: Vec<u8>,
    start: usize,
    seen: usize,
    /// Bytes of it in drafts.
    done: u64,
}

/// The weaver.
pub(crate) struct Weaver<'a, S: Sink> {
    cutters: &'a Cutters,
    pub(crate) sink: S,
    draft: Draft,
    files: u64,
    /// Bytes of content that the headers so far promise.
    promised: u64,
    own_segment: bool,
    fine: [Vec<u8>; 2],
    large: Option<Large>,
    bundling: bool,
    ends_here: bool,
    /// Of the draft, if each segment gets a sum.
    sum: Option<Summer>,
}

impl<'a, S: Sink> Weaver<'a, S> {
    pub(crate) fn new(cutters: &'a Cutters, sink: S) -> Self {
        Weaver {
            cutters,
            sink,
            draft: Draft::default(),
            files: 0,
            promised: 0,
            own_segment: false,
            fine: Default::default(),
            large: None,
            bundling: false,
            ends_here: false,
            sum: None,
        }
    }

    /// Gives each segment a sum of its own.
    pub(crate) fn with_sums(self) -> Self {
        Weaver { sum: Some(Summer::new()), ..self }
    }

    /// Takes a piece of a tar.
    pub(crate) fn piece(&mut self, piece: Piece<'_>) -> Result<()> {
        match piece {
            Piece::Meta(bytes) => {
                self.feed(Row::Meta, bytes)?;
                // Only headers without end, millions of them, come here.
                if self.draft.chunk_count() >= 4 * SEGMENT_CHUNKS { self.end_segment() } else { Ok(()) }
            }
            Piece::Member(_) => {
                self.draft.entries += 1;
                Ok(())
            }
            Piece::Open { path, size } => self.open(path, size),
            Piece::Data(bytes) if self.bundling => self.feed(Row::Bundle, bytes),
            Piece::Data(bytes) => self.plain(bytes),
            Piece::Close => self.close(),
            Piece::Raw(bytes) => self.plain(bytes),
        }
    }

    /// Takes zeros of the open file's content, however many: what comes of them is the same as if they had come as bytes.
    pub(crate) fn zeros(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let part = match self.zero_blocks(count) {
                0 => {
                    let part = count.min(BLOCK as u64);
                    self.piece(Piece::Data(&ZEROS[..part as usize]))?;
                    part
                }
                blocks => {
                    self.pass_over(blocks)?;
                    blocks
                }
            };
            count -= part;
        }
        Ok(())
    }

    /// Bytes of `count` zeros that are whole blocks and belong to the same segment; 0 if the next block has begun already.
    fn zero_blocks(&self, count: u64) -> u64 {
        let Some(large) = self.large.as_ref().filter(|large| !self.bundling && large.buffer.len() == large.seen) else {
            return 0;
        };
        let (block, first) = large.blocks();
        if count < first {
            return 0;
        }
        let whole = |bytes: u64| first + bytes.saturating_sub(first) / block * block;
        let room = SEGMENT_LENGTH.saturating_sub(self.draft.ops.length());
        let mut most = whole(count).min(whole(room.saturating_add(block - 1)));
        if let Some(stretch) = self.stretch().filter(|_| self.holds_data()) {
            most = most.min(stretch - large.at() % stretch);
        }
        most
    }

    fn pass_over(&mut self, bytes: u64) -> Result<()> {
        self.cut_large(true)?;
        if let Some(large) = &mut self.large {
            large.done = large.done.saturating_add(bytes);
        }
        self.draft.ops.push(Op::Zeros(bytes));
        self.segment_may_end()
    }

    /// Takes bytes that are cut by content alone.
    pub(crate) fn plain(&mut self, bytes: &[u8]) -> Result<()> {
        if self.large.is_none() {
            self.large = Some(Large::new(0, None));
        }
        // Small steps keep the buffer near one chunk.
        for part in bytes.chunks(4 * BLOCK) {
            if let Some(large) = &mut self.large {
                large.buffer.extend_from_slice(part);
            }
            self.look()?;
        }
        Ok(())
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self) -> Result<S> {
        self.finish_large()?;
        self.end_segment()?;
        Ok(self.sink)
    }

    fn open(&mut self, path: &[u8], size: u64) -> Result<()> {
        self.promised = with_promise(self.promised, path, size)?;
        self.files += 1;
        self.bundling = size < SMALL_FILE;
        self.own_segment = size >= OWN_SEGMENT;
        // One name in 1024 may end a segment.
        let word = name_word(path);
        self.ends_here = self.files >= SEGMENT_FILES.end || (self.files >= SEGMENT_FILES.start && word & 1023 == 0);
        if !self.bundling {
            self.large = Some(Large::new(size, Some(self.sink.file(path))));
        }
        if self.own_segment { self.next_stretch() } else { Ok(()) }
    }

    /// Ends the segment; if the open file has segments of its own, the next one is one of them.
    fn next_stretch(&mut self) -> Result<()> {
        self.end_segment()?;
        if let Some(large) = self.large.as_ref().filter(|_| self.own_segment) {
            self.draft.file = large.key.map(|key| (key, large.done));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.finish_large()?;
        self.bundling = false;
        if self.own_segment || self.ends_here || self.is_full() {
            self.own_segment = false;
            self.ends_here = false;
            self.end_segment()?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.draft.chunk_count() >= SEGMENT_CHUNKS
            || self.draft.ops.taken() >= SEGMENT_BYTES
            || self.draft.ops.length() >= SEGMENT_LENGTH
    }

    /// Bytes of headers or small files: one row each, cut finely.
    fn feed(&mut self, row: Row, bytes: &[u8]) -> Result<()> {
        self.draft.ops.push(Op::Take(row, bytes.len() as u64));
        if let Some(sum) = &mut self.sum {
            sum.update(bytes);
        }
        self.fine[row as usize].extend_from_slice(bytes);
        self.cut_fine(row, false)
    }

    fn cut_fine(&mut self, row: Row, last: bool) -> Result<()> {
        let mut start = 0;
        while let Some(length) = self.cutters.fine.next(&self.fine[row as usize][start..], last) {
            let id = self.sink.chunk(row, &self.fine[row as usize][start..start + length])?;
            self.draft.chunks[row as usize].push((id, narrow(length)));
            start += length;
        }
        self.fine[row as usize].drain(..start);
        Ok(())
    }

    /// Looks at whole blocks: zeros leave, pages become chunks, the rest waits for a cut.
    fn look(&mut self) -> Result<()> {
        loop {
            self.decide()?;
            let Some(large) = &mut self.large else { break };
            let Some((length, zero)) = large.next_block() else { break };
            if zero {
                self.cut_large(true)?;
                self.step_over(length);
                self.draft.ops.push(Op::Zeros(length as u64));
            } else {
                large.seen += length;
                let paged = large.layout == Some(Layout::Paged);
                self.cut_large(paged)?;
            }
            self.segment_may_end()?;
        }
        if let Some(large) = self.large.as_mut().filter(|large| large.start >= SLACK.max(large.buffer.len() / 2)) {
            large.buffer.drain(..large.start);
            large.seen -= large.start;
            large.start = 0;
        }
        Ok(())
    }

    /// Decides how the open file is cut, once a block of it has come that is not all zeros. A large page-structured
    /// one gets segments of its own from there on.
    fn decide(&mut self) -> Result<()> {
        let Some(large) = &mut self.large else { return Ok(()) };
        if large.layout.is_some() || !large.decide() {
            return Ok(());
        }
        let paged = large.layout == Some(Layout::Paged);
        if paged && large.key.is_some() && large.size >= OWN_SEGMENT_PAGED && !self.own_segment {
            self.own_segment = true;
            self.next_stretch()?;
        }
        Ok(())
    }

    fn segment_may_end(&mut self) -> Result<()> {
        if self.is_full() || self.stretch_ends() {
            self.cut_large(true)?;
            self.next_stretch()?;
        }
        Ok(())
    }

    /// Stretches of page-structured files begin at round places, whatever the pages hold. A hole goes on until a page comes, and
    /// then to the next such place.
    fn stretch_ends(&self) -> bool {
        let ends = |stretch| self.large.as_ref().is_some_and(|large| large.done.is_multiple_of(stretch));
        self.holds_data() && self.stretch().is_some_and(ends)
    }

    /// Whether the draft is more than a hole.
    fn holds_data(&self) -> bool {
        self.draft.ops.taken() > 0
    }

    /// Bytes of a stretch, if the open file has any.
    fn stretch(&self) -> Option<u64> {
        let large = self.large.as_ref().filter(|large| self.own_segment && large.layout == Some(Layout::Paged))?;
        Some((large.size / STRETCHES_MAX).next_power_of_two().max(STRETCH))
    }

    fn step_over(&mut self, count: usize) {
        if let Some(large) = &mut self.large {
            large.seen += count;
            large.start = large.seen;
            large.done += count as u64;
        }
    }

    fn cut_large(&mut self, last: bool) -> Result<()> {
        let Some(large) = &mut self.large else { return Ok(()) };
        while large.start < large.seen {
            let waiting = &large.buffer[large.start..large.seen];
            let length = match large.layout {
                // What was seen is one block, or the end of the file.
                Some(Layout::Paged) => waiting.len(),
                _ => match self.cutters.large[large.class()].next(waiting, last) {
                    Some(length) => length,
                    None => break,
                },
            };
            let id = match (large.key, large.layout) {
                (Some(key), Some(Layout::Paged)) if self.own_segment => {
                    self.sink.page(key, large.done, &waiting[..length])?
                }
                _ => self.sink.chunk(Row::Large, &waiting[..length])?,
            };
            self.draft.chunks[Row::Large as usize].push((id, narrow(length)));
            self.draft.ops.push(Op::Take(Row::Large, length as u64));
            if let Some(sum) = &mut self.sum {
                sum.update(&waiting[..length]);
            }
            large.start += length;
            large.done += length as u64;
        }
        Ok(())
    }

    fn finish_large(&mut self) -> Result<()> {
        let Some(large) = &mut self.large else { return Ok(()) };
        let tail = large.buffer.len() - large.seen;
        let zeros = tail > 0 && is_zero(&large.buffer[large.seen..]);
        if !zeros {
            large.judge();
            large.seen = large.buffer.len();
        }
        self.cut_large(true)?;
        if zeros {
            self.draft.ops.push(Op::Zeros(tail as u64));
        }
        self.large = None;
        Ok(())
    }

    fn end_segment(&mut self) -> Result<()> {
        self.cut_fine(Row::Meta, true)?;
        self.cut_fine(Row::Bundle, true)?;
        self.files = 0;
        let mut draft = std::mem::take(&mut self.draft);
        if draft.is_empty() {
            return Ok(());
        }
        draft.sum = self.sum.as_mut().map(|sum| sum_of(sum, &draft.ops.finished()));
        self.sink.draft(draft)
    }
}

impl Large {
    fn new(size: u64, key: Option<FileKey>) -> Self {
        Large { size, key, layout: None, buffer: Vec::new(), start: 0, seen: 0, done: 0 }
    }
    /// Where in the file `seen` is.
    fn at(&self) -> u64 {
        self.done + (self.seen - self.start) as u64
    }
    /// Judges by the first block that is not all zeros, if it has come. The answer is whether it has.
    fn decide(&mut self) -> bool {
        let head = self.buffer.get(self.seen..self.seen + BLOCK);
        let told = head.is_some_and(|head| !is_zero(head));
        if told {
            self.judge();
        }
        told
    }
    /// Decided once.
    fn judge(&mut self) {
        let head = &self.buffer[self.seen..self.buffer.len().min(self.seen + BLOCK)];
        let at = self.at();
        self.layout.get_or_insert_with(|| Layout::of(head, at, self.size));
    }
    /// Class of its cutter.
    fn class(&self) -> usize {
        Sizes::class_for(self.layout.unwrap_or(Layout::Flowing), self.size)
    }
    /// Length of blocks, and of the next one.
    fn blocks(&self) -> (u64, u64) {
        match self.layout {
            // A file that begins with a hole meets its pages anywhere.
            Some(Layout::Paged) => {
                let block = page_block(self.size) as u64;
                (block, block - self.at() % block)
            }
            _ => (BLOCK as u64, BLOCK as u64),
        }
    }
    /// Length of the next block, and whether it is all zeros; `None` if it has not come whole yet.
    fn next_block(&self) -> Option<(usize, bool)> {
        let length = self.blocks().1 as usize;
        self.buffer.get(self.seen..self.seen + length).map(|next| (length, is_zero(next)))
    }
}

/// What headers promise with one more file. Whoever writes them pays nothing for a size: without a bound it would be paid for here, in
/// segments of holes, in days of waiting, or with a snapshot that nobody opens again.
fn with_promise(sum: u64, path: &[u8], size: u64) -> Result<u64> {
    let name = path.escape_ascii();
    if size > FILE_MAX {
        return Err(too_large(&format!("the file {name} claims to have {size} bytes; at most 64 TiB are stored")));
    }
    let sum = sum.checked_add(size).filter(|sum| *sum <= TREE_MAX);
    sum.ok_or_else(|| too_large(&format!("with {name} all files claim more than the 256 TiB that are stored")))
}

/// What is not stored, for its size.
pub(crate) fn too_large(why: &str) -> Error {
    Error::new(Kind::Refused, "stream.too_large", why)
        .advice("make files that claim far more bytes than they hold smaller, or remove them")
}

/// Some well-mixed bits of a name: FNV-1a, and a multiplication that carries its last bytes upwards; nothing
/// secret hangs on them.
fn name_word(path: &[u8]) -> u64 {
    let hash =
        path.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// Sum of a segment: over the bytes it takes, then over its operations; holes cost nothing.
pub(crate) fn sum_of(taken: &mut Summer, ops: &[u8]) -> SegmentSum {
    taken.update(ops);
    SegmentSum(taken.sum())
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).expect("chunks are at most 16 MiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_chunk::RootKey;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    fn id(plain: &[u8]) -> ChunkId {
        ChunkId(Sha256::digest(plain).into())
    }

    /// What was told, in order.
    #[derive(Default)]
    struct Told(Vec<String>);

    impl Sink for Told {
        fn chunk(&mut self, row: Row, plain: &[u8]) -> Result<ChunkId> {
            let id = id(plain);
            self.0.push(format!("{row:?} {id:?} {}", plain.len()));
            Ok(id)
        }
        fn page(&mut self, file: FileKey, at: u64, plain: &[u8]) -> Result<ChunkId> {
            let id = id(plain);
            self.0.push(format!("page {file:?} {at} {id:?} {}", plain.len()));
            Ok(id)
        }
        fn file(&self, path: &[u8]) -> FileKey {
            FileKey([path[0]; 16])
        }
        fn draft(&mut self, draft: Draft) -> Result<()> {
            let sum = draft.sum.map(|sum| sum.0);
            self.0.push(format!("draft {:?} {:?} {sum:?}", draft.ops.finished(), draft.file));
            Ok(())
        }
    }

    #[derive(Clone, Debug)]
    enum Stretch {
        Zeros(u64),
        Data(u64, u8),
        Pages(u64),
    }

    fn stretch() -> impl Strategy<Value = Stretch> {
        prop_oneof![
            (0u64..300_000).prop_map(Stretch::Zeros),
            (0u64..40).prop_map(|pages| Stretch::Zeros(pages << 20)),
            (1u64..200_000, any::<u8>()).prop_map(|(length, seed)| Stretch::Data(length, seed)),
            (1u64..60).prop_map(Stretch::Pages),
        ]
    }

    fn bytes(stretch: &Stretch) -> Vec<u8> {
        match *stretch {
            Stretch::Zeros(length) => vec![0; length as usize],
            Stretch::Data(length, seed) => crate::tests::noise(u64::from(seed), length as usize),
            Stretch::Pages(count) => {
                let mut pages = crate::tests::noise(count, 8192 * count as usize);
                for page in pages.chunks_mut(8192) {
                    page[12..20].copy_from_slice(&[0x40, 0, 0, 0x10, 0, 0x20, 0x04, 0x20]);
                }
                pages
            }
        }
    }

    /// One file; zeros as such or as bytes.
    fn woven(cutters: &Cutters, stretches: &[Stretch], as_such: bool) -> Vec<String> {
        let mut weaver = Weaver::new(cutters, Told::default()).with_sums();
        let size: usize = stretches.iter().map(|stretch| bytes(stretch).len()).sum();
        weaver.piece(Piece::Open { path: b"f", size: size as u64 }).unwrap();
        for stretch in stretches {
            match stretch {
                Stretch::Zeros(count) if as_such => weaver.zeros(*count).unwrap(),
                _ => bytes(stretch).chunks(70_001).for_each(|part| weaver.piece(Piece::Data(part)).unwrap()),
            }
        }
        weaver.piece(Piece::Close).unwrap();
        weaver.finish().unwrap().0
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
        #[test]
        fn zeros_are_what_they_are_however_they_come(stretches in prop::collection::vec(stretch(), 1..8)) {
            let cutters = Cutters::new(&Keys::derive(&RootKey::generate()));
            prop_assert_eq!(woven(&cutters, &stretches, true), woven(&cutters, &stretches, false));
        }
    }

    #[test]
    fn holes_between_pages_make_no_segments_of_their_own() {
        let cutters = Cutters::new(&Keys::derive(&RootKey::generate()));
        let pages = bytes(&Stretch::Pages(64));
        let size = 256 << 30;
        let mut weaver = Weaver::new(&cutters, Told::default());
        weaver.piece(Piece::Open { path: b"f", size }).unwrap();
        weaver.piece(Piece::Data(&pages)).unwrap();
        let hole = (128 << 30) - pages.len() as u64;
        weaver.zeros(hole).unwrap();
        weaver.piece(Piece::Data(&pages)).unwrap();
        weaver.zeros(size - hole - 2 * pages.len() as u64).unwrap();
        weaver.piece(Piece::Close).unwrap();
        let told = weaver.finish().unwrap().0;
        let drafts: Vec<&String> = told.iter().filter(|told| told.starts_with("draft")).collect();
        // The first pages to a round place, the hole in parts of 32 GiB, of which the last goes on to a round place behind the
        // other pages, and the rest.
        assert_eq!(drafts.len(), 1 + 3 + 1 + 4, "{drafts:?}");
        let places = drafts.iter().filter(|draft| draft.contains("Some((")).count();
        assert_eq!(places, drafts.len(), "each is a stretch of the file alone");
    }

    #[test]
    fn more_than_is_stored_is_refused_at_its_header() {
        let cutters = Cutters::new(&Keys::derive(&RootKey::generate()));
        let code = |result: Result<()>| result.map_err(|error| (error.kind(), error.code().to_owned()));
        let refused: Result<(), (Kind, String)> = Err((Kind::Refused, "stream.too_large".to_owned()));
        for size in [FILE_MAX + 1, 1 << 62, u64::MAX] {
            let mut weaver = Weaver::new(&cutters, Told::default());
            let error = weaver.piece(Piece::Open { path: b"\x1bhuge", size }).unwrap_err();
            assert!(error.to_string().contains("\\x1bhuge"), "{error}");
            assert_eq!(code(Err(error)), refused);
        }
        let mut weaver = Weaver::new(&cutters, Told::default());
        for _ in 0..4 {
            weaver.piece(Piece::Open { path: b"f", size: FILE_MAX }).unwrap();
            weaver.piece(Piece::Close).unwrap();
        }
        assert_eq!(code(weaver.piece(Piece::Open { path: b"g", size: 1 })), refused);
    }

    #[test]
    fn a_draft_weighs_what_it_takes() {
        let mut draft = Draft::default();
        draft.ops.push(Op::Zeros(SEGMENT_LENGTH));
        assert!(draft.weight() >= size_of::<Draft>(), "{}", draft.weight());
        draft.ops.push(Op::Zeros(u64::MAX));
        assert_eq!(draft.ops.length(), u64::MAX, "a sum that is no number does not wrap");
    }

    #[test]
    fn holes_of_terabytes_take_no_time() {
        let cutters = Cutters::new(&Keys::derive(&RootKey::generate()));
        let mut weaver = Weaver::new(&cutters, Told::default()).with_sums();
        weaver.piece(Piece::Open { path: b"f", size: 4 << 40 }).unwrap();
        weaver.zeros(4 << 40).unwrap();
        weaver.piece(Piece::Close).unwrap();
        let drafts = weaver.finish().unwrap().0;
        assert_eq!(drafts.len(), 128, "one for every 32 GiB");
    }
}
