//! The way to the bucket and back, measured: the engine under the shipper and the bucket client, without Docker. What `bench_cloud` runs.
//!
//! Each deed gives one JSON object. Requests are counted where they are made, by a proxy in this process, so that what the bucket client asks
//! of its own accord counts too.

mod chunked;
mod fetch;
mod made;
mod month;
mod noise;
mod one_file;
mod retention;
mod ship;
mod site;
mod states;
mod watched;

pub use fetch::fetch;
pub use month::month;
pub use one_file::one_file;
pub use ship::ship;
pub use site::Site;
pub use states::States;

use holdfast_model::{
    Error, Problem, Result, Severity,
    snapshot::{Snapshot, StreamRef},
};

/// The stream of a snapshot of one folder.
fn stream_of(snapshot: &Snapshot) -> Result<&StreamRef> {
    snapshot.streams().next().ok_or_else(|| Error::invalid("snapshot.empty", "it has no stream"))
}

/// Figures of something that went wrong are worth nothing.
fn nothing_wrong(problems: &[Problem]) -> Result<()> {
    match problems.iter().find(|problem| problem.severity > Severity::Note) {
        Some(problem) => Err(Error::invalid("bench.problem", format!("{}: {}", problem.subject, problem.message))),
        None => Ok(()),
    }
}
