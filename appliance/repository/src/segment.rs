//! Index segments and reach lists: what a commit added, and what a snapshot needs.
//!
//! ```text
//! | footer of a pack | … | footer of a pack | directory (envelope) | directory length u32 | HFIE |
//! ```
//! A segment holds the sealed footers of its packs as they stand in the packs themselves, so that one pack's rows are
//! read by range and a superseding segment copies them without a key. Invariants: a segment lists only packs that were
//! stored before it; segments it supersedes are void; a footer is taken for a pack's only if it begins with the mark
//! that the sealed directory gives, so that footers cannot be swapped.

use crate::{
    codec::{Reader, malformed, put_varint},
    layout::PackKind,
};
use bytes::Bytes;
use holdfast_chunk::{Envelope, ObjectKind};
use holdfast_model::{PackId, Result, SegmentId};
use std::ops::Range;

const VERSION: u8 = 1;
const END: &[u8; 4] = b"HFIE";
/// Bytes after the directory.
pub(crate) const TRAILER: u64 = 8;
/// Superseding and rebuilding close a segment at this size, bytes, so that it can be sent again cheaply.
pub(crate) const SEGMENT_FULL: usize = 16 << 20;
/// Where the salt of a sealed footer lies: random, and no two are alike.
const MARK: Range<usize> = 8..16;

/// A pack with its size, as reach lists name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackName {
    pub(crate) kind: PackKind,
    pub(crate) id: PackId,
    pub(crate) size: u64,
}

/// What tells one sealed footer from all others.
pub(crate) type Mark = [u8; 8];

/// The mark of a sealed footer.
pub(crate) fn mark_of(footer: &[u8]) -> Result<Mark> {
    footer.get(MARK).and_then(|mark| mark.try_into().ok()).ok_or_else(malformed)
}

/// A pack with its sealed footer, on its way into a segment.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) name: PackName,
    pub(crate) footer: Bytes,
}

/// A pack as a directory lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: PackName,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) mark: Mark,
}

/// The sealed end of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) supersedes: Vec<SegmentId>,
    pub(crate) packs: Vec<Listed>,
}

impl Directory {
    /// Lays blocks out one after the other.
    pub(crate) fn of(supersedes: Vec<SegmentId>, blocks: &[Block]) -> Result<Directory> {
        let mut directory = Directory { supersedes, packs: Vec::with_capacity(blocks.len()) };
        let mut offset = 0u32;
        for block in blocks {
            let length = u32::try_from(block.footer.len()).map_err(|_| malformed())?;
            directory.packs.push(Listed { name: block.name, offset, length, mark: mark_of(&block.footer)? });
            offset = offset.checked_add(length).ok_or_else(malformed)?;
        }
        Ok(directory)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.supersedes.len() as u64);
        for id in &self.supersedes {
            out.extend_from_slice(id.as_bytes());
        }
        put_varint(&mut out, self.packs.len() as u64);
        for pack in &self.packs {
            put_name(&mut out, &pack.name);
            put_varint(&mut out, u64::from(pack.length));
            out.extend_from_slice(&pack.mark);
        }
        out
    }

    /// `blocks` are the bytes before the directory; the packs must fill them.
    pub(crate) fn decode(bytes: &[u8], blocks: u64) -> Result<Self> {
        let (directory, length) = Directory::read(bytes)?;
        if u64::from(length) == blocks { Ok(directory) } else { Err(malformed()) }
    }

    /// The directory and the bytes that its footers take.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, u32)> {
        let mut reader = versioned(bytes)?;
        let mut directory = Directory::default();
        for _ in 0..reader.count(32)? {
            directory.supersedes.push(SegmentId(reader.array()?));
        }
        let mut offset = 0u32;
        for _ in 0..reader.count(43)? {
            let (name, length) = (take_name(&mut reader)?, reader.u32()?);
            directory.packs.push(Listed { name, offset, length, mark: reader.array()? });
            offset = offset.checked_add(length).ok_or_else(malformed)?;
        }
        reader.end()?;
        Ok((directory, offset))
    }
}

/// A whole segment.
pub(crate) fn assemble(envelope: Envelope<'_>, directory: &Directory, blocks: &[Block]) -> Result<Bytes> {
    let sealed = envelope.seal(ObjectKind::Segment, "", &directory.encode())?;
    let length: usize = blocks.iter().map(|block| block.footer.len()).sum();
    let mut out = Vec::with_capacity(length + sealed.len() + TRAILER as usize);
    for block in blocks {
        out.extend_from_slice(&block.footer);
    }
    out.extend_from_slice(&sealed);
    out.extend_from_slice(&u32::try_from(sealed.len()).map_err(|_| malformed())?.to_le_bytes());
    out.extend_from_slice(END);
    Ok(out.into())
}

/// Where the directory of a segment of `size` bytes lies, from its last eight bytes.
pub(crate) fn directory_range(trailer: &[u8], size: u64) -> Result<Range<u64>> {
    let mut reader = Reader::new(trailer);
    let length = u64::from(u32::from_le_bytes(reader.array()?));
    if reader.take(4)? != END {
        return Err(malformed());
    }
    let end = size.checked_sub(TRAILER).ok_or_else(malformed)?;
    Ok(end.checked_sub(length).ok_or_else(malformed)?..end)
}

/// Opens a directory that lies behind `blocks` bytes.
pub(crate) fn open_directory(envelope: Envelope<'_>, sealed: &[u8], blocks: u64) -> Result<Directory> {
    Directory::decode(&envelope.open(ObjectKind::Segment, "", sealed)?, blocks)
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
