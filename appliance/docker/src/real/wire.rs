//! HTTP to one engine: the negotiated version on every path, JSON answers with every field kept.
//!
//! bollard is handed the same client as its transport: it drops the version from its paths, so it is
//! put back here, for its calls and ours alike.

use super::{
    body::{Body, whole},
    refusal::About,
    socket::{Connector, unreachable},
};
use bollard::BollardRequest;
use bytes::Bytes;
use holdfast_model::{Error, Kind, Result};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use serde::de::DeserializeOwned;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// Oldest and newest minor version of API 1 that we speak.
const OLDEST: u32 = 40;
const NEWEST: u32 = 53;

/// Largest JSON answer; 10 000 containers take about 40 MB.
const JSON_LIMIT: usize = 64 << 20;

/// An engine under heavy load answers inspections within a minute; telling the changes of a container
/// with a large file system takes some.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(300);

/// A sign of life needs no work: people wait for it.
const PING_LIMIT: Duration = Duration::from_secs(20);

/// Idle connections are let go before engines and proxies on the way drop them.
const IDLE_LIMIT: Duration = Duration::from_secs(20);

/// One engine's HTTP side. Clones share connections and version.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Inner>);

struct Inner {
    host: Arc<str>,
    client: Client<Connector, Body>,
    /// Negotiated minor version; 0 before the first answer.
    version: AtomicU32,
}

/// What `_ping` tells.
pub(crate) struct Pong {
    pub(crate) minor: u32,
    pub(crate) podman: bool,
}

impl Wire {
    pub(crate) fn new(connector: Connector) -> Wire {
        let host = Arc::from(connector.host());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(8)
            .build(connector);
        Wire(Arc::new(Inner { host, client, version: AtomicU32::new(0) }))
    }

    /// The host's registered name.
    pub(crate) fn host(&self) -> Arc<str> {
        self.0.host.clone()
    }

    /// Asks the engine what it speaks and settles on the newest version both know.
    pub(crate) async fn negotiate(&self) -> Result<Pong> {
        let about = About { what: "host", name: "" };
        let response = self.raw(Method::GET, "/_ping", whole(""), about, PING_LIMIT).await?;
        let text = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let theirs = text("api-version");
        let podman = response.headers().contains_key("libpod-api-version") || text("server").starts_with("Libpod");
        let minor = theirs.strip_prefix("1.").and_then(|minor| minor.parse::<u32>().ok()).ok_or_else(|| {
            Error::new(
                Kind::Invalid,
                "host.not_docker",
                format!("what answers at host {} is not a Docker engine", self.0.host),
            )
            .advice("Correct the host's URL.")
        })?;
        if minor < OLDEST {
            return Err(Error::new(
                Kind::Refused,
                "host.too_old",
                format!("the Docker engine of host {} speaks API {theirs}, at least 1.{OLDEST} is needed", self.0.host),
            )
            .advice("Update Docker on that host to 20.10 or newer."));
        }
        let minor = minor.min(NEWEST);
        self.0.version.store(minor, Ordering::Relaxed);
        Ok(Pong { minor, podman })
    }

