//! The settings: bodies from which containers, networks and volumes are made, and where an inspect shows each of them.

use serde_json::{Value, json};

pub const PROJECT: &str = "hfinspect";
pub const IMAGE: &str = "holdfast-demo/base:1";
/// A folder of the host that containers bind; the test makes it.
pub const FOLDER: &str = "/tmp/hfinspect-host";

/// A setting: its name, the thing that has it, and where it is seen (parts apart by `|`, `name[key=value]` for the one
/// of a list that has it).
pub type Setting = (&'static str, &'static str, &'static str);

/// What is made without any wish: a setting must differ from it, or it is none.
pub const BARE: [&str; 3] = ["bare", "net-bare", "vol-bare"];

pub const SETTINGS: &[Setting] = &[
    // What a container runs as.
    ("hostname", "main", "Config|Hostname"),
    ("domain name", "main", "Config|Domainname"),
    ("user and group", "main", "Config|User"),
    ("environment", "main", "Config|Env"),
    ("working folder", "main", "Config|WorkingDir"),
    ("entrypoint", "main", "Config|Entrypoint"),
    ("command", "main", "Config|Cmd"),
    ("labels", "main", "Config|Labels"),
    ("terminal", "main", "Config|Tty"),
    ("open standard input", "main", "Config|OpenStdin"),
    ("standard input once", "main", "Config|StdinOnce"),
    ("attached standard input", "limits", "Config|AttachStdin"),
    ("attached standard output", "limits", "Config|AttachStdout"),
    ("attached standard error", "limits", "Config|AttachStderr"),
    ("health check: command", "main", "Config|Healthcheck|Test"),
    ("health check: interval", "main", "Config|Healthcheck|Interval"),
    ("health check: timeout", "main", "Config|Healthcheck|Timeout"),
    ("health check: retries", "main", "Config|Healthcheck|Retries"),
    ("health check: start period", "main", "Config|Healthcheck|StartPeriod"),
    ("stop signal", "main", "Config|StopSignal"),
    ("stop timeout", "main", "Config|StopTimeout"),
    ("exposed port", "main", "Config|ExposedPorts|9999/udp"),
    ("declared volume", "main", "Config|Volumes|/declared"),
    ("MAC address", "main", "Config|MacAddress"),
    ("network disabled", "limits", "Config|NetworkDisabled"),
    ("shell", "limits", "Config|Shell"),
    ("on build", "limits", "Config|OnBuild"),
    // Restart, logs, processes.
    ("restart policy: name", "main", "HostConfig|RestartPolicy|Name"),
    ("restart policy: retries", "main", "HostConfig|RestartPolicy|MaximumRetryCount"),
    ("log driver options", "main", "HostConfig|LogConfig|Config"),
    ("log driver", "limits", "HostConfig|LogConfig|Type"),
    ("init process", "main", "HostConfig|Init"),
    ("remove at its end", "host", "HostConfig|AutoRemove"),
    ("runtime", "limits", "HostConfig|Runtime"),
    ("extra groups", "main", "HostConfig|GroupAdd"),
    ("ulimits", "main", "HostConfig|Ulimits"),
    ("kernel parameters", "main", "HostConfig|Sysctls"),
    ("shared memory size", "main", "HostConfig|ShmSize"),
    ("OOM score", "main", "HostConfig|OomScoreAdj"),
    ("read-only root", "main", "HostConfig|ReadonlyRootfs"),
    ("console size", "limits", "HostConfig|ConsoleSize"),
    // Rights.
    ("added capabilities", "main", "HostConfig|CapAdd"),
    ("dropped capabilities", "main", "HostConfig|CapDrop"),
    ("security options", "main", "HostConfig|SecurityOpt"),
    ("privileged", "host", "HostConfig|Privileged"),
    ("masked paths", "main", "HostConfig|MaskedPaths"),
    ("read-only paths", "main", "HostConfig|ReadonlyPaths"),
    ("device", "main", "HostConfig|Devices"),
    ("device rules", "main", "HostConfig|DeviceCgroupRules"),
    ("device requests", "limits", "HostConfig|DeviceRequests"),
    // Namespaces.
    ("network of the host", "host", "HostConfig|NetworkMode"),
    ("processes of the host", "host", "HostConfig|PidMode"),
    ("IPC of the host", "host", "HostConfig|IpcMode"),
    ("UTS of the host", "host", "HostConfig|UTSMode"),
    ("users of the host", "host", "HostConfig|UsernsMode"),
    ("cgroup namespace", "limits", "HostConfig|CgroupnsMode"),
    ("IPC that others may join", "main", "HostConfig|IpcMode"),
    ("network of another container", "side", "HostConfig|NetworkMode"),
    ("processes of another container", "side", "HostConfig|PidMode"),
    ("IPC of another container", "side", "HostConfig|IpcMode"),
    ("volumes of another container", "side", "HostConfig|VolumesFrom"),
    ("mount that came from another container", "side", "Mounts[Destination=/data]"),
    // Limits.
    ("memory", "limits", "HostConfig|Memory"),
    ("memory reservation", "limits", "HostConfig|MemoryReservation"),
    ("memory and swap", "limits", "HostConfig|MemorySwap"),
    ("swappiness", "limits", "HostConfig|MemorySwappiness"),
    ("OOM killer off", "limits", "HostConfig|OomKillDisable"),
    ("kernel TCP memory", "limits", "HostConfig|KernelMemoryTCP"),
    ("CPU shares", "limits", "HostConfig|CpuShares"),
    ("CPU period", "limits", "HostConfig|CpuPeriod"),
    ("CPU quota", "limits", "HostConfig|CpuQuota"),
    ("CPUs", "main", "HostConfig|NanoCpus"),
    ("CPU set", "limits", "HostConfig|CpusetCpus"),
    ("memory nodes", "limits", "HostConfig|CpusetMems"),
    ("block device read rate", "limits", "HostConfig|BlkioDeviceReadBps"),
    ("block device write rate", "limits", "HostConfig|BlkioDeviceWriteBps"),
    ("block device reads", "limits", "HostConfig|BlkioDeviceReadIOps"),
    ("block device writes", "limits", "HostConfig|BlkioDeviceWriteIOps"),
    ("processes at most", "limits", "HostConfig|PidsLimit"),
    ("cgroup parent", "limits", "HostConfig|CgroupParent"),
    // Names and ports.
    ("DNS servers", "main", "HostConfig|Dns"),
    ("DNS options", "main", "HostConfig|DnsOptions"),
    ("DNS search", "main", "HostConfig|DnsSearch"),
    ("extra hosts", "main", "HostConfig|ExtraHosts"),
    ("port of one address", "main", "HostConfig|PortBindings|6379/tcp"),
    ("port of UDP", "main", "HostConfig|PortBindings|9999/udp"),
    ("all ports", "linked", "HostConfig|PublishAllPorts"),
    ("links on the default bridge", "linked", "HostConfig|Links"),
    ("network mode", "main", "HostConfig|NetworkMode"),
    ("fixed IPv4 address", "main", "NetworkSettings|Networks|hfinspect_front|IPAMConfig|IPv4Address"),
    ("fixed IPv6 address", "main", "NetworkSettings|Networks|hfinspect_front|IPAMConfig|IPv6Address"),
    ("link-local addresses", "main", "NetworkSettings|Networks|hfinspect_front|IPAMConfig|LinkLocalIPs"),
    ("alias on a network", "main", "NetworkSettings|Networks|hfinspect_front|Aliases"),
    ("second network", "main", "NetworkSettings|Networks|hfinspect_back|Aliases"),
    ("fixed address on the second network", "main", "NetworkSettings|Networks|hfinspect_back|IPAMConfig"),
    ("link on a network", "peer", "NetworkSettings|Networks|hfinspect_front|Links"),
    ("driver options of an endpoint", "peer", "NetworkSettings|Networks|hfinspect_front|DriverOpts"),
    ("network whose settings are another's", "peer", "NetworkSettings|Networks|hfinspect_borrowed|Aliases"),
    // Mounts.
    ("volume", "main", "Mounts[Destination=/data]"),
    ("volume, read-only", "main", "Mounts[Destination=/ro]"),
    ("volume that stays empty", "main", "Mounts[Destination=/nocopy]"),
    ("host folder", "main", "Mounts[Destination=/host]"),
    ("host folder, read-only and private", "main", "Mounts[Destination=/host-ro]"),
    ("host folder as a mount", "main", "HostConfig|Mounts[Target=/host-mount]"),
    ("volume as a mount", "main", "HostConfig|Mounts[Target=/vol-mount]"),
    ("unnamed volume as a mount", "main", "Mounts[Destination=/anon-mount]"),
    ("memory as a mount, with size and mode", "main", "HostConfig|Mounts[Target=/tmpfs-mount]"),
    ("memory with options", "main", "HostConfig|Tmpfs"),
    ("unnamed volume", "main", "Mounts[Destination=/declared]"),
    ("volume driver", "limits", "HostConfig|VolumeDriver"),
    // Networks.
    ("network: name", "net-front", "Name"),
    ("network: subnets", "net-front", "IPAM|Config"),
    ("network: IPv6", "net-front", "EnableIPv6"),
    ("network: attachable", "net-front", "Attachable"),
    ("network: labels", "net-front", "Labels"),
    ("network: interface, MTU, between containers", "net-front", "Options"),
    ("network: address options", "net-front", "IPAM|Options"),
    ("network: internal", "net-back", "Internal"),
    ("network: driver", "net-vlan", "Driver"),
    ("network: driver's options", "net-vlan", "Options"),
    ("network: settings of another", "net-borrowed", "ConfigFrom"),
    ("network: settings only", "net-template", "ConfigOnly"),
    // Volumes.
    ("volume: name", "vol-data", "Name"),
    ("volume: labels", "vol-data", "Labels"),
    ("volume: in memory", "vol-memory", "Options"),
    ("volume: a folder of the host", "vol-host", "Options"),
];

fn labelled(service: &str, mut body: Value) -> Value {
    body["Image"] = json!(IMAGE);
    let labels = &mut body["Labels"];
    if labels.is_null() {
        *labels = json!({});
    }
    labels["com.docker.compose.project"] = json!(PROJECT);
    labels["com.docker.compose.service"] = json!(service);
    if body["StopSignal"].is_null() {
        // What is asked to end and ignores it costs ten seconds.
        body["StopSignal"] = json!("SIGKILL");
    }
    if body["Entrypoint"].is_null() {
        body["Entrypoint"] = json!(["/bin/sleep"]);
        body["Cmd"] = json!(["100000"]);
    }
    body
}

/// Networks to make, by short name, in order.
pub fn networks() -> Vec<(&'static str, Value)> {
    let of = |name: &str, mut body: Value| {
        body["Name"] = json!(format!("{PROJECT}_{name}"));
        body["CheckDuplicate"] = json!(true);
        body
    };
    let project =
        json!({"com.docker.compose.project": PROJECT, "com.docker.compose.network": "front", "purpose": "a b=c"});
    vec![
        ("bare", of("bare", json!({}))),
        (
            "front",
            of(
                "front",
                json!({"Driver": "bridge", "EnableIPv6": true, "Attachable": true, "Labels": project,
                    "IPAM": {"Driver": "default", "Options": {"note": "kept"}, "Config": [
                        {"Subnet": "10.213.0.0/24", "IPRange": "10.213.0.128/25", "Gateway": "10.213.0.254",
                         "AuxiliaryAddresses": {"router": "10.213.0.200", "printer": "10.213.0.201"}},
                        {"Subnet": "fd00:213::/64", "Gateway": "fd00:213::1"}]},
                    "Options": {"com.docker.network.bridge.name": "hfinspect0",
                        "com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.enable_icc": "false",
                        "com.docker.network.bridge.enable_ip_masquerade": "false",
                        "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1"}}),
            ),
        ),
        ("back", of("back", json!({"Internal": true, "IPAM": {"Config": [{"Subnet": "10.213.1.0/24"}]}}))),
        (
            "vlan",
            of(
                "vlan",
                json!({"Driver": "ipvlan", "Options": {"ipvlan_mode": "l3"}, "Internal": true,
                    "IPAM": {"Config": [{"Subnet": "10.213.2.0/24"}]}}),
            ),
        ),
        (
            "template",
            of(
                "template",
                json!({"ConfigOnly": true, "IPAM": {"Config": [{"Subnet": "10.213.3.0/24"}]}, "Options": {"com.docker.network.driver.mtu": "1300"}}),
            ),
        ),
        (
            "borrowed",
            of("borrowed", json!({"Driver": "bridge", "ConfigFrom": {"Network": format!("{PROJECT}_template")}})),
        ),
    ]
}

/// Volumes to make, by short name.
pub fn volumes() -> Vec<(&'static str, Value)> {
    let of = |name: &str, mut body: Value| {
        body["Name"] = json!(format!("{PROJECT}_{name}"));
        body
    };
    vec![
        ("bare", of("bare", json!({}))),
        (
            "data",
            of(
                "data",
                json!({"Labels": {"com.docker.compose.project": PROJECT, "com.docker.compose.volume": "data", "who": "ops"}}),
            ),
        ),
        ("memory", of("memory", json!({"DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=1000"}}))),
        (
            "host",
            of("host", json!({"DriverOpts": {"type": "none", "device": format!("{FOLDER}/behind"), "o": "bind"}})),
        ),
    ]
}

