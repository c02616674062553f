//! How many objects fly side by side: as many as make the line faster, and no more. Pure.
//!
//! A line with latency or losses needs several, a slow one is only made late by them, and a bucket that asks for patience
//! means fewer. So one more is tried and kept if more arrives, as somebody climbs a hill in the fog.

/// Objects in flight at the beginning.
const FIRST: usize = 4;
/// Objects in flight at most: enough for a line with latency, few enough for any bucket.
pub(crate) const MOST: usize = 16;
/// A speed that differs by less than this many hundredths is the same.
const SAME: u64 = 5;

/// Counts what arrives and decides.
#[derive(Debug)]
pub(crate) struct Pace {
    limit: usize,
    rising: bool,
    /// Arrivals of this round, their bytes, and when it began (milliseconds).
    round: (usize, u64, Option<i64>),
    /// Bytes per second of the round before.
    before: u64,
}

impl Pace {
    pub(crate) fn new() -> Pace {
        Pace { limit: FIRST, rising: true, round: (0, 0, None), before: 0 }
    }

    /// How many may fly.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// An object arrived. Only a line that is full tells something: `full` if more were waiting than may fly.
    pub(crate) fn arrived(&mut self, bytes: u64, now: i64, full: bool) {
        if !full {
            self.round = (0, 0, None);
            return;
        }
        let (count, sum, begun) = &mut self.round;
        let Some(begun) = *begun else {
            *begun = Some(now);
            return;
        };
        *count += 1;
        *sum += bytes;
        let millis = now.saturating_sub(begun);
        // Short rounds measure the clock.
        if *count < 2 * self.limit || millis < 1000 {
            return;
        }
        let rate = *sum * 1000 / millis.unsigned_abs();
        self.round = (0, 0, Some(now));
        self.judge(rate);
    }

    fn judge(&mut self, rate: u64) {
        let faster = rate > self.before + self.before * SAME / 100;
        let slower = rate < self.before - self.before * SAME / 100;
        self.before = rate;
        // The same with more is no gain, the same with fewer is one.
        self.rising = match (faster, slower) {
            (true, _) => self.rising,
            (_, true) => !self.rising,
            _ => false,
        };
        self.limit = if self.rising { (self.limit + 1).min(MOST) } else { self.limit.saturating_sub(1).max(1) };
        // At the bottom of what can be tried there is only one way.
        self.rising |= self.limit == 1;
    }

    /// The bucket failed, or asks for patience.
    pub(crate) fn failed(&mut self) {
        *self = Pace { limit: (self.limit / 2).max(1), ..Pace::new() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ships for an hour over a line whose speed depends on how many fly; gives how many flew in the last half of it.
    fn ship(speed: impl Fn(usize) -> u64) -> (usize, usize) {
        let (mut pace, mut now, mut seen) = (Pace::new(), 0, Vec::new());
        while now < 3_600_000 {
            let bytes = 1_000_000;
            now += i64::try_from(bytes * 1000 / speed(pace.limit())).unwrap().max(1);
            pace.arrived(bytes, now, true);
            if now > 1_800_000 {
                seen.push(pace.limit());
            }
        }
        (*seen.iter().min().unwrap(), *seen.iter().max().unwrap())
    }

    #[test]
    fn a_line_with_latency_gets_many_and_a_slow_one_few() {
        let (least, _) = ship(|flying| 2_000_000 * flying as u64);
        assert!(least >= MOST - 2, "each flight has its own speed: {least}");
        let (_, most) = ship(|_| 1_000_000);
        assert!(most <= 3, "more make nothing faster: {most}");
        let (least, most) = ship(|flying| 1_000_000 * flying.min(6) as u64);
        assert!(least >= 4 && most <= 8, "{least} to {most}");
        let (_, most) = ship(|flying| if flying > 5 { 500_000 } else { 1_000_000 * flying as u64 });
        assert!(most <= 7, "a bucket that chokes: {most}");
    }

    #[test]
    fn failures_halve_and_an_empty_line_says_nothing() {
        let mut pace = Pace::new();
        pace.failed();
        assert_eq!(pace.limit(), 2);
        for _ in 0..5 {
            pace.failed();
        }
        assert_eq!(pace.limit(), 1);
        for now in 0..1000 {
            pace.arrived(1 << 20, now * 1000, false);
        }
        assert_eq!(pace.limit(), 1);
        let (mut pace, mut now) = (Pace::new(), i64::MAX);
        for _ in 0..100 {
            pace.arrived(u64::from(u32::MAX), now, true);
            now = now.saturating_sub(i64::from(i32::MAX));
        }
        assert!((1..=MOST).contains(&pace.limit()), "a clock that is set back harms nothing");
    }
}
