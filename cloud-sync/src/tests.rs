//! The shipper against hostile buckets: the law after every put, success after every fault.

mod whole;

use crate::line::Line;
use crate::shipper::{Shipper, begin};
use crate::source::Source;
use async_trait::async_trait;
use bytes::Bytes;
use holdfast_model::uploads::{UploadWindow, Uploads};
use holdfast_model::{Error, Kind, Moment, Result, SnapshotId};
use holdfast_repository::{ShipItem, ShipList, Stage};
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::{Counting, Faulty, MemStore, ObjectInfo, Op, PutMode, Store};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::time::Duration;

/// A repository without anything behind it.
#[derive(Debug, Default)]
struct Fake {
    list: Mutex<Vec<ShipItem>>,
    acked: Mutex<BTreeSet<String>>,
    damaged: Mutex<BTreeSet<String>>,
    /// What each snapshot key needs in the bucket.
    needs: Mutex<BTreeMap<String, Vec<String>>>,
    /// The bucket does not say whether somebody has taken over.
    unseen: AtomicBool,
    /// How often bytes were asked for.
    asked: AtomicUsize,
}

fn content(key: &str) -> Bytes {
    Bytes::from(key.repeat(10).into_bytes())
}

impl Fake {
    /// Setup, settings, and two snapshots of which the second needs packs of the first.
    fn with_two_snapshots() -> Arc<Fake> {
        let fake = Arc::new(Fake::default());
        fake.add("format", Stage::Setup, None);
        fake.add("k/recovery", Stage::Setup, None);
        fake.add_snapshot(1, &["p/1", "p/2", "p/3", "p/4", "p/5", "p/6"], &[]);
        fake.add_snapshot(2, &["p/7"], &["p/1", "i/1"]);
        fake.add("c/1", Stage::Settings, None);
        fake
    }

    fn add(&self, key: &str, stage: Stage, snapshot: Option<u8>) {
        let snapshot = snapshot.map(|n| SnapshotId::new(Moment::from_millis(i64::from(n)), [n; 10]));
        let size = content(key).len() as u64;
        self.list.lock().unwrap().push(ShipItem { key: key.into(), size, stage, snapshot });
    }

    fn add_snapshot(&self, number: u8, packs: &[&str], older: &[&str]) {
        for pack in packs {
            self.add(pack, Stage::Pack, Some(number));
        }
        let [segment, reach, snapshot] = ["i", "r", "s"].map(|class| format!("{class}/{number}"));
        self.add(&segment, Stage::Segment, Some(number));
        self.add(&reach, Stage::Reach, Some(number));
        self.add(&snapshot, Stage::Snapshot, Some(number));
        let mut needs: Vec<String> = packs.iter().chain(older).map(|key| (*key).to_owned()).collect();
        needs.extend(["format".into(), "k/recovery".into(), segment, reach]);
        self.needs.lock().unwrap().insert(snapshot, needs);
    }

    fn keys(&self) -> BTreeSet<String> {
        self.list.lock().unwrap().iter().map(|item| item.key.clone()).collect()
    }

    fn is_done(&self) -> bool {
        *self.acked.lock().unwrap() == self.keys()
    }
}

#[async_trait]
impl Source for Fake {
    fn to_ship(&self, most: usize, stuck: &HashSet<String>) -> ShipList {
        let acked = self.acked.lock().unwrap();
        let list = self.list.lock().unwrap();
        let lacking: Vec<&ShipItem> = list.iter().filter(|item| !acked.contains(&item.key)).collect();
        let (objects, bytes) = (lacking.len() as u64, lacking.iter().map(|item| item.size).sum());
        // As the repository does it: what needs something that is stuck comes last, but for what others need of it.
        let needs = self.needs.lock().unwrap();
        let stands = |needs: &Vec<String>| !needs.iter().any(|key| stuck.contains(key));
        let held_up: HashSet<&SnapshotId> = lacking
            .iter()
            .copied()
            .filter(|item| stuck.contains(&item.key) || needs.get(&item.key).is_some_and(|needs| !stands(needs)))
            .filter_map(|item| item.snapshot.as_ref())
            .collect();
        let wanted: HashSet<&String> = needs.values().filter(|needs| stands(needs)).flatten().collect();
        let is_late = |item: &ShipItem| {
            let of_it = item.snapshot.as_ref().map_or(stuck.contains(&item.key), |id| held_up.contains(id));
            of_it && !wanted.contains(&item.key) && !matches!(item.stage, Stage::Setup | Stage::Settings)
        };
        let (late, first): (Vec<&ShipItem>, Vec<&ShipItem>) = lacking.into_iter().partition(|item| is_late(item));
        let first = first.into_iter().take(most);
        let items: Vec<ShipItem> = first.chain(late.into_iter().take(most / 8)).cloned().collect();
        ShipList { items, objects, bytes }
    }

