//! Arguments of `cache`.

use clap::{Args, Subcommand, ValueEnum};

/// Commands on the cache.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Show the cache: what it takes, what it may take, what only the bucket holds.
    Show,
    /// Decide what it may take of the disk, and what leaves it last. Without options, show that.
    Set(CacheSetArgs),
    /// Let data leave now that the bucket holds.
    Evict {
        /// Until the cache takes this much, such as 200GB, instead of what its rule wants.
        #[arg(long, value_name = "SIZE")]
        to: Option<String>,
        /// Only show what would leave.
        #[arg(long)]
        dry_run: bool,
    },
    /// Bring a snapshot back into the cache.
    Warm {
        /// Snapshot id, a unique beginning of it, or latest:APP.
        snapshot: String,
        /// Wait until it is there.
        #[arg(long)]
        wait: bool,
    },
}

/// Arguments of `cache set`. What is not given stays as it is.
#[derive(Debug, Args)]
pub struct CacheSetArgs {
    /// Bytes that the cache may take, such as 500GB; none for what the disk gives. Metadata comes in beyond it.
    #[arg(long, value_name = "SIZE")]
    pub quota: Option<String>,
    /// Bytes of its disk that stay free whatever the quota says; auto for a twentieth of the disk, 20 GiB at most.
    #[arg(long, value_name = "SIZE")]
    pub reserve: Option<String>,
    /// The newest snapshots of each app whose data leave last.
    #[arg(long, value_name = "N")]
    pub keep_newest: Option<u32>,
    /// What a backup does when the cache is full of what the bucket does not hold yet.
    #[arg(long, value_enum, value_name = "HOW")]
    pub when_full: Option<Full>,
}

/// What a backup does when the cache is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Full {
    /// Go on at the bucket's speed; fail when the bucket takes nothing for a quarter of an hour, or there is none.
    Wait,
    /// Fail at once.
    Refuse,
}
