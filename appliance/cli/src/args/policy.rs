//! The words of `policy`.

use super::{Care, Hold};
use clap::{Args, Subcommand};

/// Commands on policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// List policies.
    Ls,
    /// Make or change a policy; what is not given stays as it is.
    Set(PolicyArgs),
    /// Remove a policy that no app uses.
    Rm {
        /// Its name.
        name: String,
    },
    /// Put an app under a policy.
    Assign {
        /// HOST/NAME or a unique NAME.
        app: String,
        /// The policy's name.
        policy: String,
    },
    /// Take an app off its policy.
    Unassign {
        /// HOST/NAME or a unique NAME.
        app: String,
    },
}

/// Arguments of `policy set`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// Its name.
    pub name: String,
    /// Time between backups, such as 15m, 6h or 1d.
    #[arg(long, value_name = "TIME")]
    pub every: Option<String>,
    /// How to hold apps still.
    #[arg(long, value_enum, value_name = "HOW")]
    pub consistency: Option<Hold>,
    /// What to do for databases in them.
    #[arg(long, value_enum, value_name = "HOW")]
    pub databases: Option<Care>,
    /// Keep the newest N.
    #[arg(long, value_name = "N")]
    pub keep_last: Option<u32>,
    /// Keep the newest of each of N hours.
    #[arg(long, value_name = "N")]
    pub keep_hourly: Option<u32>,
    /// Keep the newest of each of N days.
    #[arg(long, value_name = "N")]
    pub keep_daily: Option<u32>,
    /// Keep the newest of each of N weeks.
    #[arg(long, value_name = "N")]
    pub keep_weekly: Option<u32>,
    /// Keep the newest of each of N months.
    #[arg(long, value_name = "N")]
    pub keep_monthly: Option<u32>,
}
