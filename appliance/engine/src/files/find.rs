//! Search by name over all snapshots of an app.
//!
//! Units of listings that several snapshots share are looked through once. Invariants: what was not looked through,
//! or found and not told, is named; memory is bounded by the number of paths that are told and by what one snapshot holds of them.

use super::section::Section;
use crate::{
    apps::Facts,
    house::House,
    listing::{Desk, Key, Listing, Slot, Unit, path},
};
use holdfast_model::{
    Error, Kind, Result,
    snapshot::Snapshot,
    view::{FileView, FindView, FoundIn, FoundVersion, FoundView},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Longest pattern, bytes.
const PATTERN_MAX: usize = 200;
/// A search ends after this time, with what it has.
const PATIENCE: Duration = Duration::from_secs(25);
/// Snapshots that are told of one version.
const TOLD: usize = 20;
/// Versions that are told of one path, the newest: a log is another one in each snapshot.
const VERSIONS: usize = 50;
/// Lines on what was not looked through or not told.
const MISSING: usize = 100;

/// Files of a unit that are told, each with its place in what was found.
type Hits = Vec<(usize, FileView)>;

/// A search that is about to begin.
pub(super) struct Search {
    snapshots: Vec<Arc<Snapshot>>,
    pattern: Pattern,
    limit: usize,
    found: Vec<FoundView>,
    places: HashMap<(String, String), usize>,
    /// What units of the last snapshot hold of what is told, by section and by place in `found`.
    known: HashMap<String, HashMap<Key, Arc<Hits>>>,
    missing: BTreeSet<String>,
}

impl Search {
    /// `NotFound` (`app.unknown`), `Invalid` (`files.pattern`).
    pub(super) fn new(house: &House, app: &str, pattern: &str, limit: usize) -> Result<Search> {
        let pattern = Pattern::read(pattern)?;
        let facts = Facts::gather(house);
        let app = facts.resolve(app)?;
        let entries = facts.snapshots.get(&app).into_iter().flatten().rev();
        let snapshots = entries.map(|entry| Arc::clone(&entry.snapshot)).collect();
        let (found, places, known) = (Vec::new(), HashMap::new(), HashMap::new());
        Ok(Search { snapshots, pattern, limit, found, places, known, missing: BTreeSet::new() })
    }

    pub(super) async fn run(mut self, desk: Desk) -> Result<FindView> {
        let end = Instant::now() + PATIENCE;
        let mut looked = 0;
        for snapshot in self.snapshots.clone() {
            if !self.look_through(&desk, &snapshot, end).await? {
                let left = self.snapshots.len() as u64 - looked;
                let text = format!("the search took too long; {left} older snapshots were not looked through");
                // There is always room for this one.
                self.missing.insert(text);
                break;
            }
            looked += 1;
        }
        let missing: Vec<String> = self.missing.into_iter().collect();
        Ok(FindView { found: self.found, snapshots: looked, complete: missing.is_empty(), missing })
    }

    /// Whether there was time enough.
    async fn look_through(&mut self, desk: &Desk, snapshot: &Snapshot, end: Instant) -> Result<bool> {
        for section in super::section::all(snapshot) {
            let name = section.view.section.clone();
            if let Some(reason) = &section.view.reason {
                let text = format!("{name} of snapshot {} was not looked through: {reason}", snapshot.id);
                miss(&mut self.missing, text);
                continue;
            }
            match self.look_into(desk, snapshot, &section, end).await {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) if error.kind() == Kind::Bug => return Err(error),
                Err(error) => {
                    let text = format!("{name} of snapshot {} could not be read: {error}", snapshot.id);
                    miss(&mut self.missing, text);
                }
            }
        }
        Ok(true)
    }

    async fn look_into(&mut self, desk: &Desk, snapshot: &Snapshot, section: &Section, end: Instant) -> Result<bool> {
        let name = &section.view.section;
        // What the snapshot after this one had and this one has not will hardly come again.
        let known = self.known.remove(name).unwrap_or_default();
        let mut met: HashMap<Key, Arc<Hits>> = HashMap::new();
        let listing = Listing::of(desk, &section.streams).await?;
        for (slot, Slot { key, .. }) in listing.slots().iter().enumerate() {
            if Instant::now() > end {
                return Ok(false);
            }
            let hits = match known.get(key).or_else(|| met.get(key)) {
                Some(hits) => Arc::clone(hits),
                None => {
                    let unit = listing.unit(desk, slot).await?;
                    Arc::new(self.hits(name, &unit))
                }
            };
            met.insert(*key, Arc::clone(&hits));
            hits.iter().for_each(|(place, file)| self.tell(*place, file, snapshot));
        }
        self.known.insert(name.clone(), met);
        Ok(true)
    }

    /// What a unit holds of what is told; new paths as long as there is room for them.
    fn hits(&mut self, section: &str, unit: &Unit) -> Hits {
        let mut hits = Vec::new();
        for row in unit.rows().iter().filter(|row| self.pattern.matches(unit.path(row))) {
            let file = unit.view(row);
            let id = (section.to_owned(), file.path.clone());
            let place = match self.places.get(&id) {
                Some(place) => *place,
                None if self.found.len() < self.limit => {
                    let (section, path) = id.clone();
                    self.found.push(FoundView { section, path, versions: Vec::new() });
                    self.places.insert(id, self.found.len() - 1);
                    self.found.len() - 1
                }
                None => {
                    miss(&mut self.missing, format!("more than {} paths were found", self.limit));
                    continue;
                }
            };
            hits.push((place, file));
        }
        hits
    }

    fn tell(&mut self, place: usize, file: &FileView, snapshot: &Snapshot) {
        let versions = &mut self.found[place].versions;
        let version = match versions.iter().position(|version| version.file == *file) {
            Some(known) => &mut versions[known],
            None if versions.len() == VERSIONS => {
                let text = format!("of some paths there are more than {VERSIONS} versions; the newest are told");
                miss(&mut self.missing, text);
                return;
            }
            None => {
                versions.push(FoundVersion { file: file.clone(), count: 0, snapshots: Vec::new() });
                let last = versions.len() - 1;
                &mut versions[last]
            }
        };
        version.count += 1;
        if version.snapshots.len() < TOLD {
            version.snapshots.push(FoundIn { id: snapshot.id.clone(), time: snapshot.time });
        }
    }
}

