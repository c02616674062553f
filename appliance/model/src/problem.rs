//! What was not as it should be, named to the user: a job with problems is never silently green.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Problems of one code that are kept where many may come. Names cost nothing, and whoever makes files or folders makes as many as they like.
pub const NAMED_MAX: usize = 1000;

/// How the number of those that were not kept is told.
const MORE: (&str, &str) = ("and ", " more of the same kind");

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing is missing.
    Note,
    /// Something was not captured, verified or uploaded.
    Warning,
    /// What was asked for was not reached.
    Error,
}

/// One thing to tell the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Stable dotted code, such as `bind.not_captured`.
    pub code: String,
    /// What it is about: a container, volume, path, pack or host.
    pub subject: String,
    /// What happened and what it means for the data, in one sentence.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Problem {
    /// A problem that left something out.
    pub fn warning(code: &str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Problem {
            severity: Severity::Warning,
            code: code.into(),
            subject: subject.into(),
            message: message.into(),
            advice: None,
        }
    }
    /// A remark.
    pub fn note(code: &str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Note, ..Problem::warning(code, subject, message) }
    }
    /// A failure.
    pub fn error(code: &str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Error, ..Problem::warning(code, subject, message) }
    }
    /// An error met while working on `subject`.
    pub fn from_error(subject: impl Into<String>, error: &Error) -> Self {
        Problem {
            severity: Severity::Error,
            code: error.code().to_owned(),
            subject: subject.into(),
            message: error.chain(),
            advice: error.advice_text().map(str::to_owned),
        }
    }
    /// So many more of a code, which are not named.
    pub fn more(code: &str, severity: Severity, count: u64) -> Self {
        let message = format!("{}{count}{}", MORE.0, MORE.1);
        Problem { severity, ..Problem::warning(code, String::new(), message) }
    }
    /// Of how many more it tells, if it is such a number.
    pub fn count(&self) -> Option<u64> {
        let count = self.message.strip_prefix(MORE.0)?.strip_suffix(MORE.1)?;
        if self.subject.is_empty() { count.parse().ok() } else { None }
    }
    /// Adds advice.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// Problems as they come, of each code the first [`NAMED_MAX`]; of the rest their number is told. What was bounded before may be bounded again
/// with more.
#[derive(Clone, Debug, Default)]
pub struct Few {
    kept: Vec<Problem>,
    codes: BTreeMap<String, Many>,
}

/// How many there were of a code.
#[derive(Clone, Debug)]
struct Many {
    /// The worst of them.
    severity: Severity,
    kept: usize,
    more: u64,
}

impl Few {
    /// Takes one more.
    pub fn add(&mut self, problem: Problem) {
        let fresh = Many { severity: problem.severity, kept: 0, more: 0 };
        let many = self.codes.entry(problem.code.clone()).or_insert(fresh);
        many.severity = many.severity.max(problem.severity);
        match problem.count() {
            Some(count) => many.more = many.more.saturating_add(count),
            None if many.kept == NAMED_MAX => many.more = many.more.saturating_add(1),
            None => {
                many.kept += 1;
                self.kept.push(problem);
            }
        }
    }

    /// All that is told.
    pub fn all(mut self) -> Vec<Problem> {
        let more = self.codes.iter().filter(|(_, many)| many.more > 0);
        self.kept.extend(more.map(|(code, many)| Problem::more(code, many.severity, many.more)));
        self.kept
    }
}

impl Extend<Problem> for Few {
    fn extend<T: IntoIterator<Item = Problem>>(&mut self, problems: T) {
        problems.into_iter().for_each(|problem| self.add(problem));
    }
}

impl FromIterator<Problem> for Few {
    fn from_iter<T: IntoIterator<Item = Problem>>(problems: T) -> Few {
        let mut few = Few::default();
        few.extend(problems);
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_code_a_thousand_are_kept_and_the_rest_is_counted() {
        let note = |n: usize| Problem::note("file.changed", n.to_string(), "x");
        let other = Problem::error("layer.too_large", "web", "y");
        let mut few: Few = (0..NAMED_MAX + 7).map(note).collect();
        few.extend([other.clone(), Problem::warning("file.changed", "late", "z")]);
        let all = few.all();
        assert_eq!(all.len(), NAMED_MAX + 2);
        assert_eq!((&all[0], &all[NAMED_MAX]), (&note(0), &other), "the first ones, in their order");
        let more = all.last().unwrap();
        assert_eq!((more.severity, &*more.code, more.count()), (Severity::Warning, "file.changed", Some(8)));
        assert_eq!((more.message.as_str(), more.subject.as_str()), ("and 8 more of the same kind", ""));
        // Bounded again with others, nothing is forgotten.
        let again: Few = all.into_iter().chain((0..2).map(note)).collect();
        let all = again.all();
        assert_eq!((all.len(), all.last().unwrap().count()), (NAMED_MAX + 2, Some(10)));
    }

    #[test]
    fn nobody_passes_for_a_number_by_its_words() {
        let count = |subject: &str, message: &str| Problem::note("x", subject, message).count();
        assert_eq!(count("", "and 7 more of the same kind"), Some(7));
        for (subject, message) in [
            ("data", "and 7 more of the same kind"),
            ("", "and many more of the same kind"),
            ("", "volume data: and 7 more of the same kind"),
        ] {
            assert_eq!(count(subject, message), None, "{subject} {message}");
        }
    }
}
