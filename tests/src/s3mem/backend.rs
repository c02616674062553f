//! The S3 operations that the house uses, over the state; and who may call them.

use super::{
    Shared,
    state::{State, Version},
};
use bytes::Bytes;
use futures::TryStreamExt;
use s3s::{
    Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    access::{S3Access, S3AccessContext},
    auth::{Credentials, S3Auth, SecretKey},
    checksum::ChecksumHasher,
    dto::*,
    path::S3Path,
    s3_error,
};
use std::{sync::Arc, time::Duration};

/// Finds secrets.
pub(super) struct Keyring(pub(super) Arc<Shared>);

#[async_trait::async_trait]
impl S3Auth for Keyring {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let secret = self.0.state().keys.get(access_key).map(|key| key.secret.clone());
        secret.map(SecretKey::from).ok_or_else(|| s3_error!(InvalidAccessKeyId))
    }
}

/// Decides by the policies of the key's owner.
pub(super) struct Doorkeeper(pub(super) Arc<Shared>);

#[async_trait::async_trait]
impl S3Access for Doorkeeper {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(who) = context.credentials() else { return Err(s3_error!(AccessDenied)) };
        let resource = match context.s3_path() {
            S3Path::Root => "arn:aws:s3:::*".to_owned(),
            S3Path::Bucket { bucket } => format!("arn:aws:s3:::{bucket}"),
            S3Path::Object { bucket, key } => format!("arn:aws:s3:::{bucket}/{key}"),
        };
        if context.s3_op().name() == "DeleteObjects" {
            return Ok(()); // decided for each object
        }
        let old = context.uri().query().is_some_and(|query| query.contains("versionId="));
        let action = match context.s3_op().name() {
            "ListObjectsV2" | "ListObjects" | "HeadBucket" => "s3:ListBucket".to_owned(),
            "ListObjectVersions" => "s3:ListBucketVersions".to_owned(),
            "CopyObject" => "s3:PutObject".to_owned(),
            "ListBuckets" => "s3:ListAllMyBuckets".to_owned(),
            "HeadObject" | "GetObject" if old => "s3:GetObjectVersion".to_owned(),
            "HeadObject" => "s3:GetObject".to_owned(),
            "DeleteObject" if old => "s3:DeleteObjectVersion".to_owned(),
            name => format!("s3:{name}"),
        };
        if self.0.quirks.open_doors || self.0.state().may(&who.access_key, &action, &resource) {
            return Ok(());
        }
        Err(s3_error!(AccessDenied))
    }
}

/// The operations.
pub(super) struct Backend(pub(super) Arc<Shared>);

fn no_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "the bucket is not there")
}

fn checksum(body: &[u8]) -> String {
    let mut hasher = ChecksumHasher { sha256: Some(s3s::crypto::Checksum::new()), ..ChecksumHasher::default() };
    hasher.update(body);
    hasher.finalize().checksum_sha256.unwrap_or_default()
}

fn etag(version: &Version) -> ETag {
    ETag::Strong(version.id.clone())
}

async fn whole(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let pieces: Vec<Bytes> = body.try_collect().await.map_err(|_| s3_error!(IncompleteBody))?;
    Ok(pieces.concat().into())
}

