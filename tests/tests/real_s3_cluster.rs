//! A SeaweedFS of three nodes, every object on two of them, of which one dies at the worst moment: nothing that is called cloud is lost,
//! nothing is called so that is not there, and shipping and restoring go on by themselves. A part of the deep run.
//!
//! `HOLDFAST_TEST_CLUSTER_PORT` says where its ports begin. What is not tried here is a client whose own way in has died for good: which
//! other way in it is given is the matter of whoever runs the store.

use holdfast_model::{Severity, view::From};
use holdfast_repository::Repository;
use holdfast_runtime::{Clock, Stop};
use holdfast_s3::Patience;
use holdfast_storage::{MemStore, Store};
use holdfast_tests::{
    house,
    s3site::{Keeper, Place, parts, prove, read, tree},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

/// Files of a tree here: about three megabytes.
const FILES: u64 = 130;
/// Backups that are on their way when the node dies.
const BACKUPS: u64 = 16;
/// Masters may need half a minute to agree on a new leader.
const LONGEST: Duration = Duration::from_secs(240);

/// A running cluster; it ends when this is dropped.
struct Cluster {
    folder: PathBuf,
    place: Place,
}

impl Cluster {
    fn start(folder: &Path) -> Cluster {
        let port = std::env::var("HOLDFAST_TEST_CLUSTER_PORT").unwrap_or_else(|_| "21300".into());
        let said = tool(&["start", &folder.display().to_string(), &port]);
        let told = |what: &str| {
            let mark = format!("export HOLDFAST_TEST_CLUSTER_{what}=");
            let line = said.lines().find_map(|line| line.strip_prefix(&mark));
            line.unwrap_or_else(|| panic!("{what} is not told: {said}")).to_owned()
        };
        let place = Place::at(&told("ENDPOINT"), &told("ACCESS_KEY"), &told("SECRET_KEY"));
        Cluster { folder: folder.to_owned(), place }
    }

    /// Ends a node at once.
    fn kill(&self, node: u8) {
        tool(&["kill", &self.folder.display().to_string(), &node.to_string()]);
        println!("node {node} is dead");
    }

    /// Starts a node again on what it left.
    fn up(&self, node: u8) {
        tool(&["up", &self.folder.display().to_string(), &node.to_string()]);
        println!("node {node} is back");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        house::run(Command::new(house::deploy("lib/seaweedfs-cluster")).arg("stop").arg(&self.folder));
    }
}

fn tool(args: &[&str]) -> String {
    let said = house::run(Command::new(house::deploy("lib/seaweedfs-cluster")).args(args));
    assert_eq!(said.code, 0, "{args:?}: {}{}", said.out, said.err);
    said.out
}

/// Waits for something that a dead node may hold up.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LONGEST, "{what}: not within {LONGEST:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Restores everything from the bucket alone, again where it says why it could not; other bytes than its own nothing ever gives.
async fn restored(keeper: &Keeper, repository: &Repository, mut meanwhile: impl FnMut()) {
    let begun = Instant::now();
    for (id, truth) in &keeper.truth {
        loop {
            let entry = repository.snapshot(id.as_str()).expect("it is listed");
            match read(repository, &entry.snapshot, From::Bucket).await {
                Ok(bytes) => {
                    assert!(bytes == *truth, "{id} restores to other bytes");
                    break;
                }
                Err(error) => println!("{id}: {}", error.chain()),
            }
            assert!(begun.elapsed() < LONGEST, "{id} does not restore");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        meanwhile();
    }
}

/// A new appliance on an empty machine; a node that is coming back may fail it for a while.
async fn recovered(keeper: &Keeper, bucket: &Arc<dyn Store>) -> Repository {
    let begun = Instant::now();
    loop {
        let parts = parts(Arc::new(MemStore::new()), &Clock::system());
        match Repository::recover(parts, bucket.clone(), keeper.repository.recovery_key(), [8; 32]).await {
            Ok(found) if found.snapshots().len() == keeper.truth.len() => return found,
            Ok(found) => println!("{} of {} snapshots are shown", found.snapshots().len(), keeper.truth.len()),
            Err(error) => println!("not recovered: {}", error.chain()),
        }
        assert!(begun.elapsed() < LONGEST, "it does not recover");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Reads every byte, again where the store does not answer.
async fn checked(repository: &Repository) {
    let begun = Instant::now();
    loop {
        match repository.check(true, None, &Stop::new()).await {
            Ok(view) if view.problems.iter().all(|problem| problem.severity != Severity::Error) => return,
            Ok(view) => println!("check: {:?}", view.problems),
            Err(error) => println!("check: {}", error.chain()),
        }
        assert!(begun.elapsed() < LONGEST, "a check does not end well");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_in_the_middle_loses_nothing() {
    if std::env::var_os("HOLDFAST_TEST_DEEP").is_none() {
        eprintln!("real_s3_cluster: SKIPPED, it is a part of the deep run (HOLDFAST_TEST_DEEP=1)");
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(&home.path().join("c"));
    let place = cluster.place.with_bucket("cluster").await;
    let patient = Patience { answer: Duration::from_secs(20), silence: Duration::from_secs(60), ..Patience::default() };
    let bucket: Arc<dyn Store> = Arc::new(place.store(patient));
    let mut keeper = Keeper::create(Arc::new(MemStore::new()), &Clock::system()).await;
    keeper.repository.attach_bucket(bucket.clone()).await.expect("the bucket is there");
    for number in 0..BACKUPS {
        keeper.back_up(&format!("app-{number}"), tree(number, 0, FILES)).await.expect("a backup");
    }

    // In the middle of shipping; the client's own way in is node 1.
    let stop = Stop::new();
    let shipper = keeper.ship(bucket.clone(), &stop);
    let all = keeper.repository.to_ship().len();
    until("shipping begins", || keeper.repository.to_ship().len() < all * 3 / 4).await;
    cluster.kill(2);
    assert!(!keeper.is_shipped(), "it was too late to kill anybody");
    until("everything is shipped", || keeper.is_shipped()).await;
    prove(&place, &keeper.repository.recovery_key(), &keeper.claimed()).await;

    // One that comes back, while more is shipped.
    keeper.back_up("app-0", tree(0, 1, FILES)).await.expect("a backup");
    shipper.nudge();
    cluster.up(2);
    until("everything is shipped", || keeper.is_shipped()).await;
    prove(&place, &keeper.repository.recovery_key(), &keeper.claimed()).await;

    // The way in itself, in the middle of shipping, which comes back.
    keeper.back_up("app-1", tree(1, 1, FILES)).await.expect("a backup");
    shipper.nudge();
    cluster.kill(1);
    keeper.back_up("app-2", tree(2, 1, FILES)).await.expect("a backup needs no bucket");
    cluster.up(1);
    until("everything is shipped", || keeper.is_shipped()).await;
    prove(&place, &keeper.repository.recovery_key(), &keeper.claimed()).await;
    stop.cancel();
    shipper.finished().await;

    // In the middle of a restore.
    let found = recovered(&keeper, &bucket).await;
    let mut killed = false;
    let kill = || {
        if !std::mem::replace(&mut killed, true) {
            cluster.kill(3);
        }
    };
    restored(&keeper, &found, kill).await;
    assert!(killed);
    checked(&found).await;
}
