//! One member of the app as its inspection tells it, and the order in which members start.
//!
//! The text stays verbatim; only what the capture needs is read out of it.

use crate::found::FoundApp;
use crate::hold::{self, gone};
use futures::{StreamExt, TryStreamExt, stream};
use holdfast_docker::Engine;
use holdfast_model::{
    Error, Problem, Result,
    snapshot::{RawJson, RunState},
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Inspections at once: engines answer each within milliseconds.
const AT_ONCE: usize = 4;
/// What a container says of its turn: a number, 0 without it. Lower ones are started earlier and stopped later.
const ORDER: &str = "holdfast.order";

/// A container of the app.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) service: Option<String>,
    pub(crate) inspect: RawJson,
    pub(crate) image: String,
    pub(crate) state: RunState,
    pub(crate) depends_on: Vec<String>,
    /// It is removed when it stops (`--rm`).
    pub(crate) removes_itself: bool,
    stop_seconds: Option<u32>,
    pub(crate) value: Value,
}

/// A mount as the container sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) kind: String,
    /// Volume name; empty for others.
    pub(crate) name: String,
    /// Host path.
    pub(crate) source: String,
    /// Path in the container.
    pub(crate) destination: String,
    pub(crate) read_only: bool,
    /// Only a folder of the volume is mounted.
    pub(crate) is_part: bool,
}

impl Mount {
    /// Whether it is a volume or host path of that name.
    pub(crate) fn is(&self, place: &str) -> bool {
        match self.kind.as_str() {
            "volume" => self.name == place,
            "bind" => self.source == place,
            _ => false,
        }
    }
}

/// Inspects all members; they come back in start order.
pub(crate) async fn inspect_all(engine: &dyn Engine, app: &FoundApp) -> Result<Vec<Member>> {
    let inspect = |found: crate::found::FoundContainer| async move {
        let text = engine.container_inspect(&found.id).await.map_err(|error| gone(&found.name, error))?;
        Member::read(found.id, found.name, found.service, text)
    };
    let members = stream::iter(app.containers.clone()).map(inspect).buffered(AT_ONCE).try_collect().await?;
    Ok(start_order(members))
}

impl Member {
    fn read(id: String, name: String, service: Option<String>, text: String) -> Result<Member> {
        let inspect = RawJson(text);
        let value = inspect.parse()?;
        let image = value["Image"].as_str().unwrap_or_default().to_owned();
        if image.is_empty() {
            return Err(Error::invalid(
                "inspect.malformed",
                format!("the engine does not say which image container {name} has"),
            ));
        }
        let flag = |field: &str| value["State"][field].as_bool().unwrap_or(false);
        let state = match (flag("Paused"), flag("Running")) {
            (true, _) => RunState::Paused,
            (false, true) => RunState::Running,
            (false, false) => RunState::Stopped,
        };
        let labels = &value["Config"]["Labels"];
        let depends_on = labels["com.docker.compose.depends_on"].as_str().unwrap_or_default();
        Ok(Member {
            depends_on: depends_on.split(',').filter_map(dependency).collect(),
            removes_itself: value["HostConfig"]["AutoRemove"].as_bool().unwrap_or(false),
            stop_seconds: value["Config"]["StopTimeout"].as_u64().and_then(|seconds| u32::try_from(seconds).ok()),
            id,
            name,
            service,
            image,
            state,
            inspect,
            value,
        })
    }

    /// Its turn among those that no dependency orders.
    fn turn(&self) -> i64 {
        self.label(ORDER).and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }

    /// What its label says of its turn and cannot be understood.
    pub(crate) fn wrong_turn(&self) -> Option<Problem> {
        let text = self.label(ORDER).filter(|text| text.trim().parse::<i64>().is_err())?;
        let text =
            format!("the label {ORDER} of {} is no number, so it counts as 0: {}", self.name, text.escape_debug());
        Some(Problem::warning("label.invalid", &self.name, text))
    }

