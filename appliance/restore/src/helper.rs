//! The helper: a container without content that is never started, and through which volumes are written.
//!
//! Its image is made in memory and has no layer; nothing of it can run. It carries
//! [`HELPER_LABEL`], so that one that a crash left is found and removed.

use holdfast_docker::{Engine, HELPER_LABEL, archive};
use holdfast_model::{Kind, Result};
use holdfast_runtime::random;
use serde_json::json;
use std::sync::Arc;

/// The image without layers.
const IMAGE: &str = "holdfast/empty:1";
/// Where the helper has the volume.
pub(crate) const MOUNT: &str = "/v";

/// A helper on a host; removed by [`Helper::remove`], or when dropped.
pub(crate) struct Helper {
    engine: Arc<dyn Engine>,
    id: Option<String>,
}

impl Helper {
    /// Makes a helper that has `source` (a volume's name or a path of the host) at [`MOUNT`], writable.
    pub(crate) async fn make(engine: &Arc<dyn Engine>, owner: &str, source: &str) -> Result<Helper> {
        ensure_image(engine.as_ref()).await?;
        let name = format!("holdfast-restore-{}", hex::encode(random::<6>()));
        let body = json!({
            "Image": IMAGE,
            "Cmd": ["/never"],
            "Labels": {HELPER_LABEL: owner},
            "NetworkDisabled": true,
            "HostConfig": {"Binds": [format!("{source}:{MOUNT}")], "NetworkMode": "none", "LogConfig": {"Type": "none"}},
        });
        let id = engine.container_create(&name, &body).await?;
        Ok(Helper { engine: Arc::clone(engine), id: Some(id) })
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Removes it; the volume stays.
    pub(crate) async fn remove(mut self) {
        if let Some(id) = self.id.take() {
            discard(self.engine.as_ref(), &id).await;
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) else { return };
        let engine = Arc::clone(&self.engine);
        runtime.spawn(async move { discard(engine.as_ref(), &id).await });
    }
}

/// A helper that stays is found by its label at the next start; the restore need not fail for it.
async fn discard(engine: &dyn Engine, id: &str) {
    if let Err(error) = engine.container_remove(id, false).await {
        tracing::warn!(helper = id, error = error.chain(), "a helper container could not be removed yet");
    }
}

async fn ensure_image(engine: &dyn Engine) -> Result<()> {
    match engine.image_inspect(IMAGE).await {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    let platform = engine.info().await?.platform;
    let architecture = platform.split('/').nth(1).unwrap_or("amd64");
    let config = json!({"architecture": architecture, "os": "linux", "config": {}});
    let bytes = archive::image(IMAGE, &config, &[]);
    engine.image_load(Box::pin(futures::stream::iter([Ok(bytes.into())]))).await
}
