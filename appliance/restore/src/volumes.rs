//! Volumes: which are made, refilled or left, and how one is written and proved.
//!
//! A volume that is there cannot be renamed or removed while a stopped container names it, so its
//! content is taken out in place (see [`empty`]) and the container that names it stays.

use crate::{
    body::BindFate,
    carry::Hand,
    deed::{LogDeed, PathDeed, VolumeAction, VolumeDeed, Way},
    files, fill,
    helper::{Helper, MOUNT},
    json::{is_blank, is_long_id, list, object, size, text},
    lacks::lacks_driver,
    plan::Draft,
    survey::{Present, Survey, host_folder},
    verify::{self, Tolerance},
};
use holdfast_docker::ByteStream;
use holdfast_model::{
    Error, Kind, Problem, Result,
    snapshot::{Snapshot, VolumeSection},
    view::WayOut,
};
use holdfast_tar::write;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path},
};

/// Names that bodies of containers need.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    /// Old volume names to new ones.
    pub(crate) volumes: BTreeMap<String, String>,
    /// New names of volumes that must stay empty: Docker would fill them from the image.
    pub(crate) empty: BTreeSet<String>,
    /// What stands for host paths (beside only).
    pub(crate) binds: BTreeMap<String, BindFate>,
}

/// What a container finds where it has a recorded mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// What the snapshot holds.
    Written,
    /// Nothing: it is made anew, or lives in memory.
    Empty,
    /// What the host has there, of which nobody knows what it is.
    Left,
}

/// What a container finds where it has a recorded mount, under its own name and once all volumes and host paths are planned. A copy never
/// finds what the host has.
pub(crate) fn ground(draft: &Draft, survey: &Survey, mount: &Value) -> Ground {
    match text(mount, "/Type") {
        "volume" => {
            let name = text(mount, "/Name");
            match draft.deed.volumes.iter().find(|volume| volume.name == name) {
                Some(volume) => ground_of(volume),
                // The snapshot does not describe it: the engine makes it, unless it is there.
                None if survey.volume(name).is_none() => Ground::Empty,
                None => Ground::Left,
            }
        }
        "bind" => {
            let source = Path::new(text(mount, "/Source"));
            let mut written = draft.deed.paths.iter().filter(|path| source.starts_with(&path.source));
            // Other files there stay: where nothing was, what came since does. A file has no others.
            let is_written = |path: &PathDeed| !path.directory || path.stream.entries > 1;
            if written.any(is_written) { Ground::Written } else { Ground::Left }
        }
        "tmpfs" => Ground::Empty,
        _ => Ground::Left,
    }
}

fn ground_of(volume: &VolumeDeed) -> Ground {
    let is_plain = text(&volume.body, "/Driver") == "local" && volume.body.get("DriverOpts").is_none_or(is_blank);
    let in_memory = text(&volume.body, "/DriverOpts/type") == "tmpfs";
    match (&volume.stream, volume.action) {
        (Some(stream), _) if stream.entries > 1 => Ground::Written,
        (None, VolumeAction::Keep) if !in_memory => Ground::Left,
        // One that stands for a folder or a share has what is there, also if it is made anew.
        (None, VolumeAction::Create) if !is_plain && !in_memory => Ground::Left,
        _ => Ground::Empty,
    }
}

/// Plans all volumes and host paths of the snapshot.
pub(crate) fn plan(draft: &mut Draft, snapshot: &Snapshot, survey: &Survey) -> Result<Mapping> {
    let mut mapping = Mapping::default();
    for section in &snapshot.volumes {
        let name = draft.names.volume(&section.name, section.anonymous);
        mapping.volumes.insert(section.name.clone(), name.clone());
        if section.stream.as_ref().is_some_and(|stream| stream.entries <= 1) {
            mapping.empty.insert(name.clone());
        }
        plan_one(draft, (snapshot, section), &name, survey)?;
    }
    if draft.deed.way == Way::Beside {
        unknown(draft, snapshot, &mut mapping)?;
        beside_binds(draft, snapshot, survey, &mut mapping);
    } else {
        paths(draft, snapshot);
    }
    Ok(mapping)
}

