//! Whether an object can be what its name says. Pure but for the reading of the format.

use crate::names::{self, Class};
use bytes::Bytes;
use holdfast_model::{Error, Kind, Result};
use holdfast_storage::Store;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The largest pack that is read: packs are closed at half of that.
pub(super) const PACK_MAX: u64 = 64 << 20;
/// Head, foot and an empty footer, roughly: less is no pack.
const PACK_MIN: u64 = 16;
/// The largest index segment and the largest sealed object: far more than any has.
const SEALED_MAX: u64 = 512 << 20;
/// Head and tag of a sealed object.
const SEALED_MIN: u64 = 92;
/// The largest key slot, and the largest format.
const SLOT_MAX: u64 = 32 << 10;
const FORMAT_MAX: u64 = 64 << 10;
/// Version of packs, envelopes, slots and of the format.
const VERSION: u8 = 1;

/// What the format says, which the others are held against.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Id of the repository; `None` if the format cannot be read.
    pub(super) repository: Option<String>,
}

/// Reads the format; `None` if there is none. `Invalid` (`format.unsupported`) if it is of a later release, whose objects are not known here.
pub(super) async fn facts(store: &dyn Store) -> Result<Option<Facts>> {
    let bytes = match store.get("format").await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        // Told as damaged when it is looked at.
        Err(error) if error.kind() == Kind::Corrupt => return Ok(Some(Facts::default())),
        Err(error) => return Err(error),
    };
    let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let later = said["version"].as_u64().is_some_and(|version| version > u64::from(VERSION));
    if later && said["holdfast"] == "repository" {
        return Err(Error::invalid(
            "format.unsupported",
            "the repository is of a later release, which this one cannot judge",
        )
        .advice("Use a later release of holdfast."));
    }
    Ok(Some(Facts { repository: said["repository"].as_str().map(str::to_owned) }))
}

/// Why no object of this class has this size.
pub(super) fn wrong_size(class: Class, size: u64) -> Option<String> {
    let (least, most) = match class {
        Class::Format => (2, FORMAT_MAX),
        Class::Slot => (2, SLOT_MAX),
        Class::Data | Class::Meta => (PACK_MIN, PACK_MAX),
        Class::Segment => (SEALED_MIN, SEALED_MAX),
        Class::Probe => (0, u64::MAX),
        Class::Reach | Class::Snapshot | Class::Settings | Class::Tombstone | Class::Condemned | Class::Fence => {
            (SEALED_MIN, SEALED_MAX)
        }
    };
    let is_wrong = !(least..=most).contains(&size);
    is_wrong.then(|| format!("it has {size} bytes; it would have {least} to {most}"))
}

/// Why these bytes are not what the name says. Hashing runs off the async threads.
pub(super) async fn wrong_bytes(class: Class, key: &str, bytes: Bytes, facts: &Facts) -> Option<String> {
    if class.pack().is_none() && class != Class::Segment {
        return wrong_words(class, key, &bytes, facts);
    }
    let hash = names::hash_of(key).to_owned();
    let judged = tokio::task::spawn_blocking(move || {
        let is_whole = hex::encode(Sha256::digest(&bytes)) == hash;
        if is_whole { wrong_ends(class, &bytes) } else { Some("its bytes are not those of its name".to_owned()) }
    });
    judged.await.unwrap_or_else(|_| Some("it could not be hashed".to_owned()))
}

/// Bytes that are whole and of another class were put there by hand.
fn wrong_ends(class: Class, bytes: &[u8]) -> Option<String> {
    let fits = match class.pack() {
        Some(kind) => begins(bytes, b"HFPK", kind) && bytes.ends_with(b"HFPE"),
        None => bytes.ends_with(b"HFIE"),
    };
    (!fits).then(|| "its bytes are whole, but those of something else".to_owned())
}

fn begins(bytes: &[u8], magic: &[u8; 4], kind: u8) -> bool {
    bytes.starts_with(magic) && bytes.get(4..6).is_some_and(|told| told == [VERSION, kind])
}

fn wrong_words(class: Class, key: &str, bytes: &[u8], facts: &Facts) -> Option<String> {
    if let Some(kind) = class.envelope() {
        let fits = begins(bytes, b"HFEN", kind);
        return (!fits).then(|| "it does not begin as what it is called".to_owned());
    }
    let said: Value = match serde_json::from_slice(bytes) {
        Ok(said) => said,
        Err(_) => return Some("it is not the text that it should be".to_owned()),
    };
    let is_known = said["version"] == u64::from(VERSION) && said["repository"].as_str().is_some_and(is_repository);
    let fits = match class {
        Class::Format => said["holdfast"] == "repository" && said["mac"].is_string(),
        Class::Slot => said["id"] == key && said["sealed"].is_string() && said["mac"].is_string(),
        _ => true,
    };
    if !is_known || !fits {
        return Some("it does not say what it should".to_owned());
    }
    let is_ours = facts.repository.as_deref().is_none_or(|ours| said["repository"] == ours);
    (!is_ours).then(|| "it is of another repository than the format".to_owned())
}

fn is_repository(id: &str) -> bool {
    id.parse::<holdfast_model::RepositoryId>().is_ok()
}
