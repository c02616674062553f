//! Networks of the app, as the engine describes them. The engine's own three are only referred to.

use crate::member::{Member, unique};
use holdfast_docker::Engine;
use holdfast_model::{
    Kind, Problem, Result,
    snapshot::{NetworkSection, RawJson},
};

/// Every engine has these.
const BUILT_IN: [&str; 5] = ["bridge", "host", "none", "default", "podman"];

/// Describes all networks that members are connected to.
pub(crate) async fn describe(
    engine: &dyn Engine,
    members: &[Member],
    problems: &mut Vec<Problem>,
) -> Result<Vec<NetworkSection>> {
    let all = unique(members.iter().flat_map(Member::networks));
    let mut sections: Vec<NetworkSection> = Vec::new();
    for (name, id) in all {
        if BUILT_IN.contains(&name.as_str()) || sections.iter().any(|section| section.name == name) {
            continue;
        }
        match inspect(engine, &name, &id).await {
            Ok(text) => sections.push(NetworkSection { name, inspect: RawJson(text) }),
            Err(error) if error.kind() == Kind::NotFound => problems.push(Problem::warning(
                "network.gone",
                &name,
                format!("network {name} of the app is not on the host any more, so its settings were not captured"),
            )),
            Err(error) => return Err(error.while_doing(format!("look at network {name}"))),
        }
    }
    Ok(sections)
}

/// By id, because names may be doubled; by name for containers that never ran and know no id.
async fn inspect(engine: &dyn Engine, name: &str, id: &str) -> Result<String> {
    match engine.network_inspect(id).await {
        Err(error) if error.kind() == Kind::NotFound => engine.network_inspect(name).await,
        other => other,
    }
}
