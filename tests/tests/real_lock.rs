//! Somebody has root on the appliance and all its keys: five and twenty ways to take the backups away, then a new appliance with the
//! recovery kit. Against the S3 server in process always; against real ones where their addresses are given, as `real_s3` says.

use bytes::Bytes;
use futures::StreamExt;
use holdfast_catalog::Catalog;
use holdfast_model::{
    Moment, RepositoryId, Secret, SnapshotId,
    bucket::{BucketUrl, Credentials, S3Place},
    lock::{LockMode, LockRule},
    policy::Consistency,
    settings::BucketSettings,
    snapshot::{EngineInfo, Fidelity, RawJson, Snapshot, Stats, StreamRef, Trigger, VolumeSection},
    view::From,
};
use holdfast_repository::{LockProof, Meter, Parts, Repository, StreamKind};
use holdfast_runtime::{Clock, random};
use holdfast_s3::{
    Admin, Reach, S3Store,
    raw::{self, Request},
};
use holdfast_storage::{MemStore, PutMode, Store};
use holdfast_tests::s3mem::{Quirks, S3Mem};
use sha2::{Digest, Sha256};
use std::sync::Arc;

const RULE: LockRule = LockRule { mode: LockMode::Compliance, days: 1 };
const PREFIX: &str = "site";

struct Nobody;

impl Meter for Nobody {
    fn moved(&self, _: u64) {}
    fn stored(&self, _: u64) {}
    fn known(&self, _: u64) {}
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn parts() -> Parts {
    Parts { cache: Arc::new(MemStore::new()), catalog: Arc::new(Catalog::in_memory()), clock: Clock::system() }
}

async fn back_up(repository: &Repository, bytes: &[u8]) -> Snapshot {
    let session = repository.session();
    let source = futures::stream::iter([Ok(Bytes::copy_from_slice(bytes))]).boxed();
    let stream = session.store(StreamKind::Bytes, source, Arc::new(Nobody)).await.expect("the cache takes it");
    let time = Clock::system().now();
    let volume = VolumeSection {
        name: "data".into(),
        anonymous: false,
        inspect: RawJson("{}".into()),
        stream: Some(stream),
        fidelity: Fidelity::Full,
    };
    let snapshot = Snapshot {
        format: holdfast_model::snapshot::FORMAT,
        id: SnapshotId::new(time, random()),
        repository: RepositoryId([0; 16]),
        sequence: 0,
        parent: None,
        app: "shop".into(),
        project: true,
        host: "local".into(),
        engine: EngineInfo::default(),
        time,
        policy: None,
        trigger: Trigger::Manual,
        consistency: Consistency::None,
        fidelity: Fidelity::Full,
        containers: Vec::new(),
        images: Vec::new(),
        volumes: vec![volume],
        binds: Vec::new(),
        networks: Vec::new(),
        databases: Vec::new(),
        problems: Vec::new(),
        stats: Stats::default(),
    };
    session.commit(snapshot).await.expect("the cache takes it")
}

async fn ship(repository: &Repository, bucket: &Arc<dyn Store>) {
    let guarded = repository.guard(Arc::clone(bucket));
    for item in repository.to_ship() {
        let bytes = repository.ship_bytes(&item.key).await.expect("the cache has it");
        guarded.put(&item.key, bytes, PutMode::Once).await.expect("the bucket takes it");
        repository.acknowledged(&item.key, item.size).await.expect("it is known");
    }
}

async fn read(repository: &Repository, stream: &StreamRef) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut pieces = repository.read(stream, From::Auto, None);
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.expect("it can be read"));
    }
    bytes
}

/// A stolen appliance: where its bucket is, and with which keys.
struct Stolen {
    settings: BucketSettings,
    store: S3Store,
    done: Vec<String>,
}

