//! What an engine says of everything of one app, made comparable: ids that every engine draws anew are written as what
//! they stand for. Nothing of the product's own comparison is used.

use holdfast_tests::engine_api::{self, get};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Whole inspects by short name: `main`, `net-front`, `vol-data`, `vol-<unnamed …>`.
pub type World = BTreeMap<String, Value>;

/// All that belongs to `project`; names come out as if it were called `as_project`.
pub fn look(project: &str, as_project: &str) -> World {
    let mut names: Vec<(String, String)> = Vec::new();
    let mut found: Vec<(String, String)> = Vec::new();
    let containers = of(&get("/containers/json?all=1"), project, '-', |item| {
        item["Names"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|n| n.as_str()?.strip_prefix('/'))
            .find(|n| !n.contains('/'))
    });
    for (short, id) in &containers {
        let inspect = get(&format!("/containers/{id}/json"));
        for mount in inspect["Mounts"].as_array().into_iter().flatten() {
            let volume = mount["Name"].as_str().unwrap_or_default();
            if is_id(volume) && !names.iter().any(|(known, _)| known == volume) {
                let place = format!("<unnamed of {short} at {}>", mount["Destination"].as_str().unwrap_or_default());
                found.push((format!("vol-{place}"), get(&format!("/volumes/{volume}")).to_string()));
                names.push((volume.to_owned(), place));
            }
        }
        names.push((id.clone(), format!("<container {short}>")));
        found.push((short.clone(), inspect.to_string()));
    }
    for (short, id) in of(&get("/networks"), project, '_', |item| item["Name"].as_str()) {
        names.push((id.clone(), format!("<network {short}>")));
        found.push((format!("net-{short}"), get(&format!("/networks/{id}")).to_string()));
    }
    for (short, name) in of(&get("/volumes")["Volumes"], project, '_', |item| item["Name"].as_str()) {
        found.push((format!("vol-{short}"), get(&format!("/volumes/{name}")).to_string()));
    }
    let mut world = World::new();
    for (short, mut text) in found {
        for (id, name) in &names {
            text = text.replace(id, name);
        }
        for (id, name) in &names {
            text = text.replace(&id[..12], name);
        }
        if project != as_project {
            text = text.replace(project, as_project);
        }
        world.insert(short, serde_json::from_str(&text).expect("names hold nothing that JSON minds"));
    }
    world
}

/// (short name, id or name) of those that belong to a project, by short name.
fn of(list: &Value, project: &str, separator: char, name: impl Fn(&Value) -> Option<&str>) -> BTreeMap<String, String> {
    let prefix = format!("{project}{separator}");
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| {
            let name = name(item)?;
            let short = name.strip_prefix(&prefix)?;
            let id = item["Id"].as_str().unwrap_or(name);
            Some((short.to_owned(), id.to_owned()))
        })
        .filter(|(short, _)| !short.starts_with("restore"))
        .collect()
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Every leaf of an inspect, by its path with `.` between names. Nothing, `[]` and `{}` are the same as absent.
pub fn leaves(value: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    flatten(value, String::new(), &mut found);
    found
}

fn flatten(value: &Value, at: String, found: &mut BTreeMap<String, String>) {
    let under = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{}", name.replace('.', "_")) };
    match value {
        Value::Null => {}
        Value::Object(members) => members.iter().for_each(|(name, item)| flatten(item, under(name), found)),
        Value::Array(items) if ["Aliases", "Links"].iter().any(|set| at.ends_with(set)) => {
            // Sets; an engine gives them as they come out of its maps.
            let items: BTreeSet<&str> = items.iter().filter_map(Value::as_str).collect();
            items.iter().for_each(|item| drop(found.insert(under(item), "true".into())));
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                // The one list that engines give in random order.
                let name = item["Destination"].as_str().filter(|_| at == "Mounts");
                flatten(item, under(&name.map_or(place.to_string(), str::to_owned)), found);
            }
        }
        leaf => {
            found.insert(at, leaf.to_string());
        }
    }
}

/// A setting without what the list allows everywhere: how an unnamed or empty volume is asked for.
pub fn settled(inspect: &Value, place: &str) -> BTreeMap<String, String> {
    let last = place.rsplit('|').next().and_then(|last| last.split('[').next()).unwrap_or(place);
    let mut leaves = leaves(&serde_json::json!({ last: seen(inspect, place) }));
    leaves.retain(|path, text| {
        *text = text.replace(",nocopy", "").replace(":nocopy", "");
        path != "Mounts.Mode" && !path.ends_with("VolumeOptions.NoCopy")
    });
    leaves
}

/// Paths at which two worlds differ, with what they say.
pub fn differences(was: &World, is: &World) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let things: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for thing in things {
        let of = |world: &World| world.get(thing).map(leaves);
        let (Some(before), Some(after)) = (of(was), of(is)) else {
            let there = |world: &World| if world.contains_key(thing) { "there" } else { "absent" }.to_owned();
            found.push((format!("{thing}:-"), there(was), there(is)));
            continue;
        };
        for path in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let (old, new) = (before.get(path), after.get(path));
            if old != new {
                let text = |value: Option<&String>| value.cloned().unwrap_or_else(|| "absent".into());
                let (old, new) = (text(old), text(new));
                found.push((format!("{thing}:{path}{}", kind(&old, &new)), old, new));
            }
        }
    }
    found
}

/// What a difference is known to be, as the list names it behind the path.
fn kind(old: &str, new: &str) -> &'static str {
    let plain = |text: &str| text.replace(",nocopy", "").replace(":nocopy", "").replace("nocopy", "");
    if plain(old) == plain(new) {
        "~nocopy"
    } else if old == "absent" && new.starts_with("\"<unnamed of ") {
        "~unnamed"
    } else {
        ""
    }
}

/// The part of an inspect at which a setting is seen.
pub fn seen<'a>(inspect: &'a Value, place: &str) -> &'a Value {
    place.split('|').fold(inspect, |value, part| match part.split_once('[') {
        None => &value[part],
        Some((list, wanted)) => {
            let (key, wanted) = wanted.trim_end_matches(']').split_once('=').expect("a key and a value");
            let mut items = value[list].as_array().into_iter().flatten();
            items.find(|item| item[key] == wanted).unwrap_or(&Value::Null)
        }
    })
}

/// Nothing of an app is left.
pub fn is_gone(project: &str) -> bool {
    look(project, project).is_empty()
}

/// Removes all of an app.
pub fn wipe(project: &str) {
    engine_api::wipe(project);
}
