//! The mover in a container of its own: an image made in memory, nothing pulled, no network, no rights but reading.
//!
//! Lives here: the program for each architecture, its image, the container's body, its start and end. Never here: what is
//! said to it (the conversation belongs to whoever reads a tree).
//!
//! # Invariants
//! - What is read is mounted read-only, what is written (a restore) is not; the root file system is read-only, all capabilities
//!   but reading past permissions, or those that writing needs, are dropped, no privileges can be gained, memory and processes are bounded, the app's share of the CPU comes first.
//! - Each container carries [`crate::labels`]; what a crash leaves behind is found by them.

use crate::{
    Attached, ByteStream, Engine, HELPER_LABEL, Made, Said, archive, command,
    helper::{MOVER_IMAGE, MOVER_PROGRAM, MOVER_TAG},
    lane::Lane,
    thin::{thick, thin},
};
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use holdfast_model::{Error, Kind, Result};
use serde_json::{Value, json};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    net::unix::OwnedReadHalf,
};

/// Programs by the engine's word for their architecture.
const PROGRAMS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/movers.rs"));
/// Where the program lies in the image.
pub const PROGRAM: &str = MOVER_PROGRAM;
/// Where the container mounts what is read.
pub const PLACE: &str = "/v";
/// Code of the error that a folder is not the one that something was to be laid in.
pub const NO_PLACE: &str = "mover.no_place";
/// Memory of the container, bytes: some 60 for each entry of the walk, and room to read.
const MEMORY: u64 = 1 << 30;
/// Threads of the program and some more.
const PIDS: u64 = 64;
/// Half of what a container has by default.
const CPU_SHARES: u64 = 512;
/// Bytes of its complaints that are kept.
const COMPLAINTS: usize = 4 << 10;
/// Longest silence of one that reads: it says something each second while it finds something. One that writes is silent all the while.
const SILENCE: Duration = Duration::from_secs(300);
/// How long a container that has closed its output may take to be told as ended.
const ENDING: Duration = Duration::from_secs(5);

/// What is mounted.
#[derive(Clone, Copy, Debug)]
pub enum Mounted<'a> {
    /// A volume, by name.
    Volume(&'a str),
    /// A path of the host.
    HostPath(&'a str),
    /// An empty folder in memory: to try whether one may run.
    Memory,
}

/// What a mover does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work<'a> {
    /// Answers asks.
    Serve,
    /// Says all of it as a tar.
    Tar,
    /// Says one file as a tar.
    File,
    /// Writes a tar.
    Untar(Over),
    /// Writes a tar of bare names over files that are there.
    Lay(Below<'a>),
    /// Takes everything out.
    Clear,
    /// Tells what nobody can replace.
    Fixed,
}

/// A folder below what is mounted, known by a file in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Below<'a> {
    /// Its path, relative; may be empty.
    pub folder: &'a str,
    /// Path of the file in it: where that is not, the folder is not the one that is meant.
    pub mark: &'a str,
}

/// What a writer does with what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It stays, and is complained of.
    Keep,
    /// What is no folder gives way.
    Replace,
}

impl Work<'_> {
    fn command(self, in_lane: bool) -> Vec<String> {
        let name = PLACE.trim_start_matches('/');
        let below = match self {
            Work::Lay(Below { folder, .. }) if !folder.is_empty() => format!("{PLACE}/{folder}"),
            _ => PLACE.to_owned(),
        };
        let work: &[&str] = match self {
            Work::Serve => &["serve", PLACE],
            Work::Tar => &["thin", "tar", PLACE, name],
            Work::File => &["thin", "file", PLACE],
            Work::Untar(Over::Keep) => &["thin", "untar", PLACE, name],
            Work::Untar(Over::Replace) => &["thin", "overlay", PLACE, name],
            Work::Lay(Below { mark, .. }) => &["thin", "lay", &below, mark],
            Work::Clear => &["clear", PLACE],
            Work::Fixed => &["fixed", PLACE],
        };
        let via: &[&str] = if in_lane { &Lane::WORDS } else { &[] };
        [&[PROGRAM], via, work].concat().into_iter().map(str::to_owned).collect()
    }

    /// Whether what it says or hears is worth a way of its own.
    fn is_talkative(self) -> bool {
        !matches!(self, Work::Clear | Work::Fixed)
    }

    /// Whether it says what it reads.
    fn is_reading(self) -> bool {
        matches!(self, Work::Serve | Work::Tar | Work::File)
    }

    fn writes(self) -> bool {
        !matches!(self, Work::Serve | Work::Tar | Work::File | Work::Fixed)
    }

    /// Whoever writes has to give away what it made, with all its attributes.
    fn capabilities(self) -> &'static [&'static str] {
        match self {
            Work::Serve | Work::Tar | Work::File | Work::Fixed => &["DAC_READ_SEARCH"],
            Work::Clear => &["DAC_OVERRIDE", "FOWNER"],
            Work::Untar(_) | Work::Lay(_) => &["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"],
        }
    }
}

