//! What a bucket really does, found out by trying under the reserved prefix `probe/`; never taken from a
//! vendor's name or from a 200. Cleans up what it may.
//!
//! A test that could not be made leaves its answer at "no" and says why in the notes.

use crate::{
    read::content_range,
    signed::{Call, Caller},
    store::S3Store,
    wire::{Patience, Reach},
};
use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    operation::put_object::{PutObjectError, PutObjectOutput},
    primitives::{ByteStream, DateTime},
    types::ObjectLockMode,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use futures::future::join_all;
use holdfast_model::{Error, Kind, Result, bucket::BucketUrl, settings::BucketSettings, view::Capabilities};
use holdfast_runtime::{Clock, random};
use holdfast_storage::{DirStore, PutMode, Store};

mod plain;
pub use plain::probe_store;

/// Writers that race for one name.
const RACERS: [&str; 8] = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"];
/// How long the canary of the lock test is locked: long enough to try, short enough to be swept next time.
const LOCK_SECONDS: i64 = 60;
/// Leftovers of earlier probes that one probe removes at most.
const MOST_SWEPT: usize = 200;

/// Probes the bucket or directory of `settings`.
///
/// Errors: those of reaching it at all (`bucket.unreachable`, `bucket.denied`, `bucket.missing`, …), and `bucket.class` if it does not
/// take the storage class that the URL names.
pub async fn probe(settings: &BucketSettings) -> Result<Capabilities> {
    match &settings.url {
        BucketUrl::Directory(path) => probe_store(&DirStore::open(path)?).await,
        BucketUrl::S3(_) => probe_bucket(settings).await,
    }
}

async fn probe_bucket(settings: &BucketSettings) -> Result<Capabilities> {
    let store = S3Store::open(settings)?;
    let (reach, _) = Reach::of(settings)?;
    let caller = Caller::new(&reach, store.place(), Patience::default())?;
    let base = format!("probe/{}", hex::encode(random::<6>()));
    let caps = Capabilities { probed: Some(Clock::system().now().to_string()), ..Capabilities::default() };
    let mut probe = Probe { store, caller, base, caps };
    probe.writes_and_lists().await?;
    probe.class().await?;
    probe.tells_the_time(&reach).await?;
    probe.conditions().await?;
    probe.race().await?;
    probe.range().await?;
    probe.checksums(&reach).await?;
    probe.versions().await?;
    probe.lock().await?;
    probe.deletes().await?;
    probe.sweep().await;
    Ok(probe.caps)
}

struct Probe {
    store: S3Store,
    caller: Caller,
    base: String,
    caps: Capabilities,
}

type Put = Result<PutObjectOutput, SdkError<PutObjectError, HttpResponse>>;

impl Probe {
    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    fn note(&mut self, text: impl Into<String>) {
        self.caps.notes.push(text.into());
    }

    /// Goes on past a refusal, with a note; stops at a bucket that cannot be reached.
    fn go_on(&mut self, test: &str, error: Error) -> Result<()> {
        if error.kind() == Kind::Unavailable && error.code() != "bucket.transit" {
            return Err(error.while_doing(format!("probe the bucket: {test}")));
        }
        self.note(format!("{test}: {}", error.chain()));
        Ok(())
    }

    fn explain<E>(&self, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        crate::fault::explain(&self.store.place(), error)
    }

    async fn put(&self, name: &str, body: &'static str, once: bool) -> Put {
        let put = self.store.client.put_object().bucket(&self.store.bucket).key(self.store.name(&self.key(name)));
        put.set_if_none_match(once.then(|| "*".to_owned())).body(ByteStream::from_static(body.as_bytes())).send().await
    }

    async fn writes_and_lists(&mut self) -> Result<()> {
        self.store.list(&format!("{}/", self.base)).await?;
        self.store.put(&self.key("a"), Bytes::from_static(b"0123456789"), PutMode::Replace).await?;
        let listed = self.store.list(&format!("{}/", self.base)).await?;
        self.caps.list_after_put = listed.iter().any(|object| object.key == self.key("a") && object.size == 10);
        Ok(())
    }

