//! Both engines on the bench.

use super::Bench;
use crate::{connect, fake::FakeDocker};
use holdfast_model::settings::Host;
use std::sync::Arc;

#[tokio::test]
async fn the_fake_engine_conforms() {
    Bench::new(Arc::new(FakeDocker::new()), "hfconform", b"program".to_vec()).run().await.unwrap();
}

#[tokio::test]
async fn the_real_engine_conforms() {
    if std::env::var_os("HOLDFAST_REAL_DOCKER").is_none() {
        return;
    }
    let program = std::fs::read("/bin/busybox").expect("a static busybox (package busybox-static)");
    let url = std::env::var("HOLDFAST_DOCKER_URL").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let host = Host { name: "local".into(), url, tls: None, ssh: None };
    Bench::new(connect(&host).await.unwrap(), "hfconform", program).run().await.unwrap();
}
