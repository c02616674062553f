//! What is captured, and what is named when it is not.

use super::{
    bench::{Bench, IMAGE, codes},
    sink::Recorder,
};
use crate::{StreamKind, discover};
use futures::{StreamExt, stream};
use holdfast_docker::{
    Engine,
    archive::{Entry, image, tar},
};
use holdfast_model::{Kind, Severity, policy::Consistency, snapshot::Fidelity};
use serde_json::json;

#[tokio::test]
async fn everything_of_the_app_is_there() {
    let bench = Bench::new().await;
    bench.docker.container_delete("shop-db", "old");
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    let names: Vec<_> = captured.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["shop-db", "shop-idle", "shop-web"]);
    let volume = &captured.volumes[0];
    assert_eq!((volume.name.as_str(), volume.anonymous), ("data", false));
    assert_eq!(bench.sink.tar(volume.stream.as_ref().unwrap())["v/table"], vec![7; 50_000]);
    let bind = &captured.binds[0];
    assert!(bind.directory);
    assert_eq!(bench.sink.tar(bind.stream.as_ref().unwrap())["v/index.html"], b"hello");
    let db = &captured.containers[0];
    assert_eq!(db.depends_on, Vec::<String>::new());
    assert!(db.changes.iter().any(|change| (change.path.as_str(), change.kind) == ("/old", 2)));
    let conf = db.layer.iter().find(|part| part.into == "/etc").unwrap();
    assert_eq!(bench.sink.tar(&conf.stream)["conf"], b"changed");
    assert_eq!(captured.networks.iter().map(|network| network.name.as_str()).collect::<Vec<_>>(), ["shop_net"]);
    assert_eq!(captured.images[0].tags, [IMAGE]);
    assert!(captured.bytes_logical > 50_000);
    assert_eq!(codes(&captured), ["layer.deleted"]);
    assert_eq!(bench.sink.phases.lock().unwrap().as_slice(), ["inspect", "images", "ahead", "hold", "data", "store"]);
}

#[tokio::test]
async fn a_known_image_is_not_read_and_its_tags_are_fresh() {
    let bench = Bench::new().await;
    let first = bench.capture(Consistency::None).await.unwrap();
    bench.sink.images.lock().unwrap().insert(first.images[0].id.clone(), first.images[0].clone());
    bench.docker.image_tag(IMAGE, "shop/base", "2").await.unwrap();
    bench.docker.forget_calls();
    let second = bench.capture(Consistency::None).await.unwrap();
    assert_eq!((bench.calls("image_save").len(), second.images_known), (0, 1));
    assert_eq!((second.images[0].tags.len(), &second.images[0].parts), (2, &first.images[0].parts));
}

#[tokio::test]
async fn an_archive_that_ends_early_fails_the_capture_after_a_second_try() {
    let bench = Bench::without_mover(Recorder::default()).await;
    bench.docker.host_remove("/srv/site");
    bench.docker.host_file("/srv/site", b"one file");
    // Only the volume is longer than the cut.
    bench.docker.cut("archive_get", 1, 20_000);
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    assert!(captured.volumes[0].stream.is_some() && !captured.binds[0].directory);
    let bench = Bench::without_mover(Recorder::default()).await;
    (1..9).for_each(|n| bench.docker.cut("archive_get", n, 20_000));
    let error = bench.capture(Consistency::Pause).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "stream.short"));
    assert!(error.chain().contains("volume data"), "{}", error.chain());
    bench.assert_untouched().await;
}

#[tokio::test]
async fn an_image_archive_that_ends_early_is_read_once_more_and_never_taken_for_whole() {
    for cut in [0, 700, 1024, 3000] {
        let bench = Bench::new().await;
        bench.docker.cut("image_save", 1, cut);
        let captured = bench.capture(Consistency::Pause).await.unwrap();
        assert!(captured.images[0].is_sound() && codes(&captured).is_empty(), "{cut}: {:?}", captured.problems);
        assert_eq!(bench.calls("image_save").len(), 2, "{cut}");

        let bench = Bench::new().await;
        (1..3).for_each(|n| bench.docker.cut("image_save", n, cut));
        let captured = bench.capture(Consistency::Pause).await.unwrap();
        assert_eq!(codes(&captured), ["image.damaged"], "{cut}");
        assert!(captured.problems[0].subject == IMAGE && captured.problems[0].message.contains("ended"), "{cut}");
        assert!(captured.images[0].parts.is_empty() && !captured.images[0].is_sound(), "{cut}");
        assert_eq!(bench.calls("image_save").len(), 2, "{cut}: two tries are enough");
        let volume = captured.volumes[0].stream.as_ref().unwrap();
        assert_eq!(bench.sink.tar(volume)["v/table"], vec![7; 50_000], "{cut}: the rest of the app is there");
        bench.assert_untouched().await;
    }
}

