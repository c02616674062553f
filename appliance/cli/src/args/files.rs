//! The words of `files`.

use super::Tier;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Commands on what is inside snapshots.
#[derive(Debug, Subcommand)]
pub enum FilesCommand {
    /// List the parts of a snapshot, or a folder in one of them.
    Ls(LsArgs),
    /// Get a file, or a folder as a tar.
    Get(GetArgs),
    /// Put a file or folder back into the volume or folder of the host that it is from.
    Put(PutArgs),
    /// Look for names in all snapshots of an app.
    Find {
        /// HOST/NAME or a unique NAME.
        app: String,
        /// Part of the name, or all of it with * and ?; with a slash in it the whole path is compared.
        pattern: String,
        /// Paths at most.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
}

/// How a place in a snapshot is written.
const PLACE: &str = "SNAPSHOT, SNAPSHOT:VOLUME/PATH, SNAPSHOT:/HOST/PATH or SNAPSHOT:CONTAINER/PATH; SNAPSHOT is an id, a \
                     unique beginning of it, or latest:APP. In paths \\\\ is a backslash and \\xHH any byte";

/// Arguments of `files ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// A place in a snapshot.
    #[arg(help = PLACE)]
    pub place: String,
    /// Only what comes behind this name.
    #[arg(long, value_name = "NAME")]
    pub after: Option<String>,
    /// Entries at most.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub limit: usize,
    /// Where it may be read from.
    #[arg(long, value_enum, default_value = "auto", value_name = "TIER")]
    pub from: Tier,
}

/// Arguments of `files get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// A place in a snapshot.
    #[arg(help = PLACE)]
    pub place: String,
    /// New file to write; - for stdout. Without it the file's own name in this folder, .tar or .zip added to a folder's.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A folder as a zip instead of a tar: without attributes, access lists, devices, pipes and sockets.
    #[arg(long)]
    pub zip: bool,
    /// Where it may be read from.
    #[arg(long, value_enum, default_value = "auto", value_name = "TIER")]
    pub from: Tier,
}

/// Arguments of `compose`.
#[derive(Debug, Args)]
pub struct ComposeArgs {
    /// Snapshot id, a unique beginning of it, or latest:APP. The file holds the values of the environment, secrets among
    /// them, as docker inspect shows them; its comments name what could not be told.
    pub snapshot: String,
    /// New file to write; without it, stdout.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `files put`.
#[derive(Debug, Args)]
pub struct PutArgs {
    /// A place in a snapshot.
    #[arg(help = PLACE)]
    pub place: String,
    /// Path that it gets in the same volume or folder; without it its own.
    #[arg(long, value_name = "PATH")]
    pub to: Option<String>,
    /// Files that are there give way; the app is backed up first as it is. Without it they stay and are named.
    #[arg(long)]
    pub replace: bool,
    /// Where it may be read from.
    #[arg(long, value_enum, default_value = "auto", value_name = "TIER")]
    pub from: Tier,
    /// Wait for the end and show how it goes.
    #[arg(long)]
    pub wait: bool,
}
