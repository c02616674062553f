//! Containers: planned, made, filled, and compared with what they were.

use crate::{
    body::{self, Context},
    carry::Hand,
    deed::{Await, ContainerDeed, OldDeed, Replay, Way},
    files,
    json::{label, size, text},
    lacks,
    narrow::is_chosen,
    networks::Fate,
    normalise::{differences, normalise},
    order::order,
    plan::Draft,
    ports,
    probe::Probe,
    replay,
    survey::{ASIDE, Survey},
    undo::Undo,
    verify::{self, Tolerance},
    volumes::Mapping,
};
use holdfast_model::{
    Error, Kind, Problem, Result,
    snapshot::{ContainerSection, DELETIONS_MAX, LayerPart, RunState, Snapshot},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Compose's list of `service:condition:restart`.
pub(crate) const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// Deleted paths that a note names; the rest is counted.
const NAMED_PATHS: usize = 3;

/// Plans what becomes of the app's containers that are there: aside in place, in the way elsewhere.
pub(crate) fn plan_old(draft: &mut Draft, snapshot: &Snapshot, survey: &Survey) {
    for member in survey.members(&snapshot.app, snapshot.project) {
        let services = &draft.deed.services;
        let is_meant = services.is_empty() || is_chosen(member.service.as_deref(), &member.name, services);
        if draft.deed.way != Way::InPlace || !is_meant {
            continue;
        }
        let aside = if member.name.contains(ASIDE) {
            member.name.clone()
        } else {
            format!("{}{ASIDE}{}", member.name, member.id.get(..12).unwrap_or(&member.id))
        };
        let (stop, what) =
            if member.running { ("Stop container", " and put it aside") } else { ("Put container", " aside") };
        draft.steps.push(format!("{stop} {}{what}", member.name));
        draft.destructive = true;
        draft.deed.old.push(OldDeed { id: member.id, name: member.name, aside, running: member.running });
    }
}

/// Plans all containers of the snapshot.
pub(crate) async fn plan(
    draft: &mut Draft,
    snapshot: &Snapshot,
    survey: &Survey,
    mut probe: Probe<'_>,
    (networks, mapping): (&BTreeMap<String, Fate>, &Mapping),
) -> Result<()> {
    let mut inspects = snapshot.containers.iter().map(|c| c.inspect.parse()).collect::<Result<Vec<Value>>>()?;
    for (container, inspect) in snapshot.containers.iter().zip(&mut inspects) {
        lacks::ease(draft, &mut probe, container, inspect, (snapshot, survey)).await?;
    }
    lacks::unasked(draft, &probe, survey);
    let names: Vec<String> = snapshot.containers.iter().map(|c| draft.names.container(&c.name)).collect();
    let known = known(snapshot, &inspects, &names);
    let context = Context {
        way: draft.deed.way,
        networks,
        volumes: &mapping.volumes,
        empty: &mapping.empty,
        binds: &mapping.binds,
        leaves_podman: snapshot.engine.product == "podman" && survey.info.product != "podman",
        containers: &known,
        no_ports: draft.deed.no_ports,
        ports: &draft.ports.clone(),
        mac_per_network: api_at_least(&survey.info.api_version, (1, 44)),
    };
    let (waits, sequence) = dependencies(snapshot, &inspects);
    for &section in &sequence {
        let container = &snapshot.containers[section];
        check(draft, container, &inspects[section], &names[section], survey);
        let Some(image) = snapshot.images.iter().position(|image| image.id == container.image) else {
            let message = format!("the image of {} is not in the snapshot", container.name);
            draft.conflicts.push(Problem::error("image.not_captured", &container.name, message));
            continue;
        };
        let mut made = body::make(&container.name, &inspects[section], &context);
        draft.names.relabel(&mut made.json);
        draft.notes.append(&mut made.notes);
        note_layer(draft, container);
        let sealed = body::is_sealed(&inspects[section]);
        if sealed && !container.layer.is_empty() {
            draft.notes.push(sealed_layer(&container.name));
        }
        let written: &[LayerPart] = if sealed { &[] } else { &container.layer };
        let layer: u64 = written.iter().map(|part| part.stream.length).sum();
        written.iter().for_each(|part| draft.reads(Some(&part.stream)));
        let and = if layer > 0 { format!(" and write {} of changed files", size(layer)) } else { String::new() };
        draft.steps.push(format!("Create container {}{and}", names[section]));
        let replays = replays(draft, snapshot, (container, &inspects[section]), survey);
        draft.deed.containers.push(ContainerDeed {
            section,
            name: names[section].clone(),
            body: made.json,
            image: (text(&inspects[section], "/Config/Image").to_owned(), image),
            connects: made.connects,
            files: made.files,
            start: container.state != RunState::Stopped,
            replays,
            after: waits[section].clone(),
        });
    }
    starts(draft, snapshot);
    Ok(())
}

/// What is replayed in a container. What is not, though its files were read while it wrote, is told.
fn replays(
    draft: &mut Draft,
    snapshot: &Snapshot,
    described: (&ContainerSection, &Value),
    survey: &Survey,
) -> Vec<Replay> {
    let (replays, told) = replay::of(draft, snapshot, described, survey);
    draft.notes.extend(told);
    replays.iter().for_each(|replay| draft.reads(Some(&replay.dump)));
    replays
}

fn starts(draft: &mut Draft, snapshot: &Snapshot) {
    let position: BTreeMap<usize, usize> =
        draft.deed.containers.iter().enumerate().map(|(at, deed)| (deed.section, at)).collect();
    for deed in &mut draft.deed.containers {
        // From sections to places in the deed.
        deed.after = deed.after.iter().filter_map(|(section, wait)| Some((*position.get(section)?, *wait))).collect();
        let state = snapshot.containers[deed.section].state;
        match state {
            RunState::Running => draft.steps.push(format!("Start {}", deed.name)),
            RunState::Paused => {
                draft.steps.push(format!("Start {}", deed.name));
                let message = format!("{} was paused when it was backed up; it will run", deed.name);
                draft.notes.push(Problem::note("container.was_paused", &deed.name, message));
            }
            RunState::Stopped => {}
        }
        for replay in &deed.replays {
            let (kind, bytes) = (replay.kind.title(), size(replay.dump.length));
            draft.steps.push(format!(
                "Replay the dump of {kind} ({bytes}) in {}, whose files were read while it wrote; what it does not hold goes",
                deed.name
            ));
        }
    }
}

/// Ids and names of the app's containers to their new names.
fn known(snapshot: &Snapshot, inspects: &[Value], names: &[String]) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for ((container, inspect), name) in snapshot.containers.iter().zip(inspects).zip(names) {
        known.insert(container.name.clone(), name.clone());
        let id = text(inspect, "/Id");
        known.insert(id.to_owned(), name.clone());
        if let Some(short) = id.get(..12) {
            known.insert(short.to_owned(), name.clone());
        }
    }
    known
}

