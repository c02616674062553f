//! Locks in the bucket: they follow what snapshots need, and whoever has stolen everything takes nothing away.

use super::*;
use crate::layout;
use holdfast_model::{
    Kind,
    lock::{LockMode, LockRule},
    view::CloudState,
};
use holdfast_storage::{Counting, Faulty, Keep, ObjectInfo, Op, Version};
use std::{collections::BTreeMap, time::Duration};

const RULE: LockRule = LockRule { mode: LockMode::Compliance, days: 30 };
const DAY: u64 = 86_400;
/// More than a generation of thirty days.
const GENERATION: u64 = 8 * DAY;

/// An appliance with a bucket that locks, all by one clock.
struct Scene {
    clock: Clock,
    bucket: Arc<dyn Store>,
    repository: Repository,
    cache: Arc<dyn Store>,
}

fn parts_by(clock: &Clock, cache: &Arc<dyn Store>) -> Parts {
    Parts { clock: clock.clone(), ..parts(Arc::clone(cache)) }
}

impl Scene {
    async fn begin() -> Scene {
        Scene::on(Arc::new).await.0
    }

    /// With something around the bucket.
    async fn on<S: Store + 'static>(wrap: impl FnOnce(MemStore) -> Arc<S>) -> (Scene, Arc<S>) {
        let clock = Clock::manual(Moment::from_millis(1_795_000_000_000));
        let (cache, wrapped) = (memory(), wrap(MemStore::locking(clock.clone())));
        let bucket: Arc<dyn Store> = wrapped.clone();
        let repository = Repository::create(parts_by(&clock, &cache), DEVICE).await.unwrap();
        repository.set_lock(Some(RULE));
        repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        (Scene { clock, bucket, repository, cache }, wrapped)
    }

    async fn back_up(&self, bytes: &[u8]) -> Snapshot {
        let session = self.repository.session();
        let stream = put(&session, StreamKind::Tar, bytes).await.unwrap();
        let taken = Snapshot { time: self.clock.now(), ..snapshot("shop", vec![stream]) };
        let taken = Snapshot { id: SnapshotId::new(taken.time, holdfast_runtime::random()), ..taken };
        session.commit(taken).await.unwrap()
    }

    async fn ship(&self) {
        ship(&self.repository, &self.repository.guard(Arc::clone(&self.bucket))).await;
    }

    async fn recover(&self) -> Repository {
        let cache = memory();
        let kit = self.repository.recovery_key();
        Repository::recover(parts_by(&self.clock, &cache), Arc::clone(&self.bucket), kit, [9; 32]).await.unwrap()
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn kept(&self, key: &str) -> Option<Moment> {
        self.bucket.kept_until(key, None).await.unwrap()
    }

    fn codes(&self) -> Vec<String> {
        self.repository.take_healed().into_iter().map(|problem| problem.code).collect()
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        self.bucket.list(prefix).await.unwrap().into_iter().map(|info| info.key).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_snapshot_needs_is_locked_as_long_as_the_snapshot() {
    let stage = Scene::begin().await;
    let taken = stage.back_up(&some_tar(301)).await;
    assert_eq!(stage.repository.locked_until(&taken.id), None, "nothing is in the bucket yet");
    stage.ship().await;
    let until = stage.repository.locked_until(&taken.id).unwrap();
    let own = taken.time.plus_seconds(30 * DAY as i64);
    assert!(until >= own && until < own.plus_seconds(GENERATION as i64), "{until}");
    for key in stage.keys("").await {
        assert!(stage.kept(&key).await.is_some_and(|kept| kept >= own), "{key} is not locked");
    }
    assert_eq!(stage.repository.locked(), BTreeMap::from([(taken.id, until)]));
    assert!(stage.codes().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_pack_is_locked_anew_once_per_generation_before_the_snapshot_flies() {
    let (stage, counting) = Scene::on(|locking| Arc::new(Counting::new(Arc::new(locking)))).await;
    let bytes = some_tar(302);
    let first = stage.back_up(&bytes).await;
    stage.ship().await;
    let pack = stage.keys("p/").await.remove(0);
    let before = stage.kept(&pack).await.unwrap();
    assert_eq!(counting.counts().extends, 0, "what is written is locked at once");

    stage.pass(GENERATION);
    let second = stage.back_up(&bytes).await;
    let items = stage.repository.to_ship();
    let guarded = stage.repository.guard(Arc::clone(&stage.bucket));
    for item in items {
        if item.stage == Stage::Snapshot {
            assert_eq!(stage.kept(&pack).await, Some(before), "not before its turn");
        }
        let sealed = stage.repository.ship_bytes(&item.key).await.unwrap();
        guarded.put(&item.key, sealed, PutMode::Once).await.unwrap();
        stage.repository.acknowledged(&item.key, item.size).await.unwrap();
    }
    let own = second.time.plus_seconds(30 * DAY as i64);
    assert!(stage.kept(&pack).await.unwrap() >= own, "the pack stays as long as the snapshot that leans on it");
    assert!(stage.repository.locked_until(&second.id).unwrap() >= own);
    assert!(stage.repository.locked_until(&first.id).unwrap() >= before, "the older one has lost nothing");

    let extended = counting.counts().extends;
    assert!(extended > 0);
    stage.pass(60);
    stage.back_up(&bytes).await;
    stage.ship().await;
    assert_eq!(counting.counts().extends, extended, "once per generation is enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_cannot_be_locked_is_told_and_the_snapshot_shows_no_lock() {
    let (stage, faulty) = Scene::on(|locking| Arc::new(Faulty::new(Arc::new(locking)))).await;
    let bytes = some_tar(303);
    stage.back_up(&bytes).await;
    stage.ship().await;
    stage.pass(40 * DAY);
    let second = stage.back_up(&bytes).await;
    faulty.fail(Op::Extend, faulty.calls(Op::Extend), Kind::Denied);
    stage.ship().await;
    assert_eq!(stage.repository.snapshots()[1].state.cloud, CloudState::Present, "it is shipped all the same");
    assert_eq!(stage.repository.locked_until(&second.id), None);
    assert_eq!(stage.codes(), ["lock.not_extended"]);
    assert!(stage.repository.renew_locks().await.unwrap() > 0, "it is tried again");
    assert!(stage.repository.locked_until(&second.id).is_some());
    assert_eq!(stage.repository.renew_locks().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shipped_before_the_rule_is_locked_by_it() {
    let stage = Scene::begin().await;
    stage.repository.set_lock(None);
    let taken = stage.back_up(&some_tar(304)).await;
    stage.ship().await;
    assert_eq!(stage.kept("format").await, None, "without a rule nothing is locked");
    stage.repository.set_lock(Some(RULE));
    assert_eq!(stage.repository.locked_until(&taken.id), None);
    assert!(stage.repository.renew_locks().await.unwrap() > 3);
    assert!(stage.repository.locked_until(&taken.id).unwrap() >= taken.time.plus_seconds(30 * DAY as i64));
    stage.repository.set_lock(None);
    assert!(stage.repository.locked_until(&taken.id).is_some(), "what is locked stays locked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_the_future_is_not_locked_for_ever() {
    let stage = Scene::begin().await;
    let session = stage.repository.session();
    let stream = put(&session, StreamKind::Bytes, &noise(305, 100_000)).await.unwrap();
    let time = stage.clock.now().plus_seconds(50 * 365 * DAY as i64);
    session.commit(Snapshot { time, ..snapshot("shop", vec![stream]) }).await.unwrap();
    stage.ship().await;
    let most = stage.clock.now().plus_seconds((30 * DAY + GENERATION) as i64);
    for key in stage.keys("").await {
        assert!(stage.kept(&key).await.unwrap() <= most, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_are_remembered_and_of_another_bucket_nothing_is() {
    let stage = Scene::begin().await;
    let taken = stage.back_up(&some_tar(306)).await;
    stage.ship().await;
    let until = stage.repository.locked_until(&taken.id);
    assert!(until.is_some());
    let parts = Parts { catalog: Arc::clone(&stage.repository.inner.catalog), ..parts_by(&stage.clock, &stage.cache) };
    let again = Repository::open(parts, Unlock::Device(DEVICE)).await.unwrap();
    again.attach_bucket(Arc::clone(&stage.bucket)).await.unwrap();
    assert_eq!(again.locked_until(&taken.id), until);
    // A catalog that forgot shows no lock, and is taught again.
    let forgetful = Repository::open(parts_by(&stage.clock, &stage.cache), Unlock::Device(DEVICE)).await.unwrap();
    forgetful.set_lock(Some(RULE));
    forgetful.attach_bucket(Arc::clone(&stage.bucket)).await.unwrap();
    assert_eq!(forgetful.locked_until(&taken.id), None);
    assert!(forgetful.renew_locks().await.unwrap() > 0);
    assert_eq!(forgetful.locked_until(&taken.id), until);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_without_locks_gets_everything_and_is_told_once() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    repository.set_lock(Some(RULE));
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let taken = back_up(&repository, "shop", &some_tar(307)).await.unwrap();
    ship(&repository, &repository.guard(Arc::clone(&bucket))).await;
    assert_eq!(repository.snapshots()[0].state.cloud, CloudState::Present);
    assert_eq!(repository.locked_until(&taken.id), None);
    let told: Vec<_> = repository.take_healed().into_iter().filter(|problem| problem.code == "lock.not_kept").collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prune_leaves_locked_packs_alone_until_their_date() {
    let stage = Scene::begin().await;
    let (dead, kept) = (stage.back_up(&some_tar(308)).await, stage.back_up(&some_tar(309)).await);
    stage.ship().await;
    let packs = stage.keys("p/").await;
    let plan = stage.repository.prune_plan(vec![dead.id.clone()]).await.unwrap();
    assert!(plan.packs.is_empty() && plan.locked > 0 && plan.locked_bytes > 3_000_000, "{plan:?}");
    let outcome = stage.repository.prune(plan, &Stop::new()).await.unwrap();
    let problems: Vec<&str> = outcome.problems.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(problems, ["snapshot.locked"], "that it is still there is said");
    assert!(outcome.locked > 0 && outcome.locked_bytes > 3_000_000 && outcome.bucket_bytes == 0);
    assert_eq!(stage.keys("p/").await, packs);
    assert!(stage.repository.unreadable().is_empty());
    // Day after day: nothing fails, nothing is tried.
    let mut again = stage.repository.prune_plan(Vec::new()).await.unwrap();
    again.grace_seconds = 0;
    let outcome = stage.repository.prune(again, &Stop::new()).await.unwrap();
    assert!(outcome.problems.is_empty() && outcome.locked > 0 && outcome.waiting == 0, "{outcome:?}");

    stage.pass(60 * DAY);
    let mut due = stage.repository.prune_plan(Vec::new()).await.unwrap();
    due.grace_seconds = 0;
    assert!(!due.packs.is_empty() && due.locked == 0);
    let outcome = stage.repository.prune(due, &Stop::new()).await.unwrap();
    assert!(outcome.bucket_bytes > 3_000_000 && outcome.problems.is_empty(), "{outcome:?}");
    assert!(stage.keys("p/").await.len() < packs.len());
    assert_eq!(read_all(&stage.repository, volume(&kept), From::Bucket).await.unwrap(), some_tar(309));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_catalog_does_not_make_a_prune_take_what_is_locked() {
    let stage = Scene::begin().await;
    let dead = stage.back_up(&some_tar(310)).await;
    stage.ship().await;
    let packs = stage.keys("p/").await;
    let forgetful = Repository::open(parts_by(&stage.clock, &stage.cache), Unlock::Device(DEVICE)).await.unwrap();
    forgetful.attach_bucket(Arc::clone(&stage.bucket)).await.unwrap();
    let mut plan = forgetful.prune_plan(vec![dead.id]).await.unwrap();
    plan.grace_seconds = 0;
    assert!(plan.locked > 0, "the bucket is asked");
    forgetful.prune(plan, &Stop::new()).await.unwrap();
    assert_eq!(stage.keys("p/").await, packs);
}

/// What somebody with all keys does: everything that a bucket with locks obeys.
async fn delete_everything(bucket: &Arc<dyn Store>) {
    for (key, versions) in bucket.list_versions("").await.unwrap() {
        bucket.delete(&key).await.unwrap();
        for version in versions {
            // Refused where it is locked.
            let _ = bucket.delete_version(&key, &version).await;
        }
    }
    assert!(bucket.list("").await.unwrap().is_empty(), "nothing is to be seen any more");
}

async fn overwrite_everything(bucket: &Arc<dyn Store>) {
    for (number, info) in bucket.list("").await.unwrap().into_iter().enumerate() {
        // Of the same size, of another one, and nothing at all.
        let garbage = match number % 3 {
            0 => vec![0x5a; info.size as usize],
            1 => vec![0x5a; info.size as usize + 7],
            _ => Vec::new(),
        };
        bucket.put(&info.key, garbage.into(), PutMode::Replace).await.unwrap();
    }
}

async fn restores(repository: &Repository, taken: &[(Snapshot, Vec<u8>)]) {
    for (snapshot, bytes) in taken {
        assert!(read_all(repository, volume(snapshot), From::Auto).await.unwrap() == *bytes, "{}", snapshot.id);
    }
}

async fn two_snapshots(stage: &Scene, seed: u64) -> Vec<(Snapshot, Vec<u8>)> {
    let mut taken = Vec::new();
    for seed in [seed, seed + 1] {
        let bytes = some_tar(seed);
        taken.push((stage.back_up(&bytes).await, bytes));
        stage.ship().await;
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_deletes_everything_takes_nothing_from_the_kit() {
    let stage = Scene::begin().await;
    let taken = two_snapshots(&stage, 320).await;
    stage
        .repository
        .save_settings(&Settings { generation: 1, appliance: "mine".into(), ..Settings::default() })
        .await
        .unwrap();
    stage.ship().await;
    delete_everything(&stage.bucket).await;
    let recovered = stage.recover().await;
    assert_eq!(recovered.snapshots().len(), 2);
    assert_eq!(recovered.settings().await.unwrap().unwrap().appliance, "mine");
    restores(&recovered, &taken).await;
    assert!(recovered.take_healed().iter().any(|problem| problem.code == "bucket.tampered"));
    // What was hidden is to be seen again, by whoever comes next.
    assert_eq!(stage.keys("s/").await.len(), 2);
    let once_more = stage.recover().await;
    restores(&once_more, &taken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_writes_over_everything_takes_nothing_from_the_kit() {
    let stage = Scene::begin().await;
    let taken = two_snapshots(&stage, 322).await;
    overwrite_everything(&stage.bucket).await;
    let recovered = stage.recover().await;
    assert_eq!(recovered.snapshots().len(), 2);
    restores(&recovered, &taken).await;
    assert!(recovered.take_healed().iter().any(|problem| problem.code == "bucket.tampered"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_writes_over_everything_and_deletes_it_takes_nothing_from_the_kit() {
    let stage = Scene::begin().await;
    let taken = two_snapshots(&stage, 324).await;
    overwrite_everything(&stage.bucket).await;
    delete_everything(&stage.bucket).await;
    restores(&stage.recover().await, &taken).await;
}

/// Where the appliance's key may take no mark of deletion away, what lies beneath is read all the same, also after a start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_may_not_delete_reads_what_is_hidden() {
    let stage = Scene::begin().await;
    let taken = two_snapshots(&stage, 326).await;
    delete_everything(&stage.bucket).await;
    let faulty = Arc::new(Faulty::new(Arc::clone(&stage.bucket)));
    (0..1000).for_each(|nth| faulty.fail(Op::Delete, nth, Kind::Denied));
    let (cache, kit) = (memory(), stage.repository.recovery_key());
    let parts = || parts_by(&stage.clock, &cache);
    let recovered = Repository::recover(parts(), faulty.clone(), kit, [9; 32]).await.unwrap();
    drop(recovered);
    assert!(stage.keys("p/").await.is_empty(), "nothing could be brought to light");
    let opened = Repository::open(parts(), Unlock::Device([9; 32])).await.unwrap();
    opened.attach_bucket(faulty.clone()).await.unwrap();
    restores(&opened, &taken).await;
}

/// True seals are no protection from who has the keys: what was there first counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgeries_under_true_seals_do_not_take_the_place_of_what_was_there_first() {
    let stage = Scene::begin().await;
    let taken = two_snapshots(&stage, 328).await;
    let inner = &stage.repository.inner;
    for (snapshot, _) in &taken {
        let key = layout::snapshot_key(&snapshot.id);
        let empty = Snapshot { volumes: Vec::new(), ..snapshot.clone() };
        let body = serde_json::to_vec(&empty).unwrap();
        let forged = inner.envelope().seal(holdfast_chunk::ObjectKind::Snapshot, &key, &body).unwrap();
        stage.bucket.put(&key, forged.into(), PutMode::Replace).await.unwrap();
        let key = layout::tombstone_key(&snapshot.id);
        let forged = inner.envelope().seal(holdfast_chunk::ObjectKind::Tombstone, &key, b"now").unwrap();
        stage.bucket.put(&key, forged.into(), PutMode::Replace).await.unwrap();
    }
    let fence = format!("w/{}-ffffffffffffffff", "9".repeat(16));
    let forged = inner.envelope().seal(holdfast_chunk::ObjectKind::Fence, &fence, b"now").unwrap();
    stage.bucket.put(&fence, forged.into(), PutMode::Once).await.unwrap();
    let recovered = stage.recover().await;
    let found = recovered.snapshots();
    assert_eq!(found.len(), 2, "words to forget what is locked count for nothing");
    assert!(found.iter().all(|entry| entry.snapshot.volumes.len() == 1));
    restores(&recovered, &taken).await;
}

/// A start of the new appliance is an attaching like any other, and its word stands above whatever somebody had put there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_fence_keeps_whoever_recovered_from_nothing() {
    let stage = Scene::begin().await;
    let taken = two_snapshots(&stage, 344).await;
    let inner = &stage.repository.inner;
    let last = format!("w/{}-{}", "9".repeat(16), "f".repeat(16));
    for fence in
        [last.clone(), format!("{last}.{}", "f".repeat(16)), "w/zzz".to_owned(), "w/99999999999999999-f".to_owned()]
    {
        let forged = inner.envelope().seal(holdfast_chunk::ObjectKind::Fence, &fence, b"now").unwrap();
        stage.bucket.put(&fence, forged.into(), PutMode::Once).await.unwrap();
    }
    let cache = memory();
    let kit = stage.repository.recovery_key();
    let parts = || parts_by(&stage.clock, &cache);
    drop(Repository::recover(parts(), Arc::clone(&stage.bucket), kit, [9; 32]).await.unwrap());
    let again = Repository::open(parts(), Unlock::Device([9; 32])).await.unwrap();
    again.attach_bucket(Arc::clone(&stage.bucket)).await.unwrap();
    restores(&again, &taken).await;
    back_up(&again, "shop", &some_tar(346)).await.unwrap();
    ship(&again, &again.guard(Arc::clone(&stage.bucket))).await;
    assert_eq!(
        stage.repository.attach_bucket(Arc::clone(&stage.bucket)).await.unwrap_err().code(),
        "repository.fenced"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hiding_the_format_does_not_make_forged_words_to_forget_count() {
    let stage = Scene::begin().await;
    two_snapshots(&stage, 348).await;
    let inner = &stage.repository.inner;
    for snapshot in stage.repository.snapshots() {
        let key = layout::tombstone_key(&snapshot.snapshot.id);
        let forged = inner.envelope().seal(holdfast_chunk::ObjectKind::Tombstone, &key, b"now").unwrap();
        stage.bucket.put(&key, forged.into(), PutMode::Replace).await.unwrap();
    }
    stage.bucket.delete("format").await.unwrap();
    stage.repository.attach_bucket(Arc::clone(&stage.bucket)).await.unwrap();
    assert_eq!(stage.repository.snapshots().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_without_a_lock_is_not_called_locked() {
    let stage = Scene::begin().await;
    let taken = stage.back_up(&some_tar(350)).await;
    stage.ship().await;
    assert!(stage.repository.locked_until(&taken.id).is_some());
    // The bucket was made again under its name, and locks nothing.
    let made_again = memory();
    stage.repository.attach_bucket(Arc::clone(&made_again)).await.unwrap();
    ship(&stage.repository, &stage.repository.guard(Arc::clone(&made_again))).await;
    assert_eq!(stage.repository.locked_until(&taken.id), None);

    let stage = Scene::begin().await;
    let taken = stage.back_up(&some_tar(352)).await;
    stage.ship().await;
    stage.repository.set_lock(None);
    assert!(stage.repository.locked_until(&taken.id).is_some(), "what is locked stays locked");
    let pack = stage.keys("p/").await.remove(0);
    stage.bucket.put(&pack, Bytes::from_static(b"bad"), PutMode::Replace).await.unwrap();
    stage.repository.check(true, None, &Stop::new()).await.unwrap();
    stage.ship().await;
    assert_eq!(stage.repository.locked_until(&taken.id), None);
}

/// A verdict of somebody who has our keys binds nobody to take away what is locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_verdict_takes_nothing_that_is_locked() {
    let stage = Scene::begin().await;
    let taken = two_snapshots(&stage, 342).await;
    let inner = &stage.repository.inner;
    let packs: Vec<_> = inner.read().index.packs().map(|(number, _)| number).collect();
    let body = crate::segment::encode_reach(&inner.read().names(&packs));
    for key in ["g/0000000000000000-000001", "g/0000000000000000-000001.0000000000000000-000002"] {
        let forged = inner.envelope().seal(holdfast_chunk::ObjectKind::Condemned, key, &body).unwrap();
        stage.bucket.put(key, forged.into(), PutMode::Once).await.unwrap();
    }
    let before = (stage.keys("p/").await, stage.keys("m/").await);
    let recovered = stage.recover().await;
    for _ in 0..2 {
        let mut plan = recovered.prune_plan(Vec::new()).await.unwrap();
        plan.grace_seconds = 0;
        recovered.prune(plan, &Stop::new()).await.unwrap();
    }
    assert_eq!((stage.keys("p/").await, stage.keys("m/").await), before);
    restores(&recovered, &taken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_repository_on_top_does_not_hide_the_one_beneath() {
    let stage = Scene::begin().await;
    let taken = two_snapshots(&stage, 330).await;
    let (other, _) = fresh().await;
    for key in ["format", "k/recovery-0"] {
        let bytes = other.inner.cache.get(key).await.unwrap();
        stage.bucket.put(key, bytes, PutMode::Replace).await.unwrap();
    }
    restores(&stage.recover().await, &taken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_forgotten_within_its_lock_comes_back_and_after_it_does_not() {
    let stage = Scene::begin().await;
    let taken = two_snapshots(&stage, 332).await;
    let mut plan = stage.repository.prune_plan(vec![taken[0].0.id.clone()]).await.unwrap();
    plan.grace_seconds = 0;
    stage.repository.prune(plan, &Stop::new()).await.unwrap();
    assert_eq!(stage.repository.snapshots().len(), 1);
    let within = stage.recover().await;
    restores(&within, &taken).await;
    assert_eq!(within.snapshots().len(), 2, "nobody can tell who forgot it");

    let stage = Scene::begin().await;
    let taken = two_snapshots(&stage, 334).await;
    let mut plan = stage.repository.prune_plan(vec![taken[0].0.id.clone()]).await.unwrap();
    plan.grace_seconds = 0;
    stage.repository.prune(plan, &Stop::new()).await.unwrap();
    stage.pass(60 * DAY);
    let after = stage.recover().await;
    assert_eq!(after.snapshots().len(), 1);
    restores(&after, &taken[1..]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_hidden_from_an_appliance_is_read_beneath_and_put_on_top_again() {
    let stage = Scene::begin().await;
    let taken = two_snapshots(&stage, 336).await;
    for pack in stage.keys("p/").await {
        stage.cache.delete(&pack).await.unwrap();
    }
    let parts = Parts { catalog: Arc::clone(&stage.repository.inner.catalog), ..parts_by(&stage.clock, &stage.cache) };
    let opened = Repository::open(parts, Unlock::Device(DEVICE)).await.unwrap();
    opened.attach_bucket(Arc::clone(&stage.bucket)).await.unwrap();
    for (number, pack) in stage.keys("p/").await.into_iter().enumerate() {
        match number % 2 {
            0 => stage.bucket.delete(&pack).await.unwrap(),
            _ => stage.bucket.put(&pack, Bytes::from_static(b"garbage"), PutMode::Replace).await.unwrap(),
        }
    }
    for (snapshot, bytes) in &taken {
        assert!(read_all(&opened, volume(snapshot), From::Bucket).await.unwrap() == *bytes);
    }
    assert!(opened.take_healed().iter().any(|problem| problem.code == "bucket.tampered"));
    let view = opened.check(true, None, &Stop::new()).await.unwrap();
    assert!(
        view.problems.iter().all(|problem| problem.severity < holdfast_model::Severity::Error),
        "{:?}",
        view.problems
    );
    for info in stage.bucket.list("p/").await.unwrap() {
        let (_, id) = layout::parse_pack(&info.key).unwrap();
        let bytes = stage.bucket.get(&info.key).await.unwrap();
        assert!(holdfast_chunk::sha256(&bytes) == *id.as_bytes(), "{} is good again", info.key);
    }
}

/// Who locks a pack that somebody wrote over would lock the garbage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_snapshot_does_not_lock_what_somebody_put_on_top() {
    let stage = Scene::begin().await;
    let bytes = some_tar(338);
    stage.back_up(&bytes).await;
    stage.ship().await;
    for info in stage.bucket.list("p/").await.unwrap() {
        let garbage = vec![7; info.size as usize].into();
        stage.bucket.put(&info.key, garbage, PutMode::Replace).await.unwrap();
    }
    stage.pass(GENERATION);
    let second = stage.back_up(&bytes).await;
    stage.ship().await;
    let own = second.time.plus_seconds(30 * DAY as i64);
    for info in stage.bucket.list("p/").await.unwrap() {
        let (_, id) = layout::parse_pack(&info.key).unwrap();
        let newest = stage.bucket.get(&info.key).await.unwrap();
        assert!(holdfast_chunk::sha256(&newest) == *id.as_bytes(), "a good one lies on top again");
        assert!(stage.kept(&info.key).await.unwrap() >= own);
    }
    assert!(stage.codes().contains(&"bucket.tampered".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trying_to_break_the_own_lock_changes_nothing() {
    let stage = Scene::begin().await;
    assert_eq!(stage.repository.prove_lock().await.unwrap(), LockProof::NotLocked, "nothing is there yet");
    stage.back_up(&some_tar(340)).await;
    stage.ship().await;
    let before = (stage.bucket.versions("format").await.unwrap(), stage.kept("format").await);
    assert_eq!(stage.repository.prove_lock().await.unwrap(), LockProof::Held);
    assert_eq!((stage.bucket.versions("format").await.unwrap(), stage.kept("format").await), before);
}

/// A store that says that it locks and does what it is told.
#[derive(Debug)]
struct Hollow(MemStore);

#[async_trait::async_trait]
impl Store for Hollow {
    fn place(&self) -> String {
        "a store that only says that it locks".into()
    }
    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.0.put(key, bytes, mode).await
    }
    async fn get(&self, key: &str) -> Result<Bytes> {
        self.0.get(key).await
    }
    async fn get_range(&self, key: &str, range: std::ops::Range<u64>) -> Result<Bytes> {
        self.0.get_range(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.0.head(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.0.list(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.0.delete(key).await
    }
    async fn put_kept(&self, key: &str, bytes: Bytes, mode: PutMode, _: Keep) -> Result<()> {
        self.0.put(key, bytes, mode).await
    }
    async fn extend(&self, _: &str, _: Keep) -> Result<()> {
        Ok(())
    }
    async fn kept_until(&self, key: &str, _: Option<&Version>) -> Result<Option<Moment>> {
        // The same far date whatever was asked for.
        Ok(self.0.head(key).await?.map(|_| Moment::from_millis(1_900_000_000_000)))
    }
    async fn versions(&self, key: &str) -> Result<Vec<Version>> {
        self.0.versions(key).await
    }
    async fn get_version(&self, key: &str, version: &Version) -> Result<Bytes> {
        self.0.get_version(key, version).await
    }
    async fn list_versions(&self, prefix: &str) -> Result<Vec<(String, Vec<Version>)>> {
        self.0.list_versions(prefix).await
    }
    async fn delete_version(&self, key: &str, version: &Version) -> Result<()> {
        self.0.delete_version(key, version).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_breaks_is_told_and_what_was_deleted_is_sent_again() {
    let (stage, _) = Scene::on(|locking| Arc::new(Hollow(locking))).await;
    stage.back_up(&some_tar(341)).await;
    stage.ship().await;
    let proof = stage.repository.prove_lock().await.unwrap();
    assert!(matches!(&proof, LockProof::Broken(words) if words.contains("deleted")), "{proof:?}");
    assert_eq!(stage.bucket.get("format").await.unwrap(), stage.cache.get("format").await.unwrap());
}

/// Somebody with our keys makes true seals: what is locked as a snapshot is what we wrote, not what lies on top.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_object_under_a_true_seal_is_not_locked_in_the_place_of_ours() {
    let stage = Scene::begin().await;
    stage.repository.set_lock(None);
    let taken = stage.back_up(&some_tar(354)).await;
    stage.ship().await;
    let inner = &stage.repository.inner;
    let keys = [layout::snapshot_key(&taken.id), layout::reach_key(&taken.id)];
    let empty = Snapshot { volumes: Vec::new(), ..taken.clone() };
    let bodies = [serde_json::to_vec(&empty).unwrap(), crate::segment::encode_reach(&[])];
    let kinds = [holdfast_chunk::ObjectKind::Snapshot, holdfast_chunk::ObjectKind::Reach];
    for ((key, body), kind) in keys.iter().zip(&bodies).zip(kinds) {
        let forged = inner.envelope().seal(kind, key, body).unwrap();
        stage.bucket.put(key, forged.into(), PutMode::Replace).await.unwrap();
    }
    stage.repository.set_lock(Some(RULE));
    assert!(stage.repository.renew_locks().await.unwrap() > 3);
    let own = taken.time.plus_seconds(30 * DAY as i64);
    for key in &keys {
        assert_eq!(stage.bucket.get(key).await.unwrap(), stage.cache.get(key).await.unwrap(), "{key} is ours again");
        assert!(stage.kept(key).await.unwrap() >= own);
    }
    assert!(stage.codes().contains(&"bucket.tampered".to_owned()));
    // What was put right is right.
    let before = stage.bucket.versions(&keys[0]).await.unwrap().len();
    stage.repository.set_lock(Some(LockRule { days: 60, ..RULE }));
    assert!(stage.repository.renew_locks().await.unwrap() > 3);
    assert_eq!(stage.bucket.versions(&keys[0]).await.unwrap().len(), before);
    assert!(stage.codes().is_empty());
}

/// In compliance mode nobody could take back what was locked for too long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_nobody_remembers_is_asked_for_and_not_made_longer_than_it_has_to_be() {
    let (stage, counting) = Scene::on(|locking| Arc::new(Counting::new(Arc::new(locking)))).await;
    let taken = stage.back_up(&some_tar(356)).await;
    stage.ship().await;
    let pack = stage.keys("p/").await.remove(0);
    let before = stage.kept(&pack).await;
    stage.pass(GENERATION);
    let forgetful = Repository::open(parts_by(&stage.clock, &stage.cache), Unlock::Device(DEVICE)).await.unwrap();
    forgetful.set_lock(Some(RULE));
    forgetful.attach_bucket(Arc::clone(&stage.bucket)).await.unwrap();
    assert!(forgetful.renew_locks().await.unwrap() > 3);
    assert_eq!(counting.counts().extends, 0);
    assert_eq!(stage.kept(&pack).await, before);
    assert_eq!(forgetful.locked_until(&taken.id), stage.repository.locked_until(&taken.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_softer_rule_leaves_stricter_locks_alone_and_says_that_it_cannot_make_them_longer() {
    let stage = Scene::begin().await;
    let bytes = some_tar(358);
    stage.back_up(&bytes).await;
    stage.ship().await;
    let pack = stage.keys("p/").await.remove(0);
    let before = stage.kept(&pack).await;
    stage.repository.set_lock(Some(LockRule { mode: LockMode::Governance, ..RULE }));
    stage.pass(GENERATION);
    let second = stage.back_up(&bytes).await;
    stage.ship().await;
    assert_eq!(stage.kept(&pack).await, before);
    assert!(stage.repository.locked_until(&second.id) <= before, "no longer than what it leans on");
    let told = stage.repository.take_healed();
    let told = told.iter().find(|problem| problem.code == "lock.not_extended").unwrap();
    assert!(told.advice.as_ref().unwrap().contains("compliance"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_without_locks_is_neither_sent_everything_twice_nor_asked_for_each_object() {
    let (repository, _) = fresh().await;
    let counting = Arc::new(Counting::new(memory()));
    let bucket: Arc<dyn Store> = counting.clone();
    repository.set_lock(Some(RULE));
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    for seed in 360..365 {
        back_up(&repository, "shop", &some_tar(seed)).await.unwrap();
    }
    let items = repository.to_ship().len() as u64;
    assert!(items > 15, "{items}");
    counting.reset();
    ship(&repository, &repository.guard(Arc::clone(&bucket))).await;
    assert_eq!(counting.counts().puts, items + 1, "the first one is enough to know");
    counting.reset();
    repository.renew_locks().await.unwrap_err();
    let extends = counting.counts().extends;
    assert!((1..=8).contains(&extends), "{extends}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_that_were_refused_are_asked_for_again_after_an_hour_and_under_another_rule() {
    let (stage, faulty) = Scene::on(|locking| Arc::new(Faulty::new(Arc::new(locking)))).await;
    let guarded = stage.repository.guard(Arc::clone(&stage.bucket));
    let next = async |seed: u64| {
        let taken = stage.back_up(&some_tar(seed)).await;
        ship(&stage.repository, &guarded).await;
        stage.kept(&layout::snapshot_key(&taken.id)).await
    };
    faulty.fail(Op::Put, faulty.calls(Op::Put), Kind::Denied);
    assert_eq!(next(366).await, None);
    stage.pass(60);
    assert_eq!(next(367).await, None, "it was refused a minute ago");
    stage.pass(3600);
    assert!(next(368).await.is_some());
    faulty.fail(Op::Put, faulty.calls(Op::Put), Kind::Denied);
    assert_eq!(next(369).await, None);
    stage.repository.set_lock(Some(LockRule { days: 40, ..RULE }));
    assert!(next(370).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_may_not_lock_any_more_is_not_tried_with_every_object() {
    let (stage, faulty) = Scene::on(|locking| Arc::new(Faulty::new(Arc::new(locking)))).await;
    stage.repository.set_lock(None);
    for seed in 372..377 {
        stage.back_up(&some_tar(seed)).await;
        stage.ship().await;
    }
    stage.repository.set_lock(Some(RULE));
    let before = faulty.calls(Op::Extend);
    (0..1000).for_each(|nth| faulty.fail(Op::Extend, before + nth, Kind::Denied));
    assert_eq!(stage.repository.renew_locks().await.unwrap_err().kind(), Kind::Denied);
    let (tried, all) = (faulty.calls(Op::Extend) - before, stage.keys("").await.len());
    assert!(tried <= 11 && all > 15, "{tried} of {all}");
}

/// Nobody would take it away there any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_a_row_of_an_older_cut_does_not_count_as_locked() {
    let stage = Scene::begin().await;
    let row = |key: &str| BTreeMap::from([(key.to_owned(), stage.clock.now())]);
    let catalog = &stage.repository.inner.catalog;
    catalog.put(holdfast_catalog::Table::Packs, "l/ne", &row("s/none")).unwrap();
    catalog.put(holdfast_catalog::Table::Packs, "l/ome", &row("s/some")).unwrap();
    let parts = Parts { catalog: Arc::clone(catalog), ..parts_by(&stage.clock, &stage.cache) };
    let again = Repository::open(parts, Unlock::Device(DEVICE)).await.unwrap();
    let kept = again.inner.read().kept.clone();
    assert!(!kept.contains_key("s/none") && kept.contains_key("s/some"), "{kept:?}");
}
