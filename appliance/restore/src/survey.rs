//! The host as it is now: read once for a plan, nothing is changed.

use crate::json::{is_long_id, label, list, text};
use holdfast_docker::{Engine, is_helper, own_container_id};
use holdfast_model::{Result, snapshot::EngineInfo};
use serde_json::Value;
use std::path::Path;

/// Label that names a container's compose project.
pub(crate) const PROJECT: &str = "com.docker.compose.project";
/// Label that names a container's service in it.
const SERVICE: &str = "com.docker.compose.service";
/// Between a container's name and its id once it has been put aside.
pub(crate) const ASIDE: &str = "-holdfast-old-";

/// What the engine says it has.
pub(crate) struct Survey {
    pub(crate) info: EngineInfo,
    /// What the engine says that it can do; null if it was not asked.
    pub(crate) host: Value,
    /// The container that we live in, if we live in one.
    pub(crate) own: Option<String>,
    containers: Vec<Value>,
    volumes: Vec<Value>,
    networks: Vec<Value>,
}

/// A container that is there.
#[derive(Clone, Debug)]
pub(crate) struct Present {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) running: bool,
    /// Compose service, if any.
    pub(crate) service: Option<String>,
}

impl Survey {
    /// Asks the engine.
    pub(crate) async fn of(engine: &dyn Engine) -> Result<Survey> {
        Ok(Survey {
            info: engine.info().await?,
            host: Value::Null,
            own: own_container_id(),
            containers: engine.container_list().await?,
            volumes: engine.volume_list().await?,
            networks: engine.network_list().await?,
        })
    }

    /// Asks the engine, and also for what it can do.
    pub(crate) async fn with_abilities(engine: &dyn Engine) -> Result<Survey> {
        Ok(Survey { host: engine.describe().await?, ..Survey::of(engine).await? })
    }

    /// All containers but helpers. Whoever only carries their label counts: it may write into what is to be replaced.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Value> {
        self.containers.iter().filter(|item| !is_helper(item))
    }

    /// Containers of an app: by project label, or by name for one that is in no project. Ones put
    /// aside by an interrupted restore belong to it.
    pub(crate) fn members(&self, app: &str, project: bool) -> Vec<Present> {
        self.containers()
            .filter(|item| {
                if project {
                    return label(item, "/Labels", PROJECT) == Some(app);
                }
                let name = name_of(item);
                name == app || name.strip_prefix(app).is_some_and(|rest| rest.starts_with(ASIDE))
            })
            .map(present)
            .collect()
    }

    /// The container that holds a name.
    pub(crate) fn container_named(&self, name: &str) -> Option<Present> {
        self.containers
            .iter()
            .find(|item| {
                list(item, "/Names").iter().filter_map(Value::as_str).any(|n| n.trim_start_matches('/') == name)
            })
            .map(present)
    }

    /// Containers that mount a volume.
    pub(crate) fn users_of_volume(&self, volume: &str) -> Vec<Present> {
        let mounts = |item: &&Value| list(item, "/Mounts").iter().any(|m| text(m, "/Name") == volume);
        self.containers().filter(mounts).map(present).collect()
    }

    /// Containers that mount a path of the host, something below it, or with the right to write a folder above it; also by a volume that
    /// stands for such a folder. Whoever mounts all of the host looks after it and is no user of one path.
    pub(crate) fn users_of_path(&self, path: &str) -> Vec<Present> {
        let path = Path::new(path);
        let is_in = |mount: &Value| {
            let folder = self.volume(text(mount, "/Name")).and_then(host_folder);
            let source = folder.or_else(|| Some(text(mount, "/Source")).filter(|_| text(mount, "/Type") == "bind"));
            let writes = mount.get("RW") != Some(&Value::Bool(false));
            source.is_some_and(|source| {
                Path::new(source).starts_with(path) || (writes && source != "/" && path.starts_with(source))
            })
        };
        let mounts = |item: &&Value| list(item, "/Mounts").iter().any(is_in);
        self.containers().filter(mounts).map(present).collect()
    }

    /// Published ports of running containers: (container, host address, port, protocol).
    pub(crate) fn open_ports(&self) -> impl Iterator<Item = (Present, String, u16, String)> {
        self.containers().filter(|item| is_running(item)).flat_map(|item| {
            list(item, "/Ports").iter().filter_map(|port| {
                let number = u16::try_from(port.pointer("/PublicPort")?.as_u64()?).ok()?;
                Some((present(item), text(port, "/IP").to_owned(), number, text(port, "/Type").to_owned()))
            })
        })
    }

    /// A volume by name.
    pub(crate) fn volume(&self, name: &str) -> Option<&Value> {
        self.volumes.iter().find(|item| text(item, "/Name") == name)
    }

    /// A network by name.
    pub(crate) fn network(&self, name: &str) -> Option<&Value> {
        self.networks.iter().find(|item| text(item, "/Name") == name)
    }

    /// All networks.
    pub(crate) fn networks(&self) -> &[Value] {
        &self.networks
    }
}

/// The folder of the host that a volume of the local driver stands for.
pub(crate) fn host_folder(inspect: &Value) -> Option<&str> {
    let option = |name: &str| text(inspect, &format!("/Options/{name}"));
    let is_bound = option("o").split(',').any(|word| word == "bind" || word == "rbind");
    Some(option("device")).filter(|device| is_bound && device.starts_with('/'))
}

fn is_running(item: &Value) -> bool {
    matches!(text(item, "/State"), "running" | "paused" | "restarting")
}

/// The container's own name; legacy links add names with a second slash.
fn name_of(item: &Value) -> String {
    let mut names = list(item, "/Names").iter().filter_map(Value::as_str).map(|name| name.trim_start_matches('/'));
    names.find(|name| !name.contains('/')).unwrap_or_default().to_owned()
}

fn present(item: &Value) -> Present {
    let id = text(item, "/Id").to_owned();
    let name = name_of(item);
    let name = if name.is_empty() && is_long_id(&id) { id[..12].to_owned() } else { name };
    let service = label(item, "/Labels", SERVICE).map(str::to_owned);
    Present { id, name, running: is_running(item), service }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_uses_a_path_mounts_it_or_what_is_below_or_above_it() {
        let bind = |source: &str, writes: bool| json!({"Type": "bind", "Source": source, "RW": writes});
        let mounts = [
            ("itself", bind("/srv/site", false)),
            ("below", bind("/srv/site/deep", true)),
            ("above", bind("/srv", true)),
            ("by-volume", json!({"Type": "volume", "Name": "bound", "Source": "/var/lib/docker/volumes/bound/_data"})),
            ("reads-above", bind("/srv", false)),
            ("all", bind("/", true)),
            ("like-it", bind("/srv/site2", true)),
            ("volume", json!({"Type": "volume", "Name": "plain", "Source": "/srv/site"})),
        ];
        let container =
            |(name, mount): &(&str, Value)| json!({"Id": name, "Names": [format!("/{name}")], "Mounts": [mount]});
        let survey = Survey {
            info: EngineInfo::default(),
            host: Value::Null,
            own: None,
            containers: mounts.iter().map(container).collect(),
            volumes: vec![
                json!({"Name": "bound", "Options": {"type": "none", "o": "bind", "device": "/srv/site"}}),
                json!({"Name": "plain", "Options": null}),
            ],
            networks: Vec::new(),
        };
        let users: Vec<String> = survey.users_of_path("/srv/site").into_iter().map(|user| user.name).collect();
        assert_eq!(users, ["itself", "below", "above", "by-volume"]);
    }
}
