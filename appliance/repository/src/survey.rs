//! What lives in packs and what does not: recipes of all snapshots against the rows of packs. Which are worth moving: those
//! that are mostly dead, and small ones as soon as there are many.
//!
//! Invariants: a living chunk is never taken for dead; without every recipe at hand nothing is known, and nothing
//! moves; memory is bounded by [`COUNTED_MAX`].

use crate::{
    inner::Inner,
    pack::Row,
    state::{Fate, PackNo},
    walk::Walk,
};
use futures::{StreamExt, stream};
use holdfast_model::{ChunkId, PackId, Result, SnapshotId, view::From};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// Living chunks are counted up to this many (about 150 MB of memory); with more of them nothing is moved.
const COUNTED_MAX: usize = 12_000_000;
/// Footers read at once.
const FOOTERS_AT_ONCE: usize = 8;
/// Even the smallest repository may move this much, bytes.
const SHARE_LEAST: u64 = 64 << 20;

/// How much one prune may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repack {
    /// A pack is left alone while less of it is dead.
    pub dead_percent: u8,
    /// A pack is left alone while fewer bytes of it are dead.
    pub least_gain: u64,
    /// A pack below this size is small: each is a request of its own for whoever restores from the bucket. Bytes.
    pub small: u64,
    /// So many small packs are joined; fewer are left alone, so that the same bytes do not move with every prune.
    pub join: usize,
    /// Living bytes that are copied at most.
    pub bytes: u64,
    /// And of all that is stored at most this share.
    pub share_percent: u8,
}

impl Default for Repack {
    fn default() -> Self {
        Repack { dead_percent: 30, least_gain: 1 << 20, small: 4 << 20, join: 24, bytes: 2 << 30, share_percent: 10 }
    }
}

/// What living snapshots lean on.
#[derive(Default)]
pub(crate) struct Survey {
    /// Beginnings of the ids of living chunks: two that are alike keep a dead chunk, never lose a living one.
    alive: HashSet<u64>,
    /// Bytes that recipes use of packs by the places they tell.
    used: HashMap<PackId, u64>,
    /// Whose recipes were read.
    pub(crate) snapshots: HashSet<SnapshotId>,
}

impl std::fmt::Debug for Survey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Survey of {} chunks", self.alive.len())
    }
}

impl Survey {
    fn note(&mut self, id: &ChunkId, pack: PackId, sealed: u32) {
        if self.alive.insert(beginning(id)) {
            *self.used.entry(pack).or_default() += u64::from(sealed);
        }
    }
    pub(crate) fn lives(&self, row: &Row) -> bool {
        self.alive.contains(&beginning(&row.id))
    }
    fn living_bytes(&self, rows: &[Row]) -> u64 {
        rows.iter().filter(|row| self.lives(row)).map(|row| u64::from(row.sealed)).sum()
    }
}

fn beginning(id: &ChunkId) -> u64 {
    u64::from_le_bytes(id.as_bytes()[..8].try_into().expect("ids have 32 bytes"))
}

impl Repack {
    /// Moves nothing.
    pub const NONE: Repack =
        Repack { dead_percent: 100, least_gain: u64::MAX, small: 0, join: usize::MAX, bytes: 0, share_percent: 0 };

    fn is_worth(&self, dead: u64, size: u64) -> bool {
        dead >= self.least_gain.max(1) && u128::from(dead) * 100 >= u128::from(size) * u128::from(self.dead_percent)
    }
}

/// A pack whose living chunks are to move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub(crate) pack: PackNo,
    pub(crate) id: PackId,
    pub(crate) living: u64,
    pub(crate) dead: u64,
}

/// What was found out about dead bytes.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) moves: Vec<Move>,
    /// Dead bytes in packs that stay, those of `moves` too.
    pub(crate) held_bytes: u64,
    pub(crate) survey: Option<Arc<Survey>>,
}

