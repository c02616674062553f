//! The wire against a small server of our own: version on every path, refusals, TLS, broken streams.

use super::{connect, is_news};
use crate::{EMPTY_IMAGE, Engine, Exec, HELPER_LABEL, archive::tar, helper_name};
use futures::{StreamExt, stream};
use holdfast_model::{
    Error, Kind, Result, Secret,
    settings::{Host, HostTls},
    snapshot::LayerChange,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
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
async fn of_a_change_no_more_is_kept_than_is_known_and_one_of_another_kind_is_an_error() {
    let server = Server::start(false, |line| match line {
        "GET /_ping" => pong("1.41"),
        line if line.contains("/none/") => reply("200 OK", "", "null"),
        line if line.contains("/odd/") => reply("200 OK", "", r#"[{"Path":["/a"],"Kind":1}]"#),
        _ => reply(
            "200 OK",
            "",
            r#"[{"Kind":1,"Path":"/a","Size":{"x":[1]}},{"Path":"/b"},{"Kind":2},{"Path":"/c\u00e9","Kind":9}]"#,
        ),
    })
    .await;
    let engine = server.connect().await.unwrap();
    let known = |path: &str, kind| LayerChange { path: path.into(), kind };
    assert_eq!(engine.container_changes("x").await.unwrap(), [known("/a", 1), known("/cé", 2)]);
    assert!(engine.container_changes("none").await.unwrap().is_empty(), "Podman's word for no changes");
    assert_eq!(engine.container_changes("odd").await.unwrap_err().code(), "host.answer_malformed");
}

/// More brackets than any stack has room for.
fn deep() -> String {
    "[".repeat(100_000)
}

#[tokio::test]
async fn answers_that_are_nested_without_end_are_an_error_like_others() {
    let server = Server::start(false, |line| match line {
        "GET /_ping" => pong("1.41"),
        line if line.ends_with("/pause") => reply("500 Internal Server Error", "", &deep()),
        _ => reply("200 OK", "", &deep()),
    })
    .await;
    let engine = server.connect().await.unwrap();
    let (body, command) = (json!({ "Name": "x" }), ["true".to_owned()]);
    let outcomes = [
        engine.info().await.map(drop),
        engine.describe().await.map(drop),
        engine.container_list().await.map(drop),
        engine.container_inspect("x").await.map(drop),
        engine.container_changes("x").await.map(drop),
        engine.container_create("x", &body).await.map(drop),
        engine.container_top("x").await.map(drop),
        engine.exec_start("x", Exec::new(&command)).await.map(drop),
        engine.exec_code("x").await.map(drop),
        engine.image_list().await.map(drop),
        engine.image_inspect("x").await.map(drop),
        engine.image_load(stream::iter([Ok("x".into())]).boxed()).await,
        engine.volume_list().await.map(drop),
        engine.volume_inspect("x").await.map(drop),
        engine.volume_create(&body).await.map(drop),
        engine.network_list().await.map(drop),
        engine.network_inspect("x").await.map(drop),
        engine.network_create(&body).await.map(drop),
        engine.events().await.unwrap().next().await.unwrap().map(drop),
    ];
    for (place, outcome) in outcomes.into_iter().enumerate() {
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Invalid, "host.answer_malformed"), "{place}: {error:?}");
    }
    engine.container_pause("x").await.unwrap_err();
}

#[tokio::test]
async fn of_a_key_that_is_there_twice_the_last_one_counts_wherever_it_is_read() {
    const TWICE: &str = r#"{"Id":"one","Labels":{"a":"1","a":"2"},"Id":"two"}"#;
    let server = Server::start(false, |line| match line {
        "GET /_ping" => pong("1.41"),
        line if line.contains("all=1") => reply("200 OK", "", &format!("[{TWICE}]")),
        _ => reply("200 OK", "", TWICE),
    })
    .await;
    let engine = server.connect().await.unwrap();
    let text = engine.container_inspect("x").await.unwrap();
    assert_eq!(text, TWICE, "what is kept is what was said");
    for read in [engine.container_list().await.unwrap().remove(0), serde_json::from_str(&text).unwrap()] {
        assert_eq!((&read["Id"], &read["Labels"]["a"]), (&json!("two"), &json!("2")));
    }
    assert_eq!(engine.container_create("x", &json!({})).await.unwrap(), "two");
}

/// Asks for everything that has a name in its path.
async fn ask_by_name(engine: &dyn Engine, name: &str) {
    let _ = engine.container_inspect(name).await;
    let _ = engine.container_changes(name).await;
    let _ = engine.container_create(name, &json!({})).await;
    let _ = engine.container_start(name).await;
    let _ = engine.container_stop(name, 1).await;
    let _ = engine.container_pause(name).await;
    let _ = engine.container_rename(name, name).await;
    let _ = engine.container_attach(name).await;
    let _ = engine.container_top(name).await;
    let _ = engine.container_remove(name, false).await;
    let _ = engine.exec_code(name).await;
    let _ = engine.archive_get(name, name).await;
    let _ = engine.archive_put(name, name, stream::iter([Ok(tar(&[]).into())]).boxed()).await;
    let _ = engine.volume_inspect(name).await;
    let _ = engine.volume_remove(name).await;
    let _ = engine.network_inspect(name).await;
    let _ = engine.network_connect(name, name, &json!({})).await;
    let _ = engine.network_remove(name).await;
    // Names of images have folders.
    if name != "a/victim" {
        let _ = engine.image_inspect(name).await;
        let _ = engine.image_save(name).await;
        let _ = engine.image_tag(name, name, name).await;
        let _ = engine.image_remove(name).await;
    }
}

#[tokio::test]
async fn no_id_and_no_name_leads_to_another_path() {
    let server = Server::start(false, |line| match line {
        "GET /_ping" => pong("1.41"),
        "POST /v1.41/containers/x/exec" => reply("201 Created", "", r#"{"Id":"../containers/victim"}"#),
        _ => reply("200 OK", "", "{}"),
    })
    .await;
    let engine = server.connect().await.unwrap();
    let error = engine.exec_start("x", Exec::new(&["true".to_owned()])).await.map(drop).unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::NotFound, "command.not_found"));
    assert_eq!(server.seen().len(), 2, "the command that the engine named so was not begun");
    for name in [
        "..",
        "../containers/victim",
        "a/../../victim",
        "./victim",
        "/victim",
        "a//victim",
        "a/victim",
        "a?victim",
        "a#victim",
        "a%2Fvictim",
        "%2e%2e%2fvictim",
        "a\\victim",
        "a victim",
        "a\r\nX: victim",
    ] {
        ask_by_name(&*engine, name).await;
    }
    let seen = server.seen();
    for head in &seen {
        let path = head.split(' ').nth(1).unwrap();
        let leads = ["/victim", "?victim", "#victim", "\\victim", "/..", "//"].iter().any(|way| path.contains(way));
        assert!(!leads && !head.contains("\nX: victim"), "{head}");
    }
    for told in ["a%2Fvictim", "a%252Fvictim", "a%3Fvictim", "a%23victim"] {
        assert!(seen.iter().any(|head| head.contains(told)), "{told} was asked for as what it is");
    }
}

#[test]
fn what_happens_to_a_container_that_only_carries_our_label_is_news() {
    let event = |name: &str| {
        let told = json!({ "name": name, "image": EMPTY_IMAGE, HELPER_LABEL: "me" });
        json!({ "Type": "container", "Action": "start", "Actor": { "ID": "x", "Attributes": told } })
    };
    assert!(is_news(&event("web")) && !is_news(&event(&helper_name("read"))));
    assert!(is_news(&Value::Null));
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
