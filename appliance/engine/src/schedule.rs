//! When an app's next backup is due. Pure: the loop that acts on it lives in `scheduler`.
//!
//! Invariants: the same facts give the same moment (it is shown to people); a failure never makes a
//! backup come sooner; after a long downtime an app runs once, not once per missed interval.

use holdfast_model::Moment;

/// Longest spread of starts, seconds: enough to keep apps of one policy apart, too short to matter.
const JITTER_MAX_S: u64 = 60;
/// Pause after the first failure, seconds; doubled by each further one.
const RETRY_FIRST_S: u64 = 300;
/// A snapshot this far in the future, seconds, comes from a wrong clock and proves nothing.
const CLOCK_TOLERANCE_S: i64 = 60;

/// What is known of one covered app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Seconds between backups.
    pub every: u64,
    /// Start of the newest good snapshot that is not from the future.
    pub last_good: Option<Moment>,
    /// End of the newest attempt, if it failed.
    pub last_failure: Option<Moment>,
    /// Failures in a row.
    pub failures: u32,
}

/// When the next backup is due; a moment in the past means now. `None` for `last_good` runs at once.
pub fn due(app: &str, known: &Known) -> Moment {
    let wanted = match known.last_good {
        Some(last) => last.plus_seconds(seconds(known.every.saturating_add(jitter(app, last, known.every)))),
        None => Moment::from_millis(0),
    };
    match known.last_failure {
        Some(failure) if known.failures > 0 => wanted.max(failure.plus_seconds(seconds(pause(known)))),
        _ => wanted,
    }
}

/// Whether the last good backup is older than the policy wants, with a quarter of grace.
pub fn is_overdue(known: &Known, now: Moment) -> bool {
    let limit = known.every.saturating_add(known.every / 4).saturating_add(2 * JITTER_MAX_S);
    known.last_good.is_some_and(|last| now > last.plus_seconds(seconds(limit)))
}

/// Whether a snapshot's time may be believed at `now`.
pub fn is_past(time: Moment, now: Moment) -> bool {
    time <= now.plus_seconds(CLOCK_TOLERANCE_S)
}

fn pause(known: &Known) -> u64 {
    let doubled = RETRY_FIRST_S.saturating_mul(1u64 << known.failures.saturating_sub(1).min(20));
    doubled.min(known.every)
}

/// Up to a tenth of the interval, from the app's name and its last backup: steady, yet spread.
fn jitter(app: &str, last: Moment, every: u64) -> u64 {
    let room = (every / 10).min(JITTER_MAX_S);
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in app.bytes().chain(last.millis().to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // The low bits of this hash repeat for names that differ in one letter; the high ones do not.
    (hash >> 32) % (room + 1)
}

fn seconds(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START_MS: i64 = 1_795_000_000_000;

    fn start() -> Moment {
        Moment::from_millis(START_MS)
    }

    fn known(every: u64) -> Known {
        Known { every, last_good: Some(start()), last_failure: None, failures: 0 }
    }

    #[test]
    fn a_first_backup_is_due_at_once() {
        let fresh = Known { last_good: None, ..known(3600) };
        assert!(due("local/shop", &fresh) <= start());
    }

    #[test]
    fn retries_wait_longer_each_time_but_never_longer_than_the_interval() {
        let late = start().plus_seconds(7200);
        let waits: Vec<i64> = (1..8)
            .map(|failures| Known { failures, last_failure: Some(late), ..known(3600) })
            .map(|known| due("a", &known).since(late) / 1000)
            .collect();
        assert_eq!(waits, [300, 600, 1200, 2400, 3600, 3600, 3600]);
    }

    #[test]
    fn overdue_has_grace() {
        assert!(!is_overdue(&known(3600), start().plus_seconds(3600 + 900 + 120)));
        assert!(is_overdue(&known(3600), start().plus_seconds(3600 + 900 + 121)));
        assert!(!is_overdue(&Known { last_good: None, ..known(60) }, start()));
    }

    #[test]
    fn a_clock_that_was_wrong_is_not_believed() {
        assert!(is_past(start(), start()));
        assert!(!is_past(start().plus_seconds(3600), start()));
    }

    proptest! {
        #[test]
        fn jitter_stays_in_its_room(app in "[a-z]{1,12}", every in 60u64..1_000_000) {
            let wait = due(&app, &known(every)).since(start()) / 1000;
            prop_assert!(wait >= every as i64);
            prop_assert!(wait <= (every + (every / 10).min(60)) as i64);
            prop_assert_eq!(due(&app, &known(every)), due(&app, &known(every)));
        }

        #[test]
        fn a_failure_never_brings_it_forward(every in 60u64..1_000_000, failures in 1u32..100, after in 0i64..10_000_000) {
            let failed = Known { failures, last_failure: Some(start().plus_seconds(after)), ..known(every) };
            prop_assert!(due("a", &failed) >= due("a", &known(every)));
        }
    }
}
