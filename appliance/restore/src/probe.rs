//! Asks the engine itself whether it can give what a container wants of its host: by a helper that is created, never runs and is
//! removed at once. An engine looks for paths, limits, runtimes and log drivers when it creates a container, and for
//! graphics cards when it starts one, before anything in it could run; the helper has nothing that could.
//!
//! Invariants: nothing of the host is mounted, since nothing runs; what the engine does not say for sure is
//! taken for given, and a helper that may not be made at all is told.

use crate::helper::Helper;
use holdfast_docker::Engine;
use holdfast_model::{Error, Kind, Result};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What an engine's refusal of a path that is not there holds: Docker's words and Podman's.
const NO_PATH: [&str; 2] = ["path does not exist", "no such file or directory"];
/// Whether the engine says that a path of the host is not there.
pub(crate) fn says_no_path(error: &Error) -> bool {
    let said = error.chain();
    NO_PATH.iter().any(|words| said.contains(words))
}

/// What an engine's refusal of a device request holds.
const NO_DEVICE: [&str; 3] =
    ["could not select device driver", "unresolvable cdi devices", "cdi device injection failed"];

/// The engine, asked. The same question is asked once.
pub(crate) struct Probe<'a> {
    engine: &'a Arc<dyn Engine>,
    owner: &'a str,
    answers: BTreeMap<String, Option<String>>,
    /// Why nothing could be asked, if so.
    pub(crate) mute: Option<String>,
}

impl<'a> Probe<'a> {
    pub(crate) fn new(engine: &'a Arc<dyn Engine>, owner: &'a str) -> Self {
        Probe { engine, owner, answers: BTreeMap::new(), mute: None }
    }

    /// Those of the paths that are not on the host. All are asked for at once, and once more for each that is missing.
    pub(crate) async fn missing(&mut self, paths: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        let (mut left, mut missing) = (paths.clone(), BTreeSet::new());
        while !left.is_empty() {
            let Some(refusal) = self.refusal(&mounts(&left), false).await? else { break };
            if !NO_PATH.iter().any(|words| refusal.to_lowercase().contains(words)) {
                break;
            }
            // The longest, for one path may be the beginning of another.
            let named = left.iter().filter(|path| refusal.contains(path.as_str())).max_by_key(|path| path.len());
            let Some(named) = named.cloned() else { break };
            left.remove(&named);
            missing.insert(named);
        }
        Ok(missing)
    }

    /// Why the engine makes no container with this part of a host configuration; `None` if it does.
    pub(crate) async fn refusal(&mut self, host_config: &Value, start: bool) -> Result<Option<String>> {
        let question = format!("{start} {host_config}");
        if let Some(known) = self.answers.get(&question) {
            return Ok(known.clone());
        }
        if self.mute.is_some() {
            return Ok(None);
        }
        let answer = match self.ask(host_config, start).await {
            Ok(()) => None,
            Err(error) if error.code().starts_with("host.refused") || error.code() == "host.failed" => {
                Some(words(&error))
            }
            // 404 and 409 are answers too: of a runtime, a driver.
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Conflict | Kind::Invalid) => {
                Some(words(&error))
            }
            Err(error) if matches!(error.kind(), Kind::Denied | Kind::Refused) => {
                self.mute = Some(error.chain());
                None
            }
            Err(error) => return Err(error.while_doing("the host could not be asked what it can give")),
        };
        self.answers.insert(question, answer.clone());
        Ok(answer)
    }

    async fn ask(&self, host_config: &Value, start: bool) -> Result<(), Error> {
        let helper = Helper::asking(self.engine, self.owner, host_config).await?;
        let started = if start { self.engine.container_start(helper.id()).await } else { Ok(()) };
        helper.remove().await;
        match started {
            // That its program is not there is what was expected.
            Err(error) if !NO_DEVICE.iter().any(|words| error.chain().to_lowercase().contains(words)) => Ok(()),
            other => other,
        }
    }
}

/// The engine's own words, without the name of the helper that asked.
fn words(error: &Error) -> String {
    let said = error.chain();
    match said.split_once(": ") {
        Some((_, words)) if said.starts_with("host ") => words.to_owned(),
        _ => said,
    }
}

fn mounts(paths: &BTreeSet<String>) -> Value {
    let mounts: Vec<Value> = paths
        .iter()
        .enumerate()
        .map(|(at, path)| json!({"Type": "bind", "Source": path, "Target": format!("/p{at}"), "ReadOnly": true}))
        .collect();
    json!({"Mounts": mounts})
}
