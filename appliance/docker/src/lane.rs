//! A way past the engine: where the appliance and the engine are on one machine, movers talk to the appliance through a socket of
//! their own instead of through the engine's attached streams, which are copied several times on their way.
//!
//! Lives here: the folder of the sockets, what of it a container mounts, the meeting. Never here: what is said.
//!
//! # Invariants
//! - Each mover has a folder of its own with one socket, and is shown nothing but it, read-only; nobody else reaches it, for what
//!   lies above is the appliance's alone. Once the two have met the folder is gone.
//! - Whether the engine sees the same folder is tried, never believed: who does not come is done without, and for a while nobody else
//!   is asked to come. That may have been a busy machine, so it is tried again later.

use crate::{Engine, mover::Line};
use bytes::BytesMut;
use futures::{StreamExt, stream};
use holdfast_model::{Error, Kind, Result};
use holdfast_runtime::random;
use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, ErrorKind},
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::{UnixListener, UnixStream, unix::OwnedReadHalf},
    sync::OnceCell,
    time::Instant,
};

/// Where a container mounts its folder.
const TARGET: &str = "/lane";
/// The socket in it.
const SOCKET: &str = "s";
/// How long a mover that was started may take to come.
const ARRIVAL: Duration = Duration::from_secs(10);
/// Bytes that are taken at once.
const PIECE: usize = 512 << 10;
/// For how long lanes are closed after the first failure in a row, the second, and each one after.
const CLOSED: [Duration; 3] = [Duration::from_secs(600), Duration::from_secs(3600), Duration::from_secs(6 * 3600)];

/// The lanes of one host.
#[derive(Debug)]
pub struct Lanes {
    folder: Place,
    /// The folder as the engine sees it, once it was found.
    outside: OnceCell<PathBuf>,
    trouble: Mutex<Trouble>,
}

/// What went wrong since a mover came last.
#[derive(Debug, Default)]
struct Trouble {
    failures: usize,
    /// Nobody meets here before.
    until: Option<Instant>,
}

impl Trouble {
    fn is_closed(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }
}

impl Lanes {
    /// Lanes in a folder that is made in this one and removed with them. What a crash leaves there whoever owns it sweeps.
    pub fn open(above: &Path) -> Result<Lanes> {
        let folder = above.join(hex::encode(random::<8>()));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|error| Error::io(format!("make the folder {}", folder.display()), error))?;
        Ok(Lanes { folder: Place(folder), outside: OnceCell::new(), trouble: Mutex::default() })
    }

    /// As if the engine saw the folder at this place.
    #[cfg(test)]
    fn seen_at(self, outside: &Path) -> Lanes {
        Lanes { outside: OnceCell::new_with(Some(outside.to_owned())), ..self }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.trouble().is_closed()
    }

    /// Nobody meets here for a while: the longer, the more often it failed in a row. Movers that fail together fail once.
    pub(crate) fn close(&self) {
        let mut trouble = self.trouble();
        if !trouble.is_closed() {
            trouble.until = Some(Instant::now() + CLOSED[trouble.failures.min(CLOSED.len() - 1)]);
            trouble.failures += 1;
        }
    }

    /// A mover came: what went wrong before is past.
    pub(crate) fn met(&self) {
        *self.trouble() = Trouble::default();
    }

    /// One for a mover that is going to be made. `None` where there can be none now.
    pub(crate) async fn lane(&self, engine: &dyn Engine) -> Option<Lane> {
        if self.is_closed() {
            return None;
        }
        let look = || async { seen_from_outside(engine, &self.folder.0).await.ok_or(()) };
        let Ok(outside) = self.outside.get_or_try_init(look).await else {
            self.close();
            return None;
        };
        Lane::open(&self.folder.0, outside)
            .inspect_err(|error| {
                tracing::debug!(%error, "no lane for a mover");
            })
            .ok()
    }
}

/// A folder of ours as the engine sees it. In a container of the same engine it is a part of what that has mounted.
async fn seen_from_outside(engine: &dyn Engine, folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let Some(container) = own_container(&mounts) else { return Some(folder) };
    let inspect = engine.container_inspect(container).await.ok()?;
    mounted_from(&serde_json::from_str(&inspect).ok()?, &folder)
}

