//! What a provider does: tenants. Works on the provider's own folder; no appliance has to run.

use super::Desk;
use crate::{
    args::{TenantArgs, TenantCommand, TenantDriver},
    files::{self, Lookup, environment},
    outcome::{DONE, Failure, Outcome, PROBLEMS},
    words,
};
use holdfast_model::{
    Error, Result, Secret,
    bucket::{BucketUrl, Credentials},
    bundle::SignedBundle,
    policy::{parse_duration, parse_size},
    view::DoctorLine,
};
use holdfast_provider::{Created, Driver, IamDriver, Provider, TenantRequest, TenantView};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A new tenant, as `--json` shows it. Holds the key unless the bundle went into a file.
#[derive(Serialize)]
struct CreatedView {
    tenant: TenantView,
    proof: Vec<DoctorLine>,
    /// Where the bundle was written.
    bundle_file: Option<PathBuf>,
    /// The bundle, if it was not written into a file.
    bundle: Option<SignedBundle>,
}

/// `provider tenant …`.
pub async fn tenant(desk: &Desk, command: TenantCommand) -> Outcome {
    match command {
        TenantCommand::Create(args) => create(desk, *args).await,
        TenantCommand::List { state } => {
            let views = open(desk, state)?.tenant_list()?;
            desk.output.show(&views, |views| words::tenants(views));
            Ok(DONE)
        }
        TenantCommand::Show { name, state } => {
            let view = open(desk, state)?.tenant_show(&name)?;
            desk.output.show(&view, |view| words::tenants(std::slice::from_ref(view)));
            Ok(DONE)
        }
    }
}

async fn create(desk: &Desk, args: TenantArgs) -> Outcome {
    let driver = driver(&environment, &args)?;
    let request = request(&args)?;
    if let Some(file) = args.output.as_deref() {
        refuse_existing(file)?;
    }
    let created = open(desk, args.state)?.tenant_create(driver, request).await?;
    let proven = created.proof.iter().all(|line| line.ok);
    let view = deliver(created, args.output)?;
    desk.output.talk(&words::doctor(&view.proof));
    desk.output.show(&view, |view| match &view.bundle_file {
        Some(file) => format!("Tenant {} is ready; its bundle is in {}.", view.tenant.name, file.display()),
        None => view.bundle.as_ref().map(holdfast_provider::bundle::to_line).unwrap_or_default(),
    });
    Ok(if proven { DONE } else { PROBLEMS })
}

fn open(desk: &Desk, state: Option<PathBuf>) -> Result<Provider> {
    Provider::open(state.unwrap_or_else(|| desk.data.join("provider")))
}

/// Looked at before anything is made: a tenant without its bundle is of no use to anybody.
fn refuse_existing(file: &Path) -> Result<()> {
    if file.symlink_metadata().is_err() {
        return Ok(());
    }
    let what = format!("{} is there already; nothing was made", file.display());
    Err(Error::new(holdfast_model::Kind::Conflict, "file.exists", what).advice("Name a file that does not exist yet."))
}

/// Puts the bundle where it was asked for.
fn deliver(created: Created, file: Option<PathBuf>) -> Result<CreatedView, Failure> {
    let Created { tenant, bundle, proof } = created;
    let Some(file) = file else {
        return Ok(CreatedView { tenant, proof, bundle_file: None, bundle: Some(bundle) });
    };
    let text = serde_json::to_string_pretty(&bundle).expect("a bundle is plain JSON");
    files::write_new(&file, &(text + "\n"))?;
    Ok(CreatedView { tenant, proof, bundle_file: Some(file), bundle: None })
}

fn request(args: &TenantArgs) -> Result<TenantRequest> {
    Ok(TenantRequest {
        name: args.name.clone(),
        provider: args.provider.clone(),
        quota_bytes: args.quota.as_deref().map(parse_size).transpose()?,
        valid_for_seconds: parse_duration(&args.valid)?,
        lock: args.lock,
        append_only: args.append_only,
    })
}

