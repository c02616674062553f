//! Chosen files put back into a volume or folder that goes on being used.
//!
//! Invariants: what is there already is left alone and named, unless it may be replaced; a file is replaced as a whole, never
//! written into; what was written is read back, or it is said that it was not, and why.

use crate::{
    archive,
    fill::{leave, name},
    helper::{Helper, MOUNT},
    streams::{Cause, watched},
    verify::{self, Tolerance},
};
use async_trait::async_trait;
use holdfast_docker::{
    ByteStream, Engine,
    mover::{Mounted, Mover, Over},
};
use holdfast_model::{Problem, Result};
use holdfast_runtime::Stop;
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

/// What became of it.
#[derive(Clone, Debug)]
pub struct Put {
    /// Whether everything was written.
    pub is_whole: bool,
    /// Whether it was read back and is what was stored.
    pub is_read_back: bool,
    /// What was left as it was, is not as it was stored, or was not looked at again.
    pub problems: Vec<Problem>,
}

/// Puts files where they belong. `Unavailable` (`mover.…`) if the host does not let a helper write.
pub async fn put_files(
    engine: &Arc<dyn Engine>,
    owner: &str,
    to: Where<'_>,
    (files, over): (&Arc<dyn Files>, Over),
    stop: &Stop,
) -> Result<Put> {
    let root = MOUNT.trim_start_matches('/').as_bytes();
    let title = if to.path.is_empty() { root.to_vec() } else { [root, b"/", to.path].concat() };
    let (mover, line) = Mover::writer(Arc::clone(engine), &name(), owner, to.mounted, over).await?;
    let cause = Cause::default();
    let written = async {
        let counted = Arc::clone(files);
        let tar = watched(files.tar(&title).await?, move |bytes| counted.wrote(bytes), stop, &cause);
        cause.explain(mover.fill(line, tar).await)
    };
    let written = written.await;
    leave(mover).await;
    if let Some(complaints) = written? {
        return Ok(Put { is_whole: false, is_read_back: false, problems: vec![left(&complaints)] });
    }
    let problem = match read_back(engine, owner, to, &**files, stop).await? {
        Seen::Same => None,
        Seen::Other(what) => Some(differs(&what)),
        Seen::Not(why) => Some(unread(why)),
    };
    Ok(Put { is_whole: true, is_read_back: problem.is_none(), problems: problem.into_iter().collect() })
}

/// What was found when it was read back.
enum Seen {
    Same,
    Other(String),
    /// It was not looked at, for this reason.
    Not(&'static str),
}

async fn read_back(
    engine: &Arc<dyn Engine>,
    owner: &str,
    to: Where<'_>,
    files: &dyn Files,
    stop: &Stop,
) -> Result<Seen> {
    let Ok(path) = std::str::from_utf8(to.path) else { return Ok(Seen::Not("its name is no text")) };
    let (Mounted::Volume(source) | Mounted::HostPath(source)) = to.mounted else {
        return Ok(Seen::Not("it lies in memory"));
    };
    if !engine.info().await?.has_true_archives() {
        return Ok(Seen::Not("the engine's archive interface does not tell owners as they are"));
    }
    let (at, title) = match path.rsplit('/').next().filter(|last| !last.is_empty()) {
        None => (MOUNT.to_owned(), MOUNT.trim_start_matches('/')),
        Some(last) => (format!("{MOUNT}/{path}"), last),
    };
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
        Ok(_) => Ok(Seen::Same),
        // A running app may change or remove at once what it was given back.
        Err(error) if matches!(error.code(), "restore.mismatch" | "path.not_found") => Ok(Seen::Other(error.chain())),
        Err(error) => Err(error.while_doing("it was written, and could not be read back")),
    }
}

fn differs(what: &str) -> Problem {
    let text = format!("what was put back was not found again as it was stored: {what}");
    Problem::warning("files.not_verified", "files", text)
        .advice("If the app did not change it meanwhile, put it back once more.")
}

fn unread(why: &str) -> Problem {
    let text = format!("what was put back is on the disk and was not read back: {why}");
    Problem::note("files.not_read_back", "files", text)
}

fn left(complaints: &str) -> Problem {
    let lines: Vec<_> = complaints.lines().map(|line| line.trim_start_matches("holdfast-mover: ")).collect();
    let text = format!("not everything was put back: {}", lines.join("; "));
    Problem::warning("files.left", "files", text)
        .advice("What is there already stays unless it may be replaced: --replace, or the box in the web interface.")
}
