//! Packs: many sealed chunks in one object, with a sealed table of contents at the end.
//!
//! ```text
//! | HFPK | ver 1 | kind 1 | zero 2 | chunk … chunk | footer (envelope) | footer length u32 | HFPE |
//! ```
//! Invariants: the name is the SHA-256 of all bytes; chunks lie back to back from byte 8 in the order
//! of the footer, so offsets are implied; the index can be rebuilt from footers alone.

use crate::{
    codec::{Reader, malformed, put_varint},
    layout::PackKind,
};
use bytes::Bytes;
use holdfast_chunk::{ChunkKind, Envelope, ObjectKind};
use holdfast_model::{ChunkId, PackId, Result};

const MAGIC: &[u8; 4] = b"HFPK";
const END: &[u8; 4] = b"HFPE";
const VERSION: u8 = 1;
/// Bytes before the first chunk.
pub(crate) const HEADER: u32 = 8;
/// Bytes after the footer.
pub(crate) const TRAILER: u64 = 8;

/// One chunk in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) kind: ChunkKind,
    pub(crate) id: ChunkId,
    pub(crate) length: u32,
    pub(crate) sealed: u32,
    /// The chunk whose plaintext this one is compressed against; never itself a delta.
    pub(crate) base: Option<ChunkId>,
}

/// Set in the kind byte of a row whose base follows.
const BASED: u8 = 0x80;

/// A pack being filled.
pub(crate) struct Builder {
    kind: PackKind,
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

/// A pack ready to be stored.
pub(crate) struct Finished {
    pub(crate) kind: PackKind,
    pub(crate) id: PackId,
    pub(crate) bytes: Bytes,
    /// The sealed footer alone, for the index.
    pub(crate) footer: Bytes,
    pub(crate) rows: Vec<Row>,
}

impl Builder {
    pub(crate) fn new(kind: PackKind) -> Self {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[VERSION, kind as u8, 0, 0]);
        Builder { kind, bytes, rows: Vec::new() }
    }
    /// `full` is the size at which the pack will be closed: room is made once, not by doubling.
    pub(crate) fn push(&mut self, row: Row, sealed: &[u8], full: usize) {
        if self.rows.is_empty() {
            self.bytes.reserve(full + full / 8);
        }
        self.bytes.extend_from_slice(sealed);
        self.rows.push(row);
    }
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    pub(crate) fn kind(&self) -> PackKind {
        self.kind
    }
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }
    /// Closes the pack: footer, length, name.
    pub(crate) fn finish(mut self, envelope: Envelope<'_>) -> Result<Finished> {
        let mut body = Vec::with_capacity(self.rows.len() * 40 + 8);
        put_rows(&mut body, &self.rows);
        let footer = envelope.seal(ObjectKind::Footer, "", &body)?;
        self.bytes.extend_from_slice(&footer);
        let length = u32::try_from(footer.len()).map_err(|_| malformed())?;
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(END);
        let id = PackId(holdfast_chunk::sha256(&self.bytes));
        Ok(Finished { kind: self.kind, id, bytes: Bytes::from(self.bytes), footer: footer.into(), rows: self.rows })
    }
}

/// Length of the footer, from the last eight bytes of a pack of `size` bytes.
pub(crate) fn footer_length(trailer: &[u8], size: u64) -> Result<u64> {
    let mut reader = Reader::new(trailer);
    let length = u64::from(u32::from_le_bytes(reader.array()?));
    if reader.take(4)? != END || length + TRAILER + u64::from(HEADER) > size {
        return Err(malformed());
    }
    Ok(length)
}

/// The chunks of a pack, from its sealed footer.
pub(crate) fn open_footer(envelope: Envelope<'_>, footer: &[u8]) -> Result<Vec<Row>> {
    let body = envelope.open(ObjectKind::Footer, "", footer)?;
    let mut reader = Reader::new(&body);
    let rows = take_rows(&mut reader)?;
    reader.end()?;
    Ok(rows)
}

/// Tells the ids in a sealed footer, in pack order, without keeping its rows.
pub(crate) fn each_id(envelope: Envelope<'_>, footer: &[u8], mut tell: impl FnMut(&ChunkId)) -> Result<()> {
    let body = envelope.open(ObjectKind::Footer, "", footer)?;
    let mut reader = Reader::new(&body);
    for _ in 0..reader.count(35)? {
        tell(&take_row(&mut reader)?.id);
    }
    reader.end()
}

/// Writes rows.
pub(crate) fn put_rows(out: &mut Vec<u8>, rows: &[Row]) {
    put_varint(out, rows.len() as u64);
    for row in rows {
        out.push(row.kind as u8 | row.base.map_or(0, |_| BASED));
        out.extend_from_slice(row.id.as_bytes());
        put_varint(out, u64::from(row.length));
        put_varint(out, u64::from(row.sealed));
        if let Some(base) = &row.base {
            out.extend_from_slice(base.as_bytes());
        }
    }
}

/// Reads rows.
pub(crate) fn take_rows(reader: &mut Reader<'_>) -> Result<Vec<Row>> {
    let count = reader.count(35)?;
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        rows.push(take_row(reader)?);
    }
    Ok(rows)
}

fn take_row(reader: &mut Reader<'_>) -> Result<Row> {
    let word = reader.byte()?;
    let kind = chunk_kind(word & !BASED)?;
    let id = ChunkId(reader.array()?);
    let (length, sealed) = (reader.u32()?, reader.u32()?);
    let base = if word & BASED == 0 { None } else { Some(ChunkId(reader.array()?)) };
    Ok(Row { kind, id, length, sealed, base })
}

fn chunk_kind(byte: u8) -> Result<ChunkKind> {
    match byte {
        1 => Ok(ChunkKind::Data),
        2 => Ok(ChunkKind::Meta),
        3 => Ok(ChunkKind::Recipe),
        _ => Err(malformed()),
    }
}
