//! What random lives of the simulated appliance found, each as a test of its own.

use super::{
    losses::{Lie, Misleading},
    *,
};
use holdfast_model::{Error, Kind, Severity};
use holdfast_storage::{Faulty, ObjectInfo, Op};
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64 as Count},
};

async fn recover(bucket: &Arc<dyn Store>, key: RecoveryKey) -> Result<Repository> {
    Repository::recover(parts(memory()), Arc::clone(bucket), key, [9; 32]).await
}

async fn copy_of(store: &Arc<dyn Store>) -> Arc<dyn Store> {
    let copy = memory();
    for object in store.list("").await.unwrap() {
        copy.put(&object.key, store.get(&object.key).await.unwrap(), PutMode::Replace).await.unwrap();
    }
    copy
}

async fn prune(repository: &Repository, forget: Vec<SnapshotId>, grace_seconds: u64) -> PruneOutcome {
    // A thread that pressed the last chunk may still hold the session for a moment, and what is young is not pruned.
    while repository.inner.pins.view().oldest_session != u64::MAX {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let mut plan = repository.prune_plan(forget).await.unwrap();
    plan.grace_seconds = grace_seconds;
    repository.prune(plan, &Stop::new()).await.unwrap()
}

/// A store that breaks off at a change and takes none after it, and can show an old listing.
#[derive(Debug)]
struct Breaking {
    store: Arc<dyn Store>,
    /// Changes until it breaks.
    left: Count,
    /// Whether half of the object is stored by the put that breaks, or nothing.
    half: bool,
    broken: AtomicBool,
    listing: Mutex<Option<Vec<ObjectInfo>>>,
}

impl Breaking {
    fn new(store: &Arc<dyn Store>, left: u64, half: bool) -> Arc<Breaking> {
        let (left, broken) = (Count::new(left), AtomicBool::new(false));
        Arc::new(Breaking { store: Arc::clone(store), left, half, broken, listing: Mutex::default() })
    }
    /// Whether the next change comes through.
    fn takes(&self) -> bool {
        let broken = self.broken.load(Ordering::SeqCst) || self.left.fetch_sub(1, Ordering::SeqCst) == 0;
        self.broken.store(broken, Ordering::SeqCst);
        !broken
    }
}

fn broken() -> Error {
    Error::new(Kind::Unavailable, "test.broken", "the connection broke off")
}

#[async_trait::async_trait]
impl Store for Breaking {
    fn place(&self) -> String {
        self.store.place()
    }
    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        let was_broken = self.broken.load(Ordering::SeqCst);
        if self.takes() {
            return self.store.put(key, bytes, mode).await;
        }
        if self.half && !was_broken {
            self.store.put(key, bytes.slice(..bytes.len() / 2), mode).await?;
        }
        Err(broken())
    }
    async fn get(&self, key: &str) -> Result<Bytes> {
        self.store.get(key).await
    }
    async fn get_range(&self, key: &str, range: std::ops::Range<u64>) -> Result<Bytes> {
        self.store.get_range(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.store.head(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let old = self.listing.lock().unwrap().clone();
        match old {
            Some(old) => Ok(old.into_iter().filter(|object| object.key.starts_with(prefix)).collect()),
            None => self.store.list(prefix).await,
        }
    }
    async fn delete(&self, key: &str) -> Result<()> {
        if self.takes() { self.store.delete(key).await } else { Err(broken()) }
    }
}

/// The bucket breaks off at any change of a rotation, with half of the object or without it, and then the machine is lost:
/// the kit before it or the new one opens the bucket, and everything that was called safe reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_cut_off_anywhere_locks_nobody_out() {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let bytes = tar(&[("v/file", noise(81, 5000))]);
    let first = back_up(&repository, "shop", &bytes).await.unwrap();
    ship(&repository, &bucket).await;
    // Links to two epochs lie there, and must not be harmed by the third.
    repository.rotate_epoch(&DEVICE).await.unwrap();
    repository.rotate_epoch(&DEVICE).await.unwrap();
    let old = repository.recovery_key();
    drop(repository);
    for (epoch, half) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut ended = false;
        for changes in 0..12 {
            let (cache, bucket) = (copy_of(&cache).await, copy_of(&bucket).await);
            let again = reopen(&cache).await;
            again.attach_bucket(Breaking::new(&bucket, changes, half)).await.unwrap();
            let change = if epoch { again.rotate_epoch(&DEVICE).await } else { again.rotate_recovery().await };
            let new = again.recovery_key();
            drop(again);
            let mut opened = 0;
            for kit in [new.clone(), old.clone()] {
                let Ok(recovered) = recover(&copy_of(&bucket).await, kit).await else { continue };
                let read = read_all(&recovered, volume(&first), From::Bucket).await.unwrap();
                assert!(read == bytes, "change {changes}");
                opened += 1;
            }
            assert!(opened > 0, "nobody gets in after change {changes} of {epoch}, half an object: {half}");
            // The appliance goes on: all is well with the next check.
            let again = reopen(&cache).await;
            again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
            again.check(false, None, &Stop::new()).await.unwrap();
            ship(&again, &bucket).await;
            let view = again.check(false, None, &Stop::new()).await.unwrap();
            assert!(view.problems.is_empty(), "{changes}: {:?}", view.problems);
            assert!(recover(&copy_of(&bucket).await, new).await.is_ok(), "change {changes}");
            ended = change.unwrap().problems.is_empty();
            if ended {
                break;
            }
        }
        assert!(ended, "all changes were seen");
    }
}

