//! Restore points, and putting them back.

use super::{Accepted, files::attached};
use crate::{
    extract::{Asked, Body, Named},
    fault::{Answer, Fault},
    shared::App,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use holdfast_model::{
    job::JobView,
    view::{PlanView, RestoreRequest, SnapshotDetail, SnapshotView},
};
use serde::Deserialize;
use utoipa::IntoParams;

/// Type of compose files: no browser shows or runs it.
const YAML: &str = "application/yaml";

/// Which snapshots to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotFilter {
    /// Only of this app: `host/name` or a unique name.
    #[serde(default)]
    app: Option<String>,
    /// Those alone that somebody forgot and that can be brought back.
    #[serde(default)]
    forgotten: bool,
}

/// How a snapshot is forgotten.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Removal {
    /// Remove it at once, and free what nothing needs then; else it is hidden, and can be brought back for seven days.
    #[serde(default)]
    now: bool,
}

/// Snapshots, oldest first.
#[utoipa::path(get, path = "/snapshots", tag = "snapshots", params(SnapshotFilter),
    responses((status = 200, description = "Snapshots", body = Vec<SnapshotView>)))]
pub(super) async fn snapshot_list(
    State(app): State<App>,
    Asked(filter): Asked<SnapshotFilter>,
) -> Answer<Vec<SnapshotView>> {
    let wanted = filter.app.as_deref();
    let snapshots = match filter.forgotten {
        true => app.appliance.snapshots_forgotten(wanted).await?,
        false => app.appliance.snapshots(wanted).await?,
    };
    Ok(Json(snapshots))
}

/// One snapshot with its contents.
#[utoipa::path(get, path = "/snapshots/{id}", tag = "snapshots",
    params(("id" = String, Path, description = "Snapshot id or a unique beginning")),
    responses((status = 200, description = "The snapshot", body = SnapshotDetail)))]
pub(super) async fn snapshot_get(State(app): State<App>, Named(id): Named<String>) -> Answer<SnapshotDetail> {
    Ok(Json(app.appliance.snapshot(&id).await?))
}

/// A compose file made of what a snapshot says. Values of the environment, secrets among them, are in it as an inspect shows them.
#[utoipa::path(get, path = "/snapshots/{id}/compose", tag = "snapshots",
    params(("id" = String, Path, description = "Snapshot id, a unique beginning, or latest:APP")),
    responses((status = 200, description = "The file; its comments name what could not be told", body = String, content_type = YAML)))]
pub(super) async fn snapshot_compose(State(app): State<App>, Named(id): Named<String>) -> Result<Response, Fault> {
    let (name, text) = app.appliance.snapshot_compose(&id).await?;
    let mut response = text.into_response();
    let given = response.headers_mut();
    given.insert(header::CONTENT_TYPE, HeaderValue::from_static(YAML));
    given.insert(header::CONTENT_DISPOSITION, attached(&name)?);
    Ok(response)
}

/// Forgets a snapshot: it is hidden, and the first prune after seven days frees its space; with `now` that is done at once.
#[utoipa::path(delete, path = "/snapshots/{id}", tag = "snapshots",
    params(("id" = String, Path, description = "Snapshot id or a unique beginning"), Removal),
    responses((status = 204, description = "Forgotten")))]
pub(super) async fn snapshot_forget(
    State(app): State<App>,
    Named(id): Named<String>,
    Asked(removal): Asked<Removal>,
) -> Result<StatusCode, Fault> {
    app.appliance.snapshot_forget(&id, removal.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes back that a snapshot was forgotten.
#[utoipa::path(post, path = "/snapshots/{id}/unforget", tag = "snapshots",
    params(("id" = String, Path, description = "Snapshot id or a unique beginning")),
    responses((status = 200, description = "The snapshot", body = SnapshotView)))]
pub(super) async fn snapshot_unforget(State(app): State<App>, Named(id): Named<String>) -> Answer<SnapshotView> {
    Ok(Json(app.appliance.snapshot_unforget(&id).await?))
}

/// What a restore would do.
#[utoipa::path(post, path = "/restores/plan", tag = "snapshots", request_body = RestoreRequest,
    responses((status = 200, description = "The plan", body = PlanView)))]
pub(super) async fn restore_plan(State(app): State<App>, Body(request): Body<RestoreRequest>) -> Answer<PlanView> {
    Ok(Json(app.appliance.restore_plan(request).await?))
}

/// Starts a restore.
#[utoipa::path(post, path = "/restores", tag = "snapshots", request_body = RestoreRequest,
    responses((status = 202, description = "The job", body = JobView)))]
pub(super) async fn restore_start(
    State(app): State<App>,
    Body(request): Body<RestoreRequest>,
) -> Result<Accepted<JobView>, Fault> {
    Ok(Accepted(app.appliance.restore(request).await?))
}
