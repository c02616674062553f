//! A compose file made from what a snapshot's containers, networks and volumes say of themselves. Pure.
//!
//! It is for people who want one; restores never read it. What a file cannot say, and what an inspect does not tell, stands in
//! comments at its head. Texts are taken as they are: `$` is doubled, since compose would put something in its place.
//! Values of the environment, secrets among them, appear as the inspect shows them.

mod service;
mod yaml;

use crate::json::{is_blank, label, list, members, object, text, texts, truth};
use holdfast_model::{
    Result,
    snapshot::{ContainerSection, ImageSection, NetworkSection, Snapshot, VolumeSection},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Labels that compose sets itself.
const OWN_LABELS: &str = "com.docker.compose.";
/// Remarks that stand in the file; more are counted.
const REMARKS: usize = 200;

/// All that the file is made of.
struct Draft<'a> {
    snapshot: &'a Snapshot,
    /// Names of networks and volumes to their keys in the file.
    networks: BTreeMap<String, String>,
    volumes: BTreeMap<String, String>,
    /// Ids and names of containers to their services.
    services: BTreeMap<String, String>,
    remarks: Vec<String>,
}

/// The compose file of a snapshot, with its comments.
pub fn compose(snapshot: &Snapshot) -> Result<String> {
    let inspects = snapshot.containers.iter().map(|one| one.inspect.parse()).collect::<Result<Vec<Value>>>()?;
    let mut draft = Draft {
        snapshot,
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        services: BTreeMap::new(),
        remarks: Vec::new(),
    };
    for (container, inspect) in snapshot.containers.iter().zip(&inspects) {
        let service = service_of(container);
        draft.services.insert(container.name.clone(), service.clone());
        draft.services.insert(text(inspect, "/Id").to_owned(), service);
    }
    let (volumes, networks) = (draft.volumes()?, draft.networks()?);
    let mut services = Map::new();
    for (container, inspect) in snapshot.containers.iter().zip(&inspects) {
        let key = service_of(container);
        if let Some(known) = services.get_mut(&key) {
            let count = known.get("scale").and_then(Value::as_u64).unwrap_or(1) + 1;
            object(known).insert("scale".into(), json!(count));
            object(known).shift_remove("container_name");
            draft.remarks.push(format!(
                "{}: one more container of service {key}; what it says is taken from the first",
                container.name
            ));
            continue;
        }
        let made = service::make(&mut draft, container, inspect);
        services.insert(key, made);
    }
    let mut file = json!({"name": snapshot.app.to_lowercase(), "services": services});
    for (key, part) in [("networks", networks), ("volumes", volumes)] {
        if !part.is_empty() {
            object(&mut file).insert(key.into(), Value::Object(part));
        }
    }
    doubled(&mut file);
    Ok(head(&draft) + &yaml::document(&file))
}

fn service_of(container: &ContainerSection) -> String {
    container.service.clone().unwrap_or_else(|| container.name.clone())
}