impl Backend {
    fn find(&self, state: &State, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Version> {
        let bucket = state.buckets.get(bucket).ok_or_else(no_bucket)?;
        let missing = || s3_error!(NoSuchKey, "the object is not there");
        let versions = bucket.objects.get(key).ok_or_else(missing)?;
        let found = match version {
            Some(id) => versions.iter().find(|version| version.id == id),
            None => versions.last(),
        };
        found.filter(|version| !version.marker).cloned().ok_or_else(missing)
    }

    fn may(&self, who: Option<&Credentials>, action: &str, bucket: &str, key: &str) -> bool {
        let allowed =
            |who: &Credentials| self.0.state().may(&who.access_key, action, &format!("arn:aws:s3:::{bucket}/{key}"));
        self.0.quirks.open_doors || who.is_some_and(allowed)
    }

    fn may_bypass(&self, who: Option<&Credentials>, bucket: &str, key: &str) -> bool {
        self.may(who, "s3:BypassGovernanceRetention", bucket, key)
    }

    /// Object lock is decided when a bucket is made, together with versions.
    fn must_lock(&self, bucket: &str) -> S3Result<()> {
        if self.0.quirks.ignores_lock {
            return Err(s3_error!(NotImplemented));
        }
        match self.0.state().buckets.get(bucket).ok_or_else(no_bucket)?.versioning {
            true => Ok(()),
            false => Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration")),
        }
    }

    /// Deletes a version, or puts the mark of its deletion on an object whose bucket keeps versions.
    fn remove(&self, bucket: &str, key: &str, version: Option<&str>, bypass: bool) -> S3Result<()> {
        let now = self.0.now();
        let mut state = self.0.state();
        let there = state.buckets.get_mut(bucket).ok_or_else(no_bucket)?;
        let versioning = there.versioning;
        let Some(versions) = there.objects.get_mut(key) else { return Ok(()) };
        match version {
            Some(id) => {
                let passes = |version: &Version| version.governance && bypass;
                if versions.iter().any(|one| one.id == id && one.is_locked(now) && !passes(one)) {
                    return Err(s3_error!(AccessDenied, "the version is locked"));
                }
                versions.retain(|version| version.id != id);
            }
            None if versioning => {
                let marker = Version { marker: true, ..Version::default() };
                state.write(bucket, key, marker);
            }
            None => versions.clear(),
        }
        if let Some(bucket) = state.buckets.get_mut(bucket) {
            bucket.objects.retain(|_, versions| !versions.is_empty());
        }
        Ok(())
    }

    /// What forbids a write, if anything does.
    fn obstacle(&self, state: &State, input: &PutObjectInput, body: &Bytes) -> Option<S3Error> {
        let quirks = &self.0.quirks;
        let Some(bucket) = state.buckets.get(&input.bucket) else { return Some(no_bucket()) };
        if input.object_lock_mode.is_some() && !bucket.versioning && !quirks.ignores_lock {
            return Some(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration"));
        }
        if input.if_none_match.is_some() && quirks.refuses_condition {
            return Some(s3_error!(NotImplemented, "a header implies functionality that is not implemented"));
        }
        let conditional = input.if_none_match.is_some() && !quirks.ignores_condition;
        if conditional && state.latest(&input.bucket, &input.key).is_some() {
            return Some(s3_error!(PreconditionFailed));
        }
        let class = input.storage_class.as_ref().map(StorageClass::as_str);
        if class.is_some_and(|class| !quirks.classes.is_empty() && !quirks.classes.contains(&class)) {
            return Some(s3_error!(InvalidStorageClass));
        }
        if quirks.quota_bytes.is_some_and(|quota| state.used(&input.bucket) + body.len() as u64 > quota) {
            let mut full = S3Error::new(S3ErrorCode::Custom("QuotaExceeded".into()));
            full.set_status_code(http::StatusCode::FORBIDDEN);
            return Some(full);
        }
        None
    }
}

#[async_trait::async_trait]
impl S3 for Backend {
    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let body = whole(request.input.body.take()).await?;
        let (input, quirks, sha256) = (request.input, &self.0.quirks, checksum(&body));
        if !quirks.ignores_checksum && input.checksum_sha256.as_ref().is_some_and(|claimed| *claimed != sha256) {
            return Err(s3_error!(BadDigest, "the checksum is another"));
        }
        if quirks.racy_condition {
            if let Some(obstacle) = self.obstacle(&self.0.state(), &input, &body) {
                return Err(obstacle);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        let mut state = self.0.state();
        if !quirks.racy_condition
            && let Some(obstacle) = self.obstacle(&state, &input, &body)
        {
            return Err(obstacle);
        }
        let until = input.object_lock_retain_until_date.map(|until| time::OffsetDateTime::from(until).unix_timestamp());
        let locked_until = until.filter(|_| !quirks.ignores_lock);
        let governance = input.object_lock_mode.is_some_and(|mode| mode.as_str() == ObjectLockMode::GOVERNANCE);
        let version = Version { body, sha256: sha256.clone(), locked_until, governance, ..Version::default() };
        let version_id = state.write(&input.bucket, &input.key, version);
        let place = (input.bucket, input.key);
        match input.storage_class {
            Some(class) => drop(state.classes.insert(place, class.as_str().to_owned())),
            None => drop(state.classes.remove(&place)),
        }
        let told = (!quirks.ignores_checksum).then_some(sha256);
        Ok(S3Response::new(PutObjectOutput { checksum_sha256: told, version_id, ..Default::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let (input, quirks) = (request.input, &self.0.quirks);
        let version = self.find(&self.0.state(), &input.bucket, &input.key, input.version_id.as_deref())?;
        let class = self.0.state().classes.get(&(input.bucket.clone(), input.key.clone())).cloned();
        if class.is_some_and(|class| quirks.sleeping == Some(class.as_str())) {
            return Err(s3_error!(InvalidObjectState, "the object has to be brought back first"));
        }
        let is_another = |wanted: &ETagCondition| *wanted != ETagCondition::ETag(etag(&version));
        if !quirks.ignores_tags && input.if_match.as_ref().is_some_and(is_another) {
            return Err(s3_error!(PreconditionFailed));
        }
        let mut output = GetObjectOutput { e_tag: Some(etag(&version)), ..Default::default() };
        let size = version.body.len() as u64;
        let mut body = version.body.clone();
        match input.range.filter(|_| !quirks.ignores_range) {
            Some(range) => {
                let mut span = range.check(size).map_err(|_| s3_error!(InvalidRange))?;
                if quirks.shifts_range && span.end < size {
                    span = span.start + 1..span.end + 1;
                }
                output.content_range = Some(format!("bytes {}-{}/{size}", span.start, span.end - 1));
                body = body.slice(span.start as usize..span.end as usize);
            }
            None if input.checksum_mode.is_some() && !version.sha256.is_empty() => {
                output.checksum_sha256 = Some(version.sha256);
            }
            None => {}
        }
        output.content_length = Some(body.len() as i64);
        output.body = Some(StreamingBlob::from(Body::from(body)));
        Ok(S3Response::new(output))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let version = self.find(&self.0.state(), &input.bucket, &input.key, input.version_id.as_deref())?;
        let until = version.locked_until.and_then(|until| time::OffsetDateTime::from_unix_timestamp(until).ok());
        Ok(S3Response::new(HeadObjectOutput {
            object_lock_mode: until.map(|_| {
                ObjectLockMode::from_static(match version.governance {
                    true => ObjectLockMode::GOVERNANCE,
                    false => ObjectLockMode::COMPLIANCE,
                })
            }),
            object_lock_retain_until_date: until.map(Timestamp::from),
            content_length: Some(version.body.len() as i64),
            e_tag: Some(etag(&version)),
            checksum_sha256: input.checksum_mode.filter(|_| !version.sha256.is_empty()).map(|_| version.sha256.clone()),
            ..Default::default()
        }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let bypass = request.input.bypass_governance_retention.unwrap_or(false);
        let bypass = bypass && self.may_bypass(request.credentials.as_ref(), &request.input.bucket, &request.input.key);
        let input = request.input;
        self.remove(&input.bucket, &input.key, input.version_id.as_deref(), bypass)?;
        Ok(S3Response::with_status(DeleteObjectOutput::default(), http::StatusCode::NO_CONTENT))
    }

    async fn put_object_retention(
        &self,
        request: S3Request<PutObjectRetentionInput>,
    ) -> S3Result<S3Response<PutObjectRetentionOutput>> {
        let bypass = request.input.bypass_governance_retention.unwrap_or(false);
        let bypass = bypass && self.may_bypass(request.credentials.as_ref(), &request.input.bucket, &request.input.key);
        let (input, now) = (request.input, self.0.now());
        if self.0.quirks.ignores_lock {
            return Ok(S3Response::new(PutObjectRetentionOutput::default()));
        }
        self.must_lock(&input.bucket)?;
        let wanted = input.retention.ok_or_else(|| s3_error!(MalformedXML))?;
        let until = wanted.retain_until_date.map(|until| time::OffsetDateTime::from(until).unix_timestamp());
        let governance = wanted.mode.is_none_or(|mode| mode.as_str() == ObjectLockRetentionMode::GOVERNANCE);
        let mut state = self.0.state();
        let missing = || s3_error!(NoSuchKey, "the object is not there");
        let versions = state.buckets.get_mut(&input.bucket).and_then(|bucket| bucket.objects.get_mut(&input.key));
        let versions = versions.ok_or_else(missing)?;
        let found = match &input.version_id {
            Some(id) => versions.iter_mut().find(|version| version.id == *id),
            None => versions.last_mut(),
        };
        let version = found.filter(|version| !version.marker).ok_or_else(missing)?;
        let weaker = until < version.locked_until || (governance && !version.governance);
        if version.is_locked(now) && weaker && !(version.governance && bypass) {
            return Err(s3_error!(AccessDenied, "the version is locked"));
        }
        (version.locked_until, version.governance) = (until, governance);
        Ok(S3Response::new(PutObjectRetentionOutput::default()))
    }

    async fn get_object_retention(
        &self,
        request: S3Request<GetObjectRetentionInput>,
    ) -> S3Result<S3Response<GetObjectRetentionOutput>> {
        let input = request.input;
        self.must_lock(&input.bucket)?;
        let version = self.find(&self.0.state(), &input.bucket, &input.key, input.version_id.as_deref())?;
        let until = version.locked_until.and_then(|until| time::OffsetDateTime::from_unix_timestamp(until).ok());
        let Some(until) = until else { return Err(s3_error!(NoSuchObjectLockConfiguration)) };
        let mode = match version.governance {
            true => ObjectLockRetentionMode::GOVERNANCE,
            false => ObjectLockRetentionMode::COMPLIANCE,
        };
        let retention = ObjectLockRetention {
            mode: Some(ObjectLockRetentionMode::from_static(mode)),
            retain_until_date: Some(Timestamp::from(until)),
        };
        Ok(S3Response::new(GetObjectRetentionOutput { retention: Some(retention) }))
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = request.input;
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else { return Err(s3_error!(NotImplemented)) };
        if !self.0.quirks.copies_anything && !self.may(request.credentials.as_ref(), "s3:GetObject", bucket, key) {
            return Err(s3_error!(AccessDenied));
        }
        let mut state = self.0.state();
        let mut version = self.find(&state, bucket, key, None)?;
        version.locked_until = None;
        state.buckets.get(&input.bucket).ok_or_else(no_bucket)?;
        state.write(&input.bucket, &input.key, version);
        Ok(S3Response::new(CopyObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let (input, mut errors) = (request.input, Vec::new());
        for object in input.delete.objects {
            let action = if object.version_id.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
            let denied = match self.may(request.credentials.as_ref(), action, &input.bucket, &object.key) {
                true => self.remove(&input.bucket, &object.key, object.version_id.as_deref(), false).is_err(),
                false => true,
            };
            if denied {
                let code = Some("AccessDenied".to_owned());
                errors.push(s3s::dto::Error { code, key: Some(object.key), ..Default::default() });
            }
        }
        Ok(S3Response::new(DeleteObjectsOutput { errors: Some(errors), ..Default::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let (input, quirks) = (request.input, &self.0.quirks);
        let state = self.0.state();
        if !state.buckets.contains_key(&input.bucket) {
            return Err(no_bucket());
        }
        let prefix = input.prefix.unwrap_or_default();
        let after = input.continuation_token.clone().unwrap_or_default();
        let keys = if quirks.listing_lags { Vec::new() } else { state.keys(&input.bucket) };
        let page = if quirks.page == 0 { 1000 } else { quirks.page };
        let page = page.min(usize::try_from(input.max_keys.unwrap_or(1000)).unwrap_or(0));
        let mut left =
            keys.into_iter().filter(|key| key.starts_with(&prefix) && (quirks.listing_in_circles || *key > after));
        let contents: Vec<Object> = left
            .by_ref()
            .take(page)
            .map(|key| {
                let size = state.latest(&input.bucket, &key).map(|version| version.body.len() as i64);
                Object { key: Some(key), size, ..Default::default() }
            })
            .collect();
        let more = left.next().is_some();
        let next = contents.last().and_then(|object| object.key.clone()).filter(|_| more);
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: Some(contents.len() as i32),
            contents: Some(contents),
            is_truncated: Some(more),
            next_continuation_token: next,
            name: Some(input.bucket),
            prefix: Some(prefix),
            ..Default::default()
        }))
    }

    async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = request.input;
        let prefix = input.prefix.unwrap_or_default();
        let state = self.0.state();
        let bucket = state.buckets.get(&input.bucket).ok_or_else(no_bucket)?;
        let (mut versions, mut markers) = (Vec::new(), Vec::new());
        for (key, all) in bucket.objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            for (age, version) in all.iter().rev().enumerate() {
                let (key, version_id) = (Some(key.clone()), Some(version.id.clone()));
                let last_modified = time::OffsetDateTime::from_unix_timestamp(version.time).ok().map(Timestamp::from);
                let is_latest = Some(age == 0);
                if version.marker {
                    markers.push(DeleteMarkerEntry { key, version_id, is_latest, last_modified, ..Default::default() });
                } else {
                    let size = Some(version.body.len() as i64);
                    let one = ObjectVersion { key, version_id, is_latest, last_modified, size, ..Default::default() };
                    versions.push(one);
                }
            }
        }
        Ok(S3Response::new(ListObjectVersionsOutput {
            versions: Some(versions),
            delete_markers: Some(markers),
            is_truncated: Some(false),
            ..Default::default()
        }))
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        let there = self.0.state().buckets.contains_key(&request.input.bucket);
        if there { Ok(S3Response::new(HeadBucketOutput::default())) } else { Err(no_bucket()) }
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let names: Vec<String> = self.0.state().buckets.keys().cloned().collect();
        let buckets = names.into_iter().map(|name| Bucket { name: Some(name), ..Default::default() }).collect();
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(buckets), ..Default::default() }))
    }

    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let input = request.input;
        let locks = input.object_lock_enabled_for_bucket.unwrap_or(false) && !self.0.quirks.no_versions;
        match self.0.state().make_bucket(&input.bucket, locks) {
            Some(()) => Ok(S3Response::new(CreateBucketOutput::default())),
            None => Err(s3_error!(BucketAlreadyExists)),
        }
    }

    async fn delete_bucket(&self, request: S3Request<DeleteBucketInput>) -> S3Result<S3Response<DeleteBucketOutput>> {
        let mut state = self.0.state();
        let bucket = state.buckets.get(&request.input.bucket).ok_or_else(no_bucket)?;
        if !bucket.objects.is_empty() {
            return Err(s3_error!(BucketNotEmpty));
        }
        state.buckets.remove(&request.input.bucket);
        Ok(S3Response::with_status(DeleteBucketOutput {}, http::StatusCode::NO_CONTENT))
    }

    async fn put_bucket_versioning(
        &self,
        request: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        let input = request.input;
        if self.0.quirks.no_versions {
            return Err(s3_error!(NotImplemented));
        }
        let on = input.versioning_configuration.status.is_some_and(|status| status.as_str() == "Enabled");
        let now = self.0.now();
        let mut state = self.0.state();
        let bucket = state.buckets.get_mut(&input.bucket).ok_or_else(no_bucket)?;
        if !on && bucket.objects.values().flatten().any(|version| version.is_locked(now)) {
            return Err(s3_error!(InvalidBucketState, "versions of this bucket are locked"));
        }
        bucket.versioning = on;
        Ok(S3Response::new(PutBucketVersioningOutput {}))
    }

    async fn put_bucket_policy(
        &self,
        request: S3Request<PutBucketPolicyInput>,
    ) -> S3Result<S3Response<PutBucketPolicyOutput>> {
        self.0.state().buckets.get(&request.input.bucket).ok_or_else(no_bucket)?;
        Ok(S3Response::new(PutBucketPolicyOutput {}))
    }

    async fn put_bucket_lifecycle_configuration(
        &self,
        request: S3Request<PutBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
        self.0.state().buckets.get(&request.input.bucket).ok_or_else(no_bucket)?;
        Ok(S3Response::new(PutBucketLifecycleConfigurationOutput::default()))
    }
}
