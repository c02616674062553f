//! The simulations: conformance, and that they really lose what they say they lose.

use super::*;
use crate::disk::Disk;
use crate::{DirStore, PutMode, Store, conformance};
use holdfast_model::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const ROOT: &str = "/data/cache";

fn open(disk: &SimDisk) -> DirStore {
    DirStore::open_on(Arc::new(disk.clone()), ROOT).unwrap()
}

async fn put(store: &DirStore, key: &str, bytes: &'static [u8]) -> holdfast_model::Result<()> {
    store.put(key, Bytes::from_static(bytes), PutMode::Once).await
}

/// The store after a power cut that took all that it could.
fn after_worst_cut(disk: &SimDisk) -> DirStore {
    let world = disk.world();
    let lost: Vec<_> = world.loose().into_iter().map(|loose| (loose, Fate::Lost)).collect();
    open(&SimDisk::new(world.after_cut(&lost)))
}

fn paths(world: &World) -> Vec<String> {
    world.files().into_keys().filter(|path| !path.contains("/.tmp/")).collect()
}

#[tokio::test]
async fn a_folder_store_on_a_simulated_disk_conforms() {
    conformance::run(Arc::new(open(&SimDisk::new(World::default())))).await;
}

#[tokio::test]
async fn a_calm_bucket_conforms() {
    let bucket = Arc::new(SimBucket::new(BTreeMap::new()));
    bucket.upset(Moods::all(500), 1);
    bucket.calm().await;
    conformance::run(bucket).await;
}

#[test]
fn what_was_not_synced_is_lost() {
    let disk = SimDisk::new(World::default());
    disk.make_folder(Path::new("/d")).unwrap();
    disk.sync_folder(Path::new("/")).unwrap();
    let mut file = disk.create(Path::new("/d/a")).unwrap();
    file.write_all(&[7; 5000]).unwrap();
    let world = disk.world();
    let loose = world.loose();
    assert_eq!(loose.len(), 2, "an entry and data: {loose:?}");
    let lose = |which: &dyn Fn(&Loose) -> bool, fate| {
        let fates: Vec<_> = loose.iter().filter(|loose| which(loose)).map(|loose| (*loose, fate)).collect();
        world.after_cut(&fates).files().remove("/d/a").map(|parts| parts.concat())
    };
    let is_entry = |loose: &Loose| matches!(loose, Loose::Entry(..));
    let is_data = |loose: &Loose| matches!(loose, Loose::Data(..));
    assert_eq!(lose(&|_| true, Fate::Kept), Some(vec![7; 5000]));
    assert_eq!(lose(&is_entry, Fate::Lost), None);
    assert_eq!(lose(&is_data, Fate::Lost), Some(Vec::new()));
    assert_eq!(lose(&is_data, Fate::Torn(512)), Some(vec![7; 512]));
    let holed = lose(&is_data, Fate::Hole(0, 4096)).unwrap();
    assert_eq!((holed.len(), holed[4095], holed[4096]), (5000, 0, 7));
    file.sync().unwrap();
    disk.sync_folder(Path::new("/d")).unwrap();
    assert!(disk.world().loose().is_empty());
}

#[test]
fn both_halves_of_a_rename_may_be_lost_apart() {
    let disk = SimDisk::new(World::default());
    for folder in ["/a", "/b"] {
        disk.make_folder(Path::new(folder)).unwrap();
    }
    let mut file = disk.create(Path::new("/a/x")).unwrap();
    file.sync().unwrap();
    for folder in ["/", "/a", "/b"] {
        disk.sync_folder(Path::new(folder)).unwrap();
    }
    disk.rename(Path::new("/a/x"), Path::new("/b/x")).unwrap();
    let world = disk.world();
    let loose = world.loose();
    let states: BTreeSet<Vec<String>> = (0..4u32)
        .map(|mask| {
            let fates: Vec<_> = (0..2).filter(|bit| mask >> bit & 1 == 1).map(|bit| (loose[bit], Fate::Lost)).collect();
            world.after_cut(&fates).files().into_keys().collect()
        })
        .collect();
    assert_eq!(states.len(), 4, "{states:?}");
}

#[test]
fn a_failed_fsync_cannot_be_made_good() {
    let disk = SimDisk::new(World::default());
    let mut file = disk.create(Path::new("/a")).unwrap();
    file.write_all(b"x").unwrap();
    disk.trouble(Call::Sync, 0, Trouble::Fail(5));
    disk.trouble(Call::SyncFolder, 0, Trouble::Fail(5));
    assert!(file.sync().is_err() && disk.sync_folder(Path::new("/")).is_err());
    assert!(file.sync().is_ok() && disk.sync_folder(Path::new("/")).is_ok());
    assert_eq!(disk.world().loose().len(), 2, "the kernel said yes, the medium did not");
}

