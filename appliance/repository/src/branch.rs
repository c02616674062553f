//! Branches: chunks that list segments, for streams with more of them than a manifest should hold.
//!
//! Invariants: where a list is cut depends on the ids of its segments alone, so that an unchanged run gives
//! unchanged branches; what a branch says of its length is what its segments say in sum.

use crate::codec::{Reader, malformed, put_varint};
use holdfast_model::{
    ChunkId, FileKey, PackId, Result, SegmentSum, Witness,
    snapshot::{ChunkRef, SegmentRef},
};
use std::collections::HashMap;

/// Unlike that of recipes, so that neither passes for the other.
const VERSION: u8 = 0x41;
/// Longer lists are made shorter.
pub(crate) const LISTED_MAX: usize = 64;
/// A branch lists at least (but for the last of a list) and at most so many.
const LEAST: usize = 32;
const MOST: usize = 512;
/// One segment in so many may end a branch.
const ENDS: u8 = 64;

const HAS_SUM: u8 = 1;
const HAS_WITNESS: u8 = 2;
const HAS_FILE: u8 = 4;
const IS_BRANCH: u8 = 8;

/// Cuts a list into the branches that will stand for it.
pub(crate) fn groups(segments: &[SegmentRef]) -> impl Iterator<Item = &[SegmentRef]> {
    let mut rest = segments;
    std::iter::from_fn(move || {
        let ends = |(place, segment): &(usize, &SegmentRef)| {
            place + 1 >= MOST || (place + 1 >= LEAST && segment.chunk.id.as_bytes()[0].is_multiple_of(ENDS))
        };
        let length = rest.iter().enumerate().find(ends).map_or(rest.len(), |(place, _)| place + 1);
        let (group, later) = rest.split_at(length);
        rest = later;
        (!group.is_empty()).then_some(group)
    })
}

/// The segment that stands for a group; its chunk is put in when it has a place.
pub(crate) fn standing_for(group: &[SegmentRef], chunk: ChunkRef) -> SegmentRef {
    SegmentRef {
        chunk,
        branch: true,
        length: group.iter().map(|segment| segment.length).sum(),
        entries: group.iter().map(|segment| segment.entries).sum(),
        sum: None,
        witness: None,
        file: None,
        at: 0,
    }
}

/// Writes a branch.
pub(crate) fn encode(group: &[SegmentRef]) -> Vec<u8> {
    let mut packs: Vec<PackId> = Vec::new();
    let mut numbers: HashMap<PackId, u64> = HashMap::new();
    let mut body = Vec::with_capacity(group.len() * 120);
    for segment in group {
        let number = *numbers.entry(segment.chunk.pack).or_insert_with(|| {
            packs.push(segment.chunk.pack);
            packs.len() as u64 - 1
        });
        put_segment(&mut body, segment, number);
    }
    let mut out = vec![VERSION];
    put_varint(&mut out, packs.len() as u64);
    for pack in &packs {
        out.extend_from_slice(pack.as_bytes());
    }
    out.extend_from_slice(&body);
    out
}

/// Reads a branch that must make up `length` stream bytes.
pub(crate) fn decode(bytes: &[u8], length: u64) -> Result<Vec<SegmentRef>> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != VERSION {
        return Err(malformed());
    }
    let count = reader.count(32)?;
    let packs = (0..count).map(|_| Ok(PackId(reader.array()?))).collect::<Result<Vec<_>>>()?;
    let mut segments = Vec::new();
    let mut sum = 0u64;
    while !reader.is_empty() {
        let segment = take_segment(&mut reader, &packs)?;
        sum = sum.checked_add(segment.length).ok_or_else(malformed)?;
        segments.push(segment);
    }
    if sum == length { Ok(segments) } else { Err(malformed()) }
}

fn put_segment(out: &mut Vec<u8>, segment: &SegmentRef, pack: u64) {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let SegmentRef { chunk, branch, length, entries, sum, witness, file, at } = segment;
    out.extend_from_slice(chunk.id.as_bytes());
    put_varint(out, u64::from(chunk.length));
    put_varint(out, pack);
    out.extend_from_slice(&chunk.offset.to_le_bytes());
    put_varint(out, u64::from(chunk.sealed));
    out.push(
        flag(sum.is_some(), HAS_SUM)
            | flag(witness.is_some(), HAS_WITNESS)
            | flag(file.is_some(), HAS_FILE)
            | flag(*branch, IS_BRANCH),
    );
    put_varint(out, *length);
    put_varint(out, *entries);
    sum.iter().for_each(|sum| out.extend_from_slice(sum.as_bytes()));
    witness.iter().for_each(|witness| out.extend_from_slice(witness.as_bytes()));
    if let Some(file) = file {
        out.extend_from_slice(file.as_bytes());
        put_varint(out, *at);
    }
}

fn take_segment(reader: &mut Reader<'_>, packs: &[PackId]) -> Result<SegmentRef> {
    let id = ChunkId(reader.array()?);
    let chunk_length = reader.u32()?;
    let pack = *usize::try_from(reader.varint()?).ok().and_then(|n| packs.get(n)).ok_or_else(malformed)?;
    let offset = u32::from_le_bytes(reader.array()?);
    let sealed = reader.u32()?;
    let flags = reader.byte()?;
    if offset.checked_add(sealed).is_none() || flags >= IS_BRANCH << 1 {
        return Err(malformed());
    }
    let (length, entries) = (reader.varint()?, reader.varint()?);
    // Nobody writes one; a walk through many that add nothing would not end.
    if length == 0 {
        return Err(malformed());
    }
    let sum = if flags & HAS_SUM == 0 { None } else { Some(SegmentSum(reader.array()?)) };
    let witness = if flags & HAS_WITNESS == 0 { None } else { Some(Witness(reader.array()?)) };
    let (file, at) = if flags & HAS_FILE == 0 { (None, 0) } else { (Some(FileKey(reader.array()?)), reader.varint()?) };
    let chunk = ChunkRef { id, length: chunk_length, pack, offset, sealed };
    Ok(SegmentRef { chunk, branch: flags & IS_BRANCH != 0, length, entries, sum, witness, file, at })
}
