//! An S3 server in this process: buckets, versions, locks and users in memory, with faults on order and the
//! quirks of real engines, so that client, probe and provider are tried against each of them.
//!
//! Protocol and signatures come from `s3s`; storage, rights, IAM and faults are ours. All state is behind one
//! mutex, so conditional writes are atomic. Listens on loopback only.

mod backend;
mod front;
mod iam;
mod state;
mod tls;

use bytes::Bytes;
use holdfast_model::{
    Secret,
    bucket::{BucketUrl, Credentials, S3Place},
    settings::BucketSettings,
};
use state::State;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// In which ways the server differs from the ideal one.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    /// `If-None-Match` has no effect (Garage).
    pub ignores_condition: bool,
    /// `If-None-Match` is answered with 501 (Backblaze B2).
    pub refuses_condition: bool,
    /// Of racers with the same condition more than one may win (s3s-fs).
    pub racy_condition: bool,
    /// `x-amz-checksum-sha256` is not compared (Ceph).
    pub ignores_checksum: bool,
    /// The signed hash of a body is not compared (SeaweedFS).
    pub ignores_signed_hash: bool,
    /// Object lock headers are accepted and have no effect (Garage).
    pub ignores_lock: bool,
    /// Versioning cannot be turned on (Garage).
    pub no_versions: bool,
    /// A range request is answered with the whole object.
    pub ignores_range: bool,
    /// A range request is answered with the neighbouring range.
    pub shifts_range: bool,
    /// `If-Match` has no effect on reads.
    pub ignores_tags: bool,
    /// Listings name the same continuation token for ever.
    pub listing_in_circles: bool,
    /// Listings do not show objects.
    pub listing_lags: bool,
    /// Objects per page of a listing; 0 means 1000.
    pub page: usize,
    /// The only region that is accepted; empty accepts all.
    pub region: String,
    /// The session token that every request needs, whatever its key; one that has another is told that it expired. Empty asks for none.
    pub session_token: String,
    /// The server's clock is ahead of ours by so many seconds.
    pub clock_ahead_seconds: i64,
    /// Bytes that fit into a bucket.
    pub quota_bytes: Option<u64>,
    /// The storage classes that it knows; empty knows all.
    pub classes: Vec<&'static str>,
    /// A storage class whose objects cannot be read at once.
    pub sleeping: Option<&'static str>,
    /// Policies of users are kept and not enforced.
    pub open_doors: bool,
    /// A copy inside the store asks for the right to write only, not for that to read.
    pub copies_anything: bool,
    /// Users may make keys for themselves (SeaweedFS).
    pub own_keys: bool,
    /// Managed policies are not known, only those written into a user (Ceph accounts).
    pub inline_policies_only: bool,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this status and S3 code, nothing is done.
    Status(u16, &'static str),
    /// The body of the answer ends after so many bytes, and the connection with it.
    Cut(usize),
    /// Done, but the answer never arrives.
    LoseReply,
    /// One bit of the answer's body at this offset is turned.
    Flip(usize),
    /// Answered after this time.
    Delay(Duration),
    /// Answered with success, and nothing is done.
    Pretend,
    /// The body of the request is taken so slowly, in bytes per second.
    Sip(usize),
    /// So much of the body of the request is taken, and then nothing any more.
    Choke(usize),
}

/// A fault waiting for its requests.
#[derive(Clone, Debug)]
struct Trap {
    method: &'static str,
    part: String,
    after: usize,
    times: usize,
    fault: Fault,
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct S3Mem {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The administrator's access key.
    pub access_key: String,
    /// The administrator's secret key.
    pub secret_key: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    quirks: Quirks,
    state: Mutex<State>,
    traps: Mutex<Vec<Trap>>,
    log: Mutex<Vec<String>>,
    sent: AtomicU64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the state in hand")
    }

    /// The server's clock, in seconds.
    fn now(&self) -> i64 {
        holdfast_runtime::Clock::system().now().seconds() + self.quirks.clock_ahead_seconds
    }
}

impl S3Mem {
    /// Starts a server on a free port, with a bucket `bucket` in it.
    pub async fn start(quirks: Quirks) -> S3Mem {
        S3Mem::begin(quirks, None).await
    }

    /// The same with TLS, under a certificate of [`S3Mem::CA`].
    pub async fn start_tls(quirks: Quirks) -> S3Mem {
        S3Mem::begin(quirks, Some(tls::acceptor())).await
    }

    /// PEM of the CA of servers with TLS.
    pub const CA: &str = include_str!("certificates/ca.pem");
    /// PEM of a CA that no server has its certificate from.
    pub const OTHER_CA: &str = include_str!("certificates/other-ca.pem");

