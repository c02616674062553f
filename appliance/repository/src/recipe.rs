//! Recipes: how a stretch of a stream is put together again from chunks of three kinds and zeros.
//!
//! A stream is a list of recipe segments, each complete in itself: its chunks with where they lie,
//! the operations that take bytes from three rows of chunks (headers, bundles of small files,
//! large files) or make zeros, in stream order, and the marks of the entries of a tree that begin in it.
//! Invariants: the same content at the same places gives the same bytes, so an unchanged stream adds no
//! recipe; reading is bounded.

use crate::codec::{Reader, malformed, put_varint};
use holdfast_chunk::{ChunkKind, cut::CHUNK_MAX, seal::OVERHEAD};
use holdfast_model::{ChunkId, FileKey, PackId, Result, SegmentSum};
use holdfast_tree::Mark;
use std::collections::HashMap;

const VERSION: u8 = 1;
/// No recipe segment rebuilds more than this, bytes: hostile recipes end here.
const STRETCH_MAX: u64 = 64 << 30;
/// Bytes that a mark takes at least.
const MARK_LEAST: usize = 10;
/// No chunk is longer when sealed: what does not shrink is stored as it is.
const SEALED_MAX: usize = CHUNK_MAX + OVERHEAD;

/// A row of chunks that operations take bytes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Row {
    /// Tar headers, padding, trailers.
    Meta = 0,
    /// Small files.
    Bundle = 1,
    /// Large files and plain streams.
    Large = 2,
}

impl Row {
    pub(crate) fn chunk_kind(self) -> ChunkKind {
        match self {
            Row::Meta => ChunkKind::Meta,
            Row::Bundle | Row::Large => ChunkKind::Data,
        }
    }
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// The next bytes of a row.
    Take(Row, u64),
    /// Zero bytes.
    Zeros(u64),
}

impl Op {
    /// Bytes of the stream that it makes.
    pub(crate) fn count(self) -> u64 {
        let (Op::Take(_, count) | Op::Zeros(count)) = self;
        count
    }
}

/// Operations as written; neighbours of one kind melt together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ops {
    done: Vec<u8>,
    last: Option<Op>,
    length: u64,
    taken: u64,
}

impl Ops {
    pub(crate) fn push(&mut self, op: Op) {
        let (Op::Take(_, count) | Op::Zeros(count)) = op;
        if count == 0 {
            return;
        }
        self.length = self.length.saturating_add(count);
        if matches!(op, Op::Take(..)) {
            self.taken = self.taken.saturating_add(count);
        }
        self.last = match (self.last, op) {
            (Some(Op::Take(before, a)), Op::Take(now, b)) if before == now => Some(Op::Take(now, a.saturating_add(b))),
            (Some(Op::Zeros(a)), Op::Zeros(b)) => Some(Op::Zeros(a.saturating_add(b))),
            (before, _) => {
                if let Some(before) = before {
                    put_op(&mut self.done, before);
                }
                Some(op)
            }
        };
    }
    /// Stream bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }
    /// Bytes taken from chunks so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }
    /// Memory of the operations, bytes.
    pub(crate) fn size(&self) -> usize {
        self.done.len() + 8
    }
    /// As they are written into the recipe.
    pub(crate) fn finished(&self) -> Vec<u8> {
        let mut out = self.done.clone();
        if let Some(last) = self.last {
            put_op(&mut out, last);
        }
        out
    }
}

/// A recipe segment whose chunks have no place yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) ops: Ops,
    pub(crate) chunks: [Vec<(ChunkId, u32)>; 3],
    /// Of the group of entries that begins with this segment, all of it.
    pub(crate) marks: Vec<Mark>,
    /// Entries whose headers end in it.
    pub(crate) entries: u64,
    /// The file that it holds a stretch of and nothing else, and where in the file it begins.
    pub(crate) file: Option<(FileKey, u64)>,
    pub(crate) sum: Option<SegmentSum>,
}

impl Draft {
    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }
    /// Memory it takes, roughly, bytes: itself too, for there may be many that hold nothing but zeros.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Draft>() + self.ops.size() + self.chunk_count() * 36 + self.marks.len() * size_of::<Mark>()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.ops.length() == 0
    }
}

