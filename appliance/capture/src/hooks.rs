//! Commands of the app's own: before its data is read, before it is held, after it is let go. Labels of its containers name
//! them, and people set others beside them ([`ServiceHooks::over`]).
//!
//! | label | when |
//! |---|---|
//! | `holdfast.hook.dump` | before anything is read: for a dump into a volume |
//! | `holdfast.hook.pre` | just before the app is held, against the start order |
//! | `holdfast.hook.post` | after it was let go, in start order, whatever happened meanwhile |
//! | `holdfast.hook.user` | as whom; without it as the container's own user |
//! | `holdfast.hook.timeout` | seconds for each, 1 to 86400; without it 60, for a dump 3600 |
//!
//! # Invariants
//! - They run by `/bin/sh -c` inside the container that carries the label, which anybody who may label it may do anyway, or in
//!   the containers of the service that they were set for.
//! - Before the first `pre` runs, every `post` is in the journal: it runs after a crash too, and then perhaps twice.
//! - A command that fails is named as an error; the snapshot is taken all the same.

use crate::{Journal, journal::Held, member::Member};
use futures::{StreamExt, stream};
use holdfast_docker::{ByteStream, Engine, Exec, command};
use holdfast_model::{
    Error, Kind, Moment, Problem, Result, Secret,
    hooks::{AppHooks, ServiceHooks, TIMEOUT_MAX},
    snapshot::RunState,
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinHandle};

const DEFAULT_SECONDS: u64 = 60;
const DUMP_SECONDS: u64 = 3600;
/// Between two tries to run something in a container that is paused.
const PAUSED_WAIT: Duration = Duration::from_secs(1);
/// How long an engine may take to say that it is there.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// A command and where it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Id of the container.
    pub container: String,
    /// Its name.
    pub name: String,
    /// What it is, for people: “pre hook”.
    #[serde(default)]
    pub what: String,
    /// A line for a shell.
    pub command: String,
    /// The shell's own name and arguments, if it is to have any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// A line for its standard input. It is in no journal: what runs after a crash has to do without.
    #[serde(skip)]
    pub secret: Option<Secret>,
    /// As whom; `None` for the container's own user.
    pub user: Option<String>,
    /// Longest time, seconds.
    pub seconds: u64,
}

impl Hook {
    /// Whether it is the app's; else it is a script of ours, which has words.
    fn is_the_apps(&self) -> bool {
        self.arguments.is_empty()
    }
}

/// All commands of an app.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) dump: Vec<Hook>,
    pub(crate) pre: Vec<Hook>,
    pub(crate) post: Vec<Hook>,
}

impl Hooks {
    /// What labels of members, which are in start order, say, and what is set beside them. Those of members that do not run are
    /// named and left, and so is what is set for nobody.
    pub(crate) fn of(members: &[Member], set: &AppHooks, problems: &mut Vec<Problem>) -> Hooks {
        let mut hooks = Hooks::default();
        let none = ServiceHooks::default();
        for member in members {
            tell_wrong_seconds(member, problems);
            let labels = labelled(|name| member.label(name));
            let ServiceHooks { dump, pre, post, user, timeout_seconds } =
                set.get(service_of(member)).unwrap_or(&none).over(&labels);
            let hook = |what: &str, command: String, default: u64| Hook {
                container: member.id.clone(),
                name: member.name.clone(),
                what: format!("{what} hook"),
                command,
                arguments: Vec::new(),
                secret: None,
                user: user.clone(),
                seconds: timeout_seconds.unwrap_or(default),
            };
            if member.state != RunState::Running {
                if dump.or(pre).or(post).is_some() {
                    let text = format!("container {} does not run, so its hooks were not run", member.name);
                    problems.push(Problem::note("hook.skipped", &member.name, text));
                }
                continue;
            }
            hooks.dump.extend(dump.map(|command| hook("dump", command, DUMP_SECONDS)));
            hooks.pre.extend(pre.map(|command| hook("pre", command, DEFAULT_SECONDS)));
            hooks.post.extend(post.map(|command| hook("post", command, DEFAULT_SECONDS)));
        }
        hooks.pre.reverse();
        for service in set.keys().filter(|service| !members.iter().any(|member| service_of(member) == *service)) {
            let text = format!("commands are set for {service}, which the app does not have any more");
            let problem = Problem::warning("hook.for_nobody", service, text);
            problems.push(problem.advice("Set them for the service that took its place, or remove them."));
        }
        hooks
    }
}

