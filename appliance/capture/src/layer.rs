//! The writable layer: which changed paths are read, and reading them out of the container itself.
//!
//! Mount points and what the engine puts into every container are left out. A new directory is read
//! whole; a changed one gives its attributes only, its changed entries come apart. What is read is bounded, and what is
//! left out for that is told; it never fails the capture.

pub(crate) mod bound;
mod paths;

use crate::{
    Sink, StreamKind,
    hold::gone,
    member::Member,
    peek::{Head, alone, peek},
};
use bound::{Beyond, Bounds, Budget, NAMED};
use holdfast_docker::Engine;
use holdfast_model::{
    Error, Kind, Problem, Result,
    snapshot::{DELETIONS_MAX, LayerChange, LayerPart},
};
use paths::{Choice, DELETED, Wanted, choose, is_below};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Folders that may turn out too large to be read whole and are read entry by entry instead: each costs its reading so far.
const APART_MAX: usize = 100;

/// Changes and contents of a member's writable layer.
#[derive(Debug)]
pub(crate) struct Layer {
    /// What is deleted, as far as it is kept.
    pub(crate) deletions: Vec<LayerChange>,
    /// How many paths changed in all.
    pub(crate) changed: u64,
    pub(crate) parts: Vec<LayerPart>,
    pub(crate) problems: Vec<Problem>,
}

/// Reads a member's writable layer.
pub(crate) async fn read(engine: &dyn Engine, sink: &dyn Sink, member: &Member) -> Result<Layer> {
    read_within(engine, sink, member, Bounds::default()).await
}

/// The same within other bounds.
pub(crate) async fn read_within(
    engine: &dyn Engine,
    sink: &dyn Sink,
    member: &Member,
    bounds: Bounds,
) -> Result<Layer> {
    sink.item(&format!("writable layer of {}", member.name));
    let changes = match engine.container_changes(&member.id).await {
        Ok(changes) => changes,
        Err(error) if error.code() == "host.answer_too_large" => return Ok(untold(member, &error)),
        Err(error) => {
            let doing = format!("list the changed files of container {}", member.name);
            return Err(gone(&member.name, error).while_doing(doing));
        }
    };
    let reading = Reading {
        engine,
        sink,
        member,
        changes: &changes,
        mount_points: member.mounts().into_iter().map(|mount| mount.destination).collect(),
        budget: Budget::new(bounds),
        apart: BTreeSet::new(),
        parts: BTreeMap::new(),
        too_large: Vec::new(),
        gone: Vec::new(),
    };
    let (parts, mut problems) = reading.all().await?;
    let changed = changes.len() as u64;
    let (deletions, cut) = deletions(&member.name, changes);
    problems.extend(cut);
    Ok(Layer { deletions, changed, parts, problems })
}

/// What changed is more than an engine can tell us: the rest of the app is worth having without it.
fn untold(member: &Member, error: &Error) -> Layer {
    let text = format!(
        "nothing of what {} changed in its own file system was captured: the list of it is too long ({})",
        member.name,
        error.chain()
    );
    let problem = Problem::error("layer.not_captured", &member.name, text)
        .advice("Let it keep its files in a volume, or remove those that it does not need, and back the app up again.");
    Layer { deletions: Vec::new(), changed: 0, parts: Vec::new(), problems: vec![problem] }
}

/// What is deleted: it is kept to be named only, so that there may be an end to it. What else changed is in the parts.
fn deletions(container: &str, mut deletions: Vec<LayerChange>) -> (Vec<LayerChange>, Option<Problem>) {
    deletions.retain(|change| change.kind == DELETED);
    let all = deletions.len();
    deletions.truncate(DELETIONS_MAX);
    let problem = (all > DELETIONS_MAX).then(|| {
        let more = all - DELETIONS_MAX;
        let text =
            format!("{more} of {all} deleted paths of {container} are not named in the snapshot: they are too many");
        Problem::warning("layer.deletions_cut", container, text)
    });
    deletions.shrink_to_fit();
    (deletions, problem)
}

/// Names what was removed while it was read.
fn removed(container: &str, paths: &[String]) -> Vec<Problem> {
    let told = |what: String, were: &str| {
        let text = format!("{what} of {container} {were} removed while the app was being captured");
        Problem::note("layer.path_gone", container, text)
    };
    let more = paths.len().saturating_sub(NAMED);
    let counted = (more > 0).then(|| told(format!("{more} more paths"), "were"));
    paths.iter().take(NAMED).map(|path| told(path.clone(), "was")).chain(counted).collect()
}

/// What became of a path.
enum Outcome {
    Part(LayerPart),
    /// A socket: it holds no data, and Docker's archives leave it out.
    Nothing,
    Beyond(Beyond),
}

/// A layer that is being read.
struct Reading<'a> {
    engine: &'a dyn Engine,
    sink: &'a dyn Sink,
    member: &'a Member,
    changes: &'a [LayerChange],
    mount_points: Vec<String>,
    budget: Budget,
    /// Folders that are not read whole, because they are too large.
    apart: BTreeSet<String>,
    /// By path: a folder comes before what lies in it, whenever it was read.
    parts: BTreeMap<String, LayerPart>,
    too_large: Vec<(String, Beyond)>,
    /// Paths that were removed meanwhile.
    gone: Vec<String>,
}

