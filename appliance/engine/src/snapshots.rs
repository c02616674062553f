//! Snapshots as people see them: lists, contents, finding one.
//!
//! Never here: how they are stored. Invariant: lists are oldest first; an ambiguous wish is refused.

use crate::{
    apps::{Facts, app_id, newest},
    house::House,
    listing::path,
    words::{count, meant, size},
};
use holdfast_model::{
    Error, Moment, Result,
    snapshot::{DatabaseFile, DatabaseSection, Readiness, RunState, Snapshot},
    view::{ContentView, DatabaseView, SnapshotDetail, SnapshotView},
};
use holdfast_repository::Entry;

/// All snapshots, or those of one app, oldest first; with `forgotten` those alone that somebody forgot.
pub fn list(house: &House, app: Option<&str>, forgotten: bool) -> Result<Vec<SnapshotView>> {
    let wanted = app.map(|app| Facts::gather(house).resolve(app)).transpose()?;
    let entries: Vec<Entry> = match forgotten {
        true => house.forgotten().into_iter().map(|(entry, _)| entry).collect(),
        false => house.entries(),
    };
    let is_wanted =
        |entry: &&Entry| wanted.as_ref().is_none_or(|id| *id == app_id(&entry.snapshot.host, &entry.snapshot.app));
    // Once for all of them: each alone would look at what all need.
    let locked = house.repository().locked();
    let until = |entry: &Entry| locked.get(&entry.snapshot.id).copied();
    Ok(entries.iter().filter(is_wanted).map(|entry| shown(house, entry, until(entry))).collect())
}

/// A compose file made of what a snapshot says, and a name to save it under.
pub fn compose(house: &House, asked: &str) -> Result<(String, String)> {
    let snapshot = find(house, asked)?.snapshot;
    Ok((format!("{}.compose.yaml", path::save_as(snapshot.app.as_bytes())), holdfast_restore::compose(&snapshot)?))
}

/// One by id, by a unique beginning of it, or as `latest:APP`: the newest restore point of the app.
pub fn find(house: &House, asked: &str) -> Result<Entry> {
    let Some(app) = asked.strip_prefix("latest:") else {
        return house.entry(asked);
    };
    let facts = Facts::gather(house);
    let app = facts.resolve(app)?;
    let newest = facts.snapshots.get(&app).and_then(|entries| newest(entries)).cloned();
    newest.ok_or_else(|| {
        Error::not_found("snapshot.none", format!("{app} has no snapshot yet")).advice("Back it up first.")
    })
}

/// One with its contents.
pub fn detail(house: &House, asked: &str) -> Result<SnapshotDetail> {
    let entry = find(house, asked)?;
    Ok(SnapshotDetail {
        snapshot: view(house, &entry),
        engine: entry.snapshot.engine.clone(),
        contents: contents(&entry.snapshot),
    })
}

/// A snapshot as in lists.
pub fn view(house: &House, entry: &Entry) -> SnapshotView {
    shown(house, entry, house.repository().locked_until(&entry.snapshot.id))
}

fn shown(house: &House, entry: &Entry, locked_until: Option<Moment>) -> SnapshotView {
    let snapshot = &entry.snapshot;
    SnapshotView {
        id: snapshot.id.clone(),
        app: snapshot.app.clone(),
        host: snapshot.host.clone(),
        time: snapshot.time,
        consistency: snapshot.consistency,
        fidelity: snapshot.fidelity,
        databases: snapshot.databases.iter().map(database).collect(),
        trigger: snapshot.trigger,
        policy: snapshot.policy.clone(),
        bytes_logical: snapshot.stats.bytes_logical,
        bytes_new: snapshot.stats.bytes_new,
        state: entry.state,
        problems: snapshot.problems.clone(),
        stats: snapshot.stats.clone(),
        forgotten_until: house.settings().forgotten_until(&snapshot.id),
        locked_until,
    }
}

fn database(section: &DatabaseSection) -> DatabaseView {
    DatabaseView {
        container: section.container.clone(),
        file: section.file.as_ref().map(place_of),
        kind: section.kind,
        version: section.version.clone(),
        readiness: section.readiness,
        dump_bytes: section.dump.as_ref().map(|dump| dump.length),
    }
}

fn place_of(file: &DatabaseFile) -> String {
    format!("{}/{}", file.place, file.path)
}

