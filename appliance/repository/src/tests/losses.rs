//! What the torture found, each as a test of its own.

use super::*;
use holdfast_catalog::Table;
use holdfast_model::Kind;
use holdfast_storage::{Faulty, Op};
use std::collections::BTreeSet;

async fn prune(repository: &Repository, forget: Vec<SnapshotId>) -> Result<PruneOutcome> {
    // A thread that pressed the last chunk may still hold the session for a moment, and what is young is not pruned.
    while repository.inner.pins.view().oldest_session != u64::MAX {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let plan = repository.prune_plan(forget).await?;
    repository.prune(plan, &Stop::new()).await
}

/// A power cut took the catalog's last rows back; the bucket's objects that they tell of are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_of_objects_that_are_gone_do_not_forbid_pruning() {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let dead = back_up(&repository, "a", &some_tar(61)).await.unwrap();
    ship(&repository, &bucket).await;
    let old: Vec<(String, u64)> = repository.inner.catalog.list(Table::Packs, "");
    prune(&repository, vec![dead.id]).await.unwrap();
    drop(repository);
    let parts = parts(cache);
    for (key, size) in old {
        parts.catalog.put(Table::Packs, &key, &size).unwrap();
    }
    let catalog = Arc::clone(&parts.catalog);
    let again = Repository::open(parts, Unlock::Device(DEVICE)).await.unwrap();
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    prune(&again, Vec::new()).await.unwrap();
    let rows: Vec<(String, u64)> = catalog.list(Table::Packs, "a/s/");
    assert!(rows.is_empty(), "{rows:?}");
}

/// The snapshot's file is there, its fsync failed: the backup failed, and its packs are nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_failed_at_its_last_step_does_not_come_back_without_its_packs() {
    for taken_back in ["at once", "later", "never"] {
        let inner = memory();
        let faults = Arc::new(Faulty::new(Arc::clone(&inner)));
        let cache: Arc<dyn Store> = faults.clone();
        let repository = Repository::create(parts(Arc::clone(&cache)), DEVICE).await.unwrap();
        back_up(&repository, "a", &noise_tar(62)).await.unwrap();
        // Packs (the headers are known), segment, reach list, snapshot.
        let packs = 2;
        let last = faults.calls(Op::Put) + packs + 2;
        faults.lose_reply(Op::Put, last);
        if taken_back != "at once" {
            for nth in 0..3 {
                faults.fail(Op::Delete, nth, Kind::Unavailable);
            }
        }
        assert_eq!(back_up(&repository, "a", &noise_tar(63)).await.unwrap_err().code(), "fault.reply_lost");
        assert_eq!(repository.snapshots().len(), 1);
        let pruned = prune(&repository, Vec::new()).await;
        assert_eq!(pruned.is_ok(), taken_back == "at once", "what may be a snapshot after a restart forbids pruning");
        if taken_back == "later" {
            faults.heal();
            prune(&repository, Vec::new()).await.unwrap();
        }
        drop(repository);
        let again = reopen(&inner).await;
        for entry in again.snapshots() {
            read_all(&again, volume(&entry.snapshot), From::Auto).await.unwrap();
        }
        prune(&again, Vec::new()).await.unwrap();
        assert_eq!(again.snapshots().len(), if taken_back == "never" { 2 } else { 1 }, "{taken_back}");
    }
}

