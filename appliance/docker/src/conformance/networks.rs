//! Networks: names, addresses, who is connected.

use super::{Bench, ensure, parse, refused};
use holdfast_model::{Kind, Result};
use serde_json::json;

pub(super) async fn run(bench: &Bench) -> Result<()> {
    let engine = &bench.engine;
    let name = bench.name("net");
    // A subnet that hosts hardly use (RFC 2544, benchmarking).
    let body = json!({ "Name": name, "Labels": { "x": "y" },
        "IPAM": { "Config": [{ "Subnet": "198.18.93.0/24", "Gateway": "198.18.93.1" }] } });
    let id = engine.network_create(&body).await?;
    refused(engine.network_create(&body).await, Kind::Conflict, "name.taken", "a network name that is taken")?;
    let mut overlapping = body.clone();
    overlapping["Name"] = bench.name("net2").into();
    refused(engine.network_create(&overlapping).await, Kind::Conflict, "address.taken", "a subnet that is taken")?;
    let described = parse(&engine.network_inspect(&id).await?)?;
    ensure!(described["Labels"]["x"] == "y" && described["Name"] == name.as_str(), "a network lost its settings");
    ensure!(parse(&engine.network_inspect(&name).await?)?["Id"] == id.as_str(), "a network is not found by name");
    ensure!(engine.network_list().await?.iter().any(|found| found["Id"] == id.as_str()), "a network is not listed");
    refused(engine.network_inspect("no-such-network").await, Kind::NotFound, "network.not_found", "a missing network")?;

    let first = bench.create("n1", json!({ "HostConfig": { "NetworkMode": name } })).await?;
    let second = bench.create("n2", json!({})).await?;
    engine.container_start(&first).await?;
    let fixed = json!({ "IPAMConfig": { "IPv4Address": "198.18.93.77" }, "Aliases": ["db"] });
    engine.network_connect(&id, &second, &fixed).await?;
    engine.container_start(&second).await?;
    let end = bench.inspect(&second).await?["NetworkSettings"]["Networks"][&name].clone();
    ensure!(end["IPAddress"] == "198.18.93.77", "the fixed address is not kept: {end}");
    refused(engine.network_remove(&id).await, Kind::Conflict, "network.in_use", "removing a network in use")?;
    engine.container_remove(&first, true).await?;
    engine.container_remove(&second, true).await?;
    engine.network_remove(&id).await?;
    engine.network_remove(&id).await
}
