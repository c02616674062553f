//! A bucket as a store of objects by name.
//!
//! `PutMode::Once` is right on every store: the object is looked for first, then written with
//! `If-None-Match: *`. Stores that ignore the condition are covered by the look, stores that know it
//! also by the condition, and stores that refuse the header are asked without it from then on. Where a probe saw that
//! conditions are kept, the condition alone is enough. What was written is looked at afterwards, everywhere.

use crate::{
    body::{InPieces, Progress},
    fault, name,
    upload::{SignedHash, Upload},
    wire::{Keys, Patience, Reach},
};
use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    error::SdkError,
    operation::put_object::PutObjectError,
    primitives::ByteStream,
    types::{ChecksumMode, StorageClass},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use bytes::Bytes;
use holdfast_model::{Error, Kind, Moment, Result, bucket::Credentials, settings::BucketSettings, view::Capabilities};
use holdfast_runtime::Throttle;
use holdfast_storage::{Keep, ObjectInfo, PutMode, Store, Version, key, words};
use std::{
    collections::HashSet,
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

mod fetch;
mod locks;

/// Times a body is asked for again when nothing of it comes, and a lost condition is looked into.
const TRIES: u32 = 3;
/// Objects a listing may hold: 64 TiB of the smallest usual packs; keeps a hostile listing bounded.
const MOST_LISTED: usize = 4_000_000;
/// Pages a listing may have; empty pages count too.
const MOST_PAGES: usize = 50_000;

/// Objects in an S3 bucket, under the prefix of the bucket's URL.
pub struct S3Store {
    pub(crate) client: Client,
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) patience: Patience,
    place: String,
    keys: Keys,
    /// The storage class that the URL names, and of which objects it is.
    pub(crate) class: Option<StorageClass>,
    classed: Option<&'static str>,
    /// How many bytes of uploads may go per second, and how many requests.
    throttles: (Arc<Throttle>, Arc<Throttle>),
    /// An answer proved that the bucket itself is there; until then a missing object may be a missing bucket.
    seen: AtomicBool,
    /// The store said that it does not know conditional writes.
    unconditional: AtomicBool,
    /// The newest probe saw that it keeps conditions, also among racers.
    keeps_conditions: AtomicBool,
}

/// What the store shows of an object.
struct Shown {
    info: ObjectInfo,
    /// Its SHA-256 in base 64, if that was asked for and the store tells it.
    checksum: Option<String>,
    /// Until when it is locked, if the store tells it.
    kept: Option<Moment>,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({})", self.place)
    }
}

impl S3Store {
    /// A store over the bucket of `settings`; touches no network.
    /// Errors: `bucket.not_s3`, `bucket.no_key`, `bucket.ca`, `bucket.url`, `bucket.proxy`.
    pub fn open(settings: &BucketSettings) -> Result<S3Store> {
        S3Store::open_with(settings, Patience::default())
    }

    /// As [`S3Store::open`], with another patience.
    pub fn open_with(settings: &BucketSettings, patience: Patience) -> Result<S3Store> {
        let (reach, at) = Reach::of(settings)?;
        let keys = Keys::of(&reach.credentials);
        Ok(S3Store {
            client: reach.client_with(&patience, &keys)?,
            keys,
            class: at.class.as_deref().map(StorageClass::from),
            classed: None,
            place: format!("the bucket {} at {}", at.bucket, reach.place()),
            bucket: at.bucket,
            prefix: at.prefix,
            patience,
            throttles: Default::default(),
            seen: AtomicBool::new(false),
            unconditional: AtomicBool::new(false),
            keeps_conditions: AtomicBool::new(false),
        })
    }

    /// Goes by what a probe saw of this bucket: one that keeps conditions is not asked before each write.
    #[must_use]
    pub fn knowing(self, seen: &Capabilities) -> S3Store {
        self.learn(seen);
        self
    }

    /// Goes by what a later probe saw from the next request on: one that keeps conditions no more is not trusted with them.
    pub fn learn(&self, seen: &Capabilities) {
        self.keeps_conditions.store(seen.conditional_put && seen.conditional_race, Ordering::Relaxed);
    }

    /// Objects below this prefix are written in the storage class that the bucket's URL names; all others as the bucket does by itself.
    #[must_use]
    pub fn classed(mut self, prefix: &'static str) -> S3Store {
        self.classed = Some(prefix);
        self
    }

