//! `bench_cloud`: the way to the bucket and back, for comparison with other tools at the same server.
//!
//! Each verb prints one line of JSON. The bucket is named by `HOLDFAST_BENCH_ENDPOINT`, `_BUCKET`, `_ACCESS_KEY` and `_SECRET_KEY`; it is
//! there and empty, but for `fetch`.

use holdfast_model::{Error, Result};
use holdfast_tests::cloud_bench::{Site, States, fetch, month, one_file, ship};
use serde_json::{Value, json};
use std::{env, path::Path, process::ExitCode, str::FromStr};

const USAGE: &str = "usage: bench_cloud VERB
  ship REPOSITORY [counted]        all of a cache to the bucket; counted by a proxy, which costs time
  fetch REPOSITORY [FOLDER]        the bucket's newest snapshot into a folder, or into nothing; the cache gives the key alone
  one-file ROOM GIB                a file of 1 MiB out of so many GiB
  month ROOM GIB HOURS             so many hourly backups of a folder of so many GiB, by a clock of its own
  states make FOLDER GIB           the same folder, for other tools
  states pass FOLDER GIB FROM TO   the same hours";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words).await {
        Ok(Some(told)) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Ok(None) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("bench_cloud: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

/// `None` for words that are no order.
async fn run(words: &[&str]) -> Result<Option<Value>> {
    Ok(Some(match words {
        ["ship", repository] => ship(&Site::of_environment()?, Path::new(repository)).await?,
        ["ship", repository, "counted"] => ship(&counted().await?, Path::new(repository)).await?,
        ["fetch", repository] => fetch(&Site::of_environment()?, Path::new(repository), None).await?,
        ["fetch", repository, folder] => {
            fetch(&Site::of_environment()?, Path::new(repository), Some(Path::new(folder))).await?
        }
        ["one-file", room, gib] => one_file(&counted().await?, Path::new(room), number(gib)?).await?,
        ["month", room, gib, hours] => month(&counted().await?, Path::new(room), number(gib)?, number(hours)?).await?,
        ["states", "make", folder, gib] => {
            States::of(Path::new(folder), number(gib)?).make()?;
            json!({})
        }
        ["states", "pass", folder, gib, from, to] => {
            States::of(Path::new(folder), number(gib)?).pass(number(from)?..=number(to)?)?;
            json!({})
        }
        _ => return Ok(None),
    }))
}

async fn counted() -> Result<Site> {
    Site::of_environment()?.counted().await
}

fn number<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::invalid("bench.number", format!("{text} is no number that fits here")))
}
