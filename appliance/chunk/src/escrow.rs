//! Key pairs for people who shall be able to open a repository and are given nothing but a file: X25519.
//!
//! Files are PEM as `openssl genpkey -algorithm X25519` and `openssl pkey -pubout` write them, so the second person needs
//! no holdfast to make a pair. Invariants: a private key given in place of a public one is refused and never echoed;
//! points that give no secret are refused; private keys are wiped from memory.

use base64ct::{Base64, Encoding};
use holdfast_model::{Error, Result};
use subtle::ConstantTimeEq;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

/// A key file is about 120 bytes; more is something else.
const TEXT_MAX: usize = 16 * 1024;
/// What precedes the 32 bytes in DER: SubjectPublicKeyInfo (RFC 5280) and PKCS #8 (RFC 5958) of X25519 (RFC 8410).
const PUBLIC_DER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00];
const PRIVATE_DER: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20];
const PUBLIC: &str = "PUBLIC KEY";
const PRIVATE: &str = "PRIVATE KEY";

/// The half that may be given away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub(crate) [u8; 32]);

/// The half that opens.
#[derive(Clone)]
pub struct PrivateKey(Zeroizing<[u8; 32]>);

impl PublicKey {
    /// Reads a PEM file. `Invalid`: `escrow.malformed`, or `escrow.private` if it holds the private half.
    pub fn from_pem(text: &str) -> Result<Self> {
        if text.contains(&begin(PRIVATE)) {
            return Err(Error::invalid("escrow.private", "this file holds a private key, which nobody else may see")
                .advice("keep it, and give the public half: openssl pkey -in FILE -pubout"));
        }
        let key = PublicKey(*read(text, PUBLIC, &PUBLIC_DER)?);
        // Nothing can be agreed on with such a point, whatever the secret is.
        shared(&[0x5a; 32], &key.0)
            .map(|_| key)
            .ok_or_else(|| malformed("its point is one of the few that keep no secret"))
    }
    /// The PEM file.
    pub fn to_pem(&self) -> String {
        String::clone(&write(&self.0, PUBLIC, &PUBLIC_DER))
    }
    /// Sixteen digits in four groups, for two people to compare.
    pub fn fingerprint(&self) -> String {
        let digits = hex::encode(&crate::sha256(&self.0)[..8]);
        let groups: Vec<&str> = (0..16).step_by(4).map(|at| &digits[at..at + 4]).collect();
        groups.join("-")
    }
}

impl PrivateKey {
    /// A new one from the system's randomness.
    pub fn generate() -> Self {
        PrivateKey(Zeroizing::new(crate::random()))
    }
    pub(crate) fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        PrivateKey(bytes)
    }
    /// Reads a PEM file. `Invalid` (`escrow.malformed`).
    pub fn from_pem(text: &str) -> Result<Self> {
        Ok(PrivateKey(read(text, PRIVATE, &PRIVATE_DER)?))
    }
    /// The PEM file.
    pub fn to_pem(&self) -> Zeroizing<String> {
        write(&self.0, PRIVATE, &PRIVATE_DER)
    }
    /// The half that may be given away.
    pub fn public(&self) -> PublicKey {
        PublicKey(x25519(*self.0, X25519_BASEPOINT_BYTES))
    }
    /// What both sides know. `None` if the other side's point gives no secret.
    pub(crate) fn agree(&self, other: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        shared(&self.0, other)
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(•••)")
    }
}

fn shared(secret: &[u8; 32], point: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    let shared = Zeroizing::new(x25519(*secret, *point));
    let nothing: bool = shared[..].ct_eq(&[0; 32]).into();
    (!nothing).then_some(shared)
}

fn read<const N: usize>(text: &str, label: &str, der: &[u8; N]) -> Result<Zeroizing<[u8; 32]>> {
    if text.len() > TEXT_MAX {
        return Err(malformed("it is far too long"));
    }
    let (begin, end) = (begin(label), format!("-----END {label}-----"));
    let inside = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end)).map(|(inside, _)| inside);
    let inside = inside.ok_or_else(|| malformed(&format!("the line “{begin}” or its end is missing")))?;
    let packed: Zeroizing<String> = Zeroizing::new(inside.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let bytes = Zeroizing::new(Base64::decode_vec(&packed).map_err(|_| malformed("it is not base 64"))?);
    let key = bytes.strip_prefix(der.as_slice()).ok_or_else(|| malformed("it is a key of another kind than X25519"))?;
    let key: [u8; 32] = key.try_into().map_err(|_| malformed("it is a key of another kind than X25519"))?;
    Ok(Zeroizing::new(key))
}

fn write<const N: usize>(key: &[u8; 32], label: &str, der: &[u8; N]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(der.to_vec());
    bytes.extend_from_slice(key);
    let packed = Zeroizing::new(Base64::encode_string(&bytes));
    Zeroizing::new(format!("{}\n{}\n-----END {label}-----\n", begin(label), *packed))
}

fn begin(label: &str) -> String {
    format!("-----BEGIN {label}-----")
}

fn malformed(why: &str) -> Error {
    Error::invalid("escrow.malformed", format!("this is not a readable X25519 key file: {why}"))
        .advice("make a pair with holdfast key escrow pair, or with openssl genpkey -algorithm X25519")
}
