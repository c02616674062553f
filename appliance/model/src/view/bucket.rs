//! The bucket as people see it, and what it was seen to do.

use crate::{Moment, lock::LockView, uploads::Uploads};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the bucket does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BucketHealth {
    /// None is set.
    None,
    /// It answers.
    Ok,
    /// It does not answer or refuses; see `error`.
    Failing,
}

/// The cloud tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BucketView {
    /// Where it is, without credentials.
    pub url: Option<String>,
    /// The proxy that leads there, from its URL or the appliance's environment, without credentials.
    pub proxy: Option<String>,
    /// How it does.
    pub health: BucketHealth,
    /// Error code, if it fails (`bucket.denied`, `bucket.unreachable`, `bucket.region`, `bucket.clock`, …).
    pub error_code: Option<String>,
    /// The error in words.
    pub error: Option<String>,
    /// Sealed bytes it holds of ours.
    pub stored_bytes: u64,
    /// Snapshots that it holds completely.
    pub snapshots: u32,
    /// Objects waiting.
    pub queued_objects: u64,
    /// Bytes waiting.
    pub queued_bytes: u64,
    /// Bytes sent per second now.
    pub rate: u64,
    /// What uploads may take of the line, as it was decided.
    pub uploads: Uploads,
    /// Bytes per second that this allows now; 0 for none, absent for as many as go.
    pub allowed: Option<u64>,
    /// When it acknowledged something last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_ack: Option<Moment>,
    /// What the probe found that it really does.
    pub capabilities: Option<Capabilities>,
    /// Quota in bytes, from the provider.
    pub quota_bytes: Option<u64>,
    /// How long it keeps what is written, whoever asks for it to be deleted; absent for no longer than nobody does.
    pub lock: Option<LockView>,
}

/// What a store was seen to do; never taken from its name or from a 200.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Capabilities {
    /// When it was probed (RFC 3339).
    pub probed: Option<String>,
    /// A listing shows an object right after its PUT.
    pub list_after_put: bool,
    /// `If-None-Match: *` on an existing key is refused.
    pub conditional_put: bool,
    /// Of eight racers with `If-None-Match: *` exactly one wins.
    pub conditional_race: bool,
    /// A range answer holds the range, nothing else.
    pub range: bool,
    /// A body that does not match its checksum is refused.
    pub checksum: bool,
    /// Overwriting keeps the old version.
    pub versioning: bool,
    /// A locked version cannot be deleted (tried, not read from a header).
    pub object_lock: bool,
    /// Our key may delete objects.
    pub can_delete: bool,
    /// The server's clock differs from ours by this many seconds.
    pub clock_skew_seconds: i64,
    /// Tests that could not be made, and why.
    pub notes: Vec<String>,
    /// What the probe before saw it do and this one did not, in words.
    pub lost: Vec<String>,
}

impl Capabilities {
    /// What an earlier probe saw it do, or missed already, and this one did not see, in words. The right to delete is not
    /// among them: that is taken away on purpose.
    pub fn lost_since(&self, before: &Capabilities) -> Vec<String> {
        let abilities = [
            ("list an object right after its upload", before.list_after_put, self.list_after_put),
            ("keep conditions of writes", before.conditional_put, self.conditional_put),
            ("let exactly one of many writers win", before.conditional_race, self.conditional_race),
            ("answer ranges", before.range, self.range),
            ("refuse damaged bodies", before.checksum, self.checksum),
            ("keep versions", before.versioning, self.versioning),
            ("keep locked objects", before.object_lock, self.object_lock),
        ];
        let missed = |ability: &str| before.lost.iter().any(|lost| lost == ability);
        let lost = abilities.into_iter().filter(|(ability, had, has)| (*had || missed(ability)) && !has);
        lost.map(|(ability, ..)| ability.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_worse_counts_as_lost() {
        let before = Capabilities { versioning: true, can_delete: true, ..Capabilities::default() };
        let mut now = Capabilities { range: true, ..Capabilities::default() };
        now.lost = now.lost_since(&before);
        assert_eq!(now.lost, ["keep versions"]);
        assert_eq!(
            Capabilities { range: true, ..Capabilities::default() }.lost_since(&now),
            ["keep versions"],
            "still"
        );
        assert!(Capabilities { range: true, versioning: true, ..Capabilities::default() }.lost_since(&now).is_empty());
        assert!(before.lost_since(&Capabilities::default()).is_empty());
    }
}
