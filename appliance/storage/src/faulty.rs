//! A wrapper that breaks on command: the hostile disk and the hostile bucket of every test.
//!
//! Counting: every call takes one number from its own kind's counter and one from the common
//! counter ([`Op::Any`]), both from 0 since the wrapper was made or [`Faulty::heal`] was called.

use crate::{Keep, ObjectInfo, PutMode, Store, Version};
use async_trait::async_trait;
use bytes::Bytes;
use holdfast_model::{Error, Kind, Moment, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Which calls a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// `put`
    Put,
    /// `get`
    Get,
    /// `get_range`
    Range,
    /// `head`
    Head,
    /// `list`
    List,
    /// `delete`
    Delete,
    /// `extend`
    Extend,
    /// Any of them.
    Any,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Fails before anything was done.
    Before(Kind),
    /// Does it, then says it failed.
    ReplyLost,
}

#[derive(Debug, Default)]
struct Plan {
    counted: BTreeMap<Op, u64>,
    faults: BTreeMap<(Op, u64), Fault>,
    crash_from: Option<u64>,
    flips: BTreeMap<String, BTreeSet<u64>>,
    lost: BTreeSet<String>,
    delay: Option<Duration>,
}

/// Passes everything on, except what was programmed to break.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Store>,
    plan: Mutex<Plan>,
}

impl Faulty {
    /// Wraps a store; nothing breaks yet.
    pub fn new(inner: Arc<dyn Store>) -> Faulty {
        Faulty { inner, plan: Mutex::default() }
    }

    /// Call number `nth` (from 0) of kind `op` fails with `kind`, without effect.
    pub fn fail(&self, op: Op, nth: u64, kind: Kind) {
        self.plan().faults.insert((op, nth), Fault::Before(kind));
    }

    /// Call number `nth` (from 0) of kind `op` takes effect, but its caller is told `Unavailable`.
    pub fn lose_reply(&self, op: Op, nth: u64) {
        self.plan().faults.insert((op, nth), Fault::ReplyLost);
    }

    /// From the `nth` call of any kind (from 0) on everything fails with `Unavailable`, as if the power went.
    pub fn crash_at(&self, nth: u64) {
        self.plan().crash_from = Some(nth);
    }

    /// Reads of `key` that cover byte `offset` give it with a bit turned.
    pub fn flip(&self, key: &str, offset: u64) {
        self.plan().flips.entry(key.to_owned()).or_default().insert(offset);
    }

    /// The object is gone, for reads, heads and lists, until somebody puts it again.
    pub fn lose(&self, key: &str) {
        self.plan().lost.insert(key.to_owned());
    }

    /// Every call takes at least this long.
    pub fn delay(&self, time: Duration) {
        self.plan().delay = Some(time);
    }

    /// Forgets all faults and counts from 0 again; objects lost with [`Faulty::lose`] are back.
    pub fn heal(&self) {
        *self.plan() = Plan::default();
    }

