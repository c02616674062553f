//! Objects that the bucket should give and that cannot be used: told by class, however many they are.
//!
//! Invariant: nothing is left out without a word, and a class is one problem: a bucket that rots must not fill the report.

use holdfast_model::{Error, Problem};
use std::collections::{BTreeMap, BTreeSet};

/// Names that one problem tells.
pub(crate) const NAMED: usize = 5;

/// What could not be used since somebody asked last, by the word for its class.
#[derive(Debug, Default)]
pub(crate) struct Unusable(BTreeMap<&'static str, Class>);

#[derive(Debug, Default)]
struct Class {
    keys: BTreeSet<String>,
    /// What was wrong with the first of them.
    why: String,
}

impl Unusable {
    /// Met again, an object still counts once.
    pub(crate) fn add(&mut self, word: &'static str, key: &str, error: &Error) {
        let class = self.0.entry(word).or_default();
        if class.keys.is_empty() {
            class.why = error.chain();
        }
        class.keys.insert(key.to_owned());
    }

    /// One problem for each class.
    pub(crate) fn take(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.0).into_iter().map(|(word, class)| told(word, class)).collect()
    }
}

fn told(word: &str, Class { keys, why }: Class) -> Problem {
    let keys: Vec<String> = keys.into_iter().collect();
    let consequence = match word {
        "index segment" => "restores do without; what only they list is stored again by the next backups",
        "reach list" => "what they told is made anew from recipes; snapshots for which that fails are named as well",
        "snapshot" => "they are not shown, and nothing is pruned until they can be read or are forgotten",
        _ => "what they say does not count",
    };
    let text = format!(
        "{} of the bucket cannot be used, damaged or gone ({}); {consequence}: {why}",
        counted(keys.len(), word),
        some_of(&keys)
    );
    Problem::warning("object.corrupt", keys.first().map_or("", String::as_str), text)
        .advice("run a check: it looks once more and mends what it can")
}

fn counted(count: usize, word: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {word}{plural}")
}

/// The first names, and how many more there are.
pub(crate) fn some_of(names: &[String]) -> String {
    let first = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_model::Kind;

    #[test]
    fn a_class_is_one_problem_with_its_count_and_five_names() {
        let mut unusable = Unusable::default();
        let error = Error::new(Kind::Corrupt, "object.corrupt", "bits turned");
        for number in [3, 1, 2, 7, 5, 6, 4, 3] {
            unusable.add("index segment", &format!("i/{number}"), &error);
        }
        unusable.add("reach list", "r/1", &error);
        let told = unusable.take();
        assert_eq!(told.len(), 2);
        assert!(told[0].message.starts_with("7 index segments "), "{}", told[0].message);
        assert!(told[0].message.contains("i/1, i/2, i/3, i/4, i/5 and 2 more"), "{}", told[0].message);
        assert!(told[1].message.starts_with("1 reach list "), "{}", told[1].message);
        assert!(unusable.take().is_empty(), "it was told");
    }
}
