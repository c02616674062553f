//! The disk is full, over quota or failing at every write of a working life: the job fails with the right code, what
//! is stored reads, and forgetting frees space on a disk that takes nothing any more.

use crate::{full, ground::*, scenario::settings};
use bytes::Bytes;
use holdfast_catalog::Catalog;
use holdfast_model::{Error, Kind, Result, snapshot::Snapshot, view::From};
use holdfast_repository::{Repository, Unlock};
use holdfast_storage::sim::{Call, Dice, Fate, SimBucket, SimDisk, Trouble, World};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// What goes wrong, what it must be called.
const TROUBLES: [(Call, Trouble, Kind, &str); 6] = [
    (Call::Any, Trouble::Fail(28), Kind::Full, "disk.full"),
    (Call::Any, Trouble::Fail(122), Kind::Full, "disk.full"),
    (Call::Any, Trouble::Fail(5), Kind::Unavailable, "disk.failed"),
    (Call::Sync, Trouble::Fail(5), Kind::Unavailable, "disk.failed"),
    (Call::SyncFolder, Trouble::Fail(5), Kind::Unavailable, "disk.failed"),
    (Call::Any, Trouble::FailOn(28), Kind::Full, "disk.full"),
];

/// An appliance with a failing disk.
struct House {
    disk: SimDisk,
    bucket: Arc<SimBucket>,
    catalog: Arc<Catalog>,
    kept: Vec<(Snapshot, Bytes)>,
}

fn bytes(seed: u64) -> Bytes {
    let files = [("v/small".to_owned(), text(seed, 900)), ("v/large".to_owned(), text(seed + 1, 40_000))];
    Bytes::from(tar(&files))
}

impl House {
    /// Two snapshots in both tiers, one more only here.
    async fn new() -> Result<(House, Repository)> {
        let disk = SimDisk::new(World::default());
        let bucket = Arc::new(SimBucket::new(BTreeMap::new()));
        let catalog = fresh_catalog();
        let repository = Repository::create(parts(folder_on(&disk)?, catalog.clone()), DEVICE).await?;
        repository.attach_bucket(bucket.clone()).await?;
        let mut house = House { disk, bucket, catalog, kept: Vec::new() };
        for seed in [10, 20] {
            house.back_up(&repository, seed).await?;
        }
        ship(&repository, &*house.bucket, usize::MAX).await?;
        house.back_up(&repository, 30).await?;
        repository.save_settings(&settings(1)).await?;
        Ok((house, repository))
    }

    async fn back_up(&mut self, repository: &Repository, seed: u64) -> Result<()> {
        let bytes = bytes(seed);
        let written = back_up(repository, draft("app"), &bytes).await?;
        self.kept.push((written, bytes));
        Ok(())
    }

    async fn forget(&mut self, repository: &Repository, nth: usize) -> Result<u64> {
        // Whatever comes of it, it is not promised any more.
        let (gone, _) = self.kept.remove(nth);
        Ok(prune(repository, vec![gone.id], true).await?.cache_bytes)
    }

    /// A day's work, up to the first failure.
    async fn day(&mut self, repository: &Repository, done: &mut usize) -> Result<()> {
        if *done == 0 {
            self.back_up(repository, 40).await?;
            *done += 1;
        }
        if *done == 1 {
            repository.save_settings(&settings(2)).await?;
            *done += 1;
        }
        if *done == 2 {
            ship(repository, &*self.bucket, usize::MAX).await?;
            *done += 1;
        }
        if *done == 3 {
            *done += 1;
            self.forget(repository, 0).await?;
        }
        self.back_up(repository, 50).await
    }

    async fn all_read(&self, repository: &Repository, when: &str) -> std::result::Result<(), String> {
        for (snapshot, bytes) in &self.kept {
            match read_all(repository, snapshot, From::Auto).await {
                Ok(read) if read == *bytes => {}
                Ok(_) => return Err(format!("WRONG BYTES {when}")),
                Err(error) => return Err(format!("LOST {when}: {} does not read: {}", snapshot.id, error.chain())),
            }
        }
        Ok(())
    }
}

