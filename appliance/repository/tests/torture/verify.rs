//! What must hold after every cut: open, attach, read everything promised, go on working, be cut again.

use crate::{
    ground::*,
    scenario::{Trace, settings},
    states::State,
};
use bytes::Bytes;
use holdfast_chunk::escrow::PrivateKey;
use holdfast_model::{
    Problem, Severity, SnapshotId,
    snapshot::Snapshot,
    view::{CloudState, From},
};
use holdfast_repository::{RecoveryKey, Repository, Unlock};
use holdfast_runtime::Stop;
use holdfast_storage::{
    Store,
    sim::{Fate, SimBucket, SimDisk},
};
use std::{
    collections::{BTreeMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex},
};

/// What went wrong, in words.
pub(crate) type Verdict = Result<(), String>;

/// What a state is judged by.
pub(crate) struct Judge {
    pub(crate) known: BTreeMap<SnapshotId, Bytes>,
    pub(crate) kits: Vec<[u8; 32]>,
    notary: PrivateKey,
    /// States that were seen after the store was opened: what follows is the same.
    seen: Mutex<HashSet<u64>>,
}

impl Judge {
    pub(crate) fn of(trace: &Trace) -> Judge {
        let (known, kits, notary) = (trace.known.clone(), trace.kits.clone(), trace.notary.clone());
        Judge { known, kits, notary, seen: Mutex::default() }
    }

    /// How many different states were looked at to the end.
    pub(crate) fn different(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) async fn judge(&self, state: State) -> Verdict {
        let label = state.label.clone();
        let verdict = tokio::time::timeout(std::time::Duration::from_secs(60), self.look(state)).await;
        match verdict {
            Ok(verdict) => verdict.map_err(|error| format!("{error} [{label}]")),
            Err(_) => Err(format!("does not come to an end [{label}]")),
        }
    }

    async fn look(&self, state: State) -> Verdict {
        let disk = SimDisk::new(state.world.clone());
        let cache = folder_on(&disk).map_err(|error| format!("the folder does not open: {}", error.chain()))?;
        if !self.seen.lock().unwrap().insert(print_of(&disk, &state)) {
            return Ok(());
        }
        let bucket = Arc::new(SimBucket::new(state.bucket.clone()));
        let catalog = catalog_of(&state.catalog);
        let repository = match open(Arc::clone(&cache), Arc::clone(&catalog)).await {
            Ok(repository) => repository,
            Err(error) if error.code() == "repository.none" && !state.promises.exists => {
                return self.begin_anew(&state, &disk, cache, bucket).await;
            }
            // Half a recovery is none: it begins again.
            Err(error)
                if error.code() == "repository.format_lost" && !state.promises.exists && state.promises.in_bucket =>
            {
                return self.begin_anew(&state, &disk, cache, bucket).await;
            }
            Err(error) => return Err(format!("open: {}", error.chain())),
        };
        self.go_on(&state, &disk, &repository, bucket).await
    }

    /// There was no repository yet, or none on this disk: making or recovering it begins again.
    async fn begin_anew(
        &self,
        state: &State,
        disk: &SimDisk,
        cache: Arc<dyn Store>,
        bucket: Arc<SimBucket>,
    ) -> Verdict {
        if state.promises.in_bucket {
            let recovered = recover(cache, fresh_catalog(), bucket.clone(), self.kits_of(state)).await;
            let repository = recovered.map_err(|error| format!("recover: {}", error.chain()))?;
            return self.go_on(state, disk, &repository, bucket).await;
        }
        let parts = parts(cache, fresh_catalog());
        let made = Repository::create(parts, DEVICE).await;
        let repository = made.map_err(|error| format!("create over leftovers: {}", error.chain()))?;
        work(&repository, &bucket).await.map(drop)
    }

    /// The kit that was called the one to print. While a new one is being made that one may do instead: who asked for it
    /// asked for the old one to be void, and the appliance prints the new one again when it is asked. A lost machine
    /// cannot, and it is told so: until it is stored there are the other ways in.
    fn kits_of(&self, state: &State) -> &[[u8; 32]] {
        let first = state.promises.kit.min(self.kits.len());
        let count = if state.promises.rotating { self.kits.len() } else { 1 };
        &self.kits[first..self.kits.len().min(first + count)]
    }