impl Reading<'_> {
    /// Reads all that is worth reading; what came of it, and what must be told.
    async fn all(mut self) -> Result<(Vec<LayerPart>, Vec<Problem>)> {
        let mut choice = choose(self.changes, &self.mount_points, &self.apart);
        let mut waiting = VecDeque::from(std::mem::take(&mut choice.wanted));
        while let Some(wanted) = waiting.pop_front() {
            match self.path(&wanted).await {
                Ok(Outcome::Part(part)) => drop(self.parts.insert(wanted.path, part)),
                Ok(Outcome::Nothing) => {}
                Ok(Outcome::Beyond(beyond)) => waiting.extend(self.beyond(&mut choice, wanted, beyond)),
                Err(error) if error.code() == "path.not_found" => {
                    if !choice.note_unreadable(&wanted.path) {
                        self.gone.push(wanted.path);
                    }
                }
                Err(error) => {
                    let doing = format!("read {} of container {}", wanted.path, self.member.name);
                    return Err(gone(&self.member.name, error).while_doing(doing));
                }
            }
        }
        let name = &self.member.name;
        let mut problems = choice.problems(name);
        problems.extend(bound::problems(name, &self.too_large, self.budget.bounds()));
        problems.extend(removed(name, &self.gone));
        Ok((self.parts.into_values().collect(), problems))
    }

    /// What goes beyond the bounds is left out and told; a folder is read again, entry by entry: most of it may fit. What is
    /// to be read then.
    fn beyond(&mut self, choice: &mut Choice, wanted: Wanted, beyond: Beyond) -> Vec<Wanted> {
        let Wanted { path, whole } = wanted;
        let is_inside = |one: &str| is_below(one, &path);
        let is_there = |change: &LayerChange| change.kind != DELETED && is_inside(&change.path);
        if !whole || self.apart.len() == APART_MAX || !self.changes.iter().any(is_there) {
            self.too_large.push((path, beyond));
            return Vec::new();
        }
        let changes = self.changes.iter().filter(|change| change.path == path || is_inside(&change.path));
        let changes: Vec<_> = changes.cloned().collect();
        self.apart.insert(path);
        choice.take_in(choose(&changes, &self.mount_points, &self.apart))
    }

    async fn path(&self, wanted: &Wanted) -> Result<Outcome> {
        match self.part(wanted).await {
            // A log that was rotated at this moment: once more.
            Err(error) if error.kind() == Kind::Corrupt && error.code() == "stream.short" => self.part(wanted).await,
            outcome => outcome,
        }
    }

    async fn part(&self, wanted: &Wanted) -> Result<Outcome> {
        let (into, _) = wanted.path.rsplit_once('/').unwrap_or_default();
        let into = if into.is_empty() { "/" } else { into }.to_owned();
        let label = format!("container {} {}", self.member.name, wanted.path);
        let peeked = peek(self.engine.archive_get(&self.member.id, &wanted.path).await?).await?;
        let (bytes, beyond) = match peeked.head {
            Head::Empty => return Ok(Outcome::Nothing),
            Head::Directory if !wanted.whole => (alone(peeked.headers), Arc::default()),
            _ => self.budget.bounded(peeked.stream),
        };
        let stored = self.sink.store(&label, StreamKind::Tar, bytes).await;
        match beyond.get() {
            Some(beyond) => Ok(Outcome::Beyond(*beyond)),
            None => Ok(Outcome::Part(LayerPart { into, stream: stored? })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_paths_that_went_away_the_first_are_named() {
        let paths: Vec<String> = (0..NAMED + 7).map(|n| format!("/tmp/{n}")).collect();
        let told = removed("shop", &paths);
        assert_eq!(told.len(), NAMED + 1);
        assert_eq!(told[0].message, "/tmp/0 of shop was removed while the app was being captured");
        assert_eq!(told[NAMED].message, "7 more paths of shop were removed while the app was being captured");
        assert_eq!(removed("shop", &paths[..NAMED]).len(), NAMED);
    }

    #[test]
    fn deletions_are_kept_up_to_a_bound_and_the_rest_is_told() {
        let told = |path: String, kind| LayerChange { path, kind };
        let deleted =
            |count: usize| (0..count).map(|n| told(format!("/{n}"), 2)).chain([told("/new".to_owned(), 1)]).collect();
        let (kept, problem) = deletions("shop", deleted(DELETIONS_MAX));
        assert_eq!((kept.len(), problem), (DELETIONS_MAX, None));
        let (kept, problem) = deletions("shop", deleted(DELETIONS_MAX + 6));
        assert!(kept.len() == DELETIONS_MAX && kept.iter().all(|change| change.kind == 2));
        let problem = problem.unwrap();
        assert_eq!(problem.code, "layer.deletions_cut");
        assert!(problem.message.starts_with("6 of 10006 deleted paths of shop"), "{problem:?}");
    }
}
