//! Prune beside everything else; accidents that others had, by their names.

use super::*;
use holdfast_model::Kind;
use holdfast_storage::{Faulty, ObjectInfo};
use std::{ops::Range, sync::Mutex, time::Duration};

const HOUR: Duration = Duration::from_secs(3600);

/// Forgets and prunes; `grace` is in seconds.
async fn prune(repository: &Repository, forget: &[&Snapshot], grace: u64) -> PruneOutcome {
    let mut plan = repository.prune_plan(forget.iter().map(|one| one.id.clone()).collect()).await.unwrap();
    plan.grace_seconds = grace;
    repository.prune(plan, &Stop::new()).await.unwrap()
}

/// A repository with a bucket that has a clock of its own.
async fn with_bucket() -> (Repository, Arc<dyn Store>, Arc<dyn Store>, Clock) {
    let (repository, cache) = fresh().await;
    let clock = Clock::manual(Moment::from_millis(1_000_000_000_000));
    let bucket: Arc<dyn Store> = Arc::new(MemStore::with_clock(clock.clone()));
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    (repository, cache, bucket, clock)
}

async fn packs(store: &Arc<dyn Store>) -> usize {
    store.list("p/").await.unwrap().len() + store.list("m/").await.unwrap().len()
}

/// Proxmox, October 2025: a backup and a prune during the first phase of garbage collection; chunks that the new
/// snapshot had found known were deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psa_2025_00019_1_a_prune_during_a_backup_takes_nothing_that_it_leans_on() {
    let (repository, cache, bucket, clock) = with_bucket().await;
    let bytes = some_tar(201);
    let old = back_up(&repository, "a", &bytes).await.unwrap();
    ship(&repository, &bucket).await;
    let session = repository.session();
    let stream = put(&session, StreamKind::Tar, &bytes).await.unwrap();
    assert!(session.bytes_new() < 100_000, "everything was found known");
    for _ in 0..3 {
        prune(&repository, &[&old], 0).await;
        clock.advance(48 * HOUR);
        if repository.snapshots().is_empty() {
            break;
        }
    }
    prune(&repository, &[], 0).await;
    let new = session.commit(snapshot("a", vec![stream])).await.unwrap();
    prune(&repository, &[], 0).await;
    ship(&repository, &bucket).await;
    let again = reopen(&cache).await;
    again.attach_bucket(bucket).await.unwrap();
    for from in [From::Cache, From::Bucket] {
        assert_eq!(read_all(&again, volume(&new), from).await.unwrap(), bytes);
    }
}

/// Kopia 1087: two maintenances that overlap, each sure to be alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kopia_1087_overlapping_prunes_of_two_appliances_take_nothing_that_is_needed() {
    let (old, _, bucket, clock) = with_bucket().await;
    let (dead_bytes, bytes) = (some_tar(202), some_tar(203));
    let dead = back_up(&old, "a", &dead_bytes).await.unwrap();
    let kept = back_up(&old, "a", &bytes).await.unwrap();
    ship(&old, &bucket).await;
    // The old one condemns, and is taken over before the grace is over.
    let outcome = prune(&old, &[&dead], GRACE).await;
    assert!(outcome.waiting > 0 && outcome.bucket_bytes == 0);
    let kit = old.recovery_key();
    let new = Repository::recover(parts(memory()), Arc::clone(&bucket), kit, [9; 32]).await.unwrap();
    // What was condemned counts as absent for the heir: he stores it anew.
    let again = back_up(&new, "a", &dead_bytes).await.unwrap();
    assert!(again.stats.bytes_new > 3_000_000);
    ship(&new, &bucket).await;
    clock.advance(25 * HOUR);
    let plan = old.prune_plan(Vec::new()).await.unwrap();
    assert_eq!(old.prune(plan, &Stop::new()).await.unwrap_err().code(), "repository.fenced");
    let before = packs(&bucket).await;
    prune(&new, &[], GRACE).await;
    assert!(packs(&bucket).await < before, "the heir carries out what his predecessor condemned");
    assert!(bucket.list("g/").await.unwrap().is_empty());
    for (snapshot, bytes) in [(&kept, &bytes), (&again, &dead_bytes)] {
        assert_eq!(read_all(&new, volume(snapshot), From::Bucket).await.unwrap(), *bytes);
    }
}

