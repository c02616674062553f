//! Loading, saving, tagging; layers that are left out; errors within a 200.

use super::{Bench, collect, ensure, flow, parse, refused};
use crate::{
    archive::{Entry, image, sha256, tar},
    fake::tree_of,
};
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Result};
use serde_json::{Value, json};

pub(super) async fn run(bench: &Bench) -> Result<()> {
    let engine = &bench.engine;
    bench.load_base().await?;
    let described = parse(&engine.image_inspect(&bench.image_name()).await?)?;
    let expected: Vec<String> = bench.layers().iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
    ensure!(described["RootFS"]["Layers"] == json!(expected), "the layers are not those that were loaded");
    let id = described["Id"].as_str().unwrap_or_default();
    ensure!(id.starts_with("sha256:"), "the image has no digest as id");
    ensure!(parse(&engine.image_inspect(id).await?)?["Id"] == id, "the image is not found by its id");
    let listed = engine.image_list().await?;
    ensure!(listed.iter().any(|image| image["Id"] == id), "the image is not listed");
    refused(engine.image_inspect("no-such/image:1").await, Kind::NotFound, "image.not_found", "a missing image")?;
    refused(engine.image_inspect("../x").await, Kind::NotFound, "image.not_found", "a name with a way up")?;

    save(bench, id, &expected).await?;
    loads(bench).await?;

    let other = format!("{}/other", bench.prefix);
    engine.image_tag(id, &other, "2").await?;
    ensure!(parse(&engine.image_inspect(&format!("{other}:2")).await?)?["Id"] == id, "the tag points elsewhere");
    engine.image_remove(&format!("{other}:2")).await?;
    engine.image_remove(&format!("{other}:2")).await?;
    ensure!(engine.image_inspect(id).await.is_ok(), "removing one of two tags removed the image");
    Ok(())
}

async fn save(bench: &Bench, id: &str, layers: &[String]) -> Result<()> {
    let bytes = collect(bench.engine.image_save(id).await?).await?;
    let members = tree_of(&bytes)?;
    let manifest = members.iter().find(|entry| entry.path == "manifest.json");
    let Some(crate::archive::What::File(manifest)) = manifest.map(|entry| &entry.what) else {
        return Err(Error::bug("a saved image has no manifest.json"));
    };
    let manifest: Value = parse(&String::from_utf8_lossy(manifest))?;
    let listed = manifest[0]["Layers"].as_array().map(Vec::len).unwrap_or_default();
    ensure!(listed == layers.len(), "a saved image has {listed} layers");
    let outcome = bench.engine.image_save("no-such/image:1").await;
    refused(outcome.map(drop), Kind::NotFound, "image.not_found", "saving a missing image")
}

async fn loads(bench: &Bench) -> Result<()> {
    let engine = &bench.engine;
    let known = bench.layers();
    let unknown = tar(&[Entry::file("unknown", bench.prefix.as_bytes())]);
    // An image on layers that the engine has may leave their bytes out.
    let tag = format!("{}/thin:1", bench.prefix);
    let whole = image(&tag, &json!({ "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/x"] } }), &known);
    let thin: Vec<Entry> = tree_of(&whole)?.into_iter().filter(|entry| !entry.path.ends_with("layer.tar")).collect();
    engine.image_load(flow(tar(&thin))).await?;
    ensure!(engine.image_inspect(&tag).await.is_ok(), "an image without bytes of known layers was not loaded");
    engine.image_remove(&tag).await?;
    // A layer that it has not must be there.
    let whole = image(&tag, &bench.config(), &[unknown]);
    let thin: Vec<Entry> = tree_of(&whole)?.into_iter().filter(|entry| !entry.path.ends_with("layer.tar")).collect();
    ensure!(engine.image_load(flow(tar(&thin))).await.is_err(), "an image with a missing layer was loaded");
    engine.image_remove(&tag).await?;
    let junk = tar(&[Entry::file("readme", "this is no image")]);
    ensure!(engine.image_load(flow(junk)).await.is_err(), "an archive that is no image was loaded");
    let broken = stream::iter([Err(Error::new(Kind::Corrupt, "pack.corrupt", "mine"))]).boxed();
    refused(engine.image_load(broken).await, Kind::Corrupt, "pack.corrupt", "an upload whose source fails")
}
