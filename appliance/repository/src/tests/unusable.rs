//! What a recovery cannot use is named: by class, with a count, and in the words of a bucket.

use super::*;
use holdfast_model::{Kind, Problem};

async fn keys(store: &Arc<dyn Store>, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().into_iter().map(|object| object.key).collect()
}

async fn copy_of(store: &Arc<dyn Store>) -> Arc<dyn Store> {
    let copy = memory();
    for key in keys(store, "").await {
        copy.put(&key, store.get(&key).await.unwrap(), PutMode::Replace).await.unwrap();
    }
    copy
}

/// Turns a bit in the middle.
async fn spoil(store: &Arc<dyn Store>, key: &str) {
    let mut bytes = store.get(key).await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    store.put(key, bytes.into(), PutMode::Replace).await.unwrap();
}

/// Recovers from a copy of the bucket; what is told comes with it.
async fn recover(bucket: &Arc<dyn Store>, key: RecoveryKey) -> (Repository, Vec<Problem>) {
    let recovered = Repository::recover(parts(memory()), Arc::clone(bucket), key, [9; 32]).await.unwrap();
    let told = recovered.take_healed();
    (recovered, told)
}

fn of_code<'a>(told: &'a [Problem], code: &str) -> Vec<&'a Problem> {
    told.iter().filter(|problem| problem.code == code).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_names_damaged_segments_and_reach_lists_once_for_each_class() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let mut written = Vec::new();
    for seed in 0..7 {
        let bytes = tar(&[("v/file", noise(910 + seed, 50_000))]);
        written.push((back_up(&repository, "shop", &bytes).await.unwrap(), bytes));
    }
    ship(&repository, &bucket).await;
    for (class, word) in [("i/", "index segments"), ("r/", "reach lists")] {
        let damaged = copy_of(&bucket).await;
        let spoilt = keys(&damaged, class).await;
        assert!(spoilt.len() > 5, "{class}: {spoilt:?}");
        for key in &spoilt {
            spoil(&damaged, key).await;
        }
        let (recovered, told) = recover(&damaged, repository.recovery_key()).await;
        let about = of_code(&told, "object.corrupt");
        assert_eq!(about.len(), 1, "{told:?}");
        let message = &about[0].message;
        assert!(message.starts_with(&format!("{} {word} of the bucket ", spoilt.len())), "{message}");
        assert!(message.contains(&spoilt[4]) && !message.contains(&spoilt[5]), "five names: {message}");
        assert_eq!(about[0].subject, spoilt[0]);
        for (snapshot, bytes) in &written {
            let read = read_all(&recovered, volume(snapshot), From::Bucket).await.unwrap();
            assert!(read == *bytes, "{class}");
        }
    }
    let (_, told) = recover(&copy_of(&bucket).await, repository.recovery_key()).await;
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_says_that_the_settings_are_older_ones_or_lost() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    for generation in 1..=2 {
        let settings = Settings { generation, appliance: format!("a{generation}"), ..Settings::default() };
        repository.save_settings(&settings).await.unwrap();
        ship(&repository, &bucket).await;
    }
    let documents = keys(&bucket, "c/").await;
    assert_eq!(documents.len(), 2);
    let (_, told) = recover(&copy_of(&bucket).await, repository.recovery_key()).await;
    assert!(told.is_empty(), "{told:?}");

    let newest = copy_of(&bucket).await;
    spoil(&newest, &documents[1]).await;
    let (recovered, told) = recover(&newest, repository.recovery_key()).await;
    let about = of_code(&told, "settings.corrupt");
    assert_eq!(about.len(), 1, "{told:?}");
    assert!(about[0].subject == documents[0] && about[0].message.contains(&documents[1]), "{about:?}");
    assert_eq!(recovered.settings().await.unwrap().unwrap().appliance, "a1");

    let all = copy_of(&newest).await;
    spoil(&all, &documents[0]).await;
    let (recovered, told) = recover(&all, repository.recovery_key()).await;
    let about = of_code(&told, "settings.corrupt");
    assert_eq!(about.len(), 1, "{told:?}");
    assert!(about[0].message.contains("was not brought back"), "{about:?}");
    assert_eq!(recovered.settings().await.unwrap_err().kind(), Kind::Corrupt);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_names_snapshots_whose_packs_are_lost() {
    let (repository, _) = fresh().await;
    let bucket = memory();
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let lost = back_up(&repository, "shop", &some_tar(921)).await.unwrap();
    ship(&repository, &bucket).await;
    let packs = keys(&bucket, "p/").await;
    back_up(&repository, "mail", &some_tar(922)).await.unwrap();
    ship(&repository, &bucket).await;
    bucket.delete(&packs[0]).await.unwrap();
    let (_, told) = recover(&bucket, repository.recovery_key()).await;
    let about = of_code(&told, "snapshot.damaged");
    assert_eq!(about.len(), 1, "{told:?}");
    assert_eq!(about[0].subject, lost.id.to_string());
}
