//! The writable layer: which changed paths are read, and reading them out of the container itself.
//!
//! Mount points and what the engine puts into every container are left out. A new directory is read
//! whole; a changed one gives its attributes only, its changed entries come apart.

mod paths;

use crate::{
    Sink, StreamKind,
    hold::gone,
    member::Member,
    peek::{Head, alone, peek},
};
use holdfast_docker::Engine;
use holdfast_model::{
    Kind, Problem, Result,
    snapshot::{LayerChange, LayerPart},
};
use paths::{Wanted, choose};

/// Changes and contents of a member's writable layer.
pub(crate) struct Layer {
    pub(crate) changes: Vec<LayerChange>,
    pub(crate) parts: Vec<LayerPart>,
    pub(crate) problems: Vec<Problem>,
}

/// Reads a member's writable layer.
pub(crate) async fn read(engine: &dyn Engine, sink: &dyn Sink, member: &Member) -> Result<Layer> {
    sink.item(&format!("writable layer of {}", member.name));
    let changes = engine.container_changes(&member.id).await.map_err(|error| {
        gone(&member.name, error).while_doing(format!("list the changed files of container {}", member.name))
    })?;
    let mount_points: Vec<String> = member.mounts().into_iter().map(|mount| mount.destination).collect();
    let choice = choose(&changes, &mount_points);
    let mut problems = choice.problems(&member.name);
    let mut parts = Vec::new();
    for wanted in &choice.wanted {
        match part(engine, sink, member, wanted).await {
            Ok(part) => parts.extend(part),
            Err(error) if error.code() == "path.not_found" => problems.push(Problem::note(
                "layer.path_gone",
                &member.name,
                format!("{} of {} was removed while the app was being captured", wanted.path, member.name),
            )),
            Err(error) => {
                let doing = format!("read {} of container {}", wanted.path, member.name);
                return Err(gone(&member.name, error).while_doing(doing));
            }
        }
    }
    let changes = changes.into_iter().map(|(path, kind)| LayerChange { path, kind }).collect();
    Ok(Layer { changes, parts, problems })
}

/// `None` for sockets: they hold no data and Docker's archives leave them out.
async fn part(engine: &dyn Engine, sink: &dyn Sink, member: &Member, wanted: &Wanted) -> Result<Option<LayerPart>> {
    let (into, _) = wanted.path.rsplit_once('/').unwrap_or_default();
    let into = if into.is_empty() { "/" } else { into }.to_owned();
    let label = format!("container {} {}", member.name, wanted.path);
    let peeked = peek(engine.archive_get(&member.id, &wanted.path).await?).await?;
    let bytes = match peeked.head {
        Head::Empty => return Ok(None),
        Head::Directory if !wanted.whole => alone(peeked.headers),
        _ => peeked.stream,
    };
    let stream = match sink.store(&label, StreamKind::Tar, bytes).await {
        // A log that was rotated at this moment: once more.
        Err(error) if error.kind() == Kind::Corrupt && error.code() == "stream.short" => {
            let again = engine.archive_get(&member.id, &wanted.path).await?;
            sink.store(&label, StreamKind::Tar, again).await?
        }
        outcome => outcome?,
    };
    Ok(Some(LayerPart { into, stream }))
}
