//! The face under test: the document in the repository, and who may do what on each route.

use super::*;
use std::path::Path;

/// The document is kept in the repository, where the UI's client is generated from it.
#[test]
fn the_kept_document_is_current() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let made = openapi();
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        std::fs::write(&kept, &made).unwrap();
    }
    let old = std::fs::read_to_string(&kept).unwrap_or_default();
    assert!(old == made, "web/openapi.json is old; write it anew with HOLDFAST_BLESS=1");
}

#[test]
fn the_document_is_openapi_3_1_and_holds_the_events() {
    let document: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    for name in ["Event", "ErrorView", "JobView", "StatusView", "SnapshotView", "PlanView"] {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[test]
fn links_name_the_way_in() {
    let settings = |listen: &str, tls, names: &[&str]| WebSettings {
        data: PathBuf::new(),
        listen: listen.parse().unwrap(),
        allow_hosts: names.iter().map(|name| (*name).to_owned()).collect(),
        tls,
        clock: Clock::system(),
    };
    assert_eq!(settings("127.0.0.1:8440", false, &["b.example"]).reached_at(), "127.0.0.1:8440");
    assert_eq!(settings("0.0.0.0:8440", false, &[]).reached_at(), "127.0.0.1:8440");
    assert_eq!(settings("[::]:8440", false, &[]).reached_at(), "[::1]:8440");
    assert_eq!(settings("0.0.0.0:8440", false, &["b.example"]).reached_at(), "b.example:8440");
    assert_eq!(settings("127.0.0.1:8440", true, &["b.example"]).reached_at(), "b.example");
}

mod bucket;
mod doors;
mod insides;
