//! How much of what is stored is read and verified each day without anybody asking.

use crate::{Error, Moment, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was decided about the daily verification. By default everything has been read after 25 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Verification {
    /// Share of all stored bytes that is read each day, what was verified longest ago first; 0 for none.
    pub daily_percent: u8,
}

impl Default for Verification {
    fn default() -> Self {
        Verification { daily_percent: 4 }
    }
}

impl Verification {
    /// Refuses what is no share. `Invalid` (`check.percent`).
    pub fn validate(&self) -> Result<()> {
        if self.daily_percent > 100 {
            return Err(Error::invalid("check.percent", "a share is a percentage from 0, which is off, to 100"));
        }
        Ok(())
    }
}

/// The daily verification: what was decided, when it runs, what a day of it reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerificationView {
    /// What was decided.
    pub rule: Verification,
    /// When it last came to its end, as far as this appliance remembers.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last: Option<Moment>,
    /// When it is due; absent while it is off or there is nothing to verify.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next: Option<Moment>,
    /// Bytes that a day reads of the cache.
    pub cache_bytes: u64,
    /// Bytes that a day reads from the bucket, which providers may charge for.
    pub bucket_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_and_may_be_none() {
        for lawful in [0, 4, 100] {
            Verification { daily_percent: lawful }.validate().unwrap();
        }
        assert_eq!(Verification { daily_percent: 101 }.validate().unwrap_err().code(), "check.percent");
        let read: Verification = serde_json::from_str("{}").unwrap();
        assert_eq!(read, Verification { daily_percent: 4 });
    }
}
