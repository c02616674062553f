//! Life and states of containers, names, ports, events.

use super::{Bench, ensure, refused};
use futures::StreamExt;
use holdfast_model::{Kind, Result};
use serde_json::json;
use std::time::Duration;

pub(super) async fn run(bench: &Bench) -> Result<()> {
    let engine = &bench.engine;
    let mut events = engine.events().await?;
    let id = bench.create("a", json!({ "Labels": { "x": "y" } })).await?;
    let again = bench.create("a", json!({})).await;
    refused(again, Kind::Conflict, "name.taken", "a name that is taken")?;
    let described = bench.inspect(&id).await?;
    ensure!(described["Name"] == format!("/{}", bench.name("a")).as_str(), "the name is not kept");
    ensure!(described["Config"]["Labels"]["x"] == "y", "the labels are not kept");
    ensure!(described["Config"]["Env"][0] == "COLOUR=green", "the image's environment is lost");
    ensure!(described["State"]["Running"] == false, "a created container runs");
    let listed = engine.container_list().await?;
    ensure!(listed.iter().any(|found| found["Id"] == id.as_str()), "a created container is not listed");

    refused(engine.container_pause(&id).await, Kind::Conflict, "container.state", "pausing what does not run")?;
    engine.container_start(&id).await?;
    engine.container_start(&id).await?;
    ensure!(bench.inspect(&id).await?["State"]["Running"] == true, "a started container does not run");
    engine.container_pause(&id).await?;
    ensure!(bench.inspect(&id).await?["State"]["Paused"] == true, "a paused container is not paused");
    refused(engine.container_pause(&id).await, Kind::Conflict, "container.state", "pausing twice")?;
    engine.container_unpause(&id).await?;
    refused(engine.container_unpause(&id).await, Kind::Conflict, "container.state", "unpausing twice")?;
    engine.container_stop(&id, 0).await?;
    engine.container_stop(&id, 0).await?;
    ensure!(bench.inspect(&id).await?["State"]["Running"] == false, "a stopped container runs");

    engine.container_rename(&id, &bench.name("b")).await?;
    ensure!(bench.inspect(&bench.name("b")).await.is_ok(), "a renamed container is not found by its new name");
    let other = bench.create("a", json!({})).await?;
    let outcome = engine.container_rename(&other, &bench.name("b")).await;
    refused(outcome, Kind::Conflict, "name.taken", "renaming to a name that is taken")?;
    for id in [&id, &other] {
        engine.container_remove(id, true).await?;
        engine.container_remove(id, true).await?;
    }
    refused(engine.container_inspect(&id).await, Kind::NotFound, "container.not_found", "a removed container")?;
    refused(engine.container_start(&id).await, Kind::NotFound, "container.not_found", "starting what is not there")?;
    refused(engine.container_inspect("..").await, Kind::NotFound, "container.not_found", "a name with a way up")?;
    let outcome = engine.container_create(&bench.name("c"), &json!({ "Image": "no-such/image:1" })).await;
    refused(outcome, Kind::NotFound, "image.not_found", "a container of a missing image")?;

    let first = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
    ensure!(matches!(first, Ok(Some(Ok(_)))), "no event told of all this");
    ports(bench).await
}

async fn ports(bench: &Bench) -> Result<()> {
    // An address of loopback that nothing else uses.
    let body = json!({ "ExposedPorts": { "80/tcp": {} }, "HostConfig": {
        "PortBindings": { "80/tcp": [{ "HostIp": "127.0.0.93", "HostPort": "39173" }] } } });
    let (first, second) = (bench.create("p1", body.clone()).await?, bench.create("p2", body).await?);
    bench.engine.container_start(&first).await?;
    refused(bench.engine.container_start(&second).await, Kind::Conflict, "port.taken", "a port that is taken")?;
    bench.engine.container_remove(&first, true).await?;
    bench.engine.container_remove(&second, true).await
}