/// A body was damaged on its way, once. The link that an earlier rotation left is good where it lies: writing it over may
/// leave half of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_came_damaged_are_not_written_over() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    ship(&repository, &bucket).await;
    repository.rotate_epoch(&DEVICE).await.unwrap();
    let stumbling = Misleading::new(Arc::clone(&bucket), Lie::HalfBodies);
    repository.attach_bucket(stumbling.clone()).await.unwrap();
    let change = repository.rotate_recovery().await.unwrap();
    assert!(change.problems.is_empty(), "{:?}", change.problems);
    assert_eq!(stumbling.puts.load(Ordering::Relaxed), 1, "the new kit alone");
}

/// A machine that was recovered, or one that starts again, meets half a slot: shipping does not get past it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_slot_in_the_bucket_is_sent_again_when_it_is_attached() {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    ship(&repository, &bucket).await;
    repository.rotate_epoch(&DEVICE).await.unwrap();
    let kit = repository.recovery_key();
    for key in ["k/epoch-1", "k/recovery-1"] {
        let whole = bucket.get(key).await.unwrap();
        for recovered in [true, false] {
            bucket.put(key, whole.slice(..whole.len() / 2), PutMode::Replace).await.unwrap();
            let again = match recovered && key == "k/epoch-1" {
                true => recover(&copy_of(&bucket).await, kit.clone()).await.unwrap(),
                false => reopen(&cache).await,
            };
            again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
            back_up(&again, "shop", &tar(&[("v/file", noise(89, 1000))])).await.unwrap();
            ship(&again, &bucket).await;
            assert_eq!(bucket.get(key).await.unwrap().len(), whole.len(), "{key}");
        }
    }
    assert!(recover(&bucket, kit).await.is_ok());
}

/// Whoever has a root has those before it: a link that is gone or damaged everywhere keeps nobody out and is made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_between_epochs_are_made_anew() {
    for damaged in [true, false] {
        let (repository, cache) = fresh().await;
        let bucket = memory();
        repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        let written = back_up(&repository, "shop", &some_tar(82)).await.unwrap();
        ship(&repository, &bucket).await;
        let old = repository.recovery_key();
        repository.rotate_epoch(&DEVICE).await.unwrap();
        let kit = repository.recovery_key();
        for tier in [&cache, &bucket] {
            let half = tier.get("k/epoch-1").await.unwrap();
            match damaged {
                true => tier.put("k/epoch-1", half.slice(..half.len() / 2), PutMode::Replace).await.unwrap(),
                false => tier.delete("k/epoch-1").await.unwrap(),
            }
        }
        let recovered = recover(&copy_of(&bucket).await, kit).await.unwrap();
        assert_eq!(read_all(&recovered, volume(&written), From::Bucket).await.unwrap(), some_tar(82));
        let again = reopen(&cache).await;
        again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        let told = again.check(false, None, &Stop::new()).await.unwrap().problems;
        assert!(told.iter().any(|problem| problem.subject == "k/epoch-1"), "{told:?}");
        ship(&again, &bucket).await;
        let view = again.check(false, None, &Stop::new()).await.unwrap();
        assert!(view.problems.is_empty(), "{:?}", view.problems);
        assert!(bucket.head("k/epoch-1").await.unwrap().is_some());
        assert_eq!(recover(&bucket, old).await.err().unwrap().code(), "kit.wrong");
    }
}

