//! Enrolment bundles: signed by the provider, opened by the appliance, as a JSON file or as one line
//! `hfe1_…` that survives mail and chat.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use holdfast_model::{
    Error, Kind, Moment, Result,
    bundle::{Enrolment, FORMAT, SignedBundle},
};

mod base64url;

/// Begins the one-line form.
const LINE: &str = "hfe1_";
/// A bundle is a few kilobytes, a CA included.
const LARGEST: usize = 256 * 1024;
/// Clocks differ; a bundle from so many seconds ahead is still taken.
const CLOCK_SLACK_SECONDS: i64 = 300;

/// Signs an enrolment.
pub(crate) fn sign(enrolment: &Enrolment, key: &SigningKey) -> Result<SignedBundle> {
    let payload = serde_json::to_string(enrolment).map_err(|_| Error::bug("an enrolment that cannot be written"))?;
    let signature = key.sign(payload.as_bytes());
    Ok(SignedBundle {
        payload,
        key: hex::encode(key.verifying_key().as_bytes()),
        signature: hex::encode(signature.to_bytes()),
    })
}

/// Checks signature, signer and dates, and returns what the bundle says. Without `trusted_key` (hex) the
/// bundle's own key is taken: the first bundle binds the appliance to its provider.
///
/// Errors: `bundle.malformed`, `bundle.signature`, `bundle.not_yet_valid`, `bundle.expired`.
pub fn open(bundle: &SignedBundle, now: Moment, trusted_key: Option<&str>) -> Result<Enrolment> {
    if bundle.payload.len() > LARGEST {
        return Err(malformed());
    }
    if trusted_key.is_some_and(|trusted| !trusted.trim().eq_ignore_ascii_case(&bundle.key)) {
        return Err(Error::new(Kind::Denied, "bundle.signature", "the bundle is signed by another provider")
            .advice("Compare the key's fingerprint with your provider by telephone before you trust it."));
    }
    verify(bundle)?;
    let enrolment: Enrolment = serde_json::from_str(&bundle.payload).map_err(|_| malformed())?;
    if enrolment.format != FORMAT {
        return Err(Error::invalid(
            "bundle.malformed",
            format!("the bundle has format {}, this appliance reads format {FORMAT}", enrolment.format),
        )
        .advice("Update the appliance."));
    }
    if enrolment.issued > now.plus_seconds(CLOCK_SLACK_SECONDS) {
        return Err(Error::new(
            Kind::Refused,
            "bundle.not_yet_valid",
            format!("the bundle is from {}, which is later than this machine's clock says", enrolment.issued),
        )
        .advice("Set this machine's clock right, best by NTP."));
    }
    if enrolment.expires <= now {
        return Err(Error::new(
            Kind::Refused,
            "bundle.expired",
            format!("the bundle was accepted until {}", enrolment.expires),
        )
        .advice("Ask your provider for a new bundle; the tenant's bucket is not affected."));
    }
    Ok(enrolment)
}

fn verify(bundle: &SignedBundle) -> Result<()> {
    let (mut key, mut signature) = ([0u8; 32], [0u8; 64]);
    hex::decode_to_slice(bundle.key.trim(), &mut key).map_err(|_| malformed())?;
    hex::decode_to_slice(bundle.signature.trim(), &mut signature).map_err(|_| malformed())?;
    let key = VerifyingKey::from_bytes(&key).map_err(|_| malformed())?;
    // Strict: no weak keys, no signatures that fit several messages.
    key.verify_strict(bundle.payload.as_bytes(), &Signature::from_bytes(&signature)).map_err(|_| {
        Error::new(Kind::Denied, "bundle.signature", "the bundle's signature is wrong: it was changed on its way")
            .advice("Do not use it; ask your provider for a new bundle.")
    })
}

/// The one-line form.
pub fn to_line(bundle: &SignedBundle) -> String {
    let json = serde_json::to_string(bundle).expect("three texts can be written as JSON");
    format!("{LINE}{}", base64url::encode(json.as_bytes()))
}

/// Reads either form: the JSON file or the line. `bundle.malformed` if it is neither.
pub fn parse(text: &str) -> Result<SignedBundle> {
    let text = text.trim();
    if text.len() > 2 * LARGEST {
        return Err(malformed());
    }
    let Some(line) = text.strip_prefix(LINE) else { return SignedBundle::parse(text) };
    // Mail programs break long lines.
    let line: String = line.chars().filter(|sign| !sign.is_whitespace()).collect();
    let json = base64url::decode(&line).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(malformed)?;
    SignedBundle::parse(&json)
}

/// A public key (hex) in a form that can be read out: eight groups of four.
pub fn fingerprint(key: &str) -> String {
    let short: Vec<char> = key.chars().filter(char::is_ascii_hexdigit).take(32).collect();
    short.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

fn malformed() -> Error {
    Error::invalid("bundle.malformed", "this is not an enrolment bundle, or only a part of one")
        .advice("Copy the whole bundle, or ask your provider for a new bundle file.")
}

#[cfg(test)]
mod tests;
