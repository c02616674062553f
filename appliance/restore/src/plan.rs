//! The plan: everything decided against the host as it is, nothing changed (law L7).

use crate::{
    Ask, Plan, containers,
    deed::{Deed, OldDeed, VolumeAction, Way},
    fill::log_folders,
    images,
    json::size,
    names::{self, Names},
    narrow, networks, ports,
    probe::Probe,
    redirect::{self, Written},
    survey::{Present, Survey},
    volumes,
};
use holdfast_docker::Engine;
use holdfast_model::{
    Error, Problem, Result,
    snapshot::{DatabaseSection, Readiness, Snapshot, StreamRef},
    view::{PortChange, Target, WayOut},
};
use std::{collections::HashSet, sync::Arc};

/// A plan in the making.
pub(crate) struct Draft {
    pub(crate) names: Names,
    pub(crate) steps: Vec<String>,
    pub(crate) conflicts: Vec<Problem>,
    pub(crate) notes: Vec<Problem>,
    pub(crate) destructive: bool,
    pub(crate) bytes: u64,
    pub(crate) streams: Vec<StreamRef>,
    /// Ways that were chosen round what the host lacks.
    pub(crate) ways: Vec<WayOut>,
    pub(crate) ports: Vec<PortChange>,
    pub(crate) deed: Deed,
}

impl Draft {
    fn new(snapshot: &Snapshot, ask: &Ask, way: Way, names: Names) -> Draft {
        Draft {
            names,
            steps: Vec::new(),
            conflicts: Vec::new(),
            notes: Vec::new(),
            destructive: false,
            bytes: 0,
            streams: Vec::new(),
            ways: ask.ways.clone(),
            ports: ask.ports.clone(),
            deed: Deed {
                snapshot: snapshot.id.clone(),
                way,
                services: ask.services.clone(),
                no_ports: ask.no_ports,
                no_addresses: ask.no_addresses,
                trace: ask.trace.clone(),
                owner: ask.owner.clone(),
                images: Vec::new(),
                prove: Vec::new(),
                networks: Vec::new(),
                old: Vec::new(),
                hold: Vec::new(),
                volumes: Vec::new(),
                paths: Vec::new(),
                containers: Vec::new(),
            },
        }
    }

    /// A stream that will be read and written to the host.
    pub(crate) fn reads(&mut self, stream: Option<&StreamRef>) {
        if let Some(stream) = stream {
            self.bytes += stream.length;
            self.streams.push(stream.clone());
        }
    }

    fn finish(mut self, name: String, survey: &Survey) -> Plan {
        check_space(&mut self, survey);
        self.conflicts.extend(ourselves(self.deed.old.iter().chain(&self.deed.hold), survey.own.as_deref()));
        self.prove();
        // One problem is named once, however many containers share it.
        let mut seen = HashSet::new();
        self.notes.retain(|note| seen.insert((note.code.clone(), note.subject.clone(), note.message.clone())));
        seen.clear();
        self.conflicts.retain(|found| seen.insert((found.code.clone(), found.subject.clone(), found.message.clone())));
        Plan {
            name,
            steps: self.steps,
            conflicts: self.conflicts,
            notes: self.notes,
            destructive: self.destructive,
            bytes: self.bytes,
            streams: self.streams,
            deed: self.deed,
        }
    }

    /// Before content that is there is replaced, everything that shall take its place is read once:
    /// a snapshot that cannot be read must not cost the data that is there.
    fn prove(&mut self) {
        let replaces = |action| matches!(action, VolumeAction::Refill | VolumeAction::Adopt);
        let refills = self.deed.volumes.iter().any(|volume| replaces(volume.action));
        if !refills && self.deed.paths.is_empty() {
            return;
        }
        let volumes = self.deed.volumes.iter().filter_map(|volume| volume.stream.clone());
        let paths = self.deed.paths.iter().map(|path| path.stream.clone());
        let replays = self.deed.containers.iter().flat_map(|container| &container.replays);
        let dumps = replays.map(|replay| replay.dump.clone());
        let logs = self.deed.volumes.iter().flat_map(|volume| &volume.logs);
        let logs = logs.chain(self.deed.paths.iter().flat_map(|path| &path.logs)).map(|log| log.stream.clone());
        self.deed.prove = volumes.chain(paths).chain(dumps).chain(logs).collect();
        let bytes: u64 = self.deed.prove.iter().map(|stream| stream.length).sum();
        let changes_nothing = |step: &&String| step.contains(" image ") || step.contains("safety snapshot");
        let at = self.steps.iter().take_while(changes_nothing).count();
        self.steps.insert(at, format!("Read {} once to prove that the snapshot is whole", size(bytes)));
    }
}

