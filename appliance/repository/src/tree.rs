//! Trees on their way in: groups that are known are taken over, of the others only what changed is read.
//!
//! Invariants: what is stored is the tar of the tree as its source tells it now, whatever the parent was; a group
//! is taken over only with every pack it needs in some tier; a group in which anything was left out or changed while it
//! was read has a witness that never comes again, so that the next backup looks at it anew; a source is read to its end before
//! anything is waited for but room, and what was read of it then is all that a tree is made of.
//!
//! Read next: `known` (what the parent tells), `source` (what comes), `spool` (where it waits), `foreman` (who stores it), `feed` (one
//! group that differs).

mod feed;
mod foreman;
mod known;
mod source;
mod spool;

use crate::{
    Meter,
    ingest::Intake,
    likely::Likely,
    parent::Parent,
    recipe::{Draft, Op},
    session::Desk,
    threads::blocking,
    weave::{sum_of, too_large},
};
use feed::{Grown, Plan};
use foreman::Foreman;
use futures::{StreamExt, stream};
use holdfast_chunk::Summer;
use holdfast_model::{
    Error, Few, Kind, Problem, Result,
    snapshot::{LENGTH_MAX, SegmentRef, StreamRef},
};
use holdfast_tree::{Group, Request, Tree};
use known::Known;
use sha2::{Digest, Sha256};
use source::{Coming, Load, Passing, miscounted};
pub(crate) use spool::Spool;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// Groups whose marks and contents are asked for at once: fewer turns over a long wire.
const ASKED: usize = 32;
/// Groups woven side by side.
const WEAVING: usize = 4;
/// Groups whose recipes are looked at side by side.
const LOOKING: usize = 8;
/// The end mark of a tar, bytes.
const END_MARK: u64 = 1024;

/// Stores a tree while it is read.
pub(crate) async fn store(
    desk: &Arc<Desk>,
    parent: Option<&StreamRef>,
    tree: Box<dyn Tree>,
    meter: Arc<dyn Meter>,
) -> Result<(StreamRef, Vec<Problem>)> {
    let growth = Growth::begin(desk, (parent, false), Arc::new(Spool::flowing()), meter).await;
    growth.foreman.hurry(WEAVING);
    growth.take(tree).await?.store().await
}

/// Reads all that has to be read of a tree; what was read waits in the session's spool as long as there is room.
pub(crate) async fn take(
    desk: &Arc<Desk>,
    ahead: &StreamRef,
    tree: Box<dyn Tree>,
    meter: Arc<dyn Meter>,
) -> Result<TakenTree> {
    let growth = Growth::begin(desk, (Some(ahead), true), Arc::clone(&desk.spool), meter).await;
    growth.take(tree).await
}

/// A tree of which everything was read: its source may go on changing. Dropped, what was not stored is lost.
pub struct TakenTree {
    growth: Growth,
    tree: Box<dyn Tree>,
}

impl TakenTree {
    /// Stores what waits: the same answer and errors as those of [`Session::store_tree`](crate::Session::store_tree).
    pub async fn store(mut self) -> Result<(StreamRef, Vec<Problem>)> {
        self.growth.foreman.hurry(WEAVING);
        loop {
            while let Some(grown) = self.growth.foreman.next().await {
                self.growth.note(grown?);
            }
            let mut lost = std::mem::take(&mut self.growth.lost);
            if lost.is_empty() {
                return self.growth.finish().await;
            }
            // The cache has lost what it had. The source still has it: what has changed meanwhile, it names.
            lost.sort_by_key(|plan| plan.group);
            self.growth.read(&mut *self.tree, lost, false).await?;
        }
    }
}

/// A tree being stored.
struct Growth {
    desk: Arc<Desk>,
    meter: Arc<dyn Meter>,
    groups: Vec<Group>,
    known: Known,
    /// Whether the source told the parent itself, so that it may refer to it.
    may_keep: bool,
    /// What blocks of files were.
    blocks: Option<Arc<Parent>>,
    spool: Arc<Spool>,
    foreman: Foreman<Grown>,
    /// Segments of the groups that are done.
    stored: Vec<Option<Vec<SegmentRef>>>,
    /// Groups that have to be fed again, from the source alone.
    lost: Vec<Plan>,
    problems: Few,
}

