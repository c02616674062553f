//! Bodies against recorded descriptions.

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn recorded() -> Value {
    json!({
        "Id": ID, "Name": "/shop-web-1",
        "Config": {"Hostname": &ID[..12], "Image": "web:1", "Env": ["A=1"], "Cmd": ["run"],
            "Labels": {"com.docker.compose.project": "shop", "traefik.http.routers.x.rule": "Host(`a`)"},
            "Volumes": {"/anon": {}}, "ExposedPorts": {"80/tcp": {}}},
        "HostConfig": {
            "Binds": ["shop_data:/data:rw", "/srv/www/:/www:ro", "/etc/web.conf:/etc/web.conf", "/run/x.sock:/x.sock"],
            "Mounts": [{"Type": "volume", "Source": "shop_more", "Target": "/more", "VolumeOptions": {"DriverConfig": {}}},
                       {"Type": "bind", "Source": "/srv/www", "Target": "/again", "ReadOnly": true},
                       {"Type": "tmpfs", "Target": "/tmp"}],
            "ContainerIDFile": "", "NetworkMode": "shop_default", "Memory": 1024,
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
            "Links": ["/shop-db-1:/shop-web-1/db"], "VolumesFrom": ["shop-db-1:ro"]},
        "Mounts": [
            {"Type": "volume", "Name": "shop_data", "Destination": "/data", "RW": true},
            {"Type": "bind", "Source": "/srv/www", "Destination": "/www", "RW": false},
            {"Type": "volume", "Name": "a".repeat(64), "Destination": "/anon", "RW": true},
            {"Type": "volume", "Name": "shop_more", "Destination": "/more", "RW": true}],
        "NetworkSettings": {"Networks": {
            "shop_default": {"IPAMConfig": {"IPv4Address": "10.5.0.9"}, "Aliases": ["web", &ID[..12]], "NetworkID": "n1",
                "Links": ["shop-db-1:db"], "DriverOpts": null, "MacAddress": "02:42:00:00:00:01"},
            "proxy": {"IPAMConfig": null, "Aliases": null, "NetworkID": "n2"}}}
    })
}

struct World {
    networks: BTreeMap<String, Fate>,
    volumes: BTreeMap<String, String>,
    empty: BTreeSet<String>,
    binds: BTreeMap<String, BindFate>,
    containers: BTreeMap<String, String>,
    leaves_podman: bool,
}

impl World {
    fn new(prefix: &str, fixed: bool) -> World {
        let fate = |name: &str| Fate { name: format!("{prefix}{name}"), fixed };
        let volume = |name: &str| (name.to_owned(), format!("{prefix}{name}"));
        let stream = holdfast_model::snapshot::StreamRef { length: 1, entries: 1, ..Default::default() };
        World {
            leaves_podman: false,
            networks: [("shop_default".into(), fate("shop_default")), ("proxy".into(), fate("proxy"))].into(),
            volumes: [volume("shop_data"), volume("shop_more"), volume(&"a".repeat(64))].into(),
            empty: [format!("{prefix}shop_more")].into(),
            binds: [
                ("/srv/www".to_owned(), BindFate::Volume("vol-www".into())),
                ("/etc/web.conf".to_owned(), BindFate::File(stream)),
                ("/run/x.sock".to_owned(), BindFate::Left),
            ]
            .into(),
            containers: [("shop-db-1".to_owned(), format!("{prefix}shop-db-1"))].into(),
        }
    }

    fn make(&self, way: Way, inspect: &Value, mac_per_network: bool) -> Body {
        let context = Context {
            way,
            networks: &self.networks,
            volumes: &self.volumes,
            empty: &self.empty,
            binds: &self.binds,
            leaves_podman: self.leaves_podman,
            containers: &self.containers,
            no_ports: false,
            ports: &[],
            mac_per_network,
        };
        make("shop-web-1", inspect, &context)
    }
}

