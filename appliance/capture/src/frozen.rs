//! Containers that are frozen while their engine says that they run.
//!
//! An engine that is killed in the middle of a pause may have frozen a container without having written that down (seen on Docker
//! with `live-restore`). After its return it refuses to let go what it does not call paused, and to pause what does not run. Only a
//! command in the container tells it, which the runtime refuses, and only a new start frees it. That hurts: but nothing runs in
//! there until it is done.

use futures::StreamExt;
use holdfast_docker::{Engine, Exec, Said};
use holdfast_model::{Error, Kind, Result};
use std::time::Duration;

/// What is said of a command in a frozen container: by the runtime "… in a paused container", by its shim "… in a paused state".
const REFUSAL: &str = "cannot exec in a paused";
/// A command in one that is not frozen has mostly ended by then; old runtimes let one in a frozen container wait.
const LONGEST: Duration = Duration::from_secs(10);
/// Bytes of an answer that are looked at.
const ANSWER: usize = 4096;
/// Seconds for an end of its own, which nothing frozen has.
const STOP_SECONDS: u32 = 1;

/// Whether a container that is called running is frozen. One in which nobody may run a command counts as running, aloud. `Unavailable` if
/// the host is away or the command does not end: then nobody knows, and it is asked again.
pub(crate) async fn is_frozen(engine: &dyn Engine, id: &str) -> Result<bool> {
    match tokio::time::timeout(LONGEST, said(engine, id)).await {
        Ok(Ok(said)) => Ok(said.contains(REFUSAL)),
        Ok(Err(error)) if error.kind() == Kind::Unavailable => Err(error),
        Ok(Err(error)) if error.chain().contains(REFUSAL) => Ok(true),
        Ok(Err(error)) => {
            tracing::warn!(id, error = %error.chain(), "whether its engine left this container frozen cannot be told; it counts as running");
            Ok(false)
        }
        Err(_) => Err(silent()),
    }
}

async fn said(engine: &dyn Engine, id: &str) -> Result<String> {
    let command = ["true".to_owned()];
    let mut running = engine.exec_start(id, Exec::new(&command)).await?;
    let mut answer = Vec::new();
    while let Some(said) = running.output.next().await {
        let (Said::Out(bytes) | Said::Err(bytes)) = said?;
        answer.extend(bytes.iter().take(ANSWER.saturating_sub(answer.len())));
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn silent() -> Error {
    let text = "a command in it does not end, so nobody knows whether its engine, which was killed, left it frozen";
    Error::new(Kind::Unavailable, "container.silent", text).advice("If nothing runs in it, restart the container.")
}

/// Starts a frozen container anew.
pub(crate) async fn free(engine: &dyn Engine, id: &str, name: &str) -> Result<()> {
    tracing::warn!(
        container = name,
        "its engine was killed while it paused this container, and says now that it runs: it is started anew to be free"
    );
    let done = engine.container_restart(id, STOP_SECONDS).await;
    done.map_err(|error| {
        error.while_doing(format!("container {name} is frozen without its engine's knowledge; start it anew"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_and_its_shim_are_understood() {
        let runtime = "OCI runtime exec failed: exec failed: cannot exec in a paused container (use --ignore-paused to override): unknown";
        for said in [runtime, "cannot exec in a paused state: unknown"] {
            assert!(said.contains(REFUSAL), "{said}");
        }
    }
}
