//! Login passwords: Argon2id hashes in PHC form. Costs milliseconds on purpose: call it off the async threads.

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use holdfast_model::{Error, Result, Secret};

/// 19 MiB, two passes: a hundred guesses at once stay below 2 GiB of memory.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// Hashes that ask for more than this are refused, not computed.
const MEMORY_MAX_KIB: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 16;

/// Hashes a password with a random salt. The answer is text in PHC form.
pub fn hash(password: &Secret) -> Result<String> {
    let params =
        Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|_| Error::bug("the password costs are impossible"))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password.reveal().as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|_| Error::bug("a password could not be hashed"))
}

/// Whether the password fits the hash. A hash that cannot be read or costs too much fits nothing.
pub fn verify(password: &Secret, hash: &str) -> bool {
    let Ok(parsed) = PasswordHash::new(hash) else { return false };
    let Ok(params) = Params::try_from(&parsed) else { return false };
    if params.m_cost() > MEMORY_MAX_KIB || params.t_cost() > PASSES_MAX {
        return false;
    }
    Argon2::default().verify_password(password.reveal().as_bytes(), &parsed).is_ok()
}
