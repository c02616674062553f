//! Docker hosts and policies.

use crate::{
    extract::{Body, Named},
    fault::{Answer, Fault},
    shared::App,
};
use axum::{Json, extract::State, http::StatusCode};
use holdfast_model::{
    Error,
    policy::Policy,
    view::{HostRequest, HostView, PolicyView},
};

/// Registered hosts.
#[utoipa::path(get, path = "/hosts", tag = "hosts", responses((status = 200, description = "Hosts", body = Vec<HostView>)))]
pub(super) async fn host_list(State(app): State<App>) -> Json<Vec<HostView>> {
    Json(app.appliance.hosts().await)
}

/// Registers a host.
#[utoipa::path(post, path = "/hosts", tag = "hosts", request_body = HostRequest,
    responses((status = 201, description = "The host", body = HostView)))]
pub(super) async fn host_add(
    State(app): State<App>,
    Body(request): Body<HostRequest>,
) -> Result<(StatusCode, Json<HostView>), Fault> {
    let host = app.appliance.host_add(request).await?;
    Ok((StatusCode::CREATED, Json(host)))
}

/// Forgets a host; its snapshots remain.
#[utoipa::path(delete, path = "/hosts/{name}", tag = "hosts", params(("name" = String, Path, description = "Host name")),
    responses((status = 204, description = "Forgotten")))]
pub(super) async fn host_remove(State(app): State<App>, Named(name): Named<String>) -> Result<StatusCode, Fault> {
    app.appliance.host_remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Policies with what they cover.
#[utoipa::path(get, path = "/policies", tag = "hosts", responses((status = 200, description = "Policies", body = Vec<PolicyView>)))]
pub(super) async fn policy_list(State(app): State<App>) -> Json<Vec<PolicyView>> {
    Json(app.appliance.policies().await)
}

/// Makes or changes a policy.
#[utoipa::path(put, path = "/policies/{name}", tag = "hosts", request_body = Policy,
    params(("name" = String, Path, description = "Policy name")),
    responses((status = 200, description = "The policy", body = PolicyView)))]
pub(super) async fn policy_put(
    State(app): State<App>,
    Named(name): Named<String>,
    Body(policy): Body<Policy>,
) -> Answer<PolicyView> {
    if policy.name != name {
        return Err(Error::invalid("policy.name", "the policy's name differs from the one in the address").into());
    }
    Ok(Json(app.appliance.policy_put(policy).await?))
}

/// Removes a policy that no app uses.
#[utoipa::path(delete, path = "/policies/{name}", tag = "hosts", params(("name" = String, Path, description = "Policy name")),
    responses((status = 204, description = "Removed")))]
pub(super) async fn policy_remove(State(app): State<App>, Named(name): Named<String>) -> Result<StatusCode, Fault> {
    app.appliance.policy_remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
