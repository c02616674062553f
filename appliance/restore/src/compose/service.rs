//! One service of a compose file, from the description of a container. Pure.

use super::{Draft, labels, put};
use crate::{
    containers::{DEPENDS_ON, conditions},
    deed::Await,
    json::{is_blank, label, list, members, text, texts, truth},
};
use holdfast_model::snapshot::ContainerSection;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Keys of `HostConfig` that go into the file under another name as they are: lists and texts.
const SAME: [(&str, &str); 19] = [
    ("CapAdd", "cap_add"),
    ("CapDrop", "cap_drop"),
    ("Dns", "dns"),
    ("DnsOptions", "dns_opt"),
    ("DnsSearch", "dns_search"),
    ("ExtraHosts", "extra_hosts"),
    ("GroupAdd", "group_add"),
    ("SecurityOpt", "security_opt"),
    ("Sysctls", "sysctls"),
    ("CgroupParent", "cgroup_parent"),
    ("CpusetCpus", "cpuset"),
    ("UsernsMode", "userns_mode"),
    ("UTSMode", "uts"),
    ("Isolation", "isolation"),
    ("Init", "init"),
    ("Privileged", "privileged"),
    ("ReadonlyRootfs", "read_only"),
    ("OomKillDisable", "oom_kill_disable"),
    ("StorageOpt", "storage_opt"),
];
/// Numbers, where 0 says nothing.
const NUMBERS: [(&str, &str); 10] = [
    ("Memory", "mem_limit"),
    ("MemoryReservation", "mem_reservation"),
    ("MemorySwap", "memswap_limit"),
    ("CpuShares", "cpu_shares"),
    ("CpuPeriod", "cpu_period"),
    ("CpuQuota", "cpu_quota"),
    ("CpuRealtimePeriod", "cpu_rt_period"),
    ("CpuRealtimeRuntime", "cpu_rt_runtime"),
    ("PidsLimit", "pids_limit"),
    ("OomScoreAdj", "oom_score_adj"),
];
/// Keys that are told in another way, or that say nothing by themselves.
const TOLD: [&str; 24] = [
    "Binds",
    "Mounts",
    "VolumesFrom",
    "NetworkMode",
    "PidMode",
    "IpcMode",
    "PortBindings",
    "PublishAllPorts",
    "RestartPolicy",
    "LogConfig",
    "Runtime",
    "NanoCpus",
    "Devices",
    "DeviceRequests",
    "Ulimits",
    "Tmpfs",
    "ShmSize",
    "Links",
    "ContainerIDFile",
    "ConsoleSize",
    "MaskedPaths",
    "ReadonlyPaths",
    "CgroupnsMode",
    "AutoRemove",
];
/// The shared memory that every container gets.
const SHM: u64 = 67_108_864;

pub(super) fn make(draft: &mut Draft<'_>, container: &ContainerSection, inspect: &Value) -> Value {
    let mut made = Map::new();
    let image = draft.image_inspect(container).unwrap_or_default();
    if container.service.is_none() || !is_composes_name(container, inspect) {
        put(&mut made, "container_name", container.name.as_str());
    }
    put(&mut made, "image", draft.image(container, inspect));
    config(&mut made, inspect, &image);
    host_config(draft, &mut made, &container.name, inspect);
    put(&mut made, "ports", ports(inspect));
    put(&mut made, "volumes", volumes(draft, &container.name, inspect));
    networks(draft, &mut made, &container.name, inspect);
    put(&mut made, "depends_on", depends(draft, container, inspect));
    let changed = container.change_count();
    if changed > 0 {
        draft
            .remarks
            .push(format!("{}: {changed} files differ from the image; only a restore brings them", container.name));
    }
    Value::Object(made)
}

/// Whether compose would choose this name itself.
fn is_composes_name(container: &ContainerSection, inspect: &Value) -> bool {
    let of = |key: &str| label(inspect, "/Config/Labels", key).unwrap_or_default();
    let (project, service) = (of("com.docker.compose.project"), of("com.docker.compose.service"));
    let number = of("com.docker.compose.container-number");
    ["-", "_"].iter().any(|between| container.name == [project, service, number].join(between))
}

