//! A Docker engine that answers what an input says: true to form, and twisted wherever the input wants.
//!
//! Nothing it is told changes it, so that each input is one case.

use crate::food::Food;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use holdfast_docker::{
    Attached, ByteStream, Engine, Exec, Running, Said,
    archive::{self, Entry},
};
use holdfast_model::{
    Error, Kind, Result,
    snapshot::{EngineInfo, LayerChange},
};
use serde_json::{Value, json};

/// Words that engines use and that mean something to us.
const WORDS: [&str; 40] = [
    "",
    "/",
    "..",
    "bridge",
    "host",
    "none",
    "default",
    "container:db",
    "com.docker.compose.project",
    "app",
    "running",
    "Id",
    "Name",
    "Names",
    "Image",
    "Config",
    "HostConfig",
    "NetworkSettings",
    "Networks",
    "Mounts",
    "Type",
    "volume",
    "bind",
    "tmpfs",
    "Source",
    "Destination",
    "Labels",
    "State",
    "Driver",
    "local",
    "Options",
    "IPAM",
    "Subnet",
    "172.18.0.0/16",
    "::/0",
    "300.1.1.1/99",
    "RootFS",
    "Layers",
    "sha256:",
    "io.holdfast.helper",
];

/// The host of an input.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) info: EngineInfo,
    pub(crate) containers: Vec<Value>,
    pub(crate) container: Value,
    pub(crate) changes: Vec<LayerChange>,
    pub(crate) image: Value,
    pub(crate) volume: Value,
    pub(crate) network: Value,
    /// What volumes and paths hold, as a tar.
    pub(crate) archive: Vec<u8>,
    /// What an image is saved as.
    pub(crate) saved: Vec<u8>,
    /// What a mover says, whatever it is asked; nothing if none may run.
    pub(crate) said: Option<Vec<u8>>,
}

impl Host {
    /// An honest host with one project of two containers.
    pub(crate) fn honest() -> Host {
        Host {
            info: EngineInfo { product: "docker".into(), platform: "linux/amd64".into(), ..EngineInfo::default() },
            containers: vec![line("db", "running"), line("web", "exited")],
            container: container(),
            changes: [("/etc/added", 1), ("/etc", 0), ("/tmp/gone", 2)]
                .map(|(path, kind)| LayerChange { path: path.into(), kind })
                .into(),
            image: image(),
            volume: json!({"Name": "app_data", "Driver": "local", "Mountpoint": "/var/lib/docker/volumes/app_data/_data",
                "Labels": {"com.docker.compose.project": "app"}, "Options": null, "Scope": "local",
                "CreatedAt": "2026-01-01T01:00:00Z"}),
            network: network(),
            archive: Vec::new(),
            saved: Vec::new(),
            said: None,
        }
    }

    /// The same with the input's twists; what is left of the input stays in it.
    pub(crate) fn twisted(mut self, food: &mut Food<'_>) -> Host {
        for list in &mut self.containers {
            twist(list, food);
        }
        for one in [&mut self.container, &mut self.image, &mut self.volume, &mut self.network] {
            twist(one, food);
        }
        self
    }
}

/// Up to seven changes at places and of kinds that the input chooses.
pub(crate) fn twist(value: &mut Value, food: &mut Food<'_>) {
    for _ in 0..food.byte() % 8 {
        if food.is_empty() {
            return;
        }
        change(place(value, food), food);
    }
}

