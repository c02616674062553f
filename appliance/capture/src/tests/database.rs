//! Databases are found by what runs, asked at the right moment, and every failure of theirs is told.

use super::{
    bench::{Bench, codes},
    sink::Recorder,
};
use crate::Captured;
use holdfast_docker::{Engine, archive, fake::FakeDocker};
use holdfast_model::{
    Severity,
    policy::{Consistency, Databases},
    snapshot::{DatabaseKind, DatabaseSection, Readiness},
};
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What servers were asked: the kind, what was wanted, how the app is held, and what came on the standard input.
type Asked = Arc<Mutex<Vec<String>>>;

/// Lets scripts of a kind be answered; `fails` names what fails.
fn answer(docker: &FakeDocker, kind: &'static str, fails: &'static str) -> Asked {
    let asked = Asked::default();
    let log = asked.clone();
    docker.program(kind, move |mut run| {
        let log = log.clone();
        async move {
            let what = run.arguments[0].clone();
            let mut line = format!("{what} {}", run.arguments[2]);
            if run.arguments.get(4).is_some_and(|word| word == "secret") {
                let mut input = String::new();
                run.input.read_to_string(&mut input).await?;
                line = format!("{line} {}", input.trim());
            }
            log.lock().unwrap().push(line);
            match what.as_str() {
                what if what == fails => {
                    run.output.write_all(b"half of it").await?;
                    return Err(std::io::Error::other("on purpose"));
                }
                "facts" if kind == "mongod" => run.output.write_all(b"3.6.8\nloose").await?,
                "facts" => run.output.write_all(b"15.2\nand more").await?,
                "dump" => run.output.write_all(b"create table t").await?,
                _ => {}
            }
            Ok(())
        }
    });
    asked
}

async fn capture(bench: &Bench, consistency: Consistency, databases: Databases) -> Captured {
    let ask = crate::Ask { databases, ..bench.ask(consistency) };
    bench.capture_as(ask).await.unwrap()
}

fn only(captured: &Captured) -> &DatabaseSection {
    assert_eq!(captured.databases.len(), 1, "{:?}", captured.databases);
    &captured.databases[0]
}

