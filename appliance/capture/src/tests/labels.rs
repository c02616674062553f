//! Our label on what is not ours: it is an app like others, and nobody sweeps it. Helpers are no app, whosever they are.

use super::bench::Bench;
use crate::{Ask, discover, gaps, helper::Helper, sweep_helpers, talk::Talk};
use futures::{StreamExt, stream};
use holdfast_docker::{
    Engine, HELPER_LABEL,
    archive::{Entry, image, tar},
    is_helper,
    mover::Mounted,
};
use holdfast_model::policy::Consistency;
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn a_container_whose_image_carries_our_label_is_backed_up_and_never_swept() {
    let bench = Bench::new().await;
    let config = json!({ "config": { "Cmd": ["/x"], "Labels": { HELPER_LABEL: "bench" } } });
    let bytes = image("pretender:1", &config, &[tar(&[Entry::file("x", "y")])]);
    bench.docker.image_load(stream::iter([Ok(bytes.into())]).boxed()).await.unwrap();
    bench.docker.volume_put("kept", Entry::directory(""));
    bench.docker.volume_put("kept", Entry::file("a", "content"));
    let body = json!({ "Image": "pretender:1", "HostConfig": { "Binds": ["kept:/d"] } });
    bench.docker.container_create("pretender", &body).await.unwrap();
    bench.docker.container_start("pretender").await.unwrap();
    let listed = bench.docker.container_list().await.unwrap();
    assert!(listed.iter().any(|found| found["Labels"][HELPER_LABEL] == "bench"), "it has the label of its image");

    let apps = discover(&bench.docker).await.unwrap();
    assert_eq!(apps.iter().map(|app| app.name.as_str()).collect::<Vec<_>>(), ["pretender", "shop"]);
    let gaps = gaps(&bench.docker).await.unwrap();
    assert!(gaps.apps.iter().any(|(name, _)| name == "pretender"));
    assert!(!gaps.host.iter().any(|problem| problem.subject == "kept"), "its volume is not nobody's: {:?}", gaps.host);
    let ask = Ask { app: "pretender".into(), ..bench.ask(Consistency::Pause) };
    let captured = bench.capture_as(ask).await.unwrap();
    assert_eq!(bench.sink.tar(captured.volumes[0].stream.as_ref().unwrap())["v/a"], b"content");

    assert_eq!(sweep_helpers(&bench.docker, "bench").await.unwrap(), 0);
    assert_eq!(bench.docker.container_state("pretender"), Some("running"));
}

#[tokio::test]
async fn helpers_are_no_app_and_only_our_own_are_swept() {
    let bench = Bench::new().await;
    let engine: Arc<dyn Engine> = Arc::new(bench.docker.clone());
    let mounted = Mounted::Volume("data");
    let mut at_work = Vec::new();
    for owner in ["bench", "another appliance"] {
        let talk = Talk::open(engine.clone(), owner, mounted, [7; 32]).await.unwrap();
        at_work.push((Helper::open(engine.clone(), owner, mounted).await.unwrap(), talk));
    }
    let apps = discover(&bench.docker).await.unwrap();
    assert_eq!(apps.iter().map(|app| app.name.as_str()).collect::<Vec<_>>(), ["shop"]);
    assert_eq!(sweep_helpers(&bench.docker, "bench").await.unwrap(), 0, "they are at work");
    bench.docker.orphan_helpers();
    assert_eq!(sweep_helpers(&bench.docker, "bench").await.unwrap(), 2);
    let left: Vec<_> = bench.docker.container_list().await.unwrap().into_iter().filter(is_helper).collect();
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|found| found["Labels"][HELPER_LABEL] == "another appliance"), "{left:?}");
    drop(at_work);
}
