//! Room in the cache: what it may take, and the gate before every pack that comes into it.
//!
//! Invariants: no pack of data comes in beyond the limit, however many come at once; none at all into the part of the disk that
//! stays free. Packs of metadata are let in over the quota and into that part, which is there for them, and small objects never ask: both
//! are small, they never leave, and a snapshot whose data is here has to be able to commit, as a prune has to be able to forget. Only what
//! comes back from the bucket never takes that part, whatever it is. Who waits at the gate waits for the bucket alone, and goes on or
//! fails; nothing that is stored is given up for what comes.
//!
//! Lock order: the state's lock may be taken while `inside` is held, never the other way round. The disk is asked before `inside` is
//! taken: one that does not answer holds up nobody but who asks.

use crate::{
    Repository,
    find::Attached,
    inner::Inner,
    layout::PackKind,
    state::{PackNo, State},
};
use holdfast_model::{
    Error, Kind, Result,
    cache::{CacheRule, CacheView, WhenFull},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, Weak},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, RwLockReadGuard, RwLockWriteGuard};

/// Tells the free bytes of the cache's disk and all of them; nothing where that is not known.
pub type DiskSpace = Arc<dyn Fn() -> Option<(u64, u64)> + Send + Sync>;

/// Of the disk this part stays free, and so many bytes at most, where nothing else was decided.
const RESERVE_PART: u64 = 20;
const RESERVE_MOST: u64 = 20 << 30;
/// Above the high-water mark packs leave without being asked, until the low one: these parts of the limit below it, and so many bytes at
/// most. In between the gate is passed at once.
const HIGH_PART: u64 = 20;
const HIGH_MOST: u64 = 2 << 30;
const LOW_PART: u64 = 10;
const LOW_MOST: u64 = 8 << 30;
/// Who waits gives up when the bucket has acknowledged nothing for so long.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Whoever comes so soon after one that gave up does not wait all over again: it is more of the same.
const IN_VAIN: Duration = Duration::from_secs(60);
/// Who waits looks again this often: what the disk has left changes without a word.
const LOOK: Duration = Duration::from_secs(1);
/// And no more often than this.
const PAUSE: Duration = Duration::from_millis(250);
/// A file system may take so long to show as free what was deleted.
const SETTLES: Duration = Duration::from_secs(45);
/// What somebody brought back stays as long as the newest snapshots do, for this time.
const WANTED: Duration = Duration::from_secs(24 * 3600);

/// Up to where something may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Limit,
    High,
}

/// What was decided.
#[derive(Clone, Default)]
struct Ruled {
    rule: CacheRule,
    disk: Option<DiskSpace>,
}

impl Ruled {
    fn is_boundless(&self) -> bool {
        self.rule.quota_bytes.is_none() && self.disk.is_none()
    }
    fn space(&self) -> Option<(u64, u64)> {
        let ask = self.disk.as_ref()?;
        ask()
    }
}

struct Inside {
    /// Bytes that were let in and that the state does not count yet.
    coming: u64,
    /// Who waits.
    waiting: usize,
    patience: Duration,
    /// When the bucket last acknowledged something.
    acknowledged: Option<Instant>,
    /// When somebody last waited in vain.
    gave_up: Option<Instant>,
    /// What the disk gave when something began to leave, and when that was: as if it had shown that since.
    floor: Option<(Instant, u64)>,
    wanted: Wanted,
}

/// Packs that somebody brought back, each with the time when it was last wanted: one warming makes no other one last longer.
#[derive(Default)]
struct Wanted(HashMap<PackNo, Instant>);

impl Wanted {
    fn want(&mut self, packs: impl Iterator<Item = PackNo>, now: Instant) {
        self.forget(now);
        self.0.extend(packs.map(|pack| (pack, now)));
    }
    fn all(&mut self, now: Instant) -> HashSet<PackNo> {
        self.forget(now);
        self.0.keys().copied().collect()
    }
    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, since| now.duration_since(*since) < WANTED);
    }
}

/// The cache's room.
pub(crate) struct Room {
    state: Arc<RwLock<State>>,
    bucket: Attached,
    owner: OnceLock<Weak<Inner>>,
    ruled: RwLock<Ruled>,
    inside: Mutex<Inside>,
    /// There is something to let go, or somebody waits: for whoever tends the cache.
    changed: Arc<Notify>,
    /// Something left, or may leave by now: for those who wait.
    moved: Notify,
    door: tokio::sync::RwLock<()>,
    alone: tokio::sync::Mutex<()>,
}