/// What the container says that its image does not say already.
fn config(made: &mut Map<String, Value>, inspect: &Value, image: &Value) {
    let differs = |key: &str| {
        let value = inspect.pointer(&format!("/Config/{key}")).cloned().unwrap_or_default();
        if Some(&value) == image.pointer(&format!("/Config/{key}")) { Value::Null } else { value }
    };
    put(made, "entrypoint", differs("Entrypoint"));
    // An entry point of its own makes an engine forget the image's command.
    let command = differs("Cmd");
    let entry = !is_blank(&differs("Entrypoint"));
    put(made, "command", if entry { inspect.pointer("/Config/Cmd").cloned().unwrap_or_default() } else { command });
    for (key, name) in [("User", "user"), ("WorkingDir", "working_dir"), ("StopSignal", "stop_signal")] {
        put(made, name, differs(key));
    }
    let of_image: BTreeSet<String> = texts(image, "/Config/Env").into_iter().collect();
    let env: Vec<String> =
        texts(inspect, "/Config/Env").into_iter().filter(|entry| !of_image.contains(entry)).collect();
    put(made, "environment", env);
    let hostname = text(inspect, "/Config/Hostname");
    let is_given =
        text(inspect, "/Id").get(..12) != Some(hostname) && text(inspect, "/HostConfig/NetworkMode") != "host";
    put(made, "hostname", if is_given { hostname } else { "" });
    put(made, "domainname", text(inspect, "/Config/Domainname"));
    for (key, name) in [("/Config/Tty", "tty"), ("/Config/OpenStdin", "stdin_open")] {
        if truth(inspect, key) {
            made.insert(name.into(), json!(true));
        }
    }
    if let Some(seconds) = inspect.pointer("/Config/StopTimeout").and_then(Value::as_u64) {
        made.insert("stop_grace_period".into(), json!(format!("{seconds}s")));
    }
    put(made, "mac_address", text(inspect, "/Config/MacAddress"));
    let published: BTreeSet<&String> = members(inspect, "/HostConfig/PortBindings").map(|(port, _)| port).collect();
    let by_image: BTreeSet<&String> = members(image, "/Config/ExposedPorts").map(|(port, _)| port).collect();
    let exposed = members(inspect, "/Config/ExposedPorts").map(|(port, _)| port);
    put(
        made,
        "expose",
        exposed.filter(|port| !published.contains(port) && !by_image.contains(port)).cloned().collect::<Vec<_>>(),
    );
    let of_image = labels(image, "/Config/Labels");
    let own = labels(inspect, "/Config/Labels");
    let own = members(&own, "").filter(|(key, value)| of_image.get(key.as_str()) != Some(value));
    put(made, "labels", Value::Object(own.map(|(key, value)| (key.clone(), value.clone())).collect()));
    put(made, "healthcheck", health(&differs("Healthcheck")));
}

fn health(check: &Value) -> Value {
    let test = list(check, "/Test");
    if test.first() == Some(&json!("NONE")) {
        return json!({"disable": true});
    }
    let mut made = Map::new();
    put(&mut made, "test", test.to_vec());
    for (key, name) in [
        ("Interval", "interval"),
        ("Timeout", "timeout"),
        ("StartPeriod", "start_period"),
        ("StartInterval", "start_interval"),
    ] {
        if let Some(nanoseconds) = check.get(key).and_then(Value::as_u64).filter(|time| *time > 0) {
            put(&mut made, name, format!("{}us", nanoseconds / 1000));
        }
    }
    if let Some(retries) = check.get("Retries").and_then(Value::as_u64).filter(|count| *count > 0) {
        made.insert("retries".into(), json!(retries));
    }
    Value::Object(made)
}