fn noise_tar(seed: u64) -> Vec<u8> {
    tar(&[("v/file", noise(seed, 1000))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_leave_the_bucket_only_when_it_holds_newer_ones() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let save = async |generation| {
        let settings = Settings { generation, appliance: format!("a{generation}"), ..Settings::default() };
        repository.save_settings(&settings).await.unwrap();
    };
    save(1).await;
    ship(&repository, &bucket).await;
    for generation in 2..=4 {
        save(generation).await;
    }
    prune(&repository, Vec::new()).await.unwrap();
    assert_eq!(bucket.list("c/").await.unwrap().len(), 1, "the only one it has");
    for generation in 5..=7 {
        save(generation).await;
        ship(&repository, &bucket).await;
    }
    prune(&repository, Vec::new()).await.unwrap();
    let left: Vec<String> = bucket.list("c/").await.unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(left, ["c/0000000000000006", "c/0000000000000007"]);
}

/// A store without whole puts keeps the beginning of an object and answers with an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_in_the_bucket_are_sent_again_by_a_check() {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    back_up(&repository, "a", &some_tar(64)).await.unwrap();
    for item in repository.to_ship() {
        let bytes = repository.ship_bytes(&item.key).await.unwrap();
        bucket.put(&item.key, bytes.slice(..bytes.len() / 2), PutMode::Once).await.unwrap();
    }
    let view = repository.check(false, None, &Stop::new()).await.unwrap();
    assert!(view.problems.iter().all(|problem| problem.severity == holdfast_model::Severity::Note), "{view:?}");
    ship(&repository, &bucket).await;
    for object in bucket.list("").await.unwrap() {
        assert_eq!(bucket.get(&object.key).await.unwrap(), cache.get(&object.key).await.unwrap(), "{}", object.key);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_format_in_our_own_bucket_is_replaced_and_in_another_one_left_alone() {
    let (repository, cache) = fresh().await;
    let (empty, ours, foreign) = (memory(), memory(), memory());
    repository.attach_bucket(Arc::clone(&ours)).await.unwrap();
    ship(&repository, &ours).await;
    let (other, _) = fresh().await;
    other.attach_bucket(Arc::clone(&foreign)).await.unwrap();
    ship(&other, &foreign).await;
    let good = cache.get("format").await.unwrap();
    let half = good.slice(..good.len() / 2);
    for bucket in [&empty, &ours, &foreign] {
        bucket.put("format", half.clone(), PutMode::Replace).await.unwrap();
    }
    for bucket in [&empty, &ours] {
        repository.attach_bucket(Arc::clone(bucket)).await.unwrap();
        assert_eq!(bucket.get("format").await.unwrap(), good);
    }
    // Nor is the kit's slot whole: what else was sealed there tells whose bucket it is.
    let slot = ours.get("k/recovery-0").await.unwrap();
    ours.put("k/recovery-0", slot.slice(..slot.len() / 2), PutMode::Replace).await.unwrap();
    ours.put("format", half.clone(), PutMode::Replace).await.unwrap();
    let again = reopen(&cache).await;
    back_up(&repository, "a", &some_tar(67)).await.unwrap();
    ship(&repository, &ours).await;
    again.attach_bucket(Arc::clone(&ours)).await.unwrap();
    assert_eq!(ours.get("format").await.unwrap(), good);
    let error = repository.attach_bucket(Arc::clone(&foreign)).await.unwrap_err();
    assert_eq!(error.code(), "format.corrupt");
    assert_eq!(foreign.get("format").await.unwrap(), half);
}

/// The answer to a deletion was lost: the pack may be gone, and a backup must not lean on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packs_whose_deletion_failed_are_not_leant_on() {
    let bytes = some_tar(65);
    for nth in 0.. {
        let faults = Arc::new(Faulty::new(memory()));
        let cache: Arc<dyn Store> = faults.clone();
        let repository = Repository::create(parts(Arc::clone(&cache)), DEVICE).await.unwrap();
        let dead = back_up(&repository, "a", &bytes).await.unwrap();
        faults.heal();
        faults.lose_reply(Op::Delete, nth);
        let pruned = prune(&repository, vec![dead.id]).await;
        let anew = back_up(&repository, "a", &bytes).await.unwrap();
        assert_eq!(read_all(&repository, volume(&anew), From::Auto).await.unwrap(), bytes, "deletion {nth} failed");
        if pruned.is_ok() {
            assert!(nth > 4, "{nth}");
            break;
        }
    }
}

/// Bits rot in the cache's reach list, and the pack with the recipes is in the bucket alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotten_reach_list_does_not_keep_a_repository_with_evicted_packs_from_opening() {
    let (cache, bucket) = (memory(), memory());
    let all = parts(Arc::clone(&cache));
    let (catalog, clock) = (Arc::clone(&all.catalog), all.clock.clone());
    let repository = Repository::create(all, DEVICE).await.unwrap();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let written = back_up(&repository, "a", &some_tar(66)).await.unwrap();
    ship(&repository, &bucket).await;
    drop(repository);
    for pack in cache.list("m/").await.unwrap() {
        cache.delete(&pack.key).await.unwrap();
    }
    let reach = format!("r/{}", written.id);
    let mut bytes = cache.get(&reach).await.unwrap().to_vec();
    bytes[20] ^= 1;
    cache.put(&reach, bytes.into(), PutMode::Replace).await.unwrap();

    let parts = Parts { cache: Arc::clone(&cache), catalog, clock };
    let again = Repository::open(parts, Unlock::Device(DEVICE)).await.unwrap();
    assert!(again.snapshots().is_empty(), "nobody knows what it needs");
    assert_eq!(prune(&again, Vec::new()).await.unwrap_err().code(), "prune.unsafe");
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let entry = again.snapshot(written.id.as_str()).unwrap();
    assert_eq!(entry.state.cloud, holdfast_model::view::CloudState::Present);
    assert_eq!(read_all(&again, volume(&entry.snapshot), From::Auto).await.unwrap(), some_tar(66));
    assert_eq!(cache.get(&reach).await.unwrap(), bucket.get(&reach).await.unwrap(), "the cache's copy is mended");
}

/// A store that misleads whoever asks it once, and counts puts.
#[derive(Debug)]
pub(super) struct Misleading {
    store: Arc<dyn Store>,
    lie: Lie,
    read: std::sync::Mutex<std::collections::HashSet<String>>,
    pub(super) puts: std::sync::atomic::AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// The first body of each object is cut on its way.
    HalfBodies,
    /// Listings lack some objects and tell wrong sizes of others.
    OldListings,
}

impl Misleading {
    pub(super) fn new(store: Arc<dyn Store>, lie: Lie) -> Arc<Misleading> {
        Arc::new(Misleading { store, lie, read: Default::default(), puts: Default::default() })
    }
}

#[async_trait::async_trait]
impl Store for Misleading {
    fn place(&self) -> String {
        self.store.place()
    }
    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.puts.fetch_add(1, Ordering::Relaxed);
        self.store.put(key, bytes, mode).await
    }
    async fn get(&self, key: &str) -> Result<Bytes> {
        let bytes = self.store.get(key).await?;
        let is_first = self.read.lock().unwrap().insert(key.to_owned());
        Ok(if is_first && self.lie == Lie::HalfBodies { bytes.slice(..bytes.len() / 2) } else { bytes })
    }
    async fn get_range(&self, key: &str, range: std::ops::Range<u64>) -> Result<Bytes> {
        self.store.get_range(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<holdfast_storage::ObjectInfo>> {
        self.store.head(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<holdfast_storage::ObjectInfo>> {
        let mut listed = self.store.list(prefix).await?;
        if self.lie == Lie::OldListings {
            listed.retain(|object| !object.key.starts_with("s/") && !object.key.starts_with("p/"));
            let wrong = |object: &&mut holdfast_storage::ObjectInfo| {
                object.key.starts_with("m/") || object.key.starts_with("r/")
            };
            listed.iter_mut().filter(wrong).for_each(|object| object.size /= 2);
        }
        Ok(listed)
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.store.delete(key).await
    }
}

/// A put may break off: what is good where it lies is not written over because a body was damaged on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_believes_no_single_damaged_read() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    back_up(&repository, "a", &some_tar(68)).await.unwrap();
    ship(&repository, &bucket).await;
    let stumbling = Misleading::new(bucket, Lie::HalfBodies);
    repository.attach_bucket(stumbling.clone()).await.unwrap();
    let view = repository.check(true, None, &Stop::new()).await.unwrap();
    assert!(view.problems.is_empty() && view.healed == 0, "{view:?}");
    let read = stumbling.read.lock().unwrap().iter().map(|key| key[..1].to_owned()).collect::<BTreeSet<_>>();
    let looked_at = ["f", "i", "k", "m", "p", "r", "s"].map(String::from);
    assert_eq!(read, looked_at.into(), "one of each kind");
    assert_eq!(stumbling.puts.load(Ordering::Relaxed), 0);
}

/// The shipper never gets past half a format; a prune buries what was forgotten all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_with_half_a_format_and_nothing_but_tombstones_is_known() {
    for whole in [true, false] {
        let (repository, cache) = fresh().await;
        let bucket = memory();
        repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        let good = cache.get("format").await.unwrap();
        bucket.put("format", good.slice(..good.len() / 2), PutMode::Replace).await.unwrap();
        let forgotten = back_up(&repository, "a", &some_tar(69)).await.unwrap();
        prune(&repository, vec![forgotten.id.clone()]).await.unwrap();
        let tombstone = format!("d/{}", forgotten.id);
        let bytes = bucket.get(&tombstone).await.unwrap();
        let again = match whole {
            // Nothing here knows its name.
            true => {
                cache.delete(&tombstone).await.unwrap();
                reopen(&cache).await
            }
            false => {
                bucket.put(&tombstone, bytes.slice(..bytes.len() / 2), PutMode::Replace).await.unwrap();
                repository
            }
        };
        again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        assert_eq!(bucket.get("format").await.unwrap(), good);
        // Another repository knows neither the name nor the seal.
        bucket.put("format", good.slice(..good.len() / 2), PutMode::Replace).await.unwrap();
        assert_eq!(fresh().await.0.attach_bucket(bucket).await.unwrap_err().code(), "format.corrupt");
    }
}

/// A machine was lost while it sent a snapshot: half of it is all there is. It was never called safe, and must not forbid
/// pruning for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_snapshot_of_a_lost_machine_can_be_forgotten() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let whole = back_up(&repository, "a", &some_tar(70)).await.unwrap();
    let half = back_up(&repository, "a", &some_tar(71)).await.unwrap();
    ship(&repository, &bucket).await;
    let (kit, key) = (repository.recovery_key(), format!("s/{}", half.id));
    let bytes = bucket.get(&key).await.unwrap();
    bucket.put(&key, bytes.slice(..bytes.len() / 2), PutMode::Replace).await.unwrap();
    drop(repository);

    let again = Repository::recover(parts(memory()), Arc::clone(&bucket), kit, DEVICE).await.unwrap();
    assert_eq!(again.unreadable(), std::slice::from_ref(&half.id));
    let view = again.check(false, None, &Stop::new()).await.unwrap();
    let told = view.problems.iter().filter(|problem| problem.code == "snapshot.damaged");
    assert_eq!(told.map(|problem| problem.subject.clone()).collect::<Vec<_>>(), [half.id.to_string()]);
    assert_eq!(prune(&again, Vec::new()).await.unwrap_err().code(), "prune.unsafe");
    assert_eq!(prune(&again, vec![whole.id.clone()]).await.unwrap_err().code(), "prune.unsafe", "not that one alone");
    let outcome = prune(&again, vec![half.id.clone()]).await.unwrap();
    assert!(outcome.snapshots == 1 && outcome.waiting > 0, "{outcome:?}");
    assert!(bucket.head(&key).await.unwrap().is_none());
    assert!(again.unreadable().is_empty());
    prune(&again, Vec::new()).await.unwrap();
    let view = again.check(true, None, &Stop::new()).await.unwrap();
    assert!(view.problems.iter().all(|problem| problem.severity == holdfast_model::Severity::Note), "{view:?}");
    assert_eq!(read_all(&again, volume(&whole), From::Auto).await.unwrap(), some_tar(70));
}

/// The body was damaged on its way when the bucket was attached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_asks_the_bucket_again_for_a_snapshot_that_could_not_be_read() {
    let (repository, _) = fresh().await;
    let inner = memory();
    repository.attach_bucket(Arc::clone(&inner)).await.unwrap();
    let written = back_up(&repository, "a", &some_tar(72)).await.unwrap();
    ship(&repository, &inner).await;
    let faults = Arc::new(Faulty::new(Arc::clone(&inner)));
    faults.flip(&format!("s/{}", written.id), 50);
    let kit = repository.recovery_key();
    let again = Repository::recover(parts(memory()), faults.clone(), kit, DEVICE).await.unwrap();
    assert_eq!(prune(&again, Vec::new()).await.unwrap_err().code(), "prune.unsafe");
    faults.heal();
    let view = again.check(false, None, &Stop::new()).await.unwrap();
    assert!(view.problems.iter().all(|problem| problem.severity != holdfast_model::Severity::Error), "{view:?}");
    assert!(again.unreadable().is_empty() && again.snapshots().len() == 1);
    prune(&again, Vec::new()).await.unwrap();
    assert_eq!(read_all(&again, volume(&written), From::Auto).await.unwrap(), some_tar(72));
}

