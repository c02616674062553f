//! How much the cache may take, what stays in it longest, and what a backup does when it is full.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Less than this holds neither the packs in flight nor the metadata of a usual app.
const SMALLEST: u64 = 1 << 30;
/// More than this is no longer a choice of what stays longest.
const MOST_KEPT: u32 = 1000;

/// What the cache may take of the disk. The default has no quota: the cache takes what the disk gives but for a reserve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheRule {
    /// Bytes of all its objects, at most, but for metadata, which comes in beyond it; absent for what the disk gives.
    pub quota_bytes: Option<u64>,
    /// Bytes of the disk that stay free whatever the quota says; absent for a twentieth of the disk, 20 GiB at most.
    pub reserve_bytes: Option<u64>,
    /// The newest snapshots of each app whose data leave the cache last.
    pub keep_newest: u32,
    /// What a backup does when nothing may leave a full cache, because the bucket does not hold it yet.
    pub when_full: WhenFull,
}

/// What a backup does when the cache is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// It goes on at the bucket's speed, and fails only if the bucket takes nothing for a quarter of an hour, or none is attached.
    #[default]
    Wait,
    /// It fails at once, and says so.
    Refuse,
}

impl Default for CacheRule {
    fn default() -> Self {
        CacheRule { quota_bytes: None, reserve_bytes: None, keep_newest: 1, when_full: WhenFull::Wait }
    }
}

impl CacheRule {
    /// Refuses what cannot be kept. `Invalid` (`cache.rule`).
    pub fn validate(&self) -> Result<()> {
        if self.quota_bytes.is_some_and(|bytes| bytes < SMALLEST) {
            return Err(Error::invalid("cache.rule", "the cache needs 1 GiB at least"));
        }
        if self.keep_newest > MOST_KEPT {
            return Err(Error::invalid(
                "cache.rule",
                format!("at most {MOST_KEPT} snapshots of each app can be kept longest"),
            ));
        }
        Ok(())
    }
}

/// How the cache does. In the API's document it has a name of its own, beside the figures of the first page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CacheState)]
pub struct CacheView {
    /// What was decided.
    pub rule: CacheRule,
    /// Bytes of all objects in it.
    pub used_bytes: u64,
    /// Bytes that it may take now, by the quota and by what the disk gives.
    pub limit_bytes: u64,
    /// Bytes that the bucket does not hold yet: they cannot leave.
    pub unshipped_bytes: u64,
    /// Bytes that never leave: metadata, index, what a repair or a restore holds.
    pub pinned_bytes: u64,
    /// Bytes of the newest snapshots, which leave last.
    pub newest_bytes: u64,
    /// Bytes that may leave at once, those of the newest snapshots included.
    pub evictable_bytes: u64,
    /// Sealed bytes of snapshots that only the bucket holds.
    pub bucket_only_bytes: u64,
    /// A backup waits for room.
    pub waiting: bool,
}

/// Asks for space in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvictRequest {
    /// Bytes that the cache takes afterwards, at most; absent for what the rule wants.
    pub aim_bytes: Option<u64>,
    /// Only say what would leave.
    pub dry_run: bool,
}

/// What left the cache, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evicted {
    /// Packs.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes above the aim that could not leave: the bucket does not hold them, or somebody needs them here.
    pub short_bytes: u64,
}

/// What came back into the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warmed {
    /// Packs fetched.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that were here already.
    pub here: u64,
    /// Bytes that found no room.
    pub short_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_cannot_be_kept_are_refused() {
        CacheRule::default().validate().unwrap();
        CacheRule { quota_bytes: Some(SMALLEST), ..CacheRule::default() }.validate().unwrap();
        for wrong in [
            CacheRule { quota_bytes: Some(SMALLEST - 1), ..CacheRule::default() },
            CacheRule { keep_newest: MOST_KEPT + 1, ..CacheRule::default() },
        ] {
            assert_eq!(wrong.validate().unwrap_err().code(), "cache.rule", "{wrong:?}");
        }
    }

    #[test]
    fn a_rule_that_says_little_is_read() {
        let rule: CacheRule = serde_json::from_str(r#"{"quota_bytes":5000000000,"when_full":"refuse"}"#).unwrap();
        assert_eq!((rule.quota_bytes, rule.keep_newest, rule.when_full), (Some(5_000_000_000), 1, WhenFull::Refuse));
    }
}
