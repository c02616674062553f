//! Carries a plan out, in the plan's order, and takes it back if it fails.

use crate::{
    Plan, Restored, Source, containers,
    deed::{Deed, OldDeed, VolumeAction, VolumeDeed, Way},
    files,
    fill::{self, Reduced},
    images,
    json::text,
    narrow,
    note::Note,
    redirect::leads_elsewhere,
    start,
    streams::{drain, go_on},
    survey::Survey,
    undo::{Done, Undo},
    volumes,
};
use holdfast_docker::{Engine, mover::Mounted};
use holdfast_model::{Error, Kind, Problem, Result, snapshot::Snapshot};
use holdfast_runtime::Stop;
use std::sync::Arc;

/// Seconds a container gets to end by itself before it is killed; its data has been saved already.
const STOP_SECONDS: u32 = 30;

/// What every step needs at hand.
pub(crate) struct Hand {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) stop: Stop,
    pub(crate) owner: String,
    /// The host's engine is like the one that was captured: it gives the same bytes for the same files.
    pub(crate) same_engine: bool,
    /// Archives of this engine may be written to, and tell owners as they are. Else movers do what can be done without.
    pub(crate) true_archives: bool,
    /// Whether archives of this engine tell owners at all.
    pub(crate) tells_owners: bool,
    /// Whether volumes had to do without a mover.
    pub(crate) reduced: Reduced,
}

/// Carries a plan out. `Conflict` if the plan has conflicts. On failure removes what it made (beside,
/// other host) or, in place, puts the old containers back; the error names what was left behind.
/// `Stopped` (`restore.stopped`) when `stop` was called before the app stood.
pub async fn carry_out(
    engine: Arc<dyn Engine>,
    snapshot: &Snapshot,
    plan: &Plan,
    source: Arc<dyn Source>,
    stop: &Stop,
) -> Result<Restored> {
    if snapshot.id != plan.deed.snapshot {
        return Err(Error::bug("a plan was carried out with another snapshot than it was made for"));
    }
    if let Some(conflict) = plan.conflicts.first() {
        let error = Error::new(Kind::Conflict, conflict.code.clone(), conflict.message.clone());
        return Err(error.advice(conflict.advice.clone().unwrap_or_else(|| "Plan again.".into())));
    }
    let whole = snapshot;
    let part = narrow::narrowed(whole, &plan.deed.services)?;
    let snapshot = part.as_ref();
    let info = engine.info().await?;
    let same_engine = info.product == snapshot.engine.product && info.version == snapshot.engine.version;
    let hand = Hand {
        engine,
        source,
        stop: stop.clone(),
        owner: plan.deed.owner.clone(),
        same_engine,
        true_archives: info.has_true_archives(),
        tells_owners: info.product != "podman",
        reduced: Reduced::default(),
    };
    let mut work = Work { hand, whole, snapshot, deed: &plan.deed, undo: Undo::default(), problems: Vec::new() };
    match work.all().await {
        Ok(()) => {
            work.problems.extend(work.hand.reduced.problem(&info.name));
            Ok(work.restored(plan))
        }
        Err(error) => Err(work.take_back(plan, error).await),
    }
}

struct Work<'a> {
    hand: Hand,
    /// All of it, also if a part is restored.
    whole: &'a Snapshot,
    snapshot: &'a Snapshot,
    deed: &'a Deed,
    undo: Undo,
    problems: Vec<Problem>,
}

