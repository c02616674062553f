//! The probe of a store that is no S3 bucket: a directory, a fake. Only what the trait shows can be tried.

use bytes::Bytes;
use futures::future::join_all;
use holdfast_model::{Kind, Result, view::Capabilities};
use holdfast_runtime::{Clock, random};
use holdfast_storage::{PutMode, Store};

/// Writers that race for one name, each with a body of another length.
const RACERS: usize = 8;

/// Probes any store under the reserved prefix `probe/` and cleans up.
///
/// Errors: those of the store itself; a store that lies is not an error but a "no".
pub async fn probe_store(store: &dyn Store) -> Result<Capabilities> {
    let base = format!("probe/{}", hex::encode(random::<6>()));
    let (first, race) = (format!("{base}/a"), format!("{base}/race"));
    let mut caps = Capabilities { probed: Some(Clock::system().now().to_string()), ..Capabilities::default() };
    store.put(&first, Bytes::from_static(b"0123456789"), PutMode::Replace).await?;
    caps.list_after_put = store.list(&base).await?.iter().any(|object| object.key == first && object.size == 10);
    caps.conditional_put = match store.put(&first, Bytes::from_static(b"other"), PutMode::Once).await {
        Err(error) if error.kind() == Kind::Conflict => store.get(&first).await? == "0123456789",
        Err(error) => return Err(error),
        Ok(()) => false,
    };
    let racers = (1..=RACERS).map(|length| store.put(&race, Bytes::from(vec![b'r'; length]), PutMode::Once));
    caps.conditional_race = join_all(racers).await.iter().filter(|result| result.is_ok()).count() == 1;
    caps.range = store.get_range(&first, 3..7).await? == "3456";
    caps.notes.push("checksum, versions, object lock: not tried, the place is not an S3 bucket".to_owned());
    match store.delete(&first).await {
        Ok(()) => caps.can_delete = store.head(&first).await?.is_none(),
        Err(error) if error.kind() == Kind::Denied => {}
        Err(error) => return Err(error),
    }
    if caps.can_delete {
        for object in store.list("probe/").await? {
            store.delete(&object.key).await?;
        }
    }
    Ok(caps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_storage::MemStore;

    #[tokio::test]
    async fn a_good_store_is_seen_as_good_and_left_clean() {
        let store = MemStore::new();
        let caps = probe_store(&store).await.unwrap();
        assert!(caps.list_after_put && caps.conditional_put && caps.conditional_race && caps.range && caps.can_delete);
        assert!(!caps.versioning && !caps.object_lock && !caps.checksum);
        assert!(store.list("").await.unwrap().is_empty());
    }
}
