//! How long the bucket keeps what is written into it, whoever asks for it to be deleted.

use crate::{Error, Moment, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// Ten years: what is locked in compliance mode for longer by a slip of the pen is paid for by those who come after.
const DAYS_MAX: u16 = 3650;

/// Who may end a lock before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// Those alone whom the bucket's owner gave the right to pass over locks; the appliance's key must not have it.
    Governance,
    /// Nobody, the bucket's owner included.
    Compliance,
}

impl LockMode {
    /// Its name on the wire and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            LockMode::Governance => "governance",
            LockMode::Compliance => "compliance",
        }
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LockMode {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        [LockMode::Governance, LockMode::Compliance]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| Error::invalid("lock.mode", "a lock is of the mode governance or compliance"))
    }
}

/// How long each snapshot is locked in the bucket, from when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LockRule {
    /// Who may end a lock before its time.
    pub mode: LockMode,
    /// Days, 1 to 3650.
    pub days: u16,
}

impl LockRule {
    /// Refuses what is no such time. `Invalid` (`lock.days`).
    pub fn validate(&self) -> Result<()> {
        if !(1..=DAYS_MAX).contains(&self.days) {
            return Err(Error::invalid("lock.days", format!("snapshots can be locked for 1 to {DAYS_MAX} days")));
        }
        Ok(())
    }
}

/// Decides about the lock of the bucket, all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LockRequest {
    /// What counts from now on; absent for none. What is locked stays locked.
    pub rule: Option<LockRule>,
}

/// The lock of the bucket, and what was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockView {
    /// What was decided.
    pub rule: LockRule,
    /// When the appliance last tried in vain to delete one of its own locked objects and to shorten its lock.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub proved: Option<Moment>,
    /// The newest such try went through: the bucket does not keep its locks.
    pub broken: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_lasts_a_day_to_ten_years() {
        for days in [1, 30, 3650] {
            LockRule { mode: LockMode::Compliance, days }.validate().unwrap();
        }
        for days in [0, 3651] {
            let error = LockRule { mode: LockMode::Governance, days }.validate().unwrap_err();
            assert_eq!(error.code(), "lock.days", "{days}");
        }
    }

    #[test]
    fn modes_are_read_as_they_are_written() {
        for mode in [LockMode::Governance, LockMode::Compliance] {
            assert_eq!(mode.to_string().parse::<LockMode>().unwrap(), mode);
        }
        assert_eq!("Compliance".parse::<LockMode>().unwrap_err().code(), "lock.mode");
        let rule: LockRule = serde_json::from_str(r#"{"mode":"compliance","days":30}"#).unwrap();
        assert_eq!(rule, LockRule { mode: LockMode::Compliance, days: 30 });
    }
}
