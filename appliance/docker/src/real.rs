//! The real engine: bollard carries commands and archives, our own calls carry JSON verbatim.
//!
//! Both share one HTTP client ([`wire`]). Typed answers of bollard are never used, because they drop
//! fields and fail on values that are newer than they are.

mod body;
mod lines;
mod owners;
mod refusal;
mod socket;
mod space;
mod ssh;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use crate::{Attached, ByteStream, Engine, Exec, Lanes, Running, Said, helper::is_about_helpers};
use async_trait::async_trait;
use body::{UploadWatch, watched};
use bollard::{Docker, container::LogOutput, exec::StartExecResults, query_parameters as query};
use futures::{StreamExt, stream::BoxStream};
use holdfast_model::{
    Error, Kind, Result,
    settings::Host,
    snapshot::{EngineInfo, LayerChange},
};
use http::Method;
use refusal::About;
use serde::Deserialize;
use serde_json::Value;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::OnceCell;
use wire::{Wire, encode};

/// Commands that change state: an engine that removes a large layer takes minutes.
const COMMAND_LIMIT: Duration = Duration::from_secs(600);

/// Overlay engines stage a whole image before its first byte, and the size of an image has no bound;
/// silence within uploads is watched apart.
const STAGING_LIMIT: Duration = Duration::from_secs(6 * 3600);

/// How often and how long we wait for a removal that somebody else began.
const REMOVAL_TRIES: u32 = 40;
const REMOVAL_WAIT: Duration = Duration::from_millis(250);

/// Connects to a host and agrees on an API version.
///
/// `host.socket_missing`, `host.unreachable` (`Unavailable`), `host.denied`, `host.too_old`
/// (`Refused`), `host.tls`, `host.url` (`Invalid`).
pub async fn connect(host: &Host) -> Result<Arc<dyn Engine>> {
    connect_with(host, None).await
}

/// Connects to a host whose movers may talk to us past the engine where that is on this machine, in a folder that is made
/// in `lanes` for this connection. Errors as [`connect`]'s.
pub async fn connect_beside(host: &Host, lanes: &Path) -> Result<Arc<dyn Engine>> {
    let told = |error: &Error| tracing::warn!(%error, "movers talk through the engine");
    let is_near = host.url.starts_with("unix://");
    connect_with(host, is_near.then(|| Lanes::open(lanes).inspect_err(told).ok()).flatten()).await
}

pub(crate) async fn connect_with(host: &Host, lanes: Option<Lanes>) -> Result<Arc<dyn Engine>> {
    let wire = Wire::new(socket::Connector::new(host)?);
    let pong = wire.negotiate().await?;
    let carrier = wire.clone();
    let version = bollard::ClientVersion { major_version: 1, minor_version: pong.minor as usize };
    let docker = Docker::connect_with_custom_transport(
        move |request| carrier.clone().carry(request),
        Some("http://docker"),
        COMMAND_LIMIT.as_secs(),
        &version,
    )
    .map_err(|error| Error::bug("the Docker client could not be made").caused_by(error))?;
    let patient = docker.clone().with_timeout(STAGING_LIMIT);
    let (lanes, space) = (lanes.map(Arc::new), space::Space::default());
    Ok(Arc::new(RealDocker { wire, docker, patient, remap: OnceCell::new(), lanes, space }))
}

struct RealDocker {
    wire: Wire,
    docker: Docker,
    /// The same client with a limit fit for staging and uploads: bollard counts the whole upload.
    patient: Docker,
    /// Which users of the host those of containers are, once it was asked.
    remap: OnceCell<Option<owners::Remap>>,
    lanes: Option<Arc<Lanes>>,
    space: space::Space,
}

impl RealDocker {
    /// Takes the outcome of a bollard call.
    fn done(&self, about: About<'_>, outcome: Result<(), bollard::errors::Error>) -> Result<()> {
        outcome.map_err(|error| about.bollard(&self.wire.host(), error))
    }

