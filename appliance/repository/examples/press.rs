//! How fast folders are stored, how small, and where the time goes:
//! `cargo run --release -p holdfast-repository --example press -- FOLDER [LATER-STATE-OF-IT …]`.
//!
//! Each folder is stored as a tar after the one before it, into a repository in a temporary folder. `bare` is the same
//! work without a repository, on one thread: reading, cutting, naming, compressing, sealing.

use bytes::Bytes;
use futures::StreamExt;
use holdfast_catalog::Catalog;
use holdfast_chunk::{ChunkKind, Cutter, Keys, RootKey, Sealer, cut::Sizes};
use holdfast_model::{
    Moment, RepositoryId, SnapshotId,
    policy::Consistency,
    snapshot::{EngineInfo, FORMAT, Fidelity, RawJson, Snapshot, Stats, StreamRef, Trigger, VolumeSection},
};
use holdfast_repository::{Meter, Parts, Repository, StreamKind};
use holdfast_runtime::Clock;
use holdfast_storage::DirStore;
use holdfast_tar::write::{Entry, TRAILER, padding};
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Read at once, bytes.
const PIECE: usize = 1 << 20;

struct Quiet;

impl Meter for Quiet {
    fn moved(&self, _bytes: u64) {}
    fn stored(&self, _sealed: u64) {}
    fn known(&self, _bytes: u64) {}
}

fn files(folder: &Path, all: &mut Vec<(PathBuf, u64)>) -> Outcome<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files(&entry.path(), all)?;
        } else if kind.is_file() {
            all.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(())
}

/// Seconds of CPU that this process has taken.
fn cpu() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn told(what: &str, bytes: u64, start: (Instant, f64)) {
    let (wall, cpu) = (start.0.elapsed().as_secs_f64(), cpu() - start.1);
    let (mb, gb) = (bytes as f64 / 1e6, bytes as f64 / 1e9);
    println!("{what:24} {mb:8.1} MB in {wall:6.2} s: {:6.0} MB/s, {:5.2} CPU s/GB", mb / wall, cpu / gb);
}

fn bare(all: &[(PathBuf, u64)]) -> Outcome<()> {
    let keys = Keys::derive(&RootKey::generate());
    let (mut sealer, mut out) = (Sealer::new(3)?, Vec::new());
    let (start, mut total, mut sealed) = ((Instant::now(), cpu()), 0, 0);
    for (path, size) in all {
        let (bytes, cutter) = (fs::read(path)?, Cutter::new(&keys, Sizes::of_file(*size)));
        let mut rest = &bytes[..];
        while let Some(length) = cutter.next(rest, true) {
            let (plain, later) = rest.split_at(length);
            let id = keys.chunk_id(ChunkKind::Data, plain);
            out.clear();
            sealed += sealer.seal(&keys, (ChunkKind::Data, &id), plain, None, &mut out)?.length;
            rest = later;
        }
        total += bytes.len() as u64;
    }
    told("bare, one thread", total, start);
    println!("{:24} {:8.1} MB sealed", "", sealed as f64 / 1e6);
    Ok(())
}

/// The folder as a tar; names are relative to it.
fn tar(folder: PathBuf, all: Vec<(PathBuf, u64)>) -> holdfast_repository::ByteStream {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        for (path, _) in all {
            let name = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().into_owned();
            let Ok(bytes) = fs::read(&path) else { continue };
            let Ok(header) = Entry::file(name.as_bytes(), bytes.len() as u64).header() else { continue };
            let tail = Bytes::from_static(padding(bytes.len() as u64));
            let mut bytes = Bytes::from(bytes);
            let _ = sender.blocking_send(Ok(Bytes::from(header)));
            while !bytes.is_empty() {
                let _ = sender.blocking_send(Ok(bytes.split_to(bytes.len().min(PIECE))));
            }
            let _ = sender.blocking_send(Ok(tail));
        }
        let _ = sender.blocking_send(Ok(Bytes::from_static(&TRAILER)));
    });
    futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) }).boxed()
}

fn snapshot(stream: StreamRef) -> Snapshot {
    let volume = VolumeSection {
        name: "folder".into(),
        anonymous: false,
        inspect: RawJson("{}".into()),
        stream: Some(stream),
        fidelity: Fidelity::Api,
    };
    Snapshot {
        format: FORMAT,
        id: SnapshotId::new(Moment::from_millis(0), holdfast_runtime::random()),
        repository: RepositoryId([0; 16]),
        sequence: 0,
        parent: None,
        app: "folder".into(),
        project: false,
        host: "local".into(),
        engine: EngineInfo::default(),
        time: Moment::from_millis(0),
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

#[tokio::main]
async fn main() -> Outcome<()> {
    let folders: Vec<PathBuf> = std::env::args().skip(1).map(PathBuf::from).collect();
    let place = std::env::temp_dir().join(format!("holdfast-press-{}", std::process::id()));
    fs::create_dir_all(&place)?;
    let parts = Parts {
        cache: Arc::new(DirStore::open(&place)?),
        catalog: Arc::new(Catalog::in_memory()),
        clock: Clock::manual(Moment::from_millis(0)),
    };
    let repository = Repository::create(parts, [7; 32]).await?;
    let mut parent: Option<StreamRef> = None;
    for folder in folders {
        let mut all = Vec::new();
        files(&folder, &mut all)?;
        println!("{}: {} files", folder.display(), all.len());
        bare(&all)?;
        let (session, start) = (repository.session(), (Instant::now(), cpu()));
        let source = tar(folder, all);
        let stream = session.store_after(parent.as_ref(), StreamKind::Tar, source, Arc::new(Quiet)).await?;
        let length = stream.length;
        let written = session.commit(snapshot(stream)).await?;
        told("stored", length, start);
        println!("{:24} {:8.2} MB new", "", written.stats.bytes_new as f64 / 1e6);
        println!("{:#?}", repository.stages());
        parent = written.volumes.into_iter().find_map(|volume| volume.stream);
    }
    fs::remove_dir_all(&place)?;
    Ok(())
}
