//! A body on its way out: hashed once, off the threads that serve others, and the hash used twice.

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::{box_error::BoxError, client::interceptors::context::BeforeTransmitInterceptorContextMut};
use bytes::Bytes;
use holdfast_model::{Error, Result};
use holdfast_storage::Keep;
use sha2::{Digest, Sha256};

/// Hashing more than this would hold up other tasks, so it moves to a thread of its own.
const HASH_INLINE: usize = 256 * 1024;

/// Bytes with their SHA-256.
pub(crate) struct Upload {
    pub(crate) bytes: Bytes,
    /// Base 64, as the checksum header has it.
    pub(crate) checksum: String,
    /// Hex, as the signature has it.
    pub(crate) signed_hash: String,
    /// The lock that the object gets with its first byte.
    pub(crate) keep: Option<Keep>,
}

impl Upload {
    pub(crate) async fn of(bytes: Bytes) -> Result<Upload> {
        let hash = if bytes.len() <= HASH_INLINE {
            Sha256::digest(&bytes)
        } else {
            let shared = bytes.clone();
            tokio::task::spawn_blocking(move || Sha256::digest(&shared))
                .await
                .map_err(|_| Error::bug("hashing an upload was broken off"))?
        };
        let checksum = aws_smithy_types::base64::encode(hash);
        Ok(Upload { bytes, checksum, signed_hash: hex::encode(hash), keep: None })
    }

    /// The same, locked.
    pub(crate) fn kept(self, keep: Keep) -> Upload {
        Upload { keep: Some(keep), ..self }
    }
}

/// Tells the signer the body's hash, which it would compute again otherwise.
#[derive(Debug)]
pub(crate) struct SignedHash(pub(crate) String);

impl Intercept for SignedHash {
    fn name(&self) -> &'static str {
        "SignedHash"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        state.interceptor_state().store_put(PayloadSigningOverride::Precomputed(self.0.clone()));
        Ok(())
    }
}
