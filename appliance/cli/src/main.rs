//! The binary: arguments, wiring, exit codes. The only place that knows all rooms.
//!
//! `serve` owns the data folder; every other command asks it over the unix socket in that folder.
//! Secrets come from files and the environment, never from arguments.

mod args;
mod client;
mod commands;
mod files;
mod logs;
mod memory;
mod outcome;
mod output;
mod proxies;
mod serve;
mod watch;
mod wire;
mod words;

use crate::{args::Cli, args::Command, outcome::Failure, output::Output};
use clap::Parser;
use holdfast_model::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(wrong) => return usage(&wrong),
    };
    if lives_long(&cli.command) {
        memory::share_arenas();
    }
    let output = Output { json: cli.common.json };
    let outcome = runtime(&cli.command).and_then(|runtime| {
        let outcome = runtime.block_on(commands::run(cli));
        // Whoever was told to stop at once must not wait for a disk or a lookup that hangs.
        runtime.shutdown_background();
        outcome
    });
    let code = outcome.unwrap_or_else(|failure| {
        output.fail(&failure);
        failure.exit_code()
    });
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Help and version go to stdout with code 0, mistakes to stderr with code 2.
fn usage(wrong: &clap::Error) -> ExitCode {
    let json = std::env::args().any(|argument| argument == "--json");
    if wrong.use_stderr() && json {
        let error = Error::invalid("usage", wrong.to_string().trim_end());
        Output { json }.fail(&error.into());
    } else {
        let _ = wrong.print();
    }
    ExitCode::from(u8::try_from(wrong.exit_code()).unwrap_or(2))
}

/// Whether it works itself, and not only asks one who does.
fn lives_long(command: &Command) -> bool {
    matches!(command, Command::Serve(_) | Command::Recover(_))
}

/// Threads for those who work; a single one for those who only ask.
fn runtime(command: &Command) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = match lives_long(command) {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    let built = builder.enable_all().build();
    built.map_err(|error| Error::io("cannot start the program's threads", error).into())
}