/// Notes what was not looked through or is not told.
fn miss(missing: &mut BTreeSet<String>, text: String) {
    let text =
        if missing.len() < MISSING { text } else { "more than that was not looked through or is not told".into() };
    missing.insert(text);
}

/// What names are compared with, regardless of case: `*` and `?` stand for anything, without them it may stand anywhere
/// in the name. With a slash in it the whole path is compared.
struct Pattern {
    letters: Vec<char>,
    is_glob: bool,
    whole_path: bool,
}

impl Pattern {
    fn read(text: &str) -> Result<Pattern> {
        if text.is_empty() || text.len() > PATTERN_MAX {
            let what = format!("a pattern has between 1 and {PATTERN_MAX} bytes");
            return Err(Error::invalid("files.pattern", what));
        }
        let letters = text.to_lowercase().chars().collect();
        Ok(Pattern { letters, is_glob: text.contains(['*', '?']), whole_path: text.contains('/') })
    }

    fn matches(&self, full: &[u8]) -> bool {
        let name = if self.whole_path { full } else { path::last(full) };
        let low: Vec<char> = String::from_utf8_lossy(name).to_lowercase().chars().collect();
        if self.is_glob {
            return is_like(&low, &self.letters);
        }
        low.windows(self.letters.len()).any(|window| window == self.letters)
    }
}

/// Whether a text is as a pattern with `*` and `?` says. Goes back to the last `*` only: the work is bounded by the
/// product of both lengths.
fn is_like(text: &[char], pattern: &[char]) -> bool {
    let (mut at, mut of) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(of) {
            Some('*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(letter) if *letter == '?' || *letter == text[at] => (at, of) = (at + 1, of + 1),
            _ => match &mut star {
                Some((place, taken)) => {
                    *taken += 1;
                    (at, of) = (*taken, *place + 1);
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{listing::implied, tests::looks::empty};
    use holdfast_model::Moment;

    #[test]
    fn patterns_match_as_people_mean_them() {
        for (pattern, path, fits) in [
            ("conf", "etc/nginx.CONF.d", true),
            ("conf", "conf.d/other", false),
            ("*.conf", "etc/a.conf", true),
            ("*.conf", "etc/a.conf.bak", false),
            ("a?c", "x/abc", true),
            ("a?c", "x/abbc", false),
            ("etc/*.conf", "etc/deep/a.conf", true),
            ("ÄRGER*", "x/ärger.txt", true),
            ("*a*b*c*", "aXbXXcab", true),
            ("*", "", true),
            ("**", "x", true),
        ] {
            assert_eq!(Pattern::read(pattern).unwrap().matches(path.as_bytes()), fits, "{pattern} {path}");
        }
        assert!(Pattern::read("").is_err() && Pattern::read(&"x".repeat(201)).is_err());
    }

    fn search() -> Search {
        let found = vec![FoundView { section: "volume:data".into(), path: "log".into(), versions: Vec::new() }];
        Search {
            snapshots: Vec::new(),
            pattern: Pattern::read("log").unwrap(),
            limit: 1,
            found,
            places: HashMap::new(),
            known: HashMap::new(),
            missing: BTreeSet::new(),
        }
    }

    #[test]
    fn of_a_file_that_is_another_one_in_each_snapshot_the_newest_versions_are_told() {
        let (mut search, snapshot) = (search(), empty(Moment::from_millis(1_000)));
        let version = |size: u64| FileView { size: Some(size), ..implied(b"log") };
        (0..VERSIONS as u64 + 7).for_each(|n| search.tell(0, &version(n), &snapshot));
        search.tell(0, &version(3), &snapshot);
        let versions = &search.found[0].versions;
        assert_eq!((versions.len(), versions[0].file.size, versions[3].count), (VERSIONS, Some(0), 2));
        assert_eq!(search.missing.len(), 1, "that there are more is told once: {:?}", search.missing);
    }

    #[test]
    fn what_was_not_looked_through_is_told_up_to_a_bound() {
        let mut missing = BTreeSet::new();
        (0..MISSING + 7).for_each(|n| miss(&mut missing, format!("snapshot {n:04}")));
        assert_eq!(missing.len(), MISSING + 1);
        assert!(missing.iter().any(|line| line.starts_with("more than that")));
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let (text, pattern) = (vec!['a'; 4000], "*a".repeat(99) + "b");
        assert!(!is_like(&text, &pattern.chars().collect::<Vec<_>>()));
    }
}
