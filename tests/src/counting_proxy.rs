//! A proxy before an S3 server that counts what is asked of it and lets everything through as it is.
//!
//! Plain HTTP/1.1 on loopback. Signatures are over the `Host` that the client sent, so that one goes on unchanged.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// What is counted apart. A listing is a GET to the protocol and costs what a PUT does; `other` is whatever has none of these methods.
pub const KINDS: [&str; 7] = ["PUT", "GET", "HEAD", "LIST", "DELETE", "POST", "other"];
/// Parts of a query that make a GET a listing.
const LISTINGS: [&str; 7] = ["list-type", "delimiter", "prefix", "max-keys", "marker", "versions", "uploads"];

/// Requests by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests([u64; KINDS.len()]);

impl Requests {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Those of one of [`KINDS`]; 0 of what is none.
    pub fn of(&self, kind: &str) -> u64 {
        KINDS.iter().zip(self.0).find(|(name, _)| **name == kind).map_or(0, |(_, count)| count)
    }

    /// What was asked since an earlier count of the same proxy.
    #[must_use]
    pub fn since(&self, earlier: &Requests) -> Requests {
        Requests(std::array::from_fn(|kind| self.0[kind].saturating_sub(earlier.0[kind])))
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, more: &Requests) -> Requests {
        Requests(std::array::from_fn(|kind| self.0[kind] + more.0[kind]))
    }

    /// As an object: each kind with its count.
    pub fn json(&self) -> Value {
        Value::Object(KINDS.iter().zip(self.0).map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect())
    }
}

/// A running proxy; it ends when this is dropped, and its connections with it.
#[derive(Debug)]
pub struct CountingProxy {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// `ADDRESS:PORT` of the server.
    server: String,
    client: Client<HttpConnector, Incoming>,
    counts: [AtomicU64; KINDS.len()],
}

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

impl CountingProxy {
    /// Starts one on a free port for the server at `endpoint`, as `http://ADDRESS:PORT`.
    pub async fn start(endpoint: &str) -> io::Result<CountingProxy> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let shared = Arc::new(Shared { server, client, counts: Default::default() });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(CountingProxy { url, shared, task })
    }

    /// What was asked so far.
    pub fn requests(&self) -> Requests {
        Requests(std::array::from_fn(|kind| self.shared.counts[kind].load(Relaxed)))
    }
}

impl Drop for CountingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts connections until it is aborted.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(carry(socket, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(socket: TcpStream, shared: Arc<Shared>) {
    // Small answers would wait for what the client does not send; a socket that cannot be told so is only slower.
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request| pass(Arc::clone(&shared), request));
    // A connection that the client breaks is no concern of the proxy.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await);
}

async fn pass(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (mut head, body) = request.into_parts();
    shared.counts[kind_of(&head.method, head.uri.query().unwrap_or_default())].fetch_add(1, Relaxed);
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let Ok(uri) = format!("http://{}{target}", shared.server).parse::<Uri>() else {
        return Ok(empty(StatusCode::BAD_REQUEST));
    };
    head.uri = uri;
    // It is about the client's connection, not about the one to the server.
    head.headers.remove(header::CONNECTION);
    Ok(match shared.client.request(Request::from_parts(head, body)).await {
        Ok(answer) => answer.map(BodyExt::boxed_unsync),
        Err(_) => empty(StatusCode::BAD_GATEWAY),
    })
}

fn empty(status: StatusCode) -> Response<Body> {
    let body = Empty::<Bytes>::new().map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

/// The place of a request in [`KINDS`].
fn kind_of(method: &Method, query: &str) -> usize {
    let name = |part: &str| part.split('=').next().is_some_and(|name| LISTINGS.contains(&name));
    let kind = match method.as_str() {
        "GET" if query.split('&').any(name) => "LIST",
        method => method,
    };
    KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3mem::{Quirks, S3Mem};
    use holdfast_model::bucket::BucketUrl;
    use holdfast_s3::S3Store;
    use holdfast_storage::{PutMode, Store};

    fn kind(method: &str, query: &str) -> &'static str {
        KINDS[kind_of(&Method::from_bytes(method.as_bytes()).unwrap(), query)]
    }

    #[test]
    fn listings_are_told_from_reads() {
        assert_eq!(kind("GET", "x-id=GetObject"), "GET");
        assert_eq!(kind("GET", "list-type=2&prefix=p%2F"), "LIST");
        assert_eq!(kind("GET", "versions"), "LIST");
        assert_eq!(kind("GET", "versionId=prefix"), "GET");
        assert_eq!(kind("POST", "delete"), "POST");
        assert_eq!(kind("OPTIONS", ""), "other");
    }

    #[tokio::test]
    async fn everything_passes_signed_as_it_was_and_is_counted() {
        let server = S3Mem::start(Quirks::default()).await;
        let proxy = CountingProxy::start(&server.url).await.unwrap();
        let mut settings = server.settings("bucket");
        let BucketUrl::S3(place) = &mut settings.url else { panic!("it is a bucket") };
        place.endpoint = Some(proxy.url.clone());
        let store = S3Store::open(&settings).unwrap();
        let body = Bytes::from(vec![7; 300_000]);
        store.put("p/aa/one", body.clone(), PutMode::Once).await.unwrap();
        let before = proxy.requests();
        assert_eq!(before.of("PUT"), 1);
        assert!(store.get("p/aa/one").await.unwrap() == body);
        assert_eq!(store.list("p/").await.unwrap().len(), 1);
        assert_eq!(store.head("p/aa/two").await.unwrap(), None);
        store.delete("p/aa/one").await.unwrap();
        let after = proxy.requests().since(&before);
        let of = |kind| after.of(kind);
        assert_eq!((of("GET"), of("LIST"), of("HEAD"), of("DELETE"), of("PUT")), (1, 1, 1, 1, 0));
        assert_eq!(proxy.requests().total(), server.requests().len() as u64);
        assert_eq!(before.and(&after), proxy.requests());
        assert_eq!(after.json()["LIST"], 1);
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_told_as_such() {
        let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", away.local_addr().unwrap());
        drop(away);
        let proxy = CountingProxy::start(&endpoint).await.unwrap();
        let mut client = TcpStream::connect(proxy.url.trim_start_matches("http://")).await.unwrap();
        let asked = b"GET /bucket/key HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut client, asked).await.unwrap();
        let mut said = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut client, &mut said).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 502"), "{said}");
        assert_eq!(proxy.requests().of("GET"), 1);
    }
}