#[tokio::test(start_paused = true)]
async fn a_server_is_asked_just_before_the_hold_and_released_after_it() {
    let bench = Bench::new().await;
    bench.docker.processes("shop-db", &["/usr/bin/tini -- run", "redis-server *:6379"]);
    let asked = answer(&bench.docker, "redis-server", "nothing");
    bench.docker.forget_calls();
    let captured = capture(&bench, Consistency::Pause, Databases::Auto).await;
    assert_eq!(*asked.lock().unwrap(), ["facts hold", "settle hold", "prepare hold", "release hold"]);
    let calls = bench.docker.calls();
    let place = |what: &str| calls.iter().position(|call| call.contains(what)).unwrap();
    assert!(place(" prepare ") < place("container_pause") && place("container_unpause") < place(" release "));
    let found = only(&captured);
    assert_eq!((found.kind, found.readiness), (DatabaseKind::Redis, Readiness::Prepared));
    assert_eq!((found.container.as_str(), found.version.as_deref()), ("shop-db", Some("15.2")));
    assert!(found.dump.is_none() && !found.replays());
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_more_than_an_instant_is_ready_and_not_locked() {
    let bench = Bench::new().await;
    bench.docker.processes("shop-db", &["postgres: checkpointer", "/usr/lib/postgresql/15/bin/postgres -D /x"]);
    let asked = answer(&bench.docker, "postgres", "settle");
    let captured = capture(&bench, Consistency::Pause, Databases::Auto).await;
    assert_eq!(*asked.lock().unwrap(), ["facts hold", "settle hold"]);
    assert_eq!(only(&captured).readiness, Readiness::Prepared);
    assert!(!codes(&captured).iter().any(|code| code.starts_with("database.")), "{:?}", captured.problems);
    let captured = capture(&bench, Consistency::Stop, Databases::Auto).await;
    assert_eq!(only(&captured).readiness, Readiness::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_held_is_dumped_and_its_dump_is_to_be_replayed() {
    let bench = Bench::new().await;
    bench.docker.processes("shop-db", &["mariadbd --user=mysql"]);
    let asked = answer(&bench.docker, "mysqld", "nothing");
    let captured = capture(&bench, Consistency::None, Databases::Auto).await;
    assert_eq!(
        *asked.lock().unwrap(),
        ["facts live", "dump live"],
        "whoever writes is not locked out for a whole read"
    );
    let found = only(&captured);
    assert_eq!((found.kind, found.readiness), (DatabaseKind::Mysql, Readiness::Live));
    assert_eq!(bench.sink.bytes(found.dump.as_ref().unwrap()), b"create table t");
    assert!(found.replays());
    let captured = capture(&bench, Consistency::Pause, Databases::Dump).await;
    let found = only(&captured);
    assert!(found.dump.is_some() && !found.replays(), "files of one instant are newer than the dump");
}

#[tokio::test(start_paused = true)]
async fn a_dump_that_is_not_of_one_instant_says_so() {
    let bench = Bench::new().await;
    bench.docker.processes("shop-db", &["mongod --auth"]);
    let asked = answer(&bench.docker, "mongod", "nothing");
    for (way, severity) in [(Consistency::None, Severity::Warning), (Consistency::Pause, Severity::Note)] {
        let captured = capture(&bench, way, Databases::Dump).await;
        let told = captured.problems.iter().find(|problem| problem.code == "database.dump_loose").unwrap();
        assert_eq!((told.severity, only(&captured).version.as_deref()), (severity, Some("3.6.8")));
        assert_eq!(only(&captured).replays(), way == Consistency::None);
    }
    assert!(asked.lock().unwrap().contains(&"prepare hold".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_an_error_and_the_copy_is_kept_as_after_a_power_cut() {
    let release = ("release", "database.not_released");
    for (fails, code) in [("prepare", "database.not_prepared"), ("dump", "database.not_dumped"), release] {
        let bench = Bench::new().await;
        bench.docker.processes("shop-db", &["redis-server *:6379"]);
        answer(&bench.docker, "redis-server", fails);
        let captured = capture(&bench, Consistency::Pause, Databases::Dump).await;
        let problem = captured.problems.iter().find(|problem| problem.code == code).expect(code);
        assert_eq!((problem.severity, problem.subject.as_str()), (Severity::Error, "shop-db"));
        assert!(fails == "release" || problem.message.contains("as after a power cut"), "{}", problem.message);
        let found = only(&captured);
        assert_eq!(found.readiness == Readiness::Crash, fails == "prepare");
        assert_eq!(found.dump.is_none(), fails == "dump", "half a dump is none");
        assert!(captured.volumes[0].stream.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_named_and_one_that_is_off_is_left_alone() {
    let bench = Bench::new().await;
    bench.docker.processes("shop-db", &["mysqld"]);
    let asked = answer(&bench.docker, "mysqld", "facts");
    let captured = capture(&bench, Consistency::Pause, Databases::Auto).await;
    assert_eq!(*asked.lock().unwrap(), ["facts hold", "facts hold"], "once as itself, once as root");
    assert!(bench.calls("exec_start")[1].contains(" root "));
    assert!(codes(&captured).contains(&"database.no_answer"), "{:?}", captured.problems);
    assert_eq!(only(&captured).readiness, Readiness::Crash);
    asked.lock().unwrap().clear();
    let captured = capture(&bench, Consistency::Pause, Databases::Off).await;
    assert!(asked.lock().unwrap().is_empty() && !codes(&captured).contains(&"database.no_answer"));
    let captured = capture(&bench, Consistency::None, Databases::Dump).await;
    let told = captured.problems.iter().find(|problem| problem.code == "database.not_dumped").unwrap();
    assert!(told.message.contains("cannot be trusted"), "{}", told.message);
}

#[tokio::test(start_paused = true)]
async fn a_password_in_a_command_travels_by_the_standard_input_alone() {
    let bench = Bench::new().await;
    let labels = json!({ "com.docker.compose.project": "shop", "com.docker.compose.service": "cache",
        "holdfast.database": "sometimes" });
    let body = json!({ "Image": super::bench::IMAGE, "Labels": labels,
        "Cmd": ["sh", "-c", "redis-server --requirepass 'open-sesame' /etc/redis.conf"] });
    let id = bench.docker.container_create("shop-cache", &body).await.unwrap();
    bench.docker.container_start(&id).await.unwrap();
    bench.docker.processes("shop-cache", &["redis-server *:6379"]);
    let asked = answer(&bench.docker, "redis-server", "nothing");
    let captured = capture(&bench, Consistency::Pause, Databases::Auto).await;
    assert!(asked.lock().unwrap().iter().all(|line| line.ends_with("hold open-sesame")), "{asked:?}");
    assert!(bench.calls("exec_start").iter().all(|call| !call.contains("sesame") && call.contains("/etc/redis.conf")));
    assert!(codes(&captured).contains(&"label.invalid"));
}

#[tokio::test(start_paused = true)]
async fn a_dump_that_cannot_be_stored_fails_the_backup() {
    let bench = Bench::with(Recorder { full: true, ..Recorder::default() }).await;
    bench.docker.processes("shop-db", &["postgres -D /x"]);
    answer(&bench.docker, "postgres", "nothing");
    let ask = crate::Ask { databases: Databases::Dump, ..bench.ask(Consistency::Pause) };
    let error = bench.capture_as(ask).await.unwrap_err();
    assert!(error.chain().contains("disk is full"), "{}", error.chain());
}

/// PostgreSQL that has a backup mode: says where its files are, waits for the end of its input, then says `tar`.
fn logging(docker: &FakeDocker, folder: &'static str, tar: Option<Vec<u8>>) -> Asked {
    docker.processes("shop-db", &["postgres: walwriter"]);
    let asked = Asked::default();
    let log = asked.clone();
    docker.program("postgres", move |mut run| {
        let (log, tar) = (log.clone(), tar.clone());
        async move {
            let what = run.arguments[0].clone();
            log.lock().unwrap().push(what.clone());
            match what.as_str() {
                "facts" => run.output.write_all(b"15.2").await?,
                "dump" => run.output.write_all(b"create table t").await?,
                "log" => {
                    // In two parts, as lines come sometimes.
                    run.output.write_all(b"holdfast-logs ").await?;
                    tokio::task::yield_now().await;
                    run.output.write_all(format!("{folder}\n").as_bytes()).await?;
                    let mut heard = String::new();
                    run.input.read_to_string(&mut heard).await?;
                    if heard.lines().last() != Some("done") {
                        return Err(std::io::Error::other("nobody said that all was read"));
                    }
                    log.lock().unwrap().push("let go".into());
                    let Some(tar) = tar else { return Err(std::io::Error::other("a part is gone")) };
                    run.output.write_all(&tar).await?;
                }
                _ => {}
            }
            Ok(())
        }
    });
    asked
}

#[tokio::test(start_paused = true)]
async fn what_is_read_live_is_read_in_the_backup_mode_and_keeps_its_log() {
    let bench = Bench::new().await;
    let tar = archive::tar(&[archive::Entry::file("backup_label", "START WAL LOCATION")]);
    let asked = logging(&bench.docker, "/data/15/main", Some(tar.clone()));
    bench.docker.forget_calls();
    let captured = capture(&bench, Consistency::None, Databases::Auto).await;
    assert_eq!(*asked.lock().unwrap(), ["facts", "log", "let go"], "no dump");
    let found = only(&captured);
    assert_eq!(found.readiness, Readiness::Logged);
    assert!(found.dump.is_none() && !found.replays());
    let log = found.log.as_ref().unwrap();
    assert_eq!((log.place.as_str(), log.folder.as_str()), ("data", "15/main"));
    assert_eq!(bench.sink.bytes(&log.stream), tar);
    assert!(!codes(&captured).iter().any(|code| code.starts_with("database")));
    bench.assert_untouched().await;
}

#[tokio::test(start_paused = true)]
async fn who_gives_no_log_is_dumped_and_told() {
    let tar = archive::tar(&[archive::Entry::file("backup_label", "x")]);
    // Files in no mount, a server that fails when it leaves its mode, an archive that breaks off.
    let short = Some(tar[..700].to_vec());
    for (folder, tar) in [("/elsewhere", Some(tar)), ("/data", None), ("/data", short)] {
        let bench = Bench::new().await;
        let asked = logging(&bench.docker, folder, tar);
        let captured = capture(&bench, Consistency::None, Databases::Auto).await;
        let found = only(&captured);
        assert!(found.log.is_none() && found.dump.is_some() && found.replays());
        assert_eq!(asked.lock().unwrap().last().unwrap(), "dump");
        let told = captured.problems.iter().find(|problem| problem.code == "database.not_logged").unwrap();
        assert_eq!(told.severity, Severity::Note);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dump_that_is_wished_is_a_dump_and_nobody_is_asked_for_a_log() {
    for (consistency, databases) in [(Consistency::None, Databases::Dump), (Consistency::Pause, Databases::Auto)] {
        let bench = Bench::new().await;
        let asked = logging(&bench.docker, "/data", None);
        let captured = capture(&bench, consistency, databases).await;
        assert!(!asked.lock().unwrap().iter().any(|what| what == "log"));
        assert_eq!(only(&captured).dump.is_some(), databases == Databases::Dump);
    }
}

#[tokio::test]
async fn a_backup_that_is_stopped_lets_the_server_leave_its_backup_mode() {
    let bench = Bench::new().await;
    bench.docker.processes("shop-db", &["postgres: walwriter"]);
    let (gone, went) = tokio::sync::mpsc::unbounded_channel();
    let stop = bench.stop.clone();
    bench.docker.program("postgres", move |mut run| {
        let (gone, stop) = (gone.clone(), stop.clone());
        async move {
            if run.arguments[0] == "log" {
                run.output.write_all(b"holdfast-logs /data\n").await?;
                stop.cancel();
                let mut heard = String::new();
                run.input.read_to_string(&mut heard).await?;
                gone.send(heard).unwrap();
            }
            Ok(())
        }
    });
    let error = bench.capture(Consistency::None).await.unwrap_err();
    assert_eq!(error.code(), "capture.stopped");
    let mut went = went;
    assert_eq!(went.recv().await.expect("its input was closed"), "", "nobody says that all was read");
}
