//! Condemning packs in the bucket: lists, a grace, verdicts; the protocol that `tests/prune_model` explores.
//!
//! A *list* (`g/LIFE-NUMBER`) says that packs count as absent; a *verdict* (`g/LIST.LIFE-NUMBER`) says which of them will
//! be deleted whatever comes. Only a verdict that the bucket acknowledged, with the fence looked at after that, is
//! carried out. Invariants:
//! - A process carries out only lists of its own life: requests of a dead one may still be on their way to its
//!   lists. Lists of others and of earlier lives are taken over: listed anew by us with their age, then removed. A verdict
//!   found on one binds for ever, because its author may have sent a deletion before it died.
//! - Lists are read before packs, fences after both.
//! - Between list and verdict lies the grace, measured by the store's own times. Safety does not hang on it; it spares
//!   others the work of storing again. A store that tells no times is given the appliance's clock and twice the grace.
//! - Before the verdict the packs are marked anew: by snapshots, running backups, and reach lists that appeared in
//!   the bucket since.
//! - A verdict leaves before its list, both after the packs; without its list it is void.

use crate::{
    inner::{Inner, is_absent},
    layout,
    prune::Work,
    segment::{decode_reach, encode_reach},
    state::{Fate, PackNo},
};
use bytes::Bytes;
use holdfast_chunk::ObjectKind;
use holdfast_model::{Error, Kind, Moment, Result};
use holdfast_storage::{ObjectInfo, PutMode, Store};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

/// Seconds that a condemned pack stays in the bucket.
pub(crate) const GRACE_SECONDS: u64 = 86_400;

/// What this life has written under `g/`.
#[derive(Debug)]
pub(crate) struct Ledger {
    life: String,
    next: u32,
    /// Own lists, with the time from which their grace counts.
    lists: BTreeMap<String, Own>,
}

#[derive(Debug)]
struct Own {
    packs: Vec<PackNo>,
    since: Option<Moment>,
    /// Our clock, for stores that tell no time.
    written: Moment,
}

/// Objects under `g/` that this life did not write.
#[derive(Default)]
struct Others {
    lists: BTreeMap<String, (HashSet<PackNo>, Option<Moment>)>,
    verdicts: BTreeMap<String, HashSet<PackNo>>,
}

/// A list with its verdict, to be closed when its packs are gone.
pub(crate) struct Sentence {
    list: String,
    verdict: Option<String>,
    pub(crate) packs: Vec<PackNo>,
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger { life: hex::encode(holdfast_runtime::random::<8>()), next: 0, lists: BTreeMap::new() }
    }
}

impl Ledger {
    fn name(&mut self) -> String {
        self.next += 1;
        format!("{}-{:06}", self.life, self.next)
    }
    fn listed(&self) -> HashSet<PackNo> {
        self.lists.values().flat_map(|own| &own.packs).copied().collect()
    }
}

impl Others {
    /// Packs whose deletion may be on its way.
    fn bound(&self) -> HashSet<PackNo> {
        let valid = self.verdicts.iter().filter(|(key, _)| self.lists.contains_key(base(key)));
        valid.flat_map(|(_, packs)| packs).copied().collect()
    }
}

/// The list that a verdict speaks of.
fn base(verdict: &str) -> &str {
    verdict.split_once('.').map_or(verdict, |(list, _)| list)
}

impl Inner {
    /// What lists in the bucket condemn counts as absent; what verdicts name is as good as gone. Asked when a bucket
    /// is attached, before its packs are learned.
    pub(crate) async fn learn_condemned(&self, bucket: &dyn Store) -> Result<()> {
        let listed = bucket.list(layout::CONDEMNED).await?;
        let others = self.read_others(bucket, &listed, &Ledger::default()).await?;
        let struck = self.pins.strike();
        let mut state = self.write();
        for pack in others.lists.values().flat_map(|(packs, _)| packs) {
            let info = state.index.pack_mut(*pack);
            if info.fate == Fate::Sound {
                info.fate = Fate::Condemned(struck);
            }
        }
        for pack in others.bound() {
            state.index.pack_mut(pack).fate = Fate::Doomed;
        }
        Ok(())
    }

    async fn read_others(&self, bucket: &dyn Store, listed: &[ObjectInfo], ledger: &Ledger) -> Result<Others> {
        let mut others = Others::default();
        for object in listed.iter().filter(|object| !object.key.contains(&ledger.life)) {
            let body = match bucket.get(&object.key).await {
                Ok(bytes) => self.envelope().open(ObjectKind::Condemned, &object.key, &bytes),
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(error),
            };
            // Somebody's noise: what was not sealed with our key condemns nothing.
            let Ok(names) = body.and_then(|body| decode_reach(&body)) else { continue };
            let packs = {
                let mut state = self.write();
                names.into_iter().map(|name| state.index.enter(name)).collect()
            };
            if object.key.contains('.') {
                others.verdicts.insert(object.key.clone(), packs);
            } else {
                others.lists.insert(object.key.clone(), (packs, object.modified));
            }
        }
        Ok(others)
    }