    async fn go_on(&self, state: &State, disk: &SimDisk, repository: &Repository, bucket: Arc<SimBucket>) -> Verdict {
        let promises = &state.promises;
        self.promised(state, repository).await?;
        if !promises.attached {
            return self.work_and_cut(state, disk, repository, bucket).await;
        }
        self.restores_from_the_bucket_alone(state, &bucket).await?;
        let attached = repository.attach_bucket(bucket.clone()).await;
        attached.map_err(|error| format!("attach: {}", error.chain()))?;
        self.promised(state, repository).await?;
        if let Some((key, bytes)) = &state.late {
            let put = bucket.put(key, bytes.clone(), holdfast_storage::PutMode::Replace).await;
            put.map_err(|error| error.chain())?;
        }
        self.work_and_cut(state, disk, repository, bucket).await
    }

    /// Everything promised reads, everything shown reads or was never promised, nothing forgotten is back.
    async fn promised(&self, state: &State, repository: &Repository) -> Verdict {
        let promises = &state.promises;
        let shown: BTreeMap<SnapshotId, Arc<Snapshot>> =
            repository.snapshots().into_iter().map(|entry| (entry.snapshot.id.clone(), entry.snapshot)).collect();
        let whole = repository.has_bucket() || !promises.rotten;
        if let Some(lost) = promises.kept.iter().find(|id| whole && !shown.contains_key(*id)) {
            return Err(format!("LOST: {lost} was acknowledged and is not shown"));
        }
        if let Some(back) = promises.gone.iter().find(|id| shown.contains_key(*id)) {
            return Err(format!("{back} was forgotten and is shown again"));
        }
        // Before the bucket is attached only what lies in the cache can be read.
        let reachable = repository.has_bucket() || !promises.in_bucket;
        for (id, snapshot) in shown.iter().filter(|_| reachable) {
            let expected = self.known.get(id).ok_or_else(|| format!("{id} was never made"))?;
            match read_all(repository, snapshot, From::Auto).await {
                Ok(bytes) if bytes == *expected => {}
                Ok(_) => return Err(format!("WRONG BYTES in {id}")),
                Err(error) if promises.going.contains(id) && !repository.has_bucket() => drop(error),
                Err(error) => return Err(format!("LOST: {id} does not read: {}", error.chain())),
            }
        }
        let found = repository.settings().await.map_err(|error| format!("settings: {}", error.chain()))?;
        let generation = found.as_ref().map_or(0, |found| found.generation);
        if generation < promises.settings {
            return Err(format!("LOST: settings {} were saved, {generation} are there", promises.settings));
        }
        match found {
            Some(found) if found != settings(found.generation) => Err("settings differ from what was saved".into()),
            _ => Ok(()),
        }
    }

    /// Law L1: what the bucket shows restores from the bucket alone; what was shipped is shown.
    async fn restores_from_the_bucket_alone(&self, state: &State, bucket: &SimBucket) -> Verdict {
        let copy = Arc::new(SimBucket::new(bucket.objects()));
        let cache: Arc<dyn Store> = Arc::new(holdfast_storage::MemStore::new());
        let recovered = match recover(cache, fresh_catalog(), copy, self.kits_of(state)).await {
            Ok(recovered) => recovered,
            Err(_) if state.promises.shipped.is_empty() && state.promises.settings_shipped == 0 => return Ok(()),
            Err(error) => return Err(format!("recover from the bucket alone: {}", error.chain())),
        };
        self.shipped_reads(state, &recovered).await?;
        self.keys_do_what_was_told(state, bucket).await
    }

    /// The notary gets in as long as that was promised, and reads the same; void kits and who was dismissed do not.
    async fn keys_do_what_was_told(&self, state: &State, bucket: &SimBucket) -> Verdict {
        let recover = async |key: Unlock| {
            let parts = parts(Arc::new(holdfast_storage::MemStore::new()), fresh_catalog());
            Repository::recover(parts, Arc::new(SimBucket::new(bucket.objects())), key, DEVICE).await
        };
        let promises = &state.promises;
        if promises.notary.is_some() {
            match (recover(Unlock::Escrow(self.notary.clone())).await, promises.notary) {
                (Ok(recovered), Some(true)) => self.shipped_reads(state, &recovered).await?,
                (Err(error), Some(true)) => return Err(format!("LOST: the notary's key: {}", error.chain())),
                (Ok(_), _) => return Err("a dismissed key opens the bucket".into()),
                (Err(_), _) => {}
            }
        }
        let void = self.kits[..promises.kit].last().filter(|_| !promises.rotating);
        match void {
            Some(kit) if recover(RecoveryKey(*kit).into()).await.is_ok() => Err("a void kit opens the bucket".into()),
            _ => Ok(()),
        }
    }

