//! What is on a host: compose projects by their labels, containers that are in none.
//!
//! Everything here comes from one listing; nothing is inspected. Our own helpers are left out.

use crate::hooks::labelled;
use holdfast_docker::{Engine, HELPER_LABEL};
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
    /// Its containers, by name. One-off runs (`compose run`) are left out.
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

/// Finds all apps on a host, by name; our own helpers are left out.
pub async fn discover(engine: &dyn Engine) -> Result<Vec<FoundApp>> {
    Ok(group(&engine.container_list().await?))
}

/// Containers of one-off runs of a project, which are no part of the app.
pub(crate) fn one_offs(listing: &[Value], project: &str) -> Vec<String> {
    let of_project = |found: &&Value| label(found, PROJECT_LABEL) == Some(project) && is_one_off(found);
    listing.iter().filter(of_project).filter_map(name).collect()
}

pub(crate) fn group(listing: &[Value]) -> Vec<FoundApp> {
    let mut apps: BTreeMap<(String, bool), Vec<&Value>> = BTreeMap::new();
    for found in listing {
        if label(found, HELPER_LABEL).is_some() || is_one_off(found) {
            continue;
        }
        let Some(name) = name(found) else { continue };
        let key = match label(found, PROJECT_LABEL).filter(|project| !project.is_empty()) {
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

fn is_one_off(found: &Value) -> bool {
    label(found, ONEOFF_LABEL).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn projects_and_single_containers_are_told_apart() {
        let found = |name: &str, labels: Value| {
            json!({"Id": format!("id-{name}"), "Names": [format!("/x/{name}"), format!("/{name}")],
            "Image": "i", "State": "running", "Labels": labels, "Mounts": [
                {"Type": "volume", "Name": "data", "Source": "/var/lib/docker/volumes/data/_data"},
                {"Type": "bind", "Source": "/srv"}]})
        };
        let apps = group(&[
            found("shop-web-1", json!({PROJECT_LABEL: "shop", SERVICE_LABEL: "web", ENABLE_LABEL: "false"})),
            found("shop-db-1", json!({PROJECT_LABEL: "shop", SERVICE_LABEL: "db", POLICY_LABEL: "gold"})),
            found("shop-run-1", json!({PROJECT_LABEL: "shop", SERVICE_LABEL: "db", ONEOFF_LABEL: "True"})),
            found("alone", Value::Null),
            found("helper", json!({HELPER_LABEL: "me"})),
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
}
