//! A tenant on a real S3 server: made through IAM, enrolled by bundle, backed up, and kept to its own bucket.

use holdfast_tests::{
    demo::Demo,
    house::{self, Setup},
};
use serde_json::Value;

const ENGINE: &str = "/var/run/docker.sock";

fn create(setup: &Setup, name: &str, endpoint: &str, keys: (&str, &str), output: &str) -> Value {
    let mut command = setup.command();
    command.args([
        "provider",
        "tenant",
        "create",
        name,
        "--quota",
        "5GB",
        "--endpoint",
        endpoint,
        "--output",
        output,
        "--json",
    ]);
    command.env("HOLDFAST_PROVIDER_ACCESS_KEY", keys.0).env("HOLDFAST_PROVIDER_SECRET_KEY", keys.1);
    house::run(&mut command).expect(0).json()
}

#[test]
fn a_tenant_is_made_enrolled_backed_up_and_walled_in() {
    let Some(binary) = house::real_parts("real_tenant") else { return };
    let (endpoint, access, secret) = house::seaweed();
    let home = tempfile::tempdir().expect("a folder");
    let setup = Setup::new(&binary, &home.path().join("data"));
    let path = |name: &str| home.path().join(name).to_str().expect("text").to_owned();
    let unique = std::process::id();
    let (one, two) = (format!("acme-{unique}"), format!("nord-{unique}"));
    let first = create(&setup, &one, &endpoint, (&access, &secret), &path("one.hfenrol"));
    create(&setup, &two, &endpoint, (&access, &secret), &path("two.hfenrol"));
    assert!(
        first["proof"].as_array().is_some_and(|proof| !proof.is_empty() && proof.iter().all(|line| line["ok"] == true)),
        "{first}"
    );

    let demo = Demo::start("hftenant", 1, "172.31.90", ENGINE);
    let appliance = setup.start();
    appliance.cli(&["enrol", &path("one.hfenrol")]).expect(0);
    let snapshot = appliance.backup("hftenant");
    appliance.wait_cloud(&snapshot, 120);
    let status = appliance.cli(&["status"]).expect(0).json();
    assert_eq!(status["enrolment"]["tenant"], one.as_str());
    drop(demo);

    // The first tenant's key at the second tenant's bucket, asked by a client that is not ours.
    let bundle = |name: &str| -> Value {
        let signed: Value =
            serde_json::from_str(&std::fs::read_to_string(path(name)).expect("the bundle")).expect("JSON");
        serde_json::from_str(signed["payload"].as_str().expect("a payload")).expect("JSON")
    };
    let (mine, theirs) = (bundle("one.hfenrol"), bundle("two.hfenrol"));
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let (key, secret) = (text(&mine["credentials"]["access_key"]), text(&mine["credentials"]["secret_key"]));
    let bucket_of = |bundle: &Value| {
        text(&bundle["bucket"]).trim_start_matches("s3://").split(['?', '/']).next().unwrap_or_default().to_owned()
    };
    let keys = (key.as_str(), secret.as_str());
    let (own, other) = (bucket_of(&mine), bucket_of(&theirs));
    assert!(!house::s3_list(keys, &endpoint, &own, "s/").is_empty(), "the snapshot is not in the tenant's bucket");
    let file = home.path().join("probe");
    std::fs::write(&file, b"probe").expect("a file can be written");
    for (method, url, body) in [
        ("GET", format!("{endpoint}/{other}?list-type=2"), None),
        ("GET", format!("{endpoint}/{other}/format"), None),
        ("PUT", format!("{endpoint}/{other}/intruder"), Some(file.as_path())),
        ("DELETE", format!("{endpoint}/{other}/format"), None),
        ("DELETE", format!("{endpoint}/{other}"), None),
        ("PUT", format!("{endpoint}/new-{unique}"), None),
    ] {
        let (status, answer) = house::s3_curl(keys, method, &url, body);
        assert_eq!(status, 403, "{method} {url}: {}", String::from_utf8_lossy(&answer));
    }
}
