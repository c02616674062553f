//! Rates on a real folder; run by hand:
//! `HOLDFAST_BENCH=1 cargo test -p holdfast-repository --release speed -- --nocapture`.

use super::*;
use holdfast_storage::DirStore;
use std::time::Instant;

const SIZE: usize = 512 << 20;

/// Benchmarks take seconds and a gigabyte, and noisy machines make their figures worthless as tests.
fn wanted() -> bool {
    std::env::var_os("HOLDFAST_BENCH").is_some()
}

fn rate(what: &str, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {:.0} MB/s", SIZE as f64 / 1e6 / seconds);
}

/// Half noise, half text: compresses about 2 : 1.
fn mixed() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SIZE);
    let text = b"2026-11-23 05:47:10 INFO request served in 12 ms from cache, status 200\n".repeat(1000);
    let mut seed = 0;
    while bytes.len() < SIZE {
        bytes.extend(noise(seed, 60_000));
        bytes.extend_from_slice(&text[..60_000]);
        seed += 1;
    }
    bytes.truncate(SIZE);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speed() {
    if !wanted() {
        return;
    }
    let folder = std::env::temp_dir().join(format!("holdfast-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let cache: Arc<dyn Store> = Arc::new(DirStore::open(&folder).unwrap());
    let repository = Repository::create(parts(Arc::clone(&cache)), DEVICE).await.unwrap();
    let bytes = Bytes::from(mixed());
    let source = || {
        let bytes = bytes.clone();
        stream::iter((0..SIZE).step_by(1 << 20)).map(move |at| Ok(bytes.slice(at..at + (1 << 20)))).boxed()
    };
    let mut written = None;
    for what in ["first backup", "unchanged backup"] {
        let start = Instant::now();
        let session = repository.session();
        let stream = session.store(StreamKind::Bytes, source(), Arc::new(Numbers::default())).await.unwrap();
        written = Some(session.commit(snapshot("a", vec![stream])).await.unwrap());
        rate(what, start);
    }
    let written = written.unwrap();
    let start = Instant::now();
    let mut pieces = repository.read(volume(&written), From::Cache, None);
    while let Some(piece) = pieces.next().await {
        piece.unwrap();
    }
    rate("restore from the cache", start);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speed_of_many_small_files() {
    if !wanted() {
        return;
    }
    const FILES: u64 = 100_000;
    let names: Vec<String> = (0..FILES).map(|n| format!("v/some/folder-{}/file-{n}", n / 100)).collect();
    let files: Vec<(&str, Vec<u8>)> =
        names.iter().zip(0..).map(|(name, n)| (name.as_str(), noise(n, 500 + (n * 37 % 3000) as usize))).collect();
    let bytes = tar(&files);
    let (repository, cache) = fresh().await;
    for what in ["first", "unchanged"] {
        let start = Instant::now();
        let written = back_up(&repository, "small", &bytes).await.unwrap();
        let rate = FILES as f64 / start.elapsed().as_secs_f64();
        println!("{what}: {rate:.0} files/s, {} of {} bytes new", written.stats.bytes_new, bytes.len());
        let start = Instant::now();
        assert_eq!(read_all(&repository, volume(&written), From::Auto).await.unwrap().len(), bytes.len());
        println!("restore: {:.0} MB/s", bytes.len() as f64 / 1e6 / start.elapsed().as_secs_f64());
    }
    let start = Instant::now();
    reopen(&cache).await;
    println!("opening: {:?}", start.elapsed());
}