impl Growth {
    async fn begin(
        desk: &Arc<Desk>,
        (parent, may_keep): (Option<&StreamRef>, bool),
        spool: Arc<Spool>,
        meter: Arc<dyn Meter>,
    ) -> Growth {
        let known = Known::of(&desk.inner, parent.filter(|parent| parent.tree)).await;
        let blocks = match parent {
            Some(parent) => Some(Parent::of(&desk.inner, parent).await),
            None => None,
        };
        let foreman = Foreman::new(spool.filled());
        Growth {
            desk: Arc::clone(desk),
            meter,
            groups: Vec::new(),
            known,
            may_keep,
            blocks,
            spool,
            foreman,
            stored: Vec::new(),
            lost: Vec::new(),
            problems: Few::default(),
        }
    }

    /// Reads all that has to be read.
    async fn take(mut self, mut tree: Box<dyn Tree>) -> Result<TakenTree> {
        self.groups = tree.groups().await?;
        self.stored = vec![None; self.groups.len()];
        self.take_over().await;
        let differing: Vec<usize> = (0..self.groups.len()).filter(|group| self.stored[*group].is_none()).collect();
        for batch in differing.chunks(ASKED) {
            self.grow(&mut *tree, batch).await?;
        }
        self.problems.extend(tree.finish().await?);
        Ok(TakenTree { growth: self, tree })
    }

    /// Takes the segments of groups whose witness is known, if all that they need is there.
    async fn take_over(&mut self) {
        let desk = &self.desk;
        let known = |(place, group): (usize, &Group)| Some((place, self.known.segments_of(group)?.to_vec()));
        let candidates: Vec<_> = self.groups.iter().enumerate().filter_map(known).collect();
        let looked = stream::iter(candidates).map(|(place, segments)| async move {
            let mut packs = Vec::with_capacity(segments.len());
            for segment in &segments {
                packs.push(match desk.leans_on(segment) {
                    true => None,
                    false => Some(desk.inner.packs_of_segment(segment).await.ok()?),
                });
            }
            Some((place, segments, packs))
        });
        let mut looked = looked.buffer_unordered(LOOKING);
        let mut taken = Vec::new();
        while let Some(found) = looked.next().await {
            // What cannot be looked at is read again.
            let Some((place, segments, packs)) = found else { continue };
            for (segment, packs) in segments.iter().zip(packs) {
                if let Some(packs) = packs {
                    desk.lean_on(segment, packs).await;
                }
            }
            taken.push((place, segments));
        }
        drop(looked);
        for (place, segments) in taken {
            let group = &self.groups[place];
            self.known.took_over(group, place);
            self.meter.known(group.bytes);
            self.stored[place] = Some(segments);
        }
    }

    /// Reads groups that differ.
    async fn grow(&mut self, tree: &mut dyn Tree, batch: &[usize]) -> Result<()> {
        let marks = tree.marks(batch).await?;
        if marks.len() != batch.len() {
            return Err(miscounted());
        }
        let mut plans = Vec::with_capacity(batch.len());
        for (group, marks) in batch.iter().zip(marks) {
            let sources = self.known.sources(*group, &marks).await;
            let likely = self.known.likely(*group, &sources);
            plans.push(Plan { group: *group, witness: self.groups[*group].witness, marks, sources, likely });
        }
        self.read(tree, plans, self.may_keep).await?;
        self.known.pass();
        Ok(())
    }

