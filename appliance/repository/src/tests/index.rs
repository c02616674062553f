//! The index never claims what no tier holds, tells exactly, and comes back from whatever is left of it.

use super::*;
use crate::{
    find::Found,
    inner::Inner,
    layout::PackKind,
    pack::{self, Row},
    segment::PackName,
    state::{Index, PackNo},
};
use holdfast_chunk::{ChunkKind, Envelope};
use holdfast_model::ChunkId;
use holdfast_storage::Faulty;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Every chunk that packs of the store hold, whatever an index says.
async fn ids_in(inner: &Arc<Inner>, store: &Arc<dyn Store>) -> BTreeSet<(u8, ChunkId)> {
    let mut ids = BTreeSet::new();
    for object in [store.list("p/").await.unwrap(), store.list("m/").await.unwrap()].concat() {
        let bytes = store.get(&object.key).await.unwrap();
        let size = bytes.len();
        let length = pack::footer_length(&bytes[size - 8..], size as u64).unwrap() as usize;
        let rows = pack::open_footer(inner.envelope(), &bytes[size - 8 - length..size - 8]).unwrap();
        ids.extend(rows.iter().map(|row| (row.kind as u8, row.id)));
    }
    ids
}

fn kind_of(byte: u8) -> ChunkKind {
    [ChunkKind::Data, ChunkKind::Meta, ChunkKind::Recipe][byte as usize - 1]
}

/// Each chunk that the index claims opens from the tiers. The answer is how many it claims.
async fn assert_claims_hold(inner: &Arc<Inner>, ids: &BTreeSet<(u8, ChunkId)>) -> usize {
    let mut claimed = 0;
    for (kind, id) in ids {
        for Found { pack, placed, .. } in inner.finder.places(id).await {
            assert!(inner.read().index.pack(pack).present());
            let opened = inner.open_chunks(kind_of(*kind), &[placed], From::Auto).await;
            assert_eq!(opened.unwrap()[0].len(), placed.length as usize);
            claimed += 1;
        }
    }
    claimed
}

async fn copy_of(store: &Arc<dyn Store>) -> Arc<dyn Store> {
    let copy = memory();
    for object in store.list("").await.unwrap() {
        copy.put(&object.key, store.get(&object.key).await.unwrap(), PutMode::Replace).await.unwrap();
    }
    copy
}

/// borg #9748 and #9904: a persisted chunk index that was older or newer than the repository claimed chunks that
/// were not there, and backups leaned on them. A cut-off backup at any call must not bring that about here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn borg_9748_a_cut_off_backup_never_makes_the_index_claim_what_no_tier_holds() {
    let before = memory();
    let repository = Repository::create(parts(Arc::clone(&before)), DEVICE).await.unwrap();
    back_up(&repository, "a", &some_tar(50)).await.unwrap();
    drop(repository);
    // Where chunks end follows from a secret that is new each time: enough of them for any.
    let next = [some_tar(51), some_tar(57)].map(|tar| tar[..tar.len() - 1024].to_vec()).concat();
    let next = [next, vec![0; 1024]].concat();
    let mut most = 0;
    for nth in 0.. {
        let inner = copy_of(&before).await;
        let faults = Arc::new(Faulty::new(Arc::clone(&inner)));
        let cut: Arc<dyn Store> = faults.clone();
        let repository = reopen(&cut).await;
        faults.heal();
        faults.crash_at(nth);
        let done = back_up(&repository, "a", &next).await.is_ok();
        faults.heal();
        let ids = ids_in(&repository.inner, &inner).await;
        // The one that went on living, and the one that starts anew.
        let alive = assert_claims_hold(&repository.inner, &ids).await;
        let anew = assert_claims_hold(&reopen(&inner).await.inner, &ids).await;
        assert!(alive <= anew && anew == ids.len(), "{alive} {anew} of {}: nothing is lost either", ids.len());
        most = most.max(anew);
        if done {
            assert!(nth >= 4 && alive == anew, "packs, segment, reach list and snapshot are written one by one");
            break;
        }
    }
    assert!(most > 20, "{most}");
}

