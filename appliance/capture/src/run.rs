//! The course of a capture: look, images, read ahead, hold, read what changed since, let go, store that, look again.
//!
//! What does not change is read before the hold, and what was read in it is stored after it, so that it is short. Whatever happens, the hold is ended
//! before the outcome is told.

use crate::{
    Journal, Later, Sink, data,
    database::Databases,
    found::{FoundApp, group, one_offs},
    hold::{Ending, Hold, Order, Way},
    hooks::{Afterwards, Hooks, run_all},
    image, layer, limits,
    member::{Member, inspect_all, unique},
    network,
    reach::Reader,
    sqlite::Finds,
};
use futures::{
    FutureExt, StreamExt, TryFutureExt, TryStreamExt,
    future::{self, BoxFuture},
    stream::{self, FuturesUnordered},
};
use holdfast_docker::Engine;
use holdfast_model::{
    Error, Kind, Moment, Problem, Result,
    hooks::AppHooks,
    policy::{self, Consistency},
    snapshot::{
        BindSection, ContainerSection, DatabaseFile, DatabaseSection, EngineInfo, Fidelity, ImageSection,
        NetworkSection, RunState, VolumeSection,
    },
};
use holdfast_runtime::{Clock, Stop};
use std::{sync::Arc, time::Duration};

/// Reads at once: two keep the host's disk and the line busy, more only disturb the app.
pub(crate) const READS_AT_ONCE: usize = 2;
/// While the app is held there is nothing to disturb, and it waits.
const HELD_AT_ONCE: usize = 4;
const PHASES: u32 = 6;

/// What to capture and how.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Registered name of the host.
    pub host: String,
    /// App name: compose project or container.
    pub app: String,
    /// How the app is to be held still.
    pub consistency: Consistency,
    /// What is to be done for databases whose containers do not say it themselves (label `holdfast.database`).
    pub databases: policy::Databases,
    /// Commands that are set beside those of labels.
    pub hooks: AppHooks,
    /// Longest time members may be held; then they are let go and the capture goes on with them running,
    /// named by the problem `hold.expired`.
    pub hold_limit: Duration,
    /// Label put on every helper (value of `io.holdfast.helper`): the appliance's id.
    pub owner: String,
    /// Databases that the last snapshot found among the app's files.
    pub known_files: Vec<DatabaseFile>,
    /// Secret of the repository under which states of files are told apart: the same in every capture.
    pub key: [u8; 32],
}

/// All of an app, captured.
#[derive(Clone, Debug)]
pub struct Captured {
    /// Whether it is a compose project.
    pub project: bool,
    /// Engine it was captured from.
    pub engine: EngineInfo,
    /// When it began.
    pub time: Moment,
    /// How the app was held still: what was reached, not what was asked.
    pub consistency: Consistency,
    /// The lowest fidelity of all volumes and host folders. Single files, and what containers changed in their own file
    /// systems, always come through the engine's archive.
    pub fidelity: Fidelity,
    /// Containers, in start order.
    pub containers: Vec<ContainerSection>,
    /// Images that the containers need.
    pub images: Vec<ImageSection>,
    /// Volumes, by name.
    pub volumes: Vec<VolumeSection>,
    /// Host paths, by path.
    pub binds: Vec<BindSection>,
    /// Networks that the app uses.
    pub networks: Vec<NetworkSection>,
    /// Database servers that run in it.
    pub databases: Vec<DatabaseSection>,
    /// What was not captured or not as asked.
    pub problems: Vec<Problem>,
    /// Images of which not a byte was read.
    pub images_known: u64,
    /// Milliseconds that members were held.
    pub freeze_ms: u64,
    /// Bytes that all of it restores to, images included.
    pub bytes_logical: u64,
}

/// Captures an app. `NotFound` (`app.gone`) if it is not there, `container.gone` if a member was removed
/// meanwhile, `Stopped` if asked to stop. No member stays held, however it ends.
pub async fn capture(
    engine: Arc<dyn Engine>,
    ask: Ask,
    journal: Arc<Journal>,
    sink: Arc<dyn Sink>,
    clock: &Clock,
    stop: &Stop,
) -> Result<Captured> {
    let info = until_stopped(stop, engine.info()).await?;
    let asked = ask.consistency;
    let mut ask = ask;
    if info.cannot_pause && asked == Consistency::Pause {
        // Known before anything is read: databases are dumped then, as those of every app that goes on writing.
        ask.consistency = Consistency::None;
    }
    let reader = reader((&engine, &sink), &mut ask, &info);
    let work = Work { engine, ask, journal, sink, reader, now: clock.now() };
    let mut ready = until_stopped(stop, work.prepare(info)).await?;
    ready.captured.problems.extend(limits::not_paused(&work.ask, asked));
    work.read(ready, stop).await
}

