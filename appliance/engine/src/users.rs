//! People: the first admin, and checking a password.
//!
//! Invariants: a wrong name costs the same time and gets the same answer as a wrong password; hashing
//! runs off the async threads, few at once.

use crate::house::House;
use holdfast_chunk::password;
use holdfast_model::{Error, Kind, Result, Secret, settings::User};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Shortest password, characters.
const PASSWORD_MIN: usize = 12;
/// Longest password, bytes: hashing a book is an attack.
const PASSWORD_MAX: usize = 1024;
/// Hashes at once: each takes 19 MiB.
static HASHES: Semaphore = Semaphore::const_new(2);

/// Makes the first admin. `Conflict` (`setup.done`) if there is one.
pub async fn create_first(house: &House, name: &str, secret: &Secret) -> Result<()> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
        return Err(Error::invalid("user.name", "a login name has 1 to 64 characters"));
    }
    strong(secret, "password")?;
    let done = || Error::new(Kind::Conflict, "setup.done", "there is an admin already").advice("Log in instead.");
    if !house.settings().users.is_empty() {
        return Err(done());
    }
    let (secret, created) = (secret.clone(), house.now());
    let hash = off_thread(move || password::hash(&secret)).await??;
    house
        .change_settings(|settings| {
            if !settings.users.is_empty() {
                return Err(done());
            }
            settings.users.push(User { name: name.to_owned(), password: Secret::new(hash), created });
            Ok(())
        })
        .await
}

/// Checks a login. `Denied` (`login.wrong`), the same for a wrong name.
pub async fn verify(house: &House, name: &str, secret: &Secret) -> Result<()> {
    let known = house.settings().users.iter().find(|user| user.name == name.trim()).map(|user| user.password.clone());
    let is_known = known.is_some();
    let secret = if secret.reveal().len() > PASSWORD_MAX { Secret::default() } else { secret.clone() };
    let fits = off_thread(move || match known {
        Some(hash) => password::verify(&secret, hash.reveal()),
        // The same work for nobody, so that time does not tell which names exist.
        None => password::hash(&secret).is_err(),
    })
    .await?;
    if is_known && fits { Ok(()) } else { Err(Error::new(Kind::Denied, "login.wrong", "name or password is wrong")) }
}

/// Refuses what can be guessed: `Invalid` (`WORD.short`, `WORD.long`).
pub fn strong(secret: &Secret, word: &str) -> Result<()> {
    if secret.reveal().chars().count() < PASSWORD_MIN {
        let text = format!("the {word} needs at least {PASSWORD_MIN} characters");
        return Err(Error::invalid(format!("{word}.short"), text).advice("Four words in a row are easy to remember."));
    }
    if secret.reveal().len() > PASSWORD_MAX {
        return Err(Error::invalid(format!("{word}.long"), format!("the {word} is too long")));
    }
    Ok(())
}

/// Waits for leave to stretch a passphrase: each takes hundreds of MiB.
pub async fn place_to_hash() -> Result<SemaphorePermit<'static>> {
    HASHES.acquire().await.map_err(|_| Error::bug("the hashing queue is closed"))
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let _place = place_to_hash().await?;
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::bug("hashing a password ended in a panic"))
}
