//! From a list of changes to the paths worth reading. Pure.

use super::bound::NAMED;
use holdfast_model::{Problem, snapshot::LayerChange};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// Each path costs a request of some 20 ms: 2000 take 40 s of a frozen app.
const PATH_LIMIT: usize = 2000;
/// So many more that may lead nowhere: they must not take the place of others.
const DOUBTFUL_LIMIT: usize = 100;

/// What the engine itself puts into every container.
const ENGINES_OWN: [&str; 4] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/.dockerenv"];
const ENGINES_OWN_BELOW: [&str; 3] = ["/dev", "/proc", "/sys"];

const CHANGED: u8 = 0;
const ADDED: u8 = 1;
pub(crate) const DELETED: u8 = 2;

/// Stands in what engines tell for bytes of a name that are no text. No path with it leads to such a file; only one that is really called so is
/// found.
const LOST: char = '\u{fffd}';

/// What to do about names that are no text.
const RENAME: &str = "Rename the files, or put them into a volume, where any name will do.";

/// A path to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) path: String,
    /// With everything below it, if it is a directory.
    pub(crate) whole: bool,
}

/// What to read, and what must be told.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    pub(crate) wanted: Vec<Wanted>,
    deleted: usize,
    /// Directories that are read whole because too many of their entries changed.
    widened: Vec<String>,
    /// Paths that are not read at all.
    dropped: usize,
    /// Folders (empty for the root) that cannot be read whole, though only so one comes by a file in them.
    unreadable: BTreeSet<String>,
    /// Paths that lead nowhere unless a file is really called so.
    doubtful: Vec<Wanted>,
}

impl Choice {
    /// Takes over what was chosen in the place of a folder; the answer is what is to be read.
    pub(crate) fn take_in(&mut self, inside: Choice) -> Vec<Wanted> {
        self.widened.extend(inside.widened);
        self.dropped += inside.dropped;
        self.unreadable.extend(inside.unreadable);
        inside.wanted
    }

    /// Takes a path that the engine does not know. Whether that may be because its name is no text: then that is told.
    pub(crate) fn note_unreadable(&mut self, path: &str) -> bool {
        let folder = lost(path);
        self.unreadable.extend(folder.map(str::to_owned));
        folder.is_some()
    }

    /// Takes what is to be read; one whose name may be no text only as long as there is room for such.
    fn want(&mut self, wanted: Wanted) {
        match lost(&wanted.path) {
            None => self.wanted.push(wanted),
            Some(_) if self.doubtful.len() < DOUBTFUL_LIMIT => self.doubtful.push(wanted),
            Some(folder) => {
                self.unreadable.insert(folder.to_owned());
            }
        }
    }

    pub(crate) fn problems(&self, container: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.deleted > 0 {
            problems.push(Problem::note(
                "layer.deleted",
                container,
                format!(
                    "{} files of the image are deleted in {container}; they are named in the snapshot",
                    self.deleted
                ),
            ));
        }
        if !self.widened.is_empty() {
            let shown = self.widened.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            problems.push(Problem::note(
                "layer.widened",
                container,
                format!("so many files changed in {container} that whole directories were captured: {shown}"),
            ));
        }
        if self.dropped > 0 {
            problems.push(
                Problem::warning(
                    "layer.too_many",
                    container,
                    format!(
                        "{} changed paths of {container} were not captured: they are too many to be read one by one, and their folders hold \
                         mounts or are too large",
                        self.dropped
                    ),
                )
                .advice("Keep data in volumes instead of the container's own file system."),
            );
        }
        problems.extend(self.unreadable.iter().take(NAMED).map(|folder| unreadable(container, folder)));
        let more = self.unreadable.len().saturating_sub(NAMED);
        problems.extend((more > 0).then(|| {
            let text = format!(
                "files in {more} more folders of {container} were not captured: their names are no text (UTF-8)"
            );
            Problem::error("layer.name_unreadable", container, text).advice(RENAME)
        }));
        problems
    }
}

/// Files that nobody can ask for, in a folder that cannot be read with all that is in it.
fn unreadable(container: &str, folder: &str) -> Problem {
    let folder = if folder.is_empty() { "/" } else { folder };
    let text = format!(
        "files in {folder} of {container} were not captured: their names are no text (UTF-8), so the engine cannot be asked for them, and \
         the folder cannot be read whole: something is mounted in it, or it is too large"
    );
    Problem::error("layer.name_unreadable", container, text).advice(RENAME)
}

