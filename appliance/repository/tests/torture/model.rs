//! Random lives of an appliance against a model: a map of snapshots to bytes.
//!
//! Backups, shipping, forgetting, pruning, evicting, checks, restarts, power cuts in the middle of things, failing
//! disks, a bucket with moods, lost catalogs, lost machines. After each trouble everything promised must read. A
//! life follows from its seed; a failure prints the line that plays it again.

use crate::{full, ground::*, scenario::settings};
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_catalog::Catalog;
use holdfast_model::{
    Error, Kind, Moment, Result, Severity, SnapshotId,
    view::{CloudState, From},
};
use holdfast_repository::{Parts, Repository, Unlock};
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::{
    Store,
    sim::{Call, Dice, Fate, Moods, SimBucket, SimDisk, Trouble, World},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

const OPS: u64 = 50;
/// Lives at once; most of them wait for a bucket in a bad mood.
const AT_ONCE: usize = 6;
/// Random lives still find what is not understood (README, “What it does not do yet”): they are lived by
/// hand, and a plain run lives those again whose findings were mended.
const MENDED: [u64; 18] = [
    192_984_507_600_044,
    320_832_187_900_019,
    1_743_303_700_045,
    1_743_303_700_096,
    1_743_303_700_111,
    1_743_303_700_190,
    1_743_303_700_267,
    76_896_088_000_132,
    76_896_088_000_202,
    76_896_088_000_378,
    76_896_088_000_468,
    360_834_853_800_089,
    380_031_142_400_254,
    380_031_142_401_337,
    214_230_277_905_224,
    214_230_277_901_905,
    214_230_277_905_367,
    214_230_277_907_353,
];
const LIVES: u64 = 20_000;
/// Lives in which the appliance itself lets packs go, in every run. Those above were found without, and live as they did.
const EVICTING: [u64; 3] = [7, 77, 777];

type Step = std::result::Result<(), String>;

/// What the appliance's people believe.
#[derive(Default)]
struct Belief {
    known: BTreeMap<SnapshotId, Bytes>,
    kept: BTreeSet<SnapshotId>,
    /// Called present in the cloud.
    shipped: BTreeSet<SnapshotId>,
    going: BTreeSet<SnapshotId>,
    gone: BTreeSet<SnapshotId>,
    settings: u64,
    settings_tried: u64,
    settings_shipped: u64,
}

struct Life {
    dice: Dice,
    disk: SimDisk,
    bucket: Arc<SimBucket>,
    catalog: Arc<Catalog>,
    clock: Clock,
    repository: Repository,
    /// All kits that were printed or may have been made.
    kits: Vec<[u8; 32]>,
    moody: bool,
    evicts: bool,
    belief: Belief,
    log: Vec<String>,
}

fn told(what: &str) -> impl Fn(Error) -> String + '_ {
    move |error| format!("{what}: {}", error.chain())
}

/// A few versions of a small app: many lives meet the same data again.
fn data(dice: &mut Dice) -> Bytes {
    let (a, b, c) = (dice.below(3), dice.below(3), dice.below(4));
    let mut files: Vec<(String, Vec<u8>)> =
        (0..4).map(|n| (format!("v/small-{n}"), text(a + n * 10, 100 + 300 * n as usize))).collect();
    files.push(("v/large".into(), text(b + 50, 34_000)));
    let mut pages = text(7, 65_536 + 8192);
    pages[..16].copy_from_slice(b"SQLite format 3\0");
    pages[20_000..20_100].copy_from_slice(&text(c, 100));
    files.push(("v/pages".into(), pages));
    Bytes::from(tar(&files))
}

impl Life {
    async fn begin(seed: u64) -> Result<Life> {
        let disk = SimDisk::new(World::default());
        let (catalog, clock) = (fresh_catalog(), Clock::manual(Moment::from_millis(1_795_000_000_000)));
        let bucket = Arc::new(SimBucket::new(BTreeMap::new()));
        let parts = Parts { cache: folder_on(&disk)?, catalog: catalog.clone(), clock: clock.clone() };
        let repository = Repository::create(parts, DEVICE).await?;
        repository.attach_bucket(bucket.clone()).await?;
        let kits = vec![repository.recovery_key().0];
        let (dice, belief, evicts) = (Dice::new(seed), Belief::default(), !MENDED.contains(&seed));
        Ok(Life { dice, disk, bucket, catalog, clock, repository, kits, moody: false, evicts, belief, log: Vec::new() })
    }

