//! Writable layers that are too large, too long to tell, or hold names that are no text: named, and the rest is captured.

use super::bench::{Bench, codes};
use crate::{
    discover,
    layer::{Layer, bound::Bounds, read_within},
    member::{Member, inspect_all},
};
use holdfast_docker::archive::{Entry, tar};
use holdfast_model::{Kind, Severity, policy::Consistency, snapshot::LayerPart};
use serde_json::json;
use std::collections::BTreeMap;

const WIDE: Bounds = Bounds { part: 1 << 30, layer: 1 << 30 };

async fn member(bench: &Bench, name: &str) -> Member {
    let apps = discover(&bench.docker).await.unwrap();
    let app = apps.iter().find(|app| app.name == "shop").unwrap();
    inspect_all(&bench.docker, app).await.unwrap().into_iter().find(|member| member.name == name).unwrap()
}

async fn read(bench: &Bench, name: &str, bounds: Bounds) -> Layer {
    let member = member(bench, name).await;
    bench.docker.forget_calls();
    read_within(&bench.docker, &*bench.sink, &member, bounds).await.unwrap()
}

/// What was captured, by its path in the container.
fn files(bench: &Bench, parts: &[LayerPart]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for part in parts {
        let into = part.into.trim_end_matches('/');
        let told = bench.sink.tar(&part.stream).into_iter();
        files.extend(told.map(|(path, content)| (format!("{into}/{path}"), content)));
    }
    files
}

fn paths(files: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
    files.keys().map(String::as_str).collect()
}

fn told(layer: &Layer) -> Vec<(&str, Severity, &str)> {
    layer.problems.iter().map(|problem| (&*problem.code, problem.severity, &*problem.message)).collect()
}

/// `odd` of an image with folders.
async fn with_folders() -> Bench {
    let bench = Bench::new().await;
    let folders = ["etc", "root", "srv"].map(Entry::directory);
    let layer = tar(&[&folders[..], &[Entry::file("root/profile", "factory")]].concat());
    bench.load(&[layer]).await;
    let mounts = json!({ "HostConfig": { "Binds": ["more:/srv/data"] } });
    bench.member("odd", "", mounts).await;
    bench
}

#[tokio::test]
async fn a_file_that_is_too_large_is_named_and_the_rest_of_its_folder_captured() {
    let bench = Bench::new().await;
    for (path, length) in [("new/a", 9_000), ("new/deep/b", 9_000), ("new/deep/huge", 50_000), ("new/z", 10)] {
        bench.docker.container_write("shop-db", path, &vec![7; length]);
    }
    bench.docker.container_write("shop-db", "etc/huge", &vec![7; 60_000]);
    let layer = read(&bench, "shop-db", Bounds { part: 40_000, layer: 1 << 30 }).await;
    let files = files(&bench, &layer.parts);
    let expected = ["/etc", "/etc/conf", "/new", "/new/a", "/new/deep", "/new/deep/b", "/new/z"];
    assert_eq!(paths(&files), expected);
    assert_eq!((files["/new/a"].len(), &files["/etc/conf"][..]), (9_000, &b"changed"[..]));
    let told = told(&layer);
    assert_eq!(told.len(), 2, "{told:?}");
    for (path, size) in [("/etc/huge", "58.6 KiB"), ("/new/deep/huge", "48.8 KiB")] {
        let (code, severity, text) = told.iter().find(|one| one.2.starts_with(path)).unwrap();
        assert_eq!((*code, *severity), ("layer.too_large", Severity::Error));
        assert!(text.contains(size), "{text}");
    }
    assert!(layer.problems.iter().all(|problem| problem.advice.as_ref().is_some_and(|text| text.contains("volume"))));
    // Folders come before what lies in them, so that a restore, which goes backwards, sets their times last.
    let places: Vec<&str> = layer.parts.iter().map(|part| part.into.as_str()).collect();
    assert_eq!(places, ["/", "/etc", "/", "/new", "/new", "/new/deep", "/new"]);
}

#[tokio::test]
async fn a_folder_that_is_too_large_is_read_entry_by_entry() {
    let bench = Bench::new().await;
    (0..4).for_each(|n| bench.docker.container_write("shop-db", &format!("new/{n}"), &[7; 9_000]));
    let layer = read(&bench, "shop-db", Bounds { part: 20_000, layer: 1 << 30 }).await;
    let files = files(&bench, &layer.parts);
    assert_eq!(paths(&files), ["/etc", "/etc/conf", "/new", "/new/0", "/new/1", "/new/2", "/new/3"]);
    assert!(layer.problems.is_empty(), "{:?}", layer.problems);
}

#[tokio::test]
async fn what_does_not_fit_into_a_containers_bound_is_named_and_what_does_is_captured() {
    let bench = Bench::new().await;
    for name in ["a", "b", "c"] {
        bench.docker.container_write("shop-db", name, &[7; 15_000]);
    }
    bench.docker.container_write("shop-db", "z", b"small");
    let layer = read(&bench, "shop-db", Bounds { part: 20_000, layer: 40_000 }).await;
    let files = files(&bench, &layer.parts);
    assert_eq!(paths(&files), ["/a", "/b", "/etc", "/etc/conf", "/z"]);
    let told = told(&layer);
    assert_eq!((told.len(), told[0].0, told[0].1), (1, "layer.too_large", Severity::Error));
    assert!(told[0].2.starts_with("/c of shop-db was not captured: with it more than 39.1 KiB"), "{told:?}");
}

