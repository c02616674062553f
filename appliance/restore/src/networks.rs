//! Plans networks: which are made, with which addresses, and what stands in the way.
//!
//! Beside the original every network becomes an own plain bridge, shared ones included, so that a
//! copy answers under no name that others resolve.

use crate::{
    deed::{NetworkDeed, Way},
    json::{child, label, list, members, object, text, truth},
    lacks::lacks_driver,
    names::is_predefined,
    plan::Draft,
    subnet::Subnet,
    survey::{PROJECT, Survey},
};
use holdfast_docker::Engine;
use holdfast_model::{Problem, Result, snapshot::Snapshot, view::WayOut};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// What became of a network, for the containers that join it.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    pub(crate) name: String,
    /// Whether fixed addresses still hold.
    pub(crate) fixed: bool,
}

/// Plans all networks of the snapshot; returns what became of each, by its old name.
pub(crate) async fn plan(
    draft: &mut Draft,
    engine: &dyn Engine,
    snapshot: &Snapshot,
    survey: &Survey,
) -> Result<BTreeMap<String, Fate>> {
    let mut fates = BTreeMap::new();
    let own = snapshot.networks.iter().filter(|section| !is_predefined(&section.name));
    let mut sections = own.map(|section| Ok((section, section.inspect.parse()?))).collect::<Result<Vec<_>>>()?;
    // Those that others take their settings from come before these; a copy's networks have settings of their own.
    sections.sort_by_key(|(_, inspect): &(_, Value)| !truth(inspect, "/ConfigOnly"));
    sections.retain(|(_, inspect)| draft.deed.way != Way::Beside || !truth(inspect, "/ConfigOnly"));
    for (section, inspect) in sections {
        let fixed = fixed_addresses(snapshot, &section.name)?;
        let fate = match draft.deed.way {
            Way::Beside => beside(draft, &section.name, &inspect, &fixed, survey),
            Way::InPlace | Way::Host => again(draft, engine, &section.name, &inspect, &fixed, survey).await?,
        };
        fates.insert(section.name.clone(), fate);
    }
    for name in mentioned(snapshot)? {
        if let Entry::Vacant(place) = fates.entry(name) {
            let fate = uncaptured(draft, place.key(), survey);
            place.insert(fate);
        }
    }
    Ok(fates)
}

/// Names of the user-defined networks that containers join.
fn mentioned(snapshot: &Snapshot) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for container in &snapshot.containers {
        let inspect = container.inspect.parse()?;
        found.extend(members(&inspect, "/NetworkSettings/Networks").map(|(name, _)| name.clone()));
    }
    found.retain(|name| !is_predefined(name));
    Ok(found)
}

/// Addresses that containers hold by wish: (container, address).
fn fixed_addresses(snapshot: &Snapshot, network: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for container in &snapshot.containers {
        let inspect = container.inspect.parse()?;
        let Some((_, endpoint)) = members(&inspect, "/NetworkSettings/Networks").find(|(name, _)| *name == network)
        else {
            continue;
        };
        for key in ["/IPAMConfig/IPv4Address", "/IPAMConfig/IPv6Address"] {
            let address = text(endpoint, key);
            if !address.is_empty() {
                found.push((container.name.clone(), address.to_owned()));
            }
        }
    }
    Ok(found)
}

fn beside(draft: &mut Draft, old: &str, inspect: &Value, fixed: &[(String, String)], survey: &Survey) -> Fate {
    let name = draft.names.network(old);
    let mut body = body_of(&name, inspect);
    draft.names.relabel(&mut body);
    let driver = text(inspect, "/Driver");
    let is_bridge = driver.is_empty() || driver == "bridge";
    let keeps = is_bridge && !fixed.is_empty() && overlapping(inspect, survey, None).is_none();
    if !is_bridge {
        let message =
            format!("network {old} uses driver {driver}; the copy gets a plain bridge that reaches no other host");
        draft.notes.push(Problem::note("network.plain", old, message));
        object(&mut body).insert("Driver".into(), json!("bridge"));
        object(&mut body).insert("Options".into(), json!({}));
    }
    if label(inspect, "/Labels", PROJECT).is_none() || text(inspect, "/Scope") == "swarm" {
        let message = format!("network {old} may be shared with others; the copy gets its own, {name}, without them");
        draft.notes.push(Problem::note("network.own", old, message));
    }
    // A named bridge interface exists once per host.
    object(child(&mut body, "Options")).shift_remove("com.docker.network.bridge.name");
    if !keeps {
        free_choice(&mut body);
        if let Some((container, address)) = fixed.first() {
            let message = format!(
                "fixed addresses on network {old} are in use on this host ({container} had {address}); the copy's are new"
            );
            draft.notes.push(Problem::note("address.dropped", old, message));
        }
    }
    create(draft, &name, body, survey);
    Fate { name, fixed: keeps }
}

