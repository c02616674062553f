//! `bench_repository`: the engine on a folder of this machine, for comparison with other tools on the same folder.
//!
//! Each verb prints one line of JSON.

use holdfast_model::{Result, snapshot::Snapshot};
use holdfast_tests::{bare_limit, folder_repository::FolderRepository};
use serde_json::{Value, json};
use std::{env, path::Path, process::ExitCode, sync::atomic::Ordering, time::Instant};

const USAGE: &str =
    "usage: bench_repository backup REPO DIR | restore REPO SNAPSHOT|latest DIR | stats REPO | limit DIR";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let began = Instant::now();
    let result = match words.as_slice() {
        ["backup", repository, folder] => back_up(Path::new(repository), Path::new(folder)).await,
        ["restore", repository, id, folder] => restore(Path::new(repository), id, Path::new(folder)).await,
        ["limit", folder] => limit(Path::new(folder)),
        ["stats", repository] => stats(Path::new(repository)).await,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(mut told) => {
            told["seconds"] = json!(began.elapsed().as_secs_f64());
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench_repository: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

async fn back_up(repository: &Path, folder: &Path) -> Result<Value> {
    let opened = Instant::now();
    let house = FolderRepository::open(repository).await?;
    let opening = opened.elapsed().as_secs_f64();
    let done = house.back_up(folder).await?;
    let problems: Vec<_> = done.snapshot.problems.iter().map(|problem| &problem.message).collect();
    Ok(json!({
        "snapshot": done.snapshot.id.to_string(),
        "entries": entries(&done.snapshot),
        "bytes_stream": done.snapshot.streams().map(|stream| stream.length).sum::<u64>(),
        "bytes_read": done.numbers.moved.load(Ordering::Relaxed),
        "bytes_new": done.snapshot.stats.bytes_new,
        "bytes_known": done.numbers.known.load(Ordering::Relaxed),
        "chunks_new": done.snapshot.stats.chunks_new,
        "chunks_known": done.snapshot.stats.chunks_known,
        "seconds_opening": opening,
        "requests": house.store.counts().operations(),
        "problems": problems.len(),
        "first_problems": &problems[..problems.len().min(5)],
    }))
}

async fn restore(repository: &Path, id: &str, folder: &Path) -> Result<Value> {
    let house = FolderRepository::open(repository).await?;
    let latest = house.repository.snapshots().last().map(|entry| entry.snapshot.id.to_string());
    let id = if id == "latest" { latest.unwrap_or_default() } else { id.to_owned() };
    let (entries, problems) = house.restore(&id, folder).await?;
    let first: Vec<_> = problems.iter().take(5).map(|problem| &problem.message).collect();
    let requests = house.store.counts().operations();
    Ok(json!({
        "snapshot": id, "entries": entries, "problems": problems.len(), "first_problems": first, "requests": requests,
    }))
}

/// What hashing, compressing and sealing cost alone.
fn limit(folder: &Path) -> Result<Value> {
    let began = Instant::now();
    let sealed = bare_limit::run(folder)?;
    Ok(json!({ "wall": began.elapsed().as_secs_f64(), "cpu": bare_limit::cpu_seconds(), "sealed": sealed }))
}

async fn stats(repository: &Path) -> Result<Value> {
    let house = FolderRepository::open(repository).await?;
    let used = house.repository.cache_use();
    Ok(json!({
        "bytes": used.bytes,
        "packs": used.packs,
        "snapshots": used.snapshots,
        "entries": house.repository.snapshots().iter().map(|entry| entries(&entry.snapshot)).sum::<u64>(),
    }))
}

fn entries(snapshot: &Snapshot) -> u64 {
    snapshot.streams().map(|stream| stream.entries).sum()
}