/// Borg 9748: an index that outlived an interrupted compaction told chunks as known that were gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn borg_9748_no_index_outlives_an_interrupted_prune() {
    let (kept_bytes, dead_bytes) = (some_tar(204), some_tar(205));
    for nth in 0.. {
        let (inner_cache, inner_bucket) = (memory(), memory());
        let repository = Repository::create(parts(Arc::clone(&inner_cache)), DEVICE).await.unwrap();
        repository.attach_bucket(Arc::clone(&inner_bucket)).await.unwrap();
        let dead = back_up(&repository, "a", &dead_bytes).await.unwrap();
        let kept = back_up(&repository, "a", &kept_bytes).await.unwrap();
        ship(&repository, &inner_bucket).await;
        drop(repository);
        let faults = Arc::new(Faulty::new(Arc::clone(&inner_cache)));
        let repository = reopen(&(Arc::clone(&faults) as Arc<dyn Store>)).await;
        repository.attach_bucket(Arc::clone(&inner_bucket)).await.unwrap();
        let mut plan = repository.prune_plan(vec![dead.id.clone()]).await.unwrap();
        plan.grace_seconds = 0;
        faults.heal();
        faults.crash_at(nth * 3);
        let done = repository.prune(plan, &Stop::new()).await.is_ok();
        drop(repository);
        // The same catalog would be as old as can be; it is not asked about chunks at all.
        let again = reopen(&inner_cache).await;
        again.attach_bucket(Arc::clone(&inner_bucket)).await.unwrap();
        let anew = back_up(&again, "a", &dead_bytes).await.unwrap();
        prune(&again, &[], 0).await;
        ship(&again, &inner_bucket).await;
        for from in [From::Cache, From::Bucket] {
            assert_eq!(read_all(&again, volume(&anew), from).await.unwrap(), dead_bytes, "crash at call {nth}");
            assert_eq!(read_all(&again, volume(&kept), from).await.unwrap(), kept_bytes, "crash at call {nth}");
        }
        if done {
            break;
        }
    }
}

/// A bucket whose listing leaves some objects out for a while.
#[derive(Debug)]
struct Forgetful {
    inner: Arc<dyn Store>,
    hidden: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl Store for Forgetful {
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
        self.inner.get_range(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.inner.head(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let hidden = self.hidden.lock().unwrap().clone();
        let all = self.inner.list(prefix).await?;
        Ok(all.into_iter().filter(|object| !hidden.iter().any(|part| object.key.contains(part))).collect())
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key).await
    }
}

/// Restic 3486: a prune that trusts a listing with holes, or what damage left, deletes what is needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restic_3486_a_listing_with_holes_costs_no_snapshot() {
    let (old, _, inner, clock) = with_bucket().await;
    let (seen_bytes, hidden_bytes) = (some_tar(206), some_tar(207));
    let seen = back_up(&old, "a", &seen_bytes).await.unwrap();
    let hidden = back_up(&old, "a", &hidden_bytes).await.unwrap();
    ship(&old, &inner).await;
    let kit = old.recovery_key();
    let holes = Mutex::new(vec![hidden.id.as_str().to_owned()]);
    let bucket: Arc<Forgetful> = Arc::new(Forgetful { inner: Arc::clone(&inner), hidden: holes });
    let new = Repository::recover(parts(memory()), bucket.clone(), kit, [9; 32]).await.unwrap();
    assert_eq!(new.snapshots().len(), 1, "the listing hid one");
    let outcome = prune(&new, &[], GRACE).await;
    assert!(outcome.waiting > 0 && outcome.bucket_bytes == 0, "condemned by mistake, deleted not at all");
    bucket.hidden.lock().unwrap().clear();
    clock.advance(25 * HOUR);
    let before = packs(&inner).await;
    prune(&new, &[], GRACE).await;
    assert_eq!(packs(&inner).await, before, "marked anew before anything was deleted");
    let again = Repository::recover(parts(memory()), Arc::clone(&inner), old.recovery_key(), [8; 32]).await.unwrap();
    for (snapshot, bytes) in [(&seen, &seen_bytes), (&hidden, &hidden_bytes)] {
        assert_eq!(read_all(&again, volume(snapshot), From::Bucket).await.unwrap(), *bytes);
    }
}

