//! Doubles of the world outside: a host that answers or not, a bucket that answers or not, a shipper.

use crate::{Appliance, Outside, ShipStatus, Shipping, Start, words::lock};
use async_trait::async_trait;
use holdfast_docker::Engine;
use holdfast_model::{
    Error, Kind, Moment, Result,
    bucket::{BucketUrl, Credentials},
    bundle::{Enrolment, SignedBundle},
    job::JobView,
    settings::{BucketSettings, Host},
    uploads::Uploads,
    view::Capabilities,
};
use holdfast_repository::Repository;
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::{MemStore, PutMode, Store};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

pub fn start_of_time() -> Moment {
    Moment::parse("2026-11-23T08:00:00Z").unwrap()
}

/// Everything outside, shared by appliances that run one after the other or beside each other.
#[derive(Clone, Default)]
pub struct World(Arc<Inside>);

#[derive(Default)]
struct Inside {
    engines: Mutex<BTreeMap<String, Arc<dyn Engine>>>,
    buckets: Mutex<BTreeMap<String, Arc<MemStore>>>,
    down: Mutex<BTreeSet<String>>,
    /// Buckets that probes see to lock.
    locking: Mutex<BTreeSet<String>>,
    uploads: Mutex<Uploads>,
    /// Whether probes see that buckets keep conditions, and what was learned of each bucket last.
    conditions: AtomicBool,
    learned: Mutex<BTreeMap<String, Capabilities>>,
    /// How many shippers there were, and the keys that open buckets were given anew.
    shippers: AtomicUsize,
    rekeyed: Mutex<BTreeMap<String, Credentials>>,
}

impl World {
    /// A host with this engine behind this URL.
    pub fn put_engine(&self, url: &str, engine: Arc<dyn Engine>) {
        lock(&self.0.engines).insert(url.into(), engine);
    }
    /// The bucket behind a URL.
    pub fn bucket_at(&self, url: &str) -> Arc<MemStore> {
        lock(&self.0.buckets).entry(url.into()).or_insert_with(|| Arc::new(MemStore::new())).clone()
    }
    /// A bucket that keeps versions and locks, behind a URL that has none yet.
    pub fn locking_at(&self, url: &str, clock: &Clock) -> Arc<MemStore> {
        let bucket = Arc::new(MemStore::locking(clock.clone()));
        lock(&self.0.locking).insert(url.into());
        lock(&self.0.buckets).insert(url.into(), bucket.clone());
        bucket
    }
    /// As after a restart of the process.
    pub fn forget_uploads(&self) {
        *lock(&self.0.uploads) = Uploads::default();
    }
    /// What uploads may take, as the appliance has it.
    pub fn uploads(&self) -> Uploads {
        lock(&self.0.uploads).clone()
    }
    /// Whether probes see from now on that buckets keep conditions.
    pub fn keeps_conditions(&self, keeps: bool) {
        self.0.conditions.store(keeps, Ordering::Relaxed);
    }
    /// How many shippers there were so far.
    pub fn shippers(&self) -> usize {
        self.0.shippers.load(Ordering::Relaxed)
    }
    /// The keys that the open bucket behind a URL was given last.
    pub fn keys_of(&self, url: &str) -> Option<Credentials> {
        lock(&self.0.rekeyed).get(url).cloned()
    }
    /// What was learned last of the bucket behind a URL.
    pub fn known_of(&self, url: &str) -> Option<Capabilities> {
        lock(&self.0.learned).get(url).cloned()
    }
    /// Makes a host or bucket unreachable, or reachable again.
    pub fn down(&self, url: &str, down: bool) {
        let mut set = lock(&self.0.down);
        if down {
            set.insert(url.into())
        } else {
            set.remove(url)
        };
    }

    /// Starts an appliance.
    pub async fn start(&self, data: &Path, bucket: Option<&str>, clock: Clock, stop: &Stop) -> Result<Appliance> {
        let begin = Start {
            data: data.to_owned(),
            clock,
            outside: Arc::new(self.clone()),
            bucket: bucket.map(|url| BucketSettings {
                url: BucketUrl::parse(url).unwrap(),
                credentials: None,
                ca: None,
                proxy_password: None,
                lock: None,
            }),
            local_host: Host { name: "local".into(), url: "unix:///docker".into(), tls: None, ssh: None },
            version: "0.0.0-test".into(),
        };
        Appliance::start(begin, stop.clone()).await
    }

