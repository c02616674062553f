//! A small app on a real engine, a small capture of it into memory, and its removal.
//!
//! Everything is called `hfrestore-…` and removed when the test ends, also when it fails.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part, and fails loudly")]

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use holdfast_docker::{ByteStream, Engine, archive, fake::FakeDocker};
use holdfast_model::{
    Error, Kind, Moment, RepositoryId, Result, SnapshotId, policy::Consistency, settings::Host, snapshot::*,
};
use holdfast_restore::Source;
use holdfast_tar::{MemberKind, Step, Walker, write};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

pub async fn engine() -> Option<Arc<dyn Engine>> {
    if std::env::var_os("HOLDFAST_REAL_DOCKER").is_none_or(|value| value != "1") {
        return None;
    }
    let url = std::env::var("HOLDFAST_DOCKER_URL").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let host = Host { name: "local".into(), url, tls: None, ssh: None };
    Some(holdfast_docker::connect(&host).await.expect("a Docker engine is there"))
}

/// Streams in memory; can be told to fail.
#[derive(Default)]
pub struct Memory {
    streams: Mutex<HashMap<String, Vec<u8>>>,
    pub wrote: AtomicU64,
    /// The stream with this digest breaks off in the middle.
    pub broken: Mutex<Option<String>>,
    pub log: Mutex<Vec<String>>,
}

impl Memory {
    pub fn keep(&self, bytes: Vec<u8>, entries: u64) -> StreamRef {
        let sha256 = archive::sha256(&bytes);
        let stream = StreamRef { length: bytes.len() as u64, sha256: sha256.clone(), entries, ..StreamRef::default() };
        self.streams.lock().unwrap().insert(sha256, bytes);
        stream
    }
    /// Whether the stored tar begins with a directory.
    fn is_directory(&self, stream: &StreamRef) -> bool {
        self.streams.lock().unwrap()[&stream.sha256][156] == b'5'
    }
    /// Gives other bytes for a stream from now on, as no repository does.
    pub fn swap(&self, stream: &StreamRef, bytes: Vec<u8>) {
        self.streams.lock().unwrap().insert(stream.sha256.clone(), bytes);
    }
    pub fn break_off(&self, stream: &StreamRef) {
        *self.broken.lock().unwrap() = Some(stream.sha256.clone());
    }
}

#[async_trait]
impl Source for Memory {
    async fn open(&self, stream: &StreamRef) -> Result<ByteStream> {
        let bytes = self.streams.lock().unwrap().get(&stream.sha256).cloned().unwrap();
        let broken = self.broken.lock().unwrap().as_ref() == Some(&stream.sha256);
        let end = if broken { bytes.len() / 2 } else { bytes.len() };
        let mut pieces: Vec<Result<Bytes>> =
            bytes[..end].chunks(60_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        if broken {
            pieces.push(Err(Error::new(Kind::Corrupt, "pack.corrupt", "a pack is damaged")));
        }
        Ok(futures::stream::iter(pieces).boxed())
    }
    fn phase(&self, _: &str, _: u32, _: u32) {}
    fn item(&self, _: &str) {}
    fn wrote(&self, bytes: u64) {
        self.wrote.fetch_add(bytes, Ordering::Relaxed);
    }
    fn log(&self, text: &str) {
        self.log.lock().unwrap().push(text.to_owned());
    }
}

pub async fn bytes(mut stream: ByteStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece.unwrap());
    }
    all
}

/// Members of a tar: name, is it a symlink (target), content.
pub fn members(tar: &[u8]) -> Vec<(String, Option<String>, Vec<u8>)> {
    let mut walker = Walker::new();
    walker.feed(Bytes::copy_from_slice(tar));
    let mut found: Vec<(String, Option<String>, Vec<u8>)> = Vec::new();
    while let Some(step) = walker.step().unwrap() {
        match step {
            Step::Open(member) => {
                let link = (member.kind == MemberKind::Symlink).then(|| String::from_utf8(member.link).unwrap());
                let name = String::from_utf8(member.path).unwrap();
                found.push((name, link, Vec::new()));
            }
            Step::Data(bytes) => found.last_mut().unwrap().2.extend_from_slice(&bytes),
            Step::Close => {}
        }
    }
    walker.finish().unwrap();
    found
}

