//! Contents of snapshots over HTTP: whole or broken off, never shown, never without a login.

use super::{
    super::*,
    doors::{Caller, Desert, House, NOBODY, code},
};
use async_trait::async_trait;
use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use futures::{StreamExt, stream};
use holdfast_docker::{
    Engine,
    archive::{Entry, image, tar},
    fake::FakeDocker,
};
use holdfast_engine::{Outside, Shipping};
use holdfast_model::{
    bundle::{Enrolment, SignedBundle},
    settings::{BucketSettings, Host},
    uploads::Uploads,
    view::{BackupRequest, Capabilities},
};
use holdfast_repository::Repository;
use holdfast_storage::Store;
use serde_json::{Value, json};

const HTML: &[u8] = b"<html><script>fetch('/api/v1/kit')</script></html>";

/// An outside with one host.
struct Harbour(Arc<dyn Engine>);

#[async_trait]
impl Outside for Harbour {
    async fn host(&self, _: &Host) -> Result<Arc<dyn Engine>> {
        Ok(Arc::clone(&self.0))
    }
    async fn bucket(&self, bucket: &BucketSettings, seen: Option<&Capabilities>) -> Result<Arc<dyn Store>> {
        Desert.bucket(bucket, seen).await
    }
    async fn probe(&self, bucket: &BucketSettings) -> Result<Capabilities> {
        Desert.probe(bucket).await
    }
    fn open_bundle(&self, bundle: &SignedBundle, clock: &Clock) -> Result<Enrolment> {
        Desert.open_bundle(bundle, clock)
    }
    fn ship(&self, repository: Repository, bucket: Arc<dyn Store>, stop: Stop) -> Arc<dyn Shipping> {
        Desert.ship(repository, bucket, stop)
    }
    fn uploads(&self, uploads: &Uploads) {
        Desert.uploads(uploads);
    }
}

/// Hard to compress, and different everywhere.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(next).collect()
}

/// An appliance with one snapshot of an app with one volume; its admin's cookie and the snapshot's id.
async fn backed_up() -> (House, String, String) {
    let engine: Arc<dyn Engine> = Arc::new(FakeDocker::new());
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/run"]}});
    let layer = tar(&[Entry::file("run", vec![7; 100]).mode(0o755)]);
    let bytes = image("inside:1", &config, &[layer]);
    engine.image_load(stream::iter([Ok(bytes.into())]).boxed()).await.unwrap();
    engine.volume_create(&json!({"Name": "inside_data"})).await.unwrap();
    let body = json!({"Image": "inside:1", "Cmd": ["/run"], "HostConfig": {"Binds": ["inside_data:/data"]}});
    let id = engine.container_create("inside", &body).await.unwrap();
    let files = tar(&[
        Entry::directory("data/www"),
        Entry::file("data/www/evil.html", HTML.to_vec()),
        Entry::file("data/www/page 1.txt", b"hello".to_vec()),
        Entry::file("data/large", noise(9_000_000)),
        Entry::file("data/nothing", Vec::new()),
    ]);
    engine.archive_put(&id, "/", stream::iter([Ok(files.into())]).boxed()).await.unwrap();
    engine.container_start(&id).await.unwrap();

    let house = House::beside(Arc::new(Harbour(engine))).await;
    let cookie = house.enter().await;
    let request = BackupRequest { apps: vec!["inside".into()], consistency: None, databases: None };
    let job = house.appliance.backup(request).await.unwrap().remove(0);
    let mut seen = job;
    while !seen.state.is_final() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        seen = house.appliance.job(&seen.id).await.unwrap();
    }
    let snapshot = seen.snapshot.as_ref().unwrap_or_else(|| panic!("no snapshot: {seen:#?}")).to_string();
    (house, cookie, snapshot)
}

async fn get(house: &House, path: &str, more: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::get(path).header(header::HOST, "127.0.0.1:8440");
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    house.send(request.body(Body::empty()).unwrap(), NOBODY).await
}

