//! The reference flow, from the first backup to the recovery on an empty machine.

use crate::{
    judge::Judge,
    restore::{FILES, restored},
};
use holdfast_model::{Error, Kind, Result, SnapshotId, settings::Settings};
use holdfast_repository::{RecoveryKey, Repository};
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::{MemStore, Store};
use holdfast_tests::s3site::{Keeper, Place, parts, prove, tree};
use std::{sync::Arc, time::Duration};

/// Grace of prunes in a case, seconds: what they do in order on two days is done here in two seconds.
const GRACE: u64 = 1;

/// Two apps are backed up and shipped; settings are changed and the first app is backed up again; everything restores; its first
/// snapshot is forgotten; a check reads everything; and an empty machine recovers from the bucket. `direct` is the bucket itself.
pub(crate) async fn live(judge: &Judge, direct: &Place) {
    let mut keeper = Keeper::create(Arc::new(MemStore::new()), &Clock::system()).await;
    let repository = keeper.repository.clone();
    let key = repository.recovery_key();
    judge.job("attach", None, || repository.attach_bucket(judge.bucket.clone())).await;
    let first = keeper.back_up("app-0", tree(0, 1, FILES[0])).await.expect("a backup needs no bucket");
    keeper.back_up("app-1", tree(1, 1, FILES[1])).await.expect("a backup needs no bucket");
    let stop = Stop::new();
    let shipper = keeper.ship(judge.bucket.clone(), &stop);
    judge.shipped(&keeper, &shipper).await;
    prove(direct, &key, &keeper.claimed()).await;

    repository.save_settings(&Settings { generation: 1, ..Settings::default() }).await.expect("the cache takes it");
    keeper.back_up("app-0", tree(0, 2, FILES[0])).await.expect("a backup needs no bucket");
    judge.shipped(&keeper, &shipper).await;
    prove(direct, &key, &keeper.claimed()).await;
    restored(judge, &repository, &keeper.truth).await;

    keeper.truth.remove(&first);
    pruned(judge, &repository, std::slice::from_ref(&first)).await;
    judge.shipped(&keeper, &shipper).await;
    prove(direct, &key, &keeper.claimed()).await;
    tokio::time::sleep(Duration::from_millis(1300)).await;
    pruned(judge, &repository, &[]).await;
    judge.shipped(&keeper, &shipper).await;
    prove(direct, &key, &keeper.claimed()).await;

    judge.checked(&repository).await;
    judge.shipped(&keeper, &shipper).await;
    prove(direct, &key, &keeper.claimed()).await;
    stop.cancel();
    shipper.finished().await;
    let store = direct.store(Default::default());
    let forgotten = store.head(&format!("s/{first}")).await.expect("the server says");
    assert!(forgotten.is_none(), "a snapshot that was forgotten is shown again");
    recovered(judge, &keeper, &key).await;
}

/// Forgets and frees until nothing is left to tell.
async fn pruned(judge: &Judge, repository: &Repository, forget: &[SnapshotId]) {
    judge.job("prune", Some(repository), || prune(repository, forget)).await;
}

async fn prune(repository: &Repository, forget: &[SnapshotId]) -> Result<()> {
    let known = forget.iter().filter(|id| repository.snapshot(id.as_str()).is_ok());
    let mut plan = repository.prune_plan(known.cloned().collect()).await?;
    plan.grace_seconds = GRACE;
    let outcome = repository.prune(plan, &Stop::new()).await?;
    match outcome.problems.first() {
        None => Ok(()),
        Some(problem) => Err(Error::new(Kind::Unavailable, problem.code.clone(), problem.message.clone())),
    }
}

/// An empty machine and the key. A bucket that lied while it was read may have shown less than it holds: then the next look brings the
/// rest. What is shown restores.
async fn recovered(judge: &Judge, keeper: &Keeper, key: &RecoveryKey) {
    let found = judge.job("recover", None, || recover(judge.bucket.clone(), key.clone())).await;
    if !is_whole(&found, keeper).await {
        let hits = judge.proxy.hits();
        let is_lied_to = hits.iter().any(|hit| hit.hides());
        assert!(is_lied_to || !found.unreadable().is_empty(), "less is shown, and nothing said of it: {hits:?}");
        judge.hears("recovery.less");
        judge.proxy.heal();
        judge.job("attach after a recovery", None, || found.attach_bucket(judge.bucket.clone())).await;
        assert!(is_whole(&found, keeper).await, "the next look at the bucket does not bring the rest");
    }
    restored(judge, &found, &keeper.truth).await;
}

async fn recover(bucket: Arc<dyn Store>, key: RecoveryKey) -> Result<Repository> {
    let parts = parts(Arc::new(MemStore::new()), &Clock::system());
    Repository::recover(parts, bucket, key, [8; 32]).await
}

async fn is_whole(found: &Repository, keeper: &Keeper) -> bool {
    let settings = found.settings().await.ok().flatten().is_some_and(|settings| settings.generation == 1);
    settings && found.unreadable().is_empty() && found.snapshots().len() == keeper.truth.len()
}
