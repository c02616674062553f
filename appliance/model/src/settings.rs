//! What people decided: hosts, policies, users, the bucket. One sealed, versioned document in the
//! repository (law L4), so that a new appliance gets it back.

use crate::{
    Error, Moment, Result, Secret, SnapshotId, bucket::BucketUrl, bucket::Credentials, cache::CacheRule,
    hooks::AppHooks, lock::LockRule, policy::Policy, uploads::Uploads, verification::Verification,
};
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

/// How to reach a Docker host by SSH, beside what the appliance's account has in its own configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSsh {
    /// Our private key, without a passphrase; empty for the account's own.
    pub key: Secret,
    /// Keys that the host may show, as lines of known_hosts; empty for the account's own.
    pub known_hosts: String,
}

/// Where a URL of SSH leads: `ssh://[user@]host[:port][/path/of/the/socket]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshPlace {
    /// As whom, if the URL says it.
    pub user: Option<String>,
    /// Name or address; one of IPv6 without its brackets.
    pub host: String,
    /// Port, if the URL says it.
    pub port: Option<u16>,
    /// The engine's socket there, if the URL says it.
    pub socket: Option<String>,
}

impl SshPlace {
    /// Reads a URL. `None` if it is none of SSH, or holds a letter that could mean something to a shell or look like an option.
    pub fn parse(url: &str) -> Option<SshPlace> {
        let rest = url.strip_prefix("ssh://")?;
        let (place, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let (user, place) = place.rsplit_once('@').map_or((None, place), |(user, place)| (Some(user), place));
        let (host, port) = match place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':')?)),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port != 0)?),
            None => None,
        };
        let is_name = |text: &str| {
            !text.is_empty()
                && text.len() <= 255
                && !text.starts_with('-')
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b))
        };
        let is_path =
            |text: &str| text.len() <= 255 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
        if !is_name(host) || !user.is_none_or(|user| is_name(user) && !user.contains(':')) || !is_path(path) {
            return None;
        }
        let socket = Some(path).filter(|path| path.len() > 1).map(str::to_owned);
        Some(SshPlace { user: user.map(str::to_owned), host: host.to_owned(), port, socket })
    }
}

/// A registered Docker host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Registered name.
    pub name: String,
    /// `unix:///path`, `tcp://host:port`, `ssh://user@host`.
    pub url: String,
    /// Certificates for `tcp` with TLS.
    #[serde(default)]
    pub tls: Option<HostTls>,
    /// Keys for `ssh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<HostSsh>,
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
        let unix = self.url.strip_prefix("unix://").is_some_and(|path| path.starts_with('/'));
        let tcp = self.url.strip_prefix("tcp://").is_some_and(is_tcp);
        let ssh = SshPlace::parse(&self.url).is_some();
        if !unix && !tcp && !ssh {
            let text = format!("“{}” is not a host URL: {}", self.url, wrong_with(&self.url));
            return Err(Error::invalid("host.url", text)
                .advice("Write unix:///var/run/docker.sock, tcp://name:2376 or ssh://user@name."));
        }
        if self.tls.is_some() && !tcp {
            return Err(Error::invalid("host.tls", "certificates are for tcp:// alone; leave them out"));
        }
        if self.ssh.is_some() && !ssh {
            return Err(Error::invalid("host.ssh", "an SSH key and known hosts are for ssh:// alone; leave them out"));
        }
        Ok(())
    }
}

