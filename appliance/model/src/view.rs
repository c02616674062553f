//! The shapes of the API: one definition that the engine fills, the web serves, the CLI prints
//! with `--json` and the TypeScript client is generated from. Bytes are integers, times RFC 3339 UTC.

use crate::{
    Moment, Problem, SnapshotId,
    job::JobView,
    policy::{Consistency, Databases},
    snapshot::{DatabaseKind, EngineInfo, Fidelity, Readiness, Stats, Trigger},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod bucket;
mod coverage;
mod files;
mod keys;
mod upkeep;
mod ways;

pub use bucket::*;
pub use coverage::*;
pub use files::*;
pub use keys::*;
pub use upkeep::*;
pub use ways::*;

/// What a person should know first about an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppState {
    /// A policy covers it and the last backup is in time.
    Protected,
    /// A backup runs.
    BackingUp,
    /// Covered, but the newest snapshot has not reached the bucket in time.
    CloudBehind,
    /// Covered, but the last good backup is older than the policy wants.
    Overdue,
    /// The last backup failed.
    Failed,
    /// The last backup left something out.
    Problems,
    /// No policy covers it.
    NotProtected,
    /// Covered, first backup not taken yet.
    Waiting,
    /// Its host does not answer; what is known is from before.
    Unreachable,
    /// It is gone from the host; its snapshots remain.
    Gone,
}

/// One app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppView {
    /// `host/name`, unique.
    pub id: String,
    /// Name on its host.
    pub name: String,
    /// Registered host name.
    pub host: String,
    /// Compose project (true) or single container.
    pub project: bool,
    /// What to know first.
    pub state: AppState,
    /// Why, in one sentence, where the state alone does not tell.
    pub reason: Option<String>,
    /// Containers found now.
    pub containers: u32,
    /// Of these, running.
    pub running: u32,
    /// Volumes and bind mounts found now.
    pub volumes: u32,
    /// Logical bytes of the newest snapshot.
    pub bytes_logical: Option<u64>,
    /// Assigned policy.
    pub policy: Option<String>,
    /// Seconds between backups that the policy wants.
    pub every_seconds: Option<u64>,
    /// Start of the newest good snapshot.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_backup: Option<Moment>,
    /// When the scheduler will run it next.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_backup: Option<Moment>,
    /// The newest snapshot's tiers.
    pub newest: Option<TierState>,
    /// Newest last, at most 24, for the spark line.
    pub points: Vec<PointView>,
    /// How many snapshots there are.
    pub snapshots: u32,
    /// Names of what a backup could not capture, from the newest snapshot.
    pub problems: Vec<Problem>,
}

/// A snapshot as a dot on a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PointView {
    /// Snapshot id.
    #[schema(value_type = String)]
    pub id: SnapshotId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Moment,
    /// New stored bytes.
    pub bytes_new: u64,
    /// Tiers that hold it.
    pub state: TierState,
    /// It left something out.
    pub problems: bool,
}

/// Where a snapshot can be restored from (law L2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TierState {
    /// On this appliance's disk.
    pub local: LocalState,
    /// In the bucket.
    pub cloud: CloudState,
}

/// State in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LocalState {
    /// Every pack it needs is in the cache, fsynced.
    Present,
    /// Some packs are only in the bucket.
    Partial,
    /// Nothing of it is in the cache.
    Absent,
}

/// State in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloudState {
    /// The bucket acknowledged every object it needs, and the snapshot itself.
    Present,
    /// On its way.
    Shipping,
    /// No bucket is set.
    None,
    /// Packs that it needs are known to be missing or damaged in the bucket.
    Damaged,
}

/// A database server that ran in an app when it was captured, or a database among its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseView {
    /// Name of its container.
    pub container: String,
    /// The file that it is, behind the volume or host path that holds it; none of a server.
    #[serde(default)]
    pub file: Option<String>,
    /// What it is.
    pub kind: DatabaseKind,
    /// Its version, as it says.
    pub version: Option<String>,
    /// What its files are.
    pub readiness: Readiness,
    /// Bytes of its dump, if one was taken.
    pub dump_bytes: Option<u64>,
}

