//! A Docker engine in memory: same trait, same refusals, and faults on purpose.
//!
//! It behaves like Docker 20.10 in what Holdfast relies on (the conformance suite holds both to it):
//! states, conflicts, archives through mounts, layers shared by digest, a never-started helper.
//! Never here: processes, time, real files.

mod containers;
mod faults;
mod host;
mod images;
mod mover;
mod programs;
mod tree;

pub use programs::{Mounts, Run};

use crate::{Attached, ByteStream, Engine, Exec, Running, archive::Entry, helper::is_helper, made::LIFE_LABEL};
use async_trait::async_trait;
use containers::{State, file};
use faults::Faults;
use futures::{StreamExt, stream::BoxStream};
use holdfast_model::{
    Error, Result,
    snapshot::{EngineInfo, LayerChange},
};
use host::Machine;
use programs::Programs;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;
use tree::Tree;

/// The fake engine. Clones share the same host.
#[derive(Clone)]
pub struct FakeDocker {
    machine: Arc<Mutex<Machine>>,
    faults: Arc<Mutex<Faults>>,
    programs: Arc<Mutex<Programs>>,
    news: broadcast::Sender<Value>,
    name: Arc<str>,
}

impl Default for FakeDocker {
    fn default() -> Self {
        FakeDocker::new()
    }
}

impl FakeDocker {
    /// An empty host that speaks API 1.41.
    pub fn new() -> FakeDocker {
        let fake = FakeDocker {
            machine: Arc::new(Mutex::new(Machine::new())),
            faults: Arc::default(),
            programs: Arc::default(),
            news: broadcast::channel(256).0,
            name: Arc::from("fake"),
        };
        fake.program(crate::mover::PROGRAM, mover::work);
        fake
    }

    /// A host on which no mover may run: its program is not there.
    #[must_use]
    pub fn without_mover(self) -> FakeDocker {
        self.forget_program(crate::mover::PROGRAM);
        self
    }

    /// Speaks API 1.`minor`; from 44 on containers may be created on several networks.
    #[must_use]
    pub fn speaking(self, minor: u32) -> FakeDocker {
        self.machine().minor = minor;
        self
    }

    /// Tells how many bytes are free for its data.
    pub fn tells_free(&self, bytes: u64) {
        self.machine().free_bytes = Some(bytes);
    }

    /// Puts a directory on the host, with files below it by relative path.
    pub fn host_directory(&self, path: &str, files: &[(&str, &[u8])]) {
        let mut tree = Tree::default();
        files.iter().for_each(|(name, content)| tree.put(file(name, content)));
        self.machine().host_paths.insert(path.to_owned(), tree);
    }

    /// Puts a single file on the host.
    pub fn host_file(&self, path: &str, content: &[u8]) {
        let mut tree = Tree::default();
        tree.put(file("", content));
        self.machine().host_paths.insert(path.to_owned(), tree);
    }

    /// Puts an entry below a directory of the host.
    pub fn host_put(&self, path: &str, entry: Entry) {
        self.machine().host_paths.entry(path.to_owned()).or_default().put(entry);
    }

    /// Takes a path off the host.
    pub fn host_remove(&self, path: &str) {
        self.machine().host_paths.remove(path);
    }

    /// Content of a file on the host, `path` being what was put there and `below` relative to it.
    pub fn host_content(&self, path: &str, below: &str) -> Option<Vec<u8>> {
        content(self.machine().host_paths.get(path)?, below)
    }

    /// Puts an entry into a volume; its path is relative to the volume's root (empty for the root itself).
    pub fn volume_put(&self, volume: &str, entry: Entry) {
        let mut machine = self.machine();
        machine.volume_create(&json!({ "Name": volume }));
        let now = format!("2026-01-01T01:00:{:02}Z", machine.next_number() % 60);
        if let Ok(volume) = machine.volume(volume) {
            volume.files.put(entry);
            // Engines before 23 tell the root directory's change time.
            volume.inspect["CreatedAt"] = now.into();
        }
    }

    /// An entry of a volume.
    pub fn volume_entry(&self, volume: &str, path: &str) -> Option<Entry> {
        self.machine().volumes.get(volume)?.files.get(path).cloned()
    }

    /// All paths of a volume, the root left out.
    pub fn volume_paths(&self, volume: &str) -> Vec<String> {
        let machine = self.machine();
        let entries = machine.volumes.get(volume).into_iter().flat_map(|volume| volume.files.entries());
        entries.map(|entry| entry.path.clone()).filter(|path| !path.is_empty()).collect()
    }

