//! Places that no container of the app mounts any more.

use super::{
    bench::{Bench, codes},
    sink::Recorder,
};
use crate::{Ask, Captured, Places, Sink, capture_places};
use holdfast_docker::Engine;
use holdfast_model::{Kind, Result, Severity, policy::Consistency, snapshot::Fidelity};
use holdfast_runtime::Clock;
use serde_json::json;
use std::sync::Arc;

/// The project's containers are gone; what they mounted is not.
fn left_behind(bench: &Bench) {
    for name in ["shop-db", "shop-web", "shop-idle"] {
        bench.docker.container_vanish(name);
    }
    bench.docker.forget_calls();
}

async fn captured(bench: &Bench, volumes: &[&str], paths: &[&str]) -> Result<Captured> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let places = Places { project: true, volumes: owned(volumes), paths: owned(paths) };
    // What an app would be asked for has no say.
    let ask: Ask = bench.ask(Consistency::Pause);
    let (engine, sink): (Arc<dyn Engine>, Arc<dyn Sink>) = (Arc::new(bench.docker.clone()), bench.sink.clone());
    capture_places(engine, ask, &places, sink, &Clock::system(), &bench.stop).await
}

#[tokio::test]
async fn what_an_app_left_behind_is_captured_without_it() {
    let bench = Bench::new().await;
    left_behind(&bench);
    let captured = captured(&bench, &["data", "data"], &["/srv/site", "/srv/none"]).await.unwrap();
    assert!(captured.project && captured.containers.is_empty() && captured.images.is_empty());
    assert_eq!((captured.consistency, captured.fidelity), (Consistency::None, Fidelity::Full));
    let volume = &captured.volumes[0];
    assert_eq!((captured.volumes.len(), &*volume.name), (1, "data"), "each place once");
    assert_eq!(bench.sink.tar(volume.stream.as_ref().unwrap())["v/table"], vec![7; 50_000]);
    let bind = &captured.binds[0];
    assert_eq!((captured.binds.len(), &*bind.source), (1, "/srv/site"), "what is not there has nothing to keep");
    assert_eq!(bench.sink.tar(bind.stream.as_ref().unwrap())["v/index.html"], b"hello");
    assert!(captured.bytes_logical > 50_000);
    assert_eq!(codes(&captured), ["snapshot.places"], "a path that is not there is no trouble either");
    assert_eq!(captured.problems[0].severity, Severity::Note);
    for call in ["container_pause", "container_stop", "exec_start", "container_changes", "image_save", "volume_create"]
    {
        assert!(bench.calls(call).is_empty(), "{call}");
    }
    bench.assert_nothing_left().await;
}

#[tokio::test]
async fn a_place_that_cannot_be_read_is_named_and_a_volume_that_is_not_there_is_never_made() {
    let bench = Bench::new().await;
    left_behind(&bench);
    bench.docker.host_directory("/etc", &[("passwd", b"x")]);
    let told = captured(&bench, &["data"], &["/etc"]).await.unwrap();
    assert!(told.binds.is_empty() && told.volumes[0].stream.is_some());
    let problem = told.problems.iter().find(|problem| problem.code == "bind.not_captured").unwrap();
    assert_eq!(problem.subject, "/etc");
    let before = bench.docker.volume_list().await.unwrap().len();
    let error = captured(&bench, &["data", "gone"], &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::NotFound, "volume.gone"));
    assert_eq!(bench.docker.volume_list().await.unwrap().len(), before);
    bench.assert_nothing_left().await;
}

#[tokio::test]
async fn places_that_somebody_writes_to_are_named() {
    let bench = Bench::new().await;
    left_behind(&bench);
    let body = json!({"HostConfig": {"Binds": ["data:/data", "/srv:/all"]}});
    bench.member("other", "", body).await;
    assert_eq!(
        codes(&captured(&bench, &["data"], &["/srv/site"]).await.unwrap()),
        ["snapshot.places"],
        "it does not run"
    );
    bench.docker.container_start("shop-other").await.unwrap();
    let told = captured(&bench, &["data"], &["/srv/site"]).await.unwrap();
    let named: Vec<&str> =
        told.problems.iter().filter(|one| one.code == "place.in_use").map(|one| one.subject.as_str()).collect();
    assert_eq!(named, ["data", "/srv/site"]);
    bench.docker.container_vanish("shop-other");
    assert_eq!(codes(&captured(&bench, &["data"], &["/srv/site"]).await.unwrap()), ["snapshot.places"]);
}

#[tokio::test]
async fn without_a_mover_the_archive_tells_what_was_left_behind() {
    let bench = Bench::without_mover(Recorder::default()).await;
    left_behind(&bench);
    let captured = captured(&bench, &["data"], &["/srv/site"]).await.unwrap();
    assert_eq!(captured.fidelity, Fidelity::Api);
    assert_eq!(bench.sink.tar(captured.volumes[0].stream.as_ref().unwrap())["v/table"], vec![7; 50_000]);
    assert!(codes(&captured).contains(&"mover.unavailable"), "{:?}", captured.problems);
    bench.assert_nothing_left().await;
}

#[tokio::test]
async fn a_wish_to_stop_leaves_nothing() {
    let bench = Bench::new().await;
    left_behind(&bench);
    bench.stop.cancel();
    assert_eq!(captured(&bench, &["data"], &["/srv/site"]).await.unwrap_err().kind(), Kind::Stopped);
    bench.assert_nothing_left().await;
}
