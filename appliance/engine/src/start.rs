//! Opens or sets up a data folder and starts everything that runs in it.
//!
//! Order: lock, catalog, repository, settings, history, the cache's rule; then, in the background: hosts (law L6),
//! bucket, scheduler. Invariant: nothing here waits for a host or a bucket.

use crate::{
    cache,
    folder::Folder,
    house::{Bricks, Held, House},
    outside::Outside,
    scheduler, ship, watch,
};
use holdfast_capture::Journal;
use holdfast_catalog::{Catalog, Opened};
use holdfast_model::{
    Error, Kind, Result,
    settings::{BucketSettings, Host, Settings},
};
use holdfast_repository::{Parts, Repository, Unlock};
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::DirStore;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Longest wait for the local host when nothing else can be done.
const FREE_LIMIT: Duration = Duration::from_secs(60);

/// What it takes to start.
pub struct Start {
    /// The data folder: `cache/`, `catalog/`, `device.key`, `journal/`.
    pub data: PathBuf,
    /// The time.
    pub clock: Clock,
    /// Hosts, buckets, bundles, shipping.
    pub outside: Arc<dyn Outside>,
    /// Attached if the settings name none.
    pub bucket: Option<BucketSettings>,
    /// The local Docker socket, registered as host `local` in an empty folder.
    pub local_host: Host,
    /// Program version, for people.
    pub version: String,
}

/// Starts. `Conflict` (`appliance.running`), or what keeps the repository from opening.
pub async fn start(start: Start, stop: Stop) -> Result<Arc<House>> {
    let data = start.data.clone();
    let (folder, catalog, journal) = blocking(move || open(&data)).await?;
    let catalog = Arc::new(catalog);
    let tier = Arc::new(DirStore::open(folder.cache())?);
    let parts = || Parts { cache: tier.clone(), catalog: catalog.clone(), clock: start.clock.clone() };
    let repository = match open_or_create(parts, folder.device_key()).await {
        Ok(repository) => repository,
        Err(error) => {
            free_local(&journal, &start).await;
            return Err(error);
        }
    };
    let settings = settings(&repository, &start).await?;
    let house = Arc::new(House::build(Bricks {
        folder,
        clock: start.clock.clone(),
        outside: start.outside,
        version: start.version,
        local_host: start.local_host,
        stop,
        catalog: catalog.clone(),
        journal: Arc::new(journal),
        held: Held::new(repository, settings),
    }));
    // Before anything is written that it bounds.
    cache::start(&house);
    watch::start_all(&house);
    ship::start(&house, None);
    scheduler::start(&house);
    Ok(house)
}

/// Waits for the end: `stop`, then running work, then the catalog's last write.
pub async fn finished(house: &House) {
    house.stop.cancelled().await;
    house.tracker.close();
    house.tracker.wait().await;
    if let Err(error) = house.catalog.flush() {
        tracing::warn!(error = ?error, "the catalog could not be written; it will be rebuilt");
    }
}

fn open(data: &std::path::Path) -> Result<(Folder, Catalog, Journal)> {
    let folder = Folder::open(data)?;
    let (catalog, opened) = Catalog::open(&folder.catalog())?;
    if opened == Opened::Renewed {
        tracing::warn!("the catalog was damaged and is rebuilt; no backup is harmed");
    }
    let journal = Journal::open(&folder.journal())?;
    Ok((folder, catalog, journal))
}

async fn open_or_create(parts: impl Fn() -> Parts, device_key: [u8; 32]) -> Result<Repository> {
    match Repository::open(parts(), Unlock::Device(device_key)).await {
        Err(error) if error.kind() == Kind::NotFound && error.code() == "repository.none" => {
            Repository::create(parts(), device_key).await
        }
        opened => opened,
    }
}

/// A repository that does not open must not leave people's containers standing still (law L6): those of
/// the local host can be let go without it.
async fn free_local(journal: &Journal, start: &Start) {
    for held in journal.left_over().into_iter().filter(|held| held.host == start.local_host.name) {
        let work = async {
            let engine = start.outside.host(&start.local_host).await?;
            journal.undo(engine.as_ref(), &held).await
        };
        match tokio::time::timeout(FREE_LIMIT, work).await {
            Ok(Ok(())) => tracing::warn!(app = held.app, "members held since a crash run again"),
            Ok(Err(error)) => tracing::error!(app = held.app, error = ?error, "members are still held"),
            Err(_) => tracing::error!(app = held.app, "members are still held: the host does not answer"),
        }
    }
}

