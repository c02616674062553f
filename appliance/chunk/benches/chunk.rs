//! Cutting, naming, sealing, opening: bytes per second of one core.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use holdfast_chunk::{
    ChunkKind, Cutter, Keys, Opener, RootKey, Sealer, Summer,
    cut::{FINE, Sizes, is_zero},
};
use std::hint::black_box;

const CHUNK: usize = 512 << 10;

/// Neither noise nor empty: words of a small vocabulary, about a third of their size when compressed.
fn text(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut out = Vec::with_capacity(length + 16);
    while out.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(format!("w{:03x} ", (state >> 40) % 3001).as_bytes());
    }
    out.truncate(length);
    out
}

fn keys() -> Keys {
    Keys::derive(&RootKey::from_bytes([7; 32]))
}

fn cut(bench: &mut Criterion) {
    let (data, keys) = (text(16 << 20), keys());
    let mut group = bench.benchmark_group("cut");
    group.throughput(Throughput::Bytes(data.len() as u64));
    for (name, sizes) in [("fine", FINE), ("large", Sizes::of_file(0))] {
        let cutter = Cutter::new(&keys, sizes);
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let mut rest = &data[..];
                while let Some(length) = cutter.next(rest, true) {
                    rest = &rest[length..];
                }
            });
        });
    }
    let zeros = vec![0u8; data.len()];
    group.bench_function("zeros", |bench| bench.iter(|| is_zero(black_box(&zeros))));
    group.finish();
}

fn id(bench: &mut Criterion) {
    let (data, keys) = (text(CHUNK), keys());
    let mut group = bench.benchmark_group("id");
    for size in [4 << 10, 64 << 10, CHUNK] {
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(BenchmarkId::new("chunk", size), &data[..size], |bench, part| {
            bench.iter(|| keys.chunk_id(ChunkKind::Data, part));
        });
    }
    let mut summer = Summer::new();
    group.throughput(Throughput::Bytes(CHUNK as u64));
    group.bench_function("sum of small pieces", |bench| {
        bench.iter(|| {
            data.chunks(512).for_each(|part| summer.update(part));
            summer.sum()
        });
    });
    group.finish();
}

fn seal(bench: &mut Criterion) {
    let (data, keys) = (text(CHUNK), keys());
    let id = keys.chunk_id(ChunkKind::Data, &data);
    let mut group = bench.benchmark_group("seal");
    group.throughput(Throughput::Bytes(data.len() as u64));
    for level in [1, 3] {
        let mut sealer = Sealer::new(level).expect("a compressor starts");
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::new("seal", level), |bench| {
            bench.iter(|| {
                out.clear();
                sealer.seal(&keys, (ChunkKind::Data, &id), &data, None, &mut out).expect("it seals")
            });
        });
        let mut opener = Opener::new().expect("a decompressor starts");
        group.bench_function(BenchmarkId::new("open", level), |bench| {
            bench.iter(|| opener.open(&keys, (ChunkKind::Data, &id), data.len() as u32, None, &out).expect("it opens"));
        });
    }
    group.finish();
}

criterion_group!(benches, cut, id, seal);
criterion_main!(benches);
