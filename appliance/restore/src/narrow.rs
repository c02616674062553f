//! A part of an app: chosen services with what they need of volumes, host paths, networks, images and databases. Pure.
//!
//! Invariant: the same choice makes the same part; a plan and its deed both work on it.

use crate::{
    body::needs,
    json::{list, members, text},
    plan::Draft,
};
use holdfast_model::{
    Error, Problem, Result,
    snapshot::{ContainerSection, DatabaseLog, Snapshot},
};
use serde_json::Value;
use std::{borrow::Cow, collections::BTreeSet};

/// Whether a container is meant by one of the names: its service, or its own name.
pub(crate) fn is_chosen(service: Option<&str>, name: &str, services: &[String]) -> bool {
    services.iter().any(|chosen| chosen == name || Some(chosen.as_str()) == service)
}

/// The snapshot with the chosen services alone; all of it if none is chosen. `NotFound` (`service.unknown`).
pub(crate) fn narrowed<'a>(snapshot: &'a Snapshot, services: &[String]) -> Result<Cow<'a, Snapshot>> {
    if services.is_empty() {
        return Ok(Cow::Borrowed(snapshot));
    }
    for chosen in services {
        if !snapshot
            .containers
            .iter()
            .any(|one| is_chosen(one.service.as_deref(), &one.name, std::slice::from_ref(chosen)))
        {
            let known: BTreeSet<&str> = snapshot.containers.iter().map(called).collect();
            let text = format!("this snapshot of {} has no service {chosen}", snapshot.app);
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Error::not_found("service.unknown", text).advice(format!("It has: {known}.")));
        }
    }
    let mut part = snapshot.clone();
    part.containers.retain(|one| is_chosen(one.service.as_deref(), &one.name, services));
    let (mut volumes, mut sources, mut networks) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for container in &part.containers {
        let inspect = container.inspect.parse()?;
        for mount in list(&inspect, "/Mounts") {
            volumes.insert(text(mount, "/Name").to_owned());
            sources.insert(text(mount, "/Source").to_owned());
        }
        networks.extend(members(&inspect, "/NetworkSettings/Networks").map(|(name, _)| name.clone()));
    }
    for network in &part.networks {
        let inspect = network.inspect.parse()?;
        if networks.contains(&network.name) {
            networks.insert(text(&inspect, "/ConfigFrom/Network").to_owned());
        }
    }
    part.volumes.retain(|volume| volumes.contains(&volume.name));
    part.binds.retain(|bind| sources.contains(&bind.source));
    part.networks.retain(|network| networks.contains(&network.name));
    part.images.retain(|image| part.containers.iter().any(|container| container.image == image.id));
    part.databases.retain(|database| match &database.file {
        Some(file) => volumes.contains(&file.place) || sources.contains(&file.place),
        None => {
            let lies_here = |log: &DatabaseLog| volumes.contains(&log.place) || sources.contains(&log.place);
            database.log.as_ref().is_some_and(lies_here)
                || part.containers.iter().any(|container| container.name == database.container)
        }
    });
    Ok(Cow::Owned(part))
}

/// What people call it.
fn called(container: &ContainerSection) -> &str {
    container.service.as_deref().unwrap_or(&container.name)
}

/// Tells what the chosen services lean on and that is not restored with them. What a container cannot be made
/// without is a conflict, unless it is there.
pub(crate) fn tell(
    draft: &mut Draft,
    whole: &Snapshot,
    part: &Snapshot,
    is_there: impl Fn(&str) -> bool,
) -> Result<()> {
    let left: Vec<(&ContainerSection, Value)> = whole
        .containers
        .iter()
        .filter(|one| part.containers.iter().all(|kept| kept.name != one.name))
        .map(|one| Ok((one, one.inspect.parse()?)))
        .collect::<Result<_>>()?;
    for container in &part.containers {
        let needed = needs(&container.inspect.parse()?);
        for (other, inspect) in &left {
            let hard = needed.iter().any(|name| *name == other.name || name == text(inspect, "/Id"));
            let soft = other.service.as_ref().is_some_and(|service| container.depends_on.contains(service));
            let (who, what) = (called(container), called(other));
            let advice = format!("Restore {what} with it (--service {what}).");
            if hard && !is_there(&other.name) {
                let message =
                    format!("{who} cannot be made without {what}, which is not there and not restored with it");
                draft.conflicts.push(Problem::error("service.needed", what, message).advice(advice));
            } else if hard || soft {
                let message = format!("{who} depends on {what}, which is not restored with it");
                draft.notes.push(Problem::note("service.dependency", what, message).advice(advice));
            }
        }
    }
    Ok(())
}
