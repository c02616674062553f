//! Images of the fake engine: parsed on load, put together on save, layers shared by diff id.

use super::tree::{self, Tree, clean};
use crate::archive::{Entry, What, sha256, tar};
use holdfast_model::{Error, Kind, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// All images of an engine.
#[derive(Default)]
pub(crate) struct Images {
    by_id: BTreeMap<String, Image>,
    /// Layers by diff id; a load may leave out those that are here.
    layers: BTreeMap<String, Vec<u8>>,
    /// Archives that are given in the place of images, by id.
    lies: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone)]
struct Image {
    config: Vec<u8>,
    diff_ids: Vec<String>,
    tags: Vec<String>,
}

impl Images {
    /// `docker load`: nothing is kept of an archive that is refused.
    pub(crate) fn load(&mut self, archive: &[u8]) -> Result<()> {
        let members = members(archive)?;
        let manifest =
            find(&members, "manifest.json").ok_or_else(|| refused("manifest.json: no such file or directory"))?;
        let manifest: Value = serde_json::from_slice(manifest).map_err(|_| refused("invalid manifest"))?;
        let (mut images, mut layers) = (Vec::new(), BTreeMap::new());
        for image in manifest.as_array().into_iter().flatten() {
            let path = image["Config"].as_str().unwrap_or_default();
            let config =
                find(&members, path).ok_or_else(|| refused("image config: no such file or directory"))?.to_vec();
            let parsed: Value = serde_json::from_slice(&config).map_err(|_| refused("invalid image config"))?;
            let diff_ids = strings(&parsed["rootfs"]["diff_ids"]);
            let paths = strings(&image["Layers"]);
            if paths.len() != diff_ids.len() {
                return Err(refused("invalid manifest, layers length mismatch"));
            }
            for (path, diff_id) in paths.iter().zip(&diff_ids) {
                match find(&members, path) {
                    Some(bytes) if format!("sha256:{}", sha256(bytes)) == *diff_id => {
                        layers.insert(diff_id.clone(), bytes.to_vec());
                    }
                    Some(_) => return Err(refused("invalid diffID for layer")),
                    None if self.layers.contains_key(diff_id) => {}
                    None => return Err(refused(&format!("open {path}: no such file or directory"))),
                }
            }
            images.push((format!("sha256:{}", sha256(&config)), config, diff_ids, strings(&image["RepoTags"])));
        }
        self.layers.extend(layers);
        for (id, config, diff_ids, tags) in images {
            self.by_id.entry(id.clone()).or_insert(Image { config, diff_ids, tags: Vec::new() });
            for tag in tags {
                self.point(&tag, &id);
            }
        }
        Ok(())
    }

    /// `docker save`. By id the archive names no tags.
    pub(crate) fn save(&self, name: &str) -> Result<Vec<u8>> {
        let id = self.id(name)?;
        if let Some(lie) = self.lies.get(&id) {
            return Ok(lie.clone());
        }
        let image = &self.by_id[&id];
        let config = format!("{}.json", id.trim_start_matches("sha256:"));
        let path = |diff_id: &String| format!("{}/layer.tar", diff_id.trim_start_matches("sha256:"));
        let layers: Vec<String> = image.diff_ids.iter().map(path).collect();
        let tags: Vec<String> = image.tags.iter().filter(|tag| **tag == with_tag(name)).cloned().collect();
        let mut entries = Vec::new();
        for (path, diff_id) in layers.iter().zip(&image.diff_ids) {
            if entries.iter().any(|entry: &Entry| entry.path == *path) {
                continue;
            }
            entries.push(Entry::directory(path.trim_end_matches("/layer.tar")));
            entries.push(Entry::file(path.clone(), self.layers[diff_id].clone()));
        }
        entries.push(Entry::file(config.clone(), image.config.clone()));
        let tags = if tags.is_empty() { Value::Null } else { json!(tags) };
        let manifest = json!([{ "Config": config, "RepoTags": tags, "Layers": layers }]);
        entries.push(Entry::file("manifest.json", manifest.to_string()));
        Ok(tar(&entries))
    }

    /// What a save gives from now on; `None` for the image itself.
    pub(crate) fn say(&mut self, name: &str, archive: Option<Vec<u8>>) {
        let Ok(id) = self.id(name) else { return };
        self.lies.remove(&id);
        self.lies.extend(archive.map(|archive| (id, archive)));
    }

