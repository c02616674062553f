//! The time, as the system has it or as a test says.

use holdfast_model::Moment;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Tells the time. Clones of a manual clock share its hands.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Clock(None)
    }
    /// A clock that moves only by [`Clock::advance`].
    pub fn manual(start: Moment) -> Self {
        Clock(Some(Arc::new(AtomicI64::new(start.millis()))))
    }
    /// Now.
    pub fn now(&self) -> Moment {
        match &self.0 {
            Some(hands) => Moment::from_millis(hands.load(Ordering::SeqCst)),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Moment::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
        }
    }
    /// Moves a manual clock; the system's clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Some(hands) = &self.0 {
            hands.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}
