//! Backs an app up: asks capture for it, lets the repository take its streams, commits.
//!
//! Invariants: nothing is committed unless all of the capture succeeded or named what it left out;
//! the snapshot is the only commit point (law L1); a failure is remembered with its reason.

use crate::{
    alarms,
    apps::{Cover, Facts, app_id, split},
    cache,
    house::House,
    jobs::{Claim, Desk, Order},
    watch,
    words::{count, lock, size, span},
};
use async_trait::async_trait;
use holdfast_capture::{
    Ask, Captured, Later, Places, Sink, StreamKind, bind_label, capture, capture_places, dump_label, log_label,
    volume_label,
};
use holdfast_docker::ByteStream;
use holdfast_model::{
    Error, Few, Kind, Moment, Problem, Result, Severity, SnapshotId,
    job::{JobKind, JobView},
    policy::{Consistency, Databases},
    snapshot::{FORMAT, ImageSection, Snapshot, Stats, StreamRef, Trigger},
    view::BackupRequest,
};
use holdfast_repository::{Repository, Session, StreamKind as Cut};
use holdfast_runtime::random;
use holdfast_tree::Tree;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// Longest time members may be held. Through the archive API a freeze grows with the data (about a second for 100 MB),
/// so a tight limit would leave every larger volume inconsistent; two minutes is what a person would still take for a
/// hiccup. Past it the members go on and the snapshot says `hold.expired`.
const HOLD_LIMIT: Duration = Duration::from_secs(120);

/// What a backup is to be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// `host/app`.
    pub app: String,
    /// How it is held still.
    pub consistency: Consistency,
    /// What is done for databases in it.
    pub databases: Databases,
    /// Policy that asked.
    pub policy: Option<String>,
    /// Why.
    pub trigger: Trigger,
}

/// Accepts backups asked for by a person: all of them or, with the first that cannot be, none.
pub async fn request(house: &Arc<House>, request: BackupRequest) -> Result<Vec<JobView>> {
    if request.apps.is_empty() {
        return Err(Error::invalid("backup.nothing", "no app was named").advice("Name one or more apps."));
    }
    let mut wishes: Vec<Wish> = Vec::new();
    for asked in &request.apps {
        let (facts, app) = find(house, asked).await?;
        if wishes.iter().any(|wish| wish.app == app) {
            continue;
        }
        if facts.seen(&app).is_none() {
            return Err(Error::not_found(
                "app.gone",
                format!("{app} is not on its host any more; only its snapshots are"),
            ));
        }
        let claim = Claim::Backup(app.clone());
        if let Some(refusal) = house.jobs.is_active(&claim).then(|| claim.refusal(&claim)).flatten() {
            return Err(refusal);
        }
        let asked = (request.consistency, request.databases);
        wishes.push(wish(&facts, app, asked, Trigger::Manual));
    }
    wishes.into_iter().map(|wish| enqueue(house, wish).map(|desk| desk.view())).collect()
}

/// Finds an app; one that just appeared is looked for once more on its host.
pub async fn find(house: &House, asked: &str) -> Result<(Facts, String)> {
    let facts = Facts::gather(house);
    if let Ok(app) = facts.resolve(asked) {
        return Ok((facts, app));
    }
    watch::refresh(house).await;
    let facts = Facts::gather(house);
    let app = facts.resolve(asked)?;
    Ok((facts, app))
}

/// What a backup of this app should be by request and policy.
pub fn wish(
    facts: &Facts,
    app: String,
    (consistency, databases): (Option<Consistency>, Option<Databases>),
    trigger: Trigger,
) -> Wish {
    let policy = if let Cover::Policy(policy) = facts.cover(&app) { Some(policy) } else { None };
    let consistency = consistency.or(policy.as_ref().map(|policy| policy.consistency)).unwrap_or_default();
    let databases = databases.or(policy.as_ref().map(|policy| policy.databases)).unwrap_or_default();
    Wish { app, consistency, databases, policy: policy.map(|policy| policy.name), trigger }
}

