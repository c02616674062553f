//! A bucket that answers deletions with success and does not carry them out: told, counted, and asked again.

use super::*;
use holdfast_model::{Problem, Severity};
use holdfast_storage::ObjectInfo;
use std::sync::Mutex;

/// A store that keeps what begins like this, whatever it is told to delete.
#[derive(Debug)]
struct Stubborn {
    store: Arc<dyn Store>,
    keeps: Mutex<Option<&'static str>>,
}

impl Stubborn {
    fn new() -> Arc<Stubborn> {
        Arc::new(Stubborn { store: memory(), keeps: Mutex::default() })
    }
    fn keep(&self, prefix: &'static str) {
        *self.keeps.lock().unwrap() = Some(prefix);
    }
    fn obey(&self) {
        *self.keeps.lock().unwrap() = None;
    }
}

#[async_trait::async_trait]
impl Store for Stubborn {
    fn place(&self) -> String {
        self.store.place()
    }
    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.store.put(key, bytes, mode).await
    }
    async fn get(&self, key: &str) -> Result<Bytes> {
        self.store.get(key).await
    }
    async fn get_range(&self, key: &str, range: std::ops::Range<u64>) -> Result<Bytes> {
        self.store.get_range(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.store.head(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.store.list(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        let kept = self.keeps.lock().unwrap().is_some_and(|prefix| key.starts_with(prefix));
        if kept { Ok(()) } else { self.store.delete(key).await }
    }
}

/// Forgets and prunes without a grace.
async fn prune(repository: &Repository, forget: Vec<SnapshotId>) -> PruneOutcome {
    // A thread that pressed the last chunk may still hold the session for a moment, and what is young is not pruned.
    while repository.inner.pins.view().oldest_session != u64::MAX {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let mut plan = repository.prune_plan(forget).await.unwrap();
    plan.grace_seconds = 0;
    repository.prune(plan, &Stop::new()).await.unwrap()
}

async fn keys(store: &Arc<dyn Store>, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().into_iter().map(|object| object.key).collect()
}

/// What a check tells of deletions.
async fn told(repository: &Repository) -> Vec<Problem> {
    let view = repository.check(false, None, &Stop::new()).await.unwrap();
    view.problems.into_iter().filter(|problem| problem.code == "bucket.not_deleted").collect()
}

async fn with_bucket() -> (Repository, Arc<Stubborn>, Arc<dyn Store>) {
    let (repository, _) = fresh().await;
    let stubborn = Stubborn::new();
    let bucket: Arc<dyn Store> = stubborn.clone();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    (repository, stubborn, bucket)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_the_bucket_did_not_delete_is_told_by_the_next_check_and_deleted_again() {
    let (repository, stubborn, bucket) = with_bucket().await;
    let bytes = some_tar(901);
    let dead = back_up(&repository, "a", &bytes).await.unwrap();
    ship(&repository, &bucket).await;
    let packs = keys(&bucket, "p/").await;
    stubborn.keep("p/");
    let outcome = prune(&repository, vec![dead.id]).await;
    assert!(outcome.bucket_bytes > 0, "it was believed: {outcome:?}");
    assert_eq!(keys(&bucket, "p/").await, packs);
    assert_eq!(repository.bucket_use().packs, 0);

    let problems = told(&repository).await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].severity, problems[0].subject.as_str()), (Severity::Warning, packs[0].as_str()));
    assert_eq!(repository.bucket_use().packs, packs.len() as u64, "it takes room, and counts");
    assert!(told(&repository).await.is_empty(), "once, until it is deleted again");
    // Nothing new leans on what may still go.
    let anew = back_up(&repository, "a", &bytes).await.unwrap();
    assert!(anew.stats.bytes_new > 3_000_000, "{:?}", anew.stats);
    ship(&repository, &bucket).await;

    prune(&repository, Vec::new()).await;
    assert_eq!(told(&repository).await.len(), 1, "it was not done this time either");
    stubborn.obey();
    prune(&repository, Vec::new()).await;
    assert!(told(&repository).await.is_empty());
    for pack in &packs {
        assert!(bucket.head(pack).await.unwrap().is_none(), "{pack}");
    }
    assert!(read_all(&repository, volume(&anew), From::Bucket).await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_segment_that_the_bucket_did_not_delete_is_told_and_deleted_again() {
    let (repository, stubborn, bucket) = with_bucket().await;
    let dead = back_up(&repository, "a", &some_tar(902)).await.unwrap();
    ship(&repository, &bucket).await;
    let segments = keys(&bucket, "i/").await;
    stubborn.keep("i/");
    prune(&repository, vec![dead.id]).await;
    let problems = told(&repository).await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].subject, segments[0]);
    stubborn.obey();
    prune(&repository, Vec::new()).await;
    assert!(keys(&bucket, "i/").await.is_empty());
    assert!(told(&repository).await.is_empty());
}

/// Without its tombstone a forgotten snapshot would be back, and without its packs it would be damaged as well (L1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tombstone_and_the_packs_stay_while_the_bucket_still_shows_the_snapshot() {
    let (repository, stubborn, bucket) = with_bucket().await;
    let dead = back_up(&repository, "a", &some_tar(903)).await.unwrap();
    ship(&repository, &bucket).await;
    let packs = keys(&bucket, "p/").await;
    stubborn.keep("s/");
    for forget in [vec![dead.id.clone()], Vec::new()] {
        let outcome = prune(&repository, forget).await;
        let problems: Vec<&str> = outcome.problems.iter().map(|problem| problem.code.as_str()).collect();
        assert_eq!(problems, ["bucket.not_deleted"]);
        assert_eq!(keys(&bucket, "d/").await, [format!("d/{}", dead.id)]);
        assert_eq!(keys(&bucket, "p/").await, packs);
    }
    let copy = memory();
    for key in keys(&bucket, "").await {
        copy.put(&key, bucket.get(&key).await.unwrap(), PutMode::Replace).await.unwrap();
    }
    let recovered = Repository::recover(parts(memory()), copy, repository.recovery_key(), [9; 32]).await.unwrap();
    assert!(recovered.snapshots().is_empty(), "what was forgotten is not back");
    stubborn.obey();
    let outcome = prune(&repository, Vec::new()).await;
    assert!(outcome.problems.is_empty(), "{outcome:?}");
    for class in ["s/", "d/", "p/", "m/"] {
        assert!(keys(&bucket, class).await.is_empty(), "{class}");
    }
}

/// The listing is an old one: what it shows is asked for, and is really gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_alone_does_not_say_that_a_deletion_was_not_done() {
    let (repository, _, bucket) = with_bucket().await;
    let dead = back_up(&repository, "a", &some_tar(904)).await.unwrap();
    ship(&repository, &bucket).await;
    let old = bucket.list("").await.unwrap();
    prune(&repository, vec![dead.id]).await;
    let there = old.into_iter().map(|object| (object.key, object.size)).collect();
    repository.inner.name_undeleted(&*bucket, &there).await;
    assert!(repository.take_healed().is_empty());
    assert_eq!(repository.bucket_use().packs, 0);
}