/// One snapshot in lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: SnapshotId,
    /// App name.
    pub app: String,
    /// Host name.
    pub host: String,
    /// Start of the capture.
    #[schema(value_type = String, format = DateTime)]
    pub time: Moment,
    /// Consistency reached.
    pub consistency: Consistency,
    /// Lowest fidelity of its parts.
    pub fidelity: Fidelity,
    /// Database servers that ran in it, and databases among its files.
    pub databases: Vec<DatabaseView>,
    /// Why it was taken.
    pub trigger: Trigger,
    /// Policy that asked for it.
    pub policy: Option<String>,
    /// Bytes that it restores to.
    pub bytes_logical: u64,
    /// Bytes that it added to the repository.
    pub bytes_new: u64,
    /// Tiers that hold it.
    pub state: TierState,
    /// What was left out.
    pub problems: Vec<Problem>,
    /// Cost in full.
    pub stats: Stats,
    /// When it is removed for good, if somebody forgot it; until then it can be restored and brought back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub forgotten_until: Option<Moment>,
    /// Until when nobody can take it out of the bucket, nor anything that it needs; only what the bucket acknowledged counts.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub locked_until: Option<Moment>,
}

/// One snapshot with its contents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotDetail {
    /// The same as in lists.
    pub snapshot: SnapshotView,
    /// Engine it came from.
    pub engine: EngineInfo,
    /// Containers, images, volumes, binds and networks.
    pub contents: Vec<ContentView>,
}

/// One part of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContentView {
    /// `container`, `image`, `volume`, `bind`, `database` or `network`.
    pub kind: String,
    /// Its name, tag or path.
    pub name: String,
    /// One line of detail.
    pub detail: String,
    /// Logical bytes, where it has some.
    pub bytes: Option<u64>,
    /// Whether its content is in the snapshot.
    pub captured: bool,
}

/// A registered host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostView {
    /// Registered name.
    pub name: String,
    /// How it is reached.
    pub url: String,
    /// Whether it answered last time.
    pub reachable: bool,
    /// Why not.
    pub error: Option<String>,
    /// When it answered last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Moment>,
    /// What it runs.
    pub engine: Option<EngineInfo>,
    /// Apps found.
    pub apps: u32,
    /// Containers found.
    pub containers: u32,
}

/// A host to register.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostRequest {
    /// Name, `[a-z0-9-]{1,40}`.
    pub name: String,
    /// `unix:///path`, `tcp://host:port` or `ssh://[user@]host[:port][/socket]`.
    pub url: String,
    /// PEM of the CA (tcp with TLS).
    #[serde(default)]
    pub tls_ca: Option<String>,
    /// PEM of our certificate.
    #[serde(default)]
    pub tls_cert: Option<String>,
    /// PEM of our key.
    #[serde(default)]
    pub tls_key: Option<String>,
    /// Private key for `ssh`, without a passphrase; the account's own without it.
    #[serde(default)]
    pub ssh_key: Option<String>,
    /// Keys that the host may show, as lines of known_hosts (`ssh`); the account's own without it.
    #[serde(default)]
    pub ssh_known_hosts: Option<String>,
}

/// The local tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CacheView {
    /// Bytes of packs and metadata.
    pub used_bytes: u64,
    /// Bytes free on its disk.
    pub free_bytes: u64,
    /// Size of its disk.
    pub disk_bytes: u64,
    /// Packs held.
    pub packs: u64,
    /// Bytes not yet in the bucket.
    pub unshipped_bytes: u64,
    /// Snapshots restorable from it alone.
    pub snapshots: u32,
}

/// The first page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// Version of the program.
    pub version: String,
    /// Appliance name.
    pub appliance: String,
    /// Repository id.
    pub repository: String,
    /// Apps found or remembered.
    pub apps: u32,
    /// Apps in state `protected` or `backing_up`.
    pub protected: u32,
    /// Apps that need somebody to look.
    pub attention: u32,
    /// Snapshots.
    pub snapshots: u32,
    /// Hosts.
    pub hosts: Vec<HostView>,
    /// Local tier.
    pub cache: CacheView,
    /// Cloud tier.
    pub bucket: BucketView,
    /// Running and queued jobs.
    pub jobs: Vec<JobView>,
    /// Logical bytes of all snapshots.
    pub bytes_logical: u64,
    /// Stored bytes per hour, oldest first, last 72 hours.
    pub activity: Vec<ActivityPoint>,
    /// Whether somebody confirmed the recovery kit.
    pub kit_confirmed: bool,
    /// Provider and tenant, if enrolled.
    pub enrolment: Option<EnrolmentView>,
    /// What concerns the appliance as a whole (paused members found after a crash, clock, disk, …).
    pub problems: Vec<Problem>,
}