    /// Opens a bollard stream: its first item tells whether the engine agreed at all.
    async fn stream(
        &self,
        about: About<'_>,
        inner: impl futures::Stream<Item = Result<bytes::Bytes, bollard::errors::Error>> + Send + 'static,
    ) -> Result<ByteStream> {
        let host = self.wire.host();
        let mut inner = inner.boxed();
        let first = match inner.next().await {
            Some(Err(error)) => return Err(about.bollard(&host, error)),
            Some(Ok(bytes)) => Some(bytes),
            None => None,
        };
        let place = host.clone();
        let what = about.what;
        let rest = inner.map(move |item| item.map_err(|error| About { what, name: "" }.bollard(&place, error)));
        Ok(watched(host, futures::stream::iter(first.map(Ok)).chain(rest).boxed()))
    }

    /// How the owners in an archive of this container have to be read. Engines that remap users tell those of the host, and take those
    /// of the container.
    async fn remap_of(&self, id: &str) -> Result<Option<owners::Remap>> {
        let ask = || async {
            let info: Value = self.wire.json("/info", About { what: "host", name: "" }).await?;
            Ok::<_, Error>(owners::Remap::of(&info))
        };
        let Some(remap) = *self.remap.get_or_try_init(ask).await? else { return Ok(None) };
        let inspect: Value =
            self.wire.json(&format!("/containers/{}/json", segment(container(id))?), container(id)).await?;
        Ok((inspect["HostConfig"]["UsernsMode"] != "host").then_some(remap))
    }

    /// Asks the engine whether something runs, by what `path` describes.
    fn works(&self, path: String, pointer: &'static str) -> impl Fn() -> body::Works + Send + Sync + 'static {
        let wire = self.wire.clone();
        move || {
            let (wire, path) = (wire.clone(), path.clone());
            Box::pin(async move {
                let state: Value = wire.json(&path, About { what: "host", name: "" }).await?;
                Ok(state.pointer(pointer) == Some(&Value::Bool(true)))
            })
        }
    }

    async fn list(&self, path: &str, about: About<'_>) -> Result<Vec<Value>> {
        // Podman says null where Docker says [].
        Ok(self.wire.json::<Option<Vec<Value>>>(path, about).await?.unwrap_or_default())
    }
}

fn container(id: &str) -> About<'_> {
    About { what: "container", name: id }
}
fn image(name: &str) -> About<'_> {
    About { what: "image", name }
}
fn volume(name: &str) -> About<'_> {
    About { what: "volume", name }
}
fn network(id: &str) -> About<'_> {
    About { what: "network", name: id }
}

/// A name as a path segment. Empty and dotted ones would address something else.
fn segment(about: About<'_>) -> Result<String> {
    let dotted = about.name.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if dotted || about.name.len() > 1024 {
        let text = format!("“{}” cannot name a {}", about.name, about.what);
        return Err(Error::new(Kind::NotFound, format!("{}.not_found", about.what), text));
    }
    Ok(encode(about.name, about.what == "image"))
}

fn missing_is_fine(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        other => other,
    }
}

#[async_trait]
impl Engine for RealDocker {
    async fn info(&self) -> Result<EngineInfo> {
        let about = About { what: "host", name: "" };
        // Engines are updated while we run: agree anew.
        let pong = self.wire.negotiate().await?;
        let version: Value = self.wire.json("/version", about).await?;
        let info: Value = self.wire.json("/info", about).await?;
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Ok(EngineInfo {
            product: if pong.podman { "podman" } else { "docker" }.to_owned(),
            version: text(&version, "Version"),
            api_version: format!("1.{}", pong.minor),
            driver: text(&info, "Driver"),
            platform: format!("{}/{}", text(&version, "Os"), text(&version, "Arch")),
            name: text(&info, "Name"),
            id: text(&info, "ID"),
            // There are lanes only where the address is one of this machine.
            free_bytes: if self.lanes.is_some() { self.space.free(&info).await } else { None },
            remapped: owners::has_option(&info, "userns"),
            rootless: owners::has_option(&info, "rootless"),
            cannot_pause: info["CgroupDriver"] == "none",
        })
    }

    async fn describe(&self) -> Result<Value> {
        self.wire.json("/info", About { what: "host", name: "" }).await
    }

    async fn container_list(&self) -> Result<Vec<Value>> {
        self.list("/containers/json?all=1", container("")).await
    }

