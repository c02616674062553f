//! A bucket as an appliance fills it, looked at as its provider does: every name and head that the repository writes is known to the
//! scrub, which has the format written down once more.

use futures::{StreamExt, stream};
use holdfast_catalog::Catalog;
use holdfast_chunk::escrow::PrivateKey;
use holdfast_model::{
    Moment, RepositoryId, SnapshotId,
    policy::Consistency,
    settings::Settings,
    snapshot::{BindSection, EngineInfo, FORMAT, Fidelity, Snapshot, Stats, Trigger},
};
use holdfast_provider::{ScrubRequest, ScrubView, scrub};
use holdfast_repository::{Meter, Parts, Repository, StreamKind};
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::{MemStore, PutMode, Store};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};

const DEVICE: [u8; 32] = [7; 32];

struct Silent;

impl Meter for Silent {
    fn moved(&self, _: u64) {}
    fn stored(&self, _: u64) {}
    fn known(&self, _: u64) {}
}

fn parts() -> Parts {
    let clock = Clock::manual(Moment::from_millis(1_795_000_000_000));
    Parts { cache: Arc::new(MemStore::new()), catalog: Arc::new(Catalog::in_memory()), clock }
}

/// Noise, so that each backup has packs of its own.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..50_000).flat_map(|_| next()).collect()
}

async fn back_up(repository: &Repository, seed: u64) -> SnapshotId {
    let session = repository.session();
    let bytes = stream::iter([Ok(noise(seed).into())]).boxed();
    let stream = session.store(StreamKind::Bytes, bytes, Arc::new(Silent)).await.expect("it works");
    let time = Moment::from_millis(1_795_000_000_000).plus_seconds(i64::try_from(seed).expect("it works"));
    let text = json!({
        "format": FORMAT, "id": SnapshotId::new(time, holdfast_runtime::random()), "repository": RepositoryId([0; 16]),
        "sequence": 0, "app": "shop", "project": true, "host": "local", "engine": EngineInfo::default(), "time": time,
        "trigger": Trigger::Manual, "consistency": Consistency::None, "fidelity": Fidelity::Full, "containers": [],
        "images": [], "volumes": [], "binds": [], "networks": [], "problems": [], "stats": Stats::default(),
    });
    let mut snapshot: Snapshot = serde_json::from_value(text).expect("it works");
    let fidelity = Fidelity::Full;
    snapshot.binds = vec![BindSection { source: "/etc/app".into(), directory: false, stream: Some(stream), fidelity }];
    session.commit(snapshot).await.expect("it works").id
}

async fn ship(repository: &Repository, bucket: &Arc<MemStore>) {
    for item in repository.to_ship() {
        let bytes = repository.ship_bytes(&item.key).await.expect("it works");
        bucket.put(&item.key, bytes, PutMode::Replace).await.expect("it works");
        repository.acknowledged(&item.key, item.size).await.expect("it works");
    }
}

async fn save(repository: &Repository, generation: u64) {
    repository.save_settings(&Settings { generation, ..Settings::default() }).await.expect("it works");
}

/// Everything that a bucket can hold: two key epochs, an escrow key, a prune under way, a second appliance that took over.
async fn filled() -> Arc<MemStore> {
    let bucket = Arc::new(MemStore::new());
    let repository = Repository::create(parts(), DEVICE).await.expect("it works");
    repository.attach_bucket(bucket.clone()).await.expect("it works");
    repository.add_escrow("notary", &PrivateKey::generate().public()).await.expect("it works");
    save(&repository, 1).await;
    let first = back_up(&repository, 1).await;
    back_up(&repository, 2).await;
    ship(&repository, &bucket).await;
    repository.rotate_epoch(&DEVICE).await.expect("it works");
    save(&repository, 2).await;
    ship(&repository, &bucket).await;
    let plan = repository.prune_plan(vec![first]).await.expect("it works");
    assert!(!plan.packs.is_empty(), "the first snapshot has packs of its own");
    repository.prune(plan, &Stop::new()).await.expect("it works");
    ship(&repository, &bucket).await;
    Repository::recover(parts(), bucket.clone(), repository.recovery_key(), [8; 32]).await.expect("it works");
    bucket
}

async fn scrubbed(bucket: &MemStore) -> ScrubView {
    scrub(bucket, ScrubRequest { percent: 100, day: 0, bytes_per_second: None }, |_, _| {}).await.expect("it works")
}

#[tokio::test]
async fn everything_that_an_appliance_writes_is_known_to_its_provider() {
    let bucket = filled().await;
    let view = scrubbed(&bucket).await;
    assert!(view.problems.is_empty() && view.foreign == 0, "{:#?}", view.problems);
    let there: BTreeSet<&str> = view.classes.iter().map(|line| line.class.as_str()).collect();
    let expected = [
        "format",
        "key slots",
        "data packs",
        "metadata packs",
        "index segments",
        "reach lists",
        "snapshots",
        "settings",
        "tombstones",
        "condemn lists",
        "fences",
    ];
    assert_eq!(there, BTreeSet::from(expected));
    for line in &view.classes {
        assert_eq!((line.objects, line.wrong), (line.verified, 0), "{line:?}");
    }
}

#[tokio::test]
async fn one_turned_byte_of_a_pack_is_found() {
    let bucket = filled().await;
    let pack = bucket.list("p/").await.expect("it works").remove(0);
    let mut bytes = bucket.get(&pack.key).await.expect("it works").to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bucket.put(&pack.key, bytes.into(), PutMode::Replace).await.expect("it works");
    let view = scrubbed(&bucket).await;
    let found: Vec<_> = view.problems.iter().map(|problem| (problem.code.as_str(), &problem.subject)).collect();
    assert_eq!(found, [("scrub.damaged", &pack.key)]);
}