    fn parts(&self) -> Result<Parts> {
        Ok(Parts { cache: folder_on(&self.disk)?, catalog: self.catalog.clone(), clock: self.clock.clone() })
    }

    /// A failure is lawful only if something was made to fail, and if it has a name.
    fn lawful(&self, troubled: bool, what: &str, result: Result<()>) -> Step {
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == Kind::Bug => Err(format!("{what}: a bug: {}", error.chain())),
            Err(_) if troubled || self.moody => Ok(()),
            Err(error) => Err(format!("{what}: {}", error.chain())),
        }
    }

    async fn step(&mut self) -> Step {
        self.clock.advance(Duration::from_secs(60 + self.dice.below(40_000)));
        match self.dice.below(100) {
            0..30 => self.deed(false).await,
            30..55 => {
                self.deed(false).await?;
                self.deed(false).await
            }
            55..65 => self.fault().await,
            65..77 => self.cut().await,
            77..82 => self.restart().await,
            82..86 => self.evict().await,
            86..89 => self.lose_machine().await,
            89..95 => self.mood().await,
            _ => self.look().await,
        }
    }

    /// Something that appliances do all day.
    async fn deed(&mut self, troubled: bool) -> Step {
        if self.evicts && self.dice.below(8) == 0 {
            return self.let_go(troubled).await;
        }
        match self.dice.below(20) {
            0..8 => self.back_up(troubled).await,
            8..12 => self.ship(troubled).await,
            12..14 => self.forget(troubled).await,
            14 | 15 => self.settings(troubled).await,
            16 | 17 => self.prune(Vec::new(), troubled).await,
            18 => self.rotate(troubled).await,
            _ => self.check(troubled).await,
        }
    }

    async fn back_up(&mut self, troubled: bool) -> Step {
        let (draft, bytes) = (draft("app"), data(&mut self.dice));
        self.log.push(format!("back up {}", draft.id));
        self.belief.known.insert(draft.id.clone(), bytes.clone());
        let result = back_up(&self.repository, draft, &bytes).await;
        let written = result.map(|written| {
            self.belief.kept.insert(written.id);
        });
        self.lawful(troubled, "back up", written)
    }

    async fn ship(&mut self, troubled: bool) -> Step {
        if !self.repository.has_bucket() {
            self.attach().await?;
        }
        let most = if self.dice.below(2) == 0 { usize::MAX } else { self.dice.below(12) as usize };
        self.log.push(format!("ship {most}"));
        let result = ship(&self.repository, &*self.bucket, most).await;
        if matches!(result, Ok(true)) && self.repository.has_bucket() {
            self.belief.settings_shipped = self.belief.settings;
        }
        let result = self.lawful(troubled, "ship", result.map(drop));
        self.hear_states();
        result
    }

    fn hear_states(&mut self) {
        let present = self.repository.snapshots().into_iter().filter(|entry| entry.state.cloud == CloudState::Present);
        let present = present.map(|entry| entry.snapshot.id.clone()).filter(|id| self.belief.kept.contains(id));
        self.belief.shipped.extend(present);
    }

    async fn forget(&mut self, troubled: bool) -> Step {
        let shown = self.repository.snapshots();
        if shown.is_empty() {
            return Ok(());
        }
        let id = shown[self.dice.below(shown.len() as u64) as usize].snapshot.id.clone();
        self.prune(vec![id], troubled).await
    }

    async fn prune(&mut self, forget: Vec<SnapshotId>, troubled: bool) -> Step {
        self.log.push(format!("prune {forget:?}"));
        for id in &forget {
            self.belief.kept.remove(id);
            self.belief.shipped.remove(id);
            self.belief.going.insert(id.clone());
        }
        // A put that outlives a prune's deletions brings back what was forgotten; nothing remembers it by then.
        self.bucket.settle().await;
        let attached = self.repository.has_bucket();
        let at_once = self.dice.below(2) == 0;
        let mut result = prune(&self.repository, forget.clone(), at_once).await;
        if result.as_ref().is_err_and(|error| error.code() == "prune.unsafe") && attached && !troubled && !self.moody {
            self.give_up_unreadable().await?;
            result = prune(&self.repository, forget.clone(), at_once).await;
        }
        if let Ok(outcome) = &result {
            // What the bucket could not be told may come back from it, to a machine that knows nothing else.
            if outcome.problems.is_empty() && attached && !self.moody {
                for id in forget {
                    self.belief.going.remove(&id);
                    self.belief.gone.insert(id);
                }
            }
        }
        self.lawful(troubled, "prune", result.map(drop))
    }

    /// A machine that was lost while it sent a snapshot may leave half of it in the bucket, which nobody can read: nothing is
    /// pruned before a check has found no good copy of it and somebody has forgotten it, as the errors advise. What was
    /// promised is never among those.
    async fn give_up_unreadable(&mut self) -> Step {
        self.repository.check(false, None, &Stop::new()).await.map_err(told("check before giving up"))?;
        let unreadable = self.repository.unreadable();
        self.log.push(format!("give up {unreadable:?}"));
        if let Some(lost) = unreadable.iter().find(|id| self.belief.kept.contains(*id)) {
            return Err(format!("LOST: {lost} cannot be read"));
        }
        self.belief.going.extend(unreadable.iter().cloned());
        prune(&self.repository, unreadable, false).await.map_err(told("forget what cannot be read"))?;
        match self.repository.unreadable().first() {
            Some(id) => Err(format!("{id} was forgotten and is still in the way")),
            None => Ok(()),
        }
    }

    async fn settings(&mut self, troubled: bool) -> Step {
        let generation = self.belief.settings_tried + 1;
        self.log.push(format!("settings {generation}"));
        self.belief.settings_tried = generation;
        let result = self.repository.save_settings(&settings(generation)).await;
        if result.is_ok() {
            self.belief.settings = generation;
        }
        self.lawful(troubled, "settings", result)
    }

    async fn rotate(&mut self, troubled: bool) -> Step {
        let whole_epoch = self.dice.below(2) == 0;
        self.log.push(format!("new kit, whole epoch: {whole_epoch}"));
        let result = match whole_epoch {
            true => self.repository.rotate_epoch(&DEVICE).await,
            false => self.repository.rotate_recovery().await,
        };
        let kit = self.repository.recovery_key().0;
        match &result {
            // Only a rotation without trouble says that the kits before it are void.
            Ok(change) if change.problems.is_empty() && !self.moody && !troubled => self.kits = vec![kit],
            _ => self.kits.push(kit),
        }
        self.lawful(troubled, "new kit", result.map(drop))
    }

    /// Newest first.
    fn kits(&self) -> Vec<[u8; 32]> {
        self.kits.iter().rev().copied().collect()
    }

    async fn check(&mut self, troubled: bool) -> Step {
        self.log.push("check".into());
        match self.repository.check(true, None, &Stop::new()).await {
            Ok(view) if !troubled && !self.moody && self.repository.has_bucket() => {
                let unreadable = self.repository.unreadable();
                let is_known = |subject: &str| unreadable.iter().any(|id| id.as_str() == subject);
                let mut errors = view.problems.iter().filter(|problem| problem.severity == Severity::Error);
                match errors.find(|problem| problem.code != "snapshot.damaged" || !is_known(&problem.subject)) {
                    Some(problem) => Err(format!("check finds {problem:?}")),
                    None if unreadable.is_empty() => Ok(()),
                    None => self.give_up_unreadable().await,
                }
            }
            result => self.lawful(troubled, "check", result.map(drop)),
        }
    }

    /// A deed during which the disk fails once; then everything reads.
    async fn fault(&mut self) -> Step {
        let (call, errno) = match self.dice.below(4) {
            0 => (Call::Sync, 5),
            1 => (Call::SyncFolder, 5),
            2 => (Call::Write, 28),
            _ => (Call::Any, 122),
        };
        let nth = self.dice.below(if call == Call::Any { 40 } else { 6 });
        self.log.push(format!("disk fails at {call:?} {nth} with {errno}"));
        self.disk.heal();
        self.disk.trouble(call, nth, Trouble::Fail(errno));
        let result = self.deed(true).await;
        self.disk.heal();
        result?;
        self.promised().await
    }

    /// The power goes during a deed.
    async fn cut(&mut self) -> Step {
        let nth = self.dice.below(40);
        self.log.push(format!("power goes at disk call {nth}"));
        self.disk.heal();
        self.disk.trouble(Call::Any, nth, Trouble::FailOn(5));
        self.deed(true).await?;
        let world = self.disk.world();
        let fates: Vec<_> = world.loose().into_iter().map(|loose| (loose, self.fate(loose))).collect();
        self.disk = SimDisk::new(world.after_cut(&fates));
        self.restart().await
    }

    fn fate(&mut self, loose: holdfast_storage::sim::Loose) -> Fate {
        Fate::random(loose, &mut self.dice)
    }

    async fn restart(&mut self) -> Step {
        if self.dice.below(3) == 0 {
            self.log.push("catalog lost".into());
            self.catalog = fresh_catalog();
        }
        self.log.push("restart".into());
        let opened = Repository::open(self.parts().map_err(told("folder"))?, Unlock::Device(DEVICE)).await;
        self.repository = opened.map_err(told("open"))?;
        self.kits.push(self.repository.recovery_key().0);
        self.attach().await?;
        self.promised().await
    }

    async fn attach(&mut self) -> Step {
        let result = self.repository.attach_bucket(self.bucket.clone()).await;
        self.log.push(format!("attach: {:?}", result.as_ref().err().map(Error::chain)));
        self.lawful(false, "attach", result)
    }

    /// The appliance lets data go that the bucket holds: some of it, or all.
    async fn let_go(&mut self, troubled: bool) -> Step {
        let aim = self.repository.cache_use().bytes / 2 * self.dice.below(2);
        self.log.push(format!("let go down to {aim}"));
        let result = self.repository.evict(Some(aim), &Stop::new()).await;
        self.lawful(troubled, "let go", result.map(drop))
    }

    /// Cached packs that the bucket provably holds leave the cache behind its back.
    async fn evict(&mut self) -> Step {
        self.log.push("evict".into());
        let cache = folder_on(&self.disk).map_err(told("folder"))?;
        let there = self.bucket.objects();
        for object in cache.list("").await.map_err(told("list"))? {
            let is_pack = object.key.starts_with("p/") || object.key.starts_with("m/");
            let held = there.get(&object.key).is_some_and(|bytes| bytes.len() as u64 == object.size);
            if is_pack && held && self.dice.below(2) == 0 {
                cache.delete(&object.key).await.map_err(told("delete"))?;
            }
        }
        self.restart().await
    }

    /// Bucket and kit are all that is left.
    async fn lose_machine(&mut self) -> Step {
        if self.belief.shipped.is_empty() {
            return Ok(());
        }
        self.log.push("machine lost".into());
        self.calm().await;
        let disk = SimDisk::new(World::default());
        self.disk = disk;
        self.catalog = fresh_catalog();
        self.belief.kept = self.belief.shipped.clone();
        self.belief.settings = self.belief.settings_shipped;
        let mut back = std::mem::take(&mut self.belief.gone);
        self.belief.going.append(&mut back);
        let cache = folder_on(&self.disk).map_err(told("folder"))?;
        let recovered = recover(cache, self.catalog.clone(), self.bucket.clone(), &self.kits()).await;
        self.repository = recovered.map_err(told("recover"))?;
        self.promised().await
    }

    async fn mood(&mut self) -> Step {
        if self.moody {
            self.calm().await;
            self.restart().await?;
            return self.check(false).await;
        }
        let per_mille = 5 + self.dice.below(60) as u32;
        self.log.push(format!("bucket gets moods of {per_mille}"));
        self.moody = true;
        let seed = self.dice.throw();
        self.bucket.upset(Moods::all(per_mille), seed);
        Ok(())
    }

    async fn calm(&mut self) {
        self.log.push("bucket is calm".into());
        self.moody = false;
        self.bucket.calm().await;
    }

    /// All is well again: ship, check, and the bucket alone is enough.
    async fn look(&mut self) -> Step {
        self.calm().await;
        self.restart().await?;
        // Halves that a bad mood left are mended first.
        self.repository.check(true, None, &Stop::new()).await.map_err(told("check"))?;
        self.log.push("ship all".into());
        ship(&self.repository, &*self.bucket, usize::MAX).await.map_err(told("ship all"))?;
        self.belief.settings_shipped = self.belief.settings;
        self.hear_states();
        if let Some(entry) = self.repository.snapshots().iter().find(|entry| entry.state.cloud != CloudState::Present) {
            return Err(format!("{} is {:?} after shipping all", entry.snapshot.id, entry.state.cloud));
        }
        self.promised().await?;
        let cache: Arc<dyn Store> = Arc::new(holdfast_storage::MemStore::new());
        let copy = Arc::new(SimBucket::new(self.bucket.objects()));
        let recovered = recover(cache, fresh_catalog(), copy, &self.kits()).await;
        let recovered = recovered.map_err(told("recover a copy"))?;
        self.reads(&recovered, &self.belief.shipped.clone(), From::Bucket).await
    }

    /// Everything promised reads; nothing forgotten is back.
    async fn promised(&mut self) -> Step {
        let repository = self.repository.clone();
        let shown: BTreeSet<SnapshotId> =
            repository.snapshots().into_iter().map(|entry| entry.snapshot.id.clone()).collect();
        if let Some(back) = self.belief.gone.iter().find(|id| shown.contains(*id)) {
            return Err(format!("{back} was forgotten and is shown again"));
        }
        if !self.moody {
            let found = repository.settings().await.map_err(told("settings"))?;
            let generation = found.map_or(0, |found| found.generation);
            if !(self.belief.settings..=self.belief.settings_tried).contains(&generation) {
                return Err(format!("LOST: settings {} were saved, {generation} are there", self.belief.settings));
            }
        }
        self.reads(&repository, &self.belief.kept.clone(), From::Auto).await
    }

    async fn reads(&self, repository: &Repository, promised: &BTreeSet<SnapshotId>, from: From) -> Step {
        let shown: BTreeMap<_, _> =
            repository.snapshots().into_iter().map(|entry| (entry.snapshot.id.clone(), entry.snapshot)).collect();
        if let Some(lost) = promised.iter().find(|id| !shown.contains_key(*id)) {
            return Err(format!("LOST: {lost} is not shown"));
        }
        for (id, snapshot) in &shown {
            let expected = self.belief.known.get(id).ok_or_else(|| format!("{id} was never made"))?;
            match read_all(repository, snapshot, from).await {
                Ok(bytes) if bytes == *expected => {}
                Ok(_) => return Err(format!("WRONG BYTES in {id}")),
                Err(error) if error.kind() == Kind::Bug => return Err(format!("a bug: {}", error.chain())),
                // Only a bucket that answers can give what only it holds.
                Err(_) if self.moody || !repository.has_bucket() => {}
                Err(_) if self.belief.going.contains(id) => {}
                Err(error) => return Err(format!("LOST: {id} does not read: {}", error.chain())),
            }
        }
        Ok(())
    }
}