/// Room for a pack on its way into the cache. Dropped when the state counts the pack, or it did not come.
pub(crate) struct Place {
    room: Arc<Room>,
    bytes: u64,
    /// With it the cache is above its high-water mark.
    pressing: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.inside().coming -= self.bytes;
        if self.pressing {
            self.room.changed.notify_one();
        }
    }
}

/// Somebody who waits; dropped, it does no more.
struct Waiter<'a> {
    room: &'a Room,
    begun: Instant,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.room.inside().waiting -= 1;
    }
}

impl Waiter<'_> {
    fn begin(room: &Room) -> Waiter<'_> {
        room.inside().waiting += 1;
        room.changed.notify_one();
        Waiter { room, begun: Instant::now() }
    }

    /// Whether the bucket has taken nothing for too long.
    fn is_in_vain(&self) -> bool {
        let mut inside = self.room.inside();
        let quiet = inside.acknowledged.map_or(self.begun, |last| last.max(self.begun));
        let more_of_the_same = inside.gave_up.is_some_and(|at| at.elapsed() < IN_VAIN);
        let in_vain = more_of_the_same || quiet.elapsed() >= inside.patience;
        if in_vain {
            inside.gave_up = Some(Instant::now());
        }
        in_vain
    }
}

fn high(limit: u64) -> u64 {
    limit - (limit / HIGH_PART).min(HIGH_MOST)
}

fn low(limit: u64) -> u64 {
    limit - (limit / LOW_PART).min(LOW_MOST)
}

/// Bytes of all that the cache holds.
pub(crate) fn taken(state: &State) -> u64 {
    let small = state.small.values().filter(|small| small.cached).map(|small| small.size);
    state.index.cached_bytes() + small.sum::<u64>()
}

impl Room {
    pub(crate) fn new(state: Arc<RwLock<State>>, bucket: Attached) -> Arc<Room> {
        let inside = Inside {
            coming: 0,
            waiting: 0,
            patience: PATIENCE,
            acknowledged: None,
            gave_up: None,
            floor: None,
            wanted: Wanted::default(),
        };
        Arc::new(Room {
            state,
            bucket,
            owner: OnceLock::new(),
            ruled: RwLock::default(),
            inside: Mutex::new(inside),
            changed: Arc::default(),
            moved: Notify::new(),
            door: tokio::sync::RwLock::default(),
            alone: tokio::sync::Mutex::default(),
        })
    }

    /// Tells whose cache it is: who lets packs go.
    pub(crate) fn belongs_to(&self, owner: &Arc<Inner>) {
        // It has one owner for life.
        let _ = self.owner.set(Arc::downgrade(owner));
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no holder panics")
    }
    fn ruled(&self) -> Ruled {
        self.ruled.read().expect("no holder panics").clone()
    }
    /// Bytes of all that the cache holds.
    pub(crate) fn used(&self) -> u64 {
        taken(&self.state.read().expect("no holder panics"))
    }