impl Inner {
    /// Finds packs worth moving. Without all recipes at hand nothing is known and nothing moves.
    pub(crate) async fn find_waste(
        self: &Arc<Self>,
        forget: &[SnapshotId],
        dead: &[PackNo],
        limits: &Repack,
    ) -> Result<Findings> {
        let Some(survey) = self.survey(forget).await else { return Ok(Findings::default()) };
        let survey = Arc::new(survey);
        let dead: BTreeSet<PackNo> = dead.iter().copied().collect();
        let (mut held_bytes, mut stored, mut suspects) = (0u64, 0u64, Vec::new());
        {
            let state = self.read();
            for (number, info) in state.index.packs().filter(|(number, info)| info.present() && !dead.contains(number))
            {
                let size = info.name.size;
                let waste = size.saturating_sub(survey.used.get(&info.name.id).copied().unwrap_or(0));
                (held_bytes, stored) = (held_bytes + waste, stored + size);
                if info.fate == Fate::Sound && (limits.is_worth(waste, size) || size < limits.small) {
                    suspects.push((number, info.name, waste));
                }
            }
        }
        // Recipes tell old places of what has moved before: the rows decide.
        let mut looked = stream::iter(suspects)
            .map(|(number, name, guess)| async move { (number, name, guess, self.finder.footer(number).await) })
            .buffered(FOOTERS_AT_ONCE);
        let (mut moves, mut small) = (Vec::new(), Vec::new());
        while let Some((pack, name, guess, footer)) = looked.next().await {
            let Ok((_, rows)) = footer else { continue };
            let living = survey.living_bytes(&rows);
            let dead = name.size.saturating_sub(living);
            held_bytes = held_bytes - guess + dead;
            let one = Move { pack, id: name.id, living, dead };
            if limits.is_worth(dead, name.size) {
                moves.push(one);
            } else if name.size < limits.small && living > 0 {
                small.push(one);
            }
        }
        if small.len() >= limits.join {
            moves.append(&mut small);
        }
        // What wastes most comes first; what few chunks are needed of is also what makes restores hop.
        let waste = |one: &Move, other: &Move| {
            (u128::from(one.dead) * u128::from(other.living)).cmp(&(u128::from(other.dead) * u128::from(one.living)))
        };
        moves.sort_by(|one, other| waste(other, one).then(one.id.cmp(&other.id)));
        let share = stored / 100 * u64::from(limits.share_percent);
        let mut left = limits.bytes.min(share.max(SHARE_LEAST));
        moves.retain(|one| {
            let fits = one.living <= left;
            left -= if fits { one.living } else { 0 };
            fits
        });
        Ok(Findings { moves, held_bytes, survey: Some(survey) })
    }

    /// Goes through the recipes of all snapshots that stay; `None` if the cache lacks some or they are too many.
    async fn survey(self: &Arc<Self>, forget: &[SnapshotId]) -> Option<Survey> {
        let mut survey = Survey::default();
        let mut segments = Vec::new();
        {
            let state = self.read();
            for (id, held) in state.snapshots.iter().filter(|(id, _)| !forget.contains(id)) {
                survey.snapshots.insert(id.clone());
                segments.extend(held.snapshot.streams().flat_map(|stream| stream.segments.iter().copied()));
            }
        }
        let mut recipes = HashSet::new();
        let mut walk = Walk::new(self, segments, From::Cache);
        while let Some(segment) = walk.next().await.ok()? {
            if !recipes.insert(segment.chunk.id) {
                walk.pass_over();
                continue;
            }
            survey.note(&segment.chunk.id, segment.chunk.pack, segment.chunk.sealed);
            if segment.branch {
                continue;
            }
            for placed in self.open_recipe(&segment, From::Cache).await.ok()?.packs() {
                survey.note(&placed.id, placed.pack, placed.sealed);
            }
            if survey.alive.len() > COUNTED_MAX {
                return None;
            }
        }
        Some(survey)
    }
}
