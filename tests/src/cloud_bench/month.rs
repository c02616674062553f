//! A month of an appliance before its bucket: a backup each hour, all that comes of it, and what is asked of the bucket for each deed.
//!
//! The clock is ours, and the bucket's times are told by it, so that graces and retention pass as they would. Everything else is real: the
//! session, the shipper, the bucket client, the prune, the daily verification by its default share, the weekly probe.

use super::{
    Site,
    chunked::Chunked,
    nothing_wrong, retention,
    ship::arrived,
    states::{Change, States},
    watched::Watched,
};
use crate::{counting_proxy::Requests, folder_repository::FolderRepository};
use holdfast_cloud_sync::{Line, Shipper};
use holdfast_model::{
    Error, Moment, Result,
    policy::{Policy, Retention},
    verification::Verification,
};
use holdfast_runtime::{Clock, Stop};
use holdfast_storage::Store;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const HOUR_S: u64 = 3600;
/// Hours of a day and of a week.
const DAY: u64 = 24;
const WEEK: u64 = 7 * DAY;

/// Lives through so many hours with a folder of so many GiB, at a counted site whose bucket is empty. `room` is an empty folder.
pub async fn month(site: &Site, room: &Path, gib: f64, hours: u64) -> Result<Value> {
    let mut month = Month::begin(site, room, gib).await?;
    for hour in 0..hours {
        month.hour(hour).await?;
    }
    month.end(hours).await
}

/// What was done, how often, and what it asked of the bucket.
struct Deed {
    what: &'static str,
    times: u64,
    requests: Requests,
}

struct Month<'a> {
    site: &'a Site,
    clock: Clock,
    house: FolderRepository,
    bucket: Arc<Watched>,
    shipper: Arc<Shipper>,
    stop: Stop,
    keep: Retention,
    data: PathBuf,
    states: States,
    chunked: Chunked,
    deeds: Vec<Deed>,
    /// Bytes in the bucket at the end of each day.
    bytes_by_day: Vec<u64>,
    /// Objects that a store of chunks would have been asked to take.
    chunk_puts: u64,
}