#[tokio::test]
async fn what_a_put_acknowledged_survives_every_cut() {
    let tape = Arc::new(Tape::default());
    let disk = SimDisk::recorded(World::default(), Arc::clone(&tape), 0);
    let store = open(&disk);
    let keys = ["p/ab/one", "p/ab/two", "p/cd/three", "s/four"];
    for (number, key) in keys.iter().enumerate() {
        put(&store, key, b"some bytes").await.unwrap();
        tape.push(Event::Mark(number));
    }
    let (mut world, mut acknowledged, mut cuts) = (World::default(), 0, 0);
    for event in tape.take() {
        match event {
            Event::Disk(_, step) => world.apply(&step),
            Event::Mark(number) => acknowledged = number + 1,
            Event::Bucket(_) => {}
        }
        let loose = world.loose();
        assert!(loose.len() < 12, "{loose:?}");
        for mask in 0..1u32 << loose.len() {
            let fates = loose.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
            let fates: Vec<_> = fates.map(|(_, loose)| (*loose, Fate::Lost)).collect();
            let again = open(&SimDisk::new(world.after_cut(&fates)));
            for key in &keys[..acknowledged] {
                assert_eq!(again.get(key).await.unwrap(), "some bytes");
            }
            for object in again.list("").await.unwrap() {
                assert_eq!(again.get(&object.key).await.unwrap(), "some bytes", "whole or not there");
            }
            cuts += 1;
        }
    }
    assert!(cuts > 150, "{cuts}");
}

/// The next process knows nothing of what went wrong in this one, and builds on what it finds.
#[tokio::test]
async fn what_the_next_process_finds_survives() {
    for nth in 0.. {
        let disk = SimDisk::new(World::default());
        let store = open(&disk);
        put(&store, "a/kept", b"some bytes").await.unwrap();
        disk.heal();
        disk.trouble(Call::Any, nth, Trouble::Fail(5));
        let failed = put(&store, "p/ab/one", b"some bytes").await.is_err();
        disk.heal();
        drop(store);
        let found = open(&disk).list("").await.unwrap();
        let after = after_worst_cut(&disk);
        for object in found {
            assert_eq!(after.get(&object.key).await.unwrap(), "some bytes", "{} after call {nth} failed", object.key);
        }
        if !failed {
            assert!(nth > 5, "{nth}");
            break;
        }
    }
}

#[tokio::test]
async fn any_call_may_fail_and_what_is_acknowledged_later_survives() {
    for nth in 0.. {
        let disk = SimDisk::new(World::default());
        let store = open(&disk);
        put(&store, "a/kept", b"kept").await.unwrap();
        disk.heal();
        disk.trouble(Call::Any, nth, Trouble::Fail(5));
        let failed = put(&store, "p/ab/one", b"some bytes").await.is_err();
        disk.heal();
        put(&store, "p/ab/one", b"some bytes").await.unwrap();
        let again = after_worst_cut(&disk);
        assert_eq!(again.get("p/ab/one").await.unwrap(), "some bytes", "call {nth} failed");
        assert_eq!(again.get("a/kept").await.unwrap(), "kept");
        if !failed {
            assert!(nth > 6, "{nth}");
            break;
        }
    }
}

#[tokio::test]
async fn a_removal_may_fail_and_one_that_succeeds_later_survives() {
    for nth in 0.. {
        let disk = SimDisk::new(World::default());
        let store = open(&disk);
        put(&store, "p/ab/one", b"some bytes").await.unwrap();
        disk.heal();
        disk.trouble(Call::Any, nth, Trouble::Fail(5));
        let failed = store.delete("p/ab/one").await.is_err();
        disk.heal();
        store.delete("p/ab/one").await.unwrap();
        let world = disk.world();
        let lost: Vec<_> = world.loose().into_iter().map(|loose| (loose, Fate::Lost)).collect();
        assert!(paths(&world.after_cut(&lost)).is_empty(), "call {nth} failed");
        if !failed {
            assert_eq!(nth, 2);
            break;
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_space_can_be_freed() {
    let disk = SimDisk::new(World::default());
    let store = open(&disk);
    put(&store, "a", &[1; 3000]).await.unwrap();
    disk.limit(Some(4000));
    let error = put(&store, "b", &[2; 3000]).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Full, "disk.full"));
    assert_eq!(paths(&disk.world()), ["/data/cache/a"]);
    assert_eq!(disk.used(), 3000, "what was given up takes no space");
    store.delete("a").await.unwrap();
    put(&store, "b", &[2; 3000]).await.unwrap();
}

#[tokio::test]
async fn moods_follow_from_their_seed() {
    let run = |seed| async move {
        let tape = Arc::new(Tape::default());
        let bucket = SimBucket::recorded(BTreeMap::new(), Arc::clone(&tape));
        bucket.upset(Moods::all(60), seed);
        let mut answers = Vec::new();
        for number in 0..200 {
            let key = format!("k/{number}");
            let answer = bucket.put(&key, Bytes::from(vec![number as u8; 100]), PutMode::Once).await;
            answers.push(answer.map_err(|error| error.code().to_owned()));
        }
        bucket.calm().await;
        (answers, bucket.objects(), tape.take().len())
    };
    let (first, second, other) = (run(1).await, run(1).await, run(2).await);
    assert!(first == second && first != other);
    let codes: BTreeSet<_> = first.0.iter().filter_map(|answer| answer.clone().err()).collect();
    assert_eq!(codes.len(), 4, "{codes:?}");
    assert!(first.1.values().any(|bytes| bytes.len() == 50), "halves");
    assert_eq!(first.2, first.1.len(), "all that took effect is on the tape");
}