    async fn container_inspect(&self, id: &str) -> Result<String> {
        let path = format!("/containers/{}/json", segment(container(id))?);
        self.wire.verbatim(&path, container(id)).await
    }

    async fn container_changes(&self, id: &str) -> Result<Vec<LayerChange>> {
        let path = format!("/containers/{}/changes", segment(container(id))?);
        let told: Option<Vec<ToldChange>> = self.wire.json(&path, container(id)).await?;
        Ok(told.unwrap_or_default().into_iter().filter_map(ToldChange::known).collect())
    }

    async fn container_create(&self, name: &str, body: &Value) -> Result<String> {
        let path = format!("/containers/create?name={}", encode(name, false));
        let made: Value = self.wire.post(&path, body, container(name)).await?;
        id_of(&made, "Id", container(name))
    }

    async fn container_start(&self, id: &str) -> Result<()> {
        let options = None::<query::StartContainerOptions>;
        self.done(container(id), self.docker.start_container(&segment(container(id))?, options).await)
    }

    async fn container_stop(&self, id: &str, seconds: u32) -> Result<()> {
        let options = query::StopContainerOptions { signal: None, t: Some(i32::try_from(seconds).unwrap_or(i32::MAX)) };
        // The engine answers when the container has stopped.
        let docker = self.docker.clone().with_timeout(COMMAND_LIMIT + Duration::from_secs(seconds.into()));
        self.done(container(id), docker.stop_container(&segment(container(id))?, Some(options)).await)
    }

    async fn container_pause(&self, id: &str) -> Result<()> {
        self.done(container(id), self.docker.pause_container(&segment(container(id))?).await)
    }

    async fn container_unpause(&self, id: &str) -> Result<()> {
        self.done(container(id), self.docker.unpause_container(&segment(container(id))?).await)
    }

    async fn container_restart(&self, id: &str, seconds: u32) -> Result<()> {
        let seconds_told = Some(i32::try_from(seconds).unwrap_or(i32::MAX));
        let options = query::RestartContainerOptions { signal: None, t: seconds_told };
        let docker = self.docker.clone().with_timeout(COMMAND_LIMIT + Duration::from_secs(seconds.into()));
        self.done(container(id), docker.restart_container(&segment(container(id))?, Some(options)).await)
    }

    async fn container_rename(&self, id: &str, name: &str) -> Result<()> {
        let options = query::RenameContainerOptions { name: name.to_owned() };
        self.done(container(id), self.docker.rename_container(&segment(container(id))?, options).await)
    }

    async fn container_remove(&self, id: &str, volumes: bool) -> Result<()> {
        let name = segment(container(id))?;
        let options = query::RemoveContainerOptions { v: volumes, force: true, link: false };
        let outcome = self.done(container(id), self.docker.remove_container(&name, Some(options)).await);
        match missing_is_fine(outcome) {
            // Somebody else is removing it: wait until it is gone.
            Err(error) if error.kind() == Kind::Conflict => {
                for _ in 0..REMOVAL_TRIES {
                    match self.container_inspect(id).await {
                        Err(gone) if gone.kind() == Kind::NotFound => return Ok(()),
                        _ => tokio::time::sleep(REMOVAL_WAIT).await,
                    }
                }
                Err(error)
            }
            other => other,
        }
    }

    async fn container_attach(&self, id: &str) -> Result<Attached> {
        let options = query::AttachContainerOptions {
            stream: true,
            stdin: true,
            stdout: true,
            stderr: true,
            ..Default::default()
        };
        let (about, host) = (container(id), self.wire.host());
        let attached = self.docker.attach_container(&segment(about)?, Some(options)).await;
        let attached = attached.map_err(|error| about.bollard(&host, error))?;
        let works = self.works(format!("/containers/{}/json", segment(about)?), "/State/Running");
        Ok(Attached { input: attached.input, output: said(host, attached.output, works) })
    }

    async fn container_top(&self, id: &str) -> Result<Vec<String>> {
        let about = container(id);
        let told: Value = self.wire.json(&format!("/containers/{}/top", segment(about)?), about).await?;
        let titles = || told["Titles"].as_array().into_iter().flatten();
        let column = titles().position(|title| title == "CMD" || title == "COMMAND").ok_or_else(|| {
            Error::invalid("host.answer_malformed", format!("the engine does not say what runs in container {id}"))
        })?;
        let rows = told["Processes"].as_array().into_iter().flatten();
        Ok(rows.filter_map(|row| row[column].as_str().map(str::to_owned)).collect())
    }