/// For each section, the sections it waits for; and an order in which to make and start them.
fn dependencies(snapshot: &Snapshot, inspects: &[Value]) -> (Vec<Vec<(usize, Await)>>, Vec<usize>) {
    let sections = &snapshot.containers;
    let mut waits = Vec::new();
    let mut needs = Vec::new();
    for (section, inspect) in sections.iter().zip(inspects) {
        let conditions = conditions(label(inspect, "/Config/Labels", DEPENDS_ON).unwrap_or_default());
        let mut wait: Vec<(usize, Await)> = Vec::new();
        for (at, other) in sections.iter().enumerate() {
            let Some(service) = other.service.as_deref() else { continue };
            let condition = conditions.iter().find(|(name, _)| name == service).map(|(_, condition)| *condition);
            if condition.is_some() || section.depends_on.iter().any(|name| name == service) {
                wait.push((at, condition.unwrap_or(Await::Started)));
            }
        }
        let named = body::needs(inspect);
        let mut need: Vec<usize> = wait.iter().map(|(at, _)| *at).collect();
        need.extend(
            (0..sections.len()).filter(|&at| {
                named.iter().any(|name| *name == sections[at].name || name == text(&inspects[at], "/Id"))
            }),
        );
        waits.push(wait);
        needs.push(need);
    }
    (waits, order(&needs))
}

/// `db:service_healthy:false,cache:service_started:true`.
pub(crate) fn conditions(label: &str) -> Vec<(String, Await)> {
    let one = |item: &str| {
        let mut parts = item.split(':');
        let service = parts.next().filter(|service| !service.is_empty())?;
        let wait = match parts.next() {
            Some("service_healthy") => Await::Healthy,
            Some("service_completed_successfully") => Await::Completed,
            _ => Await::Started,
        };
        Some((service.to_owned(), wait))
    };
    label.split(',').filter_map(one).collect()
}

/// Names and ports that others hold.
fn check(draft: &mut Draft, container: &ContainerSection, inspect: &Value, name: &str, survey: &Survey) {
    let own: Vec<String> = draft.deed.old.iter().map(|old| old.id.clone()).collect();
    if let Some(holder) = survey.container_named(name).filter(|holder| !own.contains(&holder.id)) {
        let problem = Problem::error("name.taken", name, format!("a container {} is there already", holder.name));
        draft.conflicts.push(problem.advice(match draft.deed.way {
            Way::Beside => "Choose another name (--as NAME), or remove the container.",
            _ => "Remove or rename the container, or restore beside the original (--as NAME).",
        }));
    }
    let publishes = draft.deed.way != Way::Beside && !draft.deed.no_ports;
    if container.state != RunState::Stopped {
        let wanted = ports::wanted(inspect, &draft.ports, publishes);
        draft.conflicts.extend(ports::conflicts(name, &wanted, survey, &own));
    }
}