/// A chunk with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) id: ChunkId,
    pub(crate) length: u32,
    pub(crate) pack: PackId,
    pub(crate) offset: u32,
    pub(crate) sealed: u32,
    /// The chunk that it is stored as the difference to.
    pub(crate) base: Option<Base>,
}

/// A chunk that others lean on, with its place. It leans on none: no form of it could say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) id: ChunkId,
    pub(crate) length: u32,
    pub(crate) pack: PackId,
    pub(crate) offset: u32,
    pub(crate) sealed: u32,
}

impl Base {
    pub(crate) fn placed(self) -> Placed {
        let Base { id, length, pack, offset, sealed } = self;
        Placed { id, length, pack, offset, sealed, base: None }
    }
}

impl Placed {
    /// As what others lean on; `None` if it leans on one itself.
    pub(crate) fn as_base(self) -> Option<Base> {
        let Placed { id, length, pack, offset, sealed, base } = self;
        base.is_none().then_some(Base { id, length, pack, offset, sealed })
    }
}

/// A recipe segment, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) chunks: [Vec<Placed>; 3],
    pub(crate) ops: Vec<Op>,
    pub(crate) marks: Vec<Mark>,
}

impl Recipe {
    /// Writes a draft, asking `place` for each chunk's place.
    pub(crate) fn encode(draft: &Draft, mut place: impl FnMut(&ChunkId) -> Result<Placed>) -> Result<Vec<u8>> {
        let mut packs = Packs::default();
        let mut body = Vec::with_capacity(draft.chunk_count() * 44 + draft.ops.size());
        for row in &draft.chunks {
            put_varint(&mut body, row.len() as u64);
            for (id, length) in row {
                let at = place(id)?;
                let pack = packs.number(at.pack) << 1 | u64::from(at.base.is_some());
                put_chunk(&mut body, id, *length, (pack, at.offset, at.sealed));
                if let Some(base) = &at.base {
                    let pack = packs.number(base.pack);
                    put_chunk(&mut body, &base.id, base.length, (pack, base.offset, base.sealed));
                }
            }
        }
        let packs = packs.list;
        let mut out = vec![VERSION];
        put_varint(&mut out, packs.len() as u64);
        for pack in &packs {
            out.extend_from_slice(pack.as_bytes());
        }
        out.extend_from_slice(&body);
        let ops = draft.ops.finished();
        put_varint(&mut out, ops.len() as u64);
        out.extend_from_slice(&ops);
        for mark in &draft.marks {
            out.extend_from_slice(&mark.identity.to_le_bytes());
            put_varint(&mut out, u64::from(mark.header));
            put_varint(&mut out, mark.content);
        }
        Ok(out)
    }

    /// Reads a recipe segment; operations that take more than the rows hold are refused.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let packs = take_packs(&mut reader)?;
        let mut chunks: [Vec<Placed>; 3] = Default::default();
        let mut left = [0u64; 3];
        for (row, left) in chunks.iter_mut().zip(&mut left) {
            let count = reader.count(39)?;
            row.reserve_exact(count);
            for _ in 0..count {
                let chunk = take_chunk(&mut reader, &packs)?;
                *left += u64::from(chunk.length);
                row.push(chunk);
            }
        }
        let length = reader.count(1)?;
        let ops = take_ops(reader.take(length)?, left)?;
        let mut marks = Vec::with_capacity(reader.left() / MARK_LEAST);
        while !reader.is_empty() {
            let identity = u64::from_le_bytes(reader.array()?);
            marks.push(Mark { identity, header: reader.u32()?, content: reader.varint()? });
        }
        Ok(Recipe { chunks, ops, marks })
    }

    /// Its operations in the form in which they are written.
    pub(crate) fn ops_as_written(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.ops.iter().for_each(|op| put_op(&mut out, *op));
        out
    }

    /// Bytes of the stream that it makes.
    pub(crate) fn length(&self) -> u64 {
        self.ops.iter().fold(0u64, |sum, op| sum.saturating_add(op.count()))
    }

    /// The packs that a recipe leans on, from its head alone.
    pub(crate) fn packs_of(bytes: &[u8]) -> Result<Vec<PackId>> {
        take_packs(&mut Reader::new(bytes))
    }

    /// All chunks it names, bases too.
    pub(crate) fn packs(&self) -> impl Iterator<Item = Placed> {
        let based = |placed: &Placed| [Some(*placed), placed.base.map(Base::placed)].into_iter().flatten();
        self.chunks.iter().flatten().flat_map(based)
    }
}

