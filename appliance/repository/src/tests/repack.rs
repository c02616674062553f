//! Packs that are mostly dead: their living chunks move, nothing is lost on the way, whoever is at work.

use super::*;
use holdfast_model::Kind;
use holdfast_storage::{Faulty, Op};
use std::{collections::BTreeSet, time::Duration};

const DAY: Duration = Duration::from_secs(25 * 3600);

/// A small file that stays, and one that goes with the first snapshot.
fn both() -> (Vec<u8>, Vec<u8>) {
    let (stays, goes) = (noise(1, 3 << 20), noise(2, 5 << 20));
    (tar(&[("v/goes", goes), ("v/stays", stays.clone())]), tar(&[("v/stays", stays)]))
}

struct Ground {
    repository: Repository,
    cache: Arc<dyn Store>,
    bucket: Arc<dyn Store>,
    clock: Clock,
    first: Snapshot,
    second: Snapshot,
}

/// Two snapshots, shipped; the second one leans on a part of the first one's pack.
async fn ground() -> Ground {
    let (repository, cache) = fresh().await;
    let clock = Clock::manual(Moment::from_millis(1_000_000_000_000));
    let bucket: Arc<dyn Store> = Arc::new(MemStore::with_clock(clock.clone()));
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let (all, part) = both();
    let first = back_up(&repository, "a", &all).await.unwrap();
    let second = back_up(&repository, "a", &part).await.unwrap();
    ship(&repository, &bucket).await;
    Ground { repository, cache, bucket, clock, first, second }
}

async fn prune(repository: &Repository, forget: &[&Snapshot]) -> PruneOutcome {
    let plan = repository.prune_plan(forget.iter().map(|one| one.id.clone()).collect()).await.unwrap();
    repository.prune(plan, &Stop::new()).await.unwrap()
}

fn reach_of(repository: &Repository, snapshot: &Snapshot) -> BTreeSet<PackId> {
    let state = repository.inner.read();
    state.snapshots[&snapshot.id].reach.iter().map(|pack| state.index.pack(*pack).name.id).collect()
}

