//! Commands of the app's own run at their moments, and those owed afterwards always do.

use super::{
    bench::{Bench, IMAGE, codes, entries},
    sink::Recorder,
};
use crate::Journal;
use holdfast_docker::{Engine, fake::FakeDocker};
use holdfast_model::{
    Severity,
    hooks::{AppHooks, ServiceHooks},
    policy::Consistency,
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::io::AsyncWriteExt;

/// Adds a member with labels, running; programs `lock`, `unlock` and `dump` succeed, `fail` fails. The answer is told of what
/// has really run.
async fn with_labels(bench: &Bench, name: &str, labels: Value) -> Ran {
    let mut all = json!({ "com.docker.compose.project": "shop", "com.docker.compose.service": name });
    labels.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
    let id = bench.docker.container_create(&format!("shop-{name}"), &json!({ "Image": IMAGE, "Labels": all })).await;
    bench.docker.container_start(&id.unwrap()).await.unwrap();
    let ran = Ran::default();
    for word in ["lock", "unlock", "dump"] {
        let ran = ran.clone();
        bench.docker.program(word, move |_| {
            ran.lock().unwrap().push(word);
            async { Ok(()) }
        });
    }
    bench.docker.program("fail", |mut run| async move {
        run.output.write_all(b"no such database").await?;
        Err(std::io::Error::other("on purpose"))
    });
    bench.docker.forget_calls();
    ran
}

type Ran = Arc<Mutex<Vec<&'static str>>>;

fn place(docker: &FakeDocker, what: &str) -> usize {
    let calls = docker.calls();
    calls.iter().position(|call| call.contains(what)).unwrap_or_else(|| panic!("{what} is not among {calls:?}"))
}

#[tokio::test(start_paused = true)]
async fn hooks_run_around_the_hold_in_their_order() {
    let bench = Bench::new().await;
    with_labels(
        &bench,
        "one",
        json!({ "holdfast.hook.dump": "dump all", "holdfast.hook.pre": "lock 1",
        "holdfast.hook.post": "unlock 1", "holdfast.hook.user": "postgres" }),
    )
    .await;
    with_labels(
        &bench,
        "two",
        json!({ "holdfast.hook.pre": "lock 2", "holdfast.hook.post": "unlock 2",
        "com.docker.compose.depends_on": "one:service_started:true" }),
    )
    .await;
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    assert!(!codes(&captured).contains(&"hook.failed"), "{:?}", captured.problems);
    let at = |what: &str| place(&bench.docker, what);
    assert!(at("dump all") < at("lock 2") && at("lock 2") < at("lock 1"), "{:?}", bench.docker.calls());
    assert!(at("lock 1") < at("container_pause") && at("container_unpause") < at("unlock 1"));
    assert!(at("unlock 1") < at("unlock 2"));
    assert!(bench.calls("exec_start")[0].contains(" postgres /bin/sh -c dump all"));
    assert_eq!(entries(bench.folder.path()), 0, "nothing is owed any more");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_is_an_error_and_the_snapshot_is_taken() {
    let bench = Bench::new().await;
    with_labels(&bench, "one", json!({ "holdfast.hook.pre": "fail", "holdfast.hook.post": "unlock" })).await;
    with_labels(&bench, "two", json!({ "holdfast.hook.pre": "missing", "holdfast.hook.timeout": "soon" })).await;
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    let failed: Vec<_> = captured.problems.iter().filter(|problem| problem.code == "hook.failed").collect();
    assert_eq!(failed.len(), 2, "{:?}", captured.problems);
    assert!(failed.iter().all(|problem| problem.severity == Severity::Error));
    assert!(failed.iter().any(|problem| problem.message.contains("ended with 127")), "{failed:?}");
    assert!(codes(&captured).contains(&"label.invalid"));
    assert!(place(&bench.docker, "unlock") > 0, "what was locked may have been locked in part");
    assert_eq!(captured.consistency, Consistency::Pause);
    bench.docker.container_stop("shop-one", 0).await.unwrap();
    bench.docker.container_stop("shop-two", 0).await.unwrap();
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    assert!(codes(&captured).contains(&"hook.skipped") && !codes(&captured).contains(&"hook.failed"));
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_does_not_end_is_given_up() {
    let bench = Bench::new().await;
    with_labels(&bench, "one", json!({ "holdfast.hook.pre": "sleep", "holdfast.hook.timeout": "5" })).await;
    bench.docker.program("sleep", |run| async move {
        tokio::time::sleep(Duration::from_secs(100_000)).await;
        drop(run);
        Ok(())
    });
    let begun = tokio::time::Instant::now();
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30));
    let problem = captured.problems.iter().find(|problem| problem.code == "hook.failed").unwrap();
    assert!(problem.message.contains("within 5 s"), "{}", problem.message);
}

#[tokio::test(start_paused = true)]
async fn post_hooks_that_run_before_the_data_was_read_are_told() {
    let bench = Bench::new().await;
    let labels = json!({ "holdfast.hook.pre": "long", "holdfast.hook.post": "unlock", "holdfast.hook.timeout": "90" });
    let ran = with_labels(&bench, "one", labels).await;
    bench.docker.program("long", |run| async move {
        tokio::time::sleep(Duration::from_secs(70)).await;
        drop(run);
        Ok(())
    });
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    assert_eq!(*ran.lock().unwrap(), ["unlock"]);
    assert!(codes(&captured).contains(&"hook.expired"), "{:?}", captured.problems);
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_runs_when_the_capture_is_dropped_or_holds_for_too_long() {
    for limit in [10, 100_000] {
        let bench = Bench::with(Recorder { slow: Some(Duration::from_secs(3600)), ..Recorder::default() }).await;
        let ran = with_labels(&bench, "one", json!({ "holdfast.hook.post": "unlock" })).await;
        let ask = crate::Ask { hold_limit: Duration::from_secs(limit), ..bench.ask(Consistency::Pause) };
        let dropped = tokio::time::timeout(Duration::from_secs(60), bench.capture_as(ask)).await;
        assert!(dropped.is_err());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(*ran.lock().unwrap(), ["unlock"], "{limit}");
        assert_eq!(entries(bench.folder.path()), 0);
    }
}

#[test]
fn what_is_owed_runs_after_a_crash() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (bench, ran) = runtime.block_on(async {
        let bench = Bench::with(Recorder { slow: Some(Duration::from_secs(3600)), ..Recorder::default() }).await;
        let ran = with_labels(&bench, "one", json!({ "holdfast.hook.post": "unlock" })).await;
        let bench = Arc::new(bench);
        let capturing = bench.clone();
        tokio::spawn(async move { capturing.capture(Consistency::Pause).await.map(drop) });
        while !bench.sink.is_reading() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (bench, ran)
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    assert!(ran.lock().unwrap().is_empty());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let journal = Journal::open(bench.folder.path()).unwrap();
        for left in journal.left_over() {
            journal.undo(&bench.docker, &left).await.unwrap();
        }
        assert!(journal.left_over().is_empty());
        assert_eq!(*ran.lock().unwrap(), ["unlock"]);
    });
}

/// The host goes away while the app is read: what is owed to it waits for the host, and is not forgotten.
#[tokio::test(start_paused = true)]
async fn what_is_owed_waits_for_a_host_that_is_gone() {
    let bench = Bench::with(Recorder { slow: Some(Duration::from_secs(3600)), ..Recorder::default() }).await;
    with_labels(&bench, "two", json!({ "holdfast.hook.post": "fail" })).await;
    let ran = with_labels(&bench, "one", json!({ "holdfast.hook.pre": "lock", "holdfast.hook.post": "unlock" })).await;
    let capture = tokio::time::timeout(Duration::from_secs(60), bench.capture(Consistency::None));
    let leave = async {
        while !bench.sink.is_reading() || ran.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bench.docker.go_away(true);
    };
    let (outcome, ()) = tokio::join!(capture, leave);
    assert!(outcome.is_err(), "it reads for an hour");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(*ran.lock().unwrap(), ["lock"]);
    let left = bench.journal.left_over();
    assert_eq!(left.iter().map(|held| held.after.len()).collect::<Vec<_>>(), [2], "{left:?}");
    assert!(bench.journal.undo(&bench.docker, &left[0]).await.is_err(), "the host is still gone");
    assert_eq!(entries(bench.folder.path()), 1);
    bench.docker.go_away(false);
    bench.journal.undo(&bench.docker, &left[0]).await.unwrap();
    assert_eq!(*ran.lock().unwrap(), ["lock", "unlock"]);
    assert_eq!(entries(bench.folder.path()), 0);
}

/// Commands that were set beside those of labels: each takes the place of its label's, an empty one takes it away.
#[tokio::test(start_paused = true)]
async fn commands_that_were_set_go_before_those_of_labels() {
    let bench = Bench::new().await;
    let labels = json!({ "holdfast.hook.pre": "fail", "holdfast.hook.post": "unlock label", "holdfast.hook.dump": "dump label" });
    with_labels(&bench, "one", labels).await;
    let some = |text: &str| Some(text.to_owned());
    let one = ServiceHooks { pre: some("lock set"), dump: some(""), user: some("app"), ..ServiceHooks::default() };
    let gone = ServiceHooks { pre: some("lock gone"), ..ServiceHooks::default() };
    let hooks = AppHooks::from([("one".to_owned(), one), ("gone".to_owned(), gone)]);
    let captured = bench.capture_as(crate::Ask { hooks, ..bench.ask(Consistency::Pause) }).await.unwrap();
    let codes = codes(&captured);
    assert!(codes.contains(&"hook.for_nobody") && !codes.contains(&"hook.failed"), "{:?}", captured.problems);
    let ran: Vec<String> = bench.calls("exec_start").into_iter().filter(|call| call.contains("/bin/sh -c")).collect();
    assert_eq!(ran.len(), 2, "{ran:?}");
    assert!(ran[0].contains(" app /bin/sh -c lock set") && ran[1].contains(" app /bin/sh -c unlock label"), "{ran:?}");
}
