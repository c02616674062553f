//! Databases of SQLite among the files that are read, told by their first bytes.
//!
//! What did not change since the last snapshot is not read again, so its first bytes are not seen again either. Such a file is
//! known from that snapshot for as long as the source proves it the same: by its group's witness, or by its own identity.
//!
//! # Invariants
//! - A file is named only if its first bytes were seen, by this capture or by one since which it is proved unchanged.
//! - Naming costs no question to the app, and one to the source of files for all that were found in it.
//!
//! Not seen are files that came through the engine's archive, and single files that are mounted.

use crate::member::Member;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use holdfast_model::{
    Problem, Result,
    policy::Consistency,
    snapshot::{DatabaseFile, DatabaseKind, DatabaseSection, Readiness, RunState},
};
use holdfast_mover::shown;
use holdfast_tar::Outline;
use holdfast_tree::{Frame, Frames, Group, Mark, Request, Tree};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

/// How a database of SQLite begins.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Files that are named in one volume or host path; of more, their number is told.
const NAMED: usize = 100;
/// Files that a sentence names.
const IN_WORDS: usize = 5;

/// What was found, by volume or host path; before something is read, what the last snapshot knew of it.
#[derive(Debug, Default)]
pub(crate) struct Finds(Mutex<BTreeMap<String, Place>>);

/// Files of one volume or host path.
#[derive(Clone, Debug, Default)]
struct Place {
    files: Vec<DatabaseFile>,
    /// How many more there are.
    more: usize,
    /// It was read by this capture.
    is_read: bool,
}

impl Finds {
    /// What was known before.
    pub(crate) fn known(files: Vec<DatabaseFile>) -> Finds {
        let mut places: BTreeMap<String, Place> = BTreeMap::new();
        for file in files {
            places.entry(file.place.clone()).or_default().files.push(file);
        }
        Finds(Mutex::new(places))
    }

    /// Those of one place.
    pub(crate) fn of(&self, place: &str) -> Vec<DatabaseFile> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(place).map(|place| place.files.clone()).unwrap_or_default()
    }

    fn set(&self, place: &str, files: Vec<DatabaseFile>, more: usize) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(place.to_owned(), Place { files, more, is_read: true });
    }

    /// What a snapshot says of them, and what has to be told, given how the app was held in the end.
    pub(crate) fn sections(&self, members: &[Member], reached: Consistency) -> (Vec<DatabaseSection>, Vec<Problem>) {
        let places = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let (mut sections, mut problems) = (Vec::new(), Vec::new());
        for (name, place) in places.into_iter().filter(|(_, place)| place.is_read && !place.files.is_empty()) {
            let (container, readiness) = used_by(&name, members, reached);
            if readiness == Readiness::Live {
                problems.push(live(&name, &place));
            }
            if place.more > 0 {
                let text = format!("{name} holds {} more databases of SQLite than are named", place.more);
                problems.push(Problem::note("database.files_more", &name, text));
            }
            sections.extend(place.files.into_iter().map(|file| DatabaseSection {
                container: container.clone(),
                kind: DatabaseKind::Sqlite,
                version: None,
                readiness,
                dump: None,
                log: None,
                file: Some(file),
            }));
        }
        (sections, problems)
    }
}

/// The first container that mounts a place, and what files in it are.
fn used_by(place: &str, members: &[Member], reached: Consistency) -> (String, Readiness) {
    let users = || members.iter().filter(|member| member.mounts().iter().any(|mount| mount.is(place)));
    let runs = users().any(|member| member.state == RunState::Running);
    let readiness = match reached {
        // Nobody of the app's could write; whether its last writer came to a clean end is not known.
        _ if !runs => Readiness::Crash,
        Consistency::None => Readiness::Live,
        Consistency::Stop => Readiness::Stopped,
        // The file, its log and its journal are of one instant, and all that was committed is in them.
        Consistency::Pause => Readiness::Prepared,
    };
    (users().next().map(|member| member.name.clone()).unwrap_or_default(), readiness)
}

