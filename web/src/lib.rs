//! The web face: HTTP API, login, event stream, and the web UI inside the binary.
//!
//! Lives here: routes, sessions, what a request must pass, OpenAPI. Never here: decisions about
//! backups (engine), arguments and sockets' places (cli).
//!
//! Invariants: every route needs a login unless it stands in `api::open`; the unix socket is the
//! trusted user `local`; whatever a client sends is bounded (body, connections, silence, attempts).

mod api;
mod assets;
mod events;
mod extract;
mod fault;
mod guard;
mod listen;
mod sessions;
mod setup;
mod shared;
mod throttle;

pub use fault::error_view;

use crate::{
    listen::{Bounded, Peer},
    shared::{App, Shared},
};
use holdfast_engine::Appliance;
use holdfast_model::{Error, Result};
use holdfast_runtime::{Clock, Stop};
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};
use tokio::net::{TcpListener, UnixListener};

/// What the web face needs to know.
#[derive(Clone, Debug)]
pub struct WebSettings {
    /// The data folder: the setup token lies there.
    pub data: PathBuf,
    /// Where TCP requests arrive.
    pub listen: SocketAddr,
    /// Names under which the appliance is reached, besides loopback names and the listen address.
    pub allow_hosts: Vec<String>,
    /// Browsers reach it over TLS: cookies are marked `Secure`, the setup link says `https`.
    pub tls: bool,
    /// The time, for sessions.
    pub clock: Clock,
}

/// The web face of one appliance. Clones share it.
#[derive(Clone)]
pub struct Web(App);

impl Web {
    /// Prepares the face; makes the setup token if there is no admin yet.
    ///
    /// # Errors
    /// The setup token cannot be kept in the data folder.
    pub async fn new(appliance: Appliance, settings: WebSettings) -> Result<Self> {
        Ok(Web(Arc::new(Shared::new(appliance, settings).await?)))
    }

    /// The link that makes the first admin; `None` once there is one.
    pub async fn setup_link(&self) -> Option<String> {
        self.0.setup_link().await
    }

    /// Serves browsers and scripts until `stop`, then ends what runs.
    ///
    /// # Errors
    /// The listener broke.
    pub async fn serve_tcp(&self, listener: TcpListener, stop: Stop) -> Result<()> {
        let service = api::router(&self.0).into_make_service_with_connect_info::<Peer>();
        let serving = axum::serve(Bounded::new(listener), service).with_graceful_shutdown(self.until(stop));
        serving.await.map_err(|error| Error::io("serve HTTP", error))
    }

    /// Serves the trusted user on the unix socket until `stop`. The caller guards the socket by its mode.
    ///
    /// # Errors
    /// The listener broke.
    pub async fn serve_unix(&self, listener: UnixListener, stop: Stop) -> Result<()> {
        let service = api::router(&self.0).into_make_service_with_connect_info::<Peer>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(self.until(stop));
        serving.await.map_err(|error| Error::io("serve the unix socket", error))
    }

    fn until(&self, stop: Stop) -> impl Future<Output = ()> + use<> {
        let closing = self.0.closing.clone();
        async move {
            stop.cancelled().await;
            closing.cancel();
        }
    }
}

/// The API's description: OpenAPI 3.1 as indented JSON with a final newline.
pub fn openapi() -> String {
    let text = api::document().to_pretty_json().expect("the document is plain data");
    text + "\n"
}

impl WebSettings {
    /// `host:port` for people: a proxy is reached under its own name and port, a listener on all addresses
    /// under its first known name.
    fn reached_at(&self) -> String {
        if let (true, Some(name)) = (self.tls, self.allow_hosts.first()) {
            return name.clone();
        }
        let mut place = self.listen;
        if place.ip().is_unspecified() {
            if let Some(name) = self.allow_hosts.first() {
                return format!("{}:{}", guard::host_name(name), place.port());
            }
            place.set_ip(if place.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() });
        }
        place.to_string()
    }

    fn answers_to(&self, host: &str) -> bool {
        guard::answers_to(self.listen.ip(), &self.allow_hosts, host)
    }
}

#[cfg(test)]
mod tests;