impl Stolen {
    /// Sends a request; whatever comes back is written down.
    async fn tries(&mut self, what: &str, request: Request) {
        let said = match raw::send(&self.settings, request).await {
            Ok((status, text)) => format!("{status} {}", between(&text, "<Code>", "</Code>").unwrap_or("")),
            Err(error) => error.chain(),
        };
        self.done.push(format!("{:>2} {what}: {said}", self.done.len() + 1));
    }

    /// About one object.
    async fn on(
        &mut self,
        what: &str,
        (method, key, query): (&'static str, &str, &str),
        headers: Headers,
        body: &[u8],
    ) {
        let rest = format!("/{PREFIX}/{key}{query}");
        self.tries(what, Request { method, rest, headers, body: Bytes::copy_from_slice(body) }).await;
    }

    /// About the bucket as a whole.
    async fn whole(&mut self, what: &str, method: &'static str, query: &str, body: &str) {
        let headers = vec![sum(body.as_bytes())];
        let (rest, body) = (query.to_owned(), Bytes::copy_from_slice(body.as_bytes()));
        self.tries(what, Request { method, rest, headers, body }).await;
    }

    async fn one(&self, prefix: &str) -> String {
        self.store.list(prefix).await.expect("the bucket lists").remove(0).key
    }

    /// All versions of everything, as the body of one request that deletes them.
    async fn list_to_delete(&self, with_versions: bool) -> String {
        let mut objects = String::new();
        for (key, versions) in self.store.list_versions("").await.expect("the bucket lists versions") {
            // Marks of deletion stay: without them everything would be to be seen again.
            for version in versions.iter().filter(|version| !version.is_marker) {
                let id = if with_versions { format!("<VersionId>{}</VersionId>", version.id) } else { String::new() };
                objects += &format!("<Object><Key>{PREFIX}/{key}</Key>{id}</Object>");
            }
        }
        format!("<Delete>{objects}</Delete>")
    }
}

type Headers = Vec<(&'static str, String)>;

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(inside, _)| inside)
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let number =
            group.iter().fold(0u32, |number, byte| (number << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let sign = SIGNS[(number >> (18 - 6 * place)) as usize & 63] as char;
            text.push(if place <= group.len() { sign } else { '=' });
        }
    }
    text
}

/// Some requests are taken only with the checksum of their body.
fn sum(body: &[u8]) -> (&'static str, String) {
    ("x-amz-checksum-sha256", base64(&Sha256::digest(body)))
}

fn escaped(text: &str) -> String {
    let sign = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => (byte as char).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(sign).collect()
}

fn retention(mode: &str, until: Moment) -> String {
    let until = Moment::from_millis(until.seconds() * 1000);
    format!("<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>")
}

