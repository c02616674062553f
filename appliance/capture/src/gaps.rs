//! What a backup of each app would leave out, told without one; and what on a host belongs to no app at all.
//!
//! The same rules decide that decide in a backup: mounts are sorted by [`data::plan`]. Nothing is read, paused or made.

use crate::{
    data,
    found::{FoundApp, group, one_offs},
    member::inspect_all,
};
use holdfast_docker::Engine;
use holdfast_model::{Error, Few, Kind, Problem, Result};
use serde_json::Value;
use std::collections::BTreeSet;

/// Label of the tasks of a swarm's services.
const SWARM: &str = "com.docker.swarm.service.name";

/// What a host has and a backup would not.
#[derive(Clone, Debug, Default)]
pub struct Gaps {
    /// By app name, in order: every app, also one without gaps.
    pub apps: Vec<(String, Vec<Problem>)>,
    /// What belongs to no app.
    pub host: Vec<Problem>,
}

/// Looks at everything on a host. An app that goes away meanwhile is left out.
pub async fn gaps(engine: &dyn Engine) -> Result<Gaps> {
    let listing = engine.container_list().await?;
    let mut gaps = Gaps::default();
    let mut used = BTreeSet::new();
    for app in group(&listing) {
        used.extend(app.volumes.iter().cloned());
        match of_app(engine, &app, &listing).await {
            Ok(problems) => gaps.apps.push((app.name, problems.into_iter().collect::<Few>().all())),
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => gaps.apps.push((app.name.clone(), vec![unknown(&app, &error)])),
        }
    }
    // One-off runs and helpers mount volumes too, of apps or of nobody.
    let volumes = engine.volume_list().await?;
    let names = volumes.iter().filter_map(|volume| volume["Name"].as_str()).filter(|name| !used.contains(*name));
    let (nameless, named): (Vec<&str>, Vec<&str>) = names.partition(|name| data::is_nameless(name));
    gaps.host.extend(named.into_iter().map(unused).collect::<Few>().all());
    gaps.host.extend(nameless_unused(&nameless));
    Ok(gaps)
}

async fn of_app(engine: &dyn Engine, app: &FoundApp, listing: &[Value]) -> Result<Vec<Problem>> {
    let members = inspect_all(engine, app).await?;
    let mut problems = Vec::new();
    let (volumes, _) = data::plan(engine, &members, &mut problems).await?;
    problems.extend(volumes.iter().filter_map(data::Volume::doubt));
    problems.extend(members.iter().filter(|member| member.label(SWARM).is_some()).map(|member| swarm(&member.name)));
    if app.project {
        problems.extend(one_offs(listing, &app.name).into_iter().map(|name| {
            let text = format!("container {name} is a one-off run of the project and is not captured");
            Problem::note("container.one_off", name, text)
        }));
    }
    Ok(problems)
}

fn unknown(app: &FoundApp, error: &Error) -> Problem {
    let text = format!("what {} consists of could not be found out: {}", app.name, error.chain());
    Problem::error("coverage.unknown", &app.name, text)
}

fn unused(name: &str) -> Problem {
    let text = format!("volume {name} is used by no app's container, so it is in no backup");
    Problem::warning("volume.unused", name, text).advice(
        "Remove it if nobody needs it; a container that mounts it, even a stopped one, makes it part of an app; a one-off run does not.",
    )
}

/// Hosts gather these by the hundred, and nobody knows them by name: they are told as one.
fn nameless_unused(names: &[&str]) -> Option<Problem> {
    let first = names.first()?;
    let text = match names.len() {
        1 => "one unnamed volume is used by no app's container, so it is in no backup".to_owned(),
        count => format!("{count} unnamed volumes are used by no app's container, so they are in no backup"),
    };
    let told = Problem::note("volume.unused", &first[..12], text);
    Some(told.advice("They are what removed containers left behind; docker volume prune removes them."))
}

fn swarm(name: &str) -> Problem {
    let text = format!(
        "container {name} is a task of a swarm service: secrets, configs and the service itself are not captured"
    );
    Problem::warning("swarm.task", name, text).advice("Keep the stack file, its secrets and configs elsewhere as well.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::bench::Bench;
    use serde_json::json;

    #[tokio::test]
    async fn whatever_a_backup_would_leave_out_is_named_before_it() {
        let bench = Bench::new().await;
        let body =
            json!({ "HostConfig": { "Binds": ["/var/run/docker.sock:/s", "/etc:/e:ro"], "Tmpfs": { "/run": "" } } });
        bench.member("odd", "", body).await;
        bench.docker.volume_create(&json!({ "Name": "orphan" })).await.unwrap();
        for number in 10..30 {
            bench.docker.volume_create(&json!({ "Name": number.to_string().repeat(32) })).await.unwrap();
        }
        let task = json!({ "Image": crate::tests::bench::IMAGE, "Labels": { SWARM: "web" } });
        bench.docker.container_create("web.1.x", &task).await.unwrap();
        bench.docker.forget_calls();
        let gaps = gaps(&bench.docker).await.unwrap();
        let codes = |problems: &[Problem]| problems.iter().map(|problem| problem.code.clone()).collect::<Vec<_>>();
        let names: Vec<_> = gaps.apps.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["shop", "web.1.x"]);
        let shop = codes(&gaps.apps[0].1);
        assert_eq!(shop.iter().filter(|code| *code == "bind.not_captured").count(), 2, "{shop:?}");
        assert!(shop.contains(&"tmpfs.not_captured".to_owned()), "{shop:?}");
        assert_eq!(codes(&gaps.apps[1].1), ["swarm.task"]);
        assert_eq!(codes(&gaps.host), ["volume.unused", "volume.unused"], "those without names are told as one");
        assert_eq!(gaps.host[0].subject, "orphan");
        assert!(gaps.host[1].message.starts_with("20 unnamed volumes"), "{}", gaps.host[1].message);
        let changes = ["create", "start", "pause", "stop", "remove", "put", "exec"];
        let calls = bench.docker.calls();
        assert!(!calls.iter().any(|call| changes.iter().any(|word| call.contains(word))), "it only looks: {calls:?}");
    }
}
