//! What may leave the cache and what may not, who waits for room, and what comes back.

use super::*;
use holdfast_model::{
    Error, Kind,
    cache::{CacheRule, WhenFull},
    view::LocalState,
};
use holdfast_storage::Counting;
use std::time::Duration;

const MB: usize = 1 << 20;

fn rule(quota: u64) -> CacheRule {
    // Smaller than what people may decide: packs are the unit here.
    CacheRule { quota_bytes: Some(quota), reserve_bytes: Some(0), ..CacheRule::default() }
}

fn codes(repository: &Repository) -> Vec<String> {
    repository.take_healed().into_iter().map(|problem| problem.code).collect()
}

/// A repository with a bucket, and `count` snapshots of different data, all shipped.
async fn shipped(count: u64, size: usize) -> (Repository, Arc<dyn Store>, Arc<dyn Store>, Vec<(Snapshot, Vec<u8>)>) {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let mut all = Vec::new();
    for seed in 1..=count {
        let bytes = tar(&[("v/file", noise(seed, size))]);
        all.push((back_up(&repository, "shop", &bytes).await.unwrap(), bytes));
    }
    ship(&repository, &bucket).await;
    (repository, cache, bucket, all)
}

fn local(repository: &Repository, snapshot: &Snapshot) -> LocalState {
    repository.snapshot(snapshot.id.as_str()).unwrap().state.local
}

