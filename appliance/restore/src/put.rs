//! Chosen files put back into a volume or folder that goes on being used.
//!
//! Invariants: what is there already is left alone and named, unless it may be replaced; a file is replaced as a whole, never
//! written into; what was written is read back.

use crate::{
    archive,
    helper::{Helper, MOUNT},
    streams::{Cause, watched},
    verify::{self, Tolerance},
};
use async_trait::async_trait;
use holdfast_docker::{
    ByteStream, Engine,
    mover::{Mounted, Mover, Over},
};
use holdfast_model::{Kind, Problem, Result};
use holdfast_runtime::{Stop, random};
use std::sync::Arc;

/// The files, as often as they are needed.
#[async_trait]
pub trait Files: Send + Sync {
    /// A tar of them; what was chosen is called `title` in it.
    async fn tar(&self, title: &[u8]) -> Result<ByteStream>;
    /// Counts bytes written to the host.
    fn wrote(&self, bytes: u64);
}

/// Where files go.
#[derive(Clone, Copy, Debug)]
pub struct Where<'a> {
    /// Name of a volume that is there, or a folder of the host.
    pub mounted: Mounted<'a>,
    /// Path in it that what was chosen will have; empty for its root.
    pub path: &'a [u8],
}

/// Puts files where they belong. The answer is what was left as it was, or is not as it was stored. `Unavailable` (`mover.…`) if
/// the host does not let a helper write.
pub async fn put_files(
    engine: &Arc<dyn Engine>,
    owner: &str,
    to: Where<'_>,
    (files, over): (&Arc<dyn Files>, Over),
    stop: &Stop,
) -> Result<Vec<Problem>> {
    let root = MOUNT.trim_start_matches('/').as_bytes();
    let title = if to.path.is_empty() { root.to_vec() } else { [root, b"/", to.path].concat() };
    let name = format!("holdfast-restore-{}", hex::encode(random::<6>()));
    let (mover, line) = Mover::writer(Arc::clone(engine), &name, owner, to.mounted, over).await?;
    let cause = Cause::default();
    let written = async {
        let counted = Arc::clone(files);
        let tar = watched(files.tar(&title).await?, move |bytes| counted.wrote(bytes), stop, &cause);
        cause.explain(mover.fill(line, tar).await)
    };
    let written = written.await;
    if let Err(error) = mover.close().await {
        tracing::warn!(error = error.chain(), "a helper container could not be removed yet");
    }
    match written? {
        Some(complaints) => Ok(vec![left(&complaints)]),
        None => Ok(unread(read_back(engine, owner, to, &**files, stop).await?)),
    }
}

/// Reads back what was written, if the engine can be asked for it: `Some` tells why not.
async fn read_back(
    engine: &Arc<dyn Engine>,
    owner: &str,
    to: Where<'_>,
    files: &dyn Files,
    stop: &Stop,
) -> Result<Option<String>> {
    let Ok(path) = std::str::from_utf8(to.path) else { return Ok(Some("its name is no text".to_owned())) };
    if engine.info().await?.product == "podman" {
        return Ok(Some("Podman's archive interface does not tell owners".to_owned()));
    }
    let (at, title) = match path.rsplit('/').next().filter(|last| !last.is_empty()) {
        None => (MOUNT.to_owned(), MOUNT.trim_start_matches('/')),
        Some(last) => (format!("{MOUNT}/{path}"), last),
    };
    let (Mounted::Volume(source) | Mounted::HostPath(source)) = to.mounted else { return Ok(None) };
    let helper = Helper::make(engine, owner, source).await?;
    let compared = async {
        let stored = archive::without_sockets(files.tar(title.as_bytes()).await?);
        let present = engine.archive_get(helper.id(), &at).await?;
        let tolerance = Tolerance { extra: true, ..Tolerance::default() };
        verify::compare(stored, present, &tolerance, stop).await
    };
    let compared = compared.await;
    helper.remove().await;
    match compared {
        Ok(_) => Ok(None),
        // A running app may write at once what it was given back.
        Err(error) if error.kind() == Kind::Corrupt => Ok(Some(error.chain())),
        Err(error) => Err(error),
    }
}

fn unread(why: Option<String>) -> Vec<Problem> {
    let told = |why: String| {
        let text = format!("what was put back was not found again as it was stored: {why}");
        Problem::warning("files.not_verified", "files", text)
            .advice("If the app did not change it meanwhile, put it back once more.")
    };
    why.map(told).into_iter().collect()
}

fn left(complaints: &str) -> Problem {
    let lines: Vec<_> = complaints.lines().map(|line| line.trim_start_matches("holdfast-mover: ")).collect();
    let text = format!("not everything was put back: {}", lines.join("; "));
    Problem::warning("files.left", "files", text)
        .advice("What is there already stays unless it may be replaced: --replace, or the box in the web interface.")
}