/// Puts a backup into the queue.
pub fn enqueue(house: &Arc<House>, wish: Wish) -> Result<Arc<Desk>> {
    let order = Order { kind: JobKind::Backup, subject: wish.app.clone(), claim: Claim::Backup(wish.app.clone()) };
    let house_of_job = house.clone();
    let desk = house.jobs.add(
        order,
        Box::new(move |desk| {
            Box::pin(async move {
                let taken = take(&house_of_job, &desk, &wish).await;
                house_of_job.wake.notify_one();
                taken.map(|snapshot| summary(&snapshot))
            })
        }),
    )?;
    house.events.apps();
    Ok(desk)
}

/// Takes a backup at this desk and remembers how it went.
pub async fn take(house: &House, desk: &Arc<Desk>, wish: &Wish) -> Result<Snapshot> {
    let taken = somehow(house, desk, wish, None).await;
    match &taken {
        Ok(snapshot) => remember(house, desk, wish, snapshot),
        // A person's wish to stop is no failure of the app.
        Err(error) if error.kind() == Kind::Stopped => {}
        Err(error) => {
            house.memory.failed(&wish.app, house.now(), error.chain());
            // Perhaps the host went away: its watcher finds out now instead of in half a minute.
            house.hosts.nudge();
        }
    }
    house.events.apps();
    taken
}

/// Takes a snapshot of places alone, which are about to be replaced. It says nothing of how backups of the app go. One that holds no data
/// is not committed: nothing of the places was there, or what was there could not be read, as its problems tell.
pub async fn take_places(house: &House, desk: &Arc<Desk>, wish: &Wish, places: &Places) -> Result<Snapshot> {
    let taken = somehow(house, desk, wish, Some(places)).await?;
    if has_data(&taken) {
        house.memory.add_activity(house.now(), taken.stats.bytes_new, 0);
        house.tier.nudge();
        house.events.snapshots();
        house.events.status();
    }
    Ok(taken)
}

/// Whether a snapshot holds anything that can be had back.
pub fn has_data(snapshot: &Snapshot) -> bool {
    snapshot.streams().next().is_some()
}

async fn somehow(house: &House, desk: &Arc<Desk>, wish: &Wish, places: Option<&Places>) -> Result<Snapshot> {
    let mut taken = attempt(house, desk, wish, places).await;
    if is_stale(&taken) {
        // What it leaned on was pruned on the way. The second time nothing of that is known any more.
        desk.log("begins again: data that it leaned on was pruned meanwhile");
        taken = attempt(house, desk, wish, places).await;
    }
    taken.map_err(cache::advised)
}

async fn attempt(house: &House, desk: &Arc<Desk>, wish: &Wish, places: Option<&Places>) -> Result<Snapshot> {
    let begun = house.now();
    let (host, app) = split(&wish.app);
    desk.phase("connect", 1, 2);
    let engine = house.hosts.engine(host).await?;
    let repository = house.repository();
    let parent = newest_of(&repository, &wish.app);
    if let Some(parent) = parent.as_ref().filter(|_| places.is_none()) {
        desk.total(data_bytes(parent));
    }
    let before = desk.moved_bytes();
    let repository_key = repository.tree_key();
    let sink = Arc::new(SessionSink {
        session: Mutex::new(Some(Arc::new(repository.session()))),
        repository,
        desk: desk.clone(),
        parent: parent.clone(),
    });
    let ask = Ask {
        host: host.to_owned(),
        app: app.to_owned(),
        consistency: wish.consistency,
        databases: wish.databases,
        hooks: house.settings().hooks.get(&wish.app).cloned().unwrap_or_default(),
        hold_limit: HOLD_LIMIT,
        owner: house.owner(),
        known_files: parent.iter().flat_map(|parent| &parent.databases).filter_map(|one| one.file.clone()).collect(),
        key: repository_key,
    };
    let (stop, clock) = (desk.stop(), &house.clock);
    let captured = match places {
        None => capture(engine, ask, house.journal.clone(), sink.clone(), clock, stop).await?,
        Some(places) => capture_places(engine, ask, places, sink.clone(), clock, stop).await?,
    };
    desk.check_stop()?;
    let read = desk.moved_bytes() - before;
    let duration = u64::try_from(house.now().since(begun)).unwrap_or(0);
    let mut manifest = manifest(captured, wish, parent.map(|parent| parent.id.clone()), (read, duration), house);
    if places.is_some() && !has_data(&manifest) {
        return Ok(manifest);
    }
    let session = sink.take_session()?;
    if places.is_none() {
        // Nearly all that it adds is stored by now; the repository counts again at the commit.
        manifest.stats.bytes_new = session.bytes_new();
        let alarms = alarms::of_snapshot(&house.repository(), &manifest);
        manifest.problems.extend(alarms);
    }
    let phases = desk.peek(|view| view.progress.phases).max(1);
    desk.phase("commit", phases, phases);
    let problems = manifest.problems.clone();
    let committed = session.commit(manifest).await;
    // Whoever begins again tells them then: what is counted would count twice.
    if !is_stale(&committed) {
        desk.problems(problems);
    }
    committed
}