    async fn ship_bytes(&self, key: &str) -> Result<Bytes> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.unseen.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Unavailable, holdfast_repository::FENCE_UNSEEN, "the bucket does not say"));
        }
        if self.damaged.lock().unwrap().contains(key) {
            return Err(Error::new(Kind::Corrupt, "pack.corrupt", "a pack in the cache is damaged"));
        }
        Ok(content(key))
    }

    async fn acknowledged(&self, key: &str, size: u64) -> Result<()> {
        assert_eq!(size, content(key).len() as u64);
        assert!(self.acked.lock().unwrap().insert(key.to_owned()), "{key} acknowledged twice");
        Ok(())
    }

    fn last_acknowledged(&self) -> Option<Moment> {
        None
    }
}

/// A bucket that looks at law L1 after every put.
#[derive(Debug)]
struct Witness {
    bucket: MemStore,
    fake: Arc<Fake>,
    puts: Mutex<Vec<String>>,
}

impl Witness {
    async fn look(&self) {
        let there: BTreeSet<String> = self.bucket.list("").await.unwrap().into_iter().map(|info| info.key).collect();
        for (snapshot, needs) in self.fake.needs.lock().unwrap().iter() {
            let missing: Vec<_> = needs.iter().filter(|key| !there.contains(*key)).collect();
            assert!(!there.contains(snapshot) || missing.is_empty(), "{snapshot} is visible without {missing:?}");
        }
        for key in self.fake.acked.lock().unwrap().iter() {
            assert!(there.contains(key), "{key} is called acknowledged and is not there");
        }
    }
}

