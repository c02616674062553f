//! Files of a snapshot put back where they belong, beside whatever is there now.
//!
//! Invariants (law L7): what is there stays and is named, unless it may be replaced, and then only after a safety backup of the
//! app as it is, or of the place alone if no container of it mounts that; what was written is read back, or it is said that it was
//! not. Files of a server that are whole only with its log are never put back without that being said: the log is laid over them by a
//! restore alone.

use super::{Asked, OpenFile, Place, apart, body};
use crate::{
    apps::app_id,
    house::House,
    jobs::{Claim, Desk, Order},
    listing::path,
    safety::{self, Of},
    words::size,
};
use async_trait::async_trait;
use holdfast_docker::{
    ByteStream, Engine,
    mover::{Mounted, Over},
};
use holdfast_model::{
    Error, Kind, Problem, Result, SnapshotId,
    job::{JobKind, JobView},
    view::{PutRequest, SectionView},
};
use holdfast_repository::Meter;
use holdfast_restore::{Files, Replaced, Where, folder_of_volume, leads_elsewhere, put_files};
use std::sync::Arc;

/// What is mounted to write into it.
enum Into {
    Volume(String),
    Folder(String),
}

impl Into {
    /// The folder of the host that is written to, if it is one.
    async fn folder(&self, engine: &dyn Engine) -> Result<Option<String>> {
        match self {
            Into::Folder(path) => Ok(Some(path.clone())),
            Into::Volume(name) => folder_of_volume(engine, name).await,
        }
    }
}

/// What will be done.
struct Case {
    asked: Asked,
    host: String,
    app: String,
    /// Whether the app was a compose project.
    project: bool,
    into: Into,
    /// Path that it will have.
    path: Vec<u8>,
    /// What has to be said of it, whatever comes of it.
    warnings: Vec<Problem>,
    engine: Arc<dyn Engine>,
}

/// Accepts files to be put back. Errors: those of [`open`](super::open); `Refused` (`files.no_place`) for parts that nothing can be put
/// into; `NotFound` (`volume.gone`).
pub async fn request(house: &Arc<House>, snapshot: &str, request: PutRequest) -> Result<JobView> {
    let case = prepare(house, snapshot, &request).await?;
    let subject = app_id(&case.host, &case.app);
    let order = Order { kind: JobKind::Restore, subject: subject.clone(), claim: Claim::Restore(subject) };
    let house_of_job = house.clone();
    let desk = house.jobs.add(
        order,
        Box::new(move |desk| Box::pin(async move { run(&house_of_job, &desk, case, request.replace).await })),
    )?;
    Ok(desk.view())
}

async fn prepare(house: &Arc<House>, snapshot: &str, request: &PutRequest) -> Result<Case> {
    let PutRequest { section, path, to, from, .. } = request;
    let asked = Asked { snapshot: snapshot.into(), section: section.clone(), path: path.clone(), from: *from };
    let place = Place::find(house, &asked)?;
    let into = into(&place)?;
    let (host, app, project) = (place.snapshot.host.clone(), place.snapshot.app.clone(), place.snapshot.project);
    let warnings = without_log(&place.section.view, &place.path, &place.snapshot.id);
    let target = match to {
        Some(to) => path::read(to)?,
        None => place.path.clone(),
    };
    // The job puts back what was shown, also when a newer snapshot comes before it begins.
    let asked = Asked { snapshot: place.snapshot.id.to_string(), ..asked };
    open(house, &asked).await?;
    let engine = house.hosts.engine(&host).await?;
    if let Into::Volume(name) = &into {
        // Mounting a name that is not there would make a new, empty volume.
        engine.volume_inspect(name).await.map_err(|error| match error.kind() {
            Kind::NotFound => Error::not_found("volume.gone", format!("volume {name} is not on host {host} any more"))
                .advice("Restore the volume, or download the file."),
            _ => error,
        })?;
    }
    Ok(Case { asked, host, app, project, into, path: target, warnings, engine })
}

/// Files of servers, of all that is chosen, that are whole only with a log, which stays behind.
fn without_log(view: &SectionView, chosen: &[u8], snapshot: &SnapshotId) -> Vec<Problem> {
    let chosen = path::show(chosen);
    let is_in = |path: &str, folder: &str| path == folder || path::is_below(path.as_bytes(), folder.as_bytes());
    let advice = match view.kind.as_str() {
        "volume" => {
            format!("restore the volume, which lays its log too (holdfast restore {snapshot} --volume {})", view.name)
        }
        _ => format!("restore the app, which lays its log too (holdfast restore {snapshot})"),
    };
    let met = view.logged.iter().filter(|folder| is_in(&chosen, &folder.path) || is_in(&folder.path, &chosen));
    met.map(|folder| {
        let text = format!(
            "{} wrote while its files were read, so what was put back of them is whole only with its log, which was not laid over them",
            folder.server
        );
        Problem::warning("database.files_alone", &view.section, text)
            .advice(format!("Let no server start on them: {advice}."))
    })
    .collect()
}

