//! One group of a tree on its way in: what the source sends and what is stored already, woven into one stretch of tar.
//!
//! Invariants: the stretch holds whole entries only, in the order of the group; an entry that breaks off takes the
//! stretch with it, and the next round goes without; nothing is known of a group that was given up.

use super::broken;
use crate::{Piece, PieceStream, assemble::ZEROS, ingest::Intake, threads::blocking, weave::Weaver};
use bytes::Bytes;
use futures::StreamExt;
use holdfast_model::{Error, Problem, Result, Witness, snapshot::SegmentRef};
use holdfast_tar::{Piece as TarPiece, Splitter, write::padding};
use holdfast_tree::{BATCH, Frame, Mark, Request};
use std::{collections::HashMap, ops::Range};
use tokio::sync::mpsc;

/// Batches of frames waiting for a group; sources send at most a megabyte at once.
pub(super) const FRAMES: usize = 4;
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
    /// How many entries are asked from the source.
    pub(super) fn fresh(&self) -> usize {
        self.sources.iter().filter(|source| matches!(source, Source::Fresh)).count()
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
    /// It has to be fed again, like this.
    Again(Plan),
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
enum Load {
    Pieces(Vec<Piece>),
    /// The group is whole; without it, it is given up.
    End(Vec<Mark>, Witness),
}

/// Stores one group.
pub(super) async fn grow(
    intake: Intake,
    plan: Plan,
    stored: HashMap<usize, Stored>,
    frames: mpsc::Receiver<Vec<Frame>>,
) -> Result<Grown> {
    let (loads, loaded) = mpsc::channel(LOADS);
    let weaver = tokio::spawn(blocking(move || weave(intake, loaded)));
    let group = plan.group;
    let mut feeder = Feeder {
        kept: Vec::with_capacity(plan.marks.len()),
        plan,
        stored,
        frames,
        batch: Vec::new().into_iter(),
        waiting: Vec::new(),
        weight: 0,
        loads: Some(loads),
        problems: Vec::new(),
        steady: true,
        again: false,
    };
    let fed = feeder.feed().await;
    let Feeder { plan, kept, loads, problems, steady, again, .. } = feeder;
    let gone = fed.is_err();
    if let (Some(loads), Ok(()), false) = (loads, &fed, again) {
        let witness = if steady { plan.witness } else { Witness(holdfast_runtime::random()) };
        let _ = loads.send(Load::End(kept, witness)).await;
    }
    let woven = weaver.await.unwrap_or_else(|error| Err(Error::bug("weaving a group broke off").caused_by(error)));
    match (fed, woven) {
        (Ok(()), Ok(Some(segments))) => Ok(Grown::Whole { group, segments, problems }),
        (Ok(()), Ok(None)) if again => Ok(Grown::Again(plan)),
        (Ok(()), Ok(None)) => Err(Error::bug("a group was given up without a reason")),
        (_, Err(error)) => Err(error),
        (Err(error), Ok(_)) => {
            debug_assert!(gone);
            Err(error)
        }
    }
}

struct Feeder {
    plan: Plan,
    stored: HashMap<usize, Stored>,
    frames: mpsc::Receiver<Vec<Frame>>,
    /// What is left of the batch at hand.
    batch: std::vec::IntoIter<Frame>,
    /// Pieces that are handed over together, and their bytes.
    waiting: Vec<Piece>,
    weight: u64,
    /// None once the stretch was given up; frames are only counted then.
    loads: Option<mpsc::Sender<Load>>,
    /// Marks of what is in the stretch.
    kept: Vec<Mark>,
    problems: Vec<Problem>,
    /// Whether every entry is in it, as its mark says.
    steady: bool,
    again: bool,
}

impl Feeder {
    async fn feed(&mut self) -> Result<()> {
        for entry in 0..self.plan.sources.len() {
            match self.plan.sources[entry].clone() {
                Source::Left(problem) => {
                    self.steady = false;
                    self.problems.push(problem);
                }
                Source::Fresh => self.fresh(entry).await?,
                Source::Stored { known, range } if self.loads.is_some() => {
                    if let Err(error) = self.refeed(entry, known, range).await {
                        self.ask_instead(&error);
                    }
                }
                Source::Stored { .. } => {}
            }
        }
        self.hand_over().await;
        Ok(())
    }

    /// Gives up the stretch; the plan says how it goes on.
    fn give_up(&mut self) {
        self.loads = None;
        self.again = true;
    }

    /// What was to come from the cache cannot: the source has it too.
    fn ask_instead(&mut self, error: &Error) {
        tracing::warn!(error = %error.chain(), "what is unchanged could not be read from the cache; it is read anew");
        for source in &mut self.plan.sources {
            if matches!(source, Source::Stored { .. }) {
                *source = Source::Fresh;
            }
        }
        self.give_up();
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
            self.load(piece).await;
        }
        self.kept.push(Mark { header, ..mark });
        Ok(())
    }

    async fn fresh(&mut self, entry: usize) -> Result<()> {
        let header = match self.frame().await? {
            Frame::Begin(header) => header,
            Frame::Left(problem) => {
                self.steady = false;
                self.problems.push(problem.clone());
                self.plan.sources[entry] = Source::Left(problem);
                return Ok(());
            }
            _ => return Err(broken("an entry has no beginning")),
        };
        let length = u32::try_from(header.len()).map_err(|_| broken("a header has no end"))?;
        self.load(Piece::Bytes(header)).await;
        let mut content = 0u64;
        loop {
            match self.frame().await? {
                Frame::Begin(_) => return Err(broken("an entry has no end")),
                Frame::Content(bytes) => {
                    content += bytes.len() as u64;
                    self.load(Piece::Bytes(bytes)).await;
                }
                Frame::Hole(count) => {
                    content = content.checked_add(count).ok_or_else(|| broken("a hole has no end"))?;
                    self.load(Piece::Zeros(count)).await;
                }
                Frame::End(problem) => return self.entry_ends(entry, problem, length, content).await,
                Frame::Left(problem) => {
                    self.plan.sources[entry] = Source::Left(problem);
                    self.give_up();
                    return Ok(());
                }
            }
        }
    }

    async fn entry_ends(&mut self, entry: usize, problem: Option<Problem>, header: u32, content: u64) -> Result<()> {
        self.load(Piece::Bytes(Bytes::from_static(padding(content)))).await;
        let mark = self.plan.marks[entry];
        let as_told = problem.is_none() && content == mark.content;
        self.steady &= as_told;
        self.kept.push(Mark { identity: if as_told { mark.identity } else { 0 }, header, content });
        self.problems.extend(problem);
        Ok(())
    }

    async fn frame(&mut self) -> Result<Frame> {
        loop {
            if let Some(frame) = self.batch.next() {
                return Ok(frame);
            }
            self.batch = self.frames.recv().await.ok_or_else(|| broken("it ended in the middle"))?.into_iter();
        }
    }

    async fn load(&mut self, piece: Piece) {
        if self.loads.is_none() || piece.len() == 0 {
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
        if let Some(loads) = self.loads.as_ref().filter(|_| !pieces.is_empty()) {
            // A thread that has ended says why itself.
            let _ = loads.send(Load::Pieces(pieces)).await;
        }
    }
}

/// Weaves a group; none if it was given up. Blocks.
fn weave(intake: Intake, mut loaded: mpsc::Receiver<Load>) -> Result<Option<Vec<SegmentRef>>> {
    let inner = intake.inner();
    let mut weaver = Weaver::new(&inner.cutters, intake).with_sums();
    let mut splitter = Splitter::new();
    let mut sink = |piece: TarPiece<'_>| match piece {
        TarPiece::Raw(_) => Err(broken("its headers do not make a tar")),
        piece => weaver.piece(piece),
    };
    let mut push = |piece: Piece| match piece {
        Piece::Bytes(bytes) => splitter.push(&bytes, &mut sink),
        Piece::Zeros(mut count) => {
            while count > 0 {
                let part = count.min(ZEROS.len() as u64);
                splitter.push(&ZEROS[..part as usize], &mut sink)?;
                count -= part;
            }
            Ok(())
        }
    };
    let (marks, witness) = loop {
        match loaded.blocking_recv() {
            None => return Ok(None),
            Some(Load::End(marks, witness)) => break (marks, witness),
            Some(Load::Pieces(pieces)) => pieces.into_iter().try_for_each(&mut push)?,
        }
    };
    let end = splitter.finish(&mut sink)?;
    let content: u64 = marks.iter().map(|mark| mark.content).sum();
    if end.entries != marks.len() as u64 || end.content != content || end.complete {
        return Err(broken("its contents are not as long as its headers say"));
    }
    weaver.finish()?.group(marks, witness).map(Some)
}
