//! One group of a tree on its way in: what the source sent and what is stored already, woven into one stretch of tar.
//!
//! Invariants: the stretch holds whole entries only, in the order of the group; what the source had to be asked for again takes
//! the stretch with it; nothing is known of a group that was given up.

use super::{
    broken,
    source::{Load, Part},
};
use crate::{
    Piece, PieceStream, assemble::ZEROS, ingest::Intake, inner::Inner, reader::read_stretches, threads::blocking,
    weave::Weaver,
};
use bytes::Bytes;
use futures::StreamExt;
use holdfast_model::{Error, Problem, Result, Witness, snapshot::SegmentRef, view::From};
use holdfast_tar::{Piece as TarPiece, Splitter, write::padding};
use holdfast_tree::{BATCH, Frame, Mark, Request};
use std::{collections::HashMap, ops::Range, sync::Arc};
use tokio::sync::mpsc;

/// Batches of pieces waiting for the thread that weaves.
const LOADS: usize = 2;
/// Pieces in one batch at most: headers of empty files are small.
const PIECES: usize = 1024;

/// Where an entry comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// From the tree's source.
    Fresh,
    /// From the parent's group of this number, this stretch of it.
    Stored { known: usize, range: Range<u64> },
    /// It cannot be read and is left out.
    Left(Problem),
}

/// A group to be stored.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) group: usize,
    pub(super) witness: Witness,
    pub(super) marks: Vec<Mark>,
    /// One for each mark.
    pub(super) sources: Vec<Source>,
    /// What the group most likely was in the parent.
    pub(super) likely: Vec<SegmentRef>,
}

impl Plan {
    /// Numbers of the entries that are asked from the source.
    pub(super) fn fresh(&self) -> Vec<usize> {
        (0..self.sources.len()).filter(|entry| matches!(self.sources[*entry], Source::Fresh)).collect()
    }
    /// Bytes that it takes in memory, about.
    pub(super) fn weight(&self) -> usize {
        self.marks.len() * (size_of::<Mark>() + size_of::<Source>()) + self.likely.len() * size_of::<SegmentRef>()
    }
    /// What is asked from the source, if anything.
    pub(super) fn request(&self) -> Option<Request> {
        let wanted: Vec<bool> = self.sources.iter().map(|source| matches!(source, Source::Fresh)).collect();
        wanted.contains(&true).then_some(Request { group: self.group, wanted })
    }
}

/// What became of a group.
pub(super) enum Grown {
    Whole {
        group: usize,
        segments: Vec<SegmentRef>,
        problems: Vec<Problem>,
    },
    /// What was to come from the cache cannot: it has to be fed again, like this.
    Again(Plan),
    /// The source has to be asked for it again, which is known.
    GivenUp,
}

/// Stretches of a parent's group, one after the other.
pub(super) struct Stored {
    pieces: PieceStream,
    rest: Option<Piece>,
}

impl Stored {
    pub(super) fn new(pieces: PieceStream) -> Stored {
        Stored { pieces, rest: None }
    }
    /// The next piece, of at most `most` bytes.
    async fn next(&mut self, most: u64) -> Result<Piece> {
        let piece = match self.rest.take() {
            Some(piece) => piece,
            None => self.pieces.next().await.ok_or_else(|| Error::bug("a stored group is shorter than it was"))??,
        };
        if piece.len() <= most {
            return Ok(piece);
        }
        Ok(match piece {
            Piece::Bytes(mut bytes) => {
                let part = bytes.split_to(usize::try_from(most).unwrap_or(usize::MAX));
                self.rest = Some(Piece::Bytes(bytes));
                Piece::Bytes(part)
            }
            Piece::Zeros(count) => {
                self.rest = Some(Piece::Zeros(count - most));
                Piece::Zeros(most)
            }
        })
    }
}

/// What the weaving thread gets.
enum Thread {
    Pieces(Vec<Piece>),
    /// The group is whole; without it, it is given up.
    End(Vec<Mark>, Witness),
}

/// How feeding a group ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fed {
    Whole,
    GivenUp,
    Lost,
}

/// Stores one group.
pub(super) async fn grow(
    intake: Intake,
    plan: Arc<Plan>,
    stored: HashMap<usize, Stored>,
    coming: mpsc::UnboundedReceiver<Load>,
) -> Result<Grown> {
    let (thread, loaded) = mpsc::channel(LOADS);
    let inner = intake.inner();
    let weaver = tokio::spawn(blocking(move || weave(intake, loaded)));
    let mut feeder = Feeder {
        inner,
        kept: Vec::with_capacity(plan.marks.len()),
        plan,
        stored,
        coming,
        load: None,
        keeping: None,
        waiting: Vec::new(),
        weight: 0,
        thread,
        problems: Vec::new(),
        steady: true,
    };
    let fed = feeder.feed().await;
    let Feeder { plan, kept, thread, problems, steady, .. } = feeder;
    if matches!(fed, Ok(Fed::Whole)) {
        let witness = if steady { plan.witness } else { Witness(holdfast_runtime::random()) };
        let _ = thread.send(Thread::End(kept, witness)).await;
    }
    drop(thread);
    let woven = weaver.await.unwrap_or_else(|error| Err(Error::bug("weaving a group broke off").caused_by(error)));
    // A weaver that failed is the reason of what failed before it.
    let segments = woven?;
    match (fed?, segments) {
        (Fed::Whole, Some(segments)) => Ok(Grown::Whole { group: plan.group, segments, problems }),
        (Fed::Lost, _) => Ok(Grown::Again(all_fresh(&plan))),
        (Fed::GivenUp, _) => Ok(Grown::GivenUp),
        (Fed::Whole, None) => Err(Error::bug("a group was given up without a reason")),
    }
}

