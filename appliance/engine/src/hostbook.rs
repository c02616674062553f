//! Registering hosts and taking them out again.
//!
//! Invariants: a host is registered only after it answered; its name is unique; taking it out keeps
//! its snapshots.

use crate::{hosts::HostState, house::House, watch};
use holdfast_model::{
    Error, Kind, Result, Secret,
    settings::{Host, HostSsh, HostTls},
    view::{HostRequest, HostView},
};
use std::{sync::Arc, time::Duration};

/// A host must answer within this to be registered.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// How long the first look at its apps is waited for.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// Hosts of one appliance; each has a task and a connection.
const HOSTS_MAX: usize = 200;

/// All, by name.
pub fn list(house: &House) -> Vec<HostView> {
    house.hosts.list().into_iter().map(view).collect()
}

/// Registers a host. `Conflict` (`host.exists`).
pub async fn add(house: &Arc<House>, request: HostRequest) -> Result<HostView> {
    let host = host_of(request)?;
    host.validate()?;
    let exists = |name: &str| {
        Error::new(Kind::Conflict, "host.exists", format!("there is a host “{name}” already"))
            .advice("Choose another name.")
    };
    if house.settings().hosts.contains_key(&host.name) {
        return Err(exists(&host.name));
    }
    let contact = async { house.outside.host(&host).await?.info().await };
    tokio::time::timeout(CONNECT_LIMIT, contact).await.map_err(|_| {
        Error::new(Kind::Unavailable, "host.unreachable", format!("{} did not answer in time", host.url))
            .advice("Look whether Docker runs there and the way to it is open.")
    })??;
    house
        .change_settings(|settings| {
            if settings.hosts.len() >= HOSTS_MAX {
                return Err(Error::invalid("host.too_many", "there are too many hosts; remove some first"));
            }
            if settings.hosts.contains_key(&host.name) {
                return Err(exists(&host.name));
            }
            settings.hosts.insert(host.name.clone(), host.clone());
            Ok(())
        })
        .await?;
    let name = host.name.clone();
    watch::start(house, host);
    // The answer should tell the apps already; if the host is slow, they come by event.
    let _ = tokio::time::timeout(LOOK_LIMIT, house.hosts.engine(&name)).await;
    let state = house.hosts.list().into_iter().find(|state| state.host.name == name);
    state.map(view).ok_or_else(|| Error::not_found("host.unknown", format!("the host {name} was removed meanwhile")))
}

/// Takes a host out; its snapshots stay.
pub async fn remove(house: &House, name: &str) -> Result<()> {
    house
        .change_settings(|settings| match settings.hosts.remove(name) {
            Some(_) => {
                // Another machine of that name must not run commands that were meant for this one.
                let prefix = format!("{name}/");
                settings.hooks.retain(|app, _| !app.starts_with(&prefix));
                Ok(())
            }
            None => Err(Error::not_found("host.unknown", format!("there is no host “{name}”"))),
        })
        .await?;
    house.hosts.remove(name);
    house.memory.forget_host(name);
    house.events.apps();
    Ok(())
}

/// Pairs of hosts that are the same engine under two names.
pub fn twins(hosts: &[HostState]) -> Vec<(String, String)> {
    let id = |state: &HostState| state.seen.engine.as_ref().map(|engine| engine.id.clone()).filter(|id| !id.is_empty());
    let mut twins = Vec::new();
    for (place, left) in hosts.iter().enumerate() {
        for right in &hosts[place + 1..] {
            if id(left).is_some() && id(left) == id(right) {
                twins.push((left.host.name.clone(), right.host.name.clone()));
            }
        }
    }
    twins
}

/// A host as people see it.
pub fn view(state: HostState) -> HostView {
    let apps = &state.seen.apps;
    HostView {
        name: state.host.name,
        url: state.host.url,
        reachable: state.reachable,
        error: state.error,
        last_seen: state.seen.last_seen,
        engine: state.seen.engine,
        apps: u32::try_from(apps.len()).unwrap_or(u32::MAX),
        containers: apps.iter().map(|app| app.containers).fold(0, u32::saturating_add),
    }
}

fn host_of(request: HostRequest) -> Result<Host> {
    let tls = match (request.tls_ca, request.tls_cert, request.tls_key) {
        (None, None, None) => None,
        (Some(ca), Some(cert), Some(key)) => Some(HostTls { ca, cert, key: Secret::new(key) }),
        _ => {
            return Err(Error::invalid("host.tls", "TLS needs all three: the CA, our certificate and our key"));
        }
    };
    let ssh = match (request.ssh_key, request.ssh_known_hosts) {
        (None, None) => None,
        (key, known_hosts) => {
            let key = key.unwrap_or_default();
            let is_private = key.trim_start().starts_with("-----BEGIN") && key.contains("PRIVATE KEY-----");
            if !is_private && !key.trim().is_empty() {
                return Err(Error::invalid("host.ssh", "that is no private key for SSH")
                    .advice("Give the file without .pub at its end, in the form that ssh-keygen writes."));
            }
            Some(HostSsh { key: Secret::new(key), known_hosts: known_hosts.unwrap_or_default() })
        }
    };
    Ok(Host { name: request.name, url: request.url, tls, ssh })
}