/// Plans; changes nothing, but for helpers that are created to ask the engine what it can give, and removed at once.
/// `Invalid` (`name.invalid`, `port.invalid`) and `NotFound` (`volume.unknown`) for what cannot be
/// asked; what stands in the way on the host is among the plan's conflicts.
pub async fn plan(engine: &Arc<dyn Engine>, snapshot: &Snapshot, ask: &Ask) -> Result<Plan> {
    let survey = Survey::with_abilities(engine.as_ref()).await?;
    let way = match ask.target {
        Target::Beside => Way::Beside,
        Target::InPlace => Way::InPlace,
        Target::Host { .. } => Way::Host,
    };
    match &ask.volume {
        Some(volume) => one_volume(engine, (snapshot, &survey), ask, way, volume).await,
        None => app(engine, snapshot, ask, way, &survey).await,
    }
}

/// The app, or chosen services of it.
async fn app(engine: &Arc<dyn Engine>, whole: &Snapshot, ask: &Ask, way: Way, survey: &Survey) -> Result<Plan> {
    let part = narrow::narrowed(whole, &ask.services)?;
    let snapshot = part.as_ref();
    ports::check(&ask.ports, snapshot)?;
    let (name, names) = new_name(snapshot, ask, way)?;
    let mut draft = Draft::new(snapshot, ask, way, names);
    let is_there = |name: &str| way != Way::Beside && survey.container_named(name).is_some();
    narrow::tell(&mut draft, whole, snapshot, is_there)?;
    if way != Way::Beside {
        draft.steps.push(format!("Take a safety snapshot of {} as it is now, as far as it is there", snapshot.app));
    }
    // A service may join the rest of its app on another host.
    if way == Way::Beside || (way == Way::Host && ask.services.is_empty()) {
        check_members(&mut draft, snapshot, &name, survey);
    }
    check_platform(&mut draft, snapshot, survey);
    images::plan(&mut draft, engine.as_ref(), snapshot).await?;
    if way == Way::InPlace && whole.is_of_places() {
        // There is nothing to put in the place of the app, which stays.
        hold_users_of_places(&mut draft, snapshot, survey);
    } else {
        containers::plan_old(&mut draft, snapshot, survey);
    }
    let fates = networks::plan(&mut draft, engine.as_ref(), snapshot, survey).await?;
    let mapping = volumes::plan(&mut draft, snapshot, survey)?;
    find_links(&mut draft, engine, ask, (whole, survey)).await?;
    let probe = Probe::new(engine, &ask.owner);
    containers::plan(&mut draft, snapshot, survey, probe, (&fates, &mapping)).await?;
    if draft.deed.old.is_empty() && !draft.destructive && way != Way::Beside {
        draft.steps.remove(0);
    }
    start_again(&mut draft);
    let untrusted = read_live(snapshot).filter(|(database, _)| !database.replays());
    draft.notes.extend(untrusted.map(|(_, note)| note));
    if !draft.deed.old.is_empty() {
        draft.steps.push(format!("Remove the {} containers put aside", draft.deed.old.len()));
    }
    Ok(draft.finish(name, survey))
}

/// Folders of the host whose content would be replaced, and that lead elsewhere by now.
async fn find_links(
    draft: &mut Draft,
    engine: &Arc<dyn Engine>,
    ask: &Ask,
    (whole, survey): (&Snapshot, &Survey),
) -> Result<()> {
    let logs = draft.deed.paths.iter().flat_map(|path| log_folders(&path.source, &path.logs));
    let paths = draft.deed.paths.iter().map(|path| path.source.clone()).chain(logs);
    let folders: Vec<String> = paths.chain(draft.deed.volumes.iter().filter_map(|one| one.folder.clone())).collect();
    if folders.is_empty() {
        return Ok(());
    }
    let written = Written::of(whole, survey)?;
    for folder in folders {
        draft.conflicts.extend(redirect::redirected(engine, &ask.owner, &folder, &written).await?);
    }
    Ok(())
}

