//! What all parts of the torture stand on: small data, backups, shipping, reading, a count of panics.

use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_catalog::{Catalog, Table};
use holdfast_model::{
    Error, Moment, RepositoryId, Result, SnapshotId,
    policy::Consistency,
    snapshot::{EngineInfo, Fidelity, RawJson, Snapshot, Stats, StreamRef, Trigger, VolumeSection},
    view::From,
};
use holdfast_repository::{
    ByteStream, Meter, Parts, PruneOutcome, RecoveryKey, Repository, Session, StreamKind, Unlock,
};
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::{
    DirStore, PutMode, Store,
    sim::{Dice, SimDisk},
};
use holdfast_tar::write::{self, Entry};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Once,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

pub(crate) const DEVICE: [u8; 32] = [7; 32];
pub(crate) const CACHE: &str = "/data/cache";

/// Panics in this process since the first call, but for those of the tests themselves.
pub(crate) fn panics() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.location().is_none_or(|place| !place.file().contains("tests/torture")) {
                COUNT.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
    COUNT.load(Ordering::SeqCst)
}

/// What went wrong, each kind once with its first place and a count.
#[derive(Default)]
pub(crate) struct Failures(BTreeMap<String, (u64, String)>);

impl Failures {
    /// Two failures are of one kind if they differ in names and numbers only.
    pub(crate) fn add(&mut self, text: String) {
        let is_name = |word: &str| word.chars().any(|c| c.is_ascii_digit()) || word.len() > 20;
        let what = text.split(" [event").next().unwrap_or_default();
        let kind: Vec<&str> = what.split([' ', '/']).filter(|word| !is_name(word)).take(40).collect();
        let kind = kind.join(" ");
        if !self.0.contains_key(&kind) {
            // At once: a long search may be ended before it is through.
            println!("FAILED: {text}");
        }
        self.0.entry(kind).or_insert_with(|| (0, text)).0 += 1;
    }

    pub(crate) fn assert_none(&self) {
        for (count, first) in self.0.values() {
            println!("FAILED {count} times, first: {first}");
        }
        assert!(self.0.is_empty(), "{} kinds of failures", self.0.len());
    }
}

pub(crate) struct Silent;

impl Meter for Silent {
    fn moved(&self, _: u64) {}
    fn stored(&self, _: u64) {}
    fn known(&self, _: u64) {}
}

pub(crate) fn parts(cache: Arc<dyn Store>, catalog: Arc<Catalog>) -> Parts {
    Parts { cache, catalog, clock: Clock::manual(Moment::from_millis(1_795_000_000_000)) }
}

pub(crate) fn fresh_catalog() -> Arc<Catalog> {
    Arc::new(Catalog::in_memory())
}

/// What a catalog remembers, and a catalog that remembers it.
pub(crate) type Rows = Vec<(String, u64)>;

pub(crate) fn rows_of(catalog: &Catalog) -> Rows {
    catalog.list(Table::Packs, "")
}

pub(crate) fn catalog_of(rows: &Rows) -> Arc<Catalog> {
    let catalog = Catalog::in_memory();
    for (key, value) in rows {
        catalog.put(Table::Packs, key, value).unwrap();
    }
    Arc::new(catalog)
}

pub(crate) fn folder_on(disk: &SimDisk) -> Result<Arc<dyn Store>> {
    let disk: Arc<dyn holdfast_storage::disk::Disk> = Arc::new(disk.clone());
    Ok(Arc::new(DirStore::open_on(disk, Path::new(CACHE))?))
}

pub(crate) async fn open(cache: Arc<dyn Store>, catalog: Arc<Catalog>) -> Result<Repository> {
    Repository::open(parts(cache, catalog), Unlock::Device(DEVICE)).await
}

/// Text that compresses about four to one, from a seed.
pub(crate) fn text(seed: u64, length: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "backup ",
        "volume ",
        "chunk ",
        "pack ",
        "2026-11-26 ",
        "INFO ",
        "served ",
        "status=200 ",
        "user ",
        "order ",
        "total ",
        "\n",
        "customer ",
        "0x7f ",
        "warning ",
        "row ",
    ];
    let mut dice = Dice::new(seed);
    let mut bytes = Vec::with_capacity(length + 16);
    while bytes.len() < length {
        bytes.extend_from_slice(WORDS[dice.below(16) as usize].as_bytes());
        if dice.below(4) == 0 {
            bytes.extend_from_slice(&dice.throw().to_le_bytes());
        }
    }
    bytes.truncate(length);
    bytes
}

