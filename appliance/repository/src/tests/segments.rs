//! Segments: where they end, what they say of themselves, and lists of them that are too long.

use super::*;
use holdfast_model::snapshot::SegmentRef;

fn pages(seed: u64, count: usize) -> Vec<u8> {
    let mut pages = noise(seed, 8192 * count);
    for page in pages.chunks_mut(8192) {
        page[12..20].copy_from_slice(&[0x40, 0, 0, 0x10, 0, 0x20, 0x04, 0x20]);
    }
    pages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paged_files_have_short_segments_of_their_own() {
    let (repository, _) = fresh().await;
    let mut large = pages(1, 5 << 10);
    let files =
        [("v/a", noise(1, 1000)), ("v/base/1", large.clone()), ("v/b", noise(2, 100_000)), ("v/base/2", pages(3, 16))];
    let bytes = tar(&files);
    let first = back_up(&repository, "db", &bytes).await.unwrap();
    let stream = volume(&first);
    let key = repository.inner.keys.file_key(b"v/base/1");
    let told: Vec<(u64, u64, Option<_>, u64)> =
        stream.segments.iter().map(|s| (s.length, s.entries, s.file, s.at)).collect();
    assert_eq!(
        told,
        [
            (512 + 1024 + 512, 2, None, 0),
            (16 << 20, 0, Some(key), 0),
            (16 << 20, 0, Some(key), 16 << 20),
            (8 << 20, 0, Some(key), 32 << 20),
            (bytes.len() as u64 - 2048 - (40 << 20), 2, None, 0),
        ]
    );
    assert_eq!((stream.entries, stream.length), (4, bytes.len() as u64));
    large[20 << 20] ^= 1;
    let bytes = tar(&[files[0].clone(), ("v/base/1", large), files[2].clone(), files[3].clone()]);
    let second = back_up_after(&repository, &first, &bytes).await.unwrap();
    let changed = stream.segments.iter().zip(&volume(&second).segments).filter(|(old, new)| old != new).count();
    assert_eq!(changed, 1);
    assert!(second.stats.bytes_new < 12_000, "{}", second.stats.bytes_new);
}

/// A tar with so many paged files that the list of segments needs branches.
fn many(changed: usize) -> Vec<u8> {
    let names: Vec<String> = (0..150).map(|n| format!("v/base/{n}")).collect();
    let file = |n: usize| {
        // Mostly holes, so that it is quick.
        let mut bytes = vec![0; 1 << 20];
        bytes[..8192].copy_from_slice(&pages(n as u64 + 10 * u64::from(n == changed), 1));
        bytes
    };
    let files: Vec<(&str, Vec<u8>)> = names.iter().zip(0..).map(|(name, n)| (name.as_str(), file(n))).collect();
    tar(&files)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lists_become_branches_and_come_back() {
    let (repository, cache) = fresh().await;
    let bytes = many(usize::MAX);
    let first = back_up(&repository, "db", &bytes).await.unwrap();
    let stream = volume(&first).clone();
    let sum = |of: fn(&SegmentRef) -> u64| stream.segments.iter().map(of).sum::<u64>();
    assert!(stream.segments.iter().all(|segment| segment.branch) && stream.segments.len() < 12);
    assert_eq!((sum(|s| s.length), sum(|s| s.entries)), (stream.length, 150));
    assert!(read_all(&repository, &stream, From::Auto).await.unwrap() == bytes);
    let again = back_up(&repository, "db", &bytes).await.unwrap();
    assert_eq!(volume(&again), &stream);
    let changed = many(100);
    let third = back_up(&repository, "db", &changed).await.unwrap();
    let same = volume(&third).segments.iter().filter(|branch| stream.segments.contains(branch)).count();
    assert!(same + 2 >= stream.segments.len(), "{same} of {}", stream.segments.len());
    let repository = reopen(&cache).await;
    assert!(read_all(&repository, volume(&third), From::Cache).await.unwrap() == changed);
    let cost = repository.cost(&[stream, volume(&third).clone()], From::Cache).await.unwrap();
    assert_eq!((cost.bytes, cost.missing_bytes), (2 * bytes.len() as u64, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reach_list_is_rebuilt_through_branches() {
    let (repository, cache) = fresh().await;
    let first = back_up(&repository, "db", &many(usize::MAX)).await.unwrap();
    let key = crate::layout::reach_key(&first.id);
    let before = repository.inner.read().snapshots[&first.id].reach.clone();
    drop(repository);
    cache.delete(&key).await.unwrap();
    let repository = reopen(&cache).await;
    assert_eq!(repository.inner.read().snapshots[&first.id].reach.len(), before.len());
    let plan = repository.prune_plan(Vec::new()).await.unwrap();
    assert!(plan.packs.is_empty(), "branches and recipes are needed too");
}