/// Refuses a volume that the snapshot does not have, naming those it has.
pub fn check_volume(snapshot: &Snapshot, volume: &str) -> Result<()> {
    let names = || snapshot.volumes.iter().map(|one| one.name.as_str());
    if names().any(|name| name == volume) {
        return Ok(());
    }
    let advice = meant(volume, "It has:", names());
    Err(Error::not_found("volume.unknown", format!("the snapshot has no volume “{volume}”")).advice(advice))
}

fn contents(snapshot: &Snapshot) -> Vec<ContentView> {
    let mut contents = Vec::new();
    for one in &snapshot.containers {
        let state = match one.state {
            RunState::Running => "running",
            RunState::Paused => "paused",
            RunState::Stopped => "stopped",
        };
        let changes = count(one.change_count(), "change");
        let bytes = one.layer.iter().map(|part| part.stream.length).sum();
        contents.push(content(
            "container",
            &one.name,
            format!("{state}, {changes} in its own layer"),
            Some(bytes),
            true,
        ));
    }
    for image in &snapshot.images {
        let name = image.tags.first().unwrap_or(&image.id);
        let layers = count(image.diff_ids.len() as u64, "layer");
        contents.push(content("image", name, layers, Some(image.bytes), !image.parts.is_empty()));
    }
    for volume in &snapshot.volumes {
        let kind = if volume.anonymous { "anonymous" } else { "named" };
        let entries = volume.stream.as_ref().map_or(0, |stream| stream.entries);
        let bytes = volume.stream.as_ref().map(|stream| stream.length);
        let detail = format!("{kind}, {}", count_entries(entries));
        contents.push(content("volume", &volume.name, detail, bytes, volume.stream.is_some()));
    }
    for bind in &snapshot.binds {
        let kind = if bind.directory { "directory of the host" } else { "file of the host" };
        let bytes = bind.stream.as_ref().map(|stream| stream.length);
        contents.push(content("bind", &bind.source, kind.into(), bytes, bind.stream.is_some()));
    }
    for database in &snapshot.databases {
        let version = match (&database.version, &database.file) {
            (Some(version), _) => format!(" {version}"),
            (None, Some(_)) => String::new(),
            (None, None) => " version unknown".to_owned(),
        };
        let detail = format!("{}{version}: {}", database.kind.title(), readiness(database));
        let kept = database.dump.as_ref().or(database.log.as_ref().map(|log| &log.stream));
        let bytes = kept.map(|stream| stream.length);
        let trusted = database.readiness != Readiness::Live || database.dump.is_some();
        let name = database.file.as_ref().map_or_else(|| database.container.clone(), place_of);
        contents.push(content("database", &name, detail, bytes, trusted));
    }
    for network in &snapshot.networks {
        contents.push(content("network", &network.name, "settings and addresses".into(), None, true));
    }
    contents
}

fn readiness(database: &DatabaseSection) -> &'static str {
    match (database.readiness, &database.dump) {
        (Readiness::Prepared, None) => "its files are whole",
        (Readiness::Prepared, Some(_)) => "its files are whole; with a dump",
        (Readiness::Crash, None) => "its files are as after a power cut",
        (Readiness::Crash, Some(_)) => "its files are as after a power cut; with a dump",
        (Readiness::Stopped, None) => "its files are those of a clean end",
        (Readiness::Stopped, Some(_)) => "its files are those of a clean end; with a dump",
        (Readiness::Live, None) if database.file.is_some() => "read while the app could write to it",
        (Readiness::Live, None) => "its files were read while it wrote",
        (Readiness::Live, Some(_)) => "its files were read while it wrote; its dump is replayed over them",
        (Readiness::Logged, None) => "its files were read in its backup mode; its log makes them whole",
        (Readiness::Logged, Some(_)) => "its files were read in its backup mode; its log makes them whole; with a dump",
    }
}

fn content(kind: &str, name: &str, detail: String, bytes: Option<u64>, captured: bool) -> ContentView {
    let detail = match bytes {
        Some(bytes) if captured => format!("{detail}, {}", size(bytes)),
        _ if captured => detail,
        _ => format!("{detail}, not captured"),
    };
    ContentView { kind: kind.into(), name: name.into(), detail, bytes, captured }
}

fn count_entries(entries: u64) -> String {
    if entries == 1 { "1 entry".into() } else { format!("{entries} entries") }
}
