//! Apps, their policies, and backups of them.

use super::Accepted;
use crate::{
    extract::{Body, Named},
    fault::{Answer, Fault},
    shared::App,
};
use axum::{Json, extract::State};
use holdfast_model::{
    hooks::ServiceHooks,
    job::JobView,
    view::{AppView, AssignRequest, BackupRequest, HooksView},
};

/// All apps, found now or remembered.
#[utoipa::path(get, path = "/apps", tag = "apps", responses((status = 200, description = "Apps", body = Vec<AppView>)))]
pub(super) async fn app_list(State(app): State<App>) -> Json<Vec<AppView>> {
    Json(app.appliance.apps().await)
}

/// One app.
#[utoipa::path(get, path = "/apps/{host}/{app}", tag = "apps",
    params(("host" = String, Path, description = "Host name"), ("app" = String, Path, description = "App name")),
    responses((status = 200, description = "The app", body = AppView)))]
pub(super) async fn app_get(State(app): State<App>, Named((host, name)): Named<(String, String)>) -> Answer<AppView> {
    Ok(Json(app.appliance.app(&format!("{host}/{name}")).await?))
}

/// Puts an app under a policy, or takes it off.
#[utoipa::path(put, path = "/apps/{host}/{app}/policy", tag = "apps", request_body = AssignRequest,
    params(("host" = String, Path, description = "Host name"), ("app" = String, Path, description = "App name")),
    responses((status = 200, description = "The app as it is now", body = AppView)))]
pub(super) async fn app_assign(
    State(app): State<App>,
    Named((host, name)): Named<(String, String)>,
    Body(request): Body<AssignRequest>,
) -> Answer<AppView> {
    Ok(Json(app.appliance.app_assign(&format!("{host}/{name}"), request.policy.as_deref()).await?))
}

/// Commands around the backups of an app, by service.
#[utoipa::path(get, path = "/apps/{host}/{app}/hooks", tag = "apps",
    params(("host" = String, Path, description = "Host name"), ("app" = String, Path, description = "App name")),
    responses((status = 200, description = "What labels say, what was set beside them, and what holds", body = HooksView)))]
pub(super) async fn hooks_list(
    State(app): State<App>,
    Named((host, name)): Named<(String, String)>,
) -> Answer<HooksView> {
    Ok(Json(app.appliance.hooks(&format!("{host}/{name}")).await?))
}

/// Sets the commands of one service, in the place of what was set.
#[utoipa::path(put, path = "/apps/{host}/{app}/hooks/{service}", tag = "apps", request_body = ServiceHooks,
    params(("host" = String, Path, description = "Host name"), ("app" = String, Path, description = "App name"),
        ("service" = String, Path, description = "Service, or name of the container")),
    responses((status = 200, description = "All of the app as they are now", body = HooksView)))]
pub(super) async fn hooks_put(
    State(app): State<App>,
    Named((host, name, service)): Named<(String, String, String)>,
    Body(set): Body<ServiceHooks>,
) -> Answer<HooksView> {
    Ok(Json(app.appliance.hooks_put(&format!("{host}/{name}"), &service, set).await?))
}

/// Takes away what was set for one service; what labels say holds again.
#[utoipa::path(delete, path = "/apps/{host}/{app}/hooks/{service}", tag = "apps",
    params(("host" = String, Path, description = "Host name"), ("app" = String, Path, description = "App name"),
        ("service" = String, Path, description = "Service, or name of the container")),
    responses((status = 200, description = "All of the app as they are now", body = HooksView)))]
pub(super) async fn hooks_remove(
    State(app): State<App>,
    Named((host, name, service)): Named<(String, String, String)>,
) -> Answer<HooksView> {
    Ok(Json(app.appliance.hooks_remove(&format!("{host}/{name}"), &service).await?))
}

/// Starts backups, one job per app.
#[utoipa::path(post, path = "/backups", tag = "apps", request_body = BackupRequest,
    responses((status = 202, description = "The jobs, in the order asked", body = Vec<JobView>)))]
pub(super) async fn backup_start(
    State(app): State<App>,
    Body(request): Body<BackupRequest>,
) -> Result<Accepted<Vec<JobView>>, Fault> {
    Ok(Accepted(app.appliance.backup(request).await?))
}
