//! What equal answers prove, how often an object is looked at, and how many are asked for at once.

use super::*;
use crate::looks::{Copy, Looks};
use holdfast_model::{Error, Kind};
use holdfast_storage::ObjectInfo;
use std::ops::Range;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_fingerprints_mean_equal_bytes() {
    let (repository, _) = fresh().await;
    let (same, other) = (noise(1, 700_000), noise(2, 700_000));
    let mut holed = noise(3, 200_000);
    holed.resize(500_000, 0);
    let before = tar(&[("v/a", same.clone()), ("v/b", other.clone()), ("v/c", holed.clone())]);
    let mut changed = other.clone();
    changed[350_000] ^= 1;
    holed.resize(700_000, 0);
    let after = tar(&[("v/a", same), ("v/b", changed), ("v/c", holed)]);
    let before = back_up(&repository, "shop", &before).await.unwrap();
    let after = back_up(&repository, "shop", &after).await.unwrap();
    let print = async |snapshot: &Snapshot, range: Range<u64>| {
        repository.fingerprint(volume(snapshot), range, From::Auto).await.unwrap()
    };
    let (a, b) = (512..700_512, 700_928 + 512..700_928 + 700_512);
    assert_eq!(print(&before, a.clone()).await, print(&after, a.clone()).await, "the same file");
    assert_ne!(print(&before, b.clone()).await, print(&after, b.clone()).await, "one bit differs");
    assert_ne!(print(&before, a.clone()).await, print(&before, b.clone()).await, "another file");
    assert_ne!(print(&before, a.clone()).await, print(&before, a.start..a.end - 1).await, "a byte less");
    let c = 2 * 700_928 + 512;
    assert_ne!(print(&before, c..c + 500_000).await, print(&after, c..c + 700_000).await, "a longer hole");
}

/// Reads the same damage, or another one each time; `size` is what the store says of the object.
async fn judged(same: bool, size: u64) -> (Copy, usize) {
    let store = MemStore::new();
    store.put("s/x", Bytes::from(vec![0; usize::try_from(size).unwrap()]), PutMode::Replace).await.unwrap();
    let mut looks = Looks::default();
    for count in 1..10 {
        let byte = if same { 7 } else { count };
        let read: Result<(Bytes, bool)> = Ok((Bytes::from(vec![byte; 100]), false));
        if let Some(copy) = looks.judge(&store, "s/x", read).await.unwrap() {
            return (copy, usize::from(count));
        }
    }
    unreachable!("a judge comes to an end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_the_same_twice_and_is_as_long_as_the_store_says_is_bad() {
    assert!(matches!(judged(true, 100).await, (Copy::Bad, 2)));
    // Cut off or padded on the way, or a way that turns bits: nobody can tell what is stored.
    assert!(matches!(judged(true, 150).await, (Copy::Unsure, 4)));
    assert!(matches!(judged(false, 100).await, (Copy::Unsure, 4)));
    let mut looks = Looks::default();
    let gone: Result<(Bytes, bool)> = Err(Error::new(Kind::NotFound, "object.missing", "gone"));
    assert!(matches!(looks.judge(&MemStore::new(), "s/x", gone).await.unwrap(), Some(Copy::Absent)));
}

/// Tells how many whole objects of a class were asked for at once.
#[derive(Debug)]
struct Crowded {
    inside: Arc<dyn Store>,
    now: AtomicU64,
    most: AtomicU64,
}

#[async_trait::async_trait]
impl Store for Crowded {
    fn place(&self) -> String {
        self.inside.place()
    }
    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.inside.put(key, bytes, mode).await
    }
    async fn get(&self, key: &str) -> Result<Bytes> {
        if !key.starts_with(crate::layout::SEGMENTS) {
            return self.inside.get(key).await;
        }
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.inside.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.inside.get_range(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.inside.head(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.inside.list(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.inside.delete(key).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_asks_for_two_index_segments_at_once() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    for seed in 1..=6 {
        back_up(&repository, "shop", &some_tar(seed)).await.unwrap();
    }
    ship(&repository, &bucket).await;
    let crowded = Arc::new(Crowded { inside: bucket, now: AtomicU64::new(0), most: AtomicU64::new(0) });
    let key = repository.recovery_key();
    Repository::recover(parts(memory()), Arc::clone(&crowded) as Arc<dyn Store>, key, DEVICE).await.unwrap();
    assert_eq!(crowded.most.load(Ordering::SeqCst), 2, "each may be large");
}