    async fn exec_start(&self, id: &str, exec: Exec<'_>) -> Result<Running> {
        let (about, host) = (container(id), self.wire.host());
        let path = format!("/containers/{}/exec", segment(about)?);
        let body = serde_json::json!({ "AttachStdin": exec.input, "AttachStdout": true, "AttachStderr": true,
            "Cmd": exec.command, "User": exec.user });
        let made: Value = self.wire.post(&path, &body, about).await?;
        let id = id_of(&made, "Id", about)?;
        let name = segment(About { what: "command", name: &id })?;
        match self.docker.start_exec(&name, None).await.map_err(|error| about.bollard(&host, error))? {
            StartExecResults::Attached { output, input } => {
                let works = self.works(format!("/exec/{name}/json"), "/Running");
                Ok(Running { id, input: exec.input.then_some(input), output: said(host, output, works) })
            }
            StartExecResults::Detached => Err(Error::bug("a command was started out of hearing")),
        }
    }

    async fn exec_code(&self, exec: &str) -> Result<Option<i64>> {
        let about = About { what: "command", name: exec };
        let state: Value = self.wire.json(&format!("/exec/{}/json", segment(about)?), about).await?;
        Ok(state["ExitCode"].as_i64().filter(|_| state["Running"] == false))
    }

    async fn archive_get(&self, id: &str, path: &str) -> Result<ByteStream> {
        let options = query::DownloadFromContainerOptions { path: path.to_owned() };
        let name = segment(container(id))?;
        let remap = self.remap_of(id).await?;
        let told = self.stream(container(id), self.docker.download_from_container(&name, Some(options))).await?;
        Ok(match remap {
            Some(remap) => owners::as_in_the_container(told, remap),
            None => told,
        })
    }

    async fn archive_put(&self, id: &str, path: &str, tar: ByteStream) -> Result<()> {
        let name = segment(container(id))?;
        let options = query::UploadToContainerOptions { path: path.to_owned(), ..Default::default() };
        let watch = UploadWatch::default();
        let upload = self.patient.upload_to_container(&name, Some(options), watch.body(tar));
        watch.run(&self.wire.host(), async { self.done(container(id), upload.await) }).await
    }

    async fn image_list(&self) -> Result<Vec<Value>> {
        self.list("/images/json", image("")).await
    }

    async fn image_inspect(&self, name: &str) -> Result<String> {
        let path = format!("/images/{}/json", segment(image(name))?);
        self.wire.verbatim(&path, image(name)).await
    }

    async fn image_save(&self, name: &str) -> Result<ByteStream> {
        self.stream(image(name), self.patient.export_image(&segment(image(name))?)).await
    }

    async fn image_load(&self, tar: ByteStream) -> Result<()> {
        let (watch, host) = (UploadWatch::default(), self.wire.host());
        let load = async {
            let body = watch.body(tar);
            let response = self.wire.send(Method::POST, "/images/load?quiet=1", body, image(""), STAGING_LIMIT).await?;
            lines::loaded(host.clone(), response.into_body()).await
        };
        watch.run(&host, load).await
    }

    async fn image_tag(&self, name: &str, repo: &str, tag: &str) -> Result<()> {
        let options = query::TagImageOptions { repo: Some(repo.to_owned()), tag: Some(tag.to_owned()) };
        self.done(image(name), self.docker.tag_image(&segment(image(name))?, Some(options)).await)
    }

    async fn image_remove(&self, name: &str) -> Result<()> {
        let path = format!("/images/{}", segment(image(name))?);
        missing_is_fine(self.wire.text(Method::DELETE, &path, None, image(name)).await.map(drop))
    }

    async fn volume_list(&self) -> Result<Vec<Value>> {
        let mut answer: Value = self.wire.json("/volumes", volume("")).await?;
        match answer["Volumes"].take() {
            Value::Array(volumes) => Ok(volumes),
            _ => Ok(Vec::new()),
        }
    }

