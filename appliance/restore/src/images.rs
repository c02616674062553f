//! Images: which are there, which layers can be left out, and how one comes back whole.
//!
//! An image is known again by its layers' digests and its configuration; its id may differ between
//! image stores. Archives are sent without names, so that a load never moves a tag. One that contradicts itself (its parts have other digests than
//! their names, lead out of it or hide its lists of contents) is refused when it is planned and again before its first byte is sent.

use crate::{
    Source,
    archive::{self, Content, Part},
    deed::{ImageDeed, Way},
    json::{list, members, object, size, text, texts},
    plan::Draft,
    streams::Cause,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use holdfast_docker::Engine;
use holdfast_model::{
    Error, Kind, Problem, Result,
    snapshot::{IMAGE_LIST_LIMIT, ImagePart, ImageSection, Snapshot, StreamRef},
};
use holdfast_runtime::Stop;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::{collections::HashSet, sync::Arc};

/// Images of the host that are looked at for layers; with more, only the first ones help.
const LOOK_LIMIT: usize = 1000;

/// Plans one image per section.
pub(crate) async fn plan(draft: &mut Draft, engine: &dyn Engine, snapshot: &Snapshot) -> Result<()> {
    let mut layers: Option<Layers> = None;
    for (section, image) in snapshot.images.iter().enumerate() {
        let name = name_of(image);
        let present = find(engine, image).await?;
        let tags = plan_tags(draft, engine, image, present.as_deref()).await?;
        if present.is_some() {
            draft.steps.push(format!("Use image {name}, which is there"));
        } else {
            let known = match &mut layers {
                Some(known) => known,
                none => none.insert(Layers::of(engine).await?),
            };
            plan_load(draft, image, known);
            known.add(&image.diff_ids);
        }
        draft.deed.images.push(ImageDeed { section, present, tags });
    }
    Ok(())
}

fn plan_load(draft: &mut Draft, image: &ImageSection, known: &Layers) {
    let name = name_of(image);
    if image.parts.is_empty() {
        let message = format!("image {name} is not on the host, and the snapshot holds only its description");
        let problem = Problem::error("image.not_captured", &name, message);
        draft.conflicts.push(problem.advice(format!("Bring image {name} to the host, then plan again.")));
        return;
    }
    if let Some(why) = image.contradiction() {
        let problem = Problem::error("image.mismatch", &name, not_the_image(&name, &why));
        draft.conflicts.push(problem.advice(format!("Bring image {name} to the host, or restore another snapshot.")));
        return;
    }
    let skipped = known.skippable(&image.diff_ids);
    let sent: Vec<&ImagePart> = image.parts.iter().filter(|part| !is_skipped(part, &skipped)).collect();
    let bytes: u64 = sent.iter().map(|part| part.stream.length).sum();
    draft.bytes += bytes;
    draft.streams.extend(sent.iter().filter(|part| part.link.is_none()).map(|part| part.stream.clone()));
    let there = image.diff_ids.iter().filter(|id| skipped.contains(*id)).count();
    let words = match there {
        0 => format!("Load image {name} ({})", size(bytes)),
        _ => {
            format!("Load image {name} ({}, {there} of {} layers are there already)", size(bytes), image.diff_ids.len())
        }
    };
    draft.steps.push(words);
}

/// Tags to set. Only in place may a tag that points elsewhere move.
async fn plan_tags(
    draft: &mut Draft,
    engine: &dyn Engine,
    image: &ImageSection,
    present: Option<&str>,
) -> Result<Vec<String>> {
    let mut tags = Vec::new();
    for tag in &image.tags {
        match inspect(engine, tag).await? {
            None => tags.push(tag.clone()),
            Some(other) if Some(text(&other, "/Id")) == present => {}
            Some(_) if draft.deed.way == Way::InPlace => {
                let message = format!("tag {tag} points to another image now; it will point to the snapshot's again");
                draft.notes.push(Problem::note("tag.moved", tag, message));
                draft.destructive = true;
                tags.push(tag.clone());
            }
            Some(_) => {
                let message =
                    format!("tag {tag} points to another image here and stays; the restored app uses the snapshot's");
                draft.notes.push(Problem::note("tag.kept", tag, message));
            }
        }
    }
    Ok(tags)
}

/// Finds an image on the host: by id, by its tags, else by its layers. Returns its id there.
pub(crate) async fn find(engine: &dyn Engine, image: &ImageSection) -> Result<Option<String>> {
    let recorded = image.inspect.parse()?;
    let names = std::iter::once(&image.id).chain(&image.tags);
    for name in names {
        if let Some(found) = inspect(engine, name).await?
            && is_same(&recorded, &found, image)
        {
            return Ok(Some(text(&found, "/Id").to_owned()));
        }
    }
    for item in engine.image_list().await?.iter().take(LOOK_LIMIT) {
        if let Some(found) = inspect(engine, text(item, "/Id")).await?
            && is_same(&recorded, &found, image)
        {
            return Ok(Some(text(&found, "/Id").to_owned()));
        }
    }
    Ok(None)
}

/// Loads an image that is not there; returns its id on this engine.
pub(crate) async fn load(
    engine: &dyn Engine,
    image: &ImageSection,
    layers: &mut Layers,
    source: &Arc<dyn Source>,
    stop: &Stop,
) -> Result<String> {
    let name = name_of(image);
    if let Some(why) = image.contradiction() {
        return Err(Error::new(Kind::Corrupt, "image.mismatch", not_the_image(&name, &why)));
    }
    let skipped = layers.skippable(&image.diff_ids);
    if !skipped.is_empty() {
        match send(engine, image, &skipped, source, stop).await {
            Ok(id) => return Ok(layers.remember(image, id)),
            Err(error) if error.kind() == Kind::Stopped => return Err(error),
            Err(error) => {
                let why = error.chain();
                source.log(&format!(
                    "Image {name} was refused without the layers that are there; sending all of it ({why})."
                ));
                // Some engines keep a name for what they refused.
                engine.image_remove(&image.id).await?;
            }
        }
    }
    let id = send(engine, image, &HashSet::new(), source, stop).await?;
    Ok(layers.remember(image, id))
}

fn not_the_image(name: &str, why: &str) -> String {
    format!("what the snapshot holds of image {name} is not that image: {why}")
}

async fn send(
    engine: &dyn Engine,
    image: &ImageSection,
    skipped: &HashSet<String>,
    source: &Arc<dyn Source>,
    stop: &Stop,
) -> Result<String> {
    let parts = parts(image, skipped, source).await?;
    let cause = Cause::default();
    let archive = archive::tar(parts, source, stop, &cause);
    cause.explain(engine.image_load(archive).await)?;
    match find(engine, image).await? {
        Some(id) => Ok(id),
        None => {
            let text = format!("the host took image {}, but has no image with its layers now", name_of(image));
            Err(Error::new(Kind::Corrupt, "image.mismatch", text))
        }
    }
}

/// The archive's members without what is there already and without names.
async fn parts(image: &ImageSection, skipped: &HashSet<String>, source: &Arc<dyn Source>) -> Result<Vec<Part>> {
    let mut made = Vec::new();
    for part in image.parts.iter().filter(|part| !is_skipped(part, skipped)) {
        let content = match (part.path.as_str(), &part.link) {
            // Old engines read names from it when they find no manifest.
            ("repositories", _) => continue,
            (_, Some(target)) => Content::Link(target.clone()),
            ("manifest.json", _) => Content::Bytes(nameless(&read(source, &part.stream).await?, nameless_manifest)?),
            ("index.json", _) => Content::Bytes(nameless(&read(source, &part.stream).await?, nameless_index)?),
            _ => Content::Stored(part.stream.clone()),
        };
        made.push(Part { path: part.path.clone(), content });
    }
    Ok(made)
}

fn is_skipped(part: &ImagePart, skipped: &HashSet<String>) -> bool {
    part.diff_id.as_ref().is_some_and(|id| skipped.contains(id))
}

fn nameless(json: &[u8], change: fn(&mut Value)) -> Result<Bytes> {
    let mut value: Value = serde_json::from_slice(json).map_err(|error| {
        Error::new(Kind::Corrupt, "image.malformed", "a stored image's list of contents is not JSON").caused_by(error)
    })?;
    change(&mut value);
    Ok(value.to_string().into())
}

fn nameless_manifest(value: &mut Value) {
    for image in value.as_array_mut().into_iter().flatten() {
        let image = object(image);
        spelled(image, "RepoTags").for_each(|tags| *tags = Value::Null);
        image.insert("RepoTags".into(), Value::Null);
    }
}

/// A list may hold further ones, and any of them its own annotations.
fn nameless_index(value: &mut Value) {
    let Some(index) = value.as_object_mut() else { return };
    for annotations in spelled(index, "annotations").filter_map(Value::as_object_mut) {
        annotations.retain(|key, _| key != "io.containerd.image.name" && key != "org.opencontainers.image.ref.name");
    }
    spelled(index, "manifests").filter_map(Value::as_array_mut).flatten().for_each(nameless_index);
}

/// All that engines find under a key.
fn spelled<'a>(fields: &'a mut Map<String, Value>, name: &'a str) -> impl Iterator<Item = &'a mut Value> {
    fields.iter_mut().filter(move |(key, _)| is_spelled(key, name)).map(|(_, value)| value)
}

/// Whether engines take a key for this one. They are written in Go, which reads keys of what it knows in whatever case they come, and has one
/// more letter each for s and k.
fn is_spelled(key: &str, name: &str) -> bool {
    let plain = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(plain).eq(name.chars().map(plain))
}

/// A list of contents, into memory: as long as is said of it, and with its digest.
async fn read(source: &Arc<dyn Source>, stored: &StreamRef) -> Result<Bytes> {
    if stored.length > IMAGE_LIST_LIMIT {
        let text = format!("a stored image's list of contents is {} long", size(stored.length));
        return Err(Error::new(Kind::Corrupt, "image.malformed", text));
    }
    let mut stream = source.open(stored).await?;
    let mut all = BytesMut::new();
    while let Some(bytes) = stream.next().await {
        all.extend_from_slice(&bytes?);
        if all.len() as u64 > stored.length {
            break;
        }
    }
    if all.len() as u64 != stored.length || hex::encode(Sha256::digest(&all)) != stored.sha256 {
        let text = "a stored image's list of contents is not the one that was captured";
        return Err(Error::new(Kind::Corrupt, "image.mismatch", text));
    }
    Ok(all.freeze())
}

/// Points a tag at an image; returns the id that it pointed to before.
pub(crate) async fn tag(engine: &dyn Engine, id: &str, tag: &str) -> Result<Option<String>> {
    let before = inspect(engine, tag).await?.map(|image| text(&image, "/Id").to_owned());
    set_tag(engine, id, tag).await?;
    Ok(before)
}

/// Points a tag at an image.
pub(crate) async fn set_tag(engine: &dyn Engine, id: &str, tag: &str) -> Result<()> {
    // A colon before the last slash belongs to a registry's port.
    let (repo, version) = match tag.rsplit_once(':') {
        Some((repo, version)) if !version.contains('/') => (repo, version),
        _ => (tag, "latest"),
    };
    engine.image_tag(id, repo, version).await
}

/// An image's description, or `None` if it is not there.
pub(crate) async fn inspect(engine: &dyn Engine, name: &str) -> Result<Option<Value>> {
    match engine.image_inspect(name).await {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        // A reference that the engine finds malformed names nothing either.
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What people call the image.
pub(crate) fn name_of(image: &ImageSection) -> String {
    let short = image.id.strip_prefix("sha256:").unwrap_or(&image.id).chars().take(12).collect();
    image.tags.first().cloned().unwrap_or(short)
}

/// Whether it is the recorded image: its layers, and what its containers start from.
fn is_same(recorded: &Value, found: &Value, image: &ImageSection) -> bool {
    if texts(found, "/RootFS/Layers") != image.diff_ids {
        return false;
    }
    if text(found, "/Id") == image.id {
        return true;
    }
    // An image that does not say when it was made: the older store tells the year 1, the newer one nothing.
    let told = |image, key| {
        Some(text(image, key)).filter(|text| *text != "0001-01-01T00:00:00Z").unwrap_or_default().to_owned()
    };
    let same_text = |key| told(recorded, key) == told(found, key);
    let same_list = |key| list(recorded, key) == list(found, key);
    let same_map = |key| members(recorded, key).eq(members(found, key));
    ["/Created", "/Architecture", "/Os", "/Config/User", "/Config/WorkingDir"].iter().all(|key| same_text(key))
        && ["/Config/Env", "/Config/Cmd", "/Config/Entrypoint"].iter().all(|key| same_list(key))
        && ["/Config/Labels", "/Config/Volumes"].iter().all(|key| same_map(key))
}

/// The layers a host has, as chains: a layer counts only on top of the very layers below it.
#[derive(Debug, Default)]
pub(crate) struct Layers(HashSet<String>);

impl Layers {
    /// Asks the engine.
    pub(crate) async fn of(engine: &dyn Engine) -> Result<Layers> {
        let mut layers = Layers::default();
        for item in engine.image_list().await?.iter().take(LOOK_LIMIT) {
            if let Some(image) = inspect(engine, text(item, "/Id")).await? {
                layers.add(&texts(&image, "/RootFS/Layers"));
            }
        }
        Ok(layers)
    }

    fn add(&mut self, diff_ids: &[String]) {
        self.0.extend(chain_ids(diff_ids));
    }

    fn remember(&mut self, image: &ImageSection, id: String) -> String {
        self.add(&image.diff_ids);
        id
    }

    /// Layers of an image that need not be sent: there at every place where the image has them.
    fn skippable(&self, diff_ids: &[String]) -> HashSet<String> {
        let chains = chain_ids(diff_ids);
        let (mut there, mut missing) = (HashSet::new(), HashSet::new());
        for (diff_id, chain) in diff_ids.iter().zip(&chains) {
            if self.0.contains(chain) { &mut there } else { &mut missing }.insert(diff_id.clone());
        }
        there.retain(|diff_id| !missing.contains(diff_id));
        there
    }
}

/// Chain ids as the image specification defines them.
fn chain_ids(diff_ids: &[String]) -> Vec<String> {
    let mut chains: Vec<String> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let chain = match chains.last() {
            None => diff_id.clone(),
            Some(below) => format!("sha256:{}", hex::encode(Sha256::digest(format!("{below} {diff_id}")))),
        };
        chains.push(chain);
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_counts_only_on_its_own_base() {
        let ids = |names: &[&str]| names.iter().map(|name| format!("sha256:{name}")).collect::<Vec<_>>();
        let mut layers = Layers::default();
        layers.add(&ids(&["a", "b"]));
        assert_eq!(layers.skippable(&ids(&["a", "b", "c"])), ids(&["a", "b"]).into_iter().collect());
        assert!(layers.skippable(&ids(&["b"])).is_empty());
        // Twice in the image, known only once: it has to be sent.
        assert_eq!(layers.skippable(&ids(&["a", "c", "a"])), HashSet::new());
    }

    #[test]
    fn an_image_without_a_date_is_the_same_in_both_stores() {
        let image = ImageSection {
            id: "sha256:a".into(),
            tags: Vec::new(),
            inspect: holdfast_model::snapshot::RawJson(String::new()),
            diff_ids: vec!["sha256:d".into()],
            parts: Vec::new(),
            bytes: 0,
        };
        let told = |created: Option<&str>| {
            let mut all = serde_json::json!({"Id": "sha256:b", "RootFS": {"Layers": ["sha256:d"]}});
            all["Created"] = created.into();
            all
        };
        let (old, new, dated) = (told(Some("0001-01-01T00:00:00Z")), told(None), told(Some("2026-01-01T00:00:00Z")));
        assert!(is_same(&old, &new, &image) && is_same(&new, &old, &image));
        assert!(!is_same(&old, &dated, &image));
    }

    #[test]
    fn names_are_taken_off() {
        let manifest = nameless(br#"[{"Config":"c","RepoTags":["a:1"],"Layers":[]}]"#, nameless_manifest).unwrap();
        assert_eq!(manifest, r#"[{"Config":"c","RepoTags":null,"Layers":[]}]"#);
        let spelled = br#"[{"RepoTags":["a:1"],"repotags":["nginx:1"],"REPOTAGS":["x"],"RepoTags":["b:1"]},"odd"]"#;
        let manifest = nameless(spelled, nameless_manifest).unwrap();
        assert_eq!(manifest, r#"[{"RepoTags":null,"repotags":null,"REPOTAGS":null},{"RepoTags":null}]"#);
        let index = br#"{"manifests":[{"digest":"d","annotations":{"io.containerd.image.name":"x","keep":"y"}}]}"#;
        let index = nameless(index, nameless_index).unwrap();
        assert_eq!(index, r#"{"manifests":[{"digest":"d","annotations":{"keep":"y"}}]}"#);
        // What no builder writes, and every engine reads.
        let spelled = "[{\"RepoTag\u{17f}\":[\"nginx:1\"],\"Tags\":[\"kept\"]}]";
        let manifest = nameless(spelled.as_bytes(), nameless_manifest).unwrap();
        assert_eq!(manifest, "[{\"RepoTag\u{17f}\":null,\"Tags\":[\"kept\"],\"RepoTags\":null}]");
        let named = |key: &str| format!(r#"{{"{key}":{{"io.containerd.image.name":"nginx:latest","keep":"y"}}}}"#);
        for annotations in ["annotations", "Annotations", "ANNOTATIONS", "annotation\u{17f}"] {
            let bare = format!(r#"{{"{annotations}":{{"keep":"y"}}}}"#);
            let taken = nameless(named(annotations).as_bytes(), nameless_index).unwrap();
            assert_eq!(taken, bare.as_str());
            for manifests in ["manifests", "Manifests", "MANIFESTS", "manife\u{17f}t\u{17f}"] {
                let within = |inner: &str| format!(r#"{{"{manifests}":[{{"{manifests}":[{inner}]}},{inner},1]}}"#);
                let taken = nameless(within(&named(annotations)).as_bytes(), nameless_index).unwrap();
                assert_eq!(taken, within(&bare).as_str(), "{manifests} {annotations}");
            }
        }
        assert!(nameless(b"no", nameless_index).is_err());
        assert!(nameless("[".repeat(100_000).as_bytes(), nameless_manifest).is_err());
    }
}
