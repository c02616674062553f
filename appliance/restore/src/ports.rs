//! Published ports: which ones a container wants, and who holds them already. Pure.

use crate::{
    json::{list, members, text},
    survey::Survey,
};
use holdfast_model::{Error, Problem, Result, snapshot::Snapshot, view::PortChange};
use serde_json::Value;
use std::collections::BTreeSet;

/// A host port that a container asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    address: String,
    port: u16,
    protocol: String,
}

/// Fixed host ports of a container, from its recorded description. Ports that the engine picks
/// (empty or 0) and ranges (the engine picks within) cannot be checked before the start.
///
/// Changed ones count with their new port, and are all that counts if the rest is not published.
pub(crate) fn wanted(inspect: &Value, changes: &[PortChange], publishes: bool) -> Vec<Wanted> {
    let mut found = Vec::new();
    for (inside, bindings) in members(inspect, "/HostConfig/PortBindings") {
        let protocol = inside.split_once('/').map_or("tcp", |(_, protocol)| protocol);
        for binding in list(bindings, "") {
            let Ok(port @ 1..) = text(binding, "/HostPort").parse::<u16>() else { continue };
            let port = match change_of(binding, changes) {
                Some(change) => change.to,
                None if publishes => port,
                None => continue,
            };
            let address = text(binding, "/HostIp").to_owned();
            found.push(Wanted { address, port, protocol: protocol.to_owned() });
        }
    }
    found
}

/// What becomes of a recorded binding, if it gets another port.
pub(crate) fn change_of(binding: &Value, changes: &[PortChange]) -> Option<PortChange> {
    let port = text(binding, "/HostPort").parse::<u16>().ok()?;
    changes.iter().find(|change| change.from == port).copied()
}

/// Whether changes can be meant: of ports that the app publishes, each once, to ports that exist. `Invalid` (`port.invalid`).
pub(crate) fn check(changes: &[PortChange], snapshot: &Snapshot) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut published = BTreeSet::new();
    for container in &snapshot.containers {
        for (_, bindings) in members(&container.inspect.parse()?, "/HostConfig/PortBindings") {
            published.extend(list(bindings, "").iter().filter_map(|one| text(one, "/HostPort").parse::<u16>().ok()));
        }
    }
    published.remove(&0);
    let known = published.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    for (at, change) in changes.iter().enumerate() {
        let wrong = if !published.contains(&change.from) {
            format!("{} publishes no port {}", snapshot.app, change.from)
        } else if change.to == 0 {
            "port 0 is no port to publish".to_owned()
        } else if changes[..at].iter().any(|other| other.from == change.from) {
            format!("port {} is given another one twice", change.from)
        } else if changes.iter().any(|other| other.from != change.from && other.to == change.to)
            || (published.contains(&change.to) && changes.iter().all(|other| other.from != change.to))
        {
            format!("port {} would be published twice", change.to)
        } else {
            continue;
        };
        return Err(Error::invalid("port.invalid", wrong).advice(format!("It publishes: {known}.")));
    }
    Ok(())
}

/// Ports that running containers other than `own` (ids) hold.
pub(crate) fn conflicts(container: &str, wanted: &[Wanted], survey: &Survey, own: &[String]) -> Vec<Problem> {
    let mut found: Vec<Problem> = Vec::new();
    for want in wanted {
        let holder = survey.open_ports().find(|(holder, address, port, protocol)| {
            !own.contains(&holder.id)
                && *port == want.port
                && *protocol == want.protocol
                && addresses_meet(address, &want.address)
        });
        if let Some((holder, ..)) = holder {
            let what = format!("{}/{}", want.port, want.protocol);
            let message = format!("{container} needs host port {what}, which container {} holds", holder.name);
            let advice = format!(
                "Stop {}, publish another port (--port {}=OTHER) or none (--no-ports), or restore beside the original (--as NAME), where none are published.",
                holder.name, want.port
            );
            found.push(Problem::error("port.taken", what, message).advice(advice));
        }
    }
    found
}

/// Two listeners collide when their addresses are equal or one listens on all.
fn addresses_meet(a: &str, b: &str) -> bool {
    let all = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
    all(a) || all(b) || a == b
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_fixed_ports_are_wanted() {
        let inspect = json!({"HostConfig": {"PortBindings": {
            "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "", "HostPort": "0"}],
            "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
            "90/tcp": null, "91/tcp": [{"HostPort": ""}], "92/tcp": [{"HostPort": "9000-9010"}]}}});
        let found = wanted(&inspect, &[], true);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].port, found[0].protocol.as_str()), (8080, "tcp"));
        assert_eq!((found[1].port, found[1].protocol.as_str()), (53, "udp"));
        let moved = wanted(&inspect, &[PortChange { from: 8080, to: 18080 }], false);
        assert_eq!(moved.iter().map(|want| want.port).collect::<Vec<_>>(), [18080]);
    }

    #[test]
    fn wildcards_meet_everything() {
        assert!(addresses_meet("", "127.0.0.1"));
        assert!(addresses_meet("10.0.0.1", "::"));
        assert!(!addresses_meet("127.0.0.1", "127.0.0.2"));
    }
}
