//! The commands, one function each: ask the appliance, show the answer, say how it ended.

mod bucket;
mod cache;
mod daily;
mod files;
mod hooks;
mod keep;
mod keys;
mod provider;
mod recover;
mod repository;
mod restore;
mod scrub;
mod waiting;

use crate::{
    args::{
        BucketCommand, CacheCommand, Cli, Command, EscrowCommand, HooksCommand, HostCommand, JobCommand, KeyAddCommand,
        KeyCommand, PolicyCommand, ProviderCommand,
    },
    client::Client,
    outcome::{DONE, Outcome},
    output::Output,
    serve,
};
use clap::CommandFactory;
use std::path::PathBuf;

/// What every command works with.
pub struct Desk {
    /// Data folder of the appliance.
    pub data: PathBuf,
    /// The way to it.
    pub client: Client,
    /// How to talk.
    pub output: Output,
}

/// Carries out a command line.
pub async fn run(cli: Cli) -> Outcome {
    let output = Output { json: cli.common.json };
    let desk = Desk { client: Client::new(&cli.common.data), data: cli.common.data, output };
    match cli.command {
        Command::Serve(args) => serve::run(&desk, args).await,
        Command::Status => daily::status(&desk).await,
        Command::Apps => daily::apps(&desk).await,
        Command::Snapshots { app, forgotten } => daily::snapshots(&desk, app.as_deref(), forgotten).await,
        Command::Backup(args) => daily::backup(&desk, args).await,
        Command::Restore(args) => restore::restore(&desk, args).await,
        Command::Diff { before, after, limit } => files::diff(&desk, &before, &after, limit).await,
        Command::Compose(args) => files::compose(&desk, args).await,
        Command::Files(command) => files::files(&desk, command).await,
        Command::Jobs { id: None } => daily::jobs(&desk).await,
        Command::Jobs { id: Some(id) } => daily::job(&desk, &id).await,
        Command::Job(JobCommand::Cancel { id }) => daily::job_cancel(&desk, &id).await,
        Command::Host(command) => host(&desk, command).await,
        Command::Policy(command) => policy(&desk, command).await,
        Command::Hooks(command) => hooks(&desk, command).await,
        Command::Forget { snapshot, now, yes } => restore::forget(&desk, &snapshot, now, yes).await,
        Command::Unforget { snapshot } => restore::unforget(&desk, &snapshot).await,
        Command::Check(args) => repository::check(&desk, &args).await,
        Command::Prune { dry_run } => repository::prune(&desk, dry_run).await,
        Command::Key(command) => key(&desk, command).await,
        Command::Cache { command } => cache(&desk, command.unwrap_or(CacheCommand::Show)).await,
        Command::Bucket(BucketCommand::Set { url, leave_behind }) => bucket::set(&desk, &url, leave_behind).await,
        Command::Bucket(BucketCommand::Pause) => bucket::pause(&desk, true).await,
        Command::Bucket(BucketCommand::Resume) => bucket::pause(&desk, false).await,
        Command::Bucket(BucketCommand::Limit(args)) => bucket::limit(&desk, &args).await,
        Command::Bucket(BucketCommand::Lock(args)) => bucket::lock(&desk, &args).await,
        Command::Bucket(BucketCommand::Probe) => bucket::probe(&desk).await,
        Command::Bucket(BucketCommand::Show) => bucket::show(&desk).await,
        Command::Recover(args) => recover::recover(&desk, args).await,
        Command::Provider(ProviderCommand::Tenant(command)) => provider::tenant(&desk, command).await,
        Command::Provider(ProviderCommand::Scrub(args)) => scrub::scrub(&desk, args).await,
        Command::Enrol { bundle, leave_behind } => bucket::enrol(&desk, &bundle, leave_behind).await,
        Command::Coverage => daily::coverage(&desk).await,
        Command::Doctor => daily::doctor(&desk).await,
        Command::SetupLink => daily::setup_link(&desk).await,
        Command::Healthcheck => daily::healthcheck(&desk).await,
        Command::Completions { shell } => Ok(completions(shell)),
        Command::Openapi => Ok(openapi()),
    }
}

async fn host(desk: &Desk, command: HostCommand) -> Outcome {
    match command {
        HostCommand::Add { name, url, tls_ca, tls_cert, tls_key, ssh_key, ssh_known_hosts } => {
            keep::host_add(desk, name, url, [tls_ca, tls_cert, tls_key, ssh_key, ssh_known_hosts]).await
        }
        HostCommand::Ls => keep::hosts(desk).await,
        HostCommand::Rm { name } => keep::host_remove(desk, &name).await,
    }
}

async fn cache(desk: &Desk, command: CacheCommand) -> Outcome {
    match command {
        CacheCommand::Show => cache::show(desk).await,
        CacheCommand::Set(args) => cache::set(desk, &args).await,
        CacheCommand::Evict { to, dry_run } => cache::evict(desk, to.as_deref(), dry_run).await,
        CacheCommand::Warm { snapshot, wait } => cache::warm(desk, &snapshot, wait).await,
    }
}

async fn key(desk: &Desk, command: KeyCommand) -> Outcome {
    match command {
        KeyCommand::Kit { output } => repository::kit(desk, &output).await,
        KeyCommand::Confirm => repository::kit_confirm(desk).await,
        KeyCommand::List => keys::list(desk).await,
        KeyCommand::Add(KeyAddCommand::Passphrase { name, passphrase_file }) => {
            keys::add_passphrase(desk, name, passphrase_file.as_deref()).await
        }
        KeyCommand::Change { id, passphrase_file } => keys::change(desk, &id, passphrase_file.as_deref()).await,
        KeyCommand::Remove { id, yes } | KeyCommand::Escrow(EscrowCommand::Remove { id, yes }) => {
            keys::remove(desk, &id, yes).await
        }
        KeyCommand::Rotate { what, output, yes } => keys::rotate(desk, what, &output, yes).await,
        KeyCommand::Escrow(EscrowCommand::Add { public_key, name, yes }) => {
            keys::escrow_add(desk, &public_key, name, yes).await
        }
        KeyCommand::Escrow(EscrowCommand::Pair { output }) => keys::escrow_pair(desk, &output),
    }
}

async fn policy(desk: &Desk, command: PolicyCommand) -> Outcome {
    match command {
        PolicyCommand::Ls => keep::policies(desk).await,
        PolicyCommand::Set(args) => keep::policy_set(desk, args).await,
        PolicyCommand::Rm { name } => keep::policy_remove(desk, &name).await,
        PolicyCommand::Assign { app, policy } => keep::assign(desk, &app, Some(policy)).await,
        PolicyCommand::Unassign { app } => keep::assign(desk, &app, None).await,
    }
}

async fn hooks(desk: &Desk, command: HooksCommand) -> Outcome {
    match command {
        HooksCommand::Ls { app } => hooks::list(desk, &app).await,
        HooksCommand::Set(args) => hooks::set(desk, args).await,
        HooksCommand::Unset { app, service } => hooks::unset(desk, &app, &service).await,
    }
}

fn completions(shell: clap_complete::Shell) -> i32 {
    clap_complete::generate(shell, &mut Cli::command(), "holdfast", &mut std::io::stdout());
    DONE
}

fn openapi() -> i32 {
    print!("{}", holdfast_web::openapi());
    DONE
}