    fn class_of(&self, key: &str) -> Option<StorageClass> {
        self.class.clone().filter(|_| self.classed.is_some_and(|prefix| key.starts_with(prefix)))
    }

    /// Signs with these keys from the next request on. What is under way goes on: a store looks at the keys when it begins.
    pub fn sign_with(&self, credentials: &Credentials) {
        self.keys.replace(credentials);
    }

    /// Uploads keep to these limits, one of bytes and one of requests, and share them with whoever else has them.
    #[must_use]
    pub fn throttled(mut self, bytes: Arc<Throttle>, requests: Arc<Throttle>) -> S3Store {
        self.throttles = (bytes, requests);
        self
    }

    pub(crate) fn name(&self, key: &str) -> String {
        name::full(&self.prefix, key)
    }

    fn saw_bucket(&self) {
        self.seen.store(true, Ordering::Relaxed);
    }

    /// What a PUT answered, or the refusal as it came. It may take as long as it moves.
    async fn send(&self, key: &str, upload: &Upload, once: bool) -> Result<(), SdkError<PutObjectError, HttpResponse>> {
        self.throttles.1.take(1).await;
        let progress = Progress::new();
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.name(key))
            .checksum_sha256(&upload.checksum)
            .set_if_none_match(once.then(|| "*".to_owned()))
            .set_storage_class(self.class_of(key))
            .set_object_lock_mode(upload.keep.map(|keep| locks::mode_of(keep.mode)))
            .set_object_lock_retain_until_date(upload.keep.map(|keep| locks::date_of(keep.until)))
            .body(ByteStream::from(upload.bytes.clone()))
            .customize()
            .interceptor(SignedHash(upload.signed_hash.clone()))
            .interceptor(InPieces {
                bytes: upload.bytes.clone(),
                progress: Arc::clone(&progress),
                throttle: Arc::clone(&self.throttles.0),
            })
            .config_override(aws_sdk_s3::config::Builder::new().timeout_config(self.patience.for_uploads()));
        tokio::select! {
            sent = put.send() => sent.map(|_| self.saw_bucket()),
            () = progress.silence(self.patience.silence) => Err(SdkError::timeout_error("nothing moves any more")),
        }
    }

    /// The answer is what the store shows afterwards.
    async fn put_once(&self, key: &str, upload: &Upload) -> Result<Shown> {
        for _ in 0..TRIES {
            let conditional = !self.unconditional.load(Ordering::Relaxed);
            let asks_first = !(conditional && self.keeps_conditions.load(Ordering::Relaxed));
            if asks_first && let Some(there) = self.is_there(key, upload).await? {
                return Ok(there);
            }
            let Err(error) = self.send(key, upload, conditional).await else {
                return self.prove(key, upload, !asks_first).await;
            };
            match fault::refusal(&error) {
                Some(said) if conditional && said.lost_condition() => {
                    if !asks_first && let Some(there) = self.is_there(key, upload).await? {
                        return Ok(there);
                    }
                }
                Some(said) if conditional && said.not_implemented() => {
                    self.unconditional.store(true, Ordering::Relaxed)
                }
                said => {
                    // The answer was lost, or never waited for: it may be there all the same.
                    if said.is_none()
                        && !asks_first
                        && let Ok(Some(there)) = self.is_there(key, upload).await
                    {
                        return Ok(there);
                    }
                    return Err(fault::explain(&self.place, &error));
                }
            }
        }
        Err(Error::new(
            Kind::Unavailable,
            "bucket.busy",
            format!("another writer is at work on {key} in {}", self.place),
        )
        .advice("It is tried again."))
    }

    /// The object, if it is there already; with another size it is another one.
    async fn is_there(&self, key: &str, upload: &Upload) -> Result<Option<Shown>> {
        let size = upload.bytes.len() as u64;
        match self.look(key, true).await? {
            None => Ok(None),
            Some(there) if there.info.size != size => Err(words::differs(key, there.info.size, size)),
            Some(there) if is_other(there.checksum.as_deref(), upload) => Err(self.other_bytes(key)),
            Some(there) => Ok(Some(there)),
        }
    }

    fn other_bytes(&self, key: &str) -> Error {
        let text = format!("object {key} in {} has the right size and another checksum than ours", self.place);
        Error::new(Kind::Corrupt, "object.corrupt", text)
            .advice("Run a check that reads data: what the cache still holds is sent again.")
    }

    /// An answer of success proves nothing: a proxy in between, or a store that dropped the object, may give it too. What the
    /// store shows afterwards has to be what was sent, in size and, where it tells one, in checksum.
    ///
    /// `ours`: nobody else can have written it meanwhile, so what differs may be written over.
    async fn prove(&self, key: &str, upload: &Upload, ours: bool) -> Result<Shown> {
        let size = upload.bytes.len() as u64;
        let is_kept = |shown: &Shown| shown.info.size == size && !is_other(shown.checksum.as_deref(), upload);
        match self.look(key, true).await? {
            Some(shown) if is_kept(&shown) => return Ok(shown),
            // Of two who wrote at once, one store or the other kept the last; who came second leaves it.
            Some(shown) if !ours && shown.info.size == size => return Err(self.other_bytes(key)),
            Some(shown) if !ours => return Err(words::differs(key, shown.info.size, size)),
            _ => {}
        }
        // What lies there is not what was sent: sent once more.
        self.send(key, upload, false).await.map_err(|error| fault::explain(&self.place, &error))?;
        if let Some(shown) = self.look(key, true).await?.filter(is_kept) {
            return Ok(shown);
        }
        let text = format!("{} said that it took {key}, and does not show it as it was sent", self.place);
        Err(Error::new(Kind::Unavailable, "bucket.unkept", text).advice(
            "It is sent again; if it stays, look at what lies between here and the bucket, and probe the bucket.",
        ))
    }

    async fn place_in(&self, key: &str, upload: &Upload, mode: PutMode) -> Result<Shown> {
        match mode {
            PutMode::Once => self.put_once(key, upload).await,
            PutMode::Replace => {
                self.send(key, upload, false).await.map_err(|error| fault::explain(&self.place, &error))?;
                self.prove(key, upload, true).await
            }
        }
    }

    /// What the store shows of an object, with its checksum if that is asked for.
    async fn look(&self, key: &str, with_checksum: bool) -> Result<Option<Shown>> {
        self.throttles.1.take(1).await;
        let asked = self.client.head_object().bucket(&self.bucket).key(self.name(key));
        let asked = asked.set_checksum_mode(with_checksum.then_some(ChecksumMode::Enabled));
        let error = match asked.send().await {
            Ok(found) => {
                self.saw_bucket();
                let size = found.content_length().and_then(|size| u64::try_from(size).ok());
                let size = size.ok_or_else(|| odd_listing(&self.place, "an object without a size"))?;
                let info = ObjectInfo::new(key, size).at(moment(found.last_modified()));
                let kept = moment(found.object_lock_retain_until_date());
                return Ok(Some(Shown { info, checksum: found.checksum_sha256, kept }));
            }
            Err(error) => error,
        };
        let said = fault::refusal(&error);
        if said.as_ref().is_some_and(|said| said.status == 404) {
            if !self.seen.load(Ordering::Relaxed) {
                if let Some(reason) = self.reason().await {
                    return Err(reason);
                }
                self.saw_bucket();
            }
            return Ok(None);
        }
        if said.is_some_and(|said| matches!(said.status, 300..=499))
            && let Some(reason) = self.reason().await
        {
            return Err(reason);
        }
        Err(fault::explain(&self.place, &error))
    }

    /// HEAD answers have no body and so no reason; a small listing tells it.
    async fn reason(&self) -> Option<Error> {
        let asked =
            self.client.list_objects_v2().bucket(&self.bucket).prefix(self.name("probe/")).max_keys(1).send().await;
        asked.err().map(|error| fault::explain(&self.place, &error))
    }
}

