//! Key slots: the root key wrapped for one way of opening the repository.
//!
//! A slot is a small JSON document. Invariants: the parameters of a passphrase are bounded before
//! they are used; the commitment is compared before anything is decrypted; everything in the slot
//! but the sealed key is bound to it.

use crate::{keys::RootKey, random};
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use argon2::{Algorithm, Argon2, Params, Version};
use holdfast_model::{Error, Kind, RepositoryId, Result, Secret};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const VERSION: u32 = 1;
/// A slot is about 500 bytes; more is hostile.
const SLOT_MAX: usize = 16 * 1024;
/// 64 MiB and three passes are the floor, 4 GiB the ceiling: weaker is unsafe, more is an attack.
const MEMORY_KIB: std::ops::RangeInclusive<u32> = 64 * 1024..=4 * 1024 * 1024;
const PASSES: std::ops::RangeInclusive<u32> = 1..=16;
const LANES: std::ops::RangeInclusive<u32> = 1..=16;

/// What opens a slot.
pub enum Opening<'a> {
    /// 256 random bits in the appliance's own file.
    Device(&'a [u8; 32]),
    /// The key of the recovery kit.
    Recovery(&'a [u8; 32]),
    /// Something a person knows.
    Passphrase(&'a Secret),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Device,
    Recovery,
    Passphrase,
}

/// Cost of a passphrase slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// 256 MiB, three passes, four lanes: about a second.
    fn default() -> Self {
        Cost { memory_kib: 256 * 1024, passes: 3, lanes: 4 }
    }
}

#[derive(Serialize, Deserialize)]
struct Slot {
    version: u32,
    repository: RepositoryId,
    id: String,
    way: Way,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    argon2id: Option<Cost>,
    salt: String,
    commit: String,
    sealed: String,
}

/// Wraps the root key into a slot named `id`.
pub fn wrap(root: &RootKey, repository: RepositoryId, id: &str, opening: &Opening<'_>, cost: Cost) -> Result<Vec<u8>> {
    wrap_with(root, (repository, id), opening, cost, random())
}

/// Wrapping with a given salt; public to this crate for golden vectors only.
pub(crate) fn wrap_with(
    root: &RootKey,
    (repository, id): (RepositoryId, &str),
    opening: &Opening<'_>,
    cost: Cost,
    salt: [u8; 32],
) -> Result<Vec<u8>> {
    let (way, argon2id) = match opening {
        Opening::Device(_) => (Way::Device, None),
        Opening::Recovery(_) => (Way::Recovery, None),
        Opening::Passphrase(_) => (Way::Passphrase, Some(cost)),
    };
    let mut slot = Slot {
        version: VERSION,
        repository,
        id: id.to_owned(),
        way,
        argon2id,
        salt: hex::encode(salt),
        commit: String::new(),
        sealed: String::new(),
    };
    let base = base_key(opening, argon2id, &salt)?;
    let (key, commit) = wrapping_key(&base, &slot);
    slot.commit = hex::encode(commit);
    let mut sealed = Zeroizing::new(root.bytes().to_vec());
    let tag = Aes256Gcm::new(&(*key).into())
        .encrypt_inout_detached(&[0u8; 12].into(), &bound(&slot), sealed.as_mut_slice().into())
        .map_err(|_| Error::bug("a key slot could not be sealed"))?;
    sealed.extend_from_slice(&tag);
    slot.sealed = hex::encode(&*sealed);
    serde_json::to_vec_pretty(&slot).map_err(|error| Error::bug("a key slot could not be written").caused_by(error))
}

/// Unwraps the root key. `Denied` (`key.wrong`) if the opening does not fit, `Corrupt` (`slot.corrupt`)
/// if the slot is unreadable, `Invalid` (`format.unsupported`) for a later version.
pub fn unwrap(bytes: &[u8], repository: RepositoryId, opening: &Opening<'_>) -> Result<RootKey> {
    let slot = parse(bytes)?;
    let fits = matches!(
        (&slot.way, opening),
        (Way::Device, Opening::Device(_))
            | (Way::Recovery, Opening::Recovery(_))
            | (Way::Passphrase, Opening::Passphrase(_))
    );
    if !fits || slot.repository != repository {
        return Err(wrong());
    }
    let salt: [u8; 32] = field(&slot.salt)?;
    let commit: [u8; 32] = field(&slot.commit)?;
    let sealed: [u8; 48] = field(&slot.sealed)?;
    let base = base_key(opening, slot.argon2id, &salt)?;
    let (key, expected) = wrapping_key(&base, &slot);
    if !bool::from(expected[..].ct_eq(&commit[..])) {
        return Err(wrong());
    }
    let mut root = Zeroizing::new([0u8; 32]);
    root.copy_from_slice(&sealed[..32]);
    let tag: [u8; 16] = sealed[32..].try_into().expect("48 less 32 bytes");
    Aes256Gcm::new(&(*key).into())
        .decrypt_inout_detached(&[0u8; 12].into(), &bound(&slot), root.as_mut_slice().into(), &tag.into())
        .map_err(|_| corrupt("its seal is broken"))?;
    Ok(RootKey::from_bytes(*root))
}

fn parse(bytes: &[u8]) -> Result<Slot> {
    if bytes.len() > SLOT_MAX {
        return Err(corrupt("it is far too long"));
    }
    let slot: Slot = serde_json::from_slice(bytes).map_err(|_| corrupt("it is not readable"))?;
    if slot.version != VERSION {
        return Err(Error::invalid(
            "format.unsupported",
            format!("a key slot is written in version {}, this release reads {VERSION}", slot.version),
        )
        .advice("use a later release of holdfast"));
    }
    Ok(slot)
}

fn base_key(opening: &Opening<'_>, cost: Option<Cost>, salt: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>> {
    let passphrase = match opening {
        Opening::Device(key) | Opening::Recovery(key) => return Ok(Zeroizing::new(**key)),
        Opening::Passphrase(passphrase) => passphrase,
    };
    let cost = cost.ok_or_else(|| corrupt("its costs are missing"))?;
    if !MEMORY_KIB.contains(&cost.memory_kib) || !PASSES.contains(&cost.passes) || !LANES.contains(&cost.lanes) {
        return Err(corrupt("its costs are out of bounds"));
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| corrupt("its costs are impossible"))?;
    let mut key = Zeroizing::new([0u8; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.reveal().as_bytes(), salt, &mut *key)
        .map_err(|_| Error::bug("a passphrase could not be stretched"))?;
    Ok(key)
}

/// Key and commitment of a slot, from its base key and its salt.
fn wrapping_key(base: &[u8; 32], slot: &Slot) -> (Zeroizing<[u8; 32]>, [u8; 32]) {
    let mut hasher = blake3::Hasher::new_keyed(base);
    hasher.update(b"holdfast key slot v1");
    hasher.update(&bound(slot));
    let mut both = Zeroizing::new([0u8; 64]);
    hasher.finalize_xof().fill(&mut *both);
    let mut key = Zeroizing::new([0u8; 32]);
    let mut commit = [0u8; 32];
    key.copy_from_slice(&both[..32]);
    commit.copy_from_slice(&both[32..]);
    (key, commit)
}

/// Everything that is said in clear, in one unambiguous line.
fn bound(slot: &Slot) -> Vec<u8> {
    let cost = slot.argon2id.map_or(String::new(), |c| format!("{},{},{}", c.memory_kib, c.passes, c.lanes));
    format!("{}|{}|{:?}|{cost}|{}|{}", slot.version, slot.repository, slot.way, slot.salt, slot.id).into_bytes()
}

fn field<const N: usize>(text: &str) -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| corrupt("a field is not readable"))?;
    Ok(bytes)
}

fn wrong() -> Error {
    Error::new(Kind::Denied, "key.wrong", "this key does not open the repository")
}

fn corrupt(why: &str) -> Error {
    Error::new(Kind::Corrupt, "slot.corrupt", format!("a key slot is damaged: {why}"))
}