/// Everything that occurs to somebody who wants the backups gone, and can sign as the appliance.
async fn attack(stolen: &mut Stolen) {
    const BYPASS: &str = "x-amz-bypass-governance-retention";
    let (pack, snapshot, slot) = (stolen.one("p/").await, stolen.one("s/").await, stolen.one("k/recovery-").await);
    let version = stolen.store.versions(&pack).await.expect("the bucket tells versions").remove(0);
    let by_id = format!("?versionId={}", escaped(&version.id));
    let soon = Clock::system().now().plus_seconds(120);
    let bypass = || vec![(BYPASS, "true".to_owned())];

    // What there is, piece by piece.
    stolen
        .on(
            "shorten a lock",
            ("PUT", &pack, "?retention"),
            vec![sum(retention("COMPLIANCE", soon).as_bytes())],
            retention("COMPLIANCE", soon).as_bytes(),
        )
        .await;
    let softer = retention("GOVERNANCE", soon);
    let headers = vec![sum(softer.as_bytes()), (BYPASS, "true".to_owned())];
    stolen
        .on(
            "shorten and soften it, with the right to pass over",
            ("PUT", &pack, "?retention"),
            headers,
            softer.as_bytes(),
        )
        .await;
    stolen.on("take the lock away", ("PUT", &pack, "?retention"), vec![sum(b"<Retention/>")], b"<Retention/>").await;
    let free = b"<LegalHold><Status>OFF</Status></LegalHold>";
    stolen.on("end a legal hold", ("PUT", &pack, "?legal-hold"), vec![sum(free)], free).await;
    stolen.on("delete a locked version", ("DELETE", &pack, &by_id), Vec::new(), b"").await;
    stolen.on("the same with the right to pass over", ("DELETE", &pack, &by_id), bypass(), b"").await;
    stolen.on("delete an object", ("DELETE", &pack, ""), Vec::new(), b"").await;
    stolen.on("write garbage over a pack", ("PUT", &pack, ""), Vec::new(), b"garbage").await;
    stolen.on("write nothing over a snapshot", ("PUT", &snapshot, ""), Vec::new(), b"").await;
    stolen.on("write garbage over the format", ("PUT", "format", ""), Vec::new(), b"{}").await;
    stolen.on("write garbage over the kit's slot", ("PUT", &slot, ""), Vec::new(), b"garbage").await;
    let bucket = match &stolen.settings.url {
        BucketUrl::S3(place) => place.bucket.clone(),
        BucketUrl::Directory(path) => path.clone(),
    };
    let from = |key: &str| ("x-amz-copy-source", format!("{bucket}/{PREFIX}/{key}"));
    let replace = ("x-amz-metadata-directive", "REPLACE".to_owned());
    stolen.on("copy a snapshot over itself", ("PUT", &snapshot, ""), vec![from(&snapshot), replace], b"").await;
    stolen.on("copy one object over another", ("PUT", &slot, ""), vec![from("format")], b"").await;
    stolen.on("begin and leave an upload in parts", ("POST", &pack, "?uploads"), Vec::new(), b"").await;
    stolen.on("break an upload off that is none", ("DELETE", &pack, "?uploadId=none"), Vec::new(), b"").await;
    stolen
        .on(
            "open an object to everybody",
            ("PUT", &pack, "?acl"),
            vec![("x-amz-acl", "public-read-write".to_owned())],
            b"",
        )
        .await;

    attack_whole(stolen, &bucket).await;
    // And once more what had no effect while versions were kept.
    stolen.on("write garbage over what is left", ("PUT", &pack, ""), Vec::new(), b"more garbage").await;
}

