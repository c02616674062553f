//! Files of a snapshot put back where they belong, beside whatever is there now.
//!
//! Invariants (law L7): what is there stays and is named, unless it may be replaced, and then only after a safety backup of the
//! app as it is; what was written is read back, or it is said that it was not.

use super::{Asked, OpenFile, Place, apart, body};
use crate::{
    apps::app_id,
    house::House,
    jobs::{Claim, Desk, Order},
    listing::path,
    restore,
    words::size,
};
use async_trait::async_trait;
use holdfast_docker::{
    ByteStream, Engine,
    mover::{Mounted, Over},
};
use holdfast_model::{
    Error, Kind, Result,
    job::{JobKind, JobView},
    view::PutRequest,
};
use holdfast_repository::Meter;
use holdfast_restore::{Files, Where, folder_of_volume, leads_elsewhere, put_files};
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
    into: Into,
    /// Path that it will have.
    path: Vec<u8>,
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
    let (host, app) = (place.snapshot.host.clone(), place.snapshot.app.clone());
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
    Ok(Case { asked, host, app, into, path: target, engine })
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
        if !restore::safety_of(house, desk, (&*case.engine, &case.host, &case.app)).await? {
            return Err(nothing_to_save(&case));
        }
        desk.snapshot(&snapshot_id(house, &case)?);
    }
    desk.phase("files", 2, 2);
    let files: Arc<dyn Files> =
        Arc::new(Chosen { house: house.clone(), desk: desk.clone(), asked: case.asked.clone() });
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

/// What would be replaced belongs to an app that is not there: no backup of it can be taken first.
fn nothing_to_save(case: &Case) -> Error {
    let text = format!(
        "{} is not on host {}, so what would be replaced cannot be backed up first; nothing was changed",
        case.app, case.host
    );
    Error::new(Kind::Refused, "files.no_safety", text)
        .advice("Put it back without replacing anything, under another path if need be, or restore the app.")
}

fn snapshot_id(house: &House, case: &Case) -> Result<holdfast_model::SnapshotId> {
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
