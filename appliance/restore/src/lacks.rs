//! What a container asks of its host and this host does not have: devices, graphics cards, paths, runtimes, log drivers, limits.
//! Each is a conflict that names its way out; a way that was chosen takes it from the description before a body is
//! made of it, and says so.

use crate::{
    deed::Way,
    json::{child, is_blank, list, object, text, texts, truth},
    plan::Draft,
    probe::Probe,
    survey::Survey,
};
use holdfast_model::{
    Problem, Result,
    snapshot::{ContainerSection, RunState, Snapshot},
    view::WayOut,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Limits that an engine refuses if it cannot keep them.
const LIMITS: [&str; 6] =
    ["NanoCpus", "CpusetCpus", "CpusetMems", "CpuRealtimePeriod", "CpuRealtimeRuntime", "StorageOpt"];
/// Limits that an engine passes over if it cannot keep them, and what its description calls them.
const PASSED_OVER: [(&str, &str); 6] = [
    ("Memory", "MemoryLimit"),
    ("MemorySwap", "SwapLimit"),
    ("PidsLimit", "PidsLimit"),
    ("CpuShares", "CPUShares"),
    ("CpuQuota", "CpuCfsQuota"),
    ("OomKillDisable", "OomKillDisable"),
];
/// Log drivers that every engine has, under whatever name.
const LOGS: [&str; 4] = ["", "none", "json-file", "local"];
/// Runtimes that every engine has; `oci` is what Podman calls its own.
const RUNTIMES: [&str; 3] = ["", "runc", "oci"];

/// Looks at one container's description, tells what the host lacks of it, and takes out what shall be left out.
pub(crate) async fn ease(
    draft: &mut Draft,
    probe: &mut Probe<'_>,
    container: &ContainerSection,
    inspect: &mut Value,
    (snapshot, survey): (&Snapshot, &Survey),
) -> Result<()> {
    let name = &container.name;
    let starts = container.state != RunState::Stopped;
    paths(draft, probe, (name, starts), inspect, snapshot).await?;
    requests(draft, probe, (name, starts), inspect).await?;
    drivers(draft, probe, name, inspect).await?;
    limits(draft, probe, name, inspect).await?;
    passed_over(draft, name, inspect, survey);
    Ok(())
}

/// Tells that nothing could be asked of the host.
pub(crate) fn unasked(draft: &mut Draft, probe: &Probe<'_>, survey: &Survey) {
    if let Some(why) = &probe.mute {
        let message =
            format!("whether the host has the devices, paths and drivers that are asked for could not be tried: {why}");
        draft.notes.push(Problem::warning("host.unasked", &survey.info.name, message));
    }
}

/// A conflict with its way out, or the note of what the chosen way made different.
fn told(
    draft: &mut Draft,
    way: WayOut,
    code: &str,
    subject: &str,
    (lack, advice, instead): (&str, &str, &str),
) -> bool {
    let chosen = draft.ways.contains(&way);
    if chosen {
        draft.notes.push(Problem::warning(code, subject, format!("{lack}; as you asked, {instead}")));
    } else {
        draft.conflicts.push(Problem::error(code, subject, lack).advice(advice));
    }
    chosen
}

/// The same for a device. An engine looks for those when a container starts: one that stood still comes back as it was.
fn told_of_device(draft: &mut Draft, starts: bool, subject: &str, (lack, advice, instead): (&str, &str, &str)) -> bool {
    if starts || draft.ways.contains(&WayOut::NoDevices) {
        return told(draft, WayOut::NoDevices, "device.missing", subject, (lack, advice, instead));
    }
    let text = format!("{lack}; it did not run, and will not start before that is there");
    draft.notes.push(Problem::warning("device.missing", subject, text).advice(advice));
    false
}

/// Devices, and host paths that the snapshot brings no content for.
async fn paths(
    draft: &mut Draft,
    probe: &mut Probe<'_>,
    (name, starts): (&str, bool),
    inspect: &mut Value,
    snapshot: &Snapshot,
) -> Result<()> {
    let devices: BTreeSet<String> =
        list(inspect, "/HostConfig/Devices").iter().map(|device| text(device, "/PathOnHost").to_owned()).collect();
    let sources = if draft.deed.way == Way::Beside { BTreeSet::new() } else { bare_sources(inspect, snapshot) };
    let asked = devices.union(&sources).filter(|path| path.starts_with('/')).cloned().collect();
    for path in probe.missing(&asked).await? {
        if devices.contains(&path) {
            let lack = format!("{name} needs device {path}, which is not on this host");
            let advice = "Attach the device, leave out devices that are missing (--no-devices), or restore to another host (--to HOST).";
            if told_of_device(draft, starts, &path, (&lack, advice, "it is left out")) {
                retain(inspect, "Devices", |device| text(device, "/PathOnHost") != path);
            }
        }
        if sources.contains(&path) {
            source(draft, name, inspect, &path);
        }
    }
    Ok(())
}

fn source(draft: &mut Draft, name: &str, inspect: &mut Value, path: &str) {
    let lack = format!("{name} mounts {path}, which is not on this host and not in the snapshot");
    if draft.ways.contains(&WayOut::MakePaths) {
        draft.notes.push(Problem::warning(
            "path.missing",
            path,
            format!("{lack}; as you asked, it is made as an empty folder"),
        ));
        for mount in list_mut(inspect, "Mounts") {
            if text(mount, "/Source") == path {
                object(child(mount, "BindOptions")).insert("CreateMountpoint".into(), json!(true));
            }
        }
        return;
    }
    let advice = "Make it on the host, leave such mounts out (--no-paths), let them be empty folders (--make-paths), or restore beside (--as NAME).";
    if told(draft, WayOut::NoPaths, "path.missing", path, (&lack, advice, "it runs without that mount")) {
        retain(inspect, "Binds", |bind| bind.as_str().and_then(|bind| bind.split(':').next()) != Some(path));
        retain(inspect, "Mounts", |mount| text(mount, "/Type") != "bind" || text(mount, "/Source") != path);
    }
}

/// Paths of the host that a container mounts and that the restore does not write.
fn bare_sources(inspect: &Value, snapshot: &Snapshot) -> BTreeSet<String> {
    let binds = texts(inspect, "/HostConfig/Binds");
    let binds = binds.iter().filter_map(|bind| bind.split(':').next()).map(str::to_owned);
    let is_bind = |mount: &&Value| text(mount, "/Type") == "bind" && !truth(mount, "/BindOptions/CreateMountpoint");
    let mounts =
        list(inspect, "/HostConfig/Mounts").iter().filter(is_bind).map(|mount| text(mount, "/Source").to_owned());
    let written: Vec<&str> = snapshot
        .binds
        .iter()
        .filter(|bind| bind.stream.is_some())
        .map(|bind| bind.source.trim_end_matches('/'))
        .collect();
    let is_written = |path: &str| {
        let path = path.trim_end_matches('/');
        written
            .iter()
            .any(|known| path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    binds.chain(mounts).filter(|path| path.starts_with('/') && !is_written(path)).collect()
}

/// Graphics cards and what else a driver hands out.
async fn requests(
    draft: &mut Draft,
    probe: &mut Probe<'_>,
    (name, starts): (&str, bool),
    inspect: &mut Value,
) -> Result<()> {
    for request in list(inspect, "/HostConfig/DeviceRequests").to_vec() {
        let Some(refusal) = probe.refusal(&json!({"DeviceRequests": [request]}), true).await? else { continue };
        let lack = format!("{name} asks for devices that this host does not hand out: {refusal}");
        let advice = "Install the driver of the devices, leave out devices that are missing (--no-devices), or restore to another host (--to HOST).";
        if told_of_device(draft, starts, name, (&lack, advice, "they are left out")) {
            retain(inspect, "DeviceRequests", |other| *other != request);
        }
    }
    Ok(())
}

/// The runtime and the log driver.
async fn drivers(draft: &mut Draft, probe: &mut Probe<'_>, name: &str, inspect: &mut Value) -> Result<()> {
    let runtime = text(inspect, "/HostConfig/Runtime").to_owned();
    if !RUNTIMES.contains(&runtime.as_str())
        && let Some(refusal) = probe.refusal(&json!({"Runtime": runtime}), false).await?
    {
        let lack = format!("{name} runs by runtime {runtime}, which this host does not have: {refusal}");
        let advice =
            "Install the runtime, use the engine's own (--own-drivers), or restore to another host (--to HOST).";
        if told(draft, WayOut::OwnDrivers, "runtime.missing", &runtime, (&lack, advice, "the engine's own runs it")) {
            host(inspect).shift_remove("Runtime");
        }
    }
    let log = text(inspect, "/HostConfig/LogConfig/Type").to_owned();
    if !LOGS.contains(&log.as_str())
        && let Some(refusal) = probe.refusal(&json!({"LogConfig": inspect["HostConfig"]["LogConfig"]}), false).await?
    {
        let lack = format!("{name} logs by driver {log}, which this host refuses: {refusal}");
        let advice =
            "Install the driver, use the engine's own (--own-drivers), or restore to another host (--to HOST).";
        if told(
            draft,
            WayOut::OwnDrivers,
            "log_driver.missing",
            &log,
            (&lack, advice, "the engine's own takes its logs"),
        ) {
            host(inspect).shift_remove("LogConfig");
        }
    }
    Ok(())
}

/// Limits that the engine refuses.
async fn limits(draft: &mut Draft, probe: &mut Probe<'_>, name: &str, inspect: &mut Value) -> Result<()> {
    for key in LIMITS {
        let value = inspect["HostConfig"][key].clone();
        if is_blank(&value) || value == json!(0) || value == json!("") {
            continue;
        }
        let Some(refusal) = probe.refusal(&json!({ key: value }), false).await? else { continue };
        let lack = format!("{name} has limit {key} {value}, which this host refuses: {refusal}");
        let advice =
            "Leave out limits that the host cannot keep (--no-limits), or restore to another host (--to HOST).";
        if told(draft, WayOut::NoLimits, "limit.refused", name, (&lack, advice, "it runs without that limit")) {
            host(inspect).shift_remove(key);
        }
    }
    Ok(())
}

/// Limits that the engine takes and does not keep.
fn passed_over(draft: &mut Draft, name: &str, inspect: &Value, survey: &Survey) {
    let cannot = |ability: &str| survey.host.get(ability) == Some(&json!(false));
    let wants = |key: &str| match &inspect["HostConfig"][key] {
        Value::Bool(wanted) => *wanted,
        Value::Number(number) => number.as_i64().is_some_and(|number| number > 0),
        _ => false,
    };
    let lost: Vec<&str> =
        PASSED_OVER.iter().filter(|(key, ability)| wants(key) && cannot(ability)).map(|(key, _)| *key).collect();
    if !lost.is_empty() {
        let message = format!("{name} has limits that this host's kernel does not keep: {}", lost.join(", "));
        draft.notes.push(Problem::warning("limit.not_kept", name, message));
    }
}

/// A driver that the engine says that it does not have. What it says nothing of is taken for given.
pub(crate) fn lacks_driver(survey: &Survey, kind: &str, driver: &str) -> bool {
    let known = list(&survey.host, &format!("/Plugins/{kind}"));
    // Plugins may be asked for with and without their version.
    let bare = |name: &str| name.trim_end_matches(":latest").to_owned();
    !driver.is_empty()
        && !known.is_empty()
        && !known.iter().filter_map(Value::as_str).any(|name| bare(name) == bare(driver))
}

fn host(inspect: &mut Value) -> &mut serde_json::Map<String, Value> {
    object(child(inspect, "HostConfig"))
}

fn list_mut<'a>(inspect: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    inspect.pointer_mut(&format!("/HostConfig/{key}")).and_then(Value::as_array_mut).into_iter().flatten()
}

fn retain(inspect: &mut Value, key: &str, keep: impl FnMut(&Value) -> bool) {
    if let Some(items) = inspect.pointer_mut(&format!("/HostConfig/{key}")).and_then(Value::as_array_mut) {
        items.retain(keep);
    }
}
