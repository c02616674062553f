//! Cache and bucket: shipping, reading from either, recovering, fencing, pruning.

use super::*;
use holdfast_model::{
    Kind,
    view::{CloudState, LocalState},
};
use holdfast_storage::{Counting, Faulty, Op};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shipping_is_lawful_and_states_are_honest() {
    let (repository, _) = fresh().await;
    let written = back_up(&repository, "shop", &some_tar(11)).await.unwrap();
    assert!(repository.to_ship().is_empty());
    let cloud = |repository: &Repository| repository.snapshots()[0].state.cloud;
    assert_eq!(cloud(&repository), CloudState::None);
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert_eq!(cloud(&repository), CloudState::Shipping);
    let items = repository.to_ship();
    assert!(items.windows(2).all(|pair| pair[0].stage <= pair[1].stage), "{items:?}");
    assert!(items.iter().all(|item| item.key != "k/device"));
    assert_eq!(items.last().unwrap().key, format!("s/{}", written.id));
    let wrong = repository.acknowledged(&items[0].key, items[0].size + 1).await.unwrap_err();
    assert_eq!(wrong.code(), "bucket.size");
    ship(&repository, &bucket).await;
    assert_eq!(cloud(&repository), CloudState::Present);
    assert!(repository.to_ship().is_empty());
    assert!(repository.last_acknowledged().is_some());
    assert_eq!(repository.bucket_use().snapshots, 1);
    assert_eq!(repository.bucket_use().packs, repository.cache_use().packs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bucket_alone_is_enough_and_leaves_the_cache_untouched() {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let bytes = some_tar(12);
    let written = back_up(&repository, "shop", &bytes).await.unwrap();
    ship(&repository, &bucket).await;
    for pack in cache.list("p/").await.unwrap().into_iter().chain(cache.list("m/").await.unwrap()) {
        cache.delete(&pack.key).await.unwrap();
    }
    let again = reopen(&cache).await;
    assert!(read_all(&again, volume(&written), From::Auto).await.is_err(), "no bucket yet");
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert_eq!(again.snapshots()[0].state, TierState { local: LocalState::Absent, cloud: CloudState::Present });
    let streams = [volume(&written).clone()];
    let cost = again.cost(&streams, From::Auto).await.unwrap();
    assert_eq!((cost.bytes, cost.missing_bytes), (bytes.len() as u64, 0));
    assert_eq!(read_all(&again, volume(&written), From::Bucket).await.unwrap(), bytes);
    assert!(read_all(&again, volume(&written), From::Cache).await.is_err());
    let third = reopen(&cache).await;
    third.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert_eq!(read_all(&third, volume(&written), From::Auto).await.unwrap(), bytes);
    assert_eq!(third.snapshots()[0].state.local, LocalState::Present, "packs came into the cache");
    assert_eq!(read_all(&third, volume(&written), From::Cache).await.unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_back_from_bucket_and_kit() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let bytes = some_tar(13);
    let written = back_up(&repository, "shop", &bytes).await.unwrap();
    repository
        .save_settings(&Settings { generation: 3, appliance: "old".into(), ..Settings::default() })
        .await
        .unwrap();
    ship(&repository, &bucket).await;
    let unshipped = back_up(&repository, "shop", &some_tar(14)).await.unwrap();

    let cache = memory();
    let wrong = Repository::recover(parts(memory()), Arc::clone(&bucket), RecoveryKey([1; 32]), DEVICE).await;
    assert_eq!(wrong.err().unwrap().code(), "kit.wrong");
    let none = Repository::recover(parts(memory()), memory(), repository.recovery_key(), DEVICE).await;
    assert_eq!(none.err().unwrap().code(), "bucket.empty");
    let kit = repository.recovery_key();
    let recovered = Repository::recover(parts(Arc::clone(&cache)), Arc::clone(&bucket), kit, [9; 32]).await.unwrap();
    assert_eq!(recovered.settings().await.unwrap().unwrap().appliance, "old");
    assert_eq!(recovered.snapshots().len(), 1);
    assert!(recovered.snapshot(unshipped.id.as_str()).is_err());
    assert_eq!(read_all(&recovered, volume(&written), From::Auto).await.unwrap(), bytes);
    assert!(back_up(&recovered, "shop", &bytes).await.unwrap().stats.bytes_new < 3000, "dedup works on");
    ship(&recovered, &bucket).await;

    // The appliance before it is fenced off, even if it stayed attached.
    assert_eq!(repository.ship_bytes(&format!("s/{}", unshipped.id)).await.unwrap_err().code(), "repository.fenced");
    let refused = repository.attach_bucket(Arc::clone(&bucket)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (Kind::Refused, "repository.fenced"));
    let again = Repository::open(parts(Arc::clone(&cache)), Unlock::Device([9; 32])).await.unwrap();
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert_eq!(again.snapshots().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_repositorys_bucket_is_left_alone() {
    let (first, _) = fresh().await;
    let (second, _) = fresh().await;
    let bucket = memory();
    first.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    ship(&first, &bucket).await;
    let error = second.attach_bucket(Arc::clone(&bucket)).await.unwrap_err();
    assert_eq!(error.code(), "bucket.foreign");
    assert!(!second.has_bucket() && second.to_ship().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_catalog_is_learned_again_from_the_bucket() {
    let (repository, cache) = fresh().await;
    let counted = Arc::new(Counting::new(memory()));
    let bucket: Arc<dyn Store> = counted.clone();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    back_up(&repository, "shop", &some_tar(15)).await.unwrap();
    ship(&repository, &bucket).await;
    let again = reopen(&cache).await;
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert!(again.to_ship().is_empty());
    assert_eq!(again.snapshots()[0].state.cloud, CloudState::Present);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prune_frees_what_nothing_needs_in_both_tiers() {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let (kept_bytes, dead_bytes) = (some_tar(16), some_tar(17));
    let dead = back_up(&repository, "a", &dead_bytes).await.unwrap();
    let kept = back_up(&repository, "a", &kept_bytes).await.unwrap();
    ship(&repository, &bucket).await;
    let mut plan = repository.prune_plan(vec![dead.id.clone()]).await.unwrap();
    plan.grace_seconds = 0;
    assert!(plan.cache_bytes > 3_000_000 && plan.cache_bytes == plan.bucket_bytes);
    let outcome = repository.prune(plan, &Stop::new()).await.unwrap();
    assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
    assert_eq!((outcome.snapshots, outcome.cache_bytes > 3_000_000), (1, true));
    assert_eq!(outcome.cache_bytes, outcome.bucket_bytes);
    for store in [&cache, &bucket] {
        let names = store.list("").await.unwrap();
        assert!(names.iter().all(|object| !object.key.contains(dead.id.as_str())), "{names:?}");
        assert_eq!(names.iter().filter(|object| object.key.starts_with("i/")).count(), 2, "one superseded, one kept");
    }
    assert!(repository.to_ship().is_empty(), "{:?}", repository.to_ship());
    let again = reopen(&cache).await;
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    assert_eq!(again.snapshots().len(), 1);
    for from in [From::Cache, From::Bucket] {
        assert_eq!(read_all(&again, volume(&kept), from).await.unwrap(), kept_bytes);
    }
    let anew = back_up(&again, "a", &dead_bytes).await.unwrap();
    assert!(anew.stats.bytes_new > 3_000_000, "pruned data counts as unknown");
    assert_eq!(read_all(&again, volume(&anew), From::Auto).await.unwrap(), dead_bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_forbids_deleting_is_named_and_stays_restorable() {
    let (repository, cache) = fresh().await;
    let inner = memory();
    let faulty = Arc::new(Faulty::new(Arc::clone(&inner)));
    let bucket: Arc<dyn Store> = faulty.clone();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let bytes = some_tar(18);
    let dead = back_up(&repository, "a", &bytes).await.unwrap();
    ship(&repository, &bucket).await;
    faulty.fail(Op::Delete, 0, Kind::Denied);
    let plan = repository.prune_plan(vec![dead.id.clone()]).await.unwrap();
    let outcome = repository.prune(plan, &Stop::new()).await.unwrap();
    assert_eq!(outcome.problems.len(), 1);
    assert!(outcome.cache_bytes > 0 && outcome.bucket_bytes == 0);
    assert!(cache.list("p/").await.unwrap().is_empty());
    assert!(!inner.list("p/").await.unwrap().is_empty());
    assert!(repository.snapshots().is_empty());
    // The next prune goes on.
    let mut plan = repository.prune_plan(Vec::new()).await.unwrap();
    plan.grace_seconds = 0;
    assert!(plan.bucket_bytes > 0);
    let outcome = repository.prune(plan, &Stop::new()).await.unwrap();
    assert!(outcome.problems.is_empty() && outcome.bucket_bytes > 0);
    for class in ["p/", "m/", "s/", "r/", "d/", "i/", "g/"] {
        assert!(inner.list(class).await.unwrap().is_empty(), "{class}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_pruned_under_a_backup_is_not_committed() {
    let (repository, _) = fresh().await;
    let old = back_up(&repository, "a", &some_tar(19)).await.unwrap();
    let known = volume(&old).clone();
    let plan = repository.prune_plan(vec![old.id.clone()]).await.unwrap();
    repository.prune(plan, &Stop::new()).await.unwrap();
    let session = repository.session();
    let error = session.commit(snapshot("a", vec![known])).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Conflict, "snapshot.stale"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ours_in_the_bucket_is_not_missed() {
    let bucket = memory();
    let (repository, _) = fresh().await;
    bucket.put("probe/canary", Bytes::from_static(b"x"), PutMode::Replace).await.unwrap();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    back_up(&repository, "shop", &some_tar(41)).await.unwrap();
    ship(&repository, &bucket).await;
    bucket.delete("probe/canary").await.unwrap();
    let view = repository.check(true, None, &Stop::new()).await.unwrap();
    assert!(view.problems.is_empty(), "{:?}", view.problems);
}

/// A snapshot of nothing but noise.
async fn keep(repository: &Repository, seed: u64) -> Snapshot {
    let session = repository.session();
    let stream = put(&session, StreamKind::Bytes, &noise(seed, 200_000)).await.unwrap();
    session.commit(snapshot("shop", vec![stream])).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_arrive_holds_up_those_alone_that_need_it() {
    let (repository, _) = fresh().await;
    repository.attach_bucket(memory()).await.unwrap();
    let (first, second) = (keep(&repository, 31).await, keep(&repository, 32).await);
    let third = keep(&repository, 31).await;
    let all = repository.to_ship();
    let is_stuck = |item: &&ShipItem| item.key.starts_with(DATA_PACKS) && item.snapshot.as_ref() == Some(&first.id);
    let stuck = HashSet::from([all.iter().find(is_stuck).unwrap().key.clone()]);
    let listed = repository.ship_list(usize::MAX, &stuck);
    let place = |key: &str| listed.items.iter().position(|item| item.key == key).unwrap();
    let [pack, one, two, three] = [
        stuck.iter().next().unwrap().clone(),
        format!("s/{}", first.id),
        format!("s/{}", second.id),
        format!("s/{}", third.id),
    ]
    .map(|key| place(&key));
    assert!(two < pack && pack < one && pack < three, "{two} {pack} {one} {three}");
    let names = |items: &[ShipItem]| items.iter().map(|item| item.key.clone()).collect::<HashSet<_>>();
    assert_eq!(names(&listed.items), names(&all), "nothing is left out");
    assert_eq!((listed.objects, listed.items.len()), (all.len() as u64, all.len()), "and nothing is listed twice");
    let short = repository.ship_list(8, &stuck);
    assert!((8..=9).contains(&short.items.len()) && short.objects == all.len() as u64, "{short:?}");
}
