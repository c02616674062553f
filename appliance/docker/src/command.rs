//! A command in a container, from its start to its proven end.

use crate::{ByteStream, Engine, Exec, Said};
use futures::StreamExt;
use holdfast_model::{Error, Result};
use std::{pin::Pin, time::Duration};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Bytes of an answer that are kept.
const ANSWER: usize = 4096;
/// Bytes of complaints that are told.
const COMPLAINTS: usize = 300;
/// How often and how long it is asked what a command that says no more has ended with.
const CODE_TRIES: u32 = 100;
const CODE_WAIT: Duration = Duration::from_millis(50);

/// The end of what a command complained of.
#[derive(Default)]
pub struct Complaints(Vec<u8>);

impl Complaints {
    /// Adds what it said on its standard error.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let surplus = self.0.len().saturating_sub(COMPLAINTS);
        self.0.drain(..surplus);
    }
}

/// Runs a command to its end, feeding it a stream, and gives the first bytes of what it said. `Invalid`
/// (`command.failed`) if it ended with anything but 0; the stream's own error if that broke.
pub async fn run(engine: &dyn Engine, container: &str, exec: Exec<'_>, input: Option<ByteStream>) -> Result<String> {
    let exec = Exec { input: input.is_some(), ..exec };
    let mut running = engine.exec_start(container, exec).await?;
    let pipe = running.input.take();
    let hear = async {
        let (mut answer, mut complaints) = (Vec::new(), Complaints::default());
        while let Some(said) = running.output.next().await {
            match said? {
                Said::Out(bytes) => answer.extend(bytes.iter().take(ANSWER.saturating_sub(answer.len()))),
                Said::Err(bytes) => complaints.hear(&bytes),
            }
        }
        ended_well(engine, &running.id, &complaints).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    match (pipe, input) {
        (Some(pipe), Some(input)) => fed(pipe, input, hear).await,
        _ => hear.await,
    }
}

/// Feeds while it hears. That a command does not read on is no error: its own end tells what it thought of it. An input
/// that breaks is one, at once: the command must not take its end for the whole.
pub(crate) async fn fed<T>(
    mut pipe: Pin<Box<dyn AsyncWrite + Send>>,
    mut input: ByteStream,
    hear: impl Future<Output = Result<T>>,
) -> Result<T> {
    let feed = async {
        while let Some(piece) = input.next().await {
            if pipe.write_all(&piece?).await.is_err() {
                return Ok(());
            }
        }
        // A pipe that is gone already was read to its end.
        let _ = pipe.shutdown().await;
        Ok(())
    };
    let (mut feed, mut hear) = (std::pin::pin!(feed), std::pin::pin!(hear));
    tokio::select! {
        fed = &mut feed => match fed {
            Ok(()) => hear.await,
            Err(error) => Err(error),
        },
        heard = &mut hear => heard,
    }
}

/// Waits for the code of a command that says no more: `Invalid` (`command.failed`) if it is not 0.
pub async fn ended_well(engine: &dyn Engine, exec: &str, complaints: &Complaints) -> Result<()> {
    for _ in 0..CODE_TRIES {
        match engine.exec_code(exec).await? {
            Some(0) => return Ok(()),
            Some(code) => {
                let told = String::from_utf8_lossy(&complaints.0).trim().escape_debug().to_string();
                let told = if told.is_empty() { String::new() } else { format!(": {told}") };
                return Err(Error::invalid("command.failed", format!("it ended with {code}{told}")));
            }
            None => tokio::time::sleep(CODE_WAIT).await,
        }
    }
    Err(Error::invalid("command.failed", "it closed its output and did not end"))
}
