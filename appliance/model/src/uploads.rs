//! How the line to the bucket may be used: limits, hours of the day, a pause.

use crate::{Error, Moment, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// Slower than this a pack takes an hour, and nothing would ever be finished.
const SLOWEST: u64 = 16 * 1024;
/// Windows that anybody can keep an eye on.
const WINDOWS: usize = 24;
const DAY_MINUTES: u16 = 24 * 60;

/// What uploads may take of the line. The default is all of it, always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Uploads {
    /// Somebody stopped them; they wait until somebody lets them go on. Backups go on into the cache.
    pub paused: bool,
    /// Bytes per second, at most; absent for as many as go.
    pub bytes_per_second: Option<u64>,
    /// Requests per second, at most.
    pub requests_per_second: Option<u32>,
    /// Other limits at some hours. The first that fits counts.
    pub windows: Vec<UploadWindow>,
}

/// What uploads may take of the line from now on, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UploadsRequest {
    /// Whether they are stopped.
    pub paused: bool,
    /// Bytes per second, at most; absent for as many as go.
    pub bytes_per_second: Option<u64>,
    /// Requests per second, at most.
    pub requests_per_second: Option<u32>,
    /// Other limits at some hours. The first that fits counts.
    pub windows: Vec<UploadWindow>,
    /// What they may take now, as whoever asks saw it: refused (`uploads.changed`) if somebody has decided otherwise since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Uploads>,
}

impl UploadsRequest {
    /// A decision that counts only if nobody has decided otherwise than was `seen`.
    pub fn after(seen: Uploads, decided: Uploads) -> UploadsRequest {
        let Uploads { paused, bytes_per_second, requests_per_second, windows } = decided;
        UploadsRequest { paused, bytes_per_second, requests_per_second, windows, expected: Some(seen) }
    }

    /// What is decided, and what was seen.
    pub fn parts(self) -> (Uploads, Option<Uploads>) {
        let UploadsRequest { paused, bytes_per_second, requests_per_second, windows, expected } = self;
        (Uploads { paused, bytes_per_second, requests_per_second, windows }, expected)
    }
}

/// Hours with a limit of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadWindow {
    /// The days on which it begins (UTC).
    #[serde(default)]
    pub days: Days,
    /// Its first minute (UTC).
    #[schema(value_type = String, example = "08:00")]
    pub from: DayTime,
    /// The minute that it ends before (UTC); on the next day if that is earlier. The end of the day is 24:00.
    #[schema(value_type = String, example = "18:00")]
    pub until: DayTime,
    /// Bytes per second; 0 for none, absent for as many as go.
    #[serde(default)]
    pub bytes_per_second: Option<u64>,
}

/// Days of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Days {
    /// Every day.
    #[default]
    All,
    /// Monday to Friday.
    Workdays,
    /// Saturday and Sunday.
    Weekends,
}

/// A minute of the day, `HH:MM`; 24:00 is its end, and the beginning of nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayTime(u16);

/// What counts at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Bytes per second; 0 for none, absent for as many as go.
    pub bytes: Option<u64>,
    /// Requests per second.
    pub requests: Option<u32>,
}

impl Uploads {
    /// Refuses what cannot be kept. `Invalid` (`uploads.limit`, `uploads.window`).
    pub fn validate(&self) -> Result<()> {
        let wrong = |text: &str| Err(Error::invalid("uploads.limit", text.to_owned()));
        if self.bytes_per_second.is_some_and(|bytes| bytes < SLOWEST) {
            return wrong("uploads need 16 KiB per second at least; to stop them, pause them");
        }
        if self.requests_per_second == Some(0) {
            return wrong("uploads need one request per second at least; to stop them, pause them");
        }
        if self.windows.len() > WINDOWS {
            return Err(Error::invalid("uploads.window", format!("there may be {WINDOWS} windows at most")));
        }
        self.windows.iter().try_for_each(UploadWindow::validate)
    }

    /// What counts at a moment.
    pub fn at(&self, now: Moment) -> Allowed {
        let bytes = match self.windows.iter().find(|window| window.holds(now)) {
            _ if self.paused => Some(0),
            Some(window) => window.bytes_per_second,
            None => self.bytes_per_second,
        };
        Allowed { bytes, requests: self.requests_per_second }
    }
}

