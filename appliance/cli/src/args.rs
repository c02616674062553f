//! The words of the command line. Nothing happens here.

mod bucket;
mod cache;
mod check;
mod files;
mod hooks;
mod policy;
mod scrub;
mod ways;

pub use bucket::{BucketCommand, LimitArgs, LockArgs};
pub use cache::{CacheCommand, CacheSetArgs, Full};
pub use check::CheckArgs;
pub use files::{ComposeArgs, FilesCommand, GetArgs, LsArgs, PutArgs};
pub use hooks::{HooksArgs, HooksCommand};
pub use policy::{PolicyArgs, PolicyCommand};
pub use scrub::ScrubArgs;
pub use ways::WaysArgs;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::{net::SocketAddr, path::PathBuf};

/// Backs up whole Docker apps to a local cache and an S3 bucket, and brings them back.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 done with problems, 4 not found,\n\
                          5 refused, 6 cannot reach, 130 stopped.";

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Data folder of the appliance.
    #[arg(long, global = true, env = "HOLDFAST_DATA", default_value = "/var/lib/holdfast", value_name = "DIR")]
    pub data: PathBuf,
    /// Print exactly one JSON value on stdout.
    #[arg(long, global = true)]
    pub json: bool,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the appliance: it owns the data folder, backs up, ships, and serves the web pages.
    Serve(ServeArgs),
    /// Show how the appliance does.
    Status,
    /// List the apps on all hosts, and whether they are protected.
    Apps,
    /// List snapshots, oldest first.
    Snapshots {
        /// Only of this app: HOST/NAME or a unique NAME.
        app: Option<String>,
        /// Those that somebody forgot and that can be brought back.
        #[arg(long)]
        forgotten: bool,
    },
    /// Take a snapshot of apps now.
    Backup(BackupArgs),
    /// Put a snapshot back: beside the original unless told otherwise.
    Restore(RestoreArgs),
    /// Write a compose file made of what a snapshot says.
    Compose(ComposeArgs),
    /// Look into snapshots: list, get and find files.
    #[command(subcommand)]
    Files(FilesCommand),
    /// Show what differs between the files of two snapshots.
    Diff {
        /// The earlier snapshot: id, a unique beginning of it, or latest:APP.
        before: String,
        /// The later one.
        after: String,
        /// Lines at most.
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        limit: usize,
    },
    /// List jobs, newest first, or show one.
    Jobs {
        /// Id of one job.
        id: Option<String>,
    },
    /// Act on a job.
    #[command(subcommand)]
    Job(JobCommand),
    /// Manage Docker hosts.
    #[command(subcommand)]
    Host(HostCommand),
    /// Manage policies: how often, how held, how long kept.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Manage commands that apps run around their backups.
    #[command(subcommand)]
    Hooks(HooksCommand),
    /// Forget a snapshot: it can be brought back for 7 days, then prune removes it and frees its space.
    Forget {
        /// Snapshot id or a unique beginning of it.
        snapshot: String,
        /// Remove it at once and for ever, and free what nothing needs then.
        #[arg(long)]
        now: bool,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Bring a snapshot back that was forgotten.
    Unforget {
        /// Snapshot id or a unique beginning of it.
        snapshot: String,
    },
    /// Verify that everything is there, in the cache and in the bucket, and heal what can be healed.
    Check(CheckArgs),
    /// Apply retention and free what no snapshot needs.
    Prune {
        /// Only show what would go.
        #[arg(long)]
        dry_run: bool,
    },
    /// Handle the recovery kit and the other ways to open the backups.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Show the cache, decide what it may take, free space in it, bring snapshots back.
    Cache {
        /// What to do; show it unless given.
        #[command(subcommand)]
        command: Option<CacheCommand>,
    },
    /// Attach, try or show the bucket.
    #[command(subcommand)]
    Bucket(BucketCommand),
    /// Rebuild an appliance from its bucket and recovery kit on an empty data folder.
    Recover(RecoverArgs),
    /// What a service provider does.
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// Bind this appliance to a provider by an enrolment bundle.
    Enrol {
        /// The bundle file.
        bundle: PathBuf,
        /// Let data stay behind that only the bucket of before holds.
        #[arg(long)]
        leave_behind: bool,
    },
    /// Everything on every host that is not protected, and why.
    Coverage,
    /// Try everything that backups need, and say what works.
    Doctor,
    /// Print the link that makes the first admin.
    SetupLink,
    /// Succeed if the appliance works: for container health checks.
    Healthcheck,
    /// Print a completion script.
    Completions {
        /// For which shell.
        shell: Shell,
    },
    /// Print the API's OpenAPI document.
    Openapi,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address of the web pages and the API (plain HTTP).
    #[arg(long, env = "HOLDFAST_LISTEN", default_value = "127.0.0.1:8440", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// The bucket: s3://NAME[/PREFIX][?endpoint=URL&region=R&ca=FILE] or file:///DIR. Keys come from
    /// HOLDFAST_S3_ACCESS_KEY and HOLDFAST_S3_SECRET_KEY (and HOLDFAST_S3_SESSION_TOKEN, if they are for a time only), or files
    /// named by these with _FILE appended. Proxies come from proxy=… in the URL, HTTPS_PROXY and HTTP_PROXY.
    #[arg(long, env = "HOLDFAST_BUCKET", value_name = "URL")]
    pub bucket: Option<String>,
    /// A name under which browsers reach this appliance; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub allow_host: Vec<String>,
    /// A proxy in front speaks TLS with the browsers: cookies and links say so.
    #[arg(long, requires = "allow_host")]
    pub tls_proxy: bool,
    /// The Docker engine to register as host “local” in an empty data folder.
    #[arg(long, env = "DOCKER_HOST", default_value = "unix:///var/run/docker.sock", value_name = "URL")]
    pub docker: String,
}