/// One life. The answer is how many steps it had.
async fn live(seed: u64, ops: u64) -> std::result::Result<u64, String> {
    let mut life = Life::begin(seed).await.map_err(told("begin"))?;
    for number in 0..=ops {
        let stepped = tokio::time::timeout(Duration::from_secs(180), async {
            if number == ops { life.look().await } else { life.step().await }
        });
        let result = stepped.await.unwrap_or_else(|_| Err("does not come to an end".into()));
        if let Err(error) = result {
            let last =
                if std::env::var("HOLDFAST_TORTURE_SEED").is_ok() { 0 } else { life.log.len().saturating_sub(30) };
            return Err(format!("{error} [event {number} of HOLDFAST_TORTURE_SEED={seed}: {:?}]", &life.log[last..]));
        }
    }
    Ok(ops + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_at_random_keeps_every_promise() {
    panics();
    let (start, mut failures) = (Instant::now(), Failures::default());
    if let Some(seed) = std::env::var("HOLDFAST_TORTURE_SEED").ok().and_then(|word| word.parse().ok()) {
        live(seed, OPS).await.unwrap();
        return;
    }
    let wanted = std::env::var("HOLDFAST_TORTURE_LIVES").ok().and_then(|word| word.parse().ok());
    let lives: u64 = wanted.unwrap_or(if full() { LIVES } else { 0 });
    let first = u64::from(u32::from_le_bytes(holdfast_runtime::random())) * 100_000;
    let mut results = stream::iter(MENDED.into_iter().chain(EVICTING).chain(first..first + lives))
        .map(|seed| async move { tokio::spawn(live(seed, OPS)).await.unwrap() })
        .buffer_unordered(AT_ONCE);
    let (mut lives, mut steps) = (0u64, 0);
    while let Some(result) = results.next().await {
        match result {
            Ok(count) => steps += count,
            Err(error) => failures.add(error),
        }
        lives += 1;
        if lives.is_multiple_of(1000) {
            println!("{lives} lives so far, {steps} steps, {:?}", start.elapsed());
        }
    }
    println!("{lives} lives, {steps} steps, {:?}", start.elapsed());
    failures.assert_none();
    assert_eq!(panics(), 0);
}