    /// Writes a file into a container's own file system.
    pub fn container_write(&self, container: &str, path: &str, content: &[u8]) {
        if let Ok(container) = self.machine().container(container) {
            container.files.put(file(path, content));
        }
    }

    /// Lets a file in containers really be called so, with U+FFFD in its path. Else that stands for bytes that are no text, and leads nowhere.
    pub fn has_file_called(&self, path: &str) {
        self.machine().true_names.insert(tree::clean(path));
    }

    /// Deletes a path of a container's own file system.
    pub fn container_delete(&self, container: &str, path: &str) {
        if let Ok(container) = self.machine().container(container) {
            container.files.remove(&tree::clean(path));
        }
    }

    /// An entry of a container's own file system.
    pub fn container_entry(&self, container: &str, path: &str) -> Option<Entry> {
        self.machine().container(container).ok()?.files.get(&tree::clean(path)).cloned()
    }

    /// `created`, `running`, `paused`, `exited`; `None` if it is not there.
    pub fn container_state(&self, container: &str) -> Option<&'static str> {
        Some(match self.machine().container(container).ok()?.state {
            State::Created => "created",
            State::Running => "running",
            State::Paused => "paused",
            State::Exited => "exited",
        })
    }

    /// Freezes a container without the engine's knowledge, as one does that is killed in the middle of a pause.
    pub fn container_freeze(&self, container: &str) {
        if let Ok(container) = self.machine().container(container) {
            (container.state, container.frozen) = (State::Running, true);
        }
    }

    /// Whether it is frozen like that.
    pub fn container_is_frozen(&self, container: &str) -> bool {
        self.machine().container(container).is_ok_and(|container| container.frozen)
    }

    /// Removes a container at once, as somebody else would.
    pub fn container_vanish(&self, container: &str) {
        self.machine().remove_container(container, false);
    }

    /// Makes a container at once, as somebody else would.
    pub fn container_appear(&self, name: &str, body: &Value) {
        self.machine().create(name, body).expect("its name is free");
    }

    /// Makes all helpers look as if a process that died had made them.
    pub fn orphan_helpers(&self) {
        for container in self.machine().containers.values_mut() {
            if let Some(labels) = container.base["Config"]["Labels"].as_object_mut() {
                labels.remove(LIFE_LABEL);
            }
        }
    }

    /// Lets the engine give this when it is asked for an image's archive, whatever the image is; `None` lets it be honest again.
    pub fn say_of_image(&self, name: &str, archive: Option<Vec<u8>>) {
        self.machine().images.say(name, archive);
    }

    /// A container's main process ends by itself.
    pub fn container_die(&self, container: &str) {
        if let Ok(container) = self.machine().container(container) {
            container.state = State::Exited;
            container.exit_code = 137;
        }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, kind: &str, action: &str, name: &str) {
        let helper =
            kind == "container" && self.machine().container(name).is_ok_and(|container| is_helper(&container.line()));
        if !helper {
            // Nobody listens: fine.
            let _ =
                self.news.send(json!({ "Type": kind, "Action": action, "Actor": { "ID": name, "Attributes": {} } }));
        }
    }

    fn told<T>(&self, kind: &str, action: &str, name: &str, outcome: Result<T>) -> Result<T> {
        if outcome.is_ok() {
            self.tell(kind, action, name);
        }
        outcome
    }
}

/// Entries of a tar, read as engines read it.
pub(crate) fn tree_of(bytes: &[u8]) -> Result<Vec<Entry>> {
    tree::read(bytes)
}

fn content(tree: &Tree, path: &str) -> Option<Vec<u8>> {
    match &tree.get(path)?.what {
        crate::archive::What::File(content) => Some(content.clone()),
        _ => None,
    }
}

/// All of a stream, for an engine that keeps everything in memory anyway.
async fn collect(mut stream: ByteStream) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

#[async_trait]
impl Engine for FakeDocker {
    async fn info(&self) -> Result<EngineInfo> {
        self.enter("info", "")?;
        let free_bytes = self.machine().free_bytes;
        Ok(EngineInfo {
            product: "docker".into(),
            version: "20.10.24".into(),
            api_version: format!("1.{}", self.machine().minor),
            driver: "overlay2".into(),
            platform: "linux/amd64".into(),
            name: self.name.to_string(),
            id: "FAKE:FAKE".into(),
            free_bytes,
            ..EngineInfo::default()
        })
    }

