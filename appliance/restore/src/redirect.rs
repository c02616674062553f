//! Host paths that lead elsewhere by now: an app that may write into a folder of the host can put a link in the place of a
//! folder below it that is mounted too, and whoever mounts that path again follows it.
//!
//! Only such paths are looked at. What an administrator linked lies in folders that no container writes to, and is
//! followed as ever.

use crate::{
    helper::{Helper, MOUNT},
    json::{list, text},
    probe::says_no_path,
    survey::{Survey, host_folder},
};
use holdfast_docker::Engine;
use holdfast_model::{Error, Kind, Problem, Result, snapshot::Snapshot};
use holdfast_tar::MemberKind;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Folders of the host that containers write to, of the snapshot and on the host as it is.
pub(crate) struct Written(BTreeSet<String>);

impl Written {
    /// Of all that the snapshot has, also if a part of it is restored.
    pub(crate) fn of(snapshot: &Snapshot, survey: &Survey) -> Result<Written> {
        let mut volumes = BTreeMap::new();
        for section in &snapshot.volumes {
            let inspect = section.inspect.parse()?;
            volumes.extend(host_folder(&inspect).map(|folder| (section.name.clone(), folder.to_owned())));
        }
        let mut found = BTreeSet::new();
        let mut add = |described: &Value| {
            for mount in list(described, "/Mounts").iter().filter(|mount| mount.get("RW") != Some(&json!(false))) {
                let name = text(mount, "/Name");
                let present = survey.volume(name).and_then(host_folder);
                found.extend(volumes.get(name).map(String::as_str).or(present).map(str::to_owned));
                found.insert(text(mount, "/Source").to_owned());
            }
        };
        for container in &snapshot.containers {
            add(&container.inspect.parse()?);
        }
        survey.containers().for_each(&mut add);
        let trimmed = found.iter().map(|path| path.trim_end_matches('/').to_owned());
        // Whoever may write to the root of the host may do anything on it: what lies where says nothing then.
        Ok(Written(trimmed.filter(|path| !path.is_empty()).collect()))
    }
}

/// What is wrong with a path of the host that shall be written to: a link below a folder that containers write to.
pub(crate) async fn redirected(
    engine: &Arc<dyn Engine>,
    owner: &str,
    path: &str,
    Written(written): &Written,
) -> Result<Option<Problem>> {
    let path = path.trim_end_matches('/');
    let below = |above: &&String| path.strip_prefix(above.as_str()).is_some_and(|rest| rest.starts_with('/'));
    // The topmost: all steps below it are looked at.
    let Some(above) = written.iter().filter(below).min_by_key(|above| above.len()) else { return Ok(None) };
    let mounted =
        json!({"Mounts": [{"Type": "bind", "Source": above, "Target": MOUNT, "ReadOnly": true}], "UsernsMode": "host"});
    let helper = match Helper::asking(engine, owner, &mounted).await {
        Ok(helper) => helper,
        // It is not there, so nothing in it leads elsewhere.
        Err(error) if says_no_path(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let looked = async {
        let rest = &path[above.len()..];
        for end in rest.match_indices('/').skip(1).map(|(at, _)| at).chain([rest.len()]) {
            match helper.kind(&format!("{MOUNT}{}", &rest[..end])).await? {
                None => return Ok(None),
                Some(MemberKind::Symlink) => return Ok(Some(format!("{above}{}", &rest[..end]))),
                Some(_) => {}
            }
        }
        Ok(None)
    };
    let looked: Result<Option<String>> = looked.await;
    helper.remove().await;
    Ok(looked?.map(|link| {
        let message = format!("{path} is to be written to, but {link}, which containers can change, is a link by now");
        Problem::error("path.redirected", path, message)
            .advice(format!("See where {link} leads; put the folder back in its place, or restore beside (--as NAME)."))
    }))
}

/// Looks at one path of the host at the last moment, before something is written there. `Conflict` (`path.redirected`).
pub async fn leads_elsewhere(engine: &Arc<dyn Engine>, owner: &str, snapshot: &Snapshot, path: &str) -> Result<()> {
    let survey = Survey::of(engine.as_ref()).await?;
    match redirected(engine, owner, path, &Written::of(snapshot, &survey)?).await? {
        Some(Problem { code, message, advice, .. }) => {
            Err(Error::new(Kind::Conflict, code, message).advice(advice.unwrap_or_default()))
        }
        None => Ok(()),
    }
}

/// The folder of the host that a volume stands for, if it does.
pub async fn folder_of_volume(engine: &dyn Engine, name: &str) -> Result<Option<String>> {
    let inspect: Value = serde_json::from_str(&engine.volume_inspect(name).await?).unwrap_or_default();
    Ok(host_folder(&inspect).map(str::to_owned))
}
