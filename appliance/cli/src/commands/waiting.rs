//! Waits until snapshots are in the bucket, and says what keeps them.

use super::Desk;
use crate::{client::part, outcome::Failure, output, watch::interrupted};
use holdfast_model::{
    Error, Kind, SnapshotId,
    job::JobView,
    view::{BucketView, CloudState, SnapshotDetail},
};
use std::time::{Duration, Instant};

/// Between looks at a snapshot's state.
const LOOK: Duration = Duration::from_millis(500);
/// Between reports on what keeps it.
const REPORT: Duration = Duration::from_secs(10);

/// Waits until the bucket holds every snapshot that these jobs made. Gives up only at the timeout:
/// shipping goes on by itself whatever happens here.
pub async fn until_in_bucket(desk: &Desk, jobs: &[JobView], timeout: Option<Duration>) -> Result<(), Failure> {
    tokio::select! {
        there = look_until_in_bucket(desk, jobs, timeout) => there,
        stopped = interrupted() => Err(stopped),
    }
}

async fn look_until_in_bucket(desk: &Desk, jobs: &[JobView], timeout: Option<Duration>) -> Result<(), Failure> {
    let began = Instant::now();
    let mut reported = began;
    for snapshot in jobs.iter().filter_map(|job| job.snapshot.as_ref()) {
        while !is_in_bucket(desk, snapshot).await? {
            if timeout.is_some_and(|limit| began.elapsed() >= limit) {
                return Err(late(desk, snapshot).await.into());
            }
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                report(desk, snapshot).await?;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

async fn is_in_bucket(desk: &Desk, snapshot: &SnapshotId) -> Result<bool, Failure> {
    let detail: SnapshotDetail = desk.client.get(&format!("/snapshots/{}", part(snapshot.as_str()))).await?;
    match detail.snapshot.state.cloud {
        CloudState::Present => Ok(true),
        CloudState::Shipping => Ok(false),
        CloudState::None => has_bucket(desk).await.map(|()| false),
        CloudState::Damaged => {
            let what = format!("the bucket lost objects of snapshot {snapshot}");
            Err(Error::new(Kind::Corrupt, "snapshot.damaged", what)
                .advice("Run holdfast check: it sends them again from the cache.")
                .into())
        }
    }
}

/// Refuses to wait for a bucket that nobody has set. One that is set but does not answer is waited for.
async fn has_bucket(desk: &Desk) -> Result<(), Failure> {
    let bucket: BucketView = desk.client.get("/bucket").await?;
    if bucket.url.is_some() {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, "bucket.none", "no bucket is set, so nothing is shipped")
        .advice("Attach one with holdfast bucket set URL.")
        .into())
}

async fn report(desk: &Desk, snapshot: &SnapshotId) -> Result<(), Failure> {
    let bucket: BucketView = desk.client.get("/bucket").await?;
    desk.output.talk(&format!("waiting for snapshot {snapshot}: {}", describe(&bucket)));
    Ok(())
}

async fn late(desk: &Desk, snapshot: &SnapshotId) -> Error {
    let why = desk.client.get::<BucketView>("/bucket").await.map(|bucket| describe(&bucket)).unwrap_or_default();
    Error::new(Kind::Unavailable, "bucket.late", format!("snapshot {snapshot} is not in the bucket yet: {why}"))
        .advice("Shipping goes on; holdfast snapshots shows when it is there.")
}

fn describe(bucket: &BucketView) -> String {
    let queue = format!(
        "{} objects, {} to go at {}/s",
        bucket.queued_objects,
        output::bytes(bucket.queued_bytes),
        output::bytes(bucket.rate)
    );
    match (&bucket.error, &bucket.error_code) {
        (Some(error), Some(code)) => format!("{queue}; {error} [{code}]"),
        (Some(error), None) => format!("{queue}; {error}"),
        _ => queue,
    }
}
