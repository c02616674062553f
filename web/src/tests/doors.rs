//! Who may do what: every route of the document × nobody, a session, the unix socket.
//!
//! The routes come from the OpenAPI document; a route without a line here fails the test.

use super::super::*;
use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response, StatusCode, header},
};
use holdfast_docker::Engine;
use holdfast_engine::{Outside, ShipStatus, Shipping, Start};
use holdfast_model::{
    Kind,
    bundle::{Enrolment, SignedBundle},
    cache::CacheRule,
    settings::{BucketSettings, Host},
    uploads::Uploads,
    view::Capabilities,
};
use holdfast_repository::Repository;
use holdfast_storage::{MemStore, Store};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::sync::watch;
use tower::ServiceExt;

/// What a caller meets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meets {
    /// No login is asked for.
    Open,
    /// 401 `login.needed`.
    Closed,
    /// 403 with this code.
    Denied(&'static str),
    /// The handler itself, whatever it says.
    Handler,
}
use Meets::{Closed, Denied, Handler, Open};

/// Operation, a body that parses, and what nobody, a session and the socket meet.
type Line = (&'static str, &'static str, [Meets; 3]);

/// The usual route: for those who are logged in, and for the socket.
const USUAL: [Meets; 3] = [Closed, Handler, Handler];
/// What could open every backup: a session alone is not enough.
const STEP_UP: [Meets; 3] = [Closed, Denied("login.step_up"), Handler];

