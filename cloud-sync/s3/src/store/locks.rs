//! Versions and locks of a bucket that has object lock.
//!
//! Locks are told in whole seconds, rounded up: none ends before the moment that was asked for. What a store says about a lock is
//! believed only when it is asked for it afterwards; some answer a request for one with success and do nothing.

use super::{MOST_LISTED, MOST_PAGES, S3Store, Shown, TRIES, moment, odd_listing, too_large};
use crate::{
    fault, name,
    read::{self, Broken, Window},
};
use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    operation::list_object_versions::ListObjectVersionsOutput,
    types::{ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use bytes::{Bytes, BytesMut};
use holdfast_model::{Error, Moment, Result, lock::LockMode};
use holdfast_storage::{Keep, Version, key, words};
use std::collections::BTreeMap;

pub(super) fn mode_of(mode: LockMode) -> ObjectLockMode {
    match mode {
        LockMode::Governance => ObjectLockMode::Governance,
        LockMode::Compliance => ObjectLockMode::Compliance,
    }
}

pub(super) fn date_of(until: Moment) -> DateTime {
    DateTime::from_secs(until.seconds() + i64::from(until.millis().rem_euclid(1000) > 0))
}

fn retention(keep: Keep) -> ObjectLockRetention {
    let mode = match keep.mode {
        LockMode::Governance => ObjectLockRetentionMode::Governance,
        LockMode::Compliance => ObjectLockRetentionMode::Compliance,
    };
    ObjectLockRetention::builder().mode(mode).retain_until_date(date_of(keep.until)).build()
}

/// Versions by key as they come, each with whether the store calls it the newest.
#[derive(Default)]
struct Found {
    versions: BTreeMap<String, Vec<(bool, Version)>>,
    count: usize,
}

impl Found {
    fn add(&mut self, key: &str, is_newest: bool, version: Version) {
        self.versions.entry(key.to_owned()).or_default().push((is_newest, version));
        self.count += 1;
    }

    /// Marks of deletion come apart from versions: the store's own times put them in order, and what it calls the newest is.
    fn in_order(self) -> Vec<(String, Vec<Version>)> {
        let newest_first = |mut versions: Vec<(bool, Version)>| {
            versions.sort_by_key(|(is_newest, version)| std::cmp::Reverse((*is_newest, version.modified)));
            versions.into_iter().map(|(_, version)| version).collect()
        };
        self.versions.into_iter().map(|(key, versions)| (key, newest_first(versions))).collect()
    }
}

impl S3Store {
    /// What a refusal of something about locks and versions means.
    fn unlockable<E>(&self, key: &str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match fault::refusal(error) {
            Some(said) if said.not_implemented() => words::no_lock(&self.place),
            // A mark of deletion is the newest version.
            Some(said) if said.no_object() || said.status == 405 => words::missing(key),
            _ => fault::explain(&self.place, error),
        }
    }

    fn unlisted<E>(&self, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match fault::refusal(error) {
            Some(said) if said.not_implemented() || said.status == 405 => words::no_lock(&self.place),
            _ => fault::explain(&self.place, error),
        }
    }

    /// Locks what is there. Believed only when it is shown afterwards: some stores answer with success and do nothing.
    pub(super) async fn lock(&self, key: &str, keep: Keep) -> Result<()> {
        self.throttles.1.take(1).await;
        let put = self.client.put_object_retention().bucket(&self.bucket).key(self.name(key));
        let done = put.retention(retention(keep)).send().await;
        done.map_err(|error| self.unlockable(key, &error))?;
        match self.is_kept(key, keep).await? {
            true => Ok(()),
            false => Err(words::not_kept(&self.place, key)),
        }
    }

    /// Whether an object is shown with its lock. One that cannot be told is none.
    async fn is_kept(&self, key: &str, keep: Keep) -> Result<bool> {
        match self.lock_of(key, None).await {
            Ok(until) => Ok(until.is_some_and(|until| until >= keep.until)),
            Err(error) if error.kind().is_transient() => Err(error),
            Err(error) => Err(words::not_kept(&self.place, key).caused_by(error)),
        }
    }

    /// With `bypass` as somebody who has the right to pass over locks of governance, if our key has it.
    pub(super) async fn remove_version(&self, key: &str, version: &Version, bypass: Option<bool>) -> Result<()> {
        key::check(key)?;
        let delete = self.client.delete_object().bucket(&self.bucket).key(self.name(key)).version_id(&version.id);
        let Err(error) = delete.set_bypass_governance_retention(bypass).send().await else { return Ok(()) };
        match fault::refusal(&error) {
            Some(said) if said.no_object() => Ok(()),
            _ => Err(fault::explain(&self.place, &error)),
        }
    }

    pub(super) async fn lock_of(&self, key: &str, version: Option<&Version>) -> Result<Option<Moment>> {
        let get = self.client.get_object_retention().bucket(&self.bucket).key(self.name(key));
        match get.set_version_id(version.map(|version| version.id.clone())).send().await {
            Ok(told) => Ok(told.retention().and_then(|retention| moment(retention.retain_until_date()))),
            Err(error) if fault::refusal(&error).is_some_and(|said| said.not_locked()) => Ok(None),
            Err(error) => Err(self.unlockable(key, &error)),
        }
    }

    /// An object was put with a lock and is not shown with it: it was there before, or the store tells locks only when asked for them.
    pub(super) async fn keep_what_is_there(&self, key: &str, keep: Keep) -> Result<()> {
        if self.is_kept(key, keep).await? {
            return Ok(());
        }
        self.lock(key, keep).await.map_err(|error| match error.kind().is_transient() {
            true => error,
            false => words::not_kept(&self.place, key).caused_by(error),
        })
    }

    /// All versions of what begins with `prefix`, in key order, newest first.
    pub(super) async fn all_versions(&self, prefix: &str) -> Result<Vec<(String, Vec<Version>)>> {
        let full = self.name(prefix);
        let (mut found, mut key, mut version) = (Found::default(), None, None);
        for _ in 0..MOST_PAGES {
            let list = self.client.list_object_versions().bucket(&self.bucket).prefix(&full);
            let list = list.set_key_marker(key.clone()).set_version_id_marker(version.clone());
            let page = list.send().await.map_err(|error| self.unlisted(&error))?;
            self.saw_bucket();
            self.take_page(&page, prefix, &mut found)?;
            if found.count > MOST_LISTED {
                return Err(odd_listing(&self.place, "more versions than can be"));
            }
            if !page.is_truncated().unwrap_or(false) {
                return Ok(found.in_order());
            }
            let next = (page.next_key_marker.clone(), page.next_version_id_marker.clone());
            // Keys come in order, so each page begins behind the one before.
            if next.0.is_none() || next == (key, version) {
                return Err(odd_listing(&self.place, "pages that lead in a circle"));
            }
            (key, version) = next;
        }
        Err(odd_listing(&self.place, "pages without end"))
    }

    fn take_page(&self, page: &ListObjectVersionsOutput, prefix: &str, found: &mut Found) -> Result<()> {
        let ours = |key: Option<&str>| {
            let key = key.and_then(|full| name::ours(&self.prefix, full)).filter(|key| key.starts_with(prefix));
            key.map(str::to_owned)
        };
        let id = |id: Option<&str>| id.unwrap_or("null").to_owned();
        for version in page.versions() {
            let Some(key) = ours(version.key()) else { continue };
            let size = version.size().and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or_else(|| odd_listing(&self.place, "an object without a size"))?;
            let (id, modified) = (id(version.version_id()), moment(version.last_modified()));
            found.add(&key, version.is_latest().unwrap_or(false), Version { id, size, is_marker: false, modified });
        }
        for marker in page.delete_markers() {
            let Some(key) = ours(marker.key()) else { continue };
            let (id, modified) = (id(marker.version_id()), moment(marker.last_modified()));
            found.add(&key, marker.is_latest().unwrap_or(false), Version { id, size: 0, is_marker: true, modified });
        }
        Ok(())
    }

    pub(super) async fn fetch_version(&self, key: &str, version: &Version) -> Result<Bytes> {
        let mut tries = 0;
        loop {
            let get = self.client.get_object().bucket(&self.bucket).key(self.name(key)).version_id(&version.id);
            let answer = get.send().await.map_err(|error| self.unlockable(key, &error))?;
            let length = answer.content_length().map(|length| u64::try_from(length).unwrap_or(u64::MAX));
            if length.is_some_and(|length| length > read::LARGEST_OBJECT) {
                return Err(too_large(&self.place, key));
            }
            let (mut kept, window) = (BytesMut::new(), Window { skip: 0, keep: length });
            tries += 1;
            match read::body(answer.body, window, self.patience.idle, &mut kept).await {
                Ok(()) => return Ok(kept.freeze()),
                Err(Broken::TooLarge) => return Err(too_large(&self.place, key)),
                Err(how) if tries >= TRIES => return Err(self.broken(key, how, false)),
                Err(_) => tokio::time::sleep(self.patience.first_wait * tries).await,
            }
        }
    }
}

impl Shown {
    /// Whether the store shows a lock that lasts as long.
    pub(super) fn is_kept(&self, keep: Keep) -> bool {
        self.kept.is_some_and(|until| until >= keep.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(id: &str, is_marker: bool, second: i64) -> Version {
        Version { id: id.into(), size: 0, is_marker, modified: Some(Moment::from_millis(second * 1000)) }
    }

    #[test]
    fn versions_and_marks_of_deletion_come_into_one_order() {
        let mut found = Found::default();
        found.add("a", false, version("first", false, 1));
        found.add("a", false, version("second", false, 5));
        found.add("a", true, version("mark of the same second", true, 5));
        found.add("a", false, version("mark", true, 3));
        let (key, versions) = found.in_order().remove(0);
        let ids: Vec<&str> = versions.iter().map(|version| version.id.as_str()).collect();
        assert_eq!((key.as_str(), ids), ("a", vec!["mark of the same second", "second", "mark", "first"]));
    }

    #[test]
    fn a_lock_never_ends_before_it_was_asked_to() {
        assert_eq!(date_of(Moment::from_millis(5_000)).secs(), 5);
        assert_eq!(date_of(Moment::from_millis(5_001)).secs(), 6);
    }
}