/// One app under test.
pub struct App {
    pub engine: Arc<dyn Engine>,
    pub name: String,
    pub port: u16,
    /// Second number of its addresses.
    pub subnet: u8,
    pub folder: PathBuf,
}

impl App {
    /// A project with a network of fixed addresses, `db` (named and anonymous volume, healthcheck) and
    /// `web` (bind mounts, published port, changed files in its own layer).
    pub async fn up(engine: Arc<dyn Engine>, name: &str, subnet: u8) -> App {
        let port = 21_000 + u16::from(subnet);
        let folder = PathBuf::from(format!("/tmp/{name}"));
        let app = App { engine, name: name.to_owned(), port, subnet, folder };
        app.down().await;
        app.folders();
        image(app.engine.as_ref(), &format!("{name}:1")).await;
        app.network().await;
        app.volume().await;
        app.db().await;
        app.web().await;
        app
    }

    fn labels(&self, service: &str) -> Value {
        json!({"com.docker.compose.project": self.name, "com.docker.compose.service": service,
            "com.docker.compose.depends_on": if service == "web" { "db:service_healthy:false" } else { "" }})
    }

    fn folders(&self) {
        std::fs::create_dir_all(self.folder.join("www/sub")).unwrap();
        std::fs::write(self.folder.join("www/index.html"), "hello").unwrap();
        std::fs::write(self.folder.join("www/sub/deep"), "deep").unwrap();
        std::fs::write(self.folder.join("web.conf"), "conf=1").unwrap();
    }

    /// The same app on an engine in memory, where nothing runs by itself.
    pub async fn imagined(fake: &FakeDocker) -> App {
        let engine: Arc<dyn Engine> = Arc::new(fake.clone());
        let app = App { engine, name: "shop".into(), port: 8080, subnet: 9, folder: PathBuf::from("/srv") };
        imagined_image(app.engine.as_ref(), "shop:1", "x").await;
        fake.host_directory("/srv/www", &[("index.html", b"hello"), ("sub/deep", b"deep")]);
        fake.host_file("/srv/web.conf", b"conf=1");
        app.network().await;
        app.volume().await;
        fake.volume_put("shop_data", archive::Entry::directory("").owner(999, 999).mode(0o700));
        fake.volume_put("shop_data", archive::Entry::file("dir/two", "two").owner(999, 999));
        app.create_db().await;
        app.create_web().await;
        fake.container_write("shop-web-1", "/etc/made", b"changed");
        fake.container_write("shop-web-1", "/srv/new/sub/n", b"n");
        app
    }

    async fn network(&self) {
        let body = json!({"Name": format!("{}_default", self.name), "CheckDuplicate": true, "Driver": "bridge",
            "Labels": {"com.docker.compose.project": self.name, "com.docker.compose.network": "default"},
            "IPAM": {"Driver": "default", "Config": [{"Subnet": format!("10.{}.0.0/24", self.subnet)}]}});
        self.engine.network_create(&body).await.unwrap();
    }

    async fn volume(&self) {
        let body = json!({"Name": self.volume_name(),
            "Labels": {"com.docker.compose.project": self.name, "com.docker.compose.volume": "data"}});
        self.engine.volume_create(&body).await.unwrap();
    }

