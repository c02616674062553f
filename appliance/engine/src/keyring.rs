//! Ways into the repository: who may open it, and since when.
//!
//! Invariants: a kit that is about to be retired is no longer called stored before the new one exists; after a new
//! epoch the settings, which hold the bucket's keys, are sealed anew at once; no passphrase is ever logged.

use crate::{house::House, kit, users};
use holdfast_chunk::escrow::PublicKey;
use holdfast_model::{
    Error, Problem, Result, Secret,
    view::{EscrowRequest, KeysChange, KeysView, PassphraseRequest},
};
use holdfast_repository::SlotChange;

/// All ways in.
pub async fn view(house: &House) -> Result<KeysView> {
    house.repository().keys().await
}

/// Lets a passphrase open the repository.
pub async fn add_passphrase(house: &House, request: PassphraseRequest) -> Result<KeysChange> {
    let name = request.name.unwrap_or_default();
    let passphrase = strong(request.passphrase)?;
    let _place = users::place_to_hash().await?;
    let change = house.repository().add_passphrase(&name, passphrase).await?;
    Ok(changed(house, change))
}

/// Puts another passphrase in the place of one: the new one is stored before the old one goes.
pub async fn change_passphrase(house: &House, id: &str, request: PassphraseRequest) -> Result<KeysChange> {
    let passphrase = strong(request.passphrase)?;
    let repository = house.repository();
    let old = repository.keys().await?.slots.into_iter().find(|slot| slot.id == id);
    let old = old
        .filter(|slot| id.starts_with("passphrase-") && slot.ours)
        .ok_or_else(|| Error::not_found("slot.unknown", format!("there is no passphrase with the id “{id}”")))?;
    let name = request.name.unwrap_or(old.name);
    let mut change = {
        let _place = users::place_to_hash().await?;
        repository.add_passphrase(&name, passphrase).await?
    };
    match repository.remove_slot(id).await {
        Ok(removed) => change.problems.extend(removed.problems),
        // The new one counts already: what is left is told, not the whole act refused.
        Err(error) => change.problems.push(
            Problem::warning("slot.not_removed", id, format!("the old passphrase still counts: {}", error.chain()))
                .advice("remove it when the bucket can be reached"),
        ),
    }
    Ok(changed(house, change))
}

/// Lets the owner of a key open the repository.
pub async fn add_escrow(house: &House, request: EscrowRequest) -> Result<KeysChange> {
    let public = PublicKey::from_pem(&request.public_key)?;
    let change = house.repository().add_escrow(&request.name, &public).await?;
    Ok(changed(house, change))
}

/// Takes a passphrase or an escrow key away.
pub async fn remove(house: &House, id: &str) -> Result<KeysChange> {
    let change = house.repository().remove_slot(id).await?;
    Ok(changed(house, change))
}

/// A new recovery key: the old kit opens nothing any more.
pub async fn rotate_recovery(house: &House) -> Result<KeysChange> {
    unconfirm(house).await?;
    let change = house.repository().rotate_recovery().await?;
    Ok(KeysChange { kit: Some(kit::view(house)), ..changed(house, change) })
}

/// A new key epoch, with a new recovery key.
pub async fn rotate_epoch(house: &House) -> Result<KeysChange> {
    unconfirm(house).await?;
    let change = house.repository().rotate_epoch(&house.folder.device_key()).await?;
    house.seal_settings_again().await?;
    Ok(KeysChange { kit: Some(kit::view(house)), ..changed(house, change) })
}

async fn unconfirm(house: &House) -> Result<()> {
    house
        .change_settings(|settings| {
            settings.kit_confirmed = None;
            Ok(())
        })
        .await
}

fn changed(house: &House, change: SlotChange) -> KeysChange {
    // What could not be sent at once goes with the shipper.
    house.tier.nudge();
    house.events.status();
    KeysChange { id: change.id, kit: None, problems: change.problems }
}

fn strong(passphrase: String) -> Result<Secret> {
    let passphrase = Secret::new(passphrase);
    users::strong(&passphrase, "passphrase")?;
    Ok(passphrase)
}
