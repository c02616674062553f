//! Coverage: everything on every host that is not protected, and why.
//!
//! Invariant: whatever was found is named, covered or not; a host that cannot be asked is named as such, never left out.

use crate::{
    apps::{Cover, Facts, app_id},
    house::House,
};
use futures::future::join_all;
use holdfast_capture::{Gaps, gaps};
use holdfast_docker::rights::{self, Need};
use holdfast_model::{
    Error, Kind, Problem, Result,
    view::{AppCoverage, CoverState, CoverageView, HostCoverage},
};
use std::time::Duration;

/// Longest wait for one host.
const LIMIT: Duration = Duration::from_secs(60);

/// Looks at all hosts, side by side.
pub async fn look(house: &House) -> CoverageView {
    let facts = Facts::gather(house);
    let names: Vec<String> = facts.hosts.iter().map(|host| host.host.name.clone()).collect();
    let looks: Vec<_> = names.iter().map(|name| of_host(house, name)).collect();
    let hosts = join_all(looks).await;
    let hosts = names.iter().zip(hosts).map(|(name, found)| host(&facts, name, found)).collect();
    CoverageView { time: facts.now, hosts }
}

async fn of_host(house: &House, name: &str) -> Result<Gaps> {
    let look = async {
        let engine = house.hosts.engine(name).await?;
        let mut found = gaps(engine.as_ref()).await?;
        let missing = rights::missing(engine.as_ref()).await;
        found.host.extend(
            missing.iter().filter(|missing| missing.need == Need::Backup).map(|missing| forbidden(name, missing)),
        );
        Ok(found)
    };
    tokio::time::timeout(LIMIT, look).await.unwrap_or_else(|_| {
        let words = format!("the host did not answer within {} s", LIMIT.as_secs());
        Err(Error::new(Kind::Unavailable, "host.timeout", words))
    })
}

fn host(facts: &Facts, name: &str, found: Result<Gaps>) -> HostCoverage {
    match found {
        Ok(gaps) => HostCoverage {
            host: name.to_owned(),
            error: None,
            apps: gaps.apps.into_iter().map(|(app, gaps)| covered(facts, app_id(name, &app), gaps)).collect(),
            gaps: gaps.host,
        },
        // What it had when it was last seen is still not protected any better.
        Err(error) => HostCoverage {
            host: name.to_owned(),
            error: Some(error.chain()),
            apps: last_seen(facts, name).into_iter().map(|id| covered(facts, id, Vec::new())).collect(),
            gaps: Vec::new(),
        },
    }
}

/// Whatever a backup needs and may not ask for, some backup will miss.
fn forbidden(host: &str, missing: &rights::Missing) -> Problem {
    let text = format!("the host forbids a call that backups need: to {} ({})", missing.what, missing.call);
    Problem::error("host.right_missing", host, text)
        .advice("Allow it in the proxy before the engine; deploy/docs/socket-proxy.md has the list.")
}

fn last_seen(facts: &Facts, name: &str) -> Vec<String> {
    let of_host = facts.hosts.iter().filter(|state| state.host.name == name);
    of_host.flat_map(|state| &state.seen.apps).map(|app| app_id(name, &app.name)).collect()
}

fn covered(facts: &Facts, id: String, gaps: Vec<holdfast_model::Problem>) -> AppCoverage {
    let (state, policy) = match facts.cover(&id) {
        Cover::Policy(policy) => (CoverState::Covered, Some(policy.name)),
        Cover::Nobody => (CoverState::Nobody, None),
        Cover::Excluded => (CoverState::Excluded, None),
        Cover::Unknown(policy) => (CoverState::UnknownPolicy, Some(policy)),
    };
    AppCoverage { id, state, policy, gaps }
}