const LINES: &[Line] = &[
    ("GET /livez", "", [Open, Open, Open]),
    ("GET /readyz", "", [Open, Open, Open]),
    ("GET /api/v1/openapi.json", "", [Open, Open, Open]),
    ("GET /api/v1/setup", "", [Open, Open, Open]),
    (
        "POST /api/v1/setup",
        r#"{"token":"x","name":"eve","password":"long enough to be one"}"#,
        [Denied("setup.done"), Denied("setup.done"), Denied("setup.done")],
    ),
    (
        "POST /api/v1/session",
        r#"{"name":"eve","password":"long enough to be one"}"#,
        [Denied("login.wrong"), Denied("login.wrong"), Denied("login.wrong")],
    ),
    ("GET /api/v1/session", "", USUAL),
    ("GET /api/v1/status", "", USUAL),
    ("GET /api/v1/coverage", "", USUAL),
    ("GET /api/v1/doctor", "", USUAL),
    ("GET /api/v1/events", "", USUAL),
    ("POST /api/v1/setup-link", "", [Closed, Denied("request.local"), Handler]),
    ("GET /api/v1/apps", "", USUAL),
    ("GET /api/v1/apps/{host}/{app}", "", USUAL),
    ("PUT /api/v1/apps/{host}/{app}/policy", r#"{"policy":null}"#, USUAL),
    ("GET /api/v1/apps/{host}/{app}/hooks", "", USUAL),
    ("PUT /api/v1/apps/{host}/{app}/hooks/{service}", r#"{"pre":"sync"}"#, USUAL),
    ("DELETE /api/v1/apps/{host}/{app}/hooks/{service}", "", USUAL),
    ("POST /api/v1/backups", r#"{"apps":["none"]}"#, USUAL),
    ("GET /api/v1/snapshots", "", USUAL),
    ("GET /api/v1/snapshots/{id}", "", USUAL),
    ("DELETE /api/v1/snapshots/{id}", "", USUAL),
    ("POST /api/v1/snapshots/{id}/unforget", "", USUAL),
    ("POST /api/v1/snapshots/{id}/warm", "", USUAL),
    ("GET /api/v1/snapshots/{id}/compose", "", USUAL),
    ("GET /api/v1/snapshots/{id}/sections", "", USUAL),
    ("GET /api/v1/snapshots/{id}/files", "", USUAL),
    ("POST /api/v1/snapshots/{id}/files", r#"{"section":"volume:none"}"#, USUAL),
    ("GET /api/v1/snapshots/{id}/content", "", USUAL),
    ("GET /api/v1/snapshots/{id}/diff", "", USUAL),
    ("GET /api/v1/apps/{host}/{app}/files", "", USUAL),
    ("POST /api/v1/restores/plan", r#"{"snapshot":"none"}"#, USUAL),
    ("POST /api/v1/restores", r#"{"snapshot":"none"}"#, USUAL),
    ("GET /api/v1/jobs", "", USUAL),
    ("GET /api/v1/jobs/{id}", "", USUAL),
    ("POST /api/v1/jobs/{id}/cancel", "", USUAL),
    ("GET /api/v1/hosts", "", USUAL),
    ("POST /api/v1/hosts", r#"{"name":"Not a name","url":"x"}"#, USUAL),
    ("DELETE /api/v1/hosts/{name}", "", USUAL),
    ("GET /api/v1/policies", "", USUAL),
    ("PUT /api/v1/policies/{name}", r#"{"name":"other","every_seconds":60}"#, USUAL),
    ("DELETE /api/v1/policies/{name}", "", USUAL),
    ("GET /api/v1/check", "", USUAL),
    ("POST /api/v1/check", "", USUAL),
    ("GET /api/v1/check/daily", "", USUAL),
    ("PUT /api/v1/check/daily", r#"{"daily_percent":101}"#, USUAL),
    ("GET /api/v1/prune", "", USUAL),
    ("POST /api/v1/prune", "", USUAL),
    ("POST /api/v1/kit", "{}", STEP_UP),
    ("POST /api/v1/kit/confirm", "", USUAL),
    ("GET /api/v1/keys", "", USUAL),
    ("POST /api/v1/keys/passphrases", r#"{"name":"a","passphrase":"short"}"#, STEP_UP),
    ("POST /api/v1/keys/escrow", r#"{"name":"a","public_key":""}"#, STEP_UP),
    ("POST /api/v1/keys/rotate", "{}", STEP_UP),
    ("POST /api/v1/keys/recovery", "{}", STEP_UP),
    ("PUT /api/v1/keys/{id}", r#"{"passphrase":"short"}"#, STEP_UP),
    ("DELETE /api/v1/keys/{id}", "", USUAL),
    ("GET /api/v1/cache", "", USUAL),
    ("PUT /api/v1/cache", r#"{"quota_bytes":1}"#, USUAL),
    ("POST /api/v1/cache/evict", r#"{"dry_run":true}"#, USUAL),
    ("GET /api/v1/bucket", "", USUAL),
    ("PUT /api/v1/bucket", r#"{"url":"nonsense"}"#, USUAL),
    ("POST /api/v1/bucket/probe", "", USUAL),
    ("PUT /api/v1/bucket/uploads", r#"{"bytes_per_second":1}"#, USUAL),
    ("PUT /api/v1/bucket/lock", r#"{"rule":{"mode":"compliance","days":0}}"#, USUAL),
    ("POST /api/v1/enrol", r#"{"payload":"","key":"","signature":""}"#, USUAL),
    ("POST /api/v1/recover", r#"{"bucket":{"url":"nonsense"},"kit":""}"#, USUAL),
    // Last: it ends the session.
    ("DELETE /api/v1/session", "", USUAL),
];

pub(super) const NOBODY: Peer = Peer::Tcp(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)));
const PASSWORD: &str = "correct horse battery";

#[tokio::test(flavor = "multi_thread")]
async fn every_route_has_its_guard() {
    let (house, cookie) = House::with_admin().await;
    for (operation, body, met) in LINES {
        for (caller, expected) in
            [(Caller::Nobody, met[0]), (Caller::Session(&cookie), met[1]), (Caller::Socket, met[2])]
        {
            let seen = house.meets(operation, body, &caller).await;
            let same = if expected == Open { seen == Handler } else { seen == expected };
            assert!(same, "{operation} by {caller:?}: {seen:?}, not {expected:?}");
        }
    }
    house.close().await;
}

#[test]
fn every_route_has_a_line() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let documented: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let lines: BTreeSet<String> = LINES.iter().map(|(operation, ..)| (*operation).to_owned()).collect();
    assert_eq!(documented, lines);
    for (operation, _, met) in LINES {
        let (method, path) = operation.split_once(' ').unwrap();
        let login = document["paths"][path][method.to_lowercase()]["security"].is_array();
        assert_eq!(login, met[0] == Closed, "{operation}: the document and the guard differ");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_admin_comes_in_by_the_link_alone() {
    let house = House::new().await;
    let link = house.web.setup_link().await.unwrap();
    let (place, token) = link.split_once('#').unwrap();
    assert_eq!(place, "http://127.0.0.1:8440/setup");

    let setup = |token: &str, password: &str| json!({"token": token, "name": "ada", "password": password}).to_string();
    let ask = |body: String| house.ask("POST /api/v1/setup", body, Caller::Nobody);
    assert_eq!(code(ask(setup("00", PASSWORD)).await).await, "setup.token");
    assert_eq!(code(ask(setup(token, "short")).await).await, "user.password");
    let entered = ask(setup(token, PASSWORD)).await;
    assert_eq!(entered.status(), StatusCode::OK);
    let cookie = entered.headers()[header::SET_COOKIE].to_str().unwrap();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "plain HTTP browsers would drop it");
    assert_eq!(code(ask(setup(token, PASSWORD)).await).await, "setup.done");
    assert_eq!(house.web.setup_link().await, None);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_passwords_gets_slow() {
    let (house, _) = House::with_admin().await;
    let login = |password: &str| json!({"name": "ada", "password": password}).to_string();
    let ask = |body: String| house.ask("POST /api/v1/session", body, Caller::Nobody);
    for _ in 0..4 {
        assert_eq!(code(ask(login("wrong wrong wrong")).await).await, "login.wrong");
    }
    let refused = ask(login(PASSWORD)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "2");
    house.clock.advance(std::time::Duration::from_secs(3));
    assert_eq!(ask(login(PASSWORD)).await.status(), StatusCode::OK);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_and_names_stay_outside() {
    let (house, cookie) = House::with_admin().await;
    let request = |host: &str, origin: &str| {
        Request::post("/api/v1/prune")
            .header(header::HOST, host)
            .header(header::ORIGIN, origin)
            .header(header::COOKIE, &cookie)
            .body(Body::empty())
            .unwrap()
    };
    let foreign = house.send(request("127.0.0.1:8440", "https://evil.example"), NOBODY).await;
    assert_eq!(code(foreign).await, "request.origin");
    let rebound = house.send(request("evil.example:8440", "http://evil.example:8440"), NOBODY).await;
    assert!(rebound.headers().contains_key(header::CONTENT_SECURITY_POLICY), "refusals carry the headers too");
    assert_eq!(code(rebound).await, "request.host");
    let ours = house.send(request("127.0.0.1:8440", "http://127.0.0.1:8440"), NOBODY).await;
    assert_eq!(ours.status(), StatusCode::ACCEPTED);
    assert!(ours.headers()[header::LOCATION].to_str().unwrap().starts_with("/api/v1/jobs/"));
    assert_eq!(ours.headers()[header::CACHE_CONTROL], "no-store");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_strange_requests_are_refused_in_words() {
    let house = House::new().await;
    let ask = |operation: &'static str, body: String| house.ask(operation, body, Caller::Socket);
    let large = format!(r#"{{"apps":["{}"]}}"#, "x".repeat(2 << 20));
    assert_eq!(code(ask("POST /api/v1/backups", large).await).await, "request.too_large");
    assert_eq!(code(ask("POST /api/v1/backups", "{".into()).await).await, "request.body");
    assert_eq!(code(ask("POST /api/v1/backups", r#"{"app":1}"#.into()).await).await, "request.body");
    assert_eq!(code(ask("PUT /api/v1/status", String::new()).await).await, "request.method");
    assert_eq!(code(ask("GET /api/v1/nothing", String::new()).await).await, "request.address");
    assert_eq!(code(ask("GET /api/v1/jobs/nonsense", String::new()).await).await, "id.malformed");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_verified_each_day_is_a_percentage() {
    let house = House::new().await;
    let put = |body: &str| house.ask("PUT /api/v1/check/daily", body.to_owned(), Caller::Socket);
    for (body, refusal) in [
        (r#"{"daily_percent":101}"#, "check.percent"),
        (r#"{"daily_percent":256}"#, "request.body"),
        (r#"{"percent":5}"#, "request.body"),
    ] {
        assert_eq!(code(put(body).await).await, refusal, "{body}");
    }
    assert_eq!(house.appliance.verification().await.rule.daily_percent, 4, "nothing was changed");
    assert_eq!(put(r#"{"daily_percent":0}"#).await.status(), StatusCode::OK);
    assert_eq!(house.appliance.verification().await.rule.daily_percent, 0);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rule_of_the_cache_is_replaced_as_a_whole() {
    let house = House::new().await;
    let put = |body: &str| house.ask("PUT /api/v1/cache", body.to_owned(), Caller::Socket);
    assert_eq!(code(put(r#"{"quota_bytes":1}"#).await).await, "cache.rule");
    assert_eq!(code(put(r#"{"quota":5}"#).await).await, "request.body");
    assert_eq!(put(r#"{"quota_bytes":5000000000,"when_full":"refuse"}"#).await.status(), StatusCode::OK);
    let rule = house.appliance.cache().await.rule;
    assert_eq!((rule.quota_bytes, rule.keep_newest), (Some(5_000_000_000), 1));
    assert_eq!(put("{}").await.status(), StatusCode::OK);
    assert_eq!(house.appliance.cache().await.rule, CacheRule::default());
    let answer = house.ask("POST /api/v1/cache/evict", "{}".into(), Caller::Socket).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let schemas = &document["components"]["schemas"];
    assert!(schemas["CacheState"]["properties"]["limit_bytes"].is_object(), "two shapes share a name");
    assert!(schemas["CacheView"]["properties"]["disk_bytes"].is_object(), "two shapes share a name");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sockets_serve_and_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let house = House::new().await;
    let stop = Stop::new();
    let path = house.data.path().join("test.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = tcp.local_addr().unwrap();
    let (first, second) = (house.web.clone(), house.web.clone());
    let (one, two) = (stop.clone(), stop.clone());
    let doors = [
        tokio::spawn(async move { first.serve_unix(unix, one).await }),
        tokio::spawn(async move { second.serve_tcp(tcp, two).await }),
    ];
    let ask = b"GET /api/v1/session HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut local = tokio::net::UnixStream::connect(&path).await.unwrap();
    local.write_all(ask).await.unwrap();
    let mut text = String::new();
    local.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with(r#"{"name":"local"}"#), "{text}");
    let mut remote = tokio::net::TcpStream::connect(place).await.unwrap();
    remote.write_all(ask).await.unwrap();
    text.clear();
    remote.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 401"), "{text}");

    // An event stream that nobody ends must not keep the door open.
    let mut events = tokio::net::UnixStream::connect(&path).await.unwrap();
    events.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\nlast-event-id: 7\r\n\r\n").await.unwrap();
    let mut first_bytes = [0u8; 512];
    let length = events.read(&mut first_bytes).await.unwrap();
    let mut head = String::from_utf8_lossy(&first_bytes[..length]).into_owned();
    while !head.contains("event: resync") {
        let length = events.read(&mut first_bytes).await.unwrap();
        head.push_str(&String::from_utf8_lossy(&first_bytes[..length]));
    }
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    stop.cancel();
    for door in doors {
        tokio::time::timeout(std::time::Duration::from_secs(5), door).await.unwrap().unwrap().unwrap();
    }
    house.close().await;
}

#[derive(Debug)]
pub(super) enum Caller<'a> {
    Nobody,
    Session(&'a str),
    Socket,
}

/// A real appliance in a folder of its own, whose world is empty.
pub(super) struct House {
    pub(super) data: tempfile::TempDir,
    clock: Clock,
    web: Web,
    service: Router,
    pub(super) appliance: Appliance,
    stop: Stop,
}

impl House {
    async fn new() -> Self {
        House::beside(Arc::new(Desert)).await
    }

    /// One in a world that is not empty.
    pub(super) async fn beside(outside: Arc<dyn Outside>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clock = Clock::manual(holdfast_model::Moment::from_millis(1_795_410_000_000));
        let stop = Stop::new();
        let start = Start {
            data: data.path().to_owned(),
            clock: clock.clone(),
            outside,
            bucket: None,
            local_host: Host { name: "local".into(), url: "unix:///nowhere.sock".into(), tls: None, ssh: None },
            version: "0.0.0-test".into(),
        };
        let appliance = Appliance::start(start, stop.clone()).await.unwrap();
        let settings = WebSettings {
            data: data.path().to_owned(),
            listen: "127.0.0.1:8440".parse().unwrap(),
            allow_hosts: Vec::new(),
            tls: false,
            clock: clock.clone(),
        };
        let web = Web::new(appliance.clone(), settings).await.unwrap();
        let service = api::router(&web.0);
        House { data, clock, web, service, appliance, stop }
    }

    /// One that was set up, and its admin's cookie.
    async fn with_admin() -> (Self, String) {
        let house = House::new().await;
        let cookie = house.enter().await;
        (house, cookie)
    }

    /// Makes the first admin; his cookie.
    pub(super) async fn enter(&self) -> String {
        let link = self.web.setup_link().await.unwrap();
        let token = link.split_once('#').unwrap().1;
        let body = json!({"token": token, "name": "ada", "password": PASSWORD}).to_string();
        let entered = self.ask("POST /api/v1/setup", body, Caller::Nobody).await;
        assert_eq!(entered.status(), StatusCode::OK);
        let cookie = entered.headers()[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    pub(super) async fn ask(&self, operation: &str, body: String, caller: Caller<'_>) -> Response<Body> {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path.replace(['{', '}'], "");
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:8440");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Caller::Session(cookie) = &caller {
            request = request.header(header::COOKIE, *cookie);
        }
        let peer = if matches!(caller, Caller::Socket) { Peer::Local } else { NOBODY };
        self.send(request.body(Body::from(body)).unwrap(), peer).await
    }

    pub(super) async fn send(&self, mut request: Request<Body>, peer: Peer) -> Response<Body> {
        request.extensions_mut().insert(ConnectInfo(peer));
        self.service.clone().oneshot(request).await.unwrap()
    }

    async fn meets(&self, operation: &str, body: &str, caller: &Caller<'_>) -> Meets {
        // Wrong guesses slow down whoever makes them; here everybody has time.
        self.clock.advance(std::time::Duration::from_secs(2));
        let caller = match caller {
            Caller::Nobody => Caller::Nobody,
            Caller::Session(cookie) => Caller::Session(cookie),
            Caller::Socket => Caller::Socket,
        };
        let response = self.ask(operation, body.to_owned(), caller).await;
        let status = response.status();
        if status.is_success() {
            return Handler;
        }
        let code = code(response).await;
        let lines = LINES.iter().filter(|(known, ..)| *known == operation).flat_map(|(_, _, met)| met);
        let denied = lines.into_iter().find(|met| matches!(met, Denied(known) if *known == code));
        match (code.as_str(), denied) {
            ("login.needed", _) => Closed,
            (_, Some(met)) => *met,
            (code, None) => {
                assert!(
                    !code.starts_with("request.") || ["request.path", "request.query"].contains(&code),
                    "{operation}: {code}"
                );
                Handler
            }
        }
    }

    pub(super) async fn close(self) {
        self.stop.cancel();
        self.appliance.finished().await;
    }
}

pub(super) async fn code(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let view: Value = serde_json::from_slice(&bytes).unwrap();
    view["code"].as_str().unwrap_or("no code").to_owned()
}

/// An outside without hosts; buckets are memory.
pub(super) struct Desert;

#[async_trait]
impl Outside for Desert {
    async fn host(&self, _: &Host) -> Result<Arc<dyn Engine>> {
        Err(Error::new(Kind::Unavailable, "host.unreachable", "nobody lives here"))
    }
    async fn bucket(&self, _: &BucketSettings, _: Option<&Capabilities>) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(MemStore::new()))
    }
    async fn probe(&self, _: &BucketSettings) -> Result<Capabilities> {
        Ok(Capabilities::default())
    }
    fn open_bundle(&self, _: &SignedBundle, _: &Clock) -> Result<Enrolment> {
        Err(Error::invalid("bundle.malformed", "this is not an enrolment bundle"))
    }
    fn ship(&self, _: Repository, _: Arc<dyn Store>, _: Stop) -> Arc<dyn Shipping> {
        Arc::new(Idle(watch::channel(0).0))
    }
    fn uploads(&self, _: &Uploads) {}
}

struct Idle(watch::Sender<u64>);

impl Shipping for Idle {
    fn nudge(&self) {}
    fn status(&self) -> ShipStatus {
        ShipStatus::default()
    }
    fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