#[tokio::test]
async fn a_host_that_goes_away_while_an_image_is_read_fails_the_capture() {
    let bench = Bench::new().await;
    // Of the first try it gives a part; before the second it is gone.
    bench.docker.cut("image_save", 1, 700);
    bench.docker.meanwhile("image_save", 2, |docker| docker.go_away(true));
    let error = bench.capture(Consistency::Pause).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Unavailable, "host.unreachable"));
    bench.docker.go_away(false);
    bench.assert_untouched().await;
}

#[tokio::test]
async fn odd_layers_are_kept_as_plain_bytes() {
    let bench = Bench::new().await;
    let mut layer = tar(&[Entry::file("x", "y")]);
    layer.truncate(layer.len() - 1024);
    let bytes = image("odd:1", &json!({}), std::slice::from_ref(&layer));
    bench.docker.image_load(stream::iter([Ok(bytes.into())]).boxed()).await.unwrap();
    bench.docker.container_create("alone", &json!({ "Image": "odd:1" })).await.unwrap();
    let captured = bench.capture_as(crate::Ask { app: "alone".into(), ..bench.ask(Consistency::Pause) }).await.unwrap();
    let part = captured.images[0].parts.iter().find(|part| part.diff_id.is_some()).unwrap();
    assert_eq!(bench.sink.bytes(&part.stream), layer);
    let labels = bench.sink.labels.lock().unwrap();
    assert!(labels.iter().any(|(label, kind)| label.ends_with("layer.tar") && *kind == StreamKind::Bytes));
    assert!(!captured.project && codes(&captured).is_empty());
}

#[tokio::test]
async fn what_cannot_be_captured_is_named() {
    let bench = Bench::new().await;
    bench.docker.volume_create(&json!({ "Name": "far", "Driver": "cloudstor" })).await.unwrap();
    bench.docker.host_directory("/srv/later", &[]);
    bench.docker.host_directory("/var/run/docker.sock", &[]);
    let more = json!({ "HostConfig": { "Binds": ["/srv/later:/l", "/var/run/docker.sock:/s", "far:/far"],
        "Mounts": [{ "Type": "tmpfs", "Target": "/tmp" }] } });
    bench.member("more", "", more).await;
    bench.docker.host_remove("/srv/later");
    // Images of helpers are there after a first capture; then the second container is the one for `far`, and so is the
    // third, which does without a mover.
    bench.capture(Consistency::None).await.unwrap();
    bench.docker.fail("container_create", 2, Kind::Unavailable, "host.failed");
    bench.docker.fail("container_create", 3, Kind::Unavailable, "host.failed");
    let captured = bench.capture(Consistency::None).await.unwrap();
    let codes = codes(&captured);
    for code in ["bind.missing", "bind.not_captured", "tmpfs.not_captured", "volume.not_captured"] {
        assert!(codes.contains(&code), "{codes:?}");
    }
    let far = captured.volumes.iter().find(|volume| volume.name == "far").unwrap();
    assert!(far.stream.is_none());
    let problem = captured.problems.iter().find(|problem| problem.code == "volume.not_captured").unwrap();
    assert_eq!(problem.severity, Severity::Error);
    bench.assert_untouched().await;
}

#[tokio::test]
async fn a_removed_image_is_named_and_a_removed_volume_fails() {
    let bench = Bench::new().await;
    bench.docker.fail("image_inspect", 1, Kind::NotFound, "image.not_found");
    let captured = bench.capture(Consistency::None).await.unwrap();
    assert_eq!((codes(&captured)[0], captured.images.len()), ("image.gone", 0));
    bench.docker.fail("volume_inspect", 1, Kind::NotFound, "volume.not_found");
    let error = bench.capture(Consistency::None).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::NotFound, "volume.gone"));
    let mut ask = bench.ask(Consistency::None);
    ask.app = "nobody".into();
    assert_eq!(bench.capture_as(ask).await.unwrap_err().code(), "app.gone");
}

#[tokio::test]
async fn a_volume_that_is_written_to_is_still_the_same() {
    let bench = Bench::new().await;
    bench.docker.meanwhile("image_save", 1, |docker| docker.volume_put("data", Entry::file("temp-1.rdb", "new")));
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    assert_eq!(bench.sink.tar(captured.volumes[0].stream.as_ref().unwrap())["v/temp-1.rdb"], b"new");
}

#[tokio::test]
async fn a_tree_comes_through_the_mover_in_full() {
    let bench = Bench::new().await;
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    assert_eq!(captured.fidelity, Fidelity::Full);
    assert_eq!((captured.volumes[0].fidelity, captured.binds[0].fidelity), (Fidelity::Full, Fidelity::Full));
    let bytes = bench.sink.bytes(captured.volumes[0].stream.as_ref().unwrap());
    assert_eq!((&bytes[..2], &bytes[100..107], &bytes[108..115]), (&b"v/"[..], &b"0000700"[..], &b"0001747"[..]));
    bench.assert_untouched().await;
}