/// How an app is held still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hold {
    /// Freeze all its containers for the moment of reading.
    Pause,
    /// Stop its containers cleanly and start them again.
    Stop,
    /// Do not hold it: files may be from different instants.
    None,
}

/// What is done for databases in an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Care {
    /// Ask each to make its files whole; keep the log of those that are read live, or a dump.
    Auto,
    /// Dump each as well.
    Dump,
    /// Ask none for anything.
    Off,
}

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Apps: HOST/NAME or a unique NAME.
    #[arg(required = true, value_name = "APP")]
    pub apps: Vec<String>,
    /// How to hold the app still, instead of what its policy says.
    #[arg(long, value_enum, value_name = "HOW")]
    pub consistency: Option<Hold>,
    /// What to do for databases in it, instead of what its policy says.
    #[arg(long, value_enum, value_name = "HOW")]
    pub databases: Option<Care>,
    /// Wait until the snapshots are on this appliance's disk.
    #[arg(long)]
    pub wait: bool,
    /// Wait until the bucket holds them completely too.
    #[arg(long)]
    pub wait_cloud: bool,
    /// Give up waiting for the bucket after this time, such as 30m.
    #[arg(long, value_name = "TIME", requires = "wait_cloud")]
    pub timeout: Option<String>,
}

/// Where chunks may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tier {
    /// The cache, and the bucket for what it lacks.
    Auto,
    /// The cache alone.
    Cache,
    /// The bucket alone.
    Bucket,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Snapshot id, a unique beginning of it, or latest:APP.
    pub snapshot: String,
    /// Name of the copy; APP-restore unless given.
    #[arg(long = "as", value_name = "NAME", conflicts_with_all = ["in_place", "to"])]
    pub name: Option<String>,
    /// Replace the app itself, after a safety snapshot.
    #[arg(long, conflicts_with = "to")]
    pub in_place: bool,
    /// Restore under its own name on another registered host.
    #[arg(long, value_name = "HOST")]
    pub to: Option<String>,
    /// Agree to what the plan stops, replaces or deletes.
    #[arg(long)]
    pub yes: bool,
    /// In place, or on another host: agree that what the safety backup cannot keep is lost.
    #[arg(long, conflicts_with = "name")]
    pub lose_uncaptured: bool,
    /// Only this volume.
    #[arg(long, value_name = "VOLUME")]
    pub volume: Option<String>,
    /// Only this service (or container) with its volumes and networks; may be given several times.
    #[arg(long = "service", value_name = "SERVICE", conflicts_with = "volume")]
    pub services: Vec<String>,
    /// Publish no ports, as a way round ports that are taken.
    #[arg(long)]
    pub no_ports: bool,
    /// Leave fixed addresses, and subnets that are in use, to the engine.
    #[arg(long)]
    pub no_addresses: bool,
    /// Ways round what the host lacks.
    #[command(flatten)]
    pub ways: WaysArgs,
    /// Where the data may come from.
    #[arg(long, value_enum, default_value = "auto", value_name = "TIER")]
    pub from: Tier,
    /// Only show the plan.
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    /// Wait until it is done.
    #[arg(long)]
    pub wait: bool,
}

