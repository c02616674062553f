//! What the parent tells of a tree: groups by their witness, entries by their marks.
//!
//! Invariants: an entry is told as stored only if every chunk of it lies in the cache; memory is bounded by the
//! list of segments and [`ENTRIES_MAX`] marks, however far apart parent and tree are.

use super::feed::{Source, Stored};
use crate::{excerpt::lacking, inner::Inner, reader::read_stretches, walk::Walk};
use holdfast_model::{
    PackId, Result, Witness,
    snapshot::{SegmentRef, StreamRef},
    view::From,
};
use holdfast_tree::{Group, Mark};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

/// Marks of the parent in memory. Between two groups that were taken over all unknown ones are looked through,
/// up to this many entries.
const ENTRIES_MAX: usize = 512 * 1024;
/// Bytes of a tar block.
const BLOCK: u64 = 512;

/// A group of the parent.
struct KnownGroup {
    witness: Witness,
    segments: Arc<Vec<SegmentRef>>,
}

/// A group whose marks are in memory.
struct Loaded {
    marks: Vec<Mark>,
    /// Where each entry begins in the group, bytes.
    starts: Vec<u64>,
    /// What the cache lacks of the group; looked up when it is needed.
    lacking: Option<Vec<Range<u64>>>,
}

/// The parent.
pub(super) struct Known {
    inner: Arc<Inner>,
    groups: Vec<KnownGroup>,
    by_witness: HashMap<Witness, usize>,
    /// Groups of the tree that were taken over, with the parent's group.
    taken: BTreeMap<usize, usize>,
    loaded: BTreeMap<usize, Loaded>,
    /// Marks in `loaded`.
    entries: usize,
    /// Up to where marks were loaded.
    next: usize,
    /// What lies before is not asked for any more.
    floor: usize,
    by_identity: HashMap<u64, (usize, usize)>,
}

impl Known {
    /// What a parent tells. One that cannot be read tells less; that costs reading, nothing else.
    pub(super) async fn of(inner: &Arc<Inner>, parent: Option<&StreamRef>) -> Known {
        let mut known = Known {
            inner: Arc::clone(inner),
            groups: Vec::new(),
            by_witness: HashMap::new(),
            taken: BTreeMap::new(),
            loaded: BTreeMap::new(),
            entries: 0,
            next: 0,
            floor: 0,
            by_identity: HashMap::new(),
        };
        let Some(parent) = parent else { return known };
        if let Err(error) = known.read(parent).await {
            tracing::warn!(error = %error.chain(), "the previous backup of a tree cannot be used in full");
        }
        for (place, group) in known.groups.iter().enumerate() {
            known.by_witness.insert(group.witness, place);
        }
        known
    }

    async fn read(&mut self, parent: &StreamRef) -> Result<()> {
        let mut walk = Walk::new(&self.inner, parent.segments.clone(), From::Auto);
        while let Some(segment) = walk.leaf().await? {
            let (Some(witness), Some(_)) = (segment.witness, segment.sum) else { continue };
            match self.groups.last_mut().filter(|group| group.witness == witness) {
                Some(group) => Arc::make_mut(&mut group.segments).push(segment),
                None => self.groups.push(KnownGroup { witness, segments: Arc::new(vec![segment]) }),
            }
        }
        Ok(())
    }

    /// Segments of the same group in the parent.
    pub(super) fn segments_of(&self, group: &Group) -> Option<&[SegmentRef]> {
        let segments = &self.groups[*self.by_witness.get(&group.witness)?].segments;
        let entries = segments.iter().fold(0u64, |sum, segment| sum.saturating_add(segment.entries));
        (entries == u64::from(group.entries)).then_some(segments)
    }

    /// A group of the tree, by its place, was taken over.
    pub(super) fn took_over(&mut self, group: &Group, place: usize) {
        if let Some(known) = self.by_witness.get(&group.witness) {
            self.taken.insert(place, *known);
        }
    }