#[tokio::test(start_paused = true)]
async fn most_is_read_before_the_app_is_held_and_what_changed_since_is_read_then() {
    let bench = Bench::new().await;
    // Somebody writes between the two passes.
    bench.docker.meanwhile("container_pause", 1, |docker| docker.volume_put("data", Entry::file("late", "new")));
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    let volume = captured.volumes[0].stream.as_ref().unwrap();
    assert_eq!(bench.sink.tar(volume)["v/late"], b"new");
    let trees = bench.sink.ahead.lock().unwrap().clone();
    let of = |label: &str| -> Vec<Option<String>> {
        trees.iter().filter(|(known, _)| known == label).map(|(_, ahead)| ahead.clone()).collect()
    };
    let (volumes, binds) = (of("volume data"), of("host path /srv/site"));
    assert!(matches!(&volumes[..], [None, Some(before)] if *before != volume.sha256), "{volumes:?}");
    assert!(matches!(&binds[..], [None, Some(before)] if *before == captured.binds[0].stream.as_ref().unwrap().sha256));
    let live = Bench::new().await;
    live.capture(Consistency::None).await.unwrap();
    assert_eq!(live.sink.ahead.lock().unwrap().len(), 2, "nobody is held: one pass");
}

#[tokio::test]
async fn where_no_mover_may_run_the_archive_is_read_and_told() {
    let bench = Bench::without_mover(Recorder::default()).await;
    let captured = bench.capture(Consistency::Pause).await.unwrap();
    assert_eq!(captured.fidelity, Fidelity::Api);
    assert_eq!(bench.sink.tar(captured.volumes[0].stream.as_ref().unwrap())["v/table"], vec![7; 50_000]);
    let told: Vec<_> = captured.problems.iter().filter(|problem| problem.code == "mover.unavailable").collect();
    assert_eq!(told.len(), 1, "once for the host: {told:?}");
    assert!(told[0].message.contains("no such file"), "{}", told[0].message);
    bench.assert_untouched().await;
}

#[tokio::test(start_paused = true)]
async fn a_mover_that_breaks_off_anywhere_is_made_up_for() {
    let whole = Bench::new().await.capture(Consistency::Pause).await.unwrap().volumes[0].clone();
    for cut in [0, 5, 6, 30, 70, 200, 1000, 40_000] {
        for n in 1..3 {
            let bench = Bench::new().await;
            bench.docker.cut("container_attach", n, cut);
            let captured = bench.capture(Consistency::Pause).await.unwrap();
            let volume = &captured.volumes[0];
            let bytes = bench.sink.tar(volume.stream.as_ref().unwrap());
            assert_eq!(bytes["v/table"], vec![7; 50_000], "{cut} {n}");
            // All that is said of the host path is shorter than the longest cut.
            let is_cut = n == 1 || cut <= 1000;
            assert_eq!(captured.fidelity == Fidelity::Api, is_cut, "{cut} {n}");
            assert_eq!(codes(&captured).contains(&"mover.unavailable"), is_cut, "{cut} {n}");
            bench.assert_untouched().await;
        }
    }
    assert_eq!(whole.fidelity, Fidelity::Full);
}

#[tokio::test(start_paused = true)]
async fn nonsense_of_a_mover_is_never_data() {
    for says in [&b"x\0\0\0\0"[..], b"h\x01\0\0\0\x63", b"c\xff\xff\xff\xff", b".\x08\0\0\0\0\0\0\0\0\0\0\0"] {
        let bench = Bench::new().await;
        bench.docker.program(holdfast_docker::mover::PROGRAM, move |mut run| async move {
            tokio::io::AsyncWriteExt::write_all(&mut run.output, says).await
        });
        let captured = bench.capture(Consistency::Pause).await.unwrap();
        assert_eq!(captured.fidelity, Fidelity::Api, "{says:?}");
        assert_eq!(bench.sink.tar(captured.volumes[0].stream.as_ref().unwrap())["v/table"], vec![7; 50_000]);
        bench.assert_untouched().await;
    }
}

#[tokio::test]
async fn apps_are_discovered() {
    let bench = Bench::new().await;
    bench.docker.container_create("alone", &json!({ "Image": IMAGE })).await.unwrap();
    let apps = discover(&bench.docker).await.unwrap();
    let names: Vec<_> = apps.iter().map(|app| (app.name.as_str(), app.project)).collect();
    assert_eq!(names, [("alone", false), ("shop", true)]);
    assert_eq!((&apps[1].volumes[..], &apps[1].binds[..]), (&["data".to_owned()][..], &["/srv/site".to_owned()][..]));
}
