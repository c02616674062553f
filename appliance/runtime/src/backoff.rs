//! Exponential back-off with full jitter.

use crate::random;
use std::time::Duration;

/// Counts failures in a row and says how long to wait: a random time up to `base · 2ⁿ`, at most `limit`.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    limit: Duration,
    failures: u32,
}

impl Backoff {
    /// A fresh back-off.
    pub fn new(base: Duration, limit: Duration) -> Self {
        Backoff { base, limit, failures: 0 }
    }
    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
    /// Forgets the failures.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
    /// Counts a failure and says how long to wait now; never less than a tenth of the ceiling.
    pub fn failed(&mut self) -> Duration {
        let ceiling = self.base.saturating_mul(1u32 << self.failures.min(20)).min(self.limit);
        self.failures = self.failures.saturating_add(1);
        let share = 0.1 + 0.9 * f64::from(u16::from_le_bytes(random())) / f64::from(u16::MAX);
        ceiling.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for _ in 0..40 {
            let wait = backoff.failed();
            assert!(wait >= Duration::from_millis(10) && wait <= Duration::from_secs(5));
        }
        backoff.succeeded();
        assert!(backoff.failed() <= Duration::from_millis(100));
    }
}
