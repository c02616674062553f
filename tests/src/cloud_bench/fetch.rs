//! A whole snapshot on its way back from the bucket, to somebody who has nothing but the bucket and the kit.

use super::{Site, nothing_wrong, stream_of, watched::Watched};
use crate::folder_repository::{FolderRepository, write_stream};
use futures::StreamExt;
use holdfast_catalog::Catalog;
use holdfast_cloud_sync::Line;
use holdfast_model::{Error, Result, view::From};
use holdfast_repository::{Parts, PieceStream, RecoveryKey, Repository};
use holdfast_runtime::Clock;
use holdfast_storage::{MemStore, Store};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Instant};

/// Opens the slot of the device in caches that are thrown away.
const DEVICE: [u8; 32] = [8; 32];

/// Restores the newest snapshot of the bucket, into a folder or into nothing. `repository` is where its key lies, and nothing else is taken
/// from there.
pub async fn fetch(site: &Site, repository: &Path, into: Option<&Path>) -> Result<Value> {
    let key = key_of(repository).await?;
    let bucket = Arc::new(Watched::new(site.open(&Line::default()).await?));
    let (before, began) = (site.requests(), Instant::now());
    let found = recover(bucket.clone(), key).await?;
    let opening = began.elapsed().as_secs_f64();
    let entry = found.snapshots().pop().ok_or_else(|| Error::not_found("snapshot.missing", "the bucket has none"))?;
    let stream = stream_of(&entry.snapshot)?;
    let bytes = match into {
        None => drain(found.read_pieces(stream, From::Bucket, None)).await?,
        Some(folder) => {
            let (_, problems) = write_stream(found.read(stream, From::Bucket, None), folder).await?;
            nothing_wrong(&problems)?;
            stream.length
        }
    };
    Ok(json!({
        "seconds": began.elapsed().as_secs_f64(),
        "opening": opening,
        "bytes": bytes,
        "at_once": bucket.gets.most(),
        "requests": site.requests().since(&before).json(),
    }))
}

async fn key_of(repository: &Path) -> Result<RecoveryKey> {
    Ok(FolderRepository::open(repository).await?.repository.recovery_key())
}

/// The repository of a bucket with a cache that is empty, and in memory.
pub(super) async fn recover(bucket: Arc<dyn Store>, key: RecoveryKey) -> Result<Repository> {
    let cache = Arc::new(MemStore::new());
    let parts = Parts { cache, catalog: Arc::new(Catalog::in_memory()), clock: Clock::system() };
    Repository::recover(parts, bucket, key, DEVICE).await
}

/// Bytes of a stream that nobody wants.
async fn drain(mut pieces: PieceStream) -> Result<u64> {
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        bytes += piece?.len();
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cloud_bench::{noise, ship},
        s3mem::{Quirks, S3Mem},
    };
    use std::fs;

    const FILE: usize = 300_000;

    fn a_folder(at: &Path) {
        fs::create_dir(at).unwrap();
        for number in 0..20 {
            let mut bytes = vec![0; FILE];
            noise::fill(number, &mut bytes);
            fs::write(at.join(number.to_string()), bytes).unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_shipped_comes_back_and_is_counted() {
        let home = tempfile::tempdir().unwrap();
        let [data, repository, out] = ["data", "repository", "out"].map(|name| home.path().join(name));
        a_folder(&data);
        FolderRepository::open(&repository).await.unwrap().back_up(&data).await.unwrap();
        let server = S3Mem::start(Quirks::default()).await;
        let site = Site::at(server.settings("bucket")).counted().await.unwrap();

        let shipped = ship(&site, &repository).await.unwrap();
        assert!(shipped["bytes"].as_u64().unwrap() >= 20 * FILE as u64, "{shipped}");
        assert_eq!(shipped["objects"], shipped["requests"]["PUT"], "each object is sent once: {shipped}");
        let fetched = fetch(&site, &repository, None).await.unwrap();
        assert!(fetched["bytes"].as_u64().unwrap() > 20 * FILE as u64, "{fetched}");
        assert!(fetched["requests"]["GET"].as_u64().unwrap() > 0, "{fetched}");
        fs::create_dir(&out).unwrap();
        fetch(&site, &repository, Some(out.as_path())).await.unwrap();
        for number in 0..20 {
            let [one, other] = [&data, &out].map(|folder| fs::read(folder.join(number.to_string())).unwrap());
            assert!(one == other, "file {number}");
        }
    }
}
