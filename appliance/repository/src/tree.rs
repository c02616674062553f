//! Trees on their way in: groups that are known are taken over, of the others only what changed is read.
//!
//! Invariants: what is stored is the tar of the tree as its source tells it now, whatever the parent was; a group
//! is taken over only with every pack it needs in some tier; a group in which anything was left out or changed while it
//! was read has a witness that never comes again, so that the next backup looks at it anew.
//!
//! Read next: `known` (what the parent tells), `feed` (one group that differs).

mod feed;
mod known;

use crate::{
    Meter,
    ingest::Intake,
    likely::Likely,
    parent::Parent,
    recipe::{Draft, Op},
    session::Desk,
    threads::blocking,
    weave::sum_of,
};
use feed::{Grown, Plan};
use futures::{StreamExt, stream};
use holdfast_chunk::Summer;
use holdfast_model::{
    Error, Kind, Problem, Result,
    snapshot::{SegmentRef, StreamRef},
};
use holdfast_tree::{Frame, Frames, Group, Request, Tree};
use known::Known;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::{sync::Semaphore, task::JoinSet};

/// Groups whose marks and contents are asked for at once: fewer turns over a long wire.
const ASKED: usize = 32;
/// Groups woven side by side.
const WEAVING: usize = 4;
/// Groups whose recipes are looked at side by side.
const LOOKING: usize = 8;
/// The end mark of a tar, bytes.
const END_MARK: u64 = 1024;

/// Stores a tree.
pub(crate) async fn store(
    desk: &Arc<Desk>,
    parent: Option<&StreamRef>,
    mut tree: Box<dyn Tree>,
    meter: Arc<dyn Meter>,
) -> Result<(StreamRef, Vec<Problem>)> {
    let groups = tree.groups().await?;
    let known = Known::of(&desk.inner, parent.filter(|parent| parent.tree)).await;
    let blocks = match parent {
        Some(parent) => Some(Parent::of(&desk.inner, parent).await),
        None => None,
    };
    let stored = vec![None; groups.len()];
    let mut growth = Growth { desk: Arc::clone(desk), meter, groups, known, blocks, stored, problems: Vec::new() };
    growth.take_over().await;
    let differing: Vec<usize> = (0..growth.groups.len()).filter(|group| growth.stored[*group].is_none()).collect();
    for batch in differing.chunks(ASKED) {
        growth.grow(&mut *tree, batch).await?;
    }
    growth.problems.extend(tree.finish().await?);
    growth.finish().await
}

/// A tree being stored.
struct Growth {
    desk: Arc<Desk>,
    meter: Arc<dyn Meter>,
    groups: Vec<Group>,
    known: Known,
    /// What blocks of files were.
    blocks: Option<Arc<Parent>>,
    /// Segments of the groups that are done.
    stored: Vec<Option<Vec<SegmentRef>>>,
    problems: Vec<Problem>,
}

