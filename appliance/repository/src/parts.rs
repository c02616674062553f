//! The parts of a stored tar that listings are made of: pieces that hold whole members and can be outlined alone.
//!
//! Invariants: parts in order make up the stream (of a tree without its end mark); parts of equal names hold
//! equal bytes, in whatever stream and tier they lie.

use crate::{
    excerpt::{Excerpt, Step},
    inner::Inner,
    walk::{Walk, Wanted},
};
use holdfast_model::{
    ChunkId, Error, Result,
    snapshot::{SegmentRef, StreamRef},
    view::From,
};
use sha2::{Digest, Sha256};
use std::{ops::Range, sync::Arc};

/// A part of a stored tar.
#[derive(Clone, Debug)]
pub struct Part {
    /// Equal names mean equal bytes.
    pub name: [u8; 32],
    /// Where it begins in its stream, bytes.
    pub at: u64,
    /// Bytes.
    pub length: u64,
    /// Members.
    pub entries: u64,
    pub(crate) segments: Lies,
}

/// What a part is made of.
#[derive(Clone, Debug)]
pub(crate) enum Lies {
    /// These recipes.
    Here(Vec<SegmentRef>),
    /// All of a stream.
    Whole(Box<StreamRef>),
}

impl Part {
    /// Whether it ends with the end mark of the archive.
    pub fn is_whole(&self) -> bool {
        matches!(self.segments, Lies::Whole(_))
    }

    /// Memory it takes, bytes.
    pub fn weight(&self) -> usize {
        let segments = match &self.segments {
            Lies::Here(segments) => segments.len(),
            Lies::Whole(stream) => stream.segments.len(),
        };
        size_of::<Part>() + segments * size_of::<SegmentRef>()
    }
}

/// Refuses a stream that is no tar of files.
pub(crate) fn need_tar(stream: &StreamRef) -> Result<()> {
    if stream.unsplit || stream.entries == 0 {
        return Err(Error::invalid("stream.unsplit", "the stream is not stored as a tar of files"));
    }
    Ok(())
}

/// The parts of a stream.
pub(crate) async fn of(inner: &Arc<Inner>, stream: &StreamRef, from: From) -> Result<Vec<Part>> {
    need_tar(stream)?;
    if !stream.tree {
        return Ok(vec![whole(stream)]);
    }
    let mut walk = Walk::new(inner, stream.segments.clone(), from);
    let mut parts = Vec::new();
    let mut group: Vec<SegmentRef> = Vec::new();
    let mut at = 0u64;
    while let Some(segment) = walk.leaf().await? {
        if group.first().is_some_and(|first| first.witness.is_none() || first.witness != segment.witness) {
            at = close(&mut parts, std::mem::take(&mut group), at);
        }
        group.push(segment);
    }
    close(&mut parts, group, at);
    Ok(parts)
}

/// Makes a part of a group of segments; the end mark is none.
fn close(parts: &mut Vec<Part>, segments: Vec<SegmentRef>, at: u64) -> u64 {
    let mut name = Sha256::new();
    let (mut length, mut entries) = (0u64, 0u64);
    for segment in &segments {
        // A sum is over what the segment makes; where there is none, its recipe says the same.
        match &segment.sum {
            Some(sum) => name.update(sum.as_bytes()),
            None => name.update(segment.chunk.id.as_bytes()),
        }
        name.update(segment.length.to_le_bytes());
        (length, entries) = (length.saturating_add(segment.length), entries.saturating_add(segment.entries));
    }
    if entries > 0 {
        parts.push(Part { name: name.finalize().into(), at, length, entries, segments: Lies::Here(segments) });
    }
    at.saturating_add(length)
}

fn whole(stream: &StreamRef) -> Part {
    let name = Sha256::new().chain_update(&stream.sha256).chain_update(stream.length.to_le_bytes());
    Part {
        name: name.finalize().into(),
        at: 0,
        length: stream.length,
        entries: stream.entries,
        segments: Lies::Whole(Box::new(stream.clone())),
    }
}

/// Identities of the members of a part, in order, as their source told them; empty where it told none of them all.
pub(crate) async fn identities(inner: &Arc<Inner>, part: &Part, from: From) -> Result<Vec<u64>> {
    let Lies::Here(segments) = &part.segments else { return Ok(Vec::new()) };
    let Some(first) = segments.first() else { return Ok(Vec::new()) };
    let marks = inner.open_recipe(first, from).await?.marks;
    let is_of_all = marks.len() as u64 == part.entries;
    Ok(if is_of_all { marks.iter().map(|mark| mark.identity).collect() } else { Vec::new() })
}

/// A stretch of a stream as the chunks say it: equal answers mean equal bytes, different ones nothing. Reads recipes alone.
pub(crate) async fn fingerprint(
    inner: &Arc<Inner>,
    stream: &StreamRef,
    range: Range<u64>,
    from: From,
) -> Result<[u8; 32]> {
    let mut wanted = Wanted::of(inner, stream, vec![range], from);
    let mut print = Print::default();
    while let Some((segment, stretches)) = wanted.next().await? {
        let recipe = inner.open_recipe(&segment, from).await?;
        print.add(&Excerpt::of(&recipe, &stretches));
    }
    Ok(print.finish())
}

/// Hashes what a stretch is made of; how it is told makes no difference.
#[derive(Default)]
struct Print {
    hash: Sha256,
    last: Option<Slice>,
}

#[derive(Clone, Copy)]
enum Slice {
    Chunk(ChunkId, u64, u64),
    Zeros(u64),
}

impl Print {
    fn add(&mut self, excerpt: &Excerpt) {
        let mut places = [(0usize, 0u64); 3];
        for step in &excerpt.steps {
            let (row, mut count, wanted) = match *step {
                Step::Zeros(count) => {
                    self.push(Slice::Zeros(count));
                    continue;
                }
                Step::Take(row, count) => (row, count, true),
                Step::Skip(row, count) => (row, count, false),
            };
            let (index, within) = &mut places[row as usize];
            while count > 0 {
                // An excerpt uses up exactly the chunks that it names.
                let Some(chunk) = excerpt.chunks[row as usize].get(*index) else { return };
                let part = count.min(u64::from(chunk.length) - *within);
                if wanted {
                    self.push(Slice::Chunk(chunk.id, *within, *within + part));
                }
                (*within, count) = (*within + part, count - part);
                if *within == u64::from(chunk.length) {
                    (*index, *within) = (*index + 1, 0);
                }
            }
        }
    }

    fn push(&mut self, slice: Slice) {
        self.last = Some(match (self.last, slice) {
            (Some(Slice::Zeros(a)), Slice::Zeros(b)) => Slice::Zeros(a + b),
            (Some(Slice::Chunk(a, from, end)), Slice::Chunk(b, begin, to)) if a == b && end == begin => {
                Slice::Chunk(a, from, to)
            }
            (before, slice) => {
                self.write(before);
                slice
            }
        });
    }

    fn write(&mut self, slice: Option<Slice>) {
        match slice {
            Some(Slice::Zeros(count)) => self.hash.update([&[0][..], &count.to_le_bytes()].concat()),
            Some(Slice::Chunk(id, from, to)) => {
                self.hash.update([&[1][..], id.as_bytes(), &from.to_le_bytes(), &to.to_le_bytes()].concat());
            }
            None => {}
        }
    }

    fn finish(mut self) -> [u8; 32] {
        self.write(self.last);
        self.hash.finalize().into()
    }
}
