//! The enrolment bundle: how a provider hands a tenant's bucket to an appliance. Never a data key.

use crate::{Error, Moment, Result, bucket::BucketUrl, bucket::Credentials};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Format of the bundle.
pub const FORMAT: u32 = 1;

/// What the provider signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// [`FORMAT`].
    pub format: u32,
    /// Provider's name.
    pub provider: String,
    /// Tenant's name.
    pub tenant: String,
    /// Unique id of this bundle.
    pub id: String,
    /// When it was made.
    pub issued: Moment,
    /// When it stops being accepted.
    pub expires: Moment,
    /// The tenant's bucket.
    pub bucket: BucketUrl,
    /// Keys scoped to that bucket alone.
    pub credentials: Credentials,
    /// PEM of the endpoint's own CA.
    #[serde(default)]
    pub ca: Option<String>,
    /// Quota in stored bytes.
    #[serde(default)]
    pub quota_bytes: Option<u64>,
}

/// The signed envelope, a JSON file or one line `hfe1_…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedBundle {
    /// JSON of [`Enrolment`], exactly as signed.
    pub payload: String,
    /// Ed25519 public key of the provider, hex.
    pub key: String,
    /// Ed25519 signature over the payload's bytes, hex.
    pub signature: String,
}

impl SignedBundle {
    /// Reads the JSON file form.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text.trim()).map_err(|_| {
            Error::invalid("bundle.malformed", "this is not an enrolment bundle")
                .advice("Ask your provider for a new bundle file.")
        })
    }
}