fn host_config(draft: &mut Draft<'_>, made: &mut Map<String, Value>, name: &str, inspect: &Value) {
    let host = inspect.get("HostConfig").cloned().unwrap_or_default();
    for (key, its) in SAME {
        let value = host.get(key).cloned().unwrap_or_default();
        if value != json!(false) {
            put(made, its, value);
        }
    }
    for (key, its) in NUMBERS {
        if let Some(number) = host.get(key).filter(|value| value.is_number() && **value != json!(0)) {
            made.insert(its.into(), number.clone());
        }
    }
    if let Some(cpus) = host.get("NanoCpus").and_then(Value::as_u64).filter(|cpus| *cpus > 0) {
        made.insert("cpus".into(), json!(cpus as f64 / 1e9));
    }
    if let Some(bytes) = host.get("ShmSize").and_then(Value::as_u64).filter(|bytes| *bytes != SHM && *bytes > 0) {
        made.insert("shm_size".into(), json!(bytes));
    }
    let runtime = text(&host, "/Runtime");
    put(made, "runtime", if matches!(runtime, "runc" | "oci") { "" } else { runtime });
    let policy = text(&host, "/RestartPolicy/Name");
    let most = host.pointer("/RestartPolicy/MaximumRetryCount").and_then(Value::as_u64).unwrap_or(0);
    put(
        made,
        "restart",
        match policy {
            "no" | "" => String::new(),
            "on-failure" if most > 0 => format!("on-failure:{most}"),
            other => other.to_owned(),
        },
    );
    let log = text(&host, "/LogConfig/Type");
    let options = host.pointer("/LogConfig/Config").cloned().unwrap_or_default();
    if !matches!(log, "" | "json-file") || !is_blank(&options) {
        let mut logging = Map::new();
        put(&mut logging, "driver", log);
        put(&mut logging, "options", options);
        put(made, "logging", Value::Object(logging));
    }
    for (key, its) in [("/PidMode", "pid"), ("/IpcMode", "ipc")] {
        let mode = text(&host, key);
        put(made, its, if matches!(mode, "private" | "shareable") { String::new() } else { draft.mode(mode) });
    }
    put(made, "devices", list(&host, "/Devices").iter().map(device).collect::<Vec<_>>());
    let limits = list(&host, "/Ulimits").iter();
    let limits =
        limits.map(|limit| (text(limit, "/Name").to_owned(), json!({"soft": limit["Soft"], "hard": limit["Hard"]})));
    put(made, "ulimits", Value::Object(limits.collect()));
    let memory = members(&host, "/Tmpfs");
    put(made, "tmpfs", memory.map(|(at, how)| joined(at, how.as_str().unwrap_or_default())).collect::<Vec<_>>());
    let requests: Vec<Value> = list(&host, "/DeviceRequests").iter().map(request).collect();
    if !requests.is_empty() {
        made.insert("deploy".into(), json!({"resources": {"reservations": {"devices": requests}}}));
    }
    let from = texts(&host, "/VolumesFrom");
    put(made, "volumes_from", from.iter().map(|other| draft.borrowed(other)).collect::<Vec<_>>());
    remark_on_rest(draft, name, &host);
}

/// What a file of compose has no word for here.
fn remark_on_rest(draft: &mut Draft<'_>, name: &str, host: &Value) {
    let says = |value: &Value| !is_blank(value) && ![json!(""), json!(0), json!(-1), json!(false)].contains(value);
    for (key, value) in host.as_object().into_iter().flatten() {
        let told = TOLD.contains(&key.as_str())
            || SAME.iter().any(|(known, _)| known == key)
            || NUMBERS.iter().any(|(known, _)| known == key);
        if !told && says(value) {
            draft.remarks.push(format!("{name}: HostConfig.{key} is {value}"));
        }
    }
    for (key, what) in [
        ("AutoRemove", "removes itself when it ends"),
        ("PublishAllPorts", "publishes every exposed port on one that the engine chooses"),
    ] {
        if host.get(key) == Some(&json!(true)) {
            draft.remarks.push(format!("{name} {what}"));
        }
    }
    if !list(host, "/Links").is_empty() {
        draft.remarks.push(format!("{name}: legacy links {}", host["Links"]));
    }
}

