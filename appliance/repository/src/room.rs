//! How much room the cache has: the rule that people decide, what the disk gives, and who waits for some.
//!
//! Invariant: nobody waits for ever. A backup that finds no room goes on as soon as the bucket takes something, and ends with
//! `cache.full` if it takes nothing for [`PATIENCE`], if there is no bucket, or if the rule says so.

use holdfast_model::{
    Error, Kind, Result,
    cache::{CacheRule, WhenFull},
};
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Tells free and all bytes of the disk that the cache lies on; nothing where that is not known.
pub type Space = Arc<dyn Fn() -> Option<(u64, u64)> + Send + Sync>;

/// Of a disk this much stays free for others unless somebody decides otherwise, at most.
const RESERVE_MOST: u64 = 20 << 30;
/// How long a backup bears that the bucket takes nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How often whoever waits looks for himself: a disk tells nobody that it has room again.
const LOOK: Duration = Duration::from_secs(1);

/// The rule and who waits.
#[derive(Default)]
pub(crate) struct Room {
    rule: Mutex<(CacheRule, Option<Space>)>,
    waiting: AtomicUsize,
    /// Bytes of packs that were given room and are being written.
    coming: Mutex<u64>,
    /// Something could not leave that should have: whatever the bucket takes from now on matters.
    tight: AtomicBool,
    /// Counts what the bucket took, and new rules.
    moved: Mutex<u64>,
    stirred: Condvar,
    changed: Arc<Notify>,
    /// One at a time lets packs go.
    pub(crate) leaving: tokio::sync::Mutex<()>,
}

impl Room {
    pub(crate) fn decide(&self, rule: CacheRule, space: Option<Space>) {
        *self.decided() = (rule, space);
        self.stir();
    }
    pub(crate) fn rule(&self) -> CacheRule {
        self.decided().0.clone()
    }
    /// Bytes that the cache may take, while it takes `used`.
    pub(crate) fn limit(&self, used: u64) -> u64 {
        let (rule, space) = self.decided().clone();
        let disk = space.and_then(|space| space()).map(|(free, all)| {
            let reserve = rule.reserve_bytes.unwrap_or((all / 20).min(RESERVE_MOST));
            used.saturating_add(free).saturating_sub(reserve)
        });
        rule.quota_bytes.unwrap_or(u64::MAX).min(disk.unwrap_or(u64::MAX))
    }
    /// What the cache comes down to if it is above its high-water mark: nineteen parts of twenty fill it, eighteen are left.
    pub(crate) fn aim(&self, used: u64) -> Option<u64> {
        let limit = self.limit(used);
        (used > limit - limit / 20).then(|| low(limit))
    }
    /// The low-water mark, while the cache takes `used`.
    pub(crate) fn low_mark(&self, used: u64) -> u64 {
        low(self.limit(used))
    }
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
    /// Whether what the bucket takes is wanted out of the cache.
    pub(crate) fn is_tight(&self) -> bool {
        self.tight.load(Ordering::Relaxed) || self.is_waited_for()
    }
    pub(crate) fn set_tight(&self, tight: bool) {
        self.tight.store(tight, Ordering::Relaxed);
    }
    /// Told whoever lets packs go: there may be some.
    pub(crate) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }
    /// The bucket took something.
    pub(crate) fn took(&self) {
        self.stir();
        if self.is_tight() {
            self.changed.notify_one();
        }
    }
    /// Gives `size` bytes room if they fit beside `used` ones and all that is being written. Otherwise what the cache would have to
    /// come down to.
    pub(crate) fn claim(&self, used: impl Fn() -> u64, size: u64) -> Result<Coming<'_>, u64> {
        let mut coming = self.coming.lock().expect("no holder panics");
        let used = used();
        let limit = self.limit(used);
        let wanted = coming.saturating_add(size);
        if used.saturating_add(wanted) > limit {
            return Err(limit.saturating_sub(wanted));
        }
        *coming = wanted;
        Ok(Coming { room: self, size })
    }
    fn stir(&self) {
        *self.moved() += 1;
        self.stirred.notify_all();
    }
    fn moved(&self) -> MutexGuard<'_, u64> {
        self.moved.lock().expect("no holder panics")
    }
    fn decided(&self) -> MutexGuard<'_, (CacheRule, Option<Space>)> {
        self.rule.lock().expect("no holder panics")
    }

    /// Waits until there is room. `can_wait`: whether there is a bucket that may take something. Blocks.
    pub(crate) fn wait<T>(&self, mut room: impl FnMut() -> Option<T>, can_wait: impl Fn() -> bool) -> Result<T> {
        if let Some(given) = room() {
            return Ok(given);
        }
        let _waits = Waits::of(self);
        let mut last = (*self.moved(), Instant::now());
        loop {
            if self.rule().when_full == WhenFull::Refuse || !can_wait() || last.1.elapsed() > PATIENCE {
                return Err(full());
            }
            self.changed.notify_one();
            let moved = self.moved();
            let still = |moved: &mut u64| *moved == last.0;
            let (moved, _) = self.stirred.wait_timeout_while(moved, LOOK, still).expect("no holder panics");
            if *moved != last.0 {
                last = (*moved, Instant::now());
            }
            drop(moved);
            if let Some(given) = room() {
                return Ok(given);
            }
        }
    }
}

