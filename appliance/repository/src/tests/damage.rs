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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_cut_short_in_the_cache_is_not_called_local_and_heals_after_a_restart() {
    let (repository, cache, bucket, written, bytes) = shipped(29).await;
    drop(repository);
    for key in keys(&cache, "p/").await.into_iter().chain(keys(&cache, "m/").await) {
        let half = cache.get(&key).await.unwrap();
        cache.put(&key, half.slice(..half.len() / 2), PutMode::Replace).await.unwrap();
    }
    let again = reopen(&cache).await;
    assert_eq!(again.snapshots()[0].state.local, holdfast_model::view::LocalState::Absent);
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert_eq!(again.snapshots()[0].state.cloud, holdfast_model::view::CloudState::Present);
    assert!(again.to_ship().is_empty(), "the good copy of the bucket is not to be replaced: {:?}", again.to_ship());
    assert_eq!(read_all(&again, volume(&written), From::Auto).await.unwrap(), bytes);
    assert_eq!(read_all(&again, volume(&written), From::Cache).await.unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_cut_short_in_the_bucket_is_seen_by_a_recovery_and_sent_again_by_a_check() {
    let (repository, cache, bucket, written, bytes) = shipped(30).await;
    let key = keys(&bucket, "p/").await.remove(0);
    let whole = bucket.get(&key).await.unwrap();
    bucket.put(&key, whole.slice(..whole.len() / 2), PutMode::Replace).await.unwrap();
    let kit = repository.recovery_key();
    drop(repository);
    let again = reopen(&cache).await;
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert_ne!(again.snapshots()[0].state.cloud, holdfast_model::view::CloudState::Present);
    // Somebody else, who has the bucket alone, is told too.
    let copy = memory();
    for key in keys(&bucket, "").await {
        copy.put(&key, bucket.get(&key).await.unwrap(), PutMode::Replace).await.unwrap();
    }
    let recovered = Repository::recover(parts(memory()), copy, kit, DEVICE).await.unwrap();
    assert_eq!(recovered.snapshots()[0].state.cloud, holdfast_model::view::CloudState::Damaged);
    let view = recovered.check(false, None, &Stop::new()).await.unwrap();
    assert!(view.problems.iter().any(|problem| problem.code == "snapshot.damaged"), "{:?}", view.problems);
    let view = again.check(false, None, &Stop::new()).await.unwrap();
    assert_eq!(view.healed, 1, "{:?}", view.problems);
    assert_eq!(bucket.get(&key).await.unwrap(), whole);
    assert_eq!(read_all(&again, volume(&written), From::Bucket).await.unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_can_be_changed_after_the_newest_were_damaged() {
    let (repository, cache) = fresh().await;
    for generation in 1..=2 {
        let settings = Settings { generation, appliance: format!("a{generation}"), ..Settings::default() };
        repository.save_settings(&settings).await.unwrap();
    }
    drop(repository);
    turn(&cache, &keys(&cache, "c/").await[1], 100).await;
    let again = reopen(&cache).await;
    let mut settings = again.settings().await.unwrap().unwrap();
    assert_eq!(settings.appliance, "a1");
    settings.generation += 1;
    settings.appliance = "changed".into();
    again.save_settings(&settings).await.unwrap();
    assert_eq!(again.settings().await.unwrap().unwrap(), settings);
    assert_eq!(reopen(&cache).await.settings().await.unwrap().unwrap(), settings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reach_list_made_anew_leaves_no_lost_pack_out() {
    let (repository, cache) = fresh().await;
    let written = back_up(&repository, "shop", &some_tar(40)).await.unwrap();
    drop(repository);
    for key in keys(&cache, "i/").await.into_iter().chain(keys(&cache, "p/").await) {
        cache.delete(&key).await.unwrap();
    }
    cache.delete(&format!("r/{}", written.id)).await.unwrap();
    let again = reopen(&cache).await;
    assert!(again.snapshots().is_empty(), "{:?}", again.snapshots()[0].state);
    let view = again.check(false, None, &Stop::new()).await.unwrap();
    assert!(view.problems.iter().any(|problem| problem.code == "snapshot.damaged"), "{:?}", view.problems);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_way_in_is_found_before_it_is_needed() {
    let (repository, cache, bucket, _, _) = shipped(23).await;
    for store in [&bucket, &cache] {
        for key in ["format", "k/recovery-0"] {
            turn(store, key, 90).await;
            let view = repository.check(false, None, &Stop::new()).await.unwrap();
            assert_eq!(view.healed, 1, "{key}: {:?}", view.problems);
            assert!(view.problems.iter().all(|problem| problem.severity == Severity::Note), "{:?}", view.problems);
            assert_eq!(cache.get(key).await.unwrap(), bucket.get(key).await.unwrap());
        }
    }
    let (parts, key) = (parts(memory()), repository.recovery_key());
    Repository::recover(parts, bucket, key, DEVICE).await.unwrap();
}

/// Before the bucket has it nobody else has it either: it must not hold up what is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_rots_before_it_is_shipped_holds_up_its_own_snapshot_only() {
    for gone in [false, true] {
        let (repository, cache) = fresh().await;
        let bucket = memory();
        repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        back_up(&repository, "shop", &some_tar(31)).await.unwrap();
        let packs = keys(&cache, "p/").await;
        let other = back_up(&repository, "mail", &some_tar(32)).await.unwrap();
        match gone {
            true => cache.delete(&packs[0]).await.unwrap(),
            false => turn(&cache, &packs[0], 1000).await,
        }
        let error = repository.ship_bytes(&packs[0]).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "pack.corrupt"));
        assert!(repository.take_healed().iter().any(|problem| problem.code == "pack.corrupt"), "it is told");
        ship(&repository, &bucket).await;
        let states: Vec<_> = repository.snapshots().into_iter().map(|entry| entry.state.cloud).collect();
        use holdfast_model::view::CloudState::{Damaged, Present};
        assert_eq!(states, [Damaged, Present]);
        assert_eq!(read_all(&repository, volume(&other), From::Bucket).await.unwrap(), some_tar(32));
        // The same data again stores what was lost anew, and all of it arrives.
        back_up(&repository, "shop", &some_tar(31)).await.unwrap();
        ship(&repository, &bucket).await;
        let newest = repository.snapshots().pop().unwrap();
        assert_eq!(newest.state.cloud, Present);
        let bytes = read_all(&repository, volume(&newest.snapshot), From::Bucket).await.unwrap();
        assert!(bytes == some_tar(31));
    }
}
