//! The words around a tenant: what is asked for, what comes out, what the folder remembers.

use holdfast_model::{Error, Moment, Result, bucket::BucketUrl, bundle::SignedBundle, policy, view::DoctorLine};
use serde::{Deserialize, Serialize};

/// A bundle is meant to be used soon; a year is the most that can be asked.
const LONGEST_VALIDITY: u64 = 366 * 86_400;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct TenantRequest {
    /// The tenant's name: 1 to 40 of a-z, 0-9 and -.
    pub name: String,
    /// The provider's name, as the tenant sees it.
    pub provider: String,
    /// Quota in stored bytes; written into the bundle.
    pub quota_bytes: Option<u64>,
    /// How long the bundle is accepted.
    pub valid_for_seconds: u64,
    /// Makes the bucket with object lock (and so with versions). What the tenant deletes then stays as an old
    /// version until the provider removes it.
    pub lock: bool,
    /// Leaves deletion out of the key's rights; the bucket then keeps versions, because such a key may still
    /// overwrite. The appliance cannot prune its bucket itself then.
    pub append_only: bool,
}

impl TenantRequest {
    /// Refuses what cannot work: `tenant.name`, `tenant.validity`, `tenant.quota`.
    pub fn validate(&self) -> Result<()> {
        if !policy::is_name(&self.name) || self.name.ends_with('-') {
            return Err(Error::invalid(
                "tenant.name",
                format!("“{}” cannot name a tenant; use 1 to 40 of a-z, 0-9 and -", self.name),
            ));
        }
        if self.provider.trim().is_empty() || self.provider.len() > 100 {
            return Err(Error::invalid("tenant.name", "the provider's name must have 1 to 100 characters"));
        }
        if !(60..=LONGEST_VALIDITY).contains(&self.valid_for_seconds) {
            return Err(Error::invalid("tenant.validity", "a bundle can be valid for a minute to a year"));
        }
        if self.quota_bytes == Some(0) {
            return Err(Error::invalid("tenant.quota", "a quota of nothing leaves no room for backups"));
        }
        Ok(())
    }
}

/// A tenant that stands.
#[derive(Clone, Debug)]
pub struct Created {
    /// What the folder remembers.
    pub tenant: TenantView,
    /// What the tenant gets: holds the key, hand it over like a password.
    pub bundle: SignedBundle,
    /// What was tried with the tenant's key, and how it ended.
    pub proof: Vec<DoctorLine>,
}

/// A tenant as listed and shown; without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantView {
    /// Name.
    pub name: String,
    /// The provider's name.
    pub provider: String,
    /// `ready`, or `unfinished` if making it was broken off.
    pub state: String,
    /// `iam` or `by-hand`.
    pub driver: String,
    /// Bucket URL.
    pub bucket: String,
    /// When it was made (RFC 3339).
    pub created: String,
    /// Quota in stored bytes.
    pub quota_bytes: Option<u64>,
    /// Whether the store itself stops at the quota; if not, it is told to the appliance only.
    pub quota_enforced: bool,
    /// Whether the bucket was made with object lock.
    pub lock: bool,
    /// Whether the key may not delete.
    pub append_only: bool,
    /// Access key id.
    pub access_key: Option<String>,
    /// Id of the bundle handed out.
    pub bundle_id: Option<String>,
    /// When that bundle stops being accepted (RFC 3339).
    pub bundle_expires: Option<String>,
}

/// What the folder keeps of a tenant. Written before anything is made, so that nothing is made unremembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) ready: bool,
    pub(crate) created: Moment,
    pub(crate) bucket: BucketUrl,
    pub(crate) made: Made,
    pub(crate) quota_bytes: Option<u64>,
    pub(crate) lock: bool,
    pub(crate) append_only: bool,
    pub(crate) bundle: Option<BundleNote>,
}

/// What was made, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub(crate) enum Made {
    /// Through IAM; all names are chosen beforehand.
    Iam {
        /// Bucket.
        bucket: Option<String>,
        /// Bucket that the key is tried at; gone once the tenant is ready.
        canary: Option<String>,
        /// User, and name of its policy.
        user: Option<String>,
        /// ARN of the managed policy; none if the policy was written into the user.
        policy_arn: Option<String>,
        /// Access key id.
        access_key: Option<String>,
    },
    /// Nothing was made here.
    ByHand {
        /// Access key id.
        access_key: String,
    },
}

/// Which bundle was handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BundleNote {
    pub(crate) id: String,
    pub(crate) expires: Moment,
}

impl Record {
    pub(crate) fn view(&self) -> TenantView {
        let (driver, access_key) = match &self.made {
            Made::Iam { access_key, .. } => ("iam", access_key.clone()),
            Made::ByHand { access_key } => ("by-hand", Some(access_key.clone())),
        };
        TenantView {
            name: self.name.clone(),
            provider: self.provider.clone(),
            state: if self.ready { "ready" } else { "unfinished" }.to_owned(),
            driver: driver.to_owned(),
            bucket: self.bucket.to_string(),
            created: self.created.to_string(),
            quota_bytes: self.quota_bytes,
            // No IAM has quotas; drivers that know how to set one will say so here.
            quota_enforced: false,
            lock: self.lock,
            append_only: self.append_only,
            access_key,
            bundle_id: self.bundle.as_ref().map(|bundle| bundle.id.clone()),
            bundle_expires: self.bundle.as_ref().map(|bundle| bundle.expires.to_string()),
        }
    }
}
