//! Repacking: living chunks move out of packs that are mostly dead, so that those can go.
//!
//! Order for safety at every point, in each tier that has an old pack: new packs; an index segment that names them; a
//! later edition of the reach list of every snapshot that leans on an old one, in the bucket before the cache; then lower
//! editions go. Only then old packs count as dead, and are condemned like any others. Invariants: sealed chunks are
//! copied as they are (their seal binds no place), so a difference finds its base by id as before; a reach list
//! never lacks a pack that it needs; a snapshot that came after the survey keeps the old pack, which then stays;
//! what is cut off leaves packs that nobody needs, and the next prune frees them.

use crate::{
    PrunePlan,
    inner::{Inner, is_damage},
    layout::{self, PackKind},
    pack::{Builder, Finished, HEADER, Row},
    press::full_at,
    prune::Work,
    segment::{PackName, encode_reach},
    state::{Fate, PackNo, State},
    survey::{Move, Survey},
    threads::blocking,
};
use bytes::Bytes;
use holdfast_chunk::{Envelope, ObjectKind};
use holdfast_model::{Error, Kind, PackId, Problem, Result, SnapshotId};
use holdfast_runtime::Stop;
use holdfast_storage::PutMode;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

impl Inner {
    /// Moves what a plan says. The answer is all packs that may be condemned now: old ones that no snapshot leans on
    /// any more, and new ones that came to nothing.
    pub(crate) async fn carry_moves(
        self: &Arc<Self>,
        plan: &PrunePlan,
        work: &mut Work,
        stop: &Stop,
    ) -> Result<Vec<PackId>> {
        let Some(survey) = plan.survey.clone() else { return Ok(Vec::new()) };
        let moves: Vec<Move> = {
            let state = self.read();
            plan.moves.iter().filter(|one| self.may_move(&state, one.pack, work)).copied().collect()
        };
        if moves.is_empty() {
            return Ok(Vec::new());
        }
        let mut removal = Removal { survey, builders: HashMap::new(), moved: BTreeMap::new(), new: Vec::new() };
        match self.move_all(&moves, &mut removal, work, stop).await {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), Kind::Refused | Kind::Bug) => return Err(error),
            Err(error) => {
                let text = format!("packs that are mostly dead could not be repacked, and stay: {}", error.chain());
                work.outcome.problems.push(Problem::warning(error.code(), "repack", text).advice("prune again later"));
            }
        }
        let state = self.read();
        let live = state.live();
        work.outcome.repacked += removal.moved.keys().filter(|pack| !live.contains(pack)).count() as u64;
        let all = removal.new.iter().chain(removal.moved.keys());
        Ok(all.filter(|pack| !live.contains(pack)).map(|pack| state.index.pack(*pack).name.id).collect())
    }

    /// Whether every tier that has a pack can be given new ones and new reach lists now.
    fn may_move(&self, state: &State, pack: PackNo, work: &Work) -> bool {
        let info = state.index.pack(pack);
        let reachable = match (&work.bucket, self.bucket()) {
            (Some(_), _) => true,
            (None, Some(_)) => false,
            // What the bucket has of a snapshot must not be overtaken by what it lacks.
            (None, None) => {
                let shipped = |id: &SnapshotId| state.is_acked(&layout::snapshot_key(id));
                !info.acked && !state.needers(pack).iter().any(shipped)
            }
        };
        reachable && info.present() && info.fate == Fate::Sound
    }

    /// Ends when all of it is durable wherever it has to be, or the bucket was given up on the way.
    async fn move_all(
        self: &Arc<Self>,
        moves: &[Move],
        removal: &mut Removal,
        work: &mut Work,
        stop: &Stop,
    ) -> Result<()> {
        for one in moves {
            if stop.is_cancelled() {
                break;
            }
            match self.living_of(one.pack, &removal.survey).await {
                Ok(living) => self.copy(one.pack, living, removal, work).await?,
                // A check names and mends it.
                Err(error) if is_damage(&error) => tracing::warn!(error = %error.chain(), "a pack is not repacked"),
                Err(error) => return Err(error),
            }
        }
        for kind in [PackKind::Data, PackKind::Meta] {
            self.close_pack(kind, removal, work).await?;
        }
        if !removal.moved.is_empty() && self.list_new(removal, work).await? {
            self.tell_reach(removal, work).await?;
        }
        Ok(())
    }

    /// The living chunks of a pack, sealed, all of them or an error.
    async fn living_of(self: &Arc<Self>, pack: PackNo, survey: &Survey) -> Result<Vec<(Row, Bytes)>> {
        let (_, rows) = self.finder.footer(pack).await?;
        if !rows.iter().any(|row| survey.lives(row)) {
            return Ok(Vec::new());
        }
        let bytes = self.sound_pack(pack).await?;
        let mut living = Vec::new();
        let mut at = HEADER as usize;
        for row in rows {
            let range = at..at + row.sealed as usize;
            at = range.end;
            if range.end > bytes.len() {
                return Err(self.damaged(pack, "every tier", cut_short()));
            }
            if survey.lives(&row) {
                living.push((row, bytes.slice(range)));
            }
        }
        Ok(living)
    }

    /// Puts chunks into new packs. From an error here on the whole run comes to nothing.
    async fn copy(
        self: &Arc<Self>,
        pack: PackNo,
        living: Vec<(Row, Bytes)>,
        removal: &mut Removal,
        work: &mut Work,
    ) -> Result<()> {
        let kind = self.read().index.pack(pack).name.kind;
        removal.moved.entry(pack).or_default();
        for (row, sealed) in living {
            let (builder, sources) = removal.builder(kind);
            builder.push(row, &sealed, full_at(kind));
            sources.insert(pack);
            let is_full = builder.len() >= full_at(kind);
            work.outcome.moved_bytes += u64::from(row.sealed);
            if is_full {
                self.close_pack(kind, removal, work).await?;
            }
        }
        Ok(())
    }

    /// A pack's bytes, proved by its name.
    async fn sound_pack(self: &Arc<Self>, pack: PackNo) -> Result<Bytes> {
        let info = self.read().index.pack(pack).clone();
        if info.cached() {
            let read = match self.cache.get(&info.key()).await {
                Ok(bytes) => crate::fetch::verify(info.name.id, bytes).await,
                Err(error) => Err(error),
            };
            match read {
                Err(error) if is_damage(&error) && info.acked => {}
                result => return result,
            }
        }
        self.pack_from_bucket(pack).await
    }

    /// Stores the pack that is being filled, in the cache and, where the bucket is at hand, there.
    async fn close_pack(self: &Arc<Self>, kind: PackKind, removal: &mut Removal, work: &mut Work) -> Result<()> {
        let Some((builder, sources)) = removal.builders.remove(&kind) else { return Ok(()) };
        let (keys, repository) = (Arc::clone(&self.keys), self.id);
        let pack = blocking(move || builder.finish(Envelope::new(&keys, repository))).await?;
        let Finished { id, bytes, footer, rows, .. } = pack;
        let name = PackName { kind, id, size: bytes.len() as u64 };
        let key = layout::pack_key(kind, &id);
        let (place, bucket) = (self.room.ask(kind, name.size).await?, work.bucket.clone());
        let here = place.is_some();
        match &bucket {
            _ if here => self.cache.put(&key, bytes.clone(), PutMode::Once).await?,
            // A full cache does without it. What is read often has to lie here.
            Some(bucket) if kind == PackKind::Data => bucket.put(&key, bytes.clone(), PutMode::Once).await?,
            _ => return Err(no_room()),
        }
        let number = {
            let mut state = self.write();
            state.enter_stored(name, &rows, footer, self.pins.now());
            state.set_cached(&key, here);
            state.index.enter(name)
        };
        drop(place);
        removal.new.push(number);
        for source in sources {
            removal.moved.entry(source).or_default().insert(number);
        }
        if let Some(bucket) = bucket {
            if here {
                bucket.put(&key, bytes, PutMode::Once).await?;
            }
            self.remember_ack(&key, name.size);
        }
        Ok(())
    }

    /// An index segment of the new packs, in each tier.
    async fn list_new(self: &Arc<Self>, removal: &Removal, work: &mut Work) -> Result<bool> {
        if removal.new.is_empty() {
            return Ok(true);
        }
        let _alone = self.listing.lock().await;
        let (keys, _) = self.write_segments(removal.new.clone(), Vec::new()).await?;
        let listed: HashSet<PackNo> = removal.new.iter().copied().collect();
        self.write().unlisted.retain(|pack, _| !listed.contains(pack));
        let shipping = work.bucket.is_some();
        for key in keys {
            if shipping && !self.ship_segment(&key, work).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A later edition of the reach list of every snapshot that leans on what moved.
    async fn tell_reach(self: &Arc<Self>, removal: &Removal, work: &mut Work) -> Result<()> {
        if let Some(bucket) = work.bucket.clone() {
            // Whoever took over may not know the new packs.
            self.not_fenced(&*bucket).await?;
        }
        let leaning: Vec<SnapshotId> = {
            let state = self.read();
            let known = state.snapshots.iter().filter(|(id, _)| removal.survey.snapshots.contains(*id));
            let leaning = known.filter(|(_, held)| held.reach.iter().any(|pack| removal.moved.contains_key(pack)));
            leaning.map(|(id, _)| id.clone()).collect()
        };
        let shipping = work.bucket.is_some();
        for id in leaning {
            self.tell_one(&id, removal, work).await?;
            self.sweep_editions(&id, work).await?;
            if shipping && work.bucket.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn tell_one(self: &Arc<Self>, id: &SnapshotId, removal: &Removal, work: &mut Work) -> Result<()> {
        let (key, old, reach, body) = {
            let mut state = self.write();
            let key = layout::next_edition(id, state.editions(id).last());
            let Some(held) = state.snapshots.get_mut(id) else { return Ok(()) };
            let reach = removal.reach_after(&held.reach);
            // While it is on its way nobody knows which one counts: then both do.
            let both: BTreeSet<PackNo> = held.reach.iter().chain(&reach).copied().collect();
            let old = std::mem::replace(&mut held.reach, both.into_iter().collect());
            (key, old, reach.clone(), encode_reach(&state.names(&reach)))
        };
        let sealed = Bytes::from(self.envelope().seal(ObjectKind::Reach, &key, &body)?);
        let size = sealed.len() as u64;
        // The bucket first: what the cache says alone must not make it lose a pack that its own lists name.
        if let Some(bucket) = work.bucket.clone() {
            if let Err(error) = bucket.put(&key, sealed.clone(), PutMode::Once).await {
                // Should it have arrived all the same, lower editions count beside it when its packs go.
                self.set_reach(id, old);
                return Err(error);
            }
            self.write().enter(&key, size);
            self.remember_ack(&key, size);
        }
        self.put_small(&key, sealed, PutMode::Once).await?;
        if work.bucket.is_some() {
            self.remember_ack(&key, size);
        }
        self.set_reach(id, reach);
        Ok(())
    }

    fn set_reach(&self, id: &SnapshotId, reach: Vec<PackNo>) {
        if let Some(held) = self.write().snapshots.get_mut(id) {
            held.reach = reach;
        }
    }

    /// Lower editions of a reach list go when all that the highest names is there, in each tier.
    pub(crate) async fn sweep_editions(self: &Arc<Self>, id: &SnapshotId, work: &mut Work) -> Result<()> {
        if self.read().editions(id).len() < 2 {
            return Ok(());
        }
        self.learn_editions(id).await;
        let (newest, lower) = {
            let state = self.read();
            let mut lower = state.editions(id);
            let Some(newest) = lower.pop().filter(|_| !lower.is_empty()) else { return Ok(()) };
            let small = state.small.get(&newest).copied().unwrap_or_default();
            let shipped = lower.iter().any(|key| state.is_acked(key));
            if !small.cached || (shipped && !small.acked) {
                return Ok(());
            }
            (newest, lower)
        };
        // One that cannot be read, or of which something is gone, takes the place of none.
        let Ok(named) = self.read_edition(&newest).await else { return Ok(()) };
        let is_true = {
            let state = self.read();
            let held = state.snapshots.get(id);
            let known = |pack: &PackNo| held.is_some_and(|held| held.reach.contains(pack));
            named.iter().all(|pack| known(pack) && state.index.pack(*pack).counts())
        };
        if !is_true {
            return Ok(());
        }
        for key in lower {
            work.delete(self, &key).await;
            self.delete_cached(&key).await?;
        }
        Ok(())
    }
}

/// A run under way.
struct Removal {
    survey: Arc<Survey>,
    /// Packs being filled, and where their chunks are from.
    builders: HashMap<PackKind, (Builder, BTreeSet<PackNo>)>,
    /// Old packs, and the new ones that have their living chunks.
    moved: BTreeMap<PackNo, BTreeSet<PackNo>>,
    new: Vec<PackNo>,
}

impl Removal {
    fn builder(&mut self, kind: PackKind) -> &mut (Builder, BTreeSet<PackNo>) {
        self.builders.entry(kind).or_insert_with(|| (Builder::new(kind), BTreeSet::new()))
    }
    /// New packs in the place of old ones. All that have something of an old one are named: too many rather than too few.
    fn reach_after(&self, reach: &[PackNo]) -> Vec<PackNo> {
        let after = |pack: &PackNo| match self.moved.get(pack) {
            Some(new) => new.iter().copied().collect(),
            None => vec![*pack],
        };
        reach.iter().flat_map(after).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn no_room() -> Error {
    Error::new(Kind::Full, "cache.full", "the cache has no room for what is to be repacked")
}

fn cut_short() -> Error {
    Error::new(Kind::Corrupt, "pack.corrupt", "a chunk lies beyond the end of its pack")
}