    /// Where the entries of a group come from. Groups must be asked for in rising order.
    pub(super) async fn sources(&mut self, group: usize, marks: &[Mark]) -> Vec<Source> {
        // Both are in path order: what was taken over before and after says where to look.
        let low = self.taken.range(..group).next_back().map_or(0, |(_, known)| known + 1);
        let high = self.taken.range(group..).next().map_or(self.groups.len(), |(_, known)| *known);
        self.floor = self.floor.max(low);
        self.load(low, high).await;
        let mut sources = Vec::with_capacity(marks.len());
        let mut ends: HashMap<usize, u64> = HashMap::new();
        for mark in marks {
            let Some((known, range)) = self.find(mark).filter(|(known, _)| (low..high).contains(known)) else {
                sources.push(Source::Fresh);
                continue;
            };
            let end = ends.entry(known).or_default();
            let usable = range.start >= *end && self.has(known, &range).await;
            if !usable {
                sources.push(Source::Fresh);
                continue;
            }
            *end = range.end;
            sources.push(Source::Stored { known, range });
        }
        // Far from both ends only the neighbourhood is kept.
        if let Some(first) = ends.keys().min() {
            self.floor = self.floor.max(first.saturating_sub(2));
        }
        sources
    }

    /// Marks that no group after those asked for so far needs may go.
    pub(super) fn pass(&mut self) {
        self.unload_before(self.floor);
    }

    /// Where content lies that was sent under this name: `count` bytes from `at` on, if the cache has them.
    pub(super) async fn kept(&mut self, name: u64, at: u64, count: u64) -> Option<(Arc<Vec<SegmentRef>>, Range<u64>)> {
        let (known, entry) = *self.by_identity.get(&name).filter(|_| name != 0)?;
        let loaded = &self.loaded[&known];
        let mark = loaded.marks[entry];
        let end = at.checked_add(count).filter(|end| *end <= mark.content)?;
        let begin = loaded.starts[entry] + u64::from(mark.header);
        let range = begin + at..begin + end;
        let has = self.has(known, &range).await;
        has.then(|| (Arc::clone(&self.groups[known].segments), range))
    }

    /// The parent's entry with this mark: its group, and where in the group it lies, padding included.
    fn find(&self, mark: &Mark) -> Option<(usize, Range<u64>)> {
        let (known, entry) = *self.by_identity.get(&mark.identity).filter(|_| mark.identity != 0)?;
        let loaded = &self.loaded[&known];
        if loaded.marks[entry].content != mark.content {
            return None;
        }
        let end = loaded.starts[entry] + size(&loaded.marks[entry]);
        Some((known, loaded.starts[entry]..end))
    }

    /// Whether the cache has all of a stretch of a group.
    async fn has(&mut self, known: usize, range: &Range<u64>) -> bool {
        let Some(loaded) = self.loaded.get_mut(&known) else { return false };
        if loaded.lacking.is_none() {
            let segments = &*self.groups[known].segments;
            let length = length_of(segments);
            let whole = std::iter::once(0..length).collect();
            loaded.lacking = Some(lacks(&self.inner, segments).await.unwrap_or(whole));
        }
        let lacking = loaded.lacking.as_deref().unwrap_or_default();
        let next = lacking.partition_point(|gap| gap.end <= range.start);
        lacking.get(next).is_none_or(|gap| gap.start >= range.end)
    }

