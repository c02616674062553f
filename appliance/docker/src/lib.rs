//! Docker in our words: one trait, a real engine behind it and a fake one, one conformance suite for both.
//!
//! Descriptions travel as raw JSON (`serde_json::Value`, key order kept): typed structs drop
//! what they do not know. Streams are bounded by back-pressure. Never here: what an app is,
//! what to do with it.

pub mod archive;
pub mod command;
pub mod conformance;
pub mod fake;
mod helper;
mod lane;
mod made;
pub mod mover;
mod real;
pub mod rights;
mod thin;

pub use helper::{EMPTY_IMAGE, NEVER, helper_name, is_helper, load_empty_image};
pub use lane::{Lanes, own_container_id};
pub use made::{Made, is_any_left, is_left_over, labels, swept};
pub use real::{connect, connect_beside};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use holdfast_model::{
    Result,
    snapshot::{EngineInfo, LayerChange},
};
use serde_json::Value;
use std::{pin::Pin, sync::Arc};
use tokio::io::AsyncWrite;

/// Bytes that flow; the error ends the stream.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// What a container says on its standard output and standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// On standard output.
    Out(Bytes),
    /// On standard error.
    Err(Bytes),
}

/// Both ends of what a container reads and writes.
pub struct Attached {
    /// Its standard input; shutting it down is the end that it reads.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// What it says, until it has ended. Its end proves nothing: the other side has to say that it is done.
    pub output: BoxStream<'static, Result<Said>>,
}

/// A command to run in a container.
#[derive(Clone, Copy, Debug)]
pub struct Exec<'a> {
    /// Program and arguments. Engines tell them to whoever listens to events: nothing secret may be among them.
    pub command: &'a [String],
    /// As whom; `None` for the container's own user.
    pub user: Option<&'a str>,
    /// Whether it has a standard input; without one it reads its end at once.
    pub input: bool,
}

impl<'a> Exec<'a> {
    /// A command without input, as the container's own user.
    pub fn new(command: &'a [String]) -> Exec<'a> {
        Exec { command, user: None, input: false }
    }
}

/// A command that runs in a container.
pub struct Running {
    /// To ask for its end with [`Engine::exec_code`].
    pub id: String,
    /// Its standard input, if it was asked for; shutting it down is the end that it reads.
    pub input: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    /// What it says, until it has ended.
    pub output: BoxStream<'static, Result<Said>>,
}

/// Label that every object we make on a host carries, so that leftovers are found and removed. It alone proves nothing ([`is_helper`]).
pub const HELPER_LABEL: &str = "io.holdfast.helper";

/// A Docker engine.
///
/// Error kinds: `NotFound`, `Conflict` (name or port taken, wrong state), `Denied` (socket
/// forbidden: `host.denied`), `Unavailable` (`host.unreachable`), `Invalid` (the engine refused the
/// request), `Corrupt` (a stream ended early: `stream.short`).
#[async_trait]
pub trait Engine: Send + Sync {
    /// Says who is there; also the cheapest sign of life.
    async fn info(&self) -> Result<EngineInfo>;
    /// `GET /info`: what the engine says of itself and of what it can do.
    async fn describe(&self) -> Result<Value>;

