//! The bucket as people meet it: its view, changing it, probing it, enrolling with a provider.
//!
//! Invariants: credentials never come out again; a bucket is believed only after it was probed and
//! attached; if the new one is refused the old one stays; the old bucket's contents are never touched.

use crate::{house::House, locks, ship, words::count};
use holdfast_model::{
    Error, Kind, Result, Secret,
    bucket::{BucketUrl, Credentials},
    bundle::SignedBundle,
    settings::{BucketSettings, Enrolment, Settings},
    uploads::UploadsRequest,
    view::{BucketHealth, BucketRequest, BucketView, EnrolmentView},
};
use std::sync::Arc;

/// How the bucket does.
pub fn view(house: &House) -> BucketView {
    let settings = house.settings();
    let url = settings.bucket.as_ref().map(|bucket| bucket.url.to_string());
    let health = house.tier.health();
    let error = match (&url, health.error) {
        (None, _) => None,
        (Some(_), None) if !health.attached => {
            Some(("bucket.connecting".into(), "the bucket has not answered yet since the start".into()))
        }
        (Some(_), error) => error,
    };
    let uses = house.repository().bucket_use();
    BucketView {
        capabilities: url.as_deref().and_then(|url| house.memory.capabilities(url)),
        health: match (&url, &error) {
            (None, _) => BucketHealth::None,
            (Some(_), None) => BucketHealth::Ok,
            (Some(_), Some(_)) => BucketHealth::Failing,
        },
        url,
        proxy: settings.bucket.as_ref().and_then(|bucket| house.outside.proxy(bucket)),
        error_code: error.as_ref().map(|(code, _)| code.clone()),
        error: error.map(|(_, words)| words),
        stored_bytes: uses.bytes,
        snapshots: uses.snapshots,
        queued_objects: health.ship.queued_objects,
        queued_bytes: health.ship.queued_bytes,
        rate: health.ship.rate,
        allowed: settings.uploads.at(house.now()).bytes,
        uploads: settings.uploads.clone(),
        last_ack: house.repository().last_acknowledged(),
        quota_bytes: settings.enrolment.as_ref().and_then(|enrolment| enrolment.quota_bytes),
        lock: locks::view(house),
    }
}

/// Attaches another bucket, or the same one with other keys.
pub async fn set(house: &Arc<House>, request: BucketRequest) -> Result<BucketView> {
    let bucket = settings_of(&request, house.settings().bucket.as_ref())?;
    let same = is_ours(house, &bucket);
    change(house, bucket, request.leave_behind, move |settings| {
        // Another bucket is not the provider's any more.
        if !same {
            settings.enrolment = None;
        }
    })
    .await?;
    Ok(view(house))
}

/// Whether it is the present one, perhaps with other keys or by another way.
fn is_ours(house: &House, bucket: &BucketSettings) -> bool {
    house.settings().bucket.as_ref().is_some_and(|old| old.url.is_same_place(&bucket.url))
}

/// Whether nothing but the keys may be other than those of the present one, and that one is at work.
fn takes_keys_alone(house: &House, bucket: &BucketSettings) -> bool {
    let same = |old: &BucketSettings| {
        (&old.url, &old.ca, &old.proxy_password) == (&bucket.url, &bucket.ca, &bucket.proxy_password)
    };
    house.settings().bucket.as_ref().is_some_and(same) && house.tier.health().attached
}

/// Data that only the bucket of before holds cannot be restored any more once that is let go.
fn nothing_left_behind(house: &House) -> Result<()> {
    let only = house.repository().only_in_bucket();
    if only.packs == 0 {
        return Ok(());
    }
    let words = format!(
        "{} of {} lie in the present bucket alone and would stay behind there",
        count(only.packs, "pack"),
        count(u64::from(only.snapshots), "snapshot"),
    );
    Err(Error::new(Kind::Refused, "bucket.only_copy", words)
        .advice("Copy the objects into the new bucket, or do without them; then say that they may be left behind (--leave-behind)."))
}