    async fn describe(&self) -> Result<Value> {
        self.enter("describe", "")?;
        Ok(serde_json::json!({
            "NCPU": containers::CPUS, "MemoryLimit": true, "SwapLimit": false, "PidsLimit": true, "CpuCfsQuota": true,
            "Plugins": { "Volume": ["local"], "Network": ["bridge", "host", "null", "overlay"], "Log": ["json-file", "local"] },
        }))
    }

    async fn container_list(&self) -> Result<Vec<Value>> {
        self.enter("container_list", "")?;
        Ok(self.machine().containers.values().map(containers::Container::line).collect())
    }

    async fn container_inspect(&self, id: &str) -> Result<String> {
        self.enter("container_inspect", id)?;
        Ok(self.machine().container(id)?.inspect().to_string())
    }

    async fn container_changes(&self, id: &str) -> Result<Vec<LayerChange>> {
        self.enter("container_changes", id)?;
        Ok(self.machine().container(id)?.changes())
    }

    async fn container_create(&self, name: &str, body: &Value) -> Result<String> {
        self.enter("container_create", name)?;
        let made = self.machine().create(name, body);
        self.told("container", "create", name, made)
    }

    async fn container_start(&self, id: &str) -> Result<()> {
        self.enter("container_start", id)?;
        self.machine().hands_out(id)?;
        self.runnable(id)?;
        let outcome = self.machine().start(id);
        if outcome.is_ok() {
            self.run(id);
        }
        self.told("container", "start", id, outcome)
    }

    async fn container_stop(&self, id: &str, _: u32) -> Result<()> {
        self.enter("container_stop", id)?;
        let outcome = self.machine().stop(id);
        self.told("container", "stop", id, outcome)
    }

    async fn container_pause(&self, id: &str) -> Result<()> {
        self.enter("container_pause", id)?;
        let outcome = self.machine().pause(id, true);
        self.told("container", "pause", id, outcome)
    }

    async fn container_unpause(&self, id: &str) -> Result<()> {
        self.enter("container_unpause", id)?;
        let outcome = self.machine().pause(id, false);
        self.told("container", "unpause", id, outcome)
    }

    async fn container_restart(&self, id: &str, _: u32) -> Result<()> {
        self.enter("container_restart", id)?;
        let outcome = {
            let mut machine = self.machine();
            machine.stop(id).and_then(|()| machine.start(id))
        };
        self.told("container", "restart", id, outcome)
    }

    async fn container_rename(&self, id: &str, name: &str) -> Result<()> {
        self.enter("container_rename", id)?;
        let mut machine = self.machine();
        if machine.containers.values().any(|container| container.name() == name) {
            let why = format!("The container name \"/{name}\" is already in use by container");
            return Err(host::conflict("name.taken", &why));
        }
        machine.container(id)?.base["Name"] = format!("/{name}").into();
        Ok(())
    }

    async fn container_remove(&self, id: &str, volumes: bool) -> Result<()> {
        self.enter("container_remove", id)?;
        self.tell("container", "destroy", id);
        self.machine().remove_container(id, volumes);
        Ok(())
    }

    async fn container_attach(&self, id: &str) -> Result<Attached> {
        let cut = self.enter("container_attach", id)?;
        self.attach(id, cut)
    }

    async fn container_top(&self, id: &str) -> Result<Vec<String>> {
        self.enter("container_top", id)?;
        self.top(id)
    }

    async fn exec_start(&self, id: &str, exec: Exec<'_>) -> Result<Running> {
        self.enter("exec_start", &format!("{id} {} {}", exec.user.unwrap_or_default(), exec.command.join(" ")))?;
        self.exec(id, &exec)
    }

    async fn exec_code(&self, exec: &str) -> Result<Option<i64>> {
        self.enter("exec_code", exec)?;
        self.code(exec)
    }

    async fn archive_get(&self, id: &str, path: &str) -> Result<ByteStream> {
        let cut = self.enter("archive_get", &format!("{id} {path}"))?;
        let bytes = self.machine().archive(id, path)?;
        Ok(self.flow(bytes, cut))
    }

