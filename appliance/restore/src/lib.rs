//! Orders Docker: a snapshot becomes a running app again. Plans first (law L7).
//!
//! Never here: the repository (streams come from a [`Source`]), or when to do it.

use async_trait::async_trait;
use holdfast_docker::ByteStream;
use holdfast_model::{Result, snapshot::StreamRef};

/// Where a snapshot's streams come from. The engine room stands behind it with the repository.
#[async_trait]
pub trait Source: Send + Sync {
    /// Opens a stored stream; its bytes are verified as they flow, a wrong one ends it with an error.
    async fn open(&self, stream: &StreamRef) -> Result<ByteStream>;
    /// Tells the phase at work, for progress: name, number, of how many.
    fn phase(&self, name: &str, number: u32, of: u32);
    /// Tells the item at work.
    fn item(&self, name: &str);
    /// Counts bytes written to the host.
    fn wrote(&self, bytes: u64);
    /// A line for the job's log.
    fn log(&self, text: &str);
}

// ---- STUB of the public face; the room behind it is being built. ----
#[allow(missing_docs, unused_variables, clippy::todo)]
mod stub {
    use super::*;
    use holdfast_docker::Engine;
    use holdfast_model::{Problem, snapshot::Snapshot, view::Target};
    use holdfast_runtime::Stop;
    use std::sync::Arc;

    /// What is wanted.
    #[derive(Clone, Debug, Default)]
    pub struct Ask {
        pub target: Target,
        /// New app name (beside); default `APP-restore`.
        pub name: Option<String>,
        /// Only this volume.
        pub volume: Option<String>,
        /// Label value put on helpers: the appliance's id.
        pub owner: String,
    }

    /// What will be done, decided against the host as it is now.
    #[derive(Clone, Debug)]
    pub struct Plan {
        pub name: String,
        /// In words, in order.
        pub steps: Vec<String>,
        /// What stands in the way (`name.taken`, `port.taken`, `address.taken`, `space.short`, …).
        pub conflicts: Vec<Problem>,
        /// What will differ from the original.
        pub notes: Vec<Problem>,
        pub destructive: bool,
        /// Bytes to write.
        pub bytes: u64,
        /// Streams that will be read.
        pub streams: Vec<StreamRef>,
        // the machine-readable rest is private to this room
    }

    /// What was done.
    #[derive(Clone, Debug)]
    pub struct Restored {
        /// One line.
        pub summary: String,
        pub problems: Vec<Problem>,
        pub containers: u32,
        pub volumes: u32,
    }

    /// Plans; changes nothing.
    pub async fn plan(engine: &dyn Engine, snapshot: &Snapshot, ask: &Ask) -> Result<Plan> {
        todo!()
    }

    /// Carries a plan out. On failure removes what it made (beside, other host) or, in place, puts the old
    /// containers back.
    pub async fn carry_out(
        engine: Arc<dyn Engine>,
        snapshot: &Snapshot,
        plan: &Plan,
        source: Arc<dyn Source>,
        stop: &Stop,
    ) -> Result<Restored> {
        todo!()
    }
}
pub use stub::*;