/// Plans one volume under a given name.
pub(crate) fn plan_one(
    draft: &mut Draft,
    (snapshot, section): (&Snapshot, &VolumeSection),
    name: &str,
    survey: &Survey,
) -> Result<()> {
    let inspect = section.inspect.parse()?;
    let (mut body, simplified) = body_of(draft, name, &inspect);
    if simplified {
        let message = format!(
            "volume {} lies on a driver or path that the original uses; the copy's is a plain local volume",
            section.name
        );
        draft.notes.push(Problem::note("volume.plain", &section.name, message));
    }
    let folder = host_folder(&inspect).filter(|_| draft.names.new_app().is_none() && section.stream.is_some());
    let action = match survey.volume(name) {
        None if folder.is_some() => VolumeAction::Adopt,
        None => VolumeAction::Create,
        Some(present) => existing(draft, section, name, &inspect, present, survey),
    };
    if survey.volume(name).is_none() {
        check_driver(draft, &section.name, &mut body, survey);
    }
    let in_memory = is_in_memory(&inspect);
    let stream = section.stream.clone().filter(|_| !in_memory);
    let bytes = stream.as_ref().map_or(0, |stream| stream.length);
    let label = called(name);
    draft.destructive |= action == VolumeAction::Adopt;
    draft.steps.push(match (action, &stream) {
        (VolumeAction::Create, Some(_)) => format!("Create volume {label} and write {}", size(bytes)),
        (VolumeAction::Create, None) => format!("Create volume {label}, empty"),
        (VolumeAction::Adopt, _) => format!(
            "Create volume {label} on {} of the host, and replace what is in that folder by {}",
            folder.unwrap_or_default(),
            size(bytes)
        ),
        (VolumeAction::Refill, _) => format!("Replace the content of volume {label} by {}", size(bytes)),
        (VolumeAction::Keep, _) => format!("Leave volume {label} as it is"),
    });
    if in_memory {
        let message = format!("volume {} lives in memory and starts empty, as after every start", section.name);
        draft.notes.push(Problem::note("volume.in_memory", &section.name, message));
    } else if stream.is_none() {
        let left = if action == VolumeAction::Keep { "stays as it is" } else { "is restored empty" };
        let message = format!("the content of volume {} was not captured; it {left}", section.name);
        draft.notes.push(Problem::warning("volume.not_captured", &section.name, message));
    }
    draft.reads(stream.as_ref());
    let folder = match action {
        VolumeAction::Adopt => folder.map(str::to_owned),
        VolumeAction::Refill => survey.volume(name).and_then(host_folder).map(str::to_owned),
        VolumeAction::Create | VolumeAction::Keep => None,
    };
    let logs = if stream.is_some() { logs(draft, snapshot, &section.name) } else { Vec::new() };
    draft.deed.volumes.push(VolumeDeed { name: name.to_owned(), body, action, folder, stream, logs });
    Ok(())
}

