//! Places alone: volumes and host paths that no container of an app mounts, read before something takes away what they hold.
//!
//! Nobody is held and nobody is asked, for the app is not there, or not there in them. Whoever else mounts them goes on meanwhile; what
//! changes while it is read is told as of any app that runs.
//!
//! Invariants: every place that is there is captured or named; a volume that is not there is an error and is never made; a host path
//! that is not there has nothing to keep.

use crate::{
    Ask, Captured, Sink,
    data::{self, Bind, Opened, Volume},
    reach::Reader,
    run::{Piece, READS_AT_ONCE, logical, lowest, nothing_yet, place, reader, until_stopped},
};
use futures::{
    StreamExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, FuturesUnordered},
};
use holdfast_docker::{Engine, is_helper};
use holdfast_model::{Problem, Result, policy::Consistency};
use holdfast_runtime::{Clock, Stop};
use serde_json::Value;
use std::{path::Path, sync::Arc};

const PHASES: u32 = 2;

/// What is read of an app that is not there, or of which no container mounts it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Whether the app is a compose project.
    pub project: bool,
    /// Names of volumes.
    pub volumes: Vec<String>,
    /// Paths of the host.
    pub paths: Vec<String>,
}

/// Captures places: no containers, no images, no networks. `ask` says whose they are; its consistency, hooks and databases have no say.
/// Errors: `NotFound` (`volume.gone`), `Stopped`; those of a volume that cannot be read.
pub async fn capture_places(
    engine: Arc<dyn Engine>,
    ask: Ask,
    places: &Places,
    sink: Arc<dyn Sink>,
    clock: &Clock,
    stop: &Stop,
) -> Result<Captured> {
    let info = until_stopped(stop, engine.info()).await?;
    let mut ask = Ask { consistency: Consistency::None, ..ask };
    let reader = reader((&engine, &sink), &mut ask, &info);
    sink.phase("inspect", 1, PHASES);
    let mut captured = nothing_yet(info, clock.now(), places.project);
    captured.problems.push(no_app(&ask.app));
    captured.problems.extend(in_use(&until_stopped(stop, engine.container_list()).await?, places));
    let named = data::named(&*engine, (&places.volumes, &places.paths), &ask.app, &mut captured.problems);
    let (volumes, binds) = until_stopped(stop, named).await?;
    let ways = async { Ok((reader.open_volumes(volumes).await, reader.open_binds(binds).await)) };
    let (volumes, binds) = until_stopped(stop, ways).await?;
    sink.phase("data", 2, PHASES);
    let pieces = until_stopped(stop, read(&reader, &volumes, &binds)).await;
    volumes.into_iter().map(Opened::close).collect::<FuturesUnordered<_>>().collect::<()>().await;
    binds.into_iter().map(Opened::close).collect::<FuturesUnordered<_>>().collect::<()>().await;
    for piece in pieces? {
        place(&mut captured, piece);
    }
    forget_missing(&mut captured);
    captured.problems.extend(reader.reduction(&ask.host));
    captured.fidelity = lowest(&captured);
    captured.volumes.sort_by(|a, b| a.name.cmp(&b.name));
    captured.binds.sort_by(|a, b| a.source.cmp(&b.source));
    captured.bytes_logical = logical(&captured);
    Ok(captured)
}

async fn read(reader: &Reader, volumes: &[Opened<Volume>], binds: &[Opened<Bind>]) -> Result<Vec<Piece>> {
    let mut reads: Vec<BoxFuture<'_, Result<Piece>>> = Vec::new();
    for volume in volumes {
        reads.push(Box::pin(async move {
            let (section, problems) = reader.volume(volume).await?.await?;
            Ok(Piece::Volume(section, problems))
        }));
    }
    for bind in binds {
        reads.push(Box::pin(async move {
            let (section, problems) = reader.bind(bind).await?.await?;
            Ok(Piece::Bind(section, problems))
        }));
    }
    stream::iter(reads).buffer_unordered(READS_AT_ONCE).try_collect().await
}

/// What tells such a snapshot from those of the app.
fn no_app(app: &str) -> Problem {
    let text = format!(
        "this holds only places whose content was about to be replaced and that no container of {app} mounted; it is no restore point of {app}"
    );
    Problem::note("snapshot.places", app, text).advice(
        "Restore it in place, or one of its volumes, to have their content back; files of host paths go back with holdfast files put.",
    )
}

/// Whoever runs and mounts such a place is not held: what he writes meanwhile may be torn, files of databases first.
fn in_use(listing: &[Value], places: &Places) -> Vec<Problem> {
    let running = listing.iter().filter(|item| item["State"] == "running" && !is_helper(item));
    let mounts = running.flat_map(|item| item["Mounts"].as_array().into_iter().flatten());
    let writable: Vec<&Value> = mounts.filter(|mount| mount["RW"] != Value::Bool(false)).collect();
    let is_mounted = |path: &str| {
        let binds = writable.iter().filter(|mount| mount["Type"] == "bind");
        binds.filter_map(|mount| mount["Source"].as_str()).any(|source| source != "/" && overlap(source, path))
    };
    let volumes = places.volumes.iter().filter(|name| writable.iter().any(|mount| mount["Name"] == name.as_str()));
    let paths = places.paths.iter().filter(|path| is_mounted(path));
    let told = |name: &String| {
        let text = format!("{name} was read while a container that mounts it runs and may write there");
        Problem::warning("place.in_use", name, text).advice("Stop whoever uses it and do it again, if that matters.")
    };
    volumes.chain(paths).map(told).collect()
}

/// Whether one of two paths leads into the other.
fn overlap(one: &str, other: &str) -> bool {
    let (one, other) = (Path::new(one), Path::new(other));
    one.starts_with(other) || other.starts_with(one)
}

/// Of an app's own paths it has to be told that one is not there; of these nobody knows whether it ever was.
fn forget_missing(captured: &mut Captured) {
    let Captured { problems, binds, .. } = captured;
    problems.retain(|problem| problem.code != "bind.missing");
    binds.retain(|bind| bind.stream.is_some() || problems.iter().any(|problem| problem.subject == bind.source));
}
