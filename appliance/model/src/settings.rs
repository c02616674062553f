//! What people decided: hosts, policies, users, the bucket. One sealed, versioned document in the
//! repository (law L4), so that a new appliance gets it back.

use crate::{Error, Moment, Result, Secret, bucket::BucketUrl, bucket::Credentials, policy::Policy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How to reach a Docker host over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostTls {
    /// PEM of the CA that signs the host.
    pub ca: String,
    /// PEM of our certificate.
    pub cert: String,
    /// PEM of our key.
    pub key: Secret,
}

/// A registered Docker host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Registered name.
    pub name: String,
    /// `unix:///path`, `tcp://host:port`.
    pub url: String,
    /// Certificates for `tcp` with TLS.
    #[serde(default)]
    pub tls: Option<HostTls>,
}

impl Host {
    /// Refuses names and URLs that cannot work.
    pub fn validate(&self) -> Result<()> {
        if !crate::policy::is_name(&self.name) {
            return Err(Error::invalid(
                "host.name",
                format!("“{}” cannot name a host; use 1 to 40 of a-z, 0-9 and -", self.name),
            ));
        }
        let rest = self.url.strip_prefix("unix://").filter(|path| path.starts_with('/'));
        let tcp = self.url.strip_prefix("tcp://").filter(|place| place.contains(':') && !place.contains('@'));
        if rest.is_none() && tcp.is_none() {
            return Err(Error::invalid(
                "host.url",
                format!("“{}” is not a host URL; write unix:///var/run/docker.sock or tcp://name:2376", self.url),
            ));
        }
        Ok(())
    }
}

/// A person who may log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Argon2id hash in PHC form.
    pub password: Secret,
    /// When the account was made.
    pub created: Moment,
}

/// The bucket with its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketSettings {
    /// Where it is.
    pub url: BucketUrl,
    /// How to get in; `None` for a directory.
    #[serde(default)]
    pub credentials: Option<Credentials>,
    /// PEM of the endpoint's own CA, taken in so that a new appliance has it too.
    #[serde(default)]
    pub ca: Option<String>,
}

/// The service provider this appliance is enrolled with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Provider's name.
    pub provider: String,
    /// Tenant's name.
    pub tenant: String,
    /// When.
    pub time: Moment,
    /// Quota in stored bytes, if there is one.
    #[serde(default)]
    pub quota_bytes: Option<u64>,
}

/// The whole document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Counts up with each change.
    pub generation: u64,
    /// The appliance's name.
    pub appliance: String,
    /// Hosts by name.
    pub hosts: BTreeMap<String, Host>,
    /// Policies by name.
    pub policies: BTreeMap<String, Policy>,
    /// App id (`host/app`) to policy name.
    pub assignments: BTreeMap<String, String>,
    /// People.
    pub users: Vec<User>,
    /// The cloud tier.
    pub bucket: Option<BucketSettings>,
    /// The provider.
    pub enrolment: Option<Enrolment>,
    /// When somebody confirmed to have stored the recovery kit.
    pub kit_confirmed: Option<Moment>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            generation: 0,
            appliance: "appliance".into(),
            hosts: BTreeMap::new(),
            policies: Policy::starters().into_iter().map(|policy| (policy.name.clone(), policy)).collect(),
            assignments: BTreeMap::new(),
            users: Vec::new(),
            bucket: None,
            enrolment: None,
            kit_confirmed: None,
        }
    }
}