/// Decides what uploads may take of the line. Of two who decide at once, who saw less is told.
pub async fn uploads(house: &Arc<House>, request: UploadsRequest) -> Result<BucketView> {
    let (uploads, expected) = request.parts();
    uploads.validate()?;
    house
        .change_settings(|settings| {
            if expected.is_some_and(|expected| expected != settings.uploads) {
                let words = "somebody else has decided meanwhile what uploads may take";
                return Err(Error::new(Kind::Conflict, "uploads.changed", words)
                    .advice("Look at the limits as they are now, and decide again."));
            }
            settings.uploads = uploads;
            Ok(())
        })
        .await?;
    ship::keep_to_settings(house);
    house.tier.nudge();
    house.events.status();
    Ok(view(house))
}

/// Finds out again what the bucket really does.
pub async fn probe(house: &House) -> Result<BucketView> {
    let bucket = house.settings().bucket.clone();
    let bucket = bucket.ok_or_else(|| Error::not_found("bucket.none", "no bucket is set").advice("Set one first."))?;
    let _probing = house.tier.probing().await;
    let seen = house.outside.probe(&bucket).await?;
    if house.settings().bucket.as_ref().is_none_or(|now| now.url != bucket.url) {
        return Ok(view(house));
    }
    let url = bucket.url.to_string();
    ship::learn(house, &url, house.memory.capabilities(&url).as_ref(), seen);
    if let Err(error) = locks::prove(house).await {
        tracing::warn!(error = ?error, "the lock of the bucket could not be tried; it is tried again");
    }
    Ok(view(house))
}

/// Binds the appliance to a tenant. With `leave_behind`, what the bucket of before alone holds may stay there.
pub async fn enrol(house: &Arc<House>, bundle: SignedBundle, leave_behind: bool) -> Result<EnrolmentView> {
    let says = house.outside.open_bundle(&bundle, &house.clock)?;
    let credentials = Some(says.credentials);
    // New keys for the same bucket take nothing of what was decided about its locks.
    let before = house.settings().bucket.clone().filter(|before| before.url.is_same_place(&says.bucket));
    let lock = before.and_then(|before| before.lock);
    let bucket = BucketSettings { url: says.bucket, credentials, ca: says.ca, proxy_password: None, lock };
    let enrolment = Enrolment {
        provider: says.provider.clone(),
        tenant: says.tenant.clone(),
        time: house.now(),
        quota_bytes: says.quota_bytes,
    };
    change(house, bucket, leave_behind, move |settings| settings.enrolment = Some(enrolment)).await?;
    Ok(EnrolmentView { provider: says.provider, tenant: says.tenant })
}

/// A request as settings; keys that are not given again stay as they are for the same bucket.
pub fn settings_of(request: &BucketRequest, old: Option<&BucketSettings>) -> Result<BucketSettings> {
    let url = BucketUrl::parse(&request.url)?;
    let old = old.filter(|old| old.url.is_same_place(&url));
    let credentials = match (&request.access_key, &request.secret_key, &request.session_token) {
        (Some(access), Some(secret), token) => Some(Credentials {
            access_key: access.clone(),
            secret_key: Secret::new(secret.clone()),
            session_token: token.clone().map(Secret::new),
        }),
        (None, None, None) => old.and_then(|old| old.credentials.clone()),
        _ => {
            let words = "access key, secret key and the session token of both go together; one of them is missing";
            return Err(Error::invalid("bucket.keys", words));
        }
    };
    let ca = request.ca.clone().or_else(|| old.and_then(|old| old.ca.clone()));
    let proxy_password = request.proxy_password.clone().map(Secret::new);
    let lock = old.and_then(|old| old.lock);
    // A password is for the proxy that it was given for: another one would be told it.
    let old = old.filter(|old| old.url.proxy() == url.proxy());
    let proxy_password = proxy_password.or_else(|| old.and_then(|old| old.proxy_password.clone()));
    Ok(BucketSettings { url, credentials, ca, proxy_password, lock })
}