    /// A label of it.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.value["Config"]["Labels"].get(name)?.as_str()
    }

    /// The words of its command; those of a line for a shell apart and without their quotes.
    pub(crate) fn command(&self) -> Vec<String> {
        let config = &self.value["Config"];
        let told = [&self.value["Args"], &config["Entrypoint"], &config["Cmd"]];
        let words = told.into_iter().flat_map(|list| list.as_array().into_iter().flatten()).filter_map(Value::as_str);
        let words = words.flat_map(str::split_whitespace).map(|word| word.trim_matches(['"', '\'']));
        words.map(str::to_owned).collect()
    }

    /// What it mounts, by path in the container: engines list mounts in random order.
    pub(crate) fn mounts(&self) -> Vec<Mount> {
        let text = |mount: &Value, field: &str| mount[field].as_str().unwrap_or_default().to_owned();
        let listed = self.value["Mounts"].as_array().into_iter().flatten();
        let mut mounts: Vec<Mount> = listed
            .map(|mount| Mount {
                kind: text(mount, "Type"),
                name: text(mount, "Name"),
                source: text(mount, "Source"),
                destination: text(mount, "Destination"),
                read_only: mount["RW"] == false,
                is_part: self.has_part(mount),
            })
            .collect();
        let tmpfs = self.value["HostConfig"]["Tmpfs"].as_object().into_iter().flatten();
        mounts.extend(tmpfs.map(|(path, _)| Mount {
            kind: "tmpfs".into(),
            name: String::new(),
            source: String::new(),
            destination: path.clone(),
            read_only: false,
            is_part: false,
        }));
        mounts.sort_by(|a, b| (&a.destination, &a.kind).cmp(&(&b.destination, &b.kind)));
        mounts.dedup();
        mounts
    }

    /// Listed mounts do not tell it; what was asked for does.
    fn has_part(&self, mount: &Value) -> bool {
        let asked = self.value["HostConfig"]["Mounts"].as_array().into_iter().flatten();
        let clean = |path: &Value| path.as_str().unwrap_or_default().trim_end_matches('/').to_owned();
        let mut here = asked.filter(|asked| clean(&asked["Target"]) == clean(&mount["Destination"]));
        here.any(|asked| asked["VolumeOptions"]["Subpath"].as_str().is_some_and(|part| !part.is_empty()))
    }

    /// Names and ids of its networks.
    pub(crate) fn networks(&self) -> Vec<(String, String)> {
        let networks = self.value["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
        networks.map(|(name, end)| (name.clone(), end["NetworkID"].as_str().unwrap_or_default().to_owned())).collect()
    }

    /// As the hold needs it.
    pub(crate) fn to_hold(&self) -> hold::Member {
        hold::Member { id: self.id.clone(), name: self.name.clone(), stop_seconds: self.stop_seconds }
    }

    /// Containers whose network, process or IPC space it lives in.
    fn hosts(&self) -> impl Iterator<Item = &str> {
        ["NetworkMode", "PidMode", "IpcMode"]
            .into_iter()
            .filter_map(|field| self.value["HostConfig"][field].as_str()?.strip_prefix("container:"))
    }

    fn waits_for(&self, other: &Member) -> bool {
        other.service.as_ref().is_some_and(|service| self.depends_on.contains(service))
            || self.hosts().any(|host| host == other.id || host == other.name)
    }
}

/// `service:condition:restart`
fn dependency(text: &str) -> Option<String> {
    let service = text.split(':').next()?.trim();
    (!service.is_empty()).then(|| service.to_owned())
}

/// Whoever is waited for comes first; otherwise as their labels say, then by name. Circles are broken at the first of these.
fn start_order(mut waiting: Vec<Member>) -> Vec<Member> {
    waiting.sort_by(|a, b| (a.turn(), &a.name).cmp(&(b.turn(), &b.name)));
    let mut ordered: Vec<Member> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let free = (0..waiting.len()).find(|place| {
            let member = &waiting[*place];
            !waiting.iter().any(|other| other.id != member.id && member.waits_for(other))
        });
        ordered.push(waiting.remove(free.unwrap_or(0)));
    }
    ordered
}

/// Values in order of appearance, each once.
pub(crate) fn unique<T: Ord + Clone>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    values.into_iter().filter(|value| seen.insert(value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn member(name: &str, depends_on: &str, network: &str) -> Member {
        labelled(name, network, &json!({"com.docker.compose.depends_on": depends_on}))
    }

    fn labelled(name: &str, network: &str, labels: &Value) -> Member {
        let text = json!({"Image": "sha256:1", "State": {"Running": true},
            "HostConfig": {"NetworkMode": network, "Tmpfs": {"/run": ""}},
            "Config": {"Labels": labels},
            "Mounts": [{"Type": "volume", "Name": "b", "Destination": "/b"}, {"Type": "bind", "Source": "/s", "Destination": "/a"}]});
        Member::read(format!("id-{name}"), name.into(), Some(name.into()), text.to_string()).unwrap()
    }

    #[test]
    fn members_start_after_what_they_depend_on_and_circles_end() {
        let members = vec![
            member("app", "db:service_healthy:false,cache:service_started:true", "default"),
            member("cache", "", "default"),
            member("db", "", "default"),
            member("a-sidecar", "", "container:id-app"),
        ];
        let names: Vec<_> = start_order(members).into_iter().map(|member| member.name).collect();
        assert_eq!(names, ["cache", "db", "app", "a-sidecar"]);
        let circle = vec![member("x", "y:a:b", "bridge"), member("y", "x:a:b", "bridge")];
        assert_eq!(start_order(circle).len(), 2);
    }

    #[test]
    fn a_label_orders_those_that_no_dependency_orders() {
        let with = |name: &str, order: &str, depends_on: &str| {
            labelled(name, "bridge", &json!({"com.docker.compose.depends_on": depends_on, ORDER: order}))
        };
        let members = vec![
            member("none", "", "bridge"),
            with("late", "10", ""),
            with("early", " -3 ", ""),
            with("first", "-9", "late:service_started:true"),
            with("wrong", "soon", ""),
        ];
        let told: Vec<_> = members.iter().filter_map(Member::wrong_turn).collect();
        assert_eq!(told.len(), 1);
        assert_eq!((&*told[0].code, &*told[0].subject), ("label.invalid", "wrong"));
        let names: Vec<_> = start_order(members).into_iter().map(|member| member.name).collect();
        assert_eq!(names, ["early", "none", "wrong", "late", "first"], "a dependency goes before any number");
        let circle = vec![with("x", "1", "y:a:b"), with("y", "0", "x:a:b")];
        assert_eq!(start_order(circle)[0].name, "y");
    }

    #[test]
    fn mounts_are_sorted_and_include_tmpfs() {
        let mounts = member("x", "", "bridge").mounts();
        assert_eq!(mounts.iter().map(|mount| mount.destination.as_str()).collect::<Vec<_>>(), ["/a", "/b", "/run"]);
    }
}
