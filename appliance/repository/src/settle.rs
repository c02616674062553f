//! Recipes tell where chunks lay when they were written; what has moved since is looked up once, before it is read.
//!
//! Invariant: a chunk gets another place only if its own does not count any more and the other one can be used.

use crate::{
    inner::Inner,
    recipe::{Placed, Recipe},
};
use holdfast_model::{PackId, view::From};
use std::collections::HashSet;

impl Inner {
    /// Places of chunks whose packs are gone or on their way out, as the index knows them now.
    pub(crate) async fn settle_places(&self, recipe: &mut Recipe, from: From) {
        let unsettled: HashSet<PackId> = {
            let state = self.read();
            let counts = |id: &PackId| state.index.number(id).is_some_and(|pack| state.index.pack(pack).counts());
            recipe.packs().map(|placed| placed.pack).filter(|pack| !counts(pack)).collect()
        };
        if unsettled.is_empty() {
            return;
        }
        for placed in recipe.chunks.iter_mut().flatten() {
            if unsettled.contains(&placed.pack) {
                self.settle_one(placed, from).await;
            } else if let Some(base) = placed.base.filter(|base| unsettled.contains(&base.pack))
                && let Some(found) = self.finder.seek_whole(&base.id).await
                && self.can_use(&found.placed, from)
            {
                placed.base = found.placed.as_base();
            }
        }
    }

    /// The same for one chunk.
    pub(crate) async fn settle_one(&self, placed: &mut Placed, from: From) {
        let counts = {
            let state = self.read();
            state.index.number(&placed.pack).is_some_and(|pack| state.index.pack(pack).counts())
        };
        if !counts
            && let Some(found) = self.finder.seek(&placed.id).await
            && self.can_use(&found.placed, from)
        {
            *placed = found.placed;
        }
    }

    fn can_use(&self, placed: &Placed, from: From) -> bool {
        let base = placed.base.is_none_or(|base| self.usable(&base.pack, from).is_some());
        base && self.usable(&placed.pack, from).is_some()
    }
}
