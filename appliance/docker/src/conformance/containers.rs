//! Life and states of containers, names, ports, events.

use super::{Bench, ensure, refused};
use crate::{Attached, Exec, Said};
use futures::StreamExt;
use holdfast_model::{Error, Kind, Result};
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

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
    engine.container_restart(&id, 0).await?;
    ensure!(bench.inspect(&id).await?["State"]["Running"] == true, "a container does not run after its restart");
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
    let outcome = engine.container_restart(&id, 0).await;
    refused(outcome, Kind::NotFound, "container.not_found", "restarting what is not there")?;
    refused(engine.container_inspect("..").await, Kind::NotFound, "container.not_found", "a name with a way up")?;
    let outcome = engine.container_create(&bench.name("c"), &json!({ "Image": "no-such/image:1" })).await;
    refused(outcome, Kind::NotFound, "image.not_found", "a container of a missing image")?;

    let first = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
    ensure!(matches!(first, Ok(Some(Ok(_)))), "no event told of all this");
    attaching(bench).await?;
    commands(bench).await?;
    ports(bench).await
}

/// What is written to a container's input comes back from one that repeats it, to the last byte, and then it ends.
async fn attaching(bench: &Bench) -> Result<()> {
    let engine = &bench.engine;
    let body = json!({ "Cmd": ["/bin/busybox", "cat"], "OpenStdin": true, "StdinOnce": true, "AttachStdin": true,
        "AttachStdout": true, "AttachStderr": true, "HostConfig": { "LogConfig": { "Type": "none" } } });
    let id = bench.create("cat", body).await?;
    let Attached { mut input, mut output } = engine.container_attach(&id).await?;
    engine.container_start(&id).await?;
    let sent: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let copy = sent.clone();
    let broken = |error| Error::io("write to a container", error);
    let write = async move {
        input.write_all(&copy).await.map_err(broken)?;
        input.shutdown().await.map_err(broken)
    };
    let read = async {
        let mut back = Vec::new();
        while let Some(said) = output.next().await {
            match said? {
                Said::Out(bytes) => back.extend_from_slice(&bytes),
                Said::Err(bytes) => {
                    return Err(Error::bug(format!("it complains: {}", String::from_utf8_lossy(&bytes))));
                }
            }
        }
        Ok(back)
    };
    let (written, back) = tokio::join!(write, tokio::time::timeout(Duration::from_secs(60), read));
    written?;
    let back = back.map_err(|_| Error::bug("a container that read all its input did not end"))??;
    ensure!(back == sent, "of {} bytes {} came back", sent.len(), back.len());
    let mut state = bench.inspect(&id).await?;
    for _ in 0..100 {
        if state["State"]["Running"] == false {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        state = bench.inspect(&id).await?;
    }
    ensure!(state["State"]["Running"] == false && state["State"]["ExitCode"] == 0, "it ended as {}", state["State"]);
    engine.container_remove(&id, true).await
}

/// Commands run in what runs, are heard to their end, and tell what they ended with.
async fn commands(bench: &Bench) -> Result<()> {
    let engine = &bench.engine;
    let id = bench.create("exec", json!({})).await?;
    let words = |words: &[&str]| -> Vec<String> { words.iter().map(|word| (*word).to_owned()).collect() };
    let echo = words(&["/bin/busybox", "echo", "hello", "there"]);
    refused(
        engine.exec_start(&id, Exec::new(&echo)).await.map(drop),
        Kind::Conflict,
        "container.state",
        "a command in what does not run",
    )?;
    engine.container_start(&id).await?;
    let top = engine.container_top(&id).await?;
    ensure!(top.iter().any(|line| !line.is_empty()), "what runs is not told: {top:?}");
    let repeat = words(&["/bin/busybox", "cat"]);
    for (command, input, code, says) in [
        (echo, None, 0, "hello there\n"),
        (words(&["/bin/busybox", "false"]), None, 1, ""),
        (repeat, Some("to and fro"), 0, "to and fro"),
    ] {
        let exec = Exec { command: &command, user: None, input: input.is_some() };
        let mut running = engine.exec_start(&id, exec).await?;
        if let (Some(mut pipe), Some(text)) = (running.input.take(), input) {
            let broken = |error| Error::io("write to a command", error);
            pipe.write_all(text.as_bytes()).await.map_err(broken)?;
            pipe.shutdown().await.map_err(broken)?;
        }
        let mut said = Vec::new();
        while let Some(Said::Out(bytes) | Said::Err(bytes)) = running.output.next().await.transpose()? {
            said.extend_from_slice(&bytes);
        }
        let mut ended = engine.exec_code(&running.id).await?;
        for _ in 0..100 {
            if ended.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            ended = engine.exec_code(&running.id).await?;
        }
        ensure!(said == says.as_bytes() && ended == Some(code), "{command:?} said {said:?} and ended with {ended:?}");
    }
    engine.container_remove(&id, true).await
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
