//! Containers of the fake engine: made from a body as engines read it, described as engines describe them.

use super::{
    host::{Machine, conflict},
    tree::{Tree, clean, is_below, with_parents},
};
use crate::archive::{Entry, What};
use holdfast_model::{Error, Kind, Result, snapshot::LayerChange};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A container.
pub(crate) struct Container {
    /// `Id`, `Name`, `Image`, `Config`, `HostConfig`, … as inspect shows them, without state, mounts and networks.
    pub(crate) base: Value,
    pub(crate) state: State,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) networks: BTreeMap<String, Value>,
    /// Its merged file system.
    pub(crate) files: Tree,
    image_files: Tree,
    pub(crate) exit_code: i64,
    /// Nothing runs in it though it is called running.
    pub(crate) frozen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Created,
    Running,
    Paused,
    Exited,
}

#[derive(Clone, Debug)]
pub(crate) struct Mount {
    pub(crate) what: Mounted,
    pub(crate) destination: String,
    pub(crate) writable: bool,
    pub(crate) anonymous: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Mounted {
    Volume(String),
    HostPath(String),
    Memory,
}

impl Container {
    pub(crate) fn name(&self) -> &str {
        self.base["Name"].as_str().unwrap_or_default().trim_start_matches('/')
    }

    pub(crate) fn running(&self) -> bool {
        matches!(self.state, State::Running | State::Paused)
    }

    pub(crate) fn connect(&mut self, network: &str, id: &str, endpoint: &Value, number: u64) {
        let mut end = if endpoint.is_object() { endpoint.clone() } else { json!({}) };
        let fixed = end["IPAMConfig"]["IPv4Address"].as_str().unwrap_or_default().to_owned();
        end["NetworkID"] = id.into();
        end["EndpointID"] = format!("{number:064x}").into();
        end["IPAddress"] = if fixed.is_empty() { format!("172.30.0.{}", number % 250 + 2) } else { fixed }.into();
        self.networks.insert(network.to_owned(), end);
    }

    /// `GET /containers/{id}/json`.
    pub(crate) fn inspect(&self) -> Value {
        let mut view = self.base.clone();
        let status = match self.state {
            State::Created => "created",
            State::Running => "running",
            State::Paused => "paused",
            State::Exited => "exited",
        };
        view["State"] = json!({ "Status": status, "Running": self.running(), "Paused": self.state == State::Paused,
            "Restarting": false, "OOMKilled": false, "Dead": false, "ExitCode": self.exit_code, "Error": "" });
        view["Mounts"] = self.mounts.iter().map(Mount::view).collect();
        view["NetworkSettings"] = json!({ "Networks": self.networks });
        view
    }

    /// One line of `GET /containers/json`.
    pub(crate) fn line(&self) -> Value {
        let whole = self.inspect();
        json!({
            "Id": whole["Id"], "Names": [whole["Name"]], "Image": whole["Config"]["Image"], "ImageID": whole["Image"],
            "State": whole["State"]["Status"], "Labels": whole["Config"]["Labels"], "Mounts": whole["Mounts"],
            "NetworkSettings": whole["NetworkSettings"], "HostConfig": { "NetworkMode": whole["HostConfig"]["NetworkMode"] },
            "Created": 0, "Status": whole["State"]["Status"], "Ports": [],
        })
    }

    /// `GET /containers/{id}/changes`: the merged tree against the image's.
    pub(crate) fn changes(&self) -> Vec<LayerChange> {
        let mut changes: BTreeMap<String, u8> = BTreeMap::new();
        let mut changed_above = BTreeSet::new();
        for entry in self.files.entries().filter(|entry| !entry.path.is_empty()) {
            match self.image_files.get(&entry.path) {
                None => drop(changes.insert(entry.path.clone(), 1)),
                Some(before) if before != entry => drop(changes.insert(entry.path.clone(), 0)),
                Some(_) => continue,
            }
            changed_above.extend(with_parents(&entry.path));
        }
        for entry in self.image_files.entries().filter(|entry| self.files.get(&entry.path).is_none()) {
            changes.insert(entry.path.clone(), 2);
            changed_above.extend(with_parents(&entry.path));
        }
        for path in changed_above.into_iter().filter(|path| self.files.get(path).is_some()) {
            changes.entry(path).or_insert(0);
        }
        changes.into_iter().map(|(path, kind)| LayerChange { path: format!("/{path}"), kind }).collect()
    }

