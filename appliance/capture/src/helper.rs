//! Created, never started containers through which volumes and host paths are read where no mover may run.
//!
//! They are made from an empty image built in memory: nothing is pulled and nothing runs on the host.
//! Each carries [`HELPER_LABEL`] with its owner, so that what a crash leaves behind is found and removed.

use futures::{StreamExt, stream};
use holdfast_docker::{
    ByteStream, Engine, HELPER_LABEL, archive,
    mover::{self, Mounted, PLACE},
};
use holdfast_model::{Error, Kind, Result};
use holdfast_runtime::random;
use serde_json::{Value, json};
use std::sync::Arc;

/// The empty image.
const IMAGE: &str = "holdfast/empty:1";
/// A helper container; removed by [`Helper::close`], and in the background when dropped.
pub(crate) struct Helper {
    engine: Arc<dyn Engine>,
    id: String,
    closed: bool,
}

impl Helper {
    /// Makes a helper that mounts something read-only. A host path that is not there is `bind.missing`.
    pub(crate) async fn open(engine: Arc<dyn Engine>, owner: &str, mounted: Mounted<'_>) -> Result<Helper> {
        let name = format!("holdfast-read-{}", hex::encode(random::<6>()));
        let body = body(owner, mounted);
        let made = match engine.container_create(&name, &body).await {
            Err(error) if error.kind() == Kind::NotFound => {
                load_image(&*engine).await?;
                engine.container_create(&name, &body).await
            }
            other => other,
        };
        let id = made.map_err(|error| explain(error, mounted))?;
        Ok(Helper { engine, id, closed: false })
    }

    /// What it mounts, as a tar whose entries lie under `v`.
    pub(crate) async fn read(&self) -> Result<ByteStream> {
        self.engine.archive_get(&self.id, PLACE).await
    }

    /// Removes it.
    pub(crate) async fn close(mut self) -> Result<()> {
        let outcome = self.engine.container_remove(&self.id, false).await;
        self.closed = outcome.is_ok();
        outcome
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        // Without a runtime the process is ending: the sweep at the next start finds the helper.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (engine, id) = (self.engine.clone(), self.id.clone());
            runtime.spawn(async move {
                if let Err(error) = engine.container_remove(&id, false).await {
                    tracing::warn!(error = %error.chain(), "a helper container stays behind until the next start");
                }
            });
        }
    }
}

/// Removes helpers of this owner that a crash left on a host; returns how many.
pub async fn sweep_helpers(engine: &dyn Engine, owner: &str) -> Result<usize> {
    let mut removed = 0;
    for found in engine.container_list().await? {
        let ours = found["Labels"].get(HELPER_LABEL).and_then(Value::as_str) == Some(owner);
        let Some(id) = found["Id"].as_str().filter(|_| ours) else { continue };
        engine.container_remove(id, false).await?;
        removed += 1;
    }
    mover::remove_old_images(engine).await?;
    Ok(removed)
}

fn body(owner: &str, mounted: Mounted<'_>) -> Value {
    json!({
        "Image": IMAGE,
        // Engines want a command even for what never runs.
        "Cmd": ["/never-started"],
        "Labels": { HELPER_LABEL: owner },
        "NetworkDisabled": true,
        "HostConfig": {
            "Mounts": [mounted.body(PLACE)],
            "NetworkMode": "none",
            "ReadonlyRootfs": true,
            "CapDrop": ["ALL"],
            "LogConfig": { "Type": "none" },
        },
    })
}

async fn load_image(engine: &dyn Engine) -> Result<()> {
    let info = engine.info().await?;
    let (os, architecture) = info.platform.split_once('/').unwrap_or(("linux", "amd64"));
    let config = json!({
        "architecture": architecture,
        "os": os,
        "created": "1970-01-01T00:00:00Z",
        "config": { "Labels": { HELPER_LABEL: "image" } },
    });
    let bytes = archive::image(IMAGE, &config, &[]);
    engine
        .image_load(stream::iter([Ok(bytes.into())]).boxed())
        .await
        .map_err(|error| error.while_doing("load the empty image that volumes are read through"))
}

/// An engine's refusal in words about what was to be mounted.
pub(crate) fn explain(error: Error, mounted: Mounted<'_>) -> Error {
    match mounted {
        Mounted::HostPath(path) if error.kind() == Kind::Invalid && error.chain().contains("does not exist") => {
            Error::not_found("bind.missing", format!("the host path {path} does not exist")).caused_by(error)
        }
        Mounted::HostPath(path) => error.while_doing(format!("mount host path {path} to read it")),
        Mounted::Volume(name) => error.while_doing(format!("mount volume {name} to read it")),
        Mounted::Memory => error,
    }
}