fn driver(from: Lookup<'_>, args: &TenantArgs) -> Result<Driver> {
    let ca = files::read_named(args.ca.as_ref())?;
    if args.driver == TenantDriver::ByHand {
        let url = args.bucket.as_deref().ok_or_else(|| {
            Error::invalid("tenant.bucket", "a bucket that was made by hand must be named with --bucket")
        })?;
        let credentials = files::credentials(from, "HOLDFAST_S3")?.ok_or_else(|| {
            Error::invalid("credentials.missing", format!("there are no keys for {url}"))
                .advice("Set HOLDFAST_S3_ACCESS_KEY and HOLDFAST_S3_SECRET_KEY to the tenant's keys.")
        })?;
        return Ok(Driver::ByHand { bucket: BucketUrl::parse(url)?, credentials, ca });
    }
    let keys = provider_keys(from, args.access_key_file.as_deref())?;
    Ok(Driver::Iam(IamDriver {
        endpoint: args.endpoint.clone(),
        region: args.region.clone(),
        access_key: keys.access_key,
        secret_key: keys.secret_key,
        ca,
        iam_endpoint: args.iam_endpoint.clone(),
    }))
}

/// The provider's own keys: both in one file, or in the environment.
pub(super) fn provider_keys(from: Lookup<'_>, file: Option<&Path>) -> Result<Credentials> {
    if let Some(file) = file {
        let text = files::read(file)?;
        let mut words = text.split_whitespace();
        if let (Some(access), Some(secret), None) = (words.next(), words.next(), words.next()) {
            let secret_key = Secret::new(secret);
            return Ok(Credentials { access_key: access.to_owned(), secret_key, session_token: None });
        }
        let what = format!("{} must hold the access key and the secret key, nothing else", file.display());
        return Err(Error::invalid("credentials.file", what));
    }
    files::credentials(from, "HOLDFAST_PROVIDER")?.ok_or_else(|| {
        Error::invalid("credentials.missing", "there are no provider keys")
            .advice("Set HOLDFAST_PROVIDER_ACCESS_KEY and HOLDFAST_PROVIDER_SECRET_KEY, or give --access-key-file.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command, ProviderCommand};
    use clap::Parser;

    fn args(line: &str) -> TenantArgs {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Provider(ProviderCommand::Tenant(TenantCommand::Create(args))) => *args,
            other => panic!("{other:?}"),
        }
    }

    fn keys(name: &str) -> Option<String> {
        let known = ["HOLDFAST_PROVIDER_ACCESS_KEY", "HOLDFAST_PROVIDER_SECRET_KEY"];
        known.contains(&name).then(|| name[18..].to_lowercase())
    }

    #[test]
    fn words_become_a_request_and_a_driver() {
        let made =
            args("holdfast provider tenant create acme --quota 500GB --endpoint http://127.0.0.1:1 --append-only");
        let asked = request(&made).unwrap();
        assert_eq!((asked.quota_bytes, asked.valid_for_seconds), (Some(500_000_000_000), 72 * 3600));
        assert!(asked.append_only && !asked.lock);
        let Driver::Iam(iam) = driver(&keys, &made).unwrap() else { panic!() };
        assert_eq!((iam.access_key.as_str(), iam.secret_key.reveal()), ("access_key", "secret_key"));
        assert_eq!(driver(&|_| None, &made).unwrap_err().code(), "credentials.missing");
        let by_hand = args("holdfast provider tenant create acme --driver by-hand");
        assert_eq!(driver(&keys, &by_hand).unwrap_err().code(), "tenant.bucket");
    }

    #[test]
    fn keys_may_lie_in_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, "AK\nSK\n").unwrap();
        let found = provider_keys(&|_| None, Some(&file)).unwrap();
        assert_eq!((found.access_key.as_str(), found.secret_key.reveal()), ("AK", "SK"));
        std::fs::write(&file, "AK only and more").unwrap();
        assert_eq!(provider_keys(&|_| None, Some(&file)).unwrap_err().code(), "credentials.file");
        assert_eq!(refuse_existing(&file).unwrap_err().code(), "file.exists");
    }
}
