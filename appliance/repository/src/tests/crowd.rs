//! Many at once: backups, shipping, reading and pruning do not stand in each other's way.

use super::*;

async fn backups(repository: Repository, who: u64) -> Vec<(Snapshot, Vec<u8>)> {
    let mut written = Vec::new();
    for round in 0..4 {
        // Half of it is common to everybody.
        let bytes = tar(&[("v/common", noise(1, 400_000)), ("v/own", noise(100 + who * 10 + round, 300_000))]);
        written.push((back_up(&repository, &format!("app-{who}"), &bytes).await.unwrap(), bytes));
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_loses_nothing() {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let workers: Vec<_> = (0..4).map(|who| tokio::spawn(backups(repository.clone(), who))).collect();
    let stop = Stop::new();
    let (pruner, stopped) = (repository.clone(), stop.clone());
    let pruner = tokio::spawn(async move {
        while !stopped.is_cancelled() {
            // Snapshots of the first app only; none of them is looked at again.
            let mine = pruner.snapshots().into_iter().filter(|entry| entry.snapshot.app == "app-0");
            let plan = pruner.prune_plan(mine.map(|entry| entry.snapshot.id.clone()).collect()).await.unwrap();
            let outcome = pruner.prune(plan, &Stop::new()).await.unwrap();
            assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let mut written = Vec::new();
    for worker in workers {
        written.push(worker.await.unwrap());
    }
    stop.cancel();
    pruner.await.unwrap();
    ship(&repository, &bucket).await;
    let again = reopen(&cache).await;
    again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    for (snapshot, bytes) in written.iter().skip(1).flatten() {
        for from in [From::Cache, From::Bucket] {
            assert_eq!(&read_all(&again, volume(snapshot), from).await.unwrap(), bytes);
        }
    }
    let view = again.check(true, None, &Stop::new()).await.unwrap();
    assert!(view.problems.is_empty(), "{:?}", view.problems);
}

#[tokio::test]
async fn one_thread_is_enough() {
    let (repository, _) = fresh().await;
    let bytes = some_tar(41);
    let written = back_up(&repository, "shop", &bytes).await.unwrap();
    assert_eq!(read_all(&repository, volume(&written), From::Auto).await.unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_away_leaves_nothing_hanging() {
    let (repository, _) = fresh().await;
    let written = back_up(&repository, "shop", &some_tar(42)).await.unwrap();
    for _ in 0..20 {
        let mut pieces = repository.read(volume(&written), From::Auto, None);
        pieces.next().await.unwrap().unwrap();
    }
    let weak = Arc::downgrade(&repository.inner);
    drop(repository);
    for _ in 0..200 {
        if weak.strong_count() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("somebody still holds the repository");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_hurts_nothing_stored() {
    let inner = memory();
    let faults = Arc::new(holdfast_storage::Faulty::new(Arc::clone(&inner)));
    let cache: Arc<dyn Store> = faults.clone();
    let repository = Repository::create(parts(cache), DEVICE).await.unwrap();
    let bytes = some_tar(43);
    let written = back_up(&repository, "shop", &bytes).await.unwrap();
    faults.heal();
    faults.fail(holdfast_storage::Op::Put, 0, holdfast_model::Kind::Full);
    let error = back_up(&repository, "shop", &some_tar(44)).await.unwrap_err();
    assert_eq!(error.kind(), holdfast_model::Kind::Full, "{error:?}");
    assert_eq!(read_all(&repository, volume(&written), From::Auto).await.unwrap(), bytes);
    // With room again the same backup succeeds, and nothing of the failed one is leant on.
    let again = back_up(&repository, "shop", &some_tar(44)).await.unwrap();
    assert_eq!(read_all(&repository, volume(&again), From::Cache).await.unwrap(), some_tar(44));
}
