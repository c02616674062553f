//! Databases that run in an app: found by what runs, asked through commands in their own containers to make their files whole.
//!
//! That all members are held at one instant is enough for whatever recovers from a power cut. What is done here is what an
//! instant lacks: Redis keeps its newest data in memory alone, MyISAM tables are whole only when flushed, and files that are
//! read while a server writes need a dump beside them.
//!
//! # Invariants
//! - Nothing secret leaves the container: the scripts find passwords where the container has them, and use them there. One that
//!   stands in its command alone goes in by standard input: it is in no words, events, journals or logs.
//! - What locks a database is released by a promise in the journal, and by itself after a time.
//! - What fails is named as an error, and the snapshot is taken all the same, as after a power cut.

mod dump;
mod log;

use crate::{
    Sink,
    hooks::{self, Hook},
    member::{Member, Mount},
};
use futures::{
    StreamExt,
    future::{BoxFuture, join_all},
    stream,
};
use holdfast_database::Adapter;
use holdfast_docker::Engine;
use holdfast_model::{
    Error, Kind, Problem, Result, Secret,
    policy::{self, Consistency},
    snapshot::{DatabaseLog, DatabaseSection, Readiness, RunState},
};
use std::{
    path::{Component, Path},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What a container says of itself: `auto`, `dump` or `off`.
const LABEL: &str = "holdfast.database";
/// Containers asked at once what runs in them.
const AT_ONCE: usize = 4;
/// Longest time, seconds, for a question, for getting ready, for a dump.
const ASK_SECONDS: u64 = 30;
const PREPARE_SECONDS: u64 = 120;
const DUMP_SECONDS: u64 = 6 * 3600;
/// Characters of a version that are kept.
const VERSION: usize = 60;

/// What the sink is told of a dump's stream: the same in every snapshot.
pub fn dump_label(section: &DatabaseSection) -> String {
    format!("dump of {} in {}", section.kind.title(), section.container)
}

/// What the sink is told of the stream of a server's log.
pub fn log_label(section: &DatabaseSection) -> String {
    format!("log of {} in {}", section.kind.title(), section.container)
}

/// A server in its backup mode, the place that its files are in, and their folder there.
struct Logging {
    session: log::Session,
    place: String,
    folder: String,
}

/// A server at work.
struct Database {
    adapter: &'static Adapter,
    container: String,
    /// As whom it is asked.
    user: Option<String>,
    wish: policy::Databases,
    /// A password and a configuration file that its container's command tells.
    password: Option<Secret>,
    config: String,
    /// It answers.
    answers: bool,
    /// Its dump is not of one instant.
    is_loose: bool,
    /// How its container will be held.
    held: Consistency,
    mounts: Vec<Mount>,
    /// In a mutex since streams cannot be looked at by several threads.
    logging: Mutex<Option<Logging>>,
    section: DatabaseSection,
}

/// All servers of an app.
pub(crate) struct Databases(Vec<Database>);

impl Databases {
    /// Looks among the members that run. What cannot be found out or asked is named.
    pub(crate) async fn find(
        engine: &dyn Engine,
        members: &[Member],
        (held, wish): (Consistency, policy::Databases),
        problems: &mut Vec<Problem>,
    ) -> Databases {
        let running = members.iter().filter(|member| member.state == RunState::Running);
        let look = |member| Box::pin(look(engine, member)) as BoxFuture<'_, _>;
        let looks: Vec<BoxFuture<'_, Look<'_>>> = running.map(look).collect();
        let told: Vec<_> = stream::iter(looks).buffered(AT_ONCE).collect().await;
        let mut found = Vec::new();
        for (member, lines) in told {
            let wish = wish_of(member, wish, problems);
            match lines {
                Ok(lines) => found.extend(
                    Adapter::among(&lines).into_iter().map(|adapter| Database::new(adapter, member, held, wish)),
                ),
                Err(error) if wish != policy::Databases::Off => problems.push(unknown(member, &error)),
                Err(_) => {}
            }
        }
        for one in found.iter_mut().filter(|one| one.wish != policy::Databases::Off) {
            problems.extend(one.look(engine).await);
        }
        Databases(found)
    }

    /// Asks each to write down what it can, before its files are read ahead: the copy taken later starts faster.
    pub(crate) async fn settle(&self, engine: &dyn Engine) {
        for one in self.0.iter().filter(|one| one.answers && one.held == Consistency::Pause) {
            if let Err(error) = hooks::run(engine, &one.hook("settle", PREPARE_SECONDS)).await {
                tracing::debug!(container = %one.section.container, error = %error.chain(), "a database did not settle");
            }
        }
    }

    /// Where users are remapped, owners in a container are not those that its folders of the host tell: what it gives as its log would belong
    /// to somebody else there.
    pub(crate) fn keep_logs_of_volumes(&mut self) {
        for one in &mut self.0 {
            one.mounts.iter_mut().filter(|mount| mount.kind == "bind").for_each(|mount| mount.kind.clear());
        }
    }

    /// Lets those whose files will be read while they write enter their backup mode, in which no dump is needed. Who cannot is told
    /// as a note, and dumped. Last of all before the reading, for a server keeps its log as long as that lasts. Fails as [`Databases::dump`].
    pub(crate) async fn begin_logs(&mut self, engine: &Arc<dyn Engine>, sink: &dyn Sink) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for one in self.0.iter_mut().filter(|one| one.may_log()) {
            match one.begin_log(&**engine).await {
                Ok(logging) => one.logging = Mutex::new(Some(logging)),
                Err(error) => {
                    problems.push(one.not_logged(&error));
                    problems.extend(one.dump(engine, sink).await?);
                }
            }
        }
        Ok(problems)
    }

    /// Ends those modes and stores what has to lie over the files, if their `places` were captured. Who cannot give it is dumped after
    /// all. Fails only if something cannot be stored.
    pub(crate) async fn end_logs(
        &mut self,
        engine: &Arc<dyn Engine>,
        sink: &dyn Sink,
        places: &[&str],
    ) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for one in &mut self.0 {
            let Some(logging) = std::mem::take(&mut one.logging).into_inner().unwrap_or_else(PoisonError::into_inner)
            else {
                continue;
            };
            let outcome = match places.contains(&&*logging.place) {
                true => one.end_log(logging, engine, sink).await?,
                false => {
                    // Its mode ends here, not after a dump.
                    drop(logging);
                    Some(Error::new(Kind::Refused, "database.elsewhere", "the place of its files was not captured"))
                }
            };
            if let Some(error) = outcome {
                problems.push(one.not_logged(&error));
                problems.extend(one.dump(engine, sink).await?);
            }
        }
        Ok(problems)
    }

    /// Takes the dumps that are wished or needed. Fails only if they cannot be stored.
    pub(crate) async fn dump(&mut self, engine: &Arc<dyn Engine>, sink: &dyn Sink) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for one in self.0.iter_mut().filter(|one| one.wants_dump() && !one.may_log()) {
            problems.extend(one.dump(engine, sink).await?);
        }
        Ok(problems)
    }

    /// Makes them ready for the hold that follows at once.
    pub(crate) async fn prepare(&mut self, engine: &dyn Engine) -> Vec<Problem> {
        let ready: Vec<BoxFuture<'_, Option<Problem>>> = (self.0.iter_mut().filter(|one| one.prepares()))
            .map(|one| Box::pin(one.prepare(engine)) as BoxFuture<'_, _>)
            .collect();
        join_all(ready).await.into_iter().flatten().collect()
    }

    /// What has to be run once the app was let go.
    pub(crate) fn releases(&self) -> Vec<Hook> {
        self.0.iter().filter(|one| one.prepares()).map(|one| one.hook("release", ASK_SECONDS)).collect()
    }

    /// What became of them, given how the app was held in the end.
    pub(crate) fn sections(self, reached: Consistency) -> Vec<DatabaseSection> {
        self.0.into_iter().map(|one| one.section(reached)).collect()
    }
}