    /// The mount that a path lies in, and the path's rest within it.
    fn mount(&self, path: &str) -> Option<(&Mount, String)> {
        let inside = |mount: &&Mount| path == mount.destination || is_below(path, &mount.destination);
        let mount = self.mounts.iter().filter(inside).max_by_key(|mount| mount.destination.len())?;
        Some((mount, clean(&path[mount.destination.len()..])))
    }
}

impl Mount {
    fn view(&self) -> Value {
        let destination = format!("/{}", self.destination);
        match &self.what {
            Mounted::Volume(name) => {
                json!({ "Type": "volume", "Name": name, "Driver": "local", "Destination": destination,
                "Source": format!("/var/lib/docker/volumes/{name}/_data"), "Mode": "z", "RW": self.writable, "Propagation": "" })
            }
            Mounted::HostPath(path) => json!({ "Type": "bind", "Source": path, "Destination": destination, "Mode": "",
                "RW": self.writable, "Propagation": "rprivate" }),
            Mounted::Memory => json!({ "Type": "tmpfs", "Source": "", "Destination": destination, "RW": true }),
        }
    }
}

impl Machine {
    /// `POST /containers/create`.
    pub(crate) fn create(&mut self, name: &str, body: &Value) -> Result<String> {
        if self.containers.values().any(|container| container.name() == name) {
            return Err(conflict(
                "name.taken",
                &format!("The container name \"/{name}\" is already in use by container"),
            ));
        }
        refuse(&body["HostConfig"])?;
        let image = self.images.id(body["Image"].as_str().unwrap_or_default())?;
        let (mut config, host_config, networking) = split(body);
        let image_config = self.images.config(&image)["config"].clone();
        merge_image(&mut config, &image_config);
        let networks = self.wanted_networks(&host_config, &networking)?;
        let mut mounts = self.mounts(&host_config)?;
        let declared = config["Volumes"].as_object().into_iter().flatten().map(|(path, _)| clean(path));
        for destination in declared.collect::<Vec<_>>() {
            if !mounts.iter().any(|mount| mount.destination == destination) {
                let what = Mounted::Volume(self.volume_create(&json!({})));
                mounts.push(Mount { what, destination, writable: true, anonymous: true });
            }
        }
        let id = self.next_id();
        if config["Hostname"].as_str().unwrap_or_default().is_empty() {
            config["Hostname"] = id[..12].into();
        }
        let name = if name.is_empty() { format!("nameless_{}", &id[..8]) } else { name.to_owned() };
        let files = self.images.files(&image);
        let mut container = Container {
            base: json!({ "Id": id, "Created": "2026-01-01T00:00:00Z", "Name": format!("/{name}"), "Image": image,
                "Config": config, "HostConfig": host_config, "Platform": "linux", "Driver": "fake" }),
            state: State::Created,
            mounts,
            networks: BTreeMap::new(),
            image_files: files.clone(),
            files,
            exit_code: 0,
            frozen: false,
        };
        for (network, id, endpoint) in networks {
            let number = self.next_number();
            container.connect(&network, &id, &endpoint, number);
        }
        self.containers.insert(id.clone(), container);
        Ok(id)
    }

    fn wanted_networks(&self, host_config: &Value, networking: &Value) -> Result<Vec<(String, String, Value)>> {
        let mode = host_config["NetworkMode"]
            .as_str()
            .filter(|mode| !mode.is_empty() && *mode != "default")
            .unwrap_or("bridge");
        if mode.starts_with("container:") {
            return Ok(Vec::new());
        }
        let mut ends: Map<String, Value> = networking["EndpointsConfig"].as_object().cloned().unwrap_or_default();
        ends.entry(mode).or_insert(json!({}));
        if ends.len() > 1 && self.minor < 44 {
            let text = "host fake refused the request: Container cannot be connected to network endpoints (status 400)";
            return Err(Error::invalid("host.refused", text));
        }
        ends.into_iter()
            .map(|(name, end)| {
                let id = self.network_id(&name)?;
                Ok((self.networks[&id]["Name"].as_str().unwrap_or_default().to_owned(), id, end))
            })
            .collect()
    }