    pub(crate) fn inspect(&self, name: &str) -> Result<Value> {
        let id = self.id(name)?;
        let image = &self.by_id[&id];
        let config = self.config(&id);
        let size: usize = image.diff_ids.iter().map(|diff_id| self.layers[diff_id].len()).sum();
        Ok(json!({
            "Id": id, "RepoTags": image.tags, "RepoDigests": [], "Created": config["created"],
            "Config": config["config"], "Architecture": config["architecture"], "Os": config["os"], "Size": size,
            "RootFS": { "Type": "layers", "Layers": image.diff_ids },
        }))
    }

    pub(crate) fn list(&self) -> Vec<Value> {
        self.by_id.iter().map(|(id, image)| json!({ "Id": id, "RepoTags": image.tags })).collect()
    }

    pub(crate) fn tag(&mut self, name: &str, tag: &str) -> Result<()> {
        let id = self.id(name)?;
        self.point(tag, &id);
        Ok(())
    }

    /// Removes a tag, and the image with its last one. `used` images stay.
    pub(crate) fn remove(&mut self, name: &str, used: &dyn Fn(&str) -> bool) -> Result<()> {
        let Ok(id) = self.id(name) else { return Ok(()) };
        let by_id = name.starts_with("sha256:") || id.contains(name);
        let tags = &self.by_id[&id].tags;
        let last = tags.len() <= 1;
        if by_id && !last {
            return Err(conflict("image is referenced in multiple repositories"));
        }
        if last && used(&id) {
            return Err(conflict("image is being used by a container"));
        }
        if last {
            self.by_id.remove(&id);
            let by_id = &self.by_id;
            self.layers.retain(|diff_id, _| by_id.values().any(|image| image.diff_ids.contains(diff_id)));
        } else if let Some(image) = self.by_id.get_mut(&id) {
            image.tags.retain(|tag| *tag != with_tag(name));
        }
        Ok(())
    }

    /// Resolves an id, a beginning of one, or a tag.
    pub(crate) fn id(&self, name: &str) -> Result<String> {
        let tagged = || self.by_id.iter().find(|(_, image)| image.tags.contains(&with_tag(name))).map(|(id, _)| id);
        let hex = name.trim_start_matches("sha256:");
        let named = || self.by_id.keys().find(|id| hex.len() >= 12 && id["sha256:".len()..].starts_with(hex));
        tagged().or_else(named).cloned().ok_or_else(|| {
            Error::not_found(
                "image.not_found",
                format!("host fake refused image {name}: No such image: {name} (status 404)"),
            )
        })
    }

    pub(crate) fn config(&self, id: &str) -> Value {
        self.by_id.get(id).and_then(|image| serde_json::from_slice(&image.config).ok()).unwrap_or(Value::Null)
    }

    /// The image's files.
    pub(crate) fn files(&self, id: &str) -> Tree {
        let mut files = Tree::default();
        for diff_id in self.by_id.get(id).into_iter().flat_map(|image| &image.diff_ids) {
            // A layer that is no tar has no files; engines would have refused it.
            files.lay(&tree::read(&self.layers[diff_id]).unwrap_or_default());
        }
        files
    }

    fn point(&mut self, tag: &str, id: &str) {
        for image in self.by_id.values_mut() {
            image.tags.retain(|other| *other != with_tag(tag));
        }
        if let Some(image) = self.by_id.get_mut(id) {
            image.tags.push(with_tag(tag));
        }
    }
}

fn members(archive: &[u8]) -> Result<BTreeMap<String, What>> {
    Ok(tree::read(archive)?.into_iter().map(|entry| (entry.path, entry.what)).collect())
}

fn find<'a>(members: &'a BTreeMap<String, What>, path: &str) -> Option<&'a [u8]> {
    let mut path = clean(path);
    for _ in 0..8 {
        match members.get(&path)? {
            What::File(bytes) => return Some(bytes),
            What::Symlink(target) => {
                let mut parts: Vec<&str> = path.split('/').collect();
                parts.pop();
                for part in target.split('/') {
                    match part {
                        ".." => drop(parts.pop()),
                        part => parts.push(part),
                    }
                }
                path = clean(&parts.join("/"));
            }
            _ => return None,
        }
    }
    None
}

fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn refused(why: &str) -> Error {
    Error::invalid("host.refused", format!("host fake refused the image: {why} (status 400)"))
}

fn conflict(why: &str) -> Error {
    Error::new(Kind::Conflict, "image.in_use", format!("host fake refused the image: {why} (status 409)"))
}
