//! Routes without a login: signs of life, the API's description, first setup, logging in.

use crate::{extract::Body, fault::Fault, listen::Peer, shared::App};
use axum::{
    Json,
    extract::{ConnectInfo, State},
    http::{HeaderValue, header},
    response::IntoResponse,
};
use holdfast_model::{
    Error, Kind, Result, Secret,
    view::{LoginRequest, SessionView, SetupRequest, SetupView},
};

/// Shortest password of an admin, characters.
const PASSWORD_LEAST: usize = 12;
/// Longest password and name: hashing more is work for whoever asks, without use.
const PASSWORD_MOST: usize = 1024;
const NAME_MOST: usize = 64;

type Entered = ([(header::HeaderName, HeaderValue); 1], Json<SessionView>);

/// The process answers.
#[utoipa::path(get, path = "/livez", tag = "open", responses((status = 200, description = "Alive", body = String)))]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// The appliance takes work. Never fails for the bucket's sake: an outage there is no reason to restart.
#[utoipa::path(get, path = "/readyz", tag = "open", responses((status = 200, description = "Ready", body = String)))]
pub(super) async fn readyz(State(app): State<App>) -> Result<&'static str, Fault> {
    if app.closing.is_cancelled() {
        return Err(Error::new(Kind::Unavailable, "appliance.stopping", "the appliance stops").into());
    }
    Ok("ok\n")
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "open", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn openapi_get() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], crate::openapi())
}

/// How far the first setup is.
#[utoipa::path(get, path = "/setup", tag = "open", responses((status = 200, description = "State", body = SetupView)))]
pub(super) async fn setup_get(State(app): State<App>) -> Json<SetupView> {
    Json(app.appliance.setup().await)
}

/// Makes the first admin and logs in. Needs the token of the setup link.
#[utoipa::path(post, path = "/setup", tag = "open", request_body = SetupRequest,
    responses((status = 200, description = "Logged in; sets the session cookie", body = SessionView)))]
pub(super) async fn setup_make(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Body(request): Body<SetupRequest>,
) -> Result<Entered, Fault> {
    app.attempt(peer, async { app.setup.verify(&request.token) }).await?;
    validate_name(&request.name)?;
    validate_password(&request.password)?;
    app.appliance.user_create_first(&request.name, &Secret::new(request.password)).await?;
    app.setup.used().await;
    Ok(enter(&app, request.name))
}

/// Logs in.
#[utoipa::path(post, path = "/session", tag = "open", request_body = LoginRequest,
    responses((status = 200, description = "Logged in; sets the session cookie", body = SessionView)))]
pub(super) async fn session_open(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Body(request): Body<LoginRequest>,
) -> Result<Entered, Fault> {
    let password = Secret::new(request.password);
    let known = async {
        within(&request.name, NAME_MOST)?;
        within(password.reveal(), PASSWORD_MOST)?;
        app.appliance.user_verify(&request.name, &password).await
    };
    app.attempt(peer, known).await?;
    Ok(enter(&app, request.name))
}

fn enter(app: &App, name: String) -> Entered {
    ([(header::SET_COOKIE, app.open_session(&name))], Json(SessionView { name }))
}

/// Refuses what is too long to be anybody's, in the words of a wrong password.
fn within(text: &str, most: usize) -> Result<()> {
    if text.len() <= most {
        return Ok(());
    }
    Err(Error::new(Kind::Denied, "login.wrong", "the name or the password is wrong"))
}

fn validate_name(name: &str) -> Result<()> {
    let known = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    if (1..=NAME_MOST).contains(&name.len()) && name.chars().all(known) && name != "local" {
        return Ok(());
    }
    let what = "a login name is 1 to 64 of letters, digits and . _ @ -, and not “local”";
    Err(Error::invalid("user.name", what))
}

fn validate_password(password: &str) -> Result<()> {
    if password.chars().count() < PASSWORD_LEAST || password.len() > PASSWORD_MOST {
        return Err(Error::invalid("user.password", "a password has at least 12 and at most 1024 characters")
            .advice("Four random words are easy to keep and hard to guess."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_have_rules() {
        for good in ["ada", "ada.l@example", "A_1-b"] {
            validate_name(good).unwrap();
        }
        for bad in ["", "local", "a b", "ä", "<script>", &"a".repeat(65)] {
            assert_eq!(validate_name(bad).unwrap_err().code(), "user.name", "{bad}");
        }
        validate_password("twelve chars").unwrap();
        validate_password("zwölf Zeichen").unwrap();
        for bad in ["", "eleven char", &"x".repeat(1025)] {
            assert_eq!(validate_password(bad).unwrap_err().code(), "user.password");
        }
    }
}