/// The settings of the repository, completed by what was given at the start; saved only when changed.
async fn settings(repository: &Repository, start: &Start) -> Result<Settings> {
    let (found, is_healed) = match repository.settings().await {
        Err(error) if error.kind() == Kind::Corrupt => (settings_from(start, repository, error).await?, true),
        read => (read?, false),
    };
    let mut settings = found.clone().unwrap_or_default();
    if found.is_none() {
        settings.hosts.insert(start.local_host.name.clone(), start.local_host.clone());
    }
    settings.bucket = bucket(settings.bucket, start.bucket.as_ref());
    // The next start finds a whole document in the cache again.
    if is_healed || found.as_ref() != Some(&settings) {
        settings.generation += 1;
        repository.save_settings(&settings).await?;
    }
    Ok(settings)
}

/// The settings as a bucket has them that was named at the start: those in the cache, which would name it, are damaged.
async fn settings_from(start: &Start, repository: &Repository, error: Error) -> Result<Option<Settings>> {
    let advice = "Start it once with --bucket and the bucket's keys, where copies of the settings lie; or recover with the \
                  recovery kit into an empty data folder. Data and snapshots are not touched by this.";
    let Some(bucket) = &start.bucket else { return Err(error.advice(advice)) };
    let attached = async { repository.attach_bucket(start.outside.bucket(bucket, None).await?).await };
    let why = "the settings in the cache are damaged, and the bucket that may have copies could not be attached";
    attached.await.map_err(|error| error.while_doing(why))?;
    let found = repository.settings().await;
    // It is attached as always once the settings say so.
    repository.detach_bucket();
    found.map_err(|error| error.advice(advice))
}

/// The bucket that people decided on stays; keys given for the same place are newer than the stored ones.
fn bucket(stored: Option<BucketSettings>, given: Option<&BucketSettings>) -> Option<BucketSettings> {
    match (stored, given) {
        (None, given) => given.cloned(),
        (Some(mut stored), Some(given)) if stored.url.is_same_place(&given.url) => {
            if stored.url != given.url {
                tracing::warn!(attached = %stored.url, given = %given.url, "the way to the bucket is set otherwise; the given one is not used");
            }
            stored.credentials = given.credentials.clone().or(stored.credentials);
            stored.ca = given.ca.clone().or(stored.ca);
            if stored.url.proxy() == given.url.proxy() {
                stored.proxy_password = given.proxy_password.clone().or(stored.proxy_password);
            }
            Some(stored)
        }
        (Some(stored), Some(given)) => {
            tracing::warn!(attached = %stored.url, given = %given.url, "another bucket is set; the given one is not used");
            Some(stored)
        }
        (Some(stored), None) => Some(stored),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Error::bug("opening the data folder ended in a panic"))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::{Secret, bucket::BucketUrl, bucket::Credentials};

    fn at(url: &str, key: Option<&str>) -> BucketSettings {
        let keys =
            |key: &str| Credentials { access_key: "k".into(), secret_key: Secret::new(key), session_token: None };
        let url = BucketUrl::parse(url).unwrap();
        BucketSettings { url, credentials: key.map(keys), ca: None, proxy_password: None, lock: None }
    }

    #[test]
    fn a_password_goes_to_no_other_proxy() {
        let with = |proxy: &str, password: &str| {
            let settings = at(&format!("s3://a?endpoint=http://e&proxy=http://ada@{proxy}:3128"), None);
            BucketSettings { proxy_password: Some(Secret::new(password)), ..settings }
        };
        let (old, other) = (with("good", "old"), with("other", "new"));
        assert_eq!(bucket(Some(old.clone()), Some(&other)).unwrap().proxy_password, old.proxy_password);
        let same = with("good", "new");
        assert_eq!(bucket(Some(old), Some(&same)).unwrap().proxy_password, same.proxy_password);
    }

    #[test]
    fn the_stored_bucket_stays_and_new_keys_win() {
        let (old, new) = (at("s3://a", Some("old")), at("s3://a", Some("new")));
        assert_eq!(bucket(None, Some(&new)), Some(new.clone()));
        assert_eq!(bucket(Some(old.clone()), Some(&new)), Some(new));
        assert_eq!(bucket(Some(old.clone()), Some(&at("s3://a", None))), Some(old.clone()));
        assert_eq!(bucket(Some(old.clone()), Some(&at("s3://b", Some("x")))), Some(old.clone()));
        let other_way = bucket(Some(old.clone()), Some(&at("s3://a?class=STANDARD_IA", Some("new")))).unwrap();
        assert_eq!((other_way.url, other_way.credentials), (old.url, at("s3://a", Some("new")).credentials));
    }
}