    /// `GET /containers/json?all=1`.
    async fn container_list(&self) -> Result<Vec<Value>>;
    /// `GET /containers/{id}/json`, the text verbatim.
    async fn container_inspect(&self, id: &str) -> Result<String>;
    /// `GET /containers/{id}/changes`: there may be a million of them, so no more is kept of each than we know.
    async fn container_changes(&self, id: &str) -> Result<Vec<LayerChange>>;
    /// `POST /containers/create?name=`; returns the id.
    async fn container_create(&self, name: &str, body: &Value) -> Result<String>;
    /// Starts; starting a running one is fine.
    async fn container_start(&self, id: &str) -> Result<()>;
    /// Stops, killing after `seconds`; stopping a stopped one is fine.
    async fn container_stop(&self, id: &str, seconds: u32) -> Result<()>;
    /// Freezes; one that is paused already is `Conflict`.
    async fn container_pause(&self, id: &str) -> Result<()>;
    /// Thaws; one that is not paused is `Conflict`.
    async fn container_unpause(&self, id: &str) -> Result<()>;
    /// Stops, killing after `seconds`, and starts: one step for the engine.
    async fn container_restart(&self, id: &str, seconds: u32) -> Result<()>;
    /// Renames.
    async fn container_rename(&self, id: &str, name: &str) -> Result<()>;
    /// `POST /containers/{id}/attach`, to one that is created and not yet started, with an open standard input and no
    /// terminal.
    async fn container_attach(&self, id: &str) -> Result<Attached>;
    /// `GET /containers/{id}/top`: the command line of every process in a container that runs, as the host's `ps` tells it.
    async fn container_top(&self, id: &str) -> Result<Vec<String>>;
    /// `POST /containers/{id}/exec` and its start: runs a command in a container that runs, without a terminal. `Conflict`
    /// if it is paused or does not run.
    async fn exec_start(&self, id: &str, exec: Exec<'_>) -> Result<Running>;
    /// What a command ended with; `None` while it runs.
    async fn exec_code(&self, exec: &str) -> Result<Option<i64>>;
    /// Removes by force; `volumes` also removes its anonymous volumes. A missing one is fine.
    async fn container_remove(&self, id: &str, volumes: bool) -> Result<()>;
    /// `GET /containers/{id}/archive?path=`: a tar. The caller proves its end.
    async fn archive_get(&self, id: &str, path: &str) -> Result<ByteStream>;
    /// `PUT /containers/{id}/archive?path=`: unpacks an uncompressed tar into a container that does not run.
    async fn archive_put(&self, id: &str, path: &str, tar: ByteStream) -> Result<()>;

    /// `GET /images/json`.
    async fn image_list(&self) -> Result<Vec<Value>>;
    /// `GET /images/{name}/json`, verbatim.
    async fn image_inspect(&self, name: &str) -> Result<String>;
    /// `GET /images/{name}/get`: an image archive.
    async fn image_save(&self, name: &str) -> Result<ByteStream>;
    /// `POST /images/load`; an error inside a 200 answer is an error.
    async fn image_load(&self, tar: ByteStream) -> Result<()>;
    /// Points `repo:tag` at an image.
    async fn image_tag(&self, name: &str, repo: &str, tag: &str) -> Result<()>;
    /// Removes a tag or image. A missing one is fine.
    async fn image_remove(&self, name: &str) -> Result<()>;

    /// `GET /volumes`: the `Volumes` array.
    async fn volume_list(&self) -> Result<Vec<Value>>;
    /// `GET /volumes/{name}`, verbatim.
    async fn volume_inspect(&self, name: &str) -> Result<String>;
    /// `POST /volumes/create`; returns the name. One that exists already is returned as it is.
    async fn volume_create(&self, body: &Value) -> Result<String>;
    /// Removes; one in use is `Conflict`. A missing one is fine.
    async fn volume_remove(&self, name: &str) -> Result<()>;

    /// `GET /networks`.
    async fn network_list(&self) -> Result<Vec<Value>>;
    /// `GET /networks/{id}`, verbatim.
    async fn network_inspect(&self, id: &str) -> Result<String>;
    /// `POST /networks/create`; returns the id. A name that exists is `Conflict`.
    async fn network_create(&self, body: &Value) -> Result<String>;
    /// Connects a container with an EndpointSettings body.
    async fn network_connect(&self, network: &str, container: &str, endpoint: &Value) -> Result<()>;
    /// Removes; one in use is `Conflict`. A missing one is fine.
    async fn network_remove(&self, id: &str) -> Result<()>;

    /// Where containers that it starts may meet us without it; `None` if it is on another machine.
    fn lanes(&self) -> Option<Arc<Lanes>> {
        None
    }

    /// Something changed on the host: one item per event of ours to know, until the connection ends.
    async fn events(&self) -> Result<BoxStream<'static, Result<Value>>>;
}
