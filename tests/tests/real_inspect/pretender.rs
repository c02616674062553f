//! An image that carries the label of our helpers: what is made of it is found, told, backed up and never swept, and whoever writes into a volume
//! is in the way of a restore whatever its labels say.

use crate::settings::IMAGE as BASE;
use holdfast_tests::{
    engine_api,
    house::{self, Setup, sh},
};
use serde_json::Value;

const NAME: &str = "hfpretender";
const IMAGE: &str = "hfpretender:1";

struct Pretender;

impl Pretender {
    /// An image with our label, and a container of it that has a volume.
    fn start() -> Pretender {
        remove();
        sh(&format!(
            "docker create --name {NAME}-seed --entrypoint /bin/sleep {BASE} 100000 && \
             docker commit -c 'LABEL io.holdfast.helper=1' {NAME}-seed {IMAGE} && docker rm {NAME}-seed"
        ));
        let made = Pretender;
        made.run("web");
        sh(&format!("docker exec {NAME}-web sh -c 'echo content >/data/file'"));
        made
    }

    fn run(&self, service: &str) {
        sh(&format!("docker run -d --name {NAME}-{service} --stop-signal KILL -v {NAME}_data:/data {IMAGE}"));
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        remove();
    }
}

fn remove() {
    engine_api::wipe(NAME);
    sh(&format!("docker rmi -f {IMAGE} >/dev/null 2>&1 || true"));
}

fn has(list: &Value, key: &str, wanted: &str) -> bool {
    list.as_array()
        .is_some_and(|all| all.iter().any(|one| one[key].as_str().is_some_and(|text| text.ends_with(wanted))))
}

#[test]
fn a_container_whose_image_carries_our_label_is_an_app_like_others() {
    let Some(binary) = house::real_parts("real_inspect pretender") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let pretender = Pretender::start();
    let app = format!("{NAME}-web");
    let label = sh(&format!("docker inspect -f '{{{{index .Config.Labels \"io.holdfast.helper\"}}}}' {app}"));
    assert_eq!(label.trim(), "1", "it has the label of its image");

    let appliance = Setup::new(&binary, &home.path().join("data")).start();
    let point = appliance.backup(&app);
    let coverage = appliance.cli(&["coverage"]);
    let coverage = coverage.json();
    assert!(has(&coverage["hosts"][0]["apps"], "id", &app), "{coverage}");
    assert!(!has(&coverage["hosts"][0]["gaps"], "subject", &format!("{NAME}_data")), "{coverage}");
    let kept = appliance.cli(&["files", "get", &format!("{point}:{NAME}_data/file"), "--output", "-"]).expect(0);
    assert_eq!(kept.out, "content\n");

    pretender.run("other");
    let plan = appliance.cli(&["restore", &point, "--dry-run", "--in-place"]).expect(5).json();
    assert!(has(&plan["conflicts"], "code", "volume.in_use"), "{plan}");

    // What it finds at its start it sweeps, if it is its own.
    let setup = appliance.kill();
    let appliance = setup.start();
    appliance.backup(&app);
    let running = sh(&format!("docker ps --format '{{{{.Names}}}}' --filter name={NAME}"));
    assert_eq!(running.lines().count(), 2, "{running}");
}
