//! A container that we made on a host and that has to go again, whatever happens to whoever made it.
//!
//! It is removed by [`Made::remove`], and in the background when dropped. What neither reaches is remembered, and found by
//! its labels ([`labels`]) by whoever sweeps: they say whose it is and which life of the appliance made it, so that what is at
//! work now is never taken for left over.

use crate::{Engine, HELPER_LABEL};
use holdfast_model::{Kind, Result};
use holdfast_runtime::random;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

/// Label with the life of the process that made a container.
pub(crate) const LIFE_LABEL: &str = "io.holdfast.life";

static LIFE: LazyLock<String> = LazyLock::new(|| hex::encode(random::<8>()));

/// Labels of a container that is made now for an owner, the appliance's id.
pub fn labels(owner: &str) -> Value {
    json!({ HELPER_LABEL: owner, LIFE_LABEL: *LIFE })
}

/// Containers of this life that could not be removed: their host was gone.
static LEFT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn left() -> MutexGuard<'static, BTreeSet<String>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a listed container is this owner's, and of an earlier life or one that could not be removed.
pub fn is_left_over(listed: &Value, owner: &str) -> bool {
    let label = |name: &str| listed["Labels"].get(name).and_then(Value::as_str);
    let was_given_up = || listed["Id"].as_str().is_some_and(|id| left().contains(id));
    label(HELPER_LABEL) == Some(owner) && (label(LIFE_LABEL) != Some(LIFE.as_str()) || was_given_up())
}

/// Whether containers of this life wait somewhere to be swept.
pub fn is_any_left() -> bool {
    !left().is_empty()
}

/// A container that was left over is gone.
pub fn swept(id: &str) {
    left().remove(id);
}

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
            match engine.container_remove(&id, false).await {
                Err(error) if error.kind() != Kind::NotFound => {
                    tracing::warn!(id, error = %error.chain(), "a helper container stays behind until its host answers");
                    left().insert(id);
                }
                _ => {}
            }
        });
    }
}
