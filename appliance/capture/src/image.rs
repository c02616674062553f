//! Images: each once per id, every member of its archive by digest.
//!
//! Engines write the same image in several layouts (legacy folders, OCI blobs, links), so the archive is
//! never stored as one stream.
//!
//! # Invariants
//! - A layer is checked against the diff id that the engine promises; a compressed one, whose diff id is of what is in it, against its name.
//! - What is not as promised is told, and keeps nothing else of the app from being captured. It is read again with each capture, and told again, until
//!   it is whole: only a sound section ([`ImageSection::is_sound`]) is known.
//! - Of an archive that is not understood, whose names lead out of it or that ends early twice, nothing is kept but what the engine says of the image.
//!   A host that goes away ends no archive: its stream fails, and so does the capture.

mod archive;
mod members;

use crate::Sink;
use archive::{Archive, CUT};
use holdfast_docker::Engine;
use holdfast_model::{
    Error, Kind, Problem, Result,
    snapshot::{IMAGE_BLOBS, IMAGE_DAMAGED, ImagePart, ImageSection, RawJson},
};
use members::{Members, SplitLayers};
use serde_json::Value;
use std::collections::BTreeMap;

/// A captured image and whether it was known before.
pub(crate) struct Taken {
    pub(crate) section: ImageSection,
    pub(crate) known: bool,
}

/// Captures one image by id. `None`, with a problem, if the host has it no more.
pub(crate) async fn take(
    engine: &dyn Engine,
    sink: &dyn Sink,
    id: &str,
    problems: &mut Vec<Problem>,
) -> Result<Option<Taken>> {
    let known = sink.known_image(id).await.filter(ImageSection::is_sound);
    let text = match (engine.image_inspect(id).await, &known) {
        (Ok(text), _) => text,
        (Err(error), Some(known)) if error.kind() == Kind::NotFound => known.inspect.0.clone(),
        (Err(error), None) if error.kind() == Kind::NotFound => {
            problems.push(missing(id));
            return Ok(None);
        }
        (Err(error), _) => return Err(error.while_doing(format!("look at image {id}"))),
    };
    let inspect = RawJson(text);
    let value = inspect.parse()?;
    let tags = strings(&value["RepoTags"]);
    if let Some(known) = known {
        // The bytes are the same for ever; tags move.
        return Ok(Some(Taken { section: ImageSection { tags, inspect, ..known }, known: true }));
    }
    let shown = tags.first().map_or(id, String::as_str).to_owned();
    let diff_ids = strings(&value["RootFS"]["Layers"]);
    let mut section = ImageSection { id: id.to_owned(), tags, inspect, diff_ids, parts: Vec::new(), bytes: 0 };
    let proved = match members_of(engine, sink, id, &shown).await {
        Ok(members) => {
            section.bytes = members.parts.iter().map(|part| part.stream.length).sum();
            section.parts = members.parts;
            assign_diff_ids(&mut section, &members.manifest, &members.packed)
        }
        Err(error) if matches!(error.code(), "image.malformed" | "tar.malformed" | CUT) => Err(error.chain()),
        Err(error) => return Err(error),
    };
    if let Err(why) = proved {
        problems.push(damaged(&shown, &why));
    }
    Ok(Some(Taken { section, known: false }))
}

/// All members of the image's archive, stored. One that ends early is read once more: the engine may have been disturbed.
async fn members_of(engine: &dyn Engine, sink: &dyn Sink, id: &str, shown: &str) -> Result<Members> {
    match read_somehow(engine, sink, id, shown).await {
        Err(error) if error.code() == CUT => read_somehow(engine, sink, id, shown).await,
        outcome => outcome,
    }
}

async fn read_somehow(engine: &dyn Engine, sink: &dyn Sink, id: &str, shown: &str) -> Result<Members> {
    match read(engine, sink, id, shown, SplitLayers::Yes).await {
        // A layer without the closing blocks of a tar is odd and lawful: store it as plain bytes.
        Err(error) if matches!(error.code(), "stream.short" | "stream.too_large") => {
            read(engine, sink, id, shown, SplitLayers::No).await
        }
        outcome => outcome,
    }
}

/// Saved by id, not by tag: loading it must never move a tag on the target.
async fn read(engine: &dyn Engine, sink: &dyn Sink, id: &str, shown: &str, split: SplitLayers) -> Result<Members> {
    let doing = |error: Error| error.while_doing(format!("read image {shown}"));
    let archive = Archive::new(engine.image_save(id).await.map_err(doing)?);
    members::store_all(archive, sink, shown, split).await.map_err(doing)
}

fn missing(id: &str) -> Problem {
    Problem::error(
        "image.gone",
        id,
        "the image was removed from the host although a container of it is left; the snapshot cannot bring that container back without it",
    )
    .advice("Pull or build the image again and recreate the container, then back the app up again.")
}

fn damaged(shown: &str, why: &str) -> Problem {
    let text = format!("the engine's copy of the image is not what it promises: {why}");
    Problem::error(IMAGE_DAMAGED, shown, text)
        .advice("Pull or build the image again on the host, then back the app up again.")
}

/// Tells which part is which layer, and proves it: an uncompressed layer's SHA-256 is its diff id.
fn assign_diff_ids(
    section: &mut ImageSection,
    manifest: &Value,
    packed: &BTreeMap<String, bool>,
) -> std::result::Result<(), String> {
    if let Some(why) = section.contradiction() {
        return Err(why);
    }
    let image = description_of(manifest, section).ok_or("its list of layers does not fit its description")?;
    let config = image["Config"].as_str().unwrap_or_default();
    if resolve(&section.parts, config).is_none() {
        return Err(format!("its configuration {config:?} is not in the archive"));
    }
    for (path, diff_id) in strings(&image["Layers"]).iter().zip(section.diff_ids.clone()) {
        let place = resolve(&section.parts, path).ok_or_else(|| format!("layer {path:?} is not in the archive"))?;
        let part = &mut section.parts[place];
        // Only what is named by its digest may have another one inside.
        let compressed = part.path.starts_with(IMAGE_BLOBS) && packed.get(&part.path).copied().unwrap_or(false);
        if !compressed && diff_id != format!("sha256:{}", part.sha256) {
            return Err(format!("layer {path:?} has another digest than {diff_id}"));
        }
        part.diff_id = Some(diff_id);
    }
    // One member cannot be two layers.
    if section.is_sound() { Ok(()) } else { Err("not each of its layers is in the archive".to_owned()) }
}

/// What the archive says of our image: it may describe several platforms.
fn description_of<'a>(manifest: &'a Value, section: &ImageSection) -> Option<&'a Value> {
    let images = manifest.as_array()?;
    let hex = section.id.trim_start_matches("sha256:");
    let ours = images.iter().find(|image| image["Config"].as_str().is_some_and(|config| config.contains(hex)));
    let fits = |image: &&Value| strings(&image["Layers"]).len() == section.diff_ids.len();
    ours.filter(fits).or_else(|| images.iter().find(fits))
}

/// Place of the part that holds a path's bytes; links lead on, a few times at most.
fn resolve(parts: &[ImagePart], path: &str) -> Option<usize> {
    let mut path = path.to_owned();
    for _ in 0..8 {
        let place = parts.iter().position(|part| part.path == path)?;
        match &parts[place].link {
            None => return Some(place),
            Some(target) => path = members::follow(&path, target),
        }
    }
    None
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}
