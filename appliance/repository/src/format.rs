//! The format object: what a repository is, readable without a key, authenticated with one.
//!
//! Invariant: a release that does not know a needed feature refuses by its name and touches nothing.

use holdfast_chunk::Keys;
use holdfast_model::{Error, Kind, RepositoryId, Result};
use serde::{Deserialize, Serialize};

/// Version of the repository.
pub(crate) const VERSION: u32 = 1;
/// Features that this release understands.
const KNOWN: [&str; 0] = [];
/// The object is about 300 bytes; more is something else.
const SIZE_MAX: usize = 64 * 1024;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) holdfast: String,
    pub(crate) version: u32,
    pub(crate) repository: RepositoryId,
    /// Features without which the repository must not be touched.
    #[serde(default)]
    pub(crate) needed: Vec<String>,
    /// Features that a reader may ignore.
    #[serde(default)]
    pub(crate) optional: Vec<String>,
    /// Keyed BLAKE3 of the words above, hex.
    pub(crate) mac: String,
}

impl Format {
    pub(crate) fn new(repository: RepositoryId, keys: &Keys) -> Self {
        let mut format = Format {
            holdfast: "repository".into(),
            version: VERSION,
            repository,
            needed: Vec::new(),
            optional: Vec::new(),
            mac: String::new(),
        };
        format.mac = hex::encode(keys.format_mac(&format.bound()));
        format
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|error| Error::bug("the format could not be written").caused_by(error))
    }

    /// Reads and refuses what this release cannot handle (`format.unsupported`, `format.corrupt`).
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > SIZE_MAX {
            return Err(corrupt());
        }
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| corrupt())?;
        if value.get("holdfast").and_then(|word| word.as_str()) != Some("repository") {
            return Err(corrupt());
        }
        let version = value.get("version").and_then(serde_json::Value::as_u64).ok_or_else(corrupt)?;
        if version != u64::from(VERSION) {
            return Err(unsupported(&format!("format version {version}")));
        }
        let format: Format = serde_json::from_value(value).map_err(|_| corrupt())?;
        match format.needed.iter().find(|feature| !KNOWN.contains(&feature.as_str())) {
            Some(feature) => Err(unsupported(&format!("the feature “{feature}”"))),
            None => Ok(format),
        }
    }

    /// Checks that nobody has changed the clear text.
    pub(crate) fn verify(&self, keys: &Keys) -> Result<()> {
        let mac = hex::decode(&self.mac).map_err(|_| corrupt())?;
        if keys.format_mac_fits(&self.bound(), &mac) { Ok(()) } else { Err(corrupt()) }
    }

    fn bound(&self) -> Vec<u8> {
        let words = (&self.holdfast, self.version, &self.repository, &self.needed, &self.optional);
        serde_json::to_vec(&words).expect("plain words are JSON")
    }
}

fn corrupt() -> Error {
    Error::new(Kind::Corrupt, "format.corrupt", "the repository's format object is damaged or has been changed")
        .advice("restore the object “format” from the other tier: it is the same in cache and bucket")
}

fn unsupported(what: &str) -> Error {
    Error::invalid("format.unsupported", format!("this repository uses {what}, which this release does not know"))
        .advice("use a later release of holdfast")
}