    /// One turn in the bucket: takes over what others left, condemns `fresh`, and sentences what has waited long enough.
    pub(crate) async fn judge_condemned(
        self: &Arc<Self>,
        bucket: &Arc<dyn Store>,
        fresh: &[PackNo],
        grace_seconds: u64,
    ) -> Result<Vec<Sentence>> {
        let mut ledger = self.ledger.lock().await;
        let listed = bucket.list(layout::CONDEMNED).await?;
        let others = self.read_others(&**bucket, &listed, &ledger).await?;
        self.take_over(bucket, &mut ledger, &others).await?;
        // Whoever wrote those lists may have had our keys: what is locked stays, whatever they say.
        self.learn_locks(&ledger.listed().into_iter().collect::<Vec<PackNo>>()).await;
        let known = ledger.listed();
        let fresh: Vec<PackNo> = fresh.iter().filter(|pack| !known.contains(pack)).copied().collect();
        if !fresh.is_empty() {
            self.put_list(bucket, &mut ledger, fresh, None).await?;
        }
        if ledger.lists.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.server_now(bucket, &mut ledger).await?;
        let due: Vec<String> = {
            let is_due = |own: &Own| match (own.since, now) {
                (Some(since), Some(now)) => now.since(since) >= millis(grace_seconds),
                _ => self.clock.now().since(own.written) >= millis(grace_seconds.saturating_mul(2)),
            };
            ledger.lists.iter().filter(|(_, own)| is_due(own)).map(|(key, _)| key.clone()).collect()
        };
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let strangers = self.strange_reach(bucket).await?;
        let bound = others.bound();
        let mut sentences = Vec::new();
        for list in due {
            sentences.extend(self.sentence(bucket, &mut ledger, list, &strangers, &bound).await?);
        }
        // Whoever took over may lean on what we are about to delete; he has seen the verdicts if we do not see him.
        self.not_fenced(&**bucket).await?;
        Ok(sentences)
    }

    /// Lists what others listed, with its age; removes those of their lists that nothing hangs on any more.
    async fn take_over(&self, bucket: &Arc<dyn Store>, ledger: &mut Ledger, others: &Others) -> Result<()> {
        let known = ledger.listed();
        let packs: BTreeSet<PackNo> = {
            let state = self.read();
            let theirs = others.lists.values().flat_map(|(packs, _)| packs).copied();
            theirs.filter(|pack| !known.contains(pack) && state.index.pack(*pack).acked).collect()
        };
        if !packs.is_empty() {
            let since = others.lists.values().map(|(_, modified)| *modified).max().flatten();
            self.put_list(bucket, ledger, packs.into_iter().collect(), since).await?;
        }
        self.remove_settled(bucket, others).await
    }

    async fn remove_settled(&self, bucket: &Arc<dyn Store>, others: &Others) -> Result<()> {
        let settled: Vec<&String> = {
            let state = self.read();
            let open = |key: &String| {
                let verdicts = others.verdicts.iter().filter(|(verdict, _)| base(verdict) == key);
                verdicts.flat_map(|(_, packs)| packs).any(|pack| state.index.pack(*pack).acked)
            };
            others.lists.keys().filter(|key| !open(key)).collect()
        };
        let void = others.verdicts.keys().filter(|verdict| {
            let list = base(verdict).to_owned();
            !others.lists.contains_key(&list) || settled.contains(&&list)
        });
        for key in void.chain(settled.iter().copied()) {
            bucket.delete(key).await?;
        }
        Ok(())
    }

    async fn put_list(
        &self,
        bucket: &Arc<dyn Store>,
        ledger: &mut Ledger,
        packs: Vec<PackNo>,
        since: Option<Moment>,
    ) -> Result<()> {
        let key = format!("{}{}", layout::CONDEMNED, ledger.name());
        self.put_condemned(bucket, &key, &packs).await?;
        let since = match since {
            Some(since) => Some(since),
            None => bucket.head(&key).await?.and_then(|info| info.modified),
        };
        ledger.lists.insert(key, Own { packs, since, written: self.clock.now() });
        Ok(())
    }

    async fn put_condemned(&self, bucket: &Arc<dyn Store>, key: &str, packs: &[PackNo]) -> Result<()> {
        let body = encode_reach(&self.read().names(packs));
        let sealed = Bytes::from(self.envelope().seal(ObjectKind::Condemned, key, &body)?);
        bucket.put(key, sealed, PutMode::Once).await
    }

    /// The store's own time, by an object that is written for it and removed again.
    async fn server_now(&self, bucket: &Arc<dyn Store>, ledger: &mut Ledger) -> Result<Option<Moment>> {
        let key = format!("{}{}", layout::CONDEMNED, ledger.name());
        self.put_condemned(bucket, &key, &[]).await?;
        let now = bucket.head(&key).await?.and_then(|info| info.modified);
        bucket.delete(&key).await?;
        Ok(now)
    }