/// The same for the bucket as a whole.
async fn attack_whole(stolen: &mut Stolen, bucket: &str) {
    let soft = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
                <Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    stolen.whole("lock softly by default", "PUT", "?object-lock", soft).await;
    stolen.whole("turn object lock off", "PUT", "?object-lock", "<ObjectLockConfiguration/>").await;
    let suspended = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
    stolen.whole("keep no versions any more", "PUT", "?versioning", suspended).await;
    let expiry = "<LifecycleConfiguration><Rule><ID>x</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>\
                  <Expiration><Days>1</Days></Expiration><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>\
                  </NoncurrentVersionExpiration></Rule></LifecycleConfiguration>";
    stolen.whole("let everything expire", "PUT", "?lifecycle", expiry).await;
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":["s3:DeleteObject","s3:DeleteObjectVersion"],"Resource":["arn:aws:s3:::{bucket}/*"]}}]}}"#
    );
    stolen.whole("let everybody delete", "PUT", "?policy", &policy).await;
    for (what, with_versions) in [("delete everything at once", false), ("delete all versions at once", true)] {
        let list = stolen.list_to_delete(with_versions).await;
        stolen.whole(what, "POST", "?delete", &list).await;
    }
    stolen.whole("delete the bucket", "DELETE", "", "").await;
}

async fn survives(settings: BucketSettings) {
    let open = || S3Store::open(&settings).expect("they were good before");
    let bucket: Arc<dyn Store> = Arc::new(open());
    let repository = Repository::create(parts(), [7; 32]).await.expect("it is made");
    repository.set_lock(Some(RULE));
    repository.attach_bucket(Arc::clone(&bucket)).await.expect("it is attached");
    let mut taken = Vec::new();
    for seed in 1..4 {
        // A part that all share, and one of its own.
        let bytes = [noise(99, 700_000), noise(seed, 300_000)].concat();
        taken.push((back_up(&repository, &bytes).await, bytes));
        ship(&repository, &bucket).await;
    }
    assert_eq!(repository.locked().len(), taken.len(), "every snapshot is locked: {:?}", repository.take_healed());
    assert_eq!(repository.prove_lock().await.expect("it can be tried"), LockProof::Held);
    let (kit, format) = (repository.recovery_key(), bucket.get("format").await.ok());
    drop(repository);

    let mut stolen = Stolen { settings: settings.clone(), store: open(), done: Vec::new() };
    attack(&mut stolen).await;
    stolen.done.iter().for_each(|line| eprintln!("{line}"));
    assert_eq!(stolen.done.len(), 25);
    assert_ne!(bucket.get("format").await.ok(), format, "something was done to the bucket");

    let recovered = Repository::recover(parts(), Arc::new(open()), kit, [9; 32]).await.expect("the kit opens it");
    assert_eq!(recovered.snapshots().len(), taken.len(), "{:?}", recovered.take_healed());
    for (snapshot, bytes) in &taken {
        let stream = snapshot.volumes[0].stream.as_ref().expect("it has one");
        assert!(read(&recovered, stream).await == *bytes, "{} comes back byte for byte", snapshot.id);
    }
    assert!(recovered.take_healed().iter().any(|problem| problem.code == "bucket.tampered"));
}

fn with_prefix(mut settings: BucketSettings) -> BucketSettings {
    if let BucketUrl::S3(place) = &mut settings.url {
        place.prefix = PREFIX.into();
    }
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_everything_takes_nothing_from_a_server_in_process() {
    let server = S3Mem::start(Quirks::default()).await;
    server.make_bucket("locking", true);
    survives(with_prefix(server.settings("locking"))).await;
}

/// A new bucket that locks on the server `name`, or `None` with a line that says why not.
async fn real(name: &str) -> Option<BucketSettings> {
    let read = |what: &str| std::env::var(format!("HOLDFAST_TEST_{name}_{what}")).ok();
    let (Some(endpoint), Some(access_key), Some(secret_key)) =
        (read("ENDPOINT"), read("ACCESS_KEY"), read("SECRET_KEY"))
    else {
        eprintln!("SKIPPED: HOLDFAST_TEST_{name}_ENDPOINT, _ACCESS_KEY and _SECRET_KEY are not set");
        return None;
    };
    let credentials = Credentials { access_key, secret_key: Secret::new(secret_key), session_token: None };
    let reach = Reach {
        endpoint: Some(endpoint.clone()),
        region: "us-east-1".into(),
        path_style: true,
        credentials: credentials.clone(),
        ca: None,
        proxy: None,
    };
    let bucket = format!("holdfast-lock-{}", hex::encode(random::<5>()));
    let admin = Admin::open(&reach).expect("the address is good");
    admin.create_bucket(&bucket, true).await.expect("the bucket is made");
    let place = S3Place {
        bucket,
        prefix: PREFIX.into(),
        endpoint: Some(endpoint),
        region: reach.region,
        path_style: true,
        ca: None,
        proxy: None,
        class: None,
    };
    let url = BucketUrl::S3(place);
    Some(BucketSettings { url, credentials: Some(credentials), ca: None, proxy_password: None, lock: None })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_everything_takes_nothing_from_seaweedfs() {
    if let Some(settings) = real("SEAWEED").await {
        survives(settings).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_everything_takes_nothing_from_ceph() {
    if let Some(settings) = real("CEPH").await {
        survives(settings).await;
    }
}
