//! From a list of changes to the paths worth reading. Pure.

use holdfast_model::Problem;
use std::collections::{BTreeMap, BTreeSet};

/// Each path costs a request of some 20 ms: 2000 take 40 s of a frozen app.
const PATH_LIMIT: usize = 2000;

/// What the engine itself puts into every container.
const ENGINES_OWN: [&str; 4] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/.dockerenv"];
const ENGINES_OWN_BELOW: [&str; 3] = ["/dev", "/proc", "/sys"];

const ADDED: u8 = 1;
const DELETED: u8 = 2;

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
}

impl Choice {
    pub(crate) fn problems(&self, container: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.deleted > 0 {
            problems.push(Problem::note(
                "layer.deleted",
                container,
                format!("{} files of the image are deleted in {container}; the list is in the snapshot", self.deleted),
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
                        "{} changed paths of {container} were not captured: too many are spread between its mounts",
                        self.dropped
                    ),
                )
                .advice("Keep data in volumes instead of the container's own file system."),
            );
        }
        problems
    }
}

/// Chooses paths: topmost new directories whole, everything else one by one.
///
/// A directory above a mount point changes by being mounted into: it counts only for what else changed in it.
pub(crate) fn choose(changes: &[(String, u8)], mount_points: &[String]) -> Choice {
    let mut foreign: BTreeSet<&str> = mount_points.iter().map(|path| path.trim_end_matches('/')).collect();
    foreign.extend(ENGINES_OWN);
    let holds_foreign = |path: &str| foreign.iter().any(|own| is_below(own, path));
    let sorted: BTreeMap<&str, u8> = changes
        .iter()
        .map(|(path, kind)| (path.as_str(), *kind))
        .filter(|(path, _)| path.starts_with('/') && path.len() > 1 && !is_foreign(path, &foreign))
        .collect();
    let parents: BTreeSet<&str> =
        sorted.keys().filter(|path| !holds_foreign(path)).flat_map(|path| above(path)).collect();
    let mut choice = Choice { deleted: sorted.values().filter(|kind| **kind == DELETED).count(), ..Choice::default() };
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
        let new = *kind == ADDED && !shared;
        if new {
            whole.insert(path);
        }
        choice.wanted.push(Wanted { path: (*path).to_owned(), whole: new });
    }
    narrow(&mut choice, &foreign);
    choice
}

/// Too many paths: the deepest are replaced by their directories, until few enough are left.
fn narrow(choice: &mut Choice, foreign: &BTreeSet<&str>) {
    let depth = |path: &str| path.matches('/').count();
    let mut level = choice.wanted.iter().map(|wanted| depth(&wanted.path)).max().unwrap_or(0);
    while choice.wanted.len() > PATH_LIMIT && level > 1 {
        let mut kept: BTreeMap<String, bool> = BTreeMap::new();
        let mut widened = BTreeSet::new();
        for Wanted { path, whole } in choice.wanted.drain(..) {
            let parent = path.rsplit_once('/').map(|(parent, _)| parent.to_owned()).unwrap_or_default();
            if depth(&path) == level && !foreign.iter().any(|own| is_below(own, &parent)) {
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

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
}

/// All directories above a path, but the root.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at]).filter(|parent| !parent.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(changes: &[(&str, u8)], mounts: &[&str]) -> Vec<(String, bool)> {
        let changes: Vec<_> = changes.iter().map(|(path, kind)| ((*path).to_owned(), *kind)).collect();
        let mounts: Vec<_> = mounts.iter().map(|path| (*path).to_owned()).collect();
        choose(&changes, &mounts).wanted.into_iter().map(|wanted| (wanted.path, wanted.whole)).collect()
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
        let mut changes: Vec<_> = (0..3000).map(|n| (format!("/app/cache/{}/{n}", n % 7), 0)).collect();
        changes.push(("/etc/x".to_owned(), 0));
        let choice = choose(&changes, &[]);
        assert_eq!(choice.wanted.len(), 8);
        assert_eq!(choice.problems("c")[0].code, "layer.widened");
        let mut changes: Vec<_> = (0..3000).map(|n| (format!("/app/{n}"), 0)).collect();
        changes.push(("/app".to_owned(), 0));
        let choice = choose(&changes, &["/app/data".to_owned()]);
        assert_eq!((choice.wanted.len(), choice.dropped), (PATH_LIMIT, 1001));
    }
}
