//! Blocks stored as the difference to what they were: small, whole again from any tier, and named when lost.

use super::*;
use crate::layout::{PackKind, pack_key};
use std::collections::BTreeSet;

/// Pages of a database; `changed` rows differ from those of version 0.
fn pages(version: u64, changed: usize) -> Vec<u8> {
    let mut bytes = noise(1, 8 << 20);
    for page in bytes.chunks_mut(8192) {
        page[12..20].copy_from_slice(&[0x40, 0, 0, 0x10, 0, 0x20, 0x04, 0x20]);
    }
    for (row, value) in (0..changed).zip(noise(version + 100, 8 * changed).chunks(8)) {
        let at = row * 7919 * 37 % (bytes.len() - 8);
        if at % 8192 > 20 {
            bytes[at..at + 8].copy_from_slice(value);
        }
    }
    bytes
}

fn database(version: u64, changed: usize) -> Vec<u8> {
    tar(&[("v/base/1", pages(version, changed)), ("v/conf", b"shared_buffers = 1".to_vec())])
}

/// Places of all chunks that a snapshot's volume leans on: those that others lean on, and all.
async fn packs_of(repository: &Repository, snapshot: &Snapshot) -> (BTreeSet<PackId>, usize) {
    let (mut bases, mut deltas) = (BTreeSet::new(), 0);
    for segment in &volume(snapshot).segments {
        let recipe = repository.inner.open_recipe(segment, From::Auto).await.unwrap();
        for base in recipe.chunks.iter().flatten().filter_map(|placed| placed.base) {
            bases.insert(base.pack);
            deltas += 1;
        }
    }
    (bases, deltas)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_rows_cost_little_and_every_version_comes_back() {
    let (repository, cache) = fresh().await;
    let mut versions = vec![back_up(&repository, "db", &database(0, 0)).await.unwrap()];
    for version in 1..4 {
        let next = back_up_after(&repository, &versions[version - 1], &database(version as u64, 60)).await.unwrap();
        assert!(next.stats.bytes_new < 60_000, "{}", next.stats.bytes_new);
        let (_, deltas) = packs_of(&repository, &next).await;
        assert!(deltas > 20, "{deltas}");
        versions.push(next);
    }
    let again = reopen(&cache).await;
    for (version, written) in (0..).zip(&versions) {
        let rows = if version == 0 { 0 } else { 60 };
        assert!(read_all(&again, volume(written), From::Cache).await.unwrap() == database(version, rows), "{version}");
    }
    // Unchanged: the recipe stays the same to the byte, known deltas bring their bases along (R5).
    let unchanged = back_up_after(&again, &versions[3], &database(3, 60)).await.unwrap();
    assert_eq!(volume(&unchanged), volume(&versions[3]));
    let alone = back_up(&again, "db", &database(3, 60)).await.unwrap();
    assert_eq!(volume(&alone), volume(&versions[3]), "without a parent too");
    assert!(alone.stats.bytes_new < 4000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_is_never_a_difference_itself() {
    let (repository, _) = fresh().await;
    let first = back_up(&repository, "db", &database(0, 0)).await.unwrap();
    let second = back_up_after(&repository, &first, &database(1, 60)).await.unwrap();
    let third = back_up_after(&repository, &second, &database(2, 60)).await.unwrap();
    let whole: BTreeSet<PackId> = {
        let state = repository.inner.read();
        let reach = state.snapshots[&first.id].reach.iter().map(|pack| state.index.pack(*pack).name.id);
        reach.collect()
    };
    let (bases, deltas) = packs_of(&repository, &third).await;
    assert!(deltas > 20 && bases.is_subset(&whole), "all lean on the first");
    // So the third one reaches the first one's packs, and prune keeps them.
    let plan = repository.prune_plan(vec![first.id.clone(), second.id.clone()]).await.unwrap();
    assert!(bases.iter().all(|base| !plan.packs.contains(base)));
    repository.prune(plan, &Stop::new()).await.unwrap();
    assert!(read_all(&repository, volume(&third), From::Auto).await.unwrap() == database(2, 60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_base_is_named_and_known_no_more() {
    let (repository, cache) = fresh().await;
    let first = back_up(&repository, "db", &database(0, 0)).await.unwrap();
    let second = back_up_after(&repository, &first, &database(1, 60)).await.unwrap();
    let (bases, _) = packs_of(&repository, &second).await;
    let lost = *bases.first().unwrap();
    cache.delete(&pack_key(PackKind::Data, &lost)).await.unwrap();
    let repository = reopen(&cache).await;
    let error = read_all(&repository, volume(&second), From::Auto).await.unwrap_err();
    assert_eq!(error.code(), "pack.missing");
    assert!(error.to_string().contains(&lost.short()) || error.chain().contains(&lost.short()), "{}", error.chain());
    // What leaned on it is stored anew, whole, and then everything is there again.
    let third = back_up_after(&repository, &second, &database(1, 60)).await.unwrap();
    assert!(third.stats.bytes_new > 3_000_000, "{}", third.stats.bytes_new);
    assert!(read_all(&repository, volume(&third), From::Auto).await.unwrap() == database(1, 60));
    assert!(read_all(&repository, volume(&second), From::Auto).await.unwrap() == database(1, 60), "healed by the way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_alone_restores_differences() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let first = back_up(&repository, "db", &database(0, 0)).await.unwrap();
    let second = back_up_after(&repository, &first, &database(1, 60)).await.unwrap();
    ship(&repository, &bucket).await;
    let recovered = Repository::recover(parts(memory()), bucket, repository.recovery_key(), DEVICE).await.unwrap();
    // Bases lie in the bucket only: a new difference is not made for want of them, and what is known stays known.
    let third = back_up_after(&recovered, &second, &database(2, 60)).await.unwrap();
    let cost = recovered.cost(&[volume(&second).clone()], From::Auto).await.unwrap();
    assert_eq!(cost.missing_bytes, 0);
    assert!(read_all(&recovered, volume(&second), From::Bucket).await.unwrap() == database(1, 60));
    assert!(read_all(&recovered, volume(&third), From::Auto).await.unwrap() == database(2, 60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_base_in_the_cache_only_costs_space() {
    let (repository, cache) = fresh().await;
    let first = back_up(&repository, "db", &database(0, 0)).await.unwrap();
    let keys: Vec<String> = cache.list("p/").await.unwrap().into_iter().map(|object| object.key).collect();
    for key in &keys {
        let mut bytes = cache.get(key).await.unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[100..middle].iter_mut().for_each(|byte| *byte ^= 0x55);
        cache.put(key, bytes.into(), PutMode::Replace).await.unwrap();
    }
    let second = back_up_after(&repository, &first, &database(1, 60)).await.unwrap();
    let (_, deltas) = packs_of(&repository, &second).await;
    assert!(deltas > 5 && second.stats.bytes_new > 1_000_000, "{deltas} {}", second.stats.bytes_new);
}