async fn again(
    draft: &mut Draft,
    engine: &dyn Engine,
    name: &str,
    inspect: &Value,
    fixed: &[(String, String)],
    survey: &Survey,
) -> Result<Fate> {
    let free = draft.deed.no_addresses;
    let mut fate = Fate { name: name.to_owned(), fixed: !free };
    if let (true, Some((container, address))) = (free, fixed.first()) {
        let message =
            format!("as you asked, addresses on network {name} are the engine's choice ({container} had {address})");
        draft.notes.push(Problem::note("address.dropped", name, message));
    }
    if let Some(present) = survey.network(name) {
        let differing = differing(inspect, present);
        if differing.iter().all(|what| *what == "subnet") && (free || chosen_by_docker(inspect, fixed)) {
            fate.fixed = false;
        } else if !differing.is_empty() {
            let what = differing.join(", ");
            let message = format!("a network {name} is there already, with another {what}");
            let problem = Problem::error("network.differs", name, message);
            let advice = if differing.iter().all(|what| *what == "subnet") {
                format!(
                    "Leave addresses to the engine (--no-addresses), remove network {name}, or restore beside (--as NAME)."
                )
            } else {
                format!("Remove network {name}, or restore beside the original (--as NAME).")
            };
            draft.conflicts.push(problem.advice(advice));
        }
        if !free {
            taken_addresses(draft, engine, name, fixed).await?;
        }
        draft.steps.push(format!("Use network {name}, which is there"));
        return Ok(fate);
    }
    let mut body = body_of(name, inspect);
    if let Some((code, way, lack)) = unmakable(name, inspect, survey) {
        if draft.ways.contains(&way) {
            let message =
                format!("{lack}; as you asked, a plain bridge that reaches no other host is made of that name");
            draft.notes.push(Problem::warning(code, name, message));
            body = plain(name, inspect);
            fate.fixed = false;
        } else {
            let flag = if way == WayOut::OwnDrivers { "--own-drivers" } else { "--make-networks" };
            let advice = format!(
                "Make the network on the host, then plan again; let a plain bridge stand for it ({flag}); or restore beside (--as NAME)."
            );
            draft.conflicts.push(Problem::error(code, name, lack).advice(advice));
        }
    } else if let Some(other) = overlapping(inspect, survey, Some(name)).filter(|_| !truth(inspect, "/ConfigOnly")) {
        if free || chosen_by_docker(inspect, fixed) {
            free_choice(&mut body);
            fate.fixed = false;
            let message =
                format!("the subnet of network {name} is used by network {other}; Docker chooses another one");
            draft.notes.push(Problem::note("subnet.changed", name, message));
        } else {
            let message = format!("network {name} needs a subnet that overlaps with network {other}");
            let problem = Problem::error("address.taken", name, message);
            draft.conflicts.push(problem.advice(format!(
                "Leave addresses to the engine (--no-addresses), remove network {other}, or restore beside (--as NAME)."
            )));
        }
    }
    borrow(draft, name, &mut body, inspect, survey);
    create(draft, name, body, survey);
    Ok(fate)
}

/// Why a network cannot be made on this host: the code, the way round, and the words.
fn unmakable(name: &str, inspect: &Value, survey: &Survey) -> Option<(&'static str, WayOut, String)> {
    let driver = text(inspect, "/Driver");
    if text(inspect, "/Scope") == "swarm" {
        let lack = format!("swarm network {name} is not on this host, and an app cannot bring it along");
        return Some(("network.missing", WayOut::MakeNetworks, lack));
    }
    lacks_driver(survey, "Network", driver).then(|| {
        let lack = format!("network {name} needs driver {driver}, which this host does not have");
        ("network_driver.missing", WayOut::OwnDrivers, lack)
    })
}

