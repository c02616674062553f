//! Arguments of `check`.

use clap::Args;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Read and verify every byte, not only names and sizes.
    #[arg(long)]
    pub read_data: bool,
    /// Read and verify this share of all bytes, what was verified longest ago first.
    #[arg(long, value_name = "1-100", conflicts_with = "read_data", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub percent: Option<u8>,
    /// Have the appliance do that by itself each day, with this share; 0 for never. Without a value, show what is decided, when it
    /// runs and what a day of it reads.
    #[arg(long, value_name = "0-100", conflicts_with_all = ["read_data", "percent"], value_parser = clap::value_parser!(u8).range(0..=100))]
    pub daily: Option<Option<u8>>,
}