    /// Held by whoever brings a pack from the bucket into the cache or looks whether one is there: nothing leaves between mark and deed.
    pub(crate) async fn door(&self) -> RwLockReadGuard<'_, ()> {
        self.door.read().await
    }
    /// Held while one pack leaves.
    pub(crate) async fn closed_door(&self) -> RwLockWriteGuard<'_, ()> {
        self.door.write().await
    }
    /// Packs are let go by one at a time: two would both let go what one needs.
    pub(crate) async fn alone(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.alone.lock().await
    }

    fn set_rule(&self, rule: CacheRule, disk: Option<DiskSpace>) {
        *self.ruled.write().expect("no holder panics") = Ruled { rule, disk };
        {
            let mut inside = self.inside();
            (inside.floor, inside.gave_up) = (None, None);
        }
        self.stir();
        self.changed.notify_one();
    }

    /// The newest snapshots of each app whose data leave last.
    pub(crate) fn keep_newest(&self) -> u32 {
        self.ruled.read().expect("no holder panics").rule.keep_newest
    }

    /// Bytes that the disk lets the cache take, as it shows now. Asked while nobody holds `inside`.
    fn disk_shows(&self, ruled: &Ruled) -> u64 {
        // Before the disk is asked: what comes in between makes it less, not more.
        let used = if ruled.disk.is_some() { self.used() } else { 0 };
        let Some((free, total)) = ruled.space() else { return u64::MAX };
        let reserve = ruled.rule.reserve_bytes.unwrap_or_else(|| (total / RESERVE_PART).min(RESERVE_MOST));
        used.saturating_add(free).saturating_sub(reserve)
    }

    /// Bytes that the disk lets the cache take, by what it showed right before.
    fn disk_gives(shown: u64, inside: &Inside) -> u64 {
        // What left may not be shown as free yet; taken for lost it would make more and more leave.
        let floor = inside.floor.filter(|(since, _)| since.elapsed() < SETTLES);
        floor.map_or(shown, |(_, floor)| shown.max(floor))
    }

    fn limit(ruled: &Ruled, shown: u64, inside: &Inside) -> u64 {
        ruled.rule.quota_bytes.unwrap_or(u64::MAX).min(Room::disk_gives(shown, inside))
    }

    /// What packs of a kind may take. Nothing stops metadata of a backup but a disk that is full; what need not come stays out of the
    /// part that stays free.
    fn most(ruled: &Ruled, shown: u64, inside: &Inside, (kind, mark): (PackKind, Mark)) -> u64 {
        match (kind, mark) {
            (PackKind::Meta, Mark::Limit) => u64::MAX,
            (PackKind::Meta, Mark::High) => Room::disk_gives(shown, inside),
            (PackKind::Data, Mark::Limit) => Room::limit(ruled, shown, inside),
            (PackKind::Data, Mark::High) => high(Room::limit(ruled, shown, inside)),
        }
    }

    /// The limit as it is now.
    fn limit_now(&self, ruled: &Ruled) -> u64 {
        let shown = self.disk_shows(ruled);
        Room::limit(ruled, shown, &self.inside())
    }

    fn take(self: &Arc<Self>, kind: PackKind, bytes: u64, mark: Mark) -> Option<Place> {
        let ruled = self.ruled();
        let shown = self.disk_shows(&ruled);
        let mut inside = self.inside();
        let mut pressing = false;
        if !ruled.is_boundless() {
            // While `inside` is held: each pack is either coming or counted.
            let then = self.used().saturating_add(inside.coming).saturating_add(bytes);
            if then > Room::most(&ruled, shown, &inside, (kind, mark)) {
                return None;
            }
            pressing = then > high(Room::limit(&ruled, shown, &inside));
        }
        inside.coming = inside.coming.saturating_add(bytes);
        Some(Place { room: Arc::clone(self), bytes, pressing })
    }

    /// Room for a pack up to the limit, as it is now.
    pub(crate) fn at_once(self: &Arc<Self>, kind: PackKind, bytes: u64) -> Option<Place> {
        self.take(kind, bytes, Mark::Limit)
    }

    /// Room for what need not come: below the mark from which on packs leave.
    pub(crate) fn spare(self: &Arc<Self>, kind: PackKind, bytes: u64) -> Option<Place> {
        self.take(kind, bytes, Mark::High)
    }

    /// Room for a pack without waiting for the bucket; what that holds leaves for it, if need be.
    /// `Refused` if somebody else writes the bucket by now.
    pub(crate) async fn ask(self: &Arc<Self>, kind: PackKind, bytes: u64) -> Result<Option<Place>> {
        if let Some(place) = self.at_once(kind, bytes) {
            return Ok(Some(place));
        }
        match self.owner() {
            Some(owner) => owner.make_room(kind, bytes).await,
            None => Ok(None),
        }
    }

    /// Room for a pack of a backup. Waits where the rule says so. `Full` (`cache.full`), `Refused` (`repository.fenced`).
    pub(crate) async fn enter(self: &Arc<Self>, kind: PackKind, bytes: u64) -> Result<Place> {
        let mut waiter: Option<Waiter<'_>> = None;
        loop {
            // Before the look: what moves meanwhile is not missed.
            let moved = self.moved.notified();
            if let Some(place) = self.ask(kind, bytes).await? {
                return Ok(place);
            }
            if let Some(why) = self.refusal() {
                return Err(self.full(why));
            }
            if waiter.get_or_insert_with(|| Waiter::begin(self)).is_in_vain() {
                return Err(self.full("the bucket has not taken anything for a quarter of an hour"));
            }
            if let Some(owner) = self.owner() {
                owner.still_takes().await?;
            }
            let _ = tokio::time::timeout(LOOK, moved).await;
            // Acknowledgements come many a second, and each look goes over all snapshots.
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn owner(&self) -> Option<Arc<Inner>> {
        self.owner.get()?.upgrade()
    }

    /// Why it makes no sense to wait.
    fn refusal(&self) -> Option<&'static str> {
        if self.bucket.read().expect("no holder panics").is_none() || self.owner().is_none() {
            return Some("no bucket is attached that could hold what is in it");
        }
        let refuses = self.ruled().rule.when_full == WhenFull::Refuse;
        refuses.then_some("the bucket does not hold yet what would have to leave it")
    }

    fn full(&self, why: &str) -> Error {
        let ruled = self.ruled();
        let limit = self.limit_now(&ruled);
        let by = if ruled.rule.quota_bytes.is_some_and(|quota| quota <= limit) { "quota" } else { "disk" };
        let (used, limit) = (self.used().div_ceil(MB), limit / MB);
        let text = format!("the cache is full, {used} MB of {limit} MB that its {by} lets it take, and {why}");
        Error::new(Kind::Full, "cache.full", text).advice(
            "let the cache take more (holdfast cache set), free its disk, see that the bucket takes what waits, or prune; then back up again",
        )
    }

    /// Where evictions end that make room for a pack: for data as far as the low-water mark, for what goes next is found by going over all
    /// snapshots, which is not for each pack.
    pub(crate) fn aim_for(&self, kind: PackKind, bytes: u64) -> u64 {
        let ruled = self.ruled();
        let shown = self.disk_shows(&ruled);
        let inside = self.inside();
        let most = Room::most(&ruled, shown, &inside, (kind, Mark::Limit));
        let aim = most.saturating_sub(inside.coming).saturating_sub(bytes);
        match kind {
            PackKind::Data => aim.min(low(most)),
            PackKind::Meta => aim,
        }
    }

    /// Where evictions end that nobody gave an aim: nowhere, while the cache is below its high-water mark.
    pub(crate) fn aim(&self) -> Option<u64> {
        let ruled = self.ruled();
        if ruled.is_boundless() {
            return None;
        }
        let limit = self.limit_now(&ruled);
        (self.used() > high(limit)).then(|| low(limit))
    }

    /// Where evictions end so that so many bytes may be brought back without any of them leaving at once.
    pub(crate) fn aim_below(&self, bytes: u64) -> u64 {
        high(self.limit_now(&self.ruled())).saturating_sub(bytes)
    }

    /// Whether a backup waits.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.inside().waiting > 0
    }

    /// Whether a backup waits, or packs are to leave.
    pub(crate) fn is_pressed(&self) -> bool {
        self.is_waited_for() || self.aim().is_some()
    }

    /// Something begins to leave.
    pub(crate) fn begins_to_leave(&self) {
        let shown = self.disk_shows(&self.ruled());
        let mut inside = self.inside();
        if inside.floor.is_none_or(|(since, _)| since.elapsed() >= SETTLES) {
            inside.floor = (shown < u64::MAX).then(|| (Instant::now(), shown));
        }
    }

    /// Those who wait look again.
    pub(crate) fn stir(&self) {
        self.moved.notify_waiters();
    }

    /// The bucket acknowledged something.
    pub(crate) fn acknowledged(&self) {
        {
            let mut inside = self.inside();
            (inside.acknowledged, inside.gave_up) = (Some(Instant::now()), None);
        }
        self.stir();
        if self.is_pressed() {
            self.changed.notify_one();
        }
    }

    /// A bucket was attached, which shows what it holds.
    pub(crate) fn bucket_came(&self) {
        self.inside().gave_up = None;
        self.stir();
        self.changed.notify_one();
    }

    /// Somebody brings these packs back.
    pub(crate) fn want(&self, packs: impl Iterator<Item = PackNo>) {
        self.inside().wanted.want(packs, Instant::now());
    }

    /// Packs that somebody brought back not long ago.
    pub(crate) fn wanted(&self) -> HashSet<PackNo> {
        self.inside().wanted.all(Instant::now())
    }

    #[cfg(test)]
    pub(crate) fn be_patient_for(&self, time: Duration) {
        self.inside().patience = time;
    }
}

