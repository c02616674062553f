//! The settings document: sealed, numbered, the newest counts.
//!
//! Invariant: an older document is removed only after a newer one is stored.

use crate::{
    inner::{Inner, is_damage},
    layout,
    looks::Copy,
};
use holdfast_chunk::ObjectKind;
use holdfast_model::{Error, Kind, Problem, Result, settings::Settings};
use holdfast_storage::PutMode;

/// Documents kept in each tier: the newest and the one before it, should the newest be damaged.
pub(crate) const KEPT: usize = 2;

impl Inner {
    pub(crate) async fn settings(&self) -> Result<Option<Settings>> {
        let (keys, newest) = (self.keys_of(layout::SETTINGS), self.settings_generation());
        let mut first = None;
        for key in keys.into_iter().rev() {
            match self.read_settings(&key).await {
                Ok(mut settings) => {
                    if let Some(error) = first {
                        let text = format!("the newest settings are damaged, the ones before count: {error}");
                        self.write().note(Problem::warning("settings.corrupt", &key, text));
                    }
                    // They stand in for the damaged ones, so that the next change comes after those.
                    settings.generation = settings.generation.max(newest);
                    return Ok(Some(settings));
                }
                Err(error) if is_damage(&error) => first = Some(first.unwrap_or(error)),
                // Only unreadable just now, or of a later release: older ones would undo what people decided.
                Err(error) => return Err(error),
            }
        }
        first.map_or(Ok(None), Err)
    }

    pub(crate) fn settings_generation(&self) -> u64 {
        self.keys_of(layout::SETTINGS).last().map_or(0, |key| generation_of(key))
    }

    pub(crate) async fn save_settings(&self, settings: &Settings) -> Result<()> {
        let key = layout::settings_key(settings.generation);
        let newest = self.keys_of(layout::SETTINGS).pop();
        if newest.is_some_and(|newest| newest >= key) {
            return Err(Error::new(
                Kind::Conflict,
                "settings.stale",
                "somebody else has changed the settings meanwhile",
            )
            .advice("read them again and repeat the change"));
        }
        let body = serde_json::to_vec(settings)
            .map_err(|error| Error::bug("the settings could not be written").caused_by(error))?;
        self.put_sealed(ObjectKind::Settings, &key, &body, PutMode::Once).await?;
        self.drop_old_settings().await
    }

    async fn read_settings(&self, key: &str) -> Result<Settings> {
        let body = match self.open_settings(key, &self.get_small(key).await?) {
            // Rotten in the cache.
            Err(error) if is_damage(&error) && self.read().is_acked(key) => {
                let Some(bucket) = self.bucket() else { return Err(error) };
                let Copy::Good(bytes) = self.look_at(&*bucket, key).await? else { return Err(error) };
                self.open_settings(key, &bytes)?
            }
            opened => opened?,
        };
        serde_json::from_slice(&body).map_err(|error| {
            Error::new(Kind::Corrupt, "settings.malformed", "the settings are not in the form of this release")
                .caused_by(error)
        })
    }

    fn open_settings(&self, key: &str, bytes: &[u8]) -> Result<Vec<u8>> {
        self.envelope().open(ObjectKind::Settings, key, bytes)
    }

    async fn drop_old_settings(&self) -> Result<()> {
        let keys = self.keys_of(layout::SETTINGS);
        for key in keys.iter().rev().skip(KEPT) {
            // The bucket's copy goes at the next prune.
            self.delete_cached(key).await?;
        }
        Ok(())
    }
}

fn generation_of(key: &str) -> u64 {
    key.strip_prefix(layout::SETTINGS).and_then(|number| number.parse().ok()).unwrap_or(0)
}