    pub fn volume_name(&self) -> String {
        format!("{}_data", self.name)
    }
    pub fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.name)
    }

    async fn db(&self) {
        self.create_db().await;
        self.until("db", |state| state["State"]["Health"]["Status"] == "healthy").await;
    }

    async fn create_db(&self) {
        let script = "echo one >/data/one; mkdir -p /data/dir; echo two >/data/dir/two; chown -R 999:999 /data; \
            chmod 700 /data; echo anon >/anon/a; touch /data/ready; exec sleep 100000";
        let body = json!({"Image": format!("{}:1", self.name), "Cmd": ["/bin/sh", "-c", script], "Labels": self.labels("db"),
            "Env": ["PASSWORD=secret"], "Volumes": {"/anon": {}}, "StopSignal": "SIGKILL",
            "Healthcheck": {"Test": ["CMD", "/bin/ls", "/data/ready"], "Interval": 1_000_000_000u64, "Retries": 30},
            "HostConfig": {"Binds": [format!("{}:/data", self.volume_name())], "Memory": 67_108_864,
                "NetworkMode": format!("{}_default", self.name), "RestartPolicy": {"Name": "unless-stopped"}},
            "NetworkingConfig": {"EndpointsConfig": {format!("{}_default", self.name): {
                "IPAMConfig": {"IPv4Address": format!("10.{}.0.77", self.subnet)}, "Aliases": ["db", "database"]}}}});
        let id = self.engine.container_create(&self.container("db"), &body).await.unwrap();
        self.engine.container_start(&id).await.unwrap();
    }

    async fn web(&self) {
        self.create_web().await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }

    async fn create_web(&self) {
        let folder = self.folder.display();
        let script =
            "echo changed >/etc/made; mkdir -p /srv/new/sub; echo n >/srv/new/sub/n; exec /bin/httpd -f -p 80 -h /www";
        let body = json!({"Image": format!("{}:1", self.name), "Cmd": ["/bin/sh", "-c", script], "Labels": self.labels("web"),
            "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGKILL",
            "HostConfig": {"Binds": [format!("{folder}/www:/www:ro"), format!("{folder}/web.conf:/etc/web.conf")],
                "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": self.port.to_string()}]},
                "NetworkMode": format!("{}_default", self.name)},
            "NetworkingConfig": {"EndpointsConfig": {format!("{}_default", self.name): {"Aliases": ["web"]}}}});
        let id = self.engine.container_create(&self.container("web"), &body).await.unwrap();
        self.engine.container_start(&id).await.unwrap();
    }

    pub async fn until(&self, service: &str, holds: impl Fn(&Value) -> bool) {
        for _ in 0..100 {
            if holds(&inspect(self.engine.as_ref(), &self.container(service)).await.unwrap()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        panic!("{service} never got there");
    }

    /// Containers of any name that begins with the app's.
    pub async fn containers(&self) -> Vec<Value> {
        let all = self.engine.container_list().await.unwrap();
        let mine = |item: &Value| item["Names"][0].as_str().unwrap_or_default().starts_with(&format!("/{}", self.name));
        let helper = |item: &Value| item["Names"][0].as_str().unwrap_or_default().starts_with("/holdfast-restore-");
        all.into_iter()
            .filter(|item| mine(item) || helper(item) && item["Labels"]["io.holdfast.helper"] == self.name)
            .collect()
    }

    pub async fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .containers()
            .await
            .iter()
            .map(|item| item["Names"][0].as_str().unwrap().trim_matches('/').to_owned())
            .collect();
        names.sort();
        names
    }

    /// Everything on the host that carries the app's name: containers, volumes, networks.
    pub async fn all(&self) -> Vec<String> {
        let mut all = self.names().await;
        for item in self.engine.volume_list().await.unwrap().iter().chain(&self.engine.network_list().await.unwrap()) {
            let name = item["Name"].as_str().unwrap_or_default();
            if name.starts_with(&self.name) {
                all.push(name.to_owned());
            }
        }
        all
    }

    /// Removes the app, its copies and what it had.
    pub async fn down(&self) {
        for item in self.containers().await {
            self.engine.container_remove(item["Id"].as_str().unwrap(), true).await.unwrap();
        }
        for item in self.engine.volume_list().await.unwrap() {
            if item["Name"].as_str().unwrap().starts_with(&self.name) {
                self.engine.volume_remove(item["Name"].as_str().unwrap()).await.unwrap();
            }
        }
        for item in self.engine.network_list().await.unwrap() {
            if item["Name"].as_str().unwrap().starts_with(&self.name) {
                self.engine.network_remove(item["Id"].as_str().unwrap()).await.unwrap();
            }
        }
        for network in self.engine.network_list().await.unwrap() {
            assert!(!network["Name"].as_str().unwrap().starts_with(&self.name));
        }
        self.engine.image_remove(&format!("{}:1", self.name)).await.unwrap();
        let _ = std::fs::remove_dir_all(&self.folder);
    }

    /// A snapshot of it in memory.
    pub async fn capture(&self, memory: &Memory, services: &[&str]) -> Snapshot {
        let mut snapshot = Snapshot {
            format: FORMAT,
            id: SnapshotId::new(Moment::from_millis(1_000), [7; 10]),
            repository: RepositoryId([1; 16]),
            sequence: 1,
            parent: None,
            app: self.name.clone(),
            project: true,
            host: "local".into(),
            engine: self.engine.info().await.unwrap(),
            time: Moment::from_millis(1_000),
            policy: None,
            trigger: Trigger::Manual,
            consistency: Consistency::None,
            fidelity: Fidelity::Api,
            containers: vec![],
            images: vec![image_section(self.engine.as_ref(), memory, &format!("{}:1", self.name)).await],
            volumes: vec![],
            binds: vec![],
            networks: vec![],
            databases: Vec::new(),
            problems: vec![],
            stats: Stats::default(),
        };
        for service in services {
            self.section(memory, service, &mut snapshot).await;
        }
        self.add_network(&mut snapshot, "default").await;
        snapshot
    }

    pub async fn add_network(&self, snapshot: &mut Snapshot, name: &str) {
        let name = format!("{}_{name}", self.name);
        let text = self.engine.network_inspect(&name).await.unwrap();
        snapshot.networks.push(NetworkSection { name, inspect: RawJson(text) });
    }

    async fn section(&self, memory: &Memory, service: &str, snapshot: &mut Snapshot) {
        let name = self.container(service);
        let text = self.engine.container_inspect(&name).await.unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        for mount in value["Mounts"].as_array().unwrap() {
            let source = mount["Source"].as_str().unwrap();
            let is_known = snapshot.binds.iter().any(|bind| bind.source == source)
                || snapshot.volumes.iter().any(|volume| volume.name == mount["Name"]);
            if is_known || mount["Type"] == "tmpfs" {
                continue;
            }
            if mount["Type"] == "volume" {
                let volume = mount["Name"].as_str().unwrap().to_owned();
                let stream = Some(self.read(memory, &volume).await);
                let inspect = RawJson(self.engine.volume_inspect(&volume).await.unwrap());
                let anonymous = volume.len() == 64;
                snapshot.volumes.push(VolumeSection {
                    name: volume,
                    anonymous,
                    inspect,
                    stream,
                    fidelity: Fidelity::Api,
                });
            } else {
                let source = mount["Source"].as_str().unwrap().to_owned();
                let stream = Some(self.read(memory, &source).await);
                let directory = memory.is_directory(stream.as_ref().unwrap());
                snapshot.binds.push(BindSection { source, directory, stream, fidelity: Fidelity::Api });
            }
        }
        let mut layer = Vec::new();
        if service == "web" {
            for (path, into) in [("/etc/made", "/etc"), ("/srv/new", "/srv")] {
                let tar = bytes(self.engine.archive_get(&name, path).await.unwrap()).await;
                layer.push(LayerPart { into: into.into(), stream: memory.keep(tar, 1) });
            }
        }
        snapshot.containers.push(ContainerSection {
            name,
            service: Some(service.into()),
            inspect: RawJson(text),
            image: snapshot.images[0].id.clone(),
            state: if value["State"]["Running"] == true { RunState::Running } else { RunState::Stopped },
            changes: vec![LayerChange { path: "/bin/gone".into(), kind: 2 }],
            changed: 3,
            layer,
            depends_on: if service == "web" { vec!["db".into()] } else { vec![] },
        });
    }

    /// A volume or host path through a helper of the test's.
    pub async fn read(&self, memory: &Memory, source: &str) -> StreamRef {
        let body = json!({"Image": format!("{}:1", self.name), "Cmd": ["x"], "Labels": {},
            "HostConfig": {"Binds": [format!("{source}:/v:ro")], "NetworkMode": "none"}});
        let id = self.engine.container_create(&format!("{}-reader", self.name), &body).await.unwrap();
        let tar = bytes(self.engine.archive_get(&id, "/v").await.unwrap()).await;
        self.engine.container_remove(&id, false).await.unwrap();
        let entries = members(&tar).len() as u64;
        memory.keep(tar, entries)
    }

    /// Runs a shell line in a throw-away container that has a volume at `/v`.
    pub async fn shell(&self, volume: &str, line: &str) {
        let body = json!({"Image": format!("{}:1", self.name), "Cmd": ["/bin/sh", "-c", line],
            "HostConfig": {"Binds": [format!("{volume}:/v")], "NetworkMode": "none"}});
        let name = format!("{}-shell", self.name);
        let id = self.engine.container_create(&name, &body).await.unwrap();
        self.engine.container_start(&id).await.unwrap();
        for _ in 0..50 {
            let state = inspect(self.engine.as_ref(), &id).await.unwrap();
            if state["State"]["Status"] == "exited" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        self.engine.container_remove(&id, false).await.unwrap();
    }
}

pub async fn inspect(engine: &dyn Engine, name: &str) -> Option<Value> {
    engine.container_inspect(name).await.ok().map(|text| serde_json::from_str(&text).unwrap())
}

/// A two-layer image with a static busybox.
pub async fn image(engine: &dyn Engine, tag: &str) {
    let busybox = std::fs::read("/bin/busybox").or_else(|_| std::fs::read("/usr/bin/busybox")).expect("busybox-static");
    let mut base = Vec::new();
    let mut add = |header: Vec<u8>, content: &[u8]| {
        base.extend_from_slice(&header);
        base.extend_from_slice(content);
        base.extend_from_slice(write::padding(content.len() as u64));
    };
    for folder in ["bin", "etc", "srv", "www", "tmp"] {
        add(write::Entry::directory(folder.as_bytes()).header().unwrap(), b"");
    }
    add(write::Entry::file(b"bin/busybox", busybox.len() as u64).mode(0o755).header().unwrap(), &busybox);
    add(write::Entry::file(b"srv/seed", 4).header().unwrap(), b"seed");
    for applet in ["sh", "ls", "cat", "sleep", "httpd", "chown", "chmod", "mkdir", "touch", "rm"] {
        add(write::Entry::symlink(format!("bin/{applet}").as_bytes(), b"busybox").header().unwrap(), b"");
    }
    base.extend_from_slice(&write::TRAILER);
    // A layer of its own for each app, so that tests do not share images.
    let own = [
        write::Entry::file(b"etc/own", tag.len() as u64).header().unwrap(),
        tag.as_bytes().to_vec(),
        write::padding(tag.len() as u64).to_vec(),
        write::TRAILER.to_vec(),
    ]
    .concat();
    let config = json!({"architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]}});
    let bytes = archive::image(tag, &config, &[base, own]);
    engine.image_load(futures::stream::iter([Ok(bytes.into())]).boxed()).await.unwrap();
}

async fn image_section(engine: &dyn Engine, memory: &Memory, tag: &str) -> ImageSection {
    let text = engine.image_inspect(tag).await.unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let diff_ids: Vec<String> =
        value["RootFS"]["Layers"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    let tar = bytes(engine.image_save(tag).await.unwrap()).await;
    let mut parts = Vec::new();
    for (path, link, content) in members(&tar) {
        if path.ends_with('/') {
            continue;
        }
        let sha256 = archive::sha256(&content);
        let diff_id = Some(format!("sha256:{sha256}")).filter(|id| diff_ids.contains(id));
        let stream = memory.keep(content, 0);
        parts.push(ImagePart { path, sha256, stream, diff_id, link });
    }
    ImageSection {
        id: value["Id"].as_str().unwrap().to_owned(),
        tags: vec![tag.to_owned()],
        inspect: RawJson(text),
        diff_ids,
        bytes: parts.iter().map(|part| part.stream.length).sum(),
        parts,
    }
}

/// An image for the engine in memory: a base that all of them share, and a layer of its own.
pub async fn imagined_image(engine: &dyn Engine, tag: &str, own: &str) {
    let base = archive::tar(&[archive::Entry::directory("etc"), archive::Entry::directory("srv")]);
    let config = json!({"architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z", "config": {}});
    let own = archive::tar(&[archive::Entry::file("etc/own", own)]);
    let image = archive::image(tag, &config, &[base, own]);
    engine.image_load(futures::stream::iter([Ok(image.into())]).boxed()).await.unwrap();
}