    async fn volume_inspect(&self, name: &str) -> Result<String> {
        let path = format!("/volumes/{}", segment(volume(name))?);
        self.wire.verbatim(&path, volume(name)).await
    }

    async fn volume_create(&self, body: &Value) -> Result<String> {
        let about = volume(body["Name"].as_str().unwrap_or_default());
        let made: Value = self.wire.post("/volumes/create", body, about).await?;
        id_of(&made, "Name", about)
    }

    async fn volume_remove(&self, name: &str) -> Result<()> {
        let options = None::<query::RemoveVolumeOptions>;
        let outcome = self.docker.remove_volume(&segment(volume(name))?, options).await;
        missing_is_fine(self.done(volume(name), outcome))
    }

    async fn network_list(&self) -> Result<Vec<Value>> {
        self.list("/networks", network("")).await
    }

    async fn network_inspect(&self, id: &str) -> Result<String> {
        let path = format!("/networks/{}", segment(network(id))?);
        self.wire.verbatim(&path, network(id)).await
    }

    async fn network_create(&self, body: &Value) -> Result<String> {
        let about = network(body["Name"].as_str().unwrap_or_default());
        // Before API 1.44 an engine makes a second network of the same name unless told to look.
        let mut body = body.clone();
        body["CheckDuplicate"] = Value::Bool(true);
        let made: Value = self.wire.post("/networks/create", &body, about).await?;
        id_of(&made, "Id", about)
    }

    async fn network_connect(&self, network_id: &str, container: &str, endpoint: &Value) -> Result<()> {
        let path = format!("/networks/{}/connect", segment(network(network_id))?);
        let body = serde_json::json!({ "Container": container, "EndpointConfig": endpoint }).to_string();
        self.wire.text(Method::POST, &path, Some(body.into()), network(network_id)).await.map(drop)
    }

    async fn network_remove(&self, id: &str) -> Result<()> {
        missing_is_fine(self.done(network(id), self.docker.remove_network(&segment(network(id))?).await))
    }

    fn lanes(&self) -> Option<Arc<Lanes>> {
        self.lanes.clone()
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<Value>>> {
        let about = About { what: "host", name: "" };
        let filters = encode(r#"{"type":["container","volume","network","image"]}"#, false);
        let path = format!("/events?filters={filters}");
        let body = body::whole("");
        let response = self.wire.send(Method::GET, &path, body, about, wire::ANSWER_LIMIT).await?;
        let all = lines::values(self.wire.host(), response.into_body(), about);
        Ok(all.filter(|event| futures::future::ready(event.as_ref().map_or(true, is_news))).boxed())
    }
}

/// A change as it is told. All of JSON at once would be ten times the answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ToldChange {
    path: Option<String>,
    kind: Option<u64>,
}

impl ToldChange {
    fn known(self) -> Option<LayerChange> {
        Some(LayerChange { path: self.path?, kind: self.kind?.min(2) as u8 })
    }
}

/// What a container or a command says, in our words.
fn said(
    host: Arc<str>,
    output: impl futures::Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send + 'static,
    works: impl Fn() -> body::Works + Send + Sync + 'static,
) -> BoxStream<'static, Result<Said>> {
    let place = host.clone();
    let said = output.map(move |item| match item {
        Ok(LogOutput::StdErr { message }) => Ok(Said::Err(message)),
        Ok(LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message }) => {
            Ok(Said::Out(message))
        }
        Err(error) => Err(container("").bollard(&place, error)),
    });
    body::heard(host, said.boxed(), works)
}

/// Leaves out what our own work and people's looking around cause.
fn is_news(event: &Value) -> bool {
    let action = event["Action"].as_str().unwrap_or_default();
    let noise = ["exec_", "archive-path", "extract-to-dir", "export", "top", "attach", "mount", "unmount"];
    !is_about_helpers(event) && !noise.iter().any(|start| action.starts_with(start))
}

fn id_of(made: &Value, field: &str, about: About<'_>) -> Result<String> {
    made[field].as_str().filter(|id| !id.is_empty()).map(str::to_owned).ok_or_else(|| {
        let text = format!("the engine made a {} and did not say its {field}", about.what);
        Error::invalid("host.answer_malformed", text)
    })
}
