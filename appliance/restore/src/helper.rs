//! The helper: a container without content that is never started, and through which volumes are written.
//!
//! Its image is made in memory and has no layer; nothing of it can run. It carries
//! [`labels`], so that one that a crash left is found and removed.

use crate::json::{child, object};
use futures::StreamExt;
use holdfast_docker::{EMPTY_IMAGE, Engine, Made, NEVER, helper_name, labels, load_empty_image};
use holdfast_model::{Kind, Result};
use holdfast_tar::{MemberKind, Step, Walker};
use serde_json::{Value, json};
use std::sync::Arc;

/// Where the helper has the volume.
pub(crate) const MOUNT: &str = "/v";

/// A helper on a host.
pub(crate) struct Helper(Made);

impl Helper {
    /// Makes a helper that has `source` (a volume's name or a path of the host) at [`MOUNT`], writable.
    pub(crate) async fn make(engine: &Arc<dyn Engine>, owner: &str, source: &str) -> Result<Helper> {
        let (key, value) = mounted(source);
        // Paths of the host belong to users of the host.
        let users = if source.starts_with('/') { "host" } else { "" };
        Helper::asking(engine, owner, &json!({ key: value, "UsernsMode": users })).await
    }

    /// Makes a helper with a part of a host configuration of its own. The engine's refusal is the error.
    pub(crate) async fn asking(engine: &Arc<dyn Engine>, owner: &str, host_config: &Value) -> Result<Helper> {
        ensure_image(engine.as_ref()).await?;
        let name = helper_name("restore");
        let mut body = json!({
            "Image": EMPTY_IMAGE,
            "Cmd": [NEVER],
            "Labels": labels(owner),
            "NetworkDisabled": true,
            "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}},
        });
        for (key, value) in host_config.as_object().into_iter().flatten() {
            object(child(&mut body, "HostConfig")).insert(key.clone(), value.clone());
        }
        let id = engine.container_create(&name, &body).await?;
        Ok(Helper(Made::new(Arc::clone(engine), id)))
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        self.0.id()
    }

    /// What lies at a path of it, by the head of its archive; `None` if nothing does.
    pub(crate) async fn kind(&self, path: &str) -> Result<Option<MemberKind>> {
        let mut archive = match self.0.engine().archive_get(self.id(), path).await {
            Ok(archive) => archive,
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut walker = Walker::new();
        while let Some(bytes) = archive.next().await {
            walker.feed(bytes?);
            if let Some(Step::Open(member)) = walker.step()? {
                return Ok(Some(member.kind));
            }
        }
        Ok(None)
    }

    /// Removes it; the volume stays. The restore need not fail for one that cannot be removed now.
    pub(crate) async fn remove(self) {
        if let Err(error) = self.0.remove().await {
            tracing::warn!(error = error.chain(), "a helper container could not be removed yet");
        }
    }
}

/// A bind makes a folder of the host that is not there; but a colon in its path would end it early.
fn mounted(source: &str) -> (&'static str, Value) {
    if source.contains(':') {
        ("Mounts", json!([{"Type": "bind", "Source": source, "Target": MOUNT}]))
    } else {
        ("Binds", json!([format!("{source}:{MOUNT}")]))
    }
}

async fn ensure_image(engine: &dyn Engine) -> Result<()> {
    match engine.image_inspect(EMPTY_IMAGE).await {
        Err(error) if error.kind() == Kind::NotFound => load_empty_image(engine).await,
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_in_a_path_is_part_of_the_path() {
        assert_eq!(mounted("data"), ("Binds", json!(["data:/v"])));
        let (key, mounts) = mounted("/srv/a:b");
        assert_eq!((key, mounts[0]["Source"].as_str()), ("Mounts", Some("/srv/a:b")));
    }
}
