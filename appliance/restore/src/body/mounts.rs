//! Mounts of a container: volumes under their new names, anonymous ones by name, and, for a copy,
//! volumes in the place of host paths.

use super::{Body, Context};
use crate::{
    deed::{FileDeed, Way},
    json::{child, list, members, object, text, texts, truth},
};
use holdfast_model::{Problem, snapshot::StreamRef};
use serde_json::{Value, json};

/// What stands for a host path in a copy.
#[derive(Clone, Debug)]
pub(crate) enum BindFate {
    /// A new volume with its content.
    Volume(String),
    /// A file, written into the container.
    File(StreamRef),
    /// Nothing: its content was not captured.
    Left,
}

/// Rewrites `Binds` and `Mounts` of a host configuration.
pub(super) fn rewrite(name: &str, host: &mut Value, inspect: &Value, context: &Context<'_>, body: &mut Body) {
    let mut binds: Vec<String> = Vec::new();
    let mut covered: Vec<String> = Vec::new();
    for bind in texts(host, "/Binds") {
        let Some(mut spec) = Spec::parse(&bind) else { continue };
        let bind = if context.leaves_podman { spec.spoken_by_docker(name, body) } else { bind };
        covered.push(spec.at.clone());
        if !spec.from.starts_with('/') {
            binds.push(volume_bind(&spec, context));
        } else if context.way != Way::Beside {
            binds.push(bind);
        } else if let Some(volume) = stand_in(name, &source_at(inspect, &spec), &spec.at, inspect, context, body) {
            let read_only = spec.options.iter().any(|option| option == "ro");
            binds.push(bind_text(&volume, &spec.at, if read_only { &["ro"] } else { &[] }));
        }
    }
    let mut mounts: Vec<Value> = Vec::new();
    for mount in list(host, "/Mounts").to_vec() {
        covered.push(text(&mount, "/Target").to_owned());
        mounts.extend(rewritten(name, mount, inspect, context, body));
    }
    binds.extend(anonymous(inspect, &covered, context));
    if host.get("Mounts").is_some() {
        object(host).insert("Mounts".into(), json!(mounts));
    }
    if !binds.is_empty() || host.get("Binds").is_some_and(Value::is_array) {
        object(host).insert("Binds".into(), json!(binds));
    }
}

/// `from:at[:options]`.
struct Spec {
    from: String,
    at: String,
    options: Vec<String>,
}

impl Spec {
    /// `None` for a path alone: that is an anonymous volume, attached by name further on.
    fn parse(bind: &str) -> Option<Spec> {
        let mut parts = bind.splitn(3, ':');
        let (from, at) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let options = parts.next().unwrap_or_default().split(',').filter(|o| !o.is_empty()).map(str::to_owned);
        Some(Spec { from, at, options: options.collect() })
    }
}

/// What Docker knows of a volume's options; it refuses all others.
const OF_VOLUMES: [&str; 8] = ["ro", "rw", "z", "Z", "nocopy", "cached", "delegated", "consistent"];
/// What it knows besides of those of a host path.
const OF_PATHS: [&str; 6] = ["shared", "slave", "private", "rshared", "rslave", "rprivate"];
/// What Podman says of each mount, asked or not.
const PODMANS_OWN: [&str; 4] = ["nosuid", "nodev", "rbind", "rprivate"];

impl Spec {
    /// The same mount in words that Docker takes. What somebody asked for and Docker has not is told.
    fn spoken_by_docker(&mut self, name: &str, body: &mut Body) -> String {
        let is_path = self.from.starts_with('/');
        let knows = |option: &String| OF_VOLUMES.contains(&&**option) || (is_path && OF_PATHS.contains(&&**option));
        let (known, other): (Vec<_>, Vec<_>) = std::mem::take(&mut self.options).into_iter().partition(knows);
        self.options = known;
        for option in other.iter().filter(|option| !PODMANS_OWN.contains(&option.as_str())) {
            let message = format!("{name} mounts {} with the option {option}, which Docker does not have", self.at);
            body.notes.push(Problem::note("mount.option", name, message));
        }
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        bind_text(&self.from, &self.at, &options)
    }
}

fn bind_text(from: &str, at: &str, options: &[&str]) -> String {
    if options.is_empty() { format!("{from}:{at}") } else { format!("{from}:{at}:{}", options.join(",")) }
}

fn volume_bind(spec: &Spec, context: &Context<'_>) -> String {
    let volume = context.volumes.get(&spec.from).unwrap_or(&spec.from);
    let mut options: Vec<&str> = spec.options.iter().map(String::as_str).collect();
    if context.empty.contains(volume) && !options.contains(&"nocopy") {
        options.push("nocopy");
    }
    bind_text(volume, &spec.at, &options)
}

