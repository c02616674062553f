//! The law of order (L1), as one pure function.
//!
//! The list holds only what the bucket has not acknowledged: an object that is missing in it is there.
//! - Setup objects go one after the other, before everything else: a foreign bucket stops at the first.
//! - Packs, settings and tombstones need the setup only, and may fly side by side.
//! - Segments, reach lists and snapshots need every object of an earlier stage that is listed before them (an
//!   older snapshot's packs may be shared) or belongs to the same snapshot.
//!
//! An object that failed counts as not acknowledged: what needs it waits, the others go on. The repository lists it, and whatever needs it,
//! after all others from then on, so that nothing is listed behind it that could go.

use holdfast_model::SnapshotId;
use holdfast_repository::{ShipItem, Stage};
use std::collections::HashMap;

/// How it stands with an object of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Not tried since the last turn.
    Waiting,
    /// On its way.
    Flying,
    /// Tried in this turn, without success.
    Failed,
}

/// Which objects of the list may start now, in the list's order.
pub(crate) fn startable(list: &[(ShipItem, Standing)]) -> Vec<usize> {
    let same = earliest_stages(list);
    // Whether an object of each stage was listed so far.
    let mut before = [false; STAGES];
    let mut lawful = Vec::new();
    for (index, (item, standing)) in list.iter().enumerate() {
        let stage = item.stage as usize;
        let free = match item.stage {
            Stage::Setup => !before[Stage::Setup as usize],
            Stage::Pack | Stage::Settings => true,
            Stage::Segment | Stage::Reach | Stage::Snapshot => {
                let earliest = item.snapshot.as_ref().and_then(|id| same.get(id).copied()).unwrap_or(stage);
                !before[..stage].contains(&true) && earliest >= stage
            }
        };
        before[stage] = true;
        if free && *standing == Standing::Waiting {
            lawful.push(index);
        }
    }
    // Setup stands before everything, wherever it is listed.
    if before[Stage::Setup as usize] {
        lawful.retain(|index| list[*index].0.stage == Stage::Setup);
    }
    lawful
}

const STAGES: usize = Stage::Settings as usize + 1;

/// The earliest stage that each snapshot still has in the list.
fn earliest_stages(list: &[(ShipItem, Standing)]) -> HashMap<&SnapshotId, usize> {
    let mut earliest = HashMap::new();
    for (item, _) in list {
        if let Some(id) = &item.snapshot {
            let stage = item.stage as usize;
            earliest.entry(id).and_modify(|known: &mut usize| *known = stage.min(*known)).or_insert(stage);
        }
    }
    earliest
}

#[cfg(test)]
mod tests;
