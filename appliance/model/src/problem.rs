//! What was not as it should be, named to the user: a job with problems is never silently green.

use crate::Error;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// Adds advice.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}