fn told(what: &str) -> impl Fn(Error) -> String + '_ {
    move |error| format!("{what}: {}", error.chain())
}

/// One trouble at one call. `Ok(false)`: the day has fewer calls than that.
async fn suffer(nth: u64, which: usize) -> std::result::Result<bool, String> {
    let (call, trouble, kind, code) = TROUBLES[which];
    let (mut house, repository) = House::new().await.map_err(told("a good disk"))?;
    house.disk.heal();
    house.disk.trouble(call, nth, trouble);
    let mut done = 0;
    let failed = match house.day(&repository, &mut done).await {
        Ok(()) => None,
        Err(error) if error.kind() == kind && error.code() == code => Some(error),
        Err(error) => return Err(format!("{trouble:?} is called {} {}", error.code(), error.chain())),
    };
    let met = house.disk.calls(call) > nth;
    house.all_read(&repository, "with the disk as it is").await?;
    house.disk.heal();
    if failed.is_some() {
        house.day(&repository, &mut done).await.map_err(told("the same again on a good disk"))?;
    }
    house.all_read(&repository, "after it").await?;
    drop(repository);
    let world = house.disk.world();
    let lost: Vec<_> = world.loose().into_iter().map(|loose| (loose, Fate::Lost)).collect();
    let cache = folder_on(&SimDisk::new(world.after_cut(&lost))).map_err(told("folder"))?;
    let again = Repository::open(parts(cache, house.catalog.clone()), Unlock::Device(DEVICE)).await;
    let again = again.map_err(told("open"))?;
    again.attach_bucket(house.bucket.clone()).await.map_err(told("attach"))?;
    house.all_read(&again, "after a power cut").await?;
    Ok(met)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_at_any_write_hurts_nothing_stored() {
    panics();
    let (start, mut failures, mut count) = (Instant::now(), Failures::default(), 0);
    let seed = u64::from_le_bytes(holdfast_runtime::random());
    let mut dice = Dice::new(seed);
    for (which, named) in TROUBLES.iter().enumerate() {
        let stride = if full() { 1 } else { 11 };
        let mut nth = dice.below(stride);
        loop {
            match suffer(nth, which).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => failures.add(format!("{error} [event {nth} of {named:?}]")),
            }
            count += 1;
            nth += stride;
            if nth > 2000 {
                break;
            }
        }
    }
    println!("{count} failing disks, {:?}", start.elapsed());
    failures.assert_none();
    assert_eq!(panics(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_nothing_any_more_is_freed_by_forgetting() {
    panics();
    // Which snapshot goes: one that the bucket holds too, one that only the cache holds; with and without the bucket.
    for (nth, attached) in [(0, true), (2, true), (2, false)] {
        let (mut house, mut repository) = House::new().await.unwrap();
        if !attached {
            drop(repository);
            let parts = parts(folder_on(&house.disk).unwrap(), house.catalog.clone());
            repository = Repository::open(parts, Unlock::Device(DEVICE)).await.unwrap();
        }
        house.disk.heal();
        house.disk.limit(Some(house.disk.used()));
        let error = house.back_up(&repository, 40).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Full, "disk.full"));
        house.all_read(&repository, "on a full disk").await.unwrap();
        let freed = house.forget(&repository, nth).await.unwrap();
        assert!(freed > 5000, "{freed} bytes were freed of snapshot {nth}, bucket attached: {attached}");
        house.all_read(&repository, "after freeing").await.unwrap();
        let world = house.disk.world();
        let lost: Vec<_> = world.loose().into_iter().map(|loose| (loose, Fate::Lost)).collect();
        let cache = folder_on(&SimDisk::new(world.after_cut(&lost))).unwrap();
        let again = Repository::open(parts(cache, fresh_catalog()), Unlock::Device(DEVICE)).await.unwrap();
        again.attach_bucket(house.bucket.clone()).await.unwrap();
        house.all_read(&again, "after a power cut").await.unwrap();
        assert_eq!(again.snapshots().len(), 2, "what was forgotten does not come back");
    }
    assert_eq!(panics(), 0);
}