/// Where one capture reads. What the last snapshot knew of files is taken out of the ask.
pub(crate) fn reader((engine, sink): (&Arc<dyn Engine>, &Arc<dyn Sink>), ask: &mut Ask, info: &EngineInfo) -> Reader {
    Reader {
        engine: engine.clone(),
        sink: sink.clone(),
        owner: ask.owner.clone(),
        key: ask.key,
        is_live: ask.consistency == Consistency::None,
        true_archives: info.has_true_archives(),
        needs_mover: info.product == "podman",
        reduced: Arc::default(),
        finds: Arc::new(Finds::known(std::mem::take(&mut ask.known_files))),
    }
}

pub(crate) async fn until_stopped<T>(stop: &Stop, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(Error::new(Kind::Stopped, "capture.stopped", "the capture was stopped")),
        outcome = work => outcome,
    }
}

struct Work {
    engine: Arc<dyn Engine>,
    ask: Ask,
    journal: Arc<Journal>,
    sink: Arc<dyn Sink>,
    reader: Reader,
    now: Moment,
}

/// All that is known before anything is held.
struct Ready {
    captured: Captured,
    members: Vec<Member>,
    volumes: Vec<data::Opened<data::Volume>>,
    binds: Vec<data::Opened<data::Bind>>,
}

/// One piece of reading, done.
pub(crate) enum Piece {
    Volume(VolumeSection, Vec<Problem>),
    Bind(BindSection, Vec<Problem>),
    Layer(usize, layer::Layer),
}

impl Piece {
    /// The volume or host path whose content was captured.
    fn kept(&self) -> Option<&str> {
        match self {
            Piece::Volume(volume, _) => volume.stream.as_ref().map(|_| volume.name.as_str()),
            Piece::Bind(bind, _) => bind.stream.as_ref().filter(|_| bind.directory).map(|_| bind.source.as_str()),
            Piece::Layer(..) => None,
        }
    }
}

impl Work {
    async fn prepare(&self, info: EngineInfo) -> Result<Ready> {
        self.sink.phase("inspect", 1, PHASES);
        let mut problems = Vec::new();
        let app = self.find(&mut problems).await?;
        let members = inspect_all(&*self.engine, &app).await?;
        problems.extend(members.iter().filter_map(Member::wrong_turn));
        let (volumes, binds) = data::plan(&*self.engine, &members, &mut problems).await?;
        let networks = network::describe(&*self.engine, &members, &mut problems).await?;
        self.sink.phase("images", 2, PHASES);
        let (mut images, mut images_known) = (Vec::new(), 0);
        for id in unique(members.iter().map(|member| member.image.clone())) {
            if let Some(taken) = image::take(&*self.engine, &*self.sink, &id, &mut problems).await? {
                images_known += u64::from(taken.known);
                images.push(taken.section);
            }
        }
        let (volumes, binds) = (self.reader.open_volumes(volumes).await, self.reader.open_binds(binds).await);
        let captured = Captured {
            consistency: self.ask.consistency,
            containers: members.iter().map(section).collect(),
            images,
            networks,
            problems,
            images_known,
            ..nothing_yet(info, self.now, app.project)
        };
        Ok(Ready { captured, members, volumes, binds })
    }

    /// A project goes before a container of the same name.
    async fn find(&self, problems: &mut Vec<Problem>) -> Result<FoundApp> {
        let listing = self.engine.container_list().await?;
        let named = group(&listing).into_iter().filter(|app| app.name == self.ask.app);
        let app = named.max_by_key(|app| app.project).ok_or_else(|| {
            Error::not_found("app.gone", format!("there is no app {} on host {}", self.ask.app, self.ask.host))
                .advice("Its snapshots stay; list them to restore it.")
        })?;
        for name in one_offs(&listing, &app.name).into_iter().filter(|_| app.project) {
            let text = format!("container {name} is a one-off run of the project and was not captured");
            problems.push(Problem::note("container.one_off", name, text));
        }
        Ok(app)
    }

