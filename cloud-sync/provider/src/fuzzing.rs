//! A door for the fuzz targets: a right signature under any text. Never used by the product.

use ed25519_dalek::{Signer, SigningKey};
use holdfast_model::bundle::SignedBundle;

/// A bundle with this payload, signed by a key that everybody knows.
pub fn signed(payload: &str) -> SignedBundle {
    let key = SigningKey::from_bytes(&[7; 32]);
    SignedBundle {
        payload: payload.to_owned(),
        key: hex::encode(key.verifying_key().as_bytes()),
        signature: hex::encode(key.sign(payload.as_bytes()).to_bytes()),
    }
}
