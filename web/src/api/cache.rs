//! The local tier: what it may take, what leaves it, what comes back.

use super::Accepted;
use crate::{
    extract::{Body, Named},
    fault::{Answer, Fault},
    shared::App,
};
use axum::{Json, extract::State};
use holdfast_model::{
    cache::{CacheRule, CacheView, EvictRequest, Evicted},
    job::JobView,
};

/// The cache, how it does and what it may take.
#[utoipa::path(get, path = "/cache", tag = "cache", responses((status = 200, description = "The cache", body = CacheView)))]
pub(super) async fn cache_get(State(app): State<App>) -> Json<CacheView> {
    Json(app.appliance.cache().await)
}

/// Decides what the cache may take of the disk, what stays in it longest, and what a full one does to a backup. All of it is replaced.
#[utoipa::path(put, path = "/cache", tag = "cache", request_body = CacheRule,
    responses((status = 200, description = "The cache", body = CacheView)))]
pub(super) async fn cache_set(State(app): State<App>, Body(rule): Body<CacheRule>) -> Answer<CacheView> {
    Ok(Json(app.appliance.cache_set(rule).await?))
}

/// Lets packs go that the bucket holds, or with `dry_run` says which would.
#[utoipa::path(post, path = "/cache/evict", tag = "cache", request_body = EvictRequest,
    responses((status = 200, description = "What left, or would", body = Evicted)))]
pub(super) async fn cache_evict(State(app): State<App>, Body(request): Body<EvictRequest>) -> Answer<Evicted> {
    Ok(Json(app.appliance.cache_evict(request).await?))
}

/// Brings a snapshot back into the cache.
#[utoipa::path(post, path = "/snapshots/{id}/warm", tag = "cache",
    params(("id" = String, Path, description = "Snapshot id, a unique beginning, or latest:APP")),
    responses((status = 202, description = "The job", body = JobView)))]
pub(super) async fn snapshot_warm(
    State(app): State<App>,
    Named(id): Named<String>,
) -> Result<Accepted<JobView>, Fault> {
    Ok(Accepted(app.appliance.warm(&id).await?))
}
