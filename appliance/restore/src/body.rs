//! The create body of a container, made from what Docker recorded of it. Pure.
//!
//! Everything is taken over verbatim but what names other things (networks, volumes, containers), what
//! an engine chose itself, and, for a copy, what would touch the original: host paths, ports, names
//! that proxies listen to.

mod endpoints;
mod mounts;

pub(crate) use mounts::BindFate;

use crate::{
    deed::{FileDeed, Way},
    json::{child, is_blank, list, members, object, text, texts, truth},
    networks::Fate,
    ports,
};
use holdfast_model::{Problem, view::PortChange};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Labels by which proxies that watch the engine route traffic: a copy must not take the original's.
const ROUTING_LABELS: [&str; 2] = ["traefik.", "caddy"];

/// What bodies are made against.
pub(crate) struct Context<'a> {
    pub(crate) way: Way,
    /// Old network names to what became of them.
    pub(crate) networks: &'a BTreeMap<String, Fate>,
    /// Old volume names to new ones.
    pub(crate) volumes: &'a BTreeMap<String, String>,
    /// New names of volumes that must stay empty.
    pub(crate) empty: &'a BTreeSet<String>,
    /// What stands for host paths (beside only).
    pub(crate) binds: &'a BTreeMap<String, BindFate>,
    /// The app comes from Podman, which knows options of mounts that Docker refuses, and goes to Docker.
    pub(crate) leaves_podman: bool,
    /// Old ids and names of the app's containers to new names.
    pub(crate) containers: &'a BTreeMap<String, String>,
    /// Whether nothing is published, also under the app's own name.
    pub(crate) no_ports: bool,
    /// Other ports of the host; these are published in any case.
    pub(crate) ports: &'a [PortChange],
    /// Whether the engine takes MAC addresses per network (API 1.44 and on).
    pub(crate) mac_per_network: bool,
}

/// A body and what goes with it.
#[derive(Debug, Default)]
pub(crate) struct Body {
    /// Without `Image`.
    pub(crate) json: Value,
    /// Further networks: (name, endpoint).
    pub(crate) connects: Vec<(String, Value)>,
    pub(crate) files: Vec<FileDeed>,
    pub(crate) notes: Vec<Problem>,
}

/// Makes the body for one container, recorded under `name`.
pub(crate) fn make(name: &str, inspect: &Value, context: &Context<'_>) -> Body {
    let mut body = Body { json: config(inspect, context), ..Body::default() };
    let mut host = inspect.get("HostConfig").cloned().unwrap_or_default();
    object(&mut host).shift_remove("ContainerIDFile");
    if context.way == Way::Beside {
        withdraw(name, &mut host, &mut body, context.ports);
    } else if context.no_ports {
        unpublish(name, &mut host, &mut body, (context.ports, "as you asked, it publishes no ports"));
    } else {
        move_ports(name, &mut host, &mut body, context.ports);
    }
    // What Podman says of every container; no Docker has a runtime of that name.
    if text(&host, "/Runtime") == "oci" {
        object(&mut host).shift_remove("Runtime");
    }
    refer(&mut host, inspect, context);
    mounts::rewrite(name, &mut host, inspect, context, &mut body);
    endpoints::add(name, &host, inspect, context, &mut body);
    object(&mut body.json).insert("HostConfig".into(), host);
    body
}

fn config(inspect: &Value, context: &Context<'_>) -> Value {
    let mut config = inspect.get("Config").cloned().unwrap_or_default();
    let fields = object(&mut config);
    fields.shift_remove("Image");
    let hostname = fields.get("Hostname").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mode = text(inspect, "/HostConfig/NetworkMode");
    // Chosen by the engine: the short id, or the name of whoever owns the network namespace.
    let is_guest = mode.starts_with("container:");
    let is_foreign = mode == "host" || is_guest || text(inspect, "/HostConfig/UTSMode") == "host";
    if text(inspect, "/Id").get(..12) == Some(hostname.as_str()) || is_foreign {
        fields.shift_remove("Hostname");
    }
    if let Some(env) = fields.get_mut("Env").and_then(Value::as_array_mut) {
        // Podman tells it among what was asked for, and the new container has another.
        env.retain(|entry| {
            entry.as_str().and_then(|entry| entry.strip_prefix("HOSTNAME=")) != text(inspect, "/Id").get(..12)
        });
    }
    if is_guest {
        // Only those of its image can be there. The engine refuses to be told of them, and adds them itself.
        fields.shift_remove("ExposedPorts");
    }
    if context.mac_per_network {
        fields.shift_remove("MacAddress");
    }
    config
}

