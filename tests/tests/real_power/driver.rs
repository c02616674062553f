//! The one whose power goes: backs up, commits, acknowledges, now and then forgets and prunes, until it is ended.

use crate::ledger::Ledger;
use futures::{StreamExt, stream};
use holdfast_catalog::Catalog;
use holdfast_model::{
    Kind, Moment, RepositoryId, Result, SnapshotId,
    policy::Consistency,
    snapshot::{EngineInfo, FORMAT, Fidelity, RawJson, Snapshot, Stats, StreamRef, Trigger, VolumeSection},
    view::From,
};
use holdfast_repository::{Meter, Parts, Repository, StreamKind, Unlock};
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::DirStore;
use holdfast_tar::write::{self, Entry};
use std::{path::Path, sync::Arc};

const DEVICE: [u8; 32] = [7; 32];
/// Snapshots that are kept before the older half is forgotten.
const KEPT: usize = 8;

/// Counts nothing.
pub(crate) struct Quiet;

impl Meter for Quiet {
    fn moved(&self, _: u64) {}
    fn stored(&self, _: u64) {}
    fn known(&self, _: u64) {}
}

/// Not a test of its own: the driver, when the environment says so.
#[test]
fn role() {
    let Some(data) = std::env::var_os("HOLDFAST_POWER_DRIVER") else { return };
    let ledger = Ledger::open(Path::new(&std::env::var_os("HOLDFAST_POWER_LEDGER").expect("a ledger is given")));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(drive(Path::new(&data), &ledger)).expect("nothing fails on a sound disk");
}

async fn drive(data: &Path, ledger: &Ledger) -> Result<()> {
    let repository = open(data).await?;
    let mut number = ledger.snapshots().map(|(_, number)| number + 1).max().unwrap_or(0);
    loop {
        let snapshot = back_up(&repository, number).await?;
        ledger.append(&format!("ack {} {number}", snapshot.id));
        number += 1;
        let held: Vec<String> = ledger.read().snapshots().map(|(id, _)| id.clone()).collect();
        if held.len() > KEPT {
            let old = &held[..KEPT / 2];
            old.iter().for_each(|id| ledger.append(&format!("forget {id}")));
            let ids = old.iter().map(|id| id.parse()).collect::<Result<Vec<SnapshotId>>>()?;
            prune(&repository, ids).await?;
        }
    }
}

/// Forgets snapshots and frees what nothing needs then.
pub(crate) async fn prune(repository: &Repository, ids: Vec<SnapshotId>) -> Result<()> {
    let plan = repository.prune_plan(ids).await?;
    let outcome = repository.prune(plan, &Stop::new()).await?;
    assert!(outcome.problems.is_empty(), "prune: {:?}", outcome.problems);
    Ok(())
}

/// Opens the repository of a folder or makes it, with everything as the appliance has it.
pub(crate) async fn open(data: &Path) -> Result<Repository> {
    std::fs::create_dir_all(data).expect("the data folder can be made");
    let parts = || {
        let (catalog, _) = Catalog::open(&data.join("catalog"))?;
        let cache = Arc::new(DirStore::open(data.join("cache"))?);
        Ok(Parts { cache, catalog: Arc::new(catalog), clock: Clock::system() })
    };
    match Repository::open(parts()?, Unlock::Device(DEVICE)).await {
        Err(error) if error.kind() == Kind::NotFound => Repository::create(parts()?, DEVICE).await,
        other => other,
    }
}

/// Backs the content of a number up.
pub(crate) async fn back_up(repository: &Repository, number: u64) -> Result<Snapshot> {
    let session = repository.session();
    let pieces: Vec<_> = content(number).chunks(50_000).map(|piece| Ok(piece.to_vec().into())).collect();
    let stored = session.store(StreamKind::Tar, stream::iter(pieces).boxed(), Arc::new(Quiet)).await?;
    session.commit(snapshot(number, stored)).await
}

/// All bytes of a snapshot's only stream.
pub(crate) async fn read(repository: &Repository, snapshot: &Snapshot) -> Result<Vec<u8>> {
    let stored = snapshot.streams().next().expect("a snapshot has a stream");
    let mut bytes = Vec::new();
    let mut pieces = repository.read(stored, From::Auto, None);
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

fn snapshot(number: u64, stored: StreamRef) -> Snapshot {
    let at = Moment::from_millis(1_795_000_000_000 + number.cast_signed() * 1000);
    let volume = VolumeSection {
        name: "data".into(),
        anonymous: false,
        inspect: RawJson("{}".into()),
        stream: Some(stored),
        fidelity: Fidelity::Api,
    };
    Snapshot {
        format: FORMAT,
        id: SnapshotId::new(at, holdfast_runtime::random()),
        repository: RepositoryId([0; 16]),
        sequence: 0,
        parent: None,
        app: format!("app-{number}"),
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
        volumes: vec![volume],
        binds: Vec::new(),
        networks: Vec::new(),
        databases: Vec::new(),
        problems: Vec::new(),
        stats: Stats::default(),
    }
}

/// A tar as an app would give it the `number`th time: small files of which some change, a database of which some pages
/// do, a file that grows, a hole. The same number gives the same bytes.
pub(crate) fn content(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for file in 0..24u64 {
        let version = if file % 6 == number % 6 { number } else { file };
        put(&mut out, &format!("data/small-{file}"), &noise(version * 31 + file, 300 + 150 * file as usize));
    }
    let mut database = b"SQLite format 3\0".to_vec();
    database.extend(noise(1, 256 * 1024 - 16));
    for age in 0..3 {
        let page = noise(number.saturating_sub(age), 4096);
        let place = (number.saturating_sub(age) as usize * 7 % 63 + 1) * 4096;
        database[place..place + 4096].copy_from_slice(&page);
    }
    put(&mut out, "data/database", &database);
    let mut grown = noise(2, 64 * 1024);
    grown.extend(vec![0; 128 * 1024]);
    grown.extend(noise(3, 1000 * (number as usize % 50)));
    put(&mut out, "data/grows", &grown);
    out.extend_from_slice(&write::TRAILER);
    out
}

fn put(out: &mut Vec<u8>, path: &str, bytes: &[u8]) {
    let size = bytes.len() as u64;
    out.extend(Entry::file(path.as_bytes(), size).header().expect("a plain name can be written"));
    out.extend_from_slice(bytes);
    out.extend_from_slice(write::padding(size));
}

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
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