const MB: u64 = 1_000_000;

impl Repository {
    /// What the cache may take from now on. `disk_free` is asked for the free bytes of its disk and all of them.
    pub fn set_cache_rule(&self, rule: CacheRule, disk_free: Option<DiskSpace>) {
        self.inner.room.set_rule(rule, disk_free);
    }

    /// How the cache does. Goes over all snapshots.
    pub fn cache_view(&self) -> CacheView {
        let room = &self.inner.room;
        let holds = self.inner.holdings();
        let ruled = room.ruled();
        let bucket_only_bytes = self.inner.only_in_bucket().bytes;
        CacheView {
            used_bytes: holds.used,
            limit_bytes: room.limit_now(&ruled),
            unshipped_bytes: holds.unshipped,
            pinned_bytes: holds.pinned,
            newest_bytes: holds.newest,
            evictable_bytes: holds.evictable,
            bucket_only_bytes,
            waiting: room.is_waited_for(),
            rule: ruled.rule,
        }
    }

    /// Whether a backup waits for room in the cache.
    pub fn waits_for_room(&self) -> bool {
        self.inner.room.is_waited_for()
    }

    /// Tells whoever tends the cache that something is to leave it, or that a backup waits for room. One listens.
    pub fn room_changed(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.room.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn what_is_brought_back_each_day_makes_nothing_older_stay() {
        let (begin, mut wanted) = (Instant::now(), Wanted::default());
        let hours = |count: u64| begin + Duration::from_secs(count * 3600);
        wanted.want([1, 2].into_iter(), hours(0));
        wanted.want([2, 3].into_iter(), hours(20));
        assert_eq!(wanted.all(hours(23)), HashSet::from([1, 2, 3]));
        assert_eq!(wanted.all(hours(25)), HashSet::from([2, 3]), "the first is wanted no more");
        wanted.want([4].into_iter(), hours(40));
        assert_eq!(wanted.all(hours(45)), HashSet::from([4]));
        wanted.want(std::iter::empty(), hours(65));
        assert!(wanted.0.is_empty(), "and takes no memory either");
    }

    #[test]
    fn the_lower_of_quota_and_disk_is_the_limit() {
        let limit = |rule: CacheRule, space: Option<(u64, u64)>| {
            let room = Room::new(Arc::default(), Arc::default());
            room.set_rule(rule, space.map(|space| Arc::new(move || Some(space)) as DiskSpace));
            room.limit_now(&room.ruled())
        };
        let quota = |bytes| CacheRule { quota_bytes: Some(bytes), ..CacheRule::default() };
        assert_eq!(limit(CacheRule::default(), None), u64::MAX);
        assert_eq!(limit(quota(1000), None), 1000);
        assert_eq!(limit(quota(1000), Some((400, 2000))), 300, "a twentieth of the disk stays free");
        assert_eq!(limit(CacheRule::default(), Some((90 << 30, 4 << 40))), 70 << 30, "20 GiB at most");
        let none = CacheRule { reserve_bytes: Some(1 << 60), ..CacheRule::default() };
        assert_eq!(limit(none, Some((400, 2000))), 0);
    }

    #[test]
    fn a_disk_that_does_not_answer_holds_up_nobody_but_who_asks() {
        let room = Room::new(Arc::default(), Arc::default());
        let asked = Arc::new(AtomicUsize::new(0));
        let (seen, count) = (Arc::downgrade(&room), Arc::clone(&asked));
        let disk: DiskSpace = Arc::new(move || {
            let room = seen.upgrade()?;
            assert!(room.inside.try_lock().is_ok(), "others pass while the disk is asked");
            count.fetch_add(1, Ordering::SeqCst);
            Some((1000, 1000))
        });
        room.set_rule(CacheRule::default(), Some(disk));
        drop(room.at_once(PackKind::Data, 1).unwrap());
        drop(room.spare(PackKind::Meta, 1).unwrap());
        assert_eq!(room.aim_for(PackKind::Data, 1), low(950));
        assert_eq!((room.aim(), room.aim_below(1)), (None, high(950) - 1));
        room.begins_to_leave();
        room.acknowledged();
        assert_eq!(room.full("of this").code(), "cache.full");
        assert_eq!(asked.load(Ordering::SeqCst), 8, "each of these asks");
    }
}
