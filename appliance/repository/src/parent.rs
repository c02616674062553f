//! What the blocks of a file were in the parent stream: changed ones are stored as the difference to those.
//!
//! Invariants: only a hint: what is wrong here costs space, never bytes; recipes come from the cache alone, one is
//! held at a time; the list of stretches is bounded.

use crate::{
    inner::Inner,
    recipe::{Op, Recipe, Row},
    walk::Walk,
};
use holdfast_model::{
    ChunkId, FileKey, Result,
    snapshot::{SegmentRef, StreamRef},
    view::From,
};
use std::{collections::HashMap, ops::Range, sync::Arc};

/// Stretches of files that are remembered, of 16 MiB or more each; what lies beyond is stored whole.
const STRETCHES_MAX: usize = 64 * 1024;

/// Where the files of a parent lie that have segments of their own.
pub(crate) struct Parent {
    inner: Arc<Inner>,
    files: HashMap<FileKey, Vec<SegmentRef>>,
}

impl Parent {
    /// Looks through the segments of a stream. What cannot be read is left out.
    pub(crate) async fn of(inner: &Arc<Inner>, stream: &StreamRef) -> Arc<Parent> {
        let mut parent = Parent { inner: Arc::clone(inner), files: HashMap::new() };
        if let Err(error) = parent.look_through(stream).await {
            tracing::debug!(error = %error.chain(), "the parent's segments cannot be read; blocks are stored whole");
        }
        Arc::new(parent)
    }

    async fn look_through(&mut self, stream: &StreamRef) -> Result<()> {
        let mut walk = Walk::new(&self.inner, stream.segments.clone(), From::Cache);
        let mut stretches = 0;
        while let Some(segment) = walk.leaf().await? {
            let Some(file) = segment.file else { continue };
            stretches += 1;
            if stretches > STRETCHES_MAX {
                tracing::debug!("the parent has more large files than are remembered; the rest is stored whole");
                break;
            }
            self.files.entry(file).or_default().push(segment);
        }
        // In the order of the file in honest streams; looking up leans on it.
        self.files.values_mut().for_each(|segments| segments.sort_by_key(|segment| segment.at));
        Ok(())
    }
}

/// Looks blocks up, best in the order of a file.
pub(crate) struct Blocks {
    parent: Arc<Parent>,
    open: Option<Stretch>,
}

/// Blocks of a stretch of a file, rising.
struct Stretch {
    file: FileKey,
    range: Range<u64>,
    blocks: Vec<(u64, ChunkId)>,
}

impl Blocks {
    pub(crate) fn new(parent: Arc<Parent>) -> Self {
        Blocks { parent, open: None }
    }

    /// The chunk that a changed block at this place of a file is to lean on: the parent's block at the same place, or
    /// the one that that one leans on. Blocks while a recipe is read.
    pub(crate) fn base(&mut self, file: FileKey, at: u64) -> Option<ChunkId> {
        if !self.open.as_ref().is_some_and(|open| open.file == file && open.range.contains(&at)) {
            self.open = self.load(file, at);
        }
        let blocks = &self.open.as_ref()?.blocks;
        let found = blocks.binary_search_by_key(&at, |(at, _)| *at).ok()?;
        Some(blocks[found].1)
    }

    fn load(&self, file: FileKey, at: u64) -> Option<Stretch> {
        let segments = self.parent.files.get(&file)?;
        let segment = segments[..segments.partition_point(|segment| segment.at <= at)].last()?;
        let range = segment.at..segment.at.saturating_add(segment.length);
        if !range.contains(&at) {
            return None;
        }
        let inner = &self.parent.inner;
        let recipe = inner.runtime.block_on(inner.open_recipe(segment, From::Cache));
        let blocks = match recipe {
            Ok(recipe) => blocks_of(&recipe, segment.at),
            // An empty stretch: it is not asked for again at each block.
            Err(error) => {
                tracing::debug!(error = %error.chain(), "a recipe of the parent is not at hand; blocks are stored whole");
                Vec::new()
            }
        };
        Some(Stretch { file, range, blocks })
    }
}

/// Where the chunks of a segment begin that holds a stretch of one file and nothing else.
fn blocks_of(recipe: &Recipe, start: u64) -> Vec<(u64, ChunkId)> {
    let mut blocks = Vec::with_capacity(recipe.chunks[Row::Large as usize].len());
    let mut chunks = recipe.chunks[Row::Large as usize].iter();
    let (mut at, mut taken) = (start, start);
    for op in &recipe.ops {
        match op {
            Op::Zeros(count) => {
                at += count;
                taken += count;
            }
            Op::Take(Row::Large, count) => {
                at += count;
                while taken < at {
                    let Some(chunk) = chunks.next() else { return blocks };
                    blocks.push((taken, chunk.base.map_or(chunk.id, |base| base.id)));
                    taken += u64::from(chunk.length);
                }
                if taken != at {
                    return blocks;
                }
            }
            Op::Take(..) => return blocks,
        }
    }
    blocks
}
