//! The wiring: gives the engine real hosts, real buckets, real bundles and a real shipper.

use async_trait::async_trait;
use holdfast_cloud_sync::Shipper;
use holdfast_docker::Engine;
use holdfast_engine::{LANES, Outside, ShipStatus, Shipping};
use holdfast_model::{
    Result,
    bucket::BucketUrl,
    bundle::{Enrolment, SignedBundle},
    settings::{BucketSettings, Host},
    view::Capabilities,
};
use holdfast_repository::Repository;
use holdfast_runtime::{Clock, Stop};
use holdfast_s3::S3Store;
use holdfast_storage::{DirStore, Store};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;

/// The world outside of this process.
#[derive(Debug)]
pub struct World {
    /// Where movers of this machine meet us.
    lanes: PathBuf,
}

impl World {
    /// Of an appliance with this data folder.
    pub fn of(data: &Path) -> World {
        World { lanes: data.join(LANES) }
    }
}

#[async_trait]
impl Outside for World {
    async fn host(&self, host: &Host) -> Result<Arc<dyn Engine>> {
        holdfast_docker::connect_beside(host, &self.lanes).await
    }

    async fn bucket(&self, bucket: &BucketSettings) -> Result<Arc<dyn Store>> {
        Ok(match &bucket.url {
            BucketUrl::Directory(path) => Arc::new(DirStore::open(path)?),
            BucketUrl::S3(_) => Arc::new(S3Store::open(bucket)?),
        })
    }

    async fn probe(&self, bucket: &BucketSettings) -> Result<Capabilities> {
        holdfast_s3::probe(bucket).await
    }

    fn open_bundle(&self, bundle: &SignedBundle, clock: &Clock) -> Result<Enrolment> {
        holdfast_provider::bundle::open(bundle, clock.now(), None)
    }

    fn ship(&self, repository: Repository, bucket: Arc<dyn Store>, stop: Stop) -> Arc<dyn Shipping> {
        Arc::new(Ship(holdfast_cloud_sync::start(repository, bucket, Clock::system(), stop)))
    }
}

/// The shipper as the engine knows it.
struct Ship(Arc<Shipper>);

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
}
