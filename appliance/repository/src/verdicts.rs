//! Our own verdicts, remembered in the cache: which packs this appliance has doomed in the bucket.
//!
//! Invariants: a verdict is remembered before the bucket is told, and read at the next start before anything may lean on a
//! pack; so nothing hangs on whether the bucket's listings show it then. The newest stay though their packs are gone: a
//! listing may be older than that.

use crate::{
    inner::Inner,
    layout,
    segment::{decode_reach, encode_reach},
    state::{Fate, PackNo, Small},
};
use bytes::Bytes;
use holdfast_chunk::ObjectKind;
use holdfast_model::{Kind, Result};
use holdfast_storage::PutMode;

/// Verdicts that are remembered at least: those of some weeks, each a line per pack.
const KEPT: usize = 32;

impl Inner {
    /// Remembers that these packs will be deleted whatever comes.
    pub(crate) async fn remember_verdict(&self, packs: &[PackNo]) -> Result<()> {
        let newest = self.keys_of(layout::VERDICTS).pop();
        let newest = newest.and_then(|key| key.strip_prefix(layout::VERDICTS)?.parse::<u64>().ok()).unwrap_or(0);
        let key = format!("{}{:016}", layout::VERDICTS, newest.saturating_add(1));
        let body = encode_reach(&self.read().names(packs));
        let sealed = Bytes::from(self.envelope().seal(ObjectKind::Condemned, &key, &body)?);
        let size = sealed.len() as u64;
        match self.cache.put(&key, sealed, PutMode::Replace).await {
            Ok(()) => {
                self.write().small.insert(key, Small { size, cached: true, acked: false });
                Ok(())
            }
            // A full disk is freed by what the verdict allows. The bucket has it too.
            Err(error) if error.kind() == Kind::Full => {
                tracing::warn!(error = %error.chain(), "a verdict could not be remembered in the cache");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// What earlier lives doomed is as good as gone.
    pub(crate) async fn enter_verdicts(&self) -> Result<()> {
        for key in self.keys_of(layout::VERDICTS) {
            match self.read_verdict(&key).await {
                Ok(packs) => {
                    let mut state = self.write();
                    for pack in packs {
                        state.index.pack_mut(pack).fate = Fate::Doomed;
                    }
                }
                Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::NotFound) => {
                    self.set_aside(&key, "verdict", &error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn read_verdict(&self, key: &str) -> Result<Vec<PackNo>> {
        let body = self.envelope().open(ObjectKind::Condemned, key, &self.cache.get(key).await?)?;
        let names = decode_reach(&body)?;
        let mut state = self.write();
        Ok(names.into_iter().map(|name| state.index.enter(name)).collect())
    }

    /// Drops the oldest verdicts, as far as their packs are gone.
    pub(crate) async fn sweep_verdicts(&self) -> Result<()> {
        for key in self.keys_of(layout::VERDICTS).iter().rev().skip(KEPT) {
            let open = match self.read_verdict(key).await {
                Ok(packs) => {
                    let state = self.read();
                    packs.iter().any(|pack| state.index.pack(*pack).present())
                }
                Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::NotFound) => false,
                Err(error) => return Err(error),
            };
            if !open {
                self.delete_cached(key).await?;
            }
        }
        Ok(())
    }
}
