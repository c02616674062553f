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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speed_of_a_tree() {
    use holdfast_tree::{Fault, MemTree, Node};
    if !wanted() {
        return;
    }
    const FILES: u64 = 200_000;
    let node = |path: &str, n: u64, version: u64| {
        let content = noise(n * 10 + version, 500 + (n * 37 % 9000) as usize);
        let header = TarEntry::file(path.as_bytes(), content.len() as u64).header().unwrap();
        Node { header: header.into(), content: content.into(), version, fault: Fault::None }
    };
    let name = |n: u64| format!("v/some/folder-{:05}/file-{n:07}", n / 100);
    let nodes = |version: &dyn Fn(u64) -> u64| -> std::collections::BTreeMap<Vec<u8>, Node> {
        (0..FILES).map(|n| (name(n).into_bytes(), node(&name(n), n, version(n)))).collect()
    };
    let folder = std::env::temp_dir().join(format!("holdfast-tree-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let cache: Arc<dyn Store> = Arc::new(DirStore::open(&folder).unwrap());
    let repository = Repository::create(parts(Arc::clone(&cache)), DEVICE).await.unwrap();
    let mut parent: Option<StreamRef> = None;
    type Version = fn(u64) -> u64;
    let rounds: [(&str, Version); 4] = [
        ("first", |_| 1),
        ("unchanged", |_| 1),
        ("one file in 1000 changed", |n| if n % 1000 == 0 { 2 } else { 1 }),
        ("one folder changed", |n| if n < 100 { 3 } else { u64::from(n % 1000 == 0) + 1 }),
    ];
    for (what, version) in rounds {
        let tree = MemTree::new(nodes(&version));
        let numbers = Arc::new(Numbers::default());
        let start = Instant::now();
        let session = repository.session();
        let meter = Arc::clone(&numbers) as Arc<dyn Meter>;
        let (stream, _) = session.store_tree(parent.as_ref(), Box::new(tree), meter).await.unwrap();
        let written = session.commit(snapshot("a", vec![stream])).await.unwrap();
        let (time, read) = (start.elapsed(), numbers.moved.load(Ordering::Relaxed));
        println!("{what}: {time:?}, {read} bytes from the source, {} bytes new", written.stats.bytes_new);
        parent = written.volumes[0].stream.clone();
    }
    let stream = parent.unwrap();
    for what in ["restore", "outline"] {
        let start = Instant::now();
        let mut pieces = match what {
            "restore" => repository.read_pieces(&stream, From::Cache, None),
            _ => repository.read_outline(&stream, From::Cache),
        };
        while let Some(piece) = pieces.next().await {
            piece.unwrap();
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("{what}: {:.0} MB/s, {:.0} files/s", stream.length as f64 / 1e6 / seconds, FILES as f64 / seconds);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
