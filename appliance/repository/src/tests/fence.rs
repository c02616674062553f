//! An appliance that was taken over: it reads on, and never again changes the bucket.

use super::*;
use holdfast_model::Kind;

/// An appliance whose one snapshot is in the bucket, and the one that took over after it.
async fn taken_over(seed: u64) -> (Repository, Repository, Arc<dyn Store>, Snapshot) {
    let (old, _) = fresh().await;
    let bucket = memory();
    old.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let first = back_up(&old, "shop", &some_tar(seed)).await.unwrap();
    ship(&old, &bucket).await;
    let kit = old.recovery_key();
    let new = Repository::recover(parts(memory()), Arc::clone(&bucket), kit, [9; 32]).await.unwrap();
    (old, new, bucket, first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prune_of_the_old_appliance_deletes_nothing_of_the_new_one() {
    let (old, new, bucket, first) = taken_over(51).await;
    let second = back_up(&new, "shop", &some_tar(51)).await.unwrap();
    ship(&new, &bucket).await;
    let plan = old.prune_plan(vec![first.id.clone()]).await.unwrap();
    let error = old.prune(plan, &Stop::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Refused, "repository.fenced"));
    assert_eq!(old.snapshots().len(), 1, "nothing was begun");
    assert_eq!(read_all(&new, volume(&second), From::Bucket).await.unwrap(), some_tar(51));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_and_words_to_forget_of_the_old_appliance_stay_with_it() {
    let (old, _new, _bucket, _) = taken_over(52).await;
    old.save_settings(&Settings { generation: 9, ..Settings::default() }).await.unwrap();
    let items = old.to_ship();
    assert!(!items.is_empty());
    for item in items {
        assert_eq!(old.ship_bytes(&item.key).await.unwrap_err().code(), "repository.fenced", "{}", item.key);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_the_old_appliance_sends_nothing_back() {
    let (old, new, bucket, first) = taken_over(53).await;
    let plan = new.prune_plan(vec![first.id.clone()]).await.unwrap();
    new.prune(plan, &Stop::new()).await.unwrap();
    let before = bucket.list("").await.unwrap();
    let view = old.check(false, None, &Stop::new()).await.unwrap();
    assert!(view.problems.iter().any(|problem| problem.code == "repository.fenced"), "{:?}", view.problems);
    assert_eq!(bucket.list("").await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_forgotten_on_its_way_does_not_stay_in_the_bucket() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let written = back_up(&repository, "shop", &some_tar(54)).await.unwrap();
    let mut items = repository.to_ship();
    let last = items.pop().unwrap();
    for item in items {
        let bytes = repository.ship_bytes(&item.key).await.unwrap();
        bucket.put(&item.key, bytes, PutMode::Once).await.unwrap();
        repository.acknowledged(&item.key, item.size).await.unwrap();
    }
    let bytes = repository.ship_bytes(&last.key).await.unwrap();
    let plan = repository.prune_plan(vec![written.id.clone()]).await.unwrap();
    repository.prune(plan, &Stop::new()).await.unwrap();
    // The upload that was under way lands only now.
    bucket.put(&last.key, bytes, PutMode::Once).await.unwrap();
    repository.acknowledged(&last.key, last.size).await.unwrap();
    assert!(bucket.list("s/").await.unwrap().is_empty(), "a snapshot without its packs is visible (law L1)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_not_learned_while_a_prune_deletes_in_it() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    let pruning = repository.inner.gate.write().await;
    let soon = std::time::Duration::from_millis(50);
    let early = tokio::time::timeout(soon, repository.attach_bucket(Arc::clone(&bucket))).await;
    assert!(early.is_err() && !repository.has_bucket());
    drop(pruning);
    repository.attach_bucket(bucket).await.unwrap();
}

/// Packs change nothing of what the bucket means, but they fill it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packs_of_the_old_appliance_stop_within_a_minute() {
    let clock = Clock::manual(Moment::from_millis(1_795_000_000_000));
    let old = Repository::create(Parts { clock: clock.clone(), ..parts(memory()) }, DEVICE).await.unwrap();
    let bucket = memory();
    old.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    back_up(&old, "shop", &some_tar(55)).await.unwrap();
    ship(&old, &bucket).await;
    let kit = old.recovery_key();
    let _new = Repository::recover(parts(memory()), Arc::clone(&bucket), kit, [9; 32]).await.unwrap();
    back_up(&old, "shop", &some_tar(56)).await.unwrap();
    let pack = old.to_ship().into_iter().find(|item| item.stage == Stage::Pack).unwrap().key;
    clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(old.ship_bytes(&pack).await.unwrap_err().code(), "repository.fenced");
}
