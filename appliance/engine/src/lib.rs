//! Decides when and whether: jobs, schedule, policy, retention. The API behind all faces.
//!
//! STUB of the public face.
#![allow(missing_docs, unused_variables, clippy::todo)]

use async_trait::async_trait;
use holdfast_docker::Engine;
use holdfast_model::{
    Error, JobId, Result, Secret, SnapshotId,
    bundle::SignedBundle,
    job::JobView,
    policy::Policy,
    settings::{BucketSettings, Host},
    view::*,
};
use holdfast_repository::Repository;
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::Store;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::broadcast;

/// Opens what settings name. Wired by the binary, faked by tests.
#[async_trait]
pub trait Outside: Send + Sync {
    /// Connects to a Docker host.
    async fn host(&self, host: &Host) -> Result<Arc<dyn Engine>>;
    /// Opens a bucket.
    async fn bucket(&self, bucket: &BucketSettings) -> Result<Arc<dyn Store>>;
    /// Finds out what a bucket really does.
    async fn probe(&self, bucket: &BucketSettings) -> Result<Capabilities>;
    /// Checks a bundle's signature and dates; returns what it says.
    fn open_bundle(&self, bundle: &SignedBundle, clock: &Clock) -> Result<holdfast_model::bundle::Enrolment>;
    /// Starts shipping from the repository to the bucket, until `stop`.
    fn ship(&self, repository: Repository, bucket: Arc<dyn Store>, stop: Stop) -> Arc<dyn Shipping>;
}

/// A shipper at work.
pub trait Shipping: Send + Sync {
    /// There is something new.
    fn nudge(&self);
    /// How it goes.
    fn status(&self) -> ShipStatus;
    /// Told after each acknowledgement and each change of health.
    fn subscribe(&self) -> tokio::sync::watch::Receiver<u64>;
}

/// How shipping goes.
#[derive(Clone, Debug, Default)]
pub struct ShipStatus {
    /// The last error, if the newest attempt failed: (code, words).
    pub error: Option<(String, String)>,
    pub queued_objects: u64,
    pub queued_bytes: u64,
    /// Bytes per second over the last seconds.
    pub rate: u64,
    /// Bytes sent since start.
    pub sent_bytes: u64,
}

/// Everything the appliance can be asked. Clones share it.
#[derive(Clone)]
pub struct Appliance {}

/// What it takes to start.
pub struct Start {
    /// The data folder: `cache/`, `catalog/`, `device.key`, `journal/`.
    pub data: PathBuf,
    pub clock: Clock,
    pub outside: Arc<dyn Outside>,
    /// Attached if the settings name none.
    pub bucket: Option<BucketSettings>,
    /// The local Docker socket, registered as host `local` in an empty folder.
    pub local_host: Host,
    pub version: String,
}

impl Appliance {
    /// Opens or sets up a data folder, undoes what a crash left (law L6), starts scheduler and shipper.
    pub async fn start(start: Start, stop: Stop) -> Result<Appliance> {
        todo!()
    }
    /// Waits until running work has ended after `stop`.
    pub async fn finished(&self) {
        todo!()
    }
    pub fn events(&self) -> broadcast::Receiver<Event> {
        todo!()
    }
    pub async fn status(&self) -> StatusView {
        todo!()
    }
    pub async fn apps(&self) -> Vec<AppView> {
        todo!()
    }
    /// By `host/name` or unique name.
    pub async fn app(&self, app: &str) -> Result<AppView> {
        todo!()
    }
    pub async fn app_assign(&self, app: &str, policy: Option<&str>) -> Result<AppView> {
        todo!()
    }
    /// One job per app, in the order asked.
    pub async fn backup(&self, request: BackupRequest) -> Result<Vec<JobView>> {
        todo!()
    }
    pub async fn snapshots(&self, app: Option<&str>) -> Result<Vec<SnapshotView>> {
        todo!()
    }
    pub async fn snapshot(&self, id: &str) -> Result<SnapshotDetail> {
        todo!()
    }
    pub async fn snapshot_forget(&self, id: &str) -> Result<()> {
        todo!()
    }
    pub async fn restore_plan(&self, request: RestoreRequest) -> Result<PlanView> {
        todo!()
    }
    pub async fn restore(&self, request: RestoreRequest) -> Result<JobView> {
        todo!()
    }
    pub async fn jobs(&self) -> Vec<JobView> {
        todo!()
    }
    pub async fn job(&self, id: &JobId) -> Result<JobView> {
        todo!()
    }
    pub async fn job_cancel(&self, id: &JobId) -> Result<JobView> {
        todo!()
    }
    pub async fn hosts(&self) -> Vec<HostView> {
        todo!()
    }
    pub async fn host_add(&self, request: HostRequest) -> Result<HostView> {
        todo!()
    }
    pub async fn host_remove(&self, name: &str) -> Result<()> {
        todo!()
    }
    pub async fn policies(&self) -> Vec<PolicyView> {
        todo!()
    }
    pub async fn policy_put(&self, policy: Policy) -> Result<PolicyView> {
        todo!()
    }
    pub async fn policy_remove(&self, name: &str) -> Result<()> {
        todo!()
    }
    pub async fn check(&self, read_data: bool) -> Result<JobView> {
        todo!()
    }
    /// The result of the last finished check.
    pub async fn check_report(&self) -> Option<CheckView> {
        todo!()
    }
    pub async fn prune_plan(&self) -> Result<PruneView> {
        todo!()
    }
    pub async fn prune(&self) -> Result<JobView> {
        todo!()
    }
    pub async fn kit(&self) -> Result<KitView> {
        todo!()
    }
    pub async fn kit_confirm(&self) -> Result<()> {
        todo!()
    }
    pub async fn bucket_set(&self, request: BucketRequest) -> Result<BucketView> {
        todo!()
    }
    pub async fn bucket_probe(&self) -> Result<BucketView> {
        todo!()
    }
    pub async fn enrol(&self, bundle: SignedBundle) -> Result<EnrolmentView> {
        todo!()
    }
    /// Only on an appliance without snapshots: replaces its repository by the one in the bucket.
    pub async fn recover(&self, request: RecoverRequest) -> Result<JobView> {
        todo!()
    }
    pub async fn doctor(&self) -> Vec<DoctorLine> {
        todo!()
    }
    pub async fn setup(&self) -> SetupView {
        todo!()
    }
    /// Makes the first admin. `Conflict` if there is one.
    pub async fn user_create_first(&self, name: &str, password: &Secret) -> Result<()> {
        todo!()
    }
    /// Checks a password in constant time; `Denied` (`login.wrong`) says the same for a wrong name.
    pub async fn user_verify(&self, name: &str, password: &Secret) -> Result<()> {
        todo!()
    }
}

#[allow(dead_code)]
fn _names(_: Error, _: SnapshotId) {}