/// A member, and the command lines of what runs in it.
type Look<'a> = (&'a Member, Result<Vec<String>>);

async fn look<'a>(engine: &dyn Engine, member: &'a Member) -> Look<'a> {
    (member, engine.container_top(&member.id).await)
}

fn wish_of(member: &Member, wish: policy::Databases, problems: &mut Vec<Problem>) -> policy::Databases {
    let Some(text) = member.label(LABEL) else { return wish };
    policy::Databases::parse(text).unwrap_or_else(|error| {
        let text = format!("the label {LABEL} of {}: {error}", member.name);
        problems.push(Problem::warning("label.invalid", &member.name, text));
        wish
    })
}

fn unknown(member: &Member, error: &Error) -> Problem {
    let text = format!(
        "the engine does not tell what runs in container {}, so no database in it was asked to get ready: {}",
        member.name,
        error.chain()
    );
    Problem::note("database.unknown", &member.name, text)
}

impl Database {
    fn new(adapter: &'static Adapter, member: &Member, held: Consistency, wish: policy::Databases) -> Database {
        // One that is removed when it stops is paused instead.
        let held = if held == Consistency::Stop && member.removes_itself { Consistency::Pause } else { held };
        let (password, config) = holdfast_database::told(&member.command());
        Database {
            adapter,
            container: member.id.clone(),
            user: None,
            wish,
            password: password.map(Secret::new),
            config: config.unwrap_or_default(),
            answers: false,
            is_loose: false,
            held,
            mounts: member.mounts(),
            logging: Mutex::default(),
            section: DatabaseSection {
                container: member.name.clone(),
                kind: adapter.kind,
                version: None,
                readiness: Readiness::Crash,
                dump: None,
                log: None,
                file: None,
            },
        }
    }

