//! Words without I/O: what every other room of the house speaks.
//!
//! Lives here: ids, moments, the snapshot manifest, policies, settings, problems,
//! error kinds and the shapes of the API. Never here: clocks, files, sockets, async.
//!
//! Read next: [`snapshot`] (what a restore point is), [`error`] (what went wrong, for whom),
//! [`view`] (what the API, the CLI and the web UI show).

pub mod bucket;
pub mod bundle;
pub mod cache;
pub mod error;
pub mod hooks;
pub mod id;
pub mod job;
pub mod lock;
pub mod moment;
pub mod policy;
pub mod problem;
pub mod secret;
pub mod settings;
pub mod snapshot;
pub mod uploads;
pub mod verification;
pub mod view;

pub use error::{Error, Kind, Result};
pub use id::{ChunkId, FileKey, JobId, PackId, RepositoryId, SegmentId, SegmentSum, SnapshotId, Witness};
pub use moment::Moment;
pub use problem::{Few, Problem, Severity};
pub use secret::Secret;
