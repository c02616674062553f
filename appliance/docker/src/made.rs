//! A container that we made on a host and that has to go again, whatever happens to whoever made it.
//!
//! It is removed by [`Made::remove`], and in the background when dropped. What neither reaches is found by its label
//! ([`crate::HELPER_LABEL`]) at the next start.

use crate::Engine;
use holdfast_model::Result;
use std::sync::Arc;

/// A container of ours.
pub struct Made {
    engine: Arc<dyn Engine>,
    id: String,
    removed: bool,
}

impl Made {
    /// Takes charge of a container that was just created.
    pub fn new(engine: Arc<dyn Engine>, id: String) -> Made {
        Made { engine, id, removed: false }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// Removes it; what it mounts stays. If it cannot be removed now, that is tried once more in the background.
    pub async fn remove(mut self) -> Result<()> {
        let outcome = self.engine.container_remove(&self.id, false).await;
        self.removed = outcome.is_ok();
        outcome
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Without a runtime the process is ending.
        let (false, Ok(runtime)) = (self.removed, tokio::runtime::Handle::try_current()) else { return };
        let (engine, id) = (Arc::clone(&self.engine), std::mem::take(&mut self.id));
        runtime.spawn(async move {
            if let Err(error) = engine.container_remove(&id, false).await {
                tracing::warn!(id, error = %error.chain(), "a helper container stays behind until the next start");
            }
        });
    }
}
