//! Which calls a host allows: a proxy in front of an engine may let some through and forbid others.
//!
//! Each call is tried on something that does not exist, so that an engine that would do it finds nothing to do: whatever it says then, but
//! that it is forbidden, means that the call may be made. Nothing is made, changed or removed.

use crate::{Engine, Exec, archive};
use futures::{StreamExt, future::BoxFuture, stream};
use holdfast_model::{Kind, Result};
use serde_json::json;

/// What a right is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To find apps and to back them up whole.
    Backup,
    /// To put them back.
    Restore,
}

/// A call that is forbidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What it is needed for.
    pub need: Need,
    /// What it does, in words.
    pub what: &'static str,
    /// As a proxy sees it.
    pub call: &'static str,
}

/// Nothing on any host is called so.
const NOBODY: &str = "holdfast-asks-for-nothing";

/// Tries every call that backups and restores make, one after the other; the answer is what is forbidden.
pub async fn missing(engine: &dyn Engine) -> Vec<Missing> {
    let mut found = Vec::new();
    for (need, tries) in [(Need::Backup, backup(engine)), (Need::Restore, restore(engine))] {
        for (what, call, ask) in tries {
            // A host that is away shows in every other look at it.
            if ask.await.is_err_and(|error| error.kind() == Kind::Denied) {
                found.push(Missing { need, what, call });
            }
        }
    }
    found
}

type Try<'a> = (&'static str, &'static str, BoxFuture<'a, Result<()>>);

fn quiet<'a, T: Send>(ask: impl Future<Output = Result<T>> + Send + 'a) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move { ask.await.map(drop) })
}

fn backup(engine: &dyn Engine) -> Vec<Try<'_>> {
    vec![
        ("list containers", "GET /containers/json", quiet(engine.container_list())),
        ("describe containers", "GET /containers/*/json", quiet(engine.container_inspect(NOBODY))),
        ("tell what containers changed", "GET /containers/*/changes", quiet(engine.container_changes(NOBODY))),
        ("read files of containers", "GET /containers/*/archive", quiet(engine.archive_get(NOBODY, "/"))),
        ("tell what runs in containers", "GET /containers/*/top", quiet(engine.container_top(NOBODY))),
        ("pause containers", "POST /containers/*/pause", quiet(engine.container_pause(NOBODY))),
        ("let paused containers go on", "POST /containers/*/unpause", quiet(engine.container_unpause(NOBODY))),
        ("stop containers", "POST /containers/*/stop", quiet(engine.container_stop(NOBODY, 1))),
        ("start containers", "POST /containers/*/start", quiet(engine.container_start(NOBODY))),
        (
            "free what an engine froze and forgot",
            "POST /containers/*/restart",
            quiet(engine.container_restart(NOBODY, 1)),
        ),
        (
            "run commands in containers",
            "POST /containers/*/exec",
            quiet(async move {
                let command = ["true".to_owned()];
                engine.exec_start(NOBODY, Exec::new(&command)).await.map(drop)
            }),
        ),
        ("hear commands in containers", "GET /exec/*/json", quiet(engine.exec_code(NOBODY))),
        (
            "make helper containers",
            "POST /containers/create",
            quiet(async move { engine.container_create(NOBODY, &json!({ "Image": format!("{NOBODY}:0") })).await }),
        ),
        ("talk to helper containers", "POST /containers/*/attach", quiet(engine.container_attach(NOBODY))),
        ("remove helper containers", "DELETE /containers/*", quiet(engine.container_remove(NOBODY, false))),
        ("list images", "GET /images/json", quiet(engine.image_list())),
        ("describe images", "GET /images/**/json", quiet(engine.image_inspect(NOBODY))),
        ("read images", "GET /images/**/get", quiet(engine.image_save(NOBODY))),
        (
            "load the image of the helper",
            "POST /images/load",
            quiet(async move {
                let empty = archive::tar(&[]);
                engine.image_load(stream::iter([Ok(empty.into())]).boxed()).await
            }),
        ),
        ("remove images of older helpers", "DELETE /images/**", quiet(engine.image_remove(NOBODY))),
        ("list volumes", "GET /volumes", quiet(engine.volume_list())),
        ("describe volumes", "GET /volumes/*", quiet(engine.volume_inspect(NOBODY))),
        ("list networks", "GET /networks", quiet(engine.network_list())),
        ("describe networks", "GET /networks/*", quiet(engine.network_inspect(NOBODY))),
        ("hear of changes", "GET /events", quiet(engine.events())),
    ]
}

fn restore(engine: &dyn Engine) -> Vec<Try<'_>> {
    vec![
        ("rename containers", "POST /containers/*/rename", quiet(engine.container_rename(NOBODY, NOBODY))),
        (
            "write files of containers",
            "PUT /containers/*/archive",
            quiet(async move {
                let empty = archive::tar(&[]);
                engine.archive_put(NOBODY, "/", stream::iter([Ok(empty.into())]).boxed()).await
            }),
        ),
        ("name images", "POST /images/**/tag", quiet(engine.image_tag(NOBODY, NOBODY, "0"))),
        (
            "make volumes",
            "POST /volumes/create",
            quiet(async move {
                // No engine takes this for a name.
                engine.volume_create(&json!({ "Name": "/" })).await
            }),
        ),
        ("remove volumes", "DELETE /volumes/*", quiet(engine.volume_remove(NOBODY))),
        (
            "make networks",
            "POST /networks/create",
            // Nor this; an unknown driver would be looked for, for a quarter of a minute.
            quiet(async move { engine.network_create(&json!({ "Name": " " })).await }),
        ),
        (
            "connect containers to networks",
            "POST /networks/*/connect",
            quiet(engine.network_connect(NOBODY, NOBODY, &NOTHING)),
        ),
        ("remove networks", "DELETE /networks/*", quiet(engine.network_remove(NOBODY))),
    ]
}

/// Settings of an end of a network: none.
static NOTHING: serde_json::Value = serde_json::Value::Null;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeDocker;

    #[tokio::test]
    async fn what_is_forbidden_is_named_and_nothing_is_changed() {
        let engine = FakeDocker::new();
        assert_eq!(missing(&engine).await, []);
        let before = (engine.network_list().await.unwrap(), engine.image_list().await.unwrap());
        assert_eq!(missing(&engine).await, []);
        assert_eq!(before, (engine.network_list().await.unwrap(), engine.image_list().await.unwrap()));
        assert!(engine.volume_list().await.unwrap().is_empty() && engine.container_list().await.unwrap().is_empty());
        for (call, what) in
            [("container_pause", "pause containers"), ("volume_create", "make volumes"), ("events", "hear of changes")]
        {
            engine.fail(call, 1, Kind::Denied, "host.denied");
            let found = missing(&engine).await;
            assert_eq!(found.iter().map(|missing| missing.what).collect::<Vec<_>>(), [what]);
            // Another error is no want of a right.
            engine.fail(call, 1, Kind::Invalid, "host.refused");
            assert_eq!(missing(&engine).await, []);
        }
    }
}