fn new_name(snapshot: &Snapshot, ask: &Ask, way: Way) -> Result<(String, Names)> {
    if way != Way::Beside {
        if let Some(name) = ask.name.as_ref().filter(|name| **name != snapshot.app) {
            let text = format!("an app that is restored under its own name cannot be called {name}");
            return Err(
                Error::invalid("name.invalid", text).advice("Leave the name out, or restore beside the original.")
            );
        }
        return Ok((snapshot.app.clone(), Names::same()));
    }
    let name = ask.name.clone().unwrap_or_else(|| format!("{}-restore", snapshot.app));
    names::check(&name)?;
    if name == snapshot.app {
        let text = format!("a copy beside {name} needs another name");
        return Err(Error::invalid("name.invalid", text).advice("Choose another name, or restore in place."));
    }
    let names = Names::changed(&snapshot.app, &name, snapshot.project);
    Ok((name, names))
}

/// An app of that name would be mixed with the restored one.
fn check_members(draft: &mut Draft, snapshot: &Snapshot, name: &str, survey: &Survey) {
    if !snapshot.project {
        return;
    }
    if let Some(member) = survey.members(name, true).first() {
        let message = format!("an app {name} is there already, with container {}", member.name);
        let problem = Problem::error("name.taken", name, message);
        draft.conflicts.push(problem.advice("Choose another name, or remove that app."));
    }
}

fn check_platform(draft: &mut Draft, snapshot: &Snapshot, survey: &Survey) {
    let (was, is) = (&snapshot.engine.platform, &survey.info.platform);
    if was != is && !was.is_empty() && !is.is_empty() {
        let message = format!("{} was backed up on {was} and may not run on {is}", snapshot.app);
        draft.notes.push(Problem::warning("platform.differs", &snapshot.app, message));
    }
}

/// A disk that fills up stops more than the restore. It is no conflict: holes of files take no room, and volumes may lie on other disks.
fn check_space(draft: &mut Draft, survey: &Survey) {
    let Some(free) = survey.info.free_bytes else { return };
    // What is replaced makes room first, and host paths may lie on other disks.
    let refilled = draft.deed.volumes.iter().filter(|volume| volume.action == VolumeAction::Refill);
    let refilled: u64 = refilled.filter_map(|volume| Some(volume.stream.as_ref()?.length)).sum();
    let paths: u64 = draft.deed.paths.iter().map(|path| path.stream.length).sum();
    let needed = draft.bytes.saturating_sub(refilled + paths);
    if needed > free {
        let message = format!(
            "the restore writes up to {}, and the host has {} free where its engine keeps its data; it may fill that disk",
            size(needed),
            size(free)
        );
        let problem = Problem::warning("space.short", &survey.info.name, message);
        draft
            .notes
            .push(problem.advice("Free space under the engine's data directory first, or restore a part of it."));
    }
}