/// Chooses paths: topmost new directories whole, everything else one by one.
///
/// A directory above a mount point changes by being mounted into: it counts only for what else changed in it. Directories with a
/// name in them that is no text are read whole, changed or new, unless something is mounted in them: then the name is tried as it is told. Those in
/// `apart`, and all above them, are never read whole.
pub(crate) fn choose(changes: &[LayerChange], mount_points: &[String], apart: &BTreeSet<String>) -> Choice {
    let mut foreign: BTreeSet<&str> = mount_points.iter().map(|path| path.trim_end_matches('/')).collect();
    foreign.extend(ENGINES_OWN);
    let holds_foreign = |path: &str| foreign.iter().any(|own| is_below(own, path));
    let (mut sorted, twice) = sorted(changes, &foreign);
    let parents: BTreeSet<&str> =
        sorted.keys().filter(|path| !holds_foreign(path)).flat_map(|&path| above(path)).collect();
    let mut choice = Choice { deleted: sorted.values().filter(|kind| **kind == DELETED).count(), ..Choice::default() };
    let mut folders: BTreeSet<&str> = BTreeSet::new();
    let there = sorted.iter().filter(|(_, kind)| **kind != DELETED);
    for (path, folder) in there.filter_map(|(&path, _)| Some((path, lost(path)?))) {
        if !folder.is_empty() && !holds_foreign(folder) && !is_apart(folder, apart) {
            folders.insert(folder);
        } else if twice.contains(path) {
            // At most one of them is called so.
            choice.unreadable.insert(folder.to_owned());
        }
    }
    for &folder in &folders {
        sorted.entry(folder).or_insert(CHANGED);
    }
    let mut whole: BTreeSet<&str> = BTreeSet::new();
    for (path, kind) in &sorted {
        if *kind == DELETED || above(path).any(|parent| whole.contains(parent)) {
            continue;
        }
        let shared = holds_foreign(path);
        if shared && !parents.contains(path) {
            continue;
        }
        // Only a new directory is read whole; what is merely changed may be one of the image's large ones.
        let entire = (*kind == ADDED || folders.contains(path)) && !shared && !is_apart(path, apart);
        if entire {
            whole.insert(path);
        }
        choice.want(Wanted { path: (*path).to_owned(), whole: entire });
    }
    narrow(&mut choice, &foreign, apart);
    choice.wanted.append(&mut choice.doubtful);
    choice
}

/// What changed and is the container's own, by path; and the paths that are told more than once, as names that are no text may be.
fn sorted<'a>(changes: &'a [LayerChange], foreign: &BTreeSet<&str>) -> (BTreeMap<&'a str, u8>, BTreeSet<&'a str>) {
    let (mut sorted, mut twice) = (BTreeMap::new(), BTreeSet::new());
    for LayerChange { path, kind } in changes {
        if !path.starts_with('/') || path.len() == 1 || is_foreign(path, foreign) {
            continue;
        }
        match sorted.entry(path.as_str()) {
            Entry::Vacant(new) => {
                new.insert(*kind);
            }
            Entry::Occupied(mut told) => {
                twice.insert(path.as_str());
                // What one of them was deleted from, another one may be in.
                let least = *kind.min(told.get());
                told.insert(least);
            }
        }
    }
    (sorted, twice)
}

/// Too many paths: the deepest are replaced by their directories, until few enough are left.
fn narrow(choice: &mut Choice, foreign: &BTreeSet<&str>, apart: &BTreeSet<String>) {
    let may_widen = |folder: &str| !foreign.iter().any(|own| is_below(own, folder)) && !is_apart(folder, apart);
    let depth = |path: &str| path.matches('/').count();
    let mut level = choice.wanted.iter().map(|wanted| depth(&wanted.path)).max().unwrap_or(0);
    while choice.wanted.len() > PATH_LIMIT && level > 1 {
        let mut kept: BTreeMap<String, bool> = BTreeMap::new();
        let mut widened = BTreeSet::new();
        for Wanted { path, whole } in choice.wanted.drain(..) {
            let parent = path.rsplit_once('/').map(|(parent, _)| parent.to_owned()).unwrap_or_default();
            if depth(&path) == level && may_widen(&parent) {
                kept.insert(parent.clone(), true);
                widened.insert(parent);
            } else {
                let entry = kept.entry(path).or_default();
                *entry |= whole;
            }
        }
        choice.wanted = kept.into_iter().map(|(path, whole)| Wanted { path, whole }).collect();
        choice.widened.retain(|path| depth(path) < level);
        choice.widened.extend(widened);
        level -= 1;
    }
    if choice.wanted.len() > PATH_LIMIT {
        choice.dropped = choice.wanted.len() - PATH_LIMIT;
        choice.wanted.truncate(PATH_LIMIT);
    }
}

