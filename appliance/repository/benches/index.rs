//! The table of chunks: entering and looking up, at a size that no processor cache holds.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use holdfast_model::ChunkId;
use holdfast_repository::fuzzing::Places;

const CHUNKS: u64 = 2_000_000;
const BATCH: u64 = 10_000;

/// Well mixed, as keyed hashes are.
fn id(number: u64) -> ChunkId {
    let mut word = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut out = [0; 32];
    for part in out.chunks_mut(8) {
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        part.copy_from_slice(&word.to_le_bytes());
    }
    ChunkId(out)
}

fn table(bench: &mut Criterion) {
    let mut places = Places::default();
    (0..CHUNKS).for_each(|number| places.insert(&id(number), (number / 64) as u32));
    let mut group = bench.benchmark_group("index");
    group.throughput(Throughput::Elements(BATCH));
    let mut next = 0;
    group.bench_function("look up", |bench| {
        bench.iter_batched(
            || {
                next = (next + 7_919 * BATCH) % CHUNKS;
                (0..BATCH).map(|n| id((next + n * 191) % CHUNKS)).collect::<Vec<_>>()
            },
            |ids| ids.iter().map(|id| places.candidates(id)).sum::<usize>(),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("look up what is not there", |bench| {
        bench.iter_batched(
            || (0..BATCH).map(|n| id(u64::MAX / 2 + n)).collect::<Vec<_>>(),
            |ids| ids.iter().map(|id| places.candidates(id)).sum::<usize>(),
            BatchSize::LargeInput,
        );
    });
    let mut fresh = CHUNKS;
    group.bench_function("enter", |bench| {
        bench.iter_batched(
            || {
                fresh += BATCH;
                (fresh..fresh + BATCH).map(id).collect::<Vec<_>>()
            },
            |ids| ids.iter().for_each(|id| places.insert(id, 7)),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, table);
criterion_main!(benches);
