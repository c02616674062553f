//! Rebuilds the appliance from its bucket and the recovery kit, a passphrase or an escrow key (promise 5).
//!
//! Invariants: only on an appliance without snapshots; the new cache is built beside the old one and
//! takes its place when it is complete; a recovery that fails leaves the appliance as it was.

use crate::{
    bucket, cache,
    house::House,
    jobs::{Claim, Desk, Order},
    ship, watch,
    words::count,
};
use holdfast_catalog::{Catalog, Table};
use holdfast_chunk::{Kit, escrow::PrivateKey};
use holdfast_model::{
    Error, Kind, RepositoryId, Result, Secret,
    job::{JobKind, JobView},
    settings::{BucketSettings, Settings},
    view::RecoverRequest,
};
use holdfast_repository::{Parts, RecoveryKey, Repository, Unlock};
use holdfast_storage::{DirStore, Store};
use std::{path::Path, sync::Arc};

/// Queues the recovery. `Refused` (`recover.not_empty`) if there are snapshots.
pub async fn request(house: &Arc<House>, request: RecoverRequest) -> Result<JobView> {
    refuse_if_used(house)?;
    let key = key_of(&request)?;
    let bucket = bucket::settings_of(&request.bucket, house.settings().bucket.as_ref())?;
    let inner = house.clone();
    let order = Order { kind: JobKind::Recover, subject: String::new(), claim: Claim::Recover };
    let desk =
        house.jobs.add(order, Box::new(move |desk| Box::pin(async move { run(&inner, &desk, bucket, key).await })))?;
    Ok(desk.view())
}

/// What a person brought to open the bucket.
struct Key {
    unlock: Unlock,
    /// A kit says which repository it belongs to.
    repository: Option<RepositoryId>,
}

fn key_of(request: &RecoverRequest) -> Result<Key> {
    match (&request.kit, &request.passphrase, &request.escrow_key) {
        (Some(kit), None, None) => {
            let kit = Kit::parse(kit)?;
            Ok(Key { unlock: RecoveryKey(*kit.key).into(), repository: Some(kit.repository) })
        }
        (None, Some(passphrase), None) => {
            Ok(Key { unlock: Unlock::Passphrase(Secret::new(passphrase)), repository: None })
        }
        (None, None, Some(key)) => Ok(Key { unlock: Unlock::Escrow(PrivateKey::from_pem(key)?), repository: None }),
        _ => Err(Error::invalid("recover.key", "a recovery needs one key: the kit, a passphrase or an escrow key")),
    }
}

async fn run(house: &Arc<House>, desk: &Arc<Desk>, bucket: BucketSettings, key: Key) -> Result<String> {
    refuse_if_used(house)?;
    let _changing = house.tier.change()?;
    desk.phase("connect", 1, 4);
    let store = house.outside.bucket(&bucket, None).await?;
    ship::halt(house).await;
    let rebuilt = rebuild(house, desk, &store, key).await;
    let outcome = match rebuilt {
        Ok(found) => take_over(house, desk, bucket, found).await,
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        if let Err(error) = house.folder.recovery_failed() {
            tracing::warn!(error = ?error, "the unfinished recovery could not be removed");
        }
        ship::start(house, None);
    }
    outcome
}

/// What the bucket has of the settings.
struct Found {
    /// Of the newest document, whole or not.
    generation: u64,
    /// If there are documents and none is whole.
    lost: Option<Error>,
    /// If there is no document at all.
    none: bool,
}

/// Builds the new cache beside the old one.
async fn rebuild(house: &House, desk: &Desk, store: &Arc<dyn Store>, key: Key) -> Result<Found> {
    desk.phase("rebuild", 2, 4);
    let (cache, catalog) = house.folder.recovering()?;
    let parts = parts(house, &cache, open_catalog(catalog).await?)?;
    let work = Repository::recover(parts, store.clone(), key.unlock, house.folder.device_key());
    let recovered = tokio::select! {
        recovered = work => recovered?,
        () = desk.stop().cancelled() => desk.check_stop().and(Err(Error::bug("it was stopped for no reason")))?,
    };
    if key.repository.is_some_and(|id| id != recovered.id()) {
        return Err(Error::new(Kind::Denied, "kit.wrong", "the kit belongs to another repository than this bucket's")
            .advice("Take the kit that was printed for this bucket."));
    }
    desk.log(&format!("{} found", count(recovered.snapshots().len() as u64, "snapshot")));
    // The repository is opened again in a moment, and knows nothing of them then.
    desk.problems(recovered.take_healed());
    // Data counts more than settings: that no copy of these is whole is told, and stops nothing.
    let (lost, none) = match recovered.settings().await {
        Err(error) if error.kind() == Kind::Corrupt => (Some(error), false),
        read => (None, read?.is_none()),
    };
    let generation = recovered.settings_generation();
    recovered.detach_bucket();
    Ok(Found { generation, lost, none })
}