fn is_foreign(path: &str, foreign: &BTreeSet<&str>) -> bool {
    foreign.iter().chain(&ENGINES_OWN_BELOW).any(|own| path == *own || is_below(path, own))
}

/// Whether a folder, or one below it, is not to be read whole.
fn is_apart(folder: &str, apart: &BTreeSet<String>) -> bool {
    apart.iter().any(|one| one == folder || is_below(one, folder))
}

/// The folder of the first name in a path that is no text.
fn lost(path: &str) -> Option<&str> {
    let at = path.find(LOST)?;
    path[..at].rsplit_once('/').map(|(folder, _)| folder)
}

pub(crate) fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
}

/// All directories above a path, but the root.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at]).filter(|parent| !parent.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_folders_that_cannot_be_read_the_first_are_named() {
        let mut choice = Choice::default();
        (0..NAMED + 7).for_each(|n| assert!(choice.note_unreadable(&format!("/tmp/{n:02}/{LOST}"))));
        let told = choice.problems("shop");
        assert_eq!(told.len(), NAMED + 1);
        assert!(told[NAMED].message.starts_with("files in 7 more folders of shop"), "{}", told[NAMED].message);
        assert!(told.iter().all(|problem| problem.subject == "shop" && problem.advice.is_some()));
    }

    fn chosen(changes: &[(&str, u8)], mounts: &[&str]) -> Vec<(String, bool)> {
        let mounts: Vec<_> = mounts.iter().map(|path| (*path).to_owned()).collect();
        read(&choose(&told(changes), &mounts, &BTreeSet::new()))
    }

    fn told(changes: &[(&str, u8)]) -> Vec<LayerChange> {
        changes.iter().map(|(path, kind)| LayerChange { path: (*path).to_owned(), kind: *kind }).collect()
    }

    fn changed(path: String) -> LayerChange {
        LayerChange { path, kind: CHANGED }
    }

    fn read(choice: &Choice) -> Vec<(String, bool)> {
        choice.wanted.iter().map(|wanted| (wanted.path.clone(), wanted.whole)).collect()
    }

    #[test]
    fn new_directories_are_read_whole_and_changed_ones_alone() {
        let wanted = chosen(
            &[
                ("/etc", 0),
                ("/etc/hosts", 0),
                ("/etc/app.conf", 0),
                ("/new", 1),
                ("/new/a", 1),
                ("/new/a/b", 1),
                ("/newer", 1),
                ("/gone", 2),
                ("/proc/x", 1),
            ],
            &[],
        );
        let expected = [("/etc", false), ("/etc/app.conf", false), ("/new", true), ("/newer", true)]
            .map(|(p, w)| (p.to_owned(), w));
        assert_eq!(wanted, expected);
    }

    #[test]
    fn mounts_are_never_read_through_a_directory_above_them() {
        let wanted = chosen(
            &[
                ("/srv", 1),
                ("/srv/data", 1),
                ("/srv/data/db", 1),
                ("/srv/x", 1),
                ("/var", 0),
                ("/var/lib", 0),
                ("/var/lib/pg", 1),
            ],
            &["/srv/data", "/var/lib/pg"],
        );
        assert_eq!(wanted, [("/srv", false), ("/srv/x", true)].map(|(p, w)| (p.to_owned(), w)));
    }

    #[test]
    fn too_many_paths_are_read_through_their_directories() {
        let mut changes: Vec<_> = (0..3000).map(|n| changed(format!("/app/cache/{}/{n}", n % 7))).collect();
        changes.push(changed("/etc/x".to_owned()));
        let choice = choose(&changes, &[], &BTreeSet::new());
        assert_eq!(choice.wanted.len(), 8);
        assert_eq!(choice.problems("c")[0].code, "layer.widened");
        let mut changes: Vec<_> = (0..3000).map(|n| changed(format!("/app/{n}"))).collect();
        changes.push(changed("/app".to_owned()));
        let choice = choose(&changes, &["/app/data".to_owned()], &BTreeSet::new());
        assert_eq!((choice.wanted.len(), choice.dropped), (PATH_LIMIT, 1001));
    }

    #[test]
    fn a_folder_with_a_name_that_is_no_text_is_read_whole() {
        let wanted = chosen(
            &[
                ("/home", 0),
                ("/root", 0),
                ("/root/.profile", 0),
                ("/root/\u{fffd}", 1),
                ("/root/\u{fffd}/\u{fffd}", 1),
                ("/srv/unlisted/\u{fffd}x", 1),
                ("/usr", 0),
                ("/usr/\u{fffd}", 2),
            ],
            &[],
        );
        let expected = [("/home", false), ("/root", true), ("/srv/unlisted", true), ("/usr", false)];
        assert_eq!(wanted, expected.map(|(p, w)| (p.to_owned(), w)), "what is deleted needs no reading");
    }

    #[test]
    fn where_a_folder_cannot_be_read_whole_its_names_that_are_no_text_are_tried_last_and_told() {
        let changes = [
            ("/\u{fffd}", 1),
            ("/etc", 0),
            ("/etc/app.conf", 0),
            ("/etc/\u{fffd}", 1),
            ("/new", 1),
            ("/new/\u{fffd}", 1),
            ("/srv", 0),
            ("/srv/data", 1),
            ("/srv/\u{fffd}", 1),
        ];
        let mut choice = choose(&told(&changes), &["/srv/data".to_owned()], &BTreeSet::from(["/new".to_owned()]));
        let plain = [("/etc", false), ("/etc/app.conf", false), ("/new", false), ("/srv", false)];
        let odd = ["/etc/\u{fffd}", "/new/\u{fffd}", "/srv/\u{fffd}", "/\u{fffd}"];
        let expected: Vec<_> = plain.into_iter().chain(odd.map(|path| (path, true))).collect();
        assert_eq!(read(&choice), expected.iter().map(|(p, w)| ((*p).to_owned(), *w)).collect::<Vec<_>>());
        assert!(choice.problems("c").is_empty(), "they may really be called so");
        assert!(!plain.iter().any(|(path, _)| choice.note_unreadable(path)));
        assert!(odd.iter().all(|path| choice.note_unreadable(path)));
        let told: Vec<_> = choice.problems("c").into_iter().map(|p| (p.code, p.severity, p.message)).collect();
        assert_eq!(told.len(), 4);
        for ((code, severity, message), folder) in told.iter().zip(["/", "/etc", "/new", "/srv"]) {
            assert_eq!((&**code, *severity), ("layer.name_unreadable", holdfast_model::Severity::Error));
            assert!(message.starts_with(&format!("files in {folder} of c were not captured")), "{message}");
        }
    }

    #[test]
    fn of_two_names_that_are_told_alike_one_at_least_is_no_text() {
        let odd = "/etc/\u{fffd}";
        for changes in [[(odd, 1), (odd, 1)], [(odd, 2), (odd, 1)], [(odd, 1), (odd, 2)]] {
            let choice = choose(&told(&changes), &[], &BTreeSet::new());
            assert_eq!(read(&choice), [(odd.to_owned(), true)]);
            assert_eq!(choice.problems("c")[0].code, "layer.name_unreadable");
        }
        assert!(choose(&told(&[(odd, 1)]), &[], &BTreeSet::new()).problems("c").is_empty());
    }

    #[test]
    fn names_that_may_lead_nowhere_take_the_place_of_no_other() {
        let plain = (0..PATH_LIMIT).map(|n| changed(format!("/etc/{n}")));
        let odd = (0..150).map(|n| changed(format!("/etc/\u{fffd}{n}")));
        let choice = choose(&odd.chain(plain).collect::<Vec<_>>(), &[], &BTreeSet::new());
        assert_eq!((choice.wanted.len(), choice.dropped), (PATH_LIMIT + DOUBTFUL_LIMIT, 0));
        assert!(!choice.wanted[..PATH_LIMIT].iter().any(|wanted| wanted.path.contains(LOST)));
        assert_eq!(choice.problems("c")[0].code, "layer.name_unreadable", "what is not even tried is told");
    }

    #[test]
    fn what_must_not_be_read_whole_is_read_entry_by_entry() {
        let changes = told(&[("/new", 1), ("/new/a", 1), ("/new/sub", 1), ("/new/sub/b", 1), ("/new/sub/c", 1)]);
        let apart = |folder: &str| read(&choose(&changes, &[], &BTreeSet::from([folder.to_owned()])));
        let expected = [("/new", false), ("/new/a", true), ("/new/sub", true)];
        assert_eq!(apart("/new"), expected.map(|(p, w)| (p.to_owned(), w)));
        let expected =
            [("/new", false), ("/new/a", true), ("/new/sub", false), ("/new/sub/b", true), ("/new/sub/c", true)];
        assert_eq!(apart("/new/sub"), expected.map(|(p, w)| (p.to_owned(), w)));
    }

    #[test]
    fn a_folder_that_must_not_be_read_whole_is_not_widened_to_either() {
        let mut changes: Vec<_> = (0..3000).map(|n| changed(format!("/app/{n}"))).collect();
        changes.push(changed("/app".to_owned()));
        let choice = choose(&changes, &[], &BTreeSet::from(["/app".to_owned()]));
        assert_eq!((choice.wanted.len(), choice.dropped), (PATH_LIMIT, 1001));
    }
}
