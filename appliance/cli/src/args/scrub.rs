//! Arguments of `provider scrub`.

use clap::Args;
use std::path::PathBuf;

/// Arguments of `provider scrub`.
#[derive(Debug, Args)]
pub struct ScrubArgs {
    /// The tenant's bucket: s3://NAME[/PREFIX][?endpoint=URL&region=R&ca=FILE] or file:///DIR. No object is written into it.
    #[arg(long, value_name = "URL")]
    pub bucket: String,
    /// Read this share of its objects, another one each day: `--percent 4` every day has read everything after 25 days.
    #[arg(long, value_name = "1-100", default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub percent: u8,
    /// Read no more than this per second, such as 20MB.
    #[arg(long, value_name = "SIZE")]
    pub rate: Option<String>,
    /// PEM file of the endpoint's own CA.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// File with an access key that may read the bucket and its secret key, one per line; else they come from
    /// HOLDFAST_PROVIDER_ACCESS_KEY and HOLDFAST_PROVIDER_SECRET_KEY.
    #[arg(long, value_name = "FILE")]
    pub access_key_file: Option<PathBuf>,
}