impl Mounted<'_> {
    /// The mount in a container's body, read-only. A `Mounts` entry: unlike a bind, it refuses a host path that is not
    /// there instead of making it.
    pub fn body(&self, target: &str) -> Value {
        self.mount(target, true)
    }

    /// Where users are remapped, files of volumes are the containers' and those of the host are the host's: each is read and
    /// written as whoever uses it sees it, so that it is right on other hosts too.
    pub fn users(&self) -> &'static str {
        match self {
            Mounted::HostPath(_) => "host",
            Mounted::Volume(_) | Mounted::Memory => "",
        }
    }

    fn mount(&self, target: &str, read_only: bool) -> Value {
        match self {
            Mounted::Volume(name) => json!({ "Type": "volume", "Source": name, "Target": target, "ReadOnly": read_only,
                "VolumeOptions": { "NoCopy": true } }),
            Mounted::HostPath(path) => {
                json!({ "Type": "bind", "Source": path, "Target": target, "ReadOnly": read_only })
            }
            Mounted::Memory => json!({ "Type": "tmpfs", "Target": target, "TmpfsOptions": { "SizeBytes": 65536 } }),
        }
    }
}

/// Which mover is to be made.
#[derive(Clone, Copy)]
struct Order<'a> {
    /// Of the container.
    name: &'a str,
    owner: &'a str,
    mounted: Mounted<'a>,
    work: Work<'a>,
}

/// A running mover. [`Mover::close`] removes it; dropped, it is removed in the background.
pub struct Mover {
    container: Made,
    complaints: Arc<Mutex<Vec<u8>>>,
}

/// What is said to it and what it says.
pub struct Line {
    /// Its standard input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Its standard output.
    pub output: BoxStream<'static, Result<Bytes>>,
}

impl Mover {
    /// Starts one that serves what is mounted. `Refused` (`mover.platform`) if there is none for the engine's
    /// architecture; whatever the engine says if it does not let it run.
    pub async fn start(
        engine: Arc<dyn Engine>,
        name: &str,
        owner: &str,
        mounted: Mounted<'_>,
    ) -> Result<(Mover, Line)> {
        Mover::begin(engine, Order { name, owner, mounted, work: Work::Serve }).await
    }

    /// Starts one that says all that is mounted as one tar, names below `v/`; its end marks prove that it is whole.
    pub async fn reader(
        engine: Arc<dyn Engine>,
        name: &str,
        owner: &str,
        mounted: Mounted<'_>,
    ) -> Result<(Mover, ByteStream)> {
        let (mover, Line { input, output }) =
            Mover::begin(engine, Order { name, owner, mounted, work: Work::Tar }).await?;
        drop(input);
        Ok((mover, thick(output)))
    }

    /// Says a single file that is mounted as a tar of the name `v`; one that changes meanwhile has no end. The mover is gone with the stream.
    pub async fn file(engine: Arc<dyn Engine>, name: &str, owner: &str, mounted: Mounted<'_>) -> Result<ByteStream> {
        let (mover, Line { input, output }) =
            Mover::begin(engine, Order { name, owner, mounted, work: Work::File }).await?;
        drop(input);
        let said = stream::unfold((thick(output), mover), |(mut output, mover)| async move {
            match output.next().await {
                Some(bytes) => Some((bytes, (output, mover))),
                None => {
                    // Found by its label if it cannot be removed now.
                    let _ = mover.close().await;
                    None
                }
            }
        });
        Ok(said.boxed())
    }