/// What commands for it are set under.
fn service_of(member: &Member) -> &str {
    member.service.as_deref().unwrap_or(&member.name)
}

/// What labels of a container say.
pub(crate) fn labelled<'a>(label: impl Fn(&str) -> Option<&'a str>) -> ServiceHooks {
    let text = |name: &str| label(&format!("holdfast.hook.{name}")).map(str::to_owned);
    ServiceHooks {
        dump: text("dump"),
        pre: text("pre"),
        post: text("post"),
        user: text("user"),
        timeout_seconds: text("timeout").and_then(|text| seconds(&text)),
    }
}

fn seconds(text: &str) -> Option<u64> {
    text.parse().ok().filter(|seconds| (1..=TIMEOUT_MAX).contains(seconds))
}

fn tell_wrong_seconds(member: &Member, problems: &mut Vec<Problem>) {
    if member.label("holdfast.hook.timeout").is_some_and(|text| seconds(text).is_none()) {
        let text = format!(
            "the label holdfast.hook.timeout of {} is no number of seconds from 1 to {TIMEOUT_MAX}",
            member.name
        );
        problems.push(Problem::warning("label.invalid", &member.name, text));
    }
}

/// Runs commands one after the other; what fails is told.
pub(crate) async fn run_all(engine: &dyn Engine, hooks: &[Hook]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for hook in hooks {
        if let Err(error) = run(engine, hook).await {
            problems.push(failed(hook, &error));
        }
    }
    problems
}

fn failed(hook: &Hook, error: &Error) -> Problem {
    let text = format!("the {} of container {} failed: {}", hook.what, hook.name, error.chain());
    match hook.is_the_apps() {
        true => Problem::error("hook.failed", &hook.name, text)
            .advice("Run the command by hand in the container; the snapshot was taken without its help."),
        false => Problem::error("database.not_released", &hook.name, text)
            .advice("Look whether the database takes writes; what locks it ends by itself within two minutes."),
    }
}

/// Whether a command could not run because the host is gone, not because the engine cannot run it.
pub(crate) async fn is_away(engine: &dyn Engine, error: &Error) -> bool {
    match error.code() {
        "host.unreachable" | "host.timeout" | "host.socket_missing" => true,
        // A host that hangs takes the command's time.
        "hook.timeout" => !matches!(tokio::time::timeout(ANSWER_WAIT, engine.info()).await, Ok(Ok(_))),
        _ => false,
    }
}

/// Runs commands that are owed, one after the other; what fails is told. The second answer are those that no host was there for.
async fn run_as_far_as_can_be(engine: &dyn Engine, hooks: Vec<Hook>) -> (Vec<Problem>, Vec<Hook>) {
    let (mut problems, mut owed) = (Vec::new(), Vec::new());
    for hook in hooks {
        match run(engine, &hook).await {
            Ok(()) => {}
            Err(error) if is_away(engine, &error).await => {
                let text = format!("the {} of container {} waits: {}", hook.what, hook.name, error.chain());
                problems.push(
                    Problem::warning("hook.owed", &hook.name, text)
                        .advice("It runs as soon as the host answers again."),
                );
                owed.push(hook);
            }
            Err(error) => problems.push(failed(&hook, &error)),
        }
    }
    (problems, owed)
}

/// Runs a command to its end. `Invalid` (`command.failed`) if it ended with anything but 0, `Refused`
/// (`hook.timeout`) if it did not end in time; it may still run then, for engines cannot end it.
pub(crate) async fn run(engine: &dyn Engine, hook: &Hook) -> Result<()> {
    ask(engine, hook).await.map(drop)
}

