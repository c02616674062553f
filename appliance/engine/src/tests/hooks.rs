//! Commands around backups: set for services that are there, kept with the settings, gone with their host.

use super::walk::{APP, Walk};
use holdfast_docker::fake::FakeDocker;
use holdfast_model::{Kind, hooks::ServiceHooks};
use std::sync::Arc;

fn pre(command: &str) -> ServiceHooks {
    ServiceHooks { pre: Some(command.into()), ..ServiceHooks::default() }
}

#[tokio::test]
async fn commands_are_set_for_what_is_there_and_go_with_their_host() {
    let walk = Walk::begin(Arc::new(FakeDocker::new())).await;
    let (appliance, app) = (&walk.appliance, APP);
    let view = appliance.hooks(app).await.unwrap();
    assert_eq!(view.error, None);
    let service = view.services.first().expect("it has a service").service.clone();

    let error = appliance.hooks_put(app, "nobody", pre("sync")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::NotFound, "service.unknown"));
    assert!(error.advice_text().is_some_and(|advice| advice.contains(&service)), "{error:?}");
    let error = appliance.hooks_put(app, &service, ServiceHooks::default()).await.unwrap_err();
    assert_eq!(error.code(), "hooks.empty");
    let error = appliance.hooks_remove(app, &service).await.unwrap_err();
    assert_eq!(error.code(), "hooks.none");

    let view = appliance.hooks_put(app, &service, pre("sync")).await.unwrap();
    let line = view.services.iter().find(|one| one.service == service).unwrap();
    assert_eq!((&line.set, &line.effective, line.present), (&pre("sync"), &pre("sync"), true));
    let id = format!("local/{app}");
    assert_eq!(appliance.0.settings().hooks[&id][&service], pre("sync"));
    appliance.hooks_remove(app, &service).await.unwrap();
    assert!(appliance.0.settings().hooks.is_empty());

    appliance.hooks_put(app, &service, pre("sync")).await.unwrap();
    appliance.host_remove("local").await.unwrap();
    assert!(appliance.0.settings().hooks.is_empty(), "another host of that name must not run them");
    walk.end().await;
}
