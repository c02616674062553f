//! Backups before a bucket, without Docker: repository, shipper and bucket client as they are, what was backed up, and a look at what
//! the bucket really holds by a client of its own.

use crate::folder_repository::Numbers;
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_catalog::Catalog;
use holdfast_cloud_sync::{Line, Shipper};
use holdfast_model::{
    RepositoryId, Result, Secret, SnapshotId,
    bucket::{BucketUrl, Credentials, S3Place},
    policy::Consistency,
    settings::BucketSettings,
    snapshot::{BindSection, EngineInfo, FORMAT, Fidelity, Snapshot, Stats, StreamRef, Trigger},
    view::{CloudState, From},
};
use holdfast_repository::{ByteStream, Parts, RecoveryKey, Repository, StreamKind};
use holdfast_runtime::{Clock, Stop, random};
use holdfast_s3::{Admin, Patience, Reach, S3Store};
use holdfast_storage::{MemStore, PutMode, Store};
use holdfast_tar::write;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

/// No secret: it opens the slot of the device.
pub const DEVICE: [u8; 32] = [7; 32];
/// Bytes of a file in a tree: small enough to travel in a bundle, whose chunks are small.
const FILE: usize = 24 << 10;
/// Of so many files one is new in each version of a tree.
const CHANGED: u64 = 6;
/// Times that a server which does not answer is asked for an object again.
const TRIES: u32 = 60;
/// Objects removed at once.
const AT_ONCE: usize = 8;

/// A bucket at a server, or what lies there below a prefix, and the keys to it.
#[derive(Clone)]
pub struct Place {
    /// `http://ADDRESS:PORT`.
    pub endpoint: String,
    /// Access key.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Prefix of all keys; empty for none.
    pub prefix: String,
}

impl Place {
    /// The real S3 server of this run, or `None` with a line that says so. There is no bucket yet.
    pub fn real(test: &str) -> Option<Place> {
        let read = |what: &str| std::env::var(format!("HOLDFAST_TEST_SEAWEED_{what}")).ok();
        let (Some(endpoint), Some(access), Some(secret)) = (read("ENDPOINT"), read("ACCESS_KEY"), read("SECRET_KEY"))
        else {
            eprintln!("{test}: SKIPPED, it needs HOLDFAST_TEST_SEAWEED_ENDPOINT, _ACCESS_KEY and _SECRET_KEY");
            return None;
        };
        Some(Place::at(&endpoint, &access, &secret))
    }

    /// A server, without a bucket yet.
    pub fn at(endpoint: &str, access_key: &str, secret_key: &str) -> Place {
        Place {
            endpoint: endpoint.to_owned(),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            bucket: String::new(),
            prefix: String::new(),
        }
    }

    /// With a new bucket.
    pub async fn with_bucket(&self, what: &str) -> Place {
        let made = Place { bucket: format!("holdfast-{what}-{}", hex::encode(random::<5>())), ..self.clone() };
        made.admin().create_bucket(&made.bucket, false).await.expect("a bucket can be made");
        made
    }

    /// What lies below a prefix.
    #[must_use]
    pub fn below(&self, prefix: &str) -> Place {
        Place { prefix: prefix.to_owned(), ..self.clone() }
    }

    /// The same by way of another endpoint.
    #[must_use]
    pub fn by(&self, endpoint: &str) -> Place {
        Place { endpoint: endpoint.to_owned(), ..self.clone() }
    }

    fn credentials(&self) -> Credentials {
        Credentials {
            access_key: self.access_key.clone(),
            secret_key: Secret::new(self.secret_key.clone()),
            session_token: None,
        }
    }

    fn admin(&self) -> Admin {
        let reach = Reach {
            endpoint: Some(self.endpoint.clone()),
            region: "us-east-1".into(),
            path_style: true,
            credentials: self.credentials(),
            ca: None,
            proxy: None,
        };
        Admin::open(&reach).expect("a client")
    }

    /// How it is reached.
    pub fn settings(&self) -> BucketSettings {
        let place = S3Place {
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone(),
            endpoint: Some(self.endpoint.clone()),
            region: "us-east-1".into(),
            path_style: true,
            ca: None,
            proxy: None,
            class: None,
        };
        let credentials = Some(self.credentials());
        BucketSettings { url: BucketUrl::S3(place), credentials, ca: None, proxy_password: None, lock: None }
    }

    /// A client of the bucket.
    pub fn store(&self, patience: Patience) -> S3Store {
        S3Store::open_with(&self.settings(), patience).expect("a client")
    }

