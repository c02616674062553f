//! A job: one piece of work with phases, progress, an outcome and problems.

use crate::{JobId, Moment, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Takes a snapshot of an app.
    Backup,
    /// Puts a snapshot back.
    Restore,
    /// Verifies the repository.
    Check,
    /// Applies retention and frees space.
    Prune,
    /// Rebuilds an appliance from its bucket.
    Recover,
    /// Brings a snapshot back into the cache.
    Warm,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting for its turn.
    Queued,
    /// At work.
    Running,
    /// Done, nothing to tell.
    Done,
    /// Done, but something was left out: see problems.
    DoneWithProblems,
    /// Not done.
    Failed,
    /// Stopped by a person.
    Cancelled,
    /// The appliance ended while it ran; what it had not committed is gone, nothing else.
    Interrupted,
}

impl JobState {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        !matches!(self, JobState::Queued | JobState::Running)
    }
}

/// How far a job is. Bytes are of the current job, all phases together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Progress {
    /// Name of the phase at work (`images`, `freeze`, `volumes`, `commit`, `ship`, …).
    pub phase: String,
    /// Place of the phase, from 1.
    pub phase_number: u32,
    /// How many phases there are.
    pub phases: u32,
    /// What is being worked on now: a volume, image or container.
    pub item: String,
    /// Bytes to do, if known; else 0.
    pub bytes_total: u64,
    /// Bytes read (backup, check) or written (restore).
    pub bytes_done: u64,
    /// Sealed bytes stored new.
    pub bytes_new: u64,
    /// Bytes that were stored already.
    pub bytes_known: u64,
    /// Bytes sent to the bucket.
    pub bytes_uploaded: u64,
    /// Bytes done per second, over the last seconds.
    pub rate: u64,
    /// Seconds left, if it can be told.
    pub eta_seconds: Option<u64>,
}

/// A job as everybody sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// The app it works on, `host/app`; empty for the whole repository.
    pub subject: String,
    /// Where it stands.
    pub state: JobState,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created: Moment,
    /// When it began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<Moment>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Moment>,
    /// How far it is.
    pub progress: Progress,
    /// The snapshot made, restored or brought back.
    #[schema(value_type = Option<String>)]
    pub snapshot: Option<crate::SnapshotId>,
    /// One line on how it ended.
    pub summary: Option<String>,
    /// Error kind if it failed, as in `Kind::as_str`.
    pub error_kind: Option<String>,
    /// What was not as it should be.
    pub problems: Vec<Problem>,
    /// What it did, line by line (newest 200).
    pub log: Vec<LogLine>,
}

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Moment,
    /// What.
    pub text: String,
}