    /// Whether the storage class of the URL is taken, and given back at once: what cannot be read is no backup.
    async fn class(&self) -> Result<()> {
        let Some(class) = self.store.class.clone() else { return Ok(()) };
        let unfit = |error: Error, what: &str| match error.kind() {
            Kind::Unavailable => error.while_doing("probe the bucket: storage class"),
            _ => Error::invalid("bucket.class", format!("{} {what} the storage class {class}", self.store.place()))
                .caused_by(error)
                .advice("Correct class=… in the bucket URL, or leave it out."),
        };
        let key = self.key("class");
        let put = self.store.client.put_object().bucket(&self.store.bucket).key(self.store.name(&key));
        let put = put.storage_class(class.clone()).body(ByteStream::from_static(b"class")).send().await;
        put.map_err(|error| unfit(self.explain(&error), "does not take objects of"))?;
        let back =
            self.store.get(&key).await.map_err(|error| unfit(error, "does not give back at once what lies in"))?;
        if back != "class" {
            let other = Error::new(Kind::Corrupt, "object.corrupt", "other bytes came back than were written");
            return Err(unfit(other, "does not keep what lies in"));
        }
        Ok(())
    }

    async fn tells_the_time(&mut self, reach: &Reach) -> Result<()> {
        let url = bucket_url(reach, &self.store.bucket, "?list-type=2&max-keys=1");
        let call =
            Call { service: "s3", method: "GET", url: &url, headers: vec![], body: Bytes::new(), claimed_hash: None };
        match self.caller.send(call).await?.said.skew_seconds {
            Some(seconds) => self.caps.clock_skew_seconds = seconds,
            None => self.note("clock: the bucket's answers have no date"),
        }
        Ok(())
    }

    async fn conditions(&mut self) -> Result<()> {
        match self.put("a", "another body", true).await {
            Ok(_) => {}
            Err(error) if crate::fault::refusal(&error).is_some_and(|said| said.lost_condition()) => {
                // The status alone is no proof: the object must be the old one.
                let body = self.store.get(&self.key("a")).await?;
                self.caps.conditional_put = body == "0123456789";
            }
            Err(error) => {
                let error = self.explain(&error);
                self.go_on("conditional write", error)?;
            }
        }
        Ok(())
    }

    async fn race(&mut self) -> Result<()> {
        if !self.caps.conditional_put {
            self.note("race of conditional writes: not made, a single conditional write is not kept already");
            return Ok(());
        }
        let results = join_all(RACERS.iter().map(|body| self.put("race", body, true))).await;
        let lost = |error| crate::fault::refusal(error).is_some_and(|said| said.lost_condition());
        let winners = results.iter().filter(|result| result.is_ok()).count();
        let losers = results.iter().filter_map(|result| result.as_ref().err()).filter(|error| lost(error)).count();
        if winners + losers < RACERS.len() {
            self.note("race of conditional writes: some racers got other errors");
        }
        self.caps.conditional_race = winners == 1;
        Ok(())
    }

    async fn range(&mut self) -> Result<()> {
        let key = self.key("range");
        self.store.put(&key, Bytes::from_static(b"0123456789"), PutMode::Replace).await?;
        let get = self.store.client.get_object().bucket(&self.store.bucket).key(self.store.name(&key));
        match get.range("bytes=3-6").send().await {
            Ok(answer) => {
                let claimed = answer.content_range().and_then(content_range);
                let body = crate::read::small(answer.body, self.store.patience.idle).await.unwrap_or_default();
                self.caps.range = claimed == Some(3..7) && body == "3456";
            }
            Err(error) => {
                let error = self.explain(&error);
                self.go_on("range", error)?;
            }
        }
        Ok(())
    }

