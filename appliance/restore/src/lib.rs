//! Orders Docker: a snapshot becomes a running app again. Plans first (law L7).
//!
//! The way: [`plan`] looks at the host and decides everything, names included, without changing a
//! thing; [`carry_out`] does exactly that, reads back what it wrote, and on failure puts the host
//! back as it was. Data goes into volumes through helpers that never run.
//!
//! Invariants: nothing is written into a container that runs; beside the original nothing of the
//! original is touched (no ports, no host paths, no shared networks, no tags moved); no helper
//! outlives the call. Never here: the repository (streams come from a [`Source`]), when to do it,
//! the safety snapshot.

mod archive;
mod body;
mod carry;
mod compose;
mod containers;
mod deed;
mod files;
mod fill;
mod helper;
mod images;
mod json;
mod lacks;
mod names;
mod narrow;
mod networks;
mod normalise;
mod note;
mod order;
mod plan;
mod ports;
mod probe;
mod put;
mod redirect;
mod replay;
mod start;
mod streams;
mod subnet;
mod survey;
mod undo;
mod verify;
mod volumes;

pub use carry::carry_out;
pub use compose::compose;
pub use normalise::{differences, normalise};
pub use note::{Trace, put_back, unfinished};
pub use plan::plan;
pub use put::{Files, Put, Where, put_files};
pub use redirect::{folder_of_volume, leads_elsewhere};

use async_trait::async_trait;
use holdfast_docker::ByteStream;
use holdfast_model::{
    Problem, Result,
    snapshot::StreamRef,
    view::{PortChange, Target, WayOut},
};

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

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Where to.
    pub target: Target,
    /// New app name (beside); default `APP-restore`. With `volume`: the new volume's name.
    pub name: Option<String>,
    /// Only this volume.
    pub volume: Option<String>,
    /// Only these services, by service or container name, with their volumes and networks; all if none is named.
    pub services: Vec<String>,
    /// Under its own name: publish no ports.
    pub no_ports: bool,
    /// Under its own name: leave fixed addresses, and subnets that are in use, to the engine.
    pub no_addresses: bool,
    /// Other ports of the host; they are published beside the original too, and with `no_ports`.
    pub ports: Vec<PortChange>,
    /// Ways round what the host lacks.
    pub ways: Vec<WayOut>,
    /// Label value put on helpers: the appliance's id.
    pub owner: String,
    /// Where to note what is put aside, so that a killed restore is undone with [`put_back`].
    pub trace: Option<Trace>,
}

/// What will be done, decided against the host as it is now.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name that the app (or the volume) will have.
    pub name: String,
    /// In words, in order.
    pub steps: Vec<String>,
    /// What stands in the way (`name.taken`, `port.taken`, `address.taken`, …).
    /// A plan with conflicts is not carried out.
    pub conflicts: Vec<Problem>,
    /// What will differ from the original.
    pub notes: Vec<Problem>,
    /// It stops, replaces or overwrites something that is there.
    pub destructive: bool,
    /// Bytes to write.
    pub bytes: u64,
    /// Streams that will be read.
    pub streams: Vec<StreamRef>,
    /// The same for the machine.
    pub(crate) deed: deed::Deed,
}

/// What of the host a plan takes away, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Containers that are removed once the new ones stand.
    pub containers: Vec<String>,
    /// Volumes that are there and lose their content.
    pub volumes: Vec<String>,
    /// Host paths that are written over or emptied. Some of them may not be there.
    pub paths: Vec<String>,
}

impl Replaced {
    /// Whether `other` takes all of this away too.
    pub fn is_within(&self, other: &Replaced) -> bool {
        let is_in = |these: &[String], others: &[String]| these.iter().all(|one| others.contains(one));
        is_in(&self.containers, &other.containers)
            && is_in(&self.volumes, &other.volumes)
            && is_in(&self.paths, &other.paths)
    }
}

impl Plan {
    /// What it takes away. Of a volume that stands for a folder of the host and is not there itself it is the folder.
    pub fn replaced(&self) -> Replaced {
        let volumes = || self.deed.volumes.iter().filter(|volume| volume.stream.is_some());
        let refilled = |volume: &&deed::VolumeDeed| volume.action == deed::VolumeAction::Refill;
        let adopted = |volume: &&deed::VolumeDeed| volume.action == deed::VolumeAction::Adopt;
        let folders = volumes().filter(adopted).filter_map(|volume| volume.folder.clone());
        Replaced {
            containers: self.deed.old.iter().map(|old| old.name.clone()).collect(),
            volumes: volumes().filter(refilled).map(|volume| volume.name.clone()).collect(),
            paths: self.deed.paths.iter().map(|path| path.source.clone()).chain(folders).collect(),
        }
    }
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Restored {
    /// One line.
    pub summary: String,
    /// What was not reached or differs from the original.
    pub problems: Vec<Problem>,
    /// Containers made.
    pub containers: u32,
    /// Volumes written.
    pub volumes: u32,
}