    async fn read(&self, mut ready: Ready, stop: &Stop) -> Result<Captured> {
        let hooks = Hooks::of(&ready.members, &self.ask.hooks, &mut ready.captured.problems);
        let mut databases = self.databases(&mut ready).await;
        self.sink.phase("ahead", 3, PHASES);
        let ahead = async {
            ready.captured.problems.extend(run_all(&*self.engine, &hooks.dump).await);
            ready.captured.problems.extend(databases.dump(&self.engine, &*self.sink).await?);
            ready.captured.problems.extend(databases.begin_logs(&self.engine, &*self.sink).await?);
            databases.settle(&*self.engine).await;
            self.read_ahead(&mut ready).await
        };
        let outcome = match until_stopped(stop, ahead).await {
            Ok(()) => self.held(&mut ready, hooks, &mut databases, stop).await,
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Ok(pieces) => self.store(pieces, stop).await,
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Ok(pieces) => {
                let places: Vec<&str> = pieces.iter().filter_map(Piece::kept).collect();
                let told = until_stopped(stop, databases.end_logs(&self.engine, &*self.sink, &places)).await;
                told.map(|told| {
                    ready.captured.problems.extend(told);
                    pieces
                })
            }
            Err(error) => Err(error),
        };
        let Ready { mut captured, mut members, volumes, binds } = ready;
        volumes.into_iter().map(data::Opened::close).collect::<FuturesUnordered<_>>().collect::<()>().await;
        binds.into_iter().map(data::Opened::close).collect::<FuturesUnordered<_>>().collect::<()>().await;
        for piece in outcome? {
            place(&mut captured, piece);
        }
        captured.databases = databases.sections(captured.consistency);
        let (files, told) = self.reader.finds.sections(&members, captured.consistency);
        captured.databases.extend(files);
        captured.problems.extend(told);
        captured.problems.extend(self.reader.reduction(&self.ask.host));
        self.refresh(&mut members).await?;
        captured.fidelity = lowest(&captured);
        let untold = limits::owners_untold(&captured);
        captured.problems.extend(untold);
        captured.volumes.sort_by(|a, b| a.name.cmp(&b.name));
        captured.binds.sort_by(|a, b| a.source.cmp(&b.source));
        captured.bytes_logical = logical(&captured);
        Ok(captured)
    }

    async fn databases(&self, ready: &mut Ready) -> Databases {
        let way = (self.ask.consistency, self.ask.databases);
        let mut databases = Databases::find(&*self.engine, &ready.members, way, &mut ready.captured.problems).await;
        if ready.captured.engine.remapped {
            databases.keep_logs_of_volumes();
        }
        databases
    }

    /// Stores trees while the app still runs: then the hold lasts as long as a walk and what changed since, not as long
    /// as the data.
    async fn read_ahead(&self, ready: &mut Ready) -> Result<()> {
        if self.ask.consistency == Consistency::None {
            return Ok(());
        }
        let mut reads: Vec<BoxFuture<'_, Result<()>>> = Vec::new();
        for volume in &mut ready.volumes {
            reads.push(Box::pin(volume.read_ahead(&self.reader)));
        }
        for bind in &mut ready.binds {
            reads.push(Box::pin(bind.read_ahead(&self.reader)));
        }
        stream::iter(reads).buffer_unordered(READS_AT_ONCE).try_collect().await
    }

    /// Holds the members, reads, lets them go.
    async fn held(
        &self,
        ready: &mut Ready,
        hooks: Hooks,
        databases: &mut Databases,
        stop: &Stop,
    ) -> Result<Vec<Later<Piece>>> {
        self.sink.phase("hold", 4, PHASES);
        // Reading images may have taken long: hold what runs now.
        self.refresh(&mut ready.members).await?;
        for (section, member) in ready.captured.containers.iter_mut().zip(&ready.members) {
            section.state = member.state;
        }
        let (engine, journal, of) = (self.engine.clone(), self.journal.clone(), (&*self.ask.host, &*self.ask.app));
        // A database is let go before the app's own commands find out that it is over.
        let owed = databases.releases().into_iter().chain(hooks.post).collect();
        let afterwards = Afterwards::promise(engine, journal, of, self.now, self.ask.hold_limit, owed).await?;
        let before = async {
            let mut problems = run_all(&*self.engine, &hooks.pre).await;
            // Last of all: whoever waits for a lock of the database waits as short as can be.
            problems.extend(databases.prepare(&*self.engine).await);
            Ok(problems)
        };
        ready.captured.problems.extend(until_stopped(stop, before).await?);
        let holds = self.hold(&ready.members, &mut ready.captured.problems).await?;
        self.sink.phase("data", 5, PHASES);
        let outcome = until_stopped(stop, self.pieces(&ready.members, &ready.volumes, &ready.binds)).await;
        let expired_early = holds.iter().any(Hold::expired);
        let not_held: Vec<String> = holds.iter().flat_map(|hold| hold.not_held.clone()).collect();
        let mut endings = Vec::new();
        for hold in holds {
            endings.push(hold.end().await);
        }
        if let Some(afterwards) = afterwards {
            ready.captured.problems.extend(afterwards.run().await);
        }
        self.judge(&mut ready.captured, &endings, expired_early, &not_held);
        outcome
    }

