//! `count_requests`: a proxy before an S3 server that counts what other tools ask of it.
//!
//! Prints its address at once, and on SIGTERM one line of JSON: how many requests of each kind passed.

use holdfast_tests::counting_proxy::CountingProxy;
use std::{env, io, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [endpoint] = arguments.as_slice() else {
        eprintln!("usage: count_requests http://ADDRESS:PORT");
        return ExitCode::from(2);
    };
    match run(endpoint).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("count_requests: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(endpoint: &str) -> io::Result<()> {
    // Before the address is told: whoever knows it may end us.
    let mut end = signal(SignalKind::terminate())?;
    let proxy = CountingProxy::start(endpoint).await?;
    println!("{}", proxy.url);
    end.recv().await;
    println!("{}", proxy.requests().json());
    Ok(())
}