/// Takes from a copy what only the original may have.
fn withdraw(name: &str, host: &mut Value, body: &mut Body, ports: &[PortChange]) {
    unpublish(name, host, body, (ports, "the copy publishes no ports"));
    let fields = object(host);
    if fields.get("NetworkMode").and_then(Value::as_str) == Some("host") {
        fields.insert("NetworkMode".into(), json!("bridge"));
        let message = format!("{name} uses the host's own network; the copy is kept off it");
        body.notes.push(Problem::note("network.bridged", name, message));
    }
    let labels = object(child(&mut body.json, "Labels"));
    let before = labels.len();
    labels.retain(|key, _| !ROUTING_LABELS.iter().any(|prefix| key.starts_with(prefix)));
    if labels.len() != before {
        let message = format!("labels that route traffic to {name} are left off the copy");
        body.notes.push(Problem::note("label.dropped", name, message));
    }
}

/// Publishes other ports of the host than the recorded ones.
fn move_ports(name: &str, host: &mut Value, body: &mut Body, ports: &[PortChange]) {
    for bound in host.pointer_mut("/PortBindings").and_then(Value::as_object_mut).into_iter().flatten() {
        for binding in bound.1.as_array_mut().into_iter().flatten() {
            if let Some(change) = ports::change_of(binding, ports) {
                let message = format!(
                    "as you asked, {name} publishes {} on port {} instead of {}",
                    bound.0, change.to, change.from
                );
                body.notes.push(Problem::note("port.changed", name, message));
                object(binding).insert("HostPort".into(), json!(change.to.to_string()));
            }
        }
    }
}

/// Publishes nothing on the host, but for ports that were given another one.
fn unpublish(name: &str, host: &mut Value, body: &mut Body, (ports, instead): (&[PortChange], &str)) {
    let mut kept = json!({});
    for (inside, bindings) in members(host, "/PortBindings") {
        let moved: Vec<&Value> =
            list(bindings, "").iter().filter(|one| ports::change_of(one, ports).is_some()).collect();
        if !moved.is_empty() {
            object(&mut kept).insert(inside.clone(), json!(moved));
        }
    }
    if let Some(bindings) = host.pointer_mut("/PortBindings").and_then(Value::as_object_mut) {
        bindings.retain(|inside, _| kept.get(inside).is_none());
    }
    let published: Vec<&String> =
        members(host, "/PortBindings").filter(|(_, bound)| !is_blank(bound)).map(|(port, _)| port).collect();
    if !published.is_empty() {
        let ports: Vec<&str> = published.iter().map(|port| port.as_str()).collect();
        let message = format!("{name} publishes {} on the host; {instead}", ports.join(", "));
        body.notes.push(Problem::note("port.unpublished", name, message));
    }
    let fields = object(host);
    fields.insert("PortBindings".into(), kept);
    fields.insert("PublishAllPorts".into(), json!(false));
    move_ports(name, host, body, ports);
}

/// Rewrites names of other containers, and the project's name.
fn refer(host: &mut Value, inspect: &Value, context: &Context<'_>) {
    for key in ["NetworkMode", "PidMode", "IpcMode", "UTSMode"] {
        let mode = text(host, &format!("/{key}")).to_owned();
        if let Some(other) = mode.strip_prefix("container:") {
            let renamed = context.containers.get(other).map_or(other, String::as_str);
            object(host).insert(key.into(), json!(format!("container:{renamed}")));
        } else if key == "NetworkMode" {
            let name = endpoints::mode_name(&mode, inspect);
            let fate = context.networks.get(&name).map_or(name.as_str(), |fate| fate.name.as_str());
            object(host).insert(key.into(), json!(fate));
        }
    }
    let rename = |reference: &str| -> String {
        let (first, rest) = reference.split_once(':').map_or((reference, None), |(first, rest)| (first, Some(rest)));
        let bare = first.trim_start_matches('/');
        let renamed = context.containers.get(bare).map_or(bare, String::as_str);
        match rest {
            // Legacy links come back as `/target:/this/alias`.
            Some(rest) if rest.starts_with('/') => format!("{renamed}:{}", rest.rsplit('/').next().unwrap_or(rest)),
            Some(rest) => format!("{renamed}:{rest}"),
            None => renamed.to_owned(),
        }
    };
    for key in ["VolumesFrom", "Links"] {
        let renamed: Vec<String> = texts(host, &format!("/{key}")).iter().map(|old| rename(old)).collect();
        if !renamed.is_empty() {
            object(host).insert(key.into(), json!(renamed));
        }
    }
}

/// Whether the engine refuses to write into the container's own file system: its root is read-only.
pub(crate) fn is_sealed(described: &Value) -> bool {
    truth(described, "/HostConfig/ReadonlyRootfs")
}

/// Ids and names of containers that this one needs to exist before it.
pub(crate) fn needs(inspect: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for key in ["/HostConfig/NetworkMode", "/HostConfig/PidMode", "/HostConfig/IpcMode"] {
        found.extend(text(inspect, key).strip_prefix("container:").map(str::to_owned));
    }
    for key in ["/HostConfig/VolumesFrom", "/HostConfig/Links"] {
        let first =
            |reference: &String| reference.split(':').next().unwrap_or_default().trim_start_matches('/').to_owned();
        found.extend(texts(inspect, key).iter().map(first));
    }
    found.retain(|name| !name.is_empty());
    found
}

#[cfg(test)]
mod tests;
