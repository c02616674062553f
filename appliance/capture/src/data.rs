//! Volumes and host paths: what is to be read, and what became of it.
//!
//! Nothing is left out without a name: what cannot or should not be read becomes a problem.

use crate::{
    Later,
    member::{Member, Mount, unique},
    peek::Head,
    reach::{Came, Reach, Reader, Taken},
};
use futures::{FutureExt, StreamExt, stream};
use holdfast_docker::{Engine, mover::Mounted};
use holdfast_model::{
    Error, Kind, Problem, Result,
    snapshot::{BindSection, RawJson, StreamRef, VolumeSection},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Host paths that are no data of the app, or far more than its data.
const HOST_SYSTEM: [&str; 10] =
    ["/", "/dev", "/proc", "/sys", "/run", "/var/run", "/var/lib/docker", "/var/lib/containerd", "/etc", "/usr"];
/// Of these nothing below is data either.
const HOST_SYSTEM_BELOW: [&str; 3] = ["/dev/", "/proc/", "/sys/"];

/// Containers made at once: engines make few in parallel anyway.
const MADE_AT_ONCE: usize = 4;

/// A volume to read.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    name: String,
    anonymous: bool,
    inspect: RawJson,
    /// What stays the same as long as it is this volume.
    identity: Value,
    /// Its bytes lie elsewhere (a plugin, NFS): failing to read them is no fault of the host.
    external: bool,
}

/// A host path to read.
#[derive(Clone, Debug)]
pub(crate) struct Bind {
    source: String,
    users: String,
}

/// What the sink is told of a volume's stream: the same in every snapshot.
pub fn volume_label(name: &str) -> String {
    format!("volume {name}")
}

/// What the sink is told of a host path's stream: the same in every snapshot.
pub fn bind_label(source: &str) -> String {
    format!("host path {source}")
}

/// Something to read, with the way to it or with the reason why there is none.
pub(crate) struct Opened<T> {
    what: T,
    reach: Result<Reach>,
    /// What was stored of it before the app was held.
    ahead: Option<StreamRef>,
}

impl Opened<Volume> {
    /// Reads it ahead of the hold.
    pub(crate) async fn read_ahead(&mut self, reader: &Reader) -> Result<()> {
        if let Ok(reach) = &self.reach {
            self.ahead = reader.ahead(reach, &volume_label(&self.what.name)).await?;
        }
        Ok(())
    }
}

impl Opened<Bind> {
    /// Reads it ahead of the hold.
    pub(crate) async fn read_ahead(&mut self, reader: &Reader) -> Result<()> {
        if let Ok(reach) = &self.reach {
            self.ahead = reader.ahead(reach, &bind_label(&self.what.source)).await?;
        }
        Ok(())
    }
}

impl<T> Opened<T> {
    /// Removes what was made to reach it; what cannot be removed now is tried again in the background.
    pub(crate) async fn close(self) {
        if let Ok(reach) = self.reach {
            reach.close().await;
        }
    }
}

/// Sorts out mounts: volumes and host paths to read, each once; the rest becomes problems.
pub(crate) async fn plan(
    engine: &dyn Engine,
    members: &[Member],
    problems: &mut Vec<Problem>,
) -> Result<(Vec<Volume>, Vec<Bind>)> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut volumes, mut binds) = (Vec::new(), Vec::new());
    for member in members {
        for mount in member.mounts() {
            match mount.kind.as_str() {
                "volume" => volumes.push(mount.name),
                "bind" => {
                    users.entry(mount.source.clone()).or_default().push(member.name.clone());
                    binds.push(mount.source);
                }
                "tmpfs" => problems.push(tmpfs(member, &mount)),
                other => problems.push(odd_mount(member, &mount, other)),
            }
        }
    }
    let mut read = Vec::new();
    for name in unique(volumes) {
        read.push(inspect(engine, &name).await?);
    }
    let mut paths = Vec::new();
    for source in unique(binds) {
        let users = users.remove(&source).unwrap_or_default().join(", ");
        paths.extend(bind(source, users, problems));
    }
    Ok((read, paths))
}

/// Volumes and host paths by name, whoever mounts them; `users` is what people call whose they are. `NotFound` (`volume.gone`) for a
/// volume that is not there: to mount its name would make it.
pub(crate) async fn named(
    engine: &dyn Engine,
    (volumes, paths): (&[String], &[String]),
    users: &str,
    problems: &mut Vec<Problem>,
) -> Result<(Vec<Volume>, Vec<Bind>)> {
    let mut read = Vec::new();
    for name in unique(volumes.iter().cloned()) {
        read.push(inspect(engine, &name).await?);
    }
    let paths = unique(paths.iter().cloned());
    Ok((read, paths.into_iter().filter_map(|source| bind(source, users.to_owned(), problems)).collect()))
}