/// The plan without the cache.
fn all_fresh(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for source in &mut plan.sources {
        if matches!(source, Source::Stored { .. }) {
            *source = Source::Fresh;
        }
    }
    plan
}

/// What an entry came to.
type Taken = std::result::Result<(), Fed>;

struct Feeder {
    inner: Arc<Inner>,
    plan: Arc<Plan>,
    stored: HashMap<usize, Stored>,
    coming: mpsc::UnboundedReceiver<Load>,
    /// What is left of the load at hand.
    load: Option<Load>,
    /// Content that is kept, and how many stretches of it are still to be taken.
    keeping: Option<(Stored, usize)>,
    /// Pieces that are handed over together, and their bytes.
    waiting: Vec<Piece>,
    weight: u64,
    thread: mpsc::Sender<Thread>,
    /// Marks of what is in the stretch.
    kept: Vec<Mark>,
    problems: Vec<Problem>,
    /// Whether every entry is in it, as its mark says.
    steady: bool,
}

impl Feeder {
    async fn feed(&mut self) -> Result<Fed> {
        for entry in 0..self.plan.sources.len() {
            let taken = match self.plan.sources[entry].clone() {
                Source::Left(problem) => {
                    self.steady = false;
                    self.problems.push(problem);
                    Ok(())
                }
                Source::Fresh => self.fresh(entry).await?,
                Source::Stored { known, range } => {
                    let fed = self.refeed(entry, known, range).await;
                    fed.map_err(|error| lost(&error))
                }
            };
            if let Err(fed) = taken {
                return Ok(fed);
            }
        }
        self.hand_over().await;
        Ok(Fed::Whole)
    }

    async fn refeed(&mut self, entry: usize, known: usize, range: Range<u64>) -> Result<()> {
        let mut left = range.end - range.start;
        let mark = self.plan.marks[entry];
        let padded = mark.content + padding(mark.content).len() as u64;
        let header = u32::try_from(left.saturating_sub(padded)).map_err(|_| broken("a header has no end"))?;
        while left > 0 {
            let stored = self.stored.get_mut(&known).ok_or_else(|| Error::bug("a stored group was not opened"))?;
            let piece = stored.next(left).await?;
            left -= piece.len();
            self.push(piece).await;
        }
        self.kept.push(Mark { header, ..mark });
        Ok(())
    }

    async fn fresh(&mut self, entry: usize) -> Result<Taken> {
        let header = match self.part().await? {
            Part::Frame(Frame::Begin(header)) => header,
            Part::Frame(Frame::Left(problem)) => {
                self.steady = false;
                self.problems.push(problem);
                return Ok(Ok(()));
            }
            Part::GivenUp => return Ok(Err(Fed::GivenUp)),
            _ => return Err(broken("an entry has no beginning")),
        };
        let length = u32::try_from(header.len()).map_err(|_| broken("a header has no end"))?;
        self.push(Piece::Bytes(header)).await;
        let mut content = 0u64;
        loop {
            let piece = match self.part().await? {
                Part::GivenUp => return Ok(Err(Fed::GivenUp)),
                Part::Kept(segments, range) => {
                    content = grown(content, range.end - range.start)?;
                    if let Err(error) = self.keep(&segments, range).await {
                        return Ok(Err(lost(&error)));
                    }
                    continue;
                }
                Part::Frame(Frame::Content(bytes)) => Piece::Bytes(bytes),
                Part::Frame(Frame::Hole(count)) => Piece::Zeros(count),
                Part::Frame(Frame::End) => return self.entry_ends(entry, None, length, content).await.map(Ok),
                Part::Frame(Frame::Flawed { name, problem }) => {
                    return self.entry_ends(entry, Some((name, problem)), length, content).await.map(Ok);
                }
                Part::Frame(_) => return Err(broken("an entry has no end")),
            };
            content = grown(content, piece.len())?;
            self.push(piece).await;
        }
    }

