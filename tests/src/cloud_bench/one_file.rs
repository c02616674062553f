//! One small file out of a large snapshot in the bucket: what it takes to find and to read it.

use super::{
    Site,
    fetch::recover,
    made::{self, MadeTree},
    ship::ship_all,
    stream_of,
    watched::Watched,
};
use crate::{counting_proxy::Requests, folder_repository::FolderRepository};
use futures::StreamExt;
use holdfast_cloud_sync::Line;
use holdfast_model::{
    Error, Kind, Result,
    snapshot::{Snapshot, StreamRef},
    view::From,
};
use holdfast_repository::{Piece, RecoveryKey, Repository};
use holdfast_storage::{Counting, Store};
use holdfast_tar::{Found, Outline};
use serde_json::{Value, json};
use std::{ops::Range, path::Path, sync::Arc};

/// Stores so many GiB of files of 1 MiB, brings them to the bucket of a counted site, and reads one back into caches that have nothing.
/// `folder` is empty; its room is needed once, because packs leave it for the bucket.
///
/// *Cold* is a read at a known place right after the snapshot was opened, *warm* one after its listing was looked through.
pub async fn one_file(site: &Site, folder: &Path, gib: f64) -> Result<Value> {
    let files = (gib * (1u64 << 30) as f64 / made::SIZE as f64) as u64;
    let key = fill(site, folder, files).await?;
    let number = files / 2;

    let mut warm = Look::open(site, &key).await?;
    let place = warm.find(&made::path(number)).await?;
    warm.read("the file, its listing known", place.clone(), number).await?;
    let next = warm.find(&made::path(number / 2)).await?;
    warm.told.pop();
    warm.read("another file", next, number / 2).await?;

    let mut cold = Look::open(site, &key).await?;
    cold.told.clear();
    cold.read("the file at once, nothing known but its place", place, number).await?;
    warm.told.append(&mut cold.told);
    Ok(json!({ "files": files, "bytes": files * made::SIZE, "steps": warm.told }))
}

/// Brings the snapshot to the bucket; the answer opens it.
async fn fill(site: &Site, folder: &Path, files: u64) -> Result<RecoveryKey> {
    let house = FolderRepository::open(folder).await?;
    house.back_up_tree("made", Box::new(MadeTree::new(files))).await?;
    let line = Line::default();
    let bucket = Watched::new(site.open(&line).await?).spending(folder.join("cache"));
    ship_all(&house.repository, &Arc::new(bucket), line).await?;
    Ok(house.repository.recovery_key())
}

/// Somebody who has nothing but the bucket and the kit.
struct Look<'a> {
    site: &'a Site,
    bucket: Arc<Counting>,
    repository: Repository,
    snapshot: Arc<Snapshot>,
    /// What each step asked for.
    told: Vec<Value>,
}

impl<'a> Look<'a> {
    async fn open(site: &'a Site, key: &RecoveryKey) -> Result<Look<'a>> {
        let bucket = Arc::new(Counting::new(site.open(&Line::default()).await?));
        let before = site.requests();
        let repository = recover(Arc::clone(&bucket) as Arc<dyn Store>, key.clone()).await?;
        let entry = repository.snapshots().pop();
        let entry = entry.ok_or_else(|| Error::not_found("snapshot.missing", "the bucket has none"))?;
        let mut look = Look { site, bucket, repository, snapshot: entry.snapshot, told: Vec::new() };
        look.note("opening the repository", &before, 0);
        Ok(look)
    }

    fn note(&mut self, what: &str, before: &Requests, bytes_before: u64) {
        let asked = self.site.requests().since(before);
        let bytes = self.bucket.counts().bytes_got - bytes_before;
        self.told.push(json!({ "what": what, "total": asked.total(), "bytes": bytes, "requests": asked.json() }));
    }

    /// Looks for a file as a listing does, from the beginning.
    async fn find(&mut self, path: &str) -> Result<Range<u64>> {
        let (before, bytes) = (self.site.requests(), self.bucket.counts().bytes_got);
        let place = place_of(&self.repository, stream_of(&self.snapshot)?, path.as_bytes()).await?;
        self.note("looking through the listing up to the file", &before, bytes);
        Ok(place)
    }

    async fn read(&mut self, what: &str, place: Range<u64>, number: u64) -> Result<()> {
        let (before, bytes) = (self.site.requests(), self.bucket.counts().bytes_got);
        let mut coming = self.repository.read_range(stream_of(&self.snapshot)?, place, From::Auto);
        let mut read = Vec::new();
        while let Some(piece) = coming.next().await {
            read.extend_from_slice(&piece?);
        }
        self.note(what, &before, bytes);
        if made::content(number) != read {
            return Err(Error::new(Kind::Corrupt, "bench.other_bytes", "another file came back"));
        }
        Ok(())
    }
}

/// Where the content of a file lies in the stream.
async fn place_of(repository: &Repository, stream: &StreamRef, path: &[u8]) -> Result<Range<u64>> {
    for part in repository.parts(stream, From::Auto).await? {
        let (mut outline, mut place) = (Outline::new(), None);
        let mut tell = |found: Found| {
            if found.member.path == path {
                place = Some(part.at + found.body..part.at + found.body + found.member.size);
            }
            Ok(())
        };
        let mut coming = repository.read_outline_of(&part, From::Auto);
        while let Some(piece) = coming.next().await {
            match piece? {
                Piece::Bytes(bytes) => outline.bytes(&bytes, &mut tell)?,
                Piece::Zeros(count) => outline.zeros(count, &mut tell)?,
            }
        }
        if let Some(place) = place {
            return Ok(place);
        }
    }
    Err(Error::not_found("file.missing", "the snapshot has no such file"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3mem::{Quirks, S3Mem};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_takes_at_most_four_requests() {
        let home = tempfile::tempdir().unwrap();
        let server = S3Mem::start(Quirks::default()).await;
        let site = Site::at(server.settings("bucket")).counted().await.unwrap();
        let told = one_file(&site, home.path(), 0.0625).await.unwrap();
        let steps = told["steps"].as_array().unwrap();
        assert_eq!((told["files"].as_u64(), steps.len()), (Some(64), 5), "{told}");
        for step in &steps[2..] {
            let (total, bytes) = (step["total"].as_u64().unwrap(), step["bytes"].as_u64().unwrap());
            assert!((1..=4).contains(&total), "{step}");
            assert!(bytes >= made::SIZE, "it comes from the bucket: {step}");
        }
    }
}