/// A bridge in the place of a network that cannot be made.
fn plain(name: &str, inspect: &Value) -> Value {
    json!({"Name": name, "CheckDuplicate": true, "Driver": "bridge", "Internal": truth(inspect, "/Internal"),
        "Labels": inspect.get("Labels").filter(|labels| labels.is_object()).cloned().unwrap_or_else(|| json!({}))})
}

/// A network that containers join but the snapshot does not describe.
fn uncaptured(draft: &mut Draft, old: &str, survey: &Survey) -> Fate {
    let name = draft.names.network(old);
    if draft.deed.way == Way::Beside {
        let message = format!("network {old} is not described in the snapshot; the copy gets a plain one, {name}");
        draft.notes.push(Problem::note("network.plain", old, message));
        create(draft, &name, json!({"Name": name, "CheckDuplicate": true, "Driver": "bridge"}), survey);
    } else if survey.network(old).is_none() {
        let message = format!("network {old} is neither on the host nor described in the snapshot");
        if draft.ways.contains(&WayOut::MakeNetworks) {
            let message = format!("{message}; as you asked, a plain one is made");
            draft.notes.push(Problem::warning("network.missing", old, message));
            create(draft, old, json!({"Name": old, "CheckDuplicate": true, "Driver": "bridge"}), survey);
            return Fate { name: old.to_owned(), fixed: false };
        }
        let problem = Problem::error("network.missing", old, message);
        draft.conflicts.push(problem.advice(format!(
            "Create network {old}, then plan again; have a plain one made (--make-networks); or restore beside (--as NAME)."
        )));
    }
    Fate { name, fixed: draft.deed.way != Way::Beside }
}

fn create(draft: &mut Draft, name: &str, body: Value, survey: &Survey) {
    if survey.network(name).is_some() {
        let problem = Problem::error("name.taken", name, format!("a network {name} is there already"));
        draft.conflicts.push(problem.advice("Choose another name (--as NAME), or remove the network."));
    }
    draft.steps.push(format!("Create network {name}"));
    draft.deed.networks.push(NetworkDeed { name: name.to_owned(), body });
}

/// The create body that leads to the same description.
fn body_of(name: &str, inspect: &Value) -> Value {
    let blocks: Vec<Value> = list(inspect, "/IPAM/Config").iter().map(block).collect();
    let mut body = json!({
        "Name": name,
        "CheckDuplicate": true,
        "Driver": inspect.get("Driver"),
        "EnableIPv6": truth(inspect, "/EnableIPv6"),
        "IPAM": {"Driver": inspect.pointer("/IPAM/Driver"), "Options": inspect.pointer("/IPAM/Options"), "Config": blocks},
        "Internal": truth(inspect, "/Internal"),
        "Attachable": truth(inspect, "/Attachable"),
        "Options": inspect.get("Options"),
        "Labels": inspect.get("Labels"),
    });
    if truth(inspect, "/ConfigOnly") {
        object(&mut body).insert("ConfigOnly".into(), json!(true));
    }
    if let Some(four) = inspect.get("EnableIPv4").filter(|four| four.is_boolean()) {
        object(&mut body).insert("EnableIPv4".into(), four.clone());
    }
    body
}

/// Lets a network take its settings from the one that it took them from, if that is there or comes. The engine
/// shows what they lead to as if it were the network's own, and refuses both at once.
fn borrow(draft: &mut Draft, name: &str, body: &mut Value, inspect: &Value, survey: &Survey) {
    let lender = text(inspect, "/ConfigFrom/Network");
    if lender.is_empty() {
        return;
    }
    if survey.network(lender).is_none() && !draft.deed.networks.iter().any(|network| network.name == lender) {
        let message =
            format!("network {name} took its settings from {lender}, which is not there; it gets them itself");
        draft.notes.push(Problem::note("network.lender_missing", name, message));
        return;
    }
    let fields = object(body);
    for lent in ["IPAM", "Options", "EnableIPv6", "EnableIPv4", "Internal"] {
        fields.shift_remove(lent);
    }
    fields.insert("ConfigFrom".into(), json!({"Network": lender}));
}