/// Probes and attaches the new bucket, then lets the old one go.
async fn change(
    house: &Arc<House>,
    bucket: BucketSettings,
    leave_behind: bool,
    also: impl FnOnce(&mut Settings),
) -> Result<()> {
    let _changing = house.tier.change()?;
    if !leave_behind && !is_ours(house, &bucket) {
        nothing_left_behind(house)?;
    }
    let _probing = house.tier.probing().await;
    let seen = house.outside.probe(&bucket).await?;
    let store = house.outside.bucket(&bucket, Some(&seen)).await?;
    if !leave_behind && is_ours(house, &bucket) && store.head("format").await?.is_none() {
        // The same words may lead elsewhere, by another region or way of naming.
        nothing_left_behind(house)?;
    }
    // With other keys alone, what flies goes on. The same bucket by another way: who reads from it goes on, first by the old one.
    let flies_on = takes_keys_alone(house, &bucket);
    match is_ours(house, &bucket) {
        true if flies_on => {}
        true => ship::end(house).await,
        false => ship::halt(house).await,
    }
    if !leave_behind && !is_ours(house, &bucket) {
        // What was let go from the cache meanwhile lies in the old one alone.
        if let Err(error) = nothing_left_behind(house) {
            ship::start(house, None);
            return Err(error);
        }
    }
    // What attaching writes is locked by the rule of this bucket, or not at all.
    house.repository().set_lock(bucket.lock);
    if let Err(error) = house.repository().attach_bucket(store.clone()).await {
        locks::keep_to_settings(house);
        if !flies_on || !house.repository().has_bucket() {
            ship::end(house).await;
            ship::start(house, None);
        }
        return Err(error);
    }
    let url = bucket.url.to_string();
    ship::learn(house, &url, house.memory.capabilities(&url).as_ref(), seen);
    let given = bucket.clone();
    let saved = house
        .change_settings(|settings| {
            settings.bucket = Some(bucket);
            also(settings);
            Ok(())
        })
        .await;
    if let Err(error) = saved {
        locks::keep_to_settings(house);
        ship::end(house).await;
        house.repository().detach_bucket();
        ship::start(house, None);
        return Err(error);
    }
    match flies_on {
        true => {
            house.outside.rekey(&given);
            house.tier.nudge();
        }
        false => ship::start(house, Some(store)),
    }
    house.events.snapshots();
    house.events.status();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::lock::{LockMode, LockRule};

    fn request(url: &str, keys: Option<(&str, &str)>) -> BucketRequest {
        BucketRequest {
            url: url.into(),
            access_key: keys.map(|(access, _)| access.into()),
            secret_key: keys.map(|(_, secret)| secret.into()),
            ..BucketRequest::default()
        }
    }

    #[test]
    fn keys_stay_for_the_same_bucket_only() {
        let first = settings_of(&request("s3://acme", Some(("k", "s"))), None).unwrap();
        assert_eq!(settings_of(&request("s3://acme", None), Some(&first)).unwrap(), first);
        assert_eq!(settings_of(&request("s3://other", None), Some(&first)).unwrap().credentials, None);
        let half = BucketRequest { secret_key: None, ..request("s3://acme", Some(("k", "s"))) };
        assert_eq!(settings_of(&half, None).unwrap_err().code(), "bucket.keys");
        let token = BucketRequest { session_token: Some("t".into()), ..request("s3://acme", None) };
        assert_eq!(settings_of(&token, Some(&first)).unwrap_err().code(), "bucket.keys", "of which keys?");
        // By another way it is the same bucket.
        let proxy_password = Some("p".to_owned());
        let by_proxy = BucketRequest { proxy_password, ..request("s3://acme?proxy=http://ada@proxy:3128", None) };
        let by_proxy = settings_of(&by_proxy, Some(&first)).unwrap();
        assert_eq!(by_proxy.credentials, first.credentials);
        let again = settings_of(&request("s3://acme?proxy=http://ada@proxy:3128", None), Some(&by_proxy)).unwrap();
        assert_eq!(again, by_proxy);
        let other = settings_of(&request("s3://acme?proxy=http://ada@other:3128", None), Some(&by_proxy)).unwrap();
        assert_eq!(other.proxy_password, None, "another proxy is not told it");
        let rule = LockRule { mode: LockMode::Compliance, days: 30 };
        let locked = BucketSettings { lock: Some(rule), ..by_proxy };
        for way in ["s3://acme", "s3://acme?proxy=http://ada@other:3128"] {
            assert_eq!(settings_of(&request(way, None), Some(&locked)).unwrap().lock, Some(rule), "{way}");
        }
        assert_eq!(settings_of(&request("s3://other", Some(("k", "s"))), Some(&locked)).unwrap().lock, None);
    }
}
