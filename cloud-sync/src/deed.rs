//! One object to the bucket: read, put, prove, acknowledge.
//!
//! A put proves size and checksum. One that finds the object there already (a reply was lost, the catalog forgot)
//! proves its size; a name that is the SHA-256 of sealed bytes nobody can foresee stands for the rest, and
//! names that are not are read back.

use crate::source::Source;
use holdfast_model::{Error, Kind, Result};
use holdfast_repository::{FENCE_UNSEEN, ShipItem, Stage};
use holdfast_storage::{PutMode, Store};

/// Why an object did not arrive.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is this object's own: others may do better.
    Own(Error),
    /// The same, and found in the cache: the bucket was not asked.
    Cache(Error),
    /// It is the bucket's: others would fare the same.
    Bucket(Error),
}

/// Brings one object to the bucket. Doing it twice is the same as doing it once.
pub(crate) async fn ship(source: &dyn Source, bucket: &dyn Store, item: &ShipItem) -> Result<(), Failure> {
    let bytes = source.ship_bytes(&item.key).await.map_err(of_cache)?;
    let size = bytes.len() as u64;
    if size != item.size {
        let words = format!("object {} has {size} bytes in the cache, {} were expected", item.key, item.size);
        let error =
            Error::new(Kind::Corrupt, "ship.size", words).advice("run a check: it names and heals damaged objects");
        return Err(Failure::Own(error));
    }
    bucket.put(&item.key, bytes.clone(), PutMode::Once).await.map_err(|error| classify(item, error))?;
    if !is_named_by_content(item.stage) {
        let there = bucket.get(&item.key).await.map_err(|error| classify(item, error))?;
        if there != bytes {
            return Err(Failure::Own(foreign(item)));
        }
    }
    source.acknowledged(&item.key, size).await.map_err(of_repository)
}

/// Nothing may go while somebody else writes the bucket, or while it does not say.
fn of_repository(error: Error) -> Failure {
    match error.code() {
        "repository.fenced" | FENCE_UNSEEN => Failure::Bucket(error),
        _ => Failure::Own(error),
    }
}

/// Damage in the cache is the object's alone.
fn of_cache(error: Error) -> Failure {
    match of_repository(error) {
        Failure::Own(error) if error.kind() == Kind::Corrupt => Failure::Cache(error),
        other => other,
    }
}

/// Objects with other names could be there with other bytes of the same size: they are few and small, and
/// are read back.
fn is_named_by_content(stage: Stage) -> bool {
    match stage {
        Stage::Pack | Stage::Segment => true,
        Stage::Setup | Stage::Reach | Stage::Snapshot | Stage::Settings => false,
    }
}

fn classify(item: &ShipItem, error: Error) -> Failure {
    match error.kind() {
        Kind::Conflict => Failure::Own(foreign(item).caused_by(error)),
        // A store that does not take this object may take others; one that knows no such request takes none.
        Kind::Refused if error.code() == "bucket.not_supported" => {
            Failure::Bucket(error.while_doing(format!("ship {}", item.key)))
        }
        Kind::Invalid | Kind::Corrupt | Kind::Refused => Failure::Own(error.while_doing(format!("ship {}", item.key))),
        _ => Failure::Bucket(error.while_doing(format!("ship {}", item.key))),
    }
}

fn foreign(item: &ShipItem) -> Error {
    let words = format!("the bucket holds another object under the name {}; it was left alone", item.key);
    Error::new(Kind::Conflict, "bucket.foreign_object", words).advice(
        "something else writes to this bucket: give the appliance a bucket or prefix of its own, or run a check",
    )
}