/// The same for a prune that is cut off in either tier, and for the backup that follows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn borg_9904_a_cut_off_prune_never_makes_the_index_claim_what_no_tier_holds() {
    let (first_cache, first_bucket) = (memory(), memory());
    let repository = Repository::create(parts(Arc::clone(&first_cache)), DEVICE).await.unwrap();
    repository.attach_bucket(Arc::clone(&first_bucket)).await.unwrap();
    let (dead_bytes, kept_bytes) = (some_tar(52), some_tar(53));
    let dead = back_up(&repository, "a", &dead_bytes).await.unwrap();
    let kept = back_up(&repository, "a", &kept_bytes).await.unwrap();
    ship(&repository, &first_bucket).await;
    let ids = ids_in(&repository.inner, &first_cache).await;
    drop(repository);
    for which in 0..2 {
        for nth in 0.. {
            let stores = [copy_of(&first_cache).await, copy_of(&first_bucket).await];
            let faults: Vec<Arc<Faulty>> =
                stores.iter().map(|store| Arc::new(Faulty::new(Arc::clone(store)))).collect();
            let cache: Arc<dyn Store> = faults[0].clone();
            let repository = reopen(&cache).await;
            repository.attach_bucket(faults[1].clone()).await.unwrap();
            let plan = repository.prune_plan(vec![dead.id.clone()]).await.unwrap();
            faults[which].heal();
            faults[which].crash_at(nth);
            let outcome = repository.prune(plan, &Stop::new()).await;
            faults[which].heal();
            assert_claims_hold(&repository.inner, &ids).await;
            let again = reopen(&stores[0]).await;
            again.attach_bucket(Arc::clone(&stores[1])).await.unwrap();
            assert_claims_hold(&again.inner, &ids).await;
            // What leans on the index now is whole.
            for repository in [&again, &repository] {
                let written = back_up(repository, "a", &dead_bytes).await.unwrap();
                assert_eq!(read_all(repository, volume(&written), From::Auto).await.unwrap(), dead_bytes);
                assert_eq!(read_all(repository, volume(&kept), From::Auto).await.unwrap(), kept_bytes);
                if nth % 3 != 0 {
                    break;
                }
            }
            if outcome.is_ok_and(|outcome| outcome.problems.is_empty()) {
                assert!(nth > 4, "a prune does more than that: {nth}");
                break;
            }
        }
    }
}