#[tokio::test]
async fn of_all_changes_only_the_deletions_are_kept_and_all_are_counted() {
    let bench = Bench::new().await;
    bench.docker.container_delete("shop-db", "old");
    bench.docker.container_write("shop-db", "new", b"x");
    let layer = read(&bench, "shop-db", WIDE).await;
    let kept: Vec<_> = layer.deletions.iter().map(|change| (change.path.as_str(), change.kind)).collect();
    assert_eq!((kept, layer.changed), (vec![("/old", 2)], 4), "with /etc, /etc/conf and /new");
    let captured = bench.capture(Consistency::None).await.unwrap();
    let db = captured.containers.iter().find(|container| container.name == "shop-db").unwrap();
    assert_eq!((db.deletions().collect::<Vec<_>>(), db.change_count()), (vec!["/old"], 4));
}

#[tokio::test]
async fn a_list_of_changes_that_is_too_long_costs_the_layer_and_not_the_app() {
    let bench = Bench::new().await;
    bench.docker.fail("container_changes", 1, Kind::Invalid, "host.answer_too_large");
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    assert_eq!(codes(&captured), ["layer.not_captured"]);
    let problem = &captured.problems[0];
    assert!(problem.severity == Severity::Error && problem.message.contains(&problem.subject), "{problem:?}");
    let lost = captured.containers.iter().find(|container| container.name == problem.subject).unwrap();
    assert_eq!((lost.layer.len(), lost.change_count()), (0, 0));
    assert!(captured.volumes[0].stream.is_some() && captured.binds[0].stream.is_some());
    bench.assert_untouched().await;
    // Whatever else goes wrong with the list is as bad as ever.
    bench.docker.fail("container_changes", 1, Kind::Invalid, "host.answer_malformed");
    assert_eq!(bench.capture(Consistency::Pause).await.unwrap_err().code(), "host.answer_malformed");
}

#[tokio::test]
async fn a_file_whose_name_is_no_text_comes_with_its_folder() {
    let bench = with_folders().await;
    bench.docker.container_write("shop-odd", "root/\u{fffd}x", b"odd");
    bench.docker.container_write("shop-odd", "root/good", b"good");
    let layer = read(&bench, "shop-odd", WIDE).await;
    let files = files(&bench, &layer.parts);
    assert_eq!(paths(&files), ["/root", "/root/good", "/root/profile", "/root/\u{fffd}x"]);
    assert_eq!((&files["/root/\u{fffd}x"][..], &files["/root/good"][..]), (&b"odd"[..], &b"good"[..]));
    assert!(layer.problems.is_empty(), "{:?}", layer.problems);
    assert_eq!(bench.calls("archive_get").len(), 1, "the folder is read once, with all that is in it");
}

#[tokio::test]
async fn where_the_folder_cannot_be_read_whole_the_loss_is_told() {
    let bench = with_folders().await;
    for path in ["\u{fffd}x", "etc/\u{fffd}x", "srv/\u{fffd}x", "root/\u{fffd}x", "root/good", "srv/good"] {
        bench.docker.container_write("shop-odd", path, b"odd");
    }
    bench.docker.container_write("shop-odd", "root/huge", &[7; 50_000]);
    let layer = read(&bench, "shop-odd", Bounds { part: 20_000, layer: 1 << 30 }).await;
    let files = files(&bench, &layer.parts);
    assert_eq!(paths(&files), ["/etc", "/root", "/root/good", "/srv", "/srv/good"]);
    let told = told(&layer);
    assert!(told.iter().all(|(_, severity, _)| *severity == Severity::Error), "{told:?}");
    let of = |code: &str| told.iter().filter(|one| one.0 == code).map(|one| one.2).collect::<Vec<_>>();
    assert_eq!((told.len(), of("layer.too_large").len()), (5, 1));
    let starts = ["files in / of", "files in /etc of", "files in /root of", "files in /srv of"];
    let unreadable = of("layer.name_unreadable");
    assert!(unreadable.iter().zip(starts).all(|(text, start)| text.starts_with(start)), "{unreadable:?}");
}

#[tokio::test]
async fn a_file_that_is_really_called_so_is_captured_where_its_folder_cannot_be_read_whole() {
    let bench = with_folders().await;
    for path in ["\u{fffd}x", "srv/\u{fffd}x", "srv/\u{fffd}y"] {
        bench.docker.container_write("shop-odd", path, path.as_bytes());
    }
    ["\u{fffd}x", "srv/\u{fffd}x"].iter().for_each(|path| bench.docker.has_file_called(path));
    let layer = read(&bench, "shop-odd", WIDE).await;
    let files = files(&bench, &layer.parts);
    assert_eq!(paths(&files), ["/srv", "/srv/\u{fffd}x", "/\u{fffd}x"]);
    assert_eq!(files["/srv/\u{fffd}x"], "srv/\u{fffd}x".as_bytes());
    let told = told(&layer);
    assert_eq!((told.len(), told[0].0), (1, "layer.name_unreadable"), "{told:?}");
    assert!(told[0].2.starts_with("files in /srv of"), "{told:?}");
}

#[tokio::test]
async fn a_path_that_was_removed_meanwhile_is_only_noted() {
    let bench = Bench::new().await;
    let member = member(&bench, "shop-db").await;
    // The first is the folder.
    bench.docker.meanwhile("archive_get", 2, |docker| docker.container_delete("shop-db", "etc/conf"));
    let layer = read_within(&bench.docker, &*bench.sink, &member, WIDE).await.unwrap();
    let told = told(&layer);
    assert_eq!((told.len(), told[0].0, told[0].1), (1, "layer.path_gone", Severity::Note));
    assert_eq!(paths(&files(&bench, &layer.parts)), ["/etc"]);
}