    /// Packs of reach lists that appeared in the bucket without our doing: somebody's commit was under way when we took
    /// over. One that cannot be read stops the prune.
    async fn strange_reach(&self, bucket: &Arc<dyn Store>) -> Result<HashSet<PackNo>> {
        let mut packs = HashSet::new();
        for object in bucket.list(layout::REACHES).await? {
            if self.read().small.contains_key(&object.key) {
                continue;
            }
            let bytes = match bucket.get(&object.key).await {
                Ok(bytes) => bytes,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(error),
            };
            let names = decode_reach(&self.envelope().open(ObjectKind::Reach, &object.key, &bytes)?)
                .map_err(|error| unsafe_to_go_on(&object.key).caused_by(error))?;
            let mut state = self.write();
            packs.extend(names.into_iter().map(|name| state.index.enter(name)));
        }
        Ok(packs)
    }

    /// Marks a list's packs anew and says which of them go.
    async fn sentence(
        &self,
        bucket: &Arc<dyn Store>,
        ledger: &mut Ledger,
        list: String,
        strangers: &HashSet<PackNo>,
        bound: &HashSet<PackNo>,
    ) -> Result<Option<Sentence>> {
        let Some(own) = ledger.lists.get(&list) else { return Ok(None) };
        let (doomed, held) = self.doom(&own.packs, strangers, bound);
        if doomed.is_empty() {
            // What is held back by a reader stays condemned and listed.
            if !held {
                let own = ledger.lists.remove(&list);
                bucket.delete(&list).await?;
                self.acquit(&own.map(|own| own.packs).unwrap_or_default());
            }
            return Ok(None);
        }
        let verdict = format!("{list}.{}", ledger.name());
        self.remember_verdict(&doomed).await?;
        self.put_condemned(bucket, &verdict, &doomed).await?;
        Ok(Some(Sentence { list, verdict: Some(verdict), packs: doomed }))
    }

    /// Decides, in one moment, which of these packs will be deleted. Whether others were held back is told too.
    pub(crate) fn doom(
        &self,
        packs: &[PackNo],
        strangers: &HashSet<PackNo>,
        bound: &HashSet<PackNo>,
    ) -> (Vec<PackNo>, bool) {
        let now = self.clock.now();
        let mut state = self.write();
        let live = state.live();
        let view = self.pins.view();
        let (mut doomed, mut held) = (Vec::new(), false);
        for pack in packs {
            let info = state.index.pack_mut(*pack);
            let goes = match info.fate {
                // Nobody can delete it, whatever a verdict says: it was not ours, or somebody has our keys.
                _ if info.is_locked(now) => false,
                _ if bound.contains(pack) => true,
                Fate::Doomed => true,
                Fate::Sound => false,
                Fate::Condemned(_) if live.contains(pack) || strangers.contains(pack) => false,
                Fate::Condemned(struck) => {
                    let free =
                        !view.pinned.contains(pack) && info.born < view.oldest_session && struck < view.oldest_reader;
                    held |= !free;
                    free
                }
            };
            if goes {
                info.fate = Fate::Doomed;
                doomed.push(*pack);
            }
        }
        (doomed, held)
    }

    /// Packs that stay after all count again.
    fn acquit(&self, packs: &[PackNo]) {
        let mut state = self.write();
        for pack in packs {
            let info = state.index.pack_mut(*pack);
            if matches!(info.fate, Fate::Condemned(_)) {
                info.fate = Fate::Sound;
            }
        }
    }

    /// Closes what was carried out: what others left first, then the verdict, then the list.
    pub(crate) async fn close(self: &Arc<Self>, sentences: Vec<Sentence>, work: &mut Work) -> Result<()> {
        let Some(bucket) = work.bucket.clone() else { return Ok(()) };
        let mut ledger = self.ledger.lock().await;
        let listed = bucket.list(layout::CONDEMNED).await?;
        let others = self.read_others(&*bucket, &listed, &ledger).await?;
        self.remove_settled(&bucket, &others).await?;
        for sentence in sentences {
            let left = {
                let state = self.read();
                sentence.packs.iter().any(|pack| state.index.pack(*pack).acked)
            };
            if left {
                continue;
            }
            for key in sentence.verdict.iter().chain([&sentence.list]) {
                bucket.delete(key).await?;
            }
            let rest = ledger.lists.remove(&sentence.list).map(|own| own.packs).unwrap_or_default();
            self.acquit(&rest);
        }
        Ok(())
    }
}

fn millis(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000)
}

fn unsafe_to_go_on(key: &str) -> Error {
    let text = format!("{key} cannot be read, so nobody can tell which data it needs; nothing is deleted");
    Error::new(Kind::Refused, "prune.unsafe", text).advice("run a check")
}