async fn json_of(response: Response<Body>) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_leave_as_attachments_and_only_to_those_who_are_known() {
    let (house, cookie, id) = backed_up().await;
    let place =
        |what: &str, path: &str| format!("/api/v1/snapshots/{id}/{what}?section=volume:inside_data&path={path}");
    let login = [("cookie", cookie.as_str())];
    for path in [
        place("files", ""),
        place("content", "www/evil.html"),
        place("content", "www"),
        format!("/api/v1/snapshots/{id}/sections"),
        format!("/api/v1/snapshots/{id}/diff?before={id}"),
        "/api/v1/apps/local/inside/files?pattern=evil".into(),
    ] {
        let refused = get(&house, &path, &[]).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(code(refused).await, "login.needed");
        let stranger = get(&house, &path, &[("cookie", "holdfast_session=0011")]).await;
        assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(get(&house, &path, &login).await.status(), StatusCode::OK, "{path}");
    }

    let login = [login[0], ("accept-encoding", "gzip")];
    let html = get(&house, &place("content", "www/evil.html"), &login).await;
    let headers = html.headers();
    assert_eq!(text(headers, "content-type"), "application/octet-stream");
    assert!(text(headers, "content-disposition").starts_with("attachment; filename=\"evil.html\""));
    assert_eq!((text(headers, "x-content-type-options"), text(headers, "cache-control")), ("nosniff", "no-store"));
    assert_eq!((text(headers, "content-length"), text(headers, "content-encoding")), ("50", ""));
    assert!(text(headers, "content-security-policy").contains("default-src 'self'"));
    assert_eq!(to_bytes(html.into_body(), 100).await.unwrap(), HTML);

    let spaced = get(&house, &place("content", "www/page%201.txt"), &login).await;
    assert!(text(spaced.headers(), "content-disposition").ends_with("filename*=UTF-8''page%201.txt"));
    let empty = get(&house, &place("content", "nothing"), &login).await;
    assert_eq!((empty.status(), text(empty.headers(), "content-length")), (StatusCode::OK, "0"));

    let folder = get(&house, &place("content", "www"), &login).await;
    assert_eq!(text(folder.headers(), "content-type"), "application/x-tar");
    assert!(text(folder.headers(), "content-disposition").contains("\"www.tar\""));
    assert_eq!(text(folder.headers(), "content-encoding"), "");
    let archive = to_bytes(folder.into_body(), 1 << 20).await.unwrap();
    assert!(archive.ends_with(&[0; 1024]) && archive.windows(HTML.len()).any(|window| window == HTML));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stretches_and_wrong_questions() {
    let (house, cookie, id) = backed_up().await;
    let place = |what: &str, rest: &str| format!("/api/v1/snapshots/{id}/{what}?section=volume:inside_data{rest}");
    let large = place("content", "&path=large");
    let whole = noise(9_000_000);
    for (asked, range) in
        [("bytes=0-9", 0..10), ("bytes=8999990-", 8_999_990..9_000_000), ("bytes=-5", 8_999_995..9_000_000)]
    {
        let part = get(&house, &large, &[("cookie", &cookie), ("range", asked)]).await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        let told = format!("bytes {}-{}/9000000", range.start, range.end - 1);
        assert_eq!(text(part.headers(), "content-range"), told);
        assert!(to_bytes(part.into_body(), 100).await.unwrap() == whole[range]);
    }
    let beyond = get(&house, &large, &[("cookie", &cookie), ("range", "bytes=9000000-")]).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(code(beyond).await, "files.range");

    for (path, status, expected) in [
        (place("files", "&path=../x"), 422, "files.path"),
        (place("files", "&path=gone"), 404, "files.absent"),
        (place("files", "&path=large"), 422, "files.not_folder"),
        (place("files", "&what=1"), 422, "request.query"),
        (place("content", "&path=gone"), 404, "files.absent"),
        (format!("/api/v1/snapshots/{id}/files?section=volume:other"), 404, "files.section"),
        ("/api/v1/snapshots/0000000000/files?section=volume:inside_data".into(), 404, "snapshot.missing"),
        ("/api/v1/apps/local/inside/files?pattern=".into(), 422, "files.pattern"),
    ] {
        let answer = get(&house, &path, &[("cookie", &cookie)]).await;
        assert_eq!((answer.status().as_u16(), code(answer).await.as_str()), (status, expected), "{path}");
    }
    let listed = json_of(house.ask(&format!("GET {}", place("files", "")), String::new(), Caller::Socket).await).await;
    let names: Vec<_> = listed["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["large", "nothing", "www"]);
    let found =
        json_of(house.ask("GET /api/v1/apps/local/inside/files?pattern=EVIL*", String::new(), Caller::Socket).await)
            .await;
    assert_eq!(found["found"][0]["path"], "www/evil.html");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_breaks_off() {
    let (house, cookie, id) = backed_up().await;
    // The last bytes of the pack that holds the large file turn, behind what the first answer needs.
    let packs = std::fs::read_dir(house.data.path().join("cache/p")).unwrap();
    let packs =
        packs.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap()).map(|pack| pack.unwrap().path());
    let pack = packs.max_by_key(|pack| pack.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    let behind = bytes.len() - 60_000;
    bytes[behind] ^= 1;
    std::fs::remove_file(&pack).unwrap();
    std::fs::write(&pack, bytes).unwrap();
    for path in ["large", ""] {
        let place = format!("/api/v1/snapshots/{id}/content?section=volume:inside_data&path={path}");
        let answer = get(&house, &place, &[("cookie", &cookie)]).await;
        if answer.status() == StatusCode::OK {
            assert!(
                to_bytes(answer.into_body(), 1 << 30).await.is_err(),
                "{path}: an answer that is not whole ended well"
            );
        } else {
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        }
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_snapshot_is_hidden_brought_back_and_removed_on_request() {
    let (house, _, id) = backed_up().await;
    let ask = |operation: String| {
        let house = &house;
        async move { house.ask(&operation, String::new(), Caller::Socket).await }
    };
    let listed = async |query: &str| {
        let list = json_of(ask(format!("GET /api/v1/snapshots{query}")).await).await;
        list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(code(ask(format!("POST /api/v1/snapshots/{id}/unforget")).await).await, "snapshot.not_forgotten");
    assert_eq!(code(ask(format!("DELETE /api/v1/snapshots/{id}?soon=true")).await).await, "request.query");
    assert_eq!(ask(format!("DELETE /api/v1/snapshots/{id}")).await.status(), StatusCode::NO_CONTENT);
    assert_eq!((listed("").await.len(), listed("?forgotten=true&app=inside").await), (0, vec![id.clone()]));
    let detail = json_of(ask(format!("GET /api/v1/snapshots/{id}")).await).await;
    assert!(detail["snapshot"]["forgotten_until"].is_string(), "{detail}");

    let back = json_of(ask(format!("POST /api/v1/snapshots/{id}/unforget")).await).await;
    assert!(back["id"] == id.as_str() && back["forgotten_until"].is_null(), "{back}");
    assert_eq!((listed("").await, listed("?forgotten=true").await.len()), (vec![id.clone()], 0));

    assert_eq!(ask(format!("DELETE /api/v1/snapshots/{id}?now=true")).await.status(), StatusCode::NO_CONTENT);
    assert_eq!((listed("").await.len(), listed("?forgotten=true").await.len()), (0, 0));
    assert_eq!(code(ask(format!("GET /api/v1/snapshots/{id}")).await).await, "snapshot.missing");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_brought_into_the_cache_by_a_job() {
    let (house, _, id) = backed_up().await;
    let warm = |id: &str| {
        let operation = format!("POST /api/v1/snapshots/{id}/warm");
        let house = &house;
        async move { house.ask(&operation, String::new(), Caller::Socket).await }
    };
    for asked in [id.as_str(), "latest:local%2Finside"] {
        let answer = warm(asked).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{asked}");
        let place = text(answer.headers(), "location").to_owned();
        let mut job = json_of(house.ask(&format!("GET {place}"), String::new(), Caller::Socket).await).await;
        while ["queued", "running"].contains(&job["state"].as_str().unwrap()) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            job = json_of(house.ask(&format!("GET {place}"), String::new(), Caller::Socket).await).await;
        }
        assert_eq!((job["kind"].as_str(), job["state"].as_str()), (Some("warm"), Some("done")), "{job}");
    }
    assert_eq!(code(warm("0000000000").await).await, "snapshot.missing");
    house.close().await;
}
