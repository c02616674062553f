//! Bytes that turn, objects that vanish: never a wrong byte, healed or named.

use super::*;
use holdfast_model::{Kind, Severity};

async fn turn(store: &Arc<dyn Store>, key: &str, at: usize) {
    let mut bytes = store.get(key).await.unwrap().to_vec();
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 0x40;
    store.put(key, bytes.into(), PutMode::Replace).await.unwrap();
}

async fn shipped(seed: u64) -> (Repository, Arc<dyn Store>, Arc<dyn Store>, Snapshot, Vec<u8>) {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let bytes = some_tar(seed);
    let written = back_up(&repository, "shop", &bytes).await.unwrap();
    ship(&repository, &bucket).await;
    (repository, cache, bucket, written, bytes)
}

async fn keys(store: &Arc<dyn Store>, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().into_iter().map(|object| object.key).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turned_bit_in_the_cache_heals_while_reading() {
    let (repository, cache, bucket, written, bytes) = shipped(21).await;
    for key in keys(&cache, "p/").await.into_iter().chain(keys(&cache, "m/").await) {
        turn(&cache, &key, 60).await;
    }
    let error = read_all(&repository, volume(&written), From::Cache).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "pack.corrupt"));
    assert!(error.to_string().contains(written.id.as_str()), "{error}");
    assert_eq!(read_all(&repository, volume(&written), From::Auto).await.unwrap(), bytes);
    assert!(repository.take_healed().iter().any(|problem| problem.code == "pack.healed"));
    for key in keys(&cache, "p/").await {
        assert_eq!(cache.get(&key).await.unwrap(), bucket.get(&key).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_both_tiers_is_named() {
    let (repository, cache, bucket, written, _) = shipped(22).await;
    for store in [&cache, &bucket] {
        for key in keys(store, "p/").await {
            turn(store, &key, 1000).await;
        }
    }
    let error = read_all(&repository, volume(&written), From::Auto).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "pack.corrupt"));
    let view = repository.check(true, None, &Stop::new()).await.unwrap();
    let codes: Vec<&str> = view.problems.iter().map(|problem| problem.code.as_str()).collect();
    assert!(codes.contains(&"pack.corrupt") && codes.contains(&"snapshot.damaged"), "{codes:?}");
    // Backing up again stores what was lost anew.
    let anew = back_up(&repository, "shop", &some_tar(22)).await.unwrap();
    assert!(anew.stats.bytes_new > 3_000_000);
    assert_eq!(read_all(&repository, volume(&anew), From::Auto).await.unwrap(), some_tar(22));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_heals_each_tier_from_the_other() {
    let (repository, cache, bucket, written, bytes) = shipped(23).await;
    let packs = keys(&cache, "p/").await;
    turn(&cache, &packs[0], 5000).await;
    turn(&bucket, &keys(&cache, "m/").await[0], 30).await;
    turn(&bucket, &format!("s/{}", written.id), 90).await;
    turn(&cache, &format!("r/{}", written.id), 90).await;
    let meter = Arc::new(Numbers::default());
    let view = repository.check(true, Some(meter.clone()), &Stop::new()).await.unwrap();
    assert_eq!(view.healed, 4, "{:?}", view.problems);
    assert!(view.problems.iter().all(|problem| problem.severity == Severity::Note));
    assert_eq!(view.bytes_read, meter.moved.load(Ordering::Relaxed));
    let view = repository.check(true, None, &Stop::new()).await.unwrap();
    assert!(view.healed == 0 && view.problems.is_empty(), "{:?}", view.problems);
    for from in [From::Cache, From::Bucket] {
        assert_eq!(read_all(&repository, volume(&written), from).await.unwrap(), bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vanished_pack_is_found_and_replaced() {
    let (repository, cache, bucket, written, bytes) = shipped(24).await;
    cache.delete(&keys(&cache, "p/").await[0]).await.unwrap();
    bucket.delete(&keys(&bucket, "m/").await[0]).await.unwrap();
    let view = repository.check(false, None, &Stop::new()).await.unwrap();
    assert_eq!(view.healed, 2, "{:?}", view.problems);
    for from in [From::Cache, From::Bucket] {
        assert_eq!(read_all(&repository, volume(&written), from).await.unwrap(), bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_metadata_of_the_cache_comes_back_from_the_bucket() {
    for class in ["s/", "r/", "i/", "c/"] {
        let (repository, cache, bucket, written, bytes) = shipped(25).await;
        repository.save_settings(&Settings { generation: 1, ..Settings::default() }).await.unwrap();
        ship(&repository, &bucket).await;
        for key in keys(&cache, class).await {
            turn(&cache, &key, 100).await;
        }
        let again = reopen(&cache).await;
        if class == "s/" {
            let error = again.prune_plan(Vec::new()).await.err().unwrap();
            assert_eq!(error.code(), "prune.unsafe");
        }
        again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        assert_eq!(again.snapshots().len(), 1, "{class}");
        assert_eq!(read_all(&again, volume(&written), From::Auto).await.unwrap(), bytes, "{class}");
        assert!(back_up(&again, "shop", &bytes).await.unwrap().stats.bytes_new < 3000, "{class}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_turned_bit_anywhere_gives_a_wrong_byte() {
    let (repository, cache) = fresh().await;
    let bytes = tar(&[("v/a", noise(26, 3000)), ("v/b", noise(27, 40_000))]);
    let written = back_up(&repository, "shop", &bytes).await.unwrap();
    drop(repository);
    for key in keys(&cache, "").await {
        let good = cache.get(&key).await.unwrap();
        for at in (0..good.len()).step_by(good.len().div_ceil(12)) {
            turn(&cache, &key, at).await;
            if let Ok(again) = Repository::open(parts(Arc::clone(&cache)), Unlock::Device(DEVICE)).await {
                for entry in again.snapshots() {
                    assert_eq!(*entry.snapshot, written);
                }
                if let Ok(read) = read_all(&again, volume(&written), From::Auto).await {
                    assert_eq!(read, bytes, "{key} {at}");
                }
            }
            cache.put(&key, good.clone(), PutMode::Replace).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_goes_on_without_the_bucket_and_says_so() {
    let (repository, cache, bucket, _, _) = shipped(28).await;
    let faults = Arc::new(holdfast_storage::Faulty::new(Arc::clone(&bucket)));
    repository.attach_bucket(faults.clone()).await.unwrap();
    faults.heal();
    faults.crash_at(0);
    turn(&cache, &keys(&cache, "p/").await[0], 5000).await;
    let view = repository.check(true, None, &Stop::new()).await.unwrap();
    let codes: Vec<&str> = view.problems.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(codes.len(), 2, "{:?}", view.problems);
    assert!(codes.contains(&"pack.corrupt") && view.problems[0].message.contains("bucket was not checked"));
    faults.heal();
    assert_eq!(repository.check(true, None, &Stop::new()).await.unwrap().problems.len(), 0);
}
