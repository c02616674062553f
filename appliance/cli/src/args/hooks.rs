//! The words of `hooks`.

use clap::{Args, Subcommand};

/// Commands on what apps run around their backups.
#[derive(Debug, Subcommand)]
pub enum HooksCommand {
    /// Show what labels say, what was set beside them, and what holds.
    Ls {
        /// HOST/NAME or a unique NAME.
        app: String,
    },
    /// Set commands for a service; what is not given stays as it is. They go before those of its labels.
    Set(HooksArgs),
    /// Take away what was set for a service; what its labels say holds again.
    Unset {
        /// HOST/NAME or a unique NAME.
        app: String,
        /// The service; of an app that is one container, its name.
        service: String,
    },
}

/// Arguments of `hooks set`.
#[derive(Debug, Args)]
pub struct HooksArgs {
    /// HOST/NAME or a unique NAME.
    pub app: String,
    /// The service; of an app that is one container, its name.
    pub service: String,
    /// Before anything is read: for a dump into a volume. Run by /bin/sh -c in the container; an empty one is none.
    #[arg(long, value_name = "COMMAND")]
    pub dump: Option<String>,
    /// Just before the app is held.
    #[arg(long, value_name = "COMMAND")]
    pub pre: Option<String>,
    /// After it was let go, whatever happened meanwhile; after a crash of the appliance too, then perhaps twice.
    #[arg(long, value_name = "COMMAND")]
    pub post: Option<String>,
    /// As whom, instead of the container's own user.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Longest time for each, instead of 1m, for a dump 1h.
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
}