    /// Removes the bucket and all that lies in it.
    pub async fn remove(&self) {
        let store = self.below("").store(Patience::default());
        let objects = store.list("").await.expect("the server does it");
        let removed = stream::iter(objects).map(|object| {
            let store = &store;
            async move { store.delete(&object.key).await }
        });
        let mut removed = removed.buffer_unordered(AT_ONCE);
        while let Some(done) = removed.next().await {
            done.expect("the server does it");
        }
        self.admin().delete_bucket(&self.bucket).await.expect("the server does it");
    }
}

/// What a repository stands on, with nothing remembered.
pub fn parts(cache: Arc<dyn Store>, clock: &Clock) -> Parts {
    Parts { cache, catalog: Arc::new(Catalog::in_memory()), clock: clock.clone() }
}

/// A repository, and what its snapshots are of.
pub struct Keeper {
    /// The repository.
    pub repository: Repository,
    /// What each snapshot has to give back.
    pub truth: BTreeMap<SnapshotId, Bytes>,
    clock: Clock,
}

impl Keeper {
    /// A new repository in a cache.
    pub async fn create(cache: Arc<dyn Store>, clock: &Clock) -> Keeper {
        let repository = Repository::create(parts(cache, clock), DEVICE).await.expect("a cache takes a repository");
        Keeper { repository, truth: BTreeMap::new(), clock: clock.clone() }
    }

    /// Backs a tar up; the last snapshot of the app is its parent.
    pub async fn back_up(&mut self, app: &str, tar: Bytes) -> Result<SnapshotId> {
        let before = self.repository.snapshots().into_iter().rev().find(|entry| entry.snapshot.app == app);
        let parent = before.as_ref().and_then(|entry| entry.snapshot.streams().next());
        let session = self.repository.session();
        let pieces: Vec<Result<Bytes>> = tar.chunks(64 << 10).map(|piece| Ok(tar.slice_ref(piece))).collect();
        let source = stream::iter(pieces).boxed();
        let stream = session.store_after(parent, StreamKind::Tar, source, Arc::new(Numbers::default())).await?;
        let id = session.commit(snapshot(app, stream, &self.clock)).await?.id;
        self.truth.insert(id.clone(), tar);
        Ok(id)
    }

    /// Ships to a bucket until `stop`.
    pub fn ship(&self, bucket: Arc<dyn Store>, stop: &Stop) -> Arc<Shipper> {
        holdfast_cloud_sync::start(self.repository.clone(), bucket, Line::default(), self.clock.clone(), stop.clone())
    }

    /// What the repository says is in the cloud, with what it has to give back.
    pub fn claimed(&self) -> BTreeMap<SnapshotId, Bytes> {
        let entries = self.repository.snapshots();
        let claimed = entries.iter().filter(|entry| entry.state.cloud == CloudState::Present);
        claimed.filter_map(|entry| self.truth.get_key_value(&entry.snapshot.id)).map(own).collect()
    }

    /// Whether all of it is said to be in the cloud.
    pub fn is_shipped(&self) -> bool {
        self.repository.to_ship().is_empty() && self.claimed().len() == self.truth.len()
    }
}

fn own((id, bytes): (&SnapshotId, &Bytes)) -> (SnapshotId, Bytes) {
    (id.clone(), bytes.clone())
}

fn snapshot(app: &str, stream: StreamRef, clock: &Clock) -> Snapshot {
    let time = clock.now();
    let text = json!({
        "format": FORMAT, "id": SnapshotId::new(time, random()), "repository": RepositoryId([0; 16]),
        "sequence": 0, "app": app, "project": true, "host": "local", "engine": EngineInfo::default(), "time": time,
        "trigger": Trigger::Manual, "consistency": Consistency::None, "fidelity": Fidelity::Full, "containers": [],
        "images": [], "volumes": [], "binds": [], "networks": [], "problems": [], "stats": Stats::default(),
    });
    let mut snapshot: Snapshot = serde_json::from_value(text).expect("a snapshot");
    let fidelity = Fidelity::Full;
    snapshot.binds = vec![BindSection { source: "/srv/data".into(), directory: true, stream: Some(stream), fidelity }];
    snapshot
}

