//! Eviction: what may leave the cache and in which order, what comes back, and what backups do when it is full.

use super::*;
use crate::layout::PackKind;
use holdfast_model::{
    Kind, Problem, Severity,
    cache::{CacheRule, CacheView, Evicted, WhenFull},
    lock::{LockMode, LockRule},
    view::{CloudState, LocalState},
};
use holdfast_storage::{Faulty, ObjectInfo, Op};
use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Bytes of a snapshot's data, which makes one pack.
const SIZE: usize = 100_000;
/// Long enough for everything that is not meant to wait.
const AT_ONCE: Duration = Duration::from_secs(60);

struct House {
    repository: Repository,
    cache: Arc<dyn Store>,
    bucket: Arc<dyn Store>,
}

impl House {
    async fn new() -> House {
        let (repository, cache) = fresh().await;
        let bucket = memory();
        repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        House { repository, cache, bucket }
    }

    async fn keep(&self, app: &str, seed: u64) -> Snapshot {
        keep(&self.repository, app, seed).await.unwrap()
    }

    async fn ship(&self) {
        ship(&self.repository, &self.bucket).await;
    }

    fn rule(&self, rule: CacheRule) {
        self.repository.set_cache_rule(rule, None);
    }

    async fn evict(&self, aim: u64) -> Evicted {
        calm(&self.repository).await;
        self.repository.evict(Some(aim), &Stop::new()).await.unwrap()
    }

    /// The pack that leaves next.
    async fn next(&self) -> String {
        let before = packs(&self.cache).await;
        let gone = self.evict(self.repository.cache_view().used_bytes - 1).await;
        assert_eq!((gone.packs, gone.short_bytes), (1, 0), "{gone:?}");
        let after = packs(&self.cache).await;
        before.difference(&after).next().unwrap().clone()
    }

    async fn check(&self, read_data: bool) -> CheckView {
        self.repository.check(read_data, None, &Stop::new()).await.unwrap()
    }
}

/// Three shipped snapshots over tiers in which anything can be made to fail.
struct Frail {
    repository: Repository,
    written: Vec<Snapshot>,
    cache: Arc<Faulty>,
    bucket: Arc<Faulty>,
    inner_cache: Arc<dyn Store>,
    inner_bucket: Arc<dyn Store>,
}

impl Frail {
    async fn new() -> Frail {
        let (inner_cache, inner_bucket) = (memory(), memory());
        let cache = Arc::new(Faulty::new(Arc::clone(&inner_cache)));
        let bucket = Arc::new(Faulty::new(Arc::clone(&inner_bucket)));
        let repository = Repository::create(parts(cache.clone()), DEVICE).await.unwrap();
        repository.attach_bucket(bucket.clone()).await.unwrap();
        let mut written = Vec::new();
        for seed in 1..=3 {
            written.push(keep(&repository, "a", seed).await.unwrap());
        }
        ship(&repository, &inner_bucket).await;
        Frail { repository, written, cache, bucket, inner_cache, inner_bucket }
    }
}

/// Backs up one pack of noise.
async fn keep(repository: &Repository, app: &str, seed: u64) -> Result<Snapshot> {
    let session = repository.session();
    let stream = put(&session, StreamKind::Bytes, &noise(seed, SIZE)).await?;
    session.commit(snapshot(app, vec![stream])).await
}

/// Stores noise in the packs of a session: each is closed after its own bytes.
async fn in_packs(session: &Session, seeds: Range<u64>) -> Vec<StreamRef> {
    let mut streams = Vec::new();
    for seed in seeds {
        let stream = put(session, StreamKind::Bytes, &noise(seed, SIZE)).await.unwrap();
        streams.push(session.settle(stream).await.unwrap());
    }
    streams
}

