//! The settings document: sealed, numbered, the newest counts.
//!
//! Invariant: an older document is removed only after a newer one is stored.

use crate::{
    inner::{Inner, is_damage},
    layout,
    looks::Copy,
    unusable::some_of,
};
use holdfast_chunk::ObjectKind;
use holdfast_model::{Error, Kind, Problem, Result, settings::Settings};
use holdfast_storage::PutMode;

/// Documents kept in each tier: the newest and the one before it, should the newest be damaged.
pub(crate) const KEPT: usize = 2;
/// What to do when older ones count.
const LOOK_THROUGH: &str = "look through hosts, policies and users: what was changed last is not in them";

impl Inner {
    pub(crate) async fn settings(&self) -> Result<Option<Settings>> {
        let (keys, newest) = (self.keys_of(layout::SETTINGS), self.settings_generation());
        let (mut first, mut damaged) = (None, Vec::new());
        for key in keys.into_iter().rev() {
            match self.read_settings(&key).await {
                Ok(mut settings) => {
                    if let Some(error) = first {
                        let names = some_of(&damaged);
                        let text = format!("the newest settings are damaged ({names}), the ones before count: {error}");
                        self.write().note(Problem::warning("settings.corrupt", &key, text).advice(LOOK_THROUGH));
                    }
                    // They stand in for the damaged ones, so that the next change comes after those.
                    settings.generation = settings.generation.max(newest);
                    return Ok(Some(settings));
                }
                Err(error) if is_damage(&error) => {
                    damaged.push(key);
                    first = Some(first.unwrap_or(error));
                }
                // Only unreadable just now, or of a later release: older ones would undo what people decided.
                Err(error) => return Err(error),
            }
        }
        first.map_or(Ok(None), Err)
    }

    /// For whoever recovers: that older settings count, or that none are whole. Whoever reads them meets all else.
    pub(crate) async fn tell_settings(&self) {
        match self.settings().await {
            Err(error) if is_damage(&error) => {
                let text = format!(
                    "no settings in the bucket are whole, so the configuration (hosts, policies, users) was not brought back: {}",
                    error.chain()
                );
                let problem = Problem::warning("settings.corrupt", layout::SETTINGS, text);
                self.write().note(problem.advice("the snapshots are not touched by that; set the appliance up anew"));
            }
            Err(error) => tracing::warn!(error = %error.chain(), "the settings could not be read"),
            Ok(_) => {}
        }
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
                let Copy::Good(bytes) = self.look_deep(&*bucket, key).await? else { return Err(error) };
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
