//! A file read again by a reader of YAML that is not ours, against what the containers say.

use super::*;
use holdfast_model::{
    Moment, RepositoryId, SnapshotId,
    snapshot::{RawJson, RunState},
};
use std::{
    io::Write,
    process::{Command, Stdio},
};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn raw(value: Value) -> RawJson {
    RawJson(value.to_string())
}

fn snapshot() -> Snapshot {
    let web = json!({"Id": ID, "Config": {"Hostname": &ID[..12], "Image": "docker.io/library/nginx:1.27", "User": "101",
            "Env": ["PATH=/bin", "PASSWORD=pa$$\"w: #ord\n", "EMPTY="], "Cmd": ["nginx", "-g", "daemon off;"], "Entrypoint": ["/e.sh"],
            "Healthcheck": {"Test": ["CMD-SHELL", "curl -f http://localhost"], "Interval": 1_500_000_000u64, "Retries": 3},
            "ExposedPorts": {"80/tcp": {}, "9000/tcp": {}},
            "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "com.docker.compose.container-number": "1",
                "com.docker.compose.depends_on": "db:service_healthy:false", "on": "yes"}},
        "HostConfig": {"NetworkMode": "shop_default", "Memory": 67108864, "NanoCpus": 500_000_000, "Privileged": false, "Init": null,
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "CapAdd": ["NET_ADMIN"], "BlkioWeight": 300,
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}, "Binds": ["/srv/www:/www:ro"],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}}, "Runtime": "runc", "ShmSize": 67108864,
            "Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}]},
        "Mounts": [{"Type": "bind", "Source": "/srv/www", "Destination": "/www", "RW": false, "Propagation": "rprivate"},
            {"Type": "volume", "Name": "shop_data", "Destination": "/data", "RW": true}],
        "NetworkSettings": {"Networks": {"shop_default": {"Aliases": ["web", "www", &ID[..12]], "IPAMConfig": {"IPv4Address": "10.5.0.9"}}}}});
    let db = json!({"Id": "d".repeat(64), "Config": {"Image": "own:1", "Labels": {"com.docker.compose.service": "db"}},
        "HostConfig": {"NetworkMode": format!("container:{ID}"), "RestartPolicy": {"Name": "no"}}});
    let section = |name: &str, service: &str, inspect: Value, image: &str| ContainerSection {
        name: name.into(),
        service: Some(service.into()),
        inspect: raw(inspect),
        image: image.into(),
        state: RunState::Running,
        changes: Vec::new(),
        changed: 7,
        layer: Vec::new(),
        depends_on: Vec::new(),
    };
    let image = |id: &str, inspect: Value| ImageSection {
        id: id.into(),
        tags: Vec::new(),
        inspect: raw(inspect),
        diff_ids: Vec::new(),
        parts: Vec::new(),
        bytes: 0,
    };
    let empty: Snapshot = serde_json::from_value(json!({
        "format": holdfast_model::snapshot::FORMAT, "id": SnapshotId::new(Moment::from_millis(1_000), [7; 10]), "repository": RepositoryId([1; 16]),
        "sequence": 1, "app": "shop", "project": true, "host": "local", "engine": holdfast_model::snapshot::EngineInfo::default(),
        "time": Moment::from_millis(1_000), "trigger": "manual", "consistency": "pause", "fidelity": "full", "containers": [], "images": [],
        "volumes": [], "binds": [], "networks": [], "problems": [], "stats": holdfast_model::snapshot::Stats::default()}))
    .expect("a snapshot");
    Snapshot {
        containers: vec![section("shop-web-1", "web", web, "sha256:a"), section("shop-db", "db", db, "sha256:b")],
        images: vec![
            image(
                "sha256:a",
                json!({"RepoDigests": ["docker.io/library/nginx@sha256:11"], "Config": {"Env": ["PATH=/bin"], "ExposedPorts": {"9000/tcp": {}}}}),
            ),
            image("sha256:b", json!({"RepoDigests": []})),
        ],
        volumes: vec![VolumeSection {
            name: "shop_data".into(),
            anonymous: false,
            inspect: raw(json!({"Driver": "local", "Options": null, "Labels": {"com.docker.compose.volume": "data"}})),
            stream: None,
            fidelity: holdfast_model::snapshot::Fidelity::Full,
        }],
        networks: vec![NetworkSection {
            name: "shop_default".into(),
            inspect: raw(
                json!({"Driver": "bridge", "Labels": {"com.docker.compose.network": "default"}, "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.5.0.0/24"}]}}),
            ),
        }],
        ..empty
    }
}

/// What Python's reader of YAML makes of a file; `None` if there is none here.
fn read(file: &str) -> Option<Value> {
    let program = "import sys, json, yaml; json.dump(yaml.safe_load(sys.stdin.buffer.read().decode()), sys.stdout)";
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(file.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    if complaint.contains("No module named") {
        return None;
    }
    assert!(output.status.success(), "{complaint}\n{file}");
    serde_json::from_slice(&output.stdout).ok()
}

#[test]
fn the_file_says_what_the_containers_say() {
    let file = compose(&snapshot()).expect("a file");
    println!("{file}");
    assert!(file.starts_with("# Made by Holdfast from snapshot "));
    assert!(file.contains("# - shop-web-1: HostConfig.BlkioWeight is 300\n"), "{file}");
    assert!(file.contains("# - shop-db: image own:1 has no digest"), "{file}");
    assert!(file.contains("# - shop-db: 7 files differ from the image; only a restore brings them\n"), "{file}");
    let Some(read) = read(&file) else {
        eprintln!("SKIPPED: there is no Python with a reader of YAML");
        return;
    };
    let web = &read["services"]["web"];
    assert_eq!(
        *web,
        json!({"image": "docker.io/library/nginx@sha256:11", "user": "101", "environment": ["PASSWORD=pa$$$$\"w: #ord\n", "EMPTY="],
            "entrypoint": ["/e.sh"], "command": ["nginx", "-g", "daemon off;"], "labels": {"on": "yes"},
            "healthcheck": {"test": ["CMD-SHELL", "curl -f http://localhost"], "interval": "1500000us", "retries": 3},
            "cap_add": ["NET_ADMIN"], "mem_limit": 67108864, "cpus": 0.5, "restart": "on-failure:3", "logging": {"driver": "json-file", "options": {"max-size": "10m"}},
            "devices": ["/dev/fuse:/dev/fuse"], "ports": ["127.0.0.1:8080:80/tcp"],
            "volumes": [{"type": "bind", "source": "/srv/www", "target": "/www", "read_only": true}, {"type": "volume", "source": "data", "target": "/data"}],
            "networks": {"default": {"aliases": ["www"], "ipv4_address": "10.5.0.9"}},
            "depends_on": {"db": {"condition": "service_healthy"}}})
    );
    assert_eq!(
        read["services"]["db"],
        json!({"container_name": "shop-db", "image": "own:1", "network_mode": "service:web"})
    );
    assert_eq!(read["volumes"], json!({"data": {"name": "shop_data", "driver": "local"}}));
    assert_eq!(read["networks"]["default"]["ipam"], json!({"config": [{"subnet": "10.5.0.0/24"}]}));
}

#[test]
fn names_cannot_leave_their_comment() {
    let mut hostile = snapshot();
    hostile.app = "a\nservices: {}".into();
    let file = compose(&hostile).expect("a file");
    assert_eq!(file.lines().filter(|line| line.starts_with("services:")).count(), 1, "{file}");
}