    async fn archive_put(&self, id: &str, path: &str, tar: ByteStream) -> Result<()> {
        self.enter("archive_put", &format!("{id} {path}"))?;
        let bytes = collect(tar).await?;
        self.enter("archive_put.end", &format!("{id} {path}"))?;
        let entries = tree::read(&bytes)?;
        self.machine().unpack(id, path, entries)
    }

    async fn image_list(&self) -> Result<Vec<Value>> {
        self.enter("image_list", "")?;
        Ok(self.machine().images.list())
    }

    async fn image_inspect(&self, name: &str) -> Result<String> {
        self.enter("image_inspect", name)?;
        Ok(self.machine().images.inspect(name)?.to_string())
    }

    async fn image_save(&self, name: &str) -> Result<ByteStream> {
        let cut = self.enter("image_save", name)?;
        let bytes = self.machine().images.save(name)?;
        Ok(self.flow(bytes, cut))
    }

    async fn image_load(&self, tar: ByteStream) -> Result<()> {
        self.enter("image_load", "")?;
        let bytes = collect(tar).await?;
        self.machine().images.load(&bytes)
    }

    async fn image_tag(&self, name: &str, repo: &str, tag: &str) -> Result<()> {
        self.enter("image_tag", name)?;
        self.machine().images.tag(name, &format!("{repo}:{tag}"))
    }

    async fn image_remove(&self, name: &str) -> Result<()> {
        self.enter("image_remove", name)?;
        let mut machine = self.machine();
        let used: Vec<String> = machine
            .containers
            .values()
            .filter_map(|container| container.base["Image"].as_str().map(str::to_owned))
            .collect();
        machine.images.remove(name, &|id| used.iter().any(|used| used == id))
    }

    async fn volume_list(&self) -> Result<Vec<Value>> {
        self.enter("volume_list", "")?;
        Ok(self.machine().volumes.values().map(|volume| volume.inspect.clone()).collect())
    }

    async fn volume_inspect(&self, name: &str) -> Result<String> {
        self.enter("volume_inspect", name)?;
        Ok(self.machine().volume(name)?.inspect.to_string())
    }

    async fn volume_create(&self, body: &Value) -> Result<String> {
        self.enter("volume_create", body["Name"].as_str().unwrap_or_default())?;
        if body["Name"].as_str().is_some_and(|name| name.contains('/')) {
            return Err(Error::invalid("host.refused", "a volume's name includes invalid characters"));
        }
        let name = self.machine().volume_create(body);
        self.tell("volume", "create", &name);
        Ok(name)
    }

    async fn volume_remove(&self, name: &str) -> Result<()> {
        self.enter("volume_remove", name)?;
        let mut machine = self.machine();
        if machine.volume_used(name) {
            return Err(host::conflict("volume.in_use", &format!("remove {name}: volume is in use")));
        }
        machine.volumes.remove(name);
        Ok(())
    }

    async fn network_list(&self) -> Result<Vec<Value>> {
        self.enter("network_list", "")?;
        Ok(self.machine().networks.values().cloned().collect())
    }

    async fn network_inspect(&self, id: &str) -> Result<String> {
        self.enter("network_inspect", id)?;
        let machine = self.machine();
        Ok(machine.network_view(&machine.network_id(id)?).to_string())
    }

    async fn network_create(&self, body: &Value) -> Result<String> {
        self.enter("network_create", body["Name"].as_str().unwrap_or_default())?;
        if body["Name"].as_str().is_none_or(|name| name.trim().is_empty()) {
            return Err(Error::invalid("host.refused", "invalid name"));
        }
        self.machine().network_create(body)
    }

    async fn network_connect(&self, network: &str, container: &str, endpoint: &Value) -> Result<()> {
        self.enter("network_connect", &format!("{network} {container}"))?;
        self.machine().network_connect(network, container, endpoint)
    }

    async fn network_remove(&self, id: &str) -> Result<()> {
        self.enter("network_remove", id)?;
        self.machine().network_remove(id)
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<Value>>> {
        self.enter("events", "")?;
        let listener = self.news.subscribe();
        let lagged = |_| Error::invalid("host.events_lost", "events of the host were lost");
        Ok(futures::stream::unfold(listener, move |mut listener| async move {
            match listener.recv().await {
                Ok(event) => Some((Ok(event), listener)),
                Err(broadcast::error::RecvError::Lagged(missed)) => Some((Err(lagged(missed)), listener)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
        .boxed())
    }
}