/// The files of an app at some time; equal seeds give equal files.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub(crate) small: u64,
    pub(crate) large: u64,
    pub(crate) paged: u64,
}

impl Data {
    /// As a tar: small files, one large, one page-structured, one with a hole.
    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut files: Vec<(String, Vec<u8>)> =
            (0..9).map(|n| (format!("v/small-{n}"), text(self.small / 3 + n * 1000, 100 + 157 * n as usize))).collect();
        files.push(("v/data/large".into(), text(self.large ^ 0xabc, 40_000)));
        let mut holed = vec![0; 200_000];
        holed[..64].copy_from_slice(&text(self.small, 64));
        files.push(("v/data/holed".into(), holed));
        let mut pages = text(99, 3 * 65_536);
        pages[..16].copy_from_slice(b"SQLite format 3\0");
        pages[70_000..70_200].copy_from_slice(&text(self.paged, 200));
        files.push(("v/pages".into(), pages));
        tar(&files)
    }
}

pub(crate) fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, bytes) in files {
        out.extend_from_slice(&Entry::file(path.as_bytes(), bytes.len() as u64).header().unwrap());
        out.extend_from_slice(bytes);
        out.extend_from_slice(write::padding(bytes.len() as u64));
    }
    out.extend_from_slice(&write::TRAILER);
    out
}

pub(crate) fn pieces(bytes: &Bytes) -> ByteStream {
    let bytes = bytes.clone();
    let places = (0..bytes.len()).step_by(70_001);
    stream::iter(places).map(move |at| Ok(bytes.slice(at..bytes.len().min(at + 70_001)))).boxed()
}

pub(crate) async fn put(session: &Session, bytes: &Bytes) -> Result<StreamRef> {
    session.store(StreamKind::Tar, pieces(bytes), Arc::new(Silent)).await
}

/// A snapshot of one volume; ids are told before the commit, so that one cut off in it can be judged.
pub(crate) fn draft(app: &str) -> Snapshot {
    static COUNT: AtomicI64 = AtomicI64::new(0);
    let at = Moment::from_millis(1_795_000_000_000 + COUNT.fetch_add(1, Ordering::SeqCst));
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
        volumes: Vec::new(),
        binds: Vec::new(),
        networks: Vec::new(),
        databases: Vec::new(),
        problems: Vec::new(),
        stats: Stats::default(),
    }
}

pub(crate) async fn back_up(repository: &Repository, draft: Snapshot, bytes: &Bytes) -> Result<Snapshot> {
    let session = repository.session();
    let stream = put(&session, bytes).await?;
    let mut snapshot = draft;
    snapshot.volumes.push(VolumeSection {
        name: "volume".into(),
        anonymous: false,
        inspect: RawJson("{}".into()),
        stream: Some(stream),
        fidelity: Fidelity::Api,
    });
    session.commit(snapshot).await
}

pub(crate) async fn read_all(repository: &Repository, snapshot: &Snapshot, from: From) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut pieces = repository.read(snapshot.volumes[0].stream.as_ref().unwrap(), from, None);
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

/// Forgets and prunes; `at_once` lets no grace pass in the bucket.
pub(crate) async fn prune(repository: &Repository, forget: Vec<SnapshotId>, at_once: bool) -> Result<PruneOutcome> {
    let mut plan = repository.prune_plan(forget).await?;
    if at_once {
        plan.grace_seconds = 0;
    }
    repository.prune(plan, &Stop::new()).await
}

/// Recovers with the first of these kits that the bucket takes.
pub(crate) async fn recover(
    cache: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    bucket: Arc<dyn Store>,
    kits: &[[u8; 32]],
) -> Result<Repository> {
    let mut last = Error::not_found("kit.none", "there is no kit");
    for kit in kits {
        let parts = parts(Arc::clone(&cache), Arc::clone(&catalog));
        match Repository::recover(parts, Arc::clone(&bucket), RecoveryKey(*kit), DEVICE).await {
            Ok(repository) => return Ok(repository),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Ships at most `most` objects in the order given; the answer is whether everything arrived.
pub(crate) async fn ship(repository: &Repository, bucket: &dyn Store, most: usize) -> Result<bool> {
    let items = repository.to_ship();
    let all = items.len() <= most;
    for item in items.into_iter().take(most) {
        let bytes = repository.ship_bytes(&item.key).await?;
        bucket.put(&item.key, bytes, PutMode::Once).await?;
        repository.acknowledged(&item.key, item.size).await?;
    }
    Ok(all)
}