    /// Starts one that writes a tar (names below `v/`) into what is mounted, with all that it tells of files.
    pub async fn writer(
        engine: Arc<dyn Engine>,
        name: &str,
        owner: &str,
        mounted: Mounted<'_>,
        over: Over,
    ) -> Result<(Mover, Line)> {
        Mover::begin(engine, Order { name, owner, mounted, work: Work::Untar(over) }).await
    }

    /// Starts one that writes a tar of bare names into a folder of what is mounted, over what is there. Where the folder is not the one
    /// that is meant it writes nothing, and [`Mover::fill`] tells.
    pub async fn layer(
        engine: Arc<dyn Engine>,
        name: &str,
        owner: &str,
        mounted: Mounted<'_>,
        below: Below<'_>,
    ) -> Result<(Mover, Line)> {
        Mover::begin(engine, Order { name, owner, mounted, work: Work::Lay(below) }).await
    }

    /// Takes everything out of what is mounted. `mover.failed` if something is left.
    pub async fn clear(engine: Arc<dyn Engine>, name: &str, owner: &str, mounted: Mounted<'_>) -> Result<()> {
        Mover::work_alone(engine, Order { name, owner, mounted, work: Work::Clear }).await.map(drop)
    }

    /// What of it nobody can replace, because the file system holds it fast: the first names; `None` if nothing is.
    pub async fn fixed(
        engine: Arc<dyn Engine>,
        name: &str,
        owner: &str,
        mounted: Mounted<'_>,
    ) -> Result<Option<String>> {
        Mover::work_alone(engine, Order { name, owner, mounted, work: Work::Fixed }).await
    }

    /// Runs one that needs to be told nothing to its end; what it complained of.
    async fn work_alone(engine: Arc<dyn Engine>, order: Order<'_>) -> Result<Option<String>> {
        let (mover, line) = Mover::begin(engine, order).await?;
        let told = mover.fill(line, stream::empty().boxed()).await;
        // The container that could not be removed is found by its label.
        let _ = mover.close().await;
        told
    }

    async fn begin(engine: Arc<dyn Engine>, order: Order<'_>) -> Result<(Mover, Line)> {
        let (mover, line) = Mover::somehow(engine, order).await?;
        let output = if order.work.is_reading() { never_silent(line.output) } else { line.output };
        Ok((mover, Line { output, ..line }))
    }

    /// Past the engine where that can be, else through it.
    async fn somehow(engine: Arc<dyn Engine>, order: Order<'_>) -> Result<(Mover, Line)> {
        let Some(lanes) = engine.lanes().filter(|_| order.work.is_talkative()) else {
            return Mover::attached(engine, order).await;
        };
        let Some(lane) = lanes.lane(&*engine).await else { return Mover::attached(engine, order).await };
        match Mover::met(Arc::clone(&engine), order, lane).await {
            Ok(met) => {
                lanes.met();
                Ok(met)
            }
            Err(error) => {
                let attached = Mover::attached(engine, order).await?;
                // It was not the mover, nor what it mounts: this engine does not see our folder.
                tracing::info!(%error, "movers of this host talk through its engine");
                lanes.close();
                Ok(attached)
            }
        }
    }

    /// One that talks through a socket.
    async fn met(engine: Arc<dyn Engine>, order: Order<'_>, lane: Lane) -> Result<(Mover, Line)> {
        let mover = Mover::create(engine, order, Some(&lane)).await?;
        let met = async {
            mover.container.engine().container_start(mover.container.id()).await?;
            lane.meet(mover.gone()).await
        };
        match met.await {
            Ok((Line { input, output }, complaints)) => {
                let output = stream::select(output, mover.hear(complaints)).boxed();
                Ok((mover, Line { input, output }))
            }
            Err(error) => {
                // Its name is wanted again.
                let _ = mover.close().await;
                Err(error)
            }
        }
    }

    /// One that talks through the streams that the engine attaches.
    async fn attached(engine: Arc<dyn Engine>, order: Order<'_>) -> Result<(Mover, Line)> {
        let mover = Mover::create(engine, order, None).await?;
        let (engine, id) = (mover.container.engine(), mover.container.id());
        let begun = async {
            let attached = engine.container_attach(id).await?;
            engine.container_start(id).await?;
            Ok(attached)
        };
        let Attached { input, output } = match begun.await {
            Ok(attached) => attached,
            Err(error) => {
                // Gone before anybody goes on without it.
                let _ = mover.close().await;
                return Err(error);
            }
        };
        let complaints = Arc::clone(&mover.complaints);
        let output = output.filter_map(move |said| {
            let said = match said {
                Ok(Said::Out(bytes)) => Some(Ok(bytes)),
                Ok(Said::Err(bytes)) => {
                    keep(&complaints, &bytes);
                    None
                }
                Err(error) => Some(Err(error)),
            };
            futures::future::ready(said)
        });
        Ok((mover, Line { input, output: output.boxed() }))
    }