fn joined(at: &str, how: &str) -> String {
    if how.is_empty() { at.to_owned() } else { format!("{at}:{how}") }
}

fn device(device: &Value) -> String {
    let (from, to, rights) =
        (text(device, "/PathOnHost"), text(device, "/PathInContainer"), text(device, "/CgroupPermissions"));
    if matches!(rights, "" | "rwm") { format!("{from}:{to}") } else { format!("{from}:{to}:{rights}") }
}

fn request(request: &Value) -> Value {
    let mut made = Map::new();
    put(&mut made, "driver", text(request, "/Driver"));
    match request.get("Count").and_then(Value::as_i64).unwrap_or(0) {
        -1 => put(&mut made, "count", "all"),
        0 => {}
        count => put(&mut made, "count", count),
    }
    put(&mut made, "device_ids", texts(request, "/DeviceIDs"));
    put(
        &mut made,
        "capabilities",
        list(request, "/Capabilities").iter().flat_map(|set| texts(set, "")).collect::<Vec<_>>(),
    );
    put(&mut made, "options", request.get("Options").cloned().unwrap_or_default());
    Value::Object(made)
}

/// `address:host:inside/protocol`.
fn ports(inspect: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (inside, bindings) in members(inspect, "/HostConfig/PortBindings") {
        for binding in list(bindings, "") {
            let (address, port) = (text(binding, "/HostIp"), text(binding, "/HostPort"));
            let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            found.push(match (address.as_str(), port) {
                ("", "" | "0") => inside.clone(),
                ("", port) => format!("{port}:{inside}"),
                (address, "0") => format!("{address}::{inside}"),
                (address, port) => format!("{address}:{port}:{inside}"),
            });
        }
    }
    found
}

/// Every mount that is there, by where it is; those of another container come by `volumes_from`.
fn volumes(draft: &mut Draft<'_>, name: &str, inspect: &Value) -> Vec<Value> {
    let asked = list(inspect, "/HostConfig/Mounts");
    let borrows = !list(inspect, "/HostConfig/VolumesFrom").is_empty();
    let memory: BTreeSet<&String> = members(inspect, "/HostConfig/Tmpfs").map(|(at, _)| at).collect();
    let mut found = Vec::new();
    for mount in list(inspect, "/Mounts") {
        let at = text(mount, "/Destination");
        let wish = asked.iter().find(|wish| text(wish, "/Target").trim_end_matches('/') == at.trim_end_matches('/'));
        let bind = texts(inspect, "/HostConfig/Binds").into_iter().find(|bind| bind.split(':').nth(1) == Some(at));
        let declared = members(inspect, "/Config/Volumes").any(|(declared, _)| declared == at);
        let kind = text(mount, "/Type");
        if kind == "tmpfs" && memory.contains(&at.to_owned())
            || borrows && wish.is_none() && bind.is_none() && !declared
        {
            continue;
        }
        let mut made = Map::new();
        put(&mut made, "type", kind);
        match kind {
            "volume" => {
                let volume = text(mount, "/Name");
                let key = draft.volumes.get(volume).cloned();
                if key.is_none() {
                    draft.remarks.push(format!("{name}: volume {volume} at {at} is not in the snapshot"));
                }
                put(&mut made, "source", key.unwrap_or_default());
            }
            _ => put(&mut made, "source", text(mount, "/Source")),
        }
        put(&mut made, "target", at);
        if mount.get("RW") == Some(&json!(false)) {
            made.insert("read_only".into(), json!(true));
        }
        let spread = text(mount, "/Propagation");
        if kind == "bind" && !matches!(spread, "" | "rprivate") {
            made.insert("bind".into(), json!({"propagation": spread}));
        }
        if let Some(below) = wish.map(|wish| text(wish, "/VolumeOptions/Subpath")).filter(|below| !below.is_empty()) {
            made.insert("volume".into(), json!({"subpath": below}));
        }
        found.push(Value::Object(made));
    }
    for wish in asked.iter().filter(|wish| text(wish, "/Type") == "tmpfs") {
        let at = text(wish, "/Target");
        if !found.iter().any(|known| text(known, "/target") == at) {
            let mut made = Map::new();
            put(&mut made, "type", "tmpfs");
            put(&mut made, "target", at);
            if let Some(size) = wish.pointer("/TmpfsOptions/SizeBytes").filter(|size| **size != json!(0)) {
                made.insert("tmpfs".into(), json!({"size": size}));
            }
            found.push(Value::Object(made));
        }
    }
    found
}