impl Allowed {
    /// Whether nothing may be sent.
    pub fn is_nothing(&self) -> bool {
        self.bytes == Some(0)
    }
}

impl UploadWindow {
    fn validate(&self) -> Result<()> {
        if self.from == DayTime(DAY_MINUTES) {
            return Err(Error::invalid("uploads.window", "a window cannot begin at 24:00, only end there"));
        }
        if self.from == self.until {
            return Err(Error::invalid("uploads.window", "a window has to end at another minute than it begins"));
        }
        if self.bytes_per_second.is_some_and(|bytes| bytes != 0 && bytes < SLOWEST) {
            let text = "a window needs 16 KiB per second at least, or 0 for none";
            return Err(Error::invalid("uploads.window", text));
        }
        Ok(())
    }

    fn holds(&self, now: Moment) -> bool {
        let day = now.seconds().div_euclid(86_400);
        let minute = DayTime(u16::try_from(now.seconds().rem_euclid(86_400) / 60).unwrap_or(0));
        if self.from < self.until {
            return self.days.hold(day) && (self.from..self.until).contains(&minute);
        }
        (minute >= self.from && self.days.hold(day)) || (minute < self.until && self.days.hold(day - 1))
    }

    /// Reads `[workdays|weekends] HH:MM-HH:MM=LIMIT`, where the limit is a size per second, `none` or `full`.
    /// `Invalid` (`uploads.window`).
    pub fn parse(text: &str) -> Result<UploadWindow> {
        let wrong = || {
            Error::invalid("uploads.window", format!("“{text}” is not a window of uploads"))
                .advice("write it like “08:00-18:00=1MB”, “workdays 08:00-18:00=none” or “weekends 00:00-24:00=full”")
        };
        let (days, hours) = match text.trim().split_once(' ') {
            Some(("workdays", hours)) => (Days::Workdays, hours),
            Some(("weekends", hours)) => (Days::Weekends, hours),
            Some(("all" | "daily", hours)) => (Days::All, hours),
            Some(_) => return Err(wrong()),
            None => (Days::All, text.trim()),
        };
        let (hours, limit) = hours.trim().split_once('=').ok_or_else(wrong)?;
        let (from, until) = hours.split_once('-').ok_or_else(wrong)?;
        let bytes_per_second = match limit.trim() {
            "full" => None,
            "none" => Some(0),
            size => Some(crate::policy::parse_size(size).map_err(|_| wrong())?),
        };
        let minute = |text: &str| text.trim().parse().map_err(|_: Error| wrong());
        let window = UploadWindow { days, from: minute(from)?, until: minute(until)?, bytes_per_second };
        window.validate()?;
        Ok(window)
    }
}

impl Days {
    /// Whether they hold a day, counted from 1970-01-01, a Thursday.
    fn hold(self, day: i64) -> bool {
        let is_weekend = (day + 3).rem_euclid(7) >= 5;
        match self {
            Days::All => true,
            Days::Workdays => !is_weekend,
            Days::Weekends => is_weekend,
        }
    }
}

impl FromStr for DayTime {
    type Err = Error;

    fn from_str(text: &str) -> Result<DayTime> {
        let wrong = || Error::invalid("uploads.window", format!("“{text}” is not a time of day; write it like 08:00"));
        let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
        let number = |digits: &str| match digits.len() {
            2 if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse::<u16>().map_err(|_| wrong()),
            _ => Err(wrong()),
        };
        let minute = number(hours)? * 60 + number(minutes)?;
        if minute <= DAY_MINUTES && number(minutes)? < 60 { Ok(DayTime(minute)) } else { Err(wrong()) }
    }
}

