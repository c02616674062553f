//! The fake engine's memory: volumes, networks, host paths and containers, and what forbids what.

use super::{
    containers::{Container, Mounted},
    images::Images,
    tree::Tree,
};
use holdfast_model::{Error, Kind, Result};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Networks that every engine has and nobody can remove.
pub(crate) const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

/// Everything on the host.
pub(crate) struct Machine {
    pub(crate) images: Images,
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) volumes: BTreeMap<String, Volume>,
    pub(crate) networks: BTreeMap<String, Value>,
    pub(crate) host_paths: BTreeMap<String, Tree>,
    /// Minor version of the API; below 44 a container is created on one network only.
    pub(crate) minor: u32,
    /// What is free for its data, if it tells.
    pub(crate) free_bytes: Option<u64>,
    /// Paths in containers that are what they look like, though they have the character that stands for what is no text.
    pub(crate) true_names: BTreeSet<String>,
    counter: u64,
}

pub(crate) struct Volume {
    pub(crate) inspect: Value,
    pub(crate) files: Tree,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        let mut machine = Machine {
            images: Images::default(),
            containers: BTreeMap::new(),
            volumes: BTreeMap::new(),
            networks: BTreeMap::new(),
            host_paths: BTreeMap::new(),
            minor: 41,
            free_bytes: None,
            true_names: BTreeSet::new(),
            counter: 0,
        };
        for name in BUILT_IN {
            let id = machine.next_id();
            let driver = if name == "none" { "null" } else { name };
            let network = json!({ "Name": name, "Id": id, "Driver": driver, "Scope": "local", "Containers": {} });
            machine.networks.insert(id, network);
        }
        machine
    }

    /// A new id of 64 hex digits; the same run gives the same ids.
    pub(crate) fn next_id(&mut self) -> String {
        self.counter += 1;
        crate::archive::sha256(&self.counter.to_le_bytes())
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Resolves an id, a beginning of one, or a name.
    pub(crate) fn container_id(&self, name: &str) -> Result<String> {
        let named = self.containers.iter().find(|(id, container)| {
            container.name() == name.trim_start_matches('/') || (name.len() >= 12 && id.starts_with(name))
        });
        named.map(|(id, _)| id.clone()).ok_or_else(|| {
            let text = format!("host fake refused container {name}: No such container: {name} (status 404)");
            Error::not_found("container.not_found", text)
        })
    }

    pub(crate) fn container(&mut self, name: &str) -> Result<&mut Container> {
        let id = self.container_id(name)?;
        Ok(self.containers.get_mut(&id).expect("an id that was just found"))
    }

    pub(crate) fn remove_container(&mut self, name: &str, volumes: bool) {
        let Ok(id) = self.container_id(name) else { return };
        let Some(gone) = self.containers.remove(&id) else { return };
        for mount in gone.mounts.iter().filter(|mount| volumes && mount.anonymous) {
            if let Mounted::Volume(name) = &mount.what
                && !self.volume_used(name)
            {
                self.volumes.remove(name);
            }
        }
    }

    pub(crate) fn volume_create(&mut self, body: &Value) -> String {
        let name = body["Name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
        let name = name.unwrap_or_else(|| self.next_id());
        if !self.volumes.contains_key(&name) {
            let driver = body["Driver"].as_str().filter(|driver| !driver.is_empty()).unwrap_or("local");
            let created = format!("2026-01-01T00:00:{:02}Z", self.next_number() % 60);
            let inspect = json!({
                "CreatedAt": created, "Driver": driver, "Labels": body["Labels"],
                "Mountpoint": format!("/var/lib/docker/volumes/{name}/_data"), "Name": name,
                "Options": body["DriverOpts"], "Scope": "local",
            });
            self.volumes.insert(name.clone(), Volume { inspect, files: Tree::default() });
        }
        name
    }

    pub(crate) fn volume(&mut self, name: &str) -> Result<&mut Volume> {
        self.volumes.get_mut(name).ok_or_else(|| {
            let text = format!("host fake refused volume {name}: get {name}: no such volume (status 404)");
            Error::not_found("volume.not_found", text)
        })
    }

    pub(crate) fn volume_used(&self, name: &str) -> bool {
        let uses = |mount: &super::containers::Mount| matches!(&mount.what, Mounted::Volume(used) if used == name);
        self.containers.values().any(|container| container.mounts.iter().any(uses))
    }

    pub(crate) fn network_id(&self, name: &str) -> Result<String> {
        let by_name = || self.networks.iter().find(|(_, network)| network["Name"] == name).map(|(id, _)| id);
        let by_id = self.networks.keys().find(|id| name.len() >= 12 && id.starts_with(name));
        by_id.or_else(by_name).cloned().ok_or_else(|| {
            let text = format!("host fake refused network {name}: network {name} not found (status 404)");
            Error::not_found("network.not_found", text)
        })
    }

    pub(crate) fn network_create(&mut self, body: &Value) -> Result<String> {
        let name = body["Name"].as_str().unwrap_or_default().to_owned();
        if self.networks.values().any(|network| network["Name"] == name.as_str()) {
            return Err(conflict("name.taken", &format!("network with name {name} already exists")));
        }
        let subnets = |network: &Value| -> Vec<String> {
            let configs = network["IPAM"]["Config"].as_array().into_iter().flatten();
            configs.filter_map(|config| config["Subnet"].as_str().map(str::to_owned)).collect()
        };
        let wanted = subnets(body);
        if self.networks.values().flat_map(subnets).any(|taken| wanted.contains(&taken)) {
            return Err(conflict("address.taken", "Pool overlaps with other one on this address space"));
        }
        let id = self.next_id();
        let mut network = body.clone();
        if let Some(fields) = network.as_object_mut() {
            fields.remove("CheckDuplicate");
        }
        network["Id"] = id.clone().into();
        network["Scope"] = "local".into();
        if network["Driver"].as_str().unwrap_or_default().is_empty() {
            network["Driver"] = "bridge".into();
        }
        self.networks.insert(id.clone(), network);
        Ok(id)
    }

    /// A network as it is described, with its running containers.
    pub(crate) fn network_view(&self, id: &str) -> Value {
        let mut view = self.networks[id].clone();
        let mut members = serde_json::Map::new();
        for (container_id, container) in self.containers.iter().filter(|(_, container)| container.running()) {
            if let Some(end) = container.networks.values().find(|end| end["NetworkID"] == id) {
                let address = format!("{}/16", end["IPAddress"].as_str().unwrap_or_default());
                members.insert(container_id.clone(), json!({ "Name": container.name(), "IPv4Address": address }));
            }
        }
        view["Containers"] = members.into();
        view
    }

    pub(crate) fn network_remove(&mut self, name: &str) -> Result<()> {
        let Ok(id) = self.network_id(name) else { return Ok(()) };
        if self.network_view(&id)["Containers"].as_object().is_some_and(|members| !members.is_empty()) {
            return Err(conflict("network.in_use", "network has active endpoints"));
        }
        let name = self.networks[&id]["Name"].as_str().unwrap_or_default();
        if BUILT_IN.contains(&name) {
            let text = format!(
                "host fake refused network {name}: it is a pre-defined network and cannot be removed (status 403)"
            );
            return Err(Error::new(Kind::Denied, "host.denied", text));
        }
        self.networks.remove(&id);
        Ok(())
    }

    /// Connects; a static address that another container has is refused.
    pub(crate) fn network_connect(&mut self, network: &str, container: &str, endpoint: &Value) -> Result<()> {
        let id = self.network_id(network)?;
        let wanted = endpoint["IPAMConfig"]["IPv4Address"].as_str().unwrap_or_default().to_owned();
        let here = self.container_id(container)?;
        let taken = self.containers.iter().any(|(other, container)| {
            let ends = || container.networks.values().filter(|end| end["NetworkID"] == id.as_str());
            *other != here && container.running() && ends().any(|end| end["IPAddress"] == wanted.as_str())
        });
        if !wanted.is_empty() && taken {
            return Err(conflict("address.taken", "Address already in use"));
        }
        let name = self.networks[&id]["Name"].as_str().unwrap_or_default().to_owned();
        let number = self.next_number();
        let container = self.container(container)?;
        if container.networks.contains_key(&name) {
            return Err(conflict(
                "name.taken",
                &format!("endpoint with name {} already exists in network {name}", container.name()),
            ));
        }
        container.connect(&name, &id, endpoint, number);
        Ok(())
    }
}

/// The engine's “no” because of what is there.
pub(crate) fn conflict(code: &'static str, why: &str) -> Error {
    Error::new(Kind::Conflict, code, format!("host fake refused the request: {why} (status 409)"))
}