/// Runs a command to its end and gives the beginning of what it said on its standard output. Errors as [`run`].
pub(crate) async fn ask(engine: &dyn Engine, hook: &Hook) -> Result<String> {
    let late = |_| {
        let text = format!("it did not end within {} s and may still run", hook.seconds);
        Error::new(Kind::Refused, "hook.timeout", text)
    };
    let work = async {
        loop {
            match to_its_end(engine, hook).await {
                // Paused, by us or by others: it can run when that is over.
                Err(error) if error.kind() == Kind::Conflict => tokio::time::sleep(PAUSED_WAIT).await,
                outcome => return outcome,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(hook.seconds), work).await.map_err(late)?
}

/// The words of a command.
pub(crate) fn words(hook: &Hook) -> Vec<String> {
    let mut command = ["/bin/sh", "-c", &hook.command].map(str::to_owned).to_vec();
    command.extend(hook.arguments.iter().cloned());
    command
}

/// What it is to read.
pub(crate) fn input(hook: &Hook) -> Option<ByteStream> {
    let line = format!("{}\n", hook.secret.as_ref()?.reveal());
    Some(stream::iter([Ok(line.into())]).boxed())
}

async fn to_its_end(engine: &dyn Engine, hook: &Hook) -> Result<String> {
    let command = words(hook);
    let exec = Exec { command: &command, user: hook.user.as_deref(), input: false };
    command::run(engine, &hook.container, exec, input(hook)).await
}

/// The promise that commands run once an app is let go: by whoever calls [`Afterwards::run`], else when this is dropped or
/// the limit is over, else after a crash.
pub(crate) struct Afterwards {
    release: oneshot::Sender<()>,
    keeper: JoinHandle<Vec<Problem>>,
}

impl Afterwards {
    /// Writes the promise into the journal. `None` if there is nothing to run.
    pub(crate) async fn promise(
        engine: Arc<dyn Engine>,
        journal: Arc<Journal>,
        (host, app): (&str, &str),
        now: Moment,
        limit: Duration,
        hooks: Vec<Hook>,
    ) -> Result<Option<Afterwards>> {
        if hooks.is_empty() {
            return Ok(None);
        }
        let entry = journal
            .begin(Held {
                host: host.to_owned(),
                app: app.to_owned(),
                since: now,
                deadline: now.plus_seconds(i64::try_from(limit.as_secs()).unwrap_or(i64::MAX)),
                containers: Vec::new(),
                paused: true,
                after: hooks.clone(),
            })
            .await?;
        let (release, released) = oneshot::channel();
        let app = app.to_owned();
        let keeper = tokio::spawn(async move {
            // Whoever waits is gone, or wishes it, or has waited for too long: each is a reason to run them.
            let is_late = tokio::time::timeout(limit, released).await.is_err();
            let (mut problems, owed) = run_as_far_as_can_be(&*engine, hooks).await;
            if is_late {
                problems.push(expired(&app, limit));
            }
            if !owed.is_empty() {
                journal.owe(&entry, owed).await;
            } else if let Err(error) = journal.close(&entry).await {
                tracing::warn!(error = %error.chain(), "hooks that have run may run once more");
            }
            problems
        });
        Ok(Some(Afterwards { release, keeper }))
    }

    /// Runs them.
    pub(crate) async fn run(self) -> Vec<Problem> {
        // A keeper that was too long in waiting does not listen any more.
        let _ = self.release.send(());
        self.keeper.await.unwrap_or_else(|error| {
            let error = Error::bug("the post hooks were not run to their end").caused_by(error);
            vec![Problem::from_error("hooks", &error)]
        })
    }
}

fn expired(app: &str, limit: Duration) -> Problem {
    let seconds = limit.as_secs();
    let text = format!(
        "the post hooks ran after {seconds} s, before all data was read: what the pre hooks prepared may be over"
    );
    Problem::warning("hook.expired", app, text).advice("Let the pre hooks do less, or back up at a quieter time.")
}
