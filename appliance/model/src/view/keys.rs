//! API shapes of the ways in: key slots, epochs, escrow.

use super::KitView;
use crate::{Moment, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What opens a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlotWay {
    /// The appliance's own key file; its slot never leaves the appliance.
    #[default]
    Device,
    /// The recovery kit.
    Recovery,
    /// A passphrase.
    Passphrase,
    /// A second person's or the provider's private key.
    Escrow,
}

/// One way to open the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SlotView {
    /// Its id.
    pub id: String,
    /// What opens it.
    pub way: SlotWay,
    /// What people call it.
    pub name: String,
    /// When it was made; absent if it cannot be read.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub made: Option<Moment>,
    /// The newest key epoch that it opens.
    pub epoch: u8,
    /// Fingerprint of the public key (escrow), to be compared with its owner.
    pub fingerprint: Option<String>,
    /// The cache holds it.
    pub in_cache: bool,
    /// The bucket holds it.
    pub in_bucket: bool,
    /// This appliance, or one before it, wrote it; if not, somebody else has put it there.
    pub ours: bool,
    /// It was replaced and is to go; it still opens what was written before.
    pub retired: bool,
}

/// All ways to open the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct KeysView {
    /// The key epoch that new data is sealed in, from 0.
    pub epoch: u8,
    /// When it began; absent for the first.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub epoch_since: Option<Moment>,
    /// Slots, by way and age.
    pub slots: Vec<SlotView>,
    /// How many there may be.
    pub slots_max: u32,
}

/// A passphrase to add, or to put in the place of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PassphraseRequest {
    /// What people call it; a change keeps the name unless one is given.
    #[serde(default)]
    pub name: Option<String>,
    /// The passphrase, at least 12 characters.
    pub passphrase: String,
    /// The logged-in person's password (not needed on the unix socket).
    #[serde(default)]
    pub password: Option<String>,
}

/// Lets the owner of a key open everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EscrowRequest {
    /// Who that is.
    pub name: String,
    /// PEM of the X25519 public key.
    pub public_key: String,
    /// The logged-in person's password (not needed on the unix socket).
    #[serde(default)]
    pub password: Option<String>,
}

/// What became of a change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct KeysChange {
    /// The slot that was made or removed.
    pub id: String,
    /// The new recovery kit, if the old one was retired: holds the recovery key.
    pub kit: Option<KitView>,
    /// What is left to do, and why.
    pub problems: Vec<Problem>,
}