    async fn shipped_reads(&self, state: &State, recovered: &Repository) -> Verdict {
        let shown: BTreeMap<SnapshotId, Arc<Snapshot>> =
            recovered.snapshots().into_iter().map(|entry| (entry.snapshot.id.clone(), entry.snapshot)).collect();
        if let Some(lost) = state.promises.shipped.iter().find(|id| !shown.contains_key(*id)) {
            return Err(format!("LOST: {lost} was shipped and the bucket alone does not show it"));
        }
        for (id, snapshot) in shown {
            match read_all(recovered, &snapshot, From::Bucket).await {
                Ok(bytes) if self.known.get(&id).is_some_and(|expected| bytes == *expected) => {}
                Ok(_) => return Err(format!("WRONG BYTES in {id} from the bucket")),
                Err(error) => return Err(format!("LOST (law L1): {id} from the bucket alone: {}", error.chain())),
            }
        }
        Ok(())
    }

    async fn work_and_cut(
        &self,
        state: &State,
        disk: &SimDisk,
        repository: &Repository,
        bucket: Arc<SimBucket>,
    ) -> Verdict {
        let (new, bytes) = work(repository, &bucket).await?;
        self.promised(state, repository).await.or_else(|error| match error.contains(new.id.as_str()) {
            true => Ok(()),
            false => Err(format!("after going on: {error}")),
        })?;
        if state.promises.attached {
            let shown = repository.snapshots();
            if let Some(entry) = shown.iter().find(|entry| entry.state.cloud != CloudState::Present) {
                return Err(format!("{} is {:?} after shipping all", entry.snapshot.id, entry.state.cloud));
            }
        }
        // Cut once more, with nothing in doubt kept.
        let world = disk.world();
        let lost: Vec<_> = world.loose().into_iter().map(|loose| (loose, Fate::Lost)).collect();
        let again = SimDisk::new(world.after_cut(&lost));
        let cache = folder_on(&again).map_err(|error| error.chain())?;
        let again = open(cache, fresh_catalog()).await.map_err(|error| format!("second open: {}", error.chain()))?;
        if state.promises.attached {
            again.attach_bucket(bucket).await.map_err(|error| format!("second attach: {}", error.chain()))?;
        }
        let entry = again.snapshot(new.id.as_str()).map_err(|error| format!("LOST: {}", error.chain()))?;
        match read_all(&again, &entry.snapshot, From::Auto).await {
            Ok(read) if read == bytes => Ok(()),
            Ok(_) => Err("WRONG BYTES in what was backed up after the cut".into()),
            Err(error) => Err(format!("LOST: what was backed up after the cut: {}", error.chain())),
        }
    }
}

/// Work goes on: back up, read, ship, check, prune, all without a problem.
async fn work(repository: &Repository, bucket: &Arc<SimBucket>) -> Result<(Snapshot, Vec<u8>), String> {
    let told = |what: &'static str| move |error: holdfast_model::Error| format!("{what}: {}", error.chain());
    let bytes = Bytes::from(Data { small: 77, large: 1, paged: 5 }.tar());
    let new = back_up(repository, draft("after"), &bytes).await.map_err(told("back up"))?;
    if read_all(repository, &new, From::Cache).await.map_err(told("read"))? != bytes {
        return Err("WRONG BYTES in what was just backed up".into());
    }
    if repository.has_bucket() {
        ship(repository, &**bucket, usize::MAX).await.map_err(told("ship"))?;
    }
    for at_once in [false, true] {
        let outcome = prune(repository, Vec::new(), at_once).await.map_err(told("prune"))?;
        no_errors("prune", &outcome.problems)?;
    }
    let view = repository.check(true, None, &Stop::new()).await.map_err(told("check"))?;
    no_errors("check", &view.problems)?;
    Ok((new, bytes.to_vec()))
}

fn no_errors(what: &str, problems: &[Problem]) -> Verdict {
    match problems.iter().find(|problem| problem.severity == Severity::Error) {
        Some(problem) => Err(format!("{what} finds {problem:?}")),
        None => Ok(()),
    }
}

/// Tells states apart by what the store shows after it was opened, and by what was promised.
fn print_of(disk: &SimDisk, state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (path, parts) in disk.world().files() {
        // Swept by the opening, but for our own lock.
        if !path.contains("/.tmp/") {
            path.hash(&mut hasher);
            parts.concat().hash(&mut hasher);
        }
    }
    state.bucket.hash(&mut hasher);
    state.catalog.hash(&mut hasher);
    state.promises.hash(&mut hasher);
    state.late.hash(&mut hasher);
    hasher.finish()
}
