//! The wiring: gives the engine real hosts, real buckets, real bundles and a real shipper.

use crate::proxies::Proxies;
use async_trait::async_trait;
use holdfast_cloud_sync::{Line, Shipper};
use holdfast_docker::Engine;
use holdfast_engine::{LANES, Outside, ShipStatus, Shipping};
use holdfast_model::{
    Result,
    bucket::BucketUrl,
    bundle::{Enrolment, SignedBundle},
    settings::{BucketSettings, Host},
    uploads::Uploads,
    view::Capabilities,
};
use holdfast_repository::{DATA_PACKS, Repository};
use holdfast_runtime::{Clock, Stop};
use holdfast_s3::S3Store;
use holdfast_storage::{DirStore, Paced, Store};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::watch;

/// The world outside of this process.
#[derive(Debug)]
pub struct World {
    /// Where movers of this machine meet us.
    lanes: PathBuf,
    /// What uploads may take, whatever the bucket.
    line: Line,
    /// Buckets that are open somewhere, with their URLs: what is learned of one later counts for them too.
    open: Mutex<Vec<(String, Weak<S3Store>)>>,
    /// Those of this process's environment.
    proxies: Proxies,
}

impl World {
    /// Of an appliance with this data folder, on a machine with these proxies.
    pub fn of(data: &Path, proxies: Proxies) -> World {
        World { lanes: data.join(LANES), line: Line::default(), open: Mutex::default(), proxies }
    }

    /// Remembers a bucket for as long as somebody has it open.
    fn opened(&self, url: String, store: S3Store) -> Arc<S3Store> {
        let store = Arc::new(store);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, store)| store.strong_count() > 0);
        open.push((url, Arc::downgrade(&store)));
        store
    }

    /// Those that are open at a URL.
    fn open_at(&self, url: &str) -> Vec<Arc<S3Store>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().filter(|(at, _)| at == url).filter_map(|(_, store)| store.upgrade()).collect()
    }
}

#[async_trait]
impl Outside for World {
    async fn host(&self, host: &Host) -> Result<Arc<dyn Engine>> {
        holdfast_docker::connect_beside(host, &self.lanes).await
    }

    async fn bucket(&self, bucket: &BucketSettings, seen: Option<&Capabilities>) -> Result<Arc<dyn Store>> {
        let (bytes, requests) = (self.line.bytes.clone(), self.line.requests.clone());
        Ok(match &bucket.url {
            BucketUrl::Directory(path) => Arc::new(Paced::new(Arc::new(DirStore::open(path)?), bytes)),
            BucketUrl::S3(_) => {
                let store = S3Store::open(&self.proxies.lead(bucket)?)?.throttled(bytes, requests).classed(DATA_PACKS);
                self.opened(bucket.url.to_string(), store.knowing(&seen.cloned().unwrap_or_default()))
            }
        })
    }

    async fn probe(&self, bucket: &BucketSettings) -> Result<Capabilities> {
        holdfast_s3::probe(&self.proxies.lead(bucket)?).await
    }

    fn learned(&self, url: &str, seen: &Capabilities) {
        self.open_at(url).iter().for_each(|store| store.learn(seen));
    }

    fn proxy(&self, bucket: &BucketSettings) -> Option<String> {
        self.proxies.shown(bucket)
    }

    fn rekey(&self, bucket: &BucketSettings) {
        if let Some(credentials) = &bucket.credentials {
            self.open_at(&bucket.url.to_string()).iter().for_each(|store| store.sign_with(credentials));
        }
    }

    fn open_bundle(&self, bundle: &SignedBundle, clock: &Clock) -> Result<Enrolment> {
        holdfast_provider::bundle::open(bundle, clock.now(), None)
    }

    fn ship(&self, repository: Repository, bucket: Arc<dyn Store>, stop: Stop) -> Arc<dyn Shipping> {
        Arc::new(Ship(holdfast_cloud_sync::start(repository, bucket, self.line.clone(), Clock::system(), stop)))
    }

    fn uploads(&self, uploads: &Uploads) {
        self.line.decide(uploads.clone());
    }
}

/// The shipper as the engine knows it.
struct Ship(Arc<Shipper>);

#[async_trait]
impl Shipping for Ship {
    fn nudge(&self) {
        self.0.nudge();
    }

    fn status(&self) -> ShipStatus {
        let status = self.0.status();
        ShipStatus {
            error: status.error.map(|trouble| (trouble.code, trouble.words)),
            queued_objects: status.queued_objects,
            queued_bytes: status.queued_bytes,
            rate: status.rate,
            sent_bytes: status.sent_bytes,
        }
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    async fn finished(&self) {
        self.0.finished().await;
    }
}
