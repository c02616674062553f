//! Snapshots that somebody forgot: hidden at once, restorable for a while, removed by the first prune after that.
//!
//! Whoever forgets the wrong one notices late, and whoever breaks in and forgets them all is noticed by an alarm. Never here: what a prune
//! does (`upkeep`). Invariants: the marks lie in the settings, so that a recovery has them too; the repository knows nothing of them until the
//! prune that removes the snapshot; a snapshot with a mark is counted by no policy and shown only where it is asked for.

use crate::{alarms, apps::app_id, house::House, snapshots, upkeep};
use holdfast_model::{Error, Kind, Result, SnapshotId, job::JobKind, view::SnapshotView};
use std::sync::Arc;

/// Forgets one snapshot: with `now` for good, and what nothing needs then is freed before this returns. One that nobody can read, as a check
/// tells, goes by its whole id and at once: nobody could restore it, and nothing is pruned because of it.
pub async fn forget(house: &Arc<House>, asked: &str, now: bool) -> Result<()> {
    let entry = match snapshots::find(house, asked) {
        Ok(entry) => entry,
        Err(error) => {
            let unreadable = house.repository().unreadable();
            let id = unreadable.into_iter().find(|id| id.as_str() == asked.trim().to_lowercase()).ok_or(error)?;
            let subject = id.to_string();
            return upkeep::forget(house, id, subject).await;
        }
    };
    let (id, app) = (entry.snapshot.id.clone(), app_id(&entry.snapshot.host, &entry.snapshot.app));
    let was_forgotten = house.settings().forgotten.contains_key(&id);
    match now {
        true => {
            upkeep::forget(house, id.clone(), app.clone()).await?;
            unmark(house, &id).await?;
        }
        false => mark(house, &id).await?,
    }
    if !was_forgotten {
        alarms::forgotten(house, &app);
    }
    Ok(())
}

/// Takes back that a snapshot was forgotten. `Conflict` (`snapshot.not_forgotten`), (`prune.running`) if a prune may be removing it.
pub async fn unforget(house: &House, asked: &str) -> Result<SnapshotView> {
    let entry = house.entry(asked)?;
    let id = &entry.snapshot.id;
    let is_over = house.settings().forgotten_until(id).is_some_and(|until| until <= house.now());
    if is_over && house.jobs.active().iter().any(|job| job.kind == JobKind::Prune) {
        return Err(Error::new(
            Kind::Conflict,
            "prune.running",
            "a prune is under way that may be removing this snapshot",
        )
        .advice("Wait until it ends; if the snapshot is there then, bring it back."));
    }
    if !unmark(house, id).await? {
        return Err(Error::new(Kind::Conflict, "snapshot.not_forgotten", "nobody has forgotten this snapshot")
            .advice("List those that can be brought back with holdfast snapshots --forgotten."));
    }
    told(house);
    Ok(snapshots::view(house, &entry))
}

/// The day on which it was forgotten first counts.
async fn mark(house: &House, id: &SnapshotId) -> Result<()> {
    let now = house.now();
    house
        .change_settings(|settings| {
            settings.forgotten.entry(id.clone()).or_insert(now);
            Ok(())
        })
        .await?;
    told(house);
    Ok(())
}

/// Whether there was a mark.
async fn unmark(house: &House, id: &SnapshotId) -> Result<bool> {
    house.change_settings(|settings| Ok(settings.forgotten.remove(id).is_some())).await
}

fn told(house: &House) {
    house.events.snapshots();
    house.events.status();
    house.events.apps();
}
