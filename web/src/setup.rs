//! The setup token: who holds it makes the first admin. Valid until used, then gone.
//!
//! It lies in `DATA/setup-token` (mode 0600), so that the link survives a restart, and in memory.

use holdfast_model::{Error, Kind, Result};
use holdfast_runtime::random;
use sha2::{Digest, Sha256};
use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};
use tokio::io::AsyncWriteExt;

const FILE: &str = "setup-token";

/// The token, while there is one.
pub(crate) struct SetupToken {
    file: PathBuf,
    token: Mutex<Option<String>>,
}

impl SetupToken {
    /// Takes the token from the data folder or makes one; with `done` there is none to take.
    pub(crate) async fn prepare(data: &Path, done: bool) -> Result<Self> {
        let file = data.join(FILE);
        let token = if done {
            remove(&file).await;
            None
        } else {
            Some(load_or_make(&file).await?)
        };
        Ok(SetupToken { file, token: Mutex::new(token) })
    }

    /// The token, for the link that the appliance's owner sees.
    pub(crate) fn reveal(&self) -> Option<String> {
        self.token.lock().expect("no token call panics").clone()
    }

    /// Refuses everything but the token. Compares hashes, so that time tells nothing.
    pub(crate) fn verify(&self, given: &str) -> Result<()> {
        let Some(token) = self.reveal() else {
            return Err(Error::new(Kind::Conflict, "setup.done", "this appliance has been set up already")
                .advice("Log in with the name and password that were chosen then."));
        };
        if Sha256::digest(given.as_bytes()) != Sha256::digest(token.as_bytes()) {
            return Err(Error::new(Kind::Denied, "setup.token", "the setup link is not valid")
                .advice("Run “holdfast setup-link” on the appliance to see the valid one."));
        }
        Ok(())
    }

    /// The first admin exists: the token is worth nothing from here on.
    pub(crate) async fn used(&self) {
        self.token.lock().expect("no token call panics").take();
        remove(&self.file).await;
    }
}

async fn load_or_make(file: &Path) -> Result<String> {
    let kept = tokio::fs::read_to_string(file).await.unwrap_or_default();
    let kept = kept.trim();
    if kept.len() == 32 && kept.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(kept.to_owned());
    }
    remove(file).await;
    let token = hex::encode(random::<16>());
    let keep = |source| Error::io(format!("keep the setup token in {}", file.display()), source);
    let options = tokio::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).await;
    let mut open = options.map_err(keep)?;
    open.write_all(format!("{token}\n").as_bytes()).await.map_err(keep)?;
    open.flush().await.map_err(keep)?;
    Ok(token)
}

async fn remove(file: &Path) {
    match tokio::fs::remove_file(file).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!("the used setup token {} cannot be removed: {error}", file.display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn the_token_survives_a_restart_and_dies_by_use() {
        let data = tempfile::tempdir().unwrap();
        let token = SetupToken::prepare(data.path(), false).await.unwrap();
        let text = token.reveal().unwrap();
        let mode = std::fs::metadata(data.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let again = SetupToken::prepare(data.path(), false).await.unwrap();
        assert_eq!(again.reveal().unwrap(), text);
        assert_eq!(again.verify("0123").unwrap_err().code(), "setup.token");
        again.verify(&text).unwrap();
        again.used().await;
        assert_eq!(again.verify(&text).unwrap_err().code(), "setup.done");
        assert!(!data.path().join(FILE).exists());
    }

    #[tokio::test]
    async fn an_appliance_with_an_admin_has_no_token() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join(FILE), "left behind").unwrap();
        let token = SetupToken::prepare(data.path(), true).await.unwrap();
        assert!(token.reveal().is_none());
        assert!(!data.path().join(FILE).exists());
    }
}