async fn delete_all(store: &Arc<dyn Store>, prefix: &str) {
    for object in store.list(prefix).await.unwrap() {
        store.delete(&object.key).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_comes_back_from_footers_when_all_segments_are_gone() {
    let (repository, cache) = fresh().await;
    let bytes = some_tar(54);
    back_up(&repository, "a", &bytes).await.unwrap();
    let ids = ids_in(&repository.inner, &cache).await;
    drop(repository);
    delete_all(&cache, "i/").await;
    let again = reopen(&cache).await;
    assert_eq!(assert_claims_hold(&again.inner, &ids).await, ids.len());
    let written = back_up(&again, "a", &bytes).await.unwrap();
    assert!(written.stats.bytes_new < 5000, "{}", written.stats.bytes_new);
    assert_eq!(cache.list("i/").await.unwrap().len(), 1, "the next commit lists all packs again");
    drop(again);
    // From the segment alone: the packs are only in the bucket.
    let bucket = copy_of(&cache).await;
    delete_all(&cache, "p/").await;
    let again = reopen(&cache).await;
    again.attach_bucket(bucket).await.unwrap();
    assert_eq!(assert_claims_hold(&again.inner, &ids).await, ids.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_cannot_be_read_mean_not_known_and_a_problem() {
    let (repository, cache) = fresh().await;
    let bytes = some_tar(55);
    let first = back_up(&repository, "a", &bytes).await.unwrap();
    drop(repository);
    let again = reopen(&cache).await;
    delete_all(&cache, "i/").await;
    for object in cache.list("p/").await.unwrap() {
        let mut bytes = cache.get(&object.key).await.unwrap().to_vec();
        let at = bytes.len() - 40;
        bytes[at] ^= 1;
        cache.put(&object.key, bytes.into(), PutMode::Replace).await.unwrap();
    }
    let second = back_up(&again, "a", &bytes).await.unwrap();
    assert!(second.stats.bytes_new > 3_000_000, "{}", second.stats.bytes_new);
    let notes = again.take_healed();
    assert!(notes.iter().any(|problem| problem.code == "index.unreadable"), "{notes:?}");
    assert!(notes.len() < 10, "one for each pack, not for each chunk: {}", notes.len());
    for written in [&first, &second] {
        assert_eq!(read_all(&again, volume(written), From::Auto).await.unwrap(), bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_mends_segments_from_the_other_tier_else_from_the_packs() {
    let (repository, cache) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let bytes = some_tar(57);
    back_up(&repository, "a", &bytes).await.unwrap();
    ship(&repository, &bucket).await;
    let ids = ids_in(&repository.inner, &cache).await;
    let key = cache.list("i/").await.unwrap().remove(0).key;
    let good = cache.get(&key).await.unwrap();
    let mut bad = good.to_vec();
    bad[100] ^= 1;
    for stores in [vec![&cache], vec![&bucket], vec![&cache, &bucket]] {
        for store in &stores {
            store.put(&key, bad.clone().into(), PutMode::Replace).await.unwrap();
        }
        let view = repository.check(true, None, &Stop::new()).await.unwrap();
        assert_eq!(view.healed, 1, "{:?}", view.problems);
        if stores.len() == 1 {
            assert_eq!((cache.get(&key).await.unwrap(), bucket.get(&key).await.unwrap()), (good.clone(), good.clone()));
        } else {
            assert_eq!(view.problems[0].code, "segment.rebuilt");
        }
        assert_eq!(assert_claims_hold(&repository.inner, &ids).await, ids.len());
        let view = repository.check(true, None, &Stop::new()).await.unwrap();
        assert!(view.problems.is_empty(), "{:?}", view.problems);
    }
    let again = reopen(&cache).await;
    assert!(again.take_healed().is_empty(), "the damaged one is void");
    assert_eq!(assert_claims_hold(&again.inner, &ids).await, ids.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn footers_swapped_in_a_segment_are_not_believed() {
    let (repository, cache) = fresh().await;
    back_up(&repository, "a", &some_tar(56)).await.unwrap();
    let ids = ids_in(&repository.inner, &cache).await;
    let key = cache.list("i/").await.unwrap().remove(0).key;
    let directory = repository.inner.read_directory(&key).await.unwrap();
    let good = cache.get(&key).await.unwrap();
    drop(repository);
    assert!(directory.packs.len() >= 2, "a data pack and a metadata pack");
    let (first, second) = (&directory.packs[0], &directory.packs[1]);
    let part = |listed: &crate::segment::Listed| {
        good.slice(listed.offset as usize..(listed.offset + listed.length) as usize).to_vec()
    };
    let rest = good.slice((second.offset + second.length) as usize..).to_vec();
    let swapped = [part(second), part(first), rest].concat();
    cache.put(&key, swapped.into(), PutMode::Replace).await.unwrap();
    let again = reopen(&cache).await;
    assert!(again.take_healed().iter().any(|problem| problem.code == "object.corrupt"));
    assert_eq!(assert_claims_hold(&again.inner, &ids).await, ids.len());
}

#[derive(Clone, Debug)]
enum Deed {
    Store(Vec<(u8, Option<u8>)>),
    List,
    Vanish(usize),
    Return(usize),
    Forget(usize),
    Look(u8),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let row = (0u8..40, prop::option::of(0u8..40));
    let deed = prop_oneof![
        4 => prop::collection::vec(row, 1..12).prop_map(Deed::Store),
        1 => Just(Deed::List),
        2 => (0usize..16).prop_map(Deed::Vanish),
        1 => (0usize..16).prop_map(Deed::Return),
        1 => (0usize..16).prop_map(Deed::Forget),
        6 => (0u8..40).prop_map(Deed::Look),
    ];
    prop::collection::vec(deed, 1..60)
}

fn id(byte: u8) -> ChunkId {
    // Keyed hashes differ everywhere; these differ late, so that a narrow table takes them for one another.
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(u64::from(byte).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2).to_be_bytes());
    id[31] = byte;
    ChunkId(id)
}

/// A pack with made-up chunks, entered as the press does it.
async fn store_pack(inner: &Arc<Inner>, rows: &[(u8, Option<u8>)]) -> (PackNo, Vec<Row>) {
    let mut builder = pack::Builder::new(PackKind::Data);
    for (byte, base) in rows {
        let sealed = vec![*byte; 5 + *byte as usize];
        let length = 100 + u32::from(*byte);
        let row = Row { kind: ChunkKind::Data, id: id(*byte), length, sealed: sealed.len() as u32, base: base.map(id) };
        builder.push(row, &sealed, 1000);
    }
    let pack = builder.finish(Envelope::new(&inner.keys, inner.id)).unwrap();
    let name = PackName { kind: pack.kind, id: pack.id, size: pack.bytes.len() as u64 };
    inner.cache.put(&layout::pack_key(name.kind, &name.id), pack.bytes, PutMode::Once).await.unwrap();
    inner.write().enter_stored(name, &pack.rows, pack.footer, 0);
    let number = inner.read().index.number(&name.id).unwrap();
    (number, pack.rows)
}

/// Table, rows and tiers against a plain map.
async fn play(width: u32, deeds: Vec<Deed>) {
    let (repository, _) = fresh().await;
    let inner = &repository.inner;
    inner.write().index = Index::with_width(width);
    let mut packs: Vec<(PackNo, Vec<Row>, bool)> = Vec::new();
    for deed in deeds {
        match deed {
            Deed::Store(rows) => {
                let (number, rows) = store_pack(inner, &rows).await;
                packs.push((number, rows, false));
            }
            Deed::List => drop(inner.list_packs().await.unwrap()),
            Deed::Vanish(at) | Deed::Return(at) => {
                let cached = matches!(deed, Deed::Return(_));
                if let Some((number, _, false)) = packs.get(at) {
                    inner.write().index.set_cached(*number, cached);
                }
            }
            Deed::Forget(at) => {
                if let Some((number, _, gone)) = packs.get_mut(at) {
                    let mut state = inner.write();
                    state.unlisted.remove(number);
                    state.index.forget(&[*number]);
                    *gone = true;
                }
            }
            Deed::Look(byte) => assert_told(inner, &packs, byte).await,
        }
    }
    for byte in 0..40 {
        assert_told(inner, &packs, byte).await;
    }
}

async fn assert_told(inner: &Arc<Inner>, packs: &[(PackNo, Vec<Row>, bool)], byte: u8) {
    let mut places = BTreeMap::new();
    let present = |number: &PackNo| inner.read().index.pack(*number).present();
    let there = packs.iter().filter(|(number, ..)| present(number)).flat_map(|(_, rows, _)| rows);
    let whole: Vec<ChunkId> = there.filter(|row| row.base.is_none()).map(|row| row.id).collect();
    for (number, rows, _) in packs {
        let info = inner.read().index.pack(*number).clone();
        let mut offset = pack::HEADER;
        for row in rows {
            // What leans on a chunk that is not there whole is not there either.
            let leans_well = row.base.is_none_or(|base| whole.contains(&base));
            if row.id == id(byte) && info.present() && leans_well {
                places.insert((info.name.id, offset), (row.length, row.sealed, row.base));
            }
            offset += row.sealed;
        }
    }
    let told = inner.finder.seek(&id(byte)).await;
    let told = told.map(|f| ((f.placed.pack, f.placed.offset), (f.placed.length, f.placed.sealed, f.base)));
    assert_eq!(told, places.first_key_value().map(|(at, what)| (*at, *what)), "the smallest place, or none");
    let blocking = Arc::clone(inner);
    let found = tokio::task::spawn_blocking(move || blocking.finder.find(&id(byte))).await.unwrap();
    assert_eq!(found.map(|f| (f.placed.pack, f.placed.offset)), told.map(|told| told.0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_index_tells_the_smallest_present_place_whatever_collides(
        width in prop_oneof![Just(1u32), Just(4), Just(36)],
        deeds in deeds(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(play(width, deeds));
    }
}