    async fn begin(quirks: Quirks, tls: Option<tls::Acceptor>) -> S3Mem {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port on loopback");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().expect("a bound socket has an address"));
        let (access_key, secret_key) = ("ADMINKEY".to_owned(), "admin-secret-admin-secret".to_owned());
        let mut state = State::new(&access_key, &secret_key);
        state.make_bucket("bucket", false).expect("the first bucket");
        let shared = Arc::new(Shared {
            quirks,
            state: Mutex::new(state),
            traps: Mutex::default(),
            log: Mutex::default(),
            sent: AtomicU64::new(0),
        });
        let task = tokio::spawn(front::serve(listener, tls, shared.clone()));
        S3Mem { url, access_key, secret_key, shared, task }
    }

    /// How to reach `bucket` with the administrator's key; `region` is the one this server wants.
    pub fn settings(&self, bucket: &str) -> BucketSettings {
        self.settings_as(bucket, (&self.access_key, &self.secret_key))
    }

    /// How to reach `bucket` with another key.
    pub fn settings_as(&self, bucket: &str, key: (&str, &str)) -> BucketSettings {
        let region = Some(self.shared.quirks.region.clone()).filter(|region| !region.is_empty());
        let place = S3Place {
            bucket: bucket.to_owned(),
            prefix: String::new(),
            endpoint: Some(self.url.clone()),
            region: region.unwrap_or_else(|| "us-east-1".to_owned()),
            path_style: true,
            ca: None,
            proxy: None,
            class: None,
        };
        let credentials =
            Credentials { access_key: key.0.to_owned(), secret_key: Secret::new(key.1), session_token: None };
        let url = BucketUrl::S3(place);
        BucketSettings { url, credentials: Some(credentials), ca: None, proxy_password: None, lock: None }
    }

    /// Ends the server; open connections break.
    pub fn stop(self) {
        self.task.abort();
    }

    /// Has `fault` happen to requests of `method` (`*` is any) whose path and query hold `part`: the first
    /// `after` of them pass, the next `times` are hit.
    pub fn trap(&self, method: &'static str, part: &str, after: usize, times: usize, fault: Fault) {
        let trap = Trap { method, part: part.to_owned(), after, times, fault };
        self.shared.traps.lock().expect("traps").push(trap);
    }

    /// Takes all traps away.
    pub fn heal(&self) {
        self.shared.traps.lock().expect("traps").clear();
    }

    /// The requests so far, as `METHOD path?query`.
    pub fn requests(&self) -> Vec<String> {
        self.shared.log.lock().expect("log").clone()
    }

    /// Bytes of the bodies that were sent so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Makes a bucket behind the protocol's back; with `versions` it keeps old ones and can lock.
    pub fn make_bucket(&self, name: &str, versions: bool) {
        self.shared.state().make_bucket(name, versions && !self.shared.quirks.no_versions).expect("a new bucket");
    }

    /// Names of the buckets.
    pub fn buckets(&self) -> Vec<String> {
        self.shared.state().buckets.keys().cloned().collect()
    }

    /// Names of the users.
    pub fn users(&self) -> Vec<String> {
        self.shared.state().users.keys().cloned().collect()
    }

    /// How many access keys there are, the administrator's included.
    pub fn access_keys(&self) -> usize {
        self.shared.state().keys.len()
    }

    /// Keys of the objects in a bucket.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.shared.state().keys(bucket)
    }

    /// The storage class that an object was written in, if one was asked for.
    pub fn class_of(&self, bucket: &str, key: &str) -> Option<String> {
        self.shared.state().classes.get(&(bucket.to_owned(), key.to_owned())).cloned()
    }

    /// The bytes of an object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.shared.state().latest(bucket, key).map(|version| version.body.clone())
    }

    /// Replaces an object's bytes behind the protocol's back, as rot would; its checksum stays.
    pub fn damage(&self, bucket: &str, key: &str, body: Bytes) {
        self.shared.state().damage(bucket, key, body);
    }

    /// A key that may do `actions` (`s3:GetObject`, …) on `bucket` only.
    pub fn user(&self, name: &str, bucket: &str, actions: &[&str]) -> (String, String) {
        let document = serde_json::json!({"Statement": [{
            "Effect": "Allow",
            "Action": actions,
            "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")],
        }]});
        let mut state = self.shared.state();
        state.users.entry(name.to_owned()).or_default().inline.insert("own".into(), document.to_string());
        state.make_key(name)
    }
}

impl Drop for S3Mem {
    fn drop(&mut self) {
        self.task.abort();
    }
}