/// The word reached the bucket and its answer did not reach us; then it could not be said again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_forgotten_again_in_the_same_words() {
    let clock = Clock::manual(Moment::from_millis(1_795_000_000_123));
    let cache = memory();
    let parts = Parts { clock: clock.clone(), ..parts(Arc::clone(&cache)) };
    let repository = Repository::create(parts, DEVICE).await.unwrap();
    let faulty = Arc::new(Faulty::new(memory()));
    let bucket: Arc<dyn Store> = faulty.clone();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let gone = back_up(&repository, "a", &some_tar(75)).await.unwrap();
    ship(&repository, &bucket).await;
    let plan = repository.prune_plan(vec![gone.id.clone()]).await.unwrap();
    faulty.lose_reply(Op::Put, faulty.calls(Op::Put));
    assert!(!repository.prune(plan.clone(), &Stop::new()).await.unwrap().problems.is_empty());
    // As long in words as it is in time: three digits behind the second, or two.
    clock.advance(std::time::Duration::from_millis(7));
    faulty.fail(Op::Put, faulty.calls(Op::Put), Kind::Unavailable);
    assert!(!repository.prune(plan, &Stop::new()).await.unwrap().problems.is_empty());
    ship(&repository, &bucket).await;
    let tombstone = format!("d/{}", gone.id);
    assert_eq!(bucket.get(&tombstone).await.unwrap(), cache.get(&tombstone).await.unwrap());
}

