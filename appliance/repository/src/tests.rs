//! Tests of the repository on stores in memory; helpers for all of them.

mod beside;
mod crash;
mod crowd;
mod damage;
mod delta;
mod evict;
mod fence;
mod format;
mod golden;
mod handover;
mod index;
mod keys;
mod lives;
mod locks;
mod losses;
mod outside;
mod proofs;
mod reading;
mod repack;
mod round;
mod scale;
mod schedules;
mod sections;
mod segments;
mod speed;
mod taken;
mod tiers;
mod trees;
mod undeleted;
mod unusable;
mod vast;

use crate::*;
use futures::{StreamExt, stream};
use holdfast_model::{
    policy::Consistency,
    snapshot::{EngineInfo, Fidelity, RawJson, Stats, Trigger, VolumeSection},
};
use holdfast_storage::{MemStore, PutMode};
use holdfast_tar::write::{self, Entry as TarEntry};
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const DEVICE: [u8; 32] = [7; 32];

#[derive(Default)]
pub(crate) struct Numbers {
    pub(crate) moved: AtomicU64,
    pub(crate) stored: AtomicU64,
    pub(crate) known: AtomicU64,
}

impl Meter for Numbers {
    fn moved(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
    }
    fn stored(&self, sealed: u64) {
        self.stored.fetch_add(sealed, Ordering::Relaxed);
    }
    fn known(&self, bytes: u64) {
        self.known.fetch_add(bytes, Ordering::Relaxed);
    }
}

pub(crate) fn parts(cache: Arc<dyn Store>) -> Parts {
    let clock = Clock::manual(Moment::from_millis(1_795_000_000_000));
    Parts { cache, catalog: Arc::new(Catalog::in_memory()), clock }
}

pub(crate) fn memory() -> Arc<dyn Store> {
    Arc::new(MemStore::new())
}

pub(crate) async fn fresh() -> (Repository, Arc<dyn Store>) {
    let cache = memory();
    (Repository::create(parts(Arc::clone(&cache)), DEVICE).await.unwrap(), cache)
}

pub(crate) async fn reopen(cache: &Arc<dyn Store>) -> Repository {
    Repository::open(parts(Arc::clone(cache)), Unlock::Device(DEVICE)).await.unwrap()
}

/// A deterministic stream of hard-to-compress bytes.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub(crate) fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, bytes) in files {
        out.extend_from_slice(&TarEntry::file(path.as_bytes(), bytes.len() as u64).header().unwrap());
        out.extend_from_slice(bytes);
        out.extend_from_slice(write::padding(bytes.len() as u64));
    }
    out.extend_from_slice(&[0; 1024]);
    out
}

/// Some files of all sorts: many small ones, large ones, holes.
pub(crate) fn some_tar(seed: u64) -> Vec<u8> {
    // Far apart, so that two of them share headers at most.
    let seed = seed * 1000;
    let small: Vec<String> = (0..60).map(|n| format!("v/dir/small-{n}")).collect();
    let mut files: Vec<(&str, Vec<u8>)> =
        small.iter().zip(0..).map(|(path, n)| (path.as_str(), noise(seed + n, 200 + 97 * n as usize))).collect();
    files.push(("v/large", noise(seed + 100, 3_000_000)));
    let mut holed = noise(seed + 101, 300_000);
    holed.extend(vec![0; 1_000_000]);
    holed.extend(noise(seed + 102, 100_000));
    files.push(("v/holed", holed));
    tar(&files)
}

pub(crate) fn pieces(bytes: &[u8], size: usize) -> ByteStream {
    let list: Vec<Result<Bytes>> = bytes.chunks(size.max(1)).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(list).boxed()
}

pub(crate) async fn put(session: &Session, kind: StreamKind, bytes: &[u8]) -> Result<StreamRef> {
    session.store(kind, pieces(bytes, 70_001), Arc::new(Numbers::default())).await
}

pub(crate) fn snapshot(app: &str, streams: Vec<StreamRef>) -> Snapshot {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let at = Moment::from_millis(1_795_000_000_000 + COUNT.fetch_add(1, Ordering::SeqCst) as i64);
    let volumes = streams
        .into_iter()
        .enumerate()
        .map(|(number, stream)| VolumeSection {
            name: format!("volume-{number}"),
            anonymous: false,
            inspect: RawJson("{}".into()),
            stream: Some(stream),
            fidelity: Fidelity::Api,
        })
        .collect();
    Snapshot {
        format: holdfast_model::snapshot::FORMAT,
        id: SnapshotId::new(at, holdfast_runtime::random()),
        repository: RepositoryId([0; 16]),
        sequence: 0,
        parent: None,
        app: app.into(),
        project: true,
        host: "local".into(),
        engine: EngineInfo::default(),
        time: at,
        policy: None,
        trigger: Trigger::Manual,
        consistency: Consistency::None,
        fidelity: Fidelity::Api,
        containers: Vec::new(),
        images: Vec::new(),
        volumes,
        binds: Vec::new(),
        networks: Vec::new(),
        databases: Vec::new(),
        problems: Vec::new(),
        stats: Stats::default(),
    }
}

/// Backs one tar up after another one.
pub(crate) async fn back_up_after(repository: &Repository, parent: &Snapshot, bytes: &[u8]) -> Result<Snapshot> {
    let session = repository.session();
    let meter = Arc::new(Numbers::default());
    let stream = session.store_after(Some(volume(parent)), StreamKind::Tar, pieces(bytes, 70_001), meter).await?;
    session.commit(snapshot(&parent.app, vec![stream])).await
}

/// Backs one tar up.
pub(crate) async fn back_up(repository: &Repository, app: &str, bytes: &[u8]) -> Result<Snapshot> {
    let session = repository.session();
    let stream = put(&session, StreamKind::Tar, bytes).await?;
    session.commit(snapshot(app, vec![stream])).await
}

pub(crate) async fn read_all(repository: &Repository, stream: &StreamRef, from: From) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut pieces = repository.read(stream, from, None);
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

pub(crate) fn volume(snapshot: &Snapshot) -> &StreamRef {
    snapshot.volumes[0].stream.as_ref().unwrap()
}

/// Ships everything in the order given, as the shipper does.
pub(crate) async fn ship(repository: &Repository, bucket: &Arc<dyn Store>) {
    for item in repository.to_ship() {
        let bytes = repository.ship_bytes(&item.key).await.unwrap();
        bucket.put(&item.key, bytes, PutMode::Once).await.unwrap();
        repository.acknowledged(&item.key, item.size).await.unwrap();
    }
}