    fn check(&self, url: &str) -> Result<()> {
        if lock(&self.0.down).contains(url) {
            return Err(Error::new(Kind::Unavailable, "test.unreachable", format!("{url} cannot be reached")));
        }
        Ok(())
    }
}

#[async_trait]
impl Outside for World {
    async fn host(&self, host: &Host) -> Result<Arc<dyn Engine>> {
        self.check(&host.url)?;
        let engine = lock(&self.0.engines).get(&host.url).cloned();
        engine.ok_or_else(|| Error::new(Kind::Unavailable, "host.unreachable", "nobody listens there"))
    }
    async fn bucket(&self, bucket: &BucketSettings, _: Option<&Capabilities>) -> Result<Arc<dyn Store>> {
        let url = bucket.url.to_string();
        self.check(&url)?;
        Ok(self.bucket_at(&url))
    }
    async fn probe(&self, bucket: &BucketSettings) -> Result<Capabilities> {
        self.check(&bucket.url.to_string())?;
        let conditional_put = self.0.conditions.load(Ordering::Relaxed);
        let always = Capabilities { list_after_put: true, range: true, can_delete: true, ..Capabilities::default() };
        let object_lock = lock(&self.0.locking).contains(&bucket.url.to_string());
        Ok(Capabilities { conditional_put, versioning: object_lock, object_lock, ..always })
    }
    fn learned(&self, url: &str, seen: &Capabilities) {
        lock(&self.0.learned).insert(url.into(), seen.clone());
    }
    fn rekey(&self, bucket: &BucketSettings) {
        if let Some(credentials) = bucket.credentials.clone() {
            lock(&self.0.rekeyed).insert(bucket.url.to_string(), credentials);
        }
    }
    fn open_bundle(&self, bundle: &SignedBundle, _clock: &Clock) -> Result<Enrolment> {
        serde_json::from_str(&bundle.payload).map_err(|_| Error::invalid("bundle.malformed", "no bundle"))
    }
    fn ship(&self, repository: Repository, bucket: Arc<dyn Store>, stop: Stop) -> Arc<dyn Shipping> {
        self.0.shippers.fetch_add(1, Ordering::Relaxed);
        let shipper = Arc::new(Shipper { news: watch::channel(0).0, idle: AtomicBool::new(false) });
        tokio::spawn(shipper.clone().run(repository, bucket, stop));
        shipper
    }
    fn uploads(&self, uploads: &Uploads) {
        *lock(&self.0.uploads) = uploads.clone();
    }
}

struct Shipper {
    news: watch::Sender<u64>,
    idle: AtomicBool,
}

impl Shipper {
    async fn run(self: Arc<Self>, repository: Repository, bucket: Arc<dyn Store>, stop: Stop) {
        let bucket = repository.guard(bucket);
        while !stop.is_cancelled() {
            let items = repository.to_ship();
            self.idle.store(items.is_empty(), Ordering::Relaxed);
            for item in items {
                // A key slot may be retired while it is on its way.
                let bytes = match repository.ship_bytes(&item.key).await {
                    Err(error) if item.key.starts_with("k/") && error.kind() == Kind::NotFound => continue,
                    bytes => bytes.unwrap(),
                };
                bucket.put(&item.key, bytes, PutMode::Replace).await.unwrap();
                repository.acknowledged(&item.key, item.size).await.unwrap();
                self.news.send_modify(|count| *count += 1);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Shipping for Shipper {
    fn nudge(&self) {}
    fn status(&self) -> ShipStatus {
        ShipStatus { sent_bytes: *self.news.borrow(), ..ShipStatus::default() }
    }
    fn subscribe(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}

/// Waits until `ready` says so, or fails the test.
pub async fn until<F: AsyncFnMut() -> bool>(what: &str, mut ready: F) {
    // A real engine takes ten seconds to stop a process that does not listen.
    for _ in 0..3000 {
        if ready().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited too long until {what}");
}

/// Waits for a job's end.
pub async fn ended(appliance: &Appliance, job: &JobView) -> JobView {
    let id = job.id.clone();
    until("the job ends", async || appliance.job(&id).await.unwrap().state.is_final()).await;
    appliance.job(&job.id).await.unwrap()
}