#[async_trait]
impl Store for S3Store {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        key::check(key)?;
        self.place_in(key, &Upload::of(bytes).await?, mode).await.map(drop)
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.fetch(key, None).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        if range.start < range.end {
            return self.fetch(key, Some(range)).await;
        }
        key::check(key)?;
        if range.start > range.end {
            return Err(words::bad_range(key, &range));
        }
        match self.head(key).await? {
            Some(there) if range.start <= there.size => Ok(Bytes::new()),
            Some(there) => Err(words::short(key, &range, there.size)),
            None => Err(words::missing(key)),
        }
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        key::check(key)?;
        Ok(self.look(key, false).await?.map(|shown| shown.info))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        key::check_prefix(prefix)?;
        let full = self.name(prefix);
        let (mut found, mut tokens, mut token) = (Vec::new(), HashSet::new(), None::<String>);
        for _ in 0..MOST_PAGES {
            let asked = self.client.list_objects_v2().bucket(&self.bucket).prefix(&full).set_continuation_token(token);
            let page = asked.send().await.map_err(|error| fault::explain(&self.place, &error))?;
            self.saw_bucket();
            for object in page.contents() {
                let key = object.key().and_then(|name| name::ours(&self.prefix, name));
                let Some(key) = key.filter(|key| key.starts_with(prefix)) else { continue };
                let size = object.size().and_then(|size| u64::try_from(size).ok());
                let size = size.ok_or_else(|| odd_listing(&self.place, "an object without a size"))?;
                found.push(ObjectInfo::new(key, size).at(moment(object.last_modified())));
            }
            if found.len() > MOST_LISTED {
                return Err(odd_listing(&self.place, "more objects than can be"));
            }
            if !page.is_truncated().unwrap_or(false) {
                found.sort_by(|a, b| a.key.cmp(&b.key));
                found.dedup_by(|a, b| a.key == b.key);
                return Ok(found);
            }
            let next = page.next_continuation_token().filter(|next| tokens.insert((*next).to_owned()));
            token = Some(next.ok_or_else(|| odd_listing(&self.place, "pages that lead in a circle"))?.to_owned());
        }
        Err(odd_listing(&self.place, "pages without end"))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        key::check(key)?;
        let Err(error) = self.client.delete_object().bucket(&self.bucket).key(self.name(key)).send().await else {
            return Ok(());
        };
        match fault::refusal(&error) {
            Some(said) if said.no_object() => Ok(()),
            _ => Err(fault::explain(&self.place, &error)),
        }
    }

    async fn put_kept(&self, key: &str, bytes: Bytes, mode: PutMode, keep: Keep) -> Result<()> {
        key::check(key)?;
        let shown = self.place_in(key, &Upload::of(bytes).await?.kept(keep), mode).await?;
        if shown.is_kept(keep) { Ok(()) } else { self.keep_what_is_there(key, keep).await }
    }

    async fn extend(&self, key: &str, keep: Keep) -> Result<()> {
        key::check(key)?;
        self.lock(key, keep).await
    }

    async fn kept_until(&self, key: &str, version: Option<&Version>) -> Result<Option<Moment>> {
        key::check(key)?;
        self.lock_of(key, version).await
    }

    async fn versions(&self, key: &str) -> Result<Vec<Version>> {
        key::check(key)?;
        let all = self.all_versions(key).await?;
        Ok(all.into_iter().find(|(other, _)| other == key).map(|(_, versions)| versions).unwrap_or_default())
    }

    async fn list_versions(&self, prefix: &str) -> Result<Vec<(String, Vec<Version>)>> {
        key::check_prefix(prefix)?;
        self.all_versions(prefix).await
    }

    async fn get_version(&self, key: &str, version: &Version) -> Result<Bytes> {
        key::check(key)?;
        self.fetch_version(key, version).await
    }

    async fn delete_version(&self, key: &str, version: &Version) -> Result<()> {
        self.remove_version(key, version, None).await
    }

    async fn force_version(&self, key: &str, version: &Version) -> Result<()> {
        self.remove_version(key, version, Some(true)).await
    }
}

/// Whether a checksum that the store tells is that of other bytes. One of several parts says nothing of the whole.
fn is_other(told: Option<&str>, upload: &Upload) -> bool {
    told.is_some_and(|told| !told.contains('-') && told != upload.checksum)
}

fn too_large(place: &str, key: &str) -> Error {
    Error::new(Kind::Corrupt, "object.too_large", format!("object {key} in {place} is far larger than any of ours"))
}

/// The bucket's own time of an object.
fn moment(time: Option<&DateTime>) -> Option<Moment> {
    let time = time?;
    Some(Moment::from_millis(time.secs().checked_mul(1000)? + i64::from(time.subsec_nanos() / 1_000_000)))
}

fn odd_listing(place: &str, what: &str) -> Error {
    Error::new(Kind::Unavailable, "bucket.listing", format!("{place} gave a listing with {what}"))
        .advice("Check the endpoint and any proxy in between; the listing is not used.")
}
