//! The durable list of members that we hold (law L6): one fsynced file per hold.
//!
//! Invariants: an entry is on disk before the first member is touched; it leaves the disk only after
//! every member was seen in its former state. An entry that no hold of this process owns is left over
//! from a crash or from a host that could not be reached, and is undone by whoever asks.

use crate::{
    hold::{Way, let_go},
    hooks::{self, Hook},
};
use holdfast_docker::Engine;
use holdfast_model::{Error, Moment, Result};
use holdfast_runtime::random;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Ending of what is not an entry yet.
const DRAFT: &str = "draft";

/// A hold found in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Registered name of the host.
    pub host: String,
    /// The app.
    pub app: String,
    /// When it was taken.
    pub since: Moment,
    /// When it should have ended.
    pub deadline: Moment,
    /// (container id, name), in start order.
    pub containers: Vec<(String, String)>,
    /// Paused (true) or stopped (false).
    pub paused: bool,
    /// Commands that are owed to the app once it runs again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Hook>,
}

impl Held {
    /// Longest time that the commands that are owed may take.
    pub fn owed_time(&self) -> Duration {
        self.after.iter().map(|hook| Duration::from_secs(hook.seconds)).sum()
    }
}

/// All holds of this appliance.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    entries: Mutex<BTreeMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    held: Held,
    /// A hold of this process answers for it.
    owned: bool,
}

impl Journal {
    /// Opens or makes the journal's folder and reads what is left over.
    pub fn open(folder: &Path) -> Result<Journal> {
        let failed = |error| Error::io(format!("open the journal of held containers in {}", folder.display()), error);
        fs::create_dir_all(folder).map_err(failed)?;
        let mut entries = BTreeMap::new();
        for file in fs::read_dir(folder).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            // Killed before it was an entry: nothing was touched for it.
            if path.extension().is_some_and(|extension| extension == DRAFT)
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "the draft of a journal entry stays");
            }
            let Some(id) = entry_id(&path) else { continue };
            let bytes = fs::read(&path).map_err(failed)?;
            match serde_json::from_slice(&bytes) {
                Ok(held) => drop(entries.insert(id, Entry { held, owned: false })),
                // The file stays for a person to look at; refusing to start would free nobody.
                Err(error) => tracing::error!(path = %path.display(), %error, "a journal entry is not readable"),
            }
        }
        Ok(Journal { folder: folder.to_owned(), entries: Mutex::new(entries) })
    }

    /// Holds that nobody in this process owns: left by a crash or given up because a host was gone. Commands that are owed
    /// come last: nothing runs in a container that is still paused.
    pub fn left_over(&self) -> Vec<Held> {
        let mut left: Vec<Held> =
            self.entries().values().filter(|entry| !entry.owned).map(|entry| entry.held.clone()).collect();
        left.sort_by_key(|held| !held.after.is_empty());
        left
    }

    /// Lets members of a left-over hold go and removes the entry once all run as before. An error keeps the entry.
    pub async fn undo(&self, engine: &dyn Engine, held: &Held) -> Result<()> {
        let found =
            self.entries().iter().find(|(_, entry)| !entry.owned && entry.held == *held).map(|(id, _)| id.clone());
        let Some(id) = found else { return Ok(()) };
        let way = if held.paused { Way::Pause } else { Way::Stop };
        let mut members = held.containers.clone();
        match let_go(engine, way, &mut members).await {
            Ok(()) => {
                for (done, hook) in held.after.iter().enumerate() {
                    match hooks::run(engine, hook).await {
                        Err(error) if hooks::is_away(engine, &error).await => {
                            // What has run is not owed any more.
                            self.owe(&id, held.after[done..].to_vec()).await;
                            return Err(error);
                        }
                        Err(error) => {
                            tracing::warn!(container = %hook.name, what = %hook.what, error = %error.chain(), "what was owed to a container failed")
                        }
                        Ok(()) => {}
                    }
                }
                self.close(&id).await
            }
            Err(error) => {
                // Whoever runs again is its owner's: it must not be started once more with the next try.
                self.narrow(&id, &members).await?;
                Err(error)
            }
        }
    }

    /// Writes an entry; when this returns, it survives a power cut.
    pub(crate) async fn begin(&self, held: Held) -> Result<String> {
        let id = hex::encode(random::<8>());
        let bytes = serde_json::to_vec(&held).map_err(|error| Error::bug("a hold is not JSON").caused_by(error))?;
        let (folder, path) = (self.folder.clone(), self.path(&id));
        // Known before it is written: whatever happens meanwhile, the entry has an owner.
        self.entries().insert(id.clone(), Entry { held, owned: true });
        let written = on_disk("write", move || write_durably(&folder, &path, &bytes)).await;
        if written.is_err() {
            self.entries().remove(&id);
        }
        written.map(|()| id)
    }

    /// Leaves only these members in an entry, durably.
    pub(crate) async fn narrow(&self, id: &str, members: &[(String, String)]) -> Result<()> {
        let held = match self.entries().get_mut(id) {
            Some(entry) if entry.held.containers != members => {
                entry.held.containers = members.to_vec();
                entry.held.clone()
            }
            _ => return Ok(()),
        };
        let bytes = serde_json::to_vec(&held).map_err(|error| Error::bug("a hold is not JSON").caused_by(error))?;
        let (folder, path) = (self.folder.clone(), self.path(id));
        on_disk("write", move || write_durably(&folder, &path, &bytes)).await
    }

    /// Removes an entry for good.
    pub(crate) async fn close(&self, id: &str) -> Result<()> {
        let (folder, path) = (self.folder.clone(), self.path(id));
        let removed = on_disk("clear", move || {
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
            File::open(&folder)?.sync_all()
        });
        match removed.await {
            Ok(()) => drop(self.entries().remove(id)),
            Err(error) => {
                self.disown(id);
                return Err(error);
            }
        }
        Ok(())
    }

    /// These commands could not run, for the host is gone: the entry becomes left over with them alone.
    pub(crate) async fn owe(&self, id: &str, after: Vec<Hook>) {
        let held = self.entries().get_mut(id).map(|entry| {
            entry.held.after = after;
            entry.held.clone()
        });
        let Some(Ok(bytes)) = held.map(|held| serde_json::to_vec(&held)) else { return self.disown(id) };
        let (folder, path) = (self.folder.clone(), self.path(id));
        // What is on the disk names them too, and perhaps others that would run twice.
        if let Err(error) = on_disk("write", move || write_durably(&folder, &path, &bytes)).await {
            tracing::warn!(error = %error.chain(), "commands that have run may run once more");
        }
        self.disown(id);
    }

    /// The hold could not be undone now: the entry becomes left over.
    pub(crate) fn disown(&self, id: &str) {
        if let Some(entry) = self.entries().get_mut(id) {
            entry.owned = false;
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry_id(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".json").map(str::to_owned)
}

fn write_durably(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(DRAFT);
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(folder)?.sync_all()
}

/// File work waits for the disk: it runs where waiting is allowed.
async fn on_disk(doing: &str, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<()> {
    let outcome = tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::bug("the journal's disk work did not end").caused_by(error))?;
    outcome.map_err(|error| Error::io(format!("{doing} the journal of held containers"), error))
}