/// A host path to read, unless it is no data of an app, which is told.
fn bind(source: String, users: String, problems: &mut Vec<Problem>) -> Option<Bind> {
    let Some(why) = forbidden(&source) else { return Some(Bind { source, users }) };
    problems.push(not_captured(&source, &users, why));
    None
}

async fn inspect(engine: &dyn Engine, name: &str) -> Result<Volume> {
    let text = engine.volume_inspect(name).await.map_err(|error| match error.kind() {
        Kind::NotFound => {
            Error::not_found("volume.gone", format!("volume {name} is to be read and is not on the host"))
                .caused_by(error)
        }
        _ => error.while_doing(format!("look at volume {name}")),
    })?;
    let inspect = RawJson(text);
    let value = inspect.parse()?;
    let made_by_docker = is_nameless(name);
    let labelled = value["Labels"].get("com.docker.volume.anonymous").is_some();
    let option = |key: &str| value["Options"].get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let remote = ["nfs", "nfs4", "cifs"].contains(&option("type").as_str());
    Ok(Volume {
        anonymous: made_by_docker || labelled,
        identity: identity(&value),
        external: remote || value["Driver"] != "local",
        name: name.to_owned(),
        inspect,
    })
}

/// Whether an engine made up the name.
pub(crate) fn is_nameless(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Not `CreatedAt`: engines before 23 tell the time of the last change in the volume's root directory there.
/// A plain volume made anew looks the same; its members had to be removed for that, which is noticed.
fn identity(inspect: &Value) -> Value {
    ["Driver", "Labels", "Mountpoint", "Options", "Scope"].into_iter().map(|field| inspect[field].clone()).collect()
}

impl Volume {
    /// What to tell of it before anybody has tried to read it.
    pub(crate) fn doubt(&self) -> Option<Problem> {
        self.external.then(|| {
            let text = format!(
                "the content of volume {} lies outside the host: a backup reads it through the engine, if that can",
                self.name
            );
            Problem::note("volume.external", &self.name, text)
        })
    }

    fn mounted(&self) -> Mounted<'_> {
        Mounted::Volume(&self.name)
    }
}

impl Bind {
    fn mounted(&self) -> Mounted<'_> {
        Mounted::HostPath(&self.source)
    }
}

impl Reader {
    /// Makes ways to volumes, before anything is held: making one takes longer than many a read.
    pub(crate) async fn open_volumes(&self, volumes: Vec<Volume>) -> Vec<Opened<Volume>> {
        let open = |what: Volume| async {
            let reach = self.reach(what.mounted()).await;
            Opened { what, reach, ahead: None }
        };
        stream::iter(volumes).map(open).buffered(MADE_AT_ONCE).collect().await
    }

    /// Makes ways to host paths.
    pub(crate) async fn open_binds(&self, binds: Vec<Bind>) -> Vec<Opened<Bind>> {
        let open = |what: Bind| async {
            let reach = self.reach(what.mounted()).await;
            Opened { what, reach, ahead: None }
        };
        stream::iter(binds).map(open).buffered(MADE_AT_ONCE).collect().await
    }

    /// Reads a volume. Fails loudly, unless the volume's bytes lie outside the host.
    pub(crate) async fn volume(&self, opened: &Opened<Volume>) -> Result<Later<(VolumeSection, Vec<Problem>)>> {
        let volume = opened.what.clone();
        self.sink.item(&volume_label(&volume.name));
        let doing = format!("read volume {}", volume.name);
        let came = match self.volume_content(opened).await {
            Ok(came) => came,
            Err(error) if volume.external && is_the_volumes(&error) => {
                let why = error.chain();
                let text =
                    format!("the content of volume {} lies outside the host and could not be read: {why}", volume.name);
                let problem = Problem::error("volume.not_captured", &volume.name, text)
                    .advice("Check the volume's driver and its storage, or back that storage up where it lives.");
                Came::Now(Taken::nothing(), vec![problem])
            }
            // Sizes that no disk has: whoever writes them must not keep the rest of the app from being backed up.
            Err(error) if error.code() == "stream.too_large" => {
                let doing = format!("volume {} was not captured", volume.name);
                let problem = Problem::from_error(&volume.name, &error.while_doing(doing));
                Came::Now(Taken::nothing(), vec![problem])
            }
            Err(error) => return Err(error.while_doing(doing)),
        };
        Ok(async move {
            let (taken, problems) = came.taken().await.map_err(|error| error.while_doing(doing))?;
            let Volume { name, anonymous, inspect, .. } = volume;
            let section = VolumeSection { name, anonymous, inspect, stream: taken.stream, fidelity: taken.fidelity };
            Ok((section, problems))
        }
        .boxed())
    }

