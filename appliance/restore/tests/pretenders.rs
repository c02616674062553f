//! Containers that carry our label and are not ours, and helpers that are: who is in the way of a restore.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use futures::{FutureExt, StreamExt};
use holdfast_docker::{
    EMPTY_IMAGE, Engine, HELPER_LABEL, archive, fake::FakeDocker, helper_name, is_helper, labels, load_empty_image,
    mover,
};
use holdfast_model::{snapshot::Snapshot, view::Target};
use holdfast_restore::{Ask, carry_out, plan};
use holdfast_runtime::Stop;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use support::{App, Memory};

async fn world(fake: &FakeDocker) -> (Arc<Memory>, Snapshot) {
    let app = App::imagined(fake).await;
    let memory = Arc::new(Memory::default());
    let snapshot = app.capture(&memory, &["db", "web"]).await;
    (memory, snapshot)
}

fn engine(fake: &FakeDocker) -> Arc<dyn Engine> {
    Arc::new(fake.clone())
}

/// What stands in the way of a restore in place.
async fn conflicts(fake: &FakeDocker, snapshot: &Snapshot) -> Vec<(String, String)> {
    let ask = Ask { target: Target::InPlace, owner: "test".into(), ..Ask::default() };
    let plan = plan(&engine(fake), snapshot, &ask).await.unwrap();
    plan.conflicts.into_iter().map(|conflict| (conflict.code, conflict.message)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_in_use_also_by_who_carries_our_label() {
    let fake = FakeDocker::new();
    let (_, snapshot) = world(&fake).await;
    let config = json!({ "config": { "Labels": { HELPER_LABEL: "test" } } });
    let bytes = archive::image("stranger:1", &config, &[]);
    fake.image_load(futures::stream::iter([Ok(bytes.into())]).boxed()).await.unwrap();
    let body = json!({ "Image": "stranger:1", "HostConfig": { "Binds": ["shop_data:/d"] } });
    fake.container_create("stranger", &body).await.unwrap();
    fake.container_start("stranger").await.unwrap();
    let found = conflicts(&fake, &snapshot).await;
    assert!(found.len() == 1 && found[0].0 == "volume.in_use" && found[0].1.contains("stranger"), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_helper_of_another_appliance_is_in_nobodys_way() {
    let fake = FakeDocker::new();
    let (_, snapshot) = world(&fake).await;
    load_empty_image(&fake).await.unwrap();
    let body = json!({ "Image": EMPTY_IMAGE, "Cmd": [mover::PROGRAM], "Labels": labels("another appliance"),
        "HostConfig": { "Binds": ["shop_data:/v:ro"], "NetworkMode": "none" } });
    let name = helper_name("read");
    fake.container_create(&name, &body).await.unwrap();
    fake.container_start(&name).await.unwrap();
    let found = conflicts(&fake, &snapshot).await;
    assert!(found.is_empty(), "{found:?}");
}

/// Looks at all containers whose name begins as those of helpers, while they are at work.
fn watch(fake: &FakeDocker, seen: &Arc<Mutex<Vec<Value>>>) {
    for call in ["container_attach", "archive_put", "archive_get", "container_remove"] {
        for n in 1..=3 {
            let seen = seen.clone();
            fake.meanwhile(call, n, move |fake| {
                let listed = fake.container_list().now_or_never().unwrap().unwrap();
                let named =
                    |found: &Value| found["Names"][0].as_str().is_some_and(|name| name.starts_with("/holdfast-"));
                seen.lock().unwrap().extend(listed.into_iter().filter(named));
            });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_a_restore_makes_for_itself_is_known_as_a_helper() {
    for fake in [FakeDocker::new(), FakeDocker::new().without_mover()] {
        let (memory, snapshot) = world(&fake).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        watch(&fake, &seen);
        let ask = Ask { target: Target::Beside, owner: "test".into(), ..Ask::default() };
        let plan = plan(&engine(&fake), &snapshot, &ask).await.unwrap();
        carry_out(engine(&fake), &snapshot, &plan, memory, &Stop::new()).await.unwrap();
        let seen = seen.lock().unwrap();
        assert!(!seen.is_empty());
        assert!(seen.iter().all(is_helper), "{:?}", seen.iter().find(|found| !is_helper(found)));
    }
}