/// Puts the new cache into place and starts everything again with it.
async fn take_over(house: &Arc<House>, desk: &Desk, bucket: BucketSettings, found: Found) -> Result<String> {
    desk.phase("swap", 3, 4);
    let mine = house.settings();
    house.hosts.clear();
    let swapped = house.replace(|| async { swap(house, &mine, bucket, found.generation).await }).await;
    desk.phase("restart", 4, 4);
    watch::start_all(house);
    swapped?;
    cache::keep_to_settings(house);
    ship::start(house, None);
    house.events.resync();
    house.wake.notify_one();
    let settings = house.settings();
    let mut told = format!(
        "{}, {} and {} are back",
        count(house.repository().snapshots().len() as u64, "snapshot"),
        count(settings.hosts.len() as u64, "host"),
        if settings.policies.len() == 1 { "1 policy".into() } else { format!("{} policies", settings.policies.len()) },
    );
    if let Some(error) = found.lost {
        desk.log(&format!("the settings are lost: {}", error.chain()));
        told.push_str("; the settings of before (hosts, policies, users) are damaged in the bucket and begin anew");
    }
    if found.none {
        told.push_str("; the bucket has no settings (hosts, policies, users), so those of this appliance count");
    }
    Ok(told)
}

/// Opens what was recovered; `newest` is the generation of the newest settings that the bucket has, whole or not.
async fn swap(house: &House, mine: &Settings, bucket: BucketSettings, newest: u64) -> Result<(Repository, Settings)> {
    house.folder.recovery_done()?;
    // Rows of the repository that was here would be taken for rows of the new one.
    house.catalog.clear(Table::Packs)?;
    let parts = parts(house, &house.folder.cache(), house.catalog.clone())?;
    let repository = Repository::open(parts, Unlock::Device(house.folder.device_key())).await?;
    let recovered = repository.settings().await?;
    let before = recovered.clone().unwrap_or_default();
    let mut settings = merge(recovered.unwrap_or_else(|| mine.clone()), mine, bucket);
    settings.hosts.insert(house.local_host.name.clone(), house.local_host.clone());
    if settings != before {
        settings.generation = before.generation.max(mine.generation).max(newest) + 1;
        repository.save_settings(&settings).await?;
    }
    Ok((repository, settings))
}

/// What was recovered, with what was given just now: the bucket's keys, and people who would else be locked out. How long the bucket
/// keeps its objects was decided before.
fn merge(mut recovered: Settings, mine: &Settings, bucket: BucketSettings) -> Settings {
    let before = recovered.bucket.take().filter(|before| before.url.is_same_place(&bucket.url));
    recovered.bucket = Some(BucketSettings { lock: bucket.lock.or(before.and_then(|before| before.lock)), ..bucket });
    for user in &mine.users {
        if recovered.users.iter().all(|known| known.name != user.name) {
            recovered.users.push(user.clone());
        }
    }
    recovered
}

fn parts(house: &House, cache: &Path, catalog: Arc<Catalog>) -> Result<Parts> {
    Ok(Parts { cache: Arc::new(DirStore::open(cache)?), catalog, clock: house.clock.clone() })
}

async fn open_catalog(folder: std::path::PathBuf) -> Result<Arc<Catalog>> {
    let opened = tokio::task::spawn_blocking(move || Catalog::open(&folder)).await;
    let (catalog, _) = opened.map_err(|_| Error::bug("opening the catalog ended in a panic"))??;
    Ok(Arc::new(catalog))
}

fn refuse_if_used(house: &House) -> Result<()> {
    let count_now = house.repository().snapshots().len() as u64;
    if count_now == 0 {
        return Ok(());
    }
    let words =
        format!("this appliance has {} of its own; a recovery would replace them", count(count_now, "snapshot"));
    Err(Error::new(Kind::Refused, "recover.not_empty", words).advice("Recover into an empty data folder."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::{
        Moment, Secret,
        bucket::BucketUrl,
        lock::{LockMode, LockRule},
        settings::User,
    };

    fn user(name: &str, hash: &str) -> User {
        User { name: name.into(), password: Secret::new(hash), created: Moment::from_millis(0) }
    }

    #[test]
    fn nobody_is_locked_out_and_the_given_keys_win() {
        let recovered = Settings { users: vec![user("ada", "old")], ..Settings::default() };
        let mine = Settings { users: vec![user("ada", "new"), user("bob", "b")], ..Settings::default() };
        let url = BucketUrl::Directory("/b".into());
        let bucket = BucketSettings { url, credentials: None, ca: None, proxy_password: None, lock: None };
        let merged = merge(recovered, &mine, bucket.clone());
        assert_eq!(merged.users, [user("ada", "old"), user("bob", "b")]);
        assert_eq!(merged.bucket, Some(bucket));
    }

    #[test]
    fn the_lock_of_a_bucket_outlives_a_recovery_from_it() {
        let rule = LockRule { mode: LockMode::Compliance, days: 30 };
        let at = |path: &str, lock| {
            let url = BucketUrl::Directory(path.into());
            BucketSettings { url, credentials: None, ca: None, proxy_password: None, lock }
        };
        let recovered = Settings { bucket: Some(at("/b", Some(rule))), ..Settings::default() };
        let merged = merge(recovered.clone(), &Settings::default(), at("/b", None));
        assert_eq!(merged.bucket.unwrap().lock, Some(rule));
        assert_eq!(merge(recovered, &Settings::default(), at("/c", None)).bucket.unwrap().lock, None);
    }
}
