//! Segments of a stream one after the other, through branches: the one way to all of them.
//!
//! Invariant: memory is bounded by one branch per level; a branch is told before its segments, and opened
//! only when the one who walks goes on.

use crate::{branch, inner::Inner, recipe::Placed, threads::blocking};
use bytes::Bytes;
use holdfast_chunk::ChunkKind;
use holdfast_model::{
    Error, Kind, Result,
    snapshot::{ChunkRef, SegmentRef, StreamRef},
    view::From,
};
use std::{ops::Range, sync::Arc};

/// More levels than any honest stream has.
const LEVELS_MAX: usize = 8;

/// A walk over all segments of a list.
pub(crate) struct Walk {
    inner: Arc<Inner>,
    from: From,
    levels: Vec<std::vec::IntoIter<SegmentRef>>,
    /// A branch that was told and not opened yet.
    ahead: Option<SegmentRef>,
}

impl Walk {
    /// Begins a walk; branches are read from the tier given.
    pub(crate) fn new(inner: &Arc<Inner>, segments: Vec<SegmentRef>, from: From) -> Walk {
        Walk { inner: Arc::clone(inner), from, levels: vec![segments.into_iter()], ahead: None }
    }

    /// The next segment or branch.
    pub(crate) async fn next(&mut self) -> Result<Option<SegmentRef>> {
        if let Some(branch) = self.ahead.take() {
            if self.levels.len() >= LEVELS_MAX {
                return Err(Error::new(Kind::Corrupt, "record.malformed", "a stored stream branches without end"));
            }
            let list = self.inner.open_branch(&branch, self.from).await?;
            self.levels.push(list.into_iter());
        }
        while let Some(level) = self.levels.last_mut() {
            match level.next() {
                Some(segment) => {
                    self.ahead = segment.branch.then_some(segment);
                    return Ok(Some(segment));
                }
                None => drop(self.levels.pop()),
            }
        }
        Ok(None)
    }

    /// Does not go into the branch that was told last.
    pub(crate) fn pass_over(&mut self) {
        self.ahead = None;
    }

    /// The next segment that is a recipe.
    pub(crate) async fn leaf(&mut self) -> Result<Option<SegmentRef>> {
        while let Some(segment) = self.next().await? {
            if !segment.branch {
                return Ok(Some(segment));
            }
        }
        Ok(None)
    }
}

/// A walk that goes into those segments alone of which something is wanted.
pub(crate) struct Wanted {
    walk: Walk,
    /// Where the next segment begins in the stream.
    begin: u64,
    ranges: Vec<Range<u64>>,
    /// The first range that is not behind.
    next: usize,
}

impl Wanted {
    /// Begins a walk to stretches of a stream that rise and do not overlap.
    pub(crate) fn of(inner: &Arc<Inner>, stream: &StreamRef, ranges: Vec<Range<u64>>, from: From) -> Wanted {
        Wanted { walk: Walk::new(inner, stream.segments.clone(), from), begin: 0, ranges, next: 0 }
    }

    /// The next segment of which something is wanted, and what: stretches from its own beginning.
    pub(crate) async fn next(&mut self) -> Result<Option<(SegmentRef, Vec<Range<u64>>)>> {
        while self.next < self.ranges.len() {
            let Some(segment) = self.walk.next().await? else { break };
            let (begin, end) = (self.begin, self.begin.saturating_add(segment.length));
            let rest = &self.ranges[self.next..];
            let touching = rest.iter().take_while(|range| range.start < end).count();
            if touching == 0 {
                self.walk.pass_over();
                self.begin = end;
            } else if !segment.branch {
                let inside = |range: &Range<u64>| range.start.max(begin) - begin..range.end.min(end) - begin;
                let own: Vec<_> = rest[..touching].iter().map(inside).collect();
                self.next += rest.iter().take_while(|range| range.end <= end).count();
                self.begin = end;
                return Ok(Some((segment, own)));
            }
        }
        Ok(None)
    }
}

impl Inner {
    async fn open_branch(self: &Arc<Self>, segment: &SegmentRef, from: From) -> Result<Vec<SegmentRef>> {
        let body = self.open_record(&segment.chunk, from).await?;
        let length = segment.length;
        blocking(move || branch::decode(&body, length)).await
    }

    /// Plaintext of a recipe or a branch.
    pub(crate) async fn open_record(self: &Arc<Self>, chunk: &ChunkRef, from: From) -> Result<Bytes> {
        let ChunkRef { id, length, pack, offset, sealed } = *chunk;
        let mut placed = Placed { id, length, pack, offset, sealed, base: None };
        self.settle_one(&mut placed, from).await;
        let opened = self.open_chunks(ChunkKind::Recipe, &[placed], from).await?;
        opened.into_iter().next().ok_or_else(|| Error::bug("a recipe gave no bytes"))
    }
}
