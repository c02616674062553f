//! A plan for the machine: every name and body decided, nothing left to think about.
//!
//! Never here: words for people (they are in [`crate::Plan`]), calls to the engine.

use crate::note::Trace;
use holdfast_model::{
    SnapshotId,
    snapshot::{DatabaseKind, StreamRef},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a restore goes, as far as behaviour differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Under a new name; nothing of the original is touched.
    Beside,
    /// In the app's own place; what is there goes aside.
    InPlace,
    /// Under the app's own name on an engine where nothing has to give way.
    Host,
}

/// All that will be done, in order of the fields.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) snapshot: SnapshotId,
    pub(crate) way: Way,
    /// The services that all this is about; all of them if empty.
    pub(crate) services: Vec<String>,
    pub(crate) no_ports: bool,
    pub(crate) no_addresses: bool,
    /// Where what is put aside is noted.
    pub(crate) trace: Option<Trace>,
    /// Label value of helpers.
    pub(crate) owner: String,
    pub(crate) images: Vec<ImageDeed>,
    /// Read every stream to its end before the first thing is replaced.
    pub(crate) prove: Vec<StreamRef>,
    pub(crate) networks: Vec<NetworkDeed>,
    /// Containers of the app that are there: stopped, put aside, removed once the new ones stand.
    pub(crate) old: Vec<OldDeed>,
    /// Containers that are stopped for the time of writing and started again.
    pub(crate) hold: Vec<OldDeed>,
    pub(crate) volumes: Vec<VolumeDeed>,
    pub(crate) paths: Vec<PathDeed>,
    pub(crate) containers: Vec<ContainerDeed>,
}

/// An image that has to be there.
#[derive(Clone, Debug)]
pub(crate) struct ImageDeed {
    /// Index into the snapshot's images.
    pub(crate) section: usize,
    /// Its id on this engine, if it is there already.
    pub(crate) present: Option<String>,
    /// Tags to set.
    pub(crate) tags: Vec<String>,
}

/// A network to make.
#[derive(Clone, Debug)]
pub(crate) struct NetworkDeed {
    pub(crate) name: String,
    pub(crate) body: Value,
}

/// A container that is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OldDeed {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Name for the time being; equal to `name` if it needs none.
    pub(crate) aside: String,
    pub(crate) running: bool,
}

/// What happens to a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VolumeAction {
    /// It is not there: make it.
    Create,
    /// It is there: its content goes.
    Refill,
    /// It is not there, but stands for a folder of the host, which may be: make it, then its content goes.
    Adopt,
    /// It is there and the snapshot holds no content for it: stays as it is.
    Keep,
}

/// A volume to fill.
#[derive(Clone, Debug)]
pub(crate) struct VolumeDeed {
    pub(crate) name: String,
    pub(crate) body: Value,
    pub(crate) action: VolumeAction,
    /// The folder of the host that it stands for, if its content is replaced.
    pub(crate) folder: Option<String>,
    pub(crate) stream: Option<StreamRef>,
    pub(crate) logs: Vec<LogDeed>,
}

/// The log of a server, to be laid over its files.
#[derive(Clone, Debug)]
pub(crate) struct LogDeed {
    pub(crate) kind: DatabaseKind,
    /// Where it ran.
    pub(crate) container: String,
    /// Relative to the place that its files are in; may be empty.
    pub(crate) folder: String,
    pub(crate) stream: StreamRef,
}

/// A path of the host to write back.
#[derive(Clone, Debug)]
pub(crate) struct PathDeed {
    pub(crate) source: String,
    pub(crate) directory: bool,
    pub(crate) stream: StreamRef,
    pub(crate) logs: Vec<LogDeed>,
}

/// A file that goes into the container itself, because there is no host path to mount.
#[derive(Clone, Debug)]
pub(crate) struct FileDeed {
    /// Absolute path in the container.
    pub(crate) path: String,
    pub(crate) stream: StreamRef,
}

/// A container to make.
#[derive(Clone, Debug)]
pub(crate) struct ContainerDeed {
    /// Index into the snapshot's containers.
    pub(crate) section: usize,
    pub(crate) name: String,
    /// Create body without `Image`.
    pub(crate) body: Value,
    /// Image reference that people used, and its index in the deed's images.
    pub(crate) image: (String, usize),
    /// Networks to connect after the creation, with their endpoint bodies.
    pub(crate) connects: Vec<(String, Value)>,
    pub(crate) files: Vec<FileDeed>,
    pub(crate) start: bool,
    /// Dumps to replay once it is started.
    pub(crate) replays: Vec<Replay>,
    /// Containers of the deed (indexes) to wait for, and what to wait for.
    pub(crate) after: Vec<(usize, Await)>,
}

/// A dump to replay into a database.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    pub(crate) kind: DatabaseKind,
    pub(crate) dump: StreamRef,
}

/// What a dependent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Await {
    Started,
    Healthy,
    Completed,
}