    /// Loads marks of groups in these bounds, as far as there is room.
    async fn load(&mut self, low: usize, high: usize) {
        self.next = self.next.max(low);
        while self.next < high && self.entries < ENTRIES_MAX {
            let place = self.next;
            self.next += 1;
            let Some(first) = self.groups[place].segments.first() else { continue };
            let marks = match self.inner.open_recipe(first, From::Auto).await {
                Ok(recipe) => recipe.marks,
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "marks of the previous backup cannot be read");
                    continue;
                }
            };
            let begin = |at: &mut u64, mark: &Mark| {
                let start = *at;
                *at = at.checked_add(size(mark))?;
                Some(start)
            };
            let starts: Vec<u64> = marks.iter().scan(0, begin).collect();
            let length = length_of(&self.groups[place].segments);
            let end = starts.last().zip(marks.last()).map_or(Some(0), |(start, mark)| start.checked_add(size(mark)));
            if starts.len() != marks.len() || end != Some(length) {
                continue;
            }
            self.entries += marks.len();
            for (entry, mark) in marks.iter().enumerate() {
                self.by_identity.insert(mark.identity, (place, entry));
            }
            self.loaded.insert(place, Loaded { marks, starts, lacking: None });
        }
    }

    fn unload_before(&mut self, low: usize) {
        let kept = self.loaded.split_off(&low);
        for (place, group) in std::mem::replace(&mut self.loaded, kept) {
            self.entries -= group.marks.len();
            for mark in &group.marks {
                if self.by_identity.get(&mark.identity).is_some_and(|(other, _)| *other == place) {
                    self.by_identity.remove(&mark.identity);
                }
            }
        }
    }

    /// Segments of the parent's group that a group of the tree most likely was: the one that most of its entries come from,
    /// else the one as far behind the last group that was taken over.
    pub(super) fn likely(&self, group: usize, sources: &[Source]) -> Vec<SegmentRef> {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for source in sources {
            if let Source::Stored { known, .. } = source {
                *counts.entry(*known).or_default() += 1;
            }
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(known, _)| known);
        let beside = || self.taken.range(..group).next_back().map_or(group, |(place, known)| known + (group - place));
        self.groups.get(most.unwrap_or_else(beside)).map(|group| group.segments.to_vec()).unwrap_or_default()
    }

    /// Opens what some sources say is stored.
    pub(super) fn open(&self, sources: &[Source]) -> HashMap<usize, Stored> {
        let mut stretches: BTreeMap<usize, Vec<Range<u64>>> = BTreeMap::new();
        for source in sources {
            let Source::Stored { known, range } = source else { continue };
            let list = stretches.entry(*known).or_default();
            match list.last_mut().filter(|last| last.end == range.start) {
                Some(last) => last.end = range.end,
                None => list.push(range.clone()),
            }
        }
        let open = |(known, stretches): (usize, Vec<Range<u64>>)| {
            let segments = &self.groups[known].segments;
            (known, Stored::new(read_stretches(Arc::clone(&self.inner), segments, &stretches, From::Cache)))
        };
        stretches.into_iter().map(open).collect()
    }
}

/// What the cache lacks of some segments that follow each other.
async fn lacks(inner: &Arc<Inner>, segments: &[SegmentRef]) -> Result<Vec<Range<u64>>> {
    let mut all: Vec<Range<u64>> = Vec::new();
    let mut begin = 0u64;
    for segment in segments {
        let recipe = inner.open_recipe(segment, From::Auto).await?;
        let cached = |pack: &PackId| {
            let state = inner.read();
            state.index.number(pack).is_some_and(|pack| state.index.pack(pack).cached())
        };
        let mut lost = HashSet::new();
        for chunk in recipe.packs() {
            if !cached(&chunk.pack) && !inner.finder.places(&chunk.id).await.iter().any(|at| cached(&at.placed.pack)) {
                lost.insert(chunk.id);
            }
        }
        let gaps = lacking(&recipe, |chunk| {
            lost.contains(&chunk.id) || chunk.base.is_some_and(|base| lost.contains(&base.id))
        });
        all.extend(gaps.into_iter().map(|gap| gap.start.saturating_add(begin)..gap.end.saturating_add(begin)));
        begin = begin.saturating_add(segment.length);
    }
    Ok(all)
}

/// Bytes of the stream that some segments make up.
fn length_of(segments: &[SegmentRef]) -> u64 {
    segments.iter().fold(0u64, |sum, segment| sum.saturating_add(segment.length))
}

/// Bytes of an entry in the stream.
fn size(mark: &Mark) -> u64 {
    u64::from(mark.header).saturating_add(mark.content.div_ceil(BLOCK).saturating_mul(BLOCK))
}
