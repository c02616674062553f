//! The bucket as this repository uses it: what it writes is locked, and what somebody hid or wrote over is read all the same.
//!
//! Invariants: a snapshot is put only after all that it needs was asked to be locked as long; of an object whose newest version is
//! not ours the good older one is told, read and listed, until a good one lies on top again.

use crate::{inner::Inner, layout};
use async_trait::async_trait;
use bytes::Bytes;
use holdfast_model::{Error, Kind, Moment, Result, lock::LockRule};
use holdfast_storage::{Keep, ObjectInfo, PutMode, Store, Version, words};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, Weak},
};

/// How long locks that were refused are not asked for again, milliseconds.
const REFUSED: i64 = 3_600_000;

/// Objects whose good version lies under others.
#[derive(Debug, Default)]
pub(crate) struct Under(Mutex<BTreeMap<String, Version>>);

impl Under {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Version>> {
        self.0.lock().expect("no holder panics")
    }
    pub(crate) fn get(&self, key: &str) -> Option<Version> {
        self.known().get(key).cloned()
    }
    /// The answer is whether this is news.
    pub(crate) fn put(&self, key: &str, version: Version) -> bool {
        self.known().insert(key.to_owned(), version).is_none()
    }
    pub(crate) fn forget(&self, key: &str) {
        self.known().remove(key);
    }
    pub(crate) fn clear(&self) {
        self.known().clear();
    }
    pub(crate) fn all(&self) -> Vec<(String, Version)> {
        self.known().iter().map(|(key, version)| (key.clone(), version.clone())).collect()
    }

    /// Tells the good versions in a listing, in the place of what lies on top of them.
    pub(crate) fn lay_over(&self, listed: Vec<ObjectInfo>, prefix: &str) -> Vec<ObjectInfo> {
        let known = self.known();
        let ours: BTreeMap<&String, &Version> =
            known.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix)).collect();
        if ours.is_empty() {
            return listed;
        }
        let mut all: Vec<ObjectInfo> = listed.into_iter().filter(|info| !ours.contains_key(&info.key)).collect();
        all.extend(ours.into_iter().map(|(key, version)| info_of(key, version)));
        all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        all
    }
}

fn info_of(key: &str, version: &Version) -> ObjectInfo {
    ObjectInfo::new(key, version.size).at(version.modified)
}

/// Wraps the bucket for the repository, and for who ships to it.
pub(crate) struct Vault {
    inner: Arc<dyn Store>,
    owner: Weak<Inner>,
    under: Arc<Under>,
    refused: Mutex<Option<Refusal>>,
}

/// The bucket took something and did not lock it.
#[derive(Clone, Copy)]
struct Refusal {
    rule: Option<LockRule>,
    at: Moment,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({:?})", self.inner)
    }
}

