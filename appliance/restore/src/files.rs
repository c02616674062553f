//! Writes stored archives into containers that do not run, and host paths through helpers.

use crate::{
    archive,
    carry::Hand,
    deed::{FileDeed, PathDeed},
    fill,
    helper::{Helper, MOUNT},
    streams::{self, Cause},
    verify::{self, Compared, Tolerance},
};
use holdfast_model::{Error, Problem, Result, snapshot::StreamRef};

/// Unpacks a stored archive into `into` of a container. With `name`, the archive is one file that goes
/// under that name (relative to `into`).
pub(crate) async fn write(hand: &Hand, id: &str, into: &str, stream: &StreamRef, name: Option<String>) -> Result<()> {
    let cause = Cause::default();
    let stored = streams::open(&hand.source, stream, &hand.stop, &cause).await?;
    let tar = match name {
        Some(name) => archive::renamed(stored, name),
        None if stream.tree => archive::without_sockets(stored),
        None => stored,
    };
    cause.explain(hand.engine.archive_put(id, into, tar).await)
}

/// Reads `path` of a container back and compares it with the stored archive.
pub(crate) async fn verify(
    hand: &Hand,
    id: &str,
    path: &str,
    stream: &StreamRef,
    tolerance: &Tolerance,
) -> Result<Compared> {
    let tolerance = &Tolerance { owners_untold: !hand.tells_owners, ..tolerance.clone() };
    // The same engine gives the same bytes, and one reading will do; trees were not told by an engine.
    if hand.same_engine && !stream.tree && tolerance.renamed.is_none() && !tolerance.extra {
        let present = hand.engine.archive_get(id, path).await?;
        if verify::sha256(present, &hand.stop).await? == stream.sha256 {
            return Ok(Compared::default());
        }
    }
    let present = hand.engine.archive_get(id, path).await?;
    let stored = hand.source.open(stream).await?;
    verify::compare(stored, present, tolerance, &hand.stop).await
}

/// Writes a path of the host back and reads it back. Returns a note if the host has more there.
pub(crate) async fn restore_path(hand: &Hand, path: &PathDeed) -> Result<Vec<Problem>> {
    let (folder, file) = if path.directory { (path.source.as_str(), None) } else { split(&path.source) };
    let failed = |error: Error| error.while_doing(format!("{} could not be restored", path.source));
    if !hand.true_archives {
        let (compared, reduced) = fill::overwrite(hand, folder, &path.stream, file).await.map_err(failed)?;
        if file.is_some() {
            verify_file(hand, path).await.map_err(failed)?;
        }
        return Ok(more(path, &compared).into_iter().chain(reduced).collect());
    }
    let helper = Helper::make(&hand.engine, &hand.owner, folder).await?;
    let done = async {
        let (at, name, tolerance) = match file {
            None => (MOUNT.to_owned(), None, Tolerance { extra: true, ..Tolerance::default() }),
            Some(file) => {
                let renamed = Some((MOUNT.trim_start_matches('/').to_owned(), file.to_owned()));
                let at = format!("{MOUNT}/{file}");
                (at.clone(), Some(at.trim_start_matches('/').to_owned()), Tolerance { renamed, ..Tolerance::default() })
            }
        };
        write(hand, helper.id(), "/", &path.stream, name).await?;
        verify(hand, helper.id(), &at, &path.stream, &tolerance).await
    };
    let done = done.await;
    helper.remove().await;
    Ok(more(path, &done.map_err(failed)?).into_iter().collect())
}

/// Reads a single file of the host back by a mover.
async fn verify_file(hand: &Hand, path: &PathDeed) -> Result<()> {
    let present = fill::file(hand, &path.source).await?;
    let stored = hand.source.open(&path.stream).await?;
    verify::compare(stored, present, &Tolerance::default(), &hand.stop).await.map(drop)
}

fn more(path: &PathDeed, compared: &Compared) -> Option<Problem> {
    (compared.extra > 0).then(|| {
        let what = match compared.extra {
            1 => "one file or folder is there that the snapshot does not have, and stays".to_owned(),
            count => format!("{count} files and folders are there that the snapshot does not have, and stay"),
        };
        Problem::note("bind.extra", &path.source, format!("under {} {what}", path.source))
    })
}

/// Writes a file into a container that was created and not started.
pub(crate) async fn restore_file(hand: &Hand, id: &str, file: &FileDeed) -> Result<()> {
    let name = file.path.trim_start_matches('/').to_owned();
    let done = async {
        write(hand, id, "/", &file.stream, Some(name)).await?;
        let (_, base) = split(&file.path);
        let renamed = base.map(|base| (MOUNT.trim_start_matches('/').to_owned(), base.to_owned()));
        verify(hand, id, &file.path, &file.stream, &Tolerance { renamed, ..Tolerance::default() }).await
    };
    done.await.map(drop).map_err(|error| error.while_doing(format!("the file {} could not be restored", file.path)))
}

/// A path's folder and last component.
fn split(path: &str) -> (&str, Option<&str>) {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", file)) => ("/", Some(file)),
        Some((folder, file)) => (folder, Some(file)),
        None => ("/", Some(path)),
    }
}