#[test]
fn in_place_all_comes_back_as_recorded() {
    let body = World::new("", true).make(Way::InPlace, &recorded(), false);
    let json = &body.json;
    assert_eq!(json.get("Hostname"), None);
    assert_eq!(json.get("Image"), None);
    assert_eq!(json["Env"], json!(["A=1"]));
    assert_eq!(json["Labels"]["traefik.http.routers.x.rule"], "Host(`a`)");
    let host = &json["HostConfig"];
    assert_eq!(host["PortBindings"]["80/tcp"][0]["HostPort"], "8080");
    assert_eq!(host["Memory"], 1024);
    assert_eq!(host.get("ContainerIDFile"), None);
    let anonymous = format!("{}:/anon", "a".repeat(64));
    assert_eq!(
        host["Binds"],
        json!([
            "shop_data:/data:rw",
            "/srv/www/:/www:ro",
            "/etc/web.conf:/etc/web.conf",
            "/run/x.sock:/x.sock",
            anonymous
        ])
    );
    assert_eq!(host["Mounts"][0]["VolumeOptions"]["NoCopy"], true);
    assert_eq!(host["Mounts"][1]["Source"], "/srv/www");
    assert_eq!(host["Links"], json!(["shop-db-1:db"]));
    assert_eq!(host["VolumesFrom"], json!(["shop-db-1:ro"]));
    let endpoint = &json["NetworkingConfig"]["EndpointsConfig"]["shop_default"];
    assert_eq!(endpoint["IPAMConfig"]["IPv4Address"], "10.5.0.9");
    assert_eq!(endpoint["Aliases"], json!(["web"]));
    assert_eq!(endpoint.get("MacAddress"), None);
    assert_eq!(body.connects, [("proxy".to_owned(), json!({}))]);
    assert!(body.files.is_empty() && body.notes.is_empty());
}

#[test]
fn options_that_only_podman_has_are_left_out_elsewhere_and_told_if_asked_for() {
    let mut inspect = recorded();
    inspect["HostConfig"]["Binds"] = json!([
        "shop_data:/data:rw,rprivate,nosuid,nodev,rbind",
        "/srv/www:/www:ro,noexec,z,rslave",
        "/srv/www:/plain"
    ]);
    let world = World { leaves_podman: true, ..World::new("", true) };
    let body = world.make(Way::InPlace, &inspect, false);
    let binds = &body.json["HostConfig"]["Binds"];
    assert_eq!(
        (&binds[0], &binds[1], &binds[2]),
        (&json!("shop_data:/data:rw"), &json!("/srv/www:/www:ro,z,rslave"), &json!("/srv/www:/plain"))
    );
    assert_eq!(body.notes.len(), 1, "{:?}", body.notes);
    assert!(body.notes[0].code == "mount.option" && body.notes[0].message.contains("noexec"));
    let same = World::new("", true).make(Way::InPlace, &inspect, false);
    let (is, was) = (&same.json["HostConfig"]["Binds"], &inspect["HostConfig"]["Binds"]);
    assert_eq!(is.as_array().unwrap()[..3], was.as_array().unwrap()[..], "Docker's own words stay");
}

#[test]
fn a_copy_touches_nothing_of_the_original() {
    let body = World::new("copy_", false).make(Way::Beside, &recorded(), false);
    let host = &body.json["HostConfig"];
    assert_eq!(host["PortBindings"], json!({}));
    assert_eq!(host["NetworkMode"], "copy_shop_default");
    assert_eq!(host["Binds"][0], "copy_shop_data:/data:rw");
    assert_eq!(host["Binds"][1], "vol-www:/www:ro");
    assert_eq!(host["Binds"].as_array().unwrap().len(), 3);
    assert!(!host.to_string().contains("/srv/www\""));
    assert_eq!(host["Mounts"][1], json!({"Type": "volume", "Source": "vol-www", "Target": "/again", "ReadOnly": true}));
    assert_eq!(host["Mounts"][0]["VolumeOptions"].get("DriverConfig"), None);
    assert_eq!(host["VolumesFrom"], json!(["copy_shop-db-1:ro"]));
    let endpoint = &body.json["NetworkingConfig"]["EndpointsConfig"]["copy_shop_default"];
    assert_eq!(endpoint.get("IPAMConfig"), None);
    assert_eq!(endpoint["Links"], json!(["copy_shop-db-1:db"]));
    assert_eq!(endpoint["Aliases"], json!(["web", "shop-web-1"]));
    assert_eq!(body.json["Labels"], json!({"com.docker.compose.project": "shop"}));
    assert_eq!(body.files.len(), 1);
    let codes: Vec<&str> = body.notes.iter().map(|note| note.code.as_str()).collect();
    assert_eq!(codes, ["port.unpublished", "label.dropped", "bind.file", "bind.left_out"]);
}

