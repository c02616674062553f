//! Arguments of `bucket`.

use clap::{Args, Subcommand};
use holdfast_model::lock::LockMode;

/// Commands on the bucket.
#[derive(Debug, Subcommand)]
pub enum BucketCommand {
    /// Attach a bucket, after trying it. Keys come from the environment, as for serve.
    Set {
        /// s3://… or file:///DIR.
        url: String,
        /// Let data stay behind that only the bucket of before holds.
        #[arg(long)]
        leave_behind: bool,
    },
    /// Find out what the bucket really does; this is done every week anyway.
    Probe,
    /// Show the bucket.
    Show,
    /// Stop uploads for now; backups go on into the cache.
    Pause,
    /// Let uploads go on.
    Resume,
    /// Limit uploads, also by the time of day. Without options, show the limits.
    Limit(LimitArgs),
    /// Lock what is written into the bucket, so that it cannot be deleted before its time, not even with all keys of the appliance.
    /// Without options, show the lock.
    Lock(LockArgs),
}

/// Arguments of `bucket lock`.
#[derive(Debug, Args)]
pub struct LockArgs {
    /// Who may end a lock before its time: governance, those whom the bucket's owner gave that right; compliance, nobody.
    #[arg(long, value_name = "MODE", requires = "days", conflicts_with = "off")]
    pub mode: Option<LockMode>,
    /// Days that each snapshot is locked at least, from when it was taken: 1 to 3650.
    #[arg(long, value_name = "N", requires = "mode", conflicts_with = "off")]
    pub days: Option<u16>,
    /// Write without locks from now on. What is locked stays locked until its time.
    #[arg(long)]
    pub off: bool,
}

/// Arguments of `bucket limit`. What is not given stays as it is.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// Bytes per second at most, such as 5MB; full for as many as go.
    #[arg(long, value_name = "SIZE")]
    pub upload: Option<String>,
    /// Requests per second at most; 0 for as many as go.
    #[arg(long, value_name = "N")]
    pub requests: Option<u32>,
    /// Another limit at some hours (UTC), instead of all that were there: “22:00-06:00=full”, “workdays 08:00-18:00=1MB”,
    /// “weekends 09:00-12:00=none”. The first that fits counts.
    #[arg(long, value_name = "WINDOW")]
    pub window: Vec<String>,
    /// Take all hours with other limits away.
    #[arg(long, conflicts_with = "window")]
    pub no_windows: bool,
}
