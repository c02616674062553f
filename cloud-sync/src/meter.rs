//! How fast it goes: bytes by second over a short window.

use std::collections::VecDeque;

/// Seconds that the rate is taken over: several packs at a slow line.
const WINDOW: i64 = 30;

/// Bytes of the last seconds. Time is in milliseconds, of any clock that mostly moves forward.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Second, bytes; at most [`WINDOW`] + 1 of them.
    seconds: VecDeque<(i64, u64)>,
    began: Option<i64>,
    total: u64,
}

impl Meter {
    /// `bytes` travelled between two moments; they are spread over that time.
    pub(crate) fn moved(&mut self, from: i64, to: i64, bytes: u64) {
        self.total += bytes;
        self.began.get_or_insert(from);
        let last = to.div_euclid(1000);
        let first = from.div_euclid(1000).min(last);
        let span = (last - first).unsigned_abs() + 1;
        let share = bytes / span;
        for second in first.max(last - WINDOW)..last {
            self.add(second, share);
        }
        self.add(last, bytes - share * (span - 1));
        self.seconds.retain(|(second, _)| *second >= last - WINDOW && *second <= last);
    }

    /// Bytes per second over the window before `now`.
    pub(crate) fn rate(&self, now: i64) -> u64 {
        let Some(began) = self.began else { return 0 };
        let second = now.div_euclid(1000);
        let recent = self.seconds.iter().filter(|(at, _)| *at > second - WINDOW && *at <= second);
        let span = (second - began.div_euclid(1000) + 1).clamp(1, WINDOW);
        recent.map(|(_, bytes)| bytes).sum::<u64>() / span.unsigned_abs()
    }

    /// Bytes since the beginning.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    fn add(&mut self, second: i64, bytes: u64) {
        match self.seconds.iter_mut().find(|(at, _)| *at == second) {
            Some((_, known)) => *known += bytes,
            None => self.seconds.push_back((second, bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_line_shows_its_speed_and_silence_shows_none() {
        let mut meter = Meter::default();
        assert_eq!(meter.rate(0), 0);
        for pack in 0..20 {
            meter.moved(pack * 8_000, (pack + 1) * 8_000, 8_000_000);
        }
        let rate = meter.rate(160_000);
        assert!((800_000..=1_100_000).contains(&rate), "{rate}");
        assert_eq!(meter.total(), 160_000_000);
        assert_eq!(meter.rate(300_000), 0);
        assert!(meter.seconds.len() as i64 <= WINDOW + 1);
    }

    #[test]
    fn a_clock_that_is_set_back_harms_nothing() {
        let mut meter = Meter::default();
        meter.moved(100_000, 50_000, 10);
        meter.moved(i64::MIN / 2000, 60_000, 10);
        meter.moved(60_000, 60_000, 10);
        assert_eq!(meter.total(), 30);
        meter.rate(0);
    }
}
