//! Key slots: the root key of an epoch, wrapped for one way of opening the repository.
//!
//! A slot is a small JSON document. Invariants: the parameters of a passphrase are bounded before
//! they are used; the commitment is compared before anything is decrypted; everything in the slot
//! but the sealed key is bound to it. Slots for passphrases and escrow are sealed to a public key, so that a new epoch can
//! be given to them without the passphrase; a MAC under the root they hold says that one of us wrote them,
//! and none without it is ever given a new epoch. A slot bears the roots of all earlier epochs, sealed under its own: who
//! opens it needs no other object.

use crate::{
    aead::{self, ONCE, TAG},
    escrow::{PrivateKey, PublicKey},
    keys::{Ring, RootKey},
    random,
};
use argon2::{Algorithm, Argon2, Params, Version};
use holdfast_model::{Error, Kind, Moment, RepositoryId, Result, Secret};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const VERSION: u32 = 1;
/// A slot is about 900 bytes, and 64 more for each earlier epoch; more is hostile.
pub const SLOT_MAX: usize = 32 * 1024;
/// Longest name that people give to a slot, characters.
pub const NAME_MAX: usize = 64;
/// From 64 MiB to 4 GiB: weaker is unsafe, more is an attack.
const MEMORY_KIB: std::ops::RangeInclusive<u32> = 64 * 1024..=4 * 1024 * 1024;
const PASSES: std::ops::RangeInclusive<u32> = 1..=16;
const LANES: std::ops::RangeInclusive<u32> = 1..=16;
/// Memory × passes, KiB: from 64 MiB three times (RFC 9106, second choice) to what a hostile bucket may ask for one try.
const WORK: std::ops::RangeInclusive<u64> = 3 * 64 * 1024..=16 * 1024 * 1024;

