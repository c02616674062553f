//! Which snapshots are shipped after all others: those that need an object which does not arrive, for reasons of its own.
//!
//! Where they are listed in their place, everything that is listed behind such an object waits for it, and what a list of bounded length
//! has no room for is never reached. What others need of them is listed with those others, so the order stays lawful (L1).

use crate::{
    layout,
    state::{Held, PackNo, State},
};
use holdfast_model::SnapshotId;
use std::collections::HashSet;

/// Objects that do not arrive.
pub(crate) struct Stuck<'a> {
    keys: &'a HashSet<String>,
    /// The packs among them, and those that a segment among them names.
    packs: HashSet<PackNo>,
}

impl Stuck<'_> {
    pub(crate) fn of<'a>(state: &State, keys: &'a HashSet<String>) -> Stuck<'a> {
        let mut packs: HashSet<PackNo> = HashSet::new();
        for key in keys {
            packs.extend(layout::parse_pack(key).and_then(|(_, id)| state.index.number(&id)));
            packs.extend(state.segments.get(key).into_iter().flatten());
        }
        Stuck { keys, packs }
    }

    /// Whether a snapshot needs one of them.
    pub(crate) fn hold_up(&self, state: &State, id: &SnapshotId, held: &Held) -> bool {
        !self.keys.is_empty()
            && (held.reach.iter().any(|pack| self.packs.contains(pack))
                || self.keys.contains(&state.reach_key(id))
                || self.keys.contains(&layout::snapshot_key(id)))
    }
}
