//! What is on a host: compose projects by their labels, containers that are in none.
//!
//! Everything here comes from one listing; nothing is inspected. Helpers are left out; whoever only carries their label is an app like others.

use crate::hooks::labelled;
use holdfast_docker::{Engine, is_helper};
use holdfast_model::{Result, hooks::ServiceHooks, snapshot::RunState};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PROJECT_LABEL: &str = "com.docker.compose.project";
const SERVICE_LABEL: &str = "com.docker.compose.service";
const ONEOFF_LABEL: &str = "com.docker.compose.oneoff";
const ENABLE_LABEL: &str = "holdfast.enable";
const POLICY_LABEL: &str = "holdfast.policy";

/// A container as found by a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundContainer {
    /// Its id.
    pub id: String,
    /// Its name without the leading slash.
    pub name: String,
    /// Compose service, if any.
    pub service: Option<String>,
    /// Image as the container's maker named it.
    pub image: String,
    /// State at the moment of the listing.
    pub state: RunState,
    /// Commands around backups that its labels name.
    pub hooks: ServiceHooks,
}

impl FoundContainer {
    /// What commands for it are set under: its service, or its name.
    pub fn service(&self) -> &str {
        self.service.as_deref().unwrap_or(&self.name)
    }
}

/// An app as found by a listing: a compose project, or a container that is in none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundApp {
    /// Project or container name.
    pub name: String,
    /// Whether it is a compose project.
    pub project: bool,
    /// Its containers, by name. One-off runs (`compose run`) are left out, unless the project has nothing else.
    pub containers: Vec<FoundContainer>,
    /// Names of its volumes.
    pub volumes: Vec<String>,
    /// Host paths that it binds.
    pub binds: Vec<String>,
    /// `holdfast.policy` label, if set on a member.
    pub policy_label: Option<String>,
    /// `holdfast.enable=false` on a member.
    pub disabled: bool,
}

/// Finds all apps on a host, by name; helpers are left out.
pub async fn discover(engine: &dyn Engine) -> Result<Vec<FoundApp>> {
    Ok(group(&engine.container_list().await?))
}

/// Containers of one-off runs of a project, which are no part of the app.
pub(crate) fn one_offs(listing: &[Value], project: &str) -> Vec<String> {
    let lasting = lasting(listing);
    let of_project = |found: &&Value| project_of(found) == Some(project) && is_passing(found, &lasting);
    listing.iter().filter(of_project).filter_map(name).collect()
}

pub(crate) fn group(listing: &[Value]) -> Vec<FoundApp> {
    let lasting = lasting(listing);
    let mut apps: BTreeMap<(String, bool), Vec<&Value>> = BTreeMap::new();
    for found in listing {
        if is_helper(found) || is_passing(found, &lasting) {
            continue;
        }
        let Some(name) = name(found) else { continue };
        let key = match project_of(found) {
            Some(project) => (project.to_owned(), true),
            None => (name, false),
        };
        apps.entry(key).or_default().push(found);
    }
    apps.into_iter().map(|((name, project), members)| app(name, project, &members)).collect()
}

fn app(name: String, project: bool, members: &[&Value]) -> FoundApp {
    let mut containers: Vec<_> = members.iter().filter_map(|found| container(found)).collect();
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    let mounts = |kind: &str, field: &str| -> Vec<String> {
        let all = members.iter().flat_map(|found| found["Mounts"].as_array().into_iter().flatten());
        let named = all.filter(|mount| mount["Type"] == kind).filter_map(|mount| mount[field].as_str());
        named.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    };
    FoundApp {
        name,
        project,
        volumes: mounts("volume", "Name"),
        binds: mounts("bind", "Source"),
        policy_label: members.iter().find_map(|found| label(found, POLICY_LABEL)).map(str::to_owned),
        disabled: members.iter().any(|found| label(found, ENABLE_LABEL) == Some("false")),
        containers,
    }
}

fn container(found: &Value) -> Option<FoundContainer> {
    Some(FoundContainer {
        id: found["Id"].as_str()?.to_owned(),
        name: name(found)?,
        service: label(found, SERVICE_LABEL).map(str::to_owned),
        image: found["Image"].as_str().unwrap_or_default().to_owned(),
        state: match found["State"].as_str() {
            Some("running" | "restarting") => RunState::Running,
            Some("paused") => RunState::Paused,
            _ => RunState::Stopped,
        },
        hooks: labelled(|name| label(found, name)),
    })
}

/// A container has its own name and one more per link of others to it (`/other/alias`).
fn name(found: &Value) -> Option<String> {
    let names = found["Names"].as_array()?.iter().filter_map(Value::as_str);
    let mut own = names.map(|name| name.trim_start_matches('/')).filter(|name| !name.contains('/'));
    own.next().filter(|name| !name.is_empty()).map(str::to_owned)
}

fn label<'a>(found: &'a Value, key: &str) -> Option<&'a str> {
    found["Labels"].get(key)?.as_str()
}

fn project_of(found: &Value) -> Option<&str> {
    label(found, PROJECT_LABEL).filter(|project| !project.is_empty())
}

