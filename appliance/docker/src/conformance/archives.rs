//! Archives through never-started containers: volumes keep owners and modes, layers tell their changes.

use super::{Bench, collect, ensure, flow, parse, refused};
use crate::{
    archive::{Entry, What, tar},
    fake::tree_of,
};
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Result};
use serde_json::json;

pub(super) async fn run(bench: &Bench) -> Result<()> {
    volumes(bench).await?;
    clearing(bench).await?;
    layer(bench).await
}

async fn volumes(bench: &Bench) -> Result<()> {
    let engine = &bench.engine;
    let volume = bench.name("data");
    let body = json!({ "Name": volume, "Labels": { "x": "y" } });
    ensure!(engine.volume_create(&body).await? == volume, "a volume got another name");
    ensure!(engine.volume_create(&body).await? == volume, "a volume that exists was not returned");
    ensure!(parse(&engine.volume_inspect(&volume).await?)?["Labels"]["x"] == "y", "a volume lost its label");
    ensure!(engine.volume_list().await?.iter().any(|found| found["Name"] == volume.as_str()), "a volume is not listed");
    refused(engine.volume_inspect("no-such-volume").await, Kind::NotFound, "volume.not_found", "a missing volume")?;

    let mount = |source: &str, kind: &str, read_only: bool| {
        json!({ "HostConfig": { "NetworkMode": "none",
            "Mounts": [{ "Type": kind, "Source": source, "Target": "/v", "ReadOnly": read_only }] } })
    };
    let sent = vec![
        Entry::directory("v").owner(999, 998).mode(0o700),
        Entry::file("v/a", "first").owner(70, 3_000_000).mode(0o640),
        Entry::directory("v/dir").mode(0o1777),
        Entry::symlink("v/dir/link", "../a"),
        Entry::file(format!("v/dir/{}", "long".repeat(40)), vec![7; 100_000]),
    ];
    let writer = bench.create("w", mount(&volume, "volume", false)).await?;
    engine.archive_put(&writer, "/", flow(tar(&sent))).await?;
    refused(engine.volume_remove(&volume).await, Kind::Conflict, "volume.in_use", "removing a volume in use")?;
    engine.container_remove(&writer, false).await?;

    let reader = bench.create("r", mount(&volume, "volume", true)).await?;
    let bytes = collect(engine.archive_get(&reader, "/v").await?).await?;
    let found = tree_of(&bytes)?;
    for entry in &sent {
        let same = found.iter().find(|found| found.path == entry.path);
        let Some(same) = same else { return Err(Error::bug(format!("{} did not come back", entry.path))) };
        let link = matches!(entry.what, What::Symlink(_));
        let attributes = (same.uid, same.gid, same.mode) == (entry.uid, entry.gid, entry.mode);
        ensure!(same.what == entry.what && (link || attributes), "{} came back as {same:?}", entry.path);
    }
    ensure!(found.first().is_some_and(|first| first.path == "v"), "the volume's root is not the first entry");
    let outcome = engine.archive_get(&reader, "/nowhere").await;
    refused(outcome.map(drop), Kind::NotFound, "path.not_found", "a path that is not there")?;
    engine.container_remove(&reader, false).await?;
    let missing = bench.create("m", mount("/no/such/holdfast/path", "bind", true)).await;
    refused(missing, Kind::Invalid, "host.refused", "binding a host path that is not there")?;
    engine.volume_remove(&volume).await?;
    engine.volume_remove(&volume).await
}

/// A file sent to where a volume is mounted empties the volume and is refused: restores in place rely on it.
async fn clearing(bench: &Bench) -> Result<()> {
    let engine = &bench.engine;
    let volume = bench.name("cleared");
    engine.volume_create(&json!({ "Name": volume })).await?;
    let mount = json!({ "HostConfig": { "NetworkMode": "none", "Binds": [format!("{volume}:/v")] } });
    let helper = bench.create("c", mount).await?;
    let sent = [Entry::directory("v").owner(999, 999).mode(0o700), Entry::file("v/a", "x"), Entry::file("v/b/c", "y")];
    engine.archive_put(&helper, "/", flow(tar(&sent))).await?;
    let outcome = engine.archive_put(&helper, "/", flow(tar(&[Entry::file("v", "")]))).await;
    refused(outcome, Kind::Unavailable, "host.failed", "a file in the place of a mount")?;
    let left = tree_of(&collect(engine.archive_get(&helper, "/v").await?).await?)?;
    ensure!(left.len() == 1 && left[0].what == What::Directory, "a cleared volume still holds {left:?}");
    engine.container_remove(&helper, false).await?;
    engine.volume_remove(&volume).await
}

async fn layer(bench: &Bench) -> Result<()> {
    let engine = &bench.engine;
    let id = bench.create("l", json!({})).await?;
    let changed = [Entry::file("etc/app.conf", "changed here"), Entry::file("new/file", "n")];
    engine
        .archive_put(&id, "/", flow(tar(&[&changed[..1], &[Entry::directory("new")], &changed[1..]].concat())))
        .await?;
    let changes = engine.container_changes(&id).await?;
    for expected in [("/etc/app.conf", 0), ("/new", 1), ("/new/file", 1)] {
        let there = changes.iter().any(|change| (change.path.as_str(), change.kind) == expected);
        ensure!(there, "the changes lack {expected:?}: {changes:?}");
    }
    let bytes = collect(engine.archive_get(&id, "/etc/app.conf").await?).await?;
    let found = tree_of(&bytes)?;
    ensure!(
        found.len() == 1 && found[0].path == "app.conf" && found[0].what == What::File(b"changed here".to_vec()),
        "a single file came back as {found:?}"
    );
    let broken = stream::iter([Err(Error::new(Kind::Corrupt, "pack.corrupt", "mine"))]).boxed();
    refused(engine.archive_put(&id, "/", broken).await, Kind::Corrupt, "pack.corrupt", "an upload whose source fails")?;
    let cut = tar(&[Entry::file("cut", vec![1; 4096])]);
    let outcome = engine.archive_put(&id, "/", flow(cut[..1500].to_vec())).await;
    ensure!(outcome.is_err(), "half an archive was taken");
    engine.container_remove(&id, true).await
}
