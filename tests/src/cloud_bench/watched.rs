//! A bucket that is watched while it is used: how many objects travel side by side. If asked it tells the time as a bench has it, in the
//! place of its own; and packs that it has taken leave the cache, so that a large snapshot needs its room once only.

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_model::{Error, Moment, Result};
use holdfast_repository::DATA_PACKS;
use holdfast_runtime::Clock;
use holdfast_storage::{Keep, ObjectInfo, PutMode, Store, Version};
use std::{
    collections::HashMap,
    fs,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Counts who is inside.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
    all: AtomicU64,
}

impl Gauge {
    /// How many were inside together at most.
    pub(super) fn most(&self) -> u64 {
        self.most.load(Relaxed)
    }
    /// How many there were in all.
    pub(super) fn all(&self) -> u64 {
        self.all.load(Relaxed)
    }
    fn enter(&self) -> Inside<'_> {
        self.all.fetch_add(1, Relaxed);
        self.most.fetch_max(self.now.fetch_add(1, Relaxed) + 1, Relaxed);
        Inside(self)
    }
}

/// Somebody inside, until dropped.
struct Inside<'a>(&'a Gauge);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Relaxed);
    }
}

/// When objects were taken, by a clock of ours.
#[derive(Debug)]
struct Times {
    clock: Clock,
    taken: Mutex<HashMap<String, Moment>>,
}

impl Times {
    fn taken(&self) -> MutexGuard<'_, HashMap<String, Moment>> {
        self.taken.lock().expect("no holder panics")
    }
}

/// The bucket.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Arc<dyn Store>,
    /// Objects on their way there.
    pub(super) puts: Gauge,
    /// Objects, or parts of them, on their way back.
    pub(super) gets: Gauge,
    times: Option<Times>,
    spent: Option<PathBuf>,
}

impl Watched {
    pub(super) fn new(inner: Arc<dyn Store>) -> Watched {
        Watched { inner, puts: Gauge::default(), gets: Gauge::default(), times: None, spent: None }
    }

    /// Objects were taken when this clock says so. Those that were there before keep the bucket's time.
    pub(super) fn timed(self, clock: Clock) -> Watched {
        Watched { times: Some(Times { clock, taken: Mutex::default() }), ..self }
    }

    /// Packs of data leave this folder, the cache, as soon as the bucket has them: whoever ships so restores from the bucket alone.
    pub(super) fn spending(self, cache: PathBuf) -> Watched {
        Watched { spent: Some(cache), ..self }
    }

    fn took(&self, key: &str, mode: PutMode) -> Result<()> {
        if let Some(times) = &self.times {
            let now = times.clock.now();
            let mut taken = times.taken();
            match mode {
                PutMode::Once => {
                    taken.entry(key.to_owned()).or_insert(now);
                }
                PutMode::Replace => {
                    taken.insert(key.to_owned(), now);
                }
            }
        }
        match &self.spent {
            Some(cache) if key.starts_with(DATA_PACKS) => fs::remove_file(cache.join(key))
                .map_err(|error| Error::io(format!("remove {key} from the cache"), error)),
            _ => Ok(()),
        }
    }

    fn told(&self, info: ObjectInfo) -> ObjectInfo {
        let Some(times) = &self.times else { return info };
        let taken = times.taken().get(&info.key).copied();
        let modified = taken.or(info.modified);
        info.at(modified)
    }
}

#[async_trait]
impl Store for Watched {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        let _inside = self.puts.enter();
        self.inner.put(key, bytes, mode).await?;
        self.took(key, mode)
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        let _inside = self.gets.enter();
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let _inside = self.gets.enter();
        self.inner.get_range(key, range).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        Ok(self.inner.head(key).await?.map(|info| self.told(info)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        Ok(self.inner.list(prefix).await?.into_iter().map(|info| self.told(info)).collect())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key).await?;
        if let Some(times) = &self.times {
            times.taken().remove(key);
        }
        Ok(())
    }

    async fn put_kept(&self, key: &str, bytes: Bytes, mode: PutMode, keep: Keep) -> Result<()> {
        let _inside = self.puts.enter();
        self.inner.put_kept(key, bytes, mode, keep).await?;
        self.took(key, mode)
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
        let _inside = self.gets.enter();
        self.inner.get_version(key, version).await
    }

    async fn delete_version(&self, key: &str, version: &Version) -> Result<()> {
        self.inner.delete_version(key, version).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_storage::{DirStore, MemStore, conformance};
    use std::time::Duration;

    const BODY: Bytes = Bytes::from_static(b"body");

    #[tokio::test]
    async fn it_keeps_the_promises_of_stores() {
        conformance::run(Arc::new(Watched::new(Arc::new(MemStore::new())))).await;
    }

    #[tokio::test]
    async fn times_are_those_of_the_clock_and_stay_with_what_is_there() {
        let clock = Clock::manual(Moment::from_millis(1000));
        let bucket = Watched::new(Arc::new(MemStore::new())).timed(clock.clone());
        bucket.put("a", BODY, PutMode::Once).await.unwrap();
        clock.advance(Duration::from_secs(5));
        bucket.put("a", BODY, PutMode::Once).await.unwrap();
        bucket.put("b", BODY, PutMode::Once).await.unwrap();
        let time = |info: &ObjectInfo| info.modified.map(Moment::millis);
        assert_eq!(bucket.head("a").await.unwrap().as_ref().and_then(time), Some(1000));
        assert_eq!(bucket.list("").await.unwrap().iter().map(time).collect::<Vec<_>>(), [Some(1000), Some(6000)]);
        bucket.delete("a").await.unwrap();
        bucket.put("a", BODY, PutMode::Once).await.unwrap();
        assert_eq!(bucket.head("a").await.unwrap().as_ref().and_then(time), Some(6000));
        assert_eq!((bucket.puts.all(), bucket.puts.most(), bucket.gets.all()), (4, 1, 0));
    }

    #[tokio::test]
    async fn packs_of_data_leave_the_cache_when_the_bucket_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let cache = DirStore::open(folder.path()).unwrap();
        let bucket = Watched::new(Arc::new(MemStore::new())).spending(folder.path().to_owned());
        for key in ["p/aa/one", "m/aa/one"] {
            cache.put(key, BODY, PutMode::Once).await.unwrap();
            bucket.put(key, BODY, PutMode::Once).await.unwrap();
        }
        assert_eq!(cache.head("p/aa/one").await.unwrap(), None);
        assert!(cache.head("m/aa/one").await.unwrap().is_some());
    }
}
