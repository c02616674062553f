//! The wire against a small server of our own: version on every path, refusals, TLS, broken streams.

use super::connect;
use crate::{Engine, archive::tar};
use futures::{StreamExt, stream};
use holdfast_model::{
    Error, Kind, Result, Secret,
    settings::{Host, HostTls},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

const CA: &str = include_str!("testdata/ca.pem");
const OTHER_CA: &str = include_str!("testdata/other-ca.pem");

/// What the server answers, by method and path beginning; `None` closes the connection.
type Answer = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

struct Server {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(tls: bool, answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (heads, answer): (_, Answer) = (seen.clone(), Arc::new(answer));
        let acceptor = tls.then(acceptor);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (heads, answer, acceptor) = (heads.clone(), answer.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(socket, heads, answer).await,
                        Some(acceptor) => {
                            if let Ok(socket) = acceptor.accept(socket).await {
                                serve(socket, heads, answer).await;
                            }
                        }
                    }
                });
            }
        });
        Server { url, seen }
    }

    fn host(&self) -> Host {
        Host { name: "lab".into(), url: self.url.clone(), tls: None, ssh: None }
    }

    async fn connect(&self) -> Result<Arc<dyn Engine>> {
        connect(&self.host()).await
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads a head (and what came of the body), answers, closes.
async fn serve(mut socket: impl AsyncRead + AsyncWrite + Unpin, heads: Arc<Mutex<Vec<String>>>, answer: Answer) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match socket.read(&mut buffer).await {
            Ok(length) if length > 0 => head.extend_from_slice(&buffer[..length]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    heads.lock().unwrap().push(head);
    if let Some(bytes) = answer(&line) {
        let _ = socket.write_all(&bytes).await;
    }
    let _ = socket.shutdown().await;
}

fn acceptor() -> tokio_rustls::TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA.as_bytes()).unwrap()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(include_bytes!("testdata/server.pem")).unwrap()],
            PrivateKeyDer::from_pem_slice(include_bytes!("testdata/server.key")).unwrap(),
        )
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

fn reply(status: &str, headers: &str, body: &str) -> Option<Vec<u8>> {
    let length = body.len();
    Some(
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}")
            .into_bytes(),
    )
}

fn pong(version: &str) -> Option<Vec<u8>> {
    reply("200 OK", &format!("api-version: {version}\r\n"), "OK")
}