async fn data_packs(store: &Arc<dyn Store>) -> Vec<u64> {
    store.list("p/").await.unwrap().iter().map(|object| object.size).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn living_chunks_move_and_the_old_pack_goes_after_its_grace() {
    let Ground { repository, cache, bucket, clock, first, second } = ground().await;
    let (all, part) = both();
    let old = reach_of(&repository, &second);
    let none = repository.prune_plan(Vec::new()).await.unwrap();
    assert!(none.repack.is_empty() && none.held_bytes < 100_000, "everything lives");
    let plan = repository.prune_plan(vec![first.id.clone()]).await.unwrap();
    assert_eq!(plan.repack.len(), 1, "the data pack alone is worth it");
    assert!(plan.repack_frees > 5 << 20 && plan.repack_bytes < 4 << 20, "{plan:?}");
    assert!(
        repository.inner.read().snapshots.len() == 2 && data_packs(&bucket).await.len() == 1,
        "a plan does nothing"
    );
    let moved = plan.repack[0];
    let outcome = repository.prune(plan, &Stop::new()).await.unwrap();
    assert_eq!((outcome.repacked, outcome.problems.len()), (1, 0), "{:?}", outcome.problems);
    assert!(outcome.waiting_bytes > 8 << 20, "the old pack waits in the bucket");
    assert!(!reach_of(&repository, &second).contains(&moved) && old.contains(&moved));
    // The old copy in the cache has gone; the bucket has both. Either tier gives everything, from old recipes.
    assert_eq!((data_packs(&cache).await.len(), data_packs(&bucket).await.len()), (1, 2));
    for from in [From::Cache, From::Bucket] {
        assert!(read_all(&repository, volume(&second), from).await.unwrap() == part);
    }
    // New data leans on the new pack, though old recipes and the old pack are still there.
    let again = back_up_after(&repository, &second, &part).await.unwrap();
    assert!(again.stats.bytes_new < 3000, "{}", again.stats.bytes_new);
    assert!(!reach_of(&repository, &again).contains(&moved));
    ship(&repository, &bucket).await;
    clock.advance(DAY);
    let outcome = prune(&repository, &[]).await;
    assert!(outcome.bucket_bytes > 8 << 20 && outcome.problems.is_empty(), "{outcome:?}");
    assert_eq!(data_packs(&bucket).await.len(), 1);
    let names = bucket.list("r/").await.unwrap();
    assert!(names.len() == 2 && names.iter().any(|object| object.key.contains('.')), "one edition each: {names:?}");
    let plan = repository.prune_plan(Vec::new()).await.unwrap();
    assert!(plan.repack.is_empty() && plan.packs.is_empty() && plan.held_bytes < 100_000, "{plan:?}");
    // Everything comes back from the bucket alone, and from the cache alone.
    let kit = repository.recovery_key();
    drop(repository);
    let recovered = Repository::recover(parts(memory()), Arc::clone(&bucket), kit, DEVICE).await.unwrap();
    let reopened = reopen(&cache).await;
    for (house, from) in [(&recovered, From::Bucket), (&reopened, From::Cache)] {
        assert_eq!(reach_of(house, &second).len(), reach_of(house, &again).len());
        for written in [&second, &again] {
            assert!(read_all(house, volume(written), from).await.unwrap() == part);
        }
    }
    let view = recovered.check(true, None, &Stop::new()).await.unwrap();
    assert!(view.problems.is_empty(), "{:?}", view.problems);
    let fresh_again = back_up(&recovered, "a", &all).await.unwrap();
    assert!(fresh_again.stats.bytes_new > 5 << 20, "what was dead is really gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_bucket_the_old_pack_goes_at_once_and_the_rest_ships_later() {
    let (repository, cache) = fresh().await;
    let (all, part) = both();
    let first = back_up(&repository, "a", &all).await.unwrap();
    let second = back_up(&repository, "a", &part).await.unwrap();
    let outcome = prune(&repository, &[&first]).await;
    assert!(outcome.repacked == 1 && outcome.cache_bytes > 8 << 20, "{outcome:?}");
    assert_eq!(data_packs(&cache).await.len(), 1);
    // A reach list that is lost is made anew from recipes that tell places which are gone.
    let reach = reach_of(&repository, &second);
    drop(repository);
    for list in cache.list("r/").await.unwrap() {
        cache.delete(&list.key).await.unwrap();
    }
    let repository = reopen(&cache).await;
    assert_eq!(reach_of(&repository, &second), reach);
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    ship(&repository, &bucket).await;
    let kit = repository.recovery_key();
    let recovered = Repository::recover(parts(memory()), bucket, kit, DEVICE).await.unwrap();
    assert!(read_all(&recovered, volume(&second), From::Bucket).await.unwrap() == part);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leans_on_what_a_repack_leaves_behind_keeps_it() {
    for late in [false, true] {
        let Ground { repository, bucket, clock, first, second, .. } = ground().await;
        let (all, part) = both();
        let session = repository.session();
        let under_way = put(&session, StreamKind::Tar, &all).await.unwrap();
        assert!(session.bytes_new() < 20_000, "all of it was known");
        let plan = repository.prune_plan(vec![first.id.clone()]).await.unwrap();
        // Committed between plan and deed, or after it.
        let (before, after) = if late { (None, Some(session)) } else { (Some(session), None) };
        let mut written = Vec::new();
        if let Some(session) = before {
            written.push(session.commit(snapshot("a", vec![under_way.clone()])).await.unwrap());
        }
        repository.prune(plan, &Stop::new()).await.unwrap();
        if let Some(session) = after {
            written.push(session.commit(snapshot("a", vec![under_way])).await.unwrap());
        }
        for _ in 0..2 {
            ship(&repository, &bucket).await;
            clock.advance(DAY);
            prune(&repository, &[]).await;
        }
        for from in [From::Cache, From::Bucket] {
            assert!(read_all(&repository, volume(&written[0]), from).await.unwrap() == all, "late: {late}");
            assert!(read_all(&repository, volume(&second), from).await.unwrap() == part, "late: {late}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differences_find_their_bases_where_they_moved() {
    let (repository, cache) = fresh().await;
    let pages = |changed: u8| {
        let mut pages = noise(7, 4 << 20);
        for page in pages.chunks_mut(8192) {
            page[12..20].copy_from_slice(&[0x40, 0, 0, 0x10, 0, 0x20, 0x04, 0x20]);
            page[5000] ^= changed;
        }
        pages
    };
    let first =
        back_up(&repository, "db", &tar(&[("v/base/1", pages(0)), ("v/log", noise(8, 6 << 20))])).await.unwrap();
    let bytes = tar(&[("v/base/1", pages(1))]);
    let second = back_up_after(&repository, &first, &bytes).await.unwrap();
    assert!(second.stats.bytes_new < 1 << 20, "stored as differences: {}", second.stats.bytes_new);
    assert_eq!(prune(&repository, &[&first]).await.repacked, 1);
    assert!(read_all(&repository, volume(&second), From::Cache).await.unwrap() == bytes);
    let again = back_up_after(&repository, &second, &bytes).await.unwrap();
    assert!(again.stats.bytes_new < 20_000, "{}", again.stats.bytes_new);
    drop(repository);
    let repository = reopen(&cache).await;
    prune(&repository, &[&second]).await;
    assert!(read_all(&repository, volume(&again), From::Cache).await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repack_cut_off_anywhere_loses_nothing() {
    let (_, part) = both();
    for in_bucket in [false, true] {
        for nth in 0.. {
            let Ground { repository, cache, bucket, clock, first, second } = ground().await;
            let kit = repository.recovery_key();
            drop(repository);
            let (tier, other) = if in_bucket { (&bucket, &cache) } else { (&cache, &bucket) };
            let faults = Arc::new(Faulty::new(Arc::clone(tier)));
            let faulty: Arc<dyn Store> = faults.clone();
            let (near, far) = if in_bucket { (other.clone(), faulty) } else { (faulty, other.clone()) };
            let repository = reopen(&near).await;
            repository.attach_bucket(far).await.unwrap();
            let plan = repository.prune_plan(vec![first.id.clone()]).await.unwrap();
            assert_eq!(plan.repack.len(), 1);
            faults.heal();
            faults.crash_at(nth);
            let result = repository.prune(plan, &Stop::new()).await;
            let whole = result.is_ok_and(|outcome| outcome.problems.is_empty());
            drop(repository);
            // The bucket alone, as it is now; then the appliance goes on, and the bucket alone once more.
            let recovered =
                Repository::recover(parts(memory()), copy_of(&bucket).await, kit.clone(), DEVICE).await.unwrap();
            let read = read_all(&recovered, volume(&second), From::Bucket).await.unwrap();
            assert!(read == part, "call {nth}, in the bucket: {in_bucket}");
            drop(recovered);
            let again = reopen(&cache).await;
            again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
            for _ in 0..3 {
                let forget: Vec<Snapshot> =
                    again.snapshots().iter().map(|e| (*e.snapshot).clone()).filter(|s| s.id == first.id).collect();
                prune(&again, &forget.iter().collect::<Vec<_>>()).await;
                ship(&again, &bucket).await;
                clock.advance(DAY);
            }
            assert!(read_all(&again, volume(&second), From::Cache).await.unwrap() == part, "call {nth}");
            assert_eq!(data_packs(&bucket).await.len(), 1, "call {nth}: what was left over is gone");
            let view = again.check(true, None, &Stop::new()).await.unwrap();
            assert!(view.problems.is_empty(), "call {nth}: {:?}", view.problems);
            let recovered = Repository::recover(parts(memory()), bucket, kit, DEVICE).await.unwrap();
            assert!(read_all(&recovered, volume(&second), From::Bucket).await.unwrap() == part, "call {nth}");
            if whole {
                assert!(nth >= 4, "pack, segment and reach list are written one by one");
                break;
            }
        }
    }
}

async fn copy_of(store: &Arc<dyn Store>) -> Arc<dyn Store> {
    let copy = memory();
    for object in store.list("").await.unwrap() {
        copy.put(&object.key, store.get(&object.key).await.unwrap(), PutMode::Once).await.unwrap();
    }
    copy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edition_that_came_late_takes_nothing_away() {
    for in_bucket in [false, true] {
        let Ground { repository, cache, bucket, clock, second, .. } = ground().await;
        let true_reach = reach_of(&repository, &second);
        // Somebody who was taken over had sent it; the packs that it names were nobody's, and are gone.
        let key = crate::layout::next_edition(&second.id, None);
        let gone = crate::segment::PackName { kind: crate::layout::PackKind::Data, id: PackId([9; 32]), size: 1 << 20 };
        let body = crate::segment::encode_reach(&[gone]);
        let sealed = repository.inner.envelope().seal(holdfast_chunk::ObjectKind::Reach, &key, &body).unwrap();
        let tier = if in_bucket { &bucket } else { &cache };
        tier.put(&key, sealed.into(), PutMode::Once).await.unwrap();
        drop(repository);
        // Learned from the cache, from the bucket at attaching, and after that.
        for _ in 0..2 {
            let again = reopen(&cache).await;
            again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
            assert!(reach_of(&again, &second).is_superset(&true_reach), "in the bucket: {in_bucket}");
            for _ in 0..2 {
                prune(&again, &[]).await;
                clock.advance(DAY);
            }
            for store in [&cache, &bucket] {
                let first = crate::layout::reach_key(&second.id);
                assert!(store.head(&first).await.unwrap().is_some(), "the one that is true stays");
            }
            assert!(read_all(&again, volume(&second), From::Bucket).await.unwrap() == both().1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_moves_beyond_its_limits_or_without_the_bucket() {
    let Ground { repository, bucket, first, second, .. } = ground().await;
    let part = both().1;
    let none = |limits: Repack| {
        let (repository, first) = (&repository, first.id.clone());
        async move { repository.prune_plan_within(vec![first], &limits).await.unwrap().repack.is_empty() }
    };
    let usual = Repack::default();
    assert!(!none(usual).await);
    assert!(none(Repack { dead_percent: 80, ..usual }).await);
    assert!(none(Repack { least_gain: 6 << 20, ..usual }).await);
    assert!(none(Repack { bytes: 1 << 20, ..usual }).await);
    assert!(none(Repack::NONE).await);
    // The bucket takes nothing: nothing moves, and nothing is left over.
    let faults = Arc::new(Faulty::new(Arc::clone(&bucket)));
    repository.attach_bucket(faults.clone()).await.unwrap();
    faults.heal();
    faults.fail(Op::Put, 1, Kind::Unavailable);
    let before = reach_of(&repository, &second);
    let outcome = prune(&repository, &[&first]).await;
    assert!(outcome.repacked == 0 && !outcome.problems.is_empty(), "{outcome:?}");
    assert_eq!(reach_of(&repository, &second), before);
    faults.heal();
    assert_eq!(prune(&repository, &[]).await.repacked, 1, "the next one does it");
    assert!(read_all(&repository, volume(&second), From::Auto).await.unwrap() == part);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reach_list_that_one_tier_did_not_take_is_finished_by_the_next_prune() {
    for in_bucket in [false, true] {
        let Ground { repository, cache, bucket, clock, first, second } = ground().await;
        drop(repository);
        let tier = if in_bucket { &bucket } else { &cache };
        let faults = Arc::new(Faulty::new(Arc::clone(tier)));
        let faulty: Arc<dyn Store> = faults.clone();
        let repository = reopen(if in_bucket { &cache } else { &faulty }).await;
        let far = if in_bucket { faulty } else { Arc::clone(&bucket) };
        repository.attach_bucket(far).await.unwrap();
        faults.heal();
        // Tombstone, pack, segment, reach list.
        let before = faults.calls(Op::Put);
        faults.fail(Op::Put, before + 3, Kind::Unavailable);
        let outcome = prune(&repository, &[&first]).await;
        assert!(outcome.repacked == 0 && outcome.problems.len() == 1, "{outcome:?}");
        faults.heal();
        for _ in 0..4 {
            ship(&repository, &bucket).await;
            clock.advance(DAY);
            prune(&repository, &[]).await;
        }
        assert_eq!(data_packs(&bucket).await.len(), 1, "in the bucket: {in_bucket}");
        assert_eq!(bucket.list("r/").await.unwrap().len(), 1);
        for from in [From::Cache, From::Bucket] {
            assert!(read_all(&repository, volume(&second), from).await.unwrap() == both().1);
        }
    }
}

/// Each increment leaves a small pack or two behind: many of them become few, and nothing moves again after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_packs_are_joined_and_few_are_left_alone() {
    let (repository, _) = fresh().await;
    let clock = Clock::manual(Moment::from_millis(1_000_000_000_000));
    let bucket: Arc<dyn Store> = Arc::new(MemStore::with_clock(clock.clone()));
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let mut all = Vec::new();
    let mut written: Vec<(Snapshot, Vec<u8>)> = Vec::new();
    for number in 0..16u64 {
        all.push((format!("v/{number:02}"), noise(number, 300_000)));
        let named: Vec<_> = all.iter().map(|(name, content)| (name.as_str(), content.clone())).collect();
        let stream = tar(&named);
        written.push((back_up(&repository, "a", &stream).await.unwrap(), stream));
        if number == 5 {
            assert!(repository.prune_plan(Vec::new()).await.unwrap().repack.is_empty(), "they are few yet");
        }
    }
    ship(&repository, &bucket).await;
    let (before, plan) = (data_packs(&bucket).await.len(), repository.prune_plan(Vec::new()).await.unwrap());
    assert!(before >= 16 && plan.repack.len() >= 24, "{before} {plan:?}");
    let outcome = repository.prune(plan, &Stop::new()).await.unwrap();
    assert!(outcome.repacked >= 24 && outcome.problems.is_empty(), "{outcome:?}");
    ship(&repository, &bucket).await;
    clock.advance(DAY);
    prune(&repository, &[]).await;
    let after = data_packs(&bucket).await.len();
    assert!(after <= 2, "{before} packs became {after}");
    assert!(repository.prune_plan(Vec::new()).await.unwrap().repack.is_empty());
    for (snapshot, stream) in &written {
        for from in [From::Cache, From::Bucket] {
            assert!(read_all(&repository, volume(snapshot), from).await.unwrap() == *stream);
        }
    }
    let view = repository.check(true, None, &Stop::new()).await.unwrap();
    assert!(view.problems.is_empty(), "{:?}", view.problems);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_how_scattered_the_newest_snapshot_of_each_app_lies() {
    let (repository, _cache) = fresh().await;
    let mut files = Vec::new();
    for seed in 0..3u64 {
        files.push((["v/a", "v/b", "v/c"][seed as usize], noise(seed, 1 << 20)));
        back_up(&repository, "grown", &tar(&files)).await.unwrap();
    }
    back_up(&repository, "alone", &tar(&[("v/d", noise(9, 1 << 20))])).await.unwrap();
    let view = repository.check(false, None, &Stop::new()).await.unwrap();
    // Three packs of the one, of which one would do, and the single one of the other.
    assert_eq!((view.newest_packs, view.newest_packs_least), (4, 2));
}
