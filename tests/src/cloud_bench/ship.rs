//! A finished cache on its way to the bucket.

use super::{Site, watched::Watched};
use crate::folder_repository::FolderRepository;
use holdfast_cloud_sync::{Line, Shipper};
use holdfast_model::{Error, Kind, Result};
use holdfast_repository::Repository;
use holdfast_runtime::{Clock, Stop};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// How often it is looked whether everything has arrived, should no news come.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Ships all of a repository's cache to an empty bucket, and tells how long that took from attaching it to the last acknowledgement. The
/// probe before it does not count: an appliance makes one a week.
pub async fn ship(site: &Site, repository: &Path) -> Result<Value> {
    let house = FolderRepository::open(repository).await?;
    let line = Line::default();
    let bucket = Arc::new(Watched::new(site.open(&line).await?));
    let (before, began) = (site.requests(), Instant::now());
    let bytes = ship_all(&house.repository, &bucket, line).await?;
    let seconds = began.elapsed().as_secs_f64();
    let asked = site.requests().since(&before);
    Ok(json!({
        "seconds": seconds,
        "bytes": bytes,
        "objects": bucket.puts.all(),
        "at_once": bucket.puts.most(),
        "requests": asked.json(),
    }))
}

/// Attaches the bucket and ships until nothing is left; the answer is the bytes that were sent.
pub(super) async fn ship_all(repository: &Repository, bucket: &Arc<Watched>, line: Line) -> Result<u64> {
    repository.attach_bucket(bucket.clone()).await?;
    let stop = Stop::new();
    let clock = Clock::system();
    let shipper = holdfast_cloud_sync::start(repository.clone(), bucket.clone(), line, clock, stop.clone());
    let arrived = arrived(repository, &shipper).await;
    stop.cancel();
    shipper.finished().await;
    arrived.map(|()| shipper.status().sent_bytes)
}

/// Waits until the bucket has acknowledged all that there is. What a real appliance would wait out ends the bench.
pub(super) async fn arrived(repository: &Repository, shipper: &Shipper) -> Result<()> {
    let mut news = shipper.subscribe();
    shipper.nudge();
    while repository.ship_list(1, &HashSet::new()).objects > 0 {
        if let Some(trouble) = shipper.status().error {
            return Err(Error::new(Kind::Unavailable, trouble.code, trouble.words));
        }
        tokio::select! {
            _ = news.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    Ok(())
}