/// A power cut took the cache's tombstone, not the bucket's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tombstone_that_only_the_bucket_has_hides_what_the_cache_still_shows() {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let kept = back_up(&repository, "a", &some_tar(73)).await.unwrap();
    let gone = back_up(&repository, "a", &some_tar(74)).await.unwrap();
    let before = copies(&cache, &gone.id).await;
    prune(&repository, vec![gone.id.clone()]).await.unwrap();
    for (key, bytes) in before {
        cache.put(&key, bytes, PutMode::Replace).await.unwrap();
    }
    cache.delete(&format!("d/{}", gone.id)).await.unwrap();
    let again = reopen(&cache).await;
    assert_eq!(again.snapshots().len(), 2, "the cache alone does not know better");
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert_eq!(again.snapshots().iter().map(|entry| &entry.snapshot.id).collect::<Vec<_>>(), [&kept.id]);
    ship(&again, &bucket).await;
    prune(&again, Vec::new()).await.unwrap();
    let view = again.check(true, None, &Stop::new()).await.unwrap();
    assert!(view.problems.iter().all(|problem| problem.severity != holdfast_model::Severity::Error), "{view:?}");
}

/// Objects of the cache that speak of a snapshot.
async fn copies(cache: &Arc<dyn Store>, id: &SnapshotId) -> Vec<(String, Bytes)> {
    let mut copies = Vec::new();
    for key in [format!("s/{id}"), format!("r/{id}")] {
        copies.push((key.clone(), cache.get(&key).await.unwrap()));
    }
    copies
}

