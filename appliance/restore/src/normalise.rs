//! What stays the same when a container or network is made anew: a description without the rest. The same for readers, and
//! with what a copy beside the original changes: `INSPECT.md`.
//!
//! Left out, because an engine chooses them at every creation or start:
//! - ids and times: `Id`, `Created`, `Image` (image ids differ between image stores; layers are
//!   compared by digest elsewhere), `ExecIDs`, `NetworkID`, `EndpointID`, a hostname that is the short id,
//!   an alias that is the short id, the id behind `container:` modes;
//! - state: `State` but for whether it runs, `RestartCount`, `NetworkSettings` but for what was asked of each network;
//! - paths and drivers of the host: `*Path`, `GraphDriver`, `Storage`, `Driver`, `ContainerIDFile`, sources of volumes;
//! - what the host's security modules add: `AppArmorProfile`, `MountLabel`, `ProcessLabel`;
//! - addresses and MACs that nobody fixed; a network's attached containers and peers;
//! - how an anonymous volume is attached (by name after a restore) and `nocopy`, which keeps an empty
//!   volume empty; the marker label of newer engines on anonymous volumes is not part of a container.
//!
//! - `HOSTNAME` in the environment if it is the short id (Podman tells it there).
//!
//! Order where engines give none (mounts, aliases, binds, links, labels, the environment) is made equal; null, `""`,
//! `[]`, `{}` and the default runtimes `runc` and `oci` (Podman) are the same as absent.

use crate::{
    json::{child, is_blank, is_long_id, list, members, object, text, texts, truth},
    names::is_predefined,
};
use serde_json::{Map, Value, json};

/// Depth at which comparing stops: Docker's descriptions are far flatter (law L8).
const DEPTH_LIMIT: usize = 32;

/// What engines fill in where no runtime was asked for.
const DEFAULT_RUNTIMES: [&str; 2] = ["runc", "oci"];

/// Reduces an inspect answer (of a container or a network) to what a restore keeps.
pub fn normalise(inspect: &Value) -> Value {
    let is_network = inspect.get("IPAM").is_some() && inspect.get("HostConfig").is_none();
    let mut value = if is_network { network(inspect) } else { container(inspect) };
    tidy(&mut value, 0);
    value
}

/// Paths at which two normalised descriptions differ. Values are left out: they may hold secrets.
pub fn differences(was: &Value, is: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(was, is, String::new(), &mut found);
    found
}

fn container(inspect: &Value) -> Value {
    let short = text(inspect, "/Id").get(..12).unwrap_or("").to_owned();
    json!({
        "Name": text(inspect, "/Name"),
        "Platform": text(inspect, "/Platform"),
        "Path": text(inspect, "/Path"),
        "Args": inspect.get("Args"),
        "Running": truth(inspect, "/State/Running"),
        "Config": config(inspect, &short),
        "HostConfig": host_config(inspect),
        "Mounts": mounts(inspect),
        "Networks": networks(inspect, &short),
    })
}

fn config(inspect: &Value, short: &str) -> Value {
    let mut config = inspect.get("Config").cloned().unwrap_or_default();
    if text(&config, "/Hostname") == short {
        object(&mut config).shift_remove("Hostname");
    }
    let mut env = texts(&config, "/Env");
    if !env.is_empty() {
        env.retain(|entry| entry.strip_prefix("HOSTNAME=") != Some(short));
        // By name alone: of two with one name the later counts.
        env.sort_by(|a, b| a.split('=').next().cmp(&b.split('=').next()));
        object(&mut config).insert("Env".into(), json!(env));
    }
    config
}

fn host_config(inspect: &Value) -> Value {
    let mut host = inspect.get("HostConfig").cloned().unwrap_or_default();
    object(&mut host).shift_remove("ContainerIDFile");
    if DEFAULT_RUNTIMES.contains(&text(&host, "/Runtime")) {
        object(&mut host).shift_remove("Runtime");
    }
    for mode in ["NetworkMode", "PidMode", "IpcMode", "UTSMode"] {
        let said = text(&host, &format!("/{mode}")).to_owned();
        if said.starts_with("container:") {
            object(&mut host).insert(mode.into(), json!("container:"));
        } else if is_long_id(&said) {
            let named = members(inspect, "/NetworkSettings/Networks").find(|(_, n)| text(n, "/NetworkID") == said);
            if let Some((name, _)) = named {
                object(&mut host).insert(mode.into(), json!(name));
            }
        }
    }
    let mut binds: Vec<String> = texts(&host, "/Binds");
    binds.retain(|bind| !bind.split(':').next().is_some_and(is_long_id));
    let mut binds: Vec<String> = binds.iter().map(|bind| without_nocopy(bind)).collect();
    binds.sort();
    object(&mut host).insert("Binds".into(), json!(binds));
    if let Some(mounts) = host.get_mut("Mounts").and_then(Value::as_array_mut) {
        for mount in mounts.iter_mut() {
            if is_long_id(text(mount, "/Source")) {
                object(mount).shift_remove("Source");
            }
            if let Some(options) = mount.get_mut("VolumeOptions") {
                object(options).shift_remove("NoCopy");
            }
        }
        mounts.sort_by_key(|mount| text(mount, "/Target").to_owned());
    }
    let mut links = texts(&host, "/Links");
    links.sort();
    object(&mut host).insert("Links".into(), json!(links));
    host
}