/// The tar of a folder of `files` small files that nobody can compress; each version of it has some other ones.
pub fn tree(app: u64, version: u64, files: u64) -> Bytes {
    let mut out = Vec::new();
    for file in 0..files {
        let version = if file.is_multiple_of(CHANGED) { version + 1 } else { 0 };
        let name = format!("v/file-{file}");
        let entry = write::Entry::file(name.as_bytes(), FILE as u64);
        out.extend_from_slice(&entry.header().expect("a plain name"));
        noise((app << 40) | (version << 20) | file, FILE, &mut out);
        out.extend_from_slice(write::padding(FILE as u64));
    }
    out.extend_from_slice(&write::TRAILER);
    out.into()
}

fn noise(seed: u64, length: usize, out: &mut Vec<u8>) {
    let end = out.len() + length;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while out.len() < end {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(end);
}

/// Restores the stream of a snapshot.
pub async fn read(repository: &Repository, snapshot: &Snapshot, from: From) -> Result<Bytes> {
    gather(repository.read(stream_of(snapshot), from, None)).await
}

/// Restores a part of it.
pub async fn read_part(repository: &Repository, snapshot: &Snapshot, range: Range<u64>, from: From) -> Result<Bytes> {
    gather(repository.read_range(stream_of(snapshot), range, from)).await
}

fn stream_of(snapshot: &Snapshot) -> &StreamRef {
    snapshot.streams().next().expect("a snapshot has a stream")
}

async fn gather(mut pieces: ByteStream) -> Result<Bytes> {
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes.into())
}

/// Looks at the bucket itself: everything that is named by its content is that, and whoever has nothing but a copy of the bucket and
/// the key restores each of these snapshots byte for byte. Panics with what is wrong. The bucket is not touched.
pub async fn prove(place: &Place, key: &RecoveryKey, claimed: &BTreeMap<SnapshotId, Bytes>) {
    let copy = copy_of(place).await;
    let clock = Clock::system();
    let parts = parts(Arc::new(MemStore::new()), &clock);
    let found = Repository::recover(parts, Arc::new(copy), key.clone(), [8; 32]).await;
    let found = found.unwrap_or_else(|error| panic!("the bucket does not open: {}", error.chain()));
    for (id, truth) in claimed {
        let entry = found.snapshot(id.as_str());
        let entry = entry.unwrap_or_else(|error| panic!("{id} is called cloud: {}", error.chain()));
        let read = read(&found, &entry.snapshot, From::Bucket).await;
        let read = read.unwrap_or_else(|error| panic!("{id} is called cloud: {}", error.chain()));
        assert!(read == *truth, "{id} is called cloud and gives other bytes");
    }
}

async fn copy_of(place: &Place) -> MemStore {
    let store = place.store(Patience::default());
    let copy = MemStore::new();
    for object in store.list("").await.expect("the server lists") {
        let bytes = patiently(&store, &object.key).await;
        assert_eq!(bytes.len() as u64, object.size, "{}", object.key);
        if ["p/", "m/", "i/"].iter().any(|class| object.key.starts_with(class)) {
            let name = object.key.rsplit('/').next().unwrap_or_default();
            assert_eq!(hex::encode(Sha256::digest(&bytes)), name, "{} is not what its name says", object.key);
        }
        copy.put(&object.key, bytes, PutMode::Once).await.expect("memory takes it");
    }
    copy
}

/// A server whose node has just died may fail for a while.
async fn patiently(store: &S3Store, key: &str) -> Bytes {
    let mut turn = 0;
    loop {
        match store.get(key).await {
            Ok(bytes) => return bytes,
            Err(error) => assert!(error.kind().is_transient() && turn < TRIES, "{key}: {}", error.chain()),
        }
        turn += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Memory of this process that is in use, bytes.
pub fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kib << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn versions_of_a_tree_differ_in_some_files_and_restore() {
        let [first, second] = [1, 2].map(|version| tree(1, version, 12));
        assert_eq!(first.len(), second.len());
        let differ = first.iter().zip(&second).filter(|(a, b)| a != b).count();
        assert!((FILE..3 * FILE).contains(&differ), "{differ}");
        let mut keeper = Keeper::create(Arc::new(MemStore::new()), &Clock::system()).await;
        for tar in [first, second] {
            let id = keeper.back_up("app", tar.clone()).await.expect("a backup");
            let entry = keeper.repository.snapshot(id.as_str()).expect("it is there");
            assert!(read(&keeper.repository, &entry.snapshot, From::Cache).await.expect("it restores") == tar);
            let part = read_part(&keeper.repository, &entry.snapshot, 30_000..50_000, From::Cache).await;
            assert!(part.expect("it restores") == tar.slice(30_000..50_000));
        }
        assert!(!keeper.is_shipped() && keeper.claimed().is_empty(), "there is no bucket");
    }
}
