//! The API: routes and their documentation are one thing, so that they cannot drift apart.
//!
//! Handlers parse, call the appliance, and show the view; nothing is decided here. [`open`] holds
//! what needs no login, everything else stands behind the guard.

mod apps;
mod bucket;
mod cache;
mod files;
mod hosts;
mod jobs;
mod keys;
mod open;
mod overview;
mod repository;
mod snapshots;

use crate::{
    assets, guard,
    shared::{App, COOKIE},
};
use axum::{
    Json,
    extract::DefaultBodyLimit,
    http::{HeaderValue, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
};
use holdfast_model::{
    job::JobView,
    view::{ErrorView, Event},
};
use tower_http::{
    compression::{
        CompressionLayer, Predicate,
        predicate::{DefaultPredicate, NotForContentType},
    },
    set_header::SetResponseHeaderLayer,
};
use utoipa::{
    OpenApi,
    openapi::{
        self, Content, Ref, ResponseBuilder,
        path::Operation,
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Where the API begins.
const PREFIX: &str = "/api/v1";
/// The largest request: a kit, a bundle or certificates, never data.
const BODY_LIMIT: usize = 1 << 20;
/// Name of the login in the document.
const LOGIN: &str = "session";

#[derive(OpenApi)]
#[openapi(
    info(title = "Holdfast", description = "Agentless backup of Docker apps: hosts, cache, bucket.", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    components(schemas(Event, ErrorView)),
    tags(
        (name = "open", description = "Needs no login."),
        (name = "overview", description = "The whole appliance at a glance."),
        (name = "apps", description = "What is protected."),
        (name = "snapshots", description = "Restore points and restores."),
        (name = "files", description = "What is inside restore points."),
        (name = "jobs", description = "Work under way and done."),
        (name = "hosts", description = "Docker hosts and policies."),
        (name = "repository", description = "Check, prune, recovery kit, recovery."),
        (name = "keys", description = "Ways to open the repository."),
        (name = "cache", description = "The local tier."),
        (name = "bucket", description = "The cloud tier."),
    )
)]
struct Document;

/// The API's description, OpenAPI 3.1.
pub(crate) fn document() -> openapi::OpenApi {
    assemble(closed_routes()).1
}

/// The whole service: API, health, pages.
pub(crate) fn router(app: &App) -> axum::Router {
    let closed = closed_routes().route_layer(from_fn_with_state(app.clone(), guard::login));
    let fresh = HeaderValue::from_static("no-store");
    // Contents go out as they are: with their length, so that a transfer that broke off is seen.
    let squeezed = DefaultPredicate::new()
        .and(NotForContentType::const_new(files::PLAIN))
        .and(NotForContentType::const_new(files::TAR))
        .and(NotForContentType::const_new(files::ZIP));
    assemble(closed)
        .0
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, fresh))
        .method_not_allowed_fallback(assets::wrong_method)
        .fallback(assets::serve)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CompressionLayer::new().compress_when(squeezed))
        .layer(from_fn_with_state(app.clone(), guard::doorway))
        .with_state(app.clone())
}

fn assemble(closed: OpenApiRouter<App>) -> (axum::Router<App>, openapi::OpenApi) {
    let api = open_routes().merge(closed);
    let whole = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(open::livez))
        .routes(routes!(open::readyz))
        .nest(PREFIX, api);
    let (router, mut document) = whole.split_for_parts();
    finish(&mut document);
    (router, document)
}

/// Every route here works without a login; each has its reason in `open`.
fn open_routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(open::openapi_get))
        .routes(routes!(open::setup_get, open::setup_make))
        .routes(routes!(open::session_open))
}

