//! A repository in a plain folder that keeps folders of this machine: the engine under the mover, without Docker.

use crate::folder_tree::{FolderTree, problem};
use bytes::{Buf, Bytes};
use futures::StreamExt;
use holdfast_catalog::Catalog;
use holdfast_model::{
    Error, Problem, RepositoryId, Result, SnapshotId,
    policy::Consistency,
    snapshot::{EngineInfo, FORMAT, Fidelity, RawJson, Snapshot, Stats, StreamRef, Trigger, VolumeSection},
    view::From,
};
use holdfast_mover::{Archive, Options, Rights, Time, Writer};
use holdfast_repository::{ByteStream, Meter, Parts, Repository, Unlock};
use holdfast_runtime::Clock;
use holdfast_storage::{Counting, DirStore, Store};
use holdfast_tree::Tree;
use std::{
    io::{self, Read},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::runtime::Handle;

/// No secret: whoever has the folder has the key.
const KEY: [u8; 32] = [7; 32];

/// Bytes as they move.
#[derive(Debug, Default)]
pub struct Numbers {
    /// Bytes from the source, or to the reader.
    pub moved: AtomicU64,
    /// Sealed bytes stored.
    pub stored: AtomicU64,
    /// Bytes known.
    pub known: AtomicU64,
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

/// A repository in a folder.
pub struct FolderRepository {
    /// The repository.
    pub repository: Repository,
    /// Counts what is asked of the store.
    pub store: Arc<Counting>,
    clock: Clock,
}

/// What a backup came to.
pub struct BackedUp {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What moved.
    pub numbers: Arc<Numbers>,
}

impl FolderRepository {
    /// Opens the repository of a folder, or makes one.
    pub async fn open(folder: &Path) -> Result<FolderRepository> {
        FolderRepository::open_at(folder, Clock::system()).await
    }

    /// The same with another clock.
    pub async fn open_at(folder: &Path, clock: Clock) -> Result<FolderRepository> {
        let is_new = !folder.join("cache/format").exists();
        let store = Arc::new(Counting::new(Arc::new(DirStore::open(folder.join("cache"))?)));
        let (catalog, _) = Catalog::open(&folder.join("catalog"))?;
        let cache = Arc::clone(&store) as Arc<dyn Store>;
        let parts = Parts { cache, catalog: Arc::new(catalog), clock: clock.clone() };
        let repository = if is_new {
            Repository::create(parts, KEY).await?
        } else {
            Repository::open(parts, Unlock::Device(KEY)).await?
        };
        Ok(FolderRepository { repository, store, clock })
    }

    /// Backs a folder up; its last snapshot is the parent.
    pub async fn back_up(&self, folder: &Path) -> Result<BackedUp> {
        let unsettled_since = Some(Time { seconds: self.clock.now().millis() / 1000 - 2, nanos: 0 });
        let options = Options { unsettled_since, ..Options::default() };
        let tree = FolderTree::open(folder, b"", KEY, options)?;
        self.back_up_tree(&folder.display().to_string(), Box::new(tree)).await
    }

    /// Backs a tree up; the last snapshot of the app is its parent.
    pub async fn back_up_tree(&self, app: &str, tree: Box<dyn Tree>) -> Result<BackedUp> {
        let began = self.clock.now();
        let parent = self.repository.snapshots().into_iter().rev().find(|entry| entry.snapshot.app == app);
        let parent_stream = parent.as_ref().and_then(|entry| entry.snapshot.streams().next().cloned());
        let session = self.repository.session();
        let numbers = Arc::new(Numbers::default());
        let meter = Arc::clone(&numbers) as Arc<dyn Meter>;
        let (stream, problems) = session.store_tree(parent_stream.as_ref(), tree, meter).await?;
        let mut snapshot = self.snapshot(app.to_owned(), stream, problems);
        snapshot.parent = parent.map(|entry| entry.snapshot.id.clone());
        snapshot.stats.bytes_read = numbers.moved.load(Ordering::Relaxed);
        snapshot.stats.duration_ms = u64::try_from(self.clock.now().millis() - began.millis()).unwrap_or(0);
        Ok(BackedUp { snapshot: session.commit(snapshot).await?, numbers })
    }

    /// Writes a snapshot into an empty folder: entries written, and what could not be restored as it was.
    pub async fn restore(&self, id: &str, folder: &Path) -> Result<(u64, Vec<Problem>)> {
        let entry = self.repository.snapshot(id)?;
        let stream =
            entry.snapshot.streams().next().ok_or_else(|| Error::invalid("snapshot.empty", "it has no stream"))?;
        write_stream(self.repository.read(stream, From::Auto, None), folder).await
    }

    fn snapshot(&self, app: String, stream: StreamRef, problems: Vec<Problem>) -> Snapshot {
        let time = self.clock.now();
        let volume = VolumeSection {
            name: "folder".into(),
            anonymous: false,
            inspect: RawJson("{}".into()),
            stream: Some(stream),
            fidelity: Fidelity::Full,
        };
        Snapshot {
            format: FORMAT,
            id: SnapshotId::new(time, holdfast_runtime::random()),
            repository: RepositoryId([0; 16]),
            sequence: 0,
            parent: None,
            app,
            project: false,
            host: "local".into(),
            engine: EngineInfo::default(),
            time,
            policy: None,
            trigger: Trigger::Manual,
            consistency: Consistency::None,
            fidelity: Fidelity::Full,
            containers: Vec::new(),
            images: Vec::new(),
            volumes: vec![volume],
            binds: Vec::new(),
            networks: Vec::new(),
            databases: Vec::new(),
            problems,
            stats: Stats::default(),
        }
    }
}

/// Writes a stored tree into an empty folder: entries written, and what could not be restored as it was.
pub async fn write_stream(bytes: ByteStream, folder: &Path) -> Result<(u64, Vec<Problem>)> {
    let (folder, runtime) = (folder.to_path_buf(), Handle::current());
    let written = tokio::task::spawn_blocking(move || write(&folder, Blocking { bytes, piece: Bytes::new(), runtime }));
    written.await.map_err(|error| Error::bug(error.to_string()))?
}

fn write(folder: &Path, bytes: Blocking) -> Result<(u64, Vec<Problem>)> {
    let troubles = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&troubles);
    let tell = move |trouble| told.lock().expect("no holder panics").push(problem(&trouble));
    let writer = Writer::open(folder, Rights::default(), Arc::new(tell))
        .map_err(|error| Error::io("open the folder to write into", error.into()))?;
    let written = writer
        .write(&mut Archive::new(bytes))
        .map_err(|broken| Error::invalid("tree.malformed", "the stored tree cannot be written").caused_by(broken))?;
    let troubles = std::mem::take(&mut *troubles.lock().expect("no holder panics"));
    Ok((written.entries, troubles))
}

/// A stream of the repository for a thread that may wait.
struct Blocking {
    bytes: ByteStream,
    piece: Bytes,
    runtime: Handle,
}

impl Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.bytes.next()) {
                Some(piece) => self.piece = piece.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let part = buffer.len().min(self.piece.len());
        buffer[..part].copy_from_slice(&self.piece[..part]);
        self.piece.advance(part);
        Ok(part)
    }
}