    /// Takes content from where it is stored: this stretch, and those that the load at hand promises after it in one go.
    async fn keep(&mut self, segments: &Arc<Vec<SegmentRef>>, range: Range<u64>) -> Result<()> {
        let mut left = range.end - range.start;
        let (mut stored, mut promised) = match self.keeping.take() {
            Some(keeping) => keeping,
            None => {
                let ahead = self.load.as_ref().map_or(&[][..], Load::rest);
                let mut ranges = vec![range];
                for part in ahead {
                    match part {
                        Part::Kept(same, next) if Arc::ptr_eq(same, segments) => ranges.push(next.clone()),
                        Part::Frame(Frame::Content(_) | Frame::Hole(_)) => {}
                        _ => break,
                    }
                }
                let pieces = read_stretches(Arc::clone(&self.inner), segments, &ranges, From::Cache);
                (Stored::new(pieces), ranges.len())
            }
        };
        while left > 0 {
            let piece = stored.next(left).await?;
            left -= piece.len();
            self.push(piece).await;
        }
        promised -= 1;
        self.keeping = (promised > 0).then_some((stored, promised));
        Ok(())
    }

    async fn entry_ends(
        &mut self,
        entry: usize,
        flaw: Option<(u64, Problem)>,
        header: u32,
        content: u64,
    ) -> Result<()> {
        self.push(Piece::Bytes(Bytes::from_static(padding(content)))).await;
        let mark = self.plan.marks[entry];
        let as_told = flaw.is_none() && content == mark.content;
        self.steady &= as_told;
        // What is not as its mark says must never be found by it.
        let name = flaw.as_ref().map_or(0, |(name, _)| *name);
        let identity = if as_told {
            mark.identity
        } else if name == mark.identity {
            0
        } else {
            name
        };
        self.kept.push(Mark { identity, header, content });
        self.problems.extend(flaw.map(|(_, problem)| problem));
        Ok(())
    }

    async fn part(&mut self) -> Result<Part> {
        loop {
            if let Some(part) = self.load.as_mut().and_then(Load::next) {
                return Ok(part);
            }
            self.load = Some(self.coming.recv().await.ok_or_else(|| broken("it ended in the middle"))?);
        }
    }

    async fn push(&mut self, piece: Piece) {
        if piece.len() == 0 {
            return;
        }
        if let Piece::Bytes(bytes) = &piece {
            self.weight += bytes.len() as u64;
        }
        self.waiting.push(piece);
        if self.weight >= BATCH as u64 || self.waiting.len() >= PIECES {
            self.hand_over().await;
        }
    }

    async fn hand_over(&mut self) {
        self.weight = 0;
        let pieces = std::mem::take(&mut self.waiting);
        if !pieces.is_empty() {
            // A thread that has ended says why itself.
            let _ = self.thread.send(Thread::Pieces(pieces)).await;
        }
    }
}

/// What was to come from the cache cannot: the source has it too.
fn lost(error: &Error) -> Fed {
    tracing::warn!(error = %error.chain(), "what is unchanged could not be read from the cache; it is read anew");
    Fed::Lost
}

fn grown(content: u64, more: u64) -> Result<u64> {
    content.checked_add(more).ok_or_else(|| broken("content has no end"))
}

/// Weaves a group; none if it was given up. Blocks.
fn weave(intake: Intake, mut loaded: mpsc::Receiver<Thread>) -> Result<Option<Vec<SegmentRef>>> {
    let inner = intake.inner();
    let mut weaver = Weaver::new(&inner.cutters, intake).with_sums();
    let mut splitter = Splitter::new();
    let mut push = |piece: Piece| match piece {
        Piece::Bytes(bytes) => splitter.push(&bytes, &mut |piece| split(&mut weaver, piece)),
        Piece::Zeros(mut count) => {
            while count > 0 {
                let passed = splitter.pass(count);
                weaver.zeros(passed)?;
                let part = if passed == 0 { count.min(ZEROS.len() as u64) } else { 0 };
                splitter.push(&ZEROS[..part as usize], &mut |piece| split(&mut weaver, piece))?;
                count -= passed + part;
            }
            Ok(())
        }
    };
    let (marks, witness) = loop {
        match loaded.blocking_recv() {
            None => return Ok(None),
            Some(Thread::End(marks, witness)) => break (marks, witness),
            Some(Thread::Pieces(pieces)) => pieces.into_iter().try_for_each(&mut push)?,
        }
    };
    let end = splitter.finish(&mut |piece| split(&mut weaver, piece))?;
    let content = marks.iter().try_fold(0u64, |sum, mark| sum.checked_add(mark.content));
    if end.entries != marks.len() as u64 || content != Some(end.content) || end.complete {
        return Err(broken("its contents are not as long as its headers say"));
    }
    weaver.finish()?.group(marks, witness).map(Some)
}

fn split(weaver: &mut Weaver<'_, Intake>, piece: TarPiece<'_>) -> Result<()> {
    match piece {
        TarPiece::Raw(_) => Err(broken("its headers do not make a tar")),
        piece => weaver.piece(piece),
    }
}
