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
    lenders(engine, &mut sections).await?;
    Ok(sections)
}

/// Adds the networks that others take their settings from: no container can be connected to them.
async fn lenders(engine: &dyn Engine, sections: &mut Vec<NetworkSection>) -> Result<()> {
    let mut wanted = Vec::new();
    for section in sections.iter() {
        let inspect = section.inspect.parse()?;
        wanted.extend(inspect["ConfigFrom"]["Network"].as_str().filter(|name| !name.is_empty()).map(str::to_owned));
    }
    for name in unique(wanted) {
        if sections.iter().any(|section| section.name == name) {
            continue;
        }
        match engine.network_inspect(&name).await {
            Ok(text) => sections.push(NetworkSection { name, inspect: RawJson(text) }),
            // Whoever borrowed from it has all settings and says so when it is restored.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error.while_doing(format!("look at network {name}"))),
        }
    }
    Ok(())
}

/// By id, because names may be doubled; by name for containers that never ran and know no id.
async fn inspect(engine: &dyn Engine, name: &str, id: &str) -> Result<String> {
    match engine.network_inspect(id).await {
        Err(error) if error.kind() == Kind::NotFound => engine.network_inspect(name).await,
        other => other,
    }
}