/// Where the input leads: down until it stops or there is nothing below.
fn place<'v>(value: &'v mut Value, food: &mut Food<'_>) -> &'v mut Value {
    let choice = usize::from(food.byte());
    let below = match &*value {
        Value::Object(fields) => fields.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    let step = choice % (below + 1);
    if step == below {
        return value;
    }
    let next = match value {
        Value::Object(fields) => fields.values_mut().nth(step),
        Value::Array(items) => items.get_mut(step),
        _ => None,
    };
    place(next.expect("the step is within"), food)
}

fn change(at: &mut Value, food: &mut Food<'_>) {
    let kind = food.byte();
    let word = |food: &mut Food<'_>| WORDS[usize::from(food.byte()) % WORDS.len()];
    match kind % 16 {
        0 => *at = Value::Null,
        1 => *at = json!(true),
        2 => *at = json!(food.u64()),
        3 => *at = json!(food.u64().cast_signed()),
        4 => *at = json!(0.5),
        5 => *at = json!([]),
        6 => *at = json!({}),
        7 => *at = json!(String::from_utf8_lossy(food.stretch())),
        8 => *at = json!([at.clone(), at.clone()]),
        9 => *at = (0..100).fold(at.clone(), |inner, _| json!([inner])),
        10 => *at = json!({ word(food): at.clone() }),
        11 | 12 => match at {
            Value::Object(fields) => drop(fields.insert(word(food).to_owned(), json!(word(food)))),
            Value::Array(items) => items.push(json!(word(food))),
            other => *other = json!(word(food)),
        },
        13 => match at {
            Value::Object(fields) => fields.clear(),
            Value::Array(items) => drop(items.pop()),
            other => *other = json!(format!("{}{}", word(food), other)),
        },
        _ => *at = json!(word(food)),
    }
}

fn line(service: &str, state: &str) -> Value {
    json!({
        "Id": service.repeat(32).get(..64).unwrap_or(service), "Names": [format!("/app-{service}-1")], "Image": "busybox:1",
        "ImageID": "sha256:11", "State": state, "Status": "Up", "Labels": {
            "com.docker.compose.project": "app", "com.docker.compose.service": service,
            "com.docker.compose.oneoff": "False", "holdfast.policy": "gold"
        },
        "NetworkSettings": {"Networks": {"app_default": {"NetworkID": "n1"}}},
        "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
        "Mounts": [{"Type": "volume", "Name": "app_data", "Source": "", "Destination": "/data", "Driver": "local"},
            {"Type": "bind", "Source": "/srv/x", "Destination": "/x"}]
    })
}

fn container() -> Value {
    json!({
        "Id": "ab".repeat(32), "Name": "/app-db-1", "Created": "2026-01-01T01:00:00Z", "Path": "sh", "Args": ["-c", "x"],
        "State": {"Status": "running", "Running": true, "Paused": false, "Pid": 5, "ExitCode": 0, "Health": {"Status": "healthy"}},
        "Image": "sha256:11", "RestartCount": 0, "Platform": "linux", "AppArmorProfile": "docker-default",
        "Mounts": [{"Type": "volume", "Name": "app_data", "Source": "/var/lib/docker/volumes/app_data/_data",
                "Destination": "/data", "Driver": "local", "Mode": "z", "RW": true},
            {"Type": "bind", "Source": "/srv/x", "Destination": "/x", "Mode": "ro", "RW": false}],
        "Config": {"Hostname": "abababababab", "Env": ["A=b"], "Cmd": ["x"], "Image": "busybox:1", "StopTimeout": 3,
            "Volumes": {"/data": {}}, "ExposedPorts": {"80/tcp": {}}, "MacAddress": "02:42:ac:12:00:02",
            "Labels": {"com.docker.compose.project": "app", "com.docker.compose.service": "db",
                "com.docker.compose.depends_on": "web:service_started:true", "traefik.http": "x"}},
        "HostConfig": {"Binds": ["app_data:/data:rw", "/srv/x:/x:ro"], "NetworkMode": "app_default",
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}, "AutoRemove": false, "Runtime": "runc",
            "Links": ["/web:/db/web"], "VolumesFrom": ["web:ro"], "IpcMode": "private", "PidMode": "container:web",
            "Tmpfs": {"/run": "size=1m"}, "Mounts": [{"Type": "volume", "Source": "app_data", "Target": "/data",
                "VolumeOptions": {"NoCopy": true, "Labels": {}}}]},
        "NetworkSettings": {"Networks": {"app_default": {"IPAMConfig": {"IPv4Address": "172.18.0.9"}, "Links": null,
            "Aliases": ["db", "abababababab"], "NetworkID": "n1", "EndpointID": "e1", "Gateway": "172.18.0.1",
            "IPAddress": "172.18.0.9", "MacAddress": "02:42:ac:12:00:09", "DriverOpts": null}}}
    })
}

fn image() -> Value {
    json!({
        "Id": "sha256:11", "RepoTags": ["busybox:1"], "RepoDigests": [], "Architecture": "amd64", "Os": "linux",
        "Config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]}, "RootFS": {"Type": "layers", "Layers": [format!("sha256:{}", archive::sha256(&layer()))]}
    })
}

/// The layer of the image.
pub(crate) fn layer() -> Vec<u8> {
    archive::tar(&[Entry::file("a", "x")])
}

