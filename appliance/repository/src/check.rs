//! Verifying both tiers and mending one from the other.
//!
//! Invariants: nothing is called good that was not looked at; what is mended is told as a note, what
//! is lost as an error that names the snapshots; a mended object is verified before it is written.

mod cached;
mod segments;

use crate::{
    Meter,
    fetch::verify,
    inner::{Inner, is_absent},
    layout,
    looks::{Copy, Looks, unsteady},
    press::DATA_PACK,
    prune::unreadable_snapshots,
    slots::recovery_slot,
    state::{PackNo, Small},
    threads::blocking,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_catalog::Table;
use holdfast_model::{Error, Kind, Moment, Problem, Result, view::CheckView};
use holdfast_runtime::Stop;
use holdfast_storage::{PutMode, Store};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

/// Packs verified at once: each takes up to two packs of memory.
const AT_ONCE: usize = 2;
/// Prefix of the catalog's rows about packs that were read and found good; the value is when.
const VERIFIED: &str = "v/";

struct Report {
    view: Mutex<CheckView>,
    /// The bucket, if it answered.
    bucket: Option<Arc<dyn Store>>,
}

impl Report {
    fn with(&self, change: impl FnOnce(&mut CheckView)) {
        change(&mut self.view.lock().expect("no holder panics"));
    }
    fn problem(&self, problem: Problem) {
        self.with(|view| view.problems.push(problem));
    }
    fn healed(&self, code: &str, subject: &str, text: String) {
        self.with(|view| {
            view.healed += 1;
            view.problems.push(Problem::note(code, subject, text));
        });
    }
}

impl Inner {
    pub(crate) async fn check(
        self: &Arc<Self>,
        percent: u8,
        meter: Option<Arc<dyn Meter>>,
        stop: &Stop,
    ) -> Result<CheckView> {
        let _no_prune = self.gate.read().await;
        let mut report = Report { view: Mutex::default(), bucket: self.bucket() };
        let in_bucket = self.list_bucket(&mut report).await?;
        if let (Some(bucket), Some(there)) = (report.bucket.clone(), &in_bucket) {
            self.name_undeleted(&*bucket, there).await;
        }
        self.compare_listings(in_bucket.as_ref(), &report).await?;
        self.check_way_in(&report).await?;
        self.check_small(&report).await?;
        self.check_segments(percent == 100, &report).await?;
        if percent > 0 {
            let packs = self.longest_unverified(percent);
            let (report, meter) = (&report, &meter);
            let mut checked = stream::iter(packs)
                .map(|pack| async move { self.check_pack(pack, report, meter.as_deref()).await })
                .buffer_unordered(AT_ONCE);
            while let Some(result) = checked.next().await {
                result?;
                if stop.is_cancelled() {
                    return Err(Error::new(Kind::Stopped, "check.stopped", "the check was stopped before its end"));
                }
            }
        }
        self.name_damaged_snapshots(&report);
        self.tell_verified(&report);
        self.tell_scattered(&report);
        let mut view = report.view.into_inner().expect("no holder panics");
        view.problems.append(&mut self.write().take_notes());
        Ok(view)
    }

    /// Packs with the time of their last verification, longest ago first; what never was comes before all.
    fn by_verification(&self) -> Vec<(Option<Moment>, PackNo, u64)> {
        let known: HashMap<String, Moment> = self.catalog.list(Table::Packs, VERIFIED).into_iter().collect();
        let state = self.read();
        let present = state.index.packs().filter(|(_, info)| info.present());
        let mut packs: Vec<_> = present
            .map(|(number, info)| (known.get(&format!("{VERIFIED}{}", info.key())).copied(), number, info.name.size))
            .collect();
        packs.sort_by_key(|(time, number, _)| (*time, state.index.pack(*number).name.id));
        packs
    }

    /// Packs that make up this share of all bytes, at least one.
    fn longest_unverified(&self, percent: u8) -> Vec<PackNo> {
        let packs = self.by_verification();
        let all: u64 = packs.iter().map(|(_, _, size)| size).sum();
        let wanted = u64::try_from(u128::from(all) * u128::from(percent.min(100)) / 100).unwrap_or(u64::MAX);
        let mut taken = 0u64;
        let due = packs.into_iter().take_while(|(_, _, size)| {
            let due = taken < wanted.max(1);
            taken += size;
            due
        });
        due.map(|(_, number, _)| number).collect()
    }

    /// The catalog may fail or forget (law L4): then packs are verified again too early, never too late.
    fn note_verified(&self, key: &str) {
        if let Err(error) = self.catalog.put(Table::Packs, &format!("{VERIFIED}{key}"), &self.clock.now()) {
            tracing::warn!(key, error = %error.chain(), "the catalog did not take a verification");
        }
    }

    fn tell_verified(&self, report: &Report) {
        let packs = self.by_verification();
        report.with(|view| {
            view.unverified_packs = packs.iter().filter(|(time, ..)| time.is_none()).count() as u64;
            view.oldest_verified = packs.iter().filter_map(|(time, ..)| *time).min();
        });
    }

    /// How far the data of each app's newest snapshot lies apart.
    fn tell_scattered(&self, report: &Report) {
        let state = self.read();
        let mut newest = HashMap::new();
        for held in state.snapshots.values() {
            newest.insert((&held.snapshot.host, &held.snapshot.app), held);
        }
        for held in newest.into_values() {
            let is_data = |pack: &&PackNo| state.index.pack(**pack).name.kind == layout::PackKind::Data;
            let packs = held.reach.iter().filter(is_data).count() as u64;
            let least = held.snapshot.streams().map(|stream| stream.length).sum::<u64>().div_ceil(DATA_PACK as u64);
            report.with(|view| {
                view.newest_packs += packs;
                // What is stored smaller than it is needs fewer.
                view.newest_packs_least += least.min(packs);
            });
        }
    }

    /// A bucket that does not answer is named, and the cache is checked alone; so is one that another appliance
    /// writes now: what is missing there may have been forgotten there, and must not come back (law L5).
    async fn list_bucket(&self, report: &mut Report) -> Result<Option<HashMap<String, u64>>> {
        let Some(bucket) = report.bucket.clone() else { return Ok(None) };
        let listed = match self.not_fenced(&*bucket).await {
            Ok(()) => sizes(&*bucket).await,
            Err(error) => Err(error),
        };
        match listed {
            Ok(sizes) => Ok(Some(sizes)),
            Err(error) => {
                report.bucket = None;
                let error = error.while_doing("the bucket was not checked");
                report.problem(Problem::from_error(bucket.place(), &error));
                Ok(None)
            }
        }
    }

    /// Presence and sizes, in both tiers.
    async fn compare_listings(self: &Arc<Self>, bucket: Option<&HashMap<String, u64>>, report: &Report) -> Result<()> {
        let cache = sizes(&*self.cache).await?;
        let packs: Vec<(PackNo, crate::state::PackInfo)> =
            self.read().index.packs().map(|(number, info)| (number, info.clone())).collect();
        for (number, info) in packs {
            let key = info.key();
            if info.cached() {
                report.with(|view| view.packs_cache += 1);
                if cache.get(&key) != Some(&info.name.size) {
                    self.lost_in_cache(number, report).await?;
                }
            }
            let Some(bucket) = bucket else { continue };
            let there = bucket.get(&key);
            if info.acked {
                report.with(|view| view.packs_bucket += 1);
            }
            // A wrong size was never acknowledged, and shipping does not write over what is there.
            let lost = if info.acked {
                there != Some(&info.name.size)
            } else {
                there.is_some_and(|size| *size != info.name.size)
            };
            if lost && self.is_lost(&key, info.name.size, report).await? {
                self.forget_ack(&key);
                self.lost_in_bucket(number, report).await?;
            }
        }
        let Some(bucket) = bucket else { return Ok(()) };
        let small: Vec<(String, Small)> = {
            let state = self.read();
            let travels =
                state.small.iter().filter(|(key, small)| small.acked || (small.cached && layout::travels(key)));
            travels.map(|(key, small)| (key.clone(), *small)).collect()
        };
        for (key, small) in small {
            let there = bucket.get(&key);
            if self.is_litter(&key) {
                if there.is_none() {
                    self.forget_litter(&key);
                }
                continue;
            }
            // Half an object was never acknowledged, and shipping does not write over what is there.
            let bad = there.is_some_and(|size| *size != small.size);
            let lost = bad || (small.acked && there.is_none());
            if lost && self.is_lost(&key, small.size, report).await? {
                self.forget_ack(&key);
                self.resend(&key, small.size, report).await?;
            }
        }
        Ok(())
    }

    /// Asks the bucket for the object itself: a listing may be an old one, and what is good where it lies is not written over.
    async fn is_lost(&self, key: &str, size: u64, report: &Report) -> Result<bool> {
        let Some(bucket) = &report.bucket else { return Ok(false) };
        if bucket.head(key).await?.is_some_and(|info| info.size == size) {
            return Ok(false);
        }
        // What the cache holds is sent again; of what it does not an older version may be left.
        Ok(self.is_cached(key) || self.beneath(&**bucket, key).await?.is_none())
    }

    fn is_cached(&self, key: &str) -> bool {
        let state = self.read();
        match layout::parse_pack(key) {
            Some((_, id)) => state.index.number(&id).is_some_and(|pack| state.index.pack(pack).cached()),
            None => state.small.get(key).is_some_and(|small| small.cached),
        }
    }

    /// The bucket's copy of a small object. Where the cache has no good one, an older version of it does as well.
    async fn small_in_bucket(&self, key: &str, cached: &Copy, report: &Report) -> Result<Copy> {
        match report.bucket.clone().filter(|_| self.read().is_acked(key)) {
            Some(bucket) if matches!(cached, Copy::Good(_)) => self.look_at(&*bucket, key).await,
            Some(bucket) => self.look_deep(&*bucket, key).await,
            None => Ok(Copy::Absent),
        }
    }

    async fn lost_in_cache(self: &Arc<Self>, pack: PackNo, report: &Report) -> Result<()> {
        if !self.is_missed(pack).await? {
            return Ok(());
        }
        let info = self.read().index.pack(pack).clone();
        if !info.acked || report.bucket.is_none() {
            // Named with its snapshots at the end.
            return Ok(());
        }
        match self.pack_from_bucket(pack).await {
            Ok(bytes) => self.mend_cache(pack, bytes, "pack.missing", report).await,
            Err(error) if error.kind() == Kind::Corrupt => {
                report.problem(Problem::from_error(info.key(), &error));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn mend_cache(&self, pack: PackNo, bytes: Bytes, code: &str, report: &Report) -> Result<()> {
        let key = self.read().index.pack(pack).key();
        let text = match self.put_back(pack, bytes).await? {
            true => "a pack of the cache was bad or gone and was replaced from the bucket",
            false => "a pack of the cache was gone; the bucket has it, and the cache has no room for it now",
        };
        self.shelf.drop_pack(pack);
        report.healed(code, &key, text.into());
        Ok(())
    }

    async fn lost_in_bucket(self: &Arc<Self>, pack: PackNo, report: &Report) -> Result<()> {
        let info = self.read().index.pack(pack).clone();
        if !info.cached() {
            return Ok(());
        }
        match self.cache.get(&info.key()).await {
            Ok(bytes) => match verify(info.name.id, bytes).await {
                Ok(bytes) => self.mend_bucket(pack, bytes, "pack.missing", report).await,
                Err(_) => Ok(()),
            },
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn mend_bucket(&self, pack: PackNo, bytes: Bytes, code: &str, report: &Report) -> Result<()> {
        let Some(bucket) = report.bucket.clone() else { return Ok(()) };
        let (key, size) = (self.read().index.pack(pack).key(), bytes.len() as u64);
        match bucket.put(&key, bytes, PutMode::Replace).await {
            Ok(()) => {
                self.remember_ack(&key, size);
                let text = "a pack of the bucket was bad or gone and was sent again from the cache";
                report.healed(code, &key, text.into());
            }
            Err(error) => report.problem(Problem::from_error(key, &error)),
        }
        Ok(())
    }

    async fn resend(&self, key: &str, size: u64, report: &Report) -> Result<()> {
        let (Some(bucket), Ok(bytes)) = (report.bucket.clone(), self.cache.get(key).await) else {
            report.problem(Problem::error(
                "object.missing",
                key,
                "the bucket lost this object and the cache has no copy",
            ));
            return Ok(());
        };
        match bucket.put(key, bytes, PutMode::Replace).await {
            Ok(()) => {
                self.remember_ack(key, size);
                report.healed("object.missing", key, "the bucket had lost this object; it was sent again".into());
            }
            Err(error) => report.problem(Problem::from_error(key, &error)),
        }
        Ok(())
    }

    /// The format and all key slots are proved in both tiers: a damaged slot in the bucket would otherwise be
    /// found only when the appliance is gone. Without the links between epochs older data cannot be read at all.
    async fn check_way_in(self: &Arc<Self>, report: &Report) -> Result<()> {
        let mut keys = vec![layout::FORMAT.to_owned(), recovery_slot(self.recovery_number())];
        let slots = self.keys_of(layout::SLOTS).into_iter().filter(|key| layout::travels(key) && !keys.contains(key));
        keys.extend(slots.collect::<Vec<_>>());
        for key in keys {
            let cached = self.look_at(&*self.cache, &key).await?;
            let in_bucket = self.small_in_bucket(&key, &cached, report).await?;
            if !matches!((&cached, &in_bucket), (Copy::Good(_), _) | (_, Copy::Good(_))) {
                if self.is_litter(&key) {
                    self.name_litter(&key, &in_bucket, report);
                    continue;
                }
                if key.starts_with(layout::EPOCH_SLOTS) && !matches!(in_bucket, Copy::Unsure) {
                    self.rewrite_link(&key, report).await?;
                    continue;
                }
            }
            self.reconcile_small(&key, cached, in_bucket, report).await?;
        }
        for problem in self.retire_slots().await {
            report.problem(problem);
        }
        Ok(())
    }

    /// A link that is damaged wherever it lies is made anew from the roots.
    async fn rewrite_link(&self, key: &str, report: &Report) -> Result<()> {
        self.write().set_cached(key, false);
        self.mend_links().await?;
        let small = self.read().small.get(key).copied().unwrap_or_default();
        match &report.bucket {
            Some(_) => self.resend(key, small.size, report).await,
            None => Ok(()),
        }
    }

    /// What lies nowhere was on its way out, and is not missed.
    fn name_litter(&self, key: &str, in_bucket: &Copy, report: &Report) {
        if matches!(in_bucket, Copy::Bad) {
            let text = "a key slot in the bucket is a part of one, or was not written by this repository's appliance";
            report.problem(Problem::warning("slot.forged", key, text).advice("remove it: it opens nothing"));
        }
    }

    /// What could not be read when it was met may have a good copy in the bucket.
    async fn read_again(self: &Arc<Self>, report: &Report) -> Result<()> {
        let Some(bucket) = report.bucket.clone() else { return Ok(()) };
        let unread = unreadable_snapshots(&self.read());
        let mut found = false;
        for key in unread.iter().map(layout::snapshot_key).filter(|key| self.read().is_acked(key)) {
            if let Copy::Good(bytes) = self.look_deep(&*bucket, &key).await? {
                self.take_in(&key, bytes).await?;
                found = true;
            }
        }
        if found { self.enter_snapshots().await } else { Ok(()) }
    }

    /// Snapshots, reach lists and settings are opened in both tiers.
    async fn check_small(self: &Arc<Self>, report: &Report) -> Result<()> {
        self.read_again(report).await?;
        let keys: Vec<String> = {
            let state = self.read();
            let both = |id| [layout::snapshot_key(id), state.reach_key(id)];
            let keys: Vec<String> = state.snapshots.keys().flat_map(both).collect();
            report.with(|view| view.snapshots = keys.len() as u64 / 2);
            // Settings that only the bucket holds are older ones, or a part of what a lost machine sent.
            let settings = |(key, small): &(&String, &Small)| key.starts_with(layout::SETTINGS) && small.cached;
            let newest = state.small.iter().rfind(settings);
            keys.into_iter().chain(newest.map(|(key, _)| key.clone())).collect()
        };
        for key in keys {
            let cached = self.look_at(&*self.cache, &key).await?;
            let in_bucket = self.small_in_bucket(&key, &cached, report).await?;
            self.reconcile_small(&key, cached, in_bucket, report).await?;
        }
        Ok(())
    }

    async fn reconcile_small(&self, key: &str, cached: Copy, in_bucket: Copy, report: &Report) -> Result<()> {
        if matches!((&cached, &in_bucket), (Copy::Unsure, _) | (_, Copy::Unsure)) {
            report.problem(unsteady(key));
        }
        match (cached, in_bucket) {
            (Copy::Unsure, _) | (_, Copy::Unsure) => Ok(()),
            (Copy::Good(bytes), Copy::Bad) => {
                self.forget_ack(key);
                self.resend(key, bytes.len() as u64, report).await
            }
            // It lies beneath what somebody put on top.
            (Copy::Good(bytes), Copy::Good(_)) if self.under.get(key).is_some() => {
                self.resend(key, bytes.len() as u64, report).await
            }
            (Copy::Bad | Copy::Absent, Copy::Good(bytes)) => {
                self.take_in(key, bytes).await?;
                report.healed("object.corrupt", key, "the cache's copy was bad or gone and was replaced".into());
                Ok(())
            }
            (Copy::Bad | Copy::Absent, _) => {
                report.problem(Problem::error("object.corrupt", key, "no tier has a good copy of this object"));
                Ok(())
            }
            (Copy::Good(_), _) => Ok(()),
        }
    }

    /// Reads a pack in both tiers.
    async fn check_pack(self: &Arc<Self>, pack: PackNo, report: &Report, meter: Option<&dyn Meter>) -> Result<()> {
        let info = self.read().index.pack(pack).clone();
        let key = info.key();
        let cached = match info.cached() {
            true => self.cached_copy(pack, report, meter).await?,
            false => Copy::Absent,
        };
        let in_bucket = match report.bucket.clone().filter(|_| info.acked) {
            Some(bucket) => match self.pack_copy(&*bucket, pack, report, meter).await? {
                Copy::Bad if !matches!(cached, Copy::Good(_)) => {
                    self.beneath(&*bucket, &key).await?.map_or(Copy::Bad, Copy::Good)
                }
                copy => copy,
            },
            None => Copy::Absent,
        };
        if matches!(cached, Copy::Good(_)) || matches!(in_bucket, Copy::Good(_)) {
            self.note_verified(&key);
        }
        if matches!((&cached, &in_bucket), (Copy::Unsure, _) | (_, Copy::Unsure)) {
            report.problem(unsteady(&key));
        }
        match (cached, in_bucket) {
            (Copy::Unsure, _) | (_, Copy::Unsure) => Ok(()),
            (Copy::Good(bytes), Copy::Bad) => {
                self.forget_ack(&key);
                self.mend_bucket(pack, bytes, "pack.corrupt", report).await
            }
            // It lies beneath what somebody put on top.
            (_, Copy::Good(bytes)) if self.under.get(&key).is_some() => {
                self.mend_bucket(pack, bytes, "bucket.tampered", report).await
            }
            (Copy::Bad, Copy::Good(bytes)) => self.mend_cache(pack, bytes, "pack.corrupt", report).await,
            (Copy::Good(_), _) | (Copy::Absent, Copy::Good(_)) => Ok(()),
            // The bucket could not be asked: nothing is known to be lost.
            (Copy::Absent, Copy::Absent) => Ok(()),
            (Copy::Bad, Copy::Absent) if info.acked && report.bucket.is_none() => {
                self.write().index.set_cached(pack, false);
                let text = "a pack of the cache is damaged; the bucket, which could mend it, was not asked";
                report.problem(Problem::warning("pack.corrupt", &key, text));
                Ok(())
            }
            (Copy::Bad | Copy::Absent, _) => {
                self.write().index.set_cached(pack, false);
                self.forget_ack(&key);
                let text = "a pack is damaged and no tier has a good copy";
                let problem = match self.read().needers(pack).is_empty() {
                    // A put that broke off, or what a prune would have taken next.
                    true => Problem::warning("pack.corrupt", &key, format!("{text}; no snapshot needs it")),
                    false => Problem::error("pack.corrupt", &key, text)
                        .advice("back the apps up again: what is still on their hosts is stored anew"),
                };
                report.problem(problem);
                Ok(())
            }
        }
    }

    async fn pack_copy(
        &self,
        store: &dyn Store,
        pack: PackNo,
        report: &Report,
        meter: Option<&dyn Meter>,
    ) -> Result<Copy> {
        let info = self.read().index.pack(pack).clone();
        let (key, id) = (info.key(), info.name.id);
        let mut looks = Looks::default();
        loop {
            let read = match store.get(&key).await {
                Ok(bytes) => {
                    let size = bytes.len() as u64;
                    report.with(|view| view.bytes_read += size);
                    if let Some(meter) = meter {
                        meter.moved(size);
                    }
                    blocking(move || {
                        let good = holdfast_chunk::sha256(&bytes) == *id.as_bytes();
                        Ok((bytes, good))
                    })
                    .await
                }
                Err(error) => Err(error),
            };
            match looks.judge(store, &key, read).await? {
                // It was listed.
                Some(Copy::Absent) => return Ok(Copy::Bad),
                Some(copy) => return Ok(copy),
                None => {}
            }
        }
    }

    /// Says which snapshots cannot be restored, and for want of what.
    fn name_damaged_snapshots(&self, report: &Report) {
        let state = self.read();
        let mut damaged = BTreeMap::new();
        for (id, held) in &state.snapshots {
            let lost = held.reach.iter().filter(|pack| !state.index.pack(**pack).present());
            let lost: Vec<String> = lost.map(|pack| state.index.pack(*pack).name.id.short()).collect();
            if !lost.is_empty() {
                damaged.insert(id.clone(), (held.snapshot.app.clone(), lost));
            }
        }
        for (id, (app, lost)) in damaged {
            let text = format!(
                "snapshot {id} of {app} cannot be restored completely: {} of its packs are lost ({})",
                lost.len(),
                lost[..lost.len().min(5)].join(", ")
            );
            report.problem(
                Problem::error("snapshot.damaged", id.as_str(), text)
                    .advice("back the app up again; then forget this snapshot"),
            );
        }
        for id in unreadable_snapshots(&state) {
            let text = format!(
                "snapshot {id} cannot be read in any tier that could be asked; nothing is pruned because of it"
            );
            report.problem(
                Problem::error("snapshot.damaged", id.as_str(), text)
                    .advice("back its app up again; then forget this snapshot by its id"),
            );
        }
    }
}

async fn sizes(store: &dyn Store) -> Result<HashMap<String, u64>> {
    Ok(store.list("").await?.into_iter().map(|object| (object.key, object.size)).collect())
}
