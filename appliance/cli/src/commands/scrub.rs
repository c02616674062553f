//! `provider scrub`: looks at a tenant's bucket without any of the tenant's keys. No appliance has to run, and nothing is written.

use super::{Desk, provider::provider_keys};
use crate::{
    args::ScrubArgs,
    files::{self, Lookup, environment},
    outcome::{DONE, Outcome, PROBLEMS},
    output::bytes,
    words,
};
use holdfast_model::{Error, Moment, Result, bucket::BucketUrl, policy::parse_size};
use holdfast_provider::ScrubRequest;
use holdfast_runtime::Clock;
use holdfast_s3::S3Store;
use holdfast_storage::{DirStore, Store};
use std::{cell::Cell, path::Path};

/// Seconds in a day.
const DAY_S: i64 = 86_400;

/// `provider scrub --bucket URL`.
pub async fn scrub(desk: &Desk, args: ScrubArgs) -> Outcome {
    let request = request(&args, Clock::system().now())?;
    let store = open(&environment, &args)?;
    let last = Cell::new(0);
    let told = |done: u64, total: u64| {
        let tenths = u128::from(done) * 10 / u128::from(total.max(1));
        if last.replace(tenths) < tenths {
            desk.output.talk(&format!("{} of {} looked at", bytes(done), bytes(total)));
        }
    };
    let view = holdfast_provider::scrub(&*store, request, told).await?;
    desk.output.show(&view, words::scrub);
    Ok(if view.is_clean() { DONE } else { PROBLEMS })
}

fn request(args: &ScrubArgs, now: Moment) -> Result<ScrubRequest> {
    Ok(ScrubRequest {
        percent: args.percent,
        day: u64::try_from(now.seconds().div_euclid(DAY_S)).unwrap_or(0),
        bytes_per_second: args.rate.as_deref().map(parse_size).transpose()?,
    })
}

fn open(from: Lookup<'_>, args: &ScrubArgs) -> Result<Box<dyn Store>> {
    let mut bucket = files::bucket(from, &args.bucket)?;
    if let BucketUrl::Directory(path) = &bucket.url {
        if !Path::new(path).is_dir() {
            return Err(Error::not_found("bucket.missing", format!("there is no folder {path}"))
                .advice("Name the folder that serves as the bucket."));
        }
        return Ok(Box::new(DirStore::open(path)?));
    }
    bucket.ca = files::read_named(args.ca.as_ref())?.or(bucket.ca);
    // The tenant's own keys are not needed, and not used.
    bucket.credentials = Some(provider_keys(from, args.access_key_file.as_deref())?);
    Ok(Box::new(S3Store::open(&bucket)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command, ProviderCommand};
    use clap::Parser;

    fn args(line: &str) -> ScrubArgs {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Provider(ProviderCommand::Scrub(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn words_become_a_request() {
        let noon = Moment::from_millis(1_795_435_200_000);
        let part = request(&args("holdfast provider scrub --bucket s3://b --percent 4 --rate 20MB"), noon).unwrap();
        assert_eq!(part, ScrubRequest { percent: 4, day: 20_780, bytes_per_second: Some(20_000_000) });
        let whole = request(&args("holdfast provider scrub --bucket s3://b"), noon).unwrap();
        assert_eq!((whole.percent, whole.bytes_per_second), (100, None));
        let odd = args("holdfast provider scrub --bucket s3://b --rate fast");
        assert_eq!(request(&odd, noon).unwrap_err().code(), "size.malformed");
    }

    #[test]
    fn a_bucket_is_opened_with_keys_and_never_made() {
        let code = |line: &str| open(&|_| None, &args(line)).err().map(|error| error.code().to_owned());
        assert_eq!(code("holdfast provider scrub --bucket s3://b").as_deref(), Some("credentials.missing"));
        assert_eq!(code("holdfast provider scrub --bucket b").as_deref(), Some("bucket.url"));
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("none");
        let line = format!("holdfast provider scrub --bucket file://{}", none.display());
        assert_eq!(code(&line).as_deref(), Some("bucket.missing"));
        assert!(!none.exists());
        assert_eq!(code(&format!("holdfast provider scrub --bucket file://{}", folder.path().display())), None);
    }
}
