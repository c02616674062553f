//! The capture of a small project on a real engine (HOLDFAST_REAL_DOCKER=1, static busybox needed).

use super::sink::Recorder;
use crate::{Ask, Captured, Journal, Sink, capture, discover, sweep_helpers};
use futures::{StreamExt, stream};
use holdfast_docker::{
    Engine,
    archive::{Entry, image, tar},
    connect,
};
use holdfast_model::{
    Kind, Result,
    policy::Consistency,
    settings::Host,
    snapshot::{Fidelity, RunState},
};
use holdfast_runtime::{Clock, Stop};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const PROJECT: &str = "captureroom";
const IMAGE: &str = "captureroom/busy:1";

struct Bench {
    engine: Arc<dyn Engine>,
    journal: Arc<Journal>,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Option<Bench> {
        std::env::var_os("HOLDFAST_REAL_DOCKER")?;
        let url = std::env::var("HOLDFAST_DOCKER_URL").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
        let host = Host { name: "local".into(), url, tls: None, ssh: None };
        let engine = connect(&host).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::open(&folder.path().join("holds")).unwrap());
        let bench = Bench { engine, journal, folder };
        bench.clear().await;
        bench.build().await;
        Some(bench)
    }

    async fn build(&self) {
        let busybox = std::fs::read("/bin/busybox").unwrap();
        let base = tar(&[
            Entry::directory("bin"),
            Entry::file("bin/busybox", busybox).mode(0o755),
            Entry::symlink("bin/sh", "busybox"),
            Entry::file("bin/doomed", "x"),
            Entry::directory("etc"),
        ]);
        let top = tar(&[Entry::file("etc/app.conf", "factory")]);
        let config =
            json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/busybox", "sleep", "1000"]}});
        let bytes = image(IMAGE, &config, &[base, top]);
        self.engine.image_load(stream::iter([Ok(bytes.into())]).boxed()).await.unwrap();
        self.engine.volume_create(&json!({"Name": "captureroom_data"})).await.unwrap();
        self.engine.network_create(&json!({"Name": "captureroom_net"})).await.unwrap();
        std::fs::create_dir(self.folder.path().join("site")).unwrap();
        std::fs::write(self.folder.path().join("site/index.html"), "hello").unwrap();
        std::fs::write(self.folder.path().join("one.conf"), "single").unwrap();
        let site = self.folder.path().join("site").display().to_string();
        let one = self.folder.path().join("one.conf").display().to_string();
        let script = "echo changed > /etc/app.conf; mkdir -p /var/new; echo n > /var/new/n; /bin/busybox rm /bin/doomed; echo d > /data/d; echo a > /anon/a; exec /bin/busybox sleep 1000";
        self.member("db", "", json!({"Cmd": ["/bin/busybox", "sh", "-c", script], "Volumes": {"/anon": {}},
            "HostConfig": {"Binds": ["captureroom_data:/data"], "NetworkMode": "captureroom_net", "Tmpfs": {"/tmp": ""}}})).await;
        self.member("web", "db:service_started:true", json!({
            "HostConfig": {"Binds": [format!("{site}:/site:ro"), format!("{one}:/one.conf"), "/var/run/docker.sock:/docker.sock".to_owned()],
            "NetworkMode": "captureroom_net"}})).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    async fn member(&self, service: &str, depends_on: &str, mut body: Value) {
        body["Image"] = IMAGE.into();
        // A shell's sleep ignores the polite signal.
        body["StopTimeout"] = 1.into();
        body["Labels"] = json!({"com.docker.compose.project": PROJECT, "com.docker.compose.service": service,
            "com.docker.compose.depends_on": depends_on});
        if service == "db" {
            body["Labels"]["holdfast.hook.pre"] = "echo $0 locked > /data/lock".into();
            body["Labels"]["holdfast.hook.post"] = "/bin/busybox rm /data/lock; echo sorry >&2; exit 3".into();
        }
        let id = self.engine.container_create(&format!("{PROJECT}-{service}-1"), &body).await.unwrap();
        self.engine.container_start(&id).await.unwrap();
    }

    async fn clear(&self) {
        for found in self.engine.container_list().await.unwrap() {
            if found["Labels"]["com.docker.compose.project"] == PROJECT {
                self.engine.container_remove(found["Id"].as_str().unwrap(), true).await.unwrap();
            }
        }
        sweep_helpers(&*self.engine, "captureroom").await.unwrap();
        self.engine.volume_remove("captureroom_data").await.unwrap();
        self.engine.network_remove("captureroom_net").await.unwrap();
        self.engine.image_remove(IMAGE).await.unwrap();
    }

    async fn capture(&self, sink: &Arc<Recorder>, consistency: Consistency) -> Result<Captured> {
        let ask = Ask {
            host: "local".into(),
            app: PROJECT.into(),
            consistency,
            databases: Default::default(),
            hooks: holdfast_model::hooks::AppHooks::new(),
            hold_limit: Duration::from_secs(60),
            owner: "captureroom".into(),
            known_files: Vec::new(),
            key: [7; 32],
        };
        let sink: Arc<dyn Sink> = sink.clone();
        capture(self.engine.clone(), ask, self.journal.clone(), sink, &Clock::system(), &Stop::new()).await
    }

    /// Puts into a volume what no archive of an engine carries; the host is this machine.
    async fn put_odd_things(&self) {
        let inspect = self.engine.volume_inspect("captureroom_data").await.unwrap();
        let place = serde_json::from_str::<Value>(&inspect).unwrap()["Mountpoint"].as_str().unwrap().to_owned();
        let place = std::path::Path::new(&place);
        let _listener = std::os::unix::net::UnixListener::bind(place.join("socket")).unwrap();
        let file = std::fs::File::create(place.join("odd")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"end", 20 << 10).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789)).unwrap();
        rustix::fs::fsetxattr(&file, c"user.colour", b"green", rustix::fs::XattrFlags::empty()).unwrap();
    }

    async fn all_run(&self) -> bool {
        let apps = discover(&*self.engine).await.unwrap();
        let app = apps.iter().find(|app| app.name == PROJECT).unwrap();
        app.containers.iter().all(|container| container.state == RunState::Running)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_captured_whole() {
    let Some(bench) = Bench::new().await else { return };
    bench.put_odd_things().await;
    let sink = Arc::new(Recorder::default());
    let first = bench.capture(&sink, Consistency::Pause).await.unwrap();
    assert!(bench.all_run().await && bench.journal.left_over().is_empty());
    let names: Vec<_> = first.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["captureroom-db-1", "captureroom-web-1"]);
    println!("{:#?}", first.problems);
    println!("freeze {} ms", first.freeze_ms);
    let data = first.volumes.iter().find(|volume| volume.name == "captureroom_data").unwrap();
    assert_eq!(sink.tar(data.stream.as_ref().unwrap())["v/d"], b"d\n");
    assert_eq!(sink.tar(data.stream.as_ref().unwrap())["v/lock"], b"/bin/sh locked\n");
    let failed = first.problems.iter().find(|problem| problem.code == "hook.failed").unwrap();
    assert!(failed.message.contains("post hook") && failed.message.contains("ended with 3: sorry"), "{failed:?}");
    assert_eq!((first.fidelity, data.fidelity), (Fidelity::Full, Fidelity::Full), "{:?}", first.problems);
    let bytes = sink.bytes(data.stream.as_ref().unwrap());
    for record in [
        "HOLDFAST.kind=socket\n",
        "HOLDFAST.holes=0:",
        "mtime=1700000000.123456789\n",
        "SCHILY.xattr.user.colour=green\n",
    ] {
        assert!(bytes.windows(record.len()).any(|window| window == record.as_bytes()), "{record}");
    }
    let anonymous = first.volumes.iter().find(|volume| volume.anonymous).unwrap();
    assert_eq!(sink.tar(anonymous.stream.as_ref().unwrap())["v/a"], b"a\n");
    let site = first.binds.iter().find(|bind| bind.source.ends_with("site")).unwrap();
    assert!(site.directory);
    assert_eq!(sink.tar(site.stream.as_ref().unwrap())["v/index.html"], b"hello");
    let one = first.binds.iter().find(|bind| bind.source.ends_with("one.conf")).unwrap();
    assert!(!one.directory);
    assert_eq!(sink.tar(one.stream.as_ref().unwrap())["v"], b"single");
    let layer: Vec<_> =
        first.containers[0].layer.iter().map(|part| (part.into.clone(), sink.tar(&part.stream))).collect();
    println!("{layer:?} {:?}", first.containers[0].changes);
    assert!(
        layer.iter().any(|(into, tar)| into == "/etc" && tar.get("app.conf").is_some_and(|text| text == b"changed\n"))
    );
    assert!(layer.iter().any(|(into, tar)| into == "/" && tar.get("var/new/n").is_some_and(|text| text == b"n\n")));
    let codes: Vec<_> = first.problems.iter().map(|problem| problem.code.as_str()).collect();
    for code in ["bind.not_captured", "tmpfs.not_captured", "layer.deleted"] {
        assert!(codes.contains(&code), "{codes:?}");
    }
    assert_eq!(first.networks.len(), 1);
    let image = &first.images[0];
    assert_eq!((image.diff_ids.len(), image.tags.as_slice()), (2, &[IMAGE.to_owned()][..]));
    for diff_id in &image.diff_ids {
        let part = image.parts.iter().find(|part| part.diff_id.as_ref() == Some(diff_id)).unwrap();
        assert_eq!(format!("sha256:{}", part.sha256), *diff_id);
    }
    // Again: the image is known.
    sink.images.lock().unwrap().insert(image.id.clone(), image.clone());
    let before = sink.stored();
    let second = bench.capture(&sink, Consistency::Stop).await.unwrap();
    assert_eq!((second.images_known, second.consistency), (1, Consistency::Stop));
    assert!(sink.stored() - before < 100_000, "an image was read again");
    assert!(bench.all_run().await);
    let running = bench.engine.container_list().await.unwrap();
    assert!(
        running
            .iter()
            .all(|found| found["Labels"].get("io.holdfast.helper").is_none_or(|owner| owner != "captureroom"))
    );
    bench.clear().await;
    let gone = bench.capture(&sink, Consistency::None).await.unwrap_err();
    assert_eq!((gone.kind(), gone.code()), (Kind::NotFound, "app.gone"));
}
