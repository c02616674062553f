//! The way to threads that may block.

use holdfast_model::{Error, Result};

/// Runs blocking work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::bug("a worker of the repository broke off").caused_by(error)))
}
