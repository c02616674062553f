//! The power goes at every call: afterwards every committed snapshot reads, and work goes on.

use super::*;
use holdfast_storage::Faulty;

fn faulty(inner: &Arc<dyn Store>) -> (Arc<Faulty>, Arc<dyn Store>) {
    let faulty = Arc::new(Faulty::new(Arc::clone(inner)));
    let store: Arc<dyn Store> = faulty.clone();
    (faulty, store)
}

async fn assert_all_read(cache: &Arc<dyn Store>, bucket: Option<&Arc<dyn Store>>, known: &[(Snapshot, Vec<u8>)]) {
    let repository = reopen(cache).await;
    if let Some(bucket) = bucket {
        repository.attach_bucket(Arc::clone(bucket)).await.unwrap();
    }
    for (written, bytes) in known {
        assert_eq!(&read_all(&repository, volume(written), From::Auto).await.unwrap(), bytes);
        assert!(repository.snapshot(written.id.as_str()).is_ok());
    }
    for entry in repository.snapshots() {
        read_all(&repository, volume(&entry.snapshot), From::Auto).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_cut_off_at_any_call_hurts_nothing() {
    let inner = memory();
    let first_bytes = some_tar(31);
    let first = {
        let repository = Repository::create(parts(Arc::clone(&inner)), DEVICE).await.unwrap();
        back_up(&repository, "a", &first_bytes).await.unwrap()
    };
    let second_bytes = some_tar(32);
    for nth in 0.. {
        let inner = copy_of(&inner).await;
        let (faults, cache) = faulty(&inner);
        let repository = reopen(&cache).await;
        faults.heal();
        faults.crash_at(nth);
        let result = back_up(&repository, "a", &second_bytes).await;
        drop(repository);
        assert_all_read(&inner, None, &[(first.clone(), first_bytes.clone())]).await;
        if let Ok(second) = result {
            assert_all_read(&inner, None, &[(second, second_bytes)]).await;
            assert!(nth >= 4, "packs, segment, reach list and snapshot are written one by one");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cut_off_backup_stored_is_not_stored_twice() {
    let inner = memory();
    drop(Repository::create(parts(Arc::clone(&inner)), DEVICE).await.unwrap());
    let bytes = noise(33, 5_000_000);
    let (faults, cache) = faulty(&inner);
    let repository = reopen(&cache).await;
    faults.heal();
    faults.crash_at(1);
    let session = repository.session();
    let stream = put(&session, StreamKind::Bytes, &bytes).await.unwrap();
    assert!(session.commit(snapshot("a", vec![stream])).await.is_err());
    let again = reopen(&inner).await;
    let session = again.session();
    let stream = put(&session, StreamKind::Bytes, &bytes).await.unwrap();
    let written = session.commit(snapshot("a", vec![stream])).await.unwrap();
    assert!(written.stats.bytes_new < 100_000, "{}", written.stats.bytes_new);
    assert_all_read(&inner, None, &[(written, bytes)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prune_cut_off_at_any_call_in_any_tier_can_go_on() {
    for which in 0..2 {
        let (kept_bytes, dead_bytes) = (some_tar(34), some_tar(35));
        for nth in (0..).step_by(2) {
            let (inner_cache, inner_bucket) = (memory(), memory());
            let repository = Repository::create(parts(Arc::clone(&inner_cache)), DEVICE).await.unwrap();
            repository.attach_bucket(Arc::clone(&inner_bucket)).await.unwrap();
            let dead = back_up(&repository, "a", &dead_bytes).await.unwrap();
            let kept = back_up(&repository, "a", &kept_bytes).await.unwrap();
            ship(&repository, &inner_bucket).await;
            drop(repository);

            let (cache_faults, cache) = faulty(&inner_cache);
            let (bucket_faults, bucket) = faulty(&inner_bucket);
            let repository = reopen(&cache).await;
            repository.attach_bucket(bucket).await.unwrap();
            let mut plan = repository.prune_plan(vec![dead.id.clone()]).await.unwrap();
            plan.grace_seconds = 0;
            let faults = if which == 0 { &cache_faults } else { &bucket_faults };
            faults.heal();
            faults.crash_at(nth);
            let done = repository.prune(plan, &Stop::new()).await.is_ok_and(|outcome| outcome.problems.is_empty());
            drop(repository);
            assert_all_read(&inner_cache, Some(&inner_bucket), &[(kept.clone(), kept_bytes.clone())]).await;
            recovered_reads(&inner_cache, &inner_bucket, &kept, &kept_bytes).await;
            if done {
                break;
            }
            let again = reopen(&inner_cache).await;
            again.attach_bucket(Arc::clone(&inner_bucket)).await.unwrap();
            let forget = again.snapshots().iter().map(|e| e.snapshot.id.clone()).filter(|id| *id == dead.id).collect();
            let mut plan = again.prune_plan(forget).await.unwrap();
            plan.grace_seconds = 0;
            again.prune(plan, &Stop::new()).await.unwrap();
            for class in ["g/", "d/"] {
                assert!(inner_bucket.list(class).await.unwrap().is_empty(), "{class}");
            }
            assert!(inner_bucket.list("d/").await.unwrap().is_empty());
            assert_eq!(inner_bucket.list("s/").await.unwrap().len(), 1);
            assert_all_read(&inner_cache, Some(&inner_bucket), &[(kept, kept_bytes.clone())]).await;
        }
    }
}

async fn copy_of(store: &Arc<dyn Store>) -> Arc<dyn Store> {
    let copy = memory();
    for object in store.list("").await.unwrap() {
        copy.put(&object.key, store.get(&object.key).await.unwrap(), PutMode::Replace).await.unwrap();
    }
    copy
}

/// Law L1: what is visible in the bucket restores from the bucket alone.
async fn recovered_reads(cache: &Arc<dyn Store>, bucket: &Arc<dyn Store>, kept: &Snapshot, bytes: &[u8]) {
    let kit = reopen(cache).await.recovery_key();
    let recovered = Repository::recover(parts(memory()), copy_of(bucket).await, kit, DEVICE).await.unwrap();
    assert_eq!(read_all(&recovered, volume(kept), From::Bucket).await.unwrap(), bytes);
    for entry in recovered.snapshots() {
        read_all(&recovered, volume(&entry.snapshot), From::Bucket).await.unwrap();
    }
}
