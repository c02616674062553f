//! Volumes written by a mover and read back by another: with nanoseconds, attributes, holes and sockets, all that a tree
//! was stored with. Where no mover may run, the engine's archive does it, and that is told.

use crate::{
    carry::Hand,
    streams::{self, Cause},
    verify::{self, Tolerance},
};
use holdfast_docker::mover::{Mounted, Mover, Over};
use holdfast_model::{Error, Kind, Problem, Result, snapshot::StreamRef};
use holdfast_runtime::random;
use std::sync::{Mutex, PoisonError};

/// Why the first volume had to do without a mover.
#[derive(Default)]
pub(crate) struct Reduced(Mutex<Option<String>>);

impl Reduced {
    fn note(&self, error: &Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.chain());
    }

    /// What to tell of it.
    pub(crate) fn problem(&self, host: &str) -> Option<Problem> {
        let why = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let text = format!(
            "volumes were written through the engine's archive interface, which fills holes, leaves sockets out and \
             cuts times to seconds: {why}"
        );
        let advice = "Let the appliance run its helper containers on this host; it needs create, attach and start of containers.";
        Some(Problem::note("mover.unavailable", host, text).advice(advice))
    }
}

/// Writes a tree into an empty volume and reads it back. `None` if no mover may run here and nothing was done; else what
/// could not be put back as it was.
pub(crate) async fn fill(hand: &Hand, volume: &str, stream: &StreamRef) -> Result<Option<Vec<Problem>>> {
    let (engine, owner) = (&hand.engine, &hand.owner);
    let mounted = Mounted::Volume(volume);
    let (mover, line) = match Mover::writer(engine.clone(), &name(), owner, mounted, Over::Keep).await {
        Ok(begun) => begun,
        Err(error) if error.kind() == Kind::Unavailable => return Err(error),
        Err(error) => {
            hand.reduced.note(&error);
            return Ok(None);
        }
    };
    let cause = Cause::default();
    let stored = streams::open(&hand.source, stream, &hand.stop, &cause).await?;
    let complaints = cause.explain(mover.fill(line, stored).await);
    leave(mover).await;
    let complaints = complaints?;

    let (mover, present) = Mover::reader(engine.clone(), &name(), owner, mounted).await?;
    let tolerance = Tolerance { full: complaints.is_none(), ..Tolerance::default() };
    let stored = hand.source.open(stream).await?;
    let compared = verify::compare(stored, present, &tolerance, &hand.stop).await;
    leave(mover).await;
    compared?;
    Ok(Some(complaints.map(|told| reduced(volume, &told)).into_iter().collect()))
}

fn name() -> String {
    format!("holdfast-restore-{}", hex::encode(random::<6>()))
}

/// The restore need not fail for a container that cannot be removed now.
async fn leave(mover: Mover) {
    if let Err(error) = mover.close().await {
        tracing::warn!(error = error.chain(), "a helper container could not be removed yet");
    }
}

fn reduced(volume: &str, told: &str) -> Problem {
    let told: Vec<_> = told.lines().map(|line| line.trim_start_matches("holdfast-mover: ")).collect();
    let text = format!("not everything in volume {volume} could be put back as it was: {}", told.join("; "));
    Problem::warning("volume.reduced", volume, text)
        .advice("Names, contents, owners, permissions and times were read back and are right; look at what is named.")
}