#[tokio::test]
async fn the_agreed_version_is_on_every_path() {
    for (theirs, ours) in [("1.41", "/v1.41/"), ("1.55", "/v1.53/"), ("1.40", "/v1.40/")] {
        let server = Server::start(false, move |line| match line {
            "GET /_ping" => pong(theirs),
            line if line.ends_with("/info") => reply("200 OK", "", "{}"),
            line if line.contains("/archive") => reply("200 OK", "", "bytes"),
            line if line.ends_with("/json") => reply("200 OK", "", r#"{"b":1,"a":{"NewField":2}}"#),
            _ => reply("204 No Content", "", ""),
        })
        .await;
        let engine = server.connect().await.unwrap();
        assert_eq!(engine.container_inspect("x").await.unwrap(), r#"{"b":1,"a":{"NewField":2}}"#);
        engine.container_pause("x").await.unwrap();
        let mut bytes = engine.archive_get("x", "/a b").await.unwrap();
        assert_eq!(bytes.next().await.unwrap().unwrap(), "bytes");
        engine.archive_put("x", "/", stream::iter([Ok(tar(&[]).into())]).boxed()).await.unwrap();
        let seen = server.seen();
        assert!(seen[0].starts_with("GET /_ping HTTP"));
        for head in &seen[1..] {
            assert!(head.split(' ').nth(1).unwrap().starts_with(ours), "{head}");
        }
        let upload = seen.last().unwrap().to_lowercase();
        assert!(upload.contains("content-type: application/x-tar") && upload.matches("content-type").count() == 1);
        assert!(!upload.contains("content-encoding"));
    }
}

#[tokio::test]
async fn what_is_no_usable_engine_is_told_apart() {
    for (answer, kind, code) in [
        (pong("1.39"), Kind::Refused, "host.too_old"),
        (reply("200 OK", "", "hello"), Kind::Invalid, "host.not_docker"),
        (reply("403 Forbidden", "", "no"), Kind::Denied, "host.denied"),
        (None, Kind::Unavailable, "host.unreachable"),
    ] {
        let server = Server::start(false, move |_| answer.clone()).await;
        let error = server.connect().await.map(drop).unwrap_err();
        assert_eq!((error.kind(), error.code()), (kind, code), "{}", error.chain());
    }
    let folder = std::env::temp_dir().join(format!("holdfast-no-socket-{}", std::process::id()));
    let error = |url: String| async move {
        connect(&Host { name: "lab".into(), url, tls: None, ssh: None }).await.map(drop).unwrap_err()
    };
    let missing = error(format!("unix://{}", folder.display())).await;
    assert_eq!((missing.kind(), missing.code()), (Kind::Unavailable, "host.socket_missing"));
    assert!(missing.advice_text().is_some());
    std::fs::write(&folder, "").unwrap();
    let dead = error(format!("unix://{}", folder.display())).await;
    assert_eq!((dead.kind(), dead.code()), (Kind::Unavailable, "host.unreachable"));
    std::fs::remove_file(&folder).unwrap();
    let refused = error("tcp://127.0.0.1:1".into()).await;
    assert_eq!((refused.kind(), refused.code()), (Kind::Unavailable, "host.unreachable"));
    assert_eq!(error("ssh://some where".into()).await.code(), "host.url");
}

#[tokio::test]
async fn streams_that_break_end_with_an_error() {
    let server = Server::start(false, |line| match line {
        "GET /_ping" => pong("1.41"),
        line if line.ends_with("/info") => reply("200 OK", "", "{}"),
        line if line.contains("/events") => reply(
            "200 OK",
            "",
            "{\"Action\":\"start\"}\n{\"Action\":\"exec_start: x\"}\n\n{\"Action\":\"die\"}\nnonsense\n",
        ),
        line if line.contains("/images/load") => {
            reply("200 OK", "", "{\"stream\":\"x\"}\n{\"errorDetail\":{\"message\":\"bad layer\"}}\n")
        }
        // Half of what was promised.
        _ => Some(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec()),
    })
    .await;
    let engine = server.connect().await.unwrap();
    let pieces: Vec<_> = engine.archive_get("x", "/v").await.unwrap().collect().await;
    assert_eq!(pieces.last().unwrap().as_ref().unwrap_err().code(), "host.unreachable");
    assert_eq!(engine.container_inspect("x").await.unwrap_err().code(), "host.unreachable");
    let error = engine.image_load(stream::iter([Ok("x".into())]).boxed()).await.unwrap_err();
    assert!(error.chain().contains("bad layer"));
    let events: Vec<_> = engine.events().await.unwrap().collect().await;
    let actions: Vec<_> =
        events.iter().map(|event| event.as_ref().map_or("error", |event| event["Action"].as_str().unwrap())).collect();
    assert_eq!(actions, ["start", "die", "error"]);
}

#[tokio::test]
async fn an_uploads_own_error_survives() {
    let server = Server::start(false, |line| match line {
        "GET /_ping" => pong("1.41"),
        _ => reply("500 Internal Server Error", "", r#"{"message":"unexpected EOF"}"#),
    })
    .await;
    let engine = server.connect().await.unwrap();
    let broken = || stream::iter([Ok("some".into()), Err(Error::new(Kind::Corrupt, "pack.corrupt", "mine"))]).boxed();
    assert_eq!(engine.image_load(broken()).await.unwrap_err().code(), "pack.corrupt");
    assert_eq!(engine.archive_put("x", "/", broken()).await.unwrap_err().code(), "pack.corrupt");
}

#[tokio::test]
async fn answers_are_bounded() {
    let server = Server::start(false, |line| match line {
        "GET /_ping" => pong("1.41"),
        _ => reply("200 OK", "", &"x".repeat(65 << 20)),
    })
    .await;
    let engine = server.connect().await.unwrap();
    assert_eq!(engine.container_inspect("x").await.unwrap_err().code(), "host.answer_too_large");
}

#[tokio::test]
async fn tls_is_mutual_and_trusts_only_the_hosts_own_ca() {
    let server = Server::start(true, |_| pong("1.41")).await;
    let ours = HostTls {
        ca: CA.into(),
        cert: include_str!("testdata/client.pem").into(),
        key: Secret::new(include_str!("testdata/client.key")),
    };
    let with = |tls: HostTls, url: &str| Host { name: "lab".into(), url: url.to_owned(), tls: Some(tls), ssh: None };
    connect(&with(ours.clone(), &server.url)).await.unwrap();
    connect(&with(ours.clone(), &server.url.replace("127.0.0.1", "localhost"))).await.unwrap();
    let other = HostTls { ca: OTHER_CA.into(), ..ours.clone() };
    let error = connect(&with(other, &server.url)).await.map(drop).unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Denied, "host.denied"), "{}", error.chain());
    let nameless = HostTls { cert: String::new(), key: Secret::default(), ..ours.clone() };
    assert!(connect(&with(nameless, &server.url)).await.is_err());
    // Plain text to a TLS port is no answer either.
    assert!(server.connect().await.is_err());
    for broken in [
        HostTls { ca: "no PEM".into(), ..ours.clone() },
        HostTls { cert: "no PEM".into(), ..ours.clone() },
        HostTls { key: Secret::new("very secret"), ..ours.clone() },
        HostTls { key: Secret::new(include_str!("testdata/server.key")), ..ours.clone() },
    ] {
        let error = connect(&with(broken, &server.url)).await.map(drop).unwrap_err();
        assert_eq!(error.code(), "host.tls");
        assert!(!format!("{error:?}").contains("very secret"));
    }
}
