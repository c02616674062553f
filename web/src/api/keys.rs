//! Ways to open the repository: slots, epochs, escrow.
//!
//! Whoever adds a way in, or gets a new kit, could read every backup with it: these ask for the password again.

use super::repository::step_up;
use crate::{
    extract::{Body, Named},
    fault::{Answer, Fault},
    listen::Peer,
    shared::{App, Caller},
};
use axum::{
    Extension, Json,
    extract::{ConnectInfo, State},
    http::StatusCode,
};
use holdfast_model::view::{EscrowRequest, KeysChange, KeysView, PassphraseRequest, StepUp};

type Made = Result<(StatusCode, Json<KeysChange>), Fault>;

/// All ways to open the repository.
#[utoipa::path(get, path = "/keys", tag = "keys", responses((status = 200, description = "Slots and epoch", body = KeysView)))]
pub(super) async fn keys_get(State(app): State<App>) -> Answer<KeysView> {
    Ok(Json(app.appliance.keys().await?))
}

/// Lets a passphrase open the repository.
#[utoipa::path(post, path = "/keys/passphrases", tag = "keys", request_body = PassphraseRequest,
    responses((status = 201, description = "The slot", body = KeysChange)))]
pub(super) async fn passphrase_add(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Extension(caller): Extension<Caller>,
    Body(mut request): Body<PassphraseRequest>,
) -> Made {
    step_up(&app, peer, &caller, StepUp { password: request.password.take() }).await?;
    Ok((StatusCode::CREATED, Json(app.appliance.passphrase_add(request).await?)))
}

/// Puts another passphrase in the place of one. Does not take back what the old one has opened.
#[utoipa::path(put, path = "/keys/{id}", tag = "keys", params(("id" = String, Path, description = "Slot id")),
    request_body = PassphraseRequest, responses((status = 200, description = "The new slot", body = KeysChange)))]
pub(super) async fn passphrase_change(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<String>,
    Body(mut request): Body<PassphraseRequest>,
) -> Answer<KeysChange> {
    step_up(&app, peer, &caller, StepUp { password: request.password.take() }).await?;
    Ok(Json(app.appliance.passphrase_change(&id, request).await?))
}

/// Removes a passphrase or an escrow key. Does not take back what its owner has read.
#[utoipa::path(delete, path = "/keys/{id}", tag = "keys", params(("id" = String, Path, description = "Slot id")),
    responses((status = 200, description = "What is left to do", body = KeysChange)))]
pub(super) async fn slot_remove(State(app): State<App>, Named(id): Named<String>) -> Answer<KeysChange> {
    Ok(Json(app.appliance.slot_remove(&id).await?))
}

/// Lets the owner of a key open the repository.
#[utoipa::path(post, path = "/keys/escrow", tag = "keys", request_body = EscrowRequest,
    responses((status = 201, description = "The slot", body = KeysChange)))]
pub(super) async fn escrow_add(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Extension(caller): Extension<Caller>,
    Body(mut request): Body<EscrowRequest>,
) -> Made {
    step_up(&app, peer, &caller, StepUp { password: request.password.take() }).await?;
    Ok((StatusCode::CREATED, Json(app.appliance.escrow_add(request).await?)))
}

/// Begins a new key epoch. The answer holds the new recovery kit; the old one opens nothing any more.
#[utoipa::path(post, path = "/keys/rotate", tag = "keys", request_body = StepUp,
    responses((status = 200, description = "The new kit", body = KeysChange)))]
pub(super) async fn epoch_rotate(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Extension(caller): Extension<Caller>,
    Body(proof): Body<StepUp>,
) -> Answer<KeysChange> {
    step_up(&app, peer, &caller, proof).await?;
    Ok(Json(app.appliance.epoch_rotate().await?))
}

/// Makes a new recovery key. The answer holds the new kit; the old one opens nothing any more.
#[utoipa::path(post, path = "/keys/recovery", tag = "keys", request_body = StepUp,
    responses((status = 200, description = "The new kit", body = KeysChange)))]
pub(super) async fn recovery_rotate(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Extension(caller): Extension<Caller>,
    Body(proof): Body<StepUp>,
) -> Answer<KeysChange> {
    step_up(&app, peer, &caller, proof).await?;
    Ok(Json(app.appliance.recovery_rotate().await?))
}