fn network() -> Value {
    json!({
        "Name": "app_default", "Id": "n1", "Created": "2026-01-01T01:00:00Z", "Scope": "local", "Driver": "bridge",
        "EnableIPv6": false, "IPAM": {"Driver": "default", "Options": null,
            "Config": [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1", "IPRange": "172.18.1.0/24"}]},
        "Internal": false, "Attachable": false, "Ingress": false, "ConfigFrom": {"Network": ""}, "ConfigOnly": false,
        "Containers": {"ab": {"Name": "app-db-1", "IPv4Address": "172.18.0.9/16"}}, "Options": {},
        "Labels": {"com.docker.compose.project": "app", "com.docker.compose.network": "default"}
    })
}

fn pieces(bytes: &[u8]) -> ByteStream {
    let list: Vec<Result<Bytes>> = bytes.chunks(700).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(list).boxed()
}

#[async_trait]
impl Engine for Host {
    async fn info(&self) -> Result<EngineInfo> {
        Ok(self.info.clone())
    }
    async fn describe(&self) -> Result<Value> {
        Ok(Value::Null)
    }
    async fn container_list(&self) -> Result<Vec<Value>> {
        Ok(self.containers.clone())
    }
    async fn container_inspect(&self, _: &str) -> Result<String> {
        Ok(self.container.to_string())
    }
    async fn container_changes(&self, _: &str) -> Result<Vec<LayerChange>> {
        Ok(self.changes.clone())
    }
    async fn container_create(&self, _: &str, _: &Value) -> Result<String> {
        Ok("helper".into())
    }
    async fn container_start(&self, _: &str) -> Result<()> {
        Ok(())
    }
    async fn container_stop(&self, _: &str, _: u32) -> Result<()> {
        Ok(())
    }
    async fn container_pause(&self, _: &str) -> Result<()> {
        Ok(())
    }
    async fn container_unpause(&self, _: &str) -> Result<()> {
        Ok(())
    }
    async fn container_restart(&self, _: &str, _: u32) -> Result<()> {
        Ok(())
    }
    async fn container_attach(&self, _: &str) -> Result<Attached> {
        let Some(said) = &self.said else {
            return Err(Error::new(Kind::Denied, "host.denied", "no mover may run here"));
        };
        let output = pieces(said).map(|piece| piece.map(Said::Out));
        Ok(Attached { input: Box::pin(tokio::io::sink()), output: output.boxed() })
    }
    async fn container_top(&self, _: &str) -> Result<Vec<String>> {
        Ok(vec![String::from_utf8_lossy(&self.archive).into_owned()])
    }
    async fn exec_start(&self, _: &str, _: Exec<'_>) -> Result<Running> {
        Err(Error::new(Kind::Conflict, "container.state", "it does not run"))
    }
    async fn exec_code(&self, _: &str) -> Result<Option<i64>> {
        Ok(Some(0))
    }
    async fn container_rename(&self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }
    async fn container_remove(&self, _: &str, _: bool) -> Result<()> {
        Ok(())
    }
    async fn archive_get(&self, _: &str, _: &str) -> Result<ByteStream> {
        Ok(pieces(&self.archive))
    }
    async fn archive_put(&self, _: &str, _: &str, _: ByteStream) -> Result<()> {
        Ok(())
    }
    async fn image_list(&self) -> Result<Vec<Value>> {
        Ok(vec![self.image.clone()])
    }
    async fn image_inspect(&self, name: &str) -> Result<String> {
        if name.is_empty() {
            return Err(Error::not_found("image.not_found", "no such image"));
        }
        Ok(self.image.to_string())
    }
    async fn image_save(&self, _: &str) -> Result<ByteStream> {
        Ok(pieces(&self.saved))
    }
    async fn image_load(&self, _: ByteStream) -> Result<()> {
        Ok(())
    }
    async fn image_tag(&self, _: &str, _: &str, _: &str) -> Result<()> {
        Ok(())
    }
    async fn image_remove(&self, _: &str) -> Result<()> {
        Ok(())
    }
    async fn volume_list(&self) -> Result<Vec<Value>> {
        Ok(vec![self.volume.clone()])
    }
    async fn volume_inspect(&self, _: &str) -> Result<String> {
        Ok(self.volume.to_string())
    }
    async fn volume_create(&self, _: &Value) -> Result<String> {
        Ok("volume".into())
    }
    async fn volume_remove(&self, _: &str) -> Result<()> {
        Ok(())
    }
    async fn network_list(&self) -> Result<Vec<Value>> {
        Ok(vec![self.network.clone()])
    }
    async fn network_inspect(&self, _: &str) -> Result<String> {
        Ok(self.network.to_string())
    }
    async fn network_create(&self, _: &Value) -> Result<String> {
        Ok("network".into())
    }
    async fn network_connect(&self, _: &str, _: &str, _: &Value) -> Result<()> {
        Ok(())
    }
    async fn network_remove(&self, _: &str) -> Result<()> {
        Ok(())
    }
    async fn events(&self) -> Result<BoxStream<'static, Result<Value>>> {
        Ok(stream::empty().boxed())
    }
}