/// Whether a folder that a snapshot names is one below where it is looked for.
fn is_below(folder: &str) -> bool {
    Path::new(folder).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Logs of servers whose files are in a place.
fn logs(draft: &mut Draft, snapshot: &Snapshot, place: &str) -> Vec<LogDeed> {
    let here = snapshot.databases.iter().filter_map(|database| Some((database, database.log.as_ref()?)));
    let logs: Vec<_> = here
        .filter(|(_, log)| log.place == place)
        .map(|(database, log)| LogDeed {
            kind: database.kind,
            container: database.container.clone(),
            folder: log.folder.clone(),
            stream: log.stream.clone(),
        })
        .collect();
    for log in &logs {
        if !is_below(&log.folder) {
            let message = format!(
                "the snapshot says that {} in {} has its files outside of {place}",
                log.kind.title(),
                log.container
            );
            let advice = "Nobody but its own appliance should have written such a snapshot; restore another one.";
            draft.conflicts.push(Problem::error("database.log_misplaced", &log.container, message).advice(advice));
        }
        draft.reads(Some(&log.stream));
        draft.steps.push(format!(
            "Lay the log of {} ({}) over its files, which were read in its backup mode",
            log.kind.title(),
            size(log.stream.length)
        ));
    }
    logs
}

/// A driver that the host does not have: in the way, or the engine's own stands for it.
fn check_driver(draft: &mut Draft, volume: &str, body: &mut Value, survey: &Survey) {
    let driver = text(body, "/Driver").to_owned();
    if !lacks_driver(survey, "Volume", &driver) {
        return;
    }
    let lack = format!("volume {volume} needs driver {driver}, which this host does not list");
    if draft.ways.contains(&WayOut::OwnDrivers) {
        let message = format!("{lack}; as you asked, it becomes a local volume");
        draft.notes.push(Problem::warning("volume_driver.missing", volume, message));
        object(body).insert("Driver".into(), json!("local"));
        object(body).shift_remove("DriverOpts");
    } else {
        let advice = "Install the driver (one that was never used shows after a first volume of it), make it a local volume (--own-drivers), or restore beside (--as NAME).";
        draft.conflicts.push(Problem::error("volume_driver.missing", volume, lack).advice(advice));
    }
}

/// Whether the engine gives every first user of the volume an empty one.
fn is_in_memory(inspect: &Value) -> bool {
    text(inspect, "/Options/type") == "tmpfs"
}

/// What people call a volume: nobody reads 64 digits.
pub(crate) fn called(name: &str) -> String {
    if is_long_id(name) { format!("{} (unnamed)", &name[..12]) } else { name.to_owned() }
}

/// What happens to a volume whose name is there already.
fn existing(
    draft: &mut Draft,
    section: &VolumeSection,
    name: &str,
    inspect: &Value,
    present: &Value,
    survey: &Survey,
) -> VolumeAction {
    if draft.deed.way != Way::InPlace {
        let problem = Problem::error("volume.exists", name, format!("a volume {name} is there already"));
        draft.conflicts.push(
            problem.advice(
                "Choose another name (--as NAME), or restore in place (--in-place), which replaces its content.",
            ),
        );
        return VolumeAction::Create;
    }
    if section.stream.is_none() || is_in_memory(inspect) {
        return VolumeAction::Keep;
    }
    let options = |value: &Value| value.get("Options").filter(|options| !is_blank(options)).cloned();
    if text(inspect, "/Driver") != text(present, "/Driver") || options(inspect) != options(present) {
        let message = format!("volume {name} is there with another driver or other options than in the snapshot");
        let problem = Problem::error("volume.differs", name, message);
        draft.conflicts.push(problem.advice("Restore beside the original (--as NAME), or remove the volume first."));
    }
    let is_ours = |user: &Present| draft.deed.old.iter().chain(&draft.deed.hold).any(|old| old.id == user.id);
    if let Some(user) = survey.users_of_volume(name).into_iter().find(|user| user.running && !is_ours(user)) {
        let message = format!("volume {name} is used by {}, which runs and is not part of the app", user.name);
        let problem = Problem::error("volume.in_use", name, message);
        draft.conflicts.push(problem.advice(format!(
            "Stop {0}, restore it with the others if it is of the app (--service), or restore beside (--as NAME).",
            user.name
        )));
    }
    draft.destructive = true;
    VolumeAction::Refill
}

/// The create body; for a copy never a place that the original uses. Says whether that changed it.
fn body_of(draft: &Draft, name: &str, inspect: &Value) -> (Value, bool) {
    let options = inspect.get("Options").filter(|options| !is_blank(options)).cloned();
    let driver = text(inspect, "/Driver");
    let simplify = draft.names.new_app().is_some()
        && ((driver != "local" && !driver.is_empty()) || options.is_some() && !is_in_memory(inspect));
    let mut body = json!({"Name": name, "Labels": inspect.get("Labels").filter(|labels| !is_blank(labels))});
    let fields = object(&mut body);
    if simplify {
        fields.insert("Driver".into(), json!("local"));
    } else {
        fields.insert("Driver".into(), json!(if driver.is_empty() { "local" } else { driver }));
        fields.insert("DriverOpts".into(), json!(options));
    }
    fields.retain(|_, value| !value.is_null());
    draft.names.relabel(&mut body);
    (body, simplify)
}

/// Volumes that containers mount but the snapshot does not describe: a copy gets empty ones, never the original's.
fn unknown(draft: &mut Draft, snapshot: &Snapshot, mapping: &mut Mapping) -> Result<()> {
    for container in &snapshot.containers {
        let inspect = container.inspect.parse()?;
        for mount in list(&inspect, "/Mounts").iter().filter(|mount| text(mount, "/Type") == "volume") {
            let old = text(mount, "/Name");
            if old.is_empty() || mapping.volumes.contains_key(old) {
                continue;
            }
            let name = draft.names.volume(old, is_long_id(old));
            let message = format!("volume {old} is not in the snapshot; the copy gets an empty one");
            draft.notes.push(Problem::warning("volume.not_captured", old, message));
            let body = json!({"Name": name, "Driver": "local"});
            draft.deed.volumes.push(VolumeDeed {
                name: name.clone(),
                body,
                action: VolumeAction::Create,
                folder: None,
                stream: None,
                logs: Vec::new(),
            });
            mapping.volumes.insert(old.to_owned(), name);
        }
    }
    Ok(())
}

/// A copy has volumes in the place of host paths.
fn beside_binds(draft: &mut Draft, snapshot: &Snapshot, survey: &Survey, mapping: &mut Mapping) {
    for bind in &snapshot.binds {
        let fate = match &bind.stream {
            None => BindFate::Left,
            Some(stream) if !bind.directory => {
                draft.reads(Some(stream));
                BindFate::File(stream.clone())
            }
            Some(stream) => {
                let name = draft.names.bind(&bind.source);
                if survey.volume(&name).is_some() {
                    let problem = Problem::error("volume.exists", &name, format!("a volume {name} is there already"));
                    draft.conflicts.push(problem.advice("Choose another name (--as NAME), or remove the volume."));
                }
                let message =
                    format!("{} on the host is not touched; the copy has its content in volume {name}", bind.source);
                draft.notes.push(Problem::note("bind.volume", &bind.source, message));
                let bytes = size(stream.length);
                draft.steps.push(format!("Create volume {name} with the content of {} and write {bytes}", bind.source));
                let body = json!({"Name": name, "Driver": "local"});
                let (action, stream) = (VolumeAction::Create, Some(stream.clone()));
                draft.reads(stream.as_ref());
                let logs = logs(draft, snapshot, &bind.source);
                draft.deed.volumes.push(VolumeDeed { name: name.clone(), body, action, folder: None, stream, logs });
                BindFate::Volume(name)
            }
        };
        mapping.binds.insert(bind.source.clone(), fate);
    }
}

/// Host paths are written back to where they were.
fn paths(draft: &mut Draft, snapshot: &Snapshot) {
    for bind in &snapshot.binds {
        let Some(stream) = &bind.stream else {
            let message = format!("the content of {} was not captured; it stays as it is on the host", bind.source);
            draft.notes.push(Problem::warning("bind.not_captured", &bind.source, message));
            continue;
        };
        let (what, rest) = if bind.directory { ("files under", "; other files there stay") } else { ("the file", "") };
        draft.steps.push(format!("Overwrite {what} {} on the host with {}{rest}", bind.source, size(stream.length)));
        draft.destructive = true;
        draft.reads(Some(stream));
        let logs = logs(draft, snapshot, &bind.source);
        draft.deed.paths.push(PathDeed {
            source: bind.source.clone(),
            directory: bind.directory,
            stream: stream.clone(),
            logs,
        });
    }
}

/// Writes a volume's content and reads it back. The answer is what could not be put back as it was.
pub(crate) async fn fill(hand: &Hand, volume: &VolumeDeed) -> Result<Vec<Problem>> {
    let Some(stream) = &volume.stream else { return Ok(Vec::new()) };
    let doing = |error: Error| error.while_doing(format!("volume {} could not be restored", called(&volume.name)));
    // What an engine's archive told, an engine's archive takes, if it can be trusted with it.
    if (stream.tree || !hand.true_archives)
        && let Some(problems) = fill::fill(hand, &volume.name, stream).await.map_err(doing)?
    {
        return Ok(problems);
    }
    let helper = Helper::make(&hand.engine, &hand.owner, &volume.name).await?;
    let done = async {
        files::write(hand, helper.id(), "/", stream, None).await?;
        files::verify(hand, helper.id(), MOUNT, stream, &Tolerance::default()).await
    };
    let done = done.await;
    helper.remove().await;
    done.map(|_| Vec::new()).map_err(doing)
}

/// Takes everything out of a volume that is there, and proves that it is empty.
///
/// Docker offers no call for it. But an archive that puts a file where a mount is makes the engine clear the way:
/// it removes what is in the directory, then fails at the mount itself. The answer says nothing; what
/// is read afterwards does. `Conflict` (`volume.not_emptied`) if something is left.
pub(crate) async fn empty(hand: &Hand, volume: &str) -> Result<()> {
    if !hand.true_archives {
        return fill::clear(hand, volume).await.map_err(|error| {
            let text = format!("the old content of volume {} could not be taken out", called(volume));
            Error::new(Kind::Conflict, "volume.not_emptied", text).caused_by(error)
        });
    }
    let helper = Helper::make(&hand.engine, &hand.owner, volume).await?;
    let emptied = async {
        let name = MOUNT.trim_start_matches('/').as_bytes();
        let archive = [write::Entry::file(name, 0).header()?, write::TRAILER.to_vec()].concat();
        let archive: ByteStream = Box::pin(futures::stream::iter([Ok(archive.into())]));
        let answer = hand.engine.archive_put(helper.id(), "/", archive).await;
        if let Err(error) = answer {
            tracing::debug!(volume, answer = error.chain(), "the engine cleared a volume");
        }
        verify::is_empty_directory(hand.engine.archive_get(helper.id(), MOUNT).await?).await
    };
    let emptied = emptied.await;
    helper.remove().await;
    if emptied? {
        return Ok(());
    }
    Err(Error::new(
        Kind::Conflict,
        "volume.not_emptied",
        format!("the old content of volume {} could not be taken out", called(volume)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::snapshot::StreamRef;

    #[test]
    fn a_volume_is_left_to_the_host_if_nothing_is_written_to_what_it_has() {
        let ground = |action, entries: Option<u64>, driver: &str, options: Value| {
            let stream = entries.map(|entries| StreamRef { entries, ..StreamRef::default() });
            let body = json!({"Name": "v", "Driver": driver, "DriverOpts": options});
            ground_of(&VolumeDeed { name: "v".into(), body, action, folder: None, stream, logs: Vec::new() })
        };
        let (plain, memory, share) = (Value::Null, json!({"type": "tmpfs"}), json!({"type": "nfs", "device": ":/srv"}));
        assert_eq!(ground(VolumeAction::Refill, Some(9), "local", plain.clone()), Ground::Written);
        assert_eq!(ground(VolumeAction::Adopt, Some(9), "local", share.clone()), Ground::Written);
        assert_eq!(ground(VolumeAction::Refill, Some(1), "local", plain.clone()), Ground::Empty);
        assert_eq!(ground(VolumeAction::Create, None, "local", plain.clone()), Ground::Empty);
        assert_eq!(ground(VolumeAction::Keep, None, "local", memory), Ground::Empty);
        assert_eq!(ground(VolumeAction::Keep, None, "local", plain.clone()), Ground::Left);
        assert_eq!(ground(VolumeAction::Create, None, "local", share), Ground::Left);
        assert_eq!(ground(VolumeAction::Create, None, "rexray", plain), Ground::Left);
    }
}