/// Containers to make, in order: short name, body, whether it runs.
pub fn containers(port: u16) -> Vec<(&'static str, Value, bool)> {
    vec![
        ("bare", labelled("bare", json!({"HostConfig": {"Binds": [format!("{PROJECT}_bare:/bare")]}})), true),
        ("main", labelled("main", main(port)), true),
        ("host", labelled("host", host()), true),
        ("linked", labelled("linked", linked()), true),
        ("peer", labelled("peer", peer()), true),
        ("side", labelled("side", side()), true),
        ("limits", labelled("limits", limits()), false),
    ]
}

/// Networks that a container joins after it was made.
pub fn connects() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("main", "back", json!({"Aliases": ["cellar"], "IPAMConfig": {"IPv4Address": "10.213.1.77"}})),
        ("main", "vlan", json!({"Aliases": ["lane"]})),
        ("peer", "borrowed", json!({"Aliases": ["lent"]})),
        ("bare", "bare", json!({})),
    ]
}

fn main(port: u16) -> Value {
    json!({
        "Hostname": "fixed-host", "Domainname": "example.org", "User": "1000:1000", "WorkingDir": "/srv",
        "Env": ["B=2", "A=1", "EMPTY=", "QUOTED='x y' $HOME", "UMLAUT=\u{e4}\u{f6}"],
        "Entrypoint": ["/usr/bin/tini", "--"], "Cmd": ["/bin/sleep", "99999"], "Tty": true, "OpenStdin": true, "StdinOnce": true,
        "Labels": {"purpose": "a=b, c", "quote": "\"'`$(x)", "traefik.enable": "true"},
        "Healthcheck": {"Test": ["CMD-SHELL", "test -d /data"], "Interval": 7_000_000_000_u64, "Timeout": 3_000_000_000_u64,
            "Retries": 4, "StartPeriod": 1_000_000_000},
        "StopSignal": "SIGQUIT", "StopTimeout": 1, "MacAddress": "02:42:0a:d5:00:99",
        "ExposedPorts": {"9999/udp": {}, "6379/tcp": {}}, "Volumes": {"/declared": {}},
        "HostConfig": main_host(port),
        "NetworkingConfig": {"EndpointsConfig": {(format!("{PROJECT}_front")): {
            "Aliases": ["door", "main"],
            "IPAMConfig": {"IPv4Address": "10.213.0.10", "IPv6Address": "fd00:213::10", "LinkLocalIPs": ["169.254.34.68"]}}}},
    })
}

