//! What the server keeps: buckets with versions, users with policies and keys. No protocol.

use bytes::Bytes;
use holdfast_runtime::{Clock, random};
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) buckets: BTreeMap<String, Bucket>,
    pub(super) users: BTreeMap<String, User>,
    /// Managed policies: ARN to document.
    pub(super) policies: BTreeMap<String, String>,
    /// Access key id to key.
    pub(super) keys: BTreeMap<String, Key>,
    /// Storage classes that were asked for, by bucket and key.
    pub(super) classes: BTreeMap<(String, String), String>,
    made: u64,
}

#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) versioning: bool,
    pub(super) objects: BTreeMap<String, Vec<Version>>,
}

/// One version of an object, or the marker of its deletion.
#[derive(Clone, Debug, Default)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) body: Bytes,
    /// Base 64 of the SHA-256 at the time of writing.
    pub(super) sha256: String,
    pub(super) marker: bool,
    /// When it was written, in seconds.
    pub(super) time: i64,
    /// Seconds of the server's clock.
    pub(super) locked_until: Option<i64>,
    /// Its lock can be passed over by who has the right to.
    pub(super) governance: bool,
}

impl Version {
    pub(super) fn is_locked(&self, now: i64) -> bool {
        self.locked_until.is_some_and(|until| until > now)
    }
}

#[derive(Debug, Default)]
pub(super) struct User {
    /// Name to document.
    pub(super) inline: BTreeMap<String, String>,
    /// ARNs.
    pub(super) attached: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) secret: String,
    /// `None` is the administrator.
    pub(super) user: Option<String>,
}

impl State {
    pub(super) fn new(access: &str, secret: &str) -> State {
        let mut state = State::default();
        state.keys.insert(access.to_owned(), Key { secret: secret.to_owned(), user: None });
        state
    }

    pub(super) fn make_bucket(&mut self, name: &str, versioning: bool) -> Option<()> {
        if self.buckets.contains_key(name) {
            return None;
        }
        self.buckets.insert(name.to_owned(), Bucket { versioning, ..Bucket::default() });
        Some(())
    }

    pub(super) fn make_key(&mut self, user: &str) -> (String, String) {
        let id = format!("KEY{}", hex::encode(random::<6>()).to_uppercase());
        let secret = hex::encode(random::<16>());
        self.keys.insert(id.clone(), Key { secret: secret.clone(), user: Some(user.to_owned()) });
        (id, secret)
    }

    pub(super) fn keys(&self, bucket: &str) -> Vec<String> {
        let Some(bucket) = self.buckets.get(bucket) else { return Vec::new() };
        let there = |versions: &Vec<Version>| versions.last().is_some_and(|version| !version.marker);
        bucket.objects.iter().filter(|(_, versions)| there(versions)).map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn latest(&self, bucket: &str, key: &str) -> Option<&Version> {
        self.buckets.get(bucket)?.objects.get(key)?.last().filter(|version| !version.marker)
    }

    pub(super) fn used(&self, bucket: &str) -> u64 {
        let Some(bucket) = self.buckets.get(bucket) else { return 0 };
        bucket.objects.values().flatten().map(|version| version.body.len() as u64).sum()
    }

    /// Writes an object; returns the id of its version if the bucket keeps versions.
    pub(super) fn write(&mut self, bucket: &str, key: &str, mut version: Version) -> Option<String> {
        self.made += 1;
        version.id = format!("v{:08}", self.made);
        version.time = Clock::system().now().seconds();
        let id = version.id.clone();
        let bucket = self.buckets.get_mut(bucket)?;
        let versions = bucket.objects.entry(key.to_owned()).or_default();
        if !bucket.versioning {
            versions.clear();
        }
        versions.push(version);
        bucket.versioning.then_some(id)
    }

    pub(super) fn damage(&mut self, bucket: &str, key: &str, body: Bytes) {
        let versions = self.buckets.get_mut(bucket).and_then(|bucket| bucket.objects.get_mut(key));
        if let Some(version) = versions.and_then(|versions| versions.last_mut()) {
            version.body = body;
        }
    }

    /// Whether the owner of an access key may do `action` on `resource` (an ARN).
    pub(super) fn may(&self, access_key: &str, action: &str, resource: &str) -> bool {
        let Some(key) = self.keys.get(access_key) else { return false };
        let Some(name) = &key.user else { return true };
        let Some(user) = self.users.get(name) else { return false };
        let attached = user.attached.iter().filter_map(|arn| self.policies.get(arn));
        let statements =
            user.inline.values().chain(attached).filter_map(|text| serde_json::from_str::<Value>(text).ok());
        statements.flat_map(|document| document["Statement"].as_array().cloned().unwrap_or_default()).any(|statement| {
            statement["Effect"] == "Allow"
                && one_matches(&statement["Action"], action)
                && one_matches(&statement["Resource"], resource)
        })
    }
}

fn one_matches(patterns: &Value, text: &str) -> bool {
    match patterns {
        Value::String(pattern) => matches(pattern, text),
        Value::Array(list) => list.iter().filter_map(Value::as_str).any(|pattern| matches(pattern, text)),
        _ => false,
    }
}

/// `*` at the end stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}
