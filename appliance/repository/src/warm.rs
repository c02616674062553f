//! What somebody wants to have here comes back into the cache.
//!
//! Invariants: all of it stays below the mark from which on packs leave; the newest snapshots of no app leave for it; what came stays,
//! whatever ends it.

use crate::{
    Meter, Repository,
    evict::Depth,
    inner::{Inner, is_damage},
    state::PackNo,
    walk::Walk,
};
use futures::{StreamExt, stream};
use holdfast_model::{
    Error, Kind, Problem, Result,
    cache::Warmed,
    snapshot::{SegmentRef, StreamRef},
    view::From,
};
use holdfast_runtime::Stop;
use std::{collections::BTreeSet, sync::Arc};

/// Packs fetched at once: each is held in memory whole.
const AT_ONCE: usize = 4;

/// How a pack was brought.
enum Brought {
    Here,
    Came(u64),
    /// So many bytes found no room.
    Short(u64),
    /// No tier has it that could be asked, or not unharmed: a check says so.
    Lost,
}

/// A warming under way.
struct Warming {
    done: Warmed,
    meter: Option<Arc<dyn Meter>>,
    stop: Stop,
}

impl Warming {
    fn count(&mut self, brought: &Brought) {
        match brought {
            Brought::Here => self.done.here += 1,
            Brought::Came(bytes) => {
                self.done.packs += 1;
                self.done.bytes += bytes;
                if let Some(meter) = &self.meter {
                    meter.moved(*bytes);
                }
            }
            Brought::Short(bytes) => self.done.short_bytes += bytes,
            Brought::Lost => {}
        }
    }

    fn goes_on(&self) -> Result<()> {
        match self.stop.is_cancelled() {
            true => Err(Error::new(Kind::Stopped, "warm.stopped", "bringing data back into the cache was stopped")),
            false => Ok(()),
        }
    }
}

impl Repository {
    /// Brings the packs that these streams need into the cache, as far as there is room below the mark from which on packs leave; older
    /// ones leave for it. For a day they stay as long as those of the newest snapshots. What lies nowhere is left to a check to name.
    /// `meter.moved` is told the bytes fetched. `Unavailable` if the bucket cannot be asked, `Stopped` (`warm.stopped`); what came stays.
    pub async fn warm(&self, streams: &[StreamRef], meter: Option<Arc<dyn Meter>>, stop: &Stop) -> Result<Warmed> {
        self.inner.warm(streams, meter, stop).await
    }
}

impl Inner {
    async fn warm(
        self: &Arc<Self>,
        streams: &[StreamRef],
        meter: Option<Arc<dyn Meter>>,
        stop: &Stop,
    ) -> Result<Warmed> {
        // Nothing of it is pruned meanwhile.
        let _reads = self.pins.reader();
        let mut warming = Warming { done: Warmed::default(), meter, stop: stop.clone() };
        let (seen, data) = self.bring_recipes(streams, &mut warming).await?;
        self.room.want(seen.iter().chain(&data).copied());
        self.make_room_for(&data, stop).await;
        let mut brought = stream::iter(data).map(|pack| async move { self.bring(pack).await }).buffered(AT_ONCE);
        while let Some(one) = brought.next().await {
            warming.count(&one?);
            warming.goes_on()?;
        }
        Ok(warming.done)
    }

    /// Brings the packs that recipes lie in. The answer is those, and those with content, which the recipes tell.
    async fn bring_recipes(
        self: &Arc<Self>,
        streams: &[StreamRef],
        warming: &mut Warming,
    ) -> Result<(BTreeSet<PackNo>, BTreeSet<PackNo>)> {
        let (mut seen, mut data, mut opened) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let segments = streams.iter().flat_map(|stream| stream.segments.iter().copied()).collect();
        let mut walk = Walk::new(self, segments, From::Auto);
        loop {
            warming.goes_on()?;
            let segment = match walk.next().await {
                Ok(None) => break,
                Ok(Some(segment)) => segment,
                // A branch that is lost tells nothing; the rest goes on.
                Err(error) if is_damage(&error) => continue,
                Err(error) => return Err(error),
            };
            if !opened.insert(segment.chunk.id) {
                walk.pass_over();
                continue;
            }
            let own = self.pack_of(&segment.chunk.id, &segment.chunk.pack).await;
            if let Some(pack) = own.filter(|pack| seen.insert(*pack)) {
                warming.count(&self.bring(pack).await?);
            }
            if !segment.branch {
                data.extend(self.packs_told_by(&segment).await?);
            }
        }
        // What lies among recipes was brought.
        data.retain(|pack| !seen.contains(pack));
        Ok((seen, data))
    }

    async fn packs_told_by(self: &Arc<Self>, segment: &SegmentRef) -> Result<Vec<PackNo>> {
        let mut recipe = match self.open_recipe(segment, From::Auto).await {
            Ok(recipe) => recipe,
            Err(error) if is_damage(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        self.settle_places(&mut recipe, From::Auto).await;
        let state = self.read();
        Ok(recipe.packs().filter_map(|placed| state.index.number(&placed.pack)).collect())
    }

    /// Lets older packs leave for those that come. What does not leave costs no error: less comes then.
    async fn make_room_for(&self, packs: &BTreeSet<PackNo>, stop: &Stop) {
        let coming: u64 = {
            let state = self.read();
            let infos = packs.iter().map(|pack| state.index.pack(*pack));
            infos.filter(|info| info.acked && !info.cached()).map(|info| info.name.size).sum()
        };
        if coming == 0 {
            return;
        }
        let _alone = self.room.alone().await;
        if let Err(error) = self.let_go(self.room.aim_below(coming), Depth::SparingNewest, stop).await {
            tracing::warn!(error = %error.chain(), "nothing could leave the cache for what comes back");
        }
    }

    async fn bring(&self, pack: PackNo) -> Result<Brought> {
        let info = self.read().index.pack(pack).clone();
        if info.cached() {
            return Ok(Brought::Here);
        }
        if !info.acked || !info.counts() {
            return Ok(Brought::Lost);
        }
        let size = info.name.size;
        // Asked before it is fetched: what finds no room is not paid for.
        if self.room.spare(info.name.kind, size).is_none() {
            return Ok(Brought::Short(size));
        }
        match self.pack_from_bucket(pack).await {
            Ok(bytes) => Ok(if self.admit(pack, bytes).await? { Brought::Came(size) } else { Brought::Short(size) }),
            Err(error) if is_damage(&error) => {
                self.write().note(Problem::from_error(info.key(), &error));
                Ok(Brought::Lost)
            }
            Err(error) => Err(error),
        }
    }
}