/// An old listing is no reason to write over what is good where it lies: the put may break off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_believes_no_listing_alone() {
    let (repository, cache) = fresh().await;
    let inner = memory();
    let bucket = Misleading::new(Arc::clone(&inner), Lie::OldListings);
    repository.attach_bucket(bucket.clone()).await.unwrap();
    back_up(&repository, "a", &some_tar(75)).await.unwrap();
    ship(&repository, &inner).await;
    let view = repository.check(false, None, &Stop::new()).await.unwrap();
    assert!(view.problems.is_empty() && view.healed == 0, "{view:?}");
    assert_eq!(bucket.puts.load(Ordering::Relaxed), 0);
    // What is really gone is sent again all the same.
    let lost: Vec<String> = inner.list("s/").await.unwrap().into_iter().map(|object| object.key).collect();
    inner.delete(&lost[0]).await.unwrap();
    assert_eq!(repository.check(false, None, &Stop::new()).await.unwrap().healed, 1);
    assert_eq!(inner.get(&lost[0]).await.unwrap(), cache.get(&lost[0]).await.unwrap());
}

/// A verdict stands in the bucket, the deletion did not come through, and the next start does not find the bucket: nothing
/// new may lean on what is going to be deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_under_sentence_carries_nothing_new_while_the_bucket_is_away() {
    let day = std::time::Duration::from_secs(25 * 3600);
    let data = tar(&[("v/file", noise(3, 200_000))]);
    let mut sentenced = 0;
    for first_refused in 0..8 {
        let (cache, catalog) = (memory(), Arc::new(Catalog::in_memory()));
        let clock = Clock::manual(Moment::from_millis(1_795_000_000_000));
        let parts = || Parts { cache: Arc::clone(&cache), catalog: Arc::clone(&catalog), clock: clock.clone() };
        let bucket: Arc<dyn Store> = Arc::new(MemStore::with_clock(clock.clone()));
        let faults = Arc::new(Faulty::new(Arc::clone(&bucket)));
        let repository = Repository::create(parts(), DEVICE).await.unwrap();
        repository.attach_bucket(faults.clone()).await.unwrap();
        let first = back_up(&repository, "a", &data).await.unwrap();
        ship(&repository, &bucket).await;
        prune(&repository, vec![first.id]).await.unwrap();
        clock.advance(day);
        faults.heal();
        (first_refused..99).for_each(|nth| faults.fail(Op::Delete, nth, Kind::Unavailable));
        prune(&repository, Vec::new()).await.unwrap();
        let verdict = bucket.list("g/").await.unwrap().iter().any(|object| object.key.contains('.'));
        sentenced += u32::from(verdict && bucket.list("p/").await.unwrap().len() == 1);
        drop(repository);
        faults.heal();

        let again = Repository::open(parts(), Unlock::Device(DEVICE)).await.unwrap();
        let second = back_up(&again, "a", &data).await.unwrap();
        assert!(second.stats.bytes_new > 200_000, "{first_refused}: it leans on what is going: {:?}", second.stats);
        again.attach_bucket(faults).await.unwrap();
        for _ in 0..2 {
            ship(&again, &bucket).await;
            prune(&again, Vec::new()).await.unwrap();
            clock.advance(day);
        }
        for from in [From::Cache, From::Bucket] {
            assert!(read_all(&again, volume(&second), from).await.unwrap() == data, "{first_refused}");
        }
        // With the bucket at hand all of it is known again.
        let third = back_up(&again, "a", &data).await.unwrap();
        assert!(third.stats.bytes_new < 5_000, "{first_refused}: {:?}", third.stats);
    }
    assert!(sentenced > 0, "no pack was left under a verdict");
}