#[test]
fn modes_that_name_others_are_followed() {
    let mut inspect = recorded();
    inspect["HostConfig"]["NetworkMode"] = json!("container:shop-db-1");
    inspect["Config"]["Hostname"] = json!("whatever");
    let body = World::new("copy_", false).make(Way::Beside, &inspect, false);
    assert_eq!(body.json["HostConfig"]["NetworkMode"], "container:copy_shop-db-1");
    assert_eq!(body.json.get("NetworkingConfig"), None);
    assert_eq!(body.json.get("Hostname"), None);
    // The engine refuses a guest that exposes ports, also those of its image.
    assert_eq!(body.json.get("ExposedPorts"), None);
    assert_eq!(needs(&inspect), ["shop-db-1", "shop-db-1", "shop-db-1"]);
    inspect["HostConfig"]["NetworkMode"] = json!("host");
    let body = World::new("copy_", false).make(Way::Beside, &inspect, false);
    assert_eq!(body.json["HostConfig"]["NetworkMode"], "bridge");
}

#[test]
fn nothing_is_written_into_a_read_only_root() {
    let mut inspect = recorded();
    inspect["HostConfig"]["ReadonlyRootfs"] = json!(true);
    let body = World::new("copy_", false).make(Way::Beside, &inspect, false);
    assert!(body.files.is_empty(), "{:?}", body.files);
    let left: Vec<&str> = body.notes.iter().filter(|n| n.code == "bind.left_out").map(|n| n.subject.as_str()).collect();
    assert_eq!(left, ["/etc/web.conf", "/run/x.sock"]);
    assert!(is_sealed(&body.json));
}

#[test]
fn a_chosen_mac_goes_where_the_engine_takes_it() {
    let mut inspect = recorded();
    inspect["Config"]["MacAddress"] = json!("02:00:00:00:00:07");
    let world = World::new("", true);
    let old = world.make(Way::InPlace, &inspect, false);
    assert_eq!(old.json["MacAddress"], "02:00:00:00:00:07");
    let new = world.make(Way::InPlace, &inspect, true);
    assert_eq!(new.json.get("MacAddress"), None);
    assert_eq!(new.json["NetworkingConfig"]["EndpointsConfig"]["shop_default"]["MacAddress"], "02:00:00:00:00:07");
}

#[test]
fn nonsense_makes_no_panic() {
    for odd in
        [json!(null), json!([]), json!({"HostConfig": [], "Config": 3}), json!({"HostConfig": {"Binds": [1, "x"]}})]
    {
        let body = World::new("", true).make(Way::Beside, &odd, true);
        assert!(body.json.is_object());
    }
}

#[test]
fn a_container_of_podman_is_on_its_own_network_alone() {
    let mut inspect = recorded();
    inspect["HostConfig"]["NetworkMode"] = json!("bridge");
    inspect["HostConfig"]["Runtime"] = json!("oci");
    inspect["Config"]["Env"] = json!(["A=1", "container=podman", format!("HOSTNAME={}", &ID[..12])]);
    inspect["NetworkSettings"]["Networks"] = json!({"shop_default": {"NetworkID": "n", "Aliases": ["web"]}});
    let make = |inspect: &Value| World::new("", true).make(Way::InPlace, inspect, false);
    let body = make(&inspect);
    assert_eq!(body.json["HostConfig"]["NetworkMode"], "shop_default");
    assert_eq!(body.json["HostConfig"].get("Runtime"), None);
    assert!(body.connects.is_empty(), "{:?}", body.connects);
    assert_eq!(body.json["Env"], json!(["A=1", "container=podman"]));
    // On the engine's own network it stays there, whatever that is called.
    for own in ["bridge", "podman"] {
        inspect["NetworkSettings"]["Networks"] = json!({own: {}, "shop_default": {}});
        let body = make(&inspect);
        assert_eq!(body.json["HostConfig"]["NetworkMode"], "bridge");
        assert_eq!(body.connects.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["shop_default"]);
    }
}
