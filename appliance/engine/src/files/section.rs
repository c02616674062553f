//! The sections of a snapshot that hold files: volumes, host paths, what containers changed; and dumps of databases.
//!
//! The one place that turns manifest parts into names that people use and streams that listings read.

use crate::{
    listing::{Naming, path},
    words::near,
};
use holdfast_model::{
    Error, Result,
    snapshot::{DatabaseKind, DatabaseSection, Snapshot, StreamRef},
    view::{LoggedFolder, SectionView},
};

/// Name under which trees of volumes and host paths are stored.
const ROOT: &[u8] = b"v";

/// A section.
pub struct Section {
    /// As people see it.
    pub view: SectionView,
    /// Where its files lie.
    pub streams: Vec<(StreamRef, Naming)>,
    /// What its root is called in an archive.
    pub root: Vec<u8>,
    /// It is one file, stored as it is and in no archive.
    pub plain: Option<StreamRef>,
}

/// Everything that can be downloaded: those that hold files, and dumps and logs of databases.
pub fn everything(snapshot: &Snapshot) -> Vec<Section> {
    let dumps = snapshot.databases.iter().filter_map(|database| Some(dump(database, database.dump.as_ref()?)));
    let logs = snapshot.databases.iter().filter_map(|database| Some(log(database, &database.log.as_ref()?.stream)));
    all(snapshot).into_iter().chain(dumps).chain(logs).collect()
}

/// What has to lie over a server's files, for who takes them out by hand.
fn log(database: &DatabaseSection, stream: &StreamRef) -> Section {
    whole(format!("{}.postgres.log.tar", database.container), stream)
}

fn dump(database: &DatabaseSection, stream: &StreamRef) -> Section {
    let (kind, ending) = match database.kind {
        DatabaseKind::Postgres => ("postgres", "sql"),
        DatabaseKind::Mysql => ("mysql", "sql"),
        DatabaseKind::Redis => ("redis", "rdb"),
        DatabaseKind::Mongodb => ("mongodb", "archive"),
        DatabaseKind::Sqlite | DatabaseKind::Unknown => ("database", "dump"),
    };
    whole(format!("{}.{kind}.{ending}", database.container), stream)
}

fn whole(name: String, stream: &StreamRef) -> Section {
    let mut section = section("dump", &name, false, Vec::new());
    let view = &mut section.view;
    (view.entries, view.bytes, view.readable, view.reason) = (1, stream.length, true, None);
    section.plain = Some(stream.clone());
    section
}

/// All that hold files, in the manifest's order.
pub fn all(snapshot: &Snapshot) -> Vec<Section> {
    let mut sections = Vec::new();
    for volume in &snapshot.volumes {
        let streams = volume.stream.iter().map(under_root).collect();
        let mut section = section("volume", &volume.name, true, streams);
        section.view.logged = logged(&snapshot.databases, &volume.name);
        sections.push(section);
    }
    for bind in &snapshot.binds {
        let streams = bind.stream.iter().map(under_root).collect();
        let mut section = section("bind", &bind.source, bind.directory, streams);
        section.view.logged = logged(&snapshot.databases, &bind.source);
        sections.push(section);
    }
    for container in &snapshot.containers {
        let into = |path: &str| Naming::Into(path.trim_matches('/').as_bytes().to_vec());
        let parts = container.layer.iter().map(|part| (part.stream.clone(), into(&part.into)));
        let streams: Vec<_> = parts.collect();
        if !streams.is_empty() {
            sections.push(section("container", &container.name, true, streams));
        }
    }
    sections
}

/// Folders in a place (a volume's name or a path of the host) whose files are whole only with a server's log.
fn logged(databases: &[DatabaseSection], place: &str) -> Vec<LoggedFolder> {
    let logs = databases.iter().filter_map(|database| Some((database, database.log.as_ref()?)));
    logs.filter(|(_, log)| log.place == place)
        .map(|(database, log)| LoggedFolder {
            path: path::show(log.folder.as_bytes()),
            server: format!("{} in container {}", database.kind.title(), database.container),
        })
        .collect()
}

/// One of them that can be looked into. `NotFound` (`files.section`), `Refused` (`files.unreadable`).
pub fn find(snapshot: &Snapshot, asked: &str) -> Result<Section> {
    let mut sections = everything(snapshot);
    let Some(place) = sections.iter().position(|one| one.view.section == asked) else {
        let names = || sections.iter().map(|one| one.view.section.as_str());
        let near = near(asked, names());
        let listed: Vec<&str> = names().take(10).collect();
        let advice = match (near.is_empty(), listed.is_empty()) {
            (false, _) => format!("Did you mean {}?", near.join(" or ")),
            (true, false) => format!("It has: {}.", listed.join(", ")),
            (true, true) => "It holds no files.".into(),
        };
        let what = format!("the snapshot has no part “{}”", path::show(asked.as_bytes()));
        return Err(Error::not_found("files.section", what).advice(advice));
    };
    let section = sections.swap_remove(place);
    match &section.view.reason {
        Some(reason) => {
            let what = format!("{} cannot be looked into: {reason}", section.view.section);
            Err(Error::new(holdfast_model::Kind::Refused, "files.unreadable", what))
        }
        None => Ok(section),
    }
}

fn under_root(stream: &StreamRef) -> (StreamRef, Naming) {
    (stream.clone(), Naming::Under(ROOT))
}

fn section(kind: &str, name: &str, folder: bool, streams: Vec<(StreamRef, Naming)>) -> Section {
    let unsplit = streams.iter().any(|(stream, _)| stream.unsplit || stream.entries == 0);
    let reason = match (streams.is_empty(), unsplit) {
        (true, _) => Some("its content was not captured".to_owned()),
        (false, true) => Some("it is stored as one piece, because its archive could not be understood".to_owned()),
        (false, false) => None,
    };
    let view = SectionView {
        section: format!("{kind}:{name}"),
        kind: kind.into(),
        name: name.into(),
        folder,
        entries: streams.iter().fold(0, |sum, (stream, _)| sum.saturating_add(stream.entries)),
        bytes: streams.iter().fold(0, |sum, (stream, _)| sum.saturating_add(stream.length)),
        readable: reason.is_none(),
        reason,
        logged: Vec::new(),
    };
    let last = path::last(name.trim_end_matches('/').as_bytes()).to_vec();
    let root = if path::is_plain(&last) { last } else { b"files".to_vec() };
    Section { view, streams, root, plain: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::snapshot::{DatabaseLog, Readiness};

    #[test]
    fn files_of_a_server_that_are_whole_only_with_its_log_are_told_where_they_lie() {
        let database = |container: &str, log: Option<DatabaseLog>| DatabaseSection {
            container: container.into(),
            kind: DatabaseKind::Postgres,
            version: None,
            readiness: Readiness::Logged,
            dump: None,
            log,
            file: None,
        };
        let log = |place: &str| {
            Some(DatabaseLog { place: place.into(), folder: "15/main".into(), stream: StreamRef::default() })
        };
        let databases = [database("db", log("data")), database("other", log("/srv/pg")), database("dumped", None)];
        let told = |container: &str| LoggedFolder {
            path: "15/main".into(),
            server: format!("PostgreSQL in container {container}"),
        };
        assert_eq!(logged(&databases, "data"), [told("db")]);
        assert_eq!(logged(&databases, "/srv/pg"), [told("other")]);
        assert!(logged(&databases, "elsewhere").is_empty());
    }
}
