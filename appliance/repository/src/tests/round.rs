//! In and out again: every byte, and nothing stored twice.

use super::*;
use proptest::prelude::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tar_comes_back_from_the_cache_and_after_reopening() {
    let (repository, cache) = fresh().await;
    let bytes = some_tar(1);
    let written = back_up(&repository, "shop", &bytes).await.unwrap();
    assert_eq!(written.sequence, 1);
    assert_eq!(written.repository, repository.id());
    assert!(written.stats.bytes_new > 3_000_000 && written.stats.chunks_new > 5);
    assert_eq!(read_all(&repository, volume(&written), From::Auto).await.unwrap(), bytes);
    let again = reopen(&cache).await;
    let entry = again.snapshot(&written.id.as_str()[..26]).unwrap();
    assert_eq!(*entry.snapshot, written);
    assert_eq!(entry.state.local, holdfast_model::view::LocalState::Present);
    assert_eq!(read_all(&again, volume(&written), From::Cache).await.unwrap(), bytes);
    assert!(again.take_healed().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_stream_adds_next_to_nothing() {
    let (repository, cache) = fresh().await;
    let bytes = some_tar(2);
    let first = back_up(&repository, "shop", &bytes).await.unwrap();
    let second = back_up(&repository, "shop", &bytes).await.unwrap();
    assert!(second.stats.bytes_new < 3000 && second.stats.chunks_new == 0);
    assert_eq!(volume(&first), volume(&second));
    let repository = reopen(&cache).await;
    let third = back_up(&repository, "shop", &bytes).await.unwrap();
    assert!(third.stats.bytes_new < 3000, "recipes stay the same after reopening");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_byte_adds_only_its_neighbourhood() {
    let (repository, _) = fresh().await;
    let mut bytes = noise(3, 20_000_000);
    let session = repository.session();
    let stream = put(&session, StreamKind::Bytes, &bytes).await.unwrap();
    session.commit(snapshot("a", vec![stream])).await.unwrap();
    bytes[9_000_000] ^= 1;
    bytes.splice(3_000_000..3_000_000, *b"inserted");
    let session = repository.session();
    let stream = put(&session, StreamKind::Bytes, &bytes).await.unwrap();
    let second = session.commit(snapshot("a", vec![stream])).await.unwrap();
    assert!(second.stats.bytes_new < 5_000_000, "{}", second.stats.bytes_new);
    assert_eq!(read_all(&repository, volume(&second), From::Auto).await.unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_file_is_cut_in_blocks() {
    let (repository, _) = fresh().await;
    let mut pages = noise(4, 8192 * 512);
    for page in pages.chunks_mut(8192) {
        page[12..20].copy_from_slice(&[0x40, 0, 0, 0x10, 0, 0x20, 0x04, 0x20]);
    }
    let first = back_up(&repository, "db", &tar(&[("v/base/1", pages.clone())])).await.unwrap();
    pages[8192 * 100 + 500] ^= 1;
    let bytes = tar(&[("v/base/1", pages)]);
    let second = back_up_after(&repository, &first, &bytes).await.unwrap();
    assert!(second.stats.bytes_new < 8_000, "{}", second.stats.bytes_new);
    assert_eq!(read_all(&repository, volume(&second), From::Auto).await.unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tar_without_its_end_is_refused() {
    let (repository, _) = fresh().await;
    let bytes = some_tar(5);
    let session = repository.session();
    let error = put(&session, StreamKind::Tar, &bytes[..bytes.len() - 1024]).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (holdfast_model::Kind::Corrupt, "stream.short"));
    let error = put(&session, StreamKind::Tar, &bytes[..1_000_000]).await.unwrap_err();
    assert_eq!(error.code(), "stream.short");
    let stream = put(&session, StreamKind::Tar, &bytes).await.unwrap();
    let written = session.commit(snapshot("a", vec![stream])).await.unwrap();
    assert_eq!(read_all(&repository, volume(&written), From::Auto).await.unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_source_is_told_as_it_is() {
    let (repository, _) = fresh().await;
    let session = repository.session();
    let broken = pieces(&noise(6, 500_000), 9999).chain(stream::once(async {
        Err(holdfast_model::Error::new(holdfast_model::Kind::Unavailable, "host.gone", "gone"))
    }));
    let error = session.store(StreamKind::Bytes, broken.boxed(), Arc::new(Numbers::default())).await.unwrap_err();
    assert_eq!(error.code(), "host.gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_share_what_they_store() {
    let (repository, cache) = fresh().await;
    let common = noise(7, 6_000_000);
    let (one, two) = (repository.session(), repository.session());
    let store = |session: Session| {
        let bytes = common.clone();
        async move {
            let stream = put(&session, StreamKind::Bytes, &bytes).await.unwrap();
            session.commit(snapshot("a", vec![stream])).await.unwrap()
        }
    };
    let (first, second) = tokio::join!(tokio::spawn(store(one)), tokio::spawn(store(two)));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.stats.bytes_new + second.stats.bytes_new < 6_200_000);
    assert_ne!(first.sequence, second.sequence);
    let again = reopen(&cache).await;
    for written in [first, second] {
        assert_eq!(read_all(&again, volume(&written), From::Cache).await.unwrap(), common);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_numbered_and_kept() {
    let (repository, cache) = fresh().await;
    assert!(repository.settings().await.unwrap().is_none());
    for generation in 1..=4 {
        let settings = Settings { generation, appliance: format!("box-{generation}"), ..Settings::default() };
        repository.save_settings(&settings).await.unwrap();
    }
    let stale = Settings { generation: 4, ..Settings::default() };
    assert_eq!(repository.save_settings(&stale).await.unwrap_err().code(), "settings.stale");
    assert_eq!(reopen(&cache).await.settings().await.unwrap().unwrap().appliance, "box-4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doors_stay_closed_to_wrong_keys_and_later_formats() {
    let cache = memory();
    let code = |result: Result<Repository>| result.err().unwrap().code().to_owned();
    assert_eq!(code(Repository::open(parts(Arc::clone(&cache)), Unlock::Device(DEVICE)).await), "repository.none");
    let repository = Repository::create(parts(Arc::clone(&cache)), DEVICE).await.unwrap();
    assert_eq!(code(Repository::create(parts(Arc::clone(&cache)), DEVICE).await), "repository.exists");
    assert_eq!(code(Repository::open(parts(Arc::clone(&cache)), Unlock::Device([8; 32])).await), "key.wrong");
    let kit = repository.recovery_key();
    Repository::open(parts(Arc::clone(&cache)), Unlock::Recovery(kit)).await.unwrap();
    let text = String::from_utf8(cache.get("format").await.unwrap().to_vec()).unwrap();
    for (old, new, expected) in [
        ("\"version\": 1", "\"version\": 9", "format.unsupported"),
        ("\"needed\": []", "\"needed\": [\"time-travel\"]", "format.unsupported"),
        ("\"optional\": []", "\"optional\": [\"x\"]", "format.corrupt"),
    ] {
        assert!(text.contains(old));
        cache.put("format", text.replace(old, new).into(), PutMode::Replace).await.unwrap();
        let error = Repository::open(parts(Arc::clone(&cache)), Unlock::Device(DEVICE)).await.err().unwrap();
        assert_eq!(error.code(), expected);
        assert!(
            expected != "format.unsupported"
                || error.to_string().contains("9")
                || error.to_string().contains("time-travel")
        );
    }
}

/// A member of a random tar.
fn member() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop_oneof![Just("v/a".to_owned()), "[a-z]{1,8}/[a-z]{1,120}", "[a-z]{130,300}"];
    let content = prop_oneof![
        4 => (any::<u64>(), 0usize..40_000).prop_map(|(seed, length)| noise(seed, length)),
        2 => (any::<u64>(), 30_000usize..400_000).prop_map(|(seed, length)| noise(seed, length)),
        1 => (0usize..500_000).prop_map(|length| vec![0; length]),
        1 => (any::<u64>(), 0usize..200_000, 0usize..200_000).prop_map(|(seed, a, b)| {
            let mut bytes = noise(seed, a);
            bytes.extend(vec![0; b]);
            bytes.extend(noise(seed, a / 2));
            bytes
        }),
    ];
    (name, content)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn random_tars_come_back(members in proptest::collection::vec(member(), 0..12), garbage in any::<bool>(), size in 1usize..200_000) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let files: Vec<(&str, Vec<u8>)> = members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
            let mut bytes = tar(&files);
            if garbage {
                bytes.extend(noise(9, 70_000));
            }
            let (repository, cache) = fresh().await;
            let session = repository.session();
            let kind = if garbage { StreamKind::Bytes } else { StreamKind::Tar };
            let first = session.store(kind, pieces(&bytes, size), Arc::new(Numbers::default())).await.unwrap();
            let as_tar = session.store(StreamKind::Tar, pieces(&bytes, 4096), Arc::new(Numbers::default())).await.unwrap();
            let written = session.commit(snapshot("a", vec![first, as_tar])).await.unwrap();
            let again = reopen(&cache).await;
            for volume in &written.volumes {
                let stream = volume.stream.as_ref().unwrap();
                prop_assert_eq!(&read_all(&again, stream, From::Auto).await.unwrap(), &bytes);
            }
            Ok(())
        })?;
    }
}