/// Commands on one job.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Ask a job to stop.
    Cancel {
        /// Job id.
        id: String,
    },
}

/// Commands on hosts.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// Register a Docker host.
    Add {
        /// Its name here.
        name: String,
        /// unix:///PATH, tcp://NAME:PORT or ssh://[USER@]NAME[:PORT][/SOCKET].
        url: String,
        /// PEM file of the CA that signs the host (tcp with TLS).
        #[arg(long, value_name = "FILE", requires = "tls_cert")]
        tls_ca: Option<PathBuf>,
        /// PEM file of our certificate.
        #[arg(long, value_name = "FILE", requires = "tls_key")]
        tls_cert: Option<PathBuf>,
        /// PEM file of our key.
        #[arg(long, value_name = "FILE", requires = "tls_ca")]
        tls_key: Option<PathBuf>,
        /// File of our private key, without a passphrase (ssh); without it that of the appliance's account.
        #[arg(long, value_name = "FILE")]
        ssh_key: Option<PathBuf>,
        /// File of the keys that the host may show, as ssh-keyscan prints it (ssh); without it the account's own.
        #[arg(long, value_name = "FILE")]
        ssh_known_hosts: Option<PathBuf>,
    },
    /// List hosts.
    Ls,
    /// Forget a host; its snapshots remain.
    Rm {
        /// Its name here.
        name: String,
    },
}

