//! Motion: clock, randomness, back-off, limits of speed, stop signals. The only room that reads the clock or rolls dice.
//!
//! Never here: Docker, stores, formats. Everything takes a [`Clock`] so that tests own time.

mod backoff;
mod clock;
mod dice;
mod throttle;

pub use backoff::Backoff;
pub use clock::Clock;
pub use dice::random;
pub use throttle::Throttle;
pub use tokio_util::sync::CancellationToken as Stop;