fn host() -> Value {
    json!({"User": "1000", "HostConfig": {"NetworkMode": "host", "PidMode": "host", "IpcMode": "host", "UTSMode": "host", "UsernsMode": "host",
        "Privileged": true, "AutoRemove": true}})
}

fn linked() -> Value {
    json!({"HostConfig": {"Links": [format!("{PROJECT}-bare:friend"), format!("{PROJECT}-bare:other")], "PublishAllPorts": true}})
}

fn peer() -> Value {
    json!({"HostConfig": {"NetworkMode": format!("{PROJECT}_front"), "Binds": [format!("{PROJECT}_data:/data")]},
        "NetworkingConfig": {"EndpointsConfig": {(format!("{PROJECT}_front")): {
            "Links": [format!("{PROJECT}-main:boss")], "DriverOpts": {"note": "kept"}}}}})
}

fn side() -> Value {
    let main = format!("{PROJECT}-main");
    json!({"HostConfig": {"NetworkMode": format!("container:{main}"), "PidMode": format!("container:{main}"),
        "IpcMode": format!("container:{main}"), "VolumesFrom": [format!("{PROJECT}-peer:ro")]}})
}

fn limits() -> Value {
    let rate = |rate: u64| json!([{"Path": "/dev/vda", "Rate": rate}]);
    json!({
        "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "NetworkDisabled": true,
        "Shell": ["/bin/bash", "-c"], "OnBuild": ["RUN true"],
        "HostConfig": {
            "Memory": 134_217_728, "MemoryReservation": 67_108_864, "MemorySwap": 268_435_456, "MemorySwappiness": 13,
            "OomKillDisable": true, "KernelMemoryTCP": 67_108_864, "CpuShares": 512, "CpuPeriod": 50_000, "CpuQuota": 25_000,
            "CpusetCpus": "0-1", "CpusetMems": "0", "PidsLimit": 77, "CgroupParent": "/hfinspect",
            "BlkioDeviceReadBps": rate(1_000_000), "BlkioDeviceWriteBps": rate(2_000_000),
            "BlkioDeviceReadIOps": rate(3000), "BlkioDeviceWriteIOps": rate(4000),
            "LogConfig": {"Type": "local", "Config": {"max-size": "2m"}}, "Runtime": "io.containerd.runc.v2",
            "CgroupnsMode": "private", "ConsoleSize": [24, 80], "VolumeDriver": "local",
            "DeviceRequests": [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]], "Options": {"a": "b"}}],
        },
    })
}