    /// Keeps what it complains of; a stream without items, which ends with the complaints.
    fn hear(&self, complaints: OwnedReadHalf) -> BoxStream<'static, Result<Bytes>> {
        let kept = Arc::clone(&self.complaints);
        let heard = stream::unfold((complaints, kept), |(mut complaints, kept)| async move {
            let mut bytes = [0; COMPLAINTS];
            let count = complaints.read(&mut bytes).await.unwrap_or_default();
            keep(&kept, &bytes[..count]);
            (count > 0).then_some(((), (complaints, kept)))
        });
        heard.filter_map(async |()| None).boxed()
    }

    async fn create(engine: Arc<dyn Engine>, order: Order<'_>, lane: Option<&Lane>) -> Result<Mover> {
        let body = |image: &str| body(image, order, lane);
        let made = match PROGRAMS {
            // The usual case costs no question: the image is there already.
            [(_, only)] => engine.container_create(order.name, &body(&image_name(only))).await,
            _ => Err(Error::not_found("image.not_found", "which one is not known yet")),
        };
        let id = match made {
            Err(error) if error.kind() == Kind::NotFound => {
                let image = load(&*engine).await?;
                engine.container_create(order.name, &body(&image)).await?
            }
            other => other?,
        };
        Ok(Mover { container: Made::new(engine, id), complaints: Arc::default() })
    }

    /// Gives a writer the tar and waits until all of it is on the disk. The answer is what it complained of, if single
    /// things could not be written as the tar tells. Errors: the stream's own; `NotFound` ([`NO_PLACE`]); `mover.failed` if it gave up.
    pub async fn fill(&self, line: Line, tar: ByteStream) -> Result<Option<String>> {
        let Line { input, mut output } = line;
        let hear = async {
            while let Some(said) = output.next().await {
                said?;
            }
            Ok(())
        };
        command::fed(input, thin(tar), hear).await?;
        let state = self.ended().await;
        match state["ExitCode"].as_i64().filter(|_| state["Running"] != true) {
            Some(0) => Ok(None),
            Some(3) => Ok(Some(self.told())),
            Some(4) => Err(Error::not_found(NO_PLACE, format!("nothing was laid: {}", self.told().trim()))),
            _ => Err(self.post_mortem().await),
        }
    }

    /// What it complained of, as far as that was kept.
    fn told(&self) -> String {
        let kept = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let more = if kept.len() < COMPLAINTS { "" } else { "…\nand more" };
        String::from_utf8_lossy(&kept).into_owned() + more
    }

    /// Why it said no more: what the engine and it itself tell of its end.
    pub async fn post_mortem(&self) -> Error {
        let told = self.told();
        let state = self.ended().await;
        let code = state["ExitCode"].as_i64().unwrap_or_default();
        let (code, why) = if state["OOMKilled"] == true || code == 137 {
            ("mover.killed", "it was killed, perhaps for want of memory".to_owned())
        } else if !told.trim().is_empty() {
            ("mover.failed", told.trim().to_owned())
        } else {
            ("mover.failed", format!("it ended with {code}"))
        };
        Error::new(Kind::Unavailable, code, format!("the mover broke off: {why}"))
    }

    /// Comes when it does not run any more.
    async fn gone(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if self.state().await["Running"] != true {
                return;
            }
        }
    }

    async fn state(&self) -> Value {
        let inspect = self.container.engine().container_inspect(self.container.id()).await.unwrap_or_default();
        serde_json::from_str::<Value>(&inspect).map(|mut all| all["State"].take()).unwrap_or_default()
    }

    /// The state of the container, once it has ended or has had some time to.
    async fn ended(&self) -> Value {
        let begun = tokio::time::Instant::now();
        loop {
            let state = self.state().await;
            if state["Running"] != true || begun.elapsed() > ENDING {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Removes it.
    pub async fn close(self) -> Result<()> {
        self.container.remove().await
    }
}

/// Ends with an error when nothing is said for long, though somebody listens.
fn never_silent(output: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>> {
    stream::unfold(Some(output), |output| async move {
        let mut output = output?;
        match tokio::time::timeout(SILENCE, output.next()).await {
            Ok(said) => said.map(|said| (said, Some(output))),
            Err(_) => {
                let text = "the helper container says nothing for five minutes: what it reads may hang";
                Some((Err(Error::new(Kind::Unavailable, "mover.silent", text)), None))
            }
        }
    })
    .boxed()
}

fn keep(complaints: &Mutex<Vec<u8>>, bytes: &[u8]) {
    let mut kept = complaints.lock().unwrap_or_else(PoisonError::into_inner);
    let room = COMPLAINTS.saturating_sub(kept.len()).min(bytes.len());
    kept.extend_from_slice(&bytes[..room]);
}

/// Removes images of movers of other versions, as far as nobody uses them.
pub async fn remove_old_images(engine: &dyn Engine) -> Result<()> {
    let own: Vec<String> = PROGRAMS.iter().map(|(_, program)| image_name(program)).collect();
    for image in engine.image_list().await? {
        let tags = image["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for tag in tags.filter(|tag| tag.starts_with(&format!("{MOVER_IMAGE}:")) && !own.iter().any(|own| own == tag)) {
            match engine.image_remove(tag).await {
                Err(error) if error.kind() != Kind::Conflict => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

fn image_name(program: &[u8]) -> String {
    format!("{MOVER_IMAGE}:{}", &archive::sha256(program)[..MOVER_TAG])
}

fn body(image: &str, order: Order<'_>, lane: Option<&Lane>) -> Value {
    let Order { owner, mounted, work, .. } = order;
    let mut mounts = vec![mounted.mount(PLACE, !work.writes())];
    mounts.extend(lane.map(Lane::mount));
    json!({
        "Image": image,
        "Cmd": work.command(lane.is_some()),
        "User": "0:0",
        "OpenStdin": true,
        "StdinOnce": true,
        "AttachStdin": true,
        "AttachStdout": true,
        "AttachStderr": true,
        "Tty": false,
        // It has nothing to put in order. Podman would wait ten seconds for it to end by itself.
        "StopSignal": "SIGKILL",
        "Labels": crate::labels(owner),
        "NetworkDisabled": true,
        "HostConfig": {
            "Mounts": mounts,
            "NetworkMode": "none",
            "ReadonlyRootfs": true,
            "CapDrop": ["ALL"],
            "CapAdd": work.capabilities(),
            // With a label of its own it could not read what containers with theirs have written (SELinux).
            "SecurityOpt": ["no-new-privileges", "label=disable"],
            "UsernsMode": mounted.users(),
            // Else the engine would write all that is read into a log as well.
            "LogConfig": { "Type": "none" },
            "Memory": MEMORY,
            "PidsLimit": PIDS,
            "CpuShares": CPU_SHARES,
        },
    })
}

/// Loads the image for the engine's architecture; the answer is its name.
async fn load(engine: &dyn Engine) -> Result<String> {
    let info = engine.info().await?;
    let (os, architecture) = info.platform.split_once('/').unwrap_or(("linux", "amd64"));
    let Some((_, program)) = PROGRAMS.iter().find(|(known, _)| *known == architecture && os == "linux") else {
        let text = format!("there is no mover for {}", info.platform);
        return Err(Error::new(Kind::Refused, "mover.platform", text));
    };
    let config = json!({
        "architecture": architecture,
        "os": os,
        "created": "1970-01-01T00:00:00Z",
        "config": { "Labels": { HELPER_LABEL: "image" } },
    });
    // Nothing at the place of the mount: the engine makes a folder or a file there, as what is mounted needs it.
    let entries = [archive::Entry::file(&PROGRAM[1..], *program).mode(0o755)];
    let name = image_name(program);
    let bytes = archive::image(&name, &config, &[archive::tar(&entries)]);
    engine
        .image_load(stream::iter([Ok(bytes.into())]).boxed())
        .await
        .map_err(|error| error.while_doing("load the image of the mover"))?;
    Ok(name)
}