fn networks(draft: &mut Draft<'_>, made: &mut Map<String, Value>, name: &str, inspect: &Value) {
    let mode = text(inspect, "/HostConfig/NetworkMode");
    if matches!(mode, "host" | "none" | "bridge" | "default") || mode.starts_with("container:") {
        put(made, "network_mode", if mode == "default" { "bridge".to_owned() } else { draft.mode(mode) });
        return;
    }
    let short = text(inspect, "/Id").get(..12).unwrap_or_default();
    let service = draft.services.get(name).cloned().unwrap_or_default();
    let mut joined = Map::new();
    for (network, endpoint) in members(inspect, "/NetworkSettings/Networks") {
        let Some(key) = draft.networks.get(network).cloned() else {
            draft.remarks.push(format!("{name}: network {network} is not described in the snapshot"));
            continue;
        };
        let mut how = Map::new();
        // Compose gives these two names by itself.
        let given = [short, service.as_str(), name];
        let aliases = texts(endpoint, "/Aliases").into_iter().filter(|alias| !given.contains(&alias.as_str()));
        put(&mut how, "aliases", aliases.collect::<Vec<_>>());
        put(&mut how, "ipv4_address", text(endpoint, "/IPAMConfig/IPv4Address"));
        put(&mut how, "ipv6_address", text(endpoint, "/IPAMConfig/IPv6Address"));
        put(&mut how, "link_local_ips", texts(endpoint, "/IPAMConfig/LinkLocalIPs"));
        put(&mut how, "driver_opts", endpoint.get("DriverOpts").cloned().unwrap_or_default());
        joined.insert(key, Value::Object(how));
    }
    put(made, "networks", Value::Object(joined));
}

fn depends(draft: &Draft<'_>, container: &ContainerSection, inspect: &Value) -> Value {
    let known = conditions(label(inspect, "/Config/Labels", DEPENDS_ON).unwrap_or_default());
    let others = container.depends_on.iter().filter(|name| !known.iter().any(|(other, _)| other == *name));
    let all = known.iter().map(|(name, wait)| (name, *wait)).chain(others.map(|name| (name, Await::Started)));
    let there: BTreeSet<&String> = draft.services.values().collect();
    let mut found = Map::new();
    for (name, wait) in all.filter(|(name, _)| there.contains(name)) {
        let condition = match wait {
            Await::Started => "service_started",
            Await::Healthy => "service_healthy",
            Await::Completed => "service_completed_successfully",
        };
        found.insert(name.clone(), json!({"condition": condition}));
    }
    Value::Object(found)
}

impl Draft<'_> {
    /// A mode of a namespace, with the service of a container that lends it.
    fn mode(&mut self, mode: &str) -> String {
        let Some(other) = mode.strip_prefix("container:") else { return mode.to_owned() };
        match self.services.get(other) {
            Some(service) => format!("service:{service}"),
            None => {
                self.remarks.push(format!("container {other}, whose namespace is shared, is not of this app"));
                mode.to_owned()
            }
        }
    }

    /// A reference of `VolumesFrom`.
    fn borrowed(&self, reference: &str) -> String {
        let (other, rest) = reference.split_once(':').map_or((reference, ""), |(other, rest)| (other, rest));
        match self.services.get(other.trim_start_matches('/')) {
            Some(service) => joined(service, rest),
            None => format!("container:{}", joined(other, rest)),
        }
    }
}
