//! Dumps of databases that were read live are replayed: in time, whole, and never without a word if not.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use holdfast_docker::{Engine, archive, fake::FakeDocker};
use holdfast_model::{
    Kind, Severity,
    snapshot::{DatabaseKind, DatabaseLog, DatabaseSection, Readiness, Snapshot, StreamRef},
    view::Target,
};
use holdfast_restore::{Ask, Restored, carry_out, plan};
use holdfast_runtime::Stop;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};
use support::{App, Memory};
use tokio::io::AsyncReadExt;

const DUMP: &[u8] = b"create table t";

struct World {
    fake: FakeDocker,
    memory: Arc<Memory>,
    snapshot: Snapshot,
    /// What servers took from their standard input.
    taken: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl World {
    /// The database answers at the `answers`th question; a replay fails if told so.
    async fn new(answers: u32, fails: bool) -> World {
        let fake = FakeDocker::new();
        let app = App::imagined(&fake).await;
        let memory = Arc::new(Memory::default());
        let mut snapshot = app.capture(&memory, &["db", "web"]).await;
        let container = snapshot.containers[0].name.clone();
        let dump = Some(memory.keep(DUMP.to_vec(), 0));
        let kind = DatabaseKind::Postgres;
        let readiness = Readiness::Live;
        snapshot.databases =
            vec![DatabaseSection { container, kind, version: None, readiness, dump, log: None, file: None }];
        fake.processes(&format!("{}-restore-db-1", app.name), &["postgres: walwriter"]);
        let (asked, taken) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
        let log = taken.clone();
        fake.program("postgres", move |mut run| {
            let (asked, log) = (asked.clone(), log.clone());
            async move {
                if run.arguments[0] == "facts" {
                    let number = asked.fetch_add(1, Ordering::SeqCst);
                    return if number < answers { Err(std::io::Error::other("it starts")) } else { Ok(()) };
                }
                let mut input = Vec::new();
                run.input.read_to_end(&mut input).await?;
                log.lock().unwrap().push(input);
                if fails { Err(std::io::Error::other("on purpose")) } else { Ok(()) }
            }
        });
        World { fake, memory, snapshot, taken }
    }

    async fn restore(&self) -> holdfast_model::Result<Restored> {
        let engine: Arc<dyn Engine> = Arc::new(self.fake.clone());
        let ask = Ask { target: Target::Beside, owner: "test".into(), ..Ask::default() };
        let plan = plan(&engine, &self.snapshot, &ask).await.unwrap();
        let told = plan.steps.iter().filter(|step| step.starts_with("Replay the dump of PostgreSQL")).count();
        let due = self.snapshot.databases.iter().filter(|database| database.replays()).count();
        assert_eq!(told, due, "{:?}", plan.steps);
        self.fake.forget_calls();
        carry_out(engine, &self.snapshot, &plan, self.memory.clone(), &Stop::new()).await
    }

    fn place(&self, number: usize, what: &str) -> usize {
        let calls = self.fake.calls();
        let places: Vec<_> = (0..calls.len()).filter(|place| calls[*place].contains(what)).collect();
        *places.get(number).unwrap_or_else(|| panic!("{what} is not {number} times among {calls:?}"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_dump_is_replayed_as_soon_as_the_server_answers_and_before_others_start() {
    let world = World::new(5, false).await;
    let restored = world.restore().await.unwrap();
    assert!(!restored.problems.iter().any(|problem| problem.code.starts_with("database")), "{:?}", restored.problems);
    assert_eq!(*world.taken.lock().unwrap(), [DUMP]);
    assert!(world.place(0, "container_start") < world.place(0, " replay "));
    assert!(world.place(0, " replay ") < world.place(1, "container_start"));
}

#[tokio::test(start_paused = true)]
async fn files_of_one_instant_are_newer_than_a_dump() {
    for readiness in [Readiness::Prepared, Readiness::Crash, Readiness::Stopped] {
        let mut world = World::new(0, false).await;
        world.snapshot.databases[0].readiness = readiness;
        world.restore().await.unwrap();
        assert!(world.taken.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_or_take_it_is_an_error_that_is_told() {
    for (answers, fails) in [(u32::MAX, false), (0, true)] {
        let world = World::new(answers, fails).await;
        let restored = world.restore().await.unwrap();
        let told = restored.problems.iter().find(|problem| problem.code == "database.not_replayed").unwrap();
        assert_eq!(told.severity, Severity::Error);
        assert!(told.message.contains("must not be trusted"), "{}", told.message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dump_that_breaks_off_ends_the_restore_and_leaves_nothing() {
    let world = World::new(0, false).await;
    world.memory.break_off(world.snapshot.databases[0].dump.as_ref().unwrap());
    let before = world.fake.container_list().await.unwrap().len();
    let error = world.restore().await.unwrap_err();
    assert!(error.chain().contains("replay the dump"), "{}", error.chain());
    assert!(!world.taken.lock().unwrap().iter().any(|taken| taken == DUMP));
    assert_eq!(world.fake.container_list().await.unwrap().len(), before);
}

/// The database's files were read in its backup mode.
fn logged(world: &mut World, folder: &str) -> StreamRef {
    let tar = archive::tar(&[
        archive::Entry::file("backup_label", "START"),
        archive::Entry::file("pg_wal/00000001000000000000001D", "log"),
    ]);
    let stream = world.memory.keep(tar, 2);
    let place = world.snapshot.volumes[0].name.clone();
    let section = &mut world.snapshot.databases[0];
    (section.readiness, section.dump) = (Readiness::Logged, None);
    section.log = Some(DatabaseLog { place, folder: folder.into(), stream: stream.clone() });
    stream
}

#[tokio::test(start_paused = true)]
async fn a_log_is_laid_over_the_files_before_anything_starts() {
    for folder in ["", "15/main"] {
        let mut world = World::new(0, false).await;
        logged(&mut world, folder);
        let engine: Arc<dyn Engine> = Arc::new(world.fake.clone());
        let ask = Ask { target: Target::Beside, owner: "test".into(), ..Ask::default() };
        let plan = plan(&engine, &world.snapshot, &ask).await.unwrap();
        assert!(plan.steps.iter().any(|step| step.starts_with("Lay the log of PostgreSQL")), "{:?}", plan.steps);
        let restored = carry_out(engine, &world.snapshot, &plan, world.memory.clone(), &Stop::new()).await.unwrap();
        assert!(!restored.problems.iter().any(|one| one.code.starts_with("database")), "{:?}", restored.problems);
        assert!(world.taken.lock().unwrap().is_empty(), "nothing is replayed");
        let listed = world.fake.volume_list().await.unwrap();
        let copies = listed.iter().filter_map(|volume| volume["Name"].as_str()).filter(|name| name.contains("restore"));
        let path = if folder.is_empty() { "backup_label".to_owned() } else { format!("{folder}/backup_label") };
        let with: Vec<&str> = copies.filter(|name| world.fake.volume_entry(name, &path).is_some()).collect();
        assert_eq!(with.len(), 1, "{path} in one volume of {listed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_mover_may_run_a_log_is_laid_through_the_archive() {
    let mut world = World::new(0, false).await;
    logged(&mut world, "");
    // What was archived is written without a mover: this is the first that is started.
    world.fake.fail("container_start", 1, Kind::Denied, "host.forbidden");
    let restored = world.restore().await.unwrap();
    assert!(restored.problems.iter().any(|problem| problem.code == "mover.unavailable"));
    let listed = world.fake.volume_list().await.unwrap();
    let names = listed.iter().filter_map(|volume| volume["Name"].as_str()).filter(|name| name.contains("restore"));
    assert_eq!(names.filter(|name| world.fake.volume_entry(name, "backup_label").is_some()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_holds_something_else_ends_the_restore_before_anything_starts() {
    let mut world = World::new(0, false).await;
    let tar =
        archive::tar(&[archive::Entry::file("backup_label", "START"), archive::Entry::file("pg_hba.conf", "all")]);
    let stream = world.memory.keep(tar, 2);
    logged(&mut world, "");
    world.snapshot.databases[0].log.as_mut().unwrap().stream = stream;
    let before = world.fake.container_list().await.unwrap().len();
    let error = world.restore().await.unwrap_err();
    assert!(error.chain().contains("something else"), "{}", error.chain());
    assert_eq!(world.fake.container_list().await.unwrap().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_breaks_off_ends_the_restore_and_leaves_nothing() {
    let mut world = World::new(0, false).await;
    let stream = logged(&mut world, "");
    world.memory.break_off(&stream);
    let before = world.fake.container_list().await.unwrap().len();
    let error = world.restore().await.unwrap_err();
    assert!(error.chain().contains("could not be laid"), "{}", error.chain());
    assert_eq!(world.fake.container_list().await.unwrap().len(), before);
}