    /// The transport that bollard sends through.
    pub(crate) async fn carry(self, mut request: BollardRequest) -> Result<Response<Incoming>, bollard::errors::Error> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = self.uri(path).parse()?;
        // bollard adds a second content type to every request: the first one is the call's own.
        if let Some(first) = request.headers().get(header::CONTENT_TYPE).cloned() {
            request.headers_mut().insert(header::CONTENT_TYPE, first);
        }
        Ok(self.0.client.request(request).await?)
    }

    /// Sends a request and checks the status; `path` has its query and no version.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body,
        about: About<'_>,
        limit: Duration,
    ) -> Result<Response<Incoming>> {
        self.raw(method, &self.versioned(path), body, about, limit).await
    }

    /// A JSON answer as text, verbatim.
    pub(crate) async fn text(
        &self,
        method: Method,
        path: &str,
        json: Option<Bytes>,
        about: About<'_>,
    ) -> Result<String> {
        let body = whole(json.unwrap_or_default());
        let response = self.send(method, path, body, about, ANSWER_LIMIT).await?;
        let bytes = self.collect(response, about).await?;
        String::from_utf8(bytes.into()).map_err(|_| self.malformed(about))
    }

    /// A JSON answer as text, verbatim, that was read once: nothing is kept that nobody could read again. `host.answer_malformed` for what is
    /// no JSON, or is nested deeper than anything that an engine says.
    pub(crate) async fn verbatim(&self, path: &str, about: About<'_>) -> Result<String> {
        let text = self.text(Method::GET, path, None, about).await?;
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(_) => Ok(text),
            Err(error) => Err(self.malformed(about).caused_by(error)),
        }
    }

    /// A JSON answer, parsed.
    pub(crate) async fn json<T: DeserializeOwned>(&self, path: &str, about: About<'_>) -> Result<T> {
        let text = self.text(Method::GET, path, None, about).await?;
        serde_json::from_str(&text).map_err(|error| self.malformed(about).caused_by(error))
    }

    /// Posts JSON and parses the answer.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        json: &serde_json::Value,
        about: About<'_>,
    ) -> Result<T> {
        let text = self.text(Method::POST, path, Some(json.to_string().into()), about).await?;
        serde_json::from_str(&text).map_err(|error| self.malformed(about).caused_by(error))
    }

    async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Body,
        about: About<'_>,
        limit: Duration,
    ) -> Result<Response<Incoming>> {
        let kind = if matches!(&body, Body::Right(_)) { "application/x-tar" } else { "application/json" };
        let request = Request::builder()
            .method(method)
            .uri(format!("http://docker{path}"))
            .header(header::CONTENT_TYPE, kind)
            .body(body)
            .map_err(|error| Error::bug("a request to the engine could not be formed").caused_by(error))?;
        let host = &self.0.host;
        let response = timeout(limit, self.0.client.request(request))
            .await
            .map_err(|_| unreachable(host, format!("no answer within {} s", limit.as_secs())))?
            .map_err(|error| about.broken(host, error))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let bytes = self.collect(response, about).await?;
        let message = serde_json::from_slice::<serde_json::Value>(&bytes)
            .ok()
            .and_then(|value| value.get("message")?.as_str().map(str::to_owned))
            .unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned());
        Err(about.refused(host, status.as_u16(), &message))
    }

    async fn collect(&self, response: Response<Incoming>, about: About<'_>) -> Result<Bytes> {
        let host = &self.0.host;
        let body = Limited::new(response.into_body(), JSON_LIMIT).collect();
        let body =
            timeout(ANSWER_LIMIT, body).await.map_err(|_| unreachable(host, "its answer never ended".to_owned()))?;
        body.map(|body| body.to_bytes()).map_err(|error| {
            if error.is::<LengthLimitError>() {
                return Error::invalid(
                    "host.answer_too_large",
                    format!("host {host} answered more than 64 MiB of JSON"),
                );
            }
            match error.downcast::<hyper::Error>() {
                Ok(error) => about.broken(host, *error),
                Err(error) => unreachable(host, "its answer broke off".to_owned()).caused_by(error),
            }
        })
    }

    fn malformed(&self, about: About<'_>) -> Error {
        Error::new(
            Kind::Invalid,
            "host.answer_malformed",
            format!("host {} gave an answer about a {} that is not understood", self.0.host, about.what),
        )
    }

    fn versioned(&self, path: &str) -> String {
        format!("/v1.{}{path}", self.0.version.load(Ordering::Relaxed))
    }

    fn uri(&self, path: &str) -> String {
        format!("http://docker{}", self.versioned(path))
    }
}

/// Percent-encodes one path segment or query value. Slashes stay in image names (`keep_slash`).
pub(crate) fn encode(text: &str, keep_slash: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:@".contains(&byte) || (keep_slash && byte == b'/') {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
