//! Reading in part, and how often the bucket is asked.

use super::*;
use holdfast_storage::Counting;

async fn bytes_of(mut pieces: PieceStream) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        match piece? {
            Piece::Bytes(piece) => bytes.extend_from_slice(&piece),
            Piece::Zeros(count) => bytes.resize(bytes.len() + usize::try_from(count).unwrap(), 0),
        }
    }
    Ok(bytes)
}

async fn range(repository: &Repository, stream: &StreamRef, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut pieces = repository.read_range(stream, range, From::Auto);
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

/// A tar in which every byte of content is a zero.
fn hollow(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let empty: Vec<_> = files.iter().map(|(path, bytes)| (*path, vec![0; bytes.len()])).collect();
    tar(&empty)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outline_needs_metadata_only() {
    let (repository, cache) = fresh().await;
    let files =
        [("v/a", noise(1, 700)), ("v/b", noise(2, 300_000)), ("v/c", noise(3, 1)), ("v/d", noise(4, 2_000_000))];
    let written = back_up(&repository, "shop", &tar(&files)).await.unwrap();
    for pack in cache.list("p/").await.unwrap() {
        cache.delete(&pack.key).await.unwrap();
    }
    let outline = bytes_of(repository.read_outline(volume(&written), From::Auto)).await.unwrap();
    assert!(outline == hollow(&files));
    let session = repository.session();
    let plain = put(&session, StreamKind::Bytes, b"no tar").await.unwrap();
    let error = bytes_of(repository.read_outline(&plain, From::Auto)).await.unwrap_err();
    assert_eq!(error.code(), "stream.unsplit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_come_out_of_the_middle() {
    let (repository, _) = fresh().await;
    let mut files: Vec<(String, Vec<u8>)> = (0..90).map(|n| (format!("v/base/{n}"), vec![0; 1 << 20])).collect();
    for ((_, bytes), seed) in files.iter_mut().zip(0..) {
        // Pages, so that there are many segments.
        bytes[..8192].copy_from_slice(&noise(seed, 8192));
        bytes[12..20].copy_from_slice(&[0x40, 0, 0, 0x10, 0, 0x20, 4, 0x20]);
    }
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let whole = tar(&files);
    let written = back_up(&repository, "db", &whole).await.unwrap();
    let stream = volume(&written);
    assert!(stream.segments[0].branch);
    let length = whole.len() as u64;
    for (start, end) in
        [(0, 10), (5, 5), (1000, 3 << 20), (50 << 20, (50 << 20) + 1), (length - 5, length), (0, length)]
    {
        let part = range(&repository, stream, start..end).await.unwrap();
        assert!(part == whole[start as usize..end as usize], "{start}..{end}");
    }
    let ranges = vec![0..10, 10..10, 700..900, 3 << 20..(3 << 20) + 5, 60 << 20..(63 << 20) + 1, length - 1..length];
    let wanted: Vec<u8> = ranges.iter().flat_map(|r| whole[r.start as usize..r.end as usize].to_vec()).collect();
    let mut pieces = repository.read_ranges(stream, ranges, From::Auto);
    let mut got = Vec::new();
    while let Some(piece) = pieces.next().await {
        got.extend_from_slice(&piece.unwrap());
    }
    assert!(got == wanted);
    let error = repository.read_ranges(stream, vec![5..9, 8..10], From::Auto).next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "stream.range", "ranges that overlap");
    assert!(repository.read_ranges(stream, Vec::new(), From::Auto).next().await.is_none());
    assert_eq!(range(&repository, stream, 5..length + 1).await.unwrap_err().code(), "stream.range");
    let mut longer = stream.clone();
    longer.length += 10;
    assert_eq!(range(&repository, &longer, length - 5..length + 5).await.unwrap_err().code(), "stream.corrupt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bucket_is_asked_seldom() {
    let (repository, cache) = fresh().await;
    let counting = Arc::new(Counting::new(memory()));
    let bucket: Arc<dyn Store> = Arc::clone(&counting) as Arc<dyn Store>;
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let names: Vec<String> = (0..500).map(|n| format!("v/{n:03}")).collect();
    let mut files: Vec<(&str, Vec<u8>)> =
        names.iter().zip(0..).map(|(name, n)| (name.as_str(), noise(n, 900))).collect();
    files.extend([("v/x", noise(600, 40 << 20)), ("v/y", noise(601, 30 << 20))]);
    let bytes = tar(&files);
    let written = back_up(&repository, "shop", &bytes).await.unwrap();
    ship(&repository, &bucket).await;
    for pack in cache.list("p/").await.unwrap().into_iter().chain(cache.list("m/").await.unwrap()) {
        cache.delete(&pack.key).await.unwrap();
    }
    let asked = || counting.counts().gets + counting.counts().ranges;
    for whole in [false, true] {
        let again = reopen(&cache).await;
        again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        counting.reset();
        if whole {
            assert!(read_all(&again, volume(&written), From::Bucket).await.unwrap() == bytes);
            assert!(asked() <= bytes.len() as u64 / (8 << 20), "{}", asked());
        } else {
            let at = 300 * (512 + 1024);
            let file = range(&again, volume(&written), at + 512..at + 512 + 900).await.unwrap();
            assert!(file == noise(300, 900));
            assert!(asked() <= 4, "{}", asked());
        }
    }
}

/// A database of which each version changes a few blocks here and there, beside a log that is new each time.
fn worn(version: u64, blocks: usize) -> Vec<u8> {
    let mut base = noise(1, blocks * (128 << 10));
    for change in 1..=version {
        for block in 0..blocks as u64 / 50 {
            let at = (change * 37 + block * 61) as usize % blocks * (128 << 10);
            base[at..at + (128 << 10)].copy_from_slice(&noise(change * 10 + block, 128 << 10));
        }
    }
    for page in base.chunks_mut(8192) {
        page[12..20].copy_from_slice(&[0x40, 0, 0, 0x10, 0, 0x20, 0x04, 0x20]);
    }
    tar(&[("v/base/1", base), ("v/log", noise(1000 + version, 3 << 19))])
}

/// Sealed bytes of all that a stream leans on, and the packs they lie in.
async fn needed(repository: &Repository, stream: &StreamRef) -> (u64, u64) {
    let mut chunks = std::collections::BTreeMap::new();
    for segment in &stream.segments {
        chunks.insert((segment.chunk.pack, segment.chunk.offset), u64::from(segment.chunk.sealed));
        let recipe = repository.inner.open_recipe(segment, From::Auto).await.unwrap();
        chunks.extend(recipe.packs().map(|placed| ((placed.pack, placed.offset), u64::from(placed.sealed))));
    }
    let packs: std::collections::BTreeSet<PackId> = chunks.keys().map(|(pack, _)| *pack).collect();
    (chunks.values().sum(), packs.len() as u64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_thirtieth_increment_asks_for_what_it_needs() {
    let (repository, cache) = fresh().await;
    let counting = Arc::new(Counting::new(memory()));
    let bucket: Arc<dyn Store> = Arc::clone(&counting) as Arc<dyn Store>;
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let first = back_up(&repository, "db", &worn(0, 80)).await.unwrap();
    let mut last = first.clone();
    for version in 1..30 {
        last = back_up_after(&repository, &last, &worn(version, 80)).await.unwrap();
    }
    ship(&repository, &bucket).await;
    for (written, version) in [(&first, 0), (&last, 29)] {
        let (least, packs) = needed(&repository, volume(written)).await;
        for from in [From::Bucket, From::Auto] {
            for pack in cache.list("p/").await.unwrap().into_iter().chain(cache.list("m/").await.unwrap()) {
                cache.delete(&pack.key).await.unwrap();
            }
            let again = reopen(&cache).await;
            again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
            let told = again.cost(std::slice::from_ref(volume(written)), from).await.unwrap();
            let again = reopen(&cache).await;
            again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
            counting.reset();
            assert!(read_all(&again, volume(written), from).await.unwrap() == worn(version, 80));
            let (asked, got) = (counting.counts().gets + counting.counts().ranges, counting.counts().bytes_got);
            println!(
                "version {version} from {from:?}: {asked} requests for {packs} packs, {got} bytes for {least}; {told:?}"
            );
            assert!(got * 2 <= least * 3, "version {version}: {got} bytes for {least}");
            assert!(asked <= packs + packs / 2 + 1, "version {version}: {asked} requests for {packs} packs");
        }
    }
}

/// Times of the first and the thirtieth restore from a bucket that takes its time. Run by hand, optimised:
/// `HOLDFAST_BENCH=1 cargo test -p holdfast-repository --release late_increments -- --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restores_of_late_increments_measured() {
    if std::env::var_os("HOLDFAST_BENCH").is_none() {
        return;
    }
    let (repository, cache) = fresh().await;
    let slow = Arc::new(holdfast_storage::Faulty::new(memory()));
    let counting = Arc::new(Counting::new(slow.clone()));
    let bucket: Arc<dyn Store> = Arc::clone(&counting) as Arc<dyn Store>;
    repository.attach_bucket(Arc::clone(&bucket)).await.unwrap();
    let blocks = 2048;
    let first = back_up(&repository, "db", &worn(0, blocks)).await.unwrap();
    let mut last = first.clone();
    for version in 1..30 {
        last = back_up_after(&repository, &last, &worn(version, blocks)).await.unwrap();
    }
    ship(&repository, &bucket).await;
    slow.delay(std::time::Duration::from_millis(20));
    for written in [&first, &last, &first, &last] {
        let again = reopen(&cache).await;
        again.attach_bucket(Arc::clone(&bucket)).await.unwrap();
        let (least, packs) = needed(&again, volume(written)).await;
        counting.reset();
        let begun = std::time::Instant::now();
        let mut pieces = again.read(volume(written), From::Bucket, None);
        while let Some(piece) = pieces.next().await {
            piece.unwrap();
        }
        let counts = counting.counts();
        let (asked, got, length) = (counts.gets + counts.ranges, counts.bytes_got, volume(written).length);
        let time = begun.elapsed().as_secs_f32();
        println!("{time:.2} s: {asked} requests for {packs} packs, {got} bytes for {least}; {length} bytes restored");
        // Three stretches of each pack: dead blocks lie between what lives.
        assert!(asked <= 3 * packs && got * 4 <= least * 5, "{asked} requests, {got} bytes");
    }
}
