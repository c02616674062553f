//! Packs of data leave the cache for the bucket alone, what is worth least first (law L3).
//!
//! What leaves lies in the bucket, which has said so in this life and says it once more right before, with its size; an object that it
//! does not hold like that stays here and is sent again. Nothing leaves while another appliance writes the bucket, which may forget
//! there what we need. Never: metadata, packs that no index segment names (their rows would be known to nobody), what was condemned, what
//! somebody reads who has nothing but the cache.
//!
//! Why no session has to be asked: one that leans on a pack needs it in some tier, not here. Invariant: a pack is marked as gone before
//! its file is deleted, under a closed door, so that nobody brings it back in between: whoever looks from then on asks the bucket, whoever
//! looked before finds nothing and asks the bucket too. A file that outlives a crash is listed by the next start and leaves again.

use crate::{
    Repository,
    inner::Inner,
    layout::PackKind,
    pins::View,
    room::{Place, taken},
    state::{Fate, PackNo, State},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Problem, Result, SnapshotId, cache::Evicted, snapshot::StreamRef};
use holdfast_runtime::Stop;
use holdfast_storage::{PutMode, Store};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

/// Packs that the bucket is asked for at once.
const PROVED_AT_ONCE: usize = 8;
/// Code of the error that says that another appliance writes the bucket.
const FENCED: &str = "repository.fenced";
/// Where so many cannot leave, it is not a matter of single packs: the next time begins anew.
const STUCK_MOST: usize = 256;

/// How much a pack is worth in the cache; what is worth least leaves first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    /// The newest snapshots need it, or somebody is at work with it.
    kept: bool,
    /// The last snapshot that needs it, by its number.
    needed: Option<u64>,
}

/// A pack that may leave.
struct Leaver {
    pack: PackNo,
    key: String,
    size: u64,
}

impl Leaver {
    fn of(state: &State, pack: PackNo) -> Leaver {
        let info = state.index.pack(pack);
        Leaver { pack, key: info.key(), size: info.name.size }
    }
}

/// Packs that could not be asked for or deleted. Others go in their place: the order is the same each time, and one bad file would keep
/// all that comes behind it.
#[derive(Default)]
struct Stuck {
    packs: HashSet<PackNo>,
    /// What the first of them met.
    error: Option<Error>,
}

impl Stuck {
    fn add(&mut self, pack: PackNo, error: Error) {
        self.packs.insert(pack);
        self.error.get_or_insert(error);
    }

    /// The error counts if nothing left because of it.
    fn end(self, gone: &Evicted) -> Result<()> {
        let Some(error) = self.error else { return Ok(()) };
        if gone.packs == 0 {
            return Err(error);
        }
        tracing::warn!(packs = self.packs.len(), error = %error.chain(), "packs could not leave the cache, and others left");
        Ok(())
    }
}

/// Bytes of the cache by what may become of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holdings {
    pub(crate) used: u64,
    /// Data that the bucket does not hold yet.
    pub(crate) unshipped: u64,
    /// What never leaves, and what somebody holds here, but for data of the newest snapshots, which is counted there.
    pub(crate) pinned: u64,
    /// Data that the newest snapshots need, wherever it lies.
    pub(crate) newest: u64,
    /// What may leave at once.
    pub(crate) evictable: u64,
}

/// How far an eviction goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Packs of the newest snapshots leave too, when nothing else is left.
    All,
    /// They stay.
    SparingNewest,
}

impl Repository {
    /// Lets packs leave the cache that the bucket holds, down to `aim` bytes; without an aim below the rule's low-water mark, if the
    /// cache is above the high one. That not enough can leave is no error, `short_bytes` tells it. `Refused` (`repository.fenced`),
    /// `Stopped` (`evict.stopped`), and what the bucket answers, if nothing could leave because of it.
    pub async fn evict(&self, aim: Option<u64>, stop: &Stop) -> Result<Evicted> {
        self.inner.evict(aim, stop).await
    }

    /// What [`Repository::evict`] would do, with nothing asked and nothing touched.
    pub fn evict_plan(&self, aim: Option<u64>) -> Evicted {
        self.inner.evict_plan(aim)
    }
}

impl Inner {
    async fn evict(&self, aim: Option<u64>, stop: &Stop) -> Result<Evicted> {
        let _alone = self.room.alone().await;
        match aim.or_else(|| self.room.aim()) {
            Some(aim) => self.let_go(aim, Depth::All, stop).await,
            None => Ok(Evicted::default()),
        }
    }

    fn evict_plan(&self, aim: Option<u64>) -> Evicted {
        let Some(aim) = aim.or_else(|| self.room.aim()) else { return Evicted::default() };
        let (used, leavers) = (self.room.used(), self.leavers(aim, Depth::All, &HashSet::new()));
        let bytes = leavers.iter().map(|leaver| leaver.size).sum();
        let short_bytes = used.saturating_sub(bytes).saturating_sub(aim);
        Evicted { packs: leavers.len() as u64, bytes, short_bytes }
    }