    /// Reads what some plans want. What breaks off in the middle is left out in another round, what was told as kept and is
    /// not known is asked for as it is. Each round has fewer of both, so there is an end.
    async fn read(&mut self, tree: &mut dyn Tree, mut plans: Vec<Plan>, mut may_keep: bool) -> Result<()> {
        while !plans.is_empty() {
            let requests: Vec<Request> = plans.iter().filter_map(Plan::request).collect();
            let frames = match requests.is_empty() {
                true => stream::empty().boxed(),
                false => tree.read(requests, may_keep).await?,
            };
            let mut coming = Coming::new(frames);
            let mut again = Vec::new();
            for plan in plans {
                again.extend(self.pass_on(&mut coming, Arc::new(plan)).await?);
            }
            (plans, may_keep) = (again, false);
        }
        Ok(())
    }

    /// Hands one group to whoever weaves it. How the source is to be asked for it again, if it has to be.
    async fn pass_on(&mut self, coming: &mut Coming<'_>, plan: Arc<Plan>) -> Result<Option<Plan>> {
        let group = self.weave(&plan).await?;
        let mut passing = Passing::new(&plan, group);
        while !passing.is_over() {
            if !passing.pass_on(coming, &mut self.known, &self.spool, &*self.meter).await? {
                // It has failed or lost what it had: why, it says itself.
                self.gather()?;
            }
        }
        self.gather()?;
        Ok(passing.again())
    }

    /// Has a group woven of what is sent there.
    async fn weave(&mut self, plan: &Arc<Plan>) -> Result<UnboundedSender<Load>> {
        let room = self.spool.room(plan.weight()).await?;
        let stored = self.known.open(&plan.sources);
        let (desk, blocks, meter) = (Arc::clone(&self.desk), self.blocks.clone(), Arc::clone(&self.meter));
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let plan = Arc::clone(plan);
        self.foreman.bring(async move {
            let likely = Likely::of(&desk.inner, &plan.likely).await;
            let intake = Intake::of_group(&desk, blocks, likely, meter);
            let grown = feed::grow(intake, plan, stored, receiver).await;
            drop(room);
            grown
        });
        Ok(sender)
    }

    /// Takes in what is done by now.
    fn gather(&mut self) -> Result<()> {
        while let Some(grown) = self.foreman.at_hand() {
            self.note(grown?);
        }
        Ok(())
    }

    fn note(&mut self, grown: Grown) {
        match grown {
            Grown::Whole { group, segments, problems } => {
                self.stored[group] = Some(segments);
                self.problems.extend(problems);
            }
            Grown::Again(plan) => self.lost.push(plan),
            Grown::GivenUp => {}
        }
    }

    /// Ends the stream.
    async fn finish(mut self) -> Result<(StreamRef, Vec<Problem>)> {
        let mut end = Draft::default();
        end.ops.push(Op::Zeros(END_MARK));
        end.sum = Some(sum_of(&mut Summer::new(), &end.ops.finished()));
        let desk = Arc::clone(&self.desk);
        let end = blocking(move || desk.add_draft(end)).await?;
        let mut segments: Vec<SegmentRef> = std::mem::take(&mut self.stored).into_iter().flatten().flatten().collect();
        segments.push(end);
        let mut hash = Sha256::new();
        for segment in &segments {
            hash.update(segment.sum.ok_or_else(|| Error::bug("a segment of a tree has no sum"))?.as_bytes());
        }
        let stream = StreamRef {
            length: total(segments.iter().map(|segment| segment.length))?,
            entries: total(segments.iter().map(|segment| segment.entries))?,
            segments,
            sha256: hex::encode(hash.finalize()),
            unsplit: false,
            tree: true,
        };
        Ok((stream, self.problems.all()))
    }
}

/// What the numbers of all segments come to; more than a snapshot may have is refused.
fn total(mut numbers: impl Iterator<Item = u64>) -> Result<u64> {
    let sum = numbers.try_fold(0u64, u64::checked_add).filter(|sum| *sum <= LENGTH_MAX);
    sum.ok_or_else(|| too_large("all files together claim more bytes than a snapshot may have"))
}

fn broken(why: &str) -> Error {
    Error::new(Kind::Corrupt, "tree.malformed", format!("the source of files does not keep its word: {why}"))
        .advice("run the backup again; if it happens again, report it")
}
