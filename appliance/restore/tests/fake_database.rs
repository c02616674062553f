//! Dumps of databases that were read live are replayed: in time, whole, and never without a word if not.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use holdfast_docker::{Engine, archive, fake::FakeDocker};
use holdfast_model::{
    Kind, Severity,
    snapshot::{
        BindSection, DatabaseKind, DatabaseLog, DatabaseSection, Fidelity, RawJson, Readiness, Snapshot, StreamRef,
    },
    view::Target,
};
use holdfast_restore::{Ask, Plan, Restored, carry_out, plan};
use holdfast_runtime::Stop;
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};
use support::{App, Memory};
use tokio::io::AsyncReadExt;

const DUMP: &[u8] = b"create table t";
/// Where the server has its files, in one of two folders.
const VOLUME: &str = "shop_data";

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
        for folder in ["", "15/main/"] {
            fake.volume_put(VOLUME, archive::Entry::file(format!("{folder}global/pg_control"), "control"));
        }
        let memory = Arc::new(Memory::default());
        let mut snapshot = app.capture(&memory, &["db", "web"]).await;
        let container = snapshot.containers[0].name.clone();
        let dump = Some(memory.keep(DUMP.to_vec(), 0));
        let kind = DatabaseKind::Postgres;
        let readiness = Readiness::Live;
        snapshot.databases =
            vec![DatabaseSection { container, kind, version: None, readiness, dump, log: None, file: None }];
        for name in ["restore-db-1", "db-1"] {
            fake.processes(&format!("{}-{name}", app.name), &["postgres: walwriter"]);
        }
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

    /// Plans and restores in place.
    async fn in_place(&self) -> Plan {
        let engine: Arc<dyn Engine> = Arc::new(self.fake.clone());
        let ask = Ask { target: Target::InPlace, owner: "test".into(), ..Ask::default() };
        let plan = plan(&engine, &self.snapshot, &ask).await.unwrap();
        assert_eq!(plan.conflicts, []);
        carry_out(engine, &self.snapshot, &plan, self.memory.clone(), &Stop::new()).await.unwrap();
        plan
    }

    /// Changes what is recorded of the server's container.
    fn describe(&mut self, change: impl FnOnce(&mut Value)) {
        let inspect = &mut self.snapshot.containers[0].inspect;
        let mut described = inspect.parse().unwrap();
        change(&mut described);
        *inspect = RawJson(described.to_string());
    }

    /// Changes how it mounts the volume that is not its named one.
    fn other_mount(&mut self, change: impl Fn(&mut Value)) {
        self.describe(|described| {
            let mounts = described["Mounts"].as_array_mut().unwrap();
            mounts.iter_mut().filter(|mount| mount["Destination"] == "/anon").for_each(change);
        });
    }

    /// Takes the content of its named volume, or of the other one, out of the snapshot.
    fn uncaptured(&mut self, named: bool) {
        let volume = self.snapshot.volumes.iter_mut().find(|volume| (volume.name == VOLUME) == named).unwrap();
        volume.stream = None;
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

/// Lets the server have its files in a folder of the host that was not captured, in the place of its volume.
fn on_the_host(world: &mut World) {
    world.fake.host_directory("/srv/pg", &[("PG_VERSION", b"15")]);
    world.describe(|described| {
        described["HostConfig"]["Binds"] = json!(["/srv/pg:/data"]);
        let mounts = described["Mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["Destination"] != "/data");
        mounts.push(json!({"Type": "bind", "Source": "/srv/pg", "Destination": "/data", "RW": true}));
    });
    let source = "/srv/pg".to_owned();
    world.snapshot.binds.push(BindSection { source, directory: false, stream: None, fidelity: Fidelity::Api });
}

/// Names where its files are in a variable.
fn in_folder(world: &mut World, folder: &str) {
    world.describe(|described| described["Config"]["Env"] = json!([format!("PGDATA={folder}")]));
}

type Change = fn(&mut World);

#[tokio::test(start_paused = true)]
async fn a_dump_is_not_replayed_over_files_that_stay_as_they_are() {
    let cases: [(&str, Change); 5] = [
        ("volume shop_data", |world| world.uncaptured(true)),
        ("volume shop_data", |world| {
            // One that the snapshot does not even describe.
            world.snapshot.volumes.retain(|volume| volume.name != VOLUME);
            in_folder(world, "/data/15/main");
        }),
        ("/srv/pg", on_the_host),
        // Mounted within the folder of its files.
        ("(unnamed)", |world| {
            world.uncaptured(false);
            in_folder(world, "/data");
            world.other_mount(|mount| mount["Destination"] = json!("/data/more"));
        }),
        // Nobody tells where its files are.
        ("(unnamed)", |world| world.uncaptured(false)),
    ];
    for (place, change) in cases {
        let mut world = World::new(0, false).await;
        change(&mut world);
        let plan = world.in_place().await;
        assert!(world.taken.lock().unwrap().is_empty(), "{place}");
        assert!(!plan.steps.iter().any(|step| step.contains("Replay the dump")), "{place}: {:?}", plan.steps);
        let told: Vec<_> = plan.notes.iter().filter(|note| note.code == "database.not_replayed").collect();
        assert_eq!(told.len(), 1, "{place}: {:?}", plan.notes);
        assert!(told[0].severity == Severity::Warning && told[0].message.contains(place), "{place}: {told:?}");
        let command = format!("holdfast files get {}:dump:shop-db-1.postgres.sql", world.snapshot.id);
        assert!(told[0].advice.as_ref().unwrap().contains(&command), "{place}: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dump_is_replayed_in_place_over_files_that_were_restored() {
    let cases: [Change; 3] = [
        |_| {},
        |world| {
            world.uncaptured(false);
            in_folder(world, "/data");
        },
        // It cannot write there.
        |world| {
            world.uncaptured(false);
            world.other_mount(|mount| mount["RW"] = json!(false));
        },
    ];
    for (number, change) in cases.into_iter().enumerate() {
        let mut world = World::new(0, false).await;
        change(&mut world);
        let plan = world.in_place().await;
        assert_eq!(*world.taken.lock().unwrap(), [DUMP], "case {number}");
        assert!(plan.steps.iter().any(|step| step.starts_with("Replay the dump of PostgreSQL")), "{:?}", plan.steps);
        assert!(!plan.notes.iter().any(|note| note.code == "database.not_replayed"), "{:?}", plan.notes);
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
    let section = &mut world.snapshot.databases[0];
    (section.readiness, section.dump) = (Readiness::Logged, None);
    section.log = Some(DatabaseLog { place: VOLUME.into(), folder: folder.into(), stream: stream.clone() });
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
async fn a_log_is_laid_over_files_of_a_server_and_nowhere_else() {
    for has_movers in [true, false] {
        for folder in ["dir", "15", "none/at/all"] {
            let mut world = World::new(0, false).await;
            logged(&mut world, folder);
            if !has_movers {
                world.fake.fail("container_start", 1, Kind::Denied, "host.forbidden");
            }
            let before = world.fake.container_list().await.unwrap().len();
            let error = world.restore().await.unwrap_err();
            assert_eq!((error.kind(), error.code()), (Kind::Conflict, "database.log_no_place"), "{folder}: {error:?}");
            assert!(error.chain().contains("no log was laid"), "{}", error.chain());
            let laid = |call: &String| call.starts_with("archive_put") && call.ends_with(&format!("/v/{folder}"));
            assert!(!world.fake.calls().iter().any(laid), "{folder}");
            let left = world.fake.container_list().await.unwrap();
            assert_eq!(left.len(), before, "{folder}, movers {has_movers}: {left:?}");
        }
    }
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