/// `name:port`, nothing else.
fn is_tcp(place: &str) -> bool {
    let place = place.trim_end_matches('/');
    let Some((name, port)) = place.rsplit_once(':') else { return false };
    !name.is_empty() && !name.contains(['@', '/']) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn wrong_with(url: &str) -> &'static str {
    match url.split_once("://") {
        Some(("unix", _)) => "after unix:// comes the absolute path of a socket",
        Some(("tcp", _)) => "after tcp:// comes a name or address, a colon and a port (2376 with TLS)",
        Some(("ssh", _)) => {
            "after ssh:// comes [user@]name[:port][/path/of/the/socket], in plain letters, without a password"
        }
        Some(("http" | "https", _)) => "a Docker engine is reached by tcp://, with certificates for TLS",
        _ => "it has to begin with unix://, tcp:// or ssh://",
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
    /// What the proxy on the way asks its user for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_password: Option<Secret>,
    /// How long the bucket is to keep what is written into it, whoever asks for it to be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockRule>,
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

/// Days that a snapshot stays restorable after somebody forgot it.
pub const FORGOTTEN_DAYS: i64 = 7;

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
    /// App id to commands around its backups, beside those of labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, AppHooks>,
    /// People.
    pub users: Vec<User>,
    /// The cloud tier.
    pub bucket: Option<BucketSettings>,
    /// What uploads may take of the line.
    #[serde(skip_serializing_if = "is_default")]
    pub uploads: Uploads,
    /// What the cache may take.
    #[serde(skip_serializing_if = "is_default")]
    pub cache: CacheRule,
    /// What is read and verified each day.
    #[serde(skip_serializing_if = "is_default")]
    pub verification: Verification,
    /// Snapshots that somebody forgot, and when: they stay restorable for [`FORGOTTEN_DAYS`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub forgotten: BTreeMap<SnapshotId, Moment>,
    /// The provider.
    pub enrolment: Option<Enrolment>,
    /// When somebody confirmed to have stored the recovery kit.
    pub kit_confirmed: Option<Moment>,
}

impl Settings {
    /// When a snapshot that somebody forgot is removed for good; `None` if nobody did.
    pub fn forgotten_until(&self, id: &SnapshotId) -> Option<Moment> {
        self.forgotten.get(id).map(|at| at.plus_seconds(FORGOTTEN_DAYS * 86_400))
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            generation: 0,
            appliance: "appliance".into(),
            hosts: BTreeMap::new(),
            policies: Policy::starters().into_iter().map(|policy| (policy.name.clone(), policy)).collect(),
            assignments: BTreeMap::new(),
            hooks: BTreeMap::new(),
            users: Vec::new(),
            bucket: None,
            uploads: Uploads::default(),
            cache: CacheRule::default(),
            verification: Verification::default(),
            forgotten: BTreeMap::new(),
            enrolment: None,
            kit_confirmed: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(url: &str) -> Host {
        Host { name: "lab".into(), url: url.into(), tls: None, ssh: None }
    }

    #[test]
    fn what_was_forgotten_is_kept_by_its_id_and_old_documents_know_nothing_of_it() {
        let at = Moment::from_millis(1_795_410_000_000);
        let id = SnapshotId::new(at, [7; 10]);
        let settings = Settings { forgotten: BTreeMap::from([(id.clone(), at)]), ..Settings::default() };
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
        assert_eq!(settings.forgotten_until(&id), Some(at.plus_seconds(7 * 86_400)));
        assert!(!serde_json::to_string(&Settings::default()).unwrap().contains("forgotten"));
        assert!(serde_json::from_str::<Settings>("{}").unwrap().forgotten.is_empty());
    }

    #[test]
    fn urls_that_cannot_work_are_refused_with_what_is_wrong() {
        for url in [
            "unix:///var/run/docker.sock",
            "tcp://edge:2376",
            "tcp://[::1]:2376/",
            "ssh://edge",
            "ssh://ada@edge:22022/run/podman/podman.sock",
            "ssh://[::1]:22",
        ] {
            host(url).validate().unwrap_or_else(|error| panic!("{url}: {error}"));
        }
        for (url, why) in [
            ("unix://run.sock", "absolute path"),
            ("tcp://edge", "a port"),
            ("tcp://edge:0", "a port"),
            ("tcp://a@edge:1", "a port"),
            ("ssh://-oProxyCommand=x", "after ssh://"),
            ("ssh://ada:word@edge", "without a password"),
            ("ssh://edge/run/'x", "after ssh://"),
            ("ssh://edge:99999", "after ssh://"),
            ("https://edge", "tcp://"),
            ("edge:2376", "begin with"),
        ] {
            let error = host(url).validate().expect_err(url);
            assert!(error.code() == "host.url" && error.to_string().contains(why), "{url}: {error}");
        }
        let ssh = Some(HostSsh { key: Secret::new("k"), known_hosts: String::new() });
        assert_eq!(Host { ssh, ..host("tcp://edge:1") }.validate().unwrap_err().code(), "host.ssh");
    }

    #[test]
    fn places_of_ssh_are_read_in_parts() {
        let place = SshPlace::parse("ssh://ada@[::1]:22022/run/podman/podman.sock").unwrap();
        let told = (place.user.as_deref(), place.host.as_str(), place.port, place.socket.as_deref());
        assert_eq!(told, (Some("ada"), "::1", Some(22022), Some("/run/podman/podman.sock")));
        let place = SshPlace::parse("ssh://edge/").unwrap();
        assert_eq!((place.user, place.host.as_str(), place.port, place.socket), (None, "edge", None, None));
    }
}