fn live(name: &str, place: &Place) -> Problem {
    let mut names: Vec<&str> = place.files.iter().map(|file| file.path.as_str()).take(IN_WORDS).collect();
    let rest = place.files.len() + place.more - names.len();
    let others = format!("{rest} more");
    if rest > 0 {
        names.push(&others);
    }
    let text = format!(
        "databases of SQLite in {name} were read while the app could write to them; if it did, their copies cannot be trusted: {}",
        names.join(", ")
    );
    Problem::warning("database.file_live", name, text).advice("Let the app be paused for a backup.")
}

/// A tree that is watched while it passes.
pub(crate) struct Watched<T> {
    tree: T,
    place: String,
    finds: Arc<Finds>,
    /// What was known before.
    known: Vec<DatabaseFile>,
    groups: Vec<Group>,
    /// Identities that the tree told, of those known.
    proved: HashSet<u64>,
    watch: Watch,
}

impl<T: Tree> Watched<T> {
    /// `label` is what people call what the tree is of.
    pub(crate) fn new(tree: T, label: &str, finds: Arc<Finds>) -> Watched<T> {
        let place = label.strip_prefix("volume ").or(label.strip_prefix("host path ")).unwrap_or(label).to_owned();
        let known = finds.of(&place);
        let watch = Watch { known: known.iter().map(|file| file.path.clone()).collect(), ..Watch::default() };
        Watched { tree, place, finds, known, groups: Vec::new(), proved: HashSet::new(), watch }
    }

    /// What was found, with what will prove it unchanged.
    async fn found(&mut self) -> Result<Vec<DatabaseFile>> {
        let found = std::mem::take(&mut self.watch.found);
        let groups: Vec<usize> = found.values().map(|at| at.0).collect::<BTreeSet<_>>().into_iter().collect();
        let marks = if groups.is_empty() { Vec::new() } else { self.tree.marks(&groups).await? };
        let identity = |(group, entry): (usize, usize)| {
            let place = groups.binary_search(&group).ok()?;
            Some(marks.get(place)?.get(entry)?.identity)
        };
        let file = |(path, at): (String, (usize, usize))| {
            let (witness, identity) = (self.groups.get(at.0)?.witness, identity(at)?);
            Some(DatabaseFile { place: self.place.clone(), path, witness, identity })
        };
        Ok(found.into_iter().filter_map(file).collect())
    }

    /// Those known of before that are the same still.
    fn still(&mut self) -> Vec<DatabaseFile> {
        let wanted: HashSet<_> = self.known.iter().map(|file| file.witness).collect();
        let there: HashSet<_> =
            self.groups.iter().map(|group| group.witness).filter(|witness| wanted.contains(witness)).collect();
        let proved = |file: &DatabaseFile| there.contains(&file.witness) || self.proved.contains(&file.identity);
        std::mem::take(&mut self.known).into_iter().filter(proved).collect()
    }
}

#[async_trait]
impl<T: Tree> Tree for Watched<T> {
    async fn groups(&mut self) -> Result<Vec<Group>> {
        self.groups = self.tree.groups().await?;
        Ok(self.groups.clone())
    }

    async fn marks(&mut self, groups: &[usize]) -> Result<Vec<Vec<Mark>>> {
        let marks = self.tree.marks(groups).await?;
        let wanted: HashSet<u64> = self.known.iter().map(|file| file.identity).filter(|one| *one != 0).collect();
        if !wanted.is_empty() {
            let all = marks.iter().flatten().map(|mark| mark.identity);
            self.proved.extend(all.filter(|identity| wanted.contains(identity)));
        }
        Ok(marks)
    }

