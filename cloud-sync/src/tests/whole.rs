//! The shipper with the real repository: what is visible in the bucket restores from the bucket alone.

use super::*;
use futures::StreamExt;
use holdfast_catalog::Catalog;
use holdfast_model::policy::Consistency;
use holdfast_model::snapshot::{Fidelity, RawJson, Snapshot, Stats, Trigger, VolumeSection};
use holdfast_model::view::{CloudState, From};
use holdfast_repository::{Meter, Parts, RecoveryKey, Repository, StreamKind, Unlock};

const DEVICE: [u8; 32] = [7; 32];

/// A bucket that keeps what it held after every put.
#[derive(Debug, Default)]
struct Recorder {
    bucket: MemStore,
    states: Mutex<Vec<BTreeMap<String, Bytes>>>,
    puts: Mutex<Vec<String>>,
}

impl Recorder {
    async fn state(&self) -> BTreeMap<String, Bytes> {
        let mut state = BTreeMap::new();
        for info in self.bucket.list("").await.unwrap() {
            let bytes = self.bucket.get(&info.key).await.unwrap();
            state.insert(info.key, bytes);
        }
        state
    }
}

#[async_trait]
impl Store for Recorder {
    fn place(&self) -> String {
        "recorder".into()
    }
    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.bucket.put(key, bytes, mode).await?;
        let state = self.state().await;
        self.states.lock().unwrap().push(state);
        self.puts.lock().unwrap().push(key.to_owned());
        Ok(())
    }
    async fn get(&self, key: &str) -> Result<Bytes> {
        self.bucket.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.bucket.get_range(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        self.bucket.head(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.bucket.list(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.bucket.delete(key).await
    }
}

#[derive(Debug)]
struct Nobody;

impl Meter for Nobody {
    fn moved(&self, _: u64) {}
    fn stored(&self, _: u64) {}
    fn known(&self, _: u64) {}
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A backup of two streams, one of which all backups share.
async fn back_up(repository: &Repository, number: u8) -> Snapshot {
    let session = repository.session();
    let mut volumes = Vec::new();
    for (name, bytes) in [("own", noise(u64::from(number), 300_000)), ("shared", noise(99, 300_000))] {
        let source = futures::stream::iter([Ok(Bytes::from(bytes))]).boxed();
        let stream = session.store(StreamKind::Bytes, source, Arc::new(Nobody)).await.unwrap();
        volumes.push(VolumeSection {
            name: name.into(),
            anonymous: false,
            inspect: RawJson("{}".into()),
            stream: Some(stream),
            fidelity: Fidelity::Full,
        });
    }
    let time = Moment::from_millis(1_700_000_000_000 + i64::from(number));
    let snapshot = Snapshot {
        format: holdfast_model::snapshot::FORMAT,
        id: SnapshotId::new(time, [number; 10]),
        repository: repository.id(),
        sequence: 0,
        parent: None,
        app: "shop".into(),
        project: true,
        host: "local".into(),
        engine: Default::default(),
        time,
        policy: None,
        trigger: Trigger::Manual,
        consistency: Consistency::None,
        fidelity: Fidelity::Full,
        containers: Vec::new(),
        images: Vec::new(),
        volumes,
        binds: Vec::new(),
        networks: Vec::new(),
        databases: Vec::new(),
        problems: Vec::new(),
        stats: Stats::default(),
    };
    session.commit(snapshot).await.unwrap()
}

fn parts(cache: Arc<dyn Store>) -> Parts {
    Parts { cache, catalog: Arc::new(Catalog::in_memory()), clock: Clock::system() }
}

/// An empty machine, the bucket as it was, and the key: reads every snapshot that is visible.
async fn restores_from_the_bucket_alone(state: &BTreeMap<String, Bytes>, key: &RecoveryKey) -> usize {
    let visible = state.keys().filter(|key| key.starts_with("s/")).count();
    if visible == 0 {
        return 0;
    }
    let bucket = MemStore::new();
    for (key, bytes) in state {
        bucket.put(key, bytes.clone(), PutMode::Once).await.unwrap();
    }
    let parts = parts(Arc::new(MemStore::new()));
    let repository = Repository::recover(parts, Arc::new(bucket), key.clone(), [8; 32]).await.unwrap();
    assert_eq!(repository.snapshots().len(), visible);
    for entry in repository.snapshots() {
        for stream in entry.snapshot.streams() {
            let mut bytes = repository.read(stream, From::Auto, None);
            let mut length = 0;
            while let Some(part) = bytes.next().await {
                length += part.unwrap().len() as u64;
            }
            assert_eq!(length, stream.length);
        }
    }
    visible
}

async fn until_shipped(repository: &Repository, shipper: &Shipper) {
    let shipped = async {
        while !repository.to_ship().is_empty() || shipper.status().queued_objects > 0 {
            shipper.nudge();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), shipped).await.expect("within the minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_visible_at_any_moment_restores_from_the_bucket_alone() {
    let cache = Arc::new(MemStore::new());
    let repository = Repository::create(parts(cache.clone()), DEVICE).await.unwrap();
    let recorder = Arc::new(Recorder::default());
    let faulty = Arc::new(Faulty::new(recorder.clone()));
    repository.attach_bucket(faulty.clone()).await.unwrap();
    back_up(&repository, 1).await;
    back_up(&repository, 2).await;
    for nth in [1, 4, 5, 9, 14] {
        faulty.fail(Op::Put, nth, Kind::Unavailable);
        faulty.lose_reply(Op::Put, nth + 1);
    }
    let stop = Stop::new();
    let shipper = crate::start(repository.clone(), faulty.clone(), Line::default(), Clock::system(), stop.clone());
    back_up(&repository, 3).await;
    until_shipped(&repository, &shipper).await;
    assert!(repository.snapshots().iter().all(|entry| entry.state.cloud == CloudState::Present));
    end(&shipper, &stop).await;
    let states = std::mem::take(&mut *recorder.states.lock().unwrap());
    let mut most = 0;
    for state in &states {
        most = restores_from_the_bucket_alone(state, &repository.recovery_key()).await.max(most);
    }
    assert_eq!(most, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_sends_nothing_again_with_or_without_the_catalog() {
    let cache = Arc::new(MemStore::new());
    let catalog = Arc::new(Catalog::in_memory());
    let parts = |catalog| Parts { cache: cache.clone(), catalog, clock: Clock::system() };
    let recorder = Arc::new(Recorder::default());
    let mut repository = Repository::create(parts(catalog.clone()), DEVICE).await.unwrap();
    for number in 0..6u8 {
        if number > 0 {
            // Each restart finds another half of the work done; the last ones have lost their memory.
            drop(repository);
            let catalog = if number < 4 { catalog.clone() } else { Arc::new(Catalog::in_memory()) };
            repository = Repository::open(parts(catalog), Unlock::Device(DEVICE)).await.unwrap();
        }
        let faulty = Arc::new(Faulty::new(recorder.clone()));
        repository.attach_bucket(faulty.clone()).await.unwrap();
        back_up(&repository, number).await;
        let stop = Stop::new();
        if number % 2 == 0 {
            faulty.crash_at(faulty.calls(Op::Any) + 3);
        }
        let shipper = crate::start(repository.clone(), faulty.clone(), Line::default(), Clock::system(), stop.clone());
        if number % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(shipper.status().error.is_some());
        } else {
            until_shipped(&repository, &shipper).await;
        }
        end(&shipper, &stop).await;
    }
    let puts = recorder.puts.lock().unwrap().clone();
    let once: BTreeSet<_> = puts.iter().collect();
    assert_eq!(puts.len(), once.len(), "sent twice: {puts:?}");
    let state = recorder.state().await;
    assert_eq!(restores_from_the_bucket_alone(&state, &repository.recovery_key()).await, 6);
}