impl Work<'_> {
    async fn all(&mut self) -> Result<()> {
        self.fixed().await?;
        let images = self.images().await?;
        self.prove().await?;
        self.networks().await?;
        self.put_aside().await?;
        self.volumes().await?;
        let ids = self.containers(&images).await?;
        self.phase("start", 6);
        self.undo.point_of_no_return().await?;
        self.problems.extend(start::start(&self.hand, &self.deed.containers, &ids).await?);
        self.compare(&ids).await?;
        self.finish().await;
        Ok(())
    }

    /// Looks for what nobody can replace before the first thing is touched. A volume is emptied, so nothing of it may be held
    /// fast; in a folder of the host other files stay, so it is only told.
    async fn fixed(&mut self) -> Result<()> {
        const ADVICE: &str =
            "Take the flags away on the host (chattr -i -a), then restore again; or restore beside (--as NAME).";
        for volume in &self.deed.volumes {
            let mounted = match (volume.action, &volume.folder) {
                (VolumeAction::Refill, _) => Mounted::Volume(&volume.name),
                (VolumeAction::Adopt, Some(folder)) => Mounted::HostPath(folder),
                _ => continue,
            };
            go_on(&self.hand.stop)?;
            let Some(told) = fill::fixed(&self.hand, mounted).await? else { continue };
            let text = format!("volume {} holds what nobody can replace, and nothing was touched: {told}", volume.name);
            return Err(Error::new(Kind::Conflict, "files.fixed", text).advice(ADVICE));
        }
        for path in &self.deed.paths {
            go_on(&self.hand.stop)?;
            let Some(told) = fill::fixed(&self.hand, Mounted::HostPath(&path.source)).await? else { continue };
            let text = format!(
                "{} holds what nobody can replace; as far as the snapshot has it, it stays: {told}",
                path.source
            );
            self.problems.push(Problem::warning("files.fixed", &path.source, text).advice(ADVICE));
        }
        Ok(())
    }

    fn phase(&self, name: &str, number: u32) {
        self.hand.source.phase(name, number, 6);
    }

    /// Loads what is missing; returns the id of each image on this engine.
    async fn images(&mut self) -> Result<Vec<String>> {
        self.phase("images", 1);
        let engine = self.hand.engine.as_ref();
        let mut ids = Vec::new();
        let mut layers = None;
        for deed in &self.deed.images {
            go_on(&self.hand.stop)?;
            let image = &self.snapshot.images[deed.section];
            let name = images::name_of(image);
            self.hand.source.item(&name);
            // It may have come since the plan was made.
            let id = match &deed.present {
                Some(id) => id.clone(),
                None => match images::find(engine, image).await? {
                    Some(id) => id,
                    None => {
                        let known = match &mut layers {
                            Some(known) => known,
                            none => none.insert(images::Layers::of(engine).await?),
                        };
                        // It is not there, so whatever the load leaves behind under this id is ours to remove.
                        self.undo.push(Done::Image(image.id.clone()));
                        let id = images::load(engine, image, known, &self.hand.source, &self.hand.stop)
                            .await
                            .map_err(|error| error.while_doing(format!("image {name} could not be restored")))?;
                        if id != image.id {
                            self.undo.push(Done::Image(id.clone()));
                        }
                        id
                    }
                },
            };
            for tag in &deed.tags {
                let before = images::tag(engine, &id, tag).await?;
                self.undo.push(Done::Tag(tag.clone(), before));
            }
            ids.push(id);
        }
        Ok(ids)
    }

    /// Reads everything once before the first thing is replaced.
    async fn prove(&mut self) -> Result<()> {
        self.phase("prove", 2);
        for stream in &self.deed.prove {
            drain(&self.hand.source, stream, &self.hand.stop)
                .await
                .map_err(|error| error.while_doing("the snapshot cannot be read whole, so nothing was replaced"))?;
        }
        Ok(())
    }

    async fn networks(&mut self) -> Result<()> {
        self.phase("networks", 3);
        for deed in &self.deed.networks {
            go_on(&self.hand.stop)?;
            self.hand.source.item(&deed.name);
            let made = self.hand.engine.network_create(&deed.body).await;
            let id = made.map_err(|error| error.while_doing(format!("network {} could not be created", deed.name)))?;
            self.undo.push(Done::Network(id));
        }
        Ok(())
    }

    /// Stops what is in the way and gives it another name.
    async fn put_aside(&mut self) -> Result<()> {
        let all: Vec<OldDeed> = self.deed.hold.iter().chain(&self.deed.old).cloned().collect();
        if let Some(trace) = self.deed.trace.as_ref().filter(|_| !all.is_empty()) {
            self.undo.note = Some(Note::begin(trace, &self.snapshot.app, all).await?);
        }
        for old in self.deed.hold.iter().chain(&self.deed.old) {
            go_on(&self.hand.stop)?;
            self.hand.source.item(&old.name);
            let result = self.put_one_aside(old).await;
            result.map_err(|error| error.while_doing(format!("container {} could not be put aside", old.name)))?;
        }
        Ok(())
    }

    async fn put_one_aside(&mut self, old: &OldDeed) -> Result<()> {
        if old.running {
            self.undo.push(Done::Stopped(old.clone()));
            self.hand.engine.container_stop(&old.id, STOP_SECONDS).await?;
        }
        if old.aside != old.name {
            match self.hand.engine.container_rename(&old.id, &old.aside).await {
                Ok(()) => self.undo.push(Done::Aside(old.clone())),
                // One that removes itself when it ends has made way.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn volumes(&mut self) -> Result<()> {
        self.phase("volumes", 4);
        for deed in &self.deed.volumes {
            go_on(&self.hand.stop)?;
            self.hand.source.item(&deed.name);
            match deed.action {
                VolumeAction::Create => self.create(deed).await?,
                VolumeAction::Refill => self.take_out(deed).await?,
                VolumeAction::Adopt => {
                    self.create(deed).await?;
                    self.take_out(deed).await?;
                }
                VolumeAction::Keep => continue,
            }
            self.problems.extend(volumes::fill(&self.hand, deed).await?);
            fill::lay(&self.hand, Mounted::Volume(&deed.name), &deed.logs).await?;
        }
        for path in &self.deed.paths {
            go_on(&self.hand.stop)?;
            self.hand.source.item(&path.source);
            self.leads_where_it_did(&path.source).await?;
            self.undo.point_of_no_return().await?;
            (self.undo.is_replacing, self.undo.has_replaced) = (true, true);
            for folder in fill::log_folders(&path.source, &path.logs) {
                self.leads_where_it_did(&folder).await?;
                fill::clear_log(&self.hand, &folder).await?;
            }
            self.problems.extend(files::restore_path(&self.hand, path).await?);
            fill::lay(&self.hand, Mounted::HostPath(&path.source), &path.logs).await?;
        }
        self.undo.is_replacing = false;
        Ok(())
    }

    /// Asked once more at the last moment, since the app that could change it has run meanwhile.
    async fn leads_where_it_did(&self, folder: &str) -> Result<()> {
        leads_elsewhere(&self.hand.engine, &self.hand.owner, self.whole, folder).await
    }

    /// Makes a volume; one that came since the plan is never written to.
    async fn create(&mut self, deed: &VolumeDeed) -> Result<()> {
        match self.hand.engine.volume_inspect(&deed.name).await {
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
            Ok(_) => {
                let text = format!("a volume {} came while the restore was under way", deed.name);
                return Err(Error::new(Kind::Conflict, "volume.exists", text).advice("Plan again."));
            }
        }
        let made = self.hand.engine.volume_create(&deed.body).await;
        made.map_err(|error| error.while_doing(format!("volume {} could not be created", deed.name)))?;
        self.undo.push(Done::Volume(deed.name.clone()));
        Ok(())
    }

    /// Takes the old content out of a volume.
    async fn take_out(&mut self, deed: &VolumeDeed) -> Result<()> {
        let survey = Survey::of(self.hand.engine.as_ref()).await?;
        if let Some(user) = survey.users_of_volume(&deed.name).into_iter().find(|user| user.running) {
            let text = format!("{} runs and uses volume {}; its data cannot be replaced", user.name, deed.name);
            let error = Error::new(Kind::Conflict, "volume.in_use", text);
            return Err(error.advice(format!("Stop {}, then restore again.", user.name)));
        }
        if let Some(folder) = &deed.folder {
            self.leads_where_it_did(folder).await?;
        }
        self.undo.point_of_no_return().await?;
        (self.undo.is_replacing, self.undo.has_replaced) = (true, true);
        let not_emptied = match volumes::empty(&self.hand, &deed.name).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if not_emptied.code() != "volume.not_emptied" {
            return Err(not_emptied);
        }
        // Nobody may name a volume that is removed, not even a container put aside.
        let users = survey.users_of_volume(&deed.name);
        let named = self.deed.old.iter().filter(|old| users.iter().any(|user| user.id == old.id));
        for old in named {
            self.hand.engine.container_remove(&old.id, false).await?;
        }
        self.hand.engine.volume_remove(&deed.name).await.map_err(|_| not_emptied)?;
        self.hand.engine.volume_create(&deed.body).await.map(drop)
    }

    async fn containers(&mut self, images: &[String]) -> Result<Vec<String>> {
        self.phase("containers", 5);
        let mut ids = Vec::new();
        for deed in &self.deed.containers {
            go_on(&self.hand.stop)?;
            self.hand.source.item(&deed.name);
            let (reference, index) = &deed.image;
            let id = &images[*index];
            // The name people gave, as long as it means this very image.
            let named = images::inspect(self.hand.engine.as_ref(), reference).await?;
            let is_same = named.is_some_and(|image| text(&image, "/Id") == id);
            let image = if is_same && !reference.is_empty() { reference } else { id };
            let section = &self.snapshot.containers[deed.section];
            ids.push(containers::make(&self.hand, section, deed, image, &mut self.undo, &mut self.problems).await?);
        }
        Ok(ids)
    }

    /// Compares what was made under the old name with what was recorded.
    async fn compare(&mut self, ids: &[String]) -> Result<()> {
        if self.deed.way == Way::Beside {
            return Ok(());
        }
        for (deed, id) in self.deed.containers.iter().zip(ids) {
            match containers::compare(&self.hand, &self.snapshot.containers[deed.section], id).await {
                Ok(found) => self.problems.extend(found),
                // One that removes itself has ended.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The app stands: what was kept for the way back goes. A failure here is a problem, not the end.
    async fn finish(&mut self) {
        for old in &self.deed.old {
            if let Err(error) = self.hand.engine.container_remove(&old.id, false).await {
                let problem = Problem::from_error(&old.aside, &error.while_doing("an old container was left behind"));
                self.problems.push(problem.advice(format!("Remove container {}.", old.aside)));
            }
        }
        for held in &self.deed.hold {
            if let Err(error) = self.hand.engine.container_start(&held.id).await {
                let problem = Problem::from_error(&held.name, &error.while_doing("it was not started again"));
                self.problems.push(problem.advice(format!("Start container {}.", held.name)));
            }
        }
        if let Some(note) = self.undo.note.take() {
            note.end_all().await;
        }
    }

    fn restored(self, plan: &Plan) -> Restored {
        let containers = u32::try_from(self.deed.containers.len()).unwrap_or(u32::MAX);
        let written = self.deed.volumes.iter().filter(|volume| volume.action != VolumeAction::Keep).count();
        let volumes = u32::try_from(written).unwrap_or(u32::MAX);
        let count = |number: u32, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let paths = u32::try_from(self.deed.paths.len()).unwrap_or(u32::MAX);
        let made = match (containers, volumes) {
            (0, 0) if paths > 0 => count(paths, "host path"),
            (0, volumes) => count(volumes, "volume"),
            (containers, volumes) => format!("{}, {}", count(containers, "container"), count(volumes, "volume")),
        };
        let place = match self.deed.way {
            Way::Beside => "beside the original",
            Way::InPlace => "in place",
            Way::Host => "on this host",
        };
        let summary = format!("{} stands {place}: {made}, read back and verified", plan.name);
        Restored { summary, problems: self.problems, containers, volumes }
    }

    /// Takes back what was done, and says in the error how the host is left.
    async fn take_back(&mut self, plan: &Plan, error: Error) -> Error {
        self.hand.source.log(&format!("The restore failed and is taken back: {}", error.chain()));
        let was_touched = !self.undo.is_empty();
        let left = self.undo.roll_back(self.hand.engine.as_ref()).await;
        // With something left the note stays: it is tried again, or told until the app is restored.
        if let Some(note) = self.undo.note.take().filter(|_| left.is_empty()) {
            note.end().await;
        }
        let mut words = match (self.undo.has_replaced, self.deed.way) {
            (true, _) if self.undo.is_replacing => {
                format!("{} was not restored, and data that was there is replaced in part", plan.name)
            }
            (true, _) => format!("{} was not restored, but its data is the snapshot's already", plan.name),
            (false, Way::InPlace) if was_touched => {
                format!("{} was not restored; what was there is back as it was", plan.name)
            }
            _ => format!("{} was not restored; nothing on the host was changed for good", plan.name),
        };
        if !left.is_empty() {
            words = format!("{words}; left behind: {}", left.join("; "));
        }
        let error = error.while_doing(words);
        if self.undo.has_replaced {
            return error
                .advice("The safety snapshot taken before this restore holds the old state: restore it in place.");
        }
        error
    }
}
