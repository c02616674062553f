//! Schedules and retention: what people decide, as data.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How an app is held still while it is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// All members frozen in parallel while their data is read: one instant, as after a power cut.
    #[default]
    Pause,
    /// All members stopped cleanly, captured, started again.
    Stop,
    /// Nothing is held: files may be from different instants.
    None,
}

impl Consistency {
    /// Parses the name used in the CLI and API.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "pause" => Ok(Consistency::Pause),
            "stop" => Ok(Consistency::Stop),
            "none" => Ok(Consistency::None),
            other => Err(Error::invalid(
                "consistency.unknown",
                format!("“{other}” is not a consistency; it is pause, stop or none"),
            )),
        }
    }
}

/// What is done for databases that run in an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Databases {
    /// Each is asked to make its files whole; of one whose files are read live its log is kept, or a dump is taken.
    #[default]
    Auto,
    /// Each is dumped as well.
    Dump,
    /// None is asked for anything.
    Off,
}

impl Databases {
    /// Parses the name used in labels, CLI and API.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Databases::Auto),
            "dump" => Ok(Databases::Dump),
            "off" => Ok(Databases::Off),
            other => Err(Error::invalid(
                "databases.unknown",
                format!("“{other}” is no way to care for databases; it is auto, dump or off"),
            )),
        }
    }
}

/// How many snapshots to keep. A snapshot stays if any rule keeps it. All zero keeps everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// The newest N, whenever they were taken.
    pub last: u32,
    /// The newest of each of the last N hours that have one.
    pub hourly: u32,
    /// The newest of each of the last N days (UTC) that have one.
    pub daily: u32,
    /// The newest of each of the last N ISO weeks that have one.
    pub weekly: u32,
    /// The newest of each of the last N months that have one.
    pub monthly: u32,
}

impl Retention {
    /// Whether no rule is set, so that everything is kept.
    pub fn keeps_everything(&self) -> bool {
        *self == Retention::default()
    }
}

/// A named rule: how often, how held, how long kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Unique name, `[a-z0-9-]{1,40}`.
    pub name: String,
    /// Seconds between backups; at least 60.
    pub every_seconds: u64,
    /// How the app is held still.
    #[serde(default)]
    pub consistency: Consistency,
    /// What is done for databases in it.
    #[serde(default)]
    pub databases: Databases,
    /// What is kept.
    #[serde(default)]
    pub keep: Retention,
}

impl Policy {
    /// Refuses what cannot be carried out.
    pub fn validate(&self) -> Result<()> {
        if !is_name(&self.name) {
            return Err(Error::invalid(
                "policy.name",
                format!("“{}” cannot name a policy; use 1 to 40 of a-z, 0-9 and -", self.name),
            ));
        }
        if self.every_seconds < 60 {
            return Err(Error::invalid("policy.every", "a policy runs at most once a minute; give 60 seconds or more"));
        }
        Ok(())
    }

    /// The three that every new appliance has.
    pub fn starters() -> Vec<Policy> {
        let policy = |name: &str, hours: u64, keep: Retention| Policy {
            name: name.into(),
            every_seconds: hours * 3600,
            consistency: Consistency::Pause,
            databases: Databases::Auto,
            keep,
        };
        vec![
            policy("gold", 1, Retention { last: 4, hourly: 24, daily: 14, weekly: 8, monthly: 12 }),
            policy("silver", 6, Retention { last: 4, hourly: 0, daily: 14, weekly: 8, monthly: 6 }),
            policy("bronze", 24, Retention { last: 3, hourly: 0, daily: 7, weekly: 4, monthly: 3 }),
        ]
    }
}

/// Names of policies, hosts and tenants: 1 to 40 of `a-z0-9-`, beginning with a letter or digit.
pub fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Parses `90s`, `15m`, `6h`, `2d`, `1w` into seconds.
pub fn parse_duration(text: &str) -> Result<u64> {
    let wrong = || Error::invalid("duration.malformed", format!("“{text}” is not a duration; write 15m, 6h, 2d or 1w"));
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let count: u64 = text[..split].parse().map_err(|_| wrong())?;
    let unit = match &text[split..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    count.checked_mul(unit).ok_or_else(wrong)
}

/// Parses `500GB`, `64MiB`, `1TB`, `123` into bytes (GB is 10⁹, GiB is 2³⁰).
pub fn parse_size(text: &str) -> Result<u64> {
    let wrong =
        || Error::invalid("size.malformed", format!("“{text}” is not a size; write 500GB, 64MiB or plain bytes"));
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text[..split].parse().map_err(|_| wrong())?;
    let unit: u64 = match text[split..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    count.checked_mul(unit).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_and_refused() {
        assert_eq!(parse_size("500GB").unwrap(), 500_000_000_000);
        assert_eq!(parse_size("64MiB").unwrap(), 64 << 20);
        assert_eq!(parse_duration("6h").unwrap(), 21_600);
        for bad in ["", "h", "6", "6y", "99999999999999999999h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        for bad in ["GB", "5XB", "99999999TiB", "-1"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn starters_are_valid() {
        for policy in Policy::starters() {
            policy.validate().unwrap();
        }
    }
}