/// Room for a pack on its way into the cache, until it is dropped.
pub(crate) struct Coming<'a> {
    room: &'a Room,
    size: u64,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        *self.room.coming.lock().expect("no holder panics") -= self.size;
    }
}

/// Somebody waits as long as it lives.
struct Waits<'a>(&'a Room);

impl Waits<'_> {
    fn of(room: &Room) -> Waits<'_> {
        room.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(room)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn low(limit: u64) -> u64 {
    limit - limit / 10
}

fn full() -> Error {
    let text = "the cache has no room: its quota or its disk gives no more, and nothing in it may leave that the bucket does not hold";
    Error::new(Kind::Full, "cache.full", text)
        .advice("let the cache take more, free its disk, see that the bucket takes what waits, or prune")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruled(rule: CacheRule, space: Option<(u64, u64)>) -> Room {
        let room = Room::default();
        room.decide(rule, space.map(|space| Arc::new(move || Some(space)) as Space));
        room
    }

    #[test]
    fn the_lower_of_quota_and_disk_is_the_limit() {
        let quota = |bytes| CacheRule { quota_bytes: Some(bytes), ..CacheRule::default() };
        assert_eq!(ruled(CacheRule::default(), None).limit(7), u64::MAX);
        assert_eq!(ruled(quota(1000), None).limit(7), 1000);
        assert_eq!(ruled(quota(1000), Some((100, 2000))).limit(300), 300, "a twentieth of the disk stays free");
        assert_eq!(ruled(CacheRule::default(), Some((90 << 30, 4 << 40))).limit(0), 70 << 30, "20 GiB at most");
        let none = CacheRule { reserve_bytes: Some(1 << 60), ..CacheRule::default() };
        assert_eq!(ruled(none, Some((100, 2000))).limit(300), 0);
    }

    #[test]
    fn what_is_being_written_counts() {
        let room = ruled(CacheRule { quota_bytes: Some(1000), ..CacheRule::default() }, None);
        let first = room.claim(|| 100, 500).ok().unwrap();
        assert_eq!(room.claim(|| 100, 500).err(), Some(0), "both do not fit");
        let second = room.claim(|| 100, 400).ok().unwrap();
        drop(first);
        assert_eq!(room.claim(|| 600, 100).err(), Some(500));
        drop(second);
        assert!(room.claim(|| 600, 100).is_ok());
    }

    #[test]
    fn above_the_high_mark_it_comes_down_to_the_low_one() {
        let room = ruled(CacheRule { quota_bytes: Some(1000), ..CacheRule::default() }, None);
        assert_eq!((room.aim(950), room.aim(951)), (None, Some(900)));
        assert_eq!(Room::default().aim(u64::MAX / 2), None);
    }

    #[test]
    fn who_waits_goes_on_when_something_moved_and_is_seen_meanwhile() {
        let room = Arc::new(Room::default());
        let waiter = std::thread::spawn({
            let room = Arc::clone(&room);
            let mut asked = 0;
            move || {
                room.wait(
                    || {
                        asked += 1;
                        (asked > 2).then_some(())
                    },
                    || true,
                )
            }
        });
        while !room.is_waited_for() {
            std::thread::yield_now();
        }
        while !waiter.is_finished() {
            room.took();
            std::thread::sleep(Duration::from_millis(1));
        }
        waiter.join().unwrap().unwrap();
        assert!(!room.is_waited_for());
    }

    #[test]
    fn without_a_bucket_or_by_the_rule_nobody_waits() {
        let error = Room::default().wait(|| None::<()>, || false).unwrap_err();
        assert_eq!((error.code(), error.kind()), ("cache.full", Kind::Full));
        let room = ruled(CacheRule { when_full: WhenFull::Refuse, ..CacheRule::default() }, None);
        assert_eq!(room.wait(|| None::<()>, || true).unwrap_err().code(), "cache.full");
        assert!(room.wait(|| Some(()), || false).is_ok());
    }
}