    fn hook(&self, wanted: &str, seconds: u64) -> Hook {
        let is_held = self.held != Consistency::None;
        Hook {
            container: self.container.clone(),
            name: self.section.container.clone(),
            what: format!("{wanted} of {}", self.section.kind.title()),
            command: self.adapter.script().to_owned(),
            arguments: self.adapter.words(wanted, seconds, is_held, &self.config, self.password.is_some()),
            secret: self.password.clone(),
            user: self.user.clone(),
            seconds,
        }
    }

    /// Asks for its version, as the container's own user or as the one that such servers run as.
    async fn look(&mut self, engine: &dyn Engine) -> Option<Problem> {
        let mut outcome = hooks::ask(engine, &self.hook("facts", ASK_SECONDS)).await;
        if outcome.is_err() {
            self.user = Some(self.adapter.user.to_owned());
            let again = hooks::ask(engine, &self.hook("facts", ASK_SECONDS)).await;
            outcome = again.or(outcome);
        }
        match outcome {
            Ok(told) => {
                let mut lines = told.lines().map(str::trim);
                let version = lines.next().unwrap_or_default();
                self.section.version = Some(version.escape_debug().take(VERSION).collect());
                self.is_loose = lines.next() == Some(holdfast_database::LOOSE);
                self.answers = true;
                None
            }
            Err(error) => Some(self.problem("database.no_answer", "could not be asked", &error)),
        }
    }

    /// Its files alone could not be trusted.
    fn needs_dump(&self) -> bool {
        self.wish == policy::Databases::Auto && self.held == Consistency::None && !self.adapter.good_live
    }

    fn wants_dump(&self) -> bool {
        self.wish == policy::Databases::Dump || self.needs_dump()
    }

    /// Its log may make its files whole, and spare the dump.
    fn may_log(&self) -> bool {
        self.needs_dump() && self.answers && self.adapter.logs
    }

    async fn begin_log(&self, engine: &dyn Engine) -> Result<Logging> {
        let session = log::begin(engine, &self.hook("log", DUMP_SECONDS)).await?;
        let (place, folder) = place_of(&self.mounts, &session.folder).ok_or_else(|| {
            let text =
                format!("its files in {} are in no volume and no folder of the host, or its log apart", session.folder);
            Error::new(Kind::Refused, "database.elsewhere", text)
        })?;
        Ok(Logging { session, place, folder })
    }

    async fn end_log(&mut self, logging: Logging, engine: &Arc<dyn Engine>, sink: &dyn Sink) -> Result<Option<Error>> {
        let label = log_label(&self.section);
        sink.item(&label);
        let Logging { session, place, folder } = logging;
        match session.end(engine, sink, &label, Duration::from_secs(DUMP_SECONDS)).await? {
            Ok(stream) => self.section.log = Some(DatabaseLog { place, folder, stream }),
            Err(error) => return Ok(Some(error)),
        }
        Ok(None)
    }

    fn not_logged(&self, error: &Error) -> Problem {
        let (title, name) = (self.section.kind.title(), &self.section.container);
        let text = format!(
            "{title} in container {name} gave no log for its backup mode, so a dump is taken instead: {}",
            error.chain()
        );
        Problem::note("database.not_logged", name, text)
    }

    fn prepares(&self) -> bool {
        let in_time = match self.held {
            Consistency::Pause => true,
            Consistency::None => self.adapter.good_live,
            Consistency::Stop => false,
        };
        in_time && self.answers && self.adapter.prepares
    }

    async fn prepare(&mut self, engine: &dyn Engine) -> Option<Problem> {
        match hooks::run(engine, &self.hook("prepare", PREPARE_SECONDS)).await {
            Ok(()) => {
                self.section.readiness = Readiness::Prepared;
                None
            }
            Err(error) => Some(self.problem("database.not_prepared", "did not make its files whole", &error)),
        }
    }

    async fn dump(&mut self, engine: &Arc<dyn Engine>, sink: &dyn Sink) -> Result<Option<Problem>> {
        let outcome = if self.answers {
            let label = dump_label(&self.section);
            sink.item(&label);
            dump::take(engine, sink, &label, &self.hook("dump", DUMP_SECONDS)).await?
        } else {
            Err(Error::new(Kind::Refused, "database.no_answer", "it does not answer"))
        };
        match outcome {
            Ok(stream) => {
                self.section.dump = Some(stream);
                Ok(self.is_loose.then(|| self.loose()))
            }
            Err(error) => Ok(Some(self.problem("database.not_dumped", "was not dumped", &error))),
        }
    }