/// Bodies are damaged on their way while a machine is recovered: what went into the cache would count as ours for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_came_damaged_is_kept() {
    let (repository, _) = fresh().await;
    let inner = memory();
    repository.attach_bucket(Arc::clone(&inner)).await.unwrap();
    back_up(&repository, "shop", &some_tar(83)).await.unwrap();
    let settings = Settings { generation: 1, appliance: "a name".into(), ..Settings::default() };
    repository.save_settings(&settings).await.unwrap();
    ship(&repository, &inner).await;
    let kit = repository.recovery_key();
    let recovered = recover(&inner, kit).await.unwrap();
    recovered.attach_bucket(Arc::clone(&inner)).await.unwrap();
    let cache = Arc::clone(&recovered.inner.cache);
    drop(recovered);
    for object in cache.list("").await.unwrap() {
        if ["c/", "s/", "r/", "i/"].iter().any(|class| object.key.starts_with(class)) {
            cache.delete(&object.key).await.unwrap();
        }
    }
    let again = Repository::open(parts(Arc::clone(&cache)), Unlock::Device([9; 32])).await.unwrap();
    let stumbling: Arc<dyn Store> = Misleading::new(Arc::clone(&inner), Lie::HalfBodies);
    again.attach_bucket(stumbling).await.unwrap();
    assert_eq!(again.settings().await.unwrap().unwrap().appliance, "a name");
    assert_eq!(again.snapshots().len(), 1);
    for class in ["c/", "s/", "r/", "i/"] {
        let key = &cache.list(class).await.unwrap()[0].key;
        assert_eq!(cache.get(key).await.unwrap(), inner.get(key).await.unwrap(), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_rot_in_the_cache_are_taken_from_the_bucket() {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let settings = Settings { generation: 1, appliance: "a name".into(), ..Settings::default() };
    repository.save_settings(&settings).await.unwrap();
    ship(&repository, &bucket).await;
    let key = "c/0000000000000001";
    let mut bytes = cache.get(key).await.unwrap().to_vec();
    bytes[60] ^= 1;
    cache.put(key, bytes.into(), PutMode::Replace).await.unwrap();
    let again = reopen(&cache).await;
    assert_eq!(again.settings().await.unwrap_err().kind(), Kind::Corrupt, "the cache alone has nothing better");
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert_eq!(again.settings().await.unwrap().unwrap().appliance, "a name");
    let view = again.check(false, None, &Stop::new()).await.unwrap();
    assert!(view.healed == 1 && view.problems.iter().all(|problem| problem.severity == Severity::Note), "{view:?}");
    assert_eq!(cache.get(key).await.unwrap(), bucket.get(key).await.unwrap());
}

/// The disk failed while an older document was removed: it may be gone, and nobody misses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_settings_whose_removal_failed_are_not_missed() {
    let inner = memory();
    let faults = Arc::new(Faulty::new(Arc::clone(&inner)));
    let repository = Repository::create(parts(faults.clone()), DEVICE).await.unwrap();
    repository.attach_bucket(memory()).await.unwrap();
    faults.lose_reply(Op::Delete, faults.calls(Op::Delete));
    for generation in 1..=3 {
        let settings = Settings { generation, ..Settings::default() };
        let saved = repository.save_settings(&settings).await;
        assert_eq!(saved.is_ok(), generation < 3, "the removal of the first fails");
    }
    assert_eq!(inner.list("c/").await.unwrap().len(), 2);
    let view = repository.check(false, None, &Stop::new()).await.unwrap();
    assert!(view.problems.is_empty(), "{view:?}");
    assert_eq!(repository.settings().await.unwrap().unwrap().generation, 3);
}

/// A repack told the bucket of a later edition and the put broke off: the edition before it counts, and the part goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_later_edition_of_a_reach_list_counts_for_nothing() {
    for alone in [false, true] {
        let (repository, cache) = fresh().await;
        let bucket = memory();
        repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        let written = back_up(&repository, "shop", &some_tar(88)).await.unwrap();
        ship(&repository, &bucket).await;
        let first = format!("r/{}", written.id);
        let half = bucket.get(&first).await.unwrap();
        let later = format!("{first}.0001-00000000");
        bucket.put(&later, half.slice(..half.len() / 2), PutMode::Replace).await.unwrap();
        if alone {
            // Or it was a whole one that rotted, and the one before it had gone.
            bucket.delete(&first).await.unwrap();
        }
        let again = match alone {
            true => recover(&bucket, repository.recovery_key()).await.unwrap(),
            false => reopen(&cache).await,
        };
        again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        assert!(again.take_healed().iter().any(|note| note.subject == later));
        assert_eq!(read_all(&again, volume(&written), From::Auto).await.unwrap(), some_tar(88));
        prune(&again, Vec::new(), 0).await;
        assert!(bucket.head(&later).await.unwrap().is_none());
        ship(&again, &bucket).await;
        let view = again.check(true, None, &Stop::new()).await.unwrap();
        assert!(view.problems.is_empty(), "{view:?}");
        let recovered = recover(&bucket, again.recovery_key()).await.unwrap();
        assert_eq!(read_all(&recovered, volume(&written), From::Bucket).await.unwrap(), some_tar(88));
    }
}