fn main_host(port: u16) -> Value {
    let mut host = json!({
        "Tmpfs": {"/run": "rw,noexec,size=64k", "/scratch": ""},
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "3", "labels": "purpose"}},
        "Init": true, "GroupAdd": ["4243", "4242"], "ReadonlyRootfs": true, "ShmSize": 33_554_432, "OomScoreAdj": 250,
        "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 4096}, {"Name": "core", "Soft": 0, "Hard": 0}],
        "Sysctls": {"net.core.somaxconn": "512", "net.ipv4.ip_unprivileged_port_start": "0"},
        "CapAdd": ["NET_ADMIN", "SYS_NICE"], "CapDrop": ["MKNOD", "AUDIT_WRITE"],
        "SecurityOpt": ["no-new-privileges", "seccomp=unconfined", "label=disable"],
        "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/bus", "/proc/irq"],
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nought", "CgroupPermissions": "rw"}],
        "DeviceCgroupRules": ["c 1:3 rwm"], "IpcMode": "shareable", "NanoCpus": 500_000_000,
        "Dns": ["127.0.0.53", "::1"], "DnsOptions": ["ndots:2", "rotate"], "DnsSearch": ["example.org", "example.net"],
        "ExtraHosts": ["printer:10.213.0.201", "six:fd00::9"],
        "PortBindings": {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": port.to_string()}, {"HostIp": "127.0.0.1", "HostPort": (port + 1).to_string()}],
            "9999/udp": [{"HostIp": "", "HostPort": port.to_string()}]},
        "NetworkMode": format!("{PROJECT}_front"),
    });
    for (key, value) in main_mounts().as_object().into_iter().flatten() {
        host[key] = value.clone();
    }
    host
}

fn main_mounts() -> Value {
    json!({
        "Binds": [format!("{PROJECT}_data:/data"), format!("{PROJECT}_data:/ro:ro"), format!("{PROJECT}_empty:/nocopy:nocopy"),
            format!("{FOLDER}/a:/host"), format!("{FOLDER}/b:/host-ro:ro,private"), format!("{PROJECT}_memory:/memory"),
            format!("{PROJECT}_host:/behind")],
        "Mounts": [
            {"Type": "bind", "Source": format!("{FOLDER}/a"), "Target": "/host-mount", "ReadOnly": true, "Consistency": "cached",
             "BindOptions": {"Propagation": "rprivate", "NonRecursive": true}},
            {"Type": "volume", "Source": format!("{PROJECT}_mounted"), "Target": "/vol-mount", "ReadOnly": true,
             "VolumeOptions": {"Labels": {"made": "by mount"}}},
            {"Type": "volume", "Target": "/anon-mount"},
            {"Type": "tmpfs", "Target": "/tmpfs-mount", "TmpfsOptions": {"SizeBytes": 1_048_576, "Mode": 0o1700}}],
    })
}