/// The host path as the engine resolved it; people may have written it with a slash too many.
fn source_at(inspect: &Value, spec: &Spec) -> String {
    let at = spec.at.trim_end_matches('/');
    let mount = list(inspect, "/Mounts").iter().find(|mount| text(mount, "/Destination").trim_end_matches('/') == at);
    let source = mount.map_or("", |mount| text(mount, "/Source"));
    if source.is_empty() { spec.from.clone() } else { source.to_owned() }
}

/// The volume that stands for a host path in a copy; files go into the container, the rest is left out.
fn stand_in(
    name: &str,
    source: &str,
    at: &str,
    inspect: &Value,
    context: &Context<'_>,
    body: &mut Body,
) -> Option<String> {
    match context.binds.get(source) {
        Some(BindFate::Volume(volume)) => Some(volume.clone()),
        Some(BindFate::File(_)) if super::is_sealed(inspect) => {
            let message =
                format!("{name} mounts the file {source}, and its root is read-only; the copy runs without that file");
            body.notes.push(Problem::warning("bind.left_out", source, message));
            None
        }
        Some(BindFate::File(stream)) => {
            let message =
                format!("{name} mounts the file {source}; the copy has its content at {at} as a file of its own");
            body.notes.push(Problem::note("bind.file", source, message));
            body.files.push(FileDeed { path: at.to_owned(), stream: stream.clone() });
            None
        }
        Some(BindFate::Left) | None => {
            let message = format!("{name} mounts {source}, whose content was not captured; the copy runs without it");
            body.notes.push(Problem::warning("bind.left_out", source, message));
            None
        }
    }
}

fn rewritten(name: &str, mut mount: Value, inspect: &Value, context: &Context<'_>, body: &mut Body) -> Option<Value> {
    let at = text(&mount, "/Target").to_owned();
    match text(&mount, "/Type") {
        "volume" => {
            let mut source = text(&mount, "/Source").to_owned();
            if source.is_empty() {
                let known = list(inspect, "/Mounts").iter().find(|known| text(known, "/Destination") == at);
                source = known.map_or("", |known| text(known, "/Name")).to_owned();
            }
            let volume = context.volumes.get(&source).cloned().unwrap_or(source);
            if context.empty.contains(&volume) {
                object(child(&mut mount, "VolumeOptions")).insert("NoCopy".into(), json!(true));
            }
            if context.way == Way::Beside
                && let Some(options) = mount.get_mut("VolumeOptions")
            {
                object(options).shift_remove("DriverConfig");
            }
            if !volume.is_empty() {
                object(&mut mount).insert("Source".into(), json!(volume));
            }
            Some(mount)
        }
        "bind" if context.way == Way::Beside => {
            let source = text(&mount, "/Source").to_owned();
            let volume = stand_in(name, &source, &at, inspect, context, body)?;
            let read_only = truth(&mount, "/ReadOnly");
            Some(json!({"Type": "volume", "Source": volume, "Target": at, "ReadOnly": read_only}))
        }
        _ => Some(mount),
    }
}

/// Volumes that only the engine named, attached by name.
fn anonymous(inspect: &Value, covered: &[String], context: &Context<'_>) -> Vec<String> {
    // Those of another container come through `VolumesFrom`; its own are declared.
    let borrows = !list(inspect, "/HostConfig/VolumesFrom").is_empty();
    let is_declared = |at: &str| members(inspect, "/Config/Volumes").any(|(declared, _)| declared == at);
    let is_own = |at: &str| !borrows || is_declared(at);
    let is_covered = |at: &str| covered.iter().any(|known| known.trim_end_matches('/') == at.trim_end_matches('/'));
    let mut found: Vec<String> = list(inspect, "/Mounts")
        .iter()
        .filter(|mount| text(mount, "/Type") == "volume")
        .filter(|mount| is_own(text(mount, "/Destination")) && !is_covered(text(mount, "/Destination")))
        .filter_map(|mount| {
            let volume = context.volumes.get(text(mount, "/Name"))?;
            let read_only = mount.get("RW").and_then(Value::as_bool) == Some(false);
            let options = [(read_only, "ro"), (context.empty.contains(volume), "nocopy")];
            let options: Vec<&str> = options.iter().filter(|(wanted, _)| *wanted).map(|(_, text)| *text).collect();
            Some(bind_text(volume, text(mount, "/Destination"), &options))
        })
        .collect();
    found.sort();
    found
}