fn closed_routes() -> OpenApiRouter<App> {
    let mut closed = OpenApiRouter::default()
        .routes(routes!(overview::session_get, overview::session_close))
        .routes(routes!(overview::status_get))
        .routes(routes!(overview::coverage))
        .routes(routes!(overview::doctor_run))
        .routes(routes!(overview::event_stream))
        .routes(routes!(overview::setup_link_get))
        .routes(routes!(apps::app_list))
        .routes(routes!(apps::app_get))
        .routes(routes!(apps::app_assign))
        .routes(routes!(apps::hooks_list))
        .routes(routes!(apps::hooks_put, apps::hooks_remove))
        .routes(routes!(apps::backup_start))
        .routes(routes!(snapshots::snapshot_list))
        .routes(routes!(snapshots::snapshot_get, snapshots::snapshot_forget))
        .routes(routes!(snapshots::snapshot_unforget))
        .routes(routes!(snapshots::snapshot_compose))
        .routes(routes!(files::section_list))
        .routes(routes!(files::file_list, files::file_put))
        .routes(routes!(files::file_content))
        .routes(routes!(files::file_find))
        .routes(routes!(files::file_diff))
        .routes(routes!(snapshots::restore_plan))
        .routes(routes!(snapshots::restore_start))
        .routes(routes!(jobs::job_list))
        .routes(routes!(jobs::job_get))
        .routes(routes!(jobs::job_cancel))
        .routes(routes!(hosts::host_list, hosts::host_add))
        .routes(routes!(hosts::host_remove))
        .routes(routes!(hosts::policy_list))
        .routes(routes!(hosts::policy_put, hosts::policy_remove))
        .routes(routes!(repository::check_get, repository::check_start))
        .routes(routes!(repository::check_daily, repository::check_daily_set))
        .routes(routes!(repository::prune_plan, repository::prune_start))
        .routes(routes!(repository::kit_make))
        .routes(routes!(repository::kit_confirm))
        .routes(routes!(repository::recover_start))
        .routes(routes!(keys::keys_get))
        .routes(routes!(keys::passphrase_add))
        .routes(routes!(keys::escrow_add))
        .routes(routes!(keys::epoch_rotate))
        .routes(routes!(keys::recovery_rotate))
        .routes(routes!(keys::passphrase_change, keys::slot_remove))
        .routes(routes!(cache::cache_get, cache::cache_set))
        .routes(routes!(cache::cache_evict))
        .routes(routes!(cache::snapshot_warm))
        .routes(routes!(bucket::bucket_get, bucket::bucket_set))
        .routes(routes!(bucket::bucket_probe))
        .routes(routes!(bucket::uploads_set))
        .routes(routes!(bucket::lock_set))
        .routes(routes!(bucket::enrol));
    let needed = SecurityRequirement::new(LOGIN, Vec::<String>::new());
    for operation in operations(closed.get_openapi_mut()) {
        operation.security = Some(vec![needed.clone()]);
    }
    closed
}

/// What is true of every route: errors are problem documents, the login is a cookie.
fn finish(document: &mut openapi::OpenApi) {
    let components = document.components.get_or_insert_default();
    let cookie = ApiKeyValue::with_description(COOKIE, "Set by POST /session; not needed on the unix socket.");
    components.add_security_scheme(LOGIN, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    let problem = ResponseBuilder::new()
        .description("What went wrong, for whom, and what to do")
        .content("application/problem+json", Content::new(Some(Ref::from_schema_name("ErrorView"))))
        .build();
    for operation in operations(document) {
        operation.responses.responses.insert("default".into(), problem.clone().into());
    }
}

fn operations(document: &mut openapi::OpenApi) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|item| {
        [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().filter_map(Option::as_mut)
    })
}

/// Work that was taken on: its jobs tell how it goes.
struct Accepted<T>(T);

impl IntoResponse for Accepted<JobView> {
    fn into_response(self) -> Response {
        let place = HeaderValue::from_str(&format!("{PREFIX}/jobs/{}", self.0.id)).expect("job ids are plain ASCII");
        (StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(self.0)).into_response()
    }
}

impl IntoResponse for Accepted<Vec<JobView>> {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, Json(self.0)).into_response()
    }
}