const GRACE: u64 = 86_400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_grace_is_measured_by_the_bucket_alone() {
    let (repository, cache, bucket, server) = with_bucket().await;
    let dead = back_up(&repository, "a", &some_tar(208)).await.unwrap();
    ship(&repository, &bucket).await;
    let all = packs(&bucket).await;
    let outcome = prune(&repository, &[&dead], GRACE).await;
    assert_eq!((outcome.waiting as usize, outcome.bucket_bytes), (all, 0));
    assert!(outcome.cache_bytes > 3_000_000 && packs(&cache).await == 0, "copies in the cache need no grace");
    // The appliance's clock leaps by years; the bucket's does not.
    repository.inner.clock.advance(100_000 * HOUR);
    prune(&repository, &[], GRACE).await;
    assert_eq!(packs(&bucket).await, all);
    server.advance(23 * HOUR);
    prune(&repository, &[], GRACE).await;
    assert_eq!(packs(&bucket).await, all);
    // A restart does not make the grace begin again.
    let again = reopen(&cache).await;
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    server.advance(2 * HOUR);
    let outcome = prune(&again, &[], GRACE).await;
    assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
    assert_eq!((packs(&bucket).await, outcome.packs as usize), (0, all));
    for class in ["g/", "i/", "s/", "r/"] {
        assert!(bucket.list(class).await.unwrap().is_empty(), "{class}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn condemned_data_is_stored_anew_or_rescued() {
    let (repository, _, bucket, server) = with_bucket().await;
    let (first, second) = (some_tar(209), some_tar(210));
    let old = back_up(&repository, "a", &first).await.unwrap();
    let other = back_up(&repository, "b", &second).await.unwrap();
    ship(&repository, &bucket).await;
    prune(&repository, &[&old, &other], GRACE).await;
    // Stored anew: a fresh backup of the same data does not lean on what is about to go.
    let anew = back_up(&repository, "a", &first).await.unwrap();
    assert!(anew.stats.bytes_new > 3_000_000);
    // Rescued: a stream taken over as it is, its packs still wait.
    let session = repository.session();
    let kept = session.commit(snapshot("b", vec![volume(&other).clone()])).await.unwrap();
    server.advance(25 * HOUR);
    prune(&repository, &[], GRACE).await;
    server.advance(25 * HOUR);
    prune(&repository, &[], GRACE).await;
    ship(&repository, &bucket).await;
    for (snapshot, bytes) in [(&anew, &first), (&kept, &second)] {
        assert_eq!(read_all(&repository, volume(snapshot), From::Bucket).await.unwrap(), *bytes);
    }
    assert!(bucket.list("g/").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_goes_on_while_its_snapshot_is_forgotten() {
    let (repository, cache) = fresh().await;
    let bytes = noise(211, 20_000_000);
    let session = repository.session();
    let stream = put(&session, StreamKind::Bytes, &bytes).await.unwrap();
    let written = session.commit(snapshot("a", vec![stream])).await.unwrap();
    let hold = repository.hold();
    let mut reading = repository.read(volume(&written), From::Auto, None);
    let mut read = reading.next().await.unwrap().unwrap().to_vec();
    let outcome = prune(&repository, &[&written], 0).await;
    assert_eq!((outcome.snapshots, outcome.packs), (1, 0), "held back");
    while let Some(piece) = reading.next().await {
        read.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(read, bytes);
    drop(reading);
    // Whoever restores several streams holds them all.
    assert_eq!(prune(&repository, &[], 0).await.packs, 0);
    assert_eq!(read_all(&repository, volume(&written), From::Auto).await.unwrap(), bytes);
    drop(hold);
    assert!(prune(&repository, &[], 0).await.packs > 0);
    assert_eq!(packs(&cache).await, 0);
    assert_eq!(read_all(&repository, volume(&written), From::Auto).await.unwrap_err().kind(), Kind::Corrupt);
}

/// What is lost in both tiers counts as absent: the next backup of the same data stores it again, and old snapshots
/// that needed it heal with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_packs_heal_by_the_next_backup_of_the_same_data() {
    let (repository, cache) = fresh().await;
    let bytes = some_tar(212);
    let old = back_up(&repository, "a", &bytes).await.unwrap();
    let lost: Vec<ObjectInfo> = cache.list("p/").await.unwrap();
    for pack in &lost {
        cache.delete(&pack.key).await.unwrap();
    }
    let view = repository.check(false, None, &Stop::new()).await.unwrap();
    assert!(view.problems.iter().any(|problem| problem.code == "snapshot.damaged"), "{:?}", view.problems);
    assert!(read_all(&repository, volume(&old), From::Auto).await.is_err());
    let new = back_up(&repository, "a", &bytes).await.unwrap();
    assert!(new.stats.bytes_new > 3_000_000, "what is lost counts as absent");
    for snapshot in [&old, &new] {
        assert_eq!(read_all(&repository, volume(snapshot), From::Auto).await.unwrap(), bytes);
    }
    let again = reopen(&cache).await;
    for snapshot in [&old, &new] {
        assert_eq!(read_all(&again, volume(snapshot), From::Auto).await.unwrap(), bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_a_day_reads_everything_in_time() {
    let (repository, cache) = fresh().await;
    for seed in 0..10 {
        back_up(&repository, "a", &tar(&[("v/file", noise(220 + seed, 400_000))])).await.unwrap();
    }
    let all: u64 = cache.list("p/").await.unwrap().iter().chain(&cache.list("m/").await.unwrap()).map(|o| o.size).sum();
    let before = repository.check(false, None, &Stop::new()).await.unwrap();
    assert_eq!((before.bytes_read, before.unverified_packs as usize), (0, packs(&cache).await));
    let mut read = 0;
    for day in 0..5 {
        repository.inner.clock.advance(24 * HOUR);
        let view = repository.check_share(20, None, &Stop::new()).await.unwrap();
        assert!(view.bytes_read >= all / 5 && view.bytes_read < all / 2, "day {day}: {} of {all}", view.bytes_read);
        read += view.bytes_read;
    }
    let view = repository.check(false, None, &Stop::new()).await.unwrap();
    assert_eq!(view.unverified_packs, 0, "{read} of {all} were read");
    let oldest = view.oldest_verified.unwrap();
    repository.inner.clock.advance(24 * HOUR);
    let view = repository.check_share(20, None, &Stop::new()).await.unwrap();
    assert!(view.oldest_verified.unwrap() > oldest, "the oldest came first");
}

/// Found by a random schedule: forgotten while it was on its way, and the appliance was gone when it landed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_lands_after_it_was_forgotten_stays_buried() {
    let (repository, cache, bucket, clock) = with_bucket().await;
    let written = back_up(&repository, "a", &some_tar(213)).await.unwrap();
    let mut items = repository.to_ship();
    let last = items.pop().unwrap();
    for item in items {
        let bytes = repository.ship_bytes(&item.key).await.unwrap();
        bucket.put(&item.key, bytes, PutMode::Once).await.unwrap();
        repository.acknowledged(&item.key, item.size).await.unwrap();
    }
    let late = repository.ship_bytes(&last.key).await.unwrap();
    prune(&repository, &[&written], GRACE).await;
    drop(repository);
    bucket.put(&last.key, late, PutMode::Once).await.unwrap();
    let again = reopen(&cache).await;
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert!(again.snapshots().is_empty());
    for _ in 0..2 {
        clock.advance(25 * HOUR);
        let outcome = prune(&again, &[], GRACE).await;
        assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
    }
    for class in ["s/", "r/", "d/", "g/", "p/", "m/"] {
        assert!(bucket.list(class).await.unwrap().is_empty(), "{class}");
    }
}