/// Projects that have a container that is no one-off run.
fn lasting(listing: &[Value]) -> BTreeSet<&str> {
    let members = listing.iter().filter(|found| !is_helper(found) && !is_one_off(found) && name(found).is_some());
    members.filter_map(project_of).collect()
}

/// Whether it is a one-off run beside its app. Images hand labels on: a run of a project that has nothing else is the app, or else it would be in
/// none and nobody would name it.
fn is_passing(found: &Value, lasting: &BTreeSet<&str>) -> bool {
    is_one_off(found) && project_of(found).is_some_and(|project| lasting.contains(project))
}

fn is_one_off(found: &Value) -> bool {
    label(found, ONEOFF_LABEL).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_docker::{EMPTY_IMAGE, HELPER_LABEL, helper_name};
    use serde_json::json;

    #[test]
    fn projects_and_single_containers_are_told_apart() {
        let found = |name: &str, labels: Value| {
            json!({"Id": format!("id-{name}"), "Names": [format!("/x/{name}"), format!("/{name}")],
            "Image": "i", "State": "running", "Labels": labels, "Mounts": [
                {"Type": "volume", "Name": "data", "Source": "/var/lib/docker/volumes/data/_data"},
                {"Type": "bind", "Source": "/srv"}]})
        };
        let mut helper = found(&helper_name("read"), json!({HELPER_LABEL: "me"}));
        helper["Image"] = EMPTY_IMAGE.into();
        let apps = group(&[
            found("shop-web-1", json!({PROJECT_LABEL: "shop", SERVICE_LABEL: "web", ENABLE_LABEL: "false"})),
            found("shop-db-1", json!({PROJECT_LABEL: "shop", SERVICE_LABEL: "db", POLICY_LABEL: "gold"})),
            found("shop-run-1", json!({PROJECT_LABEL: "shop", SERVICE_LABEL: "db", ONEOFF_LABEL: "True"})),
            found("alone", Value::Null),
            helper,
            json!({"Id": "odd"}),
        ]);
        assert_eq!(apps.len(), 2);
        assert_eq!((apps[0].name.as_str(), apps[0].project), ("alone", false));
        let shop = &apps[1];
        assert_eq!((shop.name.as_str(), shop.project, shop.disabled), ("shop", true, true));
        assert_eq!(shop.policy_label.as_deref(), Some("gold"));
        assert_eq!(shop.containers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["shop-db-1", "shop-web-1"]);
        assert_eq!((&shop.volumes[..], &shop.binds[..]), (&["data".to_owned()][..], &["/srv".to_owned()][..]));
    }

    /// Images hand their labels on: whoever builds one must not be able to keep what is made of it out of backups.
    #[test]
    fn a_container_that_only_carries_our_label_is_an_app() {
        let found = |name: &str, image: &str| {
            json!({"Id": name, "Names": [format!("/{name}")], "Image": image, "State": "running",
            "Labels": {HELPER_LABEL: "me"}, "Mounts": [{"Type": "volume", "Name": "data"}]})
        };
        let named = helper_name("restore");
        let apps = group(&[found("web", "shop:1"), found("empty", EMPTY_IMAGE), found(&named, "shop:1")]);
        let names: Vec<&str> = apps.iter().map(|app| app.name.as_str()).collect();
        assert_eq!(names, ["empty", named.as_str(), "web"]);
        assert!(apps.iter().all(|app| app.volumes == ["data"] && app.containers.len() == 1));
        assert!(group(&[found(&named, EMPTY_IMAGE)]).is_empty());
        let mut lonely = found("lonely", "shop:1");
        lonely["Labels"] = json!({ONEOFF_LABEL: "True"});
        assert_eq!(group(&[lonely]).len(), 1, "the label of a one-off run hides nothing either");
    }

    #[test]
    fn a_one_off_run_is_left_out_only_beside_an_app() {
        let found = |name: &str, labels: Value| {
            json!({"Id": name, "Names": [format!("/{name}")], "Image": "i", "State": "running", "Labels": labels,
                "Mounts": [{"Type": "volume", "Name": name}]})
        };
        let run = |name: &str| found(name, json!({PROJECT_LABEL: "x", ONEOFF_LABEL: "True"}));
        let mut listing = vec![run("hidden"), run("too")];
        // A helper is nobody's app, whatever its image says.
        let mut helper = found(&helper_name("read"), json!({HELPER_LABEL: "me", PROJECT_LABEL: "x"}));
        helper["Image"] = EMPTY_IMAGE.into();
        listing.push(helper);
        let apps = group(&listing);
        assert_eq!((apps.len(), apps[0].name.as_str(), apps[0].project), (1, "x", true));
        assert_eq!(
            apps[0].volumes,
            ["hidden", "too"],
            "an image that claims to be a run of an app that is not there hides nothing"
        );
        assert!(one_offs(&listing, "x").is_empty());
        listing.push(found("web", json!({PROJECT_LABEL: "x"})));
        let apps = group(&listing);
        assert_eq!((apps.len(), &apps[0].volumes[..]), (1, &["web".to_owned()][..]));
        assert_eq!(one_offs(&listing, "x"), ["hidden", "too"], "beside an app they are named");
    }
}
