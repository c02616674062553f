//! How much room there is where an engine keeps its data, as far as that can be seen from here.
//!
//! Invariant: only of an engine of this very machine, which says its name, asked by a process that lives in no container. A socket may
//! lead elsewhere, and a folder of the same name be somebody else's: then nothing is said.

use crate::lane::is_in_no_container;
use rustix::fs::statvfs;
use serde_json::Value;
use std::{fs, path::Path, sync::Arc, time::Duration};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

/// How long a look may take: a disk that is dead holds up whoever asks it for ever.
const LIMIT: Duration = Duration::from_secs(2);

/// Looks at the room of one engine, one at a time: while one hangs nobody starts another, which would hang too.
#[derive(Default)]
pub(super) struct Space {
    at_work: Arc<Mutex<()>>,
}

impl Space {
    /// Bytes free for its data.
    pub(super) async fn free(&self, info: &Value) -> Option<u64> {
        let info = info.clone();
        let look = move || {
            let own = fs::read_to_string("/proc/sys/kernel/hostname").ok().filter(|_| is_in_no_container())?;
            seen(&info, own.trim())
        };
        self.within(LIMIT, look).await
    }

    async fn within(&self, limit: Duration, look: impl FnOnce() -> Option<u64> + Send + 'static) -> Option<u64> {
        let end = Instant::now() + limit;
        let at_work = timeout_at(end, Arc::clone(&self.at_work).lock_owned()).await.ok()?;
        let looking = tokio::task::spawn_blocking(move || {
            let _at_work = at_work;
            look()
        });
        timeout_at(end, looking).await.ok()?.ok().flatten()
    }
}

fn seen(info: &Value, own_name: &str) -> Option<u64> {
    let folder = info["DockerRootDir"].as_str().map(Path::new).filter(|folder| folder.is_absolute())?;
    if own_name.is_empty() || info["Name"] != own_name {
        return None;
    }
    let found = statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn only_the_room_of_an_engine_of_this_machine_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let info = |name: &str, folder: &Path| json!({ "Name": name, "DockerRootDir": folder.to_string_lossy() });
        assert!(seen(&info("here", folder.path()), "here").is_some());
        assert_eq!(seen(&info("there", folder.path()), "here"), None, "its socket leads to another machine");
        assert_eq!(seen(&info("here", &folder.path().join("none")), "here"), None, "its folder is not ours to see");
        assert_eq!(seen(&info("here", Path::new("relative")), "here"), None);
        assert_eq!(seen(&info("", folder.path()), ""), None);
        assert_eq!(seen(&json!({}), "here"), None);
    }

    #[tokio::test]
    async fn a_look_that_hangs_holds_up_nobody_and_no_other_begins_before_it_ends() {
        const SHORT: Duration = Duration::from_millis(50);
        let (space, (wake, dead)) = (Space::default(), std::sync::mpsc::channel());
        let hangs = move || dead.recv().ok();
        assert_eq!(space.within(SHORT, hangs).await, None);
        let begun = Arc::new(AtomicBool::new(false));
        for _ in 0..3 {
            let begun = Arc::clone(&begun);
            let other = move || {
                begun.store(true, Ordering::Relaxed);
                Some(8)
            };
            assert_eq!(space.within(SHORT, other).await, None);
        }
        wake.send(7).unwrap();
        assert_eq!(space.within(Duration::from_secs(60), || Some(9)).await, Some(9), "the disk is back");
        assert!(!begun.load(Ordering::Relaxed));
    }
}
