//! Logs on stderr: text for people, JSON for collectors. `HOLDFAST_LOG` filters, as in `debug` or
//! `info,holdfast_engine=trace`.

use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt};

/// Libraries below us speak of what we report better ourselves.
const QUIET: [&str; 5] = ["aws=warn", "hyper=warn", "hyper_util=warn", "h2=warn", "sled=warn"];

/// Begins to log what is at least as important as `level`, unless the environment says otherwise.
pub fn begin(level: &str) {
    let asked = std::env::var("HOLDFAST_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let filter = asked.unwrap_or_else(|| EnvFilter::new(format!("{level},{}", QUIET.join(","))));
    let logs = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only if logging has begun already, which is what was wanted.
    let _ = if std::io::stderr().is_terminal() { logs.with_target(false).try_init() } else { logs.json().try_init() };
}