/// Ships all the time, as the shipper does, until it is dropped.
fn shipper(repository: &Repository, bucket: &Arc<dyn Store>) -> tokio::task::JoinHandle<()> {
    let (repository, bucket) = (repository.clone(), Arc::clone(bucket));
    tokio::spawn(async move {
        loop {
            ship(&repository, &bucket).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_leave_first_and_everything_still_comes_back() {
    let (repository, _, _, all) = shipped(3, 3 * MB).await;
    let used = repository.cache_view().used_bytes;
    let aim = used - 4 * MB as u64;
    let plan = repository.evict_plan(Some(aim));
    let gone = repository.evict(Some(aim), &Stop::new()).await.unwrap();
    assert_eq!(plan, gone, "what was planned");
    assert_eq!((gone.packs, gone.short_bytes), (2, 0));
    let states: Vec<_> = all.iter().map(|(snapshot, _)| local(&repository, snapshot)).collect();
    assert_ne!(states[0], LocalState::Present);
    assert_ne!(states[1], LocalState::Present);
    assert_eq!(states[2], LocalState::Present, "the newest of the app");
    assert_eq!(repository.cache_view().used_bytes, used - gone.bytes);
    for (snapshot, bytes) in &all {
        assert!(&read_all(&repository, volume(snapshot), From::Bucket).await.unwrap() == bytes);
    }
    let report = repository.check(true, None, &Stop::new()).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(repository.cache_view().used_bytes, used - gone.bytes, "a check brings nothing back");
    assert_eq!(codes(&repository), Vec::<String>::new());
    // The newest ones too, if nothing else is left; metadata never.
    let gone = repository.evict(Some(0), &Stop::new()).await.unwrap();
    let view = repository.cache_view();
    assert_eq!((gone.packs, gone.short_bytes, view.evictable_bytes), (1, view.used_bytes, 0));
    assert!(view.pinned_bytes > 0 && view.used_bytes == view.pinned_bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_bucket_does_not_show_stays_and_is_sent_again() {
    let (repository, cache, bucket, all) = shipped(2, 2 * MB).await;
    let unshipped = back_up(&repository, "shop", &tar(&[("v/new", noise(9, MB))])).await.unwrap();
    let packs = bucket.list("p/").await.unwrap();
    bucket.delete(&packs[0].key).await.unwrap();
    bucket.put(&packs[1].key, Bytes::from_static(b"short"), PutMode::Replace).await.unwrap();
    let gone = repository.evict(Some(0), &Stop::new()).await.unwrap();
    assert_eq!(gone.packs, 0);
    assert_eq!(cache.list("p/").await.unwrap().len(), 3);
    assert_eq!(codes(&repository), ["bucket.lost", "bucket.lost"]);
    bucket.delete(&packs[1].key).await.unwrap();
    ship(&repository, &bucket).await;
    assert_eq!(repository.evict(Some(0), &Stop::new()).await.unwrap().packs, 3);
    for (snapshot, bytes) in &all {
        assert!(&read_all(&repository, volume(snapshot), From::Auto).await.unwrap() == bytes);
    }
    assert_eq!(local(&repository, &unshipped), LocalState::Partial, "its metadata stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_bucket_nothing_leaves() {
    let (repository, cache, _, _) = shipped(1, MB).await;
    repository.detach_bucket();
    let gone = repository.evict(Some(0), &Stop::new()).await.unwrap();
    assert_eq!((gone.packs, gone.short_bytes), (0, repository.cache_view().used_bytes));
    drop(repository);
    // What only an earlier life was told is not proved.
    let again = reopen(&cache).await;
    assert_eq!(again.evict(Some(0), &Stop::new()).await.unwrap().packs, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leaves_under_a_reader_is_no_damage() {
    let (repository, _, _, all) = shipped(1, 12 * MB).await;
    let (snapshot, bytes) = &all[0];
    let mut pieces = repository.read(volume(snapshot), From::Auto, None);
    let mut read = pieces.next().await.unwrap().unwrap().to_vec();
    repository.evict(Some(0), &Stop::new()).await.unwrap();
    while let Some(piece) = pieces.next().await {
        read.extend_from_slice(&piece.unwrap());
    }
    assert!(&read == bytes);
    assert_eq!(codes(&repository), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_larger_than_the_cache_goes_on_at_the_buckets_speed() {
    let (repository, cache) = fresh().await;
    let bucket: Arc<dyn Store> = Arc::new(Counting::new(memory()));
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let quota = 3 * (34 << 20);
    repository.set_cache_rule(rule(quota), None);
    let ships = shipper(&repository, &bucket);
    let bytes = tar(&[("v/large", noise(5, 300 * MB))]);
    let snapshot = back_up(&repository, "shop", &bytes).await.unwrap();
    let lying: u64 = cache.list("").await.unwrap().iter().map(|object| object.size).sum();
    // Beside it there is metadata.
    assert!(lying <= quota + (1 << 20), "{lying}");
    ships.abort();
    let _ = ships.await;
    ship(&repository, &bucket).await;
    assert!(read_all(&repository, volume(&snapshot), From::Auto).await.unwrap() == bytes);
    let lying: u64 = cache.list("").await.unwrap().iter().map(|object| object.size).sum();
    assert!(lying <= quota + (1 << 20), "a restore does not fill it either: {lying}");
    drop(repository);
    let again = reopen(&cache).await;
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert!(read_all(&again, volume(&snapshot), From::Auto).await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_cache_refuses_loudly_and_takes_the_next_backup_once_there_is_room() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    let failed = async |repository: &Repository, seed| -> Error {
        back_up(repository, "shop", &tar(&[("v/file", noise(seed, 4 * MB))])).await.unwrap_err()
    };
    repository.set_cache_rule(rule(6 << 20), None);
    let first = back_up(&repository, "shop", &tar(&[("v/first", noise(1, 4 * MB))])).await.unwrap();
    let error = failed(&repository, 2).await;
    assert_eq!((error.code(), error.kind()), ("cache.full", Kind::Full), "there is no bucket");
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    repository.set_cache_rule(CacheRule { when_full: WhenFull::Refuse, ..rule(6 << 20) }, None);
    assert_eq!(failed(&repository, 3).await.code(), "cache.full");
    assert_eq!(repository.snapshots().len(), 1, "nothing half done is told");
    ship(&repository, &bucket).await;
    back_up(&repository, "shop", &tar(&[("v/file", noise(3, 4 * MB))])).await.unwrap();
    assert_ne!(local(&repository, &first), LocalState::Present, "it made room");
    assert!(!repository.cache_view().waiting);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_marks_decide_when_nobody_asks() {
    let (repository, _, _, _) = shipped(3, 3 * MB).await;
    let used = repository.cache_view().used_bytes;
    repository.set_cache_rule(rule(used * 2), None);
    assert_eq!(repository.evict(None, &Stop::new()).await.unwrap().packs, 0);
    repository.set_cache_rule(rule(used), None);
    let gone = repository.evict(None, &Stop::new()).await.unwrap();
    let view = repository.cache_view();
    assert!(gone.packs == 1 && view.used_bytes <= used - used / 10, "{gone:?} {view:?}");
    assert_eq!((view.limit_bytes, view.unshipped_bytes), (used, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_comes_back_into_the_cache_as_far_as_it_has_room() {
    let (repository, _, _, all) = shipped(2, 3 * MB).await;
    repository.evict(Some(0), &Stop::new()).await.unwrap();
    let streams = [volume(&all[0].0).clone()];
    let numbers = Arc::new(Numbers::default());
    let warmed = repository.warm(&streams, Some(numbers.clone()), &Stop::new()).await.unwrap();
    assert_eq!((warmed.packs, warmed.short_bytes), (1, 0));
    assert!(warmed.here > 0, "metadata");
    assert_eq!(numbers.moved.load(Ordering::Relaxed), warmed.bytes);
    assert!(read_all(&repository, volume(&all[0].0), From::Cache).await.unwrap() == all[0].1);
    repository.set_cache_rule(rule(repository.cache_view().used_bytes + 1), None);
    let warmed = repository.warm(&[volume(&all[1].0).clone()], None, &Stop::new()).await.unwrap();
    assert!(warmed.packs == 0 && warmed.short_bytes > 0, "{warmed:?}");
    assert!(read_all(&repository, volume(&all[1].0), From::Auto).await.unwrap() == all[1].1);
    assert!(repository.cache_view().used_bytes <= repository.cache_view().limit_bytes, "nor does a reader fill it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_left_is_known_and_not_stored_again() {
    let (repository, cache, bucket, all) = shipped(1, 3 * MB).await;
    repository.evict(Some(0), &Stop::new()).await.unwrap();
    let same = back_up(&repository, "shop", &all[0].1).await.unwrap();
    assert!(same.stats.bytes_new < 100_000, "{}", same.stats.bytes_new);
    drop(repository);
    let again = reopen(&cache).await;
    again.attach_bucket(bucket).await.unwrap();
    let same = back_up(&again, "shop", &all[0].1).await.unwrap();
    assert!(same.stats.bytes_new < 100_000, "{}", same.stats.bytes_new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_is_what_lies_there() {
    let (repository, cache, bucket, _) = shipped(3, 2 * MB).await;
    let lies = async |cache: &Arc<dyn Store>| -> u64 {
        let all = cache.list("").await.unwrap();
        // The way in of this machine counts too: it lies there.
        all.iter().map(|object| object.size).sum()
    };
    assert_eq!(repository.cache_view().used_bytes, lies(&cache).await);
    repository.evict(Some(0), &Stop::new()).await.unwrap();
    assert_eq!(repository.cache_view().used_bytes, lies(&cache).await);
    let oldest = repository.snapshots()[0].snapshot.clone();
    repository.warm(&[volume(&oldest).clone()], None, &Stop::new()).await.unwrap();
    assert_eq!(repository.cache_view().used_bytes, lies(&cache).await);
    let plan = repository.prune_plan(vec![oldest.id.clone()]).await.unwrap();
    repository.prune(plan, &Stop::new()).await.unwrap();
    assert_eq!(repository.cache_view().used_bytes, lies(&cache).await);
    drop(repository);
    let again = reopen(&cache).await;
    again.attach_bucket(bucket).await.unwrap();
    assert_eq!(again.cache_view().used_bytes, lies(&cache).await);
}