    /// Of a dump whose parts are of different instants.
    fn loose(&self) -> Problem {
        let (title, name) = (self.section.kind.title(), &self.section.container);
        let text = format!(
            "the dump of {title} in container {name} is not of one instant: a server that is no replica set writes on meanwhile"
        );
        let problem = match self.held {
            Consistency::None => Problem::warning("database.dump_loose", name, text),
            _ => Problem::note("database.dump_loose", name, text),
        };
        problem.advice("Let the app be paused for a backup, or make the server a replica set, be it of one member.")
    }

    fn problem(&self, code: &str, what: &str, error: &Error) -> Problem {
        let (title, name) = (self.section.kind.title(), &self.section.container);
        let files = match self.held {
            Consistency::Pause => "its files are captured as after a power cut",
            Consistency::None => "its files are read while it writes and cannot be trusted",
            Consistency::Stop => "its files are captured after it has ended",
        };
        let text = format!("{title} in container {name} {what}, so {files}: {}", error.chain());
        let problem = match (code, self.held) {
            ("database.no_answer", Consistency::Pause | Consistency::Stop) => Problem::warning(code, name, text),
            _ => Problem::error(code, name, text),
        };
        problem.advice(format!(
            "See that the container's own variables let its administrator in, or label it {LABEL}=off."
        ))
    }

    fn section(self, reached: Consistency) -> DatabaseSection {
        let mut section = self.section;
        section.readiness = match (reached, self.held) {
            (Consistency::None, _) if self.adapter.good_live && section.readiness == Readiness::Prepared => {
                Readiness::Prepared
            }
            (Consistency::None, _) if section.log.is_some() => Readiness::Logged,
            (Consistency::None, _) => Readiness::Live,
            (_, Consistency::Stop) => Readiness::Stopped,
            // What needs no more than an instant was ready from the start.
            _ if self.answers && !self.adapter.prepares => Readiness::Prepared,
            _ => section.readiness,
        };
        section
    }
}

/// The volume or host path that a folder of a container is in, and the folder there. `None` if it is in neither, or its log in
/// another one.
fn place_of(mounts: &[Mount], folder: &str) -> Option<(String, String)> {
    let folder = Path::new(folder);
    let is_over = |mount: &&Mount| folder.starts_with(&mount.destination);
    let mount = mounts.iter().filter(is_over).max_by_key(|mount| mount.destination.len())?;
    let apart = |mount: &Mount| Path::new(&mount.destination).starts_with(folder.join("pg_wal"));
    // A server writes where its files are; what says otherwise only says so.
    let is_odd = mount.read_only || mount.is_part || folder.components().any(|part| part == Component::ParentDir);
    let place = match mount.kind.as_str() {
        _ if is_odd => return None,
        "volume" => &mount.name,
        "bind" => &mount.source,
        _ => return None,
    };
    let rest = folder.strip_prefix(&mount.destination).ok()?.to_str()?;
    (!place.is_empty() && !mounts.iter().any(apart)).then(|| (place.clone(), rest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_server_are_found_in_the_innermost_mount() {
        let mount = |kind: &str, name: &str, source: &str, destination: &str| Mount {
            kind: kind.into(),
            name: name.into(),
            source: source.into(),
            destination: destination.into(),
            read_only: false,
            is_part: false,
        };
        let data = "/var/lib/postgresql/data";
        let found = |mounts: &[Mount]| place_of(mounts, data);
        let volume = mount("volume", "pg", "/docker/pg", data);
        let bind = mount("bind", "", "/srv/pg", "/var/lib/postgresql");
        assert_eq!(found(std::slice::from_ref(&volume)), Some(("pg".into(), String::new())));
        assert_eq!(found(std::slice::from_ref(&bind)), Some(("/srv/pg".into(), "data".into())));
        assert_eq!(found(&[bind.clone(), volume.clone()]), Some(("pg".into(), String::new())));
        assert_eq!(found(&[mount("tmpfs", "", "", data)]), None);
        assert_eq!(found(&[mount("volume", "other", "", "/var/lib/postgresql/database")]), None);
        assert_eq!(found(&[Mount { read_only: true, ..volume.clone() }]), None);
        assert_eq!(found(&[Mount { is_part: true, ..volume.clone() }]), None, "its root is elsewhere in the volume");
        assert_eq!(place_of(std::slice::from_ref(&volume), &format!("{data}/../..")), None);
        let log = mount("volume", "wal", "", "/var/lib/postgresql/data/pg_wal");
        assert_eq!(found(&[volume, log]), None, "its log would be laid under another mount");
    }
}