/// The comments at the head.
fn head(draft: &Draft<'_>) -> String {
    let snapshot = draft.snapshot;
    let mut lines = vec![
        format!("Made by Holdfast from snapshot {} of {}, taken {}.", snapshot.id, snapshot.app, snapshot.time),
        "It is made from what the containers say of themselves, and is not the file that they came from: anchors, profiles, build".into(),
        "sections, env_file and secrets of that file are not known. Values of the environment are here as an inspect shows them,".into(),
        "secrets among them. Holdfast restores without this file; data of volumes is in the snapshot, not here.".into(),
    ];
    if !draft.remarks.is_empty() {
        lines.push("Not told here, or told otherwise:".into());
    }
    lines.extend(draft.remarks.iter().take(REMARKS).map(|remark| format!("- {remark}")));
    if draft.remarks.len() > REMARKS {
        lines.push(format!("- and {} more", draft.remarks.len() - REMARKS));
    }
    let mut out = String::new();
    for line in lines {
        // A name from outside may hold the end of a line, which would end the comment.
        let line: String = line
            .chars()
            .map(|letter| if letter.is_control() || "\u{2028}\u{2029}".contains(letter) { ' ' } else { letter })
            .collect();
        out.push_str("# ");
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Doubles every `$` of every text.
fn doubled(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace('$', "$$"),
        Value::Array(items) => items.iter_mut().for_each(doubled),
        Value::Object(members) => members.values_mut().for_each(doubled),
        _ => {}
    }
}

/// Labels that are not compose's own.
fn labels(described: &Value, pointer: &str) -> Value {
    let foreign = |key: &str| !key.starts_with(OWN_LABELS);
    let kept = members(described, pointer).filter(|(key, _)| foreign(key));
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Puts a value in if it says something.
fn put(into: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    let value = value.into();
    if !is_blank(&value) && value != json!("") {
        into.insert(key.to_owned(), value);
    }
}

impl Draft<'_> {
    fn volumes(&mut self) -> Result<Map<String, Value>> {
        let mut found = Map::new();
        for section in &self.snapshot.volumes {
            let VolumeSection { name, anonymous, .. } = section;
            let inspect = section.inspect.parse()?;
            let known = label(&inspect, "/Labels", "com.docker.compose.volume").map(str::to_owned);
            let is_own = known.is_some();
            let key = free(&found, known.unwrap_or_else(|| name.clone()));
            self.volumes.insert(name.clone(), key.clone());
            if *anonymous {
                self.remarks.push(format!("volume {name} had no name of its own; its containers mount it by this one"));
            }
            let mut made = Map::new();
            put(&mut made, "name", name.as_str());
            if is_own || *anonymous {
                put(&mut made, "driver", text(&inspect, "/Driver"));
                put(&mut made, "driver_opts", inspect.get("Options").cloned().unwrap_or_default());
                put(&mut made, "labels", labels(&inspect, "/Labels"));
            } else {
                // Nothing says that the project made it.
                made.insert("external".into(), json!(true));
            }
            found.insert(key, Value::Object(made));
        }
        Ok(found)
    }

    fn networks(&mut self) -> Result<Map<String, Value>> {
        let mut found = Map::new();
        for NetworkSection { name, inspect } in &self.snapshot.networks {
            if crate::names::is_predefined(name) {
                continue;
            }
            let inspect = inspect.parse()?;
            let known = label(&inspect, "/Labels", "com.docker.compose.network").map(str::to_owned);
            let is_own = known.is_some();
            let key = free(&found, known.unwrap_or_else(|| name.clone()));
            self.networks.insert(name.clone(), key.clone());
            let mut made = Map::new();
            put(&mut made, "name", name.as_str());
            if is_own {
                network(&mut made, &inspect);
            } else {
                made.insert("external".into(), json!(true));
            }
            found.insert(key, Value::Object(made));
        }
        Ok(found)
    }

    /// The image by its digest, if it has one.
    fn image(&mut self, container: &ContainerSection, inspect: &Value) -> String {
        let used = text(inspect, "/Config/Image");
        let digests = self.image_inspect(container).map(|image| texts(&image, "/RepoDigests")).unwrap_or_default();
        let repository = used.split('@').next().unwrap_or(used);
        let repository = match repository.rsplit_once(':') {
            Some((before, tag)) if !tag.contains('/') => before,
            _ => repository,
        };
        let same = digests.iter().find(|digest| digest.split('@').next() == Some(repository));
        if let Some(digest) = same.or(digests.first()) {
            return digest.clone();
        }
        self.remarks.push(format!(
            "{}: image {used} has no digest of a registry; here it was {}",
            container.name, container.image
        ));
        if used.is_empty() { container.image.clone() } else { used.to_owned() }
    }

    /// The description of a container's image.
    fn image_inspect(&self, container: &ContainerSection) -> Option<Value> {
        let ImageSection { inspect, .. } = self.snapshot.images.iter().find(|image| image.id == container.image)?;
        inspect.parse().ok()
    }
}

/// A key that is not taken yet.
fn free(taken: &Map<String, Value>, key: String) -> String {
    if !taken.contains_key(&key) {
        return key;
    }
    (2..).map(|number| format!("{key}-{number}")).find(|other| !taken.contains_key(other)).unwrap_or(key)
}

fn network(made: &mut Map<String, Value>, inspect: &Value) {
    put(made, "driver", text(inspect, "/Driver"));
    put(made, "driver_opts", inspect.get("Options").cloned().unwrap_or_default());
    put(made, "labels", labels(inspect, "/Labels"));
    for (key, pointer) in [("internal", "/Internal"), ("attachable", "/Attachable"), ("enable_ipv6", "/EnableIPv6")] {
        if truth(inspect, pointer) {
            made.insert(key.into(), json!(true));
        }
    }
    let blocks: Vec<Value> = list(inspect, "/IPAM/Config")
        .iter()
        .map(|block| {
            let mut kept = Map::new();
            put(&mut kept, "subnet", text(block, "/Subnet"));
            put(&mut kept, "ip_range", text(block, "/IPRange"));
            put(&mut kept, "gateway", text(block, "/Gateway").split('/').next().unwrap_or_default());
            put(&mut kept, "aux_addresses", block.get("AuxiliaryAddresses").cloned().unwrap_or_default());
            Value::Object(kept)
        })
        .filter(|block| !is_blank(block))
        .collect();
    let mut ipam = Map::new();
    let driver = text(inspect, "/IPAM/Driver");
    put(&mut ipam, "driver", if driver == "default" { "" } else { driver });
    put(&mut ipam, "config", blocks);
    put(made, "ipam", Value::Object(ipam));
}

#[cfg(test)]
mod tests;