fn note_layer(draft: &mut Draft, container: &ContainerSection) {
    let deleted: Vec<&str> = container.deletions().collect();
    if deleted.is_empty() {
        return;
    }
    let named = deleted.iter().take(NAMED_PATHS).copied().collect::<Vec<_>>().join(", ");
    let more = deleted.len().saturating_sub(NAMED_PATHS);
    // Of very many a snapshot does not name all.
    let at_least = if deleted.len() >= DELETIONS_MAX { "at least " } else { "" };
    let rest = if more > 0 { format!(" and {at_least}{more} more") } else { String::new() };
    let message = format!("{} had deleted files of its image; they are there again: {named}{rest}", container.name);
    draft.notes.push(Problem::note("layer.deleted", &container.name, message));
}

/// Nobody can write into a container whose root is read-only, so what differs there from the image is the engine's own:
/// places to mount at, a folder to work in. It makes them again.
fn sealed_layer(name: &str) -> Problem {
    let message = format!("the root of {name} is read-only; what the engine changed in it is left to the engine again");
    Problem::note("layer.read_only", name, message)
}

fn api_at_least(version: &str, least: (u32, u32)) -> bool {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= least
}

/// Makes one container from its plan, connects and fills it; returns its id.
pub(crate) async fn make(
    hand: &Hand,
    section: &ContainerSection,
    deed: &ContainerDeed,
    image: &str,
    undo: &mut Undo,
    problems: &mut Vec<Problem>,
) -> Result<String> {
    let mut body = deed.body.clone();
    crate::json::object(&mut body).insert("Image".into(), json!(image));
    let id = hand
        .engine
        .container_create(&deed.name, &body)
        .await
        .map_err(|error| error.while_doing(format!("container {} could not be created", deed.name)))?;
    undo.made(&id, &deed.name).await?;
    for (network, endpoint) in &deed.connects {
        hand.engine
            .network_connect(network, &id, endpoint)
            .await
            .map_err(|error| error.while_doing(format!("container {} could not join network {network}", deed.name)))?;
    }
    // Backwards: the attributes of a changed folder come before what lies in it, and writing into it moves its time.
    let written: &[LayerPart] = if body::is_sealed(&deed.body) { &[] } else { &section.layer };
    for part in written.iter().rev() {
        if let Some(problem) = layer(hand, &deed.name, &id, part).await? {
            problems.push(problem);
        }
    }
    for file in &deed.files {
        files::restore_file(hand, &id, file).await?;
    }
    Ok(id)
}

/// Writes one part of the writable layer. What the engine refuses to take is a problem, not the end.
async fn layer(hand: &Hand, name: &str, id: &str, part: &LayerPart) -> Result<Option<Problem>> {
    match files::write(hand, id, &part.into, &part.stream, None).await {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid) => {
            let message = format!("changed files in {} of {name} were not restored: {}", part.into, error.chain());
            return Ok(Some(Problem::error("layer.refused", name, message)));
        }
        Err(error) => return Err(error.while_doing(format!("changed files of {name} could not be restored"))),
    }
    let first = verify::first_name(hand.source.open(&part.stream).await?).await?;
    let Some(Ok(first)) = first.map(String::from_utf8) else { return Ok(None) };
    let path = format!("{}/{first}", part.into.trim_end_matches('/'));
    let tolerance = Tolerance { extra: true, ..Tolerance::default() };
    let compared = files::verify(hand, id, &path, &part.stream, &tolerance).await;
    compared.map(|_| None).map_err(|error| error.while_doing(format!("changed files of {name} could not be verified")))
}

/// What differs between the new container and the recorded one, as notes.
pub(crate) async fn compare(hand: &Hand, section: &ContainerSection, id: &str) -> Result<Option<Problem>> {
    let now: Value = serde_json::from_str(&hand.engine.container_inspect(id).await?).map_err(|error| {
        Error::new(Kind::Corrupt, "inspect.malformed", "the host described a new container in no JSON").caused_by(error)
    })?;
    let found = differences(&normalise(&section.inspect.parse()?), &normalise(&now));
    if found.is_empty() {
        return Ok(None);
    }
    let message = format!("{} was made anew with a difference in {}", section.name, found.join(", "));
    Ok(Some(Problem::note("container.differs", &section.name, message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_from_composes_label() {
        let found =
            conditions("db:service_healthy:false,cache:service_started:true,init:service_completed_successfully:false");
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["db", "cache", "init"]);
        assert_eq!(found.iter().map(|f| f.1).collect::<Vec<_>>(), [Await::Healthy, Await::Started, Await::Completed]);
        assert!(conditions("").is_empty());
    }

    #[test]
    fn api_versions_compare_as_numbers() {
        assert!(api_at_least("1.44", (1, 44)) && api_at_least("1.100", (1, 44)) && !api_at_least("1.41", (1, 44)));
        assert!(!api_at_least("", (1, 44)));
    }
}
