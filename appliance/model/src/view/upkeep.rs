//! API shapes of upkeep and administration: prune, check, bucket, kit, set-up, login, doctor, errors.

use crate::{Moment, Problem, SnapshotId, hooks::ServiceHooks, policy::Policy};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What prune would do or did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PruneView {
    /// Snapshots that stay, with the rules that keep them.
    pub keep: Vec<PruneLine>,
    /// Snapshots that go.
    pub forget: Vec<PruneLine>,
    /// Packs that no snapshot needs.
    pub packs: u64,
    /// Their bytes in the cache.
    pub cache_bytes: u64,
    /// Their bytes in the bucket.
    pub bucket_bytes: u64,
    /// Bytes that are dead but share a pack with living ones.
    pub held_bytes: u64,
    /// Packs that are mostly dead: what lives of them moves to new ones.
    pub repack: u64,
    /// Living bytes that move.
    pub repack_bytes: u64,
    /// Dead bytes that are freed by that, after the grace.
    pub repack_frees: u64,
    /// Bytes that nothing needs either and that are locked in the bucket: they stay until their locks end.
    pub locked_bytes: u64,
    /// Set where the bucket refused or must not be asked to delete.
    pub problems: Vec<Problem>,
}

/// One snapshot in a prune plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PruneLine {
    /// Its id.
    #[schema(value_type = String)]
    pub id: SnapshotId,
    /// `host/app`.
    pub app: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Moment,
    /// Why it stays or goes.
    pub reason: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CheckView {
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Packs looked at in the cache.
    pub packs_cache: u64,
    /// Packs looked at in the bucket.
    pub packs_bucket: u64,
    /// Bytes read and verified.
    pub bytes_read: u64,
    /// Objects healed from the other tier.
    pub healed: u64,
    /// Packs whose bytes were never read and found good, as far as this appliance remembers.
    pub unverified_packs: u64,
    /// Of the others, the time of the verification that is longest ago.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest_verified: Option<Moment>,
    /// Packs of contents that restoring the newest snapshot of each app asks for.
    pub newest_packs: u64,
    /// Packs that the same contents would fill if they lay together.
    pub newest_packs_least: u64,
    /// What is wrong now (healed things are notes).
    pub problems: Vec<Problem>,
}

/// A bucket to attach. Keys that are left out stay as they are if it is the present one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketRequest {
    /// `s3://…` or `file:///…`.
    pub url: String,
    /// Access key id.
    #[serde(default)]
    pub access_key: Option<String>,
    /// Secret key.
    #[serde(default)]
    pub secret_key: Option<String>,
    /// Session token, if the keys are for a time only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
    /// PEM of the endpoint's own CA.
    #[serde(default)]
    pub ca: Option<String>,
    /// What the proxy that the URL names asks its user for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_password: Option<String>,
    /// Whether data that only the bucket of before holds may stay behind there.
    #[serde(default)]
    pub leave_behind: bool,
}

/// The recovery kit as text and as what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KitView {
    /// The whole kit, to be printed or stored: holds the recovery key.
    pub text: String,
    /// Suggested file name.
    pub file_name: String,
}

/// An appliance to rebuild, opened by exactly one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoverRequest {
    /// The bucket.
    pub bucket: BucketRequest,
    /// Text of the recovery kit.
    #[serde(default)]
    pub kit: Option<String>,
    /// A passphrase that was added to the repository.
    #[serde(default)]
    pub passphrase: Option<String>,
    /// PEM of the private half of an escrow key.
    #[serde(default)]
    pub escrow_key: Option<String>,
}

impl RecoverRequest {
    /// With the recovery kit.
    pub fn with_kit(bucket: BucketRequest, kit: impl Into<String>) -> Self {
        RecoverRequest { bucket, kit: Some(kit.into()), passphrase: None, escrow_key: None }
    }
}

/// First-run state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetupView {
    /// An admin exists: log in.
    pub done: bool,
    /// There is a repository with snapshots or a recovered one.
    pub has_repository: bool,
    /// The kit was confirmed.
    pub kit_confirmed: bool,
    /// A bucket is attached.
    pub has_bucket: bool,
    /// Program version.
    pub version: String,
}

/// Makes the first admin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupRequest {
    /// One-time token from the setup link.
    pub token: String,
    /// Login name.
    pub name: String,
    /// Password, at least 12 characters.
    pub password: String,
}

/// Logs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// Login name.
    pub name: String,
    /// Password.
    pub password: String,
}

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Login name; `local` on the unix socket.
    pub name: String,
}

/// Asks for the password again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StepUp {
    /// The logged-in person's password (not needed on the unix socket).
    pub password: Option<String>,
}

/// Assigns a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignRequest {
    /// Policy name; `null` takes the app off every policy.
    pub policy: Option<String>,
}

/// Policies with what they cover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// The policy.
    pub policy: Policy,
    /// Ids of apps it is assigned to.
    pub apps: Vec<String>,
}

/// Commands around the backups of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HooksView {
    /// Services that the app has now or that something is set for, by name.
    pub services: Vec<ServiceHooksView>,
    /// Why labels could not be read; what is set is shown all the same.
    pub error: Option<String>,
}

/// Commands around the backups of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceHooksView {
    /// The service; of an app that is one container, its name.
    pub service: String,
    /// Whether the app has it now.
    pub present: bool,
    /// What labels say.
    pub labels: ServiceHooks,
    /// What was set here.
    pub set: ServiceHooks,
    /// What holds: each as it was set, else as labels say it.
    pub effective: ServiceHooks,
}

/// One line of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoctorLine {
    /// What was tried.
    pub test: String,
    /// Whether it worked.
    pub ok: bool,
    /// What was found, in words.
    pub detail: String,
}

/// An error answer (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorView {
    /// HTTP status.
    pub status: u16,
    /// Error kind, as in `Kind::as_str`.
    pub kind: String,
    /// Stable dotted code.
    pub code: String,
    /// One sentence.
    pub title: String,
    /// The whole story.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
}