    /// Asks for the members' states again; one that is gone makes the whole capture doubtful.
    async fn refresh(&self, members: &mut [Member]) -> Result<()> {
        let apps = group(&self.engine.container_list().await?);
        let found: Vec<_> = apps.into_iter().flat_map(|app| app.containers).collect();
        for member in members {
            let Some(now) = found.iter().find(|found| found.id == member.id) else {
                let text = format!("container {} was removed while the app was being captured", member.name);
                return Err(
                    Error::not_found("container.gone", text).advice("Back the app up again when it has settled.")
                );
            };
            member.state = now.state;
        }
        Ok(())
    }

    /// Members that run are held; those that somebody else paused stay as they are.
    async fn hold(&self, members: &[Member], problems: &mut Vec<Problem>) -> Result<Vec<Hold>> {
        let running = || members.iter().filter(|member| member.state == RunState::Running);
        let groups = match self.ask.consistency {
            Consistency::None => Vec::new(),
            Consistency::Pause => vec![(Way::Pause, running().map(Member::to_hold).collect::<Vec<_>>())],
            Consistency::Stop => {
                for member in running().filter(|member| member.removes_itself) {
                    problems.push(Problem::note(
                        "hold.removes_itself",
                        &member.name,
                        format!("container {} is removed when it stops, so it was paused instead", member.name),
                    ));
                }
                let stopped = running().filter(|member| !member.removes_itself).map(Member::to_hold).collect();
                let paused = running().filter(|member| member.removes_itself).map(Member::to_hold).collect();
                vec![(Way::Stop, stopped), (Way::Pause, paused)]
            }
        };
        let mut holds: Vec<Hold> = Vec::new();
        for (way, members) in groups {
            if members.is_empty() {
                continue;
            }
            let (host, app) = (self.ask.host.clone(), self.ask.app.clone());
            let order = Order { host, app, way, members, now: self.now, limit: self.ask.hold_limit };
            match Hold::take(self.engine.clone(), self.journal.clone(), order).await {
                Ok(hold) => holds.push(hold),
                Err(error) => {
                    for hold in holds {
                        hold.end().await;
                    }
                    return Err(error);
                }
            }
        }
        Ok(holds)
    }

    /// Reads everything; what is left to do of it can be done without the app.
    async fn pieces(
        &self,
        members: &[Member],
        volumes: &[data::Opened<data::Volume>],
        binds: &[data::Opened<data::Bind>],
    ) -> Result<Vec<Later<Piece>>> {
        let reader = &self.reader;
        let mut reads: Vec<BoxFuture<'_, Result<Later<Piece>>>> = Vec::new();
        for volume in volumes {
            reads.push(Box::pin(async move {
                let later = reader.volume(volume).await?;
                Ok(later.map_ok(|(section, problems)| Piece::Volume(section, problems)).boxed())
            }));
        }
        for bind in binds {
            reads.push(Box::pin(async move {
                let later = reader.bind(bind).await?;
                Ok(later.map_ok(|(section, problems)| Piece::Bind(section, problems)).boxed())
            }));
        }
        for (place, member) in members.iter().enumerate() {
            reads.push(Box::pin(async move {
                let layer = layer::read(&*self.engine, &*self.sink, member).await?;
                Ok(future::ready(Ok(Piece::Layer(place, layer))).boxed())
            }));
        }
        let at_once = if self.reader.is_live { READS_AT_ONCE } else { HELD_AT_ONCE };
        stream::iter(reads).buffer_unordered(at_once).try_collect().await
    }

    /// Stores what was read while the app was held.
    async fn store(&self, pieces: Vec<Later<Piece>>, stop: &Stop) -> Result<Vec<Piece>> {
        self.sink.phase("store", 6, PHASES);
        until_stopped(stop, stream::iter(pieces).buffer_unordered(READS_AT_ONCE).try_collect()).await
    }