/// A thread that pressed the last chunk may still hold its session for a moment, and what belongs to one leaves late.
async fn calm(repository: &Repository) {
    while repository.inner.pins.view().oldest_session != u64::MAX {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn packs(store: &Arc<dyn Store>) -> BTreeSet<String> {
    store.list(DATA_PACKS).await.unwrap().into_iter().map(|object| object.key).collect()
}

async fn bytes_in(store: &Arc<dyn Store>, prefix: &str) -> u64 {
    store.list(prefix).await.unwrap().iter().map(|object| object.size).sum()
}

/// Packs of data that a snapshot needs.
fn data_packs(repository: &Repository, snapshot: &Snapshot) -> Vec<String> {
    let state = repository.inner.read();
    let reach = state.snapshots[&snapshot.id].reach.iter().map(|pack| state.index.pack(*pack));
    reach.filter(|info| info.name.kind == PackKind::Data).map(|info| info.key()).collect()
}

async fn reads(repository: &Repository, snapshot: &Snapshot, seed: u64, from: From) {
    let read = read_all(repository, volume(snapshot), from).await.unwrap();
    assert!(read == noise(seed, SIZE), "seed {seed} from {from:?}");
}

fn quota(bytes: u64) -> CacheRule {
    CacheRule { quota_bytes: Some(bytes), ..CacheRule::default() }
}

/// A disk that says this of its free bytes and all of them.
fn disk(says: Option<(u64, u64)>) -> Option<DiskSpace> {
    Some(Arc::new(move || says))
}

fn remembering(cache: &Arc<dyn Store>, catalog: &Arc<Catalog>) -> Parts {
    Parts { catalog: Arc::clone(catalog), ..parts(Arc::clone(cache)) }
}

/// A store that can be stopped right before it gives a part of a pack of data or tells its size, and leaves an object out of its
/// listings.
#[derive(Debug)]
struct Slow {
    inner: Arc<dyn Store>,
    armed: AtomicBool,
    reached: Notify,
    go_on: Notify,
    hidden: Mutex<Option<String>>,
}

impl Slow {
    fn over(inner: &Arc<dyn Store>) -> Arc<Slow> {
        Arc::new(Slow {
            inner: Arc::clone(inner),
            armed: AtomicBool::new(false),
            reached: Notify::new(),
            go_on: Notify::new(),
            hidden: Mutex::default(),
        })
    }

    async fn stop_at(&self, key: &str) {
        if key.starts_with(DATA_PACKS) && self.armed.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.go_on.notified().await;
        }
    }
}

#[async_trait::async_trait]
impl Store for Slow {
    fn place(&self) -> String {
        self.inner.place()
    }
    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.inner.put(key, bytes, mode).await
    }
    async fn get(&self, key: &str) -> Result<Bytes> {
        self.inner.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.stop_at(key).await;
        self.inner.get_range(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.stop_at(key).await;
        self.inner.head(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let hidden = self.hidden.lock().unwrap().clone();
        let all = self.inner.list(prefix).await?;
        Ok(all.into_iter().filter(|object| hidden.as_ref() != Some(&object.key)).collect())
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_worth_least_leaves_first() {
    for keep_newest in [0, 1] {
        let house = House::new().await;
        house.rule(CacheRule { keep_newest, ..CacheRule::default() });
        let all = [("b", 1), ("a", 2), ("a", 3), ("c", 4)];
        let mut written = Vec::new();
        for (app, seed) in all {
            written.push(house.keep(app, seed).await);
        }
        house.ship().await;
        let keys: Vec<String> = written.iter().map(|one| data_packs(&house.repository, one).remove(0)).collect();
        // Nobody needs the last one any more, and nothing was pruned yet.
        house.repository.inner.write().snapshots.remove(&written[3].id);
        let order = if keep_newest == 0 { [3, 0, 1, 2] } else { [3, 1, 0, 2] };
        for place in order {
            assert_eq!(house.next().await, keys[place], "{keep_newest} kept");
        }
        assert_eq!(house.evict(0).await.packs, 0, "metadata stays");
        assert!(!house.cache.list("m/").await.unwrap().is_empty());
        for (one, (_, seed)) in written[..3].iter().zip(all) {
            reads(&house.repository, one, seed, From::Auto).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_leaves_with_the_last_that_needs_it() {
    let house = House::new().await;
    let first = house.keep("a", 1).await;
    let second = house.keep("a", 2).await;
    let other = house.keep("b", 3).await;
    house.keep("b", 4).await;
    let again = house.keep("a", 1).await;
    house.ship().await;
    let key = |snapshot: &Snapshot| data_packs(&house.repository, snapshot).remove(0);
    assert_eq!(key(&first), key(&again), "the same data is stored once");
    // A backup under way leans on what would leave first.
    calm(&house.repository).await;
    let session = house.repository.session();
    put(&session, StreamKind::Bytes, &noise(2, SIZE)).await.unwrap();
    let gone = house.repository.evict(Some(house.repository.cache_view().used_bytes - 1), &Stop::new()).await.unwrap();
    assert_eq!(gone.packs, 1);
    assert!(!packs(&house.cache).await.contains(&key(&other)) && packs(&house.cache).await.contains(&key(&second)));
    drop(session);
    assert_eq!(house.next().await, key(&second));
    assert!(packs(&house.cache).await.contains(&key(&first)), "the newest needs it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_cache_holds_never_leaves() {
    let house = House::new().await;
    house.keep("a", 1).await;
    house.ship().await;
    let waiting = house.keep("a", 2).await;
    let plan = house.repository.evict_plan(Some(0));
    let gone = house.evict(0).await;
    assert_eq!((gone.packs, gone), (1, plan));
    assert!(gone.short_bytes > SIZE as u64);
    assert_eq!(packs(&house.cache).await, data_packs(&house.repository, &waiting).into_iter().collect::<BTreeSet<_>>());
    house.ship().await;
    house.repository.detach_bucket();
    assert_eq!((house.evict(0).await.packs, house.repository.cache_view().evictable_bytes), (0, 0), "no bucket");
    house.repository.attach_bucket(Arc::clone(&house.bucket)).await.unwrap();
    assert_eq!(house.evict(0).await.packs, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_life_knew_to_be_in_the_bucket_leaves_when_it_was_seen_there() {
    let (cache, catalog, bucket) = (memory(), Arc::new(Catalog::in_memory()), memory());
    let repository = Repository::create(remembering(&cache, &catalog), DEVICE).await.unwrap();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let written = keep(&repository, "a", 1).await.unwrap();
    ship(&repository, &bucket).await;
    drop(repository);
    let again = Repository::open(remembering(&cache, &catalog), Unlock::Device(DEVICE)).await.unwrap();
    assert_eq!(again.evict(Some(0), &Stop::new()).await.unwrap().packs, 0);
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert_eq!(again.evict(Some(0), &Stop::new()).await.unwrap().packs, 1);
    reads(&again, &written, 1, From::Auto).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_bucket_has_lost_stays_and_is_sent_again() {
    for cut in [false, true] {
        let house = House::new().await;
        let (lost, sound) = (house.keep("a", 1).await, house.keep("b", 2).await);
        house.ship().await;
        let key = data_packs(&house.repository, &lost).remove(0);
        let bytes = house.bucket.get(&key).await.unwrap();
        match cut {
            true => house.bucket.put(&key, bytes.slice(..10), PutMode::Replace).await.unwrap(),
            false => house.bucket.delete(&key).await.unwrap(),
        }
        assert_eq!(house.evict(0).await.packs, 1, "the other one");
        assert_eq!(packs(&house.cache).await, BTreeSet::from([key.clone()]));
        let told = house.repository.take_healed();
        let warns = |note: &Problem| note.code == "pack.missing" && note.severity == Severity::Warning;
        assert!(told.iter().any(|note| warns(note) && note.subject == key), "{told:?}");
        assert!(house.repository.to_ship().iter().any(|item| item.key == key));
        // Shipping writes over nothing: half an object is mended by a check.
        match cut {
            true => assert_eq!(house.check(false).await.healed, 1),
            false => house.ship().await,
        }
        assert_eq!(house.bucket.get(&key).await.unwrap(), bytes);
        assert_eq!(house.evict(0).await.packs, 1);
        reads(&house.repository, &lost, 1, From::Auto).await;
        reads(&house.repository, &sound, 2, From::Auto).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_while_another_appliance_writes_the_bucket() {
    let house = House::new().await;
    house.keep("a", 1).await;
    house.ship().await;
    let kit = house.repository.recovery_key();
    Repository::recover(parts(memory()), Arc::clone(&house.bucket), kit, [9; 32]).await.unwrap();
    calm(&house.repository).await;
    house.repository.inner.clock.advance(Duration::from_secs(61));
    let error = house.repository.evict(Some(0), &Stop::new()).await.unwrap_err();
    assert_eq!(error.code(), "repository.fenced");
    assert_eq!(packs(&house.cache).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_eviction_says_so() {
    let house = House::new().await;
    house.keep("a", 1).await;
    house.ship().await;
    let stop = Stop::new();
    stop.cancel();
    assert_eq!(house.repository.evict(Some(0), &stop).await.unwrap_err().kind(), Kind::Stopped);
    assert_eq!(packs(&house.cache).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_leaves_under_a_reader_is_no_damage_and_one_that_has_no_other_tier_stays() {
    for from in [From::Auto, From::Cache] {
        let (inner, bucket) = (memory(), memory());
        let slow = Slow::over(&inner);
        let repository = Repository::create(parts(slow.clone()), DEVICE).await.unwrap();
        repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        let written = keep(&repository, "a", 1).await.unwrap();
        ship(&repository, &bucket).await;
        calm(&repository).await;
        slow.armed.store(true, Ordering::SeqCst);
        let reading = {
            let (repository, written) = (repository.clone(), written.clone());
            tokio::spawn(async move { reads(&repository, &written, 1, from).await })
        };
        slow.reached.notified().await;
        let CacheView { evictable_bytes: evictable, pinned_bytes: pinned, .. } = repository.cache_view();
        assert!(pinned < SIZE as u64, "what is held counts among the newest already: {pinned}");
        let gone = repository.evict(Some(0), &Stop::new()).await.unwrap();
        let held = from == From::Cache;
        assert_eq!((gone.packs, evictable > SIZE as u64), if held { (0, false) } else { (1, true) });
        slow.go_on.notify_one();
        reading.await.unwrap();
        assert!(repository.take_healed().is_empty(), "nothing was damaged");
        if held {
            calm_readers(&repository).await;
            assert_eq!(repository.evict(Some(0), &Stop::new()).await.unwrap().packs, 1, "nobody reads any more");
        }
    }
}

async fn calm_readers(repository: &Repository) {
    while repository.inner.pins.view().oldest_reader != u64::MAX {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_after_an_eviction_is_clean_and_brings_nothing_back() {
    let house = House::new().await;
    house.keep("a", 1).await;
    house.keep("b", 2).await;
    house.ship().await;
    assert_eq!(house.evict(0).await.packs, 2);
    let view = house.check(true).await;
    assert!(view.problems.is_empty() && view.healed == 0, "{view:?}");
    assert!(view.bytes_read > 2 * SIZE as u64, "the bucket's copies were read");
    assert!(packs(&house.cache).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_mends_the_cache_within_its_room() {
    let house = House::new().await;
    let (gone, rotten) = (house.keep("a", 1).await, house.keep("b", 2).await);
    house.ship().await;
    house.rule(quota(1));
    let [gone_key, rotten_key] = [&gone, &rotten].map(|one| data_packs(&house.repository, one).remove(0));
    house.cache.delete(&gone_key).await.unwrap();
    let good = house.cache.get(&rotten_key).await.unwrap();
    house.cache.put(&rotten_key, vec![0u8; good.len()].into(), PutMode::Replace).await.unwrap();
    let view = house.check(true).await;
    assert!(view.problems.iter().all(|problem| problem.severity == Severity::Note), "{view:?}");
    assert_eq!(view.healed, 2);
    assert_eq!(house.cache.get(&rotten_key).await.unwrap(), good, "in the place of the bad one");
    assert_eq!(packs(&house.cache).await, BTreeSet::from([rotten_key]), "the other one stays in the bucket alone");
    let problems = house.check(true).await.problems;
    assert!(problems.is_empty(), "{problems:#?}");
    reads(&house.repository, &gone, 1, From::Auto).await;
    assert_eq!(packs(&house.cache).await.len(), 1, "nor does a reader bring it back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_believes_no_old_listing_of_the_cache() {
    let (inner, bucket) = (memory(), memory());
    let slow = Slow::over(&inner);
    let repository = Repository::create(parts(slow.clone()), DEVICE).await.unwrap();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let written = keep(&repository, "a", 1).await.unwrap();
    ship(&repository, &bucket).await;
    *slow.hidden.lock().unwrap() = Some(data_packs(&repository, &written).remove(0));
    let view = repository.check(true, None, &Stop::new()).await.unwrap();
    assert!(view.problems.is_empty() && view.healed == 0, "{view:?}");
    assert_eq!(repository.evict(Some(0), &Stop::new()).await.unwrap().packs, 1, "it was there all the time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_more_than_the_cache_may_take_goes_at_the_speed_of_the_bucket() {
    let house = House::new().await;
    let most = 3 * SIZE as u64 + 60_000;
    house.rule(quota(most));
    let stop = Stop::new();
    let shipper = {
        let (repository, cache, bucket) =
            (house.repository.clone(), Arc::clone(&house.cache), Arc::clone(&house.bucket));
        let stop = stop.clone();
        tokio::spawn(async move {
            let mut seen = 0;
            while !stop.is_cancelled() {
                ship(&repository, &bucket).await;
                seen = bytes_in(&cache, DATA_PACKS).await.max(seen);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            seen
        })
    };
    let session = house.repository.session();
    let streams = in_packs(&session, 100..120).await;
    assert!(packs(&house.bucket).await.len() >= 16, "they were shipped before the commit");
    let written = session.commit(snapshot("shop", streams)).await.unwrap();
    stop.cancel();
    let seen = shipper.await.unwrap();
    assert!(seen > SIZE as u64 && seen <= most, "{seen} of {most}");
    house.ship().await;
    let kit = house.repository.recovery_key();
    let heir = Repository::recover(parts(memory()), Arc::clone(&house.bucket), kit, [9; 32]).await.unwrap();
    for (section, seed) in written.volumes.iter().zip(100..) {
        let stream = section.stream.as_ref().unwrap();
        assert!(read_all(&house.repository, stream, From::Auto).await.unwrap() == noise(seed, SIZE), "{seed}");
        assert!(read_all(&heir, stream, From::Bucket).await.unwrap() == noise(seed, SIZE), "{seed}");
    }
    let entry = house.repository.snapshot(written.id.as_str()).unwrap();
    assert_eq!((entry.state.local, entry.state.cloud), (LocalState::Partial, CloudState::Present));
    let view = house.repository.cache_view();
    assert!(bytes_in(&house.cache, DATA_PACKS).await <= most && !view.waiting, "reading filled nothing: {view:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_cache_refuses_where_it_is_to_and_works_again_when_the_bucket_has_taken() {
    let house = House::new().await;
    house.rule(CacheRule { when_full: WhenFull::Refuse, ..quota(SIZE as u64 + 60_000) });
    let first = house.keep("a", 1).await;
    let error = keep(&house.repository, "a", 2).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Full, "cache.full"), "{error:?}");
    assert!(error.advice_text().is_some());
    assert_eq!(house.repository.snapshots().len(), 1);
    reads(&house.repository, &first, 1, From::Cache).await;
    house.ship().await;
    calm_readers(&house.repository).await;
    let second = house.keep("a", 2).await;
    let entry = house.repository.snapshot(first.id.as_str()).unwrap();
    assert_eq!(entry.state.local, LocalState::Partial, "it gave its room");
    reads(&house.repository, &first, 1, From::Auto).await;
    reads(&house.repository, &second, 2, From::Cache).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_cache_without_a_bucket_fails_at_once() {
    let (repository, _) = fresh().await;
    repository.set_cache_rule(quota(1), None);
    let failed = tokio::time::timeout(AT_ONCE, keep(&repository, "a", 1)).await.unwrap();
    let error = failed.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Full, "cache.full"), "{error:?}");
    assert!(error.advice_text().is_some() && !repository.cache_view().waiting);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_waits_for_the_bucket_and_not_for_ever() {
    let house = House::new().await;
    house.keep("a", 1).await;
    house.rule(quota(SIZE as u64 + 60_000));
    let room = &house.repository.inner.room;
    room.be_patient_for(Duration::from_secs(3));
    let waiting = {
        let repository = house.repository.clone();
        tokio::spawn(async move { keep(&repository, "a", 2).await })
    };
    let told = house.repository.room_changed();
    let seen = tokio::time::timeout(AT_ONCE, async {
        while !house.repository.cache_view().waiting {
            told.notified().await;
        }
    });
    seen.await.expect("who tends the cache is told");
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Full, "cache.full"), "{error:?}");
    assert!(!house.repository.cache_view().waiting);
    // Whoever comes right after it does not wait as long again.
    room.be_patient_for(Duration::from_secs(3600));
    let next = tokio::time::timeout(AT_ONCE, keep(&house.repository, "a", 3)).await.unwrap();
    assert_eq!(next.unwrap_err().code(), "cache.full");
    // The bucket takes again: the next one goes on while it waits.
    let waiting = {
        let repository = house.repository.clone();
        tokio::spawn(async move { keep(&repository, "a", 4).await })
    };
    house.ship().await;
    let written = match tokio::time::timeout(AT_ONCE, waiting).await.unwrap().unwrap() {
        Ok(written) => written,
        // It was faster than the bucket, and so one more that came right after it.
        Err(_) => tokio::time::timeout(AT_ONCE, keep(&house.repository, "a", 4)).await.unwrap().unwrap(),
    };
    reads(&house.repository, &written, 4, From::Auto).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_and_small_objects_pass_over_the_quota() {
    let (repository, cache) = fresh().await;
    let content = noise(1, 300_000);
    back_up(&repository, "a", &tar(&[("v/one", content.clone())])).await.unwrap();
    repository.set_cache_rule(CacheRule { when_full: WhenFull::Refuse, ..quota(1) }, None);
    let before = (packs(&cache).await, cache.list("m/").await.unwrap().len());
    let bytes = tar(&[("v/two", content)]);
    let renamed = back_up(&repository, "a", &bytes).await.unwrap();
    assert_eq!(packs(&cache).await, before.0, "the content is known");
    assert!(cache.list("m/").await.unwrap().len() > before.1);
    assert_eq!(read_all(&repository, volume(&renamed), From::Cache).await.unwrap(), bytes);
    assert_eq!(keep(&repository, "a", 2).await.unwrap_err().code(), "cache.full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_data_comes_into_what_stays_free_of_the_disk_and_what_it_needs_does() {
    let (repository, cache) = fresh().await;
    let content = noise(1, 300_000);
    let bytes = tar(&[("v/one", content.clone())]);
    back_up(&repository, "a", &bytes).await.unwrap();
    repository.set_cache_rule(CacheRule::default(), disk(Some((500, 4000))));
    let view = repository.cache_view();
    assert_eq!(view.limit_bytes, view.used_bytes + 300, "a twentieth stays free");
    let rule = CacheRule { reserve_bytes: Some(500), ..CacheRule::default() };
    repository.set_cache_rule(rule, disk(Some((500, 4000))));
    back_up(&repository, "a", &bytes).await.unwrap();
    let before = cache.list("m/").await.unwrap().len();
    back_up(&repository, "a", &tar(&[("v/two", content)])).await.unwrap();
    assert!(cache.list("m/").await.unwrap().len() > before, "new headers are a pack");
    assert_eq!(repository.snapshots().len(), 3, "a snapshot whose data is here commits");
    assert_eq!(keep(&repository, "a", 2).await.unwrap_err().code(), "cache.full");
    repository.set_cache_rule(CacheRule::default(), disk(None));
    assert_eq!(repository.cache_view().limit_bytes, u64::MAX, "nobody knows the disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_does_not_show_as_free_yet_makes_nothing_more_leave() {
    let house = House::new().await;
    for seed in 1..=4 {
        house.keep("a", seed).await;
    }
    house.ship().await;
    calm(&house.repository).await;
    let evict = async || house.repository.evict(None, &Stop::new()).await.unwrap();
    assert_eq!(evict().await, Evicted::default(), "nothing was decided");
    let rule = CacheRule { reserve_bytes: Some(1000), ..CacheRule::default() };
    house.repository.set_cache_rule(rule, disk(Some((0, 1_000_000))));
    assert_eq!(house.repository.evict_plan(None).packs, 1);
    assert_eq!(evict().await.packs, 1);
    assert_eq!(evict().await.packs, 0);
    assert_eq!(packs(&house.cache).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_view_tells_what_may_become_of_all_that_the_cache_holds() {
    let house = House::new().await;
    let first = house.keep("a", 1).await;
    house.keep("a", 2).await;
    house.ship().await;
    let last = house.keep("a", 3).await;
    house.rule(quota(1_000_000));
    let size = |snapshot: &Snapshot| {
        let state = house.repository.inner.read();
        let all = state.snapshots[&snapshot.id].reach.iter().map(|pack| state.index.pack(*pack).name);
        all.filter(|name| name.kind == PackKind::Data).map(|name| name.size).sum::<u64>()
    };
    let view = house.repository.cache_view();
    assert_eq!((view.used_bytes, view.limit_bytes), (bytes_in(&house.cache, "").await, 1_000_000));
    assert_eq!(view.rule, quota(1_000_000));
    assert_eq!((view.unshipped_bytes, view.newest_bytes), (size(&last), size(&last)));
    assert_eq!(view.used_bytes, view.pinned_bytes + view.unshipped_bytes + view.evictable_bytes);
    assert!(view.evictable_bytes > 2 * SIZE as u64 && view.bucket_only_bytes == 0 && !view.waiting);
    let gone = house.next().await;
    assert_eq!(gone, data_packs(&house.repository, &first)[0]);
    let after = house.repository.cache_view();
    assert_eq!(after.bucket_only_bytes, size(&first));
    assert_eq!(after.used_bytes + size(&first), view.used_bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_brought_back_stays_as_long_as_the_newest() {
    let house = House::new().await;
    let mut written = Vec::new();
    for seed in 1..=3 {
        written.push(house.keep("a", seed).await);
    }
    house.ship().await;
    let keys: Vec<String> = written.iter().map(|one| data_packs(&house.repository, one).remove(0)).collect();
    assert_eq!(house.evict(0).await.packs, 3);
    let streams = [volume(&written[0]).clone()];
    let meter = Arc::new(Numbers::default());
    let warmed = house.repository.warm(&streams, Some(meter.clone()), &Stop::new()).await.unwrap();
    assert_eq!((warmed.packs, warmed.short_bytes), (1, 0));
    assert!(warmed.here > 0, "its recipes never left: {warmed:?}");
    assert_eq!(meter.moved.load(Ordering::Relaxed), warmed.bytes);
    let entry = house.repository.snapshot(written[0].id.as_str()).unwrap();
    assert_eq!(entry.state.local, LocalState::Present);
    reads(&house.repository, &written[0], 1, From::Cache).await;
    let again = house.repository.warm(&streams, None, &Stop::new()).await.unwrap();
    assert_eq!((again.packs, again.bytes, again.here), (0, 0, warmed.here + 1));
    // Reading brings the others back, too, while there is room.
    for (one, seed) in written.iter().zip(1..) {
        reads(&house.repository, one, seed, From::Auto).await;
    }
    calm_readers(&house.repository).await;
    for place in [1, 0, 2] {
        assert_eq!(house.next().await, keys[place]);
    }
    let stop = Stop::new();
    stop.cancel();
    assert_eq!(house.repository.warm(&streams, None, &stop).await.unwrap_err().kind(), Kind::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_takes_the_room_of_older_data_and_no_more() {
    let house = House::new().await;
    let session = house.repository.session();
    let streams = in_packs(&session, 1..3).await;
    let wide = session.commit(snapshot("a", streams)).await.unwrap();
    let newest = [house.keep("a", 3).await, house.keep("b", 5).await];
    // Older than the newest of its app, and younger than what comes back.
    let older = house.keep("c", 6).await;
    let last = house.keep("c", 7).await;
    house.ship().await;
    let both: BTreeSet<String> = data_packs(&house.repository, &wide).into_iter().collect();
    let left = BTreeSet::from([house.next().await, house.next().await]);
    assert_eq!(left, both);
    let used = house.repository.cache_view().used_bytes;
    // High water lies half a pack above what is there.
    let limit = (used + SIZE as u64 / 2) * 20 / 19;
    house.rule(quota(limit));
    let streams: Vec<StreamRef> = wide.streams().cloned().collect();
    let warmed = house.repository.warm(&streams, None, &Stop::new()).await.unwrap();
    assert_eq!(warmed.packs, 1, "{warmed:?}");
    assert!(warmed.short_bytes > SIZE as u64, "{warmed:?}");
    let there = packs(&house.cache).await;
    let key = |one: &Snapshot| data_packs(&house.repository, one).remove(0);
    assert!(!there.contains(&key(&older)), "it gave its room");
    assert!(newest.iter().chain([&last]).all(|one| there.contains(&key(one))), "those of the newest did not");
    assert_eq!(there.intersection(&both).count(), 1);
    assert!(house.repository.cache_view().used_bytes <= limit);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_that_lacks_what_left_opens_without_its_catalog_and_restores() {
    let house = House::new().await;
    let (first, second) = (house.keep("a", 1).await, house.keep("b", 2).await);
    house.ship().await;
    assert_eq!(house.evict(0).await.packs, 2);
    drop(house.repository);
    let again = reopen(&house.cache).await;
    assert_eq!(again.snapshots().len(), 2);
    again.attach_bucket(Arc::clone(&house.bucket)).await.unwrap();
    assert!(again.to_ship().is_empty(), "the bucket's listing says that it is there");
    let entry = again.snapshot(first.id.as_str()).unwrap();
    assert_eq!((entry.state.local, entry.state.cloud), (LocalState::Partial, CloudState::Present));
    reads(&again, &first, 1, From::Auto).await;
    reads(&again, &second, 2, From::Bucket).await;
    let view = again.check(true, None, &Stop::new()).await.unwrap();
    assert!(view.problems.is_empty(), "{view:?}");
}

/// What left counts for nothing new while only an earlier life knows of it; all of it stored anew would overflow the cache.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_after_a_start_without_the_bucket_fails_at_the_full_cache_and_hurts_nothing() {
    let (cache, catalog, bucket) = (memory(), Arc::new(Catalog::in_memory()), memory());
    let repository = Repository::create(remembering(&cache, &catalog), DEVICE).await.unwrap();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let written = keep(&repository, "a", 1).await.unwrap();
    ship(&repository, &bucket).await;
    assert_eq!(repository.evict(Some(0), &Stop::new()).await.unwrap().packs, 1);
    drop(repository);
    let again = Repository::open(remembering(&cache, &catalog), Unlock::Device(DEVICE)).await.unwrap();
    let limit = again.cache_view().used_bytes + SIZE as u64 / 2;
    again.set_cache_rule(quota(limit), None);
    let failed = tokio::time::timeout(AT_ONCE, keep(&again, "a", 1)).await.unwrap();
    assert_eq!(failed.unwrap_err().code(), "cache.full");
    assert_eq!(again.snapshots().len(), 1);
    assert!(packs(&cache).await.is_empty());
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let next = keep(&again, "a", 1).await.unwrap();
    assert!(next.stats.bytes_new < 5000, "it leans on what the bucket shows: {:?}", next.stats);
    for one in [&written, &next] {
        reads(&again, one, 1, From::Auto).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packs_of_a_running_backup_are_listed_last_when_the_cache_is_full_and_hold_up_nobody() {
    let house = House::new().await;
    let session = house.repository.session();
    let streams = in_packs(&session, 1..2).await;
    let committed = house.keep("b", 2).await;
    let is_nobodys = |item: &ShipItem| item.stage == Stage::Pack && item.snapshot.is_none();
    assert!(!house.repository.to_ship().iter().any(is_nobodys), "there is room");
    house.rule(quota(1));
    let items = house.repository.to_ship();
    assert_eq!(items.iter().filter(|item| is_nobodys(item)).count(), 1);
    let last = items.last().unwrap();
    assert!(is_nobodys(last) && last.key.starts_with(DATA_PACKS), "{last:?}");
    // However many are stuck before it, it is listed; and it rots.
    let stuck = HashSet::from([format!("s/{}", committed.id)]);
    assert!(house.repository.ship_list(8, &stuck).items.iter().any(is_nobodys));
    let garbage = vec![0u8; usize::try_from(last.size).unwrap()];
    house.cache.put(&last.key, garbage.into(), PutMode::Replace).await.unwrap();
    for item in &items {
        match house.repository.ship_bytes(&item.key).await {
            Ok(bytes) => {
                house.bucket.put(&item.key, bytes, PutMode::Once).await.unwrap();
                house.repository.acknowledged(&item.key, item.size).await.unwrap();
            }
            Err(error) => assert_eq!((&item.key, error.code()), (&last.key, "pack.corrupt")),
        }
    }
    assert_eq!(house.repository.snapshot(committed.id.as_str()).unwrap().state.cloud, CloudState::Present);
    let error = session.commit(snapshot("a", streams)).await.unwrap_err();
    assert_eq!(error.code(), "snapshot.stale", "what needs it is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_backup_shipped_that_came_to_nothing_is_pruned() {
    let house = House::new().await;
    let session = house.repository.session();
    in_packs(&session, 1..2).await;
    house.rule(quota(1));
    house.ship().await;
    assert_eq!(packs(&house.bucket).await.len(), 1);
    drop(session);
    assert_eq!(house.evict(0).await.packs, 1, "its rows are in memory");
    drop(house.repository);
    let again = reopen(&house.cache).await;
    again.attach_bucket(Arc::clone(&house.bucket)).await.unwrap();
    let mut plan = again.prune_plan(Vec::new()).await.unwrap();
    plan.grace_seconds = 0;
    let outcome = again.prune(plan, &Stop::new()).await.unwrap();
    assert!(outcome.problems.is_empty() && outcome.bucket_bytes > SIZE as u64, "{outcome:?}");
    assert!(packs(&house.bucket).await.is_empty());
}

/// Its rows are read from the pack itself: without it nobody could list what it holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_no_segment_names_stays_until_one_does() {
    let house = House::new().await;
    let session = house.repository.session();
    in_packs(&session, 1..2).await;
    house.rule(quota(1));
    house.ship().await;
    drop((session, house.repository));
    let again = reopen(&house.cache).await;
    again.attach_bucket(Arc::clone(&house.bucket)).await.unwrap();
    assert_eq!(again.evict(Some(0), &Stop::new()).await.unwrap().packs, 0);
    let written = keep(&again, "a", 1).await.unwrap();
    assert!(written.stats.bytes_new < 5000, "it is not stored twice: {:?}", written.stats);
    assert_eq!(again.evict(Some(0), &Stop::new()).await.unwrap().packs, 1);
    reads(&again, &written, 1, From::Auto).await;
    ship(&again, &house.bucket).await;
    assert!(again.check(true, None, &Stop::new()).await.unwrap().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repack_in_a_full_cache_writes_into_the_bucket_alone() {
    let house = House::new().await;
    let (stays, goes) = (noise(1, 3 << 20), noise(2, 5 << 20));
    let all = tar(&[("v/goes", goes), ("v/stays", stays.clone())]);
    let part = tar(&[("v/stays", stays)]);
    let first = back_up(&house.repository, "a", &all).await.unwrap();
    let second = back_up(&house.repository, "a", &part).await.unwrap();
    house.ship().await;
    house.rule(quota(1));
    calm(&house.repository).await;
    let plan = house.repository.prune_plan(vec![first.id.clone()]).await.unwrap();
    assert_eq!(plan.repack.len(), 1);
    let outcome = house.repository.prune(plan, &Stop::new()).await.unwrap();
    assert_eq!((outcome.repacked, outcome.problems.len()), (1, 0), "{:?}", outcome.problems);
    assert!(packs(&house.cache).await.is_empty());
    assert_eq!(packs(&house.bucket).await.len(), 2, "the old one waits out its grace");
    assert!(read_all(&house.repository, volume(&second), From::Auto).await.unwrap() == part);
    let problems = house.check(true).await.problems;
    assert!(problems.is_empty(), "{problems:#?}");
    let kit = house.repository.recovery_key();
    let heir = Repository::recover(parts(memory()), Arc::clone(&house.bucket), kit, [9; 32]).await.unwrap();
    assert!(read_all(&heir, volume(&second), From::Bucket).await.unwrap() == part);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_eviction_cut_off_at_any_call_in_any_tier_loses_nothing() {
    for in_bucket in [false, true] {
        for nth in 0.. {
            let Frail { repository, written, cache, bucket, inner_cache, inner_bucket } = Frail::new().await;
            let faults = if in_bucket { &bucket } else { &cache };
            faults.heal();
            faults.crash_at(nth);
            let gone = repository.evict(Some(0), &Stop::new()).await;
            // Whether the process goes on or another one takes its place.
            faults.heal();
            for (one, seed) in written.iter().zip(1..) {
                reads(&repository, one, seed, From::Auto).await;
            }
            assert!(repository.take_healed().is_empty(), "call {nth}");
            drop(repository);
            let again = reopen(&inner_cache).await;
            again.attach_bucket(Arc::clone(&inner_bucket)).await.unwrap();
            for (one, seed) in written.iter().zip(1..) {
                reads(&again, one, seed, From::Auto).await;
            }
            let view = again.check(true, None, &Stop::new()).await.unwrap();
            assert!(view.problems.is_empty(), "call {nth}: {view:?}");
            if gone.is_ok_and(|gone| gone.packs == 3) {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_fails_leaves_the_truth_known() {
    for is_done in [false, true] {
        let (inner, bucket) = (memory(), memory());
        let faults = Arc::new(Faulty::new(Arc::clone(&inner)));
        let repository = Repository::create(parts(faults.clone()), DEVICE).await.unwrap();
        repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        let written = keep(&repository, "a", 1).await.unwrap();
        ship(&repository, &bucket).await;
        faults.heal();
        match is_done {
            true => faults.lose_reply(Op::Delete, 0),
            false => faults.fail(Op::Delete, 0, Kind::Unavailable),
        }
        let error = repository.evict(Some(0), &Stop::new()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert_eq!(packs(&inner).await.is_empty(), is_done);
        assert_eq!(repository.cache_view().used_bytes, bytes_in(&inner, "").await);
        assert_eq!(repository.evict(Some(0), &Stop::new()).await.unwrap().packs, u64::from(!is_done));
        reads(&repository, &written, 1, From::Auto).await;
        assert!(repository.take_healed().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_eviction_under_way_lets_nothing_leave_for_a_bucket_that_was_let_go() {
    for is_there in [true, false] {
        let (repository, cache) = fresh().await;
        let bucket = memory();
        let slow = Slow::over(&bucket);
        repository.attach_bucket(slow.clone()).await.unwrap();
        let written = keep(&repository, "a", 1).await.unwrap();
        ship(&repository, &bucket).await;
        calm(&repository).await;
        let key = data_packs(&repository, &written).remove(0);
        slow.armed.store(true, Ordering::SeqCst);
        let evicting = {
            let repository = repository.clone();
            tokio::spawn(async move { repository.evict(Some(0), &Stop::new()).await })
        };
        slow.reached.notified().await;
        // It is asked already; what it answers comes too late.
        repository.detach_bucket();
        if !is_there {
            bucket.delete(&key).await.unwrap();
        }
        slow.go_on.notify_one();
        assert_eq!(evicting.await.unwrap().unwrap().packs, 0);
        assert_eq!(packs(&cache).await, BTreeSet::from([key]));
        assert!(repository.take_healed().is_empty(), "nor does it count what another bucket lacks");
        reads(&repository, &written, 1, From::Cache).await;
    }
}

/// The order is the same each time: what cannot leave is always the first of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_leave_in_the_place_of_one_that_cannot() {
    for (op, kind) in [(Op::Delete, Kind::Unavailable), (Op::Delete, Kind::Denied), (Op::Head, Kind::Denied)] {
        let Frail { repository, written, cache, bucket, inner_cache, .. } = Frail::new().await;
        calm(&repository).await;
        let first = data_packs(&repository, &written[0]).remove(0);
        let faults = if op == Op::Head { &bucket } else { &cache };
        faults.fail(op, faults.calls(op), kind);
        let one_less = repository.cache_view().used_bytes - 1;
        let gone = repository.evict(Some(one_less), &Stop::new()).await.unwrap();
        assert_eq!((gone.packs, gone.short_bytes), (1, 0), "{op:?} {kind:?}");
        let there = packs(&inner_cache).await;
        assert!(there.len() == 2 && there.contains(&first), "{op:?} {kind:?}");
        assert_eq!(repository.cache_view().used_bytes, bytes_in(&inner_cache, "").await);
        assert_eq!(repository.evict(Some(0), &Stop::new()).await.unwrap().packs, 2, "it is tried again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_another_appliance_writes_is_not_waited_for() {
    for is_shipped in [true, false] {
        let house = House::new().await;
        house.keep("a", 1).await;
        house.ship().await;
        if !is_shipped {
            // Only what the bucket does not hold is left: nothing would be asked for.
            assert_eq!(house.evict(0).await.packs, 1);
            house.keep("a", 3).await;
        }
        let kit = house.repository.recovery_key();
        Repository::recover(parts(memory()), Arc::clone(&house.bucket), kit, [9; 32]).await.unwrap();
        house.rule(quota(SIZE as u64 + 60_000));
        house.repository.inner.clock.advance(Duration::from_secs(61));
        let failed = tokio::time::timeout(AT_ONCE, keep(&house.repository, "a", 2)).await.expect("it does not wait");
        assert_eq!(failed.unwrap_err().code(), "repository.fenced", "shipped: {is_shipped}");
        assert!(!house.repository.cache_view().waiting);
        assert_eq!(packs(&house.cache).await.len(), 1, "nothing left for it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_does_not_look_at_each_acknowledgement() {
    let house = House::new().await;
    house.keep("a", 1).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let free: DiskSpace = Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Some((1 << 40, 1 << 41))
    });
    house.repository.set_cache_rule(quota(SIZE as u64 + 60_000), Some(free));
    let waiting = {
        let repository = house.repository.clone();
        tokio::spawn(async move { keep(&repository, "a", 2).await })
    };
    while !house.repository.waits_for_room() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (before, begun) = (asked.load(Ordering::SeqCst), Instant::now());
    for _ in 0..100 {
        house.repository.inner.room.stir();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // A look asks the disk three times, and goes over all snapshots.
    let looks = (asked.load(Ordering::SeqCst) - before) as u128 / 3;
    let most = begun.elapsed().as_millis() / 250 + 3;
    assert!(looks > 0 && looks <= most, "{looks} looks, {most} at most");
    house.ship().await;
    tokio::time::timeout(AT_ONCE, waiting).await.expect("it goes on").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_bad_and_finds_no_room_again_takes_none_either() {
    for is_cut in [false, true] {
        let house = House::new().await;
        let written = house.keep("a", 1).await;
        house.ship().await;
        house.rule(quota(1));
        let key = data_packs(&house.repository, &written).remove(0);
        let length = if is_cut { 10 } else { house.cache.get(&key).await.unwrap().len() };
        house.cache.put(&key, vec![0u8; length].into(), PutMode::Replace).await.unwrap();
        match is_cut {
            true => assert_eq!(house.check(true).await.healed, 1),
            false => reads(&house.repository, &written, 1, From::Auto).await,
        }
        assert!(packs(&house.cache).await.is_empty(), "cut: {is_cut}");
        assert_eq!(house.repository.cache_view().used_bytes, bytes_in(&house.cache, "").await);
        // The next start does not take it for a copy.
        drop(house.repository);
        let again = reopen(&house.cache).await;
        again.attach_bucket(Arc::clone(&house.bucket)).await.unwrap();
        reads(&again, &written, 1, From::Auto).await;
        assert!(again.take_healed().iter().all(|note| note.code != "pack.healed"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_locked_in_the_bucket_and_needed_by_nobody_leaves_the_cache() {
    let clock = Clock::manual(Moment::from_millis(1_795_000_000_000));
    let (cache, bucket) = (memory(), Arc::new(MemStore::locking(clock.clone())) as Arc<dyn Store>);
    let parts = Parts { clock, ..parts(Arc::clone(&cache)) };
    let repository = Repository::create(parts, DEVICE).await.unwrap();
    repository.set_lock(Some(LockRule { mode: LockMode::Compliance, days: 30 }));
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let (goes, stays) = (keep(&repository, "a", 1).await.unwrap(), keep(&repository, "a", 2).await.unwrap());
    ship(&repository, &repository.guard(Arc::clone(&bucket))).await;
    calm(&repository).await;
    let [gone_key, kept_key] = [&goes, &stays].map(|one| data_packs(&repository, one).remove(0));
    let size = cache.head(&gone_key).await.unwrap().unwrap().size;
    let plan = repository.prune_plan(vec![goes.id.clone()]).await.unwrap();
    assert!(plan.packs.is_empty() && plan.locked > 0, "{plan:?}");
    assert_eq!((plan.cache_bytes, plan.bucket_bytes), (size, 0));
    let outcome = repository.prune(plan, &Stop::new()).await.unwrap();
    assert_eq!((outcome.cache_bytes, outcome.bucket_bytes), (size, 0), "{:?}", outcome.problems);
    assert_eq!(packs(&cache).await, BTreeSet::from([kept_key]));
    assert!(packs(&bucket).await.contains(&gone_key), "nobody can delete it there");
    assert_eq!(repository.prune_plan(Vec::new()).await.unwrap().cache_bytes, 0);
    reads(&repository, &stays, 2, From::Cache).await;
}
