//! Law L6: whatever happens, no member stays held, and what a crash leaves is undone.

use super::{
    bench::{Bench, IMAGE, codes, entries},
    sink::Recorder,
};
use crate::{Ask, Journal, frozen, sweep_helpers};
use holdfast_docker::Engine;
use holdfast_model::{Kind, policy::Consistency, snapshot::RunState};
use serde_json::json;
use std::{sync::Arc, time::Duration};

#[tokio::test(start_paused = true)]
async fn members_are_paused_only_while_data_is_read() {
    let bench = Bench::new().await;
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    bench.assert_untouched().await;
    assert_eq!(captured.consistency, Consistency::Pause);
    let calls = bench.docker.calls();
    let place = |kind: &str| calls.iter().position(|call| call.starts_with(kind)).unwrap();
    let last = |kind: &str| calls.iter().rposition(|call| call.starts_with(kind)).unwrap();
    assert!(place("image_save") < place("container_pause"), "images are read before the hold");
    assert!(last("container_pause") < place("archive_get") && last("archive_get") < place("container_unpause"));
    assert_eq!((bench.calls("container_pause").len(), bench.calls("container_unpause").len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_others_paused_stays_paused() {
    let bench = Bench::new().await;
    bench.docker.container_pause("shop-web").await.unwrap();
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    assert_eq!(bench.states(), [Some("running"), Some("paused"), Some("created")]);
    let web = captured.containers.iter().find(|container| container.name == "shop-web").unwrap();
    assert_eq!(web.state, RunState::Paused);
    bench.assert_nothing_left().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_goes_against_the_start_order_and_spares_what_removes_itself() {
    let bench = Bench::new().await;
    bench.member("tmp", "", json!({ "HostConfig": { "AutoRemove": true } })).await;
    bench.docker.container_start("shop-tmp").await.unwrap();
    bench.docker.forget_calls();
    let captured = bench.capture(Consistency::Stop).await.unwrap();
    bench.assert_untouched().await;
    let (db, web) = (bench.id("shop-db").await, bench.id("shop-web").await);
    assert_eq!(bench.calls("container_stop"), [web.clone(), db.clone()]);
    let starts = bench.calls("container_start");
    let of_members: Vec<_> = starts.iter().filter(|id| [&db, &web].contains(id)).collect();
    assert_eq!(of_members, [&db, &web]);
    assert_eq!(bench.docker.container_state("shop-tmp"), Some("running"));
    assert!(codes(&captured).contains(&"hold.removes_itself"));
    assert_eq!(captured.consistency, Consistency::Stop);
}

#[tokio::test(start_paused = true)]
async fn a_label_says_who_is_stopped_later_and_started_earlier() {
    let bench = Bench::new().await;
    for (service, order) in [("a", "1"), ("b", "-1"), ("c", "soon")] {
        let labels = json!({ "com.docker.compose.project": "shop", "com.docker.compose.service": service, "holdfast.order": order });
        let body = json!({ "Image": IMAGE, "Labels": labels });
        let id = bench.docker.container_create(&format!("shop-{service}"), &body).await.unwrap();
        bench.docker.container_start(&id).await.unwrap();
    }
    bench.docker.forget_calls();
    let captured = bench.capture(Consistency::Stop).await.unwrap();
    let names: Vec<_> = captured.containers.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["shop-b", "shop-c", "shop-db", "shop-idle", "shop-web", "shop-a"]);
    let mut stopped = Vec::new();
    for name in names.into_iter().rev().filter(|name| *name != "shop-idle") {
        stopped.push(bench.id(name).await);
    }
    assert_eq!(bench.calls("container_stop"), stopped);
    assert!(captured.problems.iter().any(|one| one.code == "label.invalid" && one.subject == "shop-c"));
}

#[tokio::test(start_paused = true)]
async fn what_stopped_while_images_were_read_is_not_started() {
    let bench = Bench::new().await;
    bench.docker.meanwhile("image_save", 1, |docker| docker.container_die("shop-web"));
    let captured = bench.capture(Consistency::Stop).await.unwrap();
    assert_eq!(bench.states(), [Some("running"), Some("exited"), Some("created")]);
    assert_eq!(captured.containers[2].state, RunState::Stopped);
    bench.assert_nothing_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_takes_too_long_is_let_go_and_told() {
    let bench = Bench::with(Recorder { slow: Some(Duration::from_secs(2)), ..Recorder::default() }).await;
    let ask = Ask { hold_limit: Duration::from_secs(5), ..bench.ask(Consistency::Pause) };
    let captured = bench.capture_as(ask).await.unwrap();
    assert_eq!(captured.consistency, Consistency::None);
    assert!(codes(&captured).contains(&"hold.expired"));
    let calls = bench.docker.calls();
    let unpaused = calls.iter().position(|call| call.starts_with("container_unpause")).unwrap();
    let last_read = calls.iter().rposition(|call| call.starts_with("container_remove")).unwrap();
    assert!(unpaused < last_read, "reading went on after the members were let go");
    bench.assert_untouched().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_cannot_be_paused_frees_the_others() {
    let bench = Bench::new().await;
    bench.docker.fail("container_pause", 2, Kind::Denied, "host.denied");
    let error = bench.capture(Consistency::Pause).await.unwrap_err();
    assert_eq!(error.code(), "host.denied");
    bench.assert_untouched().await;
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_stop_frees_everybody_at_once() {
    let bench = Bench::with(Recorder { slow: Some(Duration::from_secs(3600)), ..Recorder::default() }).await;
    let ask = Ask { hold_limit: Duration::from_secs(86_400), ..bench.ask(Consistency::Pause) };
    let stop = bench.stop.clone();
    bench.docker.meanwhile("archive_get", 1, move |_| stop.cancel());
    let error = bench.capture_as(ask).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Stopped);
    // The helper goes in the background.
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.assert_untouched().await;
}

#[tokio::test(start_paused = true)]
async fn a_capture_that_is_dropped_leaves_nothing() {
    let bench = Bench::with(Recorder { slow: Some(Duration::from_secs(3600)), ..Recorder::default() }).await;
    // Images are known, so that the slow sink is first met during the hold.
    let fast = Bench::new().await.capture(Consistency::None).await.unwrap();
    bench.sink.images.lock().unwrap().insert(fast.images[0].id.clone(), fast.images[0].clone());
    let ask = Ask { hold_limit: Duration::from_secs(86_400), ..bench.ask(Consistency::Pause) };
    let dropped = tokio::time::timeout(Duration::from_secs(60), bench.capture_as(ask)).await;
    assert!(dropped.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.calls("container_pause").len(), 2);
    bench.assert_untouched().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_vanishes_is_named_and_the_rest_freed() {
    for call in ["container_changes", "archive_get", "container_pause", "container_inspect"] {
        let bench = Bench::new().await;
        bench.docker.meanwhile(call, 2, |docker| docker.container_vanish("shop-web"));
        let error = bench.capture(Consistency::Pause).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::NotFound, "container.gone"), "{call}");
        assert!(error.chain().contains("shop-web"), "{}", error.chain());
        assert_eq!(bench.states(), [Some("running"), None, Some("created")]);
        bench.assert_nothing_left().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_goes_away_leaves_an_entry_that_is_undone_later() {
    let bench = Bench::new().await;
    bench.docker.meanwhile("archive_get", 1, |docker| docker.go_away(true));
    let error = bench.capture(Consistency::Pause).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Unavailable, "host.unreachable"));
    let left = bench.journal.left_over();
    assert_eq!((left.len(), left[0].containers.len(), left[0].paused), (1, 2, true));
    assert!(bench.journal.undo(&bench.docker, &left[0]).await.is_err());
    assert_eq!(bench.journal.left_over().len(), 1);
    bench.docker.go_away(false);
    assert_eq!(bench.states()[0], Some("paused"));
    bench.journal.undo(&bench.docker, &left[0]).await.unwrap();
    // Some helpers may be gone already: their removal is tried again in the background.
    bench.docker.orphan_helpers();
    sweep_helpers(&bench.docker, "bench").await.unwrap();
    bench.assert_untouched().await;
}

#[test]
fn a_crash_while_members_are_held_is_undone_at_start_up() {
    for consistency in [Consistency::Pause, Consistency::Stop] {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let bench = runtime.block_on(async {
            let bench = Bench::with(Recorder { slow: Some(Duration::from_secs(3600)), ..Recorder::default() }).await;
            let fast = Bench::new().await.capture(Consistency::None).await.unwrap();
            bench.sink.images.lock().unwrap().insert(fast.images[0].id.clone(), fast.images[0].clone());
            let bench = Arc::new(bench);
            let capturing = bench.clone();
            tokio::spawn(async move { capturing.capture(consistency).await.map(drop) });
            while !bench.sink.is_reading() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            bench
        });
        // The process dies: no task of it runs any more.
        runtime.shutdown_timeout(Duration::from_secs(5));
        let held = if consistency == Consistency::Pause { "paused" } else { "exited" };
        assert_eq!(bench.states()[0], Some(held));
        let next = tokio::runtime::Runtime::new().unwrap();
        next.block_on(async {
            let journal = Arc::new(Journal::open(bench.folder.path()).unwrap());
            let left = journal.left_over();
            assert_eq!(left.len(), 1);
            // One of them was removed by somebody in the meantime: fine.
            bench.docker.container_vanish("shop-web");
            journal.undo(&bench.docker, &left[0]).await.unwrap();
            assert!(journal.left_over().is_empty());
            assert_eq!(bench.docker.container_state("shop-db"), Some("running"));
            assert_eq!(entries(bench.folder.path()), 0);
            // Of this life they are at work: nobody takes them away.
            assert_eq!(sweep_helpers(&bench.docker, "bench").await.unwrap(), 0);
            bench.docker.orphan_helpers();
            sweep_helpers(&bench.docker, "bench").await.unwrap();
            assert_eq!(bench.docker.container_list().await.unwrap().len(), 2);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_froze_and_forgot_is_started_anew_and_nobody_else() {
    let bench = Bench::new().await;
    let web = bench.id("shop-web").await;
    // The engine dies in the middle of the pause: frozen, and not written down.
    bench.docker.meanwhile("archive_get", 1, move |docker| docker.container_freeze(&web));
    bench.capture(Consistency::Pause).await.unwrap();
    assert!(!bench.docker.container_is_frozen("shop-web"));
    let web = bench.id("shop-web").await;
    assert_eq!(bench.calls("container_restart"), [web]);
    bench.assert_untouched().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_frozen_unknown_to_its_engine_is_owed_until_it_is_free() {
    let bench = Bench::new().await;
    let web = bench.id("shop-web").await;
    bench.docker.meanwhile("archive_get", 1, move |docker| docker.container_freeze(&web));
    (0..20).for_each(|n| bench.docker.fail("container_restart", 1 + n, Kind::Denied, "host.denied"));
    bench.capture(Consistency::Pause).await.unwrap();
    let left = bench.journal.left_over();
    assert_eq!(left[0].containers.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["shop-web"]);
    while bench.journal.undo(&bench.docker, &left[0]).await.is_err() {}
    assert!(!bench.docker.container_is_frozen("shop-web"));
    bench.assert_nothing_left().await;
}

#[tokio::test(start_paused = true)]
async fn what_gives_no_answer_is_not_called_running() {
    let bench = Bench::new().await;
    let is_frozen = async || frozen::is_frozen(&bench.docker, "shop-web").await;
    assert!(!is_frozen().await.unwrap());
    // Its pipes stay open as long as it lasts.
    bench.docker.program("true", |run| async move {
        std::future::pending::<()>().await;
        drop(run);
        Ok(())
    });
    let error = is_frozen().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Unavailable, "container.silent"));
    bench.docker.container_freeze("shop-web");
    assert!(is_frozen().await.unwrap());
    bench.docker.fail("exec_start", 1, Kind::Denied, "host.denied");
    assert!(!is_frozen().await.unwrap(), "nobody may ask");
}

#[tokio::test]
async fn the_entry_is_on_disk_before_the_first_member_is_touched() {
    let bench = Bench::new().await;
    let folder = bench.folder.path().to_owned();
    bench.docker.meanwhile("container_pause", 1, move |_| assert_eq!(entries(&folder), 1));
    let folder = bench.folder.path().to_owned();
    bench.docker.meanwhile("container_unpause", 2, move |_| assert_eq!(entries(&folder), 1));
    bench.capture(Consistency::Pause).await.unwrap();
    bench.assert_untouched().await;
}

#[tokio::test]
async fn an_unreadable_entry_does_not_keep_the_appliance_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("odd.json"), "{").unwrap();
    std::fs::write(folder.path().join("half.draft"), "{").unwrap();
    assert!(Journal::open(folder.path()).unwrap().left_over().is_empty());
    assert!(!folder.path().join("half.draft").exists(), "what never was an entry goes");
    assert_eq!(entries(folder.path()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_somebody_else_was_faster_with_is_left_to_them() {
    let bench = Bench::new().await;
    let web = bench.id("shop-web").await;
    bench.docker.meanwhile("container_pause", 1, move |docker| {
        let paused = futures::FutureExt::now_or_never(docker.container_pause(&web)).unwrap();
        paused.unwrap();
    });
    bench.capture(Consistency::Pause).await.unwrap();
    assert_eq!(bench.states(), [Some("running"), Some("paused"), Some("created")]);
    bench.assert_nothing_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_runs_again_is_not_started_with_every_further_try() {
    let bench = Bench::new().await;
    let db = bench.id("shop-db").await;
    // `web` cannot be started for a long time; its owner stops `db` meanwhile.
    // Two movers and `db` are started before.
    (0..40).for_each(|n| bench.docker.fail("container_start", 4 + n, Kind::Conflict, "port.taken"));
    bench.capture(Consistency::Stop).await.unwrap();
    let left = bench.journal.left_over();
    assert_eq!(left[0].containers.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["shop-web"]);
    bench.docker.container_stop(&db, 1).await.unwrap();
    let again = Journal::open(bench.folder.path()).unwrap();
    assert_eq!(again.left_over(), left, "the disk knows it too");
    while bench.journal.undo(&bench.docker, &left[0]).await.is_err() {}
    assert_eq!(bench.states(), [Some("exited"), Some("running"), Some("created")]);
    bench.assert_nothing_left().await;
}

#[tokio::test]
async fn stopping_ends_at_the_deadline_too() {
    let bench = Bench::new().await;
    bench.docker.meanwhile("container_stop", 1, |_| std::thread::sleep(Duration::from_millis(300)));
    let ask = Ask { hold_limit: Duration::from_millis(200), ..bench.ask(Consistency::Stop) };
    let captured = bench.capture_as(ask).await.unwrap();
    assert_eq!(bench.calls("container_stop").len(), 1, "the second would only make it longer");
    assert!(codes(&captured).contains(&"hold.expired"));
    assert_eq!(captured.consistency, Consistency::None);
    bench.assert_untouched().await;
}
