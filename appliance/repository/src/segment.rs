//! Index segments and reach lists: what a commit added, and what a snapshot needs.
//!
//! Invariant: a segment lists only packs that were stored before it; segments it supersedes are void.

use crate::{
    codec::{Reader, malformed, put_varint},
    layout::PackKind,
    pack::{Row, put_rows, take_rows},
};
use holdfast_model::{PackId, Result, SegmentId};

const VERSION: u8 = 1;

/// A pack with its size, as reach lists name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackName {
    pub(crate) kind: PackKind,
    pub(crate) id: PackId,
    pub(crate) size: u64,
}

/// A pack with its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackRows {
    pub(crate) name: PackName,
    pub(crate) rows: Vec<Row>,
}

/// One index segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) supersedes: Vec<SegmentId>,
    pub(crate) packs: Vec<PackRows>,
}

impl Segment {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.supersedes.len() as u64);
        for id in &self.supersedes {
            out.extend_from_slice(id.as_bytes());
        }
        put_varint(&mut out, self.packs.len() as u64);
        for pack in &self.packs {
            put_name(&mut out, &pack.name);
            put_rows(&mut out, &pack.rows);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = versioned(bytes)?;
        let mut segment = Segment::default();
        for _ in 0..reader.count(32)? {
            segment.supersedes.push(SegmentId(reader.array()?));
        }
        for _ in 0..reader.count(35)? {
            let name = take_name(&mut reader)?;
            segment.packs.push(PackRows { name, rows: take_rows(&mut reader)? });
        }
        reader.end()?;
        Ok(segment)
    }
}

/// Writes a reach list.
pub(crate) fn encode_reach(packs: &[PackName]) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_varint(&mut out, packs.len() as u64);
    for pack in packs {
        put_name(&mut out, pack);
    }
    out
}

/// Reads a reach list.
pub(crate) fn decode_reach(bytes: &[u8]) -> Result<Vec<PackName>> {
    let mut reader = versioned(bytes)?;
    let count = reader.count(34)?;
    let packs = (0..count).map(|_| take_name(&mut reader)).collect::<Result<Vec<_>>>()?;
    reader.end()?;
    Ok(packs)
}

fn versioned(bytes: &[u8]) -> Result<Reader<'_>> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? == VERSION { Ok(reader) } else { Err(malformed()) }
}

fn put_name(out: &mut Vec<u8>, name: &PackName) {
    out.push(name.kind as u8);
    out.extend_from_slice(name.id.as_bytes());
    put_varint(out, name.size);
}

fn take_name(reader: &mut Reader<'_>) -> Result<PackName> {
    let kind = PackKind::from_byte(reader.byte()?).ok_or_else(malformed)?;
    Ok(PackName { kind, id: PackId(reader.array()?), size: reader.varint()? })
}
