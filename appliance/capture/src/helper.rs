//! Created, never started containers through which volumes and host paths are read where no mover may run.
//!
//! They are made from an empty image built in memory: nothing is pulled and nothing runs on the host.
//! Each carries [`labels`], so that what a crash leaves behind is found and removed.

use holdfast_docker::{
    ByteStream, EMPTY_IMAGE, Engine, Made, NEVER, helper_name, is_left_over, labels, load_empty_image,
    mover::{self, Mounted, PLACE},
    swept,
};
use holdfast_model::{Error, Kind, Result};
use serde_json::{Value, json};
use std::sync::Arc;

/// A helper container.
pub(crate) enum Helper {
    /// Created, read through the engine's archive.
    Archive(Made),
    /// A mover for each reading of a single file of the host, where the engine's archives are not true.
    File { engine: Arc<dyn Engine>, owner: String, path: String },
}

impl Helper {
    /// Makes a helper that mounts something read-only. A host path that is not there is `bind.missing`.
    pub(crate) async fn open(engine: Arc<dyn Engine>, owner: &str, mounted: Mounted<'_>) -> Result<Helper> {
        let name = helper_name("read");
        let body = body(owner, mounted);
        let made = match engine.container_create(&name, &body).await {
            Err(error) if error.kind() == Kind::NotFound => {
                load_empty_image(&*engine).await?;
                engine.container_create(&name, &body).await
            }
            other => other,
        };
        let id = made.map_err(|error| explain(error, mounted))?;
        Ok(Helper::Archive(Made::new(engine, id)))
    }

    /// Reads a single file without the engine's archive.
    pub(crate) fn file(engine: Arc<dyn Engine>, owner: &str, path: &str) -> Helper {
        Helper::File { engine, owner: owner.to_owned(), path: path.to_owned() }
    }

    /// What it mounts, as a tar whose entries lie under `v`.
    pub(crate) async fn read(&self) -> Result<ByteStream> {
        match self {
            Helper::Archive(made) => made.engine().archive_get(made.id(), PLACE).await,
            Helper::File { engine, owner, path } => {
                let name = helper_name("read");
                mover::Mover::file(engine.clone(), &name, owner, Mounted::HostPath(path)).await
            }
        }
    }

    /// Removes it.
    pub(crate) async fn close(self) -> Result<()> {
        match self {
            Helper::Archive(made) => made.remove().await,
            Helper::File { .. } => Ok(()),
        }
    }
}

/// Removes helpers of this owner that a crash, or a host that went away, left on a host; returns how many. One that cannot
/// be removed keeps no other from it; the last such error is told.
pub async fn sweep_helpers(engine: &dyn Engine, owner: &str) -> Result<usize> {
    let mut removed = Ok(0);
    for found in engine.container_list().await? {
        let Some(id) = found["Id"].as_str().filter(|_| is_left_over(&found, owner)) else { continue };
        match engine.container_remove(id, false).await {
            Err(error) if error.kind() != Kind::NotFound => removed = Err(error),
            _ => {
                swept(id);
                removed = removed.map(|count| count + 1);
            }
        }
    }
    // They are in nobody's way, and a proxy may forbid to look at images.
    if let Err(error) = mover::remove_old_images(engine).await {
        tracing::warn!(error = %error.chain(), "images of earlier movers may remain on the host");
    }
    removed
}

fn body(owner: &str, mounted: Mounted<'_>) -> Value {
    json!({
        "Image": EMPTY_IMAGE,
        "Cmd": [NEVER],
        "Labels": labels(owner),
        "NetworkDisabled": true,
        "HostConfig": {
            "Mounts": [mounted.body(PLACE)],
            "NetworkMode": "none",
            "ReadonlyRootfs": true,
            "CapDrop": ["ALL"],
            "LogConfig": { "Type": "none" },
            "UsernsMode": mounted.users(),
        },
    })
}

/// An engine's refusal in words about what was to be mounted.
pub(crate) fn explain(error: Error, mounted: Mounted<'_>) -> Error {
    match mounted {
        Mounted::HostPath(path) if is_absent(&error, path) => {
            Error::not_found("bind.missing", format!("the host path {path} does not exist")).caused_by(error)
        }
        Mounted::HostPath(path) => error.while_doing(format!("mount host path {path} to read it")),
        Mounted::Volume(name) => error.while_doing(format!("mount volume {name} to read it")),
        Mounted::Memory => error,
    }
}

/// Whether the engine says that a host path is not there: in Docker's words or in Podman's, which name the path they mean. Other things may
/// be missing too.
fn is_absent(error: &Error, path: &str) -> bool {
    let said = error.chain();
    // Podman names it without the slash at its end.
    let path = path.trim_end_matches('/');
    (error.kind() == Kind::Invalid && said.contains("does not exist"))
        || said.contains(&format!(" {path}: no such file or directory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_path_that_is_not_there_is_told_in_the_words_of_both_engines() {
        let docker = "invalid mount config for type \"bind\": bind source path does not exist: /srv/a";
        let podman = "host zoo refused container x: statfs /srv/a: no such file or directory (status 500)";
        let missing = "exec: \"/mover\": stat /srv/a/b: no such file or directory (status 400)";
        let code = |kind: Kind, said: &str| {
            let error = Error::new(kind, "host.failed", said.to_owned());
            explain(error, Mounted::HostPath("/srv/a")).code().to_owned()
        };
        assert_eq!(code(Kind::Invalid, docker), "bind.missing");
        assert_eq!(code(Kind::Unavailable, podman), "bind.missing");
        let error = Error::new(Kind::Unavailable, "host.failed", podman);
        assert_eq!(explain(error, Mounted::HostPath("/srv/a/")).code(), "bind.missing");
        assert_eq!(code(Kind::Invalid, missing), "host.failed", "something else is missing");
        assert_eq!(code(Kind::Unavailable, docker), "host.failed");
    }
}