    fn mounts(&mut self, host_config: &Value) -> Result<Vec<Mount>> {
        let mut mounts = Vec::new();
        for bind in host_config["Binds"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let mut fields = bind.split(':');
            let (source, destination) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            let writable = !fields.next().unwrap_or_default().split(',').any(|option| option == "ro");
            let what = if source.starts_with('/') {
                self.host_paths.entry(source.to_owned()).or_default();
                Mounted::HostPath(source.to_owned())
            } else {
                Mounted::Volume(self.volume_create(&json!({ "Name": source })))
            };
            mounts.push(Mount { what, destination: clean(destination), writable, anonymous: false });
        }
        for mount in host_config["Mounts"].as_array().into_iter().flatten() {
            let source = mount["Source"].as_str().unwrap_or_default();
            let what = match mount["Type"].as_str() {
                Some("volume") => Mounted::Volume(self.volume_create(&json!({ "Name": source }))),
                Some("bind") if self.host_paths.contains_key(source) => Mounted::HostPath(source.to_owned()),
                Some("bind") => {
                    let why =
                        format!("invalid mount config for type \"bind\": bind source path does not exist: {source}");
                    return Err(Error::invalid(
                        "host.refused",
                        format!("host fake refused the request: {why} (status 400)"),
                    ));
                }
                _ => Mounted::Memory,
            };
            let destination = clean(mount["Target"].as_str().unwrap_or_default());
            let writable = !mount["ReadOnly"].as_bool().unwrap_or(false);
            mounts.push(Mount { what, destination, writable, anonymous: source.is_empty() });
        }
        Ok(mounts)
    }

    /// Graphics cards and the like are looked for before a container starts; no driver for them is here.
    pub(crate) fn hands_out(&mut self, name: &str) -> Result<()> {
        let requests = &self.container(name)?.base["HostConfig"]["DeviceRequests"];
        if requests.as_array().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        let why = "could not select device driver \"\" with capabilities: [[gpu]]";
        Err(Error::new(Kind::Unavailable, "host.failed", format!("host fake failed: {why} (status 500)")))
    }

    /// `POST …/start`: ports of the host belong to one running container.
    pub(crate) fn start(&mut self, name: &str) -> Result<()> {
        let id = self.container_id(name)?;
        let wanted = ports(&self.containers[&id].base);
        let taken = self.containers.iter().filter(|(other, container)| **other != id && container.running());
        if taken.flat_map(|(_, container)| ports(&container.base)).any(|port| wanted.contains(&port)) {
            return Err(conflict("port.taken", "Bind failed: port is already allocated"));
        }
        let container = self.container(name)?;
        match container.state {
            State::Paused => Err(conflict("container.state", "cannot start a paused container, try unpause instead")),
            _ => {
                container.state = State::Running;
                Ok(())
            }
        }
    }

    pub(crate) fn stop(&mut self, name: &str) -> Result<()> {
        let container = self.container(name)?;
        if !container.running() {
            return Ok(());
        }
        (container.state, container.frozen) = (State::Exited, false);
        if container.base["HostConfig"]["AutoRemove"].as_bool().unwrap_or(false) {
            self.remove_container(name, true);
        }
        Ok(())
    }

    pub(crate) fn pause(&mut self, name: &str, pause: bool) -> Result<()> {
        let container = self.container(name)?;
        let (from, to) = if pause { (State::Running, State::Paused) } else { (State::Paused, State::Running) };
        if container.state != from {
            let why = match (pause, container.state) {
                (true, State::Paused) => "is already paused",
                (true, _) => "is not running",
                (false, _) => "is not paused",
            };
            return Err(conflict("container.state", &format!("Container {name} {why}")));
        }
        container.state = to;
        Ok(())
    }

    /// `GET …/archive`.
    pub(crate) fn archive(&mut self, name: &str, path: &str) -> Result<Vec<u8>> {
        let id = self.container_id(name)?;
        let wanted = clean(path);
        let last = wanted.rsplit('/').next().unwrap_or_default().to_owned();
        let container = &self.containers[&id];
        let found = match container.mount(&wanted) {
            // Engines tell this character in the place of what is no text; it leads to no file.
            _ if wanted.contains('\u{fffd}') && !self.true_names.contains(&wanted) => None,
            None => container.files.tar(&wanted, &last),
            Some((mount, rest)) => match &mount.what {
                Mounted::Volume(volume) => self.volumes.get(volume).and_then(|volume| volume.files.tar(&rest, &last)),
                Mounted::HostPath(path) => self.host_paths.get(path).and_then(|files| files.tar(&rest, &last)),
                Mounted::Memory => None,
            },
        };
        found.ok_or_else(|| {
            let text =
                format!("host fake refused container {name}: Could not find the file {path} in container (status 404)");
            Error::not_found("path.not_found", text)
        })
    }