/// The packs of a recipe in the order in which they are met.
#[derive(Default)]
struct Packs {
    list: Vec<PackId>,
    numbers: HashMap<PackId, u64>,
}

impl Packs {
    fn number(&mut self, pack: PackId) -> u64 {
        *self.numbers.entry(pack).or_insert_with(|| {
            self.list.push(pack);
            self.list.len() as u64 - 1
        })
    }
}

fn take_packs(reader: &mut Reader<'_>) -> Result<Vec<PackId>> {
    if reader.byte()? != VERSION {
        return Err(malformed());
    }
    let count = reader.count(32)?;
    (0..count).map(|_| Ok(PackId(reader.array()?))).collect()
}

/// Operations that use up exactly what the rows hold.
fn take_ops(bytes: &[u8], mut left: [u64; 3]) -> Result<Vec<Op>> {
    let mut reader = Reader::new(bytes);
    let mut ops = Vec::new();
    let mut total = 0u64;
    while !reader.is_empty() {
        let op = take_op(&mut reader)?;
        let (Op::Take(_, length) | Op::Zeros(length)) = op;
        total = total.checked_add(length).filter(|total| *total <= STRETCH_MAX).ok_or_else(malformed)?;
        if let Op::Take(row, count) = op {
            let left = &mut left[row as usize];
            *left = left.checked_sub(count).ok_or_else(malformed)?;
        }
        ops.push(op);
    }
    if left == [0; 3] { Ok(ops) } else { Err(malformed()) }
}

fn put_chunk(out: &mut Vec<u8>, id: &ChunkId, length: u32, (pack, offset, sealed): (u64, u32, u32)) {
    out.extend_from_slice(id.as_bytes());
    put_varint(out, u64::from(length));
    put_varint(out, pack);
    out.extend_from_slice(&offset.to_le_bytes());
    put_varint(out, u64::from(sealed));
}

/// A chunk, and its base if the lowest bit of the pack's number says so.
fn take_chunk(reader: &mut Reader<'_>, packs: &[PackId]) -> Result<Placed> {
    let (placed, based) = take_place(reader, packs, 1)?;
    if !based {
        return Ok(placed);
    }
    let (base, _) = take_place(reader, packs, 0)?;
    if base.id == placed.id {
        return Err(malformed());
    }
    Ok(Placed { base: base.as_base(), ..placed })
}

fn take_place(reader: &mut Reader<'_>, packs: &[PackId], flags: u32) -> Result<(Placed, bool)> {
    let id = ChunkId(reader.array()?);
    let length = reader.u32()?;
    let word = reader.varint()?;
    let pack = *usize::try_from(word >> flags).ok().and_then(|n| packs.get(n)).ok_or_else(malformed)?;
    let offset = u32::from_le_bytes(reader.array()?);
    let sealed = reader.u32()?;
    if length == 0
        || length as usize > CHUNK_MAX
        || sealed as usize > SEALED_MAX
        || offset.checked_add(sealed).is_none()
    {
        return Err(malformed());
    }
    Ok((Placed { id, length, pack, offset, sealed, base: None }, flags > 0 && word & 1 > 0))
}

/// The kind in the two low bits, the count above.
fn put_op(out: &mut Vec<u8>, op: Op) {
    let (code, count) = match op {
        Op::Take(row, count) => (row as u64, count),
        Op::Zeros(count) => (3, count),
    };
    put_varint(out, (count << 2) | code);
}

fn take_op(reader: &mut Reader<'_>) -> Result<Op> {
    let word = reader.varint()?;
    let count = word >> 2;
    if count == 0 {
        return Err(malformed());
    }
    Ok(match word & 3 {
        0 => Op::Take(Row::Meta, count),
        1 => Op::Take(Row::Bundle, count),
        2 => Op::Take(Row::Large, count),
        _ => Op::Zeros(count),
    })
}