    async fn read<'a>(&'a mut self, requests: Vec<Request>, may_keep: bool) -> Result<Frames<'a>> {
        let mut to_come = to_come(requests.clone());
        let (frames, watch) = (self.tree.read(requests, may_keep).await?, &mut self.watch);
        let look = move |batch: Result<Vec<Frame>>| {
            batch.iter().flatten().for_each(|frame| watch.frame(frame, &mut to_come));
            batch
        };
        Ok(frames.map(look).boxed())
    }

    async fn finish(&mut self) -> Result<Vec<Problem>> {
        let mut files = self.found().await?;
        let new: BTreeSet<String> = files.iter().map(|file| file.path.clone()).collect();
        files.extend(self.still().into_iter().filter(|file| !new.contains(&file.path)));
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let more = self.watch.more + files.len().saturating_sub(NAMED);
        files.truncate(NAMED);
        self.finds.set(&self.place, files, more);
        self.tree.finish().await
    }
}

/// Numbers of the groups and entries that are wanted, in the order in which they come.
fn to_come(requests: Vec<Request>) -> impl Iterator<Item = (usize, usize)> {
    requests.into_iter().flat_map(|request| {
        let wanted = request.wanted.into_iter().enumerate().filter(|(_, wanted)| *wanted);
        wanted.map(move |(entry, _)| (request.group, entry))
    })
}

/// What passes.
#[derive(Default)]
struct Watch {
    /// Paths of those known.
    known: BTreeSet<String>,
    /// Number of the group, and of the entry in it, by path.
    found: BTreeMap<String, (usize, usize)>,
    /// How many more were found.
    more: usize,
    open: Option<Open>,
}

/// The entry that passes now.
struct Open {
    at: Option<(usize, usize)>,
    headers: Bytes,
    /// Its first bytes, until they are judged.
    head: Option<Vec<u8>>,
    /// It was found under this path.
    path: Option<String>,
}

impl Watch {
    fn frame(&mut self, frame: &Frame, to_come: &mut impl Iterator<Item = (usize, usize)>) {
        match frame {
            Frame::Begin(headers) => {
                let (at, headers) = (to_come.next(), headers.clone());
                self.open = Some(Open { at, headers, head: Some(Vec::new()), path: None });
            }
            Frame::Content(bytes) => self.content(bytes),
            // A database does not begin with zeros.
            Frame::Hole(_) => drop(self.open.as_mut().and_then(|open| open.head.take())),
            Frame::Kept { .. } => self.kept(),
            Frame::End | Frame::Flawed { .. } => self.open = None,
            Frame::Left(_) => match self.open.take() {
                Some(open) => drop(open.path.and_then(|path| self.found.remove(&path))),
                None => drop(to_come.next()),
            },
        }
    }

    fn content(&mut self, bytes: &[u8]) {
        let Some(head) = self.open.as_mut().and_then(|open| open.head.as_mut()) else { return };
        head.extend_from_slice(&bytes[..bytes.len().min(MAGIC.len() - head.len())]);
        let (is_one, is_whole) = (MAGIC.starts_with(head), head.len() == MAGIC.len());
        if !is_one || is_whole {
            self.judged(is_one);
        }
    }

    /// It begins as it did when it was sent the last time.
    fn kept(&mut self) {
        let Some(open) = self.open.as_ref().filter(|open| open.head.as_ref().is_some_and(Vec::is_empty)) else {
            return;
        };
        let is_one = !self.known.is_empty() && path(&open.headers).is_some_and(|path| self.known.contains(&path));
        self.judged(is_one);
    }

    fn judged(&mut self, is_one: bool) {
        let Some(open) = &mut self.open else { return };
        open.head = None;
        let (Some(at), true) = (open.at, is_one) else { return };
        let Some(path) = path(&open.headers) else { return };
        if self.found.len() >= NAMED && !self.found.contains_key(&path) {
            self.more += 1;
            return;
        }
        self.found.insert(path.clone(), at);
        open.path = Some(path);
    }
}

/// The path of a regular file in the volume or host path, as people are shown it.
fn path(headers: &[u8]) -> Option<String> {
    let mut path = None;
    let outcome = Outline::new().bytes(headers, &mut |found| {
        path = Some(found.member.path);
        Ok(())
    });
    outcome.ok()?;
    let path = path?;
    let start = path.iter().position(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    Some(shown(&path[start..]))
}