    /// Uploads carry their hash twice; one check is enough, and the notes say which one is missing.
    async fn checksums(&mut self, reach: &Reach) -> Result<()> {
        let wrong = aws_smithy_types::base64::encode([7u8; 32]);
        let put = self.store.client.put_object().bucket(&self.store.bucket);
        let put = put.key(self.store.name(&self.key("sum"))).checksum_sha256(wrong).body(ByteStream::from_static(b"x"));
        let by_header = match put.send().await {
            Ok(_) => false,
            Err(error) => {
                let error = self.explain(&error);
                self.is_mismatch("checksum header", error)?
            }
        };
        let url = bucket_url(reach, &self.store.bucket, &format!("/{}", self.store.name(&self.key("hash"))));
        let call = Call {
            service: "s3",
            method: "PUT",
            url: &url,
            headers: vec![],
            body: Bytes::from_static(b"x"),
            claimed_hash: Some(hex::encode([7u8; 32])),
        };
        let answer = self.caller.send(call).await?;
        let by_signature = if answer.said.status < 300 {
            false
        } else {
            let error = crate::fault::of_refusal(&self.store.place(), &answer.said);
            self.is_mismatch("signed hash", error)?
        };
        self.caps.checksum = by_header || by_signature;
        match (by_header, by_signature) {
            (true, false) => self.note("checksum: only the checksum header is compared, not the signed hash"),
            (false, true) => self.note("checksum: only the signed hash is compared, not the checksum header"),
            _ => {}
        }
        Ok(())
    }

