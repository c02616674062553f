//! The index at 1, 10 and 100 million chunks; run by hand, twice: the first run makes the repository, the second opens it.
//! `HOLDFAST_SCALE=10000000 HOLDFAST_SCALE_DIR=/some/dir cargo test -p holdfast-repository --release scale -- --nocapture --test-threads=1`
//!
//! Packs are empty files of the right size: they count as cached, and their rows are read from index segments.
//! Without a folder only the table is measured.

use super::*;
use crate::{
    layout::PackKind,
    pack::{self, Row},
    segment::{Block, Directory, PackName, assemble},
    table::{Finger, Table},
};
use holdfast_chunk::{ChunkKind, ObjectKind};
use holdfast_model::{ChunkId, PackId};
use holdfast_storage::DirStore;
use std::{fs, path::Path, time::Instant};

/// Chunks in a pack: 32 MiB in chunks of half a MiB.
const PER_PACK: u64 = 64;
/// Packs in a segment: as many as a large backup lists at once.
const PER_SEGMENT: u64 = 3125;
const PACK: u64 = 32 << 20;

fn chunks() -> Option<u64> {
    std::env::var("HOLDFAST_SCALE").ok()?.parse().ok()
}

/// Well mixed, as keyed hashes are.
fn mixed(number: u64, salt: u64) -> [u8; 32] {
    let mut out = [0; 32];
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt;
    for part in out.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        part.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    out
}

fn chunk(number: u64) -> ChunkId {
    ChunkId(mixed(number, 1))
}

/// Resident memory now and at its peak, MiB.
fn memory_used() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    format!("{} MiB, peak {} MiB", field("VmRSS"), field("VmHWM"))
}

/// CPU time of this process so far, seconds: on a busy machine it says more than the clock.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

async fn make(repository: &Repository, folder: &Path, chunks: u64) {
    let inner = &repository.inner;
    let packs = chunks.div_ceil(PER_PACK);
    for first in (0..packs).step_by(PER_SEGMENT as usize) {
        let mut blocks = Vec::new();
        for pack in first..packs.min(first + PER_SEGMENT) {
            let name = PackName { kind: PackKind::Data, id: PackId(mixed(pack, 2)), size: PACK };
            let row = |n| Row { kind: ChunkKind::Data, id: chunk(n), length: 524_288, sealed: 500_000, base: None };
            let rows: Vec<Row> = (pack * PER_PACK..(pack + 1) * PER_PACK).map(row).collect();
            let mut body = Vec::new();
            pack::put_rows(&mut body, &rows);
            let footer = inner.envelope().seal(ObjectKind::Footer, "", &body).unwrap();
            blocks.push(Block { name, footer: footer.into() });
            let path = folder.join(crate::layout::pack_key(name.kind, &name.id));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path).unwrap().set_len(PACK).unwrap();
        }
        let bytes = assemble(inner.envelope(), &Directory::of(Vec::new(), &blocks).unwrap(), &blocks).unwrap();
        let id = holdfast_model::SegmentId(holdfast_chunk::sha256(&bytes));
        inner.cache.put(&crate::layout::segment_key(&id), bytes, PutMode::Once).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scale_of_a_repository() {
    let (Some(chunks), Some(folder)) = (chunks(), std::env::var_os("HOLDFAST_SCALE_DIR")) else { return };
    let folder = Path::new(&folder);
    fs::create_dir_all(folder).unwrap();
    let cache: Arc<dyn Store> = Arc::new(DirStore::open(folder).unwrap());
    if !folder.join("format").exists() {
        let start = Instant::now();
        let repository = Repository::create(parts(Arc::clone(&cache)), DEVICE).await.unwrap();
        make(&repository, folder, chunks).await;
        println!("made in {:?}; run again to open it", start.elapsed());
        return;
    }
    println!("before: {}", memory_used());
    let start = Instant::now();
    let repository = reopen(&cache).await;
    let opened = start.elapsed();
    let finder = Arc::clone(&repository.inner.finder);
    assert!(finder.seek(&chunk(chunks / 2)).await.is_some());
    let (all, cpu) = (start.elapsed(), cpu());
    println!("{chunks} chunks: open {opened:?}, with first lookup {all:?}, {cpu} s of CPU, {}", memory_used());
    for (what, step) in [("in order", 1), ("scattered", chunks / 7 + 12_345)] {
        let finder = Arc::clone(&finder);
        let each = tokio::task::spawn_blocking(move || {
            let count = 50_000u64.min(chunks);
            let start = Instant::now();
            for number in 0..count {
                assert!(finder.find(&chunk(number * step % chunks)).is_some());
            }
            start.elapsed() / count as u32
        });
        println!("lookups {what}: {:?} each", each.await.unwrap());
    }
    let start = Instant::now();
    let unknown =
        (0..1_000_000).filter(|n| !repository.inner.read().index.candidates(&chunk(chunks + 1000 + n)).is_empty());
    println!("unknown: {} candidates, {:?} each", unknown.count(), start.elapsed() / 1_000_000);
    let start = Instant::now();
    let session = repository.session();
    // Made as it goes: the source's memory is not the repository's.
    let source = stream::iter(0..300).map(|n| Ok(Bytes::from(noise(n, 1 << 20)))).boxed();
    let stream = session.store(StreamKind::Bytes, source, Arc::new(Numbers::default())).await.unwrap();
    session.commit(snapshot("a", vec![stream])).await.unwrap();
    println!("a backup of 300 MiB: {:?}, {}", start.elapsed(), memory_used());
}

#[test]
fn scale_of_the_table() {
    let (Some(chunks), None) = (chunks(), std::env::var_os("HOLDFAST_SCALE_DIR")) else { return };
    for reserved in [true, false] {
        let mut table = Table::default();
        let start = Instant::now();
        if reserved {
            table.reserve(chunks as usize);
        }
        for number in 0..chunks {
            table.insert(Finger::of(&chunk(number)), (number / PER_PACK) as u32);
        }
        let took = start.elapsed();
        let each = table.size() as f64 / table.len() as f64;
        println!("table of {chunks} (reserved: {reserved}): {took:?}, {each:.2} bytes each, {}", memory_used());
        let start = Instant::now();
        let known = (0..1_000_000u64).map(|n| n * 7919 % chunks);
        let found: usize = known.map(|n| table.candidates(Finger::of(&chunk(n))).count()).sum();
        println!("1000000 lookups found {found} candidates, {:?} each", start.elapsed() / 1_000_000);
        let start = Instant::now();
        table.retain(|pack| pack % 100 != 0);
        println!("a hundredth of the packs forgotten in {:?}", start.elapsed());
    }
}
