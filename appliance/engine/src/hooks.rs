//! Commands of an app's own around its backups: what labels say, what was set beside them, and what holds.
//!
//! Invariant: nothing can be set for a service that the app does not have at that moment; it could not have its effect.

use crate::{apps::split, backup, house::House, words::meant};
use holdfast_capture::{FoundApp, discover};
use holdfast_model::{
    Error, Kind, Result,
    hooks::{AppHooks, ServiceHooks},
    view::{HooksView, ServiceHooksView},
};
use std::collections::BTreeMap;

/// All of an app. A host that cannot be asked leaves what labels say open, and says why.
pub async fn list(house: &House, asked: &str) -> Result<HooksView> {
    let (_, app) = backup::find(house, asked).await?;
    let set = house.settings().hooks.get(&app).cloned().unwrap_or_default();
    Ok(beside_labels(house, &app, &set).await)
}

async fn beside_labels(house: &House, app: &str, set: &AppHooks) -> HooksView {
    let (labels, error) = match labels(house, app).await {
        Ok(labels) => (labels, None),
        Err(error) => (BTreeMap::new(), Some(error.chain())),
    };
    HooksView { services: joined(&labels, set), error }
}

/// Sets the commands of one service, in the place of what was set. `NotFound` (`service.unknown`), `Invalid` (`hooks.empty` and others).
pub async fn put(house: &House, asked: &str, service: &str, hooks: ServiceHooks) -> Result<HooksView> {
    hooks.validate()?;
    let (_, app) = backup::find(house, asked).await?;
    let labels = labels(house, &app).await?;
    if !labels.contains_key(service) {
        return Err(unknown(&app, service, &labels));
    }
    let set = house
        .change_settings(|settings| {
            let of_app = settings.hooks.entry(app.clone()).or_default();
            of_app.insert(service.to_owned(), hooks);
            Ok(of_app.clone())
        })
        .await?;
    Ok(HooksView { services: joined(&labels, &set), error: None })
}

/// Takes away what was set for one service; what labels say holds again. `NotFound` (`hooks.none`).
pub async fn remove(house: &House, asked: &str, service: &str) -> Result<HooksView> {
    let app = match backup::find(house, asked).await {
        Ok((_, app)) => app,
        // What is set for an app that is gone can still go.
        Err(_) if house.settings().hooks.contains_key(asked) => asked.to_owned(),
        Err(error) => return Err(error),
    };
    let left = house
        .change_settings(|settings| {
            let of_app = settings.hooks.entry(app.clone()).or_default();
            if of_app.remove(service).is_none() {
                return Err(Error::not_found("hooks.none", format!("nothing is set for {service} of {app}")));
            }
            let left = of_app.clone();
            settings.hooks.retain(|_, of_app| !of_app.is_empty());
            Ok(left)
        })
        .await?;
    Ok(beside_labels(house, &app, &left).await)
}

/// What labels say, by service; each service of the app is there.
async fn labels(house: &House, app: &str) -> Result<AppHooks> {
    let (host, name) = split(app);
    let engine = house.hosts.engine(host).await?;
    // As a capture chooses: a project before a container of its name.
    let found = discover(engine.as_ref()).await?.into_iter().filter(|found| found.name == name);
    let Some(FoundApp { containers, .. }) = found.max_by_key(|found| found.project) else {
        return Err(Error::new(Kind::NotFound, "app.gone", format!("{app} is not on its host any more")));
    };
    Ok(containers.into_iter().map(|one| (one.service().to_owned(), one.hooks)).collect())
}

fn joined(labels: &AppHooks, set: &AppHooks) -> Vec<ServiceHooksView> {
    let mut services: Vec<&String> = labels.keys().chain(set.keys()).collect();
    services.sort();
    services.dedup();
    let of = |all: &AppHooks, service: &String| all.get(service).cloned().unwrap_or_default();
    let view = |service: &String| {
        let (labels_of, set_of) = (of(labels, service), of(set, service));
        let effective = set_of.over(&labels_of);
        let present = labels.contains_key(service);
        ServiceHooksView { service: service.clone(), present, labels: labels_of, set: set_of, effective }
    };
    services.into_iter().map(view).collect()
}

fn unknown(app: &str, service: &str, known: &AppHooks) -> Error {
    let advice = meant(service, "It has:", known.keys().map(String::as_str));
    Error::not_found("service.unknown", format!("{app} has no service {service}")).advice(advice)
}
