//! Splitting a tar of many small files, and of one large one: bytes of the stream per second of one core.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use holdfast_tar::{
    Splitter,
    write::{Entry, padding},
};
use std::hint::black_box;

fn file(path: &[u8], content: &[u8]) -> Vec<u8> {
    let size = content.len() as u64;
    let mut out = Entry::file(path, size).header().expect("a header is written");
    out.extend_from_slice(content);
    out.extend_from_slice(padding(size));
    out
}

fn small_files() -> Vec<u8> {
    let mut tar = Vec::new();
    for number in 0..4096 {
        tar.extend(file(format!("v/folder-{}/file-{number}", number % 64).as_bytes(), &vec![b'x'; number % 9000]));
    }
    tar.extend([0; 1024]);
    tar
}

fn large_file() -> Vec<u8> {
    let mut tar = file(b"v/large", &vec![7; 16 << 20]);
    tar.extend([0; 1024]);
    tar
}

fn split(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("walker");
    for (name, tar) in [("small files", small_files()), ("large file", large_file())] {
        group.throughput(Throughput::Bytes(tar.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let mut splitter = Splitter::new();
                let mut sink = |piece: holdfast_tar::Piece<'_>| {
                    black_box(&piece);
                    Ok(())
                };
                for part in tar.chunks(256 << 10) {
                    splitter.push(part, &mut sink).expect("it splits");
                }
                splitter.finish(&mut sink).expect("it ends")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, split);
criterion_main!(benches);