impl Growth {
    /// Takes the segments of groups whose witness is known, if all that they need is there.
    async fn take_over(&mut self) {
        let desk = &self.desk;
        let known = |(place, group): (usize, &Group)| Some((place, self.known.segments_of(group)?.to_vec()));
        let candidates: Vec<_> = self.groups.iter().enumerate().filter_map(known).collect();
        let looked = stream::iter(candidates).map(|(place, segments)| async move {
            let mut packs = Vec::with_capacity(segments.len());
            for segment in &segments {
                packs.push(desk.inner.packs_of_segment(segment).await.ok()?);
            }
            Some((place, segments, packs))
        });
        let mut looked = looked.buffer_unordered(LOOKING);
        let mut taken = Vec::new();
        while let Some(found) = looked.next().await {
            // What cannot be looked at is read again.
            let Some((place, segments, packs)) = found else { continue };
            for (segment, packs) in segments.iter().zip(packs) {
                desk.lean_on(segment, packs).await;
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

    /// Stores groups that differ.
    async fn grow(&mut self, tree: &mut dyn Tree, batch: &[usize]) -> Result<()> {
        let marks = tree.marks(batch).await?;
        if marks.len() != batch.len() {
            return Err(broken("it did not tell the marks of all groups"));
        }
        let mut plans = Vec::with_capacity(batch.len());
        for (group, marks) in batch.iter().zip(marks) {
            let sources = self.known.sources(*group, &marks).await;
            let likely = self.known.likely(*group, &sources);
            plans.push(Plan { group: *group, witness: self.groups[*group].witness, marks, sources, likely });
        }
        // What breaks off in the middle is left out, or asked from the source, in another round. Each round has fewer
        // of either, so there is an end.
        while !plans.is_empty() {
            plans = self.round(tree, plans).await?;
        }
        Ok(())
    }

    /// Feeds groups; the answer is those that have to be fed again, otherwise.
    async fn round(&mut self, tree: &mut dyn Tree, plans: Vec<Plan>) -> Result<Vec<Plan>> {
        let requests: Vec<Request> = plans.iter().filter_map(Plan::request).collect();
        let frames = match requests.is_empty() {
            true => stream::empty().boxed(),
            false => tree.read(requests).await?,
        };
        let mut coming = Coming { frames, rest: Vec::new() };
        let weaving = Arc::new(Semaphore::new(WEAVING));
        let mut tasks: JoinSet<Result<Grown>> = JoinSet::new();
        for plan in plans {
            let permit =
                Arc::clone(&weaving).acquire_owned().await.map_err(|_| Error::bug("nobody weaves any more"))?;
            let fresh = plan.fresh();
            let stored = self.known.open(&plan.sources);
            let (desk, blocks, meter) = (Arc::clone(&self.desk), self.blocks.clone(), Arc::clone(&self.meter));
            let (sender, receiver) = tokio::sync::mpsc::channel(feed::FRAMES);
            tasks.spawn(async move {
                let likely = Likely::of(&desk.inner, &plan.likely).await;
                let intake = Intake::of_group(&desk, blocks, likely, meter);
                let grown = feed::grow(intake, plan, stored, receiver).await;
                drop(permit);
                grown
            });
            if !coming.pass_on(fresh, sender, &*self.meter).await? {
                // The group has failed: why, it says itself.
                break;
            }
        }
        drop(coming);
        let mut again = Vec::new();
        while let Some(grown) = tasks.join_next().await {
            match grown.map_err(|error| Error::bug("storing a group broke off").caused_by(error))?? {
                Grown::Whole { group, segments, problems } => {
                    self.stored[group] = Some(segments);
                    self.problems.extend(problems);
                }
                Grown::Again(plan) => again.push(plan),
            }
        }
        again.sort_by_key(|plan| plan.group);
        Ok(again)
    }

    /// Ends the stream.
    async fn finish(self) -> Result<(StreamRef, Vec<Problem>)> {
        let mut end = Draft::default();
        end.ops.push(Op::Zeros(END_MARK));
        end.sum = Some(sum_of(&mut Summer::new(), &end.ops.finished()));
        let desk = Arc::clone(&self.desk);
        let end = blocking(move || desk.add_draft(end)).await?;
        let mut segments: Vec<SegmentRef> = self.stored.into_iter().flatten().flatten().collect();
        segments.push(end);
        let mut hash = Sha256::new();
        for segment in &segments {
            hash.update(segment.sum.ok_or_else(|| Error::bug("a segment of a tree has no sum"))?.as_bytes());
        }
        let stream = StreamRef {
            length: segments.iter().map(|segment| segment.length).sum(),
            entries: segments.iter().map(|segment| segment.entries).sum(),
            segments,
            sha256: hex::encode(hash.finalize()),
            unsplit: false,
            tree: true,
        };
        Ok((stream, self.problems))
    }
}

/// Frames of one group after the other.
struct Coming<'a> {
    frames: Frames<'a>,
    /// What came with the last batch and belongs to the next group.
    rest: Vec<Frame>,
}

impl Coming<'_> {
    /// Passes the frames of one group on. Whether the group took them all.
    async fn pass_on(
        &mut self,
        mut entries: usize,
        group: tokio::sync::mpsc::Sender<Vec<Frame>>,
        meter: &dyn Meter,
    ) -> Result<bool> {
        while entries > 0 {
            let mut batch = std::mem::take(&mut self.rest);
            if batch.is_empty() {
                batch = self.frames.next().await.ok_or_else(|| broken("it ended in the middle"))??;
            }
            let (mut moved, mut ours) = (0, 0);
            for frame in &batch {
                match frame {
                    Frame::Begin(bytes) | Frame::Content(bytes) => moved += bytes.len() as u64,
                    Frame::End(_) | Frame::Left(_) => entries -= 1,
                    Frame::Hole(_) => {}
                }
                ours += 1;
                if entries == 0 {
                    break;
                }
            }
            self.rest = batch.split_off(ours);
            meter.moved(moved);
            if group.send(batch).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn broken(why: &str) -> Error {
    Error::new(Kind::Corrupt, "tree.malformed", format!("the source of files does not keep its word: {why}"))
        .advice("run the backup again; if it happens again, report it")
}