impl fmt::Display for DayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for DayTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DayTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<DayTime, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Saturday, 28 November 2026, 00:00 UTC.
    const SATURDAY: i64 = 1_795_824_000;

    fn at(hours: i64, minutes: i64) -> Moment {
        Moment::from_millis((SATURDAY + hours * 3600 + minutes * 60) * 1000)
    }

    fn uploads(windows: &[&str]) -> Uploads {
        let windows = windows.iter().map(|text| UploadWindow::parse(text).unwrap()).collect();
        Uploads { bytes_per_second: Some(1_000_000), windows, ..Uploads::default() }
    }

    #[test]
    fn the_first_window_that_fits_counts() {
        let uploads = uploads(&["workdays 08:00-18:00=none", "22:00-06:00=full", "weekends 00:00-12:00=2MB"]);
        uploads.validate().unwrap();
        for (hours, minutes, expected) in [
            (0, 0, None), // Saturday; Friday's night
            (5, 59, None),
            (6, 0, Some(2_000_000)),
            (12, 0, Some(1_000_000)),
            (22, 0, None),
            (24 + 11, 0, Some(2_000_000)), // Sunday
            (48 + 7, 59, Some(1_000_000)), // Monday
            (48 + 8, 0, Some(0)),
            (48 + 17, 59, Some(0)),
            (48 + 18, 0, Some(1_000_000)),
        ] {
            assert_eq!(uploads.at(at(hours, minutes)).bytes, expected, "{hours}:{minutes}");
        }
        assert!(Uploads { paused: true, ..uploads }.at(at(23, 0)).is_nothing());
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = UploadWindow::parse("workdays 22:00-06:00=none").unwrap();
        assert!(night.holds(at(3, 0)), "Saturday morning is Friday's night");
        assert!(!night.holds(at(23, 0)) && !night.holds(at(24 + 3, 0)) && !night.holds(at(48 + 3, 0)));
        assert!(night.holds(at(48 + 22, 0)) && night.holds(at(72 + 5, 59)));
    }

    #[test]
    fn a_day_ends_at_midnight_and_says_so() {
        let window = UploadWindow::parse("weekends 00:00-24:00=none").unwrap();
        assert!(window.holds(at(0, 0)) && window.holds(at(23, 59)) && window.holds(at(47, 59)));
        assert!(!window.holds(at(48, 0)), "Monday");
        assert_eq!(window.until.to_string(), "24:00");
        let text = serde_json::to_string(&window).unwrap();
        assert_eq!(serde_json::from_str::<UploadWindow>(&text).unwrap(), window);
        let evening = UploadWindow::parse("22:00-24:00=none").unwrap();
        assert!(evening.holds(at(23, 59)) && !evening.holds(at(24, 0)));
        let backwards: UploadWindow = serde_json::from_str(r#"{"from":"24:00","until":"06:00"}"#).unwrap();
        assert!(Uploads { windows: vec![backwards], ..Uploads::default() }.validate().is_err());
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for text in [
            "",
            "08:00-18:00",
            "08:00=1MB",
            "8:00-18:00=1MB",
            "24:00-08:00=1MB",
            "08:00-24:01=1MB",
            "08:00-25:00=1MB",
            "08:60-18:00=1MB",
            "08:00-08:00=1MB",
            "monday 08:00-18:00=1MB",
            "08:00-18:00=fast",
            "08:00-18:00=1kB",
            "0x:00-18:00=full",
            "+8:00-18:00=full",
        ] {
            assert_eq!(UploadWindow::parse(text).unwrap_err().code(), "uploads.window", "{text}");
        }
        let limit = |bytes| Uploads { bytes_per_second: Some(bytes), ..Uploads::default() }.validate();
        assert!(limit(0).is_err() && limit(1000).is_err() && limit(SLOWEST).is_ok());
        assert!(Uploads { requests_per_second: Some(0), ..Uploads::default() }.validate().is_err());
        assert!(serde_json::from_str::<UploadWindow>(r#"{"from":"25:00","until":"01:00"}"#).is_err());
        let window = uploads(&["weekends 22:00-06:00=none"]).windows.remove(0);
        let text = serde_json::to_string(&window).unwrap();
        assert_eq!(text, r#"{"days":"weekends","from":"22:00","until":"06:00","bytes_per_second":0}"#);
        assert_eq!(serde_json::from_str::<UploadWindow>(&text).unwrap(), window);
    }
}