    /// Room for a pack, for which others leave. One that is stolen by somebody else is made again, as long as anything leaves.
    /// `Refused` if the bucket is not ours to lean on any more: waiting would not help.
    pub(crate) async fn make_room(&self, kind: PackKind, bytes: u64) -> Result<Option<Place>> {
        let _alone = self.room.alone().await;
        loop {
            if let Some(place) = self.room.at_once(kind, bytes) {
                return Ok(Some(place));
            }
            match self.let_go(self.room.aim_for(kind, bytes), Depth::All, &Stop::new()).await {
                Ok(Evicted { packs: 0, .. }) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.code() == FENCED => return Err(error),
                Err(error) => {
                    // Who waits tries again each second.
                    tracing::debug!(error = %error.chain(), "what the bucket holds could not leave the cache");
                    return Ok(None);
                }
            }
        }
    }

    /// Lets packs go down to `aim` bytes. Whoever asks is alone with it ([`crate::room::Room::alone`]).
    pub(crate) async fn let_go(&self, aim: u64, depth: Depth, stop: &Stop) -> Result<Evicted> {
        let (mut gone, mut stuck) = (Evicted::default(), Stuck::default());
        loop {
            let leavers = self.leavers(aim, depth, &stuck.packs);
            let Some(bucket) = self.bucket().filter(|_| !leavers.is_empty()) else { break };
            self.still_ours(&*bucket).await?;
            self.room.begins_to_leave();
            let ended = self.let_these_go(&bucket, leavers, (&mut gone, &mut stuck), stop).await;
            match ended {
                // Others take the place of those that the bucket does not hold after all, and of those that are stuck.
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if gone.packs > 0 && error.kind() != Kind::Stopped => {
                    tracing::warn!(error = %error.chain(), "not all could leave the cache that the bucket holds");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        stuck.end(&gone)?;
        gone.short_bytes = self.room.used().saturating_sub(aim);
        Ok(gone)
    }

    /// The answer is whether anything has changed by it, so that it may be worth to go on. A bucket that is away ends it.
    async fn let_these_go(
        &self,
        bucket: &Arc<dyn Store>,
        leavers: Vec<Leaver>,
        (gone, stuck): (&mut Evicted, &mut Stuck),
        stop: &Stop,
    ) -> Result<bool> {
        let mut changed = false;
        let mut proved = stream::iter(leavers)
            .map(|leaver| async move {
                let proof = lies_in(&**bucket, &leaver).await;
                (leaver, proof)
            })
            .buffered(PROVED_AT_ONCE);
        while let Some((leaver, proof)) = proved.next().await {
            if stop.is_cancelled() {
                return Err(Error::new(Kind::Stopped, "evict.stopped", "making room in the cache was stopped"));
            }
            let left = match proof {
                Ok(true) => self.leave(&leaver, bucket).await,
                Ok(false) => {
                    changed |= self.send_again(&leaver, bucket);
                    continue;
                }
                Err(error) if error.kind().is_transient() => return Err(error),
                Err(error) => Err(error),
            };
            match left {
                Ok(false) => {}
                Ok(true) => {
                    gone.packs += 1;
                    gone.bytes += leaver.size;
                    changed = true;
                }
                Err(error) => {
                    stuck.add(leaver.pack, error);
                    changed = true;
                    if stuck.packs.len() >= STUCK_MOST {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(changed)
    }

    /// Whether the bucket is still ours to lean on: asked once a minute.
    async fn still_ours(&self, bucket: &dyn Store) -> Result<()> {
        if self.asks_for_fence("") {
            self.not_fenced(bucket).await?;
            self.fence_seen.store(self.clock.now().millis(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whoever waits for the bucket asks whether it still takes what is ours: `Refused` (`repository.fenced`). One that does not answer
    /// is waited for.
    pub(crate) async fn still_takes(&self) -> Result<()> {
        let Some(bucket) = self.bucket() else { return Ok(()) };
        match self.still_ours(&*bucket).await {
            Err(error) if error.code() == FENCED => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether a bucket is still the one that counts: each attachment is another one.
    fn is_attached(&self, bucket: &Arc<dyn Store>) -> bool {
        self.bucket().is_some_and(|attached| Arc::ptr_eq(&attached, bucket))
    }

    /// The bucket does not hold a pack as it said. The answer is whether that is news: a prune may have taken it meanwhile.
    fn send_again(&self, leaver: &Leaver, bucket: &Arc<dyn Store>) -> bool {
        if !self.is_attached(bucket) || !may_leave(&self.read(), leaver.pack) {
            return false;
        }
        self.forget_ack(&leaver.key);
        let text = "the bucket does not hold this pack as it said; it stays in the cache and is sent again";
        let advice = "look who may write the bucket; a check mends what lies there with another size";
        self.write().note(Problem::warning("pack.missing", &leaver.key, text).advice(advice));
        true
    }

    /// Lets one pack go, if it still may, and if the bucket that was asked for it is still the one that counts.
    async fn leave(&self, leaver: &Leaver, bucket: &Arc<dyn Store>) -> Result<bool> {
        let _closed = self.room.closed_door().await;
        {
            let mut state = self.write();
            if !self.is_attached(bucket) || !may_leave(&state, leaver.pack) || self.pins.holds(leaver.pack) {
                return Ok(false);
            }
            state.index.set_cached(leaver.pack, false);
        }
        if let Err(error) = self.cache.delete(&leaver.key).await {
            // It may be gone all the same.
            let left = self.cache.head(&leaver.key).await;
            if left.is_ok_and(|found| found.is_some_and(|found| found.size == leaver.size)) {
                self.write().index.set_cached(leaver.pack, true);
            }
            return Err(error.while_doing(format!("{} could not leave the cache", leaver.key)));
        }
        self.room.stir();
        Ok(true)
    }

    /// Packs that may leave, those first that are worth least, until the cache would take `aim` bytes.
    fn leavers(&self, aim: u64, depth: Depth, stuck: &HashSet<PackNo>) -> Vec<Leaver> {
        if self.bucket().is_none() {
            return Vec::new();
        }
        let (keep, wanted) = (self.room.keep_newest(), self.room.wanted());
        // Somebody has tampered with these: what the bucket shows of them is not ours.
        let under: HashSet<String> = self.under.all().into_iter().map(|(key, _)| key).collect();
        let view = self.pins.view();
        let state = self.read();
        let mut over = taken(&state).saturating_sub(aim);
        if over == 0 {
            return Vec::new();
        }
        let worths = worths(&state, keep);
        let may = |pack: PackNo| {
            let free = may_leave(&state, pack) && !view.held.contains(&pack) && !stuck.contains(&pack);
            free && (under.is_empty() || !under.contains(&state.index.pack(pack).key()))
        };
        let worth = |pack: PackNo| {
            let Worth { kept, needed } = worths[pack as usize];
            Worth { kept: kept || is_worked_on(&state, &view, pack) || wanted.contains(&pack), needed }
        };
        let packs = state.index.packs().map(|(pack, _)| pack).filter(|pack| may(*pack));
        let mut order: Vec<(Worth, PackNo)> = packs.map(|pack| (worth(pack), pack)).collect();
        order.retain(|(worth, _)| depth == Depth::All || !worth.kept);
        order.sort_unstable();
        let mut leavers = Vec::new();
        for (_, pack) in order {
            if over == 0 {
                break;
            }
            let info = state.index.pack(pack);
            over = over.saturating_sub(info.name.size);
            leavers.push(Leaver::of(&state, pack));
        }
        leavers
    }

    /// What the cache holds, by what may become of it.
    pub(crate) fn holdings(&self) -> Holdings {
        let keep = self.room.keep_newest();
        let attached = self.bucket().is_some();
        let view = self.pins.view();
        let state = self.read();
        let newest = packs_of_newest(&state, keep);
        let mut holds = Holdings { used: taken(&state), ..Holdings::default() };
        let small = state.small.values().filter(|small| small.cached);
        holds.pinned += small.map(|small| small.size).sum::<u64>();
        for (pack, info) in state.index.packs().filter(|(_, info)| info.present()) {
            let (size, is_data) = (info.name.size, info.name.kind == PackKind::Data);
            let (is_newest, is_held) = (is_data && newest.contains(&pack), view.held.contains(&pack));
            holds.newest += if is_newest { size } else { 0 };
            match info.cached() {
                false => {}
                true if !is_data => holds.pinned += size,
                true if !info.acked => holds.unshipped += size,
                true if is_held => holds.pinned += if is_newest { 0 } else { size },
                true if attached && may_leave(&state, pack) => holds.evictable += size,
                true => {}
            }
        }
        holds
    }

    /// Dead packs that the bucket keeps until their locks end leave the cache: nobody reads them here.
    pub(crate) async fn let_dead_go(&self, packs: &[PackNo], stop: &Stop) -> Result<Evicted> {
        let (mut gone, mut stuck) = (Evicted::default(), Stuck::default());
        let Some(bucket) = self.bucket() else { return Ok(gone) };
        let _alone = self.room.alone().await;
        let leavers = {
            let (state, view) = (self.read(), self.pins.view());
            let live = state.live();
            let is_dead = |pack: &PackNo| !live.contains(pack) && !is_worked_on(&state, &view, *pack);
            let free = packs
                .iter()
                .copied()
                .filter(|pack| is_dead(pack) && may_leave(&state, *pack) && !view.held.contains(pack));
            free.map(|pack| Leaver::of(&state, pack)).collect()
        };
        self.let_these_go(&bucket, leavers, (&mut gone, &mut stuck), stop).await?;
        stuck.end(&gone)?;
        Ok(gone)
    }

    /// Puts a pack that came from the bucket into the cache, if there is room without anything leaving for it. The answer is whether
    /// it is there.
    pub(crate) async fn admit(&self, pack: PackNo, bytes: Bytes) -> Result<bool> {
        let open = self.room.door().await;
        let info = self.read().index.pack(pack).clone();
        if info.cached() {
            return Ok(true);
        }
        let Some(_place) = self.room.spare(info.name.kind, info.name.size) else {
            let remains = self.cache.head(&info.key()).await.is_ok_and(|found| found.is_some());
            drop(open);
            if remains {
                self.sweep_remains(pack).await;
            }
            return Ok(false);
        };
        self.cache.put(&info.key(), bytes, PutMode::Replace).await?;
        self.write().index.set_cached(pack, true);
        Ok(true)
    }

    /// What was bad here and is not replaced goes: it takes room that nobody counts, and the next start would take it for a copy.
    async fn sweep_remains(&self, pack: PackNo) {
        let _closed = self.room.closed_door().await;
        let info = self.read().index.pack(pack).clone();
        if info.cached() || !info.acked {
            return;
        }
        if let Err(error) = self.cache.delete(&info.key()).await {
            tracing::warn!(pack = %info.key(), error = %error.chain(), "a bad pack could not be removed from the cache");
        }
    }

    /// Packs of the snapshot that has this stream: who reads it from the cache alone wants them to stay.
    pub(crate) fn packs_beside(&self, stream: &StreamRef) -> Vec<PackNo> {
        let state = self.read();
        let mut newest = state.snapshots.values().rev();
        let held = newest.find(|held| held.snapshot.streams().any(|one| one == stream));
        held.map(|held| held.reach.clone()).unwrap_or_default()
    }
}

/// Whether the bucket holds a pack, as far as it tells without giving it.
async fn lies_in(bucket: &dyn Store, leaver: &Leaver) -> Result<bool> {
    Ok(bucket.head(&leaver.key).await?.is_some_and(|found| found.size == leaver.size))
}

/// Whether a pack may leave the cache, as far as the state knows.
fn may_leave(state: &State, pack: PackNo) -> bool {
    let info = state.index.pack(pack);
    let footer = || state.unlisted.get(&pack).is_some_and(|unlisted| unlisted.footer.is_some());
    let lies_in_bucket = info.acked && info.proven && info.fate == Fate::Sound;
    info.name.kind == PackKind::Data && info.cached() && lies_in_bucket && (info.span.is_some() || footer())
}

/// Whether a running backup leans on a pack or has written it.
fn is_worked_on(state: &State, view: &View, pack: PackNo) -> bool {
    view.pinned.contains(&pack) || state.index.pack(pack).born >= view.oldest_session
}

/// Packs that the newest snapshots of each app need.
fn packs_of_newest(state: &State, keep: u32) -> HashSet<PackNo> {
    let newest = newest(state, keep);
    let held = state.snapshots.iter().filter(|(id, _)| newest.contains(id));
    held.flat_map(|(_, held)| held.reach.iter().copied()).collect()
}

/// What snapshots make of packs, by the packs' numbers.
fn worths(state: &State, keep: u32) -> Vec<Worth> {
    let newest = newest(state, keep);
    let mut worths = vec![Worth::default(); state.index.packs().count()];
    for (id, held) in &state.snapshots {
        let own = Worth { kept: newest.contains(id), needed: Some(held.snapshot.sequence) };
        for pack in &held.reach {
            let worth = &mut worths[*pack as usize];
            *worth = own.max(*worth);
        }
    }
    worths
}

/// The newest snapshots of each app. What was saved of places before a restore is none of them.
fn newest(state: &State, keep: u32) -> HashSet<&SnapshotId> {
    let mut apps: HashMap<(&str, &str), Vec<(u64, &SnapshotId)>> = HashMap::new();
    for (id, held) in state.snapshots.iter().filter(|(_, held)| !held.snapshot.is_of_places()) {
        let snapshot = &held.snapshot;
        apps.entry((snapshot.host.as_str(), snapshot.app.as_str())).or_default().push((snapshot.sequence, id));
    }
    let newest = apps.into_values().flat_map(|mut all| {
        all.sort_unstable_by_key(|one| Reverse(*one));
        all.into_iter().take(keep as usize).map(|(_, id)| id)
    });
    newest.collect()
}