/// Commands on keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Write the recovery kit: with it and the bucket everything comes back.
    Kit {
        /// New file, readable by its owner only; - for stdout.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Say that the kit is stored in a safe place.
    Confirm,
    /// List the ways to open the backups.
    List,
    /// Add a way to open the backups.
    #[command(subcommand)]
    Add(KeyAddCommand),
    /// Change a passphrase: the new one is stored before the old one goes.
    Change {
        /// Id of the passphrase, as key list shows it.
        id: String,
        /// File with the new passphrase, - for stdin; asked for on the terminal unless given.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Remove a passphrase or an escrow key. What its owner has read already stays read.
    Remove {
        /// Its id, as key list shows it.
        id: String,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Make new keys and a new recovery kit; the old kit opens nothing any more.
    Rotate {
        /// What to make anew.
        #[arg(value_enum, default_value = "epoch")]
        what: Rotation,
        /// New file for the new kit, readable by its owner only; - for stdout.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Entrust the backups to a second person's key.
    #[command(subcommand)]
    Escrow(EscrowCommand),
}

/// What `key rotate` makes anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rotation {
    /// The keys of all that is written from now on, for when somebody knew a way in; and the kit.
    Epoch,
    /// The kit alone, for when it was lost.
    Recovery,
}

/// Commands of `key add`.
#[derive(Debug, Subcommand)]
pub enum KeyAddCommand {
    /// Let a passphrase open the backups, beside the kit.
    Passphrase {
        /// Whose it is, for the list.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// File with the passphrase, - for stdin; asked for on the terminal unless given.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
}

/// Commands on escrow keys.
#[derive(Debug, Subcommand)]
pub enum EscrowCommand {
    /// Let the owner of a public key open the backups: he, and nobody without his private key.
    Add {
        /// PEM file with the X25519 public key; - for stdin.
        public_key: PathBuf,
        /// Whose it is, for the list.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Remove an escrow key. What its owner has read already stays read.
    Remove {
        /// Its id, as key list shows it.
        id: String,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Make a pair, for who is to be entrusted: needs no appliance. The public half goes to stdout.
    Pair {
        /// New file for the private half, readable by its owner only.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The bucket: s3://… or file:///DIR. Keys come from the environment, as for serve.
    #[arg(long, value_name = "URL")]
    pub bucket: String,
    /// What opens it.
    #[command(flatten)]
    pub key: RecoverKey,
    /// The Docker engine to register as host “local” if the recovered settings name none.
    #[arg(long, env = "DOCKER_HOST", default_value = "unix:///var/run/docker.sock", value_name = "URL")]
    pub docker: String,
}

/// What opens the bucket that is recovered.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RecoverKey {
    /// File with the recovery kit; - for stdin.
    #[arg(long, value_name = "FILE")]
    pub kit: Option<PathBuf>,
    /// File with a passphrase that was added; - for stdin.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// PEM file with the private half of an escrow key; - for stdin.
    #[arg(long, value_name = "FILE")]
    pub escrow_key: Option<PathBuf>,
}

/// Commands of a provider.
#[derive(Debug, Subcommand)]
pub enum ProviderCommand {
    /// Manage tenants.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Look at a tenant's bucket without any of the tenant's keys: what is there, damaged, missing or somebody else's.
    Scrub(ScrubArgs),
}

/// Commands on tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Make a tenant: its own bucket, a key that opens nothing else, and an enrolment bundle.
    Create(Box<TenantArgs>),
    /// List tenants.
    List {
        /// The provider's own folder.
        #[arg(long, env = "HOLDFAST_PROVIDER_STATE", value_name = "DIR")]
        state: Option<PathBuf>,
    },
    /// Show one tenant.
    Show {
        /// Its name.
        name: String,
        /// The provider's own folder.
        #[arg(long, env = "HOLDFAST_PROVIDER_STATE", value_name = "DIR")]
        state: Option<PathBuf>,
    },
}

/// How a tenant's bucket and key are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TenantDriver {
    /// Through an IAM-compatible API (AWS, SeaweedFS, Ceph).
    Iam,
    /// The bucket and its key exist already.
    ByHand,
}

/// Arguments of `provider tenant create`.
#[derive(Debug, Args)]
pub struct TenantArgs {
    /// The tenant's name.
    pub name: String,
    /// Stored bytes the tenant may use, such as 500GB.
    #[arg(long, value_name = "SIZE")]
    pub quota: Option<String>,
    /// How bucket and key are made.
    #[arg(long, value_enum, default_value = "iam")]
    pub driver: TenantDriver,
    /// The store's endpoint; AWS unless given.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The store's IAM endpoint, where it differs.
    #[arg(long, value_name = "URL")]
    pub iam_endpoint: Option<String>,
    /// The store's region.
    #[arg(long, default_value = "us-east-1")]
    pub region: String,
    /// PEM file of the endpoint's own CA.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// File with the provider's access key and secret key, one per line; else they come from
    /// HOLDFAST_PROVIDER_ACCESS_KEY and HOLDFAST_PROVIDER_SECRET_KEY.
    #[arg(long, value_name = "FILE")]
    pub access_key_file: Option<PathBuf>,
    /// Where the tenant's bucket is (by hand): s3://…; its keys come from HOLDFAST_S3_ACCESS_KEY and …SECRET_KEY.
    #[arg(long, value_name = "URL")]
    pub bucket: Option<String>,
    /// The tenant's key may not delete; its appliance cannot prune the bucket itself then.
    #[arg(long)]
    pub append_only: bool,
    /// Make the bucket with object lock.
    #[arg(long)]
    pub lock: bool,
    /// The provider's name, as the tenant sees it.
    #[arg(long, default_value = "provider", value_name = "NAME")]
    pub provider: String,
    /// How long the bundle is accepted, such as 72h.
    #[arg(long, default_value = "72h", value_name = "TIME")]
    pub valid: String,
    /// New file for the enrolment bundle; stdout unless given.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The provider's own folder: signing key and tenants; DATA/provider unless given.
    #[arg(long, env = "HOLDFAST_PROVIDER_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_words_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_contract_is_understood() {
        for line in [
            "holdfast serve --data /d --listen 127.0.0.1:1 --bucket file:///b --allow-host h",
            "holdfast --data /d --json status",
            "holdfast apps --json --data /d",
            "holdfast snapshots shop --json",
            "holdfast backup a b --consistency stop --wait --json",
            "holdfast backup a --wait-cloud --timeout 5m",
            "holdfast restore latest:shop --as copy --wait",
            "holdfast restore 01ab --in-place --yes --from bucket --volume v",
            "holdfast restore 01ab --to edge --dry-run",
            "holdfast jobs 01ab",
            "holdfast job cancel 01ab",
            "holdfast host add edge tcp://edge:2376 --tls-ca a --tls-cert b --tls-key c",
            "holdfast host add edge ssh://ada@edge --ssh-key a --ssh-known-hosts b",
            "holdfast policy set daily --every 1d --keep-last 3",
            "holdfast policy assign shop gold",
            "holdfast policy unassign shop",
            "holdfast hooks ls shop",
            "holdfast hooks set shop db --pre sync --post= --user root --timeout 5m",
            "holdfast hooks unset shop db",
            "holdfast check --read-data",
            "holdfast check --percent 4",
            "holdfast check --daily",
            "holdfast check --daily 0",
            "holdfast prune --dry-run",
            "holdfast key kit --output -",
            "holdfast key confirm",
            "holdfast key list",
            "holdfast key add passphrase --name Ada --passphrase-file -",
            "holdfast key change passphrase-01ab",
            "holdfast key remove passphrase-01ab --yes",
            "holdfast key rotate --output kit.txt --yes",
            "holdfast key rotate recovery --output kit.txt",
            "holdfast key escrow add public.pem --name notary",
            "holdfast key escrow remove escrow-01ab",
            "holdfast key escrow pair --output private.pem",
            "holdfast recover --bucket s3://b --passphrase-file -",
            "holdfast recover --bucket s3://b --escrow-key private.pem",
            "holdfast bucket set s3://b?region=x",
            "holdfast bucket set s3://b --leave-behind",
            "holdfast bucket pause",
            "holdfast bucket limit --upload 5MB --window 22:00-06:00=full",
            "holdfast bucket limit --no-windows --requests 0",
            "holdfast cache",
            "holdfast cache --json show",
            "holdfast cache set --quota 500GB --reserve auto --keep-newest 2 --when-full refuse",
            "holdfast cache set --quota none --reserve 10GiB",
            "holdfast cache evict --to 200GB --dry-run",
            "holdfast cache warm latest:shop --wait",
            "holdfast recover --bucket s3://b --kit kit.txt",
            "holdfast provider tenant create acme --quota 500GB --endpoint http://127.0.0.1:1 --output x",
            "holdfast provider tenant list --state /p",
            "holdfast provider scrub --bucket file:///b --json",
            "holdfast provider scrub --bucket s3://b --percent 4 --rate 20MB --access-key-file keys",
            "holdfast enrol acme.hfenrol",
            "holdfast enrol acme.hfenrol --leave-behind",
            "holdfast forget 01ab --yes",
            "holdfast forget 01ab --now",
            "holdfast unforget 01ab",
            "holdfast snapshots --forgotten",
            "holdfast completions bash",
            "holdfast openapi",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn contradictions_are_usage_errors() {
        for line in [
            "holdfast backup",
            "holdfast restore x --as a --in-place",
            "holdfast restore x --in-place --to h",
            "holdfast restore x --dry-run --wait",
            "holdfast backup a --timeout 5m",
            "holdfast host add e tcp://e:1 --tls-ca a",
            "holdfast key kit",
            "holdfast key rotate",
            "holdfast key add passphrase --name Ada --passphrase secret",
            "holdfast check --daily 101",
            "holdfast check --daily 4 --read-data",
            "holdfast check --percent 0",
            "holdfast cache set --when-full never",
            "holdfast cache set --keep-newest many",
            "holdfast cache warm",
            "holdfast provider scrub",
            "holdfast provider scrub --bucket s3://b --percent 0",
            "holdfast recover --bucket s3://b",
            "holdfast recover --bucket s3://b --kit k --escrow-key e",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
