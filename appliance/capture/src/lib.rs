//! Asks Docker: an app becomes sections and streams, at one point in time (laws L6, L8).
//!
//! Never here: the repository (streams go into a [`Sink`]), or when to do it.

use async_trait::async_trait;
use holdfast_docker::ByteStream;
use holdfast_model::{
    Result,
    snapshot::{ImageSection, StreamRef},
};

/// How a stream should be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// A tar: headers apart from contents. Its end must be proved by the two zero blocks
    /// (`stream.short` otherwise).
    Tar,
    /// Plain bytes.
    Bytes,
}

/// Where captured streams go. The engine room stands behind it with the repository.
#[async_trait]
pub trait Sink: Send + Sync {
    /// An image that the repository holds already, so that not a byte of it is read again.
    async fn known_image(&self, id: &str) -> Option<ImageSection>;
    /// A blob that the repository holds already, by SHA-256 hex of its bytes.
    async fn known_blob(&self, sha256: &str) -> Option<StreamRef>;
    /// Stores a stream; returns when all of it is in the repository's hands. `label` is for people.
    async fn store(&self, label: &str, kind: StreamKind, bytes: ByteStream) -> Result<StreamRef>;
    /// Tells the phase at work, for progress: name, number, of how many.
    fn phase(&self, name: &str, number: u32, of: u32);
    /// Tells the item at work.
    fn item(&self, name: &str);
}

// ---- STUB of the public face; the room behind it is being built. ----
#[allow(missing_docs, unused_variables, clippy::todo)]
mod stub {
    use super::*;
    use holdfast_docker::Engine;
    use holdfast_model::{
        Moment, Problem,
        policy::Consistency,
        snapshot::{BindSection, ContainerSection, EngineInfo, Fidelity, NetworkSection, RunState, VolumeSection},
    };
    use holdfast_runtime::{Clock, Stop};
    use std::{path::Path, sync::Arc, time::Duration};

    /// A container as found by a listing.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct FoundContainer {
        pub id: String,
        pub name: String,
        pub service: Option<String>,
        pub image: String,
        pub state: RunState,
    }

    /// An app as found by a listing: a compose project, or a container that is in none.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct FoundApp {
        pub name: String,
        pub project: bool,
        pub containers: Vec<FoundContainer>,
        /// Names of volumes and sources of bind mounts.
        pub volumes: Vec<String>,
        pub binds: Vec<String>,
        /// `holdfast.policy` label, if set on a member.
        pub policy_label: Option<String>,
        /// `holdfast.enable=false` on a member.
        pub disabled: bool,
    }

    /// Finds all apps on a host; our own helpers are left out.
    pub async fn discover(engine: &dyn Engine) -> Result<Vec<FoundApp>> {
        todo!()
    }

    /// What to capture and how.
    #[derive(Clone, Debug)]
    pub struct Ask {
        pub host: String,
        pub app: String,
        pub consistency: Consistency,
        /// Longest time members may be held; then they are let go and the capture fails or goes on
        /// crash-inconsistent with a problem.
        pub hold_limit: Duration,
        /// Label put on every helper (value of `io.holdfast.helper`): the appliance's id.
        pub owner: String,
    }

    /// All of an app, captured.
    #[derive(Clone, Debug)]
    pub struct Captured {
        pub project: bool,
        pub engine: EngineInfo,
        pub time: Moment,
        pub consistency: Consistency,
        pub fidelity: Fidelity,
        pub containers: Vec<ContainerSection>,
        pub images: Vec<ImageSection>,
        pub volumes: Vec<VolumeSection>,
        pub binds: Vec<BindSection>,
        pub networks: Vec<NetworkSection>,
        pub problems: Vec<Problem>,
        pub images_known: u64,
        pub freeze_ms: u64,
        pub bytes_logical: u64,
    }

    /// Captures an app. `NotFound` (`app.gone`) if it is not there.
    pub async fn capture(
        engine: Arc<dyn Engine>,
        ask: Ask,
        journal: Arc<Journal>,
        sink: Arc<dyn Sink>,
        clock: &Clock,
        stop: &Stop,
    ) -> Result<Captured> {
        todo!()
    }

    /// The durable list of members that we hold (law L6): one fsynced file per hold.
    #[derive(Debug)]
    pub struct Journal {}

    /// A hold found in the journal.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Held {
        pub host: String,
        pub app: String,
        pub since: Moment,
        pub deadline: Moment,
        /// (container id, name)
        pub containers: Vec<(String, String)>,
        /// Paused (true) or stopped (false).
        pub paused: bool,
    }

    impl Journal {
        pub fn open(folder: &Path) -> Result<Journal> {
            todo!()
        }
        /// Holds that nobody in this process owns: left by a crash.
        pub fn left_over(&self) -> Vec<Held> {
            todo!()
        }
        /// Lets members of a left-over hold go and removes the entry once all run as before. An error keeps the entry.
        pub async fn undo(&self, engine: &dyn Engine, held: &Held) -> Result<()> {
            todo!()
        }
    }

    /// Removes helpers of this owner that a crash left on a host; returns how many.
    pub async fn sweep_helpers(engine: &dyn Engine, owner: &str) -> Result<usize> {
        todo!()
    }
}
pub use stub::*;
