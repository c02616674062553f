//! Attaches the bucket and tends the shipper, in the background.
//!
//! Invariants: a bucket that cannot be reached never keeps the appliance from starting, backing up or
//! restoring from the cache; attaching is tried again with growing pauses, for ever; what fails is
//! shown with code and words.

use crate::{house::House, locks, outside::Shipping};
use holdfast_model::{Error, Moment, Result, settings::BucketSettings, view::Capabilities};
use holdfast_runtime::{Backoff, Stop};
use holdfast_storage::Store;
use std::{sync::Arc, time::Duration};

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LIMIT: Duration = Duration::from_secs(60);
/// Acknowledgements come many a second; faces are told once.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Without news, figures are still written down this often.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Seconds between probes of a bucket, and how often it is looked whether one is due.
const PROBE_EVERY_S: i64 = 7 * 86_400;
const PROBE_LOOK: Duration = Duration::from_secs(3600);

/// Begins to attach the bucket of the settings, if they name one. With `ready`, it is attached already.
pub fn start(house: &Arc<House>, ready: Option<Arc<dyn Store>>) {
    let settings = house.settings();
    keep_to_settings(house);
    let Some(bucket) = settings.bucket.clone() else { return };
    let stop = house.stop.child_token();
    let (inner, mine) = (house.clone(), stop.clone());
    let task = house.tracker.spawn(async move {
        let store = match ready {
            Some(store) => Some(store),
            None => attach(&inner, &bucket, &mine).await,
        };
        if let Some(store) = store {
            tokio::join!(tend(&inner, store, &mine), get_to_know(&inner, &bucket, &mine), locks::tend(&inner, &mine));
        }
    });
    house.tier.began(stop, task);
}

/// Brings the line and the locks to what the settings say, whoever changed them last.
pub fn keep_to_settings(house: &House) {
    let _turn = house.tier.line();
    house.outside.uploads(&house.settings().uploads);
    locks::keep_to_settings(house);
}

/// Ends shipping and lets the bucket go. Nothing is lost: what was not acknowledged is still queued.
pub async fn halt(house: &House) {
    end(house).await;
    house.repository().detach_bucket();
}

/// Ends shipping; the bucket stays attached, so that who reads from it can go on.
pub async fn end(house: &House) {
    if let Some((stop, task)) = house.tier.take() {
        stop.cancel();
        // A task that panicked has ended too.
        let _ = task.await;
    }
}

async fn attach(house: &House, bucket: &BucketSettings, stop: &Stop) -> Option<Arc<dyn Store>> {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LIMIT);
    loop {
        let tried = tokio::select! {
            () = stop.cancelled() => return None,
            tried = attach_once(house, bucket) => tried,
        };
        match tried {
            Ok(store) => return Some(store),
            Err(error) => {
                if house.tier.note(Some(words(&error)), house.now()) {
                    tracing::warn!(error = ?error, "the bucket cannot be attached; trying again");
                    house.events.status();
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(backoff.failed()) => {}
        }
    }
}

async fn attach_once(house: &House, bucket: &BucketSettings) -> Result<Arc<dyn Store>> {
    let seen = house.memory.capabilities(&bucket.url.to_string());
    let store = house.outside.bucket(bucket, seen.as_ref()).await?;
    house.repository().attach_bucket(store.clone()).await?;
    Ok(store)
}

/// Follows the shipper: tells faces, writes activity down, notes health.
async fn tend(house: &House, store: Arc<dyn Store>, stop: &Stop) {
    let shipping = house.outside.ship(house.repository(), store, stop.clone());
    house.tier.attached(shipping.clone());
    house.tier.note(None, house.now());
    house.events.status();
    house.events.snapshots();
    let mut news = shipping.subscribe();
    let mut sent = 0;
    loop {
        let more = tokio::select! {
            () = stop.cancelled() => break,
            more = news.changed() => more.is_ok(),
            () = tokio::time::sleep(LOOK_EVERY) => true,
        };
        look(house, shipping.as_ref(), &mut sent);
        // A shipper that is gone leaves its last state to be seen.
        let pause = if more { TELL_EVERY } else { LOOK_EVERY };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    look(house, shipping.as_ref(), &mut sent);
    // What it acknowledges later would count for the next bucket.
    shipping.finished().await;
}

/// Finds out what a bucket really does, and every week again: a store is upgraded, a right is taken away, and nobody tells.
/// A probe that fails delays no shipping.
async fn get_to_know(house: &House, bucket: &BucketSettings, stop: &Stop) {
    let url = bucket.url.to_string();
    loop {
        // Other keys may have been given since.
        let settings = house.settings();
        let bucket = settings.bucket.as_ref().filter(|now| now.url == bucket.url).unwrap_or(bucket);
        let before = house.memory.capabilities(&url);
        if before.as_ref().is_none_or(|seen| is_old(seen, house.now())) {
            let seen = tokio::select! {
                () = stop.cancelled() => return,
                seen = probe_twice(house, bucket, before.as_ref()) => seen,
            };
            match seen {
                Ok(seen) => learn(house, &url, before.as_ref(), seen),
                Err(error) => tracing::warn!(error = ?error, "the bucket could not be probed; it is tried again"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PROBE_LOOK) => {}
        }
    }
}

/// Something lost is looked at once more: a store may have been busy just then.
async fn probe_twice(house: &House, bucket: &BucketSettings, before: Option<&Capabilities>) -> Result<Capabilities> {
    let _probing = house.tier.probing().await;
    let seen = house.outside.probe(bucket).await?;
    match before {
        Some(before) if !seen.lost_since(before).is_empty() => house.outside.probe(bucket).await,
        _ => Ok(seen),
    }
}

fn is_old(seen: &Capabilities, now: Moment) -> bool {
    let probed = seen.probed.as_deref().and_then(Moment::parse);
    // One of the future was dated by a clock that was wrong.
    probed.is_none_or(|probed| !(0..PROBE_EVERY_S * 1000).contains(&now.since(probed)))
}

/// Writes down what a probe saw, has uploads go by it at once, and tells what is not as good as it was.
pub fn learn(house: &House, url: &str, before: Option<&Capabilities>, mut seen: Capabilities) {
    let lost = before.map(|before| seen.lost_since(before)).unwrap_or_default();
    if !lost.is_empty() {
        tracing::warn!(lost = lost.join(", "), "the bucket does not do any more what it did");
        seen.lost = lost;
    }
    house.memory.put_capabilities(url, &seen);
    house.outside.learned(url, &seen);
    house.events.status();
}

fn look(house: &House, shipping: &dyn Shipping, sent: &mut u64) {
    let status = shipping.status();
    let fresh = status.sent_bytes.saturating_sub(*sent);
    *sent = status.sent_bytes;
    if fresh > 0 {
        house.memory.add_activity(house.now(), 0, fresh);
    }
    house.tier.note(status.error, house.now());
    house.events.snapshots();
    house.events.status();
}

fn words(error: &Error) -> (String, String) {
    (error.code().to_owned(), error.chain())
}
