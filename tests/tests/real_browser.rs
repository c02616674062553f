//! A browser walks a new appliance: set-up, recovery kit, first backup with live progress, restore beside the original.

use holdfast_tests::{
    demo::Demo,
    house::{self, Setup},
};
use std::process::Command;

#[test]
fn a_newcomer_reaches_a_restored_app_in_the_browser() {
    let Some(binary) = house::real_parts("real_browser") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let demo = Demo::start("hfweb", 1, "172.31.91", "/var/run/docker.sock");
    let bucket = home.path().join("bucket");
    let appliance =
        Setup::new(&binary, &home.path().join("data")).bucket(&format!("file://{}", bucket.display())).start();
    let link = appliance.cli(&["setup-link"]).expect(0).json();
    let token =
        link["url"].as_str().and_then(|url| url.split('#').nth(1)).expect("the link carries a token").to_owned();
    let shots = std::env::var("SHOTS").unwrap_or_else(|_| home.path().join("shots").display().to_string());
    let said = house::run(
        Command::new("node")
            .arg(house::deploy("../web/ui/e2e/run.mjs"))
            .args(["--url", &format!("http://127.0.0.1:{}", appliance.port), "--setup-token", &token])
            .env("SHOTS", &shots)
            .env("APP", "hfweb"),
    );
    println!("{}", said.out);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    Demo { project: "hfweb-restore".into(), port: 0, folder: home.path().join("x"), socket: demo.socket.clone() }
        .remove();
}
