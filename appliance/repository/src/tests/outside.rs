//! The cache as it is seen from outside: what leaves it, comes back and counts, without a look at what is inside.

use super::*;
use holdfast_model::cache::CacheRule;

/// Bytes of content.
const MB: usize = 1_000_000;

fn rule(quota: u64) -> CacheRule {
    // Smaller than what people may decide: packs are the unit here.
    CacheRule { quota_bytes: Some(quota), reserve_bytes: Some(0), ..CacheRule::default() }
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
