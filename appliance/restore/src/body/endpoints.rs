//! Networks of a container: the first goes into the create body, the others are connected after it
//! (engines before API 1.44 take one only).

use super::{Body, Context};
use crate::{
    deed::Way,
    json::{child, is_blank, is_long_id, members, object, text, texts},
    names::is_predefined,
};
use serde_json::{Value, json};

/// What Podman calls the network that Docker calls `bridge`.
const PODMANS_OWN: &str = "podman";

/// The network that a mode names; ids become names, since the restored network has another id.
pub(super) fn mode_name(mode: &str, inspect: &Value) -> String {
    if is_long_id(mode)
        && let Some((name, _)) =
            members(inspect, "/NetworkSettings/Networks").find(|(_, endpoint)| text(endpoint, "/NetworkID") == mode)
    {
        return name.clone();
    }
    // Podman says so for every network of this kind, and a container made that way would be on its default network too.
    let networks: Vec<&String> = members(inspect, "/NetworkSettings/Networks").map(|(name, _)| name).collect();
    let is_podmans =
        texts(inspect, "/Config/Env").iter().any(|entry| entry == "container=podman" || entry == "container=oci");
    let is_the_engines = |name: &&String| is_predefined(name) || *name == PODMANS_OWN;
    match networks.first() {
        Some(first) if is_podmans && mode == "bridge" && !networks.iter().any(is_the_engines) => (*first).clone(),
        _ => mode.to_owned(),
    }
}

/// Adds `NetworkingConfig` and the connects.
pub(super) fn add(name: &str, host: &Value, inspect: &Value, context: &Context<'_>, body: &mut Body) {
    let mode = text(host, "/NetworkMode").to_owned();
    if matches!(mode.as_str(), "host" | "none") || mode.starts_with("container:") {
        return;
    }
    let first = if mode == "default" || mode.is_empty() { "bridge" } else { mode.as_str() };
    for (old, recorded) in members(inspect, "/NetworkSettings/Networks") {
        if matches!(old.as_str(), "host" | "none") || (old == PODMANS_OWN && first == "bridge") {
            continue;
        }
        let new = context.networks.get(old).map_or(old.as_str(), |fate| fate.name.as_str());
        let mut endpoint = endpoint(name, old, recorded, inspect, context);
        let mac = text(inspect, "/Config/MacAddress");
        if new == first {
            if context.mac_per_network && !mac.is_empty() {
                object(&mut endpoint).insert("MacAddress".into(), json!(mac));
            }
            if !is_blank(&endpoint) {
                let endpoints = child(child(&mut body.json, "NetworkingConfig"), "EndpointsConfig");
                object(endpoints).insert(new.to_owned(), endpoint);
            }
        } else {
            body.connects.push((new.to_owned(), endpoint));
        }
    }
}

/// What was asked of a network, without what the engine chose.
fn endpoint(name: &str, old: &str, recorded: &Value, inspect: &Value, context: &Context<'_>) -> Value {
    let mut kept = json!({});
    if is_predefined(old) {
        return kept;
    }
    let fields = object(&mut kept);
    let fixed = context.networks.get(old).is_none_or(|fate| fate.fixed);
    if let Some(addresses) = recorded.get("IPAMConfig").filter(|addresses| fixed && !is_blank(addresses)) {
        fields.insert("IPAMConfig".into(), addresses.clone());
    }
    let short = text(inspect, "/Id").get(..12).unwrap_or_default();
    let mut aliases = texts(recorded, "/Aliases");
    aliases.retain(|alias| alias != short);
    if context.way == Way::Beside && !aliases.iter().any(|alias| alias == name) {
        // On its own networks a copy still answers to the name that its peers may use.
        aliases.push(name.to_owned());
    }
    if !aliases.is_empty() {
        fields.insert("Aliases".into(), json!(aliases));
    }
    let links: Vec<String> = texts(recorded, "/Links").iter().map(|link| relink(link, context)).collect();
    if !links.is_empty() {
        fields.insert("Links".into(), json!(links));
    }
    for key in ["DriverOpts", "GwPriority"] {
        let value = recorded.get(key).filter(|value| !is_blank(value) && **value != json!(0));
        if let Some(value) = value {
            fields.insert(key.into(), value.clone());
        }
    }
    kept
}

fn relink(link: &str, context: &Context<'_>) -> String {
    let (target, alias) = link.split_once(':').unwrap_or((link, link));
    let renamed = context.containers.get(target).map_or(target, String::as_str);
    format!("{renamed}:{alias}")
}
