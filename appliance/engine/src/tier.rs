//! The state of the cloud tier: attached or not, since when it fails, who ships. State only; the
//! loop that attaches lives in `ship`.
//!
//! Invariant: at most one attachment lives at a time; changing it is one person's act at a time.

use crate::{
    outside::{ShipStatus, Shipping},
    words::lock,
};
use holdfast_model::{Error, Kind, Moment, Result};
use holdfast_runtime::Stop;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use tokio::{sync::Notify, task::JoinHandle};

/// The cloud tier's state.
#[derive(Default)]
pub struct Tier {
    state: Mutex<State>,
    changing: AtomicBool,
    probing: tokio::sync::Mutex<()>,
    line: Mutex<()>,
    relock: Notify,
}

#[derive(Default)]
struct State {
    shipping: Option<Arc<dyn Shipping>>,
    attached: bool,
    error: Option<(String, String)>,
    failing_since: Option<Moment>,
    run: Option<(Stop, JoinHandle<()>)>,
}

/// How the tier does.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// The repository knows what the bucket holds.
    pub attached: bool,
    /// Code and words of the newest error.
    pub error: Option<(String, String)>,
    /// Since when it fails.
    pub failing_since: Option<Moment>,
    /// How shipping goes.
    pub ship: ShipStatus,
}

/// Held while the bucket is being changed.
pub struct Changing<'a>(&'a Tier);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.changing.store(false, Ordering::Release);
    }
}

impl Tier {
    /// Claims the right to change the bucket. `Conflict` (`bucket.changing`) if somebody else has it.
    pub fn change(&self) -> Result<Changing<'_>> {
        if self.changing.swap(true, Ordering::Acquire) {
            return Err(Error::new(Kind::Conflict, "bucket.changing", "the bucket is being changed by somebody else")
                .advice("Wait until that is done and look at the bucket again."));
        }
        Ok(Changing(self))
    }

    /// One probe at a time: each removes what it finds of earlier ones.
    pub async fn probing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.probing.lock().await
    }

    /// Whoever tells the line what counts does so alone.
    pub fn line(&self) -> std::sync::MutexGuard<'_, ()> {
        lock(&self.line)
    }

    /// Something lacks its lock.
    pub fn relock(&self) {
        self.relock.notify_one();
    }
    /// Waits until somebody says so.
    pub async fn relocked(&self) {
        self.relock.notified().await;
    }

    /// An attachment begins its life.
    pub fn began(&self, stop: Stop, task: JoinHandle<()>) {
        lock(&self.state).run = Some((stop, task));
    }
    /// The attachment to end, if there is one; the state is as without a bucket afterwards.
    pub fn take(&self) -> Option<(Stop, JoinHandle<()>)> {
        std::mem::take(&mut *lock(&self.state)).run
    }
    /// The bucket is attached and shipping begins.
    pub fn attached(&self, shipping: Arc<dyn Shipping>) {
        let mut state = lock(&self.state);
        state.attached = true;
        state.shipping = Some(shipping);
    }
    /// Notes how it does now. Returns whether that is news.
    pub fn note(&self, error: Option<(String, String)>, now: Moment) -> bool {
        let mut state = lock(&self.state);
        let news = state.error.is_some() != error.is_some();
        match &error {
            None => state.failing_since = None,
            Some(_) => drop(state.failing_since.get_or_insert(now)),
        }
        state.error = error;
        news
    }
    /// There is something to ship.
    pub fn nudge(&self) {
        let shipping = lock(&self.state).shipping.clone();
        if let Some(shipping) = shipping {
            shipping.nudge();
        }
    }
    /// How it does.
    pub fn health(&self) -> Health {
        let state = lock(&self.state);
        let ship = state.shipping.as_ref().map(|shipping| shipping.status());
        // A shipper at work knows best; before it began, the last attempt to attach does.
        let error = ship.as_ref().map_or_else(|| state.error.clone(), |ship| ship.error.clone());
        Health { attached: state.attached, error, failing_since: state.failing_since, ship: ship.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_change_at_a_time() {
        let tier = Tier::default();
        let first = tier.change().unwrap();
        assert_eq!(tier.change().err().unwrap().code(), "bucket.changing");
        drop(first);
        assert!(tier.change().is_ok());
    }

    #[test]
    fn failing_since_keeps_its_beginning() {
        let tier = Tier::default();
        let error = || Some(("bucket.unreachable".to_owned(), "no answer".to_owned()));
        assert!(tier.note(error(), Moment::from_millis(1)));
        assert!(!tier.note(error(), Moment::from_millis(2)));
        assert_eq!(tier.health().failing_since, Some(Moment::from_millis(1)));
        assert!(tier.note(None, Moment::from_millis(3)));
        assert_eq!(tier.health().failing_since, None);
    }
}