    /// A refusal of a damaged body, of whatever code; silence stops the probe, and a store that fails has refused nothing.
    fn is_mismatch(&mut self, test: &str, error: Error) -> Result<bool> {
        match error.code() {
            "bucket.unreachable" | "bucket.busy" | "bucket.proxy" | "bucket.expired" | "bucket.tls" => {
                Err(error.while_doing(format!("probe the bucket: {test}")))
            }
            "bucket.failing" => {
                self.note(format!("{test}: {}", error.chain()));
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    async fn versions(&mut self) -> Result<()> {
        let first = match self.put("version", "first", false).await {
            Ok(first) => first,
            Err(error) => return self.go_on("versions", self.explain(&error)),
        };
        if let Err(error) = self.put("version", "second", false).await {
            return self.go_on("versions", self.explain(&error));
        }
        let Some(id) = first.version_id().filter(|id| !id.is_empty() && *id != "null") else { return Ok(()) };
        let get = self.store.client.get_object().bucket(&self.store.bucket);
        match get.key(self.store.name(&self.key("version"))).version_id(id).send().await {
            Ok(old) => {
                let body = crate::read::small(old.body, self.store.patience.idle).await.unwrap_or_default();
                self.caps.versioning = body == "first";
            }
            Err(error) => {
                let error = self.explain(&error);
                self.go_on("versions", error)?;
            }
        }
        Ok(())
    }

    /// Locks a canary for a minute and tries to delete it: only the refusal counts.
    async fn lock(&mut self) -> Result<()> {
        if !self.caps.versioning {
            self.note("object lock: not tried, the bucket keeps no versions");
            return Ok(());
        }
        let until = Clock::system().now().seconds() + self.caps.clock_skew_seconds + LOCK_SECONDS;
        let name = self.store.name(&self.key("lock"));
        let put = self.store.client.put_object().bucket(&self.store.bucket).key(&name);
        let put =
            put.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(DateTime::from_secs(until));
        let locked = match put.body(ByteStream::from_static(b"locked")).send().await {
            Ok(locked) => locked,
            Err(error) => return self.go_on("object lock", self.explain(&error)),
        };
        let version = locked.version_id().map(str::to_owned);
        let delete = self.store.client.delete_object().bucket(&self.store.bucket).key(&name);
        // A store that is busy just now has not refused anything.
        let kept = delete.set_version_id(version.clone()).send().await.err();
        let kept = kept.and_then(|error| crate::fault::refusal(&error));
        let kept = kept.is_some_and(|said| (400..500).contains(&said.status) && !matches!(said.status, 408 | 429));
        let get = self.store.client.get_object().bucket(&self.store.bucket).key(&name);
        let there = get.set_version_id(version).send().await.is_ok();
        self.caps.object_lock = kept && there && (self.may_delete_versions().await || self.lock_is_shown(&name).await);
        Ok(())
    }

    /// What remains when our key may delete nothing, so that a refusal says nothing about the lock.
    async fn lock_is_shown(&mut self, name: &str) -> bool {
        self.note("object lock: as the store shows it; a deletion cannot be tried with a key that may not delete");
        let head = self.store.client.head_object().bucket(&self.store.bucket).key(name).send().await;
        let now = Clock::system().now().seconds() + self.caps.clock_skew_seconds;
        head.is_ok_and(|head| {
            head.object_lock_mode() == Some(&ObjectLockMode::Compliance)
                && head.object_lock_retain_until_date().is_some_and(|until| until.secs() > now)
        })
    }

    /// Whether a version that is not locked can be deleted with our key.
    async fn may_delete_versions(&self) -> bool {
        let Ok(made) = self.put("free", "free", false).await else { return false };
        let delete = self.store.client.delete_object().bucket(&self.store.bucket);
        let delete = delete.key(self.store.name(&self.key("free")));
        delete.set_version_id(made.version_id().map(str::to_owned)).send().await.is_ok()
    }

    async fn deletes(&mut self) -> Result<()> {
        match self.store.delete(&self.key("a")).await {
            Ok(()) => self.caps.can_delete = self.store.head(&self.key("a")).await?.is_none(),
            Err(error) if error.kind() == Kind::Denied => {}
            Err(error) => self.go_on("deletion", error)?,
        }
        Ok(())
    }

    /// Removes what this probe and earlier ones left, as far as the key may; the rest waits for the provider.
    async fn sweep(&mut self) {
        if !self.caps.can_delete {
            self.note("the probe's objects stay under probe/, because our key may not delete");
            return;
        }
        if self.caps.versioning {
            self.sweep_versions().await;
            return;
        }
        // By name first: a listing may lag behind.
        for name in ["race", "range", "sum", "hash", "version", "class"] {
            if self.store.delete(&self.key(name)).await.is_err() {
                return;
            }
        }
        let Ok(left) = self.store.list("probe/").await else { return };
        for object in left.iter().take(MOST_SWEPT) {
            if self.store.delete(&object.key).await.is_err() {
                return;
            }
        }
    }

    async fn sweep_versions(&mut self) {
        let list = self.store.client.list_object_versions().bucket(&self.store.bucket);
        let Ok(found) = list.prefix(self.store.name("probe/")).send().await else { return };
        let versions = found.versions().iter().map(|version| (version.key(), version.version_id()));
        let markers = found.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        for (key, version) in versions.chain(markers).take(MOST_SWEPT) {
            let (Some(key), Some(version)) = (key, version) else { continue };
            // Refused for canaries that are still locked; the next probe takes them.
            let delete = self.store.client.delete_object().bucket(&self.store.bucket).key(key).version_id(version);
            if delete.send().await.is_err() {
                tracing::debug!(key, "a probe object stays until its lock ends");
            }
        }
    }
}

/// The URL of something in a bucket, for calls that the SDK does not make.
pub(crate) fn bucket_url(reach: &Reach, bucket: &str, rest: &str) -> String {
    let endpoint = match &reach.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => format!("https://s3.{}.amazonaws.com", reach.region),
    };
    let slash = if rest.starts_with('/') { "" } else { "/" };
    match endpoint.split_once("://") {
        Some((scheme, host)) if !reach.path_style => format!("{scheme}://{bucket}.{host}{slash}{rest}"),
        // A path-style URL has no slash between bucket and query.
        _ => format!("{endpoint}/{bucket}{rest}"),
    }
}