fn is_stale(taken: &Result<Snapshot>) -> bool {
    taken.as_ref().is_err_and(|error| error.code() == "snapshot.stale")
}

fn remember(house: &House, desk: &Desk, wish: &Wish, snapshot: &Snapshot) {
    desk.snapshot(&snapshot.id);
    match snapshot.problems.iter().find(|problem| problem.severity == Severity::Error) {
        Some(problem) => house.memory.failed(&wish.app, house.now(), problem.message.clone()),
        None => house.memory.succeeded(&wish.app, house.now()),
    }
    house.memory.add_activity(house.now(), snapshot.stats.bytes_new, 0);
    alarms::keep(house, snapshot);
    house.tier.nudge();
    house.events.snapshots();
    house.events.status();
}

fn manifest(
    captured: Captured,
    wish: &Wish,
    parent: Option<SnapshotId>,
    (bytes_read, duration_ms): (u64, u64),
    house: &House,
) -> Snapshot {
    let (host, app) = split(&wish.app);
    let time: Moment = captured.time;
    Snapshot {
        format: FORMAT,
        id: SnapshotId::new(time, random()),
        repository: house.repository().id(),
        // The repository counts; it overwrites this at commit.
        sequence: 0,
        parent,
        app: app.to_owned(),
        project: captured.project,
        host: host.to_owned(),
        engine: captured.engine,
        time,
        policy: wish.policy.clone(),
        trigger: wish.trigger,
        consistency: captured.consistency,
        fidelity: captured.fidelity,
        containers: captured.containers,
        images: captured.images,
        volumes: captured.volumes,
        binds: captured.binds,
        networks: captured.networks,
        databases: captured.databases,
        problems: captured.problems.into_iter().collect::<Few>().all(),
        stats: Stats {
            bytes_logical: captured.bytes_logical,
            bytes_read,
            images_known: captured.images_known,
            freeze_ms: captured.freeze_ms,
            duration_ms,
            ..Stats::default()
        },
    }
}

/// The newest snapshot of the app itself: what was saved of places alone knows nothing of the rest.
fn newest_of(repository: &Repository, app: &str) -> Option<Arc<Snapshot>> {
    let of_app = |snapshot: &Snapshot| app_id(&snapshot.host, &snapshot.app) == app && !snapshot.is_of_places();
    repository.snapshots().into_iter().rev().map(|entry| entry.snapshot).find(|snapshot| of_app(snapshot))
}

/// What was read last time apart from images: the best guess of what will be read now.
fn data_bytes(snapshot: &Snapshot) -> u64 {
    let volumes = snapshot.volumes.iter().filter_map(|volume| volume.stream.as_ref());
    let binds = snapshot.binds.iter().filter_map(|bind| bind.stream.as_ref());
    let layers = snapshot.containers.iter().flat_map(|one| one.layer.iter().map(|part| &part.stream));
    volumes.chain(binds).chain(layers).map(|stream| stream.length).sum()
}

