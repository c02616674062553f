//! A container that we made on a host and that has to go again, whatever happens to whoever made it.
//!
//! It is removed by [`Made::remove`], and in the background when dropped. What neither reaches is found by its labels
//! ([`labels`]) by whoever sweeps: they say whose it is and which life of the appliance made it. One of this life is left over if
//! nobody has been in charge of it for a minute: its host went away before it said the id, or before it could be removed.

use crate::{Engine, HELPER_LABEL, helper::is_helper};
use holdfast_model::{Kind, Result};
use holdfast_runtime::random;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Label with the life of the process that made a container.
pub(crate) const LIFE_LABEL: &str = "io.holdfast.life";

static LIFE: LazyLock<String> = LazyLock::new(|| hex::encode(random::<8>()));

/// Labels of a container that is made now for an owner, the appliance's id.
pub fn labels(owner: &str) -> Value {
    json!({ HELPER_LABEL: owner, LIFE_LABEL: *LIFE })
}

/// From the making of a container to its [`Made`] an answer of the engine has to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);
/// A stray that no listing shows for so long is gone, or its host is; it is found again when that answers.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// Containers of this life, by id.
struct Book {
    /// Somebody is in charge of them.
    alive: BTreeSet<String>,
    /// Nobody is: since when, and when they were seen last.
    strays: BTreeMap<String, (Instant, Instant)>,
}

static BOOK: Mutex<Book> = Mutex::new(Book { alive: BTreeSet::new(), strays: BTreeMap::new() });

fn book() -> MutexGuard<'static, Book> {
    BOOK.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    fn is_left_over(&mut self, id: &str) -> bool {
        if self.alive.contains(id) {
            self.strays.remove(id);
            return false;
        }
        self.stray(id).elapsed() > ARRIVAL
    }

    /// Nobody is in charge of it; since when.
    fn stray(&mut self, id: &str) -> Instant {
        let now = Instant::now();
        let (since, seen) = self.strays.entry(id.to_owned()).or_insert((now, now));
        *seen = now;
        *since
    }
}

/// Whether a listed container is a helper of this owner's, and of an earlier life or left over of this one. Whoever sweeps removes it, so labels that
/// anybody's image may carry are not enough ([`is_helper`]).
pub fn is_left_over(listed: &Value, owner: &str) -> bool {
    let label = |name: &str| listed["Labels"].get(name).and_then(Value::as_str);
    let of_this_life = || listed["Id"].as_str().is_some_and(|id| book().is_left_over(id));
    is_helper(listed)
        && label(HELPER_LABEL) == Some(owner)
        && (label(LIFE_LABEL) != Some(LIFE.as_str()) || of_this_life())
}

/// Whether containers of this life wait somewhere to be swept.
pub fn is_any_left() -> bool {
    let mut book = book();
    book.strays.retain(|_, (_, seen)| seen.elapsed() < FORGOTTEN);
    !book.strays.is_empty()
}

/// A container is gone.
pub fn swept(id: &str) {
    book().strays.remove(id);
}

/// A container of ours.
pub struct Made {
    engine: Arc<dyn Engine>,
    id: String,
    removed: bool,
}

impl Made {
    /// Takes charge of a container that was just created.
    pub fn new(engine: Arc<dyn Engine>, id: String) -> Made {
        book().alive.insert(id.clone());
        Made { engine, id, removed: false }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// Removes it; what it mounts stays. If it cannot be removed now, that is tried once more in the background.
    pub async fn remove(mut self) -> Result<()> {
        let outcome = self.engine.container_remove(&self.id, false).await;
        self.removed = outcome.is_ok();
        outcome
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let (engine, id) = (Arc::clone(&self.engine), std::mem::take(&mut self.id));
        // Without a runtime the process is ending.
        let (false, Ok(runtime)) = (self.removed, tokio::runtime::Handle::try_current()) else {
            book().alive.remove(&id);
            return;
        };
        runtime.spawn(async move {
            let removed = engine.container_remove(&id, false).await;
            let mut book = book();
            book.alive.remove(&id);
            match removed {
                Err(error) if error.kind() != Kind::NotFound => {
                    tracing::warn!(id, error = %error.chain(), "a helper container stays behind until its host answers");
                    book.stray(&id);
                }
                _ => {}
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, owner: &str, life: &str) -> Value {
        let name = format!("/{}", crate::helper_name("read"));
        json!({ "Id": id, "Names": [name], "Image": crate::EMPTY_IMAGE, "Labels": { HELPER_LABEL: owner, LIFE_LABEL: life } })
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_only_carries_our_labels_is_never_left_over() {
        let pretender = |id: &str, life: &str, field: &str, other: Value| {
            let mut found = listed(id, "me", life);
            found[field] = other;
            found
        };
        let pretenders = [
            pretender("pretends-1", "another life", "Names", json!(["/web"])),
            pretender("pretends-2", "another life", "Image", json!("shop:1")),
            pretender("pretends-3", &LIFE, "Names", json!(["/web"])),
            pretender("pretends-4", &LIFE, "Image", json!("shop:1")),
        ];
        for wait in [Duration::ZERO, ARRIVAL * 2] {
            tokio::time::advance(wait).await;
            assert!(!pretenders.iter().any(|found| is_left_over(found, "me")));
        }
        assert!(book().strays.keys().all(|id| !id.starts_with("pretends")), "nobody waits for them");
    }

    /// Who is at work is never taken for left over, however long it takes.
    #[tokio::test]
    async fn a_stray_is_left_over_when_nobody_took_charge_of_it() {
        let fake: Arc<dyn Engine> = Arc::new(crate::fake::FakeDocker::new());
        let made = Made::new(fake, "made-at-work".into());
        assert!(is_left_over(&listed("made-earlier", "me", "another life"), "me"));
        for id in ["made-at-work", "made-stray"] {
            assert!(!is_left_over(&listed(id, "me", &LIFE), "me"), "{id}");
            assert!(!is_left_over(&listed(id, "you", "another life"), "me"), "{id}");
        }
        assert!(is_any_left());
        tokio::time::pause();
        tokio::time::advance(ARRIVAL * 2).await;
        assert!(!is_left_over(&listed("made-at-work", "me", &LIFE), "me"));
        assert!(is_left_over(&listed("made-stray", "me", &LIFE), "me"));
        swept("made-stray");
        assert!(!is_left_over(&listed("made-stray", "me", &LIFE), "me"), "its time begins anew");
        swept("made-stray");
        drop(made);
    }
}
