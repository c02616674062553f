//! The words: snapshot manifests, settings, and the small texts that people and configuration give.

use crate::food::Food;
use holdfast_model::{
    Moment,
    bucket::BucketUrl,
    policy::{Consistency, Policy, parse_duration, parse_size},
    settings::{Host, Settings},
    snapshot::Snapshot,
};

/// A manifest that is read is written and read again as the same.
pub(super) fn manifest(input: &[u8]) {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(input) else { return };
    let written = serde_json::to_vec(&snapshot).expect("a snapshot can be written");
    let again: Snapshot = serde_json::from_slice(&written).expect("our own manifest is read");
    assert!(again == snapshot, "a manifest changes by writing");
    if snapshot.validate().is_ok() {
        let sum: u64 = snapshot.streams().map(|stream| stream.length).sum();
        assert!(sum <= holdfast_model::snapshot::LENGTH_MAX, "an impossible length passes");
    }
    snapshot.containers.iter().for_each(|container| drop(container.inspect.parse()));
}

/// The settings document, and texts of configuration.
pub(super) fn settings(input: &[u8]) {
    let mut food = Food::new(input);
    let mode = food.byte();
    let bytes = food.rest();
    if mode.is_multiple_of(4) {
        return document(bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    match mode % 4 {
        1 => url(&text),
        2 => moment(&text),
        _ => small(&text),
    }
}

fn document(bytes: &[u8]) {
    let Ok(settings) = serde_json::from_slice::<Settings>(bytes) else { return };
    let written = serde_json::to_vec(&settings).expect("settings can be written");
    let again: Settings = serde_json::from_slice(&written).expect("our own settings are read");
    assert!(again == settings, "settings change by writing");
    settings.hosts.values().for_each(|host| drop(host.validate()));
    settings.policies.values().for_each(|policy| drop(policy.validate()));
}

fn url(text: &str) {
    let Ok(url) = BucketUrl::parse(text) else { return };
    let shown = url.to_string();
    assert!(BucketUrl::parse(&shown).expect("our own URL is read") == url, "a URL changes by writing: {shown:?}");
    assert!(!shown.contains(|sign: char| sign.is_control()), "a URL breaks lines: {shown:?}");
}

fn moment(text: &str) {
    let Some(moment) = Moment::parse(text) else { return };
    assert_eq!(Moment::parse(&moment.to_string()), Some(moment), "a moment changes by writing");
    let _ = (moment.plus_seconds(i64::MAX), moment.since(Moment::from_millis(i64::MIN)), moment.civil());
}

fn small(text: &str) {
    let _ = (parse_duration(text), parse_size(text), Consistency::parse(text));
    let (name, url) = text.split_once('\n').unwrap_or((text, ""));
    let _ = Host { name: name.into(), url: url.into(), tls: None, ssh: None }.validate();
    if let Ok(policy) = serde_json::from_str::<Policy>(text) {
        let _ = policy.validate();
    }
}

pub(super) fn manifests() -> Vec<Vec<u8>> {
    let snapshot = super::docker::snapshot_seed();
    vec![
        serde_json::to_vec(&snapshot).expect("a snapshot can be written"),
        b"{}".to_vec(),
        b"{\"format\":1,\"id\":\"00000000000000000000000000\"}".to_vec(),
    ]
}

pub(super) fn settings_seeds() -> Vec<Vec<u8>> {
    let mut settings = Settings::default();
    let host = Host { name: "local".into(), url: "unix:///var/run/docker.sock".into(), tls: None, ssh: None };
    settings.hosts.insert("local".into(), host);
    let document = serde_json::to_vec(&settings).expect("settings can be written");
    let texts = [
        (1, "file:///srv/bucket"),
        (1, "s3://acme/holdfast?endpoint=http://127.0.0.1:8333&region=eu-central-1"),
        (1, "s3://acme?endpoint=https://s3.example&region=auto&path_style=false&ca=/etc/ca%20x.pem"),
        (2, "2026-11-23T05:00:00Z"),
        (2, "0001-01-01T00:00:00.000000001+23:59"),
        (3, "6h"),
        (3, "64MiB"),
        (3, "host-1\ntcp://name:2376"),
        (3, "{\"name\":\"gold\",\"every_seconds\":3600,\"consistency\":\"stop\",\"keep\":{\"last\":3}}"),
    ];
    let mut seeds = vec![[&[0], &document[..]].concat()];
    seeds.extend(texts.map(|(mode, text)| [&[mode], text.as_bytes()].concat()));
    seeds
}