/// After a start the bucket shows how it was before the last prune: packs that are gone, and no verdict on them. The catalog
/// is lost as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_doomed_stays_doomed_whatever_a_listing_shows() {
    for deleted in [true, false] {
        let (repository, cache) = fresh().await;
        let inner = memory();
        let bytes = tar(&[("v/file", noise(84, 200_000))]);
        repository.attach_bucket(Arc::clone(&inner)).await.unwrap();
        let gone = back_up(&repository, "shop", &bytes).await.unwrap();
        ship(&repository, &inner).await;
        let before = inner.list("").await.unwrap();
        // Tombstone, list, a canary for the time, the verdict; then it breaks off, or all of it goes.
        let breaking = Breaking::new(&inner, if deleted { u64::MAX } else { 7 }, false);
        repository.attach_bucket(breaking).await.unwrap();
        prune(&repository, vec![gone.id.clone()], 0).await;
        let left = inner.list("p/").await.unwrap().len();
        assert_eq!(left, usize::from(!deleted));
        assert!(!cache.list("v/").await.unwrap().is_empty(), "the verdict is remembered");
        drop(repository);

        let again = reopen(&cache).await;
        let late = Breaking::new(&inner, u64::MAX, false);
        *late.listing.lock().unwrap() = Some(before);
        again.attach_bucket(late.clone()).await.unwrap();
        let written = back_up(&again, "shop", &bytes).await.unwrap();
        assert!(written.stats.bytes_new > 200_000, "it leans on what is gone: {:?}", written.stats);
        *late.listing.lock().unwrap() = None;
        // What was on its way arrives.
        for pack in inner.list("p/").await.unwrap() {
            if cache.head(&pack.key).await.unwrap().is_none() {
                inner.delete(&pack.key).await.unwrap();
            }
        }
        let again = reopen(&cache).await;
        again.attach_bucket(Arc::clone(&inner)).await.unwrap();
        ship(&again, &inner).await;
        let recovered = recover(&inner, again.recovery_key()).await.unwrap();
        assert_eq!(read_all(&recovered, volume(&written), From::Bucket).await.unwrap(), bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_remembers_the_newest_verdicts_only() {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    for seed in 0..35 {
        let gone = back_up(&repository, "shop", &tar(&[("v/file", noise(seed, 1000))])).await.unwrap();
        ship(&repository, &bucket).await;
        prune(&repository, vec![gone.id], 0).await;
    }
    let kept = cache.list("v/").await.unwrap();
    assert_eq!((kept.len(), kept[31].key.as_str()), (32, "v/0000000000000035"));
    assert!(bucket.list("v/").await.unwrap().is_empty() && repository.to_ship().is_empty());
}

/// Whoever may write the bucket, and has no key, says that a snapshot was forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tombstone_that_none_of_us_wrote_buries_nothing() {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let forgotten = back_up(&repository, "shop", &some_tar(85)).await.unwrap();
    let kept = back_up(&repository, "shop", &some_tar(86)).await.unwrap();
    ship(&repository, &bucket).await;
    let genuine = {
        prune(&repository, vec![forgotten.id.clone()], 86_400).await;
        bucket.get(&format!("d/{}", forgotten.id)).await.unwrap()
    };
    let forged = format!("d/{}", kept.id);
    // Garbage, nothing at all, one of ours under another name, one of another repository.
    let (other, _) = fresh().await;
    let theirs = memory();
    other.attach_bucket(Arc::clone(&theirs)).await.unwrap();
    let victim = back_up(&other, "shop", &some_tar(87)).await.unwrap();
    prune(&other, vec![victim.id.clone()], 86_400).await;
    let foreign = theirs.get(&format!("d/{}", victim.id)).await.unwrap();
    for body in [Bytes::from_static(b"gone"), Bytes::new(), genuine.clone(), foreign, genuine.slice(..50)] {
        bucket.put(&forged, body, PutMode::Replace).await.unwrap();
        let again = reopen(&copy_of(&cache).await).await;
        let remote = copy_of(&bucket).await;
        again.attach_bucket(Arc::clone(&remote)).await.unwrap();
        let told = again.take_healed();
        assert!(told.iter().any(|note| note.code == "tombstone.forged" && note.subject == forged), "{told:?}");
        assert_eq!(again.snapshots().iter().map(|entry| &entry.snapshot.id).collect::<Vec<_>>(), [&kept.id]);
        prune(&again, Vec::new(), 0).await;
        let recovered = recover(&remote, again.recovery_key()).await.unwrap();
        assert_eq!(recovered.snapshots().len(), 1);
        assert_eq!(read_all(&recovered, volume(&kept), From::Bucket).await.unwrap(), some_tar(86));
    }
    // A genuine one is believed, also by a machine that knew nothing.
    let recovered = recover(&bucket, repository.recovery_key()).await.unwrap();
    assert!(recovered.snapshot(forgotten.id.as_str()).is_err());
}