impl Vault {
    pub(crate) fn over(owner: &Arc<Inner>, inner: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Vault {
            inner,
            owner: Arc::downgrade(owner),
            under: Arc::clone(&owner.under),
            refused: Mutex::default(),
        })
    }

    /// Puts with the lock that the rule asks for. An object without its lock is better than none: what the bucket does not lock is
    /// stored all the same, and told; for a while no lock is asked for then, for each time all bytes would travel twice.
    async fn put_locked(&self, owner: &Inner, key: &str, bytes: Bytes, mode: PutMode, keep: Keep) -> Result<()> {
        if self.refuses(owner) {
            return self.put_unlocked(owner, key, bytes, mode).await;
        }
        let error = match self.inner.put_kept(key, bytes.clone(), mode, keep).await {
            Ok(()) => {
                owner.note_kept(&[(key.to_owned(), keep.until)]);
                return Ok(());
            }
            Err(error) => error,
        };
        if error.code() == words::NOT_KEPT {
            owner.forget_kept(key);
            owner.tell_unlocked(&error);
            return Ok(());
        }
        if error.code() != words::NO_LOCK && error.kind() != Kind::Denied {
            return Err(error);
        }
        self.put_unlocked(owner, key, bytes, mode).await?;
        *self.refusal() = Some(Refusal { rule: owner.locks.rule(), at: owner.clock.now() });
        owner.tell_unlocked(&error);
        Ok(())
    }

    fn refusal(&self) -> MutexGuard<'_, Option<Refusal>> {
        self.refused.lock().expect("no holder panics")
    }

    /// Whether locks were refused a short while ago, under the same rule. Another bucket, or the same anew, has another vault.
    fn refuses(&self, owner: &Inner) -> bool {
        let refusal = *self.refusal();
        let is_fresh = |at: Moment| (0..REFUSED).contains(&owner.clock.now().since(at));
        refusal.is_some_and(|refusal| refusal.rule == owner.locks.rule() && is_fresh(refusal.at))
    }

    /// What takes the place of a locked object is not locked by that.
    async fn put_unlocked(&self, owner: &Inner, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.inner.put(key, bytes, mode).await?;
        if mode == PutMode::Replace {
            owner.forget_kept(key);
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Vault {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        let Some(owner) = self.owner.upgrade() else { return self.inner.put(key, bytes, mode).await };
        if key.starts_with(layout::SNAPSHOTS)
            && let Some(id) = layout::snapshot_of(key)
        {
            owner.hold_for(&*self.inner, &id).await;
        }
        // What lies on top of a good version was not put there by us.
        let mode = if self.under.get(key).is_some() { PutMode::Replace } else { mode };
        match owner.keep_for(key) {
            Some(keep) => self.put_locked(&owner, key, bytes, mode, keep).await?,
            None => self.put_unlocked(&owner, key, bytes, mode).await?,
        }
        self.under.forget(key);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        match self.under.get(key) {
            Some(version) => self.inner.get_version(key, &version).await,
            None => self.inner.get(key).await,
        }
    }

    /// Stretches of a hidden pack are not given: whoever wants one asks for the whole then, once, and may keep it.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let Some(version) = self.under.get(key) else { return self.inner.get_range(key, range).await };
        if layout::parse_pack(key).is_some() {
            return Err(words::missing(key));
        }
        let bytes = self.inner.get_version(key, &version).await?;
        let slice = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let slice = slice.filter(|(start, end)| start <= end && *end <= bytes.len());
        let (start, end) = slice.ok_or_else(|| words::short(key, &range, bytes.len() as u64))?;
        Ok(bytes.slice(start..end))
    }

    /// Of a pack the truth: whoever wants to let one leave the cache must not count on what lies hidden, and sends it again.
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        match self.under.get(key).filter(|_| layout::parse_pack(key).is_none()) {
            Some(version) => Ok(Some(info_of(key, &version))),
            None => self.inner.head(key).await,
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        Ok(self.under.lay_over(self.inner.list(prefix).await?, prefix))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key).await?;
        self.under.forget(key);
        if let Some(owner) = self.owner.upgrade() {
            owner.forget_kept(key);
        }
        Ok(())
    }

    async fn put_kept(&self, key: &str, bytes: Bytes, mode: PutMode, keep: Keep) -> Result<()> {
        self.inner.put_kept(key, bytes, mode, keep).await?;
        self.under.forget(key);
        Ok(())
    }

    async fn extend(&self, key: &str, keep: Keep) -> Result<()> {
        self.inner.extend(key, keep).await
    }

    async fn kept_until(&self, key: &str, version: Option<&Version>) -> Result<Option<Moment>> {
        self.inner.kept_until(key, version).await
    }

    async fn versions(&self, key: &str) -> Result<Vec<Version>> {
        self.inner.versions(key).await
    }

    async fn list_versions(&self, prefix: &str) -> Result<Vec<(String, Vec<Version>)>> {
        self.inner.list_versions(prefix).await
    }

    async fn get_version(&self, key: &str, version: &Version) -> Result<Bytes> {
        self.inner.get_version(key, version).await
    }

    async fn delete_version(&self, key: &str, version: &Version) -> Result<()> {
        self.inner.delete_version(key, version).await
    }

    async fn force_version(&self, key: &str, version: &Version) -> Result<()> {
        self.inner.force_version(key, version).await
    }
}

/// Whether an error only says that a store keeps no versions, or that our key may not ask for them.
pub(crate) fn cannot_tell(error: &Error) -> bool {
    !error.kind().is_transient()
}