    /// Says what was reached, and what became of the hold.
    fn judge(&self, captured: &mut Captured, endings: &[Ending], expired_early: bool, not_held: &[String]) {
        let lasted = endings.iter().map(|ending| ending.lasted).max().unwrap_or_default();
        captured.freeze_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        for ending in endings {
            if let Some(error) = &ending.error {
                let what = Problem::from_error(&self.ask.app, error);
                captured.problems.push(
                    what.advice("Look at the app's containers: some may still be held. The appliance goes on trying."),
                );
            }
        }
        if expired_early || endings.iter().any(|ending| ending.expired) {
            captured.consistency = Consistency::None;
            let seconds = self.ask.hold_limit.as_secs();
            captured.problems.push(
                Problem::warning(
                    "hold.expired",
                    &self.ask.app,
                    format!("the app was let go after {seconds} s, before all its data was read: files may be from different instants"),
                )
                .advice("Allow a longer hold, or back up at a quieter time."),
            );
        }
        for name in not_held {
            captured.consistency = Consistency::None;
            let text = format!(
                "container {name} could not be held still (it keeps restarting): its files may be from different instants"
            );
            captured.problems.push(Problem::warning("hold.not_held", name, text));
        }
    }
}

fn section(member: &Member) -> ContainerSection {
    ContainerSection {
        name: member.name.clone(),
        service: member.service.clone(),
        inspect: member.inspect.clone(),
        image: member.image.clone(),
        state: member.state,
        changes: Vec::new(),
        changed: 0,
        layer: Vec::new(),
        depends_on: member.depends_on.clone(),
    }
}

/// A capture that holds nothing yet and for which nobody was held.
pub(crate) fn nothing_yet(engine: EngineInfo, time: Moment, project: bool) -> Captured {
    Captured {
        project,
        engine,
        time,
        consistency: Consistency::None,
        fidelity: Fidelity::Full,
        containers: Vec::new(),
        images: Vec::new(),
        volumes: Vec::new(),
        binds: Vec::new(),
        networks: Vec::new(),
        databases: Vec::new(),
        problems: Vec::new(),
        images_known: 0,
        freeze_ms: 0,
        bytes_logical: 0,
    }
}

/// Puts a piece where it belongs.
pub(crate) fn place(captured: &mut Captured, piece: Piece) {
    match piece {
        Piece::Volume(section, problems) => {
            captured.volumes.push(section);
            captured.problems.extend(problems);
        }
        Piece::Bind(section, problems) => {
            captured.binds.push(section);
            captured.problems.extend(problems);
        }
        Piece::Layer(place, layer) => {
            let container = &mut captured.containers[place];
            (container.changes, container.changed) = (layer.deletions, layer.changed);
            container.layer = layer.parts;
            captured.problems.extend(layer.problems);
        }
    }
}

/// The lowest fidelity of volumes and folders.
pub(crate) fn lowest(captured: &Captured) -> Fidelity {
    let volumes = captured.volumes.iter().map(|volume| volume.fidelity);
    let folders = captured.binds.iter().filter(|bind| bind.directory);
    let mut all = volumes.chain(folders.map(|bind| bind.fidelity));
    if all.any(|fidelity| fidelity == Fidelity::Api) { Fidelity::Api } else { Fidelity::Full }
}

/// Bytes that all of it restores to.
pub(crate) fn logical(captured: &Captured) -> u64 {
    let layers = captured.containers.iter().flat_map(|container| container.layer.iter().map(|part| part.stream.length));
    let volumes = captured.volumes.iter().filter_map(|volume| Some(volume.stream.as_ref()?.length));
    let binds = captured.binds.iter().filter_map(|bind| Some(bind.stream.as_ref()?.length));
    let images = captured.images.iter().map(|image| image.bytes);
    let dumps = captured.databases.iter().filter_map(|database| Some(database.dump.as_ref()?.length));
    let logs = captured.databases.iter().filter_map(|database| Some(database.log.as_ref()?.stream.length));
    // Whether that is too much for a snapshot, its commit asks.
    layers.chain(volumes).chain(binds).chain(images).chain(dumps).chain(logs).fold(0u64, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::snapshot::{RawJson, StreamRef};

    #[test]
    fn what_is_too_much_to_be_counted_does_not_wrap_around() {
        let volume = |length: u64| VolumeSection {
            name: "data".into(),
            anonymous: false,
            inspect: RawJson("{}".into()),
            stream: Some(StreamRef { length, ..StreamRef::default() }),
            fidelity: Fidelity::Full,
        };
        let captured = |lengths: &[u64]| Captured {
            volumes: lengths.iter().map(|length| volume(*length)).collect(),
            ..nothing_yet(EngineInfo::default(), Moment::from_millis(0), true)
        };
        assert_eq!(logical(&captured(&[1, 2])), 3);
        assert_eq!(logical(&captured(&[u64::MAX, 2])), u64::MAX);
    }
}
