//! A limit on how fast something moves, shared by all who move it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What may go at once after a silence: enough that timers do not slow a line, too little to be felt on it.
const CREDIT: Duration = Duration::from_millis(200);

/// At most so many units per second, over all clones of the holder; without a limit nothing waits.
///
/// Whoever moves reserves first and waits as long as it is told: turns are given in the order of asking.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rate: Option<u64>,
    /// When all that was reserved will have moved.
    free: Option<Instant>,
}

impl Throttle {
    /// Sets the limit in units per second; `None` takes it away. What was reserved before keeps its turn.
    pub fn limit(&self, rate: Option<u64>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = rate.map(|rate| rate.max(1));
        if state.rate != rate {
            *state = State { rate, free: None };
        }
    }

    /// How much of `most` to move at once, so that a slow line is never silent for long.
    pub fn portion(&self, most: usize) -> usize {
        let rate = self.0.lock().unwrap_or_else(PoisonError::into_inner).rate;
        rate.map_or(most, |rate| usize::try_from(rate / 8).unwrap_or(most).clamp(most.min(1024), most))
    }

    /// Reserves `units` and says how long to wait before they may move.
    pub fn reserve(&self, units: u64) -> Duration {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rate) = state.rate else { return Duration::ZERO };
        let now = Instant::now();
        // Credit is never more than what the silence was long.
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        let start = state.free.map_or(now, |free| free.max(earliest));
        let micros = u128::from(units) * 1_000_000 / u128::from(rate);
        state.free = Some(start + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX / 4)));
        start.saturating_duration_since(now)
    }

    /// Reserves and waits.
    pub async fn take(&self, units: u64) {
        let wait = self.reserve(units);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_kept_by_all_together() {
        let throttle = Throttle::default();
        let begun = Instant::now();
        throttle.take(1 << 40).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "without a limit nothing waits");
        throttle.limit(Some(1000));
        for _ in 0..5 {
            tokio::join!(throttle.take(500), throttle.take(500));
        }
        let took = begun.elapsed().as_millis();
        assert!(
            (4300..=4700).contains(&took),
            "5,000 units, the first and the last 500 of which cost no waiting: {took}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_gives_little_credit_and_a_new_limit_counts_at_once() {
        let throttle = Throttle::default();
        throttle.limit(Some(1000));
        throttle.take(1000).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let begun = Instant::now();
        throttle.take(1000).await;
        throttle.take(1).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(800));
        throttle.limit(None);
        throttle.take(1 << 40).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(800));
    }
}