/// For whom a slot is sealed.
pub enum Lock<'a> {
    /// The appliance's own file.
    Device(&'a [u8; 32]),
    /// The recovery kit.
    Recovery(&'a [u8; 32]),
    /// Something a person knows; with the first root, which the slot remembers by a print.
    Passphrase(&'a Secret, Cost, &'a RootKey),
    /// A second person's public key.
    Escrow(&'a PublicKey),
    /// The next epoch: who has its root gets this one.
    Later(&'a RootKey),
}

/// What opens a slot.
pub enum Opening<'a> {
    /// 256 random bits in the appliance's own file.
    Device(&'a [u8; 32]),
    /// The key of the recovery kit.
    Recovery(&'a [u8; 32]),
    /// Something a person knows.
    Passphrase(&'a Secret),
    /// The private half of an escrow key.
    Escrow(&'a PrivateKey),
    /// The root of the next epoch.
    Later(&'a RootKey),
}

/// Ways of opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The appliance itself.
    Device,
    /// The recovery kit.
    Recovery,
    /// A passphrase.
    Passphrase,
    /// A second person's private key.
    Escrow,
    /// The root of the next epoch.
    Later,
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

/// What a slot is called and says in clear.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// The repository.
    pub repository: RepositoryId,
    /// The object's key in the store.
    pub id: &'a str,
    /// Epoch of the root that is wrapped.
    pub epoch: u8,
    /// What people call it.
    pub name: &'a str,
    /// When it was made.
    pub made: Moment,
}

/// What a slot tells without being opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clear {
    /// The repository that it opens.
    pub repository: RepositoryId,
    /// The object's key in the store.
    pub id: String,
    /// Way of opening.
    pub way: Way,
    /// Epoch of the root that is wrapped.
    pub epoch: u8,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub made: Moment,
    /// Cost of a try, for passphrases.
    pub cost: Option<Cost>,
    /// Fingerprint of the public key, for escrow.
    pub fingerprint: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Slot {
    version: u32,
    repository: RepositoryId,
    id: String,
    way: Way,
    epoch: u8,
    name: String,
    made: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    argon2id: Option<Cost>,
    /// The public key that the slot is sealed to, and the one made for this sealing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ephemeral: Option<String>,
    /// Print of the first root under the passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<String>,
    salt: String,
    commit: String,
    sealed: String,
    /// The roots of earlier epochs, the first one first, sealed under a key of the root that the slot holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    earlier: Option<String>,
    mac: String,
}

/// A root out of a slot, and what ties a passphrase to its repository.
pub struct Opened {
    /// The root.
    pub root: RootKey,
    /// Its epoch.
    pub epoch: u8,
    earlier: Option<Vec<RootKey>>,
    pin: Option<([u8; 32], Zeroizing<[u8; 32]>)>,
}

impl Opened {
    /// The roots of all epochs, if the slot bears them. One that does not is of an earlier release, or was damaged just
    /// there: links lead to them.
    pub fn ring(&self) -> Option<Ring> {
        let mut roots = match &self.earlier {
            Some(earlier) if earlier.len() == usize::from(self.epoch) => earlier.clone(),
            None if self.epoch == 0 => Vec::new(),
            _ => return None,
        };
        roots.push(self.root.clone());
        Ring::from_roots(roots)
    }
    /// Whether this is the first root that the slot was made for: somebody who can write the bucket can seal
    /// a root of his own to a public key, but does not know the passphrase. `Denied` (`key.foreign`).
    pub fn confirm(&self, first: &RootKey) -> Result<()> {
        let Some((pin, key)) = &self.pin else { return Ok(()) };
        if blake3::keyed_hash(key, &first.pin()).as_bytes()[..].ct_eq(&pin[..]).into() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Denied,
            "key.foreign",
            "the passphrase opens a slot that was not made for this repository",
        )
        .advice("somebody has changed the bucket: take the recovery kit"))
    }
}

/// Wraps the newest root of a ring, which is that of the label's epoch, and with it those before it.
pub fn wrap(ring: &Ring, label: Label<'_>, lock: &Lock<'_>) -> Result<Vec<u8>> {
    wrap_with(ring, label, lock, random())
}

/// Wrapping with given randomness; public to this crate for golden vectors only.
pub(crate) fn wrap_with(ring: &Ring, label: Label<'_>, lock: &Lock<'_>, dice: [u8; 32]) -> Result<Vec<u8>> {
    let root = ring.newest();
    let salt = *mixed(root, "holdfast 2026 slot salt v1", &dice);
    let mut slot = Slot {
        version: VERSION,
        repository: label.repository,
        id: label.id.to_owned(),
        way: Way::Device,
        epoch: label.epoch,
        name: label.name.to_owned(),
        made: label.made,
        argon2id: None,
        public: None,
        ephemeral: None,
        pin: None,
        salt: hex::encode(salt),
        commit: String::new(),
        sealed: String::new(),
        earlier: None,
        mac: String::new(),
    };
    let base = match lock {
        Lock::Device(key) => Zeroizing::new(**key),
        Lock::Recovery(key) => {
            slot.way = Way::Recovery;
            Zeroizing::new(**key)
        }
        Lock::Later(later) => {
            slot.way = Way::Later;
            later.earlier()
        }
        Lock::Escrow(public) => {
            slot.way = Way::Escrow;
            seal_to(root, &mut slot, public, &dice)?
        }
        Lock::Passphrase(passphrase, cost, first) => {
            slot.way = Way::Passphrase;
            slot.argon2id = Some(*cost);
            let stretched = stretch(passphrase, *cost, &salt)?;
            let pin = blake3::keyed_hash(&pin_key(&stretched), &first.pin());
            slot.pin = Some(hex::encode(pin.as_bytes()));
            seal_to(root, &mut slot, &pair(&stretched).public(), &dice)?
        }
    };
    finish(ring, slot, &base)
}

/// Gives a passphrase's or an escrow slot the roots of a later epoch, under a new name. `old` is the root that
/// the slot holds now; a slot that its MAC does not confirm is refused (`slot.forged`).
pub fn rewrap(bytes: &[u8], old: &RootKey, ring: &Ring, id: &str) -> Result<Vec<u8>> {
    let mut slot = parse(bytes)?;
    verify(&slot, old)?;
    let public = PublicKey(field(slot.public.as_deref().unwrap_or_default())?);
    slot.id = id.to_owned();
    slot.epoch = ring.epoch();
    let base = seal_to(ring.newest(), &mut slot, &public, &random())?;
    finish(ring, slot, &base)
}

/// Unwraps a root. `Denied` (`key.wrong`) if the opening does not fit, `Corrupt` (`slot.corrupt`)
/// if the slot is unreadable, `Invalid` (`format.unsupported`) for a later version.
pub fn unwrap(bytes: &[u8], repository: RepositoryId, opening: &Opening<'_>) -> Result<Opened> {
    let slot = parse(bytes)?;
    let fits = matches!(
        (&slot.way, opening),
        (Way::Device, Opening::Device(_))
            | (Way::Recovery, Opening::Recovery(_))
            | (Way::Passphrase, Opening::Passphrase(_))
            | (Way::Escrow, Opening::Escrow(_))
            | (Way::Later, Opening::Later(_))
    );
    if !fits || slot.repository != repository {
        return Err(wrong());
    }
    let commit: [u8; 32] = field(&slot.commit)?;
    let sealed: [u8; 48] = field(&slot.sealed)?;
    let mut pin = None;
    let base = match opening {
        Opening::Device(key) | Opening::Recovery(key) => Zeroizing::new(**key),
        Opening::Later(later) => later.earlier(),
        Opening::Escrow(private) => opened_to(&slot, private)?,
        Opening::Passphrase(passphrase) => {
            let cost = slot.argon2id.ok_or_else(|| corrupt("its costs are missing"))?;
            let stretched = stretch(passphrase, cost, &field(&slot.salt)?)?;
            pin = Some((field(slot.pin.as_deref().unwrap_or_default())?, pin_key(&stretched)));
            opened_to(&slot, &pair(&stretched))?
        }
    };
    let (key, expected) = wrapping_key(&base, &slot);
    if !bool::from(expected[..].ct_eq(&commit[..])) {
        return Err(wrong());
    }
    let mut root = Zeroizing::new([0u8; 32]);
    root.copy_from_slice(&sealed[..32]);
    let tag: [u8; TAG] = sealed[32..].try_into().expect("48 less 32 bytes");
    aead::open(&key, &ONCE, &bound(&slot), &mut root[..], &tag).map_err(|_| corrupt("its seal is broken"))?;
    let root = RootKey::from_bytes(*root);
    Ok(Opened { earlier: open_earlier(&slot, &root), root, epoch: slot.epoch, pin })
}

/// What a slot says in clear. `Corrupt` (`slot.corrupt`), `Invalid` (`format.unsupported`).
pub fn read(bytes: &[u8]) -> Result<Clear> {
    let slot = parse(bytes)?;
    let fingerprint = match (slot.way, &slot.public) {
        (Way::Escrow, Some(public)) => Some(PublicKey(field(public)?).fingerprint()),
        _ => None,
    };
    let Slot { repository, id, way, epoch, name, made, argon2id, .. } = slot;
    Ok(Clear { repository, id, way, epoch, name, made, cost: argon2id, fingerprint })
}

/// Whether one who holds this root wrote the slot, every byte of it, for this name. `Denied` (`slot.forged`), `Corrupt`.
pub fn genuine(bytes: &[u8], repository: RepositoryId, id: &str, root: &RootKey) -> Result<()> {
    let slot = parse(bytes)?;
    if slot.repository == repository && slot.id == id { verify(&slot, root) } else { Err(forged(id)) }
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
    if slot.name.chars().count() > NAME_MAX || slot.name.chars().any(char::is_control) {
        return Err(corrupt("its name is impossible"));
    }
    Ok(slot)
}

fn verify(slot: &Slot, root: &RootKey) -> Result<()> {
    let mac: [u8; 32] = field(&slot.mac)?;
    // Of these lengths alone, or bytes could move from one field of the MAC's input to the next.
    let (_, _): ([u8; 32], [u8; 48]) = (field(&slot.commit)?, field(&slot.sealed)?);
    if mac_of(slot, root).ct_eq(&mac).into() { Ok(()) } else { Err(forged(&slot.id)) }
}

/// Seals what the base key allows, and signs the whole.
fn finish(ring: &Ring, mut slot: Slot, base: &[u8; 32]) -> Result<Vec<u8>> {
    let root = ring.newest();
    let (key, commit) = wrapping_key(base, &slot);
    slot.commit = hex::encode(commit);
    let mut sealed = Zeroizing::new(root.bytes().to_vec());
    let tag = aead::seal(&key, &ONCE, &bound(&slot), &mut sealed)
        .map_err(|_| Error::bug("a key slot could not be sealed"))?;
    sealed.extend_from_slice(&tag);
    slot.sealed = hex::encode(&*sealed);
    slot.earlier = seal_earlier(&slot, ring)?;
    slot.mac = hex::encode(mac_of(&slot, root));
    serde_json::to_vec_pretty(&slot).map_err(|error| Error::bug("a key slot could not be written").caused_by(error))
}

/// The roots before a ring's newest, sealed under a key of that one; `None` in the first epoch.
fn seal_earlier(slot: &Slot, ring: &Ring) -> Result<Option<String>> {
    let mut roots = Zeroizing::new(Vec::with_capacity(usize::from(ring.epoch()) * 32 + TAG));
    for epoch in 0..ring.epoch() {
        roots.extend_from_slice(ring.root(epoch).expect("a ring has all epochs up to its newest").bytes());
    }
    if roots.is_empty() {
        return Ok(None);
    }
    let tag = aead::seal(&earlier_key(slot, ring.newest()), &ONCE, &bound(slot), &mut roots)
        .map_err(|_| Error::bug("earlier epochs could not be sealed"))?;
    roots.extend_from_slice(&tag);
    Ok(Some(hex::encode(&*roots)))
}

/// What [`seal_earlier`] sealed. Damage there does not keep out who has the root itself.
fn open_earlier(slot: &Slot, root: &RootKey) -> Option<Vec<RootKey>> {
    let mut sealed = Zeroizing::new(hex::decode(slot.earlier.as_ref()?).ok()?);
    let length = sealed.len().checked_sub(TAG)?;
    let tag: [u8; TAG] = sealed.split_off(length).try_into().ok()?;
    aead::open(&earlier_key(slot, root), &ONCE, &bound(slot), &mut sealed, &tag).ok()?;
    let roots = sealed.chunks(32).map(|bytes| Some(RootKey::from_bytes(bytes.try_into().ok()?)));
    roots.collect()
}

fn earlier_key(slot: &Slot, root: &RootKey) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_keyed(&root.earlier());
    hasher.update(b"holdfast earlier roots v1");
    hasher.update(&bound(slot));
    Zeroizing::new(*hasher.finalize().as_bytes())
}

/// Makes a fresh key for one sealing. The answer is the base key that only the public key's owner can find again.
fn seal_to(root: &RootKey, slot: &mut Slot, public: &PublicKey, dice: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>> {
    // The root is mixed in, so that a generator that repeats itself never seals two roots under one key.
    let ephemeral = PrivateKey::from_bytes(mixed(root, "holdfast 2026 slot ephemeral v1", dice));
    let point = ephemeral.public();
    slot.public = Some(hex::encode(public.0));
    slot.ephemeral = Some(hex::encode(point.0));
    let shared = ephemeral.agree(&public.0).ok_or_else(|| corrupt("its public key keeps no secret"))?;
    Ok(agreed(&shared, &point.0, &public.0))
}

fn opened_to(slot: &Slot, private: &PrivateKey) -> Result<Zeroizing<[u8; 32]>> {
    let point: [u8; 32] = field(slot.ephemeral.as_deref().unwrap_or_default())?;
    let public = private.public();
    let shared = private.agree(&point).ok_or_else(|| corrupt("its public key keeps no secret"))?;
    Ok(agreed(&shared, &point, &public.0))
}

fn agreed(shared: &[u8; 32], ephemeral: &[u8; 32], public: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_derive_key("holdfast 2026 slot agreement v1");
    hasher.update(shared);
    hasher.update(ephemeral);
    hasher.update(public);
    Zeroizing::new(*hasher.finalize().as_bytes())
}

/// The pair that a passphrase stands for.
fn pair(stretched: &[u8; 32]) -> PrivateKey {
    PrivateKey::from_bytes(Zeroizing::new(blake3::derive_key("holdfast 2026 passphrase pair v1", stretched)))
}

fn pin_key(stretched: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key("holdfast 2026 passphrase pin v1", stretched))
}

/// Randomness that cannot repeat for two different roots.
fn mixed(root: &RootKey, context: &str, dice: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(root.bytes());
    hasher.update(dice);
    Zeroizing::new(*hasher.finalize().as_bytes())
}

fn stretch(passphrase: &Secret, cost: Cost, salt: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>> {
    let work = u64::from(cost.memory_kib) * u64::from(cost.passes);
    let bounded = MEMORY_KIB.contains(&cost.memory_kib) && PASSES.contains(&cost.passes) && LANES.contains(&cost.lanes);
    if !bounded || !WORK.contains(&work) {
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

/// Key and commitment of a slot, from its base key and all that it says in clear.
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

fn mac_of(slot: &Slot, root: &RootKey) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(&root.slot_mac());
    hasher.update(&bound(slot));
    hasher.update(slot.commit.as_bytes());
    hasher.update(slot.sealed.as_bytes());
    hasher.update(slot.earlier.as_deref().unwrap_or_default().as_bytes());
    *hasher.finalize().as_bytes()
}

/// Everything that is said in clear, as one unambiguous JSON array.
fn bound(slot: &Slot) -> Vec<u8> {
    let cost = slot.argon2id.map(|cost| (cost.memory_kib, cost.passes, cost.lanes));
    let who = (slot.version, &slot.repository, &slot.id, slot.way, slot.epoch, &slot.name, slot.made.millis());
    let how = (cost, &slot.public, &slot.ephemeral, &slot.pin, &slot.salt);
    serde_json::to_vec(&(who, how)).expect("plain words are JSON")
}

fn field<const N: usize>(text: &str) -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| corrupt("a field is not readable"))?;
    Ok(bytes)
}

fn wrong() -> Error {
    Error::new(Kind::Denied, "key.wrong", "this key does not open the repository")
}

fn forged(id: &str) -> Error {
    Error::new(Kind::Denied, "slot.forged", format!("the key slot {id} was not written by this repository's appliance"))
        .advice("remove it: somebody else has put it there or changed it")
}

fn corrupt(why: &str) -> Error {
    Error::new(Kind::Corrupt, "slot.corrupt", format!("a key slot is damaged: {why}"))
}