    /// How many calls of kind `op` there were.
    pub fn calls(&self, op: Op) -> u64 {
        self.plan().counted.get(&op).copied().unwrap_or(0)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the call; `Ok(true)` means: do it, then lose the reply.
    async fn begin(&self, op: Op) -> Result<bool> {
        let (fault, delay) = self.plan().next(op);
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        match fault {
            None => Ok(false),
            Some(Fault::ReplyLost) => Ok(true),
            Some(Fault::Before(kind)) => {
                Err(Error::new(kind, format!("fault.{}", kind.as_str()), format!("{op:?} was made to fail")))
            }
        }
    }

    fn turn(&self, key: &str, start: u64, bytes: Bytes) -> Bytes {
        let plan = self.plan();
        let Some(offsets) = plan.flips.get(key) else { return bytes };
        let mut bytes = bytes.to_vec();
        for offset in offsets {
            let place = offset.checked_sub(start).and_then(|place| usize::try_from(place).ok());
            if let Some(byte) = place.and_then(|place| bytes.get_mut(place)) {
                *byte ^= 1;
            }
        }
        bytes.into()
    }

    fn is_lost(&self, key: &str) -> bool {
        self.plan().lost.contains(key)
    }
}

impl Plan {
    fn next(&mut self, op: Op) -> (Option<Fault>, Option<Duration>) {
        let mut number = |op| {
            let counter = self.counted.entry(op).or_insert(0);
            *counter += 1;
            *counter - 1
        };
        let (own, any) = (number(op), number(Op::Any));
        let crashed = self.crash_from.is_some_and(|from| any >= from);
        let fault = if crashed {
            Some(Fault::Before(Kind::Unavailable))
        } else {
            self.faults.get(&(op, own)).or_else(|| self.faults.get(&(Op::Any, any))).copied()
        };
        (fault, self.delay)
    }
}

fn reply<T>(lost: bool, value: T) -> Result<T> {
    if lost {
        return Err(Error::new(Kind::Unavailable, "fault.reply_lost", "the answer was lost on its way"));
    }
    Ok(value)
}

#[async_trait]
impl Store for Faulty {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        let lost = self.begin(Op::Put).await?;
        let mode = if self.is_lost(key) { PutMode::Replace } else { mode };
        self.inner.put(key, bytes, mode).await?;
        self.plan().lost.remove(key);
        reply(lost, ())
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        let lost = self.begin(Op::Get).await?;
        if self.is_lost(key) {
            return Err(crate::words::missing(key));
        }
        let bytes = self.inner.get(key).await?;
        reply(lost, self.turn(key, 0, bytes))
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let lost = self.begin(Op::Range).await?;
        if self.is_lost(key) {
            return Err(crate::words::missing(key));
        }
        let start = range.start;
        let bytes = self.inner.get_range(key, range).await?;
        reply(lost, self.turn(key, start, bytes))
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        let lost = self.begin(Op::Head).await?;
        let info = self.inner.head(key).await?;
        reply(lost, info.filter(|info| !self.is_lost(&info.key)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let lost = self.begin(Op::List).await?;
        let mut infos = self.inner.list(prefix).await?;
        infos.retain(|info| !self.is_lost(&info.key));
        reply(lost, infos)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let lost = self.begin(Op::Delete).await?;
        self.inner.delete(key).await?;
        reply(lost, ())
    }

    async fn put_kept(&self, key: &str, bytes: Bytes, mode: PutMode, keep: Keep) -> Result<()> {
        let lost = self.begin(Op::Put).await?;
        let mode = if self.is_lost(key) { PutMode::Replace } else { mode };
        self.inner.put_kept(key, bytes, mode, keep).await?;
        self.plan().lost.remove(key);
        reply(lost, ())
    }

    async fn extend(&self, key: &str, keep: Keep) -> Result<()> {
        let lost = self.begin(Op::Extend).await?;
        self.inner.extend(key, keep).await?;
        reply(lost, ())
    }

    async fn kept_until(&self, key: &str, version: Option<&Version>) -> Result<Option<Moment>> {
        self.inner.kept_until(key, version).await
    }

    async fn versions(&self, key: &str) -> Result<Vec<Version>> {
        self.inner.versions(key).await
    }

    async fn list_versions(&self, prefix: &str) -> Result<Vec<(String, Vec<Version>)>> {
        let lost = self.begin(Op::List).await?;
        reply(lost, self.inner.list_versions(prefix).await?)
    }

    async fn get_version(&self, key: &str, version: &Version) -> Result<Bytes> {
        let lost = self.begin(Op::Get).await?;
        reply(lost, self.inner.get_version(key, version).await?)
    }

    async fn delete_version(&self, key: &str, version: &Version) -> Result<()> {
        let lost = self.begin(Op::Delete).await?;
        self.inner.delete_version(key, version).await?;
        reply(lost, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemStore;

    fn store() -> Faulty {
        Faulty::new(Arc::new(MemStore::new()))
    }

    async fn put(store: &Faulty, key: &str) -> Result<()> {
        store.put(key, Bytes::from_static(b"hello"), PutMode::Once).await
    }

    #[tokio::test]
    async fn conforms_while_nothing_is_programmed() {
        crate::conformance::run(Arc::new(store())).await;
    }

    #[tokio::test]
    async fn locks_pass_through_while_nothing_is_programmed() {
        let now = Moment::from_millis(1_795_000_000_000);
        let store = Faulty::new(Arc::new(MemStore::locking(holdfast_runtime::Clock::manual(now))));
        crate::conformance::locks(&store, now).await;
        let keep = Keep { mode: holdfast_model::lock::LockMode::Compliance, until: now.plus_seconds(9) };
        put(&store, "a").await.unwrap();
        store.fail(Op::Extend, store.calls(Op::Extend), Kind::Denied);
        assert_eq!(store.extend("a", keep).await.unwrap_err().kind(), Kind::Denied);
        store.extend("a", keep).await.unwrap();
    }

    #[tokio::test]
    async fn fails_the_named_call_only() {
        let store = store();
        store.fail(Op::Put, 1, Kind::Full);
        put(&store, "a").await.unwrap();
        store.head("a").await.unwrap();
        assert_eq!(put(&store, "b").await.unwrap_err().kind(), Kind::Full);
        assert!(store.head("b").await.unwrap().is_none(), "a failed put has no effect");
        put(&store, "b").await.unwrap();
        assert_eq!(store.calls(Op::Put), 3);
        assert_eq!(store.calls(Op::Any), 5);
    }

    #[tokio::test]
    async fn a_lost_reply_has_its_effect() {
        let store = store();
        store.lose_reply(Op::Any, 0);
        assert_eq!(put(&store, "a").await.unwrap_err().code(), "fault.reply_lost");
        assert!(store.head("a").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn crash_ends_everything_until_healed() {
        let store = store();
        store.crash_at(1);
        put(&store, "a").await.unwrap();
        put(&store, "b").await.unwrap_err();
        store.get("a").await.unwrap_err();
        store.heal();
        assert_eq!(store.get("a").await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn flips_and_losses() {
        let store = store();
        put(&store, "a").await.unwrap();
        store.flip("a", 1);
        assert_eq!(store.get("a").await.unwrap(), "hdllo");
        assert_eq!(store.get_range("a", 1..2).await.unwrap(), "d");
        assert_eq!(store.get_range("a", 2..4).await.unwrap(), "ll");
        store.lose("a");
        assert_eq!(store.get("a").await.unwrap_err().code(), "object.missing");
        assert!(store.list("").await.unwrap().is_empty());
        put(&store, "a").await.unwrap();
        assert_eq!(store.list("").await.unwrap().len(), 1);
    }
}
