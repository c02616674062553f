//! Reading what is there: whatever restores gives its own bytes, and what does not says why.

use crate::judge::Judge;
use bytes::Bytes;
use holdfast_cloud_sync::Shipper;
use holdfast_model::{SnapshotId, view::From};
use holdfast_repository::{Repository, Unlock};
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::{MemStore, PutMode, Store};
use holdfast_tests::s3site::{DEVICE, Keeper, Place, parts, prove, read, read_part, tree};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Files of the trees of the two apps: packs of the first are so large that a part of one is asked for alone.
pub(crate) const FILES: [u64; 2] = [60, 8];

/// A bucket without faults that takes longer to fill is not there.
const LONGEST: Duration = Duration::from_secs(120);

/// Restores everything from the bucket alone: a part of each stream, then all of it.
pub(crate) async fn restored(judge: &Judge, repository: &Repository, truth: &BTreeMap<SnapshotId, Bytes>) {
    for (id, whole) in truth {
        let entry = repository.snapshot(id.as_str()).expect("it is listed");
        let snapshot = &entry.snapshot;
        let middle = whole.len() as u64 / 2;
        let range = middle..middle + 50_000;
        let part = judge
            .job("restore a part", Some(repository), || read_part(repository, snapshot, range.clone(), From::Bucket));
        let wanted = whole.slice(whole.len() / 2..whole.len() / 2 + 50_000);
        assert!(part.await == wanted, "a part of {id} restores to other bytes");
        let all = judge.job("restore", Some(repository), || read(repository, snapshot, From::Bucket));
        assert!(all.await == *whole, "{id} restores to other bytes");
    }
}

/// A bucket that is done, for cases that only read.
pub(crate) struct Finished {
    place: Place,
    cache: Vec<(String, Bytes)>,
    truth: BTreeMap<SnapshotId, Bytes>,
}

impl Finished {
    /// Fills the bucket, with no proxy before it.
    pub(crate) async fn make(place: Place) -> Finished {
        let cache = Arc::new(MemStore::new());
        let mut keeper = Keeper::create(cache.clone(), &Clock::system()).await;
        let bucket = Arc::new(place.store(Default::default()));
        keeper.repository.attach_bucket(bucket.clone()).await.expect("the bucket is there");
        for (app, version) in [(0usize, 1), (1, 1), (0, 2)] {
            let name = format!("app-{app}");
            keeper.back_up(&name, tree(app as u64, version, FILES[app])).await.expect("a backup");
        }
        let stop = Stop::new();
        let shipper: Arc<Shipper> = keeper.ship(bucket, &stop);
        let begun = Instant::now();
        while !keeper.is_shipped() {
            assert!(begun.elapsed() < LONGEST, "the server takes nothing: {:?}", shipper.status());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop.cancel();
        shipper.finished().await;
        prove(&place, &keeper.repository.recovery_key(), &keeper.truth).await;
        let mut kept = Vec::new();
        for object in cache.list("").await.expect("memory lists") {
            let bytes = cache.get(&object.key).await.expect("memory gives it");
            kept.push((object.key, bytes));
        }
        Finished { place, cache: kept, truth: keeper.truth }
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// A start, restores of everything, and a check that reads everything.
    pub(crate) async fn is_read(&self, judge: &Judge) {
        let cache = MemStore::new();
        for (key, bytes) in &self.cache {
            cache.put(key, bytes.clone(), PutMode::Once).await.expect("memory takes it");
        }
        let parts = parts(Arc::new(cache), &Clock::system());
        let repository = Repository::open(parts, Unlock::Device(DEVICE)).await.expect("the cache is well");
        judge.job("attach", None, || repository.attach_bucket(judge.bucket.clone())).await;
        restored(judge, &repository, &self.truth).await;
        judge.checked(&repository).await;
        judge.proxy.heal();
        restored(judge, &repository, &self.truth).await;
    }
}
