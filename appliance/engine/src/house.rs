//! What all acts of the engine room share: the folder, the repository, settings, jobs, hosts, bucket.
//!
//! Lives here: holding them, and changing settings. Never here: any act upon them.
//! Invariants: settings are saved before they are believed, and only when they changed (law L4);
//! the repository is replaced only by a recovery.

use crate::{
    events::Events,
    folder::Folder,
    hosts::Hosts,
    jobs::Jobs,
    listing::Looks,
    memory::Memory,
    outside::Outside,
    tier::Tier,
    words::{read, write},
};
use holdfast_capture::Journal;
use holdfast_catalog::Catalog;
use holdfast_model::{
    Error, Moment, Result,
    settings::{Host, Settings},
    view::CloudState,
};
use holdfast_repository::{Entry, Repository};
use holdfast_runtime::{Clock, Stop};
use std::sync::{Arc, RwLock};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

/// The shared parts.
pub struct House {
    /// The data folder, locked for us.
    pub folder: Folder,
    /// The time.
    pub clock: Clock,
    /// Hosts, buckets, bundles, shipping.
    pub outside: Arc<dyn Outside>,
    /// Program version.
    pub version: String,
    /// This machine's own Docker socket.
    pub local_host: Host,
    /// The appliance is ending.
    pub stop: Stop,
    /// Tasks to wait for at the end.
    pub tracker: TaskTracker,
    /// What faces are told.
    pub events: Events,
    /// Work.
    pub jobs: Jobs,
    /// Memory aid.
    pub catalog: Arc<Catalog>,
    /// Members held (law L6).
    pub journal: Arc<Journal>,
    /// Hosts.
    pub hosts: Hosts,
    /// The cloud tier.
    pub tier: Tier,
    /// What is remembered.
    pub memory: Memory,
    /// What looks into snapshots share.
    pub looks: Looks,
    /// Wakes the scheduler.
    pub wake: Notify,
    held: Held,
}

/// What changes under way, each behind its own lock.
pub struct Held {
    repository: RwLock<Repository>,
    settings: RwLock<Arc<Settings>>,
    turn: tokio::sync::Mutex<()>,
}

impl Held {
    /// The first repository and settings.
    pub fn new(repository: Repository, settings: Settings) -> Held {
        Held {
            repository: RwLock::new(repository),
            settings: RwLock::new(Arc::new(settings)),
            turn: tokio::sync::Mutex::new(()),
        }
    }
}

/// The parts of a house that are made one by one at the start.
pub struct Bricks {
    /// See [`House`].
    pub folder: Folder,
    /// See [`House`].
    pub clock: Clock,
    /// See [`House`].
    pub outside: Arc<dyn Outside>,
    /// See [`House`].
    pub version: String,
    /// See [`House`].
    pub local_host: Host,
    /// See [`House`].
    pub stop: Stop,
    /// See [`House`].
    pub catalog: Arc<Catalog>,
    /// See [`House`].
    pub journal: Arc<Journal>,
    /// See [`House`].
    pub held: Held,
}

impl House {
    /// Puts the bricks together and remembers what the catalog knows.
    pub fn build(bricks: Bricks) -> House {
        let Bricks { folder, clock, outside, version, local_host, stop, catalog, journal, held } = bricks;
        let (events, tracker) = (Events::default(), TaskTracker::new());
        let jobs = Jobs::load(catalog.clone(), clock.clone(), events.clone(), stop.clone(), tracker.clone());
        let memory = Memory::load(catalog.clone());
        House {
            folder,
            clock,
            outside,
            version,
            local_host,
            stop,
            tracker,
            events,
            jobs,
            catalog,
            journal,
            hosts: Hosts::default(),
            tier: Tier::default(),
            memory,
            looks: Looks::default(),
            wake: Notify::new(),
            held,
        }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }
    /// The repository.
    pub fn repository(&self) -> Repository {
        read(&self.held.repository).clone()
    }
    /// All snapshots with their tiers, oldest first, but for those that somebody forgot.
    pub fn entries(&self) -> Vec<Entry> {
        let settings = self.settings();
        let entries = self.repository().snapshots().into_iter().map(|entry| promised(entry, settings.bucket.is_some()));
        entries.filter(|entry| !settings.forgotten.contains_key(&entry.snapshot.id)).collect()
    }
    /// Snapshots that somebody forgot and that are still there, oldest first, with the moment from which they may be removed.
    pub fn forgotten(&self) -> Vec<(Entry, Moment)> {
        let settings = self.settings();
        if settings.forgotten.is_empty() {
            return Vec::new();
        }
        let entries = self.repository().snapshots().into_iter().map(|entry| promised(entry, settings.bucket.is_some()));
        let until = |entry: Entry| Some((settings.forgotten_until(&entry.snapshot.id)?, entry));
        entries.filter_map(until).map(|(until, entry)| (entry, until)).collect()
    }
    /// One snapshot by a unique beginning of its id, forgotten or not.
    pub fn entry(&self, id: &str) -> Result<Entry> {
        Ok(promised(self.repository().snapshot(id)?, self.settings().bucket.is_some()))
    }
    /// Label value of everything we make on a host.
    pub fn owner(&self) -> String {
        self.repository().id().to_hex()
    }
    /// What people decided.
    pub fn settings(&self) -> Arc<Settings> {
        read(&self.held.settings).clone()
    }

    /// Changes settings: saved first, believed then. An act that changes nothing writes nothing.
    pub async fn change_settings<T>(&self, act: impl FnOnce(&mut Settings) -> Result<T>) -> Result<T> {
        let _turn = self.held.turn.lock().await;
        let before = self.settings();
        let mut after = (*before).clone();
        let answer = act(&mut after)?;
        if after != *before {
            after.generation = before.generation + 1;
            self.repository().save_settings(&after).await?;
            *write(&self.held.settings) = Arc::new(after);
            self.tier.nudge();
            self.events.status();
            self.events.apps();
            self.wake.notify_one();
        }
        Ok(answer)
    }

    /// Saves the settings once more, as they are: under a key epoch that has just begun.
    pub async fn seal_settings_again(&self) -> Result<()> {
        let _turn = self.held.turn.lock().await;
        let mut settings = (*self.settings()).clone();
        settings.generation += 1;
        self.repository().save_settings(&settings).await?;
        *write(&self.held.settings) = Arc::new(settings);
        self.tier.nudge();
        Ok(())
    }

    /// Replaces repository and settings by recovered ones. `swap` puts the files into place while
    /// nobody can save settings; it touches local files alone.
    pub async fn replace<F>(&self, swap: impl FnOnce() -> F) -> Result<()>
    where
        F: Future<Output = Result<(Repository, Settings), Error>>,
    {
        let _turn = self.held.turn.lock().await;
        let (repository, settings) = swap().await?;
        *write(&self.held.repository) = repository;
        *write(&self.held.settings) = Arc::new(settings);
        Ok(())
    }
}

/// While a bucket is set but has not answered yet, what it holds is unknown: a snapshot is then on its
/// way, not without a cloud tier.
fn promised(mut entry: Entry, awaited: bool) -> Entry {
    if awaited && entry.state.cloud == CloudState::None {
        entry.state.cloud = CloudState::Shipping;
    }
    entry
}
