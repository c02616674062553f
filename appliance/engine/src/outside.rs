//! What the engine room asks of the world: hosts, buckets, bundles, a shipper.
//!
//! Lives here: the traits the binary fills with real parts and tests with doubles.
//! Never here: any of those parts. Invariant: nothing in this room opens a socket by itself.

use async_trait::async_trait;
use holdfast_docker::Engine;
use holdfast_model::{
    Result,
    bundle::{Enrolment, SignedBundle},
    settings::{BucketSettings, Host},
    uploads::Uploads,
    view::Capabilities,
};
use holdfast_repository::Repository;
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::Store;
use std::sync::Arc;
use tokio::sync::watch;

/// Opens what settings name. Wired by the binary, faked by tests.
#[async_trait]
pub trait Outside: Send + Sync {
    /// Connects to a Docker host.
    async fn host(&self, host: &Host) -> Result<Arc<dyn Engine>>;
    /// Opens a bucket, going by what a probe saw of it.
    async fn bucket(&self, bucket: &BucketSettings, seen: Option<&Capabilities>) -> Result<Arc<dyn Store>>;
    /// Finds out what a bucket really does.
    async fn probe(&self, bucket: &BucketSettings) -> Result<Capabilities>;
    /// What a probe saw of the bucket at `url` counts from now on, also for a store of it that is open already: one that keeps
    /// conditions no more must not be trusted with them until the next start.
    fn learned(&self, _url: &str, _seen: &Capabilities) {}
    /// The proxy that leads to a bucket, for people.
    fn proxy(&self, _bucket: &BucketSettings) -> Option<String> {
        None
    }
    /// Other keys for a bucket count from the next request on, also for a store of it that is open already.
    fn rekey(&self, _bucket: &BucketSettings) {}
    /// Checks a bundle's signature and dates; returns what it says.
    fn open_bundle(&self, bundle: &SignedBundle, clock: &Clock) -> Result<Enrolment>;
    /// Starts shipping from the repository to the bucket, until `stop`.
    fn ship(&self, repository: Repository, bucket: Arc<dyn Store>, stop: Stop) -> Arc<dyn Shipping>;
    /// What uploads may take of the line from now on.
    fn uploads(&self, uploads: &Uploads);
}

/// A shipper at work.
#[async_trait]
pub trait Shipping: Send + Sync {
    /// There is something new.
    fn nudge(&self);
    /// How it goes.
    fn status(&self) -> ShipStatus;
    /// Told after each acknowledgement and each change of health.
    fn subscribe(&self) -> watch::Receiver<u64>;
    /// Waits until it has ended after its `stop`: nothing is acknowledged afterwards.
    async fn finished(&self) {}
}

/// How shipping goes.
#[derive(Clone, Debug, Default)]
pub struct ShipStatus {
    /// The last error, if the newest attempt failed: (code, words).
    pub error: Option<(String, String)>,
    /// Objects waiting.
    pub queued_objects: u64,
    /// Bytes waiting.
    pub queued_bytes: u64,
    /// Bytes per second over the last seconds.
    pub rate: u64,
    /// Bytes sent since start.
    pub sent_bytes: u64,
}