/// `data:/v:ro,nocopy` without the `nocopy`.
fn without_nocopy(bind: &str) -> String {
    let mut parts: Vec<&str> = bind.split(':').collect();
    let Some(options) = parts.get(2) else { return bind.to_owned() };
    let kept: Vec<&str> = options.split(',').filter(|option| *option != "nocopy").collect();
    let kept = kept.join(",");
    parts.truncate(2);
    if !kept.is_empty() {
        parts.push(&kept);
    }
    parts.join(":")
}

fn mounts(inspect: &Value) -> Value {
    let mut kept: Vec<Value> = list(inspect, "/Mounts")
        .iter()
        .map(|mount| {
            let is_bind = text(mount, "/Type") == "bind";
            json!({
                "Type": text(mount, "/Type"),
                "Name": text(mount, "/Name"),
                "Source": if is_bind { text(mount, "/Source") } else { "" },
                "Destination": text(mount, "/Destination"),
                "Driver": text(mount, "/Driver"),
                "RW": truth(mount, "/RW"),
                "Propagation": text(mount, "/Propagation"),
            })
        })
        .collect();
    kept.sort_by_key(|mount| text(mount, "/Destination").to_owned());
    Value::Array(kept)
}

fn networks(inspect: &Value, short: &str) -> Value {
    let mut kept = Map::new();
    for (name, endpoint) in members(inspect, "/NetworkSettings/Networks") {
        let mut aliases = texts(endpoint, "/Aliases");
        aliases.retain(|alias| alias != short && !is_predefined(name));
        aliases.sort();
        aliases.dedup();
        let mut links = texts(endpoint, "/Links");
        links.sort();
        kept.insert(
            name.clone(),
            json!({
                "Attached": true,
                "IPAMConfig": endpoint.get("IPAMConfig"),
                "Aliases": aliases,
                "Links": links,
                "DriverOpts": endpoint.get("DriverOpts"),
                "GwPriority": endpoint.get("GwPriority"),
            }),
        );
    }
    Value::Object(kept)
}

fn network(inspect: &Value) -> Value {
    let mut kept = inspect.clone();
    for gone in ["Id", "Created", "Containers", "Peers", "Status"] {
        object(&mut kept).shift_remove(gone);
    }
    let ipam = child(&mut kept, "IPAM");
    if let Some(blocks) = ipam.get_mut("Config").and_then(Value::as_array_mut) {
        blocks.sort_by_key(|block| text(block, "/Subnet").to_owned());
    }
    kept
}

/// Drops what says nothing, sorts members: two engines order them differently.
fn tidy(value: &mut Value, depth: usize) {
    if depth > DEPTH_LIMIT {
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| tidy(item, depth + 1)),
        Value::Object(map) => {
            map.values_mut().for_each(|item| tidy(item, depth + 1));
            map.retain(|_, item| !is_blank(item) && item != "");
            map.sort_keys();
        }
        _ => {}
    }
}

fn compare(was: &Value, is: &Value, at: String, found: &mut Vec<String>) {
    if was == is {
        return;
    }
    let (Some(a), Some(b)) = (was.as_object(), is.as_object()) else { return found.push(at) };
    let only_in_b = b.keys().filter(|key| !a.contains_key(*key));
    for key in a.keys().chain(only_in_b) {
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        match (a.get(key), b.get(key)) {
            (Some(x), Some(y)) => compare(x, y, path, found),
            _ => found.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(id: &str, hostname: &str) -> Value {
        json!({
            "Id": id, "Created": "2026", "Name": "/db", "State": {"Running": true, "Pid": 7},
            "Config": {"Hostname": hostname, "Env": ["A=1"], "Labels": {}},
            "HostConfig": {"NetworkMode": "shop_default", "Binds": ["b:/b", "a:/a:ro"], "Links": null},
            "Mounts": [{"Type": "volume", "Name": "b", "Source": "/x", "Destination": "/b", "RW": true, "Mode": "z"},
                       {"Type": "volume", "Name": "a", "Source": "/y", "Destination": "/a", "RW": false}],
            "NetworkSettings": {"IPAddress": "1.2.3.4", "Networks": {"shop_default": {
                "IPAMConfig": null, "Aliases": ["db", &id[..12]], "NetworkID": "n", "IPAddress": "1.2.3.4"}}}
        })
    }

    #[test]
    fn ids_times_and_order_do_not_count() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let was = sample(&a, &a[..12]);
        let mut is = sample(&b, &b[..12]);
        is["HostConfig"]["Binds"] = json!(["a:/a:ro,nocopy", "b:/b", format!("{a}:/anon")]);
        is["Mounts"].as_array_mut().unwrap().reverse();
        assert_eq!(differences(&normalise(&was), &normalise(&is)), Vec::<String>::new());
    }

    #[test]
    fn what_people_chose_counts_and_values_stay_private() {
        let id = "a".repeat(64);
        let was = sample(&id, "fixed");
        let mut is = sample(&id, "fixed");
        is["Config"]["Env"] = json!(["A=2"]);
        is["HostConfig"]["Memory"] = json!(5);
        assert_eq!(differences(&normalise(&was), &normalise(&is)), ["Config.Env", "HostConfig.Memory"]);
    }

    #[test]
    fn networks_keep_their_addresses() {
        let was = json!({"Name": "n", "Id": "1", "Driver": "bridge", "Containers": {"x": {}},
            "IPAM": {"Config": [{"Subnet": "10.0.0.0/24"}], "Options": null}});
        let mut is = was.clone();
        is["Id"] = json!("2");
        is["Containers"] = json!({});
        assert_eq!(normalise(&was), normalise(&is));
        is["IPAM"]["Config"] = json!([{"Subnet": "10.0.1.0/24"}]);
        assert_eq!(differences(&normalise(&was), &normalise(&is)), ["IPAM.Config"]);
    }
}
