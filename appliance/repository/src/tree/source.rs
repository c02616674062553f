//! Contents as they come from a source, handed to whoever weaves them.
//!
//! Invariants: what is handed on holds its room until it is taken; what was promised as kept is looked up before it is handed
//! on; of a group that has to be asked for again nothing more is handed on.

use super::{
    broken,
    feed::{Plan, Source},
    known::Known,
    spool::{Room, Spool},
};
use crate::Meter;
use futures::StreamExt;
use holdfast_model::{Error, Problem, Result, snapshot::SegmentRef};
use holdfast_tree::{Frame, Frames};
use std::{ops::Range, sync::Arc};
use tokio::sync::mpsc::UnboundedSender;

/// What a part takes in memory besides its bytes, about.
const PART: usize = 96;

/// A part of a group.
pub(super) enum Part {
    Frame(Frame),
    /// Content that lies in this stretch of these segments.
    Kept(Arc<Vec<SegmentRef>>, Range<u64>),
    /// The group will be asked for again; nothing more comes.
    GivenUp,
}

/// Parts with the room that they take.
pub(super) struct Load {
    parts: std::vec::IntoIter<Part>,
    _room: Option<Room>,
}

impl Load {
    /// The next part.
    pub(super) fn next(&mut self) -> Option<Part> {
        self.parts.next()
    }
    /// What comes after it.
    pub(super) fn rest(&self) -> &[Part] {
        self.parts.as_slice()
    }
}

/// Frames of one group after the other.
pub(super) struct Coming<'a> {
    frames: Frames<'a>,
    /// What came with the last batch and belongs to the next group.
    rest: Vec<Frame>,
}

impl<'a> Coming<'a> {
    pub(super) fn new(frames: Frames<'a>) -> Coming<'a> {
        Coming { frames, rest: Vec::new() }
    }

    async fn batch(&mut self) -> Result<Vec<Frame>> {
        match std::mem::take(&mut self.rest) {
            rest if rest.is_empty() => self.frames.next().await.ok_or_else(|| broken("it ended in the middle"))?,
            rest => Ok(rest),
        }
    }
}

/// One group under way.
pub(super) struct Passing {
    plan: Arc<Plan>,
    /// Entries that are still to come, the next one last.
    fresh: Vec<usize>,
    /// Bytes of content of the open entry so far.
    at: Option<u64>,
    /// Entries that broke off, and why.
    broken_off: Vec<(usize, Problem)>,
    /// Whether something was told as kept that cannot be found.
    unknown: bool,
    group: Option<UnboundedSender<Load>>,
}

impl Passing {
    pub(super) fn new(plan: &Arc<Plan>, group: UnboundedSender<Load>) -> Passing {
        let fresh = plan.fresh().into_iter().rev().collect();
        let group = Some(group);
        Passing { plan: Arc::clone(plan), fresh, at: None, broken_off: Vec::new(), unknown: false, group }
    }

    pub(super) fn is_over(&self) -> bool {
        self.fresh.is_empty()
    }

    /// Passes on one batch, up to the end of the group. Whether anybody takes it.
    pub(super) async fn pass_on(
        &mut self,
        coming: &mut Coming<'_>,
        known: &mut Known,
        spool: &Spool,
        meter: &dyn Meter,
    ) -> Result<bool> {
        let mut frames = coming.batch().await?.into_iter();
        let (mut parts, mut moved) = (Vec::with_capacity(frames.len()), 0);
        for frame in frames.by_ref() {
            if let Frame::Begin(bytes) | Frame::Content(bytes) = &frame {
                moved += bytes.len();
            }
            parts.extend(self.part(frame, known).await?);
            if self.is_over() {
                break;
            }
        }
        coming.rest = frames.collect();
        meter.moved(moved as u64);
        self.hand_on(parts, moved, spool).await
    }

    /// What a frame is to whoever weaves; none if nothing is handed on any more.
    async fn part(&mut self, frame: Frame, known: &mut Known) -> Result<Option<Part>> {
        let count = match &frame {
            Frame::Begin(_) => {
                let is_open = self.at.replace(0).is_some();
                return if is_open { Err(broken("an entry has no end")) } else { Ok(Some(Part::Frame(frame))) };
            }
            Frame::End | Frame::Flawed { .. } | Frame::Left(_) => return self.ended(frame),
            Frame::Content(bytes) => bytes.len() as u64,
            Frame::Hole(count) | Frame::Kept { count, .. } => *count,
        };
        let at = self.at.ok_or_else(|| broken("an entry has no beginning"))?;
        self.at = Some(at.checked_add(count).ok_or_else(|| broken("content has no end"))?);
        let Frame::Kept { name, .. } = frame else { return Ok(Some(Part::Frame(frame))) };
        if self.unknown {
            return Ok(None);
        }
        let place = known.kept(name, at, count).await;
        self.unknown = place.is_none();
        Ok(place.map(|(segments, range)| Part::Kept(segments, range)))
    }

    fn ended(&mut self, frame: Frame) -> Result<Option<Part>> {
        let entry = self.fresh.pop().ok_or_else(|| broken("it tells more entries than it was asked for"))?;
        let was_open = self.at.take().is_some();
        match frame {
            Frame::Left(problem) if was_open => {
                self.broken_off.push((entry, problem));
                Ok(None)
            }
            Frame::Left(_) => Ok(Some(Part::Frame(frame))),
            _ if !was_open => Err(broken("an entry has no beginning")),
            _ => Ok(Some(Part::Frame(frame))),
        }
    }

    async fn hand_on(&mut self, parts: Vec<Part>, bytes: usize, spool: &Spool) -> Result<bool> {
        let Some(group) = &self.group else { return Ok(false) };
        if self.unknown || !self.broken_off.is_empty() {
            // Whoever weaves may have ended.
            let _ = group.send(Load { parts: vec![Part::GivenUp].into_iter(), _room: None });
            self.group = None;
            return Ok(true);
        }
        if parts.is_empty() {
            return Ok(true);
        }
        let room = spool.room(bytes + parts.len() * PART).await?;
        let is_taken = group.send(Load { parts: parts.into_iter(), _room: Some(room) }).is_ok();
        if !is_taken {
            self.group = None;
        }
        Ok(is_taken)
    }

    /// How the source is to be asked again, if it has to be.
    pub(super) fn again(self) -> Option<Plan> {
        if !self.unknown && self.broken_off.is_empty() {
            return None;
        }
        let mut plan = Plan::clone(&self.plan);
        for (entry, problem) in self.broken_off {
            plan.sources[entry] = Source::Left(problem);
        }
        Some(plan)
    }
}

/// A source that does not keep its word.
pub(super) fn miscounted() -> Error {
    broken("it did not tell the marks of all groups")
}