fn into(place: &Place) -> Result<Into> {
    let view = &place.section.view;
    match view.kind.as_str() {
        "volume" => Ok(Into::Volume(view.name.clone())),
        "bind" if view.folder => Ok(Into::Folder(view.name.clone())),
        _ => {
            let text = format!("nothing can be put back into {}", view.section);
            let advice = "Files go back into volumes and folders of the host. Download it, or restore the app.";
            Err(Error::new(Kind::Refused, "files.no_place", text).advice(advice))
        }
    }
}

async fn open(house: &Arc<House>, asked: &Asked) -> Result<OpenFile> {
    let place = Place::find(house, asked)?;
    apart(house, body::open_any(place, Arc::clone(&house.looks.sending))).await
}

async fn run(house: &Arc<House>, desk: &Arc<Desk>, case: Case, replace: bool) -> Result<String> {
    let _hold = house.repository().hold();
    desk.snapshot(&snapshot_id(house, &case)?);
    if replace {
        desk.phase("safety", 1, 2);
        let replaced = match &case.into {
            Into::Volume(name) => Replaced { volumes: vec![name.clone()], ..Replaced::default() },
            Into::Folder(path) => Replaced { paths: vec![path.clone()], ..Replaced::default() },
        };
        let of = Of { engine: &*case.engine, host: &case.host, app: &case.app, project: case.project };
        if let Some(lost) = safety::save(house, desk, of, &replaced).await? {
            return Err(safety::incomplete(&lost).advice("Move it elsewhere first, or give the files another path."));
        }
        desk.snapshot(&snapshot_id(house, &case)?);
    }
    desk.phase("files", 2, 2);
    let files: Arc<dyn Files> =
        Arc::new(Chosen { house: house.clone(), desk: desk.clone(), asked: case.asked.clone() });
    desk.problems(case.warnings.clone());
    let before = desk.moved_bytes();
    if let Some(folder) = case.into.folder(&*case.engine).await? {
        let snapshot = crate::snapshots::find(house, &case.asked.snapshot)?.snapshot;
        leads_elsewhere(&case.engine, &house.owner(), &snapshot, &folder).await?;
    }
    let mounted = match &case.into {
        Into::Volume(name) => Mounted::Volume(name),
        Into::Folder(path) => Mounted::HostPath(path),
    };
    let to = Where { mounted, path: &case.path };
    let over = if replace { Over::Replace } else { Over::Keep };
    let put = put_files(&case.engine, &house.owner(), to, (&files, over), desk.stop()).await;
    desk.problems(house.repository().take_healed());
    let put = put?;
    desk.problems(put.problems);
    let (name, into) = (path::show(&case.path), &case.asked.section);
    let what = if name.is_empty() { format!("everything of {into}") } else { format!("{into}/{name}") };
    let bytes = size(desk.moved_bytes() - before);
    Ok(match (put.is_whole, put.is_read_back) {
        (true, true) => format!("{what} is back, {bytes}, read back"),
        (true, false) => format!("{what} is back, {bytes}, not proved by reading it back"),
        (false, _) => format!("{what}: not all of it is back"),
    })
}

fn snapshot_id(house: &House, case: &Case) -> Result<SnapshotId> {
    Ok(crate::snapshots::find(house, &case.asked.snapshot)?.snapshot.id.clone())
}

/// What was chosen, read from the repository.
struct Chosen {
    house: Arc<House>,
    desk: Arc<Desk>,
    asked: Asked,
}

#[async_trait]
impl Files for Chosen {
    async fn tar(&self, title: &[u8]) -> Result<ByteStream> {
        open(&self.house, &self.asked).await?.tar_as(title.to_vec()).await
    }
    fn wrote(&self, bytes: u64) {
        self.desk.moved(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::{Moment, view::LoggedFolder};

    #[test]
    fn files_of_a_server_are_not_put_back_without_a_word_of_its_log() {
        let folder = LoggedFolder { path: "15/main".into(), server: "PostgreSQL in container db".into() };
        let view = SectionView {
            section: "volume:data".into(),
            kind: "volume".into(),
            name: "data".into(),
            folder: true,
            entries: 1,
            bytes: 1,
            readable: true,
            reason: None,
            logged: vec![folder],
        };
        let id = SnapshotId::new(Moment::from_millis(1_000), [7; 10]);
        for chosen in ["", "15", "15/main", "15/main/base/1/2"] {
            let told = without_log(&view, chosen.as_bytes(), &id);
            assert_eq!(told.len(), 1, "{chosen}");
            assert_eq!(told[0].code, "database.files_alone");
            assert!(told[0].message.starts_with("PostgreSQL in container db wrote"), "{}", told[0].message);
            let advice = told[0].advice.clone().unwrap();
            assert!(advice.contains(&format!("holdfast restore {id} --volume data")), "{advice}");
        }
        for chosen in ["14", "15/main.old", "15/maintenance", "1"] {
            assert!(without_log(&view, chosen.as_bytes(), &id).is_empty(), "{chosen}");
        }
        let bind = SectionView { kind: "bind".into(), name: "/srv/pg".into(), ..view };
        let advice = without_log(&bind, b"", &id)[0].advice.clone().unwrap();
        assert!(advice.contains(&format!("(holdfast restore {id})")), "{advice}");
    }
}