/// One address block; old engines append the prefix to the gateway, which no engine accepts.
fn block(described: &Value) -> Value {
    let mut kept = json!({});
    for key in ["Subnet", "IPRange", "Gateway", "AuxiliaryAddresses", "AuxAddress"] {
        let Some(value) = described.get(key).filter(|value| !crate::json::is_blank(value)) else { continue };
        let bare = value.as_str().filter(|_| key == "Gateway").and_then(|text| text.split('/').next());
        object(&mut kept).insert(key.into(), bare.map_or_else(|| value.clone(), |text| json!(text)));
    }
    kept
}

/// Leaves addresses to Docker. Without a given subnet many engines cannot do IPv6.
fn free_choice(body: &mut Value) {
    object(child(body, "IPAM")).insert("Config".into(), json!([]));
    object(body).insert("EnableIPv6".into(), json!(false));
}

fn subnets(inspect: &Value) -> Vec<Subnet> {
    list(inspect, "/IPAM/Config").iter().filter_map(|block| Subnet::parse(text(block, "/Subnet"))).collect()
}

/// The network on the host whose addresses overlap with these, other than `but`.
fn overlapping(inspect: &Value, survey: &Survey, but: Option<&str>) -> Option<String> {
    let wanted = subnets(inspect);
    // One that only lends its settings holds no addresses.
    let holds = |network: &Value| !truth(network, "/ConfigOnly");
    let others = survey.networks().iter().filter(|other| Some(text(other, "/Name")) != but && holds(other));
    let mut meets =
        others.filter(|other| subnets(other).iter().any(|have| wanted.iter().any(|want| want.overlaps(have))));
    meets.next().map(|other| text(other, "/Name").to_owned())
}

/// Whether nobody depends on the network's very addresses.
fn chosen_by_docker(inspect: &Value, fixed: &[(String, String)]) -> bool {
    let blocks = list(inspect, "/IPAM/Config");
    let plain = blocks.iter().all(|block| text(block, "/IPRange").is_empty());
    fixed.is_empty() && plain && subnets(inspect).iter().all(Subnet::looks_automatic)
}

/// In what a network differs from the recorded one.
fn differing(was: &Value, is: &Value) -> Vec<&'static str> {
    let mut found = Vec::new();
    if text(was, "/Driver") != text(is, "/Driver") {
        found.push("driver");
    }
    if subnets(was) != subnets(is) {
        found.push("subnet");
    }
    let filled = |value: &Value| value.get("Options").filter(|options| !crate::json::is_blank(options)).cloned();
    if filled(was) != filled(is) {
        found.push("set of options");
    }
    if ["/Internal", "/EnableIPv6"].iter().any(|key| truth(was, key) != truth(is, key)) {
        found.push("reach");
    }
    found
}

/// Fixed addresses that other containers on the network hold now.
async fn taken_addresses(
    draft: &mut Draft,
    engine: &dyn Engine,
    network: &str,
    fixed: &[(String, String)],
) -> Result<()> {
    if fixed.is_empty() {
        return Ok(());
    }
    let inspect: Value = serde_json::from_str(&engine.network_inspect(network).await?).unwrap_or_default();
    for (id, endpoint) in members(&inspect, "/Containers") {
        if draft.deed.old.iter().any(|old| old.id == *id) {
            continue;
        }
        let bare = |key| text(endpoint, key).split('/').next().unwrap_or_default();
        let held = [bare("/IPv4Address"), bare("/IPv6Address")];
        for (container, address) in fixed.iter().filter(|(_, address)| held.contains(&address.as_str())) {
            let holder = text(endpoint, "/Name");
            let message = format!("{container} needs address {address} on network {network}, which {holder} holds");
            let problem = Problem::error("address.taken", address, message);
            draft.conflicts.push(problem.advice(format!(
                "Stop {holder}, leave addresses to the engine (--no-addresses), or restore beside (--as NAME)."
            )));
        }
    }
    Ok(())
}