async fn one_volume(
    engine: &Arc<dyn Engine>,
    (snapshot, survey): (&Snapshot, &Survey),
    ask: &Ask,
    way: Way,
    volume: &str,
) -> Result<Plan> {
    let Some(section) = snapshot.volumes.iter().find(|section| section.name == volume) else {
        let text = format!("this snapshot of {} has no volume {volume}", snapshot.app);
        return Err(Error::not_found("volume.unknown", text).advice("List the snapshot's volumes."));
    };
    let Some(stream) = &section.stream else {
        let text = format!("the content of volume {volume} was not captured in this snapshot");
        return Err(Error::not_found("volume.not_captured", text).advice("Choose another snapshot."));
    };
    let name = match (way, &ask.name) {
        (Way::Beside, name) => name.clone().unwrap_or_else(|| format!("{volume}-restore")),
        (_, _) => volume.to_owned(),
    };
    names::check(&name)?;
    if way == Way::Beside && name == volume {
        let text = format!("a copy beside volume {name} needs another name");
        return Err(Error::invalid("name.invalid", text).advice("Choose another name, or restore in place."));
    }
    // The project label would make compose take a copy for the original.
    let names = if way == Way::Beside { Names::changed(&snapshot.app, &name, false) } else { Names::same() };
    let mut draft = Draft::new(snapshot, ask, way, names);
    let is_there = way == Way::InPlace && survey.volume(&name).is_some();
    if is_there {
        hold_users(&mut draft, survey.users_of_volume(&name));
    }
    volumes::plan_one(&mut draft, (snapshot, section), &name, survey)?;
    if is_there || draft.destructive {
        draft
            .steps
            .insert(0, format!("Take a safety snapshot of {} as it is now, as far as it is there", snapshot.app));
    }
    find_links(&mut draft, engine, ask, (snapshot, survey)).await?;
    start_again(&mut draft);
    let logs = draft.deed.volumes.iter().flat_map(|volume| &volume.logs).map(|log| log.stream.length);
    debug_assert!(draft.bytes == stream.length + logs.sum::<u64>());
    let here = read_live(snapshot).filter(|(database, _)| database.is_in(&section.name));
    draft.notes.extend(here.map(|(_, note)| note));
    Ok(draft.finish(name, survey))
}

/// Databases whose files were read while they wrote, with what is to be told of each where its dump is not replayed.
fn read_live(snapshot: &Snapshot) -> impl Iterator<Item = (&DatabaseSection, Problem)> {
    let live = snapshot.databases.iter().filter(|database| database.readiness == Readiness::Live);
    live.map(|database| {
        let (title, container) = (database.kind.title(), &database.container);
        let message = match &database.file {
            Some(file) => format!(
                "{}, a database of {title}, was read while {container} could write to it; if it did, it cannot be trusted",
                file.path
            ),
            None => format!("{title} in {container} wrote while its files were read; they cannot be trusted"),
        };
        let note = Problem::warning("database.read_live", container, message);
        let note = if database.replays() { note.advice("Restore the whole app: its dump is replayed then.") } else { note };
        (database, note)
    })
}

/// Containers that use what is written to and run are stopped for the time of writing.
fn hold_users(draft: &mut Draft, users: Vec<Present>) {
    for user in users.into_iter().filter(|user| user.running) {
        if draft.deed.hold.iter().any(|held| held.id == user.id) {
            continue;
        }
        draft.steps.push(format!("Stop {}, which uses it", user.name));
        let aside = user.name.clone();
        draft.deed.hold.push(OldDeed { id: user.id, name: user.name, aside, running: true });
    }
}

/// The same for all places of a snapshot.
fn hold_users_of_places(draft: &mut Draft, snapshot: &Snapshot, survey: &Survey) {
    for volume in snapshot.volumes.iter().filter(|volume| volume.stream.is_some()) {
        hold_users(draft, survey.users_of_volume(&volume.name));
    }
    for bind in snapshot.binds.iter().filter(|bind| bind.stream.is_some()) {
        hold_users(draft, survey.users_of_path(&bind.source));
    }
}

/// Who is stopped cannot go on: the appliance in a container of its own is put aside or held by no restore of its own.
fn ourselves<'a>(mut stopped: impl Iterator<Item = &'a OldDeed>, own: Option<&str>) -> Option<Problem> {
    let own = stopped.find(|one| Some(one.id.as_str()) == own)?;
    let text = format!("this appliance itself runs in container {}, which the restore would stop", own.name);
    Some(Problem::error("restore.ourselves", &own.name, text).advice("Restore it beside, or from another appliance."))
}

fn start_again(draft: &mut Draft) {
    let held = draft.deed.hold.iter().filter(|held| held.running);
    draft.steps.extend(held.map(|held| format!("Start {} again", held.name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_appliance_does_not_stop_itself() {
        let stopped =
            ["a1", "b2"].map(|id| OldDeed { id: id.into(), name: "x".into(), aside: "x".into(), running: true });
        assert_eq!(ourselves(stopped.iter(), Some("b2")).unwrap().code, "restore.ourselves");
        assert!(ourselves(stopped.iter(), Some("c3")).is_none() && ourselves(stopped.iter(), None).is_none());
    }
}