fn summary(snapshot: &Snapshot) -> String {
    let stats = &snapshot.stats;
    format!(
        "{} protected, {} new, in {}; {}",
        size(stats.bytes_logical),
        size(stats.bytes_new),
        span(stats.duration_ms.div_ceil(1000)),
        count(snapshot.containers.len() as u64, "container"),
    )
}

/// What a volume or host path was in the snapshot before.
fn stream_before<'a>(parent: &'a Snapshot, label: &str) -> Option<&'a StreamRef> {
    let volume = parent.volumes.iter().find(|volume| volume_label(&volume.name) == label);
    let bind = parent.binds.iter().find(|bind| bind_label(&bind.source) == label);
    let dump = parent.databases.iter().find(|database| dump_label(database) == label);
    let dump = dump.and_then(|database| database.dump.as_ref());
    let log = parent.databases.iter().find(|database| log_label(database) == label);
    let log = log.and_then(|database| Some(&database.log.as_ref()?.stream));
    volume.and_then(|volume| volume.stream.as_ref()).or_else(|| bind?.stream.as_ref()).or(dump).or(log)
}

/// The repository's session as capture's sink.
struct SessionSink {
    session: Mutex<Option<Arc<Session>>>,
    repository: Repository,
    desk: Arc<Desk>,
    parent: Option<Arc<Snapshot>>,
}

impl SessionSink {
    fn session(&self) -> Result<Arc<Session>> {
        lock(&self.session).clone().ok_or_else(|| Error::bug("a stream came after the end of its backup"))
    }

    /// Takes the session back for its commit.
    fn take_session(&self) -> Result<Session> {
        let session = lock(&self.session).take();
        session
            .and_then(Arc::into_inner)
            .ok_or_else(|| Error::bug("a stream was still open when the capture had ended; nothing was committed"))
    }
}

#[async_trait]
impl Sink for SessionSink {
    async fn known_image(&self, id: &str) -> Option<ImageSection> {
        self.repository.known_image(id)
    }
    async fn known_blob(&self, sha256: &str) -> Option<StreamRef> {
        self.repository.known_blob(sha256)
    }
    async fn store(&self, label: &str, kind: StreamKind, bytes: ByteStream) -> Result<StreamRef> {
        self.desk.item(label);
        let session = self.session()?;
        let kind = match kind {
            StreamKind::Tar => Cut::Tar,
            StreamKind::Bytes => Cut::Bytes,
        };
        let before = self.parent.as_ref().and_then(|parent| stream_before(parent, label));
        session
            .store_after(before, kind, bytes, self.desk.clone())
            .await
            .map_err(|error| error.while_doing(format!("store {label}")))
    }
    async fn store_tree(&self, label: &str, tree: Box<dyn Tree>) -> Result<(StreamRef, Vec<Problem>)> {
        self.desk.item(label);
        let session = self.session()?;
        let before = self.parent.as_ref().and_then(|parent| stream_before(parent, label));
        session
            .store_tree(before, tree, self.desk.clone())
            .await
            .map_err(|error| error.while_doing(format!("store {label}")))
    }
    async fn take_tree(
        &self,
        label: &str,
        tree: Box<dyn Tree>,
        ahead: &StreamRef,
    ) -> Result<Later<(StreamRef, Vec<Problem>)>> {
        self.desk.item(label);
        let doing = format!("store {label}");
        let taken = self.session()?.take_tree(ahead, tree, self.desk.clone()).await;
        let taken = taken.map_err(|error| error.while_doing(&*doing))?;
        let (desk, label) = (self.desk.clone(), label.to_owned());
        Ok(Box::pin(async move {
            desk.item(&label);
            taken.store().await.map_err(|error| error.while_doing(doing))
        }))
    }
    async fn settle(&self, stream: StreamRef) -> Result<StreamRef> {
        self.session()?.settle(stream).await
    }
    fn phase(&self, name: &str, number: u32, of: u32) {
        // One more phase follows capture's own: the commit.
        self.desk.phase(name, number, of + 1);
        self.desk.log(name);
    }
    fn item(&self, name: &str) {
        self.desk.item(name);
    }
}
