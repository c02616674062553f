//! What recipes lean on: the packs of a stream, and what reading it costs.

use crate::{
    ReadCost,
    haul::Needs,
    inner::{Inner, stale, unlike},
    recipe::Recipe,
    state::PackNo,
    threads::blocking,
    walk::Walk,
};
use holdfast_model::{
    ChunkId, Error, Kind, PackId, Result,
    snapshot::{SegmentRef, StreamRef},
    view::From,
};
use std::{collections::BTreeSet, sync::Arc};

impl Inner {
    /// Opens a recipe segment.
    pub(crate) async fn open_recipe(self: &Arc<Self>, segment: &SegmentRef, from: From) -> Result<Recipe> {
        let body = self.open_record(&segment.chunk, from).await?;
        let length = segment.length;
        blocking(move || {
            let recipe = Recipe::decode(&body)?;
            if recipe.length() == length { Ok(recipe) } else { Err(unlike()) }
        })
        .await
    }

    /// Packs that these segments need, their own included. `Conflict` (`snapshot.stale`) if one is unknown.
    pub(crate) async fn reach_of(self: &Arc<Self>, segments: Vec<SegmentRef>) -> Result<BTreeSet<PackNo>> {
        let mut reach = BTreeSet::new();
        let mut walk = Walk::new(self, segments, From::Auto);
        while let Some(segment) = walk.next().await.map_err(gone)? {
            reach.extend(self.packs_of_segment(&segment).await?);
        }
        Ok(reach)
    }

    /// Packs that one segment needs, its own included, all of them present in some tier; of a branch its own alone.
    /// `Conflict` (`snapshot.stale`) if one is not.
    pub(crate) async fn packs_of_segment(self: &Arc<Self>, segment: &SegmentRef) -> Result<BTreeSet<PackNo>> {
        let mut packs = match segment.branch {
            true => BTreeSet::new(),
            false => self.packs_of_recipe(segment).await?,
        };
        packs.extend(self.packs_of_chunk(&segment.chunk.id, &segment.chunk.pack).await.ok_or_else(stale)?);
        Ok(packs)
    }

    /// The pack of a chunk and the one of its base, if the place that the index tells has one. Whoever wants to lean on a
    /// pack that is on its way out leans on the one that came in its place.
    async fn packs_of_chunk(&self, id: &ChunkId, pack: &PackId) -> Option<Vec<PackNo>> {
        let (hint, counts) = self.hinted(pack);
        if let Some(pack) = hint.filter(|_| counts) {
            return Some(vec![pack]);
        }
        match self.finder.seek(id).await {
            Some(found) => Some([Some(found.pack), found.base_pack].into_iter().flatten().collect()),
            None => hint.map(|pack| vec![pack]),
        }
    }

    /// The pack of a chunk that others are stored as differences to.
    async fn pack_of_base(&self, id: &ChunkId, pack: &PackId) -> Option<PackNo> {
        let (hint, counts) = self.hinted(pack);
        match hint.filter(|_| counts) {
            Some(pack) => Some(pack),
            None => self.finder.seek_whole(id).await.map(|found| found.pack).or(hint),
        }
    }

    /// The pack that a recipe names, if some tier has it, and whether new data may lean on it.
    fn hinted(&self, pack: &PackId) -> (Option<PackNo>, bool) {
        let state = self.read();
        let hint = state.index.number(pack).filter(|pack| state.index.pack(*pack).present());
        (hint, hint.is_some_and(|pack| state.index.pack(pack).counts()))
    }

    /// Packs that a recipe leans on, all of them present. `Conflict` (`snapshot.stale`) if one is not.
    pub(crate) async fn packs_of_recipe(self: &Arc<Self>, segment: &SegmentRef) -> Result<BTreeSet<PackNo>> {
        let body = self.open_record(&segment.chunk, From::Auto).await.map_err(gone)?;
        let named = Recipe::packs_of(&body)?;
        {
            let state = self.read();
            let counts = |id: &PackId| state.index.number(id).filter(|pack| state.index.pack(*pack).counts());
            if let Some(packs) = named.iter().map(counts).collect() {
                return Ok(packs);
            }
        }
        // A pack is gone or going: perhaps its chunks lie elsewhere by now.
        let recipe = blocking(move || Recipe::decode(&body)).await?;
        let mut packs = BTreeSet::new();
        for placed in recipe.chunks.iter().flatten() {
            packs.extend(self.packs_of_chunk(&placed.id, &placed.pack).await.ok_or_else(stale)?);
            if let Some(base) = &placed.base {
                packs.insert(self.pack_of_base(&base.id, &base.pack).await.ok_or_else(stale)?);
            }
        }
        Ok(packs)
    }

    /// What reading streams costs.
    pub(crate) async fn cost(self: &Arc<Self>, streams: &[StreamRef], from: From) -> Result<ReadCost> {
        let mut cost = ReadCost { bytes: streams.iter().map(|stream| stream.length).sum(), ..ReadCost::default() };
        let mut needs = Needs::default();
        let mut seen = BTreeSet::new();
        let segments = streams.iter().flat_map(|stream| stream.segments.iter().copied()).collect();
        let mut walk = Walk::new(self, segments, from);
        loop {
            let (sealed, opened) = match walk.next().await {
                Ok(None) => break,
                Ok(Some(segment)) if !seen.insert(segment.chunk.id) => {
                    walk.pass_over();
                    continue;
                }
                Ok(Some(segment)) => {
                    // Recipes are read from whole packs.
                    if let Some((pack, size)) = self.to_fetch(&segment.chunk.pack, from) {
                        needs.add(pack, size, (0, u32::try_from(size).unwrap_or(u32::MAX)));
                    }
                    if segment.branch {
                        continue;
                    }
                    (u64::from(segment.chunk.sealed), self.open_recipe(&segment, from).await.map(Some))
                }
                // The branch could not be opened; how much hangs on it nobody knows.
                Err(error) => (1, Err(error)),
            };
            match opened {
                Ok(Some(mut recipe)) => {
                    self.settle_places(&mut recipe, from).await;
                    self.add_cost(&recipe, from, &mut needs, &mut cost).await;
                }
                Ok(None) => {}
                Err(error) if error.kind() == Kind::Corrupt => cost.missing_bytes += sealed,
                Err(error) => return Err(error),
            }
        }
        (cost.requests, cost.bucket_bytes) = needs.cost();
        Ok(cost)
    }

    async fn add_cost(&self, recipe: &Recipe, from: From, needs: &mut Needs, cost: &mut ReadCost) {
        let bucket = self.bucket().is_some();
        for placed in recipe.packs() {
            let pack = self.pack_of(&placed.id, &placed.pack).await;
            let state = self.read();
            let info = pack.map(|pack| (pack, state.index.pack(pack)));
            match info {
                Some((_, info)) if info.cached() && from != From::Bucket => {}
                Some((pack, info)) if info.acked && bucket && from != From::Cache => {
                    needs.add(pack, info.name.size, (placed.offset, placed.sealed));
                }
                _ => cost.missing_bytes += u64::from(placed.sealed),
            }
        }
    }
}

/// What is gone by the time of a commit makes the backup stale.
fn gone(error: Error) -> Error {
    match error.kind() {
        Kind::Corrupt if error.code() == "pack.missing" => stale().caused_by(error),
        _ => error,
    }
}