#[async_trait]
impl Store for Witness {
    fn place(&self) -> String {
        "witness".into()
    }
    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        assert!(!self.fake.acked.lock().unwrap().contains(key), "{key} was acknowledged and is sent again");
        self.puts.lock().unwrap().push(key.to_owned());
        let result = self.bucket.put(key, bytes, mode).await;
        self.look().await;
        result
    }
    async fn get(&self, key: &str) -> Result<Bytes> {
        self.bucket.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.bucket.get_range(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.bucket.head(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.bucket.list(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.bucket.delete(key).await
    }
}

struct House {
    fake: Arc<Fake>,
    witness: Arc<Witness>,
    faulty: Arc<Faulty>,
}

impl House {
    fn new() -> House {
        let fake = Fake::with_two_snapshots();
        let witness = Arc::new(Witness { bucket: MemStore::new(), fake: fake.clone(), puts: Mutex::default() });
        let faulty = Arc::new(Faulty::new(witness.clone()));
        House { fake, witness, faulty }
    }

    fn start(&self, stop: &Stop) -> Arc<Shipper> {
        begin(self.fake.clone(), self.faulty.clone(), Line::default(), Clock::system(), stop.clone())
    }

    /// Ships until everything arrived; time is the test's, so that patience costs none.
    async fn ship(&self) {
        let stop = Stop::new();
        let shipper = self.start(&stop);
        self.wait(&shipper, |house| house.fake.is_done()).await;
        assert_eq!(shipper.status().error, None);
        assert_eq!((shipper.status().queued_objects, shipper.status().queued_bytes), (0, 0));
        end(&shipper, &stop).await;
        self.witness.look().await;
    }

    async fn wait(&self, shipper: &Shipper, done: impl Fn(&House) -> bool) {
        let mut changes = shipper.subscribe();
        let waiting = async {
            while !done(self) {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(3600), waiting).await.expect("within the hour");
        // The board is posted after the acknowledgement: give the loop its turn.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn end(shipper: &Shipper, stop: &Stop) {
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(1), shipper.finished()).await.expect("stops promptly");
}

#[tokio::test(start_paused = true)]
async fn everything_arrives_in_lawful_order_and_once() {
    let house = House::new();
    house.ship().await;
    let puts = house.witness.puts.lock().unwrap().clone();
    assert_eq!(puts.len(), house.fake.keys().len());
    assert_eq!(puts[..2], ["format", "k/recovery"]);
    let place = |key: &str| puts.iter().position(|other| other == key).unwrap();
    assert!(place("s/1") < place("s/2"), "the oldest snapshot first");
    assert!(place("p/7") < place("s/1"), "the line does not idle while a stage ends");
}

#[tokio::test(start_paused = true)]
async fn every_fault_at_every_call_ends_in_success() {
    let house = House::new();
    house.ship().await;
    let calls = house.faulty.calls(Op::Any);
    assert!(calls > 14);
    for nth in 0..calls {
        for kind in [Kind::Unavailable, Kind::Denied, Kind::Full, Kind::NotFound, Kind::Corrupt, Kind::Bug] {
            let house = House::new();
            house.faulty.fail(Op::Any, nth, kind);
            house.ship().await;
        }
        let house = House::new();
        house.faulty.lose_reply(Op::Any, nth);
        house.ship().await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_faults_in_a_row_end_in_success() {
    for seed in 0..20u64 {
        let house = House::new();
        for nth in 0..60 {
            match (nth * 2_654_435_761 + seed * 40_503) % 7 {
                0 | 1 => house.faulty.fail(Op::Any, nth, Kind::Unavailable),
                2 => house.faulty.lose_reply(Op::Any, nth),
                3 => house.faulty.fail(Op::Any, nth, Kind::Invalid),
                _ => {}
            }
        }
        house.ship().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_call_and_a_restart_send_nothing_acknowledged_again() {
    for nth in 0..30 {
        let house = House::new();
        house.faulty.crash_at(nth);
        let stop = Stop::new();
        let shipper = house.start(&stop);
        tokio::time::sleep(Duration::from_secs(2)).await;
        end(&shipper, &stop).await;
        house.witness.look().await;
        house.faulty.heal();
        house.ship().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_shown_waited_out_and_over_on_a_nudge() {
    let house = House::new();
    house.faulty.crash_at(5);
    let stop = Stop::new();
    let shipper = house.start(&stop);
    let mut changes = shipper.subscribe();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    let status = shipper.status();
    assert_eq!(status.error.unwrap().code, "fault.unavailable");
    assert!(status.queued_objects > 0 && status.queued_bytes > 0);
    let tries = house.faulty.calls(Op::Any);
    assert!((60..3000).contains(&tries), "an hour at up to a minute each: {tries} tries");
    assert!(!changes.has_changed().unwrap(), "the same trouble is told once");
    house.faulty.heal();
    shipper.nudge();
    let begun = tokio::time::Instant::now();
    house.wait(&shipper, |house| house.fake.is_done()).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "a nudge does not wait for the back-off");
    let status = shipper.status();
    assert_eq!((status.error, status.queued_objects), (None, 0));
    assert!(status.last_acknowledged.is_some() && status.sent_bytes > 0);
    end(&shipper, &stop).await;
}

#[tokio::test(start_paused = true)]
async fn new_work_is_found_by_nudge_and_without() {
    let house = House::new();
    let stop = Stop::new();
    let shipper = house.start(&stop);
    house.wait(&shipper, |house| house.fake.is_done()).await;
    for (number, nudge) in [(3, true), (4, false)] {
        house.fake.add_snapshot(number, &[format!("p/x{number}").as_str()], &["p/2"]);
        let begun = tokio::time::Instant::now();
        if nudge {
            shipper.nudge();
        }
        house.wait(&shipper, |house| house.fake.is_done()).await;
        let limit = if nudge { 1 } else { 31 };
        assert!(begun.elapsed() < Duration::from_secs(limit));
    }
    end(&shipper, &stop).await;
}

#[tokio::test(start_paused = true)]
async fn a_foreign_object_is_named_and_holds_up_only_what_needs_it() {
    // Same size and other bytes under a name that is not its content's; another size under one that is.
    for (key, size) in [("r/1", 30), ("p/7", 31), ("c/1", 30)] {
        let house = House::new();
        house.witness.bucket.put(key, vec![0; size].into(), PutMode::Once).await.unwrap();
        let stop = Stop::new();
        let shipper = house.start(&stop);
        tokio::time::sleep(Duration::from_secs(600)).await;
        let trouble = shipper.status().error.expect("shown");
        assert_eq!(trouble.code, "bucket.foreign_object");
        assert!(trouble.words.contains(key) && trouble.advice.is_some(), "{trouble:?}");
        let acked = house.fake.acked.lock().unwrap().clone();
        assert!(acked.contains("p/6") && !acked.contains(key));
        let holds = match key {
            "r/1" => !acked.contains("s/1") && acked.contains("s/2"),
            "p/7" => acked.contains("s/1") && !acked.contains("s/2"),
            _ => acked.contains("s/1") && acked.contains("s/2"),
        };
        assert!(holds, "{key}: {acked:?}");
        house.witness.bucket.delete(key).await.unwrap();
        house.wait(&shipper, |house| house.fake.is_done()).await;
        assert_eq!(shipper.status().error, None);
        end(&shipper, &stop).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_pack_in_the_cache_is_named_until_it_is_healed() {
    let house = House::new();
    house.fake.damaged.lock().unwrap().insert("p/7".into());
    let stop = Stop::new();
    let shipper = house.start(&stop);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(shipper.status().error.unwrap().code, "pack.corrupt");
    assert!(house.fake.acked.lock().unwrap().contains("s/1"), "the older snapshot does not wait");
    assert_eq!(shipper.status().queued_objects, 4);
    house.fake.damaged.lock().unwrap().clear();
    house.wait(&shipper, |house| house.fake.is_done()).await;
    assert_eq!(shipper.status().error, None);
    end(&shipper, &stop).await;
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_a_slow_bucket() {
    let house = House::new();
    house.faulty.delay(Duration::from_secs(86_400));
    let stop = Stop::new();
    let shipper = house.start(&stop);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(house.faulty.calls(Op::Put), 1);
    end(&shipper, &stop).await;
    assert!(house.fake.acked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn packs_fly_side_by_side() {
    let fake = Fake::with_two_snapshots();
    let counting = Arc::new(Counting::new(Arc::new(MemStore::new())));
    let faulty = Arc::new(Faulty::new(counting.clone()));
    faulty.delay(Duration::from_secs(1));
    let stop = Stop::new();
    let shipper = begin(fake.clone(), faulty, Line::default(), Clock::system(), stop.clone());
    // Two setup objects of two calls each, then the packs four at a time.
    tokio::time::sleep(Duration::from_millis(5500)).await;
    assert_eq!(counting.counts().puts, 2 + 4);
    end(&shipper, &stop).await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_calls_back_what_flies_and_nothing_is_lost() {
    let house = House::new();
    house.faulty.delay(Duration::from_secs(60));
    let (line, stop) = (Line::default(), Stop::new());
    let shipper = begin(house.fake.clone(), house.faulty.clone(), line.clone(), Clock::system(), stop.clone());
    tokio::time::sleep(Duration::from_secs(300)).await;
    line.decide(Uploads { paused: true, ..Uploads::default() });
    shipper.nudge();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = house.faulty.calls(Op::Any);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let status = shipper.status();
    assert_eq!((house.faulty.calls(Op::Any), status.allowed, status.error), (before, Some(0), None));
    assert!(status.queued_objects > 0);
    line.decide(Uploads::default());
    shipper.nudge();
    house.wait(&shipper, |house| house.fake.is_done()).await;
    assert_eq!(shipper.status().allowed, None);
    end(&shipper, &stop).await;
    house.witness.look().await;
}

#[tokio::test(start_paused = true)]
async fn windows_open_and_close_by_the_clock() {
    let house = House::new();
    // 28 November 2026, 07:59:30 UTC.
    let clock = Clock::manual(Moment::from_millis(1_795_852_770_000));
    let line = Line::default();
    let windows =
        vec![UploadWindow::parse("08:00-18:00=full").unwrap(), UploadWindow::parse("18:00-08:00=none").unwrap()];
    line.decide(Uploads { windows, ..Uploads::default() });
    let stop = Stop::new();
    let shipper = begin(house.fake.clone(), house.faulty.clone(), line, clock.clone(), stop.clone());
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!((house.faulty.calls(Op::Any), shipper.status().allowed), (0, Some(0)));
    clock.advance(Duration::from_secs(60));
    house.wait(&shipper, |house| house.fake.is_done()).await;
    end(&shipper, &stop).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_longer_than_what_is_in_memory_arrives_whole() {
    let house = House::new();
    for number in 0..5_000 {
        house.fake.add(&format!("p/{number:05}"), Stage::Pack, Some(3));
    }
    house.fake.add("s/3", Stage::Snapshot, Some(3));
    let bucket = Arc::new(MemStore::new());
    let stop = Stop::new();
    let shipper = begin(house.fake.clone(), bucket.clone(), Line::default(), Clock::system(), stop.clone());
    let begun = tokio::time::Instant::now();
    while shipper.status().last_acknowledged.is_none() || shipper.status().queued_objects > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "nobody waits for the half minute: {:?}", begun.elapsed());
    end(&shipper, &stop).await;
    assert!(house.fake.is_done());
    assert_eq!(bucket.list("").await.unwrap().len(), house.fake.keys().len());
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_does_not_say_who_writes_it_is_left_in_peace() {
    let house = House::new();
    house.fake.unseen.store(true, Ordering::Relaxed);
    let stop = Stop::new();
    let shipper = house.start(&stop);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let asked = house.fake.asked.load(Ordering::Relaxed);
    assert!((60..3000).contains(&asked), "an hour at up to a minute each: {asked} questions");
    house.fake.unseen.store(false, Ordering::Relaxed);
    house.wait(&shipper, |house| house.fake.is_done()).await;
    assert_eq!(shipper.status().error, None, "nothing of the outage stays on the board");
    end(&shipper, &stop).await;
}

#[tokio::test(start_paused = true)]
async fn many_objects_that_fail_one_after_the_other_are_not_tried_without_end() {
    let house = House::new();
    for number in 0..1000 {
        let key = format!("p/{number:05}");
        house.fake.add(&key, Stage::Pack, None);
        house.fake.damaged.lock().unwrap().insert(key);
    }
    let stop = Stop::new();
    let shipper = house.start(&stop);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let asked = house.fake.asked.load(Ordering::Relaxed);
    assert!(asked < 5000, "{asked} questions in an hour");
    assert!(house.fake.acked.lock().unwrap().contains("s/2"), "what is listed before them has arrived");
    end(&shipper, &stop).await;
}

#[tokio::test(start_paused = true)]
async fn what_failed_for_its_own_reasons_is_all_tried_again_without_a_nudge() {
    let house = House::new();
    for number in 0..10 {
        let key = format!("p/{number:05}");
        house.fake.add(&key, Stage::Pack, None);
        house.fake.damaged.lock().unwrap().insert(key);
    }
    let stop = Stop::new();
    let shipper = house.start(&stop);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!house.fake.is_done());
    house.fake.damaged.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(house.fake.is_done(), "more than one turn takes");
    assert_eq!(shipper.status().error, None);
    end(&shipper, &stop).await;
}

/// More than the list in memory holds does not arrive, each object with a snapshot of its own that waits for it.
#[tokio::test(start_paused = true)]
async fn what_is_stuck_in_great_number_holds_up_nothing_behind_it() {
    for foreign in [false, true] {
        let house = House::new();
        let count = if foreign { 40 } else { 2_500 };
        for number in 0..count {
            let (pack, snapshot) = (format!("p/x{number:05}"), format!("s/x{number:05}"));
            let owner = Some(SnapshotId::new(Moment::from_millis(1_000 + number), [9; 10]));
            let items = [(&pack, Stage::Pack), (&snapshot, Stage::Snapshot)].map(|(key, stage)| {
                let size = content(key).len() as u64;
                ShipItem { key: key.clone(), size, stage, snapshot: owner.clone() }
            });
            house.fake.list.lock().unwrap().extend(items);
            house.fake.needs.lock().unwrap().insert(snapshot, vec![pack.clone()]);
            match foreign {
                true => house.witness.bucket.put(&pack, vec![0; 5].into(), PutMode::Once).await.unwrap(),
                false => drop(house.fake.damaged.lock().unwrap().insert(pack)),
            }
        }
        house.fake.add_snapshot(200, &["p/behind"], &[]);
        let stop = Stop::new();
        let shipper = house.start(&stop);
        tokio::time::sleep(Duration::from_secs(7200)).await;
        let acked = house.fake.acked.lock().unwrap().clone();
        assert!(acked.contains("s/200") && acked.contains("s/2"), "{foreign}: {}", acked.len());
        let status = shipper.status();
        assert_eq!(status.queued_objects, 2 * u64::try_from(count).unwrap());
        assert!(status.error.is_some(), "and is told");
        end(&shipper, &stop).await;
    }
}