/// The container that a process with such mounts lives in: engines mount files of a folder of its name over a few of `/etc`.
fn own_container(mounts: &str) -> Option<&str> {
    let ours = |place: &str| ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"].contains(&place);
    let is_id = |part: &&str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(3);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(_, place)| ours(place))
        .find_map(|(root, _)| root.split('/').find(is_id))
}

/// Whether we live in no container, as far as engines leave traces of theirs.
pub(crate) fn is_in_no_container() -> bool {
    fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| own_container(&mounts).is_none())
}

/// The id of the container that we live in, if it can be told.
pub fn own_container_id() -> Option<String> {
    own_container(&fs::read_to_string("/proc/self/mountinfo").ok()?).map(str::to_owned)
}

/// Where on the host a path of an inspected container lies.
fn mounted_from(inspect: &Value, path: &Path) -> Option<PathBuf> {
    let mounts = inspect["Mounts"].as_array().into_iter().flatten();
    let found = mounts.filter_map(|mount| {
        let rest = path.strip_prefix(mount["Destination"].as_str()?).ok()?;
        Some((rest.components().count(), Path::new(mount["Source"].as_str()?).join(rest)))
    });
    // Of mounts within mounts the innermost holds.
    found.min_by_key(|(depth, _)| *depth).map(|(_, outside)| outside)
}

/// A socket that one mover comes to.
pub(crate) struct Lane {
    listener: UnixListener,
    place: Place,
    outside: PathBuf,
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // What stays is swept at the next start.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Lane {
    fn open(folder: &Path, outside: &Path) -> io::Result<Lane> {
        let name = hex::encode(random::<8>());
        let place = Place(folder.join(&name));
        // Where users are remapped the mover's root is somebody else. Nobody but it gets here.
        fs::DirBuilder::new().mode(0o755).create(&place.0)?;
        fs::set_permissions(&place.0, fs::Permissions::from_mode(0o755))?;
        // Paths of sockets may have no more than 107 bytes, and data folders lie as deep as they like: this one is short.
        let opened = rustix::fs::open(&place.0, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()))?;
        fs::set_permissions(place.0.join(SOCKET), fs::Permissions::from_mode(0o666))?;
        Ok(Lane { listener, outside: outside.join(name), place })
    }

    /// What the container mounts.
    pub(crate) fn mount(&self) -> Value {
        json!({ "Type": "bind", "Source": self.outside.to_string_lossy(), "Target": TARGET, "ReadOnly": true })
    }

    /// The words before the mover's verb.
    pub(crate) const WORDS: [&str; 2] = ["via", "/lane/s"];

    /// Waits until the mover that was started has come, unless it is gone before. The line, and where it complains.
    pub(crate) async fn meet(self, gone: impl Future<Output = ()> + Send) -> Result<(Line, OwnedReadHalf)> {
        let Lane { listener, place, .. } = self;
        let come = async {
            let (line, _) = listener.accept().await?;
            let (complaints, _) = listener.accept().await?;
            Ok::<_, io::Error>((line, complaints))
        };
        let absent = |why: &str| Error::new(Kind::Unavailable, "mover.lane", format!("the mover did not come: {why}"));
        let met = tokio::select! {
            biased;
            come = come => come.map_err(|error| Error::io("meet the mover", error)),
            () = gone => Err(absent("it has ended")),
            () = tokio::time::sleep(ARRIVAL) => Err(absent("it took too long")),
        };
        drop(place);
        let (line, complaints) = met?;
        Ok((line_of(line), complaints.into_split().0))
    }
}

fn line_of(line: UnixStream) -> Line {
    let (heard, input) = line.into_split();
    let output = stream::unfold(Some((heard, BytesMut::new())), |state| async move {
        let (mut heard, mut buffer) = state?;
        // Small answers share a buffer: whoever keeps one keeps all of it.
        if buffer.capacity() < PIECE / 8 {
            buffer.reserve(PIECE);
        }
        match heard.read_buf(&mut buffer).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(buffer.split().freeze()), Some((heard, buffer)))),
            // Killed with something unread. Its end proves nothing either way.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => Some((Err(Error::io("listen to the mover", error)), None)),
        }
    });
    Line { input: Box::pin(input), output: output.boxed() }
}

#[cfg(test)]
mod tests;
