//! A point in time: milliseconds since 1970-01-01 UTC, RFC 3339 as text.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The first and the last millisecond that RFC 3339 can name: of the years 1 and 9999.
const FIRST: i64 = -62_135_596_800_000;
const LAST: i64 = 253_402_300_799_999;

/// Milliseconds since the Unix epoch, UTC. Shown and parsed as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(i64);

impl Moment {
    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Moment(millis)
    }
    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }
    /// Seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
    /// This moment moved by `seconds`.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Moment(self.0.saturating_add(seconds.saturating_mul(1000)))
    }
    /// Milliseconds from `earlier` to this moment; negative if it is later.
    pub fn since(self, earlier: Moment) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
    /// The civil date and time in UTC; moments outside years 1 to 9999 are clamped.
    pub fn civil(self) -> OffsetDateTime {
        let millis = self.0.clamp(FIRST, LAST);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
    /// Parses RFC 3339. What an offset moves out of the years 1 to 9999 is no moment: it could not be written again.
    pub fn parse(text: &str) -> Option<Self> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let millis = i64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).ok()?;
        (FIRST..=LAST).contains(&millis).then_some(Moment(millis))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.civil().format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Moment::parse(&text).ok_or_else(|| de::Error::custom("a time must be RFC 3339"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let moment = Moment::from_millis(1_795_411_200_123);
        assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
        assert_eq!(Moment::parse("2026-11-23T05:00:00Z").unwrap().seconds(), 1_795_410_000);
    }

    #[test]
    fn the_ends_of_time_can_be_written_and_nothing_beyond_is_read() {
        for (millis, text) in [(i64::MIN, "0001-01-01T00:00:00Z"), (i64::MAX, "9999-12-31T23:59:59.999Z")] {
            assert_eq!(Moment::from_millis(millis).to_string(), text);
            assert_eq!(Moment::parse(text).unwrap().to_string(), text);
        }
        for beyond in ["0000-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"] {
            assert_eq!(Moment::parse(beyond), None, "{beyond}");
        }
    }
}
