//! The durable note of what a restore put aside (law L6): one fsynced file per restore under way.
//!
//! Invariants: the note is on disk before the first container is touched; it is marked before the first
//! byte that was there is replaced and before a new container starts; it leaves the disk when the app
//! stands or all is back. A note of which nobody in this process works is left over: containers are put
//! back while nothing is replaced, and named exactly afterwards.

use crate::deed::OldDeed;
use holdfast_docker::Engine;
use holdfast_model::{Error, Kind, Problem, Result};
use holdfast_runtime::random;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Restores under way in this process: (host, app). Claims of jobs keep it to one for each.
static AT_WORK: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());
/// Notes of any use are small; a larger file is not ours.
const SIZE_LIMIT: u64 = 16 << 20;

/// Where a restore keeps its note.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Folder of notes; made if it is not there.
    pub folder: PathBuf,
    /// Registered name of the host.
    pub host: String,
}

/// How far a restore has come, as far as the way back goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Containers are stopped and renamed, nothing is replaced: all can be put back.
    Aside,
    /// Data that was there is gone, or new containers run.
    Replaced,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Content {
    host: String,
    app: String,
    stage: Stage,
    old: Vec<OldDeed>,
    /// Ids of new containers.
    made: Vec<String>,
}

/// A note in force. Dropped without its end, it is left over.
#[derive(Debug)]
pub(crate) struct Note {
    trace: Trace,
    path: PathBuf,
    content: Content,
}

impl Note {
    /// Writes the note down; when this returns, it survives a power cut.
    pub(crate) async fn begin(trace: &Trace, app: &str, old: Vec<OldDeed>) -> Result<Note> {
        let content =
            Content { host: trace.host.clone(), app: app.to_owned(), stage: Stage::Aside, old, made: Vec::new() };
        at_work().insert((content.host.clone(), content.app.clone()));
        let path = trace.folder.join(format!("{}.json", hex::encode(random::<8>())));
        let note = Note { trace: trace.clone(), path, content };
        note.write().await?;
        Ok(note)
    }

    /// A new container was made.
    pub(crate) async fn made(&mut self, id: &str) -> Result<()> {
        self.content.made.push(id.to_owned());
        self.write().await
    }

    /// From here on nothing can be put back.
    pub(crate) async fn replaced(&mut self) -> Result<()> {
        if self.content.stage == Stage::Replaced {
            return Ok(());
        }
        self.content.stage = Stage::Replaced;
        self.write().await
    }

    /// All is back as it was: the note goes.
    pub(crate) async fn end(self) {
        let path = self.path.clone();
        forget(vec![path]).await;
    }

    /// The app stands: the note goes, with those that earlier restores of this app left.
    pub(crate) async fn end_all(self) {
        let (host, app) = (&self.content.host, &self.content.app);
        let notes = read_all(&self.trace.folder).into_iter();
        let ours = notes.filter(|(_, note)| note.host == *host && note.app == *app).map(|(path, _)| path);
        let ours = ours.chain([self.path.clone()]).collect();
        forget(ours).await;
    }

    async fn write(&self) -> Result<()> {
        let bytes =
            serde_json::to_vec(&self.content).map_err(|error| Error::bug("a note is not JSON").caused_by(error))?;
        let (folder, path) = (self.trace.folder.clone(), self.path.clone());
        let written = tokio::task::spawn_blocking(move || write_durably(&folder, &path, &bytes)).await;
        let written = written.map_err(|error| Error::bug("the note's disk work did not end").caused_by(error))?;
        written.map_err(|error| Error::io("write down which containers are put aside", error))
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        at_work().remove(&(self.content.host.clone(), self.content.app.clone()));
    }
}

/// Puts containers back that a killed restore on this host had put aside, as long as nothing was replaced.
/// Returns each app with what became of it; an error keeps the note for the next try.
pub async fn put_back(folder: &Path, host: &str, engine: &dyn Engine) -> Vec<(String, Result<()>)> {
    let mut outcomes = Vec::new();
    for (path, note) in left_over(folder) {
        if note.host != host || note.stage != Stage::Aside {
            continue;
        }
        let outcome = undo(engine, &note).await;
        if outcome.is_ok() {
            forget(vec![path]).await;
        }
        outcomes.push((note.app, outcome));
    }
    outcomes
}