    async fn volume_content(&self, opened: &Opened<Volume>) -> Result<Came> {
        let (volume, reach) = (&opened.what, usable(&opened.reach)?);
        // Mounting a name that vanished makes a new, empty volume: it must not pass for the app's.
        let now: Value = RawJson(self.engine.volume_inspect(&volume.name).await?).parse()?;
        if identity(&now) != volume.identity {
            let text = format!("volume {} was removed and made anew during the capture", volume.name);
            return Err(Error::not_found("volume.gone", text));
        }
        let came = self.take(reach, volume.mounted(), &volume_label(&volume.name), opened.ahead.as_ref()).await?;
        match &came {
            Came::Now(taken, _) if taken.head != Head::Directory => {
                Err(short(&format!("volume {} came without its root directory", volume.name)))
            }
            _ => Ok(came),
        }
    }

    /// Reads a host path; one that cannot be read becomes a problem, unless the host or the repository fails.
    pub(crate) async fn bind(&self, opened: &Opened<Bind>) -> Result<Later<(BindSection, Vec<Problem>)>> {
        let bind = opened.what.clone();
        self.sink.item(&bind_label(&bind.source));
        let doing = format!("read host path {}", bind.source);
        let read = async {
            let reach = usable(&opened.reach)?;
            self.take(reach, bind.mounted(), &bind_label(&bind.source), opened.ahead.as_ref()).await
        };
        let came = match read.await {
            Ok(Came::Now(Taken { head: Head::Empty, .. }, _)) => {
                let why = "it is a socket, which holds no data";
                Came::Now(Taken::nothing(), vec![not_captured(&bind.source, &bind.users, why)])
            }
            Ok(came) => came,
            Err(error) if error.code() == "bind.missing" => {
                let text = format!(
                    "the host path {} of {} does not exist, so nothing of it was captured",
                    bind.source, bind.users
                );
                Came::Now(Taken::no_folder(), vec![Problem::warning("bind.missing", &bind.source, text)])
            }
            Err(error) if is_the_volumes(&error) => {
                let doing = format!("the host path {} of {} was not captured", bind.source, bind.users);
                let problem = Problem::from_error(&bind.source, &error.while_doing(doing));
                Came::Now(Taken::no_folder(), vec![problem])
            }
            Err(error) => return Err(error.while_doing(doing)),
        };
        Ok(async move {
            let (taken, problems) = came.taken().await.map_err(|error| error.while_doing(doing))?;
            let directory = taken.head == Head::Directory;
            let section =
                BindSection { source: bind.source, directory, stream: taken.stream, fidelity: taken.fidelity };
            Ok((section, problems))
        }
        .boxed())
    }
}

/// The way, or a copy of the reason why there is none.
fn usable(reach: &Result<Reach>) -> Result<&Reach> {
    reach.as_ref().map_err(|error| {
        let copy = Error::new(error.kind(), error.code().to_owned(), error.chain());
        match error.advice_text() {
            Some(advice) => copy.advice(advice),
            None => copy,
        }
    })
}

/// Whether an error speaks of what was read, not of the host, the repository or a wish to stop.
fn is_the_volumes(error: &Error) -> bool {
    matches!(
        error.code(),
        "stream.short" | "stream.too_large" | "host.refused" | "host.failed" | "path.not_found" | "container.conflict"
    )
}

/// An archive that is not whole.
pub(crate) fn short(what: &str) -> Error {
    Error::new(Kind::Corrupt, "stream.short", what)
}

/// Why a host path is not read, if it is not.
fn forbidden(source: &str) -> Option<&'static str> {
    let path = match source.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    if path.ends_with(".sock") || path.ends_with(".socket") {
        return Some("it is a socket, which holds no data");
    }
    let system = HOST_SYSTEM.contains(&path) || HOST_SYSTEM_BELOW.iter().any(|start| path.starts_with(start));
    system.then_some("it is a part of the host's own system, not data of the app")
}

fn not_captured(source: &str, users: &str, why: &str) -> Problem {
    Problem::warning("bind.not_captured", source, format!("the host path {source} of {users} was not captured: {why}"))
}

fn tmpfs(member: &Member, mount: &Mount) -> Problem {
    Problem::note(
        "tmpfs.not_captured",
        &member.name,
        format!("{} of {} lies in memory and was not captured", mount.destination, member.name),
    )
}

fn odd_mount(member: &Member, mount: &Mount, kind: &str) -> Problem {
    Problem::warning(
        "mount.not_captured",
        &member.name,
        format!("{} of {} is a mount of kind “{kind}”, which cannot be captured", mount.destination, member.name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_paths_that_are_no_data_are_named() {
        for path in
            ["/", "/var/run/docker.sock", "/run/podman/podman.sock", "/proc", "/sys/fs/cgroup", "/dev/sda", "/etc/"]
        {
            assert!(forbidden(path).is_some(), "{path}");
        }
        for path in ["/srv/data", "/etc/localtime", "/home/x/compose", "/var/lib/docker-data", "/devel"] {
            assert!(forbidden(path).is_none(), "{path}");
        }
    }
}
