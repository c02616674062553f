//! A project of three members on the fake engine.

use super::sink::Recorder;
use crate::{Ask, Captured, Journal, Sink, capture};
use futures::{StreamExt, stream};
use holdfast_docker::{
    Engine,
    archive::{Entry, image, tar},
    fake::FakeDocker,
};
use holdfast_model::{
    Result,
    policy::{Consistency, Databases},
};
use holdfast_runtime::{Clock, Stop};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};

pub(crate) const IMAGE: &str = "shop/base:1";

pub(crate) struct Bench {
    pub(crate) docker: FakeDocker,
    pub(super) journal: Arc<Journal>,
    pub(super) sink: Arc<Recorder>,
    pub(super) stop: Stop,
    pub(super) folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Bench {
        Bench::with(Recorder::default()).await
    }

    pub(super) async fn with(sink: Recorder) -> Bench {
        Bench::on(FakeDocker::new(), sink).await
    }

    /// On a host where no mover may run.
    pub(super) async fn without_mover(sink: Recorder) -> Bench {
        Bench::on(FakeDocker::new().without_mover(), sink).await
    }

    /// `db` with a named volume, `web` with a host path that waits for `db`, `idle` that never ran.
    async fn on(docker: FakeDocker, sink: Recorder) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench {
            journal: Arc::new(Journal::open(folder.path()).unwrap()),
            sink: Arc::new(sink),
            stop: Stop::new(),
            docker,
            folder,
        };
        let layer = tar(&[Entry::directory("etc"), Entry::file("etc/conf", "factory"), Entry::file("old", "x")]);
        bench.load(&[layer]).await;
        bench.docker.volume_put("data", Entry::directory("").owner(999, 999).mode(0o700));
        bench.docker.volume_put("data", Entry::file("table", vec![7; 50_000]));
        bench.docker.host_directory("/srv/site", &[("index.html", b"hello")]);
        bench.docker.network_create(&json!({ "Name": "shop_net" })).await.unwrap();
        bench.member("db", "", json!({ "HostConfig": { "Binds": ["data:/data"], "NetworkMode": "shop_net" } })).await;
        let web = json!({ "HostConfig": { "Binds": ["/srv/site:/site:ro"], "NetworkMode": "shop_net" } });
        bench.member("web", "db:service_started:true", web).await;
        bench.member("idle", "", json!({})).await;
        bench.docker.container_start("shop-db").await.unwrap();
        bench.docker.container_start("shop-web").await.unwrap();
        bench.docker.container_write("shop-db", "etc/conf", b"changed");
        bench.docker.forget_calls();
        bench
    }

    pub(super) async fn load(&self, layers: &[Vec<u8>]) {
        let bytes = image(IMAGE, &json!({ "config": { "Cmd": ["/x"] } }), layers);
        self.docker.image_load(stream::iter([Ok(bytes.into())]).boxed()).await.unwrap();
    }

    pub(crate) async fn member(&self, service: &str, depends_on: &str, mut body: Value) {
        body["Image"] = IMAGE.into();
        body["Labels"] = json!({ "com.docker.compose.project": "shop", "com.docker.compose.service": service,
            "com.docker.compose.depends_on": depends_on });
        self.docker.container_create(&format!("shop-{service}"), &body).await.unwrap();
    }

    pub(super) fn ask(&self, consistency: Consistency) -> Ask {
        Ask {
            host: "local".into(),
            app: "shop".into(),
            consistency,
            databases: Databases::Auto,
            hooks: holdfast_model::hooks::AppHooks::new(),
            hold_limit: Duration::from_secs(60),
            owner: "bench".into(),
            known_files: Vec::new(),
            key: [7; 32],
        }
    }

    pub(super) async fn capture(&self, consistency: Consistency) -> Result<Captured> {
        self.capture_as(self.ask(consistency)).await
    }

    pub(super) async fn capture_as(&self, ask: Ask) -> Result<Captured> {
        let (engine, sink): (Arc<dyn Engine>, Arc<dyn Sink>) = (Arc::new(self.docker.clone()), self.sink.clone());
        capture(engine, ask, self.journal.clone(), sink, &Clock::system(), &self.stop).await
    }

    pub(super) fn states(&self) -> [Option<&'static str>; 3] {
        ["shop-db", "shop-web", "shop-idle"].map(|name| self.docker.container_state(name))
    }

    /// Nothing of ours is left: no helper, no hold, members as they were.
    pub(super) async fn assert_untouched(&self) {
        assert_eq!(self.states(), [Some("running"), Some("running"), Some("created")]);
        self.assert_nothing_left().await;
    }

    pub(super) async fn assert_nothing_left(&self) {
        assert!(self.journal.left_over().is_empty());
        assert_eq!(entries(self.folder.path()), 0);
        let listed = self.docker.container_list().await.unwrap();
        assert!(listed.iter().all(|found| found["Labels"]["com.docker.compose.project"] == "shop"), "{listed:?}");
    }

    /// Calls of one kind, by subject's name.
    pub(super) fn calls(&self, kind: &str) -> Vec<String> {
        let calls = self.docker.calls();
        calls.into_iter().filter_map(|call| call.strip_prefix(kind)?.strip_prefix(' ').map(str::to_owned)).collect()
    }

    pub(super) async fn id(&self, name: &str) -> String {
        let text = self.docker.container_inspect(name).await.unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["Id"].as_str().unwrap().to_owned()
    }
}

pub(super) fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

pub(super) fn codes(captured: &Captured) -> Vec<&str> {
    captured.problems.iter().map(|problem| problem.code.as_str()).collect()
}