impl<'a> Month<'a> {
    async fn begin(site: &'a Site, room: &Path, gib: f64) -> Result<Month<'a>> {
        let data = room.join("data");
        let states = States::of(&data, gib);
        states.make()?;
        let clock = Clock::manual(next_midnight());
        let house = FolderRepository::open_at(&room.join("repository"), clock.clone()).await?;
        let line = Line::default();
        let bucket = Arc::new(Watched::new(site.open(&line).await?).timed(clock.clone()));
        let probe = Deed { what: "probe", times: 1, requests: site.requests() };
        house.repository.attach_bucket(bucket.clone()).await?;
        let attaching = Deed { what: "attaching", times: 1, requests: site.requests().since(&probe.requests) };
        let stop = Stop::new();
        let repository = house.repository.clone();
        let shipper = holdfast_cloud_sync::start(repository, bucket.clone(), line, clock.clone(), stop.clone());
        Ok(Month {
            site,
            clock,
            house,
            bucket,
            shipper,
            stop,
            keep: hourly_policy()?.keep,
            data,
            chunked: Chunked::of(&states),
            states,
            deeds: vec![probe, attaching],
            bytes_by_day: Vec::new(),
            chunk_puts: 0,
        })
    }

    async fn hour(&mut self, hour: u64) -> Result<()> {
        self.clock.advance(Duration::from_secs(HOUR_S));
        if hour > 0 && hour.is_multiple_of(WEEK) {
            self.probe().await?;
        }
        self.back_up(hour).await?;
        if (hour + 1).is_multiple_of(DAY) {
            self.verify().await?;
            self.prune().await?;
            self.bytes_by_day.push(self.house.repository.bucket_use().bytes);
        }
        Ok(())
    }

    async fn back_up(&mut self, hour: u64) -> Result<()> {
        let before = self.site.requests();
        let (what, change) = match hour {
            0 => ("first backup", None),
            _ => ("hourly backup", Some(self.states.change(hour)?)),
        };
        let done = self.house.back_up(&self.data).await?;
        nothing_wrong(&done.snapshot.problems)?;
        arrived(&self.house.repository, &self.shipper).await?;
        self.count_chunks(change.as_ref());
        self.note(what, &before);
        Ok(())
    }

    fn count_chunks(&mut self, change: Option<&Change>) {
        self.chunk_puts += change.map_or_else(|| self.chunked.first(), |change| self.chunked.after(change));
    }

    async fn verify(&mut self) -> Result<()> {
        let before = self.site.requests();
        let percent = Verification::default().daily_percent;
        let report = self.house.repository.check_share(percent, None, &self.stop).await?;
        nothing_wrong(&report.problems)?;
        self.note("daily verification", &before);
        Ok(())
    }

    async fn prune(&mut self) -> Result<()> {
        let before = self.site.requests();
        let repository = &self.house.repository;
        let entries = repository.snapshots();
        let taken: Vec<_> = entries.iter().map(|entry| (entry.snapshot.id.clone(), entry.snapshot.time)).collect();
        let plan = repository.prune_plan(retention::to_forget(&taken, &self.keep)).await?;
        let outcome = repository.prune(plan, &self.stop).await?;
        nothing_wrong(&outcome.problems)?;
        // What was repacked, and the marks of what was forgotten.
        arrived(repository, &self.shipper).await?;
        self.note("daily prune", &before);
        Ok(())
    }

    async fn probe(&mut self) -> Result<()> {
        let before = self.site.requests();
        self.site.probe().await?;
        self.note("probe", &before);
        Ok(())
    }

    fn note(&mut self, what: &'static str, before: &Requests) {
        let requests = self.site.requests().since(before);
        match self.deeds.iter_mut().find(|deed| deed.what == what) {
            Some(deed) => {
                deed.times += 1;
                deed.requests = deed.requests.and(&requests);
            }
            None => self.deeds.push(Deed { what, times: 1, requests }),
        }
    }

    /// Ends the shipper and tells what it all came to.
    async fn end(self, hours: u64) -> Result<Value> {
        let total = self.deeds.iter().fold(Requests::default(), |sum, deed| sum.and(&deed.requests));
        self.stop.cancel();
        self.shipper.finished().await;
        let objects = self.bucket.list("").await?;
        let deed = |deed: &Deed| json!({ "what": deed.what, "times": deed.times, "requests": deed.requests.json() });
        Ok(json!({
            "hours": hours,
            "deeds": self.deeds.iter().map(deed).collect::<Vec<_>>(),
            "requests": total.json(),
            "snapshots": self.house.repository.snapshots().len(),
            "objects": objects.len(),
            "bytes": objects.iter().map(|object| object.size).sum::<u64>(),
            "bytes_by_day": self.bytes_by_day,
            "chunk_puts": self.chunk_puts,
        }))
    }
}

/// Never before now: files that were changed later than a backup began are not trusted to be the same at the next one.
fn next_midnight() -> Moment {
    let day = 24 * 3_600_000;
    Moment::from_millis((Clock::system().now().millis().div_euclid(day) + 1) * day)
}

/// The policy that every new appliance has for backups by the hour.
fn hourly_policy() -> Result<Policy> {
    let mut all = Policy::starters().into_iter();
    all.find(|policy| policy.every_seconds == HOUR_S).ok_or_else(|| Error::bug("no starter policy is by the hour"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3mem::{Quirks, S3Mem};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_deed_of_some_days_is_counted_and_the_bucket_is_pruned_by_our_clock() {
        let home = tempfile::tempdir().unwrap();
        let server = S3Mem::start(Quirks::default()).await;
        let site = Site::at(server.settings("bucket")).counted().await.unwrap();
        let told = month(&site, home.path(), 0.002, 74).await.unwrap();
        let deeds = told["deeds"].as_array().unwrap();
        let of =
            |what: &str| deeds.iter().find(|deed| deed["what"] == what).unwrap_or_else(|| panic!("{what}: {told}"));
        let times = |what: &str| of(what)["times"].as_u64().unwrap();
        assert_eq!((times("probe"), times("first backup"), times("hourly backup")), (1, 1, 73), "{told}");
        assert_eq!((times("daily verification"), times("daily prune")), (3, 3), "{told}");
        let asked = |what: &str, kind: &str| of(what)["requests"][kind].as_u64().unwrap();
        // A pack at least, a segment, a reach list and the snapshot.
        assert!(asked("hourly backup", "PUT") >= 73 * 4, "{told}");
        assert!(asked("daily prune", "DELETE") > 20, "snapshots go, and after a day their packs: {told}");
        assert_eq!(told["snapshots"].as_u64().unwrap(), 24 + 2 + 2, "those of 24 hours, two days, and since: {told}");
        let sum: u64 = deeds.iter().map(|deed| deed["requests"]["PUT"].as_u64().unwrap()).sum();
        assert!(told["requests"]["PUT"].as_u64() == Some(sum) && told["chunk_puts"].as_u64().unwrap() >= 74 * 5);
        assert_eq!(told["bytes_by_day"].as_array().unwrap().len(), 3);
    }
}