/// New data in one hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActivityPoint {
    /// Start of the hour.
    #[schema(value_type = String, format = DateTime)]
    pub time: Moment,
    /// Sealed bytes stored.
    pub captured: u64,
    /// Sealed bytes sent to the bucket.
    pub uploaded: u64,
}

/// Who runs the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentView {
    /// Provider's name.
    pub provider: String,
    /// Tenant's name.
    pub tenant: String,
}

/// A backup to take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackupRequest {
    /// App ids (`host/name`) or unique names.
    pub apps: Vec<String>,
    /// Instead of the policy's.
    pub consistency: Option<Consistency>,
    /// Instead of the policy's.
    pub databases: Option<Databases>,
}

/// Where chunks may come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// The cache, and the bucket for what it lacks.
    #[default]
    Auto,
    /// The cache alone.
    Cache,
    /// The bucket alone.
    Bucket,
}

/// Where a restore goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Target {
    /// Under another name, without published ports, on the host it came from.
    #[default]
    Beside,
    /// Replaces the app under its own name.
    InPlace,
    /// Under its own name on another registered host.
    Host {
        /// Registered host name.
        host: String,
    },
}

/// A restore to plan or to carry out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RestoreRequest {
    /// Snapshot id, a unique beginning of one, or `latest:APP`.
    pub snapshot: String,
    /// Where to.
    pub target: Target,
    /// New name (beside); default `APP-restore`.
    pub name: Option<String>,
    /// Only this volume (beside: into a new volume; in place: replaces its content).
    pub volume: Option<String>,
    /// Only these services (by service or container name) with their volumes and networks; all if empty.
    pub services: Vec<String>,
    /// Under its own name: publish no ports.
    pub no_ports: bool,
    /// Under its own name: leave fixed addresses, and subnets that are in use, to the engine.
    pub no_addresses: bool,
    /// Other ports of the host; these are published beside the original too, and with `no_ports`.
    pub ports: Vec<PortChange>,
    /// Ways round what the host lacks.
    pub ways: Vec<WayOut>,
    /// Where chunks may come from.
    pub from: From,
    /// Agrees to what the plan calls destructive.
    pub confirmed: bool,
    /// In place or on another host: agrees that what the safety backup cannot keep is lost (`restore.safety_incomplete`).
    pub lose_uncaptured: bool,
}

/// A file or folder of a snapshot to be put back into the volume or folder of the host that it is from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutRequest {
    /// `volume:NAME` or `bind:/PATH`, as `sections` tells.
    pub section: String,
    /// Path in it; empty for all of it. Bytes that are no readable text are written `\\xHH`, a backslash `\\\\`.
    #[serde(default)]
    pub path: String,
    /// Path that it gets in the same volume or folder; its own if not said.
    #[serde(default)]
    pub to: Option<String>,
    /// Whether files that are there give way, after a safety backup of the app; without it they stay and are named.
    #[serde(default)]
    pub replace: bool,
    /// Where it may be read from.
    #[serde(default)]
    pub from: From,
}

/// What a restore will do, before it does it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// The snapshot.
    pub snapshot: SnapshotView,
    /// Host it goes to.
    pub host: String,
    /// Name it will have.
    pub name: String,
    /// Numbered steps in words.
    pub steps: Vec<String>,
    /// What stands in the way; a plan with conflicts is not carried out.
    pub conflicts: Vec<Problem>,
    /// What will be different from the original.
    pub notes: Vec<Problem>,
    /// It stops, replaces or deletes something: needs `confirmed`.
    pub destructive: bool,
    /// Bytes to write.
    pub bytes: u64,
    /// Of these, bytes that must come from the bucket (sealed).
    pub bytes_from_bucket: u64,
    /// Requests to the bucket.
    pub requests: u64,
    /// Seconds from the cache, estimated.
    pub seconds_from_cache: Option<u64>,
    /// Seconds from the bucket, estimated.
    pub seconds_from_bucket: Option<u64>,
    /// The same as a CLI line.
    pub command: String,
}

/// What the event stream carries; the event's name is `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// A job changed.
    Job {
        /// The job as it is now.
        job: Box<JobView>,
    },
    /// Apps, hosts or their states changed: ask again.
    Apps,
    /// Snapshots or their tiers changed: ask again.
    Snapshots,
    /// Cache, bucket, policies or settings changed: ask again.
    Status,
    /// Events were lost: ask for everything again.
    Resync,
}