    /// A file where a mount is: engines remove what is in the directory to make way, then fail at the mount.
    fn clear_mount(&mut self, what: Option<&Mounted>) -> Error {
        let files = match what {
            Some(Mounted::Volume(volume)) => self.volumes.get_mut(volume).map(|volume| &mut volume.files),
            Some(Mounted::HostPath(path)) => self.host_paths.get_mut(path),
            _ => None,
        };
        if let Some(files) = files.filter(|files| files.get("").is_some_and(|root| root.what == What::Directory)) {
            files.clear();
        }
        Error::new(
            Kind::Unavailable,
            "host.failed",
            "host fake refused the archive: unlinkat: device or resource busy (status 500)",
        )
    }

    /// `PUT …/archive`: entries go where the container's mounts say.
    pub(crate) fn unpack(&mut self, name: &str, path: &str, entries: Vec<Entry>) -> Result<()> {
        let id = self.container_id(name)?;
        let base = clean(path);
        for entry in entries {
            let target = clean(&format!("{base}/{}", entry.path));
            let container = &self.containers[&id];
            let (what, rest, writable) = match container.mount(&target) {
                None => (None, target, !container.base["HostConfig"]["ReadonlyRootfs"].as_bool().unwrap_or(false)),
                Some((mount, rest)) => (Some(mount.what.clone()), rest, mount.writable),
            };
            if !writable {
                let text = format!("host fake refused container {name}: it is marked read-only (status 403)");
                return Err(Error::new(Kind::Denied, "host.denied", text));
            }
            let entry = Entry { path: rest, ..entry };
            if what.is_some() && entry.path.is_empty() && entry.what != What::Directory {
                return Err(self.clear_mount(what.as_ref()));
            }
            match what {
                None => self.container(name)?.files.put(entry),
                Some(Mounted::Volume(volume)) => self.volume(&volume)?.files.put(entry),
                Some(Mounted::HostPath(path)) => self.host_paths.entry(path).or_default().put(entry),
                Some(Mounted::Memory) => {}
            }
        }
        Ok(())
    }
}

/// The body of a creation holds the config with two other things in it.
/// Processors of the host.
pub(crate) const CPUS: u64 = 2;

/// What an engine refuses of a container that asks for what its host lacks.
fn refuse(host_config: &Value) -> Result<()> {
    let asked = |key: &str| host_config[key].as_str().unwrap_or_default().to_owned();
    let refused =
        |why: String| Err(Error::invalid("host.refused", format!("host fake refused the request: {why} (status 400)")));
    if host_config["NanoCpus"].as_u64().unwrap_or(0) > CPUS * 1_000_000_000 {
        return refused(format!("range of CPUs is from 0.01 to {CPUS}.00, as there are only {CPUS} CPUs available"));
    }
    if !matches!(&*asked("Runtime"), "" | "runc") {
        return refused(format!("unknown or invalid runtime name: {}", asked("Runtime")));
    }
    let log = host_config["LogConfig"]["Type"].as_str().unwrap_or_default();
    if !matches!(log, "" | "none" | "json-file" | "local") {
        return refused(format!("logger: no log driver named '{log}' is registered"));
    }
    Ok(())
}

fn split(body: &Value) -> (Value, Value, Value) {
    let mut config = body.clone();
    let mut take = |field: &str| config.as_object_mut().and_then(|fields| fields.remove(field)).unwrap_or(json!({}));
    let (mut host_config, networking) = (take("HostConfig"), take("NetworkingConfig"));
    if host_config["NetworkMode"].as_str().unwrap_or_default().is_empty() {
        host_config["NetworkMode"] = "default".into();
    }
    (config, host_config, networking)
}

/// What the body leaves open comes from the image; labels and volumes of both count.
fn merge_image(config: &mut Value, image: &Value) {
    for field in ["Cmd", "Entrypoint", "Env", "WorkingDir", "User"] {
        if config[field].is_null() && !image[field].is_null() {
            config[field] = image[field].clone();
        }
    }
    for field in ["Labels", "Volumes"] {
        for (key, value) in image[field].as_object().into_iter().flatten() {
            if config[field].get(key).is_none() {
                config[field][key] = value.clone();
            }
        }
    }
}

fn ports(base: &Value) -> Vec<String> {
    let bindings = base["HostConfig"]["PortBindings"].as_object().into_iter().flatten();
    let all = bindings.flat_map(|(_, ends)| ends.as_array().into_iter().flatten());
    let named = all.filter_map(|end| end["HostPort"].as_str()).filter(|port| !port.is_empty() && *port != "0");
    named.map(str::to_owned).collect()
}

/// A file of root's, for tests.
pub(crate) fn file(path: &str, content: &[u8]) -> Entry {
    Entry { what: What::File(content.to_vec()), ..Entry::file(path, "") }
}
