//! The appliance at a glance: status, doctor, events, the session itself.

use crate::{
    events,
    fault::{Answer, Fault},
    shared::{App, Caller},
};
use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Sse},
};
use holdfast_model::{
    Error, Kind,
    view::{CoverageView, DoctorLine, Event, SessionView, StatusView},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Where the first admin is made.
#[derive(Serialize, ToSchema)]
pub(crate) struct SetupLink {
    /// The link with its one-time token.
    url: String,
}

/// Who is logged in.
#[utoipa::path(get, path = "/session", tag = "overview", responses((status = 200, description = "You", body = SessionView)))]
pub(super) async fn session_get(Extension(caller): Extension<Caller>) -> Json<SessionView> {
    Json(SessionView { name: caller.name })
}

/// Logs out.
#[utoipa::path(delete, path = "/session", tag = "overview", responses((status = 204, description = "Logged out")))]
pub(super) async fn session_close(State(app): State<App>, Extension(caller): Extension<Caller>) -> impl IntoResponse {
    if let Some(session) = &caller.session {
        app.sessions.close(session);
    }
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, app.closed_cookie())])
}

/// Everything of the first page.
#[utoipa::path(get, path = "/status", tag = "overview", responses((status = 200, description = "Status", body = StatusView)))]
pub(super) async fn status_get(State(app): State<App>) -> Json<StatusView> {
    Json(app.appliance.status().await)
}

/// Looks at every host: what is protected, what is not, and why.
#[utoipa::path(get, path = "/coverage", tag = "overview",
    responses((status = 200, description = "Everything on every host, protected or not", body = CoverageView)))]
pub(super) async fn coverage(State(app): State<App>) -> Json<CoverageView> {
    Json(app.appliance.coverage().await)
}

/// Tries everything that a backup needs, and says what works.
#[utoipa::path(get, path = "/doctor", tag = "overview", responses((status = 200, description = "Findings", body = Vec<DoctorLine>)))]
pub(super) async fn doctor_run(State(app): State<App>) -> Json<Vec<DoctorLine>> {
    Json(app.appliance.doctor().await)
}

/// What changes, as it changes: one event per message, named by its `type`, data as JSON.
#[utoipa::path(get, path = "/events", tag = "overview",
    responses((status = 200, description = "Server-sent events", body = Event, content_type = "text/event-stream")))]
pub(super) async fn event_stream(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let resumed = headers.contains_key("last-event-id");
    Sse::new(events::feed(app, caller, resumed))
}

/// The setup link again. Only over the unix socket: who reads it becomes the admin.
#[utoipa::path(post, path = "/setup-link", tag = "overview", responses((status = 200, description = "The link", body = SetupLink)))]
pub(super) async fn setup_link_get(State(app): State<App>, Extension(caller): Extension<Caller>) -> Answer<SetupLink> {
    if !caller.is_local() {
        let what = "the setup link is only told on the appliance itself";
        return Err(Fault::from(Error::new(Kind::Denied, "request.local", what)));
    }
    let url = app.setup_link().await.ok_or_else(|| {
        Error::new(Kind::Conflict, "setup.done", "this appliance has been set up already")
            .advice("Log in with the name and password that were chosen then.")
    })?;
    Ok(Json(SetupLink { url }))
}