/// Restores that were killed and are not put back: what stands where, and what to do.
pub fn unfinished(folder: &Path) -> Vec<Problem> {
    left_over(folder).iter().map(|(_, note)| told(note)).collect()
}

fn told(note: &Content) -> Problem {
    let subject = format!("{}/{}", note.host, note.app);
    let name = |old: &OldDeed| match old.aside == old.name {
        true => old.name.clone(),
        false => format!("{} (now {} or {})", old.name, old.aside, old.name),
    };
    let all = note.old.iter().map(name).collect::<Vec<_>>().join(", ");
    if note.stage == Stage::Aside {
        let words = format!("a restore of {} was killed before it replaced anything; still put aside: {all}", note.app);
        return Problem::error("restore.aside", subject, words)
            .advice("They are put back and started as soon as the host answers.");
    }
    let words = format!(
        "a restore of {} was killed after it began to replace data, so nothing was put back; its old containers: {all}",
        note.app
    );
    Problem::error("restore.half", subject, words).advice(
        "Restore the app in place once more, from the same snapshot or from the safety snapshot; that also takes these containers away.",
    )
}

async fn undo(engine: &dyn Engine, note: &Content) -> Result<()> {
    for id in &note.made {
        engine.container_remove(id, false).await?;
    }
    for old in &note.old {
        let Some(name) = name(engine, &old.id).await? else { continue };
        if name == old.aside && name != old.name {
            let renamed = engine.container_rename(&old.id, &old.name).await;
            renamed.map_err(|error| error.while_doing(format!("container {} is still called {name}", old.name)))?;
        }
    }
    let mut first = Ok(());
    for old in note.old.iter().filter(|old| old.running) {
        let started = match engine.container_start(&old.id).await {
            Err(error) if error.kind() == Kind::NotFound && name(engine, &old.id).await?.is_none() => Ok(()),
            other => other,
        };
        let started = started.map_err(|error| error.while_doing(format!("container {} does not run again", old.name)));
        // All are tried: one may need another that comes later.
        first = first.and(started);
    }
    first
}

/// The container's name now; `None` if it is gone.
async fn name(engine: &dyn Engine, id: &str) -> Result<Option<String>> {
    let text = match engine.container_inspect(id).await {
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        other => other?,
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        Error::new(Kind::Corrupt, "inspect.malformed", "the host described a container in no JSON").caused_by(error)
    })?;
    Ok(Some(value["Name"].as_str().unwrap_or_default().trim_start_matches('/').to_owned()))
}

fn left_over(folder: &Path) -> Vec<(PathBuf, Content)> {
    let notes = read_all(folder);
    let busy = at_work();
    notes.into_iter().filter(|(_, note)| !busy.contains(&(note.host.clone(), note.app.clone()))).collect()
}

/// A note that cannot be read stays for a person to look at.
fn read_all(folder: &Path) -> Vec<(PathBuf, Content)> {
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let notes = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let read = |path: &Path| -> io::Result<Content> {
        if fs::metadata(path)?.len() > SIZE_LIMIT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    };
    notes
        .filter_map(|path| match read(&path) {
            Ok(content) => Some((path, content)),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the note of a restore is not readable");
                None
            }
        })
        .collect()
}

fn at_work() -> MutexGuard<'static, BTreeSet<(String, String)>> {
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn forget(paths: Vec<PathBuf>) {
    let work = move || -> io::Result<()> {
        for path in &paths {
            match fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
        }
        Ok(())
    };
    if let Ok(Err(error)) = tokio::task::spawn_blocking(work).await {
        tracing::error!(%error, "the note of a restore that ended could not be removed");
    }
}

fn write_durably(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let draft = path.with_extension("draft");
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(folder)?.sync_all()
}
